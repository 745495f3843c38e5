//! Where the languages meet: scenarios, scripted peer, simulated world and conductor.

pub mod bytes;
pub mod command;
pub mod conductor;
pub mod disk;
mod expect;
pub mod model;
pub mod op;
pub mod play;
pub mod random;
pub mod script;
mod serve;
pub mod show;
pub mod stage;
pub mod text;
pub mod world;
