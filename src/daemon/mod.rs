//! The daemon: opens the store, starts one task for each mailbox and tenant, and ends them in order.
//!
//! Only a configuration that cannot be understood or an unusable store stops it (ruling 10); everything else is the
//! state of one mailbox or tenant. Never prints; the command line does.

pub mod places;

mod housekeeping;
mod reload;
mod supervisor;
mod systemd;
mod tasks;

use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::{Semaphore, mpsc, oneshot, watch};
use tokio::task::{JoinError, JoinHandle};

use crate::admin::control::{self, BindError};
use crate::admin::protocol::{Reason, Refusal, Verdict};
use crate::admin::status::Identity;
use crate::clock::Clock;
use crate::config::{Config, Loaded, Problem, Sources};
use crate::parser::Pool;
use crate::queue::{self, Queue, Recovery};
use crate::stop::{self, Phase, Stopper};
use crate::telemetry::event;
use crate::telemetry::progress::Progress;
use places::Places;
use supervisor::{ReloadRequest, Supervisor};
use tasks::Tasks;

/// Reloads that may wait at one time.
const WAITING_RELOADS: usize = 16;

/// What a daemon is started with.
#[derive(Debug, Clone)]
pub struct Setup {
    /// The configuration.
    pub loaded: Loaded,
    /// Where it came from, to read it again.
    pub sources: Sources,
    /// Where store and socket lie.
    pub places: Places,
    /// The program whose hidden subcommand reads mails; `/proc/self/exe` in the real daemon.
    pub program: PathBuf,
    /// The time.
    pub clock: Clock,
}

