//! What operators do to mails, and letting go of raw mail. Never touches a mail that is in flight.

use std::time::Duration;

use rusqlite::{Row, params};

use super::claim::DUPLICATE;
use super::error::Error;
use super::intake::UNFETCHABLE;
use super::spool;
use super::state::{Operation, State};
use super::writer::Tx;
use crate::clock::UtcMillis;
use crate::ids::{EjMessageId, QueueId};

/// What an [`Operation`] did to one mail.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Operated {
    /// Done.
    Done,
    /// There is no such mail.
    NotFound,
    /// Its state does not allow it, or (retry) its raw mail is gone: why.
    Refused(String),
}

/// Pages of the database that stay free for the mail to come; what is free beyond goes back to the file system.
const RESERVE_PAGES: i64 = 16_384;
/// Pages given back at one time.
const GIVE_BACK_PAGES: i64 = 1024;

/// Does it to each of the mails that allow it.
pub(super) fn operate(
    tx: &mut Tx<'_>,
    operation: Operation,
    ids: &[QueueId],
) -> rusqlite::Result<Vec<(QueueId, Operated)>> {
    ids.iter().map(|id| Ok((*id, operate_one(tx, operation, *id)?))).collect()
}

/// Whose raw mail is kept no longer: of which state, ended before when. Dead letters are kept for ever when asked so.
pub(super) fn purgeable(
    now: UtcMillis,
    keep_raw: Duration,
    dead_letter_keep: Duration,
) -> impl Iterator<Item = (State, UtcMillis)> {
    let dead = (!dead_letter_keep.is_zero()).then_some((State::Failed, dead_letter_keep));
    let rest = [(State::Delivered, keep_raw), (State::Discarded, keep_raw)];
    rest.into_iter().chain(dead).map(move |(state, keep)| (state, now.minus(keep)))
}

/// Lets go of the raw mail of at most `limit` mails in `state` that ended before `before`. How many.
pub(super) fn purge(tx: &mut Tx<'_>, state: State, before: UtcMillis, limit: u32) -> rusqlite::Result<usize> {
    let old = tx.all(
        "SELECT seq, raw_size FROM mail
         WHERE state = ?1 AND finished_at IS NOT NULL AND finished_at <= ?2 AND raw_size IS NOT NULL LIMIT ?3",
        params![state, before, limit],
        |row| Ok((row.get::<_, i64>(0)?, row.get::<_, i64>(1)?)),
    )?;
    for (seq, size) in &old {
        tx.execute("UPDATE mail SET raw_size = NULL WHERE seq = ?1", [seq])?;
        spool::forget(tx, *seq, *size)?;
    }
    Ok(old.len())
}

/// Gives free pages back to the file system, some at a time.
pub(super) fn give_back(tx: &Tx<'_>) -> rusqlite::Result<()> {
    let free: Option<i64> = tx.first("PRAGMA freelist_count", [], |row| row.get(0))?;
    let surplus = free.unwrap_or(0).saturating_sub(RESERVE_PAGES).min(GIVE_BACK_PAGES);
    if surplus > 0 {
        tx.all(&format!("PRAGMA incremental_vacuum({surplus})"), [], |_| Ok(()))?;
    }
    Ok(())
}

/// What decides whether an operation is allowed.
struct Mail {
    seq: i64,
    state: State,
    has_raw: bool,
    error_class: Option<String>,
    ej_message_id: Option<EjMessageId>,
}

fn operate_one(tx: &mut Tx<'_>, operation: Operation, id: QueueId) -> rusqlite::Result<Operated> {
    let Some(mail) = find(tx, id)? else { return Ok(Operated::NotFound) };
    if let Some(why) = refusal(&mail, operation) {
        return Ok(Operated::Refused(why));
    }
    match (operation, mail.state) {
        (Operation::Retry, State::Deferred) => now(tx, mail.seq)?,
        (Operation::Retry, _) => {
            if mail.has_raw && can_be_fetched_again(&mail) {
                forget_raw(tx, mail.seq)?;
            }
            again(tx, mail.seq)?;
            renew(tx, mail.seq)?;
        }
        (Operation::Hold, _) => hold(tx, mail.seq)?,
        (Operation::Release, _) => {
            release(tx, mail.seq)?;
            renew(tx, mail.seq)?;
        }
        (Operation::Drop, _) => discard(tx, mail.seq)?,
    }
    tx.effects.work = true;
    // The end of a mail, the end of an end, or a mail to be fetched again: all are the mailbox's matter.
    tx.effects.outcomes = true;
    Ok(Operated::Done)
}

