//! The leaves that are not body, described: a safe name, the declared type, the decoded size. Their bytes stay in the raw
//! mail.

use crate::message::body::Body;
use crate::message::header;
use crate::message::html;
use crate::message::model::{Attachment, Defect, Rules};
use crate::message::name::Names;
use crate::message::part::{Encoding, Part};

/// The bytes of an attached mail that are searched for its subject.
const INNER_HEAD: usize = 64 * 1024;

/// Extensions for parts that come without any name.
const EXTENSIONS: &[(&str, &str)] = &[
    ("application/pdf", "pdf"),
    ("application/zip", "zip"),
    ("application/json", "json"),
    ("application/pgp-signature", "asc"),
    ("application/pkcs7-signature", "p7s"),
    ("application/x-pkcs7-signature", "p7s"),
    ("application/pkcs7-mime", "p7m"),
    ("application/ms-tnef", "dat"),
    ("message/rfc822", "eml"),
    ("message/global", "eml"),
    ("text/plain", "txt"),
    ("text/html", "html"),
    ("text/csv", "csv"),
    ("text/calendar", "ics"),
    ("text/vcard", "vcf"),
    ("text/x-vcard", "vcf"),
    ("text/rfc822-headers", "txt"),
    ("message/delivery-status", "txt"),
    ("message/disposition-notification", "txt"),
    ("message/feedback-report", "txt"),
    ("image/jpeg", "jpg"),
    ("image/png", "png"),
    ("image/gif", "gif"),
    ("image/bmp", "bmp"),
    ("image/webp", "webp"),
    ("image/tiff", "tif"),
    ("image/svg+xml", "svg"),
    ("audio/mpeg", "mp3"),
    ("audio/wav", "wav"),
    ("video/mp4", "mp4"),
];

/// Describes them in the order of the mail, at most as many as the limits allow.
pub(crate) fn describe(parts: &[Part<'_>], body: &Body, rules: &Rules, defects: &mut Vec<Defect>) -> Vec<Attachment> {
    let max = usize::try_from(rules.limits.attachments).unwrap_or(usize::MAX);
    let mut names = Names::new(rules.limits.filename_bytes);
    let others = || parts.iter().filter(|part| !part.is_body());
    let surplus = others().count().saturating_sub(max);
    if surplus > 0 {
        defects.push(Defect::new("attachments-cut", surplus.to_string()));
    }
    let referred = |id: &str| body.original.as_deref().is_some_and(|original| html::refers_to(original, id));
    // A picture with an id that is said to stand in place (RFC 2183 §2.1), or belongs to its HTML (RFC 2387), is part of the
    // text. Whatever else nobody refers to must stay in sight.
    let in_place = |part: &Part<'_>| {
        let said = part.disposition == "inline" || part.related && part.disposition != "attachment";
        said && part.media.starts_with("image/") && !part.content_id.is_empty()
    };
    let one = |part: &Part<'_>| Attachment {
        name: names.unique(&wanted_name(part, rules)),
        content_type: part.media.clone(),
        sniffed: String::new(),
        size: part.decoded_size(),
        inline: in_place(part) || referred(&part.content_id),
        content_id: part.content_id.replace('\0', ""),
    };
    others().take(max).map(one).collect()
}

/// The first of the places where a name may stand.
fn wanted_name(part: &Part<'_>, rules: &Rules) -> String {
    let said = [&part.filename, &part.name].into_iter().find(|name| !name.trim().is_empty());
    if let Some(name) = said {
        return name.clone();
    }
    let extension = extension(part);
    if let Some(subject) = inner_subject(part, rules) {
        return format!("{}.eml", subject.replace(['/', '\\'], "_"));
    }
    let location = part.location.split(['?', '#']).next().unwrap_or_default();
    if location.rsplit('/').next().is_some_and(|last| last.contains('.')) {
        return location.to_owned();
    }
    let id = part.content_id.split('@').next().unwrap_or_default();
    let is_extension = |end: &str| (2..=4).contains(&end.len()) && end.contains(char::is_alphabetic);
    if id.rsplit_once('.').is_some_and(|(stem, end)| !stem.is_empty() && is_extension(end)) {
        return id.to_owned();
    }
    match part.description.trim() {
        "" if !id.trim().is_empty() => format!("{}{extension}", id.replace(['/', '\\'], "_")),
        "" => format!("file{extension}"),
        words if words.contains('.') && !words.ends_with('.') => words.to_owned(),
        words => format!("{words}{extension}"),
    }
}

/// The subject of an attached mail.
fn inner_subject(part: &Part<'_>, rules: &Rules) -> Option<String> {
    if !matches!(part.media.as_str(), "message/rfc822" | "message/global") {
        return None;
    }
    let head = part.bytes.get(..part.bytes.len().min(INNER_HEAD)).unwrap_or_default();
    let short = Part { bytes: head.into(), encoding: part.encoding, ..Part::default() };
    let decoded = if part.encoding == Encoding::Identity { head.into() } else { short.decoded() };
    let subject = header::split(&decoded, &rules.limits, &mut Vec::new()).text("Subject");
    Some(subject.trim().to_owned()).filter(|subject| !subject.is_empty())
}

fn extension(part: &Part<'_>) -> String {
    let known = EXTENSIONS.iter().find(|(media, _)| *media == part.media);
    known.map(|(_, extension)| format!(".{extension}")).unwrap_or_default()
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
        check(part("message/rfc822"), "file.eml");
        check(part("application/x-unknown"), "file");
    }

    #[test]
    fn a_picture_is_inline_when_it_is_referred_to_or_said_to_stand_in_place() {
        let body = Body { original: Some("<img src=cid:x@y>".into()), ..Body::default() };
        let id = |id: &str, media: &str| Part { content_id: id.into(), ..part(media) };
        for (part, inline) in [
            (id("x@y", "image/png"), true),
            (Part { disposition: "attachment".into(), ..id("x@y", "image/png") }, true),
            (Part { disposition: "inline".into(), ..id("z", "image/png") }, true),
            (Part { related: true, ..id("z", "image/png") }, true),
            (Part { related: true, disposition: "attachment".into(), ..id("z", "image/png") }, false),
            (Part { disposition: "inline".into(), ..part("image/png") }, false),
            (Part { disposition: "inline".into(), ..id("z", "application/pdf") }, false),
            (id("z", "image/png"), false),
        ] {
            let found = describe(&[part], &body, &Rules::default(), &mut Vec::new());
            assert_eq!(found[0].inline, inline, "{found:?}");
        }
    }
}
