//! Options: one table. Every row is a field here, a key of [`Options::set`] (and so of C), a keyword in Python.
//!
//! Values that are no text (credentials, will, MQTT 5 properties) are fields without a row; the bindings have a
//! typed call for each.

mod value;

use bytes::Bytes;
use bytestring::ByteString;
use std::fmt;
use std::time::Duration;

use crate::error::{Error, ErrorCode};
use crate::server::public;
use crate::wire::{Properties, Version, Will, PACKET_SIZE_LIMIT};

pub use value::{Acknowledge, LostPublishes, LostSubscriptions, OptionValue, Secret, TlsVersion, WhenFull};

/// One row of the table, for the bindings' documentation and setters.
#[derive(Debug, Clone, Copy)]
pub struct OptionRow {
    /// The key.
    pub key: &'static str,
    /// The type of the value, in words.
    pub kind: &'static str,
    /// The smallest and the largest value of a number.
    pub range: Option<(u64, u64)>,
    /// Meaning, unit and the reason of the default.
    pub doc: &'static str,
}

macro_rules! options {
    ($($(#[doc = $doc:literal])* $key:ident: $type:ty = $default:expr, $range:expr;)*) => {
        /// The options of a client. [`Options::default`] is the paved path.
        #[derive(Clone)]
        pub struct Options {
            $($(#[doc = $doc])* pub $key: $type,)*
            /// User name, if any.
            pub username: Option<ByteString>,
            /// Password, any bytes.
            pub password: Option<Bytes>,
            /// Last will, if any. The will delay interval is one of its properties.
            pub will: Option<Will>,
            /// MQTT 5 CONNECT properties beyond those that have an option; those given here win.
            pub connect_properties: Properties,
            /// Endpoint URLs in order of preference, as `mqtt://host:port`.
            pub servers: Vec<String>,
            /// Authorities that may vouch for the server, PEM or DER, beside `tls_ca_file` and `tls_ca_path`.
            pub tls_ca: Option<Bytes>,
            /// Our certificate and its chain, PEM or one in DER, in place of `tls_cert_file`.
            pub tls_cert: Option<Bytes>,
            /// Our private key, PEM or DER, in place of `tls_key_file`.
            pub tls_key: Option<Secret>,
            /// Headers of the WebSocket handshake beyond its own; `Host`, `Origin` and the like replace the default.
            pub ws_headers: Vec<(String, String)>,
        }

        impl Default for Options {
            fn default() -> Self {
                Options {
                    $($key: $default,)*
                    username: None, password: None, will: None,
                    connect_properties: Properties::new(), servers: Vec::new(),
                    tls_ca: None, tls_cert: None, tls_key: None, ws_headers: Vec::new(),
                }
            }
        }

        /// Shows what has a key and the endpoints without credentials; the rest is secret or large.
        impl fmt::Debug for Options {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.debug_struct("Options")
                    $(.field(stringify!($key), &self.$key))*
                    .field("servers", &self.servers.iter().map(|url| public(url)).collect::<Vec<_>>())
                    .finish_non_exhaustive()
            }
        }

        impl Options {
            /// Every option that has a key.
            pub const TABLE: &'static [OptionRow] = &[$(OptionRow {
                key: stringify!($key),
                kind: <$type as OptionValue>::KIND,
                range: $range,
                doc: concat!($($doc, "\n"),*),
            },)*];

            /// Sets the option `key` from text.
            pub fn set(&mut self, key: &str, value: &str) -> Result<(), Error> {
                match key {
                    $(stringify!($key) => self.$key = read(key, value, $range)?,)*
                    _ => {
                        let text = format!("no option is named {key:?}{}", hint(key));
                        return Err(Error::new(ErrorCode::InvalidOption, text));
                    }
                }
                Ok(())
            }

            /// The option `key` as text, or `None` if there is no such option.
            pub fn show(&self, key: &str) -> Option<String> {
                match key {
                    $(stringify!($key) => Some(self.$key.show()),)*
                    _ => None,
                }
            }
        }
    };
}

