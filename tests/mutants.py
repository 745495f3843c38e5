"""make sim-mutants: seeded bugs, each in a copy of the tree, and how many random stories it takes to find
them.

    mutants.py TARGET CARGO

A bug that is not found within so many stories fails the run, and so does one whose place in the code is gone.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).parents[1]
#: Random stories in which a bug has to be found.
STORIES = 5_000


class Bug(NamedTuple):
    """What is wrong, where, and what stands there instead."""

    name: str
    file: str
    right: str
    wrong: str


BUGS = [
    Bug(
        "what is sent again is not marked with DUP",
        "core/proto/src/transmit.rs",
        "let (dup, maximum) = (item.written, link.limits.maximum_packet_size);",
        "let (dup, maximum) = (false, link.limits.maximum_packet_size);",
    ),
    Bug(
        "new publishes go before what is sent again",
        "core/proto/src/session/outbound.rs",
        "let place = self.next_place;\n        self.next_place += 1;",
        "let place = if self.by_identifier.len() > 1 { u64::MAX / 2 - self.next_place } "
        "else { self.next_place };\n"
        "        self.next_place += 1;",
    ),
    Bug(
        "identifiers of received QoS 2 messages are not recorded",
        "core/proto/src/journal/mod.rs",
        "self.note(|_| row::received(packet_identifier, taken))",
        "{ let _ = row::received(packet_identifier, taken); 0 }",
    ),
    Bug(
        "messages are acknowledged before they are durable",
        "core/proto/src/transmit.rs",
        "if !self.session.journal.is_durable(self.session.inbound.rests_on(delivery)) {",
        "if false {",
    ),
    Bug(
        "acknowledgements that wait for the disk are forgotten when there are many",
        "core/proto/src/transmit.rs",
        "if link.owed.is_empty() && link.owed.capacity() > OWED_KEPT {",
        "if link.owed.capacity() > OWED_KEPT {",
    ),
    Bug(
        "identifiers are used again while they are in use",
        "core/proto/src/session/identifiers.rs",
        "let preferred = (ticket.wrapping_sub(1) % SPACE) as u16 + 1;",
        "let preferred = (ticket % 7) as u16 + 1;\n        self.used.remove(&preferred);",
    ),
    Bug(
        "publishes leave without waiting for the sync",
        "core/proto/src/transmit.rs",
        "if !self.session.journal.is_durable(item.lsn) {\n            return Step::Blocked;\n        }",
        "",
    ),
]


def copy(tree: Path) -> None:
    """The files of the repository; only what differs is written, so that little is built again."""
    listed = subprocess.run(["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=True)
    for name in listed.stdout.splitlines():
        source, target = ROOT / name, tree / name
        if not source.is_file() or (target.exists() and source.read_bytes() == target.read_bytes()):
            continue
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(source, target)


def hunt(bug: Bug, tree: Path, cargo: str) -> str | None:
    """The seed of the story that found it."""
    copy(tree)
    file = tree / bug.file
    text = file.read_text()
    if text.count(bug.right) != 1:
        raise SystemExit(f"{bug.name}: its place in {bug.file} is gone")
    file.write_text(text.replace(bug.right, bug.wrong))
    environment = os.environ | {
        # Not that of the repository: cargo would take what was built of a bug for what it builds there.
        "CARGO_TARGET_DIR": str(tree / "target"),
        "REMQTT_RUNS": str(STORIES),
        "REMQTT_SEED": "1",
    }
    # Random stories only: a kept one fails without a seed.
    test = ["--test", "random", "random_operations_break_no_invariant"]
    command = [cargo, "test", "-q", "-p", "remqtt-tests", *test]
    done = subprocess.run(command, cwd=tree, env=environment, capture_output=True, text=True, check=False)
    found = re.search(r"REMQTT_SEED=(\d+) REMQTT_RUNS=1: (.*)", done.stdout + done.stderr)
    if done.returncode != 0 and found is None:
        raise SystemExit(f"{bug.name}: {done.stderr[-3000:]}")
    return f"{found[1]:>8}  {found[2][:110]}" if found else None


def main(target: Path, cargo: str) -> int:
    """Prints a table."""
    missed = 0
    print(f"{'found at':>8}  how (seeds are counted from 1)")
    for bug in BUGS:
        found = hunt(bug, target / "mutants", cargo)
        missed += found is None
        print(f"{found or f'not within {STORIES} stories'}\n{'':8}  <- {bug.name}", flush=True)
    return 1 if missed else 0


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1]), sys.argv[2]))
