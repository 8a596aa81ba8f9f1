//! `DebugInfo`: what was found out about a mail, for whoever works on its ticket. A line of origin that begins with the marker
//! of the look-up, then one line for each thing there is something to say of, always in the same order.
//!
//! Only words and numbers of our own stand here: no address, no subject, no id of a mail (decisions D7, D8). `mailbridge message
//! explain` shows the rest.

use std::fmt::Write as _;

use crate::compose::lengths::Fitting;
use crate::compose::{Origin, debug_marker};
use crate::message::{Defect, Message, Report};

/// Characters of the whole; the marker is at its beginning and is never cut.
const MAX: usize = 4_000;
/// Characters of one line: none takes the room of those below it.
const MAX_LINE: usize = 600;

/// Defects that say that a bound was met.
const BOUNDS: &[&str] =
    &["nesting", "parts", "header-count", "header-bytes", "header-line", "html-length", "html-tags", "html-effort"];

/// Writes it.
pub(crate) fn of(message: &Message, origin: &Origin, fitting: &Fitting) -> String {
    let mut info = first_line(message, origin);
    let mut line = |title: &str, words: String| {
        let room = MAX.saturating_sub(info.chars().count()).min(MAX_LINE);
        if words.is_empty() || room < title.len().saturating_add(8) {
            return;
        }
        let line: String = format!("\n{title}: {words}").chars().take(room).collect();
        info.push_str(&line);
    };
    let (bounds, defects): (Vec<_>, Vec<_>) = message.defects.iter().partition(|defect| is_bound(defect));
    line("evidence", list(message.evidence.iter().map(|word| without_address(word))));
    line("report", message.report.as_ref().map(report).unwrap_or_default());
    line("sizes", sizes(message));
    line("date", if message.date.is_none() { "none".to_owned() } else { message.date_source.clone() });
    line("charsets", list(message.charsets.iter().map(|verdict| format!("{} ({})", verdict.charset, verdict.step))));
    line("language", message.language.as_ref().map(|it| format!("{} ({} %)", it.code, it.percent)).unwrap_or_default());
    line("visible", message.visible.as_ref().map(|it| format!("{} ({})", it.chars, it.reason)).unwrap_or_default());
    line("thread", thread(message));
    line("limits", list(bounds.into_iter().map(told)));
    line("defects", list(defects.into_iter().map(told)));
    line("shortened", list(fitting.cut.iter().map(|(field, was, max)| format!("{field} {was}>{max}"))));
    info
}

/// Where it came from, how it was read and what it is: the marker first and whole.
fn first_line(message: &Message, origin: &Origin) -> String {
    let mut info = debug_marker(origin.queue_id);
    let folder: String = without_address(&origin.folder.escape_debug().to_string()).chars().take(200).collect();
    let (uidvalidity, uid, size) = (origin.uidvalidity, origin.uid, origin.size);
    let (depth, kind) = (message.depth.as_str(), message.kind.as_str());
    // Writing to a String cannot fail.
    write!(info, " mailbox={} folder={folder} uidvalidity={uidvalidity} uid={uid} size={size}", origin.mailbox)
        .and_then(|()| write!(info, " depth={depth} kind={kind}"))
        .and_then(|()| message.variety.map_or(Ok(()), |variety| write!(info, " variety={}", variety.as_str())))
        .and_then(|()| write!(info, " may_answer={}", message.may_answer))
        .unwrap_or_default();
    if origin.stub {
        info.push_str(" stub=true");
    }
    if message.synthetic_id {
        info.push_str(" message_id=made");
    }
    info
}

/// `text=120 html=890 headers=900 attachments=2 (4500 bytes, 1 inline)`; the sizes of texts in characters.
fn sizes(message: &Message) -> String {
    let mut words = format!("text={} headers={}", message.text.chars().count(), message.header_block.chars().count());
    if let Some(html) = &message.html {
        write!(words, " html={}", html.chars().count()).unwrap_or_default();
    }
    if !message.attachments.is_empty() {
        let bytes = message.attachments.iter().fold(0_u64, |sum, part| sum.saturating_add(part.size));
        let inline = message.attachments.iter().filter(|part| part.inline).count();
        write!(words, " attachments={} ({bytes} bytes, {inline} inline)", message.attachments.len())
            .unwrap_or_default();
    }
    words
}

