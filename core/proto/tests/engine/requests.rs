//! Subscribes, unsubscribes and the restoration of subscriptions.

use crate::bench::*;
use remqtt_proto::{
    ByteString, Command, ErrorCode, Input, Options, Outcome, Properties, PropertyId, PropertyValue, QoS,
    State, Subscription,
};

fn subscribe(bench: &mut Bench, ticket: u64, name: &str) {
    bench.command(Command::Subscribe(ticket, filter(name), Properties::new()));
}

fn granted(bench: &Bench, ticket: u64) -> Vec<u8> {
    match bench.completions(ticket)[..] {
        [Outcome::Subscribed(codes, _)] => codes.clone(),
        _ => Vec::new(),
    }
}

#[test]
fn a_subscribe_gets_the_next_free_identifier_before_a_waiting_publish_does() {
    let mut bench = connected_with(Options { max_inflight: 65_535, ..options() });
    for ticket in 1..=65_600 {
        bench.command(Command::Publish(ticket, message(QoS::AtLeastOnce)));
    }
    while !bench.sent().is_empty() {}
    subscribe(&mut bench, 70_000, "f");
    assert_eq!(bench.sent(), [], "no identifier is free");
    bench.receive(&[0x40, 2, 0, 9]);
    assert_eq!(bench.sent(), [0x82, 6, 0, 9, 0, 1, b'f', 1]);
}

#[test]
fn no_free_identifier_does_not_keep_a_stopped_link_from_saying_so() {
    let mut bench = connected_with(Options { max_inflight: 65_535, ..options() });
    subscribe(&mut bench, 65_536, "f");
    for ticket in 1..=65_535 {
        bench.command(Command::Publish(ticket, message(QoS::AtLeastOnce)));
    }
    while !bench.sent().is_empty() {}
    bench.command(Command::Stop(Default::default()));
    assert_eq!(bench.sent(), [0xE0, 0]);
    assert_eq!(bench.engine.state(), State::Stopped);
}

#[test]
fn megabytes_of_restored_filters_are_not_taken_for_unread_answers() {
    let mut bench = connected();
    for ticket in 1..=100 {
        subscribe(&mut bench, ticket, &format!("{ticket}/{}", "x".repeat(60_000)));
        bench.sent();
        bench.receive(&[0x90, 3, 0, ticket as u8, 1]);
    }
    bench.cut();
    bench.link_up();
    bench.receive(&CONNACK_NEW);
    bench.receive(&[0x30, 4, 0, 1, b't', b'p']);
    assert_eq!(bench.engine.state(), State::Connected);
}

/// Two restored filters, one of which the server of the new connection does not take.
fn restored_without_wildcards(mut bench: Bench) -> Bench {
    for (ticket, name) in [(1, "a"), (2, "b/#")] {
        subscribe(&mut bench, ticket, name);
        bench.sent();
        bench.receive(&[0x90, 4, 0, ticket as u8, 0, 1]);
    }
    bench.cut();
    bench.link_up();
    bench.receive(&[0x20, 5, 0, 0, 2, 0x28, 0]);
    bench
}

#[test]
fn one_filter_that_the_server_does_not_take_costs_only_itself_its_restoration() {
    let mut bench = restored_without_wildcards(connected_with(options_5()));
    assert_eq!(bench.sent(), [0x82, 7, 0xFF, 0xFF, 0, 0, 1, b'a', 1]);
}

#[test]
fn a_claim_on_a_restoration_that_cannot_be_sent_is_answered() {
    let mut bench = restored_without_wildcards(connected_with(options_5()));
    subscribe(&mut bench, 3, "b/#");
    bench.sent();
    assert_eq!(granted(&bench, 3), [0x80]);
}

#[test]
fn a_claim_made_after_its_restoration_was_answered_completes_at_once() {
    let mut bench = connected();
    subscribe(&mut bench, 1, "f");
    bench.sent();
    bench.receive(&[0x90, 3, 0, 1, 1]);
    bench.cut();
    bench.link_up();
    bench.receive(&CONNACK_NEW);
    bench.sent();
    bench.receive(&[0x90, 3, 0xFF, 0xFF, 1]);
    subscribe(&mut bench, 2, "f");
    assert_eq!(granted(&bench, 2), [1]);
}

#[test]
fn a_filter_that_is_given_up_before_its_restoration_leaves_is_not_restored_at_the_next_connection() {
    let mut bench = connected();
    subscribe(&mut bench, 1, "f");
    bench.sent();
    bench.receive(&[0x90, 3, 0, 1, 1]);
    bench.cut();
    bench.link_up();
    bench.receive(&CONNACK_NEW);
    bench.command(Command::Unsubscribe(2, vec![ByteString::from("f")], Properties::new()));
    bench.cut();
    bench.command(Command::ReconnectNow);
    bench.link_up();
    bench.receive(&CONNACK_NEW);
    assert_eq!(bench.sent(), [0xA2, 5, 0, 2, 0, 1, b'f'], "the UNSUBSCRIBE alone");
}

