//! A piece of the log: records, one after the other, below a head that says what the log was after it.
//!
//! ```text
//! head    checksum | oldest piece that counts | rows after the commit | records in earlier pieces | records in this
//! record  checksum | length of the key | length of the value + 1, 0 for a tombstone | key | value
//! ```
//!
//! Every checksum covers the row format and the number of the piece too, so that a page of another format, or one that
//! was part of the file long ago, passes for nothing. redb verifies all pages when a file is opened; these checksums are
//! for the day on which it refuses one: they say which records are whole.
//!
//! Behind a record that is not whole its length is believed only if the next record is whole. Nothing is searched for:
//! payloads are others' bytes, and could contain what looks like a record.

use crc32fast::Hasher;

use super::header::{u32_at, u64_at};
use super::ROW_FORMAT;

/// The most bytes of a piece, unless one record alone is longer: with what redb adds it fills a page of 32 KiB. A damaged
/// length costs the rest of a piece at most.
pub(super) const PIECE: usize = (32 << 10) - 16;
pub(super) const HEAD: usize = 32;
/// What is added to a row.
pub(super) const RECORD: usize = 12;
const CHECKSUM: usize = 4;

/// What a piece says of the log.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Head {
    /// The number of the oldest piece that counts.
    pub(super) first: u64,
    /// Rows that are there after the commit of the piece.
    pub(super) rows: u64,
    /// Records in all pieces before this one, those that are gone too.
    pub(super) before: u64,
    /// Records in this piece.
    pub(super) records: u32,
}

/// A row as it was written, or a note that it is gone.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Record<'a> {
    pub(super) key: &'a [u8],
    pub(super) value: Option<&'a [u8]>,
}

/// Something in a piece is not as it was written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Broken;

/// The space that a row needs.
pub(super) fn weight(key: &[u8], value: &[u8]) -> u64 {
    (RECORD + key.len() + value.len()) as u64
}

/// A piece that is being written.
#[derive(Debug)]
pub(super) struct Draft {
    pub(super) number: u64,
    pub(super) records: u32,
    bytes: Vec<u8>,
    salt: Hasher,
}

impl Draft {
    /// `room`: bytes that it will need, roughly.
    pub(super) fn new(number: u64, room: usize) -> Draft {
        let mut bytes = Vec::with_capacity(room);
        bytes.resize(HEAD, 0);
        Draft { number, records: 0, bytes, salt: salt(number) }
    }

    pub(super) fn len(&self) -> usize {
        self.bytes.len()
    }

    /// Whether a record of such a row belongs into the next piece.
    pub(super) fn is_full_for(&self, key: &[u8], value: Option<&[u8]>) -> bool {
        let more = RECORD + key.len() + value.map_or(0, <[u8]>::len);
        self.records > 0 && self.bytes.len() + more > PIECE
    }

    /// MQTT's own limits keep every length far below 4 GiB.
    pub(super) fn push(&mut self, key: &[u8], value: Option<&[u8]>) {
        let start = self.bytes.len();
        let length = value.map_or(0, |value| value.len() as u32 + 1);
        self.bytes.extend_from_slice(&[0; CHECKSUM]);
        self.bytes.extend_from_slice(&(key.len() as u32).to_le_bytes());
        self.bytes.extend_from_slice(&length.to_le_bytes());
        self.bytes.extend_from_slice(key);
        self.bytes.extend_from_slice(value.unwrap_or_default());
        put_checksum(&self.salt, &mut self.bytes[start..]);
        self.records += 1;
    }

    /// Takes the oldest record of this key out again.
    pub(super) fn take_out(&mut self, key: &[u8]) {
        let reader = Reader { bytes: &self.bytes, at: HEAD, salt: self.salt.clone() };
        let mut at = HEAD;
        while let Some(end) = reader.end(at).filter(|_| at < self.bytes.len()) {
            let found = self.bytes.get(at + RECORD..end).is_some_and(|row| row.starts_with(key))
                && u32_at(&self.bytes, at + 4) == Some(key.len() as u32);
            if found {
                self.bytes.drain(at..end);
                self.records -= 1;
                return;
            }
            at = end;
        }
    }

