//! What a dead owner left: the lock proves that nobody works on a mail any longer, so nothing has to wait for a lease.

use rusqlite::{Connection, params};

use super::error::Error;
use super::item::Recovery;
use crate::clock::UtcMillis;

/// Puts back what was claimed. A mail that was being written is deferred and looked up first; one that was only read is
/// queued again, or a dead letter after `crash_strikes` such crashes. Spool files are the caller's matter.
pub(super) fn recover(conn: &mut Connection, now: UtcMillis, crash_strikes: u32) -> Result<Recovery, Error> {
    put_back(conn, now, crash_strikes.max(1)).map_err(Error::database("recovering the store"))
}

fn put_back(conn: &mut Connection, now: UtcMillis, crash_strikes: u32) -> rusqlite::Result<Recovery> {
    let transaction = conn.transaction()?;
    let ids = |sql: &str, params: &[&dyn rusqlite::ToSql]| {
        transaction.prepare(sql)?.query_map(params, |row| row.get(0))?.collect::<rusqlite::Result<Vec<_>>>()
    };
    let unknown = ids(
        "UPDATE mail SET state = 'deferred', due = 0, next_attempt_at = ?1, verify_since = ?1, writing = 0
         WHERE state = 'delivering' AND writing = 1 RETURNING id",
        params![now],
    )?;
    let parked = ids(
        "UPDATE mail SET state = 'failed', finished_at = ?1, crashes = crashes + 1, next_attempt_at = NULL,
             verify_since = NULL, error_class = 'crash', error = 'was in flight when the daemon died, too many times'
         WHERE state = 'delivering' AND crashes + 1 >= ?2 RETURNING id",
        params![now, crash_strikes],
    )?;
    let released = transaction.execute(
        "UPDATE mail SET state = CASE WHEN verify_since IS NULL THEN 'queued' ELSE 'deferred' END,
             due = 0, next_attempt_at = NULL, crashes = crashes + 1
         WHERE state = 'delivering'",
        [],
    )?;
    transaction.commit()?;
    let released = u64::try_from(released).unwrap_or(u64::MAX);
    Ok(Recovery { released, unknown, parked, ..Recovery::default() })
}
