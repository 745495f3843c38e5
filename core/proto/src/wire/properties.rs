//! MQTT 5 properties: one list type, one table.
//!
//! A [`Properties`] value keeps the order in which properties were added or received, because the order of user
//! properties is significant [MQTT-3.1.3-10]. [`PropertyId::TABLE`] says for each identifier its name, the kind
//! of its value and the packets that may carry it; the validator, C and Python all read that one table.

use bytes::Bytes;
use bytestring::ByteString;
use std::fmt;

/// The value of one property, by the data types of the MQTT 5 specification (section 1.5).
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PropertyValue {
    /// One byte.
    Byte(u8),
    /// Two byte integer.
    TwoByte(u16),
    /// Four byte integer.
    FourByte(u32),
    /// Variable byte integer, at most 268,435,455.
    Variable(u32),
    /// UTF-8 encoded string.
    Text(ByteString),
    /// Binary data.
    Binary(Bytes),
    /// UTF-8 string pair.
    Pair(ByteString, ByteString),
}

impl PropertyValue {
    /// The data type of this value.
    pub fn kind(&self) -> PropertyKind {
        match self {
            PropertyValue::Byte(_) => PropertyKind::Byte,
            PropertyValue::TwoByte(_) => PropertyKind::TwoByte,
            PropertyValue::FourByte(_) => PropertyKind::FourByte,
            PropertyValue::Variable(_) => PropertyKind::Variable,
            PropertyValue::Text(_) => PropertyKind::Text,
            PropertyValue::Binary(_) => PropertyKind::Binary,
            PropertyValue::Pair(..) => PropertyKind::Pair,
        }
    }
}

/// The data type of a property's value.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PropertyKind {
    /// One byte.
    Byte,
    /// Two byte integer.
    TwoByte,
    /// Four byte integer.
    FourByte,
    /// Variable byte integer.
    Variable,
    /// UTF-8 encoded string.
    Text,
    /// Binary data.
    Binary,
    /// UTF-8 string pair.
    Pair,
}

/// The packet, or the will inside a CONNECT, that carries a property list.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
#[allow(missing_docs)] // MQTT's own packet names
pub enum PropertyOwner {
    Will = 0,
    Connect = 1,
    Connack = 2,
    Publish = 3,
    Puback = 4,
    Pubrec = 5,
    Pubrel = 6,
    Pubcomp = 7,
    Subscribe = 8,
    Suback = 9,
    Unsubscribe = 10,
    Unsuback = 11,
    Disconnect = 14,
    Auth = 15,
}

/// One row of [`PropertyId::TABLE`].
#[derive(Debug, Clone, Copy)]
pub struct PropertyRow {
    /// The identifier.
    pub id: PropertyId,
    /// The specification's name without spaces, as in `SessionExpiryInterval`.
    pub name: &'static str,
    /// The data type of the value.
    pub kind: PropertyKind,
    /// Where it may stand.
    pub owners: &'static [PropertyOwner],
}

macro_rules! properties {
    ($($id:literal $name:ident $kind:ident [$($owner:ident)*];)*) => {
        /// Identifier of an MQTT 5 property (specification section 2.2.2.2).
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
        #[repr(u8)]
        #[allow(missing_docs)] // MQTT's own property names
        pub enum PropertyId { $($name = $id,)* }

        impl PropertyId {
            /// Every property: identifier, name, kind of value, packets that may carry it.
            pub const TABLE: &'static [PropertyRow] = &[$(PropertyRow {
                id: PropertyId::$name,
                name: stringify!($name),
                kind: PropertyKind::$kind,
                owners: &[$(PropertyOwner::$owner),*],
            },)*];

            /// The identifier with this number, if the specification defines it.
            pub fn from_u8(id: u8) -> Option<PropertyId> {
                match id { $($id => Some(PropertyId::$name),)* _ => None }
            }
        }
    };
}

