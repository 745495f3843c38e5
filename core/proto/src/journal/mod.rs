//! The journal: what of a session must outlive its process.
//!
//! The engine's third kind of I/O, disk, is data like the other two. Every change of the session that matters is a
//! [`Change`] of a small table of rows; the driver writes changes in their order, as many at once as it likes, and
//! reports how far they are durable. Until then the engine holds back the bytes that rest on them:
//!
//! | packet | leaves when this is durable |
//! |---|---|
//! | PUBLISH, QoS 1 and 2 | the message and its packet identifier |
//! | PUBREL | that only PUBREL may be sent from here on |
//! | PUBREC | the identifier of the message, which the application has finished with |
//! | PUBACK, PUBREC with `acknowledge = stored` | the message, which the application has not finished with |
//! | PUBCOMP | that this identifier is free again |
//! | SUBSCRIBE, UNSUBSCRIBE | that the filters are wanted, or not any more |
//!
//! So whatever a server knows of us, the table knows too, and a process that dies at any moment is followed by one
//! that goes on. What is only *removed* (a message that was acknowledged) is written with the next batch: at worst it
//! is sent again, which the protocol allows for.
//!
//! An engine without a store keeps no journal: every change is number 0, and 0 is durable.

mod key;
mod record;
mod row;

use std::collections::VecDeque;

use bytes::Bytes;
use bytestring::ByteString;

use crate::command::Ticket;
use crate::event::Token;
use crate::session::{Fingerprint, Item, Phase, Place};
use crate::time::Instant;
use crate::wire::{Properties, Publish, Subscription, Version};

pub use key::Key;
pub use record::{Field, Record};
pub use row::Recovery;
pub(crate) use row::{Arrived, StoredPublish, StoredSubscription};

/// The number of a change. Changes become durable in the order of their numbers.
pub type Lsn = u64;

/// The version of the rows. A store that holds another one cannot be read by this library.
pub const ROW_FORMAT: u32 = 1;

/// One row is written or removed. A row that is removed may never have been there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Change {
    /// Names the row.
    pub key: Key,
    /// What it is to hold; `None` removes it.
    pub value: Option<Bytes>,
}

/// Room for so many changes, at most, is made at once where the driver took as many the last time.
const ROOM: usize = 1_024;

/// Tickets of stored publishes and the numbers of received messages are promised to be unique over restarts; the promise
/// is written once for so many of them.
const PROMISE: u64 = 4_096;

#[derive(Debug, Default)]
pub(crate) struct Journal {
    kept: bool,
    noted: Lsn,
    durable: Lsn,
    /// Noted and not yet given to the driver. It has no room while it is empty: most clients are idle.
    changes: VecDeque<(Lsn, Change)>,
    /// How many changes the driver took since there were none, and how many the time before.
    taken: (usize, usize),
    /// Tickets up to this one are promised.
    promised: Ticket,
    /// The number of the last received message that is kept; those up to the second are promised.
    numbered: (Token, u64),
    /// Milliseconds since 1970 at `Instant(0)`: an expiry must mean the same moment to the next process.
    origin: i64,
}

impl Journal {
    /// A journal that is kept, beginning where an earlier process ended.
    pub(crate) fn kept(recovery: &Recovery, now: Instant, unix_ms: i64) -> Self {
        let (promised, numbered) = (recovery.promised, recovery.numbered);
        let origin = unix_ms - (now.0 / 1_000_000) as i64;
        let numbered = (numbered, numbered.sequence);
        let mut journal = Journal { kept: true, promised, numbered, origin, ..Journal::default() };
        if recovery.distrusted {
            journal.promise_again();
        }
        journal
    }

    /// The store lost rows, and may have an older promise: it gets this one again.
    pub(crate) fn promise_again(&mut self) {
        let (promised, (token, numbered)) = (self.promised, self.numbered);
        if promised > 0 {
            self.note(|_| row::tickets(promised));
        }
        if numbered > 0 {
            self.note(|_| row::numbers(Token { sequence: numbered, ..token }));
        }
    }

    pub(crate) fn is_kept(&self) -> bool {
        self.kept
    }

    /// From here on nothing is noted: the rows stay as they are, for the next process.
    pub(crate) fn leave(&mut self) {
        self.kept = false;
    }

