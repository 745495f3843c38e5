//! A stage of real TCP: a shim process, and a scripted peer on a loopback port chosen at run time.

use std::io::{BufRead, BufReader, ErrorKind, Read as _, Write};
use std::net::{Ipv4Addr, Shutdown, SocketAddr, TcpStream};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::{channel, Receiver, RecvTimeoutError};
use std::time::{Duration, Instant};

use socket2::{Domain, Socket, Type};

use crate::stage::{Outcome, Read, Stage};

/// Upper bound for whatever must happen at once: only a hang reaches it.
const SAFETY: Duration = Duration::from_secs(15);

/// The stage.
#[derive(Debug)]
pub struct Conductor {
    shim: Shim,
    /// How the shim is started.
    program: String,
    /// What a client is told before it is created, for the next process.
    settings: Vec<String>,
    store: Store,
    killed: bool,
    /// Bound and never listening: keeps the port ours while `listener` is closed, so that it refuses.
    _port: Socket,
    address: SocketAddr,
    listener: Option<Socket>,
    link: Option<TcpStream>,
    stalled: bool,
}

impl Conductor {
    /// Starts the shim, a command line, and tells it where the peer listens.
    pub fn start(shim: &str) -> Outcome<Conductor> {
        let port = bound(SocketAddr::from((Ipv4Addr::LOCALHOST, 0)))?;
        let address = port.local_addr().map_err(text)?.as_socket().ok_or("no port")?;
        let mut conductor = Conductor {
            shim: Shim::start(shim)?,
            program: shim.to_string(),
            settings: Vec::new(),
            store: Store::new()?,
            killed: false,
            _port: port,
            address,
            listener: None,
            link: None,
            stalled: false,
        };
        conductor.refuse(false)?;
        conductor.command(&format!("server mqtt://{address}"))?;
        Ok(conductor)
    }

    /// Ends the shim in the orderly way. An error when it does not end by itself with success.
    pub fn quit(mut self) -> Outcome<()> {
        self.link = None;
        self.shim.quit()
    }

