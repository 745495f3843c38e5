//! The timeline of an outage: when each phase of the way back was reached.

use std::fmt::{self, Display, Formatter};
use std::time::Duration;

use crate::error::{Error, ErrorCode};
use crate::time::Instant;

macro_rules! marks {
    ($($(#[$doc:meta])* $name:ident;)*) => {
        /// The marks of an outage, in the order in which they normally come.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
        pub enum Mark { $($(#[$doc])* $name,)* }

        impl Mark {
            /// Every mark, in order.
            pub const TABLE: &'static [Mark] = &[$(Mark::$name),*];

            /// The name, as in `Connack`.
            pub fn name(self) -> &'static str {
                match self { $(Mark::$name => stringify!($name),)* }
            }
        }
    };
}

marks! {
    /// Last byte that came from the server before the outage: the link was alive then.
    Lost;
    /// The client took the link for lost.
    Detected;
    /// The first attempt began.
    FirstAttempt;
    /// The transport of the attempt that succeeded was up.
    TransportUp;
    /// Its CONNACK arrived.
    Connack;
    /// Every restored subscription was answered; with a resumed session there is none, so at once.
    Resubscribed;
    /// The last resent packet was written.
    Resent;
    /// The first application message arrived.
    FirstMessage;
    /// What waited when the link came back was sent and acknowledged.
    Drained;
}

macro_rules! signals {
    ($($(#[$doc:meta])* $name:ident $text:literal;)*) => {
        /// What showed that a connection was lost.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
        #[repr(u8)]
        pub enum Signal { $($(#[$doc])* $name,)* }

        impl Signal {
            /// Every signal, in the order of their numbers.
            pub const TABLE: &'static [Signal] = &[$(Signal::$name),*];

            /// The name, as in `Silence`.
            pub fn name(self) -> &'static str {
                match self { $(Signal::$name => stringify!($name),)* }
            }

            /// In words, after "noticed by".
            pub fn text(self) -> &'static str {
                match self { $(Signal::$name => $text,)* }
            }
        }
    };
}

signals! {
    /// The transport ended: closed or reset.
    End "the end of the connection";
    /// Nothing came any more.
    Silence "silence";
    /// The server said so in a DISCONNECT.
    Word "a word of the server";
    /// The server broke the protocol, and we ended it.
    Violation "a broken rule";
}

impl Signal {
    fn of(error: &Error) -> Signal {
        match error.code {
            ErrorCode::KeepAliveTimeout | ErrorCode::ConnectTimeout => Signal::Silence,
            ErrorCode::ServerDisconnected | ErrorCode::SessionTakenOver if error.reason_code.is_some() => {
                Signal::Word
            }
            ErrorCode::ProtocolError => Signal::Violation,
            _ => Signal::End,
        }
    }
}

/// An attempt that failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Failure {
    /// When, counted from the detection.
    pub after: Duration,
    /// Why.
    pub code: ErrorCode,
    /// The server that was tried, as an index of `Options::servers`.
    pub server: usize,
}

/// Failed attempts that an outage remembers: the first ones, and the last.
const FAILURES: usize = 16;

/// One outage.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Outage {
    /// Number of the outage in the life of the client, from 1.
    pub number: u64,
    /// What ended the connection.
    pub cause: Error,
    /// What showed it.
    pub signal: Signal,
    /// Attempts made, the successful one included.
    pub attempts: u32,
    /// Those that failed: the first fifteen, and the last.
    pub failures: Vec<Failure>,
    /// Whether the server had kept the session.
    pub session_kept: bool,
    /// Publishes and releases sent again.
    pub resent: u64,
    /// Application messages that came on the connection that was lost.
    pub received_before: u64,
    /// Those that came from the new connection until this record was closed.
    pub received_after: u64,
    /// Messages that never came, as far as the sequences tell that `sequence_property` or `sequence_in_payload` follow.
    pub missing: u64,
    marks: [Option<Instant>; Mark::TABLE.len()],
}

impl Outage {
    pub(crate) fn new(number: u64, cause: Error) -> Self {
        Outage {
            number,
            signal: Signal::of(&cause),
            cause,
            attempts: 0,
            failures: Vec::new(),
            session_kept: false,
            resent: 0,
            received_before: 0,
            received_after: 0,
            missing: 0,
            marks: Default::default(),
        }
    }

    pub(crate) fn set(&mut self, mark: Mark, at: Instant) {
        self.marks[mark as usize].get_or_insert(at);
    }

    /// When the mark was reached, if it was.
    pub fn at(&self, mark: Mark) -> Option<Instant> {
        self.marks[mark as usize]
    }

    /// The time from the detection to the mark, if both were reached; zero for marks before it.
    pub fn after_detection(&self, mark: Mark) -> Option<Duration> {
        Some(self.at(mark)?.since(self.at(Mark::Detected)?))
    }

    /// Whether messages for us may be lost: some are known to be missing, or there was a new connection without the
    /// session that held them.
    pub fn gap_suspected(&self) -> bool {
        self.missing > 0 || (self.at(Mark::Connack).is_some() && !self.session_kept)
    }

    /// Every mark that was reached, with the time since [`Mark::Lost`].
    pub fn marks(&self) -> impl Iterator<Item = (Mark, Duration)> + '_ {
        let origin = self.at(Mark::Lost).unwrap_or_default();
        Mark::TABLE.iter().filter_map(move |&mark| Some((mark, self.at(mark)?.since(origin))))
    }
}

/// One line in words, for logs.
impl Display for Outage {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let after = |mark| self.after_detection(mark).map_or(0.0, |time| time.as_secs_f64());
        let silent = match (self.at(Mark::Detected), self.at(Mark::Lost)) {
            (Some(detected), Some(lost)) => detected.since(lost).as_secs_f64(),
            _ => 0.0,
        };
        write!(f, "outage {}: {}; noticed by {}, ", self.number, self.cause, self.signal.text())?;
        write!(f, "{silent:.3} s after the last sign of life; ")?;
        match self.at(Mark::Connack) {
            None => write!(f, "not connected again after {} attempts", self.attempts)?,
            Some(_) => {
                write!(
                    f,
                    "connected again {:.3} s later at attempt {}",
                    after(Mark::Connack),
                    self.attempts
                )?;
            }
        }
        for (at, failure) in self.failures.iter().enumerate() {
            let word = if at == 0 { " (" } else { ", " };
            write!(f, "{word}{} at {:.3} s", failure.code.name(), failure.after.as_secs_f64())?;
        }
        f.write_str(if self.failures.is_empty() { "" } else { ")" })?;
        if self.at(Mark::Connack).is_none() {
            return Ok(());
        }
        write!(f, "; session {}", if self.session_kept { "kept" } else { "lost" })?;
        for (mark, text) in [
            (Mark::Resubscribed, "subscribed"),
            (Mark::FirstMessage, "first message"),
            (Mark::Drained, "nothing left to send"),
        ] {
            if self.at(mark).is_some() {
                write!(f, ", {text} after {:.3} s", after(mark))?;
            }
        }
        write!(f, "; {} sent again; received {} before", self.resent, self.received_before)?;
        write!(f, " and {} after", self.received_after)?;
        match (self.missing, self.gap_suspected()) {
            (0, false) => Ok(()),
            (0, true) => f.write_str("; messages may be lost"),
            (missing, _) => write!(f, "; {missing} messages are missing"),
        }
    }
}

/// Writes the timeline while an outage lasts.
#[derive(Debug, Default)]
pub(crate) struct Chronicle {
    open: Option<Outage>,
    count: u64,
    attempts: u32,
    /// What the counters said when the last connection was accepted, and when it was lost.
    pub(crate) connected: Counted,
    lost: Counted,
    /// End of what waited when the link came back; `None` while it has not.
    drained_at: Option<u64>,
}

/// Messages that came, and that are known to be missing, in the life of the client.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Counted {
    pub(crate) received: u64,
    pub(crate) missing: u64,
}

impl Chronicle {
    /// A link was lost. Gives the record of an outage that this one interrupted.
    pub(crate) fn lost(
        &mut self,
        now: Instant,
        last_received: Instant,
        cause: Error,
        counted: Counted,
    ) -> Option<Outage> {
        self.count += 1;
        self.attempts = 0;
        self.drained_at = None;
        let mut outage = Outage::new(self.count, cause);
        outage.set(Mark::Lost, last_received);
        outage.set(Mark::Detected, now);
        outage.received_before = counted.received - self.connected.received;
        let unfinished = self.give_up(counted);
        self.lost = counted;
        self.open = Some(outage);
        unfinished
    }

    /// An attempt failed.
    pub(crate) fn failed(&mut self, now: Instant, code: ErrorCode, server: usize) {
        let Some(outage) = &mut self.open else { return };
        outage.attempts = self.attempts;
        let after = now.since(outage.at(Mark::Detected).unwrap_or(now));
        outage.failures.truncate(FAILURES - 1);
        outage.failures.push(Failure { after, code, server });
    }

    /// The application ended it. Gives the record as far as it came.
    pub(crate) fn give_up(&mut self, counted: Counted) -> Option<Outage> {
        let mut outage = self.open.take()?;
        if outage.at(Mark::Connack).is_some() {
            outage.received_after = counted.received - self.connected.received;
        }
        outage.missing = counted.missing - self.lost.missing;
        Some(outage)
    }

    pub(crate) fn attempt(&mut self, now: Instant) {
        self.attempts += 1;
        self.reached(Mark::FirstAttempt, now);
    }

    pub(crate) fn is_open(&self) -> bool {
        self.open.is_some() && self.drained_at.is_some()
    }

    pub(crate) fn reached(&mut self, mark: Mark, now: Instant) {
        if let Some(outage) = &mut self.open {
            outage.set(mark, now);
        }
    }

    /// For marks that every attempt reaches anew: the last one counts.
    pub(crate) fn reached_again(&mut self, mark: Mark, now: Instant) {
        if let Some(outage) = &mut self.open {
            outage.marks[mark as usize] = Some(now);
        }
    }

    pub(crate) fn connected(
        &mut self,
        now: Instant,
        session_kept: bool,
        resending: u64,
        end: u64,
        counted: Counted,
    ) {
        self.drained_at = Some(end);
        self.connected = counted;
        self.reached(Mark::Connack, now);
        if let Some(outage) = &mut self.open {
            outage.attempts = self.attempts;
            outage.session_kept = session_kept;
            outage.resent = resending;
        }
    }

    /// `first` is the oldest publish that is not complete. Gives the record when nothing of it is missing, or what
    /// there is of it when the link has `settled`.
    pub(crate) fn finish(
        &mut self,
        now: Instant,
        first: Option<u64>,
        settled: bool,
        counted: Counted,
    ) -> Option<Outage> {
        let end = self.drained_at?;
        if first.is_none_or(|place| place >= end) {
            self.reached(Mark::Drained, now);
        }
        let outage = self.open.as_ref()?;
        let complete = [Mark::Resubscribed, Mark::Resent, Mark::FirstMessage, Mark::Drained];
        if settled || complete.iter().all(|mark| outage.at(*mark).is_some()) {
            return self.give_up(counted);
        }
        None
    }
}
