//! Publish, subscribe, unsubscribe: begun here, completed by a `done` function, `wait` or `flush`.

use std::ffi::c_void;

use remqtt_core::{ByteString, Error, Level, Properties, Publish, QoS, Subscription, Ticket};

use crate::arguments::{flag, invalid, qos, remqtt_bytes, remqtt_str, slice, write};
use crate::boundary::status;
use crate::callbacks::{remqtt_done_fn, remqtt_drop_fn, remqtt_message_fn, Callback};
use crate::client::{client, remqtt_client};
use crate::lifecycle::milliseconds;
use crate::props::{self, remqtt_props};
use crate::routes::{Origin, Route};
use crate::sized::{self, SizeFirst};
use crate::status::remqtt_status;

/// Number of an operation of one client; 0 is none.
pub type remqtt_token = u64;

/// Level of a publish of QoS 1 or 2: it survives outages, not the death of the process. QoS 2 is stored all the same
/// where there is a store. It is complete when the server has acknowledged it.
pub const REMQTT_LEVEL_MEMORY: u8 = 1;
/// Level of a publish: it survives the death of the process and a power cut, from the moment on when its first byte
/// leaves. It is complete when the server has acknowledged it. Needs the option "store".
pub const REMQTT_LEVEL_STORED: u8 = 2;
/// Level of a publish: as REMQTT_LEVEL_STORED, but it is complete as soon as it is durable, and the application is rid
/// of it. Should it fail later, the function of remqtt_config_on_store is told.
pub const REMQTT_LEVEL_FSYNCED: u8 = 3;

/// How to publish. Start from REMQTT_PUBLISH_OPTIONS_INIT: QoS 0, not retained.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct remqtt_publish_options {
    /// sizeof(remqtt_publish_options).
    pub size: usize,
    /// 0, 1 or 2.
    pub qos: u8,
    /// 0 or 1.
    pub retain: u8,
    /// REMQTT_LEVEL_...; 0: REMQTT_LEVEL_STORED where there is a store, REMQTT_LEVEL_MEMORY elsewhere.
    pub level: u8,
    /// Zero.
    pub reserved: [u8; 5],
    /// MQTT 5 properties, NULL for none. Copied.
    pub props: *const remqtt_props,
    /// Called when the operation is complete, or NULL.
    pub done: remqtt_done_fn,
    /// First argument of `done`.
    pub user: *mut c_void,
    /// Called once with `user` after `done`, or NULL. Not called when the call itself fails: `user` is then still
    /// the caller's.
    pub drop: remqtt_drop_fn,
}

/// A wish to receive. Start from REMQTT_SUBSCRIPTION_INIT; all of one array have the same size.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct remqtt_subscription {
    /// sizeof(remqtt_subscription).
    pub size: usize,
    /// Topic filter. Copied.
    pub filter: remqtt_str,
    /// Largest QoS wanted: 0, 1 or 2.
    pub qos: u8,
    /// MQTT 5: 1 = not what this client publishes itself.
    pub no_local: u8,
    /// MQTT 5: 1 = keep the retain flag of forwarded messages.
    pub retain_as_published: u8,
    /// MQTT 5: retained messages are sent 0 = always, 1 = if the subscription is new, 2 = never.
    pub retain_handling: u8,
    /// Zero.
    pub reserved: [u8; 4],
    /// The function for the messages that this filter covers, or NULL for none of its own: as with
    /// remqtt_client_on_topic, until an unsubscribe of the filter is complete or another subscribe of it has a function.
    pub on_message: remqtt_message_fn,
    /// First argument of `on_message`. Not taken where that is NULL.
    pub user: *mut c_void,
    /// Called once with `user` after the last call of `on_message`, or NULL. Not called when the call itself fails:
    /// `user` is then still the caller's.
    pub drop: remqtt_drop_fn,
}

// SAFETY: `repr(C)`, size first, integers, pointers and optional functions only.
unsafe impl SizeFirst for remqtt_publish_options {
    const OLDEST: usize = 48;
}
// SAFETY: as above.
unsafe impl SizeFirst for remqtt_subscription {
    const OLDEST: usize = 32;
}

fn level(number: u8) -> Result<Option<Level>, Error> {
    match number {
        0 => Ok(None),
        REMQTT_LEVEL_MEMORY => Ok(Some(Level::Memory)),
        REMQTT_LEVEL_STORED => Ok(Some(Level::Stored)),
        REMQTT_LEVEL_FSYNCED => Ok(Some(Level::Fsynced)),
        _ => Err(invalid("no such level")),
    }
}

/// Fields that are kept for later versions ask for nothing.
fn unused(reserved: &[u8]) -> Result<(), Error> {
    if reserved.iter().any(|&byte| byte != 0) {
        return Err(invalid("reserved bytes must be zero"));
    }
    Ok(())
}

