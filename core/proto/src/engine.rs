//! The engine: session, link and reconnection behind four verbs.
//!
//! `handle` takes what happened, the three polls give what is to be done. What a caller must know beyond the verbs:
//! drain `poll_output` after each `handle`; on [`Output::Hangup`] of the current link take `poll_transmit` once more and
//! write that before closing; whatever names an attempt that is not the current one is ignored.
//!
//! The verbs and the application's commands are here, connecting and losing links in `lifecycle`, packets of the
//! server in `receive`, packets of ours in `transmit`.

use bytes::{Bytes, BytesMut};
use bytestring::ByteString;
use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use crate::auth::Exchange;
use crate::command::{Command, Delivery, Level, Ticket};
use crate::dialling::Dialling;
use crate::error::{Error, ErrorCode};
use crate::event::{Event, Outcome};
use crate::journal::{Change, Journal, Lsn, Recovery};
use crate::link::{Link, LinkPhase, Login};
use crate::liveness::{Sign, Transit};
use crate::options::Options;
use crate::pipeline::Memory;
use crate::poison::Poison;
use crate::reconnect::Reconnect;
use crate::referral::Referral;
use crate::session::{Admission, Phase, Session};
use crate::stats::Stats;
use crate::time::Instant;
use crate::timeline::Chronicle;
use crate::timer::Timer;
use crate::wire::{Properties, Publish, QoS, Reason};

/// The queue of outputs keeps its allocation for the next ones up to this length; an idle client keeps none.
const OUTPUTS_KEPT: usize = 64;

/// Generation number of a connection attempt. Whatever comes from a dead link is ignored by comparing it.
pub type Attempt = u64;

/// What happened outside.
#[derive(Debug)]
pub enum Input<'a> {
    /// The application wants something.
    Command(Command),
    /// The transport of this attempt is up.
    LinkUp(Attempt),
    /// This attempt begins only after so long, because others of the process have to come first: its timeout counts
    /// from then on.
    Postponed(Attempt, Duration),
    /// What this attempt's CONNECT says of who we are, in place of the options. Before `LinkUp`.
    Login(Attempt, Login),
    /// Bytes arrived. None: the server has ended its side in order; `LinkDown` follows.
    Received(Attempt, &'a [u8]),
    /// Somebody has answered: TCP is up, and what lies above it (TLS, WebSocket, a proxy) follows. May be left out
    /// before `LinkUp`.
    Reached(Attempt),
    /// The transport failed or was closed by the other side, or could not be made.
    LinkDown(Attempt, Error),
    /// The answer to [`Output::Inspect`], at once; `None` where the system does not tell.
    Inspected(Attempt, Option<Transit>),
    /// The machine has slept: time has passed in which nothing could arrive.
    Resumed,
    /// Everything that `poll_transmit` gave was handed to the transport.
    Flushed(Attempt),
    /// The driver stopped reading because the application is behind (`true`), or reads again. Silence that we cause
    /// ourselves is no evidence against the link. It holds for the link of the moment and ends with it: the next one is
    /// read until this says otherwise.
    ReadingPaused(bool),
    /// Every change up to this one is durable.
    Persisted(Lsn),
    /// The changes that wait cannot be made durable now. The driver goes on trying, in their order.
    PersistFailed(Error),
    /// The time of `poll_timeout` has come. Coming early or late is harmless.
    Timeout,
}

/// What the engine wants done outside.
#[derive(Debug)]
pub enum Output {
    /// Connect to the server with this index, as in [`Event::Connecting`]: [`Engine::server`] knows its URL.
    Dial(Attempt, usize),
    /// The same, but only until somebody has answered; then say [`Input::Reached`] and wait for `Proceed` or `Hangup`.
    /// Another link may be up meanwhile.
    Probe(Attempt, usize),
    /// Go on with what `Probe` began, to the end.
    Proceed(Attempt),
    /// Nobody has answered yet: try once more beside what is under way. Whichever is answered first counts.
    TryAgain(Attempt),
    /// Look at what TCP knows of this connection, and say [`Input::Inspected`].
    Inspect(Attempt),
    /// Write what `poll_transmit` still gives, without waiting for long, then close the transport. A way from `Probe`, or
    /// one that is still dialled, is only given up: nothing is to be written there.
    Hangup(Attempt),
    /// Make this change durable, after all that came before it, then say [`Input::Persisted`]. Only of an engine made
    /// by [`Engine::recover`].
    Persist(Lsn, Change),
    /// For the application.
    Event(Event),
}

