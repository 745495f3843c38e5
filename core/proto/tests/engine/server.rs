//! A small MQTT server for the random test: it keeps sessions, answers when it is told to, and checks what every
//! packet of the client may and may not be.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

/// A message of the server to the client that is not complete.
struct Outgoing {
    number: u32,
    qos: u8,
    identifier: u16,
    /// PUBREC arrived: only PUBREL is sent.
    released: bool,
}

pub(crate) struct Server {
    version: u8,
    pub(crate) receive_maximum: u16,
    pub(crate) keeps_session: bool,
    session: bool,
    /// QoS 2 identifiers between PUBLISH and PUBREL.
    received: BTreeSet<u16>,
    outgoing: Vec<Outgoing>,
    next_identifier: u16,
    pub(crate) subscriptions: BTreeSet<String>,
    /// Numbers of the client's messages, in order of arrival; exactly-once ones are here once per exchange.
    pub(crate) arrived: Vec<u32>,
    /// Which message the client sent last under an identifier, in this session.
    sent_under: BTreeMap<u16, u32>,
    /// Messages that the client knows to be complete.
    pub(crate) complete: BTreeSet<u32>,
    /// Answers that wait, in order.
    answers: VecDeque<Vec<u8>>,
    open: BTreeSet<u16>,
    partial: Vec<u8>,
    greeted: bool,
    gone: bool,
}

impl Server {
    pub(crate) fn new(version: u8) -> Server {
        Server {
            version,
            receive_maximum: 65_535,
            keeps_session: true,
            session: false,
            received: BTreeSet::new(),
            outgoing: Vec::new(),
            next_identifier: 0,
            subscriptions: BTreeSet::new(),
            arrived: Vec::new(),
            sent_under: BTreeMap::new(),
            complete: BTreeSet::new(),
            answers: VecDeque::new(),
            open: BTreeSet::new(),
            partial: Vec::new(),
            greeted: false,
            gone: false,
        }
    }

    /// A connection begins. Acknowledgements that were not sent on the last one may come late.
    pub(crate) fn accept(&mut self, late_answers: bool) {
        let is_ack = |answer: &Vec<u8>| matches!(answer[0], 0x40 | 0x50 | 0x70);
        self.answers.retain(|answer| late_answers && is_ack(answer));
        self.open.clear();
        self.partial.clear();
        (self.greeted, self.gone) = (false, false);
    }

    /// The next answer that waits.
    pub(crate) fn answer(&mut self) -> Option<Vec<u8>> {
        self.answers.pop_front().filter(|_| self.greeted)
    }

    /// A message to the client.
    pub(crate) fn publish(&mut self, number: u32, qos: u8) -> Option<()> {
        self.greeted.then_some(())?;
        self.next_identifier = self.next_identifier % 40 + 1;
        let identifier = self.next_identifier;
        if qos > 0 && self.outgoing.iter().any(|message| message.identifier == identifier) {
            return None;
        }
        let message = Outgoing { number, qos, identifier, released: false };
        self.answers.push_back(self.packet(&message, false));
        if qos > 0 {
            self.outgoing.push(message);
        }
        Some(())
    }

    pub(crate) fn is_idle(&self) -> bool {
        self.answers.is_empty() && self.outgoing.is_empty()
    }

    pub(crate) fn receive(&mut self, bytes: &[u8]) {
        self.partial.extend_from_slice(bytes);
        while let Some((first, body)) = next_packet(&mut self.partial) {
            assert!(!self.gone, "a packet after DISCONNECT");
            assert_eq!(first == 0x10, !self.greeted, "CONNECT is the first packet and no other");
            self.packet_of_client(first, &body);
        }
    }

    fn packet_of_client(&mut self, first: u8, body: &[u8]) {
        let identifier = || u16::from_be_bytes([body[0], body[1]]);
        let refused = body.get(2).is_some_and(|code| *code >= 0x80);
        match first {
            0x10 => self.connect(),
            0xC0 => self.answers.push_back(vec![0xD0, 0]),
            0xE0 => self.gone = true,
            0x82 | 0xA2 => self.request(first == 0x82, identifier(), &body[2..]),
            0x40 => self.outgoing.retain(|message| message.identifier != identifier()),
            0x50 => {
                if let Some(message) = self.outgoing.iter_mut().find(|m| m.identifier == identifier()) {
                    message.released = true;
                    assert!(!refused, "nothing was rejected");
                    self.answers.push_back(ack(0x62, identifier()));
                }
            }
            0x70 => self.outgoing.retain(|message| message.identifier != identifier()),
            0x62 => {
                self.received.remove(&identifier());
                self.open.remove(&identifier());
                self.answers.push_back(ack(0x70, identifier()));
            }
            _ => self.message(first, body),
        }
    }

