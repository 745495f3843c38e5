"""remqtt where a program looks for paho.mqtt: this folder stands first on PYTHONPATH."""

import sys

# This very module is what is being imported: remqtt puts its own in this place.
del sys.modules["paho.mqtt"]
del sys.modules["paho"]

import remqtt  # noqa: E402

remqtt.install_as_paho()
