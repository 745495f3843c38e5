//! The version-free packet model. MQTT 3.1.1 has no properties and fewer reason codes; everything else is shared.

use bytes::Bytes;
use bytestring::ByteString;

use super::properties::{Properties, PropertyId};

/// Protocol version of a connection; the number is the protocol level of the CONNECT packet.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(u8)]
pub enum Version {
    /// MQTT 3.1.1.
    V4 = 4,
    /// MQTT 5.0.
    V5 = 5,
}

/// Quality of service.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
#[repr(u8)]
pub enum QoS {
    /// At most once.
    #[default]
    AtMostOnce = 0,
    /// At least once.
    AtLeastOnce = 1,
    /// Exactly once.
    ExactlyOnce = 2,
}

impl QoS {
    /// 0, 1 or 2; anything else is none. [MQTT-3.3.1-4]
    pub fn from_u8(value: u8) -> Option<QoS> {
        match value {
            0 => Some(QoS::AtMostOnce),
            1 => Some(QoS::AtLeastOnce),
            2 => Some(QoS::ExactlyOnce),
            _ => None,
        }
    }
}

/// Last will, part of CONNECT.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Will {
    /// Topic name, no wildcards.
    pub topic: ByteString,
    /// At most 65,535 bytes.
    pub payload: Bytes,
    /// QoS of the will message.
    pub qos: QoS,
    /// Retain flag of the will message.
    pub retain: bool,
    /// MQTT 5 will properties, the will delay interval among them.
    pub properties: Properties,
}

/// CONNECT.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Connect {
    /// Clean start (MQTT 5) or clean session (3.1.1).
    pub clean_start: bool,
    /// Keep alive in seconds, 0 = off.
    pub keep_alive: u16,
    /// Client identifier.
    pub client_id: ByteString,
    /// Last will.
    pub will: Option<Will>,
    /// User name; the empty one is not the absent one.
    pub username: Option<ByteString>,
    /// Password, any bytes. MQTT 3.1.1 forbids one without a user name [MQTT-3.1.2-22].
    pub password: Option<Bytes>,
    /// MQTT 5 properties, all of them (the engine puts session expiry, receive maximum and the rest here).
    pub properties: Properties,
    /// Call MQTT 3.1.1 by the name and number of MQTT 3.1.
    pub mqtt31: bool,
    /// Set the bit of the version by which mosquitto and RSMB know a bridge.
    pub bridge: bool,
}

/// CONNACK.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Connack {
    /// The server has state of this session.
    pub session_present: bool,
    /// As on the wire: 0 is success; 1 to 5 are MQTT 3.1.1 return codes, 0x80 and up MQTT 5 reason codes.
    pub reason_code: u8,
    /// MQTT 5 properties.
    pub properties: Properties,
}

/// PUBLISH in both directions, without its per-transmission fields.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Publish {
    /// Topic name; empty only where an alias stands for it.
    pub topic: ByteString,
    /// Application message.
    pub payload: Bytes,
    /// Quality of service.
    pub qos: QoS,
    /// Retain flag.
    pub retain: bool,
    /// MQTT 5 properties.
    pub properties: Properties,
}

impl Publish {
    /// A topic alias stands for the topic, so the message means something on one connection only. [MQTT-3.3.2-12]
    pub fn is_aliased(&self) -> bool {
        self.topic.is_empty() && self.properties.find(PropertyId::TopicAlias).is_some()
    }
}

/// The four acknowledgements of a PUBLISH.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[repr(u8)]
#[allow(missing_docs)] // MQTT's own packet names
pub enum AckKind {
    Puback = 4,
    Pubrec = 5,
    Pubrel = 6,
    Pubcomp = 7,
}

/// Body of PUBACK, PUBREC, PUBREL and PUBCOMP.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ack {
    /// Packet identifier, never 0.
    pub packet_identifier: u16,
    /// 0 on MQTT 3.1.1.
    pub reason_code: u8,
    /// MQTT 5 properties.
    pub properties: Properties,
}

/// One filter of a SUBSCRIBE with its options.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Subscription {
    /// Topic filter.
    pub filter: ByteString,
    /// Maximum QoS asked for.
    pub qos: QoS,
    /// MQTT 5: do not send back what this client publishes.
    pub no_local: bool,
    /// MQTT 5: keep the retain flag of forwarded messages.
    pub retain_as_published: bool,
    /// MQTT 5: 0 send retained, 1 only if the subscription is new, 2 never.
    pub retain_handling: u8,
}

impl Subscription {
    /// A subscription with every MQTT 5 option at its default.
    pub fn new(filter: impl Into<ByteString>, qos: QoS) -> Self {
        Subscription {
            filter: filter.into(),
            qos,
            no_local: false,
            retain_as_published: false,
            retain_handling: 0,
        }
    }
}

/// SUBACK and UNSUBACK.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SubscribeAck {
    /// Packet identifier of the request.
    pub packet_identifier: u16,
    /// One per filter asked for, in that order. Empty for an UNSUBACK of MQTT 3.1.1, which has none.
    pub reason_codes: Vec<u8>,
    /// MQTT 5 properties.
    pub properties: Properties,
}

/// Body of DISCONNECT and AUTH.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Reason {
    /// 0 when the packet carried none.
    pub reason_code: u8,
    /// MQTT 5 properties.
    pub properties: Properties,
}

/// What a server may send, validated as far as one packet alone can be.
#[derive(Debug, Clone, PartialEq, Eq)]
#[allow(missing_docs)] // MQTT's own packet names
pub enum Packet {
    Connack(Connack),
    Publish { publish: Publish, dup: bool, packet_identifier: Option<u16> },
    Ack(AckKind, Ack),
    Suback(SubscribeAck),
    Unsuback(SubscribeAck),
    Pingresp,
    Disconnect(Reason),
    Auth(Reason),
}
