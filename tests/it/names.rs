//! Names of attachments through the whole reading: whatever a sender writes, what comes out is only a name. More than 300
//! of them, by what is wrong with each.

use std::fmt::Write as _;

use mailbridge::message::{Depth, Rules, parse};

/// The name that a mail with one attachment of that name gives it.
fn named(name: &str) -> String {
    let mut encoded = String::new();
    for byte in name.bytes() {
        write!(encoded, "%{byte:02x}").expect("text");
    }
    let raw = format!(
        "Content-Type: application/x-test\r\nContent-Disposition: attachment; filename*=utf-8''{encoded}\r\n\r\nx"
    );
    let message = parse(raw.as_bytes(), &Rules::default(), Depth::Full);
    message.attachments.first().expect("an attachment").name.clone()
}

/// Each name and what it becomes.
fn table() -> Vec<(String, String)> {
    let mut all = Vec::new();
    let mut add = |wanted: &str, expected: &str| all.push((wanted.to_owned(), expected.to_owned()));
    for honest in HONEST {
        add(honest, honest);
    }
    for (wanted, expected) in ODD {
        add(wanted, expected);
    }
    let ports = ["COM", "lpt"].into_iter().flat_map(|port| "0123456789¹²³".chars().map(move |n| format!("{port}{n}")));
    let devices = ["con", "PRN", "Aux", "nul", "CONIN$", "conout$", "clock$"].map(str::to_owned);
    for device in devices.into_iter().chain(ports) {
        add(&device, &format!("_{device}"));
        add(&format!("{device}.txt"), &format!("_{device}.txt"));
        add(&format!("{device}.tar.gz"), &format!("_{device}.tar.gz"));
        add(&format!("{device} .txt"), &format!("_{device} .txt"));
        add(&format!("x/{device}"), &format!("_{device}"));
        add(&format!("{device}s.txt"), &format!("{device}s.txt"));
    }
    let controls = (1..=0x1f).chain(0x7f..=0x9f);
    let marks = [0xad, 0x61c, 0x180e, 0xfeff, 0x3164, 0xe0041];
    let ranges = (0x200b..=0x200f).chain(0x2028..=0x202e).chain(0x2060..=0x2069);
    for invisible in controls.chain(marks).chain(ranges).filter_map(char::from_u32) {
        add(&format!("a{invisible}b.txt"), "ab.txt");
    }
    for reserved in "<>\"|?*:".chars() {
        add(&format!("a{reserved}b.txt"), "a_b.txt");
    }
    for blank in "\u{a0}\u{1680}\u{2003}\u{202f}\u{205f}\u{3000}".chars() {
        add(&format!("{blank}a{blank}{blank}b.txt{blank}"), "a b.txt");
    }
    all
}

/// Names that stay as they are.
const HONEST: &[&str] = &[
    "report.pdf",
    "Report 2026-11-22.pdf",
    "no extension",
    ".profile",
    "a.b.c.d",
    "archive.tar.gz",
    "UPPER.TXT",
    "x",
    "1",
    "-",
    "Übersicht für März.xlsx",
    "naïve café.docx",
    "Счёт № 5.pdf",
    "λόγος.txt",
    "請求書.pdf",
    "見積書(最終版).xlsx",
    "견적서.hwp",
    "חשבונית.pdf",
    "فاتورة.pdf",
    "บิล.pdf",
    "चालान.pdf",
    "hóa đơn.pdf",
    "🧾 receipt.png",
    "100 % sure.txt",
    "50%20off.txt",
    "a&b.txt",
    "a;b.txt",
    "a,b.txt",
    "it's.txt",
    "a=b.txt",
    "(1).txt",
    "[x] {y}.txt",
    "a+b.txt",
    "#1!.txt",
    "a@b.eml",
    "$5.txt",
    "^.txt",
    "`x`.txt",
    "=cmd.csv",
    "comma.txt",
    "console.log",
    "common.h",
    "lptx.txt",
    "nullable.rs",
    "auxiliary.txt",
    "com10.txt",
    "a\u{fffd}b.txt",
    "smime.p7m",
    "winmail.txt",
];

