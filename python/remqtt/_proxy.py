"""Proxies: PySocks' arguments and the environment, as the core's URL."""

from __future__ import annotations

import os
import sys
from typing import Any
from urllib.parse import quote

#: PySocks' numbers, so that it need not be there.
SOCKS4, SOCKS5, HTTP = 1, 2, 3

_PORTS = {SOCKS5: 1080, HTTP: 8080}
_KEYS = ("proxy_type", "proxy_addr", "proxy_port", "proxy_rdns", "proxy_username", "proxy_password")


def checked(arguments: dict[str, Any]) -> dict[str, Any]:
    """The arguments of proxy_set(), if the core can do what they say."""
    for name in arguments:
        if name not in _KEYS:
            raise TypeError(f"proxy_set() got an unexpected keyword argument {name!r}")
    kind = arguments.get("proxy_type")
    if kind == SOCKS4:
        raise ValueError("SOCKS4 is not supported: nearly every such proxy speaks SOCKS5 (socks.SOCKS5) too")
    if kind not in (SOCKS5, HTTP) or not arguments.get("proxy_addr"):
        raise ValueError("proxy_type and/or proxy_addr are invalid.")
    url(arguments)
    return arguments


def url(arguments: dict[str, Any]) -> str:
    """The proxy as the core names it."""
    kind = int(arguments["proxy_type"])
    remote = arguments.get("proxy_rdns", True)
    scheme = "http" if kind == HTTP else "socks5h" if remote or remote is None else "socks5"
    host = str(arguments["proxy_addr"])
    port = arguments.get("proxy_port") or _PORTS[kind]
    if not isinstance(port, int) or not 0 < port <= 65_535:
        raise ValueError("proxy_port is invalid.")
    user, password = arguments.get("proxy_username"), arguments.get("proxy_password")
    credentials = "" if user is None else _quoted(user) + ":" + _quoted(password or "") + "@"
    return f"{scheme}://{credentials}{f'[{host}]' if ':' in host else host}:{port}"


def _quoted(text: Any) -> str:
    return quote(text if isinstance(text, (str, bytes)) else str(text), safe="")


def found(host: str) -> str:
    """The proxy that the environment or PySocks' default names for this host, or an empty string."""
    if any(name.lower() == "mqtt_proxy" for name in os.environ):
        # The rules of no_proxy are urllib's; it is imported for those who have such a variable only.
        from urllib.request import getproxies, proxy_bypass

        named = getproxies().get("mqtt")
        if named and not proxy_bypass(host):
            return named if "://" in named else f"http://{named}"
    # Whoever has set a default has imported it.
    socks = sys.modules.get("socks")
    default = getattr(socks, "get_default_proxy", lambda: None)()
    if default and default[0] in (SOCKS5, HTTP) and default[1]:
        return url(dict(zip(_KEYS, default)))
    return ""
