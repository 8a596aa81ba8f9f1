//! From the mail that was read to the entity that is posted. Pure: the same input gives the same entity, byte for byte.
//!
//! Every field of the API page is filled here or left at its documented default on purpose: `Ticket`, `Person` and
//! `CreatedBy` stay null, since the server connects by `MessageId` and knows its people; `Sentiment` stays 0 ("no idea").

mod debug_info;
mod headers;
mod lengths;

use crate::clock::UtcMillis;
use crate::config::Mailbox;
use crate::entity::TicketMessageEntity;
use crate::entity::message::{AttachmentEntity, Badge, MessageCategory, MessageType};
use crate::ids::{MailboxName, QueueId, Uid, UidValidity};
use crate::message::{Attachment, Depth, Kind, Message};

use lengths::Fitting;

/// Where a mail came from: what `DebugInfo` and the fallbacks need.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Origin {
    /// The id in our queue; `DebugInfo` begins with it.
    pub queue_id: QueueId,
    /// The mailbox.
    pub mailbox: MailboxName,
    /// The folder.
    pub folder: String,
    /// The folder's UIDVALIDITY.
    pub uidvalidity: UidValidity,
    /// The UID.
    pub uid: Uid,
    /// INTERNALDATE, the fallback of `CreatedAt`.
    pub internal_date: UtcMillis,
    /// Size of the raw mail in bytes as the server told it; larger than what is stored for a stub.
    pub size: u64,
    /// Only the headers were fetched, since the mail is larger than `message_size`.
    pub stub: bool,
}

impl Origin {
    /// Of a mail that lies in a file: no queue and no folder knows it. `size` in bytes.
    #[must_use]
    pub fn of_file(mailbox: MailboxName, internal_date: UtcMillis, size: u64) -> Self {
        Self {
            queue_id: QueueId::NIL,
            mailbox,
            folder: "INBOX".to_owned(),
            uidvalidity: UidValidity(0),
            uid: Uid(0),
            internal_date,
            size,
            stub: false,
        }
    }
}

/// Makes the entity.
#[must_use]
pub fn compose(message: &Message, origin: &Origin, mailbox: &Mailbox) -> TicketMessageEntity {
    let mut fitting = Fitting::default();
    let sorter = if mailbox.mail_sorter.is_empty() { origin.mailbox.as_str() } else { &mailbox.mail_sorter };
    let note = note(message, origin);
    let html = message.html.as_deref().map(|html| noted_html(html, note.as_deref()));
    let mut entity = TicketMessageEntity {
        created_at: created_at(message, origin).to_string(),
        author: author(message).map(|author| fitting.fit("Author", author, 255)),
        slevel: mailbox.security_level,
        message_type: if html.is_some() { MessageType::Html } else { MessageType::Plain },
        message_id: Some(fitting.fit("MessageId", &format!("<{}>", message.message_id), 850)),
        body: Some(noted_text(&message.text, note.as_deref())),
        html_body: html,
        email_header: Some(message.header_block.clone()),
        mail_sorter: Some(fitting.fit("MailSorter", sorter, 255)),
        message_category: if message.kind == Kind::Bounce { MessageCategory::Bounce } else { MessageCategory::Message },
        search_title: Some(fitting.fit("SearchTitle", &message.subject, 255)),
        message_headers: Some(headers::of(message, &mut fitting)),
        important: message.important,
        language: Some(fitting.fit("Language", language(message, mailbox), 10)).filter(|code| !code.is_empty()),
        badge: Badge::Incoming,
        attachments_info: Some(message.attachments.iter().map(|part| attachment(part, &mut fitting)).collect()),
        ..TicketMessageEntity::default()
    };
    entity.debug_info = Some(debug_info::of(message, origin, &fitting));
    without_nul(&mut entity);
    entity
}

/// What `DebugInfo` begins with: the look-up of an unknown outcome reads it back.
#[must_use]
pub fn debug_marker(queue_id: QueueId) -> String {
    format!("mailbridge qid={queue_id}")
}

/// The mark that the end of [`debug_marker`] needs, so that one id is never the beginning of another: a blank or the end.
#[must_use]
pub fn carries(debug_info: &str, queue_id: QueueId) -> bool {
    debug_info.trim_start().split_once("qid=").is_some_and(|(head, rest)| {
        head == "mailbridge " && rest.split_whitespace().next() == Some(queue_id.to_string().as_str())
    })
}

