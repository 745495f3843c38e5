"""The callbacks of a client: the attributes that hold them and the decorators that set them."""

from __future__ import annotations

import operator
from typing import TYPE_CHECKING, Any, Callable, NamedTuple, Optional, TypeVar, Union

from .enums import MQTTErrorCode
from .properties import Properties
from .reasoncodes import ReasonCode

if TYPE_CHECKING:
    from ._native import MQTTMessage
    from .client import Client
    from .reports import Gap, Outage, Quarantined


class ConnectFlags(NamedTuple):
    """Flags of a CONNACK."""

    session_present: bool


class DisconnectFlags(NamedTuple):
    """How a connection ended."""

    is_disconnect_packet_from_server: bool


class Login(NamedTuple):
    """Who a client is, for on_credentials. A tuple of user name and password will do, too."""

    username: str | None = None
    password: str | bytes | None = None
    #: The first data of the authentication method that stands in the properties of connect(), MQTT 5.
    authentication_data: str | bytes | None = None


# The aliases have paho's names. Every callback gets the client and the user data first.
CallbackOnConnect_v1_mqtt3 = Callable[["Client", Any, "dict[str, Any]", MQTTErrorCode], None]
CallbackOnConnect_v1_mqtt5 = Callable[
    ["Client", Any, "dict[str, Any]", ReasonCode, Optional[Properties]], None
]
CallbackOnConnect_v1 = Union[CallbackOnConnect_v1_mqtt5, CallbackOnConnect_v1_mqtt3]
CallbackOnConnect_v2 = Callable[["Client", Any, ConnectFlags, ReasonCode, Optional[Properties]], None]
CallbackOnConnect = Union[CallbackOnConnect_v1, CallbackOnConnect_v2]
CallbackOnConnectFail = Callable[["Client", Any], None]
CallbackOnDisconnect_v1_mqtt3 = Callable[["Client", Any, MQTTErrorCode], None]
CallbackOnDisconnect_v1_mqtt5 = Callable[
    ["Client", Any, Union[ReasonCode, int, None], Optional[Properties]], None
]
CallbackOnDisconnect_v1 = Union[CallbackOnDisconnect_v1_mqtt3, CallbackOnDisconnect_v1_mqtt5]
CallbackOnDisconnect_v2 = Callable[["Client", Any, DisconnectFlags, ReasonCode, Optional[Properties]], None]
CallbackOnDisconnect = Union[CallbackOnDisconnect_v1, CallbackOnDisconnect_v2]
CallbackOnLog = Callable[["Client", Any, int, str], None]
CallbackOnMessage = Callable[["Client", Any, "MQTTMessage"], None]
CallbackOnPreConnect = Callable[["Client", Any], None]
CallbackOnPublish_v1 = Callable[["Client", Any, int], None]
CallbackOnPublish_v2 = Callable[["Client", Any, int, ReasonCode, Properties], None]
CallbackOnPublish = Union[CallbackOnPublish_v1, CallbackOnPublish_v2]
CallbackOnSocket = Callable[["Client", Any, Any], None]
CallbackOnSubscribe_v1_mqtt3 = Callable[["Client", Any, int, "tuple[int, ...]"], None]
CallbackOnSubscribe_v1_mqtt5 = Callable[["Client", Any, int, "list[ReasonCode]", Properties], None]
CallbackOnSubscribe_v1 = Union[CallbackOnSubscribe_v1_mqtt3, CallbackOnSubscribe_v1_mqtt5]
CallbackOnSubscribe_v2 = Callable[["Client", Any, int, "list[ReasonCode]", Optional[Properties]], None]
CallbackOnSubscribe = Union[CallbackOnSubscribe_v1, CallbackOnSubscribe_v2]
CallbackOnUnsubscribe_v1_mqtt3 = Callable[["Client", Any, int], None]
CallbackOnUnsubscribe_v1_mqtt5 = Callable[
    ["Client", Any, int, Properties, Union[ReasonCode, "list[ReasonCode]"]], None
]
CallbackOnUnsubscribe_v1 = Union[CallbackOnUnsubscribe_v1_mqtt3, CallbackOnUnsubscribe_v1_mqtt5]
CallbackOnUnsubscribe_v2 = Callable[["Client", Any, int, "list[ReasonCode]", Optional[Properties]], None]
CallbackOnUnsubscribe = Union[CallbackOnUnsubscribe_v1, CallbackOnUnsubscribe_v2]
CallbackOnAuth = Callable[["Client", Any, ReasonCode, Properties], None]
CallbackOnCredentials = Callable[["Client", Any], Union[Login, "tuple[str | None, str | bytes | None]"]]
CallbackOnStore = Callable[["Client", Any, "str | None"], None]
CallbackOnRecovered = Callable[["Client", Any, "Outage"], None]
CallbackOnQuarantined = Callable[["Client", Any, "Quarantined"], None]
CallbackOnGap = Callable[["Client", Any, "Gap"], None]
CallbackOnEvent = Callable[["Client", Any, str], None]

