//! Poison: a message that ends every connection on which it is sent, by us or to us.
//!
//! The session brings it back on the next connection, so nothing else would ever pass. What stood at the end of
//! `quarantine_after` connections in a row is *quarantined*: ours completes with `Quarantined`, theirs is acknowledged
//! (with an error where MQTT 5 lets us say so) and not handed over. The event carries the message, so that nothing is
//! lost silently.
//!
//! Of ours, the suspect is the oldest publish that the connection carried and the server did not acknowledge. It may be
//! innocent: the acknowledgement, or the network, may have been lost by chance. So from its second time on publishes go
//! out one at a time until a connection proves stable, and the suspect only after the connection has lived without it
//! for as long as it would have to live with it. A network that flaps ends connections before that, too.

use bytes::Bytes;

use crate::command::Ticket;
use crate::engine::Engine;
use crate::error::{Error, ErrorCode};
use crate::event::Event;
use crate::link::Link;
use crate::session::{fingerprint, Fingerprint, Phase, Place};
use crate::time::Instant;
use crate::wire::{self, Ack, AckKind, Properties, Publish, QoS, Version};
use std::time::Duration;

/// A connection that ends later than this after the message has another reason.
const AT_ONCE: Duration = Duration::from_secs(1);
/// MQTT 5 reason code: "implementation specific error".
const REASON: u8 = 0x83;

/// A message that was taken out of the traffic because it ended one connection after the other.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Quarantined {
    /// The publish of ours that it is; `None`: the server sent it.
    pub ticket: Option<Ticket>,
    /// The identifier under which the server sent it; 0 for one of ours.
    pub packet_identifier: u16,
    /// The message. Where it cannot be read the topic is empty and the payload is the packet, or its beginning if it is
    /// larger than we accept.
    pub publish: Publish,
    /// Whether `publish` is the message and not the bytes of its packet.
    pub readable: bool,
}

/// Names an inbound message: identifier and what it looks like.
pub(crate) type Sample = (u16, Fingerprint);

#[derive(Debug)]
struct Suspect<K> {
    key: Option<K>,
    times: u32,
}

impl<K: PartialEq + Copy> Suspect<K> {
    const NOBODY: Self = Suspect { key: None, times: 0 };

    /// It stood at the end of a connection.
    fn note(&mut self, key: K) {
        self.times = if self.key == Some(key) { self.times + 1 } else { 1 };
        self.key = Some(key);
    }

    fn is_convicted(&self, key: K, after: u16) -> bool {
        after > 0 && self.key == Some(key) && self.times >= after.into()
    }
}

#[derive(Debug)]
pub(crate) struct Poison {
    inbound: Suspect<Sample>,
    outbound: Suspect<Place>,
    /// Publishes go out one at a time.
    pub(crate) careful: bool,
}

impl Default for Poison {
    fn default() -> Self {
        Poison { inbound: Suspect::NOBODY, outbound: Suspect::NOBODY, careful: false }
    }
}

impl Poison {
    /// A message of the server stands at the end of this connection, and stood at the end of the one before.
    pub(crate) fn blames_theirs(&self, link: &Link) -> bool {
        link.sample.is_some_and(|(sample, _)| self.inbound.is_convicted(sample, 2))
    }

    /// A connection lasts: whoever was suspected is not what ends them.
    pub(crate) fn clear(&mut self) {
        *self = Poison::default();
    }
}

impl Engine {
    /// A connection has ended: looks for the message that may have been the reason.
    pub(crate) fn autopsy(&mut self, now: Instant, link: &Link, error: &Error) {
        let at_once = |at: Instant| now.since(at) <= AT_ONCE;
        let of_a_message = match error.code {
            ErrorCode::ConnectionLost | ErrorCode::ProtocolError => true,
            // Not the codes that speak of the server or of the connection as a whole.
            ErrorCode::ServerDisconnected => {
                matches!(error.reason_code, Some(0x80..=0x83 | 0x90 | 0x94 | 0x95 | 0x99..=0x9B))
            }
            _ => false,
        };
        if !of_a_message {
            return;
        }
        if let Some((sample, _)) = link.sample.filter(|(_, at)| at_once(*at)) {
            self.poison.inbound.note(sample);
        }
        let ours = error.code != ErrorCode::ProtocolError && at_once(link.pulse.last_sent);
        let after = self.options.quarantine_after;
        let first = self.session.outbound.first_flight();
        let Some(place) = first.filter(|place| ours && after > 0 && *place < link.cursor) else { return };
        self.poison.outbound.note(place);
        self.poison.careful |= self.poison.outbound.times >= 2;
        if self.poison.outbound.is_convicted(place, after) {
            self.quarantine_ours(place);
        }
    }

