//! WebSocket, plain and over TLS, with a real mosquitto and with a scripted server.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)] // a failing test may panic anywhere

mod common;

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};

use common::broker::{Broker, Folder};
use common::certificates::{Authority, Valid};
use common::relay::Relay;
use common::*;
use remqtt::{Error, ErrorCode, Options, QoS, Version};
use tokio_tungstenite::tungstenite::handshake::server::{Request, Response};
use tokio_tungstenite::tungstenite::protocol::frame::coding::{Data, OpCode};
use tokio_tungstenite::tungstenite::protocol::frame::{CloseFrame, Frame};
use tokio_tungstenite::tungstenite::{accept_hdr, Message, WebSocket};

const CONNACK: &[u8] = &[0x20, 2, 0, 0];

fn broker() -> Broker {
    Broker::on_websocket(Folder::new(), "")
}

fn options(port: u16) -> Options {
    road::options(&format!("ws://localhost:{port}"))
}

/// A broker with WebSocket over TLS, and options for it.
fn secure() -> (Broker, impl Fn(u16) -> Options) {
    let authority = Authority::new("Test CA");
    let identity = authority.issue("broker", &["localhost"], Valid::Now);
    let folder = Folder::new();
    let certificate = folder.write("server.pem", &identity.certificate);
    let key = folder.write("server.key", &identity.key);
    let broker = Broker::on_websocket(folder, &format!("certfile {certificate}\nkeyfile {key}"));
    let with = move |port| Options {
        tls_ca: Some(authority.pem().into()),
        ..road::options(&format!("wss://localhost:{port}/mqtt"))
    };
    (broker, with)
}

#[test]
fn messages_make_the_round_trip_over_websocket() {
    let broker = broker();
    road::exchange_up_to(16_384, options(broker.port));
}

#[test]
fn a_reset_below_websocket_loses_and_doubles_nothing() {
    let broker = broker();
    let relay = Relay::to_port(broker.port);
    road::survive(options(relay.port), 5, || relay.cut());
}

#[test]
fn a_restart_of_a_broker_with_websocket_loses_and_doubles_nothing() {
    let mut broker = broker();
    road::survive_restarts(options(broker.port), &mut broker);
}

#[test]
fn websocket_over_tls_does_all_of_that_too() {
    let (mut broker, options) = secure();
    road::exchange_up_to(16_384, Options { client_id: "other".into(), ..options(broker.port) });
    let relay = Relay::to_port(broker.port);
    road::survive(options(relay.port), 5, || relay.cut());
    road::survive_restarts(Options { client_id: "third".into(), ..options(broker.port) }, &mut broker);
}

/// A scripted server that has accepted the handshake; the request is handed to `look`.
fn accept(listener: &TcpListener, look: impl Fn(&Request)) -> WebSocket<TcpStream> {
    let (stream, _) = listener.accept().unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    stream.set_nodelay(true).unwrap();
    #[allow(clippy::result_large_err)] // tungstenite's type
    let answer = |request: &Request, mut response: Response| {
        look(request);
        response.headers_mut().insert("Sec-WebSocket-Protocol", "mqtt".parse().unwrap());
        Ok(response)
    };
    accept_hdr(stream, answer).unwrap()
}

/// A server, and a client that has sent its CONNECT there.
fn connected(change: impl FnOnce(&mut Options)) -> (WebSocket<TcpStream>, remqtt::Client, Events) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let mut options =
        Options { protocol_version: Version::V4, ..options(listener.local_addr().unwrap().port()) };
    change(&mut options);
    let (client, events) = start(options);
    let mut server = accept(&listener, |_| {});
    assert_eq!(server.read().unwrap().into_data()[0], 0x10);
    (server, client, events)
}

fn binary(bytes: &[u8]) -> Message {
    Message::Binary(bytes.to_vec().into())
}

