//! Judges every packet that a client sends, from the wire alone.
//!
//! It sees all bytes that the client gave to the connection, also those that a cut swallowed, and the packets of the
//! server that arrived whole. So it knows exactly what the client can know.

use std::collections::{BTreeSet, HashMap, HashSet, VecDeque};

use ::bytes::BytesMut;

use super::{Key, Result};
use crate::bytes::{self, Kind, Packet};
use remqtt_proto::{LostPublishes, LostSubscriptions, Options};

#[derive(Debug)]
pub(super) struct Monitor {
    level: u8,
    fail_lost: bool,
    forget_lost: bool,
    max_inflight: usize,
    /// Publishes that are not acknowledged, of this session.
    flows: HashMap<u16, Flow>,
    /// How many of them were not sent again on this connection.
    behind: usize,
    order: u64,
    /// Filters that a server granted and that are not unsubscribed: wanted, also by a server that forgot them.
    granted: BTreeSet<String>,
    /// Publishes of a lost session: they come first, in order. The flag: the server had answered with PUBREC, so the
    /// client may also consider them done.
    lost: VecDeque<(Key, bool)>,
    /// The last flow that was completed, or lost with its session, under each identifier: a process that died without
    /// writing this down, as it may, goes on with it.
    completed: HashMap<u16, Flow>,
    /// The process died, so what stands in `completed` may come again.
    reborn: bool,
    session_lost: bool,
    connection: u64,
    link: Link,
}

/// What is valid for one connection.
#[derive(Debug, Default)]
struct Link {
    buffer: BytesMut,
    connect: bool,
    connack: bool,
    disconnect: bool,
    limit: usize,
    window: HashSet<u16>,
    last_resent: u64,
    /// SUBSCRIBE and UNSUBSCRIBE under way, with what they ask for.
    requests: HashMap<u16, (bool, Vec<String>)>,
    /// Filters to restore before any publish.
    restore: BTreeSet<String>,
    /// Acknowledgements that the client owes, by their kind and identifier.
    owed: HashMap<(Kind, u16), u32>,
}

#[derive(Debug, Clone)]
struct Flow {
    key: Key,
    qos: u64,
    order: u64,
    /// A PUBREC arrived: only PUBREL may follow.
    released: bool,
    /// PUBREL was sent, so nothing but PUBREL may follow, whoever died.
    pubrel: bool,
    /// The connection on which it was sent last.
    connection: u64,
}

impl Monitor {
    pub(super) fn new(level: u8, options: &Options) -> Monitor {
        Monitor {
            level,
            fail_lost: options.lost_session_publishes == LostPublishes::Fail,
            forget_lost: options.lost_session_subscriptions == LostSubscriptions::Forget,
            max_inflight: options.max_inflight.into(),
            flows: HashMap::new(),
            behind: 0,
            order: 0,
            granted: BTreeSet::new(),
            lost: VecDeque::new(),
            completed: HashMap::new(),
            reborn: false,
            session_lost: false,
            connection: 0,
            link: Link::default(),
        }
    }

    pub(super) fn link_up(&mut self) {
        self.connection += 1;
        self.behind = self.flows.len();
        self.link = Link::default();
    }

    /// The process died and another one goes on, with what it finds durable.
    pub(super) fn reborn(&mut self) {
        self.reborn = true;
        self.granted.clear();
        self.lost.iter_mut().for_each(|(_, optional)| *optional = true);
    }

    /// A flow that counts as completed goes on, because the end of it was not durable.
    fn revive(&mut self, id: u16, key: Option<&Key>) {
        if !self.reborn || self.flows.contains_key(&id) {
            return;
        }
        if let Some(flow) = self.completed.remove(&id) {
            match key.is_none_or(|key| flow.key == *key) {
                true => self.flows.insert(id, Flow { connection: 0, ..flow }),
                false => self.completed.insert(id, flow),
            };
            self.behind += usize::from(self.flows.contains_key(&id));
        }
    }

    pub(super) fn polled(&mut self, bytes: &[u8]) -> Result<()> {
        self.link.buffer.extend_from_slice(bytes);
        while let Some(length) =
            bytes::frame(&self.link.buffer)?.filter(|length| *length <= self.link.buffer.len())
        {
            let packet = self.link.buffer.split_to(length);
            let packet = bytes::decode(self.level, &packet)?;
            self.sent(&packet).map_err(|error| format!("{error}: {packet}"))?;
        }
        Ok(())
    }

