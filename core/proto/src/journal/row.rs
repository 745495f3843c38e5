//! The rows of the journal: how they are written, and how a new process reads them.
//!
//! | key | value | there while |
//! |---|---|---|
//! | `S` | whether the session outlives its connection, client identifier | from the first use of the store on |
//! | `T` | tickets up to this one may have been used | from the first stored publish on |
//! | `P` place | ticket, expiry, version, PUBLISH | a publish of QoS 1 or 2 is accepted and not complete |
//! | `F` place | packet identifier, released or not | it is in flight |
//! | `R` packet identifier | fingerprint of the message | a QoS 2 message is done with and its PUBREL has not come |
//! | `N` | epoch, received messages up to this number may have been numbered | a received message was ever kept |
//! | `A` number | packet identifier, PUBLISH | a received message is to be acknowledged and the application not done with it |
//! | `L` number | | the PUBREL of such a message of QoS 2 has come |
//! | `W` filter | order, options, properties | a filter is wanted |
//!
//! Numbers are big-endian, so that the rows of a kind lie in their order. A row that cannot be read is damage: it is
//! told, and the rest counts. So is one whose place, ticket, number or order no client can have come to by counting.

use std::collections::{BTreeMap, BTreeSet};

use bytes::{BufMut, Bytes, BytesMut};
use bytestring::ByteString;

use super::{Change, Key};
use crate::command::Ticket;
use crate::event::Token;
use crate::session::{Fingerprint, Item, Phase, Place};
use crate::wire::{
    self, check_filter, put_properties, read_properties, Cursor, Packet, Properties, PropertyOwner, Publish,
    QoS, Subscription, Version, Violation, PACKET_SIZE_LIMIT,
};

/// Damaged rows that are described; further ones are counted.
const DESCRIBED: usize = 16;
/// More numbers than a client gives away while a store keeps an older state of a row. Not more than that: the driver
/// has a bit for each ticket from the oldest open one on.
const BEYOND: u64 = 1 << 22;

fn change(kind: u8, name: &[u8], value: Option<BytesMut>) -> Change {
    Change { key: Key::new(kind, name), value: value.map(BytesMut::freeze) }
}

pub(super) fn session(client_id: &ByteString, outlives: bool) -> Change {
    let mut value = BytesMut::with_capacity(1 + client_id.len());
    value.put_u8(u8::from(outlives));
    value.extend_from_slice(client_id.as_bytes());
    change(b'S', &[], Some(value))
}

pub(super) fn tickets(promised: Ticket) -> Change {
    change(b'T', &[], Some(BytesMut::from(&promised.to_be_bytes()[..])))
}

pub(super) fn publish(version: Version, place: Place, item: &Item, expiry: Option<i64>) -> Change {
    let mut value = BytesMut::with_capacity(17 + wire::publish_size(version, &item.publish));
    value.put_u64(item.ticket);
    value.put_i64(expiry.unwrap_or(i64::MAX));
    value.put_u8(version as u8);
    // Any identifier will do, the row of the flight has the true one. What cannot be encoded was refused at the call.
    let encoded = wire::encode_publish(version, &item.publish, false, Some(1), PACKET_SIZE_LIMIT, &mut value);
    change(b'P', &place.to_be_bytes(), encoded.is_ok().then_some(value))
}

pub(super) fn no_publish(place: Place) -> Change {
    change(b'P', &place.to_be_bytes(), None)
}

pub(super) fn flight(place: Place, phase: Phase) -> Change {
    let value = match phase {
        Phase::Waiting => None,
        Phase::Sent(identifier) => Some((identifier, 0)),
        Phase::Released(identifier) => Some((identifier, 1)),
    };
    let value = value.map(|(identifier, released): (u16, u8)| {
        let [high, low] = identifier.to_be_bytes();
        BytesMut::from(&[high, low, released][..])
    });
    change(b'F', &place.to_be_bytes(), value)
}

