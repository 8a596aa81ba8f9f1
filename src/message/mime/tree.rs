//! The leaves of a mail's MIME tree (RFC 2046 §5.1), found by boundary lines alone: an outer boundary ends whatever is inside
//! it, an attached mail is one leaf and never opened, nothing recurses.
//!
//! Where the declared boundary is on no line, the lines that plainly separate parts are used; what is separated by nothing
//! stays one leaf, so no content is lost.

use memchr::memmem::{Finder, find};
use memchr::{memchr, memchr_iter};

use crate::config::Limits;
use crate::message::header::parameters::Parameters;
use crate::message::header::{self, Headers};
use crate::message::mime::part::Part;

/// More lines that begin a Content-Type than an honest mail has.
const MAX_CONTENT_TYPES: usize = 2_000;
/// Multiparts inside each other at text depth.
const OUTLINE_LEVELS: usize = 10;
/// Parts at text depth.
const OUTLINE_PARTS: usize = 100;
/// How often each byte of a mail may be searched for boundary lines. Every level searches what it holds, so this bounds the
/// levels of a large mail; a small one may have all that the limits allow.
const SEARCHES: usize = 16;
/// What is searched for nothing.
const SEARCHED_FREE: usize = 16 << 20;
/// A boundary has at most 70 characters (RFC 2046 §5.1.1); some programs make longer ones.
const MAX_BOUNDARY: usize = 200;

/// How many bytes of a section are searched for the boundary that it declares.
const INNER_HEAD: usize = 4096;
/// A longer text before the first part is more than a notice.
const NOTICE: usize = 1024;

/// The bound that a mail breaks: the word of its defect and the number seen.
pub(crate) struct TooMuch(pub(crate) &'static str, pub(crate) usize);

/// All leaves, in the order of the mail; an attached mail is one leaf.
pub(crate) fn full<'a>(raw: &'a [u8], headers: &Headers<'a>, limits: &Limits) -> Result<Vec<Part<'a>>, TooMuch> {
    let bound = |limit: u32| usize::try_from(limit).unwrap_or(usize::MAX);
    let (leaves, excess) = walk(raw, headers, limits, bound(limits.nesting), bound(limits.parts));
    match excess.or_else(|| hidden(headers, raw)) {
        Some(excess) => Err(excess),
        None => Ok(leaves),
    }
}

/// The first leaves that are text.
pub(crate) fn outline<'a>(raw: &'a [u8], headers: &Headers<'a>, limits: &Limits) -> Vec<Part<'a>> {
    let (mut leaves, _) = walk(raw, headers, limits, OUTLINE_LEVELS, OUTLINE_PARTS);
    leaves.retain(Part::is_body);
    leaves
}

/// The bound that only closed parts break: mails inside mails harm nobody here, but a mail that nobody can read to its end is
/// not called read.
fn hidden(headers: &Headers<'_>, raw: &[u8]) -> Option<TooMuch> {
    let root = Part::new(headers, raw.get(headers.body..).unwrap_or_default());
    if !root.media.starts_with("multipart/") && !root.media.starts_with("message/") {
        return None;
    }
    let bytes = if root.media.starts_with("message/") { root.decoded() } else { root.bytes.as_ref().into() };
    let lines = std::iter::once(0).chain(memchr_iter(b'\n', &bytes).map(|end| end.saturating_add(1)));
    let name = |begin: usize| bytes.get(begin..begin.saturating_add(12));
    let count = lines.filter_map(name).filter(|name| name.eq_ignore_ascii_case(b"content-type")).count();
    (count > MAX_CONTENT_TYPES).then_some(TooMuch("nesting", count))
}

/// A part that may have parts of its own.
struct Node<'a> {
    part: Part<'a>,
    bytes: &'a [u8],
    boundary: String,
    level: usize,
}

impl<'a> Node<'a> {
    fn new(headers: &Headers<'_>, bytes: &'a [u8], level: usize) -> Self {
        let boundary = Parameters::of(headers, "Content-Type").get("boundary");
        Self { part: Part::new(headers, bytes), bytes, boundary, level }
    }

