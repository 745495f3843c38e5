//! Connections that the application makes: for a TLS stack, a tunnel or a device that this library does not know.

use std::fmt::Debug;
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream as Socket;
use std::sync::Arc;
use std::time::Duration;

use remqtt_proto::{Error, ErrorCode, Login, Options};
use tokio::net::UnixStream;

use super::endpoint::{Endpoint, Place};
use super::Stream;

/// What a dialler makes of the road to a server; the rest is made by this library.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Part {
    /// The whole connection below WebSocket, by `dial`.
    Connection,
    /// TLS upon a connection of this library, by `encrypt`.
    Encryption,
    /// Nothing but what `headers` gives.
    Headers,
}

/// Makes connections in place of this library's sockets, proxies and TLS.
pub trait Dialler: Debug + Send + Sync {
    /// Which part of the road it makes.
    fn part(&self) -> Part {
        Part::Connection
    }

    /// Returns a connected stream socket (of any family; one end of a socket pair is fine) whose bytes are MQTT, or
    /// WebSocket where the URL says so: with `target.tls` the dialler has to encrypt. Called on a thread that may
    /// block, for each way to the server: where one is not answered, again beside it. An attempt that is over earlier,
    /// for example at its timeout, closes what comes late. The code of an error decides about the next attempt:
    /// `ConnectFailed` for what may pass by itself, `CertificateRefused` for what needs somebody's help.
    fn dial(&self, target: &Target) -> Result<OwnedFd, Error>;

    /// Returns a stream socket as `dial` does, whose bytes travel encrypted on `connection`: a TCP connection to the
    /// target, perhaps through a proxy. Called in place of `dial` if the part is [`Part::Encryption`], and only for
    /// URLs that ask for TLS; under the same conditions.
    fn encrypt(&self, connection: OwnedFd, target: &Target) -> Result<OwnedFd, Error> {
        let _ = (connection, target);
        Err(Error::new(ErrorCode::HandshakeFailed, "the application's dialler does not encrypt"))
    }

    /// Headers for this one WebSocket handshake in place of `ws_headers`, which stay where it gives `None`.
    fn headers(&self, target: &Target) -> Result<Option<Vec<(String, String)>>, Error> {
        let _ = target;
        Ok(None)
    }
}

/// Says who the client of each attempt is, in place of the options: for passwords that expire, and for methods of
/// authentication whose first message is another one each time.
pub trait Credentials: Debug + Send + Sync {
    /// Called before the CONNECT of each attempt, while the way to the server is opened, on a thread that may block. The
    /// attempt waits for it, up to its timeout, which is `within`, and fails if it fails.
    fn credentials(&self, within: Duration) -> Result<Login, Error>;
}

/// Asks for the credentials of an attempt.
pub(crate) async fn login(credentials: Arc<dyn Credentials>, within: Duration) -> Result<Login, Error> {
    apart(move || credentials.credentials(within)).await
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
    let target = target(endpoint, options);
    let descriptor = apart(move || dialler.dial(&target)).await?;
    stream(descriptor).map_err(|error| super::failed(endpoint, &error))
}

/// Lets the dialler make TLS upon our connection.
pub(super) async fn encrypt(
    dialler: Arc<dyn Dialler>,
    connection: Stream,
    endpoint: &Endpoint,
    options: &Options,
) -> Result<Stream, Error> {
    let target = target(endpoint, options);
    let connection: io::Result<OwnedFd> = match connection {
        Stream::Tcp(socket) => socket.into_std().map(OwnedFd::from),
        Stream::Unix(socket) => socket.into_std().map(OwnedFd::from),
        Stream::Tls(_) | Stream::WebSocket(_) => Err(io::ErrorKind::Unsupported.into()),
    };
    let connection = connection.map_err(|error| super::failed(endpoint, &error))?;
    let descriptor = apart(move || dialler.encrypt(connection, &target)).await?;
    stream(descriptor).map_err(|error| super::failed(endpoint, &error))
}

/// The headers of the coming handshake.
pub(super) async fn headers(
    dialler: Arc<dyn Dialler>,
    endpoint: &Endpoint,
    options: &Options,
) -> Result<Option<Vec<(String, String)>>, Error> {
    let target = target(endpoint, options);
    apart(move || dialler.headers(&target)).await
}

fn target(endpoint: &Endpoint, options: &Options) -> Target {
    let (host, port) = match &endpoint.place {
        Place::Host(host, port) => (host.clone(), *port),
        Place::Service(name) => (name.clone(), 0),
        Place::Socket(path) => (path.display().to_string(), 0),
    };
    Target { host, port, tls: endpoint.tls, timeout: options.connect_timeout }
}

/// Calls the application where it may block.
async fn apart<T: Send + 'static>(
    call: impl FnOnce() -> Result<T, Error> + Send + 'static,
) -> Result<T, Error> {
    let called = tokio::task::spawn_blocking(call).await;
    called.map_err(|_| Error::new(ErrorCode::Panic, "the application's function panicked"))?
}

fn stream(descriptor: OwnedFd) -> io::Result<Stream> {
    let socket = Socket::from(descriptor);
    socket.set_nonblocking(true)?;
    UnixStream::from_std(socket).map(Stream::Unix)
}
