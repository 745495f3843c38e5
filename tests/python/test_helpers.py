"""The small modules say what paho's say; the genuine ones are asked where they are installed."""

from __future__ import annotations

import importlib
from typing import Any

import pytest
import remqtt.client as mqtt
from remqtt.exception import MalformedPacket, MQTTException
from remqtt.matcher import MQTTMatcher
from remqtt.packettypes import PacketTypes
from remqtt.properties import Properties, VariableByteIntegers
from remqtt.reasoncodes import ReasonCode, ReasonCodes
from remqtt.subscribeoptions import SubscribeOptions

MODULES = ("client", "enums", "packettypes", "properties", "reasoncodes", "subscribeoptions", "matcher")


def genuine(name: str) -> Any:
    return pytest.importorskip(f"paho.mqtt.{name}")


def plain(value: Any) -> Any:
    """A value without the names of its types."""
    return [plain(one) for one in value] if isinstance(value, (list, tuple)) else value


@pytest.mark.parametrize("module", MODULES)
def test_every_constant_of_paho_is_there_with_its_value(module: str) -> None:
    theirs, ours = genuine(module), importlib.import_module(f"remqtt.{module}")
    names = [name for name, value in vars(theirs).items() if isinstance(value, int) and name.isupper()]
    for name in names:
        if name not in ("EAGAIN", "HAVE_DNS", "TYPE_CHECKING"):
            assert getattr(ours, name) == getattr(theirs, name), name


@pytest.mark.parametrize(
    "name",
    [
        *("MQTTErrorCode", "MQTTProtocolVersion", "CallbackAPIVersion", "MessageType", "LogLevel"),
        *("ConnackCode", "MessageState", "PahoClientMode"),
    ],
)
def test_every_enum_has_pahos_members(name: str) -> None:
    theirs, ours = getattr(genuine("enums"), name), getattr(mqtt, name)
    assert [(one.name, one.value) for one in ours] == [(one.name, one.value) for one in theirs]


def test_strings_of_errors_and_refusals_are_pahos() -> None:
    theirs = genuine("client")
    for number in range(-2, 20):
        assert mqtt.error_string(number) == theirs.error_string(number)
        assert mqtt.connack_string(number) == theirs.connack_string(number)
    for number in range(7):
        ours = mqtt.convert_connack_rc_to_reason_code(number)
        assert repr(ours) == repr(theirs.convert_connack_rc_to_reason_code(number))
    for code in mqtt.MQTTErrorCode:
        ours = mqtt.convert_disconnect_error_code_to_reason_code(code)
        assert repr(ours) == repr(theirs.convert_disconnect_error_code_to_reason_code(code))


FILTERS = [
    "a/#",
    "#",
    "+/b",
    "+",
    "a/+/c",
    "$SYS/#",
    "+/x",
    "a",
    "a/b",
    "a/b/#",
    "",
    "/",
    "/+",
    "a/+",
    "a//c",
]
TOPICS = ["a", "a/b", "a/b/c", "a//c", "$SYS", "$SYS/a", "$SYS/x", "/", "/a", "b/x", ""]


def test_matching_is_pahos() -> None:
    theirs = genuine("client")
    for topic_filter in FILTERS:
        for topic in TOPICS:
            expected = theirs.topic_matches_sub(topic_filter, topic)
            assert mqtt.topic_matches_sub(topic_filter, topic) is expected, (topic_filter, topic)
    ours, reference = MQTTMatcher(), theirs.MQTTMatcher()
    for matcher in (ours, reference):
        for topic_filter in FILTERS:
            matcher[topic_filter] = topic_filter
        del matcher["a/#"]
    for topic in TOPICS:
        assert list(ours.iter_match(topic)) == list(reference.iter_match(topic))


