"""What programs written for paho-mqtt find here beside the calls that every program makes."""

from __future__ import annotations

import copy
import inspect
import subprocess
import sys
import warnings
from typing import Any

import pytest
import remqtt.client as mqtt
from conftest import PATIENCE, V1, V2, Calls, Connection, Peer
from remqtt.reasoncodes import ReasonCode, ReasonCodes

CONNACK_5 = b"\x20\x03\x00\x00\x00"


def connected(client: mqtt.Client, peer: Peer, connack: bytes = b"\x20\x02\x00\x00") -> Connection:
    client.connect("127.0.0.1", peer.port)
    client.loop_start()
    server = peer.accept()
    assert server.packet()[0] == 0x10
    server.send(connack)
    return server


def test_mqtt_3_1_is_spoken_by_its_own_name(make: Any, peer: Peer) -> None:
    client = make(V1, client_id="old", protocol=mqtt.MQTTv31)
    assert client.protocol == mqtt.MQTTv31
    client.connect("127.0.0.1", peer.port)
    assert peer.accept().packet() == b"\x10\x11\x00\x06MQIsdp\x03\x02\x00\x3c\x00\x03old"


def test_a_bridge_says_that_it_is_one(make: Any, peer: Peer) -> None:
    client = make(V2, client_id="b")
    client.enable_bridge_mode()
    client.connect("127.0.0.1", peer.port)
    assert peer.accept().packet()[8] == 0x84


@pytest.mark.parametrize("protocol", [mqtt.MQTTv311, mqtt.MQTTv5])
def test_without_a_client_id_the_server_makes_one(make: Any, peer: Peer, protocol: int) -> None:
    make(V2, protocol=protocol).connect("127.0.0.1", peer.port)
    assert peer.accept().packet().endswith(b"\x00\x00")


def test_messages_that_are_dropped_out_are_returned_and_fail(make: Any, peer: Peer) -> None:
    client = make(V2)
    server = connected(client, peer)
    sent, other = client.publish("a", "1", 1), client.publish("b", b"\xff", 2, retain=True)
    assert [server.packet()[0] & 0xF0 for _ in range(2)] == [0x30, 0x30]
    first, second = client.drop_out_messages()
    assert (first.mid, first.topic, first.payload, first.qos) == (sent.mid, "a", b"1", 1)
    assert (second.mid, second.topic, second.payload, second.retain) == (other.mid, "b", b"\xff", True)
    for info in (sent, other):
        with pytest.raises(RuntimeError):
            info.wait_for_publish(PATIENCE)
    server.reset()
    server = peer.accept()
    server.welcome()
    client.publish("c", "new", 1)
    assert b"new" in server.packet(), "nothing of the old ones comes before it"


def test_a_topic_alias_survives_because_the_whole_topic_is_sent(make: Any, peer: Peer) -> None:
    client = make(V2, protocol=mqtt.MQTTv5)
    server = connected(client, peer, CONNACK_5)
    properties = mqtt.Properties(mqtt.PacketTypes.PUBLISH)
    properties.TopicAlias = 3
    client.publish("long/topic", "1", 0, properties=properties)
    client.publish("", "2", 0, properties=properties)
    for payload in b"12":
        server.expect(b"\x30\x0e\x00\x0along/topic\x00" + bytes([payload]))


def test_a_topic_alias_that_was_never_set_costs_one_connection_and_not_all(make: Any, peer: Peer) -> None:
    client = make(V2, protocol=mqtt.MQTTv5)
    calls = Calls(client, "on_publish", "on_disconnect")
    server = connected(client, peer, CONNACK_5)
    properties = mqtt.Properties(mqtt.PacketTypes.PUBLISH)
    properties.TopicAlias = 3
    info = client.publish("", "x", 1, properties=properties)
    assert info.rc == mqtt.MQTT_ERR_SUCCESS
    server.expect(b"\x32\x09\x00\x00\x00\x01\x03\x23\x00\x03x")
    server.send(b"\xe0\x01\x94")
    assert calls.find("on_disconnect")[1] == "Topic alias invalid"
    server = peer.accept()
    assert server.packet()[0] == 0x10
    server.send(CONNACK_5)
    client.publish("a", "y", 0)
    server.expect(b"\x30\x05\x00\x01a\x00y")
    with pytest.raises(RuntimeError, match="alias"):
        info.wait_for_publish(5)


