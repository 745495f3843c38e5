"""A program for paho's hooks and trio: what it publishes, it receives, whatever happens to the connection.

with_trio.py PORT CLIENT_ID COUNT QOS
"""

import contextlib
import sys

import paho.mqtt.client as mqtt
import trio

PORT, CLIENT_ID, COUNT, QOS = int(sys.argv[1]), sys.argv[2], int(sys.argv[3]), int(sys.argv[4])


class Program:
    """One scope of tasks for each connection."""

    def __init__(self) -> None:
        self.received = []
        self.sock = None
        self.scope = trio.CancelScope()
        self.writable = trio.Event()
        client = mqtt.Client(mqtt.CallbackAPIVersion.VERSION2, CLIENT_ID, clean_session=False)
        client.on_connect = self.on_connect
        client.on_disconnect = self.on_disconnect
        client.on_message = self.on_message
        client.on_socket_open = self.on_socket_open
        client.on_socket_close = self.on_socket_close
        client.on_socket_register_write = lambda *arguments: self.writable.set()
        client.on_socket_unregister_write = self.on_socket_unregister_write
        self.client = client

    def on_socket_open(self, client, userdata, sock) -> None:
        print("open", sock.fileno() >= 0)
        self.sock, self.scope = sock, trio.CancelScope()

    def on_socket_close(self, client, userdata, sock) -> None:
        print("close", sock.fileno() >= 0)
        trio.lowlevel.notify_closing(sock)
        self.scope.cancel()

    def on_socket_unregister_write(self, client, userdata, sock) -> None:
        self.writable = trio.Event()

    def on_connect(self, client, userdata, flags, reason_code, properties) -> None:
        print("connected", flags.session_present)
        client.subscribe(CLIENT_ID, QOS)

    def on_disconnect(self, client, userdata, flags, reason_code, properties) -> None:
        print("disconnected", reason_code)

    def on_message(self, client, userdata, message) -> None:
        self.received.append(int(message.payload))
        print("received", len(set(self.received)))
        if len(set(self.received)) == COUNT:
            client.disconnect()

    async def read(self) -> None:
        with contextlib.suppress(trio.ClosedResourceError):
            while self.client.socket() is self.sock:
                await trio.lowlevel.wait_readable(self.sock)
                self.client.loop_read()

    async def write(self) -> None:
        with contextlib.suppress(trio.ClosedResourceError):
            while self.client.socket() is self.sock:
                await self.writable.wait()
                if self.client.socket() is not self.sock:
                    return
                await trio.lowlevel.wait_writable(self.sock)
                self.client.loop_write()

    async def keep_alive(self) -> None:
        while self.client.loop_misc() == mqtt.MQTT_ERR_SUCCESS:
            await trio.sleep(0.2)

    async def serve(self) -> None:
        """One connection, to its end."""
        with self.scope:
            async with trio.open_nursery() as nursery:
                nursery.start_soon(self.read)
                nursery.start_soon(self.write)
                nursery.start_soon(self.keep_alive)

    async def stay_connected(self) -> None:
        self.client.connect("127.0.0.1", PORT)
        while True:
            await self.serve()
            if len(set(self.received)) == COUNT:
                return
            while self.client.socket() is None:
                await trio.sleep(0.05)
                with contextlib.suppress(OSError):
                    self.client.reconnect()

    async def main(self) -> None:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self.stay_connected)
            while not self.received:
                self.client.publish(CLIENT_ID, b"0", QOS)
                await trio.sleep(0.05)
            for number in range(1, COUNT):
                self.client.publish(CLIENT_ID, b"%d" % number, QOS)
                await trio.sleep(0.005)
        print("twice", len([n for n in self.received if n]) - (COUNT - 1), self.client.socket())


trio.run(Program().main)
