//! The builder: core's `Options`, and what C adds to them.

use std::ffi::{c_char, CString};
use std::sync::LazyLock;

use remqtt_core::{Error, ErrorCode, Options, Will};

use crate::arguments::{by_mut, by_ref, c_text, flag, qos, remqtt_bytes, remqtt_str};
use crate::boundary::{boundary, free, status, text_to};
use crate::handlers::Callbacks;
use crate::props::{self, remqtt_props};
use crate::status::{name_at, names, remqtt_status};

/// What a client is made from. One thread at a time. remqtt_client_new copies it: several clients can be made from
/// one config, and it can be changed or freed at any time.
pub struct remqtt_config {
    pub(crate) options: Options,
    pub(crate) callbacks: Callbacks,
    /// Callbacks run in remqtt_client_dispatch instead of on the library's threads.
    pub(crate) poll: bool,
}

/// Changes a config.
///
/// # Safety
/// `config` is NULL or alive and used by this thread only.
pub(crate) unsafe fn change(
    config: *mut remqtt_config,
    how: impl FnOnce(&mut remqtt_config) -> Result<(), Error>,
) -> remqtt_status {
    // SAFETY: the caller's promise is ours.
    status(|| how(unsafe { by_mut(config, "config") }?))
}

/// A config with every option at its default, to be freed with remqtt_config_free. NULL only when memory is out.
/// Any thread.
#[no_mangle]
pub extern "C" fn remqtt_config_new() -> *mut remqtt_config {
    boundary(
        |_| std::ptr::null_mut(),
        || {
            let callbacks = Callbacks::default();
            Ok(Box::into_raw(Box::new(remqtt_config { options: Options::default(), callbacks, poll: false })))
        },
    )
}

/// Frees a config. Clients made from it live on. NULL is allowed.
#[no_mangle]
pub unsafe extern "C" fn remqtt_config_free(config: *mut remqtt_config) {
    // SAFETY: it came from `remqtt_config_new`, and the caller gives it up.
    unsafe { free(config) }
}

