//! Operations by the dozen, and those of an earlier process.

use std::ffi::c_void;

use remqtt_core::{Publish, Ticket};

use crate::arguments::{by_mut, invalid, remqtt_bytes, remqtt_str, write};
use crate::boundary::status;
use crate::callbacks::{remqtt_done_fn, remqtt_drop_fn, Callback};
use crate::client::{client, remqtt_client};
use crate::operations::{publish_one, remqtt_publish_options, remqtt_token};
use crate::props;
use crate::sized::{self, SizeFirst};
use crate::status::remqtt_status;

/// A message to publish, or one that was given up. Start from REMQTT_PUBLICATION_INIT; all of one array have the same
/// size.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct remqtt_publication {
    /// sizeof(remqtt_publication).
    pub size: usize,
    /// Its topic. Copied.
    pub topic: remqtt_str,
    /// Its payload. Copied.
    pub payload: remqtt_bytes,
    /// How: as for remqtt_client_publish; NULL: QoS 0, not retained. Publications may share it: `done` and `drop` are
    /// then called for each of them.
    pub options: *const remqtt_publish_options,
}

// SAFETY: `repr(C)`, size first, integers and pointers only.
unsafe impl SizeFirst for remqtt_publication {
    const OLDEST: usize = 48;
}

/// Called for each publish that remqtt_client_drop_publishes gives up, before it returns. `publication` and everything
/// it points to live until the function returns; of its options, QoS, retain flag and properties are filled in.
pub type remqtt_dropped_fn = Option<
    unsafe extern "C" fn(user: *mut c_void, token: remqtt_token, publication: *const remqtt_publication),
>;

/// Publishes `count` messages in their order, as remqtt_client_publish does, up to the first that it refuses: its
/// status is returned. `tokens` (NULL, or room for `count`) gets the number of each, 0 for those that were not
/// accepted; `accepted` (may be NULL) gets how many were. Returns at once.
#[no_mangle]
pub unsafe extern "C" fn remqtt_client_publish_many(
    c: *mut remqtt_client,
    publications: *const remqtt_publication,
    count: usize,
    tokens: *mut remqtt_token,
    accepted: *mut usize,
) -> remqtt_status {
    status(|| {
        // SAFETY: the header's rules for results, clients, arrays of sized structs, texts, bytes and options.
        unsafe {
            write(accepted, 0);
            if !tokens.is_null() {
                tokens.write_bytes(0, count);
            }
            let client = client(c)?;
            for (index, publication) in sized::each(publications, count, "publication").enumerate() {
                let publication = publication?;
                let token = if tokens.is_null() { tokens } else { tokens.add(index) };
                publish_one(client, publication.topic, publication.payload, publication.options, token)?;
                write(accepted, index + 1);
            }
            Ok(())
        }
    })
}

/// The operations that are accepted and not complete, oldest first: at most `capacity` of them in `tokens` (may be NULL
/// when that is 0), how many there are in `count`. With a store (option "store") the publishes that an earlier process
/// left are among them from remqtt_client_new on, under the numbers that they had there.
/// REMQTT_E_INVALID_ARGUMENT: `count` is NULL.
#[no_mangle]
pub unsafe extern "C" fn remqtt_client_pending(
    c: *const remqtt_client,
    tokens: *mut remqtt_token,
    capacity: usize,
    count: *mut usize,
) -> remqtt_status {
    status(|| {
        // SAFETY: the header's rules for clients and results.
        unsafe {
            let (client, count) = (client(c)?, by_mut(count, "count")?);
            let pending = client.core.pending();
            *count = pending.len();
            let shown = if tokens.is_null() { 0 } else { pending.len().min(capacity) };
            std::ptr::copy_nonoverlapping(pending.as_ptr(), tokens, shown);
            Ok(())
        }
    })
}

/// Sets the `done` function of an operation that has none, such as a publish of an earlier process: it is called when
/// the operation is complete, then `drop` with `user`, once. On failure neither is called and `user` is still the
/// caller's.
/// REMQTT_E_INVALID_ARGUMENT: no such operation is pending, it has a function, or `done` is NULL.
#[no_mangle]
pub unsafe extern "C" fn remqtt_client_on_done(
    c: *mut remqtt_client,
    token: remqtt_token,
    done: remqtt_done_fn,
    user: *mut c_void,
    drop: remqtt_drop_fn,
) -> remqtt_status {
    status(|| {
        // SAFETY: the header's rule for clients.
        let client = unsafe { client(c) }?;
        if done.is_none() {
            return Err(invalid("done is NULL"));
        }
        let mut pending = client.pending.lock();
        if pending.contains_key(&token) {
            return Err(invalid("the operation has a function"));
        }
        // The entry is there before the look: an operation that completes in between finds its function.
        pending.insert(token, Callback::new(done, user, drop));
        std::mem::drop(pending);
        if client.core.is_pending(token) {
            return Ok(());
        }
        match client.pending.lock().remove(&token) {
            Some(entry) => {
                entry.disown();
                Err(invalid("no such operation is pending"))
            }
            None => Ok(()), // it was called
        }
    })
}

/// Gives up every publish of QoS 1 and 2 that is not complete: each completes with REMQTT_E_DROPPED. A server that has
/// one of them already keeps it. `function` (may be NULL) is called for each of them, oldest first; `count` (may be
/// NULL) gets how many there were. Waits for the library's own thread, which answers at once.
/// REMQTT_E_CLOSED.
#[no_mangle]
pub unsafe extern "C" fn remqtt_client_drop_publishes(
    c: *mut remqtt_client,
    function: remqtt_dropped_fn,
    user: *mut c_void,
    count: *mut usize,
) -> remqtt_status {
    status(|| {
        // SAFETY: the header's rules for clients and results.
        let client = unsafe {
            write(count, 0);
            client(c)?.share()
        };
        let dropped = client.core.drop_publishes()?;
        // SAFETY: as above.
        unsafe { write(count, dropped.len()) };
        for (ticket, publish) in &dropped {
            show(function, user, *ticket, publish);
        }
        Ok(())
    })
}

fn show(function: remqtt_dropped_fn, user: *mut c_void, ticket: Ticket, publish: &Publish) {
    let Some(function) = function else { return };
    let options = remqtt_publish_options {
        size: size_of::<remqtt_publish_options>(),
        qos: publish.qos as u8,
        retain: publish.retain.into(),
        level: 0,
        reserved: [0; 5],
        props: props::view(&publish.properties),
        done: None,
        user: std::ptr::null_mut(),
        drop: None,
    };
    let publication = remqtt_publication {
        size: size_of::<remqtt_publication>(),
        topic: remqtt_str::of(&publish.topic),
        payload: remqtt_bytes::of(&publish.payload),
        options: &options,
    };
    // SAFETY: the header's rule for functions; everything that is shown lives until the return.
    unsafe { function(user, ticket, &publication) }
}
