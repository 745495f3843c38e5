//! What went by on the wire, to one subscriber or from one publisher. With it a missing message is put down to the right side: never offered by the
//! broker, or offered and not delivered by the client. Likewise a message that came twice.

use std::collections::{HashMap, HashSet};

use crate::packet::{kind, Framer};

#[derive(Debug, Default)]
pub(crate) struct Tap {
    /// When each sequence number was made available to the receiver: its PUBLISH, or its PUBREL at QoS 2.
    offers: HashMap<u64, Vec<Offer>>,
    /// The identifier under which a QoS 2 message came first: a resend must repeat it [MQTT-4.4.0-1].
    identifiers: HashMap<u64, u16>,
    in_flight: HashMap<u16, u64>,
    renumbered: HashSet<u64>,
    /// The framer of the newest connection, and when that began.
    framer: Framer,
    connection: u64,
}

#[derive(Debug, Clone, Copy)]
struct Offer {
    stamp: u64,
    /// When the connection began that carried it.
    connection: u64,
}

impl Tap {
    /// Bytes on their way from the sender of the messages to their receiver, on the connection that began at `connection`.
    pub(crate) fn pass(&mut self, connection: u64, stamp: u64, bytes: &[u8]) {
        if connection != self.connection {
            self.framer = Framer::default();
            self.connection = connection;
        }
        self.framer.push(bytes);
        let offer = Offer { stamp, connection };
        for frame in self.framer.frames() {
            match (frame.kind(), frame.seq()) {
                (kind::PUBLISH, Some(seq)) => {
                    self.offers.entry(seq).or_default().push(offer);
                    if frame.qos() == 2 {
                        self.in_flight.insert(frame.id(), seq);
                        if *self.identifiers.entry(seq).or_insert(frame.id()) != frame.id() {
                            self.renumbered.insert(seq);
                        }
                    }
                }
                (kind::PUBREL, _) => {
                    if let Some(seq) = self.in_flight.get(&frame.id()) {
                        self.offers.entry(*seq).or_default().push(offer);
                    }
                }
                _ => {}
            }
        }
    }

    pub(crate) fn offered(&self, seq: u64) -> bool {
        self.offers.contains_key(&seq)
    }

    /// Was the message that the application saw at `seen` put on the wire after `back`, on a connection that began at
    /// `began` or later? Bytes that lay in a buffer when the link broke prove nothing about the way back.
    pub(crate) fn offered_after(&self, seq: u64, back: u64, began: u64, seen: u64) -> bool {
        let offers = self.offers.get(&seq).into_iter().flatten();
        let last = offers.filter(|offer| offer.stamp <= seen).max_by_key(|offer| offer.stamp);
        last.is_some_and(|offer| offer.stamp > back && offer.connection >= began)
    }

    /// Sent again by the broker under another identifier: no receiver can know it for the same.
    pub(crate) fn doubled_by_broker(&self, seq: u64) -> bool {
        self.renumbered.contains(&seq)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::packet::{ack, publish};

    #[test]
    fn a_message_counts_as_offered_again_when_its_pubrel_goes_by() {
        let mut tap = Tap::default();
        tap.pass(1, 10, &publish(3, "t", 2, 77, 0, 16));
        tap.pass(2, 30, &ack(kind::PUBREL, 3));
        assert!(tap.offered_after(77, 20, 2, 40) && !tap.offered_after(77, 20, 2, 25));
    }

    #[test]
    fn a_message_on_a_connection_that_the_fault_is_about_to_cut_does_not_count_as_a_recovery() {
        let mut tap = Tap::default();
        tap.pass(5, 21, &publish(3, "t", 1, 77, 0, 16));
        assert!(!tap.offered_after(77, 20, 20, 40));
    }

    #[test]
    fn a_resend_under_another_identifier_is_the_brokers_fault() {
        let mut tap = Tap::default();
        tap.pass(1, 10, &publish(3, "t", 2, 77, 0, 16));
        tap.pass(2, 30, &publish(4, "t", 2, 77, 0, 16));
        assert!(tap.doubled_by_broker(77));
    }
}
