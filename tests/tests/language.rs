//! The scenario language: what it accepts, and how it refuses.

#![allow(clippy::expect_used)] // the helpers of a test are its code too

use remqtt_tests::play::play;
use remqtt_tests::script::Scenario;
use remqtt_tests::world::World;

fn refusal(text: &str) -> String {
    Scenario::parse("test", text).expect_err("must be refused")
}

/// Plays a script whose variant is the only one; why it failed.
fn failure(text: &str) -> Option<String> {
    let scenario = Scenario::parse("test", text).expect("a script");
    play(&scenario.runs[0], &mut World::new(1), None).failure
}

const HELLO: &str = "client start\npeer expect CONNECT\npeer send CONNACK sp=0\nclient see CONNECTED\n";

#[test]
fn an_error_names_its_line() {
    assert_eq!(
        refusal("client start\n\n# comment\npeer expect CONNEKT"),
        "4: no packet is named \"CONNEKT\""
    );
    assert_eq!(refusal("client dance"), "1: client dance: no such command");
    assert_eq!(refusal("options keepalive=never"), {
        "1: invalid option: keepalive = \"never\": not of the kind integer"
    });
    assert_eq!(refusal("peer send PUBLISH topick=a"), "1: no field is named \"topick\"");
    assert_eq!(refusal("client publish a \"x\" qos=1"), "1: publish ... as NAME");
    assert_eq!(refusal("client publish a \"x qos=1 as m"), "1: a quote is not closed");
    assert_eq!(refusal("peer send PUBACK id=$nobody"), "1: no variable is named \"nobody\"");
    assert_eq!(refusal("client start\nrepeat i=1..2\nclient stop"), "2: repeat without end");
    assert_eq!(refusal("advance 4"), "1: \"4\" is no duration (200ms, 4s)");
    assert_eq!(refusal("client start now"), "1: \"now\" does not belong here");
    assert_eq!(refusal("client start if version"), "1: if name=value");
    assert_eq!(refusal("only sim because"), "1: only STAGE... \"reason\"");
}

#[test]
fn variants_multiply_and_conditions_decide() {
    let text = "# Row 3 and rows 5, 6.\nvariants version=4,5 session=kept,lost\n\
                peer send PUBACK id=1 if version=4\nrepeat i=1..3\nclient stop rc=$i if session=lost\nend";
    let scenario = Scenario::parse("test", text).expect("a script");
    assert_eq!(scenario.rows, [3, 5, 6]);
    let steps: Vec<usize> = scenario.runs.iter().map(|run| run.steps.len()).collect();
    assert_eq!(steps, [1, 4, 0, 3]);
    assert_eq!(scenario.runs[1].variant, "version=4 session=lost");
}

#[test]
fn a_limit_names_the_stages_and_the_reason() {
    let only = Scenario::parse("test", "only sim \"virtual time\"").expect("a script");
    assert_eq!(only.skipped_on(&["sim"]), None);
    assert_eq!(only.skipped_on(&["rust"]), Some("virtual time"));
    let skip = Scenario::parse("test", "skip python \"later\"").expect("a script");
    assert_eq!(skip.skipped_on(&["python"]), Some("later"));
    assert_eq!(skip.skipped_on(&["c"]), None);
}

#[test]
fn a_play_fails_where_the_client_does_something_else() {
    let text = format!("{HELLO}client publish a \"x\" qos=1 as m\npeer expect PUBLISH qos=2");
    assert!(
        failure(&text).is_some_and(|error| error.starts_with("line 6:") && error.contains("qos is not 2"))
    );
}

#[test]
fn a_play_fails_where_something_is_left_over() {
    let text = format!("{HELLO}client publish a \"x\" qos=0 as m");
    assert!(failure(&text).is_some_and(|error| error.contains("had also sent PUBLISH")));
    let text = format!("{HELLO}peer send PUBLISH topic=a payload=\"x\"");
    assert!(failure(&text).is_some_and(|error| error.contains("does not see: MESSAGE")));
}

#[test]
fn a_play_fails_where_an_event_has_another_field() {
    let text = format!("{HELLO}peer send PUBLISH topic=a payload=\"x\"\nclient see MESSAGE payload=\"y\"");
    assert!(failure(&text).is_some_and(|error| error.contains("payload is Some(\"78\") and not \"79\"")));
}

#[test]
fn virtual_time_is_exact() {
    let idle = "options keepalive=4\n".to_string() + HELLO;
    assert_eq!(failure(&format!("{idle}peer expect PINGREQ within 4s")), None);
    assert!(failure(&format!("{idle}peer expect PINGREQ within 3999ms")).is_some());
    assert!(failure(&format!("{idle}advance 4s\npeer expect nothing")).is_some());
}
