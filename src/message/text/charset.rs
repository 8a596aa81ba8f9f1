//! Bytes to text (mail charsets, RFC 2978, in the reading of the WHATWG Encoding Standard). The ladder: a byte order mark, the
//! declared charset, the `<meta>` of HTML, strict UTF-8, a detector, then a default. Never fails: a byte without meaning
//! becomes U+FFFD. Text that was encoded twice is never repaired: nobody can tell it from text about encodings.
//!
//! A declared charset that can be read is believed, as every other reader of mail does; it is passed over only when the bytes
//! cannot be what it says: 8-bit bytes in `us-ascii`, a `utf-8` with hardly a valid letter, a `utf-16` without a NUL. Bytes that
//! would be valid UTF-8 under another label are read as declared, and the doubt is told.

use std::borrow::Cow;

use chardetng::{EncodingDetector, Iso2022JpDetection, Utf8Detection};
use encoding_rs::{
    BIG5, EUC_JP, EUC_KR, Encoding, GB18030, GBK, ISO_2022_JP, KOI8_R, KOI8_U, MACINTOSH, SHIFT_JIS, UTF_8,
    WINDOWS_874, WINDOWS_1252,
};
use memchr::memmem;

use crate::message::text::legacy::Legacy;

/// How many bytes of HTML are searched for a `<meta>`.
const META_WINDOW: usize = 2048;
/// How many bytes the detector sees.
const DETECTOR_WINDOW: usize = 64 * 1024;
/// With fewer bytes beyond ASCII the detector knows too little.
const DETECTOR_LEAST: usize = 4;

/// Text and how its charset was found.
#[derive(Debug)]
pub(crate) struct Decoded<'a> {
    /// The text.
    pub(crate) text: Cow<'a, str>,
    /// The charset, lower case.
    pub(crate) charset: &'static str,
    /// Which step of the ladder said so: `bom`, `declared`, `meta`, `utf-8`, `detected`, `default`.
    pub(crate) step: &'static str,
    /// The declared charset is unknown or does not fit the bytes.
    pub(crate) declared_in_vain: bool,
    /// The bytes are valid UTF-8 beyond ASCII, and were read as declared all the same.
    pub(crate) doubtful: bool,
}

impl<'a> Decoded<'a> {
    fn new(text: impl Into<Cow<'a, str>>, charset: &'static str, step: &'static str) -> Self {
        Self { text: text.into(), charset, step, declared_in_vain: false, doubtful: false }
    }

    /// How many letters could not be read. Text that was UTF-8 all along lost none here.
    pub(crate) fn lost(&self) -> usize {
        match &self.text {
            Cow::Borrowed(_) => 0,
            Cow::Owned(text) => memmem::find_iter(text.as_bytes(), "\u{fffd}".as_bytes()).count(),
        }
    }
}

/// Decodes the bytes of a body part.
pub(crate) fn decode<'a>(bytes: &'a [u8], declared: &str, html: bool, default: &str) -> Decoded<'a> {
    if let Some(decoded) = marked(bytes) {
        return decoded;
    }
    if let Some((text, charset)) = by_label(bytes, declared) {
        let mut decoded = Decoded::new(text, charset, "declared");
        decoded.doubtful = charset != "utf-8" && !bytes.is_ascii() && std::str::from_utf8(bytes).is_ok();
        return decoded;
    }
    let mut decoded = unless_declared(bytes, html, default);
    decoded.declared_in_vain = !declared.trim().is_empty() && !bytes.is_ascii();
    decoded
}

/// Decodes by a label; `None` when the label is unknown, says nothing (`us-ascii`), or the bytes prove it wrong.
pub(crate) fn declared_text<'a>(bytes: &'a [u8], label: &str) -> Option<Cow<'a, str>> {
    by_label(bytes, label).map(|(text, _)| text)
}

/// Text without a declared charset: strict UTF-8, else what a detector says, else windows-1252.
pub(crate) fn guess(bytes: &[u8]) -> Cow<'_, str> {
    unless_declared(bytes, false, "windows-1252").text
}