fn read<T: OptionValue>(key: &str, text: &str, range: Option<(u64, u64)>) -> Result<T, Error> {
    let refused = |why: String| Error::new(ErrorCode::InvalidOption, format!("{key} = {text:?}: {why}"));
    let value = T::read(text).ok_or_else(|| refused(format!("not of the kind {}{}", T::KIND, hint(key))))?;
    match (range, value.number()) {
        (Some((low, high)), Some(number)) if number < low || number > high => {
            Err(refused(format!("not within {low} and {high}")))
        }
        _ => Ok(value),
    }
}

/// What to do instead, where people come with a wish that cannot be fulfilled.
fn hint(key: &str) -> &'static str {
    if key.starts_with("tls_psk") {
        "; pre-shared keys are not supported: use certificates, or a tunnel such as stunnel beside this program"
    } else if key == "tls_min_version" {
        "; older versions are broken: let the server speak 1.2, or put a tunnel such as stunnel before it"
    } else {
        ""
    }
}

const NO_RANGE: Option<(u64, u64)> = None;

options! {
    /// Client identifier. Empty: one is made from the seed when the client is created and kept for its life,
    /// so that its session survives every outage.
    client_id: ByteString = ByteString::new(), NO_RANGE;
    /// Protocol version: 4 is MQTT 3.1.1, 5 is MQTT 5. Default 5: only there can a client open the server's
    /// send window, and an outage's backlog drains at window per round trip.
    protocol_version: Version = Version::V5, NO_RANGE;
    /// Call MQTT 3.1.1 by the name and number of its predecessor MQTT 3.1, for servers that know nothing newer. Default
    /// off: nearly every server does.
    mqtt31: bool = false, NO_RANGE;
    /// Connect as a bridge does to mosquitto or RSMB: they send back nothing that this client published, and keep the
    /// retain flag of what they pass on. Default off; other servers may refuse the connection.
    bridge: bool = false, NO_RANGE;
    /// Where no client identifier is given and the session is to end with its connection, let the server make one.
    /// Default off: one that stays the same makes the server's log readable.
    server_client_id: bool = false, NO_RANGE;
    /// Ask the server for a fresh session: on MQTT 5 at the first connection only, because a session that
    /// outlives an outage is what this client is for; on MQTT 3.1.1 at every connection, because there the flag
    /// also says what happens to the session afterwards. Default off.
    clean_start: bool = false, NO_RANGE;
    /// MQTT 5 session expiry interval in seconds, 0 = ends with the connection, 4294967295 = never ends.
    /// Default one day: longer than most outages, and no broker keeps it for ever. [MQTT5 3.1.2.11.2]
    session_expiry: u32 = 86_400, Some((0, 4_294_967_295));
    /// Keep alive in seconds: after that long without sending, PINGREQ is sent; 0 = off. Default 60, as the
    /// servers' documents suggest; an MQTT 5 server may override it for a connection. [MQTT-3.1.2-21]
    keepalive: u16 = 60, Some((0, 65_535));
    /// Send PINGREQ, so that the server and we know that the other one is there. Off: for an application that has
    /// stopped looking. The server takes it for dead after 1.5 keep alives and publishes its will. Default on.
    heartbeat: bool = true, NO_RANGE;
    /// How long a PINGREQ may stay unanswered at most, in milliseconds, before the connection counts as lost; where
    /// `detect_within` is not 0 the time follows the round trips that were measured, from 200 ms on.
    /// Default 5000: above any honest round trip, far below the 1.5 keep alives of the protocol.
    ping_timeout: Duration = Duration::from_millis(5_000), Some((1, 3_600_000));
    /// How soon a dead connection is to be noticed, in milliseconds, even when nothing is sent: PINGREQ goes out as often
    /// as that takes, and a busy stream that stops, bytes that TCP has to send again, a network that changed or a machine
    /// that slept are reasons to ask at once. Default 5000: about 36 bytes a second on an idle connection, both
    /// ways and with all headers. 500 is fast; 0 is frugal: only keep alive and `ping_timeout` count.
    detect_within: Duration = Duration::from_millis(5_000), Some((0, 3_600_000));
    /// Time for one attempt from resolving to CONNACK, in milliseconds, or for the exchange that authenticates a
    /// connection anew. One whose CONNECT was not answered by then is kept until the next attempt begins.
    /// Default 5000.
    connect_timeout: Duration = Duration::from_millis(5_000), Some((1, 3_600_000));
    /// Smallest delay before a repeated attempt, in milliseconds. The first attempt after a stable connection
    /// is lost is always made at once. Default 50: a server that restarts is missed by no more.
    reconnect_min_delay: Duration = Duration::from_millis(50), Some((0, 86_400_000));
    /// Largest delay between attempts, in milliseconds, except after refusals. Against a busy server each is drawn
    /// between the smallest delay and a bound that doubles up to this; while nobody is there (the port is refused, the
    /// name does not resolve) it is a share of the outage so far, and 30 seconds at most. Default 120000: a server
    /// that stays busy for minutes needs that much peace.
    reconnect_max_delay: Duration = Duration::from_millis(120_000), Some((0, 86_400_000));
    /// Smallest delay after a refusal that is unlikely to pass by itself (credentials, client identifier, certificate,
    /// taken over again and again), in milliseconds; the first time that another client takes the session over, a third
    /// of it. Default 30000: at most two attempts a minute, because a wrong password must not hammer the server, and so
    /// for a client that was taken over again: the third attempt waits until twice this time after the first is over.
    refused_min_delay: Duration = Duration::from_millis(30_000), Some((0, 86_400_000));
    /// How long a connection must last, in milliseconds, before its loss starts the schedule anew. Default 5000:
    /// a link that flaps faster keeps its backoff.
    stable_after: Duration = Duration::from_millis(5_000), Some((0, 86_400_000));
    /// Most QoS 1 and 2 publishes in flight; the server's receive maximum also bounds it. Default 1024: at 50 ms
    /// of round trip 20,000 messages a second. On MQTT 3.1.1 at most 19 of them are QoS 2, because brokers have a
    /// limit there that they cannot announce.
    max_inflight: u16 = 1_024, Some((1, 65_535));
    /// MQTT 5 receive maximum that we announce, explicitly unless `announce_receive_maximum` is off: brokers fall back to 20 without it.
    /// Default 65535; what bounds memory is `receive_buffer`.
    receive_maximum: u16 = 65_535, Some((1, 65_535));
    /// Announce also a receive maximum that is the protocol's own default. Default on; for clients that receive
    /// nothing it makes no difference.
    announce_receive_maximum: bool = true, NO_RANGE;
    /// Bytes of received messages that may wait for the application before the socket is no longer read.
    /// Default 16 MiB.
    receive_buffer: usize = 16 << 20, Some((1, 1 << 40));
    /// Largest packet we accept, in bytes. MQTT 5 tells the server. Default the protocol's largest: a smaller
    /// bound turns one large message into a connection that dies at every redelivery.
    maximum_packet_size: u32 = PACKET_SIZE_LIMIT, Some((16, PACKET_SIZE_LIMIT as u64));
    /// MQTT 5 topic aliases that the server may use towards us. Default 0: few servers do, and each costs a topic.
    topic_alias_maximum: u16 = 0, Some((0, 65_535));
    /// Most messages that wait for their first sending. Default 1,000,000.
    backlog_messages: usize = 1_000_000, Some((1, 1 << 40));
    /// Most bytes (topics and payloads) that wait for their first sending. Default 256 MiB.
    backlog_bytes: usize = 256 << 20, Some((1, 1 << 40));
    /// What happens to a publish that finds the backlog full: refuse, drop_oldest or drop_newest. Default
    /// refuse: nothing accepted is ever dropped unasked.
    backlog_when_full: WhenFull = WhenFull::Refuse, NO_RANGE;
    /// Queue QoS 0 publishes while there is no connection. Default on; off refuses them with `NotConnected`.
    queue_qos0_offline: bool = true, NO_RANGE;
    /// Unacknowledged publishes when the server lost the session: resend or fail. Default resend.
    lost_session_publishes: LostPublishes = LostPublishes::Resend, NO_RANGE;
    /// Mark publishes that are sent again in a new session with DUP, as paho does. Default off: in that session nobody
    /// has seen them before. [MQTT-3.3.1-1]
    lost_session_dup: bool = false, NO_RANGE;
    /// Deliver messages whose topic is not UTF-8, with the bytes of the topic beside its text, instead of closing the
    /// connection as the specification asks [MQTT-1.5.3-1]. Default off.
    deliver_invalid_topics: bool = false, NO_RANGE;
    /// Send a publish that has a topic alias and no topic as the application says, and leave it to the server to judge
    /// the alias. Such a publish belongs to the connection that it is first sent on: it fails with `InvalidTopic` where
    /// that is lost. Default off: it is refused.
    bare_topic_aliases: bool = false, NO_RANGE;
    /// Subscriptions when the server lost the session: restore or forget. Default restore.
    lost_session_subscriptions: LostSubscriptions = LostSubscriptions::Restore, NO_RANGE;
    /// Path of the file that keeps the session, so that it survives the death of the process: publishes of QoS 1 and 2
    /// and their phases, identifiers of received QoS 2 messages, wanted subscriptions, the client identifier. One
    /// client uses it at a time; the directory is made if it is missing. Empty (default): the session lives in memory.
    store: ByteString = ByteString::new(), NO_RANGE;
    /// Send the SUBSCRIBE that restores right behind the CONNECT where the session is probably lost: a round trip less.
    /// MQTT 5 only. Default on; a server that does not bear it is remembered.
    pipeline: bool = true, NO_RANGE;
    /// Go to another server when this one says so (MQTT 5 reason codes 0x9C and 0x9D with a server reference), over the
    /// same transport. Default on.
    follow_references: bool = true, NO_RANGE;
    /// While nobody answers at one server, the next ones of the list are tried beside it, a quarter of a second apart at
    /// first, and the one whose TCP answers first is taken. Default false: they are tried one after the other, so that
    /// the first of the list is used as long as it can be. Each server has sessions of its own: one that does not know
    /// the session counts as one that lost it.
    race_servers: bool = false, NO_RANGE;
    /// A message that stands at the end of so many connections in a row is taken out of the traffic, with an event, so
    /// that the others can pass. 0: never. Default 3: two may be chance.
    quarantine_after: u16 = 3, Some((0, 65_535));
    /// Name of an MQTT 5 user property in which the publisher counts the messages of a topic, in decimal: what is missing
    /// is told. One publisher and one QoS for each topic, no shared subscription. Default empty: none.
    sequence_property: ByteString = ByteString::new(), NO_RANGE;
    /// Where `sequence_property` is empty: every payload begins with the number of the message in its topic, in decimal.
    /// What is missing is told. Default off.
    sequence_in_payload: bool = false, NO_RANGE;
    /// When a received QoS 1 or 2 message is acknowledged. finished (default): when the application has finished with
    /// it, so that the server sends it again after a crash; any of them may then come twice, and nothing tells. stored,
    /// which needs a `store`: as soon as it is durable, before the application gets it. It stays in the store until the
    /// application has finished with it; the next process delivers it again under the same token, marked as redelivered.
    acknowledge: Acknowledge = Acknowledge::Finished, NO_RANGE;
    /// Token of the last message that the application has finished with, as it wrote it down together with the effects
    /// of that message: what is stored up to it is not delivered again, so that the effects of every message happen once.
    /// A token of another store skips nothing. Default empty.
    resume_after: ByteString = ByteString::new(), NO_RANGE;
    /// Acknowledge received messages by call instead of when the message callback returns. Default off.
    manual_ack: bool = false, NO_RANGE;
    /// Try again by itself after a connection is lost or refused. Default on.
    reconnect: bool = true, NO_RANGE;
    /// File with the authorities that may vouch for the server, in PEM; then those of the system no longer count.
    /// Default empty: the system's.
    tls_ca_file: ByteString = ByteString::new(), NO_RANGE;
    /// Folder with such files; each that is no certificate is skipped. Default empty.
    tls_ca_path: ByteString = ByteString::new(), NO_RANGE;
    /// File with our certificate and its chain, in PEM, for servers that ask for one. Default empty: none.
    tls_cert_file: ByteString = ByteString::new(), NO_RANGE;
    /// File with the private key of our certificate, in PEM: PKCS#8 (also encrypted), PKCS#1 or SEC1. Default empty:
    /// the key is in `tls_cert_file`.
    tls_key_file: ByteString = ByteString::new(), NO_RANGE;
    /// Password of the private key. Never shown or logged. Default empty: the key is not encrypted.
    tls_key_password: Secret = Secret::default(), NO_RANGE;
    /// Application protocols (ALPN) to offer, separated by commas, as in mqtt. Default empty: few servers ask.
    tls_alpn: ByteString = ByteString::new(), NO_RANGE;
    /// Name that the server's certificate must have, and that SNI sends. Default empty: the host of the endpoint.
    tls_server_name: ByteString = ByteString::new(), NO_RANGE;
    /// Oldest version of TLS that is accepted. Older ones than 1.2 are broken and not implemented. Default 1.2.
    tls_min_version: TlsVersion = TlsVersion::V12, NO_RANGE;
    /// Cipher suites in order of preference, separated by colons, by their OpenSSL or IANA names. Default empty:
    /// all that the library has, which are all good.
    tls_ciphers: ByteString = ByteString::new(), NO_RANGE;
    /// A certificate that names no hosts but has the host as its common name is for that host, as OpenSSL has it.
    /// Default off: such certificates are out of use since 2011. [RFC 6125, 6.4.4]
    tls_common_name: bool = false, NO_RANGE;
    /// DANGER: accept a certificate that was issued for another host. Whoever has any certificate of a trusted
    /// authority can pretend to be the server. Default off.
    tls_insecure_skip_hostname: bool = false, NO_RANGE;
    /// DANGER: accept any certificate whatsoever. Anybody on the way can read and change everything. Default off.
    tls_insecure_skip_verification: bool = false, NO_RANGE;
    /// Proxy, as http://user:password@host:port, socks5://... or socks5h://...; socks5 resolves the server's name
    /// here, socks5h and http at the proxy. Never shown. Default empty: none.
    proxy: Secret = Secret::default(), NO_RANGE;
    /// Where `proxy` is empty, use the proxy that the environment names: mqtt_proxy (socks:// is socks5h://), unless
    /// no_proxy lists the host. Default off: a library does what its options say.
    proxy_from_environment: bool = false, NO_RANGE;
    /// Local address of connections. Default empty: the system chooses.
    bind_address: ByteString = ByteString::new(), NO_RANGE;
    /// Local port of connections. Default 0: the system chooses. A fixed one can make a reconnect wait until the
    /// system gives the port free.
    bind_port: u16 = 0, Some((0, 65_535));
    /// Size of the socket's send buffer in bytes. Default 0: the system's, which grows by itself.
    socket_send_buffer: u32 = 0, Some((0, 1 << 30));
    /// Size of the socket's receive buffer in bytes. Default 0: the system's, which grows by itself.
    socket_receive_buffer: u32 = 0, Some((0, 1 << 30));
    /// Name servers for SRV records, as address or address:port, separated by commas. Default empty: the system's.
    dns_servers: ByteString = ByteString::new(), NO_RANGE;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_tls_cannot_do_here_is_refused_with_a_way_out() {
        let mut options = Options::default();
        for (key, value) in [("tls_min_version", "1.1"), ("tls_psk_identity", "x")] {
            let error = options.set(key, value).unwrap_err();
            assert_eq!(error.code, ErrorCode::InvalidOption);
            assert!(error.detail.contains("stunnel"), "{error}");
        }
    }

    #[test]
    fn secrets_are_shown_nowhere() {
        let mut options = Options {
            servers: vec!["mqtt://user:hush@host".into()],
            password: Some("hush".into()),
            tls_key: Some(Secret("hush".into())),
            ws_headers: vec![("Authorization".into(), "hush".into())],
            ..Options::default()
        };
        for key in ["proxy", "tls_key_password"] {
            options.set(key, "hush").unwrap();
            assert_eq!(options.show(key).as_deref(), Some("***"));
        }
        let shown = format!("{options:?}");
        assert!(!shown.contains("hush") && shown.contains("host"), "{shown}");
    }
}
