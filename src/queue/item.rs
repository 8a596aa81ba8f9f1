//! What the queue takes in and gives out: plain data.

use bytes::Bytes;
use serde::{Deserialize, Serialize};

use super::state::State;
use crate::clock::UtcMillis;
use crate::ids::{EjMessageId, MailboxName, QueueId, TenantName, TicketId, Uid, UidValidity};
use crate::message::Depth;
use crate::uids::UidSet;

/// One folder of one mailbox.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct FolderKey {
    /// The mailbox.
    pub mailbox: MailboxName,
    /// The folder's name as the configuration has it.
    pub folder: String,
}

/// Our record of a folder: which of its mails are ours to take. Fixed at the first select; after that no flag counts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FolderRecord {
    /// The UIDVALIDITY that all UIDs here belong to.
    pub uidvalidity: UidValidity,
    /// When the folder was selected for the very first time; kept over changes of UIDVALIDITY.
    pub started_at: UtcMillis,
    /// UIDs from here on are new mail and taken.
    pub first_new: Uid,
    /// The older UIDs that the start policy takes.
    pub start_uids: UidSet,
    /// `start_uids` are more than `start_limit` and wait for an administrator.
    pub start_waits: bool,
    /// Up to here every UID was accounted for at the last complete search (a hint: searches begin behind it).
    pub cursor: Uid,
}

/// One mail as it was fetched.
#[derive(Debug, Clone)]
pub struct Arrival {
    /// Its UID.
    pub uid: Uid,
    /// INTERNALDATE.
    pub internal_date: UtcMillis,
    /// The size of the whole mail in bytes: of `raw`, or RFC822.SIZE when `stub`.
    pub size: u64,
    /// Only the headers were fetched.
    pub stub: bool,
    /// The bytes as they came.
    pub raw: Bytes,
}

/// Mails of one folder that become durable together, with the cursor.
#[derive(Debug, Clone)]
pub struct Batch {
    /// Where they came from.
    pub key: FolderKey,
    /// The folder's UIDVALIDITY.
    pub uidvalidity: UidValidity,
    /// Where they go.
    pub tenant: TenantName,
    /// The folder's new cursor, if it moves.
    pub cursor: Option<Uid>,
    /// The folder's UIDVALIDITY has changed: a mail whose bytes are known from an older UIDVALIDITY of this folder is
    /// that mail under a new UID, not a new one.
    pub rebind: bool,
    /// The mails.
    pub arrivals: Vec<Arrival>,
}

/// What became of an [`Arrival`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Accepted {
    /// Its id in the queue.
    pub id: QueueId,
    /// Its UID.
    pub uid: Uid,
    /// New, or known already.
    pub novelty: Novelty,
    /// SHA-256 of the bytes in hex, the first 12 characters.
    pub sha256_prefix: String,
    /// Its size.
    pub size: u64,
}

/// Whether an [`Arrival`] was new.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Novelty {
    /// A new row.
    New,
    /// This UID was stored before.
    Known,
    /// The same mail under an older UIDVALIDITY; its row now has the new UID.
    Rebound,
    /// A row that had waited for its raw mail (unfetchable before) has it now.
    Completed,
}

/// A mail that waits for its raw mail.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Unfetched {
    /// The mail.
    pub id: QueueId,
    /// The UIDVALIDITY it was seen under.
    pub uidvalidity: UidValidity,
    /// Its UID.
    pub uid: Uid,
}

/// The right to work on a mail: every later move names it, and fails when somebody else has moved the mail since.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Claim {
    /// The mail.
    pub id: QueueId,
    /// The fencing number.
    pub fence: i64,
}

/// A claimed mail.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Item {
    /// The right to work on it.
    pub claim: Claim,
    /// Where it came from.
    pub key: FolderKey,
    /// The folder's UIDVALIDITY.
    pub uidvalidity: UidValidity,
    /// Its UID.
    pub uid: Uid,
    /// Where it goes.
    pub tenant: TenantName,
    /// INTERNALDATE.
    pub internal_date: UtcMillis,
    /// When it became durable here.
    pub accepted_at: UtcMillis,
    /// Since when it waits for its end: when it became durable, or when an operator put it back.
    pub waits_since: UtcMillis,
    /// The size of the whole mail in bytes.
    pub size: u64,
    /// Only the headers are here.
    pub stub: bool,
    /// Writes begun so far.
    pub attempts: u32,
    /// Workers and daemons that died on it.
    pub strikes: u32,
    /// The depth to read it at.
    pub depth: Depth,
    /// The last write may have been carried out: when it broke off. Look it up before any write.
    pub verify_since: Option<UtcMillis>,
    /// An operator released it after an unknown outcome: write without a look-up.
    pub released: bool,
    /// The bytes of the mail, when they are few; else [`super::Queue::raw`] has them.
    pub raw: Option<Bytes>,
}

/// What a parsed mail is known by: stored before its first write.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Identity {
    /// Hashes of what it is called. A mail waits for older unfinished ones that are called what it is called …
    pub names: Vec<[u8; 16]>,
    /// … or what it refers to (`[queue] ordering`).
    pub refers: Vec<[u8; 16]>,
    /// [`crate::message::Message::canonical_hash`] and Message-Id, for `same_mail = "first"`; `None` = each.
    pub same_mail: Option<String>,
    /// Equal bytes in the same mailbox prove that it is the same mail ([`crate::message::Message::distinct`]).
    pub distinct: bool,
    /// Message-Id, for listings.
    pub rfc_message_id: String,
    /// The sender's address, for listings.
    pub from: String,
}

