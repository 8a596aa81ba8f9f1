//! The header block of a mail (RFC 5322 §2.2), split by lines of our own with every bound kept: LF, CRLF and CR-only
//! lines, blank first lines, a leading mbox `From ` line, garbage between the fields.
//!
//! Never looks at the body and never fails: what cannot be read is left out, and a [`Defect`] says so.

use std::borrow::Cow;

use crate::config::Limits;
use crate::message::charset;
use crate::message::encoded_word;
use crate::message::model::Defect;

/// So many lines that are no field may stand between two fields.
const GARBAGE_LINES: usize = 10;

/// One field as it stands in the mail.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Field<'a> {
    /// The name, without the blanks that may stand before the colon.
    pub(crate) name: &'a [u8],
    /// The value, still folded and encoded.
    pub(crate) value: &'a [u8],
}

impl Field<'_> {
    /// Whether this is the field `name`, whatever the case.
    pub(crate) fn is(&self, name: &str) -> bool {
        self.name.eq_ignore_ascii_case(name.as_bytes())
    }
}

/// The fields of one header block.
#[derive(Debug, Default)]
pub(crate) struct Headers<'a> {
    /// In the order of the mail.
    pub(crate) fields: Vec<Field<'a>>,
    /// The block as it came, with the mbox line and without the empty line behind it, at most `header_bytes`.
    pub(crate) block: &'a [u8],
    /// Where the body begins.
    pub(crate) body: usize,
}

impl<'a> Headers<'a> {
    /// The first field of that name.
    pub(crate) fn first(&self, name: &str) -> Option<Field<'a>> {
        self.all(name).next()
    }

    /// All fields of that name, in the order of the mail.
    pub(crate) fn all<'s>(&'s self, name: &'s str) -> impl Iterator<Item = Field<'a>> + 's {
        self.fields.iter().copied().filter(move |field| field.is(name))
    }

    /// Whether there is a field of that name.
    pub(crate) fn has(&self, name: &str) -> bool {
        self.first(name).is_some()
    }

    /// The first field of that name, unfolded, its encoded words still encoded; empty when there is none.
    pub(crate) fn raw(&self, name: &str) -> String {
        self.first(name).map(|field| unfold(field.value)).unwrap_or_default()
    }

    /// The first field of that name, unfolded and decoded; empty when there is none.
    pub(crate) fn text(&self, name: &str) -> String {
        encoded_word::decode(&self.raw(name))
    }
}

/// Splits the header block off `raw`.
pub(crate) fn split<'a>(raw: &'a [u8], limits: &Limits, defects: &mut Vec<Defect>) -> Headers<'a> {
    let cr_only = !raw.get(..raw.len().min(1 << 16)).unwrap_or(raw).contains(&b'\n');
    let mut lines = Lines { raw, at: 0, cr_only };
    let (begin, start) = skip_preamble(&mut lines, defects);
    read(lines, begin, start, limits, defects)
}

/// Splits the header block off a part of a mail: nothing may stand before it, and an empty first line is its end.
pub(crate) fn split_part<'a>(section: &'a [u8], limits: &Limits) -> Headers<'a> {
    let lines = Lines { raw: section, at: 0, cr_only: false };
    read(lines, 0, 0, limits, &mut Vec::new())
}

/// Reads the block whose first field is at `start`.
fn read<'a>(
    mut lines: Lines<'a>,
    begin: usize,
    start: usize,
    limits: &Limits,
    defects: &mut Vec<Defect>,
) -> Headers<'a> {
    let mut headers = Headers { body: start, ..Headers::default() };
    if !lines.peek().is_some_and(is_field) {
        if lines.peek().is_some_and(|line| !line.is_empty()) {
            defects.push(Defect::new("no-header", ""));
            headers.body = 0;
        } else {
            lines.step();
            headers.body = lines.at;
        }
        return headers;
    }
    let mut block = Block::new(lines.raw, start, limits);
    let end = block.read(&mut lines, defects);
    headers.body = lines.at;
    headers.block = lines.raw.get(begin..end.min(start.saturating_add(block.max_bytes))).unwrap_or_default();
    headers.fields = block.fields;
    headers
}

/// The block as valid text, without NUL and without the end of its last line.
pub(crate) fn block_text(block: &[u8]) -> String {
    let text = charset::guess(block);
    let text = text.trim_end_matches(['\r', '\n']);
    if text.contains('\0') { with_lf(&text.replace('\0', "\u{fffd}")) } else { with_lf(text) }
}

