//! The pulse of one connection, without an engine around it.

use super::*;

const MS: Duration = Duration::from_millis(1);

fn stream(gaps: impl IntoIterator<Item = u32>) -> (Pulse, Instant) {
    let mut now = Instant(1_000_000_000);
    let mut pulse = Pulse::new(now);
    for gap in gaps {
        now = now + gap * MS;
        pulse.received(now);
    }
    pulse.asked(now, Sign::Idle);
    pulse.answered(now);
    (pulse, now)
}

#[test]
fn a_stream_that_stops_is_asked_after_two_of_its_longest_gaps() {
    let (pulse, now) = stream((0..100).map(|n| if n % 10 == 0 { 100 } else { 20 }));
    assert_eq!(pulse.ping_due(&Options::default(), false), Some((now + 200 * MS, Sign::Rhythm)));
}

#[test]
fn an_even_stream_that_stops_is_lost_after_a_third_of_a_second() {
    let (mut pulse, now) = stream([20; 100]);
    let options = Options::default();
    let (due, sign) = pulse.ping_due(&options, false).unwrap();
    pulse.asked(due, sign);
    assert_eq!(pulse.suspect_at(&options), Some(now + 250 * MS));
    assert_eq!(pulse.lost_at(&options), Some(now + 350 * MS));
}

/// Each PINGREQ is answered after 5 ms, and nothing else comes. When the last of so many was.
fn idle(pulse: &mut Pulse, options: &Options, mut now: Instant, pings: u32) -> Instant {
    for _ in 0..pings {
        let (due, sign) = pulse.ping_due(options, false).unwrap();
        pulse.asked(due, sign);
        now = due + 5 * MS;
        pulse.received(now);
        pulse.answered(now);
    }
    now
}

/// An even stream for so long; what is asked meanwhile is answered at once.
fn even(pulse: &mut Pulse, mut now: Instant, lasts: Duration) -> Instant {
    let (options, over) = (Options::default(), now + lasts);
    while now < over {
        let ping = pulse.ping_due(&options, false).filter(|(due, _)| *due <= now + 20 * MS);
        if let Some((due, sign)) = ping {
            pulse.asked(due, sign);
            pulse.received(due + MS);
            pulse.answered(due + MS);
        }
        now = now + 20 * MS;
        pulse.received(now);
    }
    now
}

#[test]
fn a_server_that_pauses_now_and_then_is_no_later_suspected_for_that() {
    let options = Options::default();
    let (mut pulse, mut now) = stream([20; 100]);
    for number in 0..20 {
        now = even(&mut pulse, now, 7_000 * MS);
        let (due, sign) = pulse.ping_due(&options, false).unwrap();
        pulse.asked(due, sign);
        let suspect_at = pulse.suspect_at(&options).unwrap();
        let notice = suspect_at.since(now);
        assert!(notice <= 400 * MS, "{notice:?} at pause {number}");
        pulse.suspected();
        now = suspect_at + 50 * MS;
        pulse.received(now);
        pulse.answered(now);
    }
}

#[test]
fn a_burst_is_no_stream() {
    let (pulse, now) = stream((0..10).flat_map(|_| [1_000, 1, 1, 1, 1, 1]));
    let due = pulse.ping_due(&Options::default(), false);
    assert_eq!(due, Some((now + 4_000 * MS, Sign::Idle)));
}

#[test]
fn a_stream_that_has_ended_is_asked_once() {
    let (mut pulse, now) = stream([20; 100]);
    let (due, sign) = pulse.ping_due(&Options::default(), false).unwrap();
    pulse.asked(due, sign);
    pulse.received(now + 160 * MS);
    pulse.answered(now + 160 * MS);
    let next = pulse.ping_due(&Options::default(), false);
    assert_eq!(next, Some((now + 4_160 * MS, Sign::Idle)));
}

#[test]
fn a_stream_that_has_ended_keeps_no_link_from_its_budget() {
    let options = Options { detect_within: 500 * MS, ..Options::default() };
    let (mut pulse, now) = stream([140; 20]);
    let now = idle(&mut pulse, &options, now, 20);
    let (due, sign) = pulse.ping_due(&options, false).unwrap();
    assert_eq!((due.since(now), sign), (300 * MS, Sign::Idle));
    pulse.asked(due, sign);
    assert_eq!(pulse.lost_at(&options).unwrap().since(now), 500 * MS);
}

#[test]
fn an_idle_link_is_lost_within_the_budget() {
    for budget in [500, 1_000, 5_000, 20_000] {
        let options = Options { detect_within: budget * MS, ..Options::default() };
        let began = Instant(1_000_000_000);
        let mut pulse = Pulse::new(began);
        let now = idle(&mut pulse, &options, began, 10);
        let (due, sign) = pulse.ping_due(&options, false).unwrap();
        pulse.asked(due, sign);
        assert_eq!(pulse.lost_at(&options).unwrap().since(now), budget * MS);
    }
}

#[test]
fn without_a_budget_only_keep_alive_and_ping_timeout_count() {
    let (mut pulse, now) = stream([20; 100]);
    let options = Options { detect_within: Duration::ZERO, ..Options::default() };
    assert_eq!(pulse.ping_due(&options, false), None);
    pulse.asked(now, Sign::Idle);
    assert_eq!(pulse.suspect_at(&options), None);
    assert_eq!(pulse.lost_at(&options), Some(now + options.ping_timeout));
}

#[test]
fn what_our_own_bytes_hold_up_is_no_silence() {
    let (mut pulse, now) = stream([20; 100]);
    let options = Options::default();
    pulse.asked(now, Sign::Rhythm);
    let transit = Transit { unacknowledged: 1 << 20, retransmits: 0, blocked: false };
    let later = now + 100 * MS;
    assert_eq!(pulse.looked(later, transit, &options), Movement::Forward);
    assert_eq!(pulse.lost_at(&options), Some(later + 200 * MS));
    let again = Transit { retransmits: 1, ..transit };
    assert_eq!(pulse.looked(later + MS, again, &options), Movement::Lost);
    assert_eq!(pulse.lost_at(&options), Some(later + 200 * MS), "what is sent again does not move");
}

#[test]
fn a_server_that_reads_nothing_has_the_whole_ping_timeout_and_no_more() {
    let (mut pulse, now) = stream([20; 100]);
    let options = Options::default();
    pulse.asked(now, Sign::Rhythm);
    let transit = Transit { unacknowledged: 1 << 20, retransmits: 0, blocked: true };
    let end = now + options.ping_timeout;
    pulse.looked(now + (options.ping_timeout - MS), transit, &options);
    let lost = pulse.lost_at(&options);
    assert!(lost > Some(end));
    pulse.looked(end, transit, &options);
    assert_eq!(pulse.lost_at(&options), lost);
}