    /// The part behind a boundary line. Without a type it is a mail where its parent is a digest (RFC 2046 §5.1.5).
    fn inner(&self, section: &'a [u8], limits: &Limits) -> Self {
        let headers = header::split_part(section, limits);
        let body = section.get(headers.body..).unwrap_or_default();
        let mut node = Self::new(&headers, body, self.level.saturating_add(1));
        node.part.related = self.part.media == "multipart/related";
        if self.part.media == "multipart/digest" && !headers.has("Content-Type") {
            node.part.media = "message/rfc822".to_owned();
        }
        node
    }
}

/// The leaves within the bounds, and the bound that was broken. What is beyond `max_levels` stays closed, what is beyond
/// `max_parts` is left out.
fn walk<'a>(
    raw: &'a [u8],
    headers: &Headers<'a>,
    limits: &Limits,
    max_levels: usize,
    max_parts: usize,
) -> (Vec<Part<'a>>, Option<TooMuch>) {
    let mut waiting = vec![Node::new(headers, raw.get(headers.body..).unwrap_or_default(), 1)];
    let (mut leaves, mut excess) = (Vec::new(), None);
    let (mut parts, mut preamble): (usize, &[u8]) = (1, &[]);
    let mut effort = raw.len().saturating_mul(SEARCHES).saturating_add(SEARCHED_FREE);
    while let Some(node) = waiting.pop() {
        if !node.part.media.starts_with("multipart/") {
            leaves.push(node.part);
            continue;
        }
        effort = effort.saturating_sub(node.bytes.len());
        if node.level >= max_levels || effort == 0 {
            excess = excess.or_else(|| Some(TooMuch("nesting", node.level.saturating_add(1))));
            continue;
        }
        let room = max_parts.saturating_sub(parts);
        let Sections { preamble: before, found: mut inner } =
            sections(node.bytes, &node.boundary, room.saturating_add(1));
        if node.level == 1 {
            preamble = before;
        }
        if inner.len() > room {
            excess = excess.or_else(|| Some(TooMuch("parts", max_parts.saturating_add(1))));
            inner.truncate(room);
        }
        parts = parts.saturating_add(inner.len());
        if inner.is_empty() {
            leaves.push(node.part);
        } else {
            waiting.extend(inner.into_iter().rev().map(|section| node.inner(section, limits)));
        }
    }
    // What stands before the first part is for programs that know no MIME (RFC 2046 §5.1.1), unless it is the only text.
    if !preamble.trim_ascii().is_empty() && !leaves.iter().any(Part::is_body) && !is_notice(preamble) {
        leaves.insert(0, Part { media: "text/plain".to_owned(), bytes: preamble.into(), ..Part::default() });
    }
    (leaves, excess)
}

/// Whether it only says to such programs what they see.
fn is_notice(text: &[u8]) -> bool {
    let text = text.to_ascii_lowercase();
    text.len() < NOTICE
        && [b"mime".as_slice(), b"multi-part", b"multipart"].iter().any(|word| find(&text, word).is_some())
}

/// What a multipart holds.
#[derive(Default)]
struct Sections<'a> {
    /// What stands before the first boundary line.
    preamble: &'a [u8],
    /// What stands between them.
    found: Vec<&'a [u8]>,
}

/// The sections of a multipart, at most `max`; none when nothing separates them.
fn sections<'a>(body: &'a [u8], declared: &str, max: usize) -> Sections<'a> {
    let sections = if declared.is_empty() { Sections::default() } else { between(body, declared.as_bytes(), max) };
    if !sections.found.is_empty() {
        return sections;
    }
    real_boundary(body).map(|real| between(body, real, max)).unwrap_or_default()
}

/// The boundary that the lines really use: the first line that begins with `--` and has a field of a part behind it.
fn real_boundary(body: &[u8]) -> Option<&[u8]> {
    let mut lines = body.split(|byte| *byte == b'\n').peekable();
    let is_part_field = |line: &&[u8]| line.get(..8).is_some_and(|name| name.eq_ignore_ascii_case(b"content-"));
    while let Some(line) = lines.next() {
        let boundary = line.trim_ascii_end().strip_prefix(b"--").unwrap_or_default();
        if (1..=MAX_BOUNDARY).contains(&boundary.len()) && lines.peek().is_some_and(is_part_field) {
            return Some(boundary);
        }
    }
    None
}

