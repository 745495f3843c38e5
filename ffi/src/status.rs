//! Status codes, their names and texts, the version. The numbers are core's: a test compares each of them.

use std::ffi::{c_char, CString};
use std::sync::LazyLock;

use remqtt_core::{ErrorCode, Next, Who};

use crate::boundary::{boundary, last_error, text_to};

/// What a call says: REMQTT_OK or one of the negative REMQTT_E_... codes. The numbers are frozen; later versions
/// may add some, so treat an unknown negative number as a failure.
pub type remqtt_status = i32;

/// Grows by one with each function, field or constant that is added to the header.
pub const REMQTT_ABI_VERSION: u32 = 82;

/// The call did what it says.
pub const REMQTT_OK: remqtt_status = 0;
/// A parameter is out of its range or of the wrong form.
pub const REMQTT_E_INVALID_ARGUMENT: remqtt_status = -1;
/// An option is unknown, or its value is out of range.
pub const REMQTT_E_INVALID_OPTION: remqtt_status = -2;
/// A topic name to publish to is empty, too long, has a wildcard or U+0000.
pub const REMQTT_E_INVALID_TOPIC: remqtt_status = -3;
/// A topic filter breaks the rules of MQTT 4.7.
pub const REMQTT_E_INVALID_FILTER: remqtt_status = -4;
/// A QoS other than 0, 1 and 2.
pub const REMQTT_E_INVALID_QOS: remqtt_status = -5;
/// The packet is larger than the protocol or the server accepts.
pub const REMQTT_E_PACKET_TOO_LARGE: remqtt_status = -6;
/// The server of this connection does not offer it: its maximum QoS, retain, wildcards, shared subscriptions
/// or subscription identifiers.
pub const REMQTT_E_NOT_SUPPORTED: remqtt_status = -7;
/// The backlog is full and its policy is to refuse.
pub const REMQTT_E_QUEUE_FULL: remqtt_status = -8;
/// An accepted message was dropped by the backlog's policy when it overflowed.
pub const REMQTT_E_DROPPED: remqtt_status = -9;
/// The message expired before it could be sent.
pub const REMQTT_E_EXPIRED: remqtt_status = -10;
/// The server lost the session, and the policy is to fail what was in flight.
pub const REMQTT_E_SESSION_LOST: remqtt_status = -11;
/// The client was closed before the operation was complete.
pub const REMQTT_E_CLOSED: remqtt_status = -12;
/// The client is stopped and the operation needs a connection.
pub const REMQTT_E_NOT_CONNECTED: remqtt_status = -13;
/// A wait ended before what it waited for; the operation goes on.
pub const REMQTT_E_TIMEOUT: remqtt_status = -14;
/// A blocking call inside a callback would wait for itself.
pub const REMQTT_E_DEADLOCK: remqtt_status = -15;
/// The process forked; the client belongs to the parent.
pub const REMQTT_E_FORKED: remqtt_status = -16;
/// A defect of this library was caught at its border; please report it.
pub const REMQTT_E_PANIC: remqtt_status = -17;
/// The operating system refused a resource: threads, descriptors, memory.
pub const REMQTT_E_RESOURCE: remqtt_status = -18;
/// The server refused user name or password.
pub const REMQTT_E_BAD_CREDENTIALS: remqtt_status = -20;
/// The server refused the client identifier.
pub const REMQTT_E_BAD_CLIENT_IDENTIFIER: remqtt_status = -21;
/// The server does not speak this protocol version.
pub const REMQTT_E_UNSUPPORTED_VERSION: remqtt_status = -22;
/// The server refused the connection for another reason that will last.
pub const REMQTT_E_CONNECTION_REFUSED: remqtt_status = -23;
/// The server is unavailable or busy.
pub const REMQTT_E_SERVER_BUSY: remqtt_status = -24;
/// A certificate was refused: the server's by us, or ours by the server.
pub const REMQTT_E_CERTIFICATE_REFUSED: remqtt_status = -25;
/// A proxy refused to connect, or its user name or password.
pub const REMQTT_E_PROXY_REFUSED: remqtt_status = -26;
/// The handshake of TLS, WebSocket or a proxy failed.
pub const REMQTT_E_HANDSHAKE_FAILED: remqtt_status = -27;
/// The application did not answer the server's AUTH, or could not.
pub const REMQTT_E_AUTHENTICATION_FAILED: remqtt_status = -28;
/// The host name does not resolve.
pub const REMQTT_E_RESOLVE_FAILED: remqtt_status = -30;
/// No connection could be made: refused port, no route.
pub const REMQTT_E_CONNECT_FAILED: remqtt_status = -31;
/// The attempt was not complete, up to the CONNACK, within connect_timeout.
pub const REMQTT_E_CONNECT_TIMEOUT: remqtt_status = -32;
/// The connection was reset or closed.
pub const REMQTT_E_CONNECTION_LOST: remqtt_status = -33;
/// The server went silent: no PINGRESP within ping_timeout.
pub const REMQTT_E_KEEP_ALIVE_TIMEOUT: remqtt_status = -34;
/// The server broke the protocol.
pub const REMQTT_E_PROTOCOL_ERROR: remqtt_status = -40;
/// The server closed the connection with a DISCONNECT.
pub const REMQTT_E_SERVER_DISCONNECTED: remqtt_status = -41;
/// Another client took the session over by using the same client identifier.
pub const REMQTT_E_SESSION_TAKEN_OVER: remqtt_status = -42;
/// The server answered a publish, subscribe or unsubscribe with a failure.
pub const REMQTT_E_REJECTED: remqtt_status = -43;
/// The publish stood at the end of as many connections in a row as the option "quarantine_after" says, and was taken
/// out, so that the others can pass.
pub const REMQTT_E_QUARANTINED: remqtt_status = -44;
/// The store cannot be written: full, read-only, an error of the disk. It is tried again until it can.
pub const REMQTT_E_STORE_FAILED: remqtt_status = -50;
/// Another process, or another client of this one, uses the store.
pub const REMQTT_E_STORE_LOCKED: remqtt_status = -51;
/// Part of the store could not be read. What could be counts; the damaged file was set aside.
pub const REMQTT_E_STORE_DAMAGED: remqtt_status = -52;

