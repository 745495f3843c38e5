//! How much a message outlives: levels of publishes, and received messages that are stored before they are acknowledged.

#![allow(clippy::expect_used)] // a failing test may panic anywhere

use crate::bench::*;
use remqtt_proto::{Acknowledge, Command, Event, Level, Message, Options, Outcome, QoS};
use std::sync::Arc;

const PUBLISH_1: [u8; 8] = [0x32, 6, 0, 1, b't', 0, 1, b'p'];
/// A QoS 2 message for us under identifier 7, and the same again.
const FOR_US: [u8; 8] = [0x34, 6, 0, 1, b't', 0, 7, b'A'];
const FOR_US_DUP: [u8; 8] = [0x3C, 6, 0, 1, b't', 0, 7, b'A'];
const PUBREC: [u8; 4] = [0x50, 2, 0, 7];
const PUBREL: [u8; 4] = [0x62, 2, 0, 7];
const PUBCOMP: [u8; 4] = [0x70, 2, 0, 7];

fn storing() -> Options {
    Options { acknowledge: Acknowledge::Stored, ..options() }
}

/// Connected, and everything durable.
fn stored(options: Options) -> Bench {
    let mut bench = Bench::stored(options);
    bench.command(Command::Start);
    bench.link_up();
    bench.receive(&CONNACK_NEW);
    bench.persist_all();
    bench
}

/// The process dies; the next one is connected.
fn restarted(bench: &mut Bench, options: Options) {
    assert_eq!(bench.live_again(options).damage(), None);
    bench.command(Command::Start);
    bench.link_up();
    bench.receive(&CONNACK_PRESENT);
}

fn messages(bench: &Bench) -> Vec<Message> {
    let messages = bench.events.iter().filter_map(|event| match event {
        Event::Message(message) => Some(message.clone()),
        _ => None,
    });
    messages.collect()
}

fn finish(bench: &mut Bench, message: &Message) {
    bench.command(Command::Acknowledge(message.delivery.into_iter().collect()));
}

#[test]
fn a_publish_in_memory_leaves_at_once_and_dies_with_the_process() {
    let mut bench = stored(options());
    bench.command(Command::PublishAt(1, message(QoS::AtLeastOnce), Level::Memory));
    assert_eq!(bench.sent(), PUBLISH_1);
    assert!(bench.changes.is_empty());
    assert_eq!(bench.live_again(options()).pending().count(), 0);
}

#[test]
fn qos_2_is_stored_at_any_level() {
    let mut bench = stored(options());
    bench.command(Command::PublishAt(1, message(QoS::ExactlyOnce), Level::Memory));
    assert_eq!(bench.sent(), [], "it waits for its row");
    bench.persist_all();
    assert_eq!(bench.live_again(options()).pending().count(), 1);
}

#[test]
fn a_publish_at_level_fsynced_is_complete_once_it_is_durable_and_only_then() {
    let mut bench = stored(options());
    bench.command(Command::PublishAt(1, message(QoS::AtLeastOnce), Level::Fsynced));
    assert!(bench.completions(1).is_empty());
    bench.persist_all();
    assert_eq!(bench.completions(1), [&Outcome::Durable]);
    bench.sent();
    bench.persist_all();
    assert_eq!(bench.sent(), PUBLISH_1);
    bench.receive(&[0x40, 2, 0, 1]);
    assert_eq!(bench.completions(1), [&Outcome::Durable], "it has one end");
    assert_eq!(bench.engine.stats().published, 1);
}

#[test]
fn a_durable_publish_that_is_given_up_is_told() {
    let mut bench = stored(options());
    bench.command(Command::PublishAt(1, message(QoS::AtLeastOnce), Level::Fsynced));
    bench.persist_all();
    bench.sent();
    bench.persist_all();
    bench.sent();
    bench.command(Command::DropPublishes(std::sync::mpsc::channel().0));
    let told = bench.events.iter().any(|event| {
        matches!(event, Event::Store(Some(error)) if error.detail.contains("publish 1, which was durable"))
    });
    assert!(told, "{:?}", bench.events);
    assert_eq!(bench.completions(1), [&Outcome::Durable]);
}

