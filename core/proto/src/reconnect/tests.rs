//! The schedule on a clock of the test's own, over many seeds.

use super::*;

fn failed(reconnect: &mut Reconnect, now: Instant, options: &Options, code: ErrorCode) -> Duration {
    reconnect.begin(now, 1);
    reconnect.lost(now, options, &mut Error::from(code), When::Dialling, true)
}

fn lost(reconnect: &mut Reconnect, now: Instant, options: &Options) -> Duration {
    reconnect.lost(now, options, &mut Error::from(ErrorCode::ConnectionLost), When::Live, true)
}

fn schedule(code: ErrorCode) -> Vec<Duration> {
    let mut reconnect = Reconnect::new(7);
    reconnect.start(Instant(0));
    (0..12).map(|_| failed(&mut reconnect, Instant(0), &Options::default(), code)).collect()
}

/// A connection that is lost at 0, and the moments of the attempts until `end`, while nobody is there.
fn attempts(seed: u64, end: Duration) -> Vec<Duration> {
    let options = Options::default();
    let mut reconnect = Reconnect::new(seed);
    reconnect.start(Instant(0));
    let mut now = Instant(0) + lost(&mut reconnect, Instant(0), &options);
    let mut attempts = Vec::new();
    while now <= Instant(0) + end {
        attempts.push(now.since(Instant(0)));
        now = now + failed(&mut reconnect, now, &options, ErrorCode::ConnectFailed);
    }
    attempts.push(now.since(Instant(0)));
    attempts
}

/// How late the first attempt after an outage is, for many clients and lengths between both, sorted.
fn lateness(shortest: Duration, longest: Duration) -> Vec<Duration> {
    let late = |seed: u32| {
        let outage = shortest + (longest - shortest) * seed / 1_000;
        *attempts(u64::from(seed), outage).last().unwrap() - outage
    };
    let mut late: Vec<Duration> = (0..1_000).map(late).collect();
    late.sort_unstable();
    late
}

#[test]
fn a_client_is_back_within_a_small_share_of_the_outage() {
    let ms = Duration::from_millis;
    for (outage, median) in
        [(300, 60), (1_000, 100), (5_000, 300), (20_000, 600), (60_000, 7_000), (300_000, 15_000)]
    {
        for (shortest, longest) in [(outage, outage), (outage * 4 / 5, outage * 5 / 4)] {
            let late = lateness(ms(shortest), ms(longest));
            let (middle, worst) = (late[late.len() / 2], late[late.len() - 1]);
            println!("refused for {shortest} to {longest} ms: back {middle:?} late, at most {worst:?}");
            assert!(middle <= ms(median), "refused for {shortest} to {longest} ms: {middle:?} late");
        }
    }
}

#[test]
fn nobody_asks_a_port_that_refuses_more_than_sixty_times_in_five_minutes() {
    let numbers: Vec<usize> =
        (0..5_000).map(|seed| attempts(seed, Duration::from_secs(300)).len() - 1).collect();
    let (least, most) = (numbers.iter().min().unwrap(), numbers.iter().max().unwrap());
    println!("{least} to {most} attempts in 5 minutes");
    assert!(*most <= 60, "{most} attempts");
}

#[test]
fn a_client_that_finds_nobody_is_never_later_than_a_quarter_of_the_outage_or_a_second_and_a_half() {
    for seed in 0..200 {
        let attempts = attempts(seed, Duration::from_secs(3_600));
        for pair in attempts.windows(2) {
            let bound = (pair[0] / 4).max(Duration::from_millis(1_400)).min(Duration::from_secs(30));
            assert!(pair[1] - pair[0] <= bound, "{:?} at {:?}", pair[1] - pair[0], pair[0]);
        }
    }
}

#[test]
fn a_server_that_is_there_and_busy_is_left_alone_for_longer() {
    let longest = schedule(ErrorCode::ServerBusy).into_iter().max();
    assert!(longest > Some(Duration::from_secs(5)), "{longest:?}");
}

#[test]
fn the_backoff_against_a_busy_server_doubles_from_a_second() {
    for (n, delay) in schedule(ErrorCode::ServerBusy).into_iter().enumerate() {
        let bound = Duration::from_secs(1 << n.min(10)).min(Options::default().reconnect_max_delay);
        assert!(delay <= bound, "attempt {n}: {delay:?}");
    }
}

#[test]
fn an_outage_leaves_no_backoff_for_the_server_that_comes_back_busy() {
    let options = Options::default();
    let mut reconnect = Reconnect::new(7);
    reconnect.start(Instant(0));
    for _ in 0..50 {
        failed(&mut reconnect, Instant(0), &options, ErrorCode::ConnectFailed);
    }
    assert!(failed(&mut reconnect, Instant(0), &options, ErrorCode::ServerBusy) <= OVERLOAD);
}

