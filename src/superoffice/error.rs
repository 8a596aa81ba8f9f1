//! What can go wrong with the API, and what it means. The table from status to [`Fault`] is here and nowhere else.
//!
//! Texts name the call and the status; what the server wrote is cut, freed of control characters and of everything that
//! looks like an address (its error texts quote what was sent).

use std::error::Error as StdError;
use std::fmt;
use std::time::Duration;

use reqwest::StatusCode;

use crate::config::secret::SecretError;
use crate::fault::Fault;

/// Characters of a foreign text that are kept.
const TEXT_CHARS: usize = 200;

/// Which call failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Call {
    /// `POST /api/v1/TicketMessage`: writes.
    Post,
    /// `GET /api/v1/TicketMessage`: only reads, so nothing about it can be unknown.
    Search,
}

impl fmt::Display for Call {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Post => "posting the ticket message",
            Self::Search => "looking the ticket message up",
        })
    }
}

/// What can go wrong with the API of one tenant.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The tenant's options cannot be used.
    #[error("tenant {tenant}: {reason}")]
    Options {
        /// The tenant.
        tenant: String,
        /// Which option, and why.
        reason: String,
    },
    /// One of the tenant's secrets cannot be read.
    #[error("{option}: {source}")]
    Secret {
        /// The option that names the secret.
        option: &'static str,
        /// Why.
        source: SecretError,
    },
    /// No connection, or one that broke before the whole request was sent: nothing was carried out.
    #[error("{call}: {reason}")]
    Unreachable {
        /// The call.
        call: Call,
        /// `network`, `timeout` or `tls`.
        class: &'static str,
        /// The chain of causes.
        reason: String,
    },
    /// The request went out, wholly or in part, and no complete answer came back.
    #[error("{call}: no answer: {reason}")]
    NoAnswer {
        /// The call.
        call: Call,
        /// `network` or `timeout`.
        class: &'static str,
        /// The chain of causes.
        reason: String,
    },
    /// A complete answer that is a refusal.
    #[error("{call}: status {status}{text}")]
    Refused {
        /// The call.
        call: Call,
        /// The status.
        status: StatusCode,
        /// What the refusal means.
        fault: Fault,
        /// What the answer said, cleaned, with its own `: ` in front; may be empty.
        text: String,
    },
    /// A status of success, with a body that does not say so.
    #[error("{call}: status {status}, but {reason}")]
    Unclear {
        /// The call.
        call: Call,
        /// The status.
        status: StatusCode,
        /// What the body was.
        reason: String,
    },
    /// The request is larger than `max_request`: it was not sent.
    #[error("the request has {size} bytes, max_request allows {max}")]
    TooBig {
        /// Its size.
        size: u64,
        /// The bound.
        max: u64,
    },
    /// The entity could not be written as JSON.
    #[error("writing the ticket message as JSON: {0}")]
    Encoding(#[from] serde_json::Error),
    /// The API has no search.
    #[error("the API cannot be searched: status {0}")]
    NotSearchable(StatusCode),
}

impl Error {
    /// What it means for retries.
    #[must_use]
    pub const fn fault(&self) -> Fault {
        match self {
            Self::Options { .. } | Self::Secret { .. } => Fault::Unauthorized,
            Self::Unreachable { .. } => Fault::Transient,
            Self::NoAnswer { call, .. } | Self::Unclear { call, .. } => unproven(*call),
            Self::Refused { fault, .. } => *fault,
            Self::TooBig { .. } | Self::Encoding(_) | Self::NotSearchable(_) => Fault::Permanent,
        }
    }

