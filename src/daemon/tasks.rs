//! The tasks of the daemon: the only place that spawns. Each task has a name and its own end; one that panics is started
//! again after a while, and none can stop another.

use std::collections::BTreeMap;
use std::panic::AssertUnwindSafe;
use std::time::Duration;

use futures_util::FutureExt as _;
use futures_util::future::join_all;
use tokio::task::{JoinError, JoinHandle};
use tokio::time::{Instant, timeout};

use crate::backoff::Backoff;
use crate::stop::{self, Phase, Stop, Stopper};
use crate::telemetry::event;
use crate::telemetry::progress::Progress;

/// The delays before a task that panicked is started again.
const RESTART: Backoff =
    Backoff { first: Duration::from_secs(1), factor: 2.0, max: Duration::from_mins(5), jitter: 0.1 };

/// A task that has run for so long counts as healthy again.
const HEALTHY: Duration = Duration::from_mins(10);

/// What a task has after [`Phase::Now`] before it is cut off.
const LAST_WORDS: Duration = Duration::from_secs(3);

/// A set of named tasks. Dropping it tells each that its end is [`Phase::Now`].
#[derive(Debug)]
pub(super) struct Tasks {
    running: BTreeMap<String, Task>,
    progress: Progress,
}

#[derive(Debug)]
struct Task {
    stopper: Stopper,
    handle: JoinHandle<()>,
}

/// Runs a future as a task of its own, unsupervised: for the supervisor itself.
#[expect(clippy::disallowed_methods, reason = "the one place that spawns")]
pub(super) fn spawn(future: impl Future<Output = ()> + Send + 'static) -> JoinHandle<()> {
    tokio::spawn(future)
}

/// Runs a call that blocks (opening the store, reading the configuration) beside the runtime's threads.
pub(super) async fn blocking<T: Send + 'static>(call: impl FnOnce() -> T + Send + 'static) -> Result<T, JoinError> {
    tokio::task::spawn_blocking(call).await
}

impl Tasks {
    /// No tasks yet. A task that is not running owes `progress` no beat of its name.
    pub(super) const fn new(progress: Progress) -> Self {
        Self { running: BTreeMap::new(), progress }
    }

    /// Starts the task `name`; `make` makes its future, again after each panic.
    pub(super) fn start<F, R>(&mut self, name: &str, make: F)
    where
        F: Fn(Stop) -> R + Send + 'static,
        R: Future<Output = ()> + Send + 'static,
    {
        let (stopper, stop) = stop::pair();
        let handle = spawn(supervised(name.to_owned(), self.progress.clone(), stop, make));
        self.running.insert(name.to_owned(), Task { stopper, handle });
    }

    /// Names of the tasks.
    pub(super) fn names(&self) -> Vec<String> {
        self.running.keys().cloned().collect()
    }

    /// Ends the named tasks: they get `grace` to drain, cut short when `hurry` is reached; then they are told
    /// [`Phase::Now`], and after a last moment they are cut off. Returns the names of those that were.
    pub(super) async fn stop(&mut self, names: &[String], grace: Duration, hurry: &Stop) -> Vec<String> {
        let ending: Vec<(String, Task)> = names.iter().filter_map(|name| self.running.remove_entry(name)).collect();
        let progress = &self.progress;
        let ended = ending.into_iter().map(|(name, task)| async move {
            let in_time = end(task, grace, hurry).await;
            progress.end_beat(&name);
            (!in_time).then_some(name)
        });
        join_all(ended).await.into_iter().flatten().collect()
    }
}

/// Ends one task. False when it had to be cut off.
async fn end(mut task: Task, grace: Duration, hurry: &Stop) -> bool {
    task.stopper.advance(Phase::Drain);
    let drained = tokio::select! {
        drained = timeout(grace, &mut task.handle) => drained.is_ok(),
        () = hurry.reached(Phase::Now) => false,
    };
    if drained {
        return true;
    }
    task.stopper.advance(Phase::Now);
    if timeout(LAST_WORDS, &mut task.handle).await.is_ok() {
        return true;
    }
    task.handle.abort();
    // Cut off at its next await; its store moves are guarded, so what it had claimed is found at the next start.
    drop(timeout(LAST_WORDS, task.handle).await);
    false
}

