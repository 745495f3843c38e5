//! What a client sent. Strict: whatever the specification forbids a client is an error here.

use super::{Coding, Kind, Packet, Value, PROPERTIES};

type Result<T> = std::result::Result<T, String>;

/// The length of the first packet in `buffer`, or `None` while its header is not complete.
pub fn frame(buffer: &[u8]) -> Result<Option<usize>> {
    let mut length = 0usize;
    for (at, byte) in buffer.iter().skip(1).enumerate() {
        if at == 4 {
            return Err("a remaining length of more than four bytes".into());
        }
        length |= usize::from(byte & 0x7F) << (7 * at);
        if byte & 0x80 == 0 {
            if at > 0 && *byte == 0 {
                return Err("a remaining length that is not minimal".into());
            }
            return Ok(Some(2 + at + length));
        }
    }
    Ok(None)
}

/// Decodes one whole packet of a client that speaks this protocol level.
pub fn decode(level: u8, packet: &[u8]) -> Result<Packet> {
    let kind = Kind::numbered(packet[0] >> 4).ok_or("packet type 0")?;
    let body = 1 + packet[1..].iter().position(|byte| byte & 0x80 == 0).ok_or("no length")? + 1;
    let mut reader = Reader { rest: &packet[body..], level };
    let decoded = reader.packet(kind, packet[0] & 0x0F).map_err(|error| format!("{kind}: {error}"))?;
    if !reader.rest.is_empty() {
        return Err(format!("{kind}: {} bytes too many", reader.rest.len()));
    }
    Ok(decoded)
}

struct Reader<'a> {
    rest: &'a [u8],
    level: u8,
}

impl<'a> Reader<'a> {
    fn packet(&mut self, kind: Kind, flags: u8) -> Result<Packet> {
        let fixed = match kind {
            Kind::Pubrel | Kind::Subscribe | Kind::Unsubscribe => 2,
            _ => 0,
        };
        if kind != Kind::Publish && flags != fixed {
            return Err(format!("flags {flags:#x}"));
        }
        match kind {
            Kind::Connect => self.connect(),
            Kind::Publish => self.publish(flags),
            Kind::Puback | Kind::Pubrec | Kind::Pubrel | Kind::Pubcomp => self.ack(kind),
            Kind::Subscribe | Kind::Unsubscribe => self.filters(kind),
            Kind::Pingreq => Ok(Packet::new(kind)),
            Kind::Disconnect => self.reason(kind),
            Kind::Auth if self.level == 5 => self.reason(kind),
            _ => Err("not for a client to send".into()),
        }
    }

    fn connect(&mut self) -> Result<Packet> {
        if self.binary()? != b"MQTT" {
            return Err("protocol name".into());
        }
        let level = self.byte()?;
        if level != self.level {
            return Err(format!("protocol level {level} where {} was expected", self.level));
        }
        let (flags, keepalive) = (self.byte()?, self.two()?);
        if flags & 1 != 0 || flags & 0x18 == 0x18 || (flags & 4 == 0 && flags & 0x38 != 0) {
            return Err(format!("connect flags {flags:#x}")); // [MQTT-3.1.2-3], [MQTT-3.1.2-14] and so on
        }
        if level == 4 && flags & 0xC0 == 0x40 {
            return Err("a password without a user name".into()); // [MQTT-3.1.2-22]
        }
        let mut packet = Packet::new(Kind::Connect)
            .with("level", level.into())
            .with("clean", u64::from(flags >> 1 & 1))
            .with("keepalive", keepalive.into());
        self.properties(&mut packet)?;
        packet = packet.with_bytes("client_id", self.text()?.as_bytes());
        packet = packet.with("will", u64::from(flags >> 2 & 1));
        if flags & 4 != 0 {
            packet = packet.with("will_qos", u64::from(flags >> 3 & 3));
            packet = packet.with("will_retain", u64::from(flags >> 5 & 1));
            self.properties(&mut packet)?;
            packet = packet.with_bytes("will_topic", topic(self.text()?)?.as_bytes());
            packet = packet.with_bytes("will_payload", self.binary()?);
        }
        if flags & 0x80 != 0 {
            packet = packet.with_bytes("username", self.text()?.as_bytes());
        }
        if flags & 0x40 != 0 {
            packet = packet.with_bytes("password", self.binary()?);
        }
        Ok(packet)
    }

    fn publish(&mut self, flags: u8) -> Result<Packet> {
        let qos = flags >> 1 & 3;
        if qos == 3 || (qos == 0 && flags & 8 != 0) {
            return Err(format!("flags {flags:#x}")); // [MQTT-3.3.1-4], [MQTT-3.3.1-2]
        }
        let mut packet = Packet::new(Kind::Publish)
            .with("qos", qos.into())
            .with("dup", u64::from(flags >> 3))
            .with("retain", u64::from(flags & 1))
            .with_bytes("topic", self.text()?.as_bytes());
        if qos > 0 {
            packet = packet.with("id", self.identifier()?.into());
        }
        self.properties(&mut packet)?;
        if !(packet.bytes("topic").is_empty() && packet.find("alias").is_some()) {
            topic(std::str::from_utf8(packet.bytes("topic")).unwrap_or_default())?;
        }
        let payload = std::mem::take(&mut self.rest);
        Ok(packet.with_bytes("payload", payload))
    }

