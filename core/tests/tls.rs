//! TLS, with a real mosquitto and with a rustls server that tells what it saw.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)] // a failing test may panic anywhere

mod common;

use std::process::Command;

use common::broker::{Broker, Folder};
use common::certificates::{self, Authority, Identity, Valid};
use common::relay::Relay;
use common::tls_peer::TlsPeer;
use common::*;
use rcgen::KeyPair;
use remqtt::{Client, Disconnected, Error, ErrorCode, Options, Secret, TlsVersion};
use rustls::HandshakeKind;

const HOSTS: &[&str] = &["localhost", "127.0.0.1"];

/// A mosquitto with this certificate.
fn broker(authority: &Authority, identity: &Identity, lines: &str) -> Broker {
    let folder = Folder::new();
    let ca = folder.write("ca.pem", authority.pem());
    let certificate = folder.write("server.pem", &identity.certificate);
    let key = folder.write("server.key", &identity.key);
    Broker::on_port(folder, &format!("cafile {ca}\ncertfile {certificate}\nkeyfile {key}\n{lines}"))
}

fn valid_broker(authority: &Authority) -> Broker {
    broker(authority, &authority.issue("broker", HOSTS, Valid::Now), "")
}

fn options(authority: &Authority, port: u16) -> Options {
    let tls_ca = Some(authority.pem().into());
    Options { tls_ca, ..road::options(&format!("mqtts://localhost:{port}")) }
}

/// How the first attempt ends.
fn first_failure(options: Options) -> Box<Disconnected> {
    start(options).1.disconnected()
}

fn first_error(options: Options) -> Error {
    first_failure(options).error.unwrap()
}

#[test]
fn messages_make_the_round_trip_over_both_versions_of_tls() {
    let authority = Authority::new("Test CA");
    let broker = valid_broker(&authority);
    for version in [TlsVersion::V12, TlsVersion::V13] {
        road::exchange(Options { tls_min_version: version, ..options(&authority, broker.port) });
    }
}

#[test]
fn a_reset_below_tls_loses_and_doubles_nothing() {
    let authority = Authority::new("Test CA");
    let broker = valid_broker(&authority);
    let relay = Relay::to_port(broker.port);
    road::survive(options(&authority, relay.port), 5, || relay.cut());
}

#[test]
fn a_restart_of_a_broker_with_tls_loses_and_doubles_nothing() {
    let authority = Authority::new("Test CA");
    let mut broker = valid_broker(&authority);
    road::survive_restarts(options(&authority, broker.port), &mut broker);
}

#[test]
fn a_client_certificate_survives_resets_and_restarts() {
    let authority = Authority::new("Test CA");
    let server = authority.issue("broker", HOSTS, Valid::Now);
    let mut broker = broker(&authority, &server, "require_certificate true\nuse_identity_as_username true");
    let relay = Relay::to_port(broker.port);
    let mine = authority.issue("device 7", &[], Valid::Now);
    let with = |port| Options {
        tls_cert: Some(mine.certificate.clone().into()),
        tls_key: Some(Secret(mine.key.clone().into())),
        ..options(&authority, port)
    };
    road::exchange(Options { client_id: "other".into(), ..with(broker.port) });
    road::survive(with(relay.port), 5, || relay.cut());
    road::survive_restarts(Options { client_id: "third".into(), ..with(broker.port) }, &mut broker);
}

#[test]
fn authorities_and_keys_are_read_from_files_and_folders() {
    let authority = Authority::new("Test CA");
    let server = authority.issue("broker", HOSTS, Valid::Now);
    let broker = broker(&authority, &server, "require_certificate true");
    let mine = authority.issue("device", &[], Valid::Now);
    let both = broker.folder.write("both.pem", format!("{}{}", mine.key, mine.certificate));
    std::fs::create_dir(broker.folder.0.join("folder")).unwrap();
    broker.folder.write("folder/readme", "no certificate");
    broker.folder.write("folder/ca.pem", authority.pem());
    for (key, path) in
        [("tls_ca_file", broker.folder.path("ca.pem")), ("tls_ca_path", broker.folder.path("folder"))]
    {
        let mut options = Options { tls_ca: None, ..options(&authority, broker.port) };
        options.set(key, &path).unwrap();
        options.set("tls_cert_file", &both).unwrap();
        let (_client, events) = start(options);
        events.connected();
    }
}

/// Runs `openssl`, which the tests need to write keys as people have them.
fn openssl(folder: &Folder, arguments: &str) {
    let output = Command::new("openssl").args(arguments.split(' ')).current_dir(&folder.0).output();
    let output = output.expect("openssl is not installed: these tests need it (package openssl)");
    assert!(output.status.success(), "openssl {arguments}: {}", String::from_utf8_lossy(&output.stderr));
}