    fn sent(&mut self, packet: &Packet) -> Result<()> {
        if self.link.disconnect {
            return Err("sent after DISCONNECT".into()); // [MQTT-3.14.4-2]
        }
        match packet.kind {
            Kind::Connect if self.link.connect => Err("a second CONNECT".into()), // [MQTT-3.1.0-2]
            Kind::Connect => {
                self.link.connect = true;
                Ok(())
            }
            _ if !self.link.connect => Err("sent before CONNECT".into()), // [MQTT-3.1.0-1]
            Kind::Disconnect => {
                self.link.disconnect = true;
                Ok(())
            }
            // The server ignores it if it refuses the CONNECT, and it repeats no retained message. [MQTT-3.1.4-6]
            Kind::Subscribe if !self.link.connack && self.level == 5 && repeats_nothing(packet) => {
                self.request(packet)
            }
            _ if !self.link.connack => Err("sent before the CONNACK".into()),
            Kind::Publish => self.publish(packet),
            Kind::Pubrel => self.release(packet.id()),
            Kind::Subscribe | Kind::Unsubscribe => self.request(packet),
            kind @ (Kind::Puback | Kind::Pubrec | Kind::Pubcomp) => self.acknowledge(kind, packet.id()),
            _ => Ok(()),
        }
    }

    fn publish(&mut self, packet: &Packet) -> Result<()> {
        if !self.link.restore.is_empty() {
            return Err(format!("published before {:?} was restored", self.link.restore));
        }
        if packet.number("qos") == 0 {
            return Ok(());
        }
        let id = packet.id();
        if self.link.requests.contains_key(&id) {
            return Err("the identifier belongs to a SUBSCRIBE or UNSUBSCRIBE under way".into());
        }
        if packet.number("dup") == 1 {
            self.revive(id, Some(&(packet.bytes("topic").to_vec(), packet.bytes("payload").to_vec())));
        }
        match self.flows.contains_key(&id) {
            true => self.publish_again(packet)?,
            false => self.publish_new(packet)?,
        }
        self.link.window.insert(id);
        if self.link.window.len() > self.link.limit {
            return Err(format!("more than {} in flight", self.link.limit)); // [MQTT-3.3.4-9]
        }
        Ok(())
    }

    fn publish_again(&mut self, packet: &Packet) -> Result<()> {
        let key = (packet.bytes("topic").to_vec(), packet.bytes("payload").to_vec());
        let Some(flow) = self.flows.get_mut(&packet.id()) else { return Ok(()) };
        if flow.key != key || flow.qos != packet.number("qos") {
            return Err("the identifier is in flight with another message".into());
            // [MQTT-2.2.1-3]
        }
        if flow.connection == self.connection {
            return Err("sent twice on one connection".into()); // [MQTT-4.4.0-1]
        }
        if flow.released && (flow.pubrel || !self.reborn) {
            return Err("published again after PUBREC".into()); // [MQTT-4.3.3-6]
        }
        flow.released = false;
        if packet.number("dup") != 1 {
            return Err("sent again without DUP".into()); // [MQTT-3.3.1-1]
        }
        // What a lost session left on the disk of a process that died may stand in the order of that session.
        if flow.order < self.link.last_resent && !(self.reborn && self.session_lost) {
            return Err("sent again out of order".into()); // [MQTT-4.6.0-1]
        }
        self.link.last_resent = flow.order;
        flow.connection = self.connection;
        self.behind -= 1;
        Ok(())
    }

    fn publish_new(&mut self, packet: &Packet) -> Result<()> {
        // The next process cannot know whether a publish with an identifier had left.
        if packet.number("dup") != 0 && !self.reborn {
            return Err("DUP on the first sending".into()); // [MQTT-3.3.1-1]
        }
        if self.behind > 0 && packet.number("dup") == 0 {
            return Err(format!("something new before {} older ones were sent again", self.behind));
        }
        let key = (packet.bytes("topic").to_vec(), packet.bytes("payload").to_vec());
        while self.lost.front().is_some_and(|(lost, optional)| *optional && *lost != key) {
            self.lost.pop_front();
        }
        match self.lost.front() {
            Some((lost, _)) if *lost != key && !self.is_completed(&key) => {
                return Err("something new before the publishes of the lost session".into())
            }
            Some((lost, _)) if *lost == key => drop(self.lost.pop_front()),
            _ => {}
        }
        self.order += 1;
        let flow = Flow {
            key,
            qos: packet.number("qos"),
            order: self.order,
            released: false,
            pubrel: false,
            connection: self.connection,
        };
        self.flows.insert(packet.id(), flow);
        Ok(())
    }

    fn is_completed(&self, key: &Key) -> bool {
        self.reborn && self.completed.values().any(|flow| flow.key == *key)
    }

    fn release(&mut self, id: u16) -> Result<()> {
        if self.link.owed.get(&(Kind::Pubrel, id)).is_none_or(|owed| *owed == 0) {
            self.revive(id, None);
        }
        let Some(flow) = self.flows.get_mut(&id) else {
            return self.acknowledge(Kind::Pubrel, id);
        };
        if !flow.released {
            return Err("PUBREL before PUBREC".into());
        }
        self.behind -= usize::from(flow.connection != self.connection);
        (flow.connection, flow.pubrel) = (self.connection, true);
        Ok(())
    }