    fn ack(&mut self, kind: Kind) -> Result<Packet> {
        let mut packet = Packet::new(kind).with("id", self.identifier()?.into());
        if self.level == 5 && !self.rest.is_empty() {
            packet = packet.with("rc", self.byte()?.into());
            if !self.rest.is_empty() {
                self.properties(&mut packet)?;
            }
        }
        Ok(packet)
    }

    fn filters(&mut self, kind: Kind) -> Result<Packet> {
        let mut packet = Packet::new(kind).with("id", self.identifier()?.into());
        self.properties(&mut packet)?;
        let mut filters = Vec::new();
        while !self.rest.is_empty() {
            let filter = self.text()?;
            if filter.is_empty() {
                return Err("an empty filter".into()); // [MQTT-4.7.3-1]
            }
            filters.push(match kind {
                Kind::Subscribe => format!("{filter}{}", self.subscription_options()?),
                _ => filter.to_string(),
            });
        }
        if filters.is_empty() {
            return Err("no filter".into()); // [MQTT-3.8.3-3]
        }
        Ok(packet.with_bytes("filters", filters.join(",").as_bytes()))
    }

    fn subscription_options(&mut self) -> Result<String> {
        let options = self.byte()?;
        let allowed = if self.level == 5 { 0x3F } else { 0x03 };
        if options & !allowed != 0 || options & 3 == 3 || options & 0x30 == 0x30 {
            return Err(format!("subscription options {options:#x}"));
        }
        let mut text = format!(":{}", options & 3);
        for (bits, name) in [(0x04, ":nl"), (0x08, ":rap"), (0x10, ":rh1"), (0x20, ":rh2")] {
            if options & bits != 0 {
                text += name;
            }
        }
        Ok(text)
    }

    fn reason(&mut self, kind: Kind) -> Result<Packet> {
        let mut packet = Packet::new(kind);
        if self.level == 5 && !self.rest.is_empty() {
            packet = packet.with("rc", self.byte()?.into());
            if !self.rest.is_empty() {
                self.properties(&mut packet)?;
            }
        }
        Ok(packet)
    }

    fn properties(&mut self, packet: &mut Packet) -> Result<()> {
        if self.level != 5 {
            return Ok(());
        }
        let length = self.variable()? as usize;
        let mut block = Reader { rest: self.take(length)?, level: self.level };
        let first = packet.fields.len();
        while !block.rest.is_empty() {
            let id = block.byte()?;
            let &(_, name, coding) =
                PROPERTIES.iter().find(|row| row.0 == id).ok_or_else(|| format!("property {id:#x}"))?;
            let repeats = matches!(name, "user" | "subscription_id");
            if !repeats && packet.fields[first..].iter().any(|(have, _)| *have == name) {
                return Err(format!("property {name} twice"));
            }
            packet.fields.push((name, block.value(coding)?));
        }
        Ok(())
    }

    fn value(&mut self, coding: Coding) -> Result<Value> {
        Ok(match coding {
            Coding::Byte => Value::Number(self.byte()?.into()),
            Coding::TwoByte => Value::Number(self.two()?.into()),
            Coding::FourByte => Value::Number(u64::from(self.two()?) << 16 | u64::from(self.two()?)),
            Coding::Variable => Value::Number(self.variable()?.into()),
            Coding::Text => Value::Bytes(self.text()?.into()),
            Coding::Binary => Value::Bytes(self.binary()?.into()),
            Coding::Pair => Value::Bytes(format!("{}={}", self.text()?, self.text()?).into()),
        })
    }

    fn take(&mut self, length: usize) -> Result<&'a [u8]> {
        let (taken, rest) = self.rest.split_at_checked(length).ok_or("the packet ends too early")?;
        self.rest = rest;
        Ok(taken)
    }

    fn byte(&mut self) -> Result<u8> {
        Ok(self.take(1)?[0])
    }

    fn two(&mut self) -> Result<u16> {
        let bytes = self.take(2)?;
        Ok(u16::from_be_bytes([bytes[0], bytes[1]]))
    }

    fn identifier(&mut self) -> Result<u16> {
        match self.two()? {
            0 => Err("packet identifier 0".into()), // [MQTT-2.2.1-3]
            id => Ok(id),
        }
    }

    fn variable(&mut self) -> Result<u32> {
        let mut value = 0;
        for shift in [0, 7, 14, 21] {
            let byte = self.byte()?;
            value |= u32::from(byte & 0x7F) << shift;
            if byte & 0x80 == 0 {
                return Ok(value);
            }
        }
        Err("a variable byte integer of five bytes".into())
    }

    fn binary(&mut self) -> Result<&'a [u8]> {
        let length = self.two()?;
        self.take(length.into())
    }

    fn text(&mut self) -> Result<&'a str> {
        let text = std::str::from_utf8(self.binary()?).map_err(|_| "text that is not UTF-8")?;
        if text.contains('\0') {
            return Err("U+0000 in text".into()); // [MQTT-1.5.4-2]
        }
        Ok(text)
    }
}

fn topic(topic: &str) -> Result<&str> {
    if topic.is_empty() || topic.contains(['+', '#']) {
        return Err(format!("topic name {topic:?}")); // [MQTT-3.3.2-2]
    }
    Ok(topic)
}
