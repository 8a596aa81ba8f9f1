//! The leaves that are not body, described: a safe name, the declared type and the one that the first bytes speak of, the
//! decoded size, whether it stands within the HTML (RFC 2183, RFC 2392, RFC 2557). Their bytes stay in the raw mail.
//!
//! Never trusts a type or a name, never opens an archive: what only pretends to be harmless is said by a [`Defect`].

pub(crate) mod name;
pub(crate) mod opened;
pub(crate) mod sealed;
pub(crate) mod sniff;
pub(crate) mod tnef;
pub(crate) mod uuencode;

use std::collections::HashSet;

use crate::message::attachment::name::Names;
use crate::message::header;
use crate::message::html;
use crate::message::mime::part::{Encoding, Part};
use crate::message::mime::transfer;
use crate::message::model::{Attachment, Defect, Rules};
use crate::message::text::body::Body;

/// The bytes of an attached mail that are searched for its subject.
const INNER_HEAD: usize = 64 * 1024;
/// Types that only say that nothing is known.
const VAGUE: &[&str] =
    &["application/octet-stream", "application/binary", "application/x-unknown-content-type", "application/x-unknown"];

/// Media type, extension, and the name of a part that has none where its extension alone would say little. The first of a
/// type names its extension, the first of an extension its type.
const TYPES: &[(&str, &str, &str)] = &[
    ("text/plain", "txt", "file"),
    ("application/pdf", "pdf", "file"),
    ("application/zip", "zip", "file"),
    ("application/json", "json", "file"),
    ("application/xml", "xml", "file"),
    ("text/xml", "xml", "file"),
    ("application/rtf", "rtf", "file"),
    ("text/rtf", "rtf", "file"),
    ("application/msword", "doc", "file"),
    ("application/vnd.ms-excel", "xls", "file"),
    ("application/vnd.ms-powerpoint", "ppt", "file"),
    ("application/vnd.ms-outlook", "msg", "message"),
    ("application/vnd.openxmlformats-officedocument.wordprocessingml.document", "docx", "file"),
    ("application/vnd.openxmlformats-officedocument.spreadsheetml.sheet", "xlsx", "file"),
    ("application/vnd.openxmlformats-officedocument.presentationml.presentation", "pptx", "file"),
    ("application/vnd.oasis.opendocument.text", "odt", "file"),
    ("application/vnd.oasis.opendocument.spreadsheet", "ods", "file"),
    ("application/vnd.oasis.opendocument.presentation", "odp", "file"),
    ("application/gzip", "gz", "file"),
    ("application/x-gzip", "gz", "file"),
    ("application/vnd.rar", "rar", "file"),
    ("application/x-7z-compressed", "7z", "file"),
    ("application/x-tar", "tar", "file"),
    ("application/postscript", "ps", "file"),
    ("application/vnd.microsoft.portable-executable", "exe", "file"),
    ("application/mac-binhex40", "hqx", "file"),
    ("application/pgp-signature", "asc", "signature"),
    ("application/pgp-encrypted", "asc", "encrypted"),
    ("application/pgp-keys", "asc", "key"),
    ("application/pkcs7-signature", "p7s", "smime"),
    ("application/x-pkcs7-signature", "p7s", "smime"),
    ("application/pkcs7-mime", "p7m", "smime"),
    ("application/x-pkcs7-mime", "p7m", "smime"),
    ("application/ms-tnef", "dat", "winmail"),
    ("application/vnd.ms-tnef", "dat", "winmail"),
    ("message/rfc822", "eml", "message"),
    ("message/global", "eml", "message"),
    ("message/partial", "eml", "partial"),
    ("message/external-body", "txt", "external-body"),
    ("message/delivery-status", "txt", "delivery-status"),
    ("message/global-delivery-status", "txt", "delivery-status"),
    ("message/disposition-notification", "txt", "disposition-notification"),
    ("message/global-disposition-notification", "txt", "disposition-notification"),
    ("message/feedback-report", "txt", "feedback-report"),
    ("text/rfc822-headers", "txt", "headers"),
    ("message/rfc822-headers", "txt", "headers"),
    ("message/global-headers", "txt", "headers"),
    ("text/html", "html", "file"),
    ("text/html", "htm", "file"),
    ("text/css", "css", "file"),
    ("text/csv", "csv", "file"),
    ("text/calendar", "ics", "calendar"),
    ("text/vcard", "vcf", "contact"),
    ("text/x-vcard", "vcf", "contact"),
    ("text/directory", "vcf", "contact"),
    ("text/enriched", "txt", "file"),
    ("text/richtext", "txt", "file"),
    ("image/jpeg", "jpg", "file"),
    ("image/jpeg", "jpeg", "file"),
    ("image/pjpeg", "jpg", "file"),
    ("image/png", "png", "file"),
    ("image/gif", "gif", "file"),
    ("image/bmp", "bmp", "file"),
    ("image/webp", "webp", "file"),
    ("image/tiff", "tif", "file"),
    ("image/tiff", "tiff", "file"),
    ("image/heic", "heic", "file"),
    ("image/svg+xml", "svg", "file"),
    ("image/x-icon", "ico", "file"),
    ("audio/mpeg", "mp3", "file"),
    ("audio/wav", "wav", "file"),
    ("audio/x-wav", "wav", "file"),
    ("audio/mp4", "m4a", "file"),
    ("audio/amr", "amr", "file"),
    ("audio/ogg", "ogg", "file"),
    ("video/mp4", "mp4", "file"),
    ("video/mpeg", "mpg", "file"),
    ("video/quicktime", "mov", "file"),
    ("video/webm", "webm", "file"),
    ("video/3gpp", "3gp", "file"),
];

