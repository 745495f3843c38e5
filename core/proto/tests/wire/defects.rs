//! The known defects of rumqttc 0.25.1, one test each. They are why the split of the work is what it is.
//!
//! A test that fails here is good news: upstream has fixed the defect, and the split may be drawn anew. D13 (the
//! codec reserves what a length claims) is not shown: it takes a trait of tokio-util, which must not be a dependency.
use crate::hex;
use bytes::{Bytes, BytesMut};
use remqtt_proto::wire::{self, Packet, Version, Violation, PACKET_SIZE_LIMIT};
use rumqttc::mqttbytes::v4;
use rumqttc::v5::mqttbytes::{v5, Error, QoS};

fn theirs(bytes: &[u8]) -> Result<v5::Packet, Error> {
    v5::Packet::read(&mut BytesMut::from(bytes), None)
}

fn ours(bytes: &[u8]) -> Result<Packet, Violation> {
    let frame = wire::frame(Version::V5, bytes, PACKET_SIZE_LIMIT)?.expect("a whole packet");
    wire::decode(Version::V5, frame, bytes)
}

fn written(packet: v5::Packet) -> Vec<u8> {
    let mut out = BytesMut::new();
    packet.write(&mut out, None).unwrap();
    out.to_vec()
}

#[test]
fn d1_several_subscription_identifiers_move_properties_into_the_payload() {
    let bytes = hex::bytes("30 [ \"a\" [ 0B01 0B02 0B03 ] 'x' ]");
    let Ok(v5::Packet::Publish(publish)) = theirs(&bytes) else { panic!("upstream has changed D1") };
    assert_eq!(
        publish.payload[..],
        hex::bytes("0B 03 'x'"),
        "upstream has fixed D1: a PUBLISH may be decoded by it"
    );
    let Ok(Packet::Publish { publish, .. }) = ours(&bytes) else { panic!("our own decoder refuses it") };
    assert_eq!((&publish.payload[..], publish.properties.len()), (&b"x"[..], 3));
}

#[test]
fn d2_a_short_disconnect_is_swallowed_and_taken_for_an_incomplete_one() {
    let mut stream = BytesMut::from(&hex::bytes("E0 01 8B")[..]);
    let result = v5::Packet::read(&mut stream, None);
    assert!(matches!(result, Err(Error::InsufficientBytes(_))), "upstream has fixed D2: {result:?}");
    assert!(stream.is_empty(), "upstream has fixed half of D2: the frame is still there");
    assert!(
        matches!(ours(&hex::bytes("E0 01 8B")), Ok(Packet::Disconnect(reason)) if reason.reason_code == 0x8B)
    );
}

#[test]
fn d3_the_shortest_disconnect_is_refused() {
    let result = theirs(&[0xE0, 0]);
    assert!(matches!(result, Err(Error::PayloadRequired)), "upstream has fixed D3: {result:?}");
    assert!(matches!(ours(&[0xE0, 0]), Ok(Packet::Disconnect(_))));
}

#[test]
fn d4_a_disconnect_without_properties_has_a_stray_byte() {
    let disconnect = v5::Disconnect::new(v5::DisconnectReasonCode::DisconnectWithWillMessage);
    assert_eq!(
        written(v5::Packet::Disconnect(disconnect)),
        [0xE0, 1, 4, 0],
        "upstream has fixed this half of D4"
    );
}

#[test]
fn d4_a_disconnect_with_empty_properties_loses_its_reason() {
    let disconnect = v5::Disconnect {
        reason_code: v5::DisconnectReasonCode::DisconnectWithWillMessage,
        properties: Some(v5::DisconnectProperties {
            session_expiry_interval: None,
            reason_string: None,
            user_properties: Vec::new(),
            server_reference: None,
        }),
    };
    assert_eq!(written(v5::Packet::Disconnect(disconnect)), [0xE0, 0], "upstream has fixed this half of D4");
}

#[test]
fn d5_auth_cannot_be_received() {
    let bytes = hex::bytes("F0 [ 18 [ 15 \"M\" ] ]");
    let result = theirs(&bytes);
    assert!(matches!(result, Err(Error::InvalidPacketType(15))), "upstream has fixed D5: {result:?}");
    assert!(matches!(ours(&bytes), Ok(Packet::Auth(_))));
}

