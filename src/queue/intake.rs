//! What intake stores: folders, batches of mails, strikes of what cannot be fetched; and the mailbox actions that are due.

use rusqlite::{Connection, OptionalExtension, Row, params};
use sha2::{Digest, Sha256};

use super::error::Error;
use super::item::{Accepted, Arrival, Copied, Disposal, FolderKey, FolderRecord, Novelty};
use super::spool::{Spool, Spooled};
use super::sql::{integer, json_ids};
use super::writer::Tx;
use crate::clock::UtcMillis;
use crate::ids::{MailboxName, QueueId, TenantName, Uid, UidValidity};
use crate::uids::UidSet;

/// The class of a mail that could not be fetched.
pub(super) const UNFETCHABLE: &str = "unfetchable";

/// An [`super::Arrival`] whose bytes are hashed and, if large, on the disk.
pub(super) struct Prepared {
    pub(super) uid: Uid,
    pub(super) internal_date: UtcMillis,
    pub(super) size: u64,
    pub(super) stub: bool,
    pub(super) sha256: [u8; 32],
    pub(super) raw: Spooled,
}

/// A [`super::Batch`] without its mails.
pub(super) struct Origin {
    pub(super) key: FolderKey,
    pub(super) uidvalidity: UidValidity,
    pub(super) tenant: TenantName,
    pub(super) cursor: Option<Uid>,
    pub(super) rebind: bool,
}

/// Hashes the mails and brings the large ones to the disk: before the writer's turn, and not in it. Blocks.
pub(super) fn prepare(spool: &Spool, arrivals: Vec<Arrival>, above: u64) -> Result<Vec<Prepared>, Error> {
    let raws = spool.prepare(arrivals.iter().map(|arrival| arrival.raw.clone()).collect(), above)?;
    let prepared = arrivals.into_iter().zip(raws).map(|(arrival, raw)| {
        let Arrival { uid, internal_date, size, stub, raw: bytes } = arrival;
        Prepared { uid, internal_date, size, stub, sha256: Sha256::digest(&bytes).into(), raw }
    });
    Ok(prepared.collect())
}

/// The record of a folder.
pub(super) fn folder(conn: &Connection, key: &FolderKey) -> rusqlite::Result<Option<FolderRecord>> {
    let mut statement = conn.prepare_cached(
        "SELECT uidvalidity, started_at, first_new, start_uids, start_waits, cursor FROM folder
         WHERE mailbox = ?1 AND folder = ?2",
    )?;
    let read = |row: &Row<'_>| {
        Ok(FolderRecord {
            uidvalidity: row.get(0)?,
            started_at: row.get(1)?,
            first_new: row.get(2)?,
            start_uids: row.get(3)?,
            start_waits: row.get(4)?,
            cursor: row.get(5)?,
        })
    };
    statement.query_row(params![key.mailbox, key.folder], read).optional()
}

/// Stores the record of a folder. Strikes of another UIDVALIDITY mean nothing any longer.
pub(super) fn set_folder(tx: &Tx<'_>, key: &FolderKey, record: &FolderRecord) -> rusqlite::Result<()> {
    tx.execute(
        "INSERT INTO folder (mailbox, folder, uidvalidity, started_at, first_new, start_uids, start_waits, cursor)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)
         ON CONFLICT DO UPDATE SET uidvalidity = excluded.uidvalidity, started_at = excluded.started_at,
             first_new = excluded.first_new, start_uids = excluded.start_uids, start_waits = excluded.start_waits,
             cursor = excluded.cursor",
        params![
            key.mailbox,
            key.folder,
            record.uidvalidity,
            record.started_at,
            record.first_new,
            record.start_uids,
            record.start_waits,
            record.cursor
        ],
    )?;
    tx.execute(
        "DELETE FROM fetch_strike WHERE mailbox = ?1 AND folder = ?2 AND uidvalidity <> ?3",
        params![key.mailbox, key.folder, record.uidvalidity],
    )?;
    Ok(())
}

/// Lets the old mails of a mailbox go; how many there are.
pub(super) fn release_start(tx: &mut Tx<'_>, mailbox: &MailboxName) -> rusqlite::Result<u64> {
    let released: Vec<UidSet> = tx.all(
        "UPDATE folder SET start_waits = 0 WHERE mailbox = ?1 AND start_waits = 1 RETURNING start_uids",
        [mailbox],
        |row| row.get(0),
    )?;
    tx.effects.outcomes = true;
    Ok(released.iter().map(UidSet::len).sum())
}