/// Whether a mail may be written now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Turn {
    /// Write: the attempt is recorded, its number is this.
    Write(u32),
    /// An older unfinished mail shares a key. Nothing was counted; release the claim.
    Wait(QueueId),
    /// The same mail is posted already.
    Duplicate(QueueId),
}

/// How the work on a claimed mail ended. Each is one durable, guarded move.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum End {
    /// SuperOffice confirmed the message.
    Delivered {
        /// Its key, when the answer named it.
        ej_message_id: Option<EjMessageId>,
        /// The ticket's key, when the answer named it.
        ticket_id: Option<TicketId>,
    },
    /// SuperOffice has this mail already: why we think so.
    Duplicate {
        /// `same content as QID`, `same mail as QID`, `foreign copy 640771` …
        of: String,
    },
    /// It will never go through.
    Failed {
        /// The class of the fault (`api_4xx`, `parse`, `expired`, `too_big` …).
        class: String,
        /// What happened, bounded, without personal data.
        error: String,
    },
    /// Waits for a person.
    Held {
        /// `unknown_outcome`, `foreign_copy` …
        reason: String,
        /// What happened.
        error: String,
    },
    /// To be tried again.
    Deferred {
        /// When.
        at: UtcMillis,
        /// The class of the fault.
        class: String,
        /// What happened.
        error: String,
        /// The write may have been carried out: look it up first.
        verify: bool,
    },
    /// Nothing was tried: back to where it was, due at `at`, not counted.
    Released {
        /// When.
        at: UtcMillis,
    },
}

/// A mail in an end state whose action on the mail server is due.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Disposal {
    /// The mail.
    pub id: QueueId,
    /// Its UID.
    pub uid: Uid,
    /// Its end state.
    pub state: State,
    /// Whether it was copied to its target before (MOVE by COPY).
    pub copied: Copied,
}

/// How far a copy to the target folder has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Copied {
    /// Nobody has asked for it.
    No,
    /// It was asked for and no answer was recorded: look for it before it is asked for again.
    Perhaps,
    /// It is there: do not copy again.
    Yes,
}

/// One row for people: `queue list`, `queue show`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Entry {
    /// The id.
    pub qid: QueueId,
    /// The state.
    pub state: State,
    /// `posted`, `duplicate`, `dead` …: [`State::word`], but `duplicate` for a mail that SuperOffice had already.
    pub word: String,
    /// Mailbox.
    pub mailbox: MailboxName,
    /// Tenant.
    pub tenant: TenantName,
    /// Folder.
    pub folder: String,
    /// UIDVALIDITY.
    pub uidvalidity: UidValidity,
    /// UID.
    pub uid: Uid,
    /// INTERNALDATE.
    pub internal_date: UtcMillis,
    /// When it became durable here.
    pub accepted_at: UtcMillis,
    /// Bytes of the whole mail.
    pub size_bytes: u64,
    /// Writes begun.
    pub attempts: u32,
    /// Strikes.
    pub strikes: u32,
    /// The depth it is read at next.
    pub depth: Depth,
    /// When it is due, for waiting mails.
    pub next_attempt_at: Option<UtcMillis>,
    /// The last write may have been carried out.
    pub verify: bool,
    /// The sender's address (the printer masks it); empty before the first parse.
    pub from: String,
    /// Message-Id (the printer masks it); empty before the first parse.
    pub rfc_message_id: String,
    /// The class of the last fault.
    pub error_class: Option<String>,
    /// The last fault.
    pub error: Option<String>,
    /// Why it is held.
    pub held_reason: Option<String>,
    /// The message's key in SuperOffice.
    pub ej_message_id: Option<EjMessageId>,
    /// The ticket's key in SuperOffice.
    pub ticket_id: Option<TicketId>,
    /// When it reached its end state.
    pub finished_at: Option<UtcMillis>,
    /// When the mailbox action was done.
    pub disposed_at: Option<UtcMillis>,
    /// The raw mail is still here.
    pub has_raw: bool,
}

/// Which rows an operator means.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Filter {
    /// These ids; empty = any.
    pub ids: Vec<QueueId>,
    /// Of this mailbox.
    pub mailbox: Option<MailboxName>,
    /// In one of these states; empty = the unfinished and the dead.
    pub states: Vec<State>,
    /// With this class of the last fault.
    pub error_class: Option<String>,
    /// Accepted before this.
    pub accepted_before: Option<UtcMillis>,
    /// At most so many, oldest first; 0 = 10,000.
    pub limit: u32,
}

/// Numbers for one state.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct StateNumbers {
    /// Mails.
    pub messages: u64,
    /// Bytes of their raw mails.
    pub bytes: u64,
    /// When the oldest was accepted.
    pub oldest: Option<UtcMillis>,
}

/// Whether there is room for more mail.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Room {
    /// Free bytes of the file system.
    pub free_bytes: u64,
    /// Bytes of all raw mail.
    pub raw_bytes: u64,
    /// `max_size` and `min_free` are kept.
    pub enough: bool,
}

/// What [`super::Queue::open`] found left by a dead owner.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Recovery {
    /// The store's schema before it was migrated, when it was.
    pub migrated_from: Option<i64>,
    /// Mails that were claimed but not yet being written: queued again.
    pub released: u64,
    /// Mails that were being written: deferred, to be looked up.
    pub unknown: Vec<QueueId>,
    /// Mails that were in flight in too many crashes: dead letters.
    pub parked: Vec<QueueId>,
    /// Spool files that no row knows: removed.
    pub orphans: u64,
}
