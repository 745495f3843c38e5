"""A program with an event loop of its own, as the tests of the socket hooks drive it."""

from __future__ import annotations

import select
import threading
from collections.abc import Callable
from types import ModuleType
from typing import Any

import remqtt.client as mqtt
from conftest import wait_for


class Program:
    """A client with its hooks, and the loop of its program, one turn at a time."""

    def __init__(self, library: ModuleType = mqtt, client: Any = None, *, hears_losses: bool = True) -> None:
        version = library.CallbackAPIVersion.VERSION2
        self.client: Any = library.Client(version, "hooks") if client is None else client
        self.calls: list[tuple[Any, ...]] = []
        self.sock: Any = None
        self.codes: list[int] = []
        for name in ("on_pre_connect", "on_connect", "on_message", "on_publish"):
            setattr(self.client, name, self._recorder(name))
        if hears_losses:
            self.client.on_disconnect = self._recorder("on_disconnect")
        self.client.on_socket_open = self._open
        self.client.on_socket_close = self._close

    def _recorder(self, name: str) -> Callable[..., None]:
        return lambda client, *rest: self.calls.append((name, client.socket() is not None, self._thread()))

    @staticmethod
    def _thread() -> bool:
        return threading.current_thread() is threading.main_thread()

    def _open(self, client: Any, userdata: Any, sock: Any) -> None:
        assert sock.fileno() >= 0
        self.sock = sock
        self.calls.append(("on_socket_open", client.socket() is sock, self._thread()))

    def _close(self, client: Any, userdata: Any, sock: Any) -> None:
        assert sock is self.sock and sock.fileno() >= 0
        self.calls.append(("on_socket_close", client.socket() is not None, self._thread()))

    def turn(self) -> int:
        """Waits for the socket, as long as there is one, and does what there is to do."""
        sock, client = self.client.socket(), self.client
        if sock is None:
            return int(client.loop_misc())
        if client.want_write():
            client.loop_write()
        readable, _, _ = select.select([sock], [], [], 0.05)
        code = int(client.loop_read()) if readable else 0
        self.codes.append(code)
        return code

    def until(self, name: str) -> list[str]:
        """Turns until this has been called; the names of all calls up to there."""
        wait_for(lambda: (self.turn() and False) or any(call[0] == name for call in self.calls), name)
        return self.taken()

    def taken(self) -> list[str]:
        names, self.calls = [name for name, *_ in self.calls], []
        return names