    fn request(&mut self, packet: &Packet) -> Result<()> {
        let id = packet.id();
        if self.link.requests.contains_key(&id) || self.flows.contains_key(&id) {
            return Err("the identifier is in flight".into()); // [MQTT-2.2.1-3]
        }
        let filters = String::from_utf8_lossy(packet.bytes("filters")).into_owned();
        let names: Vec<String> = filters
            .split(',')
            .map(|filter| filter.split(':').next().unwrap_or_default().to_string())
            .collect();
        for name in &names {
            self.link.restore.remove(name);
            if packet.kind == Kind::Unsubscribe {
                self.granted.remove(name);
                // A SUBACK that is still to come grants what is not wanted any more.
                let pending = self.link.requests.values_mut().flat_map(|(_, filters)| filters);
                pending.filter(|filter| *filter == name).for_each(String::clear);
            }
        }
        self.link.requests.insert(id, (packet.kind == Kind::Subscribe, names));
        Ok(())
    }

    /// An acknowledgement answers something that came on this very connection, once.
    fn acknowledge(&mut self, kind: Kind, id: u16) -> Result<()> {
        match self.link.owed.get_mut(&(kind, id)) {
            Some(owed) if *owed > 0 => {
                *owed -= 1;
                Ok(())
            }
            _ => Err("answers nothing that came on this connection".into()),
        }
    }

    /// The client got a packet of the server.
    pub(super) fn arrived(&mut self, packet: &Packet) {
        let id = packet.id();
        let mut owe = |kind| *self.link.owed.entry((kind, id)).or_default() += 1;
        match packet.kind {
            Kind::Connack if packet.number("rc") == 0 => self.connack(packet),
            Kind::Publish if packet.number("qos") == 1 => owe(Kind::Puback),
            Kind::Publish if packet.number("qos") == 2 => owe(Kind::Pubrec),
            Kind::Pubrel => owe(Kind::Pubcomp),
            Kind::Pubrec if packet.number("rc") < 0x80 => {
                match self.flows.get_mut(&id).filter(|flow| flow.qos == 2) {
                    Some(flow) => flow.released = true,
                    None => owe(Kind::Pubrel),
                }
            }
            Kind::Puback | Kind::Pubrec | Kind::Pubcomp => {
                self.link.window.remove(&id);
                let meant = |flow: &&Flow| (flow.qos == 1) == (packet.kind == Kind::Puback);
                if let Some(flow) = self.flows.get(&id).filter(meant) {
                    self.behind -= usize::from(flow.connection != self.connection);
                    let completed = self.flows.remove(&id);
                    self.completed.extend(completed.map(|flow| (id, flow)));
                }
            }
            Kind::Suback | Kind::Unsuback => {
                let Some((subscribe, filters)) = self.link.requests.remove(&id) else { return };
                for (filter, code) in filters.into_iter().zip(packet.bytes("codes")) {
                    if subscribe && *code < 0x80 && !filter.is_empty() {
                        self.granted.insert(filter);
                    }
                }
            }
            _ => {}
        }
    }

    fn connack(&mut self, packet: &Packet) {
        self.link.connack = true;
        let announced = packet.find("receive_maximum").map_or(65_535, |_| packet.number("receive_maximum"));
        self.link.limit = self.max_inflight.min(announced as usize);
        if packet.number("sp") == 1 {
            return;
        }
        self.session_lost = true;
        let lost = std::mem::take(&mut self.flows);
        let mut flows: Vec<Flow> = lost.values().cloned().collect();
        flows.sort_by_key(|flow| flow.order);
        // In the new session even what was released may be published, and what was complete, if that was not durable.
        self.completed.extend(lost);
        self.completed.values_mut().for_each(|flow| flow.pubrel = false);
        self.behind = 0;
        if !self.fail_lost {
            let lost = flows.into_iter().map(|flow| (flow.key, flow.released));
            let older: Vec<_> = lost.chain(self.lost.drain(..)).collect();
            self.lost = older.into();
        }
        if self.forget_lost {
            self.granted.clear();
        }
        self.link.restore = self.granted.clone();
        for (_, filters) in self.link.requests.values() {
            for filter in filters {
                self.link.restore.remove(filter);
            }
        }
    }
}

/// Every filter has a retain handling of 1 or 2.
fn repeats_nothing(packet: &Packet) -> bool {
    let filters = String::from_utf8_lossy(packet.bytes("filters")).into_owned();
    filters.split(',').all(|filter| filter.split(':').any(|word| matches!(word, "rh1" | "rh2")))
}
