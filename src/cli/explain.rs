//! `mailbridge message explain`: how a mail was read, and why so. `DebugInfo` has the same trail in short; here addresses,
//! ids and texts of the mail stand too, since whoever asks has the mail.

use serde::Serialize;

use crate::cli::defects;
use crate::cli::reader::Reading;
use crate::cli::trail::{Section, Trail};
use crate::message::{Address, Attachment, Defect, Message, Variety};

/// Characters of a line of the mail that are shown.
const SHOWN: usize = 100;

/// Makes it.
pub(super) fn trail(file: &str, reading: &Reading) -> Trail {
    let message = &reading.message;
    Trail::of(vec![
        ("origin", origin(file, reading)),
        ("headers", headers(message)),
        ("date", date(reading)),
        ("body", body(reading)),
        ("visible", visible(message)),
        ("language", language(reading)),
        ("attachments", attachments(message)),
        ("kind", kind(reading)),
        ("report", report(message)),
        ("thread", thread(message)),
        ("defects", defects(message)),
        ("lengths", lengths(reading)),
    ])
}

fn origin(file: &str, reading: &Reading) -> Section {
    Section::default()
        .word("file", file)
        .number("size_bytes", reading.origin.size)
        .word("read", reading.message.depth.as_str())
        .list("failed", reading.strikes.clone())
        .flag("larger_than_message_size", reading.origin.stub)
}

fn headers(message: &Message) -> Section {
    let people = |list: &[Address]| list.iter().map(address).collect();
    Section::default()
        .word("message_id", &message.message_id)
        .flag("made_by_us", message.synthetic_id)
        .word("subject", &message.subject)
        .list("from", people(&message.from))
        .list("reply_to", people(&message.reply_to))
        .list("to", people(&message.to))
        .list("cc", people(&message.cc))
        .list("bcc", people(&message.bcc))
        .number("block_chars", count(&message.header_block))
        .word("canonical_hash", &message.canonical_hash)
}

/// The steps of the ladder in their order: what each says, and which one was taken.
fn date(reading: &Reading) -> Section {
    let message = &reading.message;
    let source = if message.date.is_none() { "internaldate" } else { &message.date_source };
    Section::default()
        .word("date", &first_field(&message.header_block, "date"))
        .word("received", first_field(&message.header_block, "received").rsplit(';').next().unwrap_or_default().trim())
        .word("internaldate", &reading.origin.internal_date.to_string())
        .word("taken", &reading.entity.created_at)
        .word("from", source)
}

fn body(reading: &Reading) -> Section {
    let message = &reading.message;
    let charsets = message.charsets.iter().map(|verdict| vec![verdict.charset.clone(), verdict.step.clone()]);
    Section::default()
        .word("type", &wire(&reading.entity.message_type))
        .number("text_chars", count(&message.text))
        .number("html_chars", message.html.as_deref().map(count).unwrap_or_default())
        .table("charsets", &["charset", "step"], charsets.collect())
}

fn visible(message: &Message) -> Section {
    let Some(visible) = &message.visible else {
        return Section::default().word("ends", "nowhere: nothing is quoted at the end, or nothing else is there");
    };
    let chars = usize::try_from(visible.chars).unwrap_or(usize::MAX);
    let split = message.text.char_indices().nth(chars).map_or(message.text.len(), |(at, _)| at);
    let (own, history) = message.text.split_at_checked(split).unwrap_or((&message.text, ""));
    Section::default()
        .number("chars", visible.chars.into())
        .word("known_by", &visible.reason)
        .word("last_line", shown(own.lines().next_back()))
        .word("history", shown(history.lines().find(|line| !line.trim().is_empty())))
}

fn language(reading: &Reading) -> Section {
    let found = reading.message.language.as_ref();
    Section::default()
        .word("told", found.map_or("not sure", |language| &language.code))
        .number("percent", found.map_or(0, |language| language.percent.into()))
        .word("posted", reading.entity.language.as_deref().unwrap_or_default())
}

fn attachments(message: &Message) -> Section {
    let row = |part: &Attachment| {
        let inline = if part.inline { "yes" } else { "no" };
        let (name, declared, sniffed) = (part.name.clone(), part.content_type.clone(), part.sniffed.clone());
        vec![name, declared, sniffed, part.size.to_string(), inline.to_owned(), part.content_id.clone()]
    };
    let head = &["name", "declared", "sniffed", "size", "inline", "content_id"];
    Section::default().table("parts", head, message.attachments.iter().map(row).collect())
}

