//! A connection as the driver polls it: a socket, or layers upon one.
//!
//! Plain TCP costs one comparison. The layers are boxed, so that they cost nothing to clients without them.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};

use remqtt_proto::{Error, ErrorCode};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpStream, UnixStream};
use tokio_rustls::client::TlsStream;

use super::{tls, websocket::WebSocket};

#[derive(Debug)]
pub(crate) enum Stream {
    Tcp(TcpStream),
    Unix(UnixStream),
    Tls(Box<TlsStream<Stream>>),
    WebSocket(Box<WebSocket>),
}

impl Stream {
    /// Lets TCP acknowledge what was read at once, whatever lies above it.
    pub(crate) fn acknowledge_bytes(&self) {
        match self {
            // Where the system has no such option, only time is lost.
            Stream::Tcp(socket) => drop(socket.set_quickack(true)),
            Stream::Unix(_) => {}
            Stream::Tls(stream) => stream.get_ref().0.acknowledge_bytes(),
            Stream::WebSocket(stream) => stream.below().acknowledge_bytes(),
        }
    }
}

/// What the end of a connection means, where a layer above TCP knows better.
pub(crate) fn lost(error: &io::Error) -> Error {
    match tls::refusal_of_ours(error) {
        Some(why) => Error::new(ErrorCode::CertificateRefused, why),
        None => Error::new(ErrorCode::ConnectionLost, error.to_string()),
    }
}

/// Calls a method of the innermost type; the layers are `Unpin`.
macro_rules! delegate {
    ($stream:expr, $method:ident($($argument:expr),*)) => {
        match $stream.get_mut() {
            Stream::Tcp(inner) => Pin::new(inner).$method($($argument),*),
            Stream::Unix(inner) => Pin::new(inner).$method($($argument),*),
            Stream::Tls(inner) => Pin::new(inner).$method($($argument),*),
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
