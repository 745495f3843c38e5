"""What rows have in common: the clients of a lane, their faults and their samples.

A lane is one set of clients with one publisher and one QoS. Lanes run side by side where seconds are
measured, and one fault at a time where milliseconds are.
"""

from __future__ import annotations

import random
import threading
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass

from brokers import Broker, Feed, Gate
from figures import Figures
from peers import PROFILES_OF_OURS, SILENCE_ONLY, Client, Peer

MS = 1e6


@dataclass
class Bench:
    """What a row is given."""

    peers: list[Peer]
    figures: Figures
    repeat: int
    patience: float = 130.0  # seconds that silence may last before a client counts as deaf
    alarm: float = 60.0  # seconds of the row of false alarms

    def usual(self, *, tls: bool = False) -> list[Peer]:
        """The peers of rows without silence."""
        odd = SILENCE_ONLY | PROFILES_OF_OURS
        return [peer for peer in self.peers if peer.name not in odd and (peer.tls or not tls)]

    def of_silence(self) -> list[Peer]:
        return [peer for peer in self.peers if peer.name not in PROFILES_OF_OURS]

    def rounds(self, lanes: int) -> int:
        return max(1, -(-self.repeat // lanes))


@dataclass(eq=False)
class Subject:
    """A client in a row: its program, its gate if it has one, and where its messages begin."""

    peer: Peer
    client: Client
    feed: Feed
    gate: Gate | None = None
    start: int = 0
    id: str = ""

    @property
    def name(self) -> str:
        return self.peer.name

    def cut(self, word: str) -> int:
        assert self.gate is not None
        return self.gate.do(word)

    def back(self, after: int, number: int = 0) -> bool:
        return self.client.first_message(after, number) is not None

    def await_back(self, after: int, number: int, seconds: float) -> bool:
        """Waits for a message that was read after `after` and has at least this number."""
        return self.client.wait(lambda: self.back(after, number), seconds)

    def end(self) -> None:
        self.client.end()
        if self.gate is not None:
            self.gate.end()


class Lane:
    """Clients that subscribe to one topic. Used as a context: everything in it ends with it."""

    def __init__(self, bench: Bench, row: str, case: str, broker: Broker, *, rate: float, qos: int) -> None:
        self.bench, self.row, self.case, self.broker, self.qos = bench, row, case, broker, qos
        self.topic = f"bench/{row}/{time.monotonic_ns()}"
        self.feed = Feed(broker, self.topic, rate=rate, qos=qos)
        self.subjects: list[Subject] = []

    def add(
        self,
        peer: Peer,
        host: str,
        port: int,
        *,
        gate: Gate | None = None,
        namespace: str = "",
        **words: str | int,
    ) -> Subject:
        name = "".join(letter for letter in peer.name if letter.isalnum())
        client_id = f"{name}-{self.topic.rsplit('/', 1)[1]}"
        given: dict[str, object] = {
            "host": host,
            "port": port,
            "id": client_id,
            "topic": self.topic,
            "qos": self.qos,
            **words,
        }
        client = Client(peer, given, namespace=namespace)
        subject = Subject(peer, client, self.feed, gate, id=client_id)
        self.subjects.append(subject)
        return subject

    def through_gates(self, peers: Iterable[Peer], *, jitter_ms: int = 0, **words: str | int) -> None:
        for peer in peers:
            gate = Gate(self.broker.socket, jitter_ms=jitter_ms)
            self.add(peer, gate.host, gate.port, gate=gate, namespace="", **words)

    def ready(self, seconds: float = 30) -> None:
        """Waits until each client has subscribed and got a message; who does not is left out, loudly."""
        for subject in list(self.subjects):
            if not subject.client.await_subscribed(seconds):
                print(f"  {self.row}: {subject.name} did not subscribe: left out", flush=True)
                self.subjects.remove(subject)
                subject.end()
                self.bench.figures.count(self.row, self.case, subject.name, "did not start", 1)
        number = self.feed.publish()
        for subject in self.subjects:
            if subject.client.unknown:
                self.bench.figures.count(self.row, self.case, subject.name, "option unknown", 1)
            subject.start = number
            subject.await_back(0, number, seconds)

    def await_back(
        self, subjects: list[Subject], since: dict[str, int], seconds: float, number: int = 0
    ) -> None:
        """Waits until each has had a message read after its own moment."""
        end = time.monotonic() + seconds
        for subject in subjects:
            subject.await_back(since[subject.name], number, max(0.0, end - time.monotonic()))

    def sample(self, case: str, subject: Subject, cut: int, healed: int, number: int = 0) -> None:
        """From the heal to the next message, and what that time went into."""
        client, label = subject.client, subject.name
        message = client.first_message(healed, number)
        if message is None:
            self.bench.figures.add(self.row, case, label, None)
            return
        down = client.first(client.downs, cut)
        ups = [up for up in client.ups if cut <= up <= message]
        noticed = min(max(down or cut, healed), message)
        up = max(ups[-1] if ups else noticed, noticed)
        phases = {"notice": noticed - healed, "dial": up - noticed, "message": message - up}
        self.bench.figures.add(
            self.row, case, label, (message - healed) / MS, {name: ns / MS for name, ns in phases.items()}
        )

    def account(self, seconds: float = 20) -> None:
        """Ends the stream; compares what came with what was published once all has come or time is up."""
        self.feed.settle()
        end = time.monotonic() + seconds
        for subject in self.subjects:
            wanted = {number for number in set(self.feed.acknowledged) if number >= subject.start}

            def complete(subject: Subject = subject, wanted: set[int] = wanted) -> bool:
                messages = subject.client.messages
                return len(messages) >= len(wanted) and wanted <= {number for number, _ in messages}

            subject.client.wait(complete, max(0.0, end - time.monotonic()))
            got = [number for number, _ in subject.client.messages]
            self.bench.figures.account(self.row, self.case, subject.name, got, wanted, self.qos)

    def __enter__(self) -> Lane:
        return self

    def __exit__(self, *_: object) -> None:
        for subject in self.subjects:
            subject.end()
        self.feed.close()


def side_by_side(actions: Iterable[Callable[[], None]]) -> None:
    """Runs them at the same time and raises what one of them raised."""
    failures: list[BaseException] = []

    def guarded(action: Callable[[], None]) -> None:
        try:
            action()
        except BaseException as failure:
            failures.append(failure)

    threads = [threading.Thread(target=guarded, args=(action,), daemon=True) for action in actions]
    for thread in threads:
        thread.start()
    for thread in threads:
        while thread.is_alive():  # so that Ctrl-C is heard
            thread.join(0.2)
    if failures:
        raise failures[0]


def shuffled(subjects: Iterable[Subject]) -> list[Subject]:
    order = list(subjects)
    random.shuffle(order)
    return order
