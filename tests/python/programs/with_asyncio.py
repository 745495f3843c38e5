"""A program for paho's hooks and asyncio: what it publishes, it receives, whatever happens to the connection.

with_asyncio.py PORT CLIENT_ID COUNT QOS
"""

import asyncio
import sys

import paho.mqtt.client as mqtt

PORT, CLIENT_ID, COUNT, QOS = int(sys.argv[1]), sys.argv[2], int(sys.argv[3]), int(sys.argv[4])


class Program:
    """The loop's side of the client's hooks, and the program itself."""

    def __init__(self) -> None:
        self.loop = asyncio.get_running_loop()
        self.finished = self.loop.create_future()
        self.received = []
        client = mqtt.Client(mqtt.CallbackAPIVersion.VERSION2, CLIENT_ID, clean_session=False)
        client.on_connect = self.on_connect
        client.on_disconnect = self.on_disconnect
        client.on_message = self.on_message
        client.on_socket_open = self.on_socket_open
        client.on_socket_close = self.on_socket_close
        client.on_socket_register_write = self.on_socket_register_write
        client.on_socket_unregister_write = self.on_socket_unregister_write
        self.client = client

    def on_socket_open(self, client, userdata, sock) -> None:
        print("open", sock.fileno() >= 0)
        self.loop.add_reader(sock, client.loop_read)
        self.misc = self.loop.create_task(self.keep_alive())

    def on_socket_close(self, client, userdata, sock) -> None:
        print("close", sock.fileno() >= 0)
        self.loop.remove_reader(sock)
        self.misc.cancel()

    def on_socket_register_write(self, client, userdata, sock) -> None:
        self.loop.add_writer(sock, client.loop_write)

    def on_socket_unregister_write(self, client, userdata, sock) -> None:
        self.loop.remove_writer(sock)

    async def keep_alive(self) -> None:
        while self.client.loop_misc() == mqtt.MQTT_ERR_SUCCESS:
            await asyncio.sleep(0.2)

    def on_connect(self, client, userdata, flags, reason_code, properties) -> None:
        print("connected", flags.session_present)
        client.subscribe(CLIENT_ID, QOS)

    def on_disconnect(self, client, userdata, flags, reason_code, properties) -> None:
        print("disconnected", reason_code)
        if len(self.received) < COUNT:
            self.loop.call_later(0.05, self.reconnect)
        else:
            self.finished.set_result(None)

    def reconnect(self) -> None:
        try:
            self.client.reconnect()
        except OSError:
            self.loop.call_later(0.05, self.reconnect)

    def on_message(self, client, userdata, message) -> None:
        self.received.append(int(message.payload))
        print("received", len(set(self.received)))
        if len(set(self.received)) == COUNT:
            client.disconnect()

    async def main(self) -> None:
        self.client.connect("127.0.0.1", PORT)
        while not self.received:
            self.client.publish(CLIENT_ID, b"0", QOS)
            await asyncio.sleep(0.05)
        for number in range(1, COUNT):
            self.client.publish(CLIENT_ID, b"%d" % number, QOS)
            await asyncio.sleep(0.005)
        await self.finished
        print("twice", len([n for n in self.received if n]) - (COUNT - 1), self.client.socket())


async def main() -> None:
    await Program().main()


asyncio.run(main())
