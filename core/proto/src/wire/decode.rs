//! Decoding one framed packet of a server, under every rule that this packet alone can break.
//!
//! A body is copied once, into one `Bytes`; topic, payload and property values are slices of it. Reason codes are
//! kept as they are on the wire, also unknown ones: refusing them would drop the link, the packet would come again
//! after the reconnect, and so for ever.

use super::cursor::Cursor;
use super::property_codec::read_properties;
use super::rumqttc::{self, Fixed};
use super::topic::has_wildcard;
use super::{Ack, AckKind, Connack, Frame, Packet, Properties, PropertyId, PropertyOwner, Publish};
use super::{QoS, Reason, SubscribeAck, Version, Violation};
use bytes::Bytes;

/// Decodes the packet of `frame`; `packet` is exactly its `total` bytes. PUBLISH bodies are copied once.
pub fn decode(version: Version, frame: Frame, packet: &[u8]) -> Result<Packet, Violation> {
    let body = match packet.get(frame.header..) {
        Some(body) if packet.len() == frame.total => body,
        _ => return Err(Violation::malformed("the packet does not have the length of its frame")),
    };
    match frame.first >> 4 {
        2 => connack(version, packet, body).map(Packet::Connack),
        3 => publish(version, frame.first, body),
        4 => ack(version, PropertyOwner::Puback, body).map(|ack| Packet::Ack(AckKind::Puback, ack)),
        5 => ack(version, PropertyOwner::Pubrec, body).map(|ack| Packet::Ack(AckKind::Pubrec, ack)),
        6 => ack(version, PropertyOwner::Pubrel, body).map(|ack| Packet::Ack(AckKind::Pubrel, ack)),
        7 => ack(version, PropertyOwner::Pubcomp, body).map(|ack| Packet::Ack(AckKind::Pubcomp, ack)),
        9 => subscribe_ack(version, PropertyOwner::Suback, packet, body).map(Packet::Suback),
        11 => subscribe_ack(version, PropertyOwner::Unsuback, packet, body).map(Packet::Unsuback),
        13 if body.is_empty() => Ok(Packet::Pingresp),
        14 => disconnect(body).map(Packet::Disconnect),
        15 => auth(body).map(Packet::Auth),
        _ => Err(Violation::malformed("no packet that a server sends")),
    }
}

fn publish(version: Version, first: u8, body: &[u8]) -> Result<Packet, Violation> {
    let qos = QoS::from_u8(first >> 1 & 0x03).ok_or(Violation::malformed("QoS 3 [MQTT-3.3.1-4]"))?;
    let body = Bytes::copy_from_slice(body);
    let mut cursor = Cursor::new(&body);
    let topic = cursor.text()?;
    if has_wildcard(&topic) {
        return Err(Violation::malformed("a topic name with a wildcard [MQTT-3.3.2-2]"));
    }
    let packet_identifier = match qos {
        QoS::AtMostOnce => None,
        _ => Some(cursor.packet_identifier()?),
    };
    let properties = match version {
        Version::V4 => Properties::new(),
        Version::V5 => read_properties(PropertyOwner::Publish, &mut cursor)?,
    };
    if topic.is_empty() && properties.find(PropertyId::TopicAlias).is_none() {
        return Err(Violation::protocol("an empty topic name without a topic alias [MQTT-4.7.3-1]"));
    }
    let publish = Publish { topic, payload: cursor.rest(), qos, retain: first & 0x01 != 0, properties };
    // DUP on QoS 0 breaks [MQTT-3.3.1-2] and harms nobody: the engine counts it.
    Ok(Packet::Publish { publish, dup: first & 0x08 != 0, packet_identifier })
}

/// PUBACK, PUBREC, PUBREL, PUBCOMP: reason code and properties are left out where they say nothing.
fn ack(version: Version, owner: PropertyOwner, body: &[u8]) -> Result<Ack, Violation> {
    let (identifier, rest) = packet_identifier(body)?;
    let (reason_code, properties) = match (version, rest) {
        (_, []) => (0, Properties::new()),
        (Version::V4, _) => return Err(Violation::malformed("bytes after the packet identifier")),
        (Version::V5, [reason_code]) => (*reason_code, Properties::new()),
        (Version::V5, [reason_code, properties @ ..]) => (*reason_code, last_properties(owner, properties)?),
    };
    Ok(Ack { packet_identifier: identifier, reason_code, properties })
}

