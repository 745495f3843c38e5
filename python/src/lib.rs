//! The native module of the Python package remqtt.
//!
//! It decides nothing about MQTT and calls no user code. Python threads take events from it (`events.rs`), one
//! whole batch for one hand-over of the GIL, and call the callbacks themselves. So no native frame ever lies below user
//! code: an exception, a Ctrl-C, or the end of the interpreter unwinds through Python's own frames only.

mod arguments;
mod client;
mod error;
mod events;
mod info;
mod message;
mod pool;
mod properties;
mod roads;
mod store;
mod tables;

use pyo3::prelude::*;

/// Builds for free-threaded Python are another step: abi3 modules do not load there.
#[pymodule(gil_used = true)]
fn _native(module: &Bound<'_, PyModule>) -> PyResult<()> {
    module.add_class::<client::Core>()?;
    module.add_class::<events::Events>()?;
    module.add_class::<message::MQTTMessage>()?;
    module.add_class::<info::MQTTMessageInfo>()?;
    module.add_class::<pool::Worker>()?;
    module.add_class::<pool::Spawns>()?;
    module.add_class::<roads::Question>()?;
    module.add_class::<store::Record>()?;
    module.add_function(wrap_pyfunction!(pool::after_fork_in_child, module)?)?;
    module.add_function(wrap_pyfunction!(client::check_filter, module)?)?;
    module.add_function(wrap_pyfunction!(store::inspect, module)?)?;
    tables::export(module)
}
