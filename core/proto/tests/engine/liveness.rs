//! How the end of a link is noticed, and what is done beside a link that is in doubt.

use crate::bench::*;
use remqtt_proto::{Command, Error, ErrorCode, Event, Input, Instant, Options, QoS, State, Transit, Version};
use std::collections::VecDeque;
use std::time::Duration;

const MS: Duration = Duration::from_millis(1);
const PINGREQ: [u8; 2] = [0xC0, 0];
const PINGRESP: [u8; 2] = [0xD0, 0];
const MESSAGE: [u8; 6] = [0x30, 4, 0, 1, b't', b'p'];

fn watching() -> Options {
    Options { detect_within: Duration::from_secs(5), keepalive: 0, ..options() }
}

/// Connected, and the round trip is known: eight answers within 5 ms.
fn known() -> Bench {
    let mut bench = connected_with(watching());
    for _ in 0..8 {
        bench.pass(Duration::from_secs(4));
        assert_eq!(bench.sent(), PINGREQ);
        bench.pass(5 * MS);
        bench.receive(&PINGRESP);
    }
    bench.pass(MS);
    bench
}

fn losses(bench: &Bench) -> Vec<&Error> {
    fn of(event: &Event) -> Option<&Error> {
        match event {
            Event::Disconnected(disconnected) => disconnected.error.as_ref(),
            _ => None,
        }
    }
    bench.events.iter().filter_map(of).collect()
}

#[test]
fn a_changed_network_is_a_reason_to_ask_at_once_and_to_doubt_soon() {
    let mut bench = known();
    bench.command(Command::NetworkChanged);
    assert_eq!(bench.sent(), PINGREQ);
    bench.pass(99 * MS);
    assert_eq!(bench.probe, None);
    bench.pass(MS);
    assert!(bench.probe.is_some(), "half a ping timeout of 200 ms is over");
    bench.pass(99 * MS);
    assert_eq!(bench.engine.state(), State::Connected);
    bench.pass(MS);
    assert_eq!(losses(&bench)[0].code, ErrorCode::KeepAliveTimeout);
}

#[test]
fn a_changed_network_that_changes_nothing_for_the_link_costs_a_ping() {
    let mut bench = known();
    bench.command(Command::NetworkChanged);
    assert_eq!(bench.sent(), PINGREQ);
    bench.pass(5 * MS);
    bench.receive(&PINGRESP);
    bench.pass(Duration::from_secs(4));
    assert_eq!((bench.probe, losses(&bench).len()), (None, 0));
}

#[test]
fn without_a_heartbeat_nobody_is_asked() {
    let mut bench = connected_with(Options { heartbeat: false, ..watching() });
    bench.command(Command::NetworkChanged);
    bench.give(Input::Resumed);
    bench.pass(Duration::from_secs(60));
    assert_eq!((bench.sent(), bench.probe, bench.engine.state()), (vec![], None, State::Connected));
}

#[test]
fn a_sleep_is_no_silence_and_a_reason_to_ask() {
    let mut bench = known();
    bench.now = bench.now + Duration::from_secs(3_600);
    bench.give(Input::Resumed);
    assert_eq!((bench.engine.state(), &bench.sent()[..]), (State::Connected, &PINGREQ[..]));
    bench.pass(199 * MS);
    assert_eq!(bench.engine.state(), State::Connected);
    bench.pass(MS);
    assert_eq!(bench.engine.state(), State::Connecting);
}

#[test]
fn an_answer_that_was_thrown_away_by_a_sleep_is_asked_for_again() {
    let mut bench = known();
    bench.pass(Duration::from_millis(4_500));
    assert_eq!(bench.sent(), PINGREQ);
    bench.now = bench.now + Duration::from_secs(60);
    bench.give(Input::Resumed);
    assert_eq!(bench.sent(), PINGREQ);
    bench.receive(&PINGRESP);
    bench.pass(Duration::from_secs(1));
    assert_eq!(bench.engine.state(), State::Connected);
}

#[test]
fn bytes_that_tcp_has_to_send_again_are_a_reason_to_ask() {
    let mut bench = known();
    bench.command(Command::Publish(1, message(QoS::AtMostOnce)));
    bench.sent();
    bench.transit = Some(Transit { unacknowledged: 10, retransmits: 0, blocked: false });
    bench.pass(250 * MS);
    assert_eq!(bench.sent(), [], "they are on their way for the first time");
    bench.transit = Some(Transit { unacknowledged: 10, retransmits: 1, blocked: false });
    bench.pass(250 * MS);
    assert_eq!(bench.sent(), PINGREQ);
    bench.pass(400 * MS);
    assert!(losses(&bench)[0].detail.starts_with("TCP got no acknowledgement"), "{:?}", losses(&bench));
}