@pytest.mark.parametrize("qos", [0, 1])
def test_a_topic_that_is_not_utf_8_reaches_on_message(make: Any, peer: Peer, qos: int) -> None:
    client = make(V2)
    calls = Calls(client, "on_message")
    client.message_callback_add("#", lambda *arguments: pytest.fail("it has no topic to match"))
    client.on_log = lambda *arguments: None
    server = connected(client, peer)
    server.send(b"\x32\x06\x00\x01\xff\x00\x07x" if qos else b"\x30\x04\x00\x01\xffx")
    message = calls.find("on_message")[0]
    assert (message._topic, message.payload) == (b"\xff", b"x")
    with pytest.raises(UnicodeDecodeError):
        message.topic  # noqa: B018
    if qos:
        server.expect(b"\x40\x02\x00\x07")


@pytest.mark.parametrize(
    ("body", "reason", "has_properties"),
    [(b"", None, False), (b"\x00", 0, False), (b"\x87", 135, False), (b"\x87\x00", 135, True)],
)
def test_version_1_callbacks_get_none_for_what_a_disconnect_leaves_out(
    make: Any, peer: Peer, body: bytes, reason: int | None, has_properties: bool
) -> None:
    client = make(V1, protocol=mqtt.MQTTv5)
    calls = Calls(client, "on_disconnect")
    server = connected(client, peer, CONNACK_5)
    server.send(b"\xe0" + bytes([len(body)]) + body)
    got, properties = calls.find("on_disconnect")
    assert got == reason and (properties is not None) is has_properties


def test_settings_may_change_once_disconnect_was_called(make: Any, peer: Peer) -> None:
    client = make(V2)
    connected(client, peer)
    with pytest.raises(RuntimeError, match="updating host on established connection"):
        client.host = "other"
    client.disconnect()
    client.host = "other"
    assert client.host == "other"


def test_signatures_are_pahos_where_the_native_module_answers() -> None:
    names = {
        mqtt.MQTTMessageInfo.wait_for_publish: ["self", "timeout"],
        mqtt.MQTTMessageInfo.is_published: ["self"],
        mqtt.MQTTMessage.__init__: ["self", "mid", "topic"],
    }
    for function, parameters in names.items():
        assert list(inspect.signature(function).parameters) == parameters


def test_messages_can_be_copied_and_subclassed() -> None:
    class Mine(mqtt.MQTTMessage):
        extra = 5

    message = Mine(7, b"a")
    message.payload = b"p"
    twin = copy.copy(message)
    assert (twin.mid, twin.topic, twin.payload, twin.extra) == (7, "a", b"p", 5)


def test_the_name_of_reason_codes_in_1_x_is_deprecated() -> None:
    with pytest.warns(DeprecationWarning, match="use ReasonCode"):
        code = ReasonCodes(mqtt.PacketTypes.CONNACK)
    assert isinstance(ReasonCode(mqtt.PacketTypes.CONNACK), ReasonCodes) and code == 0
    assert code.names[0]["Success"]


@pytest.mark.parametrize("behind_paho", [True, False])
def test_version_1_is_deprecated_where_paho_says_so(behind_paho: bool) -> None:
    install = "import remqtt; remqtt.install_as_paho(); " if behind_paho else ""
    code = f"{install}import remqtt.client as m; m.Client(m.CallbackAPIVersion.VERSION1, 'i')"
    command = [sys.executable, "-W", "error", "-c", code]
    program = subprocess.run(command, capture_output=True, text=True, timeout=PATIENCE, check=False)
    assert ("DeprecationWarning: Callback API version 1" in program.stderr) is behind_paho
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        mqtt.Client("i")


def test_one_call_of_loop_waits_for_the_connack_and_is_connected_with_it(make: Any, peer: Peer) -> None:
    client = make(V2)
    calls = Calls(client, "on_connect")
    client.connect("127.0.0.1", peer.port)
    peer.accept().welcome()
    assert not client.is_connected(), "paho too knows it from loop() on"
    assert client.loop(PATIENCE) == mqtt.MQTT_ERR_SUCCESS
    assert calls.next()[0] == "on_connect" and client.is_connected()
