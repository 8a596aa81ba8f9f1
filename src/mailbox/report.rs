//! What a mailbox tells the outside: states, events and the board, one log line for each change and not for each try; and
//! how long it waits before it tries again.

use std::time::Duration;

use tokio::time::Instant;

use super::{Context, Trouble};
use crate::backoff::Backoff;
use crate::config;
use crate::fault::Fault;
use crate::imap::error::Stage;
use crate::imap::{Error, Session};
use crate::telemetry::event;
use crate::telemetry::progress::MailboxState;

/// After so many denied sign-ins in a row, [`DENIED_WAIT`] at least: accounts get locked.
const DENIED_TRIES: u32 = 3;
const DENIED_WAIT: Duration = Duration::from_secs(15 * 60);
/// After so many failures in a row a person should look.
const FAILURES_TO_ALARM: u32 = 3;
/// A failure is forgotten once a session has worked for so long, or for `reconnect_max` if that is shorter: a server that
/// ends each session after its first search is not called thirty times a minute.
const SETTLED: Duration = Duration::from_secs(120);
/// What a promised report may be late.
const SLACK: Duration = Duration::from_secs(60);

/// What has been told so far.
#[derive(Debug)]
pub(super) struct Report {
    context: Context,
    beat: String,
    state: MailboxState,
    /// Since when the session is being opened.
    since: Instant,
    failures: u32,
    denied: u32,
    /// What was told of the failure that lasts.
    told: Option<(Stage, &'static str)>,
    /// It was told since then that the mailbox works again.
    told_recovery: bool,
    /// Since when the session has worked.
    good_since: Option<Instant>,
    store_trouble: bool,
    /// For each folder: mails to take, and old mails that wait to be started.
    counts: Vec<(u64, u64)>,
}

impl Report {
    pub(super) fn new(context: &Context) -> Self {
        context.progress.mailbox(&context.name, |status| status.state = MailboxState::Connecting);
        Self {
            context: context.clone(),
            beat: super::beat_name(&context.name),
            state: MailboxState::Connecting,
            since: Instant::now(),
            failures: 0,
            denied: 0,
            told: None,
            told_recovery: false,
            good_since: None,
            store_trouble: false,
            counts: vec![(0, 0); context.config.folders.len()],
        }
    }

    /// The next report comes within `within`.
    pub(super) fn beat(&self, within: Duration) {
        self.context.progress.beat(&self.beat, within.saturating_add(SLACK));
    }

    /// What the mailbox is doing now.
    pub(super) fn state(&mut self, to: MailboxState) {
        let from = std::mem::replace(&mut self.state, to);
        if to == MailboxState::Connecting {
            self.since = Instant::now();
        }
        if from != to {
            self.context.progress.mailbox(&self.context.name, |status| status.state = to);
            tracing::debug!(event = event::MAILBOX_STATE, mailbox = %self.context.name, %from, %to, "The mailbox has another state.");
        }
    }

    /// The session stands. After a failure that is told only when a visit was good.
    pub(super) fn connected(&mut self, session: &Session) {
        let config = &self.context.config;
        let (host, port, summary) = (config.host.as_str(), config.effective_port(), session.summary());
        let took_ms = millis(self.since.elapsed());
        let (tls_version, auth_mechanism) = (summary.tls_version, summary.mechanism);
        if self.failures == 0 {
            tracing::info!(
                event = event::MAILBOX_CONNECTED,
                mailbox = %self.context.name, host, port, tls_version, auth_mechanism, took_ms,
                "The session with the mail server stands.",
            );
        }
    }

    /// All that was due is done, but for folders that the server refuses.
    pub(super) fn good(&mut self, some_refused: bool) {
        let now = self.context.clock.now();
        self.context.progress.mailbox(&self.context.name, |status| {
            status.up = true;
            status.last_success = Some(now);
            status.last_error = status.last_error.take().filter(|_| some_refused);
        });
        if (self.failures > 0 && !self.told_recovery) || self.store_trouble {
            tracing::info!(
                event = event::MAILBOX_STATE,
                mailbox = %self.context.name,
                from = %MailboxState::Failed,
                to = %MailboxState::Sync,
                reason = "recovered",
                attempt = self.failures,
                "The mailbox works again.",
            );
        }
        (self.denied, self.told_recovery, self.store_trouble) = (0, true, false);
        self.good_since.get_or_insert_with(Instant::now);
        self.forget_if_settled();
    }