fn auth(bytes: &[u8]) -> Result<v5::Auth, Error> {
    v5::Auth::read(v5::FixedHeader::new(0xF0, 1, bytes.len() - 2), Bytes::copy_from_slice(bytes))
}

#[test]
fn d6_auth_with_a_method_is_read_past_its_properties() {
    let result = auth(&hex::bytes("F0 [ 18 [ 15 \"M\" ] ]"));
    assert!(matches!(result, Err(Error::MalformedPacket)), "upstream has fixed this half of D6: {result:?}");
}

#[test]
fn d6_auth_is_written_with_a_wrong_length() {
    let bytes = hex::bytes("F0 [ 18 [ 16 00 01 00 ] ]");
    let again = written(v5::Packet::Auth(auth(&bytes).expect("data alone is read")));
    assert_eq!(again.len(), bytes.len());
    assert_eq!(again[1], bytes[1] - 1, "upstream has fixed this half of D6");
}

#[test]
fn d7_a_property_length_cut_off_inside_its_packet_waits_for_more_bytes() {
    let bytes = hex::bytes("20 03 00 00 80");
    let result = theirs(&bytes);
    assert!(matches!(result, Err(Error::InsufficientBytes(_))), "upstream has fixed D7: {result:?}");
    assert_eq!(ours(&bytes).map_err(|violation| violation.reason_code), Err(0x81));
}

#[test]
fn d8_connect_flags_are_patched_into_whatever_the_buffer_begins_with() {
    let mut out = BytesMut::from(&[0u8; 20][..]);
    v4::Connect::new("id").write(&mut out).unwrap();
    assert_eq!(out[9], 0x02, "upstream has fixed D8: CONNECT no longer needs a fresh buffer");
}

#[test]
fn d9_an_empty_user_name_gives_flags_that_mqtt_3_forbids() {
    let mut out = BytesMut::new();
    let mut connect = v4::Connect::new("id");
    connect.set_login("", "secret");
    connect.write(&mut out).unwrap();
    assert_eq!(out[9] & 0xC0, 0x40, "upstream has fixed D9: password without user name [MQTT-3.1.2-22]");
}

#[test]
fn d9_an_empty_password_is_no_password() {
    let mut out = BytesMut::new();
    let mut connect = v4::Connect::new("id");
    connect.set_login("user", "");
    connect.write(&mut out).unwrap();
    assert_eq!(out[9] & 0xC0, 0x80, "upstream has fixed D9: an empty password can be said");
}

#[test]
fn d10_a_string_too_long_gets_a_truncated_length() {
    let mut out = BytesMut::new();
    v4::Publish::new("x".repeat(65_537), rumqttc::QoS::AtMostOnce, "").write(&mut out).unwrap();
    assert_eq!(out[4..6], [0, 1], "upstream has fixed D10");
}

#[test]
fn d11_a_failed_write_leaves_bytes_behind() {
    let mut out = BytesMut::new();
    let publish = v5::Publish::new("a", QoS::AtLeastOnce, "x", None);
    assert!(publish.write(&mut out).is_err(), "identifier 0");
    assert_eq!(out[..], hex::bytes("32 05 \"a\""), "upstream has fixed D11");
}

#[test]
fn d12_the_maximum_packet_size_is_compared_with_the_remaining_length() {
    let bytes = hex::bytes("30 07 \"a\" 00 'xyz'");
    let result = v5::Packet::read(&mut BytesMut::from(&bytes[..]), Some(7));
    assert!(result.is_ok(), "upstream has fixed D12: {result:?}");
    let refusal = wire::frame(Version::V5, &bytes, 7).map_err(|violation| violation.reason_code);
    assert_eq!(refusal, Err(0x95));
}

#[test]
fn d14_an_unknown_reason_code_is_an_error() {
    for bytes in
        ["40 03 00 07 42", "20 03 00 F0 00", "90 [ 00 01 00 FF ]", "B0 [ 00 01 00 01 ]", "E0 02 EE 00"]
    {
        let bytes = hex::bytes(bytes);
        let result = theirs(&bytes);
        assert!(result.is_err(), "upstream has fixed D14: {result:?}");
        assert!(!matches!(result, Err(Error::InsufficientBytes(_))));
        assert!(ours(&bytes).is_ok(), "{bytes:02X?}");
    }
}