#[test]
fn what_an_attempt_took_counts_as_waited() {
    let options = Options::default();
    let mut reconnect = Reconnect::new(7);
    reconnect.start(Instant(0));
    reconnect.begin(Instant(0), 1);
    let mut silent = Error::from(ErrorCode::ConnectTimeout);
    let delay = reconnect.lost(Instant(5_000_000_000), &options, &mut silent, When::Greeting, true);
    assert!(delay <= options.reconnect_min_delay * 2, "{delay:?}");
}

#[test]
fn a_connection_that_is_reset_before_its_connack_is_no_refused_port() {
    let options = Options::default();
    let longest = (0..100).map(|seed| {
        let mut reconnect = Reconnect::new(seed);
        reconnect.start(Instant(0));
        let mut reset = || {
            let mut error = Error::from(ErrorCode::ConnectionLost);
            reconnect.begin(Instant(0), 1);
            reconnect.lost(Instant(0), &options, &mut error, When::Greeting, true)
        };
        (0..8).map(|_| reset()).max().unwrap()
    });
    assert!(longest.max().unwrap() > Duration::from_secs(60));
}

#[test]
fn a_refused_password_is_tried_at_most_twice_a_minute() {
    assert!(schedule(ErrorCode::BadCredentials).iter().all(|d| *d >= Duration::from_secs(30)));
}

#[test]
fn a_stable_link_is_retried_at_once_and_a_flapping_one_is_not() {
    let options = Options::default();
    let mut reconnect = Reconnect::new(7);
    reconnect.start(Instant(0));
    assert_eq!(lost(&mut reconnect, Instant(0), &options), Duration::ZERO);
    assert!(lost(&mut reconnect, Instant(0), &options) > Duration::ZERO);
    reconnect.stable();
    assert_eq!(lost(&mut reconnect, Instant(0), &options), Duration::ZERO);
}

#[test]
fn no_delay_at_all_is_still_not_a_busy_loop() {
    let zero = Duration::ZERO;
    let options = Options { reconnect_min_delay: zero, reconnect_max_delay: zero, ..Options::default() };
    let mut reconnect = Reconnect::new(7);
    assert!(failed(&mut reconnect, Instant(0), &options, ErrorCode::ConnectFailed) >= FLOOR);
}

#[test]
fn every_delay_that_finds_nobody_lies_within_what_the_application_set() {
    let (low, high) = (Duration::from_secs(1), Duration::from_secs(2));
    let options = Options { reconnect_min_delay: low, reconnect_max_delay: high, ..Options::default() };
    let mut reconnect = Reconnect::new(7);
    reconnect.start(Instant(0));
    let mut now = Instant(0);
    for _ in 0..100 {
        let delay = failed(&mut reconnect, now, &options, ErrorCode::ConnectFailed);
        assert!(delay >= low && delay <= high, "{delay:?}");
        now = now + delay;
    }
}

fn taken_over(reconnect: &mut Reconnect, now: Instant) -> (Duration, Error) {
    let mut error = Error::from(ErrorCode::SessionTakenOver);
    let delay = reconnect.lost(now, &Options::default(), &mut error, When::Live, true);
    (delay, error)
}

#[test]
fn the_second_takeover_within_a_minute_is_the_slow_lane_and_says_why() {
    let mut reconnect = Reconnect::new(7);
    reconnect.start(Instant(0));
    let (first, error) = taken_over(&mut reconnect, Instant(0));
    assert!(first >= Duration::from_secs(10) && error.detail.is_empty());
    let (second, error) = taken_over(&mut reconnect, Instant(59_000_000_000));
    assert!(second >= Duration::from_secs(30) && error.detail.contains("two clients"), "{error}");
    let (later, _) = taken_over(&mut reconnect, Instant(600_000_000_000));
    assert!(later < Duration::from_secs(30), "that was another one");
}

/// A connection that begins at `begin` and ends without a word after `lasts` milliseconds: what that was, and the delay.
fn short_life(reconnect: &mut Reconnect, begin: Instant, lasts: u64) -> (ErrorCode, Duration) {
    let mut error = Error::from(ErrorCode::ConnectionLost);
    reconnect.begin(begin, 1);
    reconnect.connected(begin);
    let end = begin + Duration::from_millis(lasts);
    let delay = reconnect.lost(end, &Options::default(), &mut error, When::Unprovoked, true);
    (error.code, delay)
}