/// The text with LF for CRLF and CR.
pub(crate) fn with_lf(text: &str) -> String {
    let mut lines = text.split('\r');
    let mut all = String::with_capacity(text.len());
    all.push_str(lines.next().unwrap_or_default());
    for line in lines {
        all.push('\n');
        all.push_str(line.strip_prefix('\n').unwrap_or(line));
    }
    all
}

/// A value as one line of valid text: folds become one blank, control characters too.
pub(crate) fn unfold(value: &[u8]) -> String {
    let text: Cow<'_, str> = charset::guess(value);
    if text.bytes().all(|byte| matches!(byte, b' '..=b'~')) {
        return text.trim().to_owned();
    }
    let mut line = String::with_capacity(text.len());
    let mut folding = false;
    for c in text.trim().chars() {
        match c {
            '\r' | '\n' => folding = true,
            ' ' | '\t' if folding => {}
            _ => {
                if folding {
                    line.push(' ');
                    folding = false;
                }
                line.push(if c.is_control() && c != '\u{1b}' { ' ' } else { c });
            }
        }
    }
    line
}

/// One line after the other, whatever ends them.
struct Lines<'a> {
    raw: &'a [u8],
    at: usize,
    cr_only: bool,
}

impl<'a> Lines<'a> {
    /// The line at hand without its end, and where the next begins; `None` at the end of the mail.
    fn look(&self) -> Option<(&'a [u8], usize)> {
        let rest = self.raw.get(self.at..).filter(|rest| !rest.is_empty())?;
        let end = if self.cr_only { b'\r' } else { b'\n' };
        let length = rest.iter().position(|byte| *byte == end);
        let line = rest.get(..length.unwrap_or(rest.len())).unwrap_or_default();
        let next = self.at.saturating_add(line.len()).saturating_add(usize::from(length.is_some()));
        Some((line.strip_suffix(b"\r").unwrap_or(line), next))
    }

    fn peek(&self) -> Option<&'a [u8]> {
        self.look().map(|(line, _)| line)
    }

    fn step(&mut self) -> Option<&'a [u8]> {
        let (line, next) = self.look()?;
        self.at = next;
        Some(line)
    }
}

/// Passes blank lines and an mbox line; gives where the mbox line and where the fields begin.
fn skip_preamble(lines: &mut Lines<'_>, defects: &mut Vec<Defect>) -> (usize, usize) {
    let begin = lines.at;
    while lines.peek().is_some_and(|line| line.iter().all(u8::is_ascii_whitespace)) {
        lines.step();
    }
    if lines.peek().is_some_and(|line| line.starts_with(b"From ") || line.starts_with(b">From ")) {
        defects.push(Defect::new("mbox-line", ""));
        let line = lines.at;
        lines.step();
        return (line, lines.at);
    }
    if lines.at > begin {
        if lines.peek().is_some_and(is_field) {
            defects.push(Defect::new("blank-first-line", ""));
        } else {
            lines.at = begin;
        }
    }
    (lines.at, lines.at)
}

/// Collects the fields of a block within the bounds.
struct Block<'a> {
    raw: &'a [u8],
    start: usize,
    max_bytes: usize,
    max_line: usize,
    max_fields: usize,
    fields: Vec<Field<'a>>,
}

impl<'a> Block<'a> {
    fn new(raw: &'a [u8], start: usize, limits: &Limits) -> Self {
        Self {
            raw,
            start,
            max_bytes: usize::try_from(limits.header_bytes.0).unwrap_or(usize::MAX),
            max_line: usize::try_from(limits.header_line.0).unwrap_or(usize::MAX),
            max_fields: usize::try_from(limits.header_count).unwrap_or(usize::MAX),
            fields: Vec::with_capacity(32),
        }
    }

    /// Reads to the empty line; gives where the block ends. `lines` stands at the body then.
    fn read(&mut self, lines: &mut Lines<'a>, defects: &mut Vec<Defect>) -> usize {
        let mut cut = Cut::default();
        loop {
            let begin = lines.at;
            let Some(line) = lines.step() else {
                break cut.report(defects, begin);
            };
            if line.is_empty() {
                break cut.report(defects, begin);
            }
            if !is_field(line) {
                cut.garbage = true;
                if !is_continuation(line) && !field_follows(lines) {
                    lines.at = begin;
                    break cut.report(defects, begin);
                }
                continue;
            }
            let mut end = begin.saturating_add(line.len());
            while let Some(next) = lines.peek().filter(|next| is_continuation(next)) {
                end = lines.at.saturating_add(next.len());
                lines.step();
            }
            self.push(begin, end, &mut cut);
        }
    }

