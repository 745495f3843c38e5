//! A disk that is full, and one that fails, below a client in every language: what was accepted is in the file once there
//! is space again. The file system is a real one of four megabytes where one may be mounted; elsewhere the injected faults
//! of the store's own tests have to do. Errors of the disk come from a preloaded `fdatasync`.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)] // a failing test may panic anywhere

use std::fs::{self, File};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use remqtt::store::{inspect, Field};
use remqtt_tests::shim::{shims, Shim};

const PATIENCE: Duration = Duration::from_secs(60);
/// A publish of a kilobyte: so the file grows with each.
const PAYLOAD: usize = 1_024;

/// A directory with a file system of its own.
struct Small(PathBuf);

impl Small {
    fn mount(name: &str) -> Option<Small> {
        let path = std::env::temp_dir().join(format!("remqtt-small-{}-{name}", std::process::id()));
        fs::create_dir_all(&path).ok()?;
        let small = Small(path);
        let mounted = Command::new("mount")
            .args(["-t", "tmpfs", "-o", "size=4m", "tmpfs"])
            .arg(&small.0)
            .stderr(Stdio::null())
            .status();
        mounted.is_ok_and(|status| status.success()).then_some(small)
    }

    /// Leaves no byte free.
    fn fill(&self) {
        let mut filler = File::create(self.0.join("filler")).unwrap();
        while filler.write_all(&[0; 4_096]).is_ok() {}
        while filler.write_all(&[0]).is_ok() {}
    }

    fn free(&self) {
        fs::remove_file(self.0.join("filler")).unwrap();
    }
}

impl Drop for Small {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("-l").arg(&self.0).status();
        let _ = fs::remove_dir(&self.0);
    }
}

/// A client that publishes, and what became of its publishes.
struct Publisher {
    shim: Shim,
    accepted: Vec<String>,
    lines: Vec<String>,
}

impl Publisher {
    fn start(shim: &str, store: &Path) -> Publisher {
        let mut shim = Shim::start(shim).unwrap();
        for line in ["option client_id c", &format!("option store {}", store.display())] {
            shim.tell(line).unwrap();
        }
        Publisher { shim, accepted: Vec::new(), lines: Vec::new() }
    }

    fn publish(&mut self) {
        let name = format!("p{}", self.accepted.len());
        let payload = format!("{:0width$x}", self.accepted.len(), width = 2 * PAYLOAD);
        let told = self.shim.tell(&format!("publish {name} t {payload} 1 0"));
        assert!(told.is_ok(), "{told:?}, {}, {:?}", self.shim.complaints(), self.lines);
        self.accepted.push(name);
    }

    /// Publishes, one every few milliseconds, until a line begins like this.
    fn publish_until(&mut self, beginning: &str) {
        for _ in 0..20_000 {
            self.publish();
            if self.hear(beginning, Duration::from_millis(5)) {
                return;
            }
        }
        panic!("{beginning} never came: {:?}", self.lines);
    }

    /// Waits until a line begins like this.
    fn wait(&mut self, beginning: &str) {
        assert!(self.hear(beginning, PATIENCE), "{beginning} did not come: {:?}", self.lines);
    }

    fn hear(&mut self, beginning: &str, within: Duration) -> bool {
        loop {
            let line = match self.shim.event(within) {
                Ok(Some(line)) => line,
                Ok(None) => return false,
                Err(error) => panic!("{error}: {}, {:?}", self.shim.complaints(), self.lines),
            };
            // What was refused was not accepted.
            let refused = line.strip_prefix("FAILED ").filter(|_| line.contains("code=StoreFailed"));
            if let Some(name) = refused.and_then(|rest| rest.split(' ').next()) {
                self.accepted.iter_mut().filter(|accepted| *accepted == name).for_each(String::clear);
            }
            let found = line.starts_with(beginning);
            self.lines.push(line);
            if found {
                return true;
            }
        }
    }

    /// Closes the client, which writes what there is to write, and ends the process.
    fn close(mut self) -> (Vec<u64>, Vec<String>) {
        self.shim.tell("close").unwrap();
        self.wait("CLOSED");
        self.shim.quit().unwrap();
        let names = self.accepted.iter().zip(1..);
        (names.filter(|(name, _)| !name.is_empty()).map(|(_, ticket)| ticket).collect(), self.lines)
    }
}

/// The tickets of the publishes that are in a store: a shim's first publish has ticket 1.
fn publishes_in(store: &Path) -> Vec<u64> {
    let inspection = inspect(store).unwrap();
    assert_eq!(inspection.damage, None);
    let publishes = inspection.records.iter().filter(|record| record.kind == "publish");
    let tickets = publishes.map(|record| match record.fields[0] {
        ("ticket", Field::Number(ticket)) => ticket,
        _ => panic!("{record:?}"),
    });
    tickets.collect()
}

#[test]
fn a_full_disk_refuses_publishes_and_loses_none_that_it_accepted() {
    for (language, shim) in shims(env!("CARGO_BIN_EXE_shim")) {
        let Some(small) = Small::mount(language) else {
            println!("{language} is not played: no file system may be mounted here");
            continue;
        };
        let store = small.0.join("session");
        let mut client = Publisher::start(&shim, &store);
        client.publish();
        let end = Instant::now() + PATIENCE;
        while !store.exists() {
            assert!(Instant::now() < end, "{language}: the store never came: {:?}", client.lines);
            client.hear("nothing", Duration::from_millis(1));
        }
        small.fill();
        client.publish_until("STORE by=us code=StoreFailed");
        client.publish_until("FAILED ");
        small.free();
        client.wait("STORE by=us code=none");
        client.publish();
        let (accepted, lines) = client.close();
        assert_eq!(publishes_in(&store), accepted, "{language}: {lines:?}");
    }
}

#[test]
fn errors_of_the_disk_refuse_publishes_and_lose_none_that_were_accepted() {
    let directory = std::env::temp_dir().join(format!("remqtt-eio-{}", std::process::id()));
    fs::create_dir_all(&directory).unwrap();
    let faults = directory.join("eio.so");
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("c/eio.c");
    let built = Command::new("cc")
        .args(["-shared", "-fPIC", "-D_GNU_SOURCE", "-o"])
        .arg(&faults)
        .arg(&source)
        .status();
    assert!(built.unwrap().success());
    for (language, shim) in shims(env!("CARGO_BIN_EXE_shim")) {
        let store = directory.join(language);
        let mut client = Publisher::start(&format!("env LD_PRELOAD={} {shim}", faults.display()), &store);
        client.publish_until("STORE by=us code=StoreFailed");
        client.wait("STORE by=us code=none");
        client.publish();
        let (accepted, lines) = client.close();
        assert_eq!(publishes_in(&store), accepted, "{language}: {lines:?}");
    }
    fs::remove_dir_all(&directory).unwrap();
}
