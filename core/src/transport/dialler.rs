//! Connections that the application makes: for a TLS stack, a tunnel or a device that this library does not know.

use std::fmt::Debug;
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream as Socket;
use std::sync::Arc;
use std::time::Duration;

use remqtt_proto::{Error, ErrorCode, Options};
use tokio::net::UnixStream;

use super::endpoint::{Endpoint, Place};
use super::Stream;

/// Makes connections in place of this library's sockets, proxies and TLS.
pub trait Dialler: Debug + Send + Sync {
    /// Returns a connected stream socket (of any family; one end of a socket pair is fine) whose bytes are MQTT, or
    /// WebSocket where the URL says so: with `target.tls` the dialler has to encrypt. Called on a thread that may
    /// block, one call per attempt. An attempt that is over earlier, for example at its timeout, closes what comes
    /// late. The code of an error decides about the next attempt: `ConnectFailed` for what may pass by itself,
    /// `CertificateRefused` for what needs somebody's help.
    fn dial(&self, target: &Target) -> Result<OwnedFd, Error>;
}

/// Where a dialler shall connect to.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Target {
    /// Host name or address, or the path of a Unix socket.
    pub host: String,
    /// Port; 0 for a Unix socket.
    pub port: u16,
    /// The URL asks for TLS.
    pub tls: bool,
    /// How long the whole attempt may take.
    pub timeout: Duration,
}

pub(super) async fn dial(
    dialler: Arc<dyn Dialler>,
    endpoint: &Endpoint,
    options: &Options,
) -> Result<Stream, Error> {
    let (host, port) = match &endpoint.place {
        Place::Host(host, port) => (host.clone(), *port),
        Place::Service(name) => (name.clone(), 0),
        Place::Socket(path) => (path.display().to_string(), 0),
    };
    let target = Target { host, port, tls: endpoint.tls, timeout: options.connect_timeout };
    let dialled = tokio::task::spawn_blocking(move || dialler.dial(&target)).await;
    let descriptor =
        dialled.map_err(|_| Error::new(ErrorCode::Panic, "the application's dialler panicked"))??;
    let socket = Socket::from(descriptor);
    let stream = socket.set_nonblocking(true).and_then(|()| UnixStream::from_std(socket));
    stream.map(Stream::Unix).map_err(|error| super::failed(endpoint, &error))
}
