//! Gaps in sequences: what a server threw away while we were gone leaves no other trace.
//!
//! A publisher that counts its messages, in a user property or at the beginning of the payload, lets us see what is
//! missing. A number is expected to be one more than the last of its topic. None of these is a gap: a redelivery (the
//! same number or a smaller one), a retained message (it is old by nature), a publisher that begins again with 0 or 1,
//! and the first message of a topic.

use bytestring::ByteString;
use std::collections::BTreeMap;

use crate::options::Options;
use crate::wire::{PropertyId, PropertyValue, Publish};

/// Topics that are followed. Those beyond are not: a server could fill our memory with them.
const TOPICS: usize = 4_096;

/// Messages of a topic that never came.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Gap {
    /// The topic.
    pub topic: ByteString,
    /// The number that should have come.
    pub expected: u64,
    /// The one that came.
    pub got: u64,
}

impl Gap {
    /// How many messages are missing.
    pub fn missing(&self) -> u64 {
        self.got.saturating_sub(self.expected)
    }
}

#[derive(Debug)]
struct Stream {
    last: u64,
    /// The last number before the publisher seemed to begin again: it may have been a redelivery without DUP.
    before: Option<u64>,
}

#[derive(Debug, Default)]
pub(crate) struct Sequences(BTreeMap<ByteString, Stream>);

impl Sequences {
    /// Takes note of a message that is new to the application, and tells what should have come before it.
    pub(crate) fn arrived(&mut self, options: &Options, publish: &Publish, dup: bool) -> Option<Gap> {
        let got = number(options, publish).filter(|_| !publish.retain)?;
        let Some(stream) = self.0.get_mut(&publish.topic) else {
            if self.0.len() < TOPICS {
                // A copy of its own: the received topic shares its allocation with the payload.
                let topic: &str = &publish.topic;
                self.0.insert(ByteString::from(topic), Stream { last: got, before: None });
            }
            return None;
        };
        let follows = |last: u64| last.checked_add(1) == Some(got);
        let expected = stream.last.saturating_add(1);
        if follows(stream.last) {
            stream.last = got;
            None
        } else if got > stream.last {
            let continued = stream.before.take().is_some_and(follows);
            stream.last = got;
            (!continued).then(|| Gap { topic: publish.topic.clone(), expected, got })
        } else {
            if got <= 1 && !dup && got < stream.last {
                *stream = Stream { last: got, before: Some(stream.last) };
            }
            None
        }
    }
}

/// The message's number in the sequence of its topic, if it has one.
fn number(options: &Options, publish: &Publish) -> Option<u64> {
    let name = &options.sequence_property;
    if !name.is_empty() {
        let property = publish.properties.iter().find_map(|(id, value)| match value {
            PropertyValue::Pair(have, value) if *id == PropertyId::UserProperty && have == name => {
                Some(value)
            }
            _ => None,
        });
        return property.and_then(|value| value.parse().ok());
    }
    if !options.sequence_in_payload {
        return None;
    }
    let digits = publish.payload.iter().take(20).take_while(|byte| byte.is_ascii_digit()).count();
    std::str::from_utf8(&publish.payload[..digits]).ok()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::{Properties, QoS};

    /// What is missing before each of these messages; a number with `d` has DUP, one with `r` is retained.
    fn missing(messages: &[&'static str]) -> Vec<u64> {
        let options = Options { sequence_in_payload: true, ..Options::default() };
        let mut sequences = Sequences::default();
        let gaps = messages.iter().map(|text| {
            let publish = Publish {
                topic: "t".into(),
                payload: text.as_bytes().into(),
                qos: QoS::AtLeastOnce,
                retain: text.ends_with('r'),
                properties: Properties::new(),
            };
            sequences.arrived(&options, &publish, text.ends_with('d')).map_or(0, |gap| gap.missing())
        });
        gaps.collect()
    }

    #[test]
    fn every_gap_is_seen() {
        assert_eq!(missing(&["5", "6", "9", "10", "110"]), [0, 0, 2, 0, 99]);
    }

    #[test]
    fn a_redelivery_is_no_gap_with_dup_or_without() {
        assert_eq!(missing(&["5", "6", "7", "6d", "7d", "8", "6", "7", "8", "9"]), [0; 10]);
        assert_eq!(missing(&["0", "1", "2", "3", "0", "4", "5"]), [0; 7]);
    }

    #[test]
    fn a_publisher_that_begins_again_leaves_no_gap() {
        assert_eq!(missing(&["7", "8", "0", "1", "2", "1", "2", "4"]), [0, 0, 0, 0, 0, 0, 0, 1]);
    }

    #[test]
    fn a_retained_message_and_one_without_a_number_say_nothing() {
        assert_eq!(missing(&["50r", "5", "6", "text", "100r", "7", ""]), [0; 7]);
    }

    #[test]
    fn the_number_may_be_a_user_property() {
        let options = Options { sequence_property: "n".into(), ..Options::default() };
        let mut sequences = Sequences::default();
        let mut gap = |value: &'static str| {
            let mut properties = Properties::new();
            properties.push(PropertyId::UserProperty, PropertyValue::Pair("m".into(), "0".into()));
            properties.push(PropertyId::UserProperty, PropertyValue::Pair("n".into(), value.into()));
            let (topic, payload, qos) = ("t".into(), "99".into(), QoS::AtMostOnce);
            sequences.arrived(&options, &Publish { topic, payload, qos, retain: false, properties }, false)
        };
        assert_eq!(gap("1"), None);
        assert_eq!(gap("4"), Some(Gap { topic: "t".into(), expected: 2, got: 4 }));
    }

    #[test]
    fn the_topics_of_a_hostile_server_do_not_fill_the_memory() {
        let options = Options { sequence_in_payload: true, ..Options::default() };
        let mut sequences = Sequences::default();
        for number in 0..2 * TOPICS {
            let topic = ByteString::from(number.to_string());
            let (payload, properties) = ("1".into(), Properties::new());
            let publish = Publish { topic, payload, qos: QoS::AtMostOnce, retain: false, properties };
            sequences.arrived(&options, &publish, false);
        }
        assert_eq!(sequences.0.len(), TOPICS);
    }
}
