//! Ways to the server: when another try is made beside one that is not answered, and a second way beside a link.
//!
//! **Tries.** Neither TCP nor a connect() in the kernel notices that a network carries again: both wait for their next
//! timer, which doubles. So while nobody answers, another try is made beside the others, at a spacing that depends on
//! how long that has been so and not on how often it was tried ([`SPACINGS`]). A refusal is an answer: it ends
//! the attempt, and `reconnect.rs` says when to try again.
//!
//! **A second way.** Beside a link that is suspect, or whose CONNECT is not answered, a way is opened as far as TCP.
//! Whoever proves alive first wins: bytes on the link drop the way; when the link is given up, the way becomes the next
//! link, and only then goes on to TLS and CONNECT. So two CONNECTs of one client never race each other, and a server
//! sees the session taken over (and publishes the will) only when the old link has failed its ping.
//!
//! **A late answer.** An attempt whose CONNECT was not answered in time has failed, but its connection is kept until the
//! next attempt begins. A server that was stopped, or has too much to do, answers when it can: then the client is back at
//! once, and the server has not worked for a connection that nobody holds any more.

use std::time::Duration;

use crate::auth::Turn;
use crate::engine::{Attempt, Engine, Output};
use crate::error::{Error, ErrorCode};
use crate::lifecycle::End;
use crate::link::{Link, LinkPhase};
use crate::liveness::{Movement, Sign, Transit};
use crate::server::Server;
use crate::time::Instant;
use crate::wire::{self, Properties};

/// How far apart tries are, by how long nobody has answered: a quarter of a second as in RFC 8305, then less often,
/// because who waited long can wait a little longer.
const SPACINGS: [(Duration, Duration); 3] = [
    (Duration::from_secs(10), Duration::from_millis(250)),
    (Duration::from_secs(30), Duration::from_millis(500)),
    (Duration::from_secs(45), Duration::from_secs(1)),
];
/// All clients of a server find the way open at once when a long silence ends, and arrive within one spacing: after a
/// minute's silence no second may see more than a fifth of them. Drawn, because they fell silent together.
const WIDEST: (Duration, Duration) = (Duration::from_secs(4), Duration::from_secs(9));
/// The pause between an attempt that nobody answered and the next one, where that would be due at once.
const PAUSE: Duration = Duration::from_millis(10);
/// How long the first CONNECT of an outage (or the handshake before it) may stay unanswered before another way is
/// sought. It doubles each time, up to the connect timeout: a server that is slow, and not dead, is reached at last.
const GREETING: Duration = Duration::from_millis(400);
/// The same while no server has ever answered: what is usual is not known (RFC 6298, 2.1).
const GREETING_UNKNOWN: Duration = Duration::from_secs(1);

/// A way to the server, from the first try to the answer.
#[derive(Debug, Clone)]
pub(crate) struct Way {
    pub(crate) attempt: Attempt,
    pub(crate) server: Server,
    /// When another try is due; `None`: somebody has answered.
    next: Option<Instant>,
    /// When the first try was made, and whether it is the only one: its answer measures the round trip.
    begun: Instant,
    alone: bool,
    /// When somebody answered.
    answered: Option<Instant>,
    /// Another way was sought because what came after the answer took too long.
    overtaken: bool,
    /// The longest that the server took for an answer since, or for the handshake before the CONNECT.
    slowest: Duration,
}

impl Way {
    /// It begins only after so long.
    pub(crate) fn postpone(&mut self, wait: Duration) {
        self.begun = self.begun + wait;
        self.next = self.next.map(|next| next + wait);
    }
}

/// What outlives single attempts.
#[derive(Debug, Default)]
pub(crate) struct Dialling {
    /// The second way, beside the link.
    pub(crate) probe: Option<Way>,
    /// Since when nobody has answered.
    silent_since: Option<Instant>,
    /// Greetings in a row that were given up because they were not answered.
    unanswered: u32,
    /// How long TCP took last, where there was one try only.
    trip: Duration,
    /// How long the last answer to a greeting took, or the handshake before it if that was longer.
    greeting: Option<Duration>,
}

impl Dialling {
    /// Somebody has answered on this way.
    fn answered(&mut self, now: Instant, way: &mut Way) {
        if way.alone && way.answered.is_none() {
            self.trip = now.since(way.begun);
        }
        way.next = None;
        way.answered.get_or_insert(now);
        self.silent_since = None;
    }

