//! Packets of ours: what the link owes first, then what was in flight, then what is new.

use bytes::BytesMut;
use std::collections::VecDeque;

use crate::engine::Engine;
use crate::error::{Error, ErrorCode};
use crate::event::Outcome;
use crate::link::{Answer, Link, LinkPhase};
use crate::session::{count_down, needs_identifier, Item, Phase, Place, Request, RequestKind};
use crate::time::Instant;
use crate::timeline::Mark;
use crate::wire::{
    self, Ack, AckKind, Properties, PropertyId, PropertyValue, QoS, Reason, Unsendable, Version,
};

/// How much one poll gives before it lets the driver write.
const TRANSMIT_LIMIT: usize = 64 << 10;

/// A buffer keeps its allocation for the next packets up to this size; an idle link keeps none.
const CONTROL_KEPT: usize = 4 << 10;

/// The same for the queue of acknowledgements, in entries.
const OWED_KEPT: usize = 64;

/// What became of the item at the cursor.
enum Step {
    Written,
    /// It cannot be sent on this link, or not any more.
    Failed(Error),
    /// The window is closed or there is no identifier: wait for an acknowledgement.
    Blocked,
}

impl Engine {
    /// Appends bytes for the current link, at most about 64 KiB beyond a packet that has begun. Call it whenever the
    /// transport can take more, until it appends nothing.
    pub fn poll_transmit(&mut self, now: Instant, buffer: &mut BytesMut) {
        let start = buffer.len();
        if !self.farewell.is_empty() {
            buffer.extend_from_slice(&std::mem::take(&mut self.farewell));
        } else if self.link.is_some() {
            let limit = start + TRANSMIT_LIMIT;
            self.write_control(buffer);
            self.write_acknowledgements(buffer);
            if self.requests_may_leave() {
                self.write_requests(buffer, limit);
                self.write_publishes(now, buffer, limit);
            }
            if buffer.len() < limit {
                self.write_farewell(now, start, buffer);
            }
        }
        if let Some(link) = self.link.as_mut().filter(|_| buffer.len() > start) {
            link.pulse.sent(now);
        }
        self.stats.sent_bytes += (buffer.len() - start) as u64;
    }

    pub(crate) fn write_control(&mut self, buffer: &mut BytesMut) {
        // Nothing follows a DISCONNECT. [MQTT-3.14.4-2]
        let Some(link) = self.link.as_mut().filter(|link| link.phase != LinkPhase::Left) else { return };
        buffer.extend_from_slice(&link.control);
        if link.control.capacity() > CONTROL_KEPT {
            link.control = BytesMut::new();
        } else {
            link.control.clear();
        }
        while let Some(answer) = link.held.front().copied() {
            if !self.session.journal.is_durable(answer.rests_on) {
                break;
            }
            link.held.pop_front();
            write_answer(link.version, link.limits.maximum_packet_size, answer, buffer);
        }
    }

    pub(crate) fn write_acknowledgements(&mut self, buffer: &mut BytesMut) {
        let Some(link) = self.link.as_mut().filter(|link| link.is_live()) else { return };
        while let Some(delivery) = link.owed.front().copied() {
            // In the order of arrival, so one that has to wait holds up the others. [MQTT-4.6.0-2, MQTT-4.6.0-3]
            if !self.session.journal.is_durable(self.session.inbound.rests_on(delivery)) {
                break;
            }
            link.owed.pop_front();
            let Some((qos, reason_code)) = self.session.inbound.hand_over(delivery) else { continue };
            let kind = if qos == QoS::ExactlyOnce { AckKind::Pubrec } else { AckKind::Puback };
            let packet_identifier = delivery.packet_identifier;
            let ack = Ack { packet_identifier, reason_code, properties: Properties::new() };
            wire::encode_ack(link.version, kind, &ack, link.limits.maximum_packet_size, buffer);
        }
        if link.owed.is_empty() && link.owed.capacity() > OWED_KEPT {
            link.owed = VecDeque::new();
        }
    }

    fn write_publishes(&mut self, now: Instant, buffer: &mut BytesMut, limit: usize) {
        if !self.link.as_ref().is_some_and(Link::is_live) {
            return;
        }
        let Some(mut link) = self.link.take() else { return };
        while buffer.len() < limit {
            let Some((place, item)) = self.session.outbound.next(link.cursor) else { break };
            if matches!(link.phase, LinkPhase::Leaving(_, end) if place >= end) {
                break;
            }
            let (ticket, qos, phase, again) = (item.ticket, item.publish.qos, item.phase, item.written);
            match self.write_item(now, &mut link, place, buffer) {
                Step::Blocked => {
                    self.number_ahead(&mut link);
                    break;
                }
                Step::Failed(error) => {
                    link.cursor = place + 1;
                    if place < link.counted {
                        link.discount(qos);
                    }
                    self.give_up_flight(place, error);
                }
                Step::Written => {
                    link.cursor = place + 1;
                    self.stats.sent_publishes += u64::from(!matches!(phase, Phase::Released(_)));
                    self.stats.resent += u64::from(again && place < link.resend_end);
                    if qos == QoS::AtMostOnce {
                        link.unflushed.push(ticket);
                    }
                }
            }
        }
        let next = self.session.outbound.next(link.cursor);
        let resent = next.is_none_or(|(place, _)| place >= link.resend_end);
        self.link = Some(link);
        if resent {
            self.chronicle.reached(Mark::Resent, now);
            self.recovered(now, false);
        }
    }

