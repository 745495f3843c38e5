"""A subscriber as people write it for paho-mqtt. It runs as it stands with either library:

    python subscriber.py ...              paho-mqtt
    python -m remqtt subscriber.py ...    remqtt behind the name paho.mqtt

It prints a line for each event with its time on CLOCK_MONOTONIC, for the demo to read.
"""

from __future__ import annotations

import sys
import time
from typing import Any

import paho.mqtt.client as mqtt

host, port, client_id, topic, qos = sys.argv[1], int(sys.argv[2]), sys.argv[3], sys.argv[4], int(sys.argv[5])
write = sys.stdout.write


def say(what: str) -> None:
    write(f"{what} {time.clock_gettime_ns(time.CLOCK_MONOTONIC)}\n")
    sys.stdout.flush()


def on_connect(client: mqtt.Client, userdata: Any, flags: Any, reason_code: Any, properties: Any) -> None:
    say("up")


def on_subscribe(client: mqtt.Client, userdata: Any, mid: int, reason_codes: Any, properties: Any) -> None:
    say("subscribed")


def on_disconnect(client: mqtt.Client, userdata: Any, flags: Any, reason_code: Any, properties: Any) -> None:
    say("down")


def on_message(client: mqtt.Client, userdata: Any, message: mqtt.MQTTMessage) -> None:
    say(f"message {int.from_bytes(message.payload[:8], 'big')}")


client = mqtt.Client(mqtt.CallbackAPIVersion.VERSION2, client_id=client_id, clean_session=False)
client.on_connect = on_connect
client.on_subscribe = on_subscribe
client.on_disconnect = on_disconnect
client.on_message = on_message
client.on_connect_fail = lambda client, userdata: say("failed")
client.connect(host, port, keepalive=60)
client.subscribe(topic, qos=qos)
client.loop_forever()
