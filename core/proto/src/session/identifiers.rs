//! Packet identifiers of everything that this client starts: publishes, subscribes and unsubscribes share one space,
//! so an identifier in use by one is never given to another. [MQTT-2.2.1-3]

use std::collections::BTreeSet;

use crate::command::Ticket;

/// How many identifiers there are: 1 to 65,535.
const SPACE: u64 = 65_535;

#[derive(Debug, Default)]
pub(crate) struct Identifiers {
    used: BTreeSet<u16>,
    /// Those of `used` whose operation was given up, while the server's session may still know of it.
    withheld: Vec<u16>,
}

impl Identifiers {
    /// The ticket's own number if it is free, else the next free one upwards; `None` when all are in use.
    pub(crate) fn take(&mut self, ticket: Ticket) -> Option<u16> {
        let preferred = (ticket.wrapping_sub(1) % SPACE) as u16 + 1;
        self.claim((preferred..=u16::MAX).chain(1..preferred))
    }

    /// An identifier for a request of our own, from the far end, so that it rarely meets a ticket's number.
    pub(crate) fn take_own(&mut self) -> Option<u16> {
        self.claim((1..=u16::MAX).rev())
    }

    /// An earlier process had this one in use.
    pub(crate) fn recover(&mut self, identifier: u16) {
        self.used.insert(identifier);
    }

    fn claim(&mut self, mut candidates: impl Iterator<Item = u16>) -> Option<u16> {
        if self.used.len() as u64 == SPACE {
            return None;
        }
        candidates.find(|identifier| self.used.insert(*identifier))
    }

    /// The operation is given up, and its identifier stays taken as long as the session.
    pub(crate) fn withhold(&mut self, identifier: u16) {
        self.withheld.push(identifier);
    }

    /// The server forgot the session, and with it what was given up.
    pub(crate) fn session_lost(&mut self) {
        for identifier in std::mem::take(&mut self.withheld) {
            self.used.remove(&identifier);
        }
    }

    /// The operation is complete, or the session it belonged to is gone.
    pub(crate) fn give_back(&mut self, identifier: u16) {
        self.used.remove(&identifier);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_identifier_is_the_number_of_its_ticket_while_that_is_free() {
        let mut identifiers = Identifiers::default();
        assert_eq!(identifiers.take(1), Some(1));
        assert_eq!(identifiers.take(65_535), Some(65_535));
        assert_eq!(identifiers.take(65_536), Some(2), "1 is in use, so the next free one");
        identifiers.give_back(1);
        assert_eq!(identifiers.take(65_536), Some(1));
    }

    #[test]
    fn all_identifiers_can_be_in_use_and_then_there_is_none() {
        let mut identifiers = Identifiers::default();
        let taken: BTreeSet<u16> = (1..=65_535).filter_map(|ticket| identifiers.take(ticket)).collect();
        assert_eq!(taken.len(), 65_535);
        assert_eq!((identifiers.take(7), identifiers.take_own()), (None, None));
        identifiers.give_back(40_000);
        assert_eq!(identifiers.take(7), Some(40_000));
    }
}
