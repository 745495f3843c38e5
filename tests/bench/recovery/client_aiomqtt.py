"""bench-recovery: aiomqtt, with the loop of its documentation: 5 s between attempts.

best: 0.1 s between attempts (that wait is the application's), keep alive 5 s, timeout 2 s, an explicit
receive maximum on MQTT 5. It does not tell whether the session was kept, so a program subscribes each time.
"""

from __future__ import annotations

import asyncio
import ssl

import aiomqtt
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties
from paho.mqtt.subscribeoptions import SubscribeOptions
from words import Given, say

given = Given()


def open_client(client_id: str) -> aiomqtt.Client:
    tls = ssl.create_default_context(cafile=given.ca) if given.ca else None
    keepalive, timeout = (5, 2.0) if given.best else (60, 10.0)
    if given.version != 5:
        return aiomqtt.Client(
            given.host,
            given.port,
            identifier=client_id,
            clean_session=False,
            keepalive=keepalive,
            timeout=timeout,
            tls_context=tls,
        )
    properties = Properties(PacketTypes.CONNECT)  # type: ignore[no-untyped-call]
    properties.SessionExpiryInterval = 3600
    if given.best:
        properties.ReceiveMaximum = 65535
    return aiomqtt.Client(
        given.host,
        given.port,
        identifier=client_id,
        protocol=aiomqtt.ProtocolVersion.V5,
        clean_start=False,
        properties=properties,
        keepalive=keepalive,
        timeout=timeout,
        tls_context=tls,
    )


async def subscribe(client: aiomqtt.Client) -> None:
    for name in given.filters:
        if given.version == 5:
            await client.subscribe(name, options=SubscribeOptions(qos=given.qos, retainHandling=1))
        else:
            await client.subscribe(name, qos=given.qos)
    say("subscribed")


async def run(client_id: str) -> None:
    while True:
        up = False
        try:
            async with open_client(client_id) as client:
                up = True
                say("up")
                subscribing = asyncio.create_task(subscribe(client))
                async for message in client.messages:
                    payload = message.payload
                    given.take(payload if isinstance(payload, bytes) else b"", message.retain)
                await subscribing
        except aiomqtt.MqttError:
            say("down" if up else "failed")
            await asyncio.sleep(0.1 if given.best else 5)


async def main() -> None:
    await asyncio.gather(*(run(client_id) for client_id in given.ids()))


asyncio.run(main())
