"""The public broker that paho's examples name is here the one of the run.

Imported by every Python program with this folder on PYTHONPATH: the examples themselves stay unchanged.
"""

from __future__ import annotations

import os
from typing import Any

from remqtt import _connection

_PUBLIC = "mqtt.eclipseprojects.io"
_really_aim = _connection.Connection._aim


def _aim(self: Any, host: str, port: int, *rest: Any) -> None:
    if host == _PUBLIC:
        which = "EXAMPLES_WEBSOCKETS" if self._transport == "websockets" else "EXAMPLES_PORT"
        host, port = "127.0.0.1", int(os.environ[which])
    _really_aim(self, host, port, *rest)


_connection.Connection._aim = _aim  # type: ignore[method-assign]
