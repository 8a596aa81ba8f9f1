//! What is told of a mail as it is taken in, or is not.

use super::folder::Folder;
use crate::ids::{QueueId, Uid};
use crate::queue::{Accepted, Arrival, Novelty};
use crate::telemetry::event;

pub(super) fn tell(folder: &Folder, accepted: &Accepted, arrival: &Arrival, max: u64) {
    let (mailbox, name) = (folder.key.mailbox.as_str(), folder.key.folder.as_str());
    if !matches!(accepted.novelty, Novelty::New | Novelty::Completed) {
        return;
    }
    tracing::info!(
        event = event::MESSAGE_STORED,
        mailbox,
        folder = name,
        qid = %accepted.id,
        uidvalidity = %folder.uidvalidity(),
        uid = accepted.uid.0,
        size_bytes = accepted.size,
        sha256_prefix = accepted.sha256_prefix,
        internal_date = %arrival.internal_date,
        "A mail is stored.",
    );
    if arrival.stub {
        tracing::warn!(
            event = event::MESSAGE_LIMIT,
            mailbox,
            folder = name,
            qid = %accepted.id,
            limit = "message_size",
            value = arrival.size,
            max,
            action = "stub",
            "A mail is too large; only its headers were fetched.",
        );
    }
}

pub(super) fn tell_gone(folder: &Folder, uid: Uid) {
    tracing::debug!(
        event = event::MAILBOX_GONE,
        mailbox = %folder.key.mailbox,
        folder = folder.key.folder,
        uidvalidity = %folder.uidvalidity(),
        uid = uid.0,
        "A mail is gone from the mail server before it was fetched.",
    );
}

pub(super) fn tell_missing(folder: &Folder, uid: Uid, reason: &str) {
    tracing::warn!(
        event = event::MAILBOX_PROTOCOL_VIOLATION,
        mailbox = %folder.key.mailbox,
        folder = folder.key.folder,
        uid = uid.0,
        rule = "mail_withheld",
        detail = reason,
        "The mail server does not hand out a mail; it is asked again.",
    );
}

pub(super) fn tell_unfetchable(folder: &Folder, uid: Uid, id: QueueId, reason: &str) {
    tracing::error!(
        event = event::MESSAGE_DONE,
        mailbox = %folder.key.mailbox,
        folder = folder.key.folder,
        qid = %id,
        uidvalidity = %folder.uidvalidity(),
        uid = uid.0,
        state = "dead",
        error_class = "unfetchable",
        reason,
        "The mail server does not hand out a mail; `mailbridge queue retry` asks for it anew.",
    );
}
