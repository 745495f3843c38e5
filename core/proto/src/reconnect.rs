//! When to try again, by what the last failure says.
//!
//! | class | what it says | the next attempt |
//! |---|---|---|
//! | `Broken` | a connection came about and was lost | at once after a stable one; else backoff from the smallest delay |
//! | `Absent` | nobody is there: refused, unreachable, unresolvable, silent | after a share of the outage so far |
//! | `Overloaded` | the server is there and has too much to do | backoff from a second |
//! | `TakenOver` | another client uses our client identifier | after a while; again within a minute: at most twice a minute |
//! | `Refused` | somebody has to do something first | slowly: at most twice a minute |
//!
//! *Backoff* has full jitter: with `n` strikes the delay is drawn evenly between the smallest delay and
//! `min(largest, base * 2^n)`. A *strike* is an attempt that failed or a connection that was lost before it proved
//! stable. Only a connection that lasts for `stable_after` clears the strikes: a CONNACK proves little, and so does an
//! acknowledged message, because the server that dies of the next one has acknowledged those before it. What an
//! attempt itself took counts as waited for.
//!
//! While nobody is there an attempt costs the server nothing, because its kernel or nobody at all answers, and waiting
//! costs the application. So the delay follows the outage, and the client comes back late by a small share of it. That
//! is no reason to ask without end: over five minutes there are at most 60 attempts. They stand on a grid that is the
//! same for every outage ([`Grid`]); where between two of its lines, each client draws anew for each outage. So clients
//! that lost their server together are spread evenly over the distance of two attempts, whenever it comes back.
//!
//! Several servers are tried one after the other without a delay; it stands before the next round.

use std::time::Duration;

use crate::error::{Error, ErrorCode, Next};
use crate::options::Options;
use crate::time::Instant;

/// Even with a smallest delay of 0 a refusing server is not asked more often than this.
const FLOOR: Duration = Duration::from_millis(10);

/// Base of the backoff against a server that is busy.
const OVERLOAD: Duration = Duration::from_secs(1);

/// The distance of attempts while nobody is there: the shortest, how long a restart may take and the longest while it
/// may be one, and the longest of all.
const FIRST: Duration = Duration::from_millis(62);
const RESTART: Duration = Duration::from_millis(25_300);
const OF_A_RESTART: Duration = Duration::from_millis(1_060);
const LONGEST: Duration = Duration::from_millis(29_500);

/// After a change of the network the next attempt comes within this: at once, and not with every other machine.
const WAKE: Duration = Duration::from_millis(20);
/// News of the network that comes sooner after the last is the same news: a new link tells of itself several times.
const SAME_NEWS: Duration = Duration::from_secs(1);

/// Takeovers that belong together.
const TAKEOVERS: Duration = Duration::from_secs(60);
/// Connections that end so soon after their CONNACK without a word, one after the other, were taken over: whoever loses a
/// session to us waits a second, as libraries do (paho, libmosquitto), and takes it back. Two are enough; of those that
/// end at once it takes three, because so ends what a server accepts while it is going down.
const SHORT_LIFE: Duration = Duration::from_secs(2);
const AT_ONCE: Duration = Duration::from_millis(100);
/// As much suspicion is a takeover: a connection that ended soon is half of it, one that ended at once a third.
const ENOUGH: u32 = 6;

/// What a failure says about the way to the server and about the server.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Class {
    Absent,
    Broken,
    Overloaded,
    TakenOver,
    Refused,
}

impl Class {
    fn of(error: &Error, when: When) -> Class {
        let busy = matches!(error.reason_code, Some(0x89 | 0x96 | 0x97 | 0x9F));
        match error.code {
            ErrorCode::SessionTakenOver => Class::TakenOver,
            code if code.next() == Next::RetrySlowly => Class::Refused,
            ErrorCode::ServerBusy => Class::Overloaded,
            ErrorCode::ServerDisconnected if busy => Class::Overloaded,
            ErrorCode::ServerDisconnected if matches!(error.reason_code, Some(0x9C | 0x9D)) => Class::Refused,
            // It accepted the connection and has no time for the CONNECT.
            ErrorCode::ConnectionLost | ErrorCode::ConnectTimeout if when == When::Greeting => {
                Class::Overloaded
            }
            ErrorCode::ConnectFailed | ErrorCode::ResolveFailed | ErrorCode::ConnectTimeout => Class::Absent,
            _ => Class::Broken,
        }
    }
}

/// How far a connection had come when it was lost.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum When {
    Dialling,
    /// Between CONNECT and CONNACK.
    Greeting,
    Live,
    /// Ended in order and without a word by the server, with no message of either side that could have been the reason:
    /// none of ours that is not acknowledged, and none of the server's that stood at the end of the connection before,
    /// too. So end connections of a client that was taken over.
    Unprovoked,
}