/// Why a daemon did not start, or ended.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The store cannot be used.
    #[error("{0}")]
    Store(#[from] queue::Error),
    /// The control socket cannot be made.
    #[error("{0}")]
    Control(#[from] BindError),
    /// The system refused.
    #[error("{doing}: {source}")]
    System {
        /// What was tried.
        doing: &'static str,
        /// What it said.
        source: io::Error,
    },
    /// A part of the daemon itself panicked: a bug.
    #[error("the daemon broke: {0}")]
    Broken(#[from] JoinError),
}

/// A running daemon. Dropping it ends it at once.
#[derive(Debug)]
pub struct Daemon {
    stopper: Stopper,
    supervisor: JoinHandle<()>,
    reload: mpsc::Sender<ReloadRequest>,
    socket: PathBuf,
    /// How far each task has come.
    pub progress: Progress,
    /// The store.
    pub queue: Queue,
}

impl Daemon {
    /// Opens the store, binds the control socket, starts all tasks, and says so to the service manager. Mail servers
    /// and APIs are not waited for.
    ///
    /// # Errors
    /// When the store or the socket cannot be used.
    pub async fn start(setup: Setup) -> Result<Self, Error> {
        let Setup { loaded, sources, places, program, clock } = setup;
        // The only error is that a provider is installed already: then there is one.
        drop(rustls::crypto::ring::default_provider().install_default());
        let config = loaded.config;
        let progress = Progress::new();
        let queue = open_store(&places.store, &config, &clock, &progress).await?;
        let listener = control::bind(&places.socket)?;
        let (reload, reloads) = mpsc::channel(WAITING_RELOADS);
        let identity = Identity { instance: config.service.instance.clone(), started_at: clock.now() };
        let mut supervisor = Supervisor {
            sources,
            started_with: config.clone(),
            identity,
            queue: queue.clone(),
            pool: Pool::new(program, parse_workers(&config)),
            progress: progress.clone(),
            clock,
            in_flight: Arc::new(Semaphore::new(in_flight_kib(&config))),
            workers: Tasks::new(progress.clone()),
            services: Tasks::new(progress.clone()),
            reloads,
            config: watch::Sender::new(Arc::new(config)),
        };
        supervisor.start(listener, reload.clone());
        let (stopper, stop) = stop::pair();
        let supervisor = tasks::spawn(supervisor.run(stop));
        systemd::ready().await;
        Ok(Self { stopper, supervisor, reload, socket: places.socket, progress, queue })
    }

    /// Reads the configuration again.
    ///
    /// # Errors
    /// When it is refused: the old one stays in force.
    pub async fn reload(&self) -> Verdict {
        let gone = || Refusal { reason: Reason::Unavailable, text: "the daemon is about to end".to_owned() };
        let (sender, verdict) = oneshot::channel();
        self.reload.send(sender).await.map_err(|_| gone())?;
        verdict.await.map_err(|_| gone())?
    }

    /// Ends it: drains within `[service] shutdown_grace`, then closes the store.
    ///
    /// # Errors
    /// When the daemon broke before.
    pub async fn stop(mut self) -> Result<(), Error> {
        self.stopper.advance(Phase::Drain);
        self.ended().await
    }

    /// Waits for the end of all tasks and removes the socket.
    async fn ended(&mut self) -> Result<(), Error> {
        let ended = (&mut self.supervisor).await;
        // The socket may have been removed by hand.
        drop(std::fs::remove_file(&self.socket));
        Ok(ended?)
    }
}

/// Runs a daemon until a signal ends it: SIGTERM or SIGINT drains, a second one ends at once, SIGHUP reloads.
///
/// # Errors
/// As [`Daemon::start`]; and when the daemon broke.
pub async fn run(setup: Setup) -> Result<(), Error> {
    let mut signals = Signals::new().map_err(|source| Error::System { doing: "listening for signals", source })?;
    let (mailboxes, tenants) = (setup.loaded.config.mailboxes.len(), setup.loaded.config.tenants.len());
    tracing::info!(event = event::CONFIG_LOADED, files = setup.loaded.files.len(), "Configuration was read.");
    log_warnings(&setup.loaded.warnings);
    let mut daemon = Daemon::start(setup).await?;
    let version = env!("CARGO_PKG_VERSION");
    let queue_messages = unfinished(&daemon.queue).await;
    tracing::info!(event = event::SERVICE_STARTED, version, mailboxes, tenants, queue_messages, "Is ready.");
    for next in [Phase::Drain, Phase::Now] {
        loop {
            tokio::select! {
                ended = daemon.ended() => return ended,
                told = signals.next() => match told {
                    Told::End => break,
                    // Full: reloads wait already. The verdict is in the log.
                    Told::Reload => drop(daemon.reload.try_send(oneshot::channel().0)),
                },
            }
        }
        daemon.stopper.advance(next);
    }
    daemon.ended().await
}

/// How many parse workers there may be: `[parse] workers`, where 0 means one for each processor, at most 4.
#[must_use]
pub fn parse_workers(config: &Config) -> usize {
    match config.parse.workers {
        0 => std::thread::available_parallelism().map_or(1, usize::from).min(4),
        workers => usize::from(workers),
    }
}

/// What a signal means.
enum Told {
    End,
    Reload,
}

/// The signals that are heard.
#[derive(Debug)]
struct Signals {
    terminate: Signal,
    interrupt: Signal,
    reload: Signal,
}

impl Signals {
    fn new() -> io::Result<Self> {
        Ok(Self {
            terminate: signal(SignalKind::terminate())?,
            interrupt: signal(SignalKind::interrupt())?,
            reload: signal(SignalKind::hangup())?,
        })
    }

    async fn next(&mut self) -> Told {
        tokio::select! {
            _ = self.terminate.recv() => Told::End,
            _ = self.interrupt.recv() => Told::End,
            _ = self.reload.recv() => Told::Reload,
        }
    }
}

/// Opens the store beside the runtime's threads, and logs what a dead owner left in it.
async fn open_store(dir: &Path, config: &Config, clock: &Clock, progress: &Progress) -> Result<Queue, Error> {
    let (dir, options, strikes) = (dir.to_owned(), config.store.clone(), config.limits.crash_strikes);
    let (clock, progress) = (clock.clone(), progress.clone());
    let opened = tasks::blocking(move || Queue::open(&dir, &options, strikes, clock, progress)).await?;
    if let Err(error) = &opened {
        tracing::error!(event = event::STORE_ERROR, op = "open", %error, "The store cannot be used.");
    }
    let (queue, recovery) = opened?;
    log_recovery(&recovery);
    Ok(queue)
}

/// One line a kind; `mailbridge config check` prints all.
fn log_warnings(warnings: &[Problem]) {
    let mut kinds: BTreeMap<&str, (&Problem, u32)> = BTreeMap::new();
    for warning in warnings {
        let (_, count) = kinds.entry(warning.code).or_insert((warning, 0));
        *count = count.saturating_add(1);
    }
    for (code, (first, count)) in kinds {
        let place = first.place.as_ref().map(ToString::to_string).unwrap_or_default();
        let first = &first.text;
        if matches!(code, "plain-secret" | "env-secret") {
            tracing::warn!(
                event = event::SECRET_EXPOSED,
                code,
                count,
                first,
                place,
                "Secrets stand in the configuration itself; a file or a credential is safer."
            );
        } else {
            tracing::warn!(
                event = event::CONFIG_WARNING,
                code,
                count,
                first,
                place,
                "The configuration has a weak spot; `mailbridge config check` shows all."
            );
        }
    }
}

/// Mails that are not at their end; 0 when the store cannot say.
async fn unfinished(queue: &Queue) -> u64 {
    let stats = queue.stats().await.unwrap_or_default();
    stats.into_iter().filter(|(state, _)| !state.is_final()).map(|(_, numbers)| numbers.messages).sum()
}

fn log_recovery(recovery: &Recovery) {
    if let Some(from) = recovery.migrated_from {
        tracing::info!(event = event::STORE_MIGRATED, from, "Store was brought to the version of this program.");
    }
    for qid in &recovery.unknown {
        tracing::warn!(
            event = event::CRASH_STRIKE, place = "daemon", %qid, next_step = "look it up",
            "Message was being posted when the daemon died."
        );
    }
    for qid in &recovery.parked {
        tracing::error!(event = event::CRASH_PARKED, place = "daemon", %qid, "Message is parked unread.");
        tracing::error!(event = event::MESSAGE_DONE, %qid, state = "dead", error_class = "crash", "Message is done.");
    }
}

/// The permits of the semaphore that bounds raw mail in memory.
fn in_flight_kib(config: &Config) -> usize {
    let kib = config.limits.in_flight_bytes.0 / 1024;
    usize::try_from(kib).unwrap_or(Semaphore::MAX_PERMITS).clamp(1, Semaphore::MAX_PERMITS)
}
