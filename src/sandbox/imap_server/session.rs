//! One session: what each command does to the mailboxes and what is answered. No I/O: the connection asks, and sends.

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::sync::Arc;

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use bytes::Bytes;

use super::Options;
use super::mailbox::{Folder, World, canonical_flag, folder_name};
use super::script::Tagged;
use super::token::{Args, Command, Token};
use crate::clock::UtcMillis;
use crate::sandbox::loopback::Shared;

/// The state of one connection.
#[derive(Debug)]
pub(super) struct Session {
    pub(super) shared: Arc<Shared<World>>,
    pub(super) options: Arc<Options>,
    /// The connection is encrypted.
    pub(super) secure: bool,
    /// The client has said who it is.
    pub(super) identified: bool,
    pub(super) user: Option<String>,
    pub(super) selected: Option<Selected>,
}

/// The selected folder as this session has been told of it.
#[derive(Debug)]
pub(super) struct Selected {
    pub(super) folder: String,
    pub(super) read_only: bool,
    /// The UIDs by sequence number.
    pub(super) view: Vec<u32>,
}

/// The answer to a command.
#[derive(Debug)]
pub(super) struct Answer {
    pub(super) untagged: Vec<u8>,
    pub(super) tagged: Tagged,
    pub(super) after: After,
}

/// What follows an answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum After {
    /// The next command.
    Go,
    /// The TLS handshake.
    StartTls,
    /// The end of the connection.
    Close,
}

impl Answer {
    pub(super) fn ok(text: impl Into<String>) -> Self {
        Self { untagged: Vec::new(), tagged: Tagged::Ok(text.into()), after: After::Go }
    }

    pub(super) fn no(text: &str) -> Self {
        Self { tagged: Tagged::No(text.to_owned()), ..Self::ok("") }
    }

    pub(super) fn bad(text: &str) -> Self {
        Self { tagged: Tagged::Bad(text.to_owned()), ..Self::ok("") }
    }

    pub(super) fn with(mut self, untagged: impl AsRef<[u8]>) -> Self {
        self.untagged.extend_from_slice(untagged.as_ref());
        self
    }
}

impl Session {
    /// Carries a command out. AUTHENTICATE and IDLE are dialogues: the connection leads them.
    pub(super) fn obey(&mut self, command: Command) -> Answer {
        let Command { verb, mut args, .. } = command;
        let answer = match verb.as_str() {
            "CAPABILITY" => Some(Answer::ok("done").with(format!("* CAPABILITY {}\r\n", self.capabilities()))),
            "NOOP" => Some(Answer::ok("done")),
            "LOGOUT" => Some(Answer { after: After::Close, ..Answer::ok("done").with("* BYE until next time\r\n") }),
            "ID" if self.options.offers("ID") => {
                self.identified = true;
                Some(Answer::ok("done").with("* ID (\"name\" \"sandbox\")\r\n"))
            }
            "STARTTLS" if self.offers_starttls() => Some(Answer { after: After::StartTls, ..Answer::ok("begin TLS") }),
            "LOGIN" if self.user.is_none() => self.login(&mut args),
            _ if self.user.is_none() => Some(Answer::bad("unknown command, or not signed in")),
            _ => self.obey_signed_in(&verb, &mut args),
        };
        let mut answer = answer.unwrap_or_else(|| Answer::bad("wrong arguments"));
        answer.untagged.extend_from_slice(&self.updates());
        answer
    }

    fn obey_signed_in(&mut self, verb: &str, args: &mut Args) -> Option<Answer> {
        match verb {
            "SELECT" => self.select(args, false),
            "EXAMINE" => self.select(args, true),
            "LIST" => self.list(args),
            "CREATE" => self.create(args),
            "STATUS" => self.status(args),
            "APPEND" => self.append(args),
            _ if self.selected.is_none() => Some(Answer::bad("unknown command, or no folder selected")),
            "UID SEARCH" => self.search(args),
            "UID FETCH" => self.fetch(args),
            "UID STORE" => self.store(args),
            "UID COPY" => self.copy(args, false),
            "UID MOVE" if self.options.offers("MOVE") => self.copy(args, true),
            "EXPUNGE" => Some(self.expunge(None)),
            "UID EXPUNGE" if self.options.offers("UIDPLUS") => self.uid_expunge(args),
            _ => Some(Answer::bad("unknown command")),
        }
    }

    /// What is announced now.
    pub(super) fn capabilities(&self) -> String {
        let tls = if self.offers_starttls() { " STARTTLS LOGINDISABLED" } else { "" };
        format!("{}{tls}", self.options.capabilities.join(" "))
    }

    fn offers_starttls(&self) -> bool {
        self.options.tls.is_some() && !self.secure
    }

