//! What the store costs: commits per second and bytes written, beside the least that any log could do, and opening.
//!
//! `cargo run --release --example store_bench [DIRECTORY [SECONDS]]`
//!
//! A message is a row of 100 bytes that is put in one commit and removed four commits later. The floor writes the same
//! bytes to a file and calls `fdatasync`, nothing else: no index, no space given back, no recovery. It comes in two
//! kinds, a file that grows and one that was filled with zeros before. The three take turns, commit by commit, and
//! medians are compared, because disks have moods.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::env;
use std::fs::{self, File};
use std::io::Write;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use bytes::Bytes;
use remqtt::store::{open, Change, Key};

const PAYLOAD: usize = 84;
const KEPT: u64 = 4;

fn main() {
    let mut arguments = env::args().skip(1);
    let directory = arguments.next().map_or_else(env::temp_dir, PathBuf::from).join("remqtt-store-bench");
    let time =
        Duration::from_secs_f64(arguments.next().map_or(5.0, |seconds| seconds.parse().expect("seconds")));
    fs::create_dir_all(&directory).unwrap();
    println!("{:>5}  {:^34}  {:^34}  {:^34}", "", "store", "append + fdatasync", "overwrite + fdatasync");
    let columns = format!("{:>8} {:>11} {:>7} {:>5}", "µs", "messages/s", "bytes/m", "ratio");
    println!("batch  {columns}  {columns}  {columns}");
    for size in [1, 16, 256, 1024] {
        let path = directory.join("session");
        let mut rows = open(&path, &mut |_, _| {}).unwrap().store;
        let mut growing = Log::new(directory.join("growing"), 0);
        let mut filled = Log::new(directory.join("filled"), 64 << 20);
        let mut costs = [Costs::default(), Costs::default(), Costs::default()];
        let start = Instant::now();
        for number in 0.. {
            let changes = batch(number, size);
            costs[0].add(|| rows.commit(&changes).unwrap());
            costs[1].add(|| growing.append(&changes));
            costs[2].add(|| filled.append(&changes));
            if start.elapsed() > time {
                break;
            }
        }
        drop(rows);
        print!("{size:>5}");
        let ours = costs[0].median();
        for cost in &mut costs {
            let (median, bytes) =
                (cost.median(), cost.bytes as f64 / (cost.times.len() as u64 * size) as f64);
            let seconds = median.as_secs_f64();
            let ratio = ours.as_secs_f64() / seconds;
            print!("  {:>8.0} {:>11.0} {bytes:>7.0} {ratio:>5.2}", seconds * 1e6, size as f64 / seconds);
        }
        println!();
        remove(&path);
    }
    opening(&directory);
    fs::remove_dir_all(&directory).unwrap();
}

/// What commits took.
#[derive(Default)]
struct Costs {
    times: Vec<Duration>,
    bytes: u64,
}

impl Costs {
    fn add(&mut self, commit: impl FnOnce()) {
        let before = written();
        let start = Instant::now();
        commit();
        self.times.push(start.elapsed());
        self.bytes += written() - before;
    }

    fn median(&mut self) -> Duration {
        self.times.sort();
        self.times[self.times.len() / 2]
    }
}

/// Bytes that this process sent to the disk.
fn written() -> u64 {
    let io = fs::read_to_string("/proc/self/io").unwrap_or_default();
    io.lines().find_map(|line| line.strip_prefix("write_bytes: ")).map_or(0, |bytes| bytes.parse().unwrap())
}

fn key(batch: u64, row: u64) -> Key {
    [batch.to_be_bytes(), row.to_be_bytes()].concat().into()
}

fn batch(number: u64, size: u64) -> Vec<Change> {
    let payload = Bytes::from_static(&[0x55; PAYLOAD]);
    let old = number.checked_sub(KEPT);
    let removed =
        old.into_iter().flat_map(|old| (0..size).map(move |row| Change { key: key(old, row), value: None }));
    removed
        .chain((0..size).map(|row| Change { key: key(number, row), value: Some(payload.clone()) }))
        .collect()
}

/// A file that is only written to. It goes with its value.
struct Log {
    path: PathBuf,
    file: File,
    at: u64,
    /// Where it begins again, if it does.
    len: u64,
}

impl Log {
    fn new(path: PathBuf, len: u64) -> Log {
        let mut file = File::create(&path).unwrap();
        // Page by page, or the system counts every write to it as one of megabytes.
        (0..len / 4096).for_each(|_| file.write_all(&[0; 4096]).unwrap());
        file.sync_all().unwrap();
        Log { path, file, at: 0, len }
    }

    fn append(&mut self, changes: &[Change]) {
        let mut record = Vec::new();
        for change in changes {
            record.extend_from_slice(&change.key);
            record.extend_from_slice(change.value.as_deref().unwrap_or_default());
            record.extend_from_slice(&[0; 8]); // a length and a checksum
        }
        if self.at + record.len() as u64 > self.len && self.len > 0 {
            self.at = 0;
        }
        self.file.write_all_at(&record, self.at).unwrap();
        self.at += record.len() as u64;
        self.file.sync_data().unwrap();
    }
}

impl Drop for Log {
    fn drop(&mut self) {
        let _ = fs::remove_file(&self.path);
    }
}

fn opening(directory: &Path) {
    println!("\n{:>8}  {:>10}  {:>10}  {:>10}", "rows", "open", "after kill", "bytes");
    for count in [1_000, 10_000, 100_000_u64] {
        let path = directory.join("session");
        let mut store = open(&path, &mut |_, _| {}).unwrap().store;
        for first in (0..count).step_by(1000) {
            let payload = Bytes::from_static(&[0x55; PAYLOAD]);
            let rows =
                (first..first + 1000).map(|row| Change { key: key(0, row), value: Some(payload.clone()) });
            store.commit(&rows.collect::<Vec<_>>()).unwrap();
        }
        let size = store.size();
        // What the file is now is what a killed process leaves.
        fs::copy(&path, directory.join("killed")).unwrap();
        drop(store);
        println!(
            "{count:>8}  {:>7.1} ms  {:>7.1} ms  {size:>10}",
            time(&path, count),
            time(&directory.join("killed"), count)
        );
        remove(&path);
        remove(&directory.join("killed"));
    }
}

/// Milliseconds that opening takes.
fn time(path: &Path, expected: u64) -> f64 {
    let mut best = f64::MAX;
    for _ in 0..3 {
        let copy = path.with_extension("copy");
        fs::copy(path, &copy).unwrap();
        let mut rows = 0;
        let start = Instant::now();
        let opened = open(&copy, &mut |_, _| rows += 1).unwrap();
        best = best.min(start.elapsed().as_secs_f64() * 1000.0);
        assert!(opened.damage.is_none() && rows == expected);
        drop(opened);
        remove(&copy);
    }
    best
}

fn remove(path: &Path) {
    fs::remove_file(path).unwrap();
}
