//! The faults, and what each client made of them.

use std::time::Duration;

use tokio::sync::watch;
use tokio::time::{sleep, Instant};

use crate::client::Client;
use crate::clock;
use crate::proxy::{Cut, Path, State};
use crate::publisher::RATE;

pub(crate) struct Fault {
    pub(crate) name: &'static str,
    path: Path,
    cut: Option<Cut>,
    length: Duration,
}

const fn fault(name: &'static str, path: Path, cut: Option<Cut>, length_ms: u64) -> Fault {
    Fault { name, path, cut, length: Duration::from_millis(length_ms) }
}

/// Longer than the minute of a keep alive of 60 s, shorter than two.
const PATIENCE: Duration = Duration::from_secs(75);

pub(crate) const RESET: &str = "connection reset";

/// The reset comes twice: its row shows the slower. The silent path comes last, since whoever trusts the keep alive alone
/// needs a minute to leave it.
pub(crate) const FAULTS: &[Fault] = &[
    fault(RESET, Path::Open, Some(Cut::Reset), 0),
    fault(RESET, Path::Open, Some(Cut::Reset), 0),
    fault("orderly close", Path::Open, Some(Cut::Orderly), 0),
    fault("refused 1 s", Path::Refused, Some(Cut::Reset), 1000),
    fault("refused 3 s", Path::Refused, Some(Cut::Reset), 3000),
    fault("swallowed 2 s", Path::Swallowed, None, 2000),
    fault("accepted, silent 2 s", Path::Silent, Some(Cut::Reset), 2000),
];

/// One fault as it happened, on CLOCK_MONOTONIC.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Episode {
    pub(crate) name: &'static str,
    pub(crate) start: u64,
    /// When the network was back.
    pub(crate) back: u64,
    /// Recovered is who has a message on a connection no older than this: a cut asks for a new one.
    began: u64,
}

#[cfg(test)]
impl Episode {
    pub(crate) fn at(start: u64) -> Self {
        Self { name: RESET, start, back: start, began: start }
    }
}

/// What one client made of one episode; None: it did not happen before `until`.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Recovery {
    pub(crate) notice_ms: Option<f64>,
    pub(crate) first_message_ms: Option<f64>,
}

/// Applies the fault to all proxies at once and returns when it is over. A cut waits until `rested`.
pub(crate) async fn inject(fault: &Fault, proxies: &watch::Sender<State>, rested: Instant) -> Episode {
    if fault.cut.is_some() {
        tokio::time::sleep_until(rested).await;
    }
    let start = clock::now();
    let began = if fault.cut.is_some() { start } else { 0 };
    proxies.send_modify(|state| {
        state.path = fault.path;
        if let Some(cut) = fault.cut {
            state.cut = cut;
            state.cuts += 1;
        }
    });
    if fault.length.is_zero() {
        return Episode { name: fault.name, start, back: start, began };
    }
    sleep(fault.length).await;
    let back = clock::now();
    proxies.send_modify(|state| state.path = Path::Open);
    Episode { name: fault.name, start, back, began }
}

pub(crate) fn recovery(client: &Client, episode: &Episode, until: u64) -> Recovery {
    let (Ok(report), Ok(tap)) = (client.report.lock(), client.tap.lock()) else {
        return Recovery { notice_ms: None, first_message_ms: None };
    };
    let down = report.downs.iter().find(|t| **t >= episode.start && **t < until);
    let from = report.messages.partition_point(|(stamp, _)| *stamp <= episode.back);
    let mut later = report.messages[from..].iter().take_while(|(stamp, _)| *stamp < until);
    let first = later.find(|(stamp, seq)| tap.offered_after(*seq, episode.back, episode.began, *stamp));
    Recovery {
        notice_ms: down.map(|stamp| clock::ms(episode.start, *stamp)),
        first_message_ms: first.map(|(stamp, _)| clock::ms(episode.back, *stamp)),
    }
}

/// The attempts that failed since the fault began, in words.
fn failures(client: &Client, episode: &Episode) -> String {
    let Ok(report) = client.report.lock() else { return String::new() };
    let since = report.failures.partition_point(|(stamp, _)| *stamp < episode.start);
    match &report.failures[since..] {
        [] => String::new(),
        [.., (stamp, why)] => {
            let (count, ms) = (report.failures.len() - since, clock::ms(episode.start, *stamp));
            format!("   {count} attempts failed, the last at {ms:.1} ms {why}")
        }
    }
}

fn caught_up(client: &Client) -> bool {
    let sent = client.source.highest();
    client.report.lock().is_ok_and(|r| r.ended || r.highest + RATE / 4 >= sent)
}

/// How long a connection has to last before it is cut. remqtt calls a connection stable after five seconds
/// (`stable_after`) and backs off when one is lost sooner; a cut before that would show the backoff and not the fault.
const STABLE: Duration = Duration::from_millis(5_200);

/// When connections that stand now, or stood already, may be cut.
pub(crate) fn rested() -> Instant {
    Instant::now() + STABLE
}

/// Waits until every client has recovered and caught up, and tells each one's time as it comes. Returns when the
/// connections of remqtt may be cut again.
pub(crate) async fn settle(clients: &[Client], episode: &Episode, rested: Instant) -> Instant {
    let end = Instant::now() + PATIENCE;
    let mut rested = rested;
    let mut waiting: Vec<&Client> = clients.iter().collect();
    while !waiting.is_empty() && Instant::now() < end {
        sleep(Duration::from_millis(20)).await;
        waiting.retain(|client| {
            let recovery = recovery(client, episode, u64::MAX);
            let (Some(ms), true) = (recovery.first_message_ms, caught_up(client)) else {
                return true;
            };
            println!(
                "         {:<30} first message after {ms:>8.1} ms{}",
                client.name(),
                failures(client, episode)
            );
            if client.library.ours() && recovery.notice_ms.is_some() {
                rested = self::rested();
            }
            false
        });
    }
    for client in waiting {
        println!("         {:<30} not back after {} s", client.name(), PATIENCE.as_secs());
    }
    rested
}
