//! The leaves of a mail's MIME tree (RFC 2046 §5.1): at full depth by mail-parser, which also unpacks attached mails so that
//! the exact nesting is known; at text depth by a walk of our own that never recurses and looks at no attachment.
//!
//! A parsed tree is never cloned, never printed and never dropped as it is: each of these recurses once a level, and a
//! small mail can have enough levels to end the process.

use mail_parser::{Encoding, Message, MessageParser, MessagePart, PartType};

use crate::config::Limits;
use crate::message::header::{self, Headers};
use crate::message::parameters::Parameters;
use crate::message::part::Part;

/// More lines that begin a Content-Type than an honest mail has.
const MAX_CONTENT_TYPES: usize = 2_000;
/// More lines that begin like a boundary than an honest mail has.
const MAX_BOUNDARIES: usize = 10_000;
/// Multiparts inside each other at text depth.
const OUTLINE_LEVELS: usize = 10;
/// Leaves at text depth.
const OUTLINE_PARTS: usize = 100;

/// The bound that a mail breaks: the word of its defect and the number seen.
pub(crate) struct TooMuch(pub(crate) &'static str, pub(crate) usize);

/// All leaves, in the order of the mail; an attached mail is one leaf.
pub(crate) fn full<'a>(raw: &'a [u8], headers: &Headers<'a>, limits: &Limits) -> Result<Vec<Part<'a>>, TooMuch> {
    let root = Part::new(headers, raw.get(headers.body..).unwrap_or_default());
    if !root.media.starts_with("multipart/") {
        // An attached mail is not unpacked, so it can do no harm; but what nobody could read is not called read.
        if root.media.starts_with("message/") {
            prefilter(&root.decoded())?;
        }
        return Ok(vec![root]);
    }
    prefilter(root.bytes)?;
    let mail = raw.get(headers.start..).unwrap_or_default();
    let parser = MessageParser::new().with_mime_headers().default_header_ignore();
    let Some(message) = parser.parse(mail) else {
        return Ok(vec![root]);
    };
    let verdict = measure(&message, limits);
    let leaves = verdict.map(|()| leaves(&message, mail, limits));
    dismantle(message);
    leaves
}

/// The first leaves that are text, found by boundary lines alone.
pub(crate) fn outline<'a>(raw: &'a [u8], headers: &Headers<'a>, limits: &Limits) -> Vec<Part<'a>> {
    let body = raw.get(headers.body..).unwrap_or_default();
    let mut found = Vec::new();
    let mut waiting = vec![(Parameters::of(headers, "Content-Type"), Part::new(headers, body), 0_usize)];
    while let Some((kind, part, level)) = waiting.pop() {
        let boundary = kind.get("boundary");
        if part.media.starts_with("multipart/") && !boundary.is_empty() && level < OUTLINE_LEVELS {
            let room = OUTLINE_PARTS.saturating_sub(found.len()).saturating_sub(waiting.len());
            let inner = sections(part.bytes, boundary.as_bytes(), room);
            waiting.extend(inner.into_iter().rev().map(|section| {
                let headers = header::split(section, limits, &mut Vec::new());
                let part = Part::new(&headers, section.get(headers.body..).unwrap_or_default());
                (Parameters::of(&headers, "Content-Type"), part, level.saturating_add(1))
            }));
        } else if part.is_body() && level < OUTLINE_LEVELS {
            found.push(part);
        }
    }
    found
}

/// A cheap look before any tree is built. base64 can hide from it; the exact measure comes later.
fn prefilter(body: &[u8]) -> Result<(), TooMuch> {
    let (mut types, mut boundaries) = (0_usize, 0_usize);
    for line in body.split(|byte| *byte == b'\n') {
        let line = line.trim_ascii_start();
        match line.first() {
            Some(b'-') if line.starts_with(b"--") => boundaries = boundaries.saturating_add(1),
            Some(b'c' | b'C') if line.get(..12).is_some_and(|head| head.eq_ignore_ascii_case(b"content-type")) => {
                types = types.saturating_add(1);
            }
            _ => {}
        }
    }
    if types > MAX_CONTENT_TYPES {
        return Err(TooMuch("nesting", types));
    }
    if boundaries > MAX_BOUNDARIES {
        return Err(TooMuch("parts", boundaries));
    }
    Ok(())
}

/// Counts parts and levels, attached mails included, with a list instead of recursion.
fn measure(message: &Message<'_>, limits: &Limits) -> Result<(), TooMuch> {
    let max_parts = usize::try_from(limits.parts).unwrap_or(usize::MAX);
    let mut waiting: Vec<(&Message<'_>, u32, u32)> = vec![(message, 0, 1)];
    let mut parts: usize = 0;
    while let Some((message, id, level)) = waiting.pop() {
        parts = parts.saturating_add(1);
        if level > limits.nesting {
            return Err(TooMuch("nesting", usize::try_from(level).unwrap_or(usize::MAX)));
        }
        if parts > max_parts {
            return Err(TooMuch("parts", parts));
        }
        match message.parts.get(usize::try_from(id).unwrap_or(usize::MAX)).map(|part| &part.body) {
            Some(PartType::Multipart(ids)) => {
                waiting.extend(
                    ids.iter().filter(|inner| **inner > id).map(|inner| (message, *inner, level.saturating_add(1))),
                );
            }
            Some(PartType::Message(inner)) => waiting.push((inner, 0, level.saturating_add(1))),
            _ => {}
        }
    }
    Ok(())
}

fn leaves<'a>(message: &Message<'_>, mail: &'a [u8], limits: &Limits) -> Vec<Part<'a>> {
    let leaf = |part: &&MessagePart<'_>| !matches!(&part.body, PartType::Multipart(ids) if !ids.is_empty());
    message.parts.iter().filter(leaf).map(|part| leaf_of(part, mail, limits)).collect()
}

fn leaf_of<'a>(part: &MessagePart<'_>, mail: &'a [u8], limits: &Limits) -> Part<'a> {
    let place = |offset: u32| usize::try_from(offset).unwrap_or(usize::MAX);
    let (start, body, end) = (place(part.offset_header), place(part.offset_body), place(part.offset_end));
    let head = mail.get(start..body).unwrap_or_default();
    let headers = header::split(head, limits, &mut Vec::new());
    let end = inner_end(part).map_or(end, |inner| place(inner).min(end));
    let mut leaf = Part::new(&headers, mail.get(body..end.max(body)).unwrap_or_default());
    // A part without a type is a mail where its parent is a digest (RFC 2046 §5.1.5).
    if part.is_message() && !leaf.media.starts_with("message/") {
        leaf.media = "message/rfc822".to_owned();
    }
    leaf
}

/// Where an attached mail ends: mail-parser counts the boundary line behind it in. An encoded one has offsets of its own.
fn inner_end(part: &MessagePart<'_>) -> Option<u32> {
    match &part.body {
        PartType::Message(inner) if part.encoding == Encoding::None => {
            inner.parts.iter().map(|leaf| leaf.offset_end).max()
        }
        _ => None,
    }
}

/// Takes the tree apart level by level.
fn dismantle(message: Message<'_>) {
    let mut waiting = vec![message];
    while let Some(message) = waiting.pop() {
        for part in message.parts {
            if let PartType::Message(inner) = part.body {
                waiting.push(inner);
            }
        }
    }
}

/// What stands between the boundary lines, at most `max` sections.
fn sections<'a>(body: &'a [u8], boundary: &[u8], max: usize) -> Vec<&'a [u8]> {
    let mut found = Vec::new();
    let mut begin = None;
    let mut at: usize = 0;
    for line in body.split_inclusive(|byte| *byte == b'\n') {
        let next = at.saturating_add(line.len());
        let rest = line.strip_prefix(b"--").and_then(|rest| rest.strip_prefix(boundary));
        if let Some(rest) = rest.filter(|rest| rest.trim_ascii().is_empty() || rest.starts_with(b"--")) {
            if let Some(begin) = begin.replace(next) {
                found.push(section(body, begin, at));
            }
            if rest.starts_with(b"--") || found.len() >= max {
                return found;
            }
        }
        at = next;
    }
    found.extend(begin.filter(|_| found.len() < max).map(|begin| body.get(begin..).unwrap_or_default()));
    found
}

