//! Several servers at once, where the options want that.

use crate::bench::*;
use remqtt_proto::{Command, Error, ErrorCode, Event, Input, Options, Output, State};
use std::time::Duration;

const MS: Duration = Duration::from_millis(1);
const CONNACK: [u8; 4] = [0x20, 2, 0, 0];

fn racing(servers: &[&str]) -> Bench {
    let servers = servers.iter().map(|name| format!("mqtt://{name}")).collect();
    let mut bench = Bench::new(Options { servers, race_servers: true, ..options() });
    bench.command(Command::Start);
    bench
}

fn dialled(bench: &Bench) -> Vec<usize> {
    let of = |event: &Event| if let Event::Connecting(_, server) = event { Some(*server) } else { None };
    bench.events.iter().filter_map(of).collect()
}

fn url(bench: &Bench, attempt: Option<u64>) -> &str {
    attempt.and_then(|attempt| bench.engine.server(attempt)).map_or("nobody", |(url, _)| url)
}

#[test]
fn the_next_server_is_tried_beside_one_that_does_not_answer_and_the_first_answer_wins() {
    let mut bench = racing(&["a", "b"]);
    let first = bench.attempt;
    bench.pass(249 * MS);
    assert_eq!(bench.probe, None);
    bench.pass(MS);
    assert_eq!(url(&bench, bench.probe), "mqtt://b");
    bench.pass(100 * MS);
    bench.give(Input::Reached(bench.probe.unwrap()));
    assert_eq!(url(&bench, Some(bench.attempt)), "mqtt://b");
    assert_ne!(bench.attempt, first);
    assert_eq!(bench.link_up()[0], 0x10, "one CONNECT, and it goes to the winner");
    bench.receive(&CONNACK);
    assert_eq!((bench.engine.state(), dialled(&bench)), (State::Connected, vec![0, 1]));
    bench.give(Input::LinkUp(first));
    assert_eq!(bench.sent(), [], "who comes late is nobody's link");
}

#[test]
fn the_server_that_came_second_is_dropped_and_the_first_is_greeted() {
    let mut bench = racing(&["a", "b"]);
    bench.pass(250 * MS);
    let second = bench.probe.unwrap();
    assert_eq!(bench.link_up()[0], 0x10);
    assert_eq!(bench.probe, None);
    bench.give(Input::Reached(second));
    bench.receive(&CONNACK);
    assert_eq!((bench.engine.state(), dialled(&bench)), (State::Connected, vec![0]));
}

#[test]
fn a_server_that_refuses_leaves_the_race_to_the_other_one() {
    let mut bench = racing(&["a", "b"]);
    bench.pass(250 * MS);
    let second = bench.probe.unwrap();
    bench.give(Input::LinkDown(bench.attempt, Error::from(ErrorCode::ConnectFailed)));
    bench.pass(MS);
    assert_eq!((bench.attempt, bench.engine.state()), (second, State::Connecting));
    assert_eq!(bench.link_up()[0], 0x10);
}

#[test]
fn of_many_servers_each_has_its_turn_and_longer_in_every_round() {
    let mut bench = racing(&["a", "b", "c", "d"]);
    bench.pass(Duration::from_secs(4));
    let turns = dialled(&bench);
    assert!(turns.starts_with(&[0, 1, 2, 3, 0]), "{turns:?}");
    assert!(turns.len() < 12, "the second round takes its time: {turns:?}");
}

#[test]
fn in_a_list_with_an_order_the_next_server_waits_until_the_attempt_is_over() {
    let servers = vec!["mqtt://a".into(), "mqtt://b".into()];
    let mut bench = Bench::new(Options { servers, ..options() });
    bench.command(Command::Start);
    bench.pass(Duration::from_millis(4_999));
    assert_eq!((bench.probe, dialled(&bench)), (None, vec![0]));
    bench.pass(Duration::from_secs(1));
    assert_eq!(dialled(&bench), [0, 1]);
}

#[test]
fn nobody_is_raced_against_a_server_that_answers_slowly() {
    let mut bench = racing(&["a", "b"]);
    bench.give(Input::Reached(bench.attempt));
    bench.pass(Duration::from_secs(1));
    assert!(!matches!(bench.engine.poll_output(), Some(Output::Probe(..))));
    assert_eq!(bench.probe, None);
}
