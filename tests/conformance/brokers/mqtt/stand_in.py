"""A server of MQTT 5 for what mosquitto cannot play: as small as paho's tests allow.

It refuses a subscription to test/nosubscribe, sends a message once with the identifiers of all subscriptions
that match, and uses a topic alias where the client allows some. It keeps no session and no retained message.
"""

from __future__ import annotations

import itertools
import socketserver
import struct
import threading
from typing import ClassVar

REFUSED = "test/nosubscribe"
_TOPIC_ALIAS_MAXIMUM, _TOPIC_ALIAS, _SUBSCRIPTION_IDENTIFIER = 0x22, 0x23, 0x0B
#: Bytes of the properties that the tests' packets may have; of strings the first two say how many.
_SIZES = {
    0x11: 4,
    0x21: 2,
    _TOPIC_ALIAS_MAXIMUM: 2,
    0x27: 4,
    0x17: 1,
    0x19: 1,
    _TOPIC_ALIAS: 2,
    0x01: 1,
    0x02: 4,
}


class Reader:
    """The bytes of a packet, from front to back."""

    def __init__(self, body: bytes) -> None:
        self.body, self.at = body, 0

    def take(self, size: int) -> bytes:
        self.at += size
        return self.body[self.at - size : self.at]

    def number(self, size: int) -> int:
        return int.from_bytes(self.take(size), "big")

    def text(self) -> str:
        return self.take(self.number(2)).decode()

    def variable(self) -> int:
        value = 0
        for shift in itertools.count(0, 7):
            byte = self.number(1)
            value |= (byte & 0x7F) << shift
            if byte < 0x80:
                break
        return value

    def properties(self) -> dict[int, int]:
        found = {}
        end = self.variable()
        end += self.at
        while self.at < end:
            which = self.number(1)
            found[which] = (
                self.variable() if which == _SUBSCRIPTION_IDENTIFIER else self.number(_SIZES[which])
            )
        return found

    def rest(self) -> bytes:
        return self.body[self.at :]


def variable(value: int) -> bytes:
    """A variable byte integer."""
    encoded = bytearray()
    while value > 0x7F:
        encoded.append(value & 0x7F | 0x80)
        value >>= 7
    return bytes((*encoded, value))


def matches(topic_filter: str, topic: str) -> bool:
    """As the tests use filters: whole, or with # at the end."""
    if topic_filter.endswith("#"):
        return f"{topic}/".startswith(topic_filter[:-1])
    return topic_filter == topic


class Connection(socketserver.BaseRequestHandler):
    """One client."""

    everybody: ClassVar[dict[Connection, dict[str, tuple[int, int]]]] = {}
    lock = threading.RLock()

    def handle(self) -> None:
        self.file = self.request.makefile("rb")
        self.identifiers = itertools.count(1)
        self.aliases: dict[str, int] = {}
        self.alias_maximum = 0
        try:
            while first := self.file.read(1):
                reader = Reader(self.file.read(self.remaining_length()))
                with self.lock:
                    if not self.packet(first[0], reader):
                        break
        except OSError:
            pass  # the client has left without a word
        finally:
            with self.lock:
                self.everybody.pop(self, None)

    def remaining_length(self) -> int:
        digits = iter(lambda: self.file.read(1), b"")
        encoded = bytearray()
        for digit in digits:
            encoded += digit
            if digit[0] < 0x80:
                break
        return Reader(bytes(encoded)).variable()

    def send(self, first: int, body: bytes) -> None:
        self.request.sendall(bytes((first,)) + variable(len(body)) + body)

    def packet(self, first: int, reader: Reader) -> bool:
        """Answers one packet; false after the last one."""
        kind = first >> 4
        if kind == 1:
            reader.take(10)  # the protocol's name and version, flags, keep alive
            self.alias_maximum = reader.properties().get(_TOPIC_ALIAS_MAXIMUM, 0)
            self.everybody[self] = {}
            self.send(0x20, b"\0\0\0")
        elif kind == 3:
            self.publish(first >> 1 & 3, reader)
        elif kind == 5:
            self.send(0x62, reader.take(2))
        elif kind == 6:
            self.send(0x70, reader.take(2))
        elif kind == 8:
            self.subscribe(reader)
        elif kind == 12:
            self.send(0xD0, b"")
        return kind != 14

    def subscribe(self, reader: Reader) -> None:
        answer = reader.take(2) + b"\0"
        identifier = reader.properties().get(_SUBSCRIPTION_IDENTIFIER, 0)
        while reader.at < len(reader.body):
            topic_filter, qos = reader.text(), reader.number(1) & 3
            refused = topic_filter == REFUSED
            if not refused:
                self.everybody[self][topic_filter] = qos, identifier
            answer += bytes((0x80 if refused else qos,))
        self.send(0x90, answer)

    def publish(self, qos: int, reader: Reader) -> None:
        topic = reader.text()
        identifier = reader.take(2) if qos else b""
        reader.properties()
        if qos:
            self.send(0x40 if qos == 1 else 0x50, identifier)
        for other, subscriptions in self.everybody.items():
            found = [of for topic_filter, of in subscriptions.items() if matches(topic_filter, topic)]
            if found:
                granted = min(qos, max(granted for granted, _ in found))
                other.deliver(topic, granted, [number for _, number in found if number], reader.rest())

    def deliver(self, topic: str, qos: int, subscription_identifiers: list[int], payload: bytes) -> None:
        properties = b"".join(
            bytes((_SUBSCRIPTION_IDENTIFIER,)) + variable(number) for number in subscription_identifiers
        )
        known = topic in self.aliases
        if known or len(self.aliases) < self.alias_maximum:
            alias = self.aliases.setdefault(topic, len(self.aliases) + 1)
            properties += struct.pack(">BH", _TOPIC_ALIAS, alias)
            topic = "" if known else topic
        head = struct.pack(">H", len(topic)) + topic.encode()
        identifier = struct.pack(">H", next(self.identifiers)) if qos else b""
        self.send(0x30 | qos << 1, head + identifier + variable(len(properties)) + properties + payload)


class Server(socketserver.ThreadingTCPServer):
    """Listens on loopback."""

    allow_reuse_address = True
    daemon_threads = True
