"""Return codes, message identifiers, queueing: what publish and subscribe say in every state."""

from __future__ import annotations

import threading
import time
from typing import Any

import pytest
import remqtt.client as mqtt
from conftest import PATIENCE, V1, V2, Broker, Calls, Peer, wait_for


def test_message_identifiers_start_at_1_and_count_every_call(make: Any, peer: Peer) -> None:
    client = make(V2)
    client.connect("127.0.0.1", peer.port)
    assert client.publish("t").mid == 1
    assert client.subscribe("a")[1] == 2
    assert client.publish("t", qos=1).mid == 3
    assert client.unsubscribe("a")[1] == 4
    assert client.publish("t", qos=2).mid == 5


def test_the_packet_identifier_is_the_message_identifier(make: Any, peer: Peer) -> None:
    client = make(V2)
    client.connect("127.0.0.1", peer.port)
    client.publish("t", "x", 0)
    client.publish("t", "y", 1)
    server = peer.accept()
    server.welcome()
    server.expect(b"\x30\x04\x00\x01tx")
    server.expect(b"\x32\x06\x00\x01t\x00\x02y")


def test_qos_0_without_a_connection_is_dropped_and_said_so(make: Any, peer: Peer) -> None:
    client = make(V2)
    info = client.publish("t", "lost")
    assert info.rc == mqtt.MQTT_ERR_NO_CONN
    with pytest.raises(
        RuntimeError, match=r"Message publish failed: The client is not currently connected\."
    ):
        info.is_published()
    client.connect("127.0.0.1", peer.port)
    client.publish("t", "kept")
    server = peer.accept()
    server.welcome()
    server.expect(b"\x30\x07\x00\x01tkept")


def test_qos_0_is_kept_when_the_option_says_so(make: Any, peer: Peer) -> None:
    client = make(V2, options={"queue_qos0_offline": True})
    assert client.publish("t", "kept").rc == mqtt.MQTT_ERR_SUCCESS
    server = peer.greet(client)
    server.expect(b"\x30\x07\x00\x01tkept")


def test_qos_1_before_connect_is_kept_and_its_info_tells_the_truth(make: Any, broker: Broker) -> None:
    client = make(V2)
    info = client.publish("t", "kept", 1)
    assert info.rc == mqtt.MQTT_ERR_NO_CONN and not info.is_published()
    client.connect("127.0.0.1", broker.port)
    client.loop_start()
    info.wait_for_publish(PATIENCE)
    assert info.is_published() and info.rc == mqtt.MQTT_ERR_SUCCESS


def test_subscribe_without_connect_says_so(make: Any) -> None:
    assert make(V2).subscribe("a") == (mqtt.MQTT_ERR_NO_CONN, None)
    assert make(V2).unsubscribe("a") == (mqtt.MQTT_ERR_NO_CONN, None)
    assert make(V2).disconnect() == mqtt.MQTT_ERR_NO_CONN
    assert make(V2).loop() == mqtt.MQTT_ERR_NO_CONN


def test_a_subscribe_during_an_outage_is_made_when_it_is_over(make: Any, own_broker: Broker) -> None:
    client = make(V2, options={"reconnect_min_delay": 5, "reconnect_max_delay": 20})
    calls = Calls(client, "on_connect", "on_disconnect", "on_subscribe")
    client.connect("127.0.0.1", own_broker.port)
    client.loop_start()
    calls.find("on_connect")
    own_broker.kill()
    calls.find("on_disconnect")
    assert not client.is_connected()
    result, mid = client.subscribe("later", 1)
    assert result == mqtt.MQTT_ERR_SUCCESS
    own_broker.start()
    assert calls.find("on_subscribe")[0] == mid
    assert client.is_connected()


def test_more_messages_than_identifiers_can_be_queued(make: Any, broker: Broker) -> None:
    client, count = make(V2), 70_000
    for _ in range(count):
        info = client.publish("many", "x", 1)
    assert info.mid == count - 65_535
    client.connect("127.0.0.1", broker.port)
    client.loop_start()
    info.wait_for_publish(60)
    assert info.is_published()
    assert client.stats()["published"] == count


def test_a_full_queue_refuses_and_says_so(make: Any) -> None:
    client = make(V2)
    assert client.max_queued_messages_set(2) is client
    infos = [client.publish("t", "x", 1) for _ in range(3)]
    assert [info.rc for info in infos] == [4, 4, mqtt.MQTT_ERR_QUEUE_SIZE]
    with pytest.raises(ValueError, match="ERR_QUEUE_SIZE"):
        infos[2].wait_for_publish()


def test_wait_for_publish_ends_with_its_timeout(make: Any) -> None:
    info = make(V2).publish("t", "x", 1)
    before = time.monotonic()
    info.wait_for_publish(0.05)
    assert 0.04 < time.monotonic() - before < PATIENCE
    assert not info.is_published()


