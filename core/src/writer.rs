//! The driver's side of the store: one commit at a time, and whatever came meanwhile is the next one.
//!
//! So the number of commits follows the disk and not the number of messages: a slow disk makes larger batches. The
//! store works on the runtime's blocking threads and comes back with the result. A batch that could not be written is
//! kept and tried again, before anything newer, until it can.

use std::future::Future;
use std::panic::{catch_unwind, AssertUnwindSafe};
use std::pin::Pin;
use std::task::{ready, Context, Poll};
use std::time::Duration;

use remqtt_proto::{Change, Error, ErrorCode, Input, Lsn};
use tokio::task::{spawn_blocking, JoinHandle};
use tokio::time::{sleep, Sleep};

use crate::store::SessionStore;

/// How long a disk that refused a batch is left alone: at first, and at most.
const RETRY: (Duration, Duration) = (Duration::from_millis(100), Duration::from_secs(5));

type Store = Box<dyn SessionStore>;

/// Room for so many changes, at most, is made for the next batch if the last one had as many.
const ROOM: usize = 4_096;

/// Changes in their order, and the number of the last one.
#[derive(Default)]
struct Batch {
    changes: Vec<Change>,
    last: Lsn,
}

enum Work {
    Idle(Store),
    Committing(JoinHandle<(Store, Batch, Result<(), Error>)>),
    /// The batch is tried again when the time is over.
    Refused(Store, Batch, Pin<Box<Sleep>>),
    Closing(JoinHandle<()>),
    /// It is closed; or the thread that had the store is gone, and with it the store.
    Gone,
}

/// Who has the store of a client.
pub(crate) struct Writer {
    work: Work,
    /// What came while a commit was under way.
    next: Batch,
    /// Changes of the batch before that.
    usual: usize,
    delay: Duration,
}

impl Writer {
    pub(crate) fn new(store: Store) -> Writer {
        Writer { work: Work::Idle(store), next: Batch::default(), usual: 0, delay: RETRY.0 }
    }

    pub(crate) fn add(&mut self, lsn: Lsn, change: Change) {
        if self.next.changes.is_empty() {
            self.next.changes.reserve(self.usual);
        }
        self.next.changes.push(change);
        self.next.last = lsn;
    }

    /// Starts what can be started, and gives what the engine has to hear.
    pub(crate) fn poll(&mut self, cx: &mut Context<'_>) -> Option<Input<'static>> {
        loop {
            match std::mem::replace(&mut self.work, Work::Gone) {
                Work::Idle(store) if self.next.changes.is_empty() => {
                    self.work = Work::Idle(store);
                    return None;
                }
                Work::Idle(store) => {
                    let batch = std::mem::take(&mut self.next);
                    self.usual = batch.changes.len().min(ROOM);
                    self.work = Work::Committing(spawn_blocking(move || commit(store, batch)));
                }
                Work::Committing(mut thread) => match Pin::new(&mut thread).poll(cx) {
                    Poll::Pending => {
                        self.work = Work::Committing(thread);
                        return None;
                    }
                    Poll::Ready(Ok((store, batch, Ok(())))) => {
                        (self.work, self.delay) = (Work::Idle(store), RETRY.0);
                        return Some(Input::Persisted(batch.last));
                    }
                    Poll::Ready(Ok((store, batch, Err(error)))) => {
                        self.work = Work::Refused(store, batch, Box::pin(sleep(self.delay)));
                        self.delay = (2 * self.delay).min(RETRY.1);
                        return Some(Input::PersistFailed(error));
                    }
                    Poll::Ready(Err(gone)) => {
                        return Some(Input::PersistFailed(Error::new(
                            ErrorCode::StoreFailed,
                            gone.to_string(),
                        )))
                    }
                },
                Work::Refused(store, batch, mut pause) => {
                    if pause.as_mut().poll(cx).is_pending() {
                        self.work = Work::Refused(store, batch, pause);
                        return None;
                    }
                    self.work = Work::Committing(spawn_blocking(move || commit(store, batch)));
                }
                Work::Closing(thread) => {
                    self.work = Work::Closing(thread);
                    return None;
                }
                Work::Gone => return None,
            }
        }
    }

    /// Writes what is left, unless the disk refuses it, and closes the store. That commits and syncs once more, so it
    /// is for the blocking threads too. Ready when others can open it.
    pub(crate) fn poll_close(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        while self.poll(cx).is_some() {}
        match std::mem::replace(&mut self.work, Work::Gone) {
            Work::Idle(store) | Work::Refused(store, ..) => {
                self.work = Work::Closing(spawn_blocking(move || drop(store)));
            }
            other => self.work = other,
        }
        match &mut self.work {
            Work::Closing(thread) => {
                ready!(Pin::new(thread).poll(cx)).ok();
                self.work = Work::Gone;
                Poll::Ready(())
            }
            Work::Gone => Poll::Ready(()),
            _ => Poll::Pending,
        }
    }
}

/// Runs on a blocking thread, where the changes also go.
fn commit(mut store: Store, mut batch: Batch) -> (Store, Batch, Result<(), Error>) {
    let result = catch_unwind(AssertUnwindSafe(|| store.commit(&batch.changes)));
    let result = result.unwrap_or_else(|_| Err(Error::new(ErrorCode::StoreFailed, "the store panicked")));
    if result.is_ok() {
        batch.changes = Vec::new();
    }
    (store, batch, result)
}
