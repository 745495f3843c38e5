//! CONNECT and SUBSCRIBE in one flight, and servers that send us elsewhere.

use crate::bench::*;
use remqtt_proto::{
    Command, Error, ErrorCode, Input, Options, Outcome, PropertyId, PropertyValue, SessionState, State,
    Subscription,
};
use std::sync::Arc;
use std::time::Duration;

/// SUBACK of identifier 65,535 for one filter.
const SUBACK: [u8; 6] = [0x90, 4, 0xFF, 0xFF, 0, 1];

/// Subscribed to `f`, and then the server is gone and comes back.
fn restarted(options: Options) -> Bench {
    let mut bench = connected_with(options);
    bench.command(Command::Subscribe(1, filter("f"), Default::default()));
    bench.sent();
    bench.receive(&[0x90, 4, 0, 1, 0, 1]);
    restart(&mut bench);
    bench
}

fn restart(bench: &mut Bench) {
    bench.cut();
    bench.give(Input::LinkDown(bench.attempt, Error::from(ErrorCode::ConnectFailed)));
    bench.command(Command::ReconnectNow);
}

/// What was sent, without the CONNECT.
fn behind_connect(bytes: &[u8]) -> Vec<u8> {
    assert_eq!(bytes[0], 0x10);
    bytes[2 + usize::from(bytes[1])..].to_vec()
}

#[test]
fn after_a_restart_the_restoration_follows_the_connect_and_is_sent_once() {
    let mut bench = restarted(options_5());
    let sent = bench.link_up();
    assert_eq!(behind_connect(&sent), [0x82, 7, 0xFF, 0xFF, 0, 0, 1, b'f', 0x11], "retain handling 1");
    bench.receive(&CONNACK_NEW_5);
    assert_eq!(bench.session(), Some(SessionState::Lost));
    bench.command(Command::Subscribe(2, filter("f"), Default::default()));
    bench.command(Command::ConnectedHandled);
    assert_eq!(bench.sent(), [], "the one that was sent answers the application too");
    bench.receive(&SUBACK);
    assert!(matches!(bench.completions(2)[..], [Outcome::Subscribed(codes, _)] if *codes == [1]));
}

#[test]
fn nothing_but_auth_may_follow_a_connect_with_an_authentication_method() {
    let connect_properties = one(PropertyId::AuthenticationMethod, PropertyValue::Text("m".into()));
    let mut bench = restarted(Options { connect_properties, ..options_5() });
    assert_eq!(behind_connect(&bench.link_up()), []);
    bench.receive(&CONNACK_NEW_5);
    assert!(!bench.sent().is_empty(), "the restoration comes after the CONNACK");
}

#[test]
fn a_session_that_was_kept_gets_no_second_subscribe_and_answers_no_claim() {
    let mut bench = restarted(options_5());
    bench.link_up();
    bench.receive(&CONNACK_PRESENT_5);
    assert_eq!((bench.sent(), bench.session()), (vec![], Some(SessionState::Resumed)));
    bench.receive(&SUBACK);
    bench.command(Command::Subscribe(2, filter("f"), Default::default()));
    assert!(!bench.sent().is_empty(), "its retained messages are wanted");
    restart(&mut bench);
    assert_eq!(behind_connect(&bench.link_up()), [], "this server keeps sessions over a restart");
}

#[test]
fn a_mere_cut_is_no_reason_to_subscribe_before_the_connack_until_a_session_was_lost_by_one() {
    let mut bench = restarted(options_5());
    bench.link_up();
    bench.receive(&CONNACK_PRESENT_5);
    bench.receive(&SUBACK);
    bench.cut();
    bench.command(Command::ReconnectNow);
    assert_eq!(behind_connect(&bench.link_up()), []);
    bench.receive(&CONNACK_NEW_5);
    bench.sent();
    bench.receive(&SUBACK);
    bench.cut();
    bench.command(Command::ReconnectNow);
    assert_ne!(behind_connect(&bench.link_up()), []);
}

#[test]
fn a_server_whose_connection_dies_of_the_flight_is_asked_again_at_once_without_it() {
    let mut bench = restarted(options_5());
    assert_ne!(behind_connect(&bench.link_up()), []);
    bench.cut();
    assert_eq!(bench.engine.state(), State::Connecting, "at once");
    assert_eq!(behind_connect(&bench.link_up()), []);
    bench.receive(&CONNACK_NEW_5);
    assert_eq!(bench.sent(), [0x82, 7, 0xFF, 0xFF, 0, 0, 1, b'f', 1], "as ever");
    bench.receive(&SUBACK);
    restart(&mut bench);
    assert_eq!(behind_connect(&bench.link_up()), [], "and it is remembered");
    bench.cut();
    assert_ne!(bench.engine.state(), State::Connecting, "that was not for the flight");
}