/// Runs what `make` makes until its end is reached; starts it again when it panics, or ends without being told to.
async fn supervised<F, R>(name: String, progress: Progress, stop: Stop, make: F)
where
    F: Fn(Stop) -> R,
    R: Future<Output = ()>,
{
    let mut restarts = 0_u32;
    loop {
        let started = Instant::now();
        let outcome = AssertUnwindSafe(make(stop.clone())).catch_unwind().await;
        progress.end_beat(&name);
        if stop.phase() != Phase::Run {
            return;
        }
        restarts = if started.elapsed() > HEALTHY { 1 } else { restarts.saturating_add(1) };
        let delay = RESTART.random_delay(restarts);
        let why = if outcome.is_err() { "panicked" } else { "ended without being told to" };
        let restart_in_ms = delay.as_millis();
        tracing::error!(
            event = event::TASK_PANICKED,
            task = name,
            error = why,
            restarts,
            restart_in_ms,
            "Task is started again."
        );
        tokio::select! {
            () = tokio::time::sleep(delay) => {}
            () = stop.reached(Phase::Drain) => return,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicU32, Ordering};

    use tokio::sync::watch;

    use super::*;

    /// A stop that is never reached, and its other half.
    fn never() -> (Stopper, Stop) {
        stop::pair()
    }

    #[tokio::test(start_paused = true)]
    async fn a_task_that_panics_is_started_again() {
        let mut tasks = Tasks::new(Progress::new());
        let (sender, mut runs) = watch::channel(0_u32);
        let sender = Arc::new(sender);
        tasks.start("shaky", move |stop| {
            let sender = Arc::clone(&sender);
            async move {
                sender.send_modify(|runs| *runs = runs.saturating_add(1));
                assert!(*sender.borrow() > 2, "the first two runs panic");
                stop.reached(Phase::Drain).await;
            }
        });
        runs.wait_for(|runs| *runs == 3).await.unwrap();
        let (_stopper, hurry) = never();
        assert!(tasks.stop(&tasks.names(), Duration::from_secs(5), &hurry).await.is_empty());
    }

    #[tokio::test(start_paused = true)]
    async fn one_task_is_ended_and_the_others_go_on() {
        let progress = Progress::new();
        let mut tasks = Tasks::new(progress.clone());
        for name in ["a", "b"] {
            progress.beat(name, Duration::from_secs(1));
            tasks.start(name, |stop| async move { stop.reached(Phase::Drain).await });
        }
        let (_stopper, hurry) = never();
        assert!(tasks.stop(&["a".to_owned()], Duration::from_secs(5), &hurry).await.is_empty());
        assert_eq!(tasks.names(), ["b"]);
        tokio::time::advance(Duration::from_secs(2)).await;
        assert_eq!(progress.overdue(), ["b"]);
    }

    #[tokio::test(start_paused = true)]
    async fn who_ignores_the_end_is_cut_off() {
        let mut tasks = Tasks::new(Progress::new());
        let phases = Arc::new(AtomicU32::new(0));
        let seen = Arc::clone(&phases);
        tasks.start("deaf", move |stop| {
            let seen = Arc::clone(&seen);
            async move {
                stop.reached(Phase::Now).await;
                seen.store(1, Ordering::SeqCst);
                std::future::pending::<()>().await;
            }
        });
        let (_stopper, hurry) = never();
        let started = Instant::now();
        assert_eq!(tasks.stop(&tasks.names(), Duration::from_secs(30), &hurry).await, ["deaf"]);
        assert_eq!(phases.load(Ordering::SeqCst), 1);
        assert!(started.elapsed() < Duration::from_secs(40));
    }

    #[tokio::test(start_paused = true)]
    async fn a_second_signal_cuts_the_grace_short() {
        let mut tasks = Tasks::new(Progress::new());
        tasks.start("busy", |stop| async move { stop.reached(Phase::Now).await });
        let (stopper, hurry) = never();
        stopper.advance(Phase::Now);
        let started = Instant::now();
        assert!(tasks.stop(&tasks.names(), Duration::from_secs(30), &hurry).await.is_empty());
        assert!(started.elapsed() < Duration::from_secs(1));
    }
}
