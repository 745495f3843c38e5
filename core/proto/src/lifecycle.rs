//! Connecting, being accepted or refused, and losing a link.

use bytes::BytesMut;
use std::time::Duration;

use crate::engine::{Engine, Output, State};
use crate::error::{Error, ErrorCode, Next};
use crate::event::{Connected, Disconnected, Event, SessionState};
use crate::link::{Link, LinkPhase, Login};
use crate::options::{LostPublishes, LostSubscriptions, Secret};
use crate::reconnect::When;
use crate::referral::Referral;
use crate::session::Held;
use crate::time::Instant;
use crate::timeline::{Counted, Mark, Outage};
use crate::transmit::write_disconnect;
use crate::wire::{
    self, Connack, Connect, Properties, PropertyId, PropertyValue, Reason, Version, PACKET_SIZE_LIMIT,
};

/// How a link came to its end.
pub(crate) struct End {
    pub(crate) error: Error,
    pub(crate) properties: Properties,
    /// The server said so in a packet.
    pub(crate) from_server: bool,
    /// The transport is still there and must be closed.
    pub(crate) hang_up: bool,
}

impl Engine {
    pub(crate) fn start(&mut self, now: Instant) {
        match self.link.as_ref().map(|link| &link.phase) {
            Some(LinkPhase::Leaving(..) | LinkPhase::Left) => self.start_again = true,
            Some(_) => {}
            None if self.reconnect.at.is_some() => {}
            None => {
                self.reconnect.start(now);
                self.referral = Referral::default();
                self.timeout(now);
            }
        }
    }

    /// The application wants to go: what it handed over before may still leave, then DISCONNECT.
    pub(crate) fn stop(&mut self, now: Instant, reason: Reason) {
        self.start_again = false;
        let was_stopped = self.state() == State::Stopped;
        self.reconnect.cancel();
        let end = self.session.outbound.end();
        let farewell = now + self.options.ping_timeout;
        match &mut self.link {
            _ if was_stopped => {}
            Some(link) if link.phase == LinkPhase::Live => {
                link.phase = LinkPhase::Leaving(reason, end);
                link.deadline = Some(farewell);
                self.drop_probe();
            }
            Some(link) if link.is_live() => {}
            _ => {
                self.hang_up(&reason);
                self.stopped(false, false, Properties::new());
            }
        }
    }

    /// The farewell of a stopped link is over, or has taken too long.
    pub(crate) fn left(&mut self, now: Instant) {
        if self.link.is_some() {
            self.hang_up(&Reason::default());
            self.stopped(true, false, Properties::new());
        }
        if std::mem::take(&mut self.start_again) {
            self.start(now);
        }
    }

    /// Drops the link, if there is one. Its last bytes, where the server would understand them, are what it owes and
    /// a DISCONNECT: an acknowledgement that is held back makes the server send the message to our next process.
    pub(crate) fn hang_up(&mut self, reason: &Reason) {
        self.drop_probe();
        if self.link.as_ref().is_some_and(Link::is_live) {
            let mut farewell = BytesMut::new();
            self.write_control(&mut farewell);
            self.write_acknowledgements(&mut farewell);
            if let Some(link) = &self.link {
                let reason = if let LinkPhase::Leaving(own, _) = &link.phase { own } else { reason };
                write_disconnect(link, reason, &mut farewell);
            }
            self.farewell = farewell;
        }
        if let Some(link) = self.drop_link() {
            self.session.doubtful |= link.is_unanswered();
            self.outputs.push_back(Output::Hangup(link.attempt));
        }
    }

    pub(crate) fn dial(&mut self, now: Instant) {
        let (number, listed) = self.reconnect.begin(now, self.options.servers.len());
        let server = self.choose(listed);
        self.stats.connect_attempts += 1;
        self.chronicle.attempt(now);
        self.emit(Event::Connecting(number, server.index));
        let way = self.way(now, server);
        self.link = Some(Link::new(way, &self.options, now));
    }

    /// The attempt waits for others of the process first.
    pub(crate) fn postponed(&mut self, wait: Duration) {
        let Some(link) = &mut self.link else { return };
        link.deadline = link.deadline.map(|deadline| deadline + wait);
        link.way.postpone(wait);
    }

