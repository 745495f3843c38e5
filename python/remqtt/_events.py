"""From the core's events to callbacks, in the arguments that each callback API version promises."""

from __future__ import annotations

import logging
import sys
import threading
from threading import get_ident
from typing import Any, Callable

from . import _native
from ._callbacks import Callbacks, ConnectFlags, DisconnectFlags
from ._native import MQTTMessage
from .enums import ConnackCode, LogLevel, MQTTErrorCode
from .matcher import MQTTMatcher
from .packettypes import PacketTypes
from .properties import of
from .reasoncodes import ReasonCode, known
from .reports import Gap, Outage, Quarantined

LOGGING_LEVEL = {
    LogLevel.MQTT_LOG_DEBUG: logging.DEBUG,
    LogLevel.MQTT_LOG_INFO: logging.INFO,
    LogLevel.MQTT_LOG_NOTICE: logging.INFO,
    LogLevel.MQTT_LOG_WARNING: logging.WARNING,
    LogLevel.MQTT_LOG_ERR: logging.ERROR,
}

#: States of the core.
STOPPED, CONNECTING, CONNECTED, WAITING, CLOSED = range(5)

#: Topics whose callbacks are remembered.
_TOPICS = 4_096

_CONNACK_REASONS = {
    ConnackCode.CONNACK_ACCEPTED: "Success",
    ConnackCode.CONNACK_REFUSED_PROTOCOL_VERSION: "Unsupported protocol version",
    ConnackCode.CONNACK_REFUSED_IDENTIFIER_REJECTED: "Client identifier not valid",
    ConnackCode.CONNACK_REFUSED_SERVER_UNAVAILABLE: "Server unavailable",
    ConnackCode.CONNACK_REFUSED_BAD_USERNAME_PASSWORD: "Bad user name or password",
    ConnackCode.CONNACK_REFUSED_NOT_AUTHORIZED: "Not authorized",
}

#: What the loss of a connection is called; anything else is MQTT_ERR_CONN_LOST.
_LOSSES = {
    "KeepAliveTimeout": MQTTErrorCode.MQTT_ERR_KEEPALIVE,
    "ProtocolError": MQTTErrorCode.MQTT_ERR_PROTOCOL,
}

#: An attempt that ends with one of these never had a transport.
_NO_TRANSPORT = (
    *("ResolveFailed", "ConnectFailed", "ConnectTimeout"),
    *("CertificateRefused", "ProxyRefused", "HandshakeFailed", "InvalidOption"),
)


def _reached_nobody(error: tuple[Any, ...]) -> bool:
    # Without a code of a CONNACK, credentials were refused before MQTT: by the WebSocket's server.
    return error[1] in _NO_TRANSPORT or (error[1] == "BadCredentials" and error[3] is None)


def convert_connack_rc_to_reason_code(connack_code: ConnackCode | int) -> ReasonCode:
    """The MQTT 5 reason code for the return code of a CONNACK of MQTT 3.1.1."""
    code = ConnackCode(connack_code) if connack_code in range(6) else None
    name = _CONNACK_REASONS[code] if code is not None else "Unspecified error"
    return ReasonCode(PacketTypes.CONNACK, name)


def convert_disconnect_error_code_to_reason_code(rc: MQTTErrorCode) -> ReasonCode:
    """The MQTT 5 reason code for what ended a connection."""
    names = {
        MQTTErrorCode.MQTT_ERR_SUCCESS: "Success",
        MQTTErrorCode.MQTT_ERR_KEEPALIVE: "Keep alive timeout",
        MQTTErrorCode.MQTT_ERR_PROTOCOL: "Protocol error",
    }
    return ReasonCode(PacketTypes.DISCONNECT, names.get(rc, "Unspecified error"))


def message_id(ticket: int) -> int:
    """The mid of an operation of the core."""
    return (ticket - 1) % 65_535 + 1