/// A line that separates parts.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Delimiter {
    Open,
    Close,
}

/// Whether a line is `--boundary` or `--boundary--`, perhaps with blanks behind it.
fn delimiter(line: &[u8], boundary: &[u8]) -> Option<Delimiter> {
    match line.strip_prefix(b"--")?.strip_prefix(boundary)?.trim_ascii() {
        b"" => Some(Delimiter::Open),
        b"--" => Some(Delimiter::Close),
        _ => None,
    }
}

/// The lines that separate parts: where each begins, where the next line begins, and what it is.
fn delimiters<'a>(body: &'a [u8], boundary: &'a [u8]) -> impl Iterator<Item = (usize, usize, Delimiter)> + 'a {
    let marks = Finder::new(&[b"\n--", boundary].concat()).into_owned();
    let mut from = 0;
    let found = std::iter::from_fn(move || {
        let at = marks.find(body.get(from..)?)?.saturating_add(from).saturating_add(1);
        from = at;
        Some(at)
    });
    std::iter::once(0).chain(found).filter_map(move |at| {
        let rest = body.get(at..)?;
        if !rest.starts_with(b"--") {
            return None;
        }
        let line = rest.get(..memchr(b'\n', rest).map_or(rest.len(), |end| end.saturating_add(1)))?;
        Some((at, at.saturating_add(line.len()), delimiter(line, boundary)?))
    })
}

/// What stands between the boundary lines, at most `max` sections. Text behind a closing line ends the multipart; without
/// any, the line only closed too early.
fn between<'a>(body: &'a [u8], boundary: &[u8], max: usize) -> Sections<'a> {
    let mut sections = Sections::default();
    let (mut begin, mut closed, mut inner) = (None, 0, None);
    for (at, next, delimiter) in delimiters(body, boundary) {
        let open = begin.map(|begin| body.get(begin..at).unwrap_or_default());
        if delimiter == Delimiter::Close
            && open.is_some_and(|open| *inner.get_or_insert_with(|| declares(open, boundary)))
        {
            continue;
        }
        let text = body.get(closed..at).unwrap_or_default();
        if begin.is_none() && sections.found.is_empty() {
            sections.preamble = text;
        } else if begin.is_none() && !text.trim_ascii().is_empty() {
            return sections;
        }
        sections.found.extend(begin.map(|begin| section(body, begin, at)).filter(|section| !section.is_empty()));
        begin = (delimiter == Delimiter::Open).then_some(next);
        (closed, inner) = (next, None);
        if sections.found.len() >= max {
            return sections;
        }
    }
    let last = begin.map(|begin| body.get(begin..).unwrap_or_default());
    sections.found.extend(last.filter(|section| !section.is_empty()));
    sections
}