/// The media type of a file name by its extension.
pub(crate) fn media_of(name: &str) -> Option<&'static str> {
    let (_, extension) = name.rsplit_once('.')?;
    // Anything may be called `.dat`.
    let is = |known: &str| extension.eq_ignore_ascii_case(known) && known != "dat";
    TYPES.iter().find(|(_, known, _)| is(known)).map(|(media, _, _)| *media)
}

/// Describes them in the order of the mail, at most as many as the limits allow.
pub(crate) fn describe(parts: &[Part<'_>], body: &Body, rules: &Rules, defects: &mut Vec<Defect>) -> Vec<Attachment> {
    let max = usize::try_from(rules.limits.attachments).unwrap_or(usize::MAX);
    let mut names = Names::new(rules.limits.filename_bytes);
    let others = || parts.iter().filter(|part| !part.is_body());
    let surplus = others().count().saturating_sub(max);
    if surplus > 0 {
        defects.push(Defect::new("attachments-cut", surplus.to_string()));
    }
    let html = body.original.as_deref().unwrap_or_default();
    let written = if others().any(|part| !part.content_id.is_empty()) { written_ids(html) } else { HashSet::new() };
    let one = |part: &Part<'_>| {
        let sniffed = sniff::media(&part.beginning(sniff::WINDOW));
        Attachment {
            name: names.unique(&wanted_name(part, sniffed, rules)),
            content_type: part.media.clone(),
            sniffed: sniffed.to_owned(),
            size: part.decoded_size(),
            inline: written.contains(part.content_id.as_bytes()) || is_inline(part, html),
            content_id: part.content_id.clone(),
        }
    };
    let described: Vec<_> = others().take(max).map(one).collect();
    others().filter(|part| part.media == "text/calendar").take(1).for_each(|part| {
        defects.push(Defect::new("calendar", &part.aspect));
    });
    warn(&described, defects);
    described
}

/// Whether it stands within the text: a picture with an id that is not said to be an attachment (RFC 2183 §2.1), or whatever
/// the HTML refers to by id (RFC 2392) or by place (RFC 2557 §8). Whatever else nobody refers to must stay in sight.
fn is_inline(part: &Part<'_>, html: &str) -> bool {
    let in_place = part.media.starts_with("image/") && !part.content_id.is_empty() && part.disposition != "attachment";
    // An id of one or two letters, or a place, that stands by chance somewhere in a text means nothing.
    in_place || html::refers_to(html, &part.content_id) || part.related && html::refers_to(html, part.location.trim())
}

