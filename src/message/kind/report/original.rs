//! The mail that a report is about: its Message-Id and its recipient, out of the part that quotes it, out of its headers in
//! the text of the report, and at last out of the report's own headers.

use crate::message::header::address;
use crate::message::header::thread;
use crate::message::header::unfold;
use crate::message::header::{self, Headers};
use crate::message::kind::Sight;
use crate::message::kind::report::{FIELDS, amazon, head, window};
use crate::message::mime::part::Part;
use crate::message::model::Defect;

/// Parts that may quote the mail; more of them are not looked at.
const MAX_PARTS: usize = 8;
/// The header, as reports write it.
const NAME: &str = "message-id:";

/// The Message-Id, without angle brackets.
pub(crate) fn message_id(sight: &Sight<'_>) -> Option<String> {
    let quoted = quoted(sight).find_map(|part| {
        let bytes = head(part);
        let headers = headers(&bytes, sight);
        thread::message_id(&headers).or_else(|| in_text(&String::from_utf8_lossy(&bytes)))
    });
    let amazon = || sight.headers.has("X-Amz-Sns-Message-Id").then(|| amazon::message_id(window(sight.text))).flatten();
    let told = || {
        let names = ["X-Original-Message-ID", "Original-Message-ID", "In-Reply-To", "References"];
        names.iter().find_map(|name| {
            let field = sight.headers.all(name).last()?;
            thread::ids(&unfold(field.value)).pop()
        })
    };
    quoted.or_else(amazon).or_else(|| in_text(window(sight.text))).or_else(told)
}

/// The recipient of the quoted mail, when it has only one.
pub(crate) fn recipient(sight: &Sight<'_>) -> Option<String> {
    let part = quoted(sight).next()?;
    let bytes = head(part);
    let headers = headers(&bytes, sight);
    let mut found = address::list(&headers, "To", 2).addresses;
    let only = if found.len() == 1 { found.pop() } else { None };
    only.map(|only| only.address)
}

/// One id of a value.
pub(crate) fn id(value: &str) -> Option<String> {
    thread::ids(value).into_iter().find(|id| id.contains('@'))
}

fn quoted<'a>(sight: &Sight<'a>) -> impl Iterator<Item = &'a Part<'a>> {
    let quotes = |part: &&Part<'_>| {
        let media = part.media.as_str();
        let text = media.starts_with("text/") && !part.is_body();
        text || media.starts_with("message/") && !FIELDS.contains(&media)
    };
    // What is a mail by its type comes before what may only hold its headers.
    let by_type = |part: &&Part<'_>| part.media.starts_with("message/") || part.media == "text/rfc822-headers";
    let all = sight.parts.iter().filter(quotes);
    let (mails, texts): (Vec<_>, Vec<_>) = all.take(MAX_PARTS).partition(by_type);
    mails.into_iter().chain(texts)
}

fn headers<'a>(bytes: &'a [u8], sight: &Sight<'_>) -> Headers<'a> {
    header::split(bytes, sight.limits, &mut Vec::<Defect>::new())
}

/// The id behind the first name of the header that has one behind it, wherever headers stand in a text: quoted, indented,
/// folded, or all on one line.
fn in_text(text: &str) -> Option<String> {
    // ASCII only, so that every offset stays.
    let lower = text.to_ascii_lowercase();
    let behind = |at: usize| text.get(at.saturating_add(NAME.len())..);
    lower.match_indices(NAME).filter_map(|(at, _)| behind(at)).find_map(|value| {
        let mut words = value.split_whitespace();
        let word = words.by_ref().find(|word| !matches!(*word, ">" | "|"))?;
        let quoted = word.trim_start_matches(['>', '|']);
        id(quoted.split_inclusive('>').next().unwrap_or(quoted))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_is_found_among_quoted_headers() {
        for (text, expected) in [
            ("x\n> Message-Id: <a@b>\n", Some("a@b")),
            ("\tMESSAGE-ID: <a@b> (added)", Some("a@b")),
            ("Message-ID:\n <a@b>", Some("a@b")),
            ("Message-ID: none\nMessage-ID: <a@b>", Some("a@b")),
            ("From: x To: y Message-ID: <a@b> Date: z", Some("a@b")),
            ("> Message-ID:\n>  <a@b>", Some("a@b")),
            ("the Message-ID: of this mail is a@b", None),
            ("", None),
        ] {
            assert_eq!(in_text(text).as_deref(), expected, "{text}");
        }
    }
}
