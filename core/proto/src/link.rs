//! One network connection: everything that is valid as long as it lives, and not longer.
//!
//! ```text
//! Dialling --LinkUp--> Greeting (CONNECT sent) --CONNACK 0--> Live --Stop--> Leaving --DISCONNECT--> Left
//! ```
//!
//! While it is greeted it may be *late*: see `dialling.rs`.
//!
//! Losing a link is dropping this value. Topic aliases, the server's limits, the send window and half a packet can
//! therefore not leak into the next connection.

use bytes::BytesMut;
use bytestring::ByteString;
use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use crate::auth::Turn;
use crate::command::{Delivery, Ticket};
use crate::dialling::Way;
use crate::engine::Attempt;
use crate::journal::Lsn;
use crate::liveness::Pulse;
use crate::options::{Options, Secret};
use crate::poison::Sample;
use crate::session::{Request, RequestKind};
use crate::time::Instant;
use crate::wire::{AckKind, Connack, Connect, PropertyId, Publish, QoS, Reason, Version, PACKET_SIZE_LIMIT};

/// What a server may leave unread of ours before we stop answering it: answers to its own packets are the only
/// bytes whose number the peer decides.
pub(crate) const ANSWERS_LIMIT: usize = 4 << 20;

/// Most QoS 2 publishes in flight on MQTT 3.1.1. Its servers cannot announce a receive maximum, yet some have one:
/// mosquitto, as shipped, takes 20. The 21st ends the connection, again and again, because the resends exceed it too;
/// and while 20 are open, a QoS 1 publish is acknowledged and thrown away. So 20 are never open.
const UNANNOUNCED_WINDOW: usize = 19;

#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum LinkPhase {
    Dialling,
    Greeting,
    Live,
    /// The application asked to stop: what was accepted before this place of the list may still leave, then
    /// DISCONNECT with this reason.
    Leaving(Reason, u64),
    /// DISCONNECT is in bytes that the transport has not taken yet; then the link is dropped.
    Left,
}

/// What our CONNECT told the server. It holds for this link, whatever the options become meanwhile.
#[derive(Debug, Default)]
pub(crate) struct Announced {
    pub(crate) client_id: ByteString,
    pub(crate) clean_start: bool,
    /// Seconds for which the session is to outlive the connection.
    pub(crate) session_expiry: u32,
    pub(crate) receive_maximum: u16,
    pub(crate) maximum_packet_size: u32,
    pub(crate) topic_alias_maximum: u16,
    /// How we are to be authenticated, where user name and password are not enough.
    pub(crate) method: Option<ByteString>,
}

impl Announced {
    fn new(version: Version, connect: &Connect) -> Self {
        let number = |id, default| connect.properties.number(id).unwrap_or(default);
        let short = |id, default| u16::try_from(number(id, u32::from(default))).unwrap_or(default);
        Announced {
            client_id: connect.client_id.clone(),
            clean_start: connect.clean_start,
            session_expiry: match version {
                Version::V4 if connect.clean_start => 0,
                Version::V4 => u32::MAX,
                Version::V5 => number(PropertyId::SessionExpiryInterval, 0),
            },
            receive_maximum: short(PropertyId::ReceiveMaximum, u16::MAX),
            maximum_packet_size: number(PropertyId::MaximumPacketSize, PACKET_SIZE_LIMIT),
            topic_alias_maximum: short(PropertyId::TopicAliasMaximum, 0),
            method: match version {
                Version::V4 => None,
                Version::V5 => connect.properties.text(PropertyId::AuthenticationMethod).cloned(),
            },
        }
    }
}

/// What the server of this connection accepts. Defaults are those of absent CONNACK properties.
#[derive(Debug)]
pub(crate) struct Limits {
    pub(crate) maximum_packet_size: u32,
    maximum_qos: u8,
    retain_available: bool,
    wildcard_available: bool,
    shared_available: bool,
    identifiers_available: bool,
}

impl Limits {
    fn new(connack: Option<&Connack>) -> Self {
        let number = |id, default| connack.and_then(|c| c.properties.number(id)).unwrap_or(default);
        Limits {
            maximum_packet_size: number(PropertyId::MaximumPacketSize, PACKET_SIZE_LIMIT)
                .min(PACKET_SIZE_LIMIT),
            maximum_qos: number(PropertyId::MaximumQoS, 2) as u8,
            retain_available: number(PropertyId::RetainAvailable, 1) == 1,
            wildcard_available: number(PropertyId::WildcardSubscriptionAvailable, 1) == 1,
            shared_available: number(PropertyId::SharedSubscriptionAvailable, 1) == 1,
            identifiers_available: number(PropertyId::SubscriptionIdentifierAvailable, 1) == 1,
        }
    }

