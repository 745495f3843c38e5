//! Exact bytes and refusals of the encoders.
use crate::hex;
use bytes::{Bytes, BytesMut};
use bytestring::ByteString;
use remqtt_proto::wire::*;

const UNLIMITED: u32 = PACKET_SIZE_LIMIT;

fn connect() -> Connect {
    Connect {
        clean_start: true,
        keep_alive: 60,
        client_id: "id".into(),
        will: None,
        username: None,
        password: None,
        properties: Properties::new(),
        mqtt31: false,
        bridge: false,
    }
}

fn publish(topic: &'static str, payload: &'static [u8], qos: QoS) -> Publish {
    Publish {
        topic: topic.into(),
        payload: Bytes::from_static(payload),
        qos,
        retain: false,
        properties: Properties::new(),
    }
}

fn properties<const N: usize>(list: [(PropertyId, PropertyValue); N]) -> Properties {
    Properties(list.into())
}

fn pair(name: &'static str, value: &'static str) -> (PropertyId, PropertyValue) {
    (PropertyId::UserProperty, PropertyValue::Pair(name.into(), value.into()))
}

/// Encodes behind bytes that are already there: they must stay, and be all there is after an error.
fn encoded(encode: impl FnOnce(&mut BytesMut) -> Result<(), Unsendable>) -> Result<Vec<u8>, Unsendable> {
    let mut out = BytesMut::from(&b"before"[..]);
    let result = encode(&mut out);
    assert_eq!(&out[..6], b"before");
    match result {
        Ok(()) => Ok(out[6..].to_vec()),
        Err(error) => {
            assert_eq!(out.len(), 6, "an error left bytes behind");
            Err(error)
        }
    }
}

fn invalid<T: std::fmt::Debug>(result: Result<T, Unsendable>) -> bool {
    matches!(result, Err(Unsendable::Invalid(_)))
}

fn connect_bytes(version: Version, connect: &Connect) -> Result<Vec<u8>, Unsendable> {
    encoded(|out| encode_connect(version, connect, out))
}

#[test]
fn connect_has_its_smallest_form() {
    let v4 = connect_bytes(Version::V4, &connect()).unwrap();
    assert_eq!(v4, hex::bytes("10 0E 00 04 'MQTT' 04 02 00 3C 00 02 'id'"));
    let v5 = connect_bytes(Version::V5, &connect()).unwrap();
    assert_eq!(v5, hex::bytes("10 0F 00 04 'MQTT' 05 02 00 3C 00 00 02 'id'"));
}

#[test]
fn connect_with_everything_orders_its_payload() {
    let connect = Connect {
        clean_start: false,
        will: Some(Will {
            topic: "w".into(),
            payload: Bytes::from_static(b"\xFF"),
            qos: QoS::ExactlyOnce,
            retain: true,
            properties: properties([(PropertyId::WillDelayInterval, PropertyValue::FourByte(5))]),
        }),
        username: Some("u".into()),
        password: Some(Bytes::from_static(b"\x00\xFE")),
        properties: properties([(PropertyId::ReceiveMaximum, PropertyValue::TwoByte(9))]),
        ..connect()
    };
    let v4 = connect_bytes(Version::V4, &connect).unwrap();
    assert_eq!(
        v4,
        hex::bytes("10 1B 00 04 'MQTT' 04 F4 00 3C 00 02 'id' 00 01 'w' 00 01 FF 00 01 'u' 00 02 00 FE")
    );
    let v5 = connect_bytes(Version::V5, &connect).unwrap();
    let expected = "10 25 00 04 'MQTT' 05 F4 00 3C 03 21 00 09 00 02 'id' 05 18 00 00 00 05 \
                    00 01 'w' 00 01 FF 00 01 'u' 00 02 00 FE";
    assert_eq!(v5, hex::bytes(expected));
}

#[test]
fn connect_tells_an_empty_user_name_and_password_from_absent_ones() {
    let connect = Connect { username: Some("".into()), password: Some(Bytes::new()), ..connect() };
    let bytes = connect_bytes(Version::V4, &connect).unwrap();
    assert_eq!(bytes, hex::bytes("10 12 00 04 'MQTT' 04 C2 00 3C 00 02 'id' 00 00 00 00"));
}

#[test]
fn a_password_without_a_user_name_is_for_mqtt_5_only() {
    let connect = Connect { password: Some(Bytes::from_static(b"p")), ..connect() };
    assert!(invalid(connect_bytes(Version::V4, &connect)));
    assert_eq!(connect_bytes(Version::V5, &connect).unwrap()[9], 0x42);
}

