//! User name, password and first authentication data that are asked for before each attempt to connect.

use std::ffi::c_void;
use std::sync::{Arc, Weak};
use std::time::Duration;

use remqtt_core::{Credentials, Error, ErrorCode, Login, Secret};

use crate::arguments::{by_mut, remqtt_bytes, remqtt_str};
use crate::boundary::status;
use crate::callbacks::{remqtt_drop_fn, Callback};
use crate::client::remqtt_client;
use crate::config::remqtt_config;
use crate::handlers::register;
use crate::status::{remqtt_status, REMQTT_OK};

/// What a credentials function fills in. It lives until the function returns.
pub struct remqtt_login(Login);

/// Called before each attempt to connect, for passwords that expire and for methods of authentication whose first
/// message is another one each time: gives user name and password of this attempt to `login`, by remqtt_login_set,
/// and first authentication data, by remqtt_login_set_auth_data. Any other status than REMQTT_OK ends the attempt,
/// and the next one asks again. Unlike other callbacks it runs on a thread of its own, beside the others of its
/// client, and may take its time: the attempt waits for it, up to the option "connect_timeout". What the attempt gave
/// up may still be running when the next one asks, and when remqtt_client_close has returned: only the `drop`
/// function says that no call follows.
pub type remqtt_credentials_fn = Option<
    unsafe extern "C" fn(
        user: *mut c_void,
        client: *mut remqtt_client,
        login: *mut remqtt_login,
    ) -> remqtt_status,
>;

/// Sets the function for user name and password. Without one those of remqtt_config_set_credentials are sent. A later
/// call replaces the function; `drop` (may be NULL) runs when it is replaced or when the config and every client made
/// from it are gone. NULL for `function` removes it, and `user` is not taken. On failure `user` is not taken either.
#[no_mangle]
pub unsafe extern "C" fn remqtt_config_on_credentials(
    config: *mut remqtt_config,
    function: remqtt_credentials_fn,
    user: *mut c_void,
    drop: remqtt_drop_fn,
) -> remqtt_status {
    // SAFETY: the header's rule for `config`.
    unsafe { register(config, |callbacks| &mut callbacks.credentials, function, user, drop) }
}

/// Sets user name and password in a credentials function. Both are copied. A `ptr` of NULL means that there is none.
#[no_mangle]
pub unsafe extern "C" fn remqtt_login_set(
    login: *mut remqtt_login,
    user: remqtt_str,
    password: remqtt_bytes,
) -> remqtt_status {
    status(|| {
        // SAFETY: the header's rules for texts and bytes, and what the function got.
        unsafe {
            let remqtt_login(login) = by_mut(login, "login")?;
            let password = password.read_optional("password")?.map(Secret);
            (login.username, login.password) = (user.read_optional("user")?, password);
        }
        Ok(())
    })
}

/// Sets the authentication data (0x16) of this attempt's CONNECT in a credentials function, for the method (0x15)
/// that stands in its properties, remqtt_config_set_connect_props. Copied. A `ptr` of NULL: what stands there, too.
#[no_mangle]
pub unsafe extern "C" fn remqtt_login_set_auth_data(
    login: *mut remqtt_login,
    data: remqtt_bytes,
) -> remqtt_status {
    status(|| {
        // SAFETY: the header's rules for bytes, and what the function got.
        unsafe { by_mut(login, "login")?.0.authentication_data = data.read_optional("data")?.map(Secret) };
        Ok(())
    })
}

/// Asks the application.
pub(crate) struct Asker {
    pub(crate) client: Weak<remqtt_client>,
    pub(crate) callback: Arc<Callback<remqtt_credentials_fn>>,
}

impl std::fmt::Debug for Asker {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Asker").finish_non_exhaustive()
    }
}

impl Credentials for Asker {
    fn credentials(&self, _within: Duration) -> Result<Login, Error> {
        let none = |why| Error::new(ErrorCode::ConnectFailed, why);
        let client = self.client.upgrade().ok_or_else(|| none("the client is closed"))?;
        let function = self.callback.function.ok_or_else(|| none("no function"))?;
        let mut login = remqtt_login(Login::default());
        // SAFETY: the header's rule for functions; client and login live until the return.
        let said = unsafe { function(self.callback.user, Arc::as_ptr(&client).cast_mut(), &raw mut login) };
        match said {
            REMQTT_OK => Ok(login.0),
            _ => Err(none("the application's credentials function failed")),
        }
    }
}
