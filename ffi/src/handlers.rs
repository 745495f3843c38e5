//! The functions of a client, and the setters for them.

use std::ffi::c_void;
use std::sync::Arc;

use crate::auth::remqtt_auth_fn;
use crate::callbacks::{
    remqtt_drop_fn, remqtt_message_fn, remqtt_recovered_fn, remqtt_state_fn, remqtt_store_fn, Callback,
};
use crate::config::{change, remqtt_config};
use crate::dial::remqtt_dial_fn;
use crate::incidents::{remqtt_gap_fn, remqtt_quarantined_fn};
use crate::log::Log;
use crate::login::remqtt_credentials_fn;
use crate::status::remqtt_status;

/// The functions of a client; shared with the config and the other clients made from it.
#[derive(Clone, Default)]
pub(crate) struct Callbacks {
    pub(crate) state: Option<Arc<Callback<remqtt_state_fn>>>,
    pub(crate) message: Option<Arc<Callback<remqtt_message_fn>>>,
    pub(crate) recovered: Option<Arc<Callback<remqtt_recovered_fn>>>,
    pub(crate) store: Option<Arc<Callback<remqtt_store_fn>>>,
    pub(crate) quarantined: Option<Arc<Callback<remqtt_quarantined_fn>>>,
    pub(crate) gap: Option<Arc<Callback<remqtt_gap_fn>>>,
    pub(crate) log: Option<Log>,
    pub(crate) credentials: Option<Arc<Callback<remqtt_credentials_fn>>>,
    pub(crate) auth: Option<Arc<Callback<remqtt_auth_fn>>>,
    pub(crate) dial: Option<Arc<Callback<remqtt_dial_fn>>>,
}

/// Puts a function in its place, or takes it away where none is given.
///
/// # Safety
/// `config` is NULL or alive and used by this thread only.
pub(crate) unsafe fn register<F: Copy>(
    config: *mut remqtt_config,
    place: impl FnOnce(&mut Callbacks) -> &mut Option<Arc<Callback<Option<F>>>>,
    function: Option<F>,
    user: *mut c_void,
    drop: remqtt_drop_fn,
) -> remqtt_status {
    let set = |config: &mut remqtt_config| {
        *place(&mut config.callbacks) =
            function.is_some().then(|| Arc::new(Callback::new(function, user, drop)));
        Ok(())
    };
    // SAFETY: the caller's promise is ours.
    unsafe { change(config, set) }
}

/// Sets the function for changes of the connection's state. A later call replaces the function; `drop` (may
/// be NULL) runs when it is replaced or when the config and every client made from it are gone. NULL for
/// `function` removes it, and `user` is not taken. On failure `user` is not taken either.
#[no_mangle]
pub unsafe extern "C" fn remqtt_config_on_state(
    config: *mut remqtt_config,
    function: remqtt_state_fn,
    user: *mut c_void,
    drop: remqtt_drop_fn,
) -> remqtt_status {
    // SAFETY: the header's rule for `config`.
    unsafe { register(config, |callbacks| &mut callbacks.state, function, user, drop) }
}

/// Sets the function for messages. Without one they are acknowledged and forgotten. A later call replaces the
/// function; `drop` (may be NULL) runs when it is replaced or when the config and every client made from it
/// are gone. NULL for `function` removes it, and `user` is not taken. On failure `user` is not taken either.
#[no_mangle]
pub unsafe extern "C" fn remqtt_config_on_message(
    config: *mut remqtt_config,
    function: remqtt_message_fn,
    user: *mut c_void,
    drop: remqtt_drop_fn,
) -> remqtt_status {
    // SAFETY: the header's rule for `config`.
    unsafe { register(config, |callbacks| &mut callbacks.message, function, user, drop) }
}

/// Sets the function for the end of outages. A later call replaces the function; `drop` (may be NULL) runs
/// when it is replaced or when the config and every client made from it are gone. NULL for `function` removes
/// it, and `user` is not taken. On failure `user` is not taken either.
#[no_mangle]
pub unsafe extern "C" fn remqtt_config_on_recovered(
    config: *mut remqtt_config,
    function: remqtt_recovered_fn,
    user: *mut c_void,
    drop: remqtt_drop_fn,
) -> remqtt_status {
    // SAFETY: the header's rule for `config`.
    unsafe { register(config, |callbacks| &mut callbacks.recovered, function, user, drop) }
}

/// Sets the function for troubles of the store. A later call replaces the function; `drop` (may be NULL) runs
/// when it is replaced or when the config and every client made from it are gone. NULL for `function` removes
/// it, and `user` is not taken. On failure `user` is not taken either.
#[no_mangle]
pub unsafe extern "C" fn remqtt_config_on_store(
    config: *mut remqtt_config,
    function: remqtt_store_fn,
    user: *mut c_void,
    drop: remqtt_drop_fn,
) -> remqtt_status {
    // SAFETY: the header's rule for `config`.
    unsafe { register(config, |callbacks| &mut callbacks.store, function, user, drop) }
}

/// Sets the function for quarantined messages. A later call replaces the function; `drop` (may be NULL) runs
/// when it is replaced or when the config and every client made from it are gone. NULL for `function` removes
/// it, and `user` is not taken. On failure `user` is not taken either.
#[no_mangle]
pub unsafe extern "C" fn remqtt_config_on_quarantined(
    config: *mut remqtt_config,
    function: remqtt_quarantined_fn,
    user: *mut c_void,
    drop: remqtt_drop_fn,
) -> remqtt_status {
    // SAFETY: the header's rule for `config`.
    unsafe { register(config, |callbacks| &mut callbacks.quarantined, function, user, drop) }
}

/// Sets the function for gaps. A later call replaces the function; `drop` (may be NULL) runs when it is
/// replaced or when the config and every client made from it are gone. NULL for `function` removes it, and
/// `user` is not taken. On failure `user` is not taken either.
#[no_mangle]
pub unsafe extern "C" fn remqtt_config_on_gap(
    config: *mut remqtt_config,
    function: remqtt_gap_fn,
    user: *mut c_void,
    drop: remqtt_drop_fn,
) -> remqtt_status {
    // SAFETY: the header's rule for `config`.
    unsafe { register(config, |callbacks| &mut callbacks.gap, function, user, drop) }
}