    pub(crate) fn login(&mut self, login: Login) {
        if let Some(link) = &mut self.link {
            link.login = Some(login);
        }
    }

    pub(crate) fn link_up(&mut self, now: Instant) {
        let connect = self.connect_packet();
        if let Some(attempt) = self.link.as_ref().map(|link| link.attempt) {
            self.reached(now, attempt);
        }
        let Some(link) = self.link.as_mut().filter(|link| link.phase == LinkPhase::Dialling) else { return };
        self.farewell.clear(); // of a link that was down before it could be said
        self.chronicle.reached_again(Mark::TransportUp, now);
        link.greet(now, self.options.protocol_version, &connect);
        if let Err(why) = wire::encode_connect(link.version, &connect, &mut link.control) {
            let error = Error::new(ErrorCode::InvalidOption, format!("CONNECT cannot be sent: {why:?}"));
            let end = End { error, properties: Properties::new(), from_server: false, hang_up: true };
            return self.lose_link(now, end);
        }
        self.pipeline(now);
    }

    /// With properties on MQTT 3.1.1 too: they are not written there, but what they say of us holds.
    fn connect_packet(&self) -> Connect {
        let options = &self.options;
        let mut properties = Properties::new();
        // Explicit even where it is the default: without it brokers fall back to windows of 10 to 50.
        if options.announce_receive_maximum || options.receive_maximum < u16::MAX {
            properties.push(PropertyId::ReceiveMaximum, PropertyValue::TwoByte(options.receive_maximum));
        }
        if options.session_expiry > 0 {
            let expiry = PropertyValue::FourByte(options.session_expiry);
            properties.push(PropertyId::SessionExpiryInterval, expiry);
        }
        if options.maximum_packet_size < PACKET_SIZE_LIMIT {
            let size = PropertyValue::FourByte(options.maximum_packet_size);
            properties.push(PropertyId::MaximumPacketSize, size);
        }
        if options.topic_alias_maximum > 0 {
            let aliases = PropertyValue::TwoByte(options.topic_alias_maximum);
            properties.push(PropertyId::TopicAliasMaximum, aliases);
        }
        for (id, _) in options.connect_properties.iter() {
            properties.remove(*id);
        }
        properties.0.extend(options.connect_properties.iter().cloned());
        let repeated = options.protocol_version == Version::V5 && self.session.started_clean;
        let clean_start = options.clean_start && !repeated;
        let lasts = match options.protocol_version {
            Version::V4 => !clean_start,
            Version::V5 => properties.number(PropertyId::SessionExpiryInterval).unwrap_or(0) > 0,
        };
        let (mut username, mut password) = (options.username.clone(), options.password.clone());
        if let Some(login) = self.link.as_ref().and_then(|link| link.login.clone()) {
            (username, password) = (login.username, login.password.map(|secret| secret.0));
            if let Some(Secret(data)) = login.authentication_data {
                properties.set(PropertyId::AuthenticationData, PropertyValue::Binary(data));
            }
        }
        let anonymous = options.server_client_id && self.made_client_id && !lasts && !options.mqtt31;
        Connect {
            clean_start,
            keep_alive: options.keepalive,
            client_id: if anonymous { "".into() } else { options.client_id.clone() },
            will: options.will.clone(),
            username,
            password,
            properties,
            mqtt31: options.mqtt31,
            bridge: options.bridge,
        }
    }

