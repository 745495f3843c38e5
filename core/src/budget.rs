//! One budget of attempts for the whole process: a server that comes back, or that does not, is not drowned by thousands
//! of clients that live in one program. Each client keeps its own schedule; what they want together beyond the budget
//! is postponed, in the order of asking.

use std::time::Duration;

use parking_lot::Mutex;
use remqtt_proto::{Error, Instant};

use crate::runtime::PerGeneration;

/// Attempts that may begin at once after a pause: far more than a program with a few clients ever wants.
const BURST: u32 = 200;
/// After those, one attempt in this time: 1,000 a second.
const SPACING: Duration = Duration::from_millis(1);

static PROCESS: PerGeneration<Budget> = PerGeneration::new();

#[derive(Debug, Default)]
struct Budget {
    /// When everything that was granted would have been used up, at the pace of one in `SPACING`.
    spent_until: Mutex<Instant>,
}

/// How long an attempt that is wanted now has to wait. It counts as made.
pub(crate) fn wait(now: Instant) -> Duration {
    let budget: Result<_, Error> = PROCESS.get_or_try_init(|| Ok(Budget::default()));
    budget.map_or(Duration::ZERO, |budget| budget.take(now))
}

impl Budget {
    fn take(&self, now: Instant) -> Duration {
        let mut spent_until = self.spent_until.lock();
        let ahead = spent_until.since(now);
        *spent_until = now + ahead + SPACING;
        ahead.saturating_sub(SPACING * (BURST - 1))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_burst_is_granted_at_once_and_what_follows_waits_its_turn() {
        let budget = Budget::default();
        let now = Instant(1_000_000_000);
        assert!((0..BURST).all(|_| budget.take(now).is_zero()));
        assert_eq!(budget.take(now), SPACING);
        assert_eq!(budget.take(now), SPACING * 2);
        assert_eq!(budget.take(now + SPACING * 2), SPACING);
    }

    #[test]
    fn the_budget_is_whole_again_after_a_pause() {
        let budget = Budget::default();
        for _ in 0..1_000 {
            budget.take(Instant(0));
        }
        let later = Instant(0) + SPACING * 1_000;
        assert!((0..BURST).all(|_| budget.take(later).is_zero()));
        assert!(!budget.take(later).is_zero());
    }
}