#[test]
fn a_publish_that_is_dropped_before_it_is_durable_is_not_called_durable_later() {
    let mut bench = stored(options());
    bench.command(Command::PublishAt(1, message(QoS::AtLeastOnce), Level::Fsynced));
    bench.command(Command::DropPublishes(std::sync::mpsc::channel().0));
    bench.persist_all();
    assert!(matches!(bench.completions(1)[..], [Outcome::Failed(..)]));
}

#[test]
fn a_message_is_delivered_and_acknowledged_when_it_is_durable_and_not_before() {
    let mut bench = stored(storing());
    bench.receive(&FOR_US);
    assert!(!bench.changes.is_empty());
    while !bench.changes.is_empty() {
        assert_eq!((messages(&bench).len(), bench.sent()), (0, vec![]));
        bench.persist(1);
    }
    assert_eq!(messages(&bench).len(), 1);
    assert_eq!(bench.sent(), PUBREC, "the application has not finished with it");
}

#[test]
fn an_acknowledged_message_that_nobody_finished_with_comes_again_under_its_token() {
    let mut bench = stored(storing());
    bench.receive(&FOR_US);
    bench.persist_all();
    bench.sent();
    let first = messages(&bench).remove(0);
    restarted(&mut bench, storing());
    let again = messages(&bench);
    assert_eq!(again.len(), 1);
    assert_eq!((again[0].token, &again[0].publish), (first.token, &first.publish));
    assert!(again[0].redelivered && !first.redelivered && first.token.is_some());
    bench.receive(&FOR_US_DUP);
    assert_eq!((messages(&bench).len(), bench.sent()), (1, PUBREC.to_vec()), "the server's is the same");
}

#[test]
fn the_identifier_of_a_message_that_is_finished_with_stays_taken_until_its_pubrel() {
    let mut bench = stored(storing());
    bench.receive(&FOR_US);
    bench.persist_all();
    bench.sent();
    let first = messages(&bench).remove(0);
    finish(&mut bench, &first);
    for durable in 0..=bench.changes.len() {
        // Whichever of the changes the process dies after.
        let mut other = stored(storing());
        other.disk = bench.disk.clone();
        other.changes = bench.changes.clone();
        let kept: Vec<_> = other.changes.drain(..durable).collect();
        for (_, change) in kept {
            match change.value {
                Some(value) => other.disk.insert(change.key, value),
                None => other.disk.remove(&change.key),
            };
        }
        restarted(&mut other, storing());
        let redelivered = messages(&other).len();
        other.receive(&FOR_US_DUP);
        other.persist_all();
        assert_eq!(messages(&other).len(), redelivered, "after {durable} changes: a second delivery");
        assert_eq!(other.sent(), PUBREC);
    }
}

#[test]
fn a_released_identifier_is_free_although_the_message_is_not_finished_with() {
    let mut bench = stored(storing());
    bench.receive(&FOR_US);
    bench.persist_all();
    bench.sent();
    bench.receive(&PUBREL);
    assert_eq!(bench.sent(), [], "that it is free is not durable");
    bench.persist_all();
    assert_eq!(bench.sent(), PUBCOMP);
    restarted(&mut bench, storing());
    assert_eq!(messages(&bench).len(), 1);
    bench.receive(&FOR_US_DUP);
    bench.persist_all();
    assert_eq!(messages(&bench).len(), 2, "under a free identifier it is another message");
    let all = messages(&bench);
    all.iter().for_each(|message| finish(&mut bench, message));
    bench.receive(&PUBREL);
    bench.persist_all();
    assert!(bench.disk.keys().all(|key| !b"ALR".contains(&key[0])), "{:?}", bench.disk);
    assert_eq!(bench.engine.unfinished_bytes(), 0);
}

