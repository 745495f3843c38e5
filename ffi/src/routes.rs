//! Functions for some topics only, beside the client's function for messages.
//!
//! A message goes to each function whose filter covers its topic, in the order in which they were given, and to the
//! client's function if there is none. The lock of the table is held while a subscription is handed to core, so that
//! no message can come before its function, and never while user code runs.

use std::collections::HashMap;
use std::ffi::c_void;
use std::sync::Arc;

use parking_lot::Mutex;
use remqtt_core::proto::wire::{check_filter, filter_covers};
use remqtt_core::{ByteString, Error, ErrorCode, Ticket};

use crate::arguments::remqtt_str;
use crate::boundary::{boundary, status};
use crate::callbacks::{remqtt_drop_fn, remqtt_message_fn, Callback};
use crate::client::{client, remqtt_client};
use crate::status::remqtt_status;

type Function = Arc<Callback<remqtt_message_fn>>;

/// A function and the filter it is for.
pub(crate) struct Route {
    filter: ByteString,
    callback: Callback<remqtt_message_fn>,
}

impl Route {
    pub(crate) fn new(
        filter: ByteString,
        function: remqtt_message_fn,
        user: *mut c_void,
        drop: remqtt_drop_fn,
    ) -> Self {
        Route { filter, callback: Callback::new(function, user, drop) }
    }
}

/// Whose function it is: each filter has at most one of each.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Origin {
    /// remqtt_client_on_topic.
    Topic,
    /// remqtt_client_subscribe.
    Subscription,
}

struct Entry {
    filter: ByteString,
    origin: Origin,
    function: Function,
    serial: u64,
}

/// The functions of a client that are for some topics.
#[derive(Default)]
pub(crate) struct Routes(Mutex<Table>);

#[derive(Default)]
struct Table {
    /// Nothing can follow: no function is taken in any more.
    ended: bool,
    entries: Vec<Entry>,
    serial: u64,
    /// Entries that go when the server has answered this unsubscribe.
    leaving: HashMap<Ticket, Vec<u64>>,
}

impl Table {
    /// Takes a function in, and gives back the one that it replaces.
    fn put(&mut self, route: Route, origin: Origin) -> Option<Entry> {
        self.serial += 1;
        let (filter, function) = (route.filter, Arc::new(route.callback));
        let entry = Entry { filter, origin, function, serial: self.serial };
        match self.entries.iter_mut().find(|at| at.filter == entry.filter && at.origin == origin) {
            Some(at) => Some(std::mem::replace(at, entry)),
            None => {
                self.entries.push(entry);
                None
            }
        }
    }
}

impl Routes {
    /// Takes functions in if the client has not ended and `call` succeeds; else their user pointers stay the caller's.
    pub(crate) fn put<T>(
        &self,
        routes: Vec<Route>,
        origin: Origin,
        call: impl FnOnce() -> Result<T, Error>,
    ) -> Result<T, Error> {
        let mut table = self.0.lock();
        let result = if table.ended { Err(ErrorCode::Closed.into()) } else { call() };
        let replaced: Vec<Entry> = match result {
            Ok(_) => routes.into_iter().filter_map(|route| table.put(route, origin)).collect(),
            Err(_) => {
                routes.into_iter().for_each(|route| route.callback.disown());
                Vec::new()
            }
        };
        drop(table);
        drop(replaced); // runs drop functions, so outside the lock
        result
    }

    /// Takes the function of remqtt_client_on_topic away.
    fn remove(&self, filter: &ByteString) {
        let mut table = self.0.lock();
        let at = table.entries.iter().position(|at| at.filter == *filter && at.origin == Origin::Topic);
        let removed = at.map(|at| table.entries.remove(at));
        drop(table);
        drop(removed); // as above
    }

