//! The demo of remqtt: outages made to order, remqtt beside paho-mqtt, one table.
//!
//! ```text
//! remqtt-demo [--broker mosquitto|rumqttd|mqtt://host:port] [--only PART-OF-A-NAME] [--fault PART-OF-A-NAME] [--times N]
//! remqtt-demo probe [--broker ...]     does the broker itself keep the guarantee?
//! ```
//!
//! Exit status: 0 the guarantee held, 1 remqtt broke it, 2 the demo could not run, 3 the broker broke it.

mod broker;
mod child;
mod client;
mod clock;
mod outage;
mod packet;
mod probe;
mod proxy;
mod publisher;
mod raw;
mod rumqttc_clients;
mod rust_subscriber;
mod sink;
mod table;
mod tap;

use std::io;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::atomic::Ordering;
use std::sync::Arc;
use std::time::Duration;

use tokio::signal::unix::{signal, SignalKind};
use tokio::sync::watch;
use tokio::time::{sleep, Instant};

use client::{Client, Library, Programs, Role};
use outage::Fault;
use publisher::Source;
use table::Outcome;

#[tokio::main]
async fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let work = async {
        match arguments.first().map(String::as_str) {
            Some("subscriber") => rust_subscriber::run(&arguments[1..]).map(|()| ExitCode::SUCCESS),
            Some("rumqttc-clients") => {
                rumqttc_clients::run(&arguments[1..]).await.map(|()| ExitCode::SUCCESS)
            }
            Some("probe") => probe(&arguments).await,
            _ => demo(&arguments).await,
        }
    };
    // Everything that has to be ended is owned by `work`: dropping it ends every child.
    let result = tokio::select! {
        result = work => result,
        name = interrupted() => Err(io::Error::other(name)),
    };
    result.unwrap_or_else(|error| {
        eprintln!("remqtt-demo: {error}");
        ExitCode::from(2)
    })
}

async fn interrupted() -> &'static str {
    let (Ok(mut interrupt), Ok(mut terminate)) =
        (signal(SignalKind::interrupt()), signal(SignalKind::terminate()))
    else {
        return "cannot listen to signals";
    };
    tokio::select! {
        _ = interrupt.recv() => "interrupted",
        _ = terminate.recv() => "terminated",
    }
}

fn option<'a>(arguments: &'a [String], name: &str) -> Option<&'a str> {
    let at = arguments.iter().position(|a| a == name)?;
    arguments.get(at + 1).map(String::as_str)
}

async fn probe(arguments: &[String]) -> io::Result<ExitCode> {
    let broker = broker::start(option(arguments, "--broker"), &programs()?.logs).await?;
    let kept = judge(&broker).await?;
    Ok(ExitCode::from(if kept { 0 } else { 3 }))
}

/// Asks the broker whether it keeps its half of the bargain.
async fn judge(broker: &broker::Broker) -> io::Result<bool> {
    let verdicts = probe::probe(&broker.address).await?;
    println!("{} at {}:", broker.name, broker.address);
    for verdict in &verdicts {
        match &verdict.answer {
            Ok(()) => println!("    yes  {}", verdict.question),
            Err(why) => println!("    NO   {}: {why}", verdict.question),
        }
    }
    Ok(verdicts.iter().all(|v| v.answer.is_ok()))
}

