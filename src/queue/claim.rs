//! What delivery does: claims, writes begun, ends. Every move but the claim itself is guarded by the claim's fence, so a
//! worker that lost its claim changes nothing.

use std::time::Duration;

use bytes::Bytes;
use rusqlite::{Connection, Row, params};
use sha2::{Digest, Sha256};

use super::item::{Claim, End, FolderKey, Identity, Item, Turn};
use super::spool;
use super::sql::{integer, unsigned};
use super::writer::Tx;
use crate::clock::UtcMillis;
use crate::ids::{EjMessageId, QueueId, TenantName, TicketId};
use crate::message::Depth;

/// The class that marks a delivered mail as one that SuperOffice had already.
pub(super) const DUPLICATE: &str = "duplicate";
/// The class of what a mail that waits for an older one has instead of an error.
const ORDER: &str = "order";
/// For how long a claim is good where several nodes share a store. With SQLite the lock of the store says it: a claim
/// ends with its daemon.
const LEASE: Duration = Duration::from_secs(600);
/// Mails of at most so many bytes come with their claim: the writer has just stored most of them, so it need not ask the
/// disk, and the readers are spared.
const AT_HAND: u32 = 32 * 1024;
/// Bytes of a text from a mail that are kept for listings.
const LISTED: usize = 1000;

/// An identity in the form that is stored.
pub(super) struct Marks {
    names: Vec<[u8; 16]>,
    refers: Vec<[u8; 16]>,
    same_mail: Option<[u8; 16]>,
    distinct: bool,
    rfc_message_id: String,
    from: String,
}

impl From<Identity> for Marks {
    fn from(identity: Identity) -> Self {
        let Identity { names, refers, same_mail, distinct, rfc_message_id, from } = identity;
        let same_mail = same_mail.and_then(|text| Sha256::digest(text).first_chunk().copied());
        Self { names, refers, same_mail, distinct, rfc_message_id: cut(rfc_message_id), from: cut(from) }
    }
}

impl Marks {
    fn same_mail(&self) -> Option<&[u8]> {
        self.same_mail.as_ref().map(|mark| &mark[..])
    }

    /// The keys, and whether the mail itself is called so.
    fn keys(&self) -> impl Iterator<Item = (bool, &[u8; 16])> {
        let refers = self.refers.iter().filter(|key| !self.names.contains(key)).map(|key| (false, key));
        self.names.iter().map(|key| (true, key)).chain(refers)
    }
}

/// Claims due mails, oldest first.
pub(super) fn claim(tx: &Tx<'_>, tenant: &TenantName, limit: usize) -> rusqlite::Result<Vec<Item>> {
    // What has come due meanwhile joins the ready, so that these are one run of the index in order of acceptance.
    tx.execute("UPDATE mail SET due = 0 WHERE tenant = ?1 AND due > 0 AND due <= ?2", params![tenant, tx.now])?;
    // Read and then changed one by one: RETURNING and `IN (SELECT …)` build a table in memory each time, which costs more
    // than the change itself. Nobody else writes meanwhile.
    let claimed = tx.all(
        "SELECT seq, id, fence + 1, mailbox, folder, uidvalidity, uid, tenant, internal_date, accepted_at, size, stub,
             attempts, strikes + crashes, depth, verify_since, released, COALESCE(renewed_at, accepted_at),
             CASE WHEN raw_size <= ?3 THEN (SELECT bytes FROM raw WHERE raw.seq = mail.seq) END,
             sha256
         FROM mail WHERE tenant = ?1 AND due = 0 ORDER BY seq LIMIT ?2",
        params![tenant, i64::try_from(limit).unwrap_or(i64::MAX), AT_HAND],
        |row| Ok((row.get::<_, i64>(0)?, item(row)?)),
    )?;
    for (seq, _) in &claimed {
        tx.execute(
            "UPDATE mail SET state = 'delivering', due = NULL, fence = fence + 1, lease_until = ?2 WHERE seq = ?1",
            params![seq, tx.now.plus(LEASE)],
        )?;
    }
    Ok(claimed.into_iter().map(|(_, item)| item).collect())
}

