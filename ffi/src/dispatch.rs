//! From a batch of core's events to the application's functions.
//!
//! Core calls [`remqtt_client`] on its pool's threads, one call at a time and in order; in poll mode
//! `remqtt_client_dispatch` pulls the batch instead. No lock of this library is held while a function of the
//! application runs, so it may call everything; what would wait for itself is refused by `outside_callbacks`.

use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use remqtt_core::{Batch, Client, Error, ErrorCode, Event, Handler, Outage, Outcome, SessionState, Ticket};

use crate::arguments::{invalid, remqtt_bytes, remqtt_str};
use crate::auth;
use crate::boundary::{boundary, status};
use crate::callbacks::*;
use crate::client::{client, remqtt_client, this_thread};
use crate::handlers::Callbacks;
use crate::incidents;
use crate::lifecycle::milliseconds;
use crate::log;
use crate::message;
use crate::props;
use crate::report::remqtt_outage;
use crate::status::{remqtt_status, REMQTT_OK};

impl Handler for remqtt_client {
    fn handle(&self, _client: &Client, batch: &mut Batch<'_>) {
        // Not even a panic of ours may end core's dispatcher thread.
        status(|| {
            run(self, batch, usize::MAX);
            Ok(())
        });
    }
}

/// Says which thread is inside callbacks, until it is dropped.
struct Running<'a>(&'a remqtt_client);

impl<'a> Running<'a> {
    fn enter(client: &'a remqtt_client) -> Self {
        client.running_on.store(this_thread(), Ordering::Relaxed);
        Running(client)
    }
}

impl Drop for Running<'_> {
    fn drop(&mut self) {
        self.0.running_on.store(0, Ordering::Relaxed);
    }
}

/// Tells the application at most `most` events. Returns how many there were.
fn run(client: &remqtt_client, batch: &mut Batch<'_>, most: usize) -> usize {
    let mut told = 0;
    let mut closed = false;
    {
        let _running = Running::enter(client);
        // One reference for the batch: the functions outlive their last call.
        let callbacks = client.callbacks.lock().clone();
        while told < most {
            let Some(event) = batch.next() else { break };
            told += 1;
            closed = matches!(event, Event::Closed);
            log::note(client, &callbacks, &event);
            match event {
                Event::Message(message) if client.is_closing() => {
                    drop(message);
                    batch.keep_last();
                }
                Event::Message(message) => {
                    if message::deliver(client, callbacks.message.as_ref(), message) {
                        batch.keep_last();
                    }
                }
                Event::Completed(ticket, outcome) => complete(client, ticket, outcome),
                Event::Recovered(outage) => recovered(client, &callbacks, &outage),
                Event::Quarantined(what) => incidents::quarantined(client, &callbacks, &what),
                Event::Auth(auth) => auth::auth(client, &callbacks, &auth),
                Event::Gap(gap) => incidents::gap(client, &callbacks, &gap),
                Event::Store(trouble) => stored(client, &callbacks, trouble.as_ref()),
                event => changed(client, &callbacks, &event),
            }
        }
        drop(callbacks);
        if closed {
            client.end(); // runs drop functions, which are callbacks too
        }
    }
    told
}

/// Calls the `done` of an operation, if it has one.
fn complete(client: &remqtt_client, ticket: Ticket, outcome: Outcome) {
    client.routes.completed(ticket, matches!(outcome, Outcome::Unsubscribed(..)));
    let Some(done) = client.pending.lock().remove(&ticket) else { return };
    let Some(function) = done.function else { return };
    let (mut status, mut reason, mut codes, mut text) = (REMQTT_OK, None, Vec::new(), String::new());
    let properties = match outcome {
        Outcome::Published(code, properties) => {
            reason = Some(code);
            properties
        }
        Outcome::Subscribed(each, properties) | Outcome::Unsubscribed(each, properties) => {
            codes = each;
            properties
        }
        Outcome::Durable | Outcome::Stored => Default::default(),
        Outcome::Failed(error, properties) => {
            (status, reason, text) = (error.code as remqtt_status, error.reason_code, error.to_string());
            properties
        }
    };
    let result = remqtt_result {
        size: size_of::<remqtt_result>(),
        token: ticket,
        status,
        reason: reason.unwrap_or(0),
        has_reason: reason.is_some().into(),
        reserved: [0; 2],
        codes: remqtt_bytes::of(&codes),
        text: remqtt_str::of(&text),
        props: props::view(&properties),
    };
    // SAFETY: the header's rule for functions; everything that is shown lives until the return.
    unsafe { function(done.user, std::ptr::from_ref(client).cast_mut(), &result) }
}

/// Calls the function for the end of outages.
fn recovered(client: &remqtt_client, callbacks: &Callbacks, outage: &Outage) {
    let Some(callback) = &callbacks.recovered else { return };
    let Some(function) = callback.function else { return };
    // SAFETY: the header's rule for functions; everything that is shown lives until the return.
    unsafe { function(callback.user, std::ptr::from_ref(client).cast_mut(), &remqtt_outage::from(outage)) }
}

/// Calls the function for troubles of the store.
fn stored(client: &remqtt_client, callbacks: &Callbacks, trouble: Option<&Error>) {
    let Some(callback) = &callbacks.store else { return };
    let Some(function) = callback.function else { return };
    let cause = trouble.map_or(REMQTT_OK, |error| error.code as remqtt_status);
    let text = trouble.map_or(String::new(), Error::to_string);
    // SAFETY: the header's rule for functions; everything that is shown lives until the return.
    unsafe { function(callback.user, std::ptr::from_ref(client).cast_mut(), cause, remqtt_str::of(&text)) }
}