#[test]
fn the_handshake_asks_for_mqtt_with_path_and_headers() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    let (_client, _events) = start(Options {
        servers: vec![format!("ws://127.0.0.1:{port}/a/b?c=d")],
        ws_headers: vec![("X-Token".into(), "1".into()), ("Origin".into(), "http://here".into())],
        ..options(port)
    });
    accept(&listener, |request| {
        assert_eq!(request.uri().to_string(), "/a/b?c=d");
        assert_eq!(request.headers()["Host"], format!("127.0.0.1:{port}"));
        assert_eq!(request.headers()["Sec-WebSocket-Protocol"], "mqtt");
        assert_eq!(request.headers()["X-Token"], "1");
        assert_eq!(request.headers()["Origin"], "http://here");
    });
}

#[test]
fn packets_may_be_cut_and_joined_by_frames_in_any_way() {
    let (mut server, _client, events) = connected(|_| {});
    let packets = [
        CONNACK.to_vec(),
        publish_bytes(0, "a", None, b"one"),
        publish_bytes(0, "a", None, b"two"),
        publish_bytes(0, "a", None, b"three"),
    ]
    .concat();
    // One message in one frame for the first half, then one message in frames of a byte, with pings between them.
    let (joined, cut) = packets.split_at(packets.len() / 2);
    server.send(binary(joined)).unwrap();
    for (index, byte) in cut.iter().enumerate() {
        let code = if index == 0 { Data::Binary } else { Data::Continue };
        let frame = Frame::message(vec![*byte], OpCode::Data(code), index + 1 == cut.len());
        server.send(Message::Frame(frame)).unwrap();
        server.send(Message::Ping(vec![index as u8].into())).unwrap();
    }
    for payload in [&b"one"[..], b"two", b"three"] {
        assert_eq!(events.message().publish.payload, payload);
    }
}

#[test]
fn a_ping_is_answered_even_if_nothing_else_is_to_be_sent() {
    let (mut server, _client, events) = connected(|_| {});
    server.send(binary(CONNACK)).unwrap();
    events.connected();
    server.send(Message::Ping(b"are you there"[..].into())).unwrap();
    assert_eq!(server.read().unwrap(), Message::Pong(b"are you there"[..].into()));
}

#[test]
fn a_stopped_client_says_goodbye_in_both_protocols() {
    let (mut server, client, events) = connected(|_| {});
    server.send(binary(CONNACK)).unwrap();
    events.connected();
    client.stop(remqtt::Reason::default()).unwrap();
    assert_eq!(server.read().unwrap(), binary(&[0xE0, 0]));
    assert_eq!(server.read().unwrap(), Message::Close(None));
}

#[test]
fn a_close_frame_ends_the_connection_with_its_reason() {
    let (mut server, _client, events) = connected(|_| {});
    server.send(binary(CONNACK)).unwrap();
    events.connected();
    let reason = CloseFrame { code: 1012.into(), reason: "service restart".into() };
    server.close(Some(reason)).unwrap();
    let error = events.disconnected().error.unwrap();
    assert_eq!(error.code, ErrorCode::ConnectionLost);
    assert!(error.detail.contains("1012") && error.detail.contains("service restart"), "{error}");
}

/// How the connection ends after the server did this.
fn ended_by(act: impl FnOnce(&mut WebSocket<TcpStream>)) -> Error {
    let (mut server, client, events) = connected(|_| {});
    server.send(binary(CONNACK)).unwrap();
    events.connected();
    act(&mut server);
    let lost = events.disconnected();
    assert!(lost.retry_in.is_some());
    client.close();
    lost.error.unwrap()
}

#[test]
fn text_frames_are_refused() {
    let error = ended_by(|server| server.send(Message::Text("hello".into())).unwrap());
    assert!(error.detail.contains("text frame"), "{error}");
}

#[test]
fn a_frame_larger_than_any_packet_is_refused_before_it_is_stored() {
    // The header of a frame of 2^62 bytes.
    let error = ended_by(|server| {
        let header = [&[0x82, 127][..], &(1_u64 << 62).to_be_bytes()].concat();
        server.get_mut().write_all(&header).unwrap();
    });
    assert!(error.detail.contains("too long") || error.detail.contains("too big"), "{error}");
}

