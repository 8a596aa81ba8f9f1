//! Parts that hold other parts without being multiparts: `winmail.dat` and files written into the text of old mails. What is
//! in them stands in the list of parts as if the sender had attached it.
//!
//! Never opens an archive, never opens what was opened before, never decrypts anything. What breaks a bound stays closed.

use crate::config::Limits;
use crate::config::parse::Tnef;
use crate::message::attachment;
use crate::message::attachment::sniff;
use crate::message::attachment::tnef;
use crate::message::attachment::uuencode;
use crate::message::mime::part::{Encoding, Part};
use crate::message::model::{Defect, Rules};

/// The leaves of a mail, opened.
#[derive(Debug, Default)]
pub(crate) struct Opened<'a> {
    /// All leaves, in the order of the mail.
    pub(crate) parts: Vec<Part<'a>>,
    /// How important a container says that the mail is: it wins over the headers.
    pub(crate) important: Option<bool>,
}

/// Opens what can be opened.
pub(crate) fn open<'a>(parts: Vec<Part<'a>>, rules: &Rules, defects: &mut Vec<Defect>) -> Opened<'a> {
    let files = |part: &Part<'_>| part.media == "text/plain" && part.is_body() && uuencode::may_hold(&part.bytes);
    let containers = rules.parse.tnef == Tnef::Unpack && parts.iter().any(is_tnef);
    if !containers && !parts.iter().any(files) {
        return Opened { parts, important: None };
    }
    let has_text = parts.iter().any(|part| part.is_body() && !part.bytes.trim_ascii().is_empty());
    let mut opened = Opened { parts: Vec::with_capacity(parts.len()), important: None };
    let mut room = bound(rules.limits.attachments);
    for part in parts {
        if files(&part) {
            let found = written_files(&part, room, defects);
            room = room.saturating_sub(found.len());
            opened.parts.push(part);
            opened.parts.extend(found);
        } else if containers && is_tnef(&part) {
            let found = opened.unpack(part, has_text, room, &rules.limits, defects);
            room = room.saturating_sub(found);
        } else {
            opened.parts.push(part);
        }
    }
    opened
}

fn bound(limit: u32) -> usize {
    usize::try_from(limit).unwrap_or(usize::MAX)
}

fn is_typed_tnef(part: &Part<'_>) -> bool {
    matches!(part.media.as_str(), "application/ms-tnef" | "application/vnd.ms-tnef")
}

/// Whether it is a container of Outlook, by its type or by the names that it goes by.
fn is_tnef(part: &Part<'_>) -> bool {
    let named = |name: &str| ["winmail.dat", "win.dat"].iter().any(|known| name.eq_ignore_ascii_case(known));
    is_typed_tnef(part) || named(part.filename.trim()) || named(part.name.trim())
}

impl<'a> Opened<'a> {
    /// Puts what a container holds in its place; gives how many files that are. One that is broken stays beside it, one
    /// that cannot be read or gives nothing stays alone.
    fn unpack(
        &mut self,
        part: Part<'a>,
        has_text: bool,
        room: usize,
        limits: &Limits,
        defects: &mut Vec<Defect>,
    ) -> usize {
        let max_text = bound(limits.body_chars).saturating_mul(4);
        let (found, important, word) = match contents(&part.decoded(), has_text, room, max_text) {
            Ok(contents) => contents,
            Err(Closed::NoContainer) if !is_typed_tnef(&part) => (Vec::new(), None, ""),
            Err(Closed::NoContainer) => (Vec::new(), None, "tnef-broken"),
            Err(Closed::TooMuch) => (Vec::new(), None, "tnef-files"),
        };
        let files = found.iter().filter(|part| !part.is_body()).count();
        if !word.is_empty() {
            defects.push(Defect::new(word, format!("{files} files")));
        }
        if found.is_empty() || word == "tnef-broken" {
            self.parts.push(part);
        }
        self.important = important.or(self.important);
        self.parts.extend(found);
        files
    }
}

/// Why a container stays closed.
enum Closed {
    NoContainer,
    TooMuch,
}

/// The parts in a container, what it says of importance, and the word of the trail.
type Contents = (Vec<Part<'static>>, Option<bool>, &'static str);

fn contents(bytes: &[u8], has_text: bool, room: usize, max_text: usize) -> Result<Contents, Closed> {
    if !tnef::is_container(bytes) {
        return Err(Closed::NoContainer);
    }
    let content = tnef::read(bytes, room, max_text).ok_or(Closed::TooMuch)?;
    let texts = [("text/plain", content.text), ("text/html", content.html)];
    let texts = texts.into_iter().filter(|(_, text)| !has_text && !text.trim().is_empty()).map(body);
    let found: Vec<_> = texts.chain(content.files.into_iter().map(attached)).collect();
    let word = match (content.broken, found.is_empty()) {
        (true, _) => "tnef-broken",
        (false, true) => "tnef-empty",
        (false, false) => "tnef",
    };
    Ok((found, content.important, word))
}

/// The text of a container.
fn body((media, text): (&str, String)) -> Part<'static> {
    Part { media: media.to_owned(), charset: "utf-8".to_owned(), bytes: text.into_bytes().into(), ..Part::default() }
}

/// A file of a container. Outlook gives the pictures of its HTML an id.
fn attached(file: tnef::File<'_>) -> Part<'static> {
    let name = if file.name.is_empty() { file.location.clone() } else { file.name };
    let name = if name.is_empty() { "Untitled Attachment".to_owned() } else { name };
    Part {
        media: media(&file.media, &name, file.bytes),
        disposition: if file.content_id.is_empty() { "attachment".to_owned() } else { String::new() },
        filename: name,
        content_id: file.content_id,
        location: file.location,
        bytes: file.bytes.to_vec().into(),
        ..Part::default()
    }
}

/// The files written into a text.
fn written_files(part: &Part<'_>, max: usize, defects: &mut Vec<Defect>) -> Vec<Part<'static>> {
    if part.encoding == Encoding::Base64 {
        return Vec::new();
    }
    let files = uuencode::files(&part.decoded(), max);
    if !files.is_empty() {
        let whole = files.iter().all(|file| file.whole);
        let word = if whole { "uuencode" } else { "uuencode-broken" };
        defects.push(Defect::new(word, format!("{} files", files.len())));
    }
    let one = |file: uuencode::File| Part {
        media: media("", &file.name, &file.bytes),
        disposition: "attachment".to_owned(),
        filename: file.name,
        bytes: file.bytes.into(),
        ..Part::default()
    };
    files.into_iter().map(one).collect()
}

/// The media type that was told, else by the name, else by the first bytes.
fn media(told: &str, name: &str, bytes: &[u8]) -> String {
    let well_formed = told.split_once('/').is_some_and(|(kind, subtype)| !kind.is_empty() && !subtype.is_empty());
    if well_formed && !told.contains(|c: char| c.is_whitespace() || c.is_control() || c == ';') {
        return told.to_owned();
    }
    let sniffed = || sniff::media(bytes.get(..bytes.len().min(sniff::WINDOW)).unwrap_or_default());
    let known = attachment::media_of(name).or_else(|| Some(sniffed()).filter(|media| !media.is_empty()));
    known.unwrap_or("application/octet-stream").to_owned()
}