    fn login(&mut self, args: &mut Args) -> Option<Answer> {
        let (user, password) = (args.text()?, args.text()?);
        Some(self.sign_in(&user, &password))
    }

    /// AUTHENTICATE PLAIN with the client's answer in base64 (RFC 4616).
    pub(super) fn authenticate(&mut self, response: &[u8]) -> Answer {
        let Ok(plain) = BASE64_STANDARD.decode(response.trim_ascii()) else { return Answer::bad("not base64") };
        let plain = String::from_utf8_lossy(&plain).into_owned();
        match plain.split('\0').collect::<Vec<_>>().as_slice() {
            [_, user, password] => self.sign_in(user, password),
            _ => Answer::bad("not a PLAIN response"),
        }
    }

    fn sign_in(&mut self, user: &str, password: &str) -> Answer {
        if self.offers_starttls() {
            return Answer::no("[PRIVACYREQUIRED] only after STARTTLS");
        }
        if !self.shared.read(|world| world.admits(user, password)) {
            return Answer::no("[AUTHENTICATIONFAILED] wrong user or password");
        }
        self.user = Some(user.to_owned());
        Answer::ok(format!("[CAPABILITY {}] welcome", self.capabilities()))
    }

    fn select(&mut self, args: &mut Args, examine: bool) -> Option<Answer> {
        let name = folder_name(&args.text()?);
        self.selected = None;
        let user = self.user.clone()?;
        if self.options.requires_id && !self.identified {
            return Some(Answer::no("SELECT Unsafe Login. Who are you?"));
        }
        let selected = self.shared.read(|world| {
            let folder = world.find(&user, &name)?;
            let read_only = examine || folder.read_only;
            Some((self.describe(folder, read_only), folder.messages.keys().copied().collect(), read_only))
        });
        let Some((lines, view, read_only)) = selected else {
            return Some(Answer::no("[NONEXISTENT] no such folder"));
        };
        self.selected = Some(Selected { folder: name, read_only, view });
        let code = if read_only { "[READ-ONLY]" } else { "[READ-WRITE]" };
        Some(Answer::ok(format!("{code} selected")).with(lines))
    }

    fn describe(&self, folder: &Folder, read_only: bool) -> String {
        const FLAGS: &str = r"\Answered \Flagged \Deleted \Seen \Draft";
        let permanent = match (read_only, self.options.keywords) {
            (true, _) => String::new(),
            (false, true) => format!(r"{FLAGS} \*"),
            (false, false) => FLAGS.to_owned(),
        };
        let mut lines = format!("* FLAGS ({FLAGS})\r\n* OK [PERMANENTFLAGS ({permanent})] kept\r\n");
        let (exists, uidvalidity) = (folder.messages.len(), folder.uidvalidity);
        write!(lines, "* {exists} EXISTS\r\n* 0 RECENT\r\n* OK [UIDVALIDITY {uidvalidity}] stable\r\n").ok();
        if self.options.uidnext {
            write!(lines, "* OK [UIDNEXT {}] next\r\n", folder.uidnext).ok();
        }
        lines
    }

    fn list(&self, args: &mut Args) -> Option<Answer> {
        let (reference, pattern) = (args.text()?, args.text()?);
        if pattern.is_empty() {
            return Some(Answer::ok("done").with("* LIST (\\Noselect) \"/\" \"\"\r\n"));
        }
        let pattern = format!("{reference}{pattern}");
        let user = self.user.as_ref()?;
        let lines = self.shared.read(|world| {
            let names = world.users.get(user)?.folders.keys();
            let fitting = names.filter(|name| fits(name.as_bytes(), folder_name(&pattern).as_bytes()));
            Some(fitting.map(|name| format!("* LIST () \"/\" {}\r\n", quoted(name))).collect::<String>())
        });
        Some(Answer::ok("done").with(lines.unwrap_or_default()))
    }

    fn create(&self, args: &mut Args) -> Option<Answer> {
        let (name, user) = (args.text()?, self.user.as_ref()?);
        let made = self.shared.change(|world| {
            let new = world.find(user, &name).is_none();
            world.folder(user, &name);
            new
        });
        Some(if made { Answer::ok("done") } else { Answer::no("[ALREADYEXISTS] it is there") })
    }