/// Sets an option from text. Numbers are decimal, times are milliseconds unless the key says otherwise, booleans
/// are true or false. Both strings are NUL-terminated and copied.
/// REMQTT_E_INVALID_OPTION: no such key, or the value is out of its range; remqtt_last_error says which.
///
///   client_id: text; default empty
///     Client identifier. Empty: one is made from the seed when the client is created and kept for its
///     life, so that its session survives every outage.
///   protocol_version: one of 4 5; default 5
///     Protocol version: 4 is MQTT 3.1.1, 5 is MQTT 5. Default 5: only there can a client open the
///     server's send window, and an outage's backlog drains at window per round trip.
///   mqtt31: boolean; default false
///     Call MQTT 3.1.1 by the name and number of its predecessor MQTT 3.1, for servers that know
///     nothing newer. Default off: nearly every server does.
///   bridge: boolean; default false
///     Connect as a bridge does to mosquitto or RSMB: they send back nothing that this client
///     published, and keep the retain flag of what they pass on. Default off; other servers may refuse
///     the connection.
///   server_client_id: boolean; default false
///     Where no client identifier is given and the session is to end with its connection, let the
///     server make one. Default off: one that stays the same makes the server's log readable.
///   clean_start: boolean; default false
///     Ask the server for a fresh session: on MQTT 5 at the first connection only, because a session
///     that outlives an outage is what this client is for; on MQTT 3.1.1 at every connection, because
///     there the flag also says what happens to the session afterwards. Default off.
///   session_expiry: integer, 0 to 4294967295; default 86400
///     MQTT 5 session expiry interval in seconds, 0 = ends with the connection, 4294967295 = never
///     ends. Default one day: longer than most outages, and no broker keeps it for ever. [MQTT5
///     3.1.2.11.2]
///   keepalive: integer, 0 to 65535; default 60
///     Keep alive in seconds: after that long without sending, PINGREQ is sent; 0 = off. Default 60, as
///     the servers' documents suggest; an MQTT 5 server may override it for a connection.
///     [MQTT-3.1.2-21]
///   heartbeat: boolean; default true
///     Send PINGREQ, so that the server and we know that the other one is there. Off: for an
///     application that has stopped looking. The server takes it for dead after 1.5 keep alives and
///     publishes its will. Default on.
///   ping_timeout: milliseconds, 1 to 3600000; default 5000
///     How long a PINGREQ may stay unanswered at most, in milliseconds, before the connection counts as
///     lost; where `detect_within` is not 0 the time follows the round trips that were measured, from
///     200 ms on. Default 5000: above any honest round trip, far below the 1.5 keep alives of the
///     protocol.
///   detect_within: milliseconds, 0 to 3600000; default 5000
///     How soon a dead connection is to be noticed, in milliseconds, even when nothing is sent: PINGREQ
///     goes out as often as that takes, and a busy stream that stops, bytes that TCP has to send again,
///     a network that changed or a machine that slept are reasons to ask at once. Default 5000: about
///     36 bytes a second on an idle connection, both ways and with all headers. 500 is fast; 0 is
///     frugal: only keep alive and `ping_timeout` count.
///   connect_timeout: milliseconds, 1 to 3600000; default 5000
///     Time for one attempt from resolving to CONNACK, in milliseconds, or for the exchange that
///     authenticates a connection anew. One whose CONNECT was not answered by then is kept until the
///     next attempt begins. Default 5000.
///   reconnect_min_delay: milliseconds, 0 to 86400000; default 50
///     Smallest delay before a repeated attempt, in milliseconds. The first attempt after a stable
///     connection is lost is always made at once. Default 50: a server that restarts is missed by no
///     more.
///   reconnect_max_delay: milliseconds, 0 to 86400000; default 120000
///     Largest delay between attempts, in milliseconds, except after refusals. Against a busy server
///     each is drawn between the smallest delay and a bound that doubles up to this; while nobody is
///     there (the port is refused, the name does not resolve) it is a share of the outage so far, and
///     30 seconds at most. Default 120000: a server that stays busy for minutes needs that much peace.
///   refused_min_delay: milliseconds, 0 to 86400000; default 30000
///     Smallest delay after a refusal that is unlikely to pass by itself (credentials, client
///     identifier, certificate, taken over again and again), in milliseconds; the first time that
///     another client takes the session over, a third of it. Default 30000: at most two attempts a
///     minute, because a wrong password must not hammer the server, and so for a client that was taken
///     over again: the third attempt waits until twice this time after the first is over.
///   stable_after: milliseconds, 0 to 86400000; default 5000
///     How long a connection must last, in milliseconds, before its loss starts the schedule anew.
///     Default 5000: a link that flaps faster keeps its backoff.
///   max_inflight: integer, 1 to 65535; default 1024
///     Most QoS 1 and 2 publishes in flight; the server's receive maximum also bounds it. Default 1024:
///     at 50 ms of round trip 20,000 messages a second. On MQTT 3.1.1 at most 19 of them are QoS 2,
///     because brokers have a limit there that they cannot announce.
///   receive_maximum: integer, 1 to 65535; default 65535
///     MQTT 5 receive maximum that we announce, explicitly unless `announce_receive_maximum` is off:
///     brokers fall back to 20 without it. Default 65535; what bounds memory is `receive_buffer`.
///   announce_receive_maximum: boolean; default true
///     Announce also a receive maximum that is the protocol's own default. Default on; for clients that
///     receive nothing it makes no difference.
///   receive_buffer: integer, 1 to 1099511627776; default 16777216
///     Bytes of received messages that may wait for the application before the socket is no longer
///     read. Default 16 MiB.
///   maximum_packet_size: integer, 16 to 268435460; default 268435460
///     Largest packet we accept, in bytes. MQTT 5 tells the server. Default the protocol's largest: a
///     smaller bound turns one large message into a connection that dies at every redelivery.
///   topic_alias_maximum: integer, 0 to 65535; default 0
///     MQTT 5 topic aliases that the server may use towards us. Default 0: few servers do, and each
///     costs a topic.
///   backlog_messages: integer, 1 to 1099511627776; default 1000000
///     Most messages that wait for their first sending. Default 1,000,000.
///   backlog_bytes: integer, 1 to 1099511627776; default 268435456
///     Most bytes (topics and payloads) that wait for their first sending. Default 256 MiB.
///   backlog_when_full: one of refuse drop_oldest drop_newest; default refuse
///     What happens to a publish that finds the backlog full: refuse, drop_oldest or drop_newest.
///     Default refuse: nothing accepted is ever dropped unasked.
///   queue_qos0_offline: boolean; default true
///     Queue QoS 0 publishes while there is no connection. Default on; off refuses them with
///     `NotConnected`.
///   lost_session_publishes: one of resend fail; default resend
///     Unacknowledged publishes when the server lost the session: resend or fail. Default resend.
///   lost_session_dup: boolean; default false
///     Mark publishes that are sent again in a new session with DUP, as paho does. Default off: in that
///     session nobody has seen them before. [MQTT-3.3.1-1]
///   deliver_invalid_topics: boolean; default false
///     Deliver messages whose topic is not UTF-8, with the bytes of the topic beside its text, instead
///     of closing the connection as the specification asks [MQTT-1.5.3-1]. Default off.
///   bare_topic_aliases: boolean; default false
///     Send a publish that has a topic alias and no topic as the application says, and leave it to the
///     server to judge the alias. Such a publish belongs to the connection that it is first sent on: it
///     fails with `InvalidTopic` where that is lost. Default off: it is refused.
///   lost_session_subscriptions: one of restore forget; default restore
///     Subscriptions when the server lost the session: restore or forget. Default restore.
///   store: text; default empty
///     Path of the file that keeps the session, so that it survives the death of the process: publishes
///     of QoS 1 and 2 and their phases, identifiers of received QoS 2 messages, wanted subscriptions,
///     the client identifier. One client uses it at a time; the directory is made if it is missing.
///     Empty (default): the session lives in memory.
///   pipeline: boolean; default true
///     Send the SUBSCRIBE that restores right behind the CONNECT where the session is probably lost: a
///     round trip less. MQTT 5 only. Default on; a server that does not bear it is remembered.
///   follow_references: boolean; default true
///     Go to another server when this one says so (MQTT 5 reason codes 0x9C and 0x9D with a server
///     reference), over the same transport. Default on.
///   race_servers: boolean; default false
///     While nobody answers at one server, the next ones of the list are tried beside it, a quarter of
///     a second apart at first, and the one whose TCP answers first is taken. Default false: they are
///     tried one after the other, so that the first of the list is used as long as it can be. Each
///     server has sessions of its own: one that does not know the session counts as one that lost it.
///   quarantine_after: integer, 0 to 65535; default 3
///     A message that stands at the end of so many connections in a row is taken out of the traffic,
///     with an event, so that the others can pass. 0: never. Default 3: two may be chance.
///   sequence_property: text; default empty
///     Name of an MQTT 5 user property in which the publisher counts the messages of a topic, in
///     decimal: what is missing is told. One publisher and one QoS for each topic, no shared
///     subscription. Default empty: none.
///   sequence_in_payload: boolean; default false
///     Where `sequence_property` is empty: every payload begins with the number of the message in its
///     topic, in decimal. What is missing is told. Default off.
///   acknowledge: one of finished stored; default finished
///     When a received QoS 1 or 2 message is acknowledged. finished (default): when the application has
///     finished with it, so that the server sends it again after a crash; any of them may then come
///     twice, and nothing tells. stored, which needs a `store`: as soon as it is durable, before the
///     application gets it. It stays in the store until the application has finished with it; the next
///     process delivers it again under the same token, marked as redelivered.
///   resume_after: text; default empty
///     Token of the last message that the application has finished with, as it wrote it down together
///     with the effects of that message: what is stored up to it is not delivered again, so that the
///     effects of every message happen once. A token of another store skips nothing. Default empty.
///   manual_ack: boolean; default false
///     Acknowledge received messages by call instead of when the message callback returns. Default off.
///   reconnect: boolean; default true
///     Try again by itself after a connection is lost or refused. Default on.
///   tls_ca_file: text; default empty
///     File with the authorities that may vouch for the server, in PEM; then those of the system no
///     longer count. Default empty: the system's.
///   tls_ca_path: text; default empty
///     Folder with such files; each that is no certificate is skipped. Default empty.
///   tls_cert_file: text; default empty
///     File with our certificate and its chain, in PEM, for servers that ask for one. Default empty:
///     none.
///   tls_key_file: text; default empty
///     File with the private key of our certificate, in PEM: PKCS#8 (also encrypted), PKCS#1 or SEC1.
///     Default empty: the key is in `tls_cert_file`.
///   tls_key_password: secret text; default empty
///     Password of the private key. Never shown or logged. Default empty: the key is not encrypted.
///   tls_alpn: text; default empty
///     Application protocols (ALPN) to offer, separated by commas, as in mqtt. Default empty: few
///     servers ask.
///   tls_server_name: text; default empty
///     Name that the server's certificate must have, and that SNI sends. Default empty: the host of the
///     endpoint.
///   tls_min_version: one of 1.2 1.3; default 1.2
///     Oldest version of TLS that is accepted. Older ones than 1.2 are broken and not implemented.
///     Default 1.2.
///   tls_ciphers: text; default empty
///     Cipher suites in order of preference, separated by colons, by their OpenSSL or IANA names.
///     Default empty: all that the library has, which are all good.
///   tls_common_name: boolean; default false
///     A certificate that names no hosts but has the host as its common name is for that host, as
///     OpenSSL has it. Default off: such certificates are out of use since 2011. [RFC 6125, 6.4.4]
///   tls_insecure_skip_hostname: boolean; default false
///     DANGER: accept a certificate that was issued for another host. Whoever has any certificate of a
///     trusted authority can pretend to be the server. Default off.
///   tls_insecure_skip_verification: boolean; default false
///     DANGER: accept any certificate whatsoever. Anybody on the way can read and change everything.
///     Default off.
///   proxy: secret text; default empty
///     Proxy, as http://user:password@host:port, socks5://... or socks5h://...; socks5 resolves the
///     server's name here, socks5h and http at the proxy. Never shown. Default empty: none.
///   proxy_from_environment: boolean; default false
///     Where `proxy` is empty, use the proxy that the environment names: mqtt_proxy (socks:// is
///     socks5h://), unless no_proxy lists the host. Default off: a library does what its options say.
///   bind_address: text; default empty
///     Local address of connections. Default empty: the system chooses.
///   bind_port: integer, 0 to 65535; default 0
///     Local port of connections. Default 0: the system chooses. A fixed one can make a reconnect wait
///     until the system gives the port free.
///   socket_send_buffer: integer, 0 to 1073741824; default 0
///     Size of the socket's send buffer in bytes. Default 0: the system's, which grows by itself.
///   socket_receive_buffer: integer, 0 to 1073741824; default 0
///     Size of the socket's receive buffer in bytes. Default 0: the system's, which grows by itself.
///   dns_servers: text; default empty
///     Name servers for SRV records, as address or address:port, separated by commas. Default empty:
///     the system's.
///   dispatch: one of thread poll; default thread
///     Where callbacks run: on threads of the library, or in remqtt_client_dispatch.
#[no_mangle]
pub unsafe extern "C" fn remqtt_config_set(
    config: *mut remqtt_config,
    key: *const c_char,
    value: *const c_char,
) -> remqtt_status {
    let set = |config: &mut remqtt_config| {
        // SAFETY: the header's rule for NUL-terminated strings.
        match unsafe { (c_text(key, "key")?, c_text(value, "value")?) } {
            ("dispatch", "thread") => config.poll = false,
            ("dispatch", "poll") => config.poll = true,
            ("dispatch", _) => {
                return Err(Error::new(ErrorCode::InvalidOption, "dispatch is thread or poll"))
            }
            (key, value) => config.options.set(key, value)?,
        }
        Ok(())
    };
    // SAFETY: the header's rule for `config`.
    unsafe { change(config, set) }
}

