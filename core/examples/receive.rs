//! How fast messages go from the socket to a handler that does nothing, and what that costs.
//!
//! `cargo run --release --example receive -- [messages] [qos] [payload bytes] [connections' send window]`
//!
//! A scripted server in this process blasts prebuilt PUBLISH packets and counts the acknowledgements. CPU time is
//! that of the library's own threads.
#![allow(clippy::unwrap_used)] // a tool: an error may end it

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use remqtt::{Batch, Client, Event, Handler, Options, Pool, Version};

#[derive(Default)]
struct Count {
    messages: AtomicUsize,
    batches: AtomicUsize,
}

impl Handler for Count {
    fn handle(&self, _: &Client, batch: &mut Batch<'_>) {
        let mut messages = 0;
        while let Some(event) = batch.next() {
            messages += usize::from(matches!(event, Event::Message(_)));
        }
        self.batches.fetch_add(1, Ordering::Relaxed);
        self.messages.fetch_add(messages, Ordering::Relaxed);
    }
}

fn main() {
    let mut arguments = std::env::args().skip(1).map(|text| text.parse::<usize>().unwrap());
    let messages = arguments.next().unwrap_or(2_000_000);
    let qos = arguments.next().unwrap_or(1);
    let payload = arguments.next().unwrap_or(64);
    let window = arguments.next().unwrap_or(60_000).min(60_000);
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let server = format!("mqtt://{}", listener.local_addr().unwrap());
    let options = Options { servers: vec![server], protocol_version: Version::V4, ..Options::default() };
    let client = Client::new(options).unwrap();
    let count = Arc::new(Count::default());
    client.dispatch_on(Pool::shared(), count.clone());
    client.start().unwrap();
    let (mut stream, _) = listener.accept().unwrap();
    let mut buffer = [0; 4_096];
    let _ = stream.read(&mut buffer).unwrap();
    stream.write_all(&[0x20, 2, 0, 0]).unwrap();

    let acknowledged = Arc::new(AtomicUsize::new(0));
    let acks = count_acks(stream.try_clone().unwrap(), acknowledged.clone());
    let begin = Instant::now();
    blast(&mut stream, messages, qos, payload, window, &acknowledged);
    while count.messages.load(Ordering::Relaxed) < messages
        || (qos > 0 && acknowledged.load(Ordering::Relaxed) < messages)
    {
        thread::sleep(Duration::from_micros(200));
    }
    let elapsed = begin.elapsed();
    let cpu: Vec<(String, Duration)> = threads();
    let ours: Duration = cpu.iter().map(|(_, time)| *time).sum();
    println!(
        "{messages} messages of {payload} bytes at QoS {qos}: {:.0} messages/s, {:.0} ns of CPU each, {} batches",
        messages as f64 / elapsed.as_secs_f64(),
        ours.as_nanos() as f64 / messages as f64,
        count.batches.load(Ordering::Relaxed),
    );
    for (name, time) in cpu {
        println!("  {name:16} {:.0} ns per message", time.as_nanos() as f64 / messages as f64);
    }
    client.close();
    acks.join().unwrap();
}

/// Sends the messages, never more than `window` ahead of the acknowledgements.
fn blast(
    stream: &mut TcpStream,
    messages: usize,
    qos: usize,
    payload: usize,
    window: usize,
    acked: &AtomicUsize,
) {
    let mut block = Vec::new();
    let mut sent = 0;
    while sent < messages {
        let count = 512.min(messages - sent);
        while qos > 0 && sent + count > acked.load(Ordering::Relaxed) + window {
            thread::sleep(Duration::from_micros(50));
        }
        block.clear();
        for number in sent..sent + count {
            let length = 2 + 8 + if qos > 0 { 2 } else { 0 } + payload;
            block.push(0x30 | (qos as u8) << 1);
            block.extend([(length & 0x7F) as u8 | 0x80, (length >> 7) as u8]);
            block.extend_from_slice(b"\0\x08bench/t1");
            if qos > 0 {
                block.extend_from_slice(&((number % 65_535) as u16 + 1).to_be_bytes());
            }
            block.resize(block.len() + payload, b'x');
        }
        stream.write_all(&block).unwrap();
        sent += count;
    }
}

fn count_acks(mut stream: TcpStream, acknowledged: Arc<AtomicUsize>) -> thread::JoinHandle<()> {
    thread::spawn(move || {
        let mut buffer = vec![0; 64 << 10];
        let mut bytes = 0;
        while let Ok(count @ 1..) = stream.read(&mut buffer) {
            bytes += count;
            acknowledged.store(bytes / 4, Ordering::Relaxed);
        }
    })
}

/// The library's threads and the time they ran.
fn threads() -> Vec<(String, Duration)> {
    let mut all: Vec<(String, Duration)> = Vec::new();
    for task in std::fs::read_dir("/proc/self/task").unwrap() {
        let task = task.unwrap().path();
        let name = std::fs::read_to_string(task.join("comm")).unwrap_or_default().trim().to_owned();
        let time = std::fs::read_to_string(task.join("schedstat")).unwrap_or_default();
        let time = time.split(' ').next().and_then(|nanos| nanos.parse().ok()).unwrap_or(0);
        if name.starts_with("remqtt") {
            all.push((name, Duration::from_nanos(time)));
        }
    }
    all
}
