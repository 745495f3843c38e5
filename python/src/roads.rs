//! What Python does on the way to a server: TLS of an `ssl.SSLContext`, headers that a function makes.
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
use remqtt_core::{Dialler, Error, ErrorCode, Part, Target};

use crate::pool::{want, Job};

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

type Answer = Result<Option<Vec<(String, String)>>, Error>;

impl Helper {
    fn ask(&self, sockets: Option<(OwnedFd, OwnedFd)>, target: &Target) -> Answer {
        let (answer, answers) = sync_channel(1);
        let question = Question {
            client: self.client,
            target: target.clone(),
            sockets: Mutex::new(sockets),
            answer: Mutex::new(Some(answer)),
        };
        want(Job::Question(question));
        answers.recv_timeout(target.timeout + GRACE).unwrap_or_else(|error| {
            let why = match error {
                RecvTimeoutError::Timeout => "Python did not answer in time",
                RecvTimeoutError::Disconnected => "Python gave no answer",
            };
            Err(Error::new(ErrorCode::HandshakeFailed, why))
        })
    }
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
        self.ask(Some((connection, theirs.into())), target)?;
        Ok(ours.into())
    }

    fn headers(&self, target: &Target) -> Result<Option<Vec<(String, String)>>, Error> {
        match self.headers {
            true => self.ask(None, target),
            false => Ok(None),
        }
    }
}

/// What the core wants to know from Python.
#[pyclass(frozen, module = "remqtt._native")]
pub(crate) struct Question {
    client: u64,
    target: Target,
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

    /// Host name or address of the server.
    #[getter]
    fn host(&self) -> &str {
        &self.target.host
    }

    /// Port of the server.
    #[getter]
    fn port(&self) -> u16 {
        self.target.port
    }

    /// Seconds that the attempt may take.
    #[getter]
    fn timeout(&self) -> f64 {
        self.target.timeout.as_secs_f64()
    }

    /// The descriptors of the connection and of the plain end, which then belong to the caller; None when headers are
    /// wanted.
    fn sockets(&self) -> Option<(RawFd, RawFd)> {
        let (connection, plain) = self.sockets.lock().take()?;
        Some((connection.into_raw_fd(), plain.into_raw_fd()))
    }

    /// The connection is encrypted, or these are the headers.
    #[pyo3(signature = (headers = None))]
    fn done(&self, headers: Option<Vec<(String, String)>>) {
        self.say(Ok(headers));
    }

    /// It cannot be done; `code` is a name in the table of errors.
    fn failed(&self, code: &str, text: &str) -> PyResult<()> {
        let code = ErrorCode::TABLE.iter().find(|row| row.name() == code);
        let code = code.ok_or_else(|| PyRuntimeError::new_err("no error has this name"))?;
        self.say(Err(Error::new(*code, text)));
        Ok(())
    }
}
