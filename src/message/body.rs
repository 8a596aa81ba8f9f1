//! Which leaves are the text of the mail: parts of a mixed multipart are joined, of an alternative each kind is kept, related
//! parts belong to their HTML. Both kinds are kept; what is missing is made from the other.

use std::borrow::Cow;

use crate::config::parse::Html;
use crate::message::charset;
use crate::message::flowed;
use crate::message::header;
use crate::message::html;
use crate::message::model::{Defect, Depth, Rules};
use crate::message::part::Part;

/// The text of a mail.
#[derive(Debug, Default)]
pub(crate) struct Body {
    /// Plain text; never empty.
    pub(crate) text: String,
    /// The HTML as the rules want it.
    pub(crate) html: Option<String>,
    /// The HTML as it came, cut: what `cid:` references are looked up in.
    pub(crate) original: Option<String>,
}

/// Takes the body out of the leaves.
pub(crate) fn choose(parts: &[Part<'_>], rules: &Rules, depth: Depth, defects: &mut Vec<Defect>) -> Body {
    let is_html = |part: &&Part<'_>| part.media == "text/html";
    let bodies = || parts.iter().filter(|part| part.is_body());
    let plain = joined(bodies().filter(|part| !is_html(part)), rules, defects);
    let original = joined(bodies().filter(is_html), rules, defects);
    let text = match (&plain, &original) {
        (Some(plain), _) if !plain.trim().is_empty() => tidy(plain),
        (_, Some(original)) => tidy(&html::to_text(original)),
        _ => String::new(),
    };
    let html =
        original.as_deref().filter(|_| depth == Depth::Full).and_then(|original| shown(original, rules, defects));
    let text = if text.is_empty() { rules.parse.empty_body_text.clone() } else { text };
    Body { text, html, original }
}

/// The HTML as the rules want it. What is too much for the sanitiser or the API is left out: its text is there.
fn shown(original: &str, rules: &Rules, defects: &mut Vec<Defect>) -> Option<String> {
    let html = match rules.parse.html {
        Html::TextOnly => return None,
        Html::AsIs => original.to_owned(),
        Html::Sanitize => match html::sanitize(original) {
            Ok(copy) => copy,
            Err(defect) => {
                defects.push(defect);
                return None;
            }
        },
    };
    let max = usize::try_from(rules.limits.body_chars).unwrap_or(usize::MAX);
    if html.len() > max && html.chars().nth(max).is_some() {
        defects.push(Defect::new("html-length", html.len().to_string()));
        return None;
    }
    Some(html).filter(|html| !html.trim().is_empty())
}

/// The decoded parts, one below the other, at most `body_chars`; `None` when there are none.
fn joined<'p>(parts: impl Iterator<Item = &'p Part<'p>>, rules: &Rules, defects: &mut Vec<Defect>) -> Option<String> {
    let max = usize::try_from(rules.limits.body_chars).unwrap_or(usize::MAX);
    let mut all: Option<String> = None;
    let mut room = max;
    for part in parts {
        let bytes = part.decoded();
        let shown = beginning(&bytes, max);
        let decoded = charset::decode(shown, &part.charset, part.media == "text/html", &rules.parse.default_charset);
        if decoded.declared_in_vain {
            let label: String =
                part.charset.chars().filter(|c| c.is_ascii_alphanumeric() || "-_.".contains(*c)).take(40).collect();
            defects.push(Defect::new("charset", label));
        }
        let all = all.get_or_insert_default();
        if !all.is_empty() && !all.ends_with('\n') && room > 0 {
            all.push('\n');
            room = room.saturating_sub(1);
        }
        let text = match part.flow.filter(|_| part.media == "text/plain") {
            Some(flow) => flowed::join(&decoded.text, flow).into(),
            None => decoded.text,
        };
        let fitting = within(&text, room);
        all.push_str(fitting);
        if fitting.len() < text.len() || shown.len() < bytes.len() {
            defects.push(Defect::new("body-cut", max.to_string()));
            break;
        }
        room = room.saturating_sub(fitting.chars().count());
    }
    all.map(|text| if text.contains('\0') { text.replace('\0', "") } else { text })
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
