//! What survives a process: which bytes wait for which change, and what the next process makes of the rows.

#![allow(clippy::expect_used)] // a failing test may panic anywhere

use crate::bench::*;
use remqtt_proto::{
    Acknowledge, Command, Delivery, Engine, Error, ErrorCode, Event, Input, Key, Options, Outcome,
    Properties, PropertyId, PropertyValue, QoS, Recovery, SessionState, State,
};
use std::time::Duration;

const PUBLISH_1: [u8; 8] = [0x32, 6, 0, 1, b't', 0, 1, b'p'];
const PUBLISH_1_DUP: [u8; 8] = [0x3A, 6, 0, 1, b't', 0, 1, b'p'];

/// Connected, and everything durable.
fn stored() -> Bench {
    let mut bench = Bench::stored(options());
    bench.command(Command::Start);
    bench.link_up();
    bench.receive(&CONNACK_NEW);
    bench.persist_all();
    bench
}

fn restarted(bench: &mut Bench) -> Recovery {
    let recovery = bench.live_again(options());
    assert_eq!(recovery.damage(), None);
    bench.command(Command::Start);
    bench.link_up();
    recovery
}

/// The next process of one that died with a publish in flight.
fn restarted_in_flight() -> Bench {
    let mut bench = stored();
    bench.command(Command::Publish(1, message(QoS::AtLeastOnce)));
    bench.sent();
    bench.persist_all();
    bench.sent();
    restarted(&mut bench);
    bench.receive(&CONNACK_PRESENT);
    bench
}

/// The delivery of the last message.
fn delivery(bench: &Bench) -> Delivery {
    let found = bench.events.iter().rev().find_map(|event| match event {
        Event::Message(message) => message.delivery,
        _ => None,
    });
    found.expect("a message with an acknowledgement")
}

/// The application has finished with a QoS 2 message under identifier 7, and that is not durable.
fn finished_with_a_message() -> Bench {
    let mut bench = stored();
    bench.receive(&[0x34, 6, 0, 1, b't', 0, 7, b'A']);
    let first = delivery(&bench);
    bench.command(Command::Acknowledge(vec![first]));
    bench
}

#[test]
fn an_engine_without_a_store_has_nothing_to_write() {
    let mut bench = connected();
    bench.command(Command::Publish(1, message(QoS::ExactlyOnce)));
    bench.command(Command::Subscribe(2, filter("f"), Properties::new()));
    bench.sent();
    assert!(bench.changes.is_empty());
}

#[test]
fn a_publish_leaves_when_message_and_identifier_are_durable_and_not_before() {
    let mut bench = stored();
    bench.command(Command::Publish(1, message(QoS::AtLeastOnce)));
    assert!(!bench.changes.is_empty());
    while !bench.changes.is_empty() {
        assert_eq!(bench.sent(), [], "{} changes to go", bench.changes.len());
        bench.persist(1);
    }
    assert_eq!(bench.sent(), PUBLISH_1);
}

#[test]
fn qos_0_waits_for_no_disk() {
    let mut bench = stored();
    bench.command(Command::Publish(1, message(QoS::AtMostOnce)));
    assert_eq!(bench.sent(), [0x30, 4, 0, 1, b't', b'p']);
    assert!(bench.changes.is_empty());
}

#[test]
fn a_window_of_publishes_is_one_batch() {
    let mut bench = stored();
    for ticket in 1..=100 {
        bench.command(Command::Publish(ticket, message(QoS::AtLeastOnce)));
    }
    assert_eq!(bench.sent(), [], "nothing is durable");
    bench.persist_all();
    assert_eq!(bench.sent().len(), 100 * PUBLISH_1.len(), "one batch for all of them");
}

