//! A real mosquitto, and other servers of the system's packages, ended with the test.

use std::fs;
use std::io::ErrorKind;
use std::net::{TcpListener, TcpStream};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Instant;

use nix::sys::signal::{kill, Signal};
use nix::unistd::Pid;

use super::PATIENCE;

/// A port that nobody listens on, and another one each time. It lies below those that the system gives to connections,
/// so that none of these takes it before the server does, or while the server is down.
pub fn free_port() -> u16 {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    loop {
        let number =
            std::process::id().wrapping_mul(7_919).wrapping_add(NEXT.fetch_add(1, Ordering::Relaxed));
        let port = 10_000 + (number % 22_000) as u16;
        if TcpListener::bind(("127.0.0.1", port)).is_ok() {
            return port;
        }
    }
}

/// A folder that goes with the test.
#[derive(Debug)]
pub struct Folder(pub PathBuf);

impl Folder {
    pub fn new() -> Folder {
        let path = std::env::temp_dir().join(format!("remqtt-{}-{}", std::process::id(), free_port()));
        fs::create_dir_all(&path).unwrap();
        Folder(path)
    }

    /// Writes a file and returns its path.
    pub fn write(&self, name: &str, content: impl AsRef<[u8]>) -> String {
        fs::write(self.0.join(name), content).unwrap();
        self.path(name)
    }

    pub fn path(&self, name: &str) -> String {
        self.0.join(name).display().to_string()
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

/// A process that listens.
pub struct Server {
    arguments: Vec<String>,
    folder: PathBuf,
    probe: Probe,
    process: Option<Child>,
}

enum Probe {
    Port(u16),
    Socket(PathBuf),
}

impl Server {
    fn new(folder: &Path, probe: Probe, arguments: &[&str]) -> Server {
        let arguments = arguments.iter().map(|argument| (*argument).to_owned()).collect();
        let mut server = Server { arguments, folder: folder.to_owned(), probe, process: None };
        server.run();
        server
    }

    /// The server of this command line, once it listens on the port.
    pub fn on(port: u16, folder: &Path, arguments: &[&str]) -> Server {
        Server::new(folder, Probe::Port(port), arguments)
    }

    pub fn run(&mut self) {
        assert!(self.process.is_none());
        let (program, arguments) = self.arguments.split_first().unwrap();
        // Daemons live outside the usual path.
        let path = format!("{}:/usr/sbin:/usr/local/sbin", std::env::var("PATH").unwrap_or_default());
        let spawned = Command::new(program)
            .args(arguments)
            .current_dir(&self.folder)
            .env("PATH", path)
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn();
        let process = match spawned {
            Err(error) if error.kind() == ErrorKind::NotFound => {
                panic!("{program} is not installed: these tests need it (package {program})")
            }
            spawned => self.process.insert(spawned.unwrap()),
        };
        let begin = Instant::now();
        while !match &self.probe {
            Probe::Port(port) => TcpStream::connect(("127.0.0.1", *port)).is_ok(),
            Probe::Socket(path) => UnixStream::connect(path).is_ok(),
        } {
            assert_eq!(process.try_wait().unwrap(), None, "{program} ended");
            assert!(begin.elapsed() < PATIENCE, "{program} does not listen");
            std::thread::yield_now();
        }
    }

    pub fn kill(&mut self) {
        if let Some(mut process) = self.process.take() {
            process.kill().unwrap();
            process.wait().unwrap();
        }
    }

    /// Ends it in order and waits for it.
    pub fn stop(&mut self) {
        if let Some(mut process) = self.process.take() {
            kill(Pid::from_raw(process.id() as i32), Signal::SIGTERM).unwrap();
            process.wait().unwrap();
        }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        if let Some(mut process) = self.process.take() {
            let _ = process.kill();
            let _ = process.wait();
        }
    }
}

/// A mosquitto that forgets everything when it is killed, and nothing when it is stopped.
pub struct Broker {
    server: Server,
    /// Of its TCP listener, if it has one.
    pub port: u16,
    pub folder: Folder,
}

impl Broker {
    /// On plain TCP.
    pub fn plain() -> Broker {
        Broker::on_port(Folder::new(), "")
    }

    /// On TCP, with these lines for the listener.
    pub fn on_port(folder: Folder, lines: &str) -> Broker {
        let port = free_port();
        let server =
            Broker::serve(&folder, Probe::Port(port), &format!("listener {port} 127.0.0.1\n{lines}"));
        Broker { server, port, folder }
    }

    /// On WebSocket.
    pub fn on_websocket(folder: Folder, lines: &str) -> Broker {
        // mosquitto 2.0 ends if it has listeners for WebSocket only.
        let other = folder.path("other");
        let lines = format!("protocol websockets\nsocket_domain ipv4\n{lines}\nlistener 0 {other}\n");
        Broker::on_port(folder, &lines)
    }

    /// On a Unix socket named `socket` in its folder.
    pub fn on_socket(folder: Folder) -> Broker {
        let path = folder.path("socket");
        let probe = Probe::Socket(path.clone().into());
        let server = Broker::serve(&folder, probe, &format!("listener 0 {path}\n"));
        Broker { server, port: 0, folder }
    }

    fn serve(folder: &Folder, probe: Probe, listener: &str) -> Server {
        let place = folder.path("");
        let config = format!(
            "per_listener_settings false\nuser root\nallow_anonymous true\nmax_queued_messages 0\n\
             persistence true\npersistence_location {place}/\nset_tcp_nodelay true\n{listener}\n"
        );
        folder.write("mosquitto.conf", config);
        Server::new(&folder.0, probe, &["mosquitto", "-c", "mosquitto.conf"])
    }

    pub fn kill(&mut self) {
        self.server.kill();
        let _ = fs::remove_file(self.folder.0.join("mosquitto.db"));
    }

    pub fn stop(&mut self) {
        self.server.stop();
    }

    pub fn run(&mut self) {
        self.server.run();
    }
}
