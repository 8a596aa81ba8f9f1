//! How far each task has come: what `status`, the service manager's status line and the watchdog look at.
//!
//! Tasks report here and never read; nothing here decides anything.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use serde::{Deserialize, Serialize};
use tokio::time::Instant;

use crate::clock::UtcMillis;
use crate::ids::{MailboxName, TenantName};

/// What a mailbox task is doing. The words are those of the `mailbox.state` event.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum MailboxState {
    /// Opening the connection.
    Connecting,
    /// Signing in.
    Auth,
    /// Searching and fetching.
    Sync,
    /// Waiting in IDLE.
    Idle,
    /// Waiting for the next poll or the next try.
    Wait,
    /// Something a person must mend; tried again slowly.
    Failed,
}

impl fmt::Display for MailboxState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Connecting => "connecting",
            Self::Auth => "auth",
            Self::Sync => "sync",
            Self::Idle => "idle",
            Self::Wait => "wait",
            Self::Failed => "failed",
        })
    }
}

/// What is known of one mailbox.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct MailboxStatus {
    /// What its task is doing.
    pub state: MailboxState,
    /// The last search or IDLE was good.
    pub up: bool,
    /// End of the last complete poll.
    pub last_success: Option<UtcMillis>,
    /// Mails on the server that are wanted and not yet stored here.
    pub backlog: u64,
    /// Old mails that wait for `mailbridge mailbox start` (ruling 3).
    pub waiting_to_start: u64,
    /// What went wrong last, while it is wrong.
    pub last_error: Option<String>,
}

/// What is known of one tenant.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, Default)]
pub struct TenantStatus {
    /// `closed`, `open` or `probe`.
    pub breaker: String,
    /// Time of the last accepted post.
    pub last_post: Option<UtcMillis>,
    /// What went wrong last, while it is wrong.
    pub last_error: Option<String>,
}

#[derive(Debug, Default)]
struct Board {
    mailboxes: BTreeMap<MailboxName, MailboxStatus>,
    tenants: BTreeMap<TenantName, TenantStatus>,
    beats: BTreeMap<String, (Instant, Duration)>,
}

/// For those who see that a task gets on, and know nothing else of it: [`Progress::pulse`] of one task.
#[derive(Debug, Clone)]
pub struct Pulse {
    progress: Progress,
    name: Arc<str>,
}

impl Pulse {
    /// The pulse of the task `name`.
    #[must_use]
    pub fn new(progress: Progress, name: &str) -> Self {
        Self { progress, name: name.into() }
    }

    /// The task gets on.
    pub fn beat(&self) {
        self.progress.pulse(&self.name);
    }
}

/// The shared board on which tasks report. Clones are the same board.
#[derive(Debug, Clone, Default)]
pub struct Progress {
    board: Arc<Mutex<Board>>,
}

impl Progress {
    /// An empty board.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    fn with<T>(&self, change: impl FnOnce(&mut Board) -> T) -> T {
        change(&mut self.board.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Changes what is known of a mailbox.
    pub fn mailbox(&self, name: &MailboxName, change: impl FnOnce(&mut MailboxStatus)) {
        self.with(|board| {
            let status = board.mailboxes.entry(name.clone()).or_insert_with(|| MailboxStatus {
                state: MailboxState::Connecting,
                up: false,
                last_success: None,
                backlog: 0,
                waiting_to_start: 0,
                last_error: None,
            });
            change(status);
        });
    }

    /// Changes what is known of a tenant.
    pub fn tenant(&self, name: &TenantName, change: impl FnOnce(&mut TenantStatus)) {
        self.with(|board| change(board.tenants.entry(name.clone()).or_default()));
    }

    /// Forgets a mailbox that the configuration no longer has.
    pub fn forget_mailbox(&self, name: &MailboxName) {
        self.with(|board| board.mailboxes.remove(name));
    }

    /// The task `name` is alive and promises to report again within `within`.
    pub fn beat(&self, name: &str, within: Duration) {
        let now = Instant::now();
        self.with(|board| match board.beats.get_mut(name) {
            Some(beat) => *beat = (now, within),
            None => drop(board.beats.insert(name.to_owned(), (now, within))),
        });
    }

    /// The task `name` gets on: what it promised counts from now. A task that has promised nothing owes nothing.
    pub fn pulse(&self, name: &str) {
        let now = Instant::now();
        self.with(|board| {
            if let Some((at, _)) = board.beats.get_mut(name) {
                *at = now;
            }
        });
    }

    /// The task `name` has ended on purpose.
    pub fn end_beat(&self, name: &str) {
        self.with(|board| board.beats.remove(name));
    }

    /// The tasks that have not reported within the time they promised.
    #[must_use]
    pub fn overdue(&self) -> Vec<String> {
        let now = Instant::now();
        let late = |(at, within): &(Instant, Duration)| now.saturating_duration_since(*at) > *within;
        self.with(|board| board.beats.iter().filter(|(_, beat)| late(beat)).map(|(name, _)| name.clone()).collect())
    }

    /// What is known of all mailboxes.
    #[must_use]
    pub fn mailboxes(&self) -> BTreeMap<MailboxName, MailboxStatus> {
        self.with(|board| board.mailboxes.clone())
    }

    /// What is known of all tenants.
    #[must_use]
    pub fn tenants(&self) -> BTreeMap<TenantName, TenantStatus> {
        self.with(|board| board.tenants.clone())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_task_that_breaks_its_promise_is_overdue() {
        let progress = Progress::new();
        progress.beat("writer", Duration::from_secs(10));
        progress.beat("mailbox support", Duration::from_secs(60));
        tokio::time::advance(Duration::from_secs(11)).await;
        assert_eq!(progress.overdue(), ["writer"]);
        progress.beat("writer", Duration::from_secs(10));
        assert!(progress.overdue().is_empty());
        tokio::time::advance(Duration::from_secs(100)).await;
        progress.end_beat("writer");
        assert_eq!(progress.overdue(), ["mailbox support"]);
    }
}