/// `recipients=2, failed 5.1.1, delayed 4.2.2, original known`
fn report(report: &Report) -> String {
    let mut words = format!("recipients={}", report.recipients.len());
    let mut told: Vec<(&str, &str)> = Vec::new();
    for recipient in report.recipients.iter().take(100) {
        let fate = (recipient.action.as_str(), recipient.status.as_str());
        if fate != ("", "") && !told.contains(&fate) {
            told.push(fate);
        }
    }
    for (action, status) in told.into_iter().take(10) {
        write!(words, ", {}", without_address(format!("{action} {status}").trim())).unwrap_or_default();
    }
    words.push_str(if report.original_message_id.is_some() { ", original known" } else { ", original unknown" });
    words
}

fn thread(message: &Message) -> String {
    let (answered, references) = (message.in_reply_to.len(), message.references.len());
    if answered == 0 && references == 0 {
        return String::new();
    }
    format!("in_reply_to={answered} references={references}")
}

fn is_bound(defect: &Defect) -> bool {
    defect.code.ends_with("-cut") || BOUNDS.contains(&defect.code.as_str())
}

fn told(defect: &Defect) -> String {
    if defect.detail.is_empty() {
        return defect.code.clone();
    }
    format!("{} ({})", defect.code, without_address(&defect.detail))
}

/// At most fifty, so that no bad mail fills the line with one word.
fn list(words: impl Iterator<Item = String>) -> String {
    words.take(50).collect::<Vec<_>>().join("; ")
}

/// Words that may be addresses are left out, whatever they came from.
fn without_address(text: &str) -> String {
    if !text.contains('@') {
        return text.to_owned();
    }
    text.split(' ').map(|word| if word.contains('@') { "…" } else { word }).collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::compose::tests::origin;
    use crate::message::{Depth, Recipient, Rules, parse};

    fn info(message: &Message, fitting: &Fitting) -> String {
        of(message, &origin(), fitting)
    }

    #[test]
    fn each_thing_has_its_line() {
        let raw =
            "From: a@b\nIn-Reply-To: <secret@example.org>\nReferences: <x@y> <z@w>\nSubject: secret\n\nnew\n\n> old";
        let mut message = parse(raw.as_bytes(), &Rules::default(), Depth::Full);
        let recipient = |address: &str, status: &str| Recipient {
            address: address.to_owned(),
            action: "failed".to_owned(),
            status: status.to_owned(),
        };
        message.report = Some(Report {
            recipients: vec![recipient("a@b", "5.1.1"), recipient("c@d", "5.1.1"), recipient("e@f", "5.2.2")],
            original_message_id: Some("secret@x".to_owned()),
        });
        message.defects = vec![Defect::new("body-cut", "7"), Defect::new("charset", "x secret@y z")];
        let mut fitting = Fitting::default();
        fitting.fit("SearchTitle", "abcd", 3);
        let info = info(&message, &fitting);
        let lines: Vec<&str> = info.lines().skip(1).collect();
        assert_eq!(
            lines,
            [
                "report: recipients=3, failed 5.1.1, failed 5.2.2, original known",
                "sizes: text=10 headers=83",
                "date: none",
                "charsets: utf-8 (utf-8)",
                "visible: 3 (quote)",
                "thread: in_reply_to=1 references=2",
                "limits: body-cut (7)",
                "defects: charset (x … z)",
                "shortened: SearchTitle 4>3",
            ]
        );
        assert!(!info.contains('@') && !info.contains("secret"), "{info}");
    }

    #[test]
    fn it_is_never_long_and_no_line_takes_the_room_of_another() {
        let mut message = parse(b"Subject: x\n\ny", &Rules::default(), Depth::Full);
        message.evidence = vec!["ü".repeat(500); 900];
        message.defects = vec![Defect::new("charset", "ü".repeat(200)); 900];
        let mut fitting = Fitting::default();
        fitting.fit("SearchTitle", "abcd", 3);
        let info = info(&message, &fitting);
        assert!(info.chars().count() <= MAX && info.ends_with("shortened: SearchTitle 4>3"), "{info}");
    }
}
