//! The words of the control socket: one request line, then answer lines, each a JSON object.
//!
//! ```text
//! -> {"verb":"queue_list","filter":{"states":["failed"]}}
//! <- {"item":{…}}
//! <- {"ok":{"count":1}}
//! ```
//!
//! Internal between one version of `mailbridge` and itself; programs use the command line's `--json`.

use serde::{Deserialize, Serialize};

use crate::ids::{MailboxName, QueueId};
use crate::queue::{Filter, Operated, Operation};

/// The longest request line in bytes.
pub const MAX_REQUEST: u64 = 64 << 10;

/// The most ids in one [`Request::QueueOperate`].
pub const MAX_IDS: usize = 1000;

/// The longest answer line in bytes that a client reads.
pub const MAX_ANSWER: u64 = 1 << 20;

/// What is asked.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "verb", rename_all = "snake_case")]
pub enum Request {
    /// [`super::status::Status`] as the one item.
    Status,
    /// Read the configuration again; [`Reloaded`] as the one item.
    Reload,
    /// [`crate::queue::Entry`] each.
    QueueList {
        /// Which.
        filter: Filter,
    },
    /// [`Done`] each.
    QueueOperate {
        /// What.
        operation: Operation,
        /// To which, at most [`MAX_IDS`].
        ids: Vec<QueueId>,
    },
    /// Take the old mails that wait for a word (ruling 3); [`Started`] as the one item.
    MailboxStart {
        /// Of which mailbox.
        mailbox: MailboxName,
    },
}

/// One line of the answer. The last line is `Ok` or `Error`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Answer {
    /// A piece of what was asked for.
    Item(serde_json::Value),
    /// The end of a good answer.
    Ok {
        /// How many items went before.
        count: u64,
    },
    /// The end of a bad one.
    Error(Refusal),
}

/// Why a request was refused.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
#[error("{text}")]
pub struct Refusal {
    /// What kind of refusal.
    pub reason: Reason,
    /// What was tried and why it was refused, for people; several lines for a configuration.
    pub text: String,
}

/// What kind of refusal; the command line ends with the exit code that belongs to it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Reason {
    /// The request line cannot be understood.
    Request,
    /// There is no such thing.
    NotFound,
    /// The configuration is not valid; the old one stays in force.
    Config,
    /// The store failed.
    Store,
    /// The daemon is busy or about to end.
    Unavailable,
}

/// A reload that was accepted.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, Default)]
pub struct Reloaded {
    /// The tables that differ.
    pub changed: Vec<String>,
    /// The keys that wait for a restart.
    pub restart_needed: Vec<String>,
    /// Warnings of the configuration.
    pub warnings: Vec<String>,
}

/// What an operation did to one mail.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Done {
    /// Which.
    pub qid: QueueId,
    /// What.
    pub outcome: Operated,
}

/// What [`Request::MailboxStart`] did.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Started {
    /// How many old mails are taken now.
    pub released: u64,
}

/// What the daemon says to a [`Request::Reload`].
pub type Verdict = Result<Reloaded, Refusal>;
