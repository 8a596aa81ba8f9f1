//! One folder of a mailbox: which of its mails are ours to take, decided at the first select and at each change of
//! UIDVALIDITY, and durable before anything is fetched. After that only our own record counts, no flag.
//!
//! A change of UIDVALIDITY gives every mail a new UID. What arrived since the very first select is fetched again and
//! found by its bytes (`rebind`): what was taken before is not posted twice, what was not is new. Older mails are treated
//! as at the first run, by `start`: they were not ours before unless it took them.

use std::time::Duration;

use tokio::time::Instant;

use super::{Context, Trouble};
use crate::clock::UtcMillis;
use crate::config::mailbox::Start;
use crate::ids::{MailboxName, Uid, UidValidity};
use crate::imap::error::Violation;
use crate::imap::{self, Session, session};
use crate::queue::{self, FolderKey, FolderRecord, Queue, Unfetched};
use crate::telemetry::event;
use crate::uids::UidSet;

/// Time between two searches of the whole folder: some servers leave UIDs out of a list and show them later.
const FULL_EVERY: Duration = Duration::from_secs(3600);
const SECOND: Duration = Duration::from_secs(1);

/// What is known of a folder between two visits.
#[derive(Debug)]
pub(super) struct Folder {
    pub(super) key: FolderKey,
    pub(super) view: Option<session::Folder>,
    pub(super) record: Option<FolderRecord>,
    /// The UIDs that need not be fetched, as of the last full search and what was taken since.
    pub(super) accounted: UidSet,
    /// The UIDs whose fetch failed: fetched alone, after all others.
    pub(super) suspects: UidSet,
    /// Those of them that have ended a session: fetched after the others.
    pub(super) deadly: UidSet,
    /// The UIDs whose mails are far larger than the server told: fetched as if they were as large as a mail may be.
    pub(super) understated: UidSet,
    /// Actions on the server wait until then: it has refused one for now.
    pub(super) act_after: Instant,
    /// The server does not let us select it.
    pub(super) refused: bool,
    /// What stands for UIDVALIDITY in this session, when the server names none.
    made_up: Option<UidValidity>,
    /// It was said that the folder takes no flags.
    pub(super) told_unsupported: bool,
    /// It was said that the server wants to be asked for less, and it still does.
    pub(super) told_throttled: bool,
    next_search: Instant,
    next_full: Instant,
    news: bool,
    /// Finished mails wait for their action.
    pub(super) act: bool,
}

impl Folder {
    pub(super) fn new(mailbox: &MailboxName, name: &str) -> Self {
        let now = Instant::now();
        Self {
            key: FolderKey { mailbox: mailbox.clone(), folder: name.to_owned() },
            view: None,
            record: None,
            accounted: UidSet::new(),
            suspects: UidSet::new(),
            deadly: UidSet::new(),
            understated: UidSet::new(),
            act_after: now,
            refused: false,
            made_up: None,
            told_unsupported: false,
            told_throttled: false,
            next_search: now,
            next_full: now,
            news: false,
            act: false,
        }
    }

    /// A new session knows nothing: search the whole folder.
    pub(super) fn new_session(&mut self) {
        self.view = None;
        self.made_up = None;
        self.search_all_now();
    }

    pub(super) fn search_now(&mut self) {
        self.next_search = Instant::now();
    }

    pub(super) fn search_all_now(&mut self) {
        self.next_full = Instant::now();
        self.search_now();
    }

    /// The server has told that there is something new in the selected folder.
    pub(super) fn note_news(&mut self) {
        self.news = true;
        self.search_now();
    }

    /// Whether the queue has something for this folder: finished mails, mails to be fetched again, or old mail that may
    /// be taken now. A store that does not answer has nothing.
    pub(super) async fn wants_action(&self, queue: &Queue) -> bool {
        if self.act_after > Instant::now() {
            return false;
        }
        if queue.undisposed(&self.key, self.uidvalidity(), 1).await.is_ok_and(|due| !due.is_empty()) {
            return true;
        }
        if self.wants_refetch(queue).await.unwrap_or(false) {
            return true;
        }
        self.waiting_to_start() > 0
            && queue.folder(&self.key).await.is_ok_and(|record| record.is_some_and(|record| !record.start_waits))
    }

    /// Whether a mail is to be fetched again. One whose fetch has failed since then waits for the next search.
    async fn wants_refetch(&self, queue: &Queue) -> Result<bool, queue::Error> {
        Ok(queue.unfetched(&self.key).await?.iter().any(|mail| !self.is_suspect(mail)))
    }

    /// Its fetch has failed in this session of the daemon, and is tried again with each search.
    pub(super) fn is_suspect(&self, mail: &Unfetched) -> bool {
        mail.uidvalidity == self.uidvalidity() && self.suspects.contains(mail.uid)
    }

