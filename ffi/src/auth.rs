//! Enhanced authentication: AUTH packets of the server, and what the application says to them.

use std::ffi::c_void;

use remqtt_core::{Auth, PropertyId, PropertyValue};

use crate::arguments::remqtt_bytes;
use crate::boundary::status;
use crate::callbacks::{remqtt_drop_fn, Callback};
use crate::client::{client, remqtt_client};
use crate::config::remqtt_config;
use crate::handlers::{register, Callbacks};
use crate::props::{self, remqtt_props};
use crate::status::{remqtt_status, REMQTT_OK};

/// An AUTH of the server: the next step of an exchange that authenticates, by the method of the CONNECT.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct remqtt_auth {
    /// Size of the struct in the library's version.
    pub size: usize,
    /// What remqtt_client_authenticate answers. 0: it wants no answer.
    pub exchange: u64,
    /// 0x18: the exchange goes on. 0: the connection is authenticated anew.
    pub reason: u8,
    /// Zero.
    pub reserved: [u8; 7],
    /// The authentication data; its `ptr` is NULL where there is none. The library shows it in no log.
    pub data: remqtt_bytes,
    /// All properties: method, data, reason string, user properties; never NULL.
    pub props: *const remqtt_props,
}

/// Called when the server sends an AUTH. `auth` and everything it points to live until the function returns. Returns
/// REMQTT_OK: it is answered by remqtt_client_authenticate, here or later, within the time of the option
/// "connect_timeout", which counts from the beginning of the attempt or of the re-authentication. Any other status:
/// it is not, and the attempt or the connection ends with REMQTT_E_AUTHENTICATION_FAILED; the next attempt follows
/// the schedule.
pub type remqtt_auth_fn = Option<
    unsafe extern "C" fn(
        user: *mut c_void,
        client: *mut remqtt_client,
        auth: *const remqtt_auth,
    ) -> remqtt_status,
>;

/// Sets the function for AUTH packets. The method, and first data that are the same for all attempts, are properties
/// of the CONNECT (remqtt_config_set_connect_props, 0x15 and 0x16); other first data for each attempt come from a
/// remqtt_credentials_fn. Without a function a server that sends AUTH is refused, with
/// REMQTT_E_AUTHENTICATION_FAILED. A later call replaces the function; `drop` (may be NULL) runs when it is replaced
/// or when the config and every client made from it are gone. NULL for `function` removes it, and `user` is not
/// taken. On failure `user` is not taken either.
#[no_mangle]
pub unsafe extern "C" fn remqtt_config_on_auth(
    config: *mut remqtt_config,
    function: remqtt_auth_fn,
    user: *mut c_void,
    drop: remqtt_drop_fn,
) -> remqtt_status {
    // SAFETY: the header's rule for `config`.
    unsafe { register(config, |callbacks| &mut callbacks.auth, function, user, drop) }
}

/// Answers an AUTH of the server, `exchange` of its remqtt_auth; an answer that comes too late, or twice, does
/// nothing. 0: asks the server of the connection that is up to authenticate us anew, by the method of the CONNECT,
/// for credentials that expire; nothing happens while an exchange is under way. A function of remqtt_config_on_auth
/// hears what comes of it: further steps, then `reason` 0; a server that refuses ends the connection. `data`: the
/// authentication data; a `ptr` of NULL means that there is none. `props` (reason string 0x1F, user properties 0x26)
/// may be NULL. All is copied. Returns at once.
/// REMQTT_E_INVALID_ARGUMENT: the properties are others, or `exchange` is 0 and the CONNECT has no method.
/// REMQTT_E_NOT_CONNECTED: `exchange` is 0, and there is no connection. REMQTT_E_CLOSED.
#[no_mangle]
pub unsafe extern "C" fn remqtt_client_authenticate(
    c: *mut remqtt_client,
    exchange: u64,
    data: remqtt_bytes,
    props: *const remqtt_props,
) -> remqtt_status {
    status(|| {
        let answered = (exchange != 0).then_some(exchange);
        // SAFETY: the header's rules for clients, bytes and property lists.
        unsafe { client(c)?.core.authenticate(answered, data.read_optional("data")?, props::copy(props)) }
    })
}

/// Calls the function for AUTH packets. Where it fails, or where there is none, nobody can answer.
pub(crate) fn auth(client: &remqtt_client, callbacks: &Callbacks, auth: &Auth) {
    let told = callbacks.auth.as_ref().is_some_and(|callback| tell(client, callback, auth));
    if let Some(exchange) = auth.exchange.filter(|_| !told) {
        // The only errors: the client is closed, or the process another one.
        let _ = client.core.refuse_authentication(exchange);
    }
}

/// False if the function did not want it.
fn tell(client: &remqtt_client, callback: &Callback<remqtt_auth_fn>, auth: &Auth) -> bool {
    let Some(function) = callback.function else { return false };
    let data = match auth.properties.find(PropertyId::AuthenticationData) {
        Some(PropertyValue::Binary(data)) => remqtt_bytes::of(data),
        _ => remqtt_bytes { ptr: std::ptr::null(), len: 0 },
    };
    let shown = remqtt_auth {
        size: size_of::<remqtt_auth>(),
        exchange: auth.exchange.unwrap_or(0),
        reason: auth.reason_code,
        reserved: [0; 7],
        data,
        props: props::view(&auth.properties),
    };
    // SAFETY: the header's rule for functions; everything that is shown lives until the return.
    unsafe { function(callback.user, std::ptr::from_ref(client).cast_mut(), &shown) == REMQTT_OK }
}