#[test]
fn what_is_acknowledged_is_looked_at_no_more() {
    let mut bench = known();
    bench.command(Command::Publish(1, message(QoS::AtMostOnce)));
    bench.sent();
    bench.transit = Some(Transit { unacknowledged: 0, retransmits: 0, blocked: false });
    bench.pass(250 * MS);
    assert!(bench.engine.poll_timeout().is_some_and(|(at, _)| at > bench.now + Duration::from_secs(3)));
}

#[test]
fn a_ping_behind_bytes_that_move_is_not_late() {
    let mut bench = known();
    bench.transit = Some(Transit { unacknowledged: 1 << 20, retransmits: 0, blocked: false });
    bench.command(Command::NetworkChanged);
    bench.sent();
    bench.pass(Duration::from_secs(60));
    assert_eq!((bench.engine.state(), bench.probe), (State::Connected, None));
    bench.transit = Some(Transit { unacknowledged: 1 << 20, retransmits: 1, blocked: false });
    bench.pass(Duration::from_secs(1));
    assert_eq!(losses(&bench).len(), 1);
}

#[test]
fn silence_that_our_own_back_pressure_causes_is_no_evidence() {
    let mut bench = known();
    bench.command(Command::NetworkChanged);
    bench.sent();
    bench.give(Input::ReadingPaused(true));
    bench.pass(Duration::from_secs(60));
    bench.command(Command::NetworkChanged);
    bench.give(Input::Resumed);
    assert_eq!((bench.engine.state(), bench.probe), (State::Connected, None));
    bench.give(Input::ReadingPaused(false));
    bench.receive(&PINGRESP);
    bench.pass(Duration::from_secs(1));
    assert_eq!((bench.engine.state(), bench.probe), (State::Connected, None));
}

#[test]
fn the_way_beside_the_link_is_dropped_when_the_link_lives() {
    let mut bench = known();
    bench.command(Command::NetworkChanged);
    bench.sent();
    bench.pass(150 * MS);
    let probe = bench.probe.unwrap();
    bench.give(Input::Reached(probe));
    bench.receive(&PINGRESP);
    assert_eq!((bench.probe, bench.sent()), (None, vec![]));
    bench.give(Input::LinkDown(probe, ErrorCode::ConnectFailed.into()));
    assert_eq!(bench.engine.state(), State::Connected, "what comes late from it concerns nobody");
}

#[test]
fn one_connect_goes_out_and_only_when_the_old_link_is_given_up() {
    let mut bench = known();
    let first = bench.attempt;
    bench.command(Command::NetworkChanged);
    bench.sent();
    bench.pass(150 * MS);
    let probe = bench.probe.unwrap();
    bench.give(Input::Reached(probe));
    assert_eq!(bench.sent(), []);
    bench.pass(50 * MS);
    assert_eq!((bench.attempt, bench.engine.state()), (probe, State::Connecting));
    bench.give(Input::Received(first, &PINGRESP));
    assert_eq!(bench.engine.state(), State::Connecting, "the old link is history");
    assert_eq!(bench.link_up()[0], 0x10);
    bench.receive(&CONNACK_PRESENT);
    assert_eq!(bench.engine.state(), State::Connected);
}

#[test]
fn a_server_that_refuses_the_way_beside_the_link_is_not_asked_again_for_it() {
    // An answer may take a second here, so that TCP is looked at while the link is in doubt.
    let mut bench = connected_with(watching());
    bench.transit = Some(Transit { unacknowledged: 10, retransmits: 0, blocked: false });
    bench.command(Command::NetworkChanged);
    bench.sent();
    bench.pass(500 * MS);
    let probe = bench.probe.unwrap();
    bench.give(Input::LinkDown(probe, ErrorCode::ConnectFailed.into()));
    bench.probe = None;
    bench.pass(499 * MS);
    assert_eq!((bench.probe, bench.tries, bench.engine.state()), (None, 0, State::Connected));
    bench.receive(&PINGRESP);
    bench.command(Command::NetworkChanged);
    bench.sent();
    bench.pass(Duration::from_secs(2));
    assert!(bench.probe.is_some(), "another doubt is another matter");
}

#[test]
fn a_link_that_is_lost_while_it_is_not_read_leaves_its_successor_nothing_of_that() {
    let mut bench = known();
    bench.give(Input::ReadingPaused(true));
    bench.cut();
    bench.link_up();
    bench.pass(400 * MS);
    assert!(bench.probe.is_some(), "nobody keeps us from reading this CONNACK");
}

