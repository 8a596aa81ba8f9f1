//! One attempt at one claimed mail: read it, compose the entity, wait for its turn, look up what an earlier attempt left
//! open, post, and record what came of it. Each end is one durable, guarded move of the queue.

use std::future::Future;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::time::{Instant, timeout};

use super::breaker::Breaker;
use super::gate::Gate;
use super::outcome::Outcome;
use super::retry::{Case, Verdict};
use super::session::Session;
use super::{Context, order, read, report};
use crate::clock::UtcMillis;
use crate::compose::{self, Origin};
use crate::config::queue::Ordering;
use crate::config::tenant::{AfterUnknown, Notify};
use crate::entity::TicketMessageEntity;
use crate::fault::Fault;
use crate::ids::QueueId;
use crate::message::{Kind, Message};
use crate::parser::Pool;
use crate::queue::{self, End, Identity, Item, Queue, Turn};
use crate::stop::{Phase, Stop};
use crate::superoffice::{Error, Posted};

/// A mail that waits for an older one is claimed again after a quarter of its age, within these bounds.
const WAIT: (Duration, Duration) = (Duration::from_secs(1), Duration::from_secs(60));

/// A reply waits so long until mails of other mailboxes are read: one of them may be what it answers.
const OTHER_MAILBOXES: Duration = Duration::from_secs(1);

/// Why the work on a mail stops before its regular end.
#[derive(Debug)]
pub(super) enum Out {
    /// With this end.
    End(End),
    /// Somebody else has moved the mail.
    Gone,
    /// The store failed.
    Store(queue::Error),
}

impl From<queue::Error> for Out {
    fn from(error: queue::Error) -> Self {
        match error {
            queue::Error::NoRaw(_) | queue::Error::DamagedRaw(_) => {
                Self::End(End::Failed { class: queue::Error::NO_RAW_CLASS.to_owned(), error: error.to_string() })
            }
            other => Self::Store(other),
        }
    }
}

/// A step of the work.
pub(super) type Step<T> = Result<T, Out>;

/// Where the time went.
#[derive(Debug, Default)]
struct Spent {
    parse: Duration,
    api: Duration,
    attempts: u32,
    /// A call of this attempt has closed the breaker.
    closed: bool,
    /// The Message-Id of what was posted, when it is to be found out whether the API can be searched.
    ask_for: Option<String>,
}

/// One attempt.
#[derive(Debug)]
pub(super) struct Attempt<'a> {
    pub(super) context: &'a Context,
    pub(super) gate: &'a Gate,
    pub(super) stop: &'a Stop,
    pub(super) session: Arc<Session>,
    pub(super) item: Item,
    spent: Mutex<Spent>,
}

/// A mail that is ready to be posted.
struct Ready {
    entity: TicketMessageEntity,
    identity: Identity,
    notify: bool,
}

impl<'a> Attempt<'a> {
    pub(super) fn new(context: &'a Context, gate: &'a Gate, stop: &'a Stop, session: Arc<Session>, item: Item) -> Self {
        let spent = Spent { attempts: item.attempts, ..Spent::default() };
        Self { context, gate, stop, session, item, spent: Mutex::new(spent) }
    }

    /// Does the work and records its end. Gives the time at which the mail is due again, if it is.
    pub(super) async fn run(self) -> Option<UtcMillis> {
        let end = match self.work().await {
            Ok(end) | Err(Out::End(end)) => Some(end),
            Err(Out::Gone) => None,
            Err(Out::Store(error)) => {
                self.store_failed("claimed mail", &error);
                Some(End::Released { at: self.now().plus(WAIT.0) })
            }
        };
        let due = match end {
            Some(end) => self.finish(end).await,
            None => None,
        };
        self.gate.leave(self.item.claim.id);
        let spent = std::mem::take(&mut *self.spent());
        if spent.closed {
            self.release_deferred().await;
        }
        if let Some(message_id) = spent.ask_for {
            self.find_out(&message_id).await;
        }
        due
    }

