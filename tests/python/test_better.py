"""Where paho-mqtt is wrong and remqtt is not: every row of the table in python/MIGRATING.md.

Each test runs twice, with remqtt and with the genuine paho-mqtt: the difference is a fact and stays one.
"""

from __future__ import annotations

import contextlib
import importlib
import os
import resource
import select
import socket
import threading
from typing import Any

import pytest
from conftest import PATIENCE, Broker, Connection, Peer, run_python, wait_for

MODULES = {"remqtt": "remqtt.client", "paho-mqtt": "paho.mqtt.client"}
#: How long something that must not come is waited for. On a slow machine it does not come either.
WHILE = 1.5


@pytest.fixture(params=MODULES)
def whose(request: Any) -> str:
    name: str = request.param
    pytest.importorskip(MODULES[name])
    return name


@pytest.fixture
def make(whose: str) -> Any:
    """Makes clients of either library and puts them away after the test."""
    module, made = importlib.import_module(MODULES[whose]), []

    def make_client(**keywords: Any) -> Any:
        client = module.Client(module.CallbackAPIVersion.VERSION2, **keywords)
        made.append(client)
        return client

    yield make_client
    for client in made:
        client.disconnect()
        # A paho client whose network thread is dead, or waits for ever, is left to the end of the process.
        threading.Thread(target=client.loop_stop, daemon=True).start()


@pytest.fixture
def reported(monkeypatch: pytest.MonkeyPatch) -> list[threading.Thread | None]:
    """The threads that have reported an exception."""
    threads: list[threading.Thread | None] = []
    monkeypatch.setattr(threading, "excepthook", lambda arguments: threads.append(arguments.thread))
    return threads


def fail(*arguments: Any) -> None:
    raise RuntimeError("in a callback")


def silent(server: Connection, seconds: float = WHILE) -> bool:
    """Whether the client sends nothing for so long."""
    server.sock.settimeout(seconds)
    try:
        return not server.sock.recv(1)
    except socket.timeout:
        return True
    finally:
        server.sock.settimeout(PATIENCE)


def test_a_callback_exception_does_not_end_the_callbacks(
    make: Any, whose: str, peer: Peer, reported: list[threading.Thread | None]
) -> None:
    client, seen = make(), []

    def on_message(client: Any, userdata: Any, message: Any) -> None:
        seen.append(message.payload)
        if len(seen) == 1:
            fail()

    client.on_message = on_message
    server = peer.greet(client, looping=True)
    server.send(b"\x30\x04\x00\x01t1\x30\x04\x00\x01t2")
    wait_for(lambda: reported)
    if whose == "remqtt":
        wait_for(lambda: len(seen) == 2)
    else:
        thread = reported[0]
        assert thread is not None
        thread.join(PATIENCE)
        assert seen == [b"1"] and not thread.is_alive(), "nobody takes the second message any more"


def test_is_connected_is_true_only_when_it_is(
    make: Any, whose: str, peer: Peer, reported: list[threading.Thread | None]
) -> None:
    client = make(reconnect_on_failure=False)
    client.on_message = fail
    server = peer.greet(client, looping=True)
    server.send(b"\x30\x04\x00\x01t1")
    wait_for(lambda: reported)
    server.reset()
    if whose == "remqtt":
        wait_for(lambda: not client.is_connected())
    else:
        thread = reported[0]
        assert thread is not None
        thread.join(PATIENCE)
        assert client.is_connected(), "the thread that would notice is dead"


def test_an_info_tells_that_a_queued_message_was_delivered(make: Any, whose: str, broker: Broker) -> None:
    client, published = make(), threading.Event()
    client.on_publish = lambda *arguments: published.set()
    info = client.publish("better/info", "x", 1)
    assert info.rc == 4
    client.connect("127.0.0.1", broker.port)
    client.loop_start()
    assert published.wait(PATIENCE)
    if whose == "remqtt":
        info.wait_for_publish(PATIENCE)
        assert info.is_published() and info.rc == 0
    else:
        assert info.rc == 4
        with pytest.raises(RuntimeError, match="not currently connected"):
            info.is_published()


def test_loop_start_before_connect_makes_one_connection(make: Any, whose: str, peer: Peer) -> None:
    client = make()
    client.loop_start()
    client.connect("127.0.0.1", peer.port)
    first = peer.accept().packet()
    if whose == "remqtt":
        assert first[0] == 0x10
    else:
        assert first == b"", "after a second, a second connection"
        assert peer.accept().packet()[0] == 0x10


RECONNECT_INSIDE = """
import sys
import {module} as mqtt
client = mqtt.Client(mqtt.CallbackAPIVersion.VERSION2)
def on_message(client, userdata, message):
    client.reconnect()
    print("returned", flush=True)
client.on_message = on_message
client.connect("127.0.0.1", int(sys.argv[1]))
client.loop_forever()
"""


