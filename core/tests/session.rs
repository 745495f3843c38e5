//! The client against a scripted server, byte by byte.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)] // a failing test may panic anywhere

mod common;

use std::net::TcpListener;
use std::time::Duration;

use common::*;
use remqtt::{
    Client, ErrorCode, Event, Mark, Options, Outcome, Properties, QoS, Reason, State, Subscription,
};

#[test]
fn connecting_sends_the_connect_of_the_options() {
    let peer = Peer::new();
    let (client, events) = start(Options { username: Some("u".into()), ..peer.options() });
    let mut server = peer.accept();
    server.expect(b"\x10\x10\0\x04MQTT\x04\x80\0\x3C\0\x01c\0\x01u");
    server.send(&[0x20, 2, 0, 0]);
    assert!(!events.connected().session_present);
    client.wait_state(State::Connected, PATIENCE).unwrap();
}

#[test]
fn publishes_of_every_qos_complete_as_the_server_answers() {
    let peer = Peer::new();
    let (client, events) = start(peer.options());
    let mut server = peer.welcome(false);
    events.connected();
    let qos0 = client.publish(publish("t", QoS::AtMostOnce, b"0")).unwrap();
    server.expect(&publish_bytes(0, "t", None, b"0"));
    client.wait(qos0, PATIENCE).unwrap();
    let qos1 = client.publish(publish("t", QoS::AtLeastOnce, b"1")).unwrap();
    server.expect(&publish_bytes(2, "t", Some(2), b"1"));
    assert!(client.is_pending(qos1));
    server.send(&[0x40, 2, 0, 2]);
    client.wait(qos1, PATIENCE).unwrap();
    let qos2 = client.publish(publish("t", QoS::ExactlyOnce, b"2")).unwrap();
    server.expect(&publish_bytes(4, "t", Some(3), b"2"));
    server.send(&[0x50, 2, 0, 3]);
    server.expect(&[0x62, 2, 0, 3]);
    assert!(client.is_pending(qos2));
    server.send(&[0x70, 2, 0, 3]);
    client.flush(PATIENCE).unwrap();
    assert!(!client.is_pending(qos2));
    assert_eq!(client.stats().published, 3);
}

#[test]
fn messages_of_every_qos_reach_the_handler_and_are_acknowledged() {
    let peer = Peer::new();
    let (client, events) = start(peer.options());
    let mut server = peer.welcome(false);
    let subscribe = vec![Subscription::new("a/#", QoS::ExactlyOnce)];
    let ticket = client.subscribe(subscribe, Properties::new()).unwrap();
    server.expect(b"\x82\x08\0\x01\0\x03a/#\x02");
    server.send(&[0x90, 3, 0, 1, 2]);
    assert_eq!(events.completed(ticket), Outcome::Subscribed(vec![2], Properties::new()));
    server.send(&publish_bytes(0, "a/0", None, b"zero"));
    server.send(&publish_bytes(2, "a/1", Some(7), b"one"));
    server.send(&publish_bytes(4, "a/2", Some(8), b"two"));
    for payload in [&b"zero"[..], b"one", b"two"] {
        assert_eq!(events.message().publish.payload, payload);
    }
    server.expect(&[0x40, 2, 0, 7]);
    server.expect(&[0x50, 2, 0, 8]);
    server.send(&[0x62, 2, 0, 8]);
    server.expect(&[0x70, 2, 0, 8]);
    let ticket = client.unsubscribe(vec!["a/#".into()], Properties::new()).unwrap();
    server.expect(b"\xA2\x07\0\x02\0\x03a/#");
    server.send(&[0xB0, 2, 0, 2]);
    client.wait(ticket, PATIENCE).unwrap();
}

