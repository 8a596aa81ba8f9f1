//! One parse worker as the pool sees it: a child process with three pipes, bounded from outside before it gets a frame.

use std::io;
use std::os::unix::ffi::OsStrExt as _;
use std::path::Path;
use std::process::{ExitStatus, Stdio};
use std::time::Duration;

use bytes::{Buf as _, BytesMut};
use futures_util::future::try_join;
use rustix::process::{Pid, Resource, Rlimit, prlimit};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::process::{Child, ChildStdin, ChildStdout, Command};
use tokio::time::{Instant, timeout};

use crate::message::{Depth, Message, Rules};
use crate::parser::wire::{self, Kind};
use crate::parser::{Error, Source};

/// Mails that a worker reads before it is replaced: whatever it leaks is bounded.
const MAX_MAILS: u32 = 5_000;
/// Time that a worker has spent on mails before it is replaced; well below the kernel's bound on its processor time.
const MAX_SPENT: Duration = Duration::from_secs(300);
/// How long a dead worker may take to be gone.
const REAP: Duration = Duration::from_secs(1);
/// A mail up to this size goes out in one write together with its head and its neighbours.
const ONE_WRITE: usize = 64 << 10;
/// What is kept of a buffer that a large answer has made grow.
const KEPT_BUFFER: usize = 256 << 10;
/// What a worker may say about its fence.
const MAX_HELLO: usize = 4 << 10;

/// A running worker. Dropping it ends the process.
#[derive(Debug)]
pub(crate) struct Worker {
    child: Child,
    input: ChildStdin,
    answers: Answers,
    rules: Option<Rules>,
    greeted: bool,
    /// Why the worker is not fenced in, once it has said so.
    pub(crate) unfenced: Option<String>,
    mails: u32,
    spent: Duration,
}

/// What the worker says.
#[derive(Debug)]
struct Answers {
    output: ChildStdout,
    buffer: BytesMut,
}

impl Worker {
    /// Starts `program parse-worker` with an empty environment and sets its bounds.
    pub(crate) fn spawn(program: &Path, rules: &Rules) -> io::Result<Self> {
        let mut child = Command::new(program)
            // What `ps` and `systemctl status` show instead of `/proc/self/exe`.
            .arg0("mailbridge")
            .arg("parse-worker")
            .env_clear()
            // glibc reserves 64 MiB of address space for each further arena: the address space is the bound here.
            .env("MALLOC_ARENA_MAX", "1")
            // Set, they no longer follow the sizes that are freed: what a small mail needs stays, a large mail's room goes.
            .env("MALLOC_TRIM_THRESHOLD_", "4194304")
            .env("MALLOC_MMAP_THRESHOLD_", "1048576")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .kill_on_drop(true)
            .spawn()?;
        let pid = child.id().and_then(|id| i32::try_from(id).ok()).and_then(Pid::from_raw);
        limit(pid.ok_or(io::ErrorKind::NotFound)?, rules)?;
        let input = child.stdin.take().ok_or(io::ErrorKind::BrokenPipe)?;
        let output = child.stdout.take().ok_or(io::ErrorKind::BrokenPipe)?;
        let answers = Answers { output, buffer: BytesMut::new() };
        Ok(Self { child, input, answers, rules: None, greeted: false, unfenced: None, mails: 0, spent: Duration::ZERO })
    }

    /// Whether it may read another mail.
    pub(crate) const fn is_fit(&self) -> bool {
        self.mails < MAX_MAILS && self.spent.as_secs() < MAX_SPENT.as_secs()
    }

    /// Whether the process runs still.
    pub(crate) fn is_alive(&mut self) -> bool {
        matches!(self.child.try_wait(), Ok(None))
    }

