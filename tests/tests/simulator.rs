//! Every scenario in the simulator: literally, with the link cut at every byte of either stream, and with the process
//! dying after every change of its store.

use remqtt_tests::show::{cut_everywhere, die_everywhere, scenarios, simulate, table};

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

#[test]
fn every_scenario_recovers_from_the_death_of_the_process_after_every_change_of_its_store() {
    let scenarios = scenarios().expect("scenarios can be read");
    let tally = die_everywhere(&scenarios);
    println!("{} deaths; without deaths: {:#?}", tally.played, tally.skipped);
    assert!(tally.failures.is_empty(), "{}", tally.failures.join("\n"));
}
