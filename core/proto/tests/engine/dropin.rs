//! What programs written for another client ask for: off by default, and here switched on.

use crate::bench::*;
use remqtt_proto::{Command, Engine, ErrorCode, Event, Options, Outcome, PropertyId, PropertyValue, QoS};
use std::sync::mpsc::channel;
use std::time::Duration;

fn messages(bench: &Bench) -> Vec<(&str, Option<&[u8]>)> {
    fn of(event: &Event) -> Option<(&str, Option<&[u8]>)> {
        match event {
            Event::Message(message) => Some((&*message.publish.topic, message.raw_topic.as_deref())),
            _ => None,
        }
    }
    bench.events.iter().filter_map(of).collect()
}

#[test]
fn publishes_that_are_dropped_out_go_to_whoever_asked_and_complete_as_dropped() {
    let mut bench = connected();
    bench.command(Command::Publish(1, message(QoS::AtLeastOnce)));
    bench.command(Command::Publish(2, message(QoS::ExactlyOnce)));
    bench.sent();
    bench.command(Command::Publish(3, message(QoS::AtLeastOnce)));
    let (to, dropped) = channel();
    bench.command(Command::DropPublishes(to));
    let tickets: Vec<_> = dropped.recv().unwrap().into_iter().map(|(ticket, _)| ticket).collect();
    assert_eq!(tickets, [1, 2, 3]);
    for ticket in tickets {
        let [Outcome::Failed(error, _)] = bench.completions(ticket)[..] else { panic!("{ticket}") };
        assert_eq!(error.code, ErrorCode::Dropped);
    }
    bench.receive(&[0x40, 2, 0, 1]);
    bench.cut();
    bench.link_up();
    bench.receive(&CONNACK_PRESENT);
    assert!(bench.sent().is_empty());
}

#[test]
fn what_a_lost_session_had_in_flight_may_be_marked_as_sent_before() {
    for (lost_session_dup, first) in [(false, 0x32), (true, 0x3A)] {
        let mut bench = connected_with(Options { lost_session_dup, ..options() });
        bench.command(Command::Publish(1, message(QoS::AtLeastOnce)));
        bench.sent();
        bench.cut();
        bench.link_up();
        bench.receive(&CONNACK_NEW);
        assert_eq!(bench.sent()[0], first);
    }
}

#[test]
fn a_topic_alias_without_a_topic_is_sent_once_and_fails_with_its_connection() {
    let bare = |qos| {
        let mut publish = message(qos);
        publish.topic = "".into();
        publish.properties.push(PropertyId::TopicAlias, PropertyValue::TwoByte(9));
        publish
    };
    let refused = Engine::check_publish(&options_5(), &bare(QoS::AtLeastOnce)).unwrap_err();
    assert_eq!(refused.code, ErrorCode::InvalidTopic);
    for connack in [&CONNACK_NEW_5, &CONNACK_PRESENT_5] {
        let options = Options { bare_topic_aliases: true, ..options_5() };
        let mut bench = Bench::new(options);
        bench.command(Command::Start);
        bench.link_up();
        bench.receive(&CONNACK_NEW_5);
        bench.command(Command::Publish(1, bare(QoS::AtLeastOnce)));
        bench.command(Command::Publish(2, message(QoS::AtLeastOnce)));
        let sent = bench.sent();
        assert_eq!(sent[2..9], [0, 0, 0, 1, 3, 0x23, 0], "{sent:?}");
        bench.receive(&[0xE0, 1, 0x94]);
        bench.link_up();
        bench.receive(connack);
        assert!(bench.sent().windows(4).all(|bytes| bytes != [0, 0, 0, 1]), "the alias is not sent again");
        let [Outcome::Failed(error, _)] = bench.completions(1)[..] else { panic!("{:?}", bench.events) };
        assert_eq!(error.code, ErrorCode::InvalidTopic);
        assert!(bench.completions(2).is_empty(), "the others are");
    }
}

