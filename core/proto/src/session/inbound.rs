//! Incoming QoS 1 and 2 messages between their PUBLISH and their last acknowledgement.
//!
//! A QoS 2 message is delivered on PUBLISH, not on PUBREL (method B of the specification's figure 4.3): the
//! application has it one round trip earlier, and nothing is lost when the process dies between PUBREC and PUBREL.
//!
//! ```text
//! PUBLISH -> Delivered --application is done--> Owed --handed to the link--> QoS 1: gone
//!                                                                           QoS 2: Received --PUBREL--> gone
//! ```
//!
//! As long as no acknowledgement was handed to a link, a server cannot have reused the identifier, so a PUBLISH with
//! DUP and that identifier is the same message: it is answered, not delivered again. That is certain for QoS 2
//! [MQTT-4.3.3-10]; for QoS 1 it spares duplicates that the specification would allow. The other way round, an
//! acknowledgement of an earlier link is never sent on a new one before the server has sent the message again.
//!
//! A message that the journal *keeps* is owed its acknowledgement at once; the application's being done with it only ends
//! its row. While that row is there it also says that the identifier of a QoS 2 message is taken: one row for both, so
//! that no death can come between them.

use std::collections::BTreeMap;

use crate::command::Delivery;
use crate::journal::{Arrived, Journal, Lsn};
use crate::session::window::Window;
use crate::wire::{Publish, QoS};

/// Tells messages apart where an identifier alone cannot. Different messages may have the same one, very rarely.
pub(crate) type Fingerprint = u64;

/// Of topic and payload: these are the same at a redelivery, while properties may count down.
pub(crate) fn fingerprint(publish: &Publish) -> Fingerprint {
    // Not against an attacker: whoever can forge messages needs no collision. So quick is enough.
    let mix = |sum: u64, word: u64| (sum ^ word).wrapping_mul(0x9E37_79B9_7F4A_7C15).rotate_left(29);
    let mut sum = publish.topic.len() as u64;
    for bytes in [publish.topic.as_bytes(), &publish.payload] {
        let mut words = bytes.chunks_exact(8);
        for word in &mut words {
            sum = mix(sum, word.iter().fold(0, |word, byte| word << 8 | u64::from(*byte)));
        }
        sum = words.remainder().iter().fold(mix(sum, 0xFF), |sum, byte| mix(sum, u64::from(*byte)));
    }
    sum
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Stage {
    Delivered,
    /// The application is done, with this reason code; the link has not sent it yet.
    Owed(u8),
    /// QoS 2: PUBREC was handed to the link.
    Received,
}

#[derive(Debug)]
struct Entry {
    serial: u32,
    qos: QoS,
    stage: Stage,
    /// The server sent this message on the current link, so its acknowledgement may be sent there.
    on_link: bool,
    /// The server may have begun a new session unseen since it sent this message, and know nothing of it. Lasts over
    /// any number of links, until the server sends the message again.
    doubtful: bool,
    fingerprint: Fingerprint,
    /// The change of the journal that its acknowledgement rests on.
    lsn: Lsn,
}

/// A message in the journal that the application has not finished with.
#[derive(Debug)]
struct Kept {
    sequence: u64,
    identifier: u16,
    weight: usize,
    /// A second row says that its identifier is free again.
    released: bool,
}

/// What to do with a PUBLISH.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Arrival {
    /// Give it to the application under this delivery.
    Deliver(Delivery),
    /// It is a redelivery; the application has it.
    Suppress,
    /// It is a redelivery; the application is done with it, so its acknowledgement is due.
    Acknowledge(Delivery),
}

/// What a PUBREL found.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Release {
    /// Its identifier is free, once this change is durable.
    Known(Lsn),
    /// Nothing under this identifier: answered with 0x92 on MQTT 5, and no error. [MQTT-4.3.3-11]
    Unknown,
}

#[derive(Debug, Default)]
pub(crate) struct Inbound {
    entries: BTreeMap<u16, Entry>,
    /// By the serial of their delivery.
    kept: Window<Kept>,
    kept_weight: usize,
    serial: u32,
}

impl Inbound {
    pub(crate) fn arrive(
        &mut self,
        identifier: u16,
        qos: QoS,
        dup: bool,
        fingerprint: Fingerprint,
    ) -> Arrival {
        if let Some(entry) = self.entries.get_mut(&identifier) {
            // A QoS 2 identifier stays taken until PUBREL, whatever DUP says; some servers resend without it. Where
            // the session is in doubt only the same message with DUP is the old one: to take a new message for an
            // old one would lose it.
            let old = match entry.doubtful {
                true => dup && entry.fingerprint == fingerprint,
                false => dup || qos == QoS::ExactlyOnce,
            };
            if entry.qos == qos && old {
                entry.doubtful = false;
                let known_here = std::mem::replace(&mut entry.on_link, true);
                let delivery = Delivery { packet_identifier: identifier, serial: entry.serial };
                return match entry.stage {
                    Stage::Delivered => Arrival::Suppress,
                    Stage::Owed(_) if known_here => Arrival::Suppress, // its acknowledgement is on its way
                    Stage::Owed(_) => Arrival::Acknowledge(delivery),
                    Stage::Received => {
                        entry.stage = Stage::Owed(0);
                        Arrival::Acknowledge(delivery)
                    }
                };
            }
        }
        self.serial = self.serial.wrapping_add(1);
        let (serial, stage, on_link, doubtful) = (self.serial, Stage::Delivered, true, false);
        let entry = Entry { serial, qos, stage, on_link, doubtful, fingerprint, lsn: 0 };
        self.entries.insert(identifier, entry);
        Arrival::Deliver(Delivery { packet_identifier: identifier, serial: self.serial })
    }