#[test]
fn mqtt_3_whose_servers_would_repeat_retained_messages_waits_for_the_connack() {
    let mut bench = connected();
    bench.command(Command::Subscribe(1, filter("f"), Default::default()));
    bench.sent();
    bench.receive(&[0x90, 3, 0, 1, 1]);
    restart(&mut bench);
    assert_eq!(behind_connect(&bench.link_up()), []);
}

#[test]
fn a_hundred_filters_are_one_subscribe_in_the_first_flight() {
    let filters: Vec<Subscription> = (0..100)
        .map(|n| Subscription::new(format!("filter/{n:03}"), remqtt_proto::QoS::AtLeastOnce))
        .collect();
    let mut bench = connected_with(options_5());
    bench.command(Command::Subscribe(1, filters, Default::default()));
    bench.sent();
    let codes = |id: [u8; 2]| [&[0x90, 103, id[0], id[1], 0][..], &[1; 100]].concat();
    bench.receive(&codes([0, 1]));
    restart(&mut bench);
    assert!(behind_connect(&bench.link_up()).len() > 1_300);
    bench.receive(&CONNACK_NEW_5);
    assert_eq!(bench.sent(), []);
    bench.receive(&codes([0xFF, 0xFF]));
    assert_eq!(bench.engine.stats().subscriptions, 100);
}

/// A CONNACK that refuses with this code, and the server reference `b:2`.
fn sent_elsewhere(code: u8) -> [u8; 11] {
    [0x20, 9, 0, code, 6, 0x1C, 0, 3, b'b', b':', b'2']
}

fn dialled(bench: &Bench) -> Option<String> {
    url(bench, bench.attempt)
}

fn url(bench: &Bench, attempt: u64) -> Option<String> {
    bench.engine.server(attempt).map(|(url, _)| url.to_owned())
}

#[test]
fn a_server_that_names_another_one_is_followed_at_once() {
    let mut bench = Bench::new(options_5());
    bench.command(Command::Start);
    bench.link_up();
    bench.receive(&sent_elsewhere(0x9C));
    assert_eq!(bench.engine.state(), State::Connecting);
    assert_eq!(dialled(&bench).as_deref(), Some("mqtt://b:2"));
    bench.link_up();
    bench.receive(&CONNACK_NEW_5);
    bench.pass(Duration::from_secs(10));
    bench.cut();
    assert_eq!(dialled(&bench).as_deref(), Some("mqtt://x"), "it was for now");
}

#[test]
fn a_server_that_moved_for_good_is_forgotten_until_the_new_one_fails() {
    let mut bench = Bench::new(options_5());
    bench.command(Command::Start);
    bench.link_up();
    bench.receive(&sent_elsewhere(0x9D));
    bench.link_up();
    bench.receive(&CONNACK_NEW_5);
    bench.pass(Duration::from_secs(10));
    bench.cut();
    assert_eq!(dialled(&bench).as_deref(), Some("mqtt://b:2"));
    bench.give(Input::LinkDown(bench.attempt, Error::from(ErrorCode::ConnectFailed)));
    bench.command(Command::ReconnectNow);
    assert_eq!(dialled(&bench).as_deref(), Some("mqtt://x"));
}

#[test]
fn servers_that_send_us_round_in_a_circle_are_left_after_four_references() {
    let mut bench = Bench::new(options_5());
    bench.command(Command::Start);
    for _ in 0..4 {
        bench.link_up();
        bench.receive(&sent_elsewhere(0x9C));
        assert_eq!(bench.engine.state(), State::Connecting);
    }
    bench.link_up();
    bench.receive(&sent_elsewhere(0x9C));
    assert_eq!(dialled(&bench).as_deref(), Some("mqtt://x"), "the list counts again");
    bench.link_up();
    bench.receive(&sent_elsewhere(0x9C));
    assert_eq!(bench.engine.state(), State::Waiting);
    bench.pass(Duration::from_secs(29));
    assert_eq!(bench.engine.state(), State::Waiting, "half a minute at least");
}

#[test]
fn without_a_reference_the_next_server_of_the_list_is_tried_at_once() {
    let servers = vec!["mqtt://x".into(), "mqtt://y".into()];
    let mut bench = connected_with(Options { servers, ..options_5() });
    bench.receive(&[0xE0, 1, 0x9C]);
    assert_eq!(bench.engine.state(), State::Connecting);
    assert_eq!(dialled(&bench).as_deref(), Some("mqtt://y"));
}

