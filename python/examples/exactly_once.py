"""Every message of a topic has its effect in a database exactly once, whatever dies when.

    python exactly_once.py HOST PORT STORE DATABASE TOPIC

The messages are stored in STORE before they are acknowledged, each with a token that stays the same when
it comes again. Its effect and its token are written in one transaction; the next process says which
token it found there, and gets what comes after it. Stop it however you like, kill -9 included.
"""

from __future__ import annotations

import os
import sqlite3
import sys
import traceback

import remqtt.client as mqtt


def main(host: str, port: int, store: str, database: str, topic: str) -> None:
    """Runs for ever."""
    effects = sqlite3.connect(database, isolation_level=None, check_same_thread=False)
    effects.execute("PRAGMA journal_mode = WAL")
    effects.execute("CREATE TABLE IF NOT EXISTS effects (payload TEXT)")
    effects.execute("CREATE TABLE IF NOT EXISTS progress (only INTEGER PRIMARY KEY, token TEXT)")
    row = effects.execute("SELECT token FROM progress").fetchone()

    def on_message(client: mqtt.Client, userdata: object, message: mqtt.MQTTMessage) -> None:
        try:
            effects.execute("BEGIN IMMEDIATE")
            effects.execute("INSERT INTO effects VALUES (?)", (message.payload.decode(),))
            effects.execute("INSERT OR REPLACE INTO progress VALUES (1, ?)", (message.token,))
            effects.execute("COMMIT")
        except BaseException:
            # The client would report the exception and go on: the process has to end before the message
            # counts as finished.
            traceback.print_exc()
            os._exit(1)

    client = mqtt.Client(
        mqtt.CallbackAPIVersion.VERSION2,
        f"exactly-once-{topic}",
        clean_session=False,
        persistence=store,
        resume_after=row[0] if row else "",
    )
    client.on_message = on_message
    client.on_connect = lambda client, *_: client.subscribe(topic, qos=2)
    client.connect_async(host, port)
    client.loop_forever(retry_first_connection=True)


if __name__ == "__main__":
    if len(sys.argv) != 6:
        sys.exit("exactly_once.py HOST PORT STORE DATABASE TOPIC")
    main(sys.argv[1], int(sys.argv[2]), *sys.argv[3:])