/// When the next mail of the tenant is due.
pub(super) fn next_due(conn: &Connection, tenant: &TenantName) -> rusqlite::Result<Option<UtcMillis>> {
    let mut statement = conn.prepare_cached("SELECT MIN(due) FROM mail WHERE tenant = ?1 AND due IS NOT NULL")?;
    statement.query_row([tenant], |row| row.get(0))
}

/// One more dead worker.
pub(super) fn strike(tx: &Tx<'_>, claim: Claim, depth: Depth) -> rusqlite::Result<Option<u32>> {
    tx.first(
        "UPDATE mail SET strikes = strikes + 1, depth = ?3 WHERE id = ?1 AND fence = ?2 AND state = 'delivering'
         RETURNING strikes + crashes",
        params![claim.id, claim.fence, depth],
        |row| row.get(0),
    )
}

/// Stores the identity and says whose turn it is; if it is this mail's, the attempt is recorded.
pub(super) fn begin_write(
    tx: &Tx<'_>,
    claim: Claim,
    marks: &Marks,
    retry_at: UtcMillis,
) -> rusqlite::Result<Option<Turn>> {
    let Some(mail) = claimed(tx, claim)? else { return Ok(None) };
    for (own, key) in marks.keys() {
        tx.execute(
            "INSERT OR IGNORE INTO mail_key (tenant, key, own, seq) VALUES (?1, ?2, ?3, ?4)",
            params![mail.tenant, &key[..], own, mail.seq],
        )?;
    }
    if let Some(older) = blocked_by(tx, &mail, marks)? {
        identify(tx, mail.seq, marks)?;
        tx.execute(
            "UPDATE mail SET error_class = ?2, error = ?3 WHERE seq = ?1",
            params![mail.seq, ORDER, format!("waits for {older}, an older mail of its conversation")],
        )?;
        return Ok(Some(Turn::Wait(older)));
    }
    if let Some(original) = original(tx, &mail, marks)? {
        identify(tx, mail.seq, marks)?;
        return Ok(Some(Turn::Duplicate(original)));
    }
    tx.execute(
        "UPDATE mail SET same_mail = ?2, rfc_message_id = ?3, sender = ?4,
             attempts = attempts + 1, next_attempt_at = ?5, verify_since = ?6, writing = 1, released = 0,
             error = CASE WHEN error_class IS NOT ?7 THEN error END, error_class = NULLIF(error_class, ?7)
         WHERE seq = ?1",
        params![mail.seq, marks.same_mail(), marks.rfc_message_id, marks.from, retry_at, tx.now, ORDER],
    )?;
    Ok(Some(Turn::Write(mail.attempts.saturating_add(1))))
}

/// Stores what the mail is known by, and that it was read without a crash.
fn identify(tx: &Tx<'_>, seq: i64, marks: &Marks) -> rusqlite::Result<()> {
    tx.execute(
        "UPDATE mail SET same_mail = ?2, rfc_message_id = ?3, sender = ?4, crashes = 0 WHERE seq = ?1",
        params![seq, marks.same_mail(), marks.rfc_message_id, marks.from],
    )?;
    Ok(())
}

/// Ends the work on a claimed mail.
pub(super) fn finish(tx: &mut Tx<'_>, claim: Claim, end: End) -> rusqlite::Result<bool> {
    let changed = match end {
        End::Delivered { ej_message_id, ticket_id } => delivered(tx, claim, ej_message_id, ticket_id)?,
        End::Duplicate { of } => last(tx, claim, "delivered", DUPLICATE, &of)?,
        End::Failed { class, error } => last(tx, claim, "failed", &class, &error)?,
        End::Held { reason, error } => held(tx, claim, &reason, &error)?,
        End::Deferred { at, class, error, verify } => deferred(tx, claim, at, (&class, &error), verify)?,
        End::Released { at } => released(tx, claim, at)?,
    };
    Ok(changed == 1)
}

/// The tenant is back: what waits without a look-up is due now. At most `limit` mails; how many there were.
pub(super) fn release_deferred(tx: &mut Tx<'_>, tenant: &TenantName, limit: u32) -> rusqlite::Result<usize> {
    tx.effects.work = true;
    tx.execute(
        "UPDATE mail SET due = 0, next_attempt_at = ?2 WHERE seq IN (
             SELECT seq FROM mail WHERE tenant = ?1 AND due > 0 AND state = 'deferred' AND verify_since IS NULL
             LIMIT ?3)",
        params![tenant, tx.now, limit],
    )
}

