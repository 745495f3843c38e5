//! A conforming server with one client, as small as the model needs it.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::fmt;

use super::{Key, Result};
use crate::bytes::{Kind, Packet};

/// The server.
#[derive(Debug)]
pub(super) struct Broker {
    level: u8,
    /// Whether sessions survive, as far as the client lets them.
    pub(super) kept: bool,
    pub(super) connected: bool,
    pub(super) receive_maximum: Option<u16>,
    /// There is a session.
    session: bool,
    /// The client wants the session to outlive the connection.
    lasting: bool,
    /// QoS 2 identifiers of the client that are received and not released.
    inbound: BTreeMap<u16, Key>,
    delivered: Vec<Key>,
    /// Refused once and accepted later: out of order for a reason.
    refused: HashSet<Key>,
    outbound: Vec<Outgoing>,
    finished: Vec<Outgoing>,
}

/// A message for the client.
#[derive(Debug, Clone)]
struct Outgoing {
    id: u16,
    qos: u8,
    key: Key,
    released: bool,
}

impl Broker {
    pub(super) fn new(level: u8, kept: bool) -> Broker {
        Broker {
            level,
            kept,
            connected: false,
            receive_maximum: None,
            session: false,
            lasting: false,
            inbound: BTreeMap::new(),
            delivered: Vec::new(),
            refused: HashSet::new(),
            outbound: Vec::new(),
            finished: Vec::new(),
        }
    }

    pub(super) fn link_down(&mut self) {
        self.connected = false;
        self.session &= self.lasting;
    }

    /// A new message for the client, as the PUBLISH that carries it now.
    pub(super) fn publish(&mut self, topic: &[u8], payload: &[u8], qos: u8) -> Packet {
        let mut packet = Packet::new(Kind::Publish).with("qos", qos.into()).with("dup", 0).with("retain", 0);
        packet = packet.with_bytes("topic", topic);
        if qos > 0 {
            // The lowest free one, so that identifiers return soon.
            let free = (1..).find(|id| self.outbound.iter().all(|out| out.id != *id));
            packet = packet.with("id", free.unwrap_or(1).into());
        }
        packet.with_bytes("payload", payload)
    }

    /// Takes a packet of the client; the answers.
    pub(super) fn received(&mut self, packet: &Packet) -> Vec<Packet> {
        let id = packet.id();
        let reply = |kind| vec![Packet::new(kind).with("id", id.into())];
        match packet.kind {
            Kind::Connect => self.connect(packet),
            Kind::Publish => {
                let key = (packet.bytes("topic").to_vec(), packet.bytes("payload").to_vec());
                let qos = packet.number("qos");
                // A QoS 2 identifier that is not released yet is the same message again [MQTT-4.3.3-10].
                if qos < 2 || self.inbound.insert(id, key.clone()).is_none() {
                    self.delivered.push(key);
                }
                match qos {
                    0 => Vec::new(),
                    1 => reply(Kind::Puback),
                    _ => reply(Kind::Pubrec),
                }
            }
            Kind::Pubrel => {
                self.inbound.remove(&id);
                reply(Kind::Pubcomp)
            }
            Kind::Pubrec if packet.number("rc") < 0x80 => {
                self.outbound.iter_mut().filter(|out| out.id == id).for_each(|out| out.released = true);
                reply(Kind::Pubrel)
            }
            Kind::Puback | Kind::Pubrec | Kind::Pubcomp => {
                if let Some(at) = self.outbound.iter().position(|out| out.id == id) {
                    self.finished.push(self.outbound.remove(at));
                }
                Vec::new()
            }
            Kind::Subscribe => {
                let filters = String::from_utf8_lossy(packet.bytes("filters")).into_owned();
                let qos =
                    |filter: &str| filter.split(':').nth(1).and_then(|qos| qos.parse().ok()).unwrap_or(0);
                let codes: Vec<u8> = filters.split(',').map(qos).collect();
                vec![Packet::new(Kind::Suback).with("id", id.into()).with_bytes("codes", &codes)]
            }
            Kind::Unsubscribe => {
                let count = packet.bytes("filters").split(|byte| *byte == b',').count();
                let codes = vec![0; if self.level == 5 { count } else { 0 }];
                vec![Packet::new(Kind::Unsuback).with("id", id.into()).with_bytes("codes", &codes)]
            }
            Kind::Pingreq => vec![Packet::new(Kind::Pingresp)],
            _ => Vec::new(),
        }
    }

