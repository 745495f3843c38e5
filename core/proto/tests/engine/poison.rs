//! Messages that end every connection, the record of an outage, and gaps.

use crate::bench::*;
use remqtt_proto::{
    Command, Error, ErrorCode, Event, Input, Mark, Options, Outcome, QoS, Quarantined, Signal, State,
};
use std::time::Duration;

fn quarantined(bench: &Bench) -> Vec<&Quarantined> {
    fn of(event: &Event) -> Option<&Quarantined> {
        match event {
            Event::Quarantined(what) => Some(what),
            _ => None,
        }
    }
    bench.events.iter().filter_map(of).collect()
}

fn messages(bench: &Bench) -> usize {
    bench.events.iter().filter(|event| matches!(event, Event::Message(_))).count()
}

/// A new connection, as soon as the application wants it; the session was kept.
fn again(bench: &mut Bench) {
    bench.command(Command::ReconnectNow);
    bench.link_up();
    let version5 = bench.engine.options().protocol_version == remqtt_proto::Version::V5;
    bench.receive(if version5 { &CONNACK_PRESENT_5 } else { &CONNACK_PRESENT });
}

#[test]
fn a_publish_that_ends_three_connections_fails_and_the_others_pass() {
    for options in [options(), options_5()] {
        let mut bench = connected_with(options);
        for ticket in 1..=3 {
            bench.command(Command::Publish(ticket, message(QoS::AtLeastOnce)));
        }
        for loss in 1..=3 {
            assert!(bench.completions(1).is_empty(), "before loss {loss}");
            if loss == 3 {
                assert!(bench.sent().is_empty(), "first the connection has to live without it");
                bench.pass(Duration::from_secs(1));
            }
            assert!(!bench.sent().is_empty());
            bench.cut();
            again(&mut bench);
        }
        assert!(
            matches!(bench.completions(1)[..], [Outcome::Failed(e, _)] if e.code == ErrorCode::Quarantined)
        );
        assert!(
            matches!(quarantined(&bench)[..], [what] if what.ticket == Some(1) && what.publish == message(QoS::AtLeastOnce))
        );
        let mut sent = bench.sent();
        for ticket in 2..=3u8 {
            assert_eq!(
                sent.len(),
                8 + usize::from(bench.engine.options().protocol_version as u8 - 4),
                "one at a time"
            );
            bench.receive(&[0x40, 2, 0, ticket]);
            sent = bench.sent();
        }
        assert!(matches!(bench.completions(2)[..], [Outcome::Published(..)]));
        assert!(matches!(bench.completions(3)[..], [Outcome::Published(..)]));
    }
}

#[test]
fn the_identifier_of_a_qos_2_publish_that_is_given_up_stays_taken_as_long_as_the_session() {
    let mut bench = connected();
    bench.command(Command::Publish(1, message(QoS::ExactlyOnce)));
    for _ in 1..=3 {
        bench.pass(Duration::from_secs(1));
        assert!(!bench.sent().is_empty());
        bench.cut();
        again(&mut bench);
    }
    assert_eq!(quarantined(&bench).len(), 1);
    // The number of both tickets is identifier 1, where that is free.
    bench.command(Command::Publish(65_536, message(QoS::AtLeastOnce)));
    assert_eq!(bench.sent(), [0x32, 6, 0, 1, b't', 0, 2, b'p'], "the server may hold the other message");
    bench.receive(&[0x40, 2, 0, 2]);
    bench.cut();
    bench.command(Command::ReconnectNow);
    bench.link_up();
    bench.receive(&CONNACK_NEW);
    bench.command(Command::Publish(131_071, message(QoS::AtLeastOnce)));
    assert_eq!(bench.sent(), [0x32, 6, 0, 1, b't', 0, 1, b'p'], "it holds nothing any more");
}

#[test]
fn an_innocent_publish_before_the_poison_is_acknowledged_and_not_blamed() {
    let mut bench = connected();
    for ticket in 1..=2 {
        bench.command(Command::Publish(ticket, message(QoS::AtLeastOnce)));
    }
    // The server dies of the second one, and its acknowledgement of the first is lost with the connection, twice.
    for _ in 0..2 {
        bench.sent();
        bench.cut();
        again(&mut bench);
    }
    bench.pass(Duration::from_secs(1));
    bench.sent();
    bench.receive(&[0x40, 2, 0, 1]);
    for _ in 0..3 {
        bench.pass(Duration::from_secs(1));
        bench.sent();
        bench.cut();
        again(&mut bench);
    }
    assert!(matches!(bench.completions(1)[..], [Outcome::Published(..)]));
    assert!(matches!(bench.completions(2)[..], [Outcome::Failed(e, _)] if e.code == ErrorCode::Quarantined));
}

#[test]
fn a_network_that_flaps_convicts_nobody() {
    let mut bench = connected();
    bench.command(Command::Publish(1, message(QoS::AtLeastOnce)));
    for _ in 0..20 {
        bench.sent();
        bench.pass(Duration::from_millis(900));
        bench.sent();
        bench.cut();
        again(&mut bench);
    }
    assert!(bench.completions(1).is_empty());
}

#[test]
fn silence_convicts_nobody() {
    let mut bench = connected();
    bench.command(Command::Publish(1, message(QoS::AtLeastOnce)));
    for _ in 0..6 {
        bench.sent();
        bench.give(Input::LinkDown(bench.attempt, Error::from(ErrorCode::KeepAliveTimeout)));
        again(&mut bench);
    }
    assert!(bench.completions(1).is_empty() && quarantined(&bench).is_empty());
}

