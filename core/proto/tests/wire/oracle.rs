//! rumqttc as a second opinion on everything it does right: what we write it must read, and would write in the same
//! bytes; what it writes we must read. `theirs` says our packets in its types. Property lists are generated in the
//! order in which rumqttc writes them, so that bytes can be compared.
use crate::random::Random;
use bytes::{Bytes, BytesMut};
use remqtt_proto::wire::{PropertyId::*, *};
use rumqttc::mqttbytes::v4;
use rumqttc::v5::mqttbytes::v5;

mod theirs;

const ROUNDS: u64 = 3_000;
const UNLIMITED: u32 = PACKET_SIZE_LIMIT;

const CONNECT: &[PropertyId] = &[
    SessionExpiryInterval,
    ReceiveMaximum,
    MaximumPacketSize,
    TopicAliasMaximum,
    RequestResponseInformation,
    RequestProblemInformation,
    UserProperty,
    AuthenticationMethod,
    AuthenticationData,
];
const WILL: &[PropertyId] = &[
    WillDelayInterval,
    PayloadFormatIndicator,
    MessageExpiryInterval,
    ContentType,
    ResponseTopic,
    CorrelationData,
    UserProperty,
];
const CONNACK: &[PropertyId] = &[
    SessionExpiryInterval,
    ReceiveMaximum,
    MaximumQoS,
    RetainAvailable,
    MaximumPacketSize,
    AssignedClientIdentifier,
    TopicAliasMaximum,
    ReasonString,
    UserProperty,
    WildcardSubscriptionAvailable,
    SubscriptionIdentifierAvailable,
    SharedSubscriptionAvailable,
    ServerKeepAlive,
    ResponseInformation,
    ServerReference,
    AuthenticationMethod,
    AuthenticationData,
];
const PUBLISH: &[PropertyId] = &[
    PayloadFormatIndicator,
    MessageExpiryInterval,
    TopicAlias,
    ResponseTopic,
    CorrelationData,
    UserProperty,
    SubscriptionIdentifier,
    ContentType,
];
const REASON: &[PropertyId] = &[ReasonString, UserProperty];

/// Runs `round` with a seed each; a failure names the seed by its panic message's round.
fn rounds(mut round: impl FnMut(&mut Random)) {
    for seed in 0..ROUNDS {
        let failure = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| round(&mut Random(seed))));
        assert!(failure.is_ok(), "seed {seed}");
    }
}

fn read_v4(bytes: &[u8]) -> v4::Packet {
    let mut stream = BytesMut::from(bytes);
    let packet = v4::Packet::read(&mut stream, usize::MAX).expect("rumqttc reads it");
    assert!(stream.is_empty(), "the whole of it");
    packet
}

fn read_v5(bytes: &[u8]) -> v5::Packet {
    let mut stream = BytesMut::from(bytes);
    let packet = v5::Packet::read(&mut stream, None).expect("rumqttc reads it");
    assert!(stream.is_empty(), "the whole of it");
    packet
}

fn write_v4(packet: &v4::Packet) -> BytesMut {
    let mut out = BytesMut::new();
    packet.write(&mut out, usize::MAX).expect("rumqttc writes it");
    out
}

fn write_v5(packet: &v5::Packet) -> BytesMut {
    let mut out = BytesMut::new();
    packet.write(&mut out, None).expect("rumqttc writes it");
    out
}

fn ours(version: Version, bytes: &[u8]) -> Packet {
    let frame = frame(version, bytes, UNLIMITED).expect("a good frame").expect("a whole frame");
    assert_eq!(frame.total, bytes.len());
    decode(version, frame, bytes).expect("a good packet")
}

fn random_connect(random: &mut Random) -> Connect {
    let will = random.one_in(2).then(|| Will {
        topic: random.topic(),
        payload: random.binary(),
        qos: random.qos(),
        retain: random.one_in(2),
        properties: random.properties(WILL),
    });
    // rumqttc has no empty user name and no binary or empty password (D9).
    let username = random.one_in(2).then(|| random.topic());
    let password = (username.is_some() && random.one_in(2)).then(|| random.topic().into_bytes());
    let client_id = random.text();
    Connect {
        clean_start: client_id.is_empty() || random.one_in(2),
        keep_alive: random.next() as u16,
        client_id,
        will,
        username,
        password,
        properties: random.properties(CONNECT),
        mqtt31: false,
        bridge: false,
    }
}

#[test]
fn connect_is_written_and_read_alike() {
    rounds(|random| {
        let connect = random_connect(random);
        let mut v4 = BytesMut::new();
        encode_connect(Version::V4, &connect, &mut v4).unwrap();
        let expected = v4::Packet::Connect(theirs::connect_v4(&connect));
        assert_eq!(read_v4(&v4), expected);
        assert_eq!(v4, write_v4(&expected));

        let mut v5 = BytesMut::new();
        encode_connect(Version::V5, &connect, &mut v5).unwrap();
        let expected = theirs::connect_v5(&connect);
        assert_eq!(read_v5(&v5), expected);
        assert_eq!(v5, write_v5(&expected));
    });
}

