//! Enhanced authentication: who speaks when, for how long, and what stays secret.

use crate::bench::*;
use remqtt_proto::{
    Auth, Command, Engine, Error, ErrorCode, Event, Exchange, Input, Login, Options, Properties, PropertyId,
    PropertyValue, QoS, Secret, State,
};
use std::time::Duration;

const MS: Duration = Duration::from_millis(1);
const METHOD: PropertyId = PropertyId::AuthenticationMethod;
/// DISCONNECT with "protocol error" and with "unspecified error".
const PROTOCOL_ERROR: [u8; 3] = [0xE0, 1, 0x82];
const GIVEN_UP: [u8; 3] = [0xE0, 1, 0x80];

fn with_method() -> Options {
    Options { connect_properties: one(METHOD, PropertyValue::Text("m".into())), ..options_5() }
}

/// An AUTH with a method and a byte of data, as either side sends it.
fn auth(reason_code: u8, method: u8, data: u8) -> Vec<u8> {
    vec![0xF0, 10, reason_code, 8, 0x15, 0, 1, method, 0x16, 0, 1, data]
}

/// The data as a caller's call makes properties of it.
fn data(text: &'static str) -> Properties {
    Engine::check_auth(Some(text.into()), Properties::new()).unwrap_or_default()
}

/// Started, with the CONNECT sent.
fn greeting(options: Options) -> Bench {
    let mut bench = Bench::new(options);
    bench.command(Command::Start);
    bench.link_up();
    bench
}

fn live() -> Bench {
    connected_with(with_method())
}

/// The AUTHs of the server that were told.
fn told(bench: &Bench) -> Vec<&Auth> {
    fn of(event: &Event) -> Option<&Auth> {
        match event {
            Event::Auth(auth) => Some(auth),
            _ => None,
        }
    }
    bench.events.iter().filter_map(of).collect()
}

/// The number of the last one.
fn open(bench: &Bench) -> Exchange {
    told(bench).last().and_then(|auth| auth.exchange).unwrap_or(0)
}

/// What the last connection or attempt ended with.
fn lost(bench: &Bench) -> Option<&Error> {
    bench.events.iter().rev().find_map(|event| match event {
        Event::Disconnected(disconnected) => disconnected.error.as_ref(),
        _ => None,
    })
}

/// The server's AUTH comes, and is answered.
fn challenge(bench: &mut Bench, data_of_server: u8, answer: &'static str) {
    bench.receive(&auth(0x18, b'm', data_of_server));
    bench.command(Command::Authenticate(Some(open(bench)), data(answer)));
}

#[test]
fn a_challenge_is_told_and_its_answer_sent_before_the_connack() {
    let mut bench = greeting(with_method());
    bench.receive(&auth(0x18, b'm', b'?'));
    let [asked] = told(&bench)[..] else { panic!("one AUTH") };
    assert_eq!((asked.exchange, asked.reason_code), (Some(1), 0x18));
    assert_eq!(
        asked.properties.find(PropertyId::AuthenticationData),
        data("?").find(PropertyId::AuthenticationData)
    );
    bench.command(Command::Authenticate(Some(1), data("!")));
    assert_eq!(bench.sent(), auth(0x18, b'm', b'!'));
    bench.receive(&CONNACK_NEW_5);
    assert_eq!(bench.engine.state(), State::Connected);
}

#[test]
fn an_exchange_has_as_many_steps_as_the_server_wants() {
    let mut bench = greeting(with_method());
    for step in 1..=5 {
        challenge(&mut bench, b'?', "!");
        assert_eq!(open(&bench), step);
        assert_eq!(bench.sent(), auth(0x18, b'm', b'!'));
    }
    bench.receive(&CONNACK_NEW_5);
    assert_eq!(bench.engine.state(), State::Connected);
}

#[test]
fn nothing_but_auth_follows_a_connect_with_a_method() {
    let mut bench = greeting(with_method());
    bench.command(Command::Publish(1, message(QoS::AtLeastOnce)));
    bench.command(Command::Subscribe(2, filter("f"), Properties::new()));
    assert_eq!(bench.sent(), []);
    challenge(&mut bench, b'?', "!");
    assert_eq!(bench.sent(), auth(0x18, b'm', b'!'));
    bench.receive(&CONNACK_NEW_5);
    assert!(!bench.sent().is_empty());
}

