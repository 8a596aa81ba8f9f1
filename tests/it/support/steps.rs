//! Which durable step a killed daemon was at: read from the last counted call and from the store's own log of changes, whose
//! last transaction is compared with what was there before it.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;

use rusqlite::Connection;

/// Every durable step, in the order in which a mail goes through them; `docs/faults.md` says what each is. The first two
/// are no sync, rename or removal of a file, but only writes.
pub(crate) const STEPS: [&str; 18] = [
    "lock signed",
    "spool file written",
    "store begun",
    "tables made",
    "claims taken back",
    "folder recorded",
    "spool file synced",
    "spool file renamed",
    "spool folder synced",
    "mail accepted",
    "mail claimed",
    "attempt recorded",
    "outcome recorded",
    "copy recorded",
    "action recorded",
    "raw mail let go",
    "spool file removed",
    "changes folded in",
];

/// The steps that the last counted call belongs to; for a call on the log of changes those of its last transaction.
pub(crate) fn of_call(store: &Path, (kind, file): &(String, String)) -> BTreeSet<&'static str> {
    let name = file.rsplit('/').next().unwrap_or_default();
    let one = |step| BTreeSet::from([step]);
    match (kind.as_str(), name) {
        (_, "lock") => one("lock signed"),
        (_, "mailbridge.db-wal") if kind == "sync" => of_last_transaction(store),
        ("unlink", "mailbridge.db-wal") | ("write" | "sync", "mailbridge.db-wal" | "mailbridge.db") => {
            one("changes folded in")
        }
        (_, "mailbridge.db-journal" | "store") => one("store begun"),
        ("sync", "spool") => one("spool folder synced"),
        ("write", _) => one("spool file written"),
        ("sync", _) => one("spool file synced"),
        ("rename", _) => one("spool file renamed"),
        ("unlink", _) => one("spool file removed"),
        _ => panic!("{kind} of {file} is no step that is known"),
    }
}

/// What the last transaction in the log of changes did.
pub(crate) fn of_last_transaction(store: &Path) -> BTreeSet<&'static str> {
    let log = fs::read(store.join("mailbridge.db-wal")).unwrap_or_default();
    let ends = transactions(&log);
    let last = ends.last().copied().unwrap_or(0);
    let before = ends.iter().rev().nth(1).copied().unwrap_or(0);
    let (before, after) = (Picture::of(store, &log[..before]), Picture::of(store, &log[..last]));
    before.steps_to(&after)
}

/// Where the whole transactions in a log of changes end (<https://www.sqlite.org/fileformat2.html#walformat>).
fn transactions(log: &[u8]) -> Vec<usize> {
    let number = |at: usize| log.get(at..at + 4).map_or(0, |b| u32::from_be_bytes([b[0], b[1], b[2], b[3]]));
    let frame = 24 + usize::try_from(number(8)).expect("a page size");
    let starts = (32..log.len()).step_by(frame.max(25)).take_while(|at| at + frame <= log.len());
    let ours = starts.take_while(|at| log[at + 8..at + 16] == log[16..24]);
    ours.filter(|at| number(at + 4) != 0).map(|at| at + frame).collect()
}

/// What a step is seen by.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
struct Row {
    state: String,
    writing: bool,
    copied: bool,
    disposed: bool,
    raw: bool,
}

#[derive(Debug, Default)]
struct Picture {
    tables: bool,
    folders: Vec<String>,
    rows: BTreeMap<String, Row>,
}

impl Picture {
    /// The store as it was when its log of changes was this long.
    fn of(store: &Path, log: &[u8]) -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let database = folder.path().join("mailbridge.db");
        if fs::copy(store.join("mailbridge.db"), &database).is_err() {
            return Self::default();
        }
        fs::write(folder.path().join("mailbridge.db-wal"), log).expect("written");
        let conn = Connection::open(&database).expect("opened");
        Self::read(&conn).unwrap_or_default()
    }

    fn read(conn: &Connection) -> rusqlite::Result<Self> {
        let mut folders = conn.prepare("SELECT folder || uidvalidity || first_new FROM folder")?;
        let folders = folders.query_map([], |row| row.get(0))?.collect::<Result<_, _>>()?;
        let mut rows =
            conn.prepare("SELECT id, state, writing, copied, disposed_at IS NOT NULL, raw_size IS NOT NULL FROM mail")?;
        let read = |row: &rusqlite::Row<'_>| {
            let [writing, copied, disposed, raw] = [row.get(2)?, row.get(3)?, row.get(4)?, row.get(5)?];
            Ok((row.get(0)?, Row { state: row.get(1)?, writing, copied, disposed, raw }))
        };
        let rows = rows.query_map([], read)?.collect::<Result<_, _>>()?;
        Ok(Self { tables: true, folders, rows })
    }

    fn steps_to(&self, after: &Self) -> BTreeSet<&'static str> {
        let mut steps = BTreeSet::new();
        if !self.tables {
            return if after.tables { BTreeSet::from(["tables made"]) } else { BTreeSet::from(["store begun"]) };
        }
        if self.folders != after.folders {
            steps.insert("folder recorded");
        }
        // Only a start takes back every claim.
        let at_work = after.rows.values().any(|row| row.state == "delivering");
        let put_back = if at_work { "outcome recorded" } else { "claims taken back" };
        for (id, new) in &after.rows {
            let Some(old) = self.rows.get(id) else {
                steps.insert("mail accepted");
                continue;
            };
            let over = |row: &Row| ["delivered", "failed", "discarded"].contains(&row.state.as_str());
            let back = old.state == "delivering" && ["queued", "deferred", "held"].contains(&new.state.as_str());
            let seen = [
                (new.state == "delivering" && old.state != "delivering", "mail claimed"),
                (new.writing && !old.writing, "attempt recorded"),
                (over(new) && !over(old), "outcome recorded"),
                (back, put_back),
                (new.copied && !old.copied, "copy recorded"),
                (new.disposed && !old.disposed, "action recorded"),
                (old.raw && !new.raw, "raw mail let go"),
            ];
            steps.extend(seen.into_iter().filter(|(is, _)| *is).map(|(_, step)| step));
        }
        steps
    }
}
