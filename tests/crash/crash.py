"""Kills clients with kill -9, many times a second, beside a mosquitto that is restarted, and counts what is
lost.

    crash.py DIRECTORY --kills N [--seed S]

DIRECTORY holds the C programs. N kills are shared out among the programs of remqtt; each of those of
paho-mqtt and paho.mqtt.c gets a twentieth. A publisher's message is accepted when the program was told
so; a subscriber's when the broker had acknowledged it to whoever published it. Even numbers are QoS 1,
odd ones QoS 2. Exit status 1: remqtt lost or doubled something, accepted nothing, or died of itself.
"""

from __future__ import annotations

import argparse
import os
import random
import re
import select
import shutil
import signal
import socket
import sqlite3
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from pathlib import Path
from typing import Any

import remqtt.client as mqtt

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE.parent / "bench"))
from wire import port_below_ephemeral  # noqa: E402

PUBLISHED = re.compile(r"Sending PUBLISH to (\S+) \(d\d, q2, r\d, m(\d+), '([^']+)'")
RELEASED = re.compile(r"Sending PUBREL to (\S+) \(m(\d+)\)")
COMPLETED = re.compile(r"Received PUBCOMP from (\S+) \(Mid: (\d+)")
#: Seconds that a process lives.
LIVES = (0.01, 0.25)
#: Numbers that one process may use up.
SHARE = 1_000_000
#: Seconds without any news after which a subscriber has got all it ever will.
IDLE = 4.0
#: Seconds in which a broker has to start, or to end.
PATIENCE = 30.0


class Broker:
    """A mosquitto that keeps its sessions over restarts."""

    def __init__(self, directory: Path) -> None:
        self.port = port_below_ephemeral()
        self.config = directory / "mosquitto.conf"
        lines = [
            f"listener {self.port} 127.0.0.1",
            "allow_anonymous true",
            "persistence true",
            f"persistence_location {directory}/",
            "max_queued_messages 0",
            "max_inflight_messages 100",
            "log_type all",
            f"log_dest file {directory}/mosquitto.log",
        ]
        if os.getuid() == 0:
            lines.append("user root")
        self.log = directory / "mosquitto.log"
        self.config.write_text("\n".join(lines) + "\n")
        self.restarts = -1
        self.start()

    def start(self) -> None:
        program = shutil.which("mosquitto") or "/usr/sbin/mosquitto"
        log = subprocess.DEVNULL
        self.process = subprocess.Popen([program, "-c", str(self.config)], stdout=log, stderr=log)
        self.restarts += 1
        end = time.monotonic() + PATIENCE
        while True:
            with socket.socket() as probe:
                if probe.connect_ex(("127.0.0.1", self.port)) == 0:
                    return
            if time.monotonic() > end or self.process.poll() is not None:
                raise RuntimeError(f"mosquitto did not start on port {self.port}")
            time.sleep(0.01)

    def end(self) -> None:
        self.process.terminate()
        self.process.wait(PATIENCE)

    def forgetful(self) -> set[str]:
        """Topics of the messages that it sent again after their PUBREL.

        A client has to take them for new ones [MQTT-4.3.3-13]. mosquitto 2.0.11 does so when it is restarted
        before the PUBCOMP.
        """
        released: dict[tuple[str, str], str] = {}
        sent: dict[tuple[str, str], str] = {}
        repeated = set()
        for line in self.log.open(errors="replace"):
            if found := PUBLISHED.search(line):
                client, mid, topic = found.groups()
                if released.get((client, mid)) == topic:
                    repeated.add(topic)
                sent[client, mid] = topic
            elif found := RELEASED.search(line):
                released[found[1], found[2]] = sent.get((found[1], found[2]), "")
            elif found := COMPLETED.search(line):
                released.pop((found[1], found[2]), None)
        return repeated


