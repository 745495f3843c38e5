//! What belongs to one connection and what to the session; what was announced; time.

use crate::bench::*;
use remqtt_proto::{
    Command, Error, ErrorCode, Event, Input, Login, Mark, Options, Outcome, PropertyId, PropertyValue, QoS,
    Secret, SessionState, State, Version,
};
use std::sync::Arc;
use std::time::Duration;

/// QoS 0, topic "t" under alias 1, then by the alias alone.
const ALIASED: [u8; 17] = [0x30, 8, 0, 1, b't', 3, 0x23, 0, 1, b'p', 0x30, 6, 0, 0, 3, 0x23, 0];

fn messages(bench: &Bench) -> usize {
    bench.events.iter().filter(|event| matches!(event, Event::Message(_))).count()
}

fn aliases() -> Options {
    let connect_properties = one(PropertyId::TopicAliasMaximum, PropertyValue::TwoByte(5));
    Options { connect_properties, ..options_5() }
}

#[test]
fn an_alias_maximum_given_as_a_connect_property_holds() {
    let mut bench = connected_with(aliases());
    bench.receive(&ALIASED);
    bench.receive(&[1]);
    assert_eq!((messages(&bench), bench.engine.state()), (2, State::Connected));
}

#[test]
fn new_options_do_not_change_the_rules_of_the_link_that_is_up() {
    let mut bench = connected_with(aliases());
    bench.command(Command::Reconfigure(Arc::new(Options { maximum_packet_size: 16, ..options_5() })));
    bench.receive(&ALIASED);
    bench.receive(&[1]);
    bench.receive(&[&[0x30, 40, 0, 1, b't', 0][..], &[b'p'; 36]].concat());
    assert_eq!((messages(&bench), bench.engine.state()), (3, State::Connected));
}

#[test]
fn a_packet_size_given_as_a_connect_property_is_the_one_that_is_enforced() {
    let connect_properties = one(PropertyId::MaximumPacketSize, PropertyValue::FourByte(1_000));
    let options = Options { maximum_packet_size: 16, connect_properties, ..options_5() };
    let mut bench = connected_with(options);
    bench.receive(&[&[0x30, 40, 0, 1, b't', 0][..], &[b'p'; 36]].concat());
    assert_eq!((messages(&bench), bench.engine.state()), (1, State::Connected));
}

#[test]
fn a_login_holds_for_its_attempt_and_changes_nothing_else() {
    let (username, password) = (Some("u".into()), Some("p".into()));
    let mut bench = Bench::new(Options { clean_start: true, username, password, ..options_5() });
    bench.command(Command::Start);
    for (login, sent, clean) in [(Some("a"), b'a', 2), (Some("b"), b'b', 0), (None, b'p', 0)] {
        if let Some(name) = login {
            let (username, password) = (Some("u".into()), Some(Secret(name.into())));
            let login = Login { username, password, authentication_data: None };
            bench.give(Input::Login(bench.attempt, login));
        }
        let connect = bench.link_up();
        assert!(connect.ends_with(&[0, 1, b'u', 0, 1, sent]), "{connect:?}");
        assert_eq!(connect[9] & 2, clean, "a clean start at the first connection only");
        bench.receive(if clean == 2 { &CONNACK_NEW_5 } else { &CONNACK_PRESENT_5 });
        bench.cut();
        bench.command(Command::ReconnectNow);
    }
}

#[test]
fn a_protocol_version_set_while_dialling_holds_from_its_connect_on() {
    let mut bench = Bench::new(options_5());
    bench.command(Command::Start);
    bench.command(Command::Reconfigure(Arc::new(options())));
    assert_eq!(bench.link_up()[8], Version::V4 as u8);
    bench.receive(&CONNACK_NEW);
    assert_eq!(bench.engine.state(), State::Connected);
}

