//! Inbound messages. The one that a callback sees lives on the dispatcher's stack and costs no allocation; keeping
//! it with `remqtt_message_ref` makes a copy on the heap, whose topic and payload are shared with it.

use std::sync::{Arc, OnceLock};

use remqtt_core::{Error, Message};

use crate::arguments::{by_ref, remqtt_bytes, remqtt_str};
use crate::boundary::{boundary, status};
use crate::callbacks::{remqtt_message_fn, Callback};
use crate::client::remqtt_client;
use crate::props::{self, remqtt_props};
use crate::status::remqtt_status;

/// Bits of remqtt_message_flags that hold the QoS.
pub const REMQTT_FLAG_QOS: u32 = 3;
/// Bit of remqtt_message_flags: a retained message of the server.
pub const REMQTT_FLAG_RETAIN: u32 = 4;
/// Bit of remqtt_message_flags: the server says that it may have been delivered before.
pub const REMQTT_FLAG_DUP: u32 = 8;

/// Bit of remqtt_message_flags: it comes from the store, where an earlier process had left it unfinished.
pub const REMQTT_FLAG_REDELIVERED: u32 = 16;

/// A received message. It never changes; any thread.
pub struct remqtt_message {
    message: Message,
    /// Its token as text, empty where it has none; made when somebody asks.
    token: OnceLock<String>,
    holder: Holder,
}

/// Who keeps the message, and with it the way to its client.
enum Holder {
    /// The dispatcher, for the time of a callback.
    Callback(*const remqtt_client),
    /// The application.
    Application(Arc<remqtt_client>),
}

// SAFETY: everything but the pointer of `Holder::Callback` is both, and that one is only read, while the dispatcher
// keeps the shared client alive.
unsafe impl Send for remqtt_message {}
// SAFETY: as above.
unsafe impl Sync for remqtt_message {}

impl remqtt_message {
    fn client(&self) -> &remqtt_client {
        match &self.holder {
            // SAFETY: the dispatcher borrows the client for longer than the callback lasts.
            Holder::Callback(client) => unsafe { &**client },
            Holder::Application(client) => client,
        }
    }

    fn token(&self) -> &str {
        self.token.get_or_init(|| self.message.token.map_or(String::new(), |token| token.to_string()))
    }

    fn acknowledge(&self, reason: u8) -> Result<(), Error> {
        match (self.message.delivery, reason) {
            (None, _) => Ok(()),
            (Some(delivery), 0) => self.client().core.acknowledge(delivery),
            (Some(delivery), _) => self.client().core.reject(delivery, reason),
        }
    }
}

/// Shows a message to the functions for its topic, or to the client's if there is none. True: the application
/// acknowledges the message itself.
pub(crate) fn deliver(
    client: &remqtt_client,
    callback: Option<&Arc<Callback<remqtt_message_fn>>>,
    message: Message,
) -> bool {
    let routes = client.routes.of(&message.publish.topic);
    let shown = remqtt_message { message, token: OnceLock::new(), holder: Holder::Callback(client) };
    let show = |callback: &Arc<Callback<remqtt_message_fn>>| {
        // SAFETY: the header's rule for functions; the client is shared and the message lives until the return.
        callback.function.is_some_and(|function| unsafe {
            function(callback.user, std::ptr::from_ref(client).cast_mut(), &shown) != 0
        })
    };
    if routes.is_empty() {
        return callback.is_some_and(show);
    }
    routes.iter().fold(false, |later, route| show(route) | later)
}

/// The topic; empty for NULL. Lives as long as the message.
#[no_mangle]
pub unsafe extern "C" fn remqtt_message_topic(message: *const remqtt_message) -> remqtt_str {
    // SAFETY: the header's rule for messages.
    boundary(
        |_| remqtt_str::of(""),
        || Ok(remqtt_str::of(&unsafe { by_ref(message, "message") }?.message.publish.topic)),
    )
}

/// The payload; empty for NULL. Lives as long as the message.
#[no_mangle]
pub unsafe extern "C" fn remqtt_message_payload(message: *const remqtt_message) -> remqtt_bytes {
    // SAFETY: the header's rule for messages.
    boundary(
        |_| remqtt_bytes::of(&[]),
        || Ok(remqtt_bytes::of(&unsafe { by_ref(message, "message") }?.message.publish.payload)),
    )
}

