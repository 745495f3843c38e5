//! The file below the database, and what to do after an error of the disk.
//!
//! After a failed `fsync` nobody knows what is on the disk, and the page cache shows what may not be there: the system
//! drops the pages that it could not write and reports that once. So a [`Medium`] remembers the header as it was at
//! the last successful sync. It names only pages that were synced before it, and redb writes no page in place that a
//! synced header reaches. Writing that header back, with a successful sync, undoes everything that came after it,
//! wherever it got lost; then the database is opened anew and the batch is committed to pages that are written anew.
//!
//! The header is also held back until the sync: redb writes what it has in the order of the file, and the header comes
//! first. A process that is killed in between would leave a header without its pages. This way only a power cut can,
//! which makes such a file in any other case the sign of a damaged disk.

use std::fmt;
use std::fs::{self, File};
use std::io;
use std::os::unix::fs::{FileExt, MetadataExt};
use std::path::Path;
use std::sync::Arc;

use parking_lot::Mutex;
use redb::StorageBackend;

use super::header::{Header, HEADER};

const HEADER_END: u64 = HEADER as u64;

/// What a store needs of a file; tests put faults in its place.
pub(crate) trait Disk: fmt::Debug + Send + Sync {
    fn len(&self) -> io::Result<u64>;
    fn read(&self, offset: u64, out: &mut [u8]) -> io::Result<()>;
    fn write(&self, offset: u64, data: &[u8]) -> io::Result<()>;
    fn set_len(&self, len: u64) -> io::Result<()>;
    fn sync(&self) -> io::Result<()>;
}

impl Disk for File {
    fn len(&self) -> io::Result<u64> {
        Ok(self.metadata()?.len())
    }

    fn read(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        self.read_exact_at(out, offset)
    }

    fn write(&self, offset: u64, data: &[u8]) -> io::Result<()> {
        self.write_all_at(data, offset)
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        File::set_len(self, len)
    }

    fn sync(&self) -> io::Result<()> {
        self.sync_data()
    }
}

/// How a store gets at an opened file.
pub(crate) type Plug = Arc<dyn Fn(File) -> Box<dyn Disk> + Send + Sync>;

/// One file, for as long as the store lives in it.
#[derive(Debug)]
pub(super) struct Medium {
    disk: Box<dyn Disk>,
    /// Device and number of the file.
    identity: (u64, u64),
    header: Mutex<Kept>,
}

/// The header as the database wrote it.
#[derive(Debug, Default)]
struct Kept {
    written: Option<[u8; HEADER]>,
    /// `written` is not in the file yet.
    held: bool,
    synced: Option<[u8; HEADER]>,
}

impl Medium {
    pub(super) fn new(file: File, plug: &Plug) -> io::Result<Arc<Medium>> {
        let metadata = file.metadata()?;
        let disk = plug(file);
        let mut header = [0; HEADER];
        let found = disk.read(0, &mut header).is_ok().then_some(header);
        Ok(Arc::new(Medium {
            disk,
            identity: (metadata.dev(), metadata.ino()),
            header: Mutex::new(Kept { written: found, held: false, synced: found }),
        }))
    }

    /// Undoes what was not synced. Must come before anything else after an error.
    pub(super) fn restore(&self) -> io::Result<()> {
        let mut header = self.header.lock();
        header.written = header.synced;
        header.held = header.synced.is_some();
        self.settle(&mut header)
    }

    /// Whether this path leads to the file. It does not when somebody removed or replaced it.
    pub(super) fn is_at(&self, path: &Path) -> bool {
        fs::symlink_metadata(path).is_ok_and(|found| (found.dev(), found.ino()) == self.identity)
    }

    /// The header as it is, or will be with the next sync.
    pub(super) fn header(&self) -> Option<Header> {
        self.header.lock().written.map(Header)
    }

    pub(super) fn len(&self) -> io::Result<u64> {
        self.disk.len()
    }

    pub(super) fn read(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        self.disk.read(offset, out)?;
        let header = self.header.lock();
        if let (Some(written), true, 0..HEADER_END) = (&header.written, header.held, offset) {
            let from = offset as usize;
            let to = HEADER.min(from + out.len());
            out[..to - from].copy_from_slice(&written[from..to]);
        }
        Ok(())
    }

    fn write(&self, offset: u64, data: &[u8]) -> io::Result<()> {
        if offset >= HEADER_END {
            return self.disk.write(offset, data);
        }
        let from = offset as usize;
        let to = HEADER.min(from + data.len());
        let (head, rest) = data.split_at(to - from);
        let mut header = self.header.lock();
        header.written.get_or_insert([0; HEADER])[from..to].copy_from_slice(head);
        header.held = true;
        match rest {
            [] => Ok(()),
            rest => self.disk.write(HEADER_END, rest),
        }
    }

    fn sync(&self) -> io::Result<()> {
        self.settle(&mut self.header.lock())
    }

    fn settle(&self, header: &mut Kept) -> io::Result<()> {
        if let (Some(written), true) = (header.written, header.held) {
            // Of a commit in two phases the first says nothing yet: with both, the pages come before the header.
            if header.synced.is_some() && !Header(written).is_in_order() {
                return self.disk.sync();
            }
            self.disk.write(0, &written)?;
            header.held = false;
        }
        self.disk.sync()?;
        header.synced = header.written;
        Ok(())
    }
}

/// What one opened database may do to a medium: everything, until the first error.
#[derive(Debug, Clone)]
pub(super) struct Lease {
    medium: Arc<Medium>,
    state: Arc<Mutex<State>>,
}

#[derive(Debug, Default)]
struct State {
    severed: bool,
    failure: Option<io::Error>,
}

impl Lease {
    pub(super) fn new(medium: Arc<Medium>) -> Lease {
        Lease { medium, state: Arc::default() }
    }

    pub(super) fn medium(&self) -> &Arc<Medium> {
        &self.medium
    }

    /// From now on the database that holds this cannot change the file, whatever it does on its way out.
    pub(super) fn sever(&self) {
        self.state.lock().severed = true;
    }

    /// The error that severed it, in the words of the system. Errors of reading are none: they are damage.
    pub(super) fn take_failure(&self) -> Option<io::Error> {
        self.state.lock().failure.take()
    }

    fn change(&self, action: impl FnOnce(&Medium) -> io::Result<()>) -> io::Result<()> {
        if self.state.lock().severed {
            return Err(io::Error::other("closed after an error"));
        }
        action(&self.medium).inspect_err(|error| {
            let copy = match error.raw_os_error() {
                Some(number) => io::Error::from_raw_os_error(number),
                None => io::Error::new(error.kind(), error.to_string()),
            };
            *self.state.lock() = State { severed: true, failure: Some(copy) };
        })
    }
}

impl StorageBackend for Lease {
    fn len(&self) -> io::Result<u64> {
        self.medium.len()
    }

    fn read(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        self.medium.read(offset, out)
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        self.change(|medium| medium.disk.set_len(len))
    }

    fn sync_data(&self) -> io::Result<()> {
        self.change(Medium::sync)
    }

    fn write(&self, offset: u64, data: &[u8]) -> io::Result<()> {
        self.change(|medium| medium.write(offset, data))
    }
}
