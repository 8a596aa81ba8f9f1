//! Delivery: takes the mails of one tenant out of the queue, has them read, and posts them. One loop a tenant; its
//! attempts are futures of the loop, since reading happens in other processes and posting is waiting.
//!
//! Never touches a mailbox, never writes state but through the queue's guarded moves. Hints wake the loop; the truth is the
//! queue, asked again at the latest after five seconds.

mod attempt;
mod breaker;
mod gate;
mod look_up;
mod order;
mod outcome;
mod read;
mod report;
mod retry;
mod session;
mod verify;

use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::Duration;

use futures_util::future::{BoxFuture, FutureExt as _};
use futures_util::stream::{FuturesUnordered, StreamExt as _};
use tokio::sync::watch;
use tokio::time::{Instant, sleep_until};
use tracing::{error, warn};

use crate::backoff::Backoff;
use crate::clock::{Clock, UtcMillis};
use crate::config::Config;
use crate::ids::TenantName;
use crate::parser::Pool;
use crate::queue::{self, Entry, Item, Queue};
use crate::stop::{Phase, Stop};
use crate::superoffice;
use crate::telemetry::event;
use crate::telemetry::progress::Progress;

use attempt::Attempt;
use gate::Gate;
use session::Session;

/// The queue is asked at the latest after this.
const LOOK: Duration = Duration::from_secs(5);
/// A loop that has not come round for so long is stuck.
const ALIVE: Duration = Duration::from_secs(60);
/// How often mails that wait too long are looked for.
const DELAYED_EVERY: Duration = Duration::from_secs(60);

/// A clock that went back by less is left alone.
const CLOCK_SLACK: Duration = Duration::from_secs(1);
/// No mail is put off for longer, unless `retry_max` is longer: what a `Retry-After` may say, and some.
const LONGEST: Duration = Duration::from_hours(2);

/// A mail whose attempt has panicked waits so long.
const AFTER_PANIC: Duration = Duration::from_secs(60);

/// What the loop of a tenant works with.
#[derive(Debug, Clone)]
pub struct Context {
    /// The tenant.
    pub tenant: TenantName,
    /// The configuration in force; a change is picked up at once.
    pub config: watch::Receiver<Arc<Config>>,
    /// The parse workers.
    pub pool: Pool,
    /// The queue.
    pub queue: Queue,
    /// Where to report.
    pub progress: Progress,
    /// The time of day.
    pub clock: Clock,
}

/// Delivers the tenant's mail until `stop`. In [`Phase::Drain`] nothing new is claimed; in [`Phase::Now`] what is in
/// flight is recorded as it stands. Returns when every claimed mail has its end.
pub async fn run(context: Context, stop: Stop) {
    let remembered = context.queue.searchable(&context.tenant).await.unwrap_or_else(|error| {
        error!(event = event::STORE_ERROR, tenant = %context.tenant, op = "search of a tenant", %error, "The store has failed.");
        None
    });
    let gate = Gate::new(remembered);
    Loop::new(&context, &gate, &stop).run().await;
    context.progress.end_beat(&beat_name(&context.tenant));
}

fn beat_name(tenant: &TenantName) -> String {
    format!("delivery {tenant}")
}

/// Something that was begun and has ended.
enum Job {
    /// A session was made, or could not be.
    Opened(Result<Arc<Session>, superoffice::Error>),
    /// Mails were claimed; when the next is due.
    Claimed(Result<(Vec<Item>, Option<UtcMillis>), queue::Error>),
    /// An attempt has ended; when its mail is due again.
    Ended(Option<UtcMillis>),
    /// Mails that wait too long.
    Delayed(Result<Vec<Entry>, queue::Error>),
    /// The time of day went back, and what is due with it.
    SetBack(Result<usize, queue::Error>),
}

struct Loop<'a> {
    context: &'a Context,
    gate: &'a Gate,
    stop: &'a Stop,
    config: watch::Receiver<Arc<Config>>,
    work: watch::Receiver<u64>,
    jobs: FuturesUnordered<BoxFuture<'a, Job>>,
    session: Option<Arc<Session>>,
    /// When a session is to be opened.
    wanted: Option<Instant>,
    opening: bool,
    failures: u32,
    claiming: bool,
    attempts: usize,
    /// When to ask the queue.
    look_at: Instant,
    delayed_at: Instant,
    /// A moment by both clocks; at first, none.
    moment: Option<(Instant, UtcMillis)>,
}

impl<'a> Loop<'a> {
    fn new(context: &'a Context, gate: &'a Gate, stop: &'a Stop) -> Self {
        let now = Instant::now();
        Self {
            context,
            gate,
            stop,
            config: context.config.clone(),
            work: context.queue.work(),
            jobs: FuturesUnordered::new(),
            session: None,
            wanted: Some(now),
            opening: false,
            failures: 0,
            claiming: false,
            attempts: 0,
            look_at: now,
            delayed_at: now,
            moment: None,
        }
    }

