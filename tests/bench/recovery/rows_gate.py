"""Rows whose fault is a proxy on loopback: connections that end, are refused, or are accepted and never
served."""

from __future__ import annotations

import random
import socket
import time
from collections.abc import Sequence
from functools import partial

from brokers import Broker
from children import now
from peers import Peer
from stage import Bench, Lane, shuffled, side_by_side

STREAM = 50  # messages a second
OUTAGES = (0.3, 1.0, 5.0, 20.0)


def reset(bench: Bench) -> None:
    """Reset or FIN while the broker is up: from the cut to the next message that is published after it."""
    with Broker() as broker:
        _one_at_a_time(bench, "reset", broker, ("reset", "close"))


def null(bench: Bench) -> None:
    """No fault at all: what the harness itself adds to each figure. Not part of a usual run."""
    with Broker() as broker:
        _one_at_a_time(bench, "null", broker, ("pass",))


def _one_at_a_time(bench: Bench, row: str, broker: Broker, words: tuple[str, ...]) -> None:
    with (
        Lane(bench, row, "", broker, rate=STREAM, qos=1) as first,
        Lane(bench, row, "", broker, rate=STREAM, qos=2) as second,
    ):
        for lane in (first, second):
            lane.through_gates(bench.usual())
            lane.ready()
        time.sleep(5.5)  # a link that is young counts as unstable for some
        for number in range(bench.rounds(2)):
            word = words[number % len(words)]
            cuts: list[tuple[Lane, object, int, int]] = []
            everybody = shuffled([*first.subjects, *second.subjects])
            for subject in everybody:
                lane = first if subject in first.subjects else second
                cut = subject.cut(word)
                wanted = lane.feed.publish()
                # Until it is back, or known to be slow: nobody else's recovery disturbs this one.
                subject.await_back(cut, wanted, 0.3)
                cuts.append((lane, subject, cut, wanted))
                time.sleep(random.uniform(0.0, 0.02))
            for subject, (lane, _, cut, wanted) in zip(everybody, cuts):
                lane.await_back([subject], {subject.name: cut}, 15, wanted)
                lane.sample("", subject, cut, cut, wanted)
            time.sleep(max(0.0, (max(entry[2] for entry in cuts) / 1e9 + 5.5) - time.monotonic()))
        for lane in (first, second):
            lane.account()


