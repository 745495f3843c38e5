//! The C ABI of remqtt: opaque, reference-counted handles over the facade of core.
//!
//! Every exported function reads its arguments into Rust values ([`arguments`], [`sized`]), makes one call of the
//! facade and turns the result into a status ([`status`]). [`boundary::boundary`] stands around each of them, so
//! that no panic unwinds into C. Events go the other way in [`dispatch`]: from a batch of core to the functions in
//! [`callbacks`]. Nothing here knows MQTT; what a call means is written in core.
//!
//! The header is made from this source (`cbindgen.toml`, `tests/header.rs`): doc comments of exported items are the
//! documentation of the C API, and `cargo test -p remqtt-ffi` fails while the committed header differs.
#![allow(non_camel_case_types)] // the names of the header, so that one search finds both sides

pub mod arguments;
mod auth;
pub mod batch;
pub mod boundary;
pub mod callbacks;
pub mod client;
pub mod config;
pub mod dial;
pub mod dispatch;
pub mod fork;
pub mod handlers;
pub mod incidents;
#[cfg(test)]
mod layout;
pub mod lifecycle;
pub mod log;
pub mod login;
pub mod message;
pub mod operations;
pub mod props;
pub mod report;
pub mod routes;
pub mod sized;
pub mod status;
pub mod store;
pub mod transport;
