//! A connection as the driver polls it: a socket, or layers upon one.
//!
//! Plain TCP costs one comparison. The layers are boxed, so that they cost nothing to clients without them.

use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::{Buf, BytesMut};
use remqtt_proto::{Error, ErrorCode, Transit};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, ReadBuf};
use tokio::net::{TcpStream, UnixStream};

use super::tls::{self, Tls};
use super::websocket::WebSocket;

#[derive(Debug)]
pub(crate) enum Stream {
    Tcp(TcpStream),
    Unix(UnixStream),
    Tls(Box<Tls>),
    WebSocket(Box<WebSocket>),
}

impl Stream {
    /// Lets TCP acknowledge what was read at once, whatever lies above it.
    pub(crate) fn acknowledge_bytes(&self) {
        match self {
            // Where the system has no such option, only time is lost.
            Stream::Tcp(socket) => drop(socket.set_quickack(true)),
            Stream::Unix(_) => {}
            Stream::Tls(tls) => tls.stream.get_ref().0.acknowledge_bytes(),
            Stream::WebSocket(stream) => stream.below().acknowledge_bytes(),
        }
    }

    /// What TCP knows of the bytes on their way, where the system tells.
    pub(crate) fn transit(&self) -> Option<Transit> {
        match self {
            #[cfg(target_os = "linux")]
            Stream::Tcp(socket) => super::transit::look(socket.local_addr().ok()?, socket.peer_addr().ok()?),
            Stream::Tls(tls) => tls.stream.get_ref().0.transit(),
            Stream::WebSocket(stream) => stream.below().transit(),
            _ => None,
        }
    }

    /// Another descriptor of the socket that lies below everything.
    pub(crate) fn duplicate(&self) -> Option<OwnedFd> {
        match self {
            Stream::Tcp(socket) => socket.as_fd().try_clone_to_owned().ok(),
            Stream::Unix(socket) => socket.as_fd().try_clone_to_owned().ok(),
            Stream::Tls(tls) => tls.stream.get_ref().0.duplicate(),
            Stream::WebSocket(stream) => stream.below().duplicate(),
        }
    }

    /// Writes everything, and through all layers.
    pub(crate) fn poll_write_all(
        &mut self,
        cx: &mut Context<'_>,
        bytes: &mut BytesMut,
    ) -> Poll<io::Result<()>> {
        while !bytes.is_empty() {
            match Pin::new(&mut *self).poll_write(cx, bytes) {
                Poll::Pending => return Poll::Pending,
                Poll::Ready(Ok(0)) => return Poll::Ready(Err(io::ErrorKind::WriteZero.into())),
                Poll::Ready(Ok(sent)) => bytes.advance(sent),
                Poll::Ready(Err(error)) => return Poll::Ready(Err(error)),
            }
        }
        Pin::new(self).poll_flush(cx)
    }

    /// Sends the rest and the end of the stream, then reads to the other side's end: closing a socket that has unread
    /// bytes resets the connection, and the reset can overtake our last packet.
    pub(crate) async fn end(mut self, rest: BytesMut) -> io::Result<()> {
        self.write_all(&rest).await?;
        self.shutdown().await?;
        let mut ignored = [0; 1_024];
        while self.read(&mut ignored).await? > 0 {}
        Ok(())
    }

    /// What the end of this connection means: a layer above TCP may know better.
    pub(crate) fn lost(&self, error: &io::Error) -> Error {
        match self {
            Stream::Tls(tls) => match tls::refusal_of_ours(error) {
                Some(why) => Error::new(ErrorCode::CertificateRefused, format!("{}: {why}", tls.address)),
                // rustls explains at length that nobody can know whether something was cut off; MQTT can.
                None if error.kind() == io::ErrorKind::UnexpectedEof => {
                    Error::new(ErrorCode::ConnectionLost, "closed by the server, without a goodbye of TLS")
                }
                None => Error::new(ErrorCode::ConnectionLost, error.to_string()),
            },
            Stream::WebSocket(stream) => stream.below().lost(error),
            _ => Error::new(ErrorCode::ConnectionLost, error.to_string()),
        }
    }
}

/// Calls a method of the innermost type; the layers are `Unpin`.
macro_rules! delegate {
    ($stream:expr, $method:ident($($argument:expr),*)) => {
        match $stream.get_mut() {
            Stream::Tcp(inner) => Pin::new(inner).$method($($argument),*),
            Stream::Unix(inner) => Pin::new(inner).$method($($argument),*),
            Stream::Tls(inner) => Pin::new(&mut inner.stream).$method($($argument),*),
            Stream::WebSocket(inner) => Pin::new(inner).$method($($argument),*),
        }
    };
}

impl AsyncRead for Stream {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        delegate!(self, poll_read(cx, buffer))
    }
}

impl AsyncWrite for Stream {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        delegate!(self, poll_write(cx, bytes))
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        delegate!(self, poll_flush(cx))
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        delegate!(self, poll_shutdown(cx))
    }
}