#[test]
fn a_message_of_endless_fragments_is_refused_at_the_limit() {
    let (mut server, _client, events) = connected(|options| options.maximum_packet_size = 1_000);
    server.send(binary(CONNACK)).unwrap();
    events.connected();
    let fragment = |first| {
        let code = if first { Data::Binary } else { Data::Continue };
        Message::Frame(Frame::message(vec![0x30; 64 << 10], OpCode::Data(code), false))
    };
    let mut sent = 0;
    while server.send(fragment(sent == 0)).is_ok() {
        sent += 64 << 10;
        assert!(sent < 64 << 20, "nobody ended it");
    }
    let error = events.disconnected().error.unwrap();
    assert!(error.detail.contains("too long") || error.detail.contains("too big"), "{error}");
}

#[test]
fn frames_that_break_the_protocol_end_the_connection() {
    for frame in [
        &[0x80, 1, 0][..],            // a continuation of nothing
        &[0xF2, 1, 0],                // reserved bits
        &[0x82, 0x81, 1, 2, 3, 4, 0], // masked
        &[0x89, 126, 0, 126],         // a ping of 126 bytes
    ] {
        let error = ended_by(|server| {
            server.get_mut().write_all(frame).unwrap();
            server.get_mut().write_all(&[0; 126]).unwrap();
        });
        assert_eq!(error.code, ErrorCode::ConnectionLost, "{error}");
        assert!(error.detail.starts_with("WebSocket: "), "{error}");
    }
}

/// How the first attempt ends if the server answers the handshake with this.
fn answered_with(answer: &[u8]) -> Error {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let (_client, events) = start(options(listener.local_addr().unwrap().port()));
    let (mut stream, _) = listener.accept().unwrap();
    let mut request = Vec::new();
    while !request.ends_with(b"\r\n\r\n") {
        let mut byte = [0];
        stream.read_exact(&mut byte).unwrap();
        request.push(byte[0]);
    }
    stream.write_all(answer).unwrap();
    events.disconnected().error.unwrap()
}

#[test]
fn an_answer_other_than_101_is_told_with_status_and_body() {
    let error = answered_with(b"HTTP/1.1 404 Not Found\r\nContent-Length: 12\r\n\r\nno such path");
    assert_eq!(error.code, ErrorCode::HandshakeFailed);
    assert!(error.detail.contains("404 Not Found") && error.detail.contains("no such path"), "{error}");
    let error = answered_with(b"HTTP/1.1 401 Unauthorized\r\n\r\n");
    assert_eq!(error.code, ErrorCode::BadCredentials);
    let error = answered_with(b"SSH-2.0-OpenSSH_9.2\r\n\r\n");
    assert_eq!(error.code, ErrorCode::HandshakeFailed);
    let error = answered_with(
        b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\n",
    );
    assert_eq!(error.code, ErrorCode::HandshakeFailed);
}

#[test]
fn an_endless_answer_to_the_handshake_is_refused() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let (_client, events) = start(options(listener.local_addr().unwrap().port()));
    let (mut stream, _) = listener.accept().unwrap();
    let mut sent = 0;
    stream.write_all(b"HTTP/1.1 101 Switching Protocols\r\nX: ").unwrap();
    while stream.write_all(&[b'a'; 4 << 10]).is_ok() {
        sent += 4 << 10;
        assert!(sent < 64 << 20, "nobody ended it");
    }
    let error = events.disconnected().error.unwrap();
    assert_eq!(error.code, ErrorCode::HandshakeFailed, "{error}");
}

#[test]
fn large_publishes_are_cut_into_frames_that_hold_all_their_bytes() {
    let (mut server, client, events) = connected(|_| {});
    server.send(binary(CONNACK)).unwrap();
    events.connected();
    static PAYLOAD: [u8; 300_000] = [7; 300_000];
    client.publish(publish("t", QoS::AtMostOnce, &PAYLOAD)).unwrap();
    let mut received = Vec::new();
    while received.len() < PAYLOAD.len() + 7 {
        match server.read().unwrap() {
            Message::Binary(bytes) => received.extend_from_slice(&bytes),
            other => panic!("{other:?}"),
        }
    }
    assert_eq!(&received[received.len() - PAYLOAD.len()..], &PAYLOAD);
}