    pub(crate) fn connack(&mut self, now: Instant, connack: Connack) {
        let Some(link) = &mut self.link else { return };
        if link.phase != LinkPhase::Greeting {
            return self.violation(now, 0x82, "a second CONNACK"); // [MQTT-3.2.0-2]
        }
        self.greeting_answered(now);
        let Some(link) = &mut self.link else { return };
        if connack.reason_code != 0 {
            let error = refusal(link.version, &connack);
            let properties = connack.properties;
            return self.lose_link(now, End { error, properties, from_server: true, hang_up: true });
        }
        if connack.session_present && link.announced.clean_start {
            return self.violation(now, 0x82, "session present after a clean start");
            // [MQTT-3.2.2-2]
        }
        if link.names_another_method(&connack.properties) {
            return self.violation(now, 0x82, "another authentication method in CONNACK");
            // [MQTT-4.12.0-5]
        }
        link.accepted(now, &connack, &self.options);
        let client_id = link.announced.client_id.clone();
        let expiry = connack.properties.number(PropertyId::SessionExpiryInterval);
        let kept = expiry.unwrap_or(link.announced.session_expiry) > 0;
        let present = connack.session_present || self.trusts_in_a_session(&client_id);
        let (session, resending, restoring) = self.resume(present);
        self.session.hold(Held { client_id, kept });
        self.session.started_clean = true;
        self.stats.connections += 1;
        self.reconnect.connected(now);
        let (end, counted) = (self.session.outbound.end(), self.counted());
        self.chronicle.connected(now, connack.session_present, resending as u64, end, counted);
        let connected = Connected {
            session_present: connack.session_present,
            session,
            restoring,
            resending,
            reason_code: connack.reason_code,
            properties: connack.properties,
        };
        self.emit(Event::Connected(Box::new(connected)));
        self.recovered(now, false);
    }

    /// A CONNACK of MQTT 3.1 does not say whether there is a session. One that there was before is taken to be there
    /// still, and in doubt.
    fn trusts_in_a_session(&mut self, client_id: &str) -> bool {
        let asked = self.link.as_ref().is_some_and(|link| !link.announced.clean_start);
        let held = self.session.held.as_ref().is_some_and(|held| held.kept && held.client_id == client_id);
        let trusts = self.options.mqtt31 && asked && held;
        self.session.doubtful |= trusts;
        trusts
    }

    /// Takes up the session, or what is left of it: the state, publishes to send again, filters to restore.
    fn resume(&mut self, session_present: bool) -> (SessionState, usize, usize) {
        let flights = self.session.outbound.flights();
        let Some(link) = &mut self.link else { return (SessionState::New, 0, 0) };
        link.resend_end = flights.last().map_or(0, |place| place + 1);
        // The session of another client identifier is not ours, even if the server has one.
        let held = self.session.held.as_ref();
        let other = held.is_some_and(|held| held.client_id != link.announced.client_id);
        let doubtful = std::mem::take(&mut self.session.doubtful);
        if doubtful {
            self.session.inbound.doubt();
        }
        if session_present && !other {
            // Subscribing twice costs a packet, and being deaf costs every message.
            let restored = link.pipelined || (!doubtful && self.session.subscriptions.is_restored_fully());
            if held.is_some_and(|held| held.kept) {
                self.learn(false);
            }
            let restoring = match restored {
                true => 0,
                false => self.session.subscriptions.session_lost(LostSubscriptions::Restore),
            };
            return (SessionState::Resumed, flights.len(), restoring);
        }
        let expected = held.is_some_and(|held| held.kept) && !other && !link.announced.clean_start;
        let session = if expected { SessionState::Lost } else { SessionState::New };
        self.stats.sessions_lost += u64::from(session == SessionState::Lost);
        if expected {
            self.learn(true);
        }
        self.session.inbound.forget(&mut self.session.journal);
        if self.options.lost_session_publishes == LostPublishes::Fail {
            for place in &flights {
                self.give_up_flight(*place, ErrorCode::SessionLost.into());
            }
        }
        let freed = self.session.outbound.forget_flights(&mut self.session.journal);
        let resending = freed.len();
        for identifier in freed {
            self.session.identifiers.give_back(identifier);
        }
        self.session.identifiers.session_lost();
        let restoring = match self.link.as_ref().is_some_and(|link| link.pipelined) {
            true => self.session.subscriptions.claim_pipelined(),
            false => self.session.subscriptions.session_lost(self.options.lost_session_subscriptions),
        };
        (session, resending, restoring)
    }

    pub(crate) fn link_down(&mut self, now: Instant, error: Error) {
        if self.link.as_ref().is_some_and(|link| link.late) {
            return self.drop_late();
        }
        self.lose_link(now, End { error, properties: Properties::new(), from_server: false, hang_up: false });
    }

