//! What can go wrong with a mail server, where it went wrong, and what it means for the next try.

use std::fmt;
use std::time::Duration;

use crate::config::secret::SecretError;
use crate::fault::Fault;

/// Bytes of foreign text that an error or a log line may carry.
const EXCERPT: usize = 200;

/// For how long a server is left alone whose budget of traffic is used up.
const USED_UP: Duration = Duration::from_secs(3600);

/// How far a session had come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stage {
    /// Finding the address of the server.
    Dns,
    /// Opening the connection.
    Tcp,
    /// TLS, STARTTLS included.
    Tls,
    /// The server's first line.
    Greeting,
    /// The sign-in.
    Auth,
    /// Selecting a folder.
    Select,
    /// Everything after that.
    Session,
}

impl fmt::Display for Stage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Dns => "dns",
            Self::Tcp => "tcp",
            Self::Tls => "tls",
            Self::Greeting => "greeting",
            Self::Auth => "auth",
            Self::Select => "select",
            Self::Session => "session",
        })
    }
}

/// How a tagged answer refused a command.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Refusal {
    /// `NO`: understood and not done.
    No,
    /// `BAD`: not understood, or a server in distress.
    Bad,
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::No => "NO",
            Self::Bad => "BAD",
        })
    }
}

/// A broken rule of the protocol. After it nothing that the server says is believed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{rule}: {detail}")]
pub struct Violation {
    /// `preauth`, `bytes_after_starttls`, `literal_too_big`, `line_too_long`, `unexpected_tag` …
    pub rule: &'static str,
    /// What was seen, cut and escaped.
    pub detail: String,
}

/// What can go wrong with a mail server. All foreign text in it is cut and escaped.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The name has no usable address.
    #[error("finding the address of {host}: {reason}")]
    Dns {
        /// The server.
        host: String,
        /// What the resolver said.
        reason: String,
    },
    /// No connection.
    #[error("connecting to {address}: {reason}")]
    Tcp {
        /// Host and port.
        address: String,
        /// What the network said.
        reason: String,
    },
    /// No protected connection.
    #[error("securing the connection to {host}: {reason}")]
    Tls {
        /// The server.
        host: String,
        /// What TLS or the server said.
        reason: String,
    },
    /// The first line is no `* OK`.
    #[error("the greeting of {host} is not OK: {text}")]
    Greeting {
        /// The server.
        host: String,
        /// What it said.
        text: String,
    },
    /// The server broke the protocol.
    #[error("{command}: the server broke the protocol: {violation}")]
    Violation {
        /// The command under way.
        command: &'static str,
        /// The broken rule.
        violation: Violation,
    },
    /// The server refused the sign-in.
    #[error("{mechanism}: the server refuses the sign-in: {text}")]
    Denied {
        /// `LOGIN` or `PLAIN`.
        mechanism: &'static str,
        /// What the server said.
        text: String,
    },
    /// The server offers no sign-in that we may use.
    #[error("the server offers no sign-in that may be used here: {reason}")]
    NoMechanism {
        /// Why.
        reason: &'static str,
    },
    /// The password could not be read.
    #[error(transparent)]
    Secret(#[from] SecretError),
    /// A tagged `NO` or `BAD`.
    #[error("{command} was answered with {refusal}: {text}")]
    Refused {
        /// The command.
        command: &'static str,
        /// Which of the two.
        refusal: Refusal,
        /// The response code, in upper case; empty when there was none.
        code: String,
        /// What the server said.
        text: String,
    },
    /// The server said good-bye.
    #[error("{command}: the server said good-bye: {text}")]
    Bye {
        /// The command under way.
        command: &'static str,
        /// What the server said.
        text: String,
    },
    /// The connection is gone, or what came over it could not be read.
    #[error("{command}: the connection was lost: {reason}")]
    Lost {
        /// The command under way.
        command: &'static str,
        /// How.
        reason: String,
    },
    /// The answer did not come in time.
    #[error("{command}: no complete answer in time ({waited_for})")]
    Timeout {
        /// The command under way.
        command: &'static str,
        /// Which of the two limits was met.
        waited_for: &'static str,
    },
    /// Our own argument cannot be sent.
    #[error("{what} cannot be sent to a mail server: {reason}")]
    Unsendable {
        /// Which argument.
        what: &'static str,
        /// Why.
        reason: &'static str,
    },
}

impl Error {
    /// What it means for retries.
    #[must_use]
    pub fn fault(&self) -> Fault {
        match self {
            Self::Denied { .. } | Self::NoMechanism { .. } | Self::Secret(_) => Fault::Unauthorized,
            Self::Unsendable { .. } => Fault::Permanent,
            Self::Refused { code, text, .. } => refused(code, text),
            Self::Bye { text, .. } | Self::Greeting { text, .. } => {
                asked_for_patience("", text).unwrap_or(Fault::Transient)
            }
            Self::Dns { .. }
            | Self::Tcp { .. }
            | Self::Tls { .. }
            | Self::Violation { .. }
            | Self::Lost { .. }
            | Self::Timeout { .. } => Fault::Transient,
        }
    }

