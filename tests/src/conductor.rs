//! A stage of a real network: a shim process, and a scripted peer on a loopback port chosen at run time.

use std::net::{Ipv4Addr, Shutdown, SocketAddr, TcpStream};
use std::time::{Duration, Instant};

use socket2::{Domain, Socket, Type};

use crate::common::broker::Folder;
use crate::line::{self, Line, Transport};
use crate::shim::Shim;
use crate::stage::{Outcome, Read, Stage};

/// The stage.
#[derive(Debug)]
pub struct Conductor<'a> {
    transport: &'a Transport,
    shim: Shim,
    /// How the shim is started.
    program: String,
    /// What a client is told before it is created, for the next process.
    settings: Vec<String>,
    /// Where the client's store lies.
    folder: Folder,
    killed: bool,
    margin: Duration,
    /// Bound and never listening: keeps the port ours while `listener` is closed, so that it refuses.
    _port: Socket,
    address: SocketAddr,
    listener: Option<Socket>,
    link: Option<Box<dyn Line>>,
    stalled: bool,
}

impl<'a> Conductor<'a> {
    /// Starts the shim, a command line, and tells it where the peer listens and how to reach it.
    /// A step may take `margin` longer than it says.
    pub fn start(shim: &str, transport: &'a Transport, margin: Duration) -> Outcome<Conductor<'a>> {
        let port = bound(SocketAddr::from((Ipv4Addr::LOCALHOST, 0)))?;
        let address = port.local_addr().map_err(text)?.as_socket().ok_or("no port")?;
        let mut conductor = Conductor {
            transport,
            shim: Shim::start(shim)?,
            program: shim.to_string(),
            settings: Vec::new(),
            folder: Folder::new(),
            killed: false,
            margin,
            _port: port,
            address,
            listener: None,
            link: None,
            stalled: false,
        };
        conductor.refuse(false)?;
        for line in transport.settings(address) {
            conductor.command(&line)?;
        }
        Ok(conductor)
    }

    /// Ends the shim in the orderly way. An error when it does not end by itself with success.
    pub fn quit(&mut self) -> Outcome<()> {
        self.link = None;
        self.shim.quit()
    }

    /// What the shim wrote to stderr.
    pub fn complaints(&mut self) -> String {
        self.shim.complaints()
    }

    /// What the script has sent so far goes out before anything else happens.
    fn flush(&mut self) {
        if let Some(link) = &mut self.link {
            link.flush();
        }
    }
}

fn text(error: impl std::fmt::Display) -> String {
    error.to_string()
}

fn bound(address: SocketAddr) -> Outcome<Socket> {
    let socket = Socket::new(Domain::IPV4, Type::STREAM, None).map_err(text)?;
    socket.set_reuse_port(true).map_err(text)?;
    socket.set_reuse_address(true).map_err(text)?;
    socket.bind(&address.into()).map_err(text)?;
    Ok(socket)
}

impl Stage for Conductor<'_> {
    fn command(&mut self, line: &str) -> Outcome<()> {
        self.flush();
        let line = match line.starts_with("option store ") {
            true => format!("option store {}", self.folder.path("session")),
            false => line.to_string(),
        };
        let verb = line.split(' ').next().unwrap_or_default();
        if ["option", "server", "username", "password", "will"].contains(&verb) {
            self.settings.push(line.clone());
        }
        self.shim.tell(&line)
    }

    fn event(&mut self, within: Duration) -> Outcome<Option<String>> {
        self.flush();
        self.shim.event(within)
    }

    fn link(&mut self, within: Duration) -> Outcome<bool> {
        self.flush();
        let Some(listener) = &self.listener else { return Ok(false) };
        let deadline = Instant::now() + within;
        loop {
            let left = deadline.saturating_duration_since(Instant::now());
            // Linux applies the receive timeout to accept; no timeout at all is spelled as non-blocking.
            listener.set_nonblocking(left.is_zero()).map_err(text)?;
            listener.set_read_timeout(Some(left.max(Duration::from_millis(1)))).map_err(text)?;
            match listener.accept() {
                Ok((socket, _)) => {
                    let socket = TcpStream::from(socket);
                    if line::is_given_up(&socket, left)? {
                        continue;
                    }
                    self.link = Some(self.transport.accept(socket)?);
                    self.stalled = false;
                    return Ok(true);
                }
                Err(error) if line::is_timeout(&error) => return Ok(false),
                Err(error) => return Err(text(error)),
            }
        }
    }

    fn send(&mut self, bytes: &[u8]) -> Outcome<bool> {
        if let Some(link) = &mut self.link {
            link.send(bytes);
        }
        Ok(true)
    }

    fn read(&mut self, within: Duration) -> Outcome<Read> {
        self.flush();
        match self.link.as_mut().filter(|_| !self.stalled) {
            Some(link) => link.read(within),
            None => Ok(Read::Nothing),
        }
    }

    fn unread(&mut self) -> Vec<u8> {
        Vec::new()
    }

    fn cut(&mut self, orderly: bool) -> Outcome<()> {
        self.flush();
        match self.link.take() {
            None => Ok(()),
            Some(link) if orderly => line::end(link),
            Some(link) => line::reset(link),
        }
    }

    fn refuse(&mut self, refuse: bool) -> Outcome<()> {
        self.flush();
        if refuse {
            // Closing is not enough: a shim that another thread is just starting may still hold the descriptor.
            if let Some(listener) = self.listener.take() {
                let _ = listener.shutdown(Shutdown::Both);
            }
        } else if self.listener.is_none() {
            let listener = bound(self.address)?;
            // A small buffer on this side, so that a stalled peer is felt after few megabytes.
            listener.set_recv_buffer_size(64 * 1024).map_err(text)?;
            listener.listen(64).map_err(text)?;
            self.listener = Some(listener);
        }
        Ok(())
    }

    fn stall(&mut self, stall: bool) -> Outcome<()> {
        self.stalled = stall;
        Ok(())
    }

    fn ignore(&mut self) -> Outcome<()> {
        Err("a real network cannot ignore a connection attempt here: only sim".into())
    }

    fn kill(&mut self) -> Outcome<()> {
        self.shim = Shim::start(&self.program)?; // dropping a shim kills it
        (self.killed, self.link) = (true, None);
        self.settings.iter().try_for_each(|line| self.shim.tell(line))
    }

    fn reborn(&mut self) -> Outcome<Option<Vec<String>>> {
        Ok(std::mem::take(&mut self.killed).then(Vec::new))
    }

    fn advance(&mut self, _: Duration) -> Outcome<()> {
        Ok(())
    }

    fn is_real(&self) -> bool {
        true
    }

    fn margin(&self) -> Duration {
        self.margin
    }
}
