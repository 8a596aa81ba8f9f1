//! How the server misbehaves: an ordered list of rules, each a command, which of its occurrences, and a step.

use std::time::Duration;

use super::{When, token};
use crate::sandbox::script::Counter;

/// One thing that goes wrong. The first rule that fires wins; all rules that match count the occurrence.
///
/// Beside the commands (`LOGIN`, `UID FETCH` …) there are the events `TLS` (before the handshake), `GREETING` and `DONE`
/// (the end of an IDLE).
#[derive(Debug, Clone)]
pub struct Rule {
    verb: String,
    connection: Option<u32>,
    counter: Counter,
    step: Step,
}

impl Rule {
    /// Plays `step` each time that `verb` occurs.
    #[must_use]
    pub fn on(verb: &str, step: Step) -> Self {
        Self { verb: verb.to_ascii_uppercase(), connection: None, counter: Counter::new(), step }
    }

    /// … only at these occurrences.
    #[must_use]
    pub const fn when(mut self, when: When) -> Self {
        self.counter.when = when;
        self
    }

    /// … only at the n-th occurrence, from 1.
    #[must_use]
    pub const fn nth(self, n: u32) -> Self {
        self.when(When::Nth(n))
    }

    /// … only on this connection, from 1.
    #[must_use]
    pub const fn connection(mut self, number: u32) -> Self {
        self.connection = Some(number);
        self
    }

    fn matches(&self, verb: &str, connection: u32) -> bool {
        self.verb == verb && self.connection.is_none_or(|only| only == connection)
    }
}

/// Changes an answer: its responses with their literals and line ends, the tagged one last.
pub type Edit = fn(&mut Vec<Vec<u8>>);

/// What happens instead of, or around, the ordinary answer. AUTHENTICATE and IDLE are dialogues: there [`Self::Instead`]
/// stands for the whole dialogue, [`Self::Cut`] and [`Self::EditThenClose`] close at once, [`Self::Without`] and
/// [`Self::Edit`] mean nothing.
#[derive(Debug, Clone)]
pub enum Step {
    /// Not carried out: these untagged lines (without `* ` and line end), then the tagged one.
    Reply(Vec<String>, Tagged),
    /// Carried out and answered, but with this tagged line.
    Instead(Tagged),
    /// Carried out; the ordinary answer without those of its untagged lines that contain this text. Not for answers with
    /// literals.
    Without(String),
    /// Carried out; the ordinary answer, changed by this.
    Edit(Edit),
    /// Carried out; the ordinary answer, changed by this, and the connection is closed.
    EditThenClose(Edit),
    /// These untagged lines (without `* ` and line end), then the ordinary answer.
    Before(Vec<String>),
    /// Not carried out: these bytes as they are, `<tag>` replaced by the command's tag, and the conversation goes on.
    Raw(Vec<u8>),
    /// Not carried out: these bytes as they are, `<tag>` replaced by the command's tag, and the connection is closed.
    RawThenClose(Vec<u8>),
    /// The ordinary answer, and these bytes behind it in the same breath.
    Behind(Vec<u8>),
    /// Not carried out: these bytes as they are, `<tag>` replaced, then again and again until the client closes, in one
    /// go or one byte each time that so long has passed.
    Endless(Vec<u8>, Option<Duration>),
    /// Carried out; so many bytes of the ordinary answer, and the connection is closed.
    Cut(usize),
    /// Not carried out: no answer, and nothing is heard any more until the client closes.
    Stall,
    /// Not carried out: the connection is closed.
    Close,
    /// The ordinary answer after this time.
    Delay(Duration),
}

impl Step {
    /// Not carried out: NO and this text.
    #[must_use]
    pub fn no(text: &str) -> Self {
        Self::Reply(Vec::new(), Tagged::No(text.to_owned()))
    }

    /// Not carried out: BAD and this text.
    #[must_use]
    pub fn bad(text: &str) -> Self {
        Self::Reply(Vec::new(), Tagged::Bad(text.to_owned()))
    }