    /// An earlier process had finished with the QoS 2 message under this identifier.
    pub(crate) fn recover(&mut self, identifier: u16, fingerprint: Fingerprint) {
        self.serial = self.serial.wrapping_add(1);
        let (serial, qos, stage) = (self.serial, QoS::ExactlyOnce, Stage::Received);
        let (on_link, doubtful) = (false, true);
        self.entries.insert(identifier, Entry { serial, qos, stage, on_link, doubtful, fingerprint, lsn: 0 });
    }

    /// The journal keeps a message that has just arrived, so that its acknowledgement is due as soon as that is durable.
    pub(crate) fn keep(&mut self, delivery: Delivery, sequence: u64, weight: usize, lsn: Lsn) {
        let identifier = delivery.packet_identifier;
        let Some(entry) = self.entries.get_mut(&identifier) else { return };
        (entry.stage, entry.lsn) = (Stage::Owed(0), lsn);
        self.kept.push(delivery.serial, Kept { sequence, identifier, weight, released: false });
        self.kept_weight += weight;
    }

    /// An earlier process kept this message.
    pub(crate) fn recover_kept(&mut self, sequence: u64, arrived: &Arrived, weight: usize) -> Delivery {
        let identifier = arrived.identifier;
        let released = arrived.released;
        match arrived.publish.qos {
            QoS::ExactlyOnce if !released => self.recover(identifier, fingerprint(&arrived.publish)),
            _ => self.serial = self.serial.wrapping_add(1),
        }
        self.kept.push(self.serial, Kept { sequence, identifier, weight, released });
        self.kept_weight += weight;
        Delivery { packet_identifier: identifier, serial: self.serial }
    }

    /// The application is done with a kept message. False: it is none.
    pub(crate) fn finish(&mut self, delivery: Delivery, journal: &mut Journal) -> bool {
        let Some(kept) = self.kept.remove(delivery.serial) else { return false };
        self.kept_weight -= kept.weight;
        // The identifier may be taken for longer than the message is kept.
        let entry = self.entries.get(&kept.identifier).filter(|entry| entry.serial == delivery.serial);
        let taken = entry.filter(|entry| entry.qos == QoS::ExactlyOnce).map(|entry| entry.fingerprint);
        if let Some(fingerprint) = taken {
            journal.received(kept.identifier, Some(fingerprint));
        }
        journal.arrived_finished(kept.sequence, kept.released);
        true
    }

    /// What the messages weigh that the journal keeps.
    pub(crate) fn kept_weight(&self) -> usize {
        self.kept_weight
    }

    /// The identifier of a QoS 2 message is free: the change that says so.
    fn free(&mut self, identifier: u16, serial: u32, journal: &mut Journal) -> Lsn {
        match self.kept.get_mut(serial) {
            Some(kept) => {
                kept.released = true;
                journal.arrived_released(kept.sequence)
            }
            None => journal.received(identifier, None),
        }
    }

    /// The application is done with a delivery. True: its acknowledgement is due on the current link.
    pub(crate) fn done(&mut self, delivery: Delivery, reason_code: u8, journal: &mut Journal) -> bool {
        let identifier = delivery.packet_identifier;
        match self.entries.get_mut(&identifier) {
            Some(entry) if entry.serial == delivery.serial && entry.stage == Stage::Delivered => {
                entry.stage = Stage::Owed(reason_code);
                if entry.qos == QoS::ExactlyOnce && reason_code < 0x80 {
                    entry.lsn = journal.received(identifier, Some(entry.fingerprint));
                }
                entry.on_link
            }
            _ => false,
        }
    }

    /// The delivery under this identifier.
    pub(crate) fn delivery(&self, packet_identifier: u16) -> Option<Delivery> {
        let serial = self.entries.get(&packet_identifier)?.serial;
        Some(Delivery { packet_identifier, serial })
    }

    /// What the acknowledgement of this delivery rests on; 0 also where none is owed any more.
    pub(crate) fn rests_on(&self, delivery: Delivery) -> Lsn {
        let entry = self.entries.get(&delivery.packet_identifier);
        entry.filter(|entry| entry.serial == delivery.serial).map_or(0, |entry| entry.lsn)
    }

