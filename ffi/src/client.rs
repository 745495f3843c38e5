//! The client's handle: one allocation in an `Arc`, shared by the application, core's dispatcher and kept messages.
//!
//! Two counts, because they end different things. `references` counts what the application holds: when the last
//! one goes the client is closed. The `Arc` counts who may still touch the memory: core holds one for its
//! dispatcher from `remqtt_client_new` until the event `Closed` was handled, so a callback can free the last
//! reference and every accepted operation still gets its `done`.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, AtomicI32, AtomicU32, AtomicUsize, Ordering};
use std::sync::Arc;
use std::time::Duration;

use parking_lot::{Condvar, Mutex};
use remqtt_core::{Client, Error, ErrorCode, Pool, Ticket};

use crate::arguments::by_ref;
use crate::callbacks::{remqtt_done_fn, Callback, REMQTT_STATE_STOPPED};
use crate::config::remqtt_config;
use crate::dial::Caller;
use crate::fork;
use crate::handlers::Callbacks;
use crate::login::Asker;
use crate::routes::Routes;

/// A client. Any thread, any number of them at once. Reference-counted: remqtt_client_new gives the first
/// reference, remqtt_client_ref another one, remqtt_client_free ends one.
pub struct remqtt_client {
    pub(crate) core: Client,
    /// Callbacks run in `remqtt_client_dispatch`.
    pub(crate) poll: bool,
    /// References of the application.
    references: AtomicU32,
    /// The process that made the client.
    generation: usize,
    /// The functions; taken when nothing can follow any more.
    pub(crate) callbacks: Mutex<Callbacks>,
    /// What to call when an operation completes. Only operations with a `done` have an entry.
    pub(crate) pending: Mutex<HashMap<Ticket, Callback<remqtt_done_fn>>>,
    /// The functions that are for some topics only.
    pub(crate) routes: Routes,
    /// The state that the last state event told.
    pub(crate) told: AtomicI32,
    /// The thread that is inside a callback of this client ([`this_thread`]), 0 for none.
    pub(crate) running_on: AtomicUsize,
    /// One dispatch at a time in poll mode.
    pub(crate) turn: Mutex<()>,
    /// Close was called or the last reference is gone: messages are no longer delivered, and so not acknowledged,
    /// because their acknowledgement could not be sent and a persistent session brings them again.
    closing: AtomicBool,
    /// `Closed` was handled: no callback follows.
    ended: Mutex<bool>,
    changed: Condvar,
}

/// A number for this thread, never 0 and unique among those that live.
pub(crate) fn this_thread() -> usize {
    thread_local! { static HERE: u8 = const { 0 } }
    HERE.try_with(|here| std::ptr::from_ref(here).addr()).unwrap_or(usize::MAX)
}

impl remqtt_client {
    /// A client of this config with one reference for the application.
    pub(crate) fn create(config: &remqtt_config) -> Result<Arc<Self>, Error> {
        fork::watch();
        let client = Arc::new(remqtt_client {
            core: Client::new(config.options.clone())?,
            poll: config.poll,
            references: AtomicU32::new(1),
            generation: remqtt_core::generation(),
            callbacks: Mutex::new(config.callbacks.clone()),
            pending: Mutex::default(),
            routes: Routes::default(),
            told: AtomicI32::new(REMQTT_STATE_STOPPED),
            running_on: AtomicUsize::new(0),
            turn: Mutex::new(()),
            closing: AtomicBool::new(false),
            ended: Mutex::new(false),
            changed: Condvar::new(),
        });
        let Callbacks { credentials, dial, .. } = config.callbacks.clone();
        if let Some(callback) = credentials {
            let asker = Asker { client: Arc::downgrade(&client), callback };
            client.core.ask_credentials(Some(Arc::new(asker)))?;
        }
        if let Some(callback) = dial {
            let caller = Caller { client: Arc::downgrade(&client), callback };
            client.core.dial_with(Some(Arc::new(caller)))?;
        }
        if !client.poll {
            client.core.dispatch_on(Pool::shared(), client.clone());
        }
        Ok(client)
    }

    /// Another owner of the memory. Every client lives in an `Arc`: `create` is the only way to one.
    pub(crate) fn share(&self) -> Arc<Self> {
        // SAFETY: `self` is inside an `Arc` whose count is at least one while this borrow lives.
        unsafe {
            Arc::increment_strong_count(self);
            Arc::from_raw(self)
        }
    }

    /// One more reference for the application.
    pub(crate) fn refer(&self) {
        self.references.fetch_add(1, Ordering::Relaxed);
    }

    /// One reference less; the last one closes the client. Never waits.
    pub(crate) fn release(&self) {
        if self.references.fetch_sub(1, Ordering::AcqRel) == 1 {
            self.close_now();
        }
    }

    /// Gives everything up. Completions and the event `Closed` follow.
    pub(crate) fn close_now(&self) {
        self.closing.store(true, Ordering::Release);
        self.core.close();
    }

    /// True when messages are no longer delivered.
    pub(crate) fn is_closing(&self) -> bool {
        self.closing.load(Ordering::Acquire)
    }

    /// True when no callback can follow.
    pub(crate) fn has_ended(&self) -> bool {
        *self.ended.lock()
    }

    /// Nothing follows: drops the functions and wakes `wait_ended`. Core forgets its handler by itself.
    pub(crate) fn end(&self) {
        let callbacks = std::mem::take(&mut *self.callbacks.lock());
        drop(callbacks); // runs drop functions, so outside the lock
        self.routes.end();

        // The only error: the process is another one, and the functions its parent's.
        let _ = self.core.ask_credentials(None);
        let _ = self.core.dial_with(None);
        *self.ended.lock() = true;
        self.changed.notify_all();
    }

    /// Waits until no callback can follow.
    pub(crate) fn wait_ended(&self, timeout: Duration) -> Result<(), Error> {
        let mut ended = self.ended.lock();
        let result = self.changed.wait_while_for(&mut ended, |ended| !*ended, timeout);
        if result.timed_out() {
            return Err(Error::new(ErrorCode::Timeout, "a callback of the client is still running"));
        }
        Ok(())
    }

    /// Refuses a call that would wait for the callback it is made in.
    pub(crate) fn outside_callbacks(&self) -> Result<&Self, Error> {
        if self.running_on.load(Ordering::Relaxed) == this_thread() {
            return Err(ErrorCode::Deadlock.into());
        }
        Ok(self)
    }

    /// True in the process that made the client.
    pub(crate) fn is_ours(&self) -> bool {
        self.generation == remqtt_core::generation()
    }
}

/// The client of a call.
///
/// # Safety
/// `client` is NULL or a reference that lives as long as the call.
pub(crate) unsafe fn client<'a>(client: *const remqtt_client) -> Result<&'a remqtt_client, Error> {
    // SAFETY: the caller's promise is ours.
    let client = unsafe { by_ref(client, "client") }?;
    if client.is_ours() {
        Ok(client)
    } else {
        Err(ErrorCode::Forked.into())
    }
}