    /// Writes the item at `place`, as its phase asks.
    fn write_item(&mut self, now: Instant, link: &mut Link, place: Place, buffer: &mut BytesMut) -> Step {
        let Some((_, item)) = self.session.outbound.next(place) else { return Step::Blocked };
        if item.phase == Phase::Waiting && item.expires.is_some_and(|at| at <= now) {
            return Step::Failed(ErrorCode::Expired.into());
        }
        link.last_looked = now;
        if self.withheld_until(place).is_some_and(|at| at > now) || !self.admit(link, place) {
            return Step::Blocked;
        }
        let Some((_, item)) = self.session.outbound.next(place) else { return Step::Blocked };
        if !self.session.journal.is_durable(item.lsn) {
            return Step::Blocked;
        }
        let written = match item.phase {
            Phase::Released(packet_identifier) => {
                let (kind, reason_code, rests_on) = (AckKind::Pubrel, 0, item.lsn);
                let answer = Answer { kind, packet_identifier, reason_code, rests_on };
                write_answer(link.version, u32::MAX, answer, buffer);
                Ok(())
            }
            _ if item.written && item.publish.is_aliased() => {
                Err(Error::new(ErrorCode::InvalidTopic, "its topic alias was of a connection that is gone"))
            }
            Phase::Sent(identifier) => write_publish(now, link, item, Some(identifier), buffer),
            Phase::Waiting => write_publish(now, link, item, None, buffer),
        };
        if let Err(error) = written {
            return Step::Failed(error);
        }
        match item.phase {
            Phase::Waiting => self.session.outbound.sent(place, None, &mut self.session.journal),
            _ => self.session.outbound.written(place),
        }
        Step::Written
    }

    /// Counts the item at `place` against the window and gives it its packet identifier, if it needs one and has none.
    /// False: the window is closed, or there is no identifier.
    fn admit(&mut self, link: &mut Link, place: Place) -> bool {
        if place < link.counted {
            return true;
        }
        let Some((_, item)) = self.session.outbound.next(place) else { return false };
        let (qos, ticket, phase) = (item.publish.qos, item.ticket, item.phase);
        if needs_identifier(&item.publish) {
            if link.window_is_closed(&item.publish) || (self.poison.careful && link.outstanding > 0) {
                return false;
            }
            if phase == Phase::Waiting {
                let Some(identifier) = self.session.identifiers.take(ticket) else { return false };
                self.session.outbound.sent(place, Some(identifier), &mut self.session.journal);
            }
        }
        link.count(qos);
        link.counted = place + 1;
        true
    }

    /// While one publish waits for the journal, the next ones get their identifiers: the window is made durable as one
    /// batch, not message by message.
    fn number_ahead(&mut self, link: &mut Link) {
        let end = if let LinkPhase::Leaving(_, end) = link.phase { end } else { Place::MAX };
        while self.session.journal.is_kept() {
            match self.session.outbound.next(link.counted).map(|(place, _)| place) {
                Some(place) if place < end && self.admit(link, place) => {}
                _ => break,
            }
        }
    }

    /// Something of what may still leave waits for the journal, and that can be written.
    fn awaits_journal(&self, link: &Link, end: Place) -> bool {
        let next =
            self.session.outbound.next(link.cursor).filter(|(place, _)| *place < end.min(link.counted));
        let publish = next.is_some_and(|(_, item)| !self.session.journal.is_durable(item.lsn));
        self.store_failure.is_none()
            && (!self.requests_may_leave() || publish || !link.owed.is_empty() || !link.held.is_empty())
    }

    /// A link that leaves says so once nothing more can leave before it.
    fn write_farewell(&mut self, now: Instant, start: usize, buffer: &mut BytesMut) {
        let Some(link) = &self.link else { return };
        match link.phase {
            LinkPhase::Leaving(_, end) if !self.awaits_journal(link, end) => {}
            _ => return,
        }
        let Some(link) = &mut self.link else { return };
        let LinkPhase::Leaving(reason, _) = &link.phase else { return };
        write_disconnect(link, reason, buffer);
        link.phase = LinkPhase::Left;
        if buffer.len() == start && link.unflushed.is_empty() {
            self.left(now); // there is nothing that could be flushed
        }
    }

