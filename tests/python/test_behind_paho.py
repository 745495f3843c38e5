"""`python -m remqtt` runs programs that were written for paho-mqtt."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from conftest import PATIENCE, Broker, run_python

PROGRAM = """
import sys
from paho import mqtt as package
import paho.mqtt
import paho.mqtt.client as mqtt
import paho.mqtt.publish as publish
import paho.mqtt.subscribe as subscribe
from paho.mqtt.client import Client, MQTTMessage
from paho.mqtt.enums import CallbackAPIVersion
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties
from paho.mqtt.reasoncodes import ReasonCode
from paho.mqtt.subscribeoptions import SubscribeOptions

print(__name__, sys.argv[1:], paho.mqtt.__version__, package is paho.mqtt)
port = int(sys.argv[1])
properties = Properties(PacketTypes.PUBLISH)
properties.UserProperty = ("key", "value")

def on_connect(client, userdata, flags, reason_code, properties):
    print("connected", reason_code, flags.session_present)
    client.subscribe("behind/#", options=SubscribeOptions(qos=1))

def on_subscribe(client, userdata, mid, reason_codes, properties):
    print("subscribed", mid, reason_codes[0])
    client.publish("behind/paho", "hello", qos=1, properties=userdata)

def on_message(client, userdata, message):
    assert isinstance(message, MQTTMessage)
    print("message", message.topic, message.payload, message.properties.UserProperty)
    client.disconnect()

client = Client(CallbackAPIVersion.VERSION2, protocol=mqtt.MQTTv5, userdata=properties)
client.on_connect, client.on_subscribe, client.on_message = on_connect, on_subscribe, on_message
client.connect("127.0.0.1", port)
client.loop_forever()
publish.single("behind/stored", "kept", retain=True, hostname="127.0.0.1", port=port)
publish.multiple([("behind/a", "1", 1, False), {"topic": "behind/b", "payload": "2"}], "127.0.0.1", port)
message = subscribe.simple("behind/stored", hostname="127.0.0.1", port=port)
print("simple", message.topic, message.payload, message.retain)
publish.single("behind/stored", None, retain=True, hostname="127.0.0.1", port=port)
print(type(client).__module__.split(".")[0])
"""

OUTPUT = [
    "connected Success False",
    "subscribed 1 Granted QoS 1",
    "message behind/paho b'hello' [('key', 'value')]",
    "simple behind/stored b'kept' True",
]


def run(*arguments: str, cwd: Path) -> list[str]:
    program = run_python(*arguments, cwd=str(cwd))
    out, errors = program.communicate(timeout=PATIENCE)
    assert (program.returncode, errors) == (0, "")
    return out.splitlines()


@pytest.fixture
def program(tmp_path: Path) -> Path:
    file = tmp_path / "program.py"
    file.write_text(PROGRAM)
    return file


def test_a_script_runs_unchanged(program: Path, broker: Broker) -> None:
    lines = run("-m", "remqtt", str(program), str(broker.port), "--flag", cwd=Path("/"))
    assert lines == [f"__main__ ['{broker.port}', '--flag'] 2.2.0 True", *OUTPUT, "remqtt"]


def test_a_module_runs_unchanged(program: Path, broker: Broker) -> None:
    lines = run("-m", "remqtt", "-m", "program", str(broker.port), cwd=program.parent)
    assert lines == [f"__main__ ['{broker.port}'] 2.2.0 True", *OUTPUT, "remqtt"]


def test_genuine_paho_prints_the_same(program: Path, broker: Broker) -> None:
    pytest.importorskip("paho.mqtt")
    # Its loop_forever() reports an error of its own making on stderr after every disconnect().
    genuine = run_python(str(program), str(broker.port), cwd=str(program.parent))
    lines = genuine.communicate(timeout=PATIENCE)[0].splitlines()
    assert lines == [f"__main__ ['{broker.port}'] 2.2.0 True", *OUTPUT, "paho"]


def test_a_script_finds_its_neighbours_and_its_own_name(tmp_path: Path) -> None:
    (tmp_path / "neighbour.py").write_text("word = 'found'")
    script = tmp_path / "script.py"
    script.write_text("import sys, neighbour; print(neighbour.word, sys.argv[0], __file__, sys.path[0])")
    assert run("-m", "remqtt", str(script), cwd=Path("/")) == [f"found {script} {script} {tmp_path}"]


def test_installing_from_code_does_the_same(tmp_path: Path) -> None:
    code = "import remqtt; remqtt.install_as_paho(); remqtt.install_as_paho(); import paho.mqtt.client as c; "
    assert run("-c", code + "print(c.Client.__module__)", cwd=tmp_path) == ["remqtt.client"]


def test_it_refuses_where_genuine_paho_is_imported_already(tmp_path: Path) -> None:
    pytest.importorskip("paho.mqtt")
    code = "import paho.mqtt.client, remqtt; remqtt.install_as_paho()"
    program = run_python("-c", code, cwd=str(tmp_path))
    _, errors = program.communicate(timeout=PATIENCE)
    assert program.returncode == 1
    assert errors.rstrip().endswith(
        "RuntimeError: paho-mqtt is imported already: install remqtt before anything imports paho.mqtt"
    )


def test_the_command_line_is_explained(tmp_path: Path) -> None:
    assert run("-m", "remqtt", "--help", cwd=tmp_path)[0].startswith("usage: python -m remqtt script.py")
    program = run_python("-m", "remqtt", cwd=str(tmp_path))
    _, errors = program.communicate(timeout=PATIENCE)
    assert program.returncode == 2 and errors.startswith("usage:")


def test_a_failing_script_fails(tmp_path: Path) -> None:
    script = tmp_path / "script.py"
    script.write_text("raise SystemExit(7)")
    program = run_python("-m", "remqtt", str(script), env={**os.environ})
    program.communicate(timeout=PATIENCE)
    assert program.returncode == 7
