"""The roads to a server: transport, TLS, WebSocket, proxy, bound address."""

from __future__ import annotations

import contextlib
import ipaddress
import itertools
import os
import socket
import sys
import time
import weakref
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Union
from urllib.parse import quote

from . import _native, _proxy
from ._callbacks import Login
from ._events import Events
from .enums import LogLevel

if TYPE_CHECKING:
    import ssl

    from . import _relay

_TRANSPORTS = ("websockets", "tcp", "unix")
#: Headers that the WebSocket handshake itself decides about.
_OWN_HEADERS = ("upgrade", "connection", "sec-websocket-key", "sec-websocket-version")
#: What rustls says when it and the server cannot agree, in contrast to what the network does to a handshake.
_DISAGREEMENTS = ("fatal alert", "incompatible")

#: What the core says of a server that nobody it trusts vouches for, or only somebody of the same name.
_STRANGERS = ("is not trusted; tls_ca_file names whom to trust", ": BadSignature")

_clients: weakref.WeakValueDictionary[int, Roads] = weakref.WeakValueDictionary()
_numbers = itertools.count(1)

WebSocketHeaders = Union["dict[str, str]", Callable[["dict[str, str]"], "dict[str, str]"]]


class WebsocketConnectionError(ConnectionError):
    """The WebSocket handshake failed."""


# Where paho has it.
WebsocketConnectionError.__module__ = "remqtt.client"


