"""Which arguments the callbacks get, and what they may do."""

from __future__ import annotations

import logging
import queue
import sqlite3
import threading
import time
from typing import Any

import pytest
import remqtt.client as mqtt
from conftest import PATIENCE, V1, V2, Broker, Calls, Peer, wait_for
from remqtt.packettypes import PacketTypes
from remqtt.properties import Properties
from remqtt.reasoncodes import ReasonCode

ALL = ("on_connect", "on_subscribe", "on_message", "on_publish", "on_unsubscribe", "on_disconnect")


def life(client: mqtt.Client, broker: Broker) -> dict[str, tuple[Any, ...]]:
    """Connects, subscribes, publishes, unsubscribes, disconnects; what each callback got."""
    calls, got = Calls(client, *ALL), {}
    client.connect("127.0.0.1", broker.port)
    client.loop_start()
    got["on_connect"] = calls.find("on_connect")
    client.subscribe("life/#", 1)
    got["on_subscribe"] = calls.find("on_subscribe")
    client.publish("life/x", b"payload", 1)
    for _ in range(2):
        name, *arguments = calls.next()
        got[name] = tuple(arguments)
    client.unsubscribe("life/#")
    got["on_unsubscribe"] = calls.find("on_unsubscribe")
    client.disconnect()
    got["on_disconnect"] = calls.find("on_disconnect")
    client.loop_stop()
    return got


def test_version_1_callbacks_on_mqtt_311_get_plain_numbers(make: Any, broker: Broker) -> None:
    got = life(make(V1), broker)
    assert got["on_connect"] == ({"session present": 0}, 0)
    assert type(got["on_connect"][1]) is int
    assert got["on_subscribe"] == (1, (1,))
    assert got["on_publish"] == (2,)
    assert got["on_unsubscribe"] == (3,)
    assert got["on_disconnect"] == (mqtt.MQTT_ERR_SUCCESS,)
    assert isinstance(got["on_disconnect"][0], mqtt.MQTTErrorCode)


def test_version_1_callbacks_on_mqtt_5_get_reason_codes_and_properties(make: Any, broker: Broker) -> None:
    got = life(make(V1, protocol=mqtt.MQTTv5), broker)
    flags, reason, properties = got["on_connect"]
    assert (flags, reason) == ({"session present": 0}, 0)
    assert isinstance(reason, ReasonCode) and isinstance(properties, Properties)
    assert got["on_subscribe"][:2] == (1, [ReasonCode(PacketTypes.SUBACK, identifier=1)])
    assert got["on_publish"] == (2,)
    mid, properties, reason = got["on_unsubscribe"]
    assert (mid, reason) == (3, 0) and isinstance(properties, Properties)
    assert got["on_disconnect"] == (mqtt.MQTT_ERR_SUCCESS, None)


@pytest.mark.parametrize("protocol", [mqtt.MQTTv311, mqtt.MQTTv5])
def test_version_2_callbacks_are_the_same_on_both_protocols(make: Any, broker: Broker, protocol: int) -> None:
    got = life(make(V2, protocol=protocol), broker)
    flags, reason, properties = got["on_connect"]
    assert flags == mqtt.ConnectFlags(session_present=False)
    assert str(reason) == "Success" and isinstance(properties, Properties)
    mid, reasons, properties = got["on_subscribe"]
    assert (mid, [str(reason) for reason in reasons]) == (1, ["Granted QoS 1"])
    mid, reason, properties = got["on_publish"]
    assert (mid, str(reason)) == (2, "Success") and isinstance(properties, Properties)
    mid, reasons, properties = got["on_unsubscribe"]
    assert (mid, reasons) == (3, [] if protocol == mqtt.MQTTv311 else [0])
    flags, reason, properties = got["on_disconnect"]
    assert flags == mqtt.DisconnectFlags(is_disconnect_packet_from_server=False)
    assert str(reason) == "Normal disconnection" and isinstance(properties, Properties)


def test_a_message_has_the_attributes_of_pahos(make: Any, broker: Broker) -> None:
    message = life(make(V2), broker)["on_message"][0]
    assert isinstance(message, mqtt.MQTTMessage)
    assert (message.topic, message.payload, message.qos) == ("life/x", b"payload", 1)
    assert (message.retain, message.dup, message.properties) == (False, False, None)
    assert message.mid > 0 and message.timestamp > 0


def test_properties_of_a_message_arrive_in_order(make: Any, broker: Broker) -> None:
    client = make(V2, protocol=mqtt.MQTTv5)
    calls = Calls(client, "on_message", "on_subscribe")
    client.connect("127.0.0.1", broker.port)
    client.loop_start()
    client.subscribe("props", 1)
    calls.find("on_subscribe")
    properties = Properties(PacketTypes.PUBLISH)
    properties.UserProperty = [("b", "1"), ("a", "2"), ("b", "3")]
    properties.CorrelationData = b"\x00\xff"
    properties.ContentType = "text/plain"
    client.publish("props", "x", 1, properties=properties)
    received = calls.find("on_message")[0].properties
    assert received.UserProperty == [("b", "1"), ("a", "2"), ("b", "3")]
    assert (received.CorrelationData, received.ContentType) == (b"\x00\xff", "text/plain")


