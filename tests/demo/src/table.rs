//! The verdict: one table, and whether the guarantee held.

use std::sync::atomic::Ordering;

use crate::client::{Client, Library, Role};
use crate::outage::{self, Episode, Recovery, RESET};
use crate::publisher::Source;

/// What went wrong for one client during one kind of fault.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
struct Count {
    lost: u64,
    doubled: u64,
    /// How many of these break the guarantee of the subscription's QoS.
    broken: u64,
    /// How many of `broken` are the broker's: never offered by it, or sent again by it as if they were new.
    by_broker: u64,
}

impl std::ops::AddAssign for Count {
    fn add_assign(&mut self, other: Self) {
        self.lost += other.lost;
        self.doubled += other.doubled;
        self.broken += other.broken;
        self.by_broker += other.by_broker;
    }
}

/// How the demo ended, the worst last.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Outcome {
    Kept,
    /// The broker itself lost or doubled something, so the run proves nothing.
    Void,
    Broken,
}

pub(crate) fn print(clients: &[Client], episodes: &[Episode], source: &Source) -> Outcome {
    let mut outcome = Outcome::Kept;
    let mut names: Vec<&str> = episodes.iter().map(|e| e.name).collect();
    names.dedup();
    println!(
        "\n{:<21} {:<30} {:>12} {:>16} {:>7} {:>8}",
        "fault", "client", "noticed", "first message", "lost", "doubled"
    );
    println!("{:<21} {:<30} {:>12} {:>16}", "", "", "after ms", "after ms of net");
    let counts: Vec<Vec<Count>> = clients.iter().map(|s| count(s, episodes)).collect();
    for name in names {
        println!();
        for (client, counts) in clients.iter().zip(&counts) {
            let mut sum = Count::default();
            episodes.iter().zip(counts).filter(|(e, _)| e.name == name).for_each(|(_, c)| sum += *c);
            outcome = outcome.max(row(client, name, slowest(client, episodes, name), sum));
        }
    }
    println!("(QoS 1 may double: at least once. \"not\": rode it out on the same connection.)");
    println!(
        "{} messages published at QoS 2, {} taken over by the broker.",
        source.highest(),
        source.accepted.load(Ordering::Relaxed)
    );
    outcome
}

fn row(client: &Client, fault: &str, recovery: Recovery, count: Count) -> Outcome {
    println!(
        "{fault:<21} {:<30} {:>12} {:>16} {:>7} {:>8}",
        client.name(),
        number(recovery.notice_ms, "not"),
        number(recovery.first_message_ms, "never"),
        count.lost,
        count.doubled
    );
    if count.by_broker > 0 {
        println!("{:<21} the broker itself lost or doubled {} of these", "", count.by_broker);
    }
    let own = count.broken > count.by_broker || recovery.first_message_ms.is_none();
    match (client.library.ours() && own, count.by_broker > 0) {
        (true, _) => Outcome::Broken,
        (false, true) => Outcome::Void,
        (false, false) => Outcome::Kept,
    }
}

fn number(ms: Option<f64>, none: &str) -> String {
    ms.map_or_else(|| none.to_owned(), |ms| format!("{ms:.1}"))
}

fn slowest(client: &Client, episodes: &[Episode], name: &str) -> Recovery {
    let (mut notice, mut first) = (Vec::new(), Vec::new());
    for (at, episode) in episodes.iter().enumerate().filter(|(_, e)| e.name == name) {
        let until = episodes.get(at + 1).map_or(u64::MAX, |next| next.start);
        let recovery = outage::recovery(client, episode, until);
        notice.extend(recovery.notice_ms);
        first.extend(recovery.first_message_ms);
    }
    Recovery { notice_ms: largest(notice), first_message_ms: largest(first) }
}

fn largest(values: Vec<f64>) -> Option<f64> {
    values.into_iter().reduce(f64::max)
}

/// Losses belong to the episode in which the message was published, doubles to the one in which the second copy came. What
/// happens before the first fault is put down to the first.
fn count(client: &Client, episodes: &[Episode]) -> Vec<Count> {
    let mut counts = vec![Count::default(); episodes.len()];
    let at = |stamp: u64| episodes.partition_point(|e| e.start <= stamp).saturating_sub(1);
    let (Ok(report), Ok(tap)) = (client.report.lock(), client.tap.lock()) else { return counts };
    let subscribes = client.role == Role::Subscriber;
    for seq in (1..=client.source.highest()).filter(|seq| !report.times.contains_key(seq)) {
        let count = &mut counts[at(client.source.stamp(seq))];
        count.lost += 1;
        count.broken += 1;
        count.by_broker += u64::from(subscribes && !tap.offered(seq));
    }
    let mut seen = std::collections::HashSet::new();
    for (stamp, seq) in &report.messages {
        if !seen.insert(seq) {
            let count = &mut counts[at(*stamp)];
            count.doubled += 1;
            if client.qos == 2 {
                count.broken += 1;
                count.by_broker += u64::from(subscribes && tap.doubled_by_broker(*seq));
            }
        }
    }
    counts
}

/// "remqtt is back N times sooner", for each pair of the same QoS; the smallest ratio is the one that counts.
pub(crate) fn print_ratio(clients: &[Client], episodes: &[Episode]) {
    let reset = |s: &Client| slowest(s, episodes, RESET).first_message_ms;
    let mut smallest: Option<(f64, String)> = None;
    for peer in clients.iter().filter(|s| s.library == Library::Paho) {
        for ours in clients.iter().filter(|s| s.library.ours() && s.qos == peer.qos && s.role == peer.role) {
            if let (Some(theirs_ms), Some(ours_ms)) = (reset(peer), reset(ours)) {
                let ratio = theirs_ms / ours_ms;
                if smallest.as_ref().is_none_or(|(least, _)| ratio < *least) {
                    let text = format!("{} {ours_ms:.1} ms, {} {theirs_ms:.1} ms", ours.name(), peer.name());
                    smallest = Some((ratio, text));
                }
            }
        }
    }
    if let Some((ratio, pair)) = smallest {
        println!("After a reset with the broker up remqtt is back at least {ratio:.0} times sooner ({pair}; required: 50).");
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::packet::publish;

    /// Three messages, all offered by the broker; the client delivered the first twice and the last never.
    fn careless(qos: u8) -> Client {
        let client = Client::subscriber(Library::RemqttC, qos, 0, Arc::default());
        if let (Ok(mut report), Ok(mut tap)) = (client.report.lock(), client.tap.lock()) {
            for seq in 1..=3 {
                client.source.sent(seq * 10);
                tap.pass(1, seq * 10, &publish(seq as u16, "t", qos, seq, 0, 16));
            }
            [(11, 1), (12, 1), (21, 2)].into_iter().for_each(|(stamp, seq)| report.message(seq, stamp));
        }
        client
    }

    #[test]
    fn what_the_client_loses_and_doubles_is_put_down_to_the_client() {
        let counts = count(&careless(2), &[Episode::at(0)]);
        assert_eq!(counts, [Count { lost: 1, doubled: 1, broken: 2, by_broker: 0 }]);
    }

    #[test]
    fn at_qos_1_a_double_breaks_nothing() {
        let counts = count(&careless(1), &[Episode::at(0)]);
        assert_eq!(counts, [Count { lost: 1, doubled: 1, broken: 1, by_broker: 0 }]);
    }

    #[test]
    fn what_the_broker_never_offered_is_put_down_to_the_broker() {
        let client = careless(2);
        client.source.sent(40);
        assert_eq!(count(&client, &[Episode::at(0)])[0].by_broker, 1);
    }
}
