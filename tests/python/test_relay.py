"""The relay between a TLS connection of Python's and the core: every byte, and every end, passes through."""

from __future__ import annotations

import contextlib
import random
import socket
import ssl
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import remqtt.client as mqtt
from conftest import PATIENCE, V2, Calls, Connection, wait_for
from remqtt import _relay
from road_parts import Authority

Make = Callable[..., mqtt.Client]


class Ends:
    """A relay with what stands at its two ends: the core, and a server with TLS."""

    def __init__(self, authority: Authority) -> None:
        self.server_context = server_context(authority)
        context = ssl.create_default_context(cafile=str(authority.pem))
        network, far = tcp_pair()
        self.core, near = socket.socketpair()
        self.core.settimeout(PATIENCE)
        accepting = threading.Thread(target=self._accept, args=(far,))
        accepting.start()
        secure = _relay.secured(context, network, "localhost", time.monotonic() + PATIENCE)
        accepting.join()
        self.relay = _relay.Relay(secure, near)
        self.thread = threading.Thread(target=self.relay.run)
        self.thread.start()

    def _accept(self, far: socket.socket) -> None:
        far.settimeout(PATIENCE)
        self.server = self.server_context.wrap_socket(far, server_side=True, suppress_ragged_eofs=False)

    def end(self) -> None:
        for sock in (self.core, self.server):
            sock.close()
        self.thread.join(PATIENCE)
        assert not self.thread.is_alive()


def server_context(authority: Authority) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(*authority.issue("server"))
    return context


def tcp_pair() -> tuple[socket.socket, socket.socket]:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        near = socket.create_connection(listener.getsockname())
        far, _ = listener.accept()
        return near, far


def everything(sock: socket.socket) -> bytes:
    """What comes until the end."""
    received = bytearray()
    while data := sock.recv(65_536):
        received += data
    return bytes(received)


def later(work: Callable[..., Any], *arguments: Any) -> threading.Thread:
    thread = threading.Thread(target=work, args=arguments)
    thread.start()
    return thread


@pytest.fixture
def ends(authority: Authority) -> Iterator[Ends]:
    both = Ends(authority)
    yield both
    both.end()


def test_bytes_pass_in_both_directions_at_once_in_any_portions(ends: Ends) -> None:
    chance = random.Random(5)
    data = chance.randbytes(3_000_000)

    def send() -> None:
        at = 0
        while at < len(data):
            size = chance.choice((1, 100, 16_384, 70_000, 300_000))
            ends.core.sendall(data[at : at + size])
            at += size

    def echo() -> None:
        # One thread: a TLS connection is for one at a time.
        left = len(data)
        while left:
            portion = ends.server.recv(50_000)
            ends.server.sendall(portion)
            left -= len(portion)

    threads = [later(send), later(echo)]
    received = bytearray()
    while len(received) < len(data):
        received += ends.core.recv(50_000)
    for thread in threads:
        thread.join()
    assert received == data


def test_the_end_of_the_core_reaches_the_server_after_every_byte(ends: Ends) -> None:
    ends.core.sendall(b"x" * 200_000)
    ends.core.shutdown(socket.SHUT_WR)
    assert everything(ends.server) == b"x" * 200_000
    ends.server.close()
    assert everything(ends.core) == b""
    ends.thread.join(PATIENCE)
    assert not ends.thread.is_alive()


def test_the_end_of_the_server_reaches_the_core_after_every_byte(ends: Ends) -> None:
    sending = later(ends.server.sendall, b"y" * 500_000)
    received = bytearray()
    while len(received) < 500_000:
        received += ends.core.recv(10_000)
    sending.join()
    ends.server.setblocking(False)
    with contextlib.suppress(ssl.SSLWantReadError):
        ends.server.unwrap()
    ends.server.close()
    assert bytes(received) == b"y" * 500_000 and everything(ends.core) == b""


def test_a_reset_ends_the_core_side(ends: Ends) -> None:
    ends.core.sendall(b"hello")
    assert ends.server.recv(5) == b"hello"
    Connection(ends.server).reset()
    assert everything(ends.core) == b""
    ends.core.close()
    ends.thread.join(PATIENCE)
    assert not ends.thread.is_alive()


def test_a_core_that_is_gone_ends_the_connection(ends: Ends) -> None:
    ends.core.sendall(b"last words")
    ends.core.close()
    assert everything(ends.server) == b"last words"


def test_a_server_that_takes_nothing_does_not_hold_the_thread_of_a_core_that_is_gone(ends: Ends) -> None:
    ends.core.setblocking(False)
    with contextlib.suppress(BlockingIOError):
        while True:
            ends.core.send(b"z" * 100_000)
    wait_for(ends.relay.busy)
    ends.core.close()
    ends.thread.join(PATIENCE)
    assert not ends.thread.is_alive()


def test_a_core_that_does_not_read_holds_the_server_back_and_loses_nothing(ends: Ends) -> None:
    sent = 0
    ends.server.settimeout(0.2)
    data = bytes(range(256)) * 64
    with contextlib.suppress(TimeoutError, ssl.SSLWantWriteError, socket.timeout):
        while sent < 200_000_000:
            ends.server.sendall(data)
            sent += len(data)
    assert sent < 100_000_000, "nothing held the server back"
    received = bytearray()
    while len(received) < sent:
        received += ends.core.recv(1 << 20)
    assert received[:sent] == (data * (sent // len(data)))


class TlsPeer:
    """A server with TLS that says what the test says."""

    def __init__(self, authority: Authority) -> None:
        self.context = server_context(authority)
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.listener.settimeout(PATIENCE)
        self.port: int = self.listener.getsockname()[1]

    def accept(self) -> Connection:
        sock, _ = self.listener.accept()
        sock.settimeout(PATIENCE)
        return Connection(self.context.wrap_socket(sock, server_side=True))


def test_a_server_that_goes_silent_is_left_and_found_again_through_pythons_ssl(
    make: Make, authority: Authority
) -> None:
    peer = TlsPeer(authority)
    context = ssl.create_default_context(cafile=str(authority.pem))
    context.load_cert_chain(*authority.issue("client"))
    client = make(V2, "silent", options={"keepalive": 1, "ping_timeout": 100, "reconnect_min_delay": 1})
    calls = Calls(client, "on_connect", "on_disconnect")
    client.tls_set_context(context)
    client.connect_async("localhost", peer.port)
    client.loop_start()
    first = peer.accept()
    first.welcome()
    calls.find("on_connect")
    assert first.packet() == b"\xc0\x00"  # PINGREQ, and no answer
    assert calls.find("on_disconnect")[1] == "Keep alive timeout"
    second = peer.accept()
    second.welcome()
    calls.find("on_connect")
    # The connection that was given up is closed.
    with contextlib.suppress(OSError):
        assert first.packet() in (b"", b"\xe0\x00") and first.packet() == b""
    client.disconnect()
    assert second.packet()[:1] in (b"\xe0", b"\xc0")
    peer.listener.close()
