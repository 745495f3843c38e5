//! What silence means: when a link is asked for a sign of life, when it is suspect, and when it is lost.
//!
//! ```text
//! healthy --PINGREQ--> asked --half the ping timeout without a byte--> suspect --the other half--> lost
//!    ^                   |                                                |
//!    +---- any byte -----+------------------------------------------------+
//! ```
//!
//! A link is asked when it has been silent for what `detect_within` leaves, when a busy stream stops against its
//! rhythm, or when something speaks against the link: bytes that TCP has to send again, a network that changed, a
//! machine that slept. A suspect link is not closed: a second way to the server is opened beside it, and whichever
//! proves alive first wins (`dialling.rs`). Answers come at once as a rule, so a false suspicion costs a PINGREQ.
//!
//! The ping timeout follows the round trips of the link as TCP's does (RFC 6298), and the rhythm of its stream.

use std::time::Duration;

use crate::options::Options;
use crate::rhythm::{Rhythm, RoundTrips};
use crate::time::Instant;

/// Least time for an answer: what TCP allows itself at least before it sends again.
const ANSWER_FLOOR: Duration = Duration::from_millis(200);
/// The same while too little is known of the link (RFC 6298, 2.1).
const ANSWER_UNKNOWN: Duration = Duration::from_secs(1);
/// A regular PINGREQ has time: its answer may take this share of `detect_within`, so that a server that pauses for a
/// moment does not lose all its idle clients.
const BUDGET_SHARE: u32 = 10;
/// However long answers take, an idle link is asked no sooner than this before `detect_within` is over: one that answers
/// slowly must not cost more for that.
const EARLY: Duration = Duration::from_millis(1_250);
/// The first round trips of a busy stream are measured so far apart.
const MEASURE: Duration = Duration::from_secs(1);
/// Sixteenths of the longest round trip that the next one leaves. On an idle link it has to hold for many of them; that of
/// a stream says itself how it jitters, and what pauses now and then must not be noticed later and later.
const KEPT: u32 = 15;
const KEPT_OF_A_STREAM: u32 = 10;
/// TCP has just sent again; before it does so the next time, what stands behind cannot arrive.
const RETRANSMISSION: Duration = Duration::from_millis(400);
/// After what is sent TCP is looked at this often until it is acknowledged: its own timeout is 200 ms at least.
const LOOK: Duration = Duration::from_millis(250);
/// A timer that is later than this was held up, and so may what it waits for have been.
const LATE: Duration = Duration::from_millis(100);
/// More of our bytes on their way than this can keep a PINGREQ from arriving: more than a segment.
const SEGMENT: u64 = 1_460;

/// What TCP knows of the bytes that it was given for a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Transit {
    /// Bytes that the other side has not acknowledged, sent or not.
    pub unacknowledged: u64,
    /// How often in a row the oldest of them had to be sent again.
    pub retransmits: u8,
    /// The other side takes no bytes at present: its window is closed.
    pub blocked: bool,
}

/// What becomes of our bytes on their way.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Movement {
    /// There are a segment or less, or the other side has taken none for the whole ping timeout.
    None,
    /// More than a segment is on its way, and nothing had to be sent again.
    Forward,
    /// TCP had to send them again.
    Lost,
}

/// Why a link is asked for a sign of life.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Sign {
    /// Nothing special: it is time for a PINGREQ.
    Idle,
    /// Its keep alive is shorter than what `detect_within` leaves: nobody is in a hurry for the answer.
    KeepAlive,
    /// A busy stream has stopped.
    Rhythm,
    /// TCP has to send again.
    Retransmits,
    /// A link, an address or a route of this machine has changed.
    Network,
    /// The machine has slept.
    Sleep,
}

impl Sign {
    fn is_regular(self) -> bool {
        matches!(self, Sign::Idle | Sign::KeepAlive)
    }

    /// In words, as the reason of a link that is lost.
    pub(crate) fn text(self) -> &'static str {
        match self {
            Sign::Idle | Sign::KeepAlive => "no answer to PINGREQ",
            Sign::Rhythm => "a busy stream stopped, and no answer to PINGREQ",
            Sign::Retransmits => "TCP got no acknowledgement, and no answer to PINGREQ",
            Sign::Network => "the network changed, and no answer to PINGREQ",
            Sign::Sleep => "the machine slept, and no answer to PINGREQ",
        }
    }
}

/// A PINGREQ that is not answered.
#[derive(Debug, Clone, Copy)]
struct Ping {
    /// When the first of them was written; further ones may have followed.
    at: Instant,
    sign: Sign,
    /// There were several: the answer says nothing about the round trip.
    repeated: bool,
}