#[test]
fn after_a_reset_the_client_comes_back_at_once_and_resends_with_dup() {
    let peer = Peer::new();
    let (client, events) = start(Options { stable_after: Duration::from_millis(200), ..peer.options() });
    let mut server = peer.welcome(false);
    events.connected();
    let ticket = client.publish(publish("t", QoS::AtLeastOnce, b"x")).unwrap();
    server.expect(&publish_bytes(2, "t", Some(1), b"x"));
    server.reset();
    let lost = events.disconnected();
    let error = lost.error.unwrap();
    assert_eq!((error.code, lost.was_connected), (ErrorCode::ConnectionLost, true));
    assert!(error.detail.contains("reset"), "{error}");
    let mut server = peer.welcome(true);
    server.expect(&publish_bytes(2 | 8, "t", Some(1), b"x"));
    server.send(&[0x40, 2, 0, 1]);
    client.wait(ticket, PATIENCE).unwrap();
    let outage = events.find(|event| match event {
        Event::Recovered(outage) => Some(outage),
        _ => None,
    });
    assert_eq!((outage.attempts, outage.resent, outage.session_kept), (1, 1, true));
    assert!(outage.at(Mark::Connack).is_some());
    assert_eq!(client.timeline(), [*outage]);
}

#[test]
fn what_is_published_offline_is_sent_when_the_connection_comes() {
    let peer = Peer::new();
    let client = Client::new(peer.options()).unwrap();
    for _ in 0..3 {
        client.publish(publish("t", QoS::AtLeastOnce, b"x")).unwrap();
    }
    assert_eq!(client.flush(Duration::from_millis(1)).unwrap_err().code, ErrorCode::Timeout);
    client.start().unwrap();
    let mut server = peer.welcome(false);
    for identifier in 1..=3 {
        server.expect(&publish_bytes(2, "t", Some(identifier), b"x"));
        server.send(&[0x40, 2, 0, identifier as u8]);
    }
    client.flush(PATIENCE).unwrap();
}

#[test]
fn bytes_that_are_no_mqtt_are_blamed_on_the_server() {
    let peer = Peer::new();
    let (_client, events) = start(peer.options());
    let mut server = peer.accept();
    server.packet();
    server.send(b"HTTP/1.1 400 Bad Request\r\n\r\n");
    let error = events.disconnected().error.unwrap();
    assert_eq!(error.code, ErrorCode::ProtocolError);
    server.expect_end();
}

#[test]
fn a_host_that_does_not_resolve_is_named() {
    let options = Options { servers: vec!["mqtt://no-such-host.invalid".into()], ..Options::default() };
    let (_client, events) = start(options);
    let attempt = events.disconnected();
    let error = attempt.error.unwrap();
    assert_eq!(error.code, ErrorCode::ResolveFailed);
    assert!(error.detail.contains("no-such-host.invalid"), "{error}");
    assert!(!attempt.was_connected && attempt.retry_in.is_some());
}

#[test]
fn a_refused_port_is_named_with_its_host() {
    let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let options = Options { servers: vec![format!("mqtt://localhost:{port}")], ..Options::default() };
    let (_client, events) = start(options);
    let error = events.disconnected().error.unwrap();
    assert_eq!(error.code, ErrorCode::ConnectFailed);
    assert!(error.detail.starts_with(&format!("localhost:{port}: Connection refused")), "{error}");
}

#[test]
fn a_server_that_accepts_and_stays_silent_runs_into_the_connect_timeout() {
    let peer = Peer::new();
    let (_client, events) = start(Options { connect_timeout: Duration::from_millis(50), ..peer.options() });
    let mut server = peer.accept();
    assert_eq!(events.disconnected().error.unwrap().code, ErrorCode::ConnectTimeout);
    server.packet();
    server.expect_end();
}

#[test]
fn stopping_sends_disconnect_and_keeps_what_is_queued() {
    let peer = Peer::new();
    let (client, events) = start(peer.options());
    let mut server = peer.welcome(false);
    events.connected();
    client.stop(Reason::default()).unwrap();
    server.expect(&[0xE0, 0]);
    server.expect_end();
    assert_eq!(events.disconnected().error, None);
    let ticket = client.publish(publish("t", QoS::AtLeastOnce, b"x")).unwrap();
    client.start().unwrap();
    let mut server = peer.welcome(true);
    server.expect(&publish_bytes(2, "t", Some(1), b"x"));
    server.send(&[0x40, 2, 0, 1]);
    client.wait(ticket, PATIENCE).unwrap();
}

