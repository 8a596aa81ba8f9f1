//! HTML as a run of texts and tags (HTML Living Standard §13.2.5, what of it text needs): comments, declarations and elements
//! that show nothing are passed over. One pass, no tree; never fails, and time grows with the length alone.

use std::borrow::Cow;

use encoding_rs::WINDOWS_1252;
use mail_parser::decoders::html::add_html_token;
use memchr::{memchr, memchr2, memmem, memrchr};

/// Elements that show nothing of what they hold.
const SILENT: &[&str] = &["script", "style", "title", "xml", "template", "svg", "iframe", "noframes"];
/// The longest name of a character reference: `&CounterClockwiseContourIntegral;`.
const MAX_REFERENCE: usize = 32;

/// What HTML is made of.
#[derive(Debug)]
pub(crate) enum Token<'a> {
    /// Text as it stands there, character references and all.
    Text(&'a str),
    /// A tag.
    Tag(Tag<'a>),
}

/// A tag.
#[derive(Debug)]
pub(crate) struct Tag<'a> {
    /// Its name as it stands there.
    pub(crate) name: &'a str,
    /// Whether it is an end tag.
    pub(crate) closes: bool,
    attributes: &'a str,
}

impl<'a> Tag<'a> {
    /// Its attributes: the name and the value as they stand there.
    pub(crate) fn attributes(&self) -> impl Iterator<Item = (&'a str, &'a str)> + use<'a> {
        let mut rest = self.attributes;
        std::iter::from_fn(move || {
            let (found, after) = attribute(rest)?;
            rest = after;
            Some(found)
        })
    }
}

/// Reads HTML from its beginning to its end.
#[derive(Debug)]
pub(crate) struct Tokens<'a> {
    html: &'a str,
    at: usize,
    /// Whether what never ends (a comment, a script) holds the rest of the HTML, as in a browser, or nothing.
    lenient: bool,
    /// Behind the last `"`, `'` and `-->` none is searched.
    last_double: usize,
    last_single: usize,
    last_comment_end: usize,
    /// Which of [`SILENT`] have no end from here on.
    endless: [bool; SILENT.len()],
}

impl<'a> Tokens<'a> {
    pub(crate) fn new(html: &'a str, lenient: bool) -> Self {
        let last = |byte| memrchr(byte, html.as_bytes()).unwrap_or(0);
        Self {
            html,
            at: 0,
            lenient,
            last_double: last(b'"'),
            last_single: last(b'\''),
            last_comment_end: memmem::rfind(html.as_bytes(), b"-->").unwrap_or(0),
            endless: [false; SILENT.len()],
        }
    }

    fn rest(&self) -> &'a str {
        self.html.get(self.at..).unwrap_or_default()
    }

    /// The text up to the next tag: a `<` that begins none belongs to it.
    fn text(&mut self) -> &'a str {
        let rest = self.rest();
        let begins = |at: &usize| {
            let after = rest.as_bytes().get(at.saturating_add(1)).copied().unwrap_or(b' ');
            after.is_ascii_alphabetic() || matches!(after, b'/' | b'!' | b'?')
        };
        let end = memchr::memchr_iter(b'<', rest.as_bytes()).find(begins).unwrap_or(rest.len());
        self.at = self.at.saturating_add(end);
        rest.get(..end).unwrap_or_default()
    }

    /// Passes over `<!…>`, `<?…>` and `</` without a name.
    fn pass_comment(&mut self) {
        let rest = self.rest();
        let comment = rest.strip_prefix("<!--").filter(|inside| !inside.starts_with('>') && !inside.starts_with("->"));
        let length = match comment {
            Some(_) if self.at > self.last_comment_end && !self.lenient => rest.len(),
            Some(inside) if self.at <= self.last_comment_end => {
                memmem::find(inside.as_bytes(), b"-->").map_or(rest.len(), |end| end.saturating_add(7))
            }
            _ => memchr(b'>', rest.as_bytes()).map_or(rest.len(), |end| end.saturating_add(1)),
        };
        self.at = self.at.saturating_add(length);
    }

    /// The tag that begins here; `None` at the end of a cut mail.
    fn tag(&mut self) -> Option<Tag<'a>> {
        let inside = self.rest().get(1..)?;
        let (closes, inside) = inside.strip_prefix('/').map_or((false, inside), |inside| (true, inside));
        let name_end = inside.find(|c: char| !c.is_ascii_alphanumeric() && !":-_".contains(c)).unwrap_or(inside.len());
        let (name, rest) = inside.split_at_checked(name_end)?;
        let begin = self.html.len().saturating_sub(rest.len());
        let Some(end) = self.tag_end(begin) else {
            self.at = self.html.len();
            return None;
        };
        self.at = end.saturating_add(1);
        Some(Tag { name, closes, attributes: self.html.get(begin..end)? })
    }

    /// Where the `>` of a tag is: not within a quoted value, whose quotes stand behind a `=`.
    fn tag_end(&self, begin: usize) -> Option<usize> {
        let bytes = self.html.as_bytes();
        let mut at = begin;
        loop {
            at = memchr2(b'>', b'=', bytes.get(at..)?)?.saturating_add(at);
            if bytes.get(at) == Some(&b'>') {
                return Some(at);
            }
            at = at.saturating_add(1);
            let blanks = bytes.get(at..)?.iter().take_while(|byte| byte.is_ascii_whitespace()).count();
            at = at.saturating_add(blanks);
            let last = match bytes.get(at) {
                Some(b'"') => self.last_double,
                Some(b'\'') => self.last_single,
                _ => continue,
            };
            let quote = *bytes.get(at)?;
            at = at.saturating_add(1);
            if at <= last {
                at = memchr(quote, bytes.get(at..)?)?.saturating_add(at).saturating_add(1);
            }
        }
    }

    /// Passes over what a silent element holds.
    fn pass_silent(&mut self, tag: &Tag<'_>) {
        let Some(kind) = SILENT.iter().position(|name| tag.name.eq_ignore_ascii_case(name)) else {
            return;
        };
        let empty = tag.attributes.ends_with('/') && matches!(tag.name, "svg" | "xml");
        if tag.closes || empty || self.endless.get(kind).copied().unwrap_or_default() {
            return;
        }
        let bytes = self.html.as_bytes();
        let ends = |at: &usize| {
            let name = at.saturating_add(2)..at.saturating_add(2).saturating_add(tag.name.len());
            bytes.get(name).is_some_and(|name| name.eq_ignore_ascii_case(tag.name.as_bytes()))
        };
        let rest = bytes.get(self.at..).unwrap_or_default();
        match memmem::find_iter(rest, b"</").map(|end| end.saturating_add(self.at)).find(ends) {
            Some(end) => self.at = end,
            None if self.lenient => {
                if let Some(endless) = self.endless.get_mut(kind) {
                    *endless = true;
                }
            }
            None => self.at = self.html.len(),
        }
    }
}