/// The date of the mail, but never after the server got it: a sender's clock does not put a mail into the future.
fn created_at(message: &Message, origin: &Origin) -> UtcMillis {
    let date = message.date.map_or(origin.internal_date, |date| date.min(origin.internal_date));
    // What no calendar shows would make the request a poison one.
    if jiff::Timestamp::from_millisecond(date.0).is_ok() { date } else { UtcMillis(0) }
}

/// The From address; a sender that is none (`MAILER-DAEMON`) as it stands.
fn author(message: &Message) -> Option<&str> {
    let address = message.from.first().map(|from| from.address.as_str());
    address.or(Some(message.from_text.as_str())).filter(|author| !author.is_empty())
}

/// What the mail is written in, when that is sure, else what the mailbox is for.
fn language<'a>(message: &'a Message, mailbox: &'a Mailbox) -> &'a str {
    message.language.as_ref().map_or(&mailbox.language, |language| &language.code)
}

/// What is said on top of a mail that could not be shown whole.
fn note(message: &Message, origin: &Origin) -> Option<String> {
    let what = match (origin.stub, message.depth) {
        (true, _) => "This mail is larger than the limit; only its headers are shown. It is still in the mailbox.",
        (false, Depth::Text) => {
            "Only the headers and the text of this mail could be read; its attachments are not listed."
        }
        (false, Depth::Headers) => "Only the headers of this mail could be read.",
        (false, Depth::Full) => return None,
    };
    Some(format!("[mailbridge: {what} Queue id {}.]", origin.queue_id))
}

fn noted_text(text: &str, note: Option<&str>) -> String {
    match note {
        Some(note) => format!("{note}\n\n{text}"),
        None => text.to_owned(),
    }
}

/// The note has no character that HTML gives a meaning.
fn noted_html(html: &str, note: Option<&str>) -> String {
    match note {
        Some(note) => format!("<p>{note}</p>\n{html}"),
        None => html.to_owned(),
    }
}

fn attachment(part: &Attachment, fitting: &mut Fitting) -> AttachmentEntity {
    let shown = part.content_type.starts_with("image/") || !part.content_id.is_empty();
    AttachmentEntity {
        name: Some(fitting.fit("AttachmentsInfo.Name", &part.name, 255)),
        content_type: Some(fitting.fit("AttachmentsInfo.ContentType", &part.content_type, 255)),
        // `AttSize` is an int32 on the wire.
        att_size: i64::try_from(part.size).unwrap_or(i64::MAX).min(i64::from(i32::MAX)),
        inline_image: part.inline && shown,
        content_id: Some(fitting.fit("AttachmentsInfo.ContentId", &part.content_id, 255)),
        auth_key: Some(String::new()),
        ..AttachmentEntity::default()
    }
}

