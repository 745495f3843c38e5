//! What idle connected clients cost: memory, threads, CPU.
//!
//! `cargo run --release --example idle -- [clients] [seconds] [messages that each received before]`
#![allow(clippy::unwrap_used)] // a tool: an error may end it

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::Arc;
use std::time::Duration;

use remqtt::{Batch, Client, Handler, Options, Pool, State};

struct Ignore;

impl Handler for Ignore {
    fn handle(&self, _: &Client, batch: &mut Batch<'_>) {
        while batch.next().is_some() {}
    }
}

fn connect(listener: &TcpListener, number: usize, messages: usize, peers: &mut Vec<TcpStream>) -> Client {
    let server = format!("mqtt://{}", listener.local_addr().unwrap());
    // The peers answer no PINGREQ.
    let options = Options {
        servers: vec![server],
        client_id: format!("c{number}").into(),
        keepalive: 0,
        detect_within: Duration::ZERO,
        ..Options::default()
    };
    let client = Client::new(options).unwrap();
    client.dispatch_on(Pool::shared(), Arc::new(Ignore));
    client.start().unwrap();
    let (mut stream, _) = listener.accept().unwrap();
    let _ = stream.read(&mut [0; 256]).unwrap();
    stream.write_all(&[0x20, 3, 0, 0, 0]).unwrap();
    client.wait_state(State::Connected, Duration::from_secs(10)).unwrap();
    let mut burst = Vec::new();
    for message in 0..messages {
        let identifier = message as u16 + 1;
        burst.extend_from_slice(b"\x32\x4D\0\x08bench/t1");
        burst.extend_from_slice(&identifier.to_be_bytes());
        burst.extend_from_slice(&[0; 1 + 64]);
    }
    stream.write_all(&burst).unwrap();
    stream.read_exact(&mut vec![0; 4 * messages]).unwrap();
    peers.push(stream);
    client
}

fn main() {
    let mut arguments = std::env::args().skip(1).map(|text| text.parse::<usize>().unwrap());
    let count = arguments.next().unwrap_or(1_000);
    let seconds = arguments.next().unwrap_or(10) as u64;
    let messages = arguments.next().unwrap_or(0);
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let mut peers = Vec::with_capacity(count + 1);
    let first = connect(&listener, 0, messages, &mut peers);
    let (memory, _) = status();
    let clients: Vec<Client> =
        (1..=count).map(|number| connect(&listener, number, messages, &mut peers)).collect();
    let (more, threads) = status();
    let cpu = cpu();
    std::thread::sleep(Duration::from_secs(seconds));
    println!(
        "{count} clients: {:.1} KiB each, {threads} threads, {:.2} % of a core while idle",
        (more - memory) as f64 / count as f64,
        (self::cpu() - cpu).as_secs_f64() / seconds as f64 * 100.0,
    );
    drop((first, clients, peers));
    assert!(remqtt::wind_down(Duration::from_secs(10)));
}

/// Resident KiB and threads of this process.
fn status() -> (usize, usize) {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let field = |name| {
        let line = status.lines().find_map(|line| line.strip_prefix(name)).unwrap();
        line.split_whitespace().next().unwrap().parse().unwrap()
    };
    (field("VmRSS:"), field("Threads:"))
}

/// Time that the threads of this process ran.
fn cpu() -> Duration {
    let tasks = std::fs::read_dir("/proc/self/task").unwrap();
    let times =
        tasks.map(|task| std::fs::read_to_string(task.unwrap().path().join("schedstat")).unwrap_or_default());
    let nanos = times.map(|text| text.split(' ').next().and_then(|n| n.parse::<u64>().ok()).unwrap_or(0));
    Duration::from_nanos(nanos.sum())
}