    /// How far the session had come.
    #[must_use]
    pub fn stage(&self) -> Stage {
        match self {
            Self::Dns { .. } => Stage::Dns,
            Self::Tcp { .. } => Stage::Tcp,
            Self::Tls { .. } => Stage::Tls,
            Self::Greeting { .. } => Stage::Greeting,
            Self::Denied { .. } | Self::NoMechanism { .. } | Self::Secret(_) => Stage::Auth,
            Self::Unsendable { .. } => Stage::Session,
            Self::Violation { command, .. }
            | Self::Refused { command, .. }
            | Self::Bye { command, .. }
            | Self::Lost { command, .. }
            | Self::Timeout { command, .. } => stage_of(command),
        }
    }

    /// The class of the fault, for logs and listings.
    #[must_use]
    pub const fn class(&self) -> &'static str {
        match self {
            Self::Dns { .. } => "dns",
            Self::Tcp { .. } => "tcp",
            Self::Tls { .. } => "tls",
            Self::Greeting { .. } => "greeting",
            Self::Violation { .. } => "protocol",
            Self::Denied { .. } => "denied",
            Self::NoMechanism { .. } => "no_mechanism",
            Self::Secret(_) => "secret",
            Self::Refused { .. } => "refused",
            Self::Bye { .. } => "bye",
            Self::Lost { .. } => "lost",
            Self::Timeout { .. } => "timeout",
            Self::Unsendable { .. } => "unsendable",
        }
    }

    /// Whether the session is gone. A refused command leaves it as it was.
    #[must_use]
    pub const fn ends_session(&self) -> bool {
        !matches!(self, Self::Refused { .. } | Self::Unsendable { .. })
    }
}

fn stage_of(command: &str) -> Stage {
    match command {
        "greeting" => Stage::Greeting,
        "STARTTLS" => Stage::Tls,
        "CAPABILITY" | "LOGIN" | "AUTHENTICATE" | "ID" => Stage::Auth,
        "SELECT" => Stage::Select,
        _ => Stage::Session,
    }
}

fn refused(code: &str, text: &str) -> Fault {
    match code {
        "AUTHENTICATIONFAILED" | "AUTHORIZATIONFAILED" | "EXPIRED" | "PRIVACYREQUIRED" | "CONTACTADMIN" | "NOPERM" => {
            Fault::Unauthorized
        }
        "NONEXISTENT" | "CANNOT" | "TRYCREATE" => Fault::Permanent,
        _ if text.to_ascii_lowercase().contains("authenticated but not connected") => Fault::Unauthorized,
        _ => asked_for_patience(code, text).unwrap_or(Fault::Transient),
    }
}

/// Whether the server asks to be left alone for a while, by code or, as Exchange Online does, in words.
fn asked_for_patience(code: &str, text: &str) -> Option<Fault> {
    let text = text.to_ascii_lowercase();
    let by_code = matches!(code, "LIMIT" | "THROTTLED" | "OVERQUOTA" | "INUSE");
    let by_words = ["throttled", "backoff time", "too many", "bandwidth limit", "number of connections"];
    let asked = by_code || by_words.iter().any(|words| text.contains(words));
    // What was used up is a budget of the day.
    let used_up = Some(USED_UP).filter(|_| code == "OVERQUOTA" || text.contains("bandwidth limit"));
    asked.then(|| Fault::Throttled { retry_after: suggested_backoff(&text).or(used_up) })
}

/// `Suggested Backoff Time: 299910 milliseconds`, at most a day.
fn suggested_backoff(text: &str) -> Option<Duration> {
    let (_, rest) = text.split_once("backoff time:")?;
    let digits: String = rest.trim_start().chars().take_while(char::is_ascii_digit).collect();
    let asked = Duration::from_millis(digits.parse().ok()?);
    Some(asked.min(Duration::from_secs(86_400)))
}

/// Foreign text for errors and logs: at most 200 bytes, control characters escaped.
#[must_use]
pub fn excerpt(text: &str) -> String {
    let mut short = String::new();
    for c in text.chars() {
        if short.len() >= EXCERPT {
            short.push('…');
            break;
        }
        if c.is_control() { short.extend(c.escape_default()) } else { short.push(c) }
    }
    short
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(code: &str, text: &str, expected: Fault) {
        let error =
            Error::Refused { command: "SELECT", refusal: Refusal::No, code: code.to_owned(), text: text.to_owned() };
        assert_eq!(error.fault(), expected);
    }

    #[test]
    fn refusals_are_told_apart() {
        check("AUTHENTICATIONFAILED", "", Fault::Unauthorized);
        check("NONEXISTENT", "no such folder", Fault::Permanent);
        check("UNAVAILABLE", "later", Fault::Transient);
        check("", "something odd", Fault::Transient);
        check("", "User is authenticated but not connected.", Fault::Unauthorized);
        check("OVERQUOTA", "", Fault::Throttled { retry_after: Some(USED_UP) });
        check("", "Account exceeded command or bandwidth limits", Fault::Throttled { retry_after: Some(USED_UP) });
        check("", "Maximum number of connections from user+IP exceeded", Fault::Throttled { retry_after: None });
        let asked = Fault::Throttled { retry_after: Some(Duration::from_millis(299_910)) };
        check("", "Request is throttled. Suggested Backoff Time: 299910 milliseconds", asked);
        let a_day = Fault::Throttled { retry_after: Some(Duration::from_secs(86_400)) };
        check("", "throttled; Backoff Time: 99999999999 milliseconds", a_day);
    }

    #[test]
    fn foreign_text_is_cut_and_escaped() {
        assert_eq!(excerpt("a\r\nb\u{1b}"), "a\\r\\nb\\u{1b}");
        assert!(excerpt(&"é".repeat(500)).len() <= EXCERPT + 4);
    }
}
