//! The wire layer against the specification, against rumqttc, and against garbage.
mod encode;
mod hex;
mod vectors;
