//! The one task that owns all others: starts them, applies reloads, and ends them in order.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use tokio::net::UnixListener;
use tokio::sync::{Semaphore, mpsc, oneshot, watch};
use tokio::time::Instant;

use super::housekeeping::{self, Housekeeping};
use super::reload::{Plan, restart_needed};
use super::systemd;
use super::tasks::{self, Tasks};
use crate::admin::control;
use crate::admin::protocol::{Reason, Refusal, Reloaded, Verdict};
use crate::admin::status::Identity;
use crate::clock::Clock;
use crate::config::problem::Severity;
use crate::config::{self, Config, Loaded, Place, Problem, Problems, Sources};
use crate::ids::{MailboxName, TenantName};
use crate::queue::Queue;
use crate::stop::{Phase, Stop};
use crate::telemetry::event;
use crate::telemetry::progress::Progress;
use crate::{delivery, mailbox, parser};

/// A mailbox or tenant that a reload ends has this long to finish what it is at.
const RELOAD_GRACE: Duration = Duration::from_secs(10);

/// The time that the services beside the mail have to end.
const SERVICE_GRACE: Duration = Duration::from_secs(1);

/// Asks for a reload; the verdict comes back.
pub(super) type ReloadRequest = oneshot::Sender<Verdict>;

/// Everything that runs.
#[derive(Debug)]
pub(super) struct Supervisor {
    /// Where the configuration is read from again.
    pub(super) sources: Sources,
    /// The configuration that the daemon was started with.
    pub(super) started_with: Config,
    /// The configuration in force.
    pub(super) config: watch::Sender<Arc<Config>>,
    /// Name and age.
    pub(super) identity: Identity,
    /// The store.
    pub(super) queue: Queue,
    /// The parse workers.
    pub(super) pool: parser::Pool,
    /// The board.
    pub(super) progress: Progress,
    /// The time.
    pub(super) clock: Clock,
    /// Raw mail in memory, in KiB.
    pub(super) in_flight: Arc<Semaphore>,
    /// Mailboxes and deliveries.
    pub(super) workers: Tasks,
    /// The control socket, the service manager's ticks, housekeeping.
    pub(super) services: Tasks,
    /// Wishes for a reload.
    pub(super) reloads: mpsc::Receiver<ReloadRequest>,
}

impl Supervisor {
    /// Starts everything.
    pub(super) fn start(&mut self, listener: UnixListener, reload: mpsc::Sender<ReloadRequest>) {
        let config = Arc::clone(&self.config.borrow());
        config.tenants.keys().for_each(|name| self.start_delivery(name));
        let reading = config.mailboxes.iter().filter(|(_, mailbox)| mailbox.enabled);
        reading.for_each(|(name, _)| self.start_mailbox(name, &config));
        self.start_services(listener, reload);
    }

    /// Reloads when asked, until `stop` is reached; then ends everything.
    pub(super) async fn run(mut self, stop: Stop) {
        loop {
            tokio::select! {
                biased;
                () = stop.reached(Phase::Drain) => break,
                request = self.reloads.recv() => {
                    let Some(request) = request else { break };
                    let verdict = self.reload(&stop).await;
                    // Whoever asked may be gone.
                    drop(request.send(verdict));
                }
            }
        }
        self.end(&stop).await;
    }

    fn start_services(&mut self, listener: UnixListener, reload: mpsc::Sender<ReloadRequest>) {
        let context = control::Context {
            identity: self.identity.clone(),
            config: self.config.subscribe(),
            queue: self.queue.clone(),
            progress: self.progress.clone(),
            clock: self.clock.clone(),
            reload,
        };
        let tick = systemd::Tick {
            identity: self.identity.clone(),
            config: self.config.subscribe(),
            queue: self.queue.clone(),
            progress: self.progress.clone(),
            clock: self.clock.clone(),
        };
        let keeping = Housekeeping {
            config: self.config.subscribe(),
            queue: self.queue.clone(),
            progress: self.progress.clone(),
        };
        let listener = Arc::new(listener);
        self.services.start("control", move |stop| control::serve(Arc::clone(&listener), context.clone(), stop));
        self.services.start("service manager", move |stop| tick.clone().run(stop));
        self.services.start(housekeeping::NAME, move |stop| keeping.clone().run(stop));
    }

    fn start_delivery(&mut self, tenant: &TenantName) {
        let context = delivery::Context {
            tenant: tenant.clone(),
            config: self.config.subscribe(),
            pool: self.pool.clone(),
            queue: self.queue.clone(),
            progress: self.progress.clone(),
            clock: self.clock.clone(),
        };
        self.workers.start(&delivery_task(tenant), move |stop| delivery::run(context.clone(), stop));
    }

