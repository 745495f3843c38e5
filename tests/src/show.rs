//! Plays all scenarios on stages, counts, and shows what failed and what was skipped.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use crate::conductor::Conductor;
use crate::line::Transport;
use crate::play::{play, CutAt, Report};
use crate::script::{Run, Scenario, PATIENCE};
use crate::world::World;

/// Seed of the engine in the literal plays and the cuts.
const SEED: u64 = 7;

/// How scenarios are played over a network.
#[derive(Debug, Clone, Copy)]
pub struct Pace {
    /// How many at once: most of the time is waiting.
    pub jobs: usize,
    /// How much longer than it says a step may take: only a hang reaches it.
    pub margin: Duration,
}

/// For a client as it ships.
pub const USUAL: Pace = Pace { jobs: 4, margin: PATIENCE };
/// For a client that something slows: its own timers go on, so it should not have to share a processor.
pub const SLOW: Pace = Pace { jobs: 1, margin: Duration::from_secs(120) };

/// What became of the scenarios on one stage.
#[derive(Debug, Default)]
pub struct Tally {
    /// Runs of each row that passed; a scenario without a row counts under row 0.
    pub passed: BTreeMap<u32, usize>,
    /// Runs that were played.
    pub played: usize,
    /// Reasons, and scenarios that were not played for them.
    pub skipped: BTreeSet<(String, String)>,
    /// Failures, with what led to them.
    pub failures: Vec<String>,
}

/// Every scenario of the project.
pub fn scenarios() -> Result<Vec<Scenario>, String> {
    Scenario::load_all(&Path::new(env!("CARGO_MANIFEST_DIR")).join("scenarios"))
}

/// Plays everything in the simulator, literally.
pub fn simulate(scenarios: &[Scenario]) -> Tally {
    on_stage(scenarios, &["sim"], USUAL.jobs, |run| play(run, &mut World::new(SEED), None))
}

/// Plays everything in the simulator with the link cut at every byte of either stream.
pub fn cut_everywhere(scenarios: &[Scenario]) -> Tally {
    let mut tally = Tally::default();
    for scenario in scenarios.iter().filter(|scenario| scenario.skipped_on(&["sim"]).is_none()) {
        if let Some(reason) = &scenario.no_cuts {
            tally.skipped.insert((reason.clone(), scenario.name.clone()));
            continue;
        }
        for run in &scenario.runs {
            let (client, server) = play(run, &mut World::new(SEED), None).script;
            let cuts = (0..=client).map(CutAt::FromClient).chain((0..=server).map(CutAt::FromServer));
            let mut failed = 0;
            for cut in cuts {
                let report = play(run, &mut World::new(SEED), Some(cut));
                tally.played += 1;
                if report.failure.is_some() {
                    failed += 1;
                    if failed == 1 {
                        tally.failures.push(shown(scenario, run, &format!("{cut:?}"), &report));
                    }
                }
            }
            if failed > 1 {
                tally.failures.push(format!(
                    "  and {} more cuts of {} [{}]",
                    failed - 1,
                    scenario.name,
                    run.variant
                ));
            }
        }
    }
    tally
}

/// Plays everything in the simulator with a store, and lets the process die after every change that it writes.
pub fn die_everywhere(scenarios: &[Scenario]) -> Tally {
    let mut tally = Tally::default();
    for scenario in scenarios.iter().filter(|scenario| scenario.skipped_on(&["sim"]).is_none()) {
        if let Some(reason) = scenario.no_cuts.as_ref() {
            tally.skipped.insert((reason.clone(), scenario.name.clone()));
            continue;
        }
        for run in &scenario.runs {
            let mut run = run.clone();
            run.options.push(("store".into(), "simulated".into()));
            let mut world = World::new(SEED);
            let whole = play(&run, &mut world, None);
            let mut failures = Vec::new();
            failures.extend(whole.failure.is_some().then(|| shown(scenario, &run, "with a store", &whole)));
            for changes in 0..world.changes() {
                let mut world = World::new(SEED);
                world.die_after(changes);
                let report = play(&run, &mut world, None);
                tally.played += 1;
                if report.failure.is_some() {
                    failures.push(shown(scenario, &run, &format!("dies after {changes} changes"), &report));
                }
            }
            let more = failures.len().saturating_sub(1);
            tally.failures.extend(failures.into_iter().take(1));
            if more > 0 {
                tally
                    .failures
                    .push(format!("  and {more} more deaths of {} [{}]", scenario.name, run.variant));
            }
        }
    }
    tally
}

