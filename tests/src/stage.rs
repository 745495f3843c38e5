//! Where a scenario is played: a client that takes the shim protocol, and the network between it and the peer.

use std::time::Duration;

/// What the peer's end of a connection gives.
#[derive(Debug, PartialEq, Eq)]
pub enum Read {
    /// Bytes of the client.
    Bytes(Vec<u8>),
    /// The client closed the connection.
    Closed,
    /// Nothing came in time.
    Nothing,
}

/// An error that ends the play: the stage itself failed, or an invariant was broken.
pub type Outcome<T> = Result<T, String>;

/// A stage. Waiting is virtual in the simulator and real on a network, where `within` is only an upper bound.
pub trait Stage {
    /// A line of the shim protocol for the client.
    fn command(&mut self, line: &str) -> Outcome<()>;
    /// The next event of the client, in canonical text.
    fn event(&mut self, within: Duration) -> Outcome<Option<String>>;
    /// Waits until the client has made a connection after the present one, and turns to that.
    fn link(&mut self, within: Duration) -> Outcome<bool>;
    /// Sends bytes to the client. False: it has hung up, nobody hears them. On a real network nobody knows.
    fn send(&mut self, bytes: &[u8]) -> Outcome<bool>;
    /// Takes what the client sent.
    fn read(&mut self, within: Duration) -> Outcome<Read>;
    /// Takes what the client gave to the connection and the peer has not read, without asking for more: what a cut
    /// swallows. Nothing on a real network, where nobody knows.
    fn unread(&mut self) -> Vec<u8>;
    /// Ends the connection: orderly, or by a reset.
    fn cut(&mut self, orderly: bool) -> Outcome<()>;
    /// Refuses connections from now on, or accepts them again.
    fn refuse(&mut self, refuse: bool) -> Outcome<()>;
    /// Takes no bytes from the client from now on, or takes them again.
    fn stall(&mut self, stall: bool) -> Outcome<()>;
    /// Leaves connection attempts without any answer from now on.
    fn ignore(&mut self) -> Outcome<()>;
    /// Kills the client's process.
    fn kill(&mut self) -> Outcome<()>;
    /// If the process has died since this was asked last: the names of the publishes that the next process will go on
    /// with, as far as that can be known. The process begins with the next command.
    fn reborn(&mut self) -> Outcome<Option<Vec<String>>>;
    /// Lets time pass. Nothing on a real network.
    fn advance(&mut self, time: Duration) -> Outcome<()>;
    /// The first invariant that this stage itself saw broken, whether or not somebody listened to the error.
    fn verdict(&self) -> Outcome<()> {
        Ok(())
    }
    /// True where time is real.
    fn is_real(&self) -> bool;
    /// How much longer than it says a step may take.
    fn margin(&self) -> Duration {
        Duration::ZERO
    }
}
