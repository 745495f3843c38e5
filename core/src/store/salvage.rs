//! Reading what is left of a damaged database.
//!
//! redb refuses a tree of which one page is damaged. This walks the pages itself, along the format that redb documents
//! (file format 3), believes nothing, and takes every record whose own checksum is right. It needs only the numbers of
//! child pages, so what a branch page says besides does no harm; a damaged child costs the pieces below it. Only pages
//! that the tree reaches are read: free ones hold pieces that went long ago, with checksums that are right.
//! Nothing here can panic, loop or take more memory than the file has bytes: every offset is checked, every page is
//! visited once.
//!
//! **What may come back.** A record that is lost may have been a row, a newer state of a row, or a tombstone, and then an
//! older record of the same key counts again. Between that and leaving out every row that is older than the damage the
//! choice is clear: the second would lose what a queue holds. But the heads of the pieces say how many records and how
//! many rows there must be, so it is known when it may have happened, and told.

use std::collections::{BTreeMap, HashSet};

use super::disk::Medium;
use super::header::{u16_at, u32_at, u64_at, Header};
use super::piece::{Head, Reader};
use super::rows::{ROW_FORMAT_KEY, STORE_FORMAT_KEY};

const PAGE: u64 = 4096;
/// In a table's definition: its number of rows, whether there is a root, and the root.
const TABLE_LEN: usize = 1;
const TABLE_HAS_ROOT: usize = 9;
const TABLE_ROOT: usize = 10;
const LEAF: u8 = 1;
const BRANCH: u8 = 2;
/// A child in a branch page: its checksum, and in another list its number.
const CHILD_CHECKSUM: usize = 16;
const CHILD_NUMBER: usize = 8;
/// The widths of keys and values in a tree, where they all have the same.
type Widths = (Option<usize>, Option<usize>);

/// What could be read.
#[derive(Debug, Default)]
pub(super) struct Salvage {
    pub(super) rows: BTreeMap<Vec<u8>, Vec<u8>>,
    /// How many rows are lost, at least and at most, where that can be known.
    pub(super) lost: Option<(u64, u64)>,
    /// Rows may have come back, or be in an older state.
    pub(super) stale: bool,
    /// Store format and row format, where they could be read.
    pub(super) formats: Option<(u32, u32)>,
}

/// The pieces that a tree reaches.
#[derive(Debug, Default)]
struct Remains {
    pieces: BTreeMap<u64, Vec<u8>>,
    /// How many there were, where that could be read.
    expected: Option<u64>,
    formats: Option<(u32, u32)>,
}

/// Reads what the newest state of the file says, or the one before it if the newest says nothing.
pub(super) fn salvage(medium: &Medium) -> Salvage {
    let Some(header) = medium.header() else { return Salvage::default() };
    let mut formats = None;
    for (age, tables) in header.roots().enumerate() {
        let remains = Walk::new(medium, &header).database(tables);
        formats = formats.or(remains.formats);
        if remains.expected.is_some() {
            // What the newest commit brought is not in an older state.
            let expected = remains.expected.filter(|_| age == 0);
            return replay(&Remains { expected, formats, ..remains });
        }
    }
    Salvage { formats, stale: true, ..Salvage::default() }
}

fn replay(remains: &Remains) -> Salvage {
    let mut rows = BTreeMap::new();
    let mut whole = 0;
    let newest =
        remains.pieces.iter().rev().find_map(|(number, piece)| Reader::new(*number, piece).head().ok());
    let first = newest.map_or(0, |head| head.first);
    for (number, piece) in remains.pieces.range(first..) {
        for record in Reader::new(*number, piece).filter_map(Result::ok) {
            whole += 1;
            match record.value {
                Some(value) => rows.insert(record.key.to_vec(), value.to_vec()),
                None => rows.remove(record.key),
            };
        }
    }
    let missing = match remains.expected {
        Some(0) => Some((0, 0)),
        _ => census(remains).map(|(records, rows)| (records.saturating_sub(whole), rows)),
    };
    let Some((missing, expected)) = missing else {
        return Salvage { rows, lost: None, stale: true, formats: remains.formats };
    };
    // Each missing record can take one row away, or bring one back.
    let less = expected.saturating_sub(rows.len() as u64);
    let more = (rows.len() as u64).saturating_sub(expected);
    let lost = Some((less, missing.saturating_add(less).saturating_sub(more) / 2));
    Salvage { rows, lost, stale: missing > less, formats: remains.formats }
}

/// How many records the log has and how many rows, if the oldest and the newest piece say so: without either nobody
/// knows what is missing beyond it.
fn census(remains: &Remains) -> Option<(u64, u64)> {
    let head = |(number, piece): (&u64, &Vec<u8>)| Reader::new(*number, piece).head().ok();
    let (last, piece) = remains.pieces.last_key_value()?;
    let newest: Head = head((last, piece))?;
    // Pieces go from the front only: where the oldest is still there, so many pieces end with the newest.
    let oldest = head(remains.pieces.get_key_value(&newest.first)?)?;
    if last.checked_sub(newest.first)?.checked_add(1) != remains.expected {
        return None;
    }
    let records = newest.before.saturating_add(u64::from(newest.records)).checked_sub(oldest.before)?;
    Some((records, newest.rows))
}