F = TypeVar("F", bound=Callable[..., Any])


def _attribute(name: str, doc: str, changed: str | None = None) -> Any:
    """An attribute that holds a callback.

    It is read anew for each event, so a subclass may define a method of the same name instead, and callbacks
    may be replaced at any time. The class holds the default, so a client without callbacks spends nothing on
    them.
    """

    def set_callback(self: Any, callback: Any) -> None:
        setattr(self, "_" + name, callback)
        if changed:
            getattr(self, changed)()

    return property(operator.attrgetter("_" + name), set_callback, None, doc)


def _decorator(name: str) -> Any:
    def factory(self: Any) -> Callable[[F], F]:
        def decorator(callback: F) -> F:
            setattr(self, name, callback)
            return callback

        return decorator

    factory.__doc__ = f"A decorator that makes the function {name}."
    factory.__name__ = name[3:] + "_callback"
    return factory


class Callbacks:
    """The attributes and decorators; see `Client`."""

    _on_log: Any = None
    _on_pre_connect: Any = None
    _on_connect: Any = None
    _on_connect_fail: Any = None
    _on_subscribe: Any = None
    _on_message: Any = None
    _on_publish: Any = None
    _on_unsubscribe: Any = None
    _on_disconnect: Any = None
    _on_socket_open: Any = None
    _on_socket_close: Any = None
    _on_socket_register_write: Any = None
    _on_socket_unregister_write: Any = None
    _on_recovered: Any = None
    _on_quarantined: Any = None
    _on_gap: Any = None
    _on_store: Any = None
    _on_event: Any = None
    _on_auth: Any = None
    _on_credentials: Any = None

    on_log = _attribute(
        "on_log", "on_log(client, userdata, level, buf): a line of the log.", changed="_log_changed"
    )
    on_pre_connect = _attribute("on_pre_connect", "on_pre_connect(client, userdata): an attempt begins.")
    on_connect = _attribute(
        "on_connect",
        "on_connect(client, userdata, flags, reason_code, properties): a CONNACK came, refusals included. "
        "VERSION1 with MQTT 3.1.1: (client, userdata, flags, rc).",
    )
    on_connect_fail = _attribute(
        "on_connect_fail",
        "on_connect_fail(client, userdata): an attempt in the background reached no server.",
    )
    on_subscribe = _attribute(
        "on_subscribe",
        "on_subscribe(client, userdata, mid, reason_code_list, properties): the answer to subscribe(). "
        "VERSION1 with MQTT 3.1.1: (client, userdata, mid, granted_qos).",
    )
    on_message = _attribute(
        "on_message", "on_message(client, userdata, message): a message that no topic callback takes."
    )
    on_publish = _attribute(
        "on_publish",
        "on_publish(client, userdata, mid, reason_code, properties): a publish is complete. "
        "VERSION1: (client, userdata, mid).",
    )
    on_unsubscribe = _attribute(
        "on_unsubscribe",
        "on_unsubscribe(client, userdata, mid, reason_code_list, properties): the answer to unsubscribe(). "
        "VERSION1 with MQTT 3.1.1: (client, userdata, mid).",
    )
    on_disconnect = _attribute(
        "on_disconnect",
        "on_disconnect(client, userdata, disconnect_flags, reason_code, properties): a connection ended. "
        "VERSION1 with MQTT 3.1.1: (client, userdata, rc).",
    )
    on_socket_open = _attribute(
        "on_socket_open",
        "on_socket_open(client, userdata, sock): there is a connection. `sock` is readable while "
        "callbacks are due; a program with an event loop of its own calls loop_read() then.",
    )
    on_socket_close = _attribute(
        "on_socket_close",
        "on_socket_close(client, userdata, sock): the connection is over; `sock` is closed afterwards.",
    )
    on_socket_register_write = _attribute(
        "on_socket_register_write", "Accepted, and not called: the client writes by itself."
    )
    on_socket_unregister_write = _attribute(
        "on_socket_unregister_write", "Accepted, and not called: the client writes by itself."
    )
    on_recovered = _attribute(
        "on_recovered",
        "on_recovered(client, userdata, outage): an outage is over and everything queued meanwhile was "
        "sent and acknowledged. `outage` is a remqtt.reports.Outage. Not in paho-mqtt.",
    )
    on_quarantined = _attribute(
        "on_quarantined",
        "on_quarantined(client, userdata, what): a message ended one connection after the other and was "
        "taken out, so that the others can pass. `what` is a remqtt.reports.Quarantined. Not in paho-mqtt.",
    )
    on_gap = _attribute(
        "on_gap",
        "on_gap(client, userdata, gap): messages of a topic never came, as the option sequence_property or "
        "sequence_in_payload tells. `gap` is a remqtt.reports.Gap. Not in paho-mqtt.",
    )
    on_store = _attribute(
        "on_store",
        "on_store(client, userdata, trouble): the file of `persistence` cannot be written, or part of it "
        "could not be read: `trouble` says it in words. None: it can be written again. Not in paho-mqtt.",
    )
    on_event = _attribute(
        "on_event",
        "on_event(client, userdata, text): the canonical text of every event, before its own callback: what "
        "a bug report should hold. Not in paho-mqtt.",
        changed="_event_texts",
    )
    on_auth = _attribute(
        "on_auth",
        "on_auth(client, userdata, reason_code, properties): the server's AUTH, MQTT 5. \"Continue "
        'authentication": auth() answers it, here or later. "Success": reauthenticate() has succeeded. An '
        "exception, or no on_auth, ends the attempt or the connection; the client tries again. Not in "
        "paho-mqtt.",
    )
    on_credentials = _attribute(
        "on_credentials",
        "on_credentials(client, userdata): asked before each attempt to connect; returns user name and "
        "password, or a Login, in place of username_pw_set(). An exception ends the attempt: connect() "
        "raises it, and later attempts follow the schedule. Unlike other callbacks it runs on a thread of "
        "its own, beside the others, because connect() waits for it; it may take up to connect_timeout. "
        "Not in paho-mqtt.",
        changed="_credentials_changed",
    )

    log_callback = _decorator("on_log")
    pre_connect_callback = _decorator("on_pre_connect")
    connect_callback = _decorator("on_connect")
    connect_fail_callback = _decorator("on_connect_fail")
    subscribe_callback = _decorator("on_subscribe")
    message_callback = _decorator("on_message")
    publish_callback = _decorator("on_publish")
    unsubscribe_callback = _decorator("on_unsubscribe")
    disconnect_callback = _decorator("on_disconnect")
    socket_open_callback = _decorator("on_socket_open")
    socket_close_callback = _decorator("on_socket_close")
    socket_register_write_callback = _decorator("on_socket_register_write")
    socket_unregister_write_callback = _decorator("on_socket_unregister_write")


