"""A broker of the benchmark's own, and the few MQTT 3.1.1 packets that prepare a run."""

from __future__ import annotations

import os
import random
import shutil
import socket
import struct
import subprocess
import tempfile
import threading
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
SEARCH = os.environ.get("PATH", "") + ":/usr/sbin:/usr/local/sbin"
PUBLISH_QOS1 = 0x32
_TAKEN: set[int] = set()


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
    return port


def port_below_ephemeral(host: str = "127.0.0.1") -> int:
    """A free port that no outgoing connection gets as its own while nobody listens there."""
    while True:
        port = random.randint(20_000, 30_000)
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind((host, port))
            except OSError:
                continue
        if port not in _TAKEN:
            _TAKEN.add(port)
            return port


class Mosquitto:
    """mosquitto on a free loopback port, nothing written to disk, queues without a bound."""

    def __init__(self) -> None:
        self.port = free_port()
        program = shutil.which("mosquitto", path=SEARCH)
        if program is None:
            raise SystemExit("mosquitto is missing: make setup")
        self._config = tempfile.NamedTemporaryFile("w", suffix=".conf")  # noqa: SIM115 lives as long as the broker
        self._config.write(
            f"user root\nlistener {self.port} 127.0.0.1\nallow_anonymous true\npersistence false\n"
            "max_queued_messages 0\nlog_dest none\n"
        )
        self._config.flush()
        # It ends with this process, however that ends; a change of its user would lose that tie.
        tied = ["setpriv", "--pdeathsig", "KILL", "--"]
        self._process = subprocess.Popen([*tied, program, "-c", self._config.name], stdin=subprocess.DEVNULL)
        self._await()

    def _await(self) -> None:
        end = time.monotonic() + 10
        while True:
            try:
                socket.create_connection(("127.0.0.1", self.port), 1).close()
                return
            except OSError:
                if time.monotonic() > end or self._process.poll() is not None:
                    raise SystemExit("mosquitto did not start") from None
                time.sleep(0.01)

    def __enter__(self) -> Mosquitto:
        return self

    def __exit__(self, *_: object) -> None:
        self._process.kill()
        self._process.wait()
        self._config.close()

    @staticmethod
    def version() -> str:
        program = shutil.which("mosquitto", path=SEARCH) or "mosquitto"
        told = subprocess.run([program, "-h"], capture_output=True, text=True, check=False).stdout
        return told.splitlines()[0] if told else "mosquitto"


def packet(head: int, body: bytes) -> bytes:
    length, rest = b"", len(body)
    while True:
        rest, low = rest >> 7, rest & 127
        length += bytes([low | (128 if rest else 0)])
        if not rest:
            return bytes([head]) + length + body


def string(text: str) -> bytes:
    return struct.pack(">H", len(text)) + text.encode()


def _connect(port: int, client_id: str, clean: bool) -> socket.socket:
    link = socket.create_connection(("127.0.0.1", port), 10)
    link.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    link.sendall(packet(0x10, string("MQTT") + bytes([4, 2 if clean else 0, 0, 0]) + string(client_id)))
    connack = exactly(link, 4)
    if connack[3] != 0:
        raise SystemExit(f"the broker refused {client_id}: {connack[3]}")
    return link


def exactly(link: socket.socket, count: int) -> bytes:
    data = bytearray()
    while len(data) < count:
        more = link.recv(count - len(data))
        if not more:
            raise OSError("the broker closed a connection")
        data += more
    return bytes(data)


def forget(port: int, client_id: str) -> None:
    """Ends the session of `client_id`."""
    link = _connect(port, client_id, clean=True)
    link.sendall(packet(0xE0, b""))
    link.close()


def prepare(port: int, client_id: str, topic: str) -> None:
    """A persistent session with one subscription at QoS 1, and nobody connected."""
    forget(port, client_id)
    link = _connect(port, client_id, clean=False)
    link.sendall(packet(0x82, struct.pack(">H", 1) + string(topic) + b"\x01"))
    exactly(link, 5)
    link.sendall(packet(0xE0, b""))
    link.close()


def fill(port: int, topic: str, count: int, size: int) -> None:
    """Publishes `count` messages at QoS 1, pipelined, and waits for every PUBACK."""
    link = _connect(port, "filler", clean=True)
    reader = threading.Thread(target=exactly, args=(link, 4 * count))
    reader.start()
    head = string(topic)
    for start in range(0, count, 1000):
        numbers = range(start, min(start + 1000, count))
        bodies = (head + struct.pack(">HQ", n % 65535 + 1, n) + b"x" * (size - 8) for n in numbers)
        link.sendall(b"".join(packet(PUBLISH_QOS1, body) for body in bodies))
    reader.join()
    link.close()
