"""A publisher as people write it for paho-mqtt: a hundred numbered messages a second.

Like subscriber.py it runs with either library and prints a line for each event. SIGTERM ends it, after the
acknowledgement of all that it has published.
"""

from __future__ import annotations

import signal
import sys
import threading
import time
from typing import Any

import paho.mqtt.client as mqtt

host, port, client_id, topic, qos = sys.argv[1], int(sys.argv[2]), sys.argv[3], sys.argv[4], int(sys.argv[5])
connected, stopping = threading.Event(), threading.Event()
acknowledged = 0
write = sys.stdout.write


def say(what: str) -> None:
    write(f"{what} {time.clock_gettime_ns(time.CLOCK_MONOTONIC)}\n")
    sys.stdout.flush()


def on_connect(client: mqtt.Client, userdata: Any, flags: Any, reason_code: Any, properties: Any) -> None:
    connected.set()
    say("up")


def on_disconnect(client: mqtt.Client, userdata: Any, flags: Any, reason_code: Any, properties: Any) -> None:
    say("down")


def on_publish(client: mqtt.Client, userdata: Any, mid: int, reason_code: Any, properties: Any) -> None:
    global acknowledged
    acknowledged += 1


signal.signal(signal.SIGTERM, lambda *_: stopping.set())
client = mqtt.Client(mqtt.CallbackAPIVersion.VERSION2, client_id=client_id, clean_session=False)
client.on_connect = on_connect
client.on_disconnect = on_disconnect
client.on_publish = on_publish
client.on_connect_fail = lambda client, userdata: say("failed")
client.connect(host, port, keepalive=60)
client.loop_start()
connected.wait()
number, next_time = 0, time.monotonic()
while not stopping.is_set():
    number += 1
    say(f"published {number}")
    client.publish(topic, number.to_bytes(8, "big") + time.monotonic_ns().to_bytes(8, "big"), qos=qos)
    next_time += 0.01
    stopping.wait(max(0.0, next_time - time.monotonic()))
end = time.monotonic() + 15
while acknowledged < number and time.monotonic() < end:
    time.sleep(0.01)
client.disconnect()
client.loop_stop()
