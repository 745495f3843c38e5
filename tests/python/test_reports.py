"""What the client tells of an outage, of poison and of gaps, and what it is told of the network."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import pytest
import remqtt.client as mqtt
from conftest import Broker, Calls, Peer, wait_for
from remqtt.packettypes import PacketTypes
from remqtt.properties import Properties
from remqtt.reports import Gap, Outage, Quarantined

V2 = mqtt.CallbackAPIVersion.VERSION2


def test_an_outage_is_an_object_that_says_everything_in_words(make: Any, peer: Peer) -> None:
    client = make(V2, "kept", clean_session=False)
    calls = Calls(client, "on_connect", "on_recovered", "on_message")
    server = peer.greet(client, looping=True)
    server.send(b"\x30\x04\x00\x01tx")
    calls.find("on_message")
    server.reset()
    again = peer.accept()
    again.welcome(session_present=True)
    again.send(b"\x30\x04\x00\x01ty")
    outage = calls.find("on_recovered")[0]
    assert isinstance(outage, Outage)
    assert (outage.number, outage.signal, outage.session_kept) == (1, "End", True)
    assert (outage.received_before, outage.received_after, outage.missing) == (1, 1, 0)
    assert outage.text == str(outage) and outage.text.startswith("outage 1: the connection was lost")
    assert outage["cause"] == outage.cause and client.timeline() == [outage]
    with pytest.raises(KeyError):
        outage["nothing"]
    with pytest.raises(dataclasses.FrozenInstanceError):
        outage.number = 2


def test_missing_messages_are_told_before_the_one_that_shows_it(make: Any, peer: Peer) -> None:
    client = make(V2, options={"sequence_in_payload": "true"})
    calls = Calls(client, "on_connect", "on_message", "on_gap")
    server = peer.greet(client, looping=True)
    calls.find("on_connect")
    server.send(b"\x30\x04\x00\x01t1\x30\x04\x00\x01t5")
    assert calls.next()[0] == "on_message"
    name, gap, *_ = calls.next()
    assert (name, gap, gap.missing) == ("on_gap", Gap("t", 2, 5), 3)
    assert client.stats()["missing_messages"] == 3


@pytest.mark.parametrize("option", ["sequence_in_payload", "sequence_property"])
def test_what_the_queue_of_the_broker_threw_away_is_told_and_nothing_else(
    make: Any, tmp_path: Path, option: str
) -> None:
    broker = Broker(tmp_path, "max_queued_messages 10", "allow_anonymous true")
    publisher = make(V2, protocol=mqtt.MQTTv5)
    publisher.connect("127.0.0.1", broker.port)
    publisher.loop_start()

    def publish(numbers: range) -> None:
        for number in numbers:
            counted = Properties(PacketTypes.PUBLISH)
            counted.UserProperty = [("count", str(number))]
            for topic in got:
                publisher.publish(topic, str(number), 1, properties=counted).wait_for_publish(10)

    got: dict[str, list[int]] = {"t/0": [], "t/1": []}
    missing: dict[str, list[int]] = {"t/0": [], "t/1": []}
    value = "count" if option == "sequence_property" else "true"
    client = make(V2, "away", protocol=mqtt.MQTTv5, options={option: value})
    client.on_message = lambda _, __, message: got[message.topic].append(int(message.payload))
    client.on_gap = lambda _, __, gap: missing[gap.topic].extend(range(gap.expected, gap.got))
    calls = Calls(client, "on_subscribe", "on_connect")
    kept = Properties(PacketTypes.CONNECT)
    kept.SessionExpiryInterval = 600
    client.connect("127.0.0.1", broker.port, clean_start=False, properties=kept)
    client.subscribe("t/#", 1)
    client.loop_start()
    calls.find("on_subscribe")
    publish(range(10))
    wait_for(lambda: all(9 in numbers for numbers in got.values()), "the messages before")
    client.disconnect()
    client.loop_stop()
    publish(range(10, 40))
    client.reconnect()
    client.loop_start()
    calls.find("on_connect")
    publish(range(40, 50))
    wait_for(lambda: all(49 in numbers for numbers in got.values()), "the messages after")
    for topic, numbers in got.items():
        assert missing[topic], "the queue was too small for all"
        assert sorted(numbers + missing[topic]) == list(range(50))
    broker.end()


def test_a_message_that_ends_every_connection_is_told_and_acknowledged(make: Any, peer: Peer) -> None:
    client = make(V2, options={"reconnect_min_delay": 1, "reconnect_max_delay": 1})
    calls = Calls(client, "on_quarantined")
    client.connect("127.0.0.1", peer.port)
    client.loop_start()
    packet = b"\x32\x06\x00\x01#\x00\x09p"
    for _ in range(3):
        server = peer.accept()
        server.welcome()
        server.send(packet)
    server = peer.accept()
    server.welcome()
    server.send(packet)
    server.expect(b"\x40\x02\x00\x09")
    assert calls.find("on_quarantined")[0] == Quarantined(False, 9, "", packet, 1, False)


@pytest.mark.parametrize("wakes", ["reconnect_now", "network_changed"])
def test_a_wait_ends_when_the_program_says_so(make: Any, peer: Peer, wakes: str) -> None:
    client = make(V2, options={"reconnect_min_delay": 3_600_000, "reconnect_max_delay": 3_600_000})
    calls = Calls(client, "on_connect", "on_disconnect")
    client.connect("127.0.0.1", peer.port)
    client.loop_start()
    for _ in range(2):  # the second loss comes before the connection has proved stable
        server = peer.accept()
        server.welcome()
        calls.find("on_connect")
        server.reset()
        calls.find("on_disconnect")
    getattr(client, wakes)()
    peer.accept().welcome()
    calls.find("on_connect")