    async fn work(&self) -> Step<End> {
        self.may_begin()?;
        let message = self.or_stop(read::read(self)).await??;
        self.gate.parsed(self.item.claim.id);
        let ready = self.compose(&message);
        drop(message);
        self.wait_for_older_readings(&ready.identity).await?;
        let mut looked_up = false;
        loop {
            let call = self.or_stop(self.session.calls.acquire()).await?;
            let Some(pass) = self.gate.enter() else { return Ok(self.released(Duration::ZERO)) };
            if !looked_up {
                self.look_up(&ready.entity).await?;
                self.may_risk(&pass, &ready.entity).await?;
                looked_up = true;
            }
            let retry_at = self.now().plus(self.session.policy.backoff.random_delay(self.number().saturating_add(1)));
            match self.queue().begin_write(self.item.claim, ready.identity.clone(), retry_at).await? {
                None => return Err(Out::Gone),
                Some(Turn::Write(number)) => return self.write(number, &ready).await,
                Some(Turn::Duplicate(of)) => return Ok(End::Duplicate { of: format!("same mail as {of}") }),
                Some(Turn::Wait(older)) => {
                    drop((pass, call));
                    self.wait_for(older).await?;
                }
            }
        }
    }

    /// No new work when the daemon stops, and no look-up before the server had time to finish what it may still be doing.
    fn may_begin(&self) -> Step<()> {
        if self.stop.phase() > Phase::Run {
            return Err(Out::End(self.released(Duration::ZERO)));
        }
        let quiet = self.session.policy.verify_after;
        match self.item.verify_since.map(|since| since.plus(quiet)) {
            Some(at) if at > self.now() && self.must_verify() => Err(Out::End(End::Released { at })),
            _ => Ok(()),
        }
    }

    fn compose(&self, message: &Message) -> Ready {
        let item = &self.item;
        let mailbox = self.session.mailbox(&item.key.mailbox);
        let origin = Origin {
            queue_id: item.claim.id,
            mailbox: item.key.mailbox.clone(),
            folder: item.key.folder.clone(),
            uidvalidity: item.uidvalidity,
            uid: item.uid,
            internal_date: item.internal_date,
            size: item.size,
            stub: item.stub,
        };
        let ordering = self.session.config.queue.ordering;
        let identity = order::identity(message, &item.key.mailbox, &mailbox, ordering);
        let notify = notify(self.session.options.notify, message);
        Ready { entity: compose::compose(message, &origin, &mailbox), identity, notify }
    }

    /// Before its first write a mail waits, at most `parse_time`, until what older mails are known by is known. For mails of
    /// other mailboxes only a reply waits, and not for long: whoever sends a mail that is hard to read stops no other mailbox.
    async fn wait_for_older_readings(&self, identity: &Identity) -> Step<()> {
        if self.item.attempts > 0 || self.session.config.queue.ordering == Ordering::None {
            return Ok(());
        }
        let (id, limit) = (self.item.claim.id, self.session.rules.limits.parse_time.0);
        // Too late is no fault: the older mail has lost its turn.
        let own = timeout(limit, self.gate.older_of_mailbox_are_parsed(id, &self.item.key.mailbox));
        self.or_stop(own).await.map(drop)?;
        if !identity.refers.is_empty() {
            let all = timeout(OTHER_MAILBOXES.min(limit), self.gate.older_are_parsed(id));
            self.or_stop(all).await.map(drop)?;
        }
        Ok(())
    }

    /// Waits in memory while the older mail is at work here; else the queue is asked again later.
    async fn wait_for(&self, older: QueueId) -> Step<()> {
        let limit = self.session.options.request_timeout.0.saturating_add(self.session.rules.limits.parse_time.0);
        if self.gate.is_active(older) && self.or_stop(timeout(limit, self.gate.left(older))).await?.is_ok() {
            return Ok(());
        }
        let age = self.now().since(self.item.accepted_at);
        let quarter = age.checked_div(4).unwrap_or_default();
        Err(Out::End(self.released(quarter.clamp(WAIT.0, WAIT.1))))
    }

    // ── the write ──

