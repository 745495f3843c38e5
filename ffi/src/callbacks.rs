//! What C gives us to call: function, user pointer, and a function that ends the user pointer's life.

use std::ffi::c_void;

use crate::arguments::{remqtt_bytes, remqtt_str};
use crate::client::remqtt_client;
use crate::message::remqtt_message;
use crate::operations::remqtt_token;
use crate::props::remqtt_props;
use crate::report::remqtt_outage;
use crate::status::{remqtt_status, REMQTT_OK};

/// State of the connection: not started, or stopped.
pub const REMQTT_STATE_STOPPED: i32 = 0;
/// State of the connection: an attempt is under way.
pub const REMQTT_STATE_CONNECTING: i32 = 1;
/// State of the connection: the server accepted it.
pub const REMQTT_STATE_CONNECTED: i32 = 2;
/// State of the connection: waiting for the next attempt, or for the late answer to the last one: then CONNECTED follows
/// without another CONNECTING.
pub const REMQTT_STATE_WAITING: i32 = 3;
/// State of the connection: the client is closed for good.
pub const REMQTT_STATE_CLOSED: i32 = 4;

/// The event says nothing about the session.
pub const REMQTT_SESSION_NONE: u8 = 0;
/// First connection, or a fresh session was asked for: there was nothing to resume.
pub const REMQTT_SESSION_NEW: u8 = 1;
/// The server had the session: what was in flight goes on, subscriptions stand.
pub const REMQTT_SESSION_RESUMED: u8 = 2;
/// The server had lost the session: publishes and subscriptions are restored as the options say.
pub const REMQTT_SESSION_LOST: u8 = 3;

/// What a message callback returns to acknowledge the message itself later, with remqtt_message_ack.
pub const REMQTT_ACK_LATER: i32 = 1;

/// Called once, after the last call of the function it was registered with: frees `user`.
pub type remqtt_drop_fn = Option<unsafe extern "C" fn(user: *mut c_void)>;

/// Called when an operation is complete; exactly once for each accepted operation. `result` and everything it
/// points to live until the function returns.
pub type remqtt_done_fn =
    Option<unsafe extern "C" fn(user: *mut c_void, client: *mut remqtt_client, result: *const remqtt_result)>;

/// Called for each message. `message` lives until the function returns; remqtt_message_ref keeps it longer.
/// Returns 0: the message is acknowledged after the return. Any other value (REMQTT_ACK_LATER):
/// remqtt_message_ack will be called for it. With the option "manual_ack" the value is ignored and it is always
/// the latter.
pub type remqtt_message_fn = Option<
    unsafe extern "C" fn(
        user: *mut c_void,
        client: *mut remqtt_client,
        message: *const remqtt_message,
    ) -> i32,
>;

/// Called when the state of the connection changes. `event` and everything it points to live until the function
/// returns.
pub type remqtt_state_fn = Option<
    unsafe extern "C" fn(user: *mut c_void, client: *mut remqtt_client, event: *const remqtt_state_event),
>;

/// Called when an outage is over: what had waited was sent and acknowledged, or the connection was lost again (then
/// REMQTT_MARK_DRAINED was not reached). `outage` lives until the function returns.
pub type remqtt_recovered_fn =
    Option<unsafe extern "C" fn(user: *mut c_void, client: *mut remqtt_client, outage: *const remqtt_outage)>;

/// Called when the store of the session (option "store") has a trouble: REMQTT_E_STORE_FAILED: it cannot be written;
/// publishes of QoS 1 and 2 are refused and nothing that rests on it is sent, until `cause` is REMQTT_OK: it can be
/// written again. REMQTT_E_STORE_DAMAGED: something in it could not be read when the client was made, or when it was
/// opened anew after an error. Any other: a publish that was complete because it was durable (REMQTT_LEVEL_FSYNCED) is
/// given up, and why. `text` says what, and lives until the function returns.
pub type remqtt_store_fn = Option<
    unsafe extern "C" fn(
        user: *mut c_void,
        client: *mut remqtt_client,
        cause: remqtt_status,
        text: remqtt_str,
    ),
>;

/// How an operation ended.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct remqtt_result {
    /// Size of the struct in the library's version.
    pub size: usize,
    /// The operation, as the call that began it returned it.
    pub token: remqtt_token,
    /// REMQTT_OK, or why it failed. A subscribe that the server answered is REMQTT_OK even if it refused filters:
    /// see `codes`.
    pub status: remqtt_status,
    /// The server's MQTT reason code; 0 when there was none.
    pub reason: u8,
    /// 1 if the server sent a reason code.
    pub has_reason: u8,
    /// Zero.
    pub reserved: [u8; 2],
    /// Subscribe and unsubscribe: a reason code for each filter, 0x80 and above refuse it. Empty for a publish and
    /// for unsubscribes of MQTT 3.1.1.
    pub codes: remqtt_bytes,
    /// Why it failed, in words; empty on success.
    pub text: remqtt_str,
    /// Properties of the server's answer; never NULL, often empty.
    pub props: *const remqtt_props,
}

