//! The state of the daemon at one look: for `mailbridge status`, the control socket and the service manager's line.

use std::collections::BTreeMap;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::clock::UtcMillis;
use crate::config::Config;
use crate::ids::{MailboxName, TenantName};
use crate::queue::{self, Queue, State, StateNumbers};
use crate::telemetry::progress::{MailboxStatus, Progress, TenantStatus};

/// What `mailbridge status --json` prints. Fields only grow; readers ignore those they do not know.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Status {
    /// The version of this format: 1.
    pub v: u32,
    /// `[service] instance`
    pub instance: String,
    /// The version of the daemon.
    pub version: String,
    /// Its process id.
    pub pid: u32,
    /// When it was started, in milliseconds since 1970.
    pub started_at: UtcMillis,
    /// When this was written.
    pub now: UtcMillis,
    /// The mailboxes that are read.
    pub mailboxes: BTreeMap<MailboxName, MailboxStatus>,
    /// The tenants that are configured.
    pub tenants: BTreeMap<TenantName, TenantStatus>,
    /// Tenants that are not configured (any more) and have unfinished mail in the queue.
    pub unknown_tenants: Vec<TenantName>,
    /// Numbers for each state, by the word that people see.
    pub queue: BTreeMap<String, StateNumbers>,
    /// Tasks that have not reported in time.
    pub overdue: Vec<String>,
}

/// What does not change while the daemon runs.
#[derive(Debug, Clone)]
pub struct Identity {
    /// `[service] instance`
    pub instance: String,
    /// When it was started.
    pub started_at: UtcMillis,
}

impl Status {
    /// Looks now.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub async fn gather(
        identity: &Identity,
        config: &Config,
        queue: &Queue,
        progress: &Progress,
        now: UtcMillis,
    ) -> Result<Self, queue::Error> {
        let unknown = queue.tenants().await?.into_iter().filter(|tenant| !config.tenants.contains_key(tenant));
        let stats = queue.stats().await?;
        let mut known = progress.tenants();
        let tenants = config.tenants.keys().map(|name| (name.clone(), known.remove(name).unwrap_or_default()));
        Ok(Self {
            v: 1,
            instance: identity.instance.clone(),
            version: env!("CARGO_PKG_VERSION").to_owned(),
            pid: std::process::id(),
            started_at: identity.started_at,
            now,
            mailboxes: progress.mailboxes(),
            tenants: tenants.collect(),
            unknown_tenants: unknown.collect(),
            queue: stats.into_iter().map(|(state, numbers)| (state.word().to_owned(), numbers)).collect(),
            overdue: progress.overdue(),
        })
    }

    /// Mails that are on their way: ready, in flight, deferred.
    #[must_use]
    pub fn waiting(&self) -> u64 {
        UNFINISHED.iter().map(|state| self.messages(*state)).fold(0, u64::saturating_add)
    }

    /// Mails in one state.
    #[must_use]
    pub fn messages(&self, state: State) -> u64 {
        self.queue.get(state.word()).map_or(0, |numbers| numbers.messages)
    }

    /// How long the oldest mail has been on its way.
    #[must_use]
    pub fn oldest(&self) -> Option<Duration> {
        let oldest = UNFINISHED.iter().filter_map(|state| self.queue.get(state.word())?.oldest).min()?;
        Some(self.now.since(oldest))
    }

    /// One line: `3/4 mailboxes up, queue 12 (oldest 40s), dead 0, last post 3s ago`. No addresses.
    #[must_use]
    pub fn line(&self) -> String {
        let up = self.mailboxes.values().filter(|mailbox| mailbox.up).count();
        let oldest = self.oldest().map(|age| format!(" (oldest {})", span(age))).unwrap_or_default();
        let last = self.tenants.values().filter_map(|tenant| tenant.last_post).max();
        let last =
            last.map_or_else(|| "no post yet".to_owned(), |at| format!("last post {} ago", span(self.now.since(at))));
        let mailboxes = self.mailboxes.len();
        let (waiting, dead) = (self.waiting(), self.messages(State::Failed));
        format!("{up}/{mailboxes} mailboxes up, queue {waiting}{oldest}, dead {dead}, {last}")
    }
}

const UNFINISHED: [State; 3] = [State::Queued, State::Delivering, State::Deferred];

/// A length of time in its largest whole unit: `40s`, `6m`, `16h`, `3d`.
#[must_use]
pub fn span(length: Duration) -> String {
    let seconds = length.as_secs();
    match seconds {
        0..60 => format!("{seconds}s"),
        60..3600 => format!("{}m", seconds / 60),
        3600..86_400 => format!("{}h", seconds / 3600),
        _ => format!("{}d", seconds / 86_400),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::telemetry::progress::MailboxState;

    const NOW: UtcMillis = UtcMillis(1_795_341_731_480);

    fn status() -> Status {
        let mailbox = |up| MailboxStatus {
            state: MailboxState::Idle,
            up,
            last_success: None,
            backlog: 0,
            waiting_to_start: 0,
            last_error: None,
        };
        Status {
            v: 1,
            instance: "default".into(),
            version: "0".into(),
            pid: 1,
            started_at: NOW,
            now: NOW,
            mailboxes: BTreeMap::from([("a".parse().unwrap(), mailbox(true)), ("b".parse().unwrap(), mailbox(false))]),
            tenants: BTreeMap::new(),
            unknown_tenants: Vec::new(),
            queue: BTreeMap::new(),
            overdue: Vec::new(),
        }
    }

    fn numbers(messages: u64, age: u64) -> StateNumbers {
        StateNumbers { messages, bytes: 1, oldest: Some(NOW.minus(Duration::from_secs(age))) }
    }

    #[test]
    fn the_line_of_a_fresh_daemon() {
        assert_eq!(status().line(), "1/2 mailboxes up, queue 0, dead 0, no post yet");
    }

    #[test]
    fn the_line_counts_what_is_on_its_way() {
        let mut status = status();
        let last_post = Some(NOW.minus(Duration::from_secs(3)));
        status.tenants.insert("main".parse().unwrap(), TenantStatus { last_post, ..TenantStatus::default() });
        status.queue.insert("ready".into(), numbers(10, 5));
        status.queue.insert("deferred".into(), numbers(2, 40));
        status.queue.insert("posted".into(), numbers(900, 9000));
        status.queue.insert("dead".into(), numbers(4, 7000));
        assert_eq!(status.line(), "1/2 mailboxes up, queue 12 (oldest 40s), dead 4, last post 3s ago");
    }

    #[test]
    fn spans_are_in_their_largest_unit() {
        for (seconds, expected) in [(0, "0s"), (59, "59s"), (60, "1m"), (3599, "59m"), (57_600, "16h"), (259_200, "3d")]
        {
            assert_eq!(span(Duration::from_secs(seconds)), expected);
        }
    }
}
