//! Random stories against the model. `REMQTT_SEED` and `REMQTT_RUNS` make a longer soak, or repeat one.

use std::fs;
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;
use std::time::Instant;

use remqtt_tests::play::Report;
use remqtt_tests::story::Story;

/// Operations of a story.
const OPERATIONS: usize = 200;

fn number(variable: &str, default: u64) -> u64 {
    std::env::var(variable).ok().and_then(|value| value.parse().ok()).unwrap_or(default)
}

fn told(report: &Report) -> String {
    let failure = report.failure.as_deref().unwrap_or("it breaks no invariant");
    let tail = report.trace.len().saturating_sub(std::env::var("REMQTT_TRACE").map_or(120, |_| 100_000));
    format!("{failure}\n    {}\n{failure}", report.trace[tail..].join("\n    "))
}

#[test]
fn random_operations_break_no_invariant() {
    let (first, runs) = (number("REMQTT_SEED", 1), number("REMQTT_RUNS", 2_000));
    let threads = thread::available_parallelism().map_or(1, |threads| threads.get() as u64).min(runs);
    let (begin, next, failed) = (Instant::now(), AtomicU64::new(first), AtomicU64::new(u64::MAX));
    thread::scope(|scope| {
        for _ in 0..threads {
            scope.spawn(|| loop {
                let seed = next.fetch_add(1, Ordering::Relaxed);
                if seed >= first + runs || seed > failed.load(Ordering::Relaxed) {
                    return;
                }
                if Story::draw(seed, OPERATIONS).play().failure.is_some() {
                    failed.fetch_min(seed, Ordering::Relaxed);
                }
            });
        }
    });
    let seconds = begin.elapsed().as_secs_f64();
    let seed = failed.into_inner();
    if seed < u64::MAX {
        let whole = Story::draw(seed, OPERATIONS);
        let failure = whole.play().failure.unwrap_or_default();
        let story = whole.shrunk();
        let report = story.play();
        // Names of messages are places in the story, so the short one has a failure of its own.
        let head = report.failure.as_deref().unwrap_or_default().replace('\n', " ");
        let file = std::env::temp_dir().join(format!("{seed}.story"));
        let saved = fs::write(&file, format!("# {head}\n{story}"));
        panic!(
            "REMQTT_SEED={seed} REMQTT_RUNS=1: {failure}\nshrunk to {} operations, {saved:?} in {}, to be kept in tests/stories:\n{}",
            story.ops.len(),
            file.display(),
            told(&report)
        );
    }
    println!(
        "{runs} stories of {OPERATIONS} operations from seed {first}: {:.0} a second",
        runs as f64 / seconds
    );
}

#[test]
fn stories_that_once_failed_break_no_invariant() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("stories");
    let mut count = 0;
    for entry in fs::read_dir(&folder).unwrap() {
        let path = entry.unwrap().path();
        let story = Story::parse(&fs::read_to_string(&path).unwrap()).unwrap();
        let report = story.play();
        assert!(report.failure.is_none(), "{}: {}", path.display(), told(&report));
        count += 1;
    }
    assert!(count > 0, "there is none in {}", folder.display());
}

#[test]
fn a_story_is_what_its_file_says() {
    for seed in 1..=20 {
        let story = Story::draw(seed, OPERATIONS);
        assert_eq!(Story::parse(&story.to_string()).unwrap(), story);
    }
}
