//! The first steps: each flow once, against exact bytes.

use crate::bench::*;
use bytes::BytesMut;
use remqtt_proto::{Command, ErrorCode, Event, Input, Outcome, Properties, QoS, State, Subscription};
use std::time::Duration;

#[test]
fn an_unacknowledged_qos_1_publish_is_sent_again_with_dup_at_once() {
    let mut bench = connected();
    bench.command(Command::Publish(1, message(QoS::AtLeastOnce)));
    assert_eq!(bench.sent(), [0x32, 6, 0, 1, b't', 0, 1, b'p']);
    bench.cut();
    bench.link_up();
    bench.receive(&CONNACK_PRESENT);
    assert_eq!(bench.sent(), [0x3A, 6, 0, 1, b't', 0, 1, b'p']);
    bench.receive(&[0x40, 2, 0, 1]);
    assert_eq!(bench.completions(1), [&Outcome::Published(0, Properties::new())]);
}

#[test]
fn a_released_qos_2_publish_resumes_with_pubrel_only() {
    let mut bench = connected();
    bench.command(Command::Publish(1, message(QoS::ExactlyOnce)));
    bench.sent();
    bench.receive(&[0x50, 2, 0, 1]);
    assert_eq!(bench.sent(), [0x62, 2, 0, 1]);
    bench.cut();
    bench.link_up();
    bench.receive(&CONNACK_PRESENT);
    assert_eq!(bench.sent(), [0x62, 2, 0, 1]);
    bench.receive(&[0x70, 2, 0, 1]);
    assert_eq!(bench.completions(1).len(), 1);
}

#[test]
fn a_lost_session_restores_subscriptions_before_it_sends_publishes_as_new() {
    let mut bench = connected();
    let subscription = Subscription::new("f", QoS::AtLeastOnce);
    bench.command(Command::Subscribe(1, vec![subscription], Properties::new()));
    bench.sent();
    bench.receive(&[0x90, 3, 0, 1, 1]);
    bench.command(Command::Publish(2, message(QoS::AtLeastOnce)));
    bench.sent();
    bench.cut();
    bench.link_up();
    bench.receive(&CONNACK_NEW);
    let sent = bench.sent();
    assert_eq!(sent[..8], [0x82, 6, 0xFF, 0xFF, 0, 1, b'f', 1]);
    assert_eq!(sent[8..], [0x32, 6, 0, 1, b't', 0, 2, b'p']);
}

#[test]
fn a_filter_that_was_restored_is_not_subscribed_again_in_the_on_connect_callback() {
    let mut bench = connected();
    let subscription = || vec![Subscription::new("f", QoS::AtLeastOnce)];
    bench.command(Command::Subscribe(1, subscription(), Properties::new()));
    bench.sent();
    bench.receive(&[0x90, 3, 0, 1, 1]);
    bench.cut();
    bench.link_up();
    bench.receive(&CONNACK_NEW);
    bench.command(Command::Subscribe(2, subscription(), Properties::new()));
    assert_eq!(bench.sent().len(), 8, "one SUBSCRIBE");
    assert!(bench.completions(2).is_empty());
    bench.receive(&[0x90, 3, 0xFF, 0xFF, 1]);
    assert_eq!(bench.completions(2), [&Outcome::Subscribed(vec![1], Properties::new())]);
    bench.command(Command::ConnectedHandled);
    bench.command(Command::Subscribe(3, subscription(), Properties::new()));
    assert_eq!(bench.sent().len(), 8, "a later wish is a SUBSCRIBE of its own");
}

#[test]
fn stopping_lets_what_was_published_before_leave_first() {
    let mut bench = connected();
    bench.command(Command::Publish(1, message(QoS::AtMostOnce)));
    bench.command(Command::Stop(Default::default()));
    assert_eq!(bench.sent(), [0x30, 4, 0, 1, b't', b'p', 0xE0, 0]);
    assert_eq!(bench.completions(1).len(), 1);
    assert_eq!(bench.engine.state(), State::Stopped);
}

#[test]
fn nothing_follows_a_disconnect_not_even_an_answer() {
    let mut bench = connected();
    bench.command(Command::Stop(Default::default()));
    let mut farewell = BytesMut::new();
    bench.engine.poll_transmit(bench.now, &mut farewell);
    assert_eq!(farewell[..], [0xE0, 0]);
    bench.receive(&[0x62, 2, 0, 9]);
    assert_eq!(bench.sent(), [], "the PUBREL stays unanswered");
}

#[test]
fn a_start_during_the_farewell_connects_again_after_it() {
    let mut bench = connected();
    bench.command(Command::Stop(Default::default()));
    bench.command(Command::Start);
    assert_eq!(bench.sent(), [0xE0, 0]);
    assert_eq!(bench.engine.state(), State::Connecting);
}

#[test]
fn silence_after_a_ping_ends_the_link_exactly_at_the_ping_timeout() {
    let mut bench = connected();
    bench.now = bench.now + Duration::from_secs(60);
    bench.give(Input::Timeout);
    assert_eq!(bench.sent(), [0xC0, 0]);
    bench.now = bench.now + Duration::from_millis(4_999);
    bench.give(Input::Timeout);
    assert_eq!(bench.engine.state(), State::Connected);
    bench.now = bench.now + Duration::from_millis(1);
    bench.give(Input::Timeout);
    assert_eq!(bench.engine.state(), State::Connecting, "the first attempt is made at once");
}

#[test]
fn an_outage_ends_in_a_record_with_every_mark() {
    let mut bench = connected();
    bench.cut();
    bench.link_up();
    bench.receive(&CONNACK_PRESENT);
    bench.sent();
    bench.receive(&[0x30, 4, 0, 1, b't', b'p']);
    let outage = bench.events.iter().find_map(|event| match event {
        Event::Recovered(outage) => Some(outage),
        _ => None,
    });
    assert_eq!(outage.map(|outage| outage.marks().count()), Some(remqtt_proto::Mark::TABLE.len()));
}

#[test]
fn every_ticket_completes_exactly_once_when_the_client_is_closed() {
    let mut bench = Bench::new(options());
    for ticket in 1..=3 {
        bench.command(Command::Publish(ticket, message(QoS::AtLeastOnce)));
    }
    bench.command(Command::Subscribe(4, vec![Subscription::new("f", QoS::AtMostOnce)], Properties::new()));
    bench.command(Command::Close);
    bench.command(Command::Publish(5, message(QoS::AtMostOnce)));
    for ticket in 1..=5 {
        let outcomes = bench.completions(ticket);
        assert!(
            matches!(outcomes[..], [Outcome::Failed(ref e, _)] if e.code == ErrorCode::Closed),
            "{outcomes:?}"
        );
    }
}