#[test]
fn closing_completes_everything_and_refuses_what_comes_later() {
    let peer = Peer::new();
    let (client, events) = start(peer.options());
    let mut server = peer.welcome(false);
    events.connected();
    let ticket = client.publish(publish("t", QoS::AtLeastOnce, b"x")).unwrap();
    server.packet();
    client.close();
    server.expect(&[0xE0, 0]);
    server.expect_end();
    assert_eq!(failure(events.completed(ticket)).code, ErrorCode::Closed);
    events.closed();
    assert_eq!(client.wait(ticket, PATIENCE).unwrap_err().code, ErrorCode::Closed);
    assert_eq!(client.publish(publish("t", QoS::AtMostOnce, b"x")).unwrap_err().code, ErrorCode::Closed);
    assert_eq!(client.start().unwrap_err().code, ErrorCode::Closed);
    assert_eq!(client.wait_state(State::Connected, PATIENCE).unwrap_err().code, ErrorCode::Closed);
    client.wait_state(State::Closed, PATIENCE).unwrap();
}

#[test]
fn dropping_the_last_handle_disconnects() {
    let peer = Peer::new();
    let (client, events) = start(peer.options());
    let mut server = peer.welcome(false);
    events.connected();
    drop(client.clone());
    drop(client);
    server.expect(&[0xE0, 0]);
    server.expect_end();
    events.over();
}

#[test]
fn a_full_backlog_refuses_by_messages_and_by_bytes() {
    let peer = Peer::new();
    let options = Options { backlog_messages: 2, backlog_bytes: 100, ..peer.options() };
    let client = Client::new(options.clone()).unwrap();
    let full =
        |client: &Client, payload| client.publish(publish("t", QoS::AtLeastOnce, payload)).unwrap_err().code;
    client.publish(publish("t", QoS::AtLeastOnce, b"1")).unwrap();
    assert_eq!(full(&client, &[0; 99]), ErrorCode::QueueFull);
    client.publish(publish("t", QoS::AtLeastOnce, b"2")).unwrap();
    assert_eq!(full(&client, b"3"), ErrorCode::QueueFull);
    assert_eq!(client.stats().failed, 0);
}

#[test]
fn room_in_the_backlog_is_found_again_when_messages_were_sent() {
    let peer = Peer::new();
    let (client, events) = start(Options { backlog_messages: 1, ..peer.options() });
    let mut server = peer.welcome(false);
    events.connected();
    for identifier in 1..=50 {
        let ticket = client.publish(publish("t", QoS::AtLeastOnce, b"x")).unwrap();
        server.expect(&publish_bytes(2, "t", Some(identifier), b"x"));
        server.send(&[0x40, 2, 0, identifier as u8]);
        client.wait(ticket, PATIENCE).unwrap();
    }
}

#[test]
fn invalid_calls_are_refused_with_their_reason() {
    let client = Client::new(Options::default()).unwrap();
    assert_eq!(client.start().unwrap_err().code, ErrorCode::InvalidOption);
    assert_eq!(
        client.publish(publish("a/+", QoS::AtMostOnce, b"")).unwrap_err().code,
        ErrorCode::InvalidTopic
    );
    let filter = vec![Subscription::new("a/#/b", QoS::AtMostOnce)];
    assert_eq!(client.subscribe(filter, Properties::new()).unwrap_err().code, ErrorCode::InvalidFilter);
    assert_eq!(client.unsubscribe(vec![], Properties::new()).unwrap_err().code, ErrorCode::InvalidArgument);
    assert_eq!(client.wait(1_000, PATIENCE).unwrap_err().code, ErrorCode::InvalidArgument);
    let options = Options { servers: vec!["http://host".into()], ..Options::default() };
    assert_eq!(Client::new(options).unwrap_err().code, ErrorCode::InvalidOption);
}

