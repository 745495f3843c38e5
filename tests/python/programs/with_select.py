"""A program for select.select(): what it publishes, it receives, whatever happens to the connection.

with_select.py PORT CLIENT_ID COUNT QOS
"""

import select
import sys
import time

import paho.mqtt.client as mqtt

PORT, CLIENT_ID, COUNT, QOS = int(sys.argv[1]), sys.argv[2], int(sys.argv[3]), int(sys.argv[4])

received = []
finished = False


def on_connect(client, userdata, flags, reason_code, properties) -> None:
    print("connected", flags.session_present)
    client.subscribe(CLIENT_ID, QOS)


def on_disconnect(client, userdata, flags, reason_code, properties) -> None:
    print("disconnected", reason_code)
    global finished
    finished = len(set(received)) == COUNT


def on_message(client, userdata, message) -> None:
    received.append(int(message.payload))
    print("received", len(set(received)))


def turn(client) -> None:
    sock = client.socket()
    if sock is None:
        try:
            client.reconnect()
        except OSError:
            time.sleep(0.05)
        return
    readable, writable, _ = select.select([sock], [sock] if client.want_write() else [], [], 0.005)
    if readable:
        client.loop_read()
    if writable:
        client.loop_write()
    client.loop_misc()


def main() -> None:
    client = mqtt.Client(mqtt.CallbackAPIVersion.VERSION2, CLIENT_ID, clean_session=False)
    client.on_connect, client.on_disconnect, client.on_message = on_connect, on_disconnect, on_message
    client.connect("127.0.0.1", PORT)
    while not received:
        client.publish(CLIENT_ID, b"0", QOS)
        turn(client)
    for number in range(1, COUNT):
        client.publish(CLIENT_ID, b"%d" % number, QOS)
        turn(client)
    while len(set(received)) < COUNT:
        turn(client)
    client.disconnect()
    while not finished:
        turn(client)
    print("twice", len([n for n in received if n]) - (COUNT - 1), client.socket())


main()