/// A client of these servers, with their transport up and the CONNECT sent.
fn greeting(servers: &[&str]) -> Bench {
    let servers = servers.iter().map(|url| (*url).to_owned()).collect();
    let mut bench = Bench::new(Options { servers, detect_within: Duration::from_secs(5), ..options_5() });
    bench.command(Command::Start);
    bench.link_up();
    bench
}

fn reconfigure(bench: &mut Bench, servers: &[&str]) {
    let servers = servers.iter().map(|url| (*url).to_owned()).collect();
    let options = Options { servers, ..(**bench.engine.options()).clone() };
    bench.command(Command::Reconfigure(Arc::new(options)));
}

#[test]
fn a_start_that_comes_during_the_farewell_forgets_where_servers_sent_us() {
    let mut bench = greeting(&["mqtt://x"]);
    bench.receive(&sent_elsewhere(0x9D));
    bench.link_up();
    bench.receive(&CONNACK_NEW_5);
    bench.command(Command::Stop(Default::default()));
    bench.command(Command::Start);
    assert_eq!(bench.sent()[0], 0xE0);
    assert_eq!(dialled(&bench).as_deref(), Some("mqtt://x"));
}

#[test]
fn a_new_list_of_servers_counts_more_than_a_server_that_moved_for_good() {
    for list in [&["mqtt://y"][..], &["mqtt://y", "mqtt://y"]] {
        let mut bench = greeting(&["mqtt://x"]);
        bench.receive(&sent_elsewhere(0x9D));
        assert_eq!(dialled(&bench).as_deref(), Some("mqtt://b:2"));
        reconfigure(&mut bench, list);
        assert_eq!(dialled(&bench).as_deref(), Some("mqtt://b:2"), "that is under way");
        bench.link_up();
        bench.receive(&CONNACK_NEW_5);
        bench.pass(Duration::from_secs(1));
        bench.cut();
        bench.command(Command::ReconnectNow);
        assert_eq!(dialled(&bench).as_deref(), Some("mqtt://y"));
    }
}

#[test]
fn a_reference_is_followed_over_the_transport_of_the_link_whatever_the_list_has_become() {
    let mut bench = greeting(&["mqtts://x"]);
    bench.receive(&CONNACK_NEW_5);
    reconfigure(&mut bench, &["mqtt://y"]);
    bench.receive(&[0xE0, 8, 0x9C, 6, 0x1C, 0, 3, b'b', b':', b'2']);
    assert_eq!(dialled(&bench).as_deref(), Some("mqtts://b:2"));
}

#[test]
fn a_second_way_to_a_server_that_is_listed_no_more_is_not_gone_on_with() {
    let mut bench = greeting(&["mqtt://x"]);
    bench.receive(&CONNACK_NEW_5);
    bench.command(Command::NetworkChanged);
    bench.sent();
    bench.pass(Duration::from_millis(500));
    assert_eq!(url(&bench, bench.probe.unwrap()).as_deref(), Some("mqtt://x"));
    reconfigure(&mut bench, &["mqtt://y"]);
    bench.cut();
    assert_eq!((bench.probe, dialled(&bench).as_deref()), (None, Some("mqtt://y")));
}

#[test]
fn a_greeting_of_a_referred_server_is_overtaken_on_the_way_that_the_next_attempt_takes() {
    let mut bench = Bench::new(Options {
        servers: vec!["mqtt://x".into(), "mqtt://y".into(), "mqtt://z".into()],
        detect_within: Duration::from_secs(5),
        ..options_5()
    });
    bench.command(Command::Start);
    bench.give(Input::LinkDown(bench.attempt, Error::from(ErrorCode::ConnectFailed)));
    bench.pass(Duration::ZERO);
    assert_eq!(dialled(&bench).as_deref(), Some("mqtt://y"));
    bench.link_up();
    bench.receive(&sent_elsewhere(0x9C));
    bench.link_up();
    bench.pass(Duration::from_millis(400));
    let probe = bench.probe.unwrap();
    assert_eq!(url(&bench, probe).as_deref(), Some("mqtt://z"));
    bench.give(Input::Reached(probe));
    assert_eq!((bench.attempt, dialled(&bench).as_deref()), (probe, Some("mqtt://z")));
}

#[test]
fn what_is_shown_of_an_engine_holds_no_secret() {
    let mut bench = restarted(Options {
        servers: vec!["mqtt://user:hush@x".into()],
        username: Some("user".into()),
        password: Some("hush".into()),
        ..options_5()
    });
    bench.give(Input::LinkUp(bench.attempt));
    let shown = format!("{:?}", bench.engine);
    assert!(shown.contains("Connecting") && !shown.contains("hush"), "{shown}");
}