@pytest.mark.parametrize(("code", "reason"), [(4, "Bad user name or password"), (5, "Not authorized")])
def test_a_refusal_calls_on_connect_and_then_on_disconnect(
    make: Any, peer: Peer, code: int, reason: str
) -> None:
    old, new = make(V1), make(V2)
    for client in (old, new):
        calls = Calls(client, "on_connect", "on_disconnect")
        client.connect("127.0.0.1", peer.port)
        client.loop_start()
        server = peer.accept()
        server.packet()
        server.send(bytes([0x20, 2, 0, code]))
        first, second = calls.next(), calls.next()
        if client is old:
            assert first == ("on_connect", {"session present": 0}, code)
            assert second == ("on_disconnect", mqtt.MQTT_ERR_CONN_REFUSED)
        else:
            assert (first[0], str(first[2])) == ("on_connect", reason)
            assert (second[0], str(second[2])) == ("on_disconnect", "Unspecified error")


def test_a_lost_connection_is_error_7(make: Any, peer: Peer) -> None:
    client = make(V1)
    calls = Calls(client, "on_connect", "on_disconnect")
    server = peer.greet(client, looping=True)
    calls.find("on_connect")
    server.reset()
    assert calls.find("on_disconnect") == (mqtt.MQTT_ERR_CONN_LOST,)


def test_a_disconnect_of_the_server_comes_with_its_reason(make: Any, peer: Peer) -> None:
    client = make(V2, protocol=mqtt.MQTTv5)
    calls = Calls(client, "on_connect", "on_disconnect")
    client.connect("127.0.0.1", peer.port)
    client.loop_start()
    server = peer.accept()
    server.packet()
    server.send(bytes([0x20, 3, 0, 0, 0]))
    calls.find("on_connect")
    server.send(bytes([0xE0, 1, 0x8B]))
    flags, reason, _ = calls.find("on_disconnect")
    assert flags.is_disconnect_packet_from_server and str(reason) == "Server shutting down"


def test_a_subclass_method_is_a_callback(broker: Broker) -> None:
    done = threading.Event()

    class Mine(mqtt.Client):
        def on_connect(self, client: Any, userdata: Any, *rest: Any) -> None:
            assert client is self
            self.subscribe("mine", 1)

        def on_subscribe(self, *arguments: Any) -> None:
            self.publish("mine", "x", 1)

        def on_message(self, client: Any, userdata: Any, message: Any) -> None:
            userdata.append(message.topic)
            done.set()

    topics: list[str] = []
    client = Mine(V2, userdata=topics)
    client.connect("127.0.0.1", broker.port)
    client.loop_start()
    assert done.wait(PATIENCE)
    assert topics == ["mine"]
    client.disconnect()
    client.loop_stop()


def test_callbacks_may_be_replaced_between_two_messages_of_a_batch(make: Any, peer: Peer) -> None:
    client = make(V1)
    seen: list[tuple[str, bytes]] = []

    def first(client: Any, userdata: Any, message: Any) -> None:
        seen.append(("first", message.payload))
        client.on_message = second

    def second(client: Any, userdata: Any, message: Any) -> None:
        seen.append(("second", message.payload))

    client.on_message = first
    server = peer.greet(client)
    server.send(b"\x30\x04\x00\x01t1\x30\x04\x00\x01t2")
    client.loop_start()
    wait_for(lambda: len(seen) == 2, "two messages")
    assert seen == [("first", b"1"), ("second", b"2")]


def test_every_matching_topic_callback_is_called_and_on_message_is_not(make: Any, broker: Broker) -> None:
    client, seen, done = make(V2), [], threading.Event()
    client.message_callback_add("tc/+", lambda c, u, m: seen.append(("plus", m.topic)))
    client.message_callback_add("tc/#", lambda c, u, m: seen.append(("hash", m.topic)))
    client.on_message = lambda c, u, m: (seen.append(("other", m.topic)), done.set())
    client.connect("127.0.0.1", broker.port)
    client.loop_start()
    client.subscribe([("tc/#", 1), ("last", 1)])
    for topic in ("tc/a", "tc/a/b", "last"):
        client.publish(topic, "", 1)
    assert done.wait(PATIENCE)
    assert seen == [("plus", "tc/a"), ("hash", "tc/a"), ("hash", "tc/a/b"), ("other", "last")]


def test_a_removed_topic_callback_gives_its_messages_back_to_on_message(make: Any, broker: Broker) -> None:
    client = make(V2)
    calls = Calls(client, "on_message", "on_subscribe")

    @client.topic_callback("tr/a")
    def on_a(client: Any, userdata: Any, message: Any) -> None:
        client.message_callback_remove("tr/a")

    client.connect("127.0.0.1", broker.port)
    client.loop_start()
    client.subscribe("tr/a", 1)
    calls.find("on_subscribe")
    client.publish("tr/a", "first", 1)
    client.publish("tr/a", "second", 1)
    assert calls.find("on_message")[0].payload == b"second"


