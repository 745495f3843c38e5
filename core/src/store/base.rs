//! An opened database, and the only place that calls redb: whatever it does, an error or a panic, comes out as
//! [`Trouble`], and after trouble it cannot touch the file any more.
//!
//! **One sync per commit.** redb can write a commit in one phase (everything, then one `fsync`) or two (the pages,
//! `fsync`, the byte that makes them count, `fsync`). After a power cut in the middle of the first kind the checksums
//! tell that pages are missing, and the commit before counts. That is enough: the second kind defends against somebody
//! who chooses values such that a torn page has the right 128-bit checksum. The price is that damage to the pages of
//! the newest commit looks like a torn one. Whether the machine was started since tells the two apart.

use std::fmt;
use std::io;
use std::panic::{catch_unwind, AssertUnwindSafe};
use std::sync::Arc;

use redb::{Database, WriteTransaction};

use super::disk::{Lease, Medium};
use super::log::Log;
use super::piece::Broken;
use super::rows::{self, Piece};
use super::Change;

/// Of redb's pages. Its default is 1 GiB; 64 KiB to 64 MiB are equally fast, because a store is written far more than
/// read and the system caches the file, too. Many may be open.
const CACHE: usize = 256 << 10;

/// Why something was not done.
#[derive(Debug)]
pub(super) enum Trouble {
    /// The disk did not do it. It may do it later.
    Disk(io::Error),
    /// What is in the file makes no sense, or redb has a defect.
    Damage(String),
    /// Rows are gone, and the store goes on without them.
    Loss(String),
}

/// What [`Found::undone`] means unless the machine lost power.
pub(super) const UNDONE: &str = "the newest change is not whole on the disk, and was undone";

impl fmt::Display for Trouble {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Trouble::Disk(error) => error.fmt(f),
            Trouble::Damage(what) | Trouble::Loss(what) => f.write_str(what),
        }
    }
}

impl From<Broken> for Trouble {
    fn from(_: Broken) -> Self {
        Trouble::Damage("a row is not as it was written".into())
    }
}

impl From<io::Error> for Trouble {
    fn from(error: io::Error) -> Self {
        Trouble::Disk(error)
    }
}

pub(super) struct Base {
    /// Always there, but for the moment of its end.
    db: Option<Database>,
    lease: Lease,
}

/// A database that was there.
pub(super) struct Found {
    pub(super) base: Base,
    /// The newest commit is not whole on the disk, so that the one before it counts.
    pub(super) undone: bool,
    /// Nothing was being written when it was left.
    pub(super) closed: bool,
}

impl Base {
    /// Begins a database in an empty file.
    pub(super) fn create(medium: Arc<Medium>) -> Result<Base, Trouble> {
        let lease = Lease::new(medium);
        let copy = lease.clone();
        let db =
            attempt(&lease, || Ok(Database::builder().set_cache_size(CACHE).create_with_backend(copy)?))?;
        Ok(Base { db: Some(db), lease })
    }

    /// Opens the database in this file and verifies every page of it.
    pub(super) fn open(medium: Arc<Medium>) -> Result<Found, Trouble> {
        if medium.len()? == 0 {
            return Err(Trouble::Damage("the file is empty".into()));
        }
        let Some(before) = medium.header() else {
            return Err(Trouble::Damage("the file is cut short".into()));
        };
        let lease = Lease::new(medium.clone());
        let copy = lease.clone();
        let db = attempt(&lease, || {
            let mut builder = Database::builder();
            builder.set_cache_size(CACHE).set_check_integrity_on_open(true);
            Ok(builder.create_with_backend(copy)?)
        })?;
        // To open it was to commit once, to the slot of the commit before the newest.
        let next = before.commit().wrapping_add(1);
        let undone = !before.is_in_order() || medium.header().is_none_or(|after| after.commit() != next);
        Ok(Found { base: Base { db: Some(db), lease }, undone, closed: before.is_closed() })
    }

    pub(super) fn medium(&self) -> &Arc<Medium> {
        self.lease.medium()
    }

    /// Makes the changes durable, and a note of this run of the system with them if it is wanted. After an error `log`
    /// is not to be used any more.
    pub(super) fn commit(&self, log: &mut Log, changes: &[Change], note_boot: bool) -> Result<(), Trouble> {
        self.attempt(|db| {
            let txn = db.begin_write()?;
            if note_boot {
                rows::note_boot(&txn)?;
            }
            // Rows that came and went since the last commit are worth no sync.
            match rows::apply(&txn, log, changes)? || note_boot {
                true => txn.commit()?,
                false => txn.abort()?,
            }
            Ok(())
        })
    }

    /// Makes what `fill` does durable.
    pub(super) fn write<T>(
        &self,
        fill: impl FnOnce(&WriteTransaction) -> Result<T, redb::Error>,
    ) -> Result<T, Trouble> {
        self.attempt(|db| {
            let txn = db.begin_write()?;
            let result = fill(&txn)?;
            txn.commit()?;
            Ok(result)
        })
    }

    pub(super) fn formats(&self) -> Result<Option<(u32, u32)>, Trouble> {
        self.attempt(rows::formats)
    }

    /// See [`rows::is_of_another_boot`].
    pub(super) fn is_of_another_boot(&self) -> Result<bool, Trouble> {
        self.attempt(rows::is_of_another_boot)
    }

    /// See [`rows::portion`].
    pub(super) fn portion(&self, from: u64) -> Result<Vec<Piece>, Trouble> {
        self.attempt(|db| rows::portion(db, from))
    }

    /// Reads the log, and calls `keep` for every piece of it.
    pub(super) fn read(&self, mut keep: impl FnMut(Piece)) -> Result<Log, Trouble> {
        let mut log = Log::default();
        let mut next = 0;
        loop {
            let pieces = self.portion(next)?;
            let Some((last, _)) = pieces.last() else { return Ok(log) };
            next = last.saturating_add(1);
            for (number, piece) in pieces {
                log.read(number, &piece)?;
                keep((number, piece));
            }
        }
    }

    /// The database ends without another write to its file.
    pub(super) fn abandon(self) {
        self.lease.sever();
    }

    /// For a forked child: the memory of the database is left alone, because its locks may be held by threads that
    /// only the parent has, and the file is the parent's.
    pub(super) fn forget(mut self) {
        std::mem::forget(self.db.take());
    }

    fn attempt<T>(&self, action: impl FnOnce(&Database) -> Result<T, redb::Error>) -> Result<T, Trouble> {
        attempt(&self.lease, || match &self.db {
            Some(db) => action(db),
            None => Err(redb::Error::DatabaseClosed),
        })
    }
}

impl Drop for Base {
    fn drop(&mut self) {
        let db = self.db.take();
        if catch_unwind(AssertUnwindSafe(|| drop(db))).is_err() {
            self.lease.sever();
        }
    }
}

fn attempt<T>(lease: &Lease, action: impl FnOnce() -> Result<T, redb::Error>) -> Result<T, Trouble> {
    let what = match catch_unwind(AssertUnwindSafe(action)) {
        Ok(Ok(result)) => return Ok(result),
        Ok(Err(error)) => error.to_string(),
        Err(_) => "the database gave up".into(),
    };
    lease.sever();
    Err(lease.take_failure().map_or(Trouble::Damage(what), Trouble::Disk))
}
