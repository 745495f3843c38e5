"""WebSocket options, proxies, SRV records, bound addresses, Unix sockets, and the helpers on all of these."""

from __future__ import annotations

import base64
import errno
import hashlib
import os
import ssl
import sys
import threading
import types
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import remqtt.client as mqtt
from conftest import V2, Broker, Calls, Connection, Peer, free_port
from remqtt import publish, subscribe
from road_parts import Authority, NameServer, UnixBroker, microsocks, tinyproxy, tls_lines, ws_lines

Make = Callable[..., mqtt.Client]


def greeted(client: mqtt.Client) -> None:
    """Loops until the server has said yes."""
    calls = Calls(client, "on_connect")
    client.loop_start()
    assert not calls.find("on_connect")[1].is_failure


class Handshake:
    """The server's side of a WebSocket handshake."""

    def __init__(self, connection: Connection) -> None:
        self.connection = connection
        text = b""
        while not text.endswith(b"\r\n\r\n"):
            text += connection.sock.recv(1)
        first, *lines = text.decode().strip().split("\r\n")
        self.path = first.split(" ")[1]
        pairs = [line.split(": ", 1) for line in lines]
        self.headers = {name.lower(): value for name, value in pairs}
        assert len(self.headers) == len(pairs), "a header came twice"

    def accept(self) -> None:
        secret = self.headers["sec-websocket-key"] + "258EAFA5-E914-47DA-95CA-C5AB0DC85B11"
        token = base64.b64encode(hashlib.sha1(secret.encode()).digest()).decode()
        lines = ("HTTP/1.1 101 Switching", "Upgrade: websocket", "Connection: Upgrade")
        answer = (*lines, "Sec-WebSocket-Protocol: mqtt", f"Sec-WebSocket-Accept: {token}", "", "")
        self.connection.send("\r\n".join(answer).encode())

    def welcome(self) -> None:
        """Accepts the handshake and what MQTT says in it."""
        self.accept()
        self.connection.sock.recv(4_096)
        self.connection.send(b"\x82\x04\x20\x02\x00\x00")


def websocket(make: Make, peer: Peer, *options: Any) -> mqtt.Client:
    client = make(V2, transport="websockets", options={"reconnect_min_delay": 1})
    client.ws_set_options(*options)
    client.connect_async("127.0.0.1", peer.port)
    client.loop_start()
    return client


def test_the_handshake_has_pahos_default_headers(make: Make, peer: Peer) -> None:
    websocket(make, peer)
    handshake = Handshake(peer.accept())
    own = f"127.0.0.1:{peer.port}"
    assert handshake.path == "/mqtt"
    assert handshake.headers["host"] == own and handshake.headers["origin"] == f"http://{own}"
    assert handshake.headers["sec-websocket-protocol"] == "mqtt"


def test_a_dict_of_headers_is_added_and_replaces(make: Make, peer: Peer) -> None:
    websocket(make, peer, "/other?x=1", {"X-Own": "yes", "Origin": "elsewhere"})
    handshake = Handshake(peer.accept())
    assert handshake.path == "/other?x=1"
    assert (handshake.headers["x-own"], handshake.headers["origin"]) == ("yes", "elsewhere")


def test_a_function_makes_the_headers_of_every_handshake(make: Make, peer: Peer) -> None:
    defaults: list[dict[str, str]] = []

    def headers(default: dict[str, str]) -> dict[str, str]:
        defaults.append(dict(default))
        return {**default, "X-Token": f"token-{len(defaults)}"}

    websocket(make, peer, "/mqtt", headers)
    for count in (1, 2, 3):
        handshake = Handshake(peer.accept())
        assert handshake.headers["x-token"] == f"token-{count}"
        if count == 1:
            handshake.welcome()
        handshake.connection.reset()
    assert defaults[0]["Host"] == f"127.0.0.1:{peer.port}"
    assert defaults[0]["Upgrade"] == "websocket" and defaults[0]["Origin"].startswith("http://")


def test_a_function_for_headers_that_raises_is_heard_of(make: Make, peer: Peer) -> None:
    def headers(default: dict[str, str]) -> dict[str, str]:
        raise LookupError("no token")

    client = make(V2, transport="websockets")
    client.ws_set_options(headers=headers)
    with pytest.raises(LookupError, match="no token"):
        client.connect("127.0.0.1", peer.port)


