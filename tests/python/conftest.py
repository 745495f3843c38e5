"""Brokers, scripted peers and proxies on free ports of the loopback interface."""

from __future__ import annotations

import contextlib
import os
import queue
import shutil
import signal
import socket
import struct
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import remqtt.client as mqtt

#: Longer than anything takes on a slow machine; nothing waits that long when all is well.
PATIENCE = 30.0

V1 = mqtt.CallbackAPIVersion.VERSION1
V2 = mqtt.CallbackAPIVersion.VERSION2


def wait_for(condition: Callable[[], Any], what: str = "the condition") -> Any:
    """Waits until `condition()` is true."""
    deadline = time.monotonic() + PATIENCE
    while True:
        result = condition()
        if result:
            return result
        assert time.monotonic() < deadline, f"{what} did not come"
        time.sleep(0.002)


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


#: Every server that was started: those of tests that failed half-way end with the session.
servers: list[subprocess.Popen[bytes]] = []


def pytest_sessionfinish() -> None:
    for server in servers:
        if server.poll() is None:
            server.kill()
            server.wait()


class Broker:
    """A mosquitto that can be killed and started again on the same port."""

    def __init__(self, directory: Path, *lines: str) -> None:
        self.port = free_port()
        self.config = directory / f"mosquitto-{self.port}.conf"
        store = directory / f"store-{self.port}"
        store.mkdir()
        self.database = store / "mosquitto.db"
        own = (
            f"listener {self.port} 127.0.0.1",
            *(("user root",) if os.getuid() == 0 else ()),
            "persistence true",
            f"persistence_location {store}/",
            "max_queued_messages 0",
        )
        self.config.write_text("\n".join([*own, *(lines or ("allow_anonymous true",))]) + "\n")
        self.process: subprocess.Popen[bytes] | None = None
        self.start()

    def start(self) -> None:
        program = shutil.which("mosquitto") or "/usr/sbin/mosquitto"
        arguments = [program, "-c", str(self.config)]
        self.process = subprocess.Popen(arguments, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        servers.append(self.process)
        wait_for(self._listens, "mosquitto")

    def _listens(self) -> bool:
        with socket.socket() as probe:
            return probe.connect_ex(("127.0.0.1", self.port)) == 0

    def kill(self) -> None:
        """kill -9, after the sessions were stored."""
        if self.process is not None:
            self.database.unlink(missing_ok=True)
            self.process.send_signal(signal.SIGUSR1)
            wait_for(self.database.exists, "the stored sessions")
            self.process.kill()
            self.process.wait()
            self.process = None

    def end(self) -> None:
        if self.process is not None:
            self.process.send_signal(signal.SIGTERM)
            self.process.wait()
            self.process = None


class Proxy:
    """Passes bytes on to a server until it is told to cut; for a path, from Unix socket to Unix socket."""

    def __init__(self, server: int | str) -> None:
        self.server = server
        if isinstance(server, int):
            self.listener = socket.create_server(("127.0.0.1", 0))
            self.port: int = self.listener.getsockname()[1]
        else:
            self.path = server + "-relay"
            self.listener = socket.socket(socket.AF_UNIX)
            self.listener.bind(self.path)
            self.listener.listen()
        self.pairs: list[tuple[socket.socket, socket.socket]] = []
        self.closed = False
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self) -> None:
        while not self.closed:
            try:
                client, _ = self.listener.accept()
            except OSError:
                return
            try:
                server = self._connect()
            except OSError:
                client.close()
                continue
            self.pairs.append((client, server))
            for source, target in ((client, server), (server, client)):
                threading.Thread(target=self._pass_on, args=(source, target), daemon=True).start()

    def _connect(self) -> socket.socket:
        if isinstance(self.server, int):
            return socket.create_connection(("127.0.0.1", self.server))
        server = socket.socket(socket.AF_UNIX)
        server.connect(self.server)
        return server

    @staticmethod
    def _pass_on(source: socket.socket, target: socket.socket) -> None:
        how = socket.SHUT_WR
        try:
            while data := source.recv(65_536):
                target.sendall(data)
        except OSError:
            how = socket.SHUT_RDWR  # a reset is the end of both directions
        with contextlib.suppress(OSError):
            target.shutdown(how)

    def reset(self) -> int:
        """Cuts every connection with an RST towards both sides; how many there were."""
        pairs, self.pairs = self.pairs, []
        for pair in pairs:
            for end in pair:
                end.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                # Wakes the thread that is reading from it, which close() alone does not.
                with contextlib.suppress(OSError):
                    end.shutdown(socket.SHUT_RD)
                end.close()
        return len(pairs)

    def end(self) -> None:
        self.closed = True
        self.listener.close()
        self.reset()


