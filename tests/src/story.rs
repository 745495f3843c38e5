//! Random operations against the model. A seed makes a story; the same seed makes the same story for ever. One that
//! breaks an invariant is shrunk to the few operations that do it and written down, and is told again from its file.

use std::fmt;

use crate::disk::DiskMood;
use crate::op::{carry_out, Op};
use crate::play::{Play, Report};
use crate::random::Random;
use crate::script::Run;
use crate::stage::Stage;
use crate::world::World;

type Result<T> = std::result::Result<T, String>;

/// A client's options, what is drawn besides, and what happens.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Story {
    options: Vec<(String, String)>,
    /// The engine's seed.
    engine: u64,
    /// The client is started before anything happens.
    started: bool,
    /// What happens.
    pub ops: Vec<Op>,
}

impl Story {
    /// The story of a seed, with so many operations.
    pub fn draw(seed: u64, operations: usize) -> Story {
        let mut random = Random::new(seed);
        let lossy = random.chance(50);
        let options = options(&mut random);
        let stored = options.iter().any(|(key, value)| key == "store" && !value.is_empty());
        let (engine, started) = (random.bits(), random.chance(80));
        let ops = (0..operations).map(|_| Op::draw(&mut random, lossy, stored)).collect();
        Story { options, engine, started, ops }
    }

    /// The story that a fuzzer's bytes mean: a seed of what is drawn, then three bytes for each operation.
    pub fn of_bytes(bytes: &[u8]) -> Story {
        let (seed, rest) = bytes.split_at(bytes.len().min(2));
        let seed = seed.iter().fold(0, |seed, byte| seed << 8 | u64::from(*byte));
        let ops = rest.chunks_exact(3).map(|op| Op::of(op[0], u16::from_be_bytes([op[1], op[2]])));
        let mut story = Story { ops: ops.collect(), ..Story::draw(seed, 0) };
        let stored = story.options.iter().any(|(key, value)| key == "store" && !value.is_empty());
        story.ops.retain(|op| stored || !matches!(op, Op::Die | Op::DieAfter(_) | Op::Disk(_)));
        story
    }

    /// Reads what `Display` has written.
    pub fn parse(text: &str) -> Result<Story> {
        let mut story = Story { options: Vec::new(), engine: 0, started: false, ops: Vec::new() };
        for line in text.lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with('#')) {
            let mut words = line.splitn(3, ' ');
            match (words.next(), words.next(), words.next()) {
                (Some("option"), Some(key), value) => {
                    story.options.push((key.to_owned(), value.unwrap_or_default().to_owned()));
                }
                (Some("engine"), Some(seed), None) => {
                    story.engine = seed.parse().map_err(|_| format!("no seed: {seed}"))?;
                }
                (Some("started"), None, None) => story.started = true,
                _ => story.ops.push(Op::parse(line).ok_or_else(|| format!("no operation: {line}"))?),
            }
        }
        Ok(story)
    }

    /// Plays it, lets everything settle and closes the books.
    pub fn play(&self) -> Report {
        let level = if self.options.iter().any(|(key, value)| key == "protocol_version" && value == "4") {
            4
        } else {
            5
        };
        let (variant, steps) = (String::new(), Vec::new());
        let options = self.options.clone();
        let run = Run { variant, level, session_kept: true, conforming: true, options, steps };
        let mut world = World::new(self.engine);
        let mut play = Play::new(&run, &mut world, None);
        let result = self.perform(&mut play);
        let mut report = play.report;
        report.failure = result.err();
        report
    }

    fn perform(&self, play: &mut Play<'_, World>) -> Result<()> {
        play.configure()?;
        play.take_over()?;
        if self.started {
            play.command("start")?;
        }
        for (number, op) in self.ops.iter().enumerate() {
            play.trace("", &format!("{op:?}"));
            carry_out(play, *op, number)?;
        }
        play.stage.refuse(false)?;
        play.stage.disk(DiskMood::Quick)?;
        play.serve_to_the_end()
    }

    /// A story that fails, with as few operations as can be found: pieces are left out, smaller and smaller ones, as long
    /// as what is left still fails.
    pub fn shrunk(mut self) -> Story {
        let mut piece = self.ops.len().div_ceil(2);
        while piece > 0 {
            let before = self.ops.len();
            let mut at = 0;
            while at < self.ops.len() {
                let mut shorter = self.clone();
                shorter.ops.drain(at..self.ops.len().min(at + piece));
                match shorter.play().failure {
                    Some(_) => self = shorter,
                    None => at += piece,
                }
            }
            piece = if self.ops.len() < before { piece } else { piece / 2 };
        }
        self
    }
}

/// The text of a story's file.
impl fmt::Display for Story {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (key, value) in &self.options {
            writeln!(f, "{}", format!("option {key} {value}").trim_end())?;
        }
        writeln!(f, "engine {}", self.engine)?;
        if self.started {
            writeln!(f, "started")?;
        }
        self.ops.iter().try_for_each(|op| writeln!(f, "{op:?}"))
    }
}

fn options(random: &mut Random) -> Vec<(String, String)> {
    let level = if random.chance(50) { 4 } else { 5 };
    let mut pick = |key: &str, values: &[&str]| {
        let value = values[random.below(values.len() as u64) as usize];
        (key.to_string(), value.to_string())
    };
    vec![
        ("protocol_version".to_string(), level.to_string()),
        pick("max_inflight", &["1", "2", "7", "1024", "1024"]),
        pick("manual_ack", &["false", "false", "true"]),
        pick("stable_after", &["0", "5000"]),
        pick("reconnect_max_delay", &["1000", "30000"]),
        pick("keepalive", &["0", "5", "60"]),
        pick("detect_within", &["0", "500", "5000"]),
        pick("lost_session_publishes", &["resend", "resend", "fail"]),
        pick("lost_session_subscriptions", &["restore", "restore", "forget"]),
        // Cuts by chance look like those of a poisoned message now and then.
        pick("quarantine_after", &["0"]),
        pick("store", &["", "simulated"]),
        pick("acknowledge", &["finished", "stored"]),
    ]
}
