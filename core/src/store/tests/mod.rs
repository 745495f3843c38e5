//! What a store promises, on a disk that works and on one that does not.

mod damage;
mod faults;
mod log;
mod opening;
mod support;
