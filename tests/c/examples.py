"""Runs the C and C++ examples against a mosquitto of their own: examples.py FOLDER-OF-THE-PROGRAMS."""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "tests/bench"))

import wire  # noqa: E402 its folder is on the path only now

PROGRAMS = Path(sys.argv[1])
#: Seconds after which a program hangs; none takes so long on a machine that is merely slow.
HANG = 120

CERTIFICATES = """
new='-newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes'
openssl req -x509 $new -keyout ca.key -out ca.pem -days 2 -subj /CN=examples-ca
printf 'subjectAltName=DNS:localhost,IP:127.0.0.1' >names
for who in server me; do
    openssl req $new -keyout $who.key -out $who.csr -subj /CN=$who
    openssl x509 -req -in $who.csr -CA ca.pem -CAkey ca.key -CAcreateserial -days 2 \\
        -extfile names -out $who.pem
done
"""


def run(name: str, *arguments: object, given: str = "") -> str:
    """What the program prints. It must end well."""
    command = [str(PROGRAMS / name), *map(str, arguments)]
    done = subprocess.run(command, input=given, capture_output=True, text=True, timeout=HANG, check=False)
    if done.returncode != 0:
        raise SystemExit(f"FAILED {name}: ended with {done.returncode}: {done.stderr}")
    return done.stdout


@contextmanager
def running(name: str, *arguments: object) -> Iterator[tuple[subprocess.Popen[str], IO[str], IO[str]]]:
    """The program with its input and output, until it is no longer needed or hangs."""
    command = [str(PROGRAMS / name), *map(str, arguments)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as program:
        assert program.stdin and program.stdout
        hang = threading.Timer(HANG, program.kill)
        hang.start()
        try:
            yield program, program.stdin, program.stdout
        finally:
            hang.cancel()
            program.kill()


def expect(name: str, got: str, wanted: str) -> None:
    """Ends the run if an example says something else."""
    if got != wanted:
        raise SystemExit(f"FAILED {name}: printed {got!r}, not {wanted!r}")


def outbox(port: int, folder: Path) -> None:
    """The first run finds no server, the second sends what it left."""
    store = folder / "store"
    with running("outbox", "127.0.0.1", wire.free_port(), store, "box") as (_, given, printed):
        given.write("one\ntwo\n")
        given.close()
        told = printed.readline() + printed.readline()
    expect("outbox", told, "0 messages of an earlier run\nall lines are on disk\n")
    kinds = [json.loads(line)["kind"] for line in run("store", store).splitlines()]
    expect("store", " ".join(kinds), "session publish publish")
    told = run("outbox", "127.0.0.1", port, store, "box", given="three\n")
    expect(
        "outbox", told, "2 messages of an earlier run\nall lines are on disk\nall lines are at the server\n"
    )


def poll_loop(port: int, _: Path) -> None:
    """What it reads comes back through the server."""
    with running("poll_loop", "127.0.0.1", port, "echo") as (program, given, printed):
        given.write("hello\n")
        given.flush()
        expect("poll_loop", printed.readline(), "hello\n")
        given.close()
        if program.wait() != 0:
            raise SystemExit("FAILED poll_loop")


def libuv_loop(port: int, _: Path) -> None:
    """Two ticks come back, then the loop ends."""
    expect("libuv_loop", run("libuv_loop", "127.0.0.1", port, "ticks", 2), "tick\ntick\n")


def futures(port: int, _: Path) -> None:
    """Every future is fulfilled."""
    expect("futures", run("futures", "127.0.0.1", port, "n", 100), "100 done, 0 failed\n")


def subscriber_and_publisher(port: int, _: Path) -> None:
    """The publisher ends when all is acknowledged, the subscriber when all has come."""
    wanted = ["--count", 50, "--quiet", "--stamps"]
    with running("subscriber", "127.0.0.1", port, "sub", "n", 1, *wanted) as (program, _input, printed):
        while not (line := printed.readline()).startswith("subscribed "):
            if not line:
                raise SystemExit("FAILED subscriber: it never subscribed")
        told = run("publisher", "127.0.0.1", port, "pub", "n", 1, "--count", 50)
        if '"published": 50, "failed": 0' not in told:
            raise SystemExit(f"FAILED publisher: {told}")
        told = printed.read()
        if '"messages": 50,' not in told or program.wait() != 0:
            raise SystemExit(f"FAILED subscriber: {told}")


def tls_client(_: int, folder: Path) -> None:
    """A server that asks for a certificate takes ours."""
    subprocess.run(["bash", "-ec", CERTIFICATES], cwd=folder, capture_output=True, check=True)
    port, config = wire.free_port(), folder / "tls.conf"
    config.write_text(
        f"user root\nlistener {port} 127.0.0.1\nallow_anonymous true\nlog_dest none\n"
        "require_certificate true\n"
        f"cafile {folder}/ca.pem\ncertfile {folder}/server.pem\nkeyfile {folder}/server.key\n"
    )
    broker = subprocess.Popen(["setpriv", "--pdeathsig", "KILL", "--", "mosquitto", "-c", str(config)])
    try:
        files = [folder / "ca.pem", folder / "me.pem", folder / "me.key"]
        expect("tls_client", run("tls_client", "127.0.0.1", port, *files, "door", "open"), "sent\n")
    finally:
        broker.kill()
        broker.wait()


EXAMPLES: list[Callable[[int, Path], None]] = [
    outbox,
    poll_loop,
    libuv_loop,
    futures,
    subscriber_and_publisher,
    tls_client,
]


def main() -> None:
    """Runs each with a broker and a folder of its own."""
    for example in EXAMPLES:
        with wire.Mosquitto() as broker, tempfile.TemporaryDirectory() as folder:
            example(broker.port, Path(folder))
    print(f"examples: {len(EXAMPLES)} passed, 0 failed")


if __name__ == "__main__":
    main()