class Cell:
    """One program: what it was told, what it says, how often it was killed."""

    def __init__(self, kind: str, title: str, command: list[str], directory: Path, port: int) -> None:
        self.kind, self.title, self.port = kind, title, port
        self.name = title.replace(" ", "-").replace(",", "").replace(".", "-")
        self.file = directory / self.name
        self.command = command
        self.is_python = command[0] == sys.executable
        self.is_publisher = kind.endswith("publisher")
        self.is_ours = not kind.startswith("paho")
        self.accepted: set[int] = set()
        self.got: Counter[int] = Counter()
        self.kills = self.died = 0
        self.pid = 0  # of the process that lives, or that nobody has waited for
        self.pids: list[int] = []
        self.codes: list[int] = []
        self.news = threading.Condition()
        self.heard = time.monotonic()
        read, self.write = os.pipe()
        threading.Thread(target=self.listen, args=(read,), daemon=True).start()
        self.nursery: subprocess.Popen[str] | None = None
        if self.is_python:
            arguments = [*command, kind, str(port), str(self.file), self.name]
            self.nursery = subprocess.Popen(
                arguments, stdin=subprocess.PIPE, stdout=self.write, text=True, bufsize=1
            )

    def listen(self, read: int) -> None:
        for line in os.fdopen(read):
            number, *more = line.split()
            with self.news:
                self.heard = time.monotonic()
                if number == "pid":
                    self.pids.append(int(more[0]))
                elif number == "ended":
                    self.codes.append(int(more[0]))
                elif self.is_publisher:
                    self.accepted.add(int(number))
                elif not more or int(number) not in self.got:
                    self.got[int(number)] += 1  # what is marked as redelivered is no surprise
                self.news.notify_all()

    def begin(self, first: int, drain: bool = False) -> None:
        """Starts a process."""
        more = ["drain"] if drain else []
        if self.nursery is None:
            role = self.kind.split("-")[1]
            arguments = [*self.command, role, str(self.port), str(self.file), self.name, str(first), *more]
            if self.kind == "transactional-subscriber":
                arguments = [
                    *self.command,
                    "127.0.0.1",
                    str(self.port),
                    str(self.file),
                    f"{self.file}.sqlite",
                    f"{self.name}/#",
                ]
            self.process = subprocess.Popen(arguments, stdout=self.write)
            self.pid = self.process.pid
        else:
            self.pid = self.ask(" ".join([str(first), *more]), self.pids)

    def ask(self, line: str, answers: list[int]) -> int:
        with self.news:
            assert self.nursery is not None and self.nursery.stdin is not None
            self.nursery.stdin.write(line + "\n")
            while not answers:
                if not self.news.wait(30):
                    raise RuntimeError(f"{self.title}: no answer to {line}")
            return answers.pop()

    def end(self) -> int:
        """Kills the process, and gives its exit status: that of a SIGKILL if it had not ended by itself."""
        # Nobody else waits for it, so the identifier is still its own.
        os.kill(self.pid, signal.SIGKILL)
        code = self.process.wait() if self.nursery is None else self.ask("wait", self.codes)
        self.pid = 0
        return code

    def kill(self, lives: float, first: int) -> None:
        self.begin(first)
        time.sleep(lives)
        if self.end() == -signal.SIGKILL:
            self.kills += 1
        else:
            self.died += 1

    def alive(self) -> bool:
        process = os.pidfd_open(self.pid)
        try:
            return not select.select([process], [], [], 0)[0]  # readable: it has ended
        finally:
            os.close(process)

    def finish(self, has_all: Any) -> None:
        """Lets a last process do what is left."""
        self.begin(0, drain=True)
        self.heard, deadline = time.monotonic(), time.monotonic() + 120
        while self.alive() and time.monotonic() < deadline and not has_all():
            if time.monotonic() - self.heard > IDLE:
                break
            time.sleep(0.05)
        if self.end() not in (0, -signal.SIGKILL):
            self.died += 1

    def effects(self) -> None:
        """What a transactional program did is in its database."""
        if self.kind == "transactional-subscriber":
            with sqlite3.connect(f"{self.file}.sqlite") as database:
                self.got = Counter(int(row[0]) for row in database.execute("SELECT payload FROM effects"))
            del self.got[-1]

    def close(self) -> None:
        if self.pid:
            os.kill(self.pid, signal.SIGKILL)
        if self.nursery is not None and self.nursery.stdin is not None:
            self.nursery.stdin.close()
            self.nursery.wait()


