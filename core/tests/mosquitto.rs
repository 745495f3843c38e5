//! The client against a real mosquitto, which must be installed.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)] // a failing test may panic anywhere

mod common;

use std::time::Duration;

use common::broker::Broker;
use common::*;
use remqtt::{
    Bytes, Client, Event, Options, Outcome, Properties, Publish, QoS, SessionState, Subscription, Version,
};

fn options(broker: &Broker, client_id: &str, version: Version) -> Options {
    Options {
        client_id: client_id.into(),
        protocol_version: version,
        servers: vec![format!("mqtt://127.0.0.1:{}", broker.port)],
        reconnect_max_delay: Duration::from_millis(200),
        ..Options::default()
    }
}

fn numbered(number: u32, qos: QoS) -> Publish {
    let payload = Bytes::copy_from_slice(&number.to_be_bytes());
    Publish { topic: "t".into(), payload, qos, retain: false, properties: Properties::new() }
}

fn subscribe(client: &Client, qos: QoS) {
    let ticket = client.subscribe(vec![Subscription::new("t", qos)], Properties::new()).unwrap();
    client.wait(ticket, PATIENCE).unwrap();
}

fn number(events: &Events) -> u32 {
    u32::from_be_bytes(events.message().publish.payload[..].try_into().unwrap())
}

#[test]
fn messages_of_every_qos_make_the_round_trip_in_both_versions() {
    let broker = Broker::plain();
    for version in [Version::V4, Version::V5] {
        for qos in [QoS::AtMostOnce, QoS::AtLeastOnce, QoS::ExactlyOnce] {
            let (client, events) = start(options(&broker, "", version));
            subscribe(&client, qos);
            for sent in 0..2_000 {
                client.publish(numbered(sent, qos)).unwrap();
            }
            for sent in 0..2_000 {
                assert_eq!(number(&events), sent, "{version:?} {qos:?}");
            }
            client.flush(PATIENCE).unwrap();
        }
    }
}

#[test]
fn a_session_keeps_what_came_while_the_client_was_away() {
    let broker = Broker::plain();
    let (client, events) = start(options(&broker, "keeper", Version::V5));
    events.connected();
    subscribe(&client, QoS::ExactlyOnce);
    client.close();
    events.closed();
    let (publisher, _) = start(options(&broker, "publisher", Version::V5));
    for sent in 0..1_000 {
        publisher.publish(numbered(sent, QoS::ExactlyOnce)).unwrap();
    }
    publisher.flush(PATIENCE).unwrap();
    let (_client, events) = start(options(&broker, "keeper", Version::V5));
    assert!(events.connected().session_present);
    for sent in 0..1_000 {
        assert_eq!(number(&events), sent);
    }
}

#[test]
fn a_broker_that_restarts_and_forgets_the_session_loses_nothing_of_ours() {
    let mut broker = Broker::plain();
    let (client, events) = start(options(&broker, "c", Version::V5));
    subscribe(&client, QoS::AtLeastOnce);
    events.connected();
    broker.kill();
    broker.run();
    let tickets: Vec<_> =
        (0..500).map(|sent| client.publish(numbered(sent, QoS::AtLeastOnce)).unwrap()).collect();
    let connected = events.connected();
    assert_eq!((connected.session, connected.restoring), (SessionState::Lost, 1));
    for ticket in tickets {
        client.wait(ticket, PATIENCE).unwrap();
    }
    let mut missing: Vec<u32> = (0..500).collect();
    while !missing.is_empty() {
        let got = number(&events);
        missing.retain(|number| *number != got);
    }
    assert_eq!(client.stats().outages, 1);
}

#[test]
fn a_handler_may_publish_what_it_receives() {
    let broker = Broker::plain();
    let client = Client::new(options(&broker, "", Version::V5)).unwrap();
    let (sender, receiver) = std::sync::mpsc::channel();
    let each = Each(move |client: &Client, event: Event| match event {
        Event::Message(message) if message.publish.payload[3] < 100 => {
            client.publish(numbered(u32::from(message.publish.payload[3]) + 1, QoS::AtLeastOnce)).unwrap();
        }
        Event::Message(_) => sender.send(()).unwrap(),
        Event::Completed(_, outcome) => assert!(!matches!(outcome, Outcome::Failed(..))),
        _ => {}
    });
    client.dispatch_on(remqtt::Pool::shared(), std::sync::Arc::new(each));
    client.start().unwrap();
    subscribe(&client, QoS::AtLeastOnce);
    client.publish(numbered(0, QoS::AtLeastOnce)).unwrap();
    receiver.recv_timeout(PATIENCE).unwrap();
}
