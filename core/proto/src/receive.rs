//! Packets of the server.

use bytes::{Buf, BytesMut};

use crate::command::Delivery;
use crate::engine::Engine;
use crate::error::{Error, ErrorCode};
use crate::event::{Event, Message, Outcome, Token};
use crate::journal::Lsn;
use crate::lifecycle::End;
use crate::link::{Answer, Link, LinkPhase, ANSWERS_LIMIT};
use crate::options::Acknowledge;
use crate::session::{fingerprint, Arrival, Phase, Place, Release, Request, RequestKind};
use crate::time::Instant;
use crate::timeline::Mark;
use crate::transmit::write_answer;
use crate::wire::{self, Ack, AckKind, Frame, Packet, Properties, PropertyId, Publish, QoS, Reason};
use crate::wire::{SubscribeAck, Version, Violation};

/// A partial packet keeps its allocation for the next one up to this size; an idle link keeps none.
const PARTIAL_KEPT: usize = 16 << 10;

/// What becomes of a packet that is larger than we accept.
enum TooLarge {
    /// More of it has to come before that can be said.
    More,
    /// So many bytes of it are here, and it has been dealt with.
    PassedOver(usize),
    /// The link ends.
    Refused,
}

impl Engine {
    pub(crate) fn received(&mut self, now: Instant, bytes: &[u8]) {
        self.stats.received_bytes += bytes.len() as u64;
        self.proved_alive(now);
        if !bytes.is_empty() {
            self.answered_late(now);
        }
        let Some(link) = &mut self.link else { return };
        link.ended |= bytes.is_empty();
        let attempt = link.attempt;
        let mut partial = std::mem::take(&mut link.partial);
        let bytes = self.passed_over(bytes);
        if partial.is_empty() {
            let taken = self.packets(now, bytes);
            partial.extend_from_slice(&bytes[taken..]);
        } else {
            partial.extend_from_slice(bytes);
            let held = partial.len();
            let taken = self.packets(now, &partial);
            partial.advance(taken);
            if taken > 0 && held > PARTIAL_KEPT {
                partial = BytesMut::from(&partial[..]);
            }
        }
        if let Some(link) = self.link.as_mut().filter(|link| link.attempt == attempt) {
            link.partial = partial;
            if link.answers() > ANSWERS_LIMIT {
                self.violation(now, 0x97, "the server sends and does not read the answers");
            }
        }
        self.recovered(now, false);
    }

