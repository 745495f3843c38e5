"""make bench-store: what durability costs, beside paho.mqtt.c with its file persistence.

Publishes of 64 bytes at QoS 1 are accepted without a server; at level fsynced 1,000 of them wait for the
disk at a time. Then the same queue of a broker is drained in memory and through a store, with the system
calls of one more run counted by strace. At last files with publishes are opened.
"""

from __future__ import annotations

import argparse
import json
import re
import shutil
import statistics
import subprocess
import tempfile
from pathlib import Path

import wire

SIZE, COUNT, PAHO_COUNT, DRAIN = 64, 100_000, 3_000, 200_000
TOPIC = "bench/drain"


def tell(command: list[str]) -> dict[str, float]:
    done = subprocess.run(command, capture_output=True, text=True, timeout=600, check=False)
    if done.returncode != 0:
        raise SystemExit(f"{command[0]} failed ({done.returncode}): {done.stderr.strip()}")
    told: dict[str, float] = json.loads(done.stdout)
    return told


def accept(programs: Path, level: str, place: Path) -> tuple[float, float]:
    """Messages a second and bytes written for each."""
    program, count = ("store_paho_c", PAHO_COUNT) if level == "paho.mqtt.c files" else ("store_remqtt", COUNT)
    file = place / f"{program}-{level.split()[0]}"
    if program == "store_paho_c":
        file.mkdir()
    told = tell([str(programs / program), level, str(file), str(count), str(SIZE)])
    shutil.rmtree(file, ignore_errors=True)
    for path in place.glob(file.name + "*"):
        path.unlink()
    return told["messages"] / told["seconds"], told["written"] / told["messages"]


def accepting(programs: Path, place: Path, rounds: int) -> None:
    levels = ["memory", "stored", "fsynced", "paho.mqtt.c files"]
    rows: dict[str, list[tuple[float, float]]] = {level: [] for level in levels}
    for number in range(rounds):
        for level in levels if number % 2 == 0 else reversed(levels):
            rows[level].append(accept(programs, level, place))
    rate = {level: statistics.median(rate for rate, _ in row) for level, row in rows.items()}
    print(f"\n{'accepted at level':<20} {'messages/s':>12} {'bytes written each':>20} {': paho.mqtt.c':>14}")
    for level, row in rows.items():
        written = statistics.median(written for _, written in row)
        ratio = rate[level] / rate["paho.mqtt.c files"]
        print(f"{level:<20} {rate[level]:>12,.0f} {written:>20,.0f} {ratio:>14.1f}")
    print("required: fsynced at least 50,000 messages/s and 10 times paho.mqtt.c, which syncs nothing")


def drain(programs: Path, broker: wire.Mosquitto, store: Path | None, strace: list[str]) -> float:
    wire.prepare(broker.port, "drain-store", TOPIC)
    wire.fill(broker.port, TOPIC, DRAIN, SIZE)
    arguments = ["127.0.0.1", str(broker.port), "drain-store", str(DRAIN)]
    told = tell([*strace, str(programs / "drain_remqtt"), *arguments, *([str(store)] if store else [])])
    wire.forget(broker.port, "drain-store")
    for path in store.parent.glob(store.name + "*") if store else ():
        path.unlink()
    return told["messages"] / told["seconds"]


def draining(programs: Path, place: Path, rounds: int) -> None:
    rates: dict[bool, list[float]] = {False: [], True: []}
    with wire.Mosquitto() as broker:
        for number in range(rounds):
            for durable in (False, True) if number % 2 == 0 else (True, False):
                store = place / "drain" if durable else None
                rates[durable].append(drain(programs, broker, store, []))
        memory, durable_rate = (statistics.median(rates[durable]) for durable in (False, True))
        print(f"\ndrained in memory {memory:,.0f}/s, through a store {durable_rate:,.0f}/s")
        print(f"ratio {durable_rate / memory:.2f}; required: at least 0.7")
        if shutil.which("strace"):
            trace = place / "trace"
            calls = "trace=fsync,fdatasync,recvfrom"
            drain(programs, broker, place / "drain", ["strace", "-f", "-o", str(trace), "-e", calls])
            lines = trace.read_text().splitlines()
            syncs = sum(bool(re.search(r"f(data)?sync\(|<... f(data)?sync resumed", line)) for line in lines)
            unfinished = sum("sync(" in line and "unfinished" in line for line in lines)
            reads = sum(bool(re.search(r"recvfrom.*= [1-9]", line)) for line in lines)
            print(f"{syncs - unfinished} syncs for {reads} reads with data, under strace")
            print("required: no more syncs than reads")


def opening(programs: Path, place: Path) -> None:
    print(f"\n{'records':>10} {'opened in ms':>14}")
    for count in (1_000, 10_000, 100_000):
        told = tell(
            [str(programs / "store_remqtt"), "open", str(place / f"open-{count}"), str(count), str(SIZE)]
        )
        print(f"{count:>10,} {told['seconds'] * 1e3:>14.1f}")
    print("required: linear, 100,000 in at most 500 ms")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("programs", type=Path, help="folder of the compiled programs")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--place", type=Path, default=None, help="folder on the disk to measure")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory(dir=given.place or given.programs) as place:
        accepting(given.programs, Path(place), given.rounds)
        draining(given.programs, Path(place), given.rounds)
        opening(given.programs, Path(place))


if __name__ == "__main__":
    main()
