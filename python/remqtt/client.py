"""The client, shaped like paho.mqtt.client.

import remqtt.client as mqtt

client = mqtt.Client(mqtt.CallbackAPIVersion.VERSION2, client_id="sensor", clean_session=False)
client.on_message = lambda client, userdata, message: print(message.topic, message.payload)
client.connect("broker.example")
client.subscribe("a/#", qos=1)
client.loop_forever()
"""

from __future__ import annotations

import errno
import importlib.util
import inspect
import os
import warnings
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Callable, TypeVar, overload

from . import _arguments, _callbacks, _constants, _dispatch, _native
from ._arguments import CleanStartOption, HTTPHeader, PayloadType
from ._callbacks import *  # noqa: F403 - paho's aliases, all of them
from ._constants import *  # noqa: F403 - paho's constants, all of them
from ._events import (
    LOGGING_LEVEL,
    STOPPED,
    convert_connack_rc_to_reason_code,
    convert_disconnect_error_code_to_reason_code,
)
from ._message import MQTTMessage, MQTTMessageInfo
from ._roads import WebsocketConnectionError, WebSocketHeaders
from ._settings import Settings, behind_paho
from .enums import (
    CallbackAPIVersion,
    ConnackCode,
    LogLevel,
    MessageState,
    MessageType,
    MQTTErrorCode,
    MQTTProtocolVersion,
    PahoClientMode,
)
from .exception import MalformedPacket, MQTTException
from .matcher import MQTTMatcher
from .packettypes import PacketTypes
from .properties import Properties, of
from .reasoncodes import ReasonCode, ReasonCodes
from .reports import Outage
from .subscribeoptions import SubscribeOptions

try:
    import socks  # type: ignore[import-untyped]
except ImportError:
    socks = None

EAGAIN = errno.EAGAIN
#: Whether dnspython is there, as in paho. connect_srv() does not need it.
HAVE_DNS = importlib.util.find_spec("dns") is not None
#: What paho wakes its own thread with; nothing here does.
sockpair_data = b"0"

_C = TypeVar("_C", bound=Callable[..., Any])


