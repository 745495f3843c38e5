//! Why the engine wants to be called again.

/// The reason of a wake-up; [`Engine::poll_timeout`](crate::Engine::poll_timeout) gives it with its time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Timer {
    /// The next connection attempt starts.
    Reconnect,
    /// The current attempt, up to the CONNACK, takes too long; or a re-authentication does, or the farewell.
    ConnectTimeout,
    /// Nothing was sent or nothing received for too long: PINGREQ.
    KeepAlive,
    /// Nobody has answered: another try.
    TryAgain,
    /// The answer to CONNECT, or the handshake before it, takes long: another way.
    Greeting,
    /// The PINGREQ stays unanswered, and the link becomes suspect.
    Suspect,
    /// It is time to look at what TCP knows.
    Look,
    /// The PINGREQ stays unanswered.
    PingTimeout,
    /// The connection has lasted long enough to count as stable.
    Stable,
    /// The publish that may be what ends connections is sent.
    Release,
    /// A queued message expires.
    Expiry,
}
