//! The simulator: the engine on a virtual clock, its dials and bytes and hang-ups carried by hand.
//!
//! Single-threaded and exact. Bytes leave the engine only when the peer wants to read or time passes, so a script
//! decides what had left and what had not when the link was cut. Time jumps from timer to timer.

mod ways;

use std::collections::{HashMap, VecDeque};
use std::time::Duration;

use bytes::BytesMut;
use remqtt_proto::{
    Attempt, Delivery, Engine, Error, ErrorCode, Event, Input, Instant, Options, Output, Reason, Ticket,
    Token,
};

use crate::command::{refusal, Command, Names};
use crate::disk::{Disk, DiskMood, Written};
use crate::stage::{Outcome, Read, Stage};

/// More timers than this in one wait mean that the engine spins.
const TIMERS: usize = 100_000;

/// A simulated client and network.
#[derive(Debug)]
pub struct World {
    options: Options,
    engine: Option<Engine>,
    seed: u64,
    now: Instant,
    network: Network,
    /// Connections as the peer sees them: the first is the present one.
    pipes: VecDeque<Pipe>,
    application: Application,
    /// When the last link went down, until the next dial.
    down_since: Option<Instant>,
    draining: bool,
    /// Bytes that the engine got since its outputs were taken last.
    received: usize,
    disk: Disk,
    /// The first invariant that was broken.
    broken: Option<String>,
}

#[derive(Debug, Default)]
struct Network {
    dialled: Option<Attempt>,
    up: Option<Attempt>,
    /// The way beside the link, and whether somebody has answered on it.
    probe: Option<(Attempt, bool)>,
    refuse: bool,
    ignore: bool,
    stall: bool,
}

#[derive(Debug, Default)]
struct Pipe {
    inbox: Vec<u8>,
    closed: bool,
}

#[derive(Debug, Default)]
struct Application {
    names: Names,
    /// Of the last message with one: the application has finished with it, and says so to the next client.
    last_token: Option<Token>,
    last_ticket: Ticket,
    deliveries: HashMap<u16, Delivery>,
    on_connect: Vec<Command>,
    lines: VecDeque<String>,
}

impl World {
    /// A world in which nothing has happened. The seed is the engine's.
    pub fn new(seed: u64) -> World {
        let mut options = Options::default();
        options.servers.push("mqtt://peer:1883".into());
        World {
            options,
            engine: None,
            seed,
            now: Instant(1_000_000_000_000),
            network: Network::default(),
            pipes: VecDeque::from([Pipe { closed: true, ..Pipe::default() }]),
            application: Application::default(),
            down_since: None,
            draining: false,
            received: 0,
            disk: Disk::default(),
            broken: None,
        }
    }

    /// Lets the process die when it has written so many changes to its store, once.
    pub fn die_after(&mut self, changes: usize) {
        self.disk.die_after(changes);
    }

    /// From now on the disk behaves like this.
    pub fn disk(&mut self, mood: DiskMood) -> Outcome<()> {
        self.disk.set_mood(mood);
        self.write_disk(mood == DiskMood::Quick).map(|_| ())
    }

    /// How many changes the store has got.
    pub fn changes(&self) -> usize {
        self.disk.changes()
    }

    /// The virtual time.
    pub fn now(&self) -> Instant {
        self.now
    }

    /// The engine, once there is one.
    pub fn engine(&self) -> Option<&Engine> {
        self.engine.as_ref()
    }

    /// A link, an address or a route of the machine changes.
    pub fn network_changed(&mut self) -> Outcome<()> {
        self.handle(Input::Command(remqtt_proto::Command::NetworkChanged))
    }

    /// The machine sleeps: time passes, and no timer fires.
    pub fn sleep(&mut self, time: Duration) -> Outcome<()> {
        self.now = self.now + time;
        self.down_since = self.down_since.map(|since| since + time);
        self.handle(Input::Resumed)
    }

    fn handle(&mut self, input: Input<'_>) -> Outcome<()> {
        let done = self.give(input);
        self.remember(done)
    }

    fn remember<T>(&mut self, done: Outcome<T>) -> Outcome<T> {
        if let (Err(error), None) = (&done, &self.broken) {
            self.broken = Some(error.clone());
        }
        done
    }

