//! Where the languages meet: scenarios, scripted peer, simulated world and conductor.

pub mod bytes;
pub mod command;
#[path = "../../core/tests/common/mod.rs"]
#[allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)] // what tests are made of
mod common;
pub mod conductor;
pub mod disk;
mod expect;
pub mod line;
pub mod model;
pub mod op;
pub mod play;
pub mod random;
pub mod roads;
pub mod script;
mod serve;
pub mod shim;
pub mod show;
pub mod stage;
pub mod story;
pub mod text;
pub mod world;
