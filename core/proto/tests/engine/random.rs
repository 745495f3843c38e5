//! Random operations, cuts, lost sessions and late answers against a server that keeps its own books.

use crate::bench::*;
use crate::server::Server;
use remqtt_proto::{
    ByteString, Bytes, Command, Delivery, ErrorCode, Event, Input, Options, Outcome, Properties, Publish,
    QoS, Reason, State, Version,
};
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

struct Random(u64);

impl Random {
    fn below(&mut self, bound: u64) -> u64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % bound
    }
}

struct Story {
    bench: Bench,
    server: Server,
    random: Random,
    /// The server never loses its session in this story.
    faithful: bool,
    seen: usize,
    linked: u64,
    /// On their way to the client.
    downstream: Vec<u8>,
    next: u64,
    qos: BTreeMap<u64, QoS>,
    wanted: BTreeSet<String>,
    /// What the server published, with its QoS.
    told: BTreeMap<u32, u8>,
    heard: Vec<u32>,
    unacknowledged: Vec<Delivery>,
    completed: BTreeMap<u64, Outcome>,
    started: bool,
}

impl Story {
    fn new(seed: u64) -> Story {
        let mut random = Random(seed);
        let version = if random.below(2) == 0 { Version::V4 } else { Version::V5 };
        let options = Options {
            protocol_version: version,
            max_inflight: 1 + random.below(9) as u16,
            quarantine_after: 0,
            ..options()
        };
        Story {
            bench: Bench::new(options),
            server: Server::new(version as u8),
            faithful: random.below(2) == 0,
            random,
            seen: 0,
            linked: 0,
            downstream: Vec::new(),
            next: 1,
            qos: BTreeMap::new(),
            wanted: BTreeSet::new(),
            told: BTreeMap::new(),
            heard: Vec::new(),
            unacknowledged: Vec::new(),
            completed: BTreeMap::new(),
            started: false,
        }
    }

    fn step(&mut self) {
        match self.random.below(24) {
            0..=3 => self.publish(),
            4 => self.request(),
            5..=9 => self.upstream(),
            10..=13 => self.downstream(),
            14..=15 => {
                let (number, qos) = (self.told.len() as u32, self.random.below(3) as u8);
                if self.server.publish(number, qos).is_some() {
                    self.told.insert(number, qos);
                }
            }
            16..=17 => self.acknowledge(),
            18 => self.cut(),
            19 => self.start_or_stop(),
            20 => {
                let paused = self.random.below(2) == 0;
                self.bench.give(Input::ReadingPaused(paused));
            }
            21 => self.bench.command(Command::ConnectedHandled),
            _ => {
                let length = Duration::from_millis(self.random.below(400));
                self.bench.pass(length);
            }
        }
        self.look();
    }

    fn ticket(&mut self) -> u64 {
        self.next += 1;
        self.next - 1
    }

    fn publish(&mut self) {
        let ticket = self.ticket();
        let qos = QoS::from_u8(self.random.below(3) as u8).unwrap_or_default();
        self.qos.insert(ticket, qos);
        let payload = Bytes::copy_from_slice(&(ticket as u32).to_be_bytes());
        self.bench.command(Command::Publish(ticket, Publish { payload, ..message(qos) }));
    }

    fn request(&mut self) {
        let ticket = self.ticket();
        let name = format!("f{}", self.random.below(5));
        if self.random.below(3) > 0 {
            self.bench.command(Command::Subscribe(ticket, filter(&name), Properties::new()));
            self.wanted.insert(name);
        } else {
            let filters = vec![ByteString::from(name.as_str())];
            self.bench.command(Command::Unsubscribe(ticket, filters, Properties::new()));
            self.wanted.remove(&name);
        }
    }

    /// What the client sends reaches the server.
    fn upstream(&mut self) {
        if self.linked == self.bench.attempt {
            let bytes = self.bench.sent();
            self.server.receive(&bytes);
        }
    }

    /// Some of what the server sends reaches the client, cut anywhere.
    fn downstream(&mut self) {
        if self.linked != self.bench.attempt {
            return;
        }
        for _ in 0..self.random.below(4) {
            self.downstream.extend(self.server.answer().unwrap_or_default());
        }
        let length = self.random.below(self.downstream.len() as u64 + 1) as usize;
        let bytes: Vec<u8> = self.downstream.drain(..length).collect();
        self.bench.receive(&bytes);
    }

    fn acknowledge(&mut self) {
        if !self.unacknowledged.is_empty() {
            let which = self.random.below(self.unacknowledged.len() as u64) as usize;
            let delivery = self.unacknowledged.swap_remove(which);
            self.bench.command(Command::Acknowledge(vec![delivery]));
        }
    }

