"""Drains a queue with paho-mqtt, or with remqtt (`python -m remqtt`): host port client-id count."""

from __future__ import annotations

import json
import os
import sys
import threading
import time
from typing import Any

import paho.mqtt.client as mqtt

host, port, client_id, count = sys.argv[1], int(sys.argv[2]), sys.argv[3], int(sys.argv[4])
seen = 0
done = threading.Event()


def on_message(client: mqtt.Client, userdata: Any, message: mqtt.MQTTMessage) -> None:
    global seen
    if int.from_bytes(message.payload[:8], "big") != seen:
        print(f"out of order or lost at {seen}", file=sys.stderr, flush=True)
        os._exit(1)
    seen += 1
    if seen == count:
        done.set()


client = mqtt.Client(mqtt.CallbackAPIVersion.VERSION2, client_id=client_id, clean_session=False)
client.on_message = on_message
start, start_cpu = time.monotonic(), time.process_time()
client.connect(host, port, keepalive=60)
client.loop_start()
if not done.wait(120):
    raise SystemExit(f"only {seen} of {count} messages came")
seconds, cpu_seconds = time.monotonic() - start, time.process_time() - start_cpu
client.disconnect()
client.loop_stop()
print(json.dumps({"messages": seen, "seconds": seconds, "cpu_seconds": cpu_seconds}))
