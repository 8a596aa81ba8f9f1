//! What the server holds: users, folders, mails, the log, and the script.

use std::collections::{BTreeMap, BTreeSet};

use bytes::Bytes;

use super::script::Rule;
use crate::clock::UtcMillis;

/// Commands that the log keeps.
const MAX_LOG: usize = 100_000;
/// The flags that every server knows (RFC 9051 §2.3.2).
const SYSTEM_FLAGS: [&str; 5] = [r"\Answered", r"\Flagged", r"\Deleted", r"\Seen", r"\Draft"];

/// Everything behind the server.
#[derive(Debug, Default)]
pub(super) struct World {
    pub(super) users: BTreeMap<String, User>,
    pub(super) log: Vec<Logged>,
    pub(super) rules: Vec<Rule>,
    pub(super) connections: u32,
    folders_made: u32,
}

/// One user and the folders by name; INBOX is upper case.
#[derive(Debug, Default)]
pub(super) struct User {
    pub(super) password: Option<String>,
    pub(super) folders: BTreeMap<String, Folder>,
}

/// One folder and its mails by UID.
#[derive(Debug)]
pub(super) struct Folder {
    pub(super) uidvalidity: u32,
    pub(super) uidnext: u32,
    pub(super) read_only: bool,
    pub(super) messages: BTreeMap<u32, Mail>,
}

/// One mail.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mail {
    /// Its UID.
    pub uid: u32,
    /// Its flags and keywords; the flags as in RFC 9051 (`\Seen`).
    pub flags: BTreeSet<String>,
    /// INTERNALDATE.
    pub internal_date: UtcMillis,
    /// The bytes.
    pub raw: Bytes,
}

/// One command as it was seen.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Logged {
    /// The number of the connection, from 1.
    pub connection: u32,
    /// The command in upper case, `UID` included: `UID FETCH`.
    pub verb: String,
    /// The whole line with its tag, literals as `{n}`, passwords as `***`.
    pub line: String,
}

impl World {
    /// The user, made when missing.
    pub(super) fn user(&mut self, name: &str) -> &mut User {
        self.users.entry(name.to_owned()).or_default()
    }

    /// The folder, made when missing (and its user too).
    pub(super) fn folder(&mut self, user: &str, folder: &str) -> &mut Folder {
        self.folders_made = self.folders_made.saturating_add(1);
        let uidvalidity = self.folders_made.saturating_add(1000);
        self.user(user).folders.entry(folder_name(folder)).or_insert_with(|| Folder::new(uidvalidity))
    }

    /// The folder, if it is there.
    pub(super) fn find(&self, user: &str, folder: &str) -> Option<&Folder> {
        self.users.get(user)?.folders.get(&folder_name(folder))
    }

    /// The folder to change, if it is there.
    pub(super) fn find_mut(&mut self, user: &str, folder: &str) -> Option<&mut Folder> {
        self.users.get_mut(user)?.folders.get_mut(&folder_name(folder))
    }

    /// Whether these may sign in.
    pub(super) fn admits(&self, user: &str, password: &str) -> bool {
        self.users.get(user).is_some_and(|known| known.password.as_deref() == Some(password))
    }

    /// The number of a new connection.
    pub(super) const fn connect(&mut self) -> u32 {
        self.connections = self.connections.saturating_add(1);
        self.connections
    }

    /// Remembers a command.
    pub(super) fn note(&mut self, logged: Logged) {
        if self.log.len() < MAX_LOG {
            self.log.push(logged);
        }
    }
}

impl Folder {
    const fn new(uidvalidity: u32) -> Self {
        Self { uidvalidity, uidnext: 1, read_only: false, messages: BTreeMap::new() }
    }

    /// Adds a mail; its UID.
    pub(super) fn append(&mut self, raw: Bytes, internal_date: UtcMillis, flags: BTreeSet<String>) -> u32 {
        let uid = self.uidnext;
        self.uidnext = uid.saturating_add(1);
        self.messages.insert(uid, Mail { uid, flags, internal_date, raw });
        uid
    }

    /// Another UIDVALIDITY, and UIDs from `first_uid`.
    pub(super) fn renumber(&mut self, uidvalidity: u32, first_uid: u32) {
        self.uidvalidity = uidvalidity;
        self.uidnext = first_uid;
        for mail in std::mem::take(&mut self.messages).into_values() {
            self.append(mail.raw, mail.internal_date, mail.flags);
        }
    }

    /// How many mails lack `\Seen`.
    pub(super) fn unseen(&self) -> usize {
        self.messages.values().filter(|mail| !mail.flags.contains(r"\Seen")).count()
    }
}

/// INBOX in any case is INBOX (RFC 9051 §5.1); other names are taken as they are.
pub(super) fn folder_name(name: &str) -> String {
    if name.eq_ignore_ascii_case("INBOX") { "INBOX".to_owned() } else { name.to_owned() }
}

/// The flag in the case of RFC 9051; a keyword as it is.
pub(super) fn canonical_flag(flag: &str) -> String {
    let system = SYSTEM_FLAGS.iter().find(|known| known.eq_ignore_ascii_case(flag));
    system.map_or(flag, |known| known).to_owned()
}