class Client(Settings):
    """An MQTT client that comes back.

    Client(callback_api_version, client_id, clean_session, userdata, protocol, ...) as in paho-mqtt 2.x, or
    Client(client_id, clean_session, userdata, protocol, ...) as in 1.x: the first positional argument
    decides. Only in remqtt: `persistence`, the path of a file that keeps the session, so that what was
    accepted survives the death of the process; `resume_after`, the token of the last message whose effects
    the program has written down together with it: received messages are then acknowledged when they are
    in that file, carry a `token`, and come again after a crash unless they are that one or before it ("" at
    the first start); and `options`, a dict of the core's options by name, see
    configure().
    """

    @overload
    def __init__(
        self,
        callback_api_version: CallbackAPIVersion = ...,
        client_id: str | bytes | None = ...,
        clean_session: bool | None = ...,
        userdata: Any = ...,
        protocol: int = ...,
        transport: str = ...,
        reconnect_on_failure: bool = ...,
        manual_ack: bool = ...,
        *,
        persistence: str | os.PathLike[str] | None = ...,
        resume_after: str | None = ...,
        options: dict[str, Any] | None = ...,
    ) -> None: ...

    @overload
    def __init__(
        self,
        client_id: str | bytes | None,
        clean_session: bool | None = ...,
        userdata: Any = ...,
        protocol: int = ...,
        transport: str = ...,
        reconnect_on_failure: bool = ...,
        *,
        persistence: str | os.PathLike[str] | None = ...,
        resume_after: str | None = ...,
        options: dict[str, Any] | None = ...,
    ) -> None: ...

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        setup = _arguments.setup(args, kwargs)
        if setup.callback_api_version is CallbackAPIVersion.VERSION1 and behind_paho():
            # Only there: who imports remqtt by its name may use the form that suits.
            text = "Callback API version 1 is deprecated, update to latest version"
            warnings.warn(text, DeprecationWarning, stacklevel=2)
        client_id = setup.client_id or b""
        self._client_id = client_id.encode("utf-8") if isinstance(client_id, str) else bytes(client_id)
        self._callback_api_version = setup.callback_api_version
        self._version2 = setup.callback_api_version is CallbackAPIVersion.VERSION2
        self._protocol = MQTTProtocolVersion(setup.protocol)
        self._mqtt5 = self._protocol == MQTTProtocolVersion.MQTTv5
        self._clean_session = setup.clean_session
        self._userdata = setup.userdata
        self.suppress_exceptions = False
        self._reconnect_on_failure = setup.reconnect_on_failure
        self._transport = setup.transport
        # Offline, QoS 0 is dropped as in paho; but not by the core, because paho sends it before the CONNACK.
        options = {
            **self._spoken(self._protocol),
            "client_id": self._client_id.decode("utf-8"),
            # As paho does it.
            "server_client_id": "true",
            "lost_session_dup": "true",
            "deliver_invalid_topics": "true",
            "bare_topic_aliases": "true",
            "reconnect": "true" if setup.reconnect_on_failure else "false",
            "manual_ack": "true" if setup.manual_ack else "false",
        }
        further = dict(setup.options or {})
        options.update(_texts({key: further.pop(key) for key in _AT_BIRTH if key in further}))
        if setup.persistence is not None:
            options["store"] = os.fspath(setup.persistence)
        if setup.resume_after is not None:
            options.update(acknowledge="stored", resume_after=setup.resume_after)
        self._client_id = options["client_id"].encode("utf-8")
        self._core = _native.Core(options)
        if further:
            self.configure(**further)
        self._log_changed()
        self._event_texts()
        self._register()
        _dispatch.remember(self)

    #: QoS 0 without a connection is dropped, and publish() says so.
    _drop_offline = True

    def configure(self, *, further_servers: Sequence[str] | None = None, **options: Any) -> None:
        """Sets options of the core by name; help(remqtt.options) lists them. Not in paho-mqtt.

        They count from the next connection on and win over paho's arguments that mean the same.

        further_servers are endpoint URLs that follow the server of connect(), in order: they are tried after
        it, or beside it with race_servers. Each has sessions of its own: one that does not know ours counts
        as one that lost it.
        """
        if further_servers is not None:
            if isinstance(further_servers, str):
                raise TypeError("further_servers: a list of endpoint URLs")
            self._core.set_servers([*further_servers])
            self._further_servers = (*further_servers,)
        texts = _texts(options)
        self._core.set_options(texts)
        if "queue_qos0_offline" in texts:
            self._drop_offline = self._core.option("queue_qos0_offline") == "false"
            self._core.set_options({"queue_qos0_offline": "true"})
            del texts["queue_qos0_offline"]
        self._overrides = {**(self._overrides or {}), **texts}

    def publish(
        self,
        topic: str | None,
        payload: str | bytes | bytearray | float | None = None,
        qos: int = 0,
        retain: bool = False,
        properties: Properties | None = None,
        *,
        level: str | None = None,
    ) -> MQTTMessageInfo:
        """Publishes a message; the result tells what becomes of it.

        QoS 1 and 2 are accepted with and without a connection, and survive outages. QoS 0 is dropped while
        there is no connection (rc is MQTT_ERR_NO_CONN then), unless the option queue_qos0_offline says
        otherwise.

        `level`, not in paho-mqtt: "memory" does not survive the process; "stored", the default of a client
        with `persistence`, does, from its first byte on the wire on; both are published when the server
        has acknowledged them. "fsynced" counts as published as soon as it is durable: wait_for_publish()
        returns, on_publish is called. Should it fail later, on_store says so. ValueError where there is no
        file.
        """
        pairs = None if properties is None else properties._pairs()
        whole = topic
        if properties is not None and pairs and self._mqtt5 and "TopicAlias" in properties.__dict__:
            whole, pairs = self._whole_topic(topic, pairs)
        info = self._core.publish(whole, payload, qos, retain, pairs, self._drop_offline, level)
        if self._logging:
            self._log_publish(info, topic, payload, qos, retain, properties)
        return info

    def subscribe(
        self,
        topic: Any,
        qos: int = 0,
        options: SubscribeOptions | None = None,
        properties: Properties | None = None,
    ) -> tuple[MQTTErrorCode, int | None]:
        """Subscribes to a filter, a (filter, QoS) tuple, or a list of such tuples; (result, mid).

        The client remembers it: when the server loses the session it subscribes again by itself.
        """
        filters = _arguments.filters(topic, qos, options, self._mqtt5)
        if self._core.state() == STOPPED:
            return MQTTErrorCode.MQTT_ERR_NO_CONN, None
        mid = self._core.subscribe(filters, None if properties is None else properties._pairs())
        self._file(mid)
        if self._logging:
            shown = [(name.encode("utf-8"), qos) for name, qos, *_ in filters]
            self._log(LogLevel.MQTT_LOG_DEBUG, "Sending SUBSCRIBE (d%d, m%d) %s", 0, mid, shown)
        return MQTTErrorCode.MQTT_ERR_SUCCESS, mid

    def unsubscribe(
        self, topic: str | list[str], properties: Properties | None = None
    ) -> tuple[MQTTErrorCode, int | None]:
        """Unsubscribes from a filter, or from a list of them; (result, mid)."""
        if not isinstance(topic, (str, list)):
            raise ValueError("No topic specified, or incorrect topic type.")
        topics = [_arguments.check_filter(one) for one in ([topic] if isinstance(topic, str) else topic)]
        if self._core.state() == STOPPED:
            return MQTTErrorCode.MQTT_ERR_NO_CONN, None
        mid = self._core.unsubscribe(topics, None if properties is None else properties._pairs())
        self._file(mid)
        self._log(LogLevel.MQTT_LOG_DEBUG, "Sending UNSUBSCRIBE (d%d, m%d) %s", 0, mid, topics)
        return MQTTErrorCode.MQTT_ERR_SUCCESS, mid

    def auth(self, data: bytes | str | None = None, properties: Properties | None = None) -> None:
        """Answers the last AUTH of the server that on_auth was called for. Not in paho-mqtt.

        In on_auth or later, on any thread, within connect_timeout, which counts from the beginning of the
        attempt or of reauthenticate(). An answer that comes too late, or twice, does nothing. `properties`
        may have a ReasonString and UserProperty; the method is that of connect(). RuntimeError: there is
        nothing to answer.
        """
        if self._exchange is None:
            raise RuntimeError("there is no AUTH to answer")
        self._core.authenticate(self._exchange, data, None if properties is None else properties._pairs())

    def reauthenticate(self, data: bytes | str | None = None, properties: Properties | None = None) -> None:
        """Asks the server to authenticate the connection anew, by the method of connect(). Not in paho-mqtt.

        on_auth hears what comes of it: further steps, then "Success". A server that refuses ends the
        connection. Nothing happens while an exchange is under way. ValueError: connect() named no
        AuthenticationMethod. RuntimeError: there is no connection.
        """
        self._core.authenticate(None, data, None if properties is None else properties._pairs())

    def ack(self, mid: int, qos: int) -> MQTTErrorCode:
        """With manual_ack: acknowledges the latest message with this mid."""
        if self._core.option("manual_ack") == "true" and qos > 0:
            self._core.acknowledge(mid)
        return MQTTErrorCode.MQTT_ERR_SUCCESS

    def manual_ack_set(self, on: bool) -> None:
        """Whether messages are acknowledged by ack() instead of when their callback returns."""
        self._core.set_options({"manual_ack": "true" if on else "false"})

    def message_callback_add(self, sub: str, callback: Callable[[Client, Any, MQTTMessage], None]) -> None:
        """Messages whose topic matches the filter `sub` go to `callback`, and not to on_message."""
        if callback is None or sub is None:
            raise ValueError("sub and callback must both be defined.")
        matcher = self._matcher or MQTTMatcher()
        matcher[sub] = callback
        self._matcher, self._matched = matcher, None

    def message_callback_remove(self, sub: str) -> None:
        """Takes a topic callback away."""
        if sub is None:
            raise ValueError("sub must be defined.")
        if self._matcher is not None:
            try:
                del self._matcher[sub]
            except KeyError:
                return
            self._matched = None

    def topic_callback(self, sub: str) -> Callable[[_C], _C]:
        """A decorator that makes the function the callback of a filter."""

        def decorator(callback: _C) -> _C:
            self.message_callback_add(sub, callback)
            return callback

        return decorator

    def sync(self, timeout: float | None = None) -> bool:
        """Waits until everything accepted so far is durable in the file of `persistence`:

        From then on it survives kill -9 and a power cut. False when that took longer than `timeout` seconds
        (None: as long as it takes). Raises what else stands in the way, such as a closed client. Without a
        file there is nothing to wait for. Not in paho-mqtt.
        """
        return self._core.sync(timeout)

    def drop_out_messages(self) -> list[MQTTMessage]:
        """Gives up all QoS 1 and 2 messages that are not delivered yet, and returns them, oldest first.

        Whoever waits for one of them gets the error at once. For example in on_connect, when a server that
        was replaced must not get what was meant for the old one.
        """
        messages = []
        for mid, topic, payload, qos, retain, pairs in self._core.drop_publishes():
            message = MQTTMessage(mid, topic.encode("utf-8"))
            message.payload, message.qos, message.retain = payload, qos, retain
            message.properties = of(PacketTypes.PUBLISH, pairs) if self._mqtt5 else None
            messages.append(message)
        return messages

    def enable_bridge_mode(self) -> None:
        """From the next connect() on the server takes this client for a bridge.

        It sends back nothing that this client published, so that a subscription to # makes no circle, and
        keeps the retain flag of what it passes on. mosquitto and RSMB know that; others may refuse.
        """
        self._core.set_options({"bridge": "true"})

    def stats(self) -> dict[str, int]:
        """The core's counters by name; help(remqtt.statistics) lists them. Not in paho-mqtt."""
        return self._core.stats()

    def timeline(self) -> list[Outage]:
        """The last outages (at most 64), oldest first. Not in paho-mqtt."""
        return [Outage(**outage) for outage in self._core.timeline()]

    def reinitialise(self, client_id: str = "", clean_session: bool = True, userdata: Any = None) -> None:
        """Becomes a new client with the same callback API version and protocol."""
        version, protocol, transport = self._callback_api_version, self._protocol, self._transport
        self._close_socket()
        self._core.dispatch_stop()
        self._core.close(0.0)
        self.__dict__.clear()
        clean = None if protocol == MQTTProtocolVersion.MQTTv5 else clean_session
        Client.__init__(self, version, client_id, clean, userdata, protocol, transport)

    @property
    def protocol(self) -> MQTTProtocolVersion:
        """The protocol version."""
        return self._protocol

    @property
    def callback_api_version(self) -> CallbackAPIVersion:
        """Which arguments the callbacks get."""
        return self._callback_api_version

    def _whole_topic(
        self, topic: str | None, pairs: list[tuple[int, Any]]
    ) -> tuple[str | None, list[tuple[int, Any]]]:
        """The topic instead of its alias: that holds for one connection, and a message must survive several.

        Of an alias that was never set the server is the judge.
        """
        aliases = self._aliases = self._aliases or {}
        alias = dict(pairs)[_TOPIC_ALIAS]
        if topic:
            aliases[alias] = topic
        elif alias not in aliases:
            return topic, pairs
        return aliases[alias], [pair for pair in pairs if pair[0] != _TOPIC_ALIAS]

    #: What TopicAlias stood for in publish().
    _aliases: dict[int, str] | None = None

    def _file(self, mid: int) -> None:
        """A subscribe or unsubscribe is under way: its failure is none of on_publish."""
        if self._requests is None:
            self._requests = {}
        self._requests[mid] = mid

    def _log_publish(
        self, info: MQTTMessageInfo, topic: str | None, payload: Any, qos: int, retain: bool, properties: Any
    ) -> None:
        shown = f", properties={properties}" if self._mqtt5 else ""
        size = len(payload) if isinstance(payload, (str, bytes, bytearray)) else len(str(payload or ""))
        tail = f", ... ({size} bytes)" if size else " (NULL payload)"
        self._log(
            LogLevel.MQTT_LOG_DEBUG,
            "Sending PUBLISH (d%d, q%d, r%d, m%d), '%s'%s%s",
            *(0, qos, retain, info.mid, str(topic).encode("utf-8"), shown, tail),
        )

    def __del__(self) -> None:
        core = getattr(self, "_core", None)
        if core is not None and not _dispatch.exiting():
            core.close(_LINGER)


