"""What the Python clients of bench-recovery share: `key=value` arguments and the lines of client.h."""

from __future__ import annotations

import os
import sys
import time


class Given:
    """The arguments; whatever is not given has the default of client.h."""

    def __init__(self) -> None:
        words = dict(word.split("=", 1) for word in sys.argv[1:])
        self.host, self.port = words.get("host", "127.0.0.1"), int(words.get("port", 1883))
        self.id, self.topic, self.ca = words["id"], words["topic"], words.get("ca", "")
        self.qos, self.version = int(words.get("qos", 1)), int(words.get("version", 0))
        self.profile, self.option = words.get("profile", ""), words.get("set", "")
        self.count, self.stall = int(words.get("count", 1)), int(words.get("stall", 0)) / 1000
        number = int(words.get("filters", 1))
        self.filters = [self.topic] if number <= 1 else [f"{self.topic}/{n}" for n in range(number)]
        self.best = self.profile == "best"
        self._messages = 0

    def ids(self) -> list[str]:
        return [self.id] if self.count <= 1 else [f"{self.id}-{n}" for n in range(self.count)]

    def take(self, payload: bytes, retained: bool) -> None:
        """Tells a message; every hundredth takes `stall` milliseconds, as a slow application would."""
        say(f"{'retained' if retained else 'message'} {int.from_bytes(payload[:8], 'big')}")
        self._messages += 1
        if self.stall and self._messages % 100 == 0:
            time.sleep(self.stall)


def say(what: str) -> None:
    os.write(1, f"{what} {time.monotonic_ns()}\n".encode())