    fn status(&self, args: &mut Args) -> Option<Answer> {
        let (name, items, user) = (args.text()?, args.list()?, self.user.as_ref()?);
        let line = self.shared.read(|world| {
            let folder = world.find(user, &name)?;
            let value = |item: &String| match item.to_ascii_uppercase().as_str() {
                "MESSAGES" => Some(format!("MESSAGES {}", folder.messages.len())),
                "UIDNEXT" if self.options.uidnext => Some(format!("UIDNEXT {}", folder.uidnext)),
                "UIDVALIDITY" => Some(format!("UIDVALIDITY {}", folder.uidvalidity)),
                "UNSEEN" => Some(format!("UNSEEN {}", folder.unseen())),
                "RECENT" => Some("RECENT 0".to_owned()),
                _ => None,
            };
            let values: Vec<String> = items.iter().filter_map(value).collect();
            Some(format!("* STATUS {} ({})\r\n", quoted(&name), values.join(" ")))
        });
        Some(line.map_or_else(|| Answer::no("[NONEXISTENT] no such folder"), |line| Answer::ok("done").with(line)))
    }

    fn append(&self, args: &mut Args) -> Option<Answer> {
        let (name, user) = (args.text()?, self.user.as_ref()?);
        let flags = if args.0.front() == Some(&Token::Open) { args.list()? } else { Vec::new() };
        let first = args.0.pop_front()?;
        let (date, raw) = match (first, args.0.pop_front()) {
            (Token::Text(raw), None) => (self.options.clock.now(), raw),
            (Token::Text(date), Some(Token::Text(raw))) => (internal_date(&date)?, raw),
            _ => return None,
        };
        let flags: BTreeSet<String> = flags.iter().map(|flag| canonical_flag(flag)).collect();
        let appended = self.shared.change(|world| {
            let folder = world.find_mut(user, &name)?;
            Some((folder.uidvalidity, folder.append(Bytes::from(raw), date, flags)))
        });
        Some(match appended {
            None => Answer::no("[TRYCREATE] no such folder"),
            Some((validity, uid)) if self.options.offers("UIDPLUS") => {
                Answer::ok(format!("[APPENDUID {validity} {uid}] done"))
            }
            Some(_) => Answer::ok("done"),
        })
    }

    /// What has changed in the selected folder since this session was told (RFC 9051 §7.4.1, §7.5.1).
    pub(super) fn updates(&mut self) -> Vec<u8> {
        let (Some(user), Some(selected)) = (&self.user, &mut self.selected) else { return Vec::new() };
        let uids: Option<Vec<u32>> =
            self.shared.read(|world| Some(world.find(user, &selected.folder)?.messages.keys().copied().collect()));
        let uids = uids.unwrap_or_default();
        let mut lines = String::new();
        // From behind, so that the numbers before stay what the client knows.
        for (index, _) in selected.view.iter().enumerate().rev().filter(|(_, uid)| uids.binary_search(uid).is_err()) {
            write!(lines, "* {} EXPUNGE\r\n", index.saturating_add(1)).ok();
        }
        selected.view.retain(|uid| uids.binary_search(uid).is_ok());
        if uids.len() > selected.view.len() {
            write!(lines, "* {} EXISTS\r\n", uids.len()).ok();
            selected.view = uids;
        }
        lines.into_bytes()
    }
}

/// A date-time of RFC 9051 §9: `"22-Nov-2026 10:00:00 +0000"`.
fn internal_date(text: &[u8]) -> Option<UtcMillis> {
    let text = std::str::from_utf8(text).ok()?.trim();
    let parsed = jiff::fmt::strtime::parse("%d-%b-%Y %H:%M:%S %z", text).ok()?;
    Some(UtcMillis(parsed.to_timestamp().ok()?.as_millisecond()))
}

fn quoted(name: &str) -> String {
    format!("\"{}\"", name.replace('\\', "\\\\").replace('"', "\\\""))
}

/// Whether a name fits a LIST pattern (RFC 9051 §6.3.9). The pattern is short: a client of ours sent it.
fn fits(name: &[u8], pattern: &[u8]) -> bool {
    match pattern.split_first() {
        None => name.is_empty(),
        Some((b'*', rest)) => (0..=name.len()).any(|n| name.get(n..).is_some_and(|tail| fits(tail, rest))),
        Some((b'%', rest)) => {
            let level = name.iter().position(|byte| *byte == b'/').unwrap_or(name.len());
            (0..=level).any(|n| name.get(n..).is_some_and(|tail| fits(tail, rest)))
        }
        Some((byte, rest)) => name.split_first().is_some_and(|(first, tail)| first == byte && fits(tail, rest)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn list_patterns_fit_as_in_the_standard() {
        assert!(fits(b"a/b", b"*") && fits(b"a/b", b"a/%") && fits(b"INBOX", b"INBOX"));
        assert!(!fits(b"a/b", b"%") && !fits(b"a", b"b"));
    }

    #[test]
    fn an_internal_date_is_read() {
        assert_eq!(internal_date(b" 1-Jan-1970 01:00:01 +0100"), Some(UtcMillis(1000)));
        assert_eq!(internal_date(b"yesterday"), None);
    }
}