    /// Until when the publish at `place` is held back, so that the connection shows whether it lives without it.
    pub(crate) fn withheld_until(&self, place: Place) -> Option<Instant> {
        let suspected = self.poison.careful && self.poison.outbound.key == Some(place);
        (suspected && self.link.as_ref().is_none_or(Link::is_live)).then(|| self.reconnect.accepted + AT_ONCE)
    }

    /// The time at which the suspect may be sent, if that is still to come.
    pub(crate) fn release_due(&self) -> Option<Instant> {
        let place = self.poison.outbound.key.filter(|_| self.poison.careful)?;
        let link = self.link.as_ref().filter(|link| link.is_live() && link.cursor <= place)?;
        self.withheld_until(place).filter(|at| *at > link.last_looked)
    }

    fn quarantine_ours(&mut self, place: Place) {
        let Some(item) = self.session.outbound.remove(place, &mut self.session.journal) else { return };
        match (item.phase, item.publish.qos) {
            (Phase::Sent(identifier), QoS::AtLeastOnce) => self.session.identifiers.give_back(identifier),
            // The server may hold the message, and would take another one for it.
            (Phase::Sent(identifier), _) => self.session.identifiers.withhold(identifier),
            _ => {}
        }
        self.quarantined(Quarantined {
            ticket: Some(item.ticket),
            packet_identifier: 0,
            publish: item.publish,
            readable: true,
        });
        self.publish_failed(item.ticket, ErrorCode::Quarantined.into(), Properties::new());
    }

    fn quarantined(&mut self, what: Quarantined) {
        self.stats.quarantined += 1;
        self.emit(Event::Quarantined(Box::new(what)));
    }

    /// Whether this message of the server ends connections; else it is remembered as the last one that came.
    pub(crate) fn is_poison(&mut self, now: Instant, sample: Sample) -> bool {
        let convicted = self.poison.inbound.is_convicted(sample, self.options.quarantine_after);
        if let Some(link) = self.link.as_mut().filter(|_| !convicted) {
            link.sample = Some((sample, now));
        }
        convicted
    }

    /// Acknowledges a message of the server instead of handing it over.
    pub(crate) fn quarantine_theirs(&mut self, packet_identifier: u16, publish: Publish) {
        let reason_code =
            if self.link.as_ref().is_some_and(|l| l.version == Version::V5) { REASON } else { 0 };
        if let Some(delivery) = self.session.inbound.delivery(packet_identifier) {
            self.acknowledge(delivery, reason_code);
        }
        self.quarantined(Quarantined { ticket: None, packet_identifier, publish, readable: true });
    }

    /// A PUBLISH that breaks the protocol has come. True if it is acknowledged and forgotten: it has ended enough
    /// connections. `packet` is the whole of it, or what there is of one that is too large.
    pub(crate) fn unreadable(&mut self, now: Instant, packet: &[u8], header: usize) -> bool {
        let live = self.link.as_ref().is_some_and(Link::is_live);
        let Some((qos, packet_identifier)) = identify(packet, header).filter(|_| live) else { return false };
        // DUP is no part of what it looks like.
        let mut publish = Publish {
            topic: "".into(),
            payload: Bytes::copy_from_slice(&packet[1..]),
            qos,
            retain: false,
            properties: Properties::new(),
        };
        if !self.is_poison(now, (packet_identifier, fingerprint(&publish))) {
            return false;
        }
        let Some(link) = &mut self.link else { return false };
        let kind = if qos == QoS::ExactlyOnce { AckKind::Pubrec } else { AckKind::Puback };
        let ack = Ack { packet_identifier, reason_code: REASON, properties: Properties::new() };
        wire::encode_ack(link.version, kind, &ack, link.limits.maximum_packet_size, &mut link.control);
        publish.payload = Bytes::copy_from_slice(packet);
        self.quarantined(Quarantined { ticket: None, packet_identifier, publish, readable: false });
        true
    }
}

/// QoS and identifier of a PUBLISH that may break any other rule.
fn identify(packet: &[u8], header: usize) -> Option<(QoS, u16)> {
    let qos = QoS::from_u8(packet.first()? >> 1 & 3).filter(|qos| *qos != QoS::AtMostOnce)?;
    let number = |at: usize| Some(u16::from_be_bytes(packet.get(at..at + 2)?.try_into().ok()?));
    let identifier = number(header + 2 + usize::from(number(header)?))?;
    (identifier != 0 && packet[0] >> 4 == 3).then_some((qos, identifier))
}
