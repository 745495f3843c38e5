//! Plays the scenarios: `conductor [--sim] [--cuts] [--shim NAME=COMMAND]... [--over TRANSPORT] [--only PART] [--slow]`.
//!
//! NAME is the language (`rust`, `c`, `python`), COMMAND starts its shim; TRANSPORT is `tcp` (the default), `tls` or
//! `ws`; PART is a part of a scenario's name; `--slow` is for a shim that something slows.

use remqtt_tests::line::Transport;
use remqtt_tests::show::{conduct, cut_everywhere, scenarios, simulate, table, Tally, SLOW, USUAL};

fn main() {
    match perform() {
        Ok(true) => {}
        Ok(false) => std::process::exit(1),
        Err(error) => {
            eprintln!("{error}");
            std::process::exit(2);
        }
    }
}

fn perform() -> Result<bool, String> {
    let mut scenarios = scenarios()?;
    let mut stages: Vec<(String, Option<String>)> = Vec::new();
    let mut over = "tcp".to_owned();
    let mut pace = USUAL;
    let mut arguments = std::env::args().skip(1);
    while let Some(argument) = arguments.next() {
        let mut value = || arguments.next().ok_or_else(|| format!("{argument} needs a value"));
        match argument.as_str() {
            "--sim" => stages.push(("sim".into(), None)),
            "--cuts" => stages.push(("cuts".into(), None)),
            "--over" => over = value()?,
            "--slow" => pace = SLOW,
            "--only" => {
                let part = value()?;
                scenarios.retain(|scenario| scenario.name.contains(&part));
            }
            "--shim" => {
                let value = value()?;
                let (name, command) = value.split_once('=').ok_or("--shim NAME=COMMAND")?;
                stages.push((name.to_string(), Some(command.to_string())));
            }
            _ => {
                return Err(
                    "conductor [--sim] [--cuts] [--shim NAME=COMMAND]... [--over TRANSPORT] [--only PART] \
                     [--slow]"
                        .into(),
                )
            }
        }
    }
    let transports = Transport::all()?;
    let transport = transports.iter().find(|known| known.name() == over).ok_or("tcp, tls or ws")?;
    let mut tallies: Vec<(String, Tally)> = Vec::new();
    for (stage, shim) in stages {
        let tally = match (stage.as_str(), shim) {
            (_, Some(shim)) => conduct(&scenarios, &stage, &shim, transport, pace),
            ("sim", None) => simulate(&scenarios),
            _ => cut_everywhere(&scenarios),
        };
        tallies.push((stage, tally));
    }
    for failure in tallies.iter().flat_map(|(_, tally)| &tally.failures) {
        println!("{failure}");
    }
    println!("{}", table(&tallies));
    Ok(tallies.iter().all(|(_, tally)| tally.failures.is_empty()))
}
