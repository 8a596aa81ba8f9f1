//! Where the bytes of a mail lie: in the database, or, for large mails, in a file of the folder `spool`. Only this file
//! knows which of the two it is.
//!
//! A spool file is whole and on the disk (written under another name, synced, renamed, its folder synced) before the
//! transaction that names it begins, and is removed after the one that forgets it. A file that no row names is left from
//! a crash between the two, or from a transaction that failed; it is removed at the next start and not before, since a
//! commit that was reported as failed may still be found done after a crash.

use std::collections::HashSet;
use std::fs::{File, OpenOptions};
use std::io::{ErrorKind, Read as _, Write as _};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use bytes::Bytes;
use rusqlite::{Connection, OptionalExtension, params};
use sha2::{Digest, Sha256};

use super::Queue;
use super::error::Error;
use super::sql::integer;
use super::writer::Tx;
use crate::ids::QueueId;

/// Ends the name of a file that is not whole.
const PARTIAL: &str = ".part";
/// Bytes that are read at once.
const PIECE: usize = 64 << 10;

/// The folder of spool files.
#[derive(Debug)]
pub(super) struct Spool {
    dir: PathBuf,
}

/// Bytes that are ready for a transaction.
#[derive(Debug)]
pub(super) enum Spooled {
    /// To be put into the database.
    Row(Bytes),
    /// In the file of this name, already on the disk.
    File {
        /// The name within the spool folder.
        name: String,
        /// Its bytes.
        size: u64,
    },
}

/// The bytes of a mail, or the file that holds them.
#[derive(Debug)]
pub enum Raw {
    /// The bytes.
    Bytes(Bytes),
    /// The file; it stays while the mail is claimed.
    File(PathBuf),
}

/// Where a mail's bytes were found.
#[derive(Debug)]
pub(super) enum Place {
    /// In the database.
    Row(Vec<u8>),
    /// In this file, if they still have this hash.
    File {
        /// The name within the spool folder.
        name: String,
        /// What was stored.
        sha256: Vec<u8>,
    },
    /// In the database, but changed.
    Damaged,
}

impl Spooled {
    /// The number of bytes.
    pub(super) fn size(&self) -> u64 {
        match self {
            Self::Row(bytes) => u64::try_from(bytes.len()).unwrap_or(u64::MAX),
            Self::File { size, .. } => *size,
        }
    }

    /// Notes in a transaction that these are the bytes of the mail `seq`.
    pub(super) fn store(&self, tx: &mut Tx<'_>, seq: i64) -> rusqlite::Result<()> {
        const STORE: &str = "INSERT INTO raw (seq, bytes, file) VALUES (?1, ?2, ?3)";
        match self {
            Self::Row(bytes) => tx.execute(STORE, params![seq, &bytes[..], None::<&str>])?,
            Self::File { name, .. } => tx.execute(STORE, params![seq, None::<&[u8]>, name])?,
        };
        tx.effects.raw_bytes = tx.effects.raw_bytes.saturating_add(integer(self.size()));
        Ok(())
    }

    /// Nobody needs these bytes after all.
    pub(super) fn discard(self, tx: &mut Tx<'_>) {
        if let Self::File { name, .. } = self {
            tx.effects.unlink.push(name);
        }
    }
}

impl Spool {
    /// The spool folder within the store `dir`; made when it is missing.
    pub(super) fn open(dir: &Path) -> Result<Self, Error> {
        let spool = Self::at(dir);
        super::create_private_dir(&spool.dir)?;
        Ok(spool)
    }

    /// The spool folder within the store `dir`, for reading.
    pub(super) fn at(dir: &Path) -> Self {
        Self { dir: dir.join("spool") }
    }

    /// Brings all that is larger than `above` bytes to the disk. Blocks.
    pub(super) fn prepare(&self, mails: Vec<Bytes>, above: u64) -> Result<Vec<Spooled>, Error> {
        let mut files = false;
        let mut prepared = Vec::with_capacity(mails.len());
        for raw in mails {
            let size = u64::try_from(raw.len()).unwrap_or(u64::MAX);
            if size > above {
                files = true;
                prepared.push(Spooled::File { name: self.write(&raw)?, size });
            } else {
                prepared.push(Spooled::Row(raw));
            }
        }
        if files {
            self.sync()?;
        }
        Ok(prepared)
    }

