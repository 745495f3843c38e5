//! Statistics and the timeline of outages: core's tables, as structs and by name.

use std::ffi::{c_char, CString};
use std::sync::LazyLock;

use remqtt_core::{Mark, Outage, Stats};

use crate::arguments::invalid;
use crate::boundary::{boundary, status};
use crate::client::{client, remqtt_client};
use crate::sized::{self, SizeFirst};
use crate::status::{name_at, names, remqtt_status};

/// Counters of a client since it was created, and gauges. Start from REMQTT_STATS_INIT.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct remqtt_stats {
    /// sizeof(remqtt_stats).
    pub size: usize,
    /// Attempts to connect.
    pub connect_attempts: u64,
    /// Connections that were accepted.
    pub connections: u64,
    /// Connections that were lost.
    pub outages: u64,
    /// Accepted connections for which the server had lost the session.
    pub sessions_lost: u64,
    /// Bytes handed to the transport.
    pub sent_bytes: u64,
    /// Bytes received.
    pub received_bytes: u64,
    /// PUBLISH packets written, resent ones included.
    pub sent_publishes: u64,
    /// Publishes and releases written again after an outage.
    pub resent: u64,
    /// Application messages delivered to the application.
    pub received_messages: u64,
    /// Redelivered messages that were recognised and not delivered again.
    pub duplicates_suppressed: u64,
    /// Publishes that completed successfully.
    pub published: u64,
    /// Accepted publishes that failed, were dropped or expired.
    pub failed: u64,
    /// Irregularities of the server that were tolerated (unknown acknowledgements, too many in flight, ...).
    pub tolerated: u64,
    /// Gauge: publishes that wait for their first sending.
    pub backlog_messages: u64,
    /// Gauge: bytes of those.
    pub backlog_bytes: u64,
    /// Gauge: QoS 1 and 2 publishes sent and not acknowledged.
    pub inflight: u64,
    /// Gauge: received messages that the application has not finished with.
    pub unacknowledged: u64,
    /// Gauge: wanted subscriptions.
    pub subscriptions: u64,
    /// Milliseconds without a connection, in all outages that are over: from the detection to the CONNACK.
    pub downtime_ms: u64,
    /// Messages that were taken out of the traffic because they ended one connection after the other.
    pub quarantined: u64,
    /// Gaps in the sequences that the options follow.
    pub gaps: u64,
    /// Messages that are missing there.
    pub missing_messages: u64,
    /// Times that a second way to the server was opened beside a link that seemed dead.
    pub probes: u64,
}

impl From<&Stats> for remqtt_stats {
    fn from(stats: &Stats) -> Self {
        remqtt_stats {
            size: size_of::<remqtt_stats>(),
            connect_attempts: stats.connect_attempts,
            connections: stats.connections,
            outages: stats.outages,
            sessions_lost: stats.sessions_lost,
            sent_bytes: stats.sent_bytes,
            received_bytes: stats.received_bytes,
            sent_publishes: stats.sent_publishes,
            resent: stats.resent,
            received_messages: stats.received_messages,
            duplicates_suppressed: stats.duplicates_suppressed,
            published: stats.published,
            failed: stats.failed,
            tolerated: stats.tolerated,
            backlog_messages: stats.backlog_messages,
            backlog_bytes: stats.backlog_bytes,
            inflight: stats.inflight,
            unacknowledged: stats.unacknowledged,
            subscriptions: stats.subscriptions,
            downtime_ms: stats.downtime_ms,
            quarantined: stats.quarantined,
            gaps: stats.gaps,
            missing_messages: stats.missing_messages,
            probes: stats.probes,
        }
    }
}

/// Room for the marks of an outage in remqtt_outage. Slots without a mark hold -1.
pub const REMQTT_MARK_SLOTS: usize = 16;
/// Last byte that came from the server before the outage: the link was alive then.
pub const REMQTT_MARK_LOST: usize = 0;
/// The client took the link for lost.
pub const REMQTT_MARK_DETECTED: usize = 1;
/// The first attempt began.
pub const REMQTT_MARK_FIRST_ATTEMPT: usize = 2;
/// The transport of the attempt that succeeded was up.
pub const REMQTT_MARK_TRANSPORT_UP: usize = 3;
/// Its CONNACK arrived.
pub const REMQTT_MARK_CONNACK: usize = 4;
/// Every restored subscription was answered; with a resumed session there is none, so at once.
pub const REMQTT_MARK_RESUBSCRIBED: usize = 5;
/// The last resent packet was written.
pub const REMQTT_MARK_RESENT: usize = 6;
/// The first application message arrived.
pub const REMQTT_MARK_FIRST_MESSAGE: usize = 7;
/// What waited when the link came back was sent and acknowledged.
pub const REMQTT_MARK_DRAINED: usize = 8;

