"""Names of paho's that begin with an underscore and that programs use all the same.

Readable and writable where a program has a use for it; everything else behind these names is the core's, and
is not imitated. `_client_id`, `_transport`, `_clean_session`, `_ssl_context`, `_host`, `_port`, `_keepalive`,
`_username`, `_userdata` and `_logger` are ordinary attributes; `_sock` and `_thread` are elsewhere.
"""

from __future__ import annotations

import enum
from collections.abc import Callable
from typing import Any

from ._connection import Connection
from ._events import CLOSED, CONNECTED, STOPPED
from .enums import MQTTProtocolVersion


class _ConnectionState(enum.IntEnum):
    """With the names of paho-mqtt 2.x and, where 1.x had a name for it (mqtt_cs_...), its number."""

    MQTT_CS_NEW = 0
    MQTT_CS_CONNECTED = 1
    MQTT_CS_DISCONNECTING = 2
    MQTT_CS_CONNECT_ASYNC = 3
    MQTT_CS_CONNECTING = 4
    MQTT_CS_CONNECTION_LOST = 5
    MQTT_CS_DISCONNECTED = 6


class _NoLock:
    """Guards nothing: no lock of ours is ever held while a program's code runs."""

    def acquire(self, blocking: bool = True, timeout: float = -1) -> bool:
        return True

    def release(self) -> None: ...

    def locked(self) -> bool:
        return False

    def __enter__(self) -> bool:
        return True

    def __exit__(self, *error: Any) -> None: ...


class _View:
    """Looks like a container of paho's. len() is what the core holds now."""

    def __init__(self, count: Callable[[], int], clear: Callable[[], Any] | None = None) -> None:
        self._count, self._clear = count, clear

    def __len__(self) -> int:
        return self._count()

    def clear(self) -> None:
        """Gives up what waits, where the client can."""
        if self._clear is not None:
            self._clear()

    def __repr__(self) -> str:
        return f"<{len(self)} in the core>"


class Private(Connection):
    """The names; `Client` inherits them."""

    _callback_mutex: Any = _NoLock()
    _in_callback_mutex: Any = _callback_mutex
    _msgtime_mutex: Any = _callback_mutex
    _out_message_mutex: Any = _callback_mutex
    _in_message_mutex: Any = _callback_mutex
    _reconnect_delay_mutex: Any = _callback_mutex
    _mid_generate_mutex: Any = _callback_mutex

    _version = MQTTProtocolVersion.MQTTv311

    @property
    def _protocol(self) -> MQTTProtocolVersion:
        return self._version

    @_protocol.setter
    def _protocol(self, protocol: int) -> None:
        version = MQTTProtocolVersion(protocol)
        # The constructor makes the core with it.
        if "_core" in self.__dict__:
            self._core.set_options(self._spoken(version))
        self._version, self._mqtt5 = version, version == MQTTProtocolVersion.MQTTv5

    @staticmethod
    def _spoken(version: MQTTProtocolVersion) -> dict[str, str]:
        """A protocol version as options of the core: MQTT 3.1 is 3.1.1 by another name."""
        return {
            "protocol_version": "5" if version == MQTTProtocolVersion.MQTTv5 else "4",
            "mqtt31": str(version == MQTTProtocolVersion.MQTTv31).lower(),
        }

    @property
    def _state(self) -> _ConnectionState:
        core = self._core.state()
        if core == CONNECTED:
            leaving, there = _ConnectionState.MQTT_CS_DISCONNECTING, _ConnectionState.MQTT_CS_CONNECTED
            return leaving if self._ending else there
        if core in (STOPPED, CLOSED):
            if self._pending_start:
                return _ConnectionState.MQTT_CS_CONNECT_ASYNC
            if self._program_decides:
                return _ConnectionState.MQTT_CS_CONNECTION_LOST
            left, new = _ConnectionState.MQTT_CS_DISCONNECTED, _ConnectionState.MQTT_CS_NEW
            return left if self._opened else new
        return _ConnectionState.MQTT_CS_CONNECTING

    @property
    def _out_packet(self) -> _View:
        return _View(lambda: self._core.stats()["backlog_messages"])

    @property
    def _out_messages(self) -> _View:
        def count() -> int:
            stats = self._core.stats()
            return stats["backlog_messages"] + stats["inflight"]

        return _View(count, getattr(self, "drop_out_messages", None))

    @property
    def _in_messages(self) -> _View:
        return _View(lambda: self._core.stats()["unacknowledged"])

    def _sock_close(self) -> None:
        """Breaks the connection as a failing network does: the server gets no DISCONNECT."""
        sock = self._sock
        if sock is not None:
            sock.close()
