//! The border itself: no panic and no Rust error crosses it, and the words of a failure wait for the C caller.

use std::cell::RefCell;
use std::ffi::c_char;
use std::panic::{catch_unwind, AssertUnwindSafe};

use remqtt_core::{Error, ErrorCode};

use crate::arguments::copy_text;
use crate::status::{remqtt_status, REMQTT_OK};

thread_local! {
    /// What the last failed call of this thread said.
    static LAST: RefCell<Option<Error>> = const { RefCell::new(None) };
}

/// Runs a call. A failure is remembered for `remqtt_last_error` and becomes what `failed` makes of it; a panic is
/// the failure `Panic`.
pub(crate) fn boundary<T>(failed: impl FnOnce(ErrorCode) -> T, call: impl FnOnce() -> Result<T, Error>) -> T {
    let result = catch_unwind(AssertUnwindSafe(call)).unwrap_or_else(|panic| {
        let words = panic.downcast_ref::<String>().map(String::as_str);
        let words = words.or_else(|| panic.downcast_ref::<&str>().copied()).unwrap_or("no words");
        Err(Error::new(ErrorCode::Panic, words))
    });
    result.unwrap_or_else(|error| {
        let code = error.code;
        // A thread whose locals are gone already gets the code without the words.
        let _ = LAST.try_with(|last| last.replace(Some(error)));
        failed(code)
    })
}

/// A call whose only result is whether it worked.
pub(crate) fn status(call: impl FnOnce() -> Result<(), Error>) -> remqtt_status {
    boundary(|code| code as remqtt_status, || call().map(|()| REMQTT_OK))
}

/// A call whose result is a text, copied to the buffer of the caller: gives the length of the whole, 0 on failure.
///
/// # Safety
/// As for `copy_text`.
pub(crate) unsafe fn text_to<T: AsRef<str>>(
    buffer: *mut c_char,
    capacity: usize,
    call: impl FnOnce() -> Result<T, Error>,
) -> usize {
    // SAFETY: the caller's promise is ours.
    boundary(|_| 0, || Ok(unsafe { copy_text(call()?.as_ref(), buffer, capacity) }))
}

/// Frees what `Box::into_raw` gave to the caller; NULL is allowed.
///
/// # Safety
/// If `own` is not NULL it came from there, and the caller gives it up.
pub(crate) unsafe fn free<T>(own: *mut T) {
    let drop_it = || {
        if !own.is_null() {
            // SAFETY: the caller's promise is ours.
            drop(unsafe { Box::from_raw(own) });
        }
        Ok(())
    };
    boundary(|_| (), drop_it);
}

/// Gives the last error of this thread to `use_it`.
pub(crate) fn last_error<T>(use_it: impl FnOnce(Option<&Error>) -> T) -> Option<T> {
    LAST.try_with(|last| use_it(last.borrow().as_ref())).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_panic_becomes_a_status_and_its_words_are_kept() {
        let status = status(|| panic!("seven"));
        assert_eq!(status, ErrorCode::Panic as remqtt_status);
        let words = last_error(|error| error.map(ToString::to_string)).flatten();
        assert_eq!(words.as_deref(), Some("internal error: seven"));
    }

    #[test]
    fn a_success_leaves_the_last_error_alone() {
        status(|| Err(Error::new(ErrorCode::QueueFull, "x")));
        assert_eq!(status(|| Ok(())), REMQTT_OK);
        assert_eq!(last_error(|error| error.map(|e| e.code)).flatten(), Some(ErrorCode::QueueFull));
    }
}