    pub(crate) fn flushed(&mut self, now: Instant) {
        let Some(link) = &mut self.link else { return };
        for ticket in std::mem::take(&mut link.unflushed) {
            self.published(ticket, 0, Properties::new());
        }
        if self.link.as_ref().is_some_and(|link| link.phase == LinkPhase::Left) {
            self.left(now);
        }
    }

    /// What the server is to grant is written first, unless the disk refuses: then being deaf would be worse. Publishes
    /// wait too, because they come after every restoration.
    fn requests_may_leave(&self) -> bool {
        let subscriptions = &self.session.subscriptions;
        subscriptions.waiting.is_empty()
            || self.session.journal.is_durable(subscriptions.rests_on)
            || self.store_failure.is_some()
    }

    /// Requests go before publishes, and so they also get the identifiers that came free first.
    fn write_requests(&mut self, buffer: &mut BytesMut, limit: usize) {
        while buffer.len() < limit && self.link.as_ref().is_some_and(Link::is_live) {
            let Some(request) = self.session.subscriptions.waiting.pop_front() else { break };
            if !self.write_request(request, buffer) {
                break;
            }
        }
    }

    /// False: there is no identifier free, and the request waits.
    fn write_request(&mut self, request: Request, buffer: &mut BytesMut) -> bool {
        let Some(link) = &self.link else { return false };
        let identifiers = &mut self.session.identifiers;
        let taken = match request.ticket {
            Some(ticket) => identifiers.take(ticket),
            None => identifiers.take_own(),
        };
        let Some(identifier) = taken else {
            self.session.subscriptions.waiting.push_front(request);
            return false;
        };
        match encode_request(link, identifier, &request, buffer) {
            Ok(()) => self.session.subscriptions.sent(identifier, request),
            Err(error) => {
                identifiers.give_back(identifier);
                if let Some(ticket) = self.session.subscriptions.unsendable(request) {
                    self.complete(ticket, Outcome::Failed(error, Properties::new()));
                }
                self.settle_claims();
            }
        }
        true
    }
}

pub(crate) fn write_answer(version: Version, maximum: u32, answer: Answer, buffer: &mut BytesMut) {
    let Answer { kind, packet_identifier, reason_code, .. } = answer;
    let ack = Ack { packet_identifier, reason_code, properties: Properties::new() };
    wire::encode_ack(version, kind, &ack, maximum, buffer);
}

fn write_publish(
    now: Instant,
    link: &Link,
    item: &Item,
    identifier: Option<u16>,
    buffer: &mut BytesMut,
) -> Result<(), Error> {
    if let Some(what) = link.limits.refuses_publish(&item.publish) {
        return Err(Error::new(ErrorCode::NotSupported, what));
    }
    let (dup, maximum) = (item.written, link.limits.maximum_packet_size);
    let written = match count_down(&item.publish, item.expires, now) {
        None => wire::encode_publish(link.version, &item.publish, dup, identifier, maximum, buffer),
        Some(left) => {
            let mut publish = item.publish.clone();
            publish.properties.set(PropertyId::MessageExpiryInterval, PropertyValue::FourByte(left));
            wire::encode_publish(link.version, &publish, dup, identifier, maximum, buffer)
        }
    };
    written.map_err(Error::from)
}

pub(crate) fn encode_request(
    link: &Link,
    identifier: u16,
    request: &Request,
    buffer: &mut BytesMut,
) -> Result<(), Error> {
    if let Some(feature) = link.limits.refuses_request(request) {
        return Err(Error::new(ErrorCode::NotSupported, feature));
    }
    let (version, properties, maximum) = (link.version, &request.properties, link.limits.maximum_packet_size);
    let encoded = match &request.kind {
        RequestKind::Subscribe(subscriptions) => {
            wire::encode_subscribe(version, identifier, subscriptions, properties, maximum, buffer)
        }
        RequestKind::Unsubscribe(filters) => {
            wire::encode_unsubscribe(version, identifier, filters, properties, maximum, buffer)
        }
    };
    encoded.map_err(Error::from)
}

/// MQTT 3.1.1 has no reason: "publish the will" is said by closing without DISCONNECT. [MQTT-3.1.2-8]
pub(crate) fn write_disconnect(link: &Link, reason: &Reason, buffer: &mut BytesMut) {
    if link.version == Version::V5 || reason.reason_code != 0x04 {
        wire::encode_disconnect(link.version, reason, link.limits.maximum_packet_size, buffer);
    }
}

impl From<Unsendable> for Error {
    fn from(why: Unsendable) -> Error {
        match why {
            Unsendable::TooLarge(size, maximum) => {
                Error::new(ErrorCode::PacketTooLarge, format!("{size} bytes; the limit is {maximum}"))
            }
            Unsendable::Invalid(why) => Error::new(ErrorCode::InvalidArgument, why),
        }
    }
}
