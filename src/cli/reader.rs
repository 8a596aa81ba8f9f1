//! Reading mails from files as the daemon reads them from its queue: by the same pool of workers, down the same ladder, and
//! composed by the same code. Touches no network, no store and no mailbox.

use std::io::{self, Read as _};
use std::path::{Path, PathBuf};
use std::str::FromStr as _;
use std::time::UNIX_EPOCH;

use anyhow::Context as _;

use crate::clock::{Clock, UtcMillis};
use crate::compose::{Origin, compose};
use crate::config::{Config, Mailbox};
use crate::entity::TicketMessageEntity;
use crate::ids::MailboxName;
use crate::message::{Depth, Message, Rules};
use crate::parser::Pool;

/// A mail that was read.
#[derive(Debug)]
pub(super) struct Reading {
    /// What was read.
    pub(super) message: Message,
    /// What it would be posted as.
    pub(super) entity: TicketMessageEntity,
    /// Where it is said to come from.
    pub(super) origin: Origin,
    /// The steps of the ladder that failed, and why.
    pub(super) strikes: Vec<String>,
}

/// What reading a file needs beside the file.
pub(super) struct Reader<'a> {
    /// The options.
    pub(super) config: &'a Config,
    /// The workers.
    pub(super) pool: &'a Pool,
    /// The time that stands for INTERNALDATE of standard input.
    pub(super) clock: &'a Clock,
    /// How mails are read.
    pub(super) rules: Rules,
}

impl Reader<'_> {
    /// Reads one; `-` is standard input.
    ///
    /// # Errors
    /// It cannot be opened (an I/O error), or no worker survived it at any step.
    pub(super) async fn read(&self, file: &Path) -> anyhow::Result<Reading> {
        let (raw, internal_date) = self.load(file)?;
        let size = u64::try_from(raw.len()).unwrap_or(u64::MAX);
        let stub = size > self.rules.limits.message_size.0;
        // What the daemon would have fetched of a mail beyond the limit: its headers.
        let kept = usize::try_from(self.rules.limits.header_bytes.0).unwrap_or(usize::MAX);
        let fetched = if stub { raw.get(..kept).unwrap_or(&raw) } else { &raw };
        let (message, strikes) = self.down_the_ladder(fetched, if stub { Depth::Headers } else { Depth::Full }).await?;
        let (name, mailbox) = match self.config.mailboxes.iter().next() {
            Some((name, mailbox)) if self.config.mailboxes.len() == 1 => (name.clone(), mailbox.clone()),
            _ => (MailboxName::from_str("file")?, Mailbox::default()),
        };
        let origin = Origin { stub, ..Origin::of_file(name, internal_date, size) };
        let entity = compose(&message, &origin, &mailbox);
        Ok(Reading { message, entity, origin, strikes })
    }

    /// Full, then text, then headers: a step down after each strike, alone in a fresh worker.
    async fn down_the_ladder(&self, raw: &[u8], from: Depth) -> anyhow::Result<(Message, Vec<String>)> {
        let mut step = Some(from);
        let mut strikes = Vec::new();
        loop {
            let Some(depth) = step else {
                anyhow::bail!("no worker survived the mail at any depth");
            };
            match self.pool.parse(raw, &self.rules, depth, !strikes.is_empty()).await {
                Ok(message) => return Ok((message, strikes)),
                Err(error) if error.is_strike() => {
                    strikes.push(format!("{}: {error}", depth.as_str()));
                    step = depth.down();
                }
                Err(error) => return Err(error.into()),
            }
        }
    }

    /// The bytes of a mail, and the time that stands for INTERNALDATE.
    fn load(&self, file: &Path) -> anyhow::Result<(Vec<u8>, UtcMillis)> {
        if file == Path::new("-") {
            let mut raw = Vec::new();
            io::stdin().lock().read_to_end(&mut raw).context("reading standard input")?;
            return Ok((raw, self.clock.now()));
        }
        let context = || format!("reading {}", file.display());
        let raw = std::fs::read(file).with_context(context)?;
        let changed = std::fs::metadata(file).and_then(|data| data.modified()).with_context(context)?;
        let since = changed.duration_since(UNIX_EPOCH).unwrap_or_default();
        Ok((raw, UtcMillis(0).plus(since)))
    }
}

/// The file itself, or every `*.eml` below the directory in order of name.
pub(super) fn mails_below(path: &Path) -> anyhow::Result<Vec<PathBuf>> {
    if !path.is_dir() {
        return Ok(vec![path.to_owned()]);
    }
    let mut found = Vec::new();
    let mut waiting = vec![path.to_owned()];
    while let Some(directory) = waiting.pop() {
        let context = || format!("listing {}", directory.display());
        for entry in std::fs::read_dir(&directory).with_context(context)? {
            let entry = entry.with_context(context)?;
            let path = entry.path();
            if entry.file_type().with_context(context)?.is_dir() {
                waiting.push(path);
            } else if path.extension().is_some_and(|extension| extension == "eml") {
                found.push(path);
            }
        }
    }
    found.sort_unstable();
    anyhow::ensure!(!found.is_empty(), "there is no *.eml below {}", path.display());
    Ok(found)
}

/// How a file is named in output: below the folder that was given.
pub(super) fn relative(file: &Path, root: &Path) -> String {
    let below = file.strip_prefix(root).ok().filter(|below| !below.as_os_str().is_empty());
    let name = below.map(Path::as_os_str).or_else(|| file.file_name());
    name.unwrap_or(file.as_os_str()).to_string_lossy().into_owned()
}