    /// The link is lost or was never made: back to the session, and to the schedule.
    pub(crate) fn lose_link(&mut self, now: Instant, end: End) {
        let Some(mut link) = self.drop_link() else { return };
        let was_connected = link.is_live();
        self.session.doubtful |= link.is_unanswered() && !end.from_server;
        if end.hang_up {
            if was_connected {
                self.farewell = std::mem::take(&mut link.control);
            }
            self.outputs.push_back(Output::Hangup(link.attempt));
        }
        if matches!(link.phase, LinkPhase::Leaving(..) | LinkPhase::Left) {
            self.stopped(true, end.from_server, end.properties);
            return self.left(now);
        }
        if link.stable_at.is_some_and(|at| at <= now) {
            self.proved_stable(now); // the timer is late
        }
        if was_connected {
            self.autopsy(now, &link, &end.error);
        }
        self.reschedule(now, &link, end);
        self.timeout(now);
    }

    /// The attempt or the connection has failed: when the next attempt begins, and what the application hears.
    pub(crate) fn reschedule(&mut self, now: Instant, link: &Link, mut end: End) {
        let was_connected = link.is_live();
        let again = self.options.reconnect && end.error.next() != Next::Never;
        let when = self.when(link);
        let server = &link.way.server;
        let mut retry_in =
            again.then(|| self.reconnect.lost(now, &self.options, &mut end.error, when, server.listed));
        let died = !end.from_server && end.error.code == ErrorCode::ConnectionLost;
        let elsewhere = self.refer(server, was_connected, &mut end);
        if elsewhere || (died && self.blame_the_flight(link)) {
            retry_in = retry_in.map(|_| self.reconnect.hurry(now));
        }
        if let (Some(at), Some(retry_in)) = (self.next_attempt(now, link, end.error.code), &mut retry_in) {
            self.reconnect.at = Some(at);
            *retry_in = at.since(now);
        } else {
            self.drop_probe();
        }
        if was_connected {
            self.stats.outages += 1;
            let counted = self.counted();
            if let Some(unfinished) =
                self.chronicle.lost(now, link.pulse.last_received, end.error.clone(), counted)
            {
                self.outage_is_over(unfinished);
            }
        } else {
            self.chronicle.failed(now, end.error.code, server.index);
        }
        self.emit_disconnected(Some(end.error), was_connected, end.from_server, retry_in, end.properties);
    }

    /// How far the link had come, for the schedule.
    fn when(&self, link: &Link) -> When {
        let unprovoked =
            link.ended && self.session.outbound.in_flight_count() == 0 && !self.poison.blames_theirs(link);
        match link.phase {
            LinkPhase::Dialling => When::Dialling,
            LinkPhase::Greeting => When::Greeting,
            _ if unprovoked => When::Unprovoked,
            _ => When::Live,
        }
    }

    /// The application's wish has been done. An outage that was under way ends here, as far as it came.
    fn stopped(&mut self, was_connected: bool, from_server: bool, properties: Properties) {
        self.give_up_outage();
        self.emit_disconnected(None, was_connected, from_server, None, properties);
    }

    pub(crate) fn give_up_outage(&mut self) {
        let counted = self.counted();
        if let Some(unfinished) = self.chronicle.give_up(counted) {
            self.outage_is_over(unfinished);
        }
    }

    fn counted(&self) -> Counted {
        Counted { received: self.stats.received_messages, missing: self.stats.missing_messages }
    }

    fn outage_is_over(&mut self, outage: Outage) {
        let down = outage.after_detection(Mark::Connack).unwrap_or_default();
        self.stats.downtime_ms += u64::try_from(down.as_millis()).unwrap_or(0);
        self.emit(Event::Recovered(Box::new(outage)));
    }

    fn emit_disconnected(
        &mut self,
        error: Option<Error>,
        was_connected: bool,
        from_server: bool,
        retry_in: Option<Duration>,
        properties: Properties,
    ) {
        let failures = if was_connected { 0 } else { self.reconnect.attempts };
        let said = if from_server { self.server_said } else { 0 };
        let event = Disconnected { error, was_connected, from_server, retry_in, failures, properties, said };
        self.emit(Event::Disconnected(Box::new(event)));
    }

