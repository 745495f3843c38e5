"""The fault injector: a proxy between one client and the broker. gate.py HOST PORT TARGET [JITTER_MS]

TARGET is `host:port`, or the path of a Unix socket. It obeys words and answers each with a line of JSON that
has the time of the fault on CLOCK_MONOTONIC:

    reset      both sides of each connection are reset (SO_LINGER 0)
    close      each connection ends with FIN
    refuse     reset, then nobody listens
    silence    reset, then the first connection that comes is accepted and never served, nor are others that
               come within a second of it; then `pass`, told by a line of its own, `healed`. So every client
               meets the fault.
    deny       reset, then each CONNECT is answered with `not authorised` and the end
    pass       as at the beginning
    tell       so far: how many packets of each type clients have sent, when each CONNECT came, and how many
               bytes the broker's first piece had on each connection (TLS: no certificate when resumed)

With JITTER_MS each piece of data is late by 0 to that much, in both directions, and in order.
"""

from __future__ import annotations

import collections
import heapq
import itertools
import json
import os
import random
import selectors
import socket
import struct
import sys
import time
from collections.abc import Callable

STUCK = 5.0  # seconds: a side that takes nothing for so long is hung up, or all others would wait for it
PIECE = 1 << 16
SILENCE = 1.0  # seconds
RESET = struct.pack("ii", 1, 0)
NOT_AUTHORISED = {False: b"\x20\x02\x00\x05", True: b"\x20\x03\x00\x87\x00"}


class Link:
    """A client's connection and its other half. Deferred pieces keep their order by never being due before
    others."""

    def __init__(self, gate: Gate, client: socket.socket) -> None:
        self.gate, self.client = gate, client
        self.server: socket.socket | None = None
        self.packets = Packets(gate)
        self.answered = False
        self.due = {False: 0.0, True: 0.0}  # of the client's data; of the server's
        prepare(client)
        gate.watch(client, self.from_client)
        if gate.mode == "pass":
            self.server = gate.dial()
            prepare(self.server)
            gate.watch(self.server, self.from_server)
        self.silent = gate.mode == "silence"

    def from_client(self) -> None:
        if self.silent:
            self.gate.unwatch(self.client)
            return
        data = read(self.client)
        version = self.packets.take(data)
        if self.gate.mode == "deny" and self.server is None:
            if version:
                write(self.client, NOT_AUTHORISED[version == 5])
            if version or not data:
                self.end(hard=False)
            return
        self.forward(self.server, data, of_server=False)

    def from_server(self) -> None:
        assert self.server is not None
        data = read(self.server)
        if data and not self.answered:
            self.answered = True
            self.gate.first_pieces.append(len(data))
        self.forward(self.client, data, of_server=True)

    def forward(self, to: socket.socket | None, data: bytes, *, of_server: bool) -> None:
        def go() -> None:
            if self in self.gate.links and (not data or to is None or not write(to, data)):
                self.end(hard=False)

        if not self.gate.jitter:
            go()
            return
        due = max(time.monotonic() + random.uniform(0, self.gate.jitter), self.due[of_server])
        self.due[of_server] = due
        self.gate.later(due, go)

    def end(self, *, hard: bool) -> None:
        self.gate.links.discard(self)
        for side in (self.client, self.server):
            if side is not None:
                self.gate.unwatch(side)
                if hard:
                    side.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)
                side.close()


class Packets:
    """Counts the packets of a client's stream. What does not begin with CONNECT (TLS) is not counted."""

    def __init__(self, gate: Gate) -> None:
        self.gate, self.data = gate, b""
        self.plain: bool | None = None  # not known before the first byte

    def take(self, data: bytes) -> int:
        """The version of MQTT, if there was a CONNECT in it."""
        version = 0
        if self.plain is None and data:
            self.plain = data[0] == 0x10
        if not self.plain:
            return 0
        self.data += data
        while len(self.data) >= 2:
            length, at, shift, more = 0, 1, 0, True
            while more and at < len(self.data) and at < 5:
                length |= (self.data[at] & 127) << shift
                more, shift, at = self.data[at] >= 128, shift + 7, at + 1
            if more or at + length > len(self.data):
                break
            kind = self.data[0] >> 4
            self.gate.counts[kind] += 1
            if kind == 1:
                self.gate.connects.append(time.monotonic_ns())
                version = self.data[at + 2 + int.from_bytes(self.data[at : at + 2], "big")]
            self.data = self.data[at + length :]
        return version


