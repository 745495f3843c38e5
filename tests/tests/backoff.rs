//! The reconnect schedule on the virtual clock, over many seeds: bounds, spread, and dials at the told time.

#![allow(clippy::expect_used)] // the helpers of a test are its code too

use std::collections::BTreeMap;
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
    // From the third attempt on no moment is crowded, whenever the server is back.
    let mut moments = BTreeMap::new();
    for seed in 0..2_000 {
        let attempts = schedule(seed, 40).into_iter().scan(0, |at, delay| {
            *at += delay;
            Some(*at)
        });
        attempts.for_each(|at| *moments.entry(at / 20).or_insert(0) += 1);
    }
    let crowd = |from: u64, to: u64| -> Vec<u32> {
        (from / 20..to / 20).map(|slice| moments.get(&slice).copied().unwrap_or(0)).collect()
    };
    for from in [200, 400, 800, 1_600, 3_200] {
        // A stretch in which the distance of attempts hardly grows.
        let crowd = crowd(from, from * 5 / 4);
        let (most, sum) = (crowd.iter().max().expect("some"), crowd.iter().sum::<u32>());
        let mean = f64::from(sum) / crowd.len() as f64;
        println!("after {from} ms at most {most} of 2,000 within 20 ms, {mean:.0} on average");
        assert!(f64::from(*most) <= 1.5 * mean, "{most} of 2,000 after {from} ms, {mean:.0} on average");
    }
}

#[test]
fn the_same_seed_replays_the_same_schedule() {
    assert_eq!(schedule(42, 20), schedule(42, 20));
}
