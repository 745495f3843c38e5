//! The part of the work that rumqttc does, and the only file that names it.
//!
//! Each encoder of rumqttc writes into a fresh buffer here: one that fails leaves its bytes behind. Its decoder gets
//! exactly one frame that our own validator has walked to its end, so no claimed length, repeated property or
//! unbounded list reaches it, and no error of it can mean "wait for more bytes": every one is a malformed packet.
//! Codes it does not know are the exception; it has no word for them, and our own reading stands.

use super::{Properties, PropertyId, PropertyValue, QoS, Subscription, Unsendable, Version, Violation};
use ::rumqttc::mqttbytes::{self, v4};
use ::rumqttc::v5::mqttbytes::{self as mqttbytes5, v5};
use bytes::BytesMut;
use bytestring::ByteString;

/// What stands before the reason codes.
pub(super) enum Fixed {
    SessionPresent(bool),
    PacketIdentifier(u16),
}

/// Reads a validated CONNACK, SUBACK or UNSUBACK. `None`: it has a code unknown to rumqttc.
pub(super) fn read_fixed(version: Version, packet: &[u8]) -> Result<Option<Fixed>, Violation> {
    match version {
        Version::V4 => read_v4(packet),
        Version::V5 => read_v5(packet),
    }
}

fn read_v4(packet: &[u8]) -> Result<Option<Fixed>, Violation> {
    use mqttbytes::Error::{InvalidConnectReturnCode, InvalidSubscribeReasonCode};
    match v4::Packet::read(&mut BytesMut::from(packet), usize::MAX) {
        Ok(v4::Packet::ConnAck(connack)) => Ok(Some(Fixed::SessionPresent(connack.session_present))),
        Ok(v4::Packet::SubAck(suback)) => Ok(Some(Fixed::PacketIdentifier(suback.pkid))),
        Ok(v4::Packet::UnsubAck(unsuback)) => Ok(Some(Fixed::PacketIdentifier(unsuback.pkid))),
        Err(InvalidConnectReturnCode(_) | InvalidSubscribeReasonCode(_)) => Ok(None),
        _ => Err(MALFORMED),
    }
}

fn read_v5(packet: &[u8]) -> Result<Option<Fixed>, Violation> {
    use mqttbytes5::Error::{InvalidConnectReturnCode, InvalidSubscribeReasonCode};
    match v5::Packet::read(&mut BytesMut::from(packet), None) {
        Ok(v5::Packet::ConnAck(connack)) => Ok(Some(Fixed::SessionPresent(connack.session_present))),
        Ok(v5::Packet::SubAck(suback)) => Ok(Some(Fixed::PacketIdentifier(suback.pkid))),
        Ok(v5::Packet::UnsubAck(unsuback)) => Ok(Some(Fixed::PacketIdentifier(unsuback.pkid))),
        Err(InvalidConnectReturnCode(_) | InvalidSubscribeReasonCode(_)) => Ok(None),
        _ => Err(MALFORMED),
    }
}

/// The bytes of a SUBSCRIBE that the caller has validated.
pub(super) fn write_subscribe(
    version: Version,
    packet_identifier: u16,
    subscriptions: &[Subscription],
    properties: &Properties,
) -> Result<BytesMut, Unsendable> {
    let mut fresh = BytesMut::new();
    let written = match version {
        Version::V4 => {
            let filters =
                subscriptions.iter().map(|s| v4::SubscribeFilter::new(s.filter.to_string(), qos(s.qos)));
            let subscribe = v4::Subscribe { pkid: packet_identifier, filters: filters.collect() };
            subscribe.write(&mut fresh).is_ok()
        }
        Version::V5 => {
            let filters = subscriptions.iter().map(filter);
            let properties = (!properties.is_empty()).then(|| v5::SubscribeProperties {
                id: properties.number(PropertyId::SubscriptionIdentifier).map(|id| id as usize),
                user_properties: user_properties(properties),
            });
            let subscribe = v5::Subscribe { pkid: packet_identifier, filters: filters.collect(), properties };
            subscribe.write(&mut fresh).is_ok()
        }
    };
    finish(written, fresh)
}

/// The bytes of an UNSUBSCRIBE that the caller has validated.
pub(super) fn write_unsubscribe(
    version: Version,
    packet_identifier: u16,
    filters: &[ByteString],
    properties: &Properties,
) -> Result<BytesMut, Unsendable> {
    let mut fresh = BytesMut::new();
    let filters = filters.iter().map(ByteString::to_string).collect();
    let written = match version {
        Version::V4 => v4::Unsubscribe { pkid: packet_identifier, topics: filters }.write(&mut fresh).is_ok(),
        Version::V5 => {
            let properties = (!properties.is_empty())
                .then(|| v5::UnsubscribeProperties { user_properties: user_properties(properties) });
            v5::Unsubscribe { pkid: packet_identifier, filters, properties }.write(&mut fresh).is_ok()
        }
    };
    finish(written, fresh)
}

const MALFORMED: Violation = Violation::malformed("an acknowledgement that cannot be decoded");

fn finish(written: bool, fresh: BytesMut) -> Result<BytesMut, Unsendable> {
    written.then_some(fresh).ok_or(Unsendable::Invalid("the request cannot be encoded"))
}

fn filter(subscription: &Subscription) -> v5::Filter {
    v5::Filter {
        path: subscription.filter.to_string(),
        qos: match subscription.qos {
            QoS::AtMostOnce => mqttbytes5::QoS::AtMostOnce,
            QoS::AtLeastOnce => mqttbytes5::QoS::AtLeastOnce,
            QoS::ExactlyOnce => mqttbytes5::QoS::ExactlyOnce,
        },
        nolocal: subscription.no_local,
        preserve_retain: subscription.retain_as_published,
        retain_forward_rule: match subscription.retain_handling {
            0 => v5::RetainForwardRule::OnEverySubscribe,
            1 => v5::RetainForwardRule::OnNewSubscribe,
            _ => v5::RetainForwardRule::Never,
        },
    }
}

fn qos(qos: QoS) -> mqttbytes::QoS {
    match qos {
        QoS::AtMostOnce => mqttbytes::QoS::AtMostOnce,
        QoS::AtLeastOnce => mqttbytes::QoS::AtLeastOnce,
        QoS::ExactlyOnce => mqttbytes::QoS::ExactlyOnce,
    }
}

fn user_properties(properties: &Properties) -> Vec<(String, String)> {
    let pairs = properties.iter().filter_map(|(_, value)| match value {
        PropertyValue::Pair(name, value) => Some((name.to_string(), value.to_string())),
        _ => None,
    });
    pairs.collect()
}
