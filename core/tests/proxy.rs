//! HTTP CONNECT through tinyproxy and SOCKS5 through microsocks.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)] // a failing test may panic anywhere

mod common;

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};

use common::broker::{free_port, Broker, Folder, Server};
use common::certificates::{Authority, Valid};
use common::relay::Relay;
use common::*;
use remqtt::{Error, ErrorCode, Options, Secret};

/// A tinyproxy that wants these lines, on a free port.
fn tinyproxy(folder: &Folder, lines: &str) -> (Server, u16) {
    let port = free_port();
    let config = format!("Port {port}\nListen 127.0.0.1\nTimeout 600\nAllow 127.0.0.1\n{lines}\n");
    folder.write("tinyproxy.conf", config);
    (Server::on(port, &folder.0, &["tinyproxy", "-d", "-c", "tinyproxy.conf"]), port)
}

fn microsocks(folder: &Folder, more: &[&str]) -> (Server, u16) {
    let port = free_port();
    let text = port.to_string();
    let arguments = [&["microsocks", "-i", "127.0.0.1", "-p", &text][..], more].concat();
    (Server::on(port, &folder.0, &arguments), port)
}

fn options(port: u16, proxy: &str) -> Options {
    let proxy = Secret(proxy.to_owned().into());
    Options { proxy, ..road::options(&format!("mqtt://localhost:{port}")) }
}

/// Everything that a road must do, through the proxy at this port.
fn travel(proxy: impl Fn(u16) -> String, port: u16) {
    let mut broker = Broker::plain();
    road::exchange(Options { client_id: "first".into(), ..options(broker.port, &proxy(port)) });
    let relay = Relay::to_port(port);
    road::survive(options(broker.port, &proxy(relay.port)), 5, || relay.cut());
    road::survive_restarts(
        Options { client_id: "third".into(), ..options(broker.port, &proxy(port)) },
        &mut broker,
    );
}

#[test]
fn messages_survive_resets_and_restarts_through_an_http_proxy() {
    let folder = Folder::new();
    let (_proxy, port) = tinyproxy(&folder, "");
    travel(|port| format!("http://127.0.0.1:{port}"), port);
}

#[test]
fn messages_survive_resets_and_restarts_through_socks() {
    let folder = Folder::new();
    let (_proxy, port) = microsocks(&folder, &[]);
    travel(|port| format!("socks5h://127.0.0.1:{port}"), port);
    travel(|port| format!("socks5://127.0.0.1:{port}"), port);
}

#[test]
fn tls_goes_through_proxies_and_checks_the_server_and_not_the_proxy() {
    let authority = Authority::new("Test CA");
    let identity = authority.issue("broker", &["localhost"], Valid::Now);
    let folder = Folder::new();
    let certificate = folder.write("server.pem", &identity.certificate);
    let key = folder.write("server.key", &identity.key);
    let broker = Broker::on_port(folder, &format!("certfile {certificate}\nkeyfile {key}"));
    let (_http, http) = tinyproxy(&broker.folder, "");
    let (_socks, socks) = microsocks(&broker.folder, &[]);
    for proxy in [format!("http://127.0.0.1:{http}"), format!("socks5h://127.0.0.1:{socks}")] {
        let servers = vec![format!("mqtts://localhost:{}", broker.port)];
        let tls_ca = Some(authority.pem().into());
        road::exchange(Options { servers, tls_ca, ..options(broker.port, &proxy) });
    }
}

/// Connects with the right credentials, and returns the errors of a wrong password and of none.
fn with_credentials(scheme: &str, [user, password]: [&str; 2], port: u16) -> [Error; 2] {
    let broker = Broker::plain();
    let (_client, events) =
        start(options(broker.port, &format!("{scheme}://{user}:{password}@127.0.0.1:{port}")));
    events.connected();
    [format!("{user}:hush@"), String::new()].map(|credentials| {
        let (_client, events) =
            start(options(broker.port, &format!("{scheme}://{credentials}127.0.0.1:{port}")));
        let failed = events.disconnected();
        assert!(failed.retry_in.unwrap() >= Options::default().refused_min_delay);
        let error = failed.error.unwrap();
        assert_eq!(error.code, ErrorCode::ProxyRefused, "{error}");
        assert!(!error.detail.contains("hush"), "{error}");
        error
    })
}

#[test]
fn an_http_proxy_gets_its_credentials_and_its_refusal_is_told() {
    let folder = Folder::new();
    let (_proxy, port) = tinyproxy(&folder, "BasicAuth user pass");
    for error in with_credentials("http", ["user", "pass"], port) {
        assert!(
            error.detail.contains("40") && error.detail.contains(&format!("127.0.0.1:{port}")),
            "{error}"
        );
    }
}

