//! TCP: the sockets before they connect, the addresses of a name, and the connection that wins their race.

use std::future::poll_fn;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use remqtt_proto::{Error, ErrorCode, Options};
use socket2::SockRef;
use tokio::net::{lookup_host, TcpSocket, TcpStream};

use super::endpoint::host_port;
use super::race::{Known, Race};
use super::way::Gate;

/// How long TCP tries to get bytes across before it gives the connection up. The engine is sooner wherever it may
/// judge; this is for where it may not, because the application does not read.
const USER_TIMEOUT: Duration = Duration::from_secs(60);

/// What a socket is before it connects.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Local {
    address: Option<IpAddr>,
    port: u16,
    send_buffer: u32,
    receive_buffer: u32,
}

/// What the options say of the socket.
pub(super) fn local(options: &Options) -> Result<Local, Error> {
    let address = match &options.bind_address[..] {
        "" => None,
        text => Some(text.parse().map_err(|_| {
            Error::new(ErrorCode::InvalidOption, format!("bind_address = {text:?}: not an IP address"))
        })?),
    };
    let (send_buffer, receive_buffer) = (options.socket_send_buffer, options.socket_receive_buffer);
    Ok(Local { address, port: options.bind_port, send_buffer, receive_buffer })
}

/// Connects to the host, and waits at the gate.
pub(super) async fn dial(
    host: &str,
    port: u16,
    options: &Options,
    known: &Known,
    gate: &mut Gate,
) -> Result<TcpStream, Error> {
    let mut race = Race::new(host, port, local(options)?, known);
    let stream = poll_fn(|cx| race.poll(cx, gate)).await?;
    drop(race);
    let failed = |error| Error::new(ErrorCode::ConnectFailed, format!("{}: {error}", host_port(host, port)));
    stream.set_nodelay(true).map_err(failed)?;
    #[cfg(target_os = "linux")]
    SockRef::from(&stream).set_tcp_user_timeout(Some(USER_TIMEOUT)).map_err(failed)?;
    gate.pass().await;
    Ok(stream)
}

impl Local {
    /// Whether a socket of this address can reach the other one.
    pub(super) fn fits(self, address: &SocketAddr) -> bool {
        self.address.is_none_or(|bound| bound.is_ipv4() == address.is_ipv4())
    }

    pub(super) async fn connect(self, address: SocketAddr) -> io::Result<TcpStream> {
        let socket = if address.is_ipv4() { TcpSocket::new_v4() } else { TcpSocket::new_v6() }?;
        // Before connecting: the window scale of the connection is made from them.
        if self.send_buffer > 0 {
            SockRef::from(&socket).set_send_buffer_size(self.send_buffer as usize)?;
        }
        if self.receive_buffer > 0 {
            SockRef::from(&socket).set_recv_buffer_size(self.receive_buffer as usize)?;
        }
        if self.address.is_some() || self.port > 0 {
            let any = if address.is_ipv4() { IpAddr::from([0; 4]) } else { IpAddr::from([0; 16]) };
            // The connection before may still be in TIME_WAIT.
            socket.set_reuseaddr(self.port > 0)?;
            socket.bind(SocketAddr::new(self.address.unwrap_or(any), self.port))?;
        }
        socket.connect(address).await
    }
}

/// The addresses of the host, at least one.
pub(super) async fn resolve(host: &str, port: u16) -> Result<Vec<SocketAddr>, Error> {
    if let Ok(address) = host.parse::<IpAddr>() {
        return Ok(vec![SocketAddr::new(address, port)]);
    }
    let failed = |why: String| Error::new(ErrorCode::ResolveFailed, format!("{host}: {why}"));
    let found = lookup_host((host, port)).await;
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

#[cfg(test)]
mod tests {
    use super::*;

    async fn dial(host: &str, port: u16, options: &Options) -> Result<TcpStream, Error> {
        super::dial(host, port, options, &Known::default(), &mut Gate::opened()).await
    }

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
    async fn a_socket_has_the_address_the_port_and_the_buffers_of_the_options() {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let server = listener.local_addr().unwrap().port();
        let port = std::net::TcpListener::bind("127.0.0.5:0").unwrap().local_addr().unwrap().port();
        let mut options = Options::default();
        for (key, value) in [
            ("bind_address", "127.0.0.5"),
            ("bind_port", &port.to_string()),
            ("socket_send_buffer", "20000"),
            ("socket_receive_buffer", "30000"),
        ] {
            options.set(key, value).unwrap();
        }
        // Twice: a reconnect takes the same port again.
        for _ in 0..2 {
            let stream = dial("localhost", server, &options).await.unwrap();
            assert_eq!(listener.accept().await.unwrap().1, SocketAddr::new([127, 0, 0, 5].into(), port));
            // Linux doubles what it is asked for.
            assert_eq!(SockRef::from(&stream).send_buffer_size().unwrap(), 40_000);
            assert_eq!(SockRef::from(&stream).recv_buffer_size().unwrap(), 60_000);
            stream.set_zero_linger().unwrap();
        }
        options.set("bind_address", "localhost").unwrap();
        assert_eq!(dial("localhost", server, &options).await.unwrap_err().code, ErrorCode::InvalidOption);
    }

    #[tokio::test]
    async fn a_refused_port_is_named_with_host_and_cause() {
        let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let error = dial("127.0.0.1", port, &Options::default()).await.unwrap_err();
        assert_eq!(error.code, ErrorCode::ConnectFailed);
        assert!(error.detail.starts_with(&format!("127.0.0.1:{port}: Connection refused")), "{error}");
    }
}