#[test]
fn a_link_that_goes_silent_before_it_was_stable_is_tried_again_at_once() {
    let mut bench = known();
    bench.cut();
    bench.link_up();
    bench.receive(&CONNACK_PRESENT);
    for _ in 0..2 {
        bench.command(Command::NetworkChanged);
        bench.sent();
        bench.pass(500 * MS);
        let probe = bench.probe.unwrap();
        bench.give(Input::LinkDown(probe, ErrorCode::ConnectFailed.into()));
        bench.pass(500 * MS);
        assert_eq!(bench.engine.state(), State::Connecting);
        bench.link_up();
        bench.receive(&CONNACK_PRESENT);
    }
}

#[test]
fn a_refusal_by_the_server_is_not_overtaken_by_the_way_beside_the_link() {
    let mut bench = connected_with(Options { protocol_version: Version::V5, ..watching() });
    bench.command(Command::NetworkChanged);
    bench.sent();
    bench.pass(500 * MS);
    assert!(bench.probe.is_some());
    bench.receive(&[0xE0, 1, 0x8E]);
    assert_eq!((bench.probe, bench.engine.state()), (None, State::Waiting), "the session was taken over");
}

#[test]
fn stopping_leaves_no_way_open() {
    let mut bench = known();
    bench.command(Command::NetworkChanged);
    bench.sent();
    bench.pass(150 * MS);
    assert!(bench.probe.is_some());
    bench.command(Command::Stop(Default::default()));
    assert_eq!(bench.probe, None);
}

#[test]
fn an_attempt_that_nobody_answers_is_tried_again_four_times_a_second() {
    let mut bench = Bench::new(Options { connect_timeout: Duration::from_secs(60), ..options() });
    bench.command(Command::Start);
    bench.pass(Duration::from_secs(10));
    assert_eq!(bench.tries, 40);
    bench.pass(Duration::from_secs(20));
    assert_eq!(bench.tries, 80);
    bench.give(Input::Reached(bench.attempt));
    bench.pass(Duration::from_secs(10));
    assert_eq!(bench.tries, 80, "somebody has answered");
}

#[test]
fn tries_go_on_from_attempt_to_attempt() {
    let mut bench = Bench::new(watching());
    bench.command(Command::Start);
    bench.pass(Duration::from_secs(5));
    let first = bench.attempt;
    bench.pass(10 * MS);
    assert_eq!((bench.attempt, bench.engine.state()), (first + 1, State::Connecting));
}

#[test]
fn a_smallest_delay_of_the_application_holds_for_tries_too() {
    let delay = Duration::from_secs(2);
    let mut bench = Bench::new(Options { reconnect_min_delay: delay, ..watching() });
    bench.command(Command::Start);
    bench.pass(Duration::from_millis(4_999));
    assert_eq!(bench.tries, 2);
}

#[test]
fn a_server_that_is_slow_to_greet_is_reached_all_the_same() {
    let mut bench = Bench::new(watching());
    bench.command(Command::Start);
    let mut connects = 0;
    let mut begun = bench.now;
    let mut seen = 0;
    // Each CONNECT is answered two seconds after it came, if its connection still stands.
    while bench.engine.state() != State::Connected {
        if seen != bench.attempt {
            (seen, begun, connects) = (bench.attempt, bench.now, connects + 1);
            bench.link_up();
        }
        if bench.now.since(begun) >= Duration::from_secs(2) {
            bench.receive(&CONNACK_NEW);
        }
        bench.pass(MS);
        if let Some(probe) = bench.probe.take() {
            bench.give(Input::Reached(probe));
        }
        assert!(connects < 10);
    }
    assert_eq!(connects, 3, "a second, two, and then four of patience");
}

#[test]
fn a_hiccup_at_the_beginning_of_a_link_does_not_make_a_stream_late_to_be_doubted() {
    for hiccup in [100, 300, 470] {
        let mut bench = connected_with(watching());
        let arrive = |bench: &mut Bench, after: u32| {
            bench.pass(after * MS);
            if bench.sent() == PINGREQ {
                bench.receive(&PINGRESP);
            }
            bench.receive(&MESSAGE);
        };
        (0..10).for_each(|_| arrive(&mut bench, 20));
        arrive(&mut bench, hiccup);
        (0..250).for_each(|_| arrive(&mut bench, 20));
        assert_eq!(bench.probe, None);
        bench.pass(500 * MS);
        assert!(!losses(&bench).is_empty() || bench.probe.is_some(), "a hiccup of {hiccup} ms");
    }
}

/// A proxy that delays what passes by 0 to 300 ms, in order.
struct Delay {
    queue: VecDeque<(Instant, Vec<u8>)>,
    random: u64,
}

