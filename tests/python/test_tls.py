"""tls_set(), tls_set_context(), tls_insecure_set(): what they accept, who encrypts, what goes wrong."""

from __future__ import annotations

import gc
import logging
import ssl
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import remqtt.client as mqtt
from conftest import PATIENCE, V2, Broker, Calls, Peer, Proxy, wait_for
from road_parts import FUTURE, PAST, Authority, Logged, Traveller, openssl, tls_lines, trusting

Make = Callable[..., mqtt.Client]


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory, authority: Authority) -> Iterator[Broker]:
    """A mosquitto with TLS that wants a certificate of the client."""
    folder = tmp_path_factory.mktemp("tls")
    lines = tls_lines(authority, authority.issue("server"), "require_certificate true")
    broker = Broker(folder, *lines)
    yield broker
    broker.end()


@pytest.fixture(scope="module")
def open_server(tmp_path_factory: pytest.TempPathFactory, authority: Authority) -> Iterator[Broker]:
    """A mosquitto with TLS for everybody."""
    broker = Broker(tmp_path_factory.mktemp("tls"), *tls_lines(authority, authority.issue("server")))
    yield broker
    broker.end()


def greeted(client: mqtt.Client, port: int, host: str = "localhost") -> None:
    """Connects and waits for the server's yes."""
    calls = Calls(client, "on_connect")
    client.connect(host, port)
    client.loop_start()
    assert not calls.find("on_connect")[1].is_failure


def test_a_context_with_a_client_key_and_one_with_a_verify_flag_connect(
    make: Make, authority: Authority, server: Broker, tmp_path: Path
) -> None:
    identity = authority.issue("client")
    with_key = trusting(authority)
    with_key.load_cert_chain(*identity)
    with_flag = trusting(authority)
    with_flag.load_cert_chain(*identity)
    with_flag.verify_flags |= ssl.VERIFY_CRL_CHECK_LEAF
    revocations = tmp_path / "revocations.pem"
    ca = ("ca", "-config", str(authority.folder / "ca.conf"), "-cert", str(authority.pem))
    openssl(*ca, "-keyfile", str(authority.key), "-gencrl", "-crldays", "30", "-out", str(revocations))
    with_flag.load_verify_locations(str(revocations))
    for context, why in ((with_key, "it has a certificate"), (with_flag, "its verify_flags")):
        client = make()
        log = Logged(client)
        client.tls_set_context(context)
        greeted(client, server.port)
        assert log.has(f"TLS is done by Python's ssl ({why}")


def test_a_verify_flag_has_its_effect(make: Make, authority: Authority, open_server: Broker) -> None:
    context = trusting(authority)
    context.verify_flags |= ssl.VERIFY_CRL_CHECK_LEAF
    client = make()
    client.tls_set_context(context)
    with pytest.raises(ssl.SSLCertVerificationError, match="unable to get certificate CRL"):
        client.connect("localhost", open_server.port)


def test_a_plain_context_is_mirrored(make: Make, authority: Authority, open_server: Broker) -> None:
    context = trusting(authority)
    context.set_alpn_protocols(["mqtt", "other"])
    client = make()
    log = Logged(client)
    client.tls_set_context(context)
    greeted(client, open_server.port)
    assert log.has("TLS is done by rustls")
    assert client._core.option("tls_alpn") == "mqtt,other"


def test_the_logger_hears_who_encrypts(
    make: Make, authority: Authority, open_server: Broker, caplog: pytest.LogCaptureFixture
) -> None:
    client = make()
    client.enable_logger(logging.getLogger("roads"))
    client.tls_set(str(authority.pem))
    with caplog.at_level(logging.INFO, "roads"):
        greeted(client, open_server.port)
    assert "TLS is done by rustls" in caplog.text


BAD = [
    ("wrong host", {"extension": "subjectAltName=DNS:elsewhere.example"}, ["localhost", "elsewhere.example"]),
    ("expired", {"valid": PAST}, ["expired on"]),
    ("not yet valid", {"valid": FUTURE}, ["not valid before"]),
]


