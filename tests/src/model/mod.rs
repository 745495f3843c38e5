//! What must hold whatever happens: a reference server, a monitor of the wire, and the books of the operations.
//!
//! The model watches a play from its first byte, so that it can take over as the server at any point. It knows no more
//! than a server and an application know.

mod broker;
mod monitor;

use std::collections::{BTreeMap, HashMap};

use crate::bytes::Packet;
use crate::command::Command;
use crate::play::CutAt;
use crate::random::Random;
use broker::Broker;
use monitor::Monitor;
use remqtt_proto::{Acknowledge, Options};

type Result<T> = std::result::Result<T, String>;
/// What tells messages apart: topic and payload. Scripts and random plays give every message a payload of its own.
type Key = (Vec<u8>, Vec<u8>);

/// The model.
#[derive(Debug)]
pub struct Model {
    options: Options,
    kept: bool,
    broker: Broker,
    monitor: Option<Monitor>,
    operations: BTreeMap<String, Operation>,
    order: usize,
    /// Messages that the application got, and how often.
    seen: HashMap<Key, u32>,
    cuts: u32,
    /// How often the client's process died.
    deaths: u32,
    random: Random,
    /// The first thing that was wrong. Whoever plays may drop an error, as after a death; the books keep it.
    wrong: Option<String>,
}

#[derive(Debug, Default)]
struct Operation {
    order: usize,
    message: Option<(Key, u8)>,
    /// Events that ended it: exactly one in the end.
    endings: Vec<String>,
}

impl Model {
    /// A model of a client with these options. Without `monitored`, the wire is not judged: on a real network, where
    /// the peer does not see everything that the client sent, and where the script breaks the protocol.
    pub fn new(level: u8, kept: bool, settings: &[(String, String)], monitored: bool) -> Model {
        let mut options = Options::default();
        for (key, value) in settings {
            let _ = options.set(key, value);
        }
        Model {
            broker: Broker::new(level, kept),
            monitor: monitored.then(|| Monitor::new(level, &options)),
            options,
            kept,
            operations: BTreeMap::new(),
            order: 0,
            seen: HashMap::new(),
            cuts: 0,
            deaths: 0,
            random: Random::new(0),
            wrong: None,
        }
    }

    /// Takes over with this many cuts at random bytes.
    pub fn serve(&mut self, cuts: u32, seed: u64) {
        self.cuts = cuts;
        self.random = Random::new(seed);
    }

    /// Where the connection that begins now is cut, if one of the random cuts is left: as many bytes after those that
    /// came from the client, or went to it.
    pub fn next_cut(&mut self, from_client: usize, from_server: usize) -> Option<CutAt> {
        self.cuts = self.cuts.checked_sub(1)?;
        let more = self.random.below(300) as usize;
        Some(match self.random.chance(50) {
            true => CutAt::FromClient(from_client + more),
            false => CutAt::FromServer(from_server + more / 4),
        })
    }

    /// Keeps or loses the session at the next connections.
    pub fn keep_session(&mut self, kept: bool) {
        self.kept &= kept;
        self.broker.kept = kept;
    }

    /// Announces this receive maximum in the next CONNACKs.
    pub fn receive_maximum(&mut self, maximum: u16) {
        self.broker.receive_maximum = Some(maximum);
    }

    /// A message for the client.
    pub fn publish(&mut self, topic: &[u8], payload: &[u8], qos: u8) -> Packet {
        self.broker.publish(topic, payload, qos)
    }

    /// True while the server has accepted a connection.
    pub fn connected(&self) -> bool {
        self.broker.connected
    }

    /// The option `manual_ack`.
    pub fn manual_ack(&self) -> bool {
        self.options.manual_ack
    }

    /// Messages that the application has and the server has sent again, so that only an acknowledgement is missing.
    pub fn unacknowledged(&self) -> Vec<u16> {
        self.broker.unacknowledged(&self.seen)
    }

    /// The client got a command.
    pub fn command(&mut self, line: &str) {
        let (name, message) = match Command::parse(line) {
            Ok(Command::Publish(name, publish)) => {
                let key = (publish.topic.as_bytes().to_vec(), publish.payload.to_vec());
                (name, Some((key, publish.qos as u8)))
            }
            Ok(Command::Subscribe(name, ..) | Command::Unsubscribe(name, _)) => (name, None),
            _ => return,
        };
        self.order += 1;
        self.operations.insert(name, Operation { order: self.order, message, endings: Vec::new() });
    }

    /// The client said something.
    pub fn event(&mut self, line: &str) -> Result<()> {
        let judged = self.judge(line);
        self.remember(judged)
    }

