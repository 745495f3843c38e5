"""The properties of MQTT 5 packets."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from . import _native
from .exception import MalformedPacket, MQTTException
from .packettypes import PacketTypes

_TYPES = [
    "Byte",
    "Two Byte Integer",
    "Four Byte Integer",
    "Variable Byte Integer",
    "Binary Data",
    "UTF-8 Encoded String",
    "UTF-8 String Pair",
]


def _spaced(name: str) -> str:
    """`SessionExpiryInterval` as the specification writes it."""
    words = "".join(f" {letter}" if letter.isupper() else letter for letter in name).strip()
    return words.replace("Qo S", "QoS")


# All of it comes from the core's table.
_IDENTIFIERS = {name: identifier for identifier, name, _, _ in _native.PROPERTIES}
_COMPRESSED = {identifier: name for name, identifier in _IDENTIFIERS.items()}
_NAMES = {_spaced(name): identifier for name, identifier in _IDENTIFIERS.items()}
_PACKETS = {
    identifier: (_TYPES.index(kind), sorted(packets)) for identifier, _, kind, packets in _native.PROPERTIES
}
_MULTIPLE = (11, 38)
_OWN = ("packetType", "types", "names", "properties")
_RANGES = {
    "ReceiveMaximum": (1, 65535),
    "TopicAlias": (1, 65535),
    "TopicAliasMaximum": (0, 65535),
    "MaximumPacketSize": (1, 268435455),
    "SubscriptionIdentifier": (1, 268435455),
}
_FLAGS = ("RequestResponseInformation", "RequestProblemInformation", "PayloadFormatIndicator")


class Properties:
    """The properties of one packet: an attribute for each property that is set.

    Setting an attribute checks that the packet may carry the property. UserProperty and
    SubscriptionIdentifier may occur several times: setting them again adds a value. Names may be written
    with or without spaces.
    """

    def __init__(self, packetType: int) -> None:
        self.packetType = packetType
        self.types = _TYPES
        self.names = _NAMES
        self.properties = _PACKETS

    def allowsMultiple(self, compressedName: str) -> bool:
        """Whether the property may occur several times."""
        return self.getIdentFromName(compressedName) in _MULTIPLE

    def getIdentFromName(self, compressedName: str) -> int:
        """The identifier of the property with this name, or -1."""
        return _IDENTIFIERS.get(compressedName, -1)

    def getNameFromIdent(self, identifier: int) -> str | None:
        """The name of the property with this identifier, with spaces."""
        name = _COMPRESSED.get(identifier)
        return None if name is None else _spaced(name)

    def __setattr__(self, name: str, value: Any) -> None:
        if name in _OWN:
            object.__setattr__(self, name, value)
            return
        name = name.replace(" ", "")
        if name not in _IDENTIFIERS:
            raise MQTTException(f"Property name must be one of {_NAMES.keys()}")
        identifier = _IDENTIFIERS[name]
        if self.packetType not in _PACKETS[identifier][1]:
            where = (
                "Will" if self.packetType == PacketTypes.WILLMESSAGE else PacketTypes.Names[self.packetType]
            )
            raise MQTTException(f"Property {name} does not apply to packet type {where}")
        if not isinstance(value, list):
            self._check(name, value)
        if identifier in _MULTIPLE:
            value = self.__dict__.get(name, []) + (value if isinstance(value, list) else [value])
        object.__setattr__(self, name, value)

    @staticmethod
    def _check(name: str, value: Any) -> None:
        if name in _RANGES:
            low, high = _RANGES[name]
            if value < low or value > high:
                raise MQTTException(f"{name} property value must be in the range {low}-{high}")
        elif name in _FLAGS and value not in (0, 1):
            raise MQTTException(f"{name} property value must be 0 or 1")

    def __getattr__(self, name: str) -> Any:
        compressed = name.replace(" ", "")
        if compressed != name and compressed in self.__dict__:
            return self.__dict__[compressed]
        raise AttributeError(f"{type(self).__name__!r} object has no attribute {name!r}")

    def __str__(self) -> str:
        return self._listed(())

    def _shown(self) -> str:
        """As str(), without secrets: for log lines."""
        return self._listed(_native.SECRET_PROPERTIES)

    def _listed(self, hidden: tuple[str, ...]) -> str:
        names = [name for name in _IDENTIFIERS if name in self.__dict__]
        shown = (f"{name} : {'***' if name in hidden else self.__dict__[name]}" for name in names)
        return "[" + ", ".join(shown) + "]"

    def json(self) -> dict[str, Any]:
        """The properties by name; correlation data in hexadecimal."""
        data = {name: self.__dict__[name] for name in _IDENTIFIERS if name in self.__dict__}
        correlation = data.get("CorrelationData")
        if isinstance(correlation, bytes):
            data["CorrelationData"] = correlation.hex()
        return data

    def isEmpty(self) -> bool:
        """True when no property is set."""
        return not any(name in self.__dict__ for name in _IDENTIFIERS)

    def clear(self) -> None:
        """Removes every property."""
        for name in _IDENTIFIERS:
            self.__dict__.pop(name, None)

    def _pairs(self) -> list[tuple[int, Any]]:
        """As the native module takes them."""
        pairs: list[tuple[int, Any]] = []
        for name, identifier in _IDENTIFIERS.items():
            if name in self.__dict__:
                value = self.__dict__[name]
                several = identifier in _MULTIPLE and isinstance(value, list)
                pairs += [(identifier, one) for one in (value if several else [value])]
        return pairs

    def pack(self) -> bytes:
        """The properties on the wire, with their length in front."""
        body = b"".join(
            self.writeProperty(identifier, self.properties[identifier][0], value)
            for identifier, value in self._pairs()
        )
        return VariableByteIntegers.encode(len(body)) + body

    def writeProperty(self, identifier: int, type: int, value: Any) -> bytes:
        """One property on the wire."""
        kind = _TYPES[type]
        head = VariableByteIntegers.encode(identifier)
        if kind == "Byte":
            return head + bytes([value])
        if kind == "Two Byte Integer":
            return head + writeInt16(value)
        if kind == "Four Byte Integer":
            return head + writeInt32(value)
        if kind == "Variable Byte Integer":
            return head + VariableByteIntegers.encode(value)
        if kind == "Binary Data":
            return head + writeBytes(value)
        if kind == "UTF-8 Encoded String":
            return head + writeUTF(value)
        return head + writeUTF(value[0]) + writeUTF(value[1])

    def readProperty(self, buffer: bytes, type: int, propslen: int) -> tuple[Any, int]:
        """A value of this type from the start of `buffer`, and the number of bytes used."""
        kind = _TYPES[type]
        if kind == "Byte":
            return buffer[0], 1
        if kind == "Two Byte Integer":
            return readInt16(buffer), 2
        if kind == "Four Byte Integer":
            return readInt32(buffer), 4
        if kind == "Variable Byte Integer":
            return VariableByteIntegers.decode(buffer)
        if kind == "Binary Data":
            return readBytes(buffer, propslen)
        if kind == "UTF-8 Encoded String":
            return readUTF(buffer, propslen)
        name, used = readUTF(buffer, propslen)
        value, more = readUTF(buffer[used:], propslen - used)
        return (name, value), used + more

    def unpack(self, buffer: bytes) -> tuple[Properties, int]:
        """Takes the properties at the start of `buffer`; itself and the number of bytes used."""
        self.clear()
        length, used = VariableByteIntegers.decode(buffer)
        rest, total = buffer[used : used + length], used + length
        if len(rest) < length:
            raise MalformedPacket("the property list is longer than its packet")
        while rest:
            identifier, used = VariableByteIntegers.decode(rest)
            if identifier not in self.properties:
                raise MalformedPacket(f"Unknown property {identifier}")
            rest = rest[used:]
            value, used = self.readProperty(rest, self.properties[identifier][0], len(rest))
            name = _COMPRESSED[identifier]
            if name in self.__dict__ and identifier not in _MULTIPLE:
                raise MQTTException(f"Property '{_spaced(name)}' must not exist more than once")
            setattr(self, name, value)
            rest = rest[used:]
        return self, total


def of(packet_type: int, pairs: Iterable[tuple[int, Any]]) -> Properties:
    """Properties as the native module hands them over; they were checked on the wire."""
    properties = Properties(packet_type)
    values = properties.__dict__
    for identifier, value in pairs:
        if identifier in _MULTIPLE:
            values.setdefault(_COMPRESSED[identifier], []).append(value)
        else:
            values[_COMPRESSED[identifier]] = value
    return properties


class VariableByteIntegers:
    """Variable byte integers, MQTT 5.0 section 1.5.5."""

    @staticmethod
    def encode(x: int) -> bytes:
        """`x` on the wire."""
        if not 0 <= x <= 268435455:
            raise ValueError(f"Value {x!r} must be in range 0-268435455")
        out = bytearray()
        while True:
            x, low = divmod(x, 128)
            out.append(low | 0x80 if x else low)
            if not x:
                return bytes(out)

    @staticmethod
    def decode(buffer: bytes) -> tuple[int, int]:
        """The value at the start of `buffer`, and the number of bytes used."""
        value = 0
        for used, byte in enumerate(buffer[:4]):
            value |= (byte & 0x7F) << 7 * used
            if not byte & 0x80:
                return value, used + 1
        raise MalformedPacket("a variable byte integer without an end")


def writeInt16(length: int) -> bytearray:
    """Two bytes, most significant first."""
    return bytearray(length.to_bytes(2, "big"))


def writeInt32(length: int) -> bytearray:
    """Four bytes, most significant first."""
    return bytearray(length.to_bytes(4, "big"))


def readInt16(buf: bytes) -> int:
    """A number of two bytes."""
    if len(buf) < 2:
        raise MalformedPacket("not enough bytes for a two byte integer")
    return int.from_bytes(buf[:2], "big")


def readInt32(buf: bytes) -> int:
    """A number of four bytes."""
    if len(buf) < 4:
        raise MalformedPacket("not enough bytes for a four byte integer")
    return int.from_bytes(buf[:4], "big")


def writeUTF(data: str | bytes) -> bytearray:
    """Text behind its length."""
    return writeBytes(data.encode("utf-8") if isinstance(data, str) else data)


def readUTF(buffer: bytes, maxlen: int) -> tuple[str, int]:
    """Text behind its length, and the number of bytes used; refuses what MQTT forbids in text.

    [MQTT-1.5.4-1]
    """
    if maxlen < 2:
        raise MalformedPacket("Not enough data to read string length")
    length = readInt16(buffer)
    if length > maxlen - 2 or length > len(buffer) - 2:
        raise MalformedPacket("Length delimited string too long")
    try:
        text = bytes(buffer[2 : 2 + length]).decode("utf-8")
    except UnicodeDecodeError as error:
        raise MalformedPacket("a string that is not UTF-8") from error
    if "\x00" in text:
        raise MalformedPacket("Null found in UTF-8 data")
    return text, 2 + length


def writeBytes(buffer: bytes) -> bytearray:
    """Bytes behind their length."""
    return writeInt16(len(buffer)) + buffer


def readBytes(buffer: bytes, maxlen: int) -> tuple[bytes, int]:
    """Bytes behind their length, and the number of bytes used, which are at most `maxlen`."""
    if min(maxlen, len(buffer)) < 2:
        raise MalformedPacket("Not enough data to read binary data length")
    length = readInt16(buffer)
    if length > min(maxlen, len(buffer)) - 2:
        raise MalformedPacket("Length delimited binary data too long")
    return buffer[2 : 2 + length], 2 + length
