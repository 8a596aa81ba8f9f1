//! What the log says of a mail on its way: the events of `docs/operations.md`, each in one place. Only ids of ours and
//! numbers: no address, no subject, no Message-Id.

use std::time::Duration;

use tracing::{debug, error, info, warn};

use super::attempt::Attempt;
use super::breaker::Change;
use crate::clock::UtcMillis;
use crate::fault::Fault;
use crate::message::{Depth, Message};
use crate::queue::{End, Entry};
use crate::superoffice;
use crate::telemetry::event;

/// One line about the mail of an attempt: level, event, more fields, sentence.
macro_rules! mail {
    ($level:ident, $event:ident, $attempt:expr, { $($fields:tt)* }, $sentence:literal) => {{
        let item = &$attempt.item;
        $level!(
            event = event::$event,
            tenant = %item.tenant,
            mailbox = %item.key.mailbox,
            folder = item.key.folder,
            qid = %item.claim.id,
            uidvalidity = item.uidvalidity.0,
            uid = item.uid.0,
            size_bytes = item.size,
            $($fields)*
            $sentence
        )
    }};
}

/// A duration in milliseconds.
fn ms(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

/// `message.parsed`
pub(super) fn parsed(attempt: &Attempt<'_>, message: &Message, took: Duration) {
    attempt.note_parse(took);
    let (step, attachments, took_ms) = (message.depth.as_str(), message.attachments.len(), ms(took));
    let body_type = if message.html.is_some() { "html" } else { "plain" };
    match message.depth {
        Depth::Full => {
            mail!(debug, MESSAGE_PARSED, attempt, { step, attachments, body_type, took_ms, }, "The mail was read.");
        }
        Depth::Text | Depth::Headers => {
            mail!(warn, MESSAGE_PARSED, attempt, { step, attachments, body_type, took_ms, }, "The mail was read in part.");
        }
    }
}

/// `crash.strike`
pub(super) fn strike(attempt: &Attempt<'_>, strikes: u32, next: Depth, error: &crate::parser::Error) {
    let next_step = next.as_str();
    mail!(warn, CRASH_STRIKE, attempt, { place = "worker", strikes, next_step, %error, },
        "A parse worker ended on the mail; it is read one step down.");
}

/// `api.attempt` of a call that ended well.
pub(super) fn accepted(attempt: &Attempt<'_>, step: &'static str, number: u32, took: Duration) {
    let took_ms = ms(took);
    mail!(debug, API_ATTEMPT, attempt, { step, attempt = number, took_ms, }, "The API has answered.");
}

/// `api.attempt` of a call that failed.
pub(super) fn refused(
    attempt: &Attempt<'_>,
    step: &'static str,
    number: u32,
    error: &superoffice::Error,
    took: Duration,
) {
    let (status, error_class, took_ms) = (error.status(), error.class(), ms(took));
    mail!(warn, API_ATTEMPT, attempt, { step, attempt = number, status, error_class, %error, took_ms, },
        "The call of the API has failed.");
}

/// `api.attempt`, once a tenant: the answers name no key.
pub(super) fn no_key(attempt: &Attempt<'_>, number: u32) {
    mail!(warn, API_ATTEMPT, attempt, { step = "post", attempt = number, },
        "The API accepts messages but does not say their keys; this is not repeated.");
}

/// `queue.unknown_outcome`: what came of it.
pub(super) fn unknown_outcome(attempt: &Attempt<'_>, then: &'static str) {
    mail!(warn, QUEUE_UNKNOWN_OUTCOME, attempt, { attempt = attempt.number(), then, },
        "A request was sent and its outcome was not known.");
}

/// `api.breaker`
pub(super) fn breaker(attempt: &Attempt<'_>, change: Change, error: Option<&superoffice::Error>) {
    let (tenant, Change { from, to, failures, .. }) = (&attempt.item.tenant, change);
    let Some(error) = error else {
        return warn!(event = event::API_BREAKER, %tenant, from, to, failures, "The tenant takes mail again.");
    };
    let refused = matches!(error.fault(), Fault::Unauthorized | Fault::Permanent) || error.class() == "tls";
    match refused {
        true => error!(
            event = event::API_BREAKER, %tenant, from, to, failures, %error,
            "The API refuses everything; mail waits until somebody mends it."
        ),
        false if to == "paused" => warn!(
            event = event::API_BREAKER, %tenant, from, to, failures, %error,
            "The API asks to be left alone; its mail waits."
        ),
        false => warn!(
            event = event::API_BREAKER, %tenant, from, to, failures, %error,
            "The API is away; mail waits and one call at a time looks for it."
        ),
    }
}

/// `queue.delayed`
pub(super) fn delayed(entry: &Entry, now: UtcMillis) {
    warn!(
        event = event::QUEUE_DELAYED,
        tenant = %entry.tenant,
        mailbox = %entry.mailbox,
        folder = entry.folder,
        qid = %entry.qid,
        uidvalidity = entry.uidvalidity.0,
        uid = entry.uid.0,
        size_bytes = entry.size_bytes,
        age_ms = ms(now.since(entry.accepted_at)),
        attempts = entry.attempts,
        last_error = entry.error.as_deref().unwrap_or_default(),
        "The mail waits for longer than warn_after."
    );
}

/// The end of the work on a mail, after it is durable: `message.done`, `message.held`, `queue.deferred`.
pub(super) fn ended(attempt: &Attempt<'_>, end: &End, number: u32) {
    match end {
        End::Delivered { ej_message_id, ticket_id } => {
            let (ticket, ticket_message) = (ticket_id.map(|id| id.0), ej_message_id.map(|id| id.0));
            done(attempt, number, &Done { state: "posted", ticket, ticket_message, reason: None });
        }
        End::Duplicate { of } => {
            done(attempt, number, &Done { state: "duplicate", ticket: None, ticket_message: None, reason: Some(of) });
        }
        End::Failed { class, error } => dead(attempt, number, class, error),
        End::Held { reason, error } => {
            mail!(warn, MESSAGE_HELD, attempt, { reason, detail = error, }, "The mail waits for a person.");
        }
        End::Deferred { at, class, error, .. } => {
            let next_in_ms = ms(at.since(attempt.now()));
            mail!(info, QUEUE_DEFERRED, attempt, { attempt = number, error_class = class, error, next_in_ms, },
                "The mail is put off.");
        }
        End::Released { .. } => {}
    }
}

struct Done<'a> {
    state: &'static str,
    ticket: Option<i64>,
    ticket_message: Option<i64>,
    reason: Option<&'a str>,
}