/// Begins an operation under a token that is known, to us and to the caller, before it can complete.
///
/// # Safety
/// `token` is NULL or has room for one.
unsafe fn begin(
    client: &remqtt_client,
    done: Callback<remqtt_done_fn>,
    token: *mut remqtt_token,
    operation: impl FnOnce(Ticket) -> Result<(), Error>,
) -> Result<(), Error> {
    let ticket = client.core.next_ticket();
    // SAFETY: the caller's promise is ours.
    unsafe { write(token, ticket) };
    let wanted = !done.is_empty();
    if wanted {
        client.pending.lock().insert(ticket, done);
    }
    operation(ticket).inspect_err(|_| {
        // SAFETY: as above.
        unsafe { write(token, 0) };
        let entry = wanted.then(|| client.pending.lock().remove(&ticket)).flatten();
        entry.map_or((), Callback::disown)
    })
}

/// A subscription's own function: filter, function, user pointer, drop function. Ours only when all are read.
type Wanted = (ByteString, remqtt_message_fn, *mut c_void, remqtt_drop_fn);

/// # Safety
/// The header's rule for subscriptions.
unsafe fn read_subscriptions(
    first: *const remqtt_subscription,
    count: usize,
) -> Result<(Vec<Subscription>, Vec<Wanted>), Error> {
    if count == 0 || first.is_null() {
        return Err(invalid("no subscription"));
    }
    let (mut subscriptions, mut functions) = (Vec::new(), Vec::new());
    // SAFETY: the caller promises `count` structs, each as large as its first field says.
    for wish in unsafe { sized::each(first, count, "subscription") } {
        let wish = wish?;
        unused(&wish.reserved)?;
        // SAFETY: the header's rule for texts.
        let filter = unsafe { wish.filter.read("filter") }?;
        if wish.on_message.is_some() {
            functions.push((filter.clone(), wish.on_message, wish.user, wish.drop));
        }
        subscriptions.push(Subscription {
            filter,
            qos: qos(wish.qos)?,
            no_local: flag(wish.no_local, "no_local")?,
            retain_as_published: flag(wish.retain_as_published, "retain_as_published")?,
            retain_handling: wish.retain_handling,
        });
    }
    Ok((subscriptions, functions))
}

/// Publishes `payload` under `topic`, connected or not: what cannot be sent now is queued. Everything is copied.
/// `options` may be NULL: QoS 0, not retained. `token` may be NULL; it gets the number of the operation (before the
/// `done` function can run), 0 on failure. Returns at once.
/// REMQTT_E_INVALID_TOPIC, REMQTT_E_INVALID_QOS, REMQTT_E_PACKET_TOO_LARGE, REMQTT_E_NOT_SUPPORTED: it can never be
/// sent. REMQTT_E_INVALID_ARGUMENT: likewise, or its level needs a store and there is none. REMQTT_E_QUEUE_FULL: try again
/// later. REMQTT_E_CLOSED.
#[no_mangle]
pub unsafe extern "C" fn remqtt_client_publish(
    c: *mut remqtt_client,
    topic: remqtt_str,
    payload: remqtt_bytes,
    options: *const remqtt_publish_options,
    token: *mut remqtt_token,
) -> remqtt_status {
    status(|| {
        // SAFETY: the header's rules for results, clients, texts, bytes, sized structs and property lists.
        unsafe {
            write(token, 0);
            publish_one(client(c)?, topic, payload, options, token)
        }
    })
}

/// # Safety
/// The header's rules for texts, bytes, sized structs, property lists and results.
pub(crate) unsafe fn publish_one(
    client: &remqtt_client,
    topic: remqtt_str,
    payload: remqtt_bytes,
    options: *const remqtt_publish_options,
    token: *mut remqtt_token,
) -> Result<(), Error> {
    // SAFETY: the caller's promise is ours.
    unsafe {
        let mut publish = Publish {
            topic: topic.read("topic")?,
            payload: payload.read("payload")?,
            qos: QoS::AtMostOnce,
            retain: false,
            properties: Properties::new(),
        };
        let (mut done, mut at) = (Callback::none(), None);
        if !options.is_null() {
            let options = sized::read(options, "options")?;
            unused(&options.reserved)?;
            publish.qos = qos(options.qos)?;
            at = level(options.level)?;
            publish.retain = flag(options.retain, "retain")?;
            publish.properties = props::copy(options.props);
            done = Callback::new(options.done, options.user, options.drop);
        }
        begin(client, done, token, |ticket| client.core.publish_at(ticket, publish, at))
    }
}

