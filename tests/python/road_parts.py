"""What stands on the roads to a server: certificates, brokers, proxies, a name server."""

from __future__ import annotations

import contextlib
import shutil
import socket
import ssl
import struct
import subprocess
import threading
from pathlib import Path
from typing import Any, ClassVar

import remqtt.client as mqtt
from conftest import PATIENCE, V2, Broker, Calls, free_port, servers, wait_for

HOSTS = "subjectAltName=DNS:localhost,IP:127.0.0.1"
#: When certificates are valid.
NOW = ("20200101000000Z", "20990101000000Z")
PAST, FUTURE = ("20190101000000Z", "20200101000000Z"), ("20980101000000Z", "20990101000000Z")


#: What each road has proved: road, then test, then the result as a user reads it.
MATRIX: dict[str, dict[str, str]] = {}


def openssl(*arguments: str) -> None:
    subprocess.run(["openssl", *arguments], check=True, capture_output=True, stdin=subprocess.DEVNULL)


class Authority:
    """A certificate authority with a folder of its own."""

    def __init__(self, folder: Path, name: str = "Test Authority") -> None:
        self.folder = folder
        folder.mkdir(exist_ok=True)
        self.key, self.pem = folder / "ca.key", folder / "ca.pem"
        make_key(self.key)
        usage = ("-addext", "keyUsage=critical,keyCertSign,cRLSign")
        files = ("-key", str(self.key), "-out", str(self.pem))
        openssl("req", "-x509", "-new", *files, "-subj", f"/CN={name}", *usage)
        (folder / "index").write_text("")
        (folder / "ca.conf").write_text(
            f"[ca]\ndefault_ca=own\n[own]\ndatabase={folder}/index\nnew_certs_dir={folder}\nrand_serial=yes\n"
            "default_md=sha256\npolicy=any\nunique_subject=no\n[any]\ncommonName=supplied\n"
        )

    def issue(
        self,
        name: str,
        extension: str = HOSTS,
        valid: tuple[str, str] = NOW,
    ) -> tuple[str, str]:
        """Paths of a certificate and its key."""
        stem = self.folder / name.replace(" ", "-")
        key, request, pem, extensions = (stem.with_suffix(end) for end in (".key", ".csr", ".pem", ".ext"))
        make_key(key)
        openssl("req", "-new", "-key", str(key), "-out", str(request), "-subj", f"/CN={name}")
        # What VERIFY_X509_STRICT asks for, which is the default of newer Pythons.
        own = ("subjectKeyIdentifier=hash", "authorityKeyIdentifier=keyid", "basicConstraints=CA:FALSE")
        extensions.write_text("\n".join([*own, extension]) + "\n")
        openssl(
            *("ca", "-batch", "-config", str(self.folder / "ca.conf"), "-cert", str(self.pem)),
            *("-keyfile", str(self.key), "-in", str(request), "-out", str(pem), "-extfile", str(extensions)),
            *("-startdate", valid[0], "-enddate", valid[1], "-notext"),
        )
        return str(pem), str(key)


def trusting(authority: Authority) -> ssl.SSLContext:
    """A context that trusts this authority."""
    return trusting_in(str(authority.pem))


def trusting_in(pem: str) -> ssl.SSLContext:
    """A context as create_default_context() makes it in newer Pythons."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.load_verify_locations(pem)
    return context


def make_key(path: Path) -> None:
    openssl("genpkey", "-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:P-256", "-out", str(path))


def tls_lines(authority: Authority, identity: tuple[str, str], *more: str) -> tuple[str, ...]:
    """Lines of mosquitto.conf for a listener with TLS."""
    certificate, key = identity
    return (
        *("allow_anonymous true", f"cafile {authority.pem}", f"certfile {certificate}", f"keyfile {key}"),
        *more,
    )


def ws_lines(folder: Path, *more: str) -> tuple[str, ...]:
    """Lines for a listener with WebSocket; mosquitto 2.0 ends if it has no other one."""
    other = folder / f"other-{free_port()}"
    return ("allow_anonymous true", "protocol websockets", "socket_domain ipv4", *more, f"listener 0 {other}")


class UnixBroker(Broker):
    """A mosquitto on a Unix socket."""

    def __init__(self, directory: Path) -> None:
        self.path = str(directory / "socket")
        super().__init__(directory, "allow_anonymous true", f"listener 0 {self.path}")

    def _listens(self) -> bool:
        with socket.socket(socket.AF_UNIX) as probe:
            return super()._listens() and probe.connect_ex(self.path) == 0


class Program:
    """A proxy from the system's packages."""

    def __init__(self, port: int, *command: str) -> None:
        self.port = port
        path = shutil.which(command[0]) or f"/usr/bin/{command[0]}"
        self.process = subprocess.Popen(
            [path, *command[1:]], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )
        servers.append(self.process)
        wait_for(self._listens, command[0])

    def _listens(self) -> bool:
        with socket.socket() as probe:
            return probe.connect_ex(("127.0.0.1", self.port)) == 0

    def end(self) -> None:
        self.process.kill()
        self.process.wait()


