//! Statistics: one table of counters. C reads them by index and name, Python as a dict.

macro_rules! stats {
    ($($(#[doc = $doc:literal])* $name:ident;)*) => {
        /// Counters of a client since it was created, and a few gauges.
        #[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
        pub struct Stats { $($(#[doc = $doc])* pub $name: u64,)* }

        impl Stats {
            /// The name and the meaning of every counter.
            pub const TABLE: &'static [(&'static str, &'static str)] =
                &[$((stringify!($name), concat!($($doc, "\n"),*)),)*];

            /// The values, in the order of the table.
            pub fn values(&self) -> [u64; Stats::TABLE.len()] {
                [$(self.$name,)*]
            }
        }
    };
}

stats! {
    /// Attempts to connect.
    connect_attempts;
    /// Connections that were accepted.
    connections;
    /// Connections that were lost.
    outages;
    /// Accepted connections for which the server had lost the session.
    sessions_lost;
    /// Bytes handed to the transport.
    sent_bytes;
    /// Bytes received.
    received_bytes;
    /// PUBLISH packets written, resent ones included.
    sent_publishes;
    /// Publishes and releases written again after an outage.
    resent;
    /// Application messages delivered to the application.
    received_messages;
    /// Redelivered messages that were recognised and not delivered again.
    duplicates_suppressed;
    /// Publishes that completed successfully.
    published;
    /// Accepted publishes that failed, were dropped or expired.
    failed;
    /// Irregularities of the server that were tolerated (unknown acknowledgements, too many in flight, ...).
    tolerated;
    /// Gauge: publishes that wait for their first sending.
    backlog_messages;
    /// Gauge: bytes of those.
    backlog_bytes;
    /// Gauge: QoS 1 and 2 publishes sent and not acknowledged.
    inflight;
    /// Gauge: received messages that the application has not finished with.
    unacknowledged;
    /// Gauge: wanted subscriptions.
    subscriptions;
    /// Milliseconds without a connection, in all outages that are over: from the detection to the CONNACK.
    downtime_ms;
    /// Messages that were taken out of the traffic because they ended one connection after the other.
    quarantined;
    /// Gaps in the sequences that `sequence_property` or `sequence_in_payload` follow.
    gaps;
    /// Messages that are missing there.
    missing_messages;
    /// Times that a second way to the server was opened beside a link that seemed dead.
    probes;
}