/// The UIDs that have a row, less those whose row waits for its raw mail.
pub(super) fn accounted(conn: &Connection, key: &FolderKey, uidvalidity: UidValidity) -> rusqlite::Result<UidSet> {
    let uids = |sql: &str| -> rusqlite::Result<UidSet> {
        let mut statement = conn.prepare_cached(sql)?;
        statement.query_map(params![key.mailbox, key.folder, uidvalidity], |row| row.get::<_, Uid>(0))?.collect()
    };
    let known = uids("SELECT uid FROM mail WHERE mailbox = ?1 AND folder = ?2 AND uidvalidity = ?3")?;
    let waiting = uids(
        "SELECT uid FROM mail WHERE mailbox = ?1 AND folder = ?2 AND uidvalidity = ?3
         AND raw_size IS NULL AND state = 'queued'",
    )?;
    Ok(if waiting.is_empty() { known } else { known.minus(&waiting) })
}

/// Stores a batch and the cursor.
pub(super) fn accept(tx: &mut Tx<'_>, origin: &Origin, mails: Vec<Prepared>) -> rusqlite::Result<Vec<Accepted>> {
    let accepted = mails.into_iter().map(|mail| accept_one(tx, origin, mail)).collect::<rusqlite::Result<Vec<_>>>()?;
    if let Some(cursor) = origin.cursor {
        tx.execute(
            "UPDATE folder SET cursor = MAX(cursor, ?4) WHERE mailbox = ?1 AND folder = ?2 AND uidvalidity = ?3",
            params![origin.key.mailbox, origin.key.folder, origin.uidvalidity, cursor],
        )?;
    }
    Ok(accepted)
}

/// One more failed fetch; at `limit` the mail is a dead letter without raw mail, and this is its id.
pub(super) fn unfetchable(
    tx: &mut Tx<'_>,
    origin: &Origin,
    uid: Uid,
    error: &str,
    limit: u32,
) -> rusqlite::Result<Option<QueueId>> {
    let known = find(tx, origin, uid)?;
    if known.as_ref().is_some_and(|row| !row.waiting) {
        return Ok(None);
    }
    let strikes = tx.first(
        "INSERT INTO fetch_strike (mailbox, folder, uidvalidity, uid, strikes) VALUES (?1, ?2, ?3, ?4, 1)
         ON CONFLICT DO UPDATE SET strikes = strikes + 1 RETURNING strikes",
        params![origin.key.mailbox, origin.key.folder, origin.uidvalidity, uid],
        |row| row.get::<_, u32>(0),
    )?;
    if strikes.unwrap_or(0) < limit {
        return Ok(None);
    }
    forget_strikes(tx, origin, uid)?;
    tx.effects.outcomes = true;
    let id = match known {
        Some(row) => row.id,
        None => insert(tx, origin, uid, None)?,
    };
    tx.execute(
        "UPDATE mail SET state = 'failed', finished_at = ?2, error_class = ?3, error = ?4 WHERE id = ?1",
        params![id, tx.now, UNFETCHABLE, error],
    )?;
    Ok(Some(id))
}

/// Finished mails whose action is due, oldest first.
pub(super) fn undisposed(
    conn: &Connection,
    key: &FolderKey,
    uidvalidity: UidValidity,
    limit: usize,
) -> rusqlite::Result<Vec<Disposal>> {
    let mut statement = conn.prepare_cached(
        "SELECT id, uid, state, copied, copying FROM mail
         WHERE mailbox = ?1 AND folder = ?2 AND uidvalidity = ?3 AND finished_at IS NOT NULL AND disposed_at IS NULL
         ORDER BY seq LIMIT ?4",
    )?;
    let limit = i64::try_from(limit).unwrap_or(i64::MAX);
    let read = |row: &Row<'_>| {
        let copied = match (row.get(3)?, row.get(4)?) {
            (true, _) => Copied::Yes,
            (false, true) => Copied::Perhaps,
            (false, false) => Copied::No,
        };
        Ok(Disposal { id: row.get(0)?, uid: row.get(1)?, state: row.get(2)?, copied })
    };
    statement.query_map(params![key.mailbox, key.folder, uidvalidity, limit], read)?.collect()
}

/// The mailbox action is done. A mail that an operator put back meanwhile is left alone.
pub(super) fn disposed(tx: &Tx<'_>, ids: &[QueueId], how: &str) -> rusqlite::Result<()> {
    tx.execute(
        "UPDATE mail SET disposed_at = ?2, disposed_how = ?3
         WHERE id IN (SELECT value FROM json_each(?1)) AND finished_at IS NOT NULL AND disposed_at IS NULL",
        params![json_ids(ids), tx.now, how],
    )?;
    Ok(())
}

/// A row that has the UID already.
struct Known {
    seq: i64,
    id: QueueId,
    waiting: bool,
}

