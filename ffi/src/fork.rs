//! After a fork the child has the memory of the parent's clients but none of their threads, and their sockets are
//! the parent's. Every call on such a client returns `Forked`; nothing is freed, so that nothing is closed twice.

use std::sync::Once;

extern "C" fn in_child() {
    remqtt_core::after_fork_in_child();
}

/// Makes sure that forks are noticed.
pub(crate) fn watch() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        // SAFETY: the handler only counts, and the library is never unloaded (`-z nodelete`). When registration
        // fails for lack of memory, forks go unnoticed.
        unsafe { libc::pthread_atfork(None, None, Some(in_child)) };
    });
}
