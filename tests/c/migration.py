"""The migration pages against the headers of the peers and of remqtt: migration.py ROOT.

Every function of the peers' headers, and every option of paho's structs, stands in a table; every remqtt
function, field and option that a table names exists.
"""

from __future__ import annotations

import re
import sys
from pathlib import Path

ROOT = Path(sys.argv[1])
INCLUDE = Path("/usr/include")
STRUCTS = ["connectOptions", "createOptions", "SSLOptions"]
#: Fields that say how a struct is laid out, or that other rows stand for.
LAYOUT = {"struct_id", "struct_version", "len", "data", "context", "ssl", "onSuccess", "onFailure"}
LAYOUT |= {"onSuccess5", "onFailure5"}


def functions(header: str, pattern: str) -> set[str]:
    """What the header declares, without what its comments mention."""
    text = re.sub(r"/\*.*?\*/|//[^\n]*", "", (INCLUDE / header).read_text(), flags=re.S)
    return set(re.findall(rf"\b({pattern})\s*\)?\s*\(", text))


def paho_fields() -> set[str]:
    """The options of paho's structs."""
    text = re.sub(r"/\*.*?\*/", "", (INCLUDE / "MQTTAsync.h").read_text(), flags=re.S)
    found: set[str] = set()
    for name in STRUCTS:
        body = re.search(
            r"typedef struct(?: \w+)?\s*\{((?:[^{}]|\{[^}]*\})*)\} MQTTAsync_" + name + ";", text
        )
        found |= set(re.findall(r"(\w+)\s*(?:\[\d+\])?;", body[1] if body else ""))
    return found - LAYOUT


def missing(page: str, names: set[str]) -> list[str]:
    """Names that no first column of the page has."""
    rows = re.findall(r"^\| ([^|]*) \|", page, re.M)
    had = set(re.findall(r"\w+", " ".join(rows)))
    return sorted(names - had)


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
    mosquitto = functions("mosquitto.h", r"mosquitto_\w+")
    paho = functions("MQTTAsync.h", r"MQTTAsync_\w+") | functions("MQTTClient.h", r"MQTTClient_\w+")
    paho |= functions("MQTTProperties.h", r"MQTT(?:Properties|Property)_\w+")
    for name, names in (("from-libmosquitto.md", mosquitto), ("from-paho-c.md", paho | paho_fields())):
        page = (ROOT / "ffi/docs" / name).read_text()
        wrong += [f"{name}: no row for {each}" for each in missing(page, names)]
        wrong += [f"{name}: no such thing: {each}" for each in unknown(page)]
        print(f"{name}: {len(names)} names of the peer")
    if wrong:
        raise SystemExit("\n".join(wrong))
    print("migration: 2 passed, 0 failed")


if __name__ == "__main__":
    main()
