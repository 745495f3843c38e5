//! Arguments of publish and will, read as paho reads them.

use pyo3::exceptions::PyTypeError;
use pyo3::prelude::*;
use pyo3::types::{PyByteArray, PyBytes, PyFloat, PyInt, PyString};
use remqtt_core::proto::OptionValue;
use remqtt_core::{ByteString, Bytes, ErrorCode, Level, QoS};

use crate::error::refuse;

/// The largest payload that fits a packet.
const PAYLOAD_LIMIT: usize = 268_435_455;

/// A topic name; wildcards are refused, the rest is checked by the engine. `None` is the empty one.
pub(crate) fn topic(topic: Option<&Bound<'_, PyAny>>) -> PyResult<ByteString> {
    let Some(topic) = topic else { return Ok(ByteString::new()) };
    let text = topic
        .cast::<PyString>()
        .map_err(|_| PyTypeError::new_err("topic must be a string"))?
        .to_cow()
        .map_err(|_| refuse(ErrorCode::InvalidTopic, "Invalid topic."))?;
    if text.contains(['+', '#']) {
        return Err(refuse(ErrorCode::InvalidTopic, "Publish topic cannot contain wildcards."));
    }
    Ok(ByteString::from(text.into_owned()))
}

/// 0, 1 or 2.
pub(crate) fn qos(qos: i64) -> PyResult<QoS> {
    u8::try_from(qos)
        .ok()
        .and_then(QoS::from_u8)
        .ok_or_else(|| refuse(ErrorCode::InvalidQoS, "Invalid QoS level."))
}

/// The name of a level.
pub(crate) fn level(level: &str) -> PyResult<Level> {
    let text = format!("level must be {}, not {level:?}", Level::KIND);
    Level::read(level).ok_or_else(|| refuse(ErrorCode::InvalidArgument, &text))
}

/// Bytes as they are, text as UTF-8, numbers as their text, nothing as nothing.
pub(crate) fn payload(payload: Option<&Bound<'_, PyAny>>) -> PyResult<Bytes> {
    let Some(payload) = payload else { return Ok(Bytes::new()) };
    let bytes = if let Ok(bytes) = payload.cast::<PyBytes>() {
        Bytes::copy_from_slice(bytes.as_bytes())
    } else if let Ok(text) = payload.cast::<PyString>() {
        Bytes::from(text.to_cow()?.into_owned())
    } else if let Ok(bytes) = payload.cast::<PyByteArray>() {
        Bytes::from(bytes.to_vec())
    } else if payload.is_instance_of::<PyInt>() || payload.is_instance_of::<PyFloat>() {
        Bytes::from(payload.str()?.to_cow()?.into_owned())
    } else {
        return Err(PyTypeError::new_err("payload must be a string, bytearray, int, float or None."));
    };
    if bytes.len() > PAYLOAD_LIMIT {
        return Err(refuse(ErrorCode::PacketTooLarge, "Payload too large."));
    }
    Ok(bytes)
}
