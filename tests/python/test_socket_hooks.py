"""The socket hooks and the notification socket, call by call; beside paho-mqtt where the order is paho's."""

from __future__ import annotations

import gc
import os
import resource
import select
import socket
import weakref
from collections.abc import Iterator
from typing import Any

import paho.mqtt.client as paho
import pytest
import remqtt.client as mqtt
from conftest import PATIENCE, V2, Broker, Calls, Peer, free_port, wait_for

BOTH = pytest.mark.parametrize("library", [paho, mqtt], ids=["paho-mqtt", "remqtt"])
HOOKS = ("on_socket_open", "on_socket_close", "on_socket_register_write", "on_socket_unregister_write")


@BOTH
def test_the_order_of_the_hooks_around_a_connection(programs: Any, library: Any, broker: Broker) -> None:
    program = programs(library)
    client = program.client
    assert client.socket() is None and client.loop_misc() == library.MQTT_ERR_NO_CONN
    client.connect("127.0.0.1", broker.port)
    assert program.taken() == ["on_pre_connect", "on_socket_open"], "inside connect()"
    assert client.loop_misc() == client.loop_write() == library.MQTT_ERR_SUCCESS
    assert program.until("on_connect") == ["on_connect"]
    client.publish("hooks", "x", 1)
    assert program.until("on_publish") == ["on_publish"]
    client.disconnect()
    assert program.until("on_socket_close") == ["on_disconnect", "on_socket_close"]
    assert client.socket() is None and program.sock.fileno() == -1
    assert set(program.codes) == {0}
    for function in (client.loop_misc, client.loop_read, client.loop_write, client.loop):
        assert function() == library.MQTT_ERR_NO_CONN
    assert program.taken() == []


@BOTH
def test_the_order_of_the_hooks_around_a_loss(programs: Any, library: Any, peer: Peer) -> None:
    program = programs(library)
    client = program.client
    server = peer.greet(client)
    program.until("on_connect")
    server.reset()
    wait_for(lambda: client.socket() is None or program.turn())
    assert program.codes[-1] == library.MQTT_ERR_CONN_LOST
    assert program.calls == [("on_socket_close", False, True), ("on_disconnect", False, True)]
    assert client.socket() is None and program.sock.fileno() == -1
    assert client.loop_misc() == library.MQTT_ERR_NO_CONN
    program.taken()
    client.reconnect()
    assert program.taken() == ["on_pre_connect", "on_socket_open"], "inside reconnect()"
    peer.accept().welcome()
    assert program.until("on_connect") == ["on_connect"]


@BOTH
def test_a_refused_connection_ends_with_its_socket(programs: Any, library: Any, peer: Peer) -> None:
    program = programs(library)
    program.client.connect("127.0.0.1", peer.port)
    server = peer.accept()
    server.packet()
    server.send(b"\x20\x02\x00\x05")
    names = program.until("on_disconnect")
    assert names == ["on_pre_connect", "on_socket_open", "on_connect", "on_socket_close", "on_disconnect"]
    assert program.codes[-1] == library.MQTT_ERR_CONN_REFUSED and program.client.socket() is None


@BOTH
def test_reconnect_raises_what_connect_raises(programs: Any, library: Any, peer: Peer) -> None:
    program = programs(library)
    server = peer.greet(program.client)
    program.until("on_connect")
    peer.listener.close()
    server.reset()
    program.until("on_disconnect")
    for _ in range(2):
        with pytest.raises(ConnectionRefusedError):
            program.client.reconnect()
    assert program.client.socket() is None and "on_socket_open" not in program.taken()


def test_reconnect_inside_on_disconnect_opens_one_socket(programs: Any, peer: Peer) -> None:
    program = programs()
    hear = program.client.on_disconnect

    def on_disconnect(client: Any, *rest: Any) -> None:
        hear(client)
        client.reconnect()

    program.client.on_disconnect = on_disconnect
    program.client.connect("127.0.0.1", peer.port)
    for _ in range(3):
        server = peer.accept()
        server.welcome()
        program.until("on_connect")
        server.reset()
        names = program.until("on_socket_open")
        assert names == ["on_socket_close", "on_disconnect", "on_pre_connect", "on_socket_open"]
        assert program.codes[-1] == mqtt.MQTT_ERR_CONN_LOST