/// Text in which no letter was guessed, for what is shown as it came: strict UTF-8, else windows-1252, which gives each byte a
/// letter of its own.
pub(crate) fn literal(bytes: &[u8]) -> Cow<'_, str> {
    match std::str::from_utf8(bytes) {
        Ok(text) => text.into(),
        Err(_) if mostly_utf8(bytes) => String::from_utf8_lossy(bytes),
        Err(_) => WINDOWS_1252.decode_without_bom_handling(bytes).0,
    }
}

/// Text behind a byte order mark.
fn marked(bytes: &[u8]) -> Option<Decoded<'_>> {
    if bytes.starts_with(b"\xff\xfe\0\0") || bytes.starts_with(b"\0\0\xfe\xff") {
        return Some(Decoded::new(Legacy::Utf32.decode(bytes)?, Legacy::Utf32.name(), "bom"));
    }
    let (encoding, length) = Encoding::for_bom(bytes)?;
    let rest = bytes.get(length..).unwrap_or_default();
    Some(Decoded::new(encoding.decode_without_bom_handling(rest).0, name(encoding), "bom"))
}

fn unless_declared<'a>(bytes: &'a [u8], html: bool, default: &str) -> Decoded<'a> {
    let utf8 = std::str::from_utf8(bytes);
    match utf8 {
        Ok(text) if !(bytes.contains(&0x1b) || html && bytes.is_ascii()) => {
            return Decoded::new(text, "utf-8", "utf-8");
        }
        _ => {}
    }
    // A mail may be encoded anew on its way, its `<meta>` never is: letters that are valid UTF-8 are believed before it.
    let meta = if html && (utf8.is_err() || bytes.is_ascii()) { meta_charset(bytes) } else { None };
    if let Some((text, charset)) = meta.and_then(|label| by_label(bytes, &label)) {
        return Decoded::new(text, charset, "meta");
    }
    if let Some(encoding) = detected(bytes) {
        return Decoded::new(encoding.decode_without_bom_handling(bytes).0, name(encoding), "detected");
    }
    if let Ok(text) = utf8 {
        return Decoded::new(text, "utf-8", "utf-8");
    }
    if mostly_utf8(bytes) || is_binary(bytes) {
        return Decoded::new(String::from_utf8_lossy(bytes), "utf-8", "detected");
    }
    let encoding = match Charset::named(default) {
        Some(Charset::Web(encoding)) if encoding != UTF_8 => encoding,
        _ => WINDOWS_1252,
    };
    Decoded::new(encoding.decode_without_bom_handling(bytes).0, name(encoding), "default")
}

/// What the detector says, when it says more than its own default.
fn detected(bytes: &[u8]) -> Option<&'static Encoding> {
    let window = bytes.get(..bytes.len().min(DETECTOR_WINDOW)).unwrap_or_default();
    let japanese = [b"\x1b$B".as_slice(), b"\x1b$@"].into_iter().any(|mark| memmem::find(window, mark).is_some());
    let foreign = window.iter().filter(|byte| !byte.is_ascii()).count();
    if foreign == 0 && japanese {
        return Some(ISO_2022_JP);
    }
    if foreign < DETECTOR_LEAST || mostly_utf8(window) || is_binary(window) {
        return None;
    }
    let mut detector = EncodingDetector::new(Iso2022JpDetection::Deny);
    detector.feed(window, window.len() == bytes.len());
    Some(detector.guess(None, Utf8Detection::Deny)).filter(|encoding| *encoding != WINDOWS_1252)
}

/// Whether it is UTF-8 that was damaged or cut: more of its letters are valid than not.
fn mostly_utf8(bytes: &[u8]) -> bool {
    let (mut valid, mut broken) = (0_usize, 0_usize);
    for chunk in bytes.utf8_chunks() {
        let letters = chunk.valid().bytes().filter(|byte| *byte >= 0xc0).count();
        valid = valid.saturating_add(letters);
        broken = broken.saturating_add(usize::from(!chunk.invalid().is_empty()));
    }
    valid > broken
}

