//! The reconnect schedule on the virtual clock, over many seeds: bounds, spread, and dials at the told time.

#![allow(clippy::expect_used)] // the helpers of a test are its code too

use std::collections::HashSet;
use std::time::Duration;

use remqtt_tests::stage::Stage;
use remqtt_tests::world::World;

/// The delays that a client announces against a port that refuses, in milliseconds. Each is kept to the millisecond.
fn schedule(seed: u64, attempts: usize) -> Vec<u64> {
    let mut world = World::new(seed);
    world.refuse(true).expect("refuse");
    world.command("start").expect("start");
    let mut delays = Vec::new();
    let mut due = None;
    while delays.len() < attempts {
        let line = world.event(Duration::from_secs(3600)).expect("no violation").expect("an event");
        if line.starts_with("CONNECTING") {
            let late = due.map(|due| world.now().since(due));
            assert!(late.is_none_or(|late| late < Duration::from_millis(1)), "{late:?} after the told time");
        }
        if let Some(delay) = line.split(' ').find_map(|word| word.strip_prefix("retry=")) {
            let delay = delay.parse().expect("milliseconds");
            due = Some(world.now() + Duration::from_millis(delay));
            delays.push(delay);
        }
    }
    delays
}

#[test]
fn every_delay_lies_within_the_doubling_bound() {
    for seed in 0..200 {
        for (failure, delay) in schedule(seed, 12).into_iter().enumerate() {
            let bound = (100u64 << (failure + 1).min(20)).min(30_000);
            assert!((100..=bound).contains(&delay), "seed {seed}, failure {failure}: {delay} ms");
        }
    }
}

#[test]
fn clients_that_fail_together_do_not_come_back_together() {
    // A port that refuses is asked within a second, from 100 ms on.
    let tenth: HashSet<u64> = (0..200).map(|seed| schedule(seed, 10)[9]).collect();
    assert!(tenth.len() > 150, "only {} different delays of 200", tenth.len());
    let early = tenth.iter().filter(|delay| **delay < 550).count();
    assert!(
        (tenth.len() / 3..tenth.len() * 2 / 3).contains(&early),
        "{early} of {} in the first half",
        tenth.len()
    );
}

#[test]
fn the_same_seed_replays_the_same_schedule() {
    assert_eq!(schedule(42, 20), schedule(42, 20));
}
