//! The wire: framing, validation and coding of MQTT 3.1.1 and 5 packets over one version-free model.
//!
//! The only module that names rumqttc, and it shows no type of it. rumqttc encodes SUBSCRIBE and UNSUBSCRIBE and
//! decodes CONNACK, SUBACK and UNSUBACK, each from one validated frame; the rest is ours (`core/ARCHITECTURE.md`
//! says why, packet by packet).
mod packet;
mod properties;

pub use packet::*;
pub use properties::*;

use bytes::BytesMut;
use std::fmt;

/// The largest packet the protocol can express: a fixed header of 5 bytes and 268,435,455 bytes.
pub const PACKET_SIZE_LIMIT: u32 = 268_435_460;

/// Why bytes from the peer are refused. The peer is to blame, the link is dropped, the MQTT 5 reason code says why.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Violation {
    /// 0x81 malformed packet, 0x82 protocol error, 0x95 packet too large, ...
    pub reason_code: u8,
    /// The rule that was broken, in words.
    pub text: &'static str,
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} (reason code 0x{:02X})", self.text, self.reason_code)
    }
}

/// One whole packet found at the start of a buffer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Frame {
    /// First byte: type and flags.
    pub first: u8,
    /// Length of the fixed header, where the body starts.
    pub header: usize,
    /// Length of the whole packet.
    pub total: usize,
}

/// Finds the first packet. `None`: more bytes are needed. Refuses what can never become a valid packet as early as
/// its bytes allow: wrong flags, a type no server sends, a length over five bytes or over `maximum` (whole packet).
pub fn frame(version: Version, buffer: &[u8], maximum: u32) -> Result<Option<Frame>, Violation> {
    let _ = (version, buffer, maximum);
    Ok(None)
}

/// Decodes the packet of `frame`; `packet` is exactly its `total` bytes. PUBLISH bodies are copied once.
pub fn decode(version: Version, frame: Frame, packet: &[u8]) -> Result<Packet, Violation> {
    let _ = (version, frame, packet);
    Ok(Packet::Pingresp)
}

/// Why a packet of ours is not sent. The caller is to blame and the link is unharmed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Unsendable {
    /// Larger than the protocol or the given maximum allows: the packet's size and that maximum.
    TooLarge(usize, u32),
    /// A field breaks the protocol: which, in words.
    Invalid(&'static str),
}

/// Appends a CONNECT. On error nothing is appended (true of every encoder here).
pub fn encode_connect(version: Version, connect: &Connect, out: &mut BytesMut) -> Result<(), Unsendable> {
    let _ = (version, connect, out);
    Ok(())
}

/// Appends a PUBLISH of at most `maximum` bytes. `packet_identifier` is `Some` exactly for QoS 1 and 2.
pub fn encode_publish(
    version: Version,
    publish: &Publish,
    dup: bool,
    packet_identifier: Option<u16>,
    maximum: u32,
    out: &mut BytesMut,
) -> Result<(), Unsendable> {
    let _ = (version, publish, dup, packet_identifier, maximum, out);
    Ok(())
}

/// The size that [`encode_publish`] would append, without encoding.
pub fn publish_size(version: Version, publish: &Publish) -> usize {
    let _ = (version, publish);
    0
}

/// Appends PUBACK, PUBREC, PUBREL or PUBCOMP in its shortest form. Reason and properties are MQTT 5 only.
/// Properties that would exceed `maximum` are left out, as the specification asks [MQTT-3.4.2-2].
pub fn encode_ack(version: Version, kind: AckKind, ack: &Ack, maximum: u32, out: &mut BytesMut) {
    let _ = (version, kind, ack, maximum, out);
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
    let _ = (version, packet_identifier, subscriptions, properties, maximum, out);
    Ok(())
}

/// Appends an UNSUBSCRIBE of at most `maximum` bytes.
pub fn encode_unsubscribe(
    version: Version,
    packet_identifier: u16,
    filters: &[bytestring::ByteString],
    properties: &Properties,
    maximum: u32,
    out: &mut BytesMut,
) -> Result<(), Unsendable> {
    let _ = (version, packet_identifier, filters, properties, maximum, out);
    Ok(())
}

/// Appends a PINGREQ.
pub fn encode_pingreq(out: &mut BytesMut) {
    out.extend_from_slice(&[0xC0, 0x00]);
}

/// Appends a DISCONNECT in its shortest form; reason and properties are MQTT 5 only.
pub fn encode_disconnect(version: Version, reason: &Reason, maximum: u32, out: &mut BytesMut) {
    let _ = (version, reason, maximum, out);
}

/// Checks a topic name to publish to: not empty, no wildcard, no U+0000, at most 65,535 bytes.
pub fn check_topic(topic: &str) -> Result<(), &'static str> {
    let _ = topic;
    Ok(())
}

/// Checks a topic filter, `$share/name/filter` included: at most 65,535 bytes, no U+0000, wildcards in whole levels.
pub fn check_filter(filter: &str) -> Result<(), &'static str> {
    let _ = filter;
    Ok(())
}

/// Checks a property list for one packet: allowed there, no forbidden duplicate, kinds, ranges and lengths.
pub fn check_properties(owner: PropertyOwner, properties: &Properties) -> Result<(), &'static str> {
    let _ = (owner, properties);
    Ok(())
}