/// The signs of life of one connection.
#[derive(Debug)]
pub(crate) struct Pulse {
    pub(crate) keep_alive: Duration,
    pub(crate) last_sent: Instant,
    pub(crate) last_received: Instant,
    ping: Option<Ping>,
    /// When bytes of ours were last seen on their way: an answer to what stands behind them takes longer.
    moving: Instant,
    /// The time for the first doubt has passed since the last sign of life.
    suspect: bool,
    /// Another way was sought because of this doubt. If it came to nothing, the next one would too.
    probed: bool,
    /// The present silence has been excused once: that we were late ourselves is no excuse for ever.
    excused: bool,
    /// When TCP is to be looked at.
    look_at: Option<Instant>,
    trips: RoundTrips,
    /// When the last of them was.
    measured: Option<Instant>,
    rhythm: Rhythm,
}

impl Pulse {
    pub(crate) fn new(now: Instant) -> Self {
        Pulse {
            keep_alive: Duration::ZERO,
            last_sent: now,
            last_received: now,
            ping: None,
            moving: now,
            suspect: false,
            probed: false,
            excused: false,
            look_at: None,
            trips: RoundTrips::default(),
            measured: None,
            rhythm: Rhythm::default(),
        }
    }

    /// Bytes were handed to the transport.
    pub(crate) fn sent(&mut self, now: Instant) {
        self.last_sent = now;
        self.look_at.get_or_insert(now + LOOK);
    }

    /// Bytes came. Whatever they are, the other side lives.
    pub(crate) fn received(&mut self, now: Instant) {
        // The answers to PINGREQ are no stream, however even their rhythm is.
        if self.ping.is_none_or(|ping| !ping.sign.is_regular()) {
            self.rhythm.arrived(now, now.since(self.last_received));
        }
        self.excused = false;
        self.alive(now);
    }

    /// As if bytes had come: the silence until now was of our own making.
    pub(crate) fn excuse(&mut self, now: Instant) {
        self.alive(now);
        if let Some(ping) = &mut self.ping {
            ping.repeated = true; // its answer may have lain here for long
        }
    }

    fn alive(&mut self, now: Instant) {
        self.last_received = now;
        (self.suspect, self.probed) = (false, false);
        self.look_at = None;
    }

    /// True if a PINGREQ is to be written because of this sign.
    pub(crate) fn ask(&mut self, now: Instant, sign: Sign) -> bool {
        // After a sleep the answer to the one before may have been thrown away.
        let ask = self.ping.is_none() || sign == Sign::Sleep;
        if ask {
            self.asked(now, sign);
        }
        ask
    }

    /// A PINGREQ was written.
    pub(crate) fn asked(&mut self, now: Instant, sign: Sign) {
        match &mut self.ping {
            Some(ping) => {
                ping.repeated = true;
                if ping.sign.is_regular() {
                    ping.sign = sign;
                }
            }
            None => self.ping = Some(Ping { at: now, sign, repeated: false }),
        }
        self.last_sent = now;
    }

    /// PINGRESP.
    pub(crate) fn answered(&mut self, now: Instant) {
        let Some(ping) = self.ping.take() else { return };
        if !ping.repeated {
            let kept = if self.rhythm.patience().is_some() { KEPT_OF_A_STREAM } else { KEPT };
            self.trips.measured(now.since(ping.at), kept);
            self.measured = Some(now);
        }
        if ping.sign == Sign::Rhythm || self.rhythm.has_ended(now) {
            self.rhythm = Rhythm::default(); // the stream has ended, and the link has not
        }
    }

    /// The answer to CONNECT took this long.
    pub(crate) fn greeted(&mut self, trip: Duration) {
        self.trips.guessed(trip);
    }

    /// What TCP says, now that it was looked at.
    pub(crate) fn looked(&mut self, now: Instant, transit: Transit, options: &Options) -> Movement {
        self.look_at = (transit.unacknowledged > 0).then(|| now + LOOK);
        if transit.retransmits > 0 && !transit.blocked {
            return Movement::Lost;
        }
        // A network that carries what it is given has all the time that it needs; a server that reads nothing is given
        // the whole ping timeout.
        let over = self.ping.is_some_and(|ping| now >= ping.at + options.ping_timeout);
        if transit.unacknowledged <= SEGMENT || (transit.blocked && over) {
            return Movement::None;
        }
        self.moving = now;
        (self.suspect, self.probed) = (false, false);
        Movement::Forward
    }

    /// When the state of TCP is wanted: something was sent a while ago and nothing came since.
    pub(crate) fn look_at(&self, options: &Options) -> Option<Instant> {
        self.look_at.filter(|_| !options.detect_within.is_zero())
    }

