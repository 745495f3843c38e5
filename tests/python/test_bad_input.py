"""Bad input gets a clear error, and nothing is lost."""

from __future__ import annotations

import socket
from typing import Any

import pytest
import remqtt.client as mqtt
from conftest import V2, Broker, Calls, Peer, free_port
from remqtt.packettypes import PacketTypes
from remqtt.properties import Properties

ANYTHING = object()


@pytest.mark.parametrize(
    ("arguments", "error", "text"),
    [
        (("",), ValueError, "opic"),
        ((None,), ValueError, "opic"),
        (("a/+",), ValueError, "wildcards"),
        (("#",), ValueError, "wildcards"),
        (("a\0b",), ValueError, "opic"),
        (("x" * 65_536,), ValueError, "opic"),
        ((b"bytes",), TypeError, "topic must be a string"),
        ((5,), TypeError, "topic must be a string"),
        (("t", "x", 3), ValueError, "QoS"),
        (("t", "x", -1), ValueError, "QoS"),
        (("t", "x", "1"), TypeError, "int"),
        (("t", {}), TypeError, "payload"),
        (("t", []), TypeError, "payload"),
        (("t", ANYTHING), TypeError, "payload"),
        (("t", "\ud800"), ValueError, "surrogate"),
        (("t", b"x" * 268_435_456), ValueError, "large"),
    ],
    ids=lambda value: repr(value)[:40],
)
def test_publish_refuses(make: Any, arguments: Any, error: type[Exception], text: str) -> None:
    with pytest.raises(error, match=text):
        make().publish(*arguments)


@pytest.mark.parametrize(
    ("topic", "qos", "error"),
    [
        ("", 0, ValueError),
        (None, 0, ValueError),
        ([], 0, ValueError),
        (5, 0, ValueError),
        ("a/#/b", 0, ValueError),
        ("a+/b", 0, ValueError),
        ("$share/g", 0, ValueError),
        ("a", 3, ValueError),
        ("a", -1, ValueError),
        ([("a", 3)], 0, ValueError),
        (["a"], 0, ValueError),
        ([("a", 0), ("", 0)], 0, ValueError),
        (("a",), 0, ValueError),
    ],
    ids=repr,
)
def test_subscribe_refuses(make: Any, topic: Any, qos: int, error: type[Exception]) -> None:
    with pytest.raises(error):
        make().subscribe(topic, qos)


@pytest.mark.parametrize("topic", ["", None, 5, [""], ["a/#/b"]], ids=repr)
def test_unsubscribe_refuses(make: Any, topic: Any) -> None:
    with pytest.raises(ValueError):
        make().unsubscribe(topic)


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        (("",), "Invalid host."),
        ((None,), "Invalid host."),
        (("h", 0), "Invalid port number."),
        (("h", -1), "Invalid port number."),
        (("h", 65_536), "Invalid port number."),
        (("h", 1883, -1), "Keepalive must be >=0."),
        (("h", 1883, 60, "", -1), "Invalid bind port number."),
        (("h", 1883, 60, "", 0, True), "Clean start only applies to MQTT V5"),
        (("h", 1883, 60, "", 0, 3, Properties(PacketTypes.CONNECT)), "Properties only apply to MQTT V5"),
    ],
    ids=repr,
)
def test_connect_refuses(make: Any, arguments: Any, text: str) -> None:
    with pytest.raises(ValueError, match=text):
        make().connect(*arguments)


@pytest.mark.parametrize(
    ("arguments", "keywords", "error"),
    [
        ((V2,), {"clean_session": False}, ValueError),
        ((V2,), {"clean_session": True, "protocol": mqtt.MQTTv5}, ValueError),
        ((V2,), {"protocol": 7}, ValueError),
        ((V2,), {"transport": "carrier pigeon"}, ValueError),
        ((V2,), {"clientid": "x"}, TypeError),
        ((V2, "id"), {"client_id": "x"}, TypeError),
        ((5,), {}, TypeError),
        ((), {"callback_api_version": 2}, TypeError),
        ((V2, "i", True, None, 4, "tcp", True, False, 9), {}, TypeError),
        ((V2,), {"options": {"keepalive": "often"}}, ValueError),
        ((V2,), {"options": {"no_such": 1}}, ValueError),
    ],
    ids=repr,
)
def test_the_constructor_refuses(arguments: Any, keywords: Any, error: type[Exception]) -> None:
    with pytest.raises(error):
        mqtt.Client(*arguments, **keywords)


