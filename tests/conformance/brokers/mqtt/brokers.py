"""mosquitto in the place of paho.mqtt.testing's broker, for paho's tests of MQTT 5.

They import `mqtt.brokers`, start `run()` in a thread, ask `listeners.TCPListeners.server` for its port and
shut it down. That broker is in a repository and in no registry, so the same cases run against mosquitto, or
against a server of our own where the environment has STAND_IN.
"""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import tempfile
import threading
import time

from . import stand_in


class _Server:
    """What the tests use of a socketserver."""

    def __init__(self, port: int) -> None:
        self.socket = self
        self._port = port
        self.over = threading.Event()

    def getsockname(self) -> tuple[str, int]:
        return "127.0.0.1", self._port

    def shutdown(self) -> None:
        self.over.set()

    def server_close(self) -> None:
        self.over.set()


class _TCPListeners:
    server: _Server | stand_in.Server | None = None


class listeners:
    """The module of that name."""

    TCPListeners = _TCPListeners


def run(config: list[str]) -> None:
    """Runs a server until it is shut down."""
    port = int(config[0].split()[1]) or _free_port()
    if "STAND_IN" in os.environ:
        with stand_in.Server(("127.0.0.1", port), stand_in.Connection) as server:
            listeners.TCPListeners.server = server
            server.serve_forever(poll_interval=0.05)
    else:
        _run_mosquitto(port)


def _run_mosquitto(port: int) -> None:
    with tempfile.TemporaryDirectory() as directory:
        path = os.path.join(directory, "mosquitto.conf")
        # As that broker: topic aliases in both directions, and what is small there is small here.
        lines = (f"listener {port} localhost", "allow_anonymous true", "max_topic_alias 100", "user root")
        with open(path, "w", encoding="utf-8") as file:
            file.write("\n".join((*lines, "")))
        program = shutil.which("mosquitto") or "/usr/sbin/mosquitto"
        process = subprocess.Popen(
            [program, "-c", path], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )
        try:
            while not _listens(port) and process.poll() is None:
                time.sleep(0.01)
            server = listeners.TCPListeners.server = _Server(port)
            server.over.wait()
        finally:
            listeners.TCPListeners.server = None
            process.terminate()
            process.wait()


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def _listens(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0
