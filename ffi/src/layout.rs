//! The layout of every struct of the header, stated twice with the same numbers: in `tests/c/layout.h` for C
//! compilers, and by the test below for this source. A change of the file is a change of the ABI.

use std::fmt::Write;
use std::mem::{offset_of, size_of};

use crate::arguments::{remqtt_bytes, remqtt_str};
use crate::auth::remqtt_auth;
use crate::batch::remqtt_publication;
use crate::callbacks::{remqtt_result, remqtt_state_event};
use crate::dial::remqtt_target;
use crate::incidents::{remqtt_gap, remqtt_quarantined};
use crate::operations::{remqtt_publish_options, remqtt_subscription};
use crate::report::{remqtt_failure, remqtt_outage, remqtt_stats};

macro_rules! layouts {
    ($($name:ident { $($field:ident)* })*) => {{
        let mut text = String::from(HEAD);
        $(
            writeln!(text, "REMQTT_LAYOUT(sizeof({}) == {});", stringify!($name), size_of::<$name>()).unwrap();
            $(
                let (name, field) = (stringify!($name), stringify!($field));
                let offset = offset_of!($name, $field);
                writeln!(text, "REMQTT_LAYOUT(offsetof({name}, {field}) == {offset});").unwrap();
            )*
        )*
        text + "#endif\n"
    }};
}

const HEAD: &str = "\
/* The ABI on 64-bit machines. Written by ffi/src/layout.rs (REMQTT_WRITE=1 cargo test -p remqtt-ffi). */
#include <stddef.h>
#include <stdint.h>
#ifdef __cplusplus
#define REMQTT_LAYOUT(fact) static_assert(fact, #fact)
#else
/* A negative array size: C99 has no _Static_assert. */
#define REMQTT_LAYOUT(fact) extern char remqtt_layout[(fact) ? 1 : -1]
#endif
#if UINTPTR_MAX == 0xFFFFFFFFFFFFFFFFu
";

#[test]
fn the_layout_is_the_committed_one() {
    let text = layouts! {
        remqtt_str { ptr len }
        remqtt_bytes { ptr len }
        remqtt_result { size token status reason has_reason reserved codes text props }
        remqtt_state_event {
            size state prev cause reason has_reason session_present session from_server was_connected reserved
            attempt next_delay_ms server restoring resending reserved2 text props
        }
        remqtt_publish_options { size qos retain level reserved props done user drop }
        remqtt_subscription {
            size filter qos no_local retain_as_published retain_handling reserved on_message user drop
        }
        remqtt_publication { size topic payload options }
        remqtt_stats {
            size connect_attempts connections outages sessions_lost sent_bytes received_bytes sent_publishes
            resent received_messages duplicates_suppressed published failed tolerated backlog_messages
            backlog_bytes inflight unacknowledged subscriptions downtime_ms quarantined gaps missing_messages
            probes
        }
        remqtt_failure { after_ns cause server }
        remqtt_outage {
            size number resent cause attempts session_kept signal gap_suspected reserved marks_ns received_before
            received_after missing failure_count failures
        }
        remqtt_quarantined { size token packet_identifier qos readable reserved topic payload }
        remqtt_gap { size topic expected got missing }
        remqtt_auth { size exchange reason reserved data props }
        remqtt_target { size host port tls reserved timeout_ms }
    };
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../tests/c/layout.h");
    if std::env::var_os("REMQTT_WRITE").is_some() {
        std::fs::write(path, &text).unwrap();
    }
    assert_eq!(std::fs::read_to_string(path).unwrap_or_default(), text, "REMQTT_WRITE=1 rewrites the file");
}