/// Calls the function for changes of the connection's state.
fn changed(client: &remqtt_client, callbacks: &Callbacks, event: &Event) {
    let mut shown = remqtt_state_event::NOTHING;
    let text = describe(event, &mut shown);
    shown.text = remqtt_str::of(&text);
    shown.prev = client.told.swap(shown.state, Ordering::Relaxed);
    let Some(callback) = &callbacks.state else { return };
    let Some(function) = callback.function else { return };
    // SAFETY: the header's rule for functions; everything that is shown lives until the return.
    unsafe { function(callback.user, std::ptr::from_ref(client).cast_mut(), &shown) }
}

/// Fills in what the event says; returns its cause in words.
fn describe(event: &Event, shown: &mut remqtt_state_event) -> String {
    match event {
        Event::Connecting(attempt, server) => {
            shown.state = REMQTT_STATE_CONNECTING;
            shown.attempt = *attempt;
            shown.server = u32::try_from(*server).unwrap_or(u32::MAX);
        }
        Event::Connected(connected) => {
            shown.state = REMQTT_STATE_CONNECTED;
            (shown.reason, shown.has_reason) = (connected.reason_code, 1);
            shown.session_present = connected.session_present.into();
            shown.session = match connected.session {
                SessionState::New => REMQTT_SESSION_NEW,
                SessionState::Resumed => REMQTT_SESSION_RESUMED,
                SessionState::Lost => REMQTT_SESSION_LOST,
            };
            shown.restoring = u32::try_from(connected.restoring).unwrap_or(u32::MAX);
            shown.resending = u32::try_from(connected.resending).unwrap_or(u32::MAX);
            shown.props = props::view(&connected.properties);
        }
        Event::Disconnected(gone) => {
            shown.state = gone.retry_in.map_or(REMQTT_STATE_STOPPED, |_| REMQTT_STATE_WAITING);
            let delay = gone.retry_in.unwrap_or_default().as_millis();
            shown.next_delay_ms = u32::try_from(delay).unwrap_or(u32::MAX);
            shown.attempt = gone.failures;
            shown.was_connected = gone.was_connected.into();
            shown.from_server = gone.from_server.into();
            shown.props = props::view(&gone.properties);
            if let Some(error) = &gone.error {
                shown.cause = error.code as remqtt_status;
                shown.reason = error.reason_code.unwrap_or(0);
                shown.has_reason = error.reason_code.is_some().into();
                return error.to_string();
            }
        }
        _ => shown.state = REMQTT_STATE_CLOSED,
    }
    String::new()
}

/// Poll mode: runs what is due until nothing can follow, or the time is over.
pub(crate) fn until_ended(client: &remqtt_client, timeout: Duration) {
    let deadline = Instant::now() + timeout;
    while !client.has_ended() {
        let left = deadline.saturating_duration_since(Instant::now());
        if left.is_zero() || pull(client, left, usize::MAX).is_err() {
            return;
        }
    }
}

/// Poll mode: waits for events and tells the application at most `most` of them.
fn pull(client: &remqtt_client, timeout: Duration, most: usize) -> Result<usize, Error> {
    let Some(_turn) = client.turn.try_lock_for(timeout) else {
        return Err(Error::new(ErrorCode::Timeout, "another thread dispatches"));
    };
    let mut batch = client.core.pull(timeout);
    Ok(run(client, &mut batch, most))
}

/// Poll mode (option "dispatch" = "poll"): a descriptor that is readable while remqtt_client_dispatch has work. It
/// stays the same for the life of the client, which owns it: wait on it, neither read nor close it.
/// Returns it, or a negative status: REMQTT_E_INVALID_ARGUMENT: NULL, or not in poll mode. REMQTT_E_RESOURCE.
#[no_mangle]
pub unsafe extern "C" fn remqtt_client_event_fd(c: *mut remqtt_client) -> i32 {
    // SAFETY: the header's rule for clients.
    boundary(|code| code as i32, || polled(unsafe { client(c) }?)?.core.event_fd())
}

/// Poll mode: waits up to `timeout_ms` for events and runs the functions for at most `max_events` of them (0 = all
/// that are there) on this thread. One thread at a time; a second one waits for its turn within its time.
/// Returns how many events there were, or a negative status: REMQTT_E_INVALID_ARGUMENT: NULL, or not in poll mode.
/// REMQTT_E_DEADLOCK: called in a callback of this client. REMQTT_E_TIMEOUT: another thread dispatches.
#[no_mangle]
pub unsafe extern "C" fn remqtt_client_dispatch(
    c: *mut remqtt_client,
    timeout_ms: u32,
    max_events: u32,
) -> i32 {
    boundary(
        |code| code as i32,
        || {
            // SAFETY: the header's rule for clients. Shared, because a callback may give the last reference back.
            let client = polled(unsafe { client(c) }?)?.outside_callbacks()?.share();
            let most = if max_events == 0 { usize::MAX } else { max_events as usize };
            let told = pull(&client, milliseconds(timeout_ms), most)?;
            Ok(i32::try_from(told).unwrap_or(i32::MAX))
        },
    )
}

/// Refuses calls of poll mode on a client whose events the library's threads take.
fn polled(client: &remqtt_client) -> Result<&remqtt_client, Error> {
    if client.poll {
        Ok(client)
    } else {
        Err(invalid("the option dispatch is not poll"))
    }
}