    fn give(&mut self, input: Input<'_>) -> Outcome<()> {
        if self.disk.is_dead() {
            return Ok(());
        }
        if self.engine.is_none() {
            self.engine = Some(self.begin()?);
        }
        if let Some(engine) = &mut self.engine {
            engine.handle(self.now, input);
        }
        self.drain().map(|_| ())
    }

    /// A process begins, where the last one stopped if there is a store.
    fn begin(&mut self) -> Outcome<Engine> {
        let mut options = self.options.clone();
        options.resume_after =
            self.application.last_token.map_or("".into(), |token| token.to_string().into());
        if options.store.is_empty() {
            return Ok(Engine::new(options, self.seed, self.now));
        }
        // What an earlier process left may be finished with at once, and then three rows change for each.
        self.received += 2 * self.disk.rows();
        let recovery = self.disk.recovery();
        if let Some(damage) = recovery.damage() {
            return Err(format!("the store is damaged: {damage}"));
        }
        self.application.last_ticket = self.application.last_ticket.max(recovery.last_ticket());
        let unix_ms = 1_700_000_000_000 + (self.now.0 / 1_000_000) as i64;
        Ok(Engine::recover(options, recovery, self.seed, self.now, unix_ms))
    }

    /// Lets the disk write, if it is the moment for one of its mood. True if something happened.
    fn write_disk(&mut self, at_once: bool) -> Outcome<bool> {
        match self.disk.write(at_once) {
            Written::Nothing => return Ok(false),
            Written::Durable(lsn) => self.handle(Input::Persisted(lsn))?,
            Written::Refused(error) => self.handle(Input::PersistFailed(error))?,
            Written::Dead => self.die(),
        }
        Ok(true)
    }

    /// The process is gone. What it had given to the connection may still arrive.
    fn die(&mut self) {
        self.engine = None;
        self.disk.die();
        (self.network.up, self.network.dialled, self.network.probe) = (None, None, None);
        if let Some(pipe) = self.pipes.back_mut() {
            pipe.closed = true;
        }
        self.application.deliveries.clear();
        self.application.on_connect.clear();
        self.down_since = None;
    }

    /// Does what the engine wants until it wants nothing more. True if it wanted something.
    fn drain(&mut self) -> Outcome<bool> {
        if std::mem::replace(&mut self.draining, true) {
            return Ok(true); // an answer to an output: the loop that took the output goes on
        }
        // An operation has one end, and a received packet, of two bytes at least, one consequence.
        // What waited for the disk is delivered with it, weighs 64 at least, and has three rows at most that change.
        let arrived = self.engine.as_ref().map_or(0, Engine::unfinished_bytes) / 64 * 4;
        let received = 2 * std::mem::take(&mut self.received) + arrived;
        let bound = 100 + 6 * self.application.last_ticket as usize + received;
        let mut outputs = 0;
        while let Some(output) = self.engine.as_mut().and_then(Engine::poll_output) {
            outputs += 1;
            match output {
                _ if outputs > bound => return Err(format!("more than {bound} outputs for one input")),
                Output::Dial(attempt, _) => self.dial(attempt)?,
                Output::Probe(attempt, _) => self.probe(attempt)?,
                Output::Proceed(attempt) => self.proceed(attempt)?,
                Output::TryAgain(attempt) => self.try_again(attempt)?,
                // As on a system that does not tell.
                Output::Inspect(attempt) => self.handle(Input::Inspected(attempt, None))?,
                Output::Hangup(attempt) => self.hang_up(attempt)?,
                Output::Persist(lsn, change) => {
                    self.disk.add(lsn, change);
                    self.write_disk(true)?;
                }
                Output::Event(event) => self.tell(&event)?,
            }
        }
        self.draining = false;
        Ok(outputs > 0)
    }

    /// The application gets an event and does what applications do.
    fn tell(&mut self, event: &Event) -> Outcome<()> {
        let line = self.application.names.line(event);
        self.application.lines.push_back(line);
        match event {
            Event::Message(message) => {
                self.application.last_token = message.token.or(self.application.last_token);
                let Some(delivery) = message.delivery else { return Ok(()) };
                self.application.deliveries.insert(delivery.packet_identifier, delivery);
                if self.options.manual_ack {
                    return Ok(());
                }
                self.handle(Input::Command(remqtt_proto::Command::Acknowledge(vec![delivery])))
            }
            Event::Connected(_) => {
                for command in self.application.on_connect.clone() {
                    self.carry_out(command)?;
                }
                self.handle(Input::Command(remqtt_proto::Command::ConnectedHandled))
            }
            Event::Disconnected(disconnected) if disconnected.retry_in.is_none() => {
                self.down_since = None;
                Ok(())
            }
            _ => Ok(()),
        }
    }