#[derive(Debug)]
pub(crate) struct Reconnect {
    strikes: u32,
    random: u64,
    /// When the scheduled attempt starts.
    pub(crate) at: Option<Instant>,
    /// Attempts since the client was started or last connected.
    pub(crate) attempts: u32,
    /// When the connection was lost, or the first attempt failed, or the network changed since; `None` while connected.
    since: Option<Instant>,
    /// The attempts of this outage, once nobody was there.
    grid: Option<Grid>,
    /// When the current attempt began, and when the last connection was accepted.
    began: Instant,
    pub(crate) accepted: Instant,
    /// When the attempt before the current one began.
    before: Instant,
    /// The network's change may end the wait: it is for the way, and not for the server's sake.
    wakeable: bool,
    /// Last news of the network that counted.
    news: Option<Instant>,
    taken_over: Option<Instant>,
    /// What the connections that ended soon, one after the other, say together; see [`ENOUGH`].
    suspicion: u32,
    endpoint: usize,
    /// Somebody refused, or nobody was there, since the last connection: a server that comes back has restarted.
    pub(crate) found_nobody: bool,
    /// Endpoints that failed since the last delay.
    failed: usize,
}

impl Reconnect {
    pub(crate) fn new(seed: u64) -> Self {
        Reconnect {
            strikes: 0,
            random: seed,
            at: None,
            attempts: 0,
            since: None,
            grid: None,
            began: Instant(0),
            accepted: Instant(0),
            before: Instant(0),
            wakeable: false,
            news: None,
            taken_over: None,
            suspicion: 0,
            endpoint: 0,
            found_nobody: false,
            failed: 0,
        }
    }

    /// The application asked for a connection: whatever happened before does not count.
    pub(crate) fn start(&mut self, now: Instant) {
        self.strikes = 0;
        self.attempts = 0;
        (self.since, self.grid) = (None, None);
        self.taken_over = None;
        self.suspicion = 0;
        self.failed = 0;
        self.at = Some(now);
    }

    pub(crate) fn cancel(&mut self) {
        self.at = None;
    }

    /// The network has changed: what was true of the way is not true any more.
    pub(crate) fn network_changed(&mut self, now: Instant) {
        let Some(at) = self.at.filter(|_| self.wakeable) else { return };
        if self.news.is_some_and(|news| now.since(news) < SAME_NEWS) {
            return;
        }
        self.news = Some(now);
        (self.since, self.grid) = (Some(now), None);
        let soon = now + self.between(Duration::ZERO, WAKE);
        self.at = Some(at.min(soon));
    }

    /// The scheduled attempt begins: its number and the endpoint to dial.
    pub(crate) fn begin(&mut self, now: Instant, endpoints: usize) -> (u32, usize) {
        self.at = None;
        self.before = std::mem::replace(&mut self.began, now);
        self.attempts += 1;
        (self.attempts, self.next_endpoint(false, endpoints))
    }

    /// How often the attempts since the last connection have come to the beginning of the list.
    pub(crate) fn round(&self, endpoints: usize) -> u32 {
        1 + self.attempts.saturating_sub(1) / endpoints.clamp(1, 1 << 16) as u32
    }

    /// The endpoint of the next attempt. `fails`: the one that is tried now comes to nothing.
    pub(crate) fn next_endpoint(&self, fails: bool, endpoints: usize) -> usize {
        self.endpoint.wrapping_add(fails.into()) % endpoints.max(1)
    }

    pub(crate) fn connected(&mut self, now: Instant) {
        self.attempts = 0;
        self.failed = 0;
        (self.since, self.grid) = (None, None);
        self.found_nobody = false;
        self.accepted = now;
    }

    pub(crate) fn stable(&mut self) {
        self.strikes = 0;
        self.suspicion = 0;
    }

    /// A connection was lost or an attempt failed: schedules the next one and returns the delay. The error learns what
    /// only the repetition shows. `listed`: the server is one of the options, and not one that another sent us to.
    pub(crate) fn lost(
        &mut self,
        now: Instant,
        options: &Options,
        error: &mut Error,
        when: When,
        listed: bool,
    ) -> Duration {
        self.since.get_or_insert(now);
        self.suspect_takeover(now, error, when);
        let class = Class::of(error, when);
        self.wakeable = matches!(class, Class::Absent | Class::Broken);
        self.found_nobody |= error.code == ErrorCode::ConnectFailed;
        let connected = matches!(when, When::Live | When::Unprovoked);
        // "Use another server", or "server moved".
        let elsewhere = !connected || matches!(error.reason_code, Some(0x9C | 0x9D));
        if elsewhere {
            self.strikes = self.strikes.max(1);
            self.endpoint = self.endpoint.wrapping_add(listed.into());
            self.failed += usize::from(listed);
        }
        let others = elsewhere && class != Class::TakenOver && self.failed < options.servers.len();
        let delay = if others { Duration::ZERO } else { self.delay(now, options, class, error) };
        if delay > Duration::ZERO {
            self.failed = 0;
        }
        // Nobody was struck where nobody is.
        if class != Class::Absent {
            self.strikes = self.strikes.saturating_add(1);
        }
        self.at = Some(now + delay);
        delay
    }

    /// The next attempt is made at once after all.
    pub(crate) fn hurry(&mut self, now: Instant) -> Duration {
        self.at = Some(now);
        Duration::ZERO
    }

