//! What a delivery report says of the mail that it is about: the recipients with their fates (RFC 3464, RFC 6533), and the
//! Message-Id under which a ticket can find it. A report without a form is read by the shapes of lines that mail systems
//! write. Read receipts (RFC 8098) and feedback reports (RFC 5965) tell the same in fewer fields.
//!
//! Every search is over a bounded beginning and linear in it; nothing here decides what kind of mail it is.

mod amazon;
mod code;
mod fields;
mod original;
mod prose;

use std::borrow::Cow;

use crate::message::header;
use crate::message::header::address;
use crate::message::header::parameters::Parameters;
use crate::message::kind::Sight;
use crate::message::kind::phrase;
use crate::message::kind::report::prose::Manner;
use crate::message::mime::part::Part;
use crate::message::mime::tree;
use crate::message::model::{Kind, Recipient, Report, Variety};

/// Addresses of one side of a report that are known as its own.
const MAX_OWN: usize = 64;
/// More recipients than one report tells of honestly.
const MAX_RECIPIENTS: usize = 100;
/// More parts with fields than an honest report has.
const MAX_PARTS: usize = 16;
/// How much of a text or of a part is read.
const WINDOW: usize = 64 << 10;

/// Parts with fields about recipients: delivery status, read receipt, feedback.
const FIELDS: &[&str] = &[
    "message/delivery-status",
    "message/global-delivery-status",
    "message/disposition-notification",
    "message/global-disposition-notification",
    "message/feedback-report",
];

/// Reads what a report says; `None` when the mail is no report or says nothing.
pub(crate) fn of(sight: &Sight<'_>, kind: Kind) -> Option<Report> {
    if !matches!(kind, Kind::Bounce | Kind::Mdn | Kind::Complaint) {
        return None;
    }
    let mut report = formal(sight);
    if kind == Kind::Bounce {
        by_prose(sight, &mut report);
    }
    if report.original_message_id.is_none() {
        report.original_message_id = original::message_id(sight);
    }
    if kind == Kind::Bounce && report.recipients.iter().all(|recipient| recipient.address.is_empty()) {
        address_of_original(sight, &mut report);
    }
    report.recipients.truncate(MAX_RECIPIENTS);
    (report != Report::default()).then_some(report)
}

/// How a delivery report ends for the mail: the worst fate decides.
pub(crate) fn variety(report: Option<&Report>, sight: &Sight<'_>) -> Variety {
    let fates = report.into_iter().flat_map(|report| &report.recipients).filter_map(fate);
    let still_tried = || phrase::is_delayed(sight.subject) || phrase::is_delayed(sight.text);
    match fates.min_by_key(|fate| *fate as u8) {
        // A code of class 4 without an action: the text says whether it is over.
        Some(Variety::Temporary) if !has_action(report) && still_tried() => Variety::Delayed,
        Some(variety) => variety,
        None if still_tried() => Variety::Delayed,
        None => Variety::Permanent,
    }
}

fn has_action(report: Option<&Report>) -> bool {
    report.is_some_and(|report| report.recipients.iter().any(|recipient| !recipient.action.is_empty()))
}

/// The fate of one recipient; `None` when nothing of it is told.
fn fate(recipient: &Recipient) -> Option<Variety> {
    match (recipient.action.as_str(), recipient.status.bytes().next()) {
        ("delayed", _) => Some(Variety::Delayed),
        ("delivered" | "relayed" | "expanded", _) | ("", Some(b'2')) => Some(Variety::Relayed),
        (_, Some(b'4')) => Some(Variety::Temporary),
        ("failed", _) | ("", Some(b'5')) => Some(Variety::Permanent),
        _ => None,
    }
}

/// Whether the text names a recipient with its fate, as only mail systems do.
pub(crate) fn names_recipient(sight: &Sight<'_>) -> bool {
    !prose::read(window(sight.text), &own_addresses(sight), Manner::Strict).is_empty()
}