#[test]
fn what_was_accepted_and_never_sent_is_sent_by_the_next_process_as_new() {
    let mut bench = Bench::stored(options());
    bench.command(Command::Publish(1, message(QoS::AtLeastOnce)));
    bench.persist_all();
    let recovery = restarted(&mut bench);
    assert_eq!(recovery.pending().map(|(ticket, ..)| ticket).collect::<Vec<_>>(), [1]);
    bench.receive(&CONNACK_NEW);
    bench.sent();
    bench.persist_all();
    assert_eq!(bench.sent(), PUBLISH_1);
    bench.receive(&[0x40, 2, 0, 1]);
    assert_eq!(bench.completions(1), [&Outcome::Published(0, Properties::new())]);
    bench.persist_all();
    assert_eq!(restarted(&mut bench).pending().count(), 0);
}

#[test]
fn what_was_in_flight_is_sent_again_by_the_next_process_under_its_identifier() {
    let mut bench = restarted_in_flight();
    assert_eq!(bench.session(), Some(SessionState::Resumed));
    assert_eq!(bench.sent(), PUBLISH_1_DUP);
}

#[test]
fn an_acknowledgement_that_comes_before_the_next_process_sends_again_counts() {
    let mut bench = restarted_in_flight();
    bench.receive(&[0x40, 2, 0, 1]);
    assert_eq!((bench.completions(1).len(), bench.sent()), (1, Vec::new()));
}

#[test]
fn an_acknowledgement_of_what_waits_for_the_disk_completes_nothing() {
    for (qos, ack) in [(QoS::AtLeastOnce, [0x40, 2, 0, 1]), (QoS::ExactlyOnce, [0x50, 2, 0, 1])] {
        let mut bench = stored();
        bench.command(Command::Publish(1, message(qos)));
        assert_eq!(bench.sent(), [], "it has its identifier, and its row is not durable");
        bench.receive(&ack);
        assert!(bench.completions(1).is_empty());
        bench.sent();
        bench.persist_all();
        assert_eq!(bench.sent(), [0x30 | (qos as u8) << 1, 6, 0, 1, b't', 0, 1, b'p']);
    }
}

#[test]
fn a_link_lost_before_the_identifier_was_durable_leaves_no_dup_behind() {
    let mut bench = stored();
    bench.command(Command::Publish(1, message(QoS::AtLeastOnce)));
    assert_eq!(bench.sent(), []);
    bench.cut();
    bench.link_up();
    bench.receive(&CONNACK_PRESENT);
    bench.persist_all();
    assert_eq!(bench.sent(), PUBLISH_1, "it is sent for the first time");
}

#[test]
fn a_pubrel_leaves_when_the_release_is_durable_and_is_all_that_the_next_process_sends() {
    let mut bench = stored();
    bench.command(Command::Publish(1, message(QoS::ExactlyOnce)));
    bench.sent();
    bench.persist_all();
    bench.sent();
    bench.receive(&[0x50, 2, 0, 1]);
    assert_eq!(bench.sent(), [], "the release is not durable");
    bench.persist_all();
    assert_eq!(bench.sent(), [0x62, 2, 0, 1]);
    restarted(&mut bench);
    bench.receive(&CONNACK_PRESENT);
    assert_eq!(bench.sent(), [0x62, 2, 0, 1]);
}

#[test]
fn a_pubrec_leaves_when_the_identifier_is_durable_and_the_next_process_knows_the_message() {
    let mut bench = finished_with_a_message();
    assert_eq!(bench.sent(), [], "the identifier is not durable");
    bench.persist_all();
    assert_eq!(bench.sent(), [0x50, 2, 0, 7]);
    restarted(&mut bench);
    bench.receive(&CONNACK_PRESENT);
    bench.receive(&[0x3C, 6, 0, 1, b't', 0, 7, b'A']);
    assert!(
        !bench.events.iter().any(|event| matches!(event, Event::Message(_))),
        "it is not delivered again"
    );
    assert_eq!(bench.sent(), [0x50, 2, 0, 7]);
}

#[test]
fn a_pubcomp_leaves_when_the_identifier_is_durably_free() {
    let mut bench = finished_with_a_message();
    bench.persist_all();
    bench.sent();
    bench.receive(&[0x62, 2, 0, 7]);
    assert_eq!(bench.sent(), []);
    bench.persist_all();
    assert_eq!(bench.sent(), [0x70, 2, 0, 7]);
    restarted(&mut bench);
    bench.receive(&CONNACK_PRESENT);
    bench.receive(&[0x3C, 6, 0, 1, b't', 0, 7, b'B']);
    delivery(&bench);
}