    /// Takes the link out and leaves the session as a link's end leaves it.
    pub(crate) fn drop_link(&mut self) -> Option<Link> {
        let mut link = self.link.take()?;
        self.session.inbound.link_lost();
        for identifier in self.session.subscriptions.link_lost() {
            self.session.identifiers.give_back(identifier);
        }
        for ticket in std::mem::take(&mut link.unflushed) {
            // At most once: part of it may have left, so it is not sent again.
            let error = Error::new(ErrorCode::ConnectionLost, "the connection ended while it was being sent");
            self.publish_failed(ticket, error, Properties::new());
        }
        link.partial = BytesMut::new();
        Some(link)
    }

    pub(crate) fn timeout(&mut self, now: Instant) {
        while let Some(ticket) = self.session.outbound.expire(now, &mut self.session.journal) {
            self.publish_failed(ticket, ErrorCode::Expired.into(), Properties::new());
        }
        let due = |at: Option<Instant>| at.is_some_and(|at| at <= now);
        if self.link.as_ref().is_none_or(|link| link.late) && due(self.reconnect.at) {
            self.hang_up_late();
            self.dial(now);
        }
        if self.link.as_ref().is_some_and(|link| due(link.stable_at)) {
            self.proved_stable(now);
        }
        let (deadline, silence_ends, ping) = (self.deadline(), self.silence_ends(), self.ping_due());
        let Some(link) = &mut self.link else { return };
        link.last_looked = now; // whoever polls next finds out what may leave
        if due(deadline) {
            return match link.phase {
                LinkPhase::Leaving(..) | LinkPhase::Left => self.left(now),
                _ => self.overdue(now),
            };
        }
        if due(silence_ends) {
            if !link.pulse.is_late(now, &self.options) {
                let error = Error::new(ErrorCode::KeepAliveTimeout, link.pulse.sign().text());
                return self.lose_silent(now, error);
            }
            link.pulse.excuse(now);
        }
        if let Some((_, sign)) = ping.filter(|(at, _)| *at <= now) {
            wire::encode_pingreq(&mut link.control);
            link.pulse.asked(now, sign);
        }
        self.dialling_timeout(now);
    }

    fn proved_stable(&mut self, now: Instant) {
        if let Some(link) = &mut self.link {
            link.stable_at = None;
        }
        self.reconnect.stable();
        self.poison.clear();
        self.referral.arrived();
        self.recovered(now, true);
    }

    /// Reports the end of an outage once everything that makes it complete has happened, or now if `settled`.
    pub(crate) fn recovered(&mut self, now: Instant, settled: bool) {
        if !self.chronicle.is_open() {
            return;
        }
        if self.session.subscriptions.is_restored_fully() {
            self.chronicle.reached(Mark::Resubscribed, now);
        }
        let first = self.session.outbound.next(0).map(|(place, _)| place);
        let counted = self.counted();
        if let Some(outage) = self.chronicle.finish(now, first, settled, counted) {
            self.outage_is_over(outage);
        }
    }
}

/// What a refusing CONNACK means.
fn refusal(version: Version, connack: &Connack) -> Error {
    let code = match (version, connack.reason_code) {
        (Version::V4, 1) | (Version::V5, 0x01 | 0x84) => ErrorCode::UnsupportedVersion,
        (Version::V4, 2) | (Version::V5, 0x85) => ErrorCode::BadClientIdentifier,
        (Version::V4, 4 | 5) | (Version::V5, 0x86 | 0x87 | 0x8C) => ErrorCode::BadCredentials,
        (Version::V4, 3) | (Version::V5, 0x80 | 0x88 | 0x89 | 0x97 | 0x9F) => ErrorCode::ServerBusy,
        _ => ErrorCode::ConnectionRefused,
    };
    let detail = [PropertyId::ReasonString, PropertyId::ServerReference]
        .iter()
        .filter_map(|id| connack.properties.text(*id))
        .map(|text| text.to_string())
        .collect::<Vec<_>>()
        .join("; server reference ");
    Error::from_peer(code, connack.reason_code, detail)
}
