//! The remqtt client.
pub use remqtt_proto as proto;
