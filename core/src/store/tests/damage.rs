//! Files that are not what was written.

use std::collections::BTreeSet;
use std::env;
use std::fs;
use std::path::{Path, PathBuf};

use redb::{Database, TableDefinition};

use super::super::{inspect, open, Change};
use super::support::*;

/// What became of the file that was there.
fn aside(path: &Path, number: u32) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(format!(".damaged-{number}"));
    name.into()
}

/// Opens a file that must be damaged, and gives what it says and what is left.
fn damaged(path: &Path) -> (String, Rows) {
    let (opened, rows) = read(path);
    (opened.damage.expect("it says that it was damaged").to_string(), rows)
}

#[test]
fn an_empty_file_is_set_aside() {
    let scratch = Scratch::new();
    fs::write(scratch.store(), "").unwrap();
    let (words, rows) = damaged(&scratch.store());
    assert!(rows.is_empty() && words.contains("empty") && words.contains("damaged-1"), "{words}");
    assert_eq!(fs::read(aside(&scratch.store(), 1)).unwrap(), b"");
}

#[test]
fn a_file_of_another_kind_is_set_aside_as_it_is() {
    let scratch = Scratch::new();
    fs::write(scratch.store(), "Dear diary").unwrap();
    damaged(&scratch.store());
    assert_eq!(fs::read(aside(&scratch.store(), 1)).unwrap(), b"Dear diary");
    sound(&scratch.store());
}

#[test]
fn damaged_files_are_numbered_and_none_is_overwritten() {
    let scratch = Scratch::new();
    for number in 1..4 {
        fs::write(scratch.store(), format!("damage {number}")).unwrap();
        damaged(&scratch.store());
    }
    for number in 1..4 {
        assert_eq!(fs::read_to_string(aside(&scratch.store(), number)).unwrap(), format!("damage {number}"));
    }
}

#[test]
fn an_empty_directory_in_its_place_is_set_aside() {
    let scratch = Scratch::new();
    fs::create_dir(scratch.store()).unwrap();
    damaged(&scratch.store());
    assert!(aside(&scratch.store(), 1).is_dir());
    sound(&scratch.store());
}

#[test]
fn a_store_of_another_version_is_set_aside_whole_and_its_version_named() {
    let scratch = Scratch::new();
    leave(&scratch.store(), &[put("a", "b")]);
    let formats: TableDefinition<&str, u32> = TableDefinition::new("meta");
    let db = Database::open(scratch.store()).unwrap();
    let txn = db.begin_write().unwrap();
    txn.open_table(formats).unwrap().insert("row format", 77).unwrap();
    txn.commit().unwrap();
    drop(db);
    let before = fs::read(scratch.store()).unwrap().len();
    let (words, rows) = damaged(&scratch.store());
    assert!(rows.is_empty() && words.contains("row format 77"), "{words}");
    assert_eq!(fs::read(aside(&scratch.store(), 1)).unwrap().len(), before);
}

#[test]
fn looking_into_a_damaged_store_names_it_and_leaves_it_as_it_is() {
    let scratch = Scratch::new();
    fs::write(scratch.store(), "Dear diary").unwrap();
    let words = inspect(&scratch.store()).unwrap().damage.unwrap();
    assert!(words.starts_with(&*scratch.store().to_string_lossy()), "{words}");
    assert!(!words.contains("the file as it was"), "{words}");
    assert_eq!(fs::read(scratch.store()).unwrap(), b"Dear diary");
    assert!(!aside(&scratch.store(), 1).exists());
}

#[test]
fn a_database_of_another_program_is_set_aside() {
    let scratch = Scratch::new();
    let db = Database::create(scratch.store()).unwrap();
    let txn = db.begin_write().unwrap();
    txn.open_table(TableDefinition::<&str, u32>::new("theirs")).unwrap().insert("x", 1).unwrap();
    txn.commit().unwrap();
    drop(db);
    let (words, _) = damaged(&scratch.store());
    assert!(words.contains("another program"), "{words}");
}

