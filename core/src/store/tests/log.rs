//! What a commit does to the pieces of the log, and what is left of them after damage.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use redb::{Database, ReadableTable, TableDefinition};

use super::super::log::{Batch, Log, SLACK};
use super::super::piece::{Broken, Draft, Reader, Record, HEAD, PIECE};
use super::super::{open, Change};
use super::support::*;

const LOG: TableDefinition<u64, &[u8]> = TableDefinition::new("log");

/// A log and the pieces that it has on the disk.
#[derive(Default)]
struct Bench {
    log: Log,
    disk: BTreeMap<u64, Vec<u8>>,
    rows: Rows,
}

impl Bench {
    /// Commits, and gives the bytes that it took.
    fn commit(&mut self, changes: &[Change]) -> usize {
        let read = |number| self.disk.get(&number).cloned().ok_or(Broken);
        let Batch { gone, new } = self.log.commit(changes, read).unwrap();
        for Change { key, value } in changes {
            match value {
                Some(value) => self.rows.insert(key.to_vec(), value.to_vec()),
                None => self.rows.remove(&key[..]),
            };
        }
        gone.for_each(|number| drop(self.disk.remove(&number).expect("it was there")));
        let bytes = new.iter().map(|(_, piece)| piece.len()).sum();
        self.disk.extend(new);
        let pieces = self.log.pieces();
        assert_eq!(self.disk.len() as u64, pieces.end - pieces.start);
        assert!(self.disk.keys().next().is_none_or(|first| *first == pieces.start), "{pieces:?}");
        bytes
    }

    fn read_anew(&self) -> Log {
        let mut log = Log::default();
        self.disk.iter().for_each(|(number, piece)| log.read(*number, piece).unwrap());
        log
    }

    /// What the next process reads.
    fn reopened(&self) -> Rows {
        let log = self.read_anew();
        assert_eq!((log.weight(), log.size()), (self.log.weight(), self.log.size()));
        let rows =
            self.disk.iter().flat_map(|(number, piece)| log.rows_of(*number, piece)).map(Result::unwrap);
        let mut found = Rows::new();
        for (key, value) in rows {
            assert!(found.insert(key.to_vec(), value.to_vec()).is_none(), "a row counts once");
        }
        found
    }

    fn tombstones(&self) -> usize {
        let records = self.disk.iter().flat_map(|(number, piece)| Reader::new(*number, piece));
        records.filter(|record| record.unwrap().value.is_none()).count()
    }
}

#[test]
fn a_row_that_comes_and_goes_within_a_batch_leaves_nothing() {
    let mut bench = Bench::default();
    assert_eq!(bench.commit(&[put("a", "1"), put("a", "2"), remove("a")]), 0);
    assert!(bench.disk.is_empty());
}

#[test]
fn a_row_that_comes_and_goes_within_a_batch_takes_an_older_one_with_it() {
    let mut bench = Bench::default();
    bench.commit(&[put("a", "1"), put("b", "1")]);
    bench.commit(&[put("a", "2"), remove("a")]);
    assert_eq!(bench.reopened(), rows_of(&[put("b", "1")]));
}

#[test]
fn of_several_changes_of_a_key_one_record_is_written() {
    let mut bench = Bench::default();
    bench.commit(&[put("a", "1"), remove("a"), put("a", "3"), put("a", "4")]);
    let records: Vec<_> = Reader::new(0, &bench.disk[&0]).collect();
    assert_eq!(records, [Ok(Record { key: b"a", value: Some(b"4") })]);
}

#[test]
fn removing_what_was_never_there_is_no_commit() {
    let mut bench = Bench::default();
    assert_eq!(bench.commit(&[remove("a")]), 0);
}

#[test]
fn pieces_at_the_front_go_with_their_last_row_and_need_no_tombstones() {
    let mut bench = Bench::default();
    for number in 0..100_u64 {
        let old = number.checked_sub(3).map(|old| remove(old.to_be_bytes()));
        bench.commit(&old.into_iter().chain([message(number)]).collect::<Vec<_>>());
        assert!(bench.disk.len() <= 3 && bench.tombstones() == 0, "{number}: {}", bench.disk.len());
    }
    assert_eq!(bench.reopened(), bench.rows);
}

