"""What becomes of a client whose program drives it, after a loss: see the top of remqtt/_external.py."""

from __future__ import annotations

import select
from typing import Any

import pytest
import remqtt.client as mqtt
from conftest import V2, Broker, Calls, Peer, wait_for


def test_a_program_that_ignores_losses_comes_back(programs: Any, peer: Peer) -> None:
    program = programs(hears_losses=False)
    server = peer.greet(program.client)
    program.until("on_connect")
    before = program.sock.fileno()
    server.reset()
    assert program.until("on_socket_open") == ["on_socket_close", "on_pre_connect", "on_socket_open"]
    assert program.codes[-1] == mqtt.MQTT_ERR_CONN_LOST
    assert program.sock.fileno() >= 0 and before >= 0
    message = program.client.publish("t", "x", 1)
    again = peer.accept()
    again.welcome()
    assert program.until("on_connect") == ["on_connect"]
    again.expect(b"\x32\x06\x00\x01t\x00" + bytes([message.mid]) + b"x")
    again.send(b"\x40\x02\x00" + bytes([message.mid]))
    program.until("on_publish")


def test_a_program_that_ignores_losses_comes_back_from_a_long_outage(
    programs: Any, own_broker: Broker
) -> None:
    client = mqtt.Client(V2, "long", options={"reconnect_min_delay": 5, "reconnect_max_delay": 20})
    program = programs(mqtt, client, hears_losses=False)
    failures: list[int] = []
    client.on_connect_fail = lambda *arguments: failures.append(1)
    client.connect("127.0.0.1", own_broker.port)
    program.until("on_connect")
    own_broker.kill()
    wait_for(lambda: program.turn() or len(failures) > 3, "failures")
    own_broker.start()
    names = program.until("on_connect")
    assert names.count("on_socket_open") == names.count("on_socket_close"), "one for every loss"


def test_a_loop_that_ignores_what_it_is_told_comes_back(make: Any, peer: Peer) -> None:
    client = make(V2)
    calls = Calls(client, "on_connect", "on_disconnect")
    server = peer.greet(client)
    wait_for(lambda: client.loop(0.1) or not calls.empty())
    calls.find("on_connect")
    server.reset()
    codes: list[int] = []
    wait_for(lambda: codes.append(client.loop(0.1)) or codes[-1] != mqtt.MQTT_ERR_SUCCESS)
    assert codes[-1] == mqtt.MQTT_ERR_CONN_LOST
    calls.find("on_disconnect")
    assert client.loop(0.1) == mqtt.MQTT_ERR_SUCCESS, "called again: it is on its way back"
    peer.accept().welcome()
    wait_for(lambda: client.loop(0.1) or not calls.empty())
    calls.find("on_connect")


def test_a_socket_that_is_closed_without_a_loop_stays_closed_until_a_loop_begins(
    make: Any, peer: Peer
) -> None:
    client = make(V2)
    calls = Calls(client, "on_connect", "on_disconnect")
    server = peer.greet(client, looping=True)
    calls.find("on_connect")
    client.loop_stop()
    client.socket().close()
    assert server.sock.recv(1) == b"", "without a DISCONNECT"
    assert not select.select([peer.listener], [], [], 0.5)[0], "nobody comes back"
    client.loop_start()
    peer.accept().welcome()
    calls.find("on_disconnect")
    calls.find("on_connect")
    assert client.is_connected()


def test_a_loop_that_goes_on_leaves_the_delays_to_the_core(make: Any, peer: Peer) -> None:
    client = make(V2, options={"reconnect_min_delay": 5, "reconnect_max_delay": 20})
    calls = Calls(client, "on_connect", "on_disconnect")
    server = peer.greet(client)
    wait_for(lambda: client.loop(0.1) or not calls.empty())
    calls.find("on_connect")
    server.reset()
    wait_for(lambda: client.loop(0.1))
    calls.find("on_disconnect")
    for _ in range(3):
        client.loop(0.1)
        server = peer.accept()
        server.packet()
        server.reset()
        wait_for(lambda: client.loop(0.1))
        calls.find("on_disconnect")
        assert client.loop_misc() == mqtt.MQTT_ERR_SUCCESS, "still on its way"
    peer.accept().welcome()
    wait_for(lambda: client.loop(0.1) or not calls.empty())
    calls.find("on_connect")