    /// An acknowledgement is handed to the link: what to send. `None` if it is not owed any more.
    pub(crate) fn hand_over(&mut self, delivery: Delivery) -> Option<(QoS, u8)> {
        let identifier = delivery.packet_identifier;
        let entry = self.entries.get_mut(&identifier).filter(|entry| entry.serial == delivery.serial)?;
        let Stage::Owed(reason_code) = entry.stage else { return None };
        let qos = entry.qos;
        // A PUBREC with a failure ends the exchange: no PUBREL follows. [MQTT5 4.3.3]
        if qos == QoS::ExactlyOnce && reason_code < 0x80 {
            entry.stage = Stage::Received;
        } else {
            self.entries.remove(&identifier);
        }
        Some((qos, reason_code))
    }

    pub(crate) fn released(&mut self, identifier: u16, journal: &mut Journal) -> Release {
        match self.entries.get(&identifier) {
            Some(entry) if entry.qos == QoS::ExactlyOnce => {
                let serial = entry.serial;
                self.entries.remove(&identifier);
                Release::Known(self.free(identifier, serial, journal))
            }
            _ => Release::Unknown,
        }
    }

    /// The link is gone: nothing is acknowledged before the server has sent it again.
    pub(crate) fn link_lost(&mut self) {
        for entry in self.entries.values_mut() {
            entry.on_link = false;
        }
    }

    /// A new link resumes a session that may not be ours.
    pub(crate) fn doubt(&mut self) {
        for entry in self.entries.values_mut() {
            entry.doubtful = true;
        }
    }

    /// The server forgot the session: the same identifier is a new message now.
    pub(crate) fn forget(&mut self, journal: &mut Journal) {
        for (identifier, entry) in std::mem::take(&mut self.entries) {
            if entry.qos == QoS::ExactlyOnce {
                self.free(identifier, entry.serial, journal);
            }
        }
    }

    pub(crate) fn len(&self) -> usize {
        self.entries.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn delivered(arrival: Arrival) -> Delivery {
        match arrival {
            Arrival::Deliver(delivery) => delivery,
            other => panic!("not delivered: {other:?}"),
        }
    }

    #[test]
    fn a_redelivery_of_a_qos_1_message_that_was_never_acknowledged_is_not_delivered_again() {
        let mut inbound = Inbound::default();
        let first = delivered(inbound.arrive(5, QoS::AtLeastOnce, false, 0));
        inbound.link_lost();
        assert!(!inbound.done(first, 0, &mut Journal::default()), "the new link has not seen it yet");
        assert_eq!(inbound.arrive(5, QoS::AtLeastOnce, true, 0), Arrival::Acknowledge(first));
        assert_eq!(inbound.hand_over(first), Some((QoS::AtLeastOnce, 0)));
    }

    #[test]
    fn after_its_acknowledgement_left_a_qos_1_identifier_is_a_new_message_even_with_dup() {
        let mut inbound = Inbound::default();
        let first = delivered(inbound.arrive(5, QoS::AtLeastOnce, false, 0));
        assert!(inbound.done(first, 0, &mut Journal::default()));
        inbound.hand_over(first);
        inbound.link_lost();
        let second = delivered(inbound.arrive(5, QoS::AtLeastOnce, true, 0));
        assert_ne!(first, second);
    }

    #[test]
    fn an_acknowledgement_never_hits_a_later_message_with_the_same_identifier() {
        let mut inbound = Inbound::default();
        let old = delivered(inbound.arrive(5, QoS::AtLeastOnce, false, 0));
        inbound.forget(&mut Journal::default());
        let new = delivered(inbound.arrive(5, QoS::AtLeastOnce, false, 0));
        assert!(!inbound.done(old, 0, &mut Journal::default()));
        assert!(inbound.done(new, 0, &mut Journal::default()));
    }

    #[test]
    fn in_a_doubtful_session_dup_does_not_make_another_message_the_old_one() {
        let mut inbound = Inbound::default();
        let first = delivered(inbound.arrive(9, QoS::ExactlyOnce, false, 1));
        inbound.done(first, 0, &mut Journal::default());
        inbound.link_lost();
        inbound.doubt();
        delivered(inbound.arrive(9, QoS::ExactlyOnce, true, 2));
    }

    #[test]
    fn a_qos_2_message_is_delivered_once_until_its_release() {
        let mut inbound = Inbound::default();
        let first = delivered(inbound.arrive(9, QoS::ExactlyOnce, false, 0));
        inbound.done(first, 0, &mut Journal::default());
        inbound.hand_over(first);
        inbound.link_lost();
        assert_eq!(inbound.arrive(9, QoS::ExactlyOnce, true, 0), Arrival::Acknowledge(first));
        inbound.hand_over(first);
        assert_eq!(inbound.released(9, &mut Journal::default()), Release::Known(0));
        assert_eq!(inbound.released(9, &mut Journal::default()), Release::Unknown);
        delivered(inbound.arrive(9, QoS::ExactlyOnce, false, 0));
    }
}