    async fn run(mut self) {
        let beat = beat_name(&self.context.tenant);
        let closed = self.gate.breaker(breaker::Breaker::word);
        self.context.progress.tenant(&self.context.tenant, |status| closed.clone_into(&mut status.breaker));
        loop {
            self.context.progress.beat(&beat, ALIVE);
            if self.stop.phase() == Phase::Run {
                self.begin();
            } else if self.attempts == 0 && !self.claiming {
                return;
            }
            let (wake, running) = (self.wake(), self.stop.phase() == Phase::Run);
            tokio::select! {
                Some(job) = self.jobs.next() => self.ended(job),
                Ok(()) = self.work.changed(), if running => self.look_at = Instant::now(),
                Ok(()) = self.config.changed(), if running => self.wanted = Some(Instant::now()),
                () = self.stop.reached(Phase::Drain), if running => {}
                () = sleep_until(wake) => {}
            }
        }
    }

    /// Begins whatever is due.
    fn begin(&mut self) {
        let now = Instant::now();
        self.follow_clock(now);
        if !self.opening && self.wanted.is_some_and(|at| at <= now) {
            (self.opening, self.wanted) = (true, None);
            let (name, config) = (self.context.tenant.clone(), Arc::clone(&self.config.borrow_and_update()));
            self.jobs.push(Session::open(name, config).map(Job::Opened).boxed());
        }
        if self.delayed_at <= now {
            self.delayed_at = later(DELAYED_EVERY);
            let (queue, tenant) = (&self.context.queue, &self.context.tenant);
            let age = self.config.borrow().queue.warn_after.0;
            self.jobs.push(queue.take_delayed(tenant, age).map(Job::Delayed).boxed());
        }
        let limit = self.session.as_ref().map_or(0, |session| self.room(session, now));
        if limit > 0 {
            self.claiming = true;
            self.jobs.push(claim(self.context, limit).map(Job::Claimed).boxed());
        }
    }

    /// What is due is stored by the time of day. When that goes back it is due as much earlier; at the start, when nobody
    /// knows what it did meanwhile, no later than it could have been put off.
    fn follow_clock(&mut self, now: Instant) {
        let today = self.context.clock.now();
        let before = self.moment.replace((now, today));
        let by = before.map(|(then, day)| day.plus(now.saturating_duration_since(then)).since(today));
        if by.is_none_or(|by| by > CLOCK_SLACK) {
            let (queue, tenant) = (&self.context.queue, &self.context.tenant);
            let latest = self.config.borrow().queue.retry_max.0.saturating_mul(2).max(LONGEST);
            self.jobs.push(queue.set_back(tenant, by.unwrap_or_default(), latest).map(Job::SetBack).boxed());
        }
    }

    /// How many mails to claim now. A claim is a commit, so small ones wait until a quarter of the slots is free.
    fn room(&self, session: &Session, now: Instant) -> usize {
        if self.claiming || self.look_at > now {
            return 0;
        }
        let (slots, allowed) = (session.slots(), self.gate.allowance().unwrap_or(0));
        let free = slots.saturating_sub(self.attempts);
        match allowed {
            usize::MAX if free >= slots.div_ceil(4) => free,
            usize::MAX => 0,
            // A probe: it needs few slots, but no more than there are, however long the first takes to be read.
            few => few.min(free),
        }
    }

    /// When something is due without anything having happened.
    fn wake(&self) -> Instant {
        let idle = later(LOOK);
        let gate = match self.gate.allowance() {
            Ok(_) if self.session.is_some() && !self.claiming && self.look_at > Instant::now() => self.look_at,
            Err(Some(until)) => until,
            _ => idle,
        };
        let open = self.wanted.filter(|_| !self.opening).unwrap_or(idle);
        idle.min(gate).min(open)
    }

    fn ended(&mut self, job: Job) {
        match job {
            Job::Opened(result) => self.opened(result),
            Job::Claimed(result) => self.claimed(result),
            Job::Ended(due) => {
                self.attempts = self.attempts.saturating_sub(1);
                self.look_at = self.look_at.min(self.instant(due));
            }
            Job::Delayed(Ok(entries)) => {
                let now = self.context.clock.now();
                entries.iter().for_each(|entry| report::delayed(entry, now));
            }
            Job::Delayed(Err(error)) => self.store_failed("search for delayed mail", &error),
            Job::SetBack(Ok(_)) => self.look_at = Instant::now(),
            Job::SetBack(Err(error)) => self.store_failed("setting back due times", &error),
        }
    }

    /// A tenant that cannot be used is in state failed, said once and tried again; its mail stays queued (ruling 10).
    fn opened(&mut self, result: Result<Arc<Session>, superoffice::Error>) {
        self.opening = false;
        let error = match result {
            Ok(session) => return self.usable(session),
            Err(error) => error,
        };
        self.session = None;
        self.failures = self.failures.saturating_add(1);
        self.context.progress.tenant(&self.context.tenant, |status| {
            "open".clone_into(&mut status.breaker);
            status.last_error = Some(error.to_string());
        });
        if self.failures == 1 {
            self.unusable(&error);
        }
        let retry = Backoff { first: LOOK, factor: 2.0, max: Duration::from_secs(300), jitter: 0.2 };
        let again = later(retry.random_delay(self.failures));
        self.wanted = Some(self.wanted.map_or(again, |changed| changed.min(again)));
    }