def test_a_matcher_forgets_what_is_deleted() -> None:
    matcher = MQTTMatcher()
    matcher["a/b"] = 1
    matcher["a"] = 2
    del matcher["a/b"]
    assert matcher["a"] == 2 and matcher._root._children["a"]._children == {}
    for missing in ("a/b", "b", "a/b/c"):
        with pytest.raises(KeyError):
            matcher[missing]
        with pytest.raises(KeyError):
            del matcher[missing]


def test_reason_codes_are_pahos() -> None:
    theirs = genuine("reasoncodes").ReasonCode
    assert ReasonCode(PacketTypes.CONNACK).names == theirs(PacketTypes.CONNACK).names
    for code, names in theirs(PacketTypes.CONNACK).names.items():
        for name, packets in names.items():
            for packet in packets:
                ours = ReasonCode(packet, identifier=code)
                assert repr(ours) == repr(theirs(packet, identifier=code)) == repr(ReasonCode(packet, name))
                assert ours.is_failure is (code >= 0x80) and ours.pack() == bytes([code])


def test_reason_codes_compare_with_numbers_names_and_each_other() -> None:
    refused = ReasonCode(PacketTypes.CONNACK, identifier=135)
    same, success = ReasonCode(PacketTypes.PUBACK, "Not authorized"), ReasonCode(PacketTypes.CONNACK)
    assert refused == 135 and refused == "Not authorized" and refused == same
    assert refused != "Success" and refused is not None and refused > 5 and refused > success
    assert isinstance(refused, ReasonCodes)
    assert ReasonCode(PacketTypes.DISCONNECT).getName() == "Normal disconnection"
    with pytest.raises(TypeError):
        hash(refused)
    with pytest.raises(KeyError, match="Reason code name not found: xx"):
        ReasonCode(PacketTypes.CONNACK, "xx")


def filled(module: Any, packet: int) -> Any:
    """Properties with a value for everything that the packet may carry."""
    properties = module.Properties(packet)
    for name, identifier in properties.names.items():
        kind, packets = properties.properties[identifier]
        if packet in packets:
            values = [1, 300, 70_000, 200, b"\x00\xff", "text é", ("key", "value")]
            setattr(properties, name, values[kind])
    return properties


@pytest.mark.parametrize("packet", [*range(1, 12), 14, 15, 99])
def test_properties_are_pahos_on_the_wire_and_in_print(packet: int) -> None:
    reference = filled(genuine("properties"), packet)
    ours = filled(importlib.import_module("remqtt.properties"), packet)
    assert ours.names == reference.names
    assert (str(ours), ours.json(), ours.pack()) == (str(reference), reference.json(), reference.pack())
    again, used = Properties(packet).unpack(ours.pack() + b"more")
    assert str(again) == str(ours) and used == len(ours.pack())
    assert plain(sorted(ours.properties.items())) == plain(sorted(reference.properties.items()))


def test_properties_refuse_what_a_packet_cannot_carry() -> None:
    properties = Properties(PacketTypes.PUBLISH)
    for name, value, text in (
        ("Foo", 1, "must be one of"),
        ("SessionExpiryInterval", 1, "SessionExpiryInterval does not apply to packet type Publish"),
        ("TopicAlias", 0, "TopicAlias property value must be in the range 1-65535"),
        ("PayloadFormatIndicator", 2, "PayloadFormatIndicator property value must be 0 or 1"),
        ("SubscriptionIdentifier", 0, "range 1-268435455"),
    ):
        with pytest.raises(MQTTException, match=text):
            setattr(properties, name, value)
    with pytest.raises(AttributeError):
        properties.ContentType  # noqa: B018
    assert properties.isEmpty()


@pytest.mark.parametrize("wire", [b"\x05\x01", b"\x02\x7f\x00", b"\x03\x26\x00\x05", b"\xff\xff\xff\xff\x01"])
def test_malformed_properties_are_refused(wire: bytes) -> None:
    with pytest.raises(MalformedPacket):
        Properties(PacketTypes.PUBLISH).unpack(wire)


