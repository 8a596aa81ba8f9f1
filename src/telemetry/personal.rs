//! What log lines and listings may show of text that others wrote: masked addresses, and foreign text made harmless.
//!
//! Nothing here decides whether something is shown; `config::log::PersonalData` does.

/// The bytes of one field that are written; the rest is cut.
pub const FIELD_BYTES: usize = 200;

/// An address (or a Message-Id) of which only the first character and the domain are left: `j***@example.com`.
/// Text without an `@` leaves its first character.
#[must_use]
pub fn masked(address: &str) -> String {
    let (local, domain) = match address.rsplit_once('@') {
        Some((local, domain)) => (local, Some(domain)),
        None => (address, None),
    };
    let first: String = local.trim_start_matches('<').chars().take(1).collect();
    match (domain, local.is_empty()) {
        (None, true) => String::new(),
        (None, false) => format!("{first}***"),
        (Some(domain), _) => format!("{first}***@{}", domain.trim_end_matches('>')),
    }
}

/// Whether foreign text says a secret back, or begins to: such text is not shown. Very short secrets are in many texts.
#[must_use]
pub fn gives_away(text: &str, secret: &str) -> bool {
    let start = secret.get(..secret.floor_char_boundary(12)).unwrap_or(secret);
    start.len() >= 6 && text.contains(start)
}

/// What stands in the place of such text.
pub const HIDDEN: &str = "(not shown: it holds the secret)";

/// `text` with everything escaped that could end a line, colour a terminal or turn the direction of writing, and cut
/// to [`FIELD_BYTES`].
#[must_use]
pub fn harmless(text: &str) -> String {
    let mut safe = String::with_capacity(text.len().min(FIELD_BYTES));
    for character in text.chars() {
        if safe.len() >= FIELD_BYTES {
            safe.push('…');
            break;
        }
        match character {
            '\n' => safe.push_str("\\n"),
            '\r' => safe.push_str("\\r"),
            '\t' => safe.push_str("\\t"),
            _ if is_hidden(character) => safe.push_str(&format!("\\u{{{:x}}}", u32::from(character))),
            _ => safe.push(character),
        }
    }
    safe
}

/// Control characters, and those that are invisible or turn the direction of writing.
const fn is_hidden(character: char) -> bool {
    matches!(
        character,
        '\0'..='\x1f'
            | '\x7f'..='\u{9f}'
            | '\u{61c}'
            | '\u{200b}'..='\u{200f}'
            | '\u{2028}'..='\u{202e}'
            | '\u{2060}'..='\u{2069}'
            | '\u{feff}'
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check_masked(address: &str, expected: &str) {
        assert_eq!(masked(address), expected);
    }

    #[track_caller]
    fn check_harmless(text: &str, expected: &str) {
        assert_eq!(harmless(text), expected);
    }

    #[test]
    fn masks_leave_the_first_character_and_the_domain() {
        check_masked("jane.doe@example.com", "j***@example.com");
        check_masked("<abc.1@mail.example.com>", "a***@mail.example.com");
        check_masked("a@b@example.com", "a***@example.com");
        check_masked("@example.com", "***@example.com");
        check_masked("émile@example.org", "é***@example.org");
        check_masked("postmaster", "p***");
        check_masked("", "");
    }

    #[test]
    fn foreign_text_can_neither_end_a_line_nor_turn_it() {
        check_harmless("503 service unavailable", "503 service unavailable");
        check_harmless("a\r\nb\tc", "a\\r\\nb\\tc");
        check_harmless("\x1b[31mred\u{9b}0m", "\\u{1b}[31mred\\u{9b}0m");
        check_harmless("x\u{202e}gpj.exe\u{feff}\u{2028}", "x\\u{202e}gpj.exe\\u{feff}\\u{2028}");
        check_harmless("grüße", "grüße");
    }

    #[test]
    fn foreign_text_is_cut_between_characters() {
        assert_eq!(harmless(&"ü".repeat(150)), format!("{}…", "ü".repeat(100)));
        assert_eq!(harmless(&"x".repeat(FIELD_BYTES)), "x".repeat(FIELD_BYTES));
    }
}