/// The option with this key as remqtt_config_set takes it, copied to `buffer`, cut to `capacity` with its NUL (`buffer`
/// may be NULL when that is 0). A secret shows only that it is set. Returns the length of the whole text without the
/// NUL; 0: it is empty, there is no such option, or NULL.
#[no_mangle]
pub unsafe extern "C" fn remqtt_config_get(
    config: *const remqtt_config,
    key: *const c_char,
    buffer: *mut c_char,
    capacity: usize,
) -> usize {
    // SAFETY: the header's rules for configs, NUL-terminated strings and buffers.
    unsafe {
        text_to(buffer, capacity, || {
            let (config, key) = (by_ref(config, "config")?, c_text(key, "key")?);
            let poll = if config.poll { "poll" } else { "thread" };
            let dispatch = (key == "dispatch").then(|| poll.to_owned());
            let text = dispatch.or_else(|| config.options.show(key));
            text.ok_or_else(|| Error::new(ErrorCode::InvalidOption, "no such option"))
        })
    }
}

/// The key of the option with this index, counted from 0, as in `client_id`; NULL past the last one. A static string.
/// Any thread.
#[no_mangle]
pub extern "C" fn remqtt_option_name(index: usize) -> *const c_char {
    static NAMES: LazyLock<Box<[CString]>> =
        LazyLock::new(|| names(Options::TABLE.iter().map(|row| row.key).chain(["dispatch"])));
    boundary(|_| std::ptr::null(), || Ok(name_at(&NAMES, index)))
}

