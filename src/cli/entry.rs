//! One mail of the queue, printed: as a row, as lines, as a JSON object. Addresses as `[log] personal_data` says.

use serde::Serialize;
use sha2::{Digest as _, Sha256};

use crate::admin::status::span;
use crate::cli::table::{Table, size};
use crate::cli::{Common, access};
use crate::clock::{Clock, UtcMillis};
use crate::config::log::PersonalData;
use crate::ids::{EjMessageId, MailboxName, QueueId, TenantName, TicketId};
use crate::queue::Entry;
use crate::telemetry::personal::harmless;

/// `queue list --json`, `queue show --json`: one object a line. Fields are only ever added; readers ignore those they
/// do not know. Times are RFC 3339; an absent value is left out.
#[derive(Debug, Serialize)]
pub(super) struct Object<'a> {
    /// The version of this format: 1.
    v: u32,
    /// The queue id.
    qid: QueueId,
    /// ready, inflight, deferred, held, posted, duplicate, dead or dropped_admin.
    state: &'a str,
    mailbox: &'a MailboxName,
    tenant: &'a TenantName,
    folder: &'a str,
    uidvalidity: u32,
    uid: u32,
    /// INTERNALDATE: when the mail server received it.
    received_at: String,
    /// When it became durable here.
    stored_at: String,
    size_bytes: u64,
    /// Posts begun.
    attempts: u32,
    /// Parse workers and daemons that died on it.
    strikes: u32,
    #[serde(skip_serializing_if = "Option::is_none")]
    next_attempt_at: Option<String>,
    /// The last post may have been carried out: it is looked up before the next.
    verify: bool,
    /// The author, as `[log] personal_data` says; empty before the mail was read.
    from: String,
    /// The first 12 hex digits of the SHA-256 of the Message-Id.
    #[serde(skip_serializing_if = "Option::is_none")]
    rfc_message_id_hash: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    error_class: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    held_reason: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    ticket: Option<TicketId>,
    #[serde(skip_serializing_if = "Option::is_none")]
    ticket_message: Option<EjMessageId>,
    #[serde(skip_serializing_if = "Option::is_none")]
    finished_at: Option<String>,
    /// When the mailbox action was done.
    #[serde(skip_serializing_if = "Option::is_none")]
    disposed_at: Option<String>,
    /// The raw mail is still here.
    has_raw: bool,
}

/// Prints entries.
#[derive(Debug)]
pub(super) struct Printer {
    personal_data: PersonalData,
    now: UtcMillis,
}

impl Printer {
    /// By the configuration, as far as it can be read.
    pub(super) fn new(common: &Common) -> Self {
        Self { personal_data: access::config_or_default(common).log.personal_data, now: Clock::system().now() }
    }

    /// The table of `queue list`, with its sum.
    pub(super) fn table(&self, entries: &[Entry]) -> Vec<String> {
        let Some(oldest) = entries.iter().map(|entry| entry.accepted_at).min() else {
            return vec!["no messages".to_owned()];
        };
        let head = ["QID", "STATE", "MAILBOX", "RECEIVED", "SIZE", "TRY", "NEXT", "FROM", "LAST ERROR"];
        let mut table = Table::new(&head);
        entries.iter().for_each(|entry| table.row(self.row(entry)));
        let bytes = entries.iter().map(|entry| entry.size_bytes).fold(0, u64::saturating_add);
        let age = span(self.now.since(oldest));
        let mut lines = table.lines();
        lines.push(format!("{}, {}, oldest {age}", count(entries.len()), size(bytes)));
        lines
    }

    fn row(&self, entry: &Entry) -> [String; 9] {
        let or_dash = |text: String| if text.is_empty() { "-".to_owned() } else { text };
        [
            entry.qid.to_string(),
            entry.word.clone(),
            entry.mailbox.to_string(),
            short_time(entry.internal_date),
            size(entry.size_bytes),
            entry.attempts.to_string(),
            or_dash(entry.next_attempt_at.map(|at| self.until(at)).unwrap_or_default()),
            or_dash(self.personal_data.shown(&entry.from)),
            or_dash(last_error(entry)),
        ]
    }

    fn until(&self, at: UtcMillis) -> String {
        if at <= self.now { "now".to_owned() } else { format!("in {}", span(at.since(self.now))) }
    }

    /// The lines of `queue show`: the fields of the JSON object, one each.
    pub(super) fn details(&self, entry: &Entry) -> String {
        let fields = serde_json::to_value(self.object(entry)).unwrap_or_default();
        let line = |(name, value): (&String, &serde_json::Value)| {
            let text = value.as_str().map_or_else(|| value.to_string(), str::to_owned);
            format!("{name:<20} {text}")
        };
        fields
            .as_object()
            .into_iter()
            .flatten()
            .filter(|(name, _)| *name != "v")
            .map(line)
            .collect::<Vec<_>>()
            .join("\n")
    }

    /// The JSON object.
    pub(super) fn object<'a>(&self, entry: &'a Entry) -> Object<'a> {
        Object {
            v: 1,
            qid: entry.qid,
            state: &entry.word,
            mailbox: &entry.mailbox,
            tenant: &entry.tenant,
            folder: &entry.folder,
            uidvalidity: entry.uidvalidity.0,
            uid: entry.uid.0,
            received_at: entry.internal_date.to_string(),
            stored_at: entry.accepted_at.to_string(),
            size_bytes: entry.size_bytes,
            attempts: entry.attempts,
            strikes: entry.strikes,
            next_attempt_at: entry.next_attempt_at.map(|at| at.to_string()),
            verify: entry.verify,
            from: harmless(&self.personal_data.shown(&entry.from)),
            rfc_message_id_hash: (!entry.rfc_message_id.is_empty()).then(|| hash(&entry.rfc_message_id)),
            error_class: entry.error_class.as_deref(),
            error: entry.error.as_deref().map(harmless),
            held_reason: entry.held_reason.as_deref(),
            ticket: entry.ticket_id,
            ticket_message: entry.ej_message_id,
            finished_at: entry.finished_at.map(|at| at.to_string()),
            disposed_at: entry.disposed_at.map(|at| at.to_string()),
            has_raw: entry.has_raw,
        }
    }
}

/// `1 message`, `3 messages`.
pub(super) fn count(messages: usize) -> String {
    if messages == 1 { "1 message".to_owned() } else { format!("{messages} messages") }
}

fn last_error(entry: &Entry) -> String {
    match (&entry.held_reason, &entry.error) {
        (Some(reason), Some(error)) => format!("{reason}: {error}"),
        (Some(text), None) | (None, Some(text)) => text.clone(),
        (None, None) => String::new(),
    }
}

/// `11-22 09:58:12`
fn short_time(time: UtcMillis) -> String {
    let text = time.to_string();
    match (text.get(5..10), text.get(11..19)) {
        (Some(day), Some(clock)) => format!("{day} {clock}"),
        _ => text,
    }
}

fn hash(message_id: &str) -> String {
    let digest = Sha256::digest(message_id.as_bytes());
    digest.iter().take(6).map(|byte| format!("{byte:02x}")).collect()
}