fn find(tx: &Tx<'_>, id: QueueId) -> rusqlite::Result<Option<Mail>> {
    let read = |row: &Row<'_>| {
        Ok(Mail {
            seq: row.get(0)?,
            state: row.get(1)?,
            has_raw: row.get(2)?,
            error_class: row.get(3)?,
            ej_message_id: row.get(4)?,
        })
    };
    tx.first("SELECT seq, state, raw_size IS NOT NULL, error_class, ej_message_id FROM mail WHERE id = ?1", [id], read)
}

/// Why it may not be done, if it may not.
fn refusal(mail: &Mail, operation: Operation) -> Option<String> {
    let class = mail.error_class.as_deref();
    if mail.state == State::Delivering {
        return Some("in flight; try again when its attempt has ended".to_owned());
    }
    if !mail.state.allows(operation) {
        return Some(format!("{} is not for a mail that is {}", operation.as_str(), mail.state));
    }
    match (operation, mail.state) {
        (Operation::Retry, State::Delivered) if class != Some(DUPLICATE) => Some(match mail.ej_message_id {
            Some(message) => format!("already posted as message {message}"),
            None => "already posted".to_owned(),
        }),
        (Operation::Retry, _) if !mail.has_raw && !can_be_fetched_again(mail) => {
            Some("its raw mail is no longer kept".to_owned())
        }
        _ => None,
    }
}

/// Whether what is wrong with it is mended by fetching it again.
fn can_be_fetched_again(mail: &Mail) -> bool {
    matches!(mail.error_class.as_deref(), Some(UNFETCHABLE | Error::NO_RAW_CLASS))
}

/// Lets go of the raw mail, which is damaged.
fn forget_raw(tx: &mut Tx<'_>, seq: i64) -> rusqlite::Result<()> {
    let size = tx.first("SELECT raw_size FROM mail WHERE seq = ?1", [seq], |row| row.get::<_, Option<i64>>(0))?;
    tx.execute("UPDATE mail SET raw_size = NULL WHERE seq = ?1", [seq])?;
    spool::forget(tx, seq, size.flatten().unwrap_or(0))
}

/// A deferred mail is due now.
fn now(tx: &Tx<'_>, seq: i64) -> rusqlite::Result<()> {
    tx.execute("UPDATE mail SET due = 0, next_attempt_at = ?2 WHERE seq = ?1", params![seq, tx.now]).map(drop)
}

/// From the start: due now, or, without raw mail, when it was fetched again.
fn again(tx: &Tx<'_>, seq: i64) -> rusqlite::Result<()> {
    tx.execute(
        "UPDATE mail SET state = 'queued', due = CASE WHEN raw_size IS NULL THEN NULL ELSE 0 END, again = 1,
             attempts = 0, strikes = 0, crashes = 0, depth = 'full', next_attempt_at = NULL, delayed = 0,
             error_class = NULL, error = NULL, finished_at = NULL, copied = 0, copying = 0, disposed_at = NULL, disposed_how = NULL
         WHERE seq = ?1",
        [seq],
    )
    .map(drop)
}

/// An operator has put it back: its age counts from now on.
fn renew(tx: &Tx<'_>, seq: i64) -> rusqlite::Result<()> {
    tx.execute("UPDATE mail SET renewed_at = ?2 WHERE seq = ?1", params![seq, tx.now]).map(drop)
}

fn hold(tx: &Tx<'_>, seq: i64) -> rusqlite::Result<()> {
    tx.execute(
        "UPDATE mail SET state = 'held', held_reason = 'operator', due = NULL, next_attempt_at = NULL WHERE seq = ?1",
        [seq],
    )
    .map(drop)
}

/// The operator's word stands for the look-up that could not be made, or that found somebody else's message. A look-up
/// that was due for a mail held for another reason stays due.
fn release(tx: &Tx<'_>, seq: i64) -> rusqlite::Result<()> {
    tx.execute(
        "UPDATE mail SET
             state = CASE WHEN verify_since IS NULL OR held_reason IN ('unknown_outcome', 'foreign_copy')
                 THEN 'queued' ELSE 'deferred' END,
             released = held_reason IN ('unknown_outcome', 'foreign_copy'),
             held_reason = NULL, due = CASE WHEN raw_size IS NULL THEN NULL ELSE 0 END
         WHERE seq = ?1",
        [seq],
    )
    .map(drop)
}

/// No ticket for it. A mailbox action that was done for a dead letter stays done, and a look-up that was due stays due, for
/// the case that the mail is taken up again.
fn discard(tx: &Tx<'_>, seq: i64) -> rusqlite::Result<()> {
    tx.execute(
        "UPDATE mail SET state = 'discarded', finished_at = ?2, due = NULL, next_attempt_at = NULL,
             held_reason = NULL
         WHERE seq = ?1",
        params![seq, tx.now],
    )
    .map(drop)
}
