//! How fast publishes go from one thread to the socket and complete, and what that costs.
//!
//! `cargo run --release --example publish -- [messages] [qos 0 or 1] [payload bytes]`
//!
//! A scripted server in this process answers every QoS 1 PUBLISH.
#![allow(clippy::unwrap_used)] // a tool: an error may end it

use std::io::{BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::Arc;
use std::time::{Duration, Instant};

use remqtt::{
    Batch, Bytes, Client, ErrorCode, Handler, Options, Pool, Properties, Publish, QoS, State, Version,
};

struct Ignore;

impl Handler for Ignore {
    fn handle(&self, _: &Client, batch: &mut Batch<'_>) {
        while batch.next().is_some() {}
    }
}

fn main() {
    let mut arguments = std::env::args().skip(1).map(|text| text.parse::<usize>().unwrap());
    let messages = arguments.next().unwrap_or(1_000_000);
    let qos = QoS::from_u8(arguments.next().unwrap_or(1) as u8).unwrap();
    let payload = Bytes::from(vec![b'x'; arguments.next().unwrap_or(64)]);
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let server = format!("mqtt://{}", listener.local_addr().unwrap());
    let options = Options { servers: vec![server], protocol_version: Version::V4, ..Options::default() };
    let client = Client::new(options).unwrap();
    client.dispatch_on(Pool::shared(), Arc::new(Ignore));
    client.start().unwrap();
    let (mut stream, _) = listener.accept().unwrap();
    let _ = stream.read(&mut [0; 4_096]).unwrap();
    stream.write_all(&[0x20, 2, 0, 0]).unwrap();
    let server = std::thread::spawn(move || answer(stream));
    client.wait_state(State::Connected, Duration::from_secs(10)).unwrap();
    let publish =
        Publish { topic: "bench/t1".into(), payload, qos, retain: false, properties: Properties::new() };
    let begin = Instant::now();
    for _ in 0..messages {
        while let Err(error) = client.publish(publish.clone()) {
            assert_eq!(error.code, ErrorCode::QueueFull);
            client.flush(Duration::from_secs(10)).unwrap();
        }
    }
    let called = begin.elapsed();
    client.flush(Duration::from_secs(60)).unwrap();
    println!(
        "{messages} publishes at QoS {}: {:.0} calls/s, {:.0} complete/s",
        qos as u8,
        messages as f64 / called.as_secs_f64(),
        messages as f64 / begin.elapsed().as_secs_f64(),
    );
    client.close();
    server.join().unwrap();
}

/// Answers each PUBLISH of QoS 1 with a PUBACK, those of one read in one write.
fn answer(mut stream: TcpStream) {
    let mut reader = BufReader::with_capacity(64 << 10, stream.try_clone().unwrap());
    let mut answers = Vec::new();
    let mut body = Vec::new();
    let mut byte = [0];
    while reader.read_exact(&mut byte).is_ok() {
        let first = byte[0];
        let mut length = 0;
        for shift in [0, 7, 14, 21] {
            reader.read_exact(&mut byte).unwrap();
            length |= usize::from(byte[0] & 0x7F) << shift;
            if byte[0] & 0x80 == 0 {
                break;
            }
        }
        body.resize(length, 0);
        reader.read_exact(&mut body).unwrap();
        if first & 0xF6 == 0x32 {
            let topic = usize::from(u16::from_be_bytes([body[0], body[1]]));
            answers.extend_from_slice(&[0x40, 2, body[2 + topic], body[3 + topic]]);
        }
        if reader.buffer().is_empty() {
            stream.write_all(&answers).unwrap();
            answers.clear();
        }
    }
}