#[test]
fn an_answer_to_another_step_or_attempt_is_never_sent() {
    let mut bench = greeting(with_method());
    challenge(&mut bench, b'?', "!");
    bench.sent();
    bench.command(Command::Authenticate(Some(1), data("twice")));
    bench.receive(&auth(0x18, b'm', b'?'));
    bench.command(Command::Authenticate(Some(1), data("late")));
    assert_eq!(bench.sent(), []);
    bench.cut();
    bench.command(Command::ReconnectNow);
    bench.link_up();
    bench.command(Command::Authenticate(Some(2), data("later")));
    bench.receive(&auth(0x18, b'm', b'?'));
    bench.command(Command::Authenticate(Some(2), data("later")));
    bench.command(Command::RefuseAuthentication(2));
    assert_eq!((bench.sent(), open(&bench), bench.engine.state()), (vec![], 3, State::Connecting));
}

#[test]
fn each_attempt_begins_anew_with_first_data_of_its_own() {
    let mut bench = Bench::new(with_method());
    bench.command(Command::Start);
    for first in ["a", "b"] {
        let login = Login { authentication_data: Some(Secret(first.into())), ..Login::default() };
        bench.give(Input::Login(bench.attempt, login));
        let connect = bench.link_up();
        let method_and_data = [&[0x15, 0, 1, b'm', 0x16, 0, 1][..], first.as_bytes()].concat();
        assert!(connect.windows(8).any(|bytes| bytes == method_and_data), "{connect:?}");
        challenge(&mut bench, b'?', "!");
        assert_eq!(bench.sent(), auth(0x18, b'm', b'!'));
        bench.cut();
        bench.command(Command::ReconnectNow);
    }
}

#[test]
fn an_auth_that_may_not_come_before_the_connack_ends_the_attempt() {
    let no_method = vec![0xF0, 2, 0x18, 0];
    let before = [
        auth(0, b'm', b'?'),
        auth(0x19, b'm', b'?'),
        auth(0x87, b'm', b'?'),
        auth(0x18, b'n', b'?'),
        no_method,
    ];
    for packet in before {
        let mut bench = greeting(with_method());
        bench.receive(&packet);
        let error = lost(&bench).unwrap();
        assert_eq!((error.code, error.reason_code), (ErrorCode::ProtocolError, Some(0x82)), "{packet:?}");
        assert!(told(&bench).is_empty());
    }
}

#[test]
fn a_second_auth_before_the_answer_to_the_first_is_refused() {
    let mut bench = greeting(with_method());
    bench.receive(&auth(0x18, b'm', b'?'));
    bench.receive(&auth(0x18, b'm', b'?'));
    assert_eq!(lost(&bench).map(|error| error.code), Some(ErrorCode::ProtocolError));
}

#[test]
fn without_a_method_in_the_connect_the_server_may_send_no_auth_and_we_send_none() {
    let mut bench = greeting(options_5());
    bench.receive(&auth(0x18, b'm', b'?'));
    assert_eq!(lost(&bench).map(|error| error.code), Some(ErrorCode::ProtocolError));
    let mut bench = connected_with(options_5());
    bench.command(Command::Authenticate(None, data("!")));
    assert_eq!(bench.sent(), []);
    bench.receive(&auth(0x18, b'm', b'?'));
    assert_eq!(bench.farewell, PROTOCOL_ERROR);
}

#[test]
fn a_connack_with_another_method_is_refused_and_one_without_any_is_not() {
    let connack = |method| [0x20, 7, 0, 0, 4, 0x15, 0, 1, method];
    for (method, state) in [(b'm', State::Connected), (b'n', State::Waiting)] {
        let mut bench = greeting(with_method());
        bench.receive(&connack(method));
        assert_eq!(bench.engine.state(), state);
    }
    assert_eq!(live().engine.state(), State::Connected);
}

#[test]
fn a_refusal_is_told_with_its_reason_and_tried_again_slowly() {
    for reason_code in [0x87, 0x8C] {
        let mut bench = greeting(with_method());
        challenge(&mut bench, b'?', "!");
        bench.receive(&[0x20, 3, 0, reason_code, 0]);
        let error = lost(&bench).unwrap();
        assert_eq!((error.code, error.reason_code), (ErrorCode::BadCredentials, Some(reason_code)));
        bench.pass(Duration::from_secs(10));
        assert_eq!(bench.engine.state(), State::Waiting);
    }
}

#[test]
fn an_application_that_does_not_answer_holds_the_attempt_up_to_the_connect_timeout_and_no_other_is_begun() {
    let mut bench = greeting(Options { detect_within: Duration::from_secs(5), ..with_method() });
    bench.receive(&auth(0x18, b'm', b'?'));
    bench.pass(4_999 * MS);
    assert_eq!((bench.probe, bench.engine.state()), (None, State::Connecting));
    bench.pass(MS);
    assert_eq!(lost(&bench).map(|error| error.code), Some(ErrorCode::AuthenticationFailed));
}