def tinyproxy(folder: Path, *lines: str) -> Program:
    port = free_port()
    config = folder / f"tinyproxy-{port}.conf"
    own = (f"Port {port}", "Listen 127.0.0.1", "Timeout 600", "MaxClients 50", "Allow 127.0.0.1")
    config.write_text("\n".join([*own, *lines]) + "\n")
    return Program(port, "tinyproxy", "-d", "-c", str(config))


def microsocks(*arguments: str) -> Program:
    port = free_port()
    return Program(port, "microsocks", "-i", "127.0.0.1", "-p", str(port), *arguments)


class NameServer:
    """Answers every SRV question with the records that the test gives it: (priority, weight, port, host)."""

    def __init__(self) -> None:
        self.records: list[tuple[int, int, int, str]] = []
        self.questions: list[str] = []
        self.sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.sock.bind(("127.0.0.1", 0))
        self.port: int = self.sock.getsockname()[1]
        threading.Thread(target=self._serve, daemon=True).start()

    def _serve(self) -> None:
        while True:
            try:
                query, peer = self.sock.recvfrom(4_096)
            except OSError:
                return
            if query:
                with contextlib.suppress(OSError):  # the test has just ended
                    self.sock.sendto(self._answer(query), peer)

    def _answer(self, query: bytes) -> bytes:
        end = query.index(0, 12) + 5
        name, at = [], 12
        while query[at]:
            name.append(query[at + 1 : at + 1 + query[at]].decode())
            at += 1 + query[at]
        self.questions.append(".".join(name))
        is_srv = query[end - 4 : end - 2] == b"\0\x21" and self.records
        records = self.records if is_srv else []
        code = 0x8180 if records else 0x8183
        answer = query[:2] + struct.pack(">HHHHH", code, 1, len(records), 0, 0) + query[12:end]
        for priority, weight, port, host in records:
            target = b"".join(bytes([len(part)]) + part.encode() for part in host.split(".")) + b"\0"
            data = struct.pack(">HHH", priority, weight, port) + target
            answer += b"\xc0\x0c" + struct.pack(">HHIH", 33, 1, 0, len(data)) + data
        return answer

    def end(self) -> None:
        self.sock.close()


class Traveller:
    """A subscriber and a publisher on the same road; the test counts what arrives."""

    QUICK: ClassVar = {"reconnect_min_delay": 1, "reconnect_max_delay": 20, "refused_min_delay": 20}

    def __init__(self, prepare: Any, host: str, port: int, transport: str = "tcp") -> None:
        self.received: list[bytes] = []
        self.echoes = 0
        self.clients = []
        for name in ("subscriber", "publisher"):
            client = mqtt.Client(
                V2, f"{name}-{free_port()}", False, None, 4, transport, True, True, options=self.QUICK
            )
            client.connect_timeout = PATIENCE
            prepare(client)
            self.clients.append(client)
        self.subscriber, self.publisher = self.clients
        self.calls = Calls(self.subscriber, "on_connect", "on_subscribe", "on_disconnect", "on_connect_fail")
        self.subscriber.on_message = self._take
        for client in self.clients:
            client.connect(host, port)
            client.loop_start()
        self.calls.find("on_connect")
        self.subscriber.subscribe([("road/one", 1), ("road/two", 2), ("road/echo", 0)])
        self.calls.find("on_subscribe")

    def publish(self, start: int, count: int) -> set[bytes]:
        """Publishes numbers with QoS 1 and with QoS 2."""
        numbers = set()
        for number in range(start, start + count):
            for qos, topic in ((1, "road/one"), (2, "road/two")):
                payload = b"%d:%d" % (qos, number)
                self.publisher.publish(topic, payload, qos)
                numbers.add(payload)
        return numbers

    def expect(self, numbers: set[bytes]) -> None:
        """Waits until all of them have arrived."""
        wait_for(lambda: numbers <= set(self.received), "what was published")

    def _take(self, client: Any, userdata: Any, message: Any) -> None:
        if message.topic == "road/echo":
            self.echoes += 1
        else:
            self.received.append(message.payload)
            # By hand: an acknowledgement of the library's own is on its way within 2 ms, this one at once.
            client.ack(message.mid, message.qos)

    def settle(self) -> None:
        """Waits until nothing is half done: mosquitto 2.0 restores some of that in an earlier state."""
        assert self.publisher._core.flush(PATIENCE)
        # The first echo comes after the PUBRELs for our PUBRECs, the second after our PUBCOMPs have arrived.
        for echo in (1, 2):
            self.subscriber.publish("road/echo", None, 0)
            wait_for(lambda echo=echo: self.echoes >= echo, "the echo")
        self.echoes = 0

    def verdict(self, sent: set[bytes]) -> str:
        """Nothing was lost, and nothing of QoS 2 came twice."""
        lost = sent - set(self.received)
        twos = [payload for payload in self.received if payload.startswith(b"2:")]
        doubled = len(twos) - len(set(twos))
        assert not lost and not doubled, (lost, doubled)
        return f"{len(sent)} sent, lost 0, doubled 0"

    def end(self) -> None:
        for client in self.clients:
            client.disconnect()
            client.loop_stop()


class Logged:
    """The lines of a client's log."""

    def __init__(self, client: Any) -> None:
        self.lines: list[str] = []
        client.on_log = lambda c, u, level, text: self.lines.append(text)

    def has(self, part: str) -> bool:
        return any(part in line for line in self.lines)
