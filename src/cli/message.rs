//! `mailbridge message parse`: what a mail would be posted as, without touching the network, the store or a mailbox.
//!
//! Mails are read by the same pool of workers, down the same ladder and composed by the same code as in the daemon.

use std::io::{self, Read as _, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::str::FromStr as _;
use std::time::UNIX_EPOCH;

use anyhow::Context as _;
use clap::{Args, Subcommand};
use futures_util::{StreamExt as _, stream};
use serde::Serialize;

use crate::cli::exit::Exit;
use crate::clock::{Clock, UtcMillis};
use crate::compose::{Origin, compose};
use crate::config::Config;
use crate::config::parse::Html;
use crate::entity::TicketMessageEntity;
use crate::ids::{MailboxName, QueueId, Uid, UidValidity};
use crate::message::{Defect, Depth, Message, Rules};
use crate::parser::Pool;

/// Mails that are under way at the same time.
const AHEAD: usize = 8;

/// `mailbridge message …`
#[derive(Debug, Subcommand)]
pub enum MessageCommand {
    /// Read mails and print the entities they would be posted as; needs no configuration and no network
    Parse(ParseArgs),
}

/// `mailbridge message parse`
#[derive(Debug, Args)]
pub struct ParseArgs {
    /// A mail, a directory (every *.eml below it, in order of name), or - for standard input
    #[arg(value_name = "FILE|DIR|-")]
    path: PathBuf,
    /// What HtmlBody holds; default: as configured
    #[arg(long, value_enum, value_name = "HOW")]
    html: Option<HtmlArg>,
}

/// The words of `parse.html`.
#[derive(Debug, Clone, Copy, clap::ValueEnum)]
enum HtmlArg {
    Sanitize,
    AsIs,
    TextOnly,
}

/// One line of `--ndjson`.
#[derive(Debug, Serialize)]
struct Line<'a> {
    file: &'a str,
    entity: Option<&'a TicketMessageEntity>,
    mail: Option<Mail>,
    defects: &'a [Defect],
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<String>,
}

#[derive(Debug, Serialize)]
struct Mail {
    kind: &'static str,
    may_answer: bool,
}

/// Runs a `message` command and prints to standard output. Ends with 66 when a file could not be opened, else with 65 when
/// no worker could read a mail; the other mails are printed all the same.
///
/// # Errors
/// The path cannot be listed or holds no mail, or the output cannot be written.
pub async fn run(
    command: &MessageCommand,
    ndjson: bool,
    config: &Config,
    pool: &Pool,
    clock: &Clock,
) -> anyhow::Result<ExitCode> {
    let MessageCommand::Parse(args) = command;
    let reader = Reader { config, pool, clock, rules: rules(config, args.html) };
    let files = if args.path == Path::new("-") { vec![args.path.clone()] } else { mails_below(&args.path)? };
    let mut output = io::BufWriter::new(io::stdout());
    let mut exit = Exit::Ok;
    let reader = &reader;
    let mut results = stream::iter(&files).map(|file| async move { (file, reader.read(file).await) }).buffered(AHEAD);
    while let Some((file, result)) = results.next().await {
        exit = match &result {
            Err(error) if error.is::<io::Error>() => Exit::NoInput,
            Err(_) if exit == Exit::Ok => Exit::Data,
            _ => exit,
        };
        let shown = relative(file, &args.path);
        if ndjson { print_line(&mut output, &shown, &result)? } else { print_pretty(&mut output, &result, &shown)? }
    }
    output.flush().context("writing to standard output")?;
    drop(results);
    pool.close().await;
    Ok(exit.into())
}

fn rules(config: &Config, html: Option<HtmlArg>) -> Rules {
    let mut rules = Rules { limits: config.limits.clone(), parse: config.parse.clone() };
    match html {
        Some(HtmlArg::Sanitize) => rules.parse.html = Html::Sanitize,
        Some(HtmlArg::AsIs) => rules.parse.html = Html::AsIs,
        Some(HtmlArg::TextOnly) => rules.parse.html = Html::TextOnly,
        None => {}
    }
    rules
}

