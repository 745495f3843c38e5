//! Errors: what happened, who caused it, and what happens next. One table; C and Python are made from it.

use std::fmt;

/// Who caused an error.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Who {
    /// The application: an argument, an option, or the moment of the call.
    You,
    /// This library.
    Us,
    /// The server, or whatever answered in its place.
    Peer,
    /// What lies between.
    Network,
}

/// What happens next, or what the caller can do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Next {
    /// The client tries again by itself, the first time at once, then with backoff.
    Retry,
    /// The client tries again by itself, but slowly: the cause is unlikely to go away without somebody's help.
    RetrySlowly,
    /// Trying the same call again later may succeed.
    CallAgain,
    /// Trying the same again cannot succeed.
    Never,
}

macro_rules! errors {
    ($($(#[$doc:meta])* $number:literal $name:ident $who:ident $next:ident $text:literal;)*) => {
        /// What happened. The numbers are frozen: they are the C ABI's status codes.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
        #[repr(i32)]
        pub enum ErrorCode { $($(#[$doc])* $name = $number,)* }

        impl ErrorCode {
            /// Every error, in the order of the table.
            pub const TABLE: &'static [ErrorCode] = &[$(ErrorCode::$name),*];

            /// The name, as in `QueueFull`.
            pub fn name(self) -> &'static str {
                match self { $(ErrorCode::$name => stringify!($name),)* }
            }

            /// Who caused it.
            pub fn who(self) -> Who {
                match self { $(ErrorCode::$name => Who::$who,)* }
            }

            /// What happens next.
            pub fn next(self) -> Next {
                match self { $(ErrorCode::$name => Next::$next,)* }
            }

            /// What happened, in words.
            pub fn text(self) -> &'static str {
                match self { $(ErrorCode::$name => $text,)* }
            }

            /// The error with this number.
            pub fn from_i32(number: i32) -> Option<ErrorCode> {
                match number { $($number => Some(ErrorCode::$name),)* _ => None }
            }
        }
    };
}

errors! {
    /// A parameter is out of its range or of the wrong form.
    -1 InvalidArgument You Never "invalid argument";
    /// An option is unknown, or its value is out of range.
    -2 InvalidOption You Never "invalid option";
    /// A topic name to publish to is empty, too long, has a wildcard or U+0000.
    -3 InvalidTopic You Never "invalid topic name";
    /// A topic filter breaks the rules of MQTT 4.7.
    -4 InvalidFilter You Never "invalid topic filter";
    /// A QoS other than 0, 1 and 2.
    -5 InvalidQoS You Never "QoS must be 0, 1 or 2";
    /// The packet is larger than the protocol or the server accepts.
    -6 PacketTooLarge You Never "packet is larger than the protocol or the server accepts";
    /// The server of this connection does not offer it: its maximum QoS, retain, wildcards, shared subscriptions or subscription identifiers.
    -7 NotSupported You Never "the server does not support it";
    /// The backlog is full and its policy is to refuse.
    -8 QueueFull You CallAgain "the queue of outgoing messages is full";
    /// An accepted message was dropped by the backlog's policy when it overflowed.
    -9 Dropped You CallAgain "dropped from the full queue, as its policy asks";
    /// The message expired before it could be sent.
    -10 Expired You Never "the message expired before it could be sent";
    /// The server lost the session, and the policy is to fail what was in flight.
    -11 SessionLost Peer CallAgain "the server lost the session; the outcome is unknown";
    /// The client was closed before the operation was complete.
    -12 Closed You Never "the client is closed";
    /// The client is stopped and the operation needs a connection.
    -13 NotConnected You CallAgain "not connected";
    /// A wait ended before what it waited for; the operation goes on.
    -14 Timeout You CallAgain "not complete within the given time";
    /// A blocking call inside a callback would wait for itself.
    -15 Deadlock You Never "a blocking call inside a callback would wait for itself";
    /// The process forked; the client belongs to the parent.
    -16 Forked You Never "the client belongs to the parent process";
    /// A defect of this library was caught at its border; please report it.
    -17 Panic Us Never "internal error";
    /// The operating system refused a resource: threads, descriptors, memory.
    -18 Resource Us CallAgain "the operating system refused a resource";
    /// The server refused user name or password.
    -20 BadCredentials Peer RetrySlowly "the server refused the credentials";
    /// The server refused the client identifier.
    -21 BadClientIdentifier Peer RetrySlowly "the server refused the client identifier";
    /// The server does not speak this protocol version.
    -22 UnsupportedVersion Peer RetrySlowly "the server does not speak this protocol version";
    /// The server refused the connection for another reason that will last.
    -23 ConnectionRefused Peer RetrySlowly "the server refused the connection";
    /// The server is unavailable or busy.
    -24 ServerBusy Peer Retry "the server is unavailable or busy";
    /// A certificate was refused: the server's by us, or ours by the server.
    -25 CertificateRefused Peer RetrySlowly "the certificate was refused";
    /// A proxy refused to connect, or its user name or password.
    -26 ProxyRefused Peer RetrySlowly "the proxy refused";
    /// The handshake of TLS, WebSocket or a proxy failed.
    -27 HandshakeFailed Peer Retry "the handshake failed";
    /// The application did not answer the server's AUTH, or could not.
    -28 AuthenticationFailed You Retry "the application gave the authentication up";
    /// The host name does not resolve.
    -30 ResolveFailed Network Retry "the host name does not resolve";
    /// No connection could be made: refused port, no route.
    -31 ConnectFailed Network Retry "could not connect";
    /// The attempt was not complete, up to the CONNACK, within `connect_timeout`.
    -32 ConnectTimeout Network Retry "no answer within the connect timeout";
    /// The connection was reset or closed.
    -33 ConnectionLost Network Retry "the connection was lost";
    /// The server went silent: no PINGRESP within `ping_timeout`.
    -34 KeepAliveTimeout Network Retry "the server went silent";
    /// The server broke the protocol.
    -40 ProtocolError Peer Retry "the server broke the protocol";
    /// The server closed the connection with a DISCONNECT.
    -41 ServerDisconnected Peer Retry "the server ended the connection";
    /// Another client took the session over by using the same client identifier.
    -42 SessionTakenOver Peer RetrySlowly "another client uses the same client identifier";
    /// The server answered a publish, subscribe or unsubscribe with a failure.
    -43 Rejected Peer Never "the server rejected the request";
    /// The publish stood at the end of `quarantine_after` connections in a row and was taken out, so that the others can pass.
    -44 Quarantined Peer Never "given up: one connection after the other ended with it";
    /// The store cannot be written: full, read-only, an error of the disk. It is tried again until it can.
    -50 StoreFailed Us CallAgain "the store cannot be written";
    /// Another process, or another client of this one, uses the store.
    -51 StoreLocked You CallAgain "the store is in use";
    /// Part of the store could not be read. What could be counts; the damaged file was set aside.
    -52 StoreDamaged Us Never "the store was damaged";
}

/// An error: a code of the table, the server's reason code where there is one, and words for this case.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Error {
    /// What happened.
    pub code: ErrorCode,
    /// The reason code of the packet that carried the news (MQTT 3.1.1: the CONNACK return code).
    pub reason_code: Option<u8>,
    /// What is special about this case; may be empty.
    pub detail: Box<str>,
}

impl Error {
    /// An error with words of its own.
    pub fn new(code: ErrorCode, detail: impl Into<Box<str>>) -> Self {
        Error { code, reason_code: None, detail: detail.into() }
    }

    /// An error that a packet of the server carried.
    pub fn from_peer(code: ErrorCode, reason_code: u8, detail: impl Into<Box<str>>) -> Self {
        Error { code, reason_code: Some(reason_code), detail: detail.into() }
    }

    /// Who caused it.
    pub fn who(&self) -> Who {
        self.code.who()
    }

    /// What happens next.
    pub fn next(&self) -> Next {
        self.code.next()
    }
}

impl From<ErrorCode> for Error {
    fn from(code: ErrorCode) -> Self {
        Error::new(code, "")
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.code.text())?;
        if !self.detail.is_empty() {
            write!(f, ": {}", self.detail)?;
        }
        match self.reason_code {
            Some(code) => write!(f, " (reason code 0x{code:02X})"),
            None => Ok(()),
        }
    }
}

impl std::error::Error for Error {}
