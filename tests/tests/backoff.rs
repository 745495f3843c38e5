//! The reconnect schedule on the virtual clock, over many seeds: bounds, spread, and dials at the told time.

#![allow(clippy::expect_used)] // the helpers of a test are its code too

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
fn every_delay_lies_within_a_quarter_of_the_outage_or_a_second_and_a_half() {
    for seed in 0..200 {
        let mut outage = 0;
        for (failure, delay) in schedule(seed, 60).into_iter().enumerate() {
            let bound = (outage / 4).clamp(1_400, 32_000);
            assert!(
                (50..=bound).contains(&delay),
                "seed {seed}, failure {failure}: {delay} ms at {outage} ms"
            );
            outage += delay;
        }
    }
}

#[test]
fn clients_that_fail_together_do_not_come_back_together() {
    // After ten attempts they are spread over the distance of two attempts, about 160 ms, and no moment is crowded.
    let tenth: Vec<u64> = (0..2_000).map(|seed| schedule(seed, 10).iter().sum()).collect();
    let (first, last) = (tenth.iter().min().expect("some"), tenth.iter().max().expect("some"));
    assert!(last - first > 300, "all between {first} and {last} ms");
    let crowd =
        (*first..*last).step_by(20).map(|ms| tenth.iter().filter(|at| (ms..ms + 20).contains(at)).count());
    let crowd = crowd.max().expect("some");
    assert!(crowd < 250, "{crowd} of 2,000 within 20 ms");
}

#[test]
fn the_same_seed_replays_the_same_schedule() {
    assert_eq!(schedule(42, 20), schedule(42, 20));
}