class Gate:
    def __init__(self, host: str, port: int, target: str, jitter: float) -> None:
        self.here, self.target, self.jitter = (host, port), target, jitter
        self.mode = "pass"
        self.links: set[Link] = set()
        self.counts: collections.Counter[int] = collections.Counter()
        self.connects: list[int] = []
        self.first_pieces: list[int] = []
        self._timers: list[tuple[float, int, Callable[[], None]]] = []
        self._order = itertools.count()
        self._pipes = selectors.DefaultSelector()
        self._listener: socket.socket | None = None
        self._listen()
        self.watch(sys.stdin, self._command)

    def watch(self, what: object, action: Callable[[], None]) -> None:
        self._pipes.register(what, selectors.EVENT_READ, action)  # type: ignore[arg-type]

    def unwatch(self, what: socket.socket) -> None:
        if what.fileno() >= 0 and what.fileno() in self._pipes.get_map():
            self._pipes.unregister(what)

    def later(self, due: float, action: Callable[[], None]) -> None:
        heapq.heappush(self._timers, (due, next(self._order), action))

    def dial(self) -> socket.socket:
        if self.target.startswith("/"):
            server = socket.socket(socket.AF_UNIX)
            server.connect(self.target)
            return server
        host, port = self.target.rsplit(":", 1)
        return socket.create_connection((host, int(port)))

    def run(self) -> None:
        while True:
            wait = max(0.0, self._timers[0][0] - time.monotonic()) if self._timers else None
            for key, _ in self._pipes.select(wait):
                # An earlier event of the same round may have ended it.
                if key.fd in self._pipes.get_map():
                    key.data()
            while self._timers and self._timers[0][0] <= time.monotonic():
                heapq.heappop(self._timers)[2]()

    def _listen(self) -> None:
        self._listener = socket.socket()
        self._listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        self._listener.bind(self.here)
        self._listener.listen(512)
        self.watch(self._listener, self._accept)

    def _accept(self) -> None:
        assert self._listener is not None
        client, _ = self._listener.accept()
        if self.mode == "silence" and not self._timers:
            self.later(time.monotonic() + SILENCE, self._heal)
        try:
            self.links.add(Link(self, client))
        except OSError:  # the broker does not listen: nor do we
            self.unwatch(client)
            client.close()

    def _command(self) -> None:
        line = os.read(0, 4096).decode()
        if not line:
            sys.exit(0)
        for word in line.split():
            getattr(self, "do_" + word)()
            told: dict[str, object] = {"did": word, "at": time.monotonic_ns()}
            if word == "tell":
                told |= {"counts": dict(self.counts), "connects": self.connects, "pieces": self.first_pieces}
            print(json.dumps(told), flush=True)

    def _heal(self) -> None:
        self.mode = "pass"
        print(json.dumps({"did": "healed", "at": time.monotonic_ns()}), flush=True)

    def _end_all(self, *, hard: bool) -> None:
        for link in list(self.links):
            link.end(hard=hard)

    def do_reset(self) -> None:
        self._end_all(hard=True)

    def do_close(self) -> None:
        self._end_all(hard=False)

    def do_refuse(self) -> None:
        if self._listener is not None:
            self.unwatch(self._listener)
            self._listener.close()
            self._listener = None
        self._end_all(hard=True)

    def do_silence(self) -> None:
        self.mode = "silence"
        self._end_all(hard=True)

    def do_deny(self) -> None:
        self.mode = "deny"
        self._end_all(hard=True)

    def do_pass(self) -> None:
        self.mode = "pass"
        if self._listener is None:
            self._listen()

    def do_tell(self) -> None:
        pass


def prepare(link: socket.socket) -> None:
    link.settimeout(STUCK)
    if link.family == socket.AF_INET:
        link.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        link.setsockopt(socket.IPPROTO_TCP, socket.TCP_QUICKACK, 1)


def read(link: socket.socket) -> bytes:
    """What waits there; nothing at its end, whatever ended it."""
    try:
        data = link.recv(PIECE)
        if link.family == socket.AF_INET:
            link.setsockopt(socket.IPPROTO_TCP, socket.TCP_QUICKACK, 1)
    except OSError:
        return b""
    return data


def write(link: socket.socket, data: bytes) -> bool:
    try:
        link.sendall(data)
    except OSError:
        return False
    return True


if __name__ == "__main__":
    if os.geteuid() == 0:
        os.nice(-10)  # an instrument: it must not wait for those that it measures
    host, port, target, *rest = sys.argv[1:]
    Gate(host, int(port), target, float(rest[0]) / 1000 if rest else 0.0).run()
