//! One leaf of a mail's MIME tree (RFC 2045, RFC 2183): its headers, and its bytes still encoded as they stand in the mail.

use std::borrow::Cow;

use crate::message::attachment::uuencode;
use crate::message::header::Headers;
use crate::message::header::encoded_word;
use crate::message::header::parameters::Parameters;
use crate::message::mime::transfer;

/// One leaf, described.
#[derive(Debug, Default)]
pub(crate) struct Part<'a> {
    /// The media type, lower case, without parameters.
    pub(crate) media: String,
    /// Whether a plain text says that its lines flow (RFC 3676).
    pub(crate) flow: Option<Flow>,
    /// The declared charset; empty when there is none.
    pub(crate) charset: String,
    /// The disposition, lower case; empty when there is none.
    pub(crate) disposition: String,
    /// The file name of the disposition; empty when there is none.
    pub(crate) filename: String,
    /// The name of the content type; empty when there is none.
    pub(crate) name: String,
    /// What more its type says: the `smime-type` of S/MIME (RFC 8551 §3.2.2), the `method` of a calendar (RFC 5546 §1.4);
    /// empty when it says nothing.
    pub(crate) aspect: String,
    /// Content-ID without angle brackets.
    pub(crate) content_id: String,
    /// Content-Location.
    pub(crate) location: String,
    /// Content-Description.
    pub(crate) description: String,
    /// Whether its parent is a `multipart/related` (RFC 2387).
    pub(crate) related: bool,
    /// How [`Self::bytes`] are encoded.
    pub(crate) encoding: Encoding,
    /// The body as it stands in the mail; owned when it was taken out of another part.
    pub(crate) bytes: Cow<'a, [u8]>,
}

/// How the lines of a `format=flowed` text are joined (RFC 3676 §4.1).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Flow {
    /// The blank at the end of a line stays.
    Keep,
    /// The blank at the end of a line goes (`delsp=yes`).
    Delete,
}

/// Content-Transfer-Encoding (RFC 2045 §6).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) enum Encoding {
    /// 7bit, 8bit, binary, and everything unknown.
    #[default]
    Identity,
    /// base64
    Base64,
    /// quoted-printable
    QuotedPrintable,
    /// x-uuencode, of mails older than MIME
    Uuencode,
}

impl Encoding {
    /// By the value of the header field, perhaps with a comment or a semicolon behind it, or in quotes.
    fn of(value: &str) -> Self {
        let word = value.trim().trim_start_matches(['"', '\'']).to_ascii_lowercase();
        let is = |names: &[&str]| names.iter().any(|name| word.starts_with(name));
        if is(&["base64"]) {
            Self::Base64
        } else if is(&["quoted-printable"]) {
            Self::QuotedPrintable
        } else if is(&["x-uuencode", "uuencode", "x-uue", "uue"]) {
            Self::Uuencode
        } else {
            Self::Identity
        }
    }
}

impl<'a> Part<'a> {
    /// Describes a leaf by its headers.
    pub(crate) fn new(headers: &Headers<'_>, bytes: &'a [u8]) -> Self {
        let kind = Parameters::of(headers, "Content-Type");
        let disposition = Parameters::of(headers, "Content-Disposition");
        Self {
            media: media_type(&kind.value),
            flow: kind
                .get("format")
                .eq_ignore_ascii_case("flowed")
                .then(|| if kind.get("delsp").eq_ignore_ascii_case("yes") { Flow::Delete } else { Flow::Keep }),
            charset: kind.get("charset"),
            filename: encoded_word::decode(&disposition.get("filename")),
            name: encoded_word::decode(&kind.get("name")),
            disposition: disposition.value,
            aspect: aspect(&kind),
            content_id: clean_id(&headers.raw("Content-ID")),
            location: headers.text("Content-Location"),
            description: headers.text("Content-Description"),
            related: false,
            encoding: Encoding::of(&headers.raw("Content-Transfer-Encoding")),
            bytes: bytes.into(),
        }
    }