    /// The old mail may be taken now, or a mail is to be fetched again.
    pub(super) async fn look_for_orders(&mut self, context: &Context) -> Result<(), Trouble> {
        if self.waiting_to_start() > 0 {
            self.record = context.queue.folder(&self.key).await?;
            if self.waiting_to_start() == 0 {
                self.search_all_now();
            }
        }
        if self.wants_refetch(&context.queue).await? {
            self.search_all_now();
        }
        Ok(())
    }

    pub(super) fn has_news(&self) -> bool {
        self.news
    }

    pub(super) fn is_due(&self) -> bool {
        self.act || self.search_is_due()
    }

    pub(super) fn search_is_due(&self) -> bool {
        self.next_search <= Instant::now()
    }

    /// Whether it must be searched in time, however the server tells its news: something is left to be done.
    pub(super) fn must_poll(&self) -> bool {
        self.next_full <= self.next_search || !self.suspects.is_empty()
    }

    /// When it is due by itself.
    pub(super) fn next_search(&self) -> Instant {
        self.next_search
    }

    pub(super) fn full_search_is_due(&self) -> bool {
        self.next_full <= Instant::now() || !self.suspects.is_empty()
    }

    /// The search is done; the next comes after `interval`.
    pub(super) fn searched(&mut self, interval: Duration, full: bool) {
        let now = Instant::now();
        self.news = false;
        self.next_search = now.checked_add(interval).unwrap_or(now);
        if full {
            self.next_full = now.checked_add(FULL_EVERY).unwrap_or(now);
        }
    }

    /// As [`Self::put_off`], and no action before that either: it would fail at once, again and again.
    pub(super) fn rest(&mut self, time: Duration) {
        self.put_off(time);
        self.act_after = self.act_after.max(self.next_search);
    }

    /// A whole search, later.
    pub(super) fn put_off(&mut self, time: Duration) {
        self.searched(time, false);
        self.next_full = self.next_search;
        self.act = false;
    }

    pub(super) fn uidvalidity(&self) -> UidValidity {
        self.record.as_ref().map_or(UidValidity(0), |record| record.uidvalidity)
    }

    /// How many old mails wait for the administrator.
    pub(super) fn waiting_to_start(&self) -> u64 {
        self.record.as_ref().filter(|record| record.start_waits).map_or(0, |record| record.start_uids.len())
    }

    /// The folder was selected: make sure that there is a record which fits.
    pub(super) async fn enter(
        &mut self,
        context: &Context,
        session: &mut Session,
        mut view: session::Folder,
    ) -> Result<(), Trouble> {
        // Until the record fits, no UID of it may be used in what is selected now.
        self.view = None;
        if self.record.is_none() {
            self.record = context.queue.folder(&self.key).await?;
        }
        if view.uidvalidity == UidValidity(0) {
            view.uidvalidity = self.make_up(context.clock.now());
        }
        match &self.record {
            None => {
                let record = first_record(context, session, &view).await?;
                self.adopt(context, record).await?;
            }
            Some(record) if record.uidvalidity != view.uidvalidity => {
                self.tell_change(record.uidvalidity, view.uidvalidity);
                let record = next_record(context, session, &view, record).await?;
                self.adopt(context, record).await?;
            }
            Some(_) => {}
        }
        self.view = Some(view);
        self.refused = false;
        Ok(())
    }

    /// The folder was left for another one and is selected again. An error, which ends the session, when its UIDs no longer
    /// mean what they meant.
    pub(super) fn reenter(&mut self, mut view: session::Folder) -> Result<(), imap::Error> {
        if let Some(made_up) = self.made_up.filter(|_| view.uidvalidity == UidValidity(0)) {
            view.uidvalidity = made_up;
        }
        if view.uidvalidity != self.uidvalidity() {
            let detail = format!("from {} to {} within a session", self.uidvalidity(), view.uidvalidity);
            let violation = Violation { rule: "uidvalidity_changed", detail };
            return Err(imap::Error::Violation { command: "SELECT", violation });
        }
        self.view = Some(view);
        Ok(())
    }

    async fn adopt(&mut self, context: &Context, record: FolderRecord) -> Result<(), Trouble> {
        context.queue.set_folder(&self.key, &record).await?;
        if record.start_waits {
            tracing::warn!(
                event = event::MAILBOX_START_WAITING,
                mailbox = %self.key.mailbox,
                folder = self.key.folder,
                count = record.start_uids.len(),
                start_limit = context.config.start_limit,
                "More old mails than start_limit wait to be taken; `mailbridge mailbox start` lets them go.",
            );
        }
        self.record = Some(record);
        self.suspects = UidSet::new();
        self.deadly = UidSet::new();
        self.understated = UidSet::new();
        self.search_all_now();
        Ok(())
    }

