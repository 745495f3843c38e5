//! What all clients of a process share: threads, and the consequences of a fork.
//!
//! One test in a program of its own, because it counts the threads of the process and changes its generation.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)] // a failing test may panic anywhere

mod common;

use common::*;
use remqtt::{Client, ErrorCode, Options, QoS, State};

fn threads() -> usize {
    std::fs::read_dir("/proc/self/task").unwrap().count()
}

#[test]
fn clients_share_their_threads_and_a_forked_child_starts_anew() {
    let peer = Peer::new();
    let before = threads();
    let clients: Vec<Client> = (0..200)
        .map(|number| {
            let options = Options { client_id: format!("c{number}").into(), ..peer.options() };
            Client::new(options).unwrap()
        })
        .collect();
    let events: Vec<Events> = clients.iter().map(record).collect();
    let mut servers = Vec::new();
    for client in &clients {
        client.start().unwrap();
        servers.push(peer.welcome(false));
    }
    for (client, events) in clients.iter().zip(&events) {
        events.connected();
        assert_eq!(client.state(), State::Connected);
    }
    let more = threads() - before;
    assert!(more <= 6, "{more} threads for 200 clients");

    remqtt::after_fork_in_child();
    let parents = &clients[0];
    assert_eq!(parents.publish(publish("t", QoS::AtMostOnce, b"")).unwrap_err().code, ErrorCode::Forked);
    assert_eq!(parents.start().unwrap_err().code, ErrorCode::Forked);
    assert_eq!(parents.flush(PATIENCE).unwrap_err().code, ErrorCode::Forked);
    assert_eq!(parents.event_fd().unwrap_err().code, ErrorCode::Forked);
    assert!(parents.pull(PATIENCE).is_empty());
    drop(clients);

    let (child, events) = start(peer.options());
    let _server = peer.welcome(false);
    events.connected();
    assert_eq!(child.state(), State::Connected);
    let dropped = servers.iter_mut().all(|server| {
        server.stream.set_nonblocking(true).unwrap();
        server.try_packet().is_none()
    });
    assert!(dropped, "dropping the parent's clients sends nothing");
}
