//! Events on their way to Python: an iterator over one batch.
//!
//! Taking the next event says that the callback of the one before has returned; that is what an automatic
//! acknowledgement waits for. The batch ends, and the client's next turn may begin, when the iterator is exhausted.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::sync::Arc;

use parking_lot::Mutex;
use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyDict, PyList, PyString, PyTuple};
use remqtt_core::{
    Batch, ByteString, Client, Delivery, Event, Failure, Handler, Mark, Message, Outage, Outcome,
    SessionState, Ticket,
};

use crate::error::describe;
use crate::message::MQTTMessage;
use crate::pool::hand_over;
use crate::properties::show;

/// What the two ends of a client's queue share.
#[derive(Debug, Default)]
pub(crate) struct Inbox {
    /// Batches that Python is working on.
    pub(crate) busy: AtomicU32,
    /// There was a connection since the last start.
    pub(crate) was_connected: AtomicBool,
    /// Messages carry MQTT 5 properties.
    pub(crate) version5: AtomicBool,
    /// Python wants the canonical text of every event.
    pub(crate) with_text: AtomicBool,
    /// With manual acknowledgement: the latest delivery for each packet identifier.
    pub(crate) deliveries: Mutex<Option<HashMap<u16, Delivery>>>,
}

/// The handler that a looping client has: it passes the batch on and keeps the Python client alive.
pub(crate) struct Target {
    pub(crate) client: Py<PyAny>,
    pub(crate) inbox: Arc<Inbox>,
}

impl Handler for Target {
    fn handle(&self, _client: &Client, batch: &mut Batch<'_>) {
        let target = Python::try_attach(|py| self.client.clone_ref(py));
        hand_over(Events::new(batch.detach(), target, self.inbox.clone()));
    }
}

/// An iterator over events: an MQTTMessage for each message, a tuple with the event's name first for all others.
#[pyclass(frozen, module = "remqtt._native")]
pub(crate) struct Events {
    batch: Mutex<Taken>,
    target: Option<Py<PyAny>>,
    inbox: Arc<Inbox>,
}

struct Taken {
    batch: Option<Batch<'static>>,
    /// An event whose text was given and that comes itself next.
    held: Option<Event>,
    /// The last topic: most batches are about few.
    topic: Option<(ByteString, Py<PyString>)>,
}

impl Events {
    pub(crate) fn new(batch: Batch<'static>, target: Option<Py<PyAny>>, inbox: Arc<Inbox>) -> Events {
        inbox.busy.fetch_add(1, Ordering::AcqRel);
        Events { batch: Mutex::new(Taken { batch: Some(batch), held: None, topic: None }), target, inbox }
    }

    fn close(&self, batch: Option<Batch<'static>>) {
        if let Some(batch) = batch {
            drop(batch);
            self.inbox.busy.fetch_sub(1, Ordering::AcqRel);
        }
    }

    fn message<'py>(
        &self,
        py: Python<'py>,
        message: Message,
        taken: &mut Taken,
    ) -> PyResult<Bound<'py, PyAny>> {
        if let Some(delivery) = message.delivery {
            if let Some(deliveries) = &mut *self.inbox.deliveries.lock() {
                deliveries.insert(delivery.packet_identifier, delivery);
            }
        }
        if let Some(raw) = message.raw_topic.clone() {
            let version5 = self.inbox.version5.load(Ordering::Relaxed);
            let topic = PyBytes::new(py, &raw).into_any().unbind();
            return Ok(Bound::new(py, MQTTMessage::arrived(py, message, topic, version5))?.into_any());
        }
        let topic = match &taken.topic {
            Some((topic, text)) if *topic == message.publish.topic => text.clone_ref(py),
            _ => {
                let text = PyString::new(py, &message.publish.topic).unbind();
                taken.topic = Some((message.publish.topic.clone(), text.clone_ref(py)));
                text
            }
        };
        let version5 = self.inbox.version5.load(Ordering::Relaxed);
        Ok(Bound::new(py, MQTTMessage::arrived(py, message, topic.into_any(), version5))?.into_any())
    }
}

impl Drop for Events {
    fn drop(&mut self) {
        let batch = self.batch.get_mut().batch.take();
        self.close(batch);
    }
}

#[pymethods]
impl Events {
    /// The Python client that these events are for.
    #[getter]
    fn target(&self, py: Python<'_>) -> Option<Py<PyAny>> {
        self.target.as_ref().map(|target| target.clone_ref(py))
    }

    fn __iter__(slf: Bound<'_, Self>) -> Bound<'_, Self> {
        slf
    }

    fn __next__<'py>(&self, py: Python<'py>) -> PyResult<Option<Bound<'py, PyAny>>> {
        let mut taken = self.batch.lock();
        let event = match (taken.held.take(), &mut taken.batch) {
            (Some(event), _) => Some(event),
            (None, Some(batch)) => {
                let event = batch.next();
                if let (Some(event), true) = (&event, self.inbox.with_text.load(Ordering::Relaxed)) {
                    let text = ("text", event.to_string()).into_pyobject(py)?;
                    taken.held = Some(event.clone());
                    return Ok(Some(text.into_any()));
                }
                event
            }
            (None, None) => None,
        };
        match event {
            Some(Event::Message(message)) => self.message(py, message, &mut taken).map(Some),
            Some(event) => {
                if matches!(event, Event::Connected(_)) {
                    self.inbox.was_connected.store(true, Ordering::Relaxed);
                }
                Ok(Some(tuple(py, event)?.into_any()))
            }
            None => {
                let batch = taken.batch.take();
                drop(taken);
                self.close(batch);
                Ok(None)
            }
        }
    }

    /// Gives the events that were not taken back to the queue. The callbacks of the one in hand go on.
    fn put_back(&self) {
        if let Some(batch) = &mut self.batch.lock().batch {
            batch.put_back();
        }
    }

    /// Ends the batch, and gives back what was not taken. A message in hand that is not `finished` stays
    /// unacknowledged.
    fn end(&self, finished: bool) {
        let mut batch = self.batch.lock().batch.take();
        if let Some(batch) = batch.as_mut().filter(|_| !finished) {
            batch.keep_last();
        }
        self.close(batch);
    }
}