def test_the_socket_is_readable_while_callbacks_are_due_and_not_otherwise(programs: Any, peer: Peer) -> None:
    program = programs()
    client = program.client
    server = peer.greet(client)
    program.until("on_connect")
    wait_for(lambda: not select.select([program.sock], [], [], 0)[0] or program.turn())
    server.send(b"\x30\x04\x00\x01tx" * 500)
    wait_for(lambda: client.stats()["received_messages"] == 500)
    assert select.select([program.sock], [], [], PATIENCE)[0]
    program.taken()
    client.loop_read()
    assert program.taken() == ["on_message"] * 500, "one call runs them all"
    assert not select.select([program.sock], [], [], 0)[0]
    assert client.loop_read() == mqtt.MQTT_ERR_SUCCESS
    assert not client.want_write()


def test_a_hook_may_read_at_once(programs: Any, peer: Peer) -> None:
    program = programs(hears_losses=False)
    client, opened = program.client, program.client.on_socket_open

    def on_socket_open(client: Any, userdata: Any, sock: Any) -> None:
        opened(client, userdata, sock)
        client.loop_read()

    client.on_socket_open = on_socket_open
    client.connect("127.0.0.1", peer.port)
    for _ in range(3):
        server = peer.accept()
        server.welcome()
        program.until("on_connect")
        server.reset()
        assert program.until("on_socket_open")[0] == "on_socket_close"
        assert program.codes[-1] == mqtt.MQTT_ERR_CONN_LOST
    peer.accept()


def test_a_callback_that_drives_the_loop_gets_the_events_in_order(programs: Any, peer: Peer) -> None:
    program, payloads = programs(), []

    def on_message(client: Any, userdata: Any, message: Any) -> None:
        payloads.append(message.payload)
        if len(payloads) < 20:
            client.loop_read()

    program.client.on_message = on_message
    server = peer.greet(program.client)
    server.send(b"".join(b"\x30\x04\x00\x01t" + bytes([number]) for number in range(100)))
    wait_for(lambda: program.turn() or len(payloads) == 100)
    assert payloads == [bytes([number]) for number in range(100)]


def test_options_reach_the_real_socket(programs: Any, peer: Peer) -> None:
    program = programs(hears_losses=False)
    seen: list[int] = []

    def on_socket_open(client: Any, userdata: Any, sock: Any) -> None:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 20_000)
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        seen.append(1)

    def buffer() -> int:
        size: int = program.client.socket().getsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF)
        return size

    program.client.on_socket_open = on_socket_open
    program.client.connect("127.0.0.1", peer.port)
    server = peer.accept()
    assert program.client.socket().getsockname() == server.sock.getpeername()
    assert program.client.socket().getpeername() == server.sock.getsockname()
    server.welcome()
    program.until("on_connect")
    assert buffer() == 40_000, "Linux doubles what it is asked for"
    program.client.on_socket_close = None
    server.reset()
    wait_for(lambda: program.turn() or len(seen) == 2)
    peer.accept().welcome()
    program.until("on_connect")
    assert buffer() == 40_000, "also when the hook came before the connection"
    with pytest.raises(OSError, match="Protocol not available"):
        program.client.socket().setsockopt(socket.SOL_SOCKET, 9_999, 1)
    sock = program.client.socket()
    program.client.disconnect()
    with pytest.raises(OSError, match="Bad file descriptor"):
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 20_000)


def test_with_loop_start_the_hooks_run_in_the_background(make: Any, peer: Peer) -> None:
    client = make(V2)
    calls = Calls(client, *HOOKS, "on_connect", "on_disconnect")
    server = peer.greet(client, looping=True)
    assert [calls.next()[0] for _ in range(2)] == ["on_socket_open", "on_connect"]
    assert client.socket().fileno() >= 0
    server.reset()
    assert [calls.next()[0] for _ in range(2)] == ["on_socket_close", "on_disconnect"]
    server = peer.accept()
    server.welcome()
    assert [calls.next()[0] for _ in range(2)] == ["on_socket_open", "on_connect"]
    client.disconnect()
    assert [calls.next()[0] for _ in range(2)] == ["on_disconnect", "on_socket_close"]
    client.loop_stop()
    assert calls.empty()


def test_a_loop_that_starts_during_an_outage_brings_the_client_back(programs: Any, peer: Peer) -> None:
    program = programs()
    client = program.client
    server = peer.greet(client)
    program.until("on_connect")
    server.reset()
    program.until("on_disconnect")
    client.loop_start()
    peer.accept().welcome()
    wait_for(lambda: any(name == "on_connect" for name, *_ in program.calls))
    client.on_disconnect = None
    client.disconnect()
    client.loop_stop()