#[test]
fn a_pubcomp_waits_on_the_next_link_too_while_the_identifier_is_not_durably_free() {
    let mut bench = finished_with_a_message();
    bench.persist_all();
    bench.sent();
    bench.receive(&[0x62, 2, 0, 7]);
    bench.cut();
    bench.link_up();
    bench.receive(&CONNACK_PRESENT);
    bench.receive(&[0x62, 2, 0, 7]);
    assert_eq!(bench.sent(), [], "with it the server would use the identifier again");
    bench.persist_all();
    assert_eq!(bench.sent(), [0x70, 2, 0, 7]);
}

#[test]
fn answers_keep_their_order_while_one_of_them_waits() {
    let mut bench = stored();
    bench.receive(&[0x34, 6, 0, 1, b't', 0, 7, b'A']);
    bench.receive(&[0x32, 6, 0, 1, b't', 0, 8, b'B']);
    let deliveries: Vec<Delivery> = bench
        .events
        .iter()
        .filter_map(|event| if let Event::Message(message) = event { message.delivery } else { None })
        .collect();
    bench.command(Command::Acknowledge(deliveries));
    assert_eq!(bench.sent(), [], "the PUBACK stays behind the PUBREC [MQTT-4.6.0-2]");
    bench.persist_all();
    assert_eq!(bench.sent(), [0x50, 2, 0, 7, 0x40, 2, 0, 8]);
}

#[test]
fn wanted_filters_are_restored_by_the_next_process_and_given_up_ones_are_not() {
    let mut bench = stored();
    bench.command(Command::Subscribe(1, filter("f"), Properties::new()));
    bench.command(Command::Subscribe(2, filter("g"), Properties::new()));
    bench.command(Command::Unsubscribe(3, vec!["g".into()], Properties::new()));
    bench.persist_all();
    restarted(&mut bench);
    bench.receive(&CONNACK_NEW);
    assert_eq!(bench.sent(), [0x82, 6, 0xFF, 0xFF, 0, 1, b'f', 1]);
}

#[test]
fn a_lost_session_is_forgotten_on_disk_too() {
    let mut bench = stored();
    bench.command(Command::Publish(1, message(QoS::ExactlyOnce)));
    bench.sent();
    bench.persist_all();
    bench.sent();
    bench.receive(&[0x50, 2, 0, 1]);
    bench.persist_all();
    bench.cut();
    bench.link_up();
    bench.receive(&CONNACK_NEW);
    bench.persist_all();
    restarted(&mut bench);
    bench.receive(&CONNACK_PRESENT);
    bench.sent();
    bench.persist_all();
    assert_eq!(bench.sent(), [0x34, 6, 0, 1, b't', 0, 1, b'p'], "as new, and no PUBREL");
}

#[test]
fn closing_completes_every_ticket_and_leaves_the_messages_in_the_store() {
    let mut bench = stored();
    bench.command(Command::Publish(1, message(QoS::AtLeastOnce)));
    bench.persist_all();
    bench.command(Command::Close);
    assert_eq!(bench.completions(1).len(), 1);
    bench.persist_all();
    assert_eq!(restarted(&mut bench).pending().count(), 1);
}

#[test]
fn stopping_waits_for_the_disk_before_it_says_goodbye() {
    let mut bench = stored();
    bench.command(Command::Publish(1, message(QoS::AtLeastOnce)));
    bench.command(Command::Stop(Default::default()));
    assert_eq!(bench.sent(), []);
    bench.persist_all();
    assert_eq!(bench.sent(), [&PUBLISH_1[..], &[0xE0, 0]].concat());
}