    fn forget_if_settled(&mut self) {
        let settled = SETTLED.min(self.context.config.reconnect_max.0);
        if self.good_since.is_some_and(|since| since.elapsed() >= settled) {
            (self.failures, self.told) = (0, None);
        }
    }

    /// IDLE is not used for a while.
    pub(super) fn no_idle(&self, reason: &str) {
        tracing::debug!(
            event = event::MAILBOX_STATE,
            mailbox = %self.context.name,
            from = %MailboxState::Idle,
            to = %MailboxState::Wait,
            reason,
            "The mailbox is polled for an hour.",
        );
    }

    /// The session failed. How long to wait.
    pub(super) fn failed(&mut self, error: &Error) -> Duration {
        self.forget_if_settled();
        self.good_since = None;
        self.failures = self.failures.saturating_add(1);
        if matches!(error, Error::Denied { .. }) {
            self.denied = self.denied.saturating_add(1);
        }
        let config = &self.context.config;
        let delay = delay(config, error.fault(), self.failures, self.denied);
        let for_a_person = matches!(error.fault(), Fault::Unauthorized | Fault::Permanent);
        self.state(if for_a_person { MailboxState::Failed } else { MailboxState::Wait });
        let text = error.to_string();
        self.context.progress.mailbox(&self.context.name, |status| {
            status.up = false;
            status.last_error = Some(text);
        });
        self.tell(error, delay);
        delay
    }

    /// The server does not let us select one of several folders: told once while it lasts.
    pub(super) fn folder_refused(&self, folder: &str, told: bool, error: &Error) {
        let text = error.to_string();
        if !told {
            tracing::error!(
                event = event::MAILBOX_CONNECT_FAILED, mailbox = %self.context.name, folder,
                stage = %error.stage(), error_class = error.class(), %error,
                "A folder cannot be selected; the others go on.",
            );
        }
        self.context.progress.mailbox(&self.context.name, |status| status.last_error = Some(text));
    }

    /// The store is in trouble: told once while it lasts.
    pub(super) fn store_trouble(&mut self, trouble: &Trouble) {
        self.state(MailboxState::Wait);
        let text = trouble.to_string();
        if !std::mem::replace(&mut self.store_trouble, true) {
            let mailbox = self.context.name.as_str();
            match trouble {
                Trouble::Full(room) => tracing::error!(
                    event = event::STORE_LOW_SPACE,
                    mailbox,
                    free_bytes = room.free_bytes,
                    "The store has no room; the mail stays on the server until there is.",
                ),
                Trouble::Store(error) => tracing::error!(
                    event = event::STORE_ERROR, mailbox, op = "intake", %error,
                    "The store fails; the mail stays on the server.",
                ),
                Trouble::Mail(_) => {}
            }
        }
        self.context.progress.mailbox(&self.context.name, |status| {
            status.up = false;
            status.last_error = Some(text);
        });
    }

    /// Mails of a folder that are still to be taken.
    pub(super) fn backlog(&mut self, folder: usize, mails: usize) {
        let mails = u64::try_from(mails).unwrap_or(u64::MAX);
        if let Some(counts) = self.counts.get_mut(folder) {
            counts.0 = mails;
        }
        self.publish_counts();
    }

    /// Old mails of a folder that wait to be started.
    pub(super) fn waiting(&mut self, folder: usize, mails: u64) {
        if let Some(counts) = self.counts.get_mut(folder) {
            counts.1 = mails;
        }
        self.publish_counts();
    }

