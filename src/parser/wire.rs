//! Frames between the pool and its workers: one byte of kind, four bytes of length (little endian), then so many bytes. A
//! length is compared with its bound before any memory is taken for it, on both sides.

use crate::message::{Depth, Language, Message, Rules};

/// The bytes in front of a payload.
pub(crate) const HEAD: usize = 5;

/// The bound of a [`Kind::Rules`] payload.
pub(crate) const MAX_RULES: usize = 1 << 20;

/// What a frame holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    /// To the worker: [`Rules`] as JSON, for all mails that follow.
    Rules,
    /// To the worker: one byte of depth, then the raw mail.
    Mail,
    /// To the worker: one byte of depth, then the path of the file that holds the raw mail.
    File,
    /// From the worker, once, before anything else: why it is not fenced in; empty when it is.
    Hello,
    /// From the worker: the [`Message`] as JSON.
    Message,
    /// From the worker: reading the mail panicked. The worker lives.
    Panic,
    /// From the worker: there is no such file, or it cannot be read.
    NoFile,
}

/// A frame that breaks the format or a bound.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Broken {
    /// No frame begins with this byte.
    #[error("unknown frame kind {0}")]
    Kind(u8),
    /// The announced length is beyond the bound.
    #[error("a frame of {0} bytes where {1} are allowed")]
    Length(usize, usize),
}

impl Kind {
    const ALL: [Self; 7] = [Self::Rules, Self::Mail, Self::File, Self::Hello, Self::Message, Self::Panic, Self::NoFile];

    const fn byte(self) -> u8 {
        match self {
            Self::Rules => b'R',
            Self::Mail => b'M',
            Self::File => b'F',
            Self::Hello => b'H',
            Self::Message => b'A',
            Self::Panic => b'P',
            Self::NoFile => b'N',
        }
    }
}

/// The bytes in front of a payload of that length.
pub(crate) fn head(kind: Kind, length: usize) -> Result<[u8; HEAD], Broken> {
    let wide = u32::try_from(length).map_err(|_| Broken::Length(length, u32::MAX as usize))?;
    let [a, b, c, d] = wide.to_le_bytes();
    Ok([kind.byte(), a, b, c, d])
}

/// Reads the bytes in front of a payload: its kind and length, which is at most what `bound` says for the kind.
pub(crate) fn read_head(head: [u8; HEAD], bound: impl Fn(Kind) -> usize) -> Result<(Kind, usize), Broken> {
    let [byte, a, b, c, d] = head;
    let kind = Kind::ALL.into_iter().find(|kind| kind.byte() == byte).ok_or(Broken::Kind(byte))?;
    let length = usize::try_from(u32::from_le_bytes([a, b, c, d])).unwrap_or(usize::MAX);
    let bound = bound(kind);
    if length > bound { Err(Broken::Length(length, bound)) } else { Ok((kind, length)) }
}

/// The bound of a [`Kind::Mail`] payload: the largest mail that is ever fetched whole, and the byte of depth.
pub(crate) fn max_mail(rules: &Rules) -> usize {
    bytes(rules.limits.message_size.0).saturating_add(1)
}

/// The bound of a [`Kind::File`] payload.
pub(crate) const MAX_PATH: usize = 4 << 10;

/// The bound of a [`Kind::Message`] payload: what the limits let a message grow to, every character escaped.
pub(crate) fn max_message(rules: &Rules) -> usize {
    let limits = &rules.limits;
    let text = bytes(limits.body_chars.into()).saturating_mul(3 * 6);
    let headers = bytes(limits.header_bytes.0).saturating_mul(4 * 6);
    let attachments = bytes(limits.attachments.into()).saturating_mul(64 * 1024);
    text.saturating_add(headers).saturating_add(attachments).saturating_add(1 << 20)
}

/// The byte of a depth.
pub(crate) const fn depth_byte(depth: Depth) -> u8 {
    match depth {
        Depth::Full => 0,
        Depth::Text => 1,
        Depth::Headers => 2,
    }
}

/// The depth of a byte.
pub(crate) const fn depth_of(byte: u8) -> Option<Depth> {
    match byte {
        0 => Some(Depth::Full),
        1 => Some(Depth::Text),
        2 => Some(Depth::Headers),
        _ => None,
    }
}

/// Reads an answer as hostile: JSON of the right shape, not deeper than asked for, within the counts of the limits.
pub(crate) fn read_message(payload: &[u8], rules: &Rules, asked: Depth) -> Result<Message, &'static str> {
    let message: Message = serde_json::from_slice(payload).map_err(|_| "not a message")?;
    let within = |count: usize, limit: u32| count <= bytes(limit.into());
    let limits = &rules.limits;
    let people = [&message.from, &message.reply_to, &message.to, &message.cc, &message.bcc];
    let rules = [
        (message.depth >= asked, "read deeper than asked for"),
        (within(message.attachments.len(), limits.attachments), "too many attachments"),
        (within(message.headers.len(), limits.header_count), "too many headers"),
        (within(message.references.len(), limits.reference_count), "too many references"),
        (within(people.iter().map(|list| list.len()).sum(), limits.address_count), "too many addresses"),
        ((1..=850).contains(&message.message_id.chars().count()), "an impossible message id"),
        (message.canonical_hash.len() == 64, "an impossible hash"),
        (within(message.in_reply_to.len(), limits.reference_count), "too many ids"),
        (within(message.charsets.len(), limits.parts), "too many charsets"),
        (message.evidence.len() <= MAX_WORDS && message.defects.len() <= MAX_WORDS, "too much evidence"),
        (is_visible(&message), "an impossible visible part"),
        (message.language.as_ref().is_none_or(is_language), "an impossible language"),
        (
            message.report.as_ref().is_none_or(|report| within(report.recipients.len(), limits.address_count)),
            "too many recipients",
        ),
        (words(&message).all(|word| word.len() <= MAX_WORD), "a word that is too long"),
    ];
    match rules.iter().find(|(kept, _)| !kept) {
        Some((_, broken)) => Err(broken),
        None => Ok(message),
    }
}