    async fn write(&self, number: u32, ready: &Ready) -> Step<End> {
        self.spent().attempts = number;
        let started = Instant::now();
        let result = tokio::select! {
            biased;
            result = self.session.client.post(&ready.entity, ready.notify) => result,
            () = self.stop.reached(Phase::Now) => return Ok(self.interrupted()),
        };
        self.note_api(started.elapsed());
        match result {
            Ok(posted) => {
                if self.session.policy.after_unknown == AfterUnknown::Search && self.gate.ask_searchable() {
                    self.spent().ask_for.clone_from(&ready.entity.message_id);
                }
                Ok(self.posted(number, posted, started.elapsed()))
            }
            Err(error) => {
                report::refused(self, "post", number, &error, started.elapsed());
                self.failed(&error, &ready.entity).await
            }
        }
    }

    fn posted(&self, number: u32, posted: Posted, took: Duration) -> End {
        report::accepted(self, "post", number, took);
        if posted.ej_message_id.is_none() && self.gate.tell_no_key() {
            report::no_key(self, number);
        }
        self.succeeded();
        End::Delivered { ej_message_id: posted.ej_message_id, ticket_id: posted.ticket_id }
    }

    async fn failed(&self, error: &Error, entity: &TicketMessageEntity) -> Step<End> {
        let costly = error.fault() == Fault::Unknown && !error.is_complete_failure() && self.risks_a_hold();
        self.record(Some(error), costly);
        self.learn(error, entity).await?;
        let case = self.case(error);
        if case.fault == Fault::Unknown && self.session.policy.after_unknown == AfterUnknown::Post {
            report::unknown_outcome(self, "posted_again");
        }
        Ok(match self.session.policy.verdict(&case, fastrand::f64()) {
            Verdict::Retry { delay, verify } => self.put_off(error, delay, verify),
            Verdict::Hold => self.held(&error.to_string(), "held"),
            Verdict::Fail => End::Failed { class: error.class().to_owned(), error: error.to_string() },
            Verdict::Expire => End::Failed { class: "expired".to_owned(), error: error.to_string() },
        })
    }

    pub(super) fn interrupted(&self) -> End {
        End::Deferred {
            at: self.now().plus(self.session.policy.verify_after),
            class: "unknown_outcome".to_owned(),
            error: "the daemon stopped before the answer came".to_owned(),
            verify: true,
        }
    }

    // ── ends ──

    pub(super) fn case(&self, error: &Error) -> Case {
        let (item, rules) = (&self.item, self.session.breaker());
        let (waited, breaker_open, refuses_all) = self.gate.breaker(|breaker| {
            let waited = breaker.counted(item.waits_since, self.now());
            (waited, !breaker.is_closed(), breaker.refuses_all(rules) && error.refusal().is_some())
        });
        Case {
            fault: error.fault(),
            complete_failure: error.is_complete_failure(),
            late: error.is_late(),
            verify: false,
            attempts: self.number(),
            waited,
            breaker_open,
            refuses_all,
            searchable: self.gate.searchable(),
        }
    }

    pub(super) fn put_off(&self, error: &Error, delay: Duration, verify: bool) -> End {
        let class = error.class().to_owned();
        End::Deferred { at: self.now().plus(delay), class, error: error.to_string(), verify }
    }

    /// Put off for a reason of our own, by the ordinary schedule.
    pub(super) fn deferred(&self, class: &str, error: &dyn std::fmt::Display, verify: bool) -> End {
        let delay = self.session.policy.backoff.random_delay(self.number().saturating_add(1));
        End::Deferred { at: self.now().plus(delay), class: class.to_owned(), error: error.to_string(), verify }
    }

    pub(super) fn held(&self, error: &str, then: &'static str) -> End {
        report::unknown_outcome(self, then);
        End::Held { reason: "unknown_outcome".to_owned(), error: error.to_owned() }
    }

    fn released(&self, delay: Duration) -> End {
        End::Released { at: self.now().plus(delay) }
    }

    /// Records the end, however long the store needs: what the API has taken must not be posted again.
    async fn finish(&self, end: End) -> Option<UtcMillis> {
        let mut failures: u32 = 0;
        loop {
            match self.queue().finish(self.item.claim, end.clone()).await {
                Ok(true) => {
                    report::ended(self, &end, self.number());
                    return due(&end);
                }
                Ok(false) => return None,
                Err(error) => self.store_failed("end of a mail", &error),
            }
            failures = failures.saturating_add(1);
            let pause = tokio::time::sleep(self.session.policy.backoff.random_delay(failures).min(WAIT.1));
            self.or_stop(pause).await.ok()?;
        }
    }

