//! The store among processes: kill -9, and who may have it.
//!
//! The children are this test program itself, told by the environment what to do.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)] // a failing test may panic anywhere

use std::collections::BTreeMap;
use std::env;
use std::fs;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{self, Child, ChildStdout, Command, Stdio};
use std::thread;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use remqtt::store::{open, Change};
use remqtt::ErrorCode;

/// The store that a child is to use, and the batch with which it begins.
const STORE: &str = "REMQTT_TEST_STORE";
const FIRST: &str = "REMQTT_TEST_FIRST";
/// Batches whose rows are there at a time.
const KEPT: u64 = 3;

type Rows = BTreeMap<Vec<u8>, Vec<u8>>;

/// A directory that goes away.
struct Scratch(PathBuf);

impl Scratch {
    fn new(name: &str) -> Scratch {
        let path = env::temp_dir().join(format!("remqtt-{name}-{}", process::id()));
        fs::create_dir_all(&path).unwrap();
        Scratch(path)
    }

    fn store(&self) -> PathBuf {
        self.0.join("session")
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

/// Each batch writes five rows and removes those of the batch three before.
fn batch(number: u64) -> Vec<Change> {
    let key = |batch: u64, row: u64| [batch.to_be_bytes(), row.to_be_bytes()].concat().into();
    let old = number.checked_sub(KEPT);
    let removals =
        old.into_iter().flat_map(|old| (0..5).map(move |row| Change { key: key(old, row), value: None }));
    let value = |row| format!("row {row} of batch {number}, and what else belongs to it").into_bytes().into();
    removals.chain((0..5).map(|row| Change { key: key(number, row), value: Some(value(row)) })).collect()
}

/// What is there after this many batches.
fn rows_after(batches: u64) -> Rows {
    let newest = (batches.saturating_sub(KEPT)..batches).flat_map(batch);
    newest.filter_map(|change| Some((change.key.to_vec(), change.value?.to_vec()))).collect()
}

fn child(test: &str, store: &Path, first: u64) -> (Child, BufReader<ChildStdout>) {
    let mut child = Command::new(env::current_exe().unwrap())
        .args(["--exact", test, "--nocapture", "--test-threads=1"])
        .env(STORE, store)
        .env(FIRST, first.to_string())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let output = BufReader::new(child.stdout.take().unwrap());
    (child, output)
}

/// What this process is to do with which store, if it is a child.
fn role() -> Option<(PathBuf, u64)> {
    Some((env::var_os(STORE)?.into(), env::var(FIRST).ok()?.parse().ok()?))
}

fn commit_forever(path: &Path, first: u64) {
    let mut store = open(path, &mut |_, _| {}).unwrap().store;
    println!("\nopen");
    for number in first.. {
        store.commit(&batch(number)).unwrap();
        println!("committed {number}");
    }
}

/// The number of the batch that the child says it has committed.
fn committed(line: &str) -> Option<u64> {
    line.strip_prefix("committed ")?.parse().ok()
}

/// A generator that is good enough for moments.
struct Dice(u64);

impl Dice {
    fn below(&mut self, bound: u64) -> u64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % bound
    }
}

#[test]
fn everything_that_was_acknowledged_survives_kill_9_and_batches_are_whole() {
    if let Some((path, first)) = role() {
        return commit_forever(&path, first);
    }
    let number = |name: &str| env::var(name).ok().and_then(|text| text.parse().ok());
    let rounds: u64 = number("REMQTT_KILLS").unwrap_or(40);
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_nanos() as u64;
    let seed = number("REMQTT_SEED").unwrap_or(now);
    println!("REMQTT_SEED={seed}");
    let mut dice = Dice(seed);
    let scratch = Scratch::new("kill");
    let mut done = 0;
    for round in 0..rounds {
        let (mut child, output) = child(
            "everything_that_was_acknowledged_survives_kill_9_and_batches_are_whole",
            &scratch.store(),
            done,
        );
        let mut lines = output.lines().map_while(Result::ok);
        let acknowledged = dice.below(30);
        let mut acked = lines.by_ref().filter_map(|line| committed(&line)).take(acknowledged as usize).last();
        thread::sleep(Duration::from_micros(dice.below(3_000)));
        child.kill().unwrap();
        child.wait().unwrap();
        acked = lines.filter_map(|line| committed(&line)).last().or(acked);
        let certain = acked.map_or(done, |last| last + 1);

        let mut rows = Rows::new();
        let opened = open(&scratch.store(), &mut |key, value| {
            rows.insert(key.to_vec(), value.to_vec());
        })
        .unwrap();
        assert_eq!(opened.damage, None, "round {round}, seed {seed}");
        done = (certain..=certain + 1).find(|batches| rows == rows_after(*batches)).unwrap_or_else(|| {
            panic!("round {round}, seed {seed}: {certain} batches were acknowledged: {rows:?}")
        });
    }
    println!("{rounds} kills, {done} batches");
}

#[test]
fn a_second_process_is_told_which_process_has_the_store_until_that_dies() {
    if let Some((path, first)) = role() {
        return commit_forever(&path, first);
    }
    let scratch = Scratch::new("second");
    let (mut owner, mut output) =
        child("a_second_process_is_told_which_process_has_the_store_until_that_dies", &scratch.store(), 0);
    let mut line = String::new();
    while line != "open\n" {
        line.clear();
        assert_ne!(output.read_line(&mut line).unwrap(), 0, "the child ended early");
    }
    let error = open(&scratch.store(), &mut |_, _| {}).unwrap_err();
    assert_eq!(error.code, ErrorCode::StoreLocked);
    assert!(error.detail.contains(&format!("process {}", owner.id())), "{error}");
    owner.kill().unwrap();
    owner.wait().unwrap();
    open(&scratch.store(), &mut |_, _| {}).unwrap();
}

/// A small file system of its own, where this process may mount one.
struct SmallDisk {
    path: PathBuf,
    /// Goes away after the disk was unmounted.
    _scratch: Scratch,
}

impl SmallDisk {
    fn mount(name: &str) -> Option<SmallDisk> {
        let scratch = Scratch::new(name);
        let path = scratch.0.join("disk");
        fs::create_dir(&path).unwrap();
        let mount =
            Command::new("mount").args(["-t", "tmpfs", "-o", "size=1m", "remqtt-test"]).arg(&path).output();
        match mount {
            Ok(output) if output.status.success() => Some(SmallDisk { path, _scratch: scratch }),
            output => {
                println!("skipped: no tmpfs can be mounted here: {output:?}");
                None
            }
        }
    }

