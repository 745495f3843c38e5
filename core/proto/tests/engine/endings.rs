//! Stop, close and hang-ups: the last bytes, and what is reported.

use crate::bench::*;
use remqtt_proto::{Bytes, Command, Error, ErrorCode, Event, Input, Outcome, Publish, QoS, Reason, State};
use std::time::Duration;

fn disconnects(bench: &Bench) -> usize {
    bench.events.iter().filter(|event| matches!(event, Event::Disconnected(_))).count()
}

fn will() -> Reason {
    Reason { reason_code: 0x04, ..Reason::default() }
}

#[test]
fn a_farewell_that_takes_too_long_still_ends_in_a_disconnect() {
    let mut bench = connected();
    for ticket in 1..=3 {
        let payload = Bytes::from(vec![0; 100_000]);
        bench.command(Command::Publish(ticket, Publish { payload, ..message(QoS::AtLeastOnce) }));
    }
    bench.command(Command::Stop(Reason::default()));
    bench.poll();
    bench.pass(Duration::from_secs(5));
    assert_eq!(bench.farewell, [0xE0, 0]);
    assert_eq!(bench.engine.state(), State::Stopped);
}

#[test]
fn closing_hands_over_the_acknowledgements_that_are_due() {
    let mut bench = connected();
    bench.receive(&[0x32, 6, 0, 1, b't', 0, 7, b'p']);
    let delivery = bench.events.iter().find_map(|event| match event {
        Event::Message(message) => message.delivery,
        _ => None,
    });
    bench.command(Command::Acknowledge(delivery.into_iter().collect()));
    bench.command(Command::Close);
    assert_eq!(bench.farewell, [0x40, 2, 0, 7, 0xE0, 0]);
}

#[test]
fn closing_a_link_that_leaves_with_its_will_does_not_take_the_will_back() {
    let mut bench = connected_with(options_5());
    bench.command(Command::Stop(will()));
    bench.command(Command::Close);
    assert_eq!(bench.farewell, [0xE0, 1, 4]);
}

#[test]
fn leaving_an_mqtt_3_server_with_the_will_needs_no_flush() {
    let mut bench = connected();
    bench.command(Command::Stop(will()));
    assert_eq!(bench.sent(), []);
    assert_eq!((bench.engine.state(), disconnects(&bench)), (State::Stopped, 1));
    assert_eq!(bench.engine.poll_timeout(), None);
}

#[test]
fn no_answer_follows_a_disconnect_when_the_other_side_breaks_the_protocol() {
    let mut bench = connected();
    bench.command(Command::Stop(Reason::default()));
    assert_eq!(bench.poll(), [0xE0, 0]);
    bench.receive(&[0x62, 2, 0, 9, 0x00, 0x00]);
    assert_eq!((bench.farewell.as_slice(), disconnects(&bench)), (&[][..], 1));
}

#[test]
fn the_last_words_of_a_link_that_is_down_do_not_reach_the_next_one() {
    let mut bench = connected();
    // A violation is noticed, and the transport fails before its last bytes are asked for.
    bench.engine.handle(bench.now, Input::Received(bench.attempt, &[0x62, 2, 0, 9, 0x00, 0x00]));
    let dialled = bench.attempt + 1;
    bench.engine.handle(bench.now, Input::LinkUp(dialled));
    assert_eq!(bench.poll()[0], 0x10, "CONNECT is the first packet");
}

#[test]
fn an_outage_that_a_stop_ends_is_reported_once() {
    let mut bench = connected();
    bench.give(Input::LinkDown(bench.attempt, Error::from(ErrorCode::ConnectionLost)));
    bench.command(Command::Stop(Reason::default()));
    assert_eq!(bench.outages().len(), 1);
    bench.pass(Duration::from_secs(3_600));
    bench.command(Command::Start);
    bench.link_up();
    bench.receive(&CONNACK_PRESENT);
    bench.receive(&[0x30, 4, 0, 1, b't', b'p']);
    bench.pass(Duration::from_secs(10));
    assert_eq!(bench.outages().len(), 1, "a stop of an hour is no outage of an hour");
}

#[test]
fn an_outage_that_close_ends_is_reported_before_the_end() {
    let mut bench = connected();
    bench.cut();
    bench.command(Command::Close);
    let last_two = &bench.events[bench.events.len() - 2..];
    assert!(matches!(last_two, [Event::Recovered(_), Event::Closed]), "{last_two:?}");
}

#[test]
fn what_is_queued_in_any_state_of_a_stop_is_sent_after_the_next_start() {
    for state in 0..6 {
        let mut bench = Bench::new(options());
        if state > 0 {
            bench.command(Command::Start);
        }
        if state > 1 {
            bench.link_up();
        }
        if state > 2 {
            bench.receive(&CONNACK_NEW);
        }
        bench.command(Command::Stop(Reason::default()));
        if state == 4 {
            bench.poll(); // said, not yet flushed
        }
        if state == 5 {
            bench.sent();
        }
        bench.command(Command::Publish(1, message(QoS::AtLeastOnce)));
        bench.command(Command::Start);
        if state == 3 {
            bench.sent();
        }
        if state == 4 {
            bench.give(Input::Flushed(bench.attempt));
        }
        bench.link_up();
        bench.receive(&CONNACK_NEW);
        assert_eq!(bench.sent(), [0x32, 6, 0, 1, b't', 0, 1, b'p'], "state {state}");
        bench.receive(&[0x40, 2, 0, 1]);
        assert!(matches!(bench.completions(1)[..], [Outcome::Published(..)]), "state {state}");
    }
}

#[test]
fn close_completes_everything_in_every_state() {
    for state in 0..5 {
        let mut bench = Bench::new(options());
        for qos in [QoS::AtMostOnce, QoS::AtLeastOnce, QoS::ExactlyOnce] {
            bench.command(Command::Publish(qos as u64 + 1, message(qos)));
        }
        bench.command(Command::Subscribe(4, filter("f"), Default::default()));
        if state > 0 {
            bench.command(Command::Start);
        }
        if state > 1 {
            bench.link_up();
        }
        if state > 2 {
            bench.receive(&CONNACK_NEW);
            bench.poll();
        }
        if state > 3 {
            bench.command(Command::Stop(Reason::default()));
        }
        bench.command(Command::Close);
        assert!((1..=4).all(|ticket| bench.completions(ticket).len() == 1), "state {state}");
        assert_eq!(bench.engine.poll_timeout(), None, "state {state}");
    }
}
