//! The peer behind TLS. Records are so short that most packets lie in several.

use std::io::{ErrorKind, Read as _, Write as _};
use std::net::TcpStream;
use std::sync::Arc;
use std::time::{Duration, Instant};

use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::{ServerConfig, ServerConnection};

use super::{is_timeout, wait_for, Line, SAFETY};
use crate::common::broker::Folder;
use crate::common::certificates::{Authority, Valid};
use crate::stage::{Outcome, Read};

/// Bytes of a record, with its head.
const RECORD: usize = 128;

/// A server with a certificate for 127.0.0.1, and the file of the authority that issued it.
pub struct Server {
    config: Arc<ServerConfig>,
    folder: Folder,
}

impl std::fmt::Debug for Server {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Server").finish_non_exhaustive()
    }
}

impl Server {
    pub(super) fn new() -> Outcome<Server> {
        let authority = Authority::new("Scenarios");
        let identity = authority.issue("peer", &["127.0.0.1"], Valid::Now);
        let folder = Folder::new();
        folder.write("ca.pem", authority.pem());
        let chain = CertificateDer::pem_slice_iter(identity.certificate.as_bytes())
            .collect::<Result<_, _>>()
            .map_err(|error| error.to_string())?;
        let key =
            PrivateKeyDer::from_pem_slice(identity.key.as_bytes()).map_err(|error| error.to_string())?;
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let mut config = ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .and_then(|builder| builder.with_no_client_auth().with_single_cert(chain, key))
            .map_err(|error| error.to_string())?;
        config.max_fragment_size = Some(RECORD);
        Ok(Server { config: Arc::new(config), folder })
    }

    /// The file that the client needs.
    pub(super) fn authority(&self) -> String {
        self.folder.path("ca.pem")
    }

    pub(super) fn accept(&self, mut socket: TcpStream) -> Outcome<Tls> {
        let mut connection = ServerConnection::new(self.config.clone()).map_err(|error| error.to_string())?;
        while connection.is_handshaking() {
            match connection.complete_io(&mut socket) {
                Ok(_) => {}
                Err(error) if is_timeout(&error) => {
                    return Err("the client does not finish the handshake".into())
                }
                Err(error) if error.kind() == ErrorKind::InvalidData => return Err(error.to_string()),
                Err(_) => break, // it has left
            }
        }
        Ok(Tls { connection, socket })
    }
}

/// One connection.
#[derive(Debug)]
pub(crate) struct Tls {
    connection: ServerConnection,
    socket: TcpStream,
}

impl Tls {
    /// Hands to the socket what TLS has to say.
    fn write(&mut self) {
        let _ = wait_for(&self.socket, SAFETY);
        while self.connection.wants_write() {
            if self.connection.write_tls(&mut self.socket).is_err() {
                break;
            }
        }
    }
}

impl Line for Tls {
    fn send(&mut self, bytes: &[u8]) {
        // In pieces: what TLS takes at once is bounded.
        for piece in bytes.chunks(16 << 10) {
            let _ = self.connection.writer().write_all(piece);
            self.write();
        }
    }

    fn flush(&mut self) {}

    fn read(&mut self, within: Duration) -> Outcome<Read> {
        let begin = Instant::now();
        let mut buffer = vec![0; 64 * 1024];
        loop {
            match self.connection.reader().read(&mut buffer) {
                Ok(0) => return Ok(Read::Closed),
                Ok(length) => {
                    buffer.truncate(length);
                    return Ok(Read::Bytes(buffer));
                }
                Err(error) if error.kind() == ErrorKind::WouldBlock => {}
                Err(_) => return Ok(Read::Closed),
            }
            wait_for(&self.socket, within.saturating_sub(begin.elapsed()))?;
            match self.connection.read_tls(&mut self.socket) {
                Ok(0) => return Ok(Read::Closed), // the end of TCP, with or without a farewell
                Ok(_) => {}
                Err(error) if is_timeout(&error) => return Ok(Read::Nothing),
                Err(_) => return Ok(Read::Closed),
            }
            self.connection.process_new_packets().map_err(|error| error.to_string())?;
            self.write();
        }
    }

    fn finish(&mut self) {
        self.connection.send_close_notify();
        self.write();
    }

    fn socket(&self) -> &TcpStream {
        &self.socket
    }
}