    pub(crate) fn poll(&mut self) -> Option<(Lsn, Change)> {
        let change = self.changes.pop_front();
        match change {
            Some(_) => self.taken.0 += 1,
            None if self.changes.capacity() > 0 => {
                self.changes = VecDeque::new();
                self.taken = (0, self.taken.0.min(ROOM));
            }
            None => {}
        }
        change
    }

    /// Everything up to `lsn` is durable.
    pub(crate) fn persisted(&mut self, lsn: Lsn) {
        self.durable = self.durable.max(lsn.min(self.noted));
    }

    /// The last change, whatever it was.
    pub(crate) fn noted(&self) -> Lsn {
        self.noted
    }

    pub(crate) fn is_durable(&self, lsn: Lsn) -> bool {
        lsn <= self.durable
    }

    pub(crate) fn expiry(&self, at: Instant) -> i64 {
        self.origin.saturating_add((at.0 / 1_000_000) as i64)
    }

    pub(crate) fn session(&mut self, client_id: &ByteString, outlives: bool) -> Lsn {
        self.note(|_| row::session(client_id, outlives))
    }

    /// A publish is accepted. QoS 0 is worth no row: it may be lost at any time.
    pub(crate) fn publish(&mut self, version: Version, place: Place, item: &Item) -> Lsn {
        if self.kept && item.ticket > self.promised {
            self.promised = item.ticket + PROMISE;
            let promised = self.promised;
            self.note(|_| row::tickets(promised));
        }
        self.note(|journal| row::publish(version, place, item, item.expires.map(|at| journal.expiry(at))))
    }

    /// A publish is in flight, or is only released from here on.
    pub(crate) fn flight(&mut self, place: Place, phase: Phase) -> Lsn {
        self.note(|_| row::flight(place, phase))
    }

    /// The message first: without its flight it would be taken for one that was never sent.
    pub(crate) fn publish_complete(&mut self, place: Place, phase: Phase) {
        self.note(|_| row::no_publish(place));
        if phase != Phase::Waiting {
            self.flight(place, Phase::Waiting);
        }
    }

    /// The application has finished with a QoS 2 message, or its identifier is free again.
    pub(crate) fn received(&mut self, packet_identifier: u16, taken: Option<Fingerprint>) -> Lsn {
        self.note(|_| row::received(packet_identifier, taken))
    }

    /// A message is to be acknowledged before the application has finished with it. `None`: it is too large for a row,
    /// or there is no journal.
    pub(crate) fn arrived(&mut self, identifier: u16, publish: &Publish) -> Option<(Token, Lsn)> {
        if !self.kept {
            return None;
        }
        let (mut token, mut promised) = self.numbered;
        token.sequence += 1;
        let change = row::arrived(token.sequence, identifier, publish)?;
        if token.sequence > promised {
            promised = token.sequence + PROMISE;
            self.note(|_| row::numbers(Token { sequence: promised, ..token }));
        }
        self.numbered = (token, promised);
        Some((token, self.note(|_| change)))
    }

    /// The PUBREL of a kept message of QoS 2 has come, and its identifier is free; or the server forgot it.
    pub(crate) fn arrived_released(&mut self, sequence: u64) -> Lsn {
        self.note(|_| row::arrived_released(sequence, true))
    }

    /// The application has finished with a kept message. The message first: without the second row it would hold its
    /// identifier again.
    pub(crate) fn arrived_finished(&mut self, sequence: u64, released: bool) {
        self.note(|_| row::no_arrived(sequence));
        if released {
            self.note(|_| row::arrived_released(sequence, false));
        }
    }

    pub(crate) fn wanted(
        &mut self,
        filter: &ByteString,
        wanted: Option<(u64, &Subscription, &Properties)>,
    ) -> Lsn {
        self.note(|_| row::wanted(filter, wanted))
    }

    fn note(&mut self, change: impl FnOnce(&Journal) -> Change) -> Lsn {
        if !self.kept {
            return 0;
        }
        let change = change(self);
        self.noted += 1;
        if self.changes.is_empty() {
            self.changes.reserve(self.taken.1);
        }
        self.changes.push_back((self.noted, change));
        self.noted
    }
}
