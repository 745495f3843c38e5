//! From the engine's events to user code: a queue for each client, taken in batches.
//!
//! The driver appends the events of a round in one step; whoever consumes takes everything that waits in one step,
//! so neither side pays for a wake-up or a lock per message. Messages count against the `receive_buffer` until the
//! application takes them, and above that bound the driver stops reading the socket; all other events are always
//! queued. Consumers are a handler on the threads of a [`Pool`], or calls of [`Client::pull`].

use std::cell::Cell;
use std::collections::VecDeque;
use std::fmt;
use std::marker::PhantomData;
use std::os::fd::{AsRawFd, RawFd};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::Arc;
use std::time::Instant as Moment;

use nix::sys::eventfd::{EfdFlags, EventFd};
use parking_lot::{Condvar, Mutex};
use remqtt_proto::{Command, Delivery, Error, ErrorCode, Event};

use crate::client::Client;
use crate::pool::{Pool, Post, Seat};
use crate::shared::Shared;

/// Completions that are kept for a client that nobody has listened to so far.
const UNHEARD: usize = 4_096;

thread_local! {
    /// Address of the client whose handler this thread runs.
    static INSIDE: Cell<usize> = const { Cell::new(0) };
}

/// User code of one client.
pub trait Handler: Send + Sync {
    /// Takes the events of the batch with [`Batch::next`]. Never called twice at once for one client. Events that it
    /// leaves in the batch stay at the head of the queue.
    fn handle(&self, client: &Client, batch: &mut Batch<'_>);
}

/// The events of one client that wait for the application.
pub(crate) struct Inbox {
    /// Bytes of messages that the application has not taken.
    undelivered: AtomicUsize,
    bound: AtomicUsize,
    /// The driver does not read until `undelivered` is below half the bound.
    reading_paused: AtomicBool,
    waiting: Mutex<Waiting>,
    arrived: Condvar,
}

#[derive(Default)]
struct Waiting {
    events: VecDeque<Event>,
    dispatch: Option<(Arc<Seat>, Arc<dyn Handler>)>,
    /// In the crew's queue, or being handled.
    scheduled: bool,
    pulling: usize,
    interrupted: bool,
    /// Somebody has asked for events at least once.
    heard: bool,
    /// The application has taken `Event::Closed`.
    over: bool,
    event_fd: Option<EventFd>,
}

impl Inbox {
    pub(crate) fn new(bound: usize) -> Inbox {
        Inbox {
            undelivered: AtomicUsize::new(0),
            bound: AtomicUsize::new(bound),
            reading_paused: AtomicBool::new(false),
            waiting: Mutex::default(),
            arrived: Condvar::new(),
        }
    }

    pub(crate) fn set_bound(&self, bytes: usize) {
        self.bound.store(bytes, Ordering::Relaxed);
    }

    /// Whether the driver may read. When it may not, it is woken as soon as it may.
    pub(crate) fn wants_more(&self) -> bool {
        if self.may_resume() {
            self.reading_paused.store(false, Ordering::SeqCst);
        } else if self.undelivered.load(Ordering::SeqCst) > self.bound.load(Ordering::Relaxed) {
            self.reading_paused.store(true, Ordering::SeqCst);
        }
        !self.reading_paused.load(Ordering::SeqCst)
    }

    /// Whether reading was paused and may go on. Asked once more when the driver can be woken, so that no wake-up is
    /// lost.
    pub(crate) fn may_resume(&self) -> bool {
        self.reading_paused.load(Ordering::SeqCst)
            && self.undelivered.load(Ordering::SeqCst) <= self.bound.load(Ordering::Relaxed) / 2
    }

    /// Appends events, and leaves `events` empty.
    pub(crate) fn deliver(&self, shared: &Arc<Shared>, events: &mut VecDeque<Event>) {
        let weight: usize = events.iter().map(weight).sum();
        self.undelivered.fetch_add(weight, Ordering::SeqCst);
        let mut waiting = self.waiting.lock();
        if !waiting.heard {
            let mut room = UNHEARD.saturating_sub(waiting.events.len());
            events.retain(|event| {
                let kept = room > 0 || !matches!(event, Event::Completed(..));
                room = room.saturating_sub(1);
                kept
            });
        }
        if waiting.events.is_empty() {
            waiting.events = std::mem::take(events);
            waiting.signal();
        } else {
            waiting.events.append(events);
        }
        if waiting.pulling > 0 {
            self.arrived.notify_all();
        }
        let seat = waiting.schedule();
        drop(waiting);
        if let Some(seat) = seat {
            seat.schedule(shared.clone());
        }
    }

    pub(crate) fn interrupt(&self) {
        self.waiting.lock().interrupted = true;
        self.arrived.notify_all();
    }

    pub(crate) fn dispatch_on(&self, shared: &Arc<Shared>, pool: &Pool, handler: Arc<dyn Handler>) {
        let Some(crew) = pool.crew() else { return };
        let mut waiting = self.waiting.lock();
        if waiting.over {
            return;
        }
        waiting.heard = true;
        let before = waiting.dispatch.replace((crew.seat(), handler));
        let seat = waiting.schedule();
        drop(waiting);
        drop(before);
        if let Some(seat) = seat {
            seat.schedule(shared.clone());
        }
    }