properties! {
    0x01 PayloadFormatIndicator Byte [Publish Will];
    0x02 MessageExpiryInterval FourByte [Publish Will];
    0x03 ContentType Text [Publish Will];
    0x08 ResponseTopic Text [Publish Will];
    0x09 CorrelationData Binary [Publish Will];
    0x0B SubscriptionIdentifier Variable [Publish Subscribe];
    0x11 SessionExpiryInterval FourByte [Connect Connack Disconnect];
    0x12 AssignedClientIdentifier Text [Connack];
    0x13 ServerKeepAlive TwoByte [Connack];
    0x15 AuthenticationMethod Text [Connect Connack Auth];
    0x16 AuthenticationData Binary [Connect Connack Auth];
    0x17 RequestProblemInformation Byte [Connect];
    0x18 WillDelayInterval FourByte [Will];
    0x19 RequestResponseInformation Byte [Connect];
    0x1A ResponseInformation Text [Connack];
    0x1C ServerReference Text [Connack Disconnect];
    0x1F ReasonString Text [Connack Puback Pubrec Pubrel Pubcomp Suback Unsuback Disconnect Auth];
    0x21 ReceiveMaximum TwoByte [Connect Connack];
    0x22 TopicAliasMaximum TwoByte [Connect Connack];
    0x23 TopicAlias TwoByte [Publish];
    0x24 MaximumQoS Byte [Connack];
    0x25 RetainAvailable Byte [Connack];
    0x26 UserProperty Pair [Will Connect Connack Publish Puback Pubrec Pubrel Pubcomp Subscribe Suback Unsubscribe Unsuback Disconnect Auth];
    0x27 MaximumPacketSize FourByte [Connect Connack];
    0x28 WildcardSubscriptionAvailable Byte [Connack];
    0x29 SubscriptionIdentifierAvailable Byte [Connack];
    0x2A SharedSubscriptionAvailable Byte [Connack];
}

impl PropertyId {
    /// This identifier's row of [`PropertyId::TABLE`].
    pub fn row(self) -> &'static PropertyRow {
        let at = Self::TABLE.binary_search_by(|row| row.id.cmp(&self));
        &Self::TABLE[at.unwrap_or(0)]
    }

    /// True if the value is for the other side only, and shown neither in a log nor by `Debug`.
    pub fn is_secret(self) -> bool {
        self == PropertyId::AuthenticationData
    }
}

/// An ordered property list. An empty one allocates nothing. `Debug` shows no secret.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Properties(pub Vec<(PropertyId, PropertyValue)>);

impl fmt::Debug for Properties {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Properties")?;
        let shown = self.iter().map(|(id, value)| match id.is_secret() {
            true => (id, &"***" as &dyn fmt::Debug),
            false => (id, value as &dyn fmt::Debug),
        });
        f.debug_list().entries(shown).finish()
    }
}

impl Properties {
    /// A list without properties.
    pub const fn new() -> Self {
        Properties(Vec::new())
    }

    /// Appends a property. Whether it fits the packet is checked where the packet is made.
    pub fn push(&mut self, id: PropertyId, value: PropertyValue) {
        self.0.push((id, value));
    }

    /// Replaces every property of this identifier by one value.
    pub fn set(&mut self, id: PropertyId, value: PropertyValue) {
        self.remove(id);
        self.push(id, value);
    }

    /// Removes every property of this identifier.
    pub fn remove(&mut self, id: PropertyId) {
        self.0.retain(|(have, _)| *have != id);
    }

    /// The first value of this identifier.
    pub fn find(&self, id: PropertyId) -> Option<&PropertyValue> {
        self.0.iter().find(|(have, _)| *have == id).map(|(_, value)| value)
    }

    /// The first value of this identifier as a number, whichever integer type it has.
    pub fn number(&self, id: PropertyId) -> Option<u32> {
        match self.find(id)? {
            PropertyValue::Byte(v) => Some(u32::from(*v)),
            PropertyValue::TwoByte(v) => Some(u32::from(*v)),
            PropertyValue::FourByte(v) | PropertyValue::Variable(v) => Some(*v),
            _ => None,
        }
    }

    /// The first value of this identifier as text.
    pub fn text(&self, id: PropertyId) -> Option<&ByteString> {
        match self.find(id)? {
            PropertyValue::Text(v) => Some(v),
            _ => None,
        }
    }

    /// True when there is none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Iterates in order.
    pub fn iter(&self) -> std::slice::Iter<'_, (PropertyId, PropertyValue)> {
        self.0.iter()
    }
}
