//! One task per client: the only place where commands, socket, timer and engine meet.
//!
//! The task owns the engine and is a future written by hand: a round takes the commands, reads the socket once, looks
//! at the clock, does what the engine wants done, writes what it wants written, and publishes the result. Rounds follow
//! each other until nothing is left to do; after a few the task yields, so that a busy client does not starve others.
//!
//! Buffers belong to the thread, not to the client: an idle client owns neither a read nor a write buffer. Only what
//! the socket did not take stays with its client.

mod dialling;
#[cfg(test)]
mod tests;

use std::cell::Cell;
use std::collections::VecDeque;
use std::future::Future;
use std::panic::{catch_unwind, AssertUnwindSafe};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{ready, Context, Poll};
use std::time::Duration;

use bytes::BytesMut;
use remqtt_proto::{
    Attempt, Command, Delivery, Engine, Error, ErrorCode, Event, Input, Instant, Login, Outcome, Output,
    State,
};
use tokio::io::{AsyncRead, ReadBuf};
use tokio::time::Sleep;

use crate::runtime::{asleep, now};
use crate::shared::{Report, Shared};
use crate::store::SessionStore;
use crate::transport::{Garage, Stream, Way};
use crate::writer::Writer;

/// Rounds before the task yields to others.
const ROUNDS: usize = 8;
/// Commands of one round.
const COMMANDS: usize = 1_024;
/// Writes of one round; the engine fills about 64 KiB for each.
const WRITES: usize = 4;
const READ_BUFFER: usize = 64 << 10;
/// How long an acknowledgement waits for others, and how many of them make it leave at once.
const ACK_DELAY: Duration = Duration::from_millis(2);
const ACK_BATCH: usize = 1_024;
/// Longest sleep. The timers stand still while the machine sleeps and the engine's clock does not, so a deadline that
/// passed meanwhile is noticed this late.
const LONGEST_SLEEP: Duration = Duration::from_secs(10);
/// The shortest sleep of the machine that connections may not survive. Less is two clocks read one after the other.
const NAP: Duration = Duration::from_millis(500);

thread_local! {
    static SCRATCH: Cell<Scratch> = Cell::default();
}

/// What a round needs and no client keeps.
#[derive(Default)]
struct Scratch {
    read: Vec<u8>,
    transmit: BytesMut,
    events: VecDeque<Event>,
    report: Report,
}

enum Link {
    Down,
    Dialling(Way),
    Up(Attempt, Stream),
}

type Asking = Pin<Box<dyn Future<Output = Result<Login, Error>> + Send>>;

pub(crate) struct Driver {
    shared: Arc<Shared>,
    engine: Engine,
    /// `None`: the session lives in memory.
    writer: Option<Writer>,
    /// What was wrong with the store when it was opened; the first thing to be told.
    damage: Option<Error>,
    link: Link,
    /// A way that is opened beside the link.
    probe: Option<Way>,
    garage: Garage,
    /// The question who the client of an attempt is; its way waits for the answer before it goes on to the CONNECT.
    asking: Option<(Attempt, Asking)>,
    /// Taken from the queue, not yet handed to the engine.
    commands: VecDeque<Command>,
    /// What the socket did not take.
    unsent: BytesMut,
    /// Bytes were written that a layer above the socket may still hold.
    unflushed: bool,
    /// As the engine knows it: of this link, and ends with it.
    reading_paused: bool,
    /// The last write failed; the reason follows with the last bytes that the other side sent.
    write_failed: bool,
    /// Bytes were read since the last write, so TCP may owe an acknowledgement.
    tcp_ack_owed: bool,
    /// When the first of the acknowledgements that wait for others came.
    acks_since: Option<Instant>,
    /// How long the machine had slept when this was looked at last.
    asleep: Duration,
    sleep: Pin<Box<Sleep>>,
    /// When `sleep` ends.
    armed: Option<Instant>,
    /// The engine said that nothing follows.
    closed: bool,
}

