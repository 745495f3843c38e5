//! A transparent TCP proxy that breaks on demand, one for each client, all commanded at the same moment.
//!
//! How true each fault is:
//! - Reset: SO_LINGER 0 on both sides; what was under way in either direction is gone, as with a restarted firewall.
//! - Orderly close: FIN after what was under way.
//! - Refused: reset, then nobody listens; the kernel answers ECONNREFUSED.
//! - Silent: reset, then connections are accepted and never served, not even after the fault is over: a load balancer
//!   whose backend is gone. Only a client's own timeout helps.
//! - Swallowed: nothing passes, nobody is told. A userspace proxy cannot drop packets, so it does what the kernels at both
//!   ends would be seen to do. Established connections: TCP loses nothing, it retransmits at 0.2, 0.6, 1.4, 3.0 ... s after the
//!   first unanswered byte, so bytes pass again at the first such moment after the path has healed. New connections: the
//!   accept queue is kept full, so that the kernel drops each SYN and the client's kernel repeats it in its own rhythm.

use std::collections::HashSet;
use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use socket2::{Domain, SockRef, Socket, Type};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWriteExt};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::time::{sleep, timeout};

use crate::clock;
use crate::tap::Tap;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Path {
    Open,
    Refused,
    Silent,
    Swallowed,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Cut {
    Reset,
    Orderly,
}

/// What the proxies are told. `cuts` counts: a connection ends when it changes.
#[derive(Debug, Clone, Copy)]
pub(crate) struct State {
    pub(crate) path: Path,
    pub(crate) cut: Cut,
    pub(crate) cuts: u32,
}

impl State {
    pub(crate) fn open() -> Self {
        Self { path: Path::Open, cut: Cut::Reset, cuts: 0 }
    }
}

pub(crate) type Log = Arc<std::sync::Mutex<Tap>>;

/// Which way the messages go that the tap is to see.
#[derive(Debug, Clone)]
pub(crate) enum Tapped {
    ToClient(Log),
    ToBroker(Log),
}

struct Line {
    upstream: String,
    state: watch::Receiver<State>,
    tap: Tapped,
    began: u64,
}

/// Listens on `port` until the process ends.
pub(crate) async fn serve(
    port: u16,
    upstream: String,
    mut state: watch::Receiver<State>,
    tap: Tapped,
) -> io::Result<()> {
    loop {
        if state.borrow_and_update().path == Path::Refused {
            if state.changed().await.is_err() {
                return Ok(());
            }
            continue;
        }
        let listener = listen(port)?;
        let mut fillers = HashSet::new();
        loop {
            let path = state.borrow_and_update().path;
            match path {
                Path::Refused => break,
                Path::Swallowed => {
                    let held = fill(port).await;
                    fillers.extend(held.iter().filter_map(|s| s.local_addr().ok()));
                    if state.changed().await.is_err() {
                        return Ok(());
                    }
                }
                Path::Open | Path::Silent => tokio::select! {
                    changed = state.changed() => if changed.is_err() { return Ok(()) },
                    accepted = listener.accept() => {
                        let (client, from): (TcpStream, SocketAddr) = accepted?;
                        if fillers.remove(&from) {
                            continue;
                        }
                        let line = Line { upstream: upstream.clone(), state: state.clone(), tap: tap.clone(), began: clock::now() };
                        tokio::spawn(line.carry(client));
                    }
                },
            }
        }
    }
}

fn listen(port: u16) -> io::Result<TcpListener> {
    let socket = Socket::new(Domain::IPV4, Type::STREAM, None)?;
    socket.set_reuse_address(true)?;
    socket.set_nonblocking(true)?;
    socket.bind(&SocketAddr::from((Ipv4Addr::LOCALHOST, port)).into())?;
    // A short queue, so that it can be filled.
    socket.listen(1)?;
    TcpListener::from_std(socket.into())
}

/// Fills the accept queue: from here on the kernel drops each SYN for this port.
async fn fill(port: u16) -> Vec<TcpStream> {
    let mut held = Vec::new();
    while let Ok(Ok(stream)) =
        timeout(Duration::from_millis(20), TcpStream::connect((Ipv4Addr::LOCALHOST, port))).await
    {
        held.push(stream);
    }
    held
}

impl Line {
    async fn carry(mut self, mut client: TcpStream) {
        let state = *self.state.borrow_and_update();
        if state.path == Path::Silent {
            discard(&mut client).await;
            return;
        }
        let Ok(server) = TcpStream::connect(&self.upstream).await else { return };
        if client.set_nodelay(true).and(server.set_nodelay(true)).is_err() {
            return;
        }
        let (client_read, client_write) = client.into_split();
        let (server_read, server_write) = server.into_split();
        let (to_broker, to_client) = match &self.tap {
            Tapped::ToBroker(log) => (Some((log.clone(), self.began)), None),
            Tapped::ToClient(log) => (None, Some((log.clone(), self.began))),
        };
        let mut up = Way { from: client_read, to: server_write, state: self.state.clone(), tap: to_broker };
        let mut down = Way { from: server_read, to: client_write, state: self.state.clone(), tap: to_client };
        let cut = tokio::select! {
            cut = cut(self.state, state.cuts) => Some(cut),
            () = async { tokio::join!(up.run(), down.run()); } => None,
        };
        let (
            Way { from: mut client_read, to: mut server_write, .. },
            Way { from: mut server_read, to: mut client_write, .. },
        ) = (up, down);
        if cut == Some(Cut::Reset) {
            for read in [&client_read, &server_read] {
                // Fails only on a socket that is gone already.
                let _ = SockRef::from(read.as_ref()).set_linger(Some(Duration::ZERO));
            }
        } else {
            tokio::join!(end(&mut client_read, &mut client_write), end(&mut server_read, &mut server_write));
        }
    }
}

/// Closes in order: FIN, then reads to the end, since unread bytes would turn the FIN into a reset.
async fn end(read: &mut OwnedReadHalf, write: &mut OwnedWriteHalf) {
    // A peer that is gone already has nothing to be told.
    let _ = write.shutdown().await;
    let _ = timeout(Duration::from_secs(5), discard(read)).await;
}

async fn cut(mut state: watch::Receiver<State>, cuts: u32) -> Cut {
    match state.wait_for(|s| s.cuts != cuts).await {
        Ok(state) => state.cut,
        Err(_) => Cut::Reset,
    }
}

async fn discard(from: &mut (impl AsyncRead + Unpin)) {
    let mut buffer = [0; 4096];
    while matches!(from.read(&mut buffer).await, Ok(n) if n > 0) {}
}

/// One direction of one connection.
struct Way {
    from: OwnedReadHalf,
    to: OwnedWriteHalf,
    state: watch::Receiver<State>,
    tap: Option<(Log, u64)>,
}

impl Way {
    async fn run(&mut self) {
        let mut buffer = vec![0; 64 * 1024];
        loop {
            if self.from.readable().await.is_err() {
                break;
            }
            self.retransmission().await;
            let read = match self.from.try_read(&mut buffer) {
                Ok(0) => break,
                Ok(read) => read,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => continue,
                Err(_) => break,
            };
            if let Some((tap, began)) = &self.tap {
                if let Ok(mut tap) = tap.lock() {
                    tap.pass(*began, clock::now(), &buffer[..read]);
                }
            }
            if self.to.write_all(&buffer[..read]).await.is_err() {
                break;
            }
        }
        // The other side learns of the end; if it is gone already there is nobody to tell.
        let _ = self.to.shutdown().await;
    }

    /// Called with bytes waiting. While the path swallows, they wait for the first retransmission after it has healed.
    async fn retransmission(&mut self) {
        if self.state.borrow_and_update().path != Path::Swallowed {
            return;
        }
        let first = tokio::time::Instant::now();
        if self.state.wait_for(|s| s.path != Path::Swallowed).await.is_err() {
            return;
        }
        let mut timer = Duration::from_millis(200);
        let mut next = first + timer;
        while next < tokio::time::Instant::now() {
            timer *= 2;
            next += timer;
        }
        sleep(next - tokio::time::Instant::now()).await;
    }
}
