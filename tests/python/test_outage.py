"""The script that people write, exactly as it stands, through real outages."""

from __future__ import annotations

import signal
import subprocess
from pathlib import Path
from typing import Any

import pytest
import remqtt.client as mqtt
from conftest import PATIENCE, V2, Broker, Proxy, run_python, wait_for

SCRIPT = """
import sys
{imports}

def on_connect({connect}):
    print("connected", flush=True)

def on_subscribe({subscribe}):
    print("subscribed", flush=True)

def on_message(client, userdata, message):
    print("message", message.payload.decode(), flush=True)

def on_disconnect({disconnect}):
    print("disconnected", flush=True)

broker_address, port = "127.0.0.1", int(sys.argv[1])

# Ctrl-C may end a script before its last message is acknowledged: its session is no other script's.
client = mqtt.Client({first}client_id="your_client_id" + sys.argv[1], clean_session=False)
client.will_set('your/topic', payload="Disconnected", qos=1, retain=False)
client.reconnect_delay_set(min_delay=1, max_delay=120)
client.on_connect = on_connect
client.on_subscribe = on_subscribe
client.on_message = on_message
client.on_disconnect = on_disconnect
client.connect(broker_address, port, keepalive=60)
client.subscribe("your/topic", qos=1)
{loop}
"""

FORMS = {
    "paho 1.x": {
        "first": "",
        "connect": "client, userdata, flags, rc",
        "subscribe": "client, userdata, mid, granted_qos",
        "disconnect": "client, userdata, rc",
    },
    "paho 2.x": {
        "first": "mqtt.CallbackAPIVersion.VERSION2, ",
        "connect": "client, userdata, flags, reason_code, properties",
        "subscribe": "client, userdata, mid, reason_codes, properties",
        "disconnect": "client, userdata, disconnect_flags, reason_code, properties",
    },
}
LOOPS = {
    "loop_forever": "client.loop_forever()",
    "loop_start": "client.loop_start()\nsys.stdin.readline()\nclient.loop_stop()",
}
RUNS = {
    "import remqtt": ("import remqtt.client as mqtt", ()),
    "python -m remqtt": ("import paho.mqtt.client as mqtt", ("-m", "remqtt")),
}


class Script:
    """The running script, and a publisher beside it."""

    def __init__(self, tmp_path: Path, form: str, loop: str, run: str, port: int) -> None:
        imports, before = RUNS[run]
        file = tmp_path / "script.py"
        file.write_text(SCRIPT.format(imports=imports, loop=LOOPS[loop], **FORMS[form]))
        self.process = run_python(*before, str(file), str(port), stdin=subprocess.PIPE)
        self.publisher = mqtt.Client(V2, client_id="publisher", clean_session=False)
        self.next = 0

    def line(self) -> str:
        """The next line; without the script's own will, which its own subscription brings it."""
        assert self.process.stdout is not None
        line = "message Disconnected"
        while line == "message Disconnected":
            line = self.process.stdout.readline().strip()
        assert line, self.process.communicate(timeout=PATIENCE)[1]
        return line

    def expect(self, *lines: str) -> None:
        assert [self.line() for _ in lines] == list(lines)

    def publish(self, count: int) -> None:
        for _ in range(count):
            self.publisher.publish("your/topic", str(self.next), 1)
            self.next += 1

    def expect_messages(self, count: int) -> None:
        """The last `count` messages, in order.

        Earlier ones, whose acknowledgement was lost, may come again.
        """
        fresh: list[int] = []
        while len(fresh) < count:
            word, number = self.line().split()
            assert word == "message"
            if int(number) >= self.next - count and int(number) not in fresh:
                fresh.append(int(number))
        assert fresh == list(range(self.next - count, self.next))

    def end(self) -> None:
        self.process.send_signal(signal.SIGINT)
        self.process.communicate(timeout=PATIENCE)
        self.publisher.disconnect()
        self.publisher.loop_stop()


@pytest.fixture(params=[(form, loop, run) for form in FORMS for loop in LOOPS for run in RUNS], ids="-".join)
def choice(request: Any) -> tuple[str, str, str]:
    choice: tuple[str, str, str] = request.param
    return choice


def test_the_script_rides_through_a_reset(tmp_path: Path, broker: Broker, choice: Any) -> None:
    proxy = Proxy(broker.port)
    script = Script(tmp_path, *choice, proxy.port)
    script.expect("connected", "subscribed")
    script.publisher.connect("127.0.0.1", broker.port)
    script.publisher.loop_start()
    script.publish(5)
    script.expect_messages(5)
    for _ in range(3):
        assert proxy.reset() > 0
        script.publish(5)
        script.expect("disconnected", "connected")
        script.expect_messages(5)
    script.end()
    proxy.end()


def test_the_script_rides_through_a_killed_broker(tmp_path: Path, own_broker: Broker) -> None:
    script = Script(tmp_path, "paho 2.x", "loop_forever", "import remqtt", own_broker.port)
    script.expect("connected", "subscribed")
    script.publisher.reconnect_delay_set(0.01, 0.05)
    script.publisher.connect("127.0.0.1", own_broker.port)
    script.publisher.loop_start()
    script.publish(5)
    script.expect_messages(5)
    own_broker.kill()
    script.expect("disconnected")
    script.publish(50)
    own_broker.start()
    # An attempt may meet the dying broker: accepted by the kernel, answered by nobody.
    while script.line() != "connected":
        pass
    script.expect_messages(50)
    script.end()


def test_a_qos_2_stream_through_resets_is_complete_and_without_doubles(broker: Broker) -> None:
    proxy = Proxy(broker.port)
    quick = {"reconnect_min_delay": 1, "reconnect_max_delay": 5}
    subscriber = mqtt.Client(V2, "exactly-once", clean_session=False, options=quick)
    publisher = mqtt.Client(V2, "exactly-once-pub", clean_session=False, options=quick)
    received: list[int] = []
    subscribed = False

    def on_subscribe(*arguments: Any) -> None:
        nonlocal subscribed
        subscribed = True

    subscriber.on_subscribe = on_subscribe
    subscriber.on_message = lambda c, u, message: received.append(int(message.payload))
    for client in (subscriber, publisher):
        client.connect("127.0.0.1", proxy.port)
        client.loop_start()
    subscriber.subscribe("exactly/once", 2)
    wait_for(lambda: subscribed)
    for number in range(2_000):
        info = publisher.publish("exactly/once", number, 2)
        if number % 400 == 399:
            wait_for(lambda number=number: len(received) > number - 300)
            proxy.reset()
    info.wait_for_publish(PATIENCE)
    wait_for(lambda: len(received) >= 2_000)
    assert received == list(range(2_000))
    for client in (subscriber, publisher):
        client.disconnect()
        client.loop_stop()
    proxy.end()