    fn publish_counts(&self) {
        let backlog = self.counts.iter().map(|counts| counts.0).fold(0, u64::saturating_add);
        let waiting = self.counts.iter().map(|counts| counts.1).fold(0, u64::saturating_add);
        self.context.progress.mailbox(&self.context.name, |status| {
            status.backlog = backlog;
            status.waiting_to_start = waiting;
        });
    }

    /// Once for each kind of failure, and once more when it lasts.
    fn tell(&mut self, error: &Error, delay: Duration) {
        let (name, stage, error_class) = (self.context.name.as_str(), error.stage(), error.class());
        let (attempt, retry_in_ms) = (self.failures, millis(delay));
        let lasts = attempt == FAILURES_TO_ALARM;
        if self.told.replace((stage, error_class)) == Some((stage, error_class)) && !lasts {
            tracing::debug!(event = event::MAILBOX_CONNECT_FAILED, mailbox = name, %stage, error_class, %error, attempt, retry_in_ms, "No session with the mail server still.");
            return;
        }
        self.told_recovery = false;
        match error {
            Error::Denied { mechanism, text, .. } => tracing::error!(
                event = event::MAILBOX_AUTH_DENIED,
                mailbox = name,
                mechanism,
                server_text = text,
                attempt,
                retry_in_ms,
                hint = "check user and password of the mailbox",
                "The mail server refuses the sign-in.",
            ),
            Error::Secret(_) => tracing::error!(
                event = event::SECRET_UNREADABLE, mailbox = name, %error, attempt, retry_in_ms,
                "The password of the mailbox cannot be read.",
            ),
            Error::Violation { violation, .. } if !lasts => tracing::error!(
                event = event::MAILBOX_PROTOCOL_VIOLATION, mailbox = name, rule = violation.rule, detail = violation.detail,
                %stage, attempt, retry_in_ms,
                "The mail server broke the protocol.",
            ),
            _ if lasts || matches!(error.fault(), Fault::Unauthorized | Fault::Permanent) => tracing::error!(
                event = event::MAILBOX_CONNECT_FAILED, mailbox = name, %stage, error_class, %error, attempt, retry_in_ms,
                "No session with the mail server; it is tried again.",
            ),
            _ => tracing::warn!(
                event = event::MAILBOX_CONNECT_FAILED, mailbox = name, %stage, error_class, %error, attempt, retry_in_ms,
                "No session with the mail server; it is tried again.",
            ),
        }
    }
}

/// How long to wait after so many failures in a row, of which so many were denied sign-ins.
fn delay(config: &config::Mailbox, fault: Fault, failures: u32, denied: u32) -> Duration {
    let (first, max) = (config.reconnect_first.0, config.reconnect_max.0);
    let grown = Backoff { first, factor: 2.0, max, jitter: 0.3 }.random_delay(failures);
    match fault {
        Fault::Unauthorized if denied >= DENIED_TRIES => DENIED_WAIT.max(max),
        Fault::Unauthorized | Fault::Permanent => max,
        Fault::Throttled { retry_after } => retry_after.unwrap_or(max).max(grown),
        Fault::Transient | Fault::Unknown => grown,
    }
}

fn millis(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// How often a server is called within the first hour in which every session fails so.
    fn calls_in_an_hour(fault: Fault, denied: bool) -> u32 {
        let (mut calls, mut time) = (0_u32, Duration::ZERO);
        while time < Duration::from_secs(3600) {
            calls = calls.saturating_add(1);
            let denied = if denied { calls } else { 0 };
            time = time.saturating_add(delay(&config::Mailbox::default(), fault, calls, denied));
        }
        calls
    }

    #[test]
    fn no_server_is_called_again_and_again() {
        assert!(calls_in_an_hour(Fault::Transient, false) <= 30);
        assert!(calls_in_an_hour(Fault::Throttled { retry_after: None }, false) <= 12);
        assert!(calls_in_an_hour(Fault::Throttled { retry_after: Some(Duration::from_secs(1800)) }, false) <= 2);
        assert!(calls_in_an_hour(Fault::Unauthorized, false) <= 12);
        // Accounts are locked by those who try.
        assert!(calls_in_an_hour(Fault::Unauthorized, true) <= 6);
    }
}