struct Walk<'a> {
    medium: &'a Medium,
    file_len: u64,
    region: u64,
    seen: HashSet<u64>,
}

impl<'a> Walk<'a> {
    fn new(medium: &'a Medium, header: &Header) -> Walk<'a> {
        let region = header.region_pages() * PAGE;
        Walk { medium, file_len: medium.len().unwrap_or(0), region, seen: HashSet::new() }
    }

    /// Reads our two tables, given the root of the tree that lists all tables.
    fn database(mut self, tables: u64) -> Remains {
        let mut definitions = BTreeMap::new();
        self.tree(tables, (None, None), &mut |name, definition| {
            definitions.insert(name.to_vec(), definition.to_vec());
        });
        let mut result = Remains::default();
        let (mut store, mut row) = (None, None);
        if let Some(root) = definitions.get(&b"meta"[..]).and_then(|definition| table_root(definition)) {
            self.tree(root, (None, Some(4)), &mut |key, value| match key {
                _ if key == STORE_FORMAT_KEY.as_bytes() => store = u32_at(value, 0),
                _ if key == ROW_FORMAT_KEY.as_bytes() => row = u32_at(value, 0),
                _ => {}
            });
        }
        result.formats = store.zip(row);
        let Some(definition) = definitions.get(&b"log"[..]) else { return result };
        result.expected = u64_at(definition, TABLE_LEN);
        if let Some(root) = table_root(definition) {
            self.tree(root, (Some(8), None), &mut |key, piece| {
                let number = u64_at(key, 0).unwrap_or_default();
                let mut records = Reader::new(number, piece);
                // Whatever else the page is, it is no piece of this number.
                if records.head().is_ok() || records.any(|record| record.is_ok()) {
                    result.pieces.insert(number, piece.to_vec());
                }
            });
        }
        result
    }

    /// Calls `entry` for everything in the leaves below this page.
    fn tree(&mut self, root: u64, widths: Widths, entry: &mut dyn FnMut(&[u8], &[u8])) {
        let mut ahead = vec![root];
        while let Some(number) = ahead.pop() {
            let Some(page) = self.page(number) else { continue };
            match page.first() {
                Some(&LEAF) => leaf(&page, widths, entry),
                Some(&BRANCH) => children(&page, &mut ahead),
                _ => {}
            }
        }
    }

    fn page(&mut self, number: u64) -> Option<Vec<u8>> {
        let order = (number >> 59) as u32;
        let size = PAGE.checked_shl(order).filter(|size| *size <= self.file_len)?;
        let index = number & (0x000F_FFFF_u64.checked_shr(order)?);
        let region = (number >> 20) & 0x000F_FFFF;
        let offset =
            PAGE.checked_add(region.checked_mul(self.region)?)?.checked_add(index.checked_mul(size)?)?;
        if offset.checked_add(size)? > self.file_len || !self.seen.insert(offset) {
            return None;
        }
        let mut page = vec![0; usize::try_from(size).ok()?];
        self.medium.read(offset, &mut page).ok()?;
        Some(page)
    }
}

fn table_root(definition: &[u8]) -> Option<u64> {
    (*definition.get(TABLE_HAS_ROOT)? != 0).then(|| u64_at(definition, TABLE_ROOT))?
}

fn children(page: &[u8], ahead: &mut Vec<u64>) {
    let count = u16_at(page, 2).map_or(0, |keys| keys + 1);
    let numbers = 8 + count * CHILD_CHECKSUM;
    ahead.extend((0..count).map_while(|n| u64_at(page, numbers + n * CHILD_NUMBER)));
}

/// A leaf has the ends of its keys, unless all are of one width, the ends of its values likewise, the keys and the values.
fn leaf(page: &[u8], (key_width, value_width): Widths, entry: &mut dyn FnMut(&[u8], &[u8])) {
    let Some(count) = u16_at(page, 2).filter(|count| *count > 0) else { return };
    let key_ends = Ends { list: 4, width: key_width };
    let value_ends = Ends { list: key_ends.behind(count), width: value_width };
    let keys = value_ends.behind(count);
    let Some(values) = key_ends.end(page, keys, count - 1) else { return };
    for n in 0..count {
        let slice = |ends: &Ends, start: usize| {
            let from = n.checked_sub(1).map_or(Some(start), |before| ends.end(page, start, before));
            page.get(from?..ends.end(page, start, n)?)
        };
        if let (Some(key), Some(value)) = (slice(&key_ends, keys), slice(&value_ends, values)) {
            entry(key, value);
        }
    }
}

/// Where the keys or the values of a leaf end.
struct Ends {
    /// Where the list of ends is, if there is one.
    list: usize,
    width: Option<usize>,
}

impl Ends {
    /// What comes behind the list.
    fn behind(&self, count: usize) -> usize {
        if self.width.is_some() {
            self.list
        } else {
            self.list + 4 * count
        }
    }

    /// The end of entry `n`, where the entries begin at `start`.
    fn end(&self, page: &[u8], start: usize, n: usize) -> Option<usize> {
        match self.width {
            Some(width) => start.checked_add(width * (n + 1)),
            None => u32_at(page, self.list + 4 * n).map(|end| end as usize),
        }
    }
}
