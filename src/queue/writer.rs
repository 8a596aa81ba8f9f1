//! The one writer: a thread with the only connection that writes. It takes the jobs that wait, does them in one
//! transaction (each in a savepoint, so that one that fails takes back only its own work), commits once for all of them,
//! and only then answers. Never answers before the commit; a commit that fails is the answer to every job of the group.

use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use rusqlite::{Connection, Params};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, oneshot, watch};

use super::error::Error;
use super::lock::Lock;
use super::spool::Spool;
use crate::clock::{Clock, UtcMillis};
use crate::telemetry::progress::Progress;

/// Jobs that may wait; more callers wait before the door.
const WAITING: usize = 1024;
/// Jobs of one transaction.
const GROUP: usize = 256;
/// For how long a group of more than one job waits for the next: a commit writes whole pages, and the jobs of mails that are
/// under way together mostly change the same ones. A job that comes alone never waits.
const LINGER: Duration = Duration::from_micros(500);
/// The name under which the thread reports that it is alive, how often, and how late it may be (a slow disk, a
/// checkpoint, another process that holds the write lock for as long as `busy_timeout`).
const BEAT: &str = "store writer";
const BEAT_EVERY: Duration = Duration::from_secs(5);
const BEAT_WITHIN: Duration = Duration::from_secs(60);

/// What a job works with.
pub(super) struct Tx<'c> {
    conn: &'c Connection,
    /// The time of day.
    pub(super) now: UtcMillis,
    /// What to do once the job is committed.
    pub(super) effects: Effects,
}

/// What follows a commit; forgotten when the job is taken back.
#[derive(Debug, Default)]
pub(super) struct Effects {
    /// There may be work for delivery.
    pub(super) work: bool,
    /// A mail has reached an end state, or a mailbox has something to look at.
    pub(super) outcomes: bool,
    /// Raw mail that came, less what went.
    pub(super) raw_bytes: i64,
    /// Spool files that no row names any longer.
    pub(super) unlink: Vec<String>,
}

/// What the writer tells everybody.
#[derive(Debug, Default)]
pub(super) struct Signals {
    pub(super) work: watch::Sender<u64>,
    pub(super) outcomes: watch::Sender<u64>,
    /// Bytes of all raw mail.
    pub(super) raw_bytes: AtomicI64,
}

/// The way to the writer.
#[derive(Debug)]
pub(super) struct Writer {
    jobs: SyncSender<Order>,
    places: Arc<Semaphore>,
    ended: Mutex<Option<oneshot::Receiver<()>>>,
}

enum Order {
    Do(Box<dyn Job>),
    End,
}

/// A job whose type of answer is forgotten, so that jobs of all kinds wait in one line.
trait Job: Send {
    /// Does the work. After an error nothing of it is kept.
    fn run(&mut self, tx: &mut Tx<'_>) -> rusqlite::Result<()>;
    /// Tells the caller: the job's own result, or why the group as a whole failed.
    fn answer(self: Box<Self>, committed: Result<(), rusqlite::Error>);
}

struct Task<T, F> {
    doing: &'static str,
    work: Option<F>,
    result: Option<rusqlite::Result<T>>,
    reply: oneshot::Sender<Result<T, Error>>,
    _place: OwnedSemaphorePermit,
}

struct Thread {
    conn: Connection,
    jobs: Receiver<Order>,
    spool: Arc<Spool>,
    signals: Arc<Signals>,
    clock: Clock,
    progress: Progress,
    // Last, so that the lock is held for as long as the connection.
    _lock: Lock,
}

impl Tx<'_> {
    /// Runs a statement that is kept prepared; how many rows it changed.
    pub(super) fn execute(&self, sql: &str, params: impl Params) -> rusqlite::Result<usize> {
        self.conn.prepare_cached(sql)?.execute(params)
    }

