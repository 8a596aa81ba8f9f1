//! A signed-in session: which folder is selected, which UIDs it has (RFC 9051 §6.3.2, §6.4.4). Dropped after any error
//! that ends it: every later call fails.

use std::time::Duration;

use super::answer::{Answer, Code, Completion};
use super::auth::{quoted, sign_in};
use super::capability::Capabilities;
use super::command::{Command, Wire};
use super::connect::{Connected, connect};
use super::error::Error;
use crate::config;
use crate::ids::{Uid, UidValidity};
use crate::telemetry::progress::Pulse;
use crate::uids::UidSet;

/// UIDs that the first window of a search spans; each further one spans twice as many, so that a UIDNEXT far beyond the
/// last mail costs a handful of commands.
const FIRST_WINDOW: u32 = 20_000;
/// How long a polite end may take.
const LOGOUT: Duration = Duration::from_secs(2);

/// A signed-in session.
#[derive(Debug)]
pub struct Session {
    pub(super) wire: Wire,
    pub(super) capabilities: Capabilities,
    pub(super) limits: config::Limits,
    summary: Summary,
    selected: Option<String>,
}

/// How the session came about, for the log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Summary {
    /// `TLSv1.3` …, or `none`.
    pub tls_version: &'static str,
    /// `PLAIN` or `LOGIN`.
    pub mechanism: &'static str,
}

/// A folder as SELECT showed it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Folder {
    /// UIDVALIDITY; 0 when the server named none.
    pub uidvalidity: UidValidity,
    /// UIDNEXT, when the server named it.
    pub uid_next: Option<Uid>,
    /// How many mails it has.
    pub exists: u32,
    /// It can be read only.
    pub read_only: bool,
    /// The flags that can be set for good; `None` when the server named none, which means any.
    pub permanent_flags: Option<Vec<String>>,
}

impl Folder {
    /// What is taken for granted before the server has said anything.
    const UNKNOWN: Self =
        Self { uidvalidity: UidValidity(0), uid_next: None, exists: 0, read_only: false, permanent_flags: None };

    /// Whether a flag or keyword can be set for good.
    #[must_use]
    pub fn may_set(&self, flag: &str) -> bool {
        let listed = |flags: &Vec<String>| {
            flags.iter().any(|known| known.eq_ignore_ascii_case(flag) || (known == "\\*" && !flag.starts_with('\\')))
        };
        !self.read_only && self.permanent_flags.as_ref().is_none_or(listed)
    }
}

impl Session {
    /// Connects and signs in. `pulse` beats whenever the server is heard, for as long as the session lasts.
    ///
    /// # Errors
    /// See [`Error`]; [`Error::stage`] tells how far it came.
    pub async fn open(
        mailbox: &config::Mailbox,
        tls: &config::Tls,
        limits: &config::Limits,
        pulse: Pulse,
    ) -> Result<Self, Error> {
        let max_line = usize::try_from(limits.imap_line.0).unwrap_or(usize::MAX);
        let connected = connect(mailbox, tls, max_line, pulse).await?;
        Self::start(connected, mailbox, limits).await
    }

    /// Signs in on a connection.
    pub(super) async fn start(
        connected: Connected,
        mailbox: &config::Mailbox,
        limits: &config::Limits,
    ) -> Result<Self, Error> {
        let Connected { mut wire, capabilities, tls_version } = connected;
        let (mechanism, completion) = sign_in(&mut wire, &capabilities, mailbox).await?;
        let capabilities = Capabilities::after_sign_in(&mut wire, completion).await?;
        if mailbox.send_id && capabilities.has("ID") {
            // Some providers refuse SELECT to clients that do not say who they are; a refusal of ID itself means nothing.
            let id = format!("ID (\"name\" \"mailbridge\" \"version\" \"{}\")", env!("CARGO_PKG_VERSION"));
            wire.run(Command::new("ID", id), |_| {}).await?;
        }
        let summary = Summary { tls_version, mechanism };
        Ok(Self { wire, capabilities, limits: limits.clone(), summary, selected: None })
    }

    /// How the session came about.
    #[must_use]
    pub const fn summary(&self) -> &Summary {
        &self.summary
    }

    /// Whether the server offers IDLE.
    #[must_use]
    pub fn can_idle(&self) -> bool {
        self.capabilities.has("IDLE")
    }

    /// Whether this folder is the selected one.
    #[must_use]
    pub fn is_selected(&self, name: &str) -> bool {
        self.selected.as_deref() == Some(name)
    }

    /// Whether the server has told of mail in the selected folder since the last search began. It may do so in the answer
    /// to any command; whoever waits asks first.
    #[must_use]
    pub const fn has_news(&self) -> bool {
        self.wire.news
    }

    /// Whether the server has asked for fewer commands, in an answer that was OK, since the last search began.
    #[must_use]
    pub const fn wants_less(&self) -> bool {
        self.wire.throttled
    }

    /// How many untagged lines of the server nobody here reads.
    #[must_use]
    pub fn dropped_lines(&self) -> u64 {
        self.wire.dropped()
    }

    /// Selects a folder, also when it is selected already.
    ///
    /// # Errors
    /// [`Error::Refused`] when the server refuses; see [`Error`].
    pub async fn select(&mut self, name: &str) -> Result<Folder, Error> {
        let folder = self.open_folder("SELECT", name).await?;
        self.selected = Some(name.to_owned());
        Ok(folder)
    }

