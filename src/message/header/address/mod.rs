//! Address lists (RFC 5322 §3.4, §4.4, RFC 6532, RFC 6854) in the lenient reading: names with bare commas, missing commas,
//! semicolons, missing angle brackets and quotes, comments anywhere, groups, source routes, encoded words where they may
//! not stand, senders without a domain. Never fails.
//!
//! An address stays as it stands in the mail: two senders never become equal by tidying. Nothing in it can end it where
//! it is listed.

use crate::message::header::Headers;
use crate::message::header::encoded_word;
use crate::message::header::shown;
use crate::message::header::trick;
use crate::message::model::Address;

/// A longer domain is none (RFC 1035 §2.3.4).
const MAX_DOMAIN: usize = 255;

/// The addresses of one header.
#[derive(Debug, Default)]
pub(crate) struct List {
    /// In the order of the mail.
    pub(crate) addresses: Vec<Address>,
    /// Something hidden was taken out of a name or made visible in an address.
    pub(crate) hides: bool,
}

/// Reads every field of that name, at most `max` addresses.
pub(crate) fn list(headers: &Headers<'_>, name: &str, max: usize) -> List {
    let mut list = List::default();
    for field in headers.all(name) {
        Reader::new(&headers.line(field), max, &mut list).read();
    }
    list
}

impl Address {
    /// The domain in its other form (RFC 5890 §2.3.2): Unicode for `xn--`, `xn--` for Unicode. `None` where there is no
    /// other form, and where the Unicode form could be taken for another domain.
    #[must_use]
    pub fn other_domain(&self) -> Option<String> {
        let (_, domain) = self.address.rsplit_once('@')?;
        if domain.len() > MAX_DOMAIN {
            return None;
        }
        if !domain.is_ascii() {
            return idna::domain_to_ascii(domain).ok();
        }
        let unicode = unicode(domain)?;
        (!trick::is_doubtful_domain(&unicode)).then_some(unicode)
    }

    /// Whether name or domain could be taken for others: letters of two alphabets in one word.
    pub(crate) fn is_doubtful(&self) -> bool {
        let domain = self.address.rsplit_once('@').map_or("", |(_, domain)| domain);
        trick::mixes(&self.name)
            || trick::mixes(&self.address)
            || trick::is_doubtful_domain(domain)
            || unicode(domain).is_some_and(|domain| trick::is_doubtful_domain(&domain))
    }
}

/// The Unicode form of a domain with an `xn--` label.
fn unicode(domain: &str) -> Option<String> {
    let has_label = domain.split('.').any(|label| label.get(..4).is_some_and(|head| head.eq_ignore_ascii_case("xn--")));
    if !has_label || domain.len() > MAX_DOMAIN {
        return None;
    }
    let (unicode, valid) = idna::domain_to_unicode(domain);
    (valid.is_ok() && !unicode.is_ascii()).then_some(unicode)
}

/// Goes once over a value.
struct Reader<'a, 'l> {
    rest: &'a str,
    max: usize,
    list: &'l mut List,
    piece: Piece,
    /// A quote, a comment was opened that nothing closes: the signs are letters from there on.
    quotes: bool,
    comments: bool,
    /// The text came out of an encoded word; it is read once more and no deeper.
    decoded: bool,
}

/// The address that is being read.
#[derive(Default)]
struct Piece {
    /// What stands in front of the address, still encoded.
    words: String,
    /// What stands behind it.
    after: String,
    comment: String,
    address: Option<String>,
    /// Whether the words hold an `@`.
    at: bool,
}

impl<'a, 'l> Reader<'a, 'l> {
    fn new(value: &'a str, max: usize, list: &'l mut List) -> Self {
        Self { rest: value, max, list, piece: Piece::default(), quotes: true, comments: true, decoded: false }
    }

    fn read(mut self) {
        while let Some(c) = self.rest.chars().next() {
            if self.list.addresses.len() >= self.max {
                return;
            }
            if c == '='
                && let Some((word, after)) =
                    encoded_word::length(self.rest).and_then(|at| self.rest.split_at_checked(at))
            {
                self.piece.text().push_str(word);
                self.rest = after;
                continue;
            }
            self.rest = self.rest.get(c.len_utf8()..).unwrap_or_default();
            match c {
                '"' if self.quotes => self.quoted(),
                '(' if self.comments => self.comment(),
                '<' => self.angle(),
                ',' => self.comma(),
                ';' => self.end(),
                // A group's name is no address (RFC 5322 §3.4); a colon elsewhere is kept.
                ':' if !self.piece.at && self.piece.address.is_none() => self.piece = Piece::default(),
                _ => self.piece.push(c),
            }
        }
        self.end();
    }

