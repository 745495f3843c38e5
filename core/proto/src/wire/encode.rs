//! Encoding what a client sends, except CONNECT.
//!
//! Every encoder validates and measures first and then writes, so an error appends nothing and no length is ever
//! patched. On MQTT 3.1.1, properties and the other fields of MQTT 5 are not written.

use super::property_codec::{properties_size, put_properties};
use super::topic::is_shared;
use super::validate::check_properties;
use super::variable::{put_variable, variable_size};
use super::{
    check_filter, check_topic, rumqttc, Ack, AckKind, Properties, PropertyId, PropertyOwner, Publish,
};
use super::{QoS, Reason, Subscription, Unsendable, Version, PACKET_SIZE_LIMIT};
use bytes::{BufMut, BytesMut};
use bytestring::ByteString;

/// Appends a PUBLISH of at most `maximum` bytes. `packet_identifier` is `Some` exactly for QoS 1 and 2.
pub fn encode_publish(
    version: Version,
    publish: &Publish,
    dup: bool,
    packet_identifier: Option<u16>,
    maximum: u32,
    out: &mut BytesMut,
) -> Result<(), Unsendable> {
    if version == Version::V4 || !publish.is_aliased() {
        check_topic(&publish.topic)?;
    }
    if packet_identifier.is_some() != (publish.qos != QoS::AtMostOnce) || packet_identifier == Some(0) {
        return Err(Unsendable::Invalid(
            "QoS 1 and 2 need a packet identifier, QoS 0 has none [MQTT-2.2.1-2]",
        ));
    }
    if dup && publish.qos == QoS::AtMostOnce {
        return Err(Unsendable::Invalid("DUP is 0 on QoS 0 [MQTT-3.3.1-2]"));
    }
    if version == Version::V5 {
        check_properties(PropertyOwner::Publish, &publish.properties)?;
    }
    let size = PublishSize::of(version, publish);
    reserve(size.remaining, maximum, out)?;
    out.put_u8(0x30 | u8::from(dup) << 3 | (publish.qos as u8) << 1 | u8::from(publish.retain));
    put_variable(out, size.remaining);
    put_text(&publish.topic, out);
    if let Some(identifier) = packet_identifier {
        out.put_u16(identifier);
    }
    if version == Version::V5 {
        put_properties(&publish.properties, size.properties, out);
    }
    out.extend_from_slice(&publish.payload);
    Ok(())
}

/// The size that [`encode_publish`] would append, without encoding.
pub fn publish_size(version: Version, publish: &Publish) -> usize {
    packet_size(PublishSize::of(version, publish).remaining)
}

struct PublishSize {
    properties: usize,
    remaining: usize,
}

impl PublishSize {
    fn of(version: Version, publish: &Publish) -> Self {
        let identifier = if publish.qos == QoS::AtMostOnce { 0 } else { 2 };
        let fixed = 2 + publish.topic.len() + identifier + publish.payload.len();
        match version {
            Version::V4 => PublishSize { properties: 0, remaining: fixed },
            Version::V5 => {
                let properties = properties_size(&publish.properties);
                PublishSize { properties, remaining: fixed + variable_size(properties) + properties }
            }
        }
    }
}

/// Appends PUBACK, PUBREC, PUBREL or PUBCOMP in its shortest form. Reason and properties are MQTT 5 only.
/// Properties that would exceed `maximum` are left out, as the specification asks [MQTT-3.4.2-2].
pub fn encode_ack(version: Version, kind: AckKind, ack: &Ack, maximum: u32, out: &mut BytesMut) {
    let (first, owner) = match kind {
        AckKind::Puback => (0x40, PropertyOwner::Puback),
        AckKind::Pubrec => (0x50, PropertyOwner::Pubrec),
        AckKind::Pubrel => (0x62, PropertyOwner::Pubrel),
        AckKind::Pubcomp => (0x70, PropertyOwner::Pubcomp),
    };
    if version == Version::V4 || (ack.reason_code == 0 && ack.properties.is_empty()) {
        out.extend_from_slice(&[first, 2]);
        out.put_u16(ack.packet_identifier);
        return;
    }
    let properties = sendable(owner, &ack.properties, maximum, 3);
    let size = properties_size(&properties);
    put_short_header(first, 2, ack.reason_code, size, out);
    out.put_u16(ack.packet_identifier);
    put_reason(ack.reason_code, &properties, size, out);
}

/// Appends a DISCONNECT in its shortest form; reason and properties are MQTT 5 only.
pub fn encode_disconnect(version: Version, reason: &Reason, maximum: u32, out: &mut BytesMut) {
    if version == Version::V4 {
        out.extend_from_slice(&[0xE0, 0]);
        return;
    }
    let properties = sendable(PropertyOwner::Disconnect, &reason.properties, maximum, 1);
    let size = properties_size(&properties);
    put_short_header(0xE0, 0, reason.reason_code, size, out);
    put_reason(reason.reason_code, &properties, size, out);
}

/// Appends an AUTH of at most `maximum` bytes (MQTT 5 only). It needs an authentication method.
pub fn encode_auth(reason: &Reason, maximum: u32, out: &mut BytesMut) -> Result<(), Unsendable> {
    check_properties(PropertyOwner::Auth, &reason.properties)?;
    if reason.properties.find(PropertyId::AuthenticationMethod).is_none() {
        return Err(Unsendable::Invalid("AUTH needs an authentication method (section 3.15.2.2.2)"));
    }
    let size = properties_size(&reason.properties);
    let remaining = 1 + variable_size(size) + size;
    reserve(remaining, maximum, out)?;
    out.put_u8(0xF0);
    put_variable(out, remaining);
    out.put_u8(reason.reason_code);
    put_properties(&reason.properties, size, out);
    Ok(())
}

