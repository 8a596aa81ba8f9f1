//! `[store]`: where the queue lies and how long things stay.

use serde::{Deserialize, Serialize};

use super::units::{Period, Size};

/// `[store]`
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Store {
    /// The folder of the store, below `state_dir` (restart).
    pub path: String,
    /// Larger raw mails are files below `path`, written as they come; smaller ones are rows (live).
    pub spool_above: Size,
    /// How long the raw mail stays after a confirmed post; "0s" deletes it at once (live).
    pub keep_raw: Period,
    /// Above this size of all raw mail together intake stops; posting goes on (live).
    pub max_size: Size,
    /// The same, by the free space of the file system (live).
    pub min_free: Size,
}

impl Default for Store {
    fn default() -> Self {
        Self {
            path: "store".to_owned(),
            spool_above: Size::mib(1),
            keep_raw: Period::days(7),
            max_size: Size::gib(10),
            min_free: Size::mib(200),
        }
    }
}
