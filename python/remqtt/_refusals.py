"""The exceptions that stand for the core's words about a connection that could not be made."""

from __future__ import annotations

import os
import re

from ._roads import WebsocketConnectionError


def of_the_system(text: str) -> OSError | None:
    """The exception for an error of the system that the core's words tell of."""
    number = re.search(r"os error (\d+)", text)
    return None if number is None else OSError(int(number[1]), os.strerror(int(number[1])))


#: What is wrong with an answer to the WebSocket handshake: in the core's words, and in paho's.
_HANDSHAKES = {
    "the answer is not HTTP": "WebSocket handshake error",
    "the connection ended before the answer": "WebSocket handshake error",
    "the answer does not upgrade": "WebSocket handshake error, connection not upgraded",
    "a wrong Sec-WebSocket-Accept": "WebSocket handshake error, invalid secret key",
}


def websocket_error(text: str) -> WebsocketConnectionError:
    """The exception for a WebSocket handshake that failed: paho's words, and ours as its cause."""
    words = next((theirs for ours, theirs in _HANDSHAKES.items() if ours in text), text)
    error = WebsocketConnectionError(words)
    if words is not text:
        error.__cause__ = ConnectionError(text)
    return error