@pytest.mark.parametrize("number", [0, 127, 128, 16_383, 16_384, 2_097_151, 2_097_152, 268_435_455])
def test_variable_byte_integers_come_back(number: int) -> None:
    wire = VariableByteIntegers.encode(number)
    assert VariableByteIntegers.decode(wire + b"\x01") == (number, len(wire))


def test_subscribe_options_are_pahos() -> None:
    theirs = genuine("subscribeoptions").SubscribeOptions
    for arguments in ((), (1, True), (2, False, True, 1), (0, True, True, 2)):
        ours, reference = SubscribeOptions(*arguments), theirs(*arguments)
        assert (str(ours), ours.json(), ours.pack()) == (str(reference), reference.json(), reference.pack())
        back = SubscribeOptions()
        assert back.unpack(ours.pack()) == 1 and back.json() == ours.json()
    for wrong in ({"qos": 3}, {"retainHandling": 5}):
        with pytest.raises(AssertionError):
            SubscribeOptions(**wrong)
    with pytest.raises(MQTTException):
        SubscribeOptions().other = 1


def test_a_message_made_by_hand_is_pahos() -> None:
    message = mqtt.MQTTMessage(3, b"a/b")
    assert (message.topic, message.payload, message.qos, message.state) == ("a/b", b"", 0, 0)
    assert (message.dup, message.retain, message.properties, message.timestamp) == (False, False, None, 0.0)
    assert message == mqtt.MQTTMessage(3) and message != mqtt.MQTTMessage(4) and message != 3
    message.topic = b"c"
    message.payload = b"p"
    assert (message.topic, message._topic, message.payload) == ("c", b"c", b"p")
    assert tuple(message.info) == (0, 3)
    with pytest.raises(TypeError):
        hash(message)
    with pytest.raises(AttributeError):
        message.foo = 1
    with pytest.raises(UnicodeDecodeError):
        mqtt.MQTTMessage(1, b"\xff").topic  # noqa: B018


CONSTRUCTIONS = [
    ((), {}, (b"", 1, 4, True)),
    (("i",), {}, (b"i", 1, 4, True)),
    ((b"i",), {}, (b"i", 1, 4, True)),
    ((None,), {}, (b"", 1, 4, True)),
    (("i", False), {}, (b"i", 1, 4, False)),
    (("i", None, "data", mqtt.MQTTv5), {}, (b"i", 1, 5, None)),
    (("i",), {"clean_session": False}, (b"i", 1, 4, False)),
    ((), {"client_id": "i", "clean_session": False}, (b"i", 1, 4, False)),
    ((mqtt.CallbackAPIVersion.VERSION2,), {}, (b"", 2, 4, True)),
    ((mqtt.CallbackAPIVersion.VERSION2, "i", False), {}, (b"i", 2, 4, False)),
    ((mqtt.CallbackAPIVersion.VERSION1,), {"protocol": 5}, (b"", 1, 5, None)),
    ((), {"callback_api_version": mqtt.CallbackAPIVersion.VERSION2, "client_id": "i"}, (b"i", 2, 4, True)),
]


@pytest.mark.parametrize(("arguments", "keywords", "expected"), CONSTRUCTIONS, ids=repr)
def test_both_generations_of_the_constructor_work(arguments: Any, keywords: Any, expected: Any) -> None:
    client = mqtt.Client(*arguments, **keywords)
    made = (client._client_id, client.callback_api_version.value, client.protocol, client._clean_session)
    assert made == expected


def test_the_version_1_api_is_supported_and_warns_of_nothing(recwarn: pytest.WarningsRecorder) -> None:
    mqtt.Client(client_id="x", clean_session=False)
    assert list(recwarn) == []


def test_help_shows_every_option_and_counter() -> None:
    import remqtt

    for module in (remqtt.options, remqtt.statistics):
        for name, *_ in module.TABLE:
            assert f"\n{name}" in (module.__doc__ or "")
    assert mqtt.Client.publish.__doc__ and mqtt.MQTTMessage.__doc__ and mqtt.Client.on_message.__doc__
