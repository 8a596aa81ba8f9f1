//! The ids that connect mails: Message-Id, In-Reply-To, References (RFC 5322 §3.6.4), and an id made from the content for a
//! mail that has none.
//!
//! An id is kept without angle brackets, blanks and anything hidden. It is a name to compare, never taken apart: what
//! looks like a name or a number in it means nothing (T1). The lenient reading: brackets missing or doubled, several ids
//! without a blank, ids in encoded words, comments and quoted text beside them.

use std::collections::HashSet;

use memchr::memchr;
use sha2::{Digest, Sha256};

use crate::message::header::Headers;
use crate::message::header::encoded_word;
use crate::message::header::shown::is_hidden;
use crate::message::model::Defect;

/// The API's column holds 850 characters, two of them are angle brackets. A database may count UTF-16 units.
const MAX_ID_UNITS: usize = 848;

/// Bytes that are hashed at once.
const BUFFER: usize = 8 << 10;

/// Headers that a mail gathers on its way or in a mailbox: the same mail has others in another mailbox.
const TRACE: &[&str] = &[
    "received",
    "return-path",
    "delivered-to",
    "x-delivered-to",
    "x-original-to",
    "envelope-to",
    "x-envelope-to",
    "x-envelope-from",
    "received-spf",
    "authentication-results",
    "arc-seal",
    "arc-message-signature",
    "arc-authentication-results",
    "status",
    "x-status",
    "x-uid",
    "x-keywords",
    "x-mozilla-status",
    "x-mozilla-status2",
    "x-spam-status",
    "x-spam-level",
    "x-spam-score",
    "x-spam-flag",
    "x-spam-checker-version",
    "x-virus-scanned",
    "x-received",
    "x-gm-message-state",
    "x-google-smtp-source",
    "delivery-date",
];

/// The id of the mail: that of the first field that holds one.
pub(crate) fn message_id(headers: &Headers<'_>) -> Option<String> {
    headers.all("Message-ID").find_map(|field| {
        let value = headers.line(field);
        ids(&value).into_iter().next().or_else(|| tidy(&value.replace(['<', '>'], "")))
    })
}

/// Ids of the first field of that name that holds any, oldest first, each once, the newest `max` of them.
pub(crate) fn references(headers: &Headers<'_>, name: &str, max: usize, defects: &mut Vec<Defect>) -> Vec<String> {
    let fields = headers.all(name).map(|field| ids(&headers.line(field)));
    let mut found = fields.into_iter().find(|ids| !ids.is_empty()).unwrap_or_default();
    let mut seen = HashSet::with_capacity(found.len());
    // The last mention counts: what stands at the end is nearest to this mail.
    found.reverse();
    found.retain(|id| seen.insert(id.clone()));
    if found.len() > max {
        defects.push(Defect::new("references-cut", found.len().saturating_sub(max).to_string()));
        found.truncate(max);
    }
    found.reverse();
    found
}

/// The id made for a mail without one: stable over every reading of the same mail.
pub(crate) fn synthetic(canonical_hash: &str) -> String {
    format!("{canonical_hash}@mailbridge.invalid")
}

/// SHA-256 in hex of the mail without trace and status headers, line ends apart.
pub(crate) fn canonical_hash(raw: &[u8], headers: &Headers<'_>) -> String {
    let mut hash = Sha256::new();
    let is_trace = |name: &[u8]| TRACE.iter().any(|trace| name.eq_ignore_ascii_case(trace.as_bytes()));
    for field in headers.fields.iter().filter(|field| !is_trace(field.name)) {
        hash.update(field.name.to_ascii_lowercase());
        hash.update(b":");
        update_without_cr(&mut hash, field.value);
        hash.update(b"\n");
    }
    hash.update(b"\n");
    update_without_cr(&mut hash, raw.get(headers.body..).unwrap_or_default());
    hex(&hash.finalize())
}

/// Through a buffer: line by line the hash would be as slow as its calls.
fn update_without_cr(hash: &mut Sha256, bytes: &[u8]) {
    let mut buffer = Vec::with_capacity(bytes.len().min(BUFFER));
    let mut rest = bytes;
    while !rest.is_empty() {
        let (run, behind) = match memchr(b'\r', rest) {
            Some(at) => (rest.get(..at).unwrap_or_default(), rest.get(at.saturating_add(1)..).unwrap_or_default()),
            None => (rest, [].as_slice()),
        };
        if buffer.len().saturating_add(run.len()) > BUFFER {
            hash.update(&buffer);
            buffer.clear();
        }
        if run.len() > BUFFER {
            hash.update(run)
        } else {
            buffer.extend_from_slice(run)
        }
        rest = behind;
    }
    hash.update(&buffer);
}

