//! The control socket: a Unix socket that only the daemon's own user (and root) may open. One request a connection.
//!
//! Every connection has bounds and deadlines; connections beyond the bound wait in the listener's backlog. Who asked for
//! a change is logged (`admin.action`) with the peer's user id as the kernel knows it.

use std::fs;
use std::io;
use std::os::unix::fs::{DirBuilderExt as _, FileTypeExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use futures_util::StreamExt as _;
use futures_util::stream::FuturesUnordered;
use serde::Serialize;
use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader, BufWriter};
use tokio::net::unix::OwnedWriteHalf;
use tokio::net::{UnixListener, UnixStream};
use tokio::sync::{mpsc, oneshot, watch};
use tokio::time::timeout;

use crate::admin::protocol::{Answer, Done, MAX_IDS, MAX_REQUEST, Reason, Refusal, Request, Started, Verdict};
use crate::admin::status::{Identity, Status};
use crate::clock::Clock;
use crate::config::Config;
use crate::ids::{MailboxName, QueueId};
use crate::queue::{self, Entry, Filter, Operated, Operation, Queue};
use crate::stop::{Phase, Stop};
use crate::telemetry::event;
use crate::telemetry::progress::Progress;

/// Connections served at one time.
const CONNECTIONS: usize = 16;

/// The time for the request line, and for taking each answer line.
const PEER_DEADLINE: Duration = Duration::from_secs(10);

/// The time for a whole request. Longer than a reload may take.
const REQUEST_DEADLINE: Duration = Duration::from_mins(2);

/// The wait after a failed accept (no descriptors left).
const ACCEPT_PAUSE: Duration = Duration::from_secs(1);

/// What requests look at and act on.
#[derive(Debug, Clone)]
pub struct Context {
    /// Who we are.
    pub identity: Identity,
    /// The configuration in force.
    pub config: watch::Receiver<Arc<Config>>,
    /// The queue.
    pub queue: Queue,
    /// The board.
    pub progress: Progress,
    /// The time.
    pub clock: Clock,
    /// Asks the daemon to reload and to send the verdict back.
    pub reload: mpsc::Sender<oneshot::Sender<Verdict>>,
}

/// The socket could not be made.
#[derive(Debug, thiserror::Error)]
pub enum BindError {
    /// Another daemon answers on it.
    #[error("the control socket {0} is in use by another mailbridge")]
    InUse(PathBuf),
    /// Something else has its name.
    #[error("{0} is not a socket: move it away, or name another `[control] socket`")]
    NotSocket(PathBuf),
    /// The file system refused.
    #[error("making the control socket {path}: {source}")]
    File {
        /// The socket.
        path: PathBuf,
        /// What it said.
        source: io::Error,
    },
}

/// Makes the socket at `path`, in place of one that a dead daemon left. Mode 0600; a missing folder is made with 0700.
///
/// # Errors
/// See [`BindError`].
pub fn bind(path: &Path) -> Result<UnixListener, BindError> {
    let file_error = |source| BindError::File { path: path.to_owned(), source };
    if let Some(folder) = path.parent() {
        fs::DirBuilder::new().recursive(true).mode(0o700).create(folder).map_err(file_error)?;
    }
    match fs::symlink_metadata(path) {
        Ok(found) if !found.file_type().is_socket() => return Err(BindError::NotSocket(path.to_owned())),
        Ok(_) if std::os::unix::net::UnixStream::connect(path).is_ok() => {
            return Err(BindError::InUse(path.to_owned()));
        }
        Ok(_) => fs::remove_file(path).map_err(file_error)?,
        Err(_) => {}
    }
    let listener = UnixListener::bind(path).map_err(file_error)?;
    fs::set_permissions(path, fs::Permissions::from_mode(0o600)).map_err(file_error)?;
    Ok(listener)
}

/// Serves requests until `stop` reaches [`Phase::Drain`].
pub async fn serve(listener: Arc<UnixListener>, context: Context, stop: Stop) {
    let mut connections = FuturesUnordered::new();
    loop {
        tokio::select! {
            () = stop.reached(Phase::Drain) => return,
            Some(()) = connections.next() => {}
            accepted = listener.accept(), if connections.len() < CONNECTIONS => match accepted {
                Ok((stream, _)) => connections.push(connection(stream, context.clone())),
                Err(_) => tokio::time::sleep(ACCEPT_PAUSE).await,
            },
        }
    }
}