    /// How long a greeting may stay unanswered: a while, and longer where TCP or the last greeting took long.
    fn patience(&self) -> Duration {
        let greeting = self.greeting.map_or(GREETING_UNKNOWN, |greeting| (greeting * 2).max(GREETING));
        greeting.max(self.trip * 3).saturating_mul(1 << self.unanswered.min(16))
    }
}

impl Engine {
    /// How far apart tries are now. The smallest delay between attempts holds for them too.
    fn spacing(&mut self, now: Instant) -> Duration {
        let silent = self.dialling.silent_since.map_or(Duration::ZERO, |since| now.since(since));
        let row = SPACINGS.iter().find(|(until, _)| silent < *until);
        let spacing = row.map_or_else(|| self.reconnect.between(WIDEST.0, WIDEST.1), |(_, spacing)| *spacing);
        spacing.max(self.options.reconnect_min_delay)
    }

    /// The attempt begins: on the second way if there is one to this server, else on a new one.
    pub(crate) fn way(&mut self, now: Instant, server: Server) -> Way {
        match self.dialling.probe.take() {
            Some(way) if way.server.url == server.url => {
                self.outputs.push_back(Output::Proceed(way.attempt));
                Way { server, overtaken: false, answered: way.answered.map(|_| now), ..way }
            }
            other => {
                self.dialling.probe = other;
                self.drop_probe();
                let way = self.new_way(now, server);
                self.outputs.push_back(Output::Dial(way.attempt, way.server.index));
                way
            }
        }
    }

    fn new_way(&mut self, now: Instant, server: Server) -> Way {
        self.attempts += 1;
        self.dialling.silent_since.get_or_insert(now);
        let next = Some(now + self.spacing(now));
        let (attempt, begun, answered) = (self.attempts, now, None);
        Way { attempt, server, next, begun, alone: true, answered, overtaken: false, slowest: Duration::ZERO }
    }

    /// Opens a second way beside the link, to where the next attempt would lead.
    fn probe(&mut self, now: Instant) {
        let Some(link) = self.link.as_ref().filter(|_| self.options.reconnect) else { return };
        if self.dialling.probe.is_none() {
            let way = self.new_way(now, self.after(link));
            self.stats.probes += 1;
            self.outputs.push_back(Output::Probe(way.attempt, way.server.index));
            self.dialling.probe = Some(way);
        }
    }

    pub(crate) fn drop_probe(&mut self) {
        if let Some(way) = self.dialling.probe.take() {
            self.outputs.push_back(Output::Hangup(way.attempt));
        }
    }

    /// Somebody has answered on this way: TCP is up, and what lies above it follows.
    pub(crate) fn reached(&mut self, now: Instant, attempt: Attempt) {
        if let Some(mut way) = self.dialling.probe.take_if(|way| way.attempt == attempt) {
            self.dialling.answered(now, &mut way);
            self.dialling.probe = Some(way);
            let Some(link) = self.link.as_ref().filter(|link| !link.is_live()) else { return };
            let greeted = link.way.answered.is_some();
            self.dialling.unanswered += u32::from(greeted);
            let why = if greeted { "no CONNACK; tried anew" } else { "another server answered first" };
            self.lose_silent(now, Error::new(ErrorCode::ConnectTimeout, why));
        } else if let Some(link) = self.link.as_mut().filter(|link| link.attempt == attempt) {
            self.dialling.answered(now, &mut link.way);
            if !link.is_live() && !link.way.overtaken {
                self.drop_probe(); // of a server that came second
            }
        }
    }

    /// The second way has failed. The link is left to itself.
    pub(crate) fn probe_failed(&mut self) {
        self.dialling.silent_since = None;
        self.dialling.probe = None;
    }

    /// The link proves alive: no second way is needed.
    pub(crate) fn proved_alive(&mut self, now: Instant) {
        let Some(link) = &mut self.link else { return };
        link.pulse.received(now);
        self.drop_probe();
    }

    /// The server has answered the CONNECT, whatever it said.
    pub(crate) fn greeting_answered(&mut self, now: Instant) {
        self.step_answered(now);
        self.dialling.unanswered = 0;
    }

