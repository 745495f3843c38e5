"""A thousand sessions and one restart of their broker."""

from __future__ import annotations

import time
from collections import Counter

from brokers import Broker, packet, text
from peers import Peer
from stage import MS, Bench, Lane, now

CLIENTS, DOWN = 1000, 1.0


def fleet(bench: Bench) -> None:
    for peer in bench.usual():
        # Best settings change nothing here that a restart would show, and the floor is one connection.
        if not peer.floor and not peer.name.endswith("best"):
            with Broker() as broker:
                _restart(bench, broker, peer)


def _restart(bench: Bench, broker: Broker, peer: Peer) -> None:
    with Lane(bench, "fleet", "", broker, rate=0, qos=1) as lane:
        subject = lane.add(peer, broker.host, broker.port, count=CLIENTS)
        client, figures = subject.client, bench.figures
        client.wait(lambda: len(client.subscribed) >= CLIENTS, 60)
        count = len(client.subscribed)
        figures.count("fleet", "", peer.name, "clients", count)
        if count < CLIENTS:
            print(f"  fleet: only {count} clients of {peer.name} subscribed", flush=True)
        lane.feed.publish()
        client.wait(lambda: len(client.messages) >= count, 30)
        lane.feed.settle()
        lane.feed.close()
        time.sleep(5.5)  # links that are young count as unstable for some
        before = len(broker.log())
        broker.terminate()
        time.sleep(DOWN)
        broker.start()
        started = now()
        client.wait(lambda: len([up for up in client.ups if up >= started]) >= count, 90)
        time.sleep(1)
        back = sorted(up for up in client.ups if up >= started)
        for up in back[:count]:
            figures.add("fleet", "", peer.name, (up - started) / MS)
        for _ in range(count - len(back)):
            figures.add("fleet", "", peer.name, None)
        log = broker.log()[before:]
        figures.count("fleet", "", peer.name, "CONNECTs", log.count("New client connected"))
        if back:
            slots = Counter((up - back[0]) // int(100 * MS) for up in back)
            mean = len(back) / (max(slots) + 1)
            figures.count("fleet", "", peer.name, "peak/mean per 100 ms", max(slots.values()) / mean)
        _all_hear(bench, broker, lane, count)


def _all_hear(bench: Bench, broker: Broker, lane: Lane, count: int) -> None:
    """One message to everybody, after everybody is back."""
    client, peer = lane.subjects[0].client, lane.subjects[0].peer
    before = len(client.messages)
    with broker.dial("herald") as link:
        link.sendall(packet(0x30, text(lane.topic) + (1).to_bytes(8, "big")))
        client.wait(lambda: len(client.messages) - before >= count, 10)
    cell = bench.figures.cell("fleet", "", peer.name)
    heard = len(client.messages) - before
    cell.lost += max(0, count - heard)
    cell.repeated += max(0, heard - count)
