//! What the first bytes of a file say that it is: the signatures of the WHATWG MIME Sniffing Standard (§6, §7) and of the
//! formats that mails carry, above all of those that run. Never looks further than the bytes it is given, never opens an archive.

/// So many bytes of a file are looked at.
pub(crate) const WINDOW: usize = 4096;

/// Offset, bytes, media type. The first that fits wins.
const SIGNATURES: &[(usize, &[u8], &str)] = &[
    (0, b"%PDF-", "application/pdf"),
    (0, b"\x89PNG\r\n\x1a\n", "image/png"),
    (0, b"\xff\xd8\xff", "image/jpeg"),
    (0, b"GIF87a", "image/gif"),
    (0, b"GIF89a", "image/gif"),
    (8, b"WEBP", "image/webp"),
    (8, b"WAVE", "audio/wav"),
    (8, b"AVI ", "video/x-msvideo"),
    (0, b"II*\0", "image/tiff"),
    (0, b"MM\0*", "image/tiff"),
    (0, b"\0\0\x01\0", "image/x-icon"),
    (0, b"8BPS", "image/vnd.adobe.photoshop"),
    (4, b"ftypheic", "image/heic"),
    (4, b"ftypheix", "image/heic"),
    (4, b"ftypmif1", "image/heif"),
    (4, b"ftypavif", "image/avif"),
    (4, b"ftypqt", "video/quicktime"),
    (4, b"ftypM4A", "audio/mp4"),
    (4, b"ftyp", "video/mp4"),
    (0, b"\x1a\x45\xdf\xa3", "video/webm"),
    (0, b"ID3", "audio/mpeg"),
    (0, b"\xff\xfb", "audio/mpeg"),
    (0, b"\xff\xf3", "audio/mpeg"),
    (0, b"OggS", "application/ogg"),
    (0, b"fLaC", "audio/flac"),
    (0, b"#!AMR", "audio/amr"),
    (0, b"Rar!\x1a\x07", "application/vnd.rar"),
    (0, b"7z\xbc\xaf\x27\x1c", "application/x-7z-compressed"),
    (0, b"\x1f\x8b", "application/gzip"),
    (0, b"BZh", "application/x-bzip2"),
    (0, b"\xfd7zXZ\0", "application/x-xz"),
    (0, b"\x28\xb5\x2f\xfd", "application/zstd"),
    (257, b"ustar", "application/x-tar"),
    (0, b"MSCF", "application/vnd.ms-cab-compressed"),
    (0, b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1", "application/x-ole-storage"),
    (0, b"{\\rtf", "application/rtf"),
    (0, b"%!PS", "application/postscript"),
    (0, b"\x78\x9f\x3e\x22", "application/ms-tnef"),
    (0, b"BEGIN:VCALENDAR", "text/calendar"),
    (0, b"BEGIN:VCARD", "text/vcard"),
    (0, b"-----BEGIN PGP SIGNATURE-----", "application/pgp-signature"),
    (0, b"-----BEGIN PGP MESSAGE-----", "application/pgp-encrypted"),
    (0, b"-----BEGIN PGP PUBLIC KEY BLOCK-----", "application/pgp-keys"),
    (0, b"SQLite format 3\0", "application/vnd.sqlite3"),
    // What runs.
    (0, b"\x7fELF", "application/x-elf"),
    (0, b"\xca\xfe\xba\xbe", "application/java-vm"),
    (0, b"\xfe\xed\xfa\xce", "application/x-mach-binary"),
    (0, b"\xfe\xed\xfa\xcf", "application/x-mach-binary"),
    (0, b"\xce\xfa\xed\xfe", "application/x-mach-binary"),
    (0, b"\xcf\xfa\xed\xfe", "application/x-mach-binary"),
    (0, b"L\0\0\0\x01\x14\x02\0", "application/x-ms-shortcut"),
    (0, b"ITSF", "application/vnd.ms-htmlhelp"),
    (0, b"dex\n", "application/vnd.android.dex"),
    (0, b"#!/", "text/x-shellscript"),
    (0, b"#! /", "text/x-shellscript"),
    (0, b"@echo off", "application/x-bat"),
];

/// Names of the first entries of archives that are documents or programs.
const ARCHIVES: &[(&[u8], &str)] = &[
    (b"word/", "application/vnd.openxmlformats-officedocument.wordprocessingml.document"),
    (b"xl/", "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet"),
    (b"ppt/", "application/vnd.openxmlformats-officedocument.presentationml.presentation"),
    (b"META-INF/MANIFEST.MF", "application/java-archive"),
    (b"AndroidManifest.xml", "application/vnd.android.package-archive"),
];

/// What runs when it is opened.
const PROGRAMS: &[&str] = &[
    "application/vnd.microsoft.portable-executable",
    "application/x-elf",
    "application/java-vm",
    "application/x-mach-binary",
    "application/x-ms-shortcut",
    "application/vnd.ms-htmlhelp",
    "application/vnd.android.dex",
    "application/java-archive",
    "application/vnd.android.package-archive",
    "text/x-shellscript",
    "application/x-bat",
    "application/hta",
];

/// Extensions that say openly that a file runs.
const PROGRAM_EXTENSIONS: &[&str] = &[
    "exe", "dll", "com", "scr", "sys", "pif", "cpl", "msi", "msp", "ocx", "drv", "efi", "bat", "cmd", "ps1", "sh",
    "bash", "elf", "so", "bin", "run", "o", "dylib", "app", "class", "jar", "war", "ear", "apk", "dex", "lnk", "chm",
    "hta", "pl", "py", "rb", "php", "cgi",
];

/// The media type that the first bytes speak of; empty when they say nothing.
pub(crate) fn media(head: &[u8]) -> &'static str {
    let fits = |(offset, bytes, _): &&(usize, &[u8], &str)| {
        head.get(*offset..)
            .is_some_and(|rest| rest.get(..bytes.len()).is_some_and(|begin| begin.eq_ignore_ascii_case(bytes)))
    };
    if head.starts_with(b"PK\x03\x04") {
        return archive(head);
    }
    if is_portable_executable(head) {
        return "application/vnd.microsoft.portable-executable";
    }
    if let Some((_, _, media)) = SIGNATURES.iter().find(fits) {
        return media;
    }
    if head.starts_with(b"BM") && head.get(6..10) == Some(&[0; 4]) { "image/bmp" } else { markup(head) }
}

