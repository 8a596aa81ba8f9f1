//! One leaf of a mail's MIME tree (RFC 2045, RFC 2183): its headers, and its bytes still encoded as they stand in the mail.

use std::borrow::Cow;

use crate::message::encoded_word;
use crate::message::header::Headers;
use crate::message::parameters::Parameters;
use crate::message::transfer;

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
}

impl<'a> Part<'a> {
    /// Describes a leaf by its headers.
    pub(crate) fn new(headers: &Headers<'_>, bytes: &'a [u8]) -> Self {
        let kind = Parameters::of(headers, "Content-Type");
        let disposition = Parameters::of(headers, "Content-Disposition");
        let encoding = match headers.raw("Content-Transfer-Encoding").trim().to_ascii_lowercase() {
            word if word.starts_with("base64") => Encoding::Base64,
            word if word.starts_with("quoted-printable") => Encoding::QuotedPrintable,
            _ => Encoding::Identity,
        };
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
            content_id: headers.raw("Content-ID").trim().trim_matches(['<', '>']).to_owned(),
            location: headers.text("Content-Location"),
            description: headers.text("Content-Description"),
            related: false,
            encoding,
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
        }
    }

    /// How many bytes [`Self::decoded`] gives; base64 is only counted.
    pub(crate) fn decoded_size(&self) -> u64 {
        let size = match self.encoding {
            Encoding::Identity => self.bytes.len(),
            Encoding::Base64 => transfer::base64_size(&self.bytes),
            Encoding::QuotedPrintable => transfer::quoted_printable(&self.bytes).len(),
        };
        u64::try_from(size).unwrap_or(u64::MAX)
    }
}

/// The media type; `text/plain` where none is given or readable (RFC 2045 §5.2).
fn media_type(value: &str) -> String {
    let media: String = value.chars().filter(|c| !c.is_whitespace() && !c.is_control()).collect();
    match media.split_once('/') {
        Some((kind, subtype)) if !kind.is_empty() && !subtype.is_empty() => media,
        _ => "text/plain".to_owned(),
    }
}
