"""The Python shim: plays the protocol in README.md through remqtt.client."""

from __future__ import annotations

import sys
import threading
from collections.abc import Callable
from typing import Any

import remqtt.client as mqtt
from remqtt._native import ERRORS, OPTIONS
from remqtt.packettypes import PacketTypes
from remqtt.properties import Properties, of

WHO = {name: who for _, name, who, _ in ERRORS}
#: What Client's own arguments decide.
OWN = ("protocol_version", "client_id", "manual_ack", "reconnect")


def say(line: str) -> None:
    # In one piece: callbacks and commands speak on different threads.
    sys.stdout.write(line + "\n")
    sys.stdout.flush()


def failed(what: str, code: str) -> None:
    say(f"FAILED {what} by={WHO[code]} code={code} reason=- at=call")


def unhex(word: str) -> bytes:
    return b"" if word == "-" else bytes.fromhex(word)


def is_property(word: str) -> bool:
    head, _, rest = word.partition(":")
    return head.isdigit() and rest[:2] in ("n:", "t:", "b:", "p:")


READ: dict[str, Callable[[str], Any]] = {
    "n": int,
    "t": lambda value: bytes.fromhex(value).decode(),
    "b": bytes.fromhex,
    "p": lambda value: tuple(bytes.fromhex(part).decode() for part in value.split(":")),
}


def properties(packet_type: int, words: list[str]) -> Properties:
    """As the words say, right or wrong: the client has to judge."""
    pairs: list[tuple[int, Any]] = []
    for word in words:
        number, kind, value = word.split(":", 2)
        pairs.append((int(number), READ[kind](value)))
    return of(packet_type, pairs)


class Shim:
    """One client, and the names of its operations."""

    def __init__(self) -> None:
        # The core's own defaults, where paho's arguments would say something else.
        self.options = {key: default for key, _, _, default, _ in OPTIONS if default is not None}
        self.servers: list[str] = []
        self.before: list[Any] = []
        self.made: mqtt.Client | None = None
        self.names: dict[str, str] = {}
        self.on_connect: list[list[str]] = []
        self.lock = threading.RLock()
        self.closed = threading.Event()

    def run(self, words: list[str]) -> None:
        verb, rest = words[0], words[1:]
        if verb == "on_connect":
            self.on_connect.append(rest)
            return
        what = rest[0] if verb in ("publish", "subscribe", "unsubscribe") else verb
        with self.lock:
            try:
                getattr(self, "do_" + verb)(*rest)
            except (ValueError, TypeError, RuntimeError, OSError) as error:
                failed(what, getattr(error, "code", "InvalidArgument"))

    def do_option(self, key: str, value: str) -> None:
        value = "" if value == "-" else value
        if key == "store":  # trying it would open it
            self.options[key] = value
            return
        mqtt.Client(mqtt.CallbackAPIVersion.VERSION2, options={key: value})
        self.options[key] = value

    def do_server(self, url: str) -> None:
        self.servers.append(url)

    def do_username(self, name: str) -> None:
        self.before.append(("username", unhex(name).decode()))

    def do_password(self, password: str) -> None:
        self.before.append(("password", unhex(password)))

    def do_will(self, topic: str, payload: str, qos: str, retain: str, *words: str) -> None:
        will = properties(PacketTypes.WILLMESSAGE, list(words)) if words else None
        self.before.append(("will", (topic, unhex(payload), int(qos), retain == "1", will)))

    @property
    def client(self) -> mqtt.Client:
        if self.made is None:
            self.made = self.make()
        return self.made

    def make(self) -> mqtt.Client:
        options = {key: value for key, value in self.options.items() if key not in OWN}
        client = mqtt.Client(
            mqtt.CallbackAPIVersion.VERSION2,
            client_id=self.options["client_id"],
            protocol=int(self.options["protocol_version"]),
            manual_ack=self.options["manual_ack"] == "true",
            reconnect_on_failure=self.options["reconnect"] == "true",
            options=options,
        )
        credentials: dict[str, Any] = {"username": None, "password": None}
        for what, value in self.before:
            if what == "will":
                client.will_set(*value)
            else:
                credentials[what] = value
        # Not username_pw_set(): paho leaves out a password without a user name, which MQTT 5 allows.
        client._core.set_credentials(credentials["username"], credentials["password"])
        client.on_event = self.tell
        client.on_connect = self.connected
        client.loop_start()
        return client

    def do_start(self) -> None:
        client = self.client
        if not client._host and self.servers:
            client._aim(self.servers[0], 1883, int(self.options["keepalive"]), "", 0, 3, None)
            client._further_servers = (*self.servers[1:],)
            client._apply()
        client._core.start()

    def do_publish(self, name: str, topic: str, payload: str, qos: str, retain: str, *words: str) -> None:
        given = properties(PacketTypes.PUBLISH, list(words)) if words else None
        topic = "" if topic == "-" else topic
        info = self.client.publish(topic, unhex(payload), int(qos), retain == "1", given)
        if info.rc == mqtt.MQTT_ERR_QUEUE_SIZE:
            failed(name, "QueueFull")
        elif info.rc == mqtt.MQTT_ERR_NO_CONN and qos == "0":
            failed(name, "NotConnected")
        else:
            self.names[f"#{info.mid}"] = name

    def do_subscribe(self, name: str, *words: str) -> None:
        given = [word for word in words if is_property(word)]
        plain = [word for word in words if not is_property(word)]
        filters = []
        for topic, text in zip(plain[::2], plain[1::2]):
            byte = int(text)
            name_of = "" if topic == "-" else topic
            filters.append((name_of, byte & 3, bool(byte & 4), bool(byte & 8), byte >> 4))
        # Not subscribe(): without a connection that refuses, as paho's does.
        pairs = properties(PacketTypes.SUBSCRIBE, given)._pairs()
        mid = self.client._core.subscribe(filters, pairs)
        self.client._file(mid)
        self.names[f"#{mid}"] = name

    def do_unsubscribe(self, name: str, *topics: str) -> None:
        mid = self.client._core.unsubscribe(["" if topic == "-" else topic for topic in topics], None)
        self.client._file(mid)
        self.names[f"#{mid}"] = name

    def do_ack(self, mid: str) -> None:
        self.client.ack(int(mid), 1)

    def do_stop(self, reason: str = "0") -> None:
        # Not disconnect(): that gives what is still unsent a moment before it goes.
        self.client._core.stop(int(reason))

    def do_reconnect_now(self) -> None:
        self.client.reconnect_now()

    def do_network_changed(self) -> None:
        self.client.network_changed()

    def do_close(self) -> None:
        self.client._core.close(0.0)

    def tell(self, client: Any, userdata: Any, text: str) -> None:
        with self.lock:
            words = text.split(" ")
            if len(words) > 1 and words[1].startswith("#"):
                words[1] = self.names.get(words[1], words[1])
            if words[0] == "FAILED":
                words.append("at=event")
        say(" ".join(words))
        if words[0] == "CLOSED":
            self.closed.set()

    def connected(self, client: Any, userdata: Any, flags: Any, reason: Any, given: Any) -> None:
        if not reason.is_failure:
            for command in self.on_connect:
                self.run(command)

    def quit(self) -> None:
        if self.made is not None:
            self.made._core.close(0.0)
            self.closed.wait(4.0)


def main() -> None:
    shim = Shim()
    for line in sys.stdin:
        words = line.split()
        if words == ["quit"]:
            break
        if words:
            shim.run(words)
    shim.quit()
    sys.stdout.flush()


if __name__ == "__main__":
    main()