    /// Not carried out: an untagged BYE with this text, and the connection is closed.
    #[must_use]
    pub fn bye(text: &str) -> Self {
        Self::RawThenClose(format!("* BYE {text}\r\n").into_bytes())
    }
}

/// A tagged line, without its tag.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Tagged {
    /// OK and text.
    Ok(String),
    /// NO and text.
    No(String),
    /// BAD and text.
    Bad(String),
}

impl Tagged {
    pub(super) fn line(&self, tag: &str) -> Vec<u8> {
        let (status, text) = match self {
            Self::Ok(text) => ("OK", text),
            Self::No(text) => ("NO", text),
            Self::Bad(text) => ("BAD", text),
        };
        format!("{tag} {status} {text}\r\n").into_bytes()
    }
}

/// The step to play now, if any.
pub(super) fn play(rules: &mut [Rule], verb: &str, connection: u32) -> Option<Step> {
    let mut fired = None;
    for rule in rules.iter_mut().filter(|rule| rule.matches(verb, connection)) {
        if rule.counter.fires() && fired.is_none() {
            fired = Some(rule.step.clone());
        }
    }
    fired
}

/// An answer, response by response: a line and, where it announces a literal, that and what follows it.
pub(super) fn responses(mut answer: &[u8]) -> Vec<Vec<u8>> {
    let mut found = Vec::new();
    while !answer.is_empty() {
        let mut end = 0_usize;
        loop {
            let rest = answer.get(end..).unwrap_or_default();
            let Some(line) = rest.split_inclusive(|byte| *byte == b'\n').next() else { break };
            let literal = token::literal(line.trim_ascii_end()).map(|(length, _)| length);
            end = end.saturating_add(line.len()).saturating_add(literal.unwrap_or(0)).min(answer.len());
            if literal.is_none() {
                break;
            }
        }
        let (response, rest) = answer.split_at(end);
        found.push(response.to_vec());
        answer = rest;
    }
    found
}

/// Puts the tag in for `<tag>`.
pub(super) fn with_tag(raw: &[u8], tag: &str) -> Vec<u8> {
    const MARK: &[u8] = b"<tag>";
    let mut bytes = Vec::with_capacity(raw.len());
    let mut rest = raw;
    while let Some((&first, tail)) = rest.split_first() {
        if let Some(after) = rest.strip_prefix(MARK) {
            bytes.extend_from_slice(tag.as_bytes());
            rest = after;
        } else {
            bytes.push(first);
            rest = tail;
        }
    }
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_rule_that_fires_wins_and_all_count() {
        let mut rules = [Rule::on("noop", Step::Close).nth(2), Rule::on("NOOP", Step::Stall).when(When::From(2))];
        assert!(play(&mut rules, "NOOP", 1).is_none());
        assert!(matches!(play(&mut rules, "NOOP", 1), Some(Step::Close)));
        assert!(matches!(play(&mut rules, "NOOP", 1), Some(Step::Stall)));
        assert!(play(&mut rules, "LOGIN", 1).is_none());
    }

    #[test]
    fn a_rule_for_one_connection_counts_only_there() {
        let mut rules = [Rule::on("NOOP", Step::Close).connection(2).nth(1)];
        assert!(play(&mut rules, "NOOP", 1).is_none());
        assert!(play(&mut rules, "NOOP", 2).is_some());
    }

    #[test]
    fn an_answer_is_its_responses() {
        let answer: &[u8] = b"* 1 FETCH (A {3}\r\n\r\n) B {1}\r\n))\r\n* 2 EXPUNGE\r\nT OK\r\n";
        let (first, _) = answer.split_at(33);
        assert_eq!(responses(answer), [first, b"* 2 EXPUNGE\r\n", b"T OK\r\n"]);
        assert_eq!(responses(b"* 1 FETCH ({9}\r\nabc"), [b"* 1 FETCH ({9}\r\nabc"]);
    }

    #[test]
    fn the_tag_is_put_in() {
        assert_eq!(with_tag(b"<tag> OK <tag", "A1"), b"A1 OK <tag");
    }
}