@pytest.mark.parametrize("status", ["401 Unauthorized", "404 Not Found", "500 Internal Server Error"])
def test_an_answer_that_is_not_101_is_told_with_its_status(make: Make, peer: Peer, status: str) -> None:
    def refuse() -> None:
        handshake = Handshake(peer.accept())
        body = b"go away"
        head = f"HTTP/1.1 {status}\r\nContent-Length: {len(body)}\r\n\r\n".encode()
        handshake.connection.send(head + body)

    thread = threading.Thread(target=refuse)
    thread.start()
    client = make(V2, transport="websockets")
    with pytest.raises(mqtt.WebsocketConnectionError, match=f"{status}.*go away"):
        client.connect("127.0.0.1", peer.port)
    thread.join()


def test_a_handshake_that_is_never_answered_ends_in_time(make: Make, peer: Peer) -> None:
    client = make(V2, transport="websockets")
    client.connect_timeout = 0.2
    with pytest.raises(OSError, match="time"):
        client.connect("127.0.0.1", peer.port)


def test_ws_set_options_refuses_what_is_no_header(make: Make) -> None:
    client = make(V2, transport="websockets")
    with pytest.raises(ValueError, match="has to be either a dictionary or callable"):
        client.ws_set_options(headers=[("a", "b")])
    for headers in ({"a b": "c"}, {"a": "b\r\nc: d"}, {"Upgrade": "x"}):
        with pytest.raises(ValueError, match="ws_headers"):
            client.ws_set_options(headers=headers)


@pytest.fixture
def through(make: Make) -> Callable[..., mqtt.Client]:
    def connect(broker: Broker, **proxy: Any) -> mqtt.Client:
        client = make()
        if proxy:
            client.proxy_set(**{"proxy_addr": "127.0.0.1", **proxy})
        client.connect("127.0.0.1", broker.port)
        greeted(client)
        return client

    return connect


def test_an_http_proxy_with_a_password_lets_those_through_who_know_it(
    tmp_path: Path, broker: Broker, through: Any, caplog: pytest.LogCaptureFixture
) -> None:
    proxy = tinyproxy(tmp_path, "BasicAuth user hush")
    right = {"proxy_type": 3, "proxy_port": proxy.port, "proxy_username": "user", "proxy_password": "hush"}
    client = through(broker, **right)
    assert "hush" not in repr(client) and client._core.option("proxy") == "***"
    for wrong in ({"proxy_password": "hushhush"}, {"proxy_username": None, "proxy_password": None}):
        with pytest.raises(OSError, match=f"proxy 127.0.0.1:{proxy.port}") as raised:
            through(broker, **{**right, **wrong})
        assert "hush" not in str(raised.value)
    assert "hush" not in caplog.text
    proxy.end()


def test_a_socks_proxy_with_and_without_a_password(broker: Broker, through: Any) -> None:
    free, guarded = microsocks(), microsocks("-u", "user", "-P", "hush")
    through(broker, proxy_type=2, proxy_port=free.port)
    through(broker, proxy_type=2, proxy_port=free.port, proxy_rdns=False)
    known = {"proxy_type": 2, "proxy_port": guarded.port, "proxy_username": "user"}
    through(broker, **known, proxy_password="hush")
    with pytest.raises(OSError, match="does not accept user name and password"):
        through(broker, **known, proxy_password="hushhush")
    with pytest.raises(OSError, match="wants user name and password"):
        through(broker, proxy_type=2, proxy_port=guarded.port)
    for proxy in (free, guarded):
        proxy.end()


def test_the_proxy_resolves_the_name_unless_it_must_not(through: Any, broker: Broker) -> None:
    proxy = microsocks()
    client = through(broker, proxy_type=2, proxy_port=proxy.port)
    client.disconnect()
    with pytest.raises(OSError):
        client.connect("name.invalid", broker.port)
    client.proxy_set(proxy_type=2, proxy_addr="127.0.0.1", proxy_port=proxy.port, proxy_rdns=False)
    with pytest.raises(OSError, match="Name or service not known"):
        client.connect("name.invalid", broker.port)
    proxy.end()


@pytest.mark.parametrize("name", ["mqtt_proxy", "MQTT_PROXY"])
@pytest.mark.parametrize("scheme", ["http", "socks"])
def test_the_environment_names_a_proxy(
    tmp_path: Path, broker: Broker, through: Any, monkeypatch: pytest.MonkeyPatch, name: str, scheme: str
) -> None:
    proxy = tinyproxy(tmp_path) if scheme == "http" else microsocks()
    monkeypatch.setenv(name, f"{scheme}://127.0.0.1:{proxy.port}")
    through(broker)
    proxy.end()
    with pytest.raises(ConnectionRefusedError):
        through(broker)
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    through(broker)


