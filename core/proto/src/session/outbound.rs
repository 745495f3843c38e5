//! Outgoing publishes: one list, in the order in which they were accepted.
//!
//! ```text
//! Waiting --first sending--> Sent --PUBREC--> Released --PUBCOMP--> gone
//!    ^                        |  \--PUBACK--> gone        (QoS 1)
//!    '---- session lost ------'                (QoS 0 leaves the list when it is written)
//! ```
//!
//! Publishes are sent in list order, so everything in flight stands before everything that waits. A link walks the
//! list once with a cursor of its own: what it meets in flight it sends again, with DUP or as PUBREL, and what waits
//! it sends for the first time. "Resend first, in the original order" [MQTT-4.4.0-1, MQTT-4.6.0-1] therefore needs
//! no code of its own, and a session that was lost only turns `Sent` back into `Waiting`.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use crate::command::Ticket;
use crate::journal::{Journal, Lsn, StoredPublish};
use crate::options::{Options, WhenFull};
use crate::time::Instant;
use crate::wire::{PropertyId, Publish, QoS, Version};

/// Place of an item in the list.
pub(crate) type Place = u64;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Phase {
    /// Not sent in this session.
    Waiting,
    /// Sent under this identifier; its PUBACK or PUBREC is missing.
    Sent(u16),
    /// QoS 2: PUBREC received, so only PUBREL may be sent; PUBCOMP is missing.
    Released(u16),
}

#[derive(Debug)]
pub(crate) struct Item {
    pub(crate) ticket: Ticket,
    pub(crate) publish: Publish,
    pub(crate) phase: Phase,
    /// When the message expires, if it does.
    pub(crate) expires: Option<Instant>,
    /// The journal has it.
    pub(crate) kept: bool,
    /// Bytes of it were handed to a link in this session, so that every further PUBLISH of it carries DUP.
    pub(crate) written: bool,
    /// The change of the journal that its next packet rests on.
    pub(crate) lsn: Lsn,
}

impl Item {
    fn size(&self) -> usize {
        self.publish.topic.len() + self.publish.payload.len()
    }
}

/// What became of a publish that was offered to the list.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Admission {
    Accepted,
    /// Accepted at the price of these, oldest first.
    Displaced(Vec<Ticket>),
    Refused,
    /// Accepted and dropped at once.
    DroppedNewest,
}

#[derive(Debug)]
pub(crate) struct Outbound {
    items: BTreeMap<Place, Item>,
    by_identifier: BTreeMap<u16, Place>,
    expiries: BTreeSet<(Instant, Place)>,
    next_place: Place,
    /// No item before this place is `Waiting`.
    first_waiting: Place,
    waiting: usize,
    waiting_bytes: usize,
    most: usize,
    most_bytes: usize,
    when_full: WhenFull,
    version: Version,
    lost_session_dup: bool,
}

impl Outbound {
    pub(crate) fn new(options: &Options) -> Self {
        Outbound {
            items: BTreeMap::new(),
            by_identifier: BTreeMap::new(),
            expiries: BTreeSet::new(),
            next_place: 0,
            first_waiting: 0,
            waiting: 0,
            waiting_bytes: 0,
            most: options.backlog_messages,
            most_bytes: options.backlog_bytes,
            when_full: options.backlog_when_full,
            version: options.protocol_version,
            lost_session_dup: options.lost_session_dup,
        }
    }

    pub(crate) fn reconfigure(&mut self, options: &Options) {
        self.most = options.backlog_messages;
        self.most_bytes = options.backlog_bytes;
        self.when_full = options.backlog_when_full;
        self.version = options.protocol_version;
        self.lost_session_dup = options.lost_session_dup;
    }