/// What Amazon's notification service tells (its mails carry the id of the notification): `bounce`, `complaint`.
pub(crate) fn notification(sight: &Sight<'_>) -> Option<String> {
    sight.headers.has("X-Amz-Sns-Message-Id").then(|| amazon::kind(sight.text)).flatten()
}

/// Whether the fields of RFC 5965 §3.1 stand in the text: the parts of a feedback report that are not separated.
pub(crate) fn is_feedback_text(sight: &Sight<'_>) -> bool {
    let begin = sight.text.get(..sight.text.floor_char_boundary(4096)).unwrap_or(sight.text);
    let has = |name: &str| begin.lines().any(|line| line.starts_with(name));
    begin.contains("Feedback-Type:") && has("Feedback-Type:") && has("User-Agent:") && has("Version:")
}

/// What stands in fields.
fn formal(sight: &Sight<'_>) -> Report {
    let mut report = Report::default();
    if sight.headers.has("X-Amz-Sns-Message-Id") {
        report = amazon::read(window(sight.text));
    }
    read_parts(sight.parts, &mut report);
    if report.recipients.is_empty() {
        wrapped(sight, &mut report);
    }
    if report.recipients.is_empty() {
        let found = address::list(sight.headers, "X-Failed-Recipients", MAX_RECIPIENTS).addresses;
        let named = |address: crate::message::Address| Recipient {
            address: address.address,
            action: "failed".to_owned(),
            ..Recipient::default()
        };
        report.recipients.extend(found.into_iter().map(named));
    }
    report
}

