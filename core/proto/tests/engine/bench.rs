//! An engine on a clock of the test's own, with its outputs carried out by hand.

use bytes::BytesMut;
use remqtt_proto::{
    ByteString, Bytes, Change, Command, Engine, Error, ErrorCode, Event, Input, Instant, Key, Lsn, Options,
    Outage, Outcome, Output, Properties, PropertyId, PropertyValue, Publish, QoS, Recovery, SessionState,
    Subscription, Transit, Version,
};
use std::collections::BTreeMap;
use std::time::Duration;

pub(crate) struct Bench {
    pub(crate) engine: Engine,
    pub(crate) now: Instant,
    pub(crate) attempt: u64,
    /// The way that is sought beside the link.
    pub(crate) probe: Option<u64>,
    /// How often another try was wanted.
    pub(crate) tries: usize,
    /// What TCP says when it is looked at.
    pub(crate) transit: Option<Transit>,
    pub(crate) events: Vec<Event>,
    /// What was given for the last hang-up.
    pub(crate) farewell: Vec<u8>,
    /// The attempt that was hung up last.
    pub(crate) hung_up: Option<u64>,
    /// Changes that nobody has made durable yet.
    pub(crate) changes: Vec<(Lsn, Change)>,
    /// The rows that are.
    pub(crate) disk: BTreeMap<Key, Bytes>,
}

impl Bench {
    pub(crate) fn new(options: Options) -> Bench {
        let now = Instant(1_000_000_000);
        Bench {
            engine: Engine::new(options, 42, now),
            now,
            attempt: 0,
            probe: None,
            tries: 0,
            transit: None,
            events: Vec::new(),
            farewell: Vec::new(),
            hung_up: None,
            changes: Vec::new(),
            disk: BTreeMap::new(),
        }
    }

    /// A client with a store, whose disk says nothing durable before it is asked.
    pub(crate) fn stored(options: Options) -> Bench {
        let mut bench = Bench::new(options.clone());
        bench.live_again(options);
        bench
    }

    /// The process dies, with what was not durable, and another one takes over.
    pub(crate) fn live_again(&mut self, options: Options) -> Recovery {
        let read = || {
            let mut recovery = Recovery::default();
            self.disk.iter().for_each(|(key, value)| recovery.row(key, value));
            recovery.complete();
            recovery
        };
        // Attempts count from 1 in every process; nothing of the last one may be taken for this one's.
        self.engine = Engine::recover(
            options,
            read(),
            43,
            self.now,
            (self.now.0 / 1_000_000) as i64 + 1_700_000_000_000,
        );
        let recovery = read();
        (self.attempt, self.changes) = (0, Vec::new());
        self.events.clear();
        self.carry_out();
        recovery
    }

    /// Makes the first `count` changes durable that wait.
    pub(crate) fn persist(&mut self, count: usize) {
        let mut last = 0;
        for (lsn, change) in self.changes.drain(..count) {
            last = lsn;
            match change.value {
                Some(value) => self.disk.insert(change.key, value),
                None => self.disk.remove(&change.key),
            };
        }
        self.give(Input::Persisted(last));
    }

    pub(crate) fn persist_all(&mut self) {
        self.persist(self.changes.len());
    }

    pub(crate) fn give(&mut self, input: Input<'_>) {
        self.engine.handle(self.now, input);
        self.carry_out();
    }

    fn carry_out(&mut self) {
        while let Some(output) = self.engine.poll_output() {
            match output {
                Output::Dial(attempt, _) | Output::Proceed(attempt) => self.attempt = attempt,
                Output::Hangup(attempt) if self.probe == Some(attempt) => self.probe = None,
                Output::Hangup(attempt) => (self.farewell, self.hung_up) = (self.poll(), Some(attempt)),
                Output::Probe(attempt, _) => self.probe = Some(attempt),
                Output::TryAgain(_) => self.tries += 1,
                Output::Inspect(attempt) => {
                    self.engine.handle(self.now, Input::Inspected(attempt, self.transit))
                }
                Output::Event(event) => self.events.push(event),
                Output::Persist(lsn, change) => self.changes.push((lsn, change)),
            }
        }
    }

    pub(crate) fn command(&mut self, command: Command) {
        self.give(Input::Command(command));
    }