/// The state of the connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(i32)]
pub enum State {
    /// Not started, or stopped.
    Stopped = 0,
    /// An attempt is under way.
    Connecting = 1,
    /// The server accepted the connection.
    Connected = 2,
    /// Waiting for the next attempt, or for the late answer to the last one.
    Waiting = 3,
    /// Closed for good.
    Closed = 4,
}

/// The MQTT client engine. Single-threaded and pure: see the crate's description.
pub struct Engine {
    /// Shared with whoever shows them.
    pub(crate) options: Arc<Options>,
    pub(crate) session: Session,
    pub(crate) link: Option<Link>,
    pub(crate) reconnect: Reconnect,
    pub(crate) dialling: Dialling,
    pub(crate) poison: Poison,
    pub(crate) referral: Referral,
    pub(crate) memory: Memory,
    pub(crate) outputs: VecDeque<Output>,
    /// Last bytes of a link that is being hung up.
    pub(crate) farewell: BytesMut,
    pub(crate) chronicle: Chronicle,
    pub(crate) stats: Stats,
    pub(crate) attempts: Attempt,
    pub(crate) exchanges: Exchange,
    /// `Start` came while a stopped link was still saying farewell.
    pub(crate) start_again: bool,
    /// Who waits for what to be durable; true: it is a publish.
    pub(crate) syncs: VecDeque<(Lsn, Ticket, bool)>,
    /// Publishes that are complete once they are durable, until they are out of the list; true: they are durable.
    pub(crate) fsynced: BTreeMap<Ticket, bool>,
    /// Received messages that the application gets once they are durable, and what must not overtake them.
    pub(crate) arriving: VecDeque<(Lsn, Event)>,
    /// Why the journal cannot be written, while it cannot.
    pub(crate) store_failure: Option<Error>,
    closed: bool,
    /// The client identifier was made here, because the application gave none.
    pub(crate) made_client_id: bool,
    /// The topic of the message in hand, where it is not UTF-8.
    pub(crate) raw_topic: Option<Bytes>,
    /// How many fields the DISCONNECT in hand has.
    pub(crate) server_said: u8,
}

impl Engine {
    /// An engine that is not started and keeps its session in memory. The seed feeds the jitter and, where none was
    /// given, the client identifier.
    pub fn new(mut options: Options, seed: u64, now: Instant) -> Engine {
        let _ = now;
        let made_client_id = options.client_id.is_empty();
        if made_client_id {
            // 22 characters of the set that every 3.1.1 server must accept. [MQTT-3.1.3-5]
            options.client_id = ByteString::from(format!("remqtt{seed:016x}"));
        }
        Engine {
            session: Session::new(&options),
            link: None,
            reconnect: Reconnect::new(seed),
            dialling: Dialling::default(),
            poison: Poison::default(),
            referral: Referral::default(),
            memory: Memory::default(),
            outputs: VecDeque::new(),
            farewell: BytesMut::new(),
            chronicle: Chronicle::default(),
            stats: Stats::default(),
            attempts: 0,
            exchanges: 0,
            start_again: false,
            syncs: VecDeque::new(),
            fsynced: BTreeMap::new(),
            arriving: VecDeque::new(),
            store_failure: None,
            closed: false,
            made_client_id,
            raw_topic: None,
            server_said: 0,
            options: Arc::new(options),
        }
    }

    /// An engine that goes on where an earlier process stopped, or begins with an empty store, and keeps its session
    /// there. `unix_ms` is `now` on the wall clock, in milliseconds since 1970: expiries have to outlive this process.
    /// Whether the store's session belongs to the client identifier of the options is for the caller to check.
    pub fn recover(
        mut options: Options,
        mut recovery: Recovery,
        seed: u64,
        now: Instant,
        unix_ms: i64,
    ) -> Engine {
        if options.client_id.is_empty() {
            options.client_id = recovery.client_id.clone();
        }
        let mut engine = Engine::new(options, seed, now);
        if recovery.numbered.epoch == 0 {
            recovery.numbered.epoch = seed ^ unix_ms.unsigned_abs().rotate_left(32) | 1;
        }
        let journal = Journal::kept(&recovery, now, unix_ms);
        for (place, stored) in std::mem::take(&mut recovery.publishes) {
            if let Phase::Sent(identifier) | Phase::Released(identifier) = stored.phase {
                engine.session.identifiers.recover(identifier);
            }
            let left = stored.expiry.map(|at| at.saturating_sub(unix_ms).max(0).unsigned_abs());
            let expires = left.map(|left| now + Duration::from_millis(left));
            engine.session.outbound.recover(place, stored, expires);
        }
        engine.session.journal = journal;
        engine.redeliver(&mut recovery);
        engine.session.recover(recovery, &engine.options);
        engine
    }

