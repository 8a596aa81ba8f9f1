//! The text of a message as compressed RTF ([MS-OXRTFCP] §3.1): unpacked, then read as the HTML that it was made from
//! ([MS-OXRTFEX] §2.1), or as plain text. Pictures, styles and everything else of RTF are passed over.
//!
//! Never grows without bound: an input byte unpacks to at most nine, and both steps stop at a given size.

use std::collections::HashMap;

use super::props::Cursor;
use super::{code_page, decoded};

/// What every text could begin with: the first entries of the dictionary ([MS-OXRTFCP] §2.1.2.1).
const DICTIONARY: &[u8] = b"{\\rtf1\\ansi\\mac\\deff0\\deftab720{\\fonttbl;}{\\f0\\fnil \\froman \\fswiss \\fmodern \\fscript \
\\fdecor MS Sans SerifSymbolArialTimes New RomanCourier{\\colortbl\\red0\\green0\\blue0\r\n\\par \\pard\\plain\\f0\\fs20\\b\\i\\u\\tab\\tx";
/// Groups within each other that have a state of their own.
const MAX_LEVELS: usize = 200;
/// Fonts that are told apart.
const MAX_FONTS: usize = 1_000;

/// What the RTF was.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Read {
    /// Wrapped HTML.
    Html(String),
    /// RTF or wrapped plain text.
    Text(String),
}

/// Unpacks it, up to `max` bytes; `None` when it is empty or of an unknown kind.
pub(super) fn decompressed(packed: &[u8], max: usize) -> Option<Vec<u8>> {
    let mut cursor = Cursor(packed);
    let (_packed_size, size) = (cursor.u32()?, cursor.u32()?);
    let kind = cursor.take(4)?;
    let _checksum = cursor.u32()?;
    let max = usize::try_from(size).unwrap_or(usize::MAX).min(max);
    match kind {
        b"MELA" => Some(cursor.0.get(..max.min(cursor.0.len())).unwrap_or_default().to_vec()),
        b"LZFu" => Some(unpacked(cursor, max)),
        _ => None,
    }
}

/// Runs of eight literals and references into the last 4096 bytes.
fn unpacked(mut cursor: Cursor<'_>, max: usize) -> Vec<u8> {
    let mut ring = [0_u8; 4096];
    ring.iter_mut().zip(DICTIONARY).for_each(|(place, byte)| *place = *byte);
    let mut at = DICTIONARY.len();
    let mut out = Vec::with_capacity(cursor.0.len().saturating_mul(2).min(max));
    let mut put = |ring: &mut [u8; 4096], at: &mut usize, byte: u8| {
        out.push(byte);
        if let Some(place) = ring.get_mut(*at) {
            *place = byte;
        }
        *at = at.saturating_add(1) & 4095;
        out.len() < max
    };
    while let Some(flags) = cursor.u8() {
        for bit in 0..8_u32 {
            if flags >> bit & 1 == 0 {
                let Some(byte) = cursor.u8() else { return out };
                if !put(&mut ring, &mut at, byte) {
                    return out;
                }
                continue;
            }
            let Some((high, low)) = cursor.u8().zip(cursor.u8()) else { return out };
            let from = usize::from(high) << 4 | usize::from(low >> 4);
            // A reference to the place that is written next is the end.
            if from == at {
                return out;
            }
            for step in 0..usize::from(low & 15).saturating_add(2) {
                let byte = ring.get(from.saturating_add(step) & 4095).copied().unwrap_or_default();
                if !put(&mut ring, &mut at, byte) {
                    return out;
                }
            }
        }
    }
    out
}

/// Reads RTF; the result has at most about `max` bytes.
pub(super) fn read(rtf: &[u8], max: usize) -> Read {
    let state = State { substitutes: 1, ..State::default() };
    let mut reader = Reader { rest: rtf, max, state, ..Reader::default() };
    while reader.out.len() < max && reader.step().is_some() {}
    reader.flush();
    if reader.html { Read::Html(reader.out) } else { Read::Text(reader.out) }
}

/// Where text goes.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
enum Place {
    #[default]
    Text,
    Fonts,
    Nowhere,
}

/// What holds within a group.
#[derive(Debug, Clone, Copy, Default)]
struct State {
    place: Place,
    /// Text that only repeats in RTF what the HTML has.
    repeated: bool,
    font: i32,
    /// So many letters behind a `\u` say the same for old readers.
    substitutes: usize,
}

#[derive(Debug, Default)]
struct Reader<'a> {
    rest: &'a [u8],
    max: usize,
    out: String,
    html: bool,
    state: State,
    above: Vec<State>,
    /// Groups below the deepest with a state of its own.
    deeper: usize,
    page: u32,
    fonts: HashMap<i32, u32>,
    /// Bytes of one code page, not yet decoded.
    pending: Vec<u8>,
    high: Option<u16>,
    skip: usize,
    /// `\*` was read: what follows may be passed over when it is not known.
    optional: bool,
}

