//! The pool whose threads Python makes: callbacks run on `threading.Thread`s, shared by all clients.

use std::cell::RefCell;
use std::sync::LazyLock;

use pyo3::prelude::*;
use remqtt_core::Pool;

use crate::events::Events;

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

/// The pool; the core keeps apart what belongs to a parent and to its forks.
pub(crate) fn pool() -> &'static Pool {
    static POOL: LazyLock<Pool> = LazyLock::new(|| Pool::new(start_thread));
    &POOL
}

fn start_thread(worker: remqtt_core::Worker) {
    // A failure means that the process is ending or has no threads left: the worker is dropped, the core tries again.
    let _ = Python::try_attach(|py| -> PyResult<()> {
        py.import("remqtt._dispatch")?.getattr("start_thread")?.call1((Worker { worker },))?;
        Ok(())
    });
}

/// Must be called in the child of a fork before anything else of this module.
#[pyfunction]
pub(crate) fn after_fork_in_child() {
    remqtt_core::after_fork_in_child();
}
