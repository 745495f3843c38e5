//! Runs vectors.txt: what the specification says about bytes that a server sends.
use crate::hex;
use remqtt_proto::wire::*;
use std::fmt::Write;

struct Vector<'a> {
    line: usize,
    version: Version,
    maximum: u32,
    bytes: Vec<u8>,
    verdict: &'a str,
}

fn vectors() -> Vec<Vector<'static>> {
    let rows = include_str!("vectors.txt").lines().enumerate();
    let rows = rows.filter(|(_, row)| !row.is_empty() && !row.starts_with('#'));
    rows.map(|(index, row)| {
        let fields: Vec<&str> = row.split(" | ").collect();
        let [version, bytes, verdict, clause] = fields[..] else { panic!("line {}: four fields", index + 1) };
        assert!(!clause.is_empty());
        let (version, maximum) = version.split_once(" max ").unwrap_or((version, "268435460"));
        let version = if version == "4" { Version::V4 } else { Version::V5 };
        let maximum = maximum.parse().expect("a maximum packet size");
        Vector { line: index + 1, version, maximum, bytes: hex::bytes(bytes), verdict }
    })
    .collect()
}

/// The packets of the table that are read as some packet, for the tests that mutate them.
pub(crate) fn readable() -> Vec<(Version, Vec<u8>)> {
    let read =
        |vector: &Vector<'_>| vector.verdict.starts_with("ok") || vector.verdict.starts_with("tolerated");
    vectors().into_iter().filter(read).map(|vector| (vector.version, vector.bytes)).collect()
}

fn outcome(version: Version, maximum: u32, bytes: &[u8]) -> Result<Option<Packet>, Violation> {
    let Some(frame) = frame(version, bytes, maximum)? else { return Ok(None) };
    decode(version, frame, &bytes[..frame.total]).map(Some)
}

#[test]
fn every_vector_gets_the_verdict_of_the_specification() {
    let (mut counts, mut failures) = ([[0; 4]; 2], String::new());
    for vector in vectors() {
        let found = match outcome(vector.version, vector.maximum, &vector.bytes) {
            Ok(Some(packet)) => summary(&packet),
            Ok(None) => "more".to_string(),
            Err(violation) => format!("bad {:02X}", violation.reason_code),
        };
        let (kind, expected) = match vector.verdict {
            verdict if verdict.starts_with("bad ") => (1, verdict),
            "more" => (3, "more"),
            verdict => match verdict.strip_prefix("tolerated ") {
                Some(summary) => (2, summary),
                None => (0, verdict.strip_prefix("ok ").expect("ok, bad, tolerated or more")),
            },
        };
        counts[usize::from(vector.version == Version::V5)][kind] += 1;
        if found != expected {
            let _ = writeln!(failures, "line {}: expected {expected}, found {found}", vector.line);
        }
    }
    for (name, [ok, bad, tolerated, more]) in ["MQTT 3.1.1", "MQTT 5"].iter().zip(counts) {
        let all = ok + bad + tolerated + more;
        println!("{name}: {all} vectors: {ok} ok, {bad} bad, {tolerated} tolerated, {more} incomplete");
    }
    assert!(failures.is_empty(), "\n{failures}");
    let all = counts.map(|of_version| of_version.iter().sum::<usize>());
    assert!(all[1] >= 73 && all[0] + all[1] >= 110, "the table has shrunk to {all:?}");
}

#[test]
fn no_prefix_of_a_readable_packet_is_a_packet_or_an_error() {
    for (version, bytes) in readable() {
        for end in 0..bytes.len() {
            assert_eq!(frame(version, &bytes[..end], PACKET_SIZE_LIMIT), Ok(None), "{end} of {bytes:02X?}");
        }
    }
}

#[test]
fn what_follows_a_packet_does_not_change_it() {
    for (version, bytes) in readable() {
        let alone = frame(version, &bytes, PACKET_SIZE_LIMIT);
        let followed = [&bytes[..], &[0xFF; 9]].concat();
        assert_eq!(frame(version, &followed, PACKET_SIZE_LIMIT), alone);
        assert_eq!(alone.unwrap().unwrap().total, bytes.len());
    }
}

fn summary(packet: &Packet) -> String {
    match packet {
        Packet::Connack(connack) => {
            let (present, code) = (u8::from(connack.session_present), connack.reason_code);
            format!("CONNACK sp={present} rc={code:02X}{}", list(&connack.properties))
        }
        Packet::Publish { publish, dup, packet_identifier } => {
            let dup = if *dup { " dup" } else { "" };
            let retain = if publish.retain { " retain" } else { "" };
            let id = packet_identifier.map_or(String::new(), |id| format!(" id={id}"));
            let (topic, payload) = (&*publish.topic, data(&publish.payload));
            let properties = list(&publish.properties);
            format!("PUBLISH q{}{dup}{retain}{id} {topic:?} {payload}{properties}", publish.qos as u8)
        }
        Packet::Ack(kind, ack) => {
            let name = format!("{kind:?}").to_uppercase();
            let (id, code) = (ack.packet_identifier, ack.reason_code);
            format!("{name} id={id} rc={code:02X}{}", list(&ack.properties))
        }
        Packet::Suback(ack) => format!("SUBACK {}", request_ack(ack)),
        Packet::Unsuback(ack) => format!("UNSUBACK {}", request_ack(ack)),
        Packet::Pingresp => "PINGRESP".to_string(),
        Packet::Disconnect(reason) => {
            format!("DISCONNECT rc={:02X}{}", reason.reason_code, list(&reason.properties))
        }
        Packet::Auth(reason) => format!("AUTH rc={:02X}{}", reason.reason_code, list(&reason.properties)),
    }
}

fn request_ack(ack: &SubscribeAck) -> String {
    let codes: Vec<String> = ack.reason_codes.iter().map(|code| format!("{code:02X}")).collect();
    format!("id={} codes={}{}", ack.packet_identifier, codes.join(","), list(&ack.properties))
}

fn list(properties: &Properties) -> String {
    if properties.len() > 100 {
        return format!(" {} properties", properties.len());
    }
    properties.iter().map(|(id, value)| format!(" {}={}", id.row().name, shown(value))).collect()
}

fn shown(value: &PropertyValue) -> String {
    match value {
        PropertyValue::Byte(value) => value.to_string(),
        PropertyValue::TwoByte(value) => value.to_string(),
        PropertyValue::FourByte(value) | PropertyValue::Variable(value) => value.to_string(),
        PropertyValue::Text(text) => format!("{:?}", &**text),
        PropertyValue::Binary(binary) => binary.iter().map(|byte| format!("{byte:02X}")).collect(),
        PropertyValue::Pair(name, value) => format!("{:?}={:?}", &**name, &**value),
    }
}

fn data(payload: &[u8]) -> String {
    match payload.iter().all(u8::is_ascii_graphic) {
        true => format!("{:?}", String::from_utf8_lossy(payload)),
        false => payload.iter().map(|byte| format!("{byte:02X}")).collect(),
    }
}