    /// Takes up what an earlier process left behind. Bytes of what was in flight may have left.
    pub(crate) fn recover(&mut self, place: Place, stored: StoredPublish, expires: Option<Instant>) {
        let StoredPublish { ticket, publish, phase, .. } = stored;
        let written = phase != Phase::Waiting || publish.is_aliased();
        let item = Item { ticket, publish, phase, expires, kept: true, written, lsn: 0 };
        self.next_place = self.next_place.max(place + 1);
        match phase {
            Phase::Waiting => {
                self.waiting += 1;
                self.waiting_bytes += item.size();
                self.expiries.extend(expires.map(|at| (at, place)));
            }
            Phase::Sent(identifier) | Phase::Released(identifier) => {
                self.by_identifier.insert(identifier, place);
            }
        }
        self.items.insert(place, item);
    }

    pub(crate) fn accept(
        &mut self,
        now: Instant,
        ticket: Ticket,
        publish: Publish,
        kept: bool,
        journal: &mut Journal,
    ) -> Admission {
        let expires = publish
            .properties
            .number(PropertyId::MessageExpiryInterval)
            .map(|seconds| now + Duration::from_secs(u64::from(seconds)));
        let phase = Phase::Waiting;
        let mut item = Item { ticket, publish, phase, expires, kept, written: false, lsn: 0 };
        let size = item.size();
        if size > self.most_bytes || self.most == 0 {
            return Admission::Refused;
        }
        let mut displaced = Vec::new();
        while self.waiting + 1 > self.most || self.waiting_bytes.saturating_add(size) > self.most_bytes {
            match self.when_full {
                WhenFull::Refuse => return Admission::Refused,
                WhenFull::DropNewest => return Admission::DroppedNewest,
                WhenFull::DropOldest => match self.oldest_waiting() {
                    Some(place) => displaced.extend(self.remove(place, journal).map(|item| item.ticket)),
                    None => return Admission::Refused,
                },
            }
        }
        let place = self.next_place;
        self.next_place += 1;
        self.expiries.extend(expires.map(|at| (at, place)));
        self.waiting += 1;
        self.waiting_bytes += size;
        if kept {
            item.lsn = journal.publish(self.version, place, &item);
        }
        self.items.insert(place, item);
        if displaced.is_empty() {
            Admission::Accepted
        } else {
            Admission::Displaced(displaced)
        }
    }

    /// The first item at or after `cursor`.
    pub(crate) fn next(&self, cursor: Place) -> Option<(Place, &Item)> {
        self.items.range(cursor..).next().map(|(place, item)| (*place, item))
    }

    fn oldest_waiting(&self) -> Option<Place> {
        self.items
            .range(self.first_waiting..)
            .find(|(_, item)| item.phase == Phase::Waiting)
            .map(|(place, _)| *place)
    }

    /// The item at `place` is to leave for the first time, under this identifier (none for QoS 0, which is then gone).
    pub(crate) fn sent(&mut self, place: Place, identifier: Option<u16>, journal: &mut Journal) {
        self.first_waiting = self.first_waiting.max(place + 1);
        let Some(identifier) = identifier else {
            self.remove(place, journal);
            return;
        };
        if let Some(item) = self.items.get_mut(&place) {
            self.waiting -= 1;
            self.waiting_bytes -= item.size();
            item.phase = Phase::Sent(identifier);
            item.lsn = if item.kept { journal.flight(place, item.phase) } else { 0 };
            self.expiries.remove(&(item.expires.unwrap_or_default(), place));
            self.by_identifier.insert(identifier, place);
        }
    }

    /// The item in flight under this identifier.
    pub(crate) fn in_flight(&self, identifier: u16) -> Option<(Place, &Item)> {
        let place = *self.by_identifier.get(&identifier)?;
        self.items.get(&place).map(|item| (place, item))
    }

    /// PUBREC arrived: from here on this identifier is only released. [MQTT-4.3.3-4]
    pub(crate) fn release(&mut self, place: Place, identifier: u16, journal: &mut Journal) -> Lsn {
        let Some(item) = self.items.get_mut(&place) else { return 0 };
        if item.phase != Phase::Released(identifier) {
            item.phase = Phase::Released(identifier);
            item.lsn = journal.flight(place, item.phase);
        }
        item.lsn
    }

