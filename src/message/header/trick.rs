//! Tricks with senders (RFC 5890, Unicode Technical Standard #39): words that mix alphabets, domains that look like
//! others, names that hold another address. They are told, never corrected: what is told decides nothing.

/// An alphabet whose letters are mistaken for those of another one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Alphabet {
    Latin,
    Greek,
    Cyrillic,
    Armenian,
    Georgian,
    Cherokee,
    Hebrew,
    Arabic,
}

/// Small letters of the Cyrillic alphabet that look like Latin ones.
const LOOKALIKES: &str = "аеорсухіјѕԁһӏԛԝвкмнт";

/// Whether a word of the text has letters of two alphabets.
pub(crate) fn mixes(text: &str) -> bool {
    if text.is_ascii() {
        return false;
    }
    let mut word = None;
    text.chars().any(|c| match (word, alphabet(c)) {
        (_, None) => {
            // East Asian writing stands beside Latin letters; marks and digits belong to any alphabet.
            word = word.filter(|_| c.is_alphanumeric() || !c.is_ascii());
            false
        }
        (None, found) => {
            word = found;
            false
        }
        (Some(before), Some(found)) => before != found,
    })
}

/// Whether a domain could be taken for another one: a label mixes alphabets or is made of lookalikes alone.
pub(crate) fn is_doubtful_domain(domain: &str) -> bool {
    let alike = |label: &str| !label.is_ascii() && label.chars().all(|c| LOOKALIKES.contains(c) || c.is_ascii_digit());
    !domain.is_ascii() && domain.split('.').any(|label| mixes(label) || alike(label))
}

/// Whether a name shows an address other than the one it belongs to.
pub(crate) fn holds_other_address(name: &str, address: &str) -> bool {
    let is_at = |c: char| matches!(c, '@' | '\u{ff20}' | '\u{fe6b}');
    if !name.contains(is_at) {
        return false;
    }
    let words = name.split(|c: char| c.is_whitespace() || "<>()[]{},;:\"'".contains(c));
    words.filter_map(|word| word.split_once(is_at)).any(|(local, domain)| {
        let domain = domain.trim_end_matches(|c: char| !c.is_alphanumeric());
        let plausible = !local.is_empty() && domain.contains('.') && !domain.contains(is_at);
        let own = address.rsplit_once('@').is_some_and(|(own_local, own_domain)| {
            own_local.eq_ignore_ascii_case(local) && own_domain.eq_ignore_ascii_case(domain)
        });
        plausible && !own
    })
}

const fn alphabet(c: char) -> Option<Alphabet> {
    let alphabet = match c {
        'a'..='z' | 'A'..='Z' | '\u{c0}'..='\u{d6}' | '\u{d8}'..='\u{f6}' | '\u{f8}'..='\u{2af}' => Alphabet::Latin,
        '\u{1e00}'..='\u{1eff}' | '\u{ff21}'..='\u{ff3a}' | '\u{ff41}'..='\u{ff5a}' => Alphabet::Latin,
        '\u{370}'..='\u{3ff}' | '\u{1f00}'..='\u{1fff}' => Alphabet::Greek,
        '\u{400}'..='\u{52f}' | '\u{1c80}'..='\u{1c8f}' | '\u{a640}'..='\u{a69f}' => Alphabet::Cyrillic,
        '\u{531}'..='\u{58f}' => Alphabet::Armenian,
        '\u{10a0}'..='\u{10ff}' => Alphabet::Georgian,
        '\u{13a0}'..='\u{13ff}' | '\u{ab70}'..='\u{abbf}' => Alphabet::Cherokee,
        '\u{5d0}'..='\u{5ea}' => Alphabet::Hebrew,
        '\u{620}'..='\u{64a}' => Alphabet::Arabic,
        _ => return None,
    };
    Some(alphabet)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_of_two_alphabets_are_told() {
        for (text, expected) in [
            ("Ann Smith", false),
            ("Änn Œuvre", false),
            ("Иван Smith", false),
            ("Ivan-Иван", false),
            ("Pаypal", true),
            ("Αpple", true),
            ("раура1", false),
            ("株式会社ABC東京", false),
            ("Аnn", true),
            ("x\u{301}ж", true),
            ("Ωmega", true),
            ("5µm", false),
        ] {
            assert_eq!(mixes(text), expected, "{text}");
        }
    }

    #[test]
    fn domains_that_look_like_others_are_told() {
        for (domain, expected) in [
            ("example.org", false),
            ("bücher.example", false),
            ("пример.испытание", false),
            ("аррӏе.com", true),
            ("pаypal.com", true),
            ("почта.example", false),
            ("例え.テスト", false),
        ] {
            assert_eq!(is_doubtful_domain(domain), expected, "{domain}");
        }
    }

    #[test]
    fn names_that_hold_another_address_are_told() {
        for (name, expected) in [
            ("Ann", false),
            ("ann@example.org", false),
            ("ANN@Example.org", false),
            ("ceo@bank.example", true),
            ("CEO <ceo@bank.example>", true),
            ("ceo＠bank.example", true),
            ("Ann (ceo@bank.example) via list", true),
            ("Ann @ Work", false),
            ("Team@Work", false),
            ("x@bank.example,", true),
        ] {
            assert_eq!(holds_other_address(name, "ann@example.org"), expected, "{name}");
        }
    }
}
