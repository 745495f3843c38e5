"""A broker that does one thing: exact.py HOST PORT COUNT QOS. To whoever connects it is the keeper of a
session with COUNT messages of 112 bytes, and it sends them within the client's Receive Maximum, never one
more.

Without that property the window is 20, as that of mosquitto is then; mosquitto before 2.0.22 sends more than
it may.
"""

from __future__ import annotations

import socket
import sys
import threading

SIZE, WINDOW = 112, 20


class Session:
    """One connection, until the client closes it."""

    def __init__(self, link: socket.socket, count: int, qos: int) -> None:
        self.link, self.count, self.qos = link, count, qos
        self.five, self.window = False, WINDOW
        self.sent, self.in_flight, self.out = 0, 0, bytearray()
        self.open = False

    def run(self) -> None:
        data = b""
        while True:
            more = self.link.recv(1 << 16)
            if not more:
                return
            self.link.setsockopt(socket.IPPROTO_TCP, socket.TCP_QUICKACK, 1)
            data = self.take(data + more)
            self.fill()
            if self.out:
                self.link.sendall(self.out)
                self.out.clear()

    def take(self, data: bytes) -> bytes:
        at = 0
        while len(data) - at >= 2:
            length, body, shift = data[at + 1] & 127, at + 2, 7
            while data[body - 1] & 128:
                if body >= len(data):
                    return data[at:]
                length |= (data[body] & 127) << shift
                shift, body = shift + 7, body + 1
            if body + length > len(data):
                break
            self.packet(data[at] >> 4, data[body : body + length])
            at = body + length
        return data[at:]

    def packet(self, kind: int, body: bytes) -> None:
        if kind == 1:
            self.connect(body)
        elif kind == 4 or kind == 7:
            self.in_flight -= 1
        elif kind == 5:
            self.out += b"\x62\x02" + body[:2]
        elif kind == 8:
            filters = body.count(b"bench/")
            codes = (b"\x00" if self.five else b"") + bytes([self.qos]) * filters
            self.out += bytes([0x90, 2 + len(codes)]) + body[:2] + codes
        elif kind == 12:
            self.out += b"\xd0\x00"

    def connect(self, body: bytes) -> None:
        self.five = body[6] == 5
        if self.five:
            properties = body[11 : 11 + body[10]]
            self.window = receive_maximum(properties) or WINDOW
        self.out += b"\x20\x03\x01\x00\x00" if self.five else b"\x20\x02\x01\x00"
        self.open = True

    def fill(self) -> None:
        while self.open and self.sent < self.count and self.in_flight < self.window:
            topic = b"bench/drain"
            body = len(topic).to_bytes(2, "big") + topic + (self.sent + 1).to_bytes(2, "big")
            body += (b"\x00" if self.five else b"") + self.sent.to_bytes(8, "big") + b"x" * (SIZE - 8)
            # Longer than 127 and shorter than 16,384 bytes: its length takes two.
            self.out += bytes([0x30 | self.qos << 1, len(body) & 127 | 128, len(body) >> 7]) + body
            self.sent += 1
            self.in_flight += 1


def receive_maximum(properties: bytes) -> int:
    """0 if it is not there. The properties of a CONNECT that have a fixed length are enough for these
    clients."""
    lengths = {0x11: 4, 0x21: 2, 0x27: 4, 0x22: 2, 0x19: 1, 0x17: 1}
    at = 0
    while at < len(properties) and properties[at] in lengths:
        length = lengths[properties[at]]
        if properties[at] == 0x21:
            return int.from_bytes(properties[at + 1 : at + 3], "big")
        at += 1 + length
    return 0


def serve(link: socket.socket, count: int, qos: int) -> None:
    link.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    try:
        with link:
            Session(link, count, qos).run()
    except OSError:
        return


def main() -> None:
    host, port, count, qos = sys.argv[1], int(sys.argv[2]), int(sys.argv[3]), int(sys.argv[4])
    listener = socket.create_server((host, port), backlog=64)
    print("ready", flush=True)
    while True:
        link, _ = listener.accept()
        threading.Thread(target=serve, args=(link, count, qos), daemon=True).start()


if __name__ == "__main__":
    main()
