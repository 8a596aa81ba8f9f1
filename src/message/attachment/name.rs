//! File names that are only names: no path, no control or direction marks, no device, bounded, unique in their mail.
//! Nothing else in the crate may put a sender's file name into the entity.

use std::collections::HashMap;

/// Characters that Windows or a shell would read as something else.
const RESERVED: &[char] = &['<', '>', '"', '|', '?', '*', ':'];
const DEVICES: &[&str] = &["con", "prn", "aux", "nul", "conin$", "conout$", "clock$"];

/// Makes names safe and unique within one mail.
#[derive(Debug)]
pub(crate) struct Names {
    max_bytes: usize,
    /// Each name in lower case, and the last number that was tried to tell another from it.
    taken: HashMap<String, u32>,
}

impl Names {
    /// Names of at most `max_bytes` bytes.
    pub(crate) fn new(max_bytes: u32) -> Self {
        Self { max_bytes: usize::try_from(max_bytes).unwrap_or(usize::MAX).max(16), taken: HashMap::new() }
    }

    /// A safe name no other part of the mail has.
    pub(crate) fn unique(&mut self, wanted: &str) -> String {
        let safe = cut(&safe(wanted), self.max_bytes);
        let (stem, extension) = split(&safe);
        let key = safe.to_lowercase();
        let Some(tried) = self.taken.get(&key).copied() else {
            self.taken.insert(key, 1);
            return safe;
        };
        let (mut number, mut name) = (tried, safe.clone());
        while self.taken.contains_key(&name.to_lowercase()) {
            number = number.saturating_add(1);
            let tail = format!("-{number}{extension}");
            name = format!("{}{tail}", cut_plain(stem, self.max_bytes.saturating_sub(tail.len())));
        }
        // The next of that name goes on where this one ended: a mail may have very many.
        self.taken.insert(key, number);
        self.taken.insert(name.to_lowercase(), 1);
        name
    }
}

/// The last step of a path, without anything that is not a letter, a digit or an honest sign.
fn safe(wanted: &str) -> String {
    let last = wanted.rsplit(['/', '\\']).find(|step| !step.trim().is_empty()).unwrap_or_default();
    let kept: String =
        last.chars().filter(|c| !is_invisible(*c)).map(|c| if RESERVED.contains(&c) { '_' } else { c }).collect();
    let words: Vec<&str> = kept.split_whitespace().collect();
    let name = words.join(" ").trim_end_matches(['.', ' ']).trim_start_matches(['~', ' ']).to_owned();
    let stem = name.split('.').next().unwrap_or_default().trim().to_lowercase();
    match name.as_str() {
        "" => "file".to_owned(),
        _ if is_port(&stem) || DEVICES.contains(&stem.as_str()) => format!("_{name}"),
        _ => name,
    }
}

/// `COM1` and its kin, also with a raised digit.
fn is_port(stem: &str) -> bool {
    let number = stem.strip_prefix("com").or_else(|| stem.strip_prefix("lpt"));
    number.is_some_and(|number| {
        let mut digits = number.chars();
        digits.next().is_some_and(|c| c.is_ascii_digit() || "¹²³".contains(c)) && digits.next().is_none()
    })
}

/// Control characters, zero widths, direction marks, and letters that show nothing.
fn is_invisible(c: char) -> bool {
    c.is_control()
        || matches!(c, '\u{ad}' | '\u{34f}' | '\u{61c}' | '\u{115f}' | '\u{1160}' | '\u{17b4}' | '\u{17b5}' | '\u{180b}'..='\u{180e}'
            | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{3164}' | '\u{feff}' | '\u{ffa0}'
            | '\u{fff0}'..='\u{fffb}' | '\u{e0000}'..='\u{e0fff}')
}

/// Stem and extension with its dot; a long "extension" is none.
fn split(name: &str) -> (&str, &str) {
    match name.rfind('.') {
        Some(at) if at > 0 && name.len().saturating_sub(at) <= 16 => name.split_at_checked(at).unwrap_or((name, "")),
        _ => (name, ""),
    }
}

/// At most `max` bytes with the extension kept.
fn cut(name: &str, max: usize) -> String {
    if name.len() <= max {
        return name.to_owned();
    }
    let (stem, extension) = split(name);
    format!("{}{extension}", cut_plain(stem, max.saturating_sub(extension.len())))
}

fn cut_plain(text: &str, max: usize) -> &str {
    text.get(..text.floor_char_boundary(max)).unwrap_or(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(wanted: &str, expected: &str) {
        assert_eq!(Names::new(200).unique(wanted), expected);
    }

    #[test]
    fn a_name_is_only_a_name() {
        check("report.pdf", "report.pdf");
        check("../../etc/passwd", "passwd");
        check("C:\\x\\y.doc", "y.doc");
        check("pass\0wd\r\nx\u{202e}gpj.exe", "passwdxgpj.exe");
        check("a<b>:c?.txt", "a_b__c_.txt");
        check("con", "_con");
        check("Com1.txt", "_Com1.txt");
        check("comma.txt", "comma.txt");
        check("x. . ", "x");
        check("..", "file");
        check(" ", "file");
        check("Übersicht  2026.xlsx", "Übersicht 2026.xlsx");
    }

    #[test]
    fn a_long_name_keeps_its_extension() {
        let name = Names::new(20).unique(&format!("{}.docx", "ä".repeat(50)));
        assert_eq!(name, "äääääää.docx");
    }

    #[test]
    fn names_are_unique_whatever_the_case() {
        let mut names = Names::new(200);
        let found: Vec<_> = ["a.txt", "A.txt", "a.txt", "a-2.txt"].iter().map(|n| names.unique(n)).collect();
        assert_eq!(found, ["a.txt", "A-2.txt", "a-3.txt", "a-2-2.txt"]);
        let many: Vec<_> = (0..20_000).map(|_| names.unique("a.txt")).collect();
        assert_eq!(many.last().map(String::as_str), Some("a-20003.txt"));
    }
}
