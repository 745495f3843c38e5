"""make bench-clients: many connected clients in one process. Threads, memory for each, idle CPU.

Memory is the growth of the resident set from no client to all of them, after they have settled, divided by
their number: what a library needs once is part of it. Every library runs at 1,000 and, since some fail there,
at 100.
"""

from __future__ import annotations

import argparse
import json
import resource
import subprocess
import sys
from pathlib import Path

import wire


def libraries(programs: Path, demo: Path) -> dict[str, list[str]]:
    script = str(wire.ROOT / "tests/bench/clients_client.py")
    return {
        "paho-mqtt loop_start": [sys.executable, script],
        "libmosquitto loop_start": [str(programs / "clients_mosquitto")],
        "paho.mqtt.c async": [str(programs / "clients_paho_c")],
        "rumqttc": [str(demo), "rumqttc-clients"],
        "remqtt Python": [sys.executable, "-m", "remqtt", script],
        "remqtt C": [str(programs / "clients_remqtt")],
    }


def run(name: str, command: list[str], count: int) -> None:
    with wire.Mosquitto() as broker:
        try:
            done = subprocess.run(
                [*command, "127.0.0.1", str(broker.port), str(count)],
                capture_output=True,
                text=True,
                timeout=120,
            )
        except subprocess.TimeoutExpired:
            print(f"{name:<24} {count:>6}  failed: hung for two minutes", flush=True)
            return
    if done.returncode != 0 or not done.stdout.strip():
        why = (done.stderr.strip().splitlines() or ["no message"])[-1]
        print(f"{name:<24} {count:>6}  failed, exit {done.returncode}: {why[:80]}", flush=True)
        return
    told = json.loads(done.stdout)
    if told["connected"] != count:
        print(f"{name:<24} {count:>6}  failed: only {told['connected']} connected", flush=True)
        return
    each, cpu = told["rss_kib"] / count, told["idle_cpu"] * 100
    print(f"{name:<24} {count:>6} {told['threads']:>8} {each:>12.1f} {cpu:>11.2f}", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("programs", type=Path, help="folder of the compiled clients")
    parser.add_argument("demo", type=Path, help="the demo's program, which holds the rumqttc client")
    parser.add_argument("--only", default="", help="libraries whose name contains this")
    parser.add_argument("--counts", type=int, nargs="+", default=[100, 1000])
    given = parser.parse_args()
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(hard, 65536) if hard > 0 else 65536, hard))
    print(f"{'library':<24} {'count':>6} {'threads':>8} {'KiB each':>12} {'idle CPU %':>11}")
    for name, command in libraries(given.programs, given.demo).items():
        if given.only in name:
            for count in given.counts:
                run(name, command, count)
    print("required: remqtt no thread each, at most 16 KiB each in C and 24 KiB in Python.")


if __name__ == "__main__":
    main()