async fn demo(arguments: &[String]) -> io::Result<ExitCode> {
    let started = Instant::now();
    let programs = programs()?;
    let wanted = wanted_faults(arguments)?;
    let broker = broker::start(option(arguments, "--broker"), &programs.logs).await?;
    judge(&broker).await?;
    let run = format!("remqtt-demo-{}", clock::now());
    let (proxies, state) = watch::channel(proxy::State::open());
    let source = Arc::<Source>::default();
    let mut clients = clients(arguments, &source)?;
    for client in &mut clients {
        if client.role == Role::Publisher {
            sink::open(&broker.address, &client.topic(&run), client.report.clone()).await?;
        }
        let proxy = proxy::serve(client.port, broker.address.clone(), state.clone(), client.tapped());
        tokio::spawn(async move {
            if let Err(error) = proxy.await {
                eprintln!("remqtt-demo: a proxy ended: {error}");
            }
        });
        client.start(&programs, &run)?;
    }
    ready(&clients, &programs.logs).await?;
    let mut publisher = tokio::spawn(publisher::run(broker.address.clone(), run.clone(), source.clone()));
    println!(
        "{} clients, {} messages a second to subscribers, 100 from publishers",
        clients.len(),
        publisher::RATE
    );
    sleep(Duration::from_secs(1)).await;

    let episodes = tokio::select! {
        episodes = faults(&wanted, &clients, &proxies, started) => episodes,
        early = &mut publisher => return Err(early.map_err(io::Error::other)?.err().unwrap_or(io::ErrorKind::Other.into())),
    };
    source.stop.store(true, Ordering::Relaxed);
    publisher.await.map_err(io::Error::other)??;
    finished(&clients).await?;
    drained(&clients).await;
    let outcome = table::print(&clients, &episodes, &source);
    table::print_ratio(&clients, &episodes);
    let ids: Vec<String> = clients.iter().map(|client| client.client_id(&run)).collect();
    let ours = clients.iter().any(|client| client.library.ours());
    drop(clients);
    for id in &ids {
        probe::forget(&broker.address, id).await?;
    }
    println!("{:.0} s in all.", started.elapsed().as_secs_f64());
    Ok(if ours { verdict(outcome) } else { ExitCode::SUCCESS })
}

fn wanted_faults(arguments: &[String]) -> io::Result<Vec<&'static Fault>> {
    let name = option(arguments, "--fault").unwrap_or_default();
    let times = option(arguments, "--times").map_or(Ok(1), str::parse).map_err(io::Error::other)?;
    let faults = outage::FAULTS.iter().filter(|fault| fault.name.contains(name));
    let wanted: Vec<_> = faults.flat_map(|fault| std::iter::repeat_n(fault, times)).collect();
    if wanted.is_empty() {
        // Where nothing is played nothing is lost, and that would look like a success.
        return Err(io::Error::other(format!("no fault is played: --fault '{name}' --times {times}")));
    }
    Ok(wanted)
}

async fn faults(
    wanted: &[&Fault],
    clients: &[Client],
    proxies: &watch::Sender<proxy::State>,
    started: Instant,
) -> Vec<outage::Episode> {
    let (mut episodes, mut rested) = (Vec::new(), outage::rested());
    for (number, fault) in wanted.iter().enumerate() {
        let episode = outage::inject(fault, proxies, rested).await;
        let seconds = started.elapsed().as_secs_f64();
        println!("[{seconds:>5.1} s] {}/{} {} is over", number + 1, wanted.len(), fault.name);
        rested = outage::settle(clients, &episode, rested).await;
        episodes.push(episode);
    }
    episodes
}

fn verdict(outcome: Outcome) -> ExitCode {
    match outcome {
        Outcome::Kept => {
            println!("remqtt lost nothing, and doubled nothing on QoS 2.");
            ExitCode::SUCCESS
        }
        Outcome::Broken => {
            println!("FAILED: remqtt did not keep its guarantee; see the table.");
            ExitCode::from(1)
        }
        Outcome::Void => {
            println!("VOID: the broker itself lost or doubled messages; see the table.");
            ExitCode::from(3)
        }
    }
}

