//! Reading mails in parse workers. Small mails that wait at the same time go together, one way to a worker and back for all
//! of them; whatever goes wrong then is nobody's, and each is read by itself, step by step down the ladder
//! (decisions D6). A worker that dies on a mail that is alone in it costs a strike, which is durable before the mail is
//! handed over again; at the last step it is the mail's end.

use std::collections::VecDeque;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use tokio::sync::Semaphore;
use tokio::sync::oneshot;
use tokio::time::Instant;

use super::attempt::{Attempt, Out, Step};
use super::report;
use crate::fault::Fault;
use crate::message::{Depth, Message};
use crate::parser::{self, Source};
use crate::queue::{End, Raw};

/// Mails that are read together, at the most.
const TOGETHER: usize = 16;

/// Where the mails of a tenant are read: so many readings at the same time, and who waits meanwhile.
#[derive(Debug)]
pub(super) struct Room {
    seats: Semaphore,
    waiting: Mutex<VecDeque<Wish>>,
}

/// A mail that somebody waits for; dropped, it is to be read by itself.
#[derive(Debug)]
struct Wish {
    raw: Bytes,
    reply: oneshot::Sender<(Message, Duration)>,
}

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

impl Room {
    /// A room with so many seats.
    pub(super) const fn new(seats: usize) -> Self {
        Self { seats: Semaphore::const_new(seats), waiting: Mutex::new(VecDeque::new()) }
    }

    /// Reads the mail together with those that wait as well: whoever gets a seat first reads for all.
    async fn together(&self, attempt: &Attempt<'_>, raw: Bytes) -> Option<(Message, Duration)> {
        let (reply, mut answer) = oneshot::channel();
        self.waiting().push_back(Wish { raw, reply });
        let seat = tokio::select! {
            biased;
            read = &mut answer => return read.ok(),
            seat = self.seats.acquire() => seat.ok()?,
        };
        // Mails that were claimed with this one are about to wait too.
        tokio::task::yield_now().await;
        // Those who came first are served first. If nobody is left, somebody else is reading this mail already.
        while answer.is_empty() {
            let wishes = self.next();
            if wishes.is_empty() {
                break;
            }
            serve(attempt, wishes).await;
        }
        drop(seat);
        answer.await.ok()
    }

    /// The next mails that are waited for.
    fn next(&self) -> Vec<Wish> {
        let mut waiting = self.waiting();
        let next = std::iter::from_fn(|| waiting.pop_front());
        // Who has stopped waiting needs nothing.
        next.filter(|wish| !wish.reply.is_closed()).take(TOGETHER).collect()
    }

    fn waiting(&self) -> MutexGuard<'_, VecDeque<Wish>> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Reads mails and answers who waits for them. Whom it does not answer reads by himself.
async fn serve(attempt: &Attempt<'_>, wishes: Vec<Wish>) {
    let sources: Vec<Source<'_>> = wishes.iter().map(|wish| Source::from(&wish.raw)).collect();
    let started = Instant::now();
    let Some(messages) = attempt.pool().parse_together(&sources, &attempt.session.rules).await else { return };
    let each = started.elapsed().checked_div(u32::try_from(wishes.len()).unwrap_or(1)).unwrap_or_default();
    for (wish, message) in wishes.into_iter().zip(messages) {
        if let Some(message) = message {
            // He may have stopped waiting meanwhile.
            drop(wish.reply.send((message, each)));
        }
    }
}

/// Reads the mail.
pub(super) async fn read(attempt: &Attempt<'_>) -> Step<Message> {
    let (item, session) = (&attempt.item, &attempt.session);
    if item.depth == Depth::Full
        && item.strikes == 0
        && let Some(raw) = item.raw.clone()
        && let Some((message, took)) = session.readers.together(attempt, raw).await
    {
        report::parsed(attempt, &message, took);
        return Ok(message);
    }
    let _seat = session.readers.seats.acquire().await.ok();
    let raw = match item.raw.clone() {
        Some(bytes) => Raw::Bytes(bytes),
        None => attempt.queue().source(item.claim.id).await?,
    };
    let source = match &raw {
        Raw::Bytes(bytes) => Source::Bytes(bytes),
        Raw::File(path) => Source::File(path),
    };
    let (mut depth, mut alone) = (item.depth, item.strikes > 0);
    loop {
        let started = Instant::now();
        let error = match attempt.pool().parse(source, &session.rules, depth, alone).await {
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