/// A change of the connection's state.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct remqtt_state_event {
    /// Size of the struct in the library's version.
    pub size: usize,
    /// The state now: REMQTT_STATE_...
    pub state: i32,
    /// The state that the event before this one told.
    pub prev: i32,
    /// Why the connection ended or the attempt failed; REMQTT_OK when the application asked for it.
    pub cause: remqtt_status,
    /// The MQTT reason code (MQTT 3.1.1: CONNACK return code) that came with it, else 0.
    pub reason: u8,
    /// 1 if the server sent a reason code.
    pub has_reason: u8,
    /// CONNECTED: the session present flag of the CONNACK.
    pub session_present: u8,
    /// CONNECTED: what became of the session, REMQTT_SESSION_...
    pub session: u8,
    /// STOPPED, WAITING: 1 if the server said so itself, in a DISCONNECT or a refusing CONNACK.
    pub from_server: u8,
    /// STOPPED, WAITING: 1 if a connection ended, 0 if an attempt failed.
    pub was_connected: u8,
    /// Zero.
    pub reserved: [u8; 2],
    /// CONNECTING: number of the attempt since the client was started or last connected, from 1. STOPPED, WAITING:
    /// failed attempts in a row.
    pub attempt: u32,
    /// WAITING: milliseconds until the next attempt.
    pub next_delay_ms: u32,
    /// CONNECTING: index of the server in the order of remqtt_config_add_server, from 0.
    pub server: u32,
    /// CONNECTED: subscriptions that are restored because the session was lost.
    pub restoring: u32,
    /// CONNECTED: publishes that are sent again.
    pub resending: u32,
    /// Zero.
    pub reserved2: u32,
    /// The cause in words; empty when there is none.
    pub text: remqtt_str,
    /// Properties of the CONNACK or DISCONNECT; NULL when there was none.
    pub props: *const remqtt_props,
}

impl remqtt_state_event {
    /// An event that says nothing yet.
    pub(crate) const NOTHING: Self = remqtt_state_event {
        size: size_of::<remqtt_state_event>(),
        state: REMQTT_STATE_STOPPED,
        prev: REMQTT_STATE_STOPPED,
        cause: REMQTT_OK,
        reason: 0,
        has_reason: 0,
        session_present: 0,
        session: REMQTT_SESSION_NONE,
        from_server: 0,
        was_connected: 0,
        reserved: [0; 2],
        attempt: 0,
        next_delay_ms: 0,
        server: 0,
        restoring: 0,
        resending: 0,
        reserved2: 0,
        text: remqtt_str { ptr: std::ptr::null(), len: 0 },
        props: std::ptr::null(),
    };
}

/// A registered function. Dropping the last reference runs the drop function: after the last call, exactly once.
pub(crate) struct Callback<F: Copy> {
    /// What to call.
    pub(crate) function: F,
    /// Its first argument.
    pub(crate) user: *mut c_void,
    /// Ends the life of `user`.
    drop: remqtt_drop_fn,
}

// SAFETY: function pointers are plain code; the header asks that `user` may be used on any thread.
unsafe impl<F: Copy> Send for Callback<F> {}
// SAFETY: as above; calls of one client never overlap, and the header says that clients of one config may.
unsafe impl<F: Copy> Sync for Callback<F> {}

impl<F: Copy> Callback<F> {
    /// Takes `user` over.
    pub(crate) fn new(function: F, user: *mut c_void, drop: remqtt_drop_fn) -> Self {
        Callback { function, user, drop }
    }

    /// Gives `user` back to a caller whose call failed: the drop function does not run.
    pub(crate) fn disown(mut self) {
        self.drop = None;
    }
}

impl Callback<remqtt_done_fn> {
    /// Nothing to call.
    pub(crate) fn none() -> Self {
        Callback::new(None, std::ptr::null_mut(), None)
    }

    /// Nothing to call and nothing to drop.
    pub(crate) fn is_empty(&self) -> bool {
        self.function.is_none() && self.drop.is_none()
    }
}

impl<F: Copy> Drop for Callback<F> {
    fn drop(&mut self) {
        if let Some(end) = self.drop {
            // SAFETY: the header: `drop` may be called with `user`, once, on any thread.
            unsafe { end(self.user) }
        }
    }
}