    /// Whether it is shown as the text of the mail: plain text or HTML without a file name that is not said to be an
    /// attachment. A multipart whose parts could not be found is shown as it is.
    pub(crate) fn is_body(&self) -> bool {
        let text = matches!(self.media.as_str(), "text/plain" | "text/html") || self.media.starts_with("multipart/");
        text && self.disposition != "attachment" && self.filename.is_empty() && self.name.is_empty()
    }

    /// The bytes, decoded.
    pub(crate) fn decoded(&self) -> Cow<'_, [u8]> {
        match self.encoding {
            Encoding::Identity => Cow::Borrowed(&self.bytes),
            Encoding::Base64 => transfer::base64(&self.bytes).into(),
            Encoding::QuotedPrintable => transfer::quoted_printable(&self.bytes).into(),
            Encoding::Uuencode => uuencode::decode(&self.bytes).into(),
        }
    }

    /// The first of the bytes, decoded: not many more than `length`, and no work for the rest.
    pub(crate) fn beginning(&self, length: usize) -> Cow<'_, [u8]> {
        let encoded = match self.encoding {
            Encoding::Identity => length,
            Encoding::Base64 | Encoding::Uuencode => length.saturating_mul(3) / 2,
            Encoding::QuotedPrintable => length.saturating_mul(3),
        };
        let head = self.bytes.get(..encoded.min(self.bytes.len())).unwrap_or_default();
        match self.encoding {
            Encoding::Identity => head.into(),
            Encoding::Base64 => transfer::base64(head).into(),
            Encoding::QuotedPrintable => transfer::quoted_printable(head).into(),
            Encoding::Uuencode => uuencode::decode(head).into(),
        }
    }

    /// How many bytes [`Self::decoded`] gives; base64 is only counted.
    pub(crate) fn decoded_size(&self) -> u64 {
        let size = match self.encoding {
            Encoding::Identity => self.bytes.len(),
            Encoding::Base64 => transfer::base64_size(&self.bytes),
            Encoding::QuotedPrintable => transfer::quoted_printable(&self.bytes).len(),
            Encoding::Uuencode => uuencode::decode(&self.bytes).len(),
        };
        u64::try_from(size).unwrap_or(u64::MAX)
    }
}

/// What a type says beside itself, in lower case.
fn aspect(kind: &Parameters) -> String {
    let name = match kind.value.as_str() {
        "application/pkcs7-mime" | "application/x-pkcs7-mime" => "smime-type",
        "text/calendar" => "method",
        _ => return String::new(),
    };
    kind.get(name).to_ascii_lowercase()
}

/// An id without angle brackets and control characters (RFC 2392 §2); what stands behind the brackets is none of it.
fn clean_id(value: &str) -> String {
    let inside = value.trim_start_matches(['<', ' ']);
    let inside = inside.split_once('>').map_or(inside, |(inside, _)| inside);
    inside.trim().chars().filter(|c| !c.is_control()).collect()
}

/// The media type; `text/plain` where none is given or readable (RFC 2045 §5.2).
fn media_type(value: &str) -> String {
    let media: String = value.chars().filter(|c| !c.is_whitespace() && !c.is_control()).collect();
    match media.split_once('/') {
        Some((kind, subtype)) if !kind.is_empty() && !subtype.is_empty() => media,
        _ => "text/plain".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_is_what_stands_in_the_brackets() {
        for (value, expected) in
            [("<a@b>", "a@b"), ("a@b", "a@b"), (" < a@b > (x)", "a@b"), ("<<a@b>>", "a@b"), ("<a@b", "a@b"), ("", "")]
        {
            assert_eq!(clean_id(value), expected, "{value}");
        }
    }

    #[test]
    fn only_the_beginning_is_decoded() {
        for (encoding, bytes, expected) in [
            (Encoding::Identity, "abcd", "abc"),
            (Encoding::Base64, "YWJjZGVmZ2hp", "abc"),
            (Encoding::QuotedPrintable, "=61=62=63=64=65", "abc"),
            (Encoding::Uuencode, "#86)C\n", "abc"),
        ] {
            let part = Part { encoding, bytes: bytes.as_bytes().into(), ..Part::default() };
            let head = part.beginning(3);
            assert!(head.starts_with(expected.as_bytes()) || encoding == Encoding::Uuencode, "{encoding:?} {head:?}");
            assert!(head.len() < 10);
        }
    }
}
