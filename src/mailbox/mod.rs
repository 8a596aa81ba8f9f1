//! One mailbox: connect, take in what is new, act on what is finished, wait. Lives until the daemon ends; whatever goes
//! wrong becomes a state, an event and a delay, and harms no other mailbox.
//!
//! Never parses a mail and never knows what becomes of it: it meets delivery only in the queue.

mod disposition;
mod folder;
mod intake;
mod load;
mod report;
mod stand_in;
mod told;
mod wait;

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::Semaphore;

use crate::clock::Clock;
use crate::config::{self, Limits, Tls};
use crate::fault::Fault;
use crate::ids::{MailboxName, TenantName};
use crate::imap;
use crate::imap::Session;
use crate::imap::error::Stage;
use crate::queue::{self, Queue, Room};
use crate::stop::{Phase, Stop};
use crate::telemetry::progress::{MailboxState, Progress, Pulse};

use folder::Folder;
use report::Report;

/// How long the work under way may go on when the daemon drains.
const DRAIN: Duration = Duration::from_secs(3);

/// What a mailbox needs to live.
#[derive(Debug, Clone)]
pub struct Context {
    /// Its name.
    pub name: MailboxName,
    /// Its options.
    pub config: Arc<config::Mailbox>,
    /// Where its mail goes.
    pub tenant: TenantName,
    /// Whom we believe.
    pub tls: Tls,
    /// The bounds.
    pub limits: Limits,
    /// The queue.
    pub queue: Queue,
    /// Where it reports.
    pub progress: Progress,
    /// The time of day.
    pub clock: Clock,
    /// One permit for each KiB of `limits.in_flight_bytes`, shared by all mailboxes.
    pub in_flight: Arc<Semaphore>,
}

