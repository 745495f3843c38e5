//! The engine: session, link and reconnection behind four verbs.

use bytes::BytesMut;

use crate::command::Command;
use crate::error::Error;
use crate::event::Event;
use crate::options::Options;
use crate::stats::Stats;
use crate::time::Instant;
use crate::timer::Timer;
use crate::wire::Publish;

/// Generation number of a connection attempt. Whatever comes from a dead link is ignored by comparing it.
pub type Attempt = u64;

/// What happened outside.
#[derive(Debug)]
pub enum Input<'a> {
    /// The application wants something.
    Command(Command),
    /// The transport of this attempt is up.
    LinkUp(Attempt),
    /// Bytes arrived.
    Received(Attempt, &'a [u8]),
    /// The transport failed or was closed by the other side, or could not be made; also the answer to a `Hangup`.
    LinkDown(Attempt, Error),
    /// Everything that `poll_transmit` gave was handed to the transport.
    Flushed(Attempt),
    /// The time of `poll_timeout` has come. Coming early or late is harmless.
    Timeout,
}

/// What the engine wants done outside.
#[derive(Debug)]
pub enum Output {
    /// Connect to the endpoint with this index of `Options::servers`.
    Dial(Attempt, usize),
    /// Write what `poll_transmit` still gives, without waiting for long, then close the transport (or stop dialling).
    Hangup(Attempt),
    /// For the application.
    Event(Event),
}

/// The state of the connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(i32)]
pub enum State {
    /// Not started, or stopped.
    Stopped = 0,
    /// An attempt is under way.
    Connecting = 1,
    /// The server accepted the connection.
    Connected = 2,
    /// Waiting for the next attempt.
    Waiting = 3,
    /// Closed for good.
    Closed = 4,
}

/// The MQTT client engine. Single-threaded and pure: see the crate's description.
#[derive(Debug)]
pub struct Engine {
    options: Options,
}

impl Engine {
    /// An engine that is not started. The seed feeds the jitter and, where none was given, the client identifier.
    pub fn new(options: Options, seed: u64, now: Instant) -> Engine {
        let _ = (seed, now);
        Engine { options }
    }

    /// Tells the engine what happened. Never fails, never blocks; drain the polls afterwards.
    pub fn handle(&mut self, now: Instant, input: Input<'_>) {
        let _ = (now, input);
    }

    /// Appends bytes for the current link, at most about 64 KiB beyond a packet that has begun. Call it whenever the
    /// transport can take more, until it appends nothing.
    pub fn poll_transmit(&mut self, now: Instant, buffer: &mut BytesMut) {
        let _ = (now, buffer);
    }

    /// The next thing to do outside, until `None`.
    pub fn poll_output(&mut self) -> Option<Output> {
        None
    }

    /// When to come back with [`Input::Timeout`], and why.
    pub fn poll_timeout(&self) -> Option<(Instant, Timer)> {
        None
    }

    /// The state of the connection.
    pub fn state(&self) -> State {
        State::Stopped
    }

    /// The statistics.
    pub fn stats(&self) -> Stats {
        Stats::default()
    }

    /// The options in use; `client_id` is never empty here.
    pub fn options(&self) -> &Options {
        &self.options
    }

    /// Checks a publish as far as it can be checked without a connection. Bindings and driver call it before they
    /// accept the publish, so that an error reaches the caller and not an event.
    pub fn check_publish(options: &Options, publish: &Publish) -> Result<(), Error> {
        let _ = (options, publish);
        Ok(())
    }
}
