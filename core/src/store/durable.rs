//! The store that is open: commits, and going on after trouble.
//!
//! After an error the database is given up at once, and the next commit opens it anew, as after a crash: see
//! [`super::disk`] for why the file then says what it said after the last commit that succeeded. Whoever gave the
//! changes still has them and gives them again.
//!
//! **Space.** redb shortens its file only when the second half of it is free at the moment of a commit, and a queue
//! that was drained stays as long as it ever was. A file that is mostly free is written anew, which takes as long as
//! its rows need and not as long as the file is. redb's own compaction takes about the same time; but writing anew is
//! needed in any case, for a file that lost its name.

use std::io;
use std::path::PathBuf;
use std::sync::Arc;

use super::base::{Base, Found, Trouble, UNDONE};
use super::disk::{Medium, Plug};
use super::lock::Lock;
use super::log::Log;
use super::piece::Broken;
use super::recovery::Written;
use super::{damaged, failed, files, recovery, Change, Error, ErrorCode, SessionStore};

/// Files up to this size are left alone.
const SMALL: u64 = 4 << 20;
/// A file is mostly free when it is this many times what its rows need: the log is up to twice that, and its pages are
/// filled by two thirds, typically.
const LOOSE: u64 = 4;
/// So much is written anew in about the time of five commits.
const QUICK: u64 = 256 << 10;
/// Commits after one that gave space back, or could not, before another may.
const REST: u32 = 1024;

pub(super) struct Store {
    path: PathBuf,
    lock: Lock,
    plug: Plug,
    /// None after trouble, until the next commit.
    base: Option<Base>,
    medium: Arc<Medium>,
    /// Of the database; true as long as that is there.
    log: Log,
    /// The name in the directory may not be durable.
    unsettled: bool,
    /// The file was last written in another run of the system. The next commit notes this one: opening must not fail
    /// because the disk is full.
    of_another_boot: bool,
    rest: u32,
}

impl Store {
    pub(super) fn new(path: PathBuf, lock: Lock, plug: Plug, (base, log): Written) -> Store {
        let medium = base.medium().clone();
        let (unsettled, of_another_boot) = (false, false);
        Store { path, lock, plug, base: Some(base), log, medium, unsettled, of_another_boot, rest: 0 }
    }

    /// Notes this run of the system with the next commit, if it is another one.
    pub(super) fn notes_boot(mut self, of_another: bool) -> Store {
        self.of_another_boot = of_another;
        self
    }

    /// Gives back free space, however long it takes.
    pub(super) fn give_back_everything(&mut self) {
        if self.is_loose() {
            // Space that cannot be given back now is no reason not to open the store.
            let _ = self.move_to_new_file();
        }
    }

    fn give_back(&mut self) {
        self.rest = self.rest.saturating_sub(1);
        if self.rest == 0 && self.log.weight() <= QUICK && self.is_loose() {
            let _ = self.move_to_new_file();
            self.rest = REST;
        }
    }

    fn is_loose(&self) -> bool {
        let size = self.size();
        size > SMALL && size / LOOSE > self.log.weight()
    }

    fn try_commit(&mut self, changes: &[Change]) -> Result<(), Trouble> {
        if self.unsettled {
            files::sync_directory(&self.path)?;
            self.unsettled = false;
        }
        let note_boot = self.of_another_boot;
        self.reopen()?;
        let Some(base) = &self.base else { return Err(Trouble::Damage("no database".into())) };
        if let Err(trouble) = base.commit(&mut self.log, changes, note_boot) {
            self.give_up();
            return Err(trouble);
        }
        self.of_another_boot = false;
        // A file without a name is gone with us.
        if !self.medium.is_at(&self.path) {
            self.move_to_new_place()?;
        }
        self.give_back();
        Ok(())
    }

    /// Opens the database anew after trouble, and reads its log.
    fn reopen(&mut self) -> Result<(), Trouble> {
        if self.base.is_some() {
            return Ok(());
        }
        self.medium.restore()?;
        let opened =
            Base::open(self.medium.clone()).and_then(|Found { base, undone, .. }| match base.read(|_| ()) {
                Ok(log) => Ok((base, log, undone)),
                Err(trouble) => {
                    base.abandon();
                    Err(trouble)
                }
            });
        match opened {
            Ok((base, log, undone)) => {
                (self.base, self.log) = (Some(base), log);
                match undone {
                    true => Err(Trouble::Loss(UNDONE.into())),
                    false => Ok(()),
                }
            }
            Err(Trouble::Damage(what)) => Err(self.recover(&what)?),
            Err(trouble) => Err(trouble),
        }
    }

    /// Goes on with what can be read, and says what that is.
    fn recover(&mut self, what: &str) -> Result<Trouble, Trouble> {
        let recovered = recovery::recover(&self.path, &self.plug, &self.medium, what)?;
        self.take_over(recovered.written);
        self.unsettled = true;
        Ok(Trouble::Loss(recovered.damage.to_string()))
    }

    fn take_over(&mut self, (base, log): Written) {
        self.medium = base.medium().clone();
        (self.base, self.log) = (Some(base), log);
    }

    fn give_up(&mut self) {
        if let Some(base) = self.base.take() {
            base.abandon();
        }
        // At the next commit for sure; now, so that a process that ends here leaves a file that is as it was.
        let _ = self.medium.restore();
    }

    /// Somebody removed the file or its directory, or put something else there.
    fn move_to_new_place(&mut self) -> Result<(), Trouble> {
        files::make_parent(&self.path)?;
        self.lock.renew()?;
        if self.path.symlink_metadata().is_ok() {
            return Err(io::Error::other("another file was put in its place").into());
        }
        self.move_to_new_file()
    }

    /// Writes the rows into a new file, which takes the place of this one.
    fn move_to_new_file(&mut self) -> Result<(), Trouble> {
        let Some(from) = &self.base else { return Ok(()) };
        let mut next = 0;
        let written = recovery::write_from(&self.path, &self.plug, || {
            let pieces = from.portion(next)?;
            let Some((last, _)) = pieces.last() else { return Ok(None) };
            next = last + 1;
            let rows = pieces.iter().flat_map(|(number, piece)| self.log.rows_of(*number, piece));
            let rows = rows.map(|row| row.map(|(key, value)| (key.to_vec(), value.to_vec())));
            Ok(Some(rows.collect::<Result<_, Broken>>()?))
        });
        if matches!(written, Err(Trouble::Damage(_))) {
            self.give_up(); // the next commit finds out what is lost, and says so
        }
        let written = written?;
        files::settle(&self.path)?;
        if let Some(old) = self.base.take() {
            old.abandon();
        }
        self.take_over(written);
        self.of_another_boot = false;
        self.unsettled = true;
        files::sync_directory(&self.path)?;
        self.unsettled = false;
        Ok(())
    }
}

impl SessionStore for Store {
    fn commit(&mut self, changes: &[Change]) -> Result<(), Error> {
        if self.lock.is_inherited() {
            return Err(Error::new(ErrorCode::Forked, "the store belongs to the parent process"));
        }
        if changes.is_empty() {
            return Ok(());
        }
        self.try_commit(changes).map_err(|trouble| match trouble {
            Trouble::Loss(words) => damaged(&self.path, words),
            trouble => failed(&self.path, trouble),
        })
    }

    fn size(&self) -> u64 {
        self.medium.len().unwrap_or(0)
    }
}

impl Drop for Store {
    fn drop(&mut self) {
        if let Some(base) = self.base.take() {
            match self.lock.is_inherited() {
                true => base.forget(),
                false => drop(base),
            }
        }
    }
}