/// What [`begin_write`] must know of a claimed mail.
struct Claimed {
    seq: i64,
    tenant: TenantName,
    mailbox: String,
    sha256: Vec<u8>,
    size: u64,
    stub: bool,
    again: bool,
    attempts: u32,
}

fn claimed(tx: &Tx<'_>, claim: Claim) -> rusqlite::Result<Option<Claimed>> {
    tx.first(
        "SELECT seq, tenant, mailbox, sha256, size, stub, again, attempts FROM mail
         WHERE id = ?1 AND fence = ?2 AND state = 'delivering'",
        params![claim.id, claim.fence],
        |row| {
            Ok(Claimed {
                seq: row.get(0)?,
                tenant: row.get(1)?,
                mailbox: row.get(2)?,
                sha256: row.get(3)?,
                size: row.get(4).map(unsigned)?,
                stub: row.get(5)?,
                again: row.get(6)?,
                attempts: row.get(7)?,
            })
        },
    )
}

/// The oldest mail before this one that is called what this one is called or refers to. Only unfinished mails that are not
/// held have keys.
fn blocked_by(tx: &Tx<'_>, mail: &Claimed, marks: &Marks) -> rusqlite::Result<Option<QueueId>> {
    let mut oldest: Option<i64> = None;
    for (_, key) in marks.keys() {
        let older: Option<Option<i64>> = tx.first(
            "SELECT MIN(seq) FROM mail_key WHERE tenant = ?1 AND key = ?2 AND own = 1 AND seq < ?3",
            params![mail.tenant, &key[..], mail.seq],
            |row| row.get(0),
        )?;
        oldest = [oldest, older.flatten()].into_iter().flatten().min();
    }
    oldest.map_or(Ok(None), |seq| tx.first("SELECT id FROM mail WHERE seq = ?1", [seq], |row| row.get(0)))
}

/// The posted mail that this one is a copy of. What an operator put back is no copy: that is what the operator said.
fn original(tx: &Tx<'_>, mail: &Claimed, marks: &Marks) -> rusqlite::Result<Option<QueueId>> {
    if mail.again {
        return Ok(None);
    }
    if marks.distinct && mail.size > 0 {
        let same_bytes = tx.first(
            "SELECT id FROM mail WHERE sha256 = ?1 AND mailbox = ?2 AND size = ?3 AND stub = ?4 AND seq <> ?5
             AND state = 'delivered' ORDER BY seq LIMIT 1",
            params![mail.sha256, mail.mailbox, integer(mail.size), mail.stub, mail.seq],
            |row| row.get(0),
        )?;
        if same_bytes.is_some() {
            return Ok(same_bytes);
        }
    }
    let Some(same_mail) = marks.same_mail else { return Ok(None) };
    tx.first(
        "SELECT id FROM mail WHERE same_mail = ?1 AND tenant = ?2 AND seq <> ?3 AND state = 'delivered'
         ORDER BY seq LIMIT 1",
        params![&same_mail[..], mail.tenant, mail.seq],
        |row| row.get(0),
    )
}

fn delivered(
    tx: &mut Tx<'_>,
    claim: Claim,
    ej_message_id: Option<EjMessageId>,
    ticket_id: Option<TicketId>,
) -> rusqlite::Result<usize> {
    tx.effects.outcomes = true;
    // A younger mail of the same conversation may have waited for this one.
    tx.effects.work = true;
    tx.execute(
        "UPDATE mail SET state = 'delivered', finished_at = ?3, ej_message_id = ?4, ticket_id = ?5, writing = 0,
             verify_since = NULL, next_attempt_at = NULL, error_class = NULL, error = NULL
         WHERE id = ?1 AND fence = ?2 AND state = 'delivering'",
        params![claim.id, claim.fence, tx.now, ej_message_id, ticket_id],
    )
}

