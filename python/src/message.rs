//! `MQTTMessage`: built natively, one allocation for the object and one for its payload.

use std::sync::OnceLock;
use std::time::Instant;

use pyo3::exceptions::PyTypeError;
use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyString};
use remqtt_core::{Properties, QoS};

use crate::info::MQTTMessageInfo;
use crate::properties;

/// A message that arrived.
///
/// Attributes: topic (str), payload (bytes), qos (0, 1 or 2), retain (bool), dup (bool), mid (packet identifier,
/// 0 for QoS 0), token (str) and redelivered (bool; see the options acknowledge and resume_after), properties (MQTT 5: a Properties, otherwise None), timestamp (time.monotonic() of its arrival).
#[pyclass(subclass, module = "remqtt.client")]
pub(crate) struct MQTTMessage {
    /// When it was taken from the queue, on the clock of time.monotonic().
    #[pyo3(get, set)]
    timestamp: f64,
    /// A MessageState; of interest to senders only.
    #[pyo3(get, set)]
    state: i64,
    /// True when it may be a redelivery.
    #[pyo3(get, set)]
    dup: bool,
    /// The packet identifier, 0 for QoS 0.
    #[pyo3(get, set)]
    mid: i64,
    /// The application message.
    #[pyo3(get, set)]
    payload: Py<PyAny>,
    /// 0, 1 or 2.
    #[pyo3(get, set)]
    qos: i64,
    /// True when the server had it stored.
    #[pyo3(get, set)]
    retain: bool,
    /// Stable name of a message that was stored before its acknowledgement, None otherwise.
    #[pyo3(get, set)]
    token: Option<String>,
    /// True when it comes from the store, where an earlier process had left it unfinished.
    #[pyo3(get, set)]
    redelivered: bool,
    /// The topic: `str`, or the bytes that the setter was given.
    topic: Py<PyAny>,
    info: Option<Py<PyAny>>,
    properties: Lazy,
}

/// MQTT 5 properties become a Python object when somebody looks at them.
enum Lazy {
    Wire(Properties),
    Python(Option<Py<PyAny>>),
}

impl MQTTMessage {
    pub(crate) fn arrived(
        py: Python<'_>,
        message: remqtt_core::Message,
        topic: Py<PyAny>,
        version5: bool,
    ) -> MQTTMessage {
        let publish = message.publish;
        MQTTMessage {
            timestamp: monotonic(py),
            state: 0,
            dup: message.dup,
            mid: message.delivery.map_or(0, |delivery| i64::from(delivery.packet_identifier)),
            payload: PyBytes::new(py, &publish.payload).into_any().unbind(),
            qos: match publish.qos {
                QoS::AtMostOnce => 0,
                QoS::AtLeastOnce => 1,
                QoS::ExactlyOnce => 2,
            },
            retain: publish.retain,
            token: message.token.map(|token| token.to_string()),
            redelivered: message.redelivered,
            topic,
            info: None,
            properties: match version5 {
                true => Lazy::Wire(publish.properties),
                false => Lazy::Python(None),
            },
        }
    }
}

#[pymethods]
impl MQTTMessage {
    #[new]
    #[pyo3(signature = (mid = 0, topic = None))]
    fn new(py: Python<'_>, mid: i64, topic: Option<&Bound<'_, PyBytes>>) -> MQTTMessage {
        let empty = || PyBytes::new(py, b"").into_any().unbind();
        MQTTMessage {
            timestamp: 0.0,
            state: 0,
            dup: false,
            mid,
            payload: empty(),
            qos: 0,
            retain: false,
            token: None,
            redelivered: false,
            topic: topic.map_or_else(empty, |topic| topic.clone().into_any().unbind()),
            info: None,
            properties: Lazy::Python(None),
        }
    }

    /// The topic as text.
    #[getter]
    fn topic<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        let topic = self.topic.bind(py);
        match topic.cast::<PyBytes>() {
            Ok(bytes) => bytes.call_method1("decode", ("utf-8",)),
            Err(_) => Ok(topic.clone()),
        }
    }

    #[setter]
    fn set_topic(&mut self, topic: Bound<'_, PyAny>) -> PyResult<()> {
        if !topic.is_instance_of::<PyBytes>() && !topic.is_instance_of::<PyString>() {
            return Err(PyTypeError::new_err("topic must be bytes"));
        }
        self.topic = topic.unbind();
        Ok(())
    }

    /// The topic as bytes.
    #[getter(_topic)]
    fn raw_topic<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        let topic = self.topic.bind(py);
        match topic.cast::<PyString>() {
            Ok(text) => text.call_method1("encode", ("utf-8",)),
            Err(_) => Ok(topic.clone()),
        }
    }

    #[setter(_topic)]
    fn set_raw_topic(&mut self, topic: Bound<'_, PyAny>) -> PyResult<()> {
        self.set_topic(topic)
    }

    /// An MQTTMessageInfo with the message's mid.
    #[getter]
    fn info(&mut self, py: Python<'_>) -> PyResult<Py<PyAny>> {
        if self.info.is_none() {
            self.info = Some(Py::new(py, MQTTMessageInfo::bare(py, self.mid)?)?.into_any());
        }
        Ok(self.info.as_ref().map_or_else(|| py.None(), |info| info.clone_ref(py)))
    }

    #[setter]
    fn set_info(&mut self, info: Py<PyAny>) {
        self.info = Some(info);
    }

    /// MQTT 5 properties; None on MQTT 3.1.1.
    #[getter]
    fn properties(&mut self, py: Python<'_>) -> PyResult<Option<Py<PyAny>>> {
        if let Lazy::Wire(wire) = &self.properties {
            self.properties = Lazy::Python(Some(properties::object(py, wire)?));
        }
        match &self.properties {
            Lazy::Python(Some(properties)) => Ok(Some(properties.clone_ref(py))),
            _ => Ok(None),
        }
    }

    #[setter]
    fn set_properties(&mut self, properties: Option<Py<PyAny>>) {
        self.properties = Lazy::Python(properties);
    }

    fn __eq__(&self, other: &Bound<'_, PyAny>) -> bool {
        other.cast::<MQTTMessage>().is_ok_and(|other| other.borrow().mid == self.mid)
    }

    fn __repr__(&self, py: Python<'_>) -> PyResult<String> {
        let (topic, payload) = (self.topic.bind(py).repr()?, self.payload.bind(py).len().unwrap_or(0));
        Ok(format!("<MQTTMessage topic={topic} qos={} mid={} ({payload} bytes)>", self.qos, self.mid))
    }
}

/// What time.monotonic() would return, without calling it.
fn monotonic(py: Python<'_>) -> f64 {
    static ORIGIN: OnceLock<(Instant, f64)> = OnceLock::new();
    let (instant, seconds) = ORIGIN.get_or_init(|| {
        let now = py.import("time").and_then(|time| time.call_method0("monotonic")?.extract());
        (Instant::now(), now.unwrap_or(0.0))
    });
    seconds + instant.elapsed().as_secs_f64()
}
