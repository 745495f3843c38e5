//! One clock for the injector, the proxies, the publisher and every client process: CLOCK_MONOTONIC.

use nix::time::{clock_gettime, ClockId};

/// Nanoseconds of CLOCK_MONOTONIC, comparable between the processes of one machine.
pub(crate) fn now() -> u64 {
    match clock_gettime(ClockId::CLOCK_MONOTONIC) {
        Ok(t) => t.tv_sec() as u64 * 1_000_000_000 + t.tv_nsec() as u64,
        Err(_) => 0,
    }
}

/// Milliseconds from one stamp to a later one.
pub(crate) fn ms(from: u64, to: u64) -> f64 {
    to.saturating_sub(from) as f64 / 1e6
}
