//! Charsets of mail that the Web does not know (the Encoding Standard leaves them out): UTF-7 (RFC 2152), UTF-16 and UTF-32
//! without a mark (RFC 2781), ISO-2022-KR (RFC 1557), HZ (RFC 1843) and the code pages of DOS. Never fails: what has no
//! meaning becomes U+FFFD.

use encoding_rs::{EUC_KR, Encoding, GBK, UTF_16BE, UTF_16LE, WINDOWS_1252};

/// The upper half of code page 437.
const CP437: &str = "ÇüéâäàåçêëèïîìÄÅÉæÆôöòûùÿÖÜ¢£¥₧ƒáíóúñÑªº¿⌐¬½¼¡«»░▒▓│┤╡╢╖╕╣║╗╝╜╛┐└┴┬├─┼╞╟╚╔╩╦╠═╬╧╨╤╥╙╘╒╓╫╪┘┌█▄▌▐▀αßΓπΣσµτΦΘΩδ∞φε∩≡±≥≤⌠⌡÷≈°∙·√ⁿ²■\u{a0}";
/// The upper half of code page 850.
const CP850: &str = "ÇüéâäàåçêëèïîìÄÅÉæÆôöòûùÿÖÜø£Ø×ƒáíóúñÑªº¿®¬½¼¡«»░▒▓│┤ÁÂÀ©╣║╗╝¢¥┐└┴┬├─┼ãÃ╚╔╩╦╠═╬¤ðÐÊËÈıÍÎÏ┘┌█▄¦Ì▀ÓßÔÒõÕµþÞÚÛÙýÝ¯´\u{ad}±‗¾¶§÷¸°¨·¹³²■\u{a0}";
/// The upper half of code page 852.
const CP852: &str = "ÇüéâäůćçłëŐőîŹÄĆÉĹĺôöĽľŚśÖÜŤťŁ×čáíóúĄąŽžĘę¬źČş«»░▒▓│┤ÁÂĚŞ╣║╗╝Żż┐└┴┬├─┼Ăă╚╔╩╦╠═╬¤đĐĎËďŇÍÎě┘┌█▄ŢŮ▀ÓßÔŃńňŠšŔÚŕŰýÝţ´\u{ad}˝˛ˇ˘§÷¸°¨˙űŘř■\u{a0}";
/// How far is looked for the order of the bytes.
const ORDER_WINDOW: usize = 4096;

/// One of them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Legacy {
    Utf7,
    Utf16,
    Utf16Be,
    Utf16Le,
    Utf32,
    Hz,
    Iso2022Kr,
    Cp437,
    Cp850,
    Cp852,
}

impl Legacy {
    /// By its label, lower case, nothing but letters and digits.
    pub(crate) fn named(compact: &str) -> Option<Self> {
        Some(match compact {
            "utf7" | "unicode11utf7" | "csutf7" | "csunicode11utf7" | "xutf7" => Self::Utf7,
            "utf16be" | "csutf16be" | "unicodefffe" => Self::Utf16Be,
            "utf16le" | "csutf16le" => Self::Utf16Le,
            "utf16" | "csutf16" | "ucs2" | "iso10646ucs2" | "unicode" | "csunicode" | "unicodefeff" => Self::Utf16,
            "utf32" | "utf32le" | "utf32be" | "csutf32" | "ucs4" | "iso10646ucs4" => Self::Utf32,
            "hz" | "hzgb2312" => Self::Hz,
            "iso2022kr" | "csiso2022kr" => Self::Iso2022Kr,
            "cp437" | "ibm437" | "437" | "cspc8codepage437" | "oem437" | "dos437" => Self::Cp437,
            "cp850" | "ibm850" | "850" | "cspc850multilingual" | "cp858" | "ibm00858" | "dos850" => Self::Cp850,
            "cp852" | "ibm852" | "852" | "cspcp852" | "dos852" => Self::Cp852,
            _ => return None,
        })
    }

