//! Containers of Outlook (`winmail.dat`) through the whole reading: those built here, and those that others have collected,
//! where they are to be had (beside `MAILBRIDGE_CORPUS`), each with a list of what it holds.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use mailbridge::config::Limits;
use mailbridge::config::parse::Tnef;
use mailbridge::message::{Depth, Message, Rules, parse};

/// A mail that carries a container and nothing else.
fn mail(container: &[u8]) -> Vec<u8> {
    let head = "Subject: a container\r\nContent-Type: multipart/mixed; boundary=b\r\n\r\n--b\r\nContent-Type: \
        application/ms-tnef; name=winmail.dat\r\nContent-Transfer-Encoding: base64\r\n\r\n";
    format!("{head}{}\r\n--b--\r\n", STANDARD.encode(container)).into_bytes()
}

fn read(container: &[u8], rules: &Rules) -> Message {
    parse(&mail(container), rules, Depth::Full)
}

fn names(message: &Message) -> Vec<&str> {
    message.attachments.iter().map(|part| part.name.as_str()).collect()
}

fn defects(message: &Message) -> Vec<&str> {
    message.defects.iter().map(|defect| defect.code.as_str()).collect()
}

/// Builds a container.
struct Container(Vec<u8>);

impl Container {
    fn new() -> Self {
        Self(vec![0x78, 0x9f, 0x3e, 0x22, 1, 0])
    }

    fn attribute(mut self, level: u8, id: u16, value: &[u8]) -> Self {
        self.0.push(level);
        self.0.extend(id.to_le_bytes());
        self.0.extend([6, 0]);
        self.0.extend(u32::try_from(value.len()).expect("a length").to_le_bytes());
        self.0.extend(value);
        let sum = value.iter().fold(0_u16, |sum, byte| sum.wrapping_add(u16::from(*byte)));
        self.0.extend(sum.to_le_bytes());
        self
    }

    /// An attachment by its title and its bytes.
    fn file(self, title: &str, bytes: &[u8], properties: &[Vec<u8>]) -> Self {
        let file = self.attribute(2, 0x9002, &[0; 14]).attribute(2, 0x8010, format!("{title}\0").as_bytes());
        file.attribute(2, 0x800f, bytes).attribute(2, 0x9005, &listed(properties))
    }

    fn message(self, properties: &[Vec<u8>]) -> Self {
        self.attribute(1, 0x9003, &listed(properties))
    }
}

fn listed(properties: &[Vec<u8>]) -> Vec<u8> {
    let count = u32::try_from(properties.len()).expect("a count");
    [count.to_le_bytes().to_vec(), properties.concat()].concat()
}

/// A property of bytes of any length.
fn property(kind: u16, id: u16, value: &[u8]) -> Vec<u8> {
    let length = u32::try_from(value.len()).expect("a length");
    let mut all = [&kind.to_le_bytes()[..], &id.to_le_bytes(), &[1, 0, 0, 0], &length.to_le_bytes(), value].concat();
    all.resize(all.len().next_multiple_of(4), 0);
    all
}

fn wide(id: u16, text: &str) -> Vec<u8> {
    let units: Vec<u8> = text.encode_utf16().chain([0]).flat_map(u16::to_le_bytes).collect();
    property(0x1f, id, &units)
}

fn number(id: u16, value: u32) -> Vec<u8> {
    [&3_u16.to_le_bytes()[..], &id.to_le_bytes(), &value.to_le_bytes()].concat()
}

/// RTF in the form that is not packed.
fn rtf(text: &str) -> Vec<u8> {
    let size = u32::try_from(text.len()).expect("a size");
    property(0x102, 0x1009, &[&[0; 4][..], &size.to_le_bytes(), b"MELA", &[0; 4], text.as_bytes()].concat())
}

#[test]
fn what_a_container_holds_stands_in_its_place() {
    let container = Container::new()
        .attribute(1, 0x9007, &[0xe4, 4, 0, 0, 0, 0, 0, 0])
        .attribute(1, 0x800c, b"Gr\xfc\xdfe\0")
        .message(&[number(0x0017, 2)])
        .file("LONGNA~1.PDF", b"%PDF-1.4", &[wide(0x3707, "A long näme.pdf"), wide(0x370e, "application/pdf")])
        .file("b.txt", b"hi", &[])
        .file("c.png", b"\x89PNG\r\n\x1a\n", &[wide(0x3712, "<c@d>")]);
    let message = read(&container.0, &Rules::default());
    assert_eq!(names(&message), ["A long näme.pdf", "b.txt", "c.png"]);
    let types: Vec<_> = message.attachments.iter().map(|part| (part.content_type.as_str(), part.size)).collect();
    assert_eq!(types, [("application/pdf", 8), ("text/plain", 2), ("image/png", 8)]);
    assert_eq!((message.attachments[2].content_id.as_str(), message.attachments[2].inline), ("c@d", true));
    assert_eq!(message.text, "Grüße");
    assert!(message.important);
    assert_eq!(defects(&message)[0], "tnef");
}

