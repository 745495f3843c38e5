"""A session in a file: it survives kill -9."""

from __future__ import annotations

import signal
from pathlib import Path
from typing import Any

import pytest
import remqtt.client as mqtt
from conftest import PATIENCE, V2, Broker, run_python, wait_for

PUBLISHER = """
import os, signal, sys
import remqtt.client as mqtt

client = mqtt.Client(mqtt.CallbackAPIVersion.VERSION2, "publisher", False, persistence=sys.argv[1])
for number in range(100):
    client.publish("t", str(number), qos=1 + number % 2)
assert client.sync(30)
os.kill(os.getpid(), signal.SIGKILL)
"""


def subscriber(broker: Broker, received: list[str], **more: Any) -> mqtt.Client:
    client = mqtt.Client(V2, "subscriber", clean_session=False, **more)
    client.on_message = lambda client, userdata, message: received.append(message.payload.decode())
    client.connect("127.0.0.1", broker.port)
    client.loop_start()
    return client


def test_what_was_stored_is_published_by_the_next_process_once(broker: Broker, tmp_path: Path) -> None:
    received: list[str] = []
    client = subscriber(broker, received)
    granted: list[int] = []
    client.on_subscribe = lambda *_: granted.append(1)
    client.subscribe("t", qos=2)
    wait_for(lambda: granted, "the subscription")
    dead = run_python("-c", PUBLISHER, str(tmp_path / "session"))
    assert dead.wait(PATIENCE) == -signal.SIGKILL
    heir = mqtt.Client(V2, "publisher", clean_session=False, persistence=tmp_path / "session")
    heir.connect("127.0.0.1", broker.port)
    heir.loop_start()
    wait_for(lambda: len(received) >= 100, "100 messages")
    wait_for(lambda: heir.stats()["published"] == 100, "100 acknowledgements")
    assert sorted(map(int, received)) == list(range(100))
    for one in (heir, client):
        one.disconnect()
        one.loop_stop()


def test_options_that_count_at_birth_may_be_given_as_such(tmp_path: Path) -> None:
    options = {"store": str(tmp_path / "session"), "client_id": "by option", "acknowledge": "stored"}
    client = mqtt.Client(V2, "by argument", clean_session=False, options={**options, "resume_after": ""})
    assert client._core.option("client_id") == "by option" and client._client_id == b"by option"
    assert (tmp_path / "session").exists() and client._core.option("acknowledge") == "stored"


def test_a_file_that_is_in_use_is_refused_in_words(tmp_path: Path) -> None:
    client = mqtt.Client(V2, "c", clean_session=False, persistence=tmp_path / "session")
    with pytest.raises(OSError, match="in use"):
        mqtt.Client(V2, "c", clean_session=False, persistence=tmp_path / "session")
    del client


def test_a_damaged_file_is_told_and_set_aside(broker: Broker, tmp_path: Path) -> None:
    (tmp_path / "session").write_bytes(b"no store")
    client = mqtt.Client(V2, "c", clean_session=False, persistence=tmp_path / "session")
    told: list[str | None] = []
    client.on_store = lambda client, userdata, trouble: told.append(trouble)
    client.connect("127.0.0.1", broker.port)
    client.loop_start()
    wait_for(lambda: told, "the trouble")
    assert told[0] is not None and "damaged" in told[0]
    assert any(path.read_bytes() == b"no store" for path in tmp_path.iterdir() if path.is_file())
    client.disconnect()
    client.loop_stop()
