//! Enhanced authentication through the facade, byte by byte.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)] // a failing test may panic anywhere

mod common;

use std::sync::atomic::{AtomicU8, Ordering};
use std::sync::Arc;
use std::time::Duration;

use common::*;
use remqtt::{
    Auth, Client, Credentials, Error, ErrorCode, Event, Login, Options, Properties, PropertyId,
    PropertyValue, Secret, Version,
};

/// Gives other first data at each attempt.
#[derive(Debug, Default)]
struct Fresh(AtomicU8);

impl Credentials for Fresh {
    fn credentials(&self, _: Duration) -> Result<Login, Error> {
        let data = vec![b'1' + self.0.fetch_add(1, Ordering::Relaxed)];
        Ok(Login { authentication_data: Some(Secret(data.into())), ..Login::default() })
    }
}

fn begin(peer: &Peer) -> (Client, Events) {
    let method = (PropertyId::AuthenticationMethod, PropertyValue::Text("m".into()));
    let connect_properties = Properties(vec![method]);
    let options = Options { protocol_version: Version::V5, connect_properties, ..peer.options() };
    let client = Client::new(options).unwrap();
    client.ask_credentials(Some(Arc::<Fresh>::default())).unwrap();
    let events = record(&client);
    client.start().unwrap();
    (client, events)
}

/// Accepts a connection whose CONNECT has this byte as its first data.
fn accept(peer: &Peer, data: u8) -> Conversation {
    let mut server = peer.accept();
    let (connect, wanted) = (server.packet(), [0x15, 0, 1, b'm', 0x16, 0, 1, data]);
    assert!(connect.windows(8).any(|bytes| bytes == wanted), "{connect:?}");
    server
}

/// An AUTH with the method and a byte of data, as either side sends it.
fn auth(reason_code: u8, data: u8) -> [u8; 12] {
    [0xF0, 10, reason_code, 8, 0x15, 0, 1, b'm', 0x16, 0, 1, data]
}

fn told(events: &Events) -> Auth {
    events.find(|event| if let Event::Auth(auth) = event { Some(*auth) } else { None })
}

#[test]
fn a_challenge_is_answered_by_number_and_each_attempt_has_first_data_of_its_own() {
    let peer = Peer::new();
    let (client, events) = begin(&peer);
    let mut server = accept(&peer, b'1');
    server.send(&auth(0x18, b'?'));
    let first = told(&events);
    server.reset();
    let mut server = accept(&peer, b'2');
    client.authenticate(first.exchange, Some("x".into()), Properties::new()).unwrap();
    server.send(&auth(0x18, b'?'));
    let second = told(&events);
    client.authenticate(second.exchange, Some("!".into()), Properties::new()).unwrap();
    server.expect(&auth(0x18, b'!'));
    server.send(&[0x20, 3, 0, 0, 0]);
    events.connected();
}

#[test]
fn a_connection_is_authenticated_anew_when_the_application_wants_it() {
    let peer = Peer::new();
    let (client, events) = begin(&peer);
    let again = |data: &'static str| client.authenticate(None, Some(data.into()), Properties::new());
    let mut server = accept(&peer, b'1');
    assert_eq!(again("0").unwrap_err().code, ErrorCode::NotConnected);
    server.send(&[0x20, 3, 0, 0, 0]);
    events.connected();
    again("1").unwrap();
    server.expect(&auth(0x19, b'1'));
    server.send(&auth(0, b'.'));
    let success = told(&events);
    assert_eq!((success.exchange, success.reason_code), (None, 0));
}

#[test]
fn an_application_that_refuses_is_told_so_and_tries_again() {
    let peer = Peer::new();
    let (client, events) = begin(&peer);
    let mut server = accept(&peer, b'1');
    server.send(&auth(0x18, b'?'));
    client.refuse_authentication(told(&events).exchange.unwrap()).unwrap();
    let error = events.disconnected().error.unwrap();
    assert_eq!(error.code, ErrorCode::AuthenticationFailed);
    accept(&peer, b'2');
}

#[test]
fn without_a_method_there_is_nothing_to_repeat() {
    let peer = Peer::new();
    let client = Client::new(peer.options()).unwrap();
    let refused = client.authenticate(None, None, Properties::new()).unwrap_err();
    assert_eq!(refused.code, ErrorCode::InvalidArgument);
}
