//! Reading a mail in a parse worker, step by step down the ladder (decisions D6). A worker that dies on a mail costs a
//! strike, which is durable before the mail is handed over again; at the last step it is the mail's end.

use tokio::time::Instant;

use super::attempt::{Attempt, Out, Step};
use super::report;
use crate::fault::Fault;
use crate::message::{Depth, Message};
use crate::parser;
use crate::queue::End;

/// What follows when a worker could not read a mail.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Next {
    /// No worker could be started: not the mail's fault.
    Later,
    /// Read it one step down.
    Down(Depth),
    /// There is no step left.
    GiveUp,
}

/// Reads the mail.
pub(super) async fn read(attempt: &Attempt<'_>) -> Step<Message> {
    let (item, session) = (&attempt.item, &attempt.session);
    let _reader = session.readers.acquire().await.ok();
    let raw = match item.raw.clone() {
        Some(raw) => raw,
        None => attempt.queue().raw(item.claim.id).await?,
    };
    let (mut depth, mut alone) = (item.depth, item.strikes > 0);
    loop {
        let started = Instant::now();
        let error = match attempt.pool().parse(&raw, &session.rules, depth, alone).await {
            Ok(message) => {
                report::parsed(attempt, &message, started.elapsed());
                return Ok(message);
            }
            Err(error) => error,
        };
        match next(&error, depth) {
            Next::Later => return Err(Out::End(attempt.deferred("parser", &error, item.verify_since.is_some()))),
            Next::GiveUp => return Err(Out::End(give_up(&error))),
            Next::Down(lower) => {
                let strikes = attempt.queue().strike(item.claim, lower).await?.ok_or(Out::Gone)?;
                report::strike(attempt, strikes, lower, &error);
                (depth, alone) = (lower, true);
            }
        }
    }
}

fn next(error: &parser::Error, depth: Depth) -> Next {
    match (error.fault(), depth.down()) {
        (Fault::Permanent, Some(lower)) => Next::Down(lower),
        (Fault::Permanent, None) => Next::GiveUp,
        (Fault::Transient | Fault::Throttled { .. } | Fault::Unauthorized | Fault::Unknown, _) => Next::Later,
    }
}

fn give_up(error: &parser::Error) -> End {
    End::Failed { class: "parse".to_owned(), error: format!("{error}, at the last step: the raw mail is kept") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_death_leads_down_and_a_missing_worker_does_not() {
        let died = parser::Error::Died { how: "signal 11".into() };
        assert_eq!(next(&died, Depth::Full), Next::Down(Depth::Text));
        assert_eq!(next(&parser::Error::Late { seconds: 10 }, Depth::Text), Next::Down(Depth::Headers));
        assert_eq!(next(&died, Depth::Headers), Next::GiveUp);
        let spawn = parser::Error::Spawn(std::io::ErrorKind::OutOfMemory.into());
        assert_eq!(next(&spawn, Depth::Full), Next::Later);
        assert!(matches!(give_up(&died), End::Failed { class, .. } if class == "parse"));
    }
}