    fn push(&mut self, begin: usize, end: usize, cut: &mut Cut) {
        if self.fields.len() >= self.max_fields {
            cut.count = true;
            return;
        }
        if end.saturating_sub(self.start) > self.max_bytes {
            cut.bytes = true;
            return;
        }
        let field = self.raw.get(begin..end).unwrap_or_default();
        let colon = field.iter().position(|byte| *byte == b':').unwrap_or(0);
        let name = field.get(..colon).unwrap_or_default().trim_ascii();
        let mut value = field.get(colon.saturating_add(1)..).unwrap_or_default();
        if value.len() > self.max_line {
            cut.line = true;
            value = value.get(..self.max_line).unwrap_or_default();
        }
        self.fields.push(Field { name, value });
    }
}

/// Whether one of the next lines begins a field: what stands before it is garbage and not yet the body.
fn field_follows(lines: &Lines<'_>) -> bool {
    let mut ahead = Lines { ..*lines };
    let next = std::iter::from_fn(|| ahead.step()).take(GARBAGE_LINES);
    next.take_while(|line| !line.is_empty()).any(is_field)
}

/// What the bounds have cost.
#[derive(Default)]
struct Cut {
    count: bool,
    bytes: bool,
    line: bool,
    garbage: bool,
}

impl Cut {
    fn report(&self, defects: &mut Vec<Defect>, end: usize) -> usize {
        let seen = [
            (self.count, "header-count"),
            (self.bytes, "header-bytes"),
            (self.line, "header-line"),
            (self.garbage, "header-garbage"),
        ];
        defects.extend(seen.iter().filter(|(seen, _)| *seen).map(|(_, code)| Defect::new(code, "")));
        end
    }
}

fn is_continuation(line: &[u8]) -> bool {
    matches!(line.first(), Some(b' ' | b'\t'))
}

/// Whether a line begins a field: a name of printable characters, perhaps blanks, a colon (RFC 5322 §2.2, §4.5).
fn is_field(line: &[u8]) -> bool {
    let Some(colon) = line.iter().position(|byte| *byte == b':') else {
        return false;
    };
    let name = line.get(..colon).unwrap_or_default().trim_ascii_end();
    !name.is_empty() && name.iter().all(|byte| byte.is_ascii_graphic() || *byte >= 0x80)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(raw: &[u8], names: &[&str], body: &[u8]) {
        let mut defects = Vec::new();
        let headers = split(raw, &Limits::default(), &mut defects);
        let found: Vec<_> = headers.fields.iter().map(|f| String::from_utf8_lossy(f.name).into_owned()).collect();
        assert_eq!(found, names, "{defects:?}");
        assert_eq!(&raw[headers.body..], body);
    }

    #[test]
    fn a_block_ends_at_the_empty_line_whatever_ends_the_lines() {
        check(b"A: 1\r\nB: 2\r\n x\r\n\r\nbody", &["A", "B"], b"body");
        check(b"A: 1\nB: 2\n\nbody", &["A", "B"], b"body");
        check(b"A: 1\rB: 2\r\rbody", &["A", "B"], b"body");
        check(b" \r\n\r\nA : 1\r\n\r\nbody", &["A"], b"body");
        check(b"From x Mon\nA: 1\n\nbody", &["A"], b"body");
        check(b"A: 1\n", &["A"], b"");
        check(b"", &[], b"");
    }

    #[test]
    fn garbage_between_fields_is_passed_and_text_behind_them_is_body() {
        check(b"A: 1\ngarbage\nB: 2\n\nbody", &["A", "B"], b"body");
        check(b"A: 1\nno empty line\nhere\n", &["A"], b"no empty line\nhere\n");
        check(b"only text\nhere", &[], b"only text\nhere");
        check(b"\nonly text", &[], b"only text");
    }

    #[test]
    fn bounds_are_kept_and_told() {
        let limits = Limits { header_count: 1, ..Limits::default() };
        let mut defects = Vec::new();
        let headers = split(b"A: 1\nB: 2\n\nbody", &limits, &mut defects);
        assert_eq!((headers.fields.len(), headers.body), (1, 11));
        assert_eq!(defects, [Defect::new("header-count", "")]);
    }

    #[test]
    fn folds_become_one_blank() {
        assert_eq!(unfold(b" a\r\n\t b\n c \r\n"), "a b c");
        assert_eq!(unfold(b"gr\xfc\xdfe\x00x"), "grüße x");
    }
}