    /// Its name, lower case.
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Utf7 => "utf-7",
            Self::Utf16 => "utf-16",
            Self::Utf16Be => "utf-16be",
            Self::Utf16Le => "utf-16le",
            Self::Utf32 => "utf-32",
            Self::Hz => "hz-gb-2312",
            Self::Iso2022Kr => "iso-2022-kr",
            Self::Cp437 => "cp437",
            Self::Cp850 => "cp850",
            Self::Cp852 => "cp852",
        }
    }

    /// Decodes; `None` when the bytes plainly are something else.
    pub(crate) fn decode(self, bytes: &[u8]) -> Option<String> {
        match self {
            Self::Utf7 => bytes.is_ascii().then(|| utf7(bytes)),
            Self::Hz => bytes.is_ascii().then(|| hz(bytes)),
            Self::Iso2022Kr => bytes.is_ascii().then(|| iso_2022_kr(bytes)),
            Self::Cp437 => Some(code_page(bytes, CP437)),
            Self::Cp850 => Some(code_page(bytes, CP850)),
            Self::Cp852 => Some(code_page(bytes, CP852)),
            // Text of two or four bytes per letter holds blanks and line ends, and they hold NUL.
            _ if bytes.len() > 2 && !bytes.contains(&0) && std::str::from_utf8(bytes).is_ok() => None,
            Self::Utf16Be => Some(web(UTF_16BE, bytes)),
            Self::Utf16Le => Some(web(UTF_16LE, bytes)),
            Self::Utf16 => Some(web(if big_endian(bytes, 2) { UTF_16BE } else { UTF_16LE }, bytes)),
            Self::Utf32 => Some(utf32(bytes)),
        }
    }
}

fn web(encoding: &'static Encoding, bytes: &[u8]) -> String {
    encoding.decode_with_bom_removal(bytes).0.into_owned()
}

/// Whether the high byte comes first: there most of the NULs are. Without any, the standard's default (RFC 2781 §4.3).
fn big_endian(bytes: &[u8], width: usize) -> bool {
    let window = bytes.get(..bytes.len().min(ORDER_WINDOW)).unwrap_or_default();
    let zeros = |place: usize| window.iter().skip(place).step_by(width).filter(|byte| **byte == 0).count();
    zeros(0) >= zeros(width.saturating_sub(1))
}

fn utf32(bytes: &[u8]) -> String {
    let big = big_endian(bytes, 4);
    let (units, rest) = bytes.as_chunks::<4>();
    let number = |unit: &[u8; 4]| if big { u32::from_be_bytes(*unit) } else { u32::from_le_bytes(*unit) };
    let letters = units.iter().map(|unit| char::from_u32(number(unit)).unwrap_or(char::REPLACEMENT_CHARACTER));
    let cut = (!rest.is_empty()).then_some(char::REPLACEMENT_CHARACTER);
    letters.skip_while(|c| *c == '\u{feff}').chain(cut).collect()
}

/// A code page that has ASCII below and `table` above.
fn code_page(bytes: &[u8], table: &str) -> String {
    let upper: Vec<char> = table.chars().collect();
    let letter = |byte: &u8| match byte.checked_sub(0x80) {
        None => char::from(*byte),
        Some(place) => upper.get(usize::from(place)).copied().unwrap_or(char::REPLACEMENT_CHARACTER),
    };
    bytes.iter().map(letter).collect()
}

/// UTF-7: letters beyond ASCII stand as base64 of UTF-16 between `+` and `-`. What is no such run stays as it is.
fn utf7(bytes: &[u8]) -> String {
    let mut out = String::with_capacity(bytes.len());
    let mut rest = bytes;
    while let Some(at) = memchr::memchr(b'+', rest) {
        let (plain, run) = rest.split_at_checked(at).unwrap_or_default();
        out.push_str(&WINDOWS_1252.decode_without_bom_handling(plain).0);
        let run = run.get(1..).unwrap_or_default();
        let length = run.iter().take_while(|byte| six_bits(**byte).is_some()).count();
        let (letters, after) = run.split_at_checked(length).unwrap_or_default();
        rest = after.strip_prefix(b"-").unwrap_or(after);
        match shifted(letters) {
            Some(text) => out.push_str(&text),
            None => {
                out.push('+');
                // `+-` is the plus sign itself.
                rest = if letters.is_empty() { rest } else { run };
            }
        }
    }
    out.push_str(&WINDOWS_1252.decode_without_bom_handling(rest).0);
    out
}

/// The text of a run; `None` when it holds no whole letter or bits that belong to none.
fn shifted(letters: &[u8]) -> Option<String> {
    let (mut bits, mut held) = (0_u32, 0_u32);
    let mut units = Vec::with_capacity(letters.len());
    for value in letters.iter().filter_map(|byte| six_bits(*byte)) {
        bits = (bits << 6) | u32::from(value);
        held = held.saturating_add(6);
        if held >= 16 {
            held = held.saturating_sub(16);
            units.push(u16::try_from((bits >> held) & 0xffff).unwrap_or_default());
            bits &= (1_u32 << held).saturating_sub(1);
        }
    }
    (!units.is_empty() && bits == 0).then(|| String::from_utf16_lossy(&units))
}