#[test]
fn mqtt_3_1_has_another_name_and_bridges_a_bit_of_the_number() {
    let old = Connect { mqtt31: true, ..connect() };
    let bytes = connect_bytes(Version::V4, &old).unwrap();
    assert_eq!(bytes, hex::bytes("10 10 00 06 'MQIsdp' 03 02 00 3C 00 02 'id'"));
    let bytes = connect_bytes(Version::V4, &Connect { bridge: true, ..old }).unwrap();
    assert_eq!(bytes[10], 0x83);
    let bytes = connect_bytes(Version::V5, &Connect { bridge: true, mqtt31: true, ..connect() }).unwrap();
    assert_eq!(bytes[..9], *hex::bytes("10 0F 00 04 'MQTT' 85"));
}

#[test]
fn an_empty_client_identifier_needs_a_clean_session_in_mqtt_3() {
    let connect = Connect { client_id: "".into(), clean_start: false, ..connect() };
    assert!(invalid(connect_bytes(Version::V4, &connect)));
    assert!(connect_bytes(Version::V5, &connect).is_ok());
}

#[test]
fn connect_refuses_fields_that_do_not_fit() {
    let long = ByteString::from("x".repeat(65_536));
    let will = Will {
        topic: "w".into(),
        payload: Bytes::new(),
        qos: QoS::AtMostOnce,
        retain: false,
        properties: Properties::new(),
    };
    let bad = [
        Connect { client_id: long.clone(), ..connect() },
        Connect { client_id: "a\0".into(), ..connect() },
        Connect { username: Some(long.clone()), ..connect() },
        Connect { username: Some("\0".into()), ..connect() },
        Connect { username: Some("u".into()), password: Some(long.clone().into_bytes()), ..connect() },
        Connect { will: Some(Will { topic: "".into(), ..will.clone() }), ..connect() },
        Connect { will: Some(Will { topic: "a/#".into(), ..will.clone() }), ..connect() },
        Connect { will: Some(Will { payload: long.into_bytes(), ..will }), ..connect() },
    ];
    for connect in &bad {
        assert!(invalid(connect_bytes(Version::V4, connect)), "{:?}", connect.will);
        assert!(invalid(connect_bytes(Version::V5, connect)), "{:?}", connect.will);
    }
}

#[test]
fn publish_has_the_bytes_of_the_specification_and_the_promised_size() {
    for (version, qos, dup, identifier, expected) in [
        (Version::V4, QoS::AtMostOnce, false, None, "30 07 00 03 'a/b' 'hi'"),
        (Version::V5, QoS::AtMostOnce, false, None, "30 08 00 03 'a/b' 00 'hi'"),
        (Version::V4, QoS::AtLeastOnce, false, Some(10), "32 09 00 03 'a/b' 00 0A 'hi'"),
        (Version::V5, QoS::AtLeastOnce, true, Some(0xFFFF), "3A 0A 00 03 'a/b' FF FF 00 'hi'"),
        (Version::V4, QoS::ExactlyOnce, true, Some(1), "3C 09 00 03 'a/b' 00 01 'hi'"),
    ] {
        let publish = publish("a/b", b"hi", qos);
        let bytes =
            encoded(|out| encode_publish(version, &publish, dup, identifier, UNLIMITED, out)).unwrap();
        assert_eq!(bytes, hex::bytes(expected));
        assert_eq!(publish_size(version, &publish), bytes.len());
    }
}

#[test]
fn publish_size_is_exact_around_every_width_of_the_remaining_length() {
    for length in [0, 1, 120, 127, 128, 16_370, 16_384, 2_097_140, 2_097_152] {
        for version in [Version::V4, Version::V5] {
            for slack in 0..12usize {
                let payload = Bytes::from(vec![7; length - slack.min(length)]);
                let publish = Publish { payload, ..publish("t", b"", QoS::AtLeastOnce) };
                let bytes = encoded(|out| encode_publish(version, &publish, false, Some(1), UNLIMITED, out));
                assert_eq!(bytes.unwrap().len(), publish_size(version, &publish));
            }
        }
    }
}

#[test]
fn publish_keeps_to_the_maximum_to_the_byte() {
    let publish = publish("a/b", b"hi", QoS::AtMostOnce);
    let encode = |maximum| encoded(|out| encode_publish(Version::V5, &publish, false, None, maximum, out));
    assert_eq!(encode(10).unwrap().len(), 10);
    assert_eq!(encode(9), Err(Unsendable::TooLarge(10, 9)));
}

