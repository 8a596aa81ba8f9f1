//! `mailbridge demo`: the whole product on one command. A loopback mail server with sample mails, a loopback SuperOffice
//! API that checks every request, and the real daemon between them, on a configuration like any other.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::{DirBuilder, OpenOptions};
use std::io::{self, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use clap::Args;

use crate::cli::exit::{Exit, Failure};
use crate::cli::output::say;
use crate::cli::table::Table;
use crate::clock::Clock;
use crate::config::{self, Sources};
use crate::daemon::{self, Daemon, Setup, places::Places};
use crate::queue::{Entry, Filter, State};
use crate::sandbox::imap_server::{self, ImapServer};
use crate::sandbox::samples;
use crate::sandbox::superoffice_api::{self, Stored, SuperofficeApi};
use crate::telemetry::logging;

/// The user of the mailbox and of the API.
const USER: &str = "support@example.org";
/// The password of both; they live on loopback, and as long as the demo.
const PASSWORD: &str = "demo";
/// [`USER`] and [`PASSWORD`] as a header.
const AUTHORIZATION: &str = "Basic c3VwcG9ydEBleGFtcGxlLm9yZzpkZW1v";
/// With --exit-when-done a mail that takes longer is missing.
const PATIENCE: Duration = Duration::from_secs(60);
/// What the queue may need to record the last outcome.
const RECORDING: Duration = Duration::from_secs(5);

/// The options of `mailbridge demo`.
#[derive(Debug, Clone, Copy, Args)]
pub(super) struct Options {
    /// End when every sample mail has its ticket message: 0, or 1 when one has none, or two, or the API refused a request
    #[arg(long)]
    exit_when_done: bool,
    /// Leave the working folder (configuration, store) behind
    #[arg(long)]
    keep: bool,
}

/// One sample mail in the mailbox.
struct Sent {
    uid: u32,
    name: &'static str,
}

/// Ticket messages by the UID of their mail.
type Found = BTreeMap<u32, Vec<Stored>>;

/// Runs the demo.
///
/// # Errors
/// When it could not be set up, or (with --exit-when-done) a sample mail is not on exactly one ticket message.
pub(super) fn run(options: Options) -> Result<(), Failure> {
    let doing = format!("making a working folder in {}", std::env::temp_dir().display());
    let folder = Folder::make(options.keep).map_err(|error| cannot(&doing, &error))?;
    // The only error is that a provider is installed already: then there is one.
    drop(rustls::crypto::ring::default_provider().install_default());
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build();
    let ended = runtime.map_err(|error| cannot("starting the runtime", &error))?.block_on(stage(options, &folder));
    if options.keep {
        say(&format!("the working folder stays: {}", folder.path.display()))?;
    }
    ended
}

/// Starts both servers and plays the story beside them.
async fn stage(options: Options, folder: &Folder) -> Result<(), Failure> {
    let bound = |error| cannot("starting the servers", &error);
    let imap = ImapServer::bind(imap_server::Options::default()).await.map_err(bound)?;
    let locked = superoffice_api::Options { authorization: Some(AUTHORIZATION.to_owned()), ..Default::default() };
    let api = SuperofficeApi::bind(locked).await.map_err(bound)?;
    let (mailbox, tickets) = (imap.handle(), api.handle());
    mailbox.add_user(USER, PASSWORD);
    let send = |sample: samples::Sample| Sent {
        uid: mailbox.append(USER, "INBOX", sample.raw.into_owned()),
        name: sample.name,
    };
    let sent: Vec<Sent> = samples::all().into_iter().map(send).collect();
    let (port, url) = (imap.address().port(), api.url());
    let file = folder.configure(port, &url).map_err(|error| cannot("writing the configuration", &error))?;
    let setup = setup(&file, options)?;
    let story = async {
        if options.exit_when_done {
            return finish(setup, &sent, &tickets).await;
        }
        introduce(&file, port, &url)?;
        Ok(daemon::run(setup).await?)
    };
    tokio::select! {
        () = imap.serve() => Err(Failure::new(Exit::Software, "the mail server of the demo ended")),
        () = api.serve() => Err(Failure::new(Exit::Software, "the API of the demo ended")),
        ended = story => ended,
    }
}

/// What the daemon is started with: the file alone, no environment, no drop-ins.
fn setup(file: &Path, options: Options) -> Result<Setup, Failure> {
    let sources = Sources { file: Some(file.to_owned()), conf_dir: None, env: Vec::new() };
    let loaded = config::load(&sources)?;
    let (log, places) = (&loaded.config.log, Places::of_process(&loaded.config));
    let level = if options.exit_when_done { config::log::Level::Warn } else { log.level };
    let instance = loaded.config.service.instance.clone();
    logging::install(&logging::Options { level: level.filter(), format: log.format.into(), instance })
        .map_err(|error| Failure::new(Exit::Unavailable, error.to_string()))?;
    Ok(Setup { loaded, sources, places, program: PathBuf::from("/proc/self/exe"), clock: Clock::system() })
}

/// Says where to look while the daemon runs.
fn introduce(file: &Path, port: u16, url: &str) -> Result<(), Failure> {
    let file = file.display();
    say(&format!(
        "mailbox  imap://127.0.0.1:{port} without TLS, user {USER}, password {PASSWORD}\n\
         API      {url}/api/v1/TicketMessage, the same user and password\n\
         files    {file} and beside it; the log is here, on stderr\n\
         look     mailbridge -c {file} queue list --state posted\n\
         send     curl 'imap://127.0.0.1:{port}/INBOX' -u '{USER}:{PASSWORD}' -T mail.eml\n\
         end      Ctrl-C"
    ))
}

/// Runs the daemon until every sample mail has its ticket message, and says which has which.
async fn finish(setup: Setup, sent: &[Sent], tickets: &superoffice_api::Handle) -> Result<(), Failure> {
    let start = Instant::now();
    let daemon = Daemon::start(setup).await?;
    let arrived = |api: &superoffice_api::Handle| {
        let found = by_uid(api.stored());
        !api.violations().is_empty() || sent.iter().all(|mail| found.contains_key(&mail.uid))
    };
    tickets.wait(PATIENCE, arrived).await;
    let entries = recorded(&daemon, sent.len()).await?;
    daemon.stop().await?;
    let found = by_uid(tickets.stored());
    report(sent, &entries, &found, start)?;
    verdict(sent, &found, &tickets.violations())
}

/// The queue's rows, as soon as each has reached its end (or waits for a person).
async fn recorded(daemon: &Daemon, n_mails: usize) -> Result<Vec<Entry>, Failure> {
    let filter = Filter { states: State::ALL.to_vec(), ..Filter::default() };
    let mut outcomes = daemon.queue.outcomes();
    let mut look = async || {
        loop {
            outcomes.mark_unchanged();
            let entries = daemon.queue.list(&filter).await?;
            let settled = entries.iter().filter(|entry| entry.state.is_final() || entry.state == State::Held);
            if settled.count() >= n_mails || outcomes.changed().await.is_err() {
                return Ok(entries);
            }
        }
    };
    match tokio::time::timeout(RECORDING, look()).await {
        Ok(entries) => entries,
        Err(_) => Ok(daemon.queue.list(&filter).await?),
    }
}

/// The ticket messages of each mail, by the UID that `DebugInfo` names; 0 when it names none.
fn by_uid(stored: Vec<Stored>) -> Found {
    let mut found = Found::new();
    for message in stored {
        let debug_info = message.entity.get("DebugInfo").and_then(serde_json::Value::as_str).unwrap_or_default();
        let uid = debug_info.split_whitespace().find_map(|word| word.strip_prefix("uid=")?.parse().ok());
        found.entry(uid.unwrap_or(0)).or_default().push(message);
    }
    found
}

/// Prints what became of each mail; MS counts from the daemon's start.
fn report(sent: &[Sent], entries: &[Entry], found: &Found, start: Instant) -> Result<(), Failure> {
    let mut table = Table::new(&["MAIL", "STATE", "TICKET", "MESSAGE", "MS"]);
    for mail in sent {
        let state = entries.iter().find(|entry| entry.uid.0 == mail.uid).map_or("not read", |entry| &entry.word);
        let messages = found.get(&mail.uid).map(Vec::as_slice).unwrap_or_default();
        let cell = |of: &dyn Fn(&Stored) -> String| messages.iter().map(of).collect::<Vec<_>>().join(" ");
        table.row([
            mail.name.to_owned(),
            state.to_owned(),
            cell(&|message| message.ticket_id.to_string()),
            cell(&|message| message.ej_message_id.to_string()),
            cell(&|message| message.at.saturating_duration_since(start).as_millis().to_string()),
        ]);
    }
    table.lines().iter().try_for_each(|line| say(line))
}

/// Prints the counts; an error unless every mail has exactly one ticket message and nothing was outside the contract.
fn verdict(sent: &[Sent], found: &Found, violations: &[String]) -> Result<(), Failure> {
    let count = |mail: &Sent| found.get(&mail.uid).map_or(0, Vec::len);
    let wrong: Vec<&Sent> = sent.iter().filter(|mail| count(mail) != 1).collect();
    let (n_sent, n_stored) = (sent.len(), found.values().map(Vec::len).sum::<usize>());
    let n_violations = violations.len();
    say(&format!("{n_sent} mails, {n_stored} ticket messages, {n_violations} violations of the contract"))?;
    if wrong.is_empty() && n_stored == n_sent && n_violations == 0 {
        return Ok(());
    }
    let mails = wrong.iter().map(|mail| format!("{} has {} ticket messages", mail.name, count(mail)));
    let kinds: BTreeSet<&String> = violations.iter().collect();
    let refused = kinds.into_iter().map(|violation| format!("the API refused: {violation}"));
    Err(Failure::new(Exit::No, mails.chain(refused).collect::<Vec<_>>().join("\n")))
}

fn cannot(doing: &str, error: &io::Error) -> Failure {
    Failure::new(Exit::CantCreate, format!("{doing}: {error}"))
}

/// The working folder; removed at the end, unless it is to be kept.
struct Folder {
    path: PathBuf,
    keep: bool,
}

impl Folder {
    fn make(keep: bool) -> io::Result<Self> {
        let path = std::env::temp_dir().join(format!("mailbridge-demo-{}", std::process::id()));
        DirBuilder::new().mode(0o700).create(&path)?;
        Ok(Self { path, keep })
    }

    /// Writes the configuration; its path.
    fn configure(&self, port: u16, url: &str) -> io::Result<PathBuf> {
        let (file, dir) = (self.path.join("config.toml"), self.path.display());
        let text = format!(
            "service = {{ instance = \"demo\", state_dir = \"{dir}\", runtime_dir = \"{dir}\", shutdown_grace = \"5s\" }}\n\
             log = {{ format = \"text\" }}\nstore = {{ min_free = \"10MiB\" }}\n\
             queue = {{ retry_first = \"200ms\", retry_max = \"2s\" }}\n\n\
             [tenant.demo]\nbase_url = \"{url}\"\nusername = \"{USER}\"\npassword = \"{PASSWORD}\"\n\
             verify_after = \"1s\"\nbreaker_probe = \"1s\"\n\n\
             [mailbox.demo]\nhost = \"127.0.0.1\"\nport = {port}\ntls = \"none\"\nuser = \"{USER}\"\n\
             password = \"{PASSWORD}\"\nstart = \"all\"\nstart_limit = 0\nreconnect_first = \"200ms\"\n"
        );
        OpenOptions::new().write(true).create_new(true).mode(0o600).open(&file)?.write_all(text.as_bytes())?;
        Ok(file)
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        if !self.keep {
            // Nothing in it is of use any more; what cannot be removed lies in the folder for temporary files.
            drop(std::fs::remove_dir_all(&self.path));
        }
    }
}
