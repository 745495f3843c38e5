"""Receiving without keeping a client."""

from __future__ import annotations

from typing import Any, Callable

from . import client as _client
from .enums import CallbackAPIVersion, MQTTProtocolVersion
from .exception import MQTTException
from .publish import prepare


def callback(
    callback: Callable[[Any, Any, Any], None],
    topics: str | list[str],
    qos: int = 0,
    userdata: Any = None,
    hostname: str = "localhost",
    port: int = 1883,
    client_id: str = "",
    keepalive: int = 60,
    will: dict[str, Any] | None = None,
    auth: dict[str, Any] | None = None,
    tls: Any = None,
    protocol: int = MQTTProtocolVersion.MQTTv311,
    transport: str = "tcp",
    clean_session: bool = True,
    proxy_args: Any = None,
) -> None:
    """Subscribes and calls `callback(client, userdata, message)` for every message, until it disconnects."""
    if qos < 0 or qos > 2:
        raise ValueError("qos must be in the range 0-2")
    clean = None if protocol == MQTTProtocolVersion.MQTTv5 else clean_session
    client = _client.Client(
        CallbackAPIVersion.VERSION2, client_id, clean, userdata, protocol=protocol, transport=transport
    )
    prepare(client, will, auth, tls, proxy_args)
    errors: list[MQTTException] = []

    def on_connect(client: Any, userdata: Any, flags: Any, reason: Any, properties: Any) -> None:
        if reason.is_failure:
            errors.append(MQTTException(_client.connack_string(reason)))
            client.disconnect()
        else:
            client.subscribe([(topic, qos) for topic in ([topics] if isinstance(topics, str) else topics)])

    client.on_connect, client.on_message = on_connect, callback
    client.connect(hostname, port, keepalive)
    client.loop_forever()
    if errors:
        raise errors[0]


def simple(
    topics: str | list[str],
    qos: int = 0,
    msg_count: int = 1,
    retained: bool = True,
    hostname: str = "localhost",
    port: int = 1883,
    client_id: str = "",
    keepalive: int = 60,
    will: dict[str, Any] | None = None,
    auth: dict[str, Any] | None = None,
    tls: Any = None,
    protocol: int = MQTTProtocolVersion.MQTTv311,
    transport: str = "tcp",
    clean_session: bool = True,
    proxy_args: Any = None,
) -> Any:
    """Waits for `msg_count` messages: one MQTTMessage if that is 1, else a list.

    `retained=False` skips stored ones.
    """
    if msg_count < 1:
        raise ValueError("msg_count must be > 0")
    messages: list[Any] = []

    def take(client: Any, userdata: Any, message: Any) -> None:
        if len(messages) < msg_count and (retained or not message.retain):
            messages.append(message)
            if len(messages) == msg_count:
                client.disconnect()

    callback(
        *(
            take,
            topics,
            qos,
            None,
            hostname,
            port,
            client_id,
            keepalive,
            will,
            auth,
            tls,
            protocol,
            transport,
        ),
        clean_session,
        proxy_args,
    )
    return messages[0] if msg_count == 1 else messages