def test_decorators_set_the_callbacks(make: Any) -> None:
    client = make(V2)

    @client.connect_callback()
    def on_connect(*arguments: Any) -> None: ...

    @client.message_callback()
    def on_message(*arguments: Any) -> None: ...

    assert (client.on_connect, client.on_message) == (on_connect, on_message)


def test_on_pre_connect_runs_in_the_thread_of_connect(make: Any, broker: Broker) -> None:
    client, threads = make(V2), []
    client.on_pre_connect = lambda *arguments: threads.append(threading.current_thread())
    client.connect("127.0.0.1", broker.port)
    assert threads == [threading.current_thread()]


def test_callbacks_of_loop_start_run_on_a_thread_that_python_made(make: Any, broker: Broker) -> None:
    client, threads, done = make(V2), [], threading.Event()

    def on_connect(*arguments: Any) -> None:
        threads.append(threading.current_thread())
        done.set()

    client.on_connect = on_connect
    client.connect("127.0.0.1", broker.port)
    client.loop_start()
    assert done.wait(PATIENCE)
    assert threads[0] in threading.enumerate() and threads[0].daemon
    assert not isinstance(threads[0], threading._DummyThread)


def test_what_a_callback_binds_to_its_thread_is_there_in_the_next_one(make: Any, broker: Broker) -> None:
    databases: list[sqlite3.Connection] = []
    counts: queue.Queue[int] = queue.Queue()

    def on_connect(*arguments: Any) -> None:
        databases.append(sqlite3.connect(":memory:"))  # of this thread alone
        databases[0].execute("CREATE TABLE messages (payload)")

    def on_message(client: mqtt.Client, userdata: Any, message: mqtt.MQTTMessage) -> None:
        databases[0].execute("INSERT INTO messages VALUES (?)", (message.payload,))
        counts.put(databases[0].execute("SELECT count(*) FROM messages").fetchone()[0])

    other = make(V2)
    other.on_connect = other.on_message = lambda *arguments: time.sleep(0.05)
    client = make(V2)
    client.on_connect, client.on_message = on_connect, on_message
    for each in (client, other):
        each.connect("127.0.0.1", broker.port)
        each.subscribe("bound/#", 1)
        each.loop_start()
    for number in range(10):
        client.publish("bound/x", str(number), 1)
        assert counts.get(timeout=PATIENCE) == number + 1


def test_with_manual_ack_a_message_is_acknowledged_by_the_call(make: Any, peer: Peer) -> None:
    client = make(V2, manual_ack=True)
    calls = Calls(client, "on_message")
    server = peer.greet(client, looping=True)
    server.send(b"\x32\x06\x00\x01t\x00\x07A\x32\x06\x00\x01t\x00\x08B")
    first, second = calls.find("on_message")[0], calls.find("on_message")[0]
    client.ack(second.mid, second.qos)
    server.expect(b"\x40\x02\x00\x08")
    client.ack(first.mid, first.qos)
    server.expect(b"\x40\x02\x00\x07")


def test_log_lines_have_pahos_format(make: Any, broker: Broker, caplog: pytest.LogCaptureFixture) -> None:
    client = make(V1, client_id="logged")
    lines: list[str] = []
    client.on_log = lambda c, u, level, text: lines.append(text)
    client.enable_logger()
    calls = Calls(client, "on_message", "on_subscribe")
    with caplog.at_level(logging.DEBUG, logger="remqtt.client"):
        client.connect("127.0.0.1", broker.port)
        client.loop_start()
        client.subscribe("log", 1)
        calls.find("on_subscribe")
        client.publish("log", "hello", 1)
        calls.find("on_message")
        client.disconnect()
        client.loop_stop()
    assert lines[0] == "Sending CONNECT (u0, p0, wr0, wq0, wf0, c1, k60) client_id=b'logged'"
    for line in (
        "Received CONNACK (0, 0)",
        "Sending SUBSCRIBE (d0, m1) [(b'log', 1)]",
        "Received SUBACK",
        "Sending PUBLISH (d0, q1, r0, m2), 'b'log'', ... (5 bytes)",
        "Received PUBLISH (d0, q1, r0, m1), 'log', ...  (5 bytes)",
        "Sending DISCONNECT",
    ):
        assert line in lines and line in caplog.messages


def test_the_canonical_text_of_events_comes_before_their_callbacks(make: Any, peer: Peer) -> None:
    client = make(V2)
    calls = Calls(client, "on_event", "on_connect")
    client.connect("127.0.0.1", peer.port)
    client.loop_start()
    peer.accept().welcome()
    texts = [calls.next(), calls.next(), calls.next()]
    assert texts[0] == ("on_event", "CONNECTING attempt=1 server=0")
    assert texts[1][1].startswith("CONNECTED session_present=0 session=new")
    assert texts[2][0] == "on_connect"