@pytest.mark.parametrize(("name", "how", "words"), BAD, ids=[name for name, _, _ in BAD])
@pytest.mark.parametrize("by", ["tls_set", "mirrored context", "context with a key"])
def test_a_bad_certificate_is_refused_in_words(
    make: Make, authority: Authority, tmp_path: Path, name: str, how: Any, words: list[str], by: str
) -> None:
    broker = Broker(tmp_path, *tls_lines(authority, authority.issue(name, **how)))
    client = make()
    if by == "tls_set":
        client.tls_set(str(authority.pem))
    else:
        context = trusting(authority)
        if by == "context with a key":
            context.load_cert_chain(*authority.issue("client"))
            words = ["certificate verify failed"]
        client.tls_set_context(context)
    with pytest.raises(ssl.SSLCertVerificationError) as raised:
        client.connect("localhost", broker.port)
    assert all(word in str(raised.value) for word in words), raised.value
    assert raised.value.verify_message and isinstance(raised.value, OSError)
    broker.end()


def test_an_unknown_issuer_is_named(make: Make, tmp_path: Path, open_server: Broker) -> None:
    stranger = Authority(tmp_path / "stranger", "Stranger")
    client = make()
    client.tls_set(str(stranger.pem))
    with pytest.raises(ssl.SSLCertVerificationError, match='issuer "CN=Test Authority" is not trusted'):
        client.connect("localhost", open_server.port)


def test_in_the_background_a_bad_certificate_is_logged_and_on_connect_fail_called(
    make: Make, tmp_path: Path, open_server: Broker
) -> None:
    client = make()
    log, calls = Logged(client), Calls(client, "on_connect_fail")
    client.tls_set(str(Authority(tmp_path / "stranger", "Stranger").pem))
    client.connect_async("localhost", open_server.port)
    client.loop_start()
    calls.find("on_connect_fail")
    wait_for(lambda: log.has("is not trusted"))


def test_a_certificate_that_only_openssl_accepts_is_accepted_by_it(
    make: Make, authority: Authority, tmp_path: Path
) -> None:
    # A subjectAltName without a host: OpenSSL looks at the common name then, the core does not.
    identity = authority.issue("localhost", extension="subjectAltName=email:broker@example.org")
    broker = Broker(tmp_path, *tls_lines(authority, identity))
    for background in (False, True):
        client = make()
        log, calls = Logged(client), Calls(client, "on_connect", "on_connect_fail")
        client.tls_set(str(authority.pem))
        (client.connect_async if background else client.connect)("localhost", broker.port)
        client.loop_start()
        assert calls.next()[0] == "on_connect"
        assert log.has("TLS is done by rustls") and log.has("TLS is done by Python's ssl")
    broker.end()


def test_the_common_name_counts_where_there_is_no_other_as_in_paho(
    make: Make, authority: Authority, tmp_path: Path
) -> None:
    broker = Broker(tmp_path, *tls_lines(authority, authority.issue("localhost", extension="")))
    client = make()
    log = Logged(client)
    client.tls_set(str(authority.pem))
    greeted(client, broker.port)
    assert log.has("TLS is done by rustls") and not log.has("TLS is done by Python's ssl")
    broker.end()
    broker = Broker(tmp_path, *tls_lines(authority, authority.issue("elsewhere", extension="")))
    client = make()
    client.tls_set(str(authority.pem))
    with pytest.raises(ssl.SSLCertVerificationError):
        client.connect("localhost", broker.port)
    broker.end()


