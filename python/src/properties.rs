//! MQTT 5 properties as Python hands them over: a list of `(identifier, value)`, in wire order.

use pyo3::exceptions::{PyTypeError, PyValueError};
use pyo3::prelude::*;
use pyo3::sync::PyOnceLock;
use pyo3::types::{PyDict, PyList, PyTuple, PyType};
use remqtt_core::proto::{PropertyKind, PropertyOwner};
use remqtt_core::{ByteString, Bytes, Properties, PropertyId, PropertyValue};

/// Reads such a list; `None` is the empty one.
pub(crate) fn read(pairs: Option<&Bound<'_, PyAny>>) -> PyResult<Properties> {
    let mut properties = Properties::new();
    let Some(pairs) = pairs else { return Ok(properties) };
    for pair in pairs.try_iter()? {
        let (number, value): (u8, Bound<'_, PyAny>) = pair?.extract()?;
        let id = PropertyId::from_u8(number)
            .ok_or_else(|| PyValueError::new_err(format!("no property has the identifier {number}")))?;
        let value = read_value(id, &value).map_err(|error| {
            let text = format!("{}: {}", id.row().name, error.value(value.py()));
            if error.is_instance_of::<PyTypeError>(value.py()) {
                PyTypeError::new_err(text)
            } else {
                PyValueError::new_err(text)
            }
        })?;
        properties.push(id, value);
    }
    Ok(properties)
}

fn read_value(id: PropertyId, value: &Bound<'_, PyAny>) -> PyResult<PropertyValue> {
    Ok(match id.row().kind {
        PropertyKind::Byte => PropertyValue::Byte(value.extract()?),
        PropertyKind::TwoByte => PropertyValue::TwoByte(value.extract()?),
        PropertyKind::FourByte => PropertyValue::FourByte(value.extract()?),
        PropertyKind::Variable => PropertyValue::Variable(value.extract()?),
        PropertyKind::Text => PropertyValue::Text(text(value)?),
        PropertyKind::Binary => PropertyValue::Binary(binary(value)?),
        PropertyKind::Pair => {
            let (name, value): (Bound<'_, PyAny>, Bound<'_, PyAny>) = value.extract()?;
            PropertyValue::Pair(text(&name)?, text(&value)?)
        }
    })
}

/// A `str`.
pub(crate) fn text(value: &Bound<'_, PyAny>) -> PyResult<ByteString> {
    Ok(ByteString::from(value.extract::<String>()?))
}

/// Bytes, or the UTF-8 of a `str`.
pub(crate) fn binary(value: &Bound<'_, PyAny>) -> PyResult<Bytes> {
    match value.extract::<String>() {
        Ok(text) => Ok(Bytes::from(text)),
        Err(_) => Ok(Bytes::from(value.extract::<Vec<u8>>()?)),
    }
}

/// The list for Python.
pub(crate) fn show<'py>(py: Python<'py>, properties: &Properties) -> PyResult<Bound<'py, PyList>> {
    let pairs = properties.iter().map(|(id, value)| {
        let value = match value {
            PropertyValue::Byte(v) => v.into_pyobject(py)?.into_any(),
            PropertyValue::TwoByte(v) => v.into_pyobject(py)?.into_any(),
            PropertyValue::FourByte(v) | PropertyValue::Variable(v) => v.into_pyobject(py)?.into_any(),
            PropertyValue::Text(v) => (**v).into_pyobject(py)?.into_any(),
            PropertyValue::Binary(v) => pyo3::types::PyBytes::new(py, v).into_any(),
            PropertyValue::Pair(name, value) => PyTuple::new(py, [&**name, &**value])?.into_any(),
        };
        (*id as u8, value).into_pyobject(py)
    });
    PyList::new(py, pairs.collect::<PyResult<Vec<_>>>()?)
}

/// The `Properties` of a message, made without running Python code: the thread of a callback may be ended at any of
/// Python's own instructions when the interpreter ends, and this is called by native code.
pub(crate) fn object(py: Python<'_>, properties: &Properties) -> PyResult<Py<PyAny>> {
    static TEMPLATE: PyOnceLock<(Py<PyType>, Py<PyDict>)> = PyOnceLock::new();
    let (class, template) = TEMPLATE.get_or_try_init(py, || {
        let class = py.import("remqtt.properties")?.getattr("Properties")?.cast_into::<PyType>()?;
        let template = class.call1((PropertyOwner::Publish as u8,))?.getattr("__dict__")?;
        Ok::<_, PyErr>((class.unbind(), template.cast_into::<PyDict>()?.unbind()))
    })?;
    let object = class.bind(py).call_method1("__new__", (class,))?;
    let values = object.getattr("__dict__")?.cast_into::<PyDict>()?;
    values.update(template.bind(py).as_mapping())?;
    for (id, pair) in properties.iter().map(|(id, _)| *id).zip(show(py, properties)?) {
        let value = pair.get_item(1)?;
        match (id, values.get_item(id.row().name)?) {
            (PropertyId::UserProperty | PropertyId::SubscriptionIdentifier, Some(several)) => {
                several.cast_into::<PyList>()?.append(value)?;
            }
            (PropertyId::UserProperty | PropertyId::SubscriptionIdentifier, None) => {
                values.set_item(id.row().name, PyList::new(py, [value])?)?;
            }
            _ => values.set_item(id.row().name, value)?,
        }
    }
    Ok(object.unbind())
}
