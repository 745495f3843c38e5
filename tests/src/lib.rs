//! Where the languages meet: scenarios, scripted peer, simulated world and conductor.

pub mod command;
pub mod text;
