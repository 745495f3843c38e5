"""The C++ layer against the header: wrapped.py ROOT.

Every function that the library exports is used by one of the headers for C++, or stands in the list of those
that they can do without.
"""

from __future__ import annotations

import re
import sys
from pathlib import Path

ROOT = Path(sys.argv[1])
#: Functions without a counterpart in C++, and why.
WITHOUT: dict[str, str] = {}


def used() -> set[str]:
    """The functions that the code of the headers names, comments left out."""
    texts = [path.read_text() for path in sorted((ROOT / "include/remqtt").glob("*.hpp"))]
    return set(re.findall(r"\bremqtt_\w+", re.sub(r"//[^\n]*", "", "\n".join(texts))))


def main() -> None:
    """Compares both ways: a reason for what is wrapped after all is wrong too."""
    functions = set((ROOT / "ffi/symbols.txt").read_text().split())
    missing = functions - used()
    wrong = [f"no counterpart in C++: {name}" for name in sorted(missing - WITHOUT.keys())]
    wrong += [f"is wrapped, or is no function: {name}" for name in sorted(WITHOUT.keys() - missing)]
    if wrong:
        raise SystemExit("\n".join(wrong))
    print(f"wrapped: {len(functions & used())} functions have a counterpart in C++, {len(missing)} have none")
    print("wrapped: 1 passed, 0 failed")


if __name__ == "__main__":
    main()
