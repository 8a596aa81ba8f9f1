//! The pool of parse workers: child processes that read mails, so that no mail can harm the daemon (decisions D6).
//! Only this module starts processes (and `config::secret`, for a secret given as a command).

mod child;
mod fence;
#[cfg(any(test, fuzzing))]
pub mod fuzz;
mod wire;
pub mod worker;

use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use futures_util::future::join_all;
use tokio::sync::Semaphore;

use crate::fault::Fault;
use crate::message::{Depth, Message, Rules};
use crate::parser::child::{Reading, Worker};

/// How reading a mail in a worker failed.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The worker ended in the middle: one strike.
    #[error("the parse worker died on the mail ({how})")]
    Died {
        /// Signal or exit code.
        how: String,
    },
    /// The worker took longer than `parse_time` and was stopped: one strike.
    #[error("the parse worker was stopped after {seconds} s")]
    Late {
        /// The time it had.
        seconds: u64,
    },
    /// The worker's answer breaks the frame format or a bound: one strike.
    #[error("the parse worker's answer was refused: {reason}")]
    Refused {
        /// Which rule it broke.
        reason: String,
    },
    /// The worker could not read the file that holds the mail: nobody's strike, try again.
    #[error("the parse worker could not read the file that holds the mail")]
    NoFile,
    /// No worker could be started: nobody's strike, try again.
    #[error("starting a parse worker: {0}")]
    Spawn(io::Error),
}

impl Error {
    /// What it means for retries; the first three are strikes and lead a step down before that.
    #[must_use]
    pub const fn fault(&self) -> Fault {
        match self {
            Self::Spawn(_) | Self::NoFile => Fault::Transient,
            Self::Died { .. } | Self::Late { .. } | Self::Refused { .. } => Fault::Permanent,
        }
    }

    /// Whether it is a strike against the mail.
    #[must_use]
    pub const fn is_strike(&self) -> bool {
        !matches!(self, Self::Spawn(_) | Self::NoFile)
    }
}

/// A mail as it is handed to a worker.
#[derive(Debug, Clone, Copy)]
pub enum Source<'a> {
    /// Its bytes.
    Bytes(&'a [u8]),
    /// The file that holds them, for the worker to read: a large mail is in memory once.
    File(&'a Path),
}

impl<'a, T: AsRef<[u8]> + ?Sized> From<&'a T> for Source<'a> {
    fn from(raw: &'a T) -> Self {
        Self::Bytes(raw.as_ref())
    }
}

/// A bounded set of parse workers. Clones are the same set.
#[derive(Debug, Clone)]
pub struct Pool {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    program: PathBuf,
    seats: Semaphore,
    idle: Mutex<Vec<Worker>>,
    /// The warning about workers without a fence was given.
    warned: AtomicBool,
}

impl Pool {
    /// A pool of at most `workers` children of `program` (`mailbridge`, which knows the hidden subcommand
    /// `parse-worker`); 0 = one for each processor, at most 4. Children are started when they are needed.
    #[must_use]
    pub fn new(program: PathBuf, workers: usize) -> Self {
        let workers = match workers {
            0 => std::thread::available_parallelism().map_or(1, usize::from).min(4),
            some => some,
        };
        let shared = Shared {
            program,
            seats: Semaphore::new(workers),
            idle: Mutex::new(Vec::with_capacity(workers)),
            warned: AtomicBool::new(false),
        };
        Self { shared: Arc::new(shared) }
    }

    /// Reads `raw` at one depth in a worker. `alone`: in a fresh worker that reads nothing else (a mail already struck).
    ///
    /// The caller walks the ladder: after a strike it records it, then asks again one step down ([`Depth::down`]), alone.
    /// The message may be less deep than asked for, when the mail is beyond a bound that the reader itself has seen.
    /// Dropping the future ends the worker that was reading.
    ///
    /// # Errors
    /// See [`Error`]. The pool replaces a worker that died; it never tries again by itself.
    pub async fn parse(
        &self,
        raw: impl Into<Source<'_>>,
        rules: &Rules,
        depth: Depth,
        alone: bool,
    ) -> Result<Message, Error> {
        let readings = self.read(&[(raw.into(), depth)], rules, alone).await?;
        let none = || Err(Error::Refused { reason: "no answer".to_owned() });
        readings.into_iter().next().unwrap_or_else(none)
    }

    /// Reads several mails at full depth in one worker, one after the other: one way there and back for all of them. `None`
    /// when that did not end well: which mail has done it is not known then, it is nobody's strike, and each is to be
    /// read by itself. So is one that has no message here.
    pub async fn parse_together(&self, mails: &[Source<'_>], rules: &Rules) -> Option<Vec<Option<Message>>> {
        let mails: Vec<_> = mails.iter().map(|source| (*source, Depth::Full)).collect();
        let readings = self.read(&mails, rules, false).await.ok()?;
        Some(readings.into_iter().map(Result::ok).collect())
    }

    async fn read(&self, mails: &[(Source<'_>, Depth)], rules: &Rules, alone: bool) -> Result<Vec<Reading>, Error> {
        let closed = |_| Error::Spawn(io::Error::other("the pool is closed"));
        let _seat = self.shared.seats.acquire().await.map_err(closed)?;
        let waiting = if alone { None } else { self.live_worker() };
        let mut worker = match waiting {
            Some(worker) => worker,
            None => Worker::spawn(&self.shared.program, rules).map_err(Error::Spawn)?,
        };
        let outcome = worker.read(mails, rules).await;
        self.warn_once(&mut worker);
        if outcome.is_ok() && !alone && worker.is_fit() && !self.shared.seats.is_closed() {
            self.idle().push(worker);
        }
        outcome
    }

    /// Closes the workers' inputs and waits for their end, at most a second. Nothing is read afterwards.
    pub async fn close(&self) {
        self.shared.seats.close();
        let workers = std::mem::take(&mut *self.idle());
        join_all(workers.into_iter().map(Worker::close)).await;
    }

    /// A waiting worker; those that have ended meanwhile are forgotten.
    fn live_worker(&self) -> Option<Worker> {
        let mut idle = self.idle();
        while let Some(mut worker) = idle.pop() {
            if worker.is_alive() {
                return Some(worker);
            }
        }
        None
    }

    fn idle(&self) -> MutexGuard<'_, Vec<Worker>> {
        self.shared.idle.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn warn_once(&self, worker: &mut Worker) {
        let Some(why) = worker.unfenced.take() else {
            return;
        };
        if !self.shared.warned.swap(true, Ordering::Relaxed) {
            tracing::warn!(
                event = crate::telemetry::event::PARSER_UNFENCED,
                error = %why,
                "Parse workers run without their system call filter: the service unit must allow the seccomp call."
            );
        }
    }
}