#[test]
fn a_tombstone_stays_as_long_as_an_older_piece_may_hold_its_row() {
    let mut bench = Bench::default();
    bench.commit(&[put("stays", "1")]);
    bench.commit(&[put("goes", "1")]);
    bench.commit(&[remove("goes"), put("last", "1")]);
    assert_eq!((bench.tombstones(), bench.disk.len()), (1, 3));
    bench.commit(&[remove("stays")]);
    assert_eq!((bench.log.pieces(), bench.tombstones()), (2..3, 1), "nothing is older than the third piece");
    bench.commit(&[remove("last")]);
    assert!(bench.disk.is_empty());
}

#[test]
fn a_row_that_comes_again_after_its_tombstone_counts() {
    let mut bench = Bench::default();
    bench.commit(&[put("stays", "1")]);
    bench.commit(&[put("a", "1"), put("b", "1")]);
    bench.commit(&[remove("a")]);
    bench.commit(&[put("a", "2")]);
    assert_eq!(bench.reopened(), bench.rows);
    bench.commit(&[remove("a"), remove("stays")]);
    assert_eq!(bench.reopened(), rows_of(&[put("b", "1")]));
}

#[test]
fn rows_that_stay_are_written_again_before_the_log_weighs_too_much_and_no_commit_takes_long() {
    let mut bench = Bench::default();
    let filters: Vec<_> = (0..2000).map(|n| put(format!("filter {n}"), [7; 100])).collect();
    bench.commit(&filters);
    let mut most = 0;
    for number in 0..20_000_u64 {
        let old = number.checked_sub(10).map(|old| remove(old.to_be_bytes()));
        most = most.max(bench.commit(&old.into_iter().chain([message(number)]).collect::<Vec<_>>()));
        let bound = 2 * bench.log.weight() + SLACK + (1 << 18);
        assert!(bench.log.size() < bound, "{number}: {} of {bound}", bench.log.size());
    }
    assert!(most < 20_000, "{most} bytes in one commit");
    assert_eq!(bench.reopened(), bench.rows);
}

#[test]
fn the_first_commit_after_a_failure_cleans_nothing_because_the_disk_may_be_full() {
    let mut bench = Bench::default();
    bench.commit(&[put("stays", "1")]);
    bench.commit(&[put("large", vec![0; 2 * SLACK as usize])]);
    bench.log = bench.read_anew();
    bench.commit(&[remove("large")]);
    assert_eq!(bench.log.pieces(), 0..3);
    bench.commit(&[put("a", "1")]);
    assert_eq!(bench.log.pieces(), 3..4);
    assert_eq!(bench.reopened(), bench.rows);
}

#[test]
fn whatever_comes_and_goes_the_next_process_finds_what_counts() {
    for seed in 0..20 {
        let mut dice = Dice::new(seed);
        let mut bench = Bench::default();
        for round in 0..300 {
            let changes: Vec<_> = (0..1 + dice.below(40))
                .map(|_| {
                    let most = 1 + dice.below(400);
                    let key = dice.below(most).to_be_bytes();
                    match dice.below(2) {
                        0 => remove(key),
                        _ => put(key, vec![round as u8; dice.below(2000) as usize]),
                    }
                })
                .collect();
            bench.commit(&changes);
            if round % 20 == 0 {
                assert_eq!(bench.reopened(), bench.rows, "seed {seed}, round {round}");
            }
        }
    }
}

#[test]
fn a_batch_is_cut_into_pieces_and_a_large_row_has_one_of_its_own() {
    let mut bench = Bench::default();
    let mut changes: Vec<_> = (0..1000).map(message).collect();
    changes.push(put("large", vec![1; 3 * PIECE]));
    changes.push(put("small", "1"));
    bench.commit(&changes);
    let large: Vec<_> = bench.disk.values().filter(|piece| piece.len() > PIECE).collect();
    assert_eq!(large.len(), 1);
    assert_eq!(large[0].len(), HEAD + 12 + 5 + 3 * PIECE);
    assert_eq!(bench.reopened(), bench.rows);
}

