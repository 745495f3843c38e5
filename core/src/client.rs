//! The handle: every call from every thread, none of them waits for the network unless its name says so.

use std::sync::Arc;
use std::time::Duration;

use remqtt_proto::{
    ByteString, Delivery, Error, Options, Outage, Properties, Publish, Reason, State, Stats, Subscription,
    Ticket,
};

use crate::dispatch::{Batch, Handler, Pool};

/// A client. Clones are handles of the same client; the last one to go closes it.
#[derive(Debug, Clone)]
pub struct Client {
    shared: Arc<()>,
}

#[allow(unused_variables, clippy::todo)]
impl Client {
    /// A client that is not started. Checks the options (endpoint URLs included) and does no I/O.
    pub fn new(options: Options) -> Result<Client, Error> {
        todo!()
    }

    /// Connects and stays connected until `stop` or `close`. Returns at once.
    pub fn start(&self) -> Result<(), Error> {
        todo!()
    }

    /// Sends DISCONNECT and stays away until `start`; session and queue are kept. Returns at once.
    pub fn stop(&self, reason: Reason) -> Result<(), Error> {
        todo!()
    }

    /// Ends the client for good: every operation that is not complete completes with `Closed`, then `Event::Closed`
    /// follows. Returns at once.
    pub fn close(&self) {
        todo!()
    }

    /// Skips the wait before the next attempt.
    pub fn reconnect_now(&self) -> Result<(), Error> {
        todo!()
    }

    /// Uses these options from the next connection on. `receive_buffer` and the backlog's bounds apply at once.
    pub fn reconfigure(&self, options: Options) -> Result<(), Error> {
        todo!()
    }

    /// The options in use.
    pub fn options(&self) -> Arc<Options> {
        todo!()
    }

    /// Reserves the number of an operation, so that a caller can file something under it before the operation can
    /// complete. Numbers count from 1.
    pub fn next_ticket(&self) -> Ticket {
        todo!()
    }

    /// Queues a publish, connected or not. The error is the caller's: invalid, too large, queue full, closed.
    pub fn publish(&self, publish: Publish) -> Result<Ticket, Error> {
        let ticket = self.next_ticket();
        self.publish_as(ticket, publish).map(|()| ticket)
    }

    /// `publish` under a number from `next_ticket`.
    pub fn publish_as(&self, ticket: Ticket, publish: Publish) -> Result<(), Error> {
        todo!()
    }

    /// Subscribes, now or as soon as there is a connection, and again whenever the server lost the session.
    pub fn subscribe(
        &self,
        subscriptions: Vec<Subscription>,
        properties: Properties,
    ) -> Result<Ticket, Error> {
        let ticket = self.next_ticket();
        self.subscribe_as(ticket, subscriptions, properties).map(|()| ticket)
    }

    /// `subscribe` under a number from `next_ticket`.
    pub fn subscribe_as(
        &self,
        ticket: Ticket,
        subscriptions: Vec<Subscription>,
        properties: Properties,
    ) -> Result<(), Error> {
        todo!()
    }

    /// Unsubscribes.
    pub fn unsubscribe(&self, filters: Vec<ByteString>, properties: Properties) -> Result<Ticket, Error> {
        let ticket = self.next_ticket();
        self.unsubscribe_as(ticket, filters, properties).map(|()| ticket)
    }

    /// `unsubscribe` under a number from `next_ticket`.
    pub fn unsubscribe_as(
        &self,
        ticket: Ticket,
        filters: Vec<ByteString>,
        properties: Properties,
    ) -> Result<(), Error> {
        todo!()
    }

    /// Acknowledges a message of a client with `manual_ack`. A delivery that is no longer current is ignored.
    pub fn acknowledge(&self, delivery: Delivery) -> Result<(), Error> {
        todo!()
    }

    /// Acknowledges a message with an MQTT 5 reason code.
    pub fn reject(&self, delivery: Delivery, reason_code: u8) -> Result<(), Error> {
        todo!()
    }

    /// The state of the connection; lock-free.
    pub fn state(&self) -> State {
        todo!()
    }

    /// The statistics.
    pub fn stats(&self) -> Stats {
        todo!()
    }

    /// The last outages (at most 64), oldest first.
    pub fn timeline(&self) -> Vec<Outage> {
        todo!()
    }

    /// True while the operation is accepted and not complete.
    pub fn is_pending(&self, ticket: Ticket) -> bool {
        todo!()
    }

    /// Waits until the operation is complete. Its own failure is returned (the last 1,024 failures are remembered);
    /// `Timeout` means that it goes on, `Deadlock` that the call was made in a callback of this client.
    pub fn wait(&self, ticket: Ticket, timeout: Duration) -> Result<(), Error> {
        todo!()
    }

    /// Waits until the connection has this state.
    pub fn wait_state(&self, state: State, timeout: Duration) -> Result<(), Error> {
        todo!()
    }

    /// Waits until every accepted operation is complete.
    pub fn flush(&self, timeout: Duration) -> Result<(), Error> {
        todo!()
    }

    /// Takes the events that are there, waiting up to `timeout` for the first. For programs that drive their own
    /// loop; not together with `dispatch_on`. An empty batch means that the time is over (or the client is closed
    /// and drained, or `interrupt` was called).
    pub fn pull(&self, timeout: Duration) -> Batch<'_> {
        todo!()
    }

    /// Makes a `pull` that is waiting return an empty batch.
    pub fn interrupt(&self) {
        todo!()
    }

    /// From now on the handler gets the events on the threads of the pool: one call at a time, in order.
    pub fn dispatch_on(&self, pool: &Pool, handler: Arc<dyn Handler>) {
        todo!()
    }

    /// Takes the handler away again (`pull` may be used). Events stay queued meanwhile. Does not wait for a call of
    /// the handler that is running.
    pub fn dispatch_stop(&self) {
        todo!()
    }

    /// A descriptor that is readable while events wait; the same for the life of the client. Made on first use.
    pub fn event_fd(&self) -> Result<std::os::fd::RawFd, Error> {
        todo!()
    }
}