    /// What this server would not take of a publish. [MQTT-3.2.2-11, MQTT-3.2.2-14]
    pub(crate) fn refuses_publish(&self, publish: &Publish) -> Option<String> {
        if publish.qos as u8 > self.maximum_qos {
            return Some(format!("QoS {}; its maximum is {}", publish.qos as u8, self.maximum_qos));
        }
        (publish.retain && !self.retain_available).then(|| "retained messages".into())
    }

    /// What this server would not take of a subscribe. [MQTT5 3.2.2.3.11 to 13]
    pub(crate) fn refuses_request(&self, request: &Request) -> Option<&'static str> {
        let RequestKind::Subscribe(subscriptions) = &request.kind else { return None };
        let filter = |test: fn(&str) -> bool| subscriptions.iter().any(|s| test(&s.filter));
        if !self.wildcard_available && filter(|f| f.contains(['+', '#'])) {
            return Some("wildcard subscriptions");
        }
        if !self.shared_available && filter(|f| f.starts_with("$share/")) {
            return Some("shared subscriptions");
        }
        let identified = request.properties.number(PropertyId::SubscriptionIdentifier).is_some();
        (!self.identifiers_available && identified).then_some("subscription identifiers")
    }
}

/// PUBREL or PUBCOMP.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Answer {
    pub(crate) kind: AckKind,
    pub(crate) packet_identifier: u16,
    pub(crate) reason_code: u8,
    pub(crate) rests_on: Lsn,
}

/// What a CONNECT says of who we are. `Debug` shows no secret.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Login {
    /// User name; the empty one is not the absent one.
    pub username: Option<ByteString>,
    /// Password, any bytes.
    pub password: Option<Secret>,
    /// The first data of the authentication method (MQTT 5), which is one of the `connect_properties`. `None`: what
    /// stands there, too.
    pub authentication_data: Option<Secret>,
}

#[derive(Debug)]
pub(crate) struct Link {
    pub(crate) attempt: Attempt,
    pub(crate) version: Version,
    pub(crate) phase: LinkPhase,
    pub(crate) announced: Announced,
    pub(crate) limits: Limits,
    /// Incomplete packet at the end of what was received.
    pub(crate) partial: BytesMut,
    /// Encoded packets that wait for the transport, acknowledgements and publishes not among them.
    pub(crate) control: BytesMut,
    /// Acknowledgements that wait for the transport. Until they are taken they have not happened.
    pub(crate) owed: VecDeque<Delivery>,
    /// PUBREL and PUBCOMP that wait until what they rest on is durable.
    pub(crate) held: VecDeque<Answer>,
    /// Next item of the outgoing list that this link has not written.
    pub(crate) cursor: u64,
    /// Everything before this place is counted against the window and has its packet identifier. It runs ahead of the
    /// cursor while the journal is being written.
    pub(crate) counted: u64,
    /// End of what the link found in flight.
    pub(crate) resend_end: u64,
    /// Of what is counted, the publishes that are not acknowledged.
    pub(crate) outstanding: usize,
    pub(crate) window: usize,
    /// The QoS 2 publishes among `outstanding`.
    pub(crate) exactly_once: usize,
    /// QoS 0 publishes in bytes that the transport has not taken yet.
    pub(crate) unflushed: Vec<Ticket>,
    aliases: BTreeMap<u16, ByteString>,
    pub(crate) deadline: Option<Instant>,
    pub(crate) stable_at: Option<Instant>,
    /// The way to the server, while it is being sought.
    pub(crate) way: Way,
    /// Who we are, where it is not for the options to say.
    pub(crate) login: Option<Login>,
    /// When the transport was up to whoever answers to CONNECT, and the CONNECT was written; or our last AUTH.
    pub(crate) greeted: Option<Instant>,
    /// Who is to speak next in an exchange that authenticates.
    pub(crate) turn: Turn,
    pub(crate) pulse: Pulse,
    /// The driver does not read, because the application is behind.
    pub(crate) reading_paused: bool,
    /// The application message that is the last thing that came, and when.
    pub(crate) sample: Option<(Sample, Instant)>,
    /// Bytes of a packet that is passed over.
    pub(crate) skip: usize,
    /// A SUBSCRIBE followed the CONNECT.
    pub(crate) pipelined: bool,
    /// The server has ended its side, in order and not by a reset.
    pub(crate) ended: bool,
    /// The attempt has failed because the server did not answer in time, and its connection is kept nevertheless.
    pub(crate) late: bool,
    /// When it was looked last whether a publish that is held back may leave.
    pub(crate) last_looked: Instant,
}