#[test]
fn a_server_that_is_silent_after_our_answer_is_left_for_another_way() {
    let mut bench = greeting(Options { detect_within: Duration::from_secs(5), ..with_method() });
    bench.receive(&auth(0x18, b'm', b'?'));
    bench.pass(3_000 * MS);
    bench.command(Command::Authenticate(Some(1), data("!")));
    bench.sent();
    bench.pass(399 * MS);
    assert_eq!(bench.probe, None, "what we took is no slowness of the server");
    bench.pass(MS);
    let probe = bench.probe.unwrap();
    bench.give(Input::Reached(probe));
    assert_eq!(bench.attempt, probe);
}

#[test]
fn a_server_that_is_slow_at_every_step_is_reached_at_last() {
    let mut bench = connected_with(Options { detect_within: Duration::from_secs(5), ..with_method() });
    bench.cut();
    for _ in 0..8 {
        bench.link_up();
        let attempt = bench.attempt;
        for _ in 0..2 {
            bench.pass(700 * MS);
            bench.probe.into_iter().for_each(|probe| bench.give(Input::Reached(probe)));
            if bench.attempt != attempt {
                break;
            }
            challenge(&mut bench, b'?', "!");
            bench.sent();
        }
        if bench.attempt == attempt {
            bench.receive(&CONNACK_NEW_5);
            break;
        }
    }
    assert_eq!(bench.engine.state(), State::Connected);
}

#[test]
fn an_application_that_refuses_ends_the_attempt_and_the_schedule_goes_on() {
    let mut bench = greeting(with_method());
    bench.receive(&auth(0x18, b'm', b'?'));
    bench.command(Command::RefuseAuthentication(open(&bench)));
    assert_eq!(lost(&bench).map(|error| error.code), Some(ErrorCode::AuthenticationFailed));
    assert_eq!(bench.engine.state(), State::Waiting);
}

#[test]
fn a_link_that_is_up_is_authenticated_anew_while_messages_flow() {
    let mut bench = live();
    bench.command(Command::Authenticate(None, data("1")));
    assert_eq!(bench.sent(), auth(0x19, b'm', b'1'));
    bench.command(Command::Publish(1, message(QoS::AtMostOnce)));
    assert_eq!(bench.sent(), [0x30, 5, 0, 1, b't', 0, b'p']);
    challenge(&mut bench, b'?', "2");
    assert_eq!(bench.sent(), auth(0x18, b'm', b'2'));
    bench.receive(&auth(0, b'm', b'.'));
    let last = told(&bench).pop().unwrap();
    assert_eq!((last.exchange, last.reason_code), (None, 0));
    bench.pass(Duration::from_secs(6));
    assert_eq!(bench.engine.state(), State::Connected, "its time is over with it");
    bench.command(Command::Authenticate(None, data("3")));
    assert_eq!(bench.sent(), auth(0x19, b'm', b'3'), "and once more");
}

#[test]
fn a_success_may_be_as_short_as_two_bytes() {
    let mut bench = live();
    bench.command(Command::Authenticate(None, data("1")));
    bench.receive(&[0xF0, 0]);
    assert_eq!(told(&bench).len(), 1);
    assert_eq!(bench.engine.state(), State::Connected);
}

#[test]
fn there_is_one_exchange_at_a_time_and_none_before_the_connack() {
    let mut bench = greeting(with_method());
    bench.command(Command::Authenticate(None, data("1")));
    assert_eq!(bench.sent(), []);
    bench.receive(&CONNACK_NEW_5);
    bench.command(Command::Authenticate(None, data("2")));
    bench.command(Command::Authenticate(None, data("3")));
    assert_eq!(bench.sent(), auth(0x19, b'm', b'2'));
}

#[test]
fn an_auth_that_nobody_asked_for_ends_the_link() {
    for packet in [auth(0x18, b'm', b'?'), auth(0, b'm', b'?')] {
        let mut bench = live();
        bench.receive(&packet);
        assert_eq!(bench.farewell, PROTOCOL_ERROR);
    }
}

#[test]
fn the_method_of_a_re_authentication_is_that_of_the_connect() {
    let mut bench = live();
    bench.command(Command::Authenticate(None, data("1")));
    bench.sent();
    bench.receive(&auth(0x18, b'n', b'?'));
    assert_eq!(bench.farewell, PROTOCOL_ERROR);
}