fn connack(version: Version, packet: &[u8], body: &[u8]) -> Result<Connack, Violation> {
    let [flags, code, rest @ ..] = body else {
        return Err(Violation::malformed("CONNACK ends before its reason code"));
    };
    if flags & 0xFE != 0 {
        return Err(Violation::malformed("reserved bits of the connect acknowledge flags [MQTT-3.2.2-1]"));
    }
    if *flags == 1 && *code != 0 {
        return Err(Violation::protocol("session present together with a refusal [MQTT-3.2.2-6]"));
    }
    let properties = match (version, rest) {
        (Version::V4, []) => Properties::new(),
        (Version::V4, _) => return Err(Violation::malformed("bytes after the return code")),
        (Version::V5, []) => return refused_by_an_old_server(*code),
        (Version::V5, rest) => last_properties(PropertyOwner::Connack, rest)?,
    };
    let session_present = match rumqttc::read_fixed(version, packet)? {
        Some(Fixed::SessionPresent(present)) => present,
        _ => *flags == 1,
    };
    Ok(Connack { session_present, reason_code: *code, properties })
}

/// A server that knows only MQTT 3.1.1 answers a CONNECT of MQTT 5 in its own form, without properties
/// (3.1.1 section 3.1.2.2). Its return codes become the reason codes of the same meaning, so that the application
/// hears "unsupported protocol version" and not "malformed packet".
fn refused_by_an_old_server(return_code: u8) -> Result<Connack, Violation> {
    let reason_code = match return_code {
        1 => 0x84,
        2 => 0x85,
        3 => 0x88,
        4 => 0x86,
        5 => 0x87,
        _ => return Err(Violation::malformed("CONNACK without a property length")),
    };
    Ok(Connack { session_present: false, reason_code, properties: Properties::new() })
}

fn subscribe_ack(
    version: Version,
    owner: PropertyOwner,
    packet: &[u8],
    body: &[u8],
) -> Result<SubscribeAck, Violation> {
    let body = Bytes::copy_from_slice(body);
    let mut cursor = Cursor::new(&body);
    let identifier = cursor.packet_identifier()?;
    let properties = match version {
        Version::V4 => Properties::new(),
        Version::V5 => read_properties(owner, &mut cursor)?,
    };
    let reason_codes = cursor.rest().to_vec();
    let has_codes = !(version == Version::V4 && owner == PropertyOwner::Unsuback);
    if has_codes == reason_codes.is_empty() {
        return Err(Violation::malformed(
            "SUBACK or UNSUBACK with a wrong number of reason codes [MQTT-3.8.4-6]",
        ));
    }
    let packet_identifier = match rumqttc::read_fixed(version, packet)? {
        Some(Fixed::PacketIdentifier(identifier)) => identifier,
        _ => identifier,
    };
    Ok(SubscribeAck { packet_identifier, reason_codes, properties })
}

fn disconnect(body: &[u8]) -> Result<Reason, Violation> {
    let (reason_code, properties) = match body {
        [] => (0, Properties::new()),
        [reason_code] => (*reason_code, Properties::new()),
        [reason_code, properties @ ..] => {
            (*reason_code, last_properties(PropertyOwner::Disconnect, properties)?)
        }
    };
    if properties.find(PropertyId::SessionExpiryInterval).is_some() {
        return Err(Violation::protocol("session expiry interval in DISCONNECT of a server [MQTT-3.14.2-2]"));
    }
    Ok(Reason { reason_code, properties })
}

fn auth(body: &[u8]) -> Result<Reason, Violation> {
    let [reason_code, properties @ ..] = body else { return Ok(Reason::default()) };
    let properties = last_properties(PropertyOwner::Auth, properties)?;
    if *reason_code == 0x19 {
        return Err(Violation::protocol("only a client asks for re-authentication (section 3.15.2.1)"));
    }
    let says_nothing = *reason_code == 0 && properties.is_empty();
    if !says_nothing && properties.find(PropertyId::AuthenticationMethod).is_none() {
        return Err(Violation::protocol("AUTH without an authentication method (section 3.15.2.2.2)"));
    }
    Ok(Reason { reason_code: *reason_code, properties })
}

/// Properties that are the last field of their packet. The usual empty list is read without a copy.
fn last_properties(owner: PropertyOwner, bytes: &[u8]) -> Result<Properties, Violation> {
    if bytes == [0] {
        return Ok(Properties::new());
    }
    let bytes = Bytes::copy_from_slice(bytes);
    let mut cursor = Cursor::new(&bytes);
    let properties = read_properties(owner, &mut cursor)?;
    cursor.finish()?;
    Ok(properties)
}

fn packet_identifier(body: &[u8]) -> Result<(u16, &[u8]), Violation> {
    match body {
        [0, 0, ..] => Err(Violation::protocol("packet identifier 0 [MQTT-2.2.1-4]")),
        [high, low, rest @ ..] => Ok((u16::from_be_bytes([*high, *low]), rest)),
        _ => Err(Violation::malformed("the packet ends before its packet identifier")),
    }
}
