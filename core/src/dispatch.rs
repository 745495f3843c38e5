//! From the engine's events to user code: a bounded queue for each client, and threads shared by all of them.
//!
//! A client costs no thread. A pool starts its first thread when the first event comes, and another one whenever an
//! event has waited a moment because every thread is inside user code; so a slow callback delays no other client.
//! Who makes the threads is the binding's business: plain ones for C and Rust, Python-made ones for Python.

use std::sync::Arc;

use remqtt_proto::Event;

use crate::client::Client;

/// User code of one client.
pub trait Handler: Send + Sync {
    /// Takes the events of the batch with [`Batch::next`]. Never called twice at once for one client.
    fn handle(&self, client: &Client, batch: &mut Batch<'_>);
}

/// Events that are ready. An automatic acknowledgement follows the processing: taking the next event, or dropping
/// the batch, says that the application has finished with the one before. Acknowledgements leave together, at the
/// end of the batch or when a few milliseconds have passed.
#[derive(Debug)]
pub struct Batch<'a> {
    client: std::marker::PhantomData<&'a Client>,
}

#[allow(clippy::should_implement_trait, clippy::todo)]
impl Batch<'_> {
    /// The next event.
    pub fn next(&mut self) -> Option<Event> {
        todo!()
    }

    /// How many events are left.
    pub fn len(&self) -> usize {
        todo!()
    }

    /// True when none is left.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Gives the rest back: the events that were not taken stay at the head of the queue.
    pub fn put_back(self) {
        todo!()
    }
}

/// A pool of dispatcher threads.
#[derive(Debug, Clone)]
pub struct Pool {
    shared: Arc<()>,
}

#[allow(unused_variables, clippy::todo)]
impl Pool {
    /// A pool whose threads are made by `spawn`, which must run the worker on a new thread: in a loop, take
    /// [`Worker::next`] and run it, until there is none.
    pub fn new(spawn: impl Fn(Worker) + Send + Sync + 'static) -> Pool {
        todo!()
    }

    /// The pool of plain threads that C and Rust programs share.
    pub fn shared() -> &'static Pool {
        todo!()
    }
}

/// What a dispatcher thread runs.
#[derive(Debug)]
pub struct Worker {
    pool: Pool,
}

#[allow(clippy::todo)]
impl Worker {
    /// Waits for a client with events. `None`: nothing came for a while, the thread should end.
    pub fn next(&self) -> Option<Turn> {
        todo!()
    }
}

/// One client's turn on a dispatcher thread.
#[derive(Debug)]
pub struct Turn {
    client: Client,
}

#[allow(clippy::todo)]
impl Turn {
    /// Calls the client's handler with what is ready.
    pub fn run(self) {
        todo!()
    }
}
