//! The durable queue: the only place where the two loops meet. Only this module writes state; every move is one guarded
//! statement. Never parses a mail, never talks to a mail server or the API.
//!
//! SQLite on a local disk (never a network file system): one writer thread with group commit (`writer.rs`), a few readers
//! (`readers.rs`), raw mail as rows or files (`spool.rs`), one owner (`lock.rs`). The moves stand in [`state`], the
//! tables in `schema.rs`.

pub mod item;
pub mod state;

mod claim;
mod entry;
mod error;
mod file;
mod incoming;
mod intake;
mod leftover;
mod lock;
mod operate;
mod readers;
mod recovery;
mod schema;
mod set_back;
mod spool;
mod sql;
mod tenant;
mod writer;

use std::collections::BTreeMap;
use std::fs::DirBuilder;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use rusqlite::Connection;
use tokio::sync::watch;

pub use error::Error;
pub use incoming::{Incoming, Inlet};
pub use item::{
    Accepted, Arrival, Batch, Claim, Copied, Disposal, End, Entry, Filter, FolderKey, FolderRecord, Identity, Item,
    Novelty, Recovery, Room, StateNumbers, Turn, Unfetched,
};
pub use operate::Operated;
pub use spool::Raw;
pub use state::{Operation, State};

use self::intake::Origin;
use self::readers::Readers;
use self::spool::Spool;
use self::writer::{Signals, Tx, Writer};
use crate::clock::{Clock, UtcMillis};
use crate::config;
use crate::ids::{MailboxName, QueueId, TenantName, Uid, UidValidity};
use crate::message::Depth;
use crate::telemetry::progress::Progress;
use crate::uids::UidSet;

/// The database within the store's folder.
const DATABASE: &str = "mailbridge.db";
/// Rows that one job of a long piece of work changes, so that others get their turn.
const PORTION: u32 = 500;

/// A handle to the store. Clones are the same store.
#[derive(Debug, Clone)]
pub struct Queue {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    writer: Option<Writer>,
    readers: Arc<Readers>,
    spool: Arc<Spool>,
    signals: Arc<Signals>,
    clock: Clock,
    options: Mutex<config::Store>,
    dir: PathBuf,
    lock_path: PathBuf,
    /// The database's file, as it was opened.
    file: Option<file::Identity>,
}

impl Queue {
    /// Opens the store in `dir` (created when missing), takes its lock, migrates it, and recovers what a dead owner left:
    /// a claimed mail that was not being written is `Queued` again, one that was is `Deferred` with `verify`; after a delay
    /// from `crash_strikes` such crashes on, and `Failed` in the end.
    ///
    /// # Errors
    /// [`Error::Locked`] when another daemon has it, [`Error::Newer`], [`Error::Damaged`], or what the disk said.
    pub fn open(
        dir: &Path,
        options: &config::Store,
        crash_strikes: u32,
        clock: Clock,
        progress: Progress,
    ) -> Result<(Self, Recovery), Error> {
        create_private_dir(dir)?;
        let lock = lock::take(dir)?;
        let database = dir.join(DATABASE);
        file::create(&database)?;
        let spool = Arc::new(Spool::open(dir)?);
        let mut conn = Connection::open(&database).map_err(Error::database("opening the store"))?;
        // Before anything is set up: what is not ours, or newer, stays as it is to the last byte.
        schema::version(&conn, &database, schema::STEPS.len())?;
        schema::prepare(&conn).map_err(|error| schema::judge(error, &database))?;
        let migrated_from = schema::migrate(&mut conn, &database, schema::STEPS)?;
        let recovery = recovery::recover(&mut conn, clock.now(), crash_strikes)?;
        let orphans = spool.remove_orphans(&conn)?;
        let signals = Arc::new(signals(&conn)?);
        let (shared, telling) = (Arc::clone(&spool), Arc::clone(&signals));
        let writer = Writer::start(conn, lock, shared, telling, clock.clone(), progress)
            .map_err(Error::file("starting the writer of", dir))?;
        let readers = Arc::new(Readers::live(&database));
        let queue = Self::assemble(dir, Some(writer), readers, spool, signals, clock, options.clone());
        Ok((queue, Recovery { migrated_from, orphans, ..recovery }))
    }

