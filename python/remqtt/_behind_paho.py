"""Puts remqtt behind the name paho."""

from __future__ import annotations

import importlib
import sys
import types

#: The version whose interface this is.
PAHO_VERSION = "2.2.0"

_MODULES = (
    "client",
    "enums",
    "exception",
    "matcher",
    "packettypes",
    "properties",
    "publish",
    "reasoncodes",
    "subscribe",
    "subscribeoptions",
)


def install_as_paho() -> None:
    """From now on `import paho.mqtt.client` gets remqtt.

    RuntimeError if the genuine one is imported already.
    """
    present = sys.modules.get("paho.mqtt")
    if present is not None:
        if getattr(present, "_remqtt", False):
            return
        raise RuntimeError("paho-mqtt is imported already: install remqtt before anything imports paho.mqtt")
    paho = sys.modules.get("paho") or types.ModuleType("paho")
    mqtt = types.ModuleType("paho.mqtt", "remqtt behind paho's name.")
    mqtt.__dict__.update(__version__=PAHO_VERSION, __path__=[], _remqtt=True)
    paho.__dict__.setdefault("__path__", [])
    paho.__dict__["mqtt"] = mqtt
    sys.modules.update({"paho": paho, "paho.mqtt": mqtt})
    for name in _MODULES:
        module = importlib.import_module(f"remqtt.{name}")
        mqtt.__dict__[name] = sys.modules[f"paho.mqtt.{name}"] = module
    mqtt.__dict__["MQTTException"] = mqtt.__dict__["exception"].MQTTException
