//! Encoded words in headers (RFC 2047 §2, RFC 2231 §5), in the lenient reading that real mail needs: blanks and foreign
//! letters inside, letters split over two words, words without a blank between them or inside quotes. Never fails: what is
//! no encoded word stays as it is.

use encoding_rs::{Encoding, UTF_8, WINDOWS_1252};

use crate::message::mime::transfer;
use crate::message::text::charset;

/// Decodes every encoded word of an unfolded value.
pub(crate) fn decode(value: &str) -> String {
    if !value.contains("=?") {
        return value.to_owned();
    }
    let mut out = Decoder::default();
    let mut rest = value;
    while let Some((before, from)) = rest.split_once("=?") {
        match Parsed::read(from) {
            Some(parsed) => {
                out.literal(before);
                out.word(parsed.word());
                rest = parsed.after;
            }
            None => {
                out.literal(before);
                out.literal("=?");
                rest = from;
            }
        }
    }
    out.literal(rest);
    out.finish()
}

/// The length of the encoded word that `text` begins with.
pub(crate) fn length(text: &str) -> Option<usize> {
    let parsed = Parsed::read(text.strip_prefix("=?")?)?;
    text.len().checked_sub(parsed.after.len())
}

/// One word as it stands.
struct Parsed<'a> {
    charset: &'a str,
    base64: bool,
    text: &'a str,
    after: &'a str,
}

impl<'a> Parsed<'a> {
    /// The word behind its `=?`.
    fn read(from: &'a str) -> Option<Self> {
        let (charset, rest) = from.split_once('?')?;
        let (encoding, rest) = rest.split_once('?')?;
        // No word goes on behind the beginning of another. Looking no further keeps the time linear.
        let end = rest.find("=?").map_or(rest.len(), |next| rest.floor_char_boundary(next.saturating_add(3)));
        let (text, _) = rest.get(..end)?.split_once("?=")?;
        let after = rest.get(text.len().saturating_add(2)..)?;
        let charset = charset.split('*').next().unwrap_or_default();
        if charset.is_empty() || charset.contains(char::is_whitespace) {
            return None;
        }
        let base64 = match encoding {
            "b" | "B" => true,
            "q" | "Q" => false,
            _ => return None,
        };
        // `=?utf-8?q?=?=` holds a lone `=`; the word ends at the second mark then.
        let (text, after) = match after.strip_prefix("?=") {
            Some(later) if text.is_empty() => ("=", later),
            _ => (text, after),
        };
        Some(Self { charset, base64, text, after })
    }

    fn word(&self) -> Word<'a> {
        let bytes = if self.base64 {
            // Padding ends a group wherever it stands: some write several encoded texts into one word.
            self.text.split('=').flat_map(|group| transfer::base64(group.as_bytes())).collect()
        } else if self.text.is_ascii() {
            transfer::quoted_printable(self.text.replace('_', " ").as_bytes())
        } else {
            transfer::quoted_printable(&in_charset(&self.text.replace('_', " "), self.charset))
        };
        Word { charset: self.charset, bytes, open: false }
    }
}

/// The bytes that stood in the mail where letters beyond ASCII stand in a word: those of the word's own charset.
fn in_charset(text: &str, charset: &str) -> Vec<u8> {
    let encoding = Encoding::for_label(charset.as_bytes()).unwrap_or(UTF_8);
    if encoding == UTF_8 {
        return text.as_bytes().to_vec();
    }
    let runs = text.split_inclusive(|c: char| c.is_ascii());
    let bytes = runs.flat_map(|run| {
        // What was no UTF-8 was read as windows-1252 before.
        [WINDOWS_1252, encoding]
            .iter()
            .map(|encoding| encoding.encode(run))
            .find(|(_, _, failed)| !failed)
            .map_or_else(|| run.as_bytes().to_vec(), |(bytes, _, _)| bytes.into_owned())
    });
    bytes.collect()
}

/// The bytes of one word and their charset.
struct Word<'a> {
    charset: &'a str,
    bytes: Vec<u8>,
    /// The words so far end within letters of a charset that switches.
    open: bool,
}

impl Word<'_> {
    /// A charset that switches by escape sequences (RFC 1468).
    fn switches(&self) -> bool {
        self.charset.get(..8).is_some_and(|begin| begin.eq_ignore_ascii_case("iso-2022"))
    }

    /// Whether a letter may begin here and end in `next`. A charset that switches begins each word anew, unless the
    /// writer forgot to switch back.
    fn continues(&self, next: &Word<'_>) -> bool {
        same_charset(self.charset, next.charset) && (self.open || !self.switches())
    }

    fn note_state(&mut self, bytes: &[u8]) {
        if self.switches()
            && let Some(escape) = memchr::memrchr(0x1b, bytes)
        {
            let to_ascii = matches!(bytes.get(escape..), Some([0x1b, b'(', b'B' | b'J', ..]));
            self.open = !to_ascii;
        }
    }
}

fn same_charset(one: &str, other: &str) -> bool {
    let encoding = |label: &str| Encoding::for_label(label.as_bytes());
    one.eq_ignore_ascii_case(other) || encoding(one).is_some_and(|one| Some(one) == encoding(other))
}

#[derive(Default)]
struct Decoder<'a> {
    text: String,
    /// Blanks that count only when no encoded word follows.
    blanks: &'a str,
    /// The words read last, of one charset: a letter may be split over two of them.
    pending: Option<Word<'a>>,
}

