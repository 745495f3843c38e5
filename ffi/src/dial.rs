//! Connections that the application makes.

use std::ffi::c_void;
use std::os::fd::{FromRawFd, OwnedFd};
use std::sync::{Arc, Weak};

use remqtt_core::{Dialler, Error, ErrorCode, Target};

use crate::arguments::remqtt_str;
use crate::callbacks::{remqtt_drop_fn, Callback};
use crate::client::remqtt_client;
use crate::config::remqtt_config;
use crate::handlers::register;
use crate::status::remqtt_status;

/// Where a connection shall lead to.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct remqtt_target {
    /// Size of the struct in the library's version.
    pub size: usize,
    /// Host name or address of the server's URL (of its SRV record, where it names one), or the path of a Unix socket.
    pub host: remqtt_str,
    /// Port; 0 for a Unix socket.
    pub port: u16,
    /// 1 if the URL asks for TLS.
    pub tls: u8,
    /// Zero.
    pub reserved: u8,
    /// Milliseconds that the whole attempt may take, up to the CONNACK (option "connect_timeout").
    pub timeout_ms: u32,
}

/// Called for each connection that is tried, in place of the library's own sockets, proxies and TLS, for a tunnel, a TLS
/// stack or a device that it does not know; where a server is slow to answer, a second time beside the first. Returns
/// the descriptor of a connected stream socket (of any family; one end of a socket pair is fine) whose bytes are MQTT, or
/// WebSocket where the URL says so; if `target->tls` is 1 it is the function that encrypts. From the return on the
/// descriptor is the library's, which makes it non-blocking, closes it on exec, and closes it when the connection has
/// ended, or at once if it comes too late for its attempt.
/// A negative number is a status that says why there is no connection, and so when the next attempt follows:
/// REMQTT_E_CONNECT_FAILED for what may pass by itself, REMQTT_E_CERTIFICATE_REFUSED for what needs somebody's help. One
/// that is no status, and a descriptor that is not open, count as REMQTT_E_CONNECT_FAILED.
/// `target` lives until the function returns. The function runs as a remqtt_credentials_fn does: on a thread of its own,
/// while the attempt waits for it.
pub type remqtt_dial_fn = Option<
    unsafe extern "C" fn(user: *mut c_void, client: *mut remqtt_client, target: *const remqtt_target) -> i32,
>;

/// Sets the function that makes connections. Without one the library makes them. A later call replaces the function;
/// `drop` (may be NULL) runs when it is replaced or when the config and every client made from it are gone. NULL for
/// `function` removes it, and `user` is not taken. On failure `user` is not taken either.
#[no_mangle]
pub unsafe extern "C" fn remqtt_config_on_dial(
    config: *mut remqtt_config,
    function: remqtt_dial_fn,
    user: *mut c_void,
    drop: remqtt_drop_fn,
) -> remqtt_status {
    // SAFETY: the header's rule for `config`.
    unsafe { register(config, |callbacks| &mut callbacks.dial, function, user, drop) }
}

/// Lets the application connect.
pub(crate) struct Caller {
    pub(crate) client: Weak<remqtt_client>,
    pub(crate) callback: Arc<Callback<remqtt_dial_fn>>,
}

impl std::fmt::Debug for Caller {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Caller").finish_non_exhaustive()
    }
}

impl Dialler for Caller {
    fn dial(&self, target: &Target) -> Result<OwnedFd, Error> {
        let none = |why| Error::new(ErrorCode::ConnectFailed, why);
        let client = self.client.upgrade().ok_or_else(|| none("the client is closed"))?;
        let function = self.callback.function.ok_or_else(|| none("no function"))?;
        let shown = remqtt_target {
            size: size_of::<remqtt_target>(),
            host: remqtt_str::of(&target.host),
            port: target.port,
            tls: target.tls.into(),
            reserved: 0,
            timeout_ms: target.timeout.as_millis().try_into().unwrap_or(u32::MAX),
        };
        // SAFETY: the header's rule for functions; client and target live until the return.
        let said = unsafe { function(self.callback.user, Arc::as_ptr(&client).cast_mut(), &raw const shown) };
        if said < 0 {
            let code = ErrorCode::from_i32(said).unwrap_or(ErrorCode::ConnectFailed);
            return Err(Error::new(code, "the application's dial function failed"));
        }
        // SAFETY: a number that is no open descriptor is an error of this call.
        if unsafe { libc::fcntl(said, libc::F_SETFD, libc::FD_CLOEXEC) } == -1 {
            return Err(none("the application's dial function gave no open descriptor"));
        }
        // SAFETY: it is open, and the header says that it is ours from here on.
        Ok(unsafe { OwnedFd::from_raw_fd(said) })
    }
}
