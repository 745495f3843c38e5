"""tls_set(): its arguments as an ssl.SSLContext, which checks them, and as options of the core."""

from __future__ import annotations

import ssl
from typing import Any

#: How an encrypted private key begins that only OpenSSL still reads.
_OLD_ENCRYPTION = b"Proc-Type: 4,ENCRYPTED"


def asked_for(
    ca_certs: str | None,
    certfile: str | None,
    keyfile: str | None,
    cert_reqs: ssl.VerifyMode | None,
    tls_version: int | None,
    ciphers: str | None,
    keyfile_password: Any,
    alpn_protocols: list[str] | None,
) -> tuple[ssl.SSLContext, dict[str, str], str]:
    """The context, the options of the core, and what of it the core cannot do."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT if tls_version is None else tls_version)
    if ciphers is not None:
        context.set_ciphers(ciphers)
    password = keyfile_password() if callable(keyfile_password) else keyfile_password
    if certfile is not None:
        context.load_cert_chain(certfile, keyfile, _no_password if password is None else password)
    verify = cert_reqs != ssl.CERT_NONE
    if not verify:
        context.check_hostname = False
    context.verify_mode = ssl.CERT_REQUIRED if cert_reqs is None else cert_reqs
    context.check_hostname = verify
    # The system's authorities are many, and the core reads them once for all clients: see `complete`.
    if ca_certs is not None:
        context.load_verify_locations(ca_certs)
    if alpn_protocols is not None:
        context.set_alpn_protocols(alpn_protocols)
    options = {
        "tls_ca_file": ca_certs or "",
        "tls_cert_file": certfile or "",
        "tls_key_file": keyfile or "",
        "tls_key_password": password.decode("utf-8") if isinstance(password, bytes) else password or "",
        "tls_alpn": ",".join(alpn_protocols or ()),
        "tls_min_version": "1.2",
        "tls_ciphers": ciphers or "",
        "tls_common_name": "true",
        "tls_insecure_skip_hostname": "false",
        "tls_insecure_skip_verification": "false" if verify else "true",
    }
    why = ""
    if tls_version not in (None, ssl.PROTOCOL_TLS_CLIENT, ssl.PROTOCOL_TLS):
        why = "tls_version"
    elif certfile is not None and _encrypted_in_the_old_way(keyfile or certfile):
        why = "the encryption of the private key"
    return context, {key: str(value) for key, value in options.items()}, why


def complete(context: ssl.SSLContext, options: dict[str, str]) -> None:
    """Makes the context of tls_set() ready for Python's ssl."""
    if not options["tls_ca_file"] and not context.cert_store_stats()["x509"]:
        context.load_default_certs()


def _no_password() -> str:
    raise ValueError("the private key is encrypted: keyfile_password has to be given")


def _encrypted_in_the_old_way(path: str) -> bool:
    with open(path, "rb") as file:
        return _OLD_ENCRYPTION in file.read()


def code_of(error: Exception) -> str:
    """The name in the core's table of errors for what ended a handshake."""
    if isinstance(error, ssl.SSLCertVerificationError):
        return "CertificateRefused"
    if isinstance(error, TimeoutError) or "timed out" in str(error):
        return "ConnectTimeout"
    # A context that cannot be used at all does not heal by itself.
    return "HandshakeFailed" if isinstance(error, OSError) else "InvalidOption"


def refused(text: str, cause: Exception | None) -> ssl.SSLError:
    """The exception for a refused certificate: of Python's kind, in the words of the core."""
    # Programs look for OpenSSL's words.
    made = ssl.SSLCertVerificationError(1, f"certificate verify failed: {text}")
    made.verify_code = getattr(cause, "verify_code", 1)
    made.verify_message = getattr(cause, "verify_message", text)
    return made