/// QoS and flags, REMQTT_FLAG_...; 0 for NULL.
#[no_mangle]
pub unsafe extern "C" fn remqtt_message_flags(message: *const remqtt_message) -> u32 {
    boundary(
        |_| 0,
        || {
            // SAFETY: the header's rule for messages.
            let message = &unsafe { by_ref(message, "message") }?.message;
            let retain = if message.publish.retain { REMQTT_FLAG_RETAIN } else { 0 };
            let dup = if message.dup { REMQTT_FLAG_DUP } else { 0 };
            let redelivered = if message.redelivered { REMQTT_FLAG_REDELIVERED } else { 0 };
            Ok(message.publish.qos as u32 | retain | dup | redelivered)
        },
    )
}

/// The packet identifier of a QoS 1 or 2 message; 0 for QoS 0 and for NULL. The server uses it again later.
#[no_mangle]
pub unsafe extern "C" fn remqtt_message_id(message: *const remqtt_message) -> u16 {
    boundary(
        |_| 0,
        || {
            // SAFETY: the header's rule for messages.
            let delivery = unsafe { by_ref(message, "message") }?.message.delivery;
            Ok(delivery.map_or(0, |delivery| delivery.packet_identifier))
        },
    )
}

/// The token of a message that was stored before its acknowledgement (option "acknowledge"): a name that stays the same
/// when the next process delivers it again, for the option "resume_after". Empty for other messages and for NULL. Lives
/// as long as the message.
#[no_mangle]
pub unsafe extern "C" fn remqtt_message_token(message: *const remqtt_message) -> remqtt_str {
    // SAFETY: the header's rule for messages.
    boundary(|_| remqtt_str::of(""), || Ok(remqtt_str::of(unsafe { by_ref(message, "message") }?.token())))
}

/// The MQTT 5 properties, NULL for NULL only. They live as long as the message.
#[no_mangle]
pub unsafe extern "C" fn remqtt_message_props(message: *const remqtt_message) -> *const remqtt_props {
    boundary(
        |_| std::ptr::null(),
        || {
            // SAFETY: the header's rule for messages.
            Ok(props::view(&unsafe { by_ref(message, "message") }?.message.publish.properties))
        },
    )
}

/// A reference that lives until remqtt_message_free, also after the callback that showed the message. It may differ
/// from `message`. NULL for NULL.
#[no_mangle]
pub unsafe extern "C" fn remqtt_message_ref(message: *const remqtt_message) -> *mut remqtt_message {
    boundary(
        |_| std::ptr::null_mut(),
        || {
            // SAFETY: the header's rule for messages; one that the application holds is inside an `Arc`.
            let shown = unsafe { by_ref(message, "message") }?;
            if let Holder::Application(_) = shown.holder {
                // SAFETY: as above.
                unsafe { Arc::increment_strong_count(message) };
                return Ok(message.cast_mut());
            }
            let holder = Holder::Application(shown.client().share());
            let message = shown.message.clone();
            Ok(Arc::into_raw(Arc::new(remqtt_message { message, token: OnceLock::new(), holder })).cast_mut())
        },
    )
}

/// Gives a reference of remqtt_message_ref back. It acknowledges nothing. NULL is allowed, and so is the message of
/// a running callback, for which it does nothing.
#[no_mangle]
pub unsafe extern "C" fn remqtt_message_free(message: *mut remqtt_message) {
    boundary(
        |_| (),
        || {
            // SAFETY: the header's rule for messages. In the child of a fork it is leaked, as its client is.
            unsafe {
                if let Some(Holder::Application(client)) = message.as_ref().map(|message| &message.holder) {
                    if client.is_ours() {
                        Arc::decrement_strong_count(message.cast_const());
                    }
                }
            }
            Ok(())
        },
    )
}

/// Acknowledges a message whose callback returned REMQTT_ACK_LATER, in any order. `reason` is an MQTT 5 reason code,
/// 0 for success; 0x80 and above refuse the message. No effect for QoS 0, for a message that is acknowledged
/// already, and for one of an earlier connection that the server sends again.
/// REMQTT_E_INVALID_ARGUMENT: NULL. REMQTT_E_CLOSED.
#[no_mangle]
pub unsafe extern "C" fn remqtt_message_ack(message: *const remqtt_message, reason: u8) -> remqtt_status {
    status(|| {
        // SAFETY: the header's rule for messages.
        let message = unsafe { by_ref(message, "message") }?;
        // SAFETY: the message keeps its client.
        unsafe { crate::client::client(message.client()) }?;
        message.acknowledge(reason)
    })
}
