//! What the handles of one client and its driver have in common.
//!
//! The engine is not here: the driver's task owns it. A call puts a command into the queue and wakes the driver if it
//! sleeps; the driver takes the whole queue at once and, when it has worked, settles what became of it: open
//! operations, state and statistics. One small mutex guards all of that, and nobody holds it while user code runs.

use std::collections::VecDeque;
use std::os::fd::OwnedFd;
use std::sync::atomic::{AtomicBool, AtomicI32, AtomicU64, AtomicUsize, Ordering};
use std::sync::mpsc::{sync_channel, Receiver, SyncSender, TryRecvError};
use std::sync::Arc;
use std::task::Waker;
use std::time::{Duration, Instant as Moment};

use parking_lot::{Condvar, Mutex, MutexGuard};
use remqtt_proto::{
    Command, Delivery, Engine, Error, ErrorCode, Event, Options, Outage, Outcome, Properties, State, Stats,
    Ticket,
};

use crate::dispatch::{self, Inbox};
use crate::ledger::Ledger;
use crate::runtime::{generation, Presence};
use crate::transport::{Credentials, Dialler};

/// How long the driver may take to answer a question; it is never busy for long.
const ANSWER: Duration = Duration::from_secs(1);
/// Outages that are remembered.
const TIMELINE: usize = 64;

#[derive(Debug)]
pub(crate) struct Shared {
    generation: usize,
    /// Living handles; the turn of a dispatcher thread counts as one.
    pub(crate) handles: AtomicUsize,
    pub(crate) last_ticket: AtomicU64,
    pub(crate) manual_ack: AtomicBool,
    state: AtomicI32,
    pub(crate) queue: Mutex<Queue>,
    /// Operations were completed, or the state changed.
    changed: Condvar,
    pub(crate) inbox: Inbox,
    pub(crate) presence: Presence,
}

/// Everything under the mutex.
#[derive(Debug)]
pub(crate) struct Queue {
    pub(crate) commands: VecDeque<Command>,
    /// Finished messages. They wait a moment for company unless `acks_due`.
    pub(crate) acks: Vec<Delivery>,
    pub(crate) acks_due: bool,
    /// Present while the driver sleeps.
    pub(crate) sleeper: Option<Waker>,
    pub(crate) closed: bool,
    pub(crate) options: Arc<Options>,
    pub(crate) dialler: Option<Arc<dyn Dialler>>,
    pub(crate) credentials: Option<Arc<dyn Credentials>>,
    /// Who wants a duplicate of the socket's descriptor.
    pub(crate) socket_wanted: Vec<SyncSender<OwnedFd>>,
    pub(crate) stats: Stats,
    pub(crate) timeline: VecDeque<Outage>,
    pub(crate) ledger: Ledger,
    /// Why publishes of QoS 1 and 2 cannot be stored at present.
    pub(crate) store_failure: Option<Error>,
    /// Publishes that were accepted and have not reached the engine.
    on_the_way: Load,
    waiting: usize,
}

/// A number of publishes and their bytes, as the backlog counts them.
#[derive(Debug, Default, Clone, Copy)]
pub(crate) struct Load {
    pub(crate) messages: usize,
    pub(crate) bytes: usize,
}

/// What the driver did in one round.
#[derive(Debug, Default)]
pub(crate) struct Report {
    /// Operations that are complete, with their failure.
    pub(crate) completed: Vec<(Ticket, Option<Error>)>,
    pub(crate) outages: Vec<Outage>,
    /// Publishes that reached the engine.
    pub(crate) handed_over: Load,
    /// A question of a handle was answered.
    pub(crate) answered: bool,
}

impl Shared {
    pub(crate) fn new(options: Arc<Options>, presence: Presence) -> Shared {
        let inbox = Inbox::new(options.receive_buffer);
        Shared {
            generation: generation(),
            handles: AtomicUsize::new(1),
            last_ticket: AtomicU64::new(0),
            manual_ack: AtomicBool::new(options.manual_ack),
            state: AtomicI32::new(State::Stopped as i32),
            queue: Mutex::new(Queue {
                commands: VecDeque::new(),
                acks: Vec::new(),
                acks_due: false,
                sleeper: None,
                closed: false,
                options,
                dialler: None,
                credentials: None,
                socket_wanted: Vec::new(),
                stats: Stats::default(),
                timeline: VecDeque::new(),
                ledger: Ledger::default(),
                store_failure: None,
                on_the_way: Load::default(),
                waiting: 0,
            }),
            changed: Condvar::new(),
            inbox,
            presence,
        }
    }

