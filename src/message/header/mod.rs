//! The header block of a mail (RFC 5322 §2.2), split by lines of our own with every bound kept: LF, CRLF and CR-only
//! lines also in one mail, blank first lines, mbox `From ` lines, garbage in front of and between the fields, lines that
//! have lost the blank they were folded with. Of a field that may stand once (RFC 5322 §3.6) the first that says anything
//! wins.
//!
//! Never looks at the body and never fails: what cannot be read is left out, and a [`Defect`] says so.

pub(crate) mod address;
pub(crate) mod date;
pub(crate) mod encoded_word;
pub(crate) mod parameters;
pub(crate) mod shown;
pub(crate) mod thread;
pub(crate) mod trick;

use std::borrow::Cow;

use encoding_rs::{Encoding, UTF_8};
use memchr::{memchr, memchr2, memrchr};

use crate::config::Limits;
use crate::message::header::parameters::Parameters;
use crate::message::model::Defect;
use crate::message::text::charset;

/// So many lines that are no field may stand between two fields.
const GARBAGE_LINES: usize = 10;

/// So many lines that are no field may stand before the first one.
const LOST_LINES: usize = 3;

/// The line ends of so many bytes tell how the lines of a mail end.
const LINE_END_WINDOW: usize = 1 << 16;

/// Fields that a mail has at most once (RFC 5322 §3.6, RFC 2045 §3).
const SINGLE: &[&str] = &[
    "Date",
    "From",
    "Sender",
    "Reply-To",
    "To",
    "Cc",
    "Bcc",
    "Message-ID",
    "In-Reply-To",
    "References",
    "Subject",
    "MIME-Version",
    "Content-Type",
    "Content-Transfer-Encoding",
];

/// Fields that nearly every mail has: two of them in a row are a header block.
const COMMON: &[&str] = &["Received", "Return-Path", "Delivered-To", "DKIM-Signature", "X-Mailer"];

/// Fields whose syntax tells that a line is not their last one.
const STRUCTURED: &[&str] =
    &["Content-Type", "Content-Disposition", "From", "Reply-To", "To", "Cc", "Bcc", "In-Reply-To", "References"];

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

    /// The first field of that name that says anything, unfolded, its encoded words still encoded; empty when there is
    /// none.
    pub(crate) fn raw(&self, name: &str) -> String {
        self.all(name).map(|field| self.line(field)).find(|line| !line.is_empty()).unwrap_or_default()
    }

    /// The same, decoded.
    pub(crate) fn text(&self, name: &str) -> String {
        encoded_word::decode(&self.raw(name))
    }

    /// A value as one line of text. Bytes that are no UTF-8 (RFC 6532) are read in the charset that the mail declares for
    /// its text: the program that wrote them knew no other.
    pub(crate) fn line(&self, field: Field<'_>) -> String {
        if std::str::from_utf8(field.value).is_ok() {
            return unfold(field.value);
        }
        let label = Parameters::of(self, "Content-Type").get("charset");
        let is_utf8 = Encoding::for_label(label.as_bytes()).is_none_or(|encoding| encoding == UTF_8);
        match charset::declared_text(field.value, &label).filter(|_| !is_utf8) {
            Some(text) => one_line(&text),
            None => unfold(field.value),
        }
    }

    /// Tells the fields that stand there more often than they may.
    pub(crate) fn tell_doubles(&self, defects: &mut Vec<Defect>) {
        let doubles = SINGLE.iter().filter(|name| self.all(name).nth(1).is_some());
        defects.extend(doubles.map(|name| Defect::new("duplicate-header", name)));
    }

    /// The fields of that name that count: one where there may be only one.
    pub(crate) fn counting<'s>(&'s self, name: &'s str) -> impl Iterator<Item = Field<'a>> + 's {
        let single = SINGLE.iter().any(|single| single.eq_ignore_ascii_case(name));
        let max = if single { 1 } else { usize::MAX };
        self.all(name).filter(move |field| !single || !field.value.trim_ascii().is_empty()).take(max)
    }
}

/// Splits the header block off `raw`.
pub(crate) fn split<'a>(raw: &'a [u8], limits: &Limits, defects: &mut Vec<Defect>) -> Headers<'a> {
    let mut lines = Lines { raw, at: 0, bare_cr: has_bare_cr(raw) };
    let (begin, start) = skip_preamble(&mut lines, defects);
    read(lines, begin, start, limits, defects)
}

/// Splits the header block off a part of a mail: nothing may stand before it, and an empty first line is its end.
pub(crate) fn split_part<'a>(section: &'a [u8], limits: &Limits) -> Headers<'a> {
    let lines = Lines { raw: section, at: 0, bare_cr: false };
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

/// Whether the first lines end in CR alone: in front of the first LF stands a CR that begins another line.
fn has_bare_cr(raw: &[u8]) -> bool {
    let window = raw.get(..raw.len().min(LINE_END_WINDOW)).unwrap_or(raw);
    let Some(end) = memchr(b'\n', window) else {
        return true;
    };
    let line = window.get(..end).unwrap_or_default().trim_ascii_end();
    line.split(|byte| *byte == b'\r').skip(1).any(|line| line.is_empty() || is_plain_field(line))
}

/// The block as valid text, without NUL and without the end of its last line. Each line is UTF-8 or windows-1252 for
/// itself: they come from many programs.
pub(crate) fn block_text(block: &[u8]) -> String {
    let end = block.iter().rposition(|byte| !matches!(byte, b'\r' | b'\n')).map_or(0, |at| at.saturating_add(1));
    let block = block.get(..end).unwrap_or_default();
    let text: Cow<'_, str> = match std::str::from_utf8(block) {
        Ok(text) => text.into(),
        Err(_) => {
            block.split_inclusive(|byte| matches!(byte, b'\r' | b'\n')).map(charset::literal).collect::<String>().into()
        }
    };
    if text.contains('\0') { with_lf(&text.replace('\0', "\u{fffd}")) } else { with_lf(&text) }
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
    one_line(&charset::guess(value))
}