    pub(crate) fn dispatch_stop(&self) {
        let before = self.waiting.lock().dispatch.take();
        drop(before);
    }

    pub(crate) fn event_fd(&self) -> Result<RawFd, Error> {
        let mut waiting = self.waiting.lock();
        if waiting.event_fd.is_none() {
            let flags = EfdFlags::EFD_CLOEXEC | EfdFlags::EFD_NONBLOCK;
            let made = EventFd::from_value_and_flags(u32::from(!waiting.events.is_empty()), flags);
            let made =
                made.map_err(|error| Error::new(ErrorCode::Resource, format!("no eventfd: {error}")))?;
            waiting.event_fd = Some(made);
            waiting.heard = true;
        }
        Ok(waiting.event_fd.as_ref().map_or(-1, AsRawFd::as_raw_fd))
    }

    /// The application took a message of this weight.
    fn took(&self, weight: usize, shared: &Shared) {
        let left = self.undelivered.fetch_sub(weight, Ordering::SeqCst) - weight;
        if self.reading_paused.load(Ordering::SeqCst) && left <= self.bound.load(Ordering::Relaxed) / 2 {
            shared.wake();
        }
    }

    /// The events that wait, and the handler that is to get them, if it is one for this thread.
    fn begin_turn(&self, post: Option<&Arc<Post>>) -> (VecDeque<Event>, Option<Arc<dyn Handler>>) {
        let mut waiting = self.waiting.lock();
        let here = waiting.dispatch.as_ref().filter(|(seat, _)| seat.is_at(post));
        let handler = here.map(|(_, handler)| handler.clone());
        match handler {
            Some(_) => (waiting.take(), handler),
            None => (VecDeque::new(), None),
        }
    }

    fn end_turn(&self, shared: &Arc<Shared>, progress: bool) {
        let mut waiting = self.waiting.lock();
        waiting.scheduled = false;
        // Nothing follows `Closed`: the handler goes, and with it a handle of the client that it may own.
        let finished = if waiting.over { waiting.dispatch.take() } else { None };
        let seat = if progress { waiting.schedule() } else { None };
        drop(waiting);
        drop(finished);
        if let Some(seat) = seat {
            seat.reschedule(shared.clone());
        }
    }
}

impl Waiting {
    /// The seat to call, if there is work for the client that the crew does not know of.
    fn schedule(&mut self) -> Option<Arc<Seat>> {
        if self.scheduled || self.events.is_empty() {
            return None;
        }
        let seat = self.dispatch.as_ref()?.0.clone();
        self.scheduled = true;
        Some(seat)
    }

    fn take(&mut self) -> VecDeque<Event> {
        let events = std::mem::take(&mut self.events);
        if let (Some(event_fd), false) = (&self.event_fd, events.is_empty()) {
            let _ = event_fd.read();
        }
        events
    }

    /// Events wait that did not wait before.
    fn signal(&self) {
        if let (Some(event_fd), false) = (&self.event_fd, self.events.is_empty()) {
            let _ = event_fd.write(1);
        }
    }
}

/// Events that are ready. An automatic acknowledgement follows the processing: taking the next event, or dropping
/// the batch, says that the application has finished with the one before. Acknowledgements leave together, at the
/// end of the batch or when a few milliseconds have passed. Events that are not taken stay at the head of the queue.
#[derive(Debug)]
pub struct Batch<'a> {
    shared: Arc<Shared>,
    client: PhantomData<&'a Client>,
    /// The client's turn ends with this batch.
    turn: bool,
    events: VecDeque<Event>,
    in_hand: InHand,
    /// Whether an event was taken.
    progress: bool,
    /// Acknowledgements of this batch may still wait for company.
    held_back: bool,
}

/// What the application works on, as far as its end matters to us.
#[derive(Debug)]
enum InHand {
    Nothing,
    Message(Delivery),
    Connected,
}

#[allow(clippy::should_implement_trait)]
impl<'a> Batch<'a> {
    /// The next event.
    pub fn next(&mut self) -> Option<Event> {
        self.finish();
        let event = self.events.pop_front()?;
        self.progress = true;
        let shared = &self.shared;
        match &event {
            Event::Message(message) => {
                shared.inbox.took(message.weight(), shared);
                if let (Some(delivery), false) = (message.delivery, shared.manual_ack.load(Ordering::Relaxed))
                {
                    self.in_hand = InHand::Message(delivery);
                }
            }
            Event::Connected(_) => self.in_hand = InHand::Connected,
            Event::Closed => shared.inbox.waiting.lock().over = true,
            _ => {}
        }
        Some(event)
    }

    /// The message that `next` just gave is acknowledged by [`Client::acknowledge`], not by taking the next event.
    pub fn keep_last(&mut self) {
        if let InHand::Message(_) = self.in_hand {
            self.in_hand = InHand::Nothing;
        }
    }

