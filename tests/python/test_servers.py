"""Several servers."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from typing import Any

import pytest
import remqtt.client as mqtt
from conftest import Calls, Peer, free_port

V2 = mqtt.CallbackAPIVersion.VERSION2


@pytest.fixture
def silent() -> Iterator[int]:
    """A port where nobody answers: its queue is full."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen(0)
        waiting = []
        for _ in range(4):
            one = socket.socket()
            one.setblocking(False)
            one.connect_ex(listener.getsockname())
            waiting.append(one)
        yield listener.getsockname()[1]
        for one in waiting:
            one.close()


def test_the_next_server_is_dialled_when_the_first_refuses(make: Any, peer: Peer) -> None:
    client = make(V2, options={"further_servers": [f"mqtt://127.0.0.1:{peer.port}"]})
    calls = Calls(client, "on_connect")
    client.connect_async("127.0.0.1", free_port())
    client.loop_start()
    peer.accept().welcome()
    calls.find("on_connect")


def test_in_a_race_the_next_server_is_dialled_beside_one_that_is_silent(
    make: Any, peer: Peer, silent: int
) -> None:
    client = make(V2)
    calls = Calls(client, "on_connect")
    client.configure(
        further_servers=[f"mqtt://127.0.0.1:{peer.port}"], race_servers=True, connect_timeout=3_600_000
    )
    client.connect_async("127.0.0.1", silent)
    client.loop_start()
    peer.accept().welcome()
    calls.find("on_connect")


@pytest.mark.parametrize("wrong", ["mqtt://one", ["ftp://one"], [""]], ids=str)
def test_what_is_no_list_of_endpoints_is_refused_and_changes_nothing(
    make: Any, peer: Peer, wrong: Any
) -> None:
    client = make(V2)
    with pytest.raises((TypeError, ValueError)):
        client.configure(further_servers=wrong)
    peer.greet(client)