    fn remount(&self, how: &str) {
        let option = format!("remount,{how}");
        let output = Command::new("mount").args(["-o", &option]).arg(&self.path).output().unwrap();
        assert!(output.status.success(), "{output:?}");
    }

    fn store(&self) -> PathBuf {
        self.path.join("session")
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("-l").arg(&self.path).output();
    }
}

fn large(number: u64) -> Change {
    Change { key: number.to_be_bytes().to_vec().into(), value: Some(vec![1; 10_000].into()) }
}

#[test]
fn a_full_disk_refuses_and_takes_everything_again_when_there_is_space() {
    let Some(disk) = SmallDisk::mount("full") else { return };
    let ballast = disk.path.join("ballast");
    fs::write(&ballast, vec![0; 400_000]).unwrap();
    let mut store = open(&disk.store(), &mut |_, _| {}).unwrap().store;
    let mut accepted = 0;
    let error = loop {
        match store.commit(&[large(accepted)]) {
            Ok(()) => accepted += 1,
            Err(error) => break error,
        }
    };
    assert_eq!(error.code, ErrorCode::StoreFailed);
    assert!(error.detail.contains("No space left"), "{error}");
    assert!(store.commit(&[large(accepted)]).is_err(), "it is still full");

    fs::remove_file(ballast).unwrap();
    store.commit(&[large(accepted)]).unwrap();
    drop(store);
    let mut rows = 0;
    let opened = open(&disk.store(), &mut |_, _| rows += 1).unwrap();
    assert_eq!((opened.damage, rows), (None, accepted + 1));
}

#[test]
fn rows_can_be_removed_while_the_disk_is_full() {
    let Some(disk) = SmallDisk::mount("drain") else { return };
    let mut store = open(&disk.store(), &mut |_, _| {}).unwrap().store;
    let accepted = (0..).take_while(|number| store.commit(&[large(*number)]).is_ok()).count() as u64;
    assert!(accepted > 0);
    for number in 0..accepted {
        store.commit(&[Change { key: number.to_be_bytes().to_vec().into(), value: None }]).unwrap();
    }
    drop(store);
    let mut rows = 0;
    let opened = open(&disk.store(), &mut |_, _| rows += 1).unwrap();
    assert_eq!((opened.damage, rows), (None, 0));
}

#[test]
fn a_store_can_be_opened_while_the_disk_is_full() {
    let Some(disk) = SmallDisk::mount("open") else { return };
    let mut store = open(&disk.store(), &mut |_, _| {}).unwrap().store;
    let accepted = (0..).take_while(|number| store.commit(&[large(*number)]).is_ok()).count();
    assert!(accepted > 0);
    drop(store);
    let _ = fs::write(disk.path.join("rest"), vec![0; 1 << 20]);
    let mut rows = 0;
    let opened = open(&disk.store(), &mut |_, _| rows += 1).unwrap();
    assert_eq!((opened.damage, rows), (None, accepted));
}

#[test]
fn a_read_only_disk_is_named_as_such() {
    let Some(disk) = SmallDisk::mount("readonly") else { return };
    drop(open(&disk.store(), &mut |_, _| {}).unwrap());
    disk.remount("ro");
    let error = open(&disk.store(), &mut |_, _| {}).unwrap_err();
    assert_eq!(error.code, ErrorCode::StoreFailed);
    assert!(error.detail.contains("Read-only"), "{error}");
}