#[test]
fn a_ticket_of_a_pending_operation_cannot_be_used_again() {
    let client = Client::new(Options::default()).unwrap();
    let ticket = client.next_ticket();
    client.publish_as(ticket, publish("t", QoS::AtMostOnce, b"")).unwrap();
    let again = client.publish_as(ticket, publish("t", QoS::AtMostOnce, b"")).unwrap_err();
    assert_eq!(again.code, ErrorCode::InvalidArgument);
}

#[test]
fn options_of_a_url_reach_the_connect_and_a_made_client_identifier_stays() {
    let peer = Peer::new();
    let url = peer.url().replace("mqtt://", "mqtt://user:pass@");
    let options = Options { client_id: "".into(), servers: vec![url], ..peer.options() };
    let (client, _events) = start(options);
    let id = client.options().client_id.clone();
    let connect = peer.accept().packet();
    assert!(connect.ends_with(b"\0\x04user\0\x04pass"));
    assert!(!id.is_empty() && connect.windows(id.len()).any(|part| part == id.as_bytes()));
    client.reconfigure(peer.options().clone()).unwrap();
    client.reconfigure(Options { client_id: "".into(), ..peer.options() }).unwrap();
    assert_eq!(client.options().client_id, "c");
}

#[test]
fn a_burst_larger_than_the_socket_takes_arrives_whole_and_in_order() {
    let peer = Peer::new();
    let (client, _events) = start(peer.options());
    let mut server = peer.welcome(false);
    static PAYLOAD: [u8; 100_000] = [7; 100_000];
    let tickets: Vec<_> =
        (0..200).map(|_| client.publish(publish("t", QoS::AtLeastOnce, &PAYLOAD)).unwrap()).collect();
    for ticket in &tickets {
        let packet = server.packet();
        assert_eq!(packet.len(), 4 + 3 + 2 + PAYLOAD.len());
        assert_eq!(packet[7..9], (*ticket as u16).to_be_bytes());
    }
    for ticket in &tickets {
        server.send(&[0x40, 2, 0, *ticket as u8]);
    }
    client.flush(PATIENCE).unwrap();
}

#[test]
fn what_a_server_says_before_it_resets_the_connection_is_heard() {
    let peer = Peer::new();
    let (_client, events) = start(peer.options());
    let mut server = peer.welcome(false);
    events.connected();
    server.send(&publish_bytes(0, "t", None, b"last words"));
    drop(server);
    assert_eq!(events.message().publish.payload, b"last words"[..]);
    assert!(events.disconnected().error.unwrap().detail.contains("closed by the server"));
}

#[test]
fn small_packets_of_a_server_without_nodelay_do_not_wait_for_delayed_acknowledgements() {
    let peer = Peer::new();
    let (client, _events) = start(peer.options());
    let mut server = peer.welcome(false);
    server.stream.set_nodelay(false).unwrap();
    // The first answer of a pair leaves at once, the second only when TCP has acknowledged the first. A new
    // connection acknowledges everything at once, so the early pairs do not count; a stall hits all the others.
    let pairs = (0..30).map(|pair| {
        client.publish(publish("t", QoS::AtLeastOnce, b"1")).unwrap();
        client.publish(publish("t", QoS::AtLeastOnce, b"2")).unwrap();
        server.packet();
        server.packet();
        let begin = std::time::Instant::now();
        server.send(&[0x40, 2, 0, 2 * pair + 1]);
        server.send(&[0x40, 2, 0, 2 * pair + 2]);
        client.flush(PATIENCE).unwrap();
        begin.elapsed()
    });
    let quickest = pairs.skip(10).min().unwrap();
    assert!(quickest < Duration::from_millis(30), "{quickest:?} at best");
}