    /// What the engine gives for the transport, which does not take it yet.
    pub(crate) fn poll(&mut self) -> Vec<u8> {
        let mut buffer = BytesMut::new();
        self.engine.poll_transmit(self.now, &mut buffer);
        buffer.to_vec()
    }

    /// What the engine sends.
    pub(crate) fn sent(&mut self) -> Vec<u8> {
        let bytes = self.poll();
        self.carry_out();
        if !bytes.is_empty() {
            self.give(Input::Flushed(self.attempt));
        }
        bytes
    }

    /// Lets time pass; every timer fires when it is due, and none fires twice for one moment.
    pub(crate) fn pass(&mut self, duration: Duration) {
        let end = self.now + duration;
        while let Some((at, timer)) = self.engine.poll_timeout().filter(|(at, _)| *at <= end) {
            self.now = self.now.max(at);
            self.give(Input::Timeout);
            let next = self.engine.poll_timeout();
            assert_ne!(next, Some((at, timer)), "handled, and due again");
        }
        self.now = end;
    }

    /// Brings the transport up and swallows the CONNECT.
    pub(crate) fn link_up(&mut self) -> Vec<u8> {
        self.give(Input::LinkUp(self.attempt));
        self.sent()
    }

    pub(crate) fn receive(&mut self, bytes: &[u8]) {
        self.give(Input::Received(self.attempt, bytes));
    }

    pub(crate) fn cut(&mut self) {
        self.give(Input::LinkDown(self.attempt, Error::from(ErrorCode::ConnectionLost)));
    }

    /// The outages that were reported.
    pub(crate) fn outages(&self) -> Vec<&Outage> {
        fn of(event: &Event) -> Option<&Outage> {
            match event {
                Event::Recovered(outage) => Some(outage),
                _ => None,
            }
        }
        self.events.iter().filter_map(of).collect()
    }

    /// What the last connection meant for the session.
    pub(crate) fn session(&self) -> Option<SessionState> {
        self.events.iter().rev().find_map(|event| match event {
            Event::Connected(connected) => Some(connected.session),
            _ => None,
        })
    }

    pub(crate) fn completions(&self, ticket: u64) -> Vec<&Outcome> {
        let of = |event| match event {
            &Event::Completed(t, ref outcome) if t == ticket => Some(outcome),
            _ => None,
        };
        self.events.iter().filter_map(of).collect()
    }
}

pub(crate) fn options() -> Options {
    Options {
        protocol_version: Version::V4,
        client_id: "c".into(),
        servers: vec!["mqtt://x".into()],
        // Tests of what a connection does, not of how its end is noticed; those say so.
        detect_within: Duration::ZERO,
        ..Options::default()
    }
}

pub(crate) fn options_5() -> Options {
    Options { protocol_version: Version::V5, ..options() }
}

pub(crate) fn filter(name: &str) -> Vec<Subscription> {
    vec![Subscription::new(name, QoS::AtLeastOnce)]
}

pub(crate) fn one(id: PropertyId, value: PropertyValue) -> Properties {
    let mut properties = Properties::new();
    properties.push(id, value);
    properties
}

pub(crate) fn message(qos: QoS) -> Publish {
    Publish {
        topic: ByteString::from("t"),
        payload: Bytes::from_static(b"p"),
        qos,
        retain: false,
        properties: Properties::new(),
    }
}

pub(crate) const CONNACK_NEW: [u8; 4] = [0x20, 2, 0, 0];
pub(crate) const CONNACK_PRESENT: [u8; 4] = [0x20, 2, 1, 0];

/// The same in MQTT 5.
pub(crate) const CONNACK_NEW_5: [u8; 5] = [0x20, 3, 0, 0, 0];
pub(crate) const CONNACK_PRESENT_5: [u8; 5] = [0x20, 3, 1, 0, 0];

/// Connected for the first time.
pub(crate) fn connected_with(options: Options) -> Bench {
    let connack: &[u8] = if options.protocol_version == Version::V4 { &CONNACK_NEW } else { &CONNACK_NEW_5 };
    let mut bench = Bench::new(options);
    bench.command(Command::Start);
    bench.link_up();
    bench.receive(connack);
    bench
}

pub(crate) fn connected() -> Bench {
    connected_with(options())
}