def refused(bench: Bench) -> None:
    """Nobody listens for about D seconds: from the moment that the port is open again to the first message.

    The longest runs beside the others, which take as long together. Whoever dials without a pause while
    refused runs after all others, and a tenth as often.
    """
    calm = [peer for peer in bench.usual() if not peer.spins]
    *short, longest = OUTAGES
    side_by_side([partial(_refused, bench, short, calm), partial(_refused, bench, [longest], calm)])
    with Broker() as broker:
        for peer in bench.usual():
            for outage in OUTAGES if peer.spins else ():
                _refuse(
                    bench, broker, outage, [peer], max(1, bench.repeat // (10 if outage < 5 else 20)), 1, 0
                )


def _refused(bench: Bench, outages: Sequence[float], calm: list[Peer]) -> None:
    lanes = min(5, bench.repeat)
    rounds = bench.rounds(lanes)
    for outage in outages:
        with Broker() as broker:
            side_by_side(
                partial(_refuse, bench, broker, outage, calm, rounds, 1 + number % 2, number)
                for number in range(lanes)
            )


def _refuse(
    bench: Bench, broker: Broker, outage: float, peers: list[Peer], rounds: int, qos: int, lane_number: int
) -> None:
    case = f"{outage:g} s"
    with Lane(bench, "refused", case, broker, rate=10, qos=qos) as lane:
        lane.through_gates(peers)
        lane.ready()
        time.sleep(5.5 + lane_number * 0.3)
        for _ in range(rounds):
            order = shuffled(lane.subjects)
            # Most clients wait whole seconds: a D of whole seconds would tell more of their phase than of
            # them.
            length = outage * random.uniform(0.8, 1.25)
            cuts, heals = {}, {}
            for subject in order:
                cuts[subject.name] = subject.cut("refuse")
                time.sleep(0.03)
            for subject in order:
                time.sleep(max(0.0, (cuts[subject.name] / 1e9 + length) - time.monotonic()))
                heals[subject.name] = subject.cut("pass")
            lane.await_back(order, heals, 2 * outage + 12)
            for subject in order:
                lane.sample(case, subject, cuts[subject.name], heals[subject.name])
            time.sleep(5.5)
        lane.account()


def silent(bench: Bench) -> None:
    """The next connection is accepted and never served, nor are others within a second of it: from the end of
    that second to the first message."""
    lanes = min(5, bench.repeat)
    with Broker() as broker:
        side_by_side(
            partial(_silence, bench, broker, 1 + number % 2, bench.rounds(lanes), number)
            for number in range(lanes)
        )


def _silence(bench: Bench, broker: Broker, qos: int, rounds: int, lane_number: int) -> None:
    with Lane(bench, "silent", "", broker, rate=20, qos=qos) as lane:
        lane.through_gates(bench.usual())
        lane.ready()
        time.sleep(5.5 + lane_number)
        for number in range(rounds):
            # The slow ones take a minute, and take it in the same way each time: one round tells.
            order = shuffled(s for s in lane.subjects if number == 0 or s.peer.ours or s.peer.floor)
            cuts, heals = {}, {}
            for subject in order:
                assert subject.gate is not None
                subject.gate.healed.clear()
                cuts[subject.name] = subject.cut("silence")
                time.sleep(0.05)
            for subject in order:
                assert subject.gate is not None
                subject.gate.await_healed(15)
                heals[subject.name] = subject.gate.healed[0] if subject.gate.healed else now()
            patience = min(75, bench.patience) if number == 0 else 10
            lane.await_back([s for s in order if not s.peer.floor], heals, patience)
            for subject in order:
                # The floor notices no silence; it is here for its messages only.
                if subject.peer.floor:
                    subject.cut("reset")
                else:
                    lane.sample("", subject, cuts[subject.name], heals[subject.name])
            time.sleep(5.5)
        lane.account(75)


def alarm(bench: Bench) -> None:
    """A living link, late by 0 to 300 ms each way, and an application that stalls: how often it is given
    up."""
    with Broker() as broker, Lane(bench, "alarm", "", broker, rate=STREAM, qos=1) as lane:
        lane.through_gates([peer for peer in bench.peers if peer.ours], jitter_ms=300, stall=1500)
        lane.ready()
        time.sleep(bench.alarm)
        for subject in lane.subjects:
            assert subject.gate is not None
            given_up = len(subject.gate.connects()) - 1
            bench.figures.add("alarm", "", subject.name, given_up * 1.0)
            bench.figures.count("alarm", "", subject.name, "seconds", bench.alarm)
        lane.account()


def manners(bench: Bench) -> None:
    """Another client takes the session over again and again; the broker refuses for good: attempts in a
    minute."""
    peers = [peer for peer in bench.usual() if not peer.floor]  # which has none
    with Broker() as broker:
        side_by_side(
            [partial(_rivals, bench, broker, peers, version) for version in (4, 5)]
            + [partial(_denied, bench, broker, peers)]
        )


MINUTE = 60.0


def _denied(bench: Bench, broker: Broker, peers: list[Peer]) -> None:
    with Lane(bench, "manners", "refused for good", broker, rate=0, qos=1) as lane:
        lane.through_gates(peers)
        lane.ready()
        before = _attempts(lane)
        for subject in lane.subjects:
            subject.cut("deny")
        time.sleep(MINUTE)
        _count(bench, lane, lane.case, before)


def _rivals(bench: Bench, broker: Broker, peers: list[Peer], version: int) -> None:
    """The rival connects half a second after the client is back, and stays until the client takes over.

    A server that only closes the connection (MQTT 3.1.1 has no word for it, and mosquitto 2.0.11 says none on
    MQTT 5) leaves it to the client to understand, which takes some of these.
    """
    case = f"taken over, MQTT {'3.1.1' if version == 4 else version}"
    with Lane(bench, "manners", case, broker, rate=0, qos=1) as lane:
        lane.through_gates(peers, version=version)
        lane.ready()
        rivals: list[socket.socket] = []
        answered = {subject.name: 0 for subject in lane.subjects}
        for minute in (case, f"{case}, the second minute"):
            before, end = _attempts(lane), time.monotonic() + MINUTE
            while time.monotonic() < end:
                for subject in lane.subjects:
                    ups = subject.client.ups
                    if len(ups) > answered[subject.name] and now() - ups[-1] > 0.5e9:
                        answered[subject.name] = len(ups)
                        rivals.append(broker.dial(subject.id, clean=False))
                time.sleep(0.02)
            _count(bench, lane, minute, before)
        for rival in rivals:
            rival.close()


def _attempts(lane: Lane) -> dict[str, int]:
    return {subject.name: len(subject.gate.connects()) for subject in lane.subjects if subject.gate}


def _count(bench: Bench, lane: Lane, case: str, before: dict[str, int]) -> None:
    for name, attempts in _attempts(lane).items():
        bench.figures.add("manners", case, name, float(attempts - before[name]))
