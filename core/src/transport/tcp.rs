//! TCP: resolve, try the addresses of both families in turn with a short stagger, keep the first that answers.

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use remqtt_proto::{Error, ErrorCode};
use tokio::net::{lookup_host, TcpStream};
use tokio::task::JoinSet;

use super::Endpoint;

/// How long an address is tried alone before the next one is tried beside it (RFC 8305, section 5).
const STAGGER: Duration = Duration::from_millis(250);

/// Connects to the endpoint. Takes as long as the network does: the engine's connect timeout ends it.
pub(crate) async fn dial(endpoint: Endpoint) -> Result<TcpStream, Error> {
    let addresses = resolve(&endpoint).await?;
    let connected = match addresses[..] {
        [address] => TcpStream::connect(address).await,
        _ => race(addresses).await,
    };
    let stream = connected.and_then(|stream| stream.set_nodelay(true).map(|()| stream));
    stream.map_err(|error| Error::new(ErrorCode::ConnectFailed, format!("{}: {error}", endpoint.address())))
}

/// The addresses of the host, at least one.
async fn resolve(endpoint: &Endpoint) -> Result<Vec<SocketAddr>, Error> {
    if let Ok(address) = endpoint.host.parse::<IpAddr>() {
        return Ok(vec![SocketAddr::new(address, endpoint.port)]);
    }
    let failed = |why: String| Error::new(ErrorCode::ResolveFailed, format!("{}: {why}", endpoint.host));
    let found = lookup_host((endpoint.host.as_str(), endpoint.port)).await;
    let addresses = interleaved(found.map_err(|error| failed(error.to_string()))?);
    match addresses.is_empty() {
        true => Err(failed("the name has no address".to_owned())),
        false => Ok(addresses),
    }
}

/// The resolver's order, which knows the host's preferences, but with the families taking turns: a family that is
/// broken as a whole costs one stagger.
fn interleaved(found: impl Iterator<Item = SocketAddr>) -> Vec<SocketAddr> {
    let mut first = Vec::new();
    let mut second = Vec::new();
    for address in found {
        let like_the_first = first.first().is_none_or(|a: &SocketAddr| a.is_ipv4() == address.is_ipv4());
        let family = if like_the_first { &mut first } else { &mut second };
        if !family.contains(&address) {
            family.push(address);
        }
    }
    let mut second = second.into_iter();
    let mut all: Vec<_> =
        first.into_iter().flat_map(|address| [Some(address), second.next()]).flatten().collect();
    all.extend(second);
    all
}

async fn race(addresses: Vec<SocketAddr>) -> io::Result<TcpStream> {
    let mut attempts = JoinSet::new();
    let mut last = None;
    for address in addresses {
        attempts.spawn(TcpStream::connect(address));
        match tokio::time::timeout(STAGGER, attempts.join_next()).await {
            Ok(Some(Ok(Ok(stream)))) => return Ok(stream),
            Ok(Some(Ok(Err(error)))) => last = Some(error),
            _ => {}
        }
    }
    while let Some(finished) = attempts.join_next().await {
        match finished {
            Ok(Ok(stream)) => return Ok(stream),
            Ok(Err(error)) => last = Some(error),
            Err(_) => {}
        }
    }
    Err(last.unwrap_or_else(|| io::ErrorKind::AddrNotAvailable.into()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn all(addresses: &[&str]) -> Vec<SocketAddr> {
        addresses.iter().map(|address| address.parse().unwrap()).collect()
    }

    #[test]
    fn the_families_take_turns_and_repetitions_are_dropped() {
        let found = all(&["[::1]:1", "[::2]:1", "[::1]:1", "[::3]:1", "1.1.1.1:1", "2.2.2.2:1"]);
        let tried = interleaved(found.into_iter());
        assert_eq!(tried, all(&["[::1]:1", "1.1.1.1:1", "[::2]:1", "2.2.2.2:1", "[::3]:1"]));
    }

    #[tokio::test]
    async fn an_address_that_refuses_gives_way_to_the_next_one() {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let live = listener.local_addr().unwrap();
        let refusing = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
        assert_eq!(race(vec![refusing, live]).await.unwrap().peer_addr().unwrap(), live);
    }

    #[tokio::test]
    async fn a_refused_port_is_named_with_host_and_cause() {
        let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let error = dial(Endpoint::parse(&format!("mqtt://127.0.0.1:{port}")).unwrap()).await.unwrap_err();
        assert_eq!(error.code, ErrorCode::ConnectFailed);
        assert!(error.detail.starts_with(&format!("127.0.0.1:{port}: Connection refused")), "{error}");
    }
}