    fn quoted(&mut self) {
        let Some((inner, after)) = quoted(self.rest) else {
            self.quotes = false;
            return;
        };
        // A quoted local part belongs to the address: `"a b"@example.org`.
        if let Some(domain) = after.strip_prefix('@').filter(|_| self.piece.address.is_none()) {
            let end = domain.find(|c: char| c.is_whitespace() || ",;<>()\"".contains(c)).unwrap_or(domain.len());
            let length = self.rest.len().saturating_sub(domain.len()).saturating_add(end);
            let (address, rest) = self.rest.split_at_checked(length).unwrap_or_default();
            self.piece.address = Some(format!("\"{address}"));
            self.rest = rest;
            return;
        }
        let at = inner.contains('@');
        self.piece.text().push_str(&inner);
        if inner.contains("=?") {
            // No value holds this character. It keeps the blank behind an encoded word in quotes, which would be lost
            // between two encoded words.
            self.piece.text().push('\0');
        }
        self.piece.at |= at && self.piece.address.is_none();
        self.rest = after;
    }

    fn comment(&mut self) {
        let Some((inner, after)) = comment(self.rest) else {
            self.comments = false;
            return;
        };
        if self.piece.comment.is_empty() {
            self.piece.comment = inner;
        }
        self.rest = after;
    }

    fn angle(&mut self) {
        let address = self.inside_angle();
        match &self.piece.address {
            _ if address.is_empty() => {}
            None => self.piece.address = Some(address),
            Some(before) if before.eq_ignore_ascii_case(&address) => {}
            Some(before) if !before.contains('@') && address.contains('@') => self.piece.address = Some(address),
            // The comma is missing: `A <a@example.org> B <b@example.org>`.
            Some(_) if address.contains('@') => {
                let words = std::mem::take(&mut self.piece.after);
                self.end();
                self.piece = Piece { words, address: Some(address), ..Piece::default() };
            }
            Some(_) => {}
        }
    }

    /// What stands up to `>`, or to where the missing one should stand; without blanks, comments and route.
    fn inside_angle(&mut self) -> String {
        let mut inside = String::new();
        while let Some(c) = self.rest.chars().next() {
            let word = if c == '=' { encoded_word::length(self.rest) } else { None };
            let (head, after) = self.rest.split_at_checked(word.unwrap_or_else(|| c.len_utf8())).unwrap_or_default();
            match c {
                _ if word.is_some() => inside.push_str(&encoded_word::decode(head)),
                '<' if inside.contains('@') && !inside.starts_with('@') => break,
                '<' => inside.clear(),
                ',' | ';' if !inside.is_empty() && !inside.starts_with('@') => break,
                '"' if self.quotes => match quoted(after) {
                    Some((_, behind)) => {
                        let length = self.rest.len().saturating_sub(behind.len());
                        inside.push_str(self.rest.get(..length).unwrap_or_default());
                        self.rest = behind;
                        continue;
                    }
                    None => self.quotes = false,
                },
                '(' if self.comments => match comment(after) {
                    Some((_, behind)) => {
                        self.rest = behind;
                        continue;
                    }
                    None => self.comments = false,
                },
                _ if c.is_whitespace() || c == '>' => {}
                _ => inside.push(c),
            }
            self.rest = after;
            if c == '>' {
                break;
            }
        }
        // A route is passed over: `<@a,@b:user@example.org>` (RFC 5322 §4.4).
        let address = if inside.starts_with('@') { inside.rsplit(':').next().unwrap_or_default() } else { &inside };
        without_scheme(address).to_owned()
    }

    /// Text without an address so far is the beginning of a name with a bare comma.
    fn comma(&mut self) {
        if self.piece.address.is_none() && !self.piece.at && !self.piece.words.is_empty() {
            self.piece.push(',');
        } else {
            self.end();
        }
    }

    fn end(&mut self) {
        let piece = std::mem::take(&mut self.piece);
        if self.list.addresses.len() >= self.max {
            return;
        }
        let Some(address) = &piece.address else {
            return self.bare(&piece);
        };
        let named = [&piece.words, &piece.comment, &piece.after].into_iter().find(|name| !name.trim().is_empty());
        self.add(named.map_or("", String::as_str), address);
    }

