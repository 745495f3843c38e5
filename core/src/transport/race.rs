//! The race of TCP connections to one host: over its addresses, and again as long as nobody answers.
//!
//! The address that was good last is tried at once, while the name is resolved beside it. Addresses that were not tried
//! follow each other after a short stagger, or as soon as one fails (RFC 8305). When all were tried, the engine says
//! when another try is made beside those that are not answered: a SYN costs little, and the kernel's own come later and
//! later. The first connection wins, and the others are closed.

use std::collections::VecDeque;
use std::future::Future;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use parking_lot::Mutex;
use remqtt_proto::{Error, ErrorCode};
use tokio::net::TcpStream;
use tokio::time::Sleep;

use super::endpoint::host_port;
use super::tcp::{self, Local};
use super::way::Gate;

/// How long an address is tried alone before the next one is tried beside it (RFC 8305, section 5).
const STAGGER: Duration = Duration::from_millis(250);
/// Most tries at a time. One more displaces the oldest but the first: that one waits for an answer from very far away.
const MOST_TRIES: usize = 4;
/// Hosts whose good address is remembered.
const MOST_HOSTS: usize = 8;

/// The addresses that were good last.
#[derive(Debug, Default)]
pub(super) struct Known(Mutex<VecDeque<(String, SocketAddr)>>);

impl Known {
    fn find(&self, host: &str, port: u16) -> Option<SocketAddr> {
        let known = self.0.lock();
        known
            .iter()
            .find(|(name, address)| name == host && address.port() == port)
            .map(|(_, address)| *address)
    }

    fn remember(&self, host: &str, address: SocketAddr) {
        if host.parse::<IpAddr>().is_ok() {
            return;
        }
        let mut known = self.0.lock();
        known.retain(|(name, other)| name != host || other.port() != address.port());
        known.push_front((host.to_owned(), address));
        known.truncate(MOST_HOSTS);
    }
}

type Try = Pin<Box<dyn Future<Output = io::Result<TcpStream>> + Send>>;
type Resolving<'a> = Pin<Box<dyn Future<Output = Result<Vec<SocketAddr>, Error>> + Send + 'a>>;

/// The race.
pub(super) struct Race<'a> {
    host: &'a str,
    port: u16,
    local: Local,
    known: &'a Known,
    resolving: Option<Resolving<'a>>,
    untried: VecDeque<SocketAddr>,
    /// Those that were tried and may be tried again, the one whose turn is next in front.
    tried: VecDeque<SocketAddr>,
    tries: Vec<(SocketAddr, Try)>,
    /// Those that said no.
    refused: Vec<SocketAddr>,
    stagger: Option<Pin<Box<Sleep>>>,
    failure: Option<Error>,
}

impl<'a> Race<'a> {
    pub(super) fn new(host: &'a str, port: u16, local: Local, known: &'a Known) -> Race<'a> {
        Race {
            host,
            port,
            local,
            known,
            resolving: Some(Box::pin(tcp::resolve(host, port))),
            untried: known.find(host, port).into_iter().collect(),
            tried: VecDeque::new(),
            tries: Vec::new(),
            refused: Vec::new(),
            stagger: None,
            failure: None,
        }
    }

    /// The first connection, or why there is none.
    pub(super) fn poll(&mut self, cx: &mut Context<'_>, gate: &mut Gate) -> Poll<Result<TcpStream, Error>> {
        self.poll_resolving(cx);
        let mut wanted = gate.wants_try(cx);
        loop {
            if let Some(stream) = self.poll_tries(cx) {
                if let Ok(address) = stream.peer_addr() {
                    self.known.remember(self.host, address);
                }
                return Poll::Ready(Ok(stream));
            }
            let alone = self.tries.is_empty();
            let staggered = self.stagger.as_mut().is_some_and(|stagger| stagger.as_mut().poll(cx).is_ready());
            let next = match self.untried.pop_front() {
                Some(address) if alone || staggered || wanted => Some(address),
                Some(address) => {
                    self.untried.push_front(address);
                    None
                }
                None if wanted => self.tried.pop_front(),
                None => None,
            };
            let Some(address) = next else { break };
            self.tried.push_back(address);
            self.begin(address);
            wanted = gate.wants_try(cx);
        }
        match self.tries.is_empty() && self.resolving.is_none() {
            true => Poll::Ready(Err(self.failure.take().unwrap_or_else(|| ErrorCode::ConnectFailed.into()))),
            false => Poll::Pending,
        }
    }

    fn poll_resolving(&mut self, cx: &mut Context<'_>) {
        let Some(resolving) = &mut self.resolving else { return };
        let Poll::Ready(resolved) = resolving.as_mut().poll(cx) else { return };
        self.resolving = None;
        match resolved {
            Ok(addresses) => {
                let mut fitting = addresses;
                fitting.retain(|address| self.local.fits(address));
                if fitting.is_empty() {
                    let why = "no address of the family of bind_address";
                    self.failure = Some(self.failed(&io::Error::new(io::ErrorKind::AddrNotAvailable, why)));
                }
                fitting.retain(|address| !self.has_seen(address));
                self.untried.extend(fitting);
            }
            Err(error) => self.failure = Some(error),
        }
    }

    fn has_seen(&self, address: &SocketAddr) -> bool {
        self.untried.contains(address) || self.tried.contains(address) || self.refused.contains(address)
    }

    /// What the tries have come to.
    fn poll_tries(&mut self, cx: &mut Context<'_>) -> Option<TcpStream> {
        let mut at = 0;
        while let Some((address, attempt)) = self.tries.get_mut(at) {
            match attempt.as_mut().poll(cx) {
                Poll::Pending => at += 1,
                Poll::Ready(Ok(stream)) => return Some(stream),
                Poll::Ready(Err(error)) => {
                    let address = *address;
                    // Whoever answers so is not asked again, and not by other tries that are under way.
                    self.tried.retain(|other| *other != address);
                    self.tries.retain(|(other, _)| *other != address);
                    self.refused.push(address);
                    self.failure = Some(self.failed(&error));
                    at = 0;
                }
            }
        }
        None
    }

    fn begin(&mut self, address: SocketAddr) {
        if self.tries.len() >= MOST_TRIES {
            drop(self.tries.remove(1));
        }
        let local = self.local;
        self.tries.push((address, Box::pin(local.connect(address))));
        // The resolver may yet name the next one.
        let next = !self.untried.is_empty() || self.resolving.is_some();
        self.stagger = next.then(|| Box::pin(tokio::time::sleep(STAGGER)));
    }

    fn failed(&self, error: &io::Error) -> Error {
        Error::new(ErrorCode::ConnectFailed, format!("{}: {error}", host_port(self.host, self.port)))
    }
}