_TOPIC_ALIAS = 35

#: Options that count only for the core that is made with them.
_AT_BIRTH = ("store", "client_id", "acknowledge", "resume_after")


def _texts(options: Mapping[str, Any]) -> dict[str, str]:
    """Options as the core reads them."""
    return {
        key: str(value).lower() if isinstance(value, bool) else str(value) for key, value in options.items()
    }


#: Seconds that a forgotten client may take to deliver what it has accepted.
_LINGER = 2.0

# What help() and inspect show: the form of paho-mqtt 2.x, which is also that of the keywords.
Client.__init__.__signature__ = inspect.Signature(  # type: ignore[attr-defined]
    [
        inspect.Parameter("self", inspect.Parameter.POSITIONAL_OR_KEYWORD),
        *(
            inspect.Parameter(
                name,
                inspect.Parameter.KEYWORD_ONLY
                if name in ("persistence", "resume_after", "options")
                else inspect.Parameter.POSITIONAL_OR_KEYWORD,
                default=default,
            )
            for name, default in _arguments.Setup._field_defaults.items()
        ),
    ]
)

__all__ = [
    "EAGAIN",
    "HAVE_DNS",
    "LOGGING_LEVEL",
    "TYPE_CHECKING",
    "CallbackAPIVersion",
    "CleanStartOption",
    "Client",
    "ConnackCode",
    "HTTPHeader",
    "LogLevel",
    "MQTTErrorCode",
    "MQTTException",
    "MQTTMatcher",
    "MQTTMessage",
    "MQTTMessageInfo",
    "MQTTProtocolVersion",
    "MalformedPacket",
    "MessageState",
    "MessageType",
    "PacketTypes",
    "PahoClientMode",
    "PayloadType",
    "Properties",
    "ReasonCode",
    "ReasonCodes",
    "SubscribeOptions",
    "WebSocketHeaders",
    "WebsocketConnectionError",
    "convert_connack_rc_to_reason_code",
    "convert_disconnect_error_code_to_reason_code",
    "sockpair_data",
    "socks",
]
__all__ += _callbacks.__all__
__all__ += _constants.__all__