#[test]
fn a_re_authentication_without_an_end_ends_the_link_at_the_connect_timeout() {
    for (answers, code) in [(false, ErrorCode::ConnectTimeout), (true, ErrorCode::AuthenticationFailed)] {
        let mut bench = live();
        bench.command(Command::Authenticate(None, data("1")));
        bench.sent();
        bench.pass(3_000 * MS);
        if answers {
            bench.receive(&auth(0x18, b'm', b'?'));
        }
        bench.pass(1_999 * MS);
        assert_eq!(bench.engine.state(), State::Connected);
        bench.pass(MS);
        assert_eq!((lost(&bench).map(|error| error.code), &bench.farewell[..]), (Some(code), &GIVEN_UP[..]));
    }
}

#[test]
fn an_auth_that_we_do_not_read_is_not_late() {
    let mut bench = live();
    bench.command(Command::Authenticate(None, data("1")));
    bench.sent();
    bench.give(Input::ReadingPaused(true));
    bench.pass(Duration::from_secs(20));
    bench.give(Input::ReadingPaused(false));
    bench.pass(4_999 * MS);
    assert_eq!(bench.engine.state(), State::Connected);
    bench.pass(MS);
    assert_eq!(lost(&bench).map(|error| error.code), Some(ErrorCode::ConnectTimeout));
}

#[test]
fn a_stop_during_an_exchange_ends_it() {
    let mut bench = greeting(with_method());
    bench.receive(&auth(0x18, b'm', b'?'));
    bench.command(Command::Stop(Default::default()));
    bench.command(Command::Authenticate(Some(1), data("!")));
    assert_eq!((bench.sent(), bench.engine.state()), (vec![], State::Stopped));
}

#[test]
fn a_server_that_refuses_a_re_authentication_says_so_and_the_next_connect_authenticates() {
    let mut bench = live();
    bench.command(Command::Authenticate(None, data("1")));
    bench.sent();
    bench.receive(&[0xE0, 1, 0x87]);
    let error = lost(&bench).unwrap();
    assert_eq!((error.code, error.reason_code), (ErrorCode::ServerDisconnected, Some(0x87)));
    bench.command(Command::ReconnectNow);
    assert!(bench.link_up().windows(4).any(|bytes| bytes == [0x15, 0, 1, b'm']));
}

#[test]
fn an_application_that_refuses_a_step_of_a_re_authentication_ends_the_link() {
    let mut bench = live();
    bench.command(Command::Authenticate(None, data("1")));
    bench.receive(&auth(0x18, b'm', b'?'));
    bench.command(Command::RefuseAuthentication(open(&bench)));
    assert_eq!(bench.farewell[bench.farewell.len() - 3..], GIVEN_UP);
    assert_eq!(lost(&bench).map(|error| error.code), Some(ErrorCode::AuthenticationFailed));
}

#[test]
fn an_answer_that_the_server_would_not_take_ends_the_link_in_words() {
    let mut bench = greeting(with_method());
    bench.receive(&[0x20, 8, 0, 0, 5, 0x27, 0, 0, 0, 16]);
    bench.command(Command::Authenticate(None, data("more than sixteen bytes")));
    let error = lost(&bench).unwrap();
    assert_eq!(error.code, ErrorCode::AuthenticationFailed);
    assert!(error.detail.contains("the limit is 16"), "{error}");
}

#[test]
fn what_a_caller_says_twice_or_too_long_is_refused_at_the_call() {
    let refused = |data: Option<Vec<u8>>, properties| {
        Engine::check_auth(data.map(Into::into), properties).unwrap_err().code
    };
    let named = one(METHOD, PropertyValue::Text("m".into()));
    assert_eq!(refused(None, named), ErrorCode::InvalidArgument);
    assert_eq!(refused(None, data("x")), ErrorCode::InvalidArgument);
    assert_eq!(refused(Some(vec![0; 65_536]), Properties::new()), ErrorCode::InvalidArgument);
    assert_eq!(
        refused(None, one(PropertyId::ContentType, PropertyValue::Text("x".into()))),
        ErrorCode::InvalidArgument
    );
}

#[test]
fn authentication_data_is_shown_nowhere() {
    let mut bench = greeting(with_method());
    bench.receive(&[0xF0, 13, 0x18, 11, 0x15, 0, 1, b'm', 0x16, 0, 4, b'h', b'u', b's', b'h']);
    let login = Login { authentication_data: Some(Secret("hush".into())), ..Login::default() };
    let command = Command::Authenticate(Some(1), data("hush"));
    let shown = format!("{:?} {login:?} {command:?} {:?}", bench.events, bench.engine);
    let told = told(&bench).pop().map(|auth| Event::Auth(Box::new(auth.clone())).to_string());
    assert_eq!(
        told.as_deref(),
        Some("AUTH exchange=1 reason=24 AuthenticationMethod=m AuthenticationData=***")
    );
    assert!(!shown.contains("hush") && !shown.contains("104"), "{shown}");
}
