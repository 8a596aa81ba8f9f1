//! The tables, and how an older store becomes a newer one. Never changes a store that a newer version wrote.
//!
//! - `folder`: which mails of a folder are ours to take, and how far they were taken.
//! - `fetch_strike`: failed fetches of a UID that has no row yet.
//! - `mail`: one row a mail, never deleted. `seq` is the order of acceptance: "older" means a smaller `seq`, whatever the
//!   clock did meanwhile. `renewed_at`: when an operator put it back, so that its patience began anew. `due` is null for a mail that nobody may claim, 0 for one that is ready, else when it is due.
//! - `tenant`: what was learned of a tenant and must be known at the next start.
//! - `raw`: the bytes of a mail, or the name of the spool file that has them (`spool.rs`).
//! - `mail_key`: what binds a mail to others, for as long as the mail may block younger ones.

use std::path::Path;

use rusqlite::config::DbConfig;
use rusqlite::{Connection, ErrorCode, OptionalExtension};

use super::error::Error;

/// Marks the file as ours (`PRAGMA application_id`).
const APPLICATION_ID: i64 = 0x4d42_7267;

/// The steps from one version to the next: the version of a store is the number of steps taken. A step once released
/// never changes.
///
/// Conditions are spelled out with OR: for an `IN` of three words and more SQLite builds a table in memory each time that a
/// row changes, which cost more than the change.
pub(super) const STEPS: &[&str] = &[
    r"
CREATE TABLE folder (
    mailbox TEXT NOT NULL,
    folder TEXT NOT NULL,
    uidvalidity INTEGER NOT NULL,
    started_at INTEGER NOT NULL,
    first_new INTEGER NOT NULL,
    start_uids TEXT NOT NULL,
    start_waits INTEGER NOT NULL CHECK (start_waits IN (0, 1)),
    cursor INTEGER NOT NULL,
    PRIMARY KEY (mailbox, folder)
) STRICT, WITHOUT ROWID;

CREATE TABLE fetch_strike (
    mailbox TEXT NOT NULL,
    folder TEXT NOT NULL,
    uidvalidity INTEGER NOT NULL,
    uid INTEGER NOT NULL,
    strikes INTEGER NOT NULL,
    PRIMARY KEY (mailbox, folder, uidvalidity, uid)
) STRICT, WITHOUT ROWID;

CREATE TABLE mail (
    seq INTEGER PRIMARY KEY AUTOINCREMENT,
    id TEXT NOT NULL UNIQUE,
    mailbox TEXT NOT NULL,
    folder TEXT NOT NULL,
    uidvalidity INTEGER NOT NULL,
    uid INTEGER NOT NULL,
    tenant TEXT NOT NULL,
    state TEXT NOT NULL CHECK (state = 'queued' OR state = 'delivering' OR state = 'deferred' OR state = 'held'
        OR state = 'delivered' OR state = 'failed' OR state = 'discarded'),
    internal_date INTEGER NOT NULL,
    accepted_at INTEGER NOT NULL,
    renewed_at INTEGER,
    size INTEGER NOT NULL,
    stub INTEGER NOT NULL CHECK (stub IN (0, 1)),
    sha256 BLOB,
    raw_size INTEGER,
    due INTEGER,
    next_attempt_at INTEGER,
    fence INTEGER NOT NULL DEFAULT 0,
    lease_until INTEGER,
    writing INTEGER NOT NULL DEFAULT 0 CHECK (writing IN (0, 1)),
    verify_since INTEGER,
    released INTEGER NOT NULL DEFAULT 0 CHECK (released IN (0, 1)),
    again INTEGER NOT NULL DEFAULT 0 CHECK (again IN (0, 1)),
    attempts INTEGER NOT NULL DEFAULT 0,
    strikes INTEGER NOT NULL DEFAULT 0,
    crashes INTEGER NOT NULL DEFAULT 0,
    depth TEXT NOT NULL DEFAULT 'full' CHECK (depth = 'full' OR depth = 'text' OR depth = 'headers'),
    same_mail BLOB,
    rfc_message_id TEXT NOT NULL DEFAULT '',
    sender TEXT NOT NULL DEFAULT '',
    delayed INTEGER NOT NULL DEFAULT 0 CHECK (delayed IN (0, 1)),
    error_class TEXT,
    error TEXT,
    held_reason TEXT,
    ej_message_id INTEGER,
    ticket_id INTEGER,
    finished_at INTEGER,
    copied INTEGER NOT NULL DEFAULT 0 CHECK (copied IN (0, 1)),
    disposed_at INTEGER,
    disposed_how TEXT,
    UNIQUE (mailbox, folder, uidvalidity, uid),
    CHECK ((finished_at IS NOT NULL) = (state = 'delivered' OR state = 'failed' OR state = 'discarded')),
    CHECK (disposed_at IS NULL OR finished_at IS NOT NULL),
    CHECK (due IS NULL OR ((state = 'queued' OR state = 'deferred') AND raw_size IS NOT NULL)),
    CHECK (writing = 0 OR state = 'delivering')
) STRICT;
CREATE INDEX mail_due ON mail (tenant, due) WHERE due IS NOT NULL;
CREATE INDEX mail_open ON mail (tenant, delayed, accepted_at) WHERE finished_at IS NULL;
CREATE INDEX mail_unfetched ON mail (mailbox, folder, uidvalidity) WHERE raw_size IS NULL AND state = 'queued';
CREATE INDEX mail_content ON mail (sha256) WHERE sha256 IS NOT NULL;
CREATE INDEX mail_same ON mail (same_mail) WHERE same_mail IS NOT NULL;
CREATE INDEX mail_purge ON mail (state, finished_at) WHERE finished_at IS NOT NULL AND raw_size IS NOT NULL;
CREATE INDEX mail_undisposed ON mail (mailbox, folder, uidvalidity)
    WHERE finished_at IS NOT NULL AND disposed_at IS NULL;

CREATE TABLE tenant (
    tenant TEXT PRIMARY KEY,
    searchable INTEGER NOT NULL CHECK (searchable IN (0, 1))
) STRICT, WITHOUT ROWID;

CREATE TABLE raw (
    seq INTEGER PRIMARY KEY REFERENCES mail (seq),
    bytes BLOB,
    file TEXT,
    CHECK ((bytes IS NULL) <> (file IS NULL))
) STRICT;

CREATE TABLE mail_key (
    tenant TEXT NOT NULL,
    key BLOB NOT NULL,
    -- 1: the mail is called so; 0: it refers to a mail that is.
    own INTEGER NOT NULL,
    seq INTEGER NOT NULL REFERENCES mail (seq),
    PRIMARY KEY (tenant, key, own, seq)
) STRICT, WITHOUT ROWID;
CREATE INDEX mail_key_seq ON mail_key (seq);

-- Held and finished mails never block younger ones.
CREATE TRIGGER mail_unblocks AFTER UPDATE OF state ON mail
WHEN new.state <> 'queued' AND new.state <> 'delivering' AND new.state <> 'deferred'
BEGIN
    DELETE FROM mail_key WHERE seq = new.seq;
END;

-- The younger ones that are called so or refer to it, if they have come back to wait, are due now.
CREATE TRIGGER mail_key_wakes AFTER DELETE ON mail_key
WHEN old.own = 1 AND EXISTS (
    SELECT 1 FROM mail_key AS younger
    WHERE younger.tenant = old.tenant AND younger.key = old.key AND younger.seq > old.seq)
BEGIN
    UPDATE mail SET due = 0, next_attempt_at = NULL
    WHERE due > 0 AND state = 'queued' AND seq IN (
        SELECT younger.seq FROM mail_key AS younger
        WHERE younger.tenant = old.tenant AND younger.key = old.key AND younger.seq > old.seq AND NOT EXISTS (
            SELECT 1 FROM mail_key AS older
            WHERE older.tenant = old.tenant AND older.key = old.key AND older.own = 1 AND older.seq < younger.seq));
END;
",
    r"
-- A copy to the target folder was begun; whether it was made is not known before `copied`.
ALTER TABLE mail ADD COLUMN copying INTEGER NOT NULL DEFAULT 0 CHECK (copying IN (0, 1));
",
];

