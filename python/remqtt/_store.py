"""`python -m remqtt store PATH [--verify | --export]`: what is in the file of `persistence`."""

from __future__ import annotations

import sys
from collections import Counter
from typing import Any

from . import _native

USAGE = """usage: python -m remqtt store PATH             shows what is in the file
       python -m remqtt store PATH --verify    says whether it is whole: exit status 0 or 1
       python -m remqtt store PATH --export    writes a JSON object for everything in it, a line each
Changes nothing in it; PATH.lock may appear beside it. PATH is the file of `persistence`, and no client may be
using it."""

#: Bytes of a payload that are shown.
_SHOWN = 40


def main(arguments: list[str]) -> int:
    """The command; its exit status."""
    how = arguments[1] if len(arguments) == 2 else ""
    if not arguments or len(arguments) > 2 or how not in ("", "--verify", "--export"):
        wants_help = arguments in (["-h"], ["--help"])
        print(USAGE, file=sys.stdout if wants_help else sys.stderr)
        return 0 if wants_help else 2
    try:
        size, damage, records = _native.inspect(arguments[0])
    except (OSError, RuntimeError, ValueError) as error:
        print(error, file=sys.stderr)
        return 2
    if how == "--export":
        for record in records:
            print(record)
    else:
        if how == "":
            for record in records:
                print(record.kind, *(f"{name}={_short(value)}" for name, value in record.fields))
        counts = Counter(record.kind for record in records)
        print(f"{size} bytes:", ", ".join(f"{number} x {kind}" for kind, number in counts.items()) or "empty")
    print(f"damaged: {damage}" if damage else "whole", file=sys.stderr if how == "--export" else sys.stdout)
    return 1 if damage else 0


def _short(value: Any) -> str:
    if not isinstance(value, bytes):
        return str(value)
    return repr(value[:_SHOWN]) + (f" and {len(value) - _SHOWN} bytes" if len(value) > _SHOWN else "")