/// A table of names of core, as C strings that live as long as the process.
pub(crate) fn names<'a>(of: impl Iterator<Item = &'a str>) -> Box<[CString]> {
    of.map(|name| CString::new(name).unwrap_or_default()).collect()
}

/// The entry of a table of names, NULL past its end.
pub(crate) fn name_at(table: &[CString], index: usize) -> *const c_char {
    table.get(index).map_or(std::ptr::null(), |name| name.as_ptr())
}

const VERSION: &str = concat!(env!("CARGO_PKG_VERSION"), "\0");
static NAMES: LazyLock<Box<[CString]>> = LazyLock::new(|| names(ErrorCode::TABLE.iter().map(|c| c.name())));
static TEXTS: LazyLock<Box<[CString]>> = LazyLock::new(|| names(ErrorCode::TABLE.iter().map(|c| c.text())));

/// `ok` for success, `unknown` for what is no status, else the entry of the table.
fn describe(status: remqtt_status, table: &'static [CString]) -> *const c_char {
    if status == REMQTT_OK {
        return c"ok".as_ptr();
    }
    let at = ErrorCode::TABLE.iter().position(|&code| code as remqtt_status == status);
    at.map_or(c"unknown".as_ptr(), |at| name_at(table, at))
}

/// The ABI version of the library that is loaded. A program whose header has a larger REMQTT_ABI_VERSION may miss
/// functions in it. Any thread.
#[no_mangle]
pub extern "C" fn remqtt_abi_version() -> u32 {
    REMQTT_ABI_VERSION
}

/// The version of the library that is loaded, as in `0.1.0`. A static string. Any thread.
#[no_mangle]
pub extern "C" fn remqtt_version() -> *const c_char {
    VERSION.as_ptr().cast()
}

/// The name of a status, as in `QueueFull`: `ok` for REMQTT_OK, `unknown` for a number that is no status. A static
/// string, never NULL. Any thread.
#[no_mangle]
pub extern "C" fn remqtt_status_name(status: remqtt_status) -> *const c_char {
    boundary(|_| c"unknown".as_ptr(), || Ok(describe(status, &NAMES)))
}

/// What a status means, in words. A static string, never NULL. Any thread.
#[no_mangle]
pub extern "C" fn remqtt_status_text(status: remqtt_status) -> *const c_char {
    boundary(|_| c"unknown".as_ptr(), || Ok(describe(status, &TEXTS)))
}

