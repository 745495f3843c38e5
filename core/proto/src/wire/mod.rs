//! The wire: framing, validation and coding of MQTT 3.1.1 and 5 packets over one version-free model.
//!
//! [`frame`] finds a packet in what a server has sent, [`decode`] turns it into a [`Packet`] or says which rule it
//! breaks; the encoders append what a client sends. Both sides apply every rule that one packet alone can break.
//! What takes more than one packet to know (is this alias defined, is this the first packet, do the reason codes
//! match the filters asked) is the engine's. No type of rumqttc leaves this module, one file of it names that crate.
//!
//! Who codes what, packet by packet:
//!
//! | packet | coded by | because |
//! |---|---|---|
//! | CONNECT | us | rumqttc cannot say a binary or empty password, nor an empty user name; two encoders for one packet would have two sets of bugs |
//! | PUBLISH | us | one copy, no intermediate buffer; rumqttc turns property bytes into payload when there are several subscription identifiers |
//! | PUBACK, PUBREC, PUBREL, PUBCOMP | us | rumqttc refuses the whole packet for a reason code it does not know |
//! | DISCONNECT, AUTH | us | rumqttc encodes wrong lengths, and takes a short DISCONNECT for an incomplete one |
//! | SUBSCRIBE, UNSUBSCRIBE | rumqttc | into a fresh buffer, after our validation |
//! | CONNACK, SUBACK, UNSUBACK | rumqttc, fixed fields | after our validator has walked the one frame it gets; reason codes and properties are our reading, because rumqttc cannot represent unknown codes and loses the order of properties |
//!
//! Tolerated, because dropping the link would do more harm than the error does: reason codes that are unknown or
//! used in the wrong packet, DUP on QoS 0, a non-minimal remaining length in MQTT 3.1.1, and a CONNACK of MQTT 3.1.1
//! in answer to a CONNECT of MQTT 5.
mod connect;
mod cursor;
mod decode;
mod encode;
mod error;
mod frame;
mod packet;
mod properties;
mod property_codec;
mod rumqttc;
mod topic;
mod validate;
mod variable;

pub(crate) use cursor::Cursor;
pub(crate) use property_codec::{properties_size, put_properties, read_properties};

pub use connect::encode_connect;
pub use decode::decode;
pub use encode::{
    encode_ack, encode_auth, encode_disconnect, encode_pingreq, encode_publish, encode_subscribe,
};
pub use encode::{encode_unsubscribe, publish_size};
pub use error::*;
pub use frame::*;
pub use packet::*;
pub use properties::*;
pub use topic::{check_filter, check_topic, filter_covers, repair_topic};
pub use validate::check_properties;

/// The largest packet the protocol can express: a fixed header of 5 bytes and 268,435,455 bytes.
pub const PACKET_SIZE_LIMIT: u32 = 268_435_460;
