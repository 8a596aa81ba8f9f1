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

/// Where IDLE does not work, it is tried again after so long.
const NO_IDLE: Duration = Duration::from_secs(3600);
/// So many sessions in a row that end in their IDLE before its time mean that it does not work.
const BREAKS: u32 = 3;
/// Outcomes that follow each other closely are acted on together.
const GATHER: Duration = Duration::from_millis(300);

/// Whether IDLE works with this server.
#[derive(Debug, Default)]
pub(super) struct Idling {
    /// Sessions in a row that ended in IDLE.
    breaks: u32,
    /// The mailbox is polled until then.
    not_before: Option<Instant>,
}

impl Idling {
    fn works(&self) -> bool {
        self.not_before.is_none_or(|at| at <= Instant::now())
    }

    /// Why it is not used from now on, if it is not.
    fn note(&mut self, idled: Result<&Idled, &Error>) -> Option<&'static str> {
        self.breaks = if idled.is_err() { self.breaks.saturating_add(1) } else { 0 };
        let reason = match idled {
            Ok(Idled::Refused) => "idle_refused",
            Err(_) if self.breaks >= BREAKS => "idle_breaks",
            Ok(_) | Err(_) => return None,
        };
        self.breaks = 0;
        self.not_before = Instant::now().checked_add(NO_IDLE);
        Some(reason)
    }
}

impl Mailbox {
    /// Waits until a folder is due, or the daemon drains.
    pub(super) async fn wait(&mut self, session: &mut Session) -> Result<(), Error> {
        let config = &self.context.config;
        let first = config.folders.first().is_some_and(|name| session.is_selected(name));
        if first && session.has_news() {
            self.folders.iter_mut().take(1).for_each(Folder::note_news);
            return Ok(());
        }
        let idle = first && self.idling.works() && config.mode == Mode::Auto && session.can_idle();
        let time = self.time_to_wait(idle);
        self.report.state(if idle { MailboxState::Idle } else { MailboxState::Wait });
        self.report.beat(time.saturating_add(self.longest_silence()));
        let called = called(&self.context.queue, &self.folders, &self.stop);
        let (why, acts) = match idle {
            true => {
                let mut acts = Vec::new();
                let why = session.idle(time, async { acts = called.await }).await;
                if let Some(reason) = self.idling.note(why.as_ref()) {
                    self.report.no_idle(reason);
                }
                (why?, acts)
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
            // A server that told nothing may have something: only a new SELECT shows all that there is.
            Idled::Late if idle => self.folders.iter_mut().take(1).for_each(Folder::search_now),
            Idled::Called | Idled::Late | Idled::Refused => {}
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

#[cfg(test)]
mod tests {
    use super::*;

    fn lost() -> Error {
        Error::Lost { command: "IDLE", reason: "closed by the server".to_owned() }
    }

    #[tokio::test(start_paused = true)]
    async fn idle_that_ends_sessions_is_given_up_for_an_hour() {
        let mut idling = Idling::default();
        for _ in 1..BREAKS {
            assert_eq!(idling.note(Err(&lost())), None);
        }
        assert_eq!((idling.note(Ok(&Idled::Late)), idling.works()), (None, true));
        for _ in 1..BREAKS {
            assert_eq!(idling.note(Err(&lost())), None);
        }
        assert_eq!((idling.note(Err(&lost())), idling.works()), (Some("idle_breaks"), false));
        tokio::time::advance(NO_IDLE).await;
        assert!(idling.works());
        assert_eq!((idling.note(Ok(&Idled::Refused)), idling.works()), (Some("idle_refused"), false));
    }
}