/// More pieces of evidence, or defects, than any mail has.
const MAX_WORDS: usize = 1_000;
/// More bytes than any of [`words`] has.
const MAX_WORD: usize = 4 << 10;

/// Whether the visible part is one of the text.
fn is_visible(message: &Message) -> bool {
    let chars = message.visible.as_ref().map_or(0, |visible| bytes(visible.chars.into()));
    chars <= message.text.len() && (chars == 0 || chars <= message.text.chars().count())
}

fn is_language(language: &Language) -> bool {
    language.code.len() == 2 && language.code.bytes().all(|byte| byte.is_ascii_lowercase()) && language.percent <= 100
}

/// The short texts that the mail's text and headers do not account for.
fn words(message: &Message) -> impl Iterator<Item = &String> {
    let report = message.report.iter();
    let recipients = report.clone().flat_map(|report| &report.recipients);
    let told = recipients.flat_map(|recipient| [&recipient.address, &recipient.action, &recipient.status]);
    let attachments = &message.attachments;
    message
        .evidence
        .iter()
        .chain(message.defects.iter().flat_map(|defect| [&defect.code, &defect.detail]))
        .chain(message.charsets.iter().flat_map(|verdict| [&verdict.charset, &verdict.step]))
        .chain(message.visible.iter().map(|visible| &visible.reason))
        .chain(attachments.iter().map(|part| &part.sniffed))
        .chain([&message.date_source])
        .chain(report.filter_map(|report| report.original_message_id.as_ref()))
        .chain(told)
}

fn bytes(number: u64) -> usize {
    usize::try_from(number).unwrap_or(usize::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::message::{Defect, Recipient, Report, Visible, parse};

    #[test]
    fn a_head_survives_its_bytes() {
        for kind in Kind::ALL {
            let bytes = head(kind, 70_000).expect("a length");
            assert_eq!(read_head(bytes, |_| 70_000), Ok((kind, 70_000)));
            assert_eq!(read_head(bytes, |_| 69_999), Err(Broken::Length(70_000, 69_999)));
        }
        assert_eq!(read_head([0; HEAD], |_| 1), Err(Broken::Kind(0)));
        assert!(head(Kind::Mail, usize::MAX).is_err());
    }

    #[test]
    fn an_answer_is_not_believed() {
        let rules = Rules::default();
        let message = parse(b"Subject: x\n\ny", &rules, Depth::Text);
        let json = serde_json::to_vec(&message).expect("a message is JSON");
        assert_eq!(read_message(&json, &rules, Depth::Text), Ok(message.clone()));
        assert!(read_message(&json, &rules, Depth::Headers).is_err());
        assert!(read_message(b"{}", &rules, Depth::Text).is_err());
    }

    #[test]
    fn nothing_in_an_answer_is_beyond_its_bounds() {
        let rules = Rules::default();
        let message = parse(b"Subject: x\n\nnew\n> old", &rules, Depth::Text);
        let recipients = vec![Recipient::default(); 1_001];
        let language = |code: &str, percent| Some(Language { code: code.to_owned(), percent });
        let visible = |chars| Some(Visible { chars, reason: "quote".to_owned() });
        let report = |recipients| Some(Report { recipients, original_message_id: Some("x".repeat(MAX_WORD + 1)) });
        for forged in [
            Message { message_id: String::new(), ..message.clone() },
            Message { language: language("english", 90), ..message.clone() },
            Message { language: language("EN", 90), ..message.clone() },
            Message { language: language("en", 101), ..message.clone() },
            Message { visible: visible(10), ..message.clone() },
            Message { visible: visible(u32::MAX), ..message.clone() },
            Message { report: report(recipients), ..message.clone() },
            Message { report: report(Vec::new()), ..message.clone() },
            Message { evidence: vec![String::new(); MAX_WORDS + 1], ..message.clone() },
            Message {
                defects: vec![Defect { code: "x".repeat(MAX_WORD + 1), detail: String::new() }],
                ..message.clone()
            },
            Message { in_reply_to: vec![String::new(); 201], ..message.clone() },
            Message { date_source: "x".repeat(MAX_WORD + 1), ..message.clone() },
        ] {
            let json = serde_json::to_vec(&forged).expect("a message is JSON");
            assert!(read_message(&json, &rules, Depth::Text).is_err(), "{forged:?}");
        }
        assert_eq!(message.visible, visible(3));
    }
}
