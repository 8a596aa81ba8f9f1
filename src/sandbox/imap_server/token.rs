//! Commands as words: atoms, strings, literals and parentheses (RFC 9051 §4). Pure.

use std::collections::VecDeque;

/// One piece of a command.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Token {
    /// `(`
    Open,
    /// `)`
    Close,
    /// An atom, a bracketed section included: `BODY.PEEK[]<0.100>`.
    Word(String),
    /// A quoted string or a literal.
    Text(Vec<u8>),
}

/// A command, taken apart.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Command {
    pub(super) tag: String,
    /// In upper case, `UID` included: `UID FETCH`.
    pub(super) verb: String,
    pub(super) args: Args,
}

impl Command {
    /// `None` when there is no tag and verb.
    pub(super) fn from_tokens(tokens: Vec<Token>) -> Option<Self> {
        let mut args = Args(tokens.into());
        let tag = args.word()?;
        let mut verb = args.word()?.to_ascii_uppercase();
        if verb == "UID" {
            verb = format!("UID {}", args.word()?.to_ascii_uppercase());
        }
        Some(Self { tag, verb, args })
    }
}

/// What is left of a command's arguments; each method takes from the front, or gives `None` and the command is bad.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Args(pub(super) VecDeque<Token>);

impl Args {
    /// An atom.
    pub(super) fn word(&mut self) -> Option<String> {
        match self.0.pop_front()? {
            Token::Word(word) => Some(word),
            Token::Open | Token::Close | Token::Text(_) => None,
        }
    }

    /// An atom in upper case.
    pub(super) fn keyword(&mut self) -> Option<String> {
        self.word().map(|word| word.to_ascii_uppercase())
    }

    /// An astring: an atom, a quoted string or a literal.
    pub(super) fn text(&mut self) -> Option<String> {
        match self.0.pop_front()? {
            Token::Word(word) => Some(word),
            Token::Text(bytes) => Some(String::from_utf8_lossy(&bytes).into_owned()),
            Token::Open | Token::Close => None,
        }
    }

    /// One word, or several in parentheses.
    pub(super) fn list(&mut self) -> Option<Vec<String>> {
        if self.0.front() != Some(&Token::Open) {
            return Some(vec![self.word()?]);
        }
        self.0.pop_front();
        let mut words = Vec::new();
        loop {
            match self.0.pop_front()? {
                Token::Word(word) => words.push(word),
                Token::Close => return Some(words),
                Token::Open | Token::Text(_) => return None,
            }
        }
    }

    /// Nothing is left.
    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

/// Takes a line apart. `None` when a quoted string does not end.
pub(super) fn tokens(line: &[u8]) -> Option<Vec<Token>> {
    let mut tokens = Vec::new();
    let mut bytes = line.iter().copied().peekable();
    while let Some(byte) = bytes.next() {
        match byte {
            b' ' => {}
            b'(' => tokens.push(Token::Open),
            b')' => tokens.push(Token::Close),
            b'"' => tokens.push(Token::Text(quoted(&mut bytes)?)),
            first => {
                let mut word = vec![first];
                let mut in_section = first == b'[';
                while let Some(next) = bytes.next_if(|next| in_section || !matches!(next, b' ' | b'(' | b')')) {
                    in_section = (in_section || next == b'[') && next != b']';
                    word.push(next);
                }
                tokens.push(Token::Word(String::from_utf8_lossy(&word).into_owned()));
            }
        }
    }
    Some(tokens)
}

/// The length that a line announces for a literal, and whether the client waits for leave to send it (RFC 7888).
pub(super) fn literal(line: &[u8]) -> Option<(usize, bool)> {
    let start = line.strip_suffix(b"}")?.iter().rposition(|byte| *byte == b'{')?;
    let announced = line.get(start.checked_add(1)?..line.len().checked_sub(1)?)?;
    let (digits, waits) = announced.strip_suffix(b"+").map_or((announced, true), |digits| (digits, false));
    Some((std::str::from_utf8(digits).ok()?.parse().ok()?, waits))
}

/// The line without the announcement of a literal at its end.
pub(super) fn before_literal(line: &[u8]) -> &[u8] {
    let end = line.iter().rposition(|byte| *byte == b'{').unwrap_or(line.len());
    line.get(..end).unwrap_or(line)
}

fn quoted(bytes: &mut impl Iterator<Item = u8>) -> Option<Vec<u8>> {
    let mut text = Vec::new();
    loop {
        match bytes.next()? {
            b'"' => return Some(text),
            b'\\' => text.push(bytes.next()?),
            byte => text.push(byte),
        }
    }
}

/// UIDs as in `1:5,7,9:*` (RFC 9051 §9, sequence-set).
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct UidSet(Vec<(u32, u32)>);

impl UidSet {
    /// `None` when it is none.
    pub(super) fn parse(text: &str) -> Option<Self> {
        let number = |text: &str| if text == "*" { Some(u32::MAX) } else { text.parse().ok().filter(|n| *n > 0) };
        let range = |part: &str| match part.split_once(':') {
            Some((from, to)) => Some((number(from)?, number(to)?)),
            None => number(part).map(|one| (one, one)),
        };
        text.split(',').map(range).collect::<Option<Vec<_>>>().map(Self)
    }

    /// Whether `uid` is meant in a folder whose last UID is `last`: `n:*` always means the last mail too.
    pub(super) fn contains(&self, uid: u32, last: u32) -> bool {
        let resolve = |n: u32| if n == u32::MAX { last } else { n };
        self.0.iter().any(|&(a, b)| {
            let (a, b) = (resolve(a), resolve(b));
            (a.min(b)..=a.max(b)).contains(&uid)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_command_is_taken_apart() {
        let line = br#"a1 uid fetch 1:* (FLAGS BODY.PEEK[HEADER]<0.10>) "x \"y\"""#;
        let mut command = Command::from_tokens(tokens(line).unwrap()).unwrap();
        assert_eq!((command.tag.as_str(), command.verb.as_str()), ("a1", "UID FETCH"));
        assert_eq!(command.args.word().unwrap(), "1:*");
        assert_eq!(command.args.list().unwrap(), ["FLAGS", "BODY.PEEK[HEADER]<0.10>"]);
        assert_eq!(command.args.text().unwrap(), "x \"y\"");
        assert!(command.args.is_empty());
        assert_eq!(tokens(b"a \"open"), None);
    }

    #[test]
    fn literals_are_announced_at_the_end() {
        assert_eq!(literal(b"a LOGIN {4}"), Some((4, true)));
        assert_eq!(literal(b"a LOGIN {4+}"), Some((4, false)));
        assert_eq!(literal(b"a LOGIN {4} x"), None);
        assert_eq!(before_literal(b"a LOGIN {4}"), b"a LOGIN ");
    }

    #[test]
    fn a_star_is_the_last_mail() {
        let contains = |set: &str, uid| UidSet::parse(set).unwrap().contains(uid, 9);
        assert!(contains("2:4,7", 3) && contains("7", 7) && contains("5:*", 9) && contains("20:*", 9));
        assert!(!contains("2:4", 5) && !contains("20:*", 8));
        assert_eq!(UidSet::parse("1:x"), None);
        assert_eq!(UidSet::parse("0"), None);
    }
}