/// What reading a file needs beside the file.
struct Reader<'a> {
    config: &'a Config,
    pool: &'a Pool,
    clock: &'a Clock,
    rules: Rules,
}

type Reading = (Message, TicketMessageEntity);

impl Reader<'_> {
    async fn read(&self, file: &Path) -> anyhow::Result<Reading> {
        let (raw, internal_date) = self.load(file)?;
        let size = u64::try_from(raw.len()).unwrap_or(u64::MAX);
        let stub = size > self.rules.limits.message_size.0;
        // What the daemon would have fetched of a mail beyond the limit: its headers.
        let kept = usize::try_from(self.rules.limits.header_bytes.0).unwrap_or(usize::MAX);
        let fetched = if stub { raw.get(..kept).unwrap_or(&raw) } else { &raw };
        let message = self.down_the_ladder(fetched, if stub { Depth::Headers } else { Depth::Full }).await?;
        let (name, mailbox) = match self.config.mailboxes.iter().next() {
            Some((name, mailbox)) if self.config.mailboxes.len() == 1 => (name.clone(), mailbox.clone()),
            _ => (MailboxName::from_str("file")?, crate::config::Mailbox::default()),
        };
        let origin = Origin {
            queue_id: QueueId::NIL,
            mailbox: name,
            folder: "INBOX".to_owned(),
            uidvalidity: UidValidity(0),
            uid: Uid(0),
            internal_date,
            size,
            stub,
        };
        let entity = compose(&message, &origin, &mailbox);
        Ok((message, entity))
    }

    /// Full, then text, then headers: a step down after each strike, alone in a fresh worker.
    async fn down_the_ladder(&self, raw: &[u8], from: Depth) -> anyhow::Result<Message> {
        let mut step = Some(from);
        let mut struck = false;
        loop {
            let Some(depth) = step else {
                anyhow::bail!("no worker survived the mail at any depth");
            };
            match self.pool.parse(raw, &self.rules, depth, struck).await {
                Ok(message) => return Ok(message),
                Err(error) if error.is_strike() => step = depth.down(),
                Err(error) => return Err(error.into()),
            }
            struck = true;
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
fn mails_below(path: &Path) -> anyhow::Result<Vec<PathBuf>> {
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

fn relative(file: &Path, root: &Path) -> String {
    let below = file.strip_prefix(root).ok().filter(|below| !below.as_os_str().is_empty());
    let name = below.map(Path::as_os_str).or_else(|| file.file_name());
    name.unwrap_or(file.as_os_str()).to_string_lossy().into_owned()
}

fn print_line(output: &mut impl Write, file: &str, result: &anyhow::Result<Reading>) -> anyhow::Result<()> {
    let line = match result {
        Ok((message, entity)) => {
            let mail = Mail { kind: message.kind.as_str(), may_answer: message.may_answer };
            Line { file, entity: Some(entity), mail: Some(mail), defects: &message.defects, error: None }
        }
        Err(error) => Line { file, entity: None, mail: None, defects: &[], error: Some(format!("{error:#}")) },
    };
    // As an I/O error, so that a reader that goes away is known as one.
    serde_json::to_writer(&mut *output, &line).map_err(io::Error::from)?;
    writeln!(output).context("writing to standard output")
}

fn print_pretty(output: &mut impl Write, result: &anyhow::Result<Reading>, file: &str) -> anyhow::Result<()> {
    match result {
        Ok((_, entity)) => serde_json::to_writer_pretty(&mut *output, entity).map_err(io::Error::from)?,
        Err(error) => return writeln!(io::stderr(), "{file}: {error:#}").context("writing to standard error"),
    }
    writeln!(output).context("writing to standard output")
}
