"""remqtt: an MQTT client that comes back.

`remqtt.client` has the shape of paho.mqtt.client; `python -m remqtt script.py` runs a script written for
paho-mqtt unchanged, and `install_as_paho()` does the same from code.
"""

from __future__ import annotations

from . import (
    client,
    enums,
    exception,
    matcher,
    options,
    packettypes,
    properties,
    publish,
    reasoncodes,
    reports,
    statistics,
    subscribe,
    subscribeoptions,
)
from ._behind_paho import install_as_paho
from .exception import MQTTException

__version__ = "0.1.0"

__all__ = [
    "MQTTException",
    "__version__",
    "client",
    "enums",
    "exception",
    "install_as_paho",
    "matcher",
    "options",
    "packettypes",
    "properties",
    "publish",
    "reasoncodes",
    "reports",
    "statistics",
    "subscribe",
    "subscribeoptions",
]
