//! What a dead owner left: the lock proves that nobody works on a mail any longer, so nothing has to wait for a lease.

use std::time::Duration;

use rusqlite::{Connection, params};

use super::error::Error;
use super::item::Recovery;
use crate::clock::UtcMillis;

/// Crashes beyond `crash_strikes` after which a mail may be given up. The delays between them sum up to a quarter of an
/// hour, and a mail whose write comes to an end starts anew: whatever kills the daemon at random does not get so far with
/// one mail.
const LAST_CHANCES: u32 = 10;
/// The first delay after `crash_strikes` crashes, and the longest; each is twice the one before.
const DELAY: (Duration, Duration) = (Duration::from_secs(1), Duration::from_secs(300));

/// Puts back what was claimed. A mail that was being written is deferred and looked up first; one that was only read is
/// queued again. Both at once, from `crash_strikes` such crashes on after a delay that grows, so that others get their turn.
/// That a mail was there when the daemon died proves little: it is a dead letter only when it was so again and again, in
/// the end with no other mail beside it. Spool files are the caller's matter.
pub(super) fn recover(conn: &mut Connection, now: UtcMillis, crash_strikes: u32) -> Result<Recovery, Error> {
    put_back(conn, now, crash_strikes.max(1)).map_err(Error::database("recovering the store"))
}

fn put_back(conn: &mut Connection, now: UtcMillis, crash_strikes: u32) -> rusqlite::Result<Recovery> {
    let transaction = conn.transaction()?;
    let ids = |sql: &str, params: &[&dyn rusqlite::ToSql]| {
        transaction.prepare(sql)?.query_map(params, |row| row.get(0))?.collect::<rusqlite::Result<Vec<_>>>()
    };
    let parked = ids(
        "UPDATE mail SET state = 'failed', finished_at = ?1, crashes = crashes + 1, next_attempt_at = NULL,
             verify_since = CASE writing WHEN 1 THEN ?1 ELSE verify_since END, writing = 0,
             error_class = 'crash', error = 'was in flight when the daemon died, too many times'
         WHERE state = 'delivering' AND crashes + 1 >= ?2
             AND (SELECT COUNT(*) FROM mail WHERE state = 'delivering') = 1 RETURNING id",
        params![now, crash_strikes.saturating_add(LAST_CHANCES)],
    )?;
    let unknown =
        ids("UPDATE mail SET verify_since = ?1 WHERE state = 'delivering' AND writing = 1 RETURNING id", params![now])?;
    let [first, longest] = [DELAY.0, DELAY.1].map(|delay| UtcMillis(0).plus(delay));
    let put_back = transaction.execute(
        "UPDATE mail SET state = CASE WHEN verify_since IS NULL THEN 'queued' ELSE 'deferred' END, writing = 0,
             (due, next_attempt_at) = (SELECT CASE WHEN at > ?1 THEN at ELSE 0 END, CASE WHEN at > ?1 THEN at END FROM (
                 SELECT ?1 + CASE WHEN crashes + 1 < ?2 THEN 0
                     ELSE MIN(?3 << MIN(crashes + 1 - ?2, 20), ?4) END AS at)),
             crashes = crashes + 1
         WHERE state = 'delivering'",
        params![now, crash_strikes, first, longest],
    )?;
    transaction.commit()?;
    let released = u64::try_from(put_back.saturating_sub(unknown.len())).unwrap_or(u64::MAX);
    Ok(Recovery { released, unknown, parked, ..Recovery::default() })
}
