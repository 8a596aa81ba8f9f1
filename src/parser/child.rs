//! One parse worker as the pool sees it: a child process with three pipes, bounded from outside before it gets a frame.

use std::io;
use std::path::Path;
use std::process::{ExitStatus, Stdio};
use std::time::Duration;

use rustix::process::{Pid, Resource, Rlimit, prlimit};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::process::{Child, ChildStdin, ChildStdout, Command};
use tokio::time::{Instant, timeout};

use crate::message::{Depth, Message, Rules};
use crate::parser::Error;
use crate::parser::wire::{self, Kind};

/// Mails that a worker reads before it is replaced: whatever it leaks is bounded.
const MAX_MAILS: u32 = 5_000;
/// Time that a worker has spent on mails before it is replaced; well below the kernel's bound on its processor time.
const MAX_SPENT: Duration = Duration::from_secs(300);
/// How long a dead worker may take to be gone.
const REAP: Duration = Duration::from_secs(1);
/// A mail up to this size goes out in one write together with its head.
const ONE_WRITE: usize = 64 << 10;
/// What a worker may say about its fence.
const MAX_HELLO: usize = 4 << 10;

/// A running worker. Dropping it ends the process.
#[derive(Debug)]
pub(crate) struct Worker {
    child: Child,
    input: ChildStdin,
    output: BufReader<ChildStdout>,
    rules: Option<Rules>,
    greeted: bool,
    /// Why the worker is not fenced in, once it has said so.
    pub(crate) unfenced: Option<String>,
    mails: u32,
    spent: Duration,
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
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .kill_on_drop(true)
            .spawn()?;
        let pid = child.id().and_then(|id| i32::try_from(id).ok()).and_then(Pid::from_raw);
        limit(pid.ok_or(io::ErrorKind::NotFound)?, rules)?;
        let input = child.stdin.take().ok_or(io::ErrorKind::BrokenPipe)?;
        let output = BufReader::with_capacity(ONE_WRITE, child.stdout.take().ok_or(io::ErrorKind::BrokenPipe)?);
        Ok(Self { child, input, output, rules: None, greeted: false, unfenced: None, mails: 0, spent: Duration::ZERO })
    }

    /// Whether it may read another mail.
    pub(crate) fn is_fit(&mut self) -> bool {
        self.mails < MAX_MAILS && self.spent < MAX_SPENT && matches!(self.child.try_wait(), Ok(None))
    }

    /// Reads one mail. After an error the worker is of no use.
    pub(crate) async fn read(&mut self, raw: &[u8], rules: &Rules, depth: Depth) -> Result<Message, Error> {
        let time = rules.limits.parse_time.0;
        let begin = Instant::now();
        let outcome = timeout(time, self.exchange(raw, rules, depth)).await;
        self.mails = self.mails.saturating_add(1);
        self.spent = self.spent.saturating_add(begin.elapsed());
        match outcome {
            Ok(Ok(message)) => Ok(message),
            Ok(Err(Failed::Refused(reason))) => Err(Error::Refused { reason }),
            Ok(Err(Failed::Panicked)) => Err(Error::Died { how: "panic".to_owned() }),
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

    async fn exchange(&mut self, raw: &[u8], rules: &Rules, depth: Depth) -> Result<Message, Failed> {
        if self.rules.as_ref() != Some(rules) {
            let json = serde_json::to_vec(rules).map_err(|_| Failed::Refused("rules that are not JSON".to_owned()))?;
            self.send(Kind::Rules, &[], &json).await?;
            self.rules = Some(rules.clone());
        }
        self.send(Kind::Mail, &[wire::depth_byte(depth)], raw).await?;
        if !self.greeted {
            let (kind, words) = self.receive(rules).await?;
            if kind != Kind::Hello {
                return Err(Failed::Refused("no greeting".to_owned()));
            }
            self.greeted = true;
            let words = String::from_utf8_lossy(&words).escape_debug().take(200).collect::<String>();
            self.unfenced = Some(words).filter(|words| !words.is_empty());
        }
        let (kind, payload) = self.receive(rules).await?;
        match kind {
            Kind::Message => wire::read_message(&payload, rules, depth).map_err(|why| Failed::Refused(why.to_owned())),
            Kind::Panic => Err(Failed::Panicked),
            Kind::Rules | Kind::Mail | Kind::Hello => Err(Failed::Refused("a frame out of turn".to_owned())),
        }
    }

    async fn send(&mut self, kind: Kind, first: &[u8], rest: &[u8]) -> Result<(), Failed> {
        let head = wire::head(kind, first.len().saturating_add(rest.len()))?;
        let small = rest.len() <= ONE_WRITE;
        let mut frame = [&head, first].concat();
        if small {
            frame.extend_from_slice(rest);
        }
        self.input.write_all(&frame).await?;
        if !small {
            self.input.write_all(rest).await?;
        }
        Ok(())
    }

    async fn receive(&mut self, rules: &Rules) -> Result<(Kind, Vec<u8>), Failed> {
        let mut head = [0; wire::HEAD];
        self.output.read_exact(&mut head).await?;
        let bound = |kind| match kind {
            Kind::Message => wire::max_message(rules),
            Kind::Hello => MAX_HELLO,
            Kind::Rules | Kind::Mail | Kind::Panic => 0,
        };
        let (kind, length) = wire::read_head(head, bound)?;
        let mut payload = vec![0; length];
        self.output.read_exact(&mut payload).await?;
        Ok((kind, payload))
    }

    /// How a worker that closed its pipes has ended.
    async fn end(&mut self) -> String {
        match timeout(REAP, self.child.wait()).await {
            Ok(Ok(status)) => described(status),
            _ => "closed its pipes".to_owned(),
        }
    }
}

/// How an exchange failed.
enum Failed {
    Refused(String),
    Panicked,
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