/// With 20 open at QoS 2, mosquitto acknowledges and throws away a QoS 1 publish of MQTT 3.1.1.
#[test]
fn mqtt_3_never_has_20_open_at_qos_2_and_qos_1_flows_on() {
    const PUBLISH: usize = 8;
    let mut bench = connected();
    for ticket in 1..=19 {
        bench.command(Command::Publish(ticket, message(QoS::ExactlyOnce)));
    }
    bench.command(Command::Publish(20, message(QoS::AtLeastOnce)));
    bench.command(Command::Publish(21, message(QoS::ExactlyOnce)));
    assert_eq!(bench.sent().len(), 20 * PUBLISH);
    bench.receive(&[0x50, 2, 0, 1]);
    assert_eq!(bench.sent(), [0x62, 2, 0, 1], "a released one is still open");
    bench.receive(&[0x70, 2, 0, 1]);
    assert_eq!(bench.sent().len(), PUBLISH);
}

#[test]
fn the_session_of_another_client_identifier_is_not_resumed() {
    let mut bench = connected();
    bench.command(Command::Publish(1, message(QoS::ExactlyOnce)));
    bench.sent();
    bench.receive(&[0x50, 2, 0, 1]);
    bench.sent();
    bench.command(Command::Reconfigure(Arc::new(Options { client_id: "d".into(), ..options() })));
    bench.cut();
    bench.link_up();
    bench.receive(&CONNACK_PRESENT);
    assert_eq!(bench.session(), Some(SessionState::New));
    assert_eq!(bench.sent(), [0x34, 6, 0, 1, b't', 0, 1, b'p'], "a new PUBLISH, no PUBREL");
}

/// Subscribed, with a QoS 2 message received; then a CONNECT whose CONNACK never comes.
fn unanswered_connect() -> Bench {
    let mut bench = connected();
    bench.command(Command::Subscribe(1, filter("f"), Default::default()));
    bench.sent();
    bench.receive(&[0x90, 3, 0, 1, 1]);
    bench.receive(&[0x34, 6, 0, 1, b't', 0, 7, b'p']);
    bench.cut();
    bench.link_up();
    bench.cut();
    bench.command(Command::ReconnectNow);
    bench.link_up();
    bench
}

#[test]
fn a_session_that_may_have_begun_with_an_unanswered_connect_gets_the_subscriptions_again() {
    let mut bench = unanswered_connect();
    bench.receive(&CONNACK_PRESENT);
    assert_eq!(bench.sent(), [0x82, 6, 0xFF, 0xFF, 0, 1, b'f', 1]);
    bench.receive(&[0x90, 3, 0xFF, 0xFF, 1]);
    bench.cut();
    bench.command(Command::ReconnectNow);
    bench.link_up();
    bench.receive(&CONNACK_PRESENT);
    assert_eq!(bench.sent(), [], "no doubt about this one");
}

#[test]
fn a_session_that_may_have_begun_with_an_unanswered_connect_loses_no_new_message() {
    let mut bench = unanswered_connect();
    bench.receive(&CONNACK_PRESENT);
    bench.receive(&[0x34, 6, 0, 1, b't', 0, 7, b'q']);
    assert_eq!(messages(&bench), 2);
    bench.receive(&[0x34, 6, 0, 1, b't', 0, 7, b'q']);
    assert_eq!(messages(&bench), 2, "on one link there is no doubt");
}

#[test]
fn a_refusal_is_an_answer_and_leaves_no_doubt_about_the_session() {
    let mut bench = unanswered_connect();
    bench.receive(&CONNACK_NEW);
    bench.sent();
    bench.receive(&[0x90, 3, 0xFF, 0xFF, 1]);
    bench.cut();
    bench.command(Command::ReconnectNow);
    bench.link_up();
    bench.receive(&[0x20, 2, 0, 3]);
    bench.command(Command::ReconnectNow);
    bench.link_up();
    bench.receive(&CONNACK_PRESENT);
    assert_eq!(bench.sent(), []);
}

