"""Loops, threads, exceptions, signals, and the end of the process."""

from __future__ import annotations

import gc
import os
import signal
import sys
import threading
import time
import weakref
from typing import Any

import pytest
import remqtt.client as mqtt
from conftest import PATIENCE, V1, V2, Broker, Calls, Peer, free_port, run_python, wait_for


def test_loop_forever_returns_after_disconnect(make: Any, broker: Broker) -> None:
    client = make(V1)
    client.on_connect = lambda client, *rest: client.disconnect()
    client.connect("127.0.0.1", broker.port)
    assert client.loop_forever() == mqtt.MQTT_ERR_NO_CONN
    assert not client.is_connected()


def test_another_thread_may_end_loop_forever(make: Any, broker: Broker) -> None:
    client, connected = make(V2), threading.Event()
    client.on_connect = lambda *arguments: connected.set()
    client.connect("127.0.0.1", broker.port)
    loop = threading.Thread(target=client.loop_forever)
    loop.start()
    assert connected.wait(PATIENCE)
    client.disconnect()
    loop.join(PATIENCE)
    assert not loop.is_alive()


def test_without_reconnect_on_failure_a_loss_ends_loop_forever(make: Any, peer: Peer) -> None:
    client = make(V2, reconnect_on_failure=False)
    server = peer.greet(client)
    client.on_connect = lambda *arguments: server.reset()
    assert client.loop_forever() == mqtt.MQTT_ERR_CONN_LOST


def test_connect_async_and_loop_forever_raise_the_first_failure(make: Any) -> None:
    client, failures = make(V2), []
    client.on_connect_fail = lambda *arguments: failures.append(arguments)
    client.connect_async("127.0.0.1", free_port())
    with pytest.raises(ConnectionRefusedError):
        client.loop_forever()
    assert len(failures) == 1


def test_connect_async_and_loop_start_try_until_there_is_a_server(make: Any, own_broker: Broker) -> None:
    own_broker.kill()
    client = make(V2, options={"reconnect_min_delay": 5, "reconnect_max_delay": 20})
    calls = Calls(client, "on_pre_connect", "on_connect_fail", "on_connect")
    client.connect_async("127.0.0.1", own_broker.port)
    client.loop_start()
    for _ in range(3):
        assert calls.next() == ("on_pre_connect",)
        assert calls.next() == ("on_connect_fail",)
    own_broker.start()
    calls.find("on_connect")


def test_loop_start_before_connect_loses_no_time(make: Any, broker: Broker) -> None:
    def time_to_connect() -> float:
        client, connected = make(V2), threading.Event()
        client.on_connect = lambda *arguments: connected.set()
        client.loop_start()
        client.connect("127.0.0.1", broker.port)
        before = time.monotonic()
        assert connected.wait(PATIENCE)
        return time.monotonic() - before

    assert min(time_to_connect() for _ in range(3)) < 0.9, "paho-mqtt needs a second, and a second connection"


def test_loop_start_and_loop_stop_say_when_there_is_nothing_to_do(make: Any, broker: Broker) -> None:
    client = make(V2)
    assert client.loop_stop() == mqtt.MQTT_ERR_INVAL
    assert client._thread is None
    client.connect("127.0.0.1", broker.port)
    assert client.loop_start() == mqtt.MQTT_ERR_SUCCESS
    assert client._thread is not None and client._thread.is_alive()
    assert client.loop_start() == mqtt.MQTT_ERR_INVAL
    assert client.loop_stop() == mqtt.MQTT_ERR_SUCCESS
    assert client.loop_stop() == mqtt.MQTT_ERR_INVAL


def test_loop_stop_keeps_the_connection_and_loop_start_resumes(make: Any, peer: Peer) -> None:
    client = make(V2)
    calls = Calls(client, "on_message", "on_connect")
    server = peer.greet(client, looping=True)
    calls.find("on_connect")
    client.loop_stop()
    server.send(b"\x30\x04\x00\x01tx")
    wait_for(lambda: client.stats()["received_messages"], "the message")
    assert calls.empty() and client.is_connected()
    client.loop_start()
    assert calls.find("on_message")[0].payload == b"x"


