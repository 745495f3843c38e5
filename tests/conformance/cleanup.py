"""A pytest plugin: no client of a test on a Unix socket outlives it.

All these tests use one path. A client that a failed test leaves behind comes back there, as it should, and
would meet the server of the next test; paho's would have ended with its loop.
"""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from remqtt import _dispatch


@pytest.fixture(autouse=True)
def no_client_comes_back() -> Iterator[None]:
    """Closes what is left."""
    yield
    for client in list(_dispatch._clients):
        if client.transport == "unix":
            client._core.close(0.0)