    /// Tells the engine what happened. Never fails, never blocks; drain the polls afterwards.
    pub fn handle(&mut self, now: Instant, input: Input<'_>) {
        let current = self.link.as_ref().map(|link| link.attempt);
        let probe = self.dialling.probe.as_ref().map(|way| way.attempt);
        match input {
            Input::Command(command) => self.command(now, command),
            Input::LinkUp(attempt) if current == Some(attempt) => self.link_up(now),
            Input::Postponed(attempt, wait) if current == Some(attempt) => self.postponed(wait),
            Input::Login(attempt, login) if current == Some(attempt) => self.login(login),
            Input::Received(attempt, bytes) if current == Some(attempt) => self.received(now, bytes),
            Input::LinkDown(attempt, error) if current == Some(attempt) => self.link_down(now, error),
            Input::LinkDown(attempt, _) if probe == Some(attempt) => self.probe_failed(),
            Input::Reached(attempt) => self.reached(now, attempt),
            Input::Flushed(attempt) if current == Some(attempt) => self.flushed(now),
            Input::Inspected(attempt, transit) if current == Some(attempt) => self.inspected(now, transit),
            Input::Resumed => self.resumed(now),
            Input::ReadingPaused(paused) => self.reading_paused(now, paused),
            Input::Persisted(lsn) => self.persisted(lsn),
            Input::PersistFailed(error) => self.persist_failed(error),
            Input::Timeout => self.timeout(now),
            Input::LinkUp(_) | Input::Postponed(..) | Input::Login(..) | Input::Inspected(..) => {}
            Input::Received(..) | Input::LinkDown(..) | Input::Flushed(_) => {}
        }
        self.session.note_subscriptions();
    }

    /// The next thing to do outside, until `None`.
    pub fn poll_output(&mut self) -> Option<Output> {
        if let Some(output) = self.outputs.pop_front() {
            return Some(output);
        }
        if self.outputs.capacity() > OUTPUTS_KEPT {
            self.outputs = VecDeque::new();
        }
        self.session.journal.poll().map(|(lsn, change)| Output::Persist(lsn, change))
    }

    /// When to come back with [`Input::Timeout`], and why.
    pub fn poll_timeout(&self) -> Option<(Instant, Timer)> {
        let link = self.link.as_ref();
        [
            (self.reconnect.at, Timer::Reconnect),
            (self.deadline(), Timer::ConnectTimeout),
            (self.next_try(), Timer::TryAgain),
            (self.overtaken_at(), Timer::Greeting),
            (self.ping_due().map(|(at, _)| at), Timer::KeepAlive),
            (self.suspect_at(), Timer::Suspect),
            (self.look_at(), Timer::Look),
            (self.silence_ends(), Timer::PingTimeout),
            (link.and_then(|link| link.stable_at), Timer::Stable),
            (self.release_due(), Timer::Release),
            (self.session.outbound.next_expiry(), Timer::Expiry),
        ]
        .into_iter()
        .filter_map(|(at, timer)| at.map(|at| (at, timer)))
        .min_by_key(|(at, _)| *at)
    }

    /// When silence after a PINGREQ means that the link is lost, unless we cause the silence.
    pub(crate) fn silence_ends(&self) -> Option<Instant> {
        self.link.as_ref().filter(|link| !link.reading_paused)?.pulse.lost_at(&self.options)
    }

    /// When a PINGREQ is due, and why, unless the application has no heartbeat.
    pub(crate) fn ping_due(&self) -> Option<(Instant, Sign)> {
        let link = self.link.as_ref().filter(|link| link.is_live() && self.options.heartbeat)?;
        link.pulse.ping_due(&self.options, link.reading_paused || link.phase != LinkPhase::Live)
    }

