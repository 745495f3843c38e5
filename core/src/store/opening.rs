//! What is found at the path of a store, and what becomes of it.

use std::fs;
use std::path::PathBuf;

use super::base::{Base, Found, Trouble, UNDONE};
use super::disk::{Medium, Plug};
use super::durable::Store;
use super::lock::Lock;
use super::recovery::{self, Recovered};
use super::rows::{self, STORE_FORMAT};
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
        let base = recovery::write(&self.path, &self.plug, &[]);
        let base = base.and_then(|base| Ok(files::settle(&self.path).map(|()| base)?));
        let base = base.map_err(|trouble| failed(&self.path, trouble))?;
        self.opened(base, 0, None)
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
            Err(Trouble::Damage(what)) => return self.recover(&medium, &what, None, row),
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
                return self.recover(&medium, &trouble.to_string(), None, row);
            }
        }
        let mut last = None;
        let weight = match read(&base, &mut last, row) {
            Ok(weight) => weight,
            Err(what) => {
                base.abandon();
                return self.recover(&medium, &what, last, row);
            }
        };
        let rebooted = base.is_of_another_boot().map_err(|trouble| failed(&self.path, trouble))?;
        // A power cut in the middle of a commit loses nothing: nobody was told of that commit.
        let damage = (undone && (closed || !rebooted)).then(|| Damage { what: UNDONE.into(), aside: None });
        let store = Store::new(self.path, self.lock, self.plug, base, weight);
        let mut store = store.notes_boot(rebooted);
        store.give_back_everything();
        Ok(Opened { store: Box::new(store), damage })
    }

    /// A new store with what can be read of a damaged one. Rows up to `last` were handed over before.
    fn recover(
        self,
        medium: &Medium,
        what: &str,
        last: Option<Vec<u8>>,
        row: &mut dyn FnMut(&[u8], &[u8]),
    ) -> Result<Opened, Error> {
        let recovered = recovery::recover(&self.path, &self.plug, medium, what);
        let Recovered { base, rows, damage } = recovered.map_err(|trouble| failed(&self.path, trouble))?;
        let weight = rows.iter().map(|(key, value)| rows::weight(key, value)).sum();
        let opened = self.opened(base, weight, Some(damage))?;
        for (key, value) in rows.iter().filter(|(key, _)| last.as_ref().is_none_or(|last| key > last)) {
            row(key, value);
        }
        Ok(opened)
    }

    /// A new store in place of what cannot be one.
    fn replace(self, what: String) -> Result<Opened, Error> {
        let replaced = recovery::replace(&self.path, &self.plug, &[], what);
        let (base, damage) = replaced.map_err(|trouble| failed(&self.path, trouble))?;
        self.opened(base, 0, Some(damage))
    }

    /// A store whose file was just put there.
    fn opened(self, base: Base, weight: u64, damage: Option<Damage>) -> Result<Opened, Error> {
        files::sync_directory(&self.path).map_err(|error| failed(&self.path, error))?;
        Ok(Opened { store: Box::new(Store::new(self.path, self.lock, self.plug, base, weight)), damage })
    }
}

/// Hands over the rows, up to the end or to what is not as it was written; `last` is the last that was handed over.
fn read(base: &Base, last: &mut Option<Vec<u8>>, row: &mut dyn FnMut(&[u8], &[u8])) -> Result<u64, String> {
    let mut weight = 0;
    loop {
        let rows = base.portion(last.as_deref()).map_err(|trouble| trouble.to_string())?;
        for (key, value) in &rows {
            weight += rows::weight(key, value);
            row(key, value);
        }
        match rows.into_iter().next_back() {
            Some((key, _)) => *last = Some(key),
            None => return Ok(weight),
        }
    }
}
