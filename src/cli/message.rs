//! `mailbridge message`: what a mail would be posted as, and why, without touching the network, the store or a mailbox.

use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::Context as _;
use clap::{Args, Subcommand};
use futures_util::{StreamExt as _, stream};
use serde::Serialize;

use crate::cli::exit::Exit;
use crate::cli::explain;
use crate::cli::reader::{Reader, Reading, mails_below, relative};
use crate::clock::Clock;
use crate::config::Config;
use crate::config::parse::Html;
use crate::entity::TicketMessageEntity;
use crate::message::{CharsetVerdict, Defect, Message, Report, Rules, Variety, Visible};
use crate::parser::Pool;

/// Mails that are under way at the same time.
const AHEAD: usize = 8;

/// `mailbridge message …`
#[derive(Debug, Subcommand)]
pub enum MessageCommand {
    /// Read mails and print the entities they would be posted as; needs no configuration and no network
    Parse(ParseArgs),
    /// Say of one mail how it was read, and why so
    Explain(ExplainArgs),
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

/// `mailbridge message explain`
#[derive(Debug, Args)]
pub struct ExplainArgs {
    /// A mail, or - for standard input
    #[arg(value_name = "FILE|-")]
    path: PathBuf,
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
    mail: Option<Mail<'a>>,
    defects: &'a [Defect],
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<String>,
}

/// What was found out beside the entity.
#[derive(Debug, Serialize)]
struct Mail<'a> {
    kind: &'static str,
    variety: Option<&'static str>,
    may_answer: bool,
    evidence: &'a [String],
    language: Option<&'a str>,
    visible: Option<&'a Visible>,
    charsets: &'a [CharsetVerdict],
    date_source: &'a str,
    report: Option<&'a Report>,
}

impl<'a> Mail<'a> {
    fn of(message: &'a Message) -> Self {
        Self {
            kind: message.kind.as_str(),
            variety: message.variety.map(Variety::as_str),
            may_answer: message.may_answer,
            evidence: &message.evidence,
            language: message.language.as_ref().map(|language| language.code.as_str()),
            visible: message.visible.as_ref(),
            charsets: &message.charsets,
            date_source: &message.date_source,
            report: message.report.as_ref(),
        }
    }
}

/// Runs a `message` command and prints to standard output. Ends with 66 when a file could not be opened, else with 65 when
/// no worker could read a mail; the other mails are printed all the same.
///
/// # Errors
/// The path cannot be listed or holds no mail, or the output cannot be written.
pub async fn run(
    command: &MessageCommand,
    json: bool,
    config: &Config,
    pool: &Pool,
    clock: &Clock,
) -> anyhow::Result<ExitCode> {
    let html = match command {
        MessageCommand::Parse(args) => args.html,
        MessageCommand::Explain(_) => None,
    };
    let reader = Reader { config, pool, clock, rules: rules(config, html) };
    let exit = match command {
        MessageCommand::Parse(args) => parse(&reader, &args.path, json).await?,
        MessageCommand::Explain(args) => explain(&reader, &args.path, json).await?,
    };
    pool.close().await;
    Ok(exit.into())
}

/// Prints the entities of the mails as they are read, in order.
async fn parse(reader: &Reader<'_>, path: &Path, ndjson: bool) -> anyhow::Result<Exit> {
    let files = if path == Path::new("-") { vec![path.to_owned()] } else { mails_below(path)? };
    let mut output = io::BufWriter::new(io::stdout());
    let mut exit = Exit::Ok;
    let mut results = stream::iter(&files).map(|file| async move { (file, reader.read(file).await) }).buffered(AHEAD);
    while let Some((file, result)) = results.next().await {
        exit = worse(exit, &result);
        let shown = relative(file, path);
        if ndjson { print_line(&mut output, &shown, &result)? } else { print_pretty(&mut output, &result, &shown)? }
    }
    output.flush().context("writing to standard output")?;
    Ok(exit)
}

/// Prints the trail of one mail.
async fn explain(reader: &Reader<'_>, path: &Path, json: bool) -> anyhow::Result<Exit> {
    let result = reader.read(path).await;
    match &result {
        Ok(reading) => {
            let trail = explain::trail(&relative(path, path), reading);
            let text = if json { trail.json()? } else { trail.text() };
            io::stdout().write_all(text.as_bytes()).context("writing to standard output")?;
        }
        Err(error) => writeln!(io::stderr(), "{}: {error:#}", path.display()).context("writing to standard error")?,
    }
    Ok(worse(Exit::Ok, &result))
}

fn worse(exit: Exit, result: &anyhow::Result<Reading>) -> Exit {
    match result {
        Err(error) if error.is::<io::Error>() => Exit::NoInput,
        Err(_) if exit == Exit::Ok => Exit::Data,
        _ => exit,
    }
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

fn print_line(output: &mut impl Write, file: &str, result: &anyhow::Result<Reading>) -> anyhow::Result<()> {
    let line = match result {
        Ok(Reading { message, entity, .. }) => {
            Line { file, entity: Some(entity), mail: Some(Mail::of(message)), defects: &message.defects, error: None }
        }
        Err(error) => Line { file, entity: None, mail: None, defects: &[], error: Some(format!("{error:#}")) },
    };
    // As an I/O error, so that a reader that goes away is known as one.
    serde_json::to_writer(&mut *output, &line).map_err(io::Error::from)?;
    writeln!(output).context("writing to standard output")
}

fn print_pretty(output: &mut impl Write, result: &anyhow::Result<Reading>, file: &str) -> anyhow::Result<()> {
    match result {
        Ok(reading) => serde_json::to_writer_pretty(&mut *output, &reading.entity).map_err(io::Error::from)?,
        Err(error) => return writeln!(io::stderr(), "{file}: {error:#}").context("writing to standard error"),
    }
    writeln!(output).context("writing to standard output")
}
