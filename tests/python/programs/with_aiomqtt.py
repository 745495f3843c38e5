"""A program for aiomqtt, with the loop around the client that its documentation shows.

with_aiomqtt.py PORT CLIENT_ID COUNT QOS [anew]: the same client for all connections, or a new one for each
"""

import asyncio
import sys

import aiomqtt

PORT, CLIENT_ID, COUNT, QOS = int(sys.argv[1]), sys.argv[2], int(sys.argv[3]), int(sys.argv[4])
ANEW = "anew" in sys.argv

received = set()


def make_client() -> aiomqtt.Client:
    options = [(6, 1, 1)]  # TCP_NODELAY
    return aiomqtt.Client(
        "127.0.0.1", PORT, identifier=CLIENT_ID, clean_session=False, socket_options=options, timeout=1
    )


async def converse(client: aiomqtt.Client) -> None:
    async with client:
        await client.subscribe(CLIENT_ID, QOS)
        print("connected")
        while len(received) < COUNT:
            number = len(received)
            await client.publish(CLIENT_ID, b"%d" % number, QOS)
            async for message in client.messages:
                received.add(int(message.payload))
                print("received", len(received))
                if number in received:
                    break


async def main() -> None:
    client = make_client()
    while len(received) < COUNT:
        try:
            await converse(client)
        except aiomqtt.MqttError as error:
            print("disconnected", error)
            await asyncio.sleep(0.05)
            if ANEW:
                client = make_client()
    print("finished")


asyncio.run(main())