/// A zip by the names of its first entries, which are not packed; nothing is unpacked.
fn archive(head: &[u8]) -> &'static str {
    let named = |(name, _): &&(&[u8], &str)| memchr::memmem::find(head, name).is_some();
    // OpenDocument keeps its type first and as it is.
    match head.get(30..).and_then(|rest| rest.strip_prefix(b"mimetypeapplication/vnd.oasis.opendocument.")) {
        Some(rest) if rest.starts_with(b"text") => "application/vnd.oasis.opendocument.text",
        Some(rest) if rest.starts_with(b"spreadsheet") => "application/vnd.oasis.opendocument.spreadsheet",
        Some(rest) if rest.starts_with(b"presentation") => "application/vnd.oasis.opendocument.presentation",
        _ => ARCHIVES.iter().find(named).map_or("application/zip", |(_, media)| media),
    }
}

/// `MZ`, and the place of the new header within reason: two letters alone begin many a text.
fn is_portable_executable(head: &[u8]) -> bool {
    let place = head.get(60..64).and_then(|place| place.try_into().ok()).map(u32::from_le_bytes);
    let reasonable = place.is_some_and(|place| (64..1 << 20).contains(&place));
    head.starts_with(b"MZ") && (reasonable || head.iter().take(64).any(|byte| *byte == 0))
}

