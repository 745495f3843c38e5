//! The peer's own codec of MQTT 3.1.1 and 5, server side: decodes what clients send, encodes what servers send.
//!
//! It shares nothing with the project's `wire` module, so that no mistake can hide by being made twice. A packet is
//! its kind and a list of named fields, which is all that a script can say about one. The decoder is strict; the
//! encoder is not: a script may send nonsense on purpose.

mod decode;
mod encode;

pub use decode::{decode, frame};
pub use encode::encode;

use std::fmt;

/// The control packets, by their number.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[allow(missing_docs)] // MQTT's own packet names
pub enum Kind {
    Connect = 1,
    Connack,
    Publish,
    Puback,
    Pubrec,
    Pubrel,
    Pubcomp,
    Subscribe,
    Suback,
    Unsubscribe,
    Unsuback,
    Pingreq,
    Pingresp,
    Disconnect,
    Auth,
}

impl Kind {
    const ALL: [(Kind, &'static str); 15] = [
        (Kind::Connect, "CONNECT"),
        (Kind::Connack, "CONNACK"),
        (Kind::Publish, "PUBLISH"),
        (Kind::Puback, "PUBACK"),
        (Kind::Pubrec, "PUBREC"),
        (Kind::Pubrel, "PUBREL"),
        (Kind::Pubcomp, "PUBCOMP"),
        (Kind::Subscribe, "SUBSCRIBE"),
        (Kind::Suback, "SUBACK"),
        (Kind::Unsubscribe, "UNSUBSCRIBE"),
        (Kind::Unsuback, "UNSUBACK"),
        (Kind::Pingreq, "PINGREQ"),
        (Kind::Pingresp, "PINGRESP"),
        (Kind::Disconnect, "DISCONNECT"),
        (Kind::Auth, "AUTH"),
    ];

    /// The kind with this name.
    pub fn named(name: &str) -> Option<Kind> {
        Kind::ALL.iter().find(|(_, have)| *have == name).map(|(kind, _)| *kind)
    }

    fn numbered(number: u8) -> Option<Kind> {
        Kind::ALL.get(usize::from(number.checked_sub(1)?)).map(|(kind, _)| *kind)
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(Kind::ALL[*self as usize - 1].1)
    }
}

/// The value of a field.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Value {
    /// Any integer or flag.
    Number(u64),
    /// Text, payload, list of reason codes.
    Bytes(Vec<u8>),
}

impl fmt::Display for Value {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Value::Number(number) => write!(f, "{number}"),
            Value::Bytes(bytes) => {
                let shown = &bytes[..bytes.len().min(60)];
                match std::str::from_utf8(shown) {
                    Ok(text) if !text.chars().any(char::is_control) => write!(f, "{text:?}")?,
                    _ => write!(f, "hex:{}", crate::text::hex(shown))?,
                }
                if shown.len() < bytes.len() {
                    write!(f, "...({} bytes)", bytes.len())?;
                }
                Ok(())
            }
        }
    }
}

/// A packet: its kind and its fields in the order of the wire.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Packet {
    /// Which packet.
    pub kind: Kind,
    /// Names as in `scenarios/README.md`. `user` and `subscription_id` may occur several times.
    pub fields: Vec<(&'static str, Value)>,
}

impl Packet {
    /// A packet without fields.
    pub fn new(kind: Kind) -> Packet {
        Packet { kind, fields: Vec::new() }
    }

    /// The packet with one more number.
    pub fn with(mut self, name: &'static str, number: u64) -> Packet {
        self.fields.push((name, Value::Number(number)));
        self
    }

    /// The packet with one more text or list.
    pub fn with_bytes(mut self, name: &'static str, bytes: &[u8]) -> Packet {
        self.fields.push((name, Value::Bytes(bytes.to_vec())));
        self
    }

    /// The first field of this name.
    pub fn find(&self, name: &str) -> Option<&Value> {
        self.fields.iter().find(|(have, _)| *have == name).map(|(_, value)| value)
    }

    /// The first field of this name, as a number; 0 when it is absent.
    pub fn number(&self, name: &str) -> u64 {
        match self.find(name) {
            Some(Value::Number(number)) => *number,
            _ => 0,
        }
    }

    /// The packet identifier, 0 when there is none.
    pub fn id(&self) -> u16 {
        self.number("id") as u16
    }

