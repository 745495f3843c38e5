"""Publishing without keeping a client: connect, publish, disconnect."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from . import client as _client
from .enums import CallbackAPIVersion, MQTTProtocolVersion
from .exception import MQTTException
from .properties import Properties
from .reasoncodes import ReasonCode


def single(
    topic: str,
    payload: Any = None,
    qos: int = 0,
    retain: bool = False,
    hostname: str = "localhost",
    port: int = 1883,
    client_id: str = "",
    keepalive: int = 60,
    will: dict[str, Any] | None = None,
    auth: dict[str, Any] | None = None,
    tls: Any = None,
    protocol: int = MQTTProtocolVersion.MQTTv311,
    transport: str = "tcp",
    proxy_args: Any = None,
) -> None:
    """Publishes one message and returns when it is delivered. See multiple()."""
    message = {"topic": topic, "payload": payload, "qos": qos, "retain": retain}
    connection = (hostname, port, client_id, keepalive, will, auth, tls, protocol, transport, proxy_args)
    multiple([message], *connection)


def multiple(
    msgs: Iterable[Any],
    hostname: str = "localhost",
    port: int = 1883,
    client_id: str = "",
    keepalive: int = 60,
    will: dict[str, Any] | None = None,
    auth: dict[str, Any] | None = None,
    tls: Any = None,
    protocol: int = MQTTProtocolVersion.MQTTv311,
    transport: str = "tcp",
    proxy_args: Any = None,
) -> None:
    """Publishes messages in order and returns when all of them are delivered.

    A message is a dict with topic, payload, qos and retain, or a tuple in that order. Raises OSError when
    the server cannot be reached, MQTTException when it refuses the client.
    """
    messages = [_message(message) for message in msgs]
    client = _client.Client(
        CallbackAPIVersion.VERSION2,
        client_id=client_id,
        protocol=protocol,
        transport=transport,
        options={"announce_receive_maximum": False},
    )
    prepare(client, will, auth, tls, proxy_args)
    left = len(messages)
    errors: list[MQTTException] = []

    def on_connect(client: Any, userdata: Any, flags: Any, reason: Any, properties: Any) -> None:
        if reason.is_failure:
            errors.append(MQTTException(_client.connack_string(reason)))
            client.disconnect()
        elif left == 0:
            client.disconnect()

    def on_publish(client: Any, userdata: Any, mid: int, reason: Any, properties: Any) -> None:
        nonlocal left
        left -= 1
        if left == 0:
            client.disconnect()

    client.on_connect, client.on_publish = on_connect, on_publish
    client.connect(hostname, port, keepalive)
    for message in messages:
        client.publish(**message)
    client.loop_forever()
    if errors:
        raise errors[0]


def _message(message: Any) -> dict[str, Any]:
    if isinstance(message, dict):
        return dict(message)
    if isinstance(message, (tuple, list)):
        return dict(zip(("topic", "payload", "qos", "retain"), message))
    raise TypeError("message must be a dict, tuple, or list")


def prepare(client: Any, will: Any, auth: Any, tls: Any, proxy_args: Any) -> None:
    """What the helpers take as dictionaries; `tls` has tls_set()'s arguments, or is an SSLContext."""
    if proxy_args is not None:
        client.proxy_set(**proxy_args)
    if auth:
        if not auth.get("username"):
            raise KeyError("The 'username' key was not found, this is required for auth")
        client.username_pw_set(auth["username"], auth.get("password"))
    if will is not None:
        client.will_set(**will)
    if isinstance(tls, dict):
        arguments = dict(tls)
        insecure = arguments.pop("insecure", False)
        client.tls_set(**arguments)
        if insecure:
            client.tls_insecure_set(insecure)
    elif tls is not None:
        client.tls_set_context(tls)


# Programs find these names here too, as in paho.
__all__ = ["TYPE_CHECKING", "MQTTException", "Properties", "ReasonCode", "multiple", "single"]
