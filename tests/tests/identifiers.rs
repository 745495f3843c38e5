//! The identifiers go round: 65,535 of them, and those in flight are passed over.

use std::fmt::Write;

use remqtt_tests::play::play;
use remqtt_tests::script::Scenario;
use remqtt_tests::world::World;

#[test]
fn identifiers_in_flight_are_passed_over_when_the_numbers_wrap() {
    let mut text = "client start\npeer expect CONNECT\npeer send CONNACK sp=0\n".to_string();
    // A publish of each QoS and a subscribe stay open for more than a round.
    text += "client publish a \"first\" qos=1 as first\npeer expect PUBLISH id=1\n";
    text += "client subscribe b qos=1 as s1\npeer expect SUBSCRIBE id=2\n";
    text += "client publish a \"second\" qos=2 as second\npeer expect PUBLISH id=3\n";
    text += "peer send PUBREC id=3\npeer expect PUBREL id=3\n";
    for number in 0..66_000 {
        let _ = writeln!(text, "client publish a \"{number}\" qos=1 as m{number}");
        let _ =
            writeln!(text, "peer expect PUBLISH payload=\"{number}\" dup=0 as p\npeer send PUBACK id=p.id");
    }
    text += "peer send SUBACK id=2 codes=1\npeer send PUBACK id=1\nclient see PUBLISHED first\n";
    text += "peer send PUBCOMP id=3\nclient see PUBLISHED second\n";
    // The model's monitor blames the client for an identifier that is in flight already.
    let scenario = Scenario::parse("wrap", &text).expect("a script");
    let report = play(&scenario.runs[0], &mut World::new(1), None);
    assert_eq!(report.failure, None);
}