/// Whether it holds control characters that no text has.
fn is_binary(bytes: &[u8]) -> bool {
    bytes.iter().any(|byte| matches!(byte, 1..=6 | 0x0e..=0x1a | 0x1c..=0x1f))
}

/// A charset that can be decoded.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Charset {
    Ascii,
    Web(&'static Encoding),
    Legacy(Legacy),
}

impl Charset {
    /// By its label in any of the spellings that mail has: `UTF8`, `cp-850`, `_iso-2022-jp$ESC`, `"utf-8";`.
    fn named(label: &str) -> Option<Self> {
        if label.eq_ignore_ascii_case("utf-8") {
            return Some(Self::Web(UTF_8));
        }
        let label = label.trim().to_ascii_lowercase();
        let label = label.strip_prefix("charset=").unwrap_or(&label);
        let label = label.trim_start_matches(|c: char| !c.is_ascii_alphanumeric());
        let end = label.find(|c: char| !c.is_ascii_alphanumeric() && !"-_.:+ ".contains(c)).unwrap_or(label.len());
        let label = label.get(..end).unwrap_or_default().trim();
        let compact: String = label.chars().filter(char::is_ascii_alphanumeric).collect();
        if matches!(
            compact.as_str(),
            "usascii" | "ascii" | "ansix341968" | "ansix341986" | "iso646us" | "20127" | "7bit"
        ) {
            return Some(Self::Ascii);
        }
        if let Some(legacy) = Legacy::named(&compact) {
            return Some(Self::Legacy(legacy));
        }
        let encoding = Encoding::for_label_no_replacement(label.as_bytes()).or_else(|| spelled(&compact));
        encoding.map(Self::Web)
    }
}

/// By the labels that the standard does not know.
fn spelled(compact: &str) -> Option<&'static Encoding> {
    let begins = |words: &[&str]| words.iter().any(|word| compact.starts_with(word));
    Some(match compact {
        _ if begins(&["utf8", "unicode11utf8", "xutf8", "unicodeutf8"]) => UTF_8,
        _ if begins(&["iso2022jp", "csiso2022jp", "jis7"]) => ISO_2022_JP,
        _ if begins(&["shiftjis", "sjis", "xsjis", "mskanji", "windows31j", "cswindows31j"]) => SHIFT_JIS,
        _ if begins(&["eucjp", "xeucjp", "ujis"]) => EUC_JP,
        _ if begins(&["euckr", "xeuckr", "ksc", "ksx", "uhc", "xwindows949"]) => EUC_KR,
        _ if begins(&["gb18030"]) => GB18030,
        _ if begins(&["gb2312", "gbk", "xgbk", "euccn", "xeuccn", "gb231280", "gb"]) => GBK,
        _ if begins(&["big5", "xbig5", "xxbig5", "cnbig5"]) => BIG5,
        "koi8u" | "koi8ru" => KOI8_U,
        _ if begins(&["koi8"]) => KOI8_R,
        _ if begins(&["tis620", "xtis620", "iso885911"]) => WINDOWS_874,
        _ if begins(&["xmacroman", "macroman", "macintosh"]) => MACINTOSH,
        "ansi" | "ansix3110" | "winansi" => WINDOWS_1252,
        _ => return numbered(compact),
    })
}

