//! What is learned of one connection: how long answers take, and how even its stream is.

use std::time::Duration;

use crate::time::Instant;

/// Measured round trips from which on their timeout can be believed.
const TRIPS_KNOWN: u32 = 8;
/// Among so many the first ones may have been held up by what a new connection begins with.
const TRIPS_FEW: u32 = 4;
/// The rhythm of a stream is learned by windows of this length.
const WINDOW: Duration = Duration::from_secs(1);
/// Arrivals in a window that make a stream of them, and the longest gap that a rhythm can have.
const WINDOW_ARRIVALS: u32 = 4;
const LONGEST_GAP: Duration = Duration::from_millis(500);
/// However even a stream is, a silence below this means nothing.
const SILENCE_FLOOR: Duration = Duration::from_millis(150);

/// Measured round trips: smoothed, their variation, and the longest of them, which is forgotten slowly.
#[derive(Debug, Default)]
pub(crate) struct RoundTrips {
    count: u32,
    smoothed: Duration,
    variation: Duration,
    longest: Duration,
}

impl RoundTrips {
    /// What holds until the first is measured. A server may have more to do for a CONNECT than for a PINGREQ.
    pub(crate) fn guessed(&mut self, trip: Duration) {
        (self.smoothed, self.variation, self.longest) = (trip, trip / 2, trip);
    }

    /// Of what the longest is above the usual one, `kept` sixteenths are remembered.
    pub(crate) fn measured(&mut self, trip: Duration, kept: u32) {
        self.count = self.count.saturating_add(1);
        if self.count == 1 || (self.count <= TRIPS_FEW && trip < self.smoothed / 2) {
            return self.guessed(trip);
        }
        let error = self.smoothed.max(trip).saturating_sub(self.smoothed.min(trip));
        self.variation = self.variation * 3 / 4 + error / 4;
        self.smoothed = self.smoothed * 7 / 8 + trip / 8;
        let remembered = self.longest.saturating_sub(self.smoothed) * kept / 16;
        self.longest = trip.max(self.smoothed.min(self.longest) + remembered);
    }

    /// RFC 6298, and twice the longest that is remembered: variations of few samples are often too small.
    pub(crate) fn timeout(&self) -> Duration {
        (self.smoothed + self.variation * 4).max(self.longest * 2)
    }

    pub(crate) fn are_few(&self) -> bool {
        self.count < TRIPS_FEW
    }

    /// The longest is no usual one: the server or the way may have paused.
    pub(crate) fn hold_a_pause(&self) -> bool {
        self.longest > self.smoothed * 2
    }

    pub(crate) fn are_known(&self) -> bool {
        self.count >= TRIPS_KNOWN
    }
}

/// The rhythm of what arrives: the longest gap of a busy stream, window by window, forgotten slowly: what a jitter does
/// now and then is part of the rhythm. But a stream may begin with a hiccup that does not come again, because the server
/// and the network have much to do for a new connection. So what its first window says counts until there is a second.
#[derive(Debug, Default)]
pub(crate) struct Rhythm {
    /// When the present window began.
    began: Option<Instant>,
    /// When something came last.
    last: Option<Instant>,
    arrivals: u32,
    longest: Duration,
    /// The longest gap of the windows before; `None` where there was no stream.
    before: Option<Duration>,
    /// There was one such window only.
    is_young: bool,
}

impl Rhythm {
    pub(crate) fn arrived(&mut self, now: Instant, gap: Duration) {
        self.last = Some(now);
        let Some(began) = self.began else {
            self.began = Some(now);
            return;
        };
        self.arrivals += 1;
        self.longest = self.longest.max(gap);
        if now.since(began) < WINDOW {
            return;
        }
        let is_stream = self.arrivals >= WINDOW_ARRIVALS && self.longest <= LONGEST_GAP;
        let kept = self.before.filter(|_| !self.is_young).unwrap_or_default() * 7 / 8;
        self.is_young = self.before.is_none();
        self.before = is_stream.then(|| self.longest.max(kept));
        (self.began, self.arrivals, self.longest) = (Some(now), 0, Duration::ZERO);
    }

    /// There was a stream, and there is none any more.
    pub(crate) fn has_ended(&self, now: Instant) -> bool {
        let silence = self.last.map_or(Duration::ZERO, |last| now.since(last));
        self.patience().is_some_and(|patience| silence > patience)
    }

    /// The longest gap that is remembered; zero without a stream.
    pub(crate) fn gap(&self) -> Duration {
        self.before.map_or(Duration::ZERO, |before| before.max(self.longest).min(LONGEST_GAP))
    }

    /// How long the stream may be silent; `None` without a stream.
    pub(crate) fn patience(&self) -> Option<Duration> {
        self.before.map(|_| SILENCE_FLOOR.max(self.gap() * 2))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: Duration = Duration::from_millis(1);

    #[test]
    fn the_timeout_follows_the_round_trips() {
        let mut trips = RoundTrips::default();
        (0..20).for_each(|_| trips.measured(100 * MS, 15));
        assert_eq!(trips.timeout(), 200 * MS);
        trips.measured(600 * MS, 15);
        assert_eq!(trips.timeout(), 1_200 * MS);
        (0..100).for_each(|_| trips.measured(100 * MS, 15));
        assert!(trips.timeout() < 220 * MS, "{:?}", trips.timeout());
    }

    #[test]
    fn an_answer_that_was_held_up_at_the_beginning_counts_until_there_are_better_ones() {
        let mut trips = RoundTrips::default();
        trips.measured(700 * MS, 15);
        assert_eq!(trips.timeout(), 2_100 * MS);
        trips.measured(2 * MS, 15);
        assert_eq!(trips.timeout(), 6 * MS);
        (0..4).for_each(|_| trips.measured(2 * MS, 15));
        trips.measured(700 * MS, 15);
        trips.measured(2 * MS, 15);
        assert!(trips.timeout() > 1_000 * MS, "later ones are remembered: {:?}", trips.timeout());
    }
}
