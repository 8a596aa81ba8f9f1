//! Which leaves are the text of the mail (RFC 2046 §5.1, RFC 2387): the texts of each kind are joined in the order of the mail,
//! wherever they stand, since an alternative that holds two of a kind is more often a mixed mail than a choice. Both kinds are
//! kept; the plain one is made from the HTML when it is missing, the HTML never from the plain one.
//!
//! Never joins HTML over an encrypted part, never shows one page of HTML within another, never loses text: a mail without a
//! body shows what comes next to one.

use std::borrow::Cow;

use memchr::memmem;

use crate::config::parse::Html;
use crate::message::header;
use crate::message::html;
use crate::message::mime::part::{Encoding, Part};
use crate::message::mime::transfer;
use crate::message::model::{CharsetVerdict, Defect, Depth, Rules};
use crate::message::text::charset::{self, Decoded};
use crate::message::text::enriched;
use crate::message::text::flowed;
use crate::message::text::plain;

/// Pages of HTML that are made harmless each for itself; what comes behind them is joined to the last.
const MAX_PAGES: usize = 8;
/// Texts that may stand in for the body of a mail that has none, and stay among its attachments.
const SPARE: &[&str] =
    &["text/plain", "text/html", "text/enriched", "text/richtext", "text/markdown", "text/x-markdown"];
/// What programs say of other mails (RFC 3464, RFC 8098, RFC 5965), in lines that people can read.
const REPORTS: &[&str] = &["message/delivery-status", "message/disposition-notification", "message/feedback-report"];
/// The first line of an encrypted text that stands within a plain one (RFC 9580 §6.2.1).
const ARMOUR: &[u8] = b"-----BEGIN PGP MESSAGE-----";

/// The text of a mail.
#[derive(Debug, Default)]
pub(crate) struct Body {
    /// Plain text; never empty.
    pub(crate) text: String,
    /// The HTML as the rules want it.
    pub(crate) html: Option<String>,
    /// The HTML as it came, cut: what `cid:` references are looked up in.
    pub(crate) original: Option<String>,
    /// In which charset each part was read.
    pub(crate) charsets: Vec<CharsetVerdict>,
}

/// Takes the body out of the leaves.
pub(crate) fn choose(parts: &[Part<'_>], rules: &Rules, depth: Depth, defects: &mut Vec<Defect>) -> Body {
    let mut reader = Reader::new(rules, defects);
    let Found { plain, pages, separate } = reader.bodies(parts);
    let shown_as_text = if plain.trim().is_empty() { pages.as_slice() } else { &[] };
    let made: Vec<String> = shown_as_text.iter().chain(&separate).map(|page| reader.plain(page)).collect();
    let texts = std::iter::once(plain.as_str()).chain(made.iter().map(String::as_str));
    let mut text = texts.map(tidy).filter(|text| !text.is_empty()).collect::<Vec<_>>().join("\n\n");
    if text.is_empty() {
        text = tidy(&reader.spare(parts));
    }
    reader.cut(&mut text);
    let charsets = std::mem::take(&mut reader.charsets);
    let html = Some(&pages).filter(|_| depth == Depth::Full).and_then(|pages| shown(pages, rules, defects));
    let text = if text.is_empty() { rules.parse.empty_body_text.clone() } else { text };
    Body { text, html, original: (!pages.is_empty()).then(|| pages.join("\n")), charsets }
}

/// The texts of a mail.
struct Found {
    plain: String,
    /// The pages of HTML.
    pages: Vec<String>,
    /// HTML that is shown on no page, but as text.
    separate: Vec<String>,
}

/// Reads parts, at most `body_chars` of each kind of text.
struct Reader<'r> {
    rules: &'r Rules,
    defects: &'r mut Vec<Defect>,
    charsets: Vec<CharsetVerdict>,
    max: usize,
}

impl<'r> Reader<'r> {
    fn new(rules: &'r Rules, defects: &'r mut Vec<Defect>) -> Self {
        let max = usize::try_from(rules.limits.body_chars).unwrap_or(usize::MAX);
        Self { rules, defects, charsets: Vec::new(), max }
    }

