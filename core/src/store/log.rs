//! The log in memory: which row lies in which piece, and what a commit does to the pieces.
//!
//! A commit is one or more new pieces at the end. It holds one record of each key at most: of several changes only the
//! last counts, and a row that comes and goes within it leaves nothing. A row that is removed leaves a *tombstone*,
//! which is needed exactly as long as there is an older piece that may hold its key. So pieces go from the front only,
//! where none is older: as soon as the front piece has no row that counts, it goes with its tombstones, in the
//! transaction of the commit that made it so. What the server acknowledges in its order goes without any tombstone.
//!
//! **Cleaning.** Rows that stay long (filters, the session) hold up the front. When the log weighs more than twice what
//! its rows need and [`SLACK`], a commit writes rows of the front piece again at the end, about twice as many bytes as it
//! writes anyway: so the log shrinks faster than it grows, and no commit takes long.

use std::collections::{HashMap, VecDeque};
use std::ops::Range;

use super::hash::Seed;
use super::piece::{weight, Broken, Draft, Reader, Record, HEAD, PIECE};
use super::{Change, Key};

/// What the log may weigh beside twice its rows: opening it takes no more than a few milliseconds.
pub(super) const SLACK: u64 = 1 << 20;
/// Bytes that a commit cleans at least, if there is something to clean.
const LEAST: u64 = 16 << 10;

/// What to do to the pieces on the disk.
#[derive(Debug, Default)]
pub(super) struct Batch {
    pub(super) gone: Range<u64>,
    /// Sealed, with their numbers.
    pub(super) new: Vec<(u64, Vec<u8>)>,
}

impl Batch {
    pub(super) fn is_empty(&self) -> bool {
        self.gone.is_empty() && self.new.is_empty()
    }
}

/// Where a row lies.
#[derive(Debug, Clone, Copy)]
struct Place {
    piece: u64,
    weight: u32,
}

#[derive(Debug, Default)]
struct Piece {
    size: u64,
    /// That count.
    rows: u64,
}

#[derive(Debug, Default)]
pub(super) struct Log {
    rows: HashMap<Key, Place, Seed>,
    /// Without a gap, from number `first` on.
    pieces: VecDeque<Piece>,
    first: u64,
    /// Of all pieces.
    size: u64,
    /// What the rows need.
    weight: u64,
    /// In all pieces that there ever were.
    records: u64,
    /// Something was committed since the log was read, as it is after a commit that failed: if the disk is full, the
    /// next one must write no more than it has to.
    at_work: bool,
}

impl Log {
    /// Takes in the next piece of a log that is being read.
    pub(super) fn read(&mut self, number: u64, bytes: &[u8]) -> Result<(), Broken> {
        let reader = Reader::new(number, bytes);
        let head = reader.head()?;
        if self.pieces.is_empty() {
            (self.first, self.records) = (number, head.before);
        }
        let is_countable = number.max(head.before) < u64::MAX / 2;
        if !is_countable || number != self.end() || head.before != self.records || head.first > number {
            return Err(Broken);
        }
        self.pieces.push_back(Piece { size: bytes.len() as u64, rows: 0 });
        self.size += bytes.len() as u64;
        let before = self.records;
        for record in reader {
            let record = record?;
            self.records += 1;
            match record.value {
                Some(value) => self.put(record.key.into(), value, number),
                None => self.remove(record.key),
            };
        }
        (self.records - before == u64::from(head.records)).then_some(()).ok_or(Broken)
    }

    /// Plans a commit, and is the log after it; `read` gives a piece that is on the disk. After an error, here or of the
    /// disk, this log says what is not true, and is to be read anew.
    pub(super) fn commit<E: From<Broken>>(
        &mut self,
        changes: &[Change],
        read: impl FnMut(u64) -> Result<Vec<u8>, E>,
    ) -> Result<Batch, E> {
        let mut pen = Pen::new(self, changes.iter().map(|change| (&*change.key, change.value.as_deref())));
        // Keys of which an older piece may have a row.
        let mut older = Vec::new();
        for Change { key, value } in changes {
            let before = match value {
                Some(value) => {
                    let number = pen.write(key, Some(value));
                    self.open(number);
                    self.put(key.clone(), value, number)
                }
                None => self.remove(key),
            };
            match before {
                Some(piece) if piece >= pen.start => pen.take_out(piece, key),
                Some(piece) => older.push((piece, key)),
                None => {}
            }
        }
        self.clean(&mut pen, read)?;
        self.shed(pen.start);
        for (piece, key) in older {
            if piece >= self.first && !self.rows.contains_key(key) {
                let number = pen.write(key, None);
                self.open(number);
            }
        }
        Ok(self.finish(pen))
    }

    /// Adds rows that are not there yet.
    pub(super) fn add(&mut self, rows: &[(Vec<u8>, Vec<u8>)]) -> Batch {
        let mut pen = Pen::new(self, rows.iter().map(|(key, value)| (&**key, Some(&**value))));
        for (key, value) in rows {
            let number = pen.write(key, Some(value));
            self.open(number);
            self.put(key[..].into(), value, number);
        }
        self.finish(pen)
    }

    /// What the rows need on the disk.
    pub(super) fn weight(&self) -> u64 {
        self.weight
    }

