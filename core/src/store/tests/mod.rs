//! What a store promises, on a disk that works and on one that does not.

mod opening;
mod support;
