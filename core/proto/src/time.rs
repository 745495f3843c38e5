//! Time as the engine knows it: an argument.
//!
//! The driver counts nanoseconds from an origin of its choice (a clock that also runs while the machine sleeps);
//! the simulator counts its own. The engine only compares and adds.

use std::ops::Add;
use std::time::Duration;

/// A point in time: nanoseconds since the origin that the caller of the engine chose.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Instant(pub u64);

impl Instant {
    /// The time that passed since `earlier`, zero if `earlier` is later.
    pub fn since(self, earlier: Instant) -> Duration {
        Duration::from_nanos(self.0.saturating_sub(earlier.0))
    }
}

impl Add<Duration> for Instant {
    type Output = Instant;

    /// Saturates: the end of time is never.
    fn add(self, duration: Duration) -> Instant {
        Instant(self.0.saturating_add(u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)))
    }
}
