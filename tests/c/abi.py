"""The ABI of libremqtt against the committed baseline: abi.py check|write ROOT BUILD.

The baseline in ffi/abi is what a C program sees: `remqtt.abi` (abidw of a probe that includes the header,
with every type and every function) and `surface.txt` (every macro, prototype and offset in a line). `check`
fails on any difference. `write` takes today's header as the baseline, and refuses what ffi/ABI.md forbids.
"""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

MODE, ROOT, BUILD = sys.argv[1], Path(sys.argv[2]), Path(sys.argv[3])
BASE = ROOT / "ffi/abi"
#: Bits of abidiff's exit status: it did not run.
BROKEN = 3
#: What abidiff says of a change that a program does not survive. Fields that are appended are none of these.
BREAKS = re.compile(
    r"offset changed|deletion|name changed|[Rr]emoved|parameter|return type|size of symbol|\[D\]"
)


def probe() -> Path:
    """A shared object that names every struct and every function of the header, and nothing else."""
    header = (ROOT / "include/remqtt/remqtt.h").read_text()
    types = sorted(set(re.findall(r"^typedef .*?\b(remqtt_\w+);|^\} (remqtt_\w+);", header, re.M)))
    names = [first or second for first, second in types]
    pointers = re.findall(r"^typedef .*\(\*(remqtt_\w+_fn)\)", header, re.M)
    functions = (ROOT / "ffi/symbols.txt").read_text().split()
    lines = ["#include <remqtt/remqtt.h>"]
    lines += [f"{name} *probe_{name};" for name in names + sorted(pointers)]
    lines += [f"__typeof__({name}) *call_{name} = {name};" for name in functions]
    source, built = BUILD / "probe.c", BUILD / "libprobe.so"
    source.write_text("\n".join(lines) + "\n")
    command = ["gcc", "-std=gnu11", "-g", "-shared", "-fPIC", "-Wl,--unresolved-symbols=ignore-all"]
    command += [f"-I{ROOT}/include", f"-ffile-prefix-map={ROOT}=.", f"-ffile-prefix-map={BUILD}=."]
    command += [str(source), "-o", str(built)]
    subprocess.run(command, check=True)
    return built


def surface() -> str:
    """Every macro, prototype and offset of the header, sorted. The numbers are as frozen as the structs."""
    header = (ROOT / "include/remqtt/remqtt.h").read_text()
    command = ["gcc", "-std=c11", "-dM", "-E", f"-I{ROOT}/include", "-xc", "-"]
    done = subprocess.run(
        command, input="#include <remqtt/remqtt.h>\n", capture_output=True, text=True, check=True
    )
    found = re.findall(r"^#define (REMQTT_\w+) (.+)$", done.stdout, re.M)
    prototypes = re.findall(r"^(?!typedef|static)(\w[\w \*]*?\*?(remqtt_\w+)\([^;{]*\));", header, re.M)
    found += [(f"{name}()", " ".join(text.split())) for text, name in prototypes]
    facts = (ROOT / "tests/c/layout.h").read_text()
    offsets = re.findall(r"(\w+)\((\w+), (\w+)\) == (\d+)", facts)
    found += [(f"{struct}.{field}", offset) for _, struct, field, offset in offsets]
    return "".join(f"{name} {value}\n" for name, value in sorted(found) if name != "REMQTT_H")


def dump(built: Path) -> str:
    """What abidw says of the probe, without anything of this machine."""
    options = ["--no-corpus-path", "--no-comp-dir-path", "--no-show-locs", "--type-id-style", "hash"]
    done = subprocess.run(["abidw", *options, str(built)], capture_output=True, text=True, check=True)
    text = re.sub(r" (path|comp-dir-path)='[^']*'", "", done.stdout)
    if str(ROOT) in text or str(BUILD) in text:
        raise SystemExit("abi: a path of this machine is in the dump")
    return text


def version(text: str) -> int:
    """The ABI version of a surface."""
    return int(dict(line.split(" ", 1) for line in text.splitlines()).get("REMQTT_ABI_VERSION", "0"))


def moved(before: str, after: str) -> list[str]:
    """What is gone or not what it was. Initialisers grow with their structs, and the version grows."""
    new = dict(line.split(" ", 1) for line in after.splitlines())
    old = dict(line.split(" ", 1) for line in before.splitlines())
    grows = re.compile(r"REMQTT_ABI_VERSION$|REMQTT_\w+_INIT$")
    return [name for name, value in old.items() if not grows.match(name) and new.get(name) != value]


def broken(base: Path, fresh: Path) -> list[str]:
    """What programs of the baseline would not survive."""
    command = ["abidiff", "--leaf-changes-only", "--no-added-syms", str(base), str(fresh)]
    report = subprocess.run(command, capture_output=True, text=True, check=False).stdout
    lines = [line.strip() for line in report.splitlines() if "summary:" not in line]
    return [line for line in lines if BREAKS.search(line)]


def main() -> None:
    """Compares or writes."""
    built = probe()
    today, numbers = dump(built), surface()
    fresh = BUILD / "remqtt.abi"
    fresh.write_text(today)
    base, numbers_file = BASE / "remqtt.abi", BASE / "surface.txt"
    old_numbers = numbers_file.read_text() if numbers_file.exists() else ""
    status, report = 0, ""
    if base.exists():
        done = subprocess.run(["abidiff", str(base), str(fresh)], capture_output=True, text=True, check=False)
        status, report = done.returncode, done.stdout + done.stderr
        if status & BROKEN:
            raise SystemExit(f"abi: abidiff failed\n{report}")
    changed = moved(old_numbers, numbers)
    if MODE == "write":
        breaks = changed + (broken(base, fresh) if base.exists() else [])
        if breaks:
            raise SystemExit("\n".join(["abi: this breaks programs; see ffi/ABI.md", *breaks]))
        if old_numbers and (status or numbers != old_numbers) and version(numbers) <= version(old_numbers):
            raise SystemExit("abi: an addition raises REMQTT_ABI_VERSION; see ffi/ABI.md")
        BASE.mkdir(exist_ok=True)
        base.write_text(today)
        numbers_file.write_text(numbers)
        print(f"abi: the baseline is ABI version {version(numbers)} now")
        return
    if status or numbers != old_numbers:
        raise SystemExit(f"abi: not the committed baseline; see ffi/ABI.md\n{report}{changed}")
    functions = len((ROOT / "ffi/symbols.txt").read_text().split())
    print(f"abidiff: no change; {functions} functions, {len(numbers.splitlines())} facts")
    print("abi: 2 passed, 0 failed")


if __name__ == "__main__":
    main()
