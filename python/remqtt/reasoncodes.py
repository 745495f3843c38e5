"""The reason codes of MQTT 5."""

from __future__ import annotations

import functools
import warnings
from types import MappingProxyType
from typing import Any

from .packettypes import PacketTypes

P = PacketTypes

_ACKS = (P.PUBACK, P.PUBREC)
_REQUESTS = (P.SUBACK, P.UNSUBACK)

#: MQTT 5.0 section 2.4: identifier, name, packets that may carry it.
_TABLE: tuple[tuple[int, str, tuple[int, ...]], ...] = (
    (0, "Success", (P.CONNACK, *_ACKS, P.PUBREL, P.PUBCOMP, P.UNSUBACK, P.AUTH)),
    (0, "Normal disconnection", (P.DISCONNECT,)),
    (0, "Granted QoS 0", (P.SUBACK,)),
    (1, "Granted QoS 1", (P.SUBACK,)),
    (2, "Granted QoS 2", (P.SUBACK,)),
    (4, "Disconnect with will message", (P.DISCONNECT,)),
    (16, "No matching subscribers", _ACKS),
    (17, "No subscription found", (P.UNSUBACK,)),
    (24, "Continue authentication", (P.AUTH,)),
    (25, "Re-authenticate", (P.AUTH,)),
    (128, "Unspecified error", (P.CONNACK, *_ACKS, *_REQUESTS, P.DISCONNECT)),
    (129, "Malformed packet", (P.CONNACK, P.DISCONNECT)),
    (130, "Protocol error", (P.CONNACK, P.DISCONNECT)),
    (131, "Implementation specific error", (P.CONNACK, *_ACKS, *_REQUESTS, P.DISCONNECT)),
    (132, "Unsupported protocol version", (P.CONNACK,)),
    (133, "Client identifier not valid", (P.CONNACK,)),
    (134, "Bad user name or password", (P.CONNACK,)),
    (135, "Not authorized", (P.CONNACK, *_ACKS, *_REQUESTS, P.DISCONNECT)),
    (136, "Server unavailable", (P.CONNACK,)),
    (137, "Server busy", (P.CONNACK, P.DISCONNECT)),
    (138, "Banned", (P.CONNACK,)),
    (139, "Server shutting down", (P.DISCONNECT,)),
    (140, "Bad authentication method", (P.CONNACK, P.DISCONNECT)),
    (141, "Keep alive timeout", (P.DISCONNECT,)),
    (142, "Session taken over", (P.DISCONNECT,)),
    (143, "Topic filter invalid", (*_REQUESTS, P.DISCONNECT)),
    (144, "Topic name invalid", (P.CONNACK, *_ACKS, P.DISCONNECT)),
    (145, "Packet identifier in use", (*_ACKS, *_REQUESTS)),
    (146, "Packet identifier not found", (P.PUBREL, P.PUBCOMP)),
    (147, "Receive maximum exceeded", (P.DISCONNECT,)),
    (148, "Topic alias invalid", (P.DISCONNECT,)),
    (149, "Packet too large", (P.CONNACK, P.DISCONNECT)),
    (150, "Message rate too high", (P.DISCONNECT,)),
    (151, "Quota exceeded", (P.CONNACK, *_ACKS, P.SUBACK, P.DISCONNECT)),
    (152, "Administrative action", (P.DISCONNECT,)),
    (153, "Payload format invalid", (*_ACKS, P.DISCONNECT)),
    (154, "Retain not supported", (P.CONNACK, P.DISCONNECT)),
    (155, "QoS not supported", (P.CONNACK, P.DISCONNECT)),
    (156, "Use another server", (P.CONNACK, P.DISCONNECT)),
    (157, "Server moved", (P.CONNACK, P.DISCONNECT)),
    (158, "Shared subscription not supported", (P.SUBACK, P.DISCONNECT)),
    (159, "Connection rate exceeded", (P.CONNACK, P.DISCONNECT)),
    (160, "Maximum connect time", (P.DISCONNECT,)),
    (161, "Subscription identifiers not supported", (P.SUBACK, P.DISCONNECT)),
    (162, "Wildcard subscription not supported", (P.SUBACK, P.DISCONNECT)),
)

_NAMES: dict[int, dict[str, list[int]]] = {}
for _code, _name, _packets in _TABLE:
    _NAMES.setdefault(_code, {})[_name] = list(_packets)


@functools.total_ordering
class ReasonCode:
    """A reason code: equal to its number, to its name, and to a ReasonCode with the same number.

    `names` has, for each number, its names and the packet types that use each.
    """

    names = MappingProxyType(_NAMES)

    def __init__(self, packetType: int, aName: str = "Success", identifier: int = -1) -> None:
        self.packetType = packetType
        self.names = ReasonCode.names  # of the instance too, as in paho
        if identifier == -1:
            if packetType == P.DISCONNECT and aName == "Success":
                aName = "Normal disconnection"
            self.set(aName)
        else:
            self.value = identifier
            self.getName()

    def __getName__(self, packetType: int, identifier: int) -> str:
        """The name that `identifier` has in packets of this type."""
        if identifier not in self.names:
            raise KeyError(identifier)
        found = [name for name, packets in self.names[identifier].items() if packetType in packets]
        if len(found) != 1:
            raise ValueError(f"Expected exactly one name, found {found}")
        return found[0]

    def getId(self, name: str) -> int:
        """The number of the reason with this name in this packet type."""
        for code, names in self.names.items():
            if self.packetType in names.get(name, ()):
                return code
        raise KeyError(f"Reason code name not found: {name}")

    def set(self, name: str) -> None:
        """Becomes the reason with this name."""
        self.value = self.getId(name)

    def unpack(self, buffer: bytes) -> int:
        """Becomes the reason in the first byte; the number of bytes used."""
        self.value = buffer[0]
        self.getName()
        return 1

    def getName(self) -> str:
        """The name."""
        return self.__getName__(self.packetType, self.value)

    def __eq__(self, other: object) -> bool:
        if isinstance(other, int):
            return self.value == other
        if isinstance(other, str):
            return other == str(self)
        if isinstance(other, ReasonCode):
            return self.value == other.value
        return False

    def __lt__(self, other: object) -> bool:
        if isinstance(other, ReasonCode):
            return self.value < other.value
        if isinstance(other, int):
            return self.value < other
        return NotImplemented

    __hash__ = None  # type: ignore[assignment]

    def __repr__(self) -> str:
        return f"ReasonCode({P.Names[self.packetType]}, {self.getName()!r})"

    def __str__(self) -> str:
        return self.getName()

    def json(self) -> str:
        """The name."""
        return self.getName()

    def pack(self) -> bytearray:
        """The byte on the wire."""
        return bytearray([self.value])

    @property
    def is_failure(self) -> bool:
        """True from 0x80 on."""
        return self.value >= 0x80


class _AnyReasonCode(type):
    def __instancecheck__(cls, instance: Any) -> bool:
        return isinstance(instance, ReasonCode)


class ReasonCodes(ReasonCode, metaclass=_AnyReasonCode):
    """The name that ReasonCode had in paho-mqtt 1.x. Every ReasonCode counts as an instance."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        text = "ReasonCodes is deprecated, use ReasonCode (singular) instead"
        warnings.warn(text, DeprecationWarning, stacklevel=2)
        super().__init__(*args, **kwargs)


def known(packet_type: int, code: int) -> ReasonCode:
    """The reason code, or "Unspecified error" where the specification has none for this packet."""
    try:
        return ReasonCode(packet_type, identifier=code)
    except (KeyError, ValueError):
        return ReasonCode(packet_type, "Unspecified error")