def test_reconnect_inside_on_message_returns(whose: str, peer: Peer) -> None:
    program = run_python("-c", RECONNECT_INSIDE.format(module=MODULES[whose]), str(peer.port))
    server = peer.accept()
    server.welcome()
    server.send(b"\x34\x06\x00\x01t\x00\x071")
    if server.packet()[0] == 0x50:
        # paho calls on_message when the exchange is over.
        server.send(b"\x62\x02\x00\x07")
    assert program.stdout is not None
    readable, _, _ = select.select([program.stdout], [], [], PATIENCE if whose == "remqtt" else WHILE)
    if whose == "remqtt":
        assert readable and program.stdout.readline() == "returned\n"
    else:
        assert not readable, "it waits for the lock that its own caller holds"


def test_loop_stop_does_not_wait_for_a_silent_server(make: Any, whose: str, peer: Peer) -> None:
    client = make()
    server = peer.greet(client, looping=True)
    client.publish("t", "x", 1)
    assert server.packet()[0] & 0xF0 == 0x30
    stopping = threading.Thread(target=client.loop_stop, daemon=True)
    stopping.start()
    stopping.join(PATIENCE if whose == "remqtt" else 2 * WHILE)
    assert stopping.is_alive() is (whose == "paho-mqtt")
    server.send(b"\x40\x02\x00\x01")
    stopping.join(PATIENCE)
    assert not stopping.is_alive()


def test_the_backlog_keeps_to_the_window(make: Any, whose: str, peer: Peer) -> None:
    client = make()
    client.max_inflight_messages_set(3)
    for number in range(10):
        client.publish("t", str(number), 1)
    server = peer.greet(client, looping=True)
    for _ in range(3 if whose == "remqtt" else 10):
        assert server.packet()[0] & 0xF0 == 0x30
    assert silent(server)


@pytest.mark.parametrize("session_present", [True, False])
def test_a_lost_session_is_noticed(make: Any, whose: str, peer: Peer, session_present: bool) -> None:
    client = make(client_id="me", clean_session=False)
    server = peer.greet(client, looping=True)
    client.publish("t", "x", 2)
    assert server.packet()[0] == 0x34
    server.send(b"\x50\x02\x00\x01")
    server.expect(b"\x62\x02\x00\x01")
    server.reset()
    server = peer.accept()
    server.welcome(session_present)
    if session_present or whose == "paho-mqtt":
        # Without a session nobody may ever have got the message, and paho calls on_publish.
        server.expect(b"\x62\x02\x00\x01")
    else:
        assert server.packet()[0] & 0xF6 == 0x34


def test_a_message_has_its_topic_where_the_server_used_an_alias(make: Any, whose: str, peer: Peer) -> None:
    module = importlib.import_module(MODULES[whose])
    client, topics = make(protocol=module.MQTTv5), []
    client.on_message = lambda client, userdata, message: topics.append(message.topic)
    allowed = module.Properties(module.PacketTypes.CONNECT)
    allowed.TopicAliasMaximum = 1
    client.connect("127.0.0.1", peer.port, properties=allowed)
    client.loop_start()
    server = peer.accept()
    server.packet()
    server.send(b"\x20\x03\x00\x00\x00")
    server.send(b"\x30\x08\x00\x01t\x03\x23\x00\x01x" + b"\x30\x07\x00\x00\x03\x23\x00\x01y")
    wait_for(lambda: len(topics) == 2)
    assert topics == ["t", "t" if whose == "remqtt" else ""]


def test_an_unanswered_subscribe_is_sent_again(make: Any, whose: str, peer: Peer) -> None:
    client = make(client_id="me", clean_session=False)
    server = peer.greet(client, looping=True)
    client.subscribe("a", 1)
    assert server.packet()[0] == 0x82
    server.reset()
    server = peer.accept()
    server.welcome(session_present=True)
    if whose == "remqtt":
        assert server.packet()[0] == 0x82
    else:
        assert silent(server)


def test_more_than_65535_messages_can_wait(make: Any, whose: str) -> None:
    client = make()
    codes = [client.publish("t", b"", 1).rc for _ in range(65_536)]
    assert codes[-1] == (4 if whose == "remqtt" else 15)


def test_more_than_1024_descriptors_may_be_open(make: Any, whose: str, peer: Peer) -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if hard != resource.RLIM_INFINITY and hard < 2_048:
        pytest.skip("this system allows no more")
    with contextlib.ExitStack() as stack:
        resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, 2_048), hard))
        stack.callback(resource.setrlimit, resource.RLIMIT_NOFILE, (soft, hard))
        for _ in range(1_100):
            stack.callback(os.close, os.dup(0))
        client = make(reconnect_on_failure=False)
        client.connect("127.0.0.1", peer.port)
        server = peer.accept()
        if whose == "remqtt":
            server.welcome()
            wait_for(lambda: client.loop(0.1) == 0 and client.is_connected())
        else:
            assert client.loop(0.1) == 7, "select() does not know such descriptors"