    /// The path of a spool file, when there is one with this hash. Blocks; never holds more than a piece of it.
    fn check(&self, name: &str, sha256: &[u8]) -> Result<Option<PathBuf>, Error> {
        let path = self.dir.join(name);
        match digest(&path) {
            Ok(found) => Ok(Some(path).filter(|_| found[..] == *sha256)),
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
            Err(error) => Err(Error::file("reading the spool file", &path)(error)),
        }
    }

    /// Removes a file that no row names any longer. If it cannot be removed now it is at the next start.
    pub(super) fn unlink(&self, name: &str) {
        drop(std::fs::remove_file(self.dir.join(name)));
    }

    /// Removes the files that no row names; how many.
    pub(super) fn remove_orphans(&self, conn: &Connection) -> Result<u64, Error> {
        let known = names(conn).map_err(Error::database("listing the spool files"))?;
        let mut removed = 0_u64;
        for entry in std::fs::read_dir(&self.dir).map_err(Error::file("reading the folder", &self.dir))? {
            let path = entry.map_err(Error::file("reading the folder", &self.dir))?.path();
            let named = path.file_name().and_then(|name| name.to_str()).is_some_and(|name| known.contains(name));
            if !named && path.is_file() {
                std::fs::remove_file(&path).map_err(Error::file("removing the orphaned spool file", &path))?;
                removed = removed.saturating_add(1);
            }
        }
        Ok(removed)
    }

    /// Writes a whole file under a fresh name, but for the folder's sync.
    fn write(&self, raw: &[u8]) -> Result<String, Error> {
        let (name, mut file) = self.create()?;
        let written = file.write_all(raw).map_err(Error::file("writing the spool file", &self.partial(&name)));
        let kept = written.and_then(|()| self.keep(&name, &file));
        if kept.is_err() {
            self.give_up(&name);
        }
        kept.map(|()| name)
    }

    /// A file under a fresh name that says that it is not whole.
    pub(super) fn create(&self) -> Result<(String, File), Error> {
        let name = QueueId::generate().to_string();
        let partial = self.partial(&name);
        let file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&partial);
        file.map(|file| (name, file)).map_err(Error::file("making the spool file", &partial))
    }

    /// The file is whole: on the disk, and under its name, but for the folder's sync.
    pub(super) fn keep(&self, name: &str, file: &File) -> Result<(), Error> {
        let path = self.dir.join(name);
        let kept = file.sync_all().and_then(|()| std::fs::rename(self.partial(name), &path));
        kept.map_err(Error::file("writing the spool file", &path))
    }

    /// Removes a file that did not become whole: no transaction knows it, and a full disk needs the room.
    pub(super) fn give_up(&self, name: &str) {
        drop(std::fs::remove_file(self.partial(name)));
    }

    /// Why a file could not be written.
    pub(super) fn unwritten(&self, name: &str, error: std::io::Error) -> Error {
        Error::file("writing the spool file", &self.partial(name))(error)
    }

    fn partial(&self, name: &str) -> PathBuf {
        self.dir.join(format!("{name}{PARTIAL}"))
    }

    pub(super) fn sync(&self) -> Result<(), Error> {
        let synced = File::open(&self.dir).and_then(|dir| dir.sync_all());
        synced.map_err(Error::file("syncing the folder", &self.dir))
    }
}

/// Whether these bytes are what was stored. Disks change bits, and not every file system sees it.
pub(super) fn is(raw: &[u8], sha256: &[u8]) -> bool {
    Sha256::digest(raw)[..] == *sha256
}

