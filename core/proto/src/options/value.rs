//! Values that an option can have, and how each is written as text.

use bytes::Bytes;
use bytestring::ByteString;
use std::fmt;
use std::time::Duration;

use crate::command::Level;
use crate::wire::Version;

/// What happens to a publish that finds the backlog full.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum WhenFull {
    /// The new message is refused at the call; everything accepted stays.
    Refuse,
    /// The oldest message that was not sent yet completes with `Dropped`; the new one is accepted.
    DropOldest,
    /// The new message is accepted and completes at once with `Dropped`.
    DropNewest,
}

/// What happens to unacknowledged publishes when the server has lost the session.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LostPublishes {
    /// They are sent as new, in their order, before anything newer.
    Resend,
    /// They complete with `SessionLost`.
    Fail,
}

/// When a received message is acknowledged.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Acknowledge {
    /// The application has finished with it.
    Finished,
    /// It is durable in the store.
    Stored,
}

/// What happens to subscriptions when the server has lost the session.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LostSubscriptions {
    /// Every wanted subscription is made again before any publish.
    Restore,
    /// They are forgotten; the application subscribes again itself.
    Forget,
}

/// The oldest version of TLS that is accepted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TlsVersion {
    /// TLS 1.2.
    V12,
    /// TLS 1.3.
    V13,
}

/// Bytes that are never shown: not by [`Options::show`](crate::Options::show), not by `Debug`, not in an error.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Secret(pub Bytes);

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if self.0.is_empty() { "none" } else { "***" })
    }
}

/// A type that an option can have.
pub trait OptionValue: Sized {
    /// The name of the type, as the documentation shows it.
    const KIND: &'static str;
    /// Reads a value from text.
    fn read(text: &str) -> Option<Self>;
    /// The value as text, as [`OptionValue::read`] reads it.
    fn show(&self) -> String;
    /// The value as a number, for the range check; `None` for types without a range.
    fn number(&self) -> Option<u64>;
}

macro_rules! integer_option {
    ($($type:ty)*) => {$(
        impl OptionValue for $type {
            const KIND: &'static str = "integer";
            fn read(text: &str) -> Option<Self> { text.parse().ok() }
            fn show(&self) -> String { self.to_string() }
            fn number(&self) -> Option<u64> { u64::try_from(*self).ok() }
        }
    )*};
}
integer_option!(u16 u32 u64 usize);

impl OptionValue for bool {
    const KIND: &'static str = "boolean";
    fn read(text: &str) -> Option<Self> {
        match text {
            "true" | "1" | "yes" | "on" => Some(true),
            "false" | "0" | "no" | "off" => Some(false),
            _ => None,
        }
    }
    fn show(&self) -> String {
        self.to_string()
    }
    fn number(&self) -> Option<u64> {
        None
    }
}

impl OptionValue for Duration {
    const KIND: &'static str = "milliseconds";
    fn read(text: &str) -> Option<Self> {
        text.parse().ok().map(Duration::from_millis)
    }
    fn show(&self) -> String {
        self.as_millis().to_string()
    }
    fn number(&self) -> Option<u64> {
        u64::try_from(self.as_millis()).ok()
    }
}

impl OptionValue for ByteString {
    const KIND: &'static str = "text";
    fn read(text: &str) -> Option<Self> {
        Some(ByteString::from(text))
    }
    fn show(&self) -> String {
        self.to_string()
    }
    fn number(&self) -> Option<u64> {
        None
    }
}

impl OptionValue for Secret {
    const KIND: &'static str = "secret text";
    fn read(text: &str) -> Option<Self> {
        Some(Secret(Bytes::copy_from_slice(text.as_bytes())))
    }
    fn show(&self) -> String {
        if self.0.is_empty() {
            String::new()
        } else {
            "***".to_owned()
        }
    }
    fn number(&self) -> Option<u64> {
        None
    }
}

macro_rules! choice_option {
    ($($type:ident { $($name:literal => $variant:ident),* })*) => {$(
        impl OptionValue for $type {
            const KIND: &'static str = concat!("one of" $(, " ", $name)*);
            fn read(text: &str) -> Option<Self> {
                match text { $($name => Some($type::$variant),)* _ => None }
            }
            fn show(&self) -> String {
                match self { $($type::$variant => $name,)* }.to_string()
            }
            fn number(&self) -> Option<u64> { None }
        }
    )*};
}
choice_option! {
    Version { "4" => V4, "5" => V5 }
    WhenFull { "refuse" => Refuse, "drop_oldest" => DropOldest, "drop_newest" => DropNewest }
    LostPublishes { "resend" => Resend, "fail" => Fail }
    LostSubscriptions { "restore" => Restore, "forget" => Forget }
    Acknowledge { "finished" => Finished, "stored" => Stored }
    Level { "memory" => Memory, "stored" => Stored, "fsynced" => Fsynced }
    TlsVersion { "1.2" => V12, "1.3" => V13 }
}