    fn connect(&mut self) {
        self.greeted = true;
        let present = self.session && self.keeps_session;
        if !present {
            self.received.clear();
            self.outgoing.clear();
            self.subscriptions.clear();
            self.sent_under.clear();
            self.answers.clear();
        }
        (self.session, self.keeps_session) = (true, true);
        let mut connack = vec![0x20, 2, u8::from(present), 0];
        if self.version == 5 {
            connack[1] = 6;
            connack.extend([3, 0x21]);
            connack.extend(self.receive_maximum.to_be_bytes());
        }
        self.answers.push_front(connack);
        let again: Vec<_> = self.outgoing.iter().map(|message| self.packet(message, true)).collect();
        self.answers.extend(again);
    }

    fn request(&mut self, subscribe: bool, identifier: u16, body: &[u8]) {
        let mut rest = if self.version == 5 { &body[1..] } else { body };
        let mut codes = Vec::new();
        while rest.len() > 1 {
            let end = 2 + usize::from(u16::from_be_bytes([rest[0], rest[1]]));
            let filter = String::from_utf8_lossy(&rest[2..end]).into_owned();
            if subscribe {
                self.subscriptions.insert(filter);
            } else {
                self.subscriptions.remove(&filter);
            }
            codes.push(u8::from(subscribe));
            rest = &rest[end + usize::from(subscribe)..];
        }
        if self.version == 5 {
            codes.insert(0, 0);
        } else if !subscribe {
            codes.clear();
        }
        let mut answer = ack(if subscribe { 0x90 } else { 0xB0 }, identifier);
        answer[1] = 2 + codes.len() as u8;
        answer.extend(codes);
        self.answers.push_back(answer);
    }

    fn message(&mut self, first: u8, body: &[u8]) {
        let (qos, dup) = (first >> 1 & 3, first & 8 != 0);
        let number = u32::from_be_bytes([
            body[body.len() - 4],
            body[body.len() - 3],
            body[body.len() - 2],
            body[body.len() - 1],
        ]);
        if qos == 0 {
            return self.arrived.push(number);
        }
        let identifier = u16::from_be_bytes([body[3], body[4]]);
        let before = self.sent_under.insert(identifier, number);
        let free = before.is_none_or(|before| before == number || self.complete.contains(&before));
        assert!(free, "identifier {identifier} of message {before:?} is used for {number}");
        assert!(before.is_none_or(|before| before != number || dup), "{number} comes again without DUP");
        assert!(self.open.insert(identifier), "{number} comes twice on one connection");
        assert!(self.open.len() <= usize::from(self.receive_maximum), "more in flight than the server takes");
        if qos == 1 || self.received.insert(identifier) {
            self.arrived.push(number);
        }
        self.answers.push_back(ack(if qos == 1 { 0x40 } else { 0x50 }, identifier));
        if qos == 1 {
            self.open.remove(&identifier); // its answer is on its way: what matters is QoS 2
        }
    }

    fn packet(&self, message: &Outgoing, dup: bool) -> Vec<u8> {
        if message.released {
            return ack(0x62, message.identifier);
        }
        let mut body = vec![0, 1, b't'];
        if message.qos > 0 {
            body.extend(message.identifier.to_be_bytes());
        }
        if self.version == 5 {
            body.push(0);
        }
        body.extend(message.number.to_be_bytes());
        let first = 0x30 | message.qos << 1 | if dup && message.qos > 0 { 8 } else { 0 };
        [vec![first, body.len() as u8], body].concat()
    }
}

fn ack(first: u8, identifier: u16) -> Vec<u8> {
    let [high, low] = identifier.to_be_bytes();
    vec![first, 2, high, low]
}

/// Every packet here is shorter than two length bytes can say.
fn next_packet(bytes: &mut Vec<u8>) -> Option<(u8, Vec<u8>)> {
    let (first, low) = (*bytes.first()?, usize::from(*bytes.get(1)?));
    let (header, length) = match low {
        0..=127 => (2, low),
        _ => (3, (low & 127) | usize::from(*bytes.get(2)?) << 7),
    };
    let body = bytes.get(header..header + length)?.to_vec();
    bytes.drain(..header + length);
    Some((first, body))
}