#[test]
fn a_session_that_was_to_end_with_its_connection_is_not_reported_lost() {
    let mut bench = connected_with(Options { session_expiry: 0, ..options_5() });
    bench.command(Command::Reconfigure(Arc::new(options_5())));
    bench.cut();
    bench.link_up();
    bench.receive(&CONNACK_NEW_5);
    assert_eq!(bench.session(), Some(SessionState::New));
    bench.cut();
    bench.command(Command::ReconnectNow);
    bench.link_up();
    bench.receive(&CONNACK_NEW_5);
    assert_eq!(bench.session(), Some(SessionState::Lost));
    bench.cut();
    bench.command(Command::ReconnectNow);
    bench.link_up();
    bench.receive(&CONNACK_PRESENT_5);
    assert_eq!(bench.session(), Some(SessionState::Resumed));
}

#[test]
fn a_server_that_ends_sessions_at_once_has_not_lost_one() {
    let mut bench = Bench::new(options_5());
    bench.command(Command::Start);
    bench.link_up();
    bench.receive(&[0x20, 8, 0, 0, 5, 0x11, 0, 0, 0, 0]);
    bench.cut();
    bench.link_up();
    bench.receive(&CONNACK_NEW_5);
    assert_eq!((bench.session(), bench.engine.stats().sessions_lost), (Some(SessionState::New), 0));
}

#[test]
fn pings_go_on_while_the_application_is_behind() {
    let mut bench = connected();
    bench.give(Input::ReadingPaused(true));
    for minute in 1..=5 {
        bench.pass(Duration::from_secs(60));
        assert_eq!(bench.sent(), [0xC0, 0], "minute {minute}");
    }
    bench.give(Input::ReadingPaused(false));
    bench.pass(Duration::from_millis(4_999));
    assert_eq!(bench.engine.state(), State::Connected);
    bench.pass(Duration::from_millis(1));
    assert_eq!(bench.engine.state(), State::Connecting);
}

#[test]
fn a_keep_alive_below_the_ping_timeout_is_kept_while_an_answer_is_awaited() {
    let mut bench = connected_with(Options { keepalive: 1, ..options() });
    for second in 1..=5 {
        bench.pass(Duration::from_secs(1));
        assert_eq!(bench.sent(), [0xC0, 0], "second {second}");
    }
    bench.pass(Duration::from_secs(1));
    assert_eq!(bench.engine.state(), State::Connecting, "one second and the ping timeout");
}

#[test]
fn a_connack_that_the_application_keeps_us_from_reading_is_not_late() {
    let mut bench = Bench::new(options());
    bench.command(Command::Start);
    bench.link_up();
    let attempt = bench.attempt;
    bench.give(Input::ReadingPaused(true));
    bench.pass(Duration::from_secs(3_600));
    bench.give(Input::ReadingPaused(false));
    bench.receive(&CONNACK_NEW);
    assert_eq!((bench.engine.state(), bench.attempt), (State::Connected, attempt));
}

#[test]
fn a_connect_that_cannot_be_encoded_is_not_tried_again() {
    let mut bench = Bench::new(Options { password: Some("p".into()), ..options() });
    bench.command(Command::Start);
    bench.link_up();
    bench.pass(Duration::from_secs(3_600));
    assert_eq!((bench.engine.state(), bench.engine.stats().connect_attempts), (State::Stopped, 1));
}

#[test]
fn a_link_that_lasted_counts_as_stable_even_if_its_timer_is_late() {
    let mut bench = connected();
    bench.cut();
    bench.link_up();
    bench.receive(&CONNACK_PRESENT);
    bench.now = bench.now + Duration::from_secs(3_600);
    bench.cut();
    assert_eq!(bench.engine.state(), State::Connecting, "at once, as after any stable connection");
}

