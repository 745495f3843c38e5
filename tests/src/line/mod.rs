//! The peer's end of a connection over each transport: bytes of MQTT in and out, and the TCP socket below them.
//!
//! What a script does to a connection means the same on each: a reset is one of the TCP socket, an end in order is
//! the end of every layer, and a peer that stalls reads nothing from the socket. On purpose packets do not lie in
//! records and frames as a polite server would put them: `tls.rs` and `ws.rs` split and join them.

mod tls;
mod ws;

use std::fmt::Debug;
use std::io::{ErrorKind, Read as _, Write as _};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::time::Duration;

use crate::stage::{Outcome, Read};

/// Upper bound for whatever must happen at once: only a hang reaches it.
pub(crate) const SAFETY: Duration = Duration::from_secs(15);

/// How the client reaches the peer.
#[derive(Debug)]
pub enum Transport {
    /// Plain.
    Tcp,
    /// TLS, with a certificate made for this run.
    Tls(tls::Server),
    /// WebSocket.
    Ws,
}

impl Transport {
    /// Every transport.
    pub fn all() -> Outcome<[Transport; 3]> {
        Ok([Transport::Tcp, Transport::Tls(tls::Server::new()?), Transport::Ws])
    }

    /// Its name in the scenario files.
    pub fn name(&self) -> &'static str {
        match self {
            Transport::Tcp => "tcp",
            Transport::Tls(_) => "tls",
            Transport::Ws => "ws",
        }
    }

    /// What the client has to know, in lines of the shim protocol.
    pub(crate) fn settings(&self, peer: SocketAddr) -> Vec<String> {
        match self {
            Transport::Tcp => vec![format!("server mqtt://{peer}")],
            Transport::Tls(server) => {
                vec![format!("option tls_ca_file {}", server.authority()), format!("server mqtts://{peer}")]
            }
            Transport::Ws => vec![format!("server ws://{peer}/mqtt")],
        }
    }

    /// Turns an accepted socket into a line. A client that leaves during the handshake has closed it.
    pub(crate) fn accept(&self, stream: TcpStream) -> Outcome<Box<dyn Line>> {
        stream.set_nodelay(true).map_err(|error| error.to_string())?;
        wait_for(&stream, SAFETY)?;
        Ok(match self {
            Transport::Tcp => Box::new(stream),
            Transport::Tls(server) => Box::new(server.accept(stream)?),
            Transport::Ws => ws::accept(stream)?,
        })
    }
}

/// One connection.
pub(crate) trait Line: Debug {
    /// Sends bytes, at the latest with the next `flush`. A client that has hung up is seen by the next read.
    fn send(&mut self, bytes: &[u8]);
    /// Sends what `send` still holds.
    fn flush(&mut self);
    /// Takes what the client sent.
    fn read(&mut self, within: Duration) -> Outcome<Read>;
    /// Says in the transport's own way, if it has one, that nothing more will be sent.
    fn finish(&mut self);
    /// The socket below.
    fn socket(&self) -> &TcpStream;
}

/// Ends the connection with a reset.
pub(crate) fn reset(line: Box<dyn Line>) -> Outcome<()> {
    socket2::SockRef::from(line.socket()).set_linger(Some(Duration::ZERO)).map_err(|error| error.to_string())
}

/// Ends the connection in order, and waits for the client to do the same.
pub(crate) fn end(mut line: Box<dyn Line>) -> Outcome<()> {
    line.finish();
    let mut socket = line.socket();
    let _ = socket.shutdown(Shutdown::Write); // fails when the client has left already
    wait_for(socket, SAFETY)?;
    let mut rest = [0; 4096];
    loop {
        match socket.read(&mut rest) {
            Ok(0) => return Ok(()),
            Ok(_) => {}
            Err(error) if is_timeout(&error) => return Err("the client ignores the end of the stream".into()),
            Err(_) => return Ok(()),
        }
    }
}

impl Line for TcpStream {
    fn send(&mut self, bytes: &[u8]) {
        let _ = self.write_all(bytes);
    }

    fn flush(&mut self) {}

    fn read(&mut self, within: Duration) -> Outcome<Read> {
        wait_for(self, within)?;
        let mut buffer = vec![0; 64 * 1024];
        match std::io::Read::read(self, &mut buffer) {
            Ok(0) => Ok(Read::Closed),
            Ok(length) => {
                buffer.truncate(length);
                Ok(Read::Bytes(buffer))
            }
            Err(error) if is_timeout(&error) => Ok(Read::Nothing),
            Err(_) => Ok(Read::Closed),
        }
    }

    fn finish(&mut self) {}

    fn socket(&self) -> &TcpStream {
        self
    }
}

/// Whether the client ends the connection without a byte, as it does with a second way that it does not need: where
/// the machine is slow, it opens one. Waits for what becomes of it, since in every transport the client speaks first.
pub(crate) fn is_given_up(stream: &TcpStream, within: Duration) -> Outcome<bool> {
    wait_for(stream, within)?;
    match stream.peek(&mut [0]) {
        Ok(length) => Ok(length == 0),
        Err(error) => Ok(!is_timeout(&error)),
    }
}

/// Sets how long a read may wait.
fn wait_for(stream: &TcpStream, within: Duration) -> Outcome<()> {
    // No timeout at all is spelled as non-blocking.
    let limit = (!within.is_zero()).then_some(within);
    stream
        .set_nonblocking(limit.is_none())
        .and_then(|()| limit.map_or(Ok(()), |limit| stream.set_read_timeout(Some(limit))))
        .map_err(|error| error.to_string())
}

pub(crate) fn is_timeout(error: &std::io::Error) -> bool {
    matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut | ErrorKind::Interrupted)
}
