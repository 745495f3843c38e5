//! What is in a store, for `python -m remqtt store`.

use std::path::PathBuf;

use pyo3::prelude::*;
use pyo3::types::PyBytes;
use remqtt_core::store::{self, Field};

use crate::error::raise;

/// Size of the file, what is wrong with it (None: nothing), and everything that it holds.
#[pyfunction]
pub(crate) fn inspect(py: Python<'_>, path: PathBuf) -> PyResult<(u64, Option<String>, Vec<Record>)> {
    let inspection = py.detach(|| store::inspect(&path)).map_err(raise)?;
    Ok((inspection.size, inspection.damage, inspection.records.into_iter().map(Record).collect()))
}

/// Something that a store holds; as text it is JSON.
#[pyclass(frozen, module = "remqtt._native")]
pub(crate) struct Record(store::Record);

#[pymethods]
impl Record {
    /// What kind of thing.
    #[getter]
    fn kind(&self) -> &'static str {
        self.0.kind
    }

    /// Its fields with their names.
    #[getter]
    fn fields<'py>(&self, py: Python<'py>) -> PyResult<Vec<(&'static str, Bound<'py, PyAny>)>> {
        let fields = self.0.fields.iter().map(|(name, field)| {
            let value = match field {
                Field::Number(number) => number.into_pyobject(py)?.into_any(),
                Field::Flag(flag) => flag.into_pyobject(py)?.to_owned().into_any(),
                Field::Text(text) => (&**text).into_pyobject(py)?.into_any(),
                Field::Bytes(bytes) => PyBytes::new(py, bytes).into_any(),
            };
            Ok((*name, value))
        });
        fields.collect()
    }

    fn __str__(&self) -> String {
        self.0.to_string()
    }
}
