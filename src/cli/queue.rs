//! `mailbridge queue …`: looks at the queue, of a running daemon or of a stopped one, and acts on it (running only).

use std::io::Read as _;

use clap::{Args, Subcommand};
use serde_json::json;

use crate::admin::client;
use crate::admin::protocol::{Done, MAX_IDS, Request};
use crate::cli::entry::{Printer, count};
use crate::cli::exit::{Exit, Failure};
use crate::cli::output::{complain, confirm, say, say_json};
use crate::cli::{Common, access};
use crate::clock::Clock;
use crate::config::units::Period;
use crate::ids::{MailboxName, QueueId};
use crate::queue::{Entry, Filter, Operated, Operation, State};

/// The most bytes of ids that are read from stdin.
const MAX_STDIN: u64 = 16 << 20;

/// The verbs.
#[derive(Debug, Subcommand)]
pub(super) enum QueueCommand {
    /// List mails: the unfinished and the dead, or what the filter says
    List(Selection),
    /// Show everything about the given mails
    Show(Selection),
    /// Try again now; a dead mail from the start
    Retry(Selection),
    /// Give up: no ticket message for these mails
    Drop(Selection),
    /// Stop mails until they are released
    Hold(Selection),
    /// Let held mails go on; one held for an unknown outcome is then posted without a look-up
    Release(Selection),
}

/// Which mails.
#[derive(Debug, Clone, Default, Args)]
pub(super) struct Selection {
    /// Queue ids; `-` reads them from stdin
    #[arg(value_name = "QID")]
    ids: Vec<String>,
    /// Of this mailbox
    #[arg(long, value_name = "NAME")]
    mailbox: Option<MailboxName>,
    /// In this state: ready, inflight, deferred, held, posted (and duplicate), dead or
    /// dropped_admin
    #[arg(long, value_name = "STATE")]
    state: Vec<State>,
    /// With this class of the last error
    #[arg(long, value_name = "CLASS")]
    error: Option<String>,
    /// Stored longer ago than this, as in 2h
    #[arg(long, value_name = "DURATION")]
    older: Option<Period>,
    /// At most so many, the oldest
    #[arg(short = 'n', value_name = "N")]
    number: Option<u32>,
    /// All: of every state (list, show), or all that the verb can act on
    #[arg(long)]
    all: bool,
}

/// Runs a verb.
///
/// # Errors
/// Usage, an unknown id (66), no daemon for a verb that changes something (69), or what the daemon says.
pub(super) async fn run(command: &QueueCommand, common: &Common) -> Result<(), Failure> {
    match command {
        QueueCommand::List(selection) => list(selection, common).await,
        QueueCommand::Show(selection) => show(selection, common).await,
        QueueCommand::Retry(selection) => operate(Operation::Retry, selection, common).await,
        QueueCommand::Drop(selection) => operate(Operation::Drop, selection, common).await,
        QueueCommand::Hold(selection) => operate(Operation::Hold, selection, common).await,
        QueueCommand::Release(selection) => operate(Operation::Release, selection, common).await,
    }
}

async fn list(selection: &Selection, common: &Common) -> Result<(), Failure> {
    let entries = entries(&selection.filter(&[])?, common).await?;
    let printer = Printer::new(common);
    if !common.json {
        return printer.table(&entries).into_iter().try_for_each(|line| say(&line));
    }
    entries.iter().try_for_each(|entry| say_json(&printer.object(entry)))
}

async fn show(selection: &Selection, common: &Common) -> Result<(), Failure> {
    if !selection.says_which() {
        let text = "say which: `mailbridge queue show QID…`, a filter such as --mailbox or --state, or --all";
        return Err(Failure::new(Exit::Usage, text));
    }
    let filter = selection.filter(&State::ALL)?;
    let entries = entries(&filter, common).await?;
    let printer = Printer::new(common);
    for entry in &entries {
        if common.json { say_json(&printer.object(entry))? } else { say(&printer.details(entry))? }
    }
    let known = |id: &QueueId| entries.iter().any(|entry| entry.qid == *id);
    match filter.ids.iter().find(|id| !known(id)) {
        Some(id) => Err(Failure::new(Exit::NoInput, format!("there is no mail {id} in the queue"))),
        None => Ok(()),
    }
}

async fn operate(operation: Operation, selection: &Selection, common: &Common) -> Result<(), Failure> {
    if !selection.says_which() {
        let verb = operation.as_str();
        let text =
            format!("say which: `mailbridge queue {verb} QID…`, a filter such as --mailbox or --state, or --all");
        return Err(Failure::new(Exit::Usage, text));
    }
    // Asked first, so that nobody types a count for a daemon that is not there.
    drop(access::daemon(common).await?);
    let ids = targets(operation, selection, common).await?;
    if operation == Operation::Drop && !common.yes && !ids.is_empty() {
        confirm(&format!("drop {}?", count(ids.len())), ids.len())?;
    }
    let mut outcomes: Vec<Done> = Vec::new();
    for chunk in ids.chunks(MAX_IDS) {
        let request = Request::QueueOperate { operation, ids: chunk.to_vec() };
        access::daemon(common).await?.ask(&request, |done| outcomes.push(done)).await?;
    }
    report(operation, &outcomes, common)
}