#[test]
fn publish_is_written_and_read_alike_in_both_directions() {
    rounds(|random| {
        let mut properties = random.properties(PUBLISH);
        properties.remove(SubscriptionIdentifier);
        let publish = random.publish(properties);
        let (packet_identifier, dup) = random.transmission(&publish);
        for version in [Version::V4, Version::V5] {
            let mut bytes = BytesMut::new();
            encode_publish(version, &publish, dup, packet_identifier, UNLIMITED, &mut bytes).unwrap();
            assert_eq!(bytes.len(), publish_size(version, &publish));
            let mut publish = publish.clone();
            if version == Version::V4 {
                publish.properties = Properties::new();
                let expected = v4::Packet::Publish(theirs::publish_v4(&publish, dup, packet_identifier));
                assert_eq!(read_v4(&bytes), expected);
                assert_eq!(bytes, write_v4(&expected));
            } else {
                let expected = v5::Packet::Publish(theirs::publish_v5(&publish, dup, packet_identifier));
                assert_eq!(read_v5(&bytes), expected);
                assert_eq!(bytes, write_v5(&expected));
            }
            assert_eq!(ours(version, &bytes), Packet::Publish { publish, dup, packet_identifier });
        }
    });
}

#[test]
fn publish_with_subscription_identifiers_is_read_as_rumqttc_writes_it() {
    rounds(|random| {
        let ids = [&[SubscriptionIdentifier; 4][..random.below(5)], &[ContentType]].concat();
        let mut properties = Properties::new();
        for id in ids {
            properties.0.extend(random.properties(&[id]).0);
        }
        let publish = random.publish(properties);
        let (packet_identifier, dup) = random.transmission(&publish);
        let written = write_v5(&v5::Packet::Publish(theirs::publish_v5(&publish, dup, packet_identifier)));
        assert_eq!(ours(Version::V5, &written), Packet::Publish { publish, dup, packet_identifier });
    });
}

#[test]
fn acknowledgements_survive_the_way_through_rumqttc_and_back() {
    rounds(|random| {
        let kind = random.pick(&[AckKind::Puback, AckKind::Pubrec, AckKind::Pubrel, AckKind::Pubcomp]);
        let reason_code = match kind {
            AckKind::Puback | AckKind::Pubrec => random.pick(&[0, 0x10, 0x80, 0x87, 0x91, 0x97, 0x99]),
            AckKind::Pubrel | AckKind::Pubcomp => random.pick(&[0, 0x92]),
        };
        let packet_identifier = random.identifier();
        let mut ack = Ack { packet_identifier, reason_code, properties: random.properties(REASON) };
        let mut bytes = BytesMut::new();
        encode_ack(Version::V5, kind, &ack, UNLIMITED, &mut bytes);
        assert_eq!(ours(Version::V5, &bytes), Packet::Ack(kind, ack.clone()));
        assert_eq!(ours(Version::V5, &write_v5(&read_v5(&bytes))), Packet::Ack(kind, ack.clone()));

        ack.properties = Properties::new();
        ack.reason_code = 0;
        bytes.clear();
        encode_ack(Version::V4, kind, &ack, UNLIMITED, &mut bytes);
        assert_eq!(write_v4(&read_v4(&bytes)), bytes);
        assert_eq!(ours(Version::V4, &bytes), Packet::Ack(kind, ack));
    });
}

#[test]
fn connack_is_read_as_rumqttc_writes_it() {
    rounds(|random| {
        let properties = random.properties(CONNACK);
        let (code, reason_code) = random.pick(&[
            (v5::ConnectReturnCode::Success, 0),
            (v5::ConnectReturnCode::NotAuthorized, 0x87),
            (v5::ConnectReturnCode::ServerBusy, 0x89),
        ]);
        let session_present = reason_code == 0 && random.one_in(2);
        let theirs =
            v5::ConnAck { session_present, code, properties: theirs::connack_properties(&properties) };
        let expected = Packet::Connack(Connack { session_present, reason_code, properties });
        assert_eq!(ours(Version::V5, &write_v5(&v5::Packet::ConnAck(theirs))), expected);

        let (code, reason_code) = random.pick(&[
            (v4::ConnectReturnCode::Success, 0),
            (v4::ConnectReturnCode::BadUserNamePassword, 4),
            (v4::ConnectReturnCode::NotAuthorized, 5),
        ]);
        let session_present = reason_code == 0 && random.one_in(2);
        let theirs = v4::Packet::ConnAck(v4::ConnAck::new(code, session_present));
        let expected =
            Packet::Connack(Connack { session_present, reason_code, properties: Properties::new() });
        assert_eq!(ours(Version::V4, &write_v4(&theirs)), expected);
    });
}

