//! A raw MQTT client over one TCP connection: it says what it is told to say and hides nothing.

use std::collections::VecDeque;
use std::io;
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;

use crate::packet::{self, kind, Frame, Framer};

pub(crate) struct Raw {
    stream: TcpStream,
    framer: Framer,
    ready: VecDeque<Frame>,
}

impl Raw {
    /// Connects and waits for CONNACK; true when the broker has kept the session.
    pub(crate) async fn connect(address: &str, client_id: &str, clean: bool) -> io::Result<(Self, bool)> {
        let stream = TcpStream::connect(address).await?;
        stream.set_nodelay(true)?;
        let mut raw = Self { stream, framer: Framer::default(), ready: VecDeque::new() };
        raw.send(&packet::connect(client_id, clean)).await?;
        let connack = raw.expect(kind::CONNACK).await?;
        match connack.body[..] {
            [present, 0, ..] => Ok((raw, present & 1 == 1)),
            _ => Err(io::Error::other("the broker refused a raw client")),
        }
    }

    pub(crate) async fn send(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.stream.write_all(bytes).await
    }

    /// The next packet, or None when the broker stays silent for `patience`.
    pub(crate) async fn next(&mut self, patience: Duration) -> io::Result<Option<Frame>> {
        let mut buffer = [0; 16 * 1024];
        while self.ready.is_empty() {
            match timeout(patience, self.stream.read(&mut buffer)).await {
                Err(_) => return Ok(None),
                Ok(Ok(0)) => return Err(io::ErrorKind::UnexpectedEof.into()),
                Ok(read) => self.framer.push(&buffer[..read?]),
            }
            self.ready.extend(self.framer.frames());
        }
        Ok(self.ready.pop_front())
    }

    /// Skips to the next packet of `kind`.
    pub(crate) async fn expect(&mut self, kind: u8) -> io::Result<Frame> {
        loop {
            match self.next(Duration::from_secs(5)).await? {
                Some(frame) if frame.kind() == kind => return Ok(frame),
                Some(_) => {}
                None => return Err(io::Error::other(format!("the broker did not send packet type {kind}"))),
            }
        }
    }

    /// Closes with RST: what was not read or sent yet is gone.
    pub(crate) fn reset(self) -> io::Result<()> {
        socket2::SockRef::from(&self.stream).set_linger(Some(Duration::ZERO))
    }

    pub(crate) fn split(self) -> TcpStream {
        self.stream
    }
}
