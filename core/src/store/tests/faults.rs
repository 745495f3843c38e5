//! Disks that fail, and what is left after a power cut.

use std::fs::{self, File};
use std::io;
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::sync::Arc;

use nix::libc;
use parking_lot::Mutex;
use redb::{Database, ReadableDatabase, TableDefinition};

use super::super::disk::{Disk, Plug};
use super::super::{open_with, Change, ErrorCode, SessionStore};
use super::support::*;

const SECTOR: usize = 512;

/// A file on a device that may fail, and what that device has for certain.
#[derive(Debug, Default)]
struct Device {
    /// What a power cut leaves at least.
    safe: Vec<u8>,
    /// Since the last sync.
    unsafe_writes: Vec<Write>,
    fault: Option<Fault>,
    dice: Dice,
}

#[derive(Debug, Clone)]
enum Write {
    Data(u64, Vec<u8>),
    Len(u64),
}

#[derive(Debug, Clone, Copy, PartialEq)]
enum Operation {
    Write,
    SetLen,
    Sync,
}

#[derive(Debug, Clone, Copy)]
struct Fault {
    operation: Operation,
    errno: i32,
    /// Operations of the kind before it.
    after: u32,
    /// It stays until somebody takes it away.
    lasting: bool,
}

fn put_at(image: &mut Vec<u8>, write: &Write) {
    match write {
        Write::Data(offset, data) => {
            let (from, to) = (*offset as usize, *offset as usize + data.len());
            image.resize(image.len().max(to), 0);
            image[from..to].copy_from_slice(data);
        }
        Write::Len(len) => image.resize(*len as usize, 0),
    }
}

impl Device {
    fn check(&mut self, operation: Operation) -> io::Result<()> {
        match &mut self.fault {
            Some(fault) if fault.operation == operation && fault.after == 0 => {
                let errno = fault.errno;
                if !fault.lasting {
                    self.fault = None;
                }
                Err(io::Error::from_raw_os_error(errno))
            }
            Some(fault) if fault.operation == operation => {
                fault.after -= 1;
                Ok(())
            }
            _ => Ok(()),
        }
    }

    /// A sync that failed: some of the writes arrived, and the system will never try the others again.
    fn lose(&mut self) {
        for write in std::mem::take(&mut self.unsafe_writes) {
            self.arrive(&write, &mut |device, write| put_at(&mut device.safe, &write));
        }
    }

    /// Calls `put` for those sectors of a write that happen to arrive.
    fn arrive(&mut self, write: &Write, put: &mut dyn FnMut(&mut Device, Write)) {
        match write {
            Write::Data(offset, data) => {
                let whole = self.dice.below(3);
                for (number, sector) in data.chunks(SECTOR).enumerate() {
                    if whole == 0 || whole == 1 && self.dice.below(2) == 0 {
                        put(self, Write::Data(offset + (number * SECTOR) as u64, sector.to_vec()));
                    }
                }
            }
            Write::Len(_) if self.dice.below(2) == 0 => put(self, write.clone()),
            Write::Len(_) => {}
        }
    }

    /// What is there after a power cut at this moment.
    fn power_cut(&mut self) -> Vec<u8> {
        let mut image = self.safe.clone();
        for write in self.unsafe_writes.clone() {
            self.arrive(&write, &mut |_, write| put_at(&mut image, &write));
        }
        image
    }
}

#[derive(Debug)]
struct Faulty {
    file: File,
    device: Arc<Mutex<Device>>,
}

impl Disk for Faulty {
    fn len(&self) -> io::Result<u64> {
        Disk::len(&self.file)
    }

    fn read(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        self.file.read(offset, out)
    }

    fn write(&self, offset: u64, data: &[u8]) -> io::Result<()> {
        let mut device = self.device.lock();
        device.check(Operation::Write)?;
        device.unsafe_writes.push(Write::Data(offset, data.to_vec()));
        self.file.write(offset, data)
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        let mut device = self.device.lock();
        device.check(Operation::SetLen)?;
        device.unsafe_writes.push(Write::Len(len));
        Disk::set_len(&self.file, len)
    }