#[test]
fn what_the_application_says_it_has_finished_with_does_not_come_again() {
    let mut bench = stored(storing());
    for number in 1..=3 {
        bench.receive(&[0x32, 6, 0, 1, b't', 0, number, b'A']);
    }
    bench.persist_all();
    bench.sent();
    let all = messages(&bench);
    let resume_after = all[1].token.expect("a token").to_string().into();
    restarted(&mut bench, Options { resume_after, ..storing() });
    let again: Vec<_> = messages(&bench).iter().map(|message| message.token).collect();
    assert_eq!(again, [all[2].token]);
}

#[test]
fn a_token_of_another_store_skips_nothing() {
    let mut bench = stored(storing());
    bench.receive(&FOR_US);
    bench.persist_all();
    let resume_after = "00000000000000ff-99".into();
    restarted(&mut bench, Options { resume_after, ..storing() });
    assert_eq!(messages(&bench).len(), 1);
}

#[test]
fn tokens_grow_over_restarts_although_nothing_is_left_of_the_messages() {
    let mut bench = stored(storing());
    bench.receive(&FOR_US);
    bench.persist_all();
    let first = messages(&bench).remove(0);
    finish(&mut bench, &first);
    bench.receive(&PUBREL);
    bench.persist_all();
    restarted(&mut bench, storing());
    bench.receive(&FOR_US);
    bench.persist_all();
    let second = messages(&bench).remove(0);
    assert!(second.token > first.token);
    assert_eq!(second.token.map(|token| token.epoch), first.token.map(|token| token.epoch));
}

#[test]
fn a_closed_client_leaves_its_unfinished_messages_to_the_next_one() {
    let mut bench = stored(storing());
    bench.receive(&FOR_US);
    bench.persist_all();
    bench.command(Command::Close);
    bench.persist_all();
    restarted(&mut bench, options());
    assert_eq!(messages(&bench).len(), 1, "also where it would not store new ones");
}

#[test]
fn however_many_acknowledgements_wait_for_the_disk_they_all_leave() {
    for qos in [1, 2] {
        let mut bench = stored(storing());
        for number in 1..=200 {
            bench.receive(&[0x30 | qos << 1, 6, 0, 1, b't', 0, number, number]);
        }
        assert_eq!(bench.sent(), []);
        bench.persist_all();
        assert_eq!(bench.sent().len(), 4 * 200);
    }
}

/// Payloads of messages, and gaps, in the order in which the application was told.
fn told(bench: &Bench) -> Vec<String> {
    let told = bench.events.iter().filter_map(|event| match event {
        Event::Message(message) => Some(String::from_utf8_lossy(&message.publish.payload).into_owned()),
        Event::Gap(gap) => Some(format!("{} missing", gap.missing())),
        _ => None,
    });
    told.collect()
}

#[test]
fn a_gap_is_told_right_before_the_message_that_shows_it() {
    let mut bench = stored(Options { sequence_in_payload: true, ..storing() });
    for payload in [b'1', b'2', b'5'] {
        bench.receive(&[0x32, 6, 0, 1, b't', 0, payload, payload]);
    }
    assert_eq!(told(&bench).len(), 0);
    bench.persist_all();
    assert_eq!(told(&bench), ["1", "2", "2 missing", "5"]);
}

#[test]
fn a_message_that_is_not_stored_overtakes_none_that_waits_for_the_disk() {
    let mut bench = stored(Options { deliver_invalid_topics: true, ..storing() });
    bench.receive(&FOR_US);
    bench.receive(&[0x32, 6, 0, 1, 0xFF, 0, 8, b'B']);
    bench.command(Command::Reconfigure(Arc::new(options())));
    bench.receive(&[0x32, 6, 0, 1, b't', 0, 9, b'C']);
    bench.receive(&[0x30, 4, 0, 1, b't', b'0']);
    assert_eq!(told(&bench), ["0"], "only QoS 0 waits for no disk");
    bench.persist_all();
    assert_eq!(told(&bench), ["0", "A", "B", "C"]);
    bench.receive(&[0x32, 6, 0, 1, b't', 0, 10, b'D']);
    assert_eq!(told(&bench).len(), 5, "nothing waits any more");
}
