//! A client with a store: what the next client of the same file finds, and what the application hears of the disk.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)] // a failing test may panic anywhere

mod common;

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};

use common::*;
use remqtt::{Client, ErrorCode, Event, Options, Outcome, QoS, SessionState, Version};

/// A folder that goes with the test.
struct Folder(PathBuf);

impl Folder {
    fn new() -> Folder {
        static NUMBER: AtomicUsize = AtomicUsize::new(0);
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        let folder = std::env::temp_dir().join(format!("remqtt-session-{}-{number}", std::process::id()));
        std::fs::create_dir_all(&folder).unwrap();
        Folder(folder)
    }

    fn file(&self) -> PathBuf {
        self.0.join("session")
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

fn stored(file: &Path, options: Options) -> Options {
    Options {
        client_id: "c1".into(),
        protocol_version: Version::V4,
        store: file.to_str().unwrap().into(),
        ..options
    }
}

fn finish(client: &Client, events: &Events) {
    client.close();
    events.closed();
}

#[test]
fn a_publish_that_was_accepted_offline_is_sent_by_the_next_client_of_the_file() {
    let (folder, peer) = (Folder::new(), Peer::new());
    let client = Client::new(stored(&folder.file(), Options::default())).unwrap();
    let events = record(&client);
    let ticket = client.publish(publish("a", QoS::AtLeastOnce, b"kept")).unwrap();
    client.wait(client.sync().unwrap(), PATIENCE).unwrap();
    finish(&client, &events);

    let (client, events) = start(stored(&folder.file(), peer.options()));
    assert!(client.is_pending(ticket), "it goes on under its ticket");
    assert!(client.next_ticket() > ticket, "and no other operation gets that");
    let mut server = peer.welcome(false);
    server.expect(&publish_bytes(2, "a", Some(1), b"kept"));
    server.send(&[0x40, 2, 0, 1]);
    assert!(matches!(events.completed(ticket), Outcome::Published(0, _)));
    assert!(!client.is_pending(ticket));
    finish(&client, &events);
}

#[test]
fn a_second_client_of_the_file_is_refused_and_the_next_one_is_not() {
    let folder = Folder::new();
    let client = Client::new(stored(&folder.file(), Options::default())).unwrap();
    let second = Client::new(stored(&folder.file(), Options::default()));
    assert_eq!(second.unwrap_err().code, ErrorCode::StoreLocked);
    let events = record(&client);
    finish(&client, &events);
    Client::new(stored(&folder.file(), Options::default())).unwrap();
}

#[test]
fn a_file_that_holds_the_session_of_another_client_identifier_is_refused() {
    let folder = Folder::new();
    let client = Client::new(stored(&folder.file(), Options::default())).unwrap();
    client.wait(client.sync().unwrap(), PATIENCE).unwrap();
    let events = record(&client);
    finish(&client, &events);
    let other = Options { client_id: "c2".into(), ..stored(&folder.file(), Options::default()) };
    let error = Client::new(other).unwrap_err();
    assert_eq!(error.code, ErrorCode::InvalidOption);
    assert!(error.detail.contains("\"c1\""), "{error}");
}

#[test]
fn the_file_and_its_client_identifier_do_not_change_while_the_client_lives() {
    let folder = Folder::new();
    let client = Client::new(stored(&folder.file(), Options::default())).unwrap();
    let moved = stored(&folder.0.join("elsewhere"), Options::default());
    let renamed = Options { client_id: "c2".into(), ..stored(&folder.file(), Options::default()) };
    for options in [moved, renamed] {
        assert_eq!(client.reconfigure(options).unwrap_err().code, ErrorCode::InvalidOption);
    }
    client.reconfigure(stored(&folder.file(), Options::default())).unwrap();
}

#[test]
fn a_damaged_file_is_told_and_set_aside_and_the_client_works() {
    let (folder, peer) = (Folder::new(), Peer::new());
    std::fs::write(folder.file(), "this is no store").unwrap();
    let (client, events) = start(stored(&folder.file(), peer.options()));
    let trouble = events.find(|event| if let Event::Store(trouble) = event { trouble } else { None });
    assert_eq!(trouble.code, ErrorCode::StoreDamaged);
    assert!(trouble.detail.contains("damaged-"), "{trouble}");
    peer.welcome(false);
    assert_eq!(events.connected().session, SessionState::New);
    let aside = std::fs::read_dir(&folder.0)
        .unwrap()
        .flatten()
        .any(|file| std::fs::read(file.path()).is_ok_and(|bytes| bytes == b"this is no store"));
    assert!(aside, "nothing is deleted");
    finish(&client, &events);
}

#[test]
fn without_a_store_there_is_nothing_to_wait_for() {
    let client = Client::new(Options::default()).unwrap();
    client.publish(publish("a", QoS::AtLeastOnce, b"p")).unwrap();
    client.wait(client.sync().unwrap(), PATIENCE).unwrap();
}
