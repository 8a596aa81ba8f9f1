//! What a server says it can (RFC 9051 §6.1.1). A server that refuses to say is taken for a poor one: nothing but the
//! required commands is used.

use std::collections::BTreeSet;

use super::answer::{Answer, Code, Completion, Status};
use super::command::{Command, Wire};
use super::error::Error;

/// A server's capabilities, in upper case.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(super) struct Capabilities {
    words: BTreeSet<String>,
}

impl Capabilities {
    /// Asks the server.
    pub(super) async fn ask(wire: &mut Wire) -> Result<Self, Error> {
        let mut words = BTreeSet::new();
        let collect = |answer| {
            if let Answer::Capabilities(list) = answer {
                words.extend(list);
            }
        };
        let outcome = wire.run(Command::new("CAPABILITY", "CAPABILITY"), collect).await?;
        if outcome.status != Status::Ok {
            words.clear();
        }
        Ok(Self { words })
    }

    /// What the answer to a sign-in told, or else what the server says when it is asked (they change with it).
    pub(super) async fn after_sign_in(wire: &mut Wire, completion: Completion) -> Result<Self, Error> {
        match completion.code {
            Some(Code::Capabilities(list)) => Ok(list.into_iter().collect()),
            _ => Self::ask(wire).await,
        }
    }

    /// Whether the server has this one, given in upper case.
    pub(super) fn has(&self, word: &str) -> bool {
        self.words.contains(word)
    }

    /// Whether the server told nothing.
    pub(super) fn unknown(&self) -> bool {
        self.words.is_empty()
    }
}

impl FromIterator<String> for Capabilities {
    fn from_iter<I: IntoIterator<Item = String>>(words: I) -> Self {
        Self { words: words.into_iter().collect() }
    }
}