/// Names of which only a name is left.
const ODD: &[(&str, &str)] = &[
    ("../../etc/passwd", "passwd"),
    ("/etc/passwd", "passwd"),
    ("..\\..\\windows\\win.ini", "win.ini"),
    ("C:\\x\\y.doc", "y.doc"),
    ("\\\\server\\share\\z.txt", "z.txt"),
    ("a/b/", "b"),
    ("a\\", "a"),
    ("/", "file"),
    ("\\", "file"),
    ("//", "file"),
    ("a/../..", "file"),
    ("a/..", "file"),
    ("./a", "a"),
    ("file:///tmp/a.txt", "a.txt"),
    ("php://input", "input"),
    ("..", "file"),
    (".", "file"),
    ("...", "file"),
    (". .", "file"),
    ("..a", "..a"),
    ("", "file.x"),
    (" ", "file.x"),
    ("x.", "x"),
    ("x. . ", "x"),
    ("x.txt...", "x.txt"),
    ("x.txt ", "x.txt"),
    (" x.txt", "x.txt"),
    ("~root", "root"),
    ("~~x", "x"),
    ("a  b\tc.txt", "a bc.txt"),
    ("a:stream.txt", "a_stream.txt"),
    ("x.txt:evil.exe", "x.txt_evil.exe"),
    ("a\r\nb: c.txt", "ab_ c.txt"),
    ("passwd\u{202e}gpj.exe", "passwdgpj.exe"),
    ("invoice\u{202e}fdp.exe", "invoicefdp.exe"),
    ("\u{feff}a.txt", "a.txt"),
    ("a\u{200b}.t\u{200d}xt", "a.txt"),
    ("\u{202a}\u{202c}", "file"),
    ("con\u{200b}", "_con"),
    ("c:con", "c_con"),
    ("nul.", "_nul"),
    ("NUL ", "_NUL"),
    ("a/nul.txt/", "_nul.txt"),
    ("a.txt\0.exe", "a.txt.exe"),
    ("<script>.html", "_script_.html"),
];

#[test]
fn whatever_a_sender_writes_is_only_a_name() {
    let table = table();
    assert!(table.len() >= 300, "only {} names", table.len());
    let check = |(wanted, expected): &(String, String)| {
        // A name of blanks is none: the part gets a usual one.
        let expected = if expected == "file.x" { "file" } else { expected };
        let found = named(wanted);
        (found != expected).then(|| format!("{wanted:?}: {found:?}, not {expected:?}"))
    };
    let wrong: Vec<_> = table.iter().filter_map(check).collect();
    assert!(wrong.is_empty(), "{} of {}:\n{}", wrong.len(), table.len(), wrong.join("\n"));
}

/// Declared type, name, first bytes; the type that they speak of, and what is said.
const LIES: &[(&str, &str, &str, &str, &[&str])] = &[
    ("application/pdf", "a.pdf", "%PDF-1.4", "application/pdf", &[]),
    ("application/pdf", "a.pdf", "\u{7f}ELF", "application/x-elf", &["program-disguised"]),
    ("image/png", "a.png", "MZ\0\0", "application/vnd.microsoft.portable-executable", &["program-disguised"]),
    ("application/octet-stream", "a.docx", "#!/bin/sh", "text/x-shellscript", &["program-disguised"]),
    ("application/octet-stream", "a.exe", "MZ\0\0", "application/vnd.microsoft.portable-executable", &[]),
    ("application/zip", "42.zip", "PK\u{3}\u{4}", "application/zip", &[]),
    ("text/html", "a.html", "<html>", "text/html", &["attachment-active"]),
    ("image/svg+xml", "a.svg", "<svg onload=x>", "image/svg+xml", &["attachment-active"]),
    ("application/xml", "a.xml", "<?xml version='1.0'?><a/>", "text/xml", &["attachment-active"]),
    ("image/jpeg", "a.jpg", "<!doctype html><script>", "text/html", &["attachment-active"]),
    ("text/javascript", "a.js", "alert(1)", "", &["attachment-active"]),
];

#[test]
fn a_type_that_lies_is_kept_and_said() {
    for (declared, name, bytes, sniffed, said) in LIES {
        let raw = format!(
            "Message-Id: <a@b>\nDate: Tue, 3 Mar 2026 10:00:00 +0100\nContent-Type: {declared}\nContent-Disposition: attachment; filename={name}\n\n{bytes}"
        );
        let message = parse(raw.as_bytes(), &Rules::default(), Depth::Full);
        let part = message.attachments.first().expect("an attachment");
        assert_eq!(
            (part.content_type.as_str(), part.sniffed.as_str(), part.name.as_str()),
            (*declared, *sniffed, *name)
        );
        assert_eq!(message.defects.iter().map(|defect| defect.code.as_str()).collect::<Vec<_>>(), *said, "{name}");
    }
}

#[test]
fn long_names_are_cut_between_letters_and_keep_their_extension() {
    for letter in ["a", "ä", "請", "🧾"] {
        for extension in ["", ".pdf", ".docx", ".tar.gz", ".averyverylongextension"] {
            let name = named(&format!("{}{extension}", letter.repeat(300)));
            assert!(name.len() <= 200 && name.len() > 190, "{name}");
            assert!(
                name.starts_with(letter)
                    && (extension.len() > 16 || name.ends_with(extension.rsplit_once('.').map_or("", |(_, end)| end))),
                "{name}"
            );
        }
    }
}
