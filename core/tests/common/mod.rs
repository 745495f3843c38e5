//! A scripted server over a real socket, and a handler that records what a client sees.
#![allow(dead_code, unreachable_pub)] // each test program uses its part

pub mod broker;
pub mod certificates;
pub mod relay;
pub mod road;
pub mod tls_peer;

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::mpsc::{channel, Receiver, Sender};
use std::sync::Arc;
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use remqtt::{
    Batch, Bytes, Client, Connected, Disconnected, Error, Event, Handler, Message, Options, Outcome, Pool,
    Properties, Publish, QoS, Ticket, Version,
};

/// Longer than anything takes on the slowest machine; a test that waits this long has failed.
pub const PATIENCE: Duration = Duration::from_secs(30);

/// The server's side: a listener on a free port.
pub struct Peer {
    listener: TcpListener,
}

/// One connection of a client to the peer.
pub struct Conversation<S = TcpStream> {
    pub stream: S,
}

impl Peer {
    pub fn new() -> Peer {
        Peer { listener: TcpListener::bind("127.0.0.1:0").unwrap() }
    }

    pub fn port(&self) -> u16 {
        self.listener.local_addr().unwrap().port()
    }

    pub fn url(&self) -> String {
        format!("mqtt://{}", self.listener.local_addr().unwrap())
    }

    /// MQTT 3.1.1 because its packets are short to write down; persistent, patient, quick to reconnect.
    pub fn options(&self) -> Options {
        Options {
            client_id: "c".into(),
            protocol_version: Version::V4,
            servers: vec![self.url()],
            connect_timeout: PATIENCE,
            ping_timeout: PATIENCE,
            // No PINGREQ comes of itself between the bytes that a test expects.
            detect_within: Duration::ZERO,
            ..Options::default()
        }
    }

    pub fn accept(&self) -> Conversation {
        let (stream, _) = self.listener.accept().unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        stream.set_nodelay(true).unwrap();
        Conversation { stream }
    }

    /// Accepts a connection and its CONNECT.
    pub fn welcome(&self, session_present: bool) -> Conversation {
        let mut conversation = self.accept();
        conversation.welcome(session_present);
        conversation
    }
}

impl<S: Read + Write> Conversation<S> {
    /// Answers the CONNECT.
    pub fn welcome(&mut self, session_present: bool) {
        assert_eq!(self.packet()[0], 0x10);
        self.send(&[0x20, 2, u8::from(session_present), 0]);
    }

    pub fn send(&mut self, bytes: &[u8]) {
        self.stream.write_all(bytes).unwrap();
        self.stream.flush().unwrap();
    }

    /// The next packet, whole.
    pub fn packet(&mut self) -> Vec<u8> {
        self.try_packet().expect("a packet, and not the end of the connection")
    }

    /// The next packet; `None` at the end of the connection.
    pub fn try_packet(&mut self) -> Option<Vec<u8>> {
        let mut packet = vec![0];
        self.stream.read_exact(&mut packet).ok()?;
        let mut length = 0;
        for shift in [0, 7, 14, 21] {
            let mut byte = [0];
            self.stream.read_exact(&mut byte).ok()?;
            packet.push(byte[0]);
            length |= usize::from(byte[0] & 0x7F) << shift;
            if byte[0] & 0x80 == 0 {
                break;
            }
        }
        let start = packet.len();
        packet.resize(start + length, 0);
        self.stream.read_exact(&mut packet[start..]).ok()?;
        Some(packet)
    }

    pub fn expect(&mut self, bytes: &[u8]) {
        assert_eq!(self.packet(), bytes);
    }

    /// The client ended the connection in order.
    pub fn expect_end(&mut self) {
        assert_eq!(self.stream.read(&mut [0]).unwrap(), 0);
    }
}

impl Conversation {
    /// Cuts the connection with an RST.
    pub fn reset(self) {
        socket2::SockRef::from(&self.stream).set_linger(Some(Duration::ZERO)).unwrap();
    }
}

/// PUBLISH as MQTT 3.1.1 writes it, for bodies below 126 bytes.
pub fn publish_bytes(flags: u8, topic: &str, identifier: Option<u16>, payload: &[u8]) -> Vec<u8> {
    let mut body = vec![0, topic.len() as u8];
    body.extend_from_slice(topic.as_bytes());
    body.extend(identifier.into_iter().flat_map(u16::to_be_bytes));
    body.extend_from_slice(payload);
    [vec![0x30 | flags, body.len() as u8], body].concat()
}

pub fn publish(topic: &str, qos: QoS, payload: &'static [u8]) -> Publish {
    Publish {
        topic: topic.into(),
        payload: Bytes::from_static(payload),
        qos,
        retain: false,
        properties: Properties::new(),
    }
}

/// Hands every event to the test.
pub struct Recorder(Mutex<Sender<Event>>);

impl Handler for Recorder {
    fn handle(&self, _: &Client, batch: &mut Batch<'_>) {
        while let Some(event) = batch.next() {
            let _ = self.0.lock().send(event);
        }
    }
}

pub struct Events(Receiver<Event>);

/// Lets a recorder handle the client's events.
pub fn record(client: &Client) -> Events {
    let (sender, receiver) = channel();
    client.dispatch_on(Pool::shared(), Arc::new(Recorder(Mutex::new(sender))));
    Events(receiver)
}

impl Events {
    pub fn next(&self) -> Event {
        self.0.recv_timeout(PATIENCE).expect("an event")
    }

    /// Waits for the first event of which `pick` makes something.
    pub fn find<T>(&self, mut pick: impl FnMut(Event) -> Option<T>) -> T {
        let begin = Instant::now();
        loop {
            if let Some(found) = pick(self.next()) {
                return found;
            }
            assert!(begin.elapsed() < PATIENCE, "many events, and not the one that was waited for");
        }
    }

    pub fn connected(&self) -> Box<Connected> {
        self.find(|event| match event {
            Event::Connected(connected) => Some(connected),
            _ => None,
        })
    }

    pub fn disconnected(&self) -> Box<Disconnected> {
        self.find(|event| match event {
            Event::Disconnected(disconnected) => Some(disconnected),
            _ => None,
        })
    }

    pub fn message(&self) -> Message {
        self.find(|event| match event {
            Event::Message(message) => Some(message),
            _ => None,
        })
    }

    pub fn completed(&self, ticket: Ticket) -> Outcome {
        self.find(|event| match event {
            Event::Completed(done, outcome) if done == ticket => Some(outcome),
            _ => None,
        })
    }

    pub fn closed(&self) {
        self.find(|event| matches!(event, Event::Closed).then_some(()));
    }

    /// The handler is gone.
    pub fn over(&self) {
        while self.0.recv_timeout(PATIENCE).is_ok() {}
    }
}

/// A started client and the events it sees.
pub fn start(options: Options) -> (Client, Events) {
    let client = Client::new(options).unwrap();
    let events = record(&client);
    client.start().unwrap();
    (client, events)
}

pub fn failure(outcome: Outcome) -> Error {
    match outcome {
        Outcome::Failed(error, _) => error,
        other => panic!("did not fail: {other:?}"),
    }
}

/// A handler made of a closure that sees one event at a time.
pub struct Each<F>(pub F);

impl<F: Fn(&Client, Event) + Send + Sync> Handler for Each<F> {
    fn handle(&self, client: &Client, batch: &mut Batch<'_>) {
        while let Some(event) = batch.next() {
            (self.0)(client, event);
        }
    }
}
