"""The counters that `Client.stats()` returns, by name."""

from __future__ import annotations

from ._native import STATISTICS

#: name, meaning.
TABLE = STATISTICS

__doc__ += "\n" + "\n".join(f"{name}\n    {' '.join(meaning.split())}\n" for name, meaning in TABLE)
