//! The handle: every call from every thread, none of them waits for the network unless its name says so.

use std::collections::hash_map::RandomState;
use std::hash::BuildHasher;
use std::os::fd::{OwnedFd, RawFd};
use std::path::Path;
use std::sync::atomic::Ordering;
use std::sync::Arc;
use std::time::{Duration, Instant as Moment};

use remqtt_proto::wire::{check_properties, check_topic, PropertyOwner};
use remqtt_proto::{
    Acknowledge, ByteString, Bytes, Command, Delivery, Engine, Error, ErrorCode, Exchange, Level, Options,
    Outage, Properties, PropertyId, Publish, QoS, Reason, Recovery, State, Stats, Subscription, Ticket,
    Token, Version, WhenFull,
};

use crate::dispatch::{Batch, Handler};
use crate::driver::Driver;
use crate::netwatch;
use crate::pool::Pool;
use crate::runtime::{now, Presence};
use crate::shared::{Load, Shared};
use crate::store::{self, SessionStore};
use crate::transport::{self, Credentials, Dialler, Endpoint};

/// The driver answers far sooner; only one that is gone does not.
const DRIVER_ANSWERS: Duration = Duration::from_secs(5);

/// A client. Clones are handles of the same client; the last one to go closes it.
#[derive(Debug)]
pub struct Client {
    pub(crate) shared: Arc<Shared>,
}

impl Client {
    /// A client that is not started. Checks the options (endpoint URLs included) and opens the store, if there is to
    /// be one; publishes that it holds are pending again, under their tickets. No I/O to the server.
    pub fn new(options: Options) -> Result<Client, Error> {
        let options = checked(options)?;
        let seed = RandomState::new().hash_one(0);
        if options.store.is_empty() {
            return Client::drive(Engine::new(options, seed, now()), |driver| driver);
        }
        let (store, damage, recovery) = reopen(&options)?;
        let tickets: Vec<Ticket> = recovery.pending().map(|(ticket, ..)| ticket).collect();
        let last_ticket = recovery.last_ticket();
        let engine = Engine::recover(options, recovery, seed, now(), unix_ms());
        Client::drive(engine, |driver| {
            driver.shared().pending(&tickets, last_ticket);
            driver.with_store(store, damage)
        })
    }

    fn drive(engine: Engine, complete: impl FnOnce(Driver) -> Driver) -> Result<Client, Error> {
        let (presence, runtime) = Presence::open()?;
        let shared = Arc::new(Shared::new(engine.options().clone(), presence));
        let driver = {
            let _timers = runtime.enter();
            complete(Driver::new(shared.clone(), engine))
        };
        runtime.spawn(driver);
        netwatch::enrol(&shared);
        Ok(Client { shared })
    }

    /// A handle for the turn of a dispatcher thread.
    pub(crate) fn of(shared: Arc<Shared>) -> Client {
        shared.handles.fetch_add(1, Ordering::Relaxed);
        Client { shared }
    }

    /// Connects and stays connected until `stop` or `close`. Returns at once.
    pub fn start(&self) -> Result<(), Error> {
        if self.options().servers.is_empty() {
            self.shared.check_process()?;
            return Err(Error::new(ErrorCode::InvalidOption, "servers: there is no endpoint to connect to"));
        }
        self.shared.send(Command::Start)
    }

    /// Sends DISCONNECT and stays away until `start`; session and queue are kept. Returns at once.
    pub fn stop(&self, reason: Reason) -> Result<(), Error> {
        check_properties(PropertyOwner::Disconnect, &reason.properties).map_err(invalid)?;
        self.shared.send(Command::Stop(reason))
    }

    /// Ends the client for good: every operation that is not complete completes with `Closed`, then `Event::Closed`
    /// follows. Returns at once.
    pub fn close(&self) {
        // The only errors: closed already, or another process's client.
        if self.shared.send(Command::Close).is_ok() {
            self.shared.presence.leave();
        }
    }

