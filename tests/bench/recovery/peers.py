"""Who is measured, and how each client is started."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from pathlib import Path

from children import Child

HERE = Path(__file__).resolve().parent


@dataclass(frozen=True)
class Peer:
    """A client program with one group of settings."""

    name: str
    command: tuple[str, ...]
    profile: str = ""
    option: str = ""
    spins: bool = False  # it dials as fast as it can while refused: measured apart from the others
    tls: bool = True

    @property
    def ours(self) -> bool:
        return self.name.startswith("remqtt")

    @property
    def floor(self) -> bool:
        return self.name.startswith("floor")


def peers(programs: Path) -> list[Peer]:
    def program(name: str) -> tuple[str, ...]:
        return (str(programs / name),)

    def script(name: str, *before: str) -> tuple[str, ...]:
        return (sys.executable, *before, str(HERE / name))

    floor, remqtt_c = program("recovery_floor"), program("recovery_remqtt")
    remqtt_python = script("client_paho.py", "-m", "remqtt")
    paho, paho_c = script("client_paho.py"), program("recovery_paho_c")
    mosquitto, rumqttc = program("recovery_mosquitto"), program("recovery-rumqttc")
    aiomqtt = script("client_aiomqtt.py")
    return [
        Peer("floor", floor, spins=True, tls=False),
        Peer("remqtt Python", remqtt_python),
        Peer("remqtt C", remqtt_c),
        Peer("paho-mqtt", paho),
        Peer("paho-mqtt best", paho, "best"),
        Peer("paho.mqtt.c", paho_c),
        Peer("paho.mqtt.c best", paho_c, "best"),
        Peer("libmosquitto", mosquitto),
        Peer("libmosquitto best", mosquitto, "best"),
        Peer("rumqttc", rumqttc, spins=True, tls=False),
        Peer("rumqttc best", rumqttc, "best", tls=False),
        Peer("aiomqtt", aiomqtt),
        Peer("aiomqtt best", aiomqtt, "best"),
        # Rows of silence only.
        Peer("floor, one connect()", floor, "single"),
        Peer("floor, a SYN each 250 ms", floor, "hedge"),
        Peer("remqtt C fast", remqtt_c, option="detect_within:500"),
        Peer("remqtt C frugal", remqtt_c, option="detect_within:0"),
    ]


SILENCE_ONLY = {"floor, one connect()", "floor, a SYN each 250 ms"}
PROFILES_OF_OURS = {"remqtt C fast", "remqtt C frugal"}


class Client(Child):
    """A running client: the times of what it told, in nanoseconds of CLOCK_MONOTONIC."""

    def __init__(self, peer: Peer, words: dict[str, object], *, namespace: str = "") -> None:
        self.peer = peer
        self.ups: list[int] = []
        self.downs: list[int] = []
        self.failures: list[int] = []
        self.subscribed: list[int] = []
        self.messages: list[tuple[int, int]] = []  # number, time
        self.retained: list[tuple[int, int]] = []
        self.unknown = False
        words = {"profile": peer.profile, "set": peer.option, **words}
        given = [f"{key}={value}" for key, value in words.items() if value != ""]
        super().__init__([*peer.command, *given], namespace=namespace)

    def hear(self, line: str) -> None:
        kind, *numbers = line.split()
        if kind == "message":
            self.messages.append((int(numbers[0]), int(numbers[1])))
        elif kind == "retained":
            self.retained.append((int(numbers[0]), int(numbers[1])))
        elif kind == "unknown":
            self.unknown = True
        else:
            lists = {
                "up": self.ups,
                "down": self.downs,
                "failed": self.failures,
                "subscribed": self.subscribed,
            }
            lists[kind].append(int(numbers[0]))

    def await_subscribed(self, seconds: float) -> bool:
        return self.wait(lambda: bool(self.subscribed), seconds)

    def await_retained(self, count: int, seconds: float) -> bool:
        return self.wait(lambda: len(self.retained) >= count, seconds)

    def first_message(self, after: int, number: int = 0) -> int | None:
        """When the first message came that was read after `after` and has at least this number."""
        return min((time for got, time in self._tail(after) if got >= number), default=None)

    def _tail(self, after: int) -> list[tuple[int, int]]:
        tail = []
        for entry in reversed(self.messages):
            if entry[1] < after:
                break
            tail.append(entry)
        return tail

    def first(self, times: list[int], after: int) -> int | None:
        return next((time for time in times if time >= after), None)