class Roads(Events):
    """How the server is reached; `Client` inherits it."""

    _transport = "tcp"
    _host = ""
    _port = 1883
    _bind_address = ""
    _bind_port = 0
    #: The host is a name with SRV records.
    _service = False
    #: Endpoint URLs that come after host and port.
    _further_servers: tuple[str, ...] = ()
    #: Options set by the user win over what paho's arguments mean.
    _overrides: dict[str, str] | None = None
    _ssl = False
    _ssl_context: ssl.SSLContext | None = None
    _tls_insecure = False
    #: What tls_set() was given, as options of the core; None after tls_set_context().
    _tls_options: dict[str, str] | None = None
    #: What tls_set() was asked for that only Python's ssl can do.
    _tls_by_python = ""
    #: Name and words of the error with which the core's TLS has refused the server since connect().
    _core_refusal: tuple[str, str] | None = None
    #: Who encrypts at present.
    _encrypts = ""
    #: The exception that ended the last attempt in Python's part of the road.
    _road_error: Exception | None = None
    _websocket_path = "/mqtt"
    _websocket_extra_headers: WebSocketHeaders | None = None
    _proxy: dict[str, Any] | None = None
    _number = 0

    def tls_set(
        self,
        ca_certs: str | None = None,
        certfile: str | None = None,
        keyfile: str | None = None,
        cert_reqs: ssl.VerifyMode | None = None,
        tls_version: int | None = None,
        ciphers: str | None = None,
        keyfile_password: Any = None,
        alpn_protocols: list[str] | None = None,
    ) -> None:
        """Encrypts the connection with TLS.

        `ca_certs` is a file with the authorities that may vouch for the server (default: the system's),
        `certfile` and `keyfile` hold a certificate of this client, which `keyfile_password` opens. Files are
        read here, and what is wrong with them is raised here: FileNotFoundError, ssl.SSLError and so on.
        `cert_reqs=ssl.CERT_NONE` accepts any server, also an impostor.

        The core's TLS does it, or else Python's ssl: where a cipher list, a version or a key is given that
        only that one knows, and where the core refuses a certificate that Python's ssl may accept. The log
        says which of the two.
        """
        _need_ssl()
        from . import _tls

        made, options, why = _tls.asked_for(
            *(ca_certs, certfile, keyfile, cert_reqs, tls_version, ciphers, keyfile_password, alpn_protocols)
        )
        self.tls_set_context(made)
        self._tls_options, self._tls_by_python = options, why
        if options["tls_ciphers"]:
            try:
                self._core.set_options({"tls_ciphers": options["tls_ciphers"]})
            except ValueError:
                options["tls_ciphers"], self._tls_by_python = "", "the list of ciphers"

    def tls_set_context(self, context: ssl.SSLContext | None = None) -> None:
        """Encrypts the connection as an ssl.SSLContext says; by default ssl.create_default_context().

        Any context will do. Where all it says can be read out of it, the core's TLS does the same; everything
        else (a client's key, callbacks, verify flags, ...) travels through Python's ssl, which is correct and
        somewhat slower. The log says which of the two.
        """
        if self._ssl_context is not None:
            raise ValueError("SSL/TLS has already been configured.")
        if context is None:
            context = _need_ssl().create_default_context()
        self._ssl, self._ssl_context = True, context
        self._tls_options, self._tls_by_python, self._core_refusal = None, "", None
        self._tls_insecure = not getattr(context, "check_hostname", True)

    def tls_insecure_set(self, value: bool) -> None:
        """With True, a certificate that was issued for another host is accepted.

        Whoever has any certificate of a trusted authority can then pretend to be the server.
        """
        if self._ssl_context is None:
            raise ValueError("Must configure SSL context before using tls_insecure_set.")
        self._ssl_context.check_hostname = not value
        self._tls_insecure = value
        if self._tls_options is not None:
            # Python's ssl turns verification on again with the host name.
            blind = self._ssl_context.verify_mode == 0
            self._tls_options["tls_insecure_skip_hostname"] = str(bool(value)).lower()
            self._tls_options["tls_insecure_skip_verification"] = str(blind).lower()

    def ws_set_options(self, path: str = "/mqtt", headers: WebSocketHeaders | None = None) -> None:
        """What the WebSocket handshake asks for.

        `headers` is a dict of headers beside the default ones, or a function that gets a dict of the default
        ones and returns those to send; it is called for every connection, on a thread of this library's. Some
        belong to the handshake and stay as they are: Upgrade, Connection, Sec-WebSocket-Key and -Version.
        """
        if headers is not None and not isinstance(headers, dict) and not callable(headers):
            raise ValueError("'headers' option to ws_set_options has to be either a dictionary or callable")
        if isinstance(headers, dict):
            self._core.set_ws_headers([(str(name), str(value)) for name, value in headers.items()])
        self._websocket_path = path
        if headers is not None:
            self._websocket_extra_headers = headers

    def proxy_set(self, **proxy_args: Any) -> None:
        """Connects through a proxy, in PySocks' words, which need not be installed.

        proxy_type (socks.HTTP = 3 or socks.SOCKS5 = 2) and proxy_addr are required; proxy_port (8080, 1080),
        proxy_rdns (True: a SOCKS5 proxy resolves the server's name; an HTTP proxy always does),
        proxy_username and proxy_password are not. Without a call, the variable mqtt_proxy of the environment
        names a proxy (http://, socks://), except for the hosts in no_proxy.
        """
        checked = _proxy.checked(proxy_args)
        self._core.set_options({"proxy": _proxy.url(checked)})
        self._proxy = checked

    @property
    def transport(self) -> str:
        """How the server is reached: "tcp", "websockets" or "unix"."""
        return self._transport

    @transport.setter
    def transport(self, value: str) -> None:
        self._refuse_while_connected("transport")
        if value not in _TRANSPORTS:
            raise ValueError(f"transport must be {', '.join(map(repr, _TRANSPORTS))}, not {value!r}")
        self._transport = value

    def _register(self) -> None:
        """From now on the core's questions about this client find it."""
        self._number = next(_numbers)
        _clients[self._number] = self

    def _lay_road(self) -> None:
        """Tells the core how the next connections are made."""
        servers = [self._endpoint(), *self._further_servers]
        overrides = self._overrides or {}
        encrypted = any(url.lower().startswith(("mqtts", "ssl", "wss")) for url in servers)
        options = {"bind_address": self._bind_to(), "bind_port": str(self._bind_port)}
        # Not left to the core: while it reads the environment, Python might be changing it.
        options["proxy"] = _proxy.url(self._proxy) if self._proxy else _proxy.found(self._host)
        if self._transport == "unix":
            options["proxy"] = ""
        self._encrypts = ""
        if encrypted and self._ssl_context is not None:
            options.update(self._tls_road(self._ssl_context))
        if not encrypted and self._tls_overrides():
            raise ValueError(
                f"{self._tls_overrides()[0]} is set, but nothing asks for TLS: call tls_set(), or use mqtts://"
            )
        self._core.set_options({**options, **overrides})
        headers = self._websocket_extra_headers
        if self._transport == "websockets" and not callable(headers):
            given = {"Origin": self._default_headers()["Origin"], **(headers or {})}
            self._core.set_ws_headers([(str(name), str(value)) for name, value in given.items()])
        self._core.set_servers(servers)
        self._core.help_with(self._number, self._encrypts == "python", self._asks_for_headers())
        if self._encrypts == "python" or self._asks_for_headers():
            self._prepare_to_help()
        self._credentials_changed()

    def _credentials_changed(self) -> None:
        """Tells the core whether on_credentials is to be asked before each attempt."""
        asks = self.on_credentials is not None
        self._core.ask_credentials(self._number, asks)
        if asks:
            self._prepare_to_help()

    def _asks_for_headers(self) -> bool:
        return self._transport == "websockets" and callable(self._websocket_extra_headers)

    def _endpoint(self) -> str:
        """Transport, host and port as the core's URL. A host may be such a URL itself."""
        if "://" in self._host:
            return self._host
        if self._transport == "unix":
            if self._ssl:
                raise ValueError("a Unix socket is not encrypted: leave tls_set() out")
            return "unix://" + quote(os.path.abspath(self._host))
        scheme = {"tcp": ("mqtt", "mqtts"), "websockets": ("ws", "wss")}[self._transport][self._ssl]
        if self._service:
            if self._transport == "websockets":
                raise ValueError("SRV records are for MQTT over TCP: connect() takes the host of a WebSocket")
            return f"{scheme}+srv://{self._host}"
        host = f"[{self._host}]" if ":" in self._host else self._host
        path = ""
        if self._transport == "websockets":
            path = "/" + self._websocket_path.lstrip("/") if self._websocket_path else "/"
        return f"{scheme}://{host}:{self._port}{path}"

    def _bind_to(self) -> str:
        if not self._bind_address:
            return ""
        try:
            return str(ipaddress.ip_address(self._bind_address))
        except ValueError:
            return str(socket.getaddrinfo(self._bind_address, None, type=socket.SOCK_STREAM)[0][4][0])

    def _tls_overrides(self) -> list[str]:
        """Options of the core's TLS that were set by their own names."""
        usual = {key: default or "" for key, _, _, default, _ in _native.OPTIONS}
        overrides = (self._overrides or {}).items()
        return [key for key, value in overrides if key.startswith("tls_") and value != usual[key]]

    def _tls_road(self, context: ssl.SSLContext) -> dict[str, str]:
        """Who encrypts, and the options of the core if that does it."""
        from . import _context

        why, options, authorities = self._tls_by_python, self._tls_options, None
        if self._core_refusal is not None:
            why = "rustls did not like the server"
        if not why and options is None:
            mirrored = _context.mirror(context)
            if isinstance(mirrored, str):
                why = mirrored
            else:
                authorities, options = mirrored.authorities or None, _context.options(mirrored)
        if why and set(self._tls_overrides()) - {"tls_server_name"}:
            raise ValueError(
                f"the options {', '.join(self._tls_overrides())} are for rustls, and Python's ssl has to do "
                f"it ({why}): say the same to tls_set() or in the context"
            )
        if why and self._tls_options is not None:
            from . import _tls

            _tls.complete(context, self._tls_options)
        self._encrypts = "python" if why else "core"
        by = f"Python's ssl ({why})" if why else "rustls"
        self._log(LogLevel.MQTT_LOG_INFO, "TLS is done by %s", by)
        self._core.set_tls_ca(None if why else authorities)
        return {} if why or options is None else options

    def _let_python_encrypt(self, error: tuple[Any, ...]) -> bool:
        """The core's TLS did not like the server: the context decides. False if that is no way out.

        rustls is stricter than OpenSSL: it wants names in subjectAltName, keys and signatures of today, and
        it does not see folders of authorities.
        """
        _, name, _, _, text = error
        about_tls = name == "CertificateRefused" or (
            name in ("HandshakeFailed", "InvalidOption")
            and ("TLS: " in text or "tls_" in text)
            and (name == "InvalidOption" or any(words in text for words in _DISAGREEMENTS))
        )
        # A stranger to the authorities in a named file is one to Python's ssl too.
        named = (self._tls_options or {}).get("tls_ca_file")
        if named and any(words in text for words in _STRANGERS):
            return False
        # What was said to the core by the names of its options, the context does not know.
        if self._encrypts != "core" or not about_tls or self._tls_overrides():
            return False
        self._log(LogLevel.MQTT_LOG_WARNING, "%s", text)
        self._core_refusal = (name, text)
        if self._ssl_context is not None:
            self._tls_road(self._ssl_context)
        self._core.help_with(self._number, True, self._asks_for_headers())
        self._prepare_to_help()
        return True

    def _prepare_to_help(self) -> None:
        """Python's part of the road needs somebody who takes the core's questions."""
        from . import _dispatch

        _dispatch.prepare()

    def _default_headers(self) -> dict[str, str]:
        port = "" if self._port == (443 if self._ssl else 80) else f":{self._port}"
        host = (f"[{self._host}]" if ":" in self._host else self._host) + port
        return {
            "Host": host,
            "Upgrade": "websocket",
            "Connection": "Upgrade",
            "Origin": f"{'https' if self._ssl else 'http'}://{host}",
            "Sec-Websocket-Version": "13",
            "Sec-Websocket-Protocol": "mqtt",
        }

    def _made_headers(self) -> list[tuple[str, str]]:
        make = self._websocket_extra_headers
        made = make(self._default_headers()) if callable(make) else {}
        return [(str(name), str(value)) for name, value in made.items() if name.lower() not in _OWN_HEADERS]


