//! What Python does on the way to a server: TLS of an `ssl.SSLContext`, headers that a function makes, and credentials.
//!
//! The core asks on a thread that may block. The question goes to a thread of Python's own making, which does the work
//! and answers; so Python code never runs above native frames here either.

use std::os::fd::{IntoRawFd, OwnedFd, RawFd};
use std::os::unix::net::UnixStream;
use std::sync::mpsc::{sync_channel, RecvTimeoutError, SyncSender};
use std::time::Duration;

use parking_lot::Mutex;
use pyo3::exceptions::PyRuntimeError;
use pyo3::prelude::*;
use remqtt_core::{Credentials, Dialler, Error, ErrorCode, Login, Part, Secret, Target};

use crate::pool::{want, Job};
use crate::properties::{binary, text};

/// How much longer than the attempt an answer is waited for, so that its own words arrive.
const GRACE: Duration = Duration::from_secs(1);

/// The dialler of a Python client.
#[derive(Debug)]
pub(crate) struct Helper {
    /// Under which Python finds its client; not the client, which would be kept alive.
    pub(crate) client: u64,
    pub(crate) encrypts: bool,
    pub(crate) headers: bool,
}

/// What Python says; most questions want only a part of it.
#[derive(Default)]
struct Said {
    headers: Option<Vec<(String, String)>>,
    login: Login,
}

type Answer = Result<Said, Error>;

/// Asks Python, and waits for what it says; `target`: where the way leads, if that matters.
fn ask(
    client: u64,
    about: &'static str,
    timeout: Duration,
    target: Option<&Target>,
    sockets: Option<(OwnedFd, OwnedFd)>,
) -> Answer {
    let (answer, answers) = sync_channel(1);
    let (host, port) = target.map(|target| (target.host.clone(), target.port)).unwrap_or_default();
    let (sockets, answer) = (Mutex::new(sockets), Mutex::new(Some(answer)));
    want(Job::Question(Question { client, about, host, port, timeout, sockets, answer }));
    answers.recv_timeout(timeout + GRACE).unwrap_or_else(|error| {
        let why = match error {
            RecvTimeoutError::Timeout => "Python did not answer in time",
            RecvTimeoutError::Disconnected => "Python gave no answer",
        };
        Err(Error::new(ErrorCode::HandshakeFailed, why))
    })
}

impl Dialler for Helper {
    fn part(&self) -> Part {
        match self.encrypts {
            true => Part::Encryption,
            false => Part::Headers,
        }
    }

    fn dial(&self, _: &Target) -> Result<OwnedFd, Error> {
        Err(Error::new(ErrorCode::HandshakeFailed, "Python encrypts and does not dial"))
    }

    fn encrypt(&self, connection: OwnedFd, target: &Target) -> Result<OwnedFd, Error> {
        let (ours, theirs) =
            UnixStream::pair().map_err(|error| Error::new(ErrorCode::Resource, error.to_string()))?;
        ask(self.client, "tls", target.timeout, Some(target), Some((connection, theirs.into())))?;
        Ok(ours.into())
    }

    fn headers(&self, target: &Target) -> Result<Option<Vec<(String, String)>>, Error> {
        match self.headers {
            true => Ok(ask(self.client, "headers", target.timeout, Some(target), None)?.headers),
            false => Ok(None),
        }
    }
}

/// Who a Python client is, asked before each attempt.
#[derive(Debug)]
pub(crate) struct Asker {
    /// As in `Helper`.
    pub(crate) client: u64,
}

impl Credentials for Asker {
    fn credentials(&self, within: Duration) -> Result<Login, Error> {
        ask(self.client, "credentials", within, None, None).map(|said| said.login)
    }
}

/// What the core wants to know from Python.
#[pyclass(frozen, module = "remqtt._native")]
pub(crate) struct Question {
    client: u64,
    about: &'static str,
    host: String,
    port: u16,
    timeout: Duration,
    /// The connection to encrypt, and the end of the pair that carries its plain bytes.
    sockets: Mutex<Option<(OwnedFd, OwnedFd)>>,
    answer: Mutex<Option<SyncSender<Answer>>>,
}

impl Question {
    fn say(&self, answer: Answer) {
        if let Some(sender) = self.answer.lock().take() {
            // Nobody listens any more when the attempt is over.
            let _ = sender.send(answer);
        }
    }
}

#[pymethods]
impl Question {
    /// The number that the client gave to `help_with`.
    #[getter]
    fn client(&self) -> u64 {
        self.client
    }

    /// "tls", "headers" or "credentials".
    #[getter]
    fn about(&self) -> &str {
        self.about
    }

    /// Host name or address of the server.
    #[getter]
    fn host(&self) -> &str {
        &self.host
    }

    /// Port of the server.
    #[getter]
    fn port(&self) -> u16 {
        self.port
    }

    /// Seconds that the attempt may take.
    #[getter]
    fn timeout(&self) -> f64 {
        self.timeout.as_secs_f64()
    }

    /// The descriptors of the connection and of the plain end, which then belong to the caller; None when it is not about
    /// TLS.
    fn sockets(&self) -> Option<(RawFd, RawFd)> {
        let (connection, plain) = self.sockets.lock().take()?;
        Some((connection.into_raw_fd(), plain.into_raw_fd()))
    }

    /// The connection is encrypted, or these are the headers.
    #[pyo3(signature = (headers = None))]
    fn done(&self, headers: Option<Vec<(String, String)>>) {
        self.say(Ok(Said { headers, ..Said::default() }));
    }

    /// This is who the client is.
    #[pyo3(signature = (username, password, authentication_data))]
    fn login(
        &self,
        username: Option<Bound<'_, PyAny>>,
        password: Option<Bound<'_, PyAny>>,
        authentication_data: Option<Bound<'_, PyAny>>,
    ) -> PyResult<()> {
        let secret =
            |value: Option<Bound<'_, PyAny>>| value.map(|value| binary(&value).map(Secret)).transpose();
        let username = username.map(|username| text(&username)).transpose()?;
        let (password, authentication_data) = (secret(password)?, secret(authentication_data)?);
        let login = Login { username, password, authentication_data };
        self.say(Ok(Said { login, ..Said::default() }));
        Ok(())
    }

    /// It cannot be done; `code` is a name in the table of errors.
    fn failed(&self, code: &str, text: &str) -> PyResult<()> {
        let code = ErrorCode::TABLE.iter().find(|row| row.name() == code);
        let code = code.ok_or_else(|| PyRuntimeError::new_err("no error has this name"))?;
        self.say(Err(Error::new(*code, text)));
        Ok(())
    }
}
