"""bench-recovery: paho-mqtt, or remqtt in its place (`python -m remqtt client_paho.py ...`).

best: waits of 1 s, keep alive 5 s, an explicit receive maximum on MQTT 5. remqtt runs as it comes;
`set=key:value` sets an option of its core.
"""

from __future__ import annotations

import signal
from typing import Any

import paho.mqtt.client as mqtt
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties
from words import Given, say

given = Given()


def on_connect(client: mqtt.Client, userdata: Any, flags: Any, reason_code: Any, properties: Any) -> None:
    if reason_code.is_failure:
        say("failed")
        return
    say("up")
    if not flags.session_present:
        client.subscribe([(name, given.qos) for name in given.filters])


def on_subscribe(client: mqtt.Client, userdata: Any, mid: int, reason_codes: Any, properties: Any) -> None:
    say("subscribed")


def on_disconnect(client: mqtt.Client, userdata: Any, flags: Any, reason_code: Any, properties: Any) -> None:
    say("down")


def on_message(client: mqtt.Client, userdata: Any, message: mqtt.MQTTMessage) -> None:
    given.take(bytes(message.payload), message.retain)


def on_connect_fail(client: mqtt.Client, userdata: Any) -> None:
    say("failed")


def configure(client: mqtt.Client) -> None:
    """A library that does not know the option yet runs as it comes."""
    if not given.option:
        return
    key, value = given.option.split(":", 1)
    try:
        client.configure(**{key: value})  # type: ignore[attr-defined]
    except (ValueError, TypeError, KeyError, AttributeError):
        say("unknown")


def open_client(client_id: str) -> mqtt.Client:
    five = given.version == 5
    client = mqtt.Client(
        mqtt.CallbackAPIVersion.VERSION2,
        client_id=client_id,
        protocol=mqtt.MQTTv5 if five else mqtt.MQTTv311,
        clean_session=None if five else False,
    )
    client.on_connect, client.on_disconnect = on_connect, on_disconnect
    client.on_subscribe, client.on_message = on_subscribe, on_message
    client.on_connect_fail = on_connect_fail
    configure(client)
    if given.ca:
        client.tls_set(ca_certs=given.ca)
    if given.best:
        client.reconnect_delay_set(1, 1)
    keepalive = 5 if given.best else 60
    if five:
        properties = Properties(PacketTypes.CONNECT)  # type: ignore[no-untyped-call]
        properties.SessionExpiryInterval = 3600
        if given.best:
            properties.ReceiveMaximum = 65535
        client.connect_async(given.host, given.port, keepalive, clean_start=False, properties=properties)
    else:
        client.connect_async(given.host, given.port, keepalive)
    client.loop_start()
    return client


clients = [open_client(client_id) for client_id in given.ids()]
signal.pause()
