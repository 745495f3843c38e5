//! `remqtt-demo rumqttc-clients host port count`: rumqttc's row of bench-clients.

use std::io;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::Arc;
use std::time::Duration;

use nix::time::{clock_gettime, ClockId};
use rumqttc::{AsyncClient, Event, MqttOptions, Packet};
use tokio::time::{sleep, Instant};

pub(crate) async fn run(arguments: &[String]) -> io::Result<()> {
    let [host, port, count] = arguments else { return Err(io::Error::other("three arguments are needed")) };
    let port: u16 = port.parse().map_err(io::Error::other)?;
    let count: u64 = count.parse().map_err(io::Error::other)?;
    let before = status("VmRSS")?;
    let connected = Arc::<AtomicU64>::default();
    let mut clients = Vec::new();
    for number in 0..count {
        let mut options = MqttOptions::new(format!("rumqttc-{number}"), host, port);
        options.set_keep_alive(Duration::from_secs(60));
        let (client, mut events) = AsyncClient::new(options, 10);
        clients.push(client);
        let connected = connected.clone();
        tokio::spawn(async move {
            loop {
                match events.poll().await {
                    Ok(Event::Incoming(Packet::ConnAck(_))) => {
                        connected.fetch_add(1, Ordering::Relaxed);
                    }
                    Ok(_) => {}
                    // Without a wait of the application's own it would try again as fast as it can.
                    Err(_) => sleep(Duration::from_secs(1)).await,
                }
            }
        });
    }
    let end = Instant::now() + Duration::from_secs(30);
    while connected.load(Ordering::Relaxed) < count && Instant::now() < end {
        sleep(Duration::from_millis(20)).await;
    }
    sleep(Duration::from_secs(3)).await;
    let (start, started) = (cpu()?, Instant::now());
    sleep(Duration::from_secs(10)).await;
    let idle = (cpu()? - start) / started.elapsed().as_secs_f64();
    let line = serde_json::json!({
        "connected": connected.load(Ordering::Relaxed),
        "threads": status("Threads")?,
        "rss_kib": status("VmRSS")? - before,
        "idle_cpu": idle,
    });
    println!("{line}");
    Ok(())
}

/// Processor seconds of this process.
fn cpu() -> io::Result<f64> {
    let time = clock_gettime(ClockId::CLOCK_PROCESS_CPUTIME_ID)?;
    Ok(time.tv_sec() as f64 + time.tv_nsec() as f64 / 1e9)
}

/// A number of /proc/self/status.
fn status(name: &str) -> io::Result<i64> {
    let text = std::fs::read_to_string("/proc/self/status")?;
    let line = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'));
    let number = line.and_then(|rest| rest.split_whitespace().next()?.parse().ok());
    number.ok_or_else(|| io::Error::other(format!("/proc/self/status has no {name}")))
}