/// What stopped a visit.
#[derive(Debug, thiserror::Error)]
enum Trouble {
    /// The mail server.
    #[error(transparent)]
    Mail(#[from] imap::Error),
    /// The store failed.
    #[error(transparent)]
    Store(#[from] queue::Error),
    /// The store has no room for more mail.
    #[error("the store has no room: {} bytes are free", .0.free_bytes)]
    Full(Room),
}

/// Runs the mailbox until the daemon drains; returns soon after that.
pub async fn run(context: Context, stop: Stop) {
    let beat = beat_name(&context.name);
    let progress = context.progress.clone();
    let mut mailbox = Mailbox::new(context, stop.clone());
    tokio::select! {
        () = mailbox.live() => {}
        () = patience_ends(&stop) => {}
    }
    progress.end_beat(&beat);
}

/// The name under which the mailbox reports that it is alive.
fn beat_name(name: &MailboxName) -> String {
    format!("mailbox {name}")
}

async fn patience_ends(stop: &Stop) {
    stop.reached(Phase::Drain).await;
    tokio::select! {
        () = tokio::time::sleep(DRAIN) => {}
        () = stop.reached(Phase::Now) => {}
    }
}

struct Mailbox {
    context: Context,
    stop: Stop,
    folders: Vec<Folder>,
    report: Report,
    idling: wait::Idling,
}

impl Mailbox {
    fn new(context: Context, stop: Stop) -> Self {
        let folders = context.config.folders.iter().map(|name| Folder::new(&context.name, name)).collect();
        let report = Report::new(&context);
        Self { context, stop, folders, report, idling: wait::Idling::default() }
    }

    fn stopping(&self) -> bool {
        self.stop.phase() > Phase::Run
    }

    async fn live(&mut self) {
        while !self.stopping() {
            let Err(error) = self.connect_and_serve().await else { continue };
            let delay = self.report.failed(&error);
            self.report.beat(delay);
            tokio::select! {
                () = tokio::time::sleep(delay) => {}
                () = self.stop.reached(Phase::Drain) => {}
            }
        }
    }

    async fn connect_and_serve(&mut self) -> Result<(), imap::Error> {
        self.report.state(MailboxState::Connecting);
        self.report.beat(self.longest_silence());
        let Context { name, config, tls, limits, progress, .. } = &self.context;
        let pulse = Pulse::new(progress.clone(), &beat_name(name));
        let mut session = Session::open(config, tls, limits, pulse).await?;
        self.report.connected(&session);
        self.folders.iter_mut().for_each(Folder::new_session);
        let ended = self.serve(&mut session).await;
        if ended.as_ref().err().is_none_or(|error| !error.ends_session()) {
            session.logout().await;
        }
        ended
    }

    /// Visits the folders that are due and waits, in turn, until the daemon drains or the session fails.
    async fn serve(&mut self, session: &mut Session) -> Result<(), imap::Error> {
        loop {
            match self.visit_due(session).await {
                Ok(()) => self.report.good(self.folders.iter().any(|folder| folder.refused)),
                Err(Trouble::Mail(error)) => return Err(error),
                Err(trouble @ Trouble::Full(_)) => {
                    self.report.store_trouble(&trouble);
                    self.folders.iter_mut().for_each(|folder| folder.put_off(self.context.config.poll_interval.0));
                }
                Err(trouble @ Trouble::Store(_)) => {
                    self.report.store_trouble(&trouble);
                    self.folders.iter_mut().for_each(|folder| folder.rest(self.context.config.poll_interval.0));
                }
            }
            if self.stopping() {
                return Ok(());
            }
            self.wait(session).await?;
            if self.stopping() {
                return Ok(());
            }
        }
    }

    /// The first folder comes last: it is the one that stays selected for IDLE.
    async fn visit_due(&mut self, session: &mut Session) -> Result<(), Trouble> {
        if self.folders.iter().skip(1).any(Folder::is_due)
            && let Some(first) = self.folders.first_mut().filter(|first| !first.refused)
        {
            first.search_now();
        }
        for at in (0..self.folders.len()).rev() {
            if self.folders.get(at).is_some_and(Folder::is_due) && !self.stopping() {
                match self.visit(session, at).await {
                    Err(Trouble::Mail(error)) if self.concerns_only(at, &error) => self.put_off(at, &error),
                    visited => visited?,
                }
            }
        }
        Ok(())
    }

    /// One folder that cannot be selected does not stop the others, as long as there are others.
    fn concerns_only(&self, at: usize, error: &imap::Error) -> bool {
        let folder_only = matches!(error.fault(), Fault::Transient | Fault::Permanent);
        let others = self.folders.iter().enumerate().any(|(other, folder)| other != at && !folder.refused);
        folder_only && others && error.stage() == Stage::Select && !error.ends_session()
    }

    fn put_off(&mut self, at: usize, error: &imap::Error) {
        if let Some(folder) = self.folders.get_mut(at) {
            self.report.folder_refused(&folder.key.folder, folder.refused, error);
            folder.refused = true;
            folder.rest(self.context.config.reconnect_max.0);
        }
    }

    async fn visit(&mut self, session: &mut Session, at: usize) -> Result<(), Trouble> {
        self.report.state(MailboxState::Sync);
        self.report.beat(self.longest_silence());
        let Some(folder) = self.folders.get_mut(at) else { return Ok(()) };
        let entered = folder.view.is_some() && session.is_selected(&folder.key.folder);
        if !entered || (folder.search_is_due() && !folder.has_news()) {
            let view = session.select(&folder.key.folder).await?;
            folder.enter(&self.context, session, view).await?;
        }
        folder.look_for_orders(&self.context).await?;
        if folder.search_is_due() {
            let mut intake = intake::Intake::begin(&self.context, session, folder).await?;
            while self.stop.phase() == Phase::Run {
                self.report.backlog(at, intake.backlog());
                self.report.beat(longest_silence(&self.context));
                let more = intake.take_some(session, folder, &self.stop).await?;
                disposition::run(&self.context, session, folder).await?;
                if !more {
                    break;
                }
            }
            intake.give_up_vanished(folder).await?;
            if intake.end(session, folder) {
                disposition::settle_previous(&self.context, folder).await?;
            }
            self.report.backlog(at, intake.backlog());
            self.report.waiting(at, folder.waiting_to_start());
        }
        disposition::run(&self.context, session, folder).await
    }

    fn longest_silence(&self) -> Duration {
        longest_silence(&self.context)
    }
}

/// For how long the mailbox may give no sign of life while it works, for the watchdog. Whatever is heard from the server is
/// one, so this does not grow with the size of a mail: what is left is opening the connection, and silence.
fn longest_silence(context: &Context) -> Duration {
    context.config.io_timeout.0.saturating_mul(3).saturating_add(context.config.connect_timeout.0)
}