    /// It is looked at.
    pub(crate) fn looking(&mut self) {
        self.look_at = None;
    }

    /// When a PINGREQ is due, and why. After a keep alive without sending [MQTT-3.1.2-20], or without receiving,
    /// because a stream of QoS 0 publishes into a dead link would otherwise never find out. One that is not answered
    /// yet, or whose answer is not read yet, releases from the second duty only.
    pub(crate) fn ping_due(&self, options: &Options, reading_paused: bool) -> Option<(Instant, Sign)> {
        let keep_alive = (!self.keep_alive.is_zero()).then(|| {
            let since = match self.ping {
                Some(_) => self.last_sent,
                None => self.last_sent.min(self.last_received),
            };
            (since + self.keep_alive, Sign::KeepAlive)
        });
        let watched = self.ping.is_none() && !reading_paused && !options.detect_within.is_zero();
        let idle = watched.then(|| (self.last_received + self.idle(options), Sign::Idle));
        // A stream leaves no time to be idle; a PINGREQ tells how long an answer takes, or a few, if one was slow.
        let unsure = self.trips.are_few() || self.trips.hold_a_pause();
        let unsure = unsure && (self.measured.is_none() || self.trips.timeout() > ANSWER_FLOOR);
        let measure = watched && unsure && self.rhythm.patience().is_some();
        let measure =
            measure.then(|| (self.measured.map_or(self.last_received, |at| at + MEASURE), Sign::Idle));
        let stopped = self.rhythm.patience().filter(|_| watched);
        let stopped = stopped.map(|patience| (self.last_received + patience, Sign::Rhythm));
        [keep_alive, idle, measure, stopped].into_iter().flatten().min_by_key(|(at, _)| *at)
    }

    /// How long a link may be silent before it is asked, so that it is lost within the budget.
    fn idle(&self, options: &Options) -> Duration {
        let early = EARLY.max(options.detect_within / BUDGET_SHARE);
        let least = options.detect_within.saturating_sub(early).max(options.detect_within / 4);
        options.detect_within.saturating_sub(self.answer_within(options, Sign::Idle)).max(least)
    }

    /// When the silence after a PINGREQ makes the link suspect. `None`: it is so already, or nobody asked.
    pub(crate) fn suspect_at(&self, options: &Options) -> Option<Instant> {
        let ping = self.ping.filter(|_| !self.suspect && !options.detect_within.is_zero())?;
        Some(self.quiet_since(ping) + self.answer_within(options, ping.sign) / 2)
    }

    /// The link is suspect from now on.
    pub(crate) fn suspected(&mut self) {
        self.suspect = true;
    }

    /// The link is suspect, and no other way was sought since it is. True once for each doubt.
    pub(crate) fn wants_another_way(&mut self) -> bool {
        self.suspect && !std::mem::replace(&mut self.probed, true)
    }

    /// When the silence after a PINGREQ means that the link is lost. Any byte is a sign of life: a PINGRESP may stand
    /// behind a large message.
    pub(crate) fn lost_at(&self, options: &Options) -> Option<Instant> {
        let ping = self.ping?;
        Some(self.quiet_since(ping) + self.answer_within(options, ping.sign))
    }

    /// The verdict comes so late that this process must have stood still; what came meanwhile may not be read yet. True
    /// once for each silence.
    pub(crate) fn is_late(&mut self, now: Instant, options: &Options) -> bool {
        let late = self.lost_at(options).is_some_and(|at| now.since(at) > LATE);
        late && !options.detect_within.is_zero() && !std::mem::replace(&mut self.excused, true)
    }

    /// Why it was asked.
    pub(crate) fn sign(&self) -> Sign {
        self.ping.map_or(Sign::Idle, |ping| ping.sign)
    }

    fn quiet_since(&self, ping: Ping) -> Instant {
        ping.at.max(self.last_received).max(self.moving)
    }

    /// How long the answer to a PINGREQ may take.
    fn answer_within(&self, options: &Options, sign: Sign) -> Duration {
        if options.detect_within.is_zero() || sign == Sign::KeepAlive {
            return options.ping_timeout;
        }
        // Three of the longest gaps: in a jitter that makes such gaps, an answer has two ways to go.
        let mut within = ANSWER_FLOOR.max(self.trips.timeout()).max(self.rhythm.gap() * 3);
        if !self.trips.are_known() && self.rhythm.patience().is_none() {
            within = within.max(ANSWER_UNKNOWN);
        }
        within = within.max(match sign {
            Sign::Idle => options.detect_within / BUDGET_SHARE,
            Sign::Retransmits => RETRANSMISSION,
            _ => Duration::ZERO,
        });
        within.min(options.ping_timeout)
    }
}

#[cfg(test)]
mod tests;
