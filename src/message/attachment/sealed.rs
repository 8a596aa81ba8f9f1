//! What of a mail is signed or encrypted, and by what: S/MIME (RFC 8551 §3), PGP/MIME (RFC 3156) and PGP written into text
//! (RFC 9580 §6.2). It is recognised and said. Never decrypted, never verified, never opened.

use memchr::memmem;

use crate::message::mime::part::Part;
use crate::message::model::Defect;

/// So many bytes of a part are looked at.
const WINDOW: usize = 4096;
/// The object ids of PKCS#7 contents without their last number (RFC 5652 §4): 1.2.840.113549.1.7.
const PKCS7: &[u8] = &[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x07];

/// Says what is signed or encrypted, each kind once.
pub(crate) fn note(parts: &[Part<'_>], defects: &mut Vec<Defect>) {
    let mut words: Vec<&'static str> = parts.iter().filter_map(word).collect();
    words.sort_unstable();
    words.dedup();
    defects.extend(words.into_iter().map(|word| Defect::new(word, "")));
}

fn word(part: &Part<'_>) -> Option<&'static str> {
    match part.media.as_str() {
        "application/pkcs7-signature" | "application/x-pkcs7-signature" => Some("smime-signed"),
        "application/pkcs7-mime" | "application/x-pkcs7-mime" => Some(smime(part)),
        "application/pgp-signature" => Some("pgp-signed"),
        "application/pgp-encrypted" => Some("pgp-encrypted"),
        "text/plain" if part.is_body() => armour(&part.bytes),
        _ => None,
    }
}

/// By the parameter, else by what the content says of itself.
fn smime(part: &Part<'_>) -> &'static str {
    match part.aspect.as_str() {
        "signed-data" => "smime-signed",
        "certs-only" => "smime-certificates",
        "compressed-data" => "smime-compressed",
        "" => {
            let head = part.beginning(64);
            let kind = memmem::find(&head, PKCS7).and_then(|at| head.get(at.saturating_add(PKCS7.len())).copied());
            if kind == Some(2) { "smime-signed" } else { "smime-encrypted" }
        }
        _ => "smime-encrypted",
    }
}

/// Lines that begin PGP in a text; they survive every transfer encoding but base64.
fn armour(text: &[u8]) -> Option<&'static str> {
    let head = text.get(..text.len().min(WINDOW)).unwrap_or_default();
    let stands = |mark: &[u8]| {
        memmem::find_iter(head, mark).any(|at| at.checked_sub(1).is_none_or(|before| head.get(before) == Some(&b'\n')))
    };
    if stands(b"-----BEGIN PGP MESSAGE-----") {
        return Some("pgp-encrypted");
    }
    stands(b"-----BEGIN PGP SIGNED MESSAGE-----").then_some("pgp-signed")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(media: &str, aspect: &str, bytes: &[u8], expected: &[&str]) {
        let part = Part { media: media.to_owned(), aspect: aspect.to_owned(), bytes: bytes.into(), ..Part::default() };
        let mut defects = Vec::new();
        note(&[part], &mut defects);
        assert_eq!(defects.iter().map(|defect| defect.code.as_str()).collect::<Vec<_>>(), expected);
    }

    #[test]
    fn what_is_sealed_is_said() {
        let content = |kind: u8| [&[0x30, 0x80, 0x06, 0x09], PKCS7, &[kind]].concat();
        check("application/pkcs7-signature", "", b"", &["smime-signed"]);
        check("application/pkcs7-mime", "signed-data", b"", &["smime-signed"]);
        check("application/x-pkcs7-mime", "authenveloped-data", b"", &["smime-encrypted"]);
        check("application/pkcs7-mime", "certs-only", b"", &["smime-certificates"]);
        check("application/pkcs7-mime", "", &content(2), &["smime-signed"]);
        check("application/pkcs7-mime", "", &content(3), &["smime-encrypted"]);
        check("application/pgp-signature", "", b"", &["pgp-signed"]);
        check("application/pgp-encrypted", "", b"", &["pgp-encrypted"]);
        check("text/plain", "", b"Hi\r\n-----BEGIN PGP MESSAGE-----\r\n", &["pgp-encrypted"]);
        check("text/plain", "", b"-----BEGIN PGP SIGNED MESSAGE-----\n", &["pgp-signed"]);
        check("text/plain", "", b"> -----BEGIN PGP MESSAGE-----\n", &[]);
    }
}