    /// The state of the connection.
    pub fn state(&self) -> State {
        match &self.link {
            _ if self.closed => State::Closed,
            Some(link) if link.is_live() => State::Connected,
            Some(link) if link.phase == LinkPhase::Left => State::Stopped,
            Some(link) if link.late => State::Waiting,
            Some(_) => State::Connecting,
            None if self.reconnect.at.is_some() => State::Waiting,
            None => State::Stopped,
        }
    }

    /// The statistics.
    pub fn stats(&self) -> Stats {
        let (backlog_messages, backlog_bytes) = self.session.outbound.waiting();
        Stats {
            backlog_messages: backlog_messages as u64,
            backlog_bytes: backlog_bytes as u64,
            inflight: self.session.outbound.in_flight_count() as u64,
            unacknowledged: self.session.inbound.len() as u64,
            subscriptions: self.session.subscriptions.len() as u64,
            ..self.stats
        }
    }

    /// The options in use; `client_id` is never empty here.
    pub fn options(&self) -> &Arc<Options> {
        &self.options
    }

    fn command(&mut self, now: Instant, command: Command) {
        match command {
            _ if self.closed => self.refuse(command),
            Command::Start => self.start(now),
            Command::Stop(reason) => self.stop(now, reason),
            Command::Close => self.close(),
            Command::ReconnectNow => {
                if let Some(at) = &mut self.reconnect.at {
                    *at = now;
                    self.timeout(now);
                }
            }
            Command::NetworkChanged => self.network_changed(now),
            Command::Reconfigure(options) => self.reconfigure(options),
            Command::Publish(ticket, publish) => self.publish(now, ticket, publish, Level::Stored),
            Command::PublishAt(ticket, publish, level) => self.publish(now, ticket, publish, level),
            Command::DropPublishes(to) => {
                // Nobody may wait for it any more; what is dropped stays dropped.
                let _ = to.send(self.drop_publishes());
            }
            Command::Subscribe(ticket, subscriptions, properties) => {
                let answer = self.session.subscriptions.subscribe(ticket, subscriptions, properties);
                if let Some(codes) = answer {
                    self.complete(ticket, Outcome::Subscribed(codes, Properties::new()));
                }
            }
            Command::Unsubscribe(ticket, filters, properties) => {
                self.session.subscriptions.unsubscribe(ticket, filters, properties);
            }
            Command::Sync(ticket) => {
                self.session.note_subscriptions();
                self.syncs.push_back((self.session.journal.noted(), ticket, false));
                self.stored();
            }
            Command::Acknowledge(deliveries) => {
                for delivery in deliveries {
                    self.acknowledge(delivery, 0);
                }
            }
            Command::Reject(delivery, reason_code) => self.acknowledge(delivery, reason_code),
            Command::Authenticate(exchange, properties) => self.authenticate(now, exchange, properties),
            Command::RefuseAuthentication(exchange) => self.refuse_authentication(now, exchange),
            Command::ConnectedHandled => self.session.subscriptions.end_claims(),
        }
    }

    /// A closed client takes nothing on; what was asked of it still gets its outcome.
    fn refuse(&mut self, command: Command) {
        match command {
            Command::Publish(ticket, _) | Command::PublishAt(ticket, ..) => {
                self.publish_failed(ticket, ErrorCode::Closed.into(), Properties::new())
            }
            Command::Subscribe(ticket, ..) | Command::Unsubscribe(ticket, ..) | Command::Sync(ticket) => {
                self.complete(ticket, Outcome::Failed(ErrorCode::Closed.into(), Properties::new()));
            }
            _ => {}
        }
    }

    fn reconfigure(&mut self, options: Arc<Options>) {
        let before = std::mem::replace(&mut self.options, options);
        self.made_client_id &=
            self.options.client_id.is_empty() || self.options.client_id == before.client_id;
        if self.options.client_id.is_empty() {
            Arc::make_mut(&mut self.options).client_id = before.client_id.clone();
        }
        if self.options.servers != before.servers {
            self.referral = Referral::default(); // the application's word is the last one
        }
        self.session.outbound.reconfigure(&self.options);
        self.session.started_clean = false;
        self.hang_up_late(); // it asked with the options before
    }

