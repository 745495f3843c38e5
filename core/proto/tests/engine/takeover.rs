//! Sessions that another client takes over, where the server says no more than the end of the link: it cannot on
//! MQTT 3.1.1, and some do not on MQTT 5, although they have to [MQTT-3.1.4-3].

use crate::bench::*;
use remqtt_proto::{Command, ErrorCode, Event, QoS, State};
use std::time::Duration;

const MS: Duration = Duration::from_millis(1);
const MINUTE: Duration = Duration::from_secs(60);

/// Connected, and stable.
fn stable() -> Bench {
    let mut bench = connected();
    bench.pass(Duration::from_secs(6));
    bench
}

/// A message of QoS 1 under this identifier, which is acknowledged.
fn message_comes(bench: &mut Bench, identifier: u8) {
    bench.receive(&[0x32, 6, 0, 1, b't', 0, identifier, b'p']);
    let delivery = bench.events.iter().rev().find_map(|event| match event {
        Event::Message(message) => message.delivery,
        _ => None,
    });
    bench.command(Command::Acknowledge(delivery.into_iter().collect()));
    assert_eq!(bench.sent(), [0x40, 2, 0, identifier]);
}

/// The server ends the link in order.
fn end(bench: &mut Bench) {
    bench.receive(&[]);
    bench.cut();
}

/// For a minute `live` is what happens on a link, to its end. Gives the number of attempts, and whether the client ever
/// thought that it was taken over.
fn minute(bench: &mut Bench, mut live: impl FnMut(&mut Bench, u8)) -> (u8, bool) {
    let over = bench.now + MINUTE;
    let mut attempts = 0;
    while bench.now < over {
        live(bench, attempts);
        while bench.engine.state() != State::Connecting && bench.now < over {
            bench.pass(MS);
        }
        if bench.now < over {
            attempts += 1;
            bench.link_up();
            bench.receive(&CONNACK_PRESENT);
            bench.sent();
        }
    }
    (attempts, taken_over(bench))
}

fn taken_over(bench: &Bench) -> bool {
    let told = |event: &Event| {
        let Event::Disconnected(disconnected) = event else { return false };
        disconnected.error.as_ref().is_some_and(|error| error.code == ErrorCode::SessionTakenOver)
    };
    bench.events.iter().any(told)
}

#[test]
fn a_rival_that_always_comes_back_is_left_in_peace_also_by_a_client_that_gets_messages() {
    for (wait, most) in [(0, 3), (100, 2), (500, 2), (1_000, 2), (1_900, 2)] {
        let (attempts, taken_over) = minute(&mut stable(), |bench, number| {
            message_comes(bench, number + 1);
            bench.pass(wait * MS);
            end(bench);
        });
        assert!(taken_over && attempts <= most, "{attempts} attempts against one that waits {wait} ms");
    }
}

#[test]
fn a_takeover_is_recognised_on_mqtt_5_too_where_the_server_does_not_say_it() {
    let mut bench = connected_with(options_5());
    for _ in 0..4 {
        end(&mut bench);
        bench.command(Command::ReconnectNow);
        bench.link_up();
        bench.receive(&CONNACK_PRESENT_5);
    }
    assert!(taken_over(&bench));
}

#[test]
fn a_link_that_is_reset_is_no_takeover() {
    let (_, taken_over) = minute(&mut stable(), |bench, number| {
        message_comes(bench, number + 1);
        bench.cut();
    });
    assert!(!taken_over);
}

#[test]
fn a_link_that_ends_in_order_and_is_reset_by_turns_is_no_takeover() {
    let (_, taken_over) = minute(&mut stable(), |bench, number| match number % 3 {
        0 => bench.cut(),
        _ => end(bench),
    });
    assert!(!taken_over);
}

#[test]
fn a_link_that_ends_in_order_after_a_while_is_no_takeover() {
    let (_, taken_over) = minute(&mut stable(), |bench, _| {
        bench.pass(2_000 * MS);
        end(bench);
    });
    assert!(!taken_over);
}

#[test]
fn a_link_that_ends_with_a_publish_of_ours_is_no_takeover() {
    let (_, taken_over) = minute(&mut stable(), |bench, number| {
        bench.command(Command::Publish(u64::from(number) + 1, message(QoS::AtLeastOnce)));
        bench.sent();
        end(bench);
    });
    assert!(!taken_over);
}

#[test]
fn a_link_that_always_ends_with_the_same_message_is_no_takeover() {
    let mut bench = stable();
    for _ in 0..4 {
        bench.receive(&[0x32, 6, 0, 1, b't', 0, 1, b'p']);
        end(&mut bench);
        bench.command(Command::ReconnectNow);
        bench.link_up();
        bench.receive(&CONNACK_PRESENT);
    }
    assert!(!taken_over(&bench));
}