class Events(Callbacks):
    """Takes events and calls callbacks. `Client` is made of this and of the calls."""

    suppress_exceptions = False

    _core: _native.Core
    _userdata: Any = None
    _version2 = False
    _mqtt5 = False
    _logger: logging.Logger | None = None
    #: Somebody wants log lines.
    _logging = False
    #: The thread that is inside a callback.
    _in_callback: int | None = None
    #: connect() waits for its first attempt, and the error of that.
    _connecting = False
    _first_error: tuple[Any, ...] | None = None
    #: Attempts whose on_pre_connect was called by connect() already.
    _announced = 0
    #: Requested ends of a connection that no callback hears of.
    _muted = 0
    #: The connection ends for good: no loop has anything to wait for then.
    _ending = False
    #: The end that disconnect() asked for has come.
    _left = False
    _looping: str | None = None
    #: loop_forever() raises the error of the first attempt.
    _raise_first = False
    #: See `External`.
    _resumes = False
    #: How many connections the program has known of.
    _opened = 0
    #: The events that callbacks are being called for.
    _batch: _native.Events | None = None
    #: The rest of the batch is for another turn.
    _halt = False
    #: There was an event that says that an attempt begins; one that says how a connection begins or ends.
    _begins = _heard = False
    #: on_connect was told of the present connection.
    _greeted = False
    #: What auth() answers.
    _exchange: int | None = None
    #: What ended the last connection.
    _loss = MQTTErrorCode.MQTT_ERR_SUCCESS
    #: What a subscribe or unsubscribe asked for, by its ticket.
    _requests: dict[int, int] | None = None
    _matcher: MQTTMatcher | None = None
    _matched: dict[str, list[Any]] | None = None

    def _refuse_while_connected(self, name: str) -> None:
        # A connection that disconnect() is ending does not count.
        if not self._ending and self._core.state() not in (STOPPED, CLOSED):
            raise RuntimeError(f"updating {name} on established connection is not supported")

    def _log_changed(self) -> None:
        self._logging = self._logger is not None or self.on_log is not None

    def _event_texts(self) -> None:
        self._core.set_with_text(self.on_event is not None)

    def _drain(self, events: _native.Events) -> None:
        """Calls the callbacks for a batch of events."""
        before, self._in_callback = self._in_callback, get_ident()
        outer, self._batch = self._batch, events
        finished = False
        try:
            for event in events:
                if event.__class__ is not MQTTMessage:
                    _HANDLERS[event[0]](self, event)
                    if self._halt:
                        self._halt = False
                        break
                elif self._logging or self._matcher is not None:
                    self._deliver(event)
                else:
                    on_message = self.on_message
                    if on_message is not None:
                        try:
                            on_message(self, self._userdata, event)
                        except Exception as error:
                            self._report("on_message", error)
            finished = True
        finally:
            self._in_callback, self._batch = before, outer
            # A message whose callback was torn out of its work, as by Ctrl-C, comes again.
            events.end(finished)

    def _deliver(self, message: MQTTMessage) -> None:
        try:
            topic = message.topic
        except UnicodeDecodeError:
            topic = ""
        if self._logging:
            properties = f", properties={message.properties}" if self._mqtt5 else ""
            self._log(
                LogLevel.MQTT_LOG_DEBUG,
                "Received PUBLISH (d%d, q%d, r%d, m%d), '%s'%s, ...  (%d bytes)",
                *(message.dup, message.qos, message.retain, message.mid),
                *(topic or message._topic, properties, len(message.payload)),
            )
        callbacks = self._callbacks_of(topic) if topic and self._matcher is not None else ()
        for callback in callbacks:
            try:
                callback(self, self._userdata, message)
            except Exception as error:
                self._report(
                    f"user defined callback function {getattr(callback, '__name__', callback)}", error
                )
        if not callbacks:
            self._call("on_message", message)

    def _callbacks_of(self, topic: str) -> list[Any]:
        """The topic callbacks whose filter matches; remembered, because topics come again."""
        matched = self._matched
        if matched is None or len(matched) > _TOPICS:
            matched = self._matched = {}
        callbacks = matched.get(topic)
        if callbacks is None:
            matcher = self._matcher
            callbacks = matched[topic] = [] if matcher is None else list(matcher.iter_match(topic))
        return callbacks

    def _call(self, name: str, *arguments: Any) -> bool:
        """Calls a callback, if there is one. Its exception is reported, and the client lives on.

        False where there is none, or it failed.
        """
        callback = getattr(self, name)
        if callback is not None:
            try:
                callback(self, self._userdata, *arguments)
                return True
            except Exception as error:
                self._report(name, error)
        return False

    def _report(self, name: str, error: BaseException) -> None:
        self._log(LogLevel.MQTT_LOG_ERR, "Caught exception in %s: %s", name, error)
        if not self.suppress_exceptions:
            show_exception(error)

    def _log(self, level: LogLevel, text: str, *arguments: Any) -> None:
        on_log = self.on_log
        if on_log is not None:
            try:
                on_log(self, self._userdata, level, text % arguments if arguments else text)
            except Exception as error:
                if not self.suppress_exceptions:
                    show_exception(error)
        if self._logger is not None:
            self._logger.log(LOGGING_LEVEL[level], text, *arguments)

    def _connecting_event(self, event: tuple[Any, ...]) -> None:
        self._muted, self._begins = 0, True
        if self._announced:
            self._announced = 0
        else:
            self._call("on_pre_connect")

    def _connected_event(self, event: tuple[Any, ...]) -> None:
        _, present, _, _, _, code, properties = event
        self._loss, self._greeted, self._heard = MQTTErrorCode.MQTT_ERR_SUCCESS, True, True
        self._resumes = False
        self._transport_up(True)
        self._connack(present, code, properties)

    def _connack(self, session_present: bool, code: int, pairs: list[Any]) -> None:
        """A CONNACK came; the code is that of the packet."""
        properties = of(PacketTypes.CONNACK, pairs)
        if self._mqtt5:
            reason = known(PacketTypes.CONNACK, code)
            self._log(
                LogLevel.MQTT_LOG_DEBUG,
                "Received CONNACK (%s, %s) properties=%s",
                *(int(session_present), reason, properties._shown()),
            )
        else:
            reason = convert_connack_rc_to_reason_code(code)
            self._log(LogLevel.MQTT_LOG_DEBUG, "Received CONNACK (%s, %s)", int(session_present), code)
        flags = {"session present": int(session_present)}
        if self._version2:
            self._call("on_connect", ConnectFlags(session_present=session_present), reason, properties)
        elif self._mqtt5:
            self._call("on_connect", flags, reason, properties)
        else:
            self._call("on_connect", flags, code)

    def _auth_event(self, event: tuple[Any, ...]) -> None:
        _, exchange, code, pairs = event
        self._exchange = exchange
        reason, properties = known(PacketTypes.AUTH, code), of(PacketTypes.AUTH, pairs)
        self._log(LogLevel.MQTT_LOG_DEBUG, "Received AUTH (%s) properties=%s", reason, properties._shown())
        if self.on_auth is None:
            self._log(LogLevel.MQTT_LOG_ERR, "The server sent an AUTH, and there is no on_auth")
        if not self._call("on_auth", reason, properties) and exchange is not None:
            self._core.refuse_authentication(exchange)

    def _disconnected_event(self, event: tuple[Any, ...]) -> None:
        _, error, was_connected, from_server, retry, _, pairs, fields = event
        self._greeted, self._heard = False, True
        if self._muted:
            if error is None:
                self._muted = 0
        elif error is None:
            self._loss, self._left = MQTTErrorCode.MQTT_ERR_NO_CONN, True
            opened = self._opened
            self._call_on_disconnect(MQTTErrorCode.MQTT_ERR_SUCCESS, False, None, [], 0)
            self._close_socket(opened)
        elif not was_connected and _reached_nobody(error):
            self._no_transport(error, retry is None)
        else:
            code = error[3]
            if not was_connected and from_server and code is not None:
                self._transport_up(False)
                self._connack(False, code, pairs)
                loss = MQTTErrorCode.MQTT_ERR_CONN_REFUSED
            else:
                loss = _LOSSES.get(error[1], MQTTErrorCode.MQTT_ERR_CONN_LOST)
            self._loss = loss
            if retry is None and not self._ended_unattended():
                self._ending = True
            said = was_connected and from_server
            self._close_socket()
            self._call_on_disconnect(loss, said, code if said else None, pairs if said else [], fields)
            self._after_loss(loss, was_connected, retry is None)
        if self._ending and self._looping == "thread" and self._core.state() in (STOPPED, CLOSED):
            # paho's thread ends by itself here, and loop_start() may be called again.
            self._looping = None
            self._core.dispatch_stop()

    def _no_transport(self, error: tuple[Any, ...], last: bool) -> None:
        """An attempt reached no server. connect() raises what became of its own."""
        if not self._connecting and self._let_python_encrypt(error):
            if last:
                self._core.start()
            else:
                self._core.reconnect_now()
            return
        if self._connecting or self._raise_first:
            self._first_error = error
            # Of a second attempt that failed meanwhile nobody wants to know.
            self._halt = self._raise_first
        if not self._connecting:
            self._call("on_connect_fail")
            level = LogLevel.MQTT_LOG_INFO if error[2] == "network" else LogLevel.MQTT_LOG_WARNING
            self._log(level, "%s", error[4])
            self._log(LogLevel.MQTT_LOG_DEBUG, "Connection failed%s", "" if last else ", retrying")
        if last and not self._connecting:
            self._loss, self._ending = MQTTErrorCode.MQTT_ERR_CONN_LOST, not self._ended_unattended()
            self._close_socket()
            self._after_loss(self._loss, False, last)

    def _let_python_encrypt(self, error: tuple[Any, ...]) -> bool:
        """See `Roads`."""
        raise NotImplementedError

    def _transport_up(self, accepted: bool) -> None:
        """See `External`, also for the next three."""
        raise NotImplementedError

    def _close_socket(self, number: int | None = None) -> None:
        raise NotImplementedError

    def _after_loss(self, loss: MQTTErrorCode, accepted: bool, last: bool) -> None:
        raise NotImplementedError

    def _ended_unattended(self) -> bool:
        raise NotImplementedError

    _reconnect_on_failure = True

    def _call_on_disconnect(
        self, rc: MQTTErrorCode, from_server: bool, code: int | None, pairs: list[Any], fields: int
    ) -> None:
        reason = None if code is None else known(PacketTypes.DISCONNECT, code)
        if self._version2:
            self._call(
                "on_disconnect",
                DisconnectFlags(is_disconnect_packet_from_server=from_server),
                convert_disconnect_error_code_to_reason_code(rc) if reason is None else reason,
                of(PacketTypes.DISCONNECT, pairs),
            )
        elif not self._mqtt5:
            self._call("on_disconnect", rc)
        elif from_server:
            # What the packet left out is None here.
            properties = of(PacketTypes.DISCONNECT, pairs) if fields > 1 else None
            self._call("on_disconnect", reason if fields else None, properties)
        else:
            self._call("on_disconnect", rc, None)

    def _published_event(self, event: tuple[Any, ...]) -> None:
        if self.on_publish is None:
            return
        _, ticket, code, pairs = event
        if self._version2:
            reason, properties = known(PacketTypes.PUBACK, code), of(PacketTypes.PUBACK, pairs)
            self._call("on_publish", message_id(ticket), reason, properties)
        else:
            self._call("on_publish", message_id(ticket))

    def _subscribed_event(self, event: tuple[Any, ...]) -> None:
        _, ticket, codes, pairs = event
        self._forget(ticket)
        self._log(LogLevel.MQTT_LOG_DEBUG, "Received SUBACK")
        if self._version2 or self._mqtt5:
            reasons = [known(PacketTypes.SUBACK, code) for code in codes]
            self._call("on_subscribe", message_id(ticket), reasons, of(PacketTypes.SUBACK, pairs))
        else:
            self._call("on_subscribe", message_id(ticket), codes)

    def _unsubscribed_event(self, event: tuple[Any, ...]) -> None:
        _, ticket, codes, pairs = event
        self._forget(ticket)
        mid = message_id(ticket)
        self._log(LogLevel.MQTT_LOG_DEBUG, "Received UNSUBACK (Mid: %d)", mid)
        reasons = [known(PacketTypes.UNSUBACK, code) for code in codes]
        properties = of(PacketTypes.UNSUBACK, pairs)
        if self._version2:
            self._call("on_unsubscribe", mid, reasons, properties)
        elif self._mqtt5:
            self._call("on_unsubscribe", mid, properties, reasons[0] if len(reasons) == 1 else reasons)
        else:
            self._call("on_unsubscribe", mid)

    def _failed_event(self, event: tuple[Any, ...]) -> None:
        """An operation ended badly.

        Only VERSION2 callbacks can say so; VERSION1 ones would announce a success.
        """
        _, ticket, error, pairs = event
        _, name, _, code, text = error
        mid = message_id(ticket)
        self._log(LogLevel.MQTT_LOG_ERR, "Message %d failed: %s", mid, text)
        if self._forget(ticket) or not self._version2 or name == "Closed":
            return
        reason = known(PacketTypes.PUBACK, 0x80 if code is None else code)
        self._call("on_publish", mid, reason, of(PacketTypes.PUBACK, pairs))

    def _forget(self, ticket: int) -> bool:
        return self._requests is not None and self._requests.pop(message_id(ticket), None) is not None

    def _recovered_event(self, event: tuple[Any, ...]) -> None:
        outage = Outage(**event[1])
        self._log(LogLevel.MQTT_LOG_NOTICE, "%s", outage.text)
        self._call("on_recovered", outage)

    def _quarantined_event(self, event: tuple[Any, ...]) -> None:
        _, ticket, identifier, topic, payload, qos, readable = event
        mid = identifier if ticket is None else message_id(ticket)
        what = Quarantined(ticket is not None, mid, topic, payload, qos, readable)
        whose = "of ours" if what.outgoing else "of the server"
        self._log(LogLevel.MQTT_LOG_ERR, "Message %d %s quarantined: it ends every connection", mid, whose)
        self._call("on_quarantined", what)

    def _gap_event(self, event: tuple[Any, ...]) -> None:
        gap = Gap(*event[1:])
        self._log(LogLevel.MQTT_LOG_WARNING, "%d messages of '%s' are missing", gap.missing, gap.topic)
        self._call("on_gap", gap)

    def _store_event(self, event: tuple[Any, ...]) -> None:
        trouble = None if event[1] is None else event[1][-1]
        level = LogLevel.MQTT_LOG_NOTICE if trouble is None else LogLevel.MQTT_LOG_ERR
        self._log(level, "Store: %s", trouble or "it can be written again")
        self._call("on_store", trouble)

    def _stored_event(self, event: tuple[Any, ...]) -> None:
        """The end of sync(), which waits for itself."""

    def _text_event(self, event: tuple[Any, ...]) -> None:
        self._call("on_event", event[1])

    def _closed_event(self, event: tuple[Any, ...]) -> None:
        self._ending = True


_HANDLERS: dict[str, Callable[[Any, Any], None]] = {
    "connecting": Events._connecting_event,
    "connected": Events._connected_event,
    "auth": Events._auth_event,
    "disconnected": Events._disconnected_event,
    "published": Events._published_event,
    "subscribed": Events._subscribed_event,
    "unsubscribed": Events._unsubscribed_event,
    "failed": Events._failed_event,
    "recovered": Events._recovered_event,
    "quarantined": Events._quarantined_event,
    "gap": Events._gap_event,
    "store": Events._store_event,
    "stored": Events._stored_event,
    "text": Events._text_event,
    "closed": Events._closed_event,
}


def show_exception(error: BaseException) -> None:
    """Hands an exception to threading.excepthook:

    A traceback on stderr, or whatever the program has put there.
    """
    hook_arguments = threading.ExceptHookArgs(
        (type(error), error, error.__traceback__, threading.current_thread())
    )
    try:
        threading.excepthook(hook_arguments)
    except Exception:
        sys.__excepthook__(type(error), error, error.__traceback__)