    pub(super) fn seal(mut self, first: u64, rows: u64, before: u64) -> Vec<u8> {
        let head = &mut self.bytes[..HEAD];
        head[4..12].copy_from_slice(&first.to_le_bytes());
        head[12..20].copy_from_slice(&rows.to_le_bytes());
        head[20..28].copy_from_slice(&before.to_le_bytes());
        head[28..32].copy_from_slice(&self.records.to_le_bytes());
        put_checksum(&self.salt, head);
        self.bytes
    }
}

/// What all checksums of a piece begin with.
fn salt(number: u64) -> Hasher {
    let mut salt = Hasher::new();
    salt.update(&ROW_FORMAT.to_le_bytes());
    salt.update(&number.to_le_bytes());
    salt
}

/// Of what follows the checksum's own place.
fn checksum(salt: &Hasher, bytes: &[u8]) -> u32 {
    let mut sum = salt.clone();
    sum.update(&bytes[CHECKSUM..]);
    sum.finalize()
}

fn put_checksum(salt: &Hasher, bytes: &mut [u8]) {
    let sum = checksum(salt, bytes);
    bytes[..CHECKSUM].copy_from_slice(&sum.to_le_bytes());
}

/// Reads a piece, believing nothing.
#[derive(Debug)]
pub(super) struct Reader<'a> {
    bytes: &'a [u8],
    at: usize,
    salt: Hasher,
}

impl<'a> Reader<'a> {
    pub(super) fn new(number: u64, bytes: &'a [u8]) -> Reader<'a> {
        Reader { bytes, at: HEAD, salt: salt(number) }
    }

    pub(super) fn head(&self) -> Result<Head, Broken> {
        let head = self.whole(0, HEAD).ok_or(Broken)?;
        Ok(Head {
            first: u64_at(head, 4).ok_or(Broken)?,
            rows: u64_at(head, 12).ok_or(Broken)?,
            before: u64_at(head, 20).ok_or(Broken)?,
            records: u32_at(head, 28).ok_or(Broken)?,
        })
    }

    /// What lies there, if its checksum is right.
    fn whole(&self, from: usize, to: usize) -> Option<&'a [u8]> {
        let bytes = self.bytes.get(from..to).filter(|bytes| bytes.len() > CHECKSUM)?;
        (u32_at(bytes, 0)? == checksum(&self.salt, bytes)).then_some(bytes)
    }

    /// Where the record at `at` ends, if its lengths are right.
    fn end(&self, at: usize) -> Option<usize> {
        let (key, value) =
            (u32_at(self.bytes, at + 4)? as usize, u32_at(self.bytes, at + 8)?.saturating_sub(1));
        let end = at.checked_add(RECORD)?.checked_add(key)?.checked_add(value as usize)?;
        (end <= self.bytes.len()).then_some(end)
    }

    fn record(&self, at: usize, end: usize) -> Option<Record<'a>> {
        let bytes = self.whole(at, end)?;
        let (key, value) = bytes.get(RECORD..)?.split_at_checked(u32_at(bytes, 4)? as usize)?;
        let value = (u32_at(bytes, 8)? > 0).then_some(value);
        Some(Record { key, value })
    }
}

/// The records that are whole, and one error for each place where something is not.
impl<'a> Iterator for Reader<'a> {
    type Item = Result<Record<'a>, Broken>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.at >= self.bytes.len() {
            return None;
        }
        let end = self.end(self.at);
        if let Some((record, end)) = end.and_then(|end| Some((self.record(self.at, end)?, end))) {
            self.at = end;
            return Some(Ok(record));
        }
        let goes_on = |at: &usize| self.end(*at).is_some_and(|end| self.whole(*at, end).is_some());
        self.at = end.filter(goes_on).unwrap_or(self.bytes.len());
        Some(Err(Broken))
    }
}