    /// The functions of these subscriptions go when the unsubscribe is complete, if `call` succeeds.
    pub(crate) fn leave(
        &self,
        filters: &[ByteString],
        call: impl FnOnce() -> Result<Ticket, Error>,
    ) -> Result<(), Error> {
        let mut table = self.0.lock();
        let ticket = call()?;
        let leaves = |at: &&Entry| at.origin == Origin::Subscription && filters.contains(&at.filter);
        let serials: Vec<u64> = table.entries.iter().filter(leaves).map(|at| at.serial).collect();
        if !serials.is_empty() {
            table.leaving.insert(ticket, serials);
        }
        Ok(())
    }

    /// An operation is complete: of an unsubscribe that the server has answered, the functions go.
    pub(crate) fn completed(&self, ticket: Ticket, unsubscribed: bool) {
        let mut table = self.0.lock();
        let Some(serials) = table.leaving.remove(&ticket).filter(|_| unsubscribed) else { return };
        let gone: Vec<Entry> = table.entries.extract_if(.., |at| serials.contains(&at.serial)).collect();
        drop(table);
        drop(gone); // as above
    }

    /// The functions for this topic.
    pub(crate) fn of(&self, topic: &str) -> Vec<Function> {
        let table = self.0.lock();
        let covers = |at: &&Entry| filter_covers(&at.filter, topic);
        table.entries.iter().filter(covers).map(|at| at.function.clone()).collect()
    }

    /// Nothing can follow: every function goes, and none comes.
    pub(crate) fn end(&self) {
        let table = std::mem::replace(&mut *self.0.lock(), Table { ended: true, ..Table::default() });
        drop(table); // as above
    }
}

fn checked(filter: ByteString) -> Result<ByteString, Error> {
    check_filter(&filter).map_err(|why| Error::new(ErrorCode::InvalidFilter, why))?;
    Ok(filter)
}

/// Sets the function for the messages whose topic `filter` covers, subscribed or not: of a message that several such
/// functions are for, each is called, in the order in which they were set, and the function of remqtt_config_on_message
/// is not. The message is acknowledged later if one of them returns REMQTT_ACK_LATER. A later call for the same filter
/// replaces the function; `drop` (may be NULL) runs when it is replaced or removed, or when the client is closed. NULL
/// for `function` removes it, and `user` is not taken. On failure `user` is not taken either. Of a shared subscription,
/// give what follows `$share/name/`, or the whole.
/// REMQTT_E_INVALID_FILTER, REMQTT_E_CLOSED.
#[no_mangle]
pub unsafe extern "C" fn remqtt_client_on_topic(
    c: *mut remqtt_client,
    filter: remqtt_str,
    function: remqtt_message_fn,
    user: *mut c_void,
    drop: remqtt_drop_fn,
) -> remqtt_status {
    status(|| {
        // SAFETY: the header's rules for clients and texts.
        let (client, filter) = unsafe { (client(c)?, checked(filter.read("filter")?)?) };
        if function.is_none() {
            client.routes.remove(&filter);
            return Ok(());
        }
        client.routes.put(vec![Route::new(filter, function, user, drop)], Origin::Topic, || Ok(()))
    })
}

/// 1 if `filter` covers `topic`, 0 if not; both are checked. A shared subscription covers what its filter covers, and
/// wildcards at the beginning cover no topic that begins with `$`. Any thread.
/// REMQTT_E_INVALID_FILTER, REMQTT_E_INVALID_TOPIC, REMQTT_E_INVALID_ARGUMENT.
#[no_mangle]
pub unsafe extern "C" fn remqtt_topic_matches(filter: remqtt_str, topic: remqtt_str) -> i32 {
    boundary(
        |code| code as i32,
        || {
            // SAFETY: the header's rule for texts.
            let (filter, topic) = unsafe { (checked(filter.read("filter")?)?, topic.read("topic")?) };
            remqtt_core::proto::wire::check_topic(&topic)
                .map_err(|why| Error::new(ErrorCode::InvalidTopic, why))?;
            Ok(filter_covers(&filter, &topic).into())
        },
    )
}