    /// How long the outage has lasted.
    pub(crate) fn outage(&self, now: Instant) -> Duration {
        self.since.map_or(Duration::ZERO, |since| now.since(since))
    }

    /// Two clients that take a session from each other see connections that end soon after the CONNACK, and nothing else:
    /// a server or a way that is in trouble also refuses, resets or keeps silent now and then.
    fn suspect_takeover(&mut self, now: Instant, error: &mut Error, when: When) {
        let unprovoked = when == When::Unprovoked && error.code == ErrorCode::ConnectionLost;
        self.suspicion = match now.since(self.accepted) {
            life if !unprovoked || life >= SHORT_LIFE => 0,
            life if life < AT_ONCE => self.suspicion.saturating_add(ENOUGH / 3),
            _ => self.suspicion.saturating_add(ENOUGH / 2),
        };
        if self.suspicion >= ENOUGH {
            let text = "one connection after the other ended right after its CONNACK";
            *error = Error::new(ErrorCode::SessionTakenOver, text);
        }
    }

    fn delay(&mut self, now: Instant, options: &Options, class: Class, error: &mut Error) -> Duration {
        let least = options.reconnect_min_delay.max(FLOOR);
        let most = options.reconnect_max_delay.max(least);
        let slow = options.refused_min_delay.max(least);
        let (low, high) = match class {
            Class::Broken if self.strikes == 0 => return Duration::ZERO,
            Class::Broken => (least, self.backoff(least, now, least, most)),
            Class::Overloaded => (least, self.backoff(OVERLOAD / 2, now, least, most)),
            Class::Absent => {
                let outage = now.since(self.since.unwrap_or(now));
                let mut grid =
                    self.grid.unwrap_or_else(|| Grid { line: Duration::ZERO, phase: self.draw() as u16 });
                let delay = grid.next(outage, least, most);
                self.grid = Some(grid);
                return delay;
            }
            Class::TakenOver if !self.again(now, error) => (slow / 3, slow * 2 / 3),
            Class::TakenOver => {
                // The attempts that led here count: no third one in the time of two.
                let low = (2 * slow).saturating_sub(now.since(self.before)).max(slow);
                (low, low + slow / 3)
            }
            Class::Refused => (slow, slow + slow / 3),
        };
        self.between(low, high)
    }

    /// The bound of the backoff: doubles with every strike. What the attempt took has been waited already.
    fn backoff(&self, base: Duration, now: Instant, least: Duration, most: Duration) -> Duration {
        let bound = base.saturating_mul(1u32 << self.strikes.min(20));
        bound.saturating_sub(now.since(self.began)).max(2 * least).min(most)
    }

    /// Whether there was a takeover a short while ago. The error says what that means.
    fn again(&mut self, now: Instant, error: &mut Error) -> bool {
        let last = self.taken_over.replace(now);
        let again = last.is_some_and(|last| now.since(last) <= TAKEOVERS) || self.suspicion >= ENOUGH;
        if again {
            let before = if error.detail.is_empty() { String::new() } else { format!("{}; ", error.detail) };
            error.detail = (before + "taken over again and again: two clients have this identifier").into();
        }
        again
    }

    /// Evenly distributed over both bounds and what lies between.
    pub(crate) fn between(&mut self, low: Duration, high: Duration) -> Duration {
        let span = high.saturating_sub(low).as_nanos() as u64;
        low + Duration::from_nanos(if span == 0 { 0 } else { self.draw() % (span + 1) })
    }

    /// SplitMix64: a few lines, and a seed replays the whole schedule.
    fn draw(&mut self) -> u64 {
        self.random = self.random.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.random;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^ (z >> 31)
    }
}

/// Where the attempts of an outage stand.
#[derive(Debug, Clone, Copy)]
struct Grid {
    /// The line before the next attempt, as the length of the outage.
    line: Duration,
    /// How far behind its line each attempt stands, in shares of the distance to the next line.
    phase: u16,
}

impl Grid {
    /// How long to wait from here on. What stands too near is left out; so an attempt that takes long costs the next.
    fn next(&mut self, outage: Duration, least: Duration, most: Duration) -> Duration {
        loop {
            // A quarter more, so that clients spread even where the smallest delay is all there is.
            let pace = pace(self.line).max(least + least / 4).min(most);
            let at = self.line + pace * u32::from(self.phase) / (u32::from(u16::MAX) + 1);
            if at > outage + least / 2 {
                return (at - outage).clamp(least, most);
            }
            // In strides where much time has passed unseen.
            self.line += pace.max(outage.saturating_sub(at) / 64);
        }
    }
}

/// The distance of attempts while nobody is there. Half of it is what the client comes back late, on average.
///
/// A server that restarts takes seconds: for twenty-five of them the distance is a tenth of the outage and about a second
/// at most. What lasts longer has another reason, and thousands of clients may wait for its end: then it is a fourth and
/// less, which spreads them over as much time.
fn pace(outage: Duration) -> Duration {
    match outage < RESTART {
        true => (FIRST + outage / 10).min(OF_A_RESTART),
        false => (outage * 5 / 22).min(LONGEST),
    }
}

#[cfg(test)]
mod tests;