/// Sets up the connection of the writer. The first connection of a new file must do this before any table is made.
/// `cache_size` is left at 2 MB: with 4 MB and more, storing mail cost twice the CPU time (measured; malloc and page
/// faults), and the system's own cache has the pages anyway. A longer log lets a page that changes often be copied once.
/// What a statement may have to take back is kept in memory: it is small, and a file of its own would be one more way to
/// fail.
pub(super) fn prepare(conn: &Connection) -> rusqlite::Result<()> {
    conn.execute_batch(
        "PRAGMA auto_vacuum = INCREMENTAL;
         PRAGMA journal_mode = WAL;
         PRAGMA synchronous = FULL;
         PRAGMA busy_timeout = 10000;
         PRAGMA foreign_keys = ON;
         PRAGMA temp_store = MEMORY;
         PRAGMA wal_autocheckpoint = 4000;
         PRAGMA journal_size_limit = 67108864;",
    )?;
    // Else a statement whose plan looked at a bound value (a partial index is enough) is planned anew each time it is bound.
    conn.set_db_config(DbConfig::SQLITE_DBCONFIG_ENABLE_QPSG, true)?;
    conn.set_prepared_statement_cache_capacity(64);
    Ok(())
}

/// The version of the store; an error when the file is damaged, foreign, or from a newer version.
pub(super) fn version(conn: &Connection, path: &Path, known: usize) -> Result<i64, Error> {
    let found = header(conn).map_err(|error| judge(error, path))?;
    let known = i64::try_from(known).unwrap_or(i64::MAX);
    match found {
        (version, _) if version > known => {
            Err(Error::Newer { path: path.display().to_string(), found: version, known })
        }
        (version, APPLICATION_ID) => Ok(version),
        (0, 0) if is_empty(conn).map_err(Error::database("reading the store's tables"))? => Ok(0),
        _ => Err(Error::Damaged { path: path.display().to_string(), reason: "it is not mailbridge's".to_owned() }),
    }
}

