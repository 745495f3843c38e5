//! The timeline of an outage: when each phase of the way back was reached.

use std::time::Duration;

use crate::error::Error;
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

/// One outage.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Outage {
    /// Number of the outage in the life of the client, from 1.
    pub number: u64,
    /// What ended the connection.
    pub cause: Error,
    /// Attempts made, the successful one included.
    pub attempts: u32,
    /// Whether the server had kept the session.
    pub session_kept: bool,
    /// Publishes and releases sent again.
    pub resent: u64,
    marks: [Option<Instant>; Mark::TABLE.len()],
}

impl Outage {
    pub(crate) fn new(number: u64, cause: Error) -> Self {
        Outage { number, cause, attempts: 0, session_kept: false, resent: 0, marks: Default::default() }
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

    /// Every mark that was reached, with the time since [`Mark::Lost`].
    pub fn marks(&self) -> impl Iterator<Item = (Mark, Duration)> + '_ {
        let origin = self.at(Mark::Lost).unwrap_or_default();
        Mark::TABLE.iter().filter_map(move |&mark| Some((mark, self.at(mark)?.since(origin))))
    }
}

/// Writes the timeline while an outage lasts.
#[derive(Debug, Default)]
pub(crate) struct Chronicle {
    open: Option<Outage>,
    count: u64,
    attempts: u32,
    /// End of what waited when the link came back; `None` while it has not.
    drained_at: Option<u64>,
}

impl Chronicle {
    /// A link was lost. Gives the record of an outage that this one interrupted.
    pub(crate) fn lost(&mut self, now: Instant, last_received: Instant, cause: Error) -> Option<Outage> {
        self.count += 1;
        self.attempts = 0;
        self.drained_at = None;
        let mut outage = Outage::new(self.count, cause);
        outage.set(Mark::Lost, last_received);
        outage.set(Mark::Detected, now);
        self.open.replace(outage)
    }

    /// The application ended it. Gives the record as far as it came.
    pub(crate) fn give_up(&mut self) -> Option<Outage> {
        self.open.take()
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

    pub(crate) fn connected(&mut self, now: Instant, session_kept: bool, resending: u64, end: u64) {
        self.drained_at = Some(end);
        self.reached(Mark::Connack, now);
        if let Some(outage) = &mut self.open {
            outage.attempts = self.attempts;
            outage.session_kept = session_kept;
            outage.resent = resending;
        }
    }

    /// `first` is the oldest publish that is not complete. Gives the record when nothing of it is missing, or what
    /// there is of it when the link has `settled`.
    pub(crate) fn finish(&mut self, now: Instant, first: Option<u64>, settled: bool) -> Option<Outage> {
        let end = self.drained_at?;
        if first.is_none_or(|place| place >= end) {
            self.reached(Mark::Drained, now);
        }
        let outage = self.open.as_ref()?;
        let complete = [Mark::Resubscribed, Mark::Resent, Mark::FirstMessage, Mark::Drained];
        if settled || complete.iter().all(|mark| outage.at(*mark).is_some()) {
            return self.open.take();
        }
        None
    }
}