    /// Opens the store of a stopped daemon for reading; makes no file and takes no lock.
    ///
    /// # Errors
    /// As [`Self::open`], and when there is no store.
    pub fn open_read_only(dir: &Path, clock: Clock) -> Result<Self, Error> {
        let database = dir.join(DATABASE);
        std::fs::metadata(&database).map_err(Error::file("opening the store", &database))?;
        let readers = Arc::new(Readers::stopped(&database));
        let conn = readers.open().map_err(|error| schema::judge(error, &database))?;
        schema::version(&conn, &database, schema::STEPS.len())?;
        let signals = Arc::new(signals(&conn)?);
        let spool = Arc::new(Spool::at(dir));
        Ok(Self::assemble(dir, None, readers, spool, signals, clock, config::Store::default()))
    }

    fn assemble(
        dir: &Path,
        writer: Option<Writer>,
        readers: Arc<Readers>,
        spool: Arc<Spool>,
        signals: Arc<Signals>,
        clock: Clock,
        options: config::Store,
    ) -> Self {
        let (dir, lock_path, file) = (dir.to_owned(), lock::path(dir), file::Identity::of(&dir.join(DATABASE)));
        let options = Mutex::new(options);
        Self { inner: Arc::new(Inner { writer, readers, spool, signals, clock, options, dir, lock_path, file }) }
    }

    /// From now on these options hold (all but the path).
    pub fn reconfigure(&self, options: &config::Store) {
        options.clone_into(&mut self.inner.options.lock().unwrap_or_else(PoisonError::into_inner));
    }

    /// Commits what waits and ends the writer. Later calls fail with [`Error::Closed`].
    pub async fn close(&self) {
        // The readers first: the last connection folds the log of changes into the database, and only the writer can.
        self.inner.readers.close().await;
        if let Some(writer) = &self.inner.writer {
            writer.close().await;
        }
    }

    // ── intake ──

    /// Our record of the folder; `None` before its first select.
    ///
    /// # Errors
    /// When the database cannot be read, as for all calls that only read.
    pub async fn folder(&self, key: &FolderKey) -> Result<Option<FolderRecord>, Error> {
        let key = key.clone();
        self.read("reading the folder's record", move |conn| intake::folder(conn, &key)).await
    }

    /// Stores our record of the folder.
    ///
    /// # Errors
    /// When it could not be made durable: then nothing was changed, as for all calls that write.
    pub async fn set_folder(&self, key: &FolderKey, record: &FolderRecord) -> Result<(), Error> {
        let (key, record) = (key.clone(), record.clone());
        self.write("storing the folder's record", move |tx| intake::set_folder(tx, &key, &record)).await
    }

    /// The administrator says go: `start_uids` of the mailbox's folders are taken from now on. How many there are.
    ///
    /// # Errors
    /// As [`Self::set_folder`].
    pub async fn release_start(&self, mailbox: &MailboxName) -> Result<u64, Error> {
        let mailbox = mailbox.clone();
        self.write("releasing old mail", move |tx| intake::release_start(tx, &mailbox)).await
    }

    /// The UIDs that have a row (but not those whose row waits for its raw mail).
    ///
    /// # Errors
    /// As [`Self::folder`].
    pub async fn accounted(&self, key: &FolderKey, uidvalidity: UidValidity) -> Result<UidSet, Error> {
        let key = key.clone();
        self.read("listing the known uids", move |conn| intake::accounted(conn, &key, uidvalidity)).await
    }

    /// Makes the batch durable, all of it or nothing, together with the cursor. Returns after the commit. Ids rise in the
    /// order of the arrivals.
    ///
    /// # Errors
    /// As [`Self::set_folder`]; [`Error::is_no_space`] tells a full disk.
    pub async fn accept(&self, batch: Batch) -> Result<Vec<Accepted>, Error> {
        let Batch { key, uidvalidity, tenant, cursor, rebind, arrivals } = batch;
        let spool = Arc::clone(&self.inner.spool);
        let above = self.options().spool_above.0;
        let mails = blocking(move || intake::prepare(&spool, arrivals, above)).await?;
        let origin = Origin { key, uidvalidity, tenant, cursor, rebind };
        self.write("storing mail", move |tx| intake::accept(tx, &origin, mails)).await
    }

    /// One more failed fetch of a UID (ruling 9). At `limit` strikes it gets a row without raw mail: `Failed`, class
    /// `unfetchable`; its id is returned. `queue retry` makes it be fetched again.
    ///
    /// # Errors
    /// As [`Self::set_folder`].
    pub async fn unfetchable(
        &self,
        key: &FolderKey,
        uidvalidity: UidValidity,
        uid: Uid,
        tenant: &TenantName,
        error: &str,
        limit: u32,
    ) -> Result<Option<QueueId>, Error> {
        let (key, tenant, error) = (key.clone(), tenant.clone(), error.to_owned());
        let origin = Origin { key, uidvalidity, tenant, cursor: None, rebind: false };
        let job = move |tx: &mut Tx<'_>| intake::unfetchable(tx, &origin, uid, &error, limit);
        self.write("counting a failed fetch", job).await
    }

