"""MQTTMessage and MQTTMessageInfo as inspect, help() and subclasses see paho's.

The native module makes them, one allocation each. A native method has no named `self` and a slot has a
signature of its own, so where paho's signature shows, a function stands before the native one. What a message
arrives with is read natively all the same.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from ._native import MQTTMessage, MQTTMessageInfo
from .enums import MQTTErrorCode

_native_topic: Any = vars(MQTTMessage)["topic"]
_native_is_published = MQTTMessageInfo.is_published
_native_wait_for_publish = MQTTMessageInfo.wait_for_publish
_native_getitem = MQTTMessageInfo.__getitem__
_native_iter = MQTTMessageInfo.__iter__
_native_next = MQTTMessageInfo.__next__
_native_str = MQTTMessageInfo.__str__


class _Message:
    """What MQTTMessage gets."""

    def __init__(self: Any, mid: int = 0, topic: bytes = b"") -> None:
        """A message of one's own; its attributes may be set."""

    def __eq__(self: Any, other: object) -> bool:
        return isinstance(other, MQTTMessage) and bool(self.mid == other.mid)

    def __ne__(self: Any, other: object) -> bool:
        return not self == other

    def __copy__(self: Any) -> Any:
        twin = type(self)(self.mid, self._topic)
        for name in (
            "timestamp",
            "state",
            "dup",
            "payload",
            "qos",
            "retain",
            "info",
            "properties",
            "token",
            "redelivered",
        ):
            setattr(twin, name, getattr(self, name))
        return twin

    topic = property(
        _native_topic.__get__, _native_topic.__set__, None, "The topic as text; bytes are set, as in paho."
    )


class _Info:
    """What MQTTMessageInfo gets."""

    def __init__(self: Any, mid: int) -> None:
        """The info of no publish."""

    def is_published(self: Any) -> bool:
        """True once the message is delivered: written for QoS 0, acknowledged for QoS 1 and 2.

        Raises ValueError when the message was refused because the queue was full, RuntimeError when it was
        dropped or the server rejected it.
        """
        return _native_is_published(self)

    def wait_for_publish(self: Any, timeout: float | None = None) -> None:
        """Waits until is_published() is true, at most `timeout` seconds (for ever if None).

        Raises as is_published() does.
        """
        _native_wait_for_publish(self, timeout)

    def next(self: Any) -> MQTTErrorCode | int:
        """The next of rc and mid."""
        return _native_next(self)

    def __getitem__(self: Any, index: int) -> MQTTErrorCode | int:
        return _native_getitem(self, index)

    def __iter__(self: Any) -> Iterator[MQTTErrorCode | int]:
        return _native_iter(self)

    def __next__(self: Any) -> MQTTErrorCode | int:
        return _native_next(self)

    def __str__(self: Any) -> str:
        return _native_str(self)


def _give(shape: type, native: type) -> None:
    for name, value in vars(shape).items():
        if name in ("__module__", "__dict__", "__weakref__", "__doc__", "__hash__", "__firstlineno__"):
            continue
        if name.startswith("__static"):
            continue
        if hasattr(value, "__qualname__"):
            value.__qualname__ = f"{native.__name__}.{name}"
        setattr(native, name, value)


_give(_Message, MQTTMessage)
_give(_Info, MQTTMessageInfo)

__all__ = ["MQTTMessage", "MQTTMessageInfo"]
