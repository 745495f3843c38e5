//! The simulated disk below a simulated client's store.

use std::collections::BTreeMap;

use bytes::Bytes;
use remqtt_proto::{Change, Error, ErrorCode, Key, Lsn, Recovery};

/// How the disk takes changes.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum DiskMood {
    /// At once.
    #[default]
    Quick,
    /// Many together, when the client is about to send or time passes.
    Slow,
    /// Not at all.
    Refusing,
}

/// What a store keeps, unless the process dies first.
#[derive(Debug, Default)]
pub(crate) struct Disk {
    mood: DiskMood,
    rows: BTreeMap<Key, Bytes>,
    /// Not durable yet, in their order.
    waiting: Vec<(Lsn, Change)>,
    /// The client was told that the disk refuses.
    told: bool,
    /// Changes that became durable.
    changes: usize,
    /// The process dies when it wants to write more changes than these.
    deadly: Option<usize>,
    /// The process is dead, and nobody has been told.
    dead: bool,
}

/// What became of the changes that wait.
pub(crate) enum Written {
    /// There are none, or this is not the moment.
    Nothing,
    /// Everything up to this one is durable.
    Durable(Lsn),
    Refused(Error),
    /// The process died while it wrote.
    Dead,
}

impl Disk {
    pub(crate) fn set_mood(&mut self, mood: DiskMood) {
        self.mood = mood;
    }

    pub(crate) fn die_after(&mut self, changes: usize) {
        self.deadly = Some(changes);
    }

    pub(crate) fn add(&mut self, lsn: Lsn, change: Change) {
        self.waiting.push((lsn, change));
    }

    /// Writes what waits: `at_once` is the moment of a quick disk, any other that of a slow one.
    pub(crate) fn write(&mut self, at_once: bool) -> Written {
        if self.waiting.is_empty() || at_once != (self.mood == DiskMood::Quick) {
            return Written::Nothing;
        }
        if self.mood == DiskMood::Refusing {
            return match std::mem::replace(&mut self.told, true) {
                true => Written::Nothing,
                false => Written::Refused(Error::new(ErrorCode::StoreFailed, "no space")),
            };
        }
        self.told = false;
        let mut last = 0;
        for (lsn, change) in std::mem::take(&mut self.waiting) {
            if self.deadly == Some(self.changes) {
                self.deadly = None;
                return Written::Dead;
            }
            self.changes += 1;
            match change.value {
                Some(value) => self.rows.insert(change.key, value),
                None => self.rows.remove(&change.key),
            };
            last = lsn;
        }
        Written::Durable(last)
    }

    /// The process dies, and with it what was not durable.
    pub(crate) fn die(&mut self) {
        (self.dead, self.told) = (true, false);
        self.waiting.clear();
    }

    pub(crate) fn is_dead(&self) -> bool {
        self.dead
    }

    /// True once after a death.
    pub(crate) fn mourn(&mut self) -> bool {
        std::mem::take(&mut self.dead)
    }

    pub(crate) fn changes(&self) -> usize {
        self.changes
    }

    /// How many rows it holds.
    pub(crate) fn rows(&self) -> usize {
        self.rows.len()
    }

    /// What the next process finds.
    pub(crate) fn recovery(&self) -> Recovery {
        let mut recovery = Recovery::default();
        self.rows.iter().for_each(|(key, value)| recovery.row(key, value));
        recovery.complete();
        recovery
    }
}
