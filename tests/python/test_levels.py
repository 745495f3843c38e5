"""Levels of durability, tokens, and the command that looks into a file."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import IO, Any

import pytest
import remqtt.client as mqtt
from conftest import PATIENCE, V2, Broker, run_python, wait_for

SUBSCRIBER = """
import os, signal, sys
import remqtt.client as mqtt

def on_message(client, userdata, message):
    print(message.token, message.redelivered, message.payload.decode(), flush=True)
    if message.payload == b"2":
        os.kill(os.getpid(), signal.SIGKILL)

client = mqtt.Client(
    mqtt.CallbackAPIVersion.VERSION2, "subscriber", False, persistence=sys.argv[1], resume_after=sys.argv[3]
)
client.on_message = on_message
client.on_connect = lambda client, *_: client.subscribe("t", qos=2)
client.on_subscribe = lambda *_: print("subscribed", flush=True)
client.connect("127.0.0.1", int(sys.argv[2]))
client.loop_forever()
"""


def message(lines: IO[str]) -> list[str]:
    """Token, redelivered, payload of the next message."""
    while True:
        words = lines.readline().split()
        if words != ["subscribed"]:
            return words


def filled(path: Path) -> None:
    """A file with two publishes."""
    client = mqtt.Client(V2, "filler", clean_session=False, persistence=path)
    client.publish("a", b"\x00\xff", qos=1)
    client.publish("b/c", "x" * 100, qos=2)
    assert client.sync(PATIENCE)
    client._core.close(0)
    wait_for(lambda: store(path, "--verify").returncode == 0, "the end of its client")


def store(*arguments: Any) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "remqtt", "store", *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, timeout=PATIENCE, check=False)


def test_a_publish_at_level_fsynced_is_published_without_a_server(tmp_path: Path) -> None:
    client = mqtt.Client(V2, "c", clean_session=False, persistence=tmp_path / "session")
    told: list[int] = []
    client.on_publish = lambda client, userdata, mid, *_: told.append(mid)
    client.loop_start()
    fsynced = client.publish("t", "x", qos=1, level="fsynced")
    stored = client.publish("t", "x", qos=1)
    fsynced.wait_for_publish(PATIENCE)
    assert fsynced.is_published() and not stored.is_published()
    wait_for(lambda: told == [fsynced.mid], "on_publish")
    client.loop_stop()


@pytest.mark.parametrize("level", ["stored", "fsynced", "certain"])
def test_a_level_that_cannot_be_is_refused(level: str) -> None:
    client = mqtt.Client(V2, "c", clean_session=False)
    with pytest.raises(ValueError, match=r"store|level"):
        client.publish("t", "x", qos=1, level=level)


def test_a_token_must_be_one(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="resume_after"):
        mqtt.Client(V2, "c", clean_session=False, persistence=tmp_path / "session", resume_after="yesterday")


def test_a_message_comes_again_under_its_token_unless_it_is_finished_with(
    broker: Broker, tmp_path: Path
) -> None:
    def life(token: str) -> Any:
        process = run_python("-c", SUBSCRIBER, str(tmp_path / "session"), str(broker.port), token)
        assert process.stdout is not None
        return process, process.stdout

    first, lines = life("")
    assert lines.readline().strip() == "subscribed"
    publisher = mqtt.Client(V2, "publisher", clean_session=False)
    publisher.connect("127.0.0.1", broker.port)
    publisher.loop_start()
    for number in range(5):
        publisher.publish("t", str(number), qos=2).wait_for_publish(PATIENCE)
    got = [message(lines) for _ in range(3)]
    assert [line[1:] for line in got] == [["False", "0"], ["False", "1"], ["False", "2"]]
    assert first.wait(PATIENCE) == -signal.SIGKILL
    second, lines = life(got[1][0])
    assert message(lines) == [got[2][0], "True", "2"]
    assert second.wait(PATIENCE) == -signal.SIGKILL
    third, lines = life(got[2][0])
    assert [message(lines)[2] for _ in range(2)] == ["3", "4"]
    third.kill()
    third.wait(PATIENCE)
    publisher.disconnect()
    publisher.loop_stop()


def test_a_file_is_shown_and_left_as_it_is(tmp_path: Path) -> None:
    path = tmp_path / "session"
    filled(path)
    before = path.read_bytes()
    shown = store(path)
    assert shown.returncode == 0, shown.stderr
    assert "topic=b/c" in shown.stdout and "2 x publish" in shown.stdout and "whole" in shown.stdout
    assert path.read_bytes() == before


def test_a_file_is_exported_as_json(tmp_path: Path) -> None:
    filled(tmp_path / "session")
    lines = [json.loads(line) for line in store(tmp_path / "session", "--export").stdout.splitlines()]
    publishes = [line for line in lines if line["kind"] == "publish"]
    assert [line["topic"] for line in publishes] == ["a", "b/c"]
    assert publishes[0]["payload"] == "00ff" and publishes[1]["qos"] == 2


def test_a_damaged_file_is_called_so_and_left_as_it_is(tmp_path: Path) -> None:
    path = tmp_path / "session"
    path.write_bytes(b"no store")
    told = store(path, "--verify")
    assert told.returncode == 1 and "damaged" in told.stdout
    assert path.read_bytes() == b"no store"
    assert sorted(os.listdir(tmp_path)) == ["session", "session.lock"]


def test_a_file_that_is_in_use_or_not_there_is_an_error_in_words(tmp_path: Path) -> None:
    client = mqtt.Client(V2, "c", clean_session=False, persistence=tmp_path / "session")
    told = store(tmp_path / "session")
    assert told.returncode == 2 and "uses" in told.stderr
    told = store(tmp_path / "nothing")
    assert told.returncode == 2 and "no such file" in told.stderr
    assert not (tmp_path / "nothing").exists()
    del client