/// Plays everything over a transport against the shim of a language.
pub fn conduct(
    scenarios: &[Scenario],
    language: &str,
    shim: &str,
    transport: &Transport,
    pace: Pace,
) -> Tally {
    on_stage(scenarios, &["net", language, transport.name()], pace.jobs, |run| {
        let mut stage = match Conductor::start(shim, transport, pace.margin) {
            Ok(stage) => stage,
            Err(error) => return Report { failure: Some(error), ..Report::default() },
        };
        let mut report = play(run, &mut stage, None);
        if report.failure.is_none() {
            report.failure = stage.quit().err();
        }
        if report.failure.is_some() {
            let complaints = stage.complaints();
            report.trace.extend(complaints.lines().map(|line| format!("  stderr {line}")));
        }
        report
    })
}

fn on_stage(
    scenarios: &[Scenario],
    stage: &[&str],
    jobs: usize,
    perform: impl Fn(&Run) -> Report + Sync,
) -> Tally {
    let tally = Mutex::new(Tally::default());
    let next = AtomicUsize::new(0);
    let worker = || {
        while let Some(scenario) = scenarios.get(next.fetch_add(1, Ordering::Relaxed)) {
            play_all(scenario, stage, &perform, &tally);
        }
    };
    std::thread::scope(|scope| {
        (0..jobs).for_each(|_| drop(scope.spawn(worker)));
    });
    tally.into_inner().unwrap_or_else(PoisonError::into_inner)
}

fn play_all(scenario: &Scenario, stage: &[&str], perform: impl Fn(&Run) -> Report, tally: &Mutex<Tally>) {
    let tally = || tally.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(reason) = scenario.skipped_on(stage) {
        tally().skipped.insert((reason.to_owned(), scenario.name.clone()));
        return;
    }
    for run in &scenario.runs {
        let report = perform(run);
        let mut tally = tally();
        match &report.failure {
            Some(failure) if failure.contains("LACKS") => {
                tally.skipped.insert((format!("the shim {failure}"), scenario.name.clone()));
            }
            failure => {
                tally.played += 1;
                let rows: &[u32] = if scenario.rows.is_empty() { &[0] } else { &scenario.rows };
                for row in rows {
                    *tally.passed.entry(*row).or_default() += usize::from(failure.is_none());
                }
                if failure.is_some() {
                    tally.failures.push(shown(scenario, run, &stage.join(" "), &report));
                }
            }
        }
    }
}

fn shown(scenario: &Scenario, run: &Run, how: &str, report: &Report) -> String {
    let failure = report.failure.as_deref().unwrap_or_default();
    let tail = report.trace.len().saturating_sub(50);
    let trace = report.trace[tail..].join("\n    ");
    format!("{} [{}] {how}\n  {failure}\n    {trace}\n", scenario.name, run.variant)
}

/// Rows by stages: how many runs passed. Below it what was not played where, and why.
pub fn table(tallies: &[(String, Tally)]) -> String {
    let rows: BTreeSet<u32> = tallies.iter().flat_map(|(_, tally)| tally.passed.keys().copied()).collect();
    let mut text = format!("{:>5}", "row");
    for (stage, _) in tallies {
        text += &format!(" {stage:>10}");
    }
    for row in rows {
        let name = if row == 0 { "other".to_string() } else { row.to_string() };
        text += &format!("\n{name:>5}");
        for (_, tally) in tallies {
            let count = tally.passed.get(&row).map_or("-".to_string(), usize::to_string);
            text += &format!(" {count:>10}");
        }
    }
    for (what, count) in [
        ("runs", (|tally| tally.played) as fn(&Tally) -> usize),
        ("fail", |tally| tally.failures.len()),
        ("skip", |tally| tally.skipped.len()),
    ] {
        text += &format!("\n{what:>5}");
        for (_, tally) in tallies {
            text += &format!(" {:>10}", count(tally));
        }
    }
    text + &omissions(tallies)
}

/// A line for each reason, with the stages that it holds for.
fn omissions(tallies: &[(String, Tally)]) -> String {
    let mut stages: BTreeMap<(&str, &str), Vec<&str>> = BTreeMap::new();
    for (stage, tally) in tallies {
        for (reason, name) in &tally.skipped {
            stages.entry((reason, name)).or_default().push(stage);
        }
    }
    let networks: Vec<&str> =
        tallies.iter().map(|(stage, _)| stage.as_str()).filter(|stage| *stage != "sim").collect();
    let mut lines: BTreeMap<(String, &str), Vec<&str>> = BTreeMap::new();
    for ((reason, name), stages) in stages {
        let place = match stages.len() {
            count if count == tallies.len() => "anywhere".into(),
            _ if stages == networks => "on any network".into(),
            _ => stages.join(" "),
        };
        lines.entry((place, reason)).or_default().push(name);
    }
    let shown = |((place, reason), names): (&(String, &str), &Vec<&str>)| {
        format!("\nnot played {place}: {reason}: {}", names.join(", "))
    };
    lines.iter().map(shown).collect()
}
