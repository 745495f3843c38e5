"""The pieces of the tutorial are those of the examples: tutorial.py ROOT."""

from __future__ import annotations

import re
import sys
from pathlib import Path

ROOT = Path(sys.argv[1])


def main() -> None:
    """Looks for each piece in the example that stands above it."""
    page = (ROOT / "ffi/docs/tutorial.md").read_text()
    pieces = re.findall(r"^<!-- (\S+) -->\n```c\n(.*?)^```$", page, re.M | re.S)
    if len(pieces) != page.count("```c\n"):
        raise SystemExit("tutorial: a piece of C names no example")
    for name, piece in pieces:
        if piece not in (ROOT / "ffi/examples" / name).read_text():
            raise SystemExit(f"tutorial: this is not in {name}:\n{piece}")
    print(f"tutorial: {len(pieces)} passed, 0 failed")


if __name__ == "__main__":
    main()
