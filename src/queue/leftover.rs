//! What of a folder is left over and must not be forgotten: mails that an operator wants fetched again, copies that were begun,
//! and actions that were due under an older UIDVALIDITY.

use rusqlite::{Connection, Row, params};

use super::intake::UNFETCHABLE;
use super::item::{FolderKey, Unfetched};
use super::sql::json_ids;
use super::writer::Tx;
use super::{Error, Queue};
use crate::ids::{QueueId, UidValidity};

impl Queue {
    /// The mails of the folder that wait for their raw mail: an operator wants them fetched again.
    ///
    /// # Errors
    /// As [`Self::folder`].
    pub async fn unfetched(&self, key: &FolderKey) -> Result<Vec<Unfetched>, Error> {
        let key = key.clone();
        self.read("looking for mail to be fetched again", move |conn| unfetched(conn, &key)).await
    }

    /// The mail server has them no longer: those that still wait for their raw mail are dead letters again. Which.
    ///
    /// # Errors
    /// As [`Self::set_folder`].
    pub async fn vanished(&self, ids: &[QueueId]) -> Result<Vec<QueueId>, Error> {
        let ids = ids.to_vec();
        self.write("giving up on vanished mail", move |tx| vanished(tx, &ids)).await
    }

    /// The mails are about to be copied to their target folder. Durable before the server is asked to: after a crash nobody
    /// else knows that the copies may be there.
    ///
    /// # Errors
    /// As [`Self::set_folder`]: nothing may be copied then.
    pub async fn copying(&self, ids: &[QueueId]) -> Result<(), Error> {
        let ids = ids.to_vec();
        self.write("recording a copy to be made", move |tx| mark(tx, "copying", &ids)).await
    }

    /// The mails were copied to their target folder; the originals are still to be removed.
    ///
    /// # Errors
    /// As [`Self::set_folder`].
    pub async fn copied(&self, ids: &[QueueId]) -> Result<(), Error> {
        let ids = ids.to_vec();
        self.write("recording a copy", move |tx| mark(tx, "copied", &ids)).await
    }

    /// Finished mails of the folder whose action was due under another UIDVALIDITY than this one, oldest first.
    ///
    /// # Errors
    /// As [`Self::folder`].
    pub async fn left_behind(
        &self,
        key: &FolderKey,
        uidvalidity: UidValidity,
        limit: usize,
    ) -> Result<Vec<QueueId>, Error> {
        let key = key.clone();
        self.read("looking for actions left behind", move |conn| left_behind(conn, &key, uidvalidity, limit)).await
    }
}

/// The mails that wait for their raw mail.
fn unfetched(conn: &Connection, key: &FolderKey) -> rusqlite::Result<Vec<Unfetched>> {
    let mut statement = conn.prepare_cached(
        "SELECT id, uidvalidity, uid FROM mail
         WHERE mailbox = ?1 AND folder = ?2 AND raw_size IS NULL AND state = 'queued' ORDER BY seq",
    )?;
    let read = |row: &Row<'_>| Ok(Unfetched { id: row.get(0)?, uidvalidity: row.get(1)?, uid: row.get(2)? });
    statement.query_map(params![key.mailbox, key.folder], read)?.collect()
}

/// Those that still wait for their raw mail are dead letters again.
fn vanished(tx: &mut Tx<'_>, ids: &[QueueId]) -> rusqlite::Result<Vec<QueueId>> {
    tx.effects.outcomes = true;
    tx.all(
        "UPDATE mail SET state = 'failed', finished_at = ?2, error_class = ?3,
             error = 'the mail server does not have it any longer'
         WHERE id IN (SELECT value FROM json_each(?1)) AND raw_size IS NULL AND state = 'queued' RETURNING id",
        params![json_ids(ids), tx.now, UNFETCHABLE],
        |row| row.get(0),
    )
}

/// Sets a mark of the copy to the target folder. A mail that an operator put back meanwhile is left alone.
fn mark(tx: &Tx<'_>, column: &'static str, ids: &[QueueId]) -> rusqlite::Result<()> {
    let sql = format!(
        "UPDATE mail SET {column} = 1 WHERE id IN (SELECT value FROM json_each(?1)) AND finished_at IS NOT NULL"
    );
    tx.execute(&sql, [json_ids(ids)])?;
    Ok(())
}

/// Finished mails whose action was due under another UIDVALIDITY, oldest first.
fn left_behind(
    conn: &Connection,
    key: &FolderKey,
    uidvalidity: UidValidity,
    limit: usize,
) -> rusqlite::Result<Vec<QueueId>> {
    let mut statement = conn.prepare_cached(
        "SELECT id FROM mail
         WHERE mailbox = ?1 AND folder = ?2 AND uidvalidity <> ?3 AND finished_at IS NOT NULL AND disposed_at IS NULL
         ORDER BY seq LIMIT ?4",
    )?;
    let limit = i64::try_from(limit).unwrap_or(i64::MAX);
    statement.query_map(params![key.mailbox, key.folder, uidvalidity, limit], |row| row.get(0))?.collect()
}