fn accept_one(tx: &mut Tx<'_>, origin: &Origin, mail: Prepared) -> rusqlite::Result<Accepted> {
    let (uid, size, sha256) = (mail.uid, mail.size, mail.sha256);
    let (id, novelty) = match find(tx, origin, uid)? {
        Some(row) if row.waiting => {
            fill(tx, row.seq, &mail)?;
            (row.id, Novelty::Completed)
        }
        Some(row) => {
            mail.raw.discard(tx);
            (row.id, Novelty::Known)
        }
        None => match rebind(tx, origin, &mail)? {
            Some(id) => {
                mail.raw.discard(tx);
                (id, Novelty::Rebound)
            }
            None => (insert(tx, origin, uid, Some(&mail))?, Novelty::New),
        },
    };
    if matches!(novelty, Novelty::New | Novelty::Completed) {
        forget_strikes(tx, origin, uid)?;
        tx.effects.work = true;
    }
    let sha256_prefix = sha256.iter().take(6).map(|byte| format!("{byte:02x}")).collect();
    Ok(Accepted { id, uid, novelty, sha256_prefix, size })
}

fn find(tx: &Tx<'_>, origin: &Origin, uid: Uid) -> rusqlite::Result<Option<Known>> {
    tx.first(
        "SELECT seq, id, raw_size IS NULL AND state = 'queued' FROM mail
         WHERE mailbox = ?1 AND folder = ?2 AND uidvalidity = ?3 AND uid = ?4",
        params![origin.key.mailbox, origin.key.folder, origin.uidvalidity, uid],
        |row| Ok(Known { seq: row.get(0)?, id: row.get(1)?, waiting: row.get(2)? }),
    )
}

/// A new row: due now with its raw mail, or without it.
fn insert(tx: &mut Tx<'_>, origin: &Origin, uid: Uid, mail: Option<&Prepared>) -> rusqlite::Result<QueueId> {
    // Made here, by the one writer, so that ids rise in the order of acceptance.
    let id = QueueId::generate();
    tx.execute(
        "INSERT INTO mail (id, mailbox, folder, uidvalidity, uid, tenant, state, internal_date, accepted_at, size,
             stub, sha256, raw_size, due)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, 'queued', ?7, ?8, ?9, ?10, ?11, ?12, ?13)",
        params![
            id,
            origin.key.mailbox,
            origin.key.folder,
            origin.uidvalidity,
            uid,
            origin.tenant,
            mail.map_or(tx.now, |mail| mail.internal_date),
            tx.now,
            mail.map_or(0, |mail| integer(mail.size)),
            mail.is_some_and(|mail| mail.stub),
            mail.map(|mail| &mail.sha256[..]),
            mail.map(|mail| integer(mail.raw.size())),
            mail.map(|_| 0)
        ],
    )?;
    if let Some(mail) = mail {
        mail.raw.store(tx, tx.last_insert_rowid())?;
    }
    Ok(id)
}

/// Gives a row that waited for it its raw mail: it is due now.
fn fill(tx: &mut Tx<'_>, seq: i64, mail: &Prepared) -> rusqlite::Result<()> {
    mail.raw.store(tx, seq)?;
    tx.execute(
        "UPDATE mail SET sha256 = ?2, raw_size = ?3, size = ?4, stub = ?5, internal_date = ?6, due = 0 WHERE seq = ?1",
        params![seq, &mail.sha256[..], integer(mail.raw.size()), integer(mail.size), mail.stub, mail.internal_date],
    )?;
    Ok(())
}

/// The row that has these bytes under an older UIDVALIDITY of the folder gets the new UID. Of several such rows the one
/// with the same INTERNALDATE; if none has, nothing proves which it is, and the mail counts as new.
fn rebind(tx: &Tx<'_>, origin: &Origin, mail: &Prepared) -> rusqlite::Result<Option<QueueId>> {
    if !origin.rebind {
        return Ok(None);
    }
    let candidates = tx.all(
        "SELECT seq, id, internal_date FROM mail
         WHERE sha256 = ?1 AND mailbox = ?2 AND folder = ?3 AND uidvalidity <> ?4 ORDER BY seq",
        params![&mail.sha256[..], origin.key.mailbox, origin.key.folder, origin.uidvalidity],
        |row| Ok((row.get::<_, i64>(0)?, row.get::<_, QueueId>(1)?, row.get::<_, UtcMillis>(2)?)),
    )?;
    let chosen = match candidates.as_slice() {
        [only] => Some(only),
        several => several.iter().find(|(_, _, date)| *date == mail.internal_date),
    };
    let Some((seq, id, _)) = chosen else { return Ok(None) };
    tx.execute(
        "UPDATE mail SET uidvalidity = ?2, uid = ?3 WHERE seq = ?1",
        params![seq, origin.uidvalidity, mail.uid],
    )?;
    Ok(Some(*id))
}

fn forget_strikes(tx: &Tx<'_>, origin: &Origin, uid: Uid) -> rusqlite::Result<()> {
    tx.execute(
        "DELETE FROM fetch_strike WHERE mailbox = ?1 AND folder = ?2 AND uidvalidity = ?3 AND uid = ?4",
        params![origin.key.mailbox, origin.key.folder, origin.uidvalidity, uid],
    )?;
    Ok(())
}
