//! The lengths of the API's columns. What is cut is remembered, so that `DebugInfo` can say so.
//!
//! A length counts UTF-16 units, as the database behind the API may: a text that fits so fits by characters too.

/// Cuts texts to the lengths of their columns.
#[derive(Debug, Default)]
pub(crate) struct Fitting {
    /// The fields that were cut, each once, with the longest length that it had and the one it has; in the order of the cuts.
    pub(crate) cut: Vec<(&'static str, usize, usize)>,
}

impl Fitting {
    /// `text`, at most `max` units of it, cut in front of a mark that belongs to the letter before.
    pub(crate) fn fit(&mut self, field: &'static str, text: &str, max: usize) -> String {
        let mut units: usize = 0;
        let beyond = text.char_indices().find(|(_, c)| {
            units = units.saturating_add(c.len_utf16());
            units > max
        });
        let Some((cut, mut next)) = beyond else {
            return text.to_owned();
        };
        let was = text.encode_utf16().count();
        match self.cut.iter_mut().find(|(known, ..)| *known == field) {
            Some((_, longest, _)) => *longest = was.max(*longest),
            None => self.cut.push((field, was, max)),
        }
        let mut kept = text.get(..cut).unwrap_or_default();
        while joins(next) || kept.ends_with(JOINER) {
            let mut chars = kept.chars();
            let Some(last) = chars.next_back() else {
                break;
            };
            (kept, next) = (chars.as_str(), last);
        }
        kept.to_owned()
    }
}

/// Makes one letter of those around it.
const JOINER: char = '\u{200d}';

/// Combining marks, variation selectors, skin tones and joiners: parts of the letter before them.
const fn joins(c: char) -> bool {
    matches!(c, '\u{300}'..='\u{36f}' | '\u{1ab0}'..='\u{1aff}' | '\u{20d0}'..='\u{20ff}' | JOINER | '\u{fe00}'..='\u{fe0f}' | '\u{1f3fb}'..='\u{1f3ff}')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_is_cut_between_letters() {
        for (text, max, expected) in [
            ("abc", 3, "abc"),
            ("abcd", 3, "abc"),
            ("äöüß", 3, "äöü"),
            ("abe\u{301}", 3, "ab"),
            ("e\u{301}", 2, "e\u{301}"),
            ("a\u{1f600}", 2, "a"),
            ("a\u{1f468}\u{200d}\u{1f469}", 5, "a"),
            ("\u{301}\u{301}", 1, ""),
            ("", 3, ""),
        ] {
            assert_eq!(Fitting::default().fit("F", text, max), expected, "{text}");
        }
    }

    #[test]
    fn each_cut_field_is_named_once() {
        let mut fitting = Fitting::default();
        fitting.fit("A", "xx", 1);
        fitting.fit("A", "xxx", 1);
        fitting.fit("A", "xx", 1);
        fitting.fit("B", "x", 1);
        assert_eq!(fitting.cut, [("A", 3, 1)]);
    }
}