/// What begins as markup does, behind blanks and a byte order mark.
fn markup(head: &[u8]) -> &'static str {
    let text = head.strip_prefix(b"\xef\xbb\xbf").unwrap_or(head).trim_ascii_start();
    let begins = |word: &[u8]| text.get(..word.len()).is_some_and(|begin| begin.eq_ignore_ascii_case(word));
    if !begins(b"<") {
        return "";
    }
    let lower = text.get(..text.len().min(1024)).unwrap_or_default().to_ascii_lowercase();
    let has = |word: &[u8]| memchr::memmem::find(&lower, word).is_some();
    if has(b"<hta:application") {
        return "application/hta";
    }
    if begins(b"<!doctype html") || begins(b"<html") || begins(b"<head") || begins(b"<body") || begins(b"<script") {
        return "text/html";
    }
    match begins(b"<?xml") || begins(b"<svg") || begins(b"<!--") || begins(b"<!doctype svg") {
        true if has(b"<svg") => "image/svg+xml",
        true if has(b"<html") => "text/html",
        true if begins(b"<?xml") => "text/xml",
        true | false => "",
    }
}

/// Whether a file runs, while its declared type and its name say that it is something harmless.
pub(crate) fn is_disguised(sniffed: &str, declared: &str, name: &str) -> bool {
    let extension = name.rsplit_once('.').map(|(_, extension)| extension.to_ascii_lowercase()).unwrap_or_default();
    let open = PROGRAM_EXTENSIONS.contains(&extension.as_str())
        || extension.is_empty() && matches!(declared, "application/octet-stream" | "application/x-msdownload")
        || sniffed.starts_with("text/") && declared.starts_with("text/");
    PROGRAMS.contains(&sniffed) && !open
}

/// Whether a browser that shows it runs what stands in it (operations T16).
pub(crate) fn is_active(media: &str) -> bool {
    let scripts = media.ends_with("javascript") || media.ends_with("ecmascript");
    scripts
        || media.ends_with("/xml")
        || media.ends_with("+xml")
        || matches!(media, "text/html" | "application/hta" | "text/xsl")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(head: &[u8], expected: &str) {
        assert_eq!(media(head), expected, "{}", head.escape_ascii());
    }

    #[test]
    fn the_first_bytes_tell_the_type() {
        check(b"%PDF-1.7", "application/pdf");
        check(b"\x89PNG\r\n\x1a\n..", "image/png");
        check(b"RIFF....WEBPVP8 ", "image/webp");
        check(b"\0\0\0\x18ftypheic", "image/heic");
        check(b"PK\x03\x04..............[Content_Types].xml..word/document.xml", ARCHIVES[0].1);
        check(
            &[&b"PK\x03\x04"[..], &[0; 26], b"mimetypeapplication/vnd.oasis.opendocument.textPK"].concat(),
            "application/vnd.oasis.opendocument.text",
        );
        check(b"PK\x03\x04", "application/zip");
        check(&[&b"MZ\x90\0"[..], &[0; 56], &[0x80, 0, 0, 0]].concat(), PROGRAMS[0]);
        check(b"MZ is what they say", "");
        check(b"\x7fELF", "application/x-elf");
        check(b"BM....\0\0\0\0", "image/bmp");
        check(b"\xef\xbb\xbf \n<!DOCTYPE HTML><p>", "text/html");
        check(b"<?xml version=\"1.0\"?><!-- x --><SVG>", "image/svg+xml");
        check(b"<?xml version=\"1.0\"?><a/>", "text/xml");
        check(b"<me@example.com>", "");
        check(b"", "");
        check(&[&[b'a'; 257][..], b"ustar"].concat(), "application/x-tar");
    }

    #[test]
    fn a_program_that_says_so_is_no_disguise() {
        let program = PROGRAMS[0];
        for (declared, name, disguised) in [
            ("application/pdf", "invoice.pdf", true),
            ("image/png", "x", true),
            ("application/octet-stream", "invoice.pdf", true),
            ("application/octet-stream", "setup.EXE", false),
            ("application/pdf", "invoice.pdf.exe", false),
            ("application/octet-stream", "setup", false),
        ] {
            assert_eq!(is_disguised(program, declared, name), disguised, "{declared} {name}");
        }
        assert!(!is_disguised("text/x-shellscript", "text/plain", "run.txt"));
        assert!(!is_disguised("application/pdf", "image/png", "a.png"));
        assert!(is_active("image/svg+xml") && is_active("text/html") && is_active("application/xml"));
        assert!(!is_active("image/png") && !is_active("text/plain"));
    }
}