impl<'a> Iterator for Tokens<'a> {
    type Item = Token<'a>;

    fn next(&mut self) -> Option<Token<'a>> {
        loop {
            let text = self.text();
            if !text.is_empty() {
                return Some(Token::Text(text));
            }
            let mut ahead = self.rest().bytes().skip(1);
            let first = ahead.next()?;
            let names =
                first.is_ascii_alphabetic() || first == b'/' && ahead.next().is_some_and(|c| c.is_ascii_alphabetic());
            if !names {
                self.pass_comment();
                continue;
            }
            let tag = self.tag()?;
            self.pass_silent(&tag);
            return Some(Token::Tag(tag));
        }
    }
}

/// The first attribute and what is behind it.
fn attribute(text: &str) -> Option<((&str, &str), &str)> {
    let text = text.trim_start_matches(|c: char| c.is_ascii_whitespace() || c == '/');
    let end = text.bytes().skip(1).position(|c| c.is_ascii_whitespace() || c == b'=' || c == b'/');
    let (name, rest) = text.split_at_checked(end.map_or(text.len(), |end| end.saturating_add(1)))?;
    if name.is_empty() {
        return None;
    }
    let Some(value) = rest.trim_ascii_start().strip_prefix('=') else {
        return Some(((name, ""), rest));
    };
    let value = value.trim_ascii_start();
    let quoted = value.chars().next().filter(|c| matches!(c, '"' | '\''));
    match quoted.and_then(|quote| value.get(1..)?.split_once(quote)) {
        Some((inside, rest)) => Some(((name, inside), rest)),
        None => {
            let end = value.find(|c: char| c.is_ascii_whitespace()).unwrap_or(value.len());
            let (value, rest) = value.split_at_checked(end)?;
            Some(((name, value), rest))
        }
    }
}

/// Text with its character references read. In the value of an attribute one without `;` is read only where nothing of a
/// name follows, so that `?a=1&copy=2` stays a link.
pub(crate) fn dereferenced(text: &str, attribute: bool) -> Cow<'_, str> {
    if memchr(b'&', text.as_bytes()).is_none() {
        return text.into();
    }
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some((plain, after)) = rest.split_once('&') {
        out.push_str(plain);
        let length = match after.strip_prefix('#') {
            Some(number) => numbered(number, &mut out).map(|length| length.saturating_add(1)),
            None => named(after, attribute, &mut out),
        };
        if length.is_none() {
            out.push('&');
        }
        rest = after.get(length.unwrap_or(0)..).unwrap_or_default();
    }
    out.push_str(rest);
    out.into()
}