    /// Starts a mailbox. One without a tenant cannot be: the configuration's check gives each its tenant.
    fn start_mailbox(&mut self, name: &MailboxName, config: &Config) {
        let Some(options) = config.mailboxes.get(name) else { return };
        let Some(tenant) = options.tenant.clone() else { return };
        self.progress.mailbox(name, |_| ());
        let context = mailbox::Context {
            name: name.clone(),
            config: Arc::new(options.clone()),
            tenant,
            tls: config.tls.clone(),
            limits: config.limits.clone(),
            queue: self.queue.clone(),
            progress: self.progress.clone(),
            clock: self.clock.clone(),
            in_flight: Arc::clone(&self.in_flight),
        };
        self.workers.start(&mailbox_task(name), move |stop| mailbox::run(context.clone(), stop));
    }

    /// Reads the configuration again and puts it in force; on any mistake the old one stays.
    async fn reload(&mut self, stop: &Stop) -> Verdict {
        systemd::reloading().await;
        let sources = self.sources.clone();
        let read = tasks::blocking(move || config::load(&sources)).await;
        let verdict = match read {
            Ok(Ok(loaded)) => Ok(self.apply(loaded, stop).await),
            Ok(Err(problems)) => Err(refused(&problems)),
            Err(panicked) => {
                Err(Refusal { reason: Reason::Unavailable, text: format!("reading the configuration: {panicked}") })
            }
        };
        systemd::ready().await;
        verdict
    }

    async fn apply(&mut self, loaded: Loaded, stop: &Stop) -> Reloaded {
        let old = Arc::clone(&self.config.borrow());
        let new = Arc::new(loaded.config);
        let plan = Plan::between(&old, &new, &self.down());
        let ending = plan.stop.iter().map(mailbox_task).chain(plan.stop_tenants.iter().map(delivery_task));
        self.workers.stop(&ending.collect::<Vec<_>>(), RELOAD_GRACE, stop).await;
        plan.stop.difference(&plan.start).for_each(|name| self.progress.forget_mailbox(name));
        self.queue.reconfigure(&new.store);
        // Sent even when nothing differs: delivery reads its secrets again.
        self.config.send_replace(Arc::clone(&new));
        plan.start_tenants.iter().for_each(|name| self.start_delivery(name));
        plan.start.iter().for_each(|name| self.start_mailbox(name, &new));
        let restart_needed = restart_needed(&self.started_with, &new);
        let (files, changed, restart) = (loaded.files.len(), plan.changed.join(","), restart_needed.join(","));
        tracing::info!(
            event = event::CONFIG_RELOADED,
            files,
            changed,
            restart_needed = restart,
            "Configuration was reloaded."
        );
        let warnings = loaded.warnings.iter().map(ToString::to_string).collect();
        Reloaded { changed: plan.changed, restart_needed, warnings }
    }

    /// The mailboxes that are not read right now, for whatever reason.
    fn down(&self) -> BTreeSet<MailboxName> {
        self.progress.mailboxes().into_iter().filter(|(_, status)| !status.up).map(|(name, _)| name).collect()
    }

    /// Ends mailboxes and deliveries within the grace, then the services, the parse workers and the store.
    async fn end(mut self, stop: &Stop) {
        let started = Instant::now();
        systemd::stopping().await;
        tracing::info!(event = event::SERVICE_STOPPING, reason = "told to", "Takes no new work.");
        let grace = self.config.borrow().service.shutdown_grace.0;
        let cut_off = self.workers.stop(&self.workers.names(), grace, stop).await;
        self.services.stop(&self.services.names(), SERVICE_GRACE, stop).await;
        self.pool.close().await;
        self.queue.close().await;
        let took_ms = u64::try_from(started.elapsed().as_millis()).unwrap_or(u64::MAX);
        tracing::info!(event = event::SERVICE_STOPPED, inflight = cut_off.len(), took_ms, "Has stopped.");
    }
}

fn mailbox_task(name: &MailboxName) -> String {
    format!("mailbox {name}")
}

fn delivery_task(tenant: &TenantName) -> String {
    format!("delivery {tenant}")
}

fn refused(problems: &Problems) -> Refusal {
    let (file, line, first_error) = match problems.list.iter().find(|problem| problem.severity == Severity::Error) {
        Some(Problem { place: Some(Place::Spot { file, line, .. }), text, .. }) => {
            (file.display().to_string(), *line, text.as_str())
        }
        Some(Problem { place: Some(place), text, .. }) => (place.to_string(), 0, text.as_str()),
        Some(Problem { place: None, text, .. }) => (String::new(), 0, text.as_str()),
        None => (String::new(), 0, ""),
    };
    let errors = problems.errors();
    tracing::error!(
        event = event::CONFIG_RELOAD_REFUSED,
        errors,
        first_error,
        file,
        line,
        "The old configuration stays in force."
    );
    Refusal { reason: Reason::Config, text: problems.to_string() }
}