impl Reader<'_> {
    fn step(&mut self) -> Option<()> {
        let (&byte, rest) = self.rest.split_first()?;
        self.rest = rest;
        match byte {
            b'{' => self.open(),
            b'}' => self.close(),
            b'\\' => self.control()?,
            b'\r' | b'\n' | 0 => {}
            _ => self.letter(byte),
        }
        Some(())
    }

    fn open(&mut self) {
        self.skip = 0;
        if self.above.len() < MAX_LEVELS {
            self.above.push(self.state);
        } else {
            self.deeper = self.deeper.saturating_add(1);
        }
    }

    fn close(&mut self) {
        self.skip = 0;
        if self.deeper > 0 {
            self.deeper = self.deeper.saturating_sub(1);
        } else if let Some(state) = self.above.pop() {
            if state.font != self.state.font {
                self.flush();
            }
            self.state = state;
        }
    }

    fn letter(&mut self, byte: u8) {
        if self.skip > 0 {
            self.skip = self.skip.saturating_sub(1);
        } else if self.shown() {
            self.pending.push(byte);
        }
    }

    const fn shown(&self) -> bool {
        matches!(self.state.place, Place::Text) && !self.state.repeated
    }

    fn push(&mut self, c: char) {
        if self.shown() {
            self.flush();
            self.out.push(c);
        }
    }

    /// Decodes what is pending by the code page of its font.
    fn flush(&mut self) {
        if self.pending.is_empty() {
            return;
        }
        let page = self.fonts.get(&self.state.font).copied().filter(|page| *page != 0).unwrap_or(self.page);
        let charset = if page == 0 { "windows-1252".to_owned() } else { code_page(page) };
        let text = decoded(&self.pending, &charset);
        let room = self.max.saturating_sub(self.out.len());
        self.out.push_str(text.get(..text.floor_char_boundary(room)).unwrap_or_default());
        self.pending.clear();
    }

    /// What stands behind a backslash.
    fn control(&mut self) -> Option<()> {
        let (&first, rest) = self.rest.split_first()?;
        if !first.is_ascii_alphabetic() {
            self.rest = rest;
            self.symbol(first);
            return Some(());
        }
        let letters = self.rest.iter().take(32).take_while(|byte| byte.is_ascii_alphabetic()).count();
        let (word, rest) = self.rest.split_at_checked(letters)?;
        let minus = usize::from(rest.first() == Some(&b'-'));
        let digits = rest.iter().skip(minus).take(10).take_while(|byte| byte.is_ascii_digit()).count();
        let (number, rest) = rest.split_at_checked(if digits == 0 { 0 } else { digits.saturating_add(minus) })?;
        self.rest = rest.strip_prefix(b" ").unwrap_or(rest);
        let number = str::from_utf8(number).ok().and_then(|number| number.parse().ok());
        self.word(word, number);
        Some(())
    }

    fn symbol(&mut self, symbol: u8) {
        match symbol {
            b'\'' => {
                let (digits, rest) = self.rest.split_at_checked(2).unwrap_or_default();
                let value = str::from_utf8(digits).ok().and_then(|digits| u8::from_str_radix(digits, 16).ok());
                if let Some(value) = value {
                    self.rest = rest;
                    self.letter(value);
                }
            }
            b'*' => self.optional = true,
            b'~' => self.push('\u{a0}'),
            b'_' => self.push('-'),
            b'\r' | b'\n' => self.push('\n'),
            b'\\' | b'{' | b'}' => self.letter(symbol),
            _ => {}
        }
    }

    fn word(&mut self, word: &[u8], number: Option<i32>) {
        let optional = std::mem::take(&mut self.optional);
        let value = number.unwrap_or_default();
        match word {
            b"htmlrtf" => self.state.repeated = self.html && number != Some(0),
            b"htmltag" => {}
            b"fonttbl" => self.state.place = Place::Fonts,
            b"colortbl" | b"stylesheet" | b"info" | b"pict" | b"object" | b"mhtmltag" | b"header" | b"headerl"
            | b"headerr" | b"headerf" | b"footer" | b"footerl" | b"footerr" | b"footerf" | b"listtable" => {
                self.state.place = Place::Nowhere;
            }
            _ if optional => self.state.place = Place::Nowhere,
            b"fromhtml" => self.html = number != Some(0),
            b"bin" => {
                let length = usize::try_from(value).unwrap_or_default();
                self.rest = self.rest.get(length..).unwrap_or_default();
            }
            b"ansicpg" => self.page = u32::try_from(value).unwrap_or_default(),
            b"mac" => self.page = 10000,
            b"f" => {
                if value != self.state.font && self.state.place == Place::Text {
                    self.flush();
                }
                self.state.font = value;
            }
            b"fcharset" if self.state.place == Place::Fonts && self.fonts.len() < MAX_FONTS => {
                self.fonts.insert(self.state.font, font_page(value));
            }
            b"uc" => self.state.substitutes = usize::try_from(value).unwrap_or_default(),
            b"u" => self.unicode(value),
            b"par" | b"line" | b"row" | b"page" | b"sect" => self.push('\n'),
            b"tab" | b"cell" => self.push('\t'),
            b"lquote" => self.push('\u{2018}'),
            b"rquote" => self.push('\u{2019}'),
            b"ldblquote" => self.push('\u{201c}'),
            b"rdblquote" => self.push('\u{201d}'),
            b"bullet" => self.push('\u{2022}'),
            b"endash" => self.push('\u{2013}'),
            b"emdash" => self.push('\u{2014}'),
            _ => {}
        }
    }

    /// A unit of UTF-16, written as a signed number.
    fn unicode(&mut self, value: i32) {
        let Ok(unit) = u16::try_from(value & 0xffff) else { return };
        self.skip = self.state.substitutes;
        match (self.high.take(), char::from_u32(u32::from(unit))) {
            (_, Some(c)) => self.push(c),
            (None, None) if unit < 0xdc00 => self.high = Some(unit),
            (high, None) => {
                let pair = char::decode_utf16(high.into_iter().chain([unit])).next();
                self.push(pair.and_then(Result::ok).unwrap_or(char::REPLACEMENT_CHARACTER));
            }
        }
    }
}