impl Driver {
    /// Must be called inside the runtime, for its timers.
    pub(crate) fn new(shared: Arc<Shared>, engine: Engine) -> Driver {
        Driver {
            shared,
            engine,
            writer: None,
            damage: None,
            link: Link::Down,
            probe: None,
            garage: Garage::default(),
            asking: None,
            commands: VecDeque::new(),
            unsent: BytesMut::new(),
            unflushed: false,
            reading_paused: false,
            write_failed: false,
            tcp_ack_owed: false,
            acks_since: None,
            asleep: asleep(),
            sleep: Box::pin(tokio::time::sleep(Duration::ZERO)),
            armed: None,
            closed: false,
        }
    }

    pub(crate) fn shared(&self) -> &Shared {
        &self.shared
    }

    /// Keeps the session of the engine in this store. `damage` is what was found when it was opened.
    pub(crate) fn with_store(mut self, store: Box<dyn SessionStore>, damage: Option<Error>) -> Driver {
        (self.writer, self.damage) = (Some(Writer::new(store)), damage);
        self
    }

    fn work(&mut self, cx: &mut Context<'_>, scratch: &mut Scratch) -> Poll<()> {
        let asleep = std::mem::replace(&mut self.asleep, asleep());
        if self.asleep > asleep + NAP {
            self.engine.handle(now(), Input::Resumed);
        }
        for _ in 0..ROUNDS {
            let busy = self.round(cx, scratch);
            if self.closed {
                return self.end(cx, scratch);
            }
            if !busy {
                self.acknowledge_bytes();
                if self.fall_asleep(cx) {
                    return Poll::Pending;
                }
            }
        }
        cx.waker().wake_by_ref();
        Poll::Pending
    }

    /// True if there may be more to do.
    fn round(&mut self, cx: &mut Context<'_>, scratch: &mut Scratch) -> bool {
        let now = now();
        if let Some(damage) = self.damage.take() {
            self.note(Event::Store(Some(damage)), scratch);
        }
        let mut busy = self.obey(now, scratch);
        busy |= self.persist(now, cx);
        busy |= self.answered(now, cx);
        busy |= match self.link {
            Link::Down => false,
            Link::Dialling(..) => self.dialled(now, cx),
            Link::Up(..) => self.receive(now, cx, scratch),
        };
        busy |= self.probed(now, cx);
        if self.engine.poll_timeout().is_some_and(|(at, _)| at <= now) {
            self.engine.handle(now, Input::Timeout);
            busy = true;
        }
        busy |= self.carry_out(now, cx, scratch);
        busy |= self.transmit(now, cx, scratch);
        busy |= self.carry_out(now, cx, scratch);
        busy |= self.persist(now, cx);
        self.publish(scratch);
        busy
    }

    /// Hands acknowledgements and commands to the engine.
    fn obey(&mut self, now: Instant, scratch: &mut Scratch) -> bool {
        let mut queue = self.shared.queue.lock();
        if self.commands.is_empty() {
            self.commands = std::mem::take(&mut queue.commands);
        }
        let mut acks = Vec::new();
        if !queue.acks.is_empty() {
            let since = *self.acks_since.get_or_insert(now);
            if queue.acks_due || queue.acks.len() >= ACK_BATCH || now >= since + ACK_DELAY {
                acks = std::mem::take(&mut queue.acks);
                self.acks_since = None;
            }
        }
        queue.acks_due = false;
        let socket_wanted = std::mem::take(&mut queue.socket_wanted);
        drop(queue);
        scratch.report.answered |= !socket_wanted.is_empty();
        for answer in socket_wanted {
            // Without an answer, whoever asked hears that there is none.
            let socket = if let Link::Up(_, stream) = &self.link { stream.duplicate() } else { None };
            let _ = socket.map(|socket| answer.try_send(socket));
        }
        self.acknowledge(now, acks) | self.obey_commands(now, scratch)
    }

    fn acknowledge(&mut self, now: Instant, acks: Vec<Delivery>) -> bool {
        let some = !acks.is_empty();
        if some {
            self.engine.handle(now, Input::Command(Command::Acknowledge(acks)));
        }
        some
    }

