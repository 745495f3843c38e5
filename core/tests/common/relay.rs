//! Something between client and server that can be cut.

use std::io::{Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Duration;

use parking_lot::Mutex;

/// A socket of either kind.
enum Socket {
    Tcp(TcpStream),
    Unix(UnixStream),
}

/// Forwards every connection until it is cut.
pub struct Relay {
    pub port: u16,
    lines: Arc<Mutex<Vec<Line>>>,
}

struct Line {
    client: Socket,
    server: Socket,
    copies: [JoinHandle<()>; 2],
}

impl Relay {
    pub fn to_port(target: u16) -> Relay {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let relay = Relay { port, lines: Arc::default() };
        let lines = relay.lines.clone();
        // Ends with the test's process.
        std::thread::spawn(move || {
            for client in listener.incoming().flatten() {
                client.set_nodelay(true).unwrap();
                if let Ok(server) = TcpStream::connect(("127.0.0.1", target)) {
                    server.set_nodelay(true).unwrap();
                    lines.lock().push(Line::new(Socket::Tcp(client), Socket::Tcp(server)));
                }
            }
        });
        relay
    }

    pub fn to_socket(here: &Path, target: PathBuf) -> Relay {
        let listener = UnixListener::bind(here).unwrap();
        let relay = Relay { port: 0, lines: Arc::default() };
        let lines = relay.lines.clone();
        std::thread::spawn(move || {
            for client in listener.incoming().flatten() {
                if let Ok(server) = UnixStream::connect(&target) {
                    lines.lock().push(Line::new(Socket::Unix(client), Socket::Unix(server)));
                }
            }
        });
        relay
    }

    /// Resets all connections, and returns when they are gone.
    pub fn cut(&self) {
        let lines = std::mem::take(&mut *self.lines.lock());
        for line in lines {
            // The reading half only: a FIN would tell of an end in order.
            line.client.abort();
            line.server.abort();
            for copy in line.copies {
                copy.join().unwrap();
            }
        }
    }
}

impl Line {
    fn new(client: Socket, server: Socket) -> Line {
        let copies = [copy(client.again(), server.again()), copy(server.again(), client.again())];
        Line { client, server, copies }
    }
}

fn copy(mut from: Socket, mut to: Socket) -> JoinHandle<()> {
    std::thread::spawn(move || {
        let mut buffer = [0; 16 << 10];
        while let Ok(count @ 1..) = from.read(&mut buffer) {
            if to.write_all(&buffer[..count]).is_err() {
                break;
            }
        }
        // An end of one side becomes an end of the other.
        to.finish();
    })
}

impl Socket {
    fn again(&self) -> Socket {
        match self {
            Socket::Tcp(stream) => Socket::Tcp(stream.try_clone().unwrap()),
            Socket::Unix(stream) => Socket::Unix(stream.try_clone().unwrap()),
        }
    }

    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        match self {
            Socket::Tcp(stream) => stream.read(buffer),
            Socket::Unix(stream) => stream.read(buffer),
        }
    }

    fn write_all(&mut self, bytes: &[u8]) -> std::io::Result<()> {
        match self {
            Socket::Tcp(stream) => stream.write_all(bytes),
            Socket::Unix(stream) => stream.write_all(bytes),
        }
    }

    fn abort(&self) {
        let _ = match self {
            Socket::Tcp(stream) => {
                let _ = socket2::SockRef::from(stream).set_linger(Some(Duration::ZERO));
                stream.shutdown(Shutdown::Read)
            }
            Socket::Unix(stream) => stream.shutdown(Shutdown::Both),
        };
    }

    fn finish(&self) {
        // Not after `abort`: that connection ends with a reset.
        let _ = match self {
            Socket::Tcp(stream) if socket2::SockRef::from(stream).linger().is_ok_and(|l| l.is_none()) => {
                stream.shutdown(Shutdown::Write)
            }
            Socket::Tcp(_) => Ok(()),
            Socket::Unix(stream) => stream.shutdown(Shutdown::Write),
        };
    }
}
