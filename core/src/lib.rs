//! An MQTT client that comes back: persistent sessions, QoS 0/1/2 and recovery from network outages.
//!
//! The engine in [`proto`] decides everything about MQTT; this crate drives it on tokio and gives it to
//! applications. Rust programs use [`Client`]; the C and Python bindings stand on the same facade.

mod client;
mod dispatch;

pub use client::Client;
pub use dispatch::{Batch, Handler, Pool, Turn, Worker};
pub use remqtt_proto as proto;
pub use remqtt_proto::{
    ByteString, Bytes, Connected, Delivery, Disconnected, Error, ErrorCode, Event, Mark, Message, Next,
    Options, Outage, Outcome, Properties, PropertyId, PropertyValue, Publish, QoS, Reason, SessionState,
    State, Stats, Subscription, Ticket, Version, Who, Will,
};
