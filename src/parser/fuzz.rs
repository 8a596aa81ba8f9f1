//! The door of the fuzz target `wire`, only there while fuzzing or testing: hostile frames, in both directions.

#![expect(clippy::expect_used, reason = "only there while fuzzing or testing")]

use std::io::BufReader;

use crate::message::{Depth, Message, Rules};
use crate::parser::wire::{self, HEAD, Kind};
use crate::parser::worker;

/// Reads `frames` as a worker reads its input, and as the daemon reads its worker's answers.
///
/// # Panics
/// When a reader does, or when what it lets through breaks a promise.
pub fn check(frames: &[u8]) {
    let mut output = Vec::new();
    // Whether the frames are in order is not the question.
    let _end = worker::serve(BufReader::new(frames), &mut output, "");
    let (messages, rest) = answers(&output, Depth::Full);
    assert!(rest.is_empty(), "an answer that is no frame");
    assert!(messages.iter().all(Result::is_ok), "an honest answer was refused: {messages:?}");
    for asked in [Depth::Full, Depth::Headers] {
        for message in answers(frames, asked).0.into_iter().flatten() {
            assert!(message.depth >= asked);
            let json = serde_json::to_vec(&message).expect("a message is JSON");
            assert_eq!(wire::read_message(&json, &Rules::default(), asked), Ok(message));
        }
    }
}

/// The messages in a row of answers, and what is left where the row breaks.
fn answers(mut bytes: &[u8], asked: Depth) -> (Vec<Result<Message, &'static str>>, &[u8]) {
    let rules = Rules::default();
    let bound = |kind| match kind {
        Kind::Message => wire::max_message(&rules),
        Kind::Hello => 4 << 10,
        Kind::Rules | Kind::Mail | Kind::File | Kind::Panic | Kind::NoFile => 0,
    };
    let mut messages = Vec::new();
    while let Some((head, rest)) = bytes.split_first_chunk::<HEAD>() {
        let Ok((kind, length)) = wire::read_head(*head, bound) else { break };
        let Some((payload, rest)) = rest.split_at_checked(length) else { break };
        bytes = rest;
        if kind == Kind::Message {
            messages.push(wire::read_message(payload, &rules, asked));
        }
    }
    (messages, bytes)
}

#[cfg(test)]
mod tests {
    use super::check;

    #[test]
    fn what_was_found_before_stays_harmless() {
        let corpus = std::fs::read_dir(concat!(env!("CARGO_MANIFEST_DIR"), "/fuzz/corpus/wire")).expect("the corpus");
        for entry in corpus {
            check(&std::fs::read(entry.expect("an entry").path()).expect("an input"));
        }
    }
}
