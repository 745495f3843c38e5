"""The options of an MQTT 5 subscription."""

from __future__ import annotations

from typing import Any

from .exception import MQTTException

_FIELDS = ("QoS", "noLocal", "retainAsPublished", "retainHandling")


class SubscribeOptions:
    """The options of an MQTT 5 subscription.

    noLocal: do not send back what this client publishes. retainAsPublished: keep the retain flag of forwarded
    messages. retainHandling: whether stored messages are sent at subscribe, one of the RETAIN constants.
    """

    RETAIN_SEND_ON_SUBSCRIBE, RETAIN_SEND_IF_NEW_SUB, RETAIN_DO_NOT_SEND = range(0, 3)

    def __init__(
        self,
        qos: int = 0,
        noLocal: bool = False,
        retainAsPublished: bool = False,
        retainHandling: int = RETAIN_SEND_ON_SUBSCRIBE,
    ) -> None:
        object.__setattr__(self, "names", list(_FIELDS))
        self.QoS = qos
        self.noLocal = noLocal
        self.retainAsPublished = retainAsPublished
        self.retainHandling = retainHandling
        self._check()

    def __setattr__(self, name: str, value: Any) -> None:
        if name not in _FIELDS:
            raise MQTTException(f"{name} Attribute name must be one of {list(_FIELDS)}")
        object.__setattr__(self, name, value)

    def _check(self) -> None:
        # AssertionError is what paho's users see.
        if self.QoS not in (0, 1, 2):
            raise AssertionError(f"QoS should be 0, 1 or 2, not {self.QoS}")
        if self.retainHandling not in (0, 1, 2):
            raise AssertionError(f"Retain handling should be 0, 1 or 2, not {self.retainHandling}")

    def pack(self) -> bytes:
        """The byte on the wire."""
        self._check()
        flags = self.noLocal << 2 | self.retainAsPublished << 3
        return bytes([self.QoS | flags | self.retainHandling << 4])

    def unpack(self, buffer: bytes) -> int:
        """Takes the options from the first byte; the number of bytes used."""
        first = buffer[0]
        self.retainHandling = first >> 4 & 3
        self.retainAsPublished = bool(first >> 3 & 1)
        self.noLocal = bool(first >> 2 & 1)
        self.QoS = first & 3
        self._check()
        return 1

    def __repr__(self) -> str:
        return str(self)

    def __str__(self) -> str:
        return "{" + ", ".join(f"{name}={getattr(self, name)}" for name in _FIELDS) + "}"

    def json(self) -> dict[str, Any]:
        """The fields by name."""
        return {name: getattr(self, name) for name in _FIELDS}