def test_a_default_proxy_of_pysocks_is_used(
    broker: Broker, through: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    proxy = microsocks()
    socks = types.ModuleType("socks")
    socks.get_default_proxy = lambda: (2, "127.0.0.1", proxy.port, True, None, None)  # type: ignore[attr-defined]
    socks.ProxyError = type("ProxyError", (OSError,), {})  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "socks", socks)
    through(broker)
    proxy.end()
    with pytest.raises(ConnectionRefusedError):
        through(broker)
    guarded = microsocks("-u", "user", "-P", "hush")
    with pytest.raises(socks.ProxyError):
        through(broker, proxy_type=2, proxy_port=guarded.port)
    guarded.end()


def test_secrets_are_in_no_exception_and_no_text_of_the_client(make: Make) -> None:
    for options in ({"proxy": "hush"}, {"proxy": "http://user:hush@h h"}, {"proxy": "https://hush@h"}):
        with pytest.raises(ValueError) as raised:
            make(V2, options=options)
        assert "hush" not in str(raised.value)
    client = make(V2, options={"tls_key_password": "hush", "proxy": "http://user:hush@host"})
    assert "hush" not in repr(client)
    assert {client._core.option(key) for key in ("tls_key_password", "proxy")} == {"***"}


def test_proxy_set_refuses_what_it_cannot_do(make: Make) -> None:
    for wrong, text in (
        ({}, "proxy_type and/or proxy_addr are invalid"),
        ({"proxy_type": 2}, "proxy_type and/or proxy_addr are invalid"),
        ({"proxy_type": 9, "proxy_addr": "h"}, "proxy_type and/or proxy_addr are invalid"),
        ({"proxy_type": 1, "proxy_addr": "h"}, "SOCKS4 is not supported"),
        ({"proxy_type": 2, "proxy_addr": "h", "proxy_port": 70_000}, "proxy_port"),
        ({"proxy_type": 2, "proxy_addr": "h", "proxy_username": "x" * 256}, "too long"),
        ({"proxy_type": 2, "proxy_addr": "h i"}, "cannot be understood"),
    ):
        with pytest.raises(ValueError, match=text):
            make().proxy_set(**wrong)
    with pytest.raises(TypeError, match="unexpected keyword"):
        make().proxy_set(proxy_type=2, proxy_addr="h", proxy_pasword="hush")


@pytest.fixture
def names() -> Iterator[NameServer]:
    server = NameServer()
    yield server
    server.end()


def resolving(make: Make, names: NameServer) -> mqtt.Client:
    return make(V2, options={"dns_servers": f"127.0.0.1:{names.port}", "reconnect_min_delay": 1})


def test_srv_records_lead_to_the_servers_in_their_order(
    make: Make, names: NameServer, broker: Broker
) -> None:
    names.records = [(20, 0, broker.port, "localhost"), (10, 5, free_port(), "localhost")]
    client = resolving(make, names)
    assert client.connect_srv("example.test", 30) == 0
    greeted(client)
    assert names.questions[0] == "_mqtt._tcp.example.test"
    assert (client.host, client.keepalive) == ("example.test", 30)


def test_srv_records_are_asked_for_again_after_a_loss(make: Make, names: NameServer, peer: Peer) -> None:
    other = Peer()
    names.records = [(1, 0, peer.port, "localhost")]
    client = resolving(make, names)
    client.connect_srv("example.test")
    client.loop_start()
    first = peer.accept()
    first.welcome()
    names.records = [(1, 0, other.port, "localhost")]
    first.reset()
    other.accept().welcome()
    assert names.questions.count("_mqtt._tcp.example.test") >= 2
    other.end()


def test_srv_over_tls_asks_for_the_secure_service(
    make: Make, names: NameServer, authority: Authority, tmp_path: Path
) -> None:
    broker = Broker(tmp_path, *tls_lines(authority, authority.issue("server")))
    names.records = [(1, 0, broker.port, "localhost")]
    with_key = ssl.create_default_context(cafile=str(authority.pem))
    with_key.load_cert_chain(*authority.issue("client"))
    for prepare in (lambda c: c.tls_set(str(authority.pem)), lambda c: c.tls_set_context(with_key)):
        client = resolving(make, names)
        prepare(client)
        client.connect_srv("example.test")
        greeted(client)
    assert set(names.questions) == {"_secure-mqtt._tcp.example.test"}
    broker.end()


def test_connect_srv_raises_as_paho_does(make: Make, names: NameServer) -> None:
    with pytest.raises(ValueError, match=r"No answer/NXDOMAIN for SRV in example\.test"):
        resolving(make, names).connect_srv("example.test")
    names.records = [(1, 0, free_port(), "localhost")]
    with pytest.raises(ValueError, match="No SRV hosts responded"):
        resolving(make, names).connect_srv("example.test")
    with pytest.raises(ValueError, match="SRV records are for MQTT over TCP"):
        make(V2, transport="websockets").connect_srv("example.test")
    with pytest.raises(ValueError, match="Keepalive"):
        make().connect_srv("example.test", -1)


