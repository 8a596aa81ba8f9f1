//! What can go wrong with the store.

use rusqlite::ErrorCode;

use crate::fault::Fault;
use crate::ids::QueueId;

/// What can go wrong with the store.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Another daemon has the store.
    #[error("the store {path} is in use by another mailbridge (process {holder})")]
    Locked {
        /// The store.
        path: String,
        /// Its owner's process id, as far as it is known.
        holder: String,
    },
    /// The store was written by a newer version.
    #[error("the store {path} has version {found}, this mailbridge knows {known}: use a newer mailbridge")]
    Newer {
        /// The store.
        path: String,
        /// Its version.
        found: i64,
        /// The newest version this program knows.
        known: i64,
    },
    /// The database file is damaged, or not ours. It is left as it is: it may still be mended.
    #[error(
        "the database {path} cannot be used ({reason}); it was left as it is: put back a copy, or mend it with `sqlite3 {path} .recover`"
    )]
    Damaged {
        /// The file.
        path: String,
        /// What is wrong with it.
        reason: String,
    },
    /// The database refused.
    #[error("{doing}: {source}")]
    Database {
        /// What was tried.
        doing: &'static str,
        /// What it said.
        source: rusqlite::Error,
    },
    /// The file system refused.
    #[error("{doing} {path}: {source}")]
    File {
        /// What was tried.
        doing: &'static str,
        /// On which file.
        path: String,
        /// What it said.
        source: std::io::Error,
    },
    /// The raw mail is gone.
    #[error("the raw mail of {0} is no longer kept")]
    NoRaw(QueueId),
    /// The raw mail is not what was stored: the disk or somebody has changed it, or taken it away.
    #[error("the raw mail of {0} is damaged or missing in the store: `mailbridge queue retry` has it fetched again")]
    DamagedRaw(QueueId),
    /// The store was opened with [`super::Queue::open_read_only`].
    #[error("the store is open for reading only")]
    ReadOnly,
    /// The store is closed.
    #[error("the store is closed")]
    Closed,
}

impl Error {
    /// The class of a mail that is dead because its raw mail is gone or damaged.
    pub const NO_RAW_CLASS: &'static str = "no_raw";

    /// What it means for retries.
    #[must_use]
    pub const fn fault(&self) -> Fault {
        match self {
            Self::Locked { .. } | Self::Newer { .. } | Self::Damaged { .. } | Self::NoRaw(_) => Fault::Permanent,
            Self::DamagedRaw(_) | Self::ReadOnly => Fault::Permanent,
            Self::Database { .. } | Self::File { .. } | Self::Closed => Fault::Transient,
        }
    }

    /// Whether the disk (or the quota) is full: nothing was stored; it works again when there is room.
    #[must_use]
    pub fn is_no_space(&self) -> bool {
        match self {
            Self::Database { source, .. } => source.sqlite_error_code() == Some(ErrorCode::DiskFull),
            Self::File { source, .. } => {
                matches!(source.kind(), std::io::ErrorKind::StorageFull | std::io::ErrorKind::QuotaExceeded)
            }
            _ => false,
        }
    }

    /// For `map_err` after a call of the database.
    pub(super) fn database(doing: &'static str) -> impl FnOnce(rusqlite::Error) -> Self {
        move |source| Self::Database { doing, source }
    }

    /// For `map_err` after a call of the file system.
    pub(super) fn file(doing: &'static str, path: &std::path::Path) -> impl FnOnce(std::io::Error) -> Self {
        move |source| Self::File { doing, path: path.display().to_string(), source }
    }
}
