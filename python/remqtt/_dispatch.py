"""The threads that run callbacks, and the end of the process.

The native module asks for a thread when events wait and nobody is free to run their callbacks. The first
clients that loop in the background have a thread each; those after them share, and such a thread ends when it
had nothing to do for a while.
"""

from __future__ import annotations

import atexit
import os
import threading
import time
import weakref
from typing import TYPE_CHECKING

from . import _native, _roads
from ._events import show_exception

if TYPE_CHECKING:
    from .client import Client

#: How long the end of the process waits, for all clients together, so that what was accepted can leave.
_FAREWELL = 1.0

_clients: weakref.WeakSet[Client] = weakref.WeakSet()
_exiting = False


_spawner: int | None = None


def prepare() -> None:
    """Makes sure that the native module gets its threads in this process."""
    global _spawner
    if _spawner != os.getpid():
        _spawner = os.getpid()
        threading.Thread(target=_spawn, name="remqtt-spawner", daemon=True).start()


def _spawn() -> None:
    for job in _native.Spawns():
        if isinstance(job, _native.Worker):
            thread = threading.Thread(target=_work, args=(job,), name="remqtt-callbacks", daemon=True)
        else:
            thread = threading.Thread(target=_roads.answer, args=(job,), name="remqtt-road", daemon=True)
        try:
            thread.start()
        except RuntimeError:
            # The interpreter is ending, or there are too many threads. The core asks again.
            if _exiting:
                return
            time.sleep(0.1)
        del thread, job


def _work(worker: _native.Worker) -> None:
    for events in worker:
        client = events.target
        try:
            if client is not None:
                client._drain(events)
        except SystemExit:
            # In a thread, that ends nothing but the callback.
            pass
        except BaseException as error:
            show_exception(error)
        # Neither may be kept alive while this thread waits for the next turn.
        del client, events


def remember(client: Client) -> None:
    """From now on the end of the process waits a moment for what the client has accepted."""
    _clients.add(client)


def exiting() -> bool:
    """True once the interpreter is ending."""
    return _exiting


def _farewell() -> None:
    """The interpreter ends: let out what was accepted, then leave everything to the operating system.

    No DISCONNECT for a client that did not ask for one, so that its will is published, as with paho.
    """
    global _exiting
    _exiting = True
    deadline = time.monotonic() + _FAREWELL
    for client in list(_clients):
        client._farewell(max(0.0, deadline - time.monotonic()))
    _roads.drain(deadline)


atexit.register(_farewell)
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_native.after_fork_in_child)
