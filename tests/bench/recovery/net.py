"""Networks of the benchmark's own, in namespaces: three in a row with a black hole in the middle, and two
with a delay between them. They end with the runner; what one that was killed left behind is swept by the
next."""

from __future__ import annotations

import os
import re
import statistics
import subprocess
import sys
import threading

from children import Child, now
from peers import HERE

_LOCK = threading.Lock()
_MADE: list[str] = []


def ip(*lines: str, namespace: str = "") -> None:
    """Runs lines of `ip` in one go, so that what they change changes at nearly one moment."""
    command = ["ip", *(["-n", namespace] if namespace else []), "-batch", "-"]
    done = subprocess.run(command, input="\n".join(lines) + "\n", text=True, capture_output=True, check=False)
    if done.returncode != 0:
        raise RuntimeError(f"ip {'; '.join(lines)}: {done.stderr.strip()}")


def make_namespace(name: str) -> str:
    with _LOCK:
        full = f"recovery-{os.getpid()}-{len(_MADE)}-{name}"
        _MADE.append(full)
    ip(f"netns add {full}")
    ip("link set lo up", namespace=full)
    return full


def end_all() -> None:
    with _LOCK:
        names, _MADE[:] = list(_MADE), []
    for name in names:
        subprocess.run(["ip", "netns", "del", name], capture_output=True, check=False)


def sweep() -> None:
    """Ends namespaces whose runner is no more."""
    listed = subprocess.run(["ip", "netns", "list"], capture_output=True, text=True, check=False).stdout
    for name, pid in re.findall(r"^(recovery-(\d+)-\S+)", listed, re.MULTILINE):
        if not os.path.exists(f"/proc/{pid}"):
            subprocess.run(["ip", "netns", "del", name], capture_output=True, check=False)


class BlackHole:
    """client - middle - broker. The broker has an address for each lane, so that each lane has its own
    outages.

    The neighbours are permanent: a failed ARP entry would add an outage that nobody asked for.
    """

    CLIENT = "10.77.1.2"

    def __init__(self, lanes: int) -> None:
        self.client, self.middle, self.broker = (
            make_namespace(name) for name in ("client", "middle", "broker")
        )
        self.addresses = [f"10.77.2.{10 + lane}" for lane in range(lanes)]
        for name, middle_end, end in ((self.client, "m1", "c0"), (self.broker, "m2", "b0")):
            ip(
                f"link add {middle_end} netns {self.middle} address 02:00:00:00:00:{middle_end[1]}1"
                f" type veth peer name {end} netns {name} address 02:00:00:00:00:{middle_end[1]}2"
            )
        ip("address add 10.77.1.1/24 dev m1", "address add 10.77.2.1/24 dev m2",
           "link set m1 up", "link set m2 up",
           f"neigh replace {self.CLIENT} lladdr 02:00:00:00:00:12 nud permanent dev m1",
           *(f"neigh replace {to} lladdr 02:00:00:00:00:22 nud permanent dev m2" for to in self.addresses),
           namespace=self.middle)  # fmt: skip
        forward = "echo 1 >/proc/sys/net/ipv4/ip_forward"
        subprocess.run(["ip", "netns", "exec", self.middle, "sh", "-c", forward], check=True)
        ip(f"address add {self.CLIENT}/24 dev c0", *self._client_up(), namespace=self.client)
        ip(*(f"address add {address}/24 dev b0" for address in self.addresses), "link set b0 up",
           "neigh replace 10.77.2.1 lladdr 02:00:00:00:00:21 nud permanent dev b0",
           "route add 10.77.1.0/24 via 10.77.2.1", namespace=self.broker)  # fmt: skip

    def cut(self, lane: int) -> int:
        """Nothing passes for this lane any more, and nobody is told; when that was done."""
        address = self.addresses[lane]
        ip(f"rule add to {address} blackhole", f"rule add from {address} blackhole", namespace=self.middle)
        return now()

    def heal(self, lane: int) -> int:
        address = self.addresses[lane]
        ip(f"rule del from {address} blackhole", f"rule del to {address} blackhole", namespace=self.middle)
        return now()

    def link_down(self) -> int:
        ip("link set c0 down", namespace=self.client)
        return now()

    def link_up(self) -> int:
        """The link is up and the route is back, as a network manager would have it; when that was done."""
        ip(*self._client_up(), namespace=self.client)
        return now()

    def _client_up(self) -> list[str]:
        return [
            "link set c0 up",
            "neigh replace 10.77.1.1 lladdr 02:00:00:00:00:11 nud permanent dev c0",
            "route add 10.77.2.0/24 via 10.77.1.1",
        ]


class Delay(Child):
    """client - relay - broker, each way late by half the round trip. The relay tells each SYN of the client.

    `wide` gives the broker's side an initial window that holds everything, so that TCP's slow start is no
    part of it.
    """

    CLIENT, BROKER = "10.78.0.1", "10.78.0.2"

    def __init__(self, round_trip_ms: float, *, wide: bool = False) -> None:
        self.client, self.broker = make_namespace("near"), make_namespace("far")
        self.syns: list[tuple[int, int]] = []  # port of the broker, time
        self._trips: list[int] = []
        self.ready = False
        command = [sys.executable, str(HERE / "relay.py"), self.client, self.broker, str(round_trip_ms / 2)]
        super().__init__(command)
        if not self.wait(lambda: self.ready, 10):
            raise RuntimeError("the relay did not start")
        ip(
            f"address add {self.CLIENT} peer {self.BROKER} dev relay",
            "link set relay up",
            namespace=self.client,
        )
        ip(
            f"address add {self.BROKER} peer {self.CLIENT} dev relay",
            "link set relay up",
            namespace=self.broker,
        )
        if wide:
            ip(f"route replace {self.CLIENT} dev relay initcwnd 1000", namespace=self.broker)
            ip(f"route replace {self.BROKER} dev relay initrwnd 1000", namespace=self.client)

    def hear(self, line: str) -> None:
        kind, *numbers = line.split()
        if kind == "syn":
            self.syns.append((int(numbers[0]), int(numbers[1])))
        elif kind == "answer":
            port, time = int(numbers[0]), int(numbers[1])
            sent = [at for to, at in self.syns if to == port]
            if sent:
                self._trips.append(time - sent[-1])
        else:
            self.ready = True

    @property
    def trip(self) -> float:
        """The round trip that handshakes have had, in nanoseconds."""
        with self.changed:
            return statistics.median(self._trips)

    def syn_after(self, port: int, after: int) -> int | None:
        """The first SYN to `port` since `after`."""
        with self.changed:
            return next((time for to, time in self.syns if to == port and time >= after), None)
