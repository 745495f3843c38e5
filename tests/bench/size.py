"""make bench-size: what a library is on disk, and what a program with one client costs.

Sizes are those of the stripped files; "with all it loads" adds every library that ldd names and that is not
the C library's own. Programs of all libraries take turns. The time runs from the call that starts the process
to the callback of its CONNACK, CPU is the process's until then; memory and threads are read when the client
is idle.
"""

from __future__ import annotations

import argparse
import json
import re
import statistics
import subprocess
import tempfile
import time
from pathlib import Path

import wire

#: Every C program has loaded these already.
LIBC = re.compile(r"ld-linux|lib(c|m|pthread|dl|rt)\.so|linux-vdso")
IDLE_SECONDS = "0.5"


def stripped(library: Path) -> int:
    """The size of a library without its symbols, in bytes."""
    with tempfile.NamedTemporaryFile() as copy:
        subprocess.run(["strip", "--strip-unneeded", "-o", copy.name, library], check=True)
        return Path(copy.name).stat().st_size


def loads(library: Path) -> list[Path]:
    """Every library that it loads, but for those of libc."""
    told = subprocess.run(["ldd", library], capture_output=True, text=True, check=True).stdout
    return [Path(path) for path in re.findall(r"=> (/\S+)", told) if not LIBC.search(path)]


def library_of(program: Path, name: str) -> Path:
    """The file that a program loads under this name."""
    return next(path for path in loads(program) if path.name.startswith(name)).resolve()


def sizes(libraries: dict[str, Path]) -> None:
    """Prints a row for each library."""
    print(f"{'library':<22} {'KiB':>7} {'with all it loads':>18}  needs, beside the C library")
    for name, library in libraries.items():
        own, others = stripped(library), loads(library)
        whole = own + sum(stripped(other.resolve()) for other in others)
        needs = ", ".join(sorted(other.name for other in others)) or "nothing"
        print(f"{name:<22} {own / 1024:>7.0f} {whole / 1024:>18.0f}  {needs}", flush=True)


def start(program: Path, port: int) -> dict[str, float]:
    """One run of a program with one client."""
    begin = time.monotonic()
    command = [str(program), "127.0.0.1", str(port), "1", IDLE_SECONDS]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=True)
    told: dict[str, float] = json.loads(done.stdout)
    if told["connected"] != 1:
        raise SystemExit(f"{program.name} did not connect")
    return told | {"connack_ms": (told["at"] - begin) * 1e3, "cpu_ms": told["connecting_cpu"] * 1e3}


def costs(programs: dict[str, Path], rounds: int) -> None:
    """Prints the medians of a program with one client, for each library."""
    runs: dict[str, list[dict[str, float]]] = {name: [] for name in programs}
    with wire.Mosquitto() as broker:
        for _ in range(rounds + 1):
            for name, program in programs.items():
                runs[name].append(start(program, broker.port))
    columns = {
        "CONNACK ms": ("connack_ms", 1),
        "CPU ms": ("cpu_ms", 1),
        "RSS KiB": ("whole_rss_kib", 0),
        "private dirty": ("private_kib", 0),
        "threads": ("threads", 0),
    }
    print(f"\n{'one client':<22} " + " ".join(f"{head:>13}" for head in columns))
    for name, seen in runs.items():
        # The first run of each has read the library from the disk.
        medians = [
            (statistics.median(run[key] for run in seen[1:]), digits) for key, digits in columns.values()
        ]
        print(f"{name:<22} " + " ".join(f"{median:>13.{digits}f}" for median, digits in medians))
    print(f"medians of {rounds} alternating runs; {wire.Mosquitto.version()} on loopback")


def main() -> None:
    """Prints both tables."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("programs", type=Path, help="folder of the compiled clients")
    parser.add_argument("--rounds", type=int, default=30)
    given = parser.parse_args()
    rows = {
        "remqtt": ("clients_remqtt", "libremqtt"),
        "libmosquitto": ("clients_mosquitto", "libmosquitto"),
        "paho.mqtt.c, no TLS": ("clients_paho_c", "libpaho"),
        "paho.mqtt.c, TLS": ("clients_paho_cs", "libpaho"),
    }
    programs = {name: given.programs / program for name, (program, _) in rows.items()}
    sizes({name: library_of(programs[name], library) for name, (_, library) in rows.items()})
    costs(programs, given.rounds)


if __name__ == "__main__":
    main()