impl<'a> Decoder<'a> {
    fn literal(&mut self, literal: &'a str) {
        if self.pending.is_some() && literal.trim().is_empty() && self.blanks.is_empty() {
            self.blanks = literal;
            return;
        }
        self.flush();
        self.text.push_str(std::mem::take(&mut self.blanks));
        self.text.push_str(literal);
    }

    fn word(&mut self, mut word: Word<'a>) {
        self.blanks = "";
        match &mut self.pending {
            Some(pending) if pending.continues(&word) => {
                pending.note_state(&word.bytes);
                pending.bytes.extend(word.bytes);
            }
            _ => {
                self.flush();
                let bytes = std::mem::take(&mut word.bytes);
                word.note_state(&bytes);
                self.pending = Some(Word { bytes, ..word });
            }
        }
    }

    fn flush(&mut self) {
        if let Some(word) = self.pending.take() {
            let text = charset::decode(&word.bytes, word.charset, false, "windows-1252").text;
            self.text.extend(text.chars().map(|c| if c.is_control() { ' ' } else { c }));
        }
    }

    fn finish(mut self) -> String {
        self.flush();
        self.text.push_str(self.blanks);
        self.text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(value: &str, expected: &str) {
        assert_eq!(decode(value), expected, "{value}");
    }

    #[test]
    fn words_are_decoded_where_they_stand() {
        check("plain", "plain");
        check("=?iso-8859-1?Q?Gr=FC=DFe?= an alle", "Grüße an alle");
        check("=?utf-8?B?w6Q=?= =?utf-8?B?w7Y=?= x", "äö x");
        check("=?utf-8?B?w6Q=?=  =?koi8-r?Q?=D0?=", "äп");
        check("a =?utf-8*en?q?b_c?= d", "a b c d");
        check("\"=?utf-8?q?x?=\" y", "\"x\" y");
        check("Re:=?utf-8?q?=C3=A4?=,b", "Re:ä,b");
        check("=?utf-8?q?a?= b =?utf-8?q?c?=", "a b c");
        check("=?utf-8?q?a_?= =?utf-8?q?_b?=", "a  b");
        check("=?utf-8?q??=x", "x");
        check("=?UTF-8?Q?Really=3F?= yes", "Really? yes");
    }

    #[test]
    fn a_letter_may_be_split_over_two_words() {
        check("=?utf-8?Q?=C3?= =?UTF-8?Q?=A4?=", "ä");
        check("=?utf-8?Q?=C3?=\t=?utf8?B?pA==?=", "ä");
        check("=?utf-8?Q?=F0=9F?==?utf-8?Q?=98=80?=", "😀");
        check("=?gb2312?B?xOM=?= =?gbk?Q?=BA?= =?gb2312?Q?=C3?=", "你好");
        check("=?ISO-2022-JP?B?GyRCJWYbKEI=?= =?iso-2022-jp?B?GyRCITwbKEI=?=", "ユー");
    }

    #[test]
    fn a_charset_that_was_not_switched_back_goes_on_in_the_next_word() {
        check("=?iso-2022-jp?B?GyRCJWY=?= =?iso-2022-jp?B?ITwbKEI=?= x", "ユー x");
    }

    #[test]
    fn words_that_break_the_rules_are_read_all_the_same() {
        check("=?utf-8?Q?a b c?=", "a b c");
        check("=?utf-8?Q?Really??=", "Really?");
        check("=?utf-8?B?w6Q?=", "ä");
        check("=?utf-8?B?w6Q==?=", "ä");
        check("=?utf-8?B?w6Q=w7Y=?=", "äö");
        check("=?utf-8?B?w6\tQ=?=", "ä");
        check("=?utf-8?Q?a=ZZ=4?=", "a=ZZ=4");
        check("=?x-unknown?Q?=C3=A4?= =?x-none?Q?_=E4?=", "ä ä");
        check("=?us-ascii?Q?=C3=A4?=", "ä");
        check("=?utf-8?Q?=E4?=", "ä");
        check("=?iso-8859-1?Q?Fr\u{f6}=F6?=", "Fröö");
        check("=?koi8-r?Q?\u{d5}_д?=", "у д");
        check("=?utf-8?Q?ä=C3=B6?=", "äö");
    }

    #[test]
    fn what_is_no_word_stays() {
        check("=?utf-8?x?a?=", "=?utf-8?x?a?=");
        check("=? =?=", "=? =?=");
        check("a=?utf-8?q?b", "a=?utf-8?q?b");
        check("=?utf-8?B?w6Q= rest", "=?utf-8?B?w6Q= rest");
        check("=?utf-8?q?=3D=3Futf-8=3Fq=3Fa=3F=3D?=", "=?utf-8?q?a?=");
    }

    #[test]
    fn no_line_break_comes_out_of_a_word() {
        check("=?utf-8?Q?a=0D=0ABcc:_b=00=1B?=", "a  Bcc: b  ");
        check("=?utf-8?B?YQ0KQg==?=", "a  B");
    }

    #[test]
    fn the_length_of_a_word_is_known() {
        for (text, expected) in
            [("=?utf-8?q?a,b?= <c@d>", Some(15)), ("=?utf-8?q?a", None), ("x=?utf-8?q?a?=", None), ("", None)]
        {
            assert_eq!(length(text), expected, "{text}");
        }
    }
}
