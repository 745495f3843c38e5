//! What is wrong with a packet: theirs ([`Violation`]) or ours ([`Unsendable`]).

use std::fmt;

/// Why bytes from the peer are refused. The peer is to blame, the link is dropped, the MQTT 5 reason code says why.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Violation {
    /// 0x81 malformed packet, 0x82 protocol error, 0x95 packet too large, ...
    pub reason_code: u8,
    /// The rule that was broken, in words.
    pub text: &'static str,
}

impl Violation {
    /// The bytes cannot be parsed as the specification says.
    pub(crate) const fn malformed(text: &'static str) -> Self {
        Violation { reason_code: 0x81, text }
    }

    /// The bytes can be parsed, but the protocol forbids what they say.
    pub(super) const fn protocol(text: &'static str) -> Self {
        Violation { reason_code: 0x82, text }
    }
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} (reason code 0x{:02X})", self.text, self.reason_code)
    }
}

/// Why a packet of ours is not sent. The caller is to blame and the link is unharmed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Unsendable {
    /// Larger than the protocol or the given maximum allows: the packet's size and that maximum.
    TooLarge(usize, u32),
    /// A field breaks the protocol: which, in words.
    Invalid(&'static str),
}

impl From<&'static str> for Unsendable {
    fn from(text: &'static str) -> Self {
        Unsendable::Invalid(text)
    }
}
