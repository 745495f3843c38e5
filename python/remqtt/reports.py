"""What the client tells beyond paho-mqtt's callbacks: outages, quarantined messages, gaps."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Outage:
    """One outage, from the loss of the connection until everything is as before.

    `outage["cause"]` is the same as `outage.cause`. `str(outage)` says everything in one line of words.
    """

    #: Number of the outage in the life of the client, from 1.
    number: int
    #: What ended the connection, in words.
    cause: str
    #: What showed it: End (closed or reset), Silence, Word (a DISCONNECT of the server), Violation.
    signal: str
    #: Attempts made, the successful one included.
    attempts: int
    #: Attempts that failed: seconds since the detection, name of the error, index of the server. The first
    #: fifteen, and the last.
    failures: list[tuple[float, str, int]]
    #: Whether the server had kept the session.
    session_kept: bool
    #: Publishes and releases that were sent again.
    resent: int
    #: Messages that came on the connection that was lost.
    received_before: int
    #: Messages that came from the new connection until the record was closed.
    received_after: int
    #: Messages that never came, as far as sequences tell.
    missing: int
    #: Some are known to be missing, or the session that held them was lost.
    gap_suspected: bool
    #: Seconds from the last sign of life to each mark that was reached.
    marks: dict[str, float]
    #: Seconds from the detection to the CONNACK; None: it never came.
    connack_after_detection: float | None
    #: All of it in one line of words.
    text: str

    def __getitem__(self, name: str) -> Any:
        try:
            return getattr(self, name)
        except AttributeError:
            raise KeyError(name) from None

    def __str__(self) -> str:
        return self.text


@dataclass(frozen=True)
class Quarantined:
    """A message that was taken out of the traffic because one connection after the other ended with it."""

    #: True: this client published it. False: the server sent it; it is acknowledged and comes no more.
    outgoing: bool
    #: As in publish(), or as the server sent it.
    mid: int
    #: Empty where the message cannot be read.
    topic: str
    #: Where the message cannot be read: its packet, or the beginning of one that is too large.
    payload: bytes
    qos: int
    #: Whether topic and payload are those of the message.
    readable: bool


@dataclass(frozen=True)
class Gap:
    """Messages of a topic that never came."""

    topic: str
    #: The number that should have come.
    expected: int
    #: The one that came; its message follows.
    got: int

    @property
    def missing(self) -> int:
        """How many messages are missing."""
        return self.got - self.expected