#[cfg(test)]
mod tests {
    use std::future::poll_fn;

    use super::*;

    fn race(addresses: &[SocketAddr], known: &'static Known) -> Race<'static> {
        let mut race = Race::new("name.test", 1, Local::default(), known);
        let addresses = addresses.to_vec();
        race.resolving = Some(Box::pin(async move { Ok(addresses) }));
        race
    }

    async fn winner(mut race: Race<'_>) -> SocketAddr {
        let mut gate = Gate::opened();
        poll_fn(|cx| race.poll(cx, &mut gate)).await.unwrap().peer_addr().unwrap()
    }

    fn refusing() -> SocketAddr {
        std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap()
    }

    #[tokio::test]
    async fn an_address_that_refuses_gives_way_to_the_next_one() {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let live = listener.local_addr().unwrap();
        let known: &'static Known = Box::leak(Box::default());
        assert_eq!(winner(race(&[refusing(), live], known)).await, live);
    }

    #[tokio::test]
    async fn the_address_that_was_good_last_is_tried_while_the_name_is_resolved() {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let live = listener.local_addr().unwrap();
        let known: &'static Known = Box::leak(Box::default());
        known.remember("name.test", live);
        let mut race = Race::new("name.test", live.port(), Local::default(), known);
        race.resolving = Some(Box::pin(std::future::pending()));
        assert_eq!(winner(race).await, live);
    }

    #[tokio::test]
    async fn an_address_that_was_good_and_is_not_any_more_gives_way_to_the_new_one() {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let live = listener.local_addr().unwrap();
        let known: &'static Known = Box::leak(Box::default());
        let gone = refusing();
        known.remember("name.test", gone);
        let mut race = race(&[live], known);
        race.untried.push_front(gone);
        assert_eq!(winner(race).await, live);
        assert_eq!(known.find("name.test", live.port()), Some(live));
    }

    #[tokio::test]
    async fn an_address_that_was_good_and_is_silent_does_not_keep_new_ones_from_being_tried() {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let live = listener.local_addr().unwrap();
        let known: &'static Known = Box::leak(Box::default());
        let mut race = race(&[live], known);
        // The resolver answers while the try goes on.
        race.begin(refusing());
        race.tries[0].1 = Box::pin(std::future::pending());
        let winner = tokio::time::timeout(Duration::from_secs(10), winner(race)).await;
        assert_eq!(winner.expect("nothing was tried beside it"), live);
    }

    #[tokio::test]
    async fn an_address_that_refused_is_not_asked_again_when_the_resolver_names_it() {
        let known: &'static Known = Box::leak(Box::default());
        let gone = refusing();
        known.remember("name.test", gone);
        let mut race = Race::new("name.test", gone.port(), Local::default(), known);
        race.resolving = Some(Box::pin(std::future::pending()));
        let mut gate = Gate::opened();
        poll_fn(|cx| {
            let _ = race.poll(cx, &mut gate);
            if race.tries.is_empty() {
                Poll::Ready(())
            } else {
                Poll::Pending
            }
        })
        .await;
        let _listener = std::net::TcpListener::bind(gone).unwrap();
        race.resolving = Some(Box::pin(async move { Ok(vec![gone]) }));
        let error = poll_fn(|cx| race.poll(cx, &mut gate)).await.unwrap_err();
        assert!(error.detail.contains("refused"), "{error}");
    }

    #[tokio::test]
    async fn tries_are_bounded_and_the_first_one_stays() {
        let known: &'static Known = Box::leak(Box::default());
        let mut race = race(&[], known);
        let address = |port| SocketAddr::from(([127, 0, 0, 1], port));
        for port in 1..=10 {
            race.begin(address(port));
        }
        let ports: Vec<_> = race.tries.iter().map(|(address, _)| address.port()).collect();
        assert_eq!(ports, [1, 8, 9, 10]);
    }
}