#[test]
fn the_resend_is_over_when_the_server_has_acknowledged_what_was_not_sent_again() {
    let mut bench = connected_with(Options { max_inflight: 2, ..options() });
    for ticket in 1..=2 {
        bench.command(Command::Publish(ticket, message(QoS::AtLeastOnce)));
    }
    bench.sent();
    bench.command(Command::Reconfigure(Arc::new(Options { max_inflight: 1, ..options() })));
    bench.cut();
    bench.link_up();
    bench.receive(&CONNACK_PRESENT);
    bench.sent();
    bench.receive(&[0x40, 2, 0, 2, 0x40, 2, 0, 1]);
    bench.sent();
    bench.receive(&[0x30, 4, 0, 1, b't', b'p']);
    assert!(matches!(bench.outages()[..], [outage] if outage.at(Mark::Resent).is_some()));
}

#[test]
fn the_window_is_whole_again_after_acknowledgements_of_what_was_not_sent_again() {
    let mut bench = connected_with(Options { max_inflight: 3, ..options() });
    for ticket in 1..=9 {
        bench.command(Command::Publish(ticket, message(QoS::AtLeastOnce)));
    }
    bench.sent();
    bench.cut();
    bench.link_up();
    bench.receive(&CONNACK_PRESENT);
    bench.receive(&[0x40, 2, 0, 1, 0x40, 2, 0, 2]);
    assert_eq!(bench.sent().len(), 24, "one again, two new");
    bench.receive(&[0x40, 2, 0, 3, 0x40, 2, 0, 4, 0x40, 2, 0, 5]);
    assert_eq!(bench.sent().len(), 24, "and never more than three");
}

#[test]
fn what_is_sent_as_new_after_a_lost_session_still_expires_while_it_waits() {
    let mut bench = connected_with(Options { max_inflight: 2, ..options_5() });
    for ticket in 1..=2 {
        let mut publish = message(QoS::AtLeastOnce);
        publish.properties = one(PropertyId::MessageExpiryInterval, PropertyValue::FourByte(10));
        bench.command(Command::Publish(ticket, publish));
    }
    bench.sent();
    bench.command(Command::Reconfigure(Arc::new(Options { max_inflight: 1, ..options_5() })));
    bench.cut();
    bench.link_up();
    bench.receive(&CONNACK_NEW_5);
    bench.sent();
    bench.pass(Duration::from_secs(10));
    assert!(matches!(bench.completions(2)[..], [Outcome::Failed(e, _)] if e.code == ErrorCode::Expired));
    assert!(bench.completions(1).is_empty(), "it is in flight");
}

#[test]
fn the_longest_message_expiry_interval_is_sent_as_it_is() {
    let mut bench = connected_with(options_5());
    let mut publish = message(QoS::AtMostOnce);
    publish.properties = one(PropertyId::MessageExpiryInterval, PropertyValue::FourByte(u32::MAX));
    bench.command(Command::Publish(1, publish));
    assert_eq!(bench.sent()[5..11], [5, 2, 0xFF, 0xFF, 0xFF, 0xFF]);
}

#[test]
fn an_acknowledgement_from_before_a_lost_session_is_not_sent() {
    let mut bench = connected();
    bench.receive(&[0x32, 6, 0, 1, b't', 0, 7, b'p']);
    let delivery = bench.events.iter().find_map(|event| match event {
        Event::Message(message) => message.delivery,
        _ => None,
    });
    bench.cut();
    bench.link_up();
    bench.receive(&CONNACK_NEW);
    bench.receive(&[0x32, 6, 0, 1, b't', 0, 7, b'q']);
    bench.command(Command::Acknowledge(delivery.into_iter().collect()));
    assert_eq!(bench.sent(), []);
}

#[test]
fn a_transport_that_comes_up_after_its_attempt_timed_out_is_ignored() {
    let mut bench = Bench::new(options());
    bench.command(Command::Start);
    let first = bench.attempt;
    bench.pass(Duration::from_secs(5));
    bench.give(Input::LinkUp(first));
    assert_eq!(bench.sent(), []);
    bench.give(Input::LinkDown(first, Error::from(ErrorCode::ConnectFailed)));
    assert_eq!(bench.engine.state(), State::Waiting, "for the second attempt");
}