fn tuple(py: Python<'_>, event: Event) -> PyResult<Bound<'_, PyTuple>> {
    match event {
        Event::Connecting(attempt, server) => ("connecting", attempt, server).into_pyobject(py),
        Event::Connected(connected) => {
            let session = match connected.session {
                SessionState::New => "new",
                SessionState::Resumed => "resumed",
                SessionState::Lost => "lost",
            };
            let properties = show(py, &connected.properties)?;
            let counts = (connected.restoring, connected.resending);
            (
                "connected",
                connected.session_present,
                session,
                counts.0,
                counts.1,
                connected.reason_code,
                properties,
            )
                .into_pyobject(py)
        }
        Event::Disconnected(lost) => {
            let error = lost.error.as_ref().map(|error| describe(py, error)).transpose()?;
            let retry = lost.retry_in.map(|delay| delay.as_secs_f64());
            let properties = show(py, &lost.properties)?;
            let (connected, said) = (lost.was_connected, lost.said);
            ("disconnected", error, connected, lost.from_server, retry, lost.failures, properties, said)
                .into_pyobject(py)
        }
        Event::Auth(auth) => {
            ("auth", auth.exchange, auth.reason_code, show(py, &auth.properties)?).into_pyobject(py)
        }
        Event::Completed(ticket, outcome) => completed(py, ticket, outcome),
        Event::Recovered(outage) => ("recovered", outage_dict(py, &outage)?).into_pyobject(py),
        Event::Quarantined(what) => {
            let publish = &what.publish;
            let payload = PyBytes::new(py, &publish.payload);
            let (topic, qos) = (&*publish.topic, publish.qos as u8);
            ("quarantined", what.ticket, what.packet_identifier, topic, payload, qos, what.readable)
                .into_pyobject(py)
        }
        Event::Gap(gap) => ("gap", &*gap.topic, gap.expected, gap.got).into_pyobject(py),
        Event::Store(trouble) => {
            let trouble = trouble.as_ref().map(|error| describe(py, error)).transpose()?;
            ("store", trouble).into_pyobject(py)
        }
        Event::Message(_) | Event::Closed => ("closed",).into_pyobject(py),
    }
}

fn completed(py: Python<'_>, ticket: Ticket, outcome: Outcome) -> PyResult<Bound<'_, PyTuple>> {
    match outcome {
        Outcome::Published(reason, properties) => {
            ("published", ticket, reason, show(py, &properties)?).into_pyobject(py)
        }
        Outcome::Subscribed(reasons, properties) => {
            ("subscribed", ticket, PyTuple::new(py, reasons)?, show(py, &properties)?).into_pyobject(py)
        }
        Outcome::Unsubscribed(reasons, properties) => {
            ("unsubscribed", ticket, PyTuple::new(py, reasons)?, show(py, &properties)?).into_pyobject(py)
        }
        Outcome::Durable => ("published", ticket, 0, PyList::empty(py)).into_pyobject(py),
        Outcome::Stored => ("stored", ticket).into_pyobject(py),
        Outcome::Failed(error, properties) => {
            ("failed", ticket, describe(py, &error)?, show(py, &properties)?).into_pyobject(py)
        }
    }
}

/// The fields of `remqtt.reports.Outage`, by name.
pub(crate) fn outage_dict<'py>(py: Python<'py>, outage: &Outage) -> PyResult<Bound<'py, PyDict>> {
    let dict = PyDict::new(py);
    dict.set_item("number", outage.number)?;
    dict.set_item("cause", outage.cause.to_string())?;
    dict.set_item("attempts", outage.attempts)?;
    dict.set_item("session_kept", outage.session_kept)?;
    dict.set_item("resent", outage.resent)?;
    dict.set_item("signal", outage.signal.name())?;
    dict.set_item("received_before", outage.received_before)?;
    dict.set_item("received_after", outage.received_after)?;
    dict.set_item("missing", outage.missing)?;
    dict.set_item("gap_suspected", outage.gap_suspected())?;
    let failed = |failure: &Failure| (failure.after.as_secs_f64(), failure.code.name(), failure.server);
    dict.set_item("failures", outage.failures.iter().map(failed).collect::<Vec<_>>())?;
    dict.set_item("text", outage.to_string())?;
    let marks = PyDict::new(py);
    for (mark, since) in outage.marks() {
        marks.set_item(mark.name(), since.as_secs_f64())?;
    }
    dict.set_item("marks", marks)?;
    let detected = outage.after_detection(Mark::Connack);
    dict.set_item("connack_after_detection", detected.map(|time| time.as_secs_f64()))?;
    Ok(dict)
}