#[test]
fn a_disk_that_cannot_be_written_refuses_what_is_new_and_loses_nothing() {
    let mut bench = stored();
    bench.command(Command::Publish(1, message(QoS::AtLeastOnce)));
    bench.give(Input::PersistFailed(Error::new(ErrorCode::StoreFailed, "disk full")));
    bench.command(Command::Publish(2, message(QoS::AtLeastOnce)));
    assert!(matches!(bench.completions(2)[..], [Outcome::Failed(e, _)] if e.code == ErrorCode::StoreFailed));
    assert_eq!((bench.sent(), bench.engine.state()), (Vec::new(), State::Connected));
    bench.persist_all();
    assert_eq!(bench.sent(), PUBLISH_1);
    bench.command(Command::Publish(3, message(QoS::AtLeastOnce)));
    assert!(bench.completions(3).is_empty(), "accepted again");
    let store: Vec<bool> = bench
        .events
        .iter()
        .filter_map(|event| if let Event::Store(trouble) = event { Some(trouble.is_some()) } else { None })
        .collect();
    assert_eq!(store, [true, false]);
}

#[test]
fn rows_that_are_lost_while_the_disk_refuses_are_told_too() {
    let mut bench = stored();
    bench.command(Command::Publish(1, message(QoS::AtLeastOnce)));
    for code in [ErrorCode::StoreFailed, ErrorCode::StoreFailed, ErrorCode::StoreDamaged] {
        bench.give(Input::PersistFailed(Error::new(code, "trouble")));
    }
    bench.persist_all();
    let told = |event: &Event| if let Event::Store(trouble) = event { Some(trouble.clone()) } else { None };
    let told: Vec<_> =
        bench.events.iter().filter_map(told).map(|error| error.map(|error| error.code)).collect();
    assert_eq!(told, [Some(ErrorCode::StoreFailed), Some(ErrorCode::StoreDamaged), None]);
}

#[test]
fn a_message_expires_at_the_same_moment_in_the_next_process() {
    let mut bench = Bench::stored(options_5());
    let mut publish = message(QoS::AtLeastOnce);
    publish.properties = one(PropertyId::MessageExpiryInterval, PropertyValue::FourByte(10));
    bench.command(Command::Publish(1, publish));
    bench.persist_all();
    bench.pass(Duration::from_secs(4));
    bench.live_again(options_5());
    bench.pass(Duration::from_millis(5_999));
    assert!(bench.completions(1).is_empty());
    bench.pass(Duration::from_millis(1));
    assert!(matches!(bench.completions(1)[..], [Outcome::Failed(e, _)] if e.code == ErrorCode::Expired));
}

#[test]
fn tickets_of_a_process_are_not_used_again_by_the_next_one() {
    let mut bench = stored();
    for ticket in 1..=10 {
        bench.command(Command::Publish(ticket, message(QoS::AtLeastOnce)));
        bench.persist_all();
        bench.sent();
        bench.persist_all();
        bench.sent();
        bench.receive(&[0x40, 2, 0, ticket as u8]);
    }
    bench.persist_all();
    assert!(restarted(&mut bench).last_ticket() >= 10);
}

#[test]
fn a_made_up_client_identifier_is_that_of_the_next_process_too() {
    let nameless = || Options { client_id: Default::default(), ..options() };
    let mut bench = Bench::stored(nameless());
    let made_up = bench.engine.options().client_id.clone();
    bench.persist_all();
    bench.live_again(nameless());
    assert_eq!(bench.engine.options().client_id, made_up);
}

#[test]
fn rows_that_make_no_sense_are_told_and_the_others_count() {
    let mut bench = Bench::stored(options());
    bench.command(Command::Publish(1, message(QoS::AtLeastOnce)));
    bench.command(Command::Publish(2, message(QoS::AtLeastOnce)));
    bench.persist_all();
    let victim = bench.disk.keys().find(|key| key[0] == b'P').cloned().expect("a publish");
    bench.disk.insert(victim, vec![0; 3].into());
    bench.disk.insert(b"Q".to_vec().into(), Default::default());
    let recovery = bench.live_again(options());
    let damage = recovery.damage().expect("damage");
    assert!(damage.contains("a row of kind P") && damage.contains("a row of kind Q"), "{damage}");
    assert_eq!(recovery.pending().map(|(ticket, ..)| ticket).collect::<Vec<_>>(), [2]);
}

