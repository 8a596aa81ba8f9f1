//! Content transfer encodings (RFC 2045 §6.7, §6.8) in the most forgiving reading: foreign characters are passed over, a
//! cut end is used as far as it goes. Never fails.

use base64::Engine;
use base64::alphabet::STANDARD;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};
use memchr::memchr;

/// How much of a text is looked at.
const HEAD: usize = 1024;
/// The length of a line (RFC 2045 §6.8).
const LINE: usize = 76;

const FORGIVING: GeneralPurpose = GeneralPurpose::new(
    &STANDARD,
    GeneralPurposeConfig::new()
        .with_decode_allow_trailing_bits(true)
        .with_decode_padding_mode(DecodePaddingMode::Indifferent),
);

/// Decodes base64.
pub(crate) fn base64(text: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity((text.len() >> 2).saturating_mul(3));
    let mut letters = Vec::with_capacity(text.len());
    for block in blocks(text) {
        letters.clear();
        block.split(|byte| !is_letter(*byte)).for_each(|run| letters.extend_from_slice(run));
        if letters.len() & 3 == 1 {
            letters.pop();
        }
        // It holds nothing but letters, and as many as there may be.
        let before = out.len();
        if FORGIVING.decode_vec(&letters, &mut out).is_err() {
            out.truncate(before);
        }
    }
    out
}

/// How many bytes [`base64()`] gives, without decoding.
pub(crate) fn base64_size(text: &[u8]) -> usize {
    // Counted in bytes for as long as they last: so the processor counts many at once.
    let count = |chunk: &[u8]| chunk.iter().fold(0_u8, |count, byte| count.wrapping_add(u8::from(is_letter(*byte))));
    let size = |block: &[u8]| {
        let letters = block.chunks(255).map(|chunk| usize::from(count(chunk))).sum::<usize>();
        (letters >> 2).saturating_mul(3).saturating_add((letters & 3).saturating_sub(1))
    };
    blocks(text).map(size).sum()
}

/// What stands between the `=` that end a block: some programs put several blocks one behind the other. What follows one and
/// holds anything else is the foot that a mailing list wrote below.
fn blocks(text: &[u8]) -> impl Iterator<Item = &[u8]> {
    // How much is left behind the line that was looked at last.
    let (mut rest, mut seen) = (Some(text), text.len());
    std::iter::from_fn(move || {
        let text = rest?;
        let end = memchr(b'=', text).unwrap_or(text.len());
        let (block, after) = text.split_at_checked(end)?;
        let next = after.trim_ascii_start();
        let next = next.get(next.iter().take_while(|byte| **byte == b'=').count()..).unwrap_or_default();
        let next = next.trim_ascii_start();
        rest = Some(next).filter(|next| !next.is_empty());
        if next.len() <= seen {
            let line = next.get(..next.len().min(LINE)).unwrap_or_default();
            let line = line.get(..memchr(b'\n', line).unwrap_or(line.len())).unwrap_or_default();
            seen = next.len().saturating_sub(line.len());
            let letters = line.trim_ascii_end();
            rest = rest.filter(|_| letters.iter().all(|byte| is_letter(*byte) || *byte == b'='));
        }
        Some(block)
    })
}

/// Whether a text that is said to be base64 may be so: one with blanks within its lines, or with many other signs, is not.
pub(crate) fn may_be_base64(text: &[u8]) -> bool {
    let head = text.get(..text.len().min(HEAD)).unwrap_or_default().trim_ascii();
    let foreign = |line: &[u8]| line.trim_ascii().iter().filter(|byte| !is_letter(**byte) && **byte != b'=').count();
    head.split(|byte| *byte == b'\n').map(foreign).sum::<usize>() <= head.len() / 10
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
        for (text, expected) in [
            ("aGk=", "hi"),
            ("aG k", "hi"),
            ("aGk", "hi"),
            ("aGkx\r\n--b", "hi1"),
            ("", ""),
            ("aGkxa", "hi1"),
            ("aGk=\r\naGk=\r\n", "hihi"),
            ("aA==aGk=", "hhi"),
            ("aGk=\r\n\r\n_____\r\nlist foot\r\n", "hi"),
            ("aGk=\nthe list\n", "hi"),
            ("=", ""),
            ("a=GkA", "\u{1a}@"),
        ] {
            let found = base64(text.as_bytes());
            assert_eq!(found, expected.as_bytes(), "{text}");
            assert_eq!(base64_size(text.as_bytes()), found.len(), "{text}");
        }
    }

    #[test]
    fn plain_text_is_no_base64() {
        for (text, expected) in [
            ("aGk=\r\n", true),
            (" aGkx \r\n aGkx\r\n", true),
            ("", true),
            ("aGkxaGkxaGkxaGkxaGkx!aGkx", true),
            ("Hello Ann, we meet at ten.", false),
            ("<p>Hello</p>", false),
        ] {
            assert_eq!(may_be_base64(text.as_bytes()), expected, "{text}");
        }
    }

    #[test]
    fn quoted_printable_keeps_what_it_does_not_know() {
        for (text, expected) in [
            ("a=3Db", "a=b"),
            ("a=\r\nb", "ab"),
            ("a= \nb", "ab"),
            ("a= \t\r\n b", "a b"),
            ("=4a=4A", "JJ"),
            ("a=\rb", "ab"),
            ("=\n=\n", ""),
            ("a=4", "a=4"),
            ("==41", "=A"),
            ("a=\r\n\r\nb", "a\r\nb"),
            ("a=zz", "a=zz"),
            ("a=", "a"),
        ] {
            assert_eq!(quoted_printable(text.as_bytes()), expected.as_bytes(), "{text}");
        }
    }
}