/// What showed that a connection was lost: its end, closed or reset.
pub const REMQTT_SIGNAL_END: u8 = 0;
/// What showed that a connection was lost: nothing came any more.
pub const REMQTT_SIGNAL_SILENCE: u8 = 1;
/// What showed that a connection was lost: the server said so in a DISCONNECT.
pub const REMQTT_SIGNAL_WORD: u8 = 2;
/// What showed that a connection was lost: the server broke the protocol, and we ended it.
pub const REMQTT_SIGNAL_VIOLATION: u8 = 3;

/// Failed attempts that an outage remembers.
pub const REMQTT_FAILURE_SLOTS: usize = 16;

/// A failed attempt of an outage.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct remqtt_failure {
    /// When: nanoseconds since REMQTT_MARK_DETECTED.
    pub after_ns: i64,
    /// Why.
    pub cause: remqtt_status,
    /// The server that was tried, in the order of remqtt_config_add_server, from 0. One past the last of them: a server
    /// that one of them referred to (option "follow_references").
    pub server: u32,
}

/// One outage, from the connection's loss until everything is as before. Start from REMQTT_OUTAGE_INIT.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct remqtt_outage {
    /// sizeof(remqtt_outage).
    pub size: usize,
    /// Number of the outage in the life of the client, from 1.
    pub number: u64,
    /// Publishes and releases that were sent again.
    pub resent: u64,
    /// What ended the connection.
    pub cause: remqtt_status,
    /// Attempts made, the successful one included.
    pub attempts: u32,
    /// 1 if the server had kept the session.
    pub session_kept: u8,
    /// What showed that the connection was lost: REMQTT_SIGNAL_...
    pub signal: u8,
    /// 1 if messages for this client may be lost: some are known to be missing, or the session was lost.
    pub gap_suspected: u8,
    /// Zero.
    pub reserved: [u8; 5],
    /// When each mark was reached: nanoseconds since REMQTT_MARK_LOST, -1 while it is not. The index is
    /// REMQTT_MARK_...
    pub marks_ns: [i64; REMQTT_MARK_SLOTS],
    /// Messages that came on the connection that was lost.
    pub received_before: u64,
    /// Messages that came from the new connection until the record was closed.
    pub received_after: u64,
    /// Messages that never came, as far as sequences tell.
    pub missing: u64,
    /// How many of `failures` are filled in.
    pub failure_count: u64,
    /// The attempts that failed: the first fifteen, and the last.
    pub failures: [remqtt_failure; REMQTT_FAILURE_SLOTS],
}

// SAFETY: `repr(C)`, size first, integers only.
unsafe impl SizeFirst for remqtt_stats {
    const OLDEST: usize = 8 + 18 * 8;
}
// SAFETY: as above.
unsafe impl SizeFirst for remqtt_outage {
    const OLDEST: usize = 168;
}

impl From<&Outage> for remqtt_outage {
    fn from(outage: &Outage) -> Self {
        let mut marks_ns = [-1; REMQTT_MARK_SLOTS];
        for (mark, after) in outage.marks() {
            marks_ns[mark as usize] = i64::try_from(after.as_nanos()).unwrap_or(i64::MAX);
        }
        let mut failures = [remqtt_failure { after_ns: 0, cause: 0, server: 0 }; REMQTT_FAILURE_SLOTS];
        for (slot, failure) in failures.iter_mut().zip(&outage.failures) {
            *slot = remqtt_failure {
                after_ns: i64::try_from(failure.after.as_nanos()).unwrap_or(i64::MAX),
                cause: failure.code as remqtt_status,
                server: u32::try_from(failure.server).unwrap_or(u32::MAX),
            };
        }
        remqtt_outage {
            size: size_of::<remqtt_outage>(),
            number: outage.number,
            resent: outage.resent,
            cause: outage.cause.code as remqtt_status,
            attempts: outage.attempts,
            session_kept: outage.session_kept.into(),
            signal: outage.signal as u8,
            gap_suspected: outage.gap_suspected().into(),
            reserved: [0; 5],
            marks_ns,
            received_before: outage.received_before,
            received_after: outage.received_after,
            missing: outage.missing,
            failure_count: outage.failures.len().min(REMQTT_FAILURE_SLOTS) as u64,
            failures,
        }
    }
}

static STATS: LazyLock<Box<[CString]>> = LazyLock::new(|| names(Stats::TABLE.iter().map(|row| row.0)));
static MARKS: LazyLock<Box<[CString]>> = LazyLock::new(|| names(Mark::TABLE.iter().map(|mark| mark.name())));