    fn obey_commands(&mut self, now: Instant, scratch: &mut Scratch) -> bool {
        let Report { handed_over, answered, .. } = &mut scratch.report;
        let count = self.commands.len().min(COMMANDS);
        for command in self.commands.drain(..count) {
            if let Command::Publish(_, publish) | Command::PublishAt(_, publish, _) = &command {
                handed_over.messages += 1;
                handed_over.bytes += publish.topic.len() + publish.payload.len();
            }
            *answered |= matches!(command, Command::DropPublishes(_));
            self.engine.handle(now, Input::Command(command));
        }
        if self.commands.is_empty() {
            self.commands = VecDeque::new();
        }
        count > 0
    }

    /// Lets the disk work, and tells the engine how far it has come.
    fn persist(&mut self, now: Instant, cx: &mut Context<'_>) -> bool {
        let Some(news) = self.writer.as_mut().and_then(|writer| writer.poll(cx)) else { return false };
        self.engine.handle(now, news);
        true
    }

    /// The client is closed, and its store before that is told: whoever hears of the end may open it.
    fn end(&mut self, cx: &mut Context<'_>, scratch: &mut Scratch) -> Poll<()> {
        if let Some(writer) = &mut self.writer {
            ready!(writer.poll_close(cx));
        }
        scratch.events.push_back(Event::Closed);
        self.publish(scratch);
        Poll::Ready(())
    }

    fn receive(&mut self, now: Instant, cx: &mut Context<'_>, scratch: &mut Scratch) -> bool {
        let Link::Up(attempt, stream) = &mut self.link else { return false };
        let attempt = *attempt;
        // A connection that is being made is always read: it would end at its timeout, over and over.
        let behind = !self.shared.inbox.wants_more()
            || self.engine.unfinished_bytes() > self.engine.options().receive_buffer;
        let paused = self.engine.state() == State::Connected && behind;
        if paused != self.reading_paused {
            self.reading_paused = paused;
            self.engine.handle(now, Input::ReadingPaused(paused));
        }
        if paused && !self.write_failed {
            return false;
        }
        scratch.read.resize(READ_BUFFER, 0);
        let mut buffer = ReadBuf::new(&mut scratch.read);
        let lost = match Pin::new(&mut *stream).poll_read(cx, &mut buffer) {
            Poll::Pending => return false,
            Poll::Ready(Ok(())) if buffer.filled().is_empty() => {
                self.engine.handle(now, Input::Received(attempt, &[]));
                Error::new(ErrorCode::ConnectionLost, "closed by the server")
            }
            Poll::Ready(Ok(())) => {
                self.tcp_ack_owed = true;
                self.engine.handle(now, Input::Received(attempt, buffer.filled()));
                return true;
            }
            Poll::Ready(Err(error)) => stream.lost(&error),
        };
        self.link_down(now, attempt, lost);
        true
    }

    /// Does what the engine wants done.
    fn carry_out(&mut self, now: Instant, cx: &mut Context<'_>, scratch: &mut Scratch) -> bool {
        let mut busy = false;
        while let Some(output) = self.engine.poll_output() {
            busy = true;
            match output {
                Output::Dial(attempt, _) => self.dial(now, cx, attempt),
                Output::Probe(attempt, _) => self.begin_probe(now, attempt),
                Output::Proceed(attempt) => self.proceed(attempt),
                Output::TryAgain(attempt) => self.try_again(attempt),
                Output::Inspect(attempt) => self.inspect(now, attempt),
                Output::Hangup(attempt) => self.hang_up(now, attempt, scratch),
                Output::Persist(lsn, change) => {
                    if let Some(writer) = &mut self.writer {
                        writer.add(lsn, change);
                    }
                }
                Output::Event(event) => self.note(event, scratch),
            }
        }
        busy
    }

    /// Records what an event means for the handles, and queues it for the application.
    fn note(&mut self, event: Event, scratch: &mut Scratch) {
        match &event {
            Event::Completed(ticket, Outcome::Failed(error, _)) => {
                scratch.report.completed.push((*ticket, Some(error.clone())));
            }
            Event::Completed(ticket, _) => scratch.report.completed.push((*ticket, None)),
            Event::Recovered(outage) => scratch.report.outages.push((**outage).clone()),
            Event::Closed => {
                self.closed = true;
                return; // told when the store is closed too
            }
            _ => {}
        }
        scratch.events.push_back(event);
    }