    /// The first row of a query that is kept prepared.
    pub(super) fn first<T>(
        &self,
        sql: &str,
        params: impl Params,
        read: impl FnOnce(&rusqlite::Row<'_>) -> rusqlite::Result<T>,
    ) -> rusqlite::Result<Option<T>> {
        let mut statement = self.conn.prepare_cached(sql)?;
        let mut rows = statement.query(params)?;
        rows.next()?.map(read).transpose()
    }

    /// All rows of a query (or of a change with RETURNING) that is kept prepared.
    pub(super) fn all<T>(
        &self,
        sql: &str,
        params: impl Params,
        read: impl FnMut(&rusqlite::Row<'_>) -> rusqlite::Result<T>,
    ) -> rusqlite::Result<Vec<T>> {
        self.conn.prepare_cached(sql)?.query_map(params, read)?.collect()
    }

    /// The id of the row that was inserted last.
    pub(super) fn last_insert_rowid(&self) -> i64 {
        self.conn.last_insert_rowid()
    }
}

impl Effects {
    fn add(&mut self, mut other: Self) {
        self.work |= other.work;
        self.outcomes |= other.outcomes;
        self.raw_bytes = self.raw_bytes.saturating_add(other.raw_bytes);
        self.unlink.append(&mut other.unlink);
    }
}

impl Writer {
    /// Starts the thread.
    pub(super) fn start(
        conn: Connection,
        lock: Lock,
        spool: Arc<Spool>,
        signals: Arc<Signals>,
        clock: Clock,
        progress: Progress,
    ) -> std::io::Result<Self> {
        let (jobs, waiting) = sync_channel(WAITING.saturating_add(1));
        let (end, ended) = oneshot::channel();
        let thread = Thread { conn, jobs: waiting, spool, signals, clock, progress, _lock: lock };
        thread.progress.beat(BEAT, BEAT_WITHIN);
        std::thread::Builder::new().name("store-writer".to_owned()).spawn(move || {
            thread.run();
            drop(end);
        })?;
        Ok(Self { jobs, places: Arc::new(Semaphore::new(WAITING)), ended: Mutex::new(Some(ended)) })
    }

    /// Has `work` done in a transaction; returns after the commit. The work is done even if the caller stops waiting.
    pub(super) async fn submit<T, F>(&self, doing: &'static str, work: F) -> Result<T, Error>
    where
        T: Send + 'static,
        F: FnOnce(&mut Tx<'_>) -> rusqlite::Result<T> + Send + 'static,
    {
        let place = Arc::clone(&self.places).acquire_owned().await.map_err(|_| Error::Closed)?;
        let (reply, answer) = oneshot::channel();
        let task = Task { doing, work: Some(work), result: None, reply, _place: place };
        // Never blocks: the channel has a place for every permit, and one for the end.
        self.jobs.send(Order::Do(Box::new(task))).map_err(|_| Error::Closed)?;
        answer.await.map_err(|_| Error::Closed)?
    }

    /// Lets the jobs that wait be done, and ends the thread.
    pub(super) async fn close(&self) {
        self.places.close();
        let ended = self.ended.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(ended) = ended
            && self.jobs.send(Order::End).is_ok()
        {
            // The thread never sends: its half is dropped when it is gone.
            drop(ended.await);
        }
    }
}

impl<T, F> Job for Task<T, F>
where
    T: Send,
    F: FnOnce(&mut Tx<'_>) -> rusqlite::Result<T> + Send,
{
    fn run(&mut self, tx: &mut Tx<'_>) -> rusqlite::Result<()> {
        self.result = self.work.take().map(|work| work(tx));
        match &self.result {
            Some(Err(error)) => Err(again(error)),
            _ => Ok(()),
        }
    }

    fn answer(self: Box<Self>, committed: Result<(), rusqlite::Error>) {
        let answer = match (committed, self.result) {
            (Ok(()), Some(result)) => result.map_err(Error::database(self.doing)),
            (Ok(()), None) => Err(Error::Closed),
            (Err(source), _) => Err(Error::Database { doing: "committing to the store", source }),
        };
        // Nobody may be waiting any longer.
        drop(self.reply.send(answer));
    }
}

impl Thread {
    fn run(self) {
        let mut go_on = true;
        while go_on {
            self.progress.beat(BEAT, BEAT_WITHIN);
            go_on = match self.jobs.recv_timeout(BEAT_EVERY) {
                Ok(Order::Do(first)) => self.group(first),
                Err(RecvTimeoutError::Timeout) => true,
                Ok(Order::End) | Err(RecvTimeoutError::Disconnected) => false,
            };
        }
        self.progress.end_beat(BEAT);
    }

    /// One transaction for the jobs that wait. Whether to go on.
    fn group(&self, first: Box<dyn Job>) -> bool {
        if let Err(error) = self.statement("BEGIN IMMEDIATE") {
            first.answer(Err(error));
            return true;
        }
        let mut effects = Effects::default();
        let mut done = Vec::new();
        let mut go_on = true;
        let mut broken = None;
        let (mut next, begun) = (Some(first), Instant::now());
        while let Some(mut job) = next.take() {
            broken = self.run_one(job.as_mut(), &mut effects).err();
            done.push(job);
            if broken.is_some() || done.len() >= GROUP {
                break;
            }
            match self.next_of_group(done.len(), begun) {
                Some(Order::Do(job)) => next = Some(job),
                Some(Order::End) => go_on = false,
                None => {}
            }
        }
        let committed = broken.map_or_else(|| self.statement("COMMIT"), Err);
        self.answer(committed, done, &effects);
        go_on
    }

    /// The next job of a group that has so many, if there is one soon enough.
    fn next_of_group(&self, jobs: usize, begun: Instant) -> Option<Order> {
        let waiting = self.jobs.try_recv().ok();
        if waiting.is_some() || jobs < 2 {
            return waiting;
        }
        self.jobs.recv_timeout(LINGER.saturating_sub(begun.elapsed())).ok()
    }

    /// One job in a savepoint. An error means that the whole transaction is lost.
    fn run_one(&self, job: &mut dyn Job, effects: &mut Effects) -> rusqlite::Result<()> {
        self.statement("SAVEPOINT job")?;
        let mut tx = Tx { conn: &self.conn, now: self.clock.now(), effects: Effects::default() };
        match job.run(&mut tx) {
            Ok(()) => effects.add(tx.effects),
            // The database has taken back the whole transaction by itself (disk full, I/O error).
            Err(error) if self.conn.is_autocommit() => return Err(error),
            Err(_) => self.statement("ROLLBACK TO job")?,
        }
        self.statement("RELEASE job")
    }

    fn answer(&self, committed: rusqlite::Result<()>, done: Vec<Box<dyn Job>>, effects: &Effects) {
        match committed {
            Ok(()) => {
                self.apply(effects);
                done.into_iter().for_each(|job| job.answer(Ok(())));
            }
            Err(error) => {
                if !self.conn.is_autocommit() {
                    // If this fails as well, so will the next BEGIN, and say so.
                    drop(self.statement("ROLLBACK"));
                }
                done.into_iter().for_each(|job| job.answer(Err(again(&error))));
            }
        }
    }

    fn apply(&self, effects: &Effects) {
        effects.unlink.iter().for_each(|file| self.spool.unlink(file));
        self.signals.raw_bytes.fetch_add(effects.raw_bytes, Ordering::Relaxed);
        if effects.work {
            self.signals.work.send_modify(|n| *n = n.wrapping_add(1));
        }
        if effects.outcomes {
            self.signals.outcomes.send_modify(|n| *n = n.wrapping_add(1));
        }
    }

    fn statement(&self, sql: &str) -> rusqlite::Result<()> {
        self.conn.prepare_cached(sql)?.execute([]).map(drop)
    }
}

/// The same error once more: one for each job of the group.
fn again(error: &rusqlite::Error) -> rusqlite::Error {
    let unnamed = || rusqlite::ffi::Error::new(rusqlite::ffi::SQLITE_ERROR);
    let code = error.sqlite_error().copied().unwrap_or_else(unnamed);
    rusqlite::Error::SqliteFailure(code, Some(error.to_string()))
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc;

    use super::*;

    struct Bench {
        writer: Writer,
        signals: Arc<Signals>,
        progress: Progress,
        _dir: tempfile::TempDir,
    }

    fn bench() -> Bench {
        let dir = tempfile::tempdir().expect("a folder");
        let conn = Connection::open(dir.path().join("db")).expect("a database");
        super::super::schema::prepare(&conn).expect("prepared");
        conn.execute_batch("CREATE TABLE t (n INTEGER NOT NULL UNIQUE, b BLOB)").expect("made");
        let lock = super::super::lock::take(dir.path()).expect("free");
        let spool = Arc::new(Spool::open(dir.path()).expect("made"));
        let (signals, progress) = (Arc::new(Signals::default()), Progress::new());
        let clock = Clock::fixed(UtcMillis(1));
        let writer = Writer::start(conn, lock, spool, Arc::clone(&signals), clock, progress.clone()).expect("started");
        Bench { writer, signals, progress, _dir: dir }
    }

    impl Bench {
        async fn insert(&self, n: i64, bytes: i64) -> Result<(), Error> {
            let work = move |tx: &mut Tx<'_>| {
                tx.effects.raw_bytes = bytes;
                tx.execute("INSERT INTO t (n, b) VALUES (?1, NULL)", [n.saturating_add(100)])?;
                tx.execute("INSERT INTO t (n, b) VALUES (?1, zeroblob(?2))", [n, bytes]).map(drop)
            };
            self.writer.submit("inserting", work).await
        }

        async fn stored(&self) -> Vec<i64> {
            let read = |tx: &mut Tx<'_>| tx.all("SELECT n FROM t WHERE n < 100 ORDER BY n", [], |row| row.get(0));
            self.writer.submit("reading", read).await.expect("read")
        }

        async fn max_pages(&self, more: i64) {
            let limit = move |tx: &mut Tx<'_>| {
                let pages: i64 = tx.conn.query_row("PRAGMA page_count", [], |row| row.get(0))?;
                tx.conn.query_row(&format!("PRAGMA max_page_count = {}", pages.saturating_add(more)), [], |_| Ok(()))
            };
            self.writer.submit("limiting", limit).await.expect("limited");
        }

        /// Keeps the writer busy until the returned sender is dropped, so that what is submitted meanwhile is one group.
        fn busy(&self) -> (mpsc::Sender<()>, impl Future<Output = Result<(), Error>>) {
            let (go, wait) = mpsc::channel::<()>();
            let busy = self.writer.submit("waiting", move |_| {
                wait.recv().unwrap_or_default();
                Ok(())
            });
            (go, busy)
        }
    }

    #[tokio::test]
    async fn a_job_that_fails_fails_alone() {
        let bench = bench();
        let (go, busy) = bench.busy();
        let release = async move { drop(go) };
        let (_, first, twice, other, ()) =
            tokio::join!(busy, bench.insert(1, 10), bench.insert(1, 20), bench.insert(2, 40), release);
        first.expect("stored");
        let error = twice.expect_err("n is unique").to_string();
        assert!(error.starts_with("inserting: UNIQUE constraint failed"), "{error}");
        other.expect("stored");
        assert_eq!(bench.stored().await, [1, 2]);
        assert_eq!(bench.signals.raw_bytes.load(Ordering::Relaxed), 50);
    }

    #[tokio::test]
    async fn a_full_disk_acknowledges_nothing_and_passes() {
        let bench = bench();
        bench.insert(1, 10).await.expect("room");
        bench.max_pages(3).await;
        let (go, busy) = bench.busy();
        let release = async move { drop(go) };
        let (_, small, large, after, ()) =
            tokio::join!(busy, bench.insert(2, 10), bench.insert(3, 1_000_000), bench.insert(4, 10), release);
        let error = large.expect_err("no room");
        assert!(error.is_no_space(), "{error}");
        let mut expected = vec![1];
        expected.extend([(2, small), (4, after)].into_iter().filter(|(_, answer)| answer.is_ok()).map(|(n, _)| n));
        assert_eq!(bench.stored().await, expected, "what was acknowledged is there, and nothing else");
        bench.max_pages(10_000).await;
        bench.insert(3, 1_000_000).await.expect("room again");
    }

    #[tokio::test]
    async fn what_waits_at_the_end_is_done_and_what_comes_later_is_refused() {
        let bench = bench();
        let (go, busy) = bench.busy();
        let release = async move { drop(go) };
        let (_, waiting, (), ()) = tokio::join!(busy, bench.insert(1, 10), bench.writer.close(), release);
        waiting.expect("done");
        assert!(matches!(bench.insert(2, 10).await, Err(Error::Closed)));
        assert!(bench.progress.overdue().is_empty());
        bench.writer.close().await;
    }
}