/// One request and its answer. A peer that goes away or is late has no answer; that harms nobody else.
async fn connection(stream: UnixStream, context: Context) {
    let uid = stream.peer_cred().map_or(u32::MAX, |peer| peer.uid());
    let (reader, writer) = stream.into_split();
    let mut line = String::new();
    let mut reader = BufReader::new(reader.take(MAX_REQUEST));
    let read = timeout(PEER_DEADLINE, reader.read_line(&mut line)).await;
    if !matches!(read, Ok(Ok(length)) if length > 0) {
        return;
    }
    let mut reply = Reply { writer: BufWriter::new(writer), count: 0 };
    let worked = timeout(REQUEST_DEADLINE, context.answer(&line, uid, &mut reply)).await;
    let end = match worked {
        Ok(Ok(())) => Answer::Ok { count: reply.count },
        Ok(Err(refusal)) => Answer::Error(refusal),
        Err(_) => Answer::Error(refuse(Reason::Unavailable, "the daemon took too long to answer; look at its log")),
    };
    // The peer may be gone: then nobody waits for the last line.
    drop(reply.line(&end).await);
    drop(reply.writer.shutdown().await);
}

/// The answer under way.
struct Reply {
    writer: BufWriter<OwnedWriteHalf>,
    count: u64,
}

impl Reply {
    async fn item<T: Serialize + Sync>(&mut self, item: &T) -> Result<(), Refusal> {
        let value = serde_json::to_value(item).map_err(|error| refuse(Reason::Store, &error.to_string()))?;
        self.count = self.count.saturating_add(1);
        self.line(&Answer::Item(value)).await.map_err(|error| refuse(Reason::Unavailable, &error.to_string()))
    }

    async fn line(&mut self, answer: &Answer) -> io::Result<()> {
        let mut line = serde_json::to_vec(answer)?;
        line.push(b'\n');
        timeout(PEER_DEADLINE, self.writer.write_all(&line)).await?
    }
}

impl Context {
    async fn answer(&self, line: &str, uid: u32, reply: &mut Reply) -> Result<(), Refusal> {
        let request = serde_json::from_str(line)
            .map_err(|error| refuse(Reason::Request, &format!("understanding the request: {error}")))?;
        match request {
            Request::Status => reply.item(&self.status().await?).await,
            Request::Reload => {
                log_action(uid, "reload", 1, "");
                reply.item(&self.reload().await?).await
            }
            Request::QueueList { filter } => self.list(&filter, reply).await,
            Request::QueueOperate { operation, ids } => self.operate(operation, &ids, uid, reply).await,
            Request::MailboxStart { mailbox } => reply.item(&self.start(&mailbox, uid).await?).await,
        }
    }

    async fn status(&self) -> Result<Status, Refusal> {
        let config = Arc::clone(&self.config.borrow());
        let now = self.clock.now();
        Status::gather(&self.identity, &config, &self.queue, &self.progress, now).await.map_err(|e| store_refusal(&e))
    }

    async fn reload(&self) -> Verdict {
        let gone = |_| refuse(Reason::Unavailable, "the daemon is about to end; nothing was reloaded");
        let (sender, verdict) = oneshot::channel();
        self.reload.send(sender).await.map_err(|_| gone(()))?;
        verdict.await.map_err(|_| gone(()))?
    }

    async fn list(&self, filter: &Filter, reply: &mut Reply) -> Result<(), Refusal> {
        for entry in self.queue.list(filter).await.map_err(|e| store_refusal(&e))? {
            reply.item(&entry).await?;
        }
        Ok(())
    }

    async fn operate(&self, operation: Operation, ids: &[QueueId], uid: u32, reply: &mut Reply) -> Result<(), Refusal> {
        if ids.is_empty() || ids.len() > MAX_IDS {
            return Err(refuse(Reason::Request, &format!("an operation takes 1 to {MAX_IDS} ids")));
        }
        let outcomes = self.queue.operate(operation, ids).await.map_err(|e| store_refusal(&e))?;
        let done: Vec<QueueId> =
            outcomes.iter().filter(|(_, outcome)| *outcome == Operated::Done).map(|(id, _)| *id).collect();
        let qids = done.iter().take(8).map(ToString::to_string).collect::<Vec<_>>().join(",");
        log_action(uid, operation.as_str(), done.len(), &qids);
        if operation == Operation::Drop && !done.is_empty() {
            self.log_dropped(done, uid).await;
        }
        for (qid, outcome) in outcomes {
            reply.item(&Done { qid, outcome }).await?;
        }
        Ok(())
    }

    /// A dropped mail has reached an end state: one `message.done` each (ruling 13).
    async fn log_dropped(&self, ids: Vec<QueueId>, uid: u32) {
        let filter = Filter { ids, states: queue::State::ALL.to_vec(), ..Filter::default() };
        for entry in self.queue.list(&filter).await.unwrap_or_default() {
            log_done(&entry, uid);
        }
    }

