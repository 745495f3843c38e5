"""Every road to the server carries messages, and recovers as plain TCP does."""

from __future__ import annotations

import ssl
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from conftest import Broker, Proxy
from road_parts import (
    MATRIX,
    Authority,
    Traveller,
    UnixBroker,
    microsocks,
    tinyproxy,
    tls_lines,
    ws_lines,
)

#: ssl.VERIFY_X509_PARTIAL_CHAIN, which has a name since Python 3.10.
PARTIAL_CHAIN = 0x80000


class Road:
    """A broker, what lies before it, and how a client is told to go there."""

    transport = "tcp"
    host = "127.0.0.1"

    def __init__(self, folder: Path, broker: Broker, before: int | str | None = None) -> None:
        self.folder, self.broker = folder, broker
        self.relay = Proxy(broker.port if before is None else before)
        self.port = getattr(self.relay, "port", 1)
        self.programs: list[Any] = []

    def prepare(self, client: Any) -> None:
        """Tells a client about the road."""

    def end(self) -> None:
        self.relay.end()
        self.broker.end()
        for program in self.programs:
            program.end()


def tcp(folder: Path, authority: Authority) -> Road:
    return Road(folder, Broker(folder))


def over_tls(folder: Path, authority: Authority, prepare: Callable[[Any], None], *lines: str) -> Road:
    broker = Broker(folder, *tls_lines(authority, authority.issue("server"), *lines))
    road = Road(folder, broker)
    road.prepare = prepare  # type: ignore[method-assign]
    return road


def mqtts(folder: Path, authority: Authority) -> Road:
    return over_tls(folder, authority, lambda client: client.tls_set(str(authority.pem)))


def mqtts_with_certificate(folder: Path, authority: Authority) -> Road:
    identity = authority.issue("client")
    return over_tls(
        folder,
        authority,
        lambda client: client.tls_set(str(authority.pem), *identity),
        "require_certificate true",
    )


def context_of(authority: Authority) -> ssl.SSLContext:
    return ssl.create_default_context(cafile=str(authority.pem))


def mqtts_by_a_context(folder: Path, authority: Authority) -> Road:
    return over_tls(folder, authority, lambda client: client.tls_set_context(context_of(authority)))


def mqtts_by_a_context_with_a_key(folder: Path, authority: Authority) -> Road:
    context = context_of(authority)
    context.load_cert_chain(*authority.issue("client"))
    prepare = lambda client: client.tls_set_context(context)  # noqa: E731
    return over_tls(folder, authority, prepare, "require_certificate true")


def mqtts_by_a_context_with_a_verify_flag(folder: Path, authority: Authority) -> Road:
    context = context_of(authority)
    context.verify_flags |= PARTIAL_CHAIN
    context.load_cert_chain(*authority.issue("client"))
    prepare = lambda client: client.tls_set_context(context)  # noqa: E731
    return over_tls(folder, authority, prepare, "require_certificate true")


def ws(folder: Path, authority: Authority) -> Road:
    road = Road(folder, Broker(folder, *ws_lines(folder)))
    road.transport = "websockets"
    return road


def wss(folder: Path, authority: Authority) -> Road:
    lines = tls_lines(authority, authority.issue("server"))[1:]
    road = Road(folder, Broker(folder, *ws_lines(folder, *lines)))
    road.transport = "websockets"
    road.prepare = lambda client: client.tls_set(str(authority.pem))  # type: ignore[method-assign]
    return road


def wss_by_a_context_with_a_key(folder: Path, authority: Authority) -> Road:
    road = wss(folder, authority)
    context = context_of(authority)
    context.load_cert_chain(*authority.issue("client"))
    road.prepare = lambda client: client.tls_set_context(context)  # type: ignore[method-assign]
    return road


def unix(folder: Path, authority: Authority) -> Road:
    broker = UnixBroker(folder)
    road = Road(folder, broker, broker.path)
    road.transport, road.host = "unix", road.relay.path
    return road


def via_http_proxy(folder: Path, authority: Authority) -> Road:
    broker, proxy = Broker(folder), tinyproxy(folder)
    road = Road(folder, broker, proxy.port)
    road.programs, proxy_port, road.port = [proxy], road.port, broker.port
    road.prepare = lambda client: client.proxy_set(  # type: ignore[method-assign]
        proxy_type=3, proxy_addr="127.0.0.1", proxy_port=proxy_port
    )
    return road


def via_socks5(folder: Path, authority: Authority) -> Road:
    broker, proxy = Broker(folder), microsocks("-u", "user", "-P", "p@ss:word")
    road = Road(folder, broker, proxy.port)
    road.programs, proxy_port, road.port = [proxy], road.port, broker.port
    road.prepare = lambda client: client.proxy_set(  # type: ignore[method-assign]
        proxy_type=2,
        proxy_addr="127.0.0.1",
        proxy_port=proxy_port,
        proxy_username="user",
        proxy_password="p@ss:word",
    )
    return road


def mqtts_by_a_context_with_a_key_via_socks5(folder: Path, authority: Authority) -> Road:
    broker = Broker(folder, *tls_lines(authority, authority.issue("server"), "require_certificate true"))
    proxy = microsocks()
    road = Road(folder, broker, proxy.port)
    road.programs, proxy_port, road.port = [proxy], road.port, broker.port
    context = context_of(authority)
    context.load_cert_chain(*authority.issue("client"))

    def prepare(client: Any) -> None:
        client.tls_set_context(context)
        client.proxy_set(proxy_type=2, proxy_addr="127.0.0.1", proxy_port=proxy_port)

    road.prepare = prepare  # type: ignore[method-assign]
    return road


ROADS = [
    tcp,
    mqtts,
    mqtts_with_certificate,
    mqtts_by_a_context,
    mqtts_by_a_context_with_a_key,
    mqtts_by_a_context_with_a_verify_flag,
    ws,
    wss,
    wss_by_a_context_with_a_key,
    unix,
    via_http_proxy,
    via_socks5,
    mqtts_by_a_context_with_a_key_via_socks5,
]


@pytest.fixture(params=ROADS, ids=lambda road: road.__name__)
def travel(
    request: pytest.FixtureRequest, tmp_path: Path, authority: Authority
) -> Iterator[tuple[Road, Traveller]]:
    road = request.param(tmp_path, authority)
    traveller = Traveller(road.prepare, road.host, road.port, road.transport)
    yield road, traveller
    traveller.end()
    road.end()


def test_a_road_carries_messages_through_resets_and_a_restart(
    request: pytest.FixtureRequest, travel: tuple[Road, Traveller]
) -> None:
    road, traveller = travel
    row = MATRIX.setdefault(request.node.callspec.id.replace("_", " "), {})
    sent = traveller.publish(0, 20)
    traveller.expect(sent)
    row["connect and exchange"] = traveller.verdict(sent)
    for cut in range(1, 4):
        before = traveller.publish(100 * cut, 10)
        assert road.relay.reset() > 0
        after = traveller.publish(100 * cut + 10, 10)
        traveller.expect(before | after)
        sent |= before | after
    row["survive 3 resets"] = traveller.verdict(sent)
    traveller.settle()
    road.broker.end()
    during = traveller.publish(1_000, 5)
    road.broker.start()
    after = traveller.publish(1_005, 5)
    traveller.expect(during | after)
    row["survive a broker restart"] = traveller.verdict(sent | during | after)