impl Delay {
    fn draw(&mut self, below: u64) -> u64 {
        self.random =
            self.random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.random >> 33) % below
    }

    fn put(&mut self, now: Instant, bytes: &[u8]) {
        let delay = Duration::from_micros(self.draw(300_001));
        let after = self.queue.back().map_or(now, |(at, _)| *at);
        self.queue.push_back(((now + delay).max(after), bytes.to_vec()));
    }

    fn take(&mut self, now: Instant) -> Option<Vec<u8>> {
        self.queue.front().filter(|(at, _)| *at <= now)?;
        self.queue.pop_front().map(|(_, bytes)| bytes)
    }
}

/// A living link through that proxy for so long, with a message every so often, and an application whose callbacks
/// stall now and then for up to two seconds. Gives the losses, and how often another way was sought.
fn through_jitter(seed: u64, time: Duration, every: Option<Duration>) -> (usize, u64) {
    let mut bench = connected_with(watching());
    let mut there = Delay { queue: VecDeque::new(), random: seed };
    let mut back = Delay { queue: VecDeque::new(), random: !seed };
    let end = bench.now + time;
    let mut next = every.map(|every| bench.now + every);
    let mut stalled_until = None;
    while bench.now < end {
        bench.pass(5 * MS);
        let sent = bench.sent();
        (0..sent.len() / 2).for_each(|_| there.put(bench.now, &PINGREQ));
        while there.take(bench.now).is_some() {
            back.put(bench.now, &PINGRESP);
        }
        while let (Some(at), Some(every)) = (next.filter(|at| *at <= bench.now), every) {
            back.put(at, &MESSAGE);
            next = Some(at + every);
        }
        match stalled_until {
            Some(until) if bench.now < until => continue,
            Some(_) => {
                stalled_until = None;
                bench.give(Input::ReadingPaused(false));
            }
            None if there.draw(4_000) == 0 => {
                let stall = Duration::from_millis(there.draw(2_000));
                stalled_until = Some(bench.now + stall);
                bench.give(Input::ReadingPaused(true));
                continue;
            }
            None => {}
        }
        while let Some(bytes) = back.take(bench.now) {
            bench.receive(&bytes);
        }
        bench.events.retain(|event| !matches!(event, Event::Message(_)));
    }
    (losses(&bench).len(), bench.engine.stats().probes)
}

#[test]
fn half_an_hour_of_jitter_and_stalled_callbacks_is_no_false_alarm() {
    for seed in 1..=12 {
        let every = [20, 100, 250][seed as usize % 3];
        let (losses, probes) = through_jitter(seed, Duration::from_secs(1_800), Some(every * MS));
        println!("every {every} ms, seed {seed}: {losses} losses, {probes} probes");
        assert_eq!(losses, 0, "every {every} ms, seed {seed}");
    }
}

#[test]
fn an_idle_link_with_jitter_is_no_false_alarm_either() {
    for seed in 1..=8 {
        let (losses, probes) = through_jitter(seed, Duration::from_secs(1_800), None);
        println!("idle, seed {seed}: {losses} losses, {probes} probes");
        assert_eq!(losses, 0, "seed {seed}");
    }
}

#[test]
fn a_stream_with_jitter_that_dies_is_noticed_all_the_same() {
    for every in [20, 100, 250] {
        let mut bench = connected_with(watching());
        let mut delay = Delay { queue: VecDeque::new(), random: every };
        for n in 0..4_000u64 {
            if n % (every / 5) == 0 {
                delay.put(bench.now, &MESSAGE);
            }
            bench.pass(5 * MS);
            bench.sent().chunks(2).for_each(|_| delay.put(bench.now, &PINGRESP));
            while let Some(bytes) = delay.take(bench.now) {
                bench.receive(&bytes);
            }
        }
        let last = bench.now;
        bench.pass(Duration::from_secs(5));
        assert!(!losses(&bench).is_empty(), "every {every} ms, five seconds after {last:?}");
    }
}

#[test]
fn a_verdict_that_is_late_itself_gives_the_answer_a_chance() {
    let mut bench = known();
    bench.command(Command::NetworkChanged);
    bench.sent();
    bench.now = bench.now + Duration::from_secs(10);
    bench.give(Input::Timeout);
    assert_eq!(bench.engine.state(), State::Connected, "this process stood still");
    bench.receive(&PINGRESP);
    bench.command(Command::NetworkChanged);
    for _ in 0..2 {
        bench.now = bench.now + Duration::from_secs(10);
        bench.give(Input::Timeout);
    }
    assert_eq!(losses(&bench).len(), 1, "once, not for ever");
}