    async fn start(&self, mailbox: &MailboxName, uid: u32) -> Result<Started, Refusal> {
        if !self.config.borrow().mailboxes.contains_key(mailbox) {
            return Err(refuse(Reason::NotFound, &format!("there is no mailbox `{mailbox}`")));
        }
        let released = self.queue.release_start(mailbox).await.map_err(|e| store_refusal(&e))?;
        tracing::info!(
            event = event::ADMIN_ACTION, who = uid, action = "mailbox start", count = released, %mailbox,
            "An administrator acted."
        );
        Ok(Started { released })
    }
}

fn refuse(reason: Reason, text: &str) -> Refusal {
    Refusal { reason, text: text.to_owned() }
}

fn store_refusal(error: &queue::Error) -> Refusal {
    refuse(Reason::Store, &format!("{error}; nothing was changed"))
}

fn log_action(uid: u32, action: &str, count: usize, qids: &str) {
    tracing::info!(event = event::ADMIN_ACTION, who = uid, action, count, qids, "An administrator acted.");
}

fn log_done(entry: &Entry, uid: u32) {
    tracing::info!(
        event = event::MESSAGE_DONE, mailbox = %entry.mailbox, folder = %entry.folder, tenant = %entry.tenant,
        qid = %entry.qid, uidvalidity = entry.uidvalidity.0, uid = entry.uid.0, state = %entry.word,
        attempts = entry.attempts, size_bytes = entry.size_bytes, operator = uid, "Message is done."
    );
}

#[cfg(test)]
mod tests {
    use tempfile::TempDir;

    use super::*;
    use crate::admin::client::{self, Client};
    use crate::admin::protocol::Reloaded;
    use crate::config;
    use crate::ids::{Uid, UidValidity};
    use crate::queue::{Arrival, Batch, FolderKey, State};
    use crate::stop::{self, Stopper};

    /// A served socket over an own store. The daemon's half of `reload` is played by `reloads`.
    struct World {
        dir: TempDir,
        context: Context,
        reloads: mpsc::Receiver<oneshot::Sender<Verdict>>,
    }

    impl World {
        fn new() -> Self {
            let dir = TempDir::new().unwrap();
            let clock = Clock::system();
            let progress = Progress::new();
            let options = config::Store::default();
            let (queue, _) =
                Queue::open(&dir.path().join("store"), &options, 2, clock.clone(), progress.clone()).unwrap();
            let mut config = Config::default();
            config.mailboxes.insert("support".parse().unwrap(), config::Mailbox::default());
            let (reload, reloads) = mpsc::channel(1);
            let identity = Identity { instance: "test".into(), started_at: clock.now() };
            let config = watch::Sender::new(Arc::new(config)).subscribe();
            Self { dir, context: Context { identity, config, queue, progress, clock, reload }, reloads }
        }

        fn socket(&self) -> PathBuf {
            self.dir.path().join("run/control.sock")
        }

        /// Runs `client` against the served socket.
        async fn served<T>(&self, client: impl Future<Output = T>) -> T {
            let listener = Arc::new(bind(&self.socket()).unwrap());
            let (stopper, stop): (Stopper, Stop) = stop::pair();
            tokio::select! {
                answer = client => answer,
                () = serve(listener, self.context.clone(), stop) => unreachable!("{stopper:?} was not used"),
            }
        }

        async fn ask<T: serde::de::DeserializeOwned>(&self, request: Request) -> Result<Vec<T>, client::Error> {
            let socket = self.socket();
            self.served(async {
                let mut items = Vec::new();
                Client::connect(&socket).await?.ask(&request, |item| items.push(item)).await?;
                Ok(items)
            })
            .await
        }

        /// One mail in the queue.
        async fn mail(&self) -> QueueId {
            let raw = bytes::Bytes::from_static(b"Subject: x\r\n\r\nhello\r\n");
            let arrival = Arrival {
                uid: Uid(7),
                internal_date: self.context.clock.now(),
                size: u64::try_from(raw.len()).unwrap(),
                stub: false,
                raw,
            };
            let batch = Batch {
                key: FolderKey { mailbox: "support".parse().unwrap(), folder: "INBOX".into() },
                uidvalidity: UidValidity(1),
                tenant: "main".parse().unwrap(),
                cursor: None,
                rebind: false,
                arrivals: vec![arrival],
            };
            self.context.queue.accept(batch).await.unwrap()[0].id
        }
    }

    fn reason(answer: Result<Vec<serde_json::Value>, client::Error>) -> Reason {
        match answer {
            Err(client::Error::Refused(refusal)) => refusal.reason,
            other => panic!("should be refused: {other:?}"),
        }
    }