#[test]
fn without_a_heartbeat_nothing_is_said_just_to_stay_alive() {
    for (heartbeat, pings) in [(true, 1), (false, 0)] {
        let mut bench = connected_with(Options { heartbeat, ..options() });
        bench.pass(Duration::from_secs(61));
        assert_eq!(bench.sent(), [0xC0, 0].repeat(pings), "heartbeat {heartbeat}");
    }
}

#[test]
fn the_server_makes_the_identifier_of_a_session_that_ends_with_its_connection() {
    let without = Options { client_id: "".into(), server_client_id: true, ..options() };
    for (clean_start, length) in [(true, 0), (false, 22)] {
        let mut bench = Bench::new(Options { clean_start, ..without.clone() });
        bench.command(Command::Start);
        assert_eq!(bench.link_up()[13], length);
    }
    let lasting = Options { session_expiry: 0, announce_receive_maximum: false, ..options_5() };
    let mut bench = Bench::new(Options { client_id: "".into(), server_client_id: true, ..lasting });
    bench.command(Command::Start);
    assert_eq!(bench.link_up()[12..], [0, 0, 0], "no properties, no identifier");
}

#[test]
fn a_topic_that_is_not_utf_8_ends_the_connection_or_is_delivered_as_it_came() {
    let publish = [0x30, 5, 0, 2, b'a', 0xFF, b'p'];
    let mut bench = connected();
    bench.receive(&publish);
    assert!(messages(&bench).is_empty());
    let mut bench = connected_with(Options { deliver_invalid_topics: true, ..options() });
    bench.receive(&publish);
    bench.receive(&[0x30, 4, 0, 1, b'b', b'p']);
    assert_eq!(messages(&bench), [("a?", Some(&[b'a', 0xFF][..])), ("b", None)]);
    bench.receive(&[0x30, 5, 0, 2, b'+', 0xFF, b'p']);
    assert_eq!(messages(&bench).len(), 2, "whatever else is wrong still counts");
}

#[test]
fn a_topic_that_is_not_utf_8_gets_no_alias() {
    let options = Options { deliver_invalid_topics: true, topic_alias_maximum: 9, ..options_5() };
    let mut bench = connected_with(options);
    bench.receive(&[0x30, 8, 0, 2, b'a', 0xFF, 3, 0x23, 0, 1]);
    assert!(messages(&bench).is_empty());
    let refused = |event: &Event| matches!(event, Event::Disconnected(why) if why.error.is_some());
    assert!(bench.events.iter().any(refused), "{:?}", bench.events);
}

#[test]
fn mqtt_3_1_cannot_say_that_a_session_is_present_and_doubles_nothing() {
    let mut bench = connected_with(Options { mqtt31: true, ..options() });
    bench.command(Command::Publish(1, message(QoS::ExactlyOnce)));
    bench.sent();
    bench.receive(&[0x50, 2, 0, 1]);
    bench.receive(&[0x34, 6, 0, 1, b't', 0, 7, b'x']);
    bench.sent();
    bench.cut();
    bench.link_up();
    bench.receive(&CONNACK_NEW);
    assert_eq!(bench.sent(), [0x62, 2, 0, 1], "the server has the message");
    bench.receive(&[0x3C, 6, 0, 1, b't', 0, 7, b'x']);
    assert_eq!(messages(&bench).len(), 1);
}

#[test]
fn it_is_told_how_much_a_disconnect_of_the_server_said() {
    for (packet, said) in [(&[0xE0, 0][..], 0), (&[0xE0, 1, 0x8B], 1), (&[0xE0, 2, 0x8B, 0], 2)] {
        let mut bench = connected_with(options_5());
        bench.receive(packet);
        let told = bench.events.iter().rev().find_map(|event| match event {
            Event::Disconnected(disconnected) => Some(disconnected.said),
            _ => None,
        });
        assert_eq!(told, Some(said));
    }
}