    /// Skips the wait before the next attempt, whatever it is for. No effect without one.
    pub fn reconnect_now(&self) -> Result<(), Error> {
        self.shared.send(Command::ReconnectNow)
    }

    /// Says that the network has changed, for programs that know it (a new link, address or route; a modem that is
    /// online; a resume). A wait for the way to the server ends within 100 ms, as if the outage had just begun; a wait
    /// that a busy or refusing server asked for goes on. A connection that stands is asked at once whether it lives.
    pub fn network_changed(&self) -> Result<(), Error> {
        self.shared.send(Command::NetworkChanged)
    }

    /// Uses these options from the next connection on. `receive_buffer` and the backlog's bounds apply at once.
    pub fn reconfigure(&self, options: Options) -> Result<(), Error> {
        self.shared.check_process()?;
        let mut options = checked(options)?;
        let before = self.options();
        if options.client_id.is_empty() {
            options.client_id = before.client_id.clone();
        }
        let moved = options.store != before.store;
        if moved || (!options.store.is_empty() && options.client_id != before.client_id) {
            let why = "store: the file, and the client identifier whose session it holds, are chosen when the client is made";
            return Err(Error::new(ErrorCode::InvalidOption, why));
        }
        let options = Arc::new(options);
        self.shared.send(Command::Reconfigure(options.clone()))?;
        self.shared.manual_ack.store(options.manual_ack, Ordering::Relaxed);
        self.shared.inbox.set_bound(options.receive_buffer);
        self.shared.queue.lock().options = options;
        Ok(())
    }

    /// Lets the application make the connections, from the next attempt on; `None`: the library makes them again.
    pub fn dial_with(&self, dialler: Option<Arc<dyn Dialler>>) -> Result<(), Error> {
        self.shared.check_process()?;
        let before = std::mem::replace(&mut self.shared.queue.lock().dialler, dialler);
        drop(before); // not under the lock: it is the application's
        Ok(())
    }

    /// Asks the application who it is before each attempt, from the next one on; `None`: the options say it again.
    pub fn ask_credentials(&self, credentials: Option<Arc<dyn Credentials>>) -> Result<(), Error> {
        self.shared.check_process()?;
        let before = std::mem::replace(&mut self.shared.queue.lock().credentials, credentials);
        drop(before); // not under the lock: it is the application's
        Ok(())
    }

    /// The options in use.
    pub fn options(&self) -> Arc<Options> {
        match self.shared.check_process() {
            Ok(()) => self.shared.queue.lock().options.clone(),
            Err(_) => Arc::default(),
        }
    }

    /// Reserves the number of an operation, so that a caller can file something under it before the operation can
    /// complete. Numbers count from 1.
    pub fn next_ticket(&self) -> Ticket {
        self.shared.last_ticket.fetch_add(1, Ordering::Relaxed) + 1
    }

    /// Queues a publish, connected or not. The error is the caller's: invalid, too large, queue full, closed.
    pub fn publish(&self, publish: Publish) -> Result<Ticket, Error> {
        let ticket = self.next_ticket();
        self.publish_as(ticket, publish).map(|()| ticket)
    }

    /// `publish` under a number from `next_ticket`.
    pub fn publish_as(&self, ticket: Ticket, publish: Publish) -> Result<(), Error> {
        self.publish_at(ticket, publish, None)
    }

