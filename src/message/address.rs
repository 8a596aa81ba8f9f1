//! Address lists (RFC 5322 §3.4, §4.4) in the lenient reading: names with bare commas, comments as names, groups, encoded
//! words inside quotes, senders without a domain. Never fails.

use crate::message::encoded_word;
use crate::message::header::{Headers, unfold};
use crate::message::model::Address;

/// Reads every field of that name, at most `max` addresses.
pub(crate) fn list(headers: &Headers<'_>, name: &str, max: usize) -> Vec<Address> {
    let mut found = Vec::new();
    for field in headers.all(name) {
        parse(&unfold(field.value), max, &mut found);
    }
    found
}

/// Reads one unfolded value into `found`, until it holds `max`.
pub(crate) fn parse(value: &str, max: usize, found: &mut Vec<Address>) {
    let mut piece = Piece::default();
    let mut chars = value.chars();
    while let Some(c) = chars.next() {
        if found.len() >= max {
            return;
        }
        match c {
            '"' => piece.quoted(&mut chars),
            '(' => piece.comment(&mut chars),
            '<' => piece.angle(&mut chars),
            ',' | ';' => piece.end(c == ',', max, found),
            // A group's name is no address (RFC 5322 §3.4); a colon elsewhere is kept.
            ':' if !piece.at && piece.address.is_none() => piece = Piece::default(),
            _ => piece.push(c),
        }
    }
    piece.end(false, max, found);
}

/// The address that is being read.
#[derive(Default)]
struct Piece {
    name: String,
    comment: String,
    address: Option<String>,
    /// Whether the name holds an `@`.
    at: bool,
}

impl Piece {
    fn push(&mut self, c: char) {
        self.at |= c == '@';
        self.name.push(c);
    }

    fn quoted(&mut self, chars: &mut std::str::Chars<'_>) {
        let mut inner = String::new();
        while let Some(c) = chars.next() {
            match c {
                '"' => break,
                '\\' => inner.extend(chars.next()),
                _ => inner.push(c),
            }
        }
        self.at |= inner.contains('@');
        // A quoted local part belongs to the address: `"a b"@example.org`.
        if chars.as_str().starts_with('@') {
            self.name.push('"');
            self.name.push_str(&inner);
            self.name.push('"');
        } else {
            self.name.push_str(&inner);
        }
    }

    fn comment(&mut self, chars: &mut std::str::Chars<'_>) {
        let mut depth: usize = 1;
        while let Some(c) = chars.next() {
            match c {
                '(' => depth = depth.saturating_add(1),
                ')' => depth = depth.saturating_sub(1),
                '\\' => {
                    self.comment.extend(chars.next());
                    continue;
                }
                _ => {}
            }
            if depth == 0 {
                break;
            }
            self.comment.push(c);
        }
    }

    fn angle(&mut self, chars: &mut std::str::Chars<'_>) {
        let rest = chars.as_str();
        let (inside, after) = rest.split_once('>').unwrap_or((rest, ""));
        *chars = after.chars();
        // A route is passed over: `<@a,@b:user@example.org>` (RFC 5322 §4.4).
        let inside = if inside.starts_with('@') { inside.rsplit(':').next().unwrap_or(inside) } else { inside };
        let address: String = inside.chars().filter(|c| !c.is_whitespace() && *c != '<').collect();
        self.address = Some(address.strip_prefix("mailto:").map(str::to_owned).unwrap_or(address));
    }

    /// Ends the address. `comma`: text without an address so far is the beginning of a name with a bare comma.
    fn end(&mut self, comma: bool, max: usize, found: &mut Vec<Address>) {
        if comma && self.address.is_none() && !self.at && !self.name.trim().is_empty() {
            self.name.push(',');
            return;
        }
        let piece = std::mem::take(self);
        if let Some(address) = piece.address {
            let name = if piece.name.trim().is_empty() { &piece.comment } else { &piece.name };
            let address = encoded_word::decode(&address);
            if !address.is_empty() && found.len() < max {
                found.push(Address { name: clean(name), address });
            }
            return;
        }
        // Without angle brackets: names with bare commas in front of the address are other addresses without a domain.
        // One encoded word may hold any number of them.
        let bare = encoded_word::decode(&piece.name);
        let room = max.saturating_sub(found.len());
        for word in bare.split(',').map(str::trim).filter(|word| word.contains('@')).take(room) {
            let address = if word.starts_with('"') { word.to_owned() } else { plain(word) };
            let address = address.trim_matches(['\'', '[', ']']).to_owned();
            found.push(Address { name: clean(&piece.comment), address });
        }
    }
}

/// The word with the `@`, and what a dot connects to it: `a@b . example` (RFC 5322 §4.4).
fn plain(words: &str) -> String {
    let mut parts = words.split_whitespace().skip_while(|part| !part.contains('@') || part.len() < 2);
    let Some(mut address) = parts.next().map(str::to_owned) else {
        return words.split_whitespace().collect();
    };
    for part in parts {
        if !address.ends_with('.') && !part.starts_with('.') {
            break;
        }
        address.push_str(part);
    }
    address
}

fn clean(name: &str) -> String {
    let decoded = encoded_word::decode(name);
    let line: Vec<&str> = decoded.split_whitespace().collect();
    line.join(" ").trim_matches(['\'', '"']).to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(value: &str, expected: &[(&str, &str)]) {
        let mut found = Vec::new();
        parse(value, 100, &mut found);
        let found: Vec<_> = found.iter().map(|a| (a.name.as_str(), a.address.as_str())).collect();
        assert_eq!(found, expected, "{value}");
    }

    #[test]
    fn lists_are_read() {
        check("a@b", &[("", "a@b")]);
        check("Ann <a@b>, \"B, C\" <c@d>", &[("Ann", "a@b"), ("B, C", "c@d")]);
        check("Doe, John <a@b>", &[("Doe, John", "a@b")]);
        check("a@b (Ann (x))", &[("Ann (x)", "a@b")]);
        check("team: a@b, Ann <c@d>;, e@f", &[("", "a@b"), ("Ann", "c@d"), ("", "e@f")]);
        check("=?utf-8?Q?=C3=84nn=2C?= <a@b>", &[("Änn,", "a@b")]);
        check("\"a b\"@c", &[("", "\"a b\"@c")]);
        check("<@x,@y:a@b>", &[("", "a@b")]);
        check("Ann a@b . example, c@d. example (x)", &[("", "a@b.example"), ("x", "c@d.example")]);
        check("undisclosed-recipients:;", &[]);
        check("", &[]);
        check("<>", &[]);
        check("MAILER-DAEMON", &[]);
        check("Daemon <MAILER-DAEMON>", &[("Daemon", "MAILER-DAEMON")]);
    }

    #[test]
    fn no_more_than_asked_for() {
        let mut found = Vec::new();
        parse("a@b, c@d, e@f", 2, &mut found);
        assert_eq!(found.len(), 2);
        // Behind an encoded word, and behind a name with a bare comma.
        for value in ["=?utf-8?q?a@b,a@b,a@b?=", "\"a@b\", c@d (x), e@f, g@h", "a@b (x), <c@d>, <e@f>"] {
            let mut found = Vec::new();
            parse(value, 2, &mut found);
            assert_eq!(found.len(), 2, "{value}");
        }
    }
}
