"""Runs the README's programs as they stand against a mosquitto of their own: readme.py TARGET-DIRECTORY.

Each must print what it published and end by itself. Only the port is changed.
"""

from __future__ import annotations

import re
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT / "tests/bench"))

import wire  # noqa: E402 its folder is on the path only now

EXPECTED = "sensors/door open\n"


#: Seconds after which a program hangs; none takes so long on a machine that is merely slow.
HANG = 900


def programs() -> dict[str, str]:
    """The fenced programs, one for each language."""
    found = re.findall(r"^```(python|c|rust)\n(.*?)^```$", (ROOT / "README.md").read_text(), re.M | re.S)
    by_language = dict(found)
    if len(found) != 3 or len(by_language) != 3:
        raise SystemExit("README.md should hold one program each in Python, C and Rust")
    return by_language


def commands(language: str, source: Path, built: Path) -> list[list[str]]:
    """What builds and runs the program; the last command is the program itself."""
    program, release = str(source.with_suffix("")), built / "release"
    link = [f"-I{ROOT}/include", f"-L{release}", "-lremqtt", f"-Wl,-rpath,{release}"]
    crates = ["--extern", f"remqtt={release}/libremqtt.rlib", "-L", f"dependency={release}/deps"]
    return {
        "python": [[sys.executable, str(source)]],
        "c": [["cc", "-Wall", "-Wextra", "-Werror", str(source), "-o", program, *link], [program]],
        "rust": [["rustc", "--edition", "2021", str(source), "-o", program, *crates], [program]],
    }[language]


def run(language: str, text: str, built: Path, folder: Path, port: int) -> str | None:
    """None if the program did what the README says, else why not."""
    source = folder / f"door_{language}.{dict(python='py', c='c', rust='rs')[language]}"
    source.write_text(text.replace("1883", str(port)))
    output = ""
    for command in commands(language, source, built):
        try:
            done = subprocess.run(command, capture_output=True, text=True, timeout=HANG, check=False)
        except subprocess.TimeoutExpired:
            return f"{command[0]} did not end"
        if done.returncode != 0:
            return f"{command[0]} ended with {done.returncode}: {done.stderr.strip()}"
        output = done.stdout
    return None if output == EXPECTED else f"printed {output!r}"


def main() -> None:
    built, failed = Path(sys.argv[1]).resolve(), 0
    for language, text in programs().items():
        with wire.Mosquitto() as broker, tempfile.TemporaryDirectory() as folder:
            why = run(language, text, built, Path(folder), broker.port)
        failed += why is not None
        print(f"README, {language}: {why or 'ok'}")
    print(f"readme: {3 - failed} passed, {failed} failed")
    sys.exit(1 if failed else 0)


if __name__ == "__main__":
    main()