def test_will_and_limits_refuse(make: Any) -> None:
    client = make()
    for call in (
        lambda: client.will_set(""),
        lambda: client.will_set("a/#"),
        lambda: client.will_set("t", qos=3),
        lambda: client.will_set("t", b"x" * 65_536),
        lambda: client.max_inflight_messages_set(-1),
        lambda: client.max_queued_messages_set(-1),
        lambda: client.message_callback_add("a", None),
        lambda: client.message_callback_remove(None),
        lambda: client.loop(-1),
        lambda: client.reconnect(),
        lambda: client.loop_forever(),
    ):
        with pytest.raises(ValueError):
            call()
    for wrong in (lambda: client.max_queued_messages_set("x"), lambda: client.will_set("t", {})):
        with pytest.raises(TypeError):
            wrong()


def test_a_refused_port_raises_connection_refused(make: Any) -> None:
    with pytest.raises(ConnectionRefusedError):
        make().connect("127.0.0.1", free_port())


def test_a_host_that_does_not_resolve_raises_gaierror(make: Any) -> None:
    with pytest.raises(socket.gaierror):
        make().connect("no-such-host.invalid")


def test_a_failed_connect_leaves_the_client_as_it_was(make: Any, broker: Broker) -> None:
    client = make()
    calls = Calls(client, "on_connect", "on_disconnect", "on_connect_fail")
    with pytest.raises(ConnectionRefusedError):
        client.connect("127.0.0.1", free_port())
    info = client.publish("kept", "x", 1)
    assert client.connect("127.0.0.1", broker.port) == mqtt.MQTT_ERR_SUCCESS
    client.loop_start()
    assert calls.next()[0] == "on_connect", "no callback speaks of the failed call"
    info.wait_for_publish(20)
    assert info.is_published()


def test_an_attempt_that_nobody_answers_times_out(make: Any) -> None:
    with socket.create_server(("127.0.0.1", 0), backlog=0) as full:
        port = full.getsockname()[1]
        fill = [socket.socket() for _ in range(4)]
        for sock in fill:
            sock.setblocking(False)
            sock.connect_ex(("127.0.0.1", port))
        client = make()
        client.connect_timeout = 0.2
        # TimeoutError from Python 3.10 on.
        with pytest.raises(socket.timeout):
            client.connect("127.0.0.1", port)
        for sock in fill:
            sock.close()


def test_a_server_that_does_not_speak_mqtt_is_left_and_tried_again(make: Any, peer: Peer) -> None:
    client = make(V2, options={"reconnect_min_delay": 1, "reconnect_max_delay": 1})
    calls = Calls(client, "on_disconnect", "on_connect")
    client.connect("127.0.0.1", peer.port)
    client.loop_start()
    server = peer.accept()
    server.packet()
    server.send(b"HTTP/1.1 400 Bad Request\r\n\r\n")
    assert str(calls.find("on_disconnect")[1]) == "Protocol error"
    peer.accept().welcome()
    assert str(calls.find("on_connect")[1]) == "Success"


def test_text_that_is_not_unicode_is_refused_before_it_reaches_the_wire(make: Any, broker: Broker) -> None:
    client = make()
    client.connect("127.0.0.1", broker.port)
    with pytest.raises(ValueError):
        client.publish("a\ud800", "x")
    client.loop_start()
    client.publish("fine", "x", 1).wait_for_publish(20)


def test_paho_names_a_setting_that_cannot_change_now(make: Any, broker: Broker) -> None:
    client = make()
    client.connect("127.0.0.1", broker.port)
    for name, value in {"host": "x", "port": 1, "keepalive": 5, "username": "u", "transport": "tcp"}.items():
        with pytest.raises(RuntimeError, match=f"updating {name} on established connection"):
            setattr(client, name, value)
    with pytest.raises(AttributeError):
        client.protocol = 5