    /// Looks into a folder (RFC 9051 §6.3.3). It does not count as selected: nothing may be done in it.
    ///
    /// # Errors
    /// As [`Self::select`].
    pub(super) async fn examine(&mut self, name: &str) -> Result<Folder, Error> {
        self.open_folder("EXAMINE", name).await
    }

    async fn open_folder(&mut self, command: &'static str, name: &str) -> Result<Folder, Error> {
        let line = format!("{command} {}", folder_argument(name)?);
        self.selected = None;
        self.wire.exists = None;
        let mut folder = Folder::UNKNOWN;
        let note = |answer| {
            if let Answer::News(completion) = answer {
                learn(&mut folder, completion);
            }
        };
        let outcome = self.wire.run(Command::new(command, line), note).await?;
        learn(&mut folder, outcome.accepted()?);
        self.wire.news = false;
        folder.exists = self.wire.exists.unwrap_or(0);
        Ok(folder)
    }

    /// The UIDs of the selected folder from `from` on.
    ///
    /// # Errors
    /// See [`Error`]; an answer is complete or an error.
    pub async fn uids(&mut self, from: Uid, folder: &Folder) -> Result<UidSet, Error> {
        let mut found = Vec::new();
        (self.wire.news, self.wire.throttled) = (false, false);
        if self.wire.exists == Some(0) {
            return Ok(UidSet::new());
        }
        let (mut low, mut width) = (from.0.max(1), FIRST_WINDOW);
        while let Some(high) = low.checked_add(width).filter(|high| folder.uid_next.is_some_and(|next| *high < next.0))
        {
            found.extend(self.search(&format!("UID {low}:{}", high.saturating_sub(1))).await?);
            (low, width) = (high, width.saturating_mul(2));
        }
        found.extend(self.search(&format!("UID {low}:*")).await?);
        // `n:*` names the last mail even when its UID is below n.
        Ok(found.into_iter().filter(|uid| *uid >= from).collect())
    }

    /// The UIDs of the selected folder whose mails are unseen.
    ///
    /// # Errors
    /// See [`Error`].
    pub async fn unseen(&mut self) -> Result<UidSet, Error> {
        match self.wire.exists {
            Some(0) => Ok(UidSet::new()),
            _ => Ok(self.search("UNSEEN").await?.into_iter().collect()),
        }
    }

    /// Whether the selected folder has this UID now.
    ///
    /// # Errors
    /// See [`Error`].
    pub async fn has(&mut self, uid: Uid) -> Result<bool, Error> {
        Ok(self.search(&format!("UID {uid}")).await?.contains(&uid))
    }

    /// Says good-bye. Whatever comes of it, the session is over.
    pub async fn logout(mut self) {
        let polite = self.wire.run(Command::new("LOGOUT", "LOGOUT"), |_| {});
        // The connection is closed either way.
        drop(tokio::time::timeout(LOGOUT, polite).await);
    }

    pub(super) async fn search(&mut self, what: &str) -> Result<Vec<Uid>, Error> {
        let mut ids = Vec::new();
        let collect = |answer| {
            if let Answer::Search(some) = answer {
                ids.extend(some.into_iter().filter(|id| *id != 0).map(Uid));
            }
        };
        let outcome = self.wire.run(Command::new("UID SEARCH", format!("UID SEARCH {what}")), collect).await?;
        outcome.accepted().map(|_| ids)
    }
}

fn learn(folder: &mut Folder, completion: Completion) {
    match completion.code {
        Some(Code::UidValidity(value)) => folder.uidvalidity = UidValidity(value),
        Some(Code::UidNext(value)) if value > 0 => folder.uid_next = Some(Uid(value)),
        Some(Code::PermanentFlags(flags)) => folder.permanent_flags = Some(flags),
        Some(Code::ReadOnly) => folder.read_only = true,
        Some(Code::UidNext(_) | Code::Capabilities(_) | Code::Word(_)) | None => {}
    }
}

/// A folder's name as an argument: modified UTF-7 (RFC 9051 §A.1), quoted. It is opaque to us, and never a path.
pub(super) fn folder_argument(name: &str) -> Result<String, Error> {
    if name.chars().any(char::is_control) {
        return Err(Error::Unsendable { what: "the folder's name", reason: "it holds a control character" });
    }
    Ok(quoted(&utf7_imap::encode_utf7_imap(name.to_owned())))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn folder_names_are_encoded_and_quoted() {
        assert_eq!(folder_argument("INBOX").expect("a name"), r#""INBOX""#);
        assert_eq!(folder_argument(r#"a"b\c"#).expect("a name"), r#""a\"b\\c""#);
        assert_eq!(folder_argument("Entwürfe & Co").expect("a name"), r#""Entw&APw-rfe &- Co""#);
        assert!(folder_argument("a\r\nb").is_err());
    }

    #[test]
    fn flags_can_be_set_where_the_folder_says_so() {
        let mut folder = Folder::UNKNOWN;
        assert!(folder.may_set("\\Seen") && folder.may_set("$MailBridge"));
        folder.permanent_flags = Some(vec!["\\Seen".to_owned()]);
        assert!(folder.may_set("\\seen") && !folder.may_set("$MailBridge"));
        folder.permanent_flags = Some(vec!["\\*".to_owned()]);
        assert!(!folder.may_set("\\Seen") && folder.may_set("$MailBridge"));
        folder.read_only = true;
        assert!(!folder.may_set("$MailBridge"));
    }
}
