"""The processes of a run: what they print is heard by one thread, and all of them end with the runner.

A child dies with the thread that started it (`setpriv --pdeathsig`), so it ends also when the runner is
killed.
"""

from __future__ import annotations

import os
import selectors
import subprocess
import threading
import time
from collections.abc import Callable, Sequence

TIED = ["setpriv", "--pdeathsig", "KILL", "--"]
_PIPES = selectors.DefaultSelector()
_GUARD = threading.Lock()


def now() -> int:
    return time.monotonic_ns()


class Child:
    """A process that prints lines. Subclasses say what a line means, in `hear`; it runs with `changed`
    held."""

    def __init__(self, command: Sequence[str], *, namespace: str = "") -> None:
        inside = ["ip", "netns", "exec", namespace] if namespace else []
        self.changed = threading.Condition()
        self.ended = False
        self._rest = b""
        self.process = subprocess.Popen(
            [*TIED, *inside, *command],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=None if os.environ.get("RECOVERY_DEBUG") else subprocess.DEVNULL,
            start_new_session=True,  # Ctrl-C is the runner's to handle
        )
        assert self.process.stdout is not None
        _listen(self.process.stdout.fileno(), self)

    def hear(self, line: str) -> None:
        raise NotImplementedError

    def wait(self, what: Callable[[], bool], seconds: float) -> bool:
        """Waits until `what` holds, which is asked after each line; False if it does not within `seconds`."""
        with self.changed:
            return self.changed.wait_for(lambda: self.ended or what(), seconds) and what()

    def send(self, line: str) -> None:
        assert self.process.stdin is not None
        self.process.stdin.write(line.encode() + b"\n")
        self.process.stdin.flush()

    def end(self) -> None:
        self.process.kill()
        self.process.wait()

    def __enter__(self):  # type: ignore[no-untyped-def] # Self is newer than the oldest Python
        return self

    def __exit__(self, *_: object) -> None:
        self.end()

    def _take(self, data: bytes) -> None:
        with self.changed:
            if not data:
                self.ended = True
            lines = (self._rest + data).split(b"\n")
            self._rest = lines.pop()
            for line in lines:
                self.hear(line.decode())
            self.changed.notify_all()


def _listen(pipe: int, child: Child) -> None:
    with _GUARD:
        _PIPES.register(pipe, selectors.EVENT_READ, child)


def _ears() -> None:
    while True:
        with _GUARD:
            empty = not _PIPES.get_map()
        if empty:
            time.sleep(0.002)
            continue
        for key, _ in _PIPES.select(0.05):
            data = os.read(key.fd, 1 << 16)
            if not data:
                with _GUARD:
                    _PIPES.unregister(key.fd)
            key.data._take(data)


threading.Thread(target=_ears, name="ears", daemon=True).start()