    /// What the shim wrote to stderr.
    pub fn complaints(&mut self) -> String {
        self.shim.complaints()
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

impl Stage for Conductor {
    fn command(&mut self, line: &str) -> Outcome<()> {
        let line = match line.starts_with("option store ") {
            true => format!("option store {}", self.store.path()),
            false => line.to_string(),
        };
        let verb = line.split(' ').next().unwrap_or_default();
        if ["option", "server", "username", "password", "will"].contains(&verb) {
            self.settings.push(line.clone());
        }
        self.shim.tell(&line)
    }

    fn event(&mut self, within: Duration) -> Outcome<Option<String>> {
        self.shim.event(within)
    }

    fn link(&mut self, within: Duration) -> Outcome<bool> {
        let Some(listener) = &self.listener else { return Ok(false) };
        // Linux applies the receive timeout to accept; no timeout at all is spelled as non-blocking.
        listener.set_nonblocking(within.is_zero()).map_err(text)?;
        listener.set_read_timeout(Some(within.max(Duration::from_millis(1)))).map_err(text)?;
        match listener.accept() {
            Ok((socket, _)) => {
                let stream = TcpStream::from(socket);
                stream.set_nonblocking(false).map_err(text)?;
                stream.set_nodelay(true).map_err(text)?;
                self.link = Some(stream);
                self.stalled = false;
                Ok(true)
            }
            Err(error) if is_timeout(&error) => Ok(false),
            Err(error) => Err(text(error)),
        }
    }

    fn send(&mut self, bytes: &[u8]) -> Outcome<bool> {
        if let Some(link) = &mut self.link {
            let _ = link.write_all(bytes); // a client that has hung up is seen by the next read
        }
        Ok(true)
    }

    fn read(&mut self, within: Duration) -> Outcome<Read> {
        let Some(link) = self.link.as_mut().filter(|_| !self.stalled) else { return Ok(Read::Nothing) };
        link.set_nonblocking(within.is_zero()).map_err(text)?;
        if !within.is_zero() {
            link.set_read_timeout(Some(within)).map_err(text)?;
        }
        let mut buffer = vec![0; 64 * 1024];
        match link.read(&mut buffer) {
            Ok(0) => Ok(Read::Closed),
            Ok(length) => {
                buffer.truncate(length);
                Ok(Read::Bytes(buffer))
            }
            Err(error) if is_timeout(&error) => Ok(Read::Nothing),
            Err(_) => Ok(Read::Closed),
        }
    }

    fn unread(&mut self) -> Vec<u8> {
        Vec::new()
    }

    fn cut(&mut self, orderly: bool) -> Outcome<()> {
        let Some(mut link) = self.link.take() else { return Ok(()) };
        if !orderly {
            return Socket::from(link).set_linger(Some(Duration::ZERO)).map_err(text);
        }
        link.shutdown(Shutdown::Write).map_err(text)?;
        link.set_nonblocking(false).map_err(text)?;
        link.set_read_timeout(Some(SAFETY)).map_err(text)?;
        let mut rest = [0; 4096];
        loop {
            match link.read(&mut rest) {
                Ok(0) => return Ok(()),
                Ok(_) => {}
                Err(error) if is_timeout(&error) => {
                    return Err("the client ignores the end of the stream".into())
                }
                Err(_) => return Ok(()),
            }
        }
    }

    fn refuse(&mut self, refuse: bool) -> Outcome<()> {
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
}

fn is_timeout(error: &std::io::Error) -> bool {
    matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut | ErrorKind::Interrupted)
}

/// A directory for the client's store, removed at the end.
#[derive(Debug)]
struct Store(std::path::PathBuf);

impl Store {
    fn new() -> Outcome<Store> {
        static NUMBER: AtomicUsize = AtomicUsize::new(0);
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        let directory = std::env::temp_dir().join(format!("remqtt-store-{}-{number}", std::process::id()));
        std::fs::create_dir(&directory).map_err(text)?;
        Ok(Store(directory))
    }

    fn path(&self) -> String {
        self.0.join("session").display().to_string()
    }
}

impl Drop for Store {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

/// The process of a language. It ends with its value, on every path.
#[derive(Debug)]
struct Shim {
    process: Child,
    commands: Option<ChildStdin>,
    events: Receiver<String>,
    complaints: Receiver<String>,
}

impl Shim {
    fn start(shim: &str) -> Outcome<Shim> {
        let mut words = shim.split_whitespace();
        let program = words.next().ok_or("an empty shim command")?;
        let mut process = Command::new(program)
            .args(words)
            // `cargo test` puts the debug build in front of the library that the shim was linked with.
            .env_remove("LD_LIBRARY_PATH")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .map_err(|error| format!("{shim}: {error}"))?;
        let commands = process.stdin.take();
        let events = lines(process.stdout.take());
        let complaints = lines(process.stderr.take());
        Ok(Shim { process, commands, events, complaints })
    }

    fn tell(&mut self, line: &str) -> Outcome<()> {
        let commands = self.commands.as_mut().ok_or("the shim was told to quit")?;
        writeln!(commands, "{line}")
            .and_then(|()| commands.flush())
            .map_err(|error| format!("the shim: {error}"))
    }

    fn event(&mut self, within: Duration) -> Outcome<Option<String>> {
        match self.events.recv_timeout(within) {
            Ok(line) => Ok(Some(line)),
            Err(RecvTimeoutError::Timeout) => Ok(None),
            Err(RecvTimeoutError::Disconnected) => Err("the shim has ended".into()),
        }
    }

    fn quit(&mut self) -> Outcome<()> {
        let _ = self.tell("quit");
        self.commands = None;
        let deadline = Instant::now() + SAFETY;
        // Stdout ends when the process does.
        while let Ok(_) | Err(RecvTimeoutError::Timeout) =
            self.events.recv_timeout(Duration::from_millis(100))
        {
            if Instant::now() > deadline {
                return Err("the shim does not quit".into());
            }
        }
        match self.process.wait() {
            Ok(status) if status.success() => Ok(()),
            Ok(status) => Err(format!("the shim ended with {status}")),
            Err(error) => Err(text(error)),
        }
    }

    fn complaints(&mut self) -> String {
        let _ = self.process.kill();
        self.complaints.iter().take(100).collect::<Vec<_>>().join("\n")
    }
}

impl Drop for Shim {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// The lines of a stream, read by a thread that ends with it.
fn lines(stream: Option<impl std::io::Read + Send + 'static>) -> Receiver<String> {
    let (sender, receiver) = channel();
    if let Some(stream) = stream {
        std::thread::spawn(move || {
            for line in BufReader::new(stream).lines().map_while(Result::ok) {
                if sender.send(line).is_err() {
                    return;
                }
            }
        });
    }
    receiver
}