    fn usable(&mut self, session: Arc<Session>) {
        let (tenant, word) = (&self.context.tenant, self.gate.breaker(breaker::Breaker::word));
        if self.failures > 0 {
            let failures = self.failures;
            warn!(event = event::API_BREAKER, %tenant, from = "open", to = word, failures, "The tenant can be used again.");
        }
        self.context.progress.tenant(tenant, |status| {
            word.clone_into(&mut status.breaker);
            if self.gate.breaker(breaker::Breaker::is_closed) {
                status.last_error = None;
            }
        });
        // After a reload: whatever the breaker is open for may be mended.
        self.gate.look_now();
        self.failures = 0;
        self.session = Some(session);
        self.look_at = Instant::now();
    }

    fn unusable(&self, error: &superoffice::Error) {
        let tenant = &self.context.tenant;
        match error {
            superoffice::Error::Secret { option, .. } => error!(
                event = event::SECRET_UNREADABLE, %tenant, name = option, %error,
                "A secret of the tenant cannot be read; its mail waits."
            ),
            _ => error!(
                event = event::API_BREAKER, %tenant, from = "closed", to = "open", %error,
                "The tenant cannot be used; its mail waits."
            ),
        }
    }

    fn claimed(&mut self, result: Result<(Vec<Item>, Option<UtcMillis>), queue::Error>) {
        self.claiming = false;
        let (items, due) = match result {
            Ok(claimed) => claimed,
            Err(error) => {
                self.store_failed("claim", &error);
                self.look_at = later(LOOK);
                return;
            }
        };
        self.look_at = self.instant(due);
        let Some(session) = self.session.clone() else { return self.give_back(items) };
        items.iter().for_each(|item| self.gate.arrive(item.claim.id, &item.key.mailbox));
        for item in items {
            self.attempts = self.attempts.saturating_add(1);
            let attempt = Attempt::new(self.context, self.gate, self.stop, Arc::clone(&session), item);
            self.jobs.push(survive(self.context, self.gate, attempt).map(Job::Ended).boxed());
        }
    }

    /// Mails that were claimed just before the tenant became unusable.
    fn give_back(&mut self, items: Vec<Item>) {
        for item in items {
            let at = self.context.clock.now().plus(LOOK);
            let queue = &self.context.queue;
            self.attempts = self.attempts.saturating_add(1);
            let given = async move { queue.finish(item.claim, queue::End::Released { at }).await };
            self.jobs.push(given.map(move |_| Job::Ended(Some(at))).boxed());
        }
    }

    fn store_failed(&self, op: &'static str, error: &queue::Error) {
        let tenant = &self.context.tenant;
        error!(event = event::STORE_ERROR, %tenant, op, %error, "The store has failed.");
    }

    /// A stored time as one to wait for; none is the end of the ordinary wait.
    fn instant(&self, due: Option<UtcMillis>) -> Instant {
        later(due.map_or(LOOK, |at| at.since(self.context.clock.now()).min(LOOK)))
    }
}

/// Runs an attempt. One that panics (a mistake of ours) costs its own mail a delay, not the other mails their attempts;
/// whether it had posted is not known.
async fn survive(context: &Context, gate: &Gate, attempt: Attempt<'_>) -> Option<UtcMillis> {
    let (claim, tenant) = (attempt.item.claim, &context.tenant);
    if let Ok(due) = AssertUnwindSafe(attempt.run()).catch_unwind().await {
        return due;
    }
    error!(event = event::TASK_PANICKED, %tenant, qid = %claim.id, "The attempt at a mail has panicked.");
    let at = context.clock.now().plus(AFTER_PANIC);
    let error = "the attempt has panicked: please report it".to_owned();
    let end = queue::End::Deferred { at, class: "panic".to_owned(), error, verify: true };
    if let Err(error) = context.queue.finish(claim, end).await {
        error!(event = event::STORE_ERROR, %tenant, op = "end of a mail", %error, "The store has failed.");
    }
    gate.leave(claim.id);
    Some(at)
}

/// Claims mails; where there were fewer than wanted, asks when the next is due.
async fn claim(context: &Context, limit: usize) -> Result<(Vec<Item>, Option<UtcMillis>), queue::Error> {
    let items = context.queue.claim(&context.tenant, limit).await?;
    let due = match items.len() < limit {
        true => context.queue.next_due(&context.tenant).await?,
        false => Some(context.clock.now()),
    };
    Ok((items, due))
}

fn later(delay: Duration) -> Instant {
    let now = Instant::now();
    now.checked_add(delay).unwrap_or(now)
}