/// Appends a server: a NUL-terminated URL as in `mqtt://host:1883`. Servers are tried in their order. What is wrong
/// with a URL is told by remqtt_client_new.
#[no_mangle]
pub unsafe extern "C" fn remqtt_config_add_server(
    config: *mut remqtt_config,
    url: *const c_char,
) -> remqtt_status {
    let add = |config: &mut remqtt_config| {
        // SAFETY: the header's rule for NUL-terminated strings.
        config.options.servers.push(unsafe { c_text(url, "url") }?.into());
        Ok(())
    };
    // SAFETY: the header's rule for `config`.
    unsafe { change(config, add) }
}

/// Sets the client identifier: `length` bytes of UTF-8. Empty: the library makes one and keeps it for the client's
/// life, not longer.
#[no_mangle]
pub unsafe extern "C" fn remqtt_config_set_client_id(
    config: *mut remqtt_config,
    id: *const c_char,
    length: usize,
) -> remqtt_status {
    let set = |config: &mut remqtt_config| {
        // SAFETY: the header's rule for texts.
        config.options.client_id = unsafe { remqtt_str { ptr: id, len: length }.read("id") }?;
        Ok(())
    };
    // SAFETY: the header's rule for `config`.
    unsafe { change(config, set) }
}

/// Sets user name and password. The password may hold any bytes. A `ptr` of NULL means that there is none; an empty
/// one is sent as such.
#[no_mangle]
pub unsafe extern "C" fn remqtt_config_set_credentials(
    config: *mut remqtt_config,
    user: remqtt_str,
    password: remqtt_bytes,
) -> remqtt_status {
    let set = |config: &mut remqtt_config| {
        // SAFETY: the header's rule for texts and bytes.
        let given = unsafe { (user.read_optional("user")?, password.read_optional("password")?) };
        (config.options.username, config.options.password) = given;
        Ok(())
    };
    // SAFETY: the header's rule for `config`.
    unsafe { change(config, set) }
}