    fn store_failed(&self, op: &'static str, error: &queue::Error) {
        let qid = self.item.claim.id;
        tracing::error!(event = crate::telemetry::event::STORE_ERROR, op, %qid, %error, "The store has failed.");
    }

    // ── the tenant ──

    pub(super) fn succeeded(&self) {
        self.record(None, false);
        let now = self.now();
        self.context.progress.tenant(&self.item.tenant, |status| status.last_post = Some(now));
    }

    /// When the breaker closes, deferred mail is due at once (ruling 11). After the end of this mail is durable: there may
    /// be much to release.
    async fn release_deferred(&self) {
        if let Err(error) = self.queue().release_deferred(&self.item.tenant).await {
            self.store_failed("release of deferred mail", &error);
        }
    }

    /// Tells the breaker how a call ended; `costly`: a mail now waits for a person because of it.
    pub(super) fn record(&self, error: Option<&Error>, costly: bool) {
        let change = Outcome::of(error, costly)
            .and_then(|outcome| self.gate.record(outcome, self.session.breaker(), self.now()));
        let word = self.gate.breaker(Breaker::word);
        self.context.progress.tenant(&self.item.tenant, |status| {
            word.clone_into(&mut status.breaker);
            status.last_error = error.map(ToString::to_string);
        });
        let Some(change) = change else { return };
        if !change.quiet {
            report::breaker(self, change, error);
        }
        if change.to == "closed" {
            self.spent().closed = true;
        }
    }

    // ── what everything here needs ──

    /// The work, unless the daemon's grace is over: then nothing more is begun, even if it could be.
    pub(super) async fn or_stop<T>(&self, work: impl Future<Output = T>) -> Step<T> {
        tokio::select! {
            biased;
            () = self.stop.reached(Phase::Now) => Err(Out::End(self.released(Duration::ZERO))),
            done = work => Ok(done),
        }
    }

    pub(super) const fn queue(&self) -> &Queue {
        &self.context.queue
    }

    pub(super) const fn pool(&self) -> &Pool {
        &self.context.pool
    }

    pub(super) fn now(&self) -> UtcMillis {
        self.context.clock.now()
    }

    /// The name written to `MailSorter`, for the log.
    pub(super) fn sorter(&self) -> String {
        let name = self.session.mailbox(&self.item.key.mailbox).mail_sorter;
        if name.is_empty() { self.item.key.mailbox.to_string() } else { name }
    }

    fn spent(&self) -> std::sync::MutexGuard<'_, Spent> {
        self.spent.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The number of the last write.
    pub(super) fn number(&self) -> u32 {
        self.spent().attempts
    }

    pub(super) fn note_parse(&self, took: Duration) {
        let mut spent = self.spent();
        spent.parse = spent.parse.saturating_add(took);
    }

    pub(super) fn note_api(&self, took: Duration) {
        let mut spent = self.spent();
        spent.api = spent.api.saturating_add(took);
    }

    /// Time spent reading, and in calls of the API.
    pub(super) fn times(&self) -> (Duration, Duration) {
        let spent = self.spent();
        (spent.parse, spent.api)
    }
}

/// When a mail with this end is due again.
const fn due(end: &End) -> Option<UtcMillis> {
    match end {
        End::Deferred { at, .. } | End::Released { at } => Some(*at),
        End::Delivered { .. } | End::Duplicate { .. } | End::Failed { .. } | End::Held { .. } => None,
    }
}

/// Whether the save tells the server's users.
const fn notify(wanted: Notify, message: &Message) -> bool {
    match wanted {
        Notify::Never => false,
        Notify::Human => matches!(message.kind, Kind::Human) && message.may_answer,
        Notify::Always => true,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_waiting_mail_is_due_again() {
        let at = UtcMillis(5);
        assert_eq!(due(&End::Released { at }), Some(at));
        assert_eq!(due(&End::Duplicate { of: String::new() }), None);
        assert_eq!(due(&End::Held { reason: String::new(), error: String::new() }), None);
    }
}