def test_loop_stop_does_not_hang_on_a_silent_server(make: Any, peer: Peer) -> None:
    client = make(V2)
    client.connect("127.0.0.1", peer.port)
    client.loop_start()
    peer.accept().welcome()
    wait_for(client.is_connected)
    client.publish("t", "never acknowledged", 1)
    before = time.monotonic()
    client.loop_stop()
    assert time.monotonic() - before < PATIENCE / 2


def test_disconnect_and_loop_stop_have_called_on_disconnect(make: Any, broker: Broker) -> None:
    client, reasons = make(V1), []
    client.on_disconnect = lambda client, userdata, rc: reasons.append(rc)
    client.connect("127.0.0.1", broker.port)
    client.loop_start()
    wait_for(client.is_connected)
    client.disconnect()
    client.loop_stop()
    assert reasons == [mqtt.MQTT_ERR_SUCCESS]


def test_what_was_published_before_the_connack_leaves_before_disconnect(make: Any, peer: Peer) -> None:
    client = make(V2)
    client.connect("127.0.0.1", peer.port)
    client.publish("t", "x")
    ending = threading.Thread(target=client.disconnect)
    ending.start()
    server = peer.accept()
    server.welcome()
    server.expect(b"\x30\x04\x00\x01tx")
    server.expect(b"\xe0\x00")
    ending.join(PATIENCE)


def test_a_client_can_connect_again_after_disconnect(make: Any, broker: Broker) -> None:
    client = make(V2)
    calls = Calls(client, "on_connect", "on_disconnect")
    for _ in range(3):
        client.connect("127.0.0.1", broker.port)
        client.loop_start()
        calls.find("on_connect")
        client.disconnect()
        calls.find("on_disconnect")
        client.loop_stop()


def test_reconnect_inside_on_disconnect_does_not_deadlock(make: Any, peer: Peer) -> None:
    client = make(V2)
    calls = Calls(client, "on_connect")
    client.on_disconnect = lambda client, *rest: client.reconnect()
    server = peer.greet(client, looping=True)
    calls.find("on_connect")
    server.reset()
    peer.accept().welcome()
    calls.find("on_connect")
    client.on_disconnect = None


def test_loop_drives_a_client_by_hand(make: Any, broker: Broker) -> None:
    client, messages = make(V2), []
    client.on_connect = lambda client, *rest: client.subscribe("hand", 1)
    client.on_subscribe = lambda client, *rest: client.publish("hand", "x", 1)
    client.on_message = lambda client, userdata, message: messages.append(message)
    client.connect("127.0.0.1", broker.port)
    wait_for(lambda: client.loop(0.1) or messages)
    assert [message.topic for message in messages] == ["hand"]


