//! `MQTTMessageInfo`: what became of a publish.

use std::time::{Duration, Instant};

use pyo3::exceptions::{PyIndexError, PyRuntimeError, PyStopIteration, PyValueError};
use pyo3::prelude::*;
use pyo3::sync::PyOnceLock;
use pyo3::types::PyTuple;
use remqtt_core::{Client, ErrorCode, Ticket};

/// A Ctrl-C is noticed this soon in a wait.
pub(crate) const SLICE: Duration = Duration::from_millis(50);

/// The numbers of `MQTTErrorCode` that a publish can return.
pub(crate) const SUCCESS: i64 = 0;
pub(crate) const NO_CONN: i64 = 4;
pub(crate) const QUEUE_SIZE: i64 = 15;

/// The result of publish(): mid and rc, and what became of the message.
///
/// rc is MQTT_ERR_SUCCESS for an accepted message; MQTT_ERR_NO_CONN when there is no connection (a QoS 0 message is
/// dropped then; a QoS 1 or 2 message is kept, and rc becomes MQTT_ERR_SUCCESS once it is delivered);
/// MQTT_ERR_QUEUE_SIZE when the queue is full and the message was refused.
#[pyclass(subclass, module = "remqtt.client")]
pub(crate) struct MQTTMessageInfo {
    /// The message identifier.
    #[pyo3(get, set)]
    mid: i64,
    rc: i64,
    operation: Option<(Client, Ticket)>,
    next: usize,
}

impl MQTTMessageInfo {
    /// An info of no publish.
    pub(crate) fn bare(_py: Python<'_>, mid: i64) -> PyResult<MQTTMessageInfo> {
        Ok(MQTTMessageInfo { mid, rc: SUCCESS, operation: None, next: 0 })
    }

    /// The info of a publish that was refused.
    pub(crate) fn refused(mid: i64, rc: i64) -> MQTTMessageInfo {
        MQTTMessageInfo { mid, rc, operation: None, next: 0 }
    }

    /// The info of a publish that was accepted.
    pub(crate) fn accepted(mid: i64, rc: i64, client: Client, ticket: Ticket) -> MQTTMessageInfo {
        MQTTMessageInfo { mid, rc, operation: Some((client, ticket)), next: 0 }
    }

    /// Whether the publish is complete; an error when it never will be, or failed.
    fn complete(&self, py: Python<'_>, timeout: Duration) -> PyResult<bool> {
        let Some((client, ticket)) = &self.operation else {
            return match self.rc {
                SUCCESS => Ok(false),
                QUEUE_SIZE => Err(PyValueError::new_err("Message is not queued due to ERR_QUEUE_SIZE")),
                rc => {
                    Err(PyRuntimeError::new_err(format!("Message publish failed: {}", error_string(py, rc)?)))
                }
            };
        };
        let (client, ticket) = (client.clone(), *ticket);
        match py.detach(|| client.wait(ticket, timeout)) {
            Ok(()) => Ok(true),
            Err(error) if error.code == ErrorCode::Timeout => Ok(false),
            Err(error) if error.code == ErrorCode::Deadlock => Ok(!client.is_pending(ticket)),
            Err(error) => Err(PyRuntimeError::new_err(format!("Message publish failed: {error}"))),
        }
    }
}

#[pymethods]
impl MQTTMessageInfo {
    #[new]
    fn new(py: Python<'_>, mid: i64) -> PyResult<MQTTMessageInfo> {
        MQTTMessageInfo::bare(py, mid)
    }

    /// An MQTTErrorCode; see the class.
    #[getter]
    fn rc(&self, py: Python<'_>) -> PyResult<Py<PyAny>> {
        let delivered = self.operation.as_ref().is_some_and(|(client, ticket)| !client.is_pending(*ticket));
        error_code(py, if delivered && self.rc == NO_CONN { SUCCESS } else { self.rc })
    }

    #[setter]
    fn set_rc(&mut self, rc: i64) {
        self.rc = rc;
    }

    /// True once the message is delivered: written for QoS 0, acknowledged for QoS 1 and 2.
    ///
    /// Raises ValueError when the message was refused because the queue was full, RuntimeError when it was dropped
    /// or the server rejected it.
    fn is_published(&self, py: Python<'_>) -> PyResult<bool> {
        self.complete(py, Duration::ZERO)
    }

    /// Waits until is_published() is true, at most `timeout` seconds (for ever if None). Raises as is_published().
    #[pyo3(signature = (timeout = None))]
    fn wait_for_publish(slf: &Bound<'_, Self>, timeout: Option<f64>) -> PyResult<()> {
        let py = slf.py();
        let deadline = timeout
            .and_then(|seconds| Duration::try_from_secs_f64(seconds.max(0.0)).ok())
            .and_then(|timeout| Instant::now().checked_add(timeout));
        loop {
            let left = deadline.map_or(SLICE, |deadline| deadline.saturating_duration_since(Instant::now()));
            let begun = Instant::now();
            if slf.borrow().complete(py, left.min(SLICE))? || left.is_zero() {
                return Ok(());
            }
            py.check_signals()?;
            // An info that belongs to no publish, or a wait inside a callback, comes back at once.
            let rest = left.min(SLICE).saturating_sub(begun.elapsed());
            py.detach(|| std::thread::sleep(rest.min(Duration::from_millis(5))));
        }
    }

    fn __iter__(mut slf: PyRefMut<'_, Self>) -> PyRefMut<'_, Self> {
        slf.next = 0;
        slf
    }

    fn __next__(&mut self, py: Python<'_>) -> PyResult<Py<PyAny>> {
        self.next += 1;
        match self.next {
            1 => self.rc(py),
            2 => Ok(self.mid.into_pyobject(py)?.into_any().unbind()),
            _ => Err(PyStopIteration::new_err(())),
        }
    }

    /// The next of rc and mid.
    fn next(&mut self, py: Python<'_>) -> PyResult<Py<PyAny>> {
        self.__next__(py)
    }

    fn __getitem__(&self, py: Python<'_>, index: isize) -> PyResult<Py<PyAny>> {
        match index {
            0 => self.rc(py),
            1 => Ok(self.mid.into_pyobject(py)?.into_any().unbind()),
            _ => Err(PyIndexError::new_err("index out of range")),
        }
    }

    fn __str__(&self, py: Python<'_>) -> PyResult<String> {
        Ok(format!("({}, {})", self.rc(py)?.bind(py).repr()?, self.mid))
    }
}

/// The `MQTTErrorCode` of a number.
pub(crate) fn error_code(py: Python<'_>, rc: i64) -> PyResult<Py<PyAny>> {
    static CODES: PyOnceLock<Py<PyTuple>> = PyOnceLock::new();
    let codes = CODES.get_or_try_init(py, || {
        let make = py.import("remqtt.enums")?.getattr("MQTTErrorCode")?;
        let codes = (0..=16).map(|code| make.call1((code,))).collect::<PyResult<Vec<_>>>()?;
        Ok::<_, PyErr>(PyTuple::new(py, codes)?.unbind())
    })?;
    match usize::try_from(rc).ok().and_then(|rc| codes.bind(py).get_item(rc).ok()) {
        Some(code) => Ok(code.unbind()),
        None => Ok(rc.into_pyobject(py)?.into_any().unbind()),
    }
}

fn error_string(py: Python<'_>, rc: i64) -> PyResult<String> {
    py.import("remqtt.client")?.getattr("error_string")?.call1((rc,))?.extract()
}
