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
        let half_a_flag = is_flag(next) && kept.chars().rev().take_while(|c| is_flag(*c)).count() % 2 == 1;
        if half_a_flag {
            kept = kept.get(..kept.len().saturating_sub(next.len_utf8())).unwrap_or_default();
        }
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

/// Half a flag: two of them are one letter.
const fn is_flag(c: char) -> bool {
    matches!(c, '\u{1f1e6}'..='\u{1f1ff}')
}

/// Combining marks, variation selectors, skin tones, tags and joiners: parts of the letter before them.
const fn joins(c: char) -> bool {
    let european = matches!(c, '\u{300}'..='\u{36f}' | '\u{483}'..='\u{489}' | '\u{1ab0}'..='\u{1aff}' | '\u{1dc0}'..='\u{1dff}' | '\u{20d0}'..='\u{20ff}' | '\u{fe20}'..='\u{fe2f}');
    let semitic = matches!(c, '\u{591}'..='\u{5bd}' | '\u{5bf}'..='\u{5c7}' | '\u{610}'..='\u{61a}' | '\u{64b}'..='\u{65f}' | '\u{670}' | '\u{6d6}'..='\u{6dc}');
    let indic = matches!(c, '\u{900}'..='\u{903}' | '\u{93a}'..='\u{94f}' | '\u{981}'..='\u{983}' | '\u{9bc}'..='\u{9cd}' | '\u{bbe}'..='\u{bcd}' | '\u{e31}' | '\u{e34}'..='\u{e3a}' | '\u{e47}'..='\u{e4e}');
    let asian = matches!(c, '\u{1160}'..='\u{11ff}' | '\u{3099}'..='\u{309a}' | '\u{ff9e}'..='\u{ff9f}');
    let pictures = matches!(c, JOINER | '\u{fe00}'..='\u{fe0f}' | '\u{1f3fb}'..='\u{1f3ff}' | '\u{e0020}'..='\u{e007f}' | '\u{e0100}'..='\u{e01ef}');
    european || semitic || indic || asian || pictures
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
            ("a\u{1f1f3}\u{1f1f4}b", 5, "a\u{1f1f3}\u{1f1f4}"),
            ("a\u{1f1f3}\u{1f1f4}", 3, "a"),
            ("\u{1f1f3}\u{1f1f4}\u{1f1f8}\u{1f1ea}", 6, "\u{1f1f3}\u{1f1f4}"),
            ("\u{928}\u{93f}", 1, ""),
            ("\u{ff76}\u{ff9e}", 1, ""),
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