/// The ids that the HTML refers to in another way of writing: `cid:a%20b%40c` (RFC 2392 §2).
fn written_ids(html: &str) -> HashSet<Vec<u8>> {
    let end = |c: char| c.is_whitespace() || matches!(c, '"' | '\'' | '>' | '<' | ')');
    let scheme = |before: &str| {
        before.len().checked_sub(3).and_then(|at| before.get(at..)).is_some_and(|s| s.eq_ignore_ascii_case("cid"))
    };
    let mut ids = HashSet::new();
    let mut pieces = html.split(':');
    let mut before = pieces.next().unwrap_or_default();
    for piece in pieces {
        let id = piece.split(end).next().unwrap_or_default();
        if scheme(before) && id.contains('%') {
            ids.insert(transfer::percent(id));
        }
        before = piece;
    }
    ids
}

/// Says what a person should know before opening an attachment.
fn warn(attachments: &[Attachment], defects: &mut Vec<Defect>) {
    for part in attachments.iter().filter(|part| sniff::is_disguised(&part.sniffed, &part.content_type, &part.name)) {
        let extension = part.name.rsplit_once('.').map(|(_, extension)| extension).unwrap_or_default();
        defects
            .push(Defect::new("program-disguised", format!("{} as {} .{extension}", part.sniffed, part.content_type)));
    }
    let active = |part: &&Attachment| sniff::is_active(&part.content_type) || sniff::is_active(&part.sniffed);
    let count = attachments.iter().filter(active).count();
    if count > 0 {
        defects.push(Defect::new("attachment-active", count.to_string()));
    }
}

/// The first of the places where a name may stand. What the sender calls a file name goes before what only may be one.
fn wanted_name(part: &Part<'_>, sniffed: &str, rules: &Rules) -> String {
    let said = [&part.filename, &part.name].into_iter().find(|name| !name.trim().is_empty());
    if let Some(name) = said {
        return name.clone();
    }
    if let Some(subject) = inner_subject(part, rules) {
        return format!("{}.eml", subject.replace(['/', '\\'], "_"));
    }
    let location = part.location.split(['?', '#']).next().unwrap_or_default();
    if location.rsplit('/').next().is_some_and(|last| last.contains('.')) {
        return location.to_owned();
    }
    let within = if part.encoding == Encoding::Uuencode { uuencode::name(&part.bytes) } else { String::new() };
    if !within.is_empty() {
        return within;
    }
    let id = part.content_id.split('@').next().unwrap_or_default();
    let is_extension = |end: &str| (2..=4).contains(&end.len()) && end.contains(char::is_alphabetic);
    if id.rsplit_once('.').is_some_and(|(stem, end)| !stem.is_empty() && is_extension(end)) {
        return id.to_owned();
    }
    let (stem, extension) = usual_name(part, sniffed);
    match part.description.trim() {
        "" if stem == "file" && !id.trim().is_empty() => format!("{}{extension}", id.replace(['/', '\\'], "_")),
        "" => format!("{stem}{extension}"),
        words if words.contains('.') && !words.ends_with('.') => words.to_owned(),
        words => format!("{}{extension}", words.replace(['/', '\\'], "_")),
    }
}

/// The subject of an attached mail.
fn inner_subject(part: &Part<'_>, rules: &Rules) -> Option<String> {
    if !matches!(part.media.as_str(), "message/rfc822" | "message/global") {
        return None;
    }
    let head = part.beginning(INNER_HEAD);
    let subject = header::split(&head, &rules.limits, &mut Vec::new()).text("Subject");
    Some(subject.trim().to_owned()).filter(|subject| !subject.is_empty())
}

