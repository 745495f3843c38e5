//! What all clients of a process share: the clock, the I/O runtime, and what a fork does to them.
//!
//! The runtime is made when the first client is. Its threads block every signal, so that the host's handlers run on the
//! host's threads. It stays when the last client goes, for the next one; [`wind_down`] ends it for hosts that want no
//! thread left behind.
//!
//! A fork copies the memory and only the forking thread: runtime, pool threads and whoever held a lock are gone.
//! Each process of a line of forks is therefore a *generation*. Clients remember theirs and refuse every call in a
//! later one; whatever is shared has one cell for each generation, so that a child never waits for a lock that nobody
//! is left to release.

use std::fmt;
use std::panic::catch_unwind;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Weak};
use std::time::{Duration, Instant as Moment};

use nix::sys::signal::{SigSet, SigmaskHow};
use nix::sys::time::TimeSpec;
use nix::time::{clock_gettime, ClockId};
use once_cell::sync::OnceCell;
use parking_lot::{Condvar, Mutex, MutexGuard};
use remqtt_proto::{Error, ErrorCode, Instant};
use tokio::runtime::{Builder, Handle, Runtime};

use crate::dispatch;
use crate::netwatch;
use crate::pool::Crew;

/// Forks in one line of descent after which no client can be made.
const GENERATIONS: usize = 64;

static GENERATION: AtomicUsize = AtomicUsize::new(0);
static HOUSE: PerGeneration<House> = PerGeneration::new();

/// What the clients of one process live in.
#[derive(Default)]
struct House {
    rooms: Mutex<Rooms>,
    left: Condvar,
}

#[derive(Default)]
struct Rooms {
    runtime: Option<Runtime>,
    crews: Vec<Weak<Crew>>,
    /// Clients that are not closed.
    open: usize,
    /// Closed clients and connections whose last bytes are on their way.
    leaving: usize,
}

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
    time.map_or(Instant(0), instant)
}

fn instant(time: TimeSpec) -> Instant {
    Instant(time.tv_sec() as u64 * 1_000_000_000 + time.tv_nsec() as u64)
}

/// How long the machine has slept in all, or a constant where the system does not tell. It grows while no timer runs.
pub(crate) fn asleep() -> Duration {
    let Ok(running) = clock_gettime(ClockId::CLOCK_MONOTONIC) else { return Duration::ZERO };
    now().since(instant(running))
}

/// Ends the library's threads if every client is closed, and waits for them up to `timeout`. For programs that must
/// leave no thread behind, before `exit` or under a leak checker. False: a client is open, a callback is still running,
/// or this is one. The next client makes new threads.
pub fn wind_down(timeout: Duration) -> bool {
    let deadline = Moment::now() + timeout;
    let Ok(house) = HOUSE.get_or_try_init(|| Ok(House::default())) else { return false };
    if dispatch::inside_callback() || Handle::try_current().is_ok() {
        return false;
    }
    let mut rooms = house.rooms.lock();
    let crews: Vec<_> = rooms.crews.iter().filter_map(Weak::upgrade).collect();
    while rooms.open == 0 && rooms.leaving > 0 {
        if house.left.wait_until(&mut rooms, deadline).timed_out() {
            return false;
        }
    }
    if rooms.open > 0 || !MutexGuard::unlocked(&mut rooms, || crews.iter().all(|crew| crew.retire(deadline)))
    {
        return false;
    }
    // A client may have come while the lock was open.
    let runtime = if rooms.open == 0 { rooms.runtime.take() } else { return false };
    drop(rooms);
    if let Some(runtime) = runtime {
        runtime.shutdown_timeout(deadline.saturating_duration_since(Moment::now()));
    }
    // It may have been making a thread.
    crews.iter().all(|crew| crew.retire(deadline))
}

/// The runtime of this process.
pub(crate) fn runtime() -> Result<Handle, Error> {
    let house = HOUSE.get_or_try_init(|| Ok(House::default()))?;
    handle(&mut house.rooms.lock())
}

fn handle(rooms: &mut Rooms) -> Result<Handle, Error> {
    if let Some(runtime) = &rooms.runtime {
        return Ok(runtime.handle().clone());
    }
    // Where the system has no thread left, the builder panics.
    let build =
        || Builder::new_multi_thread().worker_threads(1).thread_name("remqtt-io").enable_all().build();
    let made = match masked(&SigSet::all(), || catch_unwind(build)) {
        Ok(Ok(runtime)) => runtime,
        Ok(Err(error)) => return Err(Error::new(ErrorCode::Resource, format!("no I/O thread: {error}"))),
        Err(_) => return Err(Error::new(ErrorCode::Resource, "no I/O thread")),
    };
    let handle = rooms.runtime.insert(made).handle().clone();
    netwatch::begin(&handle);
    Ok(handle)
}

/// Lets [`wind_down`] know of a crew.
pub(crate) fn enrol(crew: &Arc<Crew>) {
    if let Ok(house) = HOUSE.get_or_try_init(|| Ok(House::default())) {
        house.rooms.lock().crews.push(Arc::downgrade(crew));
    }
}

/// Somebody whom [`wind_down`] must respect: a client, or the last bytes of a connection.
pub(crate) struct Presence {
    house: &'static House,
    stage: Mutex<Stage>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Stage {
    Open,
    Leaving,
    Gone,
}

impl Presence {
    /// An open client, and the runtime for it.
    pub(crate) fn open() -> Result<(Presence, Handle), Error> {
        let house = HOUSE.get_or_try_init(|| Ok(House::default()))?;
        let mut rooms = house.rooms.lock();
        let handle = handle(&mut rooms)?;
        rooms.open += 1;
        Ok((Presence { house, stage: Mutex::new(Stage::Open) }, handle))
    }

    /// The presence of last bytes beside this client.
    pub(crate) fn lingering(&self) -> Presence {
        self.house.rooms.lock().leaving += 1;
        Presence { house: self.house, stage: Mutex::new(Stage::Leaving) }
    }

    /// It was asked to go.
    pub(crate) fn leave(&self) {
        self.advance(Stage::Leaving);
    }

    /// It needs no thread any more.
    pub(crate) fn gone(&self) {
        self.advance(Stage::Gone);
    }

    fn advance(&self, to: Stage) {
        let mut stage = self.stage.lock();
        let mut rooms = self.house.rooms.lock();
        match (*stage, to) {
            (Stage::Open, Stage::Leaving | Stage::Gone) => rooms.open -= 1,
            (Stage::Leaving, Stage::Gone) => rooms.leaving -= 1,
            _ => return,
        }
        *stage = to;
        rooms.leaving += usize::from(to == Stage::Leaving);
        self.house.left.notify_all();
    }
}

impl Drop for Presence {
    fn drop(&mut self) {
        self.gone();
    }
}

impl fmt::Debug for Presence {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Presence").finish_non_exhaustive()
    }
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