    /// Without angle brackets each word with an `@` is an address. One encoded word may hold any number of them.
    fn bare(&mut self, piece: &Piece) {
        let text = encoded_word::decode(&piece.words);
        if !self.decoded && piece.words.contains("=?") && text.contains('<') {
            let mut reader = Reader::new(&text, self.max, self.list);
            reader.decoded = true;
            return reader.read();
        }
        for word in text.split([',', ';']).flat_map(words_with_at) {
            if self.list.addresses.len() >= self.max {
                return;
            }
            self.add(&piece.comment, without_brackets(&word));
        }
    }

    fn add(&mut self, name: &str, address: &str) {
        let name = encoded_word::decode(name);
        let visible = shown::visible(address);
        self.list.hides |= shown::hides(&name) || visible != address;
        let name = without_quotes(&shown::name(&name)).to_owned();
        let address = one_address(&visible);
        if !address.is_empty() {
            self.list.addresses.push(Address { name, address });
        }
    }
}

impl Piece {
    /// Where text goes now.
    const fn text(&mut self) -> &mut String {
        if self.address.is_none() { &mut self.words } else { &mut self.after }
    }

    fn push(&mut self, c: char) {
        self.at |= c == '@' && self.address.is_none();
        let text = self.text();
        if !text.is_empty() || !c.is_whitespace() {
            text.push(c);
        }
    }
}

/// What stands up to the closing quote, unescaped, and what follows it.
fn quoted(rest: &str) -> Option<(String, &str)> {
    let mut inner = String::new();
    let mut chars = rest.chars();
    while let Some(c) = chars.next() {
        match c {
            '"' => return Some((inner, chars.as_str())),
            '\\' => inner.extend(chars.next()),
            _ => inner.push(c),
        }
    }
    None
}

/// What stands up to the parenthesis that closes a comment, with the comments in it, and what follows.
fn comment(rest: &str) -> Option<(String, &str)> {
    let mut depth: usize = 1;
    let mut inner = String::new();
    let mut chars = rest.chars();
    while let Some(c) = chars.next() {
        match c {
            '(' => depth = depth.saturating_add(1),
            ')' => depth = depth.saturating_sub(1),
            '\\' => {
                inner.extend(chars.next());
                continue;
            }
            _ => {}
        }
        if depth == 0 {
            return Some((inner, chars.as_str()));
        }
        inner.push(c);
    }
    None
}

/// The words with an `@`, with what a dot or the `@` connects to them: `a @ b . example` (RFC 5322 §4.4).
fn words_with_at(text: &str) -> Vec<String> {
    let mut found: Vec<String> = Vec::new();
    let mut word = String::new();
    for part in text.split_whitespace() {
        let connected =
            part.starts_with(['@', '.']) || word.ends_with('@') || (word.ends_with('.') && word.contains('@'));
        if !connected || word.is_empty() {
            found.extend(Some(std::mem::take(&mut word)).filter(|word| word.contains('@')));
        }
        word.push_str(part);
    }
    found.extend(Some(word).filter(|word| word.contains('@')));
    found.retain(|word| word.len() > 1);
    found
}

/// Without quotes around it, and without one that has lost its partner.
fn without_quotes(name: &str) -> &str {
    let mut name = name.trim();
    for quote in ['"', '\''] {
        while let Some(inner) = name.strip_prefix(quote).and_then(|inner| inner.strip_suffix(quote)) {
            name = inner.trim();
        }
    }
    if name.matches('"').count() == 1 { name.trim_matches(['"', ' ']) } else { name }
}

/// `[mailto:a@b]`, `'a@b'`, `a@b>`; the brackets of `a@[192.0.2.1]` stay.
fn without_brackets(word: &str) -> &str {
    let word = without_scheme(word.trim_matches(['\'', '<', '>']).trim_start_matches('['));
    if word.contains('[') { word } else { word.trim_end_matches([']', '\'']) }
}

fn without_scheme(address: &str) -> &str {
    let scheme = address.get(..7).is_some_and(|head| head.eq_ignore_ascii_case("mailto:"));
    if scheme { address.get(7..).unwrap_or_default() } else { address }
}

/// An address that ends nowhere but at its end: what came out of an encoded word may hold anything.
fn one_address(address: &str) -> String {
    let (local, rest) = match address.strip_prefix('"').and_then(quoted) {
        Some((_, rest)) => address.split_at_checked(address.len().saturating_sub(rest.len())).unwrap_or_default(),
        None => ("", address),
    };
    let end = rest.find([',', ';', '<', '>', '(', ')', '"']).unwrap_or(rest.len());
    let rest = rest.get(..end).unwrap_or_default().chars().filter(|c| !c.is_whitespace() && !c.is_control());
    local.chars().filter(|c| !c.is_control()).chain(rest).collect()
}

#[cfg(test)]
mod tests;