    fn sync(&self) -> io::Result<()> {
        let mut device = self.device.lock();
        if let Err(error) = device.check(Operation::Sync) {
            device.lose();
            return Err(error);
        }
        let device = &mut *device;
        device.unsafe_writes.drain(..).for_each(|write| put_at(&mut device.safe, &write));
        Ok(())
    }
}

/// A store on a device that can be told to fail.
struct Bench {
    scratch: Scratch,
    device: Arc<Mutex<Device>>,
    store: Box<dyn SessionStore>,
}

impl Bench {
    fn new(seed: u64) -> Bench {
        let scratch = Scratch::new();
        let device = Arc::new(Mutex::new(Device { dice: Dice::new(seed), ..Device::default() }));
        let below = device.clone();
        let plug: Plug = Arc::new(move |file| Box::new(Faulty { file, device: below.clone() }));
        let store = open_with(&scratch.store(), &mut |_, _| {}, plug).unwrap().store;
        Bench { scratch, device, store }
    }

    fn fail(&self, operation: Operation, errno: i32, after: u32, lasting: bool) {
        self.device.lock().fault = Some(Fault { operation, errno, after, lasting });
    }

    fn mend(&self) {
        self.device.lock().fault = None;
    }

    /// What a start after a power cut at this moment finds.
    fn after_power_cut(&self) -> Rows {
        rows_of_image(&self.scratch, &self.device.lock().power_cut())
    }
}

fn rows_of_image(scratch: &Scratch, image: &[u8]) -> Rows {
    let path = scratch.store().with_extension("cut");
    fs::write(&path, image).unwrap();
    let (opened, rows) = read(&path);
    // The machine was not really started anew, so that a torn commit passes for damage here.
    if let Some(damage) = opened.damage {
        assert!(damage.what.contains("undone"), "{damage}");
    }
    rows
}

fn batch(number: u64) -> Vec<Change> {
    let removed = number.checked_sub(3).map(|old| (old * 20..old * 20 + 20).map(|n| remove(n.to_be_bytes())));
    removed.into_iter().flatten().chain((number * 20..number * 20 + 20).map(message)).collect()
}

fn after(batches: u64) -> Rows {
    rows_of(&(0..batches).flat_map(batch).collect::<Vec<_>>())
}

#[test]
fn a_failed_sync_loses_nothing_although_the_system_forgets_what_it_could_not_write() {
    for seed in 0..20 {
        let mut bench = Bench::new(seed);
        (0..5).for_each(|number| bench.store.commit(&batch(number)).unwrap());
        bench.fail(Operation::Sync, libc::EIO, 0, false);
        let error = bench.store.commit(&batch(5)).unwrap_err();
        assert_eq!(error.code, ErrorCode::StoreFailed);
        assert_eq!(bench.after_power_cut(), after(5), "seed {seed}, after the failure");
        bench.store.commit(&batch(5)).unwrap();
        bench.store.commit(&batch(6)).unwrap();
        assert_eq!(bench.after_power_cut(), after(7), "seed {seed}, after going on");
    }
}

#[test]
fn an_error_names_the_file_and_says_what_the_system_said() {
    let mut bench = Bench::new(1);
    bench.fail(Operation::Write, libc::ENOSPC, 0, false);
    let error = bench.store.commit(&batch(0)).unwrap_err();
    assert!(error.detail.contains("session") && error.detail.contains("No space left"), "{error}");
}

#[test]
fn a_disk_that_stays_broken_is_tried_again_until_it_works() {
    for (operation, errno) in [
        (Operation::Write, libc::ENOSPC),
        (Operation::Write, libc::EROFS),
        (Operation::Write, libc::EDQUOT),
        (Operation::Sync, libc::EIO),
        (Operation::SetLen, libc::ENOSPC),
    ] {
        let mut bench = Bench::new(2);
        (0..3).for_each(|number| bench.store.commit(&batch(number)).unwrap());
        bench.fail(operation, errno, 0, true);
        let large = put("large", vec![1; 4 << 20]);
        for _ in 0..5 {
            let error = bench.store.commit(std::slice::from_ref(&large)).unwrap_err();
            assert_eq!(error.code, ErrorCode::StoreFailed, "{operation:?}");
        }
        bench.mend();
        bench.store.commit(&[large]).unwrap();
        bench.store.commit(&[remove("large")]).unwrap();
        assert_eq!(bench.after_power_cut(), after(3), "{operation:?}");
    }
}

