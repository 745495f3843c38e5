//! From the socket to user code: handlers, pulling, acknowledgement, backpressure.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)] // a failing test may panic anywhere

mod common;

use std::io::Write;
use std::sync::mpsc::{channel, sync_channel};
use std::sync::Arc;
use std::time::Duration;

use common::*;
use parking_lot::Mutex;
use remqtt::{Batch, Client, ErrorCode, Event, Handler, Options, Pool, QoS, State};

fn on_message(client: &Client, f: impl Fn(&Client, Event) + Send + Sync + 'static) {
    let each = Each(move |client: &Client, event: Event| {
        if matches!(event, Event::Message(_)) {
            f(client, event);
        }
    });
    client.dispatch_on(Pool::shared(), Arc::new(each));
}

#[test]
fn the_acknowledgement_follows_the_callback() {
    let peer = Peer::new();
    let client = Client::new(peer.options()).unwrap();
    let (entered, enter) = channel();
    let (go, wait) = sync_channel::<()>(0);
    let wait = Mutex::new(wait);
    on_message(&client, move |client, _| {
        entered.send(client.stats().unacknowledged).unwrap();
        wait.lock().recv().unwrap();
    });
    client.start().unwrap();
    let mut server = peer.welcome(false);
    server.send(&publish_bytes(2, "t", Some(1), b"x"));
    assert_eq!(enter.recv_timeout(PATIENCE).unwrap(), 1);
    server.stream.set_nonblocking(true).unwrap();
    assert!(server.try_packet().is_none(), "nothing is acknowledged while the callback runs");
    server.stream.set_nonblocking(false).unwrap();
    go.send(()).unwrap();
    server.expect(&[0x40, 2, 0, 1]);
}

#[test]
fn a_finished_message_is_acknowledged_although_the_next_callback_of_its_batch_takes_long() {
    let peer = Peer::new();
    let client = Client::new(peer.options()).unwrap();
    let (go, wait) = sync_channel::<()>(0);
    let wait = Mutex::new(wait);
    on_message(&client, move |_, event| match event {
        Event::Message(message) if message.publish.payload == b"slow"[..] => wait.lock().recv().unwrap(),
        _ => {}
    });
    client.start().unwrap();
    let mut server = peer.welcome(false);
    let both = [publish_bytes(2, "t", Some(1), b"quick"), publish_bytes(2, "t", Some(2), b"slow")];
    server.send(&both.concat());
    server.expect(&[0x40, 2, 0, 1]);
    go.send(()).unwrap();
    server.expect(&[0x40, 2, 0, 2]);
}

#[test]
fn with_manual_acknowledgement_nothing_is_acknowledged_by_itself() {
    let peer = Peer::new();
    let (client, events) = start(Options { manual_ack: true, ..peer.options() });
    let mut server = peer.welcome(false);
    server.send(&publish_bytes(2, "t", Some(1), b"a"));
    server.send(&publish_bytes(2, "t", Some(2), b"b"));
    let (first, second) = (events.message(), events.message());
    client.acknowledge(second.delivery.unwrap()).unwrap();
    server.expect(&[0x40, 2, 0, 2]);
    client.acknowledge(first.delivery.unwrap()).unwrap();
    server.expect(&[0x40, 2, 0, 1]);
}

#[test]
fn a_slow_handler_of_one_client_does_not_delay_another() {
    let peer = Peer::new();
    let slow = Client::new(peer.options()).unwrap();
    let (entered, enter) = channel();
    let (go, wait) = sync_channel::<()>(0);
    let wait = Mutex::new(wait);
    on_message(&slow, move |_, _| {
        entered.send(()).unwrap();
        wait.lock().recv().unwrap();
    });
    slow.start().unwrap();
    let mut server = peer.welcome(false);
    server.send(&publish_bytes(0, "t", None, b"x"));
    enter.recv_timeout(PATIENCE).unwrap();
    let (_quick, events) = start(peer.options());
    let mut server = peer.welcome(false);
    server.send(&publish_bytes(0, "t", None, b"y"));
    assert_eq!(events.message().publish.payload, b"y"[..]);
    go.send(()).unwrap();
}