    fn publish(&mut self, now: Instant, ticket: Ticket, publish: Publish, level: Level) {
        let kept = match publish.qos {
            QoS::AtMostOnce => false,
            QoS::AtLeastOnce => level != Level::Memory,
            QoS::ExactlyOnce => true,
        };
        let live = self.link.as_ref().is_some_and(|link| link.phase == LinkPhase::Live);
        if !live && !self.options.queue_qos0_offline && !crate::session::needs_identifier(&publish) {
            return self.publish_failed(ticket, ErrorCode::NotConnected.into(), Properties::new());
        }
        if let Some(error) = self.store_failure.clone().filter(|_| kept) {
            return self.publish_failed(ticket, error, Properties::new());
        }
        let admission = self.session.outbound.accept(now, ticket, publish, kept, &mut self.session.journal);
        if level == Level::Fsynced && kept && self.session.journal.is_kept() {
            self.fsynced.insert(ticket, false);
            self.syncs.push_back((self.session.journal.noted(), ticket, true));
        }
        match admission {
            Admission::Accepted => {}
            Admission::Refused => self.publish_failed(ticket, ErrorCode::QueueFull.into(), Properties::new()),
            Admission::DroppedNewest => {
                self.publish_failed(ticket, ErrorCode::Dropped.into(), Properties::new())
            }
            Admission::Displaced(tickets) => {
                for ticket in tickets {
                    self.publish_failed(ticket, ErrorCode::Dropped.into(), Properties::new());
                }
            }
        }
    }

    /// An acknowledgement that still comes for one of them is tolerated as any unknown one.
    fn drop_publishes(&mut self) -> Vec<(Ticket, Publish)> {
        let outbound = &self.session.outbound;
        let items = outbound.places().into_iter().filter_map(|place| outbound.next(place));
        let given_up: Vec<_> = items
            .filter(|(_, item)| crate::session::needs_identifier(&item.publish))
            .map(|(place, item)| (place, item.ticket, item.publish.clone()))
            .collect();
        for (place, ..) in &given_up {
            self.give_up_flight(*place, ErrorCode::Dropped.into());
        }
        given_up.into_iter().map(|(_, ticket, publish)| (ticket, publish)).collect()
    }

    pub(crate) fn acknowledge(&mut self, delivery: Delivery, reason_code: u8) {
        if self.session.inbound.finish(delivery, &mut self.session.journal) {
            return;
        }
        if self.session.inbound.done(delivery, reason_code, &mut self.session.journal) {
            if let Some(link) = self.link.as_mut().filter(|link| link.is_live()) {
                link.owed.push_back(delivery);
            }
        }
    }

    /// Gives everything up. The link gets a DISCONNECT, every operation its outcome. In the store it stays as it is.
    fn close(&mut self) {
        self.reconnect.cancel();
        self.hang_up(&Reason::default());
        self.give_up_outage();
        self.session.note_subscriptions();
        self.session.journal.leave();
        for place in self.session.outbound.places() {
            if let Some(item) = self.session.outbound.remove(place, &mut self.session.journal) {
                self.publish_failed(item.ticket, ErrorCode::Closed.into(), Properties::new());
            }
        }
        self.arriving.clear();
        let syncs = std::mem::take(&mut self.syncs).into_iter();
        let syncs = syncs.filter_map(|(_, ticket, is_publish)| (!is_publish).then_some(ticket));
        for ticket in self.session.subscriptions.give_up().into_iter().chain(syncs) {
            self.complete(ticket, Outcome::Failed(ErrorCode::Closed.into(), Properties::new()));
        }
        self.closed = true;
        self.emit(Event::Closed);
    }

    fn reading_paused(&mut self, now: Instant, paused: bool) {
        let Some(link) = self.link.as_mut().filter(|link| link.reading_paused != paused) else { return };
        link.reading_paused = paused;
        if !paused {
            link.pulse.excuse(now);
            if let (LinkPhase::Greeting | LinkPhase::Live, Some(deadline)) = (&link.phase, &mut link.deadline)
            {
                *deadline = now + self.options.connect_timeout;
            }
        }
    }

    pub(crate) fn emit(&mut self, event: Event) {
        self.outputs.push_back(Output::Event(event));
    }

    pub(crate) fn complete(&mut self, ticket: Ticket, outcome: Outcome) {
        self.emit(Event::Completed(ticket, outcome));
    }
}
