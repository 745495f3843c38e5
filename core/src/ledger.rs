//! Which operations are accepted and not complete, and how the last ones failed.
//!
//! Tickets come in order and mostly complete in order, so the open ones are bits in a window that slides along:
//! nothing is allocated for an idle client, and a few instructions for each publish.

use std::collections::VecDeque;

use remqtt_proto::{Error, Ticket};

/// Failures that are remembered for a later `wait`.
const FAILURES: usize = 1_024;
const BITS: u64 = u64::BITS as u64;

#[derive(Debug, Default)]
pub(crate) struct Ledger {
    /// One bit for each ticket, set while it is open. The first word is never 0.
    open: VecDeque<u64>,
    /// Number of the first word: ticket / 64.
    base: u64,
    failures: VecDeque<(Ticket, Error)>,
}

impl Ledger {
    /// Opens a ticket. False if it is open already.
    pub(crate) fn open(&mut self, ticket: Ticket) -> bool {
        let word = ticket / BITS;
        if self.open.is_empty() {
            self.base = word;
        }
        while word < self.base {
            self.open.push_front(0);
            self.base -= 1;
        }
        while word - self.base >= self.open.len() as u64 {
            self.open.push_back(0);
        }
        let bits = &mut self.open[(word - self.base) as usize];
        let fresh = *bits & bit(ticket) == 0;
        *bits |= bit(ticket);
        fresh
    }

    /// Closes a ticket. False if it was not open.
    pub(crate) fn close(&mut self, ticket: Ticket, failure: Option<Error>) -> bool {
        if !self.is_open(ticket) {
            return false;
        }
        self.open[(ticket / BITS - self.base) as usize] &= !bit(ticket);
        while self.open.front() == Some(&0) {
            self.open.pop_front();
            self.base += 1;
        }
        if self.open.is_empty() && self.open.capacity() > 64 {
            self.open = VecDeque::new();
        }
        if let Some(error) = failure {
            if self.failures.len() == FAILURES {
                self.failures.pop_front();
            }
            self.failures.push_back((ticket, error));
        }
        true
    }

    pub(crate) fn is_open(&self, ticket: Ticket) -> bool {
        let word = (ticket / BITS).checked_sub(self.base).and_then(|at| self.open.get(at as usize));
        word.is_some_and(|bits| bits & bit(ticket) != 0)
    }

    /// The oldest open ticket.
    pub(crate) fn first(&self) -> Option<Ticket> {
        self.open.front().map(|bits| self.base * BITS + u64::from(bits.trailing_zeros()))
    }

    /// Every open ticket, oldest first.
    pub(crate) fn all(&self) -> Vec<Ticket> {
        let words = self.open.iter().zip(self.base..);
        words
            .flat_map(|(bits, word)| (0..BITS).map(move |at| (bits >> at & 1, word * BITS + at)))
            .filter_map(|(open, ticket)| (open == 1).then_some(ticket))
            .collect()
    }

    /// How the operation failed, if it did and is remembered.
    pub(crate) fn failure(&self, ticket: Ticket) -> Option<&Error> {
        self.failures.iter().rev().find(|(failed, _)| *failed == ticket).map(|(_, error)| error)
    }
}

fn bit(ticket: Ticket) -> u64 {
    1 << (ticket % BITS)
}

#[cfg(test)]
mod tests {
    use remqtt_proto::ErrorCode;

    use super::*;

    #[test]
    fn tickets_open_and_close_in_any_order() {
        let mut ledger = Ledger::default();
        for ticket in [70, 1, 300, 64, 63] {
            assert!(ledger.open(ticket));
        }
        assert_eq!(ledger.all(), [1, 63, 64, 70, 300]);
        assert!(!ledger.open(70));
        for (ticket, first) in [(64, Some(1)), (1, Some(63)), (63, Some(70)), (300, Some(70)), (70, None)] {
            assert!(ledger.close(ticket, None));
            assert!(!ledger.is_open(ticket));
            assert_eq!(ledger.first(), first);
        }
        assert!(!ledger.close(70, None));
        assert!(!ledger.is_open(5));
    }

    #[test]
    fn a_long_run_of_tickets_leaves_no_memory_behind() {
        let mut ledger = Ledger::default();
        (1..100_000).for_each(|ticket| assert!(ledger.open(ticket)));
        (1..100_000).for_each(|ticket| assert!(ledger.close(ticket, None)));
        assert_eq!((ledger.first(), ledger.open.capacity()), (None, 0));
    }

    #[test]
    fn the_last_failures_are_remembered() {
        let mut ledger = Ledger::default();
        for ticket in 1..=FAILURES as u64 + 1 {
            ledger.open(ticket);
            ledger.close(ticket, Some(ErrorCode::Dropped.into()));
        }
        assert_eq!(ledger.failure(1), None);
        assert_eq!(ledger.failure(2).map(|error| error.code), Some(ErrorCode::Dropped));
    }
}
