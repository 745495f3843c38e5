//! State that lives as long as the MQTT session and outlives every link.

mod identifiers;
mod inbound;
mod outbound;
mod sequence;
mod subscriptions;
mod window;

pub(crate) use identifiers::Identifiers;
pub(crate) use inbound::{fingerprint, Arrival, Fingerprint, Inbound, Release};
pub(crate) use outbound::{count_down, needs_identifier, Admission, Item, Outbound, Phase, Place};
pub use sequence::Gap;
pub(crate) use sequence::Sequences;
pub(crate) use subscriptions::{Request, RequestKind, Subscriptions};

use bytestring::ByteString;

use crate::journal::{Journal, Recovery};
use crate::options::Options;

/// The session that the server of the last accepted connection holds for us.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Held {
    pub(crate) client_id: ByteString,
    /// It outlives its connection.
    pub(crate) kept: bool,
}

/// Everything that a link must not take with it when it dies.
#[derive(Debug)]
pub(crate) struct Session {
    pub(crate) journal: Journal,
    pub(crate) identifiers: Identifiers,
    pub(crate) outbound: Outbound,
    pub(crate) inbound: Inbound,
    pub(crate) subscriptions: Subscriptions,
    pub(crate) sequences: Sequences,
    pub(crate) held: Option<Held>,
    /// A CONNECT left and its CONNACK never came: the server may have begun a new session that the next CONNACK
    /// calls present.
    pub(crate) doubtful: bool,
    /// The clean start that was asked for has been done; on MQTT 5 it is not repeated.
    pub(crate) started_clean: bool,
}

impl Session {
    pub(crate) fn new(options: &Options) -> Self {
        Session {
            journal: Journal::default(),
            identifiers: Identifiers::default(),
            outbound: Outbound::new(options),
            inbound: Inbound::default(),
            subscriptions: Subscriptions::default(),
            sequences: Sequences::default(),
            held: None,
            doubtful: false,
            started_clean: false,
        }
    }
    /// Takes up what an earlier process left behind, publishes apart.
    pub(crate) fn recover(&mut self, recovery: Recovery, options: &Options) {
        for sequence in recovery.stray {
            self.journal.arrived_finished(sequence, true);
        }
        // These rows are younger than those of kept messages with the same identifier.
        for (identifier, fingerprint) in recovery.received {
            self.inbound.recover(identifier, fingerprint);
        }
        let mut wanted = recovery.wanted;
        wanted.sort_by_key(|stored| stored.order);
        wanted.into_iter().for_each(|stored| self.subscriptions.recover(stored));
        for place in recovery.landed {
            self.journal.flight(place, Phase::Waiting);
        }
        if recovery.client_id == options.client_id {
            // Its last CONNECT may have gone without an answer.
            self.doubtful = true;
            self.held = Some(Held { client_id: recovery.client_id, kept: recovery.outlives });
        } else {
            self.journal.session(&options.client_id, false);
        }
    }

    /// The server of the link that was just accepted holds this session for us.
    pub(crate) fn hold(&mut self, held: Held) {
        if self.held.as_ref() != Some(&held) {
            self.journal.session(&held.client_id, held.kept);
            self.held = Some(held);
        }
    }

    pub(crate) fn note_subscriptions(&mut self) {
        self.subscriptions.note(&mut self.journal);
    }
}
