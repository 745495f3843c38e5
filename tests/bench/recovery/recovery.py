"""make bench-recovery: outages of every kind, remqtt beside its peers and beside a floor of bare system
calls.

    make bench-recovery [ROWS=reset,refused] [REPEAT=20] [CLIENTS=paho,remqtt] [ALARM=60]

It prints the table and writes it to target/bench/recovery: table.md, results.json, phases.png and phases.svg.
Needs root: the rows of swallowed traffic, of links and of round trips have networks of their own.
"""

from __future__ import annotations

import argparse
import os
import resource
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from types import FrameType

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import net
import rows_fleet
import rows_gate
import rows_silence
import rows_trip
import table
import wire
from figures import Figures
from peers import peers
from stage import Bench

ROWS: dict[str, Callable[[Bench], None]] = {
    "reset": rows_gate.reset,
    "refused": rows_gate.refused,
    "silent": rows_gate.silent,
    "swallowed": rows_silence.swallowed,
    "notice": rows_silence.notice,
    "alarm": rows_gate.alarm,
    "link": rows_silence.link,
    "trip": rows_trip.trip,
    "lost": rows_trip.lost,
    "drain": rows_trip.drain,
    "fleet": rows_fleet.fleet,
    "manners": rows_gate.manners,
}
ON_DEMAND: dict[str, Callable[[Bench], None]] = {"null": rows_gate.null}


def main() -> None:
    given = arguments()
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(hard, 65536) if hard > 0 else 65536, hard))
    if os.geteuid() != 0:
        raise SystemExit("bench-recovery makes networks of its own: run it as root")
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, stop)
    known = ROWS | ON_DEMAND
    rows = [row for row in given.rows.split(",") if row] or list(ROWS)
    if unknown := [row for row in rows if row not in known]:
        raise SystemExit(f"no row is called {', '.join(unknown)}; there are {', '.join(known)}")
    wanted = [word.lower() for word in given.clients.split(",") if word]
    chosen = [
        p for p in peers(given.programs) if not wanted or any(word in p.name.lower() for word in wanted)
    ]
    bench = Bench(chosen, Figures([peer.name for peer in chosen]), given.repeat, alarm=given.alarm)
    if given.repeat < 5:
        bench.patience = 20  # a run that only shows that everything works
    given.out.mkdir(parents=True, exist_ok=True)
    net.sweep()
    load = f"{os.cpu_count()} cores, load {os.getloadavg()[0]:.1f}"
    head = f"{wire.Mosquitto.version()} (drain: exact.py), {load}, {given.repeat} repeats"
    print(head, flush=True)
    try:
        for row in rows:
            began = time.monotonic()
            known[row](bench)
            net.end_all()
            print(f"\n{table.of_row(bench.figures, row)}\n({time.monotonic() - began:.0f} s)", flush=True)
            bench.figures.save(given.out / "results.json")
    except KeyboardInterrupt:
        print("\nstopped: what follows is of the rows so far", flush=True)
    finally:
        net.end_all()
    report(bench, given.out, head)


def report(bench: Bench, out: Path, head: str) -> None:
    verdicts = table.verdicts(bench.figures)
    (out / "table.md").write_text(table.document(bench.figures, head, verdicts))
    print("\n" + verdicts)
    plot = Path(__file__).with_name("plot.py")
    subprocess.run([sys.executable, str(plot), str(out / "results.json"), str(out)], check=False)
    print(f"written: {out}/table.md, results.json, phases.png, phases.svg")


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("programs", type=Path, help="folder of the compiled clients")
    parser.add_argument("out", type=Path, help="folder for the table and the plot")
    parser.add_argument("--rows", default="", help="comma-separated; all when empty")
    parser.add_argument(
        "--repeat", type=int, default=20, help="samples of each cell, where a row does not say less"
    )
    parser.add_argument("--clients", default="", help="clients whose names contain one of these words")
    parser.add_argument("--alarm", type=float, default=60, help="seconds of the row of false alarms")
    return parser.parse_args()


def stop(number: int, frame: FrameType | None) -> None:
    raise KeyboardInterrupt


if __name__ == "__main__":
    main()
