//! Dispatcher threads, shared by all clients of a pool.
//!
//! A client costs no thread. A pool starts its first thread when the first event comes, and another one whenever a
//! client has waited a moment because every thread is inside user code; so a slow callback delays no other client.
//!
//! Handlers may keep what belongs to a thread, such as a database connection. A pool can give its first clients a
//! thread each, for as long as they have a handler: it is made when a client first has events, and the client's code
//! runs on no other.
//!
//! Who makes the threads is the binding's business: plain ones for C and Rust, Python-made ones for Python.

use std::collections::VecDeque;
use std::fmt;
use std::panic::{catch_unwind, AssertUnwindSafe};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, LazyLock, OnceLock};
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
    own: usize,
    spawn: Arc<Spawn>,
    /// Signal mask of the threads.
    mask: SigSet,
    crews: PerGeneration<Arc<Crew>>,
}

impl Pool {
    /// A pool whose threads are made by `spawn`, which must run the worker on a new thread: in a loop, take
    /// [`Worker::next`] and run it, until there is none. `spawn` is called on a thread where it may block, under the
    /// signal mask that the caller of this function has now. So many clients at a time have a thread of their `own`.
    pub fn new(own: usize, spawn: impl Fn(Worker) + Send + Sync + 'static) -> Pool {
        Pool::with_mask(own, spawn, SigSet::thread_get_mask().unwrap_or_else(|_| SigSet::empty()))
    }

