//! Dispatcher threads, shared by all clients of a pool.
//!
//! A client costs no thread. A pool starts its first thread when the first event comes, and another one whenever a
//! client has waited a moment because every thread is inside user code; so a slow callback delays no other client.
//! Who makes the threads is the binding's business: plain ones for C and Rust, Python-made ones for Python.

use std::collections::VecDeque;
use std::fmt;
use std::panic::{catch_unwind, AssertUnwindSafe};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, LazyLock};
use std::thread::JoinHandle;
use std::time::{Duration, Instant as Moment};

use nix::sys::signal::SigSet;
use parking_lot::{Condvar, Mutex};

use crate::dispatch::Turn;
use crate::runtime::{enrol, masked, runtime, PerGeneration};
use crate::shared::Shared;

/// Most threads of a pool: a bound on what stuck callbacks can cost.
const THREADS: usize = 64;
/// How long a client may wait for a thread before another one is started.
const PATIENCE: Duration = Duration::from_millis(10);
/// How long a thread without work stays.
const IDLE: Duration = Duration::from_secs(10);

type Spawn = dyn Fn(Worker) + Send + Sync;

/// A pool of dispatcher threads.
#[derive(Clone)]
pub struct Pool {
    shared: Arc<PoolShared>,
}

struct PoolShared {
    spawn: Arc<Spawn>,
    /// Signal mask of the threads.
    mask: SigSet,
    crews: PerGeneration<Arc<Crew>>,
}

impl Pool {
    /// A pool whose threads are made by `spawn`, which must run the worker on a new thread: in a loop, take
    /// [`Worker::next`] and run it, until there is none. `spawn` is called on a thread where it may block, under the
    /// signal mask that the caller of this function has now.
    pub fn new(spawn: impl Fn(Worker) + Send + Sync + 'static) -> Pool {
        Pool::with_mask(spawn, SigSet::thread_get_mask().unwrap_or_else(|_| SigSet::empty()))
    }

    /// The pool of plain threads that C and Rust programs share. They block every signal.
    pub fn shared() -> &'static Pool {
        static SHARED: LazyLock<Pool> = LazyLock::new(|| Pool::with_mask(spawn_plain, SigSet::all()));
        &SHARED
    }

    fn with_mask(spawn: impl Fn(Worker) + Send + Sync + 'static, mask: SigSet) -> Pool {
        Pool { shared: Arc::new(PoolShared { spawn: Arc::new(spawn), mask, crews: PerGeneration::new() }) }
    }

    /// The threads of this process.
    pub(crate) fn crew(&self) -> Option<Arc<Crew>> {
        let make = || {
            let crew = Arc::new(Crew::new(self.shared.spawn.clone(), self.shared.mask));
            enrol(&crew);
            Ok(crew)
        };
        self.shared.crews.get_or_try_init(make).ok().cloned()
    }
}

fn spawn_plain(worker: Worker) {
    let thread = std::thread::Builder::new().name("remqtt-callback".to_owned());
    let crew = worker.crew.clone();
    let spawned = thread.spawn(move || {
        while let Some(turn) = worker.next() {
            // The panic hook has reported it; the client lives on.
            let _ = catch_unwind(AssertUnwindSafe(|| turn.run()));
        }
    });
    // Without a thread the worker was dropped, and the crew tries again.
    if let Ok(thread) = spawned {
        let mut roster = crew.roster.lock();
        roster.handles.retain(|thread| !thread.is_finished());
        roster.handles.push(thread);
    }
}

/// The threads of a pool in one process, and the clients that want them.
pub(crate) struct Crew {
    spawn: Arc<Spawn>,
    mask: SigSet,
    roster: Mutex<Roster>,
    work: Condvar,
    /// The last thread has ended.
    deserted: Condvar,
}

#[derive(Default)]
struct Roster {
    /// Clients with events, each at most once, and since when.
    ready: VecDeque<(Arc<Shared>, Moment)>,
    threads: usize,
    idle: usize,
    /// A task looks after clients that wait too long.
    watched: bool,
    /// Threads without work end at once.
    retiring: bool,
    /// Of plain threads.
    handles: Vec<JoinHandle<()>>,
}

impl Crew {
    fn new(spawn: Arc<Spawn>, mask: SigSet) -> Crew {
        Crew { spawn, mask, roster: Mutex::default(), work: Condvar::new(), deserted: Condvar::new() }
    }

    /// A client has events.
    pub(crate) fn schedule(self: &Arc<Self>, client: Arc<Shared>) {
        self.enqueue(client, 0);
    }