    /// A packet of the item at `place` is in bytes for the link.
    pub(crate) fn written(&mut self, place: Place) {
        if let Some(item) = self.items.get_mut(&place) {
            item.written = true;
        }
    }

    /// Takes an item out of the list, whatever its phase.
    pub(crate) fn remove(&mut self, place: Place, journal: &mut Journal) -> Option<Item> {
        let item = self.items.remove(&place)?;
        if item.kept {
            journal.publish_complete(place, item.phase);
        }
        match item.phase {
            Phase::Waiting => {
                self.waiting -= 1;
                self.waiting_bytes -= item.size();
                self.expiries.remove(&(item.expires.unwrap_or_default(), place));
            }
            Phase::Sent(identifier) | Phase::Released(identifier) => {
                self.by_identifier.remove(&identifier);
            }
        }
        Some(item)
    }

    /// The server lost the session: everything in flight waits again, as new and in its place. Gives the
    /// identifiers that are free now. A QoS 2 message that was released may have been delivered already; nobody can
    /// know, and losing it would be worse.
    pub(crate) fn forget_flights(&mut self, journal: &mut Journal) -> Vec<u16> {
        let freed: Vec<(u16, Place)> = std::mem::take(&mut self.by_identifier).into_iter().collect();
        for (_, place) in &freed {
            if let Some(item) = self.items.get_mut(place) {
                item.phase = Phase::Waiting;
                // What means nothing on another link must still be known there.
                item.written &= self.lost_session_dup || item.publish.is_aliased();
                item.lsn = if item.kept { journal.flight(*place, item.phase) } else { 0 };
                self.waiting += 1;
                self.waiting_bytes += item.size();
                self.expiries.extend(item.expires.map(|at| (at, *place)));
            }
        }
        self.first_waiting = 0;
        freed.into_iter().map(|(identifier, _)| identifier).collect()
    }

    /// Everything in flight, first sent first.
    pub(crate) fn flights(&self) -> Vec<Place> {
        let mut places: Vec<Place> = self.by_identifier.values().copied().collect();
        places.sort_unstable();
        places
    }

    /// The oldest publish that was sent and neither acknowledged nor released.
    pub(crate) fn first_flight(&self) -> Option<Place> {
        let first = self.by_identifier.values().copied().min()?;
        self.items
            .get(&first)
            .filter(|item| matches!(item.phase, Phase::Sent(_)) && item.written)
            .map(|_| first)
    }

    /// Every place of the list, for giving up.
    pub(crate) fn places(&self) -> Vec<Place> {
        self.items.keys().copied().collect()
    }

    /// Takes out one message that expired while it waited.
    pub(crate) fn expire(&mut self, now: Instant, journal: &mut Journal) -> Option<Ticket> {
        let &(at, place) = self.expiries.first()?;
        if at > now {
            return None;
        }
        self.remove(place, journal).map(|item| item.ticket)
    }

    pub(crate) fn next_expiry(&self) -> Option<Instant> {
        self.expiries.first().map(|(at, _)| *at)
    }

    /// The place that the next accepted publish will get.
    pub(crate) fn end(&self) -> Place {
        self.next_place
    }

    pub(crate) fn waiting(&self) -> (usize, usize) {
        (self.waiting, self.waiting_bytes)
    }

    pub(crate) fn in_flight_count(&self) -> usize {
        self.by_identifier.len()
    }
}

/// The message expiry interval to send: what is left of it, and never less than a second, because a message is only
/// sent while it has not expired.
pub(crate) fn count_down(publish: &Publish, expires: Option<Instant>, now: Instant) -> Option<u32> {
    let total = publish.properties.number(PropertyId::MessageExpiryInterval)?;
    let left = expires?.since(now);
    Some((left.as_secs() + u64::from(left.subsec_nanos() > 0)).clamp(1, u64::from(total.max(1))) as u32)
}

/// Whether a publish needs an identifier.
pub(crate) fn needs_identifier(publish: &Publish) -> bool {
    publish.qos != QoS::AtMostOnce
}