/// Appends a SUBSCRIBE of at most `maximum` bytes.
pub fn encode_subscribe(
    version: Version,
    packet_identifier: u16,
    subscriptions: &[Subscription],
    properties: &Properties,
    maximum: u32,
    out: &mut BytesMut,
) -> Result<(), Unsendable> {
    check_request(packet_identifier, subscriptions.is_empty())?;
    for subscription in subscriptions {
        check_filter(&subscription.filter)?;
        if version == Version::V5 && subscription.no_local && is_shared(&subscription.filter) {
            return Err(Unsendable::Invalid("no_local on a shared subscription [MQTT-3.8.3-4]"));
        }
        if version == Version::V5 && subscription.retain_handling > 2 {
            return Err(Unsendable::Invalid("retain handling is 0, 1 or 2 (section 3.8.3.1)"));
        }
    }
    let filters = subscriptions.iter().map(|subscription| 3 + subscription.filter.len()).sum();
    let remaining = request_size(version, PropertyOwner::Subscribe, properties, filters)?;
    reserve(remaining, maximum, out)?;
    out.extend_from_slice(&rumqttc::write_subscribe(version, packet_identifier, subscriptions, properties)?);
    Ok(())
}

/// Appends an UNSUBSCRIBE of at most `maximum` bytes.
pub fn encode_unsubscribe(
    version: Version,
    packet_identifier: u16,
    filters: &[ByteString],
    properties: &Properties,
    maximum: u32,
    out: &mut BytesMut,
) -> Result<(), Unsendable> {
    check_request(packet_identifier, filters.is_empty())?;
    for filter in filters {
        check_filter(filter)?;
    }
    let filters_size = filters.iter().map(|filter| 2 + filter.len()).sum();
    let remaining = request_size(version, PropertyOwner::Unsubscribe, properties, filters_size)?;
    reserve(remaining, maximum, out)?;
    out.extend_from_slice(&rumqttc::write_unsubscribe(version, packet_identifier, filters, properties)?);
    Ok(())
}

/// Appends a PINGREQ.
pub fn encode_pingreq(out: &mut BytesMut) {
    out.extend_from_slice(&[0xC0, 0x00]);
}

fn check_request(packet_identifier: u16, without_filters: bool) -> Result<(), Unsendable> {
    if packet_identifier == 0 {
        return Err(Unsendable::Invalid("packet identifier 0 [MQTT-2.2.1-3]"));
    }
    if without_filters {
        return Err(Unsendable::Invalid("at least one topic filter [MQTT-3.8.3-2], [MQTT-3.10.3-2]"));
    }
    Ok(())
}

/// The remaining length of a SUBSCRIBE or UNSUBSCRIBE whose filters take `filters` bytes.
fn request_size(
    version: Version,
    owner: PropertyOwner,
    properties: &Properties,
    filters: usize,
) -> Result<usize, Unsendable> {
    if version == Version::V4 {
        return Ok(2 + filters);
    }
    check_properties(owner, properties)?;
    let size = properties_size(properties);
    Ok(2 + variable_size(size) + size + filters)
}

/// What of a reason's properties is sent: nothing that breaks a rule, and without user properties, then without the
/// reason string, if the packet would exceed `maximum` otherwise. `fixed` bytes of the body are no properties.
fn sendable(owner: PropertyOwner, properties: &Properties, maximum: u32, fixed: usize) -> Properties {
    let mut kept = properties.clone();
    if check_properties(owner, &kept).is_err() {
        return Properties::new();
    }
    for id in [PropertyId::UserProperty, PropertyId::ReasonString] {
        let size = properties_size(&kept);
        if packet_size(fixed + variable_size(size) + size) <= maximum.min(PACKET_SIZE_LIMIT) as usize {
            break;
        }
        kept.remove(id);
    }
    kept
}

/// First byte and remaining length of a packet that ends with reason code and properties, after `fixed` bytes.
fn put_short_header(first: u8, fixed: usize, reason_code: u8, properties: usize, out: &mut BytesMut) {
    let remaining = match (reason_code, properties) {
        (0, 0) => fixed,
        (_, 0) => fixed + 1,
        _ => fixed + 1 + variable_size(properties) + properties,
    };
    out.reserve(packet_size(remaining));
    out.put_u8(first);
    put_variable(out, remaining);
}

fn put_reason(reason_code: u8, properties: &Properties, size: usize, out: &mut BytesMut) {
    if reason_code != 0 || size != 0 {
        out.put_u8(reason_code);
    }
    if size != 0 {
        put_properties(properties, size, out);
    }
}

/// The whole packet with this remaining length.
pub(super) fn packet_size(remaining: usize) -> usize {
    1 + variable_size(remaining) + remaining
}

/// Makes room for the whole packet, if both sides allow its size.
pub(super) fn reserve(remaining: usize, maximum: u32, out: &mut BytesMut) -> Result<(), Unsendable> {
    let total = packet_size(remaining);
    let limit = maximum.min(PACKET_SIZE_LIMIT);
    if total > limit as usize {
        return Err(Unsendable::TooLarge(total, limit));
    }
    out.reserve(total);
    Ok(())
}

/// Appends a string that has at most 65,535 bytes.
pub(super) fn put_text(text: &str, out: &mut BytesMut) {
    put_binary(text.as_bytes(), out);
}

/// Appends binary data of at most 65,535 bytes.
pub(super) fn put_binary(data: &[u8], out: &mut BytesMut) {
    out.put_u16(data.len() as u16);
    out.extend_from_slice(data);
}
