//! What the engine tells the application.

use bytes::Bytes;
use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use crate::auth::Exchange;
use crate::command::{Delivery, Ticket};
use crate::error::Error;
use crate::poison::Quarantined;
use crate::session::Gap;
use crate::timeline::Outage;
use crate::wire::{Properties, Publish};

/// What became of the session at a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SessionState {
    /// First connection of this client, or a clean start was asked for: nothing to resume.
    New,
    /// The server had it: in-flight messages go on where they stopped, subscriptions stand.
    Resumed,
    /// The server had lost it: handled by the `lost_session_*` policies.
    Lost,
}

/// A connection was accepted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Connected {
    /// As in the CONNACK.
    pub session_present: bool,
    /// What it means for us.
    pub session: SessionState,
    /// Subscriptions that we are restoring because the session was lost.
    pub restoring: usize,
    /// Publishes that are sent again, with DUP or, after a lost session, as new.
    pub resending: usize,
    /// The CONNACK's reason code, 0.
    pub reason_code: u8,
    /// The CONNACK's properties.
    pub properties: Properties,
}

/// A connection ended, or an attempt failed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Disconnected {
    /// `None`: the application asked for it.
    pub error: Option<Error>,
    /// False when it was an attempt that never got a successful CONNACK.
    pub was_connected: bool,
    /// True when the server said so in a DISCONNECT or a refusing CONNACK.
    pub from_server: bool,
    /// When the next attempt starts, counted from now; `None`: not by itself.
    pub retry_in: Option<Duration>,
    /// Failed attempts in a row.
    pub failures: u32,
    /// Properties of the server's DISCONNECT or CONNACK.
    pub properties: Properties,
    /// How much the server's DISCONNECT said: 0 nothing, 1 a reason code, 2 properties too.
    pub said: u8,
}

/// An application message arrived.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Message {
    /// Topic (an alias is already resolved), payload, QoS, retain, properties.
    pub publish: Publish,
    /// The topic as it came, where it is not UTF-8; `publish` has it with question marks then.
    pub raw_topic: Option<Bytes>,
    /// The server said that this may be a redelivery.
    pub dup: bool,
    /// What to acknowledge; `None` for QoS 0.
    pub delivery: Option<Delivery>,
    /// Names the message for ever, where it was stored before its acknowledgement (option `acknowledge`).
    pub token: Option<Token>,
    /// An earlier process had stored it, and may or may not have given it to the application.
    pub redelivered: bool,
}

/// The stable name of a received message: the same for every redelivery from the store, and larger than those of all
/// messages before it in the same store. As text: 16 hexadecimal digits, `-`, a decimal number.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Token {
    /// Names the store, and with it the client identifier; random, made with the first message of a new store.
    pub epoch: u64,
    /// Counts the received messages of the store from 1, with gaps.
    pub sequence: u64,
}

impl fmt::Display for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:016x}-{}", self.epoch, self.sequence)
    }
}

impl FromStr for Token {
    type Err = ();

    fn from_str(text: &str) -> Result<Token, ()> {
        let (epoch, sequence) = text.split_once('-').filter(|(epoch, _)| epoch.len() == 16).ok_or(())?;
        let epoch = u64::from_str_radix(epoch, 16).map_err(|_| ())?;
        Ok(Token { epoch, sequence: sequence.parse().map_err(|_| ())? })
    }
}

impl Message {
    /// What this message counts against the `receive_buffer`.
    pub fn weight(&self) -> usize {
        self.publish.topic.len() + self.publish.payload.len() + 64
    }
}

/// The server's part of an exchange that authenticates (MQTT 5).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Auth {
    /// What [`Command::Authenticate`](crate::Command::Authenticate) answers; `None`: it wants no answer.
    pub exchange: Option<Exchange>,
    /// 0x18: the exchange goes on. 0: the connection is authenticated anew.
    pub reason_code: u8,
    /// Method, data, reason string, user properties.
    pub properties: Properties,
}

/// How an operation ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    /// QoS 0: written to the connection. QoS 1: PUBACK, QoS 2: PUBCOMP, with the server's reason below 0x80.
    Published(u8, Properties),
    /// SUBACK: one reason code per filter; 0x80 and up are refusals of that filter.
    Subscribed(Vec<u8>, Properties),
    /// UNSUBACK: one reason code per filter, none on MQTT 3.1.1.
    Unsubscribed(Vec<u8>, Properties),
    /// A publish at level `Fsynced` is durable. It is sent, and sent again, without further word of it.
    Durable,
    /// Everything that was accepted before is durable.
    Stored,
    /// It did not happen, or the server refused it; the properties are those of the refusal.
    Failed(Error, Properties),
}

/// An event of the client.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Event {
    /// An attempt begins: its number since the client was started or last connected, from 1, and the index of the
    /// endpoint; one past the last is a server that another one sent us to. `Connected` may also follow the failure of an
    /// attempt without another: where the server did not answer in time, and then it did after all.
    Connecting(u32, usize),
    /// A connection was accepted.
    Connected(Box<Connected>),
    /// A connection ended or an attempt failed.
    Disconnected(Box<Disconnected>),
    /// The server's AUTH, in answer to a CONNECT with an authentication method or to a wish to be authenticated anew.
    Auth(Box<Auth>),
    /// An application message arrived.
    Message(Message),
    /// The operation with this ticket is complete. Comes exactly once for each accepted operation.
    Completed(Ticket, Outcome),
    /// An outage is over: everything queued before the link came back was sent and acknowledged, or the link has
    /// proved stable, or another outage or the application ended it. Its marks say how far it came.
    Recovered(Box<Outage>),
    /// A message ended one connection after the other and was taken out of the traffic. One of ours also completes with
    /// `Quarantined`; one of the server's is acknowledged and comes no more.
    Quarantined(Box<Quarantined>),
    /// Messages of a topic never came: those before the message that follows this event.
    Gap(Box<Gap>),
    /// The store of the session: what is wrong with it (`StoreFailed`: it cannot be written, and publishes of QoS 1
    /// and 2 are refused meanwhile; `StoreDamaged`: something in it could not be read when the client was made, or when
    /// it was opened anew after an error; any other: a publish that was complete because it was durable will not be
    /// delivered, and why), or `None` when it can be written again.
    Store(Option<Error>),
    /// The client was closed; nothing follows.
    Closed,
}
