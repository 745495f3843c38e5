//! The wire layer against the specification, against rumqttc, and against garbage.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)] // helpers of tests, outside #[test]
mod checks;
mod copies;
mod defects;
mod encode;
mod hex;
mod mutation;
mod oracle;
mod random;
mod speed;
mod vectors;