/// Sets `clean_start` (0 or 1) and `session_expiry` (seconds; 0 = ends with the connection, 4294967295 = never).
#[no_mangle]
pub unsafe extern "C" fn remqtt_config_set_session(
    config: *mut remqtt_config,
    clean_start: u8,
    expiry_s: u32,
) -> remqtt_status {
    let set = |config: &mut remqtt_config| {
        config.options.clean_start = flag(clean_start, "clean_start")?;
        config.options.session_expiry = expiry_s;
        Ok(())
    };
    // SAFETY: the header's rule for `config`.
    unsafe { change(config, set) }
}

/// Sets the smallest and the largest delay between attempts, in milliseconds. The first attempt after a stable
/// connection is lost is always made at once.
/// REMQTT_E_INVALID_OPTION: out of range.
#[no_mangle]
pub unsafe extern "C" fn remqtt_config_set_reconnect(
    config: *mut remqtt_config,
    min_ms: u32,
    max_ms: u32,
) -> remqtt_status {
    let set = |config: &mut remqtt_config| {
        config.options.set("reconnect_min_delay", &min_ms.to_string())?;
        config.options.set("reconnect_max_delay", &max_ms.to_string())
    };
    // SAFETY: the header's rule for `config`.
    unsafe { change(config, set) }
}

