"""Writes the C code that calls every exported function: every_call.py HEADER SYMBOLS >every_call.h

Arguments are chosen by the type and name of the parameter, so a new function is called as soon as the header
has it; one whose parameters nothing here knows is an error.
"""

from __future__ import annotations

import re
import sys
from pathlib import Path

#: By type and name; `*` stands for any name.
ARGUMENTS = {
    ("remqtt_client *", "*"): "stage->client",
    ("const remqtt_client *", "*"): "stage->client",
    ("remqtt_client **", "*"): "&stage->made",
    ("remqtt_config *", "*"): "stage->config",
    ("const remqtt_config *", "*"): "stage->config",
    ("remqtt_props *", "*"): "stage->props",
    ("const remqtt_props *", "*"): "stage->props",
    ("const remqtt_message *", "*"): "stage->message",
    ("remqtt_stats *", "*"): "&stage->stats",
    ("remqtt_outage *", "*"): "&stage->outage",
    ("const remqtt_subscription *", "*"): "&stage->wish",
    ("const remqtt_publish_options *", "*"): "NULL",
    ("const remqtt_publication *", "*"): "&stage->publication",
    ("const remqtt_str *", "*"): "&stage->wish.filter",
    ("remqtt_str", "*"): 'remqtt_str_of("e/other")',
    ("remqtt_bytes", "*"): 'remqtt_bytes_of("1", 1)',
    ("remqtt_token", "*"): "1",
    ("remqtt_token *", "*"): "&stage->token",
    ("remqtt_status", "*"): "REMQTT_E_TIMEOUT",
    ("const char *", "key"): '"keepalive"',
    ("const char *", "value"): '"60"',
    ("const char *", "url"): '"mqtt://127.0.0.1:1"',
    ("const char *", "id"): '"every"',
    ("char *", "*"): "stage->buffer",
    ("size_t", "capacity"): "sizeof stage->buffer",
    ("size_t", "count"): "1",
    ("uint64_t", "exchange"): "1",
    ("size_t", "length"): "1",
    ("size_t", "index"): "0",
    ("size_t *", "*"): "&stage->count",
    ("uint8_t *", "*"): "&stage->byte",
    ("uint32_t *", "*"): "&stage->number",
    ("uint64_t *", "*"): "&stage->value",
    ("remqtt_bytes *", "*"): "&stage->bytes",
    ("uint32_t", "timeout_ms"): "PATIENCE_MS",
    ("uint32_t", "drain_timeout_ms"): "PATIENCE_MS",
    ("uint32_t", "*"): "1",
    ("uint8_t", "id"): "0x26",
    ("uint8_t", "*"): "0",
    ("int32_t", "wanted"): "REMQTT_STATE_STOPPED",
    ("int32_t", "level"): "REMQTT_LOG_DEBUG",
    ("remqtt_login *", "*"): "stage->login",
    ("const remqtt_inspection *", "*"): "stage->inspection",
    ("void *", "*"): "NULL",
}

#: Calls that end what they are given get something of their own.
WHOLE = {
    "remqtt_client_free": "remqtt_client_free(remqtt_client_ref(stage->client))",
    "remqtt_client_ref": "remqtt_client_free(remqtt_client_ref(stage->client))",
    "remqtt_config_free": "remqtt_config_free(remqtt_config_new())",
    "remqtt_config_new": "remqtt_config_free(remqtt_config_new())",
    "remqtt_message_free": "remqtt_message_free(remqtt_message_ref(stage->message))",
    "remqtt_message_ref": "remqtt_message_free(remqtt_message_ref(stage->message))",
    "remqtt_props_free": "remqtt_props_free(remqtt_props_new())",
    "remqtt_props_new": "remqtt_props_free(remqtt_props_new())",
    "remqtt_client_new": "every_client_new(stage)",
    "remqtt_inspection_free": "every_inspection(stage)",
    "remqtt_inspection_new": "every_inspection(stage)",
    "remqtt_client_duplicate_socket": "every_duplicate_socket(stage)",
}

#: What waits is refused in the callbacks of its own client.
REFUSED = ["close", "wait", "wait_state", "flush", "sync"]


def argument(parameter: str) -> str:
    """The C expression for a parameter of a prototype."""
    kind, name = re.fullmatch(r"(.*?[ *])(\w+)", parameter.strip()).groups()  # type: ignore[union-attr]
    kind = re.sub(r"\s*(\*+)\s*", r" \1", kind).strip()
    if kind.endswith("_fn"):
        return "NULL"
    found = ARGUMENTS.get((kind, name)) or ARGUMENTS.get((kind, "*"))
    if found is None:
        raise SystemExit(f"every_call: no argument for {kind} {name}")
    return found


def call(name: str, parameters: str) -> str:
    """The call of a function, as an expression."""
    if name in WHOLE:
        return WHOLE[name]
    given = [] if parameters.strip() == "void" else [argument(each) for each in parameters.split(",")]
    return f"{name}({', '.join(given)})"


def main() -> None:
    """Writes a function for each function, and the table of them."""
    header, symbols = (Path(path).read_text() for path in sys.argv[1:3])
    pattern = r"^(?!typedef|static)\w[\w \*]*?\*?(remqtt_\w+)\(([^;{]*)\);"
    prototypes = dict(re.findall(pattern, header, re.M))
    names = symbols.split()
    if sorted(prototypes) != names:
        raise SystemExit(f"every_call: {sorted(set(prototypes) ^ set(names))}")
    print("/* Written by tests/c/every_call.py. */")
    for name in names:
        text = call(name, prototypes[name])
        if name.removeprefix("remqtt_client_") in REFUSED:
            text = f"every_refused({text}, stage)"
        else:
            text = f"(void){text}" if not text.startswith("every_") else text
        print(f"static void every_{name}(struct stage *stage)\n{{\n    (void)stage;\n    {text};\n}}")
    # Where it may wait it closes, and after it every call would be one on a closed client.
    names.sort(key=lambda name: name == "remqtt_client_close")
    print("static const struct every every_function[] = {")
    print("".join(f'    {{ "{name}", every_{name} }},\n' for name in names) + "};")


if __name__ == "__main__":
    main()
