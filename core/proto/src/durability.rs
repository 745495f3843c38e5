//! What being durable means for the application: publishes that are complete with it, messages that are delivered with
//! it, and what an earlier process had left unfinished.

use crate::command::Ticket;
use crate::engine::Engine;
use crate::error::{Error, ErrorCode};
use crate::event::{Event, Message, Outcome, Token};
use crate::journal::{Lsn, Recovery};
use crate::wire::Properties;

impl Engine {
    /// Gives the application what an earlier process had acknowledged and the application not finished with.
    pub(crate) fn redeliver(&mut self, recovery: &mut Recovery) {
        let epoch = recovery.numbered.epoch;
        let resume_after = self.options.resume_after.parse::<Token>().ok();
        let finished = resume_after.filter(|token| token.epoch == epoch).map_or(0, |token| token.sequence);
        for (sequence, arrived) in std::mem::take(&mut recovery.arrived) {
            let mut message = Message {
                publish: arrived.publish.clone(),
                raw_topic: None,
                dup: false,
                delivery: None,
                token: Some(Token { epoch, sequence }),
                redelivered: true,
            };
            let delivery = self.session.inbound.recover_kept(sequence, &arrived, message.weight());
            if sequence <= finished {
                self.session.inbound.finish(delivery, &mut self.session.journal);
                continue;
            }
            message.delivery = Some(delivery);
            self.stats.received_messages += 1;
            self.emit(Event::Message(message));
        }
    }

    /// Bytes of received messages that are stored, or about to be, and that the application has not finished with. A
    /// driver stops reading when they are too many.
    pub fn unfinished_bytes(&self) -> usize {
        self.session.inbound.kept_weight()
    }

    pub(crate) fn persisted(&mut self, lsn: Lsn) {
        self.session.journal.persisted(lsn);
        self.stored();
        while self.arriving.front().is_some_and(|(lsn, _)| self.session.journal.is_durable(*lsn)) {
            let event = self.arriving.pop_front().map(|(_, event)| event);
            event.into_iter().for_each(|event| self.emit(event));
        }
        if self.store_failure.take().is_some() {
            self.emit(Event::Store(None));
        }
    }

    /// Tells the application once this change is durable, and not before what waits already.
    pub(crate) fn emit_after(&mut self, lsn: Lsn, event: Event) {
        match self.arriving.is_empty() && self.session.journal.is_durable(lsn) {
            true => self.emit(event),
            false => self.arriving.push_back((lsn, event)),
        }
    }

    pub(crate) fn stored(&mut self) {
        while let Some((lsn, ticket, is_publish)) = self.syncs.front().copied() {
            if !self.session.journal.is_durable(lsn) {
                return;
            }
            self.syncs.pop_front();
            match self.fsynced.get_mut(&ticket) {
                Some(durable) => *durable = true,
                None if is_publish => continue, // dropped before
                None => {}
            }
            self.complete(ticket, if is_publish { Outcome::Durable } else { Outcome::Stored });
        }
    }

    /// What rests on the journal waits of itself; what is new is refused, so that nothing is accepted and then lost.
    pub(crate) fn persist_failed(&mut self, error: Error) {
        if error.code == ErrorCode::StoreDamaged {
            self.session.journal.promise_again();
        }
        // A disk that goes on refusing is told of once, and rows that are lost meanwhile are news.
        let before = self.store_failure.replace(error.clone());
        if before.is_none_or(|before| before.code != error.code) {
            self.emit(Event::Store(Some(error)));
        }
    }

    /// Why publishes of QoS 1 and 2 are refused at present: the store cannot be written.
    pub fn store_failure(&self) -> Option<&Error> {
        self.store_failure.as_ref()
    }

    pub(crate) fn published(&mut self, ticket: Ticket, reason_code: u8, properties: Properties) {
        self.stats.published += 1;
        if self.fsynced.remove(&ticket) != Some(true) {
            self.complete(ticket, Outcome::Published(reason_code, properties));
        }
    }

    pub(crate) fn publish_failed(&mut self, ticket: Ticket, error: Error, properties: Properties) {
        self.stats.failed += 1;
        match self.fsynced.remove(&ticket) {
            Some(true) if error.code == ErrorCode::Closed => {} // the next client of the store sends it
            Some(true) => {
                let detail = format!("publish {ticket}, which was durable, is given up: {}", error.detail);
                self.emit(Event::Store(Some(Error { detail: detail.into(), ..error })));
            }
            _ => self.complete(ticket, Outcome::Failed(error, properties)),
        }
    }
}