fn hex(bytes: &[u8]) -> String {
    let digit = |nibble: u8| char::from_digit(u32::from(nibble), 16).unwrap_or('0');
    bytes.iter().flat_map(|byte| [digit(byte >> 4), digit(byte & 15)]).collect()
}

/// What stands in angle brackets; without any, each word with an `@`; without any, the only word.
pub(crate) fn ids(value: &str) -> Vec<String> {
    let decoded =
        if value.contains("=?") && !value.contains('<') { encoded_word::decode(value) } else { String::new() };
    let value = if decoded.is_empty() { value } else { &decoded };
    let mut found = bracketed(value, true);
    if found.is_empty() {
        found = bracketed(value, false);
    }
    let mut words = value.split(|c: char| c.is_whitespace() || c == ',').filter_map(tidy_word);
    if found.is_empty() {
        found.extend(words.clone().filter(|word| word.contains('@')));
    }
    if found.is_empty()
        && let (Some(only), None) = (words.next(), words.next())
    {
        found.push(only);
    }
    found
}

/// What stands in angle brackets. `strict`: not those in quoted text and comments, where people stand.
fn bracketed(value: &str, strict: bool) -> Vec<String> {
    let mut found = Vec::new();
    let mut rest = value;
    let mut closed = [strict; 2];
    while let Some((at, sign)) = rest.char_indices().find(|(_, c)| matches!(c, '<' | '"' | '(')) {
        let from = rest.get(at.saturating_add(1)..).unwrap_or_default();
        let [quotes, comments] = &mut closed;
        let (skips, end) = match sign {
            '"' => (quotes, '"'),
            '(' => (comments, ')'),
            _ => {
                // Another bracket begins another id: `<<a@b>>`, `<a@b <c@d>`.
                let end = from.find('>').unwrap_or(from.len());
                let (inside, after) = from.split_at_checked(end).unwrap_or_default();
                let (lost, last) = inside.rsplit_once('<').unwrap_or(("", inside));
                found.extend(lost.split('<').filter(|id| id.contains('@')).filter_map(tidy));
                found.extend(tidy(last));
                rest = after;
                continue;
            }
        };
        match skips.then(|| from.split_once(end)).flatten() {
            Some((_, after)) => rest = after,
            None => (*skips, rest) = (false, from),
        }
    }
    found
}

/// A word without what stands around an id.
fn tidy_word(word: &str) -> Option<String> {
    tidy(word.trim_matches(|c: char| c.is_whitespace() || "<>,;\"'".contains(c)))
}

