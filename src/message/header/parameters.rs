//! A header value with parameters (RFC 2045 §5.1), its long and foreign ones put together again (RFC 2231 §3, §4), in the
//! lenient reading that real mail needs: blanks without quotes, encoded words inside them, missing semicolons and quotes.

use crate::message::header::{Headers, unfold};
use crate::message::mime::transfer;
use crate::message::text::charset;

/// A value with parameters.
#[derive(Debug, Default)]
pub(crate) struct Parameters {
    /// The value in lower case, without comments; `type/subtype` for a content type.
    pub(crate) value: String,
    pieces: Vec<Piece>,
}

/// A parameter, or one section of it.
#[derive(Debug)]
struct Piece {
    /// Lower case, without what stands behind a `*`.
    name: String,
    /// Which section it is; `None` for a plain parameter.
    section: Option<u32>,
    /// Whether it holds `%41`.
    encoded: bool,
    text: String,
}

impl Parameters {
    /// Reads the first field of that name.
    pub(crate) fn of(headers: &Headers<'_>, name: &str) -> Self {
        headers.first(name).map(|field| Self::read(&unfold(field.value))).unwrap_or_default()
    }

    fn read(line: &str) -> Self {
        let mut items = items(line).into_iter();
        let head = items.next().unwrap_or_default();
        let head = head.split_once('(').map_or(head, |(head, _)| head);
        // `text/html charset=utf-8`: the semicolon is missing.
        let (value, first) = match head.find('=').and_then(|at| head.get(..at)?.trim_end().rfind(char::is_whitespace)) {
            Some(at) => head.split_at_checked(at).unwrap_or((head, "")),
            None => (head, ""),
        };
        let pieces = [first].into_iter().chain(items).filter_map(Piece::read).collect();
        Self { value: value.trim().to_ascii_lowercase(), pieces }
    }

    /// A parameter, by its name in lower case; empty when there is none. The form with a `*` wins.
    pub(crate) fn get(&self, name: &str) -> String {
        let named = || self.pieces.iter().filter(|piece| piece.name == name);
        let mut sections: Vec<_> = named().filter(|piece| piece.section.is_some()).collect();
        sections.sort_by_key(|piece| piece.section);
        sections.dedup_by_key(|piece| piece.section);
        let text = if sections.is_empty() { named().next().map(Piece::alone) } else { joined(&sections) };
        text.unwrap_or_default().trim().to_owned()
    }
}

impl Piece {
    fn read(item: &str) -> Option<Self> {
        let (name, text) = item.split_once('=')?;
        let name = name.trim().to_ascii_lowercase();
        let (name, section, encoded) = match name.split_once('*') {
            None => (name.as_str(), None, false),
            Some((name, "")) => (name, Some(0), true),
            Some((name, section)) => {
                let digits = section.trim_end_matches('*');
                (name, Some(digits.parse().ok()?), digits.len() < section.len())
            }
        };
        Some(Self { name: name.to_owned(), section, encoded, text: unquoted(text.trim()) })
    }

    /// The value of a plain parameter. Some programs forget the `*` and encode it all the same.
    fn alone(&self) -> String {
        let forgotten = labelled(&self.text).filter(|(_, rest)| rest.contains('%'));
        let decoded = forgotten.and_then(|(label, rest)| {
            let bytes = transfer::percent(rest);
            charset::declared_text(&bytes, label).map(std::borrow::Cow::into_owned)
        });
        decoded.unwrap_or_else(|| self.text.clone())
    }
}

/// The text of all sections; the charset stands in the first.
fn joined(sections: &[&Piece]) -> Option<String> {
    let mut charset = "";
    let mut bytes = Vec::new();
    for (place, piece) in sections.iter().enumerate() {
        let mut text = piece.text.as_str();
        if let Some((label, rest)) = labelled(text).filter(|_| piece.encoded && place == 0) {
            (charset, text) = (label, rest);
        }
        if piece.encoded { bytes.extend(transfer::percent(text)) } else { bytes.extend(text.as_bytes()) }
    }
    Some(charset::declared_text(&bytes, charset).unwrap_or_else(|| charset::guess(&bytes)).into_owned())
}

/// `charset'language'text` as charset and text.
fn labelled(text: &str) -> Option<(&str, &str)> {
    let (label, rest) = text.split_once('\'')?;
    Some((label, rest.split_once('\'')?.1))
}

