//! The durable store of one client's session.
//!
//! It knows nothing of MQTT: it keeps a table of rows, and makes batches of changes to them durable, all or none. The
//! file is a log of these batches, with an index of it in memory. It stands on redb, whose business transactions, torn
//! pages and recovery are. Ours is
//!
//! | file | what it does |
//! |---|---|
//! | `lock.rs` | one owner of a store |
//! | `opening.rs`, `recovery.rs`, `salvage.rs` | what is found at the path, and what becomes of a damaged file |
//! | `inspect.rs` | what is in a store, without touching it |
//! | `durable.rs` | commits, going on after errors, giving space back |
//! | `log.rs`, `hash.rs` | the log in memory: what a commit adds, and what is not needed any more |
//! | `piece.rs` | how records lie in it |
//! | `base.rs`, `rows.rs`, `header.rs` | the database: the only callers of redb, its tables, its header |
//! | `disk.rs`, `files.rs` | the file below it, the files beside it |

mod base;
mod disk;
mod durable;
mod files;
mod hash;
mod header;
mod inspect;
mod lock;
mod log;
mod opening;
mod piece;
mod recovery;
mod rows;
mod salvage;
#[cfg(test)]
mod tests;

use std::fmt;
use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use remqtt_proto::{Error, ErrorCode};

use self::disk::Plug;
use self::lock::Lock;
use self::opening::Opening;

pub use inspect::{inspect, Inspection};
pub use remqtt_proto::{Change, Field, Key, Record, ROW_FORMAT};

/// How long [`open`] waits for the owner of a store to let go: a client of this process may be just about to.
const LOCK_PATIENCE: Duration = Duration::from_secs(1);

/// Where the rows of a session are kept.
pub trait SessionStore: Send {
    /// Makes the changes durable, all or none, in order. When it returns `Ok` they survive kill -9 and a power cut.
    /// After an error the same changes may be given again, until the disk takes them: nothing of them is there, or all
    /// of it. `StoreDamaged` says that rows were lost since the store was opened, and the next call goes on with the
    /// others.
    fn commit(&mut self, changes: &[Change]) -> Result<(), Error>;

    /// Bytes on the disk, for statistics.
    fn size(&self) -> u64;
}

/// A store, and what was wrong with it.
pub struct Opened {
    /// The store.
    pub store: Box<dyn SessionStore>,
    /// What was wrong with it.
    pub damage: Option<Damage>,
}

impl fmt::Debug for Opened {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Opened").field("damage", &self.damage).finish_non_exhaustive()
    }
}

/// What was wrong with a store when it was opened.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Damage {
    /// That, and what was lost, in words.
    pub what: String,
    /// Where the file is that was in its place, as it was.
    pub aside: Option<PathBuf>,
}

impl fmt::Display for Damage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.what)?;
        match &self.aside {
            Some(aside) => write!(f, "; the file as it was is {}", aside.display()),
            None => Ok(()),
        }
    }
}

/// Opens the store in this file, making it where there is none, and calls `row` for every row, in the order of keys.
///
/// A file that is no store, or one of a version that this does not know, is set aside and a new store begun; what can
/// be read of a damaged one is kept. Errors: `StoreLocked`, and `StoreFailed` where the system refuses the file.
pub fn open(path: &Path, row: &mut dyn FnMut(&[u8], &[u8])) -> Result<Opened, Error> {
    open_with(path, row, Arc::new(|file: File| Box::new(file) as Box<dyn disk::Disk>))
}

/// [`open`] through a disk with faults.
pub(crate) fn open_with(path: &Path, row: &mut dyn FnMut(&[u8], &[u8]), plug: Plug) -> Result<Opened, Error> {
    let path = files::place(path).map_err(|error| failed(path, error))?;
    let lock = Lock::acquire(&path, Instant::now() + LOCK_PATIENCE)?;
    let opening = Opening { path, lock, plug };
    let kind = match fs::symlink_metadata(&opening.path) {
        Ok(metadata) => metadata.file_type(),
        Err(error) if error.kind() == io::ErrorKind::NotFound => return opening.begin(),
        Err(error) => return Err(failed(&opening.path, error)),
    };
    match (kind.is_file(), kind.is_dir()) {
        (true, _) => opening.load(row),
        (_, true) => opening.instead_of_directory(),
        _ => Err(failed(&opening.path, "neither a file nor a directory")),
    }
}

/// Rows were lost.
fn damaged(path: &Path, what: impl fmt::Display) -> Error {
    Error::new(ErrorCode::StoreDamaged, format!("{}: {what}", path.display()))
}

/// The disk, or whoever guards it, refused.
fn failed(path: &Path, why: impl fmt::Display) -> Error {
    Error::new(ErrorCode::StoreFailed, format!("{}: {why}", path.display()))
}