    fn carry_out(&mut self, command: Command) -> Outcome<()> {
        let command = match command {
            Command::Start => remqtt_proto::Command::Start,
            Command::Stop(code) => {
                self.down_since = None;
                remqtt_proto::Command::Stop(Reason { reason_code: code, ..Reason::default() })
            }
            Command::Close => remqtt_proto::Command::Close,
            Command::ReconnectNow => remqtt_proto::Command::ReconnectNow,
            Command::NetworkChanged => remqtt_proto::Command::NetworkChanged,
            Command::Publish(name, publish) => {
                let ticket = self.ticket(&name);
                if let Err(error) = Engine::check_publish(&self.options, &publish) {
                    return self.refuse_call(&name, &error);
                }
                remqtt_proto::Command::Publish(ticket, publish)
            }
            Command::Subscribe(name, subscriptions, properties) => {
                let ticket = self.ticket(&name);
                if let Err(error) = Engine::check_subscribe(&subscriptions, &properties) {
                    return self.refuse_call(&name, &error);
                }
                remqtt_proto::Command::Subscribe(ticket, subscriptions, properties)
            }
            Command::Unsubscribe(name, filters) => {
                let ticket = self.ticket(&name);
                if let Err(error) = Engine::check_unsubscribe(&filters, &Default::default()) {
                    return self.refuse_call(&name, &error);
                }
                remqtt_proto::Command::Unsubscribe(ticket, filters, Default::default())
            }
            Command::Ack(id) => match self.application.deliveries.get(&id) {
                Some(delivery) => remqtt_proto::Command::Acknowledge(vec![*delivery]),
                None => return Ok(()),
            },
            Command::Impossible(name, code) => return self.refuse_call(&name, &Error::from(code)),
            Command::OnConnect(command) => {
                self.application.on_connect.push(*command);
                return Ok(());
            }
            Command::Configure(setting) => {
                return setting.apply(&mut self.options).map_err(|error| error.to_string())
            }
            Command::Quit => return Ok(()),
        };
        self.handle(Input::Command(command))
    }

    /// The call itself returns the error, as it does in the driver.
    fn refuse_call(&mut self, name: &str, error: &Error) -> Outcome<()> {
        self.application.lines.push_back(refusal(name, error));
        Ok(())
    }

    fn ticket(&mut self, name: &str) -> Ticket {
        self.application.last_ticket += 1;
        self.application.names.file(self.application.last_ticket, name);
        self.application.last_ticket
    }

    fn poll_transmit(&mut self) -> Outcome<Vec<u8>> {
        let Some(engine) = &mut self.engine else { return Ok(Vec::new()) };
        let mut bytes = BytesMut::new();
        let mut before = usize::MAX;
        while bytes.len() != before {
            before = bytes.len();
            engine.poll_transmit(self.now, &mut bytes);
        }
        Ok(bytes.to_vec())
    }

    /// What the engine has to send goes to the peer.
    fn transmit(&mut self) -> Outcome<bool> {
        let attempt = self.network.up.filter(|_| !self.network.stall);
        // A slow disk writes only when the client has nothing to send without it.
        let bytes = attempt.map_or(Ok(Vec::new()), |_| self.poll_transmit())?;
        if bytes.is_empty() && self.write_disk(false)? {
            return Ok(true);
        }
        let Some(attempt) = attempt else { return Ok(false) };
        if bytes.is_empty() {
            return self.drain(); // asking may have shown that a farewell is complete
        }
        if let Some(pipe) = self.pipes.back_mut() {
            pipe.inbox.extend(bytes);
        }
        self.handle(Input::Flushed(attempt))?;
        Ok(true)
    }

    /// Goes to the next timer that is due until `deadline`. False: there is none, and it is `deadline` now.
    fn next_timer(&mut self, deadline: Instant) -> Outcome<bool> {
        match self.engine.as_ref().and_then(Engine::poll_timeout) {
            Some((at, timer)) if at <= deadline => {
                let late = at < self.now;
                self.now = self.now.max(at);
                self.handle(Input::Timeout)?;
                let next = self.engine.as_ref().and_then(Engine::poll_timeout);
                if late && next == Some((at, timer)) {
                    return Err(format!("the timer {timer:?} stays due after it was handled"));
                }
                Ok(true)
            }
            _ => {
                self.now = self.now.max(deadline);
                Ok(false)
            }
        }
    }

