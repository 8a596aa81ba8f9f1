//! A few connections that only read: they never wait for the writer, nor it for them. The runtime's threads for blocking
//! work use them, so no task of the runtime waits for the disk.

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use rusqlite::config::DbConfig;
use rusqlite::{Connection, OpenFlags};
use tokio::sync::Semaphore;

use super::error::Error;

/// Reads at one time.
const CONNECTIONS: u32 = 4;

/// The reading connections, opened when they are needed.
#[derive(Debug)]
pub(super) struct Readers {
    uri: String,
    idle: Mutex<Vec<Connection>>,
    places: Arc<Semaphore>,
}

impl Readers {
    /// For the store that a daemon has open.
    pub(super) fn live(database: &Path) -> Self {
        Self::new(uri(database, ""))
    }

    /// For the store of a stopped daemon: makes no file. Without a log of changes (a clean stop) nothing but the
    /// database itself is touched; with one (after a crash) its index is read, or kept in memory when it is unusable;
    /// only when the index is missing does SQLite make one, and gives it to the database's owner.
    pub(super) fn stopped(database: &Path) -> Self {
        let beside = |suffix: &str| {
            let mut path = database.as_os_str().to_owned();
            path.push(suffix);
            PathBuf::from(path)
        };
        let log = std::fs::metadata(beside("-wal")).is_ok_and(|log| log.len() > 0);
        Self::new(match (log, beside("-shm").exists()) {
            (false, _) => uri(database, "?immutable=1"),
            (true, true) => uri(database, "?readonly_shm=1"),
            (true, false) => uri(database, ""),
        })
    }

    fn new(uri: String) -> Self {
        let places = Arc::new(Semaphore::new(usize::try_from(CONNECTIONS).unwrap_or(1)));
        Self { uri, idle: Mutex::new(Vec::new()), places }
    }

    /// Opens one connection.
    pub(super) fn open(&self) -> rusqlite::Result<Connection> {
        let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_URI | OpenFlags::SQLITE_OPEN_NO_MUTEX;
        let conn = Connection::open_with_flags(&self.uri, flags)?;
        conn.execute_batch("PRAGMA busy_timeout = 10000; PRAGMA query_only = ON; PRAGMA cache_size = -4096;")?;
        conn.set_db_config(DbConfig::SQLITE_DBCONFIG_ENABLE_QPSG, true)?;
        Ok(conn)
    }

    /// Runs `query` on a thread for blocking work.
    pub(super) async fn read<T, F>(self: &Arc<Self>, doing: &'static str, query: F) -> Result<T, Error>
    where
        T: Send + 'static,
        F: FnOnce(&Connection) -> rusqlite::Result<T> + Send + 'static,
    {
        let place = Arc::clone(&self.places).acquire_owned().await.map_err(|_| Error::Closed)?;
        let readers = Arc::clone(self);
        let reading = tokio::task::spawn_blocking(move || {
            let conn = readers.take()?;
            let result = query(&conn);
            readers.idle.lock().unwrap_or_else(PoisonError::into_inner).push(conn);
            // Only now, so that whoever gets the place finds the connection.
            drop(place);
            result
        });
        reading.await.map_err(|_| Error::Closed)?.map_err(Error::database(doing))
    }

    /// Waits for the reads under way and closes the connections.
    pub(super) async fn close(&self) {
        // An error means that somebody else has closed already.
        drop(self.places.acquire_many(CONNECTIONS).await);
        self.places.close();
        self.idle.lock().unwrap_or_else(PoisonError::into_inner).clear();
    }

    fn take(&self) -> rusqlite::Result<Connection> {
        let idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner).pop();
        idle.map_or_else(|| self.open(), Ok)
    }
}

/// A file name as a `file:` URI (<https://www.sqlite.org/uri.html>).
fn uri(path: &Path, query: &str) -> String {
    let path = path.display().to_string().replace('%', "%25").replace('?', "%3f").replace('#', "%23");
    format!("file:{path}{query}")
}