#[test]
fn a_flipped_bit_in_a_row_costs_that_row_and_no_other() {
    let scratch = Scratch::new();
    let changes: Vec<_> = (0..1000).map(message).collect();
    leave(&scratch.store(), &changes);
    let mut file = fs::read(scratch.store()).unwrap();
    // A page that is not used any more may hold the row, too.
    let needle = b"message 500 message 500";
    let places: Vec<_> =
        (0..file.len() - needle.len()).filter(|at| file[*at..].starts_with(needle)).collect();
    places.into_iter().for_each(|at| file[at] ^= 1);
    fs::write(scratch.store(), &file).unwrap();
    let (words, rows) = damaged(&scratch.store());
    let mut expected = rows_of(&changes);
    expected.remove(&500_u64.to_be_bytes()[..]);
    assert_eq!(rows, expected);
    assert!(words.contains("999 rows were recovered, 1 lost"), "{words}");
}

#[test]
fn what_was_recovered_is_a_sound_store() {
    let scratch = Scratch::new();
    leave(&scratch.store(), &(0..1000).map(message).collect::<Vec<_>>());
    let mut file = fs::read(scratch.store()).unwrap();
    let quarter = file.len() / 4;
    file[quarter..quarter + 20_000].fill(0xA5);
    fs::write(scratch.store(), &file).unwrap();
    let (_, rows) = damaged(&scratch.store());
    assert_eq!(sound(&scratch.store()).1, rows);
}

/// A store of which every version of every row is known.
struct Original {
    closed: Vec<u8>,
    killed: Vec<u8>,
    rows: Rows,
    ever: BTreeSet<(Vec<u8>, Vec<u8>)>,
}

impl Original {
    fn new(scratch: &Scratch) -> Original {
        let mut all: Vec<Change> = Vec::new();
        let (mut store, _) = sound(&scratch.store());
        for round in 0..12_u64 {
            let mut batch: Vec<_> = (round * 100..round * 100 + 100).map(message).collect();
            batch.extend((0..30).map(|n| put(format!("state {n}"), format!("round {round}"))));
            batch.extend((round.saturating_sub(6) * 100..round * 50).map(|n| remove(n.to_be_bytes())));
            store.commit(&batch).unwrap();
            all.extend(batch);
        }
        let killed = fs::read(scratch.store()).unwrap();
        drop(store);
        let closed = fs::read(scratch.store()).unwrap();
        let written =
            all.iter().filter_map(|change| Some((change.key.to_vec(), change.value.as_ref()?.to_vec())));
        Original { closed, killed, rows: rows_of(&all), ever: written.collect() }
    }
}

/// Does something to a file that should not happen to one, and says what.
fn spoil(file: &mut Vec<u8>, dice: &mut Dice) -> String {
    let len = file.len() as u64;
    let at = match dice.below(4) {
        0 => dice.below(320),
        _ => dice.below(len),
    } as usize;
    match dice.below(7) {
        0 => {
            let bit = dice.below(8);
            file[at] ^= 1 << bit;
            format!("bit {bit} of byte {at}")
        }
        1 => {
            let end = file.len().min(at + 1 + dice.below(20_000) as usize);
            file[at..end].iter_mut().for_each(|byte| *byte = dice.below(256) as u8);
            format!("noise in {at}..{end}")
        }
        2 => {
            let end = file.len().min(at + 1 + dice.below(20_000) as usize);
            file[at..end].fill(0);
            format!("zeros in {at}..{end}")
        }
        3 => {
            file.truncate(at);
            format!("cut at {at}")
        }
        4 => {
            let more = dice.below(10_000) as usize;
            let noise = dice.below(2);
            file.extend((0..more).map(|_| (dice.below(256) * noise) as u8));
            format!("{more} bytes more")
        }
        5 => {
            let pages = len / 4096;
            let (from, to) = (dice.below(pages) as usize * 4096, dice.below(pages) as usize * 4096);
            file.copy_within(from..from + 4096, to);
            format!("page at {from} copied to {to}")
        }
        _ => {
            let bits = 1 + dice.below(200);
            (0..bits).for_each(|_| file[dice.below(len) as usize] ^= 1 << dice.below(8));
            format!("{bits} bits")
        }
    }
}

