"""The migration pages against the headers of the peers and of remqtt: migration.py ROOT.

Every function, type of callback, constant and field of a struct of the peers' headers stands in the first
column of a table; every remqtt function, field and option that a table names exists.
"""

from __future__ import annotations

import re
import sys
from fnmatch import fnmatchcase
from pathlib import Path

ROOT = Path(sys.argv[1])
INCLUDE = Path("/usr/include")
MOSQUITTO = ["mosquitto.h", "mqtt_protocol.h"]
PAHO = ["MQTTAsync.h", "MQTTClient.h", "MQTTClientPersistence.h", "MQTTProperties.h", "MQTTReasonCodes.h"]
PAHO += ["MQTTSubscribeOpts.h"]
#: Structs whose fields a page calls by their names alone, as options.
OPTIONS = {"connectOptions", "createOptions", "SSLOptions"}
#: Fields that say how a struct is laid out, or how long what stands beside them is.
LAYOUT = {"struct_id", "struct_version", "len", "data"}


def source(header: str) -> str:
    """What the header declares, without what its comments mention."""
    return re.sub(r"/\*.*?\*/|//[^\n]*", "", (INCLUDE / header).read_text(), flags=re.S)


def functions(text: str) -> set[str]:
    """Functions, and types of callbacks."""
    return set(re.findall(r"\b((?:mosquitto_|MQTT|Persistence_)\w+)\s*\)?\s*\(", text))


def constants(text: str) -> set[str]:
    """Macros that have a value, but for those that only serve the compiler, and members of enums."""
    macros = set(re.findall(r"^\s*#\s*define\s+(\w+)[ \t]+\S", text, re.M))
    bodies = re.findall(r"\benum\s*\w*\s*\{([^}]*)\}", text)
    members = set(re.findall(r"\b([A-Z]\w+)\s*(?:=[^,]*)?(?:,|$)", ",".join(bodies)))
    return {name for name in macros if name.isupper() or "initializer" in name} | members


def body_from(text: str, at: int) -> tuple[str, str]:
    """What stands between the next braces, and after them up to the semicolon."""
    begin = end = text.index("{", at) + 1
    depth = 1
    while depth:
        depth += {"{": 1, "}": -1}.get(text[end], 0)
        end += 1
    return text[begin : end - 1], text[end : text.index(";", end)].strip()


def fields(text: str) -> set[str]:
    """The fields of every struct: options by their name, others as `struct.field`."""
    found: set[str] = set()
    for match in re.finditer(r"^(?:typedef )?struct\s*(\w*)\s*\{", text, re.M):
        body, name = body_from(text, match.start())
        owner = re.sub(r"^MQTT(?:Async|Client)_", "", name or match[1])
        had = set(re.findall(r"(\w+)\s*(?:\[\w*\])?\s*;|\(\s*\*\s*(\w+)\s*\)", body))
        names = {one or other for one, other in had} - LAYOUT
        found |= names if owner in OPTIONS else {f"{owner}.{field}" for field in names}
    return found


def features(headers: list[str]) -> set[str]:
    """All that a program can name."""
    texts = [source(header) for header in headers]
    return set().union(*(part(text) for text in texts for part in (functions, constants, fields)))


def missing(page: str, names: set[str]) -> list[str]:
    """Names that no first column of the page has; a `*` there stands for any letters."""
    rows = re.findall(r"^\| ([^|]*) \|", page, re.M)
    had = set(re.findall(r"[\w.*]+", " ".join(rows)))
    patterns = [each for each in had if "*" in each]
    return sorted(name for name in names - had if not any(fnmatchcase(name, pattern) for pattern in patterns))


def has(header: str, owner: str, name: str) -> bool:
    """Whether the struct has such a field, or the function such a parameter."""
    bare = re.sub(r"/\*.*?\*/", "", header, flags=re.S)
    body = re.search(rf"^typedef struct [^{{;]*\{{([^}}]*)^\}} {owner};|\b{owner}\(([^)]*)\);", bare, re.M)
    return bool(body and re.search(rf"\b{name}\s*(?:[;,\[]|$)", body[1] or body[2]))


def unknown(page: str) -> list[str]:
    """What the page calls remqtt's and is not."""
    header = (ROOT / "include/remqtt/remqtt.h").read_text()
    named = set(re.findall(r"\b(?:remqtt_(?!\.)\w+|REMQTT_\w+)\b", page)) - {"remqtt_"}
    options = set(re.findall(r"options? ((?:`\w+`(?:, )?)+)", page))
    fields = set(re.findall(r"\b(remqtt_\w+)\.(\w+)", page))
    fields |= {(owner, field) for field, owner in re.findall(r"`(\w+)` of (remqtt_\w+)", page)}
    keys = {key for group in options for key in re.findall(r"`(\w+)`", group)}
    gone = [name for name in named if not re.search(rf"\b{name}\b", header)]
    gone += [f"{owner}.{field}" for owner, field in fields if not has(header, owner, field)]
    return sorted(gone + [key for key in keys if f" *   {key}: " not in header])


def main() -> None:
    """Compares both pages."""
    wrong: list[str] = []
    for name, headers in (("from-libmosquitto.md", MOSQUITTO), ("from-paho-c.md", PAHO)):
        names = features(headers)
        page = (ROOT / "ffi/docs" / name).read_text()
        wrong += [f"{name}: no row for {each}" for each in missing(page, names)]
        wrong += [f"{name}: no such thing: {each}" for each in unknown(page)]
        print(f"{name}: {len(names)} names of the peer")
    if wrong:
        raise SystemExit("\n".join(wrong))
    print("migration: 2 passed, 0 failed")


if __name__ == "__main__":
    main()