    /// `publish_as` at a level of its own instead of the client's, which is `Stored` with a store and `Memory` without.
    /// `InvalidArgument`: there is no store.
    pub fn publish_at(&self, ticket: Ticket, publish: Publish, level: Option<Level>) -> Result<(), Error> {
        let load = Load { messages: 1, bytes: publish.topic.len() + publish.payload.len() };
        let memory = publish.qos == QoS::AtMostOnce || level == Some(Level::Memory);
        let stored = !memory && level.is_some();
        let level = level.unwrap_or(Level::Stored);
        let command = Command::PublishAt(ticket, publish, level);
        self.shared.accept(ticket, command, |queue, command| {
            let Command::PublishAt(_, publish, _) = command else { return Ok(()) };
            Engine::check_publish(&queue.options, publish)?;
            if stored && queue.options.store.is_empty() {
                return Err(invalid("there is no store (option \"store\") to put it into"));
            }
            if let Some(error) = queue.store_failure.clone().filter(|_| !memory) {
                return Err(error);
            }
            let offline = self.shared.state() != State::Connected;
            if offline && publish.qos == QoS::AtMostOnce && !queue.options.queue_qos0_offline {
                return Err(ErrorCode::NotConnected.into());
            }
            let refuse = queue.options.backlog_when_full == WhenFull::Refuse;
            queue.admit(load, refuse)
        })
    }

    /// Gives up every QoS 1 and 2 publish that is not complete, and returns them, oldest first. Each completes with
    /// `Dropped`. A server that has one of them already keeps it.
    pub fn drop_publishes(&self) -> Result<Vec<(Ticket, Publish)>, Error> {
        let (to, dropped) = std::sync::mpsc::channel();
        self.shared.send(Command::DropPublishes(to))?;
        self.shared.answer(&dropped, DRIVER_ANSWERS).ok_or_else(|| ErrorCode::Closed.into())
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
        Engine::check_subscribe(&subscriptions, &properties)?;
        self.shared.accept(ticket, Command::Subscribe(ticket, subscriptions, properties), |_, _| Ok(()))
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
        Engine::check_unsubscribe(&filters, &properties)?;
        self.shared.accept(ticket, Command::Unsubscribe(ticket, filters, properties), |_, _| Ok(()))
    }

    /// Acknowledges a message of a client with `manual_ack`. A delivery that is no longer current is ignored.
    pub fn acknowledge(&self, delivery: Delivery) -> Result<(), Error> {
        self.shared.send(Command::Acknowledge(vec![delivery]))
    }

    /// Acknowledges a message with an MQTT 5 reason code.
    pub fn reject(&self, delivery: Delivery, reason_code: u8) -> Result<(), Error> {
        self.shared.send(Command::Reject(delivery, reason_code))
    }

    /// Answers the [`Event::Auth`](crate::Event::Auth) with this number, with data and further properties (reason
    /// string, user properties). `None`: asks the server of the connection that is up to authenticate us anew, by the
    /// method of the CONNECT. Events tell what comes of it; it may take as long as an attempt to connect. An answer that
    /// comes too late, or twice, does nothing, nor does a second wish while an exchange is under way. `NotConnected`:
    /// there is no connection.
    pub fn authenticate(
        &self,
        exchange: Option<Exchange>,
        data: Option<Bytes>,
        properties: Properties,
    ) -> Result<(), Error> {
        let properties = Engine::check_auth(data, properties)?;
        if exchange.is_none() {
            self.shared.check_process()?;
            let options = self.options();
            let method = options.connect_properties.find(PropertyId::AuthenticationMethod);
            if options.protocol_version == Version::V4 || method.is_none() {
                return Err(invalid("the CONNECT has no authentication method [MQTT-4.12.0-7]"));
            }
            if self.state() != State::Connected {
                return Err(ErrorCode::NotConnected.into());
            }
        }
        self.shared.send(Command::Authenticate(exchange, properties))
    }

    /// Does not answer it: the attempt or the connection ends with `AuthenticationFailed`, and the client tries again by
    /// its schedule.
    pub fn refuse_authentication(&self, exchange: Exchange) -> Result<(), Error> {
        self.shared.send(Command::RefuseAuthentication(exchange))
    }

    /// The state of the connection; lock-free.
    pub fn state(&self) -> State {
        self.shared.state()
    }

    /// The statistics.
    pub fn stats(&self) -> Stats {
        match self.shared.check_process() {
            Ok(()) => self.shared.queue.lock().stats,
            Err(_) => Stats::default(),
        }
    }

