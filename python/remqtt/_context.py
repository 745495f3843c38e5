"""What can be seen of an ssl.SSLContext: whether the core's TLS can do exactly what it says.

A context has no attribute for its certificate, its application protocols or its groups. But it can be asked
for the first message that it would send, and whether it has a certificate is seen when a handshake in memory
borrows it. What stays invisible are folders of authorities that are read when one is needed; for those, a
server that the core refuses is shown to the context itself.
"""

from __future__ import annotations

import contextlib
import ssl
import struct
import sys
from typing import NamedTuple

#: Extensions of a first message that are new in each of them, or that nothing depends on: padding, key share.
_PASSING = (21, 51)
_ALPN = 16


class Mirror(NamedTuple):
    """A context in the terms of the core."""

    #: Authorities, in PEM.
    authorities: bytes
    min_version: str
    alpn: str
    verify: bool
    check_hostname: bool


def mirror(context: ssl.SSLContext) -> Mirror | str:
    """The context in the core's terms, or why there are none for it."""
    if type(context) is not ssl.SSLContext or context.protocol != ssl.PROTOCOL_TLS_CLIENT:
        return "the context is not an SSLContext of PROTOCOL_TLS_CLIENT"
    fresh = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    why = _odd_attribute(context, fresh) or _unreadable_authorities(context)
    if why:
        return why
    ours, usual = hello(context), hello(_like(fresh, context))
    alpn = ours.pop(_ALPN, b"")
    if ours != usual:
        return "its first message is not the usual one: ciphers, groups or other settings"
    if _has_certificate(context):
        return "it has a certificate, and a private key cannot be read out of a context"
    verify = context.verify_mode != ssl.CERT_NONE
    return Mirror(
        "".join(map(ssl.DER_cert_to_PEM_cert, context.get_ca_certs(binary_form=True))).encode("ascii"),
        "1.3" if context.minimum_version == ssl.TLSVersion.TLSv1_3 else "1.2",
        ",".join(_protocols(alpn)),
        verify,
        verify and context.check_hostname,
    )


def options(mirrored: Mirror) -> dict[str, str]:
    """The same as options of the core; the authorities are no text."""
    return {
        **dict.fromkeys(
            ("tls_ca_file", "tls_cert_file", "tls_key_file", "tls_key_password", "tls_ciphers"), ""
        ),
        "tls_alpn": mirrored.alpn,
        "tls_min_version": mirrored.min_version,
        "tls_common_name": "false",
        "tls_insecure_skip_hostname": str(not mirrored.check_hostname).lower(),
        "tls_insecure_skip_verification": str(not mirrored.verify).lower(),
    }


def _odd_attribute(context: ssl.SSLContext, fresh: ssl.SSLContext) -> str:
    """The attribute that says something which the core cannot do, or an empty string."""
    flags = {fresh.verify_flags}
    if sys.version_info >= (3, 13):
        # What create_default_context() sets there.
        flags.add(fresh.verify_flags | ssl.VERIFY_X509_PARTIAL_CHAIN | ssl.VERIFY_X509_STRICT)
    odd = {
        "its verify_flags are not the default": context.verify_flags not in flags,
        "its options are not the default": context.options != fresh.options,
        "it accepts TLS before 1.2": context.minimum_version
        not in (ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3),
        "it has a maximum_version": context.maximum_version
        not in (ssl.TLSVersion.MAXIMUM_SUPPORTED, ssl.TLSVersion.TLSv1_3),
        "it has a keylog_filename": bool(getattr(context, "keylog_filename", None)),
        "it has a message callback": getattr(context, "_msg_callback", None) is not None,
        "it wants post-handshake authentication": bool(getattr(context, "post_handshake_auth", False)),
        "its sslsocket_class or sslobject_class is special": context.sslsocket_class is not ssl.SSLSocket
        or context.sslobject_class is not ssl.SSLObject,
        "it has attributes of its own": bool(getattr(context, "__dict__", None)),
    }
    return next((text for text, is_so in odd.items() if is_so), "")


def _unreadable_authorities(context: ssl.SSLContext) -> str:
    if context.verify_mode == ssl.CERT_NONE:
        return ""
    counts = context.cert_store_stats()
    if counts["crl"]:
        return "it has revocation lists"
    if counts["x509"] == 0:
        return "its authorities cannot be read"
    if counts["x509"] != counts["x509_ca"]:
        return "it trusts certificates that are no authorities"
    if any(authority["subject"] != authority["issuer"] for authority in context.get_ca_certs()):
        return "it knows intermediate authorities"
    return ""


def _like(fresh: ssl.SSLContext, context: ssl.SSLContext) -> ssl.SSLContext:
    fresh.minimum_version, fresh.maximum_version = context.minimum_version, context.maximum_version
    fresh.options = context.options
    return fresh


def hello(context: ssl.SSLContext) -> dict[int, bytes]:
    """The first message of a client with this context: its extensions, and under -1 the cipher suites."""
    out = ssl.MemoryBIO()
    connection = context.wrap_bio(ssl.MemoryBIO(), out, server_hostname="probe.invalid")
    with contextlib.suppress(ssl.SSLWantReadError):
        connection.do_handshake()
    message = out.read()
    # Headers of record (5) and handshake (4), version (2), random (32), then fields with their lengths first.
    at = 43
    at += 1 + message[at]
    length = struct.unpack_from(">H", message, at)[0]
    found = {-1: message[at + 2 : at + 2 + length]}
    at += 2 + length
    at += 1 + message[at] + 2
    while at < len(message):
        kind, length = struct.unpack_from(">HH", message, at)
        if kind not in _PASSING:
            found[kind] = message[at + 4 : at + 4 + length]
        at += 4 + length
    return found


def _protocols(extension: bytes) -> list[str]:
    """The names in an ALPN extension."""
    names, at = [], 2
    while at < len(extension):
        length = extension[at]
        names.append(extension[at + 1 : at + 1 + length].decode("ascii"))
        at += 1 + length
    return names


def _has_certificate(context: ssl.SSLContext) -> bool:
    """Lets the server of a handshake in memory borrow the certificate: without one it has no cipher."""
    server, client = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER), ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    client.check_hostname, client.verify_mode = False, ssl.CERT_NONE
    to_server, to_client = ssl.MemoryBIO(), ssl.MemoryBIO()
    ours = client.wrap_bio(to_client, to_server)
    theirs = server.wrap_bio(to_server, to_client, server_side=True)
    theirs.context = context
    with contextlib.suppress(ssl.SSLWantReadError):
        ours.do_handshake()
    try:
        theirs.do_handshake()
    except ssl.SSLWantReadError:
        return True
    except ssl.SSLError as error:
        return error.reason != "NO_SHARED_CIPHER"
    return True
