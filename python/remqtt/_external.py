"""The external event loop: the program waits for a descriptor, and calls us when it is readable.

The connection itself belongs to the core, which reads, writes and keeps alive on its own thread. What the
program gets from socket() and on_socket_open is a notification socket: readable while callbacks are due.
loop_read() runs them, all of them, on the caller's thread; nothing is ever to be written, so want_write() is
False and the hooks for writing are not called.

Who drives
    With loop_start() or loop_forever() the client does, and comes back after every loss. The program drives
    when neither runs and on_socket_open is set or one of loop(), loop_read(), loop_write(), loop_misc() has
    been called.

What happens on a loss when the program drives
    loop_read() calls on_socket_close, then on_disconnect, and returns the code of the loss. Then:

    * The program calls reconnect() or connect(), inside on_disconnect or later, from any thread: that
      connects, and raises OSError when nobody answers. Until it is called the client stays away.
    * It has no on_disconnect, so it takes no notice of losses: the client comes back by itself.
      on_socket_open follows in the same loop_read(), with a new descriptor, and the core tries until there
      is a server.
    * It has an on_disconnect, did not call reconnect(), and its loop goes on turning: a loop function that
      has said that there is no connection and is called again brings the client back, and so does socket()
      where no hook is set. Programs for paho that end with the connection look at the code, or do not call
      again.

Why not always come back at once
    Wrapper libraries end an object on a loss, and their programs make another client for the same session.
    paho's old client is dead by then. Came ours back behind the program's back, it would take the session
    over, and take and acknowledge the messages that the new one is waiting for: lost to the program. So
    whoever handles losses decides, and until then the core keeps what it has accepted. Whoever does not
    handle them would stay deaf for ever; for them we do what the client is for.

In both cases the session, and what was accepted, are the core's: nothing is lost or sent twice because the
program or the client made the next connection.
"""

from __future__ import annotations

import contextlib
import errno
import os
import select
import socket
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

from . import _native
from ._events import CLOSED, STOPPED
from ._roads import Roads
from .enums import MQTTErrorCode

MQTT_CLEAN_START_FIRST_ONLY = 3

#: Guards the moment at which a client's notification socket opens or closes; nothing else happens under it.
_turning = threading.Lock()


class NotificationSocket:
    """Stands for the connection in an external event loop: readable while callbacks are due.

    Options and addresses are those of the real socket. Reading and writing are the core's.
    """

    def __init__(self, core: _native.Core) -> None:
        self._core = core
        self._closed = False
        # Another one for every connection, so that a selector forgets it when it closes. Made when first
        # asked for: clients in the background need none.
        self._epoll: select.epoll | None = None
        #: Options that were set while there was no connection yet.
        self._waiting: list[tuple[Any, ...]] = []

    def fileno(self) -> int:
        """The descriptor to wait for, or -1 after the end of the connection."""
        if self._closed:
            return -1
        if self._epoll is None:
            epoll = select.epoll()
            epoll.register(self._core.event_fd(), select.EPOLLIN)
            self._epoll = epoll
        return self._epoll.fileno()

    def setsockopt(self, level: int, name: int, *value: Any) -> None:
        """As socket.setsockopt(), for the connection's real socket."""
        with self._real() as real:
            if real is None:
                self._waiting.append((level, name, *value))
            elif level != socket.IPPROTO_TCP or real.family != socket.AF_UNIX:
                real.setsockopt(level, name, *value)

    def getsockopt(self, level: int, name: int, *size: int) -> Any:
        """As socket.getsockopt(), of the connection's real socket."""
        return self._needed("getsockopt", level, name, *size)

    def getpeername(self) -> Any:
        """The address of the server, or of the proxy on the way to it."""
        return self._needed("getpeername")

    def getsockname(self) -> Any:
        """The address of this end."""
        return self._needed("getsockname")

    def shutdown(self, how: int = socket.SHUT_RDWR) -> None:
        """Breaks the connection as a failing network does: no DISCONNECT, and callbacks for a loss."""
        with self._real() as real, contextlib.suppress(OSError):
            if real is not None:
                real.shutdown(how)

    def close(self) -> None:
        """The same; the descriptor stays until the loss has been seen."""
        if not self._closed:
            self.shutdown()

    def _end(self) -> None:
        """The connection is over, and nobody waits for the descriptor any more."""
        self._closed = True
        if self._epoll is not None:
            self._epoll.close()

    def _needed(self, method: str, *arguments: Any) -> Any:
        with self._real() as real:
            if real is None:
                raise OSError(errno.ENOTCONN, os.strerror(errno.ENOTCONN))
            return getattr(real, method)(*arguments)

    def _connected(self) -> None:
        """There is a real socket now."""
        waiting, self._waiting = self._waiting, []
        for option in waiting:
            with contextlib.suppress(OSError):
                self.setsockopt(*option)

    @contextlib.contextmanager
    def _real(self) -> Iterator[socket.socket | None]:
        if self._closed:
            raise OSError(errno.EBADF, os.strerror(errno.EBADF))
        number = self._core.duplicate_socket()
        if number is None:
            yield None
            return
        # A duplicate, so that the core may close its own at any time.
        with socket.socket(fileno=number) as real:
            yield real

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {'closed' if self._closed else 'open'}>"