#[test]
fn a_socks_proxy_gets_its_credentials_and_its_refusal_is_told() {
    let folder = Folder::new();
    let (_proxy, port) = microsocks(&folder, &["-u", "us@er", "-P", "p:w"]);
    let [wrong, none] = with_credentials("socks5h", ["us%40er", "p%3Aw"], port);
    assert!(wrong.detail.contains("does not accept"), "{wrong}");
    assert!(none.detail.contains("wants user name and password"), "{none}");
}

#[test]
fn a_server_that_the_proxy_cannot_reach_is_told_apart_from_a_proxy_that_is_not_there() {
    let folder = Folder::new();
    let (_http, http) = tinyproxy(&folder, "");
    let (_socks, socks) = microsocks(&folder, &[]);
    let absent = free_port();
    let error = |proxy: String| start(options(absent, &proxy)).1.disconnected().error.unwrap();
    for proxy in [format!("http://127.0.0.1:{http}"), format!("socks5h://127.0.0.1:{socks}")] {
        let error = error(proxy);
        assert!(error.detail.contains(&format!("localhost:{absent}")), "{error}");
        assert_eq!(error.code, ErrorCode::ConnectFailed, "{error}");
    }
    let error = error(format!("http://127.0.0.1:{}", free_port()));
    assert_eq!(error.code, ErrorCode::ConnectFailed);
    assert!(error.detail.starts_with("proxy 127.0.0.1:"), "{error}");
}

/// A proxy that answers the first bytes with this, and goes on with `more` until the client has enough.
fn answering(scheme: &str, answer: &'static [u8], more: &'static [u8]) -> Error {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let proxy = format!("{scheme}://{}", listener.local_addr().unwrap());
    let (_client, events) = start(options(1883, &proxy));
    let (mut stream, _) = listener.accept().unwrap();
    assert!(stream.read(&mut [0; 1_024]).unwrap() > 0);
    stream.write_all(answer).unwrap();
    pour(&mut stream, more);
    events.disconnected().error.unwrap()
}

fn pour(stream: &mut TcpStream, more: &[u8]) {
    let mut sent = 0;
    while !more.is_empty() && stream.write_all(more).is_ok() {
        sent += more.len();
        assert!(sent < 64 << 20, "nobody ended it");
    }
}

#[test]
fn proxies_that_talk_without_end_or_nonsense_are_left() {
    for (scheme, answer, more, why) in [
        ("http", &b"HTTP/1.1 200 OK\r\nX: "[..], &[b'a'; 4_096][..], "does not end"),
        ("http", b"HTTP/1.1 200 OK\r\n\r\nMQTT?", b"", "more than its answer"),
        ("http", b"SSH-2.0-OpenSSH_9.2\r\n", b"", "no HTTP"),
        ("socks5", b"\x05\x00\x05\x00\x00\x09\x00", b"", "no SOCKS5"),
        ("socks5h", b"HTTP/1.1 400 Bad Request\r\n", b"", "does not speak SOCKS5"),
    ] {
        let error = answering(scheme, answer, more);
        assert_eq!(error.code, ErrorCode::HandshakeFailed, "{error}");
        assert!(error.detail.contains(why), "{error}");
    }
}

#[test]
fn an_invalid_proxy_is_refused_at_once_and_not_shown() {
    for proxy in ["https://user:hush@host", "hush", "socks5://hush@"] {
        let error = remqtt::Client::new(options(1, proxy)).unwrap_err();
        assert_eq!(error.code, ErrorCode::InvalidOption);
        assert!(!error.detail.contains("hush"), "{error}");
    }
}

/// Runs itself again, in an environment with a proxy that is not there: changing one's own is not safe with threads.
#[test]
fn the_environment_is_asked_only_where_the_option_says_so() {
    const NAME: &str = "the_environment_is_asked_only_where_the_option_says_so";
    if std::env::var_os("mqtt_proxy").is_none() {
        let status = std::process::Command::new(std::env::current_exe().unwrap())
            .args(["--exact", NAME])
            .env("mqtt_proxy", format!("socks://127.0.0.1:{}", free_port()))
            .env("no_proxy", "spared.example,127.0.0.1")
            .status();
        assert!(status.unwrap().success());
        return;
    }
    let peer = Peer::new();
    let first = |url: String, proxy_from_environment| {
        let (_client, events) = start(Options { proxy_from_environment, ..road::options(&url) });
        events.disconnected().error.unwrap()
    };
    let error = first("mqtt://broker.example".into(), true);
    assert!(error.detail.starts_with("proxy 127.0.0.1:"), "{error}");
    assert_eq!(first("mqtt://no-such-host.invalid".into(), false).code, ErrorCode::ResolveFailed);
    let (_client, events) = start(Options { proxy_from_environment: true, ..peer.options() });
    peer.welcome(false);
    events.connected();
}
