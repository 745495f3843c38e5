"""What can be seen of an ssl.SSLContext, and what of it only Python's ssl can do."""

from __future__ import annotations

import os
import ssl
from collections.abc import Callable
from typing import Any

import pytest
from remqtt import _context
from road_parts import Authority, trusting, trusting_in


def altered(**attributes: Any) -> Callable[[ssl.SSLContext], None]:
    def alter(context: ssl.SSLContext) -> None:
        for name, value in attributes.items():
            setattr(context, name, value)

    return alter


ODD: list[tuple[str, Callable[[ssl.SSLContext], Any]]] = [
    ("verify_flags", altered(verify_flags=ssl.VERIFY_X509_STRICT | ssl.VERIFY_CRL_CHECK_CHAIN)),
    ("TLS before 1.2", altered(minimum_version=ssl.TLSVersion.MINIMUM_SUPPORTED)),
    ("maximum_version", altered(maximum_version=ssl.TLSVersion.TLSv1_2)),
    ("options", lambda context: altered(options=context.options | ssl.OP_NO_TICKET)(context)),
    ("message callback", altered(_msg_callback=lambda *arguments: None)),
    ("keylog_filename", altered(keylog_filename=os.devnull)),
    ("first message", lambda context: context.set_ciphers("ECDHE+AESGCM")),
    ("first message", lambda context: context.set_ecdh_curve("prime256v1")),
    ("attributes of its own", altered(mine=1)),
    ("post-handshake", altered(post_handshake_auth=True)),
]


@pytest.mark.parametrize(("why", "alter"), ODD, ids=[why for why, _ in ODD])
def test_what_only_python_can_do_is_seen_in_a_context(
    authority: Authority, why: str, alter: Callable[[ssl.SSLContext], Any]
) -> None:
    context = trusting(authority)
    assert isinstance(_context.mirror(context), _context.Mirror)
    alter(context)
    assert why in str(_context.mirror(context))


def test_a_certificate_in_a_context_is_seen_whatever_its_versions(authority: Authority) -> None:
    for least in (ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3):
        context = trusting(authority)
        context.minimum_version = least
        assert isinstance(_context.mirror(context), _context.Mirror)
        context.load_cert_chain(*authority.issue("client"))
        assert "certificate" in str(_context.mirror(context))


def test_contexts_whose_authorities_cannot_be_read_are_seen(authority: Authority) -> None:
    empty = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    empty.minimum_version = ssl.TLSVersion.TLSv1_2
    assert "cannot be read" in str(_context.mirror(empty))
    leaf = trusting_in(authority.issue("leaf")[0])
    assert "no authorities" in str(_context.mirror(leaf))

    class Own(ssl.SSLContext):
        pass

    assert "SSLContext" in str(_context.mirror(Own(ssl.PROTOCOL_TLS_CLIENT)))


def test_the_mirror_says_what_the_context_says(authority: Authority) -> None:
    context = trusting(authority)
    context.minimum_version = ssl.TLSVersion.TLSv1_3
    context.check_hostname = False
    mirrored = _context.mirror(context)
    assert isinstance(mirrored, _context.Mirror)
    assert mirrored.authorities.strip() == authority.pem.read_bytes().strip()
    assert (mirrored.min_version, mirrored.verify, mirrored.check_hostname) == ("1.3", True, False)
    context.verify_mode = ssl.CERT_NONE
    assert not _context.mirror(context).verify  # type: ignore[union-attr]
