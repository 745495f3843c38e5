//! The files of a store: the store itself at its path, and beside it `.lock`, `.new` while it is being written anew,
//! and `.damaged-1`, `.damaged-2` and so on for what was found in its place. Only `.new` is ever deleted.

use std::ffi::OsString;
use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io;
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use nix::libc;

/// The file beside the store with this ending.
pub(super) fn sibling(path: &Path, ending: &str) -> PathBuf {
    let mut name = OsString::from(path);
    name.push(ending);
    name.into()
}

/// The one name of this path, so that two clients that spell it differently find each other. Makes its directory.
pub(super) fn place(path: &Path) -> io::Result<PathBuf> {
    if let Ok(path) = path.canonicalize() {
        return Ok(path);
    }
    let name =
        path.file_name().ok_or_else(|| io::Error::new(io::ErrorKind::InvalidInput, "not a file's name"))?;
    make_parent(path)?;
    Ok(directory(path).canonicalize()?.join(name))
}

fn directory(path: &Path) -> &Path {
    path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."))
}

/// Makes the directory of this path, and those above it, where there is none; each is for its owner only, and durable.
pub(super) fn make_parent(path: &Path) -> io::Result<()> {
    make_directory(directory(path))
}

fn make_directory(path: &Path) -> io::Result<()> {
    if path.is_dir() {
        return Ok(());
    }
    let above = directory(path);
    make_directory(above)?;
    match DirBuilder::new().mode(0o700).create(path) {
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists && path.is_dir() => Ok(()),
        Err(error) => Err(error),
        Ok(()) => File::open(above)?.sync_all(),
    }
}

pub(super) fn open(path: &Path) -> io::Result<File> {
    OpenOptions::new().read(true).write(true).custom_flags(libc::O_NOFOLLOW).open(path)
}

/// An empty file in which a store can be written anew, and its name for [`settle`].
pub(super) fn create_new(path: &Path) -> io::Result<File> {
    let new = sibling(path, ".new");
    match fs::remove_file(&new) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => OpenOptions::new().read(true).write(true).create_new(true).mode(0o600).open(&new),
    }
}

/// Puts the file of [`create_new`] at the path. The directory is to be synced after it.
pub(super) fn settle(path: &Path) -> io::Result<()> {
    fs::rename(sibling(path, ".new"), path)
}

/// Makes the names in the directory of this path durable.
pub(super) fn sync_directory(path: &Path) -> io::Result<()> {
    File::open(directory(path))?.sync_all()
}

/// Gives what is at the path a second name. Where files can have two names the path keeps the old file until the new
/// one replaces it, so that a crash in between leaves either.
pub(super) fn set_aside(path: &Path) -> io::Result<PathBuf> {
    for number in 1..=u32::MAX {
        let aside = sibling(path, &format!(".damaged-{number}"));
        if fs::symlink_metadata(&aside).is_ok() {
            continue;
        }
        match fs::hard_link(path, &aside) {
            Ok(()) => return Ok(aside),
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => continue,
            Err(_) => {}
        }
        return fs::rename(path, &aside).map(|()| aside);
    }
    Err(io::Error::new(io::ErrorKind::AlreadyExists, "too many damaged files beside it"))
}

/// Whether this path still leads to this file.
pub(super) fn is_at(file: &File, path: &Path) -> bool {
    match (file.metadata(), fs::symlink_metadata(path)) {
        (Ok(one), Ok(other)) => (one.dev(), one.ino()) == (other.dev(), other.ino()),
        _ => false,
    }
}