/// The name and the extension of a part that comes without any: by its type, else by its first bytes.
fn usual_name(part: &Part<'_>, sniffed: &str) -> (&'static str, String) {
    let media = if VAGUE.contains(&part.media.as_str()) { sniffed } else { part.media.as_str() };
    let known = TYPES.iter().find(|(known, _, _)| *known == media);
    known.map_or(("file", String::new()), |(_, extension, stem)| (*stem, format!(".{extension}")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(part: Part<'_>, expected: &str) {
        let found = describe(&[part], &Body::default(), &Rules::default(), &mut Vec::new());
        assert_eq!(found[0].name, expected);
    }

    fn part(media: &str) -> Part<'static> {
        Part { media: media.to_owned(), ..Part::default() }
    }

    #[test]
    fn a_name_is_found_wherever_it_stands() {
        check(Part { filename: "a.pdf".into(), name: "b.pdf".into(), ..part("application/pdf") }, "a.pdf");
        check(Part { name: "../b.pdf".into(), ..part("application/pdf") }, "b.pdf");
        check(Part { location: "http://x/y/z.gif?q".into(), ..part("image/gif") }, "z.gif");
        check(Part { content_id: "image001.png@01D".into(), ..part("image/png") }, "image001.png");
        check(Part { content_id: "part1/a.0815@x".into(), ..part("image/png") }, "part1_a.0815.png");
        check(Part { description: "the plan".into(), ..part("application/pdf") }, "the plan.pdf");
        check(Part { bytes: b"Subject: =?utf-8?q?a/b?=\n\nx".into(), ..part("message/rfc822") }, "a_b.eml");
        let encoding = Encoding::Uuencode;
        check(Part { encoding, bytes: b"begin 644 a.doc\n#86)C\n".into(), ..part("application/x-unknown") }, "a.doc");
    }

    #[test]
    fn a_part_without_a_name_gets_a_usual_one() {
        check(part("message/rfc822"), "message.eml");
        check(part("text/calendar"), "calendar.ics");
        check(part("text/x-vcard"), "contact.vcf");
        check(part("application/pkcs7-mime"), "smime.p7m");
        check(part("application/x-pkcs7-signature"), "smime.p7s");
        check(part("application/pgp-signature"), "signature.asc");
        check(part("message/delivery-status"), "delivery-status.txt");
        check(part("image/png"), "file.png");
        check(part("application/x-unknown"), "file");
        check(Part { bytes: b"%PDF-1.4".into(), ..part("application/octet-stream") }, "file.pdf");
        check(Part { bytes: b"%PDF-1.4".into(), ..part("application/x-foo") }, "file");
    }

    #[test]
    fn a_picture_is_inline_when_it_is_referred_to_or_said_to_stand_in_place() {
        let html = "<img src=cid:x@y><img src='CID:%7Ba%20b%7D%40c'><img src=\"http://h/p.png\">";
        let body = Body { original: Some(html.into()), ..Body::default() };
        let id = |id: &str, media: &str| Part { content_id: id.into(), ..part(media) };
        let location = |related| Part { location: "http://h/p.png".into(), related, ..part("image/png") };
        for (part, inline) in [
            (id("x@y", "image/png"), true),
            (id("x@y", "application/octet-stream"), true),
            (id("{a b}@c", "application/octet-stream"), true),
            (id("{a b}@d", "application/octet-stream"), false),
            (Part { disposition: "attachment".into(), ..id("x@y", "image/png") }, true),
            (Part { disposition: "inline".into(), ..id("z", "image/png") }, true),
            (id("z", "image/png"), true),
            (Part { disposition: "attachment".into(), ..id("z", "image/png") }, false),
            (Part { disposition: "inline".into(), ..part("image/png") }, false),
            (Part { disposition: "inline".into(), ..id("z", "application/pdf") }, false),
            (location(true), true),
            (location(false), false),
        ] {
            let found = describe(&[part], &body, &Rules::default(), &mut Vec::new());
            assert_eq!(found[0].inline, inline, "{found:?}");
        }
    }

    #[track_caller]
    fn warned(declared: &str, name: &str, bytes: &'static [u8], sniffed: &str, expected: &[&str]) {
        let mut defects = Vec::new();
        let part = Part { filename: name.into(), bytes: bytes.into(), ..part(declared) };
        let found = describe(&[part], &Body::default(), &Rules::default(), &mut defects);
        assert_eq!((found[0].content_type.as_str(), found[0].sniffed.as_str()), (declared, sniffed));
        assert_eq!(defects.iter().map(|defect| defect.code.as_str()).collect::<Vec<_>>(), expected);
    }

    #[test]
    fn what_is_not_what_it_says_is_told_and_its_declared_type_is_kept() {
        warned("image/png", "a.png", b"\x89PNG\r\n\x1a\n", "image/png", &[]);
        warned("application/pdf", "a.pdf", b"\x7fELF", "application/x-elf", &["program-disguised"]);
        warned("application/octet-stream", "a.elf", b"\x7fELF", "application/x-elf", &[]);
        warned("text/html", "a.html", b"<html>", "text/html", &["attachment-active"]);
        warned("image/svg+xml", "a.svg", b"<svg/>", "image/svg+xml", &["attachment-active"]);
        warned("image/png", "a.png", b"<html><script>", "text/html", &["attachment-active"]);
        warned("application/xml", "a.xml", b"", "", &["attachment-active"]);
    }
}
