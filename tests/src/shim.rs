//! The process of a language: a shim that is told commands and prints events (`shims/README.md`).

use std::io::{BufRead, BufReader, Write};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::mpsc::{channel, Receiver, RecvTimeoutError};
use std::time::{Duration, Instant};

use crate::line::SAFETY;
use crate::stage::Outcome;

/// The shims that are there, with the commands that start them: Rust's is given; those of C and Python are the commands
/// in `REMQTT_SHIM_C` and `REMQTT_SHIM_PYTHON`, which `make test` sets.
pub fn shims(rust: &str) -> Vec<(&'static str, String)> {
    let mut shims = vec![("rust", rust.to_owned())];
    for (language, variable) in [("c", "REMQTT_SHIM_C"), ("python", "REMQTT_SHIM_PYTHON")] {
        match std::env::var(variable) {
            Ok(shim) => shims.push((language, shim)),
            Err(_) => println!("{language} is not played: {variable} is not set"),
        }
    }
    shims
}

/// The process of a language. It ends with its value, on every path.
#[derive(Debug)]
pub struct Shim {
    process: Child,
    commands: Option<ChildStdin>,
    events: Receiver<String>,
    complaints: Receiver<String>,
}

impl Shim {
    /// Starts a command line.
    pub fn start(shim: &str) -> Outcome<Shim> {
        let mut words = shim.split_whitespace();
        let program = words.next().ok_or("an empty shim command")?;
        let mut process = Command::new(program)
            .args(words)
            // `cargo test` puts the debug build in front of the library that the shim was linked with.
            .env_remove("LD_LIBRARY_PATH")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .map_err(|error| format!("{shim}: {error}"))?;
        let commands = process.stdin.take();
        let events = lines(process.stdout.take());
        let complaints = lines(process.stderr.take());
        Ok(Shim { process, commands, events, complaints })
    }

    /// Gives it a line of the protocol.
    pub fn tell(&mut self, line: &str) -> Outcome<()> {
        let commands = self.commands.as_mut().ok_or("the shim was told to quit")?;
        writeln!(commands, "{line}")
            .and_then(|()| commands.flush())
            .map_err(|error| format!("the shim: {error}"))
    }

    /// The next line that it prints; an error at its end.
    pub fn event(&mut self, within: Duration) -> Outcome<Option<String>> {
        match self.events.recv_timeout(within) {
            Ok(line) => Ok(Some(line)),
            Err(RecvTimeoutError::Timeout) => Ok(None),
            Err(RecvTimeoutError::Disconnected) => Err("the shim has ended".into()),
        }
    }

    /// Ends it in the orderly way.
    pub fn quit(&mut self) -> Outcome<()> {
        let _ = self.tell("quit");
        self.commands = None;
        let deadline = Instant::now() + SAFETY;
        // Stdout ends when the process does.
        while let Ok(_) | Err(RecvTimeoutError::Timeout) =
            self.events.recv_timeout(Duration::from_millis(100))
        {
            if Instant::now() > deadline {
                return Err("the shim does not quit".into());
            }
        }
        match self.process.wait() {
            Ok(status) if status.success() => Ok(()),
            Ok(status) => Err(format!("the shim ended with {status}")),
            Err(error) => Err(error.to_string()),
        }
    }

    /// Ends it, and returns what it wrote to stderr.
    pub fn complaints(&mut self) -> String {
        let _ = self.process.kill();
        self.complaints.iter().take(100).collect::<Vec<_>>().join("\n")
    }
}

impl Drop for Shim {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// The lines of a stream, read by a thread that ends with it.
fn lines(stream: Option<impl std::io::Read + Send + 'static>) -> Receiver<String> {
    let (sender, receiver) = channel();
    if let Some(stream) = stream {
        std::thread::spawn(move || {
            for line in BufReader::new(stream).lines().map_while(Result::ok) {
                if sender.send(line).is_err() {
                    return;
                }
            }
        });
    }
    receiver
}
