"""Programs that drive a client from an event loop of their own, as they were written for paho-mqtt.

Each runs unchanged on both libraries, with an outage in the middle: on genuine paho-mqtt, to show that the
program is right, and on remqtt.
"""

from __future__ import annotations

import contextlib
import socket
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from conftest import PATIENCE, Broker, Proxy, run_python

PROGRAMS = Path(__file__).parent / "programs"
COUNT = 60
LIBRARIES = {"paho-mqtt": (), "remqtt": ("-m", "remqtt")}


class Gate(Proxy):
    """A proxy that cuts in the middle of the conversation and turns away the next attempts."""

    #: Bytes in both directions before the cut: a third of what a program exchanges.
    budget = 1_500
    turned_away = 0
    counting = threading.Lock()

    def _connect(self) -> socket.socket:
        if self.budget < 0 and self.turned_away < 3:
            self.turned_away += 1
            raise ConnectionRefusedError
        return super()._connect()

    def _pass_on(self, source: socket.socket, target: socket.socket) -> None:  # type: ignore[override]
        with contextlib.suppress(OSError):
            while data := source.recv(65_536):
                with self.counting:
                    before, self.budget = self.budget, self.budget - len(data)
                if before >= 0 > before - len(data):
                    self.reset()
                    return
                target.sendall(data)
            target.shutdown(socket.SHUT_WR)


@pytest.fixture
def gate(broker: Broker) -> Iterator[Gate]:
    gate = Gate(broker.port)
    yield gate
    gate.end()


def play(gate: Gate, library: str, program: str, *arguments: str) -> tuple[list[str], str]:
    """Runs the program through an outage; the lines that it printed, and its errors."""
    path, client_id = PROGRAMS / f"{program}.py", f"{program}-{'-'.join((library, *arguments))}"
    running = run_python(*LIBRARIES[library], str(path), str(gate.port), client_id, str(COUNT), *arguments)
    # Reading its lines would wait for ever for a program that hangs.
    watchdog = threading.Timer(2 * PATIENCE, running.kill)
    watchdog.start()
    lines: list[str] = []
    try:
        assert running.stdout is not None
        for line in running.stdout:
            lines.append(line.rstrip())
        _, errors = running.communicate()
    finally:
        watchdog.cancel()
        watchdog.join()
    assert running.returncode == 0, "\n".join([*lines[-10:], errors])
    assert f"received {COUNT}" in lines
    return lines, errors


@pytest.mark.parametrize(("library", "qos"), [("paho-mqtt", "1"), ("remqtt", "1"), ("remqtt", "2")])
@pytest.mark.parametrize("program", ["with_asyncio", "with_select", "with_trio", "with_executor"])
def test_a_program_with_its_own_loop_survives_an_outage(
    gate: Gate, program: str, library: str, qos: str
) -> None:
    if program == "with_trio":
        pytest.importorskip("trio")
    lines, errors = play(gate, library, program, qos)
    assert errors == ""
    connections = [line for line in lines if line.startswith("connected")]
    assert connections == ["connected False", "connected True"]
    assert lines[-1].endswith("None"), "no socket after disconnect()"
    opened, closed = lines.count("open True"), lines.count("close True")
    assert opened == closed or program == "with_executor"
    assert "open False" not in lines and "close False" not in lines
    if qos == "2":
        assert lines[-1] == "twice 0 None"


@pytest.mark.parametrize("library", LIBRARIES)
@pytest.mark.parametrize("client", ["same", "anew"])
def test_aiomqtt_survives_an_outage(gate: Gate, library: str, client: str) -> None:
    pytest.importorskip("aiomqtt")
    # asyncio complains of aiomqtt's own futures, with both libraries.
    lines, _ = play(gate, library, "with_aiomqtt", "1", client)
    assert lines.count("connected") >= 2 and lines[-1] == "finished"


def test_aiomqtt_through_install_as_paho(gate: Gate, tmp_path: Path) -> None:
    pytest.importorskip("aiomqtt")
    runner = (
        "import remqtt, runpy, sys; remqtt.install_as_paho(); del sys.argv[0]; runpy.run_path(sys.argv[0])"
    )
    arguments: Any = ("-c", runner, str(PROGRAMS / "with_aiomqtt.py"), str(gate.port), "installed", "5", "1")
    program = run_python(*arguments)
    output, errors = program.communicate(timeout=2 * PATIENCE)
    assert (program.returncode, errors) == (0, "") and output.endswith("received 5\nfinished\n")