#[test]
fn a_number_that_nothing_can_follow_is_damage_and_the_client_counts_on() {
    let (last, never, one) = (u64::MAX.to_be_bytes(), i64::MAX.to_be_bytes(), 1u64.to_be_bytes());
    let row = |key: [&[u8]; 2], value: &[&[u8]]| (key.concat(), value.concat());
    let rows = [
        row([b"P", &last], &[&one, &never, &[4], &PUBLISH_1]),
        row([b"P", &one], &[&last, &never, &[4], &PUBLISH_1]),
        row([b"F", &last], &[&[0, 9, 0]]),
        row([b"T", &[]], &[&last]),
        row([b"N", &[]], &[&one, &last]),
        row([b"A", &last], &[&[0x32, 7, 0, 1, b't', 0, 7, 0, b'A']]),
        row([b"L", &last], &[]),
        row([b"W", b"g"], &[&last, &[1, 0]]),
    ];
    for (key, value) in rows {
        let options = Options { acknowledge: Acknowledge::Stored, ..options() };
        let kind = format!("a row of kind {}", char::from(key[0]));
        let mut bench = Bench::stored(options.clone());
        bench.disk.insert(key.into(), value.into());
        let recovery = bench.live_again(options);
        assert!(recovery.damage().is_some_and(|damage| damage.starts_with(&kind)), "{kind}");
        bench.command(Command::Start);
        bench.link_up();
        bench.receive(&CONNACK_NEW);
        bench.command(Command::Publish(recovery.last_ticket() + 1, message(QoS::AtLeastOnce)));
        bench.command(Command::Subscribe(recovery.last_ticket() + 2, filter("f"), Properties::new()));
        bench.receive(&[0x32, 6, 0, 1, b't', 0, 7, b'A']);
        bench.persist_all();
        delivery(&bench);
        bench.sent();
        bench.persist_all();
        assert!(bench.sent().ends_with(&PUBLISH_1), "{kind}");
    }
}

#[test]
fn after_rows_were_lost_numbers_begin_where_no_client_can_have_been_and_the_next_process_knows() {
    let options = || Options { acknowledge: Acknowledge::Stored, ..options() };
    let mut bench = Bench::stored(options());
    bench.disk.insert("T".into(), 4096_u64.to_be_bytes().to_vec().into());
    bench.disk.insert("N".into(), [1_u64.to_be_bytes(), 4096_u64.to_be_bytes()].concat().into());
    let mut recovery = Recovery::default();
    bench.disk.iter().for_each(|(key, value)| recovery.row(key, value));
    recovery.complete();
    recovery.distrust();
    let last = recovery.last_ticket();
    assert!(last > 4096 + 1_000_000);
    bench.engine = Engine::recover(options(), recovery, 43, bench.now, 0);
    bench.give(Input::Timeout);
    bench.persist_all();
    assert_eq!(bench.live_again(options()).last_ticket(), last);
    bench.command(Command::Start);
    bench.link_up();
    bench.receive(&CONNACK_NEW);
    bench.receive(&[0x32, 6, 0, 1, b't', 0, 7, b'A']);
    bench.persist_all();
    let token = bench.events.iter().find_map(|event| match event {
        Event::Message(message) => message.token,
        _ => None,
    });
    assert!(token.is_some_and(|token| token.epoch == 1 && token.sequence > 1_000_000), "{token:?}");
}

#[test]
fn a_promise_that_may_be_lost_is_given_again() {
    let mut bench = stored();
    bench.command(Command::Publish(1, message(QoS::AtLeastOnce)));
    bench.persist_all();
    bench.disk.remove(&Key::from("T"));
    bench.give(Input::PersistFailed(Error::new(ErrorCode::StoreDamaged, "rows are lost")));
    bench.persist_all();
    assert!(bench.disk.contains_key(&Key::from("T")));
}
