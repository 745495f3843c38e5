//! Every scenario over a real network, plain, behind TLS and behind WebSocket, in every language whose shim is there.

use remqtt_tests::line::Transport;
use remqtt_tests::shim::shims;
use remqtt_tests::show::{conduct, scenarios, simulate, table, Tally, USUAL};

#[test]
fn every_scenario_plays_over_every_transport_in_every_language() {
    let scenarios = scenarios().expect("scenarios can be read");
    let transports = Transport::all().expect("a certificate can be made");
    let mut tallies: Vec<(String, Tally)> = vec![("sim".into(), simulate(&scenarios))];
    for transport in &transports {
        for (language, shim) in shims(env!("CARGO_BIN_EXE_shim")) {
            let begin = std::time::Instant::now();
            let tally = conduct(&scenarios, language, &shim, transport, USUAL);
            println!("{language} over {}: {:.1} s", transport.name(), begin.elapsed().as_secs_f64());
            tallies.push((format!("{language}-{}", transport.name()), tally));
        }
    }
    println!("{}", table(&tallies));
    let failures: Vec<&str> =
        tallies.iter().flat_map(|(_, tally)| tally.failures.iter().map(String::as_str)).collect();
    assert!(failures.is_empty(), "{} failures\n{}", failures.len(), failures.join("\n"));
}