    /// The pool of plain threads that C and Rust programs share. They block every signal.
    pub fn shared() -> &'static Pool {
        static SHARED: LazyLock<Pool> = LazyLock::new(|| Pool::with_mask(0, spawn_plain, SigSet::all()));
        &SHARED
    }

    fn with_mask(own: usize, spawn: impl Fn(Worker) + Send + Sync + 'static, mask: SigSet) -> Pool {
        Pool {
            shared: Arc::new(PoolShared { own, spawn: Arc::new(spawn), mask, crews: PerGeneration::new() }),
        }
    }

    /// The threads of this process.
    pub(crate) fn crew(&self) -> Option<Arc<Crew>> {
        let make = || {
            let crew = Arc::new(Crew::new(&self.shared));
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
    own: usize,
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
    /// Threads that belong to one client, beside the others.
    own: usize,
    /// A task looks after clients that wait too long.
    watched: bool,
    /// Threads without work end at once.
    retiring: bool,
    /// Of plain threads.
    handles: Vec<JoinHandle<()>>,
}

/// The place of one client and handler in a crew. A thread of their own ends when this is dropped.
pub(crate) struct Seat {
    crew: Arc<Crew>,
    /// Decided when there are events for the first time.
    post: OnceLock<Option<Arc<Post>>>,
}

impl Seat {
    /// The client has events.
    pub(crate) fn schedule(&self, client: Arc<Shared>) {
        self.enqueue(client, 0);
    }

    /// The client has more events after its turn; the thread that says so is about to look for work.
    pub(crate) fn reschedule(&self, client: Arc<Shared>) {
        self.enqueue(client, 1);
    }

    fn enqueue(&self, client: Arc<Shared>, coming: usize) {
        let own = self.post.get_or_init(|| self.crew.own_thread());
        let left = match own {
            Some(post) => post.give(client),
            None => Some(client),
        };
        if let Some(client) = left {
            self.crew.enqueue(client, coming);
        }
    }

    /// Whether the client's turn may be on that thread: its own one, or any that is nobody's.
    pub(crate) fn is_at(&self, post: Option<&Arc<Post>>) -> bool {
        match (self.post.get(), post) {
            (Some(Some(own)), Some(post)) => Arc::ptr_eq(own, post),
            (Some(Some(own)), None) => own.missing.load(Ordering::Acquire),
            (Some(None), post) => post.is_none(),
            (None, _) => false,
        }
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        if let Some(Some(post)) = self.post.get() {
            post.desk.lock().over = true;
            post.bell.notify_one();
        }
    }
}

/// A thread for one client.
#[derive(Default)]
pub(crate) struct Post {
    desk: Mutex<Desk>,
    bell: Condvar,
    /// The thread could not be made: the others do its work. Set under the lock of the desk.
    missing: AtomicBool,
}

#[derive(Default)]
struct Desk {
    /// The client has events.
    job: Option<Arc<Shared>>,
    /// Its handler is gone.
    over: bool,
}

impl Post {
    /// Gives the client back where there is no such thread.
    fn give(&self, client: Arc<Shared>) -> Option<Arc<Shared>> {
        let mut desk = self.desk.lock();
        if self.missing.load(Ordering::Acquire) {
            return Some(client);
        }
        desk.job = Some(client);
        self.bell.notify_one();
        None
    }

    /// Waits for events. `None`: there will be no more.
    fn next(&self) -> Option<Arc<Shared>> {
        let mut desk = self.desk.lock();
        loop {
            if let Some(client) = desk.job.take() {
                return Some(client);
            }
            if desk.over {
                return None;
            }
            self.bell.wait(&mut desk);
        }
    }
}

impl Crew {
    fn new(pool: &PoolShared) -> Crew {
        let (own, spawn, mask) = (pool.own, pool.spawn.clone(), pool.mask);
        Crew { own, spawn, mask, roster: Mutex::default(), work: Condvar::new(), deserted: Condvar::new() }
    }

    /// A place for a client.
    pub(crate) fn seat(self: &Arc<Self>) -> Arc<Seat> {
        Arc::new(Seat { crew: self.clone(), post: OnceLock::new() })
    }

    /// A thread for one client, if there is one left.
    fn own_thread(self: &Arc<Self>) -> Option<Arc<Post>> {
        let mut roster = self.roster.lock();
        if roster.own >= self.own {
            return None;
        }
        roster.own += 1;
        drop(roster);
        let post = Arc::<Post>::default();
        self.start_thread(Some(post.clone()));
        Some(post)
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
            self.start_thread(None);
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
                    crew.start_thread(None);
                }
            }
        });
    }

    /// Making a thread may mean waiting for an interpreter: never on the thread that does the I/O.
    fn start_thread(self: &Arc<Self>, post: Option<Arc<Post>>) {
        let worker = Worker { crew: self.clone(), post, retired: AtomicBool::new(false) };
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
        while roster.threads + roster.own > 0 && !late {
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

    fn leave_own(&self) {
        let mut roster = self.roster.lock();
        roster.own -= 1;
        if roster.threads + roster.own == 0 {
            self.deserted.notify_all();
        }
    }

    fn leave(self: &Arc<Self>, roster: &mut Roster) -> bool {
        roster.threads -= 1;
        if roster.threads + roster.own == 0 {
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
    /// It is the thread of one client.
    post: Option<Arc<Post>>,
    /// No longer counted as a thread.
    retired: AtomicBool,
}

impl Worker {
    /// Waits for a client with events. `None`: nothing came for a while, or nothing will; the thread should end.
    pub fn next(&self) -> Option<Turn> {
        if self.retired.load(Ordering::Relaxed) {
            return None;
        }
        if let Some(post) = &self.post {
            let client = post.next();
            if client.is_none() {
                self.retired.store(true, Ordering::Relaxed);
                self.crew.leave_own();
            }
            return client.map(|client| Turn::of(client, self.post.clone()));
        }
        let mut roster = self.crew.roster.lock();
        loop {
            if let Some((client, _)) = roster.ready.pop_front() {
                drop(roster);
                return Some(Turn::of(client, None));
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
        if self.retired.load(Ordering::Relaxed) {
            return;
        }
        if let Some(post) = &self.post {
            let mut desk = post.desk.lock();
            post.missing.store(true, Ordering::Release);
            let job = desk.job.take();
            drop(desk);
            self.crew.leave_own();
            if let Some(client) = job {
                self.crew.enqueue(client, 0);
            }
        } else {
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
