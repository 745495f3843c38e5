//! Every scenario in the simulator: literally, and with the link cut at every byte of either stream.

use remqtt_tests::show::{cut_everywhere, scenarios, simulate, table};

#[test]
fn every_scenario_plays_literally() {
    let scenarios = scenarios().expect("scenarios can be read");
    let tally = simulate(&scenarios);
    let failures = tally.failures.join("\n");
    println!("{}", table(&[("sim".into(), tally)]));
    assert!(failures.is_empty(), "{failures}");
}

#[test]
fn every_scenario_recovers_from_a_cut_at_every_byte() {
    let scenarios = scenarios().expect("scenarios can be read");
    let tally = cut_everywhere(&scenarios);
    println!("{} cuts; without cuts: {:#?}", tally.played, tally.skipped);
    assert!(tally.failures.is_empty(), "{}", tally.failures.join("\n"));
}