#[test]
fn whatever_fails_and_whenever_the_power_goes_a_batch_is_there_or_not() {
    let seed = std::env::var("REMQTT_SEED").ok().and_then(|text| text.parse().ok()).unwrap_or(7);
    println!("REMQTT_SEED={seed}");
    let mut dice = Dice::new(seed);
    for case in 0..25 {
        let mut bench = Bench::new(seed + case);
        let mut done = 0;
        for _ in 0..40 {
            if dice.below(3) == 0 {
                let operation =
                    [Operation::Write, Operation::SetLen, Operation::Sync][dice.below(3) as usize];
                let errno = [libc::EIO, libc::ENOSPC][dice.below(2) as usize];
                bench.fail(operation, errno, dice.below(12) as u32, dice.below(4) == 0);
            }
            let failed = bench.store.commit(&batch(done)).is_err();
            done += u64::from(!failed);
            if dice.below(3) == 0 {
                let rows = bench.after_power_cut();
                let possible = rows == after(done) || failed && rows == after(done + 1);
                assert!(possible, "seed {seed}, case {case}: {done} batches were acknowledged");
            }
            if dice.below(2) == 0 {
                bench.mend();
            }
        }
        bench.mend();
        bench.store.commit(&batch(done)).unwrap();
        assert_eq!(bench.after_power_cut(), after(done + 1), "seed {seed}, case {case}");
    }
}

#[test]
fn a_power_cut_at_any_operation_of_a_commit_leaves_all_of_it_or_nothing() {
    // The device fails for good at one operation after the other, which is what a power cut is to the file.
    for stop in 0..40 {
        let mut bench = Bench::new(stop.into());
        (0..4).for_each(|number| bench.store.commit(&batch(number)).unwrap());
        bench.fail(Operation::Write, libc::EIO, stop, true);
        let failed = bench.store.commit(&batch(4)).is_err();
        let rows = bench.after_power_cut();
        assert!(rows == after(5) || failed && rows == after(4), "stop {stop}");
    }
}

#[test]
fn a_store_whose_directory_was_removed_is_written_anew() {
    let scratch = Scratch::new();
    let path = scratch.store().join("below").join("rows");
    let (mut store, _) = sound(&path);
    store.commit(&batch(0)).unwrap();
    fs::remove_dir_all(path.parent().unwrap()).unwrap();
    store.commit(&batch(1)).unwrap();
    drop(store);
    assert_eq!(sound(&path).1, after(2));
}

#[test]
fn a_row_that_is_damaged_while_the_store_is_open_is_told_and_not_left_behind_when_it_is_written_anew() {
    let scratch = Scratch::new();
    let (mut store, _) = sound(&scratch.store());
    // More than redb keeps in memory.
    let changes: Vec<Change> = (0..=99).map(|number| put([number], [number; 10_000])).collect();
    store.commit(&changes).unwrap();
    let file = fs::OpenOptions::new().read(true).write(true).open(scratch.store()).unwrap();
    let bytes = fs::read(scratch.store()).unwrap();
    let at = bytes.windows(1_000).position(|window| window == [7; 1_000]).unwrap();
    file.write_all_at(&[8], at as u64 + 500).unwrap();
    fs::remove_file(scratch.store()).unwrap();
    let more = [put("more", "1")];
    assert_eq!(store.commit(&more).unwrap_err().code, ErrorCode::StoreFailed);
    let error = store.commit(&more).unwrap_err();
    assert_eq!(error.code, ErrorCode::StoreDamaged);
    assert!(error.detail.contains("1 lost"), "{error}");
    store.commit(&more).unwrap();
    drop(store);
    let mut expected = rows_of(&[&changes[..], &more].concat());
    expected.remove(&[7][..]);
    assert_eq!(sound(&scratch.store()).1, expected);
}

