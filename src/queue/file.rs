//! The database's file, apart from what is in it: whether it is the one that was opened, and whether there is room for more.

use std::fs::{Metadata, OpenOptions};
use std::io;
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::Path;
use std::sync::atomic::Ordering;

use super::error::Error;
use super::item::Room;
use super::{DATABASE, Queue, blocking, sql};

/// What tells a file from another one of the same name: device and inode.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Identity(u64, u64);

impl Identity {
    /// `None` when there is no such file.
    pub(super) fn of(path: &Path) -> Option<Self> {
        std::fs::metadata(path).ok().map(|file| Self(file.dev(), file.ino()))
    }
}

impl Queue {
    /// Whether intake may go on (`max_size`, `min_free`).
    ///
    /// # Errors
    /// When the file system does not say; and when the store's file is not there any longer: what would be written to it
    /// now ends with this process.
    pub async fn room(&self) -> Result<Room, Error> {
        let (dir, file) = (self.inner.dir.clone(), self.inner.file);
        let free_bytes = blocking(move || {
            let database = dir.join(DATABASE);
            if Identity::of(&database) != file {
                let what = "it was removed or replaced while mailbridge runs: start mailbridge again";
                return Err(Error::file("looking for the store", &database)(io::Error::other(what)));
            }
            let stat = rustix::fs::statvfs(&dir).map_err(|errno| Error::file("measuring", &dir)(errno.into()))?;
            Ok(stat.f_bavail.saturating_mul(stat.f_frsize))
        })
        .await?;
        let raw_bytes = sql::unsigned(self.inner.signals.raw_bytes.load(Ordering::Relaxed));
        let options = self.options();
        let enough = raw_bytes < options.max_size.0 && free_bytes >= options.min_free.0;
        Ok(Room { free_bytes, raw_bytes, enough })
    }
}

/// Makes an empty file that only its owner may read, if there is none. One that is empty though it has a log of changes was
/// emptied by somebody: SQLite would take it for a new one, and all that is known of the mail would be gone.
pub(super) fn create(path: &Path) -> Result<(), Error> {
    let made = OpenOptions::new().write(true).create(true).truncate(false).mode(0o600).open(path);
    let file = made.and_then(|file| file.metadata()).map_err(Error::file("opening", path))?;
    let mut log = path.as_os_str().to_owned();
    log.push("-wal");
    let has_log = std::fs::metadata(Path::new(&log)).is_ok_and(|log| !is_empty(&log));
    match is_empty(&file) && has_log {
        true => Err(Error::Damaged {
            path: path.display().to_string(),
            reason: "it is empty, its log of changes is not".to_owned(),
        }),
        false => Ok(()),
    }
}

fn is_empty(file: &Metadata) -> bool {
    file.len() == 0
}
