//! From `remqtt_client_new` to `remqtt_client_close`.

use std::os::fd::IntoRawFd;
use std::sync::Arc;
use std::time::Duration;

use remqtt_core::{Error, ErrorCode, Reason, State};

use crate::arguments::{by_mut, by_ref, invalid};
use crate::boundary::{boundary, status};
use crate::callbacks::REMQTT_STATE_CLOSED;
use crate::client::{client, remqtt_client};
use crate::config::remqtt_config;
use crate::dispatch;
use crate::props::{self, remqtt_props};
use crate::status::remqtt_status;

/// How long remqtt_client_close waits for the callbacks that are due or running, in milliseconds.
pub const REMQTT_CLOSE_GRACE_MS: u32 = 10000;

/// The state with this number.
fn state(number: i32) -> Result<State, Error> {
    let states = [State::Stopped, State::Connecting, State::Connected, State::Waiting, State::Closed];
    let found = states.into_iter().find(|state| *state as i32 == number);
    found.ok_or_else(|| invalid(format!("{number} is no REMQTT_STATE_...")))
}

/// Makes a client and stores the first reference to it in `out` (NULL on failure). Sends nothing: the client connects
/// after remqtt_client_start. Opens the store (option "store") and reads all of it; while another client has it, this
/// waits up to a second for it.
/// REMQTT_E_INVALID_OPTION, REMQTT_E_INVALID_TOPIC: what is wrong with the config. REMQTT_E_RESOURCE: no thread or
/// descriptor to be had. REMQTT_E_STORE_LOCKED: another client uses the store. REMQTT_E_STORE_FAILED: the system refuses
/// the file. Any thread.
#[no_mangle]
pub unsafe extern "C" fn remqtt_client_new(
    config: *const remqtt_config,
    out: *mut *mut remqtt_client,
) -> remqtt_status {
    status(|| {
        // SAFETY: the header's rules for results and configs.
        let (out, config) = unsafe { (by_mut(out, "out")?, by_ref(config, "config")) };
        *out = std::ptr::null_mut();
        *out = Arc::into_raw(remqtt_client::create(config?)?).cast_mut();
        Ok(())
    })
}

/// Another reference to the client: returns `client`. NULL stays NULL.
#[no_mangle]
pub unsafe extern "C" fn remqtt_client_ref(client: *mut remqtt_client) -> *mut remqtt_client {
    boundary(
        |_| std::ptr::null_mut(),
        || {
            // SAFETY: the header's rule for clients.
            if let Some(shared) = unsafe { client.as_ref() } {
                shared.refer();
                std::mem::forget(shared.share());
            }
            Ok(client)
        },
    )
}

/// Gives a reference back. With the last one the client is closed: no message is delivered any more, operations that
/// are not complete complete with REMQTT_E_CLOSED, and the drop functions run last. None of this is waited for (in
/// poll mode the `done` functions do not run, only their drop functions). Allowed in callbacks. NULL is allowed.
#[no_mangle]
pub unsafe extern "C" fn remqtt_client_free(client: *mut remqtt_client) {
    boundary(
        |_| (),
        || {
            // SAFETY: the header's rule for clients. In the child of a fork the client is leaked: it is the parent's.
            unsafe {
                if let Some(shared) = client.as_ref().filter(|client| client.is_ours()) {
                    shared.release();
                    Arc::decrement_strong_count(client.cast_const());
                }
            }
            Ok(())
        },
    )
}

/// Connects and stays connected until remqtt_client_stop or remqtt_client_close: after a failure the client tries
/// again by itself. Returns at once; remqtt_client_wait_state and the state function tell how it goes.
/// REMQTT_E_CLOSED.
#[no_mangle]
pub unsafe extern "C" fn remqtt_client_start(c: *mut remqtt_client) -> remqtt_status {
    // SAFETY: the header's rule for clients.
    status(|| unsafe { client(c) }?.core.start())
}

/// Sends DISCONNECT and stays away until remqtt_client_start. Session and queued messages are kept. `reason` is the
/// MQTT 5 reason code: 0 is normal, 4 makes the server publish the last will. `props` may be NULL. Returns at once.
/// REMQTT_E_CLOSED.
#[no_mangle]
pub unsafe extern "C" fn remqtt_client_stop(
    c: *mut remqtt_client,
    reason: u8,
    props: *const remqtt_props,
) -> remqtt_status {
    status(|| {
        // SAFETY: the header's rules for clients and property lists.
        let (client, properties) = unsafe { (client(c)?, props::copy(props)) };
        client.core.stop(Reason { reason_code: reason, properties })
    })
}

