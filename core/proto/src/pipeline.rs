//! One flight: CONNECT and the SUBSCRIBE that restores, without waiting for the CONNACK between them.
//!
//! MQTT allows it: a server that refuses the CONNECT ignores what follows [MQTT-3.1.4-6]. It spares a round trip where
//! the session turns out to be lost, and costs a packet where it does not, so it is done where a loss is to be
//! expected. On MQTT 5 only: there retain handling 1 repeats no retained message of a session that was kept. SUBSCRIBE
//! only: publishes depend on what the CONNACK says. Not with an authentication method, where nothing but AUTH may follow a
//! CONNECT [MQTT-3.1.2-30].
//!
//! What a server has shown is remembered for each: whether it keeps sessions over a restart and over a cut, and whether
//! a connection died that had more than a CONNECT on it.

use bytes::BytesMut;
use std::collections::BTreeMap;

use crate::engine::Engine;
use crate::link::{Link, LinkPhase};
use crate::options::LostSubscriptions;
use crate::server::Url;
use crate::session::Request;
use crate::time::Instant;
use crate::transmit::encode_request;
use crate::wire::Version;

/// More than this is not sent to a server that has not said how much it takes.
const LARGEST: usize = 64 << 10;
/// Servers that are remembered; references may lead to any number of them.
const SERVERS: usize = 64;

#[derive(Debug, Default)]
struct Manners {
    /// A connection with a SUBSCRIBE on it died before the CONNACK.
    refuses: bool,
    /// Whether the session was lost the last time, after a restart and after a mere cut.
    loses: [Option<bool>; 2],
}

#[derive(Debug, Default)]
pub(crate) struct Memory(BTreeMap<Url, Manners>);

impl Memory {
    fn of(&mut self, server: &Url) -> &mut Manners {
        if self.0.len() >= SERVERS && !self.0.contains_key(server) {
            self.0.clear();
        }
        self.0.entry(server.clone()).or_default()
    }
}

impl Engine {
    /// Sends the restoration behind the CONNECT, where that promises to be right.
    pub(crate) fn pipeline(&mut self, now: Instant) {
        let Some(link) = &self.link else { return };
        let ours = self.session.held.as_ref().is_some_and(|held| held.client_id == link.announced.client_id);
        let restores = self.options.lost_session_subscriptions == LostSubscriptions::Restore;
        let may = self.options.pipeline
            && link.version == Version::V5
            && ours
            && restores
            && link.announced.method.is_none()
            && !self.session.doubtful
            && self.session.subscriptions.is_restored_fully()
            && self.session.journal.is_durable(self.session.subscriptions.rests_on);
        if !may || !self.loss_is_expected(now) {
            return;
        }
        let requests = self.session.subscriptions.pipelined();
        if let Some(bytes) = self.restoration(&requests).filter(|_| !requests.is_empty()) {
            let Some(link) = &mut self.link else { return };
            link.control.extend_from_slice(&bytes.0);
            link.pipelined = true;
            for (identifier, request) in bytes.1.into_iter().zip(requests) {
                self.session.subscriptions.restoring_now(identifier, request);
            }
        }
    }

    /// The requests as bytes, and their identifiers.
    fn restoration(&mut self, requests: &[Request]) -> Option<(BytesMut, Vec<u16>)> {
        let (mut bytes, mut identifiers) = (BytesMut::new(), Vec::new());
        for request in requests {
            let written = self.session.identifiers.take_own().filter(|identifier| {
                identifiers.push(*identifier);
                let link = self.link.as_ref();
                link.is_some_and(|link| encode_request(link, *identifier, request, &mut bytes).is_ok())
            });
            if written.is_none() || bytes.len() > LARGEST {
                identifiers.iter().for_each(|identifier| self.session.identifiers.give_back(*identifier));
                return None;
            }
        }
        Some((bytes, identifiers))
    }

    fn loss_is_expected(&mut self, now: Instant) -> bool {
        let Some(held) = &self.session.held else { return false };
        let expiry = self.link.as_ref().map_or(0, |link| link.announced.session_expiry);
        let expired = expiry < u32::MAX && self.reconnect.outage(now).as_secs() > expiry.into();
        let (certain, restarted) = (!held.kept || expired, self.reconnect.found_nobody);
        let Some(link) = &self.link else { return false };
        let manners = self.memory.of(&link.way.server.url);
        let loses = manners.loses[usize::from(!restarted)].unwrap_or(restarted);
        !manners.refuses && (certain || loses)
    }

    /// The CONNACK says what became of a session that should have been there.
    pub(crate) fn learn(&mut self, lost: bool) {
        let restarted = self.reconnect.found_nobody;
        let Some(link) = &self.link else { return };
        self.memory.of(&link.way.server.url).loses[usize::from(!restarted)] = Some(lost);
    }

    /// The connection died between CONNECT and CONNACK. True if that may be for what followed the CONNECT: the next
    /// attempt may come at once, without it.
    pub(crate) fn blame_the_flight(&mut self, link: &Link) -> bool {
        let blamed = link.pipelined && link.phase == LinkPhase::Greeting;
        if blamed {
            self.memory.of(&link.way.server.url).refuses = true;
        }
        blamed
    }
}