/// A piece with ten records.
fn piece() -> Vec<u8> {
    let mut draft = Draft::new(7, 0);
    (0..10_u8).for_each(|n| draft.push(&[n], Some(&[n; 20])));
    draft.seal(3, 10, 100)
}

const RECORD: usize = 12 + 1 + 20;

fn keys(piece: &[u8]) -> Vec<u8> {
    Reader::new(7, piece).filter_map(Result::ok).map(|record| record.key[0]).collect()
}

#[test]
fn a_record_with_a_flipped_bit_costs_no_other() {
    let mut piece = piece();
    piece[HEAD + 4 * RECORD + 15] ^= 1;
    assert_eq!(keys(&piece), [0, 1, 2, 3, 5, 6, 7, 8, 9]);
    assert_eq!(Reader::new(7, &piece).filter(Result::is_err).count(), 1);
}

#[test]
fn a_damaged_length_costs_the_rest_of_its_piece() {
    for byte in [4, 5, 7, 8, 11] {
        let mut piece = piece();
        piece[HEAD + 4 * RECORD + byte] ^= 0x40;
        assert_eq!(keys(&piece), [0, 1, 2, 3], "byte {byte}");
    }
}

#[test]
fn a_piece_under_another_number_passes_for_nothing() {
    let piece = piece();
    let mut reader = Reader::new(8, &piece);
    assert_eq!(reader.head(), Err(Broken));
    assert!(reader.all(|record| record.is_err()));
}

#[test]
fn a_piece_that_is_cut_anywhere_gives_the_records_before_the_cut() {
    let piece = piece();
    for len in 0..piece.len() {
        let expected: Vec<u8> = (0..10).take(len.saturating_sub(HEAD) / RECORD).collect();
        assert_eq!(keys(&piece[..len]), expected, "{len} bytes");
    }
}

#[test]
fn a_log_with_a_piece_missing_or_out_of_place_is_refused() {
    let mut bench = Bench::default();
    for number in 0..4 {
        bench.commit(&[message(number)]);
    }
    let read = |numbers: &[u64]| {
        let mut log = Log::default();
        numbers.iter().try_for_each(|number| log.read(*number, &bench.disk[number]))
    };
    assert_eq!(read(&[0, 1, 2, 3]), Ok(()));
    assert_eq!(read(&[0, 2, 3]), Err(Broken));
    assert_eq!(read(&[0, 1, 1]), Err(Broken));
}

/// Damages what is in a database without its noticing, as no disk can.
fn tamper(path: &Path, change: impl FnOnce(&mut redb::Table<'_, u64, &'static [u8]>)) {
    let db = Database::open(path).unwrap();
    let txn = db.begin_write().unwrap();
    change(&mut txn.open_table(LOG).unwrap());
    txn.commit().unwrap();
}

fn words_after(path: &Path) -> (String, Rows) {
    let (opened, rows) = read(path);
    (opened.damage.expect("it says that it was damaged").what, rows)
}

#[test]
fn a_piece_that_is_lost_from_the_middle_costs_its_rows_and_says_how_many() {
    let scratch = Scratch::new();
    (0..10).for_each(|number| leave(&scratch.store(), &[message(number)]));
    // A leaf of redb holds several pieces: one goes, and the number of pieces stays.
    let mut file = fs::read(scratch.store()).unwrap();
    let needle = b"message 4 message 4";
    let at: Vec<_> = (0..file.len() - needle.len()).filter(|at| file[*at..].starts_with(needle)).collect();
    at.into_iter().for_each(|at| file[at - 12 - 8 - HEAD..at].fill(0xA5));
    fs::write(scratch.store(), &file).unwrap();
    let (words, rows) = words_after(&scratch.store());
    assert!(words.ends_with("9 rows were recovered, 1 lost"), "{words}");
    assert_eq!(rows.len(), 9);
}

