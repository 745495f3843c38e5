"""The packet types of MQTT 5 by number."""

from __future__ import annotations

from typing import ClassVar


class PacketTypes:
    """The packet types of MQTT 5; WILLMESSAGE stands for the will inside a CONNECT."""

    indexes = range(1, 16)

    (
        CONNECT,
        CONNACK,
        PUBLISH,
        PUBACK,
        PUBREC,
        PUBREL,
        PUBCOMP,
        SUBSCRIBE,
        SUBACK,
        UNSUBSCRIBE,
        UNSUBACK,
        PINGREQ,
        PINGRESP,
        DISCONNECT,
        AUTH,
    ) = indexes

    WILLMESSAGE = 99

    Names: ClassVar[tuple[str, ...]] = (
        "reserved",
        "Connect",
        "Connack",
        "Publish",
        "Puback",
        "Pubrec",
        "Pubrel",
        "Pubcomp",
        "Subscribe",
        "Suback",
        "Unsubscribe",
        "Unsuback",
        "Pingreq",
        "Pingresp",
        "Disconnect",
        "Auth",
    )
