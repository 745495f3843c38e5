"""Names of paho's with an underscore in front that other people's programs touch."""

from __future__ import annotations

import ssl
import threading
from typing import Any

import pytest
import remqtt.client as mqtt
from conftest import V2, Broker, Calls, Peer, wait_for

LOCKS = (
    *("_callback_mutex", "_in_callback_mutex", "_msgtime_mutex", "_out_message_mutex"),
    *("_in_message_mutex", "_reconnect_delay_mutex", "_mid_generate_mutex"),
)


def test_what_is_written_before_connect_is_on_the_wire(make: Any, peer: Peer) -> None:
    client = make(V2, "before")
    client._client_id, client._clean_session = b"after", False
    client.connect("127.0.0.1", peer.port)
    connect = peer.accept().welcome()
    assert connect[9] & 2 == 0 and connect.endswith(b"\x00\x05after")
    assert client._client_id.decode() == "after"


@pytest.mark.parametrize(
    ("before", "protocol", "begins"),
    [
        (mqtt.MQTTv311, mqtt.MQTTv5, b"\x00\x04MQTT\x05"),
        (mqtt.MQTTv31, mqtt.MQTTv311, b"\x00\x04MQTT\x04"),
        (mqtt.MQTTv311, mqtt.MQTTv31, b"\x00\x06MQIsdp\x03"),
    ],
)
def test_the_protocol_can_be_written(
    make: Any, peer: Peer, before: int, protocol: int, begins: bytes
) -> None:
    client = make(V2, "written", protocol=before)
    client._protocol = protocol
    client._clean_session = None if protocol == mqtt.MQTTv5 else True
    client.connect("127.0.0.1", peer.port)
    assert peer.accept().packet()[2:].startswith(begins)
    assert client.protocol == client._protocol == protocol
    with pytest.raises(AttributeError):
        client.protocol = mqtt.MQTTv311


def test_the_transport_can_be_written(make: Any, peer: Peer) -> None:
    client = make(V2, options={"reconnect": False})
    client._transport = "websockets"
    client.connect_async("127.0.0.1", peer.port)
    client.loop_start()
    connection = peer.accept()
    assert connection.sock.recv(14) == b"GET /mqtt HTTP"
    connection.sock.close()


def test_a_context_can_be_taken_away_and_set_again(make: Any) -> None:
    client = make(V2)
    client.tls_set_context(ssl.create_default_context())
    with pytest.raises(ValueError, match="already"):
        client.tls_set_context(ssl.create_default_context())
    client._ssl_context = None
    other = ssl.create_default_context()
    client.tls_set_context(other)
    assert client._ssl_context is other


def test_what_can_be_read(make: Any, broker: Broker) -> None:
    client = make(V2, userdata="data")
    assert client._sock is None and client._thread is None and client._userdata == "data"
    client.username_pw_set("name", "password")
    client.enable_logger()
    client.connect("127.0.0.1", broker.port, 30)
    assert (client._host, client._port, client._keepalive) == ("127.0.0.1", broker.port, 30)
    assert (client._username, client._logger) == (b"name", client.logger)
    assert client._sock is client.socket() and client._sock is not None
    client.loop_start()
    assert client._thread.is_alive()
    client.disconnect()
    client.loop_stop()
    assert client._sock is None and client._thread is None


def test_the_state_has_the_numbers_of_1_and_the_names_of_2(make: Any, peer: Peer) -> None:
    client = make(V2)
    calls = Calls(client, "on_connect", "on_disconnect")
    assert (client._state, client._state.name) == (0, "MQTT_CS_NEW")
    client.connect_async("127.0.0.1", peer.port)
    assert (client._state, client._state.name) == (3, "MQTT_CS_CONNECT_ASYNC")
    client.reconnect()
    assert client._state.name == "MQTT_CS_CONNECTING"
    server = peer.accept()
    server.welcome()
    wait_for(lambda: client.loop(0.1) or not calls.empty())
    assert (client._state, client._state.name) == (1, "MQTT_CS_CONNECTED")
    server.reset()
    wait_for(lambda: client.loop(0.1))
    assert client._state.name == "MQTT_CS_CONNECTION_LOST"
    client.reconnect()
    peer.accept().welcome()
    wait_for(lambda: client.loop(0.1) == mqtt.MQTT_ERR_SUCCESS and client.is_connected())
    client.disconnect()
    assert client._state.name == "MQTT_CS_DISCONNECTED"


def test_sock_close_is_a_loss_and_no_goodbye(make: Any, peer: Peer) -> None:
    client = make(V2)
    calls = Calls(client, "on_connect", "on_disconnect")
    client._sock_close()
    server = peer.greet(client, looping=True)
    calls.find("on_connect")
    client._sock_close()
    assert server.packet() == b"", "no DISCONNECT: the will is published"
    calls.find("on_disconnect")
    peer.accept().welcome()
    calls.find("on_connect")


def test_the_queues_have_a_length(make: Any, peer: Peer) -> None:
    client = make(V2)
    client.max_inflight_messages_set(20)
    assert len(client._out_packet) == len(client._out_messages) == len(client._in_messages) == 0
    client.connect("127.0.0.1", peer.port)
    client.loop_start()
    server = peer.accept()
    for _ in range(25):
        client.publish("t", "x", 1)
    wait_for(lambda: len(client._out_packet) == 25 and len(client._out_messages) == 25)
    server.welcome()
    wait_for(lambda: len(client._out_packet) == 5, "a full window")
    assert len(client._out_messages) == 25 and "25" in repr(client._out_messages)
    client._out_packet.clear()
    client._in_messages.clear()


def test_locks_can_be_used_and_replaced(make: Any, broker: Broker) -> None:
    class NullLock:
        def __enter__(self) -> None: ...
        def __exit__(self, *error: Any) -> None: ...

    client, connected = make(V2), threading.Event()
    for name in LOCKS:
        with getattr(client, name):
            assert getattr(client, name).acquire() and not getattr(client, name).locked()
            getattr(client, name).release()
        setattr(client, name, NullLock())
    client.on_connect = lambda *arguments: connected.set()
    client.connect("127.0.0.1", broker.port)
    client.loop_start()
    wait_for(connected.is_set)
