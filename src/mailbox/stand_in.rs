//! The mail that Exchange makes up where it cannot convert a mail of the mailbox: "Retrieval using the IMAP4 protocol
//! failed for the following message: 752". It is not what somebody sent us, so it is no ticket: the fetch has failed.
//!
//! A mail that somebody did send, and that only quotes this, came over SMTP: it has a Message-ID or a Received.

/// How its subject begins.
const SUBJECT: &[u8] = b"retrieval using the imap4 protocol failed for the following message";
/// It is small.
const LARGEST: usize = 16 << 10;

/// Whether Exchange has put this in place of the mail that was asked for.
pub(super) fn is_stand_in(raw: &[u8]) -> bool {
    if raw.len() > LARGEST {
        return false;
    }
    let mut subject = false;
    for line in unfolded_header(raw) {
        let (name, value) = line.split_at(line.iter().position(|byte| *byte == b':').unwrap_or(line.len()));
        match name.trim_ascii().to_ascii_lowercase().as_slice() {
            b"received" | b"message-id" => return false,
            b"subject" => subject = words(value).starts_with(SUBJECT),
            _ => {}
        }
    }
    subject
}

/// The lines of the header, continuations put to their line.
fn unfolded_header(raw: &[u8]) -> Vec<Vec<u8>> {
    let mut lines: Vec<Vec<u8>> = Vec::new();
    for line in raw.split(|byte| *byte == b'\n').take_while(|line| !line.trim_ascii().is_empty()) {
        match lines.last_mut().filter(|_| line.starts_with(b" ") || line.starts_with(b"\t")) {
            Some(last) => last.extend_from_slice(line),
            None => lines.push(line.to_vec()),
        }
    }
    lines
}

/// What stands behind the colon, in lower case, with one blank between words.
fn words(value: &[u8]) -> Vec<u8> {
    let value = value.strip_prefix(b":").unwrap_or(value).to_ascii_lowercase();
    value.split(u8::is_ascii_whitespace).filter(|word| !word.is_empty()).collect::<Vec<_>>().join(&b' ')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(raw: &str, expected: bool) {
        assert_eq!(is_stand_in(raw.as_bytes()), expected, "{raw}");
    }

    #[test]
    fn only_what_never_was_sent_is_a_stand_in() {
        const FROM: &str = "MIME-Version: 1.0\r\nFrom: Microsoft Exchange Server 2010\r\n";
        const SUBJECT: &str =
            "Subject: Retrieval using the IMAP4 protocol failed for the following\r\n message: 204\r\n";
        check(&format!("{FROM}{SUBJECT}\r\nThe server couldn't retrieve the following message:\r\n"), true);
        check(&format!("{}{FROM}\n", SUBJECT.to_ascii_uppercase().replace("\r\n", "\n")), true);
        check(&format!("{FROM}{SUBJECT}Received: from example.com\r\n\r\n"), false);
        check(&format!("Message-ID: <a@example.com>\r\n{FROM}{SUBJECT}\r\n"), false);
        check(&format!("{FROM}Subject: Re: Retrieval using the IMAP4 protocol failed\r\n\r\n"), false);
        check(&format!("{FROM}\r\n{SUBJECT}"), false);
        check(&format!("{FROM}{SUBJECT}\r\n{}", "x".repeat(20_000)), false);
        check("", false);
    }
}
