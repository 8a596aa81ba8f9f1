//! Bytes to text (mail charsets, RFC 2978, in the reading of the WHATWG Encoding Standard): the declared charset, a byte
//! order mark, the `<meta>` of HTML, strict UTF-8, then a default. Never fails: a byte without meaning becomes U+FFFD.

use std::borrow::Cow;

use encoding_rs::{Encoding, UTF_8, WINDOWS_1252};
use mail_parser::decoders::charsets::map::charset_decoder;

/// How many bytes of HTML are searched for a `<meta>`.
const META_WINDOW: usize = 2048;

/// Text and whether its charset had to be guessed against what was declared.
pub(crate) struct Decoded<'a> {
    /// The text.
    pub(crate) text: Cow<'a, str>,
    /// The declared charset is unknown or does not fit the bytes.
    pub(crate) declared_in_vain: bool,
}

/// Decodes the bytes of a body part.
pub(crate) fn decode<'a>(bytes: &'a [u8], declared: &str, html: bool, default: &str) -> Decoded<'a> {
    if let Some((encoding, length)) = Encoding::for_bom(bytes) {
        let rest = bytes.get(length..).unwrap_or_default();
        return Decoded { text: encoding.decode_without_bom_handling(rest).0, declared_in_vain: false };
    }
    if let Some(text) = declared_text(bytes, declared) {
        return Decoded { text, declared_in_vain: false };
    }
    let declared_in_vain = !declared.trim().is_empty() && !bytes.is_ascii();
    let meta = if html { meta_charset(bytes) } else { None };
    let text = meta.and_then(|label| declared_text(bytes, &label)).unwrap_or_else(|| undeclared(bytes, default));
    Decoded { text, declared_in_vain }
}

/// Decodes by a label; `None` when the label is unknown, says nothing (`us-ascii`) or is UTF-8 and a lie.
pub(crate) fn declared_text<'a>(bytes: &'a [u8], label: &str) -> Option<Cow<'a, str>> {
    let label = label.trim().trim_matches(['"', '\'']).to_ascii_lowercase();
    if matches!(label.as_str(), "" | "us-ascii" | "ascii" | "ansi_x3.4-1968") {
        return None;
    }
    let label = match label.as_str() {
        "unicode-1-1-utf-7" => "utf-7",
        "cp-850" => "cp850",
        other => other,
    };
    if label.starts_with("utf-16") || Encoding::for_label_no_replacement(label.as_bytes()).is_none() {
        return charset_decoder(label.as_bytes()).map(|decode| decode(bytes).into());
    }
    let encoding = Encoding::for_label_no_replacement(label.as_bytes())?;
    if encoding == UTF_8 {
        return std::str::from_utf8(bytes).ok().map(Cow::Borrowed);
    }
    Some(encoding.decode_without_bom_handling(bytes).0)
}

/// Text without a declared charset: strict UTF-8, else windows-1252.
pub(crate) fn guess(bytes: &[u8]) -> Cow<'_, str> {
    undeclared(bytes, "windows-1252")
}

fn undeclared<'a>(bytes: &'a [u8], default: &str) -> Cow<'a, str> {
    match std::str::from_utf8(bytes) {
        Ok(text) => Cow::Borrowed(text),
        Err(error) if mostly_utf8(bytes, error.valid_up_to()) => String::from_utf8_lossy(bytes),
        Err(_) => {
            let encoding = Encoding::for_label_no_replacement(default.trim().as_bytes()).unwrap_or(WINDOWS_1252);
            encoding.decode_without_bom_handling(bytes).0
        }
    }
}

/// Whether the valid beginning holds letters beyond ASCII and the break is only a cut letter at the end.
fn mostly_utf8(bytes: &[u8], valid: usize) -> bool {
    let (head, tail) = bytes.split_at_checked(valid).unwrap_or_default();
    !head.is_ascii() && tail.len() < 4
}

/// The charset that the HTML itself names.
fn meta_charset(bytes: &[u8]) -> Option<String> {
    let head =
        String::from_utf8_lossy(bytes.get(..bytes.len().min(META_WINDOW)).unwrap_or_default()).to_ascii_lowercase();
    let (_, rest) = head.split_once("charset=")?;
    let label: String = rest
        .trim_start_matches(['"', '\'', ' '])
        .chars()
        .take_while(|c| c.is_ascii_alphanumeric() || "-_".contains(*c))
        .collect();
    Some(label).filter(|label| !label.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(bytes: &[u8], declared: &str, html: bool, expected: &str) {
        assert_eq!(decode(bytes, declared, html, "windows-1252").text, expected);
    }

    #[test]
    fn the_ladder_is_declared_then_mark_then_meta_then_utf8_then_default() {
        check(b"gr\xfc\xdfe", "iso-8859-1", false, "grüße");
        check(b"\xd0\xd2\xc9", "koi8-r", false, "при");
        check("\u{feff}ä".as_bytes(), "iso-8859-1", false, "ä");
        check(b"<meta charset=koi8-r>\xd0", "", true, "<meta charset=koi8-r>п");
        check("ä".as_bytes(), "us-ascii", false, "ä");
        check(b"\xe4", "", false, "ä");
        check(b"\xe4", "utf-8", false, "ä");
        check(b"\xe4", "no-such-charset", false, "ä");
        check(b"a +AOQ- b", "utf-7", false, "a ä b");
    }

    #[test]
    fn a_false_charset_is_told() {
        assert!(decode(b"\xe4", "utf-8", false, "windows-1252").declared_in_vain);
        assert!(!decode(b"a", "x-unknown", false, "windows-1252").declared_in_vain);
    }
}
