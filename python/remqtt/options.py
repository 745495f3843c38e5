"""The options of the core, for `Client(..., options={...})` and `Client.configure()`."""

from __future__ import annotations

from ._native import OPTIONS

#: key, kind, (lowest, highest) or None, default as text, meaning.
TABLE = OPTIONS


def _row(key: str, kind: str, bounds: tuple[int, int] | None, default: str | None, meaning: str) -> str:
    within = "" if bounds is None else f", {bounds[0]} to {bounds[1]}"
    text = " ".join(meaning.split())
    return f"{key} ({kind}{within}; default {default or 'empty'})\n    {text}\n"


__doc__ += "\n" + "\n".join(_row(*row) for row in TABLE)