class Connection:
    """The server's side of a connection, byte for byte."""

    def __init__(self, sock: socket.socket) -> None:
        self.sock = sock
        sock.settimeout(PATIENCE)

    def packet(self) -> bytes:
        """The next whole packet, or b"" at the end of the stream."""
        first = self.sock.recv(1)
        if not first:
            return b""
        head, length, shift = bytearray(first), 0, 0
        while True:
            byte = self.sock.recv(1)[0]
            head.append(byte)
            length |= (byte & 0x7F) << shift
            shift += 7
            if not byte & 0x80:
                break
        body = b""
        while len(body) < length:
            body += self.sock.recv(length - len(body))
        return bytes(head) + body

    def expect(self, packet: bytes) -> None:
        assert self.packet().hex(" ") == packet.hex(" ")

    def send(self, packet: bytes) -> None:
        self.sock.sendall(packet)

    def welcome(self, session_present: bool = False) -> bytes:
        """Reads the CONNECT and accepts it."""
        connect = self.packet()
        assert connect[0] == 0x10
        self.send(bytes([0x20, 2, session_present, 0]))
        return connect

    def reset(self) -> None:
        self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.sock.close()


class Peer:
    """A server that says exactly what the test says."""

    def __init__(self, port: int = 0) -> None:
        self.listener = socket.create_server(("127.0.0.1", port))
        self.listener.settimeout(PATIENCE)
        self.port: int = self.listener.getsockname()[1]
        self.accepted: list[socket.socket] = []

    def accept(self) -> Connection:
        sock, _ = self.listener.accept()
        self.accepted.append(sock)
        return Connection(sock)

    def greet(self, client: Any, looping: bool = False) -> Connection:
        """Connects the client, which then loops in the background if it is to, and accepts it."""
        client.connect("127.0.0.1", self.port)
        if looping:
            client.loop_start()
        connection = self.accept()
        connection.welcome()
        return connection

    def end(self) -> None:
        self.listener.close()
        for sock in self.accepted:
            sock.close()


class Calls:
    """Records callbacks as `(name, *arguments after client and userdata)`."""

    def __init__(self, client: Any, *names: str) -> None:
        self.queue: queue.Queue[tuple[Any, ...]] = queue.Queue()
        for name in names:
            setattr(client, name, self._recorder(name))

    def _recorder(self, name: str) -> Callable[..., None]:
        return lambda client, userdata, *arguments: self.queue.put((name, *arguments))

    def next(self) -> tuple[Any, ...]:
        return self.queue.get(timeout=PATIENCE)

    def find(self, name: str) -> tuple[Any, ...]:
        """The arguments of the next call of this callback."""
        while True:
            call = self.next()
            if call[0] == name:
                return call[1:]

    def empty(self) -> bool:
        return self.queue.empty()


def run_python(*arguments: str, **options: Any) -> subprocess.Popen[str]:
    """A Python program in a process of its own."""
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True, **options}
    program = subprocess.Popen([sys.executable, "-u", *arguments], **pipes)
    _programs.append(program)
    return program


_programs: list[subprocess.Popen[str]] = []


@pytest.fixture(autouse=True)
def no_program_outlives_its_test() -> Iterator[None]:
    """A test that fails half-way leaves no process behind."""
    yield
    while _programs:
        program = _programs.pop()
        if program.poll() is None:
            program.kill()
            program.wait()


@pytest.fixture(scope="session")
def broker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Broker]:
    """A mosquitto for tests that do not harm it."""
    shared = Broker(tmp_path_factory.mktemp("broker"))
    yield shared
    shared.end()


@pytest.fixture
def own_broker(tmp_path: Path) -> Iterator[Broker]:
    """A mosquitto that the test may kill."""
    own = Broker(tmp_path)
    yield own
    own.end()


@pytest.fixture(scope="session")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """A certificate authority."""
    from road_parts import Authority

    return Authority(tmp_path_factory.mktemp("authority"))


@pytest.fixture
def peer() -> Iterator[Peer]:
    scripted = Peer()
    yield scripted
    scripted.end()


@pytest.fixture
def make() -> Iterator[Callable[..., mqtt.Client]]:
    """Makes clients and puts them away after the test. No PINGREQ comes of itself, unless asked for."""
    made: list[mqtt.Client] = []

    def make_client(*arguments: Any, **keywords: Any) -> mqtt.Client:
        if isinstance(options := keywords.get("options", {}), dict):
            keywords["options"] = {"detect_within": 0, **options}
        client = mqtt.Client(*(arguments or (V2,)), **keywords)
        made.append(client)
        return client

    yield make_client
    for client in made:
        client.disconnect()
        client.loop_stop()


@pytest.fixture
def programs() -> Iterator[Callable[..., Any]]:
    """Makes programs with event loops of their own, and ends their clients after the test."""
    from loop_parts import Program

    made: list[Program] = []

    def make(*arguments: Any, **keywords: Any) -> Program:
        made.append(Program(*arguments, **keywords))
        return made[-1]

    yield make
    for program in made:
        program.client.on_socket_close = program.client.on_disconnect = None
        program.client.disconnect()


def pytest_terminal_summary(terminalreporter: Any) -> None:
    """Shows what the roads to the server have proved."""
    from road_parts import MATRIX

    columns = ("connect and exchange", "survive 3 resets", "survive a broker restart")
    if MATRIX:
        terminalreporter.write_line("| Python | " + " | ".join(columns) + " |")
        terminalreporter.write_line("|---" * 4 + "|")
    for road, row in MATRIX.items():
        cells = (row.get(column, "FAILED") for column in columns)
        terminalreporter.write_line(f"| {road} | " + " | ".join(cells) + " |")