__all__ = [
    "CallbackOnAuth",
    "CallbackOnConnect",
    "CallbackOnConnectFail",
    "CallbackOnConnect_v1",
    "CallbackOnConnect_v1_mqtt3",
    "CallbackOnConnect_v1_mqtt5",
    "CallbackOnConnect_v2",
    "CallbackOnCredentials",
    "CallbackOnDisconnect",
    "CallbackOnDisconnect_v1",
    "CallbackOnDisconnect_v1_mqtt3",
    "CallbackOnDisconnect_v1_mqtt5",
    "CallbackOnDisconnect_v2",
    "CallbackOnEvent",
    "CallbackOnGap",
    "CallbackOnLog",
    "CallbackOnMessage",
    "CallbackOnPreConnect",
    "CallbackOnPublish",
    "CallbackOnPublish_v1",
    "CallbackOnPublish_v2",
    "CallbackOnQuarantined",
    "CallbackOnRecovered",
    "CallbackOnSocket",
    "CallbackOnStore",
    "CallbackOnSubscribe",
    "CallbackOnSubscribe_v1",
    "CallbackOnSubscribe_v1_mqtt3",
    "CallbackOnSubscribe_v1_mqtt5",
    "CallbackOnSubscribe_v2",
    "CallbackOnUnsubscribe",
    "CallbackOnUnsubscribe_v1",
    "CallbackOnUnsubscribe_v1_mqtt3",
    "CallbackOnUnsubscribe_v1_mqtt5",
    "CallbackOnUnsubscribe_v2",
    "ConnectFlags",
    "DisconnectFlags",
    "Login",
]