/// By the number of a code page or of a part of ISO 8859.
fn numbered(compact: &str) -> Option<&'static Encoding> {
    let digits = compact.trim_start_matches(|c: char| c.is_ascii_alphabetic());
    let family = compact.strip_suffix(digits).unwrap_or_default();
    let number: u32 = digits.parse().ok()?;
    let label = match (family, number) {
        ("windows" | "win" | "cp" | "xcp" | "ms" | "xwindows" | "ibm" | "codepage" | "", 874 | 1250..=1258) => {
            format!("windows-{number}")
        }
        ("cp" | "windows" | "ms" | "xms" | "ibm" | "win", 932) => "shift_jis".to_owned(),
        ("cp" | "windows" | "ms" | "win", 936) => "gbk".to_owned(),
        ("cp" | "windows" | "ms" | "win", 949) => "euc-kr".to_owned(),
        ("cp" | "windows" | "ms" | "win", 950) => "big5".to_owned(),
        ("cp", 65001) => "utf-8".to_owned(),
        ("iso" | "xiso" | "", 88591..=88599) => format!("iso-8859-{}", number.checked_rem(10)?),
        ("iso" | "xiso" | "", 885_910..=885_916) => format!("iso-8859-{}", number.checked_rem(100)?),
        ("latin" | "isolatin", 1..=6 | 8 | 10) => format!("latin{number}"),
        ("latin" | "isolatin", 0 | 9 | 15) => "iso-8859-15".to_owned(),
        _ => return None,
    };
    Encoding::for_label_no_replacement(label.as_bytes())
}

/// The text and the charset that it was read in.
fn by_label<'a>(bytes: &'a [u8], label: &str) -> Option<(Cow<'a, str>, &'static str)> {
    match Charset::named(label)? {
        Charset::Ascii => {
            let text = std::str::from_utf8(bytes).ok().filter(|text| text.is_ascii() && !text.contains('\x1b'))?;
            Some((text.into(), "us-ascii"))
        }
        Charset::Legacy(legacy) => Some((legacy.decode(bytes)?.into(), legacy.name())),
        Charset::Web(encoding) if encoding == UTF_8 => {
            let text = match std::str::from_utf8(bytes) {
                // Japanese of seven bits, sent by a program that only knows how to say `utf-8`.
                Ok(_) if bytes.contains(&0x1b) && detected(bytes).is_some() => return None,
                Ok(text) => text.into(),
                Err(_) if mostly_utf8(bytes) || is_binary(bytes) => String::from_utf8_lossy(bytes),
                Err(_) => return None,
            };
            Some((text, name(encoding)))
        }
        Charset::Web(encoding) => {
            let encoding = of_windows(encoding, bytes);
            Some((encoding.decode_without_bom_handling(bytes).0, name(encoding)))
        }
    }
}