/// The code page of a font's `\fcharset`; 0 for that of the document.
const fn font_page(charset: i32) -> u32 {
    match charset {
        0 => 1252,
        77 => 10000,
        128 => 932,
        129 => 949,
        134 => 936,
        136 => 950,
        161 => 1253,
        162 => 1254,
        163 => 1258,
        177 => 1255,
        178 => 1256,
        186 => 1257,
        204 => 1251,
        222 => 874,
        238 => 1250,
        _ => 0,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn text(rtf: &str, expected: &str) {
        assert_eq!(read(rtf.as_bytes(), 10_000), Read::Text(expected.to_owned()));
    }

    #[track_caller]
    fn html(rtf: &str, expected: &str) {
        assert_eq!(read(rtf.as_bytes(), 10_000), Read::Html(expected.to_owned()));
    }

    #[test]
    fn the_dictionary_has_its_length() {
        assert_eq!(DICTIONARY.len(), 207);
    }

    #[test]
    fn plain_text_is_what_is_left() {
        text("{\\rtf1\\ansi{\\fonttbl{\\f0 Arial;}}{\\colortbl;\\red1;}\\f0 a\\par b\\tab c}", "a\nb\tc");
        text("{\\rtf1\\ansi\\ansicpg1251 \\'ef\\'f0}", "пр");
        text("{\\rtf1{\\fonttbl{\\f0\\fcharset0 A;}{\\f1\\fcharset128 B;}}\\f1\\'83\\'86\\f0\\'e4}", "ユä");
        text("{\\rtf1\\uc1 \\u228?b\\u-10179?\\u-8704?}", "äb😀");
        text(
            "{\\rtf1{\\*\\generator x;}{\\pict 00ff}{\\field{\\*\\fldinst x}{\\fldrslt y}}\\{\\}\\~\\bin2 zz1}",
            "y{}\u{a0}1",
        );
        text("", "");
        text("}}}{\\'", "");
    }

    #[test]
    fn wrapped_html_comes_out_as_it_went_in() {
        html(
            "{\\rtf1\\ansi\\fromhtml1 {\\*\\htmltag64 <p>}\\htmlrtf {\\pard\\htmlrtf0 a\\'e4{\\*\\htmltag84 &lt;}\\htmlrtf <\\htmlrtf0 \
             {\\*\\mhtmltag84 no}{\\*\\htmltag72 </p>}\\htmlrtf }\\htmlrtf0 }",
            "<p>aä&lt;</p>",
        );
    }

    #[test]
    fn what_is_packed_is_unpacked() {
        // The example of [MS-OXRTFCP] §3.1.
        let packed = [
            0x2d, 0x00, 0x00, 0x00, 0x2b, 0x00, 0x00, 0x00, 0x4c, 0x5a, 0x46, 0x75, 0xf1, 0xc5, 0xc7, 0xa7, 0x03, 0x00,
            0x0a, 0x00, 0x72, 0x63, 0x70, 0x67, 0x31, 0x32, 0x35, 0x42, 0x32, 0x0a, 0xf3, 0x20, 0x68, 0x65, 0x6c, 0x09,
            0x00, 0x20, 0x62, 0x77, 0x05, 0xb0, 0x6c, 0x64, 0x7d, 0x0a, 0x80, 0x0f, 0xa0,
        ];
        let expected = b"{\\rtf1\\ansi\\ansicpg1252\\pard hello world}\r\n".to_vec();
        assert_eq!(decompressed(&packed, 1000), Some(expected));
        assert_eq!(decompressed(&packed, 5), Some(b"{\\rtf".to_vec()));
        let plain = [&[0; 4][..], &[3, 0, 0, 0], b"MELA", &[0; 4], b"abcd"].concat();
        assert_eq!(decompressed(&plain, 1000), Some(b"abc".to_vec()));
        assert_eq!(decompressed(b"no", 1000), None);
    }

    #[test]
    fn deep_groups_end_where_they_should() {
        let deep = format!("{{\\rtf1 {}a{}b}}c", "{".repeat(1_000), "}".repeat(1_000));
        text(&deep, "abc");
    }
}