#[test]
fn publish_refuses_what_the_protocol_forbids() {
    let encode = |publish: &Publish, dup, identifier| {
        encoded(|out| encode_publish(Version::V5, publish, dup, identifier, UNLIMITED, out))
    };
    let (zero, one) = (publish("t", b"", QoS::AtMostOnce), publish("t", b"", QoS::AtLeastOnce));
    assert!(invalid(encode(&zero, false, Some(1))), "an identifier on QoS 0");
    assert!(invalid(encode(&zero, true, None)), "DUP on QoS 0");
    assert!(invalid(encode(&one, false, None)), "no identifier on QoS 1");
    assert!(invalid(encode(&one, false, Some(0))), "identifier 0");
    assert!(invalid(encode(&publish("", b"", QoS::AtMostOnce), false, None)), "an empty topic");
    assert!(invalid(encode(&publish("a/+", b"", QoS::AtMostOnce), false, None)), "a wildcard");
    let id = properties([(PropertyId::SubscriptionIdentifier, PropertyValue::Variable(1))]);
    assert!(invalid(encode(&Publish { properties: id, ..zero }, false, None)), "a subscription identifier");
}

fn ack_bytes(version: Version, kind: AckKind, ack: &Ack, maximum: u32) -> Vec<u8> {
    encoded(|out| {
        encode_ack(version, kind, ack, maximum, out);
        Ok(())
    })
    .unwrap()
}

#[test]
fn acknowledgements_have_their_shortest_form() {
    let plain = Ack { packet_identifier: 7, reason_code: 0, properties: Properties::new() };
    let failed = Ack { reason_code: 0x92, ..plain.clone() };
    let spoken = Ack { properties: properties([pair("k", "v")]), ..plain.clone() };
    for (kind, first) in
        [(AckKind::Puback, 0x40), (AckKind::Pubrec, 0x50), (AckKind::Pubrel, 0x62), (AckKind::Pubcomp, 0x70)]
    {
        for version in [Version::V4, Version::V5] {
            assert_eq!(ack_bytes(version, kind, &plain, UNLIMITED), [first, 2, 0, 7]);
        }
        assert_eq!(ack_bytes(Version::V4, kind, &failed, UNLIMITED), [first, 2, 0, 7]);
        assert_eq!(ack_bytes(Version::V5, kind, &failed, UNLIMITED), [first, 3, 0, 7, 0x92]);
        let bytes = ack_bytes(Version::V5, kind, &spoken, UNLIMITED);
        assert_eq!(bytes[1..], hex::bytes("0B 00 07 00 07 26 00 01 'k' 00 01 'v'"));
    }
}

#[test]
fn acknowledgements_shed_properties_that_exceed_the_maximum() {
    let reason = (PropertyId::ReasonString, PropertyValue::Text("why".into()));
    let ack =
        Ack { packet_identifier: 7, reason_code: 0x80, properties: properties([pair("k", "v"), reason]) };
    let lengths =
        [19, 18, 12, 11, 4].map(|maximum| ack_bytes(Version::V5, AckKind::Puback, &ack, maximum).len());
    assert_eq!(lengths, [19, 12, 12, 5, 5]);
}

#[test]
fn disconnect_has_its_shortest_form_and_sheds_properties() {
    let disconnect = |version, reason: &Reason, maximum| {
        let mut out = BytesMut::new();
        encode_disconnect(version, reason, maximum, &mut out);
        out.to_vec()
    };
    let normal = Reason::default();
    let with_will = Reason { reason_code: 4, properties: Properties::new() };
    let expiry = (PropertyId::SessionExpiryInterval, PropertyValue::FourByte(1));
    let full = Reason { reason_code: 0, properties: properties([expiry, pair("k", "v")]) };
    assert_eq!(disconnect(Version::V4, &with_will, UNLIMITED), [0xE0, 0]);
    assert_eq!(disconnect(Version::V5, &normal, UNLIMITED), [0xE0, 0]);
    assert_eq!(disconnect(Version::V5, &with_will, UNLIMITED), [0xE0, 1, 4]);
    let bytes = disconnect(Version::V5, &full, UNLIMITED);
    assert_eq!(bytes, hex::bytes("E0 0E 00 0C 11 00 00 00 01 26 00 01 'k' 00 01 'v'"));
    assert_eq!(disconnect(Version::V5, &full, 15), hex::bytes("E0 07 00 05 11 00 00 00 01"));
}

