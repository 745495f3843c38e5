//! Looking into a store that nobody uses. It is copied first and the copy opened, so that whatever opening does, to a
//! damaged file above all, is not done to the original.

use std::fs::{self, DirBuilder};
use std::io::{self, ErrorKind};
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};
use std::process;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Instant;

use remqtt_proto::{Record, Recovery};

use super::lock::Lock;
use super::{failed, files, open, Error};

/// What is in a store.
#[derive(Debug)]
pub struct Inspection {
    /// Bytes of the file.
    pub size: u64,
    /// What is wrong with it and what is lost, in words. The records are what would be recovered.
    pub damage: Option<String>,
    /// Everything that it holds.
    pub records: Vec<Record>,
}

/// Reads the store in this file and verifies every page and every row of it. Changes nothing in it; the file of its
/// lock may appear beside it. Errors: `StoreLocked` while a client uses it, `StoreFailed` where there is no such file or
/// the system refuses it.
pub fn inspect(path: &Path) -> Result<Inspection, Error> {
    if !path.is_file() {
        return Err(failed(path, "there is no such file"));
    }
    let path = files::place(path).map_err(|error| failed(path, error))?;
    let lock = Lock::acquire(&path, Instant::now())?;
    let scratch = Scratch::new().map_err(|error| failed(&path, error))?;
    let copy = scratch.0.join("session");
    let size = fs::copy(&path, &copy).map_err(|error| failed(&path, error))?;
    drop(lock);
    let mut recovery = Recovery::default();
    let opened = open(&copy, &mut |key, value| recovery.row(key, value))?;
    recovery.complete();
    // What was set aside is the copy, which goes away.
    let words = opened.damage.map(|damage| format!("{}: {}", path.display(), damage.what));
    let damage: Vec<String> = words.into_iter().chain(recovery.damage()).collect();
    let damage = (!damage.is_empty()).then(|| damage.join("; "));
    Ok(Inspection { size, damage, records: recovery.records() })
}

/// A directory that goes away.
struct Scratch(PathBuf);

impl Scratch {
    fn new() -> io::Result<Scratch> {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        loop {
            let name = format!("remqtt-inspect-{}-{}", process::id(), NEXT.fetch_add(1, Ordering::Relaxed));
            let path = std::env::temp_dir().join(name);
            match DirBuilder::new().mode(0o700).create(&path) {
                // A process that had our number was killed.
                Err(error) if error.kind() == ErrorKind::AlreadyExists => continue,
                made => return made.map(|()| Scratch(path)),
            }
        }
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_directory_that_a_killed_process_left_is_passed_over() {
        let left: Vec<PathBuf> = (0..100)
            .map(|number| std::env::temp_dir().join(format!("remqtt-inspect-{}-{number}", process::id())))
            .filter(|path| fs::create_dir(path).is_ok())
            .collect();
        let scratch = Scratch::new().unwrap();
        assert!(scratch.0.is_dir() && !left.contains(&scratch.0));
        left.iter().for_each(|path| fs::remove_dir(path).unwrap());
    }
}
