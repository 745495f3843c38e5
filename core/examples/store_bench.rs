//! What the store costs: commits per second and bytes written, beside the least that any log could do, and opening.
//!
//! `cargo run --release --example store_bench [DIRECTORY [SECONDS]]`
//!
//! A message is a row of 100 bytes that is put in one commit and removed four commits later. The floor writes the same
//! bytes to a file and calls `fdatasync`, nothing else: no index, no space given back, no recovery. It comes in two
//! kinds, a file that grows and one that was filled with zeros before. The three take turns, because disks have moods.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::env;
use std::fs::{self, File};
use std::io::Write;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use bytes::Bytes;
use remqtt::store::{open, Change};

const PAYLOAD: usize = 84;
const KEPT: u64 = 4;
const TURNS: u32 = 4;

fn main() {
    let mut arguments = env::args().skip(1);
    let directory = arguments.next().map_or_else(env::temp_dir, PathBuf::from).join("remqtt-store-bench");
    let time = arguments.next().map_or(2.0, |seconds| seconds.parse().expect("seconds"));
    let turn = Duration::from_secs_f64(time) / TURNS;
    fs::create_dir_all(&directory).unwrap();
    println!("{:>5}  {:^35}  {:^35}  {:^35}", "", "store", "append + fdatasync", "overwrite + fdatasync");
    let columns = format!("{:>9} {:>10} {:>8} {:>5}", "commits/s", "messages/s", "bytes/m", "ratio");
    println!("batch  {columns}  {columns}  {columns}");
    for size in [1, 16, 256, 1024] {
        let mut sums = [Sum::default(), Sum::default(), Sum::default()];
        let path = directory.join("session");
        let mut rows = open(&path, &mut |_, _| {}).unwrap().store;
        let mut growing = Log::new(directory.join("growing"), 0);
        let mut filled = Log::new(directory.join("filled"), 64 << 20);
        let mut next = 0;
        for _ in 0..TURNS {
            let from = next;
            next += sums[0].run(turn, |number| rows.commit(&batch(from + number, size)).unwrap());
            sums[1].run(turn, |number| growing.append(number, size));
            sums[2].run(turn, |number| filled.append(number, size));
        }
        drop(rows);
        let ours = sums[0].rate();
        print!("{size:>5}");
        for sum in &sums {
            let (rate, bytes) = (sum.rate(), sum.bytes as f64 / (sum.commits * size) as f64);
            print!("  {rate:>9.0} {:>10.0} {bytes:>8.0} {:>5.2}", rate * size as f64, rate / ours);
        }
        println!();
        remove(&path);
    }
    opening(&directory);
    fs::remove_dir_all(&directory).unwrap();
}

/// Commits, and what they took.
#[derive(Default)]
struct Sum {
    commits: u64,
    time: Duration,
    bytes: u64,
}

impl Sum {
    fn run(&mut self, turn: Duration, mut commit: impl FnMut(u64)) -> u64 {
        let (start, before) = (Instant::now(), written());
        let mut count = 0;
        while start.elapsed() < turn {
            commit(count);
            count += 1;
        }
        self.time += start.elapsed();
        self.bytes += written() - before;
        self.commits += count;
        count
    }

    fn rate(&self) -> f64 {
        self.commits as f64 / self.time.as_secs_f64()
    }
}

/// Bytes that this process sent to the disk.
fn written() -> u64 {
    let io = fs::read_to_string("/proc/self/io").unwrap_or_default();
    io.lines().find_map(|line| line.strip_prefix("write_bytes: ")).map_or(0, |bytes| bytes.parse().unwrap())
}

fn key(batch: u64, row: u64) -> Bytes {
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

    fn append(&mut self, number: u64, size: u64) {
        let mut record = Vec::new();
        for change in batch(number + KEPT, size) {
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