def _need_ssl() -> Any:
    try:
        import ssl
    except ImportError:
        raise ValueError("This platform has no SSL/TLS.") from None
    return ssl


def drain(deadline: float) -> None:
    """Waits until what the core has written is on its way."""
    relay = sys.modules.get(f"{__package__}._relay")
    if relay is not None:
        relay.drain(deadline)


def answer(question: _native.Question) -> None:
    """Does what the core wants of Python on the way to a server; on a thread of its own."""
    if question.about == "credentials":
        _answer_with_credentials(question)
        return
    sockets = question.sockets()
    if sockets is None:
        _answer_with_headers(question)
        return
    with contextlib.ExitStack() as stack:
        connection, plain = (stack.enter_context(socket.socket(fileno=number)) for number in sockets)
        relay = _encrypted(question, connection, plain)
        if relay is None:
            return
        relay.run()
    # Only now: a client may go while its connection is up or winds up.
    client = _clients.get(question.client)
    if relay.error is not None and client is not None:
        text = "%s:%d: TLS: %s"
        client._log(LogLevel.MQTT_LOG_WARNING, text, question.host, question.port, relay.error)


def _answer_with_headers(question: _native.Question) -> None:
    client = _clients.get(question.client)
    if client is not None:
        try:
            question.done(client._made_headers())
        except Exception as error:
            client._road_error = error
            question.failed("HandshakeFailed", f"WebSocket: the function for the headers: {error}")


def _answer_with_credentials(question: _native.Question) -> None:
    client = _clients.get(question.client)
    if client is None or client.on_credentials is None:
        return
    try:
        question.login(*Login(*client.on_credentials(client, client._userdata)))
    except Exception as error:
        client._road_error = error
        if not (client._connecting or client._raise_first):  # else connect() or the loop raises it
            client._report("on_credentials", error)
        question.failed("ConnectFailed", f"on_credentials: {error}")


def _encrypted(
    question: _native.Question, connection: socket.socket, plain: socket.socket
) -> _relay.Relay | None:
    """Makes the handshake and answers; the relay, if there is something to pass on."""
    from . import _relay, _tls

    client = _clients.get(question.client)
    context = None if client is None else client._ssl_context
    if client is None or context is None:
        return None
    name = client._core.option("tls_server_name") or question.host
    try:
        secure = _relay.secured(context, connection, name, time.monotonic() + question.timeout)
    except Exception as error:
        client._road_error = error
        question.failed(_tls.code_of(error), f"{question.host}:{question.port}: TLS: {error}")
        return None
    relay = _relay.Relay(secure, plain)
    question.done()
    return relay
