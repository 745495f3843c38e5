//! The pure MQTT session engine of remqtt: no clock, no socket, no disk, no thread, no runtime.
//!
//! [`Engine`] takes time, bytes and commands as arguments and gives back bytes, dials and events as data, so that
//! every outage can be replayed exactly, in microseconds. The driver around it is the crate `remqtt`.

mod auth;
mod check;
mod command;
mod dialling;
mod durability;
mod engine;
mod error;
mod event;
mod journal;
mod lifecycle;
mod link;
mod liveness;
mod options;
mod pipeline;
mod poison;
mod receive;
mod reconnect;
mod referral;
mod rhythm;
mod server;
mod session;
mod stats;
mod text;
mod time;
mod timeline;
mod timer;
mod transmit;
pub mod wire;

pub use auth::Exchange;
pub use bytes::Bytes;
pub use bytestring::ByteString;
pub use command::{Command, Delivery, Level, Ticket};
pub use engine::{Attempt, Engine, Input, Output, State};
pub use error::{Error, ErrorCode, Next, Who};
pub use event::{Auth, Connected, Disconnected, Event, Message, Outcome, SessionState, Token};
pub use journal::{Change, Field, Key, Lsn, Record, Recovery, ROW_FORMAT};
pub use link::Login;
pub use liveness::Transit;
pub use options::{
    Acknowledge, LostPublishes, LostSubscriptions, OptionRow, OptionValue, Options, Secret, TlsVersion,
    WhenFull,
};
pub use poison::Quarantined;
pub use session::Gap;
pub use stats::Stats;
pub use time::Instant;
pub use timeline::{Failure, Mark, Outage, Signal};
pub use timer::Timer;
pub use wire::{
    Properties, PropertyId, PropertyKind, PropertyOwner, PropertyRow, PropertyValue, Publish, QoS, Reason,
    Subscription, Version, Will,
};