    /// A client has more events after its turn; the thread that says so is about to look for work.
    pub(crate) fn reschedule(self: &Arc<Self>, client: Arc<Shared>) {
        self.enqueue(client, 1);
    }

    fn enqueue(self: &Arc<Self>, client: Arc<Shared>, coming: usize) {
        let mut roster = self.roster.lock();
        roster.ready.push_back((client, Moment::now()));
        let first = roster.threads == 0;
        roster.threads += usize::from(first);
        let hands = roster.idle + coming + usize::from(first);
        let watch = roster.ready.len() > hands && !roster.watched;
        roster.watched |= watch;
        if roster.idle > 0 {
            self.work.notify_one();
        }
        drop(roster);
        if first {
            self.start_thread();
        }
        if watch {
            self.watch();
        }
    }

    /// Starts threads while clients wait too long. On the runtime, because every thread of the crew may be busy.
    fn watch(self: &Arc<Self>) {
        let crew = self.clone();
        let Ok(runtime) = runtime() else { return };
        runtime.spawn(async move {
            loop {
                tokio::time::sleep(PATIENCE).await;
                let mut roster = crew.roster.lock();
                if roster.ready.len() <= roster.idle {
                    roster.watched = false;
                    return;
                }
                let late = roster.ready.front().is_some_and(|(_, since)| since.elapsed() >= PATIENCE);
                if late && roster.threads < THREADS {
                    roster.threads += 1;
                    drop(roster);
                    crew.start_thread();
                }
            }
        });
    }

    /// Making a thread may mean waiting for an interpreter: never on the thread that does the I/O.
    fn start_thread(self: &Arc<Self>) {
        let worker = Worker { crew: self.clone(), retired: AtomicBool::new(false) };
        let Ok(runtime) = runtime() else { return };
        runtime.spawn_blocking(move || {
            let (spawn, mask) = (worker.crew.spawn.clone(), worker.crew.mask);
            masked(&mask, || spawn(worker));
        });
    }

    /// Ends the threads, when they have no work left, and waits for that. False when the deadline came first.
    pub(crate) fn retire(&self, deadline: Moment) -> bool {
        let mut roster = self.roster.lock();
        roster.retiring = true;
        self.work.notify_all();
        let mut late = false;
        while roster.threads > 0 && !late {
            late = self.deserted.wait_until(&mut roster, deadline).timed_out();
        }
        roster.retiring = false;
        // The runtime is about to end, and the task that watches ends with it.
        roster.watched = false;
        let handles = if late { Vec::new() } else { std::mem::take(&mut roster.handles) };
        drop(roster);
        // They have left the roster and are about to end.
        handles.into_iter().for_each(|thread| drop(thread.join()));
        !late
    }

    fn leave(self: &Arc<Self>, roster: &mut Roster) -> bool {
        roster.threads -= 1;
        if roster.threads == 0 {
            self.deserted.notify_all();
        }
        let watch = roster.ready.len() > roster.idle && !roster.watched;
        roster.watched |= watch;
        watch
    }
}

/// What a dispatcher thread runs.
pub struct Worker {
    crew: Arc<Crew>,
    /// No longer counted as a thread.
    retired: AtomicBool,
}

impl Worker {
    /// Waits for a client with events. `None`: nothing came for a while, the thread should end.
    pub fn next(&self) -> Option<Turn> {
        if self.retired.load(Ordering::Relaxed) {
            return None;
        }
        let mut roster = self.crew.roster.lock();
        loop {
            if let Some((client, _)) = roster.ready.pop_front() {
                drop(roster);
                return Some(Turn::of(client));
            }
            let mut late = roster.retiring;
            if !late {
                roster.idle += 1;
                late = self.crew.work.wait_for(&mut roster, IDLE).timed_out();
                roster.idle -= 1;
            }
            if late && roster.ready.is_empty() {
                self.retired.store(true, Ordering::Relaxed);
                self.crew.leave(&mut roster);
                return None;
            }
        }
    }
}

impl Drop for Worker {
    fn drop(&mut self) {
        if !self.retired.load(Ordering::Relaxed) {
            let watch = self.crew.leave(&mut self.crew.roster.lock());
            if watch {
                self.crew.watch();
            }
        }
    }
}

impl fmt::Debug for Pool {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Pool").finish_non_exhaustive()
    }
}

impl fmt::Debug for Worker {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Worker").finish_non_exhaustive()
    }
}