fn kind(reading: &Reading) -> Section {
    let message = &reading.message;
    Section::default()
        .word("kind", message.kind.as_str())
        .word("variety", message.variety.map_or("", Variety::as_str))
        .flag("may_answer", message.may_answer)
        .list("evidence", message.evidence.clone())
        .flag("important", message.important)
        .word("category", &wire(&reading.entity.message_category))
}

fn report(message: &Message) -> Section {
    let Some(report) = &message.report else {
        return Section::default();
    };
    let rows = report.recipients.iter().map(|it| vec![it.address.clone(), it.action.clone(), it.status.clone()]);
    Section::default()
        .table("recipients", &["address", "action", "status"], rows.collect())
        .word("original_message_id", report.original_message_id.as_deref().unwrap_or_default())
}

/// The mails that it may belong to, in the order in which they are tried.
fn thread(message: &Message) -> Section {
    let original = message.report.iter().filter_map(|report| report.original_message_id.as_ref());
    let candidates = original
        .map(|id| ("report", id))
        .chain(message.in_reply_to.iter().map(|id| ("in-reply-to", id)))
        .chain(message.references.iter().rev().map(|id| ("references", id)));
    let mut rows: Vec<Vec<String>> = Vec::new();
    for (by, id) in candidates {
        if !rows.iter().any(|row| row.last() == Some(id)) {
            rows.push(vec![by.to_owned(), id.clone()]);
        }
    }
    Section::default().table("candidates", &["by", "message_id"], rows)
}

fn defects(message: &Message) -> Section {
    let row =
        |defect: &Defect| vec![defect.code.clone(), defect.detail.clone(), defects::sentence(&defect.code).to_owned()];
    Section::default().table("list", &["code", "detail", "meaning"], message.defects.iter().map(row).collect())
}

fn lengths(reading: &Reading) -> Section {
    let entity = &reading.entity;
    let fields = [
        ("Author", &entity.author, "255"),
        ("MessageId", &entity.message_id, "850"),
        ("MailSorter", &entity.mail_sorter, "255"),
        ("SearchTitle", &entity.search_title, "255"),
        ("Body", &entity.body, ""),
        ("HtmlBody", &entity.html_body, ""),
        ("EmailHeader", &entity.email_header, ""),
        ("DebugInfo", &entity.debug_info, ""),
    ];
    let row = |(name, value, max): (&str, &Option<String>, &str)| {
        let value = value.as_ref()?;
        Some(vec![name.to_owned(), count(value).to_string(), max.to_owned()])
    };
    let info = entity.debug_info.as_deref().unwrap_or_default();
    let shortened = info.lines().find_map(|line| line.strip_prefix("shortened: ")).unwrap_or_default();
    Section::default()
        .table("fields", &["field", "chars", "at_most"], fields.into_iter().filter_map(row).collect())
        .word("shortened", shortened)
        .list("debug_info", info.lines().map(str::to_owned).collect())
}

/// What a wire enum is called.
fn wire(word: &impl Serialize) -> String {
    serde_json::to_value(word).ok().and_then(|word| word.as_str().map(str::to_owned)).unwrap_or_default()
}

fn address(address: &Address) -> String {
    if address.name.is_empty() { address.address.clone() } else { format!("{} <{}>", address.name, address.address) }
}

/// The value of the first header of this name in a header block, unfolded.
fn first_field(block: &str, name: &str) -> String {
    let named = |line: &str| line.split_once(':').is_some_and(|(field, _)| field.trim_end().eq_ignore_ascii_case(name));
    let mut lines = block.lines().skip_while(|line| !named(line));
    let first = lines.next().and_then(|line| line.split_once(':')).map_or("", |(_, value)| value);
    let folded = lines.take_while(|line| line.starts_with([' ', '\t'])).map(str::trim);
    std::iter::once(first.trim()).chain(folded).collect::<Vec<_>>().join(" ")
}

fn shown(line: Option<&str>) -> &str {
    let line = line.unwrap_or_default().trim();
    line.char_indices().nth(SHOWN).and_then(|(end, _)| line.get(..end)).unwrap_or(line)
}

fn count(text: &str) -> u64 {
    u64::try_from(text.chars().count()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_field_is_found_and_unfolded() {
        let block = "Subject: Date: no\nReceived: from a\n\tby b; Mon\nRECEIVED: x\nDate : Tue";
        assert_eq!(first_field(block, "received"), "from a by b; Mon");
        assert_eq!(first_field(block, "date"), "Tue");
        assert_eq!(first_field(block, "x"), "");
    }
}