/// Sets the last will: topic, payload, QoS (0 to 2), retain flag (0 or 1) and MQTT 5 properties (NULL = none), the
/// Will Delay Interval (0x18, seconds) among them. All are copied.
/// REMQTT_E_INVALID_QOS, REMQTT_E_INVALID_ARGUMENT here; what is wrong with the topic is told by remqtt_client_new.
#[no_mangle]
pub unsafe extern "C" fn remqtt_config_set_will(
    config: *mut remqtt_config,
    topic: remqtt_str,
    payload: remqtt_bytes,
    qos_level: u8,
    retain: u8,
    props: *const remqtt_props,
) -> remqtt_status {
    let set = |config: &mut remqtt_config| {
        // SAFETY: the header's rules for texts, bytes and property lists.
        let (topic, payload, properties) =
            unsafe { (topic.read("topic")?, payload.read("payload")?, props::copy(props)) };
        let (qos, retain) = (qos(qos_level)?, flag(retain, "retain")?);
        config.options.will = Some(Will { topic, payload, qos, retain, properties });
        Ok(())
    };
    // SAFETY: the header's rule for `config`.
    unsafe { change(config, set) }
}

/// Sets MQTT 5 CONNECT properties beyond those that have an option; those given here win. NULL removes them.
#[no_mangle]
pub unsafe extern "C" fn remqtt_config_set_connect_props(
    config: *mut remqtt_config,
    props: *const remqtt_props,
) -> remqtt_status {
    let set = |config: &mut remqtt_config| {
        // SAFETY: the header's rule for property lists.
        config.options.connect_properties = unsafe { props::copy(props) };
        Ok(())
    };
    // SAFETY: the header's rule for `config`.
    unsafe { change(config, set) }
}

#[cfg(test)]
mod tests {
    use remqtt_core::proto::OptionRow;
    use remqtt_core::Options;

    const DISPATCH: &str =
        "///   dispatch: one of thread poll; default thread\n///     Where callbacks run: on threads \
        of the library, or in remqtt_client_dispatch.\n";

    /// A row of the table as the documentation of `remqtt_config_set` shows it.
    fn row(row: &OptionRow) -> String {
        let range = row.range.map_or(String::new(), |(low, high)| format!(", {low} to {high}"));
        let default = Options::default().show(row.key).unwrap();
        let default = if default.is_empty() { "empty".into() } else { default };
        let mut text = format!("///   {}: {}{range}; default {default}\n///    ", row.key, row.kind);
        let mut width = 8;
        for word in row.doc.split_whitespace() {
            if width + 1 + word.len() > 105 {
                text.push_str("\n///    ");
                width = 8;
            }
            width += 1 + word.len();
            text.push(' ');
            text.push_str(word);
        }
        text + "\n"
    }

    #[test]
    fn the_documentation_of_the_setter_lists_every_option() {
        let expected: String = Options::TABLE.iter().map(row).chain([DISPATCH.into()]).collect();
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/src/config.rs");
        let source = std::fs::read_to_string(path).unwrap();
        let (before, rest) = source.split_once("///\n///   ").unwrap();
        let after = rest.split_once("\n#[no_mangle]").unwrap().1;
        let wanted = format!("{before}///\n{expected}#[no_mangle]{after}");
        if std::env::var_os("REMQTT_WRITE").is_some() {
            std::fs::write(path, &wanted).unwrap();
        }
        assert!(std::fs::read_to_string(path).unwrap() == wanted, "REMQTT_WRITE=1 rewrites the table");
    }
}