    // ── delivery ──

    /// Claims at most `limit` due mails of the tenant, oldest first.
    ///
    /// # Errors
    /// As [`Self::set_folder`].
    pub async fn claim(&self, tenant: &TenantName, limit: usize) -> Result<Vec<Item>, Error> {
        let tenant = tenant.clone();
        self.write("claiming mail", move |tx| claim::claim(tx, &tenant, limit)).await
    }

    /// When the next mail of the tenant is due (now or earlier, if one is ready).
    ///
    /// # Errors
    /// As [`Self::folder`].
    pub async fn next_due(&self, tenant: &TenantName) -> Result<Option<UtcMillis>, Error> {
        let tenant = tenant.clone();
        self.read("looking for due mail", move |conn| claim::next_due(conn, &tenant)).await
    }

    /// A worker died on it: one strike, and the depth to read it at from now on. The number of strikes; `None` when the
    /// claim no longer holds.
    ///
    /// # Errors
    /// As [`Self::set_folder`].
    pub async fn strike(&self, claim: Claim, depth: Depth) -> Result<Option<u32>, Error> {
        self.write("counting a strike", move |tx| claim::strike(tx, claim, depth)).await
    }

    /// Stores the identity; then, in the same transaction, says whether it is this mail's turn. [`Turn::Write`] has
    /// counted the attempt, stored `retry_at` and marked the mail as being written (`verify`). `None` when the claim no
    /// longer holds.
    ///
    /// # Errors
    /// As [`Self::set_folder`]: nothing may be written then.
    pub async fn begin_write(
        &self,
        claim: Claim,
        identity: Identity,
        retry_at: UtcMillis,
    ) -> Result<Option<Turn>, Error> {
        let marks = identity.into();
        self.write("recording an attempt", move |tx| claim::begin_write(tx, claim, &marks, retry_at)).await
    }

    /// Ends the work on a claimed mail. False when the claim no longer holds and nothing was changed.
    ///
    /// # Errors
    /// As [`Self::set_folder`]: the mail is still claimed then, and the same call may be made again.
    pub async fn finish(&self, claim: Claim, end: End) -> Result<bool, Error> {
        self.write("recording an outcome", move |tx| claim::finish(tx, claim, end)).await
    }

    /// The tenant is back: its deferred mails that do not need a look-up are due now. How many.
    ///
    /// # Errors
    /// As [`Self::set_folder`]; some mails may have been released then.
    pub async fn release_deferred(&self, tenant: &TenantName) -> Result<u64, Error> {
        self.portions("releasing deferred mail", || {
            let tenant = tenant.clone();
            move |tx: &mut Tx<'_>| claim::release_deferred(tx, &tenant, PORTION)
        })
        .await
    }

    /// Unfinished mails (but not the held ones) accepted longer than `age` ago that were not reported before; they count
    /// as reported now. At most 100 at one time.
    ///
    /// # Errors
    /// As [`Self::set_folder`].
    pub async fn take_delayed(&self, tenant: &TenantName, age: Duration) -> Result<Vec<Entry>, Error> {
        let tenant = tenant.clone();
        self.write("looking for delayed mail", move |tx| entry::take_delayed(tx, &tenant, tx.now.minus(age))).await
    }

    // ── disposition ──

    /// Finished mails of the folder whose action is due, oldest first.
    ///
    /// # Errors
    /// As [`Self::folder`].
    pub async fn undisposed(
        &self,
        key: &FolderKey,
        uidvalidity: UidValidity,
        limit: usize,
    ) -> Result<Vec<Disposal>, Error> {
        let key = key.clone();
        self.read("looking for due actions", move |conn| intake::undisposed(conn, &key, uidvalidity, limit)).await
    }

    /// The action is done (or cannot be done and never will): `how` is a word for the history.
    ///
    /// # Errors
    /// As [`Self::set_folder`].
    pub async fn disposed(&self, ids: &[QueueId], how: &'static str) -> Result<(), Error> {
        let ids = ids.to_vec();
        self.write("recording an action", move |tx| intake::disposed(tx, &ids, how)).await
    }

    // ── operators ──

