//! Property lists on the wire: a length in bytes, then identifiers with their values (MQTT 5 section 2.2.2).

use super::cursor::Cursor;
use super::encode::{put_binary, put_text};
use super::validate::{check_value, Rules};
use super::variable::{put_variable, variable_size};
use super::{Properties, PropertyId, PropertyKind, PropertyOwner, PropertyValue, Violation};
use bytes::{BufMut, BytesMut};

/// How many properties one packet may carry.
///
/// A user property or subscription identifier may be repeated without end; the smallest take 5 and 2 bytes on the
/// wire and some 80 in memory. Counting them keeps a packet from growing forty times, and leaves a packet that is
/// large because its values are large alone. A thousand is far beyond any list seen in use.
pub(super) const PROPERTY_COUNT_LIMIT: usize = 1024;

/// Reads a length and exactly the properties within it, under all rules of their packet.
pub(crate) fn read_properties(
    owner: PropertyOwner,
    cursor: &mut Cursor<'_>,
) -> Result<Properties, Violation> {
    let length = cursor.variable()? as usize;
    let mut block = cursor.block(length)?;
    let mut properties = Properties::new();
    let mut rules = Rules::new(owner);
    while !block.is_empty() {
        if properties.len() == PROPERTY_COUNT_LIMIT {
            return Err(Violation { reason_code: 0x97, text: "more than 1,024 properties in one packet" });
        }
        // Identifiers are variable byte integers by the letter; all that exist take one byte.
        let id = PropertyId::from_u8(block.byte()?)
            .ok_or(Violation::malformed("an unknown property identifier (section 2.2.2.2)"))?;
        let value = read_value(rules.admit(id)?, &mut block)?;
        check_value(id, &value)?;
        properties.push(id, value);
    }
    rules.finish()?;
    Ok(properties)
}

fn read_value(kind: PropertyKind, block: &mut Cursor<'_>) -> Result<PropertyValue, Violation> {
    Ok(match kind {
        PropertyKind::Byte => PropertyValue::Byte(block.byte()?),
        PropertyKind::TwoByte => PropertyValue::TwoByte(block.two_byte()?),
        PropertyKind::FourByte => PropertyValue::FourByte(block.four_byte()?),
        PropertyKind::Variable => PropertyValue::Variable(block.variable()?),
        PropertyKind::Text => PropertyValue::Text(block.text()?),
        PropertyKind::Binary => PropertyValue::Binary(block.binary()?),
        PropertyKind::Pair => PropertyValue::Pair(block.text()?, block.text()?),
    })
}

/// The bytes of the properties alone, without the length before them.
pub(crate) fn properties_size(properties: &Properties) -> usize {
    properties.iter().map(|(_, value)| 1 + value_size(value)).sum()
}

fn value_size(value: &PropertyValue) -> usize {
    match value {
        PropertyValue::Byte(_) => 1,
        PropertyValue::TwoByte(_) => 2,
        PropertyValue::FourByte(_) => 4,
        PropertyValue::Variable(value) => variable_size(*value as usize),
        PropertyValue::Text(text) => 2 + text.len(),
        PropertyValue::Binary(data) => 2 + data.len(),
        PropertyValue::Pair(name, value) => 4 + name.len() + value.len(),
    }
}

/// Appends length and properties. `size` is their [`properties_size`], which every caller has needed before.
pub(crate) fn put_properties(properties: &Properties, size: usize, out: &mut BytesMut) {
    put_variable(out, size);
    for (id, value) in properties.iter() {
        out.put_u8(*id as u8);
        match value {
            PropertyValue::Byte(value) => out.put_u8(*value),
            PropertyValue::TwoByte(value) => out.put_u16(*value),
            PropertyValue::FourByte(value) => out.put_u32(*value),
            PropertyValue::Variable(value) => put_variable(out, *value as usize),
            PropertyValue::Text(text) => put_text(text, out),
            PropertyValue::Binary(data) => put_binary(data, out),
            PropertyValue::Pair(name, value) => {
                put_text(name, out);
                put_text(value, out);
            }
        }
    }
}
