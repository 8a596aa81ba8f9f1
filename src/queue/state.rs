//! The states of a mail in the queue, the words people see, and the moves that are allowed.
//!
//! | From | To | When |
//! |---|---|---|
//! | (mailbox) | `Queued` | accepted |
//! | (mailbox) | `Failed` | could not be fetched, too many times |
//! | `Queued`, `Deferred` | `Delivering` | claimed when due, oldest first |
//! | `Delivering` | `Delivered` | posted, or SuperOffice had it already |
//! | | `Failed` | a permanent fault; attempts, age or degrade steps used up; in flight in too many crashes, the last alone |
//! | | `Held` | a rule, or an outcome that cannot be looked up |
//! | | `Deferred` | a fault that may pass, or an outcome to be looked up; the daemon died after a write had begun |
//! | | `Queued` | nothing was tried: not counted; the daemon died before a write |
//! | `Held` | `Queued`, `Deferred` | release (`Deferred` while a look-up is due) |
//! | `Queued`, `Deferred` | `Held` | hold |
//! | `Failed`, `Discarded`, a duplicate | `Queued` | retry, while the raw mail is kept or can be fetched |
//! | `Queued`, `Deferred`, `Held`, `Failed` | `Discarded` | drop |
//!
//! In an end state (`Delivered`, `Failed`, `Discarded`) the mailbox action is due until `disposed_at` is set, and the raw
//! mail is purged when it is kept no longer.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// The one state that a mail is in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum State {
    /// Raw mail and origin are durable; due now.
    Queued,
    /// Claimed; somebody is at work on it.
    Delivering,
    /// The last attempt failed in a way that may pass; due at `next_attempt_at`.
    Deferred,
    /// Waits for a person: an operator, a rule, or an outcome that cannot be looked up.
    Held,
    /// SuperOffice confirmed the message, or it was a duplicate of one that it has.
    Delivered,
    /// A permanent fault, or attempts, age or degrade steps used up. The raw mail is kept.
    Failed,
    /// An operator or a rule said that there is no ticket for it.
    Discarded,
}

impl State {
    /// All states.
    pub const ALL: [Self; 7] =
        [Self::Queued, Self::Delivering, Self::Deferred, Self::Held, Self::Delivered, Self::Failed, Self::Discarded];

    /// The word in the store.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Queued => "queued",
            Self::Delivering => "delivering",
            Self::Deferred => "deferred",
            Self::Held => "held",
            Self::Delivered => "delivered",
            Self::Failed => "failed",
            Self::Discarded => "discarded",
        }
    }

    /// The word that people see (operations: `queue list`, events): `ready`, `inflight`, `deferred`, `held`, `posted`,
    /// `dead`, `dropped_admin`.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::Queued => "ready",
            Self::Delivering => "inflight",
            Self::Deferred => "deferred",
            Self::Held => "held",
            Self::Delivered => "posted",
            Self::Failed => "dead",
            Self::Discarded => "dropped_admin",
        }
    }

    /// Whether it is an end state: the mailbox action is due.
    #[must_use]
    pub const fn is_final(self) -> bool {
        matches!(self, Self::Delivered | Self::Failed | Self::Discarded)
    }

    /// Whether an operator's `operation` may be done to a mail in this state.
    #[must_use]
    pub const fn allows(self, operation: Operation) -> bool {
        match operation {
            Operation::Retry => matches!(self, Self::Deferred | Self::Failed | Self::Discarded | Self::Delivered),
            Operation::Hold => matches!(self, Self::Queued | Self::Deferred),
            Operation::Release => matches!(self, Self::Held),
            Operation::Drop => matches!(self, Self::Queued | Self::Deferred | Self::Held | Self::Failed),
        }
    }
}

impl fmt::Display for State {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.word())
    }
}

impl FromStr for State {
    type Err = String;

    /// Takes both the store's word and the one that people see.
    fn from_str(text: &str) -> Result<Self, String> {
        let known = |state: &&Self| state.as_str() == text || state.word() == text;
        Self::ALL.iter().find(known).copied().ok_or_else(|| format!("`{text}` is not a state"))
    }
}

/// What an operator may do to a mail.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Operation {
    /// Try again now: a deferred mail at once; a dead, dropped or duplicate one from the start, while its raw mail is
    /// kept. A mail that SuperOffice confirmed under this id is never posted again.
    Retry,
    /// Stop it until it is released.
    Hold,
    /// Let a held mail go on. A mail held for an unknown outcome is then posted without a look-up: the operator's word.
    Release,
    /// No ticket for this mail.
    Drop,
}

impl Operation {
    /// The verb of the command line.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Retry => "retry",
            Self::Hold => "hold",
            Self::Release => "release",
            Self::Drop => "drop",
        }
    }
}