@pytest.mark.parametrize("hears_losses", [True, False])
def test_wrong_credentials_are_not_tried_in_haste(programs: Any, peer: Peer, hears_losses: bool) -> None:
    program = programs(hears_losses=hears_losses)
    client = program.client
    client.connect("127.0.0.1", peer.port)
    for attempt in range(2 if hears_losses else 1):
        server = peer.accept()
        server.packet()
        server.send(b"\x20\x02\x00\x05")
        program.until("on_socket_close")
        if attempt == 0 and hears_losses:
            client.loop_misc()
            assert client.loop_misc() == mqtt.MQTT_ERR_SUCCESS, "called again: another attempt"
    attempts = client.stats()["connect_attempts"]
    for _ in range(3):
        client.loop_misc()
        client.loop_read()
    assert client.stats()["connect_attempts"] == attempts, "the core waits long before the next one"
    client.reconnect()
    peer.accept().welcome()
    program.until("on_connect")


def test_a_program_without_hooks_asks_for_the_socket_and_comes_back(make: Any, peer: Peer) -> None:
    client = make(V2)
    calls = Calls(client, "on_connect", "on_disconnect")

    def turn() -> None:
        if select.select([client.socket()], [], [], 0.1)[0]:
            client.loop_read()

    client.connect("127.0.0.1", peer.port)
    for _ in range(3):
        server = peer.accept()
        server.welcome()
        wait_for(lambda: turn() or not calls.empty())
        calls.find("on_connect")
        server.reset()
        wait_for(lambda: turn() or not calls.empty())
        calls.find("on_disconnect")
        assert client.socket().fileno() >= 0
    peer.accept()


def test_a_client_that_was_replaced_does_not_take_the_session_back(programs: Any, own_broker: Broker) -> None:
    first = programs(mqtt, mqtt.Client(V2, "session", clean_session=False))
    first.client.connect("127.0.0.1", own_broker.port)
    first.until("on_connect")
    first.client.subscribe("session/#", 1)
    kept = first.client.publish("session/kept", "x", 1)
    first.until("on_message")
    wait_for(kept.is_published)
    own_broker.kill()
    first.until("on_disconnect")
    own_broker.start()
    second = programs(mqtt, mqtt.Client(V2, "session", clean_session=False))
    second.client.connect("127.0.0.1", own_broker.port)
    second.until("on_connect")
    second.client.publish("session/again", "y", 1)
    second.until("on_message")
    first.client.loop_misc()
    assert not first.client.is_connected() and first.taken() == [] and first.client.socket() is None
    assert second.client.is_connected() and "on_disconnect" not in second.taken()


def test_what_is_published_during_an_outage_leaves_after_reconnect(programs: Any, peer: Peer) -> None:
    program = programs()
    client = program.client
    server = peer.greet(client)
    program.until("on_connect")
    server.reset()
    program.until("on_disconnect")
    assert client.publish("t", "gone").rc == mqtt.MQTT_ERR_NO_CONN
    info = client.publish("t", "kept", 1)
    assert client.subscribe("t") == (mqtt.MQTT_ERR_NO_CONN, None)
    client.reconnect()
    server = peer.accept()
    server.welcome()
    program.until("on_connect")
    server.expect(b"\x32\x09\x00\x01t\x00" + bytes([info.mid]) + b"kept")


@pytest.mark.parametrize("hears_losses", [True, False])
def test_a_clean_start_for_the_first_connection_is_over_after_it(
    programs: Any, peer: Peer, hears_losses: bool
) -> None:
    client = mqtt.Client(V2, "five", protocol=mqtt.MQTTv5)
    program = programs(mqtt, client, hears_losses=hears_losses)
    client.connect("127.0.0.1", peer.port)
    for number in range(3):
        server = peer.accept()
        connect = server.packet()
        assert connect[9] & 2 == (0 if number else 2), "the flag for a clean start"
        server.send(b"\x20\x03\x00\x00\x00")
        program.until("on_connect")
        server.reset()
        program.until("on_socket_close")
        if hears_losses:
            client.reconnect()


def test_a_socket_that_the_program_closes_is_a_loss(programs: Any, peer: Peer) -> None:
    program = programs()
    server = peer.greet(program.client)
    program.until("on_connect")
    program.client.socket().close()
    assert server.packet() == b"", "no DISCONNECT: the will is published"
    assert program.until("on_disconnect") == ["on_socket_close", "on_disconnect"]
    program.sock.close()


def test_with_reconnect_on_failure_false_only_reconnect_brings_it_back(programs: Any, peer: Peer) -> None:
    client = mqtt.Client(V2, "once", reconnect_on_failure=False)
    program = programs(mqtt, client, hears_losses=False)
    server = peer.greet(client)
    program.until("on_connect")
    server.reset()
    program.until("on_socket_close")
    for _ in range(3):
        assert client.loop_misc() == client.loop_read() == mqtt.MQTT_ERR_NO_CONN
    assert client.socket() is None and program.taken() == []
    client.reconnect()
    peer.accept().welcome()
    program.until("on_connect")