/// Closes the client for good: waits up to `drain_timeout_ms` until every accepted operation is complete, completes
/// the others with REMQTT_E_CLOSED, disconnects, and waits until the last callback has returned (in poll mode: runs
/// them here). The reference stays and must still be freed. A second call does nothing.
/// REMQTT_E_DEADLOCK: called in a callback of this client; nothing was done. REMQTT_E_TIMEOUT: the client is closed,
/// but a callback was still running after REMQTT_CLOSE_GRACE_MS.
#[no_mangle]
pub unsafe extern "C" fn remqtt_client_close(c: *mut remqtt_client, drain_timeout_ms: u32) -> remqtt_status {
    status(|| {
        // SAFETY: the header's rule for clients.
        let client = unsafe { client(c) }?.outside_callbacks()?.share();
        if drain_timeout_ms > 0 && !client.is_closing() {
            // What is not complete by then completes with `Closed`: each operation tells its own outcome.
            let _ = client.core.flush(milliseconds(drain_timeout_ms));
        }
        client.close_now();
        if client.poll {
            dispatch::until_ended(&client, milliseconds(REMQTT_CLOSE_GRACE_MS));
        }
        client.wait_ended(milliseconds(REMQTT_CLOSE_GRACE_MS))
    })
}

/// Waits up to `timeout_ms` until the connection has this state (REMQTT_STATE_...).
/// REMQTT_E_TIMEOUT; REMQTT_E_DEADLOCK: called in a callback of this client; REMQTT_E_CLOSED: it never will.
#[no_mangle]
pub unsafe extern "C" fn remqtt_client_wait_state(
    c: *mut remqtt_client,
    wanted: i32,
    timeout_ms: u32,
) -> remqtt_status {
    status(|| {
        // SAFETY: the header's rule for clients.
        let client = unsafe { client(c) }?.outside_callbacks()?;
        client.core.wait_state(state(wanted)?, milliseconds(timeout_ms))
    })
}

/// The state of the connection, REMQTT_STATE_...; REMQTT_STATE_CLOSED for NULL. Takes no lock.
#[no_mangle]
pub unsafe extern "C" fn remqtt_client_state(c: *const remqtt_client) -> i32 {
    // SAFETY: the header's rule for clients.
    boundary(|_| REMQTT_STATE_CLOSED, || Ok(unsafe { client(c) }?.core.state() as i32))
}

/// Skips the wait before the next attempt, whatever it is for. No effect while there is none. Any thread.
/// REMQTT_E_CLOSED.
#[no_mangle]
pub unsafe extern "C" fn remqtt_client_reconnect_now(c: *mut remqtt_client) -> remqtt_status {
    // SAFETY: the header's rule for clients.
    status(|| unsafe { client(c) }?.core.reconnect_now())
}

/// Says that the network has changed, for programs that know it: a new link, address or route. A wait for the way to
/// the server ends within 100 ms; a wait that a busy or refusing server asked for goes on (remqtt_client_reconnect_now
/// ends that too). A connection that stands is asked at once whether it lives. Any thread.
/// REMQTT_E_CLOSED.
#[no_mangle]
pub unsafe extern "C" fn remqtt_client_network_changed(c: *mut remqtt_client) -> remqtt_status {
    // SAFETY: the header's rule for clients.
    status(|| unsafe { client(c) }?.core.network_changed())
}

/// Uses the options of this config from the next connection on; the bounds of the backlog and "receive_buffer" hold at
/// once. Functions and "dispatch" of the client stay what they are.
/// REMQTT_E_INVALID_OPTION: what is wrong with the config; it names another store, or another client identifier than
/// that whose session the store holds. REMQTT_E_CLOSED.
#[no_mangle]
pub unsafe extern "C" fn remqtt_client_reconfigure(
    c: *mut remqtt_client,
    config: *const remqtt_config,
) -> remqtt_status {
    status(|| {
        // SAFETY: the header's rules for clients and configs.
        let (client, config) = unsafe { (client(c)?, by_ref(config, "config")?) };
        client.core.reconfigure(config.options.clone())
    })
}

/// Another descriptor of the connection's socket, for options of the socket that only the application knows. It is
/// yours to close; the server sees the end of the connection only when it is closed too. Neither read nor write it.
/// Returns it, or a negative status: REMQTT_E_NOT_CONNECTED.
#[no_mangle]
pub unsafe extern "C" fn remqtt_client_duplicate_socket(c: *mut remqtt_client) -> i32 {
    boundary(
        |code| code as i32,
        || {
            // SAFETY: the header's rule for clients.
            let socket = unsafe { client(c) }?.core.duplicate_socket();
            Ok(socket.ok_or_else(|| Error::from(ErrorCode::NotConnected))?.into_raw_fd())
        },
    )
}

/// Ends the library's threads if every client is closed, and waits up to `timeout_ms` for that. For programs that must
/// leave no thread behind, before exit() or under a leak checker; the next client makes new ones. Meanwhile no other
/// thread may make a client.
/// REMQTT_E_TIMEOUT: a client is not closed, a callback is still running, or this is one. Any thread.
#[no_mangle]
pub extern "C" fn remqtt_wind_down(timeout_ms: u32) -> remqtt_status {
    status(|| match remqtt_core::wind_down(milliseconds(timeout_ms)) {
        true => Ok(()),
        false => Err(Error::new(ErrorCode::Timeout, "a client is not closed or a callback is running")),
    })
}

/// A time of the header.
pub(crate) fn milliseconds(number: u32) -> Duration {
    Duration::from_millis(number.into())
}