    fn cut(&mut self) {
        if self.linked == self.bench.attempt {
            let bytes = self.bench.poll();
            let arrives = self.random.below(bytes.len() as u64 + 1) as usize;
            self.server.receive(&bytes[..arrives]);
            self.server.keeps_session = self.faithful || self.random.below(3) > 0;
            self.linked = 0;
            self.bench.cut();
        }
    }

    fn start_or_stop(&mut self) {
        if self.started && self.random.below(4) > 0 {
            return;
        }
        self.started = !self.started;
        self.bench.command(if self.started { Command::Start } else { Command::Stop(Reason::default()) });
    }

    /// Reads the events, and brings a link up where one is wanted.
    fn look(&mut self) {
        while let Some(event) = self.bench.events.get(self.seen).cloned() {
            self.seen += 1;
            match event {
                Event::Completed(ticket, outcome) => {
                    self.server.complete.insert(ticket as u32);
                    assert!(self.completed.insert(ticket, outcome).is_none(), "{ticket} completes twice");
                }
                Event::Message(message) => {
                    let number = message.publish.payload.iter().fold(0, |sum, b| sum << 8 | u32::from(*b));
                    self.heard.push(number);
                    self.unacknowledged.extend(message.delivery);
                }
                _ => {}
            }
        }
        if self.bench.engine.state() == State::Connecting && self.linked != self.bench.attempt {
            self.server.receive_maximum = if self.bench.engine.options().protocol_version == Version::V5 {
                1 + self.random.below(5) as u16
            } else {
                65_535
            };
            let late_answers = self.random.below(2) == 0;
            self.server.accept(late_answers);
            self.downstream.clear();
            self.linked = self.bench.attempt;
            self.bench.give(Input::LinkUp(self.linked));
        }
    }

    /// From here on nothing goes wrong.
    fn come_to_rest(&mut self) {
        self.bench.give(Input::ReadingPaused(false));
        if !self.started {
            self.bench.command(Command::Start);
        }
        for _ in 0..2_000 {
            self.upstream();
            self.downstream();
            self.acknowledge();
            self.bench.pass(Duration::from_millis(20));
            self.look();
        }
    }

    fn check(&self) {
        assert_eq!(self.completed.len() as u64, self.next - 1, "every ticket completes");
        assert!(self.server.is_idle() && self.unacknowledged.is_empty());
        assert_eq!(self.server.subscriptions, self.wanted);
        for (ticket, qos) in &self.qos {
            let times = self.server.arrived.iter().filter(|number| u64::from(**number) == *ticket).count();
            match (&self.completed[ticket], qos) {
                (Outcome::Published(..), QoS::AtMostOnce) => assert!(times <= 1),
                (Outcome::Published(..), QoS::ExactlyOnce) if self.faithful => {
                    assert_eq!(times, 1, "{ticket}");
                }
                (Outcome::Published(..), _) => assert!(times >= 1, "{ticket} is lost"),
                (Outcome::Failed(error, _), QoS::AtMostOnce) => {
                    assert_eq!(error.code, ErrorCode::ConnectionLost);
                }
                (other, _) => assert_eq!(Some(other), None, "{ticket}"),
            }
        }
        let mut first_arrivals: Vec<u32> = Vec::new();
        for number in &self.server.arrived {
            if !first_arrivals.contains(number) {
                first_arrivals.push(*number);
            }
        }
        assert!(
            first_arrivals.is_sorted(),
            "messages arrive in the order of their calls: {first_arrivals:?}"
        );
        let stats = self.bench.engine.stats();
        assert_eq!((stats.inflight, stats.backlog_messages, stats.backlog_bytes), (0, 0, 0));
        if self.faithful {
            assert_eq!(stats.unacknowledged, 0);
            self.check_heard();
        }
    }

    /// The session was never lost: QoS 2 came exactly once, QoS 1 at least once.
    fn check_heard(&self) {
        for (number, qos) in &self.told {
            let times = self.heard.iter().filter(|heard| *heard == number).count();
            match qos {
                0 => assert!(times <= 1),
                1 => assert!(times >= 1, "{number} is lost"),
                _ => assert_eq!(times, 1, "{number}"),
            }
        }
    }
}

#[test]
fn nothing_is_lost_doubled_or_left_over_whatever_happens_to_the_link() {
    for seed in 0..150 {
        let mut story = Story::new(seed);
        for _ in 0..400 {
            story.step();
        }
        story.come_to_rest();
        story.check();
    }
}