    fn judge(&mut self, line: &str) -> Result<()> {
        let mut words = line.split(' ');
        match words.next().unwrap_or_default() {
            "MESSAGE" => {
                let find = |key: &str| words.clone().find_map(|word| word.strip_prefix(key)).unwrap_or("-");
                let payload = find("payload=").trim_matches('-');
                let key: Key = (find("topic=").into(), crate::text::unhex(payload).unwrap_or_default());
                if self.deaths > 0 && self.kept && self.broker.is_released(&key) {
                    return Err(format!("{line} came again after its PUBREC"));
                }
                *self.seen.entry(key).or_default() += 1;
            }
            kind @ ("PUBLISHED" | "SUBSCRIBED" | "UNSUBSCRIBED" | "FAILED") => {
                let name = words.next().unwrap_or_default();
                let Some(operation) = self.operations.get_mut(name) else { return Ok(()) };
                operation.endings.push(kind.to_string());
                if operation.endings.len() > 1 {
                    return Err(format!("{name} ended more than once: {:?}", operation.endings));
                }
            }
            _ => {}
        }
        Ok(())
    }

    /// The client's process died, and the next one goes on with these publishes. What it had accepted and not written
    /// is gone, as it may be; what had ended may end once more, because its end was not written.
    pub fn reborn(&mut self, pending: &[String]) {
        self.deaths += 1;
        self.operations.retain(|name, operation| !operation.endings.is_empty() || pending.contains(name));
        for name in pending {
            if let Some(operation) = self.operations.get_mut(name) {
                operation.endings.clear();
            }
        }
        if let Some(monitor) = &mut self.monitor {
            monitor.reborn();
        }
    }

    /// A new connection.
    pub fn link_up(&mut self) {
        if let Some(monitor) = &mut self.monitor {
            monitor.link_up();
        }
    }

    /// The connection is gone.
    pub fn link_down(&mut self) {
        self.broker.link_down();
    }

    /// The client gave bytes to the connection, whether or not they arrive.
    pub fn polled(&mut self, bytes: &[u8]) -> Result<()> {
        let judged = self.monitor.as_mut().map_or(Ok(()), |monitor| monitor.polled(bytes));
        self.remember(judged)
    }

    fn remember(&mut self, judged: Result<()>) -> Result<()> {
        self.wrong = self.wrong.take().or_else(|| judged.clone().err());
        judged
    }

    /// The first thing that was wrong so far.
    pub fn verdict(&self) -> Result<()> {
        self.wrong.clone().map_or(Ok(()), Err)
    }

    /// The server got a packet; what a conforming server answers.
    pub fn received(&mut self, packet: &Packet) -> Vec<Packet> {
        self.broker.received(packet)
    }

    /// The server is about to send a packet: from here on its state says so.
    pub fn will_send(&mut self, packet: &Packet) {
        self.broker.will_send(packet);
    }

    /// The client has the whole packet.
    pub fn arrived(&mut self, packet: &Packet) {
        if let Some(monitor) = &mut self.monitor {
            monitor.arrived(packet);
        }
    }

    /// True when nothing is under way any more.
    pub fn settled(&self) -> bool {
        self.broker.connected && self.broker.idle() && self.open().is_none()
    }

    /// An operation that has not ended.
    pub fn open(&self) -> Option<&str> {
        let open = self.operations.iter().find(|(_, operation)| operation.endings.is_empty());
        open.map(|(name, _)| name.as_str())
    }

    /// What is open, in words.
    pub fn unsettled(&self) -> String {
        format!("operation {:?}, {}", self.open(), self.broker)
    }

    /// The books at the end.
    pub fn balance(&self) -> Result<()> {
        self.verdict()?;
        if self.cuts > 0 {
            return Err(format!("everything was done {} cuts too early", self.cuts));
        }
        let delivered = self.broker.deliveries();
        for (name, operation) in &self.operations {
            let ending = operation.endings.first().map(String::as_str);
            let Some((key, qos)) = &operation.message else { continue };
            let times = delivered.get(key).copied().unwrap_or(0);
            match (ending, qos) {
                (Some("PUBLISHED"), 1 | 2) if times == 0 => {
                    return Err(format!("{name} counts as published and the server has nothing"))
                }
                (_, 2) if times > 1 && self.kept => {
                    return Err(format!("{name} (QoS 2) was delivered {times} times"))
                }
                _ => {}
            }
        }
        self.in_order()?;
        // A message that a dying process had begun with comes again; it never comes after its PUBREC, and not at all to
        // an application that says what it has finished with.
        let transactional = self.options.acknowledge == Acknowledge::Stored && !self.options.store.is_empty();
        let most = if transactional { 1 } else { 1 + self.deaths };
        self.broker.check_received(&self.seen, self.kept.then_some(most))
    }

    /// Messages of the same QoS arrive in the order in which they were published [MQTT-4.6.0-5].
    fn in_order(&self) -> Result<()> {
        let by_key: HashMap<&Key, (usize, u8)> = self
            .operations
            .values()
            .filter_map(|operation| {
                operation.message.as_ref().map(|(key, qos)| (key, (operation.order, *qos)))
            })
            .collect();
        let mut last = [0; 3];
        for key in self.broker.first_deliveries() {
            let Some(&(order, qos)) = by_key.get(key) else { continue };
            let last = &mut last[usize::from(qos)];
            if order < *last {
                return Err(format!("{:?} arrived out of order", String::from_utf8_lossy(&key.1)));
            }
            *last = order;
        }
        Ok(())
    }
}