    /// Without UIDVALIDITY a UID means nothing beyond its session (RFC 9051 §2.3.1.1): each session counts as a change, so
    /// that mails are known by their bytes.
    fn make_up(&mut self, now: UtcMillis) -> UidValidity {
        if let Some(known) = self.made_up {
            return known;
        }
        let seconds = u32::try_from(now.0.div_euclid(1000)).unwrap_or(1);
        let last = self.uidvalidity().0;
        let made_up = UidValidity(if seconds > last { seconds } else { last.wrapping_add(1).max(1) });
        tracing::warn!(
            event = event::MAILBOX_PROTOCOL_VIOLATION,
            mailbox = %self.key.mailbox,
            folder = self.key.folder,
            rule = "no_uidvalidity",
            detail = "mails are fetched again in each session and known by their bytes",
            "The mail server names no UIDVALIDITY.",
        );
        *self.made_up.insert(made_up)
    }

    fn tell_change(&self, old: UidValidity, new: UidValidity) {
        tracing::warn!(
            event = event::MAILBOX_UIDVALIDITY_CHANGED,
            mailbox = %self.key.mailbox,
            folder = self.key.folder,
            %old,
            %new,
            action = "compare_contents",
            "The folder has another UIDVALIDITY; its mails are compared with those that were taken before.",
        );
    }
}

/// Whether the UID is ours to take.
pub(super) fn takes(record: &FolderRecord, uid: Uid) -> bool {
    uid >= record.first_new || (!record.start_waits && record.start_uids.contains(uid))
}

/// The very first select (ruling 3).
async fn first_record(
    context: &Context,
    session: &mut Session,
    view: &session::Folder,
) -> Result<FolderRecord, Trouble> {
    let started_at = context.clock.now();
    let first_new = first_new(session, view).await?;
    let start_uids = start_policy(context, session, view, first_new).await?;
    let start_waits = too_many(context, &start_uids);
    // If all is ours, so is what this list has left out, as lists do on some servers.
    let (first_new, start_uids) = match context.config.start {
        Start::All if !start_waits => (Uid(1), UidSet::new()),
        _ => (first_new, start_uids),
    };
    Ok(FolderRecord { uidvalidity: view.uidvalidity, started_at, first_new, start_uids, start_waits, cursor: Uid(0) })
}

/// A new UIDVALIDITY (ruling 5). Everything that is there now is below `first_new`, and fetched with `rebind`.
async fn next_record(
    context: &Context,
    session: &mut Session,
    view: &session::Folder,
    old: &FolderRecord,
) -> Result<FolderRecord, Trouble> {
    let mut first_new = first_new(session, view).await?;
    let there: UidSet = session.uids(Uid(1), view).await?.iter().filter(|uid| *uid < first_new).collect();
    let before = start_policy(context, session, view, first_new).await?;
    let since = arrived_since(session, &there, old.started_at).await?;
    if old.start_waits {
        // The old mails go on waiting; what came later does not, as far as its UIDs lie behind theirs.
        let last_old = there.minus(&since).max().unwrap_or(Uid(0));
        first_new = since.iter().find(|uid| *uid > last_old).unwrap_or(first_new);
    }
    let start_uids: UidSet = since.iter().chain(before.iter()).filter(|uid| *uid < first_new).collect();
    Ok(FolderRecord {
        uidvalidity: view.uidvalidity,
        started_at: old.started_at,
        first_new,
        start_waits: old.start_waits && !start_uids.is_empty(),
        start_uids,
        cursor: Uid(0),
    })
}

/// UIDNEXT, or the one behind the highest UID.
async fn first_new(session: &mut Session, view: &session::Folder) -> Result<Uid, Trouble> {
    if let Some(next) = view.uid_next {
        return Ok(next);
    }
    let highest = session.uids(Uid(1), view).await?.max().unwrap_or(Uid(0));
    Ok(Uid(highest.0.saturating_add(1)))
}

async fn start_policy(
    context: &Context,
    session: &mut Session,
    view: &session::Folder,
    first_new: Uid,
) -> Result<UidSet, Trouble> {
    let all = match context.config.start {
        Start::New => return Ok(UidSet::new()),
        Start::Unseen => session.unseen().await?,
        Start::All => session.uids(Uid(1), view).await?,
    };
    Ok(all.iter().filter(|uid| *uid < first_new).collect())
}

fn too_many(context: &Context, start_uids: &UidSet) -> bool {
    context.config.start_limit > 0 && start_uids.len() > u64::from(context.config.start_limit)
}

/// The mails whose INTERNALDATE is not before `started_at`, or cannot be told.
async fn arrived_since(session: &mut Session, uids: &UidSet, started_at: UtcMillis) -> Result<UidSet, Trouble> {
    let haul = session.metadata(uids).await;
    if let Some(failure) = haul.failure {
        return Err(failure.into());
    }
    // INTERNALDATE knows whole seconds only: what came within the second of the first select may be new.
    let start = started_at.minus(SECOND);
    let before = haul.items.iter().filter(|mail| mail.internal_date.is_some_and(|date| date <= start));
    Ok(uids.minus(&before.map(|mail| mail.uid).collect()))
}