pub(super) fn received(packet_identifier: u16, taken: Option<Fingerprint>) -> Change {
    let value = taken.map(|fingerprint| BytesMut::from(&fingerprint.to_be_bytes()[..]));
    change(b'R', &packet_identifier.to_be_bytes(), value)
}

pub(super) fn numbers(promised: Token) -> Change {
    let mut value = BytesMut::with_capacity(16);
    value.put_u64(promised.epoch);
    value.put_u64(promised.sequence);
    change(b'N', &[], Some(value))
}

/// None: the packet would be too large, which a server's can only be where the row says more than it did.
pub(super) fn arrived(sequence: u64, identifier: u16, publish: &Publish) -> Option<Change> {
    let mut value = BytesMut::with_capacity(wire::publish_size(Version::V5, publish));
    wire::encode_publish(Version::V5, publish, false, Some(identifier), PACKET_SIZE_LIMIT, &mut value)
        .ok()?;
    Some(change(b'A', &sequence.to_be_bytes(), Some(value)))
}

pub(super) fn no_arrived(sequence: u64) -> Change {
    change(b'A', &sequence.to_be_bytes(), None)
}

pub(super) fn arrived_released(sequence: u64, released: bool) -> Change {
    change(b'L', &sequence.to_be_bytes(), released.then(BytesMut::new))
}

pub(super) fn wanted(filter: &ByteString, wanted: Option<(u64, &Subscription, &Properties)>) -> Change {
    let value = wanted.map(|(order, subscription, properties)| {
        let mut value = BytesMut::new();
        value.put_u64(order);
        let no_local = u8::from(subscription.no_local) << 2;
        let as_published = u8::from(subscription.retain_as_published) << 3;
        value.put_u8(subscription.qos as u8 | no_local | as_published | subscription.retain_handling << 4);
        put_properties(properties, wire::properties_size(properties), &mut value);
        value
    });
    change(b'W', filter.as_bytes(), value)
}

/// A publish as a process left it behind.
#[derive(Debug)]
pub(crate) struct StoredPublish {
    pub(crate) ticket: Ticket,
    /// Milliseconds since 1970.
    pub(crate) expiry: Option<i64>,
    pub(crate) publish: Publish,
    pub(crate) phase: Phase,
}

/// A wanted filter as a process left it behind.
#[derive(Debug)]
pub(crate) struct StoredSubscription {
    pub(crate) order: u64,
    pub(crate) subscription: Subscription,
    pub(crate) properties: Properties,
}

/// A received message that an earlier process had acknowledged and its application not finished with.
#[derive(Debug)]
pub(crate) struct Arrived {
    pub(crate) identifier: u16,
    pub(crate) publish: Publish,
    /// QoS 2: its PUBREL has come.
    pub(crate) released: bool,
}

/// What an earlier process left behind: made of the rows of its store, in any order, and given to
/// [`Engine::recover`](crate::Engine::recover).
#[derive(Debug, Default)]
pub struct Recovery {
    pub(crate) client_id: ByteString,
    pub(crate) outlives: bool,
    pub(crate) promised: Ticket,
    pub(crate) publishes: BTreeMap<Place, StoredPublish>,
    flights: BTreeMap<Place, Phase>,
    /// Flights whose message was completed and removed, and the process died before they were.
    pub(crate) landed: Vec<Place>,
    pub(crate) received: BTreeMap<u16, Fingerprint>,
    pub(crate) wanted: Vec<StoredSubscription>,
    /// The last number that may have been given to a received message.
    pub(crate) numbered: Token,
    pub(crate) arrived: BTreeMap<u64, Arrived>,
    released: BTreeSet<u64>,
    /// Releases of messages that were removed, and the process died before they were.
    pub(crate) stray: Vec<u64>,
    /// See [`Recovery::distrust`].
    pub(crate) distrusted: bool,
    damage: Vec<String>,
    damaged: usize,
}

