//! Peers that take their time: every layer's handshake ends at the connect timeout.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)] // a failing test may panic anywhere

mod common;

use std::io::{Read, Write};
use std::net::TcpListener;
use std::time::Duration;

use common::*;
use remqtt::{ErrorCode, Options, Secret};

/// Lets a client connect to a peer that sends this, then a byte every now and then, and expects the attempt to end at
/// its timeout, and the connection with it.
fn crawl(url: impl Fn(u16) -> String, proxy: Option<&str>, beginning: &[u8], drip: u8) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    let mut options = Options {
        connect_timeout: Duration::from_millis(300),
        reconnect: false,
        ..road::options(&url(port))
    };
    if let Some(scheme) = proxy {
        options.proxy = Secret(format!("{scheme}://127.0.0.1:{port}").into());
    }
    let (_client, events) = start(options);
    let (mut stream, _) = listener.accept().unwrap();
    let mut heard = [0; 4_096];
    stream.set_read_timeout(Some(Duration::from_millis(10))).unwrap();
    stream.write_all(beginning).unwrap();
    // Until the client has left.
    loop {
        match stream.read(&mut heard) {
            Ok(0) => break,
            Err(error) if error.kind() == std::io::ErrorKind::ConnectionReset => break,
            _ if stream.write_all(&[drip]).is_err() => break,
            _ => {}
        }
    }
    let error = events.disconnected().error.unwrap();
    assert_eq!(error.code, ErrorCode::ConnectTimeout, "{error}");
}

#[test]
fn a_server_that_crawls_through_the_handshake_of_tls_is_left_at_the_timeout() {
    // The beginning of a long handshake record.
    crawl(|port| format!("mqtts://127.0.0.1:{port}"), None, &[22, 3, 3, 0x3F, 0xFF, 2, 0, 0x3F, 0xF0], 0);
}

#[test]
fn a_server_that_crawls_through_the_handshake_of_websocket_is_left_at_the_timeout() {
    crawl(|port| format!("ws://127.0.0.1:{port}"), None, b"HTTP/1.1 101 Switching Protocols\r\nX: ", b'a');
}

#[test]
fn a_server_that_crawls_through_its_connack_is_left_at_the_timeout() {
    crawl(|port| format!("mqtt://127.0.0.1:{port}"), None, &[0x20, 0xFF, 0x7F, 0], 0);
}

#[test]
fn proxies_that_crawl_are_left_at_the_timeout() {
    let url = |_| "mqtt://broker.example".to_owned();
    crawl(url, Some("http"), b"HTTP/1.1 200 OK\r\nX: ", b'a');
    // The name that it is bound to has 255 bytes.
    crawl(url, Some("socks5h"), &[5, 0, 5, 0, 0, 3, 255], 0);
}

#[test]
fn a_server_that_sends_garbage_in_place_of_tls_is_left_and_tried_again() {
    for garbage in [&b"HTTP/1.1 400 Bad Request\r\n\r\n"[..], &[0xFF; 100], &[22, 3, 3, 0, 4, 2, 0, 0, 0]] {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let (_client, events) = start(road::options(&format!("mqtts://127.0.0.1:{port}")));
        let (mut stream, _) = listener.accept().unwrap();
        assert!(stream.read(&mut [0; 1_024]).unwrap() > 0);
        stream.write_all(garbage).unwrap();
        let failed = events.disconnected();
        let error = failed.error.unwrap();
        assert_eq!(error.code, ErrorCode::HandshakeFailed, "{error}");
        assert!(failed.retry_in.is_some());
    }
}

#[test]
fn a_server_that_sends_tls_without_end_is_refused_with_bounded_memory() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    let (_client, events) = start(road::options(&format!("mqtts://127.0.0.1:{port}")));
    let (mut stream, _) = listener.accept().unwrap();
    // Handshake messages of 16 MiB, in full records.
    let mut record = vec![22, 3, 3, 0x40, 0];
    record.extend_from_slice(&[2, 0xFF, 0xFF, 0xFF]);
    record.resize(5 + 0x4000, 0);
    let mut sent = 0;
    while stream.write_all(&record).is_ok() {
        sent += record.len();
        assert!(sent < 64 << 20, "nobody ended it");
        record[5..9].fill(0);
    }
    assert_eq!(events.disconnected().error.unwrap().code, ErrorCode::HandshakeFailed);
}
