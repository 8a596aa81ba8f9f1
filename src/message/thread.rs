//! The ids that connect mails: Message-Id, In-Reply-To, References (RFC 5322 §3.6.4), and an id made from the content for a
//! mail that has none.
//!
//! An id is kept without angle brackets and blanks. It is a name to compare, never taken apart.

use memchr::memchr;
use sha2::{Digest, Sha256};

use crate::message::header::{Headers, unfold};
use crate::message::model::Defect;

/// The API's column holds 850 characters, two of them are angle brackets.
const MAX_ID_CHARS: usize = 848;

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

/// The id of the mail; `None` when it names none.
pub(crate) fn message_id(headers: &Headers<'_>) -> Option<String> {
    headers.all("Message-ID").find_map(|field| ids(&unfold(field.value)).into_iter().next())
}

/// Ids of all fields of that name, oldest first, the newest `max` of them.
pub(crate) fn references(headers: &Headers<'_>, name: &str, max: usize, defects: &mut Vec<Defect>) -> Vec<String> {
    let mut found: Vec<String> = headers.all(name).flat_map(|field| ids(&unfold(field.value))).collect();
    let surplus = found.len().saturating_sub(max);
    if surplus > 0 {
        defects.push(Defect::new("references-cut", surplus.to_string()));
        found.drain(..surplus);
    }
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

/// What stands in angle brackets; without any, each word with an `@`.
fn ids(value: &str) -> Vec<String> {
    let mut found = Vec::new();
    let mut rest = value;
    while let Some((_, from)) = rest.split_once('<') {
        let Some((inside, after)) = from.split_once('>') else {
            found.extend(tidy(from));
            break;
        };
        found.extend(tidy(inside.rsplit('<').next().unwrap_or(inside)));
        rest = after;
    }
    if found.is_empty() {
        let words = value.split_whitespace().filter(|word| word.contains('@'));
        found.extend(words.filter_map(|word| tidy(word.trim_matches(['<', '>', ',', ';']))));
    }
    if found.is_empty() {
        found.extend(tidy(value.trim_matches(['<', '>'])).filter(|id| !id.is_empty() && !value.contains("<>")));
    }
    found
}

/// Without blanks and control characters; a too long id keeps its beginning and ends with its hash.
fn tidy(id: &str) -> Option<String> {
    let id: String = id.chars().filter(|c| !c.is_whitespace() && !c.is_control()).collect();
    if id.is_empty() {
        return None;
    }
    if id.chars().count() <= MAX_ID_CHARS {
        return Some(id);
    }
    let hash = hex(&Sha256::digest(id.as_bytes()));
    let head: String = id.chars().take(MAX_ID_CHARS.saturating_sub(hash.len()).saturating_sub(1)).collect();
    Some(format!("{head}.{hash}"))
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
            ("<a@\n b>\t<c@d", vec!["a@b", "c@d"]),
            ("a@b", vec!["a@b"]),
            ("your mail of <x> Monday", vec!["x"]),
            ("<>", vec![]),
            ("", vec![]),
        ] {
            assert_eq!(ids(value), expected, "{value}");
        }
        let long = format!("<{}@b>", "a".repeat(2000));
        assert_eq!(ids(&long)[0].chars().count(), MAX_ID_CHARS);
    }

    #[test]
    fn the_way_of_a_mail_does_not_change_its_hash() {
        let one = hash(b"Received: x\r\nSubject: a\r\n\r\nb\r\n");
        assert_eq!(one, hash(b"Return-Path: <>\nSubject: a\nStatus: O\n\nb\n"));
        assert_ne!(one, hash(b"Subject: a\n\nc\n"));
        assert_eq!(one.len(), 64);
    }
}