def test_wait_for_publish_works_inside_a_callback(make: Any, broker: Broker) -> None:
    client, done = make(V2), threading.Event()

    def on_connect(client: Any, *arguments: Any) -> None:
        info = client.publish("t", "x", 1)
        info.wait_for_publish(PATIENCE)
        if info.is_published():
            done.set()

    client.on_connect = on_connect
    client.connect("127.0.0.1", broker.port)
    client.loop_start()
    assert done.wait(PATIENCE)


def test_wait_for_publish_raises_when_the_server_rejects(make: Any, peer: Peer) -> None:
    client = make(V2, protocol=mqtt.MQTTv5)
    calls = Calls(client, "on_publish")
    client.connect("127.0.0.1", peer.port)
    client.loop_start()
    server = peer.accept()
    server.packet()
    server.send(bytes([0x20, 3, 0, 0, 0]))
    info = client.publish("t", "x", 1)
    server.packet()
    server.send(bytes([0x40, 3, 0, 1, 0x97]))
    mid, reason, _ = calls.find("on_publish")
    assert (mid, str(reason)) == (1, "Quota exceeded")
    with pytest.raises(RuntimeError, match="rejected"):
        info.wait_for_publish(PATIENCE)


def test_an_info_is_a_pair_as_in_paho() -> None:
    info = mqtt.MQTTMessageInfo(5)
    rc, mid = info
    assert (rc, mid, info[0], info[1]) == (0, 5, 0, 5)
    assert str(info) == "(<MQTTErrorCode.MQTT_ERR_SUCCESS: 0>, 5)"
    with pytest.raises(IndexError):
        info[2]


def test_user_data_reaches_every_callback(make: Any, broker: Broker) -> None:
    client, seen = make(V2, userdata="first"), []
    assert client.user_data_get() == "first"
    client.user_data_set(seen)
    client.on_connect = lambda client, userdata, *rest: userdata.append(rest)
    client.connect("127.0.0.1", broker.port)
    client.loop_start()
    wait_for(lambda: seen)


def test_credentials_and_will_are_in_the_connect(make: Any, peer: Peer) -> None:
    client = make(V1, client_id="me")
    client.username_pw_set(b"user", b"\x00\xff")
    client.will_set("w", payload="gone", qos=1, retain=True)
    client.connect("127.0.0.1", peer.port, keepalive=60)
    connect = peer.accept().packet()
    variable = b"\x00\x04MQTT\x04\xee\x00\x3c"
    payload = b"\x00\x02me\x00\x01w\x00\x04gone\x00\x04user\x00\x02\x00\xff"
    assert connect == bytes([0x10, len(variable + payload)]) + variable + payload


@pytest.mark.parametrize(
    ("keywords", "connect", "flag", "expiry"),
    [
        ({"clean_session": False, "client_id": "i"}, {}, 0, None),
        ({}, {}, 2, None),
        ({"protocol": mqtt.MQTTv5}, {}, 2, None),
        ({"protocol": mqtt.MQTTv5}, {"clean_start": False}, 0, None),
        ({"protocol": mqtt.MQTTv5, "options": {"session_expiry": 77}}, {}, 2, 77),
    ],
    ids=repr,
)
def test_the_session_is_as_clean_as_paho_makes_it(
    make: Any, peer: Peer, keywords: Any, connect: Any, flag: int, expiry: int | None
) -> None:
    make(V2, **keywords).connect("127.0.0.1", peer.port, **connect)
    packet = peer.accept().packet()
    assert packet[9] & 2 == flag
    assert (b"\x11\x00\x00\x00\x4d" in packet) is (expiry is not None)


def test_connect_properties_win(make: Any, peer: Peer) -> None:
    properties = mqtt.Properties(mqtt.PacketTypes.CONNECT)
    properties.SessionExpiryInterval = 0x01020304
    properties.ReceiveMaximum = 0x0A0B
    make(V2, protocol=mqtt.MQTTv5).connect("127.0.0.1", peer.port, properties=properties)
    packet = peer.accept().packet()
    assert b"\x11\x01\x02\x03\x04" in packet and packet.count(b"\x21\x0a\x0b") == 1


def test_statistics_and_timeline_are_dicts(make: Any, own_broker: Broker) -> None:
    client = make(V2, options={"reconnect_min_delay": 5, "reconnect_max_delay": 20})
    calls = Calls(client, "on_connect", "on_disconnect", "on_recovered")
    client.connect("127.0.0.1", own_broker.port)
    client.loop_start()
    calls.find("on_connect")
    assert client.timeline() == []
    own_broker.kill()
    calls.find("on_disconnect")
    own_broker.start()
    outage = calls.find("on_recovered")[0]
    assert outage["number"] == 1 and outage["attempts"] >= 2
    marks = outage["marks"]
    assert marks["Lost"] == 0 and marks["Detected"] <= marks["FirstAttempt"] <= marks["Connack"]
    assert client.timeline()[0]["number"] == 1
    assert client.stats()["outages"] == 1
