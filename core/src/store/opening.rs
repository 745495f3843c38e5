//! What is found at the path of a store, and what becomes of it.

use std::fs;
use std::path::PathBuf;
use std::sync::Arc;

use super::base::{Base, Found, Trouble};
use super::disk::{Medium, Plug};
use super::durable::{write_anew, Store};
use super::lock::Lock;
use super::rows::{self, Row, STORE_FORMAT};
use super::salvage::{salvage, Salvage};
use super::{failed, files, Error, ErrorCode, Opened, ROW_FORMAT};

/// A store of which the lock is held, and nothing else yet.
pub(super) struct Opening {
    pub(super) path: PathBuf,
    pub(super) lock: Lock,
    pub(super) plug: Plug,
}

impl Opening {
    /// A new store where nothing is.
    pub(super) fn begin(self) -> Result<Opened, Error> {
        self.store(&[], None)
    }

    /// A new store where a directory is. A full one is somebody's, and the path a mistake.
    pub(super) fn instead_of_directory(self) -> Result<Opened, Error> {
        let full = fs::read_dir(&self.path).map(|mut entries| entries.next().is_some());
        match full {
            Ok(false) => {}
            Ok(true) => return Err(failed(&self.path, "it is a directory with files in it")),
            Err(error) => return Err(failed(&self.path, error)),
        }
        let aside = files::set_aside(&self.path).map_err(|error| failed(&self.path, error))?;
        let words = format!("an empty directory was in its place, which is now {}", aside.display());
        self.store(&[], Some(words))
    }

    /// The store in the file that is there.
    pub(super) fn load(self, row: &mut dyn FnMut(&[u8], &[u8])) -> Result<Opened, Error> {
        let file = files::open(&self.path).map_err(|error| failed(&self.path, error))?;
        let medium = Medium::new(file, &self.plug).map_err(|error| failed(&self.path, error))?;
        let Found { base, undone } = match Base::open(medium.clone()) {
            Ok(found) => found,
            Err(Trouble::Disk(error)) => return Err(failed(&self.path, error)),
            Err(Trouble::Damage(what)) => return self.recover(&medium, &what, None, row),
        };
        match base.formats() {
            Ok(Some((STORE_FORMAT, ROW_FORMAT))) => {}
            Ok(found) => {
                base.abandon();
                return self.replace(&[], &unknown(found));
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
        let rebooted = base.note_boot().map_err(|trouble| failed(&self.path, trouble))?;
        // A power cut in the middle of a commit loses nothing: nobody was told of that commit.
        let damage = (undone && !rebooted).then(|| {
            let words = "the newest change is not whole on the disk, and was undone";
            Error::new(ErrorCode::StoreDamaged, format!("{}: {words}", self.path.display()))
        });
        let mut store = Store::new(self.path, self.lock, self.plug, base, weight);
        store.give_back_everything();
        Ok(Opened { store: Box::new(store), damage })
    }

    /// A new store with what can be read of a damaged one. Rows up to `last` were handed over before.
    fn recover(
        self,
        medium: &Arc<Medium>,
        what: &str,
        last: Option<Vec<u8>>,
        row: &mut dyn FnMut(&[u8], &[u8]),
    ) -> Result<Opened, Error> {
        let Salvage { rows, expected, formats } = salvage(medium);
        if formats.is_some_and(|found| found != (STORE_FORMAT, ROW_FORMAT)) {
            return self.replace(&[], &unknown(formats));
        }
        let rows: Vec<Row> = rows.into_iter().collect();
        let lost = match expected.map(|expected| expected.saturating_sub(rows.len() as u64)) {
            Some(lost) => format!("{lost} lost"),
            None => "an unknown number lost".into(),
        };
        let opened = self.replace(&rows, &format!("{what}; {} rows recovered, {lost}", rows.len()))?;
        for (key, value) in rows.iter().filter(|(key, _)| last.as_ref().is_none_or(|last| key > last)) {
            row(key, value);
        }
        Ok(opened)
    }

    /// A new store with these rows; what is there is set aside.
    fn replace(self, rows: &[Row], what: &str) -> Result<Opened, Error> {
        let path = self.path.clone();
        let base = self.write(rows)?;
        let aside = files::set_aside(&path).map_err(|error| failed(&path, error))?;
        self.finish(base, rows, Some(format!("{what}; the file as it was is {}", aside.display())))
    }

    fn store(self, rows: &[Row], damage: Option<String>) -> Result<Opened, Error> {
        let base = self.write(rows)?;
        self.finish(base, rows, damage)
    }

    fn write(&self, rows: &[Row]) -> Result<Base, Error> {
        let mut rest = rows;
        let more = |_: &mut Option<Vec<u8>>| {
            let (some, others) = rest.split_at(rest.len().min(1024));
            rest = others;
            Ok(some.to_vec())
        };
        write_anew(&self.path, &self.plug, more).map_err(|trouble| failed(&self.path, trouble))
    }

    fn finish(self, base: Base, rows: &[Row], damage: Option<String>) -> Result<Opened, Error> {
        let result = files::settle(&self.path).and_then(|()| files::sync_directory(&self.path));
        result.map_err(|error| failed(&self.path, error))?;
        let damage = damage
            .map(|words| Error::new(ErrorCode::StoreDamaged, format!("{}: {words}", self.path.display())));
        let weight = rows.iter().map(|(key, value)| rows::weight(key, value)).sum();
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

/// Says what a database is that is not ours.
fn unknown(formats: Option<(u32, u32)>) -> String {
    match formats {
        Some((store, rows)) => format!(
            "it has store format {store} and row format {rows}, and this version reads {STORE_FORMAT} and {ROW_FORMAT}"
        ),
        None => "it is a database of another program".into(),
    }
}