const fn six_bits(byte: u8) -> Option<u8> {
    match byte {
        b'A'..=b'Z' => byte.checked_sub(b'A'),
        b'a'..=b'z' => byte.checked_sub(b'a' - 26),
        b'0'..=b'9' => byte.checked_add(52 - b'0'),
        b'+' => Some(62),
        b'/' => Some(63),
        _ => None,
    }
}

/// HZ: what stands between `~{` and `~}` is GB 2312 in seven bits.
fn hz(bytes: &[u8]) -> String {
    let mut plain = Vec::with_capacity(bytes.len());
    let (mut wide, mut escaped) = (false, false);
    for byte in bytes {
        if escaped {
            escaped = false;
            match byte {
                b'{' => wide = true,
                b'}' => wide = false,
                b'~' => plain.push(b'~'),
                b'\n' => {}
                other => plain.extend_from_slice(&[b'~', *other]),
            }
            continue;
        }
        escaped = *byte == b'~';
        wide &= *byte != b'\n';
        if !escaped {
            plain.push(if wide && *byte > b' ' { byte | 0x80 } else { *byte });
        }
    }
    web(GBK, &plain)
}

/// ISO-2022-KR: what stands between shift-out and shift-in is KS X 1001 in seven bits, at most to the end of the line.
fn iso_2022_kr(bytes: &[u8]) -> String {
    const HEADER: &[u8] = b"\x1b$)C";
    let mut plain = Vec::with_capacity(bytes.len());
    for line in bytes.split_inclusive(|byte| *byte == b'\n') {
        let mut wide = false;
        for byte in line.strip_prefix(HEADER).unwrap_or(line) {
            match byte {
                0x0e => wide = true,
                0x0f => wide = false,
                other => plain.push(if wide && *other > b' ' { other | 0x80 } else { *other }),
            }
        }
    }
    web(EUC_KR, &plain)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(label: &str, bytes: &[u8], expected: Option<&str>) {
        let legacy = Legacy::named(label).expect("a charset");
        assert_eq!(legacy.decode(bytes).as_deref(), expected, "{}", legacy.name());
    }

    #[test]
    fn utf7_is_read_and_a_plain_plus_stays() {
        check("utf7", b"a +AOQ- b", Some("a ä b"));
        check("utf7", b"+APw.x", Some("ü.x"));
        check("utf7", b"Hi Mom -+Jjo--!", Some("Hi Mom -☺-!"));
        check("utf7", b"1+1=2 +- a++b", Some("1+1=2 + a++b"));
        check("utf7", b"+2D3eAQ-", Some("😁"));
        check("utf7", b"cut +AOQ", Some("cut ä"));
        check("utf7", b"\xe4", None);
    }

    #[test]
    fn wide_letters_are_read_in_their_order() {
        check("utf16", b"\0a\0\n", Some("a\n"));
        check("utf16", b"a\0\n\0", Some("a\n"));
        check("utf16le", b"\xff\xfea\0", Some("a"));
        check("utf16", b"plain text", None);
        check("utf32", b"a\0\0\0\xe4\0\0\0", Some("aä"));
        check("utf32", b"\0\0\xfe\xff\0\0\0a\0\0", Some("a\u{fffd}"));
    }

    #[test]
    fn letters_of_seven_bits_are_read() {
        check("hz", b"a ~{<:Ky2;~} ~~ ~\nb", Some("a 己所不 ~ b"));
        check("hz", b"~{<:\nKy", Some("己\nKy"));
        check("iso2022kr", b"\x1b$)C\n\x0eGQ1[\x0f x\n", Some("\n한글 x\n"));
        check("hz", b"\xe4", None);
    }

    #[test]
    fn code_pages_of_dos_have_all_their_letters() {
        for (table, first, last) in [(CP437, 'Ç', '\u{a0}'), (CP850, 'Ç', '\u{a0}'), (CP852, 'Ç', '\u{a0}')] {
            let letters: Vec<_> = table.chars().collect();
            assert_eq!((letters.len(), letters[0], letters[127]), (128, first, last));
        }
        check("cp437", b"gr\x81\xe1e", Some("grüße"));
        check("cp850", b"\x9b", Some("ø"));
        check("cp852", b"\xa9", Some("ę"));
    }
}
