//! The pure MQTT session engine of remqtt.
pub mod wire;
