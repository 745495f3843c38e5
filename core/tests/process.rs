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
fn clients_share_their_threads_and_both_a_new_start_and_a_forked_child_make_others() {
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

    assert!(!remqtt::wind_down(PATIENCE), "clients are open");
    drop(clients);
    events.iter().for_each(Events::over);
    drop(servers);
    assert!(remqtt::wind_down(PATIENCE));
    assert_eq!(threads(), before);
    let (parents, events) = start(peer.options());
    let mut server = peer.welcome(false);
    events.connected();

    remqtt::after_fork_in_child();
    assert_eq!(parents.publish(publish("t", QoS::AtMostOnce, b"")).unwrap_err().code, ErrorCode::Forked);
    assert_eq!(parents.start().unwrap_err().code, ErrorCode::Forked);
    assert_eq!(parents.flush(PATIENCE).unwrap_err().code, ErrorCode::Forked);
    assert_eq!(parents.event_fd().unwrap_err().code, ErrorCode::Forked);
    assert!(parents.pull(PATIENCE).is_empty());
    drop(parents);

    let (child, events) = start(peer.options());
    let _other = peer.welcome(false);
    events.connected();
    assert_eq!(child.state(), State::Connected);
    server.stream.set_nonblocking(true).unwrap();
    assert!(server.try_packet().is_none(), "dropping the parent's client sends nothing");
}