/// Where the bytes of a mail lie; `None` when they are no longer kept.
pub(super) fn find(conn: &Connection, id: QueueId) -> rusqlite::Result<Option<Place>> {
    let mut statement =
        conn.prepare_cached("SELECT bytes, file, sha256 FROM raw JOIN mail USING (seq) WHERE id = ?1")?;
    let read = |row: &rusqlite::Row<'_>| {
        let (bytes, name, sha256): (Option<Vec<u8>>, Option<String>, Vec<u8>) = (row.get(0)?, row.get(1)?, row.get(2)?);
        Ok(match (name, bytes) {
            (Some(name), _) => Place::File { name, sha256 },
            (None, Some(bytes)) if is(&bytes, &sha256) => Place::Row(bytes),
            (None, _) => Place::Damaged,
        })
    };
    statement.query_row([id], read).optional()
}

impl Queue {
    /// The bytes of a mail.
    ///
    /// # Errors
    /// As [`Self::source`].
    pub async fn raw(&self, id: QueueId) -> Result<Bytes, Error> {
        match self.source(id).await? {
            Raw::Bytes(bytes) => Ok(bytes),
            Raw::File(path) => {
                let load =
                    move || std::fs::read(&path).map(Bytes::from).map_err(Error::file("reading the spool file", &path));
                super::blocking(load).await
            }
        }
    }

    /// The bytes of a mail, or the file that holds them.
    ///
    /// # Errors
    /// [`Error::NoRaw`] when they are no longer kept, [`Error::DamagedRaw`]; when the database or the file cannot be read.
    pub async fn source(&self, id: QueueId) -> Result<Raw, Error> {
        match self.read("reading the raw mail", move |conn| find(conn, id)).await? {
            None => Err(Error::NoRaw(id)),
            Some(Place::Damaged) => Err(Error::DamagedRaw(id)),
            Some(Place::Row(bytes)) => Ok(Raw::Bytes(bytes.into())),
            Some(Place::File { name, sha256 }) => {
                let spool = Arc::clone(&self.inner.spool);
                let check = move || spool.check(&name, &sha256)?.map(Raw::File).ok_or(Error::DamagedRaw(id));
                super::blocking(check).await
            }
        }
    }

    /// A mail that is larger comes in pieces, and lies in a file.
    #[must_use]
    pub fn spool_above(&self) -> u64 {
        self.options().spool_above.0
    }
}

/// Forgets the bytes of the mail `seq`.
pub(super) fn forget(tx: &mut Tx<'_>, seq: i64, size: i64) -> rusqlite::Result<()> {
    let file: Option<Option<String>> =
        tx.first("DELETE FROM raw WHERE seq = ?1 RETURNING file", [seq], |row| row.get(0))?;
    tx.effects.unlink.extend(file.flatten());
    tx.effects.raw_bytes = tx.effects.raw_bytes.saturating_sub(size);
    Ok(())
}

/// The hash of a file.
fn digest(path: &Path) -> std::io::Result<[u8; 32]> {
    let (mut file, mut hash, mut piece) = (File::open(path)?, Sha256::new(), vec![0; PIECE]);
    loop {
        match file.read(&mut piece)? {
            0 => return Ok(hash.finalize().into()),
            count => hash.update(piece.get(..count).unwrap_or_default()),
        }
    }
}

fn names(conn: &Connection) -> rusqlite::Result<HashSet<String>> {
    let mut statement = conn.prepare("SELECT file FROM raw WHERE file IS NOT NULL")?;
    statement.query_map([], |row| row.get(0))?.collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_large_mails_become_files() {
        let dir = tempfile::tempdir().expect("a folder");
        let spool = Spool::open(dir.path()).expect("made");
        let mails = vec![Bytes::from_static(b"1234"), Bytes::from_static(b"12345")];
        let prepared = spool.prepare(mails, 4).expect("written");
        assert!(matches!(&prepared[0], Spooled::Row(raw) if &raw[..] == b"1234"));
        let Spooled::File { name, size: 5 } = &prepared[1] else { panic!("{prepared:?}") };
        let sha256 = Sha256::digest(b"12345");
        let path = spool.check(name, &sha256).expect("read").expect("it is that mail");
        assert_eq!(std::fs::read(path).expect("read"), b"12345");
        assert_eq!(spool.check(name, b"other").expect("read"), None);
        spool.unlink(name);
        assert_eq!(spool.check(name, &sha256).expect("looked for"), None);
    }
}
