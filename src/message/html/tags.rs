//! The tags of an HTML text with their places, read as a browser's tokenizer does (HTML §13.2.5) but without a tree. Text in
//! comments, scripts, style sheets and the like is stepped over. Never recurses; time is linear.

use std::ops::Range;

/// Elements whose content is text whatever it looks like.
const RAW: &[&str] =
    &["script", "style", "title", "textarea", "xmp", "iframe", "noembed", "noframes", "noscript", "plaintext"];

/// A tag.
#[derive(Debug, Clone)]
pub(crate) struct Tag<'h> {
    /// From `<` to after `>`.
    pub(crate) place: Range<usize>,
    /// Whether it is an end tag.
    pub(crate) closes: bool,
    /// As written.
    pub(crate) name: &'h str,
    /// What is between the name and `>`.
    pub(crate) rest: &'h str,
    /// The content, of elements whose content is text.
    pub(crate) raw: &'h str,
}

/// An attribute of a tag; `value` is still encoded.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Attribute<'h> {
    pub(crate) name: &'h str,
    pub(crate) value: &'h str,
}

/// The tags of `html` in order.
pub(crate) fn tags(html: &str) -> impl Iterator<Item = Tag<'_>> {
    let mut at = 0_usize;
    std::iter::from_fn(move || {
        loop {
            at = at.checked_add(memchr::memchr(b'<', html.as_bytes().get(at..)?)?)?;
            let after = html.get(at.checked_add(1)?..)?;
            if let Some(tag) = tag(html, at) {
                let raw_start = tag.place.end;
                at = raw_start.checked_add(tag.raw.len())?;
                return Some(tag);
            }
            at = at.checked_add(1)?.checked_add(passed(after))?;
        }
    })
}

/// The attributes of a tag, in order.
pub(crate) fn attributes(rest: &str) -> impl Iterator<Item = Attribute<'_>> {
    let mut rest = rest;
    std::iter::from_fn(move || {
        rest = rest.trim_start_matches(|c: char| c.is_ascii_whitespace() || c == '/');
        let first = rest.chars().next()?.len_utf8();
        // A `=` at the beginning belongs to the name.
        let length = rest.get(first..)?.find(|c: char| c.is_ascii_whitespace() || matches!(c, '=' | '/'));
        let (name, after) = rest.split_at(length.map_or(rest.len(), |length| length.saturating_add(first)));
        let Some(value) = after.trim_ascii_start().strip_prefix('=') else {
            rest = after;
            return Some(Attribute { name, value: "" });
        };
        let value = value.trim_ascii_start();
        let (value, after) = match value.strip_prefix(['"', '\'']) {
            Some(quoted) => quoted.split_once(value.get(..1)?).unwrap_or((quoted, "")),
            None => value.split_at(value.find(|c: char| c.is_ascii_whitespace()).unwrap_or(value.len())),
        };
        rest = after;
        Some(Attribute { name, value })
    })
}

/// The tag that begins here, if one does.
fn tag(html: &str, at: usize) -> Option<Tag<'_>> {
    let after = html.get(at.checked_add(1)?..)?;
    let (closes, named) = after.strip_prefix('/').map_or((false, after), |named| (true, named));
    if !named.starts_with(|c: char| c.is_ascii_alphabetic()) {
        return None;
    }
    let length = named.find(|c: char| c.is_ascii_whitespace() || matches!(c, '/' | '>'))?;
    let (name, rest) = named.split_at(length);
    let rest = rest.get(..end(rest)?)?;
    let begin = at.checked_add(1)?.checked_add(usize::from(closes))?;
    let place = at..begin.checked_add(length)?.checked_add(rest.len())?.checked_add(1)?;
    let is_raw = !closes && RAW.iter().any(|raw| name.eq_ignore_ascii_case(raw));
    let content = html.get(place.end..)?;
    let raw = if is_raw { content.get(..raw_end(content, name))? } else { "" };
    Some(Tag { place, closes, name, rest, raw })
}

/// Where the tag ends: at `>` outside of the quotes of a value.
fn end(rest: &str) -> Option<usize> {
    let (mut quote, mut value) = (None, false);
    for (at, byte) in rest.bytes().enumerate() {
        match (byte, quote) {
            (_, Some(open)) if byte == open => quote = None,
            (_, Some(_)) => {}
            (b'>', None) => return Some(at),
            (b'=', None) => value = true,
            (b'"' | b'\'', None) if value => (quote, value) = (Some(byte), false),
            _ => value = value && byte.is_ascii_whitespace(),
        }
    }
    None
}

/// Where the content of such an element ends.
fn raw_end(content: &str, name: &str) -> usize {
    let bytes = content.as_bytes();
    let closing = memchr::memchr_iter(b'<', bytes).find(|at| {
        let named = at.checked_add(2).and_then(|from| bytes.get(from..from.checked_add(name.len())?));
        bytes.get(at.saturating_add(1)) == Some(&b'/')
            && named.is_some_and(|named| named.eq_ignore_ascii_case(name.as_bytes()))
    });
    closing.unwrap_or(bytes.len())
}

/// How much of what follows a `<` that begins no tag is to be stepped over.
fn passed(after: &str) -> usize {
    let to = |end: &str, text: &str| text.find(end).map_or(text.len(), |at| at.saturating_add(end.len()));
    match after.strip_prefix("!--") {
        Some(comment) if comment.starts_with('>') || comment.starts_with("->") => 3,
        Some(comment) => to("-->", comment).saturating_add(3),
        None if after.starts_with(['!', '?', '/']) => to(">", after),
        // A tag without an end swallows the rest.
        None if after.starts_with(|c: char| c.is_ascii_alphabetic()) => after.len(),
        None => 0,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(html: &str, expected: &str) {
        let shown = |tag: Tag<'_>| {
            let attributes = attributes(tag.rest).map(|a| format!(" {}={}", a.name, a.value)).collect::<String>();
            let written = html.get(tag.place).expect("its place");
            assert!(written.starts_with('<') && written.ends_with('>'));
            format!("{}{}{attributes}", if tag.closes { "/" } else { "" }, tag.name)
        };
        assert_eq!(tags(html).map(shown).collect::<Vec<_>>().join("|"), expected);
    }

    #[test]
    fn tags_are_found_where_a_browser_finds_them() {
        check("a<b>c</b>", "b|/b");
        check("<p a=1 b='2>' c=\"3\" d e = 4>", "p a=1 b=2> c=3 d= e=4");
        check("<!-- <a> --><b><!--><c><!---><d><!x <e>f><?g <h>", "b|c|d");
        check("<style>a<b></style><script><p></script ><i/>", "style|/style|script|/script|i");
        check("< a><1><é></ b><a", "");
        check("<p title=\"x", "");
        check("<p/x=1 /y>", "p x=1 y=");
        check("<p =a=b>", "p =a=b");
    }
}
