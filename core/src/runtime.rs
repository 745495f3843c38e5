//! What all clients of a process share: the clock, the I/O runtime, and what a fork does to them.
//!
//! The runtime is made when the first client is, and lives as long as the process. Its threads block every signal, so
//! that the host's handlers run on the host's threads.
//!
//! A fork copies the memory and only the forking thread: runtime, pool threads and whoever held a lock are gone.
//! Each process of a line of forks is therefore a *generation*. Clients remember theirs and refuse every call in a
//! later one; whatever is shared has one cell for each generation, so that a child never waits for a lock that nobody
//! is left to release.

use std::sync::atomic::{AtomicUsize, Ordering};

use nix::sys::signal::{SigSet, SigmaskHow};
use nix::time::{clock_gettime, ClockId};
use once_cell::sync::OnceCell;
use remqtt_proto::{Error, ErrorCode, Instant};
use tokio::runtime::{Builder, Runtime};

/// Forks in one line of descent after which no client can be made.
const GENERATIONS: usize = 64;

static GENERATION: AtomicUsize = AtomicUsize::new(0);
static RUNTIME: PerGeneration<Runtime> = PerGeneration::new();

/// Must run in the child of a fork, before any other call of this library there (`pthread_atfork` is the place).
/// Clients of the parent refuse every call with `Forked` from then on; new ones can be made.
pub fn after_fork_in_child() {
    GENERATION.fetch_add(1, Ordering::Relaxed);
}

/// How many forks lie between this process and the first of its line that called [`after_fork_in_child`]. Whatever a
/// binding shares between clients belongs to one generation.
pub fn generation() -> usize {
    GENERATION.load(Ordering::Relaxed)
}

/// Now, on the clock of the engine's [`Instant`]s: it also runs while the machine sleeps.
pub fn now() -> Instant {
    let time = clock_gettime(ClockId::CLOCK_BOOTTIME).or_else(|_| clock_gettime(ClockId::CLOCK_MONOTONIC));
    time.map_or(Instant(0), |time| Instant(time.tv_sec() as u64 * 1_000_000_000 + time.tv_nsec() as u64))
}

/// The runtime of this process.
pub(crate) fn runtime() -> Result<&'static Runtime, Error> {
    RUNTIME.get_or_try_init(|| {
        masked(&SigSet::all(), || {
            Builder::new_multi_thread().worker_threads(1).thread_name("remqtt-io").enable_all().build()
        })
        .map_err(|error| Error::new(ErrorCode::Resource, format!("no I/O threads: {error}")))
    })
}

/// Runs `action` under this signal mask; threads that it starts inherit the mask.
pub(crate) fn masked<T>(mask: &SigSet, action: impl FnOnce() -> T) -> T {
    let before = mask.thread_swap_mask(SigmaskHow::SIG_SETMASK);
    let result = action();
    if let Ok(before) = before {
        let _ = before.thread_set_mask();
    }
    result
}

/// A value that every generation makes for itself.
pub(crate) struct PerGeneration<T> {
    cells: [OnceCell<T>; GENERATIONS],
}

impl<T> PerGeneration<T> {
    pub(crate) const fn new() -> Self {
        PerGeneration { cells: [const { OnceCell::new() }; GENERATIONS] }
    }

    pub(crate) fn get_or_try_init(&self, make: impl FnOnce() -> Result<T, Error>) -> Result<&T, Error> {
        let too_deep = || Error::new(ErrorCode::Resource, format!("more than {GENERATIONS} forks in a line"));
        self.cells.get(generation()).ok_or_else(too_deep)?.get_or_try_init(make)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_io_thread_blocks_every_signal_and_the_caller_keeps_its_mask() {
        let before = SigSet::thread_get_mask().unwrap();
        let inside = runtime()
            .unwrap()
            .block_on(async { tokio::spawn(async { SigSet::thread_get_mask().unwrap() }).await.unwrap() });
        assert!(inside.contains(nix::sys::signal::SIGPIPE) && inside.contains(nix::sys::signal::SIGINT));
        assert_eq!(SigSet::thread_get_mask().unwrap(), before);
    }

    #[test]
    fn the_clock_never_goes_back() {
        let first = now();
        assert!(now() >= first);
    }
}