#[test]
fn suback_and_unsuback_are_read_as_rumqttc_writes_them() {
    rounds(|random| {
        let (pkid, properties) = (random.identifier(), random.properties(REASON));
        let count = 1 + random.below(200);
        let reason_codes: Vec<u8> = (0..count).map(|_| random.pick(&[0, 1, 2, 0x80])).collect();
        let return_codes = reason_codes.iter().map(|code| theirs::subscribe_code(*code)).collect();
        let suback = v5::SubAck { pkid, return_codes, properties: theirs::suback_properties(&properties) };
        let expected = SubscribeAck { packet_identifier: pkid, reason_codes, properties: properties.clone() };
        assert_eq!(
            ours(Version::V5, &write_v5(&v5::Packet::SubAck(suback))),
            Packet::Suback(expected.clone())
        );
        let return_codes =
            expected.reason_codes.iter().map(|code| theirs::subscribe_code_v4(*code)).collect();
        let expected = SubscribeAck { properties: Properties::new(), ..expected };
        let suback = v4::Packet::SubAck(v4::SubAck::new(pkid, return_codes));
        assert_eq!(ours(Version::V4, &write_v4(&suback)), Packet::Suback(expected));

        let (reason, code) = random.pick(&[
            (v5::UnsubAckReason::Success, 0),
            (v5::UnsubAckReason::NoSubscriptionExisted, 0x11),
            (v5::UnsubAckReason::NotAuthorized, 0x87),
        ]);
        let reasons = vec![reason; count];
        let unsuback = v5::UnsubAck { pkid, reasons, properties: theirs::unsuback_properties(&properties) };
        let expected = SubscribeAck { packet_identifier: pkid, reason_codes: vec![code; count], properties };
        assert_eq!(ours(Version::V5, &write_v5(&v5::Packet::UnsubAck(unsuback))), Packet::Unsuback(expected));
    });
}

#[test]
fn subscribe_and_unsubscribe_reach_rumqttc_with_every_field() {
    rounds(|random| {
        let packet_identifier = random.identifier();
        let list: Vec<Subscription> = (0..1 + random.below(20))
            .map(|_| Subscription {
                no_local: random.one_in(2),
                retain_as_published: random.one_in(2),
                retain_handling: random.below(3) as u8,
                ..Subscription::new(random.topic(), random.qos())
            })
            .collect();
        // No subscription identifier: the reader of rumqttc miscounts it as in D1.
        let users = random.properties(&[UserProperty]);
        let filters: Vec<_> = list.iter().map(|subscription| subscription.filter.clone()).collect();
        for version in [Version::V4, Version::V5] {
            let mut subscribe = BytesMut::new();
            encode_subscribe(version, packet_identifier, &list, &users, UNLIMITED, &mut subscribe).unwrap();
            let mut unsubscribe = BytesMut::new();
            encode_unsubscribe(version, packet_identifier, &filters, &users, UNLIMITED, &mut unsubscribe)
                .unwrap();
            if version == Version::V4 {
                assert_eq!(read_v4(&subscribe), theirs::subscribe_v4(packet_identifier, &list));
                assert_eq!(read_v4(&unsubscribe), theirs::unsubscribe_v4(packet_identifier, &filters));
            } else {
                assert_eq!(read_v5(&subscribe), theirs::subscribe_v5(packet_identifier, &list, &users));
                assert_eq!(
                    read_v5(&unsubscribe),
                    theirs::unsubscribe_v5(packet_identifier, &filters, &users)
                );
            }
        }
    });
}

#[test]
fn disconnect_with_properties_survives_the_way_through_rumqttc_and_back() {
    rounds(|random| {
        let mut properties = random.properties(REASON);
        properties.push(UserProperty, PropertyValue::Pair("not".into(), "empty".into()));
        let reason = Reason { reason_code: random.pick(&[0, 4, 0x80, 0x8B, 0x8E]), properties };
        let mut bytes = BytesMut::new();
        encode_disconnect(Version::V5, &reason, UNLIMITED, &mut bytes);
        let through = write_v5(&read_v5(&bytes));
        assert_eq!(through, bytes);
        assert_eq!(ours(Version::V5, &through), Packet::Disconnect(reason));
    });
}

#[test]
fn packets_without_fields_are_the_same_two_bytes() {
    let mut out = BytesMut::new();
    encode_pingreq(&mut out);
    assert_eq!(read_v4(&out), v4::Packet::PingReq);
    assert_eq!(read_v5(&out), v5::Packet::PingReq(v5::PingReq));
    assert_eq!(ours(Version::V4, &write_v4(&v4::Packet::PingResp)), Packet::Pingresp);
    assert_eq!(ours(Version::V5, &write_v5(&v5::Packet::PingResp(v5::PingResp))), Packet::Pingresp);
    out.clear();
    encode_disconnect(Version::V4, &Reason::default(), UNLIMITED, &mut out);
    assert_eq!(read_v4(&out), v4::Packet::Disconnect);
}

fn string(bytes: &Bytes) -> String {
    String::from_utf8(bytes.to_vec()).expect("a string")
}
