//! The log of a client: a line for each event, made where the events are told.

use std::ffi::c_void;
use std::sync::Arc;

use remqtt_core::{Disconnected, Event, Outcome, SessionState};

use crate::arguments::{invalid, remqtt_str};
use crate::callbacks::{remqtt_drop_fn, Callback};
use crate::client::remqtt_client;
use crate::config::{change, remqtt_config};
use crate::handlers::Callbacks;
use crate::status::remqtt_status;

/// Level of a line of the log: something failed for good.
pub const REMQTT_LOG_ERROR: i32 = 1;
/// Level of a line of the log: somebody should look.
pub const REMQTT_LOG_WARNING: i32 = 2;
/// Level of a line of the log: the state has changed.
pub const REMQTT_LOG_INFO: i32 = 3;
/// Level of a line of the log: attempts, operations and messages, with their topics.
pub const REMQTT_LOG_DEBUG: i32 = 4;

/// Called for each line of the log, before the function for what the line tells. `text` lives until the function
/// returns. No line holds a payload or a password, and only those of REMQTT_LOG_DEBUG tell topics.
pub type remqtt_log_fn =
    Option<unsafe extern "C" fn(user: *mut c_void, client: *mut remqtt_client, level: i32, text: remqtt_str)>;

/// The function for the log, and the last level that it wants.
#[derive(Clone)]
pub(crate) struct Log {
    most: i32,
    callback: Arc<Callback<remqtt_log_fn>>,
}

/// Sets the function for the log; it gets the lines whose level is `level` or less (REMQTT_LOG_...). A later call
/// replaces the function; `drop` (may be NULL) runs when it is replaced or when the config and every client made from
/// it are gone. NULL for `function` removes it, and `user` is not taken. On failure `user` is not taken either.
/// REMQTT_E_INVALID_ARGUMENT: no such level.
#[no_mangle]
pub unsafe extern "C" fn remqtt_config_on_log(
    config: *mut remqtt_config,
    level: i32,
    function: remqtt_log_fn,
    user: *mut c_void,
    drop: remqtt_drop_fn,
) -> remqtt_status {
    let set = |config: &mut remqtt_config| {
        if !(REMQTT_LOG_ERROR..=REMQTT_LOG_DEBUG).contains(&level) {
            return Err(invalid(format!("{level} is no REMQTT_LOG_...")));
        }
        let log = || Log { most: level, callback: Arc::new(Callback::new(function, user, drop)) };
        config.callbacks.log = function.is_some().then(log);
        Ok(())
    };
    // SAFETY: the header's rule for `config`.
    unsafe { change(config, set) }
}

/// Tells the log of an event.
pub(crate) fn note(client: &remqtt_client, callbacks: &Callbacks, event: &Event) {
    let Some(log) = &callbacks.log else { return };
    let Some(function) = log.callback.function else { return };
    let level = level(event);
    if level > log.most {
        return;
    }
    let text = words(event);
    // SAFETY: the header's rule for functions; the text lives until the return.
    unsafe {
        function(log.callback.user, std::ptr::from_ref(client).cast_mut(), level, remqtt_str::of(&text));
    }
}

fn level(event: &Event) -> i32 {
    match event {
        Event::Completed(_, Outcome::Failed(..)) | Event::Quarantined(_) | Event::Gap(_) => {
            REMQTT_LOG_WARNING
        }
        Event::Connecting(..) | Event::Auth(_) | Event::Message(_) | Event::Completed(..) => REMQTT_LOG_DEBUG,
        Event::Disconnected(gone) => match (&gone.error, gone.retry_in) {
            (None, _) => REMQTT_LOG_INFO,
            (Some(_), Some(_)) => REMQTT_LOG_WARNING,
            (Some(_), None) => REMQTT_LOG_ERROR,
        },
        Event::Store(Some(_)) => REMQTT_LOG_ERROR,
        Event::Connected(_) | Event::Recovered(_) | Event::Store(None) | Event::Closed => REMQTT_LOG_INFO,
    }
}

fn words(event: &Event) -> String {
    match event {
        Event::Connecting(attempt, server) => format!("attempt {attempt}, at server {server}"),
        Event::Connected(connected) => {
            let session = match connected.session {
                SessionState::New => "new",
                SessionState::Resumed => "resumed",
                SessionState::Lost => "lost by the server",
            };
            let (restoring, resending) = (connected.restoring, connected.resending);
            format!(
                "connected; session {session}, {restoring} subscriptions restored, {resending} publishes sent again"
            )
        }
        Event::Disconnected(gone) => parting(gone),
        Event::Auth(auth) if auth.exchange.is_none() => "authenticated anew".into(),
        Event::Auth(_) => "the server wants more to authenticate us".into(),
        Event::Message(message) => {
            let publish = &message.publish;
            let (topic, bytes, qos) = (&publish.topic, publish.payload.len(), publish.qos as u8);
            format!("message on {topic}: {bytes} bytes, QoS {qos}")
        }
        Event::Completed(ticket, Outcome::Failed(error, _)) => format!("operation {ticket} failed: {error}"),
        Event::Completed(ticket, _) => format!("operation {ticket} is complete"),
        Event::Recovered(outage) => outage.to_string(),
        Event::Quarantined(what) => match what.ticket {
            Some(ticket) => {
                format!("publish {ticket} ended one connection after the other and was taken out")
            }
            None => "a message of the server ended one connection after the other and was taken out".into(),
        },
        Event::Gap(gap) => {
            format!("{} messages are missing: {} came for {}", gap.missing(), gap.got, gap.expected)
        }
        Event::Store(Some(error)) => error.to_string(),
        Event::Store(None) => "the store can be written again".into(),
        Event::Closed => "closed".into(),
    }
}

fn parting(gone: &Disconnected) -> String {
    let what = if gone.was_connected { "connection lost" } else { "attempt failed" };
    let next = match gone.retry_in {
        Some(delay) => format!("next attempt in {} ms", delay.as_millis()),
        None => "no further attempt".into(),
    };
    match &gone.error {
        Some(error) => format!("{what}: {error}; {next}"),
        None => "disconnected, as asked".into(),
    }
}
