"""Rows counted in round trips: a wire of 50 ms between client and broker, handshakes included."""

from __future__ import annotations

import sys
import time

from brokers import Broker, Gate, port_below_ephemeral
from children import Child
from net import Delay
from peers import HERE, Client, Peer
from stage import MS, Bench, Lane, Subject, shuffled, side_by_side

TRIP_MS = 50.0
FILTERS, QUEUED = 100, 2000


def trip(bench: Bench) -> None:
    """The session is kept; from the SYN of the new connection to the first message, plain and over TLS 1.3."""
    with (
        Delay(TRIP_MS) as delay,
        Broker(namespace=delay.broker, host=delay.BROKER, tls=True) as broker,
        Lane(bench, "trip", "plain", broker, rate=100, qos=1) as plain,
        Lane(bench, "trip", "TLS 1.3", broker, rate=100, qos=2) as secure,
    ):
        for peer in bench.usual():
            _add(plain, peer, delay, broker.socket)
        for peer in bench.usual(tls=True):
            _add(secure, peer, delay, f"{delay.BROKER}:{broker.tls_port}", ca=broker.ca)
        for lane in (plain, secure):
            lane.ready()
        time.sleep(5.5)
        for _ in range(bench.repeat):
            cuts: dict[Subject, int] = {}
            for subject in shuffled([*plain.subjects, *secure.subjects]):
                cuts[subject] = subject.cut("reset")
                time.sleep(0.15)
            for lane in (plain, secure):
                since = {subject.name: cuts[subject] for subject in lane.subjects}
                lane.await_back(lane.subjects, since, 15)
                for subject in lane.subjects:
                    _sample(bench, "trip", lane.case, delay, subject, cuts[subject])
            time.sleep(max(0.0, max(cuts.values()) / 1e9 + 5.5 - time.monotonic()))
        for lane in (plain, secure):
            lane.account()


def _add(lane: Lane, peer: Peer, delay: Delay, target: str, **words: object) -> None:
    gate = Gate(target, namespace=delay.broker, host=delay.BROKER)
    lane.add(peer, gate.host, gate.port, gate=gate, namespace=delay.client, **words)


def _sample(bench: Bench, row: str, case: str, delay: Delay, subject: Subject, cut: int) -> None:
    """In round trips, from the last SYN that had a chance to be the winner's: the last before CONNACK."""
    assert subject.gate is not None
    # What was under way on the wire at the cut may come after it: only what follows the new CONNACK counts.
    up = subject.client.first(subject.client.ups, cut)
    message = subject.client.first_message(up or cut) if up else None
    with delay.changed:
        syns = [t for port, t in delay.syns if port == subject.gate.port and cut <= t <= (up or 0)]
    if message is None or not syns or up is None:
        bench.figures.add(row, case, subject.name, None)
        return
    phases = {"notice": (syns[0] - cut) / MS, "dial": (up - syns[-1]) / MS, "message": (message - up) / MS}
    bench.figures.add(row, case, subject.name, (message - syns[-1]) / MS / TRIP_MS, phases)


