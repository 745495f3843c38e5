//! When to try again: at once after a stable connection, then exponential backoff with full jitter.
//!
//! A *strike* is an attempt that failed or a connection that was lost before it proved stable. No strike: the next
//! attempt is made at once. With `n` strikes the delay is drawn evenly between the smallest delay and
//! `min(largest, smallest * 2^n)`: many clients of one server spread over the whole span instead of coming back
//! together. Only a connection that lasts for `stable_after` clears the strikes; a CONNACK alone proves little.
//!
//! While nobody is there (the port is refused, the name does not resolve) an attempt costs the server nothing, and
//! waiting costs the application: the bound then also stays within a tenth of what the outage has lasted, or a second.
//! However long the outage was, the client comes back at most a tenth of it late.

use std::time::Duration;

use crate::error::{ErrorCode, Next};
use crate::options::Options;
use crate::time::Instant;

/// Even with a smallest delay of 0 a refusing server is not asked more often than this.
const FLOOR: Duration = Duration::from_millis(10);

/// While nobody is there, the bound on a delay is at least this, and at least a tenth of the outage.
const ABSENT_BOUND: Duration = Duration::from_secs(1);
const ABSENT_SHARE: u32 = 10;

#[derive(Debug)]
pub(crate) struct Reconnect {
    strikes: u32,
    random: u64,
    /// When the scheduled attempt starts.
    pub(crate) at: Option<Instant>,
    /// Attempts since the client was started or last connected.
    pub(crate) attempts: u32,
    /// When the connection was lost, or the first attempt failed; `None` while connected.
    since: Option<Instant>,
    endpoint: usize,
}

impl Reconnect {
    pub(crate) fn new(seed: u64) -> Self {
        Reconnect { strikes: 0, random: seed, at: None, attempts: 0, since: None, endpoint: 0 }
    }

    /// The application asked for a connection: whatever happened before does not count.
    pub(crate) fn start(&mut self, now: Instant) {
        self.strikes = 0;
        self.attempts = 0;
        self.since = None;
        self.at = Some(now);
    }

    pub(crate) fn cancel(&mut self) {
        self.at = None;
    }

    /// The scheduled attempt begins: its number and the endpoint to dial.
    pub(crate) fn begin(&mut self, endpoints: usize) -> (u32, usize) {
        self.at = None;
        self.attempts += 1;
        (self.attempts, self.endpoint % endpoints.max(1))
    }

    pub(crate) fn connected(&mut self) {
        self.attempts = 0;
        self.since = None;
    }

    pub(crate) fn stable(&mut self) {
        self.strikes = 0;
    }

    /// A connection was lost: schedules the next attempt and returns the delay.
    pub(crate) fn lost(&mut self, now: Instant, options: &Options, cause: ErrorCode) -> Duration {
        let delay = self.delay(now, options, cause);
        self.strikes = self.strikes.saturating_add(1);
        self.at = Some(now + delay);
        delay
    }

    /// An attempt failed: schedules the next one, at the next endpoint, and returns the delay.
    pub(crate) fn failed(&mut self, now: Instant, options: &Options, cause: ErrorCode) -> Duration {
        self.strikes = self.strikes.max(1);
        self.endpoint = self.endpoint.wrapping_add(1);
        self.lost(now, options, cause)
    }

    fn delay(&mut self, now: Instant, options: &Options, cause: ErrorCode) -> Duration {
        let slowly = cause.next() == Next::RetrySlowly;
        let since = *self.since.get_or_insert(now);
        if self.strikes == 0 && !slowly {
            return Duration::ZERO;
        }
        let (mut least, mut most) = (options.reconnect_min_delay.max(FLOOR), options.reconnect_max_delay);
        if slowly {
            least = least.max(options.refused_min_delay);
            most = most.max(least.saturating_mul(2));
        }
        if matches!(cause, ErrorCode::ConnectFailed | ErrorCode::ResolveFailed) {
            // Half a smallest delay more, so that clients spread even where that is all there is.
            let absent = ABSENT_BOUND.max(now.since(since) / ABSENT_SHARE).max(least + least / 2);
            most = most.min(absent);
        }
        let bound = least.saturating_mul(1u32 << self.strikes.min(20)).min(most).max(least);
        let span = (bound - least).as_nanos() as u64;
        least + Duration::from_nanos(if span == 0 { 0 } else { self.draw() % (span + 1) })
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

#[cfg(test)]
mod tests {
    use super::*;

    fn schedule(cause: ErrorCode) -> Vec<Duration> {
        let options = Options::default();
        let mut reconnect = Reconnect::new(7);
        reconnect.start(Instant(0));
        (0..12).map(|_| reconnect.failed(Instant(0), &options, cause)).collect()
    }

    #[test]
    fn every_delay_lies_between_the_smallest_and_the_doubling_bound() {
        for (n, delay) in schedule(ErrorCode::ConnectFailed).into_iter().enumerate() {
            let bound = Duration::from_millis(100 << (n + 1).min(10)).min(Duration::from_millis(30_000));
            assert!(delay >= Duration::from_millis(100) && delay <= bound, "attempt {n}: {delay:?}");
        }
    }

    #[test]
    fn a_client_that_finds_nobody_is_never_later_than_a_tenth_of_the_outage_or_a_second() {
        let options = Options::default();
        for seed in 0..100 {
            let mut reconnect = Reconnect::new(seed);
            reconnect.start(Instant(0));
            let mut now = Instant(0);
            while now < Instant(3_600_000_000_000) {
                let delay = reconnect.failed(now, &options, ErrorCode::ConnectFailed);
                assert!(
                    delay <= Duration::from_secs(1).max(now.since(Instant(0)) / 10),
                    "{delay:?} at {now:?}"
                );
                now = now + delay;
            }
        }
    }

    #[test]
    fn a_server_that_is_there_and_busy_is_left_alone_for_longer() {
        let longest = schedule(ErrorCode::ServerBusy).into_iter().max();
        assert!(longest > Some(Duration::from_secs(5)), "{longest:?}");
    }

    #[test]
    fn a_refused_password_never_waits_less_than_its_own_minimum() {
        assert!(schedule(ErrorCode::BadCredentials)
            .iter()
            .all(|d| *d >= Options::default().refused_min_delay));
    }

    #[test]
    fn a_stable_link_is_retried_at_once_and_a_flapping_one_is_not() {
        let options = Options::default();
        let mut reconnect = Reconnect::new(7);
        reconnect.start(Instant(0));
        assert_eq!(reconnect.lost(Instant(0), &options, ErrorCode::ConnectionLost), Duration::ZERO);
        assert!(reconnect.lost(Instant(0), &options, ErrorCode::ConnectionLost) > Duration::ZERO);
        reconnect.stable();
        assert_eq!(reconnect.lost(Instant(0), &options, ErrorCode::ConnectionLost), Duration::ZERO);
    }

    #[test]
    fn no_delay_at_all_is_still_not_a_busy_loop() {
        let options = Options {
            reconnect_min_delay: Duration::ZERO,
            reconnect_max_delay: Duration::ZERO,
            ..Options::default()
        };
        let mut reconnect = Reconnect::new(7);
        assert!(reconnect.failed(Instant(0), &options, ErrorCode::ConnectFailed) >= FLOOR);
    }
}