/// Whether a section declares a boundary of its own that looks like the end of the outer one: its lines are not ours.
fn declares(section: &[u8], boundary: &[u8]) -> bool {
    let head = section.get(..section.len().min(INNER_HEAD)).unwrap_or_default();
    let end = find(head, b"\n\n").or_else(|| find(head, b"\r\n\r\n")).unwrap_or(head.len());
    head.get(..end).is_some_and(|head| find(head, &[boundary, b"--"].concat()).is_some())
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

    #[track_caller]
    fn check(body: &str, expected: &[(&str, &str)]) {
        let raw = format!("Content-Type: multipart/mixed; boundary=b\n\n{body}");
        let found = full(raw.as_bytes(), &headers(raw.as_bytes()), &Limits::default()).unwrap_or_default();
        let found: Vec<_> =
            found.iter().map(|part| (part.media.as_str(), str::from_utf8(&part.bytes).unwrap())).collect();
        assert_eq!(found, expected);
    }

    #[test]
    fn boundary_lines_are_whole_lines() {
        let text = "text/plain";
        check("--b\n\na --b\n--bc\n--b--c\n--b \t\n\nd\n--b-- \n", &[(text, "a --b\n--bc\n--b--c"), (text, "d")]);
        check("--b\n--b\n\na\n", &[(text, "a\n")]);
        check("--b\n\na\n--b--\n\n--b\n\nc\n--b--\n", &[(text, "a"), (text, "c")]);
        check("--b\n\na\n--b--\nepilogue\n--b\n\nc\n--b--\n", &[(text, "a")]);
    }

    #[test]
    fn an_inner_boundary_may_look_like_the_end_of_the_outer() {
        let inner = "--b\nContent-Type: multipart/mixed; boundary=\"b--\"\n\n--b--\n\nx\n--b----\n--b--\n";
        check(inner, &[("text/plain", "x")]);
    }

    #[test]
    fn text_before_the_first_part_is_text_when_there_is_no_other() {
        let file = "--b\nContent-Type: image/png\n\nx\n--b--\n";
        check(&format!("Hello\n{file}"), &[("text/plain", "Hello\n"), ("image/png", "x")]);
        check(&format!("This is a multi-part message in MIME format.\n{file}"), &[("image/png", "x")]);
        check("Hello\n--b\n\nx\n--b--\n", &[("text/plain", "x")]);
    }

    #[test]
    fn a_text_that_looks_like_a_field_is_text() {
        check("--b\n\nNote: read me\n--b--\n", &[("text/plain", "Note: read me")]);
        check("--b\n\n\nFrom me\n--b--\n", &[("text/plain", "\nFrom me")]);
    }

    #[test]
    fn an_attached_mail_without_an_end_ends_with_its_part() {
        let inner = "Content-Type: multipart/mixed; boundary=c\n\n--c\n\nx";
        let body = format!("--b\nContent-Type: message/rfc822\n\n{inner}\n--b\n\ny\n--b--\n");
        check(&body, &[("message/rfc822", inner), ("text/plain", "y")]);
    }

    #[test]
    fn a_false_boundary_parameter_gives_way_to_the_real_lines() {
        check(
            "pre\n--other\nContent-Type: text/html\n\n<p>\n--other\n\nb\n--other--\n",
            &[("text/html", "<p>"), ("text/plain", "b")],
        );
        check("--- no part\n", &[("multipart/mixed", "--- no part\n")]);
    }

    #[test]
    fn a_part_of_a_digest_is_a_mail() {
        let raw = b"Content-Type: multipart/digest; boundary=b\n\n--b\n\nSubject: a\n\nx\n--b\nContent-Type: text/plain\n\ny\n--b--\n";
        let found = described(full(raw, &headers(raw), &Limits::default()).unwrap_or_default());
        assert_eq!(
            found,
            [("message/rfc822".into(), b"Subject: a\n\nx".to_vec()), ("text/plain".into(), b"y".to_vec())]
        );
    }

    #[test]
    fn too_many_levels_and_parts_are_refused() {
        let level = |n: usize| format!("Content-Type: multipart/mixed; boundary=b{n}\n\n--b{n}\n");
        let raw: String = (0..60).map(level).collect();
        let refused = full(raw.as_bytes(), &headers(raw.as_bytes()), &Limits::default());
        assert!(matches!(refused, Err(TooMuch("nesting", _))));
        let raw = "Content-Type: message/rfc822\n\n".repeat(3_000);
        let refused = full(raw.as_bytes(), &headers(raw.as_bytes()), &Limits::default());
        assert!(matches!(refused, Err(TooMuch("nesting", _))));
        let raw = format!("{}{}", level(0), "\nx\n--b0\n".repeat(5_000));
        let refused = full(raw.as_bytes(), &headers(raw.as_bytes()), &Limits::default());
        assert!(matches!(refused, Err(TooMuch("parts", _))));
        assert_eq!(outline(raw.as_bytes(), &headers(raw.as_bytes()), &Limits::default()).len(), OUTLINE_PARTS - 1);
    }
}
