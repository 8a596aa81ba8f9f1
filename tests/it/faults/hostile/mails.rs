//! The mails themselves, made in code: none is stored.

use base64::Engine as _;

/// What each begins with: the ticket message must still say who wrote what.
pub(super) const HEAD: &str = "From: Mallory <mallory@example.org>\r\nTo: support@example.com\r\nSubject: still here\r\n\
    Message-ID: <hostile@example.org>\r\nDate: Mon, 2 Nov 2026 10:00:00 +0000\r\n";

/// A mail of these further headers and this body.
pub(super) fn mail(headers: &str, body: impl AsRef<[u8]>) -> Vec<u8> {
    [HEAD.as_bytes(), headers.as_bytes(), b"\r\n", body.as_ref()].concat()
}

/// A text, and beside it a part with these headers and this body.
pub(super) fn beside_text(headers: &str, body: &str) -> Vec<u8> {
    let text = "--b\r\nContent-Type: text/plain\r\n\r\nthe text";
    let body = format!("{text}\r\n--b\r\n{headers}\r\n{body}\r\n--b--\r\n");
    mail("Content-Type: multipart/mixed; boundary=b\r\n", body)
}

/// Mails inside each other, each with this type.
pub(super) fn chain(kind: &str, levels: usize) -> String {
    format!("Content-Type: {kind}\r\n\r\n").repeat(levels) + "Subject: innermost\r\n\r\nx"
}

/// In lines of 76, as it should be.
pub(super) fn base64(bytes: &str) -> String {
    let text = base64::engine::general_purpose::STANDARD.encode(bytes);
    text.as_bytes().chunks(76).map(|line| format!("{}\r\n", String::from_utf8_lossy(line))).collect()
}

/// Every letter that may be escaped is.
pub(super) fn quoted_printable(text: &str) -> String {
    text.bytes().map(|byte| if byte == b'\n' { "\n".to_owned() } else { format!("={byte:02X}") }).collect()
}

/// Multiparts inside each other, with a text in the innermost.
pub(super) fn multiparts(levels: usize) -> Vec<u8> {
    let open = |n: usize| format!("--b{n}\r\nContent-Type: multipart/mixed; boundary=b{}\r\n\r\n", n + 1);
    let inner: String = (0..levels).map(open).collect();
    mail("Content-Type: multipart/mixed; boundary=b0\r\n", format!("{inner}--b{levels}\r\n\r\nthe text\r\n"))
}

/// Digests inside each other: their parts need no type to be mails.
pub(super) fn digests(levels: usize) -> Vec<u8> {
    let open = |n: usize| format!("--b{n}\r\n\r\nContent-Type: multipart/digest; boundary=b{}\r\n\r\n", n + 1);
    let inner: String = (0..levels).map(open).collect();
    mail("Content-Type: multipart/digest; boundary=b0\r\n", format!("{inner}--b{levels}\r\n\r\nx\r\n"))
}

/// A chain in a mail in a mail, the outer ones encoded.
pub(super) fn three_deep(levels: usize) -> Vec<u8> {
    let rfc822 = "Content-Type: message/rfc822\r\nContent-Transfer-Encoding: base64\r\n";
    let inner = format!("{rfc822}\r\n{}", base64(&chain("message/rfc822", levels)));
    beside_text(rfc822, &base64(&inner))
}

/// HTML.
pub(super) fn html(html: &str) -> Vec<u8> {
    mail("Content-Type: text/html; charset=utf-8\r\n", html)
}

/// HTML whose cost no estimate sees: one tag with more attributes than anybody can compare, behind a quoted `>`.
pub(super) fn deceiving_html() -> Vec<u8> {
    let attributes: String = (0..300_000).map(|n| format!(" a{n}")).collect();
    html(&format!("<p x=\">\"{attributes}>the text</p>"))
}
