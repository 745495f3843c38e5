//! What is in a store, for `python -m remqtt store`.

use std::path::PathBuf;

use pyo3::prelude::*;
use pyo3::types::PyBytes;
use remqtt_core::store::{self, Field, Record};

use crate::error::raise;

/// A record: its kind and its fields by name.
type Shown<'py> = (&'static str, Vec<(&'static str, Bound<'py, PyAny>)>);

/// Size of the file, what is wrong with it (None: nothing), and everything that it holds.
#[pyfunction]
pub(crate) fn inspect(py: Python<'_>, path: PathBuf) -> PyResult<(u64, Option<String>, Vec<Shown<'_>>)> {
    let inspection = py.detach(|| store::inspect(&path)).map_err(raise)?;
    let records = inspection.records.into_iter().map(|record| show(py, record));
    Ok((inspection.size, inspection.damage, records.collect::<PyResult<_>>()?))
}

fn show(py: Python<'_>, record: Record) -> PyResult<Shown<'_>> {
    let fields = record.fields.into_iter().map(|(name, field)| {
        let value = match field {
            Field::Number(number) => number.into_pyobject(py)?.into_any(),
            Field::Flag(flag) => flag.into_pyobject(py)?.to_owned().into_any(),
            Field::Text(text) => (&*text).into_pyobject(py)?.into_any(),
            Field::Bytes(bytes) => PyBytes::new(py, &bytes).into_any(),
        };
        Ok((name, value))
    });
    Ok((record.kind, fields.collect::<PyResult<_>>()?))
}