#[test]
fn calls_of_one_handler_never_overlap_and_keep_their_order() {
    let peer = Peer::new();
    let client = Client::new(peer.options()).unwrap();
    let (seen, see) = channel();
    let busy = Mutex::new(());
    on_message(&client, move |_, event| {
        let _busy = busy.try_lock().expect("one call at a time");
        let Event::Message(message) = event else { return };
        seen.send(u32::from_be_bytes(message.publish.payload[..].try_into().unwrap())).unwrap();
    });
    client.start().unwrap();
    let mut server = peer.welcome(false);
    for number in 0..10_000u32 {
        server.send(&publish_bytes(0, "t", None, &number.to_be_bytes()));
    }
    for number in 0..10_000 {
        assert_eq!(see.recv_timeout(PATIENCE).unwrap(), number);
    }
}

/// Passes its batches on, for other threads to work on.
struct Detach(Mutex<std::sync::mpsc::Sender<Batch<'static>>>);

impl Handler for Detach {
    fn handle(&self, _: &Client, batch: &mut Batch<'_>) {
        let _ = self.0.lock().send(batch.detach());
    }
}

#[test]
fn the_turn_goes_with_a_detached_batch_and_so_does_the_acknowledgement() {
    let peer = Peer::new();
    let client = Client::new(peer.options()).unwrap();
    let (sender, batches) = channel();
    client.dispatch_on(Pool::shared(), Arc::new(Detach(Mutex::new(sender))));
    client.start().unwrap();
    let mut server = peer.welcome(false);
    server.send(&publish_bytes(2, "t", Some(1), b"1"));
    let is_message = |event: &Event| matches!(event, Event::Message(_));
    let mut batch: Batch<'static> = batches.recv_timeout(PATIENCE).unwrap();
    while !batch.next().as_ref().is_some_and(is_message) {
        if batch.is_empty() {
            drop(batch);
            batch = batches.recv_timeout(PATIENCE).unwrap();
        }
    }
    server.send(&publish_bytes(2, "t", Some(2), b"2"));
    assert!(batches.recv_timeout(Duration::from_millis(50)).is_err(), "one turn at a time");
    drop(batch);
    server.expect(&[0x40, 2, 0, 1]);
    assert!(batches.recv_timeout(PATIENCE).unwrap().next().as_ref().is_some_and(is_message));
    server.expect(&[0x40, 2, 0, 2]);
}

#[test]
fn a_replaced_handler_gets_nothing_more() {
    let peer = Peer::new();
    let (client, first) = start(peer.options());
    let mut server = peer.welcome(false);
    server.send(&publish_bytes(0, "t", None, b"1"));
    assert_eq!(first.message().publish.payload, b"1"[..]);
    let second = record(&client);
    server.send(&publish_bytes(0, "t", None, b"2"));
    assert_eq!(second.message().publish.payload, b"2"[..]);
    first.over();
}

#[test]
fn without_a_handler_events_wait_to_be_pulled() {
    let peer = Peer::new();
    let (client, events) = start(peer.options());
    let mut server = peer.welcome(false);
    events.connected();
    client.dispatch_stop();
    events.over();
    server.send(&publish_bytes(2, "t", Some(1), b"1"));
    let mut batch = client.pull(PATIENCE);
    assert_eq!(batch.len(), 1);
    let event = batch.next();
    assert!(matches!(event, Some(Event::Message(_))), "{event:?}");
    drop(batch);
    server.expect(&[0x40, 2, 0, 1]);
}

#[test]
fn events_that_are_put_back_come_again_first() {
    let peer = Peer::new();
    let client = Client::new(peer.options()).unwrap();
    client.close();
    client.wait_state(State::Closed, PATIENCE).unwrap();
    let mut batch = client.pull(PATIENCE);
    assert_eq!(batch.len(), 1);
    batch.put_back();
    assert_eq!(client.pull(PATIENCE).next(), Some(Event::Closed));
    assert!(client.pull(PATIENCE).is_empty(), "a closed and drained client does not make anybody wait");
}

#[test]
fn interrupting_ends_a_pull() {
    let client = Client::new(Options::default()).unwrap();
    std::thread::scope(|scope| {
        let pulling = scope.spawn(|| client.pull(PATIENCE).len());
        client.interrupt();
        assert_eq!(pulling.join().unwrap(), 0);
    });
    assert!(client.pull(Duration::ZERO).is_empty());
}

#[test]
fn the_event_descriptor_is_readable_exactly_while_events_wait() {
    let client = Client::new(Options::default()).unwrap();
    let fd = client.event_fd().unwrap();
    assert_eq!(fd, client.event_fd().unwrap());
    let readable = || {
        let info = std::fs::read_to_string(format!("/proc/self/fdinfo/{fd}")).unwrap();
        let count = info.lines().find_map(|line| line.strip_prefix("eventfd-count:")).unwrap();
        count.trim() != "0"
    };
    assert!(!readable());
    client.close();
    // The descriptor is written before a pull can see the event.
    client.pull(PATIENCE).put_back();
    assert!(readable());
    let mut batch = client.pull(PATIENCE);
    assert_eq!(batch.next(), Some(Event::Closed));
    assert!(!readable());
}

#[test]
fn a_duplicate_of_the_socket_is_the_same_connection() {
    let peer = Peer::new();
    let client = Client::new(peer.options()).unwrap();
    assert!(client.duplicate_socket().is_none(), "not connected");
    client.start().unwrap();
    let mut server = peer.welcome(false);
    client.wait_state(State::Connected, PATIENCE).unwrap();
    let socket = std::net::TcpStream::from(client.duplicate_socket().unwrap());
    assert!(socket.nodelay().unwrap());
    socket.shutdown(std::net::Shutdown::Both).unwrap();
    server.expect_end();
    peer.welcome(false);
    client.close();
    assert!(client.duplicate_socket().is_none(), "closed");
}

#[test]
fn closing_inside_a_handler_ends_the_client_in_order() {
    let peer = Peer::new();
    let (_client, events) = {
        let client = Client::new(peer.options()).unwrap();
        let (sender, receiver) = channel();
        let each = Each(move |client: &Client, event: Event| {
            if matches!(event, Event::Message(_)) {
                client.close();
            }
            sender.send(event).unwrap();
        });
        client.dispatch_on(Pool::shared(), Arc::new(each));
        client.start().unwrap();
        (client, receiver)
    };
    let mut server = peer.welcome(false);
    server.send(&publish_bytes(2, "t", Some(1), b"x"));
    let seen: Vec<Event> = events.iter().collect();
    assert_eq!(seen.last(), Some(&Event::Closed));
    while server.try_packet().is_some_and(|packet| packet != [0xE0, 0]) {}
    server.expect_end();
}

#[test]
fn the_last_handle_may_be_dropped_inside_the_handler() {
    let peer = Peer::new();
    let client = Client::new(peer.options()).unwrap();
    let own = Arc::new(Mutex::new(None));
    let held = own.clone();
    let (sender, events) = channel();
    let each = Each(move |_: &Client, event: Event| {
        if matches!(event, Event::Message(_)) {
            held.lock().take();
        }
        sender.send(event).unwrap();
    });
    client.dispatch_on(Pool::shared(), Arc::new(each));
    client.start().unwrap();
    *own.lock() = Some(client);
    let mut server = peer.welcome(false);
    server.send(&publish_bytes(0, "t", None, b"x"));
    server.expect(&[0xE0, 0]);
    server.expect_end();
    assert_eq!(
        events.iter().last(),
        Some(Event::Closed),
        "the handler lives until the end and is dropped then"
    );
}

#[test]
fn waiting_for_oneself_in_a_callback_is_refused() {
    let peer = Peer::new();
    let client = Client::new(peer.options()).unwrap();
    let other = Client::new(Options::default()).unwrap();
    let (sender, results) = channel();
    on_message(&client, move |client, _| {
        let ticket = client.publish(publish("t", QoS::AtLeastOnce, b"")).unwrap();
        sender.send(client.wait(ticket, PATIENCE).unwrap_err().code).unwrap();
        sender.send(client.flush(PATIENCE).unwrap_err().code).unwrap();
        let ticket = other.publish(publish("t", QoS::AtLeastOnce, b"")).unwrap();
        sender.send(other.wait(ticket, Duration::from_millis(1)).unwrap_err().code).unwrap();
    });
    client.start().unwrap();
    let mut server = peer.welcome(false);
    server.send(&publish_bytes(0, "t", None, b"x"));
    let next = || results.recv_timeout(PATIENCE).unwrap();
    assert_eq!([next(), next(), next()], [ErrorCode::Deadlock, ErrorCode::Deadlock, ErrorCode::Timeout]);
}

#[test]
fn a_panic_in_a_handler_does_not_end_the_client() {
    let peer = Peer::new();
    let client = Client::new(peer.options()).unwrap();
    let (sender, payloads) = channel();
    on_message(&client, move |_, event| {
        let Event::Message(message) = event else { return };
        assert_ne!(message.publish.payload, b"bad"[..], "this panic belongs to the test");
        sender.send(message.publish.payload).unwrap();
    });
    client.start().unwrap();
    let mut server = peer.welcome(false);
    server.send(&publish_bytes(0, "t", None, b"bad"));
    server.send(&publish_bytes(0, "t", None, b"good"));
    assert_eq!(payloads.recv_timeout(PATIENCE).unwrap(), b"good"[..]);
}

#[test]
fn a_client_that_is_behind_stops_reading_and_goes_on_when_it_has_caught_up() {
    let peer = Peer::new();
    let client = Client::new(Options { receive_buffer: 10_000, ..peer.options() }).unwrap();
    client.start().unwrap();
    let mut server = peer.welcome(false);
    let message = publish_bytes(0, "t", None, &[7; 100]);
    let total = 400_000;
    let sent = std::thread::spawn(move || {
        for _ in 0..total {
            server.stream.write_all(&message).unwrap();
        }
        server
    });
    client.wait_state(State::Connected, PATIENCE).unwrap();
    let mut seen = 0;
    let mut largest = 0;
    while seen < total {
        let mut batch = client.pull(PATIENCE);
        largest = largest.max(batch.len());
        while let Some(event) = batch.next() {
            seen += usize::from(matches!(event, Event::Message(_)));
        }
    }
    // The bound, and what one round may read on top of it.
    assert!(largest <= 2_000, "{largest} messages waited");
    drop(sent.join().unwrap());
}

#[test]
fn a_client_that_is_behind_comes_back_after_an_outage() {
    let peer = Peer::new();
    let client = Client::new(Options { receive_buffer: 100, ..peer.options() }).unwrap();
    client.start().unwrap();
    let mut server = peer.welcome(false);
    server.send(&publish_bytes(0, "t", None, &[7; 100]));
    // When this is complete, the message was read before it, and reading has stopped.
    let first = client.publish(publish("t", QoS::AtLeastOnce, b"1")).unwrap();
    server.expect(&publish_bytes(2, "t", Some(1), b"1"));
    let mut pulled = client.pull(PATIENCE);
    assert!(!pulled.is_empty());
    pulled.put_back();
    drop(pulled);
    server.reset();
    client.publish(publish("t", QoS::AtLeastOnce, b"2")).unwrap();
    let mut server = peer.welcome(true);
    server.expect(&publish_bytes(2 | 8, "t", Some(1), b"1"));
    while let Some(event) = client.pull(PATIENCE).next() {
        if matches!(event, Event::Message(_)) {
            break;
        }
    }
    server.send(&[0x40, 2, 0, first as u8]);
    client.wait(first, PATIENCE).unwrap();
}

#[test]
fn a_client_that_nobody_listens_to_keeps_no_endless_list_of_completions() {
    let peer = Peer::new();
    let client = Client::new(peer.options()).unwrap();
    client.start().unwrap();
    let mut server = peer.welcome(false);
    let drain = std::thread::spawn(move || while server.try_packet().is_some() {});
    for _ in 0..20_000 {
        client.publish(publish("t", QoS::AtMostOnce, b"")).unwrap();
        if client.stats().backlog_messages > 1_000 {
            client.flush(PATIENCE).unwrap();
        }
    }
    client.flush(PATIENCE).unwrap();
    let waiting = client.pull(Duration::ZERO).len();
    assert!(waiting < 5_000, "{waiting} events");
    client.close();
    drain.join().unwrap();
}
