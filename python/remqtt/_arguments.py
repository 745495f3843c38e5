"""Arguments of the constructor, of subscribe and unsubscribe, read as paho reads them."""

from __future__ import annotations

import os
from typing import Any, Literal, NamedTuple, Union

from . import _native
from .enums import CallbackAPIVersion, MQTTProtocolVersion
from .subscribeoptions import SubscribeOptions

#: What publish() takes, under paho's name.
PayloadType = Union[str, bytes, bytearray, int, float, None]
CleanStartOption = Union[bool, Literal[3]]
HTTPHeader = dict[str, str]

_FORM_1 = ("client_id", "clean_session", "userdata", "protocol", "transport", "reconnect_on_failure")
_FORM_2 = ("callback_api_version", *_FORM_1, "manual_ack")


class Setup(NamedTuple):
    """The constructor's arguments."""

    callback_api_version: CallbackAPIVersion = CallbackAPIVersion.VERSION1
    client_id: str | bytes | bytearray | None = ""
    clean_session: bool | None = None
    userdata: Any = None
    protocol: int = MQTTProtocolVersion.MQTTv311
    transport: str = "tcp"
    reconnect_on_failure: bool = True
    manual_ack: bool = False
    persistence: str | os.PathLike[str] | None = None
    resume_after: str | None = None
    options: dict[str, Any] | None = None


def setup(positional: tuple[Any, ...], keywords: dict[str, Any]) -> Setup:
    """Reads both generations' order: the type of the first positional argument tells which one it is."""
    first = positional[0] if positional else None
    if not positional or isinstance(first, CallbackAPIVersion):
        names: tuple[str, ...] = _FORM_2
    elif first is None or isinstance(first, (str, bytes, bytearray)):
        names = _FORM_1
    else:
        raise TypeError(
            "the first argument must be a CallbackAPIVersion (paho-mqtt 2.x) or a client id (paho-mqtt 1.x), "
            f"not {type(first).__name__}"
        )
    if len(positional) > len(names):
        raise TypeError(f"at most {len(names)} positional arguments, not {len(positional)}")
    given = dict(zip(names, positional))
    for name in keywords:
        if name in given:
            raise TypeError(f"got multiple values for argument {name!r}")
        if name not in Setup._fields:
            raise TypeError(f"got an unexpected keyword argument {name!r}")
    return _checked(Setup(**given, **keywords))


def _checked(setup: Setup) -> Setup:
    if not isinstance(setup.callback_api_version, CallbackAPIVersion):
        raise TypeError("callback_api_version must be a CallbackAPIVersion")
    if setup.protocol not in (3, 4, 5):
        raise ValueError(f"protocol must be MQTTv31, MQTTv311 or MQTTv5, not {setup.protocol!r}")
    if setup.transport not in ("tcp", "websockets", "unix"):
        raise ValueError(f'transport must be "websockets", "tcp", "unix", not {setup.transport}')
    if setup.protocol == MQTTProtocolVersion.MQTTv5:
        if setup.clean_session is not None:
            raise ValueError("Clean session is not used for MQTT 5.0")
        return setup
    clean = True if setup.clean_session is None else bool(setup.clean_session)
    if not clean and not setup.client_id:
        raise ValueError("A client id must be provided if clean session is False.")
    return setup._replace(clean_session=clean)


#: As the native module takes a subscription: filter, QoS, no local, retain as published, retain handling.
Filter = tuple[str, int, bool, bool, int]


def filters(topic: Any, qos: int, options: SubscribeOptions | None, mqtt5: bool) -> list[Filter]:
    """What subscribe() was asked for:

    A filter, a (filter, QoS or options) tuple, or a list of such tuples.
    """
    if isinstance(topic, tuple):
        if len(topic) != 2:
            raise ValueError("a subscription tuple is (filter, QoS) or (filter, SubscribeOptions)")
        if mqtt5 and not isinstance(topic[1], SubscribeOptions):
            topic, options = topic[0], SubscribeOptions(_qos(topic[1]))
        elif mqtt5:
            topic, options = topic
        else:
            topic, qos = topic
    if isinstance(topic, (str, bytes)):
        if options is not None and not mqtt5:
            raise ValueError("Subscribe options are for MQTT 5.0 only.")
        if options is not None and qos:
            raise ValueError("Subscribe options and qos parameters cannot be combined.")
        return [_filter(topic, qos if options is None else options)]
    if isinstance(topic, list):
        if not topic:
            raise ValueError("Empty topic list")
        return [_filter(*_pair(pair)) for pair in topic]
    raise ValueError("No topic specified, or incorrect topic type.")


def _pair(pair: Any) -> tuple[Any, Any]:
    if not isinstance(pair, tuple) or len(pair) != 2:
        raise ValueError("a list of subscriptions holds (filter, QoS) or (filter, SubscribeOptions) tuples")
    return pair


def _filter(topic: Any, options: Any) -> Filter:
    name = check_filter(topic)
    if isinstance(options, SubscribeOptions):
        options._check()
        return (
            *(name, options.QoS, bool(options.noLocal)),
            *(bool(options.retainAsPublished), options.retainHandling),
        )
    return name, _qos(options), False, False, 0


def _qos(qos: Any) -> int:
    if not isinstance(qos, int) or not 0 <= qos <= 2:
        raise _refused("InvalidQoS", "Invalid QoS level.")
    return int(qos)


def check_filter(topic: Any) -> str:
    """The filter, if it is one."""
    if isinstance(topic, bytes):
        topic = topic.decode("utf-8")
    if not isinstance(topic, str) or not topic:
        raise _refused("InvalidFilter", "Invalid topic.")
    why = _native.check_filter(topic)
    if why is not None:
        raise _refused("InvalidFilter", f"Invalid subscription filter. ({why})")
    return topic


def _refused(code: str, text: str) -> ValueError:
    """Like the errors of the native module, with the name in the core's table as an attribute."""
    error = ValueError(text)
    error.__dict__["code"] = code
    return error