#[test]
fn while_its_directory_cannot_be_made_commits_fail_and_then_nothing_is_missing() {
    let scratch = Scratch::new();
    let path = scratch.store().join("rows");
    let directory: &Path = path.parent().unwrap();
    let (mut store, _) = sound(&path);
    store.commit(&batch(0)).unwrap();
    fs::remove_dir_all(directory).unwrap();
    fs::write(directory, "in the way").unwrap();
    assert_eq!(store.commit(&batch(1)).unwrap_err().code, ErrorCode::StoreFailed);
    fs::remove_file(directory).unwrap();
    store.commit(&batch(1)).unwrap();
    drop(store);
    assert_eq!(sound(&path).1, after(2));
}

#[test]
fn a_file_that_was_put_in_its_place_is_not_overwritten() {
    let scratch = Scratch::new();
    let (mut store, _) = sound(&scratch.store());
    fs::rename(scratch.store(), scratch.store().with_extension("moved")).unwrap();
    fs::write(scratch.store(), "precious").unwrap();
    assert_eq!(store.commit(&batch(0)).unwrap_err().code, ErrorCode::StoreFailed);
    assert_eq!(fs::read(scratch.store()).unwrap(), b"precious");
}

#[test]
fn a_drained_store_gives_its_space_back() {
    let scratch = Scratch::new();
    let (mut store, _) = sound(&scratch.store());
    let payload = vec![7; 1000];
    for first in (0..20_000_u64).step_by(1000) {
        store
            .commit(&(first..first + 1000).map(|n| put(n.to_be_bytes(), &payload)).collect::<Vec<_>>())
            .unwrap();
    }
    let full = store.size();
    for first in (0..19_990_u64).step_by(1000) {
        store
            .commit(&(first..19_990.min(first + 1000)).map(|n| remove(n.to_be_bytes())).collect::<Vec<_>>())
            .unwrap();
    }
    assert!(full > 20_000_000 && store.size() < 4_000_000, "{full} bytes became {}", store.size());
    drop(store);
    assert_eq!(sound(&scratch.store()).1.len(), 10);
}

/// How many writes the device must take before the store in this file opens.
fn writes_to_open(file: &[u8]) -> u32 {
    let opens = |after: &u32| {
        let scratch = Scratch::new();
        fs::write(scratch.store(), file).unwrap();
        let fault = Fault { operation: Operation::Write, errno: libc::ENOSPC, after: *after, lasting: true };
        let device = Arc::new(Mutex::new(Device { fault: Some(fault), ..Device::default() }));
        let plug: Plug = Arc::new(move |file| Box::new(Faulty { file, device: device.clone() }));
        open_with(&scratch.store(), &mut |_, _| {}, plug).is_ok()
    };
    (0..100).find(opens).unwrap()
}

const META: TableDefinition<&str, u32> = TableDefinition::new("meta");

/// The store was last written in another run of the system.
fn seem_older(path: &Path) {
    let db = Database::open(path).unwrap();
    let txn = db.begin_write().unwrap();
    txn.open_table(META).unwrap().insert("boot", 1).unwrap();
    txn.commit().unwrap();
}

#[test]
fn a_disk_that_is_full_after_the_machine_was_started_is_no_reason_not_to_open_a_store() {
    let scratch = Scratch::new();
    leave(&scratch.store(), &batch(0));
    let this_run = fs::read(scratch.store()).unwrap();
    seem_older(&scratch.store());
    let another_run = fs::read(scratch.store()).unwrap();
    assert_eq!(writes_to_open(&another_run), writes_to_open(&this_run));
}

#[test]
fn the_first_commit_after_the_machine_was_started_notes_that() {
    let scratch = Scratch::new();
    let boot = || {
        let db = Database::open(scratch.store()).unwrap();
        let table = db.begin_read().unwrap().open_table(META).unwrap();
        table.get("boot").unwrap().unwrap().value()
    };
    leave(&scratch.store(), &batch(0));
    let this_run = boot();
    seem_older(&scratch.store());
    leave(&scratch.store(), &batch(1));
    assert_eq!(boot(), this_run);
}