    /// The server has answered what we said last, and be it with an AUTH.
    pub(crate) fn step_answered(&mut self, now: Instant) {
        let Some(link) = &mut self.link else { return };
        let (Some(answered), Some(greeted)) = (link.way.answered, link.greeted) else { return };
        let took = greeted.since(answered).max(now.since(greeted));
        link.way.slowest = link.way.slowest.max(took);
        self.dialling.greeting = Some(link.way.slowest);
    }

    /// We have answered the server's AUTH. Only from now on it is the server again who is slow.
    pub(crate) fn asked_again(&mut self, now: Instant) {
        let Some(link) = &mut self.link else { return };
        (link.greeted, link.way.answered, link.way.overtaken) = (Some(now), Some(now), false);
    }

    /// The server has not answered in time: the attempt has failed, and its connection stays.
    pub(crate) fn keep_late(&mut self, now: Instant) {
        let Some(mut link) = self.link.take() else { return };
        (link.late, link.deadline) = (true, None);
        let error = ErrorCode::ConnectTimeout.into();
        let end = End { error, properties: Properties::new(), from_server: false, hang_up: false };
        self.reschedule(now, &link, end);
        self.link = Some(link);
        self.timeout(now);
    }

    /// The connection of the attempt that has failed is of use after all. How long it took is no measure of the server.
    pub(crate) fn answered_late(&mut self, now: Instant) {
        let deadline = Some(now + self.options.connect_timeout);
        let Some(link) = self.link.as_mut().filter(|link| link.late) else { return };
        (link.late, link.deadline) = (false, deadline);
        (link.greeted, link.way.answered) = (None, Some(now));
        self.reconnect.cancel();
    }

    /// The connection of the attempt that has failed ends unused.
    pub(crate) fn drop_late(&mut self) {
        if let Some(link) = self.drop_link() {
            self.session.doubtful |= link.is_unanswered();
        }
    }

    /// The same, and it is for us to end it.
    pub(crate) fn hang_up_late(&mut self) {
        if let Some(link) = self.link.as_ref().filter(|link| link.late) {
            self.outputs.push_back(Output::Hangup(link.attempt));
            self.drop_late();
        }
    }

    /// When the next try is due on any way.
    pub(crate) fn next_try(&self) -> Option<Instant> {
        let link = self.link.as_ref().and_then(|link| link.way.next);
        let probe = self.dialling.probe.as_ref().and_then(|way| way.next);
        [link, probe].into_iter().flatten().min()
    }

    /// When another way is sought because the greeting takes too long.
    pub(crate) fn overtaken_at(&self) -> Option<Instant> {
        let link = self.link.as_ref().filter(|link| !link.is_live() && link.phase != LinkPhase::Left)?;
        let watched = !self.options.detect_within.is_zero() && !link.reading_paused && !link.way.overtaken;
        let watched = watched && !link.late && !matches!(link.turn, Turn::Ours(_));
        let since = link.way.answered.max(link.greeted).filter(|_| watched)?;
        Some(since + self.dialling.patience())
    }

    /// What is due of tries and doubts.
    pub(crate) fn dialling_timeout(&mut self, now: Instant) {
        let due = |at: Option<Instant>| at.is_some_and(|at| at <= now);
        let spacing = self.spacing(now);
        let link = self.link.as_mut().map(|link| &mut link.way);
        let mut tried = false;
        for way in [link, self.dialling.probe.as_mut()].into_iter().flatten() {
            if due(way.next) {
                (way.next, way.alone, tried) = (Some(now + spacing), false, true);
                self.outputs.push_back(Output::TryAgain(way.attempt));
            }
        }
        if tried && self.options.race_servers {
            self.race(now, spacing);
        }
        if due(self.overtaken_at()) {
            let Some(link) = &mut self.link else { return };
            link.way.overtaken = true;
            self.probe(now);
        }
        if due(self.suspect_at()) {
            let Some(link) = &mut self.link else { return };
            link.pulse.suspected();
            self.outputs.push_back(Output::Inspect(link.attempt));
        } else if due(self.look_at()) {
            let Some(link) = &mut self.link else { return };
            link.pulse.looking();
            self.outputs.push_back(Output::Inspect(link.attempt));
        }
    }