fn one_line(text: &str) -> String {
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
#[derive(Clone, Copy)]
struct Lines<'a> {
    raw: &'a [u8],
    at: usize,
    /// A CR alone ends a line too.
    bare_cr: bool,
}

impl<'a> Lines<'a> {
    /// The line at hand without its end, and where the next begins; `None` at the end of the mail.
    fn look(&self) -> Option<(&'a [u8], usize)> {
        let rest = self.raw.get(self.at..).filter(|rest| !rest.is_empty())?;
        let end = if self.bare_cr { memchr2(b'\r', b'\n', rest) } else { memchr(b'\n', rest) };
        let line = rest.get(..end.unwrap_or(rest.len())).unwrap_or_default();
        let behind = rest.get(line.len()..).unwrap_or_default();
        let ending = if self.bare_cr && behind.starts_with(b"\r\n") { 2 } else { behind.len().min(1) };
        let next = self.at.saturating_add(line.len()).saturating_add(ending);
        let length = line.iter().rposition(|byte| *byte != b'\r').map_or(0, |at| at.saturating_add(1));
        Some((line.get(..length).unwrap_or_default(), next))
    }

    fn peek(&self) -> Option<&'a [u8]> {
        self.look().map(|(line, _)| line)
    }

    fn step(&mut self) -> Option<&'a [u8]> {
        let (line, next) = self.look()?;
        self.at = next;
        Some(line)
    }

    fn skip_while(&mut self, passes: impl Fn(&[u8]) -> bool) {
        while self.peek().is_some_and(&passes) {
            self.step();
        }
    }
}

/// Passes a byte order mark, blank lines, mbox lines and lost ones; gives where the block and where the fields begin.
fn skip_preamble(lines: &mut Lines<'_>, defects: &mut Vec<Defect>) -> (usize, usize) {
    if lines.raw.starts_with("\u{feff}".as_bytes()) {
        lines.at = 3;
        defects.push(Defect::new("byte-order-mark", ""));
    }
    let begin = lines.at;
    let is_mbox = |line: &[u8]| line.starts_with(b"From ") || line.starts_with(b">From ");
    lines.skip_while(|line| line.iter().all(u8::is_ascii_whitespace));
    if lines.peek().is_some_and(is_mbox) {
        defects.push(Defect::new("mbox-line", ""));
        let line = lines.at;
        lines.skip_while(is_mbox);
        return (line, lines.at);
    }
    let first = lines.at;
    if first > begin && lines.peek().is_some_and(is_field) {
        defects.push(Defect::new("blank-first-line", ""));
    } else if lines.peek().is_some_and(|line| !line.is_empty() && !is_field(line)) && find_block(lines) {
        defects.push(Defect::new("header-garbage", ""));
        return (first, lines.at);
    } else if first > begin {
        lines.at = begin;
    }
    // The mark belongs to the block: it is kept as it came.
    let block = if lines.at == begin { 0 } else { lines.at };
    (block, lines.at)
}

/// Goes to a header block behind a few lost lines: two common fields in a row. Stays where it is if there is none.
fn find_block(lines: &mut Lines<'_>) -> bool {
    let is_common = |line: &[u8]| {
        let name = field_name(line).unwrap_or_default();
        SINGLE.iter().chain(COMMON).any(|common| name.eq_ignore_ascii_case(common.as_bytes()))
    };
    let mut ahead = *lines;
    for _ in 0..LOST_LINES {
        if ahead.step().is_none_or(<[u8]>::is_empty) {
            return false;
        }
        let mut next = ahead;
        if next.step().is_some_and(is_common) {
            next.skip_while(is_continuation);
            if next.peek().is_some_and(is_common) {
                *lines = ahead;
                return true;
            }
        }
    }
    false
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
            let mut lost = if is_structured(line) { GARBAGE_LINES } else { 0 };
            while let Some(next) = lines.peek() {
                if !is_continuation(next) {
                    let field = self.raw.get(begin..end).unwrap_or_default();
                    if lost == 0 || next.is_empty() || is_plain_field(next) || !is_unfinished(field) {
                        break;
                    }
                    lost = lost.saturating_sub(1);
                    cut.garbage = true;
                }
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
    let mut ahead = *lines;
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
    field_name(line).is_some_and(|name| name.iter().all(|byte| byte.is_ascii_graphic() || *byte >= 0x80))
}

/// The same with a name that programs use: letters, digits, `-`, `_` and `.`.
fn is_plain_field(line: &[u8]) -> bool {
    field_name(line).is_some_and(|name| name.iter().all(|b| b.is_ascii_alphanumeric() || b"-_.".contains(b)))
}

fn field_name(line: &[u8]) -> Option<&[u8]> {
    let name = line.get(..memchr(b':', line)?).unwrap_or_default().trim_ascii_end();
    (!name.is_empty()).then_some(name)
}

fn is_structured(line: &[u8]) -> bool {
    let name = field_name(line).unwrap_or_default();
    STRUCTURED.iter().any(|structured| name.eq_ignore_ascii_case(structured.as_bytes()))
}

/// Whether a structured field promises more: a separator at its end, an open quote or angle bracket.
fn is_unfinished(field: &[u8]) -> bool {
    let quotes = field.iter().filter(|byte| **byte == b'"').count();
    let open = memrchr(b'<', field) > memrchr(b'>', field);
    open || quotes & 1 == 1 || matches!(field.trim_ascii_end().last(), Some(b';' | b','))
}

#[cfg(test)]
mod tests;
