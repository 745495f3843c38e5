"""Credentials that are asked for before each attempt, and exchanges of AUTH packets."""

from __future__ import annotations

import logging
import threading
import time
from typing import Any

import pytest
import remqtt.client as mqtt
from conftest import Calls, Connection, Peer, wait_for
from remqtt.packettypes import PacketTypes
from remqtt.properties import Properties

V2 = mqtt.CallbackAPIVersion.VERSION2
METHOD = b"\x15\x00\x01m"
CONNACK = b"\x20\x03\x00\x00\x00"


def auth(reason_code: int, data: bytes) -> bytes:
    """An AUTH with the method and data, as either side sends it."""
    properties = METHOD + b"\x16\x00" + bytes([len(data)]) + data
    return bytes([0xF0, len(properties) + 2, reason_code, len(properties)]) + properties


def scram(make: Any) -> tuple[Any, Properties]:
    """A client of MQTT 5, and the properties of a CONNECT with a method."""
    properties = Properties(PacketTypes.CONNECT)
    properties.AuthenticationMethod = "m"
    return make(V2, protocol=mqtt.MQTTv5, reconnect_on_failure=True), properties


def accept(peer: Peer, first_data: bytes) -> Connection:
    server = peer.accept()
    assert METHOD + b"\x16\x00" + bytes([len(first_data)]) + first_data in server.packet()
    return server


def test_challenges_are_answered_at_each_attempt_and_a_connection_is_authenticated_anew(
    make: Any, peer: Peer
) -> None:
    client, properties = scram(make)
    client.reconnect_delay_set(0.001, 0.05)
    first = iter("12")
    client.on_credentials = lambda client, userdata: mqtt.Login(authentication_data=next(first))
    calls = Calls(client, "on_connect")
    heard: list[str] = []

    def on_auth(client: Any, userdata: Any, reason_code: Any, properties: Properties) -> None:
        heard.append(str(reason_code))
        if reason_code == "Continue authentication":
            client.auth(properties.AuthenticationData + b"!")

    client.on_auth = on_auth
    client.connect("127.0.0.1", peer.port, properties=properties)
    client.loop_start()
    server = accept(peer, b"1")
    server.send(auth(0x18, b"a"))
    server.expect(auth(0x18, b"a!"))
    server.reset()
    server = accept(peer, b"2")
    for data in (b"b", b"c"):
        server.send(auth(0x18, data))
        server.expect(auth(0x18, data + b"!"))
    with pytest.raises(RuntimeError):
        client.reauthenticate("too early")
    server.send(CONNACK)
    calls.find("on_connect")
    client.reauthenticate("me")
    server.expect(auth(0x19, b"me"))
    server.send(auth(0x00, b"."))
    wait_for(lambda: heard[-1] == "Success")
    assert heard == ["Continue authentication"] * 3 + ["Success"]
    with pytest.raises(RuntimeError):
        client.auth("to nothing")


@pytest.mark.parametrize("handles", [False, True])
def test_a_challenge_that_nobody_answers_ends_the_attempt_and_the_next_one_follows(
    make: Any, peer: Peer, monkeypatch: pytest.MonkeyPatch, handles: bool
) -> None:
    client, properties = scram(make)
    client.reconnect_delay_set(0.001, 0.05)
    shown: list[type[BaseException] | None] = []
    monkeypatch.setattr(threading, "excepthook", lambda arguments: shown.append(arguments.exc_type))
    if handles:
        client.on_auth = lambda *arguments: 1 / 0
    calls = Calls(client, "on_disconnect")
    client.connect("127.0.0.1", peer.port, properties=properties)
    client.loop_start()
    server = peer.accept()
    server.packet()
    server.send(auth(0x18, b"a"))
    assert server.packet() == b""
    calls.find("on_disconnect")
    peer.accept()
    assert shown == [ZeroDivisionError] * handles


def test_an_answer_may_come_later_from_another_thread(make: Any, peer: Peer) -> None:
    client, properties = scram(make)
    calls = Calls(client, "on_auth", "on_connect")
    client.connect("127.0.0.1", peer.port, properties=properties)
    client.loop_start()
    server = peer.accept()
    server.packet()
    server.send(auth(0x18, b"a"))
    calls.find("on_auth")
    reason = Properties(PacketTypes.AUTH)
    reason.ReasonString = "r"
    client.auth(properties=reason)
    server.expect(b"\xf0\x0a\x18\x08" + METHOD + b"\x1f\x00\x01r")
    server.send(CONNACK)
    calls.find("on_connect")