    /// Nobody has answered at this server: tries the next one beside it. Of more than two each has a while, which grows
    /// with every round of the list: a server may be far away.
    fn race(&mut self, now: Instant, spacing: Duration) {
        let servers = self.options.servers.len();
        let Some(link) = self.link.as_ref().filter(|link| link.phase == LinkPhase::Dialling) else { return };
        if servers < 2 || link.way.answered.is_some() || !link.way.server.listed {
            return;
        }
        let full = self.dialling.probe.as_ref().is_some_and(|probe| probe.answered.is_none());
        let patience = 2 * spacing * self.reconnect.round(servers);
        if full && servers > 2 && now.since(link.way.begun) >= patience {
            self.lose_silent(
                now,
                Error::new(ErrorCode::ConnectTimeout, "no answer; other servers are tried"),
            );
        }
        self.probe(now);
    }

    /// When the link becomes suspect.
    pub(crate) fn suspect_at(&self) -> Option<Instant> {
        self.watched()?.pulse.suspect_at(&self.options)
    }

    /// When the driver is to look at TCP.
    pub(crate) fn look_at(&self) -> Option<Instant> {
        self.watched()?.pulse.look_at(&self.options)
    }

    /// The link, while its silence means something.
    fn watched(&self) -> Option<&Link> {
        let looks = |link: &&Link| link.phase == LinkPhase::Live && !link.reading_paused;
        self.link.as_ref().filter(looks).filter(|_| self.options.heartbeat)
    }

    /// What TCP says of the link, where the system tells.
    pub(crate) fn inspected(&mut self, now: Instant, transit: Option<Transit>) {
        if self.watched().is_none() {
            return;
        }
        let Some(link) = &mut self.link else { return };
        let movement =
            transit.map_or(Movement::None, |transit| link.pulse.looked(now, transit, &self.options));
        let wanted = link.pulse.wants_another_way();
        if movement == Movement::Lost {
            self.ask(now, Sign::Retransmits);
        }
        if wanted {
            self.probe(now);
        }
    }

    /// Something speaks against the link: asks it for a sign of life, unless it is being asked.
    fn ask(&mut self, now: Instant, sign: Sign) {
        if self.watched().is_none() {
            return;
        }
        let Some(link) = &mut self.link else { return };
        if link.pulse.ask(now, sign) {
            wire::encode_pingreq(&mut link.control);
        }
    }

    /// A link, an address or a route of this machine has changed. What seemed dead may live, and the other way round.
    pub(crate) fn network_changed(&mut self, now: Instant) {
        self.reconnect.network_changed(now);
        self.ask(now, Sign::Network);
        let link = self.link.as_mut().map(|link| &mut link.way);
        for way in [link, self.dialling.probe.as_mut()].into_iter().flatten() {
            way.next = way.next.map(|_| now);
        }
        self.timeout(now);
    }

    /// The machine has slept. The silence of that time says nothing.
    pub(crate) fn resumed(&mut self, now: Instant) {
        if let Some(link) = &mut self.link {
            link.pulse.excuse(now);
        }
        self.ask(now, Sign::Sleep);
        self.network_changed(now);
    }

    /// The link has been silent for too long.
    pub(crate) fn lose_silent(&mut self, now: Instant, error: Error) {
        let end = End { error, properties: Properties::new(), from_server: false, hang_up: true };
        self.lose_link(now, end);
    }

    /// When the next attempt begins, where that is not for `reconnect.rs` to say: at once after a silence, which took its
    /// time, or if there is a second way and the loss says nothing against it (it may lead to another server); and at
    /// the next try's time after an attempt that nobody answered.
    pub(crate) fn next_attempt(&self, now: Instant, link: &Link, cause: ErrorCode) -> Option<Instant> {
        use ErrorCode::{ConnectTimeout, ConnectionLost, KeepAliveTimeout};
        let silence = cause == KeepAliveTimeout && !self.options.detect_within.is_zero();
        let second = self.dialling.probe.as_ref();
        let other = second.is_some_and(|way| !link.is_live() && way.server.url != link.way.server.url);
        let innocent = matches!(cause, ConnectTimeout | ConnectionLost | KeepAliveTimeout);
        if silence || other || (second.is_some() && innocent) {
            return Some(now);
        }
        let silent = link.phase == LinkPhase::Dialling && cause == ConnectTimeout;
        link.way.next.filter(|_| silent).map(|at| at.max(now + PAUSE))
    }
}
