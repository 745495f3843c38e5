"""make bench-drain: small messages wait in the broker for a persistent session; each client drains them.

The clients take turns, so that whatever else the machine does hits all of them. Time runs from the call
that connects to the last message in the application's callback; CPU is that of the client's process in
between. The floors are bare system calls: what they get is all that the broker gives.
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
from pathlib import Path

import wire

COUNT, SIZE, TOPIC = 50_000, 64, "bench/drain"


def clients(programs: Path) -> dict[str, list[str]]:
    script = str(wire.ROOT / "tests/bench/drain_client.py")
    return {
        "floor 3.1.1": [str(programs / "drain_raw")],
        "floor 5": [str(programs / "drain_raw")],
        "paho-mqtt": [sys.executable, script],
        "libmosquitto": [str(programs / "drain_mosquitto")],
        "remqtt Python": [sys.executable, "-m", "remqtt", script],
        "remqtt C": [str(programs / "drain_remqtt")],
    }


def run(name: str, command: list[str], broker: wire.Mosquitto) -> dict[str, float]:
    client_id = "drain-" + name.replace(" ", "-")
    wire.prepare(broker.port, client_id, TOPIC)
    wire.fill(broker.port, TOPIC, COUNT, SIZE)
    arguments = ["127.0.0.1", str(broker.port), client_id, str(COUNT), *(["5"] if name == "floor 5" else [])]
    done = subprocess.run([*command, *arguments], capture_output=True, text=True, timeout=180, check=False)
    if done.returncode != 0:
        raise SystemExit(f"{name} failed ({done.returncode}): {done.stderr.strip()}")
    wire.forget(broker.port, client_id)
    told: dict[str, float] = json.loads(done.stdout)
    return {
        "rate": told["messages"] / told["seconds"],
        "cpu_us": told["cpu_seconds"] * 1e6 / told["messages"],
    }


def report(results: dict[str, list[dict[str, float]]]) -> None:
    rate = {name: statistics.median(r["rate"] for r in rows) for name, rows in results.items()}
    cpu = {name: statistics.median(r["cpu_us"] for r in rows) for name, rows in results.items()}
    peers = ("paho-mqtt", "libmosquitto")
    head = ("client", "messages/s", "CPU us/message", ": paho-mqtt", ": libmosquitto")
    print("\n{:<14} {:>12} {:>15} {:>12} {:>15}".format(*head))
    for name in results:
        ratios = [f"{rate[name] / rate[peer]:.2f}" if peer in rate else "-" for peer in peers]
        print(f"{name:<14} {rate[name]:>12,.0f} {cpu[name]:>15.2f} {ratios[0]:>12} {ratios[1]:>15}")
    print("medians; required: remqtt Python at least 8 times paho-mqtt, remqtt C at least libmosquitto.")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("programs", type=Path, help="folder of the compiled clients")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--only", default="", help="clients whose name contains this")
    given = parser.parse_args()
    chosen = {name: command for name, command in clients(given.programs).items() if given.only in name}
    results: dict[str, list[dict[str, float]]] = {name: [] for name in chosen}
    print(f"{COUNT} messages of {SIZE} bytes at QoS 1, {wire.Mosquitto.version()}, {given.rounds} rounds")
    with wire.Mosquitto() as broker:
        for number in range(given.rounds):
            for name in list(chosen) if number % 2 == 0 else list(reversed(chosen)):
                results[name].append(run(name, chosen[name], broker))
                print(
                    f"  round {number + 1}: {name:<14} {results[name][-1]['rate']:>10,.0f} messages/s",
                    flush=True,
                )
    report(results)


if __name__ == "__main__":
    main()