class Witness:
    """Receives what the publishers send, and publishes to the subscribers. It is never killed."""

    def __init__(self, cells: list[Cell], port: int) -> None:
        self.publishers = {cell.name: cell for cell in cells if cell.is_publisher}
        self.subscribers = [cell for cell in cells if not cell.is_publisher]
        self.ended = threading.Event()
        self.on_the_way: dict[int, tuple[Cell, int]] = {}
        self.client = mqtt.Client(mqtt.CallbackAPIVersion.VERSION2, "witness", clean_session=False)
        self.client.on_message = self.received
        self.client.on_publish = self.published
        self.lock = threading.Lock()
        topics = [(name, 2) for name in self.publishers]
        self.client.on_connect = lambda client, *_: client.subscribe(topics) if topics else None
        self.client.connect("127.0.0.1", port)
        self.client.loop_start()

    def received(self, client: Any, userdata: Any, message: Any) -> None:
        cell = self.publishers[message.topic]
        cell.got[int(message.payload)] += 1
        cell.heard = time.monotonic()

    def published(self, client: Any, userdata: Any, mid: int, *_: Any) -> None:
        with self.lock:
            cell, number = self.on_the_way.pop(mid, (None, 0))
        if cell is not None:
            cell.accepted.add(number)

    def publish(self, cell: Cell, number: int) -> None:
        with self.lock:  # the end of it may be told before the call returns
            topic = f"{cell.name}/{number}"
            info = self.client.publish(topic, str(number), qos=1 + number % 2)
            self.on_the_way[info.mid] = cell, number

    def greet(self, cell: Cell) -> None:
        """The broker has the subscription of a cell once it gets a message."""
        cell.begin(0)
        while not cell.got and not self.has_effects(cell):
            if not cell.alive():
                raise RuntimeError(f"{cell.title}: it ended by itself")
            self.client.publish(f"{cell.name}/-1", "-1", qos=1).wait_for_publish(10)
            time.sleep(0.05)
        cell.end()
        del cell.got[-1]

    def has_effects(self, cell: Cell) -> bool:
        try:
            with sqlite3.connect(f"file:{cell.file}.sqlite?mode=ro", uri=True) as database:
                return bool(database.execute("SELECT COUNT(*) FROM effects").fetchone()[0])
        except sqlite3.Error:
            return False

    def feed(self) -> None:
        number = 0
        while not self.ended.wait(0.01):
            for cell in self.subscribers:
                for one in range(number, number + 3):
                    self.publish(cell, one)
            number += 3


def torment(cell: Cell, kills: int, seed: str) -> None:
    chance = random.Random(seed)
    for number in range(1, kills + 1):
        cell.kill(chance.uniform(*LIVES), number * SHARE)


def cells(programs: Path, directory: Path, port: int, only: str) -> list[Cell]:
    python = [sys.executable, str(HERE / "children.py")]
    ours, paho = str(programs / "child_remqtt"), str(programs / "child_paho")
    rows = [
        ("remqtt-publisher", "Python publisher, stored", python),
        ("remqtt-publisher", "C publisher, fsynced", [ours]),
        ("stored-subscriber", "Python subscriber, stored", python),
        ("remqtt-subscriber", "C subscriber, stored", [ours]),
        ("transactional-subscriber", "Python subscriber, transactional", python),
        ("transactional-subscriber", "C subscriber, transactional", [str(programs / "exactly_once")]),
        ("paho-publisher", "paho-mqtt publisher", python),
        ("paho-publisher", "paho.mqtt.c publisher, files", [paho]),
        ("paho-subscriber", "paho-mqtt subscriber", python),
        ("paho-subscriber", "paho.mqtt.c subscriber, files", [paho]),
    ]
    chosen = [row for row in rows if only in row[1]]
    return [Cell(kind, title, command, directory, port) for kind, title, command in chosen]


