//! What a store holds, in words and numbers for people and their programs.

use std::fmt::{self, Display, Formatter, Write};

use bytes::Bytes;
use bytestring::ByteString;

use super::Recovery;
use crate::event::Token;
use crate::session::Phase;
use crate::wire::Publish;

/// Something that a store holds: what kind of thing, and its fields. Displayed as a JSON object in one line of ASCII, the
/// kind first, bytes as hexadecimal digits.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Record {
    /// `session`, `publish`, `message` (received, and the application has not finished with it), `identifier` (of a
    /// received QoS 2 message, taken until its PUBREL), `subscription`.
    pub kind: &'static str,
    /// Name and value of each field.
    pub fields: Vec<(&'static str, Field)>,
}

/// A value of a record.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Field {
    /// A number.
    Number(u64),
    /// Yes or no.
    Flag(bool),
    /// Text.
    Text(ByteString),
    /// Bytes.
    Bytes(Bytes),
}

impl Display for Record {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        write!(f, "{{\"kind\": \"{}\"", self.kind)?;
        for (name, field) in &self.fields {
            write!(f, ", \"{name}\": ")?;
            match field {
                Field::Number(number) => write!(f, "{number}")?,
                Field::Flag(flag) => write!(f, "{flag}")?,
                Field::Text(text) => quoted(f, text)?,
                Field::Bytes(bytes) => write!(f, "\"{bytes:x}\"")?,
            }
        }
        f.write_char('}')
    }
}

/// A JSON string.
fn quoted(f: &mut Formatter<'_>, text: &str) -> fmt::Result {
    f.write_char('"')?;
    for letter in text.chars() {
        match letter {
            '"' | '\\' => write!(f, "\\{letter}")?,
            ' '..='~' => f.write_char(letter)?,
            _ => letter.encode_utf16(&mut [0; 2]).iter().try_for_each(|unit| write!(f, "\\u{unit:04x}"))?,
        }
    }
    f.write_char('"')
}

impl Recovery {
    /// Everything that was read, in the order in which it matters to a client.
    pub fn records(&self) -> Vec<Record> {
        let mut records = Vec::new();
        if !self.client_id.is_empty() {
            let fields = vec![
                ("client_id", Field::Text(self.client_id.clone())),
                ("outlives_connection", Field::Flag(self.outlives)),
                ("last_ticket", Field::Number(self.promised)),
            ];
            records.push(Record { kind: "session", fields });
        }
        for stored in self.publishes.values() {
            let (phase, identifier) = match stored.phase {
                Phase::Waiting => ("waiting", 0),
                Phase::Sent(identifier) => ("sent", identifier),
                Phase::Released(identifier) => ("released", identifier),
            };
            let mut fields = vec![("ticket", Field::Number(stored.ticket)), ("phase", text(phase))];
            fields.push(("packet_identifier", Field::Number(identifier.into())));
            if let Some(expiry) = stored.expiry {
                fields.push(("expires_unix_ms", Field::Number(expiry.unsigned_abs())));
            }
            fields.extend(publish(&stored.publish));
            records.push(Record { kind: "publish", fields });
        }
        for (sequence, arrived) in &self.arrived {
            let token = Token { sequence: *sequence, ..self.numbered }.to_string();
            let mut fields = vec![("token", Field::Text(token.into()))];
            fields.push(("packet_identifier", Field::Number(arrived.identifier.into())));
            fields.extend(publish(&arrived.publish));
            records.push(Record { kind: "message", fields });
        }
        for identifier in self.received.keys() {
            let fields = vec![("packet_identifier", Field::Number((*identifier).into()))];
            records.push(Record { kind: "identifier", fields });
        }
        for stored in &self.wanted {
            let wanted = &stored.subscription;
            let fields = vec![
                ("filter", Field::Text(wanted.filter.clone())),
                ("qos", Field::Number(wanted.qos as u64)),
                ("no_local", Field::Flag(wanted.no_local)),
                ("retain_as_published", Field::Flag(wanted.retain_as_published)),
                ("retain_handling", Field::Number(wanted.retain_handling.into())),
            ];
            records.push(Record { kind: "subscription", fields });
        }
        records
    }
}

fn text(text: &'static str) -> Field {
    Field::Text(ByteString::from_static(text))
}

fn publish(publish: &Publish) -> [(&'static str, Field); 4] {
    [
        ("topic", Field::Text(publish.topic.clone())),
        ("qos", Field::Number(publish.qos as u64)),
        ("retain", Field::Flag(publish.retain)),
        ("payload", Field::Bytes(publish.payload.clone())),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_record_is_displayed_as_json_in_one_line_of_ascii() {
        let fields = vec![
            ("ticket", Field::Number(u64::MAX)),
            ("retain", Field::Flag(true)),
            ("topic", Field::Text("a \"b\" \\ \n\u{7f}é𝄞".into())),
            ("payload", Field::Bytes(Bytes::from_static(&[0, 0x7f, 0xff]))),
        ];
        assert_eq!(
            Record { kind: "publish", fields }.to_string(),
            r#"{"kind": "publish", "ticket": 18446744073709551615, "retain": true, "#.to_owned()
                + r#""topic": "a \"b\" \\ \u000a\u007f\u00e9\ud834\udd1e", "payload": "007fff"}"#
        );
    }
}
