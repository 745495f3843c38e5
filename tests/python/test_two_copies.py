"""libremqtt and this package in one process: two copies of the library that know nothing of each other."""

from __future__ import annotations

import ctypes
import os
import warnings
from collections.abc import Iterator
from pathlib import Path

import pytest
import remqtt.client as mqtt
from conftest import PATIENCE, V2, Broker, Calls

ROOT = Path(__file__).resolve().parents[2]
LIBRARY = Path(os.environ.get("REMQTT_LIBRARY", ROOT / "target/release/libremqtt.so"))

pytestmark = pytest.mark.skipif(not LIBRARY.exists(), reason=f"no {LIBRARY}: make lib")

CONNECTED = 2
FORKED = -16
PATIENCE_MS = int(PATIENCE * 1000)


class View(ctypes.Structure):
    """A remqtt_str or a remqtt_bytes."""

    _fields_ = (("data", ctypes.c_char_p), ("length", ctypes.c_size_t))


class InC:
    """A client of the C library."""

    def __init__(self, port: int) -> None:
        self.library = ctypes.CDLL(str(LIBRARY))
        self.library.remqtt_config_new.restype = ctypes.c_void_p
        self.handle = ctypes.c_void_p()
        config = ctypes.c_void_p(self.library.remqtt_config_new())
        assert self.library.remqtt_config_add_server(config, b"mqtt://127.0.0.1:%d" % port) == 0
        assert self.library.remqtt_client_new(config, ctypes.byref(self.handle)) == 0
        self.library.remqtt_config_free(config)

    def start(self) -> int:
        return int(self.library.remqtt_client_start(self.handle))

    def wait_until_connected(self) -> None:
        assert self.library.remqtt_client_wait_state(self.handle, CONNECTED, PATIENCE_MS) == 0

    def publish(self, topic: bytes, payload: bytes) -> None:
        topic_and_payload = View(topic, len(topic)), View(payload, len(payload))
        assert self.library.remqtt_client_publish(self.handle, *topic_and_payload, None, None) == 0

    def end(self) -> None:
        assert self.library.remqtt_client_close(self.handle, 0) == 0
        self.library.remqtt_client_free(self.handle)


@pytest.fixture
def in_c(broker: Broker) -> Iterator[InC]:
    client = InC(broker.port)
    assert client.start() == 0
    client.wait_until_connected()
    yield client
    client.end()


@pytest.fixture
def in_python(broker: Broker) -> Iterator[tuple[mqtt.Client, Calls]]:
    client = mqtt.Client(V2, "in-python")
    calls = Calls(client, "on_subscribe", "on_message")
    client.connect("127.0.0.1", broker.port)
    client.loop_start()
    client.subscribe("copies", qos=1)
    assert calls.next()[0] == "on_subscribe"
    yield client, calls
    client.disconnect()
    client.loop_stop()


def test_both_copies_work_side_by_side(in_c: InC, in_python: tuple[mqtt.Client, Calls]) -> None:
    _, calls = in_python
    in_c.publish(b"copies", b"from C")
    name, message = calls.next()
    assert (name, message.payload) == ("on_message", b"from C")


def test_one_copy_goes_on_when_the_other_is_at_its_end(
    broker: Broker, in_python: tuple[mqtt.Client, Calls]
) -> None:
    client, calls = in_python
    passing = InC(broker.port)
    assert passing.start() == 0
    passing.wait_until_connected()
    passing.end()
    assert passing.library.remqtt_wind_down(PATIENCE_MS) == 0
    client.publish("copies", b"still here", qos=1)
    name, message = calls.next()
    assert (name, message.payload) == ("on_message", b"still here")


def test_both_copies_notice_a_fork(in_c: InC, in_python: tuple[mqtt.Client, Calls]) -> None:
    client, calls = in_python
    assert client.is_connected()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # of every fork of a process with threads
        child = os.fork()
    if child == 0:
        os._exit(in_c.start() != FORKED or client.is_connected())
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    in_c.publish(b"copies", b"from the parent")
    name, message = calls.next()
    assert (name, message.payload) == ("on_message", b"from the parent")
