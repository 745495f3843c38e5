//! The subscriber processes: each its own program, its own persistent session, its own proxy.

use std::collections::HashMap;
use std::fs::File;
use std::io::{self, BufRead, BufReader};
use std::path::PathBuf;
use std::process::Stdio;
use std::sync::{Arc, Mutex};

use crate::child::Guard;
use crate::proxy;

/// What a subscriber reported. Stamps are CLOCK_MONOTONIC, taken by the process itself.
#[derive(Debug, Default)]
pub(crate) struct Report {
    pub(crate) subscribed: bool,
    pub(crate) downs: Vec<u64>,
    /// (stamp, sequence number) in the order of delivery to the application.
    pub(crate) messages: Vec<(u64, u64)>,
    pub(crate) times: HashMap<u64, u32>,
    pub(crate) ended: bool,
}

impl Report {
    fn line(&mut self, line: &str) {
        let mut words = line.split(' ');
        let (what, mut rest) = (words.next(), words.map(|w| w.parse().unwrap_or(0)));
        match (what, rest.next(), rest.next()) {
            (Some("message"), Some(seq), Some(stamp)) => {
                self.messages.push((stamp, seq));
                *self.times.entry(seq).or_default() += 1;
            }
            (Some("subscribed"), ..) => self.subscribed = true,
            (Some("down"), Some(stamp), _) => self.downs.push(stamp),
            _ => {}
        }
    }
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
    pub(crate) script: PathBuf,
    pub(crate) c: PathBuf,
    pub(crate) rust: PathBuf,
    pub(crate) logs: PathBuf,
}

pub(crate) struct Subscriber {
    pub(crate) library: Library,
    pub(crate) qos: u8,
    pub(crate) port: u16,
    pub(crate) report: Arc<Mutex<Report>>,
    pub(crate) tap: proxy::Log,
    _process: Option<Guard>,
}

impl Subscriber {
    pub(crate) fn new(library: Library, qos: u8, port: u16) -> Self {
        Self { library, qos, port, report: Arc::default(), tap: Arc::default(), _process: None }
    }

    pub(crate) fn name(&self) -> String {
        format!("{} QoS {}", self.library.name(), self.qos)
    }

    pub(crate) fn client_id(&self, run: &str) -> String {
        format!("{run}-{}", self.name().replace(' ', "-"))
    }

    /// Starts the process; its lines are read until it ends.
    pub(crate) fn start(&mut self, programs: &Programs, run: &str) -> io::Result<()> {
        let id = self.client_id(run);
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
                    command.args(["-m", "remqtt"]).arg(&programs.script);
                }
                Library::Paho => {
                    command.arg(&programs.script);
                }
            }
            command.args(["127.0.0.1", &self.port.to_string(), &id, run, &self.qos.to_string()]);
            command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(errors);
        })?;
        let Some(output) = process.child.stdout.take() else { return Err(io::Error::other("no pipe")) };
        let report = self.report.clone();
        std::thread::Builder::new().name(id).spawn(move || {
            for line in BufReader::new(output).lines().map_while(Result::ok) {
                if let Ok(mut report) = report.lock() {
                    report.line(&line);
                }
            }
            if let Ok(mut report) = report.lock() {
                report.ended = true;
            }
        })?;
        self._process = Some(process);
        Ok(())
    }
}
