//! The other end of the control socket, for the command line.

use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde::de::DeserializeOwned;
use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::UnixStream;
use tokio::time::timeout;

use crate::admin::protocol::{Answer, MAX_ANSWER, Refusal, Request};

/// The longest wait for one answer line; the daemon's own deadline comes first.
const ANSWER_DEADLINE: Duration = Duration::from_secs(150);

/// How a request failed.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Nobody listens there.
    #[error("no mailbridge answers at {path}: {source}")]
    Unreachable {
        /// The socket.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// The connection broke.
    #[error("asking the mailbridge at {path}: {source}")]
    Broken {
        /// The socket.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// The answer is not of this version's protocol.
    #[error("the mailbridge at {path} answered in a way that this version does not understand: {what}")]
    Protocol {
        /// The socket.
        path: PathBuf,
        /// Where it went wrong.
        what: String,
    },
    /// The daemon said no.
    #[error(transparent)]
    Refused(#[from] Refusal),
}

/// A connection for one request.
#[derive(Debug)]
pub struct Client {
    path: PathBuf,
    stream: UnixStream,
}

impl Client {
    /// Connects.
    ///
    /// # Errors
    /// When nobody listens there, or the rights do not suffice.
    pub async fn connect(path: &Path) -> Result<Self, Error> {
        let unreachable = |source| Error::Unreachable { path: path.to_owned(), source };
        let stream = UnixStream::connect(path).await.map_err(unreachable)?;
        Ok(Self { path: path.to_owned(), stream })
    }

    /// Asks, and hands each item to `take` as it comes.
    ///
    /// # Errors
    /// See [`Error`].
    pub async fn ask<T: DeserializeOwned>(self, request: &Request, mut take: impl FnMut(T)) -> Result<(), Error> {
        let Self { path, stream } = self;
        let broken = |source| Error::Broken { path: path.clone(), source };
        let protocol = |what: String| Error::Protocol { path: path.clone(), what };
        let (reader, mut writer) = stream.into_split();
        let mut line = serde_json::to_string(request).map_err(|error| protocol(error.to_string()))?;
        line.push('\n');
        writer.write_all(line.as_bytes()).await.map_err(broken)?;
        let mut reader = BufReader::new(reader);
        loop {
            let mut line = String::new();
            let mut bounded = (&mut reader).take(MAX_ANSWER);
            let read = timeout(ANSWER_DEADLINE, bounded.read_line(&mut line)).await;
            if read.map_err(|late| broken(late.into()))?.map_err(broken)? == 0 {
                return Err(broken(io::ErrorKind::UnexpectedEof.into()));
            }
            match serde_json::from_str(&line).map_err(|error| protocol(error.to_string()))? {
                Answer::Item(item) => take(serde_json::from_value(item).map_err(|e| protocol(e.to_string()))?),
                Answer::Ok { .. } => return Ok(()),
                Answer::Error(refusal) => return Err(refusal.into()),
            }
        }
    }

    /// Asks for exactly one item.
    ///
    /// # Errors
    /// See [`Error`]; none at all is an error too.
    pub async fn ask_one<T: DeserializeOwned>(self, request: &Request) -> Result<T, Error> {
        let path = self.path.clone();
        let mut item = None;
        self.ask(request, |one| item = Some(one)).await?;
        item.ok_or_else(|| Error::Protocol { path, what: "the answer is empty".to_owned() })
    }
}
