//! Reading a raw mail: the pure core. Never fails, never does I/O, never asks the clock: a bad mail is data, and what is
//! odd about it is a [`Defect`].
//!
//! A mail is read at a [`Depth`]. Headers, addresses, dates and ids are read by code of our own with every bound kept, so
//! the last step of the ladder works for any bytes. The MIME tree is walked by code of our own too, without recursion; a
//! mail beyond the bounds is read one step down by the same call, and [`Message::depth`] says so.
//!
//! The rooms, in the order in which a mail passes them: `header` (fields, people, ids, dates), `mime` (the parts),
//! `attachment` (what is not body, and what lies packed in it), `text` (what is body), `html` (its harmless copy), `kind`
//! (who or what wrote it).

mod attachment;
mod header;
mod html;
mod kind;
mod mime;
mod model;
mod text;

use crate::config::parse::EmailHeader;
use crate::message::attachment::opened::Opened;
use crate::message::header::Headers;
use crate::message::header::shown::one_line;
use crate::message::text::body::Body;

pub use model::{
    Address, Attachment, CharsetVerdict, Defect, Depth, Header, Kind, Language, Message, Recipient, Report, Rules,
    Variety, Visible,
};

/// Reads a mail.
#[must_use]
pub fn parse(raw: &[u8], rules: &Rules, depth: Depth) -> Message {
    let mut defects = Vec::new();
    if raw.is_empty() {
        defects.push(Defect::new("empty", ""));
    }
    let headers = header::split(raw, &rules.limits, &mut defects);
    // Boundary lines end in LF; a mail with bare CR is read from a copy.
    let repaired = repaired(raw, depth);
    match &repaired {
        Some(copy) => {
            let inner = header::split(copy, &rules.limits, &mut Vec::new());
            let (depth, parts) = parts(copy, &inner, rules, depth, &mut defects);
            assemble(raw, &headers, &parts, depth, rules, defects)
        }
        None => {
            let (depth, parts) = parts(raw, &headers, rules, depth, &mut defects);
            assemble(raw, &headers, &parts, depth, rules, defects)
        }
    }
}

/// The mail with LF for CR, when its lines end in CR alone.
fn repaired(raw: &[u8], depth: Depth) -> Option<Vec<u8>> {
    let bare = depth != Depth::Headers && raw.contains(&b'\r') && !raw.contains(&b'\n');
    bare.then(|| raw.iter().map(|byte| if *byte == b'\r' { b'\n' } else { *byte }).collect())
}

/// The leaves and the depth that they could be read at.
fn parts<'a>(
    raw: &'a [u8],
    headers: &Headers<'a>,
    rules: &Rules,
    depth: Depth,
    defects: &mut Vec<Defect>,
) -> (Depth, Opened<'a>) {
    let closed = |parts| Opened { parts, important: None };
    match depth {
        Depth::Full => match mime::tree::full(raw, headers, &rules.limits) {
            Ok(parts) => (Depth::Full, attachment::opened::open(parts, rules, defects)),
            Err(mime::tree::TooMuch(what, count)) => {
                defects.push(Defect::new(what, count.to_string()));
                (Depth::Text, closed(mime::tree::outline(raw, headers, &rules.limits)))
            }
        },
        Depth::Text => (Depth::Text, closed(mime::tree::outline(raw, headers, &rules.limits))),
        Depth::Headers => (Depth::Headers, closed(Vec::new())),
    }
}

fn assemble(
    raw: &[u8],
    headers: &Headers<'_>,
    opened: &Opened<'_>,
    depth: Depth,
    rules: &Rules,
    mut defects: Vec<Defect>,
) -> Message {
    let parts = opened.parts.as_slice();
    attachment::sealed::note(parts, &mut defects);
    let body = match depth {
        Depth::Headers => Body { text: rules.parse.empty_body_text.clone(), ..Body::default() },
        Depth::Full | Depth::Text => text::body::choose(parts, rules, depth, &mut defects),
    };
    let attachments = match depth {
        Depth::Full => attachment::describe(parts, &body, rules, &mut defects),
        Depth::Text | Depth::Headers => Vec::new(),
    };
    headers.tell_doubles(&mut defects);
    let subject = subject(headers, &mut defects);
    let from_text = one_line(&headers.text("From"));
    let sight =
        kind::Sight { headers, parts, subject: &subject, from: &from_text, text: &body.text, limits: &rules.limits };
    let verdict = kind::judge(&sight);
    let canonical_hash = header::thread::canonical_hash(raw, headers);
    let id = header::thread::message_id(headers);
    if id.is_none() {
        defects.push(Defect::new("message-id-missing", ""));
    }
    let max_references = usize::try_from(rules.limits.reference_count).unwrap_or(usize::MAX);
    let listed = listed(headers, rules);
    let visible = text::visible::find(&body.text, &subject);
    let language = text::language::detect(&body.text, visible.as_ref(), verdict.kind);
    let (date, date_source) = header::date::of(headers, &mut defects);
    let mut people = People::new(headers, rules, &mut defects);
    Message {
        depth,
        synthetic_id: id.is_none(),
        distinct: id.is_some() || headers.has("Received"),
        message_id: id.unwrap_or_else(|| header::thread::synthetic(&canonical_hash)),
        canonical_hash,
        in_reply_to: header::thread::references(headers, "In-Reply-To", max_references, &mut defects),
        references: header::thread::references(headers, "References", max_references, &mut defects),
        subject,
        from: people.take("From"),
        from_text,
        reply_to: people.take("Reply-To"),
        to: people.take("To"),
        cc: people.take("Cc"),
        bcc: people.take("Bcc"),
        date,
        date_source: date_source.to_owned(),
        header_block: match rules.parse.email_header {
            EmailHeader::Full => header::block_text(headers.block),
            EmailHeader::Listed => headers_as_lines(&listed),
            EmailHeader::None => String::new(),
        },
        headers: listed,
        text: body.text,
        html: body.html,
        charsets: body.charsets,
        visible,
        language,
        attachments,
        kind: verdict.kind,
        variety: verdict.variety,
        report: verdict.report,
        may_answer: verdict.may_answer,
        evidence: verdict.evidence,
        important: kind::importance::is_important(headers, verdict.kind, opened.important),
        defects,
    }
}

