//! One owner of a store: a record lock on a file beside it, and a list of what this process has open.
//!
//! The kernel keeps three kinds of file locks. `flock` and open-file-description locks belong to the open file, which a
//! forked child shares: a worker that outlives a killed parent would keep the store locked, and one that unlocks would
//! unlock it for the parent. A POSIX record lock belongs to the process, and a child has none. Its weaknesses are that
//! it says nothing within one process, hence the list, and that closing any descriptor of the file gives it up, hence
//! a file of its own that nobody else has a reason to open.

use std::collections::HashMap;
use std::fs::{File, OpenOptions};
use std::io;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::process;
use std::thread;
use std::time::{Duration, Instant};

use nix::fcntl::{fcntl, FcntlArg};
use nix::libc;
use parking_lot::{Condvar, Mutex};

use super::files::{is_at, sibling};
use super::{failed, Error, ErrorCode};
use crate::runtime::{generation, PerGeneration};

/// Between two looks at a lock of another process, which cannot wake us.
const LOOK_AGAIN: Duration = Duration::from_millis(10);

/// The ending of the lock's file.
const LOCK: &str = ".lock";

static REGISTRY: PerGeneration<Registry> = PerGeneration::new();

/// The stores that this process has open, and who opened them: a child that forked without telling us finds its
/// parent's entries here.
#[derive(Default)]
struct Registry {
    held: Mutex<HashMap<PathBuf, u32>>,
    released: Condvar,
}

/// This process, and nobody else, uses the store.
#[derive(Debug)]
pub(super) struct Lock {
    /// Open as long as the lock is needed: closing it is giving it up. Closed before the claim ends (fields go in this
    /// order): whoever waits for the claim takes the lock next, and this process has only one, which any descriptor
    /// gives up.
    file: File,
    claim: Claim,
}

impl Lock {
    /// The lock of the store at `path`. A client that is closing may be about to let go, so this waits until `deadline`.
    pub(super) fn acquire(path: &Path, deadline: Instant) -> Result<Lock, Error> {
        let claim = Claim::enter(path, deadline)?;
        loop {
            let holder = match take(path).map_err(|error| failed(path, error))? {
                Ok(file) => return Ok(Lock { file, claim }),
                Err(holder) => holder,
            };
            if Instant::now() >= deadline {
                return Err(Error::new(ErrorCode::StoreLocked, format!("{holder} uses {}", path.display())));
            }
            thread::sleep(LOOK_AGAIN);
        }
    }

    /// Locks the file that has this name now, if somebody removed the one that was locked.
    pub(super) fn renew(&mut self) -> io::Result<()> {
        if !is_at(&self.file, &sibling(&self.claim.path, LOCK)) {
            self.file =
                take(&self.claim.path)?.map_err(|holder| io::Error::other(format!("{holder} uses it")))?;
        }
        Ok(())
    }

    /// This is a forked child's copy: the store belongs to the parent.
    pub(super) fn is_inherited(&self) -> bool {
        self.claim.pid != process::id() || self.claim.generation != generation()
    }
}

/// Takes the lock of the store at this path, or says who has it.
fn take(path: &Path) -> io::Result<Result<File, String>> {
    let name = sibling(path, LOCK);
    let file = OpenOptions::new()
        .read(true)
        .write(true)
        .create(true)
        .truncate(false)
        .mode(0o600)
        .custom_flags(libc::O_NOFOLLOW)
        .open(&name)?;
    let mut region = libc::flock {
        l_type: libc::F_WRLCK as libc::c_short,
        l_whence: libc::SEEK_SET as libc::c_short,
        l_start: 0,
        l_len: 0,
        l_pid: 0,
    };
    match fcntl(&file, FcntlArg::F_SETLK(&region)) {
        Ok(_) if is_at(&file, &name) => Ok(Ok(file)),
        // Whoever removed the name between the two calls left us with the lock of a file that nobody else finds.
        Ok(_) => Ok(Err("another process".into())),
        Err(nix::Error::EAGAIN | nix::Error::EACCES) => {
            fcntl(&file, FcntlArg::F_GETLK(&mut region))?;
            Ok(Err(format!("process {}", region.l_pid)))
        }
        Err(error) => Err(error.into()),
    }
}

/// An entry in the registry.
#[derive(Debug)]
struct Claim {
    path: PathBuf,
    pid: u32,
    generation: usize,
}

impl Claim {
    fn enter(path: &Path, deadline: Instant) -> Result<Claim, Error> {
        let busy =
            || Error::new(ErrorCode::StoreLocked, format!("this process already uses {}", path.display()));
        let registry = REGISTRY.get_or_try_init(|| Ok(Registry::default()))?;
        // A child of a fork that we were not told of may wait for a thread that it does not have.
        let mut held = registry.held.try_lock_until(deadline).ok_or_else(busy)?;
        let pid = process::id();
        while held.get(path) == Some(&pid) {
            if registry.released.wait_until(&mut held, deadline).timed_out() {
                return Err(busy());
            }
        }
        held.insert(path.to_owned(), pid);
        Ok(Claim { path: path.to_owned(), pid, generation: generation() })
    }
}

impl Drop for Claim {
    fn drop(&mut self) {
        if self.pid != process::id() || self.generation != generation() {
            return;
        }
        if let Ok(registry) = REGISTRY.get_or_try_init(|| Ok(Registry::default())) {
            let mut held = registry.held.lock();
            held.remove(&self.path);
            held.shrink_to_fit(); // leave nothing behind for a leak checker
            drop(held);
            registry.released.notify_all();
        }
    }
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use std::fs;

    use super::*;

    #[test]
    fn the_file_is_closed_before_another_thread_can_have_the_store() {
        let path = std::env::temp_dir().join(format!("remqtt-lock-{}", process::id()));
        let name = sibling(&path, LOCK);
        let deadline = Instant::now() + Duration::from_secs(10);
        let lock = Lock::acquire(&path, deadline).unwrap();
        let is_open = || {
            let mut descriptors = fs::read_dir("/proc/self/fd").unwrap().flatten();
            descriptors.any(|descriptor| fs::read_link(descriptor.path()).is_ok_and(|file| file == name))
        };
        assert!(is_open());
        // While we have the registry, no claim can end.
        let registry = REGISTRY.get_or_try_init(|| Ok(Registry::default())).unwrap();
        let held = registry.held.lock();
        let owner = thread::spawn(|| drop(lock));
        while is_open() {
            assert!(Instant::now() < deadline, "the claim ends first");
            thread::yield_now();
        }
        drop(held);
        owner.join().unwrap();
        fs::remove_file(name).unwrap();
    }
}
