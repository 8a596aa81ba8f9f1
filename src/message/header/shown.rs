//! Text that people read on one line: no line breaks, no control characters, nothing that turns the writing direction or
//! hides between letters (Unicode Standard Annex #9, Unicode Technical Report #36). What a sender wrote stays in the
//! header block as it came; this is only what is shown.

use std::borrow::Cow;

/// Marks that make one letter of their neighbours, in emoji and in scripts such as Persian or Devanagari.
const JOINERS: [char; 2] = ['\u{200c}', '\u{200d}'];

/// Whether a character has no shape of its own: zero widths, direction marks, byte order marks.
pub(crate) const fn is_hidden(c: char) -> bool {
    matches!(c, '\u{61c}' | '\u{200b}'..='\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2060}'..='\u{2069}' | '\u{feff}')
}

/// One line: a blank for each control character and line separator. Joiners stay where they join two letters that are
/// not ASCII.
pub(crate) fn one_line(text: &str) -> String {
    if text.bytes().all(|byte| matches!(byte, b' '..=b'~')) {
        return text.trim().to_owned();
    }
    let mut line = String::with_capacity(text.len());
    let mut chars = text.chars().peekable();
    while let Some(c) = chars.next() {
        if c.is_control() || matches!(c, '\u{2028}' | '\u{2029}') {
            line.push(' ');
        } else if !is_hidden(c) || JOINERS.contains(&c) && is_foreign(line.chars().next_back(), chars.peek()) {
            line.push(c);
        }
    }
    line.trim().to_owned()
}

/// Whether both neighbours of a joiner are letters that it may join.
fn is_foreign(before: Option<char>, after: Option<&char>) -> bool {
    before.iter().chain(after).filter(|c| !c.is_ascii() && !is_hidden(**c)).count() == 2
}

/// A name: one line, single blanks, nothing hidden at all, so that two names which look alike are alike.
pub(crate) fn name(text: &str) -> String {
    let line: String = text.chars().filter(|c| !is_hidden(*c)).map(|c| if c.is_control() { ' ' } else { c }).collect();
    let words: Vec<&str> = line.split_whitespace().collect();
    words.join(" ")
}

/// Text with U+FFFD for everything without a shape: two addresses that differ in it stay different, and it can be seen.
pub(crate) fn visible(text: &str) -> Cow<'_, str> {
    if !text.is_ascii() && text.chars().any(is_shapeless) {
        return text.chars().map(|c| if is_shapeless(c) { char::REPLACEMENT_CHARACTER } else { c }).collect();
    }
    Cow::Borrowed(text)
}

/// Hidden, or without a shape in an address: soft hyphens, fillers, tags.
const fn is_shapeless(c: char) -> bool {
    is_hidden(c)
        || matches!(c, '\u{ad}' | '\u{34f}' | '\u{115f}' | '\u{1160}' | '\u{180e}' | '\u{206a}'..='\u{206f}' | '\u{3164}' | '\u{ffa0}' | '\u{e0000}'..='\u{e0fff}')
}

/// Whether something is taken away when the text is shown.
pub(crate) fn hides(text: &str) -> bool {
    !text.is_ascii() && text.chars().any(|c| is_hidden(c) && !JOINERS.contains(&c))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_holds_nothing_that_breaks_or_turns_it() {
        for (text, expected) in [
            (" plain ", "plain"),
            ("a\r\nBcc: b\u{85}c\u{2028}d\te", "a  Bcc: b c d e"),
            ("photo\u{202e}gpj.exe", "photogpj.exe"),
            ("\u{feff}a\u{200b}b\u{200d}c\u{2066}d\u{2069}", "abcd"),
            ("می\u{200c}خواهم", "می\u{200c}خواهم"),
            ("👨\u{200d}👩\u{200d}👧\u{200d}", "👨\u{200d}👩\u{200d}👧"),
            ("é\u{200d}\u{200d}é", "é\u{200d}é"),
        ] {
            assert_eq!(one_line(text), expected, "{text:?}");
        }
    }

    #[test]
    fn names_hide_nothing_and_addresses_show_what_they_hide() {
        assert_eq!(name(" A\u{200d}n\u{200b}n\r\n\u{2067}B "), "Ann B");
        assert_eq!(visible("a\u{200b}b@c\u{ad}d"), "a\u{fffd}b@c\u{fffd}d");
        assert!(hides("a\u{202e}b") && !hides("👨\u{200d}👩") && !hides("ab"));
    }
}