#[test]
fn private_keys_are_understood_in_every_form_of_pem() {
    let authority = Authority::new("Test CA");
    let server = authority.issue("broker", HOSTS, Valid::Now);
    let broker = broker(&authority, &server, "require_certificate true");
    let folder = &broker.folder;
    openssl(folder, "genrsa -out rsa.pkcs8 2048");
    openssl(folder, "ecparam -name prime256v1 -genkey -noout -out ec.sec1");
    openssl(folder, "pkcs8 -topk8 -nocrypt -in ec.sec1 -out ec.pkcs8");
    openssl(folder, "rsa -traditional -in rsa.pkcs8 -out rsa.pkcs1");
    openssl(folder, "pkcs8 -topk8 -v2 aes-256-cbc -passout pass:hush -in rsa.pkcs8 -out rsa.aes");
    openssl(
        folder,
        "pkcs8 -topk8 -v2 aes-128-cbc -v2prf hmacWithSHA1 -passout pass:hush -in ec.sec1 -out ec.aes",
    );
    openssl(folder, "pkcs8 -topk8 -scrypt -passout pass:hush -in ec.sec1 -out ec.scrypt");
    openssl(folder, "pkcs8 -topk8 -outform DER -passout pass:hush -in ec.sec1 -out ec.der");
    let read = |name: &str| std::fs::read(folder.0.join(name)).unwrap();
    for (kind, names) in
        [("rsa", &["pkcs8", "pkcs1", "aes"][..]), ("ec", &["pkcs8", "sec1", "aes", "scrypt", "der"])]
    {
        let algorithm = if kind == "rsa" { &rcgen::PKCS_RSA_SHA256 } else { &rcgen::PKCS_ECDSA_P256_SHA256 };
        let pem = String::from_utf8(read(&format!("{kind}.pkcs8"))).unwrap();
        let key = KeyPair::from_pkcs8_pem_and_sign_algo(&pem, algorithm).unwrap();
        let mine = authority.certify("device", &[], Valid::Now, key);
        for name in names {
            let mut options = options(&authority, broker.port);
            options.tls_cert = Some(mine.certificate.clone().into());
            options.set("tls_key_file", &folder.path(&format!("{kind}.{name}"))).unwrap();
            options.set("tls_key_password", "hush").unwrap();
            let (_client, events) = start(options);
            events.connected();
        }
    }
}

#[test]
fn keys_that_cannot_be_used_are_refused_with_the_way_out() {
    let folder = Folder::new();
    openssl(&folder, "genrsa -traditional -aes128 -passout pass:hush -out old.pem 2048");
    openssl(&folder, "ecparam -name prime256v1 -genkey -noout -out ec.pem");
    openssl(&folder, "pkcs8 -topk8 -v2 aes-256-cbc -passout pass:hush -in ec.pem -out new.pem");
    folder.write("none.pem", "-----BEGIN NOTHING-----\n-----END NOTHING-----\n");
    let authority = Authority::new("Test CA");
    let mine = authority.issue("device", &[], Valid::Now);
    let peer = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    for (file, password, why) in [
        ("old.pem", "hush", "openssl pkcs8 -topk8"),
        ("new.pem", "", "tls_key_password is empty"),
        ("new.pem", "sesame", "does not open the key"),
        ("none.pem", "", "no private key"),
        ("missing.pem", "", "No such file"),
        ("ec.pem", "", "tls_key_file"), // not the key of this certificate
    ] {
        let mut options = options(&authority, peer.local_addr().unwrap().port());
        options.tls_cert = Some(mine.certificate.clone().into());
        options.set("tls_key_file", &folder.path(file)).unwrap();
        options.set("tls_key_password", password).unwrap();
        let failure = first_failure(options);
        let error = failure.error.unwrap();
        assert_eq!((error.code, failure.retry_in), (ErrorCode::InvalidOption, None));
        assert!(error.detail.contains(why), "{file}: {error}");
        assert!(!error.detail.contains("sesame") && !error.detail.contains("hush"), "{error}");
    }
}

/// One row of the table of bad certificates.
struct Row {
    case: &'static str,
    options: Options,
    words: Vec<&'static str>,
}

