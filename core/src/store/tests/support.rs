//! Directories that go away, rows, and opening without ceremony.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process;
use std::sync::atomic::{AtomicUsize, Ordering};

use bytes::Bytes;

use super::super::{open, Change, Opened, SessionStore};

/// What is in a store.
pub(super) type Rows = BTreeMap<Vec<u8>, Vec<u8>>;

/// A directory for one test.
pub(super) struct Scratch(PathBuf);

impl Scratch {
    pub(super) fn new() -> Scratch {
        static NEXT: AtomicUsize = AtomicUsize::new(0);
        let name = format!("remqtt-store-{}-{}", process::id(), NEXT.fetch_add(1, Ordering::Relaxed));
        let path = std::env::temp_dir().join(name);
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
    Change { key: Bytes::copy_from_slice(key.as_ref()), value: Some(Bytes::copy_from_slice(value.as_ref())) }
}

pub(super) fn remove(key: impl AsRef<[u8]>) -> Change {
    Change { key: Bytes::copy_from_slice(key.as_ref()), value: None }
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