/// What stands between semicolons, those inside quotes apart.
fn items(line: &str) -> Vec<&str> {
    let (mut quoted, mut escaped) = (false, false);
    line.split(|c: char| {
        let separates = c == ';' && !quoted;
        if c == '"' && !escaped {
            quoted = !quoted;
        }
        escaped = c == '\\' && quoted && !escaped;
        separates
    })
    .collect()
}

/// A value without its quotes (RFC 5322 §3.2.4), or without the comment behind it.
fn unquoted(text: &str) -> String {
    let Some(inside) = text.strip_prefix('"') else {
        let comment = text.find(" (").filter(|_| text.ends_with(')'));
        return comment.and_then(|at| text.get(..at)).unwrap_or(text).to_owned();
    };
    // Without its end, a quote goes no further than a parameter may.
    let open = inside.split(';').next().unwrap_or(inside);
    let inside = inside.rfind('"').and_then(|end| inside.get(..end)).unwrap_or(open);
    if is_windows_path(inside) {
        return inside.to_owned();
    }
    let mut escaped = false;
    let keep = |c: &char| {
        escaped = *c == '\\' && !escaped;
        !escaped
    };
    inside.chars().filter(keep).collect()
}

/// `C:\dir\file` as Windows writes it, where each backslash should have been two.
fn is_windows_path(text: &str) -> bool {
    match text.as_bytes() {
        [drive, b':', b'\\', next, ..] => drive.is_ascii_alphabetic() && !matches!(next, b'\\' | b'"'),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(line: &str, value: &str, name: &str, expected: &str) {
        let found = Parameters::read(line);
        assert_eq!((found.value.as_str(), found.get(name).as_str()), (value, expected), "{found:?}");
    }

    #[test]
    fn plain_and_quoted_values_are_read() {
        check("Text/Plain; Charset=utf-8", "text/plain", "charset", "utf-8");
        check("a/b;name=\"x;\\\"y\\\\ z\" ; c=d", "a/b", "name", "x;\"y\\ z");
        check("a/b;name=\"x;\\\"y\\\\ z\" ; c=d", "a/b", "c", "d");
        check("a/b (what; ever)", "a/b", "name", "");
        check("a/b; charset=us-ascii (plain text)", "a/b", "charset", "us-ascii");
        check("", "", "name", "");
    }

    #[test]
    fn careless_values_are_read() {
        check("attachment; filename=my file (1).pdf", "attachment", "filename", "my file (1).pdf");
        check("attachment; filename=\"open.pdf", "attachment", "filename", "open.pdf");
        check("attachment; filename=\"open.pdf; size=3", "attachment", "filename", "open.pdf");
        check("a; filename=\"C:\\temp\\a b.png\"", "a", "filename", "C:\\temp\\a b.png");
        check("a; filename=\"C:\\\\temp\\\\a.png\"", "a", "filename", "C:\\temp\\a.png");
        check("text/html charset=utf-8", "text/html", "charset", "utf-8");
        check("text/html;;charset = utf-8;", "text/html", "charset", "utf-8");
        check("a/b; name=\"=?utf-8?q?x?= =?utf-8?q?y?=\"", "a/b", "name", "=?utf-8?q?x?= =?utf-8?q?y?=");
    }

    #[test]
    fn long_and_foreign_values_are_put_together() {
        let name = "filename";
        check("a; filename=b; filename*=utf-8'en'%c3%a4%20b", "a", name, "ä b");
        check("a; filename*1=\"c d\"; filename*0=\"a b\"", "a", name, "a bc d");
        check("a; filename*0*=iso-8859-1''%e4; filename*1*=%f6; filename*2=x%41", "a", name, "äöx%41");
        check("a; filename*0*=utf-8''%c3; filename*1*=%a4", "a", name, "ä");
        check("a; filename*=%41'", "a", name, "A'");
        check("a; filename=utf-8''na%C3%AFve.txt", "a", name, "naïve.txt");
        check("a; filename=\"it's 5'6 100%.txt\"", "a", name, "it's 5'6 100%.txt");
        check("a; filename*0*=utf-8''a%20; filename*2=c; filename*3=d", "a", name, "a cd");
        check("a; filename*1=b; filename*2=c", "a", name, "bc");
        check("a; filename*=no-such-charset''%e4", "a", name, "ä");
        check("a; filename*x=b; filename=c", "a", name, "c");
    }
}