    /// Lets everything happen until `done` gives something or the time is over.
    fn until<T>(
        &mut self,
        within: Duration,
        done: impl FnMut(&mut World) -> Option<T>,
    ) -> Outcome<Option<T>> {
        let found = self.run_until(within, done);
        self.remember(found)
    }

    fn run_until<T>(
        &mut self,
        within: Duration,
        mut done: impl FnMut(&mut World) -> Option<T>,
    ) -> Outcome<Option<T>> {
        let deadline = self.now + within;
        for _ in 0..TIMERS {
            if let Some(value) = done(self) {
                return Ok(Some(value));
            }
            if !self.transmit()? && !self.next_timer(deadline)? {
                return Ok(done(self));
            }
        }
        Err("timers fire without end".into())
    }
}

impl Stage for World {
    fn command(&mut self, line: &str) -> Outcome<()> {
        let command = Command::parse(line)?;
        self.carry_out(command)
    }

    fn event(&mut self, within: Duration) -> Outcome<Option<String>> {
        self.until(within, |world| world.application.lines.pop_front())
    }

    fn link(&mut self, within: Duration) -> Outcome<bool> {
        let found = self.until(within, |world| (world.pipes.len() > 1).then_some(()))?;
        if found.is_some() {
            self.pipes.pop_front();
        }
        Ok(found.is_some())
    }

    fn send(&mut self, bytes: &[u8]) -> Outcome<bool> {
        match self.network.up {
            Some(attempt) if self.pipes.len() == 1 => {
                self.received += bytes.len();
                self.handle(Input::Received(attempt, bytes))?;
                Ok(true)
            }
            _ => Ok(false),
        }
    }

    fn read(&mut self, within: Duration) -> Outcome<Read> {
        let read = self.until(within, |world| {
            let pipe = world.pipes.front_mut()?;
            if !pipe.inbox.is_empty() {
                return Some(Read::Bytes(std::mem::take(&mut pipe.inbox)));
            }
            pipe.closed.then_some(Read::Closed)
        })?;
        Ok(read.unwrap_or(Read::Nothing))
    }

    fn unread(&mut self) -> Vec<u8> {
        self.pipes.front_mut().map(|pipe| std::mem::take(&mut pipe.inbox)).unwrap_or_default()
    }

    fn cut(&mut self, orderly: bool) -> Outcome<()> {
        let Some(attempt) = self.network.up.filter(|_| self.pipes.len() == 1) else { return Ok(()) };
        self.network.up = None;
        if let Some(pipe) = self.pipes.front_mut() {
            pipe.inbox.clear();
            pipe.closed = true;
        }
        let how = if orderly { "closed by the peer" } else { "reset" };
        if orderly {
            self.handle(Input::Received(attempt, &[]))?;
        }
        self.link_down(attempt, Error::new(ErrorCode::ConnectionLost, how))
    }

    fn refuse(&mut self, refuse: bool) -> Outcome<()> {
        self.network.refuse = refuse;
        self.network.ignore &= refuse;
        Ok(())
    }

    fn stall(&mut self, stall: bool) -> Outcome<()> {
        self.network.stall = stall;
        Ok(())
    }

    fn ignore(&mut self) -> Outcome<()> {
        self.network.ignore = true;
        Ok(())
    }

    fn kill(&mut self) -> Outcome<()> {
        self.die();
        Ok(())
    }

    fn reborn(&mut self) -> Outcome<Option<Vec<String>>> {
        if !self.disk.mourn() {
            return Ok(None);
        }
        let recovery = self.disk.recovery();
        let names = &self.application.names;
        Ok(Some(recovery.pending().filter_map(|(ticket, ..)| names.of(ticket)).collect()))
    }

    fn advance(&mut self, time: Duration) -> Outcome<()> {
        self.until(time, |_| None::<()>).map(|_| ())
    }

    fn verdict(&self) -> Outcome<()> {
        self.broken.clone().map_or(Ok(()), Err)
    }

    fn is_real(&self) -> bool {
        false
    }
}