    /// The rows of this piece that count, and an error for each place where something is not as it was written.
    pub(super) fn rows_of<'a>(
        &'a self,
        number: u64,
        bytes: &'a [u8],
    ) -> impl Iterator<Item = Result<(&'a [u8], &'a [u8]), Broken>> {
        let counts = move |key| self.rows.get(key).is_some_and(|place: &Place| place.piece == number);
        let row = |record: Record<'a>| Some((record.key, record.value?));
        let rows = Reader::new(number, bytes).filter_map(move |record| record.map(row).transpose());
        rows.filter(move |row| row.is_err() || row.is_ok_and(|(key, _)| counts(key)))
    }

    #[cfg(test)]
    pub(super) fn pieces(&self) -> Range<u64> {
        self.first..self.end()
    }

    #[cfg(test)]
    pub(super) fn size(&self) -> u64 {
        self.size
    }

    fn end(&self) -> u64 {
        self.first + self.pieces.len() as u64
    }

    fn piece(&mut self, number: u64) -> Option<&mut Piece> {
        self.pieces.get_mut(usize::try_from(number.checked_sub(self.first)?).ok()?)
    }

    fn open(&mut self, number: u64) {
        if number == self.end() {
            self.pieces.push_back(Piece::default());
        }
    }

    /// The piece where the row lay before, if it was there.
    fn put(&mut self, key: Key, value: &[u8], number: u64) -> Option<u64> {
        let weight = u32::try_from(weight(&key, value)).unwrap_or(u32::MAX);
        let before = self.rows.insert(key, Place { piece: number, weight });
        self.weight += u64::from(weight);
        if let Some(piece) = self.piece(number) {
            piece.rows += 1;
        }
        before.map(|before| self.leave(before))
    }

    /// The piece where the row lay, if it was there.
    fn remove(&mut self, key: &[u8]) -> Option<u64> {
        let place = self.rows.remove(key)?;
        if self.rows.is_empty() {
            self.rows = HashMap::default();
        }
        Some(self.leave(place))
    }

    fn leave(&mut self, place: Place) -> u64 {
        self.weight -= u64::from(place.weight);
        if let Some(piece) = self.piece(place.piece) {
            piece.rows -= 1;
        }
        place.piece
    }

    /// Drops the pieces at the front, before number `end`, that hold no row.
    fn shed(&mut self, end: u64) {
        while self.first < end && self.pieces.front().is_some_and(|piece| piece.rows == 0) {
            self.size -= self.pieces.pop_front().map_or(0, |piece| piece.size);
            self.first += 1;
        }
    }

    /// Writes rows of the front again, if the log weighs too much.
    fn clean<E: From<Broken>>(
        &mut self,
        pen: &mut Pen,
        mut read: impl FnMut(u64) -> Result<Vec<u8>, E>,
    ) -> Result<(), E> {
        if !std::mem::replace(&mut self.at_work, true) {
            return Ok(());
        }
        let mut budget = LEAST.max(2 * pen.len());
        loop {
            self.shed(pen.start);
            let number = self.first;
            if number >= pen.start || self.size + pen.len() <= 2 * self.weight + SLACK {
                return Ok(());
            }
            let bytes = read(number)?;
            for record in Reader::new(number, &bytes) {
                let record = record?;
                let here = self.rows.get(record.key).is_some_and(|place| place.piece == number);
                let (true, Some(value)) = (here, record.value) else { continue };
                if budget == 0 {
                    return Ok(());
                }
                let new = pen.write(record.key, Some(value));
                self.open(new);
                self.put(record.key.into(), value, new);
                budget = budget.saturating_sub(weight(record.key, value));
            }
            if self.pieces.front().is_some_and(|piece| piece.rows > 0) {
                return Err(Broken.into());
            }
        }
    }

    fn finish(&mut self, mut pen: Pen) -> Batch {
        // Whatever was in them was taken out again.
        while pen.drafts.pop_if(|draft| draft.records == 0).is_some() {
            self.pieces.pop_back();
        }
        let (first, rows) = (self.first, self.rows.len() as u64);
        let mut new = Vec::with_capacity(pen.drafts.len());
        for draft in pen.drafts {
            let (number, records, before) = (draft.number, draft.records, self.records);
            let bytes = draft.seal(first, rows, before);
            self.records += u64::from(records);
            self.size += bytes.len() as u64;
            if let Some(piece) = self.piece(number) {
                piece.size = bytes.len() as u64;
            }
            new.push((number, bytes));
        }
        Batch { gone: pen.first..first, new }
    }
}

/// What a commit writes.
struct Pen {
    /// The number of its first piece.
    start: u64,
    /// The oldest piece before the commit.
    first: u64,
    drafts: Vec<Draft>,
    /// Bytes that a draft will need, as far as that is known.
    room: usize,
}

impl Pen {
    /// For what comes behind this log.
    fn new<'a>(log: &Log, rows: impl Iterator<Item = (&'a [u8], Option<&'a [u8]>)>) -> Pen {
        let bytes = rows.map(|(key, value)| weight(key, value.unwrap_or_default()) as usize).sum::<usize>();
        Pen { start: log.end(), first: log.first, drafts: Vec::new(), room: (HEAD + bytes).min(PIECE) }
    }

    /// The piece into which the record goes.
    fn write(&mut self, key: &[u8], value: Option<&[u8]>) -> u64 {
        let next = self.start + self.drafts.len() as u64;
        if self.drafts.last().is_none_or(|draft| draft.is_full_for(key, value)) {
            self.drafts.push(Draft::new(next, self.room));
        }
        let Some(draft) = self.drafts.last_mut() else { return next };
        draft.push(key, value);
        draft.number
    }

    /// Undoes the oldest record of this key in this piece: a change that another one of the same batch replaces.
    fn take_out(&mut self, piece: u64, key: &[u8]) {
        let draft = piece.checked_sub(self.start).and_then(|number| self.drafts.get_mut(number as usize));
        draft.into_iter().for_each(|draft| draft.take_out(key));
    }

    fn len(&self) -> u64 {
        self.drafts.iter().map(|draft| draft.len() as u64).sum()
    }
}
