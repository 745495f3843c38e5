"""The settings: will, credentials, limits, logging."""

from __future__ import annotations

import logging
import sys
from typing import TYPE_CHECKING, Any, Callable

from ._private import Private
from .properties import Properties

if TYPE_CHECKING:
    from typing_extensions import Self

_UNLIMITED = str(1 << 40)


def behind_paho() -> bool:
    """Whether programs find this package under the name paho.mqtt."""
    return sys.modules.get("paho.mqtt.client") is sys.modules.get("remqtt.client")


def _settable(name: str, doc: str, check: Callable[[Any], Any] = lambda value: value) -> Any:
    """A setting of the connection: an attribute that cannot be changed while there is one."""

    def set_value(self: Any, value: Any) -> None:
        self._refuse_while_connected(name)
        setattr(self, "_" + name, check(value))

    return property(lambda self: getattr(self, "_" + name), set_value, None, doc)


def _host(value: Any) -> Any:
    if not value:
        raise ValueError("host must not be empty")
    return value


def _port(value: Any) -> Any:
    if value < 1:
        raise ValueError("port number must be at least 1")
    return value


def _seconds(value: Any) -> Any:
    if value < 0:
        raise ValueError("a time must not be negative")
    return value


class Settings(Private):
    """The settings; `Client` inherits them."""

    def will_set(
        self,
        topic: str,
        payload: str | bytes | bytearray | float | None = None,
        qos: int = 0,
        retain: bool = False,
        properties: Properties | None = None,
    ) -> None:
        """The message that the server publishes when this client vanishes.

        Counts from the next connection on.
        """
        if not topic:
            raise ValueError("Invalid topic.")
        if properties is not None and not isinstance(properties, Properties):
            raise ValueError("The properties argument must be an instance of the Properties class.")
        pairs = None if properties is None else properties._pairs()
        self._core.set_will(topic, payload, qos, retain, pairs)
        self._will = (topic.encode("utf-8"), payload, qos, retain)

    def will_clear(self) -> None:
        """Takes the will away."""
        self._core.clear_will()
        self._will = None

    def username_pw_set(self, username: str | bytes | None, password: str | bytes | None = None) -> None:
        """User name and password; the password may be any bytes. Counts from the next connection on."""
        username = username.decode("utf-8") if isinstance(username, bytes) else username
        self._username = None if username is None else username.encode("utf-8")
        self._password = password.encode("utf-8") if isinstance(password, str) else password
        # MQTT 3.1.1 has no password without a user name; paho leaves it out on both versions.
        self._core.set_credentials(username, None if username is None else self._password)

    def user_data_set(self, userdata: Any) -> None:
        """What every callback gets as its second argument."""
        self._userdata = userdata

    def user_data_get(self) -> Any:
        """What user_data_set() or the constructor was given."""
        return self._userdata

    def reconnect_delay_set(self, min_delay: float = 1, max_delay: float = 120) -> None:
        """Smallest and largest delay between two attempts, in seconds.

        What lies between is the core's to choose by what the failure says; see reconnect_max_delay in
        help(remqtt.options). At once is only the first attempt after a connection that has proved stable.
        """
        low, high = int(min_delay * 1_000), int(max_delay * 1_000)
        options = {"reconnect_min_delay": str(low), "reconnect_max_delay": str(max(low, high))}
        self._core.set_options(options)

    def max_inflight_messages_set(self, inflight: int) -> None:
        """Most QoS 1 and 2 messages in flight; 0 is no limit of ours."""
        if inflight < 0:
            raise ValueError("Invalid inflight.")
        self._core.set_options({"max_inflight": str(min(inflight or 65_535, 65_535))})

    def max_queued_messages_set(self, queue_size: int) -> Self:
        """Most messages that wait for their first sending; 0 is no limit."""
        if not isinstance(queue_size, int):
            raise TypeError("Invalid type of queue size.")
        if queue_size < 0:
            raise ValueError("Invalid queue size.")
        options = {"backlog_messages": str(queue_size or _UNLIMITED)}
        if not queue_size:
            options["backlog_bytes"] = _UNLIMITED
        self._core.set_options(options)
        self._max_queued = queue_size
        return self

    _max_queued = 0

    def enable_logger(self, logger: logging.Logger | None = None) -> None:
        """Log lines go to `logger` too; by default to the one with this module's name."""
        if logger is None:
            name = "paho.mqtt.client" if behind_paho() else "remqtt.client"
            logger = self._logger or logging.getLogger(name)
        self._logger = logger
        self._log_changed()

    def disable_logger(self) -> None:
        """Log lines go to on_log only."""
        self._logger = None
        self._log_changed()

    @property
    def will_topic(self) -> str | None:
        """The topic of the will."""
        return None if self._will is None else self._will[0].decode("utf-8")

    @property
    def will_payload(self) -> Any:
        """The payload of the will."""
        return None if self._will is None else self._will[1]

    @property
    def logger(self) -> logging.Logger | None:
        """The logger, if one is enabled."""
        return self._logger

    @logger.setter
    def logger(self, value: logging.Logger | None) -> None:
        self._logger = value
        self._log_changed()

    host = _settable("host", "The server.", _host)
    port = _settable("port", "The server's port.", _port)
    keepalive = _settable("keepalive", "Keep alive in seconds.", _seconds)
    connect_timeout = _settable("connect_timeout", "Seconds that one attempt may take.", _seconds)

    @property
    def username(self) -> str | None:
        """The user name."""
        return None if self._username is None else self._username.decode("utf-8")

    @username.setter
    def username(self, value: str | None) -> None:
        self._refuse_while_connected("username")
        self.username_pw_set(value, self._password)

    @property
    def password(self) -> str | None:
        """The password."""
        return None if self._password is None else self._password.decode("utf-8")

    @password.setter
    def password(self, value: str | bytes | None) -> None:
        self._refuse_while_connected("password")
        self.username_pw_set(self.username, value)

    @property
    def max_inflight_messages(self) -> int:
        """Most QoS 1 and 2 messages in flight."""
        return int(self._core.option("max_inflight") or 0)

    @max_inflight_messages.setter
    def max_inflight_messages(self, value: int) -> None:
        self._refuse_while_connected("max_inflight_messages")
        self.max_inflight_messages_set(value)

    @property
    def max_queued_messages(self) -> int:
        """Most messages that wait for their first sending; 0 is the default."""
        return self._max_queued

    @max_queued_messages.setter
    def max_queued_messages(self, value: int) -> None:
        self._refuse_while_connected("max_queued_messages")
        self.max_queued_messages_set(value)