/// A part of ISO 8859 has only controls between 0x80 and 0x9F; a text that uses them is in the code page of Windows that took
/// its place, as the standard says of ISO 8859-1 itself.
fn of_windows(encoding: &'static Encoding, bytes: &[u8]) -> &'static Encoding {
    let label: &[u8] = match encoding.name() {
        "ISO-8859-2" => b"windows-1250",
        "ISO-8859-4" | "ISO-8859-13" => b"windows-1257",
        "ISO-8859-6" => b"windows-1256",
        "ISO-8859-7" => b"windows-1253",
        "ISO-8859-8" | "ISO-8859-8-I" => b"windows-1255",
        "ISO-8859-15" => b"windows-1252",
        _ => return encoding,
    };
    let uses_them = bytes.iter().any(|byte| matches!(byte, 0x80..=0x9f));
    if uses_them { Encoding::for_label(label).unwrap_or(encoding) } else { encoding }
}

/// The name of an encoding, lower case.
fn name(encoding: &'static Encoding) -> &'static str {
    const NAMES: &[&str] = &[
        "big5",
        "euc-jp",
        "euc-kr",
        "gb18030",
        "gbk",
        "ibm866",
        "iso-2022-jp",
        "iso-8859-10",
        "iso-8859-13",
        "iso-8859-14",
        "iso-8859-15",
        "iso-8859-16",
        "iso-8859-2",
        "iso-8859-3",
        "iso-8859-4",
        "iso-8859-5",
        "iso-8859-6",
        "iso-8859-7",
        "iso-8859-8",
        "iso-8859-8-i",
        "koi8-r",
        "koi8-u",
        "macintosh",
        "shift_jis",
        "utf-16be",
        "utf-16le",
        "utf-8",
        "windows-1250",
        "windows-1251",
        "windows-1252",
        "windows-1253",
        "windows-1254",
        "windows-1255",
        "windows-1256",
        "windows-1257",
        "windows-1258",
        "windows-874",
        "x-mac-cyrillic",
    ];
    let name = encoding.name();
    NAMES.iter().find(|lower| lower.eq_ignore_ascii_case(name)).copied().unwrap_or(name)
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
    fn check(bytes: &[u8], declared: &str, html: bool, text: &str, verdict: (&str, &str)) {
        let found = decode(bytes, declared, html, "windows-1252");
        assert_eq!((found.text.as_ref(), (found.charset, found.step)), (text, verdict), "{declared}");
    }

    #[test]
    fn the_ladder_is_mark_then_declared_then_meta_then_utf8_then_detector_then_default() {
        check("\u{feff}ä".as_bytes(), "iso-8859-1", false, "ä", ("utf-8", "bom"));
        check(b"\xff\xfea\0", "", false, "a", ("utf-16le", "bom"));
        check(b"gr\xfc\xdfe", "iso-8859-1", false, "grüße", ("windows-1252", "declared"));
        check(b"\xd0\xd2\xc9", "koi8-r", false, "при", ("koi8-r", "declared"));
        check(b"<meta charset=koi8-r>\xd0", "", true, "<meta charset=koi8-r>п", ("koi8-r", "meta"));
        check("<meta charset=koi8-r>ä".as_bytes(), "", true, "<meta charset=koi8-r>ä", ("utf-8", "utf-8"));
        check("ä".as_bytes(), "us-ascii", false, "ä", ("utf-8", "utf-8"));
        check(b"a", "us-ascii", false, "a", ("us-ascii", "declared"));
        let russian = b"\xc7\xe4\xf0\xe0\xe2\xf1\xf2\xe2\xf3\xe9\xf2\xe5, \xea\xe0\xea \xe4\xe5\xeb\xe0?";
        check(russian, "", false, "Здравствуйте, как дела?", ("windows-1251", "detected"));
        check(b"\x1b$B$\"\x1b(B", "", false, "あ", ("iso-2022-jp", "detected"));
        check(b"Gr\xfc\xdfe aus K\xf6ln, sch\xf6n", "", false, "Grüße aus Köln, schön", ("windows-1252", "default"));
        check(b"\xe4", "", false, "ä", ("windows-1252", "default"));
        assert_eq!(decode(b"\xe9", "", false, "iso-8859-2").text, "é");
    }

    #[test]
    fn a_charset_that_cannot_be_true_is_passed_over() {
        check(b"\xe4", "utf-8", false, "ä", ("windows-1252", "default"));
        check(b"\xe4", "no-such-charset", false, "ä", ("windows-1252", "default"));
        check("ä b".as_bytes(), "utf-16", false, "ä b", ("utf-8", "utf-8"));
        check(b"\x1b$B$\"\x1b(B", "utf-8", false, "あ", ("iso-2022-jp", "detected"));
        check(b"a\xe4", "hz-gb-2312", false, "aä", ("windows-1252", "default"));
        for label in ["unknown-8bit", "x-unknown", "default", ""] {
            check("ä".as_bytes(), label, false, "ä", ("utf-8", "utf-8"));
        }
        assert!(decode(b"\xe4", "utf-8", false, "windows-1252").declared_in_vain);
        assert!(!decode(b"a", "x-unknown", false, "windows-1252").declared_in_vain);
    }

    #[test]
    fn a_declared_charset_is_believed_and_the_doubt_is_told() {
        check("ä".as_bytes(), "iso-8859-1", false, "Ã¤", ("windows-1252", "declared"));
        assert!(decode("ä".as_bytes(), "iso-8859-1", false, "").doubtful);
        assert!(!decode(b"\xe4", "iso-8859-1", false, "").doubtful);
        assert!(!decode(b"a", "iso-8859-1", false, "").doubtful);
    }

    #[test]
    fn damaged_utf8_stays_utf8() {
        check(b"\xc3\xa4\xc3\xb6\xc3", "utf-8", false, "äö\u{fffd}", ("utf-8", "declared"));
        check(b"\xc3\xa4\xc3\xb6 \xff", "", false, "äö \u{fffd}", ("utf-8", "detected"));
        assert_eq!(decode(b"\xc3\xa4\xc3\xb6\xc3", "utf-8", false, "").lost(), 1);
    }

    #[test]
    fn bytes_that_are_no_text_are_not_read_as_letters() {
        check(b"\x01\x02\xff\xfe\xfd", "", false, "\u{1}\u{2}\u{fffd}\u{fffd}\u{fffd}", ("utf-8", "detected"));
    }

    #[test]
    fn what_is_shown_as_it_came_is_not_guessed() {
        for (bytes, expected) in
            [(b"\xcf\xf0\xe8\xe2\xe5\xf2".as_slice(), "Ïðèâåò"), ("ä".as_bytes(), "ä"), (b"\xc3\xa4\xff", "Ã¤ÿ")]
        {
            assert_eq!(literal(bytes), expected);
        }
        assert_eq!(literal(b"\xc3\xa4\xc3\xa4\xff"), "ää\u{fffd}");
    }

    #[test]
    fn labels_are_read_in_every_spelling() {
        for (label, expected) in [
            ("UTF8", "utf-8"),
            ("\"utf-8\"; ", "utf-8"),
            ("charset=utf-8", "utf-8"),
            ("unicode-1-1-utf-8", "utf-8"),
            ("_iso-2022-jp$ESC", "iso-2022-jp"),
            ("iso-2022-jp-2", "iso-2022-jp"),
            ("ISO8859-15", "iso-8859-15"),
            ("iso_8859_2", "iso-8859-2"),
            ("8859-1", "windows-1252"),
            ("Latin-1", "windows-1252"),
            ("latin 9", "iso-8859-15"),
            ("win-1251", "windows-1251"),
            ("cp-1252", "windows-1252"),
            ("windows1250", "windows-1250"),
            ("cp932", "shift_jis"),
            ("ms_kanji", "shift_jis"),
            ("shift_jis-2004", "shift_jis"),
            ("ks_c_5601-1987", "euc-kr"),
            ("cp949", "euc-kr"),
            ("GB2312", "gbk"),
            ("cp936", "gbk"),
            ("gb18030-2000", "gb18030"),
            ("big5-hkscs", "big5"),
            ("iso-8859-8-i", "iso-8859-8-i"),
            ("x-mac-cyrillic", "x-mac-cyrillic"),
            ("TIS-620", "windows-874"),
            ("koi8-ru", "koi8-u"),
        ] {
            let found = Charset::named(label);
            assert_eq!(
                found.map(|found| match found {
                    Charset::Web(encoding) => name(encoding),
                    Charset::Legacy(legacy) => legacy.name(),
                    Charset::Ascii => "us-ascii",
                }),
                Some(expected),
                "{label}"
            );
        }
        for label in ["us-ascii", "ANSI_X3.4-1968", "us-ascii (plain)"] {
            assert_eq!(Charset::named(label), Some(Charset::Ascii), "{label}");
        }
        for label in ["", "x-unknown", "unknown-8bit", "$$$", "iso-2022-cn", "replacement"] {
            assert_eq!(Charset::named(label), None, "{label}");
        }
    }

    #[test]
    fn windows_letters_under_an_iso_label_are_letters() {
        check(b"\x80 5", "iso-8859-15", false, "€ 5", ("windows-1252", "declared"));
        check(b"\xa4 5", "iso-8859-15", false, "€ 5", ("iso-8859-15", "declared"));
        check(b"\x8a\xb9", "iso-8859-2", false, "Šą", ("windows-1250", "declared"));
    }
}
