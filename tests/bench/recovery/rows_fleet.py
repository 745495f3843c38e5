"""A thousand sessions and one restart of their broker."""

from __future__ import annotations

import time
from collections import Counter

from brokers import Broker
from children import now
from peers import Client, Peer
from stage import MS, Bench, Lane
from wire import packet, string

# Several processes, because select() ends at a few hundred clients in one.
PROCESSES, EACH, DOWN = 4, 250, 1.0


def fleet(bench: Bench) -> None:
    """The broker ends, and is back a second later: each client's time from the start of the new one."""
    for peer in bench.usual():
        # Best settings change nothing here that a restart would show, and the floor is one connection.
        if not peer.floor and not peer.name.endswith("best"):
            with Broker() as broker, Lane(bench, "fleet", "", broker, rate=0, qos=1) as lane:
                clients = [
                    lane.add(peer, broker.host, broker.port, id=f"fleet-{n}", count=EACH).client
                    for n in range(PROCESSES)
                ]
                _restart(bench, broker, lane, peer, clients)


def _restart(bench: Bench, broker: Broker, lane: Lane, peer: Peer, clients: list[Client]) -> None:
    figures = bench.figures
    count = _settled(clients)
    figures.count("fleet", "", peer.name, "clients", count)
    if count < PROCESSES * EACH:
        print(f"  fleet: only {count} clients of {peer.name} subscribed", flush=True)
    lane.feed.close()
    time.sleep(5.5)  # links that are young count as unstable for some
    before = len(broker.log())
    broker.terminate()
    time.sleep(DOWN)
    started = now()  # before the broker listens: some are back at once
    broker.start()

    def back() -> list[int]:
        return sorted(up for client in clients for up in client.ups if up >= started)

    end = time.monotonic() + 60
    while len(back()) < count and time.monotonic() < end:
        time.sleep(0.1)
    time.sleep(1)
    ups = back()[:count]
    for up in ups:
        figures.add("fleet", "", peer.name, (up - started) / MS)
    for _ in range(count - len(ups)):
        figures.add("fleet", "", peer.name, None)
    connects = broker.log()[before:].count("New client connected")
    figures.count("fleet", "", peer.name, "CONNECTs", connects)
    if ups:
        slots = Counter((up - ups[0]) // int(100 * MS) for up in ups)
        peak = max(slots.values()) / (len(ups) / (max(slots) + 1))
        figures.count("fleet", "", peer.name, "peak/mean per 100 ms", peak)
    _all_hear(bench, broker, lane, peer, clients, count)


def _settled(clients: list[Client]) -> int:
    """How many have subscribed, once all have or ten seconds brought no more."""
    seen, since = 0, time.monotonic()
    while seen < PROCESSES * EACH and time.monotonic() - since < 10:
        subscribed = sum(len(client.subscribed) for client in clients)
        if subscribed != seen:
            seen, since = subscribed, time.monotonic()
        time.sleep(0.05)
    return seen


def _all_hear(
    bench: Bench, broker: Broker, lane: Lane, peer: Peer, clients: list[Client], count: int
) -> None:
    """One message to everybody, after everybody is back."""
    with broker.dial("herald") as link:
        link.sendall(packet(0x30, string(lane.topic) + (1).to_bytes(8, "big")))
        end = time.monotonic() + 10
        while sum(len(client.messages) for client in clients) < count and time.monotonic() < end:
            time.sleep(0.05)
        time.sleep(0.2)
    heard = sum(len(client.messages) for client in clients)
    cell = bench.figures.cell("fleet", "", peer.name)
    cell.messages += count
    cell.lost += max(0, count - heard)
    cell.repeated += max(0, heard - count)
