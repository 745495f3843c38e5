//! Many clients, many threads, connections that are cut again and again.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)] // a failing test may panic anywhere

mod common;

use std::collections::{HashMap, HashSet};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::channel;
use std::sync::Arc;
use std::thread::{self, JoinHandle};
use std::time::Duration;

use common::*;
use parking_lot::Mutex;
use remqtt::{Bytes, Client, Event, Options, Outcome, Pool, Properties, Publish, QoS, Ticket};

const CLIENTS: usize = 8;
const THREADS: usize = 2;
const MESSAGES: u32 = 1_500;

/// Small pseudo-random numbers, the same in every run.
struct Dice(u64);

impl Dice {
    fn roll(&mut self, sides: u64) -> u64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % sides
    }
}

/// Answers publishes and cuts the connection after a while, until it is told that the storm is over.
fn serve(mut conversation: Conversation, seed: u64, calm: &AtomicBool, seen: &Mutex<HashSet<Bytes>>) {
    let mut dice = Dice(seed);
    let cut = 1 + dice.roll(400);
    for number in 0.. {
        let Some(packet) = conversation.try_packet() else { return };
        match packet[0] >> 4 {
            1 => conversation.send(&[0x20, 2, 1, 0]),
            3 => {
                // One byte of length, a topic of one byte.
                seen.lock().insert(Bytes::copy_from_slice(&packet[7..]));
                conversation.send(&[0x40, 2, packet[5], packet[6]]);
            }
            _ => return,
        }
        if number == cut && !calm.load(Ordering::Relaxed) {
            return if dice.roll(2) == 0 { conversation.reset() } else { drop(conversation) };
        }
    }
}

/// Serves every connection on a thread of its own, until an empty one comes when the storm is over.
fn serve_all(
    peer: Peer,
    calm: Arc<AtomicBool>,
    seen: Arc<Mutex<HashSet<Bytes>>>,
) -> JoinHandle<Vec<JoinHandle<()>>> {
    thread::spawn(move || {
        let mut conversations = Vec::new();
        for seed in 0.. {
            let conversation = peer.accept();
            if calm.load(Ordering::Relaxed) && conversations.len() > CLIENTS {
                // The last connection is the test's own, to end this loop.
                if conversation.stream.peek(&mut [0]).unwrap_or(0) == 0 {
                    break;
                }
            }
            let (calm, seen) = (calm.clone(), seen.clone());
            conversations.push(thread::spawn(move || serve(conversation, seed, &calm, &seen)));
        }
        conversations
    })
}

fn publish_all(client: &Client, name: &str) {
    for message in 0..MESSAGES {
        let (topic, payload) = ("t".into(), format!("{name} {message}").into());
        let (qos, properties) = (QoS::AtLeastOnce, Properties::new());
        let ticket = client.publish(Publish { topic, payload, qos, retain: false, properties }).unwrap();
        if message % 100 == 0 {
            client.wait(ticket, PATIENCE).unwrap();
        }
    }
}

#[test]
fn through_cuts_at_any_moment_every_publish_arrives_and_completes_exactly_once() {
    let peer = Peer::new();
    let calm = Arc::new(AtomicBool::new(false));
    let seen = Arc::new(Mutex::new(HashSet::new()));
    let outcomes: Arc<Mutex<HashMap<(usize, Ticket), usize>>> = Arc::default();
    let (end, ended) = channel();
    let clients: Vec<Client> = (0..CLIENTS)
        .map(|number| {
            let options = Options {
                client_id: format!("c{number}").into(),
                stable_after: Duration::ZERO,
                reconnect_min_delay: Duration::ZERO,
                reconnect_max_delay: Duration::from_millis(5),
                max_inflight: 50,
                ..peer.options()
            };
            let client = Client::new(options).unwrap();
            let outcomes = outcomes.clone();
            let end = end.clone();
            let each = Each(move |_: &Client, event: Event| match event {
                Event::Completed(ticket, outcome) => {
                    assert!(matches!(outcome, Outcome::Published(..)), "{outcome:?}");
                    *outcomes.lock().entry((number, ticket)).or_default() += 1;
                }
                Event::Closed => end.send(()).unwrap(),
                _ => {}
            });
            client.dispatch_on(Pool::shared(), Arc::new(each));
            client.start().unwrap();
            client
        })
        .collect();

    let address = peer.url().trim_start_matches("mqtt://").to_owned();
    let server = serve_all(peer, calm.clone(), seen.clone());
    thread::scope(|scope| {
        for (number, client) in clients.iter().enumerate() {
            for thread in 0..THREADS {
                scope.spawn(move || publish_all(client, &format!("{number} {thread}")));
            }
        }
    });
    calm.store(true, Ordering::Relaxed);
    clients.iter().for_each(|client| client.flush(PATIENCE).unwrap());
    let outages: u64 = clients.iter().map(|client| client.stats().outages).sum();
    let all = CLIENTS * THREADS * MESSAGES as usize;
    for client in &clients {
        client.close();
        client.wait_state(remqtt::State::Closed, PATIENCE).unwrap();
    }
    drop(std::net::TcpStream::connect(address).unwrap());
    server.join().unwrap().into_iter().for_each(|conversation| conversation.join().unwrap());
    assert!(outages > 50, "only {outages} cuts");
    assert_eq!(seen.lock().len(), all);
    // The handlers may be a moment behind the ledger.
    clients.iter().for_each(|_| ended.recv_timeout(PATIENCE).unwrap());
    assert_eq!(outcomes.lock().len(), all);
    assert!(outcomes.lock().values().all(|count| *count == 1));
}