    /// The last outages (at most 64), oldest first.
    pub fn timeline(&self) -> Vec<Outage> {
        match self.shared.check_process() {
            Ok(()) => self.shared.queue.lock().timeline.iter().cloned().collect(),
            Err(_) => Vec::new(),
        }
    }

    /// The operations that are accepted and not complete, oldest first. With a store, the publishes that an earlier
    /// process left are among them, under its tickets.
    pub fn pending(&self) -> Vec<Ticket> {
        match self.shared.check_process() {
            Ok(()) => self.shared.queue.lock().ledger.all(),
            Err(_) => Vec::new(),
        }
    }

    /// True while the operation is accepted and not complete.
    pub fn is_pending(&self, ticket: Ticket) -> bool {
        self.shared.check_process().is_ok() && self.shared.queue.lock().ledger.is_open(ticket)
    }

    /// Waits until the operation is complete. Its own failure is returned (the last 1,024 failures are remembered);
    /// `Timeout` means that it goes on, `Deadlock` that the call was made in a callback of this client.
    pub fn wait(&self, ticket: Ticket, timeout: Duration) -> Result<(), Error> {
        self.shared.check_ticket(ticket)?;
        self.shared.wait_until(deadline(timeout), |queue| match queue.ledger.is_open(ticket) {
            true => None,
            false => Some(queue.ledger.failure(ticket).map_or(Ok(()), |error| Err(error.clone()))),
        })
    }

    /// Waits until the connection has this state.
    pub fn wait_state(&self, state: State, timeout: Duration) -> Result<(), Error> {
        self.shared.wait_until(deadline(timeout), |_| match self.shared.state() {
            now if now == state => Some(Ok(())),
            State::Closed => Some(Err(ErrorCode::Closed.into())),
            _ => None,
        })
    }

    /// Waits until every accepted operation is complete.
    pub fn flush(&self, timeout: Duration) -> Result<(), Error> {
        // Later operations are not waited for: with a busy publisher beside it, the call would never return.
        let last = self.shared.last_ticket.load(Ordering::Relaxed);
        let open = |first: Option<Ticket>| first.is_some_and(|first| first <= last);
        self.shared.wait_until(deadline(timeout), |queue| (!open(queue.ledger.first())).then_some(Ok(())))
    }

    /// An operation that is complete when everything accepted so far is durable in the store: from then on it survives
    /// kill -9 and a power cut. While the disk refuses, it stays open. Without a store it is complete at once.
    pub fn sync(&self) -> Result<Ticket, Error> {
        let ticket = self.next_ticket();
        self.shared.accept(ticket, Command::Sync(ticket), |_, _| Ok(()))?;
        Ok(ticket)
    }

    /// Takes the events that are there, waiting up to `timeout` for the first. For programs that drive their own
    /// loop; not together with `dispatch_on`. An empty batch means that the time is over (or the client is closed
    /// and drained, or `interrupt` was called).
    pub fn pull(&self, timeout: Duration) -> Batch<'_> {
        Batch::pulled(self, deadline(timeout))
    }

    /// Makes a `pull` that is waiting, or else the next one that would wait, return an empty batch.
    pub fn interrupt(&self) {
        if self.shared.check_process().is_ok() {
            self.shared.inbox.interrupt();
        }
    }

    /// From now on the handler gets the events on the threads of the pool: one call at a time, in order.
    pub fn dispatch_on(&self, pool: &Pool, handler: Arc<dyn Handler>) {
        if self.shared.check_process().is_ok() {
            self.shared.inbox.dispatch_on(&self.shared, pool, handler);
        }
    }

    /// Takes the handler away again (`pull` may be used). Events stay queued meanwhile. Does not wait for a call of
    /// the handler that is running.
    pub fn dispatch_stop(&self) {
        if self.shared.check_process().is_ok() {
            self.shared.inbox.dispatch_stop();
        }
    }

    /// Another descriptor of the connection's socket, for options of the socket that only the application knows. None
    /// without a connection. The connection ends for the server only when this descriptor is closed too.
    pub fn duplicate_socket(&self) -> Option<OwnedFd> {
        self.shared.duplicate_socket()
    }

    /// A descriptor that is readable while events wait; the same for the life of the client. Made on first use.
    pub fn event_fd(&self) -> Result<RawFd, Error> {
        self.shared.check_process()?;
        self.shared.inbox.event_fd()
    }
}

