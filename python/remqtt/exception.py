"""The package's exceptions."""

from __future__ import annotations


class MQTTException(Exception):
    """Something of MQTT was used wrongly, or went wrong."""


class MalformedPacket(MQTTException):
    """Bytes that are no MQTT."""