    /// The mails that the filter means, oldest first.
    ///
    /// # Errors
    /// As [`Self::folder`].
    pub async fn list(&self, filter: &Filter) -> Result<Vec<Entry>, Error> {
        let filter = filter.clone();
        self.read("listing mail", move |conn| entry::list(conn, &filter)).await
    }

    /// Does it to each of the mails, where it is allowed.
    ///
    /// # Errors
    /// As [`Self::set_folder`].
    pub async fn operate(&self, operation: Operation, ids: &[QueueId]) -> Result<Vec<(QueueId, Operated)>, Error> {
        let ids = ids.to_vec();
        self.write("changing mail", move |tx| operate::operate(tx, operation, &ids)).await
    }

    /// Numbers of mails and bytes, for each state that has any.
    ///
    /// # Errors
    /// As [`Self::folder`].
    pub async fn stats(&self) -> Result<BTreeMap<State, StateNumbers>, Error> {
        self.read("counting mail", entry::stats).await
    }

    /// Lets go of raw mail that is kept no longer: of mails that ended well (or that somebody dropped) after `keep_raw`,
    /// of dead letters after `dead_letter_keep` (zero: never). How many mails.
    ///
    /// # Errors
    /// As [`Self::set_folder`]; some may have been let go then.
    pub async fn purge(&self, keep_raw: Duration, dead_letter_keep: Duration) -> Result<u64, Error> {
        let now = self.inner.clock.now();
        let mut purged = 0_u64;
        for (state, before) in operate::purgeable(now, keep_raw, dead_letter_keep) {
            let job = || move |tx: &mut Tx<'_>| operate::purge(tx, state, before, PORTION);
            purged = purged.saturating_add(self.portions("letting go of raw mail", job).await?);
        }
        self.write("giving back room", |tx| operate::give_back(tx)).await?;
        Ok(purged)
    }

    // ── hints ──

    /// Changes whenever there may be work for delivery. A hint only: look at the queue with a time limit as well.
    #[must_use]
    pub fn work(&self) -> watch::Receiver<u64> {
        self.inner.signals.work.subscribe()
    }

    /// Changes whenever a mail has reached an end state, or a mailbox has something to look at again.
    #[must_use]
    pub fn outcomes(&self) -> watch::Receiver<u64> {
        self.inner.signals.outcomes.subscribe()
    }

    /// The lock file's path, for messages.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.inner.lock_path
    }

    fn options(&self) -> config::Store {
        self.inner.options.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    async fn read<T, F>(&self, doing: &'static str, query: F) -> Result<T, Error>
    where
        T: Send + 'static,
        F: FnOnce(&Connection) -> rusqlite::Result<T> + Send + 'static,
    {
        self.inner.readers.read(doing, query).await
    }

    async fn write<T, F>(&self, doing: &'static str, work: F) -> Result<T, Error>
    where
        T: Send + 'static,
        F: FnOnce(&mut Tx<'_>) -> rusqlite::Result<T> + Send + 'static,
    {
        self.inner.writer.as_ref().ok_or(Error::ReadOnly)?.submit(doing, work).await
    }

    /// Repeats a job that changes at most [`PORTION`] rows until it has nothing left to do; how many it changed.
    async fn portions<F>(&self, doing: &'static str, job: impl Fn() -> F) -> Result<u64, Error>
    where
        F: FnOnce(&mut Tx<'_>) -> rusqlite::Result<usize> + Send + 'static,
    {
        let mut total = 0_u64;
        loop {
            let changed = u64::try_from(self.write(doing, job()).await?).unwrap_or(u64::MAX);
            total = total.saturating_add(changed);
            if changed < u64::from(PORTION) {
                return Ok(total);
            }
        }
    }
}

fn signals(conn: &Connection) -> Result<Signals, Error> {
    let signals = Signals::default();
    let raw_bytes = entry::raw_bytes(conn).map_err(Error::database("measuring the store"))?;
    signals.raw_bytes.store(raw_bytes, Ordering::Relaxed);
    Ok(signals)
}

/// Does something that waits for the disk on a thread for it.
async fn blocking<T: Send + 'static>(work: impl FnOnce() -> Result<T, Error> + Send + 'static) -> Result<T, Error> {
    // An error means that the runtime is going down.
    tokio::task::spawn_blocking(work).await.map_err(|_| Error::Closed)?
}

/// Makes a folder that only its owner may enter, if there is none.
fn create_private_dir(path: &Path) -> Result<(), Error> {
    DirBuilder::new().recursive(true).mode(0o700).create(path).map_err(Error::file("making the folder", path))
}
