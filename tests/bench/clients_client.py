"""N connected clients in one process, each with loop_start, of paho-mqtt or of remqtt: host port count."""

from __future__ import annotations

import json
import os
import sys
import threading
import time
from pathlib import Path
from typing import Any

import paho.mqtt.client as mqtt

host, port, count = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
connected = 0
lock = threading.Lock()


def status(name: str) -> int:
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith(name + ":"):
            return int(line.split()[1])
    return -1


def on_connect(client: mqtt.Client, userdata: Any, flags: Any, reason_code: Any, properties: Any) -> None:
    global connected
    with lock:
        connected += 1


before = status("VmRSS")
clients = []
for number in range(count):
    client = mqtt.Client(mqtt.CallbackAPIVersion.VERSION2, client_id=f"python-{number}")
    client.on_connect = on_connect
    client.connect_async(host, port, keepalive=60)
    client.loop_start()
    clients.append(client)
seen, quiet = -1, time.monotonic()
while connected < count and time.monotonic() - quiet < 10:
    if connected != seen:
        seen, quiet = connected, time.monotonic()
    time.sleep(0.02)
time.sleep(3)
start, started = time.process_time(), time.monotonic()
time.sleep(10)
idle = (time.process_time() - start) / (time.monotonic() - started)
rss = status("VmRSS") - before
print(
    json.dumps({"connected": connected, "threads": status("Threads"), "rss_kib": rss, "idle_cpu": idle}),
    flush=True,
)
# A thousand threads end soonest with the process.
os._exit(0)
