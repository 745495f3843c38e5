"""Rows without any word from the network: swallowed traffic, a broker that is stopped, a link that goes down.

The clients run in a namespace of their own; the black hole is in the middle one, out of sight of both ends.
"""

from __future__ import annotations

import itertools
import random
import re
import subprocess
import sys
import time
from collections import Counter
from functools import partial

from brokers import Broker
from children import Child, now
from net import BlackHole
from peers import HERE, PROFILES_OF_OURS
from stage import MS, Bench, Lane, Subject, side_by_side

OCTAVES = ((2, 4), (4, 8), (8, 16), (16, 30))
STREAM = 50  # messages a second
HEADERS = 52  # IPv4, TCP and its timestamps


class Sniffer(Child):
    """Every SYN of the clients, seen before the black hole."""

    def __init__(self, namespace: str) -> None:
        self.syns: list[tuple[str, int, int]] = []  # address, port, time
        self.ready = False
        super().__init__([sys.executable, str(HERE / "sniffer.py"), "m1"], namespace=namespace)
        if not self.wait(lambda: self.ready, 10):
            raise RuntimeError("the sniffer did not start")

    def hear(self, line: str) -> None:
        kind, *words = line.split()
        if kind == "syn":
            self.syns.append((words[0], int(words[1]), int(words[2])))
        else:
            self.ready = True

    def first(self, address: str, port: int, after: int) -> int | None:
        with self.changed:
            return next((t for to, at, t in self.syns if t >= after and (to, at) == (address, port)), None)


def swallowed(bench: Bench) -> None:
    """Everything is swallowed for 2 to 30 s, drawn from octaves because timers double: from the heal to the
    first message. The floor keeps its old TCP connection, as all do that have not noticed."""
    lanes = min(5, bench.repeat)
    hole = BlackHole(lanes)
    with Broker(namespace=hole.broker) as broker:
        side_by_side(
            partial(_swallow, bench, hole, broker, number, bench.rounds(lanes)) for number in range(lanes)
        )


def _swallow(bench: Bench, hole: BlackHole, broker: Broker, number: int, rounds: int) -> None:
    with Lane(bench, "swallowed", "", broker, rate=STREAM, qos=1 + number % 2) as lane:
        for peer in bench.of_silence():
            lane.add(peer, hole.addresses[number], broker.port, namespace=hole.client)
        lane.ready()
        time.sleep(5.5 + random.uniform(0, 1))
        for turn in range(rounds):
            outage = random.uniform(*OCTAVES[(number + turn) % len(OCTAVES)])
            cut = hole.cut(number)
            time.sleep(outage)
            healed = hole.heal(number)
            cases = ("2-10 s" if outage <= 10 else "10-30 s", "2-30 s, all")
            lane.await_back(lane.subjects, {s.name: healed for s in lane.subjects}, outage + 15)
            for subject, case in itertools.product(lane.subjects, cases):
                lane.sample(case, subject, cut, healed)
            time.sleep(5.5)
        lane.account(45)


def notice(bench: Bench) -> None:
    """Silence without end, on a stream and on an idle subscription: from the cut to the client's first
    act."""
    kinds = [
        "busy, swallowed",
        "idle, swallowed",
        "busy, broker stopped",
        "idle, swallowed",
        "busy, swallowed",
    ]
    lanes = kinds[: max(3, min(len(kinds), bench.repeat))]
    hole = BlackHole(len(lanes))
    with Sniffer(hole.middle) as sniffer:
        side_by_side(Silence(bench, hole, sniffer, number, kind).run for number, kind in enumerate(lanes))