#[test]
fn random_damage_is_reported_and_never_makes_rows_up() {
    let number = |name: &str| env::var(name).ok().and_then(|text| text.parse().ok());
    let cases = number("REMQTT_CORRUPTIONS").unwrap_or(500);
    let seed = number("REMQTT_SEED").unwrap_or(1);
    println!("REMQTT_SEED={seed}");
    let scratch = Scratch::in_memory();
    let original = Original::new(&scratch);
    let path = scratch.store();
    let (mut reported, mut complete, mut kept) = (0, 0, 0);
    for case in seed..seed + cases {
        let mut dice = Dice::new(case);
        let mut file = if dice.below(2) == 0 { original.closed.clone() } else { original.killed.clone() };
        let mut what = spoil(&mut file, &mut dice);
        while dice.below(4) == 0 && file.len() > 8192 {
            what = format!("{what}, {}", spoil(&mut file, &mut dice));
        }
        fs::write(&path, &file).unwrap();
        let mut rows = Rows::new();
        let opened = open(&path, &mut |key, value| {
            assert!(
                rows.last_key_value().is_none_or(|(last, _)| last.as_slice() < key),
                "case {case}: {what}"
            );
            rows.insert(key.to_vec(), value.to_vec());
        })
        .unwrap_or_else(|error| panic!("case {case}: {what}: {error}"));
        for (key, value) in &rows {
            let known = original.ever.contains(&(key.clone(), value.clone()));
            assert!(known, "case {case}: {what}: {key:?} was never {value:?}");
        }
        let damage = opened.damage;
        assert!(
            damage.is_some() || rows == original.rows,
            "case {case}: {what}: rows differ, and it says nothing"
        );
        if damage.as_ref().is_some_and(|damage| damage.aside.is_some()) {
            assert_eq!(fs::read(aside(&path, 1)).unwrap().len(), file.len(), "case {case}: {what}");
            fs::remove_file(aside(&path, 1)).unwrap();
        }
        drop(opened.store);
        assert_eq!(sound(&path).1, rows, "case {case}: {what}: it is not what it was a moment ago");
        reported += u64::from(damage.is_some());
        complete += u64::from(rows == original.rows);
        kept += rows.len() as u64;
    }
    let share = kept * 100 / (cases * original.rows.len() as u64);
    println!("{cases} cases: {reported} reported, {complete} with all rows, {share} % of all rows kept");
}

#[test]
fn a_file_that_is_damaged_while_it_is_open_is_recovered_at_the_next_error() {
    let scratch = Scratch::new();
    let (mut store, _) = sound(&scratch.store());
    let changes: Vec<_> = (0..3000).map(message).collect();
    store.commit(&changes).unwrap();
    let len = fs::metadata(scratch.store()).unwrap().len();
    let file = fs::OpenOptions::new().write(true).open(scratch.store()).unwrap();
    std::os::unix::fs::FileExt::write_all_at(&file, &vec![0xA5; len as usize - 4096], 4096).unwrap();
    let mut codes = BTreeSet::new();
    // What is cached is still right, so that the first commits may succeed.
    for _ in 0..20 {
        if let Err(error) = store.commit(&changes) {
            codes.insert(error.code.name());
        }
    }
    assert_eq!(codes, BTreeSet::from(["StoreDamaged", "StoreFailed"]));
    assert!(aside(&scratch.store(), 1).exists());
    drop(store);
    assert_eq!(sound(&scratch.store()).1, rows_of(&changes));
}