/// A dead letter whose last write has an answer is known not to be posted; one that was still to be looked up is looked up
/// when somebody retries it.
fn last(tx: &mut Tx<'_>, claim: Claim, state: &str, class: &str, error: &str) -> rusqlite::Result<usize> {
    tx.effects.outcomes = true;
    tx.effects.work = true;
    tx.execute(
        "UPDATE mail SET state = ?3, finished_at = ?4, error_class = ?5, error = ?6, next_attempt_at = NULL,
             verify_since = CASE WHEN ?3 = 'failed' AND writing = 0 THEN verify_since END, writing = 0
         WHERE id = ?1 AND fence = ?2 AND state = 'delivering'",
        params![claim.id, claim.fence, state, tx.now, class, error],
    )
}

fn held(tx: &mut Tx<'_>, claim: Claim, reason: &str, error: &str) -> rusqlite::Result<usize> {
    tx.effects.work = true;
    tx.execute(
        "UPDATE mail SET state = 'held', held_reason = ?3, error = ?4, writing = 0, next_attempt_at = NULL
         WHERE id = ?1 AND fence = ?2 AND state = 'delivering'",
        params![claim.id, claim.fence, reason, error],
    )
}

fn deferred(
    tx: &mut Tx<'_>,
    claim: Claim,
    at: UtcMillis,
    (class, error): (&str, &str),
    verify: bool,
) -> rusqlite::Result<usize> {
    tx.effects.work = true;
    tx.execute(
        "UPDATE mail SET state = 'deferred', due = ?3, next_attempt_at = ?3, error_class = ?4, error = ?5,
             writing = 0, crashes = 0, verify_since = ?6
         WHERE id = ?1 AND fence = ?2 AND state = 'delivering'",
        params![claim.id, claim.fence, due(at), class, error, verify.then_some(tx.now)],
    )
}

/// Back to where it was. A write that was begun and then not tried is not counted; a look-up that was due stays due. What
/// waits for an older mail that has ended meanwhile is due now.
fn released(tx: &mut Tx<'_>, claim: Claim, at: UtcMillis) -> rusqlite::Result<usize> {
    tx.effects.work = true;
    tx.execute(
        "UPDATE mail SET
             state = CASE WHEN verify_since IS NOT NULL AND writing = 0 THEN 'deferred' ELSE 'queued' END,
             due = CASE WHEN error_class IS ?4 AND NOT EXISTS (
                     SELECT 1 FROM mail_key AS mine JOIN mail_key AS older USING (tenant, key)
                     WHERE mine.seq = mail.seq AND older.own = 1 AND older.seq < mail.seq) THEN 0 ELSE ?3 END,
             next_attempt_at = ?3, attempts = attempts - writing,
             verify_since = CASE WHEN writing = 0 THEN verify_since END, writing = 0
         WHERE id = ?1 AND fence = ?2 AND state = 'delivering'",
        params![claim.id, claim.fence, due(at), ORDER],
    )
}

fn item(row: &Row<'_>) -> rusqlite::Result<Item> {
    let sha256 = row.get::<_, Option<Vec<u8>>>(19)?.unwrap_or_default();
    Ok(Item {
        claim: Claim { id: row.get(1)?, fence: row.get(2)? },
        key: FolderKey { mailbox: row.get(3)?, folder: row.get(4)? },
        uidvalidity: row.get(5)?,
        uid: row.get(6)?,
        tenant: row.get(7)?,
        internal_date: row.get(8)?,
        accepted_at: row.get(9)?,
        size: row.get(10).map(unsigned)?,
        stub: row.get(11)?,
        attempts: row.get(12)?,
        strikes: row.get(13)?,
        depth: row.get(14)?,
        verify_since: row.get(15)?,
        released: row.get(16)?,
        waits_since: row.get(17)?,
        // Damaged bytes are not at hand: whoever asks for them then is told.
        raw: row.get::<_, Option<Vec<u8>>>(18)?.filter(|raw| spool::is(raw, &sha256)).map(Bytes::from),
    })
}

/// No time of day is below 0, which stands for "ready".
fn due(at: UtcMillis) -> UtcMillis {
    at.max(UtcMillis(0))
}

fn cut(mut text: String) -> String {
    text.truncate(text.floor_char_boundary(LISTED));
    text
}
