//! The core's tables, for the Python side to iterate.

use pyo3::prelude::*;
use pyo3::types::{PyList, PyTuple};
use remqtt_core::proto::{PropertyKind, PropertyOwner};
use remqtt_core::{ErrorCode, Mark, Options, PropertyId, Stats};

use crate::error::who;

pub(crate) fn export(module: &Bound<'_, PyModule>) -> PyResult<()> {
    let py = module.py();
    let options = Options::default();
    let rows = |row: &remqtt_core::proto::OptionRow| {
        (row.key, row.kind, row.range, options.show(row.key), row.doc.trim()).into_pyobject(py)
    };
    module.add("OPTIONS", table(py, Options::TABLE.iter().map(rows))?)?;
    let statistics = Stats::TABLE.iter().map(|(name, doc)| (*name, doc.trim()).into_pyobject(py));
    module.add("STATISTICS", table(py, statistics)?)?;
    let errors = ErrorCode::TABLE
        .iter()
        .map(|code| (*code as i32, code.name(), who(code.who()), code.text()).into_pyobject(py));
    module.add("ERRORS", table(py, errors)?)?;
    module.add("MARKS", PyTuple::new(py, Mark::TABLE.iter().map(|mark| mark.name()))?)?;
    let properties = PropertyId::TABLE.iter().map(|row| {
        let owners = row.owners.iter().map(|owner| packet_type(*owner));
        (row.id as u8, row.name, kind(row.kind), PyTuple::new(py, owners)?).into_pyobject(py)
    });
    module.add("PROPERTIES", table(py, properties)?)?;
    let secret = PropertyId::TABLE.iter().filter(|row| row.id.is_secret()).map(|row| row.name);
    module.add("SECRET_PROPERTIES", PyTuple::new(py, secret.collect::<Vec<_>>())?)
}

fn table<'py>(
    py: Python<'py>,
    rows: impl Iterator<Item = PyResult<Bound<'py, PyTuple>>>,
) -> PyResult<Bound<'py, PyTuple>> {
    let rows = PyList::new(py, rows.collect::<PyResult<Vec<_>>>()?)?;
    Ok(rows.to_tuple())
}

/// The number that paho's `PacketTypes` has for it; a will is no packet and has 99 there.
fn packet_type(owner: PropertyOwner) -> u8 {
    match owner {
        PropertyOwner::Will => 99,
        packet => packet as u8,
    }
}

fn kind(kind: PropertyKind) -> &'static str {
    match kind {
        PropertyKind::Byte => "Byte",
        PropertyKind::TwoByte => "Two Byte Integer",
        PropertyKind::FourByte => "Four Byte Integer",
        PropertyKind::Variable => "Variable Byte Integer",
        PropertyKind::Binary => "Binary Data",
        PropertyKind::Text => "UTF-8 Encoded String",
        PropertyKind::Pair => "UTF-8 String Pair",
    }
}