def test_insecure_accepts_another_host_and_none_accepts_everybody(
    make: Make, authority: Authority, tmp_path: Path
) -> None:
    identity = authority.issue("elsewhere", extension="subjectAltName=DNS:elsewhere.example")
    broker = Broker(tmp_path, *tls_lines(authority, identity))
    client = make()
    client.tls_set(str(authority.pem))
    client.tls_insecure_set(True)
    greeted(client, broker.port)
    client = make()
    client.tls_set(cert_reqs=ssl.CERT_NONE)
    greeted(client, broker.port)
    context = trusting(authority)
    context.check_hostname = False
    client = make()
    client.tls_set_context(context)
    greeted(client, broker.port)
    # The issuer still counts.
    client = make()
    client.tls_set(str(Authority(tmp_path / "stranger", "Stranger").pem))
    client.tls_insecure_set(True)
    with pytest.raises(ssl.SSLCertVerificationError):
        client.connect("localhost", broker.port)
    broker.end()


def test_tls_set_refuses_as_paho_does(make: Make, authority: Authority, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="Must configure SSL context before using tls_insecure_set"):
        make().tls_insecure_set(True)
    client = make()
    client.tls_set(str(authority.pem))
    for again in (client.tls_set, client.tls_set_context):
        with pytest.raises(ValueError, match=r"SSL/TLS has already been configured"):
            again()
    certificate, key = authority.issue("client")
    missing = str(tmp_path / "missing")
    for arguments in (
        {"ca_certs": missing},
        {"certfile": missing},
        {"certfile": certificate, "keyfile": missing},
    ):
        with pytest.raises(FileNotFoundError):
            make().tls_set(**arguments)
    for arguments in (
        {"ca_certs": key},
        {"certfile": certificate, "keyfile": certificate},
        {"certfile": certificate, "keyfile": authority.issue("other")[1]},
        {"ciphers": "nonsense"},
    ):
        with pytest.raises(ssl.SSLError):
            make().tls_set(**arguments)


def test_an_encrypted_key_is_opened_by_its_password(
    make: Make, authority: Authority, server: Broker, tmp_path: Path
) -> None:
    certificate, key = authority.issue("client")
    modern, old = str(tmp_path / "modern.key"), str(tmp_path / "old.key")
    openssl("pkcs8", "-topk8", "-in", key, "-out", modern, "-passout", "pass:hush", "-v2", "aes-256-cbc")
    openssl("ec", "-in", key, "-aes256", "-out", old, "-passout", "pass:hush")
    for path, by in ((modern, "rustls"), (old, "Python's ssl (the encryption of the private key)")):
        for password in ("hush", b"hush", lambda: "hush"):
            client = make()
            log = Logged(client)
            client.tls_set(str(authority.pem), certificate, path, keyfile_password=password)
            greeted(client, server.port)
            assert log.has(f"TLS is done by {by}") and not log.has("hush")
            assert "hush" not in repr(client) and client._core.option("tls_key_password") in ("***", "")
        with pytest.raises(ssl.SSLError):
            make().tls_set(str(authority.pem), certificate, path, keyfile_password="wrong")
        with pytest.raises(ValueError, match="keyfile_password has to be given"):
            make().tls_set(str(authority.pem), certificate, path)


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_ciphers_versions_and_protocols_have_their_effect(
    make: Make, authority: Authority, open_server: Broker
) -> None:
    for arguments, by in (
        ({"ciphers": "ECDHE-ECDSA-AES256-GCM-SHA384"}, "rustls"),
        ({"ciphers": "HIGH:!aNULL"}, "Python's ssl (the list of ciphers)"),
        ({"tls_version": ssl.PROTOCOL_TLS}, "rustls"),
        ({"tls_version": ssl.PROTOCOL_TLSv1_2}, "Python's ssl (tls_version)"),
        ({"alpn_protocols": ["mqtt"]}, "rustls"),
    ):
        client = make()
        log = Logged(client)
        client.tls_set(str(authority.pem), **arguments)
        greeted(client, open_server.port)
        assert log.has(f"TLS is done by {by}"), arguments


def test_a_server_that_wants_a_certificate_is_understood(
    make: Make, authority: Authority, server: Broker
) -> None:
    client = make()
    log = Logged(client)
    client.tls_set(str(authority.pem))
    # In TLS 1.3 the refusal comes when the handshake is over for this side: connect() may have returned.
    try:
        client.connect("localhost", server.port)
    except ssl.SSLError:
        return
    client.loop_start()
    wait_for(lambda: log.has("ertificate"))


