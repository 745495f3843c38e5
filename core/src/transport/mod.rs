//! The roads to a server: endpoint URLs, and how each kind of transport is dialled.
//!
//! A road is laid in this order, each part only where the endpoint or the options ask for it: SRV records, a proxy or
//! the name's addresses, TCP (or a Unix socket, or the application's dialler), TLS, WebSocket. The whole is one
//! future; the engine's connect timeout ends the attempt by dropping it. Until TCP is up the future makes more tries when
//! the engine wants them, and then waits at a gate: what lies above TCP belongs to the one way that wins.

mod dialler;
mod endpoint;
#[cfg(fuzzing)]
pub mod fuzz;
mod proxy;
mod race;
#[cfg(feature = "srv")]
mod srv;
mod stream;
mod tcp;
mod tls;
#[cfg(target_os = "linux")]
mod transit;
mod way;
mod websocket;

use std::sync::Arc;

use remqtt_proto::{Error, ErrorCode, Options};
use tokio::net::UnixStream;

pub(crate) use dialler::login;
pub use dialler::{Credentials, Dialler, Part, Target};
pub(crate) use endpoint::Endpoint;
use endpoint::Place;
use proxy::Proxy;
use race::Known;
pub(crate) use stream::Stream;
use way::Gate;
pub(crate) use way::Way;

/// What a client keeps from one connection to the next.
#[derive(Debug, Default)]
pub(crate) struct Garage {
    /// Made with the first connection that needs it.
    tls: Option<Arc<tls::Setup>>,
    /// Addresses that were good.
    known: Arc<Known>,
}

impl Garage {
    /// Everything that an attempt at this endpoint needs. The client's TLS setup stays the same until its options
    /// change, because it remembers the TLS sessions.
    pub(crate) fn road(
        &mut self,
        url: &str,
        options: &Arc<Options>,
        dialler: Option<Arc<dyn Dialler>>,
    ) -> Result<Road, Error> {
        let endpoint = Endpoint::parse(url)?;
        let ours = part(dialler.as_ref()) == Part::Headers;
        if endpoint.tls && ours && !self.tls.as_ref().is_some_and(|tls| tls.serves(options)) {
            self.tls = Some(Arc::new(tls::Setup::new(options)));
        }
        let (tls, known) = (self.tls.clone(), self.known.clone());
        Ok(Road { endpoint, options: options.clone(), tls, known, dialler })
    }
}

/// One attempt's way to the server.
#[derive(Debug)]
pub(crate) struct Road {
    endpoint: Endpoint,
    options: Arc<Options>,
    tls: Option<Arc<tls::Setup>>,
    known: Arc<Known>,
    dialler: Option<Arc<dyn Dialler>>,
}

/// Checks what can be checked of the options without any I/O.
pub(crate) fn check(options: &Options) -> Result<(), Error> {
    Proxy::parse(&options.proxy)?;
    tcp::local(options)?;
    #[cfg(feature = "srv")]
    srv::name_servers(&options.dns_servers)?;
    tls::check(options)?;
    websocket::check(options)
}

/// Connects. Takes as long as the network does: whoever has enough drops the future.
async fn dial(road: &Road, gate: &mut Gate) -> Result<Stream, Error> {
    match &road.endpoint.place {
        Place::Service(name) => by_records(road, name, gate).await,
        _ => connect(road, &road.endpoint, gate).await,
    }
}

#[cfg(feature = "srv")]
async fn by_records(road: &Road, name: &str, gate: &mut Gate) -> Result<Stream, Error> {
    let targets = srv::lookup(name, road.endpoint.tls, &road.options).await?;
    let mut last = None;
    let mut left = road.options.connect_timeout;
    for (index, (host, port)) in targets.iter().enumerate() {
        let endpoint = road.endpoint.moved(host.clone(), *port);
        // A target that is silent leaves time for those after it.
        let share = left / (targets.len() - index) as u32;
        let begin = tokio::time::Instant::now();
        match tokio::time::timeout(share, connect(road, &endpoint, gate)).await {
            Ok(Ok(stream)) => return Ok(stream),
            Ok(Err(error)) => last = Some(error),
            Err(_) => last = Some(Error::new(ErrorCode::ConnectTimeout, endpoint.address())),
        }
        left = left.saturating_sub(begin.elapsed());
    }
    Err(last.unwrap_or_else(|| Error::new(ErrorCode::ResolveFailed, format!("{name}: no SRV record"))))
}

#[cfg(not(feature = "srv"))]
async fn by_records(_: &Road, name: &str, _: &mut Gate) -> Result<Stream, Error> {
    Err(Error::new(ErrorCode::InvalidOption, format!("servers: {name:?}: built without the feature srv")))
}

async fn connect(road: &Road, endpoint: &Endpoint, gate: &mut Gate) -> Result<Stream, Error> {
    let stream = match (&road.dialler, &endpoint.place) {
        (Some(dialler), _) if dialler.part() == Part::Connection => {
            // Where its TCP ends and its TLS begins, only the dialler knows.
            gate.pass().await;
            dialler::dial(dialler.clone(), endpoint, &road.options).await?
        }
        (_, Place::Socket(path)) => {
            let connected = UnixStream::connect(path).await;
            let connected = connected.map_err(|error| failed(endpoint, &error))?;
            gate.pass().await;
            Stream::Unix(connected)
        }
        _ if endpoint.tls => encrypted(road, endpoint, over_ip(road, endpoint, gate).await?).await?,
        _ => over_ip(road, endpoint, gate).await?,
    };
    let Some(path) = &endpoint.path else { return Ok(stream) };
    let fresh = match &road.dialler {
        Some(dialler) => dialler::headers(dialler.clone(), endpoint, &road.options).await?,
        None => None,
    };
    match fresh {
        Some(ws_headers) => {
            let options = Options { ws_headers, ..(*road.options).clone() };
            websocket::connect(stream, endpoint, path, &options).await
        }
        None => websocket::connect(stream, endpoint, path, &road.options).await,
    }
}

async fn encrypted(road: &Road, endpoint: &Endpoint, stream: Stream) -> Result<Stream, Error> {
    match (&road.dialler, &road.tls) {
        (Some(dialler), _) if dialler.part() == Part::Encryption => {
            dialler::encrypt(dialler.clone(), stream, endpoint, &road.options).await
        }
        (_, Some(tls)) => tls.connect(stream, endpoint, &road.options.tls_server_name).await,
        (_, None) => Err(Error::new(ErrorCode::HandshakeFailed, "TLS was not prepared")),
    }
}

/// What the application makes of the road.
fn part(dialler: Option<&Arc<dyn Dialler>>) -> Part {
    dialler.map_or(Part::Headers, |dialler| dialler.part())
}

/// Through the proxy if there is one, else straight.
async fn over_ip(road: &Road, endpoint: &Endpoint, gate: &mut Gate) -> Result<Stream, Error> {
    let Place::Host(host, port) = &endpoint.place else { return Err(ErrorCode::InvalidOption.into()) };
    match Proxy::choose(&road.options, host)? {
        Some(proxy) => proxy.connect(host, *port, road, gate).await,
        None => Ok(Stream::Tcp(tcp::dial(host, *port, &road.options, &road.known, gate).await?)),
    }
}

fn failed(endpoint: &Endpoint, error: &std::io::Error) -> Error {
    Error::new(ErrorCode::ConnectFailed, format!("{}: {error}", endpoint.address()))
}