    /// What stands in HTML behind an encrypted part is not shown on the page of what stands before it, where an open tag could
    /// take the secret in (EFAIL).
    fn bodies(&mut self, parts: &[Part<'_>]) -> Found {
        let (mut plain, mut page) = (Room::new(self.max), Room::new(self.max));
        let mut pages: Vec<String> = Vec::new();
        let (mut sealed, mut separate) = (false, Vec::new());
        for part in parts {
            sealed |= is_encrypted(part) && !pages.is_empty();
            if !part.is_body() {
                continue;
            }
            // A multipart whose parts could not be found is no text as long as there is any.
            if part.media.starts_with("multipart/") {
                self.defects.push(Defect::new("multipart-unseparated", &part.media));
                continue;
            }
            let html = part.media == "text/html";
            let room = if html { &mut page } else { &mut plain };
            let Some(text) = self.within(part, room) else { continue };
            let armoured = memmem::find(text.as_bytes(), ARMOUR).is_some();
            if !html {
                add(&mut plain.text, text);
            } else if sealed {
                separate.push(text);
            } else if let Some(last) = pages.get_mut(MAX_PAGES - 1) {
                add(last, text);
            } else {
                pages.push(text);
            }
            sealed |= armoured && !pages.is_empty();
        }
        if !separate.is_empty() {
            self.defects.push(Defect::new("html-apart", separate.len().to_string()));
        }
        Found { plain: plain.text, pages, separate }
    }

    /// Text for a mail without a body: a text with a name or of another kind, else what could not be separated, else what a
    /// program says of another mail.
    fn spare(&mut self, parts: &[Part<'_>]) -> String {
        let named = |part: &&Part<'_>| SPARE.contains(&part.media.as_str()) && part.disposition != "attachment";
        let loose = |part: &&Part<'_>| part.media.starts_with("multipart/");
        let mut room = Room::new(self.max);
        let report = |part: &&Part<'_>| REPORTS.contains(&part.media.as_str());
        let in_turn = parts.iter().filter(named).chain(parts.iter().filter(loose)).chain(parts.iter().filter(report));
        for part in in_turn {
            let text = self.within(part, &mut room).unwrap_or_default();
            let text = match part.media.as_str() {
                "text/html" => self.plain(&text),
                "text/enriched" | "text/richtext" => enriched::to_text(&text),
                _ => text,
            };
            if !text.trim().is_empty() {
                return text;
            }
        }
        String::new()
    }

    fn plain(&self, page: &str) -> String {
        let text = plain::to_text(page, self.max);
        within(&text, self.max).to_owned()
    }

    /// Cuts what was put together to `body_chars`.
    fn cut(&mut self, text: &mut String) {
        let kept = within(text, self.max).len();
        if kept < text.len() {
            text.truncate(kept);
            self.defects.push(Defect::new("body-cut", self.max.to_string()));
        }
    }

    /// The text of a part as far as there is room; `None` when there is none left.
    fn within(&mut self, part: &Part<'_>, room: &mut Room) -> Option<String> {
        if room.full {
            return None;
        }
        let mislabelled = part.encoding == Encoding::Base64 && !transfer::may_be_base64(&part.bytes);
        if mislabelled {
            self.defects.push(Defect::new("base64-false", ""));
        }
        let bytes = if mislabelled { Cow::Borrowed(part.bytes.as_ref()) } else { part.decoded() };
        let head = beginning(&bytes, self.max);
        let html = part.media == "text/html";
        let decoded = charset::decode(head, &part.charset, html, &self.rules.parse.default_charset);
        self.judge(part, &decoded);
        let text = match part.flow.filter(|_| part.media == "text/plain") {
            Some(flow) => flowed::join(&decoded.text, flow).into(),
            None => decoded.text,
        };
        let fitting = within(&text, room.chars);
        if fitting.len() < text.len() || head.len() < bytes.len() {
            self.defects.push(Defect::new("body-cut", self.max.to_string()));
            room.full = true;
        }
        room.chars = room.chars.saturating_sub(fitting.chars().count()).saturating_sub(1);
        Some(fitting.replace('\0', ""))
    }

    /// Keeps how the charset was found, and what is odd about it.
    fn judge(&mut self, part: &Part<'_>, decoded: &Decoded<'_>) {
        self.charsets.push(CharsetVerdict { charset: decoded.charset.to_owned(), step: decoded.step.to_owned() });
        if decoded.declared_in_vain {
            let label: String =
                part.charset.chars().filter(|c| c.is_ascii_alphanumeric() || "-_.".contains(*c)).take(40).collect();
            self.defects.push(Defect::new("charset", label));
        }
        if decoded.doubtful {
            self.defects.push(Defect::new("charset-doubtful", decoded.charset));
        }
        let lost = decoded.lost();
        if lost > 0 {
            self.defects.push(Defect::new("letters-lost", lost.to_string()));
        }
    }
}

/// A text and how much may still be added to it.
struct Room {
    text: String,
    chars: usize,
    full: bool,
}

impl Room {
    const fn new(chars: usize) -> Self {
        Self { text: String::new(), chars, full: false }
    }
}

/// Adds a text below another.
fn add(all: &mut String, text: String) {
    if all.is_empty() {
        *all = text;
        return;
    }
    if !all.ends_with('\n') {
        all.push('\n');
    }
    all.push_str(&text);
}

/// Whether nobody here can read it: S/MIME (RFC 8551), whose signed form hides its text as well, and PGP/MIME (RFC 3156).
fn is_encrypted(part: &Part<'_>) -> bool {
    let kinds =
        ["application/pgp-encrypted", "application/pkcs7-mime", "application/x-pkcs7-mime", "multipart/encrypted"];
    kinds.contains(&part.media.as_str())
}

/// The HTML as the rules want it. What is too much for the sanitiser or the API is left out: its text is there.
fn shown(pages: &[String], rules: &Rules, defects: &mut Vec<Defect>) -> Option<String> {
    let html = match rules.parse.html {
        Html::TextOnly => return None,
        Html::AsIs => pages.join("\n"),
        // Each page is closed for itself, so that none holds the next.
        Html::Sanitize => pages.iter().map(|page| harmless(page, defects)).collect::<Option<Vec<_>>>()?.join("\n"),
    };
    let max = usize::try_from(rules.limits.body_chars).unwrap_or(usize::MAX);
    if html.len() > max && html.chars().nth(max).is_some() {
        defects.push(Defect::new("html-length", html.len().to_string()));
        return None;
    }
    Some(html).filter(|html| !html.trim().is_empty())
}

/// A page with nothing active in it.
fn harmless(original: &str, defects: &mut Vec<Defect>) -> Option<String> {
    html::sanitize(original).map_err(|defect| defects.push(defect)).ok()
}

/// As many bytes as `max` characters can have, cut between letters of UTF-8: what is beyond would be decoded for nothing.
fn beginning(bytes: &[u8], max: usize) -> &[u8] {
    let end = max.saturating_mul(4);
    let Some(inside) = bytes.get(..end).filter(|inside| inside.len() < bytes.len()) else {
        return bytes;
    };
    let tail = inside.iter().rev().take(3).take_while(|byte| **byte & 0xc0 == 0x80).count();
    inside.get(..inside.len().saturating_sub(tail).saturating_sub(1)).unwrap_or_default()
}

/// The first `max` characters.
fn within(text: &str, max: usize) -> &str {
    match text.char_indices().nth(max) {
        Some((end, _)) => text.get(..end).unwrap_or(text),
        None => text,
    }
}

/// Line ends as LF, nothing but text at the end.
fn tidy(text: &str) -> String {
    let lines = if text.contains('\r') { header::with_lf(text).into() } else { Cow::Borrowed(text) };
    lines.trim_end().trim_start_matches(['\n', '\u{feff}']).to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Limits;

    #[track_caller]
    fn check(parts: &[(&str, &str)], expected: (&str, Option<&str>)) {
        let parts: Vec<Part<'_>> = parts
            .iter()
            .map(|(media, text)| Part { media: (*media).to_owned(), bytes: text.as_bytes().into(), ..Part::default() })
            .collect();
        let body = choose(&parts, &Rules::default(), Depth::Full, &mut Vec::new());
        assert_eq!((body.text.as_str(), body.html.as_deref()), expected);
    }

    #[test]
    fn text_and_html_are_kept_and_made_from_each_other() {
        check(&[("text/plain", "a\r\nb\r\n")], ("a\nb", None));
        check(&[("text/plain", "a"), ("text/plain", "b")], ("a\nb", None));
        check(&[("text/plain", "a"), ("text/html", "<b>c</b>")], ("a", Some("<b>c</b>")));
        check(&[("text/html", "<p>c</p>")], ("c", Some("<p>c</p>")));
        check(&[("image/png", "x")], ("(no text)", None));
        check(&[], ("(no text)", None));
    }

    #[test]
    fn an_empty_plain_text_gives_way_to_the_html() {
        check(&[("text/plain", " \r\n"), ("text/html", "<p>c</p>")], ("c", Some("<p>c</p>")));
        check(&[("text/plain", "a"), ("text/html", " ")], ("a", None));
        check(&[("text/html", "<p>a"), ("text/html", "<p>b")], ("a\n\nb", Some("<p>a</p>\n<p>b</p>")));
    }

    #[test]
    fn html_behind_an_encrypted_part_is_text() {
        let open = ("text/html", "<img src=\"http://x.example/");
        let shown = ("text/html", "<p>before</p>");
        for sealed in ["application/pgp-encrypted", "application/pkcs7-mime"] {
            check(&[shown, (sealed, "x"), ("text/html", "<p>after</p>")], ("before\n\nafter", Some("<p>before</p>")));
            check(&[open, (sealed, "x"), ("text/html", "\">after")], ("\">after", None));
            check(&[(sealed, "x"), ("text/html", "<p>after</p>")], ("after", Some("<p>after</p>")));
        }
        let armour = ("text/plain", "-----BEGIN PGP MESSAGE-----\nx");
        let expected = "-----BEGIN PGP MESSAGE-----\nx\n\nafter";
        check(&[shown, armour, ("text/html", "after")], (expected, Some("<p>before</p>")));
    }

    #[test]
    fn a_mail_without_a_body_shows_what_comes_next_to_one() {
        check(&[("text/enriched", "<bold>a</bold>")], ("a", None));
        check(&[("text/markdown", "# a")], ("# a", None));
        check(&[("text/x-amp-html", "<p>a"), ("text/calendar", "b")], ("(no text)", None));
        check(&[("multipart/mixed", "a")], ("a", None));
        check(&[("message/delivery-status", "Action: failed")], ("Action: failed", None));
        check(&[("text/plain", "b"), ("multipart/mixed", "a")], ("b", None));
        let named = Part { name: "a.txt".into(), bytes: b"x".into(), media: "text/plain".into(), ..Part::default() };
        let body = choose(&[named], &Rules::default(), Depth::Full, &mut Vec::new());
        assert_eq!(body.text, "x");
    }

    #[test]
    fn a_plain_text_that_is_said_to_be_base64_is_read() {
        let text = "Hello Ann, we meet at ten.";
        let encoding = Encoding::Base64;
        let part = Part { media: "text/plain".into(), bytes: text.as_bytes().into(), encoding, ..Part::default() };
        let mut defects = Vec::new();
        assert_eq!(choose(&[part], &Rules::default(), Depth::Full, &mut defects).text, text);
        assert_eq!(defects, [Defect::new("base64-false", "")]);
    }

    #[test]
    fn the_charset_of_each_part_is_kept() {
        let parts = [("us-ascii", "text/plain", b"\xe4".as_slice()), ("utf-8", "text/html", "ä".as_bytes())];
        let parts = parts.map(|(charset, media, bytes)| Part {
            media: media.to_owned(),
            charset: charset.to_owned(),
            bytes: bytes.into(),
            ..Part::default()
        });
        let mut defects = Vec::new();
        let body = choose(&parts, &Rules::default(), Depth::Full, &mut defects);
        let verdict = |charset: &str, step: &str| CharsetVerdict { charset: charset.into(), step: step.into() };
        assert_eq!(body.charsets, [verdict("windows-1252", "default"), verdict("utf-8", "declared")]);
        assert_eq!(defects, [Defect::new("charset", "us-ascii")]);
    }

    #[test]
    fn pages_that_become_one_text_keep_its_bound() {
        let rules = Rules { limits: Limits { body_chars: 6, ..Limits::default() }, ..Rules::default() };
        let page =
            |text: &'static str| Part { media: "text/html".into(), bytes: text.as_bytes().into(), ..Part::default() };
        let mut defects = Vec::new();
        let body = choose(&[page("abc"), page("d")], &rules, Depth::Full, &mut defects);
        assert_eq!((body.text.as_str(), defects), ("abc\n\nd", Vec::new()));
        let mut defects = Vec::new();
        let body = choose(&[page("abcd"), page("e")], &rules, Depth::Full, &mut defects);
        assert_eq!((body.text.as_str(), defects), ("abcd\n\n", vec![Defect::new("body-cut", "6")]));
    }

    #[test]
    fn html_that_is_too_much_leaves_its_text() {
        let html = "<b>".repeat(100_001) + "x";
        check(&[("text/html", &html)], ("x", None));
    }

    #[test]
    fn a_long_text_is_cut_and_told() {
        let rules = Rules { limits: Limits { body_chars: 3, ..Limits::default() }, ..Rules::default() };
        let part = Part { media: "text/plain".to_owned(), bytes: "ääää".as_bytes().into(), ..Part::default() };
        let mut defects = Vec::new();
        assert_eq!(choose(&[part], &rules, Depth::Full, &mut defects).text, "äää");
        assert_eq!(defects, [Defect::new("body-cut", "3")]);
    }
}
