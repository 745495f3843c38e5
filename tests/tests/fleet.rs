//! Fleet manners on the virtual clock: thousands of engines, one server that was away.
//!
//! The server refuses every port of every client until it is back, then accepts at once. What is counted is what it sees:
//! the CONNECTs that arrive.

#![allow(clippy::expect_used, clippy::unwrap_used)] // the helpers of a test are its code too

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::time::Duration;

use bytes::BytesMut;
use remqtt_proto::{Command, Engine, Error, ErrorCode, Input, Instant, Options, Output, State};

const CONNACK: [u8; 5] = [0x20, 3, 1, 0, 0];
const PINGRESP: [u8; 2] = [0xD0, 0];

/// When the CONNECTs of so many clients arrive, counted from the server's return, sorted. All of them had a stable
/// connection, and lost it in the same moment.
fn returns(clients: u64, outage: Duration) -> Vec<Duration> {
    let lost = Instant(10_000_000_000);
    let back = lost + outage;
    let mut arrivals = Vec::new();
    let mut fleet: Vec<Engine> = Vec::new();
    let mut clock = BinaryHeap::new();
    for seed in 0..clients {
        let options = Options { servers: vec!["mqtt://x".into()], ..Options::default() };
        let mut engine = Engine::new(options, seed, Instant(0));
        engine.handle(Instant(0), Input::Command(Command::Start));
        let attempt = accept(&mut engine, Instant(0));
        engine.handle(Instant(6_000_000_000), Input::Timeout);
        assert_eq!(drain(&mut engine), None, "a dial beside a link that stands");
        engine.handle(lost, Input::LinkDown(attempt, Error::from(ErrorCode::ConnectionLost)));
        clock.push(Reverse((lost, seed)));
        fleet.push(engine);
    }
    while let Some(Reverse((now, client))) = clock.pop() {
        let engine = &mut fleet[client as usize];
        engine.handle(now, Input::Timeout);
        while let Some(attempt) = drain(engine) {
            if now >= back {
                arrivals.push(now.since(back));
                engine.handle(now, Input::LinkUp(attempt));
                engine.handle(now, Input::Received(attempt, &CONNACK));
            } else {
                engine.handle(now, Input::LinkDown(attempt, Error::from(ErrorCode::ConnectFailed)));
            }
        }
        if let (Some((at, _)), true) = (engine.poll_timeout(), engine.state() != State::Connected) {
            clock.push(Reverse((at, client)));
        }
    }
    arrivals.sort_unstable();
    arrivals
}

/// The same where the network swallows everything for so long and nobody is told; the server is alive behind it.
fn returns_from_silence(clients: u64, outage: Duration) -> Vec<Duration> {
    let lost = Instant(10_000_000_000);
    let back = lost + outage;
    let mut arrivals = Vec::new();
    for seed in 0..clients {
        // They connected one after the other, so that their pings are spread over the time between two of them.
        let mut now = Instant(seed * 5_000_000_000 / clients);
        let options = Options { servers: vec!["mqtt://x".into()], ..Options::default() };
        let mut engine = Engine::new(options, seed, now);
        engine.handle(now, Input::Command(Command::Start));
        let mut attempt = accept(&mut engine, now);
        let mut packets = BytesMut::new();
        engine.poll_transmit(now, &mut packets);
        while now < back || engine.state() != State::Connected {
            now = engine.poll_timeout().expect("a timer, as long as nothing is heard").0.max(now);
            engine.handle(now, Input::Timeout);
            while let Some(output) = engine.poll_output() {
                match output {
                    Output::Dial(next, _) | Output::Proceed(next) => attempt = next,
                    Output::Inspect(at) => engine.handle(now, Input::Inspected(at, None)),
                    _ => {}
                }
                match output {
                    Output::Proceed(way) if now >= back => engine.handle(now, Input::LinkUp(way)),
                    Output::Dial(way, _) | Output::TryAgain(way) if now >= back && way == attempt => {
                        engine.handle(now, Input::LinkUp(way));
                    }
                    Output::Probe(way, _) | Output::TryAgain(way) if now >= back => {
                        engine.handle(now, Input::Reached(way));
                    }
                    _ => {}
                }
            }
            packets.clear();
            engine.poll_transmit(now, &mut packets);
            match packets.first() {
                Some(0x10) => {
                    arrivals.push(now.since(back));
                    engine.handle(now, Input::Received(attempt, &CONNACK));
                }
                Some(0xC0) if now < lost || now >= back => {
                    engine.handle(now, Input::Received(attempt, &PINGRESP));
                }
                _ => {}
            }
        }
    }
    arrivals.sort_unstable();
    arrivals
}

/// Accepts the connection that a client asks for: its attempt.
fn accept(engine: &mut Engine, now: Instant) -> u64 {
    let attempt = drain(engine).expect("a dial");
    engine.handle(now, Input::LinkUp(attempt));
    engine.handle(now, Input::Received(attempt, &CONNACK));
    attempt
}

/// Takes all outputs and gives the last attempt that is to be dialled.
fn drain(engine: &mut Engine) -> Option<u64> {
    let mut dial = None;
    while let Some(output) = engine.poll_output() {
        if let Output::Dial(attempt, _) = output {
            dial = Some(attempt);
        }
    }
    dial
}

/// The largest number of arrivals within one slice of this length.
fn peak(arrivals: &[Duration], slice: Duration) -> usize {
    let slices = arrivals.iter().map(|at| at.as_nanos() / slice.as_nanos());
    let mut counts = std::collections::BTreeMap::new();
    slices.for_each(|slice| *counts.entry(slice).or_insert(0) += 1);
    counts.into_values().max().unwrap_or(0)
}

fn no_second_sees_more_than_a_fifth(what: &str, arrivals: &[Duration]) {
    assert_eq!(arrivals.len(), 10_000, "one CONNECT each");
    let (busiest, last) = (peak(arrivals, Duration::from_secs(1)), arrivals.last().unwrap());
    println!("10,000 clients, {what}: at most {busiest} in a second, the last after {last:?}");
    assert!(busiest <= 2_000, "{busiest} in one second");
}

#[test]
fn of_ten_thousand_clients_no_second_sees_more_than_a_fifth_after_a_minute_of_outage() {
    no_second_sees_more_than_a_fifth("60 s", &returns(10_000, Duration::from_secs(60)));
}

#[test]
fn ten_thousand_clients_that_heard_nothing_for_a_minute_come_back_as_spread() {
    let arrivals = returns_from_silence(10_000, Duration::from_secs(60));
    no_second_sees_more_than_a_fifth("60 s of silence", &arrivals);
}

#[test]
fn a_thousand_sessions_come_back_from_a_restart_spread_and_soon() {
    for restart in [1_000, 2_000, 3_000, 5_000] {
        let arrivals = returns(1_000, Duration::from_millis(restart));
        assert_eq!(arrivals.len(), 1_000, "one CONNECT each");
        let slice = Duration::from_millis(100);
        let slices = arrivals.last().unwrap().as_nanos() / slice.as_nanos() + 1;
        let (busiest, mean) = (peak(&arrivals, slice) as f64, 1_000.0 / slices as f64);
        let latest = arrivals[989];
        println!("restart of {restart} ms: peak/mean {:.2}, 99 % within {latest:?}", busiest / mean);
        assert!(busiest <= 3.0 * mean, "restart of {restart} ms: {busiest} in 100 ms, {mean} on average");
        assert!(latest <= Duration::from_secs(3));
    }
}
