//! What is odd about a mail, in words for people: one sentence for each word that `DebugInfo` and the lines of `message parse`
//! have. `docs/operations.md` has the same table.

/// The word, and what it means for the mail.
pub const SENTENCES: &[(&str, &str)] = &[
    ("addresses-cut", "It names more addresses than `address_count`; those beyond it are left out."),
    (
        "attachment-active",
        "Attachments are pages or pictures that a browser would run (HTML, SVG, XML); they are not to be shown in place.",
    ),
    ("attachments-cut", "It has more attachments than `attachments`; those beyond it are not described."),
    ("base64-false", "A text is said to be base64 and is none; it is shown as it stands."),
    ("blank-first-line", "Blank lines stood in front of the headers; they are skipped."),
    ("body-cut", "The text is longer than `body_chars`; the rest is in the raw mail."),
    ("byte-order-mark", "A byte order mark stood in front of the headers; it is skipped."),
    ("calendar", "It carries a calendar entry; the detail is its method (`request`, `reply`, `cancel`)."),
    ("charset", "The declared charset does not fit the bytes, or nobody knows it; another one was taken."),
    ("charset-doubtful", "A text is read in its declared charset, but its bytes speak of another one."),
    ("date-missing", "It has no Date; the newest Received or the time of its arrival stands for it."),
    (
        "date-too-old",
        "Its Date is older than mail itself; the newest Received or the time of its arrival stands for it.",
    ),
    ("date-unreadable", "No calendar has its Date; the newest Received or the time of its arrival stands for it."),
    ("duplicate-header", "A header that may stand once stands more often; the first one counts."),
    ("empty", "The mail has no bytes at all."),
    ("header-bytes", "The headers are longer than `header_bytes`; the rest of them is left out."),
    ("header-count", "It has more header lines than `header_count`; those beyond it are left out."),
    ("header-garbage", "Lines among the headers are none; they are skipped."),
    ("header-line", "A header line is longer than `header_line`; it is cut."),
    (
        "hidden-characters",
        "A header holds characters that nobody sees or that turn the direction of text; they are left out where it is shown.",
    ),
    (
        "html-apart",
        "HTML stands behind an encrypted part; it is kept as text, never on one page with what stands before it.",
    ),
    (
        "html-effort",
        "The HTML nests so deep, or has so many attributes, that cleaning it takes too long; its text is posted.",
    ),
    ("html-length", "The HTML is longer than `body_chars`; its text is posted."),
    ("html-tags", "The HTML has more tags than an honest mail has; its text is posted."),
    ("html-unsettled", "Each reading of the HTML understands it otherwise; its text is posted."),
    ("letters-lost", "Bytes of the text have no letter in its charset; `U+FFFD` stands for them."),
    ("mbox-line", "A `From ` line of a mailbox file stood in front of the headers; it is skipped."),
    ("message-id-missing", "It has no usable Message-Id; one was made from its content, the same at each reading."),
    (
        "mixed-script",
        "A name or domain mixes letters of several alphabets, or looks like another one; look at the address twice.",
    ),
    ("multipart-unseparated", "Nothing separates the parts of a multipart; it is shown as it stands."),
    (
        "name-holds-address",
        "The name of the sender holds an address that is not the sender's; look at the address itself.",
    ),
    ("nesting", "Its parts are nested deeper than `nesting`; only headers and text are read."),
    ("no-header", "It begins with no header at all; everything is text."),
    ("parts", "It has more parts than `parts`; only headers and text are read."),
    ("pgp-encrypted", "It is encrypted with PGP; it is passed on as it is."),
    ("pgp-signed", "It is signed with PGP; the signature is passed on and not checked."),
    ("program-disguised", "An attachment is a program, although its type or name says otherwise."),
    ("references-cut", "It refers to more mails than `reference_count`; the oldest references are left out."),
    ("smime-certificates", "It carries certificates (S/MIME); they are passed on."),
    ("smime-compressed", "It is compressed (S/MIME); it is passed on as it is."),
    ("smime-encrypted", "It is encrypted (S/MIME); it is passed on as it is."),
    ("smime-signed", "It is signed (S/MIME); the signature is passed on and not checked."),
    ("tnef", "A `winmail.dat` was opened; its files stand among the attachments."),
    ("tnef-broken", "A `winmail.dat` could not be read to its end; it stands beside what was found in it."),
    ("tnef-empty", "A `winmail.dat` holds neither a file nor a text that the mail lacks; it is passed on as it is."),
    ("tnef-files", "A `winmail.dat` holds more than `attachments` allows; it is passed on as it is."),
    ("uuencode", "The text held files (uuencode); they stand among the attachments."),
    (
        "uuencode-broken",
        "The text held files (uuencode) without their end; what is there stands among the attachments.",
    ),
];

/// The sentence for a word; empty for one that this version does not know.
#[must_use]
pub fn sentence(code: &str) -> &'static str {
    SENTENCES.iter().find(|(known, _)| *known == code).map_or("", |(_, sentence)| sentence)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_words_are_in_order_and_the_sentences_are_some() {
        assert!(SENTENCES.is_sorted());
        for (word, sentence) in SENTENCES {
            assert!(sentence.ends_with('.') && !sentence.contains('|'), "{word}");
        }
        assert_eq!(sentence("empty"), "The mail has no bytes at all.");
        assert_eq!(sentence("no such word"), "");
    }
}