#[test]
fn a_refused_change_of_a_subscription_leaves_the_granted_one_wanted() {
    let mut bench = connected();
    subscribe(&mut bench, 1, "f");
    bench.sent();
    bench.receive(&[0x90, 3, 0, 1, 1]);
    let change = vec![Subscription::new("f", QoS::ExactlyOnce)];
    bench.command(Command::Subscribe(2, change, Properties::new()));
    bench.sent();
    bench.receive(&[0x90, 3, 0, 2, 0x80]);
    bench.cut();
    bench.link_up();
    bench.receive(&CONNACK_NEW);
    assert_eq!(bench.sent(), [0x82, 6, 0xFF, 0xFF, 0, 1, b'f', 1]);
}

#[test]
fn a_request_that_is_too_large_fails_alone_and_what_it_would_have_changed_stands() {
    let mut bench = Bench::new(options_5());
    bench.command(Command::Start);
    bench.link_up();
    bench.receive(&[0x20, 8, 0, 0, 5, 0x27, 0, 0, 0, 32]);
    subscribe(&mut bench, 1, "f");
    bench.sent();
    bench.receive(&[0x90, 4, 0, 1, 0, 1]);
    let long =
        one(PropertyId::UserProperty, PropertyValue::Pair("k".into(), ByteString::from("v".repeat(40))));
    bench.command(Command::Subscribe(2, filter("f"), long));
    assert_eq!(bench.sent(), []);
    assert!(
        matches!(bench.completions(2)[..], [Outcome::Failed(e, _)] if e.code == ErrorCode::PacketTooLarge)
    );
    assert_eq!(bench.engine.stats().subscriptions, 1);
}

#[test]
fn one_filter_twice_in_a_subscribe_is_wanted_as_its_last_one() {
    let mut bench = connected();
    let twice = vec![Subscription::new("f", QoS::AtMostOnce), Subscription::new("f", QoS::ExactlyOnce)];
    bench.command(Command::Subscribe(1, twice, Properties::new()));
    bench.sent();
    bench.receive(&[0x90, 4, 0, 1, 0, 2]);
    assert_eq!(granted(&bench, 1), [0, 2]);
    bench.cut();
    bench.link_up();
    bench.receive(&CONNACK_NEW);
    assert_eq!(bench.sent(), [0x82, 6, 0xFF, 0xFF, 0, 1, b'f', 2]);
}

#[test]
fn a_restoration_that_does_not_fit_one_packet_goes_in_order_in_several() {
    let mut bench = connected_with(options_5());
    for ticket in 1..=5 {
        subscribe(&mut bench, ticket, &format!("filter/{ticket}"));
        bench.sent();
        bench.receive(&[0x90, 4, 0, ticket as u8, 0, 1]);
    }
    bench.cut();
    bench.link_up();
    bench.receive(&[0x20, 8, 0, 0, 5, 0x27, 0, 0, 0, 32]);
    let sent = bench.sent();
    let order: Vec<u8> = sent.windows(2).filter(|w| w[0] == b'/').map(|w| w[1]).collect();
    assert_eq!(order, *b"12345");
    bench.give(Input::Timeout);
    assert_eq!(bench.engine.state(), State::Connected);
}

#[test]
fn a_restoration_that_another_cut_prevents_is_made_on_the_next_link_although_the_new_session_is_present() {
    let mut bench = connected();
    subscribe(&mut bench, 1, "f");
    bench.sent();
    bench.receive(&[0x90, 3, 0, 1, 1]);
    bench.cut();
    bench.link_up();
    bench.receive(&CONNACK_NEW);
    bench.cut();
    bench.command(Command::ReconnectNow);
    bench.link_up();
    bench.receive(&CONNACK_PRESENT);
    assert_eq!(bench.sent(), [0x82, 6, 0xFF, 0xFF, 0, 1, b'f', 1]);
}

#[test]
fn a_claim_that_a_cut_turns_into_a_request_keeps_its_place_before_a_later_unsubscribe() {
    let mut bench = connected();
    subscribe(&mut bench, 1, "f");
    bench.sent();
    bench.receive(&[0x90, 3, 0, 1, 1]);
    bench.cut();
    bench.link_up();
    bench.receive(&CONNACK_NEW);
    subscribe(&mut bench, 2, "f");
    bench.command(Command::Unsubscribe(3, vec![ByteString::from("f")], Properties::new()));
    bench.sent();
    bench.cut();
    bench.command(Command::ReconnectNow);
    bench.link_up();
    bench.receive(&CONNACK_PRESENT);
    assert_eq!(bench.sent(), [0x82, 6, 0, 2, 0, 1, b'f', 1, 0xA2, 5, 0, 3, 0, 1, b'f']);
}
