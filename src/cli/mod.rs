//! The command line: the tree of arguments, and which module does what. Only this module and those below it print.

pub mod config;
pub mod defects;
pub mod exit;
pub mod message;

mod access;
mod demo;
mod entry;
mod explain;
mod output;
mod queue;
mod reader;
mod run;
mod status;
mod table;
mod trail;

use std::ffi::OsString;
use std::io;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Args, CommandFactory as _, FromArgMatches as _, Parser, Subcommand};

use crate::ids::MailboxName;
use crate::parser;
use exit::{Exit, Failure};

/// Mail from IMAP mailboxes to SuperOffice Service ticket messages: none lost, none twice.
#[derive(Debug, Parser)]
#[command(name = "mailbridge", version, arg_required_else_help = true, subcommand_required = true)]
pub struct Arguments {
    #[command(flatten)]
    common: Common,
    #[command(subcommand)]
    verb: Verb,
}

/// Options of every verb.
#[derive(Debug, Clone, Default, Args)]
#[command(next_help_heading = "Common options")]
pub struct Common {
    /// The configuration [default: /etc/mailbridge/config.toml]
    #[arg(short, long, global = true, value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// The folder of drop-ins [default: conf.d beside the configuration]
    #[arg(long, global = true, value_name = "DIR")]
    pub conf_dir: Option<PathBuf>,
    /// One JSON object a line, for programs
    #[arg(long, alias = "ndjson", global = true)]
    pub json: bool,
    /// The control socket of the daemon
    #[arg(long, global = true, value_name = "PATH")]
    pub socket: Option<PathBuf>,
    /// Do not ask
    #[arg(short, long, global = true)]
    pub yes: bool,
    /// No colours in help and error texts (as does NO_COLOR)
    #[arg(long, global = true)]
    pub no_color: bool,
}

#[derive(Debug, Subcommand)]
enum Verb {
    /// Run the daemon in the foreground
    Run,
    /// Make the daemon read its configuration again, and wait for the verdict
    Reload,
    /// How the daemon is: mailboxes, tenants, queue
    Status,
    /// Look at the queue and act on it
    #[command(subcommand)]
    Queue(queue::QueueCommand),
    /// Act on a mailbox
    #[command(subcommand)]
    Mailbox(MailboxCommand),
    /// Read mails and show what they would be posted as; touches no network and no store
    #[command(subcommand)]
    Message(message::MessageCommand),
    /// The whole product on one command: a mailbox with sample mails, an API that checks, and the daemon between them
    Demo(demo::Options),
    /// Check and show the configuration
    #[command(subcommand)]
    Config(config::Command),
    /// Print the version
    Version,
}

#[derive(Debug, Subcommand)]
enum MailboxCommand {
    /// Take the old mails that wait because they are more than `start_limit`
    Start {
        /// The mailbox
        name: MailboxName,
    },
}

/// Every verb with the words before it, such as `queue list`, in the order of the help text.
#[must_use]
pub fn verbs() -> Vec<String> {
    fn below(command: &clap::Command, before: &str, found: &mut Vec<String>) {
        for verb in command.get_subcommands() {
            let words = format!("{before} {}", verb.get_name()).trim_start().to_owned();
            if verb.has_subcommands() { below(verb, &words, found) } else { found.push(words) }
        }
    }
    let mut found = Vec::new();
    below(&Arguments::command(), "", &mut found);
    found
}

/// Runs the command that the process was started with.
#[must_use]
pub fn main() -> ExitCode {
    let arguments: Vec<OsString> = std::env::args_os().collect();
    // Before anything else: the parse worker has no runtime, no log, no configuration and no secrets.
    if arguments.get(1).is_some_and(|verb| verb == "parse-worker") {
        return parser::worker::run();
    }
    let ended = parse(&arguments).and_then(|arguments| dispatch(&arguments));
    match ended {
        Ok(code) => code,
        Err(failure) => {
            output::complain(&failure.text);
            failure.exit.into()
        }
    }
}

fn parse(arguments: &[OsString]) -> Result<Arguments, Failure> {
    let plain = arguments.iter().any(|argument| argument == "--no-color");
    let color = if plain { clap::ColorChoice::Never } else { clap::ColorChoice::Auto };
    let parsed = Arguments::command().color(color).try_get_matches_from(arguments);
    parsed.and_then(|matches| Arguments::from_arg_matches(&matches)).map_err(|error| {
        let exit = if error.use_stderr() { Exit::Usage } else { Exit::Ok };
        match error.print() {
            Ok(()) => Failure::silent(exit),
            Err(error) => error.into(),
        }
    })
}

/// The one place that knows which module does which verb.
fn dispatch(arguments: &Arguments) -> Result<ExitCode, Failure> {
    let common = &arguments.common;
    match &arguments.verb {
        Verb::Run => run::run(common)?,
        Verb::Version => status::version(common)?,
        Verb::Reload => wait(status::reload(common))?,
        Verb::Status => wait(status::status(common))?,
        Verb::Queue(command) => wait(queue::run(command, common))?,
        Verb::Mailbox(MailboxCommand::Start { name }) => wait(status::start(name, common))?,
        Verb::Demo(options) => demo::run(*options)?,
        Verb::Message(command) => return wait(run::message(command, common)),
        Verb::Config(command) => {
            let (mut out, mut err) = (io::stdout().lock(), io::stderr().lock());
            return Ok(config::run(command, common.json, &access::sources(common), &mut out, &mut err)?.into());
        }
    }
    Ok(Exit::Ok.into())
}

/// Runs a short command to its end, on this thread.
fn wait<T>(command: impl Future<Output = Result<T, Failure>>) -> Result<T, Failure> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().max_blocking_threads(8).build();
    let runtime = runtime.map_err(|error| Failure::new(Exit::Software, format!("starting the runtime: {error}")))?;
    runtime.block_on(command)
}
