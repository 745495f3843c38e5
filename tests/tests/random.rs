//! Random operations against the model. `REMQTT_SEED` and `REMQTT_RUNS` make a longer soak, or repeat one run.

use remqtt_tests::op::random_play;

fn number(variable: &str, default: u64) -> u64 {
    std::env::var(variable).ok().and_then(|value| value.parse().ok()).unwrap_or(default)
}

#[test]
fn random_operations_break_no_invariant() {
    let (first, runs) = (number("REMQTT_SEED", 1), number("REMQTT_RUNS", 2_000));
    for seed in first..first + runs {
        let report = random_play(seed, 200);
        let Some(failure) = report.failure else { continue };
        let tail = report.trace.len().saturating_sub(std::env::var("REMQTT_TRACE").map_or(120, |_| 100_000));
        panic!(
            "REMQTT_SEED={seed} REMQTT_RUNS=1: {failure}\n    {}\n{failure}",
            report.trace[tail..].join("\n    ")
        );
    }
    println!("{runs} runs of 200 operations from seed {first}");
}
