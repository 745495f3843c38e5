"""The brokers of a run: mosquitto with a listener for each purpose, and the sessions and messages the runner
makes."""

from __future__ import annotations

import json
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

import wire
from children import TIED, Child, now
from peers import HERE
from wire import exactly, packet, port_below_ephemeral, string


class Broker:
    """mosquitto on a TCP port and a Unix socket, through which the runner reaches it in any namespace.

    Queues have no bound: what is lost was lost by a client. Sessions survive a restart.
    """

    def __init__(
        self, *, namespace: str = "", host: str = "127.0.0.1", ports: int = 1, tls: bool = False
    ) -> None:
        # It goes at the latest with the interpreter, whichever thread Ctrl-C has left in the middle of a row.
        self._folder = tempfile.TemporaryDirectory(prefix="recovery-")
        self.folder = Path(self._folder.name)
        self.namespace, self.host = namespace, host
        self.ports = [port_below_ephemeral() for _ in range(ports)]
        self.port = self.ports[0]
        self.tls_port = port_below_ephemeral() if tls else 0
        self.socket = str(self.folder / "socket")
        self.ca = str(self.folder / "ca.crt") if tls else ""
        if tls:
            certify(self.folder, host)
        lines = [
            "user root\nper_listener_settings false\nallow_anonymous true\nmax_queued_messages 0",
            f"persistence true\npersistence_location {self.folder}/\nautosave_interval 0",
            "set_tcp_nodelay true\nlog_dest stderr\nlog_type notice",
            *(f"listener {port}" for port in self.ports),
            f"listener 0 {self.socket}",
        ]
        if tls:
            folder = self.folder
            lines.append(
                f"listener {self.tls_port}\ncertfile {folder}/server.crt\nkeyfile {folder}/server.key"
            )
        (self.folder / "mosquitto.conf").write_text("\n".join(lines) + "\n")
        self.start()

    def start(self) -> None:
        program = shutil.which("mosquitto", path=wire.SEARCH)
        if program is None:
            raise SystemExit("mosquitto is missing: make setup")
        inside = ["ip", "netns", "exec", self.namespace] if self.namespace else []
        Path(self.socket).unlink(missing_ok=True)
        self.process = subprocess.Popen(
            [*TIED, *inside, program, "-c", str(self.folder / "mosquitto.conf")],
            stdin=subprocess.DEVNULL,
            stderr=(self.folder / "log").open("ab"),
            start_new_session=True,
        )
        end = time.monotonic() + 10
        while True:
            try:
                with socket.socket(socket.AF_UNIX) as probe:
                    probe.connect(self.socket)
                return
            except OSError:
                if time.monotonic() > end or self.process.poll() is not None:
                    raise SystemExit("mosquitto did not start: " + self.log()[-500:]) from None
                time.sleep(0.005)

    def stop(self) -> None:
        """The process is stopped, its kernel goes on."""
        self.process.send_signal(signal.SIGSTOP)

    def go_on(self) -> None:
        self.process.send_signal(signal.SIGCONT)

    def terminate(self) -> None:
        """It writes its sessions and ends."""
        self.process.terminate()
        self.process.wait()

    def log(self) -> str:
        return (self.folder / "log").read_text(errors="replace")

    def dial(self, client_id: str, *, clean: bool = True) -> socket.socket:
        link = socket.socket(socket.AF_UNIX)
        link.settimeout(10)
        link.connect(self.socket)
        link.sendall(packet(0x10, string("MQTT") + bytes([4, 2 if clean else 0, 0, 0]) + string(client_id)))
        if exactly(link, 4)[3] != 0:
            raise OSError("the broker refused")
        return link

    def forget(self, client_id: str) -> None:
        """Ends a session, whoever holds it."""
        with self.dial(client_id) as link:
            link.sendall(packet(0xE0, b""))

    def retain(self, topics: list[str]) -> None:
        with self.dial("keeper") as link:
            for number, topic in enumerate(topics):
                link.sendall(packet(0x31, string(topic) + number.to_bytes(8, "big")))
            link.sendall(packet(0xC0, b""))
            exactly(link, 2)

    def __enter__(self) -> Broker:
        return self

    def __exit__(self, *_: object) -> None:
        self.process.kill()
        self.process.wait()
        self._folder.cleanup()


def certify(folder: Path, host: str) -> None:
    """An authority of this run's own and the broker's certificate."""
    commands = [
        "openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 2 -subj /CN=bench"
        " -keyout ca.key -out ca.crt",
        f"openssl req -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -subj /CN={host}"
        " -keyout server.key -out server.csr",
        "openssl x509 -req -in server.csr -CA ca.crt -CAkey ca.key -CAcreateserial -days 2 -extfile names"
        " -out server.crt",
    ]
    (folder / "names").write_text(f"subjectAltName=IP:{host}\n")
    for command in commands:
        subprocess.run(command.split(), cwd=folder, check=True, capture_output=True)