@pytest.mark.parametrize("loop", ["loop_start", "loop_forever"])
def test_an_exception_in_a_callback_is_reported_and_the_client_lives_on(
    make: Any, broker: Broker, loop: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    reported: list[BaseException | None] = []
    monkeypatch.setattr(threading, "excepthook", lambda arguments: reported.append(arguments.exc_value))
    client, lines, seen = make(V2), [], []
    client.on_log = lambda c, u, level, text: lines.append((level, text))

    def on_message(client: Any, userdata: Any, message: Any) -> None:
        seen.append(message.payload)
        if len(seen) == 1:
            raise RuntimeError("first message")
        client.disconnect()

    client.on_message = on_message
    client.on_connect = lambda client, *rest: client.subscribe("boom", 1)
    client.on_subscribe = lambda client, *rest: [client.publish("boom", payload, 1) for payload in "ab"]
    client.connect("127.0.0.1", broker.port)
    getattr(client, loop)()
    wait_for(lambda: len(seen) == 2)
    assert [str(error) for error in reported] == ["first message"]
    assert (mqtt.MQTT_LOG_ERR, "Caught exception in on_message: first message") in lines
    client.loop_stop()


def test_a_callback_with_the_wrong_number_of_arguments_is_reported(make: Any, broker: Broker) -> None:
    client, done = make(V2, userdata=[]), threading.Event()
    client.suppress_exceptions = True
    client.on_log = lambda c, userdata, level, text: userdata.append(text)
    client.on_connect = lambda client, userdata, flags, rc: None  # VERSION1's arguments
    client.on_subscribe = lambda *arguments: done.set()
    client.connect("127.0.0.1", broker.port)
    client.loop_start()
    client.subscribe("a")
    assert done.wait(PATIENCE)
    assert any("Caught exception in on_connect" in line for line in client.user_data_get())


def test_a_slow_callback_delays_neither_pings_nor_other_clients(
    make: Any, peer: Peer, broker: Broker
) -> None:
    slow, other, release, entered = make(V2), make(V2), threading.Event(), threading.Event()
    slow.on_connect = lambda *arguments: (entered.set(), release.wait(PATIENCE))
    slow.connect("127.0.0.1", peer.port, keepalive=1)
    slow.loop_start()
    server = peer.accept()
    server.welcome()
    assert entered.wait(PATIENCE)
    calls = Calls(other, "on_connect")
    other.connect("127.0.0.1", broker.port)
    other.loop_start()
    calls.find("on_connect")
    server.expect(b"\xc0\x00")
    release.set()


def test_clients_cost_no_thread_each(make: Any, broker: Broker) -> None:
    clients = [make(V2) for _ in range(50)]
    for client in clients[:1]:
        client.connect("127.0.0.1", broker.port)
        client.loop_start()
    wait_for(clients[0].is_connected)
    before = len(os.listdir("/proc/self/task"))
    for client in clients[1:]:
        client.connect("127.0.0.1", broker.port)
        client.loop_start()
    wait_for(lambda: all(client.is_connected() for client in clients))
    assert len(os.listdir("/proc/self/task")) - before < 10


def test_a_forgotten_client_is_closed(broker: Broker) -> None:
    client = mqtt.Client(V2)
    client.connect("127.0.0.1", broker.port)
    core, gone = client._core, weakref.ref(client)
    del client
    gc.collect()
    assert gone() is None
    wait_for(lambda: core.state() == 4, "the end of the client")


def test_a_looping_client_needs_no_other_reference(broker: Broker) -> None:
    connected = threading.Event()
    client = mqtt.Client(V2)
    client.on_connect = lambda *arguments: connected.set()
    client.connect_async("127.0.0.1", broker.port)
    gone = weakref.ref(client)
    client.loop_start()
    del client
    gc.collect()
    assert connected.wait(PATIENCE)
    kept = gone()
    assert kept is not None
    kept.disconnect()
    del kept
    wait_for(lambda: gc.collect() >= 0 and gone() is None, "the end of the client")


FOREVER = """
import sys
import remqtt.client as mqtt
client = mqtt.Client(mqtt.CallbackAPIVersion.VERSION2)
client.on_connect = lambda *arguments: print("connected", flush=True)
client.connect("127.0.0.1", int(sys.argv[1]))
try:
    client.loop_forever()
except KeyboardInterrupt:
    print("interrupted", flush=True)
    {}
"""


def test_ctrl_c_ends_loop_forever_at_once(broker: Broker) -> None:
    def time_to_end() -> float:
        program = run_python("-c", FOREVER.format("pass"), str(broker.port))
        assert program.stdout is not None
        assert program.stdout.readline() == "connected\n"
        before = time.monotonic()
        program.send_signal(signal.SIGINT)
        assert program.stdout.readline() == "interrupted\n"
        taken = time.monotonic() - before
        _, errors = program.communicate(timeout=PATIENCE)
        assert (program.returncode, errors) == (0, "")
        return taken

    assert min(time_to_end() for _ in range(5)) < 0.1


def test_ctrl_c_ends_loop_at_once(broker: Broker) -> None:
    def time_to_end() -> float:
        code = FOREVER.format("pass").replace("client.loop_forever()", "while True: client.loop(20)")
        program = run_python("-c", code, str(broker.port))
        assert program.stdout is not None
        assert program.stdout.readline() == "connected\n"
        before = time.monotonic()
        program.send_signal(signal.SIGINT)
        assert program.stdout.readline() == "interrupted\n"
        program.communicate(timeout=PATIENCE)
        return time.monotonic() - before

    assert min(time_to_end() for _ in range(3)) < 10


def test_ctrl_c_during_an_outage_ends_loop_forever_too(own_broker: Broker) -> None:
    program = run_python("-c", FOREVER.format("raise"), str(own_broker.port))
    assert program.stdout is not None
    assert program.stdout.readline() == "connected\n"
    own_broker.kill()
    program.send_signal(signal.SIGINT)
    out, errors = program.communicate(timeout=PATIENCE)
    assert out == "interrupted\n" and errors.rstrip().endswith("KeyboardInterrupt")
    assert program.returncode in (1, -signal.SIGINT)


EXITS = {
    "with a client that loops": "client.loop_start(); connected.wait()",
    "without a loop": "",
    "inside a callback that takes long": "client.on_connect = forever; client.loop_start(); entered.wait()",
    "while messages pour in": "client.on_message = pour; client.loop_start(); client.subscribe('pour', 0); "
    "[client.publish('pour', b'x' * 100) for _ in range(1000)]; poured.wait()",
    "with an exception": "client.loop_start(); connected.wait(); raise SystemExit(3)",
    "with many clients": "client.loop_start(); more()",
    "during an outage": "client.loop_start(); other = mqtt.Client(); "
    "other.connect_async('127.0.0.1', 1); other.loop_start(); other.publish('t', 'x', 1)",
    "after fork in the child": "client.loop_start(); connected.wait(); child()",
}

EXIT = """
import os, sys, threading, time, warnings
import remqtt.client as mqtt
port = int(sys.argv[1])
connected, entered, poured = threading.Event(), threading.Event(), threading.Event()
clients = []
def forever(*arguments):
    entered.set()
    time.sleep(3600)
def pour(client, userdata, message):
    poured.set()
    client.publish("pour", message.payload)
def more():
    for _ in range(50):
        clients.append(mqtt.Client())
        clients[-1].connect("127.0.0.1", port)
        clients[-1].loop_start()
def child():
    # Python 3.12 warns of every fork of a process with threads.
    warnings.simplefilter("ignore", DeprecationWarning)
    pid = os.fork()
    if pid:
        assert os.waitpid(pid, 0)[1] == 0
    else:
        assert not client.is_connected()
        fresh, heard = mqtt.Client(), threading.Event()
        fresh.on_connect = lambda *arguments: heard.set()
        fresh.connect("127.0.0.1", port)
        fresh.loop_start()
        assert heard.wait(20)
client = mqtt.Client(mqtt.CallbackAPIVersion.VERSION2)
client.on_connect = lambda *arguments: connected.set()
client.connect("127.0.0.1", port)
"""


@pytest.mark.parametrize("how", EXITS)
def test_the_interpreter_ends_in_order(broker: Broker, how: str) -> None:
    program = run_python("-X", "dev", "-c", EXIT + EXITS[how], str(broker.port))
    _, errors = program.communicate(timeout=PATIENCE)
    assert (program.returncode, errors) == (3 if "exception" in how else 0, "")


def test_what_was_published_leaves_before_the_process_ends(peer: Peer) -> None:
    code = "client.publish('t', 'last words')"
    program = run_python("-c", EXIT + code, str(peer.port))
    server = peer.accept()
    server.welcome()
    server.expect(b"\x30\x0d\x00\x01tlast words")
    assert server.packet() == b"", "no DISCONNECT: the will is for a client that vanishes"
    program.communicate(timeout=PATIENCE)
    assert program.returncode == 0


def test_python_makes_no_promise_about_free_threading_yet() -> None:
    import remqtt._native

    assert (remqtt._native.__file__ or "").endswith(".abi3.so")
    assert getattr(sys, "_is_gil_enabled", lambda: True)()
