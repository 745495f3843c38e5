//! The rules of property lists, one set for both directions.
//!
//! [`Rules`] sees a list property by property: the decoder shows it what it reads, [`check_properties`] what an
//! application wants to send. Which packet may carry what is [`PropertyId::TABLE`]'s knowledge.

use super::topic::{check_topic, has_wildcard};
use super::variable::VARIABLE_LIMIT;
use super::{Properties, PropertyId, PropertyKind, PropertyOwner, PropertyValue, Violation};

/// One pass over one property list.
pub(super) struct Rules {
    owner: PropertyOwner,
    /// One bit for each identifier met; the largest is 0x2A.
    met: u64,
}

impl Rules {
    pub(super) fn new(owner: PropertyOwner) -> Self {
        Rules { owner, met: 0 }
    }

    /// May this property stand here, and here again? Asked before its value is read.
    pub(super) fn admit(&mut self, id: PropertyId) -> Result<PropertyKind, Violation> {
        let row = id.row();
        if !row.owners.contains(&self.owner) {
            return Err(Violation::malformed(
                "a property that does not belong in this packet (section 2.2.2.2)",
            ));
        }
        let bit = 1u64 << (id as u8);
        let repeats = id == PropertyId::UserProperty
            || (id == PropertyId::SubscriptionIdentifier && self.owner == PropertyOwner::Publish);
        if self.met & bit != 0 && !repeats {
            return Err(Violation::protocol("a property that may stand once stands twice"));
        }
        self.met |= bit;
        Ok(row.kind)
    }

    /// What only the whole list can show.
    pub(super) fn finish(self) -> Result<(), Violation> {
        let met = |id: PropertyId| self.met & 1u64 << (id as u8) != 0;
        if met(PropertyId::AuthenticationData) && !met(PropertyId::AuthenticationMethod) {
            return Err(Violation::protocol("authentication data without an authentication method"));
        }
        Ok(())
    }
}

/// Is the value one that the property may have?
pub(super) fn check_value(id: PropertyId, value: &PropertyValue) -> Result<(), Violation> {
    use PropertyId::*;
    match (id, value) {
        (
            PayloadFormatIndicator
            | RequestProblemInformation
            | RequestResponseInformation
            | MaximumQoS
            | RetainAvailable
            | WildcardSubscriptionAvailable
            | SubscriptionIdentifierAvailable
            | SharedSubscriptionAvailable,
            PropertyValue::Byte(2..),
        ) => Err(Violation::protocol("a property that is 0 or 1 has another value")),
        (ReceiveMaximum, PropertyValue::TwoByte(0)) => Err(Violation::protocol("receive maximum 0")),
        (MaximumPacketSize, PropertyValue::FourByte(0)) => Err(Violation::protocol("maximum packet size 0")),
        (SubscriptionIdentifier, PropertyValue::Variable(0)) => {
            Err(Violation::protocol("subscription identifier 0"))
        }
        (TopicAlias, PropertyValue::TwoByte(0)) => {
            Err(Violation { reason_code: 0x94, text: "topic alias 0 [MQTT-3.3.2-8]" })
        }
        (ResponseTopic, PropertyValue::Text(topic)) if has_wildcard(topic) => {
            Err(Violation::malformed("a response topic with a wildcard [MQTT-3.3.2-14]"))
        }
        _ => Ok(()),
    }
}

/// Checks a property list for one packet: allowed there, no forbidden duplicate, kinds, ranges and lengths.
///
/// The list is one to be sent, so what only a server may send is refused: a subscription identifier in PUBLISH
/// [MQTT-3.3.4-6], a server reference in DISCONNECT.
pub fn check_properties(owner: PropertyOwner, properties: &Properties) -> Result<(), &'static str> {
    let mut rules = Rules::new(owner);
    for (id, value) in properties.iter() {
        let kind = rules.admit(*id).map_err(|violation| violation.text)?;
        if kind != value.kind() {
            return Err("a property has a value of another data type");
        }
        match (owner, id) {
            (PropertyOwner::Publish, PropertyId::SubscriptionIdentifier) => {
                return Err("a client sends no subscription identifier in PUBLISH [MQTT-3.3.4-6]");
            }
            (PropertyOwner::Disconnect, PropertyId::ServerReference) => {
                return Err("a client sends no server reference");
            }
            _ => {}
        }
        check_encodable(value)?;
        check_value(*id, value).map_err(|violation| violation.text)?;
        if let (PropertyId::ResponseTopic, PropertyValue::Text(topic)) = (id, value) {
            check_topic(topic)?;
        }
    }
    rules.finish().map_err(|violation| violation.text)
}

/// Checks a string to be sent.
pub(super) fn check_text(text: &str) -> Result<(), &'static str> {
    if text.as_bytes().contains(&0) {
        return Err("a string contains no U+0000 [MQTT-1.5.4-2]");
    }
    check_length(text.len())
}

/// Checks the length of a string or of binary data to be sent: two bytes must hold it.
pub(super) fn check_length(length: usize) -> Result<(), &'static str> {
    if length > 65_535 {
        return Err("strings and binary data have at most 65,535 bytes (section 1.5)");
    }
    Ok(())
}

fn check_encodable(value: &PropertyValue) -> Result<(), &'static str> {
    match value {
        PropertyValue::Byte(_) | PropertyValue::TwoByte(_) | PropertyValue::FourByte(_) => Ok(()),
        PropertyValue::Variable(value) if *value > VARIABLE_LIMIT => {
            Err("a variable byte integer is at most 268,435,455 (section 1.5.5)")
        }
        PropertyValue::Variable(_) => Ok(()),
        PropertyValue::Text(text) => check_text(text),
        PropertyValue::Binary(data) => check_length(data.len()),
        PropertyValue::Pair(name, value) => check_text(name).and_then(|()| check_text(value)),
    }
}