/// Takes the steps that are missing, each in one transaction. A store that has mail in it is copied aside first, as
/// `NAME.vN`. The version before, if any step was taken on an existing store.
pub(super) fn migrate(conn: &mut Connection, path: &Path, steps: &[&str]) -> Result<Option<i64>, Error> {
    let found = version(conn, path, steps.len())?;
    let taken = usize::try_from(found).unwrap_or(0);
    let missing = steps.get(taken..).unwrap_or_default();
    let existing = found > 0 && !missing.is_empty();
    if existing {
        copy_aside(conn, path, found)?;
    }
    for (step, version) in missing.iter().zip(found.saturating_add(1)..) {
        take(conn, step, version).map_err(Error::database("migrating the store"))?;
    }
    Ok(existing.then_some(found))
}

/// An error of the first read tells a damaged file from one that only cannot be read now.
pub(super) fn judge(error: rusqlite::Error, path: &Path) -> Error {
    match error.sqlite_error_code() {
        Some(ErrorCode::NotADatabase | ErrorCode::DatabaseCorrupt) => {
            Error::Damaged { path: path.display().to_string(), reason: error.to_string() }
        }
        _ => Error::Database { doing: "opening the store", source: error },
    }
}

fn header(conn: &Connection) -> rusqlite::Result<(i64, i64)> {
    conn.query_row("SELECT user_version, application_id FROM pragma_user_version, pragma_application_id", [], |row| {
        Ok((row.get(0)?, row.get(1)?))
    })
}

fn is_empty(conn: &Connection) -> rusqlite::Result<bool> {
    Ok(conn.query_row("SELECT 1 FROM sqlite_schema LIMIT 1", [], |_| Ok(())).optional()?.is_none())
}

fn take(conn: &mut Connection, step: &str, version: i64) -> rusqlite::Result<()> {
    let transaction = conn.transaction()?;
    transaction.execute_batch(step)?;
    transaction.pragma_update(None, "application_id", APPLICATION_ID)?;
    transaction.pragma_update(None, "user_version", version)?;
    transaction.commit()
}

/// A copy that a step back to the older program can use. One that a broken-off migration left is made anew.
fn copy_aside(conn: &Connection, path: &Path, version: i64) -> Result<(), Error> {
    let mut copy = path.as_os_str().to_owned();
    copy.push(format!(".v{version}"));
    let copy = Path::new(&copy);
    match std::fs::remove_file(copy) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            return Err(Error::file("removing the old copy", copy)(error));
        }
        _ => {}
    }
    super::file::create(copy)?;
    conn.execute("VACUUM INTO ?1", [copy.display().to_string()])
        .map_err(Error::database("copying the store before its migration"))?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_older_store_is_copied_and_brought_up() {
        let dir = tempfile::tempdir().expect("a folder");
        let path = dir.path().join("db");
        let mut conn = Connection::open(&path).expect("a database");
        assert_eq!(migrate(&mut conn, &path, STEPS).expect("new"), None);
        assert_eq!(migrate(&mut conn, &path, STEPS).expect("nothing to do"), None);
        let further = [STEPS, &["ALTER TABLE folder ADD COLUMN note TEXT"]].concat();
        for _ in 0..2 {
            let before = i64::try_from(STEPS.len()).expect("few");
            conn.pragma_update(None, "user_version", before).expect("as if broken off");
            drop(conn.execute_batch("ALTER TABLE folder DROP COLUMN note"));
            assert_eq!(migrate(&mut conn, &path, &further).expect("one step"), Some(before));
        }
        conn.prepare("SELECT note FROM folder").expect("the new column");
        let copy = Connection::open(dir.path().join(format!("db.v{}", STEPS.len()))).expect("the copy");
        copy.prepare("SELECT note FROM folder").expect_err("without the new column");
        copy.prepare("SELECT cursor FROM folder").expect("with the old ones");
    }

    #[test]
    fn a_newer_store_is_refused() {
        let dir = tempfile::tempdir().expect("a folder");
        let path = dir.path().join("db");
        let mut conn = Connection::open(&path).expect("a database");
        conn.pragma_update(None, "user_version", 99).expect("set");
        let error = migrate(&mut conn, &path, STEPS).expect_err("too new");
        let known = STEPS.len();
        assert!(error.to_string().contains(&format!("has version 99, this mailbridge knows {known}")), "{error}");
    }

    #[test]
    fn a_foreign_or_damaged_file_is_refused_and_left_alone() {
        let dir = tempfile::tempdir().expect("a folder");
        let path = dir.path().join("db");
        let mut conn = Connection::open(&path).expect("a database");
        conn.execute_batch("CREATE TABLE other (x)").expect("made");
        assert!(matches!(migrate(&mut conn, &path, STEPS), Err(Error::Damaged { .. })));
        let text = "no database at all, but long enough for a header of one hundred bytes ".repeat(9);
        std::fs::write(&path, &text).expect("written");
        let mut conn = Connection::open(&path).expect("a handle");
        assert!(matches!(migrate(&mut conn, &path, STEPS), Err(Error::Damaged { .. })));
        assert_eq!(std::fs::read_to_string(&path).expect("read"), text);
    }
}