def test_a_port_without_tls_is_an_error_of_the_handshake(
    make: Make, authority: Authority, broker: Broker
) -> None:
    with_key = trusting(authority)
    with_key.load_cert_chain(*authority.issue("client"))
    for context in (trusting(authority), with_key):
        client = make()
        client.tls_set_context(context)
        with pytest.raises((ssl.SSLError, ConnectionResetError)):
            client.connect("localhost", broker.port)


def test_a_handshake_that_is_never_answered_ends_in_time(
    make: Make, authority: Authority, peer: Peer
) -> None:
    with_key = trusting(authority)
    with_key.load_cert_chain(*authority.issue("client"))
    for context in (trusting(authority), with_key):
        client = make()
        client.connect_timeout = 0.2
        client.tls_set_context(context)
        with pytest.raises(OSError, match="time"):
            client.connect("localhost", peer.port)


def test_options_of_tls_without_tls_are_refused(make: Make, authority: Authority) -> None:
    client = make(V2, options={"tls_ca_file": str(authority.pem)})
    with pytest.raises(ValueError, match="nothing asks for TLS"):
        client.connect("localhost", 1)


def test_options_of_tls_are_not_forgotten_when_only_python_could_do_it(
    make: Make, authority: Authority, open_server: Broker, tmp_path: Path
) -> None:
    stranger = str(Authority(tmp_path / "stranger", "Stranger").pem)
    context = trusting(authority)
    context.load_cert_chain(*authority.issue("client"))
    client = make(V2, options={"tls_ca_file": stranger})
    client.tls_set_context(context)
    with pytest.raises(ValueError, match="tls_ca_file are for rustls, and Python's ssl has to do it"):
        client.connect("localhost", open_server.port)
    # Python's ssl would trust whom tls_set() names; the option says otherwise.
    client = make(V2, options={"tls_ca_file": stranger})
    client.tls_set(str(authority.pem))
    with pytest.raises(ssl.SSLCertVerificationError, match="is not trusted"):
        client.connect("localhost", open_server.port)


def test_another_name_than_the_hosts_may_be_expected(
    make: Make, authority: Authority, tmp_path: Path
) -> None:
    identity = authority.issue("elsewhere", extension="subjectAltName=DNS:elsewhere.example")
    broker = Broker(tmp_path, *tls_lines(authority, identity))
    context = trusting(authority)
    context.load_cert_chain(*authority.issue("client"))
    for prepare in (lambda c: c.tls_set(str(authority.pem)), lambda c: c.tls_set_context(context)):
        client = make(V2, options={"tls_server_name": "elsewhere.example"})
        prepare(client)
        greeted(client, broker.port)
    broker.end()


def test_without_ca_certs_the_systems_authorities_count(make: Make, open_server: Broker) -> None:
    client = make()
    client.tls_set()
    with pytest.raises(ssl.SSLCertVerificationError, match="is not trusted"):
        client.connect("localhost", open_server.port)


def test_a_url_and_options_are_enough(make: Make, authority: Authority, open_server: Broker) -> None:
    client = make(V2, options={"tls_ca_file": str(authority.pem)})
    greeted(client, open_server.port, f"mqtts://localhost:{open_server.port}")


def test_large_messages_pass_through_pythons_ssl_both_ways(authority: Authority, server: Broker) -> None:
    context = trusting(authority)
    context.load_cert_chain(*authority.issue("client"))
    traveller = Traveller(lambda client: client.tls_set_context(context), "localhost", server.port)
    large = bytes(range(256)) * 20_000
    for _ in range(3):
        traveller.publisher.publish("road/two", large, 2)
    wait_for(lambda: len(traveller.received) == 3, "three large messages")
    assert set(traveller.received) == {large}
    traveller.end()