fn subject(headers: &Headers<'_>, defects: &mut Vec<Defect>) -> String {
    let subject = headers.text("Subject");
    if header::shown::hides(&subject) {
        defects.push(Defect::new("hidden-characters", "Subject"));
    }
    one_line(&subject)
}

/// The address fields, read within one bound for all of them.
struct People {
    lists: Vec<(&'static str, Vec<Address>)>,
}

impl People {
    fn new(headers: &Headers<'_>, rules: &Rules, defects: &mut Vec<Defect>) -> Self {
        let mut room = usize::try_from(rules.limits.address_count).unwrap_or(usize::MAX);
        let mut lists = Vec::with_capacity(5);
        for name in ["From", "Reply-To", "To", "Cc", "Bcc"] {
            let list = header::address::list(headers, name, room);
            room = room.saturating_sub(list.addresses.len());
            if list.hides {
                defects.push(Defect::new("hidden-characters", name));
            }
            tell_tricks(name, &list.addresses, defects);
            lists.push((name, list.addresses));
        }
        if room == 0 {
            defects.push(Defect::new("addresses-cut", rules.limits.address_count.to_string()));
        }
        Self { lists }
    }

    fn take(&mut self, name: &str) -> Vec<Address> {
        self.lists.iter_mut().find(|(key, _)| *key == name).map(|(_, list)| std::mem::take(list)).unwrap_or_default()
    }
}

/// What could make somebody take one of these people for somebody else.
fn tell_tricks(name: &str, addresses: &[Address], defects: &mut Vec<Defect>) {
    if addresses.iter().any(|one| header::trick::holds_other_address(&one.name, &one.address)) {
        defects.push(Defect::new("name-holds-address", name));
    }
    if addresses.iter().any(Address::is_doubtful) {
        defects.push(Defect::new("mixed-script", name));
    }
}

/// The configured headers that are there, in the configured order.
fn listed(headers: &Headers<'_>, rules: &Rules) -> Vec<Header> {
    let named = |name: &String| headers.counting(name).map(|f| (name.clone(), f)).collect::<Vec<_>>();
    let all = rules.parse.headers.iter().flat_map(named);
    all.map(|(name, field)| Header { name, value: one_line(&header::encoded_word::decode(&headers.line(field))) })
        .collect()
}

fn headers_as_lines(headers: &[Header]) -> String {
    let lines: Vec<_> = headers.iter().map(|header| format!("{}: {}", header.name, header.value)).collect();
    lines.join("\n")
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::path::Path;

    use super::*;

    /// Cuts, doubles, turns and spoils a mail here and there.
    fn broken(raw: &[u8], random: &mut fastrand::Rng) -> Vec<u8> {
        let mut broken = raw.to_vec();
        for _ in 0..random.usize(1..8) {
            let at = random.usize(0..=broken.len());
            match random.u8(0..4) {
                0 => broken.truncate(at),
                1 => broken.insert(at, random.u8(..)),
                2 => broken.extend_from_within(at..),
                _ => broken.rotate_left(at),
            }
        }
        broken
    }

    #[test]
    fn any_bytes_are_a_mail() {
        let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/mail");
        let mut random = fastrand::Rng::with_seed(7);
        for entry in fs::read_dir(directory).expect("the golden mails") {
            let raw = fs::read(entry.expect("an entry").path()).expect("a mail");
            for round in 0..100 {
                let broken = broken(&raw, &mut random);
                for depth in [Depth::Full, Depth::Text, Depth::Headers] {
                    let message = parse(&broken, &Rules::default(), depth);
                    assert!(message.depth >= depth && !message.message_id.is_empty(), "{round}");
                    assert!(!message.text.is_empty() && !message.text.contains('\0'), "{round}");
                }
            }
        }
    }

    #[test]
    fn a_mail_without_an_id_gets_one_that_stays() {
        let one = parse(b"Received: x\r\nSubject: a\r\n\r\nb", &Rules::default(), Depth::Full);
        let two = parse(b"Subject: a\n\nb", &Rules::default(), Depth::Headers);
        assert_eq!(one.message_id, two.message_id);
        assert!(one.synthetic_id && one.message_id.ends_with("@mailbridge.invalid"));
        assert_eq!((one.distinct, two.distinct), (true, false));
    }

    #[test]
    fn the_header_block_is_kept_as_configured() {
        let raw = b"Subject: =?utf-8?q?=C3=A4?=\r\nX: y\r\n\r\n";
        for (email_header, expected) in [
            (EmailHeader::Full, "Subject: =?utf-8?q?=C3=A4?=\nX: y"),
            (EmailHeader::Listed, "Subject: ä"),
            (EmailHeader::None, ""),
        ] {
            let mut rules = Rules::default();
            rules.parse.email_header = email_header;
            assert_eq!(parse(raw, &rules, Depth::Full).header_block, expected);
        }
    }

    #[test]
    fn lines_that_end_in_cr_alone_are_read() {
        let raw = b"Subject: a\rContent-Type: multipart/mixed; boundary=b\r\r--b\r\rtext\r--b--\r";
        let message = parse(raw, &Rules::default(), Depth::Full);
        assert_eq!((message.subject.as_str(), message.text.as_str()), ("a", "text"));
    }
}