    /// The class in logs, listings and metrics; a closed set.
    #[must_use]
    pub fn class(&self) -> &'static str {
        match self {
            Self::Options { .. } | Self::Secret { .. } => "auth",
            Self::NoAnswer { call: Call::Post, .. } | Self::Unclear { call: Call::Post, .. } => "unknown_outcome",
            Self::Unreachable { class, .. } | Self::NoAnswer { class, .. } => class,
            Self::Unclear { .. } => "api_answer",
            Self::Refused { status, .. } | Self::NotSearchable(status) => refusal_class(*status),
            Self::TooBig { .. } => "too_big",
            Self::Encoding(_) => "encoding",
        }
    }

    /// The status of the answer, when there was one.
    #[must_use]
    pub const fn status(&self) -> Option<u16> {
        match self {
            Self::Refused { status, .. } | Self::Unclear { status, .. } | Self::NotSearchable(status) => {
                Some(status.as_u16())
            }
            _ => None,
        }
    }

    /// The server itself said, completely, that it failed: an outcome that is unknown only in theory. Where the API
    /// cannot be searched this is tried again, and only a request without any answer is held (decisions D8). 504 is no
    /// such answer: it comes from a gateway that gave up on the server.
    #[must_use]
    pub fn is_complete_failure(&self) -> bool {
        matches!(self, Self::Refused { status, fault: Fault::Unknown, .. } if *status != StatusCode::GATEWAY_TIMEOUT)
    }

    /// No answer came in time: the server may still be at work.
    #[must_use]
    pub fn is_late(&self) -> bool {
        matches!(self, Self::NoAnswer { class: "timeout", .. })
    }

    /// What makes a permanent refusal the same as that of another mail: an API that refuses everything alike has changed,
    /// and it is not the mails that are at fault. `None` where the mail's own size is the reason.
    #[must_use]
    pub fn refusal(&self) -> Option<String> {
        match self {
            Self::Refused { status, fault: Fault::Permanent, text, .. } if *status != StatusCode::PAYLOAD_TOO_LARGE => {
                Some(format!("{status}{}", text.split(':').nth(1).unwrap_or_default()))
            }
            _ => None,
        }
    }
}

/// A write that is not proven either way is unknown; a read is simply repeated.
const fn unproven(call: Call) -> Fault {
    match call {
        Call::Post => Fault::Unknown,
        Call::Search => Fault::Transient,
    }
}

/// The class of a refusal.
fn refusal_class(status: StatusCode) -> &'static str {
    match status.as_u16() {
        401 | 403 => "auth",
        413 => "too_big",
        429 => "throttled",
        100..=399 => "api_3xx",
        400..=499 => "api_4xx",
        _ => "api_5xx",
    }
}

/// What a status that is not a success means. A redirect is never followed: it would turn the POST into a GET or carry the
/// sign-in to another host, so it is a mistake in `base_url`, as 404, 405, 410, 421 and 501 are: they hold for every mail.
pub(super) fn refusal_fault(call: Call, status: StatusCode, retry_after: Option<Duration>) -> Fault {
    match status.as_u16() {
        408 | 425 => Fault::Transient,
        429 | 503 => Fault::Throttled { retry_after },
        100..=399 | 401 | 403 | 404 | 405 | 407 | 410 | 421 | 501 | 511 => Fault::Unauthorized,
        400..=499 => Fault::Permanent,
        _ => unproven(call),
    }
}

/// What an error object within a status of success means, by its `ErrorType`: it is the only thing there is.
pub(super) fn error_object_fault(call: Call, error_type: &str) -> Fault {
    let has = |words: &[&str]| words.iter().any(|word| error_type.contains(word));
    match () {
        () if has(&["Authenti", "Authori", "Session", "Sentry", "Licen"]) => Fault::Unauthorized,
        () if has(&["Argument", "Validation", "NotFound", "Format"]) => Fault::Permanent,
        () => unproven(call),
    }
}

/// The error of a request that got no complete answer. `unsent`: the server cannot have all of it.
pub(super) fn of_transport(call: Call, error: reqwest::Error, unsent: bool) -> Error {
    // The URL of a look-up holds a Message-Id.
    let error = error.without_url();
    let reason = clean(&chain(&error));
    let class = transport_class(&error);
    match error.is_connect() || error.is_dns() || error.is_builder() {
        true => Error::Unreachable { call, class, reason },
        false if unsent => Error::Unreachable { call, class, reason: format!("sending was not finished: {reason}") },
        false => Error::NoAnswer { call, class, reason },
    }
}