    /// Refuses to work in a process that is not the client's. Comes before any lock: another thread may have held it
    /// when the process forked.
    pub(crate) fn check_process(&self) -> Result<(), Error> {
        match self.generation == generation() {
            true => Ok(()),
            false => Err(ErrorCode::Forked.into()),
        }
    }

    /// Takes up the operations of an earlier process; tickets go on after `last`.
    pub(crate) fn pending(&self, tickets: &[Ticket], last: Ticket) {
        self.last_ticket.store(last, Ordering::Relaxed);
        let mut queue = self.queue.lock();
        for ticket in tickets {
            queue.ledger.open(*ticket);
        }
    }

    pub(crate) fn state(&self) -> State {
        match self.state.load(Ordering::Acquire) {
            1 => State::Connecting,
            2 => State::Connected,
            3 => State::Waiting,
            4 => State::Closed,
            _ => State::Stopped,
        }
    }

    /// Queues a command that has no ticket.
    pub(crate) fn send(&self, command: Command) -> Result<(), Error> {
        self.check_process()?;
        let mut queue = self.queue.lock();
        if queue.closed {
            return Err(ErrorCode::Closed.into());
        }
        queue.closed = matches!(command, Command::Close);
        queue.commands.push_back(command);
        wake(queue);
        Ok(())
    }

    /// Queues an operation, if `check` finds nothing against it.
    pub(crate) fn accept(
        &self,
        ticket: Ticket,
        command: Command,
        check: impl FnOnce(&mut Queue, &Command) -> Result<(), Error>,
    ) -> Result<(), Error> {
        self.check_process()?;
        self.check_ticket(ticket)?;
        let mut queue = self.queue.lock();
        if queue.closed {
            return Err(ErrorCode::Closed.into());
        }
        if queue.ledger.is_open(ticket) {
            return Err(Error::new(ErrorCode::InvalidArgument, "an operation with this ticket is pending"));
        }
        check(&mut queue, &command)?;
        queue.ledger.open(ticket);
        queue.commands.push_back(command);
        wake(queue);
        Ok(())
    }

    pub(crate) fn check_ticket(&self, ticket: Ticket) -> Result<(), Error> {
        match ticket != 0 && ticket <= self.last_ticket.load(Ordering::Relaxed) {
            true => Ok(()),
            false => Err(Error::new(ErrorCode::InvalidArgument, "this ticket was never handed out")),
        }
    }

    /// The application has finished with a message. Its acknowledgement waits for others unless it is `due`.
    pub(crate) fn finished(&self, delivery: Option<Delivery>, due: bool) {
        let mut queue = self.queue.lock();
        queue.acks.extend(delivery);
        queue.acks_due |= due;
        if due || queue.acks.len() == 1 {
            wake(queue);
        }
    }

    /// Asks the driver for a duplicate of the socket's descriptor. Only the driver can make one: the socket is its own,
    /// and may be closed at any time.
    pub(crate) fn duplicate_socket(&self) -> Option<OwnedFd> {
        self.check_process().ok()?;
        let (answer, answered) = sync_channel(1);
        let mut queue = self.queue.lock();
        if queue.closed {
            return None;
        }
        queue.socket_wanted.push(answer);
        wake(queue);
        self.answer(&answered, ANSWER)
    }

    /// Waits for an answer of the driver, which is none if it is gone. Not by the channel itself: that would leave the
    /// state of the waiting thread behind, which leak checkers report.
    pub(crate) fn answer<T>(&self, answered: &Receiver<T>, timeout: Duration) -> Option<T> {
        let deadline = Moment::now() + timeout;
        let mut queue = self.queue.lock();
        loop {
            match answered.try_recv() {
                Ok(answer) => return Some(answer),
                Err(TryRecvError::Disconnected) => return None,
                Err(TryRecvError::Empty) if Moment::now() >= deadline => return None,
                Err(TryRecvError::Empty) => {}
            }
            queue.waiting += 1;
            self.changed.wait_until(&mut queue, deadline);
            queue.waiting -= 1;
        }
    }