    /// What is left of bytes of which the first may belong to a packet that is passed over.
    fn passed_over<'a>(&mut self, bytes: &'a [u8]) -> &'a [u8] {
        let Some(link) = &mut self.link else { return bytes };
        let over = link.skip.min(bytes.len());
        link.skip -= over;
        &bytes[over..]
    }

    /// Handles every whole packet, as long as the link lives, and gives how many bytes they were.
    fn packets(&mut self, now: Instant, bytes: &[u8]) -> usize {
        let Some(link) = &self.link else { return 0 };
        let (attempt, version, maximum) = (link.attempt, link.version, link.announced.maximum_packet_size);
        let mut taken = 0;
        while self.link.as_ref().is_some_and(|link| link.attempt == attempt) {
            let rest = &bytes[taken..];
            let packet = match wire::frame(version, rest, maximum) {
                Ok(None) => break,
                Ok(Some(frame)) => {
                    taken += frame.total;
                    self.server_said = (frame.total - frame.header).min(2) as u8;
                    let packet = self.decode(version, frame, &rest[..frame.total]);
                    if packet.is_err() && self.unreadable(now, &rest[..frame.total], frame.header) {
                        continue;
                    }
                    packet
                }
                Err(violation) => match self.too_large(now, &violation, rest) {
                    TooLarge::More => break,
                    TooLarge::PassedOver(bytes) => {
                        taken += bytes;
                        continue;
                    }
                    TooLarge::Refused => Err(violation),
                },
            };
            match packet {
                Ok(packet) => self.packet(now, packet),
                Err(violation) => self.violation(now, violation.reason_code, violation.text),
            }
        }
        taken
    }

    /// A packet was refused at its first bytes. If it is a message that is larger than we accept, and would come again
    /// and again, it is passed over in the end.
    fn too_large(&mut self, now: Instant, violation: &Violation, rest: &[u8]) -> TooLarge {
        let live = self.link.as_ref().is_some_and(Link::is_live);
        let head = wire::large_publish(rest).filter(|_| live && violation.reason_code == 0x95);
        let Some(head) = head else { return TooLarge::Refused };
        if rest.len() < head.known {
            return TooLarge::More;
        }
        if !self.unreadable(now, &rest[..head.known], head.header) {
            return TooLarge::Refused;
        }
        let here = head.total.min(rest.len());
        if let Some(link) = &mut self.link {
            link.skip = head.total - here;
        }
        TooLarge::PassedOver(here)
    }

    fn decode(&mut self, version: Version, frame: Frame, packet: &[u8]) -> Result<Packet, Violation> {
        self.raw_topic = None;
        wire::decode(version, frame, packet).or_else(|violation| {
            if !self.options.deliver_invalid_topics {
                return Err(violation);
            }
            let (repaired, raw) = wire::repair_topic(frame, packet).ok_or(violation)?;
            self.raw_topic = Some(raw);
            wire::decode(version, frame, &repaired)
        })
    }

    fn packet(&mut self, now: Instant, packet: Packet) {
        let greeting =
            self.link.as_ref().is_some_and(|link| !link.is_live() && link.phase != LinkPhase::Left);
        if let Some(link) = &mut self.link {
            link.sample = None; // it was not the last thing that came
        }
        match packet {
            Packet::Connack(connack) => self.connack(now, connack),
            Packet::Auth(auth) => self.auth(now, auth),
            _ if greeting => self.violation(now, 0x82, "the first packet is not CONNACK"), // [MQTT-3.2.0-1]
            Packet::Publish { publish, dup, packet_identifier } => {
                self.message(now, publish, dup, packet_identifier);
            }
            Packet::Ack(AckKind::Puback, ack) => self.puback(&ack),
            Packet::Ack(AckKind::Pubrec, ack) => self.pubrec(&ack),
            Packet::Ack(AckKind::Pubcomp, ack) => self.pubcomp(&ack),
            Packet::Ack(AckKind::Pubrel, ack) => self.pubrel(&ack),
            Packet::Suback(ack) => self.answer(now, ack, true),
            Packet::Unsuback(ack) => self.answer(now, ack, false),
            Packet::Pingresp => {
                if let Some(link) = &mut self.link {
                    link.pulse.answered(now);
                }
            }
            Packet::Disconnect(reason) => self.server_disconnect(now, reason),
        }
    }

    fn message(&mut self, now: Instant, mut publish: Publish, dup: bool, identifier: Option<u16>) {
        let Some(link) = &mut self.link else { return };
        if self.raw_topic.is_some() && publish.properties.find(PropertyId::TopicAlias).is_some() {
            return self.violation(now, 0x94, "a topic alias for a topic that is not UTF-8");
        }
        if let Err(reason_code) = link.resolve_alias(&mut publish) {
            return self.violation(now, reason_code, "a topic alias that was never set or is out of range");
        }
        let receive_maximum = usize::from(link.announced.receive_maximum);
        self.chronicle.reached(Mark::FirstMessage, now);
        let Some(identifier) = identifier else {
            return self.deliver(publish, dup, None);
        };
        let fingerprint = fingerprint(&publish);
        let poison = self.is_poison(now, (identifier, fingerprint));
        match self.session.inbound.arrive(identifier, publish.qos, dup, fingerprint) {
            Arrival::Deliver(_) | Arrival::Suppress if poison => self.quarantine_theirs(identifier, publish),
            Arrival::Deliver(delivery) => {
                // Brokers have been seen to exceed it; leaving them would only make them send it all again.
                let over = self.session.inbound.len() > receive_maximum;
                self.stats.tolerated += u64::from(over);
                self.deliver(publish, dup, Some(delivery));
            }
            Arrival::Suppress => self.stats.duplicates_suppressed += 1,
            Arrival::Acknowledge(delivery) => {
                self.stats.duplicates_suppressed += 1;
                if let Some(link) = &mut self.link {
                    link.owed.push_back(delivery);
                }
            }
        }
    }

    fn deliver(&mut self, publish: Publish, dup: bool, delivery: Option<Delivery>) {
        self.stats.received_messages += 1;
        let gap = self.session.sequences.arrived(&self.options, &publish, dup);
        let raw_topic = self.raw_topic.take();
        let (token, redelivered) = (None, false);
        let mut message = Message { publish, raw_topic, dup, delivery, token, redelivered };
        let early = self.options.acknowledge == Acknowledge::Stored && message.raw_topic.is_none();
        let kept = delivery.filter(|_| early).and_then(|delivery| self.keep(&message, delivery));
        message.token = kept.map(|(token, _)| token);
        let gap = gap.map(|gap| {
            self.stats.gaps += 1;
            self.stats.missing_messages += gap.missing();
            Event::Gap(Box::new(gap))
        });
        let lsn = kept.map_or(0, |(_, lsn)| lsn);
        for event in gap.into_iter().chain([Event::Message(message)]) {
            match delivery {
                Some(_) => self.emit_after(lsn, event),
                None => self.emit(event), // QoS 0 waits for no disk
            }
        }
    }

    /// Puts a message into the journal and owes its acknowledgement from then on.
    fn keep(&mut self, message: &Message, delivery: Delivery) -> Option<(Token, Lsn)> {
        let identifier = delivery.packet_identifier;
        let (token, lsn) = self.session.journal.arrived(identifier, &message.publish)?;
        self.session.inbound.keep(delivery, token.sequence, message.weight(), lsn);
        if let Some(link) = self.link.as_mut().filter(|link| link.is_live()) {
            link.owed.push_back(delivery);
        }
        Some((token, lsn))
    }

    /// The item in flight under the identifier of an acknowledgement, if it is of this QoS.
    fn flight(&mut self, ack: &Ack, qos: QoS) -> Option<(Place, Phase)> {
        let found = self.session.outbound.in_flight(ack.packet_identifier);
        // What has its identifier and was never written waits for the disk: nobody can have answered it.
        let found = found.filter(|(_, item)| item.publish.qos == qos && item.written);
        let found = found.map(|(place, item)| (place, item.phase));
        self.stats.tolerated += u64::from(found.is_none());
        found
    }

    /// Takes a publish out of flight and gives its ticket; the window has room again.
    fn land(&mut self, place: Place) -> Option<u64> {
        let item = self.session.outbound.remove(place, &mut self.session.journal)?;
        if let Phase::Sent(identifier) | Phase::Released(identifier) = item.phase {
            self.session.identifiers.give_back(identifier);
        }
        if let Some(link) = self.link.as_mut().filter(|link| place < link.counted) {
            link.discount(item.publish.qos);
        }
        Some(item.ticket)
    }

    pub(crate) fn give_up_flight(&mut self, place: Place, error: Error) {
        if let Some(ticket) = self.land(place) {
            self.publish_failed(ticket, error, Properties::new());
        }
    }

    fn rejected(&mut self, place: Place, ack: &Ack) {
        let text = ack.properties.text(PropertyId::ReasonString).map(|text| text.to_string());
        let error = Error::from_peer(ErrorCode::Rejected, ack.reason_code, text.unwrap_or_default());
        if let Some(ticket) = self.land(place) {
            self.publish_failed(ticket, error, ack.properties.clone());
        }
    }

    fn acknowledged(&mut self, place: Place, reason_code: u8, ack: &Ack) {
        if let Some(ticket) = self.land(place) {
            self.published(ticket, reason_code, ack.properties.clone());
        }
    }

    fn puback(&mut self, ack: &Ack) {
        match self.flight(ack, QoS::AtLeastOnce) {
            Some((place, _)) if ack.reason_code >= 0x80 => self.rejected(place, ack),
            Some((place, _)) => self.acknowledged(place, ack.reason_code, ack),
            None => {}
        }
    }

    fn pubrec(&mut self, ack: &Ack) {
        let (reason_code, rests_on) = match self.flight(ack, QoS::ExactlyOnce) {
            // No PUBREL: the exchange is over and the identifier free. [MQTT5 4.3.3]
            Some((place, _)) if ack.reason_code >= 0x80 => return self.rejected(place, ack),
            Some((place, _)) => {
                let journal = &mut self.session.journal;
                (0, self.session.outbound.release(place, ack.packet_identifier, journal))
            }
            None if ack.reason_code >= 0x80 => return,
            None => (0x92, 0),
        };
        let (kind, packet_identifier) = (AckKind::Pubrel, ack.packet_identifier);
        self.answer_with(Answer { kind, packet_identifier, reason_code, rests_on });
    }

    fn pubcomp(&mut self, ack: &Ack) {
        match self.flight(ack, QoS::ExactlyOnce) {
            // "Identifier not found" answers a PUBREL that was sent again: the first one had arrived.
            Some((place, Phase::Released(_))) => {
                let reason_code = if ack.reason_code >= 0x80 { 0 } else { ack.reason_code };
                self.acknowledged(place, reason_code, ack);
            }
            Some(_) => self.stats.tolerated += 1,
            None => {}
        }
    }

    /// Always answered, known or not: a session of a lost process would hang otherwise. [MQTT-4.3.3-11]
    fn pubrel(&mut self, ack: &Ack) {
        let packet_identifier = ack.packet_identifier;
        let release = self.session.inbound.released(packet_identifier, &mut self.session.journal);
        let (reason_code, rests_on) = match release {
            Release::Known(rests_on) => (0, rests_on),
            Release::Unknown => {
                // Perhaps it was released a moment ago, on a link that was cut before this was durable.
                self.stats.tolerated += 1;
                (0x92, self.session.journal.noted())
            }
        };
        self.answer_with(Answer { kind: AckKind::Pubcomp, packet_identifier, reason_code, rests_on });
    }

    /// Answers go out in the order of what they answer. [MQTT-4.6.0-4]
    fn answer_with(&mut self, answer: Answer) {
        if let Some(link) = self.link.as_mut().filter(|link| link.is_live()) {
            match link.held.is_empty() && self.session.journal.is_durable(answer.rests_on) {
                true => {
                    write_answer(link.version, link.limits.maximum_packet_size, answer, &mut link.control)
                }
                false => link.held.push_back(answer),
            }
        }
    }

    /// SUBACK or UNSUBACK.
    fn answer(&mut self, now: Instant, ack: SubscribeAck, is_suback: bool) {
        let Some((filters, is_subscribe)) = self.session.subscriptions.asked(ack.packet_identifier) else {
            self.stats.tolerated += 1;
            return;
        };
        let uncounted = !is_suback && ack.reason_codes.is_empty(); // MQTT 3.1.1 has none in UNSUBACK
        if is_subscribe != is_suback || (ack.reason_codes.len() != filters && !uncounted) {
            return self.violation(now, 0x82, "an answer that does not fit its request");
            // [MQTT-3.9.3-1]
        }
        self.session.identifiers.give_back(ack.packet_identifier);
        if let Some(request) = self.session.subscriptions.answered(ack.packet_identifier, &ack.reason_codes) {
            self.answered(&request, ack);
        }
        self.settle_claims();
    }

    pub(crate) fn settle_claims(&mut self) {
        for (ticket, codes) in self.session.subscriptions.settle_claims() {
            self.complete(ticket, Outcome::Subscribed(codes, Properties::new()));
        }
    }

    fn answered(&mut self, request: &Request, ack: SubscribeAck) {
        let Some(ticket) = request.ticket else { return };
        let outcome = match request.kind {
            RequestKind::Subscribe(_) => Outcome::Subscribed(ack.reason_codes, ack.properties),
            RequestKind::Unsubscribe(_) => Outcome::Unsubscribed(ack.reason_codes, ack.properties),
        };
        self.complete(ticket, outcome);
    }

    /// The peer broke the protocol: tell it, leave, try again later.
    pub(crate) fn violation(&mut self, now: Instant, reason_code: u8, text: &str) {
        self.leave(now, reason_code, Error::from_peer(ErrorCode::ProtocolError, reason_code, text));
    }

    /// Ends the link for a reason of ours, which the server is told (MQTT 5) if it has accepted the connection.
    pub(crate) fn leave(&mut self, now: Instant, reason_code: u8, error: Error) {
        if let Some(link) = self.link.as_mut().filter(|link| link.version == Version::V5 && link.is_live()) {
            let reason = Reason { reason_code, properties: Properties::new() };
            let maximum = link.limits.maximum_packet_size;
            wire::encode_disconnect(link.version, &reason, maximum, &mut link.control);
        }
        self.lose_link(now, End { error, properties: Properties::new(), from_server: false, hang_up: true });
    }

    fn server_disconnect(&mut self, now: Instant, reason: Reason) {
        let code = match reason.reason_code {
            0x8E => ErrorCode::SessionTakenOver,
            _ => ErrorCode::ServerDisconnected,
        };
        let text = reason.properties.text(PropertyId::ReasonString).map(|text| text.to_string());
        let error = Error::from_peer(code, reason.reason_code, text.unwrap_or_default());
        self.lose_link(now, End { error, properties: reason.properties, from_server: true, hang_up: true });
    }
}
