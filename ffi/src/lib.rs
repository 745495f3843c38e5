//! The C ABI of remqtt.