    fn connect(&mut self, packet: &Packet) -> Vec<Packet> {
        let clean = packet.number("clean") == 1;
        let resumed = self.session && self.kept && !clean;
        self.lasting = if self.level == 5 { packet.number("session_expiry") > 0 } else { !clean };
        let mut connack = Packet::new(Kind::Connack).with("sp", resumed.into()).with("rc", 0);
        if let (5, Some(maximum)) = (self.level, self.receive_maximum) {
            connack = connack.with("receive_maximum", maximum.into());
        }
        let mut replies = vec![connack];
        if resumed {
            replies.extend(self.outbound.iter().map(|out| {
                match out.released {
                    true => Packet::new(Kind::Pubrel).with("id", out.id.into()),
                    false => Packet::new(Kind::Publish)
                        .with("qos", out.qos.into())
                        .with("dup", 1)
                        .with("id", out.id.into())
                        .with_bytes("topic", &out.key.0)
                        .with_bytes("payload", &out.key.1),
                }
            }));
        }
        replies
    }

    /// Whoever decided it, the script or this server: a packet leaves, and the state follows.
    pub(super) fn will_send(&mut self, packet: &Packet) {
        let id = packet.id();
        match packet.kind {
            Kind::Connack if packet.number("rc") == 0 => {
                if packet.number("sp") == 0 {
                    self.inbound.clear();
                    self.outbound.clear();
                }
                (self.connected, self.session) = (true, true);
                if let Some(maximum) = packet.find("receive_maximum") {
                    self.receive_maximum = maximum.to_string().parse().ok();
                }
            }
            Kind::Publish if packet.number("qos") > 0 && !self.outbound.iter().any(|out| out.id == id) => {
                let key = (packet.bytes("topic").to_vec(), packet.bytes("payload").to_vec());
                let qos = packet.number("qos") as u8;
                self.outbound.push(Outgoing { id, qos, key, released: false });
            }
            Kind::Pubrel => {
                self.outbound.iter_mut().filter(|out| out.id == id).for_each(|out| out.released = true);
            }
            Kind::Pubrec if packet.number("rc") >= 0x80 => {
                // Refused, so not delivered after all.
                let refused = self.inbound.remove(&id);
                if let Some(at) = self.delivered.iter().rposition(|key| Some(key) == refused.as_ref()) {
                    self.refused.insert(self.delivered.remove(at));
                }
            }
            _ => {}
        }
    }

    /// The client has answered this QoS 2 message with PUBREC.
    pub(super) fn is_released(&self, key: &Key) -> bool {
        self.outbound.iter().any(|out| out.qos == 2 && out.released && out.key == *key)
    }

    /// True when no message waits for an acknowledgement of the client.
    pub(super) fn idle(&self) -> bool {
        self.outbound.is_empty()
    }

    pub(super) fn unacknowledged(&self, seen: &HashMap<Key, u32>) -> Vec<u16> {
        let waits = |out: &&Outgoing| !out.released && seen.contains_key(&out.key);
        self.outbound.iter().filter(waits).map(|out| out.id).collect()
    }

    /// How often each message of the client arrived.
    pub(super) fn deliveries(&self) -> HashMap<&Key, u32> {
        let mut times = HashMap::new();
        for key in &self.delivered {
            *times.entry(key).or_default() += 1;
        }
        times
    }

    /// The messages of the client in the order in which they arrived first.
    pub(super) fn first_deliveries(&self) -> impl Iterator<Item = &Key> {
        let mut seen = HashSet::new();
        self.delivered.iter().filter(move |key| seen.insert(*key) && !self.refused.contains(*key))
    }

    /// What the client has acknowledged must have reached the application.
    pub(super) fn check_received(&self, seen: &HashMap<Key, u32>, most: Option<u32>) -> Result<()> {
        for out in &self.finished {
            let times = seen.get(&out.key).copied().unwrap_or(0);
            let payload = String::from_utf8_lossy(&out.key.1);
            if times == 0 {
                return Err(format!("{payload:?} was acknowledged and never reached the application"));
            }
            if out.qos == 2 && most.is_some_and(|most| times > most) {
                return Err(format!("{payload:?} (QoS 2) reached the application {times} times"));
            }
        }
        Ok(())
    }
}

impl fmt::Display for Broker {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let open: Vec<u16> = self.outbound.iter().map(|out| out.id).collect();
        write!(f, "connected {}, unacknowledged by the client {open:?}", self.connected)
    }
}
