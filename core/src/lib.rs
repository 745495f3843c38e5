#![doc = include_str!("../ARCHITECTURE.md")]

mod budget;
mod client;
mod dispatch;
mod driver;
mod ledger;
mod netwatch;
mod pool;
mod runtime;
mod shared;
pub mod store;
mod transport;
mod writer;

pub use client::Client;
pub use dispatch::{Batch, Handler, Turn};
pub use pool::{Pool, Worker};
pub use remqtt_proto as proto;
pub use remqtt_proto::{
    Auth, ByteString, Bytes, Connected, Delivery, Disconnected, Error, ErrorCode, Event, Exchange, Failure,
    Gap, Level, Login, Mark, Message, Next, Options, Outage, Outcome, Properties, PropertyId, PropertyValue,
    Publish, QoS, Quarantined, Reason, Secret, SessionState, Signal, State, Stats, Subscription, Ticket,
    TlsVersion, Token, Version, Who, Will,
};
pub use runtime::{after_fork_in_child, generation, now, wind_down};
#[cfg(fuzzing)]
pub use transport::fuzz;
pub use transport::{Credentials, Dialler, Part, Target};
