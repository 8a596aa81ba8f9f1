//! What is odd about a mail, in words for people: one sentence for each word that `DebugInfo` and the lines of `message parse`
//! have. `docs/operations.md` has the same table.

/// The word, and what it means for the mail.
pub const SENTENCES: &[(&str, &str)] = &[
    ("addresses-cut", "It names more addresses than `address_count`; those beyond it are left out."),
    ("attachments-cut", "It has more attachments than `attachments`; those beyond it are not described."),
    ("blank-first-line", "Blank lines stood in front of the headers; they are skipped."),
    ("body-cut", "The text is longer than `body_chars`; the rest is in the raw mail."),
    ("charset", "The declared charset does not fit the bytes, or nobody knows it; another one was taken."),
    ("date-missing", "It has no Date; the newest Received or the time of its arrival stands for it."),
    ("date-unreadable", "No calendar has its Date; the newest Received or the time of its arrival stands for it."),
    ("empty", "The mail has no bytes at all."),
    ("header-bytes", "The headers are longer than `header_bytes`; the rest of them is left out."),
    ("header-count", "It has more header lines than `header_count`; those beyond it are left out."),
    ("header-garbage", "Lines among the headers are none; they are skipped."),
    ("header-line", "A header line is longer than `header_line`; it is cut."),
    (
        "html-effort",
        "The HTML nests so deep, or has so many attributes, that cleaning it takes too long; its text is posted.",
    ),
    ("html-length", "The HTML is longer than `body_chars`; its text is posted."),
    ("html-tags", "The HTML has more tags than an honest mail has; its text is posted."),
    ("mbox-line", "A `From ` line of a mailbox file stood in front of the headers; it is skipped."),
    ("message-id-missing", "It has no usable Message-Id; one was made from its content, the same at each reading."),
    ("nesting", "Its parts are nested deeper than `nesting`; only headers and text are read."),
    ("no-header", "It begins with no header at all; everything is text."),
    ("parts", "It has more parts than `parts`; only headers and text are read."),
    ("references-cut", "It refers to more mails than `reference_count`; the oldest references are left out."),
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
