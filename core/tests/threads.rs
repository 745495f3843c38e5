//! On which threads handlers run: the first clients of a pool have one each, the others share, and nobody waits for
//! another client's handler.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)] // a failing test may panic anywhere

mod common;

use std::collections::{BTreeMap, HashSet};
use std::sync::mpsc::{channel, sync_channel, Receiver, SyncSender};
use std::sync::Arc;
use std::thread::ThreadId;

use common::*;
use parking_lot::Mutex;
use remqtt::{Client, Event, Pool};

fn pool(own: usize) -> Pool {
    Pool::new(own, |worker| {
        std::thread::spawn(move || {
            while let Some(turn) = worker.next() {
                turn.run();
            }
        });
    })
}

type Calls = Receiver<(usize, ThreadId)>;

/// Clients that say in which order they are called, and on which thread; told to wait, they do so until `go`.
fn talkative(peer: &Peer, pool: &Pool, count: usize) -> (Vec<(Conversation, Client)>, Calls, SyncSender<()>) {
    let (called, calls) = channel();
    let (go, wait) = sync_channel::<()>(0);
    let wait = Arc::new(Mutex::new(wait));
    let connect = |number| {
        let client = Client::new(peer.options()).unwrap();
        let (called, wait) = (called.clone(), wait.clone());
        let handler = Each(move |_: &Client, event: Event| {
            let Event::Message(message) = event else { return };
            called.send((number, std::thread::current().id())).unwrap();
            if message.publish.payload == b"wait"[..] {
                wait.lock().recv().unwrap();
            }
        });
        client.dispatch_on(pool, Arc::new(handler));
        client.start().unwrap();
        (peer.welcome(false), client)
    };
    ((0..count).map(connect).collect(), calls, go)
}

fn say(clients: &mut [(Conversation, Client)], payload: &[u8]) {
    for (server, _) in clients {
        server.send(&publish_bytes(0, "t", None, payload));
    }
}

#[test]
fn the_first_clients_of_a_pool_have_a_thread_each_and_keep_it() {
    let peer = Peer::new();
    let (mut clients, calls, _go) = talkative(&peer, &pool(3), 3);
    let mut threads = BTreeMap::new();
    for _ in 0..20 {
        say(&mut clients, b"x");
        for _ in 0..3 {
            let (number, thread) = calls.recv_timeout(PATIENCE).unwrap();
            assert_eq!(*threads.entry(number).or_insert(thread), thread, "client {number}");
        }
    }
    assert_eq!(threads.values().collect::<HashSet<_>>().len(), 3);
}

#[test]
fn a_stuck_handler_delays_no_other_whether_it_has_a_thread_of_its_own_or_shares() {
    let peer = Peer::new();
    let (mut clients, calls, go) = talkative(&peer, &pool(2), 6);
    let heard = |count| {
        let mut numbers: Vec<_> =
            (0..count).map(|_| calls.recv_timeout(PATIENCE).expect("every one").0).collect();
        numbers.sort_unstable();
        numbers
    };
    say(&mut clients, b"x");
    assert_eq!(heard(6), [0, 1, 2, 3, 4, 5]);
    clients.rotate_left(1);
    say(&mut clients[4..], b"wait");
    assert_eq!(heard(2), [0, 5]);
    say(&mut clients[..4], b"y");
    assert_eq!(heard(4), [1, 2, 3, 4]);
    go.send(()).unwrap();
    go.send(()).unwrap();
}

#[test]
fn a_handler_that_is_taken_away_while_it_runs_delays_no_other() {
    let peer = Peer::new();
    let pool = pool(1);
    let (mut clients, calls, go) = talkative(&peer, &pool, 2);
    say(&mut clients[..1], b"wait");
    assert_eq!(calls.recv_timeout(PATIENCE).unwrap().0, 0);
    clients[0].1.dispatch_stop();
    say(&mut clients[1..], b"x");
    assert_eq!(calls.recv_timeout(PATIENCE).unwrap().0, 1);
    let (called, again) = channel();
    let next = Each(move |_: &Client, _: Event| called.send(std::thread::current().id()).unwrap());
    clients[0].1.dispatch_on(&pool, Arc::new(next));
    say(&mut clients[..1], b"y");
    go.send(()).unwrap();
    assert!(again.recv_timeout(PATIENCE).is_ok());
}