    /// The first field of this name, as bytes; nothing when it is absent.
    pub fn bytes(&self, name: &str) -> &[u8] {
        match self.find(name) {
            Some(Value::Bytes(bytes)) => bytes,
            _ => &[],
        }
    }
}

impl fmt::Display for Packet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.kind)?;
        self.fields.iter().try_for_each(|(name, value)| write!(f, " {name}={value}"))
    }
}

/// The form of a field in a script.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Form {
    /// A number.
    Number,
    /// Text or bytes.
    Bytes,
    /// Numbers below 256, separated by commas.
    Codes,
}

/// The fields that are no properties. `filters` is `a/b:1,c/#:2:nl:rap:rh1`: QoS, no local, retain as published,
/// retain handling.
const FIELDS: [(&str, Form); 22] = [
    ("level", Form::Number),
    ("clean", Form::Number),
    ("keepalive", Form::Number),
    ("client_id", Form::Bytes),
    ("username", Form::Bytes),
    ("password", Form::Bytes),
    ("will", Form::Number),
    ("will_topic", Form::Bytes),
    ("will_payload", Form::Bytes),
    ("will_qos", Form::Number),
    ("will_retain", Form::Number),
    ("sp", Form::Number),
    ("rc", Form::Number),
    ("id", Form::Number),
    ("qos", Form::Number),
    ("dup", Form::Number),
    ("retain", Form::Number),
    ("topic", Form::Bytes),
    ("payload", Form::Bytes),
    ("filters", Form::Bytes),
    ("codes", Form::Codes),
    ("length", Form::Number),
];

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Coding {
    Byte,
    TwoByte,
    FourByte,
    Variable,
    Text,
    Binary,
    Pair,
}

/// MQTT 5 properties. `user` is `name=value`.
const PROPERTIES: [(u8, &str, Coding); 27] = [
    (0x01, "payload_format", Coding::Byte),
    (0x02, "expiry", Coding::FourByte),
    (0x03, "content_type", Coding::Text),
    (0x08, "response_topic", Coding::Text),
    (0x09, "correlation", Coding::Binary),
    (0x0B, "subscription_id", Coding::Variable),
    (0x11, "session_expiry", Coding::FourByte),
    (0x12, "assigned_client_id", Coding::Text),
    (0x13, "server_keepalive", Coding::TwoByte),
    (0x15, "auth_method", Coding::Text),
    (0x16, "auth_data", Coding::Binary),
    (0x17, "request_problem", Coding::Byte),
    (0x18, "will_delay", Coding::FourByte),
    (0x19, "request_response", Coding::Byte),
    (0x1A, "response_info", Coding::Text),
    (0x1C, "server_reference", Coding::Text),
    (0x1F, "reason", Coding::Text),
    (0x21, "receive_maximum", Coding::TwoByte),
    (0x22, "topic_alias_maximum", Coding::TwoByte),
    (0x23, "alias", Coding::TwoByte),
    (0x24, "maximum_qos", Coding::Byte),
    (0x25, "retain_available", Coding::Byte),
    (0x26, "user", Coding::Pair),
    (0x27, "maximum_packet_size", Coding::FourByte),
    (0x28, "wildcard_available", Coding::Byte),
    (0x29, "subscription_ids_available", Coding::Byte),
    (0x2A, "shared_available", Coding::Byte),
];

/// The field with this name, and the form of its value.
pub fn field(name: &str) -> Option<(&'static str, Form)> {
    if let Some((name, form)) = FIELDS.iter().find(|(have, _)| *have == name) {
        return Some((name, *form));
    }
    let (_, name, coding) = PROPERTIES.iter().find(|(_, have, _)| *have == name)?;
    let form = match coding {
        Coding::Byte | Coding::TwoByte | Coding::FourByte | Coding::Variable => Form::Number,
        Coding::Text | Coding::Binary | Coding::Pair => Form::Bytes,
    };
    Some((name, form))
}

/// The identifier of the property with this name, with its kind as the shim protocol writes it.
pub fn property(name: &str) -> Option<(u8, char)> {
    let (id, _, coding) = PROPERTIES.iter().find(|(_, have, _)| *have == name)?;
    let kind = match coding {
        Coding::Byte | Coding::TwoByte | Coding::FourByte | Coding::Variable => 'n',
        Coding::Text => 't',
        Coding::Binary => 'b',
        Coding::Pair => 'p',
    };
    Some((*id, kind))
}
