"""Connecting, looping and leaving."""

from __future__ import annotations

import errno
import os
import select
import socket
import sys
import threading
import time
from collections.abc import Callable
from functools import partial
from threading import get_ident
from typing import Any

from . import _dispatch
from ._events import CLOSED, CONNECTED, CONNECTING, STOPPED, WAITING
from ._external import MQTT_CLEAN_START_FIRST_ONLY, External
from ._refusals import of_the_system, websocket_error
from .enums import LogLevel, MQTTErrorCode
from .properties import Properties
from .reasoncodes import ReasonCode

#: How often a loop that waits looks around without being asked to, in seconds.
_SLICE = 0.5
#: How long loop_stop() and disconnect() wait for what should not take long.
_PATIENCE = 1.0


class _LoopThread:
    """What paho keeps in `_thread`; here the threads belong to all clients together."""

    def __init__(self, client: Connection) -> None:
        self._client = client
        self.name = f"remqtt-client-{client._client_id.decode('utf-8', 'replace')}"
        self.daemon = True

    def is_alive(self) -> bool:
        """True while the client loops in the background."""
        return self._client._looping == "thread"


class Connection(External):
    """The calls about the connection; `Client` inherits them."""

    _client_id: bytes = b""
    _keepalive = 60
    _connect_properties: Properties | None = None
    _connect_timeout = 5.0
    #: connect_async() was called, and no loop has started the connection yet.
    _pending_start = False

    def connect(
        self,
        host: str,
        port: int = 1883,
        keepalive: int = 60,
        bind_address: str = "",
        bind_port: int = 0,
        clean_start: bool | int = MQTT_CLEAN_START_FIRST_ONLY,
        properties: Properties | None = None,
    ) -> MQTTErrorCode:
        """Connects to a server: host name, address, path of a Unix socket, or a URL such as wss://host/path.

        Returns as soon as the network connection is made; on_connect tells what the server says. Raises
        OSError (ConnectionRefusedError, socket.gaierror, ssl.SSLError, ...) when the connection cannot be
        made. From then on the client stays connected: it comes back by itself after every outage.
        """
        self._aim(host, port, keepalive, bind_address, bind_port, clean_start, properties)
        return self._connect()

    def connect_srv(
        self,
        domain: str | None = None,
        keepalive: int = 60,
        bind_address: str = "",
        bind_port: int = 0,
        clean_start: bool | int = MQTT_CLEAN_START_FIRST_ONLY,
        properties: Properties | None = None,
    ) -> MQTTErrorCode:
        """Connects to a server that the SRV records of a domain name, by priority and weight.

        The default is this machine's domain. The records are asked for anew at every connection. Raises
        ValueError when there are none, or when nobody of them answers.
        """
        if domain is None:
            name = socket.getfqdn()
            domain = name[name.find(".") + 1 :]
        self._aim(domain, 1883, keepalive, bind_address, bind_port, clean_start, properties)
        self._service = True
        try:
            return self._connect()
        except socket.gaierror as error:
            raise ValueError(f"No answer/NXDOMAIN for SRV in {domain}") from error
        except OSError as error:
            raise ValueError("No SRV hosts responded") from error

    def connect_async(
        self,
        host: str,
        port: int = 1883,
        keepalive: int = 60,
        bind_address: str = "",
        bind_port: int = 0,
        clean_start: bool | int = MQTT_CLEAN_START_FIRST_ONLY,
        properties: Properties | None = None,
    ) -> None:
        """Remembers where to connect; loop_start() or loop_forever() connects, and tries for ever."""
        self._aim(host, port, keepalive, bind_address, bind_port, clean_start, properties)
        self._close_socket()
        self._forget_loop()
        self._leave_quietly()
        self._pending_start = True
        if self._looping is not None:
            self._start()

    def reconnect(self) -> MQTTErrorCode:
        """Connects again, to where connect() or connect_async() said. Raises OSError like connect()."""
        if not self._host:
            raise ValueError("Invalid host.")
        state = self._core.state()
        lost = self._loss != MQTTErrorCode.MQTT_ERR_SUCCESS
        back = state in (CONNECTING, WAITING) or (state == CONNECTED and lost)
        if back and not self._program_decides and not self._unattended:
            # On its way back already, or there without on_connect having said so yet: nothing to give up.
            self._core.reconnect_now()
            if self._drives():
                self._open_socket()
            return MQTTErrorCode.MQTT_ERR_SUCCESS
        return self._connect()

    def reconnect_now(self) -> None:
        """Skips the wait before the next attempt, whatever it is for. No effect while there is none."""
        self._core.reconnect_now()

    def network_changed(self) -> None:
        """Says that the network has changed, for programs that know it: a new link, address or route.

        A wait for the way to the server ends within 100 ms; a wait that a busy or refusing server asked for
        goes on. A connection that stands is asked at once whether it lives.
        """
        self._core.network_changed()

    def disconnect(
        self, reasoncode: ReasonCode | None = None, properties: Properties | None = None
    ) -> MQTTErrorCode:
        """Disconnects and stays away. What is not delivered yet is kept for the next connect()."""
        state = self._core.state()
        self._pending_start = self._program_decides = False
        unattended = self._unattended
        self._forget_loop()
        if state in (STOPPED, CLOSED):
            if unattended:
                # The connection has ended while nobody looked.
                self._ending = True
                return MQTTErrorCode.MQTT_ERR_SUCCESS
            return MQTTErrorCode.MQTT_ERR_NO_CONN
        inside = self._in_callback == get_ident()
        if state == CONNECTING and self._loss == MQTTErrorCode.MQTT_ERR_SUCCESS and not inside:
            # paho sends what was published before the CONNACK at once; here it waits for the CONNACK.
            self._core.flush(_PATIENCE)
        self._log_disconnect(reasoncode, properties)
        self._ending, self._left = True, False
        self._core.stop(
            0 if reasoncode is None else reasoncode.value,
            None if properties is None else properties._pairs(),
        )
        if self._looping is None and not inside and self.on_socket_register_write is None:
            # No loop will do it: on_disconnect is called here. With that hook, paho too leaves it to one.
            self._run_until(lambda: self._left, _PATIENCE)
        return MQTTErrorCode.MQTT_ERR_NO_CONN if state == WAITING else MQTTErrorCode.MQTT_ERR_SUCCESS

    def is_connected(self) -> bool:
        """True while there is a connection that the server has accepted."""
        # A program that has seen it true relies on what its on_connect does.
        return self._greeted and not self._ending and self._core.state() == CONNECTED

    def loop_start(self) -> MQTTErrorCode:
        """Callbacks run in the background from now on, on a thread that Python has made.

        For the first 4 clients of a process that have something to tell it is one thread each, and always
        the same until loop_stop(); those after them share threads.
        """
        if self._looping == "thread":
            return MQTTErrorCode.MQTT_ERR_INVAL
        _dispatch.prepare()
        self._looping = "thread"
        self._loop_begins()
        self._core.dispatch(self)
        if self._pending_start:
            self._start()
        return MQTTErrorCode.MQTT_ERR_SUCCESS

    def loop_stop(self, force: bool = False) -> MQTTErrorCode:
        """Ends what loop_start() began. The connection stays, but nobody keeps it alive any more:

        After one and a half keep alives the server takes the client for dead and publishes its will, as with
        paho. A loop resumes, and connects again where that has happened. Waits for a callback that is
        running, and up to a second for unacknowledged messages.
        """
        if self._looping != "thread":
            return MQTTErrorCode.MQTT_ERR_INVAL
        if self._in_callback == get_ident():
            if not self._ending:  # else on_disconnect is still to come, and ends the loop
                self._looping, self._unattended = None, True
                self._core.dispatch_stop()
                self._rest()
                if self._batch is not None:
                    self._batch.put_back()
            return MQTTErrorCode.MQTT_ERR_SUCCESS
        self._unattended = not self._ending
        if self._ending:
            deadline = time.monotonic() + _PATIENCE
            while self._looping is not None and time.monotonic() < deadline:
                time.sleep(0.001)
        elif self._core.state() == CONNECTED:
            self._core.flush(_PATIENCE)
        self._looping = None
        self._settle()
        self._take_over()
        self._run_once()
        self._rest()
        return MQTTErrorCode.MQTT_ERR_SUCCESS

    def _rest(self) -> None:
        """Nobody looks any more: a client that is on its way back stays where it is."""
        self._settle()
        state = self._core.state()
        lost = self._loss != MQTTErrorCode.MQTT_ERR_SUCCESS
        if self._unattended and (state == WAITING or (state == CONNECTING and lost)):
            self._leave_quietly()
            self._lost_unattended = True

    def loop_forever(
        self, timeout: float = 1.0, retry_first_connection: bool = False, max_packets: int = 1
    ) -> MQTTErrorCode:
        """Runs callbacks on this thread until disconnect(), through all outages.

        After connect_async() the first connection is made here; unless retry_first_connection is true, its
        failure is raised. KeyboardInterrupt ends the loop at once.
        """
        if not self._host:
            raise ValueError("Invalid host.")
        self._take_over()
        self._looping = "forever"
        self._loop_begins()
        try:
            if self._pending_start:
                self._raise_first = not retry_first_connection
                self._start()
            wait = partial(self._waiter(), _SLICE)
            while True:
                if not self._run_once() and ((self._left and self._over()) or (not wait() and self._over())):
                    return self._loss
                if self._first_error is not None and self._raise_first:
                    raise self._failed_to_connect()
        finally:
            self._raise_first = False
            self._looping = None

    @property
    def _thread(self) -> _LoopThread | None:
        return _LoopThread(self) if self._looping == "thread" else None

    def _aim(
        self,
        host: str,
        port: int,
        keepalive: int,
        bind_address: str,
        bind_port: int,
        clean_start: bool | int,
        properties: Properties | None,
    ) -> None:
        if not host:
            raise ValueError("Invalid host.")
        if port <= 0 or port > 65_535:
            raise ValueError("Invalid port number.")
        if keepalive < 0:
            raise ValueError("Keepalive must be >=0.")
        if bind_port < 0:
            raise ValueError("Invalid bind port number.")
        if not self._mqtt5:
            if clean_start != MQTT_CLEAN_START_FIRST_ONLY:
                raise ValueError("Clean start only applies to MQTT V5")
            if properties:
                raise ValueError("Properties only apply to MQTT V5")
        self._host, self._port, self._keepalive = host, port, keepalive
        self._bind_address, self._bind_port, self._service = bind_address, bind_port, False
        self._clean_start, self._connect_properties = clean_start, properties
        self._been_connected = False

    def _apply(self) -> None:
        """Tells the core what paho's arguments mean to it."""
        core = self._core
        self._forget_loop()
        self._beats = True
        self._alone = self._wants_alone()
        options = {
            "reconnect": str(self._alone).lower(),
            "heartbeat": "true",
            "keepalive": str(self._keepalive),
            "connect_timeout": str(int(self._connect_timeout * 1_000)),
            "clean_start": str(self._clean()).lower(),
        }
        if self._client_id:
            options["client_id"] = self._client_id.decode("utf-8")
        if self._mqtt5:
            # As in paho, a session ends with its connection unless the properties say otherwise.
            options["session_expiry"] = "0"
            properties = self._connect_properties
            core.set_connect_properties([] if properties is None else properties._pairs())
        core.set_options({**options, **(self._overrides or {})})
        self._lay_road()

    def _connect(self) -> MQTTErrorCode:
        self._close_socket()
        self._leave_quietly()
        self._core_refusal = None
        self._apply()
        opened = self._opened
        self._call("on_pre_connect")
        self._log_connect()
        if self._opened == opened:  # else one of these callbacks has connected itself
            while not self._attempt():
                pass
            self._open_socket()
        return MQTTErrorCode.MQTT_ERR_SUCCESS

    def _attempt(self) -> bool:
        """Starts and waits for the transport; false when it is worth another attempt, in another way."""
        self._pending_start = self._ending = self._greeted = False
        self._loss, self._road_error = MQTTErrorCode.MQTT_ERR_SUCCESS, None
        self._first_error, self._connecting, self._announced = None, True, 1
        try:
            if self._core.start_and_wait(self._connect_timeout + _PATIENCE):
                return True
            if self._looping is None or self._in_callback == get_ident():
                self._run_until(lambda: self._first_error is not None, _PATIENCE)
            else:
                deadline = time.monotonic() + _PATIENCE
                while self._first_error is None and time.monotonic() < deadline:
                    time.sleep(0.001)
            if self._first_error is not None and self._let_python_encrypt(self._first_error):
                self._leave_quietly()
                return False
            raise self._failed_to_connect()
        except BaseException:
            self._leave_quietly()
            raise
        finally:
            self._connecting = False

    def _start(self) -> None:
        """Connects for connect_async(), without waiting."""
        self._core_refusal = None
        self._apply()
        self._pending_start = self._ending = False
        self._loss, self._first_error, self._road_error = MQTTErrorCode.MQTT_ERR_SUCCESS, None, None
        self._log_connect()
        self._core.start()

    def _leave_quietly(self) -> None:
        """Ends the connection, or the attempts to make one, without a callback.

        Also where it has ended already and no callback has said so yet.
        """
        self._muted = 1
        if self._core.state() not in (STOPPED, CLOSED):
            self._core.stop()

    def _failed_to_connect(self) -> Exception:
        """The exception that paho would raise for the failure of the first attempt."""
        error, self._first_error = self._first_error, None
        self._leave_quietly()
        if error is None:
            return socket.timeout("timed out")
        _, name, _, _, text = error
        if self._road_error is not None or name in (
            "CertificateRefused",
            "HandshakeFailed",
            "ProxyRefused",
            "InvalidOption",
            "BadCredentials",
        ):
            return self._refused_on_the_way(name, text)
        if name == "ResolveFailed":
            return socket.gaierror(socket.EAI_NONAME, f"Name or service not known: {self._host}")
        if name == "ConnectTimeout":
            return socket.timeout(text)
        system = of_the_system(text)
        if system is not None:
            return system
        if "refused" in text:
            return ConnectionRefusedError(errno.ECONNREFUSED, os.strerror(errno.ECONNREFUSED))
        return OSError(errno.EHOSTUNREACH, text)

    def _refused_on_the_way(self, name: str, text: str) -> Exception:
        """Something between TCP and MQTT did not want."""
        cause, self._road_error = self._road_error, None
        if name == "CertificateRefused":
            from . import _tls

            # Where the core has looked at the certificate too, its words name it.
            before = self._core_refusal
            return _tls.refused(before[1] if before is not None and before[0] == name else text, cause)
        if cause is not None:
            return cause
        if name == "InvalidOption":
            return ValueError(text)
        if "WebSocket: " in text:
            return websocket_error(text)
        if "TLS: " in text:
            import ssl

            return of_the_system(text) or ssl.SSLError(1, text)
        # Whoever catches PySocks' exceptions has imported it.
        socks = sys.modules.get("socks")
        made: Exception = OSError(text) if socks is None else socks.ProxyError(text)
        return made

    def _over(self) -> bool:
        """True when a loop has nothing to wait for any more."""
        state = self._core.state()
        return state == CLOSED or (state == STOPPED and not self._pending_start and not self._connecting)

    def _take_over(self) -> None:
        """From now on this thread gets the events."""
        self._core.dispatch_stop()
        while self._core.busy() and self._in_callback != get_ident():
            time.sleep(0.001)

    def _waiter(self) -> Callable[[float], Any]:
        """A function that waits so many seconds for events, and may have run the callbacks already."""
        if threading.current_thread() is not threading.main_thread():
            return self._run_once
        # Signals arrive here. A wait for a descriptor ends with them, one inside the native module goes on.
        poll = select.poll()
        poll.register(self._core.event_fd(), select.POLLIN)
        return lambda timeout: poll.poll(timeout * 1_000)

    def _run_once(self, timeout: float = 0.0) -> bool:
        """Runs the callbacks for what has happened; false when that was nothing.

        That an attempt begins is no news to wait for: programs call loop() once for the CONNACK.
        """
        if self._batch is not None and self._looping != "thread":
            if self._in_callback != get_ident():
                # Another thread is inside the callbacks, which keep their order and hold no lock to wait for.
                time.sleep(min(timeout, 0.001))
                return False
            # A callback drives the loop: what came before the new events has its turn before them.
            self._batch.put_back()
        deadline = time.monotonic() + timeout
        events, self._begins, self._heard = self._core.pull(timeout), False, False
        if events is None:
            return False
        self._drain(events)
        if self._begins and not self._heard and timeout > 0 and (left := deadline - time.monotonic()) > 0:
            self._run_once(left)
        return True

    def _run_until(self, done: Any, timeout: float) -> None:
        deadline = time.monotonic() + timeout
        while not done() and time.monotonic() < deadline:
            self._run_once(0.01)

    def _farewell(self, timeout: float) -> None:
        """The process ends: what was accepted may leave."""
        if self._core.state() == CONNECTED:
            self._core.flush(timeout)
        if self._ending:
            self._core.wait_state(STOPPED, timeout)
        self._core.abandon()

    def _log_connect(self) -> None:
        if not self._logging:
            return
        will, username = self._will, self._username is not None
        flags = (will is not None and will[3], 0 if will is None else will[2], will is not None)
        given = self._connect_properties
        self._log(
            LogLevel.MQTT_LOG_DEBUG,
            "Sending CONNECT (u%d, p%d, wr%d, wq%d, wf%d, c%d, k%d) client_id=%s%s",
            *(username, username and self._password is not None, *flags),
            *(self._clean(), self._keepalive, self._client_id),
            f" properties={given and given._shown()}" if self._mqtt5 else "",
        )

    _will: tuple[Any, ...] | None = None
    _username: bytes | None = None
    _password: bytes | None = None

    def _log_disconnect(self, reasoncode: ReasonCode | None, properties: Properties | None) -> None:
        if self._mqtt5:
            text = "Sending DISCONNECT reasonCode=%s properties=%s"
            self._log(LogLevel.MQTT_LOG_DEBUG, text, reasoncode, properties)
        else:
            self._log(LogLevel.MQTT_LOG_DEBUG, "Sending DISCONNECT")