fn done(attempt: &Attempt<'_>, attempts: u32, done: &Done<'_>) {
    let Done { state, ticket, ticket_message, reason } = done;
    let (sorter, delay_ms, delays_ms) = (attempt.sorter(), delay(attempt), delays(attempt));
    mail!(info, MESSAGE_DONE, attempt,
        { state, ticket, ticket_message, sorter, attempts, delay_ms, delays_ms, reason, },
        "The mail is in SuperOffice.");
}

fn dead(attempt: &Attempt<'_>, attempts: u32, error_class: &str, reason: &str) {
    let (sorter, delay_ms, delays_ms) = (attempt.sorter(), delay(attempt), delays(attempt));
    mail!(error, MESSAGE_DONE, attempt,
        { state = "dead", sorter, attempts, delay_ms, delays_ms, error_class, reason, },
        "The mail cannot be delivered; it is kept as a dead letter.");
}

/// From the mail server's INTERNALDATE to now.
fn delay(attempt: &Attempt<'_>) -> u64 {
    ms(attempt.now().since(attempt.item.internal_date))
}

/// Where the time went: fetch/store/parse/queue/api. The time of the store is part of the fetch, which ends when the mail
/// is durable.
fn delays(attempt: &Attempt<'_>) -> String {
    let (parse, api) = attempt.times();
    let fetch = ms(attempt.item.accepted_at.since(attempt.item.internal_date));
    let here = ms(attempt.now().since(attempt.item.accepted_at));
    let queue = here.saturating_sub(ms(parse)).saturating_sub(ms(api));
    format!("{fetch}/0/{}/{queue}/{}", ms(parse), ms(api))
}