class Silence:
    """A lane of `notice`. Everybody is in its first round; the later ones, which are short, are for ours,
    because the keep alive of the others does the same each time."""

    def __init__(self, bench: Bench, hole: BlackHole, sniffer: Sniffer, number: int, kind: str) -> None:
        self.bench, self.hole, self.sniffer, self.number, self.kind = bench, hole, sniffer, number, kind
        self.idle, self.stopped = kind.startswith("idle"), kind.endswith("stopped")
        self.address = hole.addresses[number]

    def run(self) -> None:
        peers = [p for p in self.bench.peers if self.idle or p.name not in PROFILES_OF_OURS]
        peers = [p for p in peers if not p.floor]
        rounds = max(1, self.bench.repeat // (1 if self.stopped else 2))
        with (
            Broker(namespace=self.hole.broker, ports=len(peers)) as broker,
            Lane(
                self.bench,
                "notice",
                self.kind,
                broker,
                rate=0 if self.idle else STREAM,
                qos=1 + self.number % 2,
            ) as lane,
        ):
            ports: dict[str, int] = {}
            for peer, port in zip(peers, broker.ports):
                ports[peer.name] = port
                lane.add(peer, self.address, port, namespace=self.hole.client)
            lane.ready()
            time.sleep(6)
            for number in range(rounds):
                self._round(lane, broker, ports, first=number == 0)
            lane.account(45)

    def _round(self, lane: Lane, broker: Broker, ports: dict[str, int], *, first: bool) -> None:
        watched = [subject for subject in lane.subjects if first or subject.peer.ours]
        if self.idle and first:
            self._measure_idle(watched, ports)
        time.sleep(random.uniform(0, 2))
        cut = self._cut(broker)
        end = time.monotonic() + (self.bench.patience if first else 12)
        acts: dict[str, int] = {}
        while len(acts) < len(watched) and time.monotonic() < end:
            for subject in watched:
                act = self._act(subject, ports[subject.name], cut)
                if act is not None:
                    acts.setdefault(subject.name, act)
            time.sleep(0.02)
        healed = self._heal(broker)
        for subject in watched:
            taken = (acts[subject.name] - cut) / MS if subject.name in acts else None
            self.bench.figures.add("notice", self.kind, subject.name, taken)
        number = lane.feed.publish()
        # The first silence is long, and some ask a server that says nothing less and less often.
        patience = self.bench.patience + 20 if first else 20
        lane.await_back(watched, {s.name: healed for s in watched}, patience, number)
        for subject in watched if self.stopped else ():
            message = subject.client.first_message(healed, number)
            late = None if message is None else (message - healed) / MS
            self.bench.figures.add("notice", "broker goes on", subject.name, late)
        time.sleep(5.5)

    def _act(self, subject: Subject, port: int, cut: int) -> int | None:
        down = subject.client.first(subject.client.downs, cut)
        syn = self.sniffer.first(self.address, port, cut)
        return min((time for time in (down, syn) if time is not None), default=None)

    def _cut(self, broker: Broker) -> int:
        if not self.stopped:
            return self.hole.cut(self.number)
        broker.stop()
        return now()

    def _heal(self, broker: Broker) -> int:
        if not self.stopped:
            return self.hole.heal(self.number)
        broker.go_on()
        return now()

    def _measure_idle(self, watched: list[Subject], ports: dict[str, int]) -> None:
        """What an idle subscription costs on the wire, both ways, headers included: with all that TCP
        sends, and the PINGREQs and PINGRESPs alone."""
        time.sleep(1)
        before, began = {s.name: self._bytes(ports[s.name]) for s in watched}, time.monotonic()
        time.sleep(45)  # a ping more or less counts little
        for subject in watched:
            after, seconds = self._bytes(ports[subject.name]), time.monotonic() - began
            counts = self.bench.figures.cell("notice", self.kind, subject.name).counts
            for what, old, new in zip(("bytes/s", "of pings"), before[subject.name], after, strict=True):
                counts[what] = max(counts.get(what, 0.0), (new - old) / seconds)

    def _bytes(self, port: int) -> tuple[int, int]:
        command = ["ip", "netns", "exec", self.hole.client, "ss", "-Htin", "dst", f"{self.address}:{port}"]
        told = subprocess.run(command, capture_output=True, text=True, check=False).stdout
        count: Counter[str] = Counter()
        for kind, value in re.findall(r"(\w+):(\d+)", told):
            count[kind] += int(value)
        ours = count["bytes_sent"] + count["bytes_received"]
        every, full = (count[f"{kind}segs_in"] + count[f"{kind}segs_out"] for kind in ("", "data_"))
        return ours + HEADERS * every, ours + HEADERS * full


def link(bench: Bench) -> None:
    """The client's link goes down for 1 to 4 s; from the moment that it is up, with its route, to the first
    message."""
    hole = BlackHole(1)
    with (
        Broker(namespace=hole.broker) as broker,
        Lane(bench, "link", "", broker, rate=STREAM, qos=1) as first,
        Lane(bench, "link", "", broker, rate=STREAM, qos=2) as second,
    ):
        for lane in (first, second):
            for peer in bench.usual():
                lane.add(peer, hole.addresses[0], broker.port, namespace=hole.client)
            lane.ready()
        time.sleep(6)
        for _ in range(bench.rounds(2)):
            cut = hole.link_down()
            time.sleep(random.uniform(1, 4))
            up = hole.link_up()
            for lane in (first, second):
                lane.await_back(lane.subjects, {s.name: up for s in lane.subjects}, 15)
                for subject in lane.subjects:
                    lane.sample("", subject, cut, up)
            time.sleep(5.5)
        for lane in (first, second):
            lane.account()
