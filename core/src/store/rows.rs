//! The log in redb's terms: a table of pieces by their numbers, and one that says what the file is.
//!
//! redb has a checksum in every pointer to a page and verifies them all when a file is opened, so a flipped bit never
//! goes unseen. But it condemns a page, and the tree with it; see [`super::piece`] for what is read then.
//!
//! Why a log in a database of tables: a row of its own costs redb a way through the tree, a page that is copied, and
//! another when the row goes. A piece is one row of redb with hundreds of ours, and goes as one.

use redb::{ReadableDatabase, ReadableTable, TableDefinition, WriteTransaction};

use super::log::{Batch, Log};
use super::piece::Broken;
use super::{Change, ROW_FORMAT};

/// How pieces and tables lie in the database.
pub(super) const STORE_FORMAT: u32 = 2;

pub(super) const LOG: TableDefinition<u64, &[u8]> = TableDefinition::new("log");
pub(super) const META: TableDefinition<&str, u32> = TableDefinition::new("meta");
/// Rows of [`META`].
pub(super) const STORE_FORMAT_KEY: &str = "store format";
pub(super) const ROW_FORMAT_KEY: &str = "row format";
/// Which run of the system wrote last, as [`boot`] numbers it.
const BOOT_KEY: &str = "boot";

/// Pieces are read in portions of about this many bytes, where nobody needs all of them at a time.
const PORTION: usize = 1 << 18;

/// A piece that was read: its number and its bytes.
pub(super) type Piece = (u64, Vec<u8>);

impl From<Broken> for redb::Error {
    fn from(_: Broken) -> Self {
        redb::Error::Corrupted("a row is not as it was written".into())
    }
}

/// Plans the changes, and puts what they need into a transaction. False: they need nothing.
pub(super) fn apply(txn: &WriteTransaction, log: &mut Log, changes: &[Change]) -> Result<bool, redb::Error> {
    let mut table = txn.open_table(LOG)?;
    let batch = log.commit(changes, |number| match table.get(number)? {
        Some(piece) => Ok(piece.value().to_vec()),
        None => Err(redb::Error::from(Broken)),
    })?;
    write(&mut table, &batch)?;
    Ok(!batch.is_empty())
}

fn write(table: &mut redb::Table<'_, u64, &'static [u8]>, batch: &Batch) -> Result<(), redb::Error> {
    for number in batch.gone.clone() {
        table.remove(number)?;
    }
    for (number, piece) in &batch.new {
        table.insert(*number, &piece[..])?;
    }
    Ok(())
}

/// Begins a database: it says what it is.
pub(super) fn inscribe(txn: &WriteTransaction) -> Result<(), redb::Error> {
    let mut table = txn.open_table(META)?;
    table.insert(STORE_FORMAT_KEY, STORE_FORMAT)?;
    table.insert(ROW_FORMAT_KEY, ROW_FORMAT)?;
    table.insert(BOOT_KEY, boot())?;
    txn.open_table(LOG)?;
    Ok(())
}

/// Adds these pieces.
pub(super) fn fill(txn: &WriteTransaction, batch: &Batch) -> Result<(), redb::Error> {
    write(&mut txn.open_table(LOG)?, batch)
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

/// The pieces from number `from` on, as many as make a portion; none if there are no more.
pub(super) fn portion(db: &impl ReadableDatabase, from: u64) -> Result<Vec<Piece>, redb::Error> {
    let table = db.begin_read()?.open_table(LOG)?;
    let mut pieces = Vec::new();
    let mut size = 0;
    for entry in table.range(from..)? {
        let (number, piece) = entry?;
        pieces.push((number.value(), piece.value().to_vec()));
        size += piece.value().len();
        if size >= PORTION {
            break;
        }
    }
    Ok(pieces)
}