    /// A link, an address or a route of this machine has changed, as the system says. Only for clients that watch.
    pub(crate) fn network_changed(&self) {
        let mut queue = self.queue.lock();
        let watches = !queue.closed && !queue.options.detect_within.is_zero();
        // Once is enough, however many changes come before the driver hears of them.
        if watches && !matches!(queue.commands.back(), Some(Command::NetworkChanged)) {
            queue.commands.push_back(Command::NetworkChanged);
            wake(queue);
        }
    }

    /// Makes the driver look around.
    pub(crate) fn wake(&self) {
        wake(self.queue.lock());
    }

    /// Waits until `done` gives a result.
    pub(crate) fn wait_until<T>(
        &self,
        deadline: Option<Moment>,
        mut done: impl FnMut(&Queue) -> Option<Result<T, Error>>,
    ) -> Result<T, Error> {
        self.check_process()?;
        let mut queue = self.queue.lock();
        let mut late = false;
        loop {
            if let Some(result) = done(&queue) {
                return result;
            }
            if late {
                return Err(ErrorCode::Timeout.into());
            }
            if dispatch::inside_callback_of(self) {
                return Err(ErrorCode::Deadlock.into());
            }
            queue.waiting += 1;
            match deadline {
                Some(deadline) => late = self.changed.wait_until(&mut queue, deadline).timed_out(),
                None => self.changed.wait(&mut queue),
            }
            queue.waiting -= 1;
        }
    }

    /// Publishes the result of a round of the driver; events come after it.
    pub(crate) fn settle(&self, engine: &Engine, report: &mut Report) {
        let state = engine.state();
        let state_changed = self.state.swap(state as i32, Ordering::AcqRel) != state as i32;
        let mut queue = self.queue.lock();
        queue.stats = engine.stats();
        if queue.store_failure.as_ref() != engine.store_failure() {
            queue.store_failure = engine.store_failure().cloned();
        }
        queue.on_the_way.messages -= report.handed_over.messages;
        queue.on_the_way.bytes -= report.handed_over.bytes;
        report.handed_over = Load::default();
        let answered = std::mem::take(&mut report.answered);
        let notify = queue.waiting > 0 && (state_changed || answered || !report.completed.is_empty());
        for (ticket, failure) in report.completed.drain(..) {
            queue.ledger.close(ticket, failure);
        }
        for outage in report.outages.drain(..) {
            if queue.timeline.len() == TIMELINE {
                queue.timeline.pop_front();
            }
            queue.timeline.push_back(outage);
        }
        drop(queue);
        if notify {
            self.changed.notify_all();
        }
    }

    /// The driver is gone without a word from the engine: completes what is open, so that nobody waits for ever.
    pub(crate) fn fail(self: &Arc<Self>, error: &Error) {
        let mut queue = self.queue.lock();
        queue.closed = true;
        queue.socket_wanted.clear();
        let orphans = std::mem::take(&mut queue.commands);
        let open = queue.ledger.all();
        for ticket in &open {
            queue.ledger.close(*ticket, Some(error.clone()));
        }
        self.state.store(State::Closed as i32, Ordering::Release);
        drop(queue);
        drop(orphans);
        self.changed.notify_all();
        let failed = |ticket| Event::Completed(ticket, Outcome::Failed(error.clone(), Properties::new()));
        let mut events: VecDeque<Event> = open.into_iter().map(failed).collect();
        events.push_back(Event::Closed);
        self.inbox.deliver(self, &mut events);
    }
}

impl Queue {
    /// Counts a publish against the bounds of the backlog and refuses it if it does not fit.
    pub(crate) fn admit(&mut self, load: Load, refuse: bool) -> Result<(), Error> {
        let messages = self.stats.backlog_messages as usize + self.on_the_way.messages + load.messages;
        let bytes = self.stats.backlog_bytes as usize + self.on_the_way.bytes + load.bytes;
        if refuse && (messages > self.options.backlog_messages || bytes > self.options.backlog_bytes) {
            return Err(ErrorCode::QueueFull.into());
        }
        self.on_the_way.messages += load.messages;
        self.on_the_way.bytes += load.bytes;
        Ok(())
    }
}

/// Wakes the driver if it sleeps, after the lock is gone.
fn wake(mut queue: MutexGuard<'_, Queue>) {
    let sleeper = queue.sleeper.take();
    drop(queue);
    if let Some(sleeper) = sleeper {
        sleeper.wake();
    }
}
