"""Every call from every callback: none waits for something that only the callback's own thread could do."""

from __future__ import annotations

import socket
import threading
from collections.abc import Callable
from typing import Any

import pytest
import remqtt.client as mqtt
from conftest import PATIENCE, V2, Broker

CALLBACKS = (
    "on_pre_connect",
    "on_socket_open",
    "on_connect",
    "on_subscribe",
    "on_message",
    "on_publish",
    "on_unsubscribe",
    "on_disconnect",
    "on_socket_close",
    "on_connect_fail",
    "on_log",
)
CALLS: dict[str, Callable[[mqtt.Client, int], Any]] = {
    "connect": lambda client, port: client.connect("127.0.0.1", port),
    "connect_async": lambda client, port: client.connect_async("127.0.0.1", port),
    "reconnect": lambda client, port: client.reconnect(),
    "disconnect": lambda client, port: client.disconnect(),
    "subscribe": lambda client, port: client.subscribe("other", 1),
    "unsubscribe": lambda client, port: client.unsubscribe("other"),
    "publish": lambda client, port: client.publish("other", "x", 2),
    "wait_for_publish": lambda client, port: client.publish("other", "x", 1).wait_for_publish(0.01),
    "is_connected": lambda client, port: client.is_connected(),
    "loop": lambda client, port: client.loop(0.01),
    "loop_read": lambda client, port: client.loop_read(),
    "loop_write": lambda client, port: client.loop_write(),
    "loop_misc": lambda client, port: client.loop_misc(),
    "loop_start": lambda client, port: client.loop_start(),
    "loop_stop": lambda client, port: client.loop_stop(),
    "socket": lambda client, port: client.socket(),
    "sync": lambda client, port: client.sync(0.01),
    "stats": lambda client, port: client.stats(),
    "user_data_set": lambda client, port: client.user_data_set(1),
    "will_set": lambda client, port: client.will_set("will", "x"),
    "username_pw_set": lambda client, port: client.username_pw_set("me", "x"),
    "max_inflight_messages_set": lambda client, port: client.max_inflight_messages_set(5),
    "reconnect_delay_set": lambda client, port: client.reconnect_delay_set(1, 5),
    "message_callback_add": lambda client, port: client.message_callback_add("a", lambda *arguments: None),
    "drop_out_messages": lambda client, port: client.drop_out_messages(),
    "reinitialise": lambda client, port: client.reinitialise(),
}


def live(client: mqtt.Client, broker: Broker, callback: str) -> None:
    """Does what brings the callback about, as far as the call inside it leaves the client able to."""
    port = broker.port
    if callback == "on_connect_fail":
        with socket.socket() as nobody:
            nobody.bind(("127.0.0.1", 0))
            client.connect_async("127.0.0.1", nobody.getsockname()[1])
            client.loop_start()
        return
    client.connect("127.0.0.1", port)
    client.loop_start()
    client.subscribe("any/call", 1)
    client.publish("any/call", "x", 1)
    if callback == "on_unsubscribe":
        client.unsubscribe("any/call")


@pytest.mark.parametrize("call", CALLS)
@pytest.mark.parametrize("callback", CALLBACKS)
def test_every_call_returns_in_every_callback(make: Any, broker: Broker, callback: str, call: str) -> None:
    client, begun, done = make(V2, clean_session=True), threading.Event(), threading.Event()

    def inside(*arguments: Any) -> None:
        if begun.is_set():
            return
        begun.set()
        try:
            CALLS[call](client, broker.port)
        except (OSError, ValueError):
            pass  # an answer too: it did not suit
        finally:
            done.set()

    setattr(client, callback, inside)

    def life() -> None:
        try:
            live(client, broker, callback)
            if callback in ("on_disconnect", "on_socket_close"):
                client.disconnect()
        except (OSError, ValueError):
            pass  # the call inside took the connection away

    thread = threading.Thread(target=life, daemon=True)
    thread.start()
    assert done.wait(PATIENCE), f"{call}() in {callback}"
    thread.join(PATIENCE)
    assert not thread.is_alive(), f"the program, after {call}() in {callback}"