#[test]
fn a_tombstone_that_is_lost_brings_its_row_back_and_that_is_told() {
    let scratch = Scratch::new();
    leave(&scratch.store(), &[put("stays", "1"), put("goes", "1")]);
    leave(&scratch.store(), &[remove("goes"), put("unlucky", "tombstone")]);
    let mut file = fs::read(scratch.store()).unwrap();
    let needle = b"\x04\0\0\0\0\0\0\0goes";
    let at: Vec<_> = (0..file.len() - needle.len()).filter(|at| file[*at..].starts_with(needle)).collect();
    at.into_iter().for_each(|at| file[at + 8] ^= 1);
    fs::write(scratch.store(), &file).unwrap();
    let (words, rows) = words_after(&scratch.store());
    assert_eq!(rows, rows_of(&[put("stays", "1"), put("goes", "1"), put("unlucky", "tombstone")]));
    assert!(words.contains("3 rows were recovered, 0 lost"), "{words}");
    assert!(words.contains("may be as they were before"), "{words}");
}

#[test]
fn without_the_newest_piece_nobody_knows_how_many_rows_are_lost() {
    let scratch = Scratch::new();
    leave(&scratch.store(), &[put("old", [1; 100])]);
    leave(&scratch.store(), &[put("new", [0x99; 100])]);
    let mut file = fs::read(scratch.store()).unwrap();
    let at: Vec<_> = (0..file.len() - 100).filter(|at| file[*at..].starts_with(&[0x99; 100])).collect();
    at.into_iter().for_each(|at| file[at - 3 - 12 - HEAD..at].fill(0xA5));
    fs::write(scratch.store(), &file).unwrap();
    let (words, rows) = words_after(&scratch.store());
    assert_eq!(rows, rows_of(&[put("old", [1; 100])]), "{words}");
    assert!(words.contains("1 rows were recovered, an unknown number lost"), "{words}");
}

#[test]
fn a_row_that_redb_finds_right_and_that_is_not_is_damage_and_its_piece_is_read_record_by_record() {
    let scratch = Scratch::new();
    leave(&scratch.store(), &(0..10).map(message).collect::<Vec<_>>());
    tamper(&scratch.store(), |table| {
        let mut piece = table.first().unwrap().unwrap().1.value().to_vec();
        *piece.last_mut().unwrap() ^= 1;
        table.insert(0, &piece[..]).unwrap();
    });
    let (words, rows) = words_after(&scratch.store());
    assert!(words.contains("9 rows were recovered, 1 lost"), "{words}");
    assert_eq!(rows, rows_of(&(0..9).map(message).collect::<Vec<_>>()));
}

#[test]
fn a_piece_that_redb_does_not_miss_is_missed() {
    let scratch = Scratch::new();
    (0..3).for_each(|number| leave(&scratch.store(), &[message(number)]));
    tamper(&scratch.store(), |table| drop(table.remove(1).unwrap()));
    let (words, rows) = words_after(&scratch.store());
    assert!(words.contains("2 rows were recovered, an unknown number lost"), "{words}");
    assert_eq!(rows, rows_of(&[message(0), message(2)]));
}

#[test]
fn a_store_with_a_row_that_stays_does_not_grow_with_what_comes_and_goes() {
    let scratch = Scratch::in_memory();
    let (mut store, _) = sound(&scratch.store());
    store.commit(&[put("stays", "1")]).unwrap();
    for round in 0..400_u64 {
        let old = round.checked_sub(1).into_iter().flat_map(|old| old * 100..old * 100 + 100);
        let new = round * 100..round * 100 + 100;
        let changes: Vec<_> = old.map(|n| remove(n.to_be_bytes())).chain(new.map(message)).collect();
        store.commit(&changes).unwrap();
    }
    assert!(store.size() < 5 << 20, "{} bytes", store.size());
    drop(store);
    let expected = (39_900..40_000).map(message).chain([put("stays", "1")]).collect::<Vec<_>>();
    assert_eq!(sound(&scratch.store()).1, rows_of(&expected));
}

#[test]
fn rows_come_in_the_order_of_their_keys_whatever_the_order_of_their_commits() {
    let scratch = Scratch::new();
    for number in (0..50).rev() {
        leave(&scratch.store(), &[message(number), put(format!("row {number}"), "x")]);
    }
    let mut keys = Vec::new();
    open(&scratch.store(), &mut |key, _| keys.push(key.to_vec())).unwrap();
    assert!(keys.len() == 100 && keys.is_sorted());
}
