"""The Python programs that are killed: children.py KIND PORT FILE NAME, started once and then asked for
processes.

For each line "FIRST" on standard input it forks one that publishes from that number on, or receives, and
writes its process identifier as "pid P"; "0 drain" asks for one that does what is left and ends, and "wait"
for the exit status of the last one, "ended S", negative for a signal. The killed ones say "N" on the same
standard output when it is accepted (publishers) or handled (subscribers).
"""

from __future__ import annotations

import importlib.util
import os
import sys
import time
from pathlib import Path
from types import ModuleType
from typing import Any

WINDOW = 20


def say(number: int | str) -> None:
    os.write(1, f"{number}\n".encode())


class Remqtt:
    """remqtt at level stored."""

    def __init__(self, port: int, file: str, name: str) -> None:
        import remqtt.client as mqtt

        self.mqtt, self.port, self.file, self.name = mqtt, port, file, name

    def client(self) -> Any:
        return self.mqtt.Client(
            self.mqtt.CallbackAPIVersion.VERSION2, self.name, clean_session=False, **self.how()
        )

    def how(self) -> dict[str, Any]:
        return {"persistence": self.file}

    def publish(self, first: int, drain: bool) -> None:
        client = self.client()
        client.connect_async("127.0.0.1", self.port)
        client.loop_start()
        while drain:
            stats = client.stats()
            if stats["connections"] and not stats["backlog_messages"] and not stats["inflight"]:
                return
            time.sleep(0.01)
        number = first
        while True:
            numbers = range(number, number + WINDOW)
            self.accept(client, numbers)
            number += WINDOW
            time.sleep(0.002)

    def accept(self, client: Any, numbers: range) -> None:
        for number in numbers:
            client.publish(self.name, str(number), qos=1 + number % 2)
        if client.sync(10):
            for number in numbers:
                say(number)

    def receive(self) -> None:
        client = self.client()
        client.on_message = lambda client, userdata, message: self.handle(message)
        client.on_connect = lambda client, *_: client.subscribe(self.name + "/#", qos=2)
        client.connect_async("127.0.0.1", self.port)
        client.loop_forever(retry_first_connection=True)

    def handle(self, message: Any) -> None:
        again = "again" if getattr(message, "redelivered", False) else ""
        say(f"{message.payload.decode()} {again}".strip())


class Stored(Remqtt):
    """remqtt that acknowledges what it has stored."""

    def how(self) -> dict[str, Any]:
        return {"persistence": self.file, "options": {"acknowledge": "stored"}}


class Paho(Remqtt):
    """paho-mqtt, which has no file; what publish() calls a success is accepted."""

    def __init__(self, port: int, file: str, name: str) -> None:
        import paho.mqtt.client as mqtt

        self.mqtt, self.port, self.file, self.name = mqtt, port, file, name

    def how(self) -> dict[str, Any]:
        return {}

    def client(self) -> Any:
        client = super().client()
        client.max_queued_messages_set(0)
        return client

    def publish(self, first: int, drain: bool) -> None:
        if not drain:
            super().publish(first, drain)

    def accept(self, client: Any, numbers: range) -> None:
        for number in numbers:
            if client.publish(self.name, str(number), qos=1 + number % 2).rc == 0:
                say(number)


def example() -> ModuleType:
    path = Path(__file__).parents[2] / "python" / "examples" / "exactly_once.py"
    spec = importlib.util.spec_from_file_location("exactly_once", path)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def main(kind: str, port: int, file: str, name: str) -> None:
    who, role = kind.split("-")
    exactly_once = example() if who == "transactional" else None
    one = None if exactly_once else {"remqtt": Remqtt, "stored": Stored, "paho": Paho}[who](port, file, name)
    child = 0
    for line in sys.stdin:
        if line == "wait\n":
            say(f"ended {os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])}")
            continue
        first, drain = int(line.split()[0]), "drain" in line
        child = os.fork()
        if child:
            say(f"pid {child}")
            continue
        if exactly_once is not None:
            exactly_once.main("127.0.0.1", port, file, file + ".sqlite", name + "/#")
        elif role == "publisher":
            one.publish(first, drain)  # type: ignore[union-attr]
        else:
            one.receive()  # type: ignore[union-attr]
        os._exit(0)


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]), *sys.argv[3:])