#[test]
fn connections_that_end_soon_after_their_connack_without_a_word_are_takeovers() {
    let mut reconnect = Reconnect::new(7);
    reconnect.start(Instant(0));
    let mut life = |n: u64, lasts| short_life(&mut reconnect, Instant(n * 5_000_000_000), lasts).0;
    assert_eq!(life(0, 1_999), ErrorCode::ConnectionLost);
    assert_eq!(life(1, 2_000), ErrorCode::ConnectionLost, "this one lasted");
    assert_eq!(life(2, 1_999), ErrorCode::ConnectionLost);
    assert_eq!(life(3, 100), ErrorCode::SessionTakenOver);
}

#[test]
fn of_connections_that_end_at_once_it_takes_three_to_be_a_takeover() {
    let mut reconnect = Reconnect::new(7);
    reconnect.start(Instant(0));
    let mut life = |n: u64| short_life(&mut reconnect, Instant(n * 5_000_000_000), 99).0;
    assert_eq!(life(0), ErrorCode::ConnectionLost);
    assert_eq!(life(1), ErrorCode::ConnectionLost);
    assert_eq!(life(2), ErrorCode::SessionTakenOver);
}

#[test]
fn a_client_that_is_taken_over_without_a_word_asks_twice_a_minute_from_the_first_minute_on() {
    for seed in 0..1_000 {
        let mut reconnect = Reconnect::new(seed);
        reconnect.start(Instant(0));
        let mut now = Instant(0) + lost(&mut reconnect, Instant(0), &Options::default());
        let mut attempts = Vec::new();
        for _ in 0..10 {
            attempts.push(now);
            now = now + Duration::from_millis(500) + short_life(&mut reconnect, now, 500).1;
        }
        for three in attempts.windows(3) {
            assert!(three[2].since(three[0]) >= Duration::from_secs(60), "{attempts:?}");
        }
        assert!(now.since(Instant(0)) <= Duration::from_secs(10 * 40), "{attempts:?}");
    }
}

#[test]
fn a_server_that_is_away_between_short_connections_is_no_takeover() {
    let options = Options::default();
    let mut reconnect = Reconnect::new(7);
    reconnect.start(Instant(0));
    for n in 0..20 {
        let now = Instant(n * 1_000_000_000);
        reconnect.connected(now);
        let mut error = Error::from(ErrorCode::ConnectionLost);
        reconnect.lost(now, &options, &mut error, When::Unprovoked, true);
        assert_eq!(error.code, ErrorCode::ConnectionLost, "number {n}");
        failed(&mut reconnect, now, &options, ErrorCode::ConnectFailed);
    }
}

#[test]
fn a_change_of_the_network_ends_the_wait_for_the_way_and_not_the_one_for_the_server() {
    let options = Options::default();
    let minute = Instant(60_000_000_000);
    for (code, wakes) in [
        (ErrorCode::ConnectFailed, true),
        (ErrorCode::ResolveFailed, true),
        (ErrorCode::HandshakeFailed, true),
        (ErrorCode::ServerBusy, false),
        (ErrorCode::BadCredentials, false),
        (ErrorCode::SessionTakenOver, false),
    ] {
        let mut reconnect = Reconnect::new(7);
        reconnect.start(Instant(0));
        for _ in 0..20 {
            failed(&mut reconnect, minute, &options, code);
        }
        let before = reconnect.at;
        reconnect.network_changed(minute);
        match wakes {
            true => assert!(reconnect.at <= Some(minute + WAKE), "{code:?}"),
            false => assert_eq!(reconnect.at, before, "{code:?}"),
        }
    }
}

#[test]
fn news_of_the_network_without_end_makes_no_attempts_without_end() {
    let options = Options::default();
    let mut reconnect = Reconnect::new(7);
    reconnect.start(Instant(0));
    let mut now = Instant(0);
    let mut attempts = 0;
    while now < Instant(10_000_000_000) {
        failed(&mut reconnect, now, &options, ErrorCode::ConnectFailed);
        attempts += 1;
        while reconnect.at.is_some_and(|at| at > now) {
            now = now + Duration::from_millis(1);
            reconnect.network_changed(now);
        }
    }
    assert!(attempts < 150, "{attempts} attempts in 10 seconds");
}

#[test]
fn the_next_server_of_the_list_is_tried_at_once_and_the_first_one_after_a_delay() {
    let options = Options { servers: vec!["a".into(), "b".into(), "c".into()], ..Options::default() };
    let mut reconnect = Reconnect::new(7);
    reconnect.start(Instant(0));
    let mut delays = Vec::new();
    let mut dialled = Vec::new();
    for _ in 0..6 {
        dialled.push(reconnect.begin(Instant(0), 3).1);
        let mut error = Error::from(ErrorCode::ConnectFailed);
        delays.push(reconnect.lost(Instant(0), &options, &mut error, When::Dialling, true) == Duration::ZERO);
    }
    assert_eq!(dialled, [0, 1, 2, 0, 1, 2]);
    assert_eq!(delays, [true, true, false, true, true, false]);
}
