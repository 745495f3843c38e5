//! Directories that go away, rows, and opening without ceremony.

use std::collections::BTreeMap;
use std::env;
use std::fs;
use std::path::{Path, PathBuf};
use std::process;
use std::sync::atomic::{AtomicUsize, Ordering};

use bytes::Bytes;

use super::super::{open, Change, Key, Opened, SessionStore};

/// What is in a store.
pub(super) type Rows = BTreeMap<Vec<u8>, Vec<u8>>;

/// A directory for one test.
pub(super) struct Scratch(PathBuf);

impl Scratch {
    pub(super) fn new() -> Scratch {
        Scratch::below(&env::temp_dir())
    }

    /// On no disk where that is possible, for tests that open thousands of stores.
    pub(super) fn in_memory() -> Scratch {
        let memory = Path::new("/dev/shm");
        if memory.is_dir() {
            Scratch::below(memory)
        } else {
            Scratch::new()
        }
    }

    fn below(directory: &Path) -> Scratch {
        static NEXT: AtomicUsize = AtomicUsize::new(0);
        let name = format!("remqtt-store-{}-{}", process::id(), NEXT.fetch_add(1, Ordering::Relaxed));
        let path = directory.join(name);
        fs::create_dir_all(&path).unwrap();
        Scratch(path)
    }

    pub(super) fn store(&self) -> PathBuf {
        self.0.join("session")
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

pub(super) fn put(key: impl AsRef<[u8]>, value: impl AsRef<[u8]>) -> Change {
    Change { key: Key::from(key.as_ref()), value: Some(Bytes::copy_from_slice(value.as_ref())) }
}

pub(super) fn remove(key: impl AsRef<[u8]>) -> Change {
    Change { key: Key::from(key.as_ref()), value: None }
}

/// Row `number` of a queue, with a payload that follows from the number.
pub(super) fn message(number: u64) -> Change {
    put(number.to_be_bytes(), format!("message {number} ").repeat(6))
}

pub(super) fn rows_of(changes: &[Change]) -> Rows {
    let mut rows = Rows::new();
    for Change { key, value } in changes {
        match value {
            Some(value) => rows.insert(key.to_vec(), value.to_vec()),
            None => rows.remove(&key[..]),
        };
    }
    rows
}

/// Opens a store and collects its rows.
pub(super) fn read(path: &Path) -> (Opened, Rows) {
    let mut rows = Rows::new();
    let opened = open(path, &mut |key, value| {
        assert!(rows.last_key_value().is_none_or(|(last, _)| last.as_slice() < key), "in order, and once");
        rows.insert(key.to_vec(), value.to_vec());
    });
    (opened.unwrap(), rows)
}

/// A store that is whole.
pub(super) fn sound(path: &Path) -> (Box<dyn SessionStore>, Rows) {
    let (opened, rows) = read(path);
    assert_eq!(opened.damage, None);
    (opened.store, rows)
}

/// Leaves a store with these rows, closed.
pub(super) fn leave(path: &Path, changes: &[Change]) {
    sound(path).0.commit(changes).unwrap();
}

/// A generator that is good enough for accidents.
#[derive(Debug, Default)]
pub(super) struct Dice(u64);

impl Dice {
    pub(super) fn new(seed: u64) -> Dice {
        Dice(seed.wrapping_mul(0x9E37_79B9_7F4A_7C15).wrapping_add(0x1234_5678_9ABC_DEF1))
    }

    pub(super) fn below(&mut self, bound: u64) -> u64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % bound.max(1)
    }
}
