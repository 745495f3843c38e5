//! Connections that the application makes.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)] // a failing test may panic anywhere

mod common;

use std::io::Read;
use std::net::{TcpListener, TcpStream};
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::sync::mpsc::{channel, Receiver, Sender};
use std::sync::Arc;
use std::time::Duration;

use common::broker::Broker;
use common::relay::Relay;
use common::*;
use parking_lot::Mutex;
use remqtt::{Client, Dialler, Error, ErrorCode, Options, Part, Target, Version};

/// Makes a socket pair, and hands its other end and the target to the test.
#[derive(Debug)]
struct Pair(Mutex<Sender<(Target, UnixStream)>>);

impl Dialler for Pair {
    fn dial(&self, target: &Target) -> Result<OwnedFd, Error> {
        let (ours, theirs) = UnixStream::pair().unwrap();
        self.0.lock().send((target.clone(), theirs)).unwrap();
        Ok(ours.into())
    }
}

/// Connects over TCP to another port than it was asked for.
#[derive(Debug)]
struct Detour(u16);

impl Dialler for Detour {
    fn dial(&self, _: &Target) -> Result<OwnedFd, Error> {
        Ok(TcpStream::connect(("127.0.0.1", self.0)).unwrap().into())
    }
}

#[derive(Debug)]
struct Refusing;

impl Dialler for Refusing {
    fn dial(&self, target: &Target) -> Result<OwnedFd, Error> {
        Err(Error::new(ErrorCode::CertificateRefused, format!("{}: not to my taste", target.host)))
    }
}

/// Never returns before the test is over.
#[derive(Debug)]
struct Slow(Mutex<Receiver<()>>);

impl Dialler for Slow {
    fn dial(&self, _: &Target) -> Result<OwnedFd, Error> {
        let _ = self.0.lock().recv();
        Ok(UnixStream::pair().unwrap().0.into())
    }
}

/// Encrypts nothing, and says whom it would have spoken to.
#[derive(Debug)]
struct Clear(Mutex<Sender<Target>>);

impl Dialler for Clear {
    fn part(&self) -> Part {
        Part::Encryption
    }

    fn dial(&self, _: &Target) -> Result<OwnedFd, Error> {
        panic!("the library connects")
    }

    fn encrypt(&self, connection: OwnedFd, target: &Target) -> Result<OwnedFd, Error> {
        self.0.lock().send(target.clone()).unwrap();
        Ok(connection)
    }
}

/// Counts the handshakes.
#[derive(Debug)]
struct Counting(Mutex<u32>);

impl Dialler for Counting {
    fn part(&self) -> Part {
        Part::Headers
    }

    fn dial(&self, _: &Target) -> Result<OwnedFd, Error> {
        panic!("the library connects")
    }

    fn headers(&self, target: &Target) -> Result<Option<Vec<(String, String)>>, Error> {
        assert_eq!(target.host, "127.0.0.1");
        let mut count = self.0.lock();
        *count += 1;
        Ok(Some(vec![("X-Handshake".to_owned(), count.to_string())]))
    }
}

fn dialled(options: Options, dialler: impl Dialler + 'static) -> (Client, Events) {
    let client = Client::new(options).unwrap();
    client.dial_with(Some(Arc::new(dialler))).unwrap();
    let events = record(&client);
    client.start().unwrap();
    (client, events)
}

#[test]
fn a_dialler_gets_host_port_and_tls_and_returns_any_stream() {
    let (sender, dials) = channel();
    let options = Options { protocol_version: Version::V4, ..road::options("mqtts://broker.example:1234") };
    let (client, events) = dialled(options, Pair(Mutex::new(sender)));
    for session_present in [false, true] {
        let (target, stream) = dials.recv_timeout(PATIENCE).unwrap();
        assert_eq!((&*target.host, target.port, target.tls), ("broker.example", 1234, true));
        assert_eq!(target.timeout, PATIENCE);
        let mut server = Conversation { stream };
        server.welcome(session_present);
        events.connected();
        // Dropped: the client comes back through the dialler.
    }
    events.disconnected();
    client.close();
}

#[test]
fn a_road_made_by_a_dialler_survives_resets() {
    let broker = Broker::plain();
    let relay = Relay::to_port(broker.port);
    let travel = |id: &'static str| {
        let options = Options { client_id: id.into(), ..road::options("mqtts://nowhere.invalid") };
        dialled(options, Detour(relay.port))
    };
    let (client, events) = travel("first");
    road::exchange_on(&client, &events, 1_000_000);
    let (client, events) = travel("second");
    road::survive_on(&client, &events, 5, || relay.cut());
}

#[test]
fn a_dialler_may_leave_connecting_to_the_library_and_only_encrypt() {
    let broker = Broker::plain();
    let relay = Relay::to_port(broker.port);
    let url = format!("mqtts://127.0.0.1:{}", relay.port);
    let (sender, targets) = channel();
    let options = Options { client_id: "encrypted".into(), ..road::options(&url) };
    let (client, events) = dialled(options, Clear(Mutex::new(sender)));
    road::survive_on(&client, &events, 5, || relay.cut());
    let target = targets.recv_timeout(PATIENCE).unwrap();
    assert_eq!((&*target.host, target.port, target.tls), ("127.0.0.1", relay.port, true));
}

#[test]
fn a_dialler_gives_each_websocket_handshake_its_headers() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("ws://{}", listener.local_addr().unwrap());
    let options = Options { ws_headers: vec![("X-Handshake".into(), "0".into())], ..road::options(&url) };
    let (_client, _events) = dialled(options, Counting(Mutex::new(0)));
    for count in 1..=3 {
        let (mut stream, _) = listener.accept().unwrap();
        let mut request = Vec::new();
        while !request.ends_with(b"\r\n\r\n") {
            let mut byte = [0];
            stream.read_exact(&mut byte).unwrap();
            request.push(byte[0]);
        }
        let request = String::from_utf8(request).unwrap().to_ascii_lowercase();
        assert_eq!(request.matches("x-handshake").count(), 1);
        assert!(request.contains(&format!("x-handshake: {count}\r\n")), "{request}");
    }
}

#[test]
fn the_error_of_a_dialler_decides_about_the_next_attempt() {
    let (_client, events) = dialled(road::options("mqtts://broker.example"), Refusing);
    let failed = events.disconnected();
    assert_eq!(&*failed.error.unwrap().detail, "broker.example: not to my taste");
    assert!(failed.retry_in.unwrap() >= Options::default().refused_min_delay);
}

#[test]
fn a_dialler_that_takes_too_long_is_left_alone() {
    let (end, wait) = channel();
    let connect_timeout = Duration::from_millis(50);
    let options = Options { connect_timeout, ..road::options("mqtts://broker.example") };
    let (_client, events) = dialled(options, Slow(Mutex::new(wait)));
    assert_eq!(events.disconnected().error.unwrap().code, ErrorCode::ConnectTimeout);
    drop(end);
}
