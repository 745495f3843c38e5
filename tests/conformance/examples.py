"""paho's example scripts, unchanged, through `python -m remqtt` against mosquitto."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

import remqtt.publish

HERE = Path(__file__).resolve().parent
#: Longer than any example takes on a slow machine.
PATIENCE = 60.0


class Example(NamedTuple):
    """How a script is run."""

    #: A part of a line that shows that it works. Empty: it ends by itself, and has nothing to say.
    shows: str = ""
    arguments: tuple[str, ...] = ()
    #: It runs for ever: a Ctrl-C ends it.
    forever: bool = False
    #: Messages are published again and again while it runs, because it waits for some.
    fed: bool = False
    #: The script that has to run beside it.
    beside: str = ""


_SYS = "$SYS/broker/"
RUN = {
    "client_logger.py": Example("Received PUBLISH", forever=True),
    "client_mqtt_clear_retain.py": Example("Clearing topic stored", ("-v", "-t", "stored")),
    "client_pub-wait.py": Example("class"),
    "client_pub_opts.py": Example("mid: 1", ("-q", "1")),
    "client_rpc_math.py": Example("Response: 5.0", ("add", "2", "3"), beside="server_rpc_math.py"),
    "client_session_present.py": Example("Session present: True"),
    "client_sub-class.py": Example(_SYS, forever=True),
    "client_sub-multiple-callback.py": Example("MESSAGES: ", forever=True),
    "client_sub-ws.py": Example(_SYS + "version", forever=True),
    "client_sub.py": Example("Subscribed: 1", forever=True),
    "client_sub_opts.py": Example(_SYS, forever=True),
    "loop_asyncio.py": Example("Finished"),
    "loop_select.py": Example("Finished"),
    "loop_trio.py": Example("Finished"),
    "publish_multiple.py": Example(),
    "publish_single.py": Example(),
    "publish_utf8-27.py": Example(),
    "publish_utf8-3.py": Example(),
    "server_rpc_math.py": Example("Subscribing to math requests", forever=True),
    "subscribe_callback.py": Example("fed : b'payload'", forever=True, fed=True),
    "subscribe_simple.py": Example("b'payload'", fed=True),
}
LEFT_OUT = {
    "aws_iot.py": "needs an account at Amazon",
    "client_sub-srv.py": "asks name servers for a foreign domain; see SRV in tests/python/test_reach.py",
    "context.py": "no example: the others import it",
}


@contextmanager
def broker(directory: Path) -> Iterator[dict[str, str]]:
    """mosquitto; the environment for the examples."""
    with socket.socket() as one, socket.socket() as other:
        for probe in (one, other):
            probe.bind(("127.0.0.1", 0))
        port, websockets = one.getsockname()[1], other.getsockname()[1]
    config = directory / "mosquitto.conf"
    lines = ["allow_anonymous true", "user root", "sys_interval 1", f"listener {port} 127.0.0.1"]
    config.write_text("\n".join([*lines, f"listener {websockets} 127.0.0.1", "protocol websockets", ""]))
    program = shutil.which("mosquitto") or "/usr/sbin/mosquitto"
    process = subprocess.Popen(
        [program, "-c", str(config)], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    try:
        while not _listens(port):
            if process.poll() is not None:
                raise RuntimeError(f"mosquitto ended with {process.returncode}")
            time.sleep(0.01)
        yield {
            **os.environ,
            "PYTHONPATH": str(HERE / "elsewhere"),
            "EXAMPLES_PORT": str(port),
            "EXAMPLES_WEBSOCKETS": str(websockets),
        }
    finally:
        process.terminate()
        process.wait()


def _listens(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


class Run:
    """One script, running."""

    def __init__(self, script: Path, arguments: tuple[str, ...], environment: dict[str, str]) -> None:
        command = [
            sys.executable,
            "-u",
            "-W",
            "ignore::DeprecationWarning",
            "-m",
            "remqtt",
            str(script),
            *arguments,
        ]
        pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.STDOUT, "text": True}
        self.process = subprocess.Popen(command, env=environment, **pipes)  # type: ignore[call-overload]
        self.lines: list[str] = []
        self.came = threading.Condition()
        self.reader = threading.Thread(target=self._read)
        self.reader.start()

    def _read(self) -> None:
        for line in self.process.stdout:
            with self.came:
                self.lines.append(line.rstrip())
                self.came.notify_all()
        with self.came:
            self.came.notify_all()

    def shows(self, part: str) -> bool:
        """Waits for a line with this part, or for the end."""
        deadline = time.monotonic() + PATIENCE
        with self.came:
            while not self.has(part) and self.reader.is_alive() and time.monotonic() < deadline:
                self.came.wait(0.2)
            return self.has(part)

    def has(self, part: str) -> bool:
        return any(part in line for line in self.lines)

    def end(self, interrupt: bool) -> int:
        """The exit code; 0 for an end by Ctrl-C, where that was asked for."""
        if interrupt and self.process.poll() is None:
            self.process.send_signal(signal.SIGINT)
        try:
            code = self.process.wait(PATIENCE)
        except subprocess.TimeoutExpired:
            self.process.kill()
            code = self.process.wait() or 1
        self.reader.join()
        by_ctrl_c = interrupt and code in (1, 130, -signal.SIGINT) and self.has("KeyboardInterrupt")
        return 0 if by_ctrl_c else int(code)


def one(folder: Path, name: str, environment: dict[str, str]) -> tuple[bool, str]:
    """Runs one example; whether it did what it should, and a line of what it printed."""
    example, port = RUN[name], int(environment["EXAMPLES_PORT"])
    remqtt.publish.single("stored", "x", retain=True, hostname="127.0.0.1", port=port)
    over, runs = threading.Event(), []
    feeder = threading.Thread(target=_feed, args=(port, over), daemon=True)
    try:
        if example.beside:
            runs.append(Run(folder / example.beside, (), environment))
            runs[0].shows(RUN[example.beside].shows)
        run = Run(folder / name, example.arguments, environment)
        runs.append(run)
        if example.fed:
            feeder.start()
        shown = run.shows(example.shows) if example.shows else True
        code = run.end(example.forever)
    finally:
        over.set()
        for each in runs:
            each.end(True)
    told = [line for line in run.lines if example.shows and example.shows in line] or run.lines
    good = shown and code == 0
    return good, (
        told[0] if good and told else told[-1] if told else "(nothing to say)" if good else f"exit {code}"
    )


def _feed(port: int, over: threading.Event) -> None:
    while not over.wait(0.1):
        remqtt.publish.single("fed", "payload", hostname="127.0.0.1", port=port)


def run(tree: Path, target: Path) -> bool:
    """Runs all of them and prints a table; false when one failed."""
    folder, good = tree / "examples", True
    unknown = {path.name for path in folder.glob("*.py")} - set(RUN) - set(LEFT_OUT)
    print("\npaho's examples, unchanged, through python -m remqtt:")
    with tempfile.TemporaryDirectory(dir=target) as directory, broker(Path(directory)) as environment:
        for name in RUN:
            ran, line = one(folder, name, environment)
            good = good and ran
            print(f"  {'ran   ' if ran else 'FAILED'} {name:32} {line[:90]}", flush=True)
    for name, why in LEFT_OUT.items():
        print(f"  left out {name:30} {why}")
    for name in sorted(unknown):
        print(f"  unknown  {name}")
    return good and not unknown