/// Prints the table that `make test` shows.
#[test]
fn bad_certificates_are_named_with_reason_and_host_and_are_tried_again_slowly() {
    let authority = Authority::new("Test CA");
    let stranger = Authority::new("Unknown CA");
    let own = certificates::self_signed("lonely broker", HOSTS);
    let mine = stranger.issue("device 7", &[], Valid::Now);
    let issue = |by: &Authority, name: &str, hosts: &[&str], valid| {
        broker(&authority, &by.issue(name, hosts, valid), "")
    };
    let brokers = [
        issue(&authority, "other broker", &["other.example", "10.1.2.3"], Valid::Now),
        issue(&authority, "old broker", HOSTS, Valid::Before),
        issue(&authority, "new broker", HOSTS, Valid::Later),
        issue(&stranger, "strange broker", HOSTS, Valid::Now),
        broker(&authority, &own, ""),
        broker(&authority, &authority.issue("broker", HOSTS, Valid::Now), "require_certificate true"),
    ];
    let row = |case, index: usize, words: &[&'static str]| Row {
        case,
        options: options(&authority, brokers[index].port),
        words: words.to_vec(),
    };
    let mut rows = vec![
        row("wrong host", 0, &["CN=other broker", "localhost", "not for this host but for", "other.example"]),
        row("expired", 1, &["CN=old broker", "localhost", "it expired on 2020-01-01"]),
        row("not yet valid", 2, &["CN=new broker", "localhost", "not valid before 2098-01-01"]),
        row("unknown issuer", 3, &["CN=strange broker", "localhost", "CN=Unknown CA", "not trusted"]),
        row("self-signed", 4, &["CN=lonely broker", "localhost", "not trusted"]),
        row(
            "no certificate of ours",
            5,
            &["localhost", "the server wants a certificate of ours", "tls_cert_file"],
        ),
        row("ours of an unknown issuer", 5, &["localhost", "the server refused our certificate"]),
    ];
    rows[6].options.tls_cert = Some(mine.certificate.into());
    rows[6].options.tls_key = Some(Secret(mine.key.into()));
    println!("\n| case | error | next attempt |\n|---|---|---|");
    for Row { case, options, words } in rows {
        let failure = first_failure(options);
        let error = failure.error.unwrap();
        let next = failure.retry_in.unwrap();
        println!("| {case} | {error} | in {:.1} s |", next.as_secs_f64());
        assert_eq!(error.code, ErrorCode::CertificateRefused, "{case}: {error}");
        assert!(next >= Options::default().refused_min_delay, "{case}: {next:?}");
        for word in words {
            assert!(error.detail.contains(word), "{case}: {word:?} is not in: {error}");
        }
    }
}

#[test]
fn a_servers_own_certificate_can_be_trusted_but_not_beyond_its_names_and_time() {
    let authority = Authority::new("Test CA");
    let own = certificates::self_signed("lonely broker", &["localhost"]);
    let broker = broker(&authority, &own, "");
    let trusting = Options { tls_ca: Some(own.certificate.into()), ..options(&authority, broker.port) };
    let (_client, events) = start(trusting.clone());
    events.connected();
    let servers = vec![format!("mqtts://127.0.0.1:{}", broker.port)];
    let error = first_error(Options { servers, ..trusting });
    assert!(error.detail.contains("not for this host but for localhost"), "{error}");
}

#[test]
fn the_two_insecure_switches_switch_off_what_they_say_and_no_more() {
    let authority = Authority::new("Test CA");
    let wrong = broker(&authority, &authority.issue("b", &["other.example"], Valid::Now), "");
    let expired = broker(&authority, &authority.issue("b", &["other.example"], Valid::Before), "");
    let relaxed = |port| Options { tls_insecure_skip_hostname: true, ..options(&authority, port) };
    let (_client, events) = start(relaxed(wrong.port));
    events.connected();
    assert_eq!(first_error(relaxed(expired.port)).code, ErrorCode::CertificateRefused);
    let strange = Options { tls_ca: Some(Authority::new("X").pem().into()), ..relaxed(wrong.port) };
    assert_eq!(first_error(strange.clone()).code, ErrorCode::CertificateRefused);
    let blind = Options { tls_insecure_skip_verification: true, ..strange };
    let (_client, events) = start(blind);
    events.connected();
}

#[test]
fn the_expected_name_can_be_set_apart_from_the_host() {
    let authority = Authority::new("Test CA");
    let broker = broker(&authority, &authority.issue("b", &["broker.example"], Valid::Now), "");
    let (_client, events) =
        start(Options { tls_server_name: "broker.example".into(), ..options(&authority, broker.port) });
    events.connected();
}

#[test]
fn the_authorities_of_the_system_do_not_vouch_for_a_private_server() {
    let authority = Authority::new("Test CA");
    let broker = valid_broker(&authority);
    let error = first_error(Options { tls_ca: None, ..options(&authority, broker.port) });
    // A system without any authority is told as such.
    let expected = [ErrorCode::CertificateRefused, ErrorCode::InvalidOption];
    assert!(expected.contains(&error.code) && error.detail.contains("tls_ca_file"), "{error}");
}

