//! Reading what is left of a damaged database.
//!
//! redb refuses a tree of which one page is damaged. This walks the pages itself, along the format that redb documents
//! (file format 3), believes nothing, and takes every row whose own checksum is right. It needs only the numbers of
//! child pages, so what a branch page says besides does no harm; a damaged child costs the rows below it. Only pages
//! that the tree reaches are read: free ones hold rows that were removed long ago, with checksums that are right.
//! Nothing here can panic, loop or take more memory than the file has bytes: every offset is checked, every page is
//! visited once.

use std::collections::{BTreeMap, HashSet};

use super::disk::Medium;
use super::header::{u16_at, u32_at, u64_at, Header};
use super::rows::{self, ROW_FORMAT_KEY, STORE_FORMAT_KEY};

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
/// No row of ours is smaller: its place in the page's lists and its checksum.
const SMALLEST_ROW: u64 = 12;

/// What could be read.
#[derive(Debug, Default)]
pub(super) struct Salvage {
    pub(super) rows: BTreeMap<Vec<u8>, Vec<u8>>,
    /// How many rows there were, where that could be read.
    pub(super) expected: Option<u64>,
    /// Store format and row format, where they could be read.
    pub(super) formats: Option<(u32, u32)>,
}

/// Reads what the newest state of the file says, or the one before it if the newest says nothing.
pub(super) fn salvage(medium: &Medium) -> Salvage {
    let Some(header) = medium.header() else { return Salvage::default() };
    let mut result = Salvage::default();
    for tables in header.roots() {
        result = Walk::new(medium, &header).database(tables);
        if result.expected.is_some() {
            break;
        }
    }
    result
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
    fn database(mut self, tables: u64) -> Salvage {
        let mut definitions = BTreeMap::new();
        self.tree(tables, None, &mut |name, definition| {
            definitions.insert(name.to_vec(), definition.to_vec());
        });
        let mut result = Salvage::default();
        let (mut store, mut row) = (None, None);
        if let Some(root) = definitions.get(&b"meta"[..]).and_then(|definition| table_root(definition)) {
            self.tree(root, Some(4), &mut |key, value| match key {
                _ if key == STORE_FORMAT_KEY.as_bytes() => store = u32_at(value, 0),
                _ if key == ROW_FORMAT_KEY.as_bytes() => row = u32_at(value, 0),
                _ => {}
            });
        }
        result.formats = store.zip(row);
        let Some(definition) = definitions.get(&b"rows"[..]) else { return result };
        result.expected =
            u64_at(definition, TABLE_LEN).filter(|count| *count <= self.file_len / SMALLEST_ROW);
        if let Some(root) = table_root(definition) {
            self.tree(root, None, &mut |key, sealed| {
                if let Some(value) = rows::unseal(key, sealed) {
                    result.rows.insert(key.to_vec(), value.to_vec());
                }
            });
        }
        result
    }

    /// Calls `entry` for everything in the leaves below this page. `width`: of values that are all of one.
    fn tree(&mut self, root: u64, width: Option<usize>, entry: &mut dyn FnMut(&[u8], &[u8])) {
        let mut ahead = vec![root];
        while let Some(number) = ahead.pop() {
            let Some(page) = self.page(number) else { continue };
            match page.first() {
                Some(&LEAF) => leaf(&page, width, entry),
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

fn leaf(page: &[u8], width: Option<usize>, entry: &mut dyn FnMut(&[u8], &[u8])) {
    let Some(count) = u16_at(page, 2) else { return };
    let (key_ends, value_ends) = (4, 4 + 4 * count);
    let keys = if width.is_some() { value_ends } else { value_ends + 4 * count };
    let end = |ends: usize, n: usize| u32_at(page, ends + 4 * n).map(|end| end as usize);
    let Some(values) = count.checked_sub(1).and_then(|last| end(key_ends, last)) else { return };
    for n in 0..count {
        let key_start = if n == 0 { Some(keys) } else { end(key_ends, n - 1) };
        let (value_start, value_end) = match width {
            Some(width) => (values.checked_add(width * n), values.checked_add(width * (n + 1))),
            None => (if n == 0 { Some(values) } else { end(value_ends, n - 1) }, end(value_ends, n)),
        };
        let slice = |start: Option<usize>, end: Option<usize>| page.get(start?..end?);
        if let (Some(key), Some(value)) = (slice(key_start, end(key_ends, n)), slice(value_start, value_end))
        {
            entry(key, value);
        }
    }
}