#[test]
fn a_connection_that_lasts_clears_the_suspicion() {
    let mut bench = connected();
    bench.command(Command::Publish(1, message(QoS::AtLeastOnce)));
    for loss in 0..6 {
        bench.sent();
        if loss % 2 == 1 {
            bench.pass(Duration::from_secs(5));
        }
        bench.cut();
        again(&mut bench);
    }
    assert!(quarantined(&bench).is_empty());
}

#[test]
fn a_message_after_which_three_connections_end_is_acknowledged_and_told() {
    let mut bench = connected_with(options_5());
    for _ in 0..3 {
        bench.receive(&[0x3A, 7, 0, 1, b't', 0, 7, 0, b'p']);
        bench.cut();
        again(&mut bench);
    }
    assert!(quarantined(&bench).is_empty());
    bench.sent();
    bench.receive(&[0x3A, 7, 0, 1, b't', 0, 7, 0, b'p']);
    assert!(matches!(quarantined(&bench)[..], [what] if what.packet_identifier == 7 && what.readable));
    assert_eq!(bench.sent(), [0x40, 3, 0, 7, 0x83]);
    assert_eq!(messages(&bench), 1, "the first time it was handed over");
    bench.receive(&[0x32, 7, 0, 1, b't', 0, 8, 0, b'q']);
    assert_eq!(messages(&bench), 2, "the rest flows");
}

#[test]
fn a_message_that_cannot_be_read_is_passed_over_the_fourth_time() {
    // A topic with a wildcard.
    let packet = [0x32, 6, 0, 1, b'#', 0, 9, b'p'];
    let mut bench = connected();
    for time in 1..=3 {
        bench.receive(&packet);
        assert_ne!(bench.engine.state(), State::Connected, "time {time}");
        again(&mut bench);
    }
    bench.sent();
    bench.receive(&packet);
    assert_eq!(bench.engine.state(), State::Connected);
    assert_eq!(bench.sent(), [0x40, 2, 0, 9]);
    assert!(
        matches!(quarantined(&bench)[..], [what] if !what.readable && what.publish.payload[..] == packet)
    );
}

#[test]
fn a_message_larger_than_we_accept_does_not_stop_the_others_for_ever() {
    let mut large = vec![0x34, 200, 1, 0, 1, b't', 0, 9];
    large.resize(203, b'p');
    let mut bench = connected_with(Options { maximum_packet_size: 100, ..options() });
    for _ in 0..3 {
        bench.receive(&large);
        assert_ne!(bench.engine.state(), State::Connected);
        again(&mut bench);
    }
    bench.sent();
    large.extend([0x30, 4, 0, 1, b't', b'q']);
    for piece in large.chunks(7) {
        bench.receive(piece);
    }
    assert_eq!(bench.engine.state(), State::Connected);
    assert_eq!(bench.sent(), [0x50, 2, 0, 9]);
    assert_eq!((quarantined(&bench).len(), messages(&bench)), (1, 1));
}

#[test]
fn the_record_of_an_outage_says_what_happened() {
    let mut bench = connected();
    bench.receive(&[0x30, 4, 0, 1, b't', b'p', 0x30, 4, 0, 1, b't', b'p']);
    bench.pass(Duration::from_secs(10));
    bench.cut();
    for _ in 0..20 {
        bench.give(Input::LinkDown(bench.attempt, Error::from(ErrorCode::ConnectFailed)));
        bench.pass(Duration::from_millis(1));
        bench.command(Command::ReconnectNow);
    }
    bench.link_up();
    bench.receive(&CONNACK_PRESENT);
    bench.sent();
    bench.receive(&[0x30, 4, 0, 1, b't', b'p']);
    let outages = bench.outages();
    let [outage] = outages[..] else { panic!("{outages:?}") };
    assert_eq!((outage.signal, outage.attempts, outage.failures.len()), (Signal::End, 21, 16));
    assert_eq!((outage.received_before, outage.received_after, outage.missing), (2, 1, 0));
    assert_eq!(outage.after_detection(Mark::Connack), Some(Duration::from_millis(20)));
    assert_eq!(bench.engine.stats().downtime_ms, 20);
    assert!(!outage.gap_suspected());
    let text = outage.to_string();
    let expected =
        "outage 1: the connection was lost; noticed by the end of the connection, 10.000 s after the last \
                    sign of life; connected again 0.020 s later at attempt 21 (ConnectFailed at 0.000 s, ";
    assert!(text.starts_with(expected), "{text}");
    assert!(text.ends_with("0 sent again; received 2 before and 1 after"), "{text}");
}

#[test]
fn a_gap_over_an_outage_is_told_and_stands_in_its_record() {
    let mut bench = connected_with(Options { sequence_in_payload: true, ..options() });
    bench.receive(&[0x30, 4, 0, 1, b't', b'1']);
    bench.cut();
    bench.link_up();
    bench.receive(&CONNACK_PRESENT);
    bench.sent();
    bench.receive(&[0x30, 4, 0, 1, b't', b'5']);
    let gap = bench.events.iter().find_map(|event| match event {
        Event::Gap(gap) => Some((gap.expected, gap.got)),
        _ => None,
    });
    assert_eq!(gap, Some((2, 5)));
    assert_eq!(bench.outages()[0].missing, 3);
    assert!(bench.outages()[0].gap_suspected());
    assert_eq!((bench.engine.stats().gaps, bench.engine.stats().missing_messages), (1, 3));
}