impl Recovery {
    /// Takes a row of the store. One that makes no sense is left out and told by [`Recovery::damage`].
    pub fn row(&mut self, key: &[u8], value: &[u8]) {
        if let Err(violation) = self.read(key, Bytes::copy_from_slice(value)) {
            let kind = key.first().map_or(' ', |kind| char::from(*kind)).escape_default().to_string();
            self.damaged(format!("a row of kind {kind}: {}", violation.text));
        }
    }

    /// Call it after the last row: sees which rows fit together.
    pub fn complete(&mut self) {
        let mut identifiers = BTreeSet::new();
        for (place, phase) in std::mem::take(&mut self.flights) {
            let (Phase::Sent(identifier) | Phase::Released(identifier)) = phase else { continue };
            match self.publishes.get_mut(&place) {
                None => self.landed.push(place),
                Some(_) if !identifiers.insert(identifier) => {
                    self.damaged(format!("packet identifier {identifier} is in flight twice"));
                }
                Some(stored) => stored.phase = phase,
            }
        }
        for sequence in std::mem::take(&mut self.released) {
            match self.arrived.get_mut(&sequence) {
                Some(arrived) => arrived.released = true,
                None => self.stray.push(sequence),
            }
        }
        let last = self.arrived.keys().next_back().copied().unwrap_or(0);
        self.numbered.sequence = self.numbered.sequence.max(last);
        self.promised = self.publishes.values().map(|stored| stored.ticket).fold(self.promised, Ticket::max);
    }

    /// The store has lost rows, and others may be in an older state. Most do no harm: what comes back is sent or
    /// delivered again. But numbers that were given away must not be given to something else, so new ones begin where no
    /// client can have been. Call it after [`Recovery::complete`].
    pub fn distrust(&mut self) {
        self.promised += BEYOND;
        self.numbered.sequence += BEYOND;
        self.distrusted = true;
    }

    /// The client identifier of the session, empty if the store is new.
    pub fn client_id(&self) -> &ByteString {
        &self.client_id
    }

    /// Every ticket up to this one may have been used.
    pub fn last_ticket(&self) -> Ticket {
        self.promised
    }

    /// The publishes that are accepted and not complete, oldest first: ticket, topic and bytes of the payload.
    pub fn pending(&self) -> impl Iterator<Item = (Ticket, &ByteString, usize)> {
        self.publishes
            .values()
            .map(|stored| (stored.ticket, &stored.publish.topic, stored.publish.payload.len()))
    }

    /// What could not be read, in words.
    pub fn damage(&self) -> Option<String> {
        let more = self.damaged - self.damage.len();
        let more = if more > 0 { format!("; and {more} more") } else { String::new() };
        (self.damaged > 0).then(|| self.damage.join("; ") + &more)
    }

    fn damaged(&mut self, what: String) {
        self.damaged += 1;
        if self.damage.len() < DESCRIBED {
            self.damage.push(what);
        }
    }

    fn read(&mut self, key: &[u8], value: Bytes) -> Result<(), Violation> {
        let (Some(kind), key) = (key.first(), Bytes::copy_from_slice(key.get(1..).unwrap_or_default()))
        else {
            return Err(Violation::malformed("its name is empty"));
        };
        let (mut name, mut cursor) = (Cursor::new(&key), Cursor::new(&value));
        match kind {
            b'S' => {
                self.outlives = cursor.byte()? != 0;
                self.client_id = text(cursor.rest())?;
            }
            b'T' => {
                self.promised = count(&mut cursor)?;
                cursor.finish()?;
            }
            b'P' => {
                let place = count(&mut name)?;
                name.finish()?;
                self.publishes.insert(place, read_publish(cursor)?);
            }
            b'F' => {
                let place = count(&mut name)?;
                name.finish()?;
                self.flights.insert(place, read_flight(cursor)?);
            }
            b'R' => {
                let (identifier, fingerprint) = (name.packet_identifier()?, cursor.eight_byte()?);
                name.finish()?;
                cursor.finish()?;
                self.received.insert(identifier, fingerprint);
            }
            b'N' => {
                self.numbered = Token { epoch: cursor.eight_byte()?, sequence: count(&mut cursor)? };
                cursor.finish()?;
            }
            b'A' => {
                let sequence = count(&mut name)?;
                name.finish()?;
                self.arrived.insert(sequence, read_arrived(cursor)?);
            }
            b'L' => {
                let sequence = count(&mut name)?;
                name.finish()?;
                cursor.finish()?;
                self.released.insert(sequence);
            }
            b'W' => self.wanted.push(read_wanted(name, cursor)?),
            _ => return Err(Violation::malformed("there is no such kind")),
        }
        Ok(())
    }
}

