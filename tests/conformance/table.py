"""What is known about paho's tests: which need paho's own internals, and where remqtt disagrees."""

from __future__ import annotations

from collections.abc import Mapping

#: Tests of paho's private names, by the start of their name: they say nothing about what programs see.
PRIVATE = {
    "tests/test_packet.py": "the private module paho.mqtt._packet",
    "tests/test_websockets.py": "the private class client._WebsocketWrapper, with a mocked socket",
    "tests/lib/test_08_ssl_default_tls_version.py": "_ssl_context.protocol",
    "tests/test_client.py::Test_connect_v5::test_connack_server_keep_alive": "_keepalive",
    "tests/test_client.py::TestMalformedPacket::test_malformed_publish": "_thread.is_alive()",
    "tests/test_client.py::TestMalformedPacket::test_malformed_connack": "_thread.is_alive()",
    "tests/test_mqttv5.py::TestBrokerRebootsTopicAliiQoS0": "_do_on_publish and the names of mutexes",
    "tests/test_mqttv5.py::TestBrokerRebootsTopicAliiQoS1": "_do_on_publish and the names of mutexes",
    "tests/test_mqttv5.py::TestDropOutMessagesWorkAround": "_do_on_publish and the names of mutexes",
}

#: Cases that mosquitto cannot play in the place of paho.mqtt.testing's broker; a server of our own does.
NOT_WITH_MOSQUITTO = {
    "tests/test_mqttv5.py::Test::test_server_topic_alias": "mosquitto sends no topic aliases",
    "tests/test_mqttv5.py::Test::test_subscribe_failure": "mosquitto refuses no subscription by itself",
    "tests/test_mqttv5.py::Test::test_subscription_identifiers": "mosquitto sends overlapping ones apart",
}

#: Disagreements: the reason, and the test of ours that shows what is better.
DISAGREEMENTS = {
    "tests/test_client.py::TestCompatibility::test_migration_callback_version": (
        "Client('id') is the constructor of paho-mqtt 1.x: programs of that time run here",
        "tests/python/test_helpers.py::test_both_generations_of_the_constructor_work",
    ),
    "tests/test_client.py::TestPublish::test_publish_before_connect": (
        "wants a lost second and a second connection after loop_start() and connect(), 'probably a bug'",
        "tests/python/test_better.py::test_loop_start_before_connect_makes_one_connection",
    ),
    "tests/lib/test_03_publish_c2b_qos2_disconnect.py": (
        "wants a PUBREL where the session is lost: the message would be lost, and reported as delivered",
        "tests/python/test_better.py::test_a_lost_session_is_noticed",
    ),
    "tests/test_mqttv5.py::Test::test_server_topic_alias": (
        "wants an empty topic where the server uses an alias, which no topic callback would match",
        "tests/python/test_better.py::test_a_message_has_its_topic_where_the_server_used_an_alias",
    ),
}


def of(table: Mapping[str, object], test: str) -> str | None:
    """The key of the table that this test falls under."""
    return next((key for key in table if test == key or test.startswith((key + "::", key + "["))), None)