def test_without_a_method_nothing_can_be_authenticated_anew(make: Any, peer: Peer) -> None:
    client = make(V2)
    calls = Calls(client, "on_connect")
    peer.greet(client, looping=True)
    calls.find("on_connect")
    with pytest.raises(ValueError, match="authentication method"):
        client.reauthenticate("me")


def test_authentication_data_are_in_no_log_line(
    make: Any, peer: Peer, caplog: pytest.LogCaptureFixture
) -> None:
    client, properties = scram(make)
    properties.AuthenticationData = b"hush1"
    client.enable_logger()
    calls = Calls(client, "on_auth", "on_connect", "on_event")
    with caplog.at_level(logging.DEBUG):
        client.connect("127.0.0.1", peer.port, properties=properties)
        client.loop_start()
        server = accept(peer, b"hush1")
        server.send(auth(0x18, b"hush2"))
        assert calls.find("on_auth")[1].AuthenticationData == b"hush2"
        client.auth(b"hush3")
        server.expect(auth(0x18, b"hush3"))
        server.send(b"\x20\x0b\x00\x00\x08" + METHOD + b"\x16\x00\x01?")
        calls.find("on_connect")
    events = [call for call in calls.queue.queue if call[0] == "on_event"]
    assert "hush" not in caplog.text + str(events)
    assert "AuthenticationData : ***" in caplog.text


def test_credentials_are_asked_for_before_each_attempt(make: Any, peer: Peer) -> None:
    client = make(V2)
    client.reconnect_delay_set(0.001, 0.05)
    client.username_pw_set("static", "static")
    threads: list[threading.Thread] = []

    def credentials(client: Any, userdata: Any) -> tuple[str, str]:
        threads.append(threading.current_thread())
        return "me", f"token{len(threads)}"

    client.on_credentials = credentials
    client.connect("127.0.0.1", peer.port)
    client.loop_start()
    for number in (1, 2, 3):
        server = peer.accept()
        assert server.welcome().endswith(b"\x00\x02me\x00\x06token%d" % number)
        server.reset()
    client.on_credentials = None
    assert threading.main_thread() not in threads
    server = peer.accept()
    server.welcome()  # of an attempt that may have asked
    server.reset()
    assert peer.accept().welcome().endswith(b"\x00\x06static\x00\x06static")


def test_credentials_that_fail_are_raised_by_connect(make: Any, peer: Peer) -> None:
    client = make(V2)

    def credentials(client: Any, userdata: Any) -> tuple[str, str]:
        raise LookupError("no token")

    client.on_credentials = credentials
    with pytest.raises(LookupError, match="no token"):
        client.connect("127.0.0.1", peer.port)
    client.on_credentials = lambda client, userdata: "not two"
    with pytest.raises(TypeError):
        client.connect("127.0.0.1", peer.port)


def test_credentials_that_fail_later_end_the_attempt_and_are_asked_for_again(
    make: Any, peer: Peer, monkeypatch: pytest.MonkeyPatch
) -> None:
    client = make(V2)
    client.reconnect_delay_set(0.001, 0.05)
    shown: list[type[BaseException] | None] = []
    monkeypatch.setattr(threading, "excepthook", lambda arguments: shown.append(arguments.exc_type))
    answers: list[Any] = [("me", "1"), LookupError("no token"), ("me", "3")]

    def credentials(client: Any, userdata: Any) -> Any:
        answer = answers.pop(0)
        if isinstance(answer, Exception):
            raise answer
        return answer

    client.on_credentials = credentials
    calls = Calls(client, "on_connect", "on_connect_fail", "on_event")
    peer_side = peer.greet(client, looping=True)
    calls.find("on_connect")
    peer_side.reset()
    calls.find("on_connect_fail")
    while not (connect := peer.accept().packet()):
        pass  # the way of the attempt that had no credentials
    assert connect.endswith(b"\x00\x02me\x00\x013")
    assert shown == [LookupError]


def test_credentials_that_take_too_long_cost_the_attempt_and_hold_up_nothing(make: Any, peer: Peer) -> None:
    client = make(V2)
    client.connect_timeout = 0.3
    release, asked = threading.Event(), threading.Semaphore(0)

    def credentials(client: Any, userdata: Any) -> tuple[str, str]:
        asked.release()
        release.wait()
        return "me", "late"

    client.on_credentials = credentials
    begin = time.monotonic()
    with pytest.raises(OSError):
        client.connect("127.0.0.1", peer.port)
    assert asked.acquire(timeout=30) and time.monotonic() - begin >= 0.3
    release.set()
