//! What is found at the path of a store, and what becomes of it.

use std::fs;
use std::path::PathBuf;

use super::base::{Base, Found, Trouble, UNDONE};
use super::disk::{Medium, Plug};
use super::durable::Store;
use super::lock::Lock;
use super::log::Log;
use super::recovery::{self, Recovered, Written};
use super::rows::{Piece, STORE_FORMAT};
use super::{failed, files, Damage, Error, Opened, ROW_FORMAT};

/// A store of which the lock is held, and nothing else yet.
pub(super) struct Opening {
    pub(super) path: PathBuf,
    pub(super) lock: Lock,
    pub(super) plug: Plug,
}

impl Opening {
    /// A new store where nothing is.
    pub(super) fn begin(self) -> Result<Opened, Error> {
        let written = recovery::write(&self.path, &self.plug, &[]);
        let written = written.and_then(|written| Ok(files::settle(&self.path).map(|()| written)?));
        let written = written.map_err(|trouble| failed(&self.path, trouble))?;
        self.opened(written, None)
    }

    /// A new store where a directory is. A full one is somebody's, and the path a mistake.
    pub(super) fn instead_of_directory(self) -> Result<Opened, Error> {
        let full = fs::read_dir(&self.path).map(|mut entries| entries.next().is_some());
        match full {
            Ok(false) => self.replace("it is an empty directory".into()),
            Ok(true) => Err(failed(&self.path, "it is a directory with files in it")),
            Err(error) => Err(failed(&self.path, error)),
        }
    }

    /// The store in the file that is there.
    pub(super) fn load(self, row: &mut dyn FnMut(&[u8], &[u8])) -> Result<Opened, Error> {
        let file = files::open(&self.path).map_err(|error| failed(&self.path, error))?;
        let medium = Medium::new(file, &self.plug).map_err(|error| failed(&self.path, error))?;
        let Found { base, undone, closed } = match Base::open(medium.clone()) {
            Ok(found) => found,
            Err(Trouble::Damage(what)) => return self.recover(&medium, &what, row),
            Err(trouble) => return Err(failed(&self.path, trouble)),
        };
        match base.formats() {
            Ok(Some((STORE_FORMAT, ROW_FORMAT))) => {}
            Ok(found) => {
                base.abandon();
                return self.replace(recovery::unknown(found));
            }
            Err(trouble) => {
                base.abandon();
                return self.recover(&medium, &trouble.to_string(), row);
            }
        }
        let mut pieces = Vec::new();
        let log = match base.read(|piece| pieces.push(piece)) {
            Ok(log) => log,
            Err(trouble) => {
                base.abandon();
                return self.recover(&medium, &trouble.to_string(), row);
            }
        };
        hand_over(&log, &pieces, row);
        drop(pieces);
        let rebooted = base.is_of_another_boot().map_err(|trouble| failed(&self.path, trouble))?;
        // A power cut in the middle of a commit loses nothing: nobody was told of that commit.
        let damage = (undone && (closed || !rebooted)).then(|| Damage { what: UNDONE.into(), aside: None });
        let store = Store::new(self.path, self.lock, self.plug, (base, log));
        let mut store = store.notes_boot(rebooted);
        store.give_back_everything();
        Ok(Opened { store: Box::new(store), damage })
    }

    /// A new store with what can be read of a damaged one.
    fn recover(
        self,
        medium: &Medium,
        what: &str,
        row: &mut dyn FnMut(&[u8], &[u8]),
    ) -> Result<Opened, Error> {
        let recovered = recovery::recover(&self.path, &self.plug, medium, what);
        let Recovered { written, rows, damage } = recovered.map_err(|trouble| failed(&self.path, trouble))?;
        let opened = self.opened(written, Some(damage))?;
        rows.iter().for_each(|(key, value)| row(key, value));
        Ok(opened)
    }

    /// A new store in place of what cannot be one.
    fn replace(self, what: String) -> Result<Opened, Error> {
        let replaced = recovery::replace(&self.path, &self.plug, &[], what);
        let (written, damage) = replaced.map_err(|trouble| failed(&self.path, trouble))?;
        self.opened(written, Some(damage))
    }

    /// A store whose file was just put there.
    fn opened(self, written: Written, damage: Option<Damage>) -> Result<Opened, Error> {
        files::sync_directory(&self.path).map_err(|error| failed(&self.path, error))?;
        Ok(Opened { store: Box::new(Store::new(self.path, self.lock, self.plug, written)), damage })
    }
}

/// Hands over the rows in the order of their keys: they stay where they were read, and only what points to them is
/// sorted.
fn hand_over(log: &Log, pieces: &[Piece], row: &mut dyn FnMut(&[u8], &[u8])) {
    // What is broken in them was found when the log was read.
    let rows = pieces.iter().flat_map(|(number, piece)| log.rows_of(*number, piece));
    let mut rows: Vec<_> = rows.filter_map(Result::ok).collect();
    rows.sort_by_key(|(key, _)| *key);
    rows.into_iter().for_each(|(key, value)| row(key, value));
}