/// A number that goes on from where the row has it: one near the end of all numbers would have no successor.
fn count(cursor: &mut Cursor<'_>) -> Result<u64, Violation> {
    let number = cursor.eight_byte()?;
    match number > u64::MAX / 2 {
        true => Err(Violation::malformed("a number beyond all counting")),
        false => Ok(number),
    }
}

fn text(bytes: Bytes) -> Result<ByteString, Violation> {
    ByteString::try_from(bytes).map_err(|_| Violation::malformed("not UTF-8"))
}

fn read_publish(mut cursor: Cursor<'_>) -> Result<StoredPublish, Violation> {
    let ticket = count(&mut cursor)?;
    let expiry = Some(cursor.eight_byte()? as i64).filter(|expiry| *expiry != i64::MAX);
    let version = match cursor.byte()? {
        4 => Version::V4,
        5 => Version::V5,
        _ => return Err(Violation::malformed("no such protocol version")),
    };
    let (publish, _) = read_packet(version, cursor)?;
    match ticket {
        0 => Err(Violation::malformed("its ticket is 0")),
        _ => Ok(StoredPublish { ticket, expiry, publish, phase: Phase::Waiting }),
    }
}

fn read_arrived(cursor: Cursor<'_>) -> Result<Arrived, Violation> {
    let (publish, identifier) = read_packet(Version::V5, cursor)?;
    Ok(Arrived { identifier, publish, released: false })
}

fn read_packet(version: Version, cursor: Cursor<'_>) -> Result<(Publish, u16), Violation> {
    let packet = cursor.rest();
    let frame = wire::frame(version, &packet, PACKET_SIZE_LIMIT)?;
    let frame = frame.ok_or(Violation::malformed("its packet is cut off"))?;
    match wire::decode(version, frame, &packet)? {
        Packet::Publish { publish, packet_identifier: Some(identifier), .. } => Ok((publish, identifier)),
        _ => Err(Violation::malformed("it holds another packet than a PUBLISH of QoS 1 or 2")),
    }
}

fn read_flight(mut cursor: Cursor<'_>) -> Result<Phase, Violation> {
    let identifier = cursor.packet_identifier()?;
    let phase = match cursor.byte()? {
        0 => Phase::Sent(identifier),
        1 => Phase::Released(identifier),
        _ => return Err(Violation::malformed("there is no such phase")),
    };
    cursor.finish()?;
    Ok(phase)
}

fn read_wanted(name: Cursor<'_>, mut cursor: Cursor<'_>) -> Result<StoredSubscription, Violation> {
    let filter = text(name.rest())?;
    check_filter(&filter).map_err(Violation::malformed)?;
    let order = count(&mut cursor)?;
    let options = cursor.byte()?;
    let qos = QoS::from_u8(options & 3).ok_or(Violation::malformed("QoS 3"))?;
    let subscription = Subscription {
        filter,
        qos,
        no_local: options & 4 != 0,
        retain_as_published: options & 8 != 0,
        retain_handling: options >> 4,
    };
    if subscription.retain_handling > 2 {
        return Err(Violation::malformed("retain handling beyond 2"));
    }
    let properties = read_properties(PropertyOwner::Subscribe, &mut cursor)?;
    cursor.finish()?;
    Ok(StoredSubscription { order, subscription, properties })
}
