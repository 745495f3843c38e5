//! What the application asks of the engine.

use bytestring::ByteString;
use std::sync::mpsc::Sender;
use std::sync::Arc;

use crate::auth::Exchange;
use crate::options::Options;
use crate::wire::{Properties, Publish, Reason, Subscription};

/// Number of an operation of one client, unique for its life and never 0. Tickets are handed out in call order;
/// the packet identifier of an operation is its ticket's number modulo 65,535 (counted from 1) where that is free.
pub type Ticket = u64;

/// What a publish of QoS 1 or 2 outlives, and what its completion says. QoS 0 is sent at most once at any level.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Level {
    /// Outages, not the death of the process. Complete when the server has acknowledged it. QoS 2 is stored all the same
    /// where there is a store: a server that keeps one half of an exchange would swallow the next message under its
    /// identifier.
    Memory,
    /// The death of the process and a power cut, from the moment on when its first byte leaves. Complete when the server
    /// has acknowledged it. The default of a client with a store.
    Stored,
    /// As `Stored`, and complete as soon as it is durable, with [`Outcome::Durable`](crate::Outcome::Durable): the
    /// application is rid of it. Should it fail later, [`Event::Store`](crate::Event::Store) says so.
    Fsynced,
}

/// Names one delivery of an inbound QoS 1 or 2 message, so that an acknowledgement can never hit another one that
/// later got the same packet identifier.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Delivery {
    /// The packet identifier that the server chose.
    pub packet_identifier: u16,
    /// Distinguishes deliveries with the same identifier.
    pub serial: u32,
}

/// A command for [`Engine::handle`](crate::Engine::handle).
#[derive(Debug, Clone)]
pub enum Command {
    /// Connect, and stay connected until `Stop`. No effect while started.
    Start,
    /// End the connection with a DISCONNECT (`reason` on MQTT 5; 0x04 makes the server publish the will) and stay
    /// away until `Start`. The session and everything queued are kept.
    Stop(Reason),
    /// Give everything up: every operation that is not complete completes with `Closed`.
    Close,
    /// Try to connect now if an attempt is only scheduled, whatever the reason of the wait is.
    ReconnectNow,
    /// The network has changed: a link came up, an address or a route is another one. A wait for the way to the server
    /// ends within 100 ms, a wait for the server's sake does not; a connection that stands is asked whether it lives.
    NetworkChanged,
    /// Use these options from the next connection on.
    Reconfigure(Arc<Options>),
    /// Publish. Ends in exactly one [`Event::Completed`](crate::Event::Completed).
    Publish(Ticket, Publish),
    /// The same at another level than that of the store.
    PublishAt(Ticket, Publish, Level),
    /// Give up every QoS 1 and 2 publish that is not complete: each completes with `Dropped`, and all of them go to
    /// the sender, oldest first.
    DropPublishes(Sender<Vec<(Ticket, Publish)>>),
    /// Subscribe. Ends in exactly one `Completed`.
    Subscribe(Ticket, Vec<Subscription>, Properties),
    /// Unsubscribe. Ends in exactly one `Completed`.
    Unsubscribe(Ticket, Vec<ByteString>, Properties),
    /// Completes with [`Outcome::Stored`](crate::Outcome::Stored) when everything accepted before it is durable; at
    /// once without a store.
    Sync(Ticket),
    /// Acknowledge messages: PUBACK or PUBREC. Stale deliveries are ignored.
    Acknowledge(Vec<Delivery>),
    /// Acknowledge one message with an MQTT 5 reason code (0x80 and up refuses it).
    Reject(Delivery, u8),
    /// Answer the [`Event::Auth`](crate::Event::Auth) with this number; `None`: ask the server of the connection that
    /// is up to authenticate us anew. With these properties, to which the method of the CONNECT is added. Without effect
    /// where there is nothing to answer any more, or an exchange is under way already.
    Authenticate(Option<Exchange>, Properties),
    /// Do not answer it: the connection or the attempt ends with `AuthenticationFailed`, and the schedule says when the
    /// next one begins.
    RefuseAuthentication(Exchange),
    /// The application has finished with the `Connected` event: from here on a subscribe is a wish of its own, not
    /// the repetition in an on-connect callback that a restored subscription already answers.
    ConnectedHandled,
}
