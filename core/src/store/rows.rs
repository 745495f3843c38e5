//! The rows in redb's terms, and the checksum of each.
//!
//! redb has a checksum in every pointer to a page and verifies them all when a file is opened, so a flipped bit never
//! goes unseen. But it condemns a page with thirty rows, and the tree with it. Our own checksum in each row says which
//! of them are whole, and, because the number of the row format goes into it, that it is a row of this format.

use std::ops::Bound;

use redb::{ReadableDatabase, TableDefinition, WriteTransaction};

use super::{Change, ROW_FORMAT};

/// How rows, checksums and tables lie in the database.
pub(super) const STORE_FORMAT: u32 = 1;

pub(super) const ROWS: TableDefinition<&[u8], &[u8]> = TableDefinition::new("rows");
pub(super) const META: TableDefinition<&str, u32> = TableDefinition::new("meta");
/// Rows of [`META`].
pub(super) const STORE_FORMAT_KEY: &str = "store format";
pub(super) const ROW_FORMAT_KEY: &str = "row format";
/// Which run of the system wrote last, as [`boot`] numbers it.
const BOOT_KEY: &str = "boot";

const CHECKSUM: usize = 4;
/// What redb and we add to a row, roughly: two offsets and the checksum.
const OVERHEAD: usize = 12;
/// Rows are read in portions of about this many bytes, so that no reader needs memory for all of them.
const PORTION: usize = 1 << 18;

/// The space that a row needs.
pub(super) fn weight(key: &[u8], value: &[u8]) -> u64 {
    (key.len() + value.len() + OVERHEAD) as u64
}

fn checksum(key: &[u8], value: &[u8]) -> [u8; CHECKSUM] {
    let mut crc = crc32fast::Hasher::new();
    crc.update(&ROW_FORMAT.to_le_bytes());
    crc.update(&(key.len() as u64).to_le_bytes());
    crc.update(key);
    crc.update(value);
    crc.finalize().to_le_bytes()
}

/// A value as it is stored.
fn seal(key: &[u8], value: &[u8], sealed: &mut Vec<u8>) {
    sealed.clear();
    sealed.extend_from_slice(&checksum(key, value));
    sealed.extend_from_slice(value);
}

/// A value as it was given, if it is what was written under this key.
pub(super) fn unseal<'a>(key: &[u8], sealed: &'a [u8]) -> Option<&'a [u8]> {
    let (found, value) = sealed.split_at_checked(CHECKSUM)?;
    (found == checksum(key, value)).then_some(value)
}

/// How much the rows grew and shrank.
#[derive(Debug, Default, Clone, Copy)]
pub(super) struct Growth {
    pub(super) more: u64,
    pub(super) less: u64,
}

/// Puts the changes into a transaction.
pub(super) fn apply(txn: &WriteTransaction, changes: &[Change]) -> Result<Growth, redb::Error> {
    let mut growth = Growth::default();
    let mut sealed = Vec::new();
    let mut table = txn.open_table(ROWS)?;
    for Change { key, value } in changes {
        let before = match value {
            Some(value) => {
                growth.more += weight(key, value);
                seal(key, value, &mut sealed);
                table.insert(&key[..], &sealed[..])?
            }
            None => table.remove(&key[..])?,
        };
        if let Some(before) = before {
            growth.less += weight(key, before.value().get(CHECKSUM..).unwrap_or_default());
        }
    }
    Ok(growth)
}

/// Begins a database: it says what it is.
pub(super) fn inscribe(txn: &WriteTransaction) -> Result<(), redb::Error> {
    let mut table = txn.open_table(META)?;
    table.insert(STORE_FORMAT_KEY, STORE_FORMAT)?;
    table.insert(ROW_FORMAT_KEY, ROW_FORMAT)?;
    table.insert(BOOT_KEY, boot())?;
    txn.open_table(ROWS)?;
    Ok(())
}

/// Puts these rows in.
pub(super) fn fill(txn: &WriteTransaction, rows: &[Row]) -> Result<(), redb::Error> {
    let mut sealed = Vec::new();
    let mut table = txn.open_table(ROWS)?;
    for (key, value) in rows {
        seal(key, value, &mut sealed);
        table.insert(&key[..], &sealed[..])?;
    }
    Ok(())
}

/// Whose database this is: its store format and its row format.
pub(super) fn formats(db: &impl ReadableDatabase) -> Result<Option<(u32, u32)>, redb::Error> {
    let txn = db.begin_read()?;
    let table = match txn.open_table(META) {
        Ok(table) => table,
        Err(redb::TableError::Storage(error)) => return Err(error.into()),
        Err(_) => return Ok(None),
    };
    let (store, row) = (table.get(STORE_FORMAT_KEY)?, table.get(ROW_FORMAT_KEY)?);
    Ok(store.zip(row).map(|(store, row)| (store.value(), row.value())))
}

/// A number for this run of the operating system; 0 where it has none.
fn boot() -> u32 {
    std::fs::read("/proc/sys/kernel/random/boot_id").map_or(0, |identity| crc32fast::hash(&identity))
}

/// True if the database was last written in another run of the system, or the system has no number for it.
pub(super) fn is_of_another_boot(db: &impl ReadableDatabase) -> Result<bool, redb::Error> {
    let boot = boot();
    let written = db.begin_read()?.open_table(META)?.get(BOOT_KEY)?.map(|written| written.value());
    Ok(written != Some(boot) || boot == 0)
}

/// Notes this run of the system.
pub(super) fn note_boot(txn: &WriteTransaction) -> Result<(), redb::Error> {
    txn.open_table(META)?.insert(BOOT_KEY, boot())?;
    Ok(())
}

/// A row that was read: its key and its value.
pub(super) type Row = (Vec<u8>, Vec<u8>);

/// The rows behind the key `after`, as many as make a portion; none if there are no more.
pub(super) fn portion(db: &impl ReadableDatabase, after: Option<&[u8]>) -> Result<Vec<Row>, redb::Error> {
    let table = db.begin_read()?.open_table(ROWS)?;
    let from = after.map_or(Bound::Unbounded, Bound::Excluded);
    let mut rows = Vec::new();
    let mut size = 0;
    for entry in table.range::<&[u8]>((from, Bound::Unbounded))? {
        let (key, sealed) = entry?;
        let (key, sealed) = (key.value(), sealed.value());
        let damaged = || redb::Error::Corrupted("a row is not as it was written".into());
        let value = unseal(key, sealed).ok_or_else(damaged)?;
        rows.push((key.to_vec(), value.to_vec()));
        size += key.len() + sealed.len();
        if size >= PORTION {
            break;
        }
    }
    Ok(rows)
}
