//! State that lives as long as the MQTT session and outlives every link.

mod identifiers;
mod inbound;
mod outbound;
mod subscriptions;

pub(crate) use identifiers::Identifiers;
pub(crate) use inbound::{Arrival, Inbound, Release};
pub(crate) use outbound::{count_down, needs_identifier, Admission, Item, Outbound, Phase, Place};
pub(crate) use subscriptions::{Request, RequestKind, Subscriptions};

use bytestring::ByteString;

use crate::options::Options;

/// The session that the server of the last accepted connection holds for us.
#[derive(Debug)]
pub(crate) struct Held {
    pub(crate) client_id: ByteString,
    /// It outlives its connection.
    pub(crate) kept: bool,
}

/// Everything that a link must not take with it when it dies.
#[derive(Debug)]
pub(crate) struct Session {
    pub(crate) identifiers: Identifiers,
    pub(crate) outbound: Outbound,
    pub(crate) inbound: Inbound,
    pub(crate) subscriptions: Subscriptions,
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
            identifiers: Identifiers::default(),
            outbound: Outbound::new(options),
            inbound: Inbound::default(),
            subscriptions: Subscriptions::default(),
            held: None,
            doubtful: false,
            started_clean: false,
        }
    }
}