class Subclass(mqtt.Client):
    """Its methods are the callbacks."""

    def on_connect(self, client: Any, *rest: Any) -> None:  # type: ignore[override]
        self.seen.append(("connect", client is self, len(rest)))

    def on_disconnect(self, client: Any, *rest: Any) -> None:  # type: ignore[override]
        self.seen.append(("disconnect", client is self, len(rest)))

    def on_socket_open(self, client: Any, userdata: Any, sock: Any) -> None:  # type: ignore[override]
        self.seen.append(("open", client is self, sock.fileno() >= 0))

    def on_socket_close(self, client: Any, userdata: Any, sock: Any) -> None:  # type: ignore[override]
        self.seen.append(("close", client is self, sock.fileno() >= 0))

    seen: list[tuple[str, bool, int]]


PahoSubclass = type("PahoSubclass", (paho.Client,), dict(Subclass.__dict__, __dict__=None, __weakref__=None))


@pytest.mark.parametrize("kind", [PahoSubclass, Subclass], ids=["paho-mqtt", "remqtt"])
def test_methods_of_a_subclass_are_hooks(kind: Any, broker: Broker) -> None:
    client = kind((paho if kind is PahoSubclass else mqtt).CallbackAPIVersion.VERSION2)
    client.seen = []
    client.connect("127.0.0.1", broker.port)
    wait_for(lambda: client.loop(0.1) or len(client.seen) == 2)
    client.disconnect()
    assert client.seen == [
        ("open", True, True),
        ("connect", True, 4),
        ("disconnect", True, 4),
        ("close", True, True),
    ]


@pytest.mark.parametrize("kind", [paho.Client, mqtt.Client], ids=["paho-mqtt", "remqtt"])
def test_a_client_with_an_open_socket_is_not_kept_alive(kind: Any, broker: Broker) -> None:
    client = kind((paho if kind is paho.Client else mqtt).CallbackAPIVersion.VERSION2)
    client.on_socket_open = lambda *arguments: None
    client.connect("127.0.0.1", broker.port)
    descriptor, gone = client.socket().fileno(), weakref.ref(client)
    weak_hooks = weakref.WeakMethod(client.loop_read)
    assert weak_hooks() is not None
    del client
    gc.collect()
    assert gone() is None and weak_hooks() is None
    with pytest.raises(OSError, match="Bad file descriptor"):
        os.fstat(descriptor)


@pytest.fixture
def many_descriptors() -> Iterator[None]:
    """All descriptors below 1,100 are in use."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if hard != resource.RLIM_INFINITY and hard < 4_096:
        pytest.skip("this process may not have so many descriptors")
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, 4_096), hard))
    held = [os.open(os.devnull, os.O_RDONLY)]
    while held[-1] < 1_100:
        held.append(os.dup(held[0]))
    yield
    for descriptor in held:
        os.close(descriptor)
    resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


def test_more_than_1024_descriptors(many_descriptors: None, make: Any, broker: Broker) -> None:
    client, messages = make(V2), []
    client.on_connect = lambda client, *rest: client.subscribe("many")
    client.on_subscribe = lambda client, *rest: client.publish("many", "x", 1)
    client.on_message = lambda client, userdata, message: messages.append(message)
    client.on_socket_open = lambda client, userdata, sock: sock.fileno()
    client.connect("127.0.0.1", broker.port)
    assert client.socket().fileno() > 1_024
    wait_for(lambda: client.loop(0.1) or messages)
    poll = select.poll()
    poll.register(client.socket(), select.POLLIN)
    client.publish("many", "y", 1)
    wait_for(lambda: (poll.poll(100) and client.loop_read()) or len(messages) == 2)
    client.loop_start()
    client.publish("many", "z", 1)
    wait_for(lambda: len(messages) == 3)


def test_more_than_1024_descriptors_are_too_many_for_paho(many_descriptors: None, broker: Broker) -> None:
    client = paho.Client(paho.CallbackAPIVersion.VERSION2)
    client.connect("127.0.0.1", broker.port)
    assert client.loop(0.1) == paho.MQTT_ERR_CONN_LOST


def test_connect_closes_the_socket_of_the_connection_before(programs: Any, broker: Broker) -> None:
    program = programs()
    program.client.connect("127.0.0.1", broker.port)
    program.until("on_connect")
    first = program.sock
    program.client.connect("127.0.0.1", broker.port)
    assert program.taken() == ["on_socket_close", "on_pre_connect", "on_socket_open"]
    assert first.fileno() == -1 and program.sock is not first
    assert program.until("on_connect") == ["on_connect"]
    with pytest.raises(ConnectionRefusedError):
        program.client.connect("127.0.0.1", free_port())
    assert program.client.socket() is None
