//! Errors of the facade as Python sees them.

use pyo3::exceptions::{PyOSError, PyRuntimeError, PyTimeoutError, PyValueError};
use pyo3::prelude::*;
use pyo3::types::PyTuple;
use remqtt_core::{Error, ErrorCode, Who};

/// The exception for an error that a call returns at once. Its attribute `code` is the name in the core's table.
pub(crate) fn raise(error: Error) -> PyErr {
    refuse(error.code, error.to_string())
}

/// The same with words of its own.
pub(crate) fn refuse(code: ErrorCode, text: impl Into<String>) -> PyErr {
    let text = text.into();
    let error = match code {
        ErrorCode::InvalidArgument
        | ErrorCode::InvalidOption
        | ErrorCode::InvalidTopic
        | ErrorCode::InvalidFilter
        | ErrorCode::InvalidQoS
        | ErrorCode::NotSupported
        | ErrorCode::PacketTooLarge => PyValueError::new_err(text),
        ErrorCode::Timeout => PyTimeoutError::new_err(text),
        ErrorCode::Resource | ErrorCode::StoreFailed | ErrorCode::StoreLocked => PyOSError::new_err(text),
        _ => PyRuntimeError::new_err(text),
    };
    // Without the attribute it is the same exception.
    let _ = Python::try_attach(|py| error.value(py).setattr("code", code.name()));
    error
}

/// `(code, name, who, reason code or None, text)`.
pub(crate) fn describe<'py>(py: Python<'py>, error: &Error) -> PyResult<Bound<'py, PyTuple>> {
    let who = who(error.who());
    (error.code as i32, error.code.name(), who, error.reason_code, error.to_string()).into_pyobject(py)
}

pub(crate) fn who(who: Who) -> &'static str {
    match who {
        Who::You => "you",
        Who::Us => "us",
        Who::Peer => "peer",
        Who::Network => "network",
    }
}
