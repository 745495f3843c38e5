"""Rows counted in round trips: a wire of 50 ms between client and broker, handshakes included."""

from __future__ import annotations

import random
import sys
import time
from functools import partial

from brokers import Broker, Gate
from children import Child
from net import Delay
from peers import HERE, Client, Peer
from stage import MS, Bench, Lane, Subject, shuffled, side_by_side
from wire import port_below_ephemeral

TRIP_MS = 50.0
FILTERS, QUEUED = 100, 2000


def trip(bench: Bench) -> None:
    """The session is kept; from the SYN of the new connection to the first message, plain and over TLS
    1.3."""
    with (
        Delay(TRIP_MS) as delay,
        Broker(namespace=delay.broker, host=delay.BROKER, tls=True) as broker,
        Lane(bench, "trip", "plain", broker, rate=100, qos=1) as plain,
        Lane(bench, "trip", "plain, QoS 2", broker, rate=100, qos=2) as twice,
        Lane(bench, "trip", "TLS 1.3", broker, rate=100, qos=1) as secure,
    ):
        for peer in bench.usual():
            _add(plain, peer, delay, broker.socket)
            _add(twice, peer, delay, broker.socket)
        for peer in bench.usual(tls=True):
            _add(secure, peer, delay, f"{delay.BROKER}:{broker.tls_port}", ca=broker.ca)
        lanes = (plain, twice, secure)
        for lane in lanes:
            lane.ready()
        time.sleep(5.5)
        for _ in range(bench.repeat):
            # What is under way on the wire at the cut comes after it: only what was published later counts.
            cuts: dict[Subject, tuple[int, int]] = {}
            for subject in shuffled(subject for lane in lanes for subject in lane.subjects):
                cuts[subject] = subject.cut("reset"), subject.feed.publish()
                time.sleep(0.05)
            for lane in lanes:
                for subject in lane.subjects:
                    subject.await_back(*cuts[subject], 15)
                    _sample(bench, delay, subject, lane, *cuts[subject])
            time.sleep(max(0.0, max(cut for cut, _ in cuts.values()) / 1e9 + 5.5 - time.monotonic()))
        for subject in secure.subjects:
            assert subject.gate is not None
            resumed, of = subject.gate.resumed()
            bench.figures.count("trip", secure.case, subject.name, "% resumed", 100 * resumed / max(1, of))
        for lane in lanes:
            lane.account()


def _add(lane: Lane, peer: Peer, delay: Delay, target: str, **words: str | int) -> None:
    gate = Gate(target, namespace=delay.broker, host=delay.BROKER)
    lane.add(peer, gate.host, gate.port, gate=gate, namespace=delay.client, **words)


def _sample(bench: Bench, delay: Delay, subject: Subject, lane: Lane, cut: int, number: int) -> None:
    """In round trips, from the SYN to the first message."""
    up, syn = _dialled(delay, subject, cut)
    # The backlog comes first: any message of the new connection, once the one that was waited for has come.
    message = subject.client.first_message(up) if up and subject.back(cut, number) else None
    if message is None or up is None or syn is None:
        bench.figures.add("trip", lane.case, subject.name, None)
        return
    phases = {"notice": max(0.0, (syn - cut) / MS), "dial": (up - syn) / MS, "message": (message - up) / MS}
    bench.figures.add("trip", lane.case, subject.name, (message - syn) / delay.trip, phases)


def _dialled(delay: Delay, subject: Subject, cut: int) -> tuple[int | None, int | None]:
    """When the client was back after `cut`, and its last SYN before that, which is the earliest that can have
    won."""
    assert subject.gate is not None
    up = subject.client.first(subject.client.ups, cut)
    with delay.changed:
        # A SYN may be seen shortly before the gate's word that it has cut.
        syns = [t for port, t in delay.syns if port == subject.gate.port and cut - 5 * MS <= t <= (up or 0)]
    return up, syns[-1] if syns else None