/// The name of the statistic with this index, counted from 0, as in `connect_attempts`; NULL past the last one. A
/// static string. Any thread.
#[no_mangle]
pub extern "C" fn remqtt_stat_name(index: usize) -> *const c_char {
    boundary(|_| std::ptr::null(), || Ok(name_at(&STATS, index)))
}

/// The statistic with this index, counted from 0, in `value`.
/// REMQTT_E_INVALID_ARGUMENT: past the last one, or NULL.
#[no_mangle]
pub unsafe extern "C" fn remqtt_client_stat(
    c: *const remqtt_client,
    index: usize,
    value: *mut u64,
) -> remqtt_status {
    status(|| {
        // SAFETY: the header's rules for clients and results.
        let (client, value) = unsafe { (client(c)?, crate::arguments::by_mut(value, "value")?) };
        let values = client.core.stats().values();
        *value = *values.get(index).ok_or_else(|| invalid("no statistic has this index"))?;
        Ok(())
    })
}

/// All statistics at one moment. `out->size` must be set: start from REMQTT_STATS_INIT.
/// REMQTT_E_INVALID_ARGUMENT: NULL, or a size that no version has.
#[no_mangle]
pub unsafe extern "C" fn remqtt_client_stats(
    c: *const remqtt_client,
    out: *mut remqtt_stats,
) -> remqtt_status {
    status(|| {
        // SAFETY: the header's rules for clients and sized structs.
        unsafe { sized::fill(out, &remqtt_stats::from(&client(c)?.core.stats()), "out") }
    })
}

/// The name of the mark with this index (REMQTT_MARK_...), as in `FirstMessage`; NULL past the last one. A static
/// string. Any thread.
#[no_mangle]
pub extern "C" fn remqtt_mark_name(index: usize) -> *const c_char {
    boundary(|_| std::ptr::null(), || Ok(name_at(&MARKS, index)))
}

/// How many outages remqtt_client_outage can tell: the last 64 at most. 0 for NULL.
#[no_mangle]
pub unsafe extern "C" fn remqtt_client_outage_count(c: *const remqtt_client) -> usize {
    // SAFETY: the header's rule for clients.
    boundary(|_| 0, || Ok(unsafe { client(c) }?.core.timeline().len()))
}

/// The outage with this index, 0 being the oldest that is remembered. One is there when it is over. `out->size` must
/// be set: start from REMQTT_OUTAGE_INIT. `out->number` tells when a new outage has moved the indexes.
/// REMQTT_E_INVALID_ARGUMENT: NULL, no such outage, or a size that no version has.
#[no_mangle]
pub unsafe extern "C" fn remqtt_client_outage(
    c: *const remqtt_client,
    index: usize,
    out: *mut remqtt_outage,
) -> remqtt_status {
    status(|| {
        // SAFETY: the header's rules for clients and sized structs.
        unsafe {
            let timeline = client(c)?.core.timeline();
            let outage = timeline.get(index).ok_or_else(|| invalid("no outage has this index"))?;
            sized::fill(out, &outage.into(), "out")
        }
    })
}

#[cfg(test)]
mod tests {
    use remqtt_core::Signal;

    use super::*;

    #[test]
    fn the_fields_of_the_struct_are_the_table_of_core() {
        let source = include_str!("report.rs");
        let body = source.split_once("pub struct remqtt_stats {").unwrap().1.split_once("\n}").unwrap().0;
        let fields: Vec<&str> =
            body.lines().filter_map(|l| l.trim().strip_prefix("pub ")?.strip_suffix(": u64,")).collect();
        assert_eq!(fields, Stats::TABLE.iter().map(|row| row.0).collect::<Vec<_>>());
    }

    #[test]
    fn the_signal_constants_are_the_table_of_core() {
        let constants =
            [REMQTT_SIGNAL_END, REMQTT_SIGNAL_SILENCE, REMQTT_SIGNAL_WORD, REMQTT_SIGNAL_VIOLATION];
        assert_eq!(constants.to_vec(), Signal::TABLE.iter().map(|&signal| signal as u8).collect::<Vec<_>>());
    }

    #[test]
    fn the_mark_constants_are_the_table_of_core() {
        let constants = [
            REMQTT_MARK_LOST,
            REMQTT_MARK_DETECTED,
            REMQTT_MARK_FIRST_ATTEMPT,
            REMQTT_MARK_TRANSPORT_UP,
            REMQTT_MARK_CONNACK,
            REMQTT_MARK_RESUBSCRIBED,
            REMQTT_MARK_RESENT,
            REMQTT_MARK_FIRST_MESSAGE,
            REMQTT_MARK_DRAINED,
        ];
        assert_eq!(constants.to_vec(), Mark::TABLE.iter().map(|&mark| mark as usize).collect::<Vec<_>>());
        assert!(Mark::TABLE.len() <= REMQTT_MARK_SLOTS);
    }
}
