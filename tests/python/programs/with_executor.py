"""A program for paho's hooks that connects in threads of an executor and tries again at fixed times.

The habits are those of home automation: hooks that are exchanged while an executor connects, locks that are
taken away, a larger receive buffer, and a loop that calls reconnect() for as long as there is no connection.

with_executor.py PORT CLIENT_ID COUNT QOS
"""

import asyncio
import contextlib
import socket
import sys
import threading

import paho.mqtt.client as mqtt

PORT, CLIENT_ID, COUNT, QOS = int(sys.argv[1]), sys.argv[2], int(sys.argv[3]), int(sys.argv[4])


class NoLock:
    def __enter__(self):
        return self

    def __exit__(self, *error):
        return None

    def acquire(self, *arguments):
        return True

    def release(self):
        return None


class LoopClient(mqtt.Client):
    """All calls come from one loop: locks are of no use."""

    def without_locks(self):
        self._in_callback_mutex = NoLock()
        self._callback_mutex = NoLock()
        self._msgtime_mutex = NoLock()
        self._out_message_mutex = NoLock()
        self._in_message_mutex = NoLock()
        self._reconnect_delay_mutex = NoLock()
        self._mid_generate_mutex = NoLock()


class Program:
    def __init__(self):
        self.loop = asyncio.get_running_loop()
        self.thread = threading.current_thread()
        self.connected, self.received = False, []
        self.finished = asyncio.Event()
        self.lock = asyncio.Lock()
        self.misc = None
        client = LoopClient(mqtt.CallbackAPIVersion.VERSION2, CLIENT_ID, clean_session=False)
        client.without_locks()
        client.suppress_exceptions = True
        client.on_connect = self.on_connect
        client.on_disconnect = self.on_disconnect
        client.on_message = self.on_message
        client.on_socket_close = self.on_socket_close
        client.on_socket_unregister_write = self.on_socket_unregister_write
        self.client = client

    @contextlib.asynccontextmanager
    async def hooks_for_an_executor(self):
        client = self.client
        try:
            client.on_socket_open = lambda *arguments: self.soon(self.on_socket_open, *arguments)
            client.on_socket_register_write = lambda *arguments: self.soon(self.on_register_write, *arguments)
            yield
        finally:
            client.on_socket_open = self.on_socket_open
            client.on_socket_register_write = self.on_register_write

    def soon(self, function, *arguments):
        self.loop.call_soon_threadsafe(function, *arguments)

    def on_socket_open(self, client, userdata, sock):
        assert threading.current_thread() is self.thread
        if sock.fileno() > -1:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 2 * 1024 * 1024)
            self.loop.add_reader(sock, self.read)
        if self.misc is None:
            self.misc = self.loop.call_later(0.2, self.keep_alive)
        self.read()

    def on_socket_close(self, client, userdata, sock):
        assert threading.current_thread() is self.thread
        print("close", sock.fileno() > -1)
        self.loop.remove_reader(sock)
        if self.misc is not None:
            self.misc.cancel()
            self.misc = None

    def on_register_write(self, client, userdata, sock):
        if sock.fileno() > -1:
            self.loop.add_writer(sock, self.write)

    def on_socket_unregister_write(self, client, userdata, sock):
        if sock.fileno() > -1:
            self.loop.remove_writer(sock)

    def read(self):
        status = self.client.loop_read(500)
        if status != 0:
            print("status", int(status), self.connected)

    def write(self):
        self.client.loop_write()

    def keep_alive(self):
        if self.client.loop_misc() == mqtt.MQTT_ERR_SUCCESS:
            self.misc = self.loop.call_later(0.2, self.keep_alive)

    def on_connect(self, client, userdata, flags, reason_code, properties):
        assert threading.current_thread() is self.thread
        print("connected", flags.session_present)
        self.connected = True
        client.subscribe([(CLIENT_ID, QOS)])

    def on_disconnect(self, client, userdata, flags, reason_code, properties):
        print("disconnected", reason_code)
        self.connected = False

    def on_message(self, client, userdata, message):
        self.received.append(int(message.payload))
        print("received", len(set(self.received)))
        if len(set(self.received)) == COUNT:
            self.finished.set()

    async def connect(self, how, *arguments):
        try:
            async with self.lock, self.hooks_for_an_executor():
                await self.loop.run_in_executor(None, how, *arguments)
        except OSError as error:
            print("failed", type(error).__name__)

    async def stay_connected(self):
        await self.connect(self.client.connect, "127.0.0.1", PORT)
        while True:
            await asyncio.sleep(0.2)
            if not self.connected:
                await self.connect(self.client.reconnect)

    async def main(self):
        staying = asyncio.create_task(self.stay_connected())
        number = 0
        while number < COUNT:
            if self.connected:
                self.client.publish(CLIENT_ID, b"%d" % number, QOS)
                number += 1
            await asyncio.sleep(0.005)
        await self.finished.wait()
        staying.cancel()
        self.client.disconnect()
        while self.client.socket() is not None:
            await asyncio.sleep(0.01)
        print("twice", len(self.received) - COUNT, self.client.socket())


async def main():
    await Program().main()


asyncio.run(main())
