//! The engine against exact bytes on a clock of the test's own. The scenarios in tests/ play whole stories over all
//! languages; here is what they cannot reach, and what must never come back.

mod auth;
mod bench;
mod cost;
mod dropin;
mod endings;
mod flight;
mod journal;
mod late;
mod levels;
mod links;
mod liveness;
mod poison;
mod racing;
mod random;
mod requests;
mod server;
mod steps;
mod takeover;
