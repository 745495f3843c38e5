//! Deterministic random numbers, and packets made of them.
use bytes::Bytes;
use bytestring::ByteString;
use remqtt_proto::wire::*;

/// SplitMix64. Its own few lines, so that a seed means the same packets for ever.
pub(crate) struct Random(pub(crate) u64);

impl Random {
    pub(crate) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mixed = (self.0 ^ self.0 >> 30).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        let mixed = (mixed ^ mixed >> 27).wrapping_mul(0x94D0_49BB_1331_11EB);
        mixed ^ mixed >> 31
    }

    /// A number below `limit`, which is not 0.
    pub(crate) fn below(&mut self, limit: usize) -> usize {
        (self.next() % limit as u64) as usize
    }

    pub(crate) fn one_in(&mut self, chances: usize) -> bool {
        self.below(chances) == 0
    }

    pub(crate) fn pick<T: Copy>(&mut self, from: &[T]) -> T {
        from[self.below(from.len())]
    }

    pub(crate) fn identifier(&mut self) -> u16 {
        1 + self.below(65_535) as u16
    }

    /// Lengths around one and two length bytes come up often enough to matter.
    fn length(&mut self) -> usize {
        let limit = self.pick(&[1, 8, 8, 8, 40, 200]);
        self.below(limit)
    }

    pub(crate) fn binary(&mut self) -> Bytes {
        (0..self.length()).map(|_| self.next() as u8).collect()
    }

    /// Any string without U+0000.
    pub(crate) fn text(&mut self) -> ByteString {
        let length = self.length();
        let text: String =
            (0..length).map(|_| self.pick(&['a', 'Z', '/', ' ', '\u{1}', 'é', '水', '🦀'])).collect();
        text.into()
    }

    /// A topic name: not empty, no wildcard.
    pub(crate) fn topic(&mut self) -> ByteString {
        format!("t{}", self.text()).into()
    }

    pub(crate) fn qos(&mut self) -> QoS {
        self.pick(&[QoS::AtMostOnce, QoS::AtLeastOnce, QoS::ExactlyOnce])
    }

    /// Properties of these identifiers in this order, each with a chance of one half; user properties repeat.
    pub(crate) fn properties(&mut self, ids: &[PropertyId]) -> Properties {
        let mut properties = Properties::new();
        for id in ids {
            let several = if *id == PropertyId::UserProperty { 3 } else { 1 };
            for _ in 0..self.below(several + 1) {
                properties.push(*id, self.value(*id));
            }
        }
        if properties.find(PropertyId::AuthenticationMethod).is_none() {
            properties.remove(PropertyId::AuthenticationData);
        }
        properties
    }

    fn value(&mut self, id: PropertyId) -> PropertyValue {
        match id.row().kind {
            PropertyKind::Byte => PropertyValue::Byte(self.below(2) as u8),
            PropertyKind::TwoByte => PropertyValue::TwoByte(self.identifier()),
            PropertyKind::FourByte => PropertyValue::FourByte((self.next() as u32).max(1)),
            PropertyKind::Variable => {
                let limit = self.pick(&[127, 16_383, 268_435_455]);
                PropertyValue::Variable(1 + self.below(limit) as u32)
            }
            PropertyKind::Text if id == PropertyId::ResponseTopic => PropertyValue::Text(self.topic()),
            PropertyKind::Text => PropertyValue::Text(self.text()),
            PropertyKind::Binary => PropertyValue::Binary(self.binary()),
            PropertyKind::Pair => PropertyValue::Pair(self.text(), self.text()),
        }
    }

    pub(crate) fn publish(&mut self, properties: Properties) -> Publish {
        Publish {
            topic: self.topic(),
            payload: self.binary(),
            qos: self.qos(),
            retain: self.one_in(2),
            properties,
        }
    }

    /// Identifier and DUP as they go with this publish.
    pub(crate) fn transmission(&mut self, publish: &Publish) -> (Option<u16>, bool) {
        match publish.qos {
            QoS::AtMostOnce => (None, false),
            _ => (Some(self.identifier()), self.one_in(2)),
        }
    }
}