/// Reads `8364;` or `x20ac;` and returns its length.
fn numbered(text: &str, out: &mut String) -> Option<usize> {
    let (digits, radix, before) = match text.strip_prefix(['x', 'X']) {
        Some(digits) => (digits, 16, 1),
        None => (text, 10, 0_usize),
    };
    let count = digits.bytes().take_while(|c| char::from(*c).is_digit(radix)).count();
    let digits = digits.get(..count).filter(|digits| !digits.is_empty())?;
    let significant = digits.trim_start_matches('0');
    let number = if significant.len() > 8 { None } else { u32::from_str_radix(significant, radix).ok() };
    match number {
        // Numbers of controls mean letters of windows-1252.
        Some(number @ 0x80..=0x9f) => {
            let byte = [u8::try_from(number).unwrap_or_default()];
            out.push_str(&WINDOWS_1252.decode_without_bom_handling(&byte).0);
        }
        Some(number) if number > 0 => out.push(char::from_u32(number).unwrap_or(char::REPLACEMENT_CHARACTER)),
        _ => out.push(char::REPLACEMENT_CHARACTER),
    }
    let semicolon = text.as_bytes().get(before.saturating_add(count)) == Some(&b';');
    Some(before.saturating_add(count).saturating_add(usize::from(semicolon)))
}

/// Reads `amp;`, or one of the old names without the semicolon, and returns its length.
fn named(text: &str, attribute: bool, out: &mut String) -> Option<usize> {
    let window = text.as_bytes().get(..text.len().min(MAX_REFERENCE)).unwrap_or_default();
    let count = window.iter().take_while(|byte| byte.is_ascii_alphanumeric()).count();
    let name = text.get(..count)?;
    let before = out.len();
    if text.as_bytes().get(count) == Some(&b';') {
        let token = format!("&{name};");
        add_html_token(out, token.as_bytes(), false);
        if out.get(before..) != Some(token.as_str()) {
            return Some(count.saturating_add(1));
        }
        out.truncate(before);
    }
    if attribute && (count > 6 || text.as_bytes().get(count) == Some(&b'=')) {
        return None;
    }
    // Only the letters of Latin-1 may stand without it.
    let shortest = if attribute { count.max(2) } else { 2 };
    (shortest..=count.min(6)).rev().find(|length| {
        let Some(name) = name.get(..*length) else { return false };
        add_html_token(out, format!("&{name};").as_bytes(), false);
        let mut found = out.get(before..).unwrap_or_default().chars();
        let old = found.next().is_some_and(|c| u32::from(c) <= 0xff) && found.next().is_none();
        if !old {
            out.truncate(before);
        }
        old
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(html: &str, expected: &[&str]) {
        let found: Vec<_> = Tokens::new(html, false)
            .map(|token| match token {
                Token::Text(text) => text.to_owned(),
                Token::Tag(tag) => {
                    let list: String = tag.attributes().map(|(name, value)| format!(" {name}={value}")).collect();
                    format!("<{}{}{list}>", if tag.closes { "/" } else { "" }, tag.name)
                }
            })
            .collect();
        assert_eq!(found, expected);
    }

    #[test]
    fn texts_and_tags_are_told_apart() {
        check("a<b>c</b>", &["a", "<b>", "c", "</b>"]);
        check("1 < 2 <3", &["1 < 2 <3"]);
        check("<a href=\"x>y\" b='c' d e=f/g>t", &["<a href=x>y b=c d= e=f/g>", "t"]);
        check("<br/><o:p>", &["<br>", "<o:p>"]);
        check("<p it's>x</p>", &["<p it's=>", "x", "</p>"]);
        check("<a b=\"c>d", &["<a b=\"c>", "d"]);
        check("x<b", &["x"]);
        check("x</>y</ z>w", &["x", "y", "w"]);
    }

    #[test]
    fn what_shows_nothing_is_passed_over() {
        check("a<!-- <b> -->c<!-->d<!doctype x>e<?x?>f", &["a", "c", "d", "e", "f"]);
        check("<!--[if mso]><p>x</p><![endif]-->a<![if !mso]>b<![endif]>", &["a", "b"]);
        check("<STYLE>a<b</Style>c", &["<STYLE>", "</Style>", "c"]);
        check("<script>'</b>'</script >c", &["<script>", "</script>", "c"]);
        check("a<!-- b", &["a"]);
        check("a<style>b", &["a", "<style>"]);
    }

    #[test]
    fn references_are_read() {
        for (text, expected) in [
            ("&lt;a&gt; &amp;amp;", "<a> &amp;"),
            ("&nbsp;&auml;&euro;&hellip;&zwnj;", "\u{a0}ä€…\u{200c}"),
            ("&#8364;&#x20AC;&#128;&#0;&#x110000;&#99999999999;", "€€€\u{fffd}\u{fffd}\u{fffd}"),
            ("&copy 2020 &auml", "© 2020 ä"),
            ("&CounterClockwiseContourIntegral;", "∳"),
            ("AT&T & R&D &unknown; &#x; &;", "AT&T & R&D &unknown; &#x; &;"),
            ("&&amp;&", "&&&"),
        ] {
            assert_eq!(dereferenced(text, false), expected);
        }
        assert_eq!(dereferenced("?a=1&copy=2&amp;lt=3&reg=&notit&para", true), "?a=1&copy=2&lt=3&reg=&notit¶");
    }
}