fn read_parts(parts: &[Part<'_>], report: &mut Report) {
    for part in parts.iter().filter(|part| FIELDS.contains(&part.media.as_str())).take(MAX_PARTS) {
        fields::read(&String::from_utf8_lossy(&head(part)), report);
    }
}

/// A gateway on the way may have put the whole report into a mail of its own. Only that one is opened.
fn wrapped(sight: &Sight<'_>, report: &mut Report) {
    let Some(part) = sight.parts.iter().find(|part| part.media == "message/rfc822") else {
        return;
    };
    let bytes = head(part);
    let headers = header::split(&bytes, sight.limits, &mut Vec::new());
    if Parameters::of(&headers, "Content-Type").value == "multipart/report" {
        // What the bounds do not let in stays closed.
        read_parts(&tree::full(&bytes, &headers, sight.limits).unwrap_or_default(), report);
    }
}

/// Adds what the text says to what the fields leave open.
fn by_prose(sight: &Sight<'_>, report: &mut Report) {
    let open = |recipient: &Recipient| code::is_vague(&recipient.status);
    if !report.recipients.is_empty() && !report.recipients.iter().any(open) {
        return;
    }
    let told = prose::read(window(sight.text), &own_addresses(sight), Manner::Lenient);
    if report.recipients.is_empty() {
        report.recipients = told;
        return;
    }
    let only = if told.len() == 1 { told.first() } else { None };
    for recipient in report.recipients.iter_mut().filter(|recipient| open(recipient)) {
        let same = |other: &&Recipient| other.address.eq_ignore_ascii_case(&recipient.address);
        let Some(other) = told.iter().find(same).or(only) else {
            continue;
        };
        if code::is_better(&other.status, &recipient.status) {
            recipient.status.clone_from(&other.status);
        }
    }
}

/// The last resort: the one recipient of the quoted mail.
fn address_of_original(sight: &Sight<'_>, report: &mut Report) {
    let Some(address) = original::recipient(sight) else {
        return;
    };
    match report.recipients.first_mut() {
        Some(first) => first.address = address,
        None => report.recipients.push(Recipient { address, ..Recipient::default() }),
    }
}

/// Whom the report was sent to and who sent it: the text names them too.
fn own_addresses(sight: &Sight<'_>) -> Vec<String> {
    let found = ["To", "From"].into_iter().flat_map(|name| address::list(sight.headers, name, MAX_OWN).addresses);
    found.map(|address| address.address.to_ascii_lowercase()).collect()
}

fn window(text: &str) -> &str {
    text.get(..text.floor_char_boundary(WINDOW)).unwrap_or(text)
}

/// The decoded beginning of a part.
fn head<'a>(part: &'a Part<'_>) -> Cow<'a, [u8]> {
    part.beginning(WINDOW)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::message::{Depth, Message, Rules, parse};

    fn read(head: &str, body: &str) -> Message {
        let raw = format!("From: MAILER-DAEMON@a.example\nTo: us@example.org\nSubject: failure notice\n{head}\n{body}");
        parse(raw.as_bytes(), &Rules::default(), Depth::Full)
    }

    #[track_caller]
    fn check(head: &str, body: &str, fate: Variety, address: &str, status: &str, id: Option<&str>) {
        let message = read(head, body);
        let report = message.report.expect("a report");
        let first = report.recipients.first().cloned().unwrap_or_default();
        assert_eq!((message.variety, first.address.as_str(), first.status.as_str()), (Some(fate), address, status));
        assert_eq!(report.original_message_id.as_deref(), id);
    }

    const FORM: &str = "Content-Type: multipart/report; report-type=delivery-status; boundary=b\n";

    #[test]
    fn the_fate_of_a_mail_is_that_of_its_worst_recipient() {
        for (groups, fate) in [
            ("Action: failed\nStatus: 5.1.1", Variety::Permanent),
            ("Action: failed\nStatus: 4.4.7", Variety::Temporary),
            ("Action: delayed\nStatus: 4.4.1", Variety::Delayed),
            ("Action: delivered\nStatus: 2.0.0", Variety::Relayed),
            (
                "Action: delivered\nStatus: 2.0.0\n\nFinal-Recipient: rfc822; c@d\nAction: failed\nStatus: 5.0.0",
                Variety::Permanent,
            ),
            ("Action: expanded\n\nFinal-Recipient: rfc822; c@d\nAction: delayed", Variety::Delayed),
        ] {
            let body = format!(
                "--b\n\nx\n--b\nContent-Type: message/delivery-status\n\nFinal-Recipient: rfc822; a@b\n{groups}\n--b--"
            );
            assert_eq!(read(FORM, &body).variety, Some(fate), "{groups}");
        }
    }

    #[test]
    fn a_report_without_a_form_is_read_too() {
        let quote = "--- Below this line is a copy of the message.\n\nMessage-ID: <x@y>\nTo: c@d.example\n";
        let text = format!("<a@b.example>:\nRemote host said: 550 5.7.1 no\n\n{quote}");
        check("", &text, Variety::Permanent, "a@b.example", "5.7.1", Some("x@y"));
        let text = "Your message has not yet been delivered to a@b.example.\nWe will keep trying.";
        check("In-Reply-To: <x@y>\n", text, Variety::Delayed, "a@b.example", "", Some("x@y"));
        check(
            "X-Failed-Recipients: a@b.example\n",
            "mailbox is full: 452 4.2.2",
            Variety::Temporary,
            "a@b.example",
            "4.2.2",
            None,
        );
    }

    #[test]
    fn a_report_inside_a_mail_of_a_gateway_is_opened() {
        let inner = "Content-Type: multipart/report; report-type=delivery-status; boundary=c\n\n--c\nContent-Type: \
                     message/delivery-status\n\nFinal-Recipient: rfc822; a@b.example\nStatus: 5.1.1\n--c--\n";
        let body = format!("--b\nContent-Type: message/rfc822\n\n{inner}\n--b--");
        check("Content-Type: multipart/mixed; boundary=b\n", &body, Variety::Permanent, "a@b.example", "5.1.1", None);
    }

    #[test]
    fn the_only_recipient_of_the_quoted_mail_is_the_last_resort() {
        let body = "--b\n\nDelivery failed.\n--b\nContent-Type: text/rfc822-headers\n\nTo: a@b.example\nMessage-ID: <x@y>\n--b--";
        check(FORM, body, Variety::Permanent, "a@b.example", "", Some("x@y"));
    }
}
