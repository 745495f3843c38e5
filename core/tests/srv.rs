//! SRV records, from a scripted name server.
#![cfg(feature = "srv")]
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)] // a failing test may panic anywhere

mod common;

use std::net::UdpSocket;
use std::sync::mpsc::{channel, Receiver};

use common::broker::free_port;
use common::*;
use remqtt::{ErrorCode, Options};

/// One record: priority, weight, port. The target is always localhost.
type Record = (u16, u16, u16);

/// A name server that gives this answer to every question; the questions' names can be read from the channel.
fn name_server(records: Vec<Record>) -> (String, Receiver<String>) {
    let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
    let address = socket.local_addr().unwrap().to_string();
    let (sender, receiver) = channel();
    // Ends with the test's process.
    std::thread::spawn(move || loop {
        let mut question = [0; 1_500];
        let (length, from) = socket.recv_from(&mut question).unwrap();
        let (name, end) = read_name(&question[12..length]);
        let _ = sender.send(name);
        socket.send_to(&answer(&question[..12 + end + 4], &records), from).unwrap();
    });
    (address, receiver)
}

/// The name at the beginning, and its length there.
fn read_name(mut bytes: &[u8]) -> (String, usize) {
    let (mut name, mut length) = (String::new(), 1);
    while bytes[0] > 0 {
        let (label, rest) = bytes[1..].split_at(usize::from(bytes[0]));
        name += std::str::from_utf8(label).unwrap();
        name += ".";
        length += 1 + label.len();
        bytes = rest;
    }
    (name, length)
}

/// Header and question again, and the records.
fn answer(question: &[u8], records: &[Record]) -> Vec<u8> {
    let mut answer = question.to_vec();
    // An answer, recursion available; the name does not exist if there is no record.
    answer[2..4].copy_from_slice(&[0x81, if records.is_empty() { 0x83 } else { 0x80 }]);
    answer[4..12].copy_from_slice(&[0, 1, 0, records.len() as u8, 0, 0, 0, 0]);
    for (priority, weight, port) in records {
        answer.extend_from_slice(&[0xC0, 12, 0, 33, 0, 1, 0, 0, 0, 0, 0, 6 + 11]);
        for number in [priority, weight, port] {
            answer.extend_from_slice(&number.to_be_bytes());
        }
        answer.extend_from_slice(b"\x09localhost\0");
    }
    answer
}

fn options(url: &str, name_server: &str) -> Options {
    Options { dns_servers: name_server.into(), protocol_version: remqtt::Version::V4, ..road::options(url) }
}

#[test]
fn the_records_say_host_and_port_and_the_smallest_priority_comes_first() {
    let (first, second) = (Peer::new(), Peer::new());
    let (server, questions) = name_server(vec![(20, 5, second.port()), (10, 0, first.port())]);
    let (_client, events) = start(options("mqtt+srv://example.test", &server));
    first.welcome(false);
    events.connected();
    assert_eq!(questions.recv().unwrap(), "_mqtt._tcp.example.test.");
}

#[test]
fn a_target_that_refuses_gives_way_to_the_next_in_the_same_attempt() {
    let peer = Peer::new();
    let (server, _questions) = name_server(vec![(10, 0, free_port()), (20, 0, peer.port())]);
    let (client, events) = start(options("mqtt+srv://example.test", &server));
    let _held = peer.welcome(false); // its end would begin the next attempt
    events.connected();
    assert_eq!(client.stats().connect_attempts, 1);
}

#[test]
fn each_reconnect_asks_again() {
    let peer = Peer::new();
    let (server, questions) = name_server(vec![(10, 0, peer.port())]);
    let (_client, events) = start(options("mqtt+srv://example.test", &server));
    peer.welcome(false).reset();
    events.disconnected();
    peer.welcome(true);
    events.connected();
    assert!(questions.try_iter().count() >= 2);
}

#[test]
fn a_name_without_records_is_named_with_the_question() {
    let (server, _questions) = name_server(Vec::new());
    let (_client, events) = start(options("mqtts+srv://example.test", &server));
    let failed = events.disconnected();
    let error = failed.error.unwrap();
    assert_eq!(error.code, ErrorCode::ResolveFailed);
    assert!(error.detail.contains("_secure-mqtt._tcp.example.test."), "{error}");
    assert!(failed.retry_in.is_some());
}