    /// Writes until the engine or the socket has enough.
    fn transmit(&mut self, now: Instant, cx: &mut Context<'_>, scratch: &mut Scratch) -> bool {
        let Link::Up(attempt, stream) = &mut self.link else { return false };
        if self.write_failed {
            return false;
        }
        let mut busy = false;
        for _ in 0..WRITES {
            if self.unsent.is_empty() && !self.unflushed {
                self.engine.poll_transmit(now, &mut scratch.transmit);
                self.unsent = std::mem::take(&mut scratch.transmit);
                if self.unsent.is_empty() {
                    scratch.transmit = std::mem::take(&mut self.unsent);
                    break;
                }
            }
            busy = true;
            self.tcp_ack_owed = false;
            self.unflushed = true;
            match stream.poll_write_all(cx, &mut self.unsent) {
                Poll::Pending => return false,
                Poll::Ready(Ok(())) => {
                    scratch.transmit = std::mem::take(&mut self.unsent);
                    scratch.transmit.clear();
                    self.unflushed = false;
                    self.engine.handle(now, Input::Flushed(*attempt));
                }
                Poll::Ready(Err(_)) => {
                    // What the server said last is still to be read, and so is the end of the connection.
                    self.write_failed = true;
                    self.unsent = BytesMut::new();
                    return true;
                }
            }
        }
        busy
    }

    /// Publishes what happened: first to those who wait or look, then to whoever gets the events.
    fn publish(&mut self, scratch: &mut Scratch) {
        self.shared.settle(&self.engine, &mut scratch.report);
        if !scratch.events.is_empty() {
            self.shared.inbox.deliver(&self.shared, &mut scratch.events);
        }
    }

    /// Sends the TCP acknowledgement that would otherwise wait 40 ms for company. A server without TCP_NODELAY, as
    /// mosquitto is by default, holds its next small packet back until it has it: the first message after a CONNACK,
    /// or every PUBACK after the first.
    fn acknowledge_bytes(&mut self) {
        if let (true, Link::Up(_, stream)) = (self.tcp_ack_owed, &self.link) {
            self.tcp_ack_owed = false;
            stream.acknowledge_bytes();
        }
    }

    /// Prepares to be woken. False if there is something to do after all.
    fn fall_asleep(&mut self, cx: &mut Context<'_>) -> bool {
        let now = now();
        let engine = self.engine.poll_timeout().map(|(at, _)| at);
        let acks = self.acks_since.map(|since| since + ACK_DELAY);
        let until = [engine, acks].into_iter().flatten().min().unwrap_or(Instant(u64::MAX));
        let until = until.min(now + LONGEST_SLEEP);
        if until <= now {
            return false;
        }
        // An alarm that is early costs a look at the clock, setting it costs more: it is left alone where it can be.
        if self.armed.is_none_or(|armed| armed > until) {
            self.sleep.as_mut().reset(tokio::time::Instant::now() + until.since(now));
            self.armed = Some(until);
        }
        if self.sleep.as_mut().poll(cx).is_ready() {
            self.armed = None;
            return false;
        }
        let mut queue = self.shared.queue.lock();
        if !queue.commands.is_empty()
            || queue.acks_due
            || !queue.socket_wanted.is_empty()
            || (self.acks_since.is_none() && !queue.acks.is_empty())
        {
            return false;
        }
        queue.sleeper = Some(cx.waker().clone());
        drop(queue);
        !self.shared.inbox.may_resume()
    }
}

impl Drop for Driver {
    fn drop(&mut self) {
        self.shared.presence.gone();
    }
}

impl Future for Driver {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        // Taken out, so that a panic drops it with what it holds of this client.
        let mut scratch = SCRATCH.take();
        match catch_unwind(AssertUnwindSafe(|| self.work(cx, &mut scratch))) {
            Ok(poll) => {
                SCRATCH.set(scratch);
                poll
            }
            Err(panic) => {
                (self.link, self.probe) = (Link::Down, None);
                let text = panic.downcast_ref::<&str>().map(|text| (*text).to_owned());
                let text = text.or_else(|| panic.downcast_ref::<String>().cloned()).unwrap_or_default();
                // The store closes a moment later, with this future or the commit that is under way. Opening waits.
                self.shared.fail(&Error::new(ErrorCode::Panic, text));
                Poll::Ready(())
            }
        }
    }
}
