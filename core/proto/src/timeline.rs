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