/// Who caused it: `you` (the application), `us` (this library), `peer` (the server) or `network`; `none` for
/// REMQTT_OK and for what is no status. A static string, never NULL. Any thread.
#[no_mangle]
pub extern "C" fn remqtt_status_who(status: remqtt_status) -> *const c_char {
    boundary(
        |_| c"none".as_ptr(),
        || {
            Ok(match ErrorCode::from_i32(status).map(ErrorCode::who) {
                Some(Who::You) => c"you".as_ptr(),
                Some(Who::Us) => c"us".as_ptr(),
                Some(Who::Peer) => c"peer".as_ptr(),
                Some(Who::Network) => c"network".as_ptr(),
                None => c"none".as_ptr(),
            })
        },
    )
}

/// 1 if the same call may succeed later, or the client itself tries again; 0 if not. Any thread.
#[no_mangle]
pub extern "C" fn remqtt_status_is_retriable(status: remqtt_status) -> i32 {
    boundary(|_| 0, || Ok(ErrorCode::from_i32(status).is_some_and(|code| code.next() != Next::Never).into()))
}

/// Copies the words of this thread's last failed call into `buffer`, cut to `capacity` bytes with the terminating
/// NUL (`buffer` may be NULL when `capacity` is 0). A successful call leaves them alone.
/// Returns the length of the whole text without the NUL; 0 when no call has failed. Any thread.
#[no_mangle]
pub unsafe extern "C" fn remqtt_last_error(buffer: *mut c_char, capacity: usize) -> usize {
    let words = || last_error(|error| error.map(ToString::to_string)).flatten().unwrap_or_default();
    // SAFETY: the header's rule for buffers.
    unsafe { text_to(buffer, capacity, || Ok(words())) }
}

/// The MQTT reason code that came with this thread's last failed call (MQTT 3.1.1: the CONNACK return code), or -1
/// when the server had no part in it. Any thread.
#[no_mangle]
pub extern "C" fn remqtt_last_error_reason() -> i32 {
    boundary(|_| -1, || Ok(last_error(|error| error?.reason_code).flatten().map_or(-1, i32::from)))
}

#[cfg(test)]
mod tests {
    use std::ffi::CStr;

    use super::*;

    /// `QueueFull` as the header spells it: `QUEUE_FULL`.
    fn constant(name: &str) -> String {
        let mut words = String::new();
        for letter in name.replace("QoS", "Qos").chars() {
            if letter.is_ascii_uppercase() && !words.is_empty() {
                words.push('_');
            }
            words.push(letter.to_ascii_uppercase());
        }
        words
    }

    #[test]
    fn the_constants_are_the_table_of_core() {
        let source = include_str!("status.rs");
        let found: Vec<(&str, i32)> = source
            .lines()
            .filter_map(|line| line.strip_prefix("pub const REMQTT_E_")?.split_once(": remqtt_status = "))
            .map(|(name, number)| (name, number.trim_end_matches(';').parse().unwrap()))
            .collect();
        let table: Vec<(String, i32)> =
            ErrorCode::TABLE.iter().map(|code| (constant(code.name()), *code as i32)).collect();
        assert_eq!(found, table.iter().map(|(name, number)| (name.as_str(), *number)).collect::<Vec<_>>());
    }

    #[test]
    fn every_status_has_its_name() {
        // SAFETY: the function returns static C strings.
        let name = |status| unsafe { CStr::from_ptr(remqtt_status_name(status)) }.to_str().unwrap();
        assert_eq!((name(0), name(7), name(-8)), ("ok", "unknown", "QueueFull"));
        assert!(ErrorCode::TABLE.iter().all(|code| name(*code as i32) == code.name()));
    }

    #[test]
    fn the_last_error_is_cut_to_the_buffer() {
        let mut buffer = [1u8; 8];
        crate::boundary::status(|| Err(remqtt_core::Error::new(ErrorCode::Closed, "é")));
        // SAFETY: the buffer is as long as said.
        let length = unsafe { remqtt_last_error(buffer.as_mut_ptr().cast(), buffer.len()) };
        assert_eq!(length, "the client is closed: é".len());
        assert_eq!(&buffer, b"the cli\0");
    }
}