/// U+0000 is valid JSON, but no database text.
fn without_nul(entity: &mut TicketMessageEntity) {
    let strip = |text: &mut String| {
        if text.contains('\0') {
            text.retain(|c| c != '\0');
        }
    };
    let texts = [
        &mut entity.author,
        &mut entity.message_id,
        &mut entity.body,
        &mut entity.html_body,
        &mut entity.email_header,
        &mut entity.debug_info,
        &mut entity.search_title,
    ];
    texts.into_iter().flatten().for_each(strip);
    let headers = entity.message_headers.iter_mut().flatten();
    headers.flat_map(|header| [&mut header.name, &mut header.value]).flatten().for_each(strip);
    let parts = entity.attachments_info.iter_mut().flatten();
    parts.flat_map(|part| [&mut part.name, &mut part.content_type, &mut part.content_id]).flatten().for_each(strip);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::message::{Rules, parse};

    pub(crate) fn origin() -> Origin {
        let file = Origin::of_file("support".parse().expect("a name"), UtcMillis(1_795_341_731_480), 100);
        Origin { queue_id: QueueId::generate(), uidvalidity: UidValidity(1), uid: Uid(7), ..file }
    }

    fn composed(raw: &str, depth: Depth) -> (TicketMessageEntity, Origin) {
        let origin = origin();
        (compose(&parse(raw.as_bytes(), &Rules::default(), depth), &origin, &Mailbox::default()), origin)
    }

    #[test]
    fn a_date_in_the_future_is_the_server_s() {
        for (date, expected) in [
            ("Fri, 21 Nov 2025 09:55:06 -0600", "2025-11-21T15:55:06.000Z"),
            ("Fri, 21 Nov 2097 09:55:06 -0600", "2026-11-22T10:02:11.480Z"),
            ("never", "2026-11-22T10:02:11.480Z"),
        ] {
            assert_eq!(composed(&format!("Date: {date}\n\n"), Depth::Full).0.created_at, expected);
        }
    }

    #[test]
    fn debug_info_begins_with_the_marker_and_names_no_person() {
        let (entity, origin) = composed("From: Ann <ann@example.org>\nSubject: secret\n\nx", Depth::Full);
        let info = entity.debug_info.expect("always there");
        assert!(carries(&info, origin.queue_id), "{info}");
        assert!(!carries(&info, QueueId::generate()));
        assert!(!info.contains("ann") && !info.contains("secret"), "{info}");
    }

    #[test]
    fn a_degraded_mail_says_so_on_top() {
        let (entity, origin) = composed("Subject: x\n\ntext", Depth::Headers);
        let body = entity.body.expect("always there");
        assert!(body.starts_with("[mailbridge: ") && body.contains(&origin.queue_id.to_string()), "{body}");
    }

    #[test]
    fn nul_never_leaves() {
        let raw = "From: a\0b\nTo: x\0 <y@z>\nSubject: \0s\nMessage-ID: <\0a@b>\nX\0: y\n\nbo\0dy";
        let (entity, _) = composed(raw, Depth::Full);
        let json = serde_json::to_string(&entity).expect("an entity is JSON");
        assert!(!json.contains("\\u0000"), "{json}");
    }

    #[test]
    fn long_fields_are_cut_and_told() {
        let (entity, _) = composed(&format!("Subject: {}\n\nx", "ü".repeat(300)), Depth::Full);
        assert_eq!(entity.search_title.map(|title| title.chars().count()), Some(255));
        assert!(entity.debug_info.expect("always there").ends_with("shortened: SearchTitle 300>255"));
    }

    #[test]
    fn no_field_is_longer_than_its_column() {
        let raw = "From: ann@example.org\nSubject: x\nContent-Type: multipart/mixed; boundary=b\n\n--b\n\nx\n--b\n\
            Content-Type: application/pdf; name=a.pdf\n\nx\n--b--";
        let mut message = parse(raw.as_bytes(), &Rules::default(), Depth::Full);
        let long = "ü".repeat(2_000);
        message.from = vec![crate::message::Address { name: String::new(), address: long.clone() }];
        (message.subject, message.message_id) = (long.clone(), long.clone());
        message.headers = vec![crate::message::Header { name: long.clone(), value: "x".to_owned() }];
        for part in &mut message.attachments {
            (part.name, part.content_type, part.content_id) = (long.clone(), long.clone(), long.clone());
        }
        let mailbox = Mailbox { mail_sorter: long.clone(), language: long.clone(), ..Mailbox::default() };
        let entity = compose(&message, &origin(), &mailbox);
        let (part, header) = (&entity.attachments_info.as_ref().expect("one")[0], entity.message_headers.as_ref());
        let named =
            header.expect("one").iter().find_map(|header| header.name.clone().filter(|name| name.contains('ü')));
        let info = entity.debug_info.as_deref().expect("always there");
        for (name, value, max) in [
            ("Author", &entity.author, 255),
            ("MessageId", &entity.message_id, 850),
            ("MailSorter", &entity.mail_sorter, 255),
            ("SearchTitle", &entity.search_title, 255),
            ("MessageHeaders.Name", &named, 64),
            ("Language", &entity.language, 10),
            ("AttachmentsInfo.Name", &part.name, 255),
            ("AttachmentsInfo.ContentType", &part.content_type, 255),
            ("AttachmentsInfo.ContentId", &part.content_id, 255),
        ] {
            assert_eq!(value.as_ref().map(|value| value.chars().count()), Some(max), "{name}");
            assert!(info.contains(&format!("{name} 200")) && info.contains(&format!(">{max}")), "{name}: {info}");
        }
    }
}