def test_a_storm_of_resets_through_pythons_ssl_loses_and_doubles_nothing(
    authority: Authority, server: Broker
) -> None:
    context = trusting(authority)
    context.load_cert_chain(*authority.issue("client"))
    relay = Proxy(server.port)
    traveller = Traveller(lambda client: client.tls_set_context(context), "localhost", relay.port)
    numbers = [b"2:%d" % number for number in range(1_000)]
    for index, number in enumerate(numbers):
        traveller.publisher.publish("road/two", number, 2)
        if index % 200 == 199:
            wait_for(lambda index=index: len(traveller.received) > index - 150)
            relay.reset()
    wait_for(lambda: len(traveller.received) >= len(numbers))
    assert traveller.received == numbers
    traveller.end()
    relay.end()


def test_no_thread_of_a_relay_outlives_its_connection(
    make: Make, authority: Authority, server: Broker
) -> None:
    context = trusting(authority)
    context.load_cert_chain(*authority.issue("client"))
    client = make()
    client.tls_set_context(context)
    greeted(client, server.port)

    def relays() -> int:
        return sum(thread.name == "remqtt-road" for thread in threading.enumerate())

    assert relays() >= 1
    client.disconnect()
    client.loop_stop()
    wait_for(lambda: relays() == 0, "the end of the relay")


def test_a_client_that_is_forgotten_takes_its_relay_along(authority: Authority, server: Broker) -> None:
    context = trusting(authority)
    context.load_cert_chain(*authority.issue("client"))
    client = mqtt.Client(V2)
    client.tls_set_context(context)
    client.connect("localhost", server.port)
    relays = [thread for thread in threading.enumerate() if thread.name == "remqtt-road"]
    assert relays
    del client
    gc.collect()
    wait_for(lambda: not any(thread.is_alive() for thread in relays), "the end of the relay")


def test_a_program_that_ends_at_once_still_delivers_through_pythons_ssl(
    authority: Authority, server: Broker
) -> None:
    from conftest import run_python

    context = trusting(authority)
    context.load_cert_chain(*authority.issue("client"))
    traveller = Traveller(lambda client: client.tls_set_context(context), "localhost", server.port)
    certificate, key = authority.issue("client")
    program = run_python(
        "-c",
        f"""
import ssl, remqtt.client as mqtt
context = ssl.create_default_context(cafile={str(authority.pem)!r})
context.load_cert_chain({certificate!r}, {key!r})
client = mqtt.Client(mqtt.CallbackAPIVersion.VERSION2)
client.tls_set_context(context)
client.connect("localhost", {server.port})
client.loop_start()
import time
while not client.is_connected(): time.sleep(0.01)
client.publish("road/two", "last words", 0)
""",
    )
    output = program.communicate(timeout=PATIENCE)
    assert program.returncode == 0 and output == ("", "")
    wait_for(lambda: b"last words" in traveller.received, "the message")
    traveller.end()


def test_loop_forever_finds_the_way_through_pythons_ssl_by_itself(
    authority: Authority, tmp_path: Path
) -> None:
    from conftest import run_python

    broker = Broker(tmp_path, *tls_lines(authority, authority.issue("localhost", extension="")))
    program = run_python(
        "-c",
        f"""
import remqtt.client as mqtt
client = mqtt.Client(mqtt.CallbackAPIVersion.VERSION2)
client.tls_set({str(authority.pem)!r})
client.on_connect = lambda client, *arguments: client.disconnect()
client.connect_async("localhost", {broker.port})
client.loop_forever()
print("there and back")
""",
    )
    assert program.communicate(timeout=PATIENCE) == ("there and back\n", "")
    broker.end()


def test_the_package_is_usable_without_ssl() -> None:
    from conftest import run_python

    program = run_python(
        "-c",
        "import sys; sys.modules['ssl'] = None\n"
        "import remqtt.client as mqtt\n"
        "client = mqtt.Client(mqtt.CallbackAPIVersion.VERSION2)\n"
        "try: client.tls_set()\n"
        "except ValueError as error: print(error)\n",
    )
    output, _ = program.communicate(timeout=PATIENCE)
    assert "no SSL/TLS" in output
