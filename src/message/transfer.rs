//! Content transfer encodings (RFC 2045 §6.7, §6.8) in the most forgiving reading: foreign characters are passed over, a
//! cut end is used as far as it goes. Never fails.

use base64::Engine;
use base64::alphabet::STANDARD;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};
use memchr::memchr;

const FORGIVING: GeneralPurpose = GeneralPurpose::new(
    &STANDARD,
    GeneralPurposeConfig::new()
        .with_decode_allow_trailing_bits(true)
        .with_decode_padding_mode(DecodePaddingMode::Indifferent),
);

/// Decodes base64.
pub(crate) fn base64(text: &[u8]) -> Vec<u8> {
    let mut letters = Vec::with_capacity(text.len());
    text.split(|byte| !is_letter(*byte)).for_each(|run| letters.extend_from_slice(run));
    if letters.len() & 3 == 1 {
        letters.pop();
    }
    FORGIVING.decode(&letters).unwrap_or_default()
}

/// How many bytes [`base64()`] gives, without decoding.
pub(crate) fn base64_size(text: &[u8]) -> usize {
    // Counted in bytes for as long as they last: so the processor counts many at once.
    let count = |chunk: &[u8]| chunk.iter().fold(0_u8, |count, byte| count.wrapping_add(u8::from(is_letter(*byte))));
    let letters = text.chunks(255).map(|chunk| usize::from(count(chunk))).sum::<usize>();
    let whole = (letters >> 2).saturating_mul(3);
    whole.saturating_add((letters & 3).saturating_sub(1))
}

/// Whether it is a letter of base64.
const fn is_letter(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() | (byte == b'+') | (byte == b'/')
}

/// Decodes quoted-printable; a `=` that begins nothing stays.
pub(crate) fn quoted_printable(text: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(text.len());
    let mut rest = text;
    while let Some((plain, after)) = memchr(b'=', rest).and_then(|at| rest.split_at_checked(at)) {
        out.extend_from_slice(plain);
        let after = after.get(1..).unwrap_or_default();
        rest = after;
        match after {
            [high, low, tail @ ..] if high.is_ascii_hexdigit() && low.is_ascii_hexdigit() => {
                out.push((hex(*high) << 4) | hex(*low));
                rest = tail;
            }
            _ => match soft_break(after) {
                Some(tail) => rest = tail,
                None => out.push(b'='),
            },
        }
    }
    out.extend_from_slice(rest);
    out
}

/// Decodes `%41` (RFC 2231 §4); a `%` that begins nothing stays.
pub(crate) fn percent(text: &str) -> Vec<u8> {
    let mut out = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((&byte, after)) = rest.split_first() {
        rest = after;
        match after {
            [high, low, tail @ ..] if byte == b'%' && high.is_ascii_hexdigit() && low.is_ascii_hexdigit() => {
                out.push((hex(*high) << 4) | hex(*low));
                rest = tail;
            }
            _ => out.push(byte),
        }
    }
    out
}

/// What follows a soft line break: blanks, then the end of the line.
fn soft_break(after: &[u8]) -> Option<&[u8]> {
    let line = after.trim_ascii_start();
    let passed = after.get(..after.len().saturating_sub(line.len())).unwrap_or_default();
    if line.is_empty() {
        return Some(line);
    }
    let end = passed.iter().position(|byte| matches!(byte, b'\n' | b'\r'))?;
    let tail = after.get(end..).unwrap_or_default();
    Some(tail.strip_prefix(b"\r\n").or_else(|| tail.split_first().map(|(_, tail)| tail)).unwrap_or_default())
}

fn hex(digit: u8) -> u8 {
    char::from(digit).to_digit(16).and_then(|digit| u8::try_from(digit).ok()).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn base64_is_read_as_far_as_it_goes() {
        for (text, expected) in
            [("aGk=", "hi"), ("aG k", "hi"), ("aGk", "hi"), ("aGkx\r\n--b", "hi1"), ("", ""), ("aGkxa", "hi1")]
        {
            let found = base64(text.as_bytes());
            assert!(found.starts_with(expected.as_bytes()), "{text}: {found:?}");
            assert_eq!(base64_size(text.as_bytes()), found.len(), "{text}");
        }
    }

    #[test]
    fn quoted_printable_keeps_what_it_does_not_know() {
        for (text, expected) in [
            ("a=3Db", "a=b"),
            ("a=\r\nb", "ab"),
            ("a= \nb", "ab"),
            ("a=\r\n\r\nb", "a\r\nb"),
            ("a=zz", "a=zz"),
            ("a=", "a"),
        ] {
            assert_eq!(quoted_printable(text.as_bytes()), expected.as_bytes(), "{text}");
        }
    }
}