/// The ids that are meant: those given, or those that the filter finds among what the verb can act on.
async fn targets(operation: Operation, selection: &Selection, common: &Common) -> Result<Vec<QueueId>, Failure> {
    let filter = selection.filter(acted_on(operation))?;
    if selection.only_ids() {
        return Ok(filter.ids);
    }
    Ok(entries(&filter, common).await?.into_iter().map(|entry| entry.qid).collect())
}

/// The states that a filter means when it names none.
const fn acted_on(operation: Operation) -> &'static [State] {
    match operation {
        Operation::Retry => &[State::Deferred, State::Failed],
        Operation::Hold => &[State::Queued, State::Deferred],
        Operation::Release => &[State::Held],
        Operation::Drop => &[State::Queued, State::Deferred, State::Held, State::Failed],
    }
}

fn report(operation: Operation, outcomes: &[Done], common: &Common) -> Result<(), Failure> {
    for done in outcomes {
        match (&done.outcome, common.json) {
            (outcome, true) => say_json(&json!({ "v": 1, "qid": done.qid, "outcome": outcome }))?,
            (Operated::Done, false) => {}
            (Operated::NotFound, false) => complain(&format!("there is no mail {} in the queue", done.qid)),
            (Operated::Refused(why), false) => complain(&format!("{}: {why}", done.qid)),
        }
    }
    let n = outcomes.iter().filter(|done| done.outcome == Operated::Done).count();
    if !common.json {
        say(&match operation {
            Operation::Retry => format!("retry scheduled for {}", count(n)),
            Operation::Drop => format!("dropped {}", count(n)),
            Operation::Hold => format!("held {}", count(n)),
            Operation::Release => format!("released {}", count(n)),
        })?;
    }
    match outcomes.iter().find(|done| done.outcome != Operated::Done).map(|done| &done.outcome) {
        None | Some(Operated::Done) => Ok(()),
        Some(Operated::NotFound) => Err(Failure::silent(Exit::NoInput)),
        Some(Operated::Refused(_)) => Err(Failure::silent(Exit::No)),
    }
}

/// Asks the running daemon, or the store of a stopped one.
async fn entries(filter: &Filter, common: &Common) -> Result<Vec<Entry>, Failure> {
    let mut entries = Vec::new();
    for filter in chunks(filter) {
        match access::daemon(common).await {
            Ok(client) => ask(client, filter, &mut entries).await?,
            Err(failure) if failure.exit == Exit::Unavailable && common.socket.is_none() => {
                entries.extend(access::stopped_queue(common)?.list(&filter).await?);
            }
            Err(failure) => return Err(failure),
        }
    }
    Ok(entries)
}

async fn ask(client: client::Client, filter: Filter, entries: &mut Vec<Entry>) -> Result<(), client::Error> {
    client.ask(&Request::QueueList { filter }, |entry| entries.push(entry)).await
}

/// Filters with no more ids each than a request may have.
fn chunks(filter: &Filter) -> Vec<Filter> {
    if filter.ids.is_empty() {
        return vec![filter.clone()];
    }
    filter.ids.chunks(MAX_IDS).map(|ids| Filter { ids: ids.to_vec(), ..filter.clone() }).collect()
}

impl Selection {
    fn says_which(&self) -> bool {
        self.all || !self.ids.is_empty() || self.has_filter()
    }

    const fn has_filter(&self) -> bool {
        let words = self.mailbox.is_some() || self.error.is_some() || self.older.is_some();
        words || !self.state.is_empty() || self.number.is_some()
    }

    const fn only_ids(&self) -> bool {
        !self.ids.is_empty() && !self.has_filter()
    }

    /// As a filter; `states` are meant when none is named.
    fn filter(&self, states: &[State]) -> Result<Filter, Failure> {
        let states = match (self.state.as_slice(), states) {
            ([], []) if self.all || !self.ids.is_empty() => State::ALL.to_vec(),
            ([], states) => states.to_vec(),
            (named, _) => named.to_vec(),
        };
        Ok(Filter {
            ids: self.parsed_ids()?,
            mailbox: self.mailbox.clone(),
            states,
            error_class: self.error.clone(),
            accepted_before: self.older.map(|age| Clock::system().now().minus(age.0)),
            limit: self.number.unwrap_or(0),
        })
    }

    fn parsed_ids(&self) -> Result<Vec<QueueId>, Failure> {
        let mut words = self.ids.clone();
        if let Some(place) = words.iter().position(|word| word == "-") {
            let mut text = String::new();
            let read = std::io::stdin().lock().take(MAX_STDIN).read_to_string(&mut text);
            read.map_err(|error| Failure::new(Exit::NoInput, format!("reading ids from stdin: {error}")))?;
            words.splice(place..=place, text.split_whitespace().map(str::to_owned));
        }
        let parsed = words.iter().map(|word| word.parse::<QueueId>());
        parsed.collect::<Result<_, _>>().map_err(|error| Failure::new(Exit::Usage, error.to_string()))
    }
}