/// A section without the line end that belongs to the boundary (RFC 2046 §5.1.1).
fn section(body: &[u8], begin: usize, end: usize) -> &[u8] {
    let section = body.get(begin..end).unwrap_or_default();
    let section = section.strip_suffix(b"\n").unwrap_or(section);
    section.strip_suffix(b"\r").unwrap_or(section)
}

#[cfg(test)]
mod tests {
    use super::*;

    const MAIL: &[u8] = b"Content-Type: multipart/mixed; boundary=b\r\n\r\n--b\r\n\r\nplain\r\n--b\r\n\
        Content-Type: multipart/alternative; boundary=\"c d\"\r\n\r\n--c d\r\nContent-Type: text/html\r\n\r\n<p>html\r\n--c d--\r\n\
        --b\r\nContent-Type: image/png\r\nContent-Transfer-Encoding: base64\r\n\r\naGk=\r\n--b--\r\nepilogue";

    fn headers(raw: &[u8]) -> Headers<'_> {
        header::split(raw, &Limits::default(), &mut Vec::new())
    }

    fn described(parts: Vec<Part<'_>>) -> Vec<(String, Vec<u8>)> {
        parts.into_iter().map(|part| (part.media.clone(), part.decoded().into_owned())).collect()
    }

    #[test]
    fn both_walks_find_the_same_text() {
        let limits = Limits::default();
        let deep = described(full(MAIL, &headers(MAIL), &limits).unwrap_or_default());
        let flat = described(outline(MAIL, &headers(MAIL), &limits));
        assert_eq!(deep[..2], flat[..]);
        assert_eq!(flat, [("text/plain".into(), b"plain".to_vec()), ("text/html".into(), b"<p>html".to_vec())]);
        assert_eq!(deep[2], ("image/png".into(), b"hi".to_vec()));
    }

    #[test]
    fn too_many_levels_are_refused_and_taken_apart() {
        let raw = format!(
            "Content-Type: multipart/mixed; boundary=b\n\n--b\n{}\n\nx",
            "Content-Type: message/rfc822\n\n".repeat(1_500)
        );
        let headers = headers(raw.as_bytes());
        assert!(matches!(full(raw.as_bytes(), &headers, &Limits::default()), Err(TooMuch("nesting", _))));
    }
}