def lost(bench: Bench) -> None:
    """100 filters on MQTT 5, each with a retained message. Lost: the broker forgets the session while its port is shut.
    Kept: a reset, after which no retained message may come again."""
    with (
        Delay(TRIP_MS) as delay,
        Broker(namespace=delay.broker, host=delay.BROKER) as broker,
        Lane(bench, "lost", "session lost", broker, rate=0, qos=1) as lane,
    ):
        broker.retain([f"{lane.topic}/{number}" for number in range(FILTERS)])
        for peer in bench.usual():
            _add(lane, peer, delay, broker.socket, version=5, filters=FILTERS)
        for subject in list(lane.subjects):
            if not subject.client.wait(lambda s=subject: len(s.client.retained) >= FILTERS, 20):  # type: ignore[misc]
                print(f"  lost: {subject.name} got {len(subject.client.retained)} retained messages", flush=True)
        time.sleep(5.5)
        for _ in range(bench.repeat):
            side_by_side(lambda s=subject: _lose(bench, delay, broker, s) for subject in lane.subjects)  # type: ignore[misc]
            time.sleep(5.5)
        for _ in range(max(1, bench.repeat // 5)):
            for subject in lane.subjects:
                _keep(bench, subject)
            time.sleep(5.5)


def _lose(bench: Bench, delay: Delay, broker: Broker, subject: Subject) -> None:
    client, gate, case = subject.client, subject.gate, "session lost"
    assert gate is not None
    packets, before = gate.packets().get(8, 0), len(client.retained)
    cut = gate.do("refuse")
    broker.forget(subject.id)
    time.sleep(0.1)
    gate.do("pass")
    came = client.wait(lambda: len(client.retained) >= before + FILTERS, 20)
    up = client.first(client.ups, cut)
    with delay.changed:
        syns = [t for port, t in delay.syns if port == gate.port and cut <= t <= (up or 0)]
    bench.figures.count("lost", case, subject.name, "SUBSCRIBE packets", (gate.packets().get(8, 0) - packets) / bench.repeat)
    if not came or up is None or not syns:
        bench.figures.add("lost", case, subject.name, None)
        return
    # The last of them stands for the last filter: all are in force when it comes.
    last = client.retained[before + FILTERS - 1][1]
    phases = {"notice": 0.0, "dial": (up - syns[-1]) / MS, "message": (last - up) / MS}
    bench.figures.add("lost", case, subject.name, (last - syns[-1]) / MS / TRIP_MS, phases)


def _keep(bench: Bench, subject: Subject) -> None:
    before, case = len(subject.client.retained), "session kept"
    cut = subject.cut("reset")
    subject.client.wait(lambda: subject.client.first(subject.client.ups, cut) is not None, 12)
    time.sleep(0.3)
    repeated = len(subject.client.retained) - before
    bench.figures.add("lost", case, subject.name, float(repeated))
    bench.figures.count("lost", case, subject.name, "retained repeated", repeated)


class Exact(Child):
    """exact.py as the runner starts it."""

    def __init__(self, delay: Delay, qos: int) -> None:
        self.port, self.ready = port_below_ephemeral(), False
        command = [sys.executable, str(HERE / "exact.py"), delay.BROKER, str(self.port), str(QUEUED), str(qos)]
        super().__init__(command, namespace=delay.broker)
        if not self.wait(lambda: self.ready, 10):
            raise RuntimeError("the exact broker did not start")

    def hear(self, line: str) -> None:
        self.ready = True


def drain(bench: Bench) -> None:
    """2,000 messages of 100 bytes wait; from SYN to the last one, and every one exactly once.

    Those that need seconds for it run side by side and a fifth as often: nothing but the window decides there.
    """
    quick = [p for p in bench.usual() if p.ours or p.floor or p.name.endswith("best")]
    slow = [p for p in bench.usual() if p not in quick]
    for qos in (1, 2):
        with Delay(TRIP_MS) as delay:
            for number in range(bench.repeat):
                for peer in sorted(quick, key=lambda p: hash((p.name, number))):
                    _drain(bench, delay, peer, qos)
                if number % 5 == 0:
                    side_by_side(lambda p=peer: _drain(bench, delay, p, qos) for peer in slow)  # type: ignore[misc]


def _drain(bench: Bench, delay: Delay, peer: Peer, qos: int) -> None:
    case = f"QoS {qos}"
    with Exact(delay, qos) as broker:
        words = {"host": delay.BROKER, "port": broker.port, "id": "drain", "topic": "bench/drain", "qos": qos, "version": 5}
        with Client(peer, words, namespace=delay.client) as client:
            came = client.wait(lambda: len(client.messages) >= QUEUED, 40)
            time.sleep(0.1)
            # The first connection: whoever dials a second time meets a second session, which would hide a loss.
            syn = delay.syn_after(broker.port, 0)
            took = (client.messages[QUEUED - 1][1] - syn) / MS if came and syn is not None else None
            bench.figures.add("drain", case, peer.name, took)
            got = [number for number, _ in client.messages]
            bench.figures.account("drain", case, peer.name, got, set(range(QUEUED)), qos)