/// Subscribes, now or as soon as there is a connection, and again whenever the server lost the session.
/// `subscriptions`: `count` structs, at least one. `props` may be NULL. `done` is called with a reason code for each
/// filter, then `drop` with `user`, once; each may be NULL. When the call fails neither is called and `user` is
/// still the caller's. `token` as for remqtt_client_publish. Returns at once.
/// REMQTT_E_INVALID_FILTER, REMQTT_E_INVALID_QOS, REMQTT_E_INVALID_ARGUMENT, REMQTT_E_PACKET_TOO_LARGE,
/// REMQTT_E_NOT_SUPPORTED, REMQTT_E_CLOSED.
#[no_mangle]
pub unsafe extern "C" fn remqtt_client_subscribe(
    c: *mut remqtt_client,
    subscriptions: *const remqtt_subscription,
    count: usize,
    props: *const remqtt_props,
    done: remqtt_done_fn,
    user: *mut c_void,
    drop: remqtt_drop_fn,
    token: *mut remqtt_token,
) -> remqtt_status {
    status(|| {
        // SAFETY: the header's rules for results, clients, subscriptions and property lists.
        unsafe {
            write(token, 0);
            let (client, properties) = (client(c)?, props::copy(props));
            let (wanted, functions) = read_subscriptions(subscriptions, count)?;
            let route = |(filter, function, user, drop)| Route::new(filter, function, user, drop);
            let routes = functions.into_iter().map(route).collect();
            let done = Callback::new(done, user, drop);
            begin(client, done, token, |ticket| {
                let subscribe = || client.core.subscribe_as(ticket, wanted, properties);
                client.routes.put(routes, Origin::Subscription, subscribe)
            })
        }
    })
}

/// Unsubscribes from `count` filters, at least one. The rest is as for remqtt_client_subscribe.
#[no_mangle]
pub unsafe extern "C" fn remqtt_client_unsubscribe(
    c: *mut remqtt_client,
    filters: *const remqtt_str,
    count: usize,
    props: *const remqtt_props,
    done: remqtt_done_fn,
    user: *mut c_void,
    drop: remqtt_drop_fn,
    token: *mut remqtt_token,
) -> remqtt_status {
    status(|| {
        // SAFETY: the header's rules for results, clients, arrays, texts and property lists.
        unsafe {
            write(token, 0);
            let (client, properties) = (client(c)?, props::copy(props));
            let filters = slice(filters, count, "filters")?.iter().map(|filter| filter.read("filter"));
            let filters = filters.collect::<Result<Vec<ByteString>, Error>>()?;
            let done = Callback::new(done, user, drop);
            begin(client, done, token, |ticket| {
                let unsubscribe = || client.core.unsubscribe_as(ticket, filters.clone(), properties);
                client.routes.leave(&filters, || unsubscribe().map(|()| ticket))
            })
        }
    })
}

/// Waits up to `timeout_ms` until the operation is complete and returns how it ended (the last 1,024 failures are
/// remembered); remqtt_last_error and remqtt_last_error_reason tell more about a failure.
/// REMQTT_E_TIMEOUT: the operation goes on. REMQTT_E_DEADLOCK: called in a callback of this client.
#[no_mangle]
pub unsafe extern "C" fn remqtt_client_wait(
    c: *mut remqtt_client,
    token: remqtt_token,
    timeout_ms: u32,
) -> remqtt_status {
    status(|| {
        // SAFETY: the header's rule for clients.
        let client = unsafe { client(c) }?.outside_callbacks()?;
        client.core.wait(token, milliseconds(timeout_ms))
    })
}

/// Waits up to `timeout_ms` until every accepted operation is complete.
/// REMQTT_E_TIMEOUT: they go on. REMQTT_E_DEADLOCK: called in a callback of this client.
#[no_mangle]
pub unsafe extern "C" fn remqtt_client_flush(c: *mut remqtt_client, timeout_ms: u32) -> remqtt_status {
    // SAFETY: the header's rule for clients.
    status(|| unsafe { client(c) }?.outside_callbacks()?.core.flush(milliseconds(timeout_ms)))
}

/// Waits up to `timeout_ms` until everything accepted so far is durable in the store (option "store"): from then on it
/// survives kill -9 and a power cut. Without a store there is nothing to wait for.
/// REMQTT_E_TIMEOUT: the disk goes on. REMQTT_E_DEADLOCK: called in a callback of this client. REMQTT_E_CLOSED.
#[no_mangle]
pub unsafe extern "C" fn remqtt_client_sync(c: *mut remqtt_client, timeout_ms: u32) -> remqtt_status {
    status(|| {
        // SAFETY: the header's rule for clients.
        let core = &unsafe { client(c) }?.outside_callbacks()?.core;
        core.wait(core.sync()?, milliseconds(timeout_ms))
    })
}
