//! UID SEARCH (RFC 9051 §6.4.4): the keys that mailbridge and its tests use, freely combined.

use jiff::civil::Date;

use super::fetch::header_of;
use super::mailbox::{Mail, canonical_flag};
use super::session::{Answer, Session};
use super::token::{Args, Token, UidSet};

/// Deeper nesting is refused.
const MAX_DEPTH: usize = 20;

/// A search key.
#[derive(Debug)]
enum Key {
    All,
    Flag(String),
    Uid(UidSet),
    Since(Date),
    Before(Date),
    Larger(usize),
    Smaller(usize),
    Header(String, String),
    Not(Box<Self>),
    Or(Box<Self>, Box<Self>),
    And(Vec<Self>),
}

impl Session {
    pub(super) fn search(&self, args: &mut Args) -> Option<Answer> {
        let mut keys = Vec::new();
        while !args.is_empty() {
            keys.push(parse_key(args, 0)?);
        }
        let key = Key::And(keys);
        let (user, selected) = (self.user.as_ref()?, self.selected.as_ref()?);
        let uids: Option<Vec<String>> = self.shared.read(|world| {
            let folder = world.find(user, &selected.folder)?;
            let last = folder.messages.keys().next_back().copied().unwrap_or(0);
            let fitting = folder.messages.values().filter(|mail| key.fits(mail, last));
            Some(fitting.map(|mail| format!(" {}", mail.uid)).collect())
        });
        Some(Answer::ok("done").with(format!("* SEARCH{}\r\n", uids.unwrap_or_default().concat())))
    }
}

impl Key {
    fn fits(&self, mail: &Mail, last: u32) -> bool {
        match self {
            Self::All => true,
            Self::Flag(flag) => mail.flags.iter().any(|set| set.eq_ignore_ascii_case(flag)),
            Self::Uid(set) => set.contains(mail.uid, last),
            Self::Since(date) => day(mail) >= *date,
            Self::Before(date) => day(mail) < *date,
            Self::Larger(size) => mail.raw.len() > *size,
            Self::Smaller(size) => mail.raw.len() < *size,
            Self::Header(name, value) => has_header(&mail.raw, name, value),
            Self::Not(key) => !key.fits(mail, last),
            Self::Or(a, b) => a.fits(mail, last) || b.fits(mail, last),
            Self::And(keys) => keys.iter().all(|key| key.fits(mail, last)),
        }
    }
}

fn parse_key(args: &mut Args, depth: usize) -> Option<Key> {
    let deeper = depth.checked_add(1).filter(|depth| *depth <= MAX_DEPTH)?;
    if args.0.front() == Some(&Token::Open) {
        args.0.pop_front();
        let mut keys = Vec::new();
        while args.0.front() != Some(&Token::Close) {
            keys.push(parse_key(args, deeper)?);
        }
        args.0.pop_front();
        return Some(Key::And(keys));
    }
    let system = |flag: &str| Key::Flag(format!("\\{flag}"));
    Some(match args.keyword()?.as_str() {
        "ALL" => Key::All,
        flag @ ("SEEN" | "DELETED" | "ANSWERED" | "FLAGGED" | "DRAFT") => system(flag),
        flag @ ("UNSEEN" | "UNDELETED" | "UNANSWERED" | "UNFLAGGED" | "UNDRAFT") => {
            Key::Not(Box::new(system(flag.trim_start_matches("UN"))))
        }
        "KEYWORD" => Key::Flag(canonical_flag(&args.word()?)),
        "UNKEYWORD" => Key::Not(Box::new(Key::Flag(canonical_flag(&args.word()?)))),
        "UID" => Key::Uid(UidSet::parse(&args.word()?)?),
        "SINCE" => Key::Since(parse_date(&args.text()?)?),
        "BEFORE" => Key::Before(parse_date(&args.text()?)?),
        "LARGER" => Key::Larger(args.word()?.parse().ok()?),
        "SMALLER" => Key::Smaller(args.word()?.parse().ok()?),
        "HEADER" => Key::Header(args.text()?, args.text()?),
        "NOT" => Key::Not(Box::new(parse_key(args, deeper)?)),
        "OR" => Key::Or(Box::new(parse_key(args, deeper)?), Box::new(parse_key(args, deeper)?)),
        _ => return None,
    })
}

fn parse_date(text: &str) -> Option<Date> {
    jiff::fmt::strtime::parse("%d-%b-%Y", text).ok()?.to_date().ok()
}

/// The day of INTERNALDATE, in UTC.
fn day(mail: &Mail) -> Date {
    let time = jiff::Timestamp::from_millisecond(mail.internal_date.0).unwrap_or_default();
    time.to_zoned(jiff::tz::TimeZone::UTC).date()
}

/// Whether a header of this name contains this text, both in any case. Folded lines are not put together.
fn has_header(raw: &[u8], name: &str, value: &str) -> bool {
    let header = String::from_utf8_lossy(header_of(raw)).to_ascii_lowercase();
    let (name, value) = (format!("{}:", name.to_ascii_lowercase()), value.to_ascii_lowercase());
    header.lines().filter_map(|line| line.strip_prefix(&name)).any(|text| text.contains(&value))
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use bytes::Bytes;

    use super::super::token;
    use super::*;
    use crate::clock::UtcMillis;

    #[track_caller]
    fn check(criteria: &str, expected: bool) {
        let mail = Mail {
            uid: 7,
            flags: BTreeSet::from([r"\Seen".to_owned(), "$Done".to_owned()]),
            internal_date: UtcMillis(1_795_341_731_480),
            raw: Bytes::from_static(b"Message-ID: <a@example.com>\r\n\r\n"),
        };
        let mut args = Args(token::tokens(criteria.as_bytes()).unwrap().into());
        let mut keys = Vec::new();
        while !args.is_empty() {
            keys.push(parse_key(&mut args, 0).unwrap());
        }
        assert_eq!(Key::And(keys).fits(&mail, 9), expected, "{criteria}");
    }

    #[test]
    fn keys_fit_what_they_say() {
        check("ALL", true);
        check("UNSEEN", false);
        check("UID 1:7 SEEN", true);
        check("UID 8:*", false);
        check("KEYWORD $done NOT DELETED", true);
        check("UNKEYWORD $Done", false);
        check("SINCE 22-Nov-2026 BEFORE 23-Nov-2026", true);
        check("SINCE 23-Nov-2026", false);
        check("LARGER 30 SMALLER 32", true);
        check("OR LARGER 31 SMALLER 31", false);
        check("OR (UNSEEN UID 7) HEADER message-id <A@example.com>", true);
    }

    #[test]
    fn unknown_and_endless_keys_are_refused() {
        for criteria in ["MODSEQ 1".to_owned(), "NOT ".repeat(1000)] {
            let mut args = Args(token::tokens(criteria.as_bytes()).unwrap().into());
            assert!(parse_key(&mut args, 0).is_none());
        }
    }
}