def restart(broker: Broker, ended: threading.Event) -> None:
    while not ended.wait(random.uniform(2, 6)):
        broker.end()
        broker.start()


def show(rows: list[Cell], broker: Broker, seconds: float) -> bool:
    head = ("kills", "accepted", "lost", "QoS 2 doubled", "by the broker", "died")
    print(f"{'program':34} {'{:>6} {:>9} {:>6} {:>14} {:>14} {:>5}'.format(*head)}")
    clean, forgetful = True, broker.forgetful()
    for cell in rows:
        lost = sum(1 for number in cell.accepted if not cell.got[number])
        doubled = {number for number, times in cell.got.items() if times > 1 and number % 2}
        theirs = {number for number in doubled if f"{cell.name}/{number}" in forgetful}
        counts = (cell.kills, len(cell.accepted), lost, len(doubled - theirs), len(theirs), cell.died)
        print(f"{cell.title:34} {'{:6} {:9} {:6} {:14} {:14} {:5}'.format(*counts)}")
        doubled -= theirs
        if cell.is_ours:
            # Where nothing is accepted nothing can be lost.
            clean &= bool(cell.accepted) and (lost, len(doubled), cell.died) == (0, 0, 0)
    for cell in rows:
        # Not lost for ever, but not sent although there was time and a connection.
        left = sum(len(names) for *_, names in os.walk(cell.file))
        if left:
            print(f"{cell.title}: {left} files left when nothing had come for {IDLE:.0f} s")
    if broker.process.poll() is not None:
        print("the broker did not come back")
        clean = False
    kills = sum(cell.kills for cell in rows)
    print(f"{kills} kills and {broker.restarts} restarts of the broker in {seconds:.0f} s")
    return clean


def main() -> int:
    parser = argparse.ArgumentParser()
    parser.add_argument("programs", type=Path)
    parser.add_argument("--kills", type=int, default=2_000)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--steady", action="store_true", help="the broker is not restarted")
    parser.add_argument("--only", default="", help="programs whose title has this")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="remqtt-crash-") as place:
        directory = Path(place)
        broker = Broker(directory)
        rows = cells(arguments.programs, directory, broker.port, arguments.only)
        witness = Witness(rows, broker.port)
        try:
            return torment_all(arguments, broker, rows, witness)
        finally:
            for cell in rows:
                cell.close()
            witness.client.disconnect()
            broker.end()


def torment_all(arguments: argparse.Namespace, broker: Broker, rows: list[Cell], witness: Witness) -> int:
    for cell in witness.subscribers:
        witness.greet(cell)
    begun = time.monotonic()
    feeder = threading.Thread(target=witness.feed)
    restarter = threading.Thread(target=restart, args=(broker, witness.ended))
    ours = max(1, sum(cell.is_ours for cell in rows))
    tormentors = []
    for cell in rows:
        kills = -(-arguments.kills // ours) if cell.is_ours else max(5, arguments.kills // 20)
        seed = f"{arguments.seed} {cell.title}"
        tormentors.append(threading.Thread(target=torment, args=(cell, kills, seed)))
    if not arguments.steady:
        restarter.start()
    for thread in (feeder, *tormentors):
        thread.start()
    for thread in tormentors:
        thread.join()
    seconds = time.monotonic() - begun
    witness.ended.set()
    feeder.join()
    if not arguments.steady:
        restarter.join()
    deadline = time.monotonic() + 60
    while witness.on_the_way and time.monotonic() < deadline:
        time.sleep(0.05)
    finishers = []
    for cell in rows:
        has_all = (
            (lambda: False) if cell.is_publisher else (lambda cell=cell: cell.accepted <= cell.got.keys())
        )
        finishers.append(threading.Thread(target=cell.finish, args=(has_all,)))
    for thread in finishers:
        thread.start()
    for thread in finishers:
        thread.join()
    time.sleep(1)
    for cell in rows:
        cell.effects()
    return 0 if show(rows, broker, seconds) else 1


if __name__ == "__main__":
    sys.exit(main())