    #[tokio::test]
    async fn status_and_list_tell_what_the_queue_holds() {
        let world = World::new();
        let id = world.mail().await;
        let status: Vec<Status> = world.ask(Request::Status).await.unwrap();
        assert_eq!((status[0].waiting(), status[0].instance.as_str()), (1, "test"));
        assert_eq!(status[0].unknown_tenants, ["main".parse().unwrap()]);
        let entries: Vec<Entry> = world.ask(Request::QueueList { filter: Filter::default() }).await.unwrap();
        assert_eq!((entries.len(), entries[0].qid), (1, id));
    }

    #[tokio::test]
    async fn operations_are_done_or_refused_one_by_one() {
        let world = World::new();
        let (id, unknown) = (world.mail().await, QueueId::generate());
        let request = Request::QueueOperate { operation: Operation::Drop, ids: vec![id, unknown] };
        let done: Vec<Done> = world.ask(request).await.unwrap();
        assert_eq!(done[0], Done { qid: id, outcome: Operated::Done });
        assert_eq!(done[1], Done { qid: unknown, outcome: Operated::NotFound });
        let filter = Filter { states: vec![State::Discarded], ..Filter::default() };
        let dropped: Vec<Entry> = world.ask(Request::QueueList { filter }).await.unwrap();
        assert_eq!(dropped[0].word, "dropped_admin");
        let again = Request::QueueOperate { operation: Operation::Hold, ids: vec![id] };
        let refused: Vec<Done> = world.ask(again).await.unwrap();
        assert!(matches!(refused[0].outcome, Operated::Refused(_)), "{refused:?}");
    }

    #[tokio::test]
    async fn what_cannot_be_is_refused_with_a_reason() {
        let world = World::new();
        let none = Request::QueueOperate { operation: Operation::Hold, ids: Vec::new() };
        assert_eq!(reason(world.ask(none).await), Reason::Request);
        let nobody = Request::MailboxStart { mailbox: "nobody".parse().unwrap() };
        assert_eq!(reason(world.ask(nobody).await), Reason::NotFound);
        let waiting: Vec<Started> =
            world.ask(Request::MailboxStart { mailbox: "support".parse().unwrap() }).await.unwrap();
        assert_eq!(waiting, [Started { released: 0 }]);
    }

    #[tokio::test]
    async fn a_reload_waits_for_its_verdict() {
        let mut world = World::new();
        let mut reloads = std::mem::replace(&mut world.reloads, mpsc::channel(1).1);
        let accepted = Reloaded { changed: vec!["mailbox.support".into()], ..Reloaded::default() };
        let verdicts = [Ok(accepted.clone()), Err(refuse(Reason::Config, "error[unit]: a duration needs a unit"))];
        let answering = async {
            for verdict in verdicts {
                reloads.recv().await.unwrap().send(verdict).unwrap();
            }
        };
        let asking = async {
            assert_eq!(world.ask::<Reloaded>(Request::Reload).await.unwrap(), [accepted]);
            assert_eq!(reason(world.ask(Request::Reload).await), Reason::Config);
        };
        tokio::join!(answering, asking);
    }

    #[tokio::test]
    async fn nonsense_is_answered_and_harms_nobody() {
        let world = World::new();
        let socket = world.socket();
        world
            .served(async {
                for line in ["{}\n", "GET / HTTP/1.1\n", "\u{0}\n"] {
                    let mut stream = UnixStream::connect(&socket).await.unwrap();
                    stream.write_all(line.as_bytes()).await.unwrap();
                    let mut answer = String::new();
                    stream.read_to_string(&mut answer).await.unwrap();
                    assert!(answer.starts_with(r#"{"error":{"reason":"request""#), "{answer}");
                }
                drop(UnixStream::connect(&socket).await.unwrap());
            })
            .await;
    }

    #[tokio::test]
    async fn the_socket_is_private_and_replaces_a_stale_one() {
        let world = World::new();
        drop(bind(&world.socket()).unwrap());
        let listener = bind(&world.socket()).unwrap();
        let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
        assert_eq!(mode(&world.socket()), 0o600);
        assert_eq!(mode(world.socket().parent().unwrap()), 0o700);
        assert!(matches!(bind(&world.socket()), Err(BindError::InUse(_))), "{listener:?} listens");
        let file = world.dir.path().join("file");
        fs::write(&file, "precious").unwrap();
        assert!(matches!(bind(&file), Err(BindError::NotSocket(_))));
        assert_eq!(fs::read_to_string(&file).unwrap(), "precious");
    }
}
