//! Reading one packet body, field by field, without ever leaving it.

use super::variable::{read_variable, variable_size};
use super::Violation;
use bytes::Bytes;
use bytestring::ByteString;
use std::ops::Range;

const TRUNCATED: Violation = Violation::malformed("a field reaches beyond its packet");

/// A position inside a body. What it hands out are slices of that body: strings and data are not copied again.
pub(crate) struct Cursor<'a> {
    body: &'a Bytes,
    at: usize,
    end: usize,
}

impl<'a> Cursor<'a> {
    pub(crate) fn new(body: &'a Bytes) -> Self {
        Cursor { body, at: 0, end: body.len() }
    }

    /// Splits off the next `length` bytes as a cursor of their own.
    pub(crate) fn block(&mut self, length: usize) -> Result<Cursor<'a>, Violation> {
        let range = self.take(length)?;
        Ok(Cursor { body: self.body, at: range.start, end: range.end })
    }

    pub(crate) fn byte(&mut self) -> Result<u8, Violation> {
        Ok(self.body[self.take(1)?.start])
    }

    pub(crate) fn two_byte(&mut self) -> Result<u16, Violation> {
        let start = self.take(2)?.start;
        Ok(u16::from_be_bytes([self.body[start], self.body[start + 1]]))
    }

    pub(crate) fn four_byte(&mut self) -> Result<u32, Violation> {
        let high = u32::from(self.two_byte()?);
        Ok(high << 16 | u32::from(self.two_byte()?))
    }

    pub(crate) fn eight_byte(&mut self) -> Result<u64, Violation> {
        let high = u64::from(self.four_byte()?);
        Ok(high << 32 | u64::from(self.four_byte()?))
    }

    pub(crate) fn variable(&mut self) -> Result<u32, Violation> {
        let (value, width) = read_variable(&self.body[self.at..self.end])?.ok_or(TRUNCATED)?;
        if width > variable_size(value as usize) {
            return Err(Violation::malformed(
                "a variable byte integer takes more bytes than it needs [MQTT-1.5.5-1]",
            ));
        }
        self.at += width;
        Ok(value)
    }

    pub(crate) fn binary(&mut self) -> Result<Bytes, Violation> {
        let length = usize::from(self.two_byte()?);
        let range = self.take(length)?;
        Ok(self.body.slice(range))
    }

    pub(crate) fn text(&mut self) -> Result<ByteString, Violation> {
        let text = ByteString::try_from(self.binary()?)
            .map_err(|_| Violation::malformed("a string is not well-formed UTF-8 [MQTT-1.5.4-1]"))?;
        if text.as_bytes().contains(&0) {
            return Err(Violation::malformed("a string contains U+0000 [MQTT-1.5.4-2]"));
        }
        Ok(text)
    }

    pub(crate) fn packet_identifier(&mut self) -> Result<u16, Violation> {
        match self.two_byte()? {
            0 => Err(Violation::protocol("packet identifier 0 [MQTT-2.2.1-4]")),
            identifier => Ok(identifier),
        }
    }

    /// Everything that is left.
    pub(crate) fn rest(self) -> Bytes {
        self.body.slice(self.at..self.end)
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.at == self.end
    }

    /// A body ends with its last field.
    pub(crate) fn finish(self) -> Result<(), Violation> {
        if self.is_empty() {
            return Ok(());
        }
        Err(Violation::malformed("bytes are left over after the last field"))
    }

    fn take(&mut self, length: usize) -> Result<Range<usize>, Violation> {
        if length > self.end - self.at {
            return Err(TRUNCATED);
        }
        let start = self.at;
        self.at += length;
        Ok(start..self.at)
    }
}
