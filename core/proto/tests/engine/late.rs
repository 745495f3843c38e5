//! Answers that come when the attempt has already failed.

use crate::bench::*;
use remqtt_proto::{Command, ErrorCode, Event, Options, State};
use std::sync::Arc;
use std::time::Duration;

const MS: Duration = Duration::from_millis(1);

/// The connection was lost, the server took the next one, and no CONNACK came within the connect timeout.
fn unanswered(options: Options) -> Bench {
    let mut bench = connected_with(options);
    bench.cut();
    bench.link_up();
    bench.pass(bench.engine.options().connect_timeout);
    bench
}

fn connack(bench: &mut Bench) {
    bench.receive(&CONNACK_PRESENT);
}

fn failures(bench: &Bench) -> Vec<ErrorCode> {
    let of = |event: &Event| match event {
        Event::Disconnected(lost) => lost.error.as_ref().map(|error| error.code),
        _ => None,
    };
    bench.events.iter().filter_map(of).collect()
}

#[test]
fn an_attempt_that_fails_keeps_its_connection_until_the_next_one_begins() {
    let mut bench = unanswered(options());
    let late = bench.attempt;
    assert_eq!(bench.engine.state(), State::Waiting);
    assert_eq!(failures(&bench), [ErrorCode::ConnectionLost, ErrorCode::ConnectTimeout]);
    assert_eq!(bench.hung_up, None);
    while bench.attempt == late {
        bench.pass(MS);
    }
    assert_eq!(bench.hung_up, Some(late));
    assert_eq!(bench.engine.state(), State::Connecting);
}

#[test]
fn a_late_connack_ends_the_wait() {
    let mut bench = unanswered(options());
    let late = bench.attempt;
    connack(&mut bench);
    assert_eq!(bench.engine.state(), State::Connected);
    bench.pass(Duration::from_secs(4));
    assert_eq!((bench.attempt, bench.hung_up), (late, None), "no other attempt, and it stays");
}

#[test]
fn how_long_a_late_answer_took_is_no_measure_of_the_server() {
    let mut bench = unanswered(options());
    connack(&mut bench);
    bench.command(Command::Reconfigure(Arc::new(Options { detect_within: 5_000 * MS, ..options() })));
    bench.cut();
    while bench.engine.state() == State::Waiting {
        bench.pass(MS);
    }
    bench.link_up();
    assert_eq!(bench.probe, None);
    bench.pass(400 * MS);
    assert!(bench.probe.is_some(), "the patience is that of a server that answers at once");
}

#[test]
fn the_end_of_a_late_connection_is_no_news() {
    let mut bench = unanswered(options());
    let told = bench.events.len();
    bench.receive(&[]);
    bench.cut();
    assert_eq!((bench.engine.state(), bench.events.len()), (State::Waiting, told));
}

#[test]
fn a_late_refusal_is_a_refusal() {
    let mut bench = unanswered(options());
    bench.receive(&[0x20, 2, 0, 5]);
    assert_eq!(failures(&bench).last(), Some(&ErrorCode::BadCredentials));
    assert_eq!(bench.hung_up, Some(bench.attempt));
}

#[test]
fn bytes_that_are_no_connack_do_not_hold_a_late_connection_for_ever() {
    let mut bench = unanswered(options());
    bench.receive(&[0x20]);
    assert_eq!(bench.engine.state(), State::Connecting);
    bench.pass(bench.engine.options().connect_timeout);
    assert_eq!(bench.engine.state(), State::Waiting);
}

#[test]
fn new_options_and_the_end_of_the_client_end_a_late_connection() {
    let options = Options { client_id: "another".into(), ..options() };
    for command in [Command::Reconfigure(Arc::new(options)), Command::Close] {
        let mut bench = unanswered(crate::bench::options());
        bench.command(command);
        assert_eq!(bench.hung_up, Some(bench.attempt));
        connack(&mut bench);
        assert_ne!(bench.engine.state(), State::Connected);
    }
}

#[test]
fn without_reconnection_nothing_is_kept() {
    let mut bench = Bench::new(Options { reconnect: false, ..options() });
    bench.command(Command::Start);
    bench.link_up();
    bench.pass(bench.engine.options().connect_timeout);
    assert_eq!((bench.engine.state(), bench.hung_up), (State::Stopped, Some(bench.attempt)));
}

#[test]
fn a_way_that_nobody_answered_is_not_kept() {
    let mut bench = connected();
    bench.cut();
    let silent = bench.attempt;
    bench.pass(bench.engine.options().connect_timeout);
    assert_eq!(bench.hung_up, Some(silent));
}