fn clients(arguments: &[String], source: &Arc<Source>) -> io::Result<Vec<Client>> {
    let only = option(arguments, "--only");
    let wanted = |client: &Client| match only {
        Some(only) => client.name().contains(only),
        // Beside the C library, which drives the same core, the table is long enough without Rust. paho-mqtt as a QoS 2
        // publisher never returns from its first outage: it resends all it has at once, mosquitto closes a connection
        // with more than 20 open, and so on; `--only 'paho-mqtt publisher'` shows it.
        None => {
            let endless =
                client.library == Library::Paho && client.role == Role::Publisher && client.qos == 2;
            client.library != Library::RemqttRust && !endless
        }
    };
    let mut port = broker::free_port()?;
    let mut clients: Vec<Client> = Vec::new();
    for library in [Library::RemqttPython, Library::RemqttC, Library::RemqttRust, Library::Paho] {
        for qos in [1, 2] {
            port = broker::free_port_after(port)?;
            clients.push(Client::subscriber(library, qos, port, source.clone()));
        }
    }
    for library in [Library::RemqttPython, Library::Paho] {
        for qos in [1, 2] {
            port = broker::free_port_after(port)?;
            clients.push(Client::publisher(library, qos, port));
        }
    }
    clients.retain(wanted);
    Ok(clients)
}

fn programs() -> io::Result<Programs> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..").canonicalize()?;
    let here = std::env::current_exe()?;
    let built = here.parent().map_or_else(PathBuf::new, Path::to_path_buf);
    let logs = built.join("demo-logs");
    std::fs::create_dir_all(&logs)?;
    Ok(Programs {
        python: root.join(".venv/bin/python"),
        subscriber: root.join("tests/demo/subscriber.py"),
        publisher: root.join("tests/demo/publisher.py"),
        c: built.join("demo-subscriber"),
        rust: here,
        logs,
    })
}

/// Waits until every subscription is granted and every publisher connected: from then on every message counts.
async fn ready(clients: &[Client], logs: &Path) -> io::Result<()> {
    let end = Instant::now() + Duration::from_secs(20);
    for client in clients {
        while !client.report.lock().is_ok_and(|r| r.ready) {
            if Instant::now() > end || client.report.lock().is_ok_and(|r| r.ended) {
                let why = format!("{} did not get ready; see {}", client.name(), logs.display());
                return Err(io::Error::other(why));
            }
            sleep(Duration::from_millis(10)).await;
        }
    }
    Ok(())
}

/// Ends the publishers; each waits for its own acknowledgements.
async fn finished(clients: &[Client]) -> io::Result<()> {
    let publishers = || clients.iter().filter(|c| c.role == Role::Publisher);
    publishers().try_for_each(Client::terminate)?;
    let end = Instant::now() + Duration::from_secs(20);
    while publishers().any(|c| c.report.lock().is_ok_and(|r| !r.ended)) && Instant::now() < end {
        sleep(Duration::from_millis(10)).await;
    }
    Ok(())
}

/// Waits until everything has arrived everywhere, or nothing more comes.
async fn drained(clients: &[Client]) {
    let total: usize = clients.iter().map(|c| c.source.highest() as usize).sum();
    let (mut before, mut quiet_since) = (0, Instant::now());
    loop {
        let now: usize = clients.iter().filter_map(|c| c.report.lock().ok().map(|r| r.times.len())).sum();
        if now != before {
            (before, quiet_since) = (now, Instant::now());
        }
        if now >= total || quiet_since.elapsed() > Duration::from_secs(5) {
            return;
        }
        sleep(Duration::from_millis(20)).await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_run_without_faults_is_an_error() {
        let count = |words: &[&str]| {
            let words: Vec<String> = words.iter().map(|word| (*word).to_owned()).collect();
            wanted_faults(&words).ok().map(|faults| faults.len())
        };
        assert_eq!(count(&[]), Some(outage::FAULTS.len()));
        assert_eq!(count(&["--fault", "orderly", "--times", "3"]), Some(3));
        assert_eq!(count(&["--fault", "ordrely"]), None);
        assert_eq!(count(&["--times", "0"]), None);
        assert_eq!(count(&["--times", "many"]), None);
    }
}
