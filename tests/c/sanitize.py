"""The C library under watch: sanitize.py TOOL BUILD [--tests NAME...] [--conductor PROGRAM].

Runs the tests of C and C++ and, with a conductor, plays every scenario over every transport through the C
shim. With `asan` AddressSanitizer and UBSan are in the C side, and LeakSanitizer sees what the whole process
allocates; with `valgrind` every instruction is watched, those of the library that ships included. A finding
is a report of the tool, also one from a process that ends well in spite of it.
"""

from __future__ import annotations

import argparse
import os
import re
import shutil
import subprocess
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
#: Valgrind runs one thread at a time; without fairness a hundred busy ones starve the one that does the I/O.
VALGRIND = ["valgrind", "--quiet", "--error-exitcode=1", "--fair-sched=yes", "--read-inline-info=no"]
#: What the assembly of AES-GCM computes counts as undefined for memcheck, as it does with OpenSSL's.
OVER_TLS = "--undef-value-errors=no"
#: Seconds that a program may take at most; the scenarios over a transport take minutes under valgrind.
LONGEST = 3600
#: They fork: a child never frees what it inherits of the library, or ends with a live client, as it should.
FORKS = {
    "a_reset_during_a_write_raises_no_sigpipe",
    "the_child_of_a_fork_leaves_the_client_alone_and_makes_its_own",
    "a_process_may_exit_with_live_clients",
    "a_child_that_lives_on_does_not_hold_the_store_of_its_parent",
}
#: Valgrind keeps the masks of signals itself.
NOT_UNDER_VALGRIND = {"the_threads_of_the_library_block_every_signal"}


class Watch:
    """A tool, and what it has seen."""

    def __init__(self, tool: str, build: Path) -> None:
        self.tool, self.build = tool, build
        self.logs = build / f"sanitize-{tool}"
        self.passed = self.failed = self.findings = 0
        shutil.rmtree(self.logs, ignore_errors=True)
        self.logs.mkdir(parents=True)

    def program(self, name: str, leaks: bool = True, tls: bool = False) -> list[str]:
        """The command that runs a program under the tool."""
        if self.tool == "asan":
            return [f"{self.build}/{name}-asan"]
        extra = [f"--leak-check={'full' if leaks else 'no'}", *([OVER_TLS] if tls else [])]
        return [*VALGRIND, *extra, f"--log-file={self.logs}/%p.log", f"{self.build}/{name}"]

    def reports(self) -> set[Path]:
        """The reports so far."""
        return {log for log in self.logs.iterdir() if log.stat().st_size}

    def run(self, what: str, command: list[str], cases: str, leaks: bool = True) -> None:
        """Runs a command and prints its row: `cases` is where its output counts what it did."""
        env = os.environ | {
            "ASAN_OPTIONS": f"detect_leaks={int(leaks)}:log_path={self.logs}/asan",
            "UBSAN_OPTIONS": "print_stacktrace=1",
            "REMQTT_SLACK_MS": "60000",  # how long calls take is not what is looked at here
        }
        before, began = self.reports(), time.monotonic()
        done = subprocess.run(command, env=env, capture_output=True, text=True, timeout=LONGEST)
        new = sorted(self.reports() - before)
        told = " ".join(re.sub(r"\s+", " ", found) for found in re.findall(cases, done.stdout, re.M))
        seconds = time.monotonic() - began
        print(f"{self.tool:<8} {what:<17} {told:<52} {len(new):>3} findings {seconds:>5.0f} s", flush=True)
        well = done.returncode == 0 and told != "" and not new
        if not well:
            print(done.stdout, done.stderr, *(log.read_text() for log in new), sep="\n", flush=True)
        self.passed, self.failed = self.passed + well, self.failed + (not well)
        self.findings += len(new)

    def test(self, name: str) -> None:
        """A test program; what forks runs by itself."""
        source = next((ROOT / "tests/c").glob(f"{name}.c*"))
        tests = set(re.findall(r"^TEST\((\w+)\)", source.read_text(), re.M))
        tests -= NOT_UNDER_VALGRIND if self.tool == "valgrind" else set()
        for leaks, part in ((True, tests - FORKS), (False, tests & FORKS)):
            if part:
                command = [*self.program(name, leaks, tls=name == "roads"), *sorted(part)]
                self.run(name if leaks else f"{name}, leaks off", command, r"\d+ passed, .*", leaks)

    def scenarios(self, conductor: str, transport: str) -> None:
        """Every scenario over a transport."""
        shim = " ".join(self.program("shim", tls=transport == "tls"))
        command = [conductor, "--shim", f"c={shim}", "--over", transport]
        command += ["--slow"] if self.tool == "valgrind" else []
        self.run(f"scenarios, {transport}", command, r"^ *(?:runs|fail|skip) +\d+$")


def main() -> None:
    """Prints a row for each program, and how many there were."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("tool", choices=["asan", "valgrind"])
    parser.add_argument("build", type=Path, help="folder of the compiled tests")
    parser.add_argument("--conductor", help="what plays the scenarios")
    parser.add_argument("--tests", nargs="*", default=[], help="the test programs")
    parser.add_argument("--over", nargs="*", default=["tcp", "tls", "ws"], help="these transports")
    given = parser.parse_args()
    watch = Watch(given.tool, given.build)
    for name in given.tests:
        watch.test(name)
    for transport in given.over if given.conductor else []:
        watch.scenarios(given.conductor, transport)
    print(f"{given.tool}: {watch.passed} passed, {watch.failed} failed; {watch.findings} findings")
    raise SystemExit(watch.failed > 0)


if __name__ == "__main__":
    main()