def test_connections_come_from_the_bound_address_and_port(make: Make, peer: Peer) -> None:
    port = free_port()
    client = make()
    for address, bound, expected in (
        ("127.0.0.2", 0, "127.0.0.2"),
        ("localhost", 0, "127.0.0.1"),
        ("", port, "127.0.0.1"),
        ("127.0.0.3", port, "127.0.0.3"),
    ):
        client.connect("127.0.0.1", peer.port, bind_address=address, bind_port=bound)
        seen = peer.accept().sock.getpeername()
        assert seen[0] == expected and (not bound or seen[1] == bound)
        client.disconnect()


def test_an_address_that_is_not_ours_cannot_be_bound(make: Make, broker: Broker) -> None:
    with pytest.raises(OSError) as raised:
        make().connect("127.0.0.1", broker.port, bind_address="192.0.2.1")
    assert raised.value.errno == errno.EADDRNOTAVAIL
    with pytest.raises(ValueError, match="Invalid bind port number"):
        make().connect("127.0.0.1", broker.port, bind_port=-1)


def test_a_unix_socket_is_named_by_its_path(
    make: Make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "a%41?b#c"
    folder.mkdir()
    broker = UnixBroker(folder)
    client = make(V2, transport="unix")
    client.connect(broker.path)
    greeted(client)
    monkeypatch.chdir(folder)
    client = make(V2, transport="unix")
    client.connect("socket")
    greeted(client)
    broker.end()


def test_what_is_wrong_with_a_unix_socket_is_raised_as_paho_raises_it(make: Make, tmp_path: Path) -> None:
    client = make(V2, transport="unix")
    with pytest.raises(FileNotFoundError):
        client.connect(str(tmp_path / "missing"))
    client.tls_set()
    with pytest.raises(ValueError, match="not encrypted"):
        client.connect(str(tmp_path / "missing"))


def test_the_transport_may_be_changed_before_connecting(make: Make, tmp_path: Path) -> None:
    broker = Broker(tmp_path, *ws_lines(tmp_path))
    client = make()
    with pytest.raises(ValueError, match="transport must be"):
        client.transport = "pigeon"
    client.transport = "websockets"
    assert client.transport == "websockets"
    client.connect("127.0.0.1", broker.port)
    greeted(client)
    broker.end()


def helped(port: int, hostname: str = "127.0.0.1", **road: Any) -> None:
    """A retained message there and back by the helpers."""
    where = {"hostname": hostname, "port": port, **road}
    publish.single("helped", "by a helper", 1, True, **where)
    assert subscribe.simple("helped", 1, **where).payload == b"by a helper"


def test_the_helpers_take_every_road(tmp_path: Path, authority: Authority, broker: Broker) -> None:
    wanted = ("require_certificate true",)
    secure = Broker(tmp_path, *tls_lines(authority, authority.issue("server"), *wanted))
    certificate, key = authority.issue("client")
    tls = {"ca_certs": str(authority.pem), "certfile": certificate, "keyfile": key}
    helped(secure.port, tls=tls)
    helped(secure.port, hostname="localhost", tls={**tls, "insecure": True})
    context = ssl.create_default_context(cafile=str(authority.pem))
    context.load_cert_chain(certificate, key)
    helped(secure.port, tls=context)
    web, unix, proxy = Broker(tmp_path, *ws_lines(tmp_path)), UnixBroker(tmp_path), microsocks()
    helped(web.port, transport="websockets")
    helped(1, hostname=unix.path, transport="unix")
    helped(broker.port, proxy_args={"proxy_type": 2, "proxy_addr": "127.0.0.1", "proxy_port": proxy.port})
    for part in (secure, web, unix, proxy):
        part.end()


def test_the_helpers_take_user_and_password(tmp_path: Path) -> None:
    passwords = tmp_path / "passwords"
    assert os.system(f"mosquitto_passwd -c -b {passwords} user hush >/dev/null 2>&1") == 0
    guarded = Broker(tmp_path, "allow_anonymous false", f"password_file {passwords}")
    helped(guarded.port, auth={"username": "user", "password": "hush"})
    with pytest.raises(mqtt.MQTTException):
        helped(guarded.port, auth={"username": "user", "password": "wrong"})
    guarded.end()


def test_the_roads_are_documented() -> None:
    for name in (
        "tls_set",
        "tls_set_context",
        "tls_insecure_set",
        "ws_set_options",
        "proxy_set",
        "connect_srv",
    ):
        text = getattr(mqtt.Client, name).__doc__
        assert text and "not supported yet" not in text
