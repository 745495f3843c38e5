//! What should not happen and is told: messages that end connections, gaps in sequences, an outage in words.

use std::ffi::{c_char, c_void};

use remqtt_core::{Gap, Quarantined};

use crate::arguments::{invalid, remqtt_bytes, remqtt_str};
use crate::boundary::text_to;
use crate::client::{client, remqtt_client};
use crate::handlers::Callbacks;
use crate::operations::remqtt_token;

/// A message that was taken out of the traffic because one connection after the other ended with it (option
/// "quarantine_after"). One of ours also completes with REMQTT_E_QUARANTINED; one of the server's is acknowledged and
/// comes no more.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct remqtt_quarantined {
    /// Size of the struct in the library's version.
    pub size: usize,
    /// The publish of ours that it is; 0: the server sent it.
    pub token: remqtt_token,
    /// The identifier under which the server sent it; 0 for one of ours.
    pub packet_identifier: u16,
    /// 0, 1 or 2.
    pub qos: u8,
    /// 1: topic and payload are those of the message. 0: it cannot be read; the topic is empty, and the payload is the
    /// packet, or its beginning if it is larger than the client accepts.
    pub readable: u8,
    /// Zero.
    pub reserved: [u8; 4],
    /// Its topic.
    pub topic: remqtt_str,
    /// Its payload.
    pub payload: remqtt_bytes,
}

/// Messages of a topic that never came (options "sequence_property", "sequence_in_payload").
#[repr(C)]
#[derive(Clone, Copy)]
pub struct remqtt_gap {
    /// Size of the struct in the library's version.
    pub size: usize,
    /// The topic.
    pub topic: remqtt_str,
    /// The number that should have come.
    pub expected: u64,
    /// The one that came; its message follows.
    pub got: u64,
    /// How many messages are missing.
    pub missing: u64,
}

/// Called when a message is quarantined. `what` and everything it points to live until the function returns.
pub type remqtt_quarantined_fn = Option<
    unsafe extern "C" fn(user: *mut c_void, client: *mut remqtt_client, what: *const remqtt_quarantined),
>;

/// Called when messages of a topic are missing, before the message that shows it. `gap` lives until the function
/// returns.
pub type remqtt_gap_fn =
    Option<unsafe extern "C" fn(user: *mut c_void, client: *mut remqtt_client, gap: *const remqtt_gap)>;

/// The outage with this index (as for remqtt_client_outage) in one line of words, for a log: copied to `buffer`, cut to
/// `capacity` with its NUL. Returns the length of the whole text without NUL; 0: NULL, or no such outage.
#[no_mangle]
pub unsafe extern "C" fn remqtt_client_outage_text(
    c: *const remqtt_client,
    index: usize,
    buffer: *mut c_char,
    capacity: usize,
) -> usize {
    // SAFETY: the header's rules for clients and buffers.
    unsafe {
        text_to(buffer, capacity, || {
            let timeline = client(c)?.core.timeline();
            let outage = timeline.get(index).ok_or_else(|| invalid("no outage has this index"))?;
            Ok(outage.to_string())
        })
    }
}

/// Calls the function for quarantined messages.
pub(crate) fn quarantined(client: &remqtt_client, callbacks: &Callbacks, what: &Quarantined) {
    let Some(callback) = &callbacks.quarantined else { return };
    let Some(function) = callback.function else { return };
    let shown = remqtt_quarantined {
        size: size_of::<remqtt_quarantined>(),
        token: what.ticket.unwrap_or(0),
        packet_identifier: what.packet_identifier,
        qos: what.publish.qos as u8,
        readable: what.readable.into(),
        reserved: [0; 4],
        topic: remqtt_str::of(&what.publish.topic),
        payload: remqtt_bytes::of(&what.publish.payload),
    };
    // SAFETY: the header's rule for functions; everything that is shown lives until the return.
    unsafe { function(callback.user, std::ptr::from_ref(client).cast_mut(), &shown) }
}

/// Calls the function for gaps.
pub(crate) fn gap(client: &remqtt_client, callbacks: &Callbacks, gap: &Gap) {
    let Some(callback) = &callbacks.gap else { return };
    let Some(function) = callback.function else { return };
    let shown = remqtt_gap {
        size: size_of::<remqtt_gap>(),
        topic: remqtt_str::of(&gap.topic),
        expected: gap.expected,
        got: gap.got,
        missing: gap.missing(),
    };
    // SAFETY: the header's rule for functions; everything that is shown lives until the return.
    unsafe { function(callback.user, std::ptr::from_ref(client).cast_mut(), &shown) }
}