/// Without blanks, control and hidden characters; a too long id keeps its beginning and ends with its hash.
fn tidy(id: &str) -> Option<String> {
    let id: String = id.chars().filter(|c| !c.is_whitespace() && !c.is_control() && !is_hidden(*c)).collect();
    if id.is_empty() {
        return None;
    }
    let fitting = |id: &str, max: usize| {
        let mut units: usize = 0;
        let beyond = id.char_indices().find(|(_, c)| {
            units = units.saturating_add(c.len_utf16());
            units > max
        });
        beyond.map(|(at, _)| at)
    };
    if fitting(&id, MAX_ID_UNITS).is_none() {
        return Some(id);
    }
    let hash = hex(&Sha256::digest(id.as_bytes()));
    let end = fitting(&id, MAX_ID_UNITS.saturating_sub(hash.len()).saturating_sub(1));
    Some(format!("{}.{hash}", end.and_then(|end| id.get(..end)).unwrap_or(&id)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Limits;
    use crate::message::header;

    fn hash(raw: &[u8]) -> String {
        canonical_hash(raw, &header::split(raw, &Limits::default(), &mut Vec::new()))
    }

    #[test]
    fn ids_are_cleaned() {
        for (value, expected) in [
            ("<a@b>", vec!["a@b"]),
            ("<a@b> <c@d>", vec!["a@b", "c@d"]),
            ("<a@b><c@d>,<e@f>", vec!["a@b", "c@d", "e@f"]),
            ("<a@\n b>\t<c@d", vec!["a@b", "c@d"]),
            ("<a@b <c@d>", vec!["a@b", "c@d"]),
            ("<<a@b>>", vec!["a@b"]),
            ("< a@b >", vec!["a@b"]),
            ("<a@b> (added by postmaster@x)", vec!["a@b"]),
            ("(in answer to <x@y>) <a@b>", vec!["a@b"]),
            ("\"Ann <ann@x>\"'s mail of Monday <a@b>", vec!["a@b"]),
            ("Your message of \"Mon, 1 Jan 2020 10:00:00\" <a@b>", vec!["a@b"]),
            ("<\"a b\"@c>", vec!["\"ab\"@c"]),
            ("\"<a@b>\"", vec!["a@b"]),
            ("a \" quote <a@b>", vec!["a@b"]),
            ("a@b", vec!["a@b"]),
            ("a@b c@d", vec!["a@b", "c@d"]),
            ("a@b,c@d;", vec!["a@b", "c@d"]),
            ("a@b>", vec!["a@b"]),
            ("=?utf-8?q?=3Ca=40b=3E?=", vec!["a@b"]),
            ("=?utf-8?q?=3Ca=40?= =?utf-8?q?b=3E?=", vec!["a@b"]),
            ("ID-1234", vec!["ID-1234"]),
            ("your mail of <x> Monday", vec!["x"]),
            ("Your message of Monday", vec![]),
            ("<000001c8$1a2b$abc@LOCAL>", vec!["000001c8$1a2b$abc@LOCAL"]),
            ("<c=US%a=_%p=Org%l=SRV-960101@srv.example>", vec!["c=US%a=_%p=Org%l=SRV-960101@srv.example"]),
            ("<\u{e4}\u{200b}@b>", vec!["\u{e4}@b"]),
            ("<>", vec![]),
            ("<<>>", vec![]),
            ("", vec![]),
        ] {
            assert_eq!(ids(value), expected, "{value}");
        }
    }

    #[track_caller]
    fn id(raw: &str, expected: Option<&str>) {
        let headers = header::split(raw.as_bytes(), &Limits::default(), &mut Vec::new());
        assert_eq!(message_id(&headers).as_deref(), expected, "{raw}");
    }

    #[test]
    fn a_mail_has_the_first_id_that_it_names() {
        id("X: y\n\n", None);
        id("Message-ID:\n\n", None);
        id("Message-ID: <>\n\n", None);
        id("Message-ID: <>\nMessage-Id: <a@b>\nMessage-ID: <c@d>\n\n", Some("a@b"));
        id("Message-ID: <a@b> <c@d>\n\n", Some("a@b"));
        id("Message-ID: my own id\n\n", Some("myownid"));
    }

    #[test]
    fn a_long_id_is_shortened_to_one_of_its_own() {
        for letter in ["a", "ä", "😀"] {
            let [one, two] = ["x", "y"].map(|end| ids(&format!("<{}{end}@b>", letter.repeat(10_000))).remove(0));
            assert!(one.encode_utf16().count() <= MAX_ID_UNITS && one != two, "{one}");
            assert!(one.starts_with(letter) && one.encode_utf16().count() > 800, "{one}");
        }
    }

    #[test]
    fn the_newest_references_are_kept_in_order_and_each_once() {
        let raw = b"References:\nReferences: <a@b> <c@d> <a@b> <e@f>\nReferences: <g@h>\n\n";
        let headers = header::split(raw, &Limits::default(), &mut Vec::new());
        let mut defects = Vec::new();
        assert_eq!(references(&headers, "References", 9, &mut defects), ["c@d", "a@b", "e@f"]);
        assert!(defects.is_empty());
        assert_eq!(references(&headers, "References", 2, &mut defects), ["a@b", "e@f"]);
        assert_eq!(defects, [Defect::new("references-cut", "1")]);
    }

    #[test]
    fn the_way_of_a_mail_does_not_change_its_hash() {
        let one = hash(b"Received: x\r\nSubject: a\r\n\r\nb\r\n");
        assert_eq!(one, hash(b"Return-Path: <>\nSubject: a\nStatus: O\n\nb\n"));
        assert_ne!(one, hash(b"Subject: a\n\nc\n"));
        assert_eq!(one.len(), 64);
    }
}