    /// Reads mails, one after the other, within the time of one. After an error the worker is of no use, and which of the
    /// mails has done it is not known.
    pub(crate) async fn read(&mut self, mails: &[(Source<'_>, Depth)], rules: &Rules) -> Result<Vec<Reading>, Error> {
        let time = rules.limits.parse_time.0;
        let begin = Instant::now();
        let outcome = timeout(time, self.exchange(mails, rules)).await;
        self.mails = self.mails.saturating_add(u32::try_from(mails.len()).unwrap_or(u32::MAX));
        self.spent = self.spent.saturating_add(begin.elapsed());
        match outcome {
            Ok(Ok(messages)) => Ok(messages),
            Ok(Err(Failed::Refused(reason))) => Err(Error::Refused { reason }),
            Ok(Err(Failed::Pipe)) => Err(Error::Died { how: self.end().await }),
            Err(_) => Err(Error::Late { seconds: time.as_secs() }),
        }
    }

    /// Ends the worker and waits until it is gone, at most a second.
    pub(crate) async fn close(self) {
        let Self { mut child, input, .. } = self;
        drop(input);
        if timeout(REAP, child.wait()).await.is_err() {
            // Dropping the child kills it.
            drop(child);
        }
    }

    async fn exchange(&mut self, mails: &[(Source<'_>, Depth)], rules: &Rules) -> Result<Vec<Reading>, Failed> {
        let mut frames = Vec::new();
        if self.rules.as_ref() != Some(rules) {
            let json = serde_json::to_vec(rules).map_err(|_| Failed::Refused("rules that are not JSON".to_owned()))?;
            frame(&mut frames, Kind::Rules, &[], &json)?;
            self.rules = Some(rules.clone());
        }
        let asked: Vec<Depth> = mails.iter().map(|(_, depth)| *depth).collect();
        // Both at the same time: the worker answers the first while the last are still on their way.
        let sending = send(&mut self.input, frames, mails);
        let receiving = self.answers.receive(&asked, rules, !self.greeted);
        let ((), (hello, readings)) = try_join(sending, receiving).await?;
        self.greeted = true;
        self.unfenced = hello.filter(|words| !words.is_empty());
        Ok(readings)
    }

    /// How a worker that closed its pipes has ended.
    async fn end(&mut self) -> String {
        match timeout(REAP, self.child.wait()).await {
            Ok(Ok(status)) => described(status),
            _ => "closed its pipes".to_owned(),
        }
    }
}

/// What came of one mail.
pub(crate) type Reading = Result<Message, Error>;

impl Answers {
    /// The answers to so many mails, and the greeting where it is still to come.
    async fn receive(
        &mut self,
        asked: &[Depth],
        rules: &Rules,
        greeting: bool,
    ) -> Result<(Option<String>, Vec<Reading>), Failed> {
        let mut hello = None;
        if greeting {
            let (kind, length) = self.frame(rules).await?;
            if kind != Kind::Hello {
                return Err(Failed::Refused("no greeting".to_owned()));
            }
            let words = self.buffer.split_to(length);
            hello = Some(String::from_utf8_lossy(&words).escape_debug().take(200).collect());
        }
        let mut readings = Vec::with_capacity(asked.len());
        for depth in asked {
            readings.push(self.reading(*depth, rules).await?);
        }
        if self.buffer.is_empty() && self.buffer.capacity() > KEPT_BUFFER {
            self.buffer = BytesMut::new();
        }
        Ok((hello, readings))
    }

    async fn reading(&mut self, depth: Depth, rules: &Rules) -> Result<Reading, Failed> {
        let (kind, length) = self.frame(rules).await?;
        let payload = self.buffer.get(..length).unwrap_or_default();
        let reading = match kind {
            Kind::Message => {
                Ok(wire::read_message(payload, rules, depth).map_err(|why| Failed::Refused(why.to_owned()))?)
            }
            Kind::Panic => Err(Error::Died { how: "panic".to_owned() }),
            Kind::NoFile => Err(Error::NoFile),
            Kind::Rules | Kind::Mail | Kind::File | Kind::Hello => {
                return Err(Failed::Refused("a frame out of turn".to_owned()));
            }
        };
        self.buffer.advance(length);
        Ok(reading)
    }

    /// Kind and length of the next frame; its payload is at the front of the buffer.
    async fn frame(&mut self, rules: &Rules) -> Result<(Kind, usize), Failed> {
        self.fill(wire::HEAD).await?;
        let bound = |kind| match kind {
            Kind::Message => wire::max_message(rules),
            Kind::Hello => MAX_HELLO,
            Kind::Rules | Kind::Mail | Kind::File | Kind::Panic | Kind::NoFile => 0,
        };
        let head = *self.buffer.first_chunk().ok_or(Failed::Pipe)?;
        let (kind, length) = wire::read_head(head, bound)?;
        self.buffer.advance(wire::HEAD);
        self.fill(length).await?;
        Ok((kind, length))
    }

    async fn fill(&mut self, length: usize) -> Result<(), Failed> {
        while self.buffer.len() < length {
            let missing = length.saturating_sub(self.buffer.len());
            self.buffer.reserve(missing.max(ONE_WRITE));
            if self.output.read_buf(&mut self.buffer).await? == 0 {
                return Err(Failed::Pipe);
            }
        }
        Ok(())
    }
}

/// Writes the frames that are there and those of the mails, small ones together.
async fn send(input: &mut ChildStdin, mut frames: Vec<u8>, mails: &[(Source<'_>, Depth)]) -> Result<(), Failed> {
    for (source, depth) in mails {
        let depth = [wire::depth_byte(*depth)];
        match source {
            Source::Bytes(raw) if raw.len() <= ONE_WRITE => frame(&mut frames, Kind::Mail, &depth, raw)?,
            Source::File(path) => frame(&mut frames, Kind::File, &depth, path.as_os_str().as_bytes())?,
            Source::Bytes(raw) => {
                frames.extend_from_slice(&wire::head(Kind::Mail, raw.len().saturating_add(depth.len()))?);
                frames.extend_from_slice(&depth);
                input.write_all(&std::mem::take(&mut frames)).await?;
                input.write_all(raw).await?;
            }
        }
        if frames.len() > ONE_WRITE {
            input.write_all(&std::mem::take(&mut frames)).await?;
        }
    }
    Ok(input.write_all(&frames).await?)
}

fn frame(frames: &mut Vec<u8>, kind: Kind, first: &[u8], rest: &[u8]) -> Result<(), Failed> {
    let head = wire::head(kind, first.len().saturating_add(rest.len()))?;
    frames.reserve(head.len().saturating_add(first.len()).saturating_add(rest.len()));
    frames.extend_from_slice(&head);
    frames.extend_from_slice(first);
    frames.extend_from_slice(rest);
    Ok(())
}

/// How an exchange failed.
enum Failed {
    Refused(String),
    Pipe,
}

impl From<io::Error> for Failed {
    fn from(_: io::Error) -> Self {
        Self::Pipe
    }
}

impl From<wire::Broken> for Failed {
    fn from(broken: wire::Broken) -> Self {
        Self::Refused(broken.to_string())
    }
}

/// Address space, processor time, no core file. `prlimit64` from outside: a unit's `~@resources` filter does not refuse it.
fn limit(pid: Pid, rules: &Rules) -> io::Result<()> {
    let seconds = MAX_SPENT.saturating_mul(2).saturating_add(rules.limits.parse_time.0).as_secs();
    for (resource, value) in
        [(Resource::As, rules.limits.parse_memory.0), (Resource::Cpu, seconds), (Resource::Core, 0)]
    {
        prlimit(Some(pid), resource, Rlimit { current: Some(value), maximum: Some(value) })?;
    }
    Ok(())
}

fn described(status: ExitStatus) -> String {
    use std::os::unix::process::ExitStatusExt as _;
    match (status.signal(), status.code()) {
        (Some(signal), _) => format!("signal {signal}"),
        (None, Some(code)) => format!("exit code {code}"),
        (None, None) => "no status".to_owned(),
    }
}
