//! UID FETCH (RFC 9051 §6.4.5): UID, FLAGS, RFC822.SIZE, INTERNALDATE, and sections of the mail, whole or in part.

use std::collections::BTreeSet;

use super::mailbox::Mail;
use super::session::{Answer, Session};
use super::token::{Args, UidSet};
use crate::clock::UtcMillis;

/// One thing asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Item {
    Uid,
    Flags,
    Size,
    InternalDate,
    Body(Section),
}

/// A section of the mail.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Section {
    peek: bool,
    header_only: bool,
    /// From here, so many bytes.
    part: Option<(usize, usize)>,
}

impl Session {
    pub(super) fn fetch(&self, args: &mut Args) -> Option<Answer> {
        let set = UidSet::parse(&args.word()?)?;
        let asked: Option<Vec<Item>> = args.list()?.iter().map(|item| parse_item(item)).collect();
        let mut items = asked?;
        // A UID FETCH always answers with the UID (RFC 9051 §6.4.9).
        if !items.contains(&Item::Uid) {
            items.insert(0, Item::Uid);
        }
        let (user, selected) = (self.user.as_ref()?, self.selected.as_ref()?);
        let reads = items.iter().any(|item| matches!(item, Item::Body(section) if !section.peek));
        let mut lines = Vec::new();
        self.shared.change(|world| {
            let Some(folder) = world.find_mut(user, &selected.folder) else { return };
            let last = folder.messages.keys().next_back().copied().unwrap_or(0);
            for (index, uid) in selected.view.iter().enumerate().filter(|(_, uid)| set.contains(**uid, last)) {
                let Some(mail) = folder.messages.get_mut(uid) else { continue };
                if reads && !selected.read_only {
                    mail.flags.insert(r"\Seen".to_owned());
                }
                describe(&mut lines, index.saturating_add(1), mail, &items);
            }
        });
        Some(Answer::ok("done").with(lines))
    }
}

/// `FLAGS (\Seen $X)`.
pub(super) fn flags_item(flags: &BTreeSet<String>) -> String {
    format!("FLAGS ({})", flags.iter().map(String::as_str).collect::<Vec<_>>().join(" "))
}

fn describe(lines: &mut Vec<u8>, sequence: usize, mail: &Mail, items: &[Item]) {
    lines.extend_from_slice(format!("* {sequence} FETCH (").as_bytes());
    for (n, item) in items.iter().enumerate() {
        if n > 0 {
            lines.push(b' ');
        }
        let text = match item {
            Item::Uid => format!("UID {}", mail.uid),
            Item::Flags => flags_item(&mail.flags),
            Item::Size => format!("RFC822.SIZE {}", mail.raw.len()),
            Item::InternalDate => format!("INTERNALDATE \"{}\"", date_time(mail.internal_date)),
            Item::Body(section) => {
                body(lines, section, &mail.raw);
                continue;
            }
        };
        lines.extend_from_slice(text.as_bytes());
    }
    lines.extend_from_slice(b")\r\n");
}

fn body(lines: &mut Vec<u8>, section: &Section, raw: &[u8]) {
    let whole = if section.header_only { header_of(raw) } else { raw };
    let (from, to) = section.part.map_or((0, whole.len()), |(from, n)| {
        let from = from.min(whole.len());
        (from, from.saturating_add(n).min(whole.len()))
    });
    let bytes = whole.get(from..to).unwrap_or_default();
    let name = if section.header_only { "HEADER" } else { "" };
    let origin = section.part.map(|(from, _)| format!("<{from}>")).unwrap_or_default();
    lines.extend_from_slice(format!("BODY[{name}]{origin} {{{}}}\r\n", bytes.len()).as_bytes());
    lines.extend_from_slice(bytes);
}

/// The header block with its empty line.
pub(super) fn header_of(raw: &[u8]) -> &[u8] {
    let crlf = raw.windows(4).position(|bytes| bytes == b"\r\n\r\n").map(|at| at.saturating_add(4));
    let lf = raw.windows(2).position(|bytes| bytes == b"\n\n").map(|at| at.saturating_add(2));
    let end = crlf.into_iter().chain(lf).min().unwrap_or(raw.len());
    raw.get(..end).unwrap_or(raw)
}

fn parse_item(item: &str) -> Option<Item> {
    let item = item.to_ascii_uppercase();
    match item.as_str() {
        "UID" => return Some(Item::Uid),
        "FLAGS" => return Some(Item::Flags),
        "RFC822.SIZE" => return Some(Item::Size),
        "INTERNALDATE" => return Some(Item::InternalDate),
        _ => {}
    }
    let rest = item.strip_prefix("BODY")?;
    let (peek, rest) = rest.strip_prefix(".PEEK").map_or((false, rest), |rest| (true, rest));
    let (name, part) = rest.strip_prefix('[')?.split_once(']')?;
    let header_only = match name {
        "" => false,
        "HEADER" => true,
        _ => return None,
    };
    let part = match part {
        "" => None,
        part => {
            let (from, n) = part.strip_prefix('<')?.strip_suffix('>')?.split_once('.')?;
            Some((from.parse().ok()?, n.parse().ok()?))
        }
    };
    Some(Item::Body(Section { peek, header_only, part }))
}

fn date_time(time: UtcMillis) -> String {
    let time = jiff::Timestamp::from_millisecond(time.0).unwrap_or_default();
    time.strftime("%d-%b-%Y %H:%M:%S +0000").to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn items_are_read() {
        let section = |peek, header_only, part| Some(Item::Body(Section { peek, header_only, part }));
        assert_eq!(parse_item("body.peek[]<5.10>"), section(true, false, Some((5, 10))));
        assert_eq!(parse_item("BODY[HEADER]"), section(false, true, None));
        assert_eq!(parse_item("ENVELOPE"), None);
    }

    #[test]
    fn the_header_ends_with_the_first_empty_line() {
        assert_eq!(header_of(b"A: b\r\n\r\nbody\n\nmore"), b"A: b\r\n\r\n");
        assert_eq!(header_of(b"A: b\n\nbody"), b"A: b\n\n");
        assert_eq!(header_of(b"A: b"), b"A: b");
    }

    #[test]
    fn an_internal_date_is_written() {
        assert_eq!(date_time(UtcMillis(1_795_341_731_480)), "22-Nov-2026 10:02:11 +0000");
    }
}
