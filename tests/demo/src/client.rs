//! The measured processes: each its own program, its own persistent session, its own proxy.

use std::collections::HashMap;
use std::fs::File;
use std::io::{self, BufRead, BufReader};
use std::path::PathBuf;
use std::process::Stdio;
use std::sync::{Arc, Mutex};

use nix::sys::signal::{kill, Signal};
use nix::unistd::Pid;

use crate::child::Guard;
use crate::proxy;
use crate::publisher::Source;

/// What became of a client's messages. Stamps are CLOCK_MONOTONIC, taken where it happened.
#[derive(Debug, Default)]
pub(crate) struct Report {
    /// Subscribed, or ready to publish.
    pub(crate) ready: bool,
    /// When the client's disconnect callback was called.
    pub(crate) downs: Vec<u64>,
    /// When an attempt to connect failed, and why, as far as the client's language tells.
    pub(crate) failures: Vec<(u64, String)>,
    /// (stamp, sequence number) in the order of delivery: to the subscriber's application, or, of a publisher's messages,
    /// to the sink.
    pub(crate) messages: Vec<(u64, u64)>,
    pub(crate) times: HashMap<u64, u32>,
    pub(crate) highest: u64,
    pub(crate) ended: bool,
}

impl Report {
    pub(crate) fn message(&mut self, seq: u64, stamp: u64) {
        self.messages.push((stamp, seq));
        *self.times.entry(seq).or_default() += 1;
        self.highest = self.highest.max(seq);
    }

    fn line(&mut self, line: &str, role: Role, source: &Source) {
        let mut words = line.split(' ');
        let (what, mut rest) = (words.next(), words.map(|w| w.parse().unwrap_or(0)));
        match (what, rest.next(), rest.next()) {
            (Some("message"), Some(seq), Some(stamp)) => self.message(seq, stamp),
            (Some("published"), Some(_), Some(stamp)) => source.sent(stamp),
            (Some("subscribed"), ..) => self.ready = true,
            (Some("up"), ..) => self.ready |= role == Role::Publisher,
            (Some("down"), Some(stamp), _) => self.downs.push(stamp),
            (Some("failed"), Some(stamp), _) => {
                self.failures.push((stamp, line.splitn(3, ' ').nth(2).unwrap_or_default().to_owned()));
            }
            _ => {}
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Role {
    Subscriber,
    Publisher,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Library {
    RemqttPython,
    RemqttC,
    RemqttRust,
    Paho,
}

impl Library {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::RemqttPython => "remqtt Python",
            Self::RemqttC => "remqtt C",
            Self::RemqttRust => "remqtt Rust",
            Self::Paho => "paho-mqtt",
        }
    }

    pub(crate) fn ours(self) -> bool {
        self != Self::Paho
    }
}

/// Where the programs are.
#[derive(Debug, Clone)]
pub(crate) struct Programs {
    pub(crate) python: PathBuf,
    pub(crate) subscriber: PathBuf,
    pub(crate) publisher: PathBuf,
    pub(crate) c: PathBuf,
    pub(crate) rust: PathBuf,
    pub(crate) logs: PathBuf,
}

pub(crate) struct Client {
    pub(crate) library: Library,
    pub(crate) role: Role,
    pub(crate) qos: u8,
    pub(crate) port: u16,
    /// What a subscriber should get, or what a publisher has published.
    pub(crate) source: Arc<Source>,
    pub(crate) report: Arc<Mutex<Report>>,
    pub(crate) tap: proxy::Log,
    process: Option<Guard>,
}

impl Client {
    pub(crate) fn subscriber(library: Library, qos: u8, port: u16, source: Arc<Source>) -> Self {
        let role = Role::Subscriber;
        Self { library, role, qos, port, source, report: Arc::default(), tap: Arc::default(), process: None }
    }

    pub(crate) fn publisher(library: Library, qos: u8, port: u16) -> Self {
        Self { role: Role::Publisher, ..Self::subscriber(library, qos, port, Arc::default()) }
    }

    pub(crate) fn name(&self) -> String {
        let role = if self.role == Role::Publisher { " publisher" } else { "" };
        format!("{}{role} QoS {}", self.library.name(), self.qos)
    }

    pub(crate) fn client_id(&self, run: &str) -> String {
        format!("{run}-{}", self.name().replace(' ', "-"))
    }

    /// Subscribers share the run's topic, each publisher has one of its own.
    pub(crate) fn topic(&self, run: &str) -> String {
        if self.role == Role::Publisher {
            format!("{run}/{}", self.name())
        } else {
            run.to_owned()
        }
    }

    /// What the proxy is to watch.
    pub(crate) fn tapped(&self) -> proxy::Tapped {
        match self.role {
            Role::Subscriber => proxy::Tapped::ToClient(self.tap.clone()),
            Role::Publisher => proxy::Tapped::ToBroker(self.tap.clone()),
        }
    }

    /// Asks a publisher to finish.
    pub(crate) fn terminate(&self) -> io::Result<()> {
        let Some(process) = &self.process else { return Ok(()) };
        kill(Pid::from_raw(process.child.id() as i32), Signal::SIGTERM)?;
        Ok(())
    }

    /// Starts the process; its lines are read until it ends.
    pub(crate) fn start(&mut self, programs: &Programs, run: &str) -> io::Result<()> {
        let (id, topic) = (self.client_id(run), self.topic(run));
        let script = if self.role == Role::Publisher { &programs.publisher } else { &programs.subscriber };
        let errors = File::create(programs.logs.join(format!("{}.err", self.name().replace(' ', "-"))))?;
        let program = match self.library {
            Library::RemqttC => &programs.c,
            Library::RemqttRust => &programs.rust,
            Library::RemqttPython | Library::Paho => &programs.python,
        };
        let mut process = Guard::spawn(program, |command| {
            match self.library {
                Library::RemqttC => {}
                Library::RemqttRust => {
                    command.arg("subscriber");
                }
                Library::RemqttPython => {
                    command.args(["-m", "remqtt"]).arg(script);
                }
                Library::Paho => {
                    command.arg(script);
                }
            }
            command.args(["127.0.0.1", &self.port.to_string(), &id, &topic, &self.qos.to_string()]);
            command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(errors);
        })?;
        let Some(output) = process.child.stdout.take() else { return Err(io::Error::other("no pipe")) };
        let (role, source, report) = (self.role, self.source.clone(), self.report.clone());
        std::thread::Builder::new().name(id).spawn(move || {
            for line in BufReader::new(output).lines().map_while(Result::ok) {
                if let Ok(mut report) = report.lock() {
                    report.line(&line, role, &source);
                }
            }
            if let Ok(mut report) = report.lock() {
                report.ended = true;
            }
        })?;
        self.process = Some(process);
        Ok(())
    }
}