impl Clone for Client {
    fn clone(&self) -> Client {
        Client::of(self.shared.clone())
    }
}

impl Drop for Client {
    fn drop(&mut self) {
        // A turn may have made a handle of a client that had none; closing twice does no harm.
        if self.shared.handles.fetch_sub(1, Ordering::AcqRel) == 1 {
            self.close();
        }
    }
}

/// The moment when a wait is over; `None` is never.
fn deadline(timeout: Duration) -> Option<Moment> {
    Moment::now().checked_add(timeout)
}

/// A store, what was wrong with it, and what it holds.
type Reopened = (Box<dyn SessionStore>, Option<Error>, Recovery);

fn reopen(options: &Options) -> Result<Reopened, Error> {
    let mut recovery = Recovery::default();
    let opened = store::open(Path::new(&*options.store), &mut |key, value| recovery.row(key, value))?;
    recovery.complete();
    if opened.damage.is_some() {
        recovery.distrust();
    }
    let (stored, wanted) = (recovery.client_id(), &options.client_id);
    if !stored.is_empty() && !wanted.is_empty() && stored != wanted {
        let why = format!("store: {:?} holds the session of client identifier {stored:?}", &*options.store);
        return Err(Error::new(ErrorCode::InvalidOption, why));
    }
    let of_file = opened.damage.map(|damage| format!("{}: {damage}", &*options.store));
    let words: Vec<String> = of_file.into_iter().chain(recovery.damage()).collect();
    let damage = (!words.is_empty()).then(|| Error::new(ErrorCode::StoreDamaged, words.join("; ")));
    Ok((opened.store, damage, recovery))
}

fn unix_ms() -> i64 {
    let since = std::time::SystemTime::UNIX_EPOCH.elapsed().unwrap_or_default();
    i64::try_from(since.as_millis()).unwrap_or(i64::MAX)
}

/// Checks the options and completes them with what the endpoint URLs say.
fn checked(mut options: Options) -> Result<Options, Error> {
    let wrong = |option: &str, why: &str| Error::new(ErrorCode::InvalidOption, format!("{option}: {why}"));
    for url in &options.servers {
        let endpoint = Endpoint::parse(url)?;
        if options.username.is_none() && endpoint.username.is_some() {
            options.username = endpoint.username;
            options.password = endpoint.password;
        }
    }
    transport::check(&options)?;
    if options.acknowledge == Acknowledge::Stored && options.store.is_empty() {
        return Err(wrong("acknowledge", "there is no store (option \"store\") to put messages into"));
    }
    if !options.resume_after.is_empty() && options.resume_after.parse::<Token>().is_err() {
        return Err(wrong("resume_after", "this is not the token of a message"));
    }
    if let Some(will) = &options.will {
        check_topic(&will.topic).map_err(|why| wrong("will", why))?;
        check_properties(PropertyOwner::Will, &will.properties).map_err(|why| wrong("will", why))?;
        if will.payload.len() > usize::from(u16::MAX) {
            return Err(wrong("will", "the payload is longer than 65,535 bytes"));
        }
    }
    check_properties(PropertyOwner::Connect, &options.connect_properties)
        .map_err(|why| wrong("connect_properties", why))?;
    if options.protocol_version == Version::V4 && options.password.is_some() && options.username.is_none() {
        return Err(wrong("password", "MQTT 3.1.1 has no password without a user name [MQTT-3.1.2-22]"));
    }
    Ok(options)
}

fn invalid(why: &'static str) -> Error {
    Error::new(ErrorCode::InvalidArgument, why)
}