#[test]
fn auth_carries_its_method_and_is_refused_without_one() {
    let method = (PropertyId::AuthenticationMethod, PropertyValue::Text("m".into()));
    let data = (PropertyId::AuthenticationData, PropertyValue::Binary(Bytes::from_static(b"\x00")));
    let auth = Reason { reason_code: 0x18, properties: properties([method, data.clone()]) };
    let bytes = encoded(|out| encode_auth(&auth, UNLIMITED, out)).unwrap();
    assert_eq!(bytes, hex::bytes("F0 0A 18 08 15 00 01 'm' 16 00 01 00"));
    assert_eq!(encoded(|out| encode_auth(&auth, 11, out)), Err(Unsendable::TooLarge(12, 11)));
    let bare = Reason { reason_code: 0x18, properties: Properties::new() };
    assert!(invalid(encoded(|out| encode_auth(&bare, UNLIMITED, out))));
    let data_only = Reason { reason_code: 0x18, properties: properties([data]) };
    assert!(invalid(encoded(|out| encode_auth(&data_only, UNLIMITED, out))));
}

fn subscribe_bytes(
    version: Version,
    list: &[Subscription],
    properties: &Properties,
) -> Result<Vec<u8>, Unsendable> {
    encoded(|out| encode_subscribe(version, 10, list, properties, UNLIMITED, out))
}

#[test]
fn subscribe_writes_every_option_of_its_version() {
    let first = Subscription::new("a/+", QoS::AtLeastOnce);
    let second = Subscription {
        no_local: true,
        retain_as_published: true,
        retain_handling: 2,
        ..Subscription::new("#", QoS::ExactlyOnce)
    };
    let id = properties([(PropertyId::SubscriptionIdentifier, PropertyValue::Variable(200)), pair("k", "v")]);
    let list = [first, second];
    let v4 = subscribe_bytes(Version::V4, &list, &id).unwrap();
    assert_eq!(v4, hex::bytes("82 0C 00 0A 00 03 'a/+' 01 00 01 '#' 02"));
    let v5 = subscribe_bytes(Version::V5, &list, &id).unwrap();
    let expected = "82 17 00 0A 0A 0B C8 01 26 00 01 'k' 00 01 'v' 00 03 'a/+' 01 00 01 '#' 2E";
    assert_eq!(v5, hex::bytes(expected));
}

#[test]
fn unsubscribe_writes_its_filters() {
    let filters = ["a".into(), "$share/g/b".into()];
    let encode = |version, maximum| {
        encoded(|out| encode_unsubscribe(version, 1, &filters, &properties([pair("k", "v")]), maximum, out))
    };
    let v4 = hex::bytes("A2 11 00 01 00 01 'a' 00 0A '$share/g/b'");
    assert_eq!(encode(Version::V4, UNLIMITED).unwrap(), v4);
    let v5 = hex::bytes("A2 19 00 01 07 26 00 01 'k' 00 01 'v' 00 01 'a' 00 0A '$share/g/b'");
    assert_eq!(encode(Version::V5, UNLIMITED).unwrap(), v5);
    assert_eq!(encode(Version::V5, 26), Err(Unsendable::TooLarge(27, 26)));
}

#[test]
fn subscribe_refuses_what_the_protocol_forbids() {
    let none = Properties::new();
    assert!(invalid(subscribe_bytes(Version::V4, &[], &none)), "no filter");
    let shared = Subscription { no_local: true, ..Subscription::new("$share/g/a", QoS::AtMostOnce) };
    assert!(invalid(subscribe_bytes(Version::V5, std::slice::from_ref(&shared), &none)), "no_local, shared");
    assert!(subscribe_bytes(Version::V4, &[shared], &none).is_ok(), "MQTT 3.1.1 has no no_local");
    let handling = Subscription { retain_handling: 3, ..Subscription::new("a", QoS::AtMostOnce) };
    assert!(invalid(subscribe_bytes(Version::V5, &[handling], &none)), "retain handling 3");
    let list = [Subscription::new("a", QoS::AtMostOnce)];
    let zero = properties([(PropertyId::SubscriptionIdentifier, PropertyValue::Variable(0))]);
    assert!(invalid(subscribe_bytes(Version::V5, &list, &zero)), "subscription identifier 0");
    let huge = properties([(PropertyId::SubscriptionIdentifier, PropertyValue::Variable(268_435_456))]);
    assert!(invalid(subscribe_bytes(Version::V5, &list, &huge)), "subscription identifier too large");
    let no_identifier = encoded(|out| encode_subscribe(Version::V5, 0, &list, &none, UNLIMITED, out));
    assert!(invalid(no_identifier), "packet identifier 0");
}

#[test]
fn pingreq_is_two_bytes() {
    let mut out = BytesMut::new();
    encode_pingreq(&mut out);
    assert_eq!(out[..], [0xC0, 0]);
}