impl Link {
    pub(crate) fn new(way: Way, options: &Options, now: Instant) -> Self {
        Link {
            attempt: way.attempt,
            version: options.protocol_version,
            phase: LinkPhase::Dialling,
            announced: Announced::default(),
            limits: Limits::new(None),
            partial: BytesMut::new(),
            control: BytesMut::new(),
            owed: VecDeque::new(),
            held: VecDeque::new(),
            cursor: 0,
            counted: 0,
            resend_end: 0,
            outstanding: 0,
            window: 0,
            exactly_once: 0,
            unflushed: Vec::new(),
            aliases: BTreeMap::new(),
            deadline: Some(now + options.connect_timeout),
            stable_at: None,
            way,
            login: None,
            greeted: None,
            turn: Turn::Nobody,
            pulse: Pulse::new(now),
            reading_paused: false,
            sample: None,
            skip: 0,
            pipelined: false,
            ended: false,
            late: false,
            last_looked: now,
        }
    }

    /// The transport is up, and this CONNECT is the first packet on it.
    pub(crate) fn greet(&mut self, now: Instant, version: Version, connect: &Connect) {
        self.phase = LinkPhase::Greeting;
        self.greeted = Some(now);
        self.version = version;
        self.announced = Announced::new(version, connect);
        self.turn = if self.announced.method.is_some() { Turn::Server } else { Turn::Nobody };
        self.pulse.keep_alive = Duration::from_secs(u64::from(connect.keep_alive));
    }

    /// The server accepted: its limits hold from here on.
    pub(crate) fn accepted(&mut self, now: Instant, connack: &Connack, options: &Options) {
        self.phase = LinkPhase::Live;
        self.turn = Turn::Nobody;
        self.limits = Limits::new(Some(connack));
        let receive_maximum = connack.properties.number(PropertyId::ReceiveMaximum).unwrap_or(65_535);
        self.window = usize::from(options.max_inflight).min(receive_maximum as usize);
        if let Some(seconds) = connack.properties.number(PropertyId::ServerKeepAlive) {
            self.pulse.keep_alive = Duration::from_secs(u64::from(seconds)); // [MQTT-3.2.2-21]
        }
        self.deadline = None;
        if let Some(greeted) = self.greeted {
            self.pulse.greeted(now.since(greeted));
        }
        self.stable_at = Some(now + options.stable_after);
    }

    /// The CONNECT has left and nobody knows what became of it.
    pub(crate) fn is_unanswered(&self) -> bool {
        self.phase == LinkPhase::Greeting && self.control.is_empty()
    }

    pub(crate) fn is_live(&self) -> bool {
        matches!(self.phase, LinkPhase::Live | LinkPhase::Leaving(..))
    }

    /// Bytes of the answers to the server's own packets that it has not read.
    pub(crate) fn answers(&self) -> usize {
        self.control.len() + 4 * (self.owed.len() + self.held.len())
    }

    /// The topic of an inbound PUBLISH: notes a new alias, resolves a known one. The error is the reason code for an
    /// alias that is beyond what we allowed or that was never set. [MQTT-3.3.2-7, MQTT-3.3.2-9, MQTT5 3.3.2.3.4]
    pub(crate) fn resolve_alias(&mut self, publish: &mut Publish) -> Result<(), u8> {
        let maximum = self.announced.topic_alias_maximum;
        let Some(alias) = publish.properties.number(PropertyId::TopicAlias) else { return Ok(()) };
        let alias = u16::try_from(alias).ok().filter(|alias| (1..=maximum).contains(alias)).ok_or(0x94)?;
        if publish.topic.is_empty() {
            publish.topic = self.aliases.get(&alias).ok_or(0x82)?.clone();
        } else {
            // A copy of its own: the received topic shares its allocation with the payload.
            let topic: &str = &publish.topic;
            self.aliases.insert(alias, ByteString::from(topic));
        }
        publish.properties.remove(PropertyId::TopicAlias);
        Ok(())
    }

    /// A publish that needs an acknowledgement takes its place in the window.
    pub(crate) fn count(&mut self, qos: QoS) {
        self.outstanding += usize::from(qos != QoS::AtMostOnce);
        self.exactly_once += usize::from(qos == QoS::ExactlyOnce);
    }

    /// It gives its place up.
    pub(crate) fn discount(&mut self, qos: QoS) {
        self.outstanding = self.outstanding.saturating_sub(usize::from(qos != QoS::AtMostOnce));
        self.exactly_once = self.exactly_once.saturating_sub(usize::from(qos == QoS::ExactlyOnce));
    }

    /// What the server cannot take because the window is closed.
    pub(crate) fn window_is_closed(&self, publish: &Publish) -> bool {
        let unannounced = self.version == Version::V4 && publish.qos == QoS::ExactlyOnce;
        (publish.qos != QoS::AtMostOnce && self.outstanding >= self.window)
            || (unannounced && self.exactly_once >= UNANNOUNCED_WINDOW)
    }
}
