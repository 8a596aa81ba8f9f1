//! Waiting: IDLE on the first folder where the server does it, else until the next poll (ruling 6). Ends early when
//! finished mails are to be acted on or the administrator has let old mail go. Every reason is a hint: the visit looks.

use std::time::Duration;

use tokio::sync::watch;
use tokio::time::Instant;

use super::Mailbox;
use super::folder::Folder;
use crate::config::mailbox::Mode;
use crate::imap::idle::Idled;
use crate::imap::{Error, Session};
use crate::queue::Queue;
use crate::stop::{Phase, Stop};
use crate::telemetry::progress::MailboxState;

/// Outcomes that follow each other closely are acted on together.
const GATHER: Duration = Duration::from_millis(300);

impl Mailbox {
    /// Waits until a folder is due, or the daemon drains.
    pub(super) async fn wait(&mut self, session: &mut Session) -> Result<(), Error> {
        let config = &self.context.config;
        let first = config.folders.first().is_some_and(|name| session.is_selected(name));
        if first && session.has_news() {
            self.folders.iter_mut().take(1).for_each(Folder::note_news);
            return Ok(());
        }
        let idle = first && !self.no_idle && config.mode == Mode::Auto && session.can_idle();
        let time = self.time_to_wait(idle);
        self.report.state(if idle { MailboxState::Idle } else { MailboxState::Wait });
        self.report.beat(time.saturating_add(self.longest_silence()));
        let called = called(&self.context.queue, &self.folders, &self.stop);
        let (why, acts) = match idle {
            true => {
                let mut acts = Vec::new();
                let why = session.idle(time, async { acts = called.await }).await?;
                (why, acts)
            }
            false => match tokio::time::timeout(time, called).await {
                Ok(acts) => (Idled::Called, acts),
                Err(_) => (Idled::Late, Vec::new()),
            },
        };
        for at in acts {
            if let Some(folder) = self.folders.get_mut(at) {
                folder.act = true;
            }
        }
        match why {
            Idled::News => self.folders.iter_mut().take(1).for_each(Folder::note_news),
            // The folder stays selected, so a search is enough.
            Idled::Late if idle => self.folders.iter_mut().take(1).for_each(Folder::note_news),
            Idled::Refused => self.no_idle = true,
            Idled::Called | Idled::Late => {}
        }
        Ok(())
    }

    /// Until the first folder is due by itself. The first one waits for `idle_refresh` where the server tells its news.
    fn time_to_wait(&self, idle: bool) -> Duration {
        let now = Instant::now();
        let told = |at: usize, folder: &Folder| idle && at == 0 && !folder.must_poll();
        let polled = self.folders.iter().enumerate().filter(|(at, folder)| !told(*at, folder));
        let polled = polled.map(|(_, folder)| folder.next_search());
        // An action that was refused for now: nothing else may wake us for it.
        let acts = self.folders.iter().map(|folder| folder.act_after).filter(|at| *at > now);
        let next = polled.chain(acts).map(|at| at.saturating_duration_since(now)).min();
        let refresh = if idle { self.context.config.idle_refresh.0 } else { self.context.config.poll_interval.0 };
        next.map_or(refresh, |next| next.min(refresh))
    }
}

/// Returns when a folder has something to be acted on: which ones. Also when the daemon drains: none.
async fn called(queue: &Queue, folders: &[Folder], stop: &Stop) -> Vec<usize> {
    let mut outcomes: watch::Receiver<u64> = queue.outcomes();
    loop {
        let acts = acts(queue, folders).await;
        if !acts.is_empty() {
            return acts;
        }
        tokio::select! {
            changed = outcomes.changed() => if changed.is_err() {
                stop.reached(Phase::Drain).await;
                return Vec::new();
            },
            () = stop.reached(Phase::Drain) => return Vec::new(),
        }
        tokio::time::sleep(GATHER).await;
    }
}

async fn acts(queue: &Queue, folders: &[Folder]) -> Vec<usize> {
    let mut acts = Vec::new();
    for (at, folder) in folders.iter().enumerate() {
        if folder.wants_action(queue).await {
            acts.push(at);
        }
    }
    acts
}
