"""TLS by Python's own ssl: a relay between a TLS connection and the core.

The core connects, hands the connection over, and gets one end of a socket pair for it. A thread for each
connection passes the bytes on, and with them what happens to the connection: an end of either direction, a
reset, a peer that no longer takes anything. It holds back at most a chunk each way, so that backpressure
works as without it. What is lost with a connection is what would have been lost in the socket's buffers.
"""

from __future__ import annotations

import contextlib
import select
import socket
import ssl
import threading
import time
import weakref

_CHUNK = 65_536
#: Chunks in one direction before the other one has its turn.
_TURN = 16
#: Seconds for what is left when the core has hung up: as long as the core itself gives a connection for that.
_LINGER = 1.0

_relays: weakref.WeakSet[Relay] = weakref.WeakSet()


def secured(context: ssl.SSLContext, connection: socket.socket, host: str, deadline: float) -> ssl.SSLSocket:
    """Makes the handshake. What it raises is what paho's connect() raises."""
    connection.settimeout(max(0.001, deadline - time.monotonic()))
    # The handshake is left to wrap_socket(): contexts that verify in their own way do so there.
    secure = context.wrap_socket(connection, server_hostname=host)
    secure.setblocking(False)
    return secure


def drain(deadline: float) -> None:
    """Waits until the relays have passed on what the core has written."""
    while any(relay.busy() for relay in list(_relays)) and time.monotonic() < deadline:
        time.sleep(0.001)


class Relay:
    """One connection."""

    def __init__(self, secure: ssl.SSLSocket, plain: socket.socket) -> None:
        plain.setblocking(False)
        self._secure, self._plain = secure, plain
        #: What was read on one side and is not yet written on the other.
        self._outgoing = self._incoming = memoryview(b"")
        #: Nothing more comes from the core, or from the network.
        self._plain_ended = self._secure_ended = False
        #: The network takes nothing more.
        self._broken = False
        #: What the TLS connection waits for, whichever direction wants it.
        self._wants = 0
        self._deadline: float | None = None
        #: What ended the connection, if it did not end in order.
        self.error: OSError | None = None
        self._passing = threading.Lock()
        _relays.add(self)

    def busy(self) -> bool:
        """True while something that the core has written is not on its way."""
        if self._passing.locked() or self._outgoing:
            return True
        if self._plain_ended:
            return False
        poll = select.poll()
        with contextlib.suppress(OSError, ValueError):  # closed meanwhile
            poll.register(self._plain, select.POLLIN)
            return bool(poll.poll(0))
        return False

    def run(self) -> None:
        """Passes bytes on until both directions have ended."""
        try:
            while not self._over():
                self._wants = 0
                with self._passing:
                    more = self._outwards()
                    more = self._inwards() or more
                    held = bool(self._outgoing)
                if not more and not self._over():
                    self._wait(held)
        except OSError as error:
            self.error = self.error or error
        finally:
            _relays.discard(self)
            self._plain.close()
            self._secure.close()

    def _over(self) -> bool:
        if self._deadline is not None and time.monotonic() > self._deadline:
            return True
        return self._plain_ended and self._secure_ended and not self._outgoing

    def _outwards(self) -> bool:
        """From the core to the network; true when there may be more at once."""
        for _ in range(_TURN):
            if not self._outgoing:
                if self._plain_ended:
                    return False
                try:
                    data = self._plain.recv(_CHUNK)
                except BlockingIOError:
                    return False
                if not data:
                    self._hang_up()
                    return True
                self._outgoing = memoryview(b"" if self._broken else data)
            while self._outgoing:
                try:
                    self._outgoing = self._outgoing[self._secure.send(self._outgoing) :]
                except ssl.SSLWantWriteError:
                    self._wants |= select.POLLOUT
                    return False
                except ssl.SSLWantReadError:
                    self._wants |= select.POLLIN
                    return False
                except OSError as error:
                    # What the server said last may still lie in the receive buffer.
                    self.error, self._broken, self._outgoing = error, True, memoryview(b"")
        return True

    def _inwards(self) -> bool:
        """From the network to the core; true when there may be more at once."""
        for _ in range(_TURN):
            if not self._incoming:
                if self._secure_ended:
                    return False
                try:
                    self._incoming = memoryview(self._secure.recv(_CHUNK))
                except ssl.SSLWantReadError:
                    self._wants |= select.POLLIN
                    return False
                except ssl.SSLWantWriteError:
                    self._wants |= select.POLLOUT
                    return False
                except BlockingIOError:
                    self._wants |= select.POLLIN  # after its end, a TLS socket is a plain one
                    return False
                except OSError as error:
                    self.error = error
                if not self._incoming:
                    self._secure_ended = self._broken = True
                    with contextlib.suppress(OSError):
                        self._plain.shutdown(socket.SHUT_WR)
                    return True
            if self._plain_ended:
                self._incoming = memoryview(b"")  # the core has hung up and only waits for the end
                continue
            try:
                self._incoming = self._incoming[self._plain.send(self._incoming) :]
            except BlockingIOError:
                return False
        return True

    def _hang_up(self) -> None:
        """The core has written its last byte, and that has left: the network hears so."""
        self._plain_ended = True
        self._deadline = time.monotonic() + _LINGER
        with contextlib.suppress(OSError, ValueError):
            self._secure.unwrap()
        with contextlib.suppress(OSError):
            self._secure.shutdown(socket.SHUT_WR)

    def _wait(self, holds_outgoing: bool) -> None:
        poll = select.poll()
        if self._wants:
            poll.register(self._secure, self._wants)
        plain = 0 if holds_outgoing else select.POLLIN
        plain |= select.POLLOUT if self._incoming else 0
        # A core that is gone ends the pair in both directions; poll() says so unasked, again and again.
        if self._deadline is None:
            poll.register(self._plain, plain)
        left = None if self._deadline is None else max(0.0, self._deadline - time.monotonic()) * 1_000
        for descriptor, happened in poll.poll(left):
            if descriptor == self._plain.fileno() and happened & (select.POLLHUP | select.POLLERR):
                self._core_is_gone()

    def _core_is_gone(self) -> None:
        """Nobody reads what comes; what the core has written before still leaves, for a moment."""
        self._secure_ended, self._incoming = True, memoryview(b"")
        if self._deadline is None:
            self._deadline = time.monotonic() + _LINGER