class Gate(Child):
    """gate.py as the runner commands it."""

    def __init__(
        self, target: str, *, namespace: str = "", host: str = "127.0.0.1", jitter_ms: int = 0
    ) -> None:
        self.host, self.port = host, port_below_ephemeral()
        self._told: list[dict[str, object]] = []
        self.healed: list[int] = []
        command = [sys.executable, str(HERE / "gate.py"), host, str(self.port), target]
        super().__init__([*command, *([str(jitter_ms)] if jitter_ms else [])], namespace=namespace)
        self.do("pass")

    def hear(self, line: str) -> None:
        told = json.loads(line)
        if told["did"] == "healed":
            self.healed.append(told["at"])
        else:
            self._told.append(told)

    def do(self, word: str) -> int:
        """Commands it; the time when that was done."""
        return int(str(self._ask(word)["at"]))

    def await_healed(self, seconds: float) -> bool:
        return self.wait(lambda: bool(self.healed), seconds)

    def packets(self) -> dict[int, int]:
        """How many packets of each type clients have sent."""
        counts = self._ask("tell")["counts"]
        assert isinstance(counts, dict)
        return {int(kind): count for kind, count in counts.items()}

    def resumed(self) -> tuple[int, int]:
        """Over TLS: connections after the first on which the broker sent no certificate, of how many."""
        pieces = self._ask("tell")["pieces"]
        assert isinstance(pieces, list)
        return sum(piece < pieces[0] / 2 for piece in pieces[1:]), len(pieces) - 1

    def connects(self) -> list[int]:
        times = self._ask("tell")["connects"]
        assert isinstance(times, list)
        return times

    def _ask(self, word: str) -> dict[str, object]:
        with self.changed:
            before = len(self._told)
        self.send(word)
        if not self.wait(lambda: len(self._told) > before, 10):
            raise RuntimeError(f"the gate did not answer {word}")
        return self._told[before]


# mosquitto closes the connection of a publisher with more than 20 messages of QoS 2 under way.
OUTSTANDING = 15
PATIENCE = 200  # seconds: longer than any row stops its broker


class Feed:
    """Publishes numbered messages to `topic`, `rate` a second, and remembers when; the broker has
    acknowledged all that counts. One thread, and a second one that reads."""

    def __init__(self, broker: Broker, topic: str, *, rate: float, qos: int, size: int = 32) -> None:
        self.topic, self.qos, self.size = topic, qos, size
        self.sent: list[int] = []  # the time of each number
        self._ids: dict[int, int] = {}
        self.acknowledged: set[int] = set()
        self._link = broker.dial("feed-" + topic.replace("/", "-"))
        self._link.settimeout(None)
        self._lock = threading.Lock()
        self._room = threading.Semaphore(OUTSTANDING)
        self._over = threading.Event()
        self._threads = [threading.Thread(target=self._read, daemon=True)]
        if rate:
            self._threads.append(threading.Thread(target=self._pace, args=(rate,), daemon=True))
        for thread in self._threads:
            thread.start()

    def publish(self) -> int:
        """Publishes the next message; its number. Waits while the broker owes too many answers."""
        if not self._room.acquire(timeout=PATIENCE):
            raise OSError("the broker does not answer the publisher")
        with self._lock:
            number = len(self.sent)
            body = string(self.topic) + (number % 60_000 + 1).to_bytes(2, "big")
            self._ids[number % 60_000 + 1] = number
            self.sent.append(now())
            payload = number.to_bytes(8, "big") + b"x" * (self.size - 8)
            self._link.sendall(packet(0x30 | self.qos << 1, body + payload))
        return number

    def settle(self, seconds: float = 5) -> None:
        """No more messages; waits for the acknowledgements."""
        self._over.set()
        if len(self._threads) > 1:
            self._threads[1].join()
        end = time.monotonic() + seconds
        while len(self.acknowledged) < len(self.sent) and time.monotonic() < end:
            time.sleep(0.005)

    def close(self) -> None:
        self._over.set()
        self._link.close()

    def _pace(self, rate: float) -> None:
        due = time.monotonic()
        while not self._over.is_set():
            try:
                self.publish()
            except OSError:
                if self._over.is_set():
                    return  # closed in the middle of a stream
                raise
            due = max(due + 1 / rate, time.monotonic() - 1)
            self._over.wait(max(0.0, due - time.monotonic()))

    def _read(self) -> None:
        try:
            while True:
                kind, _, high, low = exactly(self._link, 4)
                if kind == 0x50:
                    with self._lock:
                        self._link.sendall(bytes([0x62, 2, high, low]))
                else:
                    self.acknowledged.add(self._ids[high << 8 | low])
                    self._room.release()
        except OSError:
            return  # closed
