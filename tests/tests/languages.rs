//! Every scenario over real TCP, in every language whose shim is there.
//!
//! Rust always; C and Python when `REMQTT_SHIM_C` and `REMQTT_SHIM_PYTHON` give the commands that start their shims,
//! as `make test` does.

use remqtt_tests::show::{conduct, scenarios, simulate, table, Tally};

#[test]
fn every_scenario_plays_over_tcp_in_every_language() {
    let scenarios = scenarios().expect("scenarios can be read");
    let mut tallies: Vec<(&str, Tally)> = vec![("sim", simulate(&scenarios))];
    tallies.push(("rust", conduct(&scenarios, "rust", env!("CARGO_BIN_EXE_shim"))));
    for (language, variable) in [("c", "REMQTT_SHIM_C"), ("python", "REMQTT_SHIM_PYTHON")] {
        match std::env::var(variable) {
            Ok(shim) => tallies.push((language, conduct(&scenarios, language, &shim))),
            Err(_) => println!("{language} is not played: {variable} is not set"),
        }
    }
    let shown: Vec<(&str, &Tally)> = tallies.iter().map(|(language, tally)| (*language, tally)).collect();
    println!("{}", table(&shown));
    let failures: Vec<&str> =
        tallies.iter().flat_map(|(_, tally)| tally.failures.iter().map(String::as_str)).collect();
    assert!(failures.is_empty(), "{} failures\n{}", failures.len(), failures.join("\n"));
}