#[test]
fn the_text_of_a_container_is_wanted_only_where_the_mail_has_none() {
    let html = "{\\rtf1\\ansi\\fromhtml1 {\\*\\htmltag64 <p>}hello{\\*\\htmltag72 </p>}}";
    let container = Container::new().message(&[rtf(html)]);
    let message = read(&container.0, &Rules::default());
    assert_eq!((message.text.trim(), message.html.as_deref()), ("hello", Some("<p>hello</p>")));
    let container = Container::new().message(&[rtf("{\\rtf1 one\\par two}")]);
    let message = read(&container.0, &Rules::default());
    assert_eq!((message.text.as_str(), message.html), ("one\ntwo", None));
    let raw = String::from_utf8(mail(&container.0)).expect("text").replacen("--b\r\n", "--b\r\n\r\nmine\r\n--b\r\n", 1);
    let message = parse(raw.as_bytes(), &Rules::default(), Depth::Full);
    assert_eq!((message.text.as_str(), names(&message)), ("mine", vec!["winmail.dat"]));
    assert_eq!(defects(&message)[0], "tnef-empty");
}

#[test]
fn what_cannot_be_read_or_is_too_much_stays_closed() {
    let whole = Container::new().file("a.txt", b"a", &[]).file("b.txt", b"b", &[]).0;
    let cut = read(&whole[..whole.len() - 20], &Rules::default());
    assert_eq!(names(&cut), ["winmail.dat", "a.txt", "b.txt"]);
    assert!(defects(&cut).contains(&"tnef-broken"));
    let few = Rules { limits: Limits { attachments: 1, ..Limits::default() }, ..Rules::default() };
    let many = read(&whole, &few);
    assert_eq!((names(&many), defects(&many)[0]), (vec!["winmail.dat"], "tnef-files"));
    let mut closed = Rules::default();
    closed.parse.tnef = Tnef::Attach;
    assert_eq!(names(&read(&whole, &closed)), ["winmail.dat"]);
    assert_eq!(names(&read(b"no container", &Rules::default())), ["winmail.dat"]);
    // Many programs write more than they should.
    let tail = [&whole[..], b"\0\0\0"].concat();
    assert_eq!(names(&read(&tail, &Rules::default())), ["a.txt", "b.txt"]);
}

#[test]
fn sizes_and_counts_that_lie_harm_nobody() {
    for value in [&[0xff; 4][..], &[0xff; 16], &[1, 0, 0, 0, 2, 1, 9, 16, 0xff, 0xff, 0xff, 0xff], &[]] {
        let message = read(&Container::new().attribute(1, 0x9003, value).file("a", b"b", &[]).0, &Rules::default());
        assert!(names(&message).contains(&"a"), "{value:?}");
    }
    let overlong = [&Container::new().0[..], &[2, 0x0f, 0x80, 6, 0, 0xff, 0xff, 0xff, 0x7f, 1]].concat();
    assert_eq!(names(&read(&overlong, &Rules::default())), ["winmail.dat"]);
}

/// Lists that were made by a reader which says something else: one that knows short titles only, so that files which
/// have only a long name are missing (the first two), and one that writes an attached message twice, as the few bytes
/// that stand for it and as the message.
const OTHERWISE: [(&str, &[&str]); 3] = [
    ("long-filename", &["allproductsmar2000.dat"]),
    ("missing-filenames", &["TechlibDEC99-JAN00.doc", "TechlibDEC99.doc", "TechlibNOV99.doc", "generpts.src"]),
    ("christmas", &["Untitled Attachment", "Untitled Attachment-2", "kitten-playing-with-a-christmas-tree.jpg"]),
];

/// What a list says: the files, those of one name numbered as we number them, and whether there is a text.
fn listed_in(list: &Path) -> (BTreeSet<String>, bool) {
    let text = fs::read_to_string(list).expect("a list");
    let (bodies, files): (Vec<_>, Vec<_>) =
        text.lines().filter(|line| !line.is_empty()).partition(|line| line.starts_with("body."));
    let stem = list.file_stem().expect("a name");
    if let Some((_, files)) = OTHERWISE.iter().find(|(name, _)| stem == *name) {
        return (files.iter().map(|name| (*name).to_owned()).collect(), !bodies.is_empty());
    }
    let mut names = BTreeSet::new();
    for name in files {
        let mut numbered = (2..).map(|number| format!("{name}-{number}"));
        let free = Some(name.to_owned())
            .filter(|name| !names.contains(name))
            .or_else(|| numbered.find(|name| !names.contains(name)));
        names.extend(free);
    }
    // One that holds nothing stays as it is.
    names.extend(Some("winmail.dat".to_owned()).filter(|_| text.trim().is_empty()));
    (names, !bodies.is_empty())
}

#[test]
fn every_collected_container_holds_what_its_list_says() {
    let Some(mails) = std::env::var_os("MAILBRIDGE_CORPUS") else {
        eprintln!("skipped: MAILBRIDGE_CORPUS names no folder of mails");
        return;
    };
    let folder = Path::new(&mails).join("../tnef");
    let Ok(entries) = fs::read_dir(&folder) else {
        eprintln!("skipped: no containers in {}", folder.display());
        return;
    };
    let (mut wrong, mut count) = (Vec::new(), 0);
    for list in
        entries.map(|entry| entry.expect("an entry").path()).filter(|path| path.extension() == Some("list".as_ref()))
    {
        count += 1;
        let message = read(&fs::read(list.with_extension("tnef")).expect("a container"), &Rules::default());
        let (expected, has_text) = listed_in(&list);
        let found: BTreeSet<_> = names(&message).into_iter().map(str::to_owned).collect();
        let text = message.text != Rules::default().parse.empty_body_text;
        if found != expected || has_text && !text {
            wrong.push(format!("{}: {expected:?} {has_text} but {found:?} {text}", list.display()));
        }
        eprintln!("{}: {found:?}, text {text}, {:?}", list.display(), defects(&message));
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    assert!(count > 0, "no lists");
}
