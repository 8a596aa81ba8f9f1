//! `[queue]`: retries, order and expiry. What is per tenant (concurrency, breaker) stands in `[tenant.NAME]`.

use serde::{Deserialize, Serialize};

use super::units::Period;

/// `[queue]`
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Queue {
    /// Which mails wait for older ones: those of the same conversation, of the same mailbox, or none (live).
    pub ordering: Ordering,
    /// The delay after the first failed attempt (live).
    pub retry_first: Period,
    /// What each further delay is multiplied with (live).
    pub retry_factor: f64,
    /// No delay is longer than this (live).
    pub retry_max: Period,
    /// Share of the delay by which it varies, both ways (live).
    pub retry_jitter: f64,
    /// A mail that waits for longer is reported once, as `queue.delayed` (live).
    pub warn_after: Period,
    /// A mail that waits for longer becomes a dead letter; time in which the tenant as a whole is down does not count.
    /// Never deletes (live).
    pub expire_after: Period,
    /// How long the raw mail of a dead letter stays; "0s": for ever (live).
    pub dead_letter_keep: Period,
}

impl Default for Queue {
    fn default() -> Self {
        Self {
            ordering: Ordering::Conversation,
            retry_first: Period::secs(2),
            retry_factor: 2.0,
            retry_max: Period::hours(1),
            retry_jitter: 0.2,
            warn_after: Period::hours(4),
            expire_after: Period::days(5),
            dead_letter_keep: Period::days(90),
        }
    }
}

/// Which mails wait for older ones.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Ordering {
    /// Those that share a Message-Id, an In-Reply-To or a reference.
    Conversation,
    /// Those of the same mailbox.
    Mailbox,
    /// None.
    None,
}