fn transport_class(error: &reqwest::Error) -> &'static str {
    let causes = std::iter::successors(error.source(), |cause: &&(dyn StdError + 'static)| (**cause).source());
    match causes.into_iter().any(is_tls) {
        true => "tls",
        false if error.is_timeout() => "timeout",
        false => "network",
    }
}

/// An I/O error hides what it wraps from `source`, and may wrap another.
fn is_tls(cause: &(dyn StdError + 'static)) -> bool {
    let wrapped = cause.downcast_ref::<std::io::Error>().and_then(std::io::Error::get_ref);
    cause.is::<rustls::Error>() || wrapped.is_some_and(|inner| is_tls(inner))
}

/// The texts of an error and of its causes; a cause that the text before it ends with is not repeated.
pub(super) fn chain(error: &dyn StdError) -> String {
    let mut text = error.to_string();
    let mut next = error.source();
    while let Some(cause) = next {
        let more = cause.to_string();
        if !text.ends_with(&more) {
            text = format!("{text}: {more}");
        }
        next = cause.source();
    }
    text
}

/// A foreign text made fit for logs: one line, no control characters, no addresses, bounded.
pub(super) fn clean(text: &str) -> String {
    let bounded: String = text.chars().take(TEXT_CHARS.saturating_mul(8)).collect();
    let printable: String = bounded.chars().map(|c| if c.is_control() { ' ' } else { c }).collect();
    let words = printable.split_whitespace().map(|word| if word.contains('@') { "(address)" } else { word });
    words.collect::<Vec<_>>().join(" ").chars().take(TEXT_CHARS).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(status: u16, post: Fault, search: Fault, class: &str) {
        let status = StatusCode::from_u16(status).expect("a status");
        assert_eq!(refusal_fault(Call::Post, status, None), post, "{status}");
        assert_eq!(refusal_fault(Call::Search, status, None), search, "{status}");
        assert_eq!(refusal_class(status), class, "{status}");
    }

    #[test]
    fn every_status_has_a_meaning() {
        let throttled = Fault::Throttled { retry_after: None };
        for status in [301, 302, 303, 307, 308] {
            check(status, Fault::Unauthorized, Fault::Unauthorized, "api_3xx");
        }
        for status in [401, 403] {
            check(status, Fault::Unauthorized, Fault::Unauthorized, "auth");
        }
        for status in [404, 405, 410, 421] {
            check(status, Fault::Unauthorized, Fault::Unauthorized, "api_4xx");
        }
        for status in [400, 409, 412, 415, 422, 451] {
            check(status, Fault::Permanent, Fault::Permanent, "api_4xx");
        }
        check(413, Fault::Permanent, Fault::Permanent, "too_big");
        check(408, Fault::Transient, Fault::Transient, "api_4xx");
        check(425, Fault::Transient, Fault::Transient, "api_4xx");
        check(429, throttled, throttled, "throttled");
        check(503, throttled, throttled, "api_5xx");
        check(501, Fault::Unauthorized, Fault::Unauthorized, "api_5xx");
        for status in [500, 502, 504, 507, 520] {
            check(status, Fault::Unknown, Fault::Transient, "api_5xx");
        }
    }

    #[test]
    fn an_error_object_is_judged_by_its_type() {
        for (error_type, fault) in [
            ("SoSessionException", Fault::Unauthorized),
            ("SuperOffice.Exceptions.SoAuthenticationException", Fault::Unauthorized),
            ("SoSentryException", Fault::Unauthorized),
            ("ArgumentNullException", Fault::Permanent),
            ("SoNotFoundException", Fault::Permanent),
            ("SoSqlException", Fault::Unknown),
            ("", Fault::Unknown),
        ] {
            assert_eq!(error_object_fault(Call::Post, error_type), fault, "{error_type}");
        }
    }

    #[test]
    fn foreign_texts_are_cut_and_cleaned() {
        assert_eq!(clean("No person\r\n<jo@example.com>\u{1b}[31m\tfound"), "No person (address) [31m found");
        assert_eq!(clean(&"é".repeat(5000)).chars().count(), TEXT_CHARS);
    }

    #[test]
    fn a_gateway_that_gave_up_is_no_complete_failure() {
        let refused = |code: u16| {
            let status = StatusCode::from_u16(code).expect("a status");
            let fault = refusal_fault(Call::Post, status, None);
            Error::Refused { call: Call::Post, status, fault, text: String::new() }
        };
        assert!(refused(500).is_complete_failure());
        assert!(refused(502).is_complete_failure());
        assert!(!refused(504).is_complete_failure());
        assert!(!refused(503).is_complete_failure());
    }
}