#[test]
fn ciphers_and_versions_that_the_server_lacks_are_a_failed_handshake() {
    let authority = Authority::new("Test CA");
    let broker = valid_broker(&authority);
    let old = TlsPeer::new(&authority.issue("peer", HOSTS, Valid::Now), &[&rustls::version::TLS12]);
    let (_client, events) =
        start(Options { tls_min_version: TlsVersion::V13, ..options(&authority, old.port()) });
    assert!(old.accept().is_err());
    let error = events.disconnected().error.unwrap();
    assert_eq!(error.code, ErrorCode::HandshakeFailed, "{error}");
    let chosen =
        Options { tls_ciphers: "ECDHE-ECDSA-AES128-GCM-SHA256".into(), ..options(&authority, broker.port) };
    let (_client, events) = start(chosen);
    events.connected();
    let unknown = Options { tls_ciphers: "HIGH".into(), ..options(&authority, broker.port) };
    assert_eq!(Client::new(unknown).unwrap_err().code, ErrorCode::InvalidOption);
}

#[test]
fn a_port_without_tls_is_left_and_tried_again_with_backoff() {
    let broker = Broker::plain();
    let failure = first_failure(options(&Authority::new("X"), broker.port));
    let error = failure.error.unwrap();
    assert_eq!(error.code, ErrorCode::HandshakeFailed, "{error}");
    assert!(failure.retry_in.is_some());
}

/// The server's side of a connection that comes back: what it saw of both handshakes, and their bytes.
#[test]
fn a_reconnect_resumes_the_session_of_tls() {
    let authority = Authority::new("Test CA");
    let identity = authority.issue("peer", HOSTS, Valid::Now);
    for version in [&rustls::version::TLS12, &rustls::version::TLS13] {
        let peer = TlsPeer::new(&identity, &[version]);
        let (client, events) =
            start(Options { protocol_version: remqtt::Version::V4, ..options(&authority, peer.port()) });
        let mut bytes = Vec::new();
        for kind in [HandshakeKind::Full, HandshakeKind::Resumed, HandshakeKind::Resumed] {
            let mut conversation = peer.accept().unwrap();
            bytes.push(conversation.stream.sock.count);
            assert_eq!(conversation.stream.conn.handshake_kind(), Some(kind));
            conversation.welcome(true);
            events.connected();
            // The tickets of TLS 1.3 come with the first data; this says that the client has read them.
            let ticket = client.publish(publish("t", remqtt::QoS::AtLeastOnce, b"x")).unwrap();
            let packet = conversation.packet();
            conversation.send(&[0x40, 2, packet[5], packet[6]]);
            client.wait(ticket, PATIENCE).unwrap();
            conversation.stream.sock.reset();
            drop(conversation);
            events.disconnected();
        }
        println!(
            "\n{:?}: full handshake {} bytes, resumed {} and {}",
            version.version, bytes[0], bytes[1], bytes[2]
        );
        assert!(bytes[1] < bytes[0] && bytes[2] < bytes[0]);
        client.close();
    }
}

#[test]
fn changed_options_make_a_new_configuration_and_unchanged_ones_do_not() {
    let authority = Authority::new("Test CA");
    let peer = TlsPeer::new(&authority.issue("peer", HOSTS, Valid::Now), rustls::ALL_VERSIONS);
    let options = Options { tls_alpn: "mqtt, x".into(), ..options(&authority, peer.port()) };
    let (client, events) = start(Options { protocol_version: remqtt::Version::V4, ..options.clone() });
    let round = |expected| {
        let mut conversation = peer.accept().unwrap();
        assert_eq!(conversation.stream.conn.handshake_kind(), Some(expected));
        conversation.welcome(true);
        events.connected();
        client.stop(remqtt::Reason::default()).unwrap();
        assert_eq!(conversation.packet(), [0xE0, 0]);
        // close_notify, and then the end of TCP: both layers close in order.
        conversation.expect_end();
        events.disconnected();
    };
    round(HandshakeKind::Full);
    client
        .reconfigure(Options { keepalive: 10, protocol_version: remqtt::Version::V4, ..options.clone() })
        .unwrap();
    client.start().unwrap();
    round(HandshakeKind::Resumed);
    client
        .reconfigure(Options { tls_alpn: "".into(), protocol_version: remqtt::Version::V4, ..options })
        .unwrap();
    client.start().unwrap();
    round(HandshakeKind::Full);
}
