//! The pool whose threads Python makes: callbacks run on `threading.Thread`s, shared by all clients.

use std::cell::RefCell;
use std::collections::VecDeque;
use std::sync::LazyLock;

use parking_lot::{Condvar, Mutex};
use pyo3::prelude::*;
use remqtt_core::Pool;

use crate::events::Events;
use crate::roads::Question;

thread_local! {
    /// What the turn that this thread has just taken is about.
    static TURN: RefCell<Option<Events>> = const { RefCell::new(None) };
}

/// Hands the events of the turn that runs on this thread to its worker.
pub(crate) fn hand_over(events: Events) {
    TURN.with(|turn| *turn.borrow_mut() = Some(events));
}

/// Iterates over the turns of clients that have events; ends when nothing came for a while.
#[pyclass(frozen, module = "remqtt._native")]
pub(crate) struct Worker {
    worker: remqtt_core::Worker,
}

#[pymethods]
impl Worker {
    fn __iter__(slf: Bound<'_, Self>) -> Bound<'_, Self> {
        slf
    }

    fn __next__(&self, py: Python<'_>) -> Option<Events> {
        loop {
            let turn = py.detach(|| self.worker.next())?;
            turn.run();
            if let Some(events) = TURN.with(|turn| turn.borrow_mut().take()) {
                return Some(events);
            }
        }
    }
}

/// What wants a thread of Python's.
pub(crate) enum Job {
    /// Callbacks, for as long as there are some.
    Worker(remqtt_core::Worker),
    /// Something on the way to a server.
    Question(Question),
}

/// Hands a job to the thread that starts the others.
pub(crate) fn want(job: Job) {
    if let Some(wanted) = wanted() {
        wanted.jobs.lock().push_back(job);
        wanted.came.notify_one();
    }
}

/// Iterates over the jobs that want a thread. Python keeps one thread that starts the others: on a native thread,
/// `threading.Thread.start` would have native frames below it when the interpreter ends.
#[pyclass(frozen, module = "remqtt._native")]
pub(crate) struct Spawns;

#[pymethods]
impl Spawns {
    #[new]
    fn new() -> Spawns {
        Spawns
    }

    fn __iter__(slf: Bound<'_, Self>) -> Bound<'_, Self> {
        slf
    }

    fn __next__<'py>(&self, py: Python<'py>) -> PyResult<Option<Bound<'py, PyAny>>> {
        let Some(wanted) = wanted() else { return Ok(None) };
        let job = py.detach(|| {
            let mut jobs = wanted.jobs.lock();
            loop {
                match jobs.pop_front() {
                    Some(job) => return job,
                    None => wanted.came.wait(&mut jobs),
                }
            }
        });
        let job = match job {
            Job::Worker(worker) => Bound::new(py, Worker { worker })?.into_any(),
            Job::Question(question) => Bound::new(py, question)?.into_any(),
        };
        Ok(Some(job))
    }
}

/// Jobs without a thread.
struct Wanted {
    jobs: Mutex<VecDeque<Job>>,
    came: Condvar,
}

/// Forks in one line of descent that the core can tell apart.
const GENERATIONS: usize = 64;

/// What this process wants; the lock of a parent must not matter to its child.
fn wanted() -> Option<&'static Wanted> {
    static WANTED: [Wanted; GENERATIONS] =
        [const { Wanted { jobs: Mutex::new(VecDeque::new()), came: Condvar::new() } }; GENERATIONS];
    WANTED.get(remqtt_core::generation())
}

/// So many clients have a thread of their own for their callbacks: more than most programs have that do different things,
/// and few enough not to count where there are a thousand.
const OWN_THREADS: usize = 4;

/// The pool; the core keeps apart what belongs to a parent and to its forks.
pub(crate) fn pool() -> &'static Pool {
    static POOL: LazyLock<Pool> =
        LazyLock::new(|| Pool::new(OWN_THREADS, |worker| want(Job::Worker(worker))));
    &POOL
}

/// Must be called in the child of a fork before anything else of this module.
#[pyfunction]
pub(crate) fn after_fork_in_child() {
    remqtt_core::after_fork_in_child();
}
