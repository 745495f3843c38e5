"""After loop_stop() nobody looks: the client is as good as dead until a loop runs again, as with paho."""

from __future__ import annotations

import select
import threading
from collections.abc import Callable
from typing import Any

import pytest
import remqtt.client as mqtt
from conftest import PATIENCE, V2, Calls, Connection, Peer, wait_for
from remqtt._events import STOPPED


def connected(client: mqtt.Client, peer: Peer, calls: Calls) -> Connection:
    server = peer.greet(client, looping=True)
    calls.find("on_connect")
    return server


def nobody_comes(peer: Peer) -> bool:
    return not select.select([peer.listener], [], [], 0.5)[0]


def by_hand(client: mqtt.Client) -> Callable[[], Any]:
    over = threading.Event()

    def loop() -> None:
        while not over.is_set():
            client.loop(0.05)

    thread = threading.Thread(target=loop)
    thread.start()
    return lambda: (over.set(), thread.join())


def for_ever(client: mqtt.Client) -> Callable[[], Any]:
    thread = threading.Thread(target=client.loop_forever)
    thread.start()
    return lambda: (client.disconnect(), thread.join(PATIENCE))


def in_the_background(client: mqtt.Client) -> Callable[[], Any]:
    assert client.loop_start() == mqtt.MQTT_ERR_SUCCESS
    return client.loop_stop


@pytest.mark.parametrize("hears_losses", [True, False])
@pytest.mark.parametrize("loop", [in_the_background, for_ever, by_hand])
def test_whichever_loop_runs_next_comes_back(
    make: Any, peer: Peer, loop: Callable[[mqtt.Client], Callable[[], Any]], hears_losses: bool
) -> None:
    client = make(V2)
    calls = Calls(client, "on_connect", *["on_disconnect"] * hears_losses)
    server = connected(client, peer, calls)
    client.loop_stop()
    server.sock.close()
    assert nobody_comes(peer)
    end = loop(client)
    try:
        peer.accept().welcome()
        if hears_losses:
            calls.find("on_disconnect")
        calls.find("on_connect")
        wait_for(client.is_connected)
    finally:
        end()


def test_a_connection_that_is_still_there_goes_on(make: Any, peer: Peer) -> None:
    client = make(V2)
    calls = Calls(client, "on_connect", "on_message")
    server = connected(client, peer, calls)
    client.loop_stop()
    server.send(b"\x30\x04\x00\x01tx")
    client.publish("t", "y")
    server.expect(b"\x30\x04\x00\x01ty")
    client.loop_start()
    assert calls.find("on_message")[0].payload == b"x"
    assert client.is_connected() and nobody_comes(peer)


def test_no_ping_is_sent_until_a_loop_runs_again(make: Any, peer: Peer) -> None:
    client = make(V2)
    calls = Calls(client, "on_connect")
    client.connect("127.0.0.1", peer.port, keepalive=1)
    client.loop_start()
    server = peer.accept()
    server.welcome()
    calls.find("on_connect")
    client.loop_stop()
    assert not select.select([server.sock], [], [], 2.5)[0]
    client.loop_start()
    server.expect(b"\xc0\x00")


def test_a_client_that_was_never_connected_may_stop_and_start_looping(make: Any) -> None:
    client = make(V2)
    for _ in range(2):
        assert client.loop_start() == mqtt.MQTT_ERR_SUCCESS
        assert client.loop_stop() == mqtt.MQTT_ERR_SUCCESS
    assert client.loop(0.01) == mqtt.MQTT_ERR_NO_CONN


def test_the_next_loop_connects_to_where_the_program_says_now(make: Any, peer: Peer) -> None:
    client, other = make(V2), Peer()
    server = connected(client, peer, Calls(client, "on_connect"))
    client.loop_stop()
    server.sock.close()
    try:
        client.connect_async("127.0.0.1", other.port)
        client.loop_start()
        other.accept().welcome()
        wait_for(client.is_connected)
        assert nobody_comes(peer)
    finally:
        other.end()


def test_after_a_disconnect_no_loop_comes_back(make: Any, peer: Peer) -> None:
    client = make(V2)
    server = connected(client, peer, Calls(client, "on_connect"))
    client.loop_stop()
    server.sock.close()
    wait_for(lambda: client._core.state() == STOPPED)
    client.disconnect()
    client.loop_start()
    assert nobody_comes(peer)


def test_a_client_on_its_way_back_stops_where_the_loop_stops(make: Any, peer: Peer) -> None:
    client = make(V2, options={"reconnect_min_delay": 50, "reconnect_max_delay": 50})
    calls = Calls(client, "on_connect", "on_disconnect", "on_connect_fail")
    server = connected(client, peer, calls)
    peer.listener.close()
    server.reset()
    calls.find("on_connect_fail")
    client.loop_stop()
    again = Peer(peer.port)
    try:
        assert nobody_comes(again)
        client.reconnect()
        client.loop_start()
        again.accept().welcome()
        calls.find("on_connect")
    finally:
        again.end()


def test_loop_stop_in_a_callback_leaves_the_rest_to_the_next_loop(make: Any, peer: Peer) -> None:
    client, payloads, go_on = make(V2), [], threading.Event()

    def on_message(client: mqtt.Client, userdata: Any, message: mqtt.MQTTMessage) -> None:
        payloads.append(message.payload)
        if len(payloads) == 1:
            client.loop_stop()
            go_on.wait(PATIENCE)

    client.on_message = on_message
    server = connected(client, peer, Calls(client, "on_connect"))
    server.send(b"".join(b"\x32\x06\x00\x01t\x00%c%d" % (number + 1, number) for number in range(6)))
    wait_for(lambda: len(payloads) == 1 and client._looping is None)
    client.publish("t", "y")
    server.expect(b"\x30\x04\x00\x01ty")  # and no PUBACK before: the callback is still at work
    go_on.set()
    server.expect(b"\x40\x02\x00\x01")
    client.loop_start()
    wait_for(lambda: payloads == [b"%d" % number for number in range(6)])
    for number in range(1, 6):
        server.expect(b"\x40\x02\x00%c" % (number + 1))


def test_loop_stop_in_on_disconnect_keeps_the_client_away(make: Any, peer: Peer) -> None:
    client = make(V2)
    calls = Calls(client, "on_connect")
    server = connected(client, peer, calls)
    stopped = threading.Event()

    def on_disconnect(*arguments: Any) -> None:
        client.loop_stop()
        stopped.set()

    client.on_disconnect = on_disconnect
    server.reset()
    assert stopped.wait(PATIENCE)
    wait_for(lambda: client._core.state() == STOPPED)
    if not nobody_comes(peer):
        # The attempt that is made at once had begun before the callback ran; it is given up.
        attempt = peer.accept()
        while attempt.packet():
            pass
    assert nobody_comes(peer)
    client.on_disconnect = None
    client.loop_start()
    peer.accept().welcome()
    calls.find("on_connect")


def test_loop_stop_after_disconnect_in_a_callback_still_tells_of_the_end(make: Any, peer: Peer) -> None:
    client = make(V2)

    def on_message(client: mqtt.Client, userdata: Any, message: mqtt.MQTTMessage) -> None:
        client.disconnect()
        client.loop_stop()

    client.on_message = on_message
    calls = Calls(client, "on_connect", "on_disconnect")
    server = connected(client, peer, calls)
    server.send(b"\x30\x04\x00\x01tx")
    assert calls.find("on_disconnect")[1] == 0
    wait_for(lambda: client._looping is None)