    /// How many events are left.
    pub fn len(&self) -> usize {
        self.events.len()
    }

    /// True when none is left.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Gives the rest back: the events that were not taken stay at the head of the queue. What is in hand stays there,
    /// and a turn goes on, until the batch is asked for the next event or dropped.
    pub fn put_back(&mut self) {
        if self.events.is_empty() {
            return;
        }
        let mut waiting = self.shared.inbox.waiting.lock();
        let was_empty = waiting.events.is_empty();
        self.events.append(&mut waiting.events);
        waiting.events = std::mem::take(&mut self.events);
        if was_empty {
            waiting.signal();
        }
    }

    /// The same batch, on its own feet: it may outlive the call that gave it, and go to another thread. Of a batch that
    /// a handler was given, the turn of the client goes along: it ends when the result is dropped. Python needs this,
    /// because no native frame may lie below user code there.
    pub fn detach(&mut self) -> Batch<'static> {
        Batch {
            shared: self.shared.clone(),
            client: PhantomData,
            turn: std::mem::replace(&mut self.turn, false),
            events: std::mem::take(&mut self.events),
            in_hand: std::mem::replace(&mut self.in_hand, InHand::Nothing),
            progress: self.progress,
            held_back: std::mem::replace(&mut self.held_back, false),
        }
    }

    pub(crate) fn pulled(client: &'a Client, deadline: Option<Moment>) -> Batch<'a> {
        let inbox = &client.shared.inbox;
        if client.shared.check_process().is_err() {
            return Batch::new(client, VecDeque::new());
        }
        let mut waiting = inbox.waiting.lock();
        waiting.heard = true;
        while waiting.events.is_empty() && !waiting.interrupted && !waiting.over {
            waiting.pulling += 1;
            let late = match deadline {
                Some(deadline) => inbox.arrived.wait_until(&mut waiting, deadline).timed_out(),
                None => {
                    inbox.arrived.wait(&mut waiting);
                    false
                }
            };
            waiting.pulling -= 1;
            if late {
                break;
            }
        }
        waiting.interrupted = false;
        let events = waiting.take();
        drop(waiting);
        Batch::new(client, events)
    }

    fn new(client: &'a Client, events: VecDeque<Event>) -> Batch<'a> {
        Batch {
            shared: client.shared.clone(),
            client: PhantomData,
            turn: false,
            events,
            in_hand: InHand::Nothing,
            progress: false,
            held_back: false,
        }
    }

    /// The application has finished with what it had in hand.
    fn finish(&mut self) {
        match std::mem::replace(&mut self.in_hand, InHand::Nothing) {
            InHand::Nothing => {}
            InHand::Message(delivery) => {
                self.held_back = !self.events.is_empty();
                self.shared.finished(Some(delivery), !self.held_back);
            }
            // The only error: the client is closed.
            InHand::Connected => drop(self.shared.send(Command::ConnectedHandled)),
        }
    }
}

impl Drop for Batch<'_> {
    fn drop(&mut self) {
        self.finish();
        if self.held_back {
            self.shared.finished(None, true);
        }
        self.put_back();
        let shared = &self.shared;
        if self.turn {
            shared.inbox.end_turn(shared, self.progress);
        }
    }
}

/// One client's turn on a dispatcher thread.
pub struct Turn {
    client: Client,
    /// Whose thread it is on, if it is one client's.
    post: Option<Arc<Post>>,
}

impl fmt::Debug for Turn {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Turn").field("client", &self.client).finish_non_exhaustive()
    }
}

impl Turn {
    pub(crate) fn of(shared: Arc<Shared>, post: Option<Arc<Post>>) -> Turn {
        Turn { client: Client::of(shared), post }
    }

    /// Calls the client's handler with what is ready.
    pub fn run(self) {
        let (events, handler) = self.client.shared.inbox.begin_turn(self.post.as_ref());
        let _outside = Outside(INSIDE.get());
        let mut batch = Batch::new(&self.client, events);
        // Without a handler there is nothing to take, and what comes meanwhile deserves a turn.
        (batch.turn, batch.progress) = (true, handler.is_none());
        if let Some(handler) = handler {
            INSIDE.set(address(&self.client.shared));
            handler.handle(&self.client, &mut batch);
        }
    }
}

/// What `INSIDE` becomes after the turn, even when the handler panics.
struct Outside(usize);

impl Drop for Outside {
    fn drop(&mut self) {
        INSIDE.set(self.0);
    }
}

/// Whether this thread runs the handler of that client.
pub(crate) fn inside_callback_of(shared: &Shared) -> bool {
    INSIDE.get() == address(shared)
}

/// Whether this thread runs a handler.
pub(crate) fn inside_callback() -> bool {
    INSIDE.get() != 0
}

fn address(shared: &Shared) -> usize {
    std::ptr::from_ref(shared) as usize
}

fn weight(event: &Event) -> usize {
    match event {
        Event::Message(message) => message.weight(),
        _ => 0,
    }
}

impl fmt::Debug for Inbox {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Inbox").field("undelivered", &self.undelivered).finish_non_exhaustive()
    }
}