class External(Roads):
    """The loop functions and the socket hooks; `Client` inherits them."""

    #: The program knows of a connection: its socket is open.
    _open = False
    _notification: NotificationSocket | None = None
    #: A loop function was called, and no loop runs.
    _by_hand = False
    #: The core has been told to come back by itself, and to keep the connection alive.
    _alone = _beats = True
    #: loop_stop() was called: until a loop runs again nobody looks, and the client is as good as dead.
    _unattended = False
    #: A loop runs again, and may yet hear of a connection that ended meanwhile.
    _resumes = False
    #: A connection has ended meanwhile.
    _lost_unattended = False
    #: A connection was lost, and it is the program's turn.
    _program_decides = False
    #: The loop functions that have said so.
    _told: frozenset[str] = frozenset()
    #: What ended a connection during this turn of the loop.
    _ended: MQTTErrorCode | None = None
    #: There was a CONNACK since connect(): a clean start that is for the first only is over.
    _been_connected = False
    _clean_session: bool | None = True
    _clean_start: bool | int = MQTT_CLEAN_START_FIRST_ONLY

    def loop(self, timeout: float = 1.0, max_packets: int = 1) -> MQTTErrorCode:
        """Runs the callbacks for what has happened, waiting up to `timeout` seconds for it."""
        if timeout < 0:
            raise ValueError("Invalid timeout.")
        return self._turn("loop", timeout)

    def loop_read(self, max_packets: int = 1) -> MQTTErrorCode:
        """Runs all callbacks that are due, on this thread; the code of the loss if the connection ended."""
        return self._turn("loop_read", 0.0)

    def loop_write(self, max_packets: int = 1) -> MQTTErrorCode:
        """Nothing to do: the client writes by itself."""
        return self._pulse("loop_write")

    def loop_misc(self) -> MQTTErrorCode:
        """Nothing to do: the client keeps the connection alive. MQTT_ERR_NO_CONN if there is none."""
        return self._pulse("loop_misc")

    def want_write(self) -> bool:
        """False: the client writes by itself."""
        return False

    def socket(self) -> NotificationSocket | None:
        """What an external event loop waits for, or None without a connection.

        It is readable while callbacks are due. Options of the real socket can be set through it.
        """
        if self._program_decides and self._drives() and self.on_socket_open is None:
            self._come_back()
        return self._sock

    @property
    def _sock(self) -> NotificationSocket | None:
        if not self._open:
            return None
        if self._notification is None:
            self._notification = NotificationSocket(self._core)
        return self._notification

    def _drives(self) -> bool:
        """True when the program drives the client."""
        return self._looping is None and (self._by_hand or self.on_socket_open is not None)

    def _turn(self, name: str, timeout: float) -> MQTTErrorCode:
        if self._looping is None and not self._by_hand:
            self._by_hand = True
            self._attend()
        if self._program_decides and not self._asked_again(name):
            return MQTTErrorCode.MQTT_ERR_NO_CONN
        self._ended = None
        if timeout > 0 and self._core.state() not in (STOPPED, CLOSED):
            ran = self._wait_and_run(timeout)
        else:
            ran = self._run_once()
        if self._ended is not None:
            self._told = frozenset((name,))
            return self._ended
        return MQTTErrorCode.MQTT_ERR_SUCCESS if self._open or ran else MQTTErrorCode.MQTT_ERR_NO_CONN

    def _wait_and_run(self, timeout: float) -> bool:
        if threading.current_thread() is not threading.main_thread():
            return self._run_once(timeout)
        wait, deadline = self._waiter(), time.monotonic() + timeout
        while True:
            wait(timeout)
            ran, timeout = self._run_once(), deadline - time.monotonic()
            if not self._begins or self._heard or timeout <= 0:
                return ran

    def _pulse(self, name: str) -> MQTTErrorCode:
        if self._program_decides:
            self._asked_again(name)
        there = self._open or (self._looping is not None and self._core.state() not in (STOPPED, CLOSED))
        return MQTTErrorCode.MQTT_ERR_SUCCESS if there else MQTTErrorCode.MQTT_ERR_NO_CONN

    def _asked_again(self, name: str) -> bool:
        """Comes back when this loop function was told already that there is no connection."""
        if name in self._told and self._reconnect_on_failure:
            self._come_back()
            return True
        self._told |= {name}
        return False

    def _come_back(self, on_the_way: bool = False) -> None:
        """Makes the next connection without having been asked for it by name."""
        self._program_decides, self._told, self._ending = False, frozenset(), False
        self._settle(alone=True)
        self._announced = 1
        self._call("on_pre_connect")
        if not on_the_way:
            self._core.start()
        self._open_socket()

    def _settle(self, alone: bool | None = None) -> None:
        """Tells the core whether it keeps the connection alive, and comes back by itself after a loss."""
        alone, beats = self._wants_alone() if alone is None else alone, not self._unattended
        if (alone, beats) != (self._alone, self._beats):
            self._alone, self._beats = alone, beats
            options = {
                "reconnect": str(alone).lower(),
                "heartbeat": str(beats).lower(),
                "clean_start": str(self._clean()).lower(),
            }
            self._core.set_options({**options, **(self._overrides or {})})

    def _wants_alone(self) -> bool:
        attended = self._reconnect_on_failure and not self._unattended
        return attended and (self.on_disconnect is None or not self._drives())

    def _attend(self) -> None:
        """Somebody looks again. What ended meanwhile is made anew, now or when the event of its end comes."""
        lost = self._lost_unattended
        self._resumes = self._resumes or self._unattended
        self._unattended = self._lost_unattended = False
        self._settle()
        if lost:
            self._resumes = False
            self._core.start()

    def _forget_loop(self) -> None:
        """The program says itself what becomes of the connection."""
        self._unattended = self._resumes = self._lost_unattended = False

    def _ended_unattended(self) -> bool:
        """A connection is lost for good: whether that is only because nobody looked."""
        return self._reconnect_on_failure and (self._unattended or self._resumes)

    def _clean(self) -> bool:
        """Whether the next CONNECT asks for a new session."""
        if not self._mqtt5:
            return bool(self._clean_session)
        if self._clean_start == MQTT_CLEAN_START_FIRST_ONLY:
            return not self._been_connected
        return bool(self._clean_start)

    def _loop_begins(self) -> None:
        """From now on the client drives itself."""
        self._by_hand = False
        self._attend()
        if self._program_decides:
            self._program_decides, self._ending = False, False
            self._core.start()

    def _open_socket(self) -> None:
        """There is a connection that the program should know of; once for each."""
        with _turning:
            if self._open:
                return
            self._open, self._program_decides = True, False
            self._opened += 1
        if self.on_socket_open is not None:
            self._call("on_socket_open", self._sock)

    def _close_socket(self, number: int | None = None) -> None:
        """The connection is over (only if it is still this one); once for each."""
        with _turning:
            if not self._open or number not in (None, self._opened):
                return
            sock = self._sock
            # A selector may be told of the descriptor now, and until the hook has returned.
            self._open, self._notification = False, None
        if self.on_socket_close is not None:
            self._call("on_socket_close", sock)
        if sock is not None:
            sock._end()

    def _transport_up(self, accepted: bool) -> None:
        self._been_connected = True
        self._open_socket()
        notification = self._notification
        if notification is not None:
            notification._connected()
        if accepted:
            self._settle()

    def _after_loss(self, loss: MQTTErrorCode, accepted: bool, last: bool) -> None:
        unattended = last and self._ended_unattended() and not self._ending
        if unattended:
            self._resumes, self._lost_unattended, last = False, self._unattended, False
        if not self._drives():
            if unattended and not self._unattended and not self._open:
                self._core.start()
            return
        # The core has tried by itself and says that it is of no use: only reconnect() tries again.
        hopeless = self._alone and last
        # A client on its way back stays on it, with the core's delays, until a server has accepted it.
        stays = self._wants_alone() if accepted else self._alone
        if self._open:
            pass  # on_disconnect has connected again
        elif stays and not hopeless:
            self._come_back(on_the_way=self._alone and not unattended)
        else:
            self._program_decides = not hopeless
            self._leave_quietly()
        # What follows belongs to the next connection: another turn of the loop, and another descriptor.
        self._ended, self._halt = loss, True

    def _run_once(self, timeout: float = 0.0) -> bool:
        """See `Connection`, also for the next two."""
        raise NotImplementedError

    def _waiter(self) -> Callable[[float], Any]:
        raise NotImplementedError

    def _leave_quietly(self) -> None:
        raise NotImplementedError
