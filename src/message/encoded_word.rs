//! Encoded words in headers (RFC 2047 §2), in the lenient reading that real mail needs: blanks inside, letters split over
//! two words, words inside quotes. Never fails: what is no encoded word stays as it is.

use crate::message::charset;
use crate::message::transfer;

/// Decodes every encoded word of an unfolded value.
pub(crate) fn decode(value: &str) -> String {
    if !value.contains("=?") {
        return value.to_owned();
    }
    let mut out = Decoder::default();
    let mut rest = value;
    while let Some((before, from)) = rest.split_once("=?") {
        match word(from) {
            Some((word, after)) => {
                out.literal(before);
                out.word(word);
                rest = after;
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

/// The bytes of one word and their charset.
struct Word<'a> {
    charset: &'a str,
    bytes: Vec<u8>,
}

impl Word<'_> {
    /// Whether a letter may begin here and end in `next`. A charset that switches begins each word anew.
    fn continues(&self, next: &Word<'_>) -> bool {
        let switches = self.charset.get(..8).is_some_and(|begin| begin.eq_ignore_ascii_case("iso-2022"));
        self.charset.eq_ignore_ascii_case(next.charset) && !switches
    }
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

    fn word(&mut self, word: Word<'a>) {
        self.blanks = "";
        match &mut self.pending {
            Some(pending) if pending.continues(&word) => pending.bytes.extend(word.bytes),
            _ => {
                self.flush();
                self.pending = Some(word);
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

/// One word behind its `=?`, and what follows it.
fn word(from: &str) -> Option<(Word<'_>, &str)> {
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
    // `=?utf-8?q?=?=` holds a lone `=`; the word ends at the second mark then.
    let (text, after) = match after.strip_prefix("?=") {
        Some(later) if text.is_empty() => ("=", later),
        _ => (text, after),
    };
    let bytes = match encoding {
        "b" | "B" => transfer::base64(text.as_bytes()),
        "q" | "Q" => transfer::quoted_printable(text.replace('_', " ").as_bytes()),
        _ => return None,
    };
    Some((Word { charset, bytes }, after))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(value: &str, expected: &str) {
        assert_eq!(decode(value), expected);
    }

    #[test]
    fn words_are_decoded_where_they_stand() {
        check("plain", "plain");
        check("=?iso-8859-1?Q?Gr=FC=DFe?= an alle", "Grüße an alle");
        check("=?utf-8?B?w6Q=?= =?utf-8?B?w7Y=?= x", "äö x");
        check("=?utf-8?B?w6Q=?=  =?koi8-r?Q?=D0?=", "äп");
        check("a =?utf-8*en?q?b_c?= d", "a b c d");
        check("\"=?utf-8?q?x?=\" y", "\"x\" y");
    }

    #[test]
    fn a_letter_may_be_split_over_two_words() {
        check("=?utf-8?Q?=C3?= =?UTF-8?Q?=A4?=", "ä");
        check("=?ISO-2022-JP?B?GyRCJWYbKEI=?= =?iso-2022-jp?B?GyRCITwbKEI=?=", "ユー");
    }

    #[test]
    fn what_is_no_word_stays() {
        check("=?utf-8?x?a?=", "=?utf-8?x?a?=");
        check("=? =?=", "=? =?=");
        check("a=?utf-8?q?b", "a=?utf-8?q?b");
    }
}