def lost(bench: Bench) -> None:
    """100 filters on MQTT 5, each with a retained message. Lost: the broker forgets the session while its
    port is shut.
    Kept: a reset, after which no retained message may come again.

    Once with the kernel's own initial window, which is ten segments, and mosquitto sends a hundred small
    ones; and once without slow start, where only the client's own trips are left.
    """
    for case, wide in (("session lost", False), ("session lost, no slow start", True)):
        with (
            Delay(TRIP_MS, wide=wide) as delay,
            Broker(namespace=delay.broker, host=delay.BROKER) as broker,
            Lane(bench, "lost", case, broker, rate=0, qos=1) as lane,
        ):
            _lost(bench, delay, broker, lane)
            if wide:
                continue
            for _ in range(max(1, bench.repeat // 5)):
                for subject in lane.subjects:
                    _keep(bench, subject)
                time.sleep(5.5)


def _lost(bench: Bench, delay: Delay, broker: Broker, lane: Lane) -> None:
    broker.retain([f"{lane.topic}/{number}" for number in range(FILTERS)])
    for peer in bench.usual():
        _add(lane, peer, delay, broker.socket, version=5, filters=FILTERS)
    for subject in list(lane.subjects):
        if not subject.client.await_retained(FILTERS, 20):
            print(f"  lost: {subject.name} got {len(subject.client.retained)} retained messages", flush=True)
    time.sleep(5.5)
    for number in range(bench.repeat):
        # A round trip for each filter takes seconds, and the same each time.
        asked = [s for s in lane.subjects if number < 3 or not _slow(bench, lane.case, s)]
        side_by_side(partial(_lose, bench, delay, broker, lane.case, subject) for subject in asked)
        time.sleep(5.5)


def _slow(bench: Bench, case: str, s: Subject) -> bool:
    took = bench.figures.cell("lost", case, s.name).median
    return took is None or took > 60


def _lose(bench: Bench, delay: Delay, broker: Broker, case: str, subject: Subject) -> None:
    client, gate = subject.client, subject.gate
    assert gate is not None
    packets, before = gate.packets().get(8, 0), len(client.retained)
    cut = gate.do("refuse")
    broker.forget(subject.id)
    time.sleep(0.1)
    gate.do("pass")
    came = client.await_retained(before + FILTERS, 20)
    up, syn = _dialled(delay, subject, cut)
    counts = bench.figures.cell("lost", case, subject.name).counts
    counts["SUBSCRIBE packets"] = max(counts.get("SUBSCRIBE packets", 0), gate.packets().get(8, 0) - packets)
    if not came or up is None or syn is None:
        bench.figures.add("lost", case, subject.name, None)
        return
    # The last of them stands for the last filter: all are in force when it comes.
    last = client.retained[before + FILTERS - 1][1]
    phases = {"notice": 0.0, "dial": (up - syn) / MS, "message": (last - up) / MS}
    bench.figures.add("lost", case, subject.name, (last - syn) / delay.trip, phases)


def _keep(bench: Bench, subject: Subject) -> None:
    before, case = len(subject.client.retained), "session kept"
    cut = subject.cut("reset")
    subject.client.wait(lambda: subject.client.first(subject.client.ups, cut) is not None, 12)
    time.sleep(0.3)
    repeated = len(subject.client.retained) - before
    bench.figures.add("lost", case, subject.name, float(repeated))


class Exact(Child):
    """exact.py as the runner starts it."""

    def __init__(self, delay: Delay, qos: int) -> None:
        self.port, self.ready = port_below_ephemeral(), False
        command = [
            sys.executable,
            str(HERE / "exact.py"),
            delay.BROKER,
            str(self.port),
            str(QUEUED),
            str(qos),
        ]
        super().__init__(command, namespace=delay.broker)
        if not self.wait(lambda: self.ready, 10):
            raise RuntimeError("the exact broker did not start")

    def hear(self, line: str) -> None:
        self.ready = True


def drain(bench: Bench) -> None:
    """2,000 messages of 112 bytes wait; from SYN to the last one, and every one exactly once.

    Once with the kernel's own initial window, where slow start takes most of the time of the quick ones, and
    once without slow start, where only MQTT's window is left. Peers at their best run a quarter as often as
    ours and the floor; those that need many seconds once, side by side: nothing but the window decides there.
    """
    ours = [p for p in bench.usual() if p.ours or p.floor]
    best = [p for p in bench.usual() if p.name.endswith("best")]
    slow = [p for p in bench.usual() if p not in ours and p not in best]
    for qos, wide in ((1, False), (2, False), (1, True), (2, True)):
        case = f"QoS {qos}" + (", no slow start" if wide else "")
        with Delay(TRIP_MS, wide=wide) as delay:
            for number in range(bench.repeat if wide else -(-bench.repeat // 4)):
                turn = ours + (best if number % 4 == 0 else [])
                for peer in random.sample(turn, len(turn)):
                    _drain(bench, delay, peer, qos, case)
            side_by_side(partial(_drain, bench, delay, peer, qos, case) for peer in slow)


def _drain(bench: Bench, delay: Delay, peer: Peer, qos: int, case: str) -> None:
    with Exact(delay, qos) as broker:
        words = {
            "host": delay.BROKER,
            "port": broker.port,
            "id": "drain",
            "topic": "bench/drain",
            "qos": qos,
            "version": 5,
        }
        with Client(peer, words, namespace=delay.client) as client:
            came = client.wait(lambda: len(client.messages) >= QUEUED, 40)
            time.sleep(0.1)
            # The first connection: whoever dials a second time meets a second session, which would hide a
            # loss.
            syn = delay.syn_after(broker.port, 0)
            took = (client.messages[QUEUED - 1][1] - syn) / MS if came and syn is not None else None
            bench.figures.add("drain", case, peer.name, took)
            got = [number for number, _ in client.messages]
            bench.figures.account("drain", case, peer.name, got, set(range(QUEUED)), qos)
