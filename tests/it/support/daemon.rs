//! The daemon as a process: started, watched through its JSON log, stopped or killed.

use std::io::{BufRead, BufReader};
use std::os::unix::process::ExitStatusExt;
use std::process::{Child, Command, ExitStatus, Output, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Condvar, Mutex};
use std::thread::JoinHandle;
use std::time::Instant;

use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;

use crate::support::{PATIENCE, canary};

/// The program under test.
pub(crate) const PROGRAM: &str = env!("CARGO_BIN_EXE_mailbridge");

#[derive(Debug, Default)]
struct Log {
    lines: Mutex<Vec<Value>>,
    grown: Condvar,
    leaked: AtomicBool,
}

/// A running daemon. Dropping it kills it.
#[derive(Debug)]
pub(crate) struct Daemon {
    child: Child,
    log: Arc<Log>,
    reader: Option<JoinHandle<()>>,
}

impl Daemon {
    /// Starts `command`, whose standard error is the daemon's JSON log.
    pub(crate) fn spawn(mut command: Command) -> Self {
        let mut child = command
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap_or_else(|error| panic!("starting {PROGRAM}: {error}"));
        let stderr = child.stderr.take().expect("a pipe");
        let log = Arc::new(Log::default());
        let shared = log.clone();
        let reader = std::thread::spawn(move || {
            for line in BufReader::new(stderr).lines().map_while(Result::ok) {
                if let Some(form) = canary::found(line.as_bytes()) {
                    shared.leaked.store(true, Ordering::Relaxed);
                    eprintln!("a secret in the log, as {}: {line}", String::from_utf8_lossy(form));
                }
                let value = serde_json::from_str(&line).unwrap_or(Value::String(line));
                shared.lines.lock().expect("the log").push(value);
                shared.grown.notify_all();
            }
            shared.grown.notify_all();
        });
        Self { child, log, reader: Some(reader) }
    }

    /// All lines so far.
    pub(crate) fn lines(&self) -> Vec<Value> {
        self.log.lines.lock().expect("the log").clone()
    }

    /// The lines of one event so far.
    pub(crate) fn events(&self, event: &str) -> Vec<Value> {
        self.lines().into_iter().filter(|line| line["event"] == event).collect()
    }

    /// Waits until a line of `event` satisfies `wanted`, and returns it.
    #[track_caller]
    pub(crate) fn wait_event(&self, event: &str, wanted: impl Fn(&Value) -> bool) -> Value {
        let deadline = Instant::now() + PATIENCE;
        let mut lines = self.log.lines.lock().expect("the log");
        loop {
            if let Some(line) = lines.iter().find(|line| line["event"] == event && wanted(line)) {
                return line.clone();
            }
            let left = deadline.saturating_duration_since(Instant::now());
            assert!(!left.is_zero(), "no {event} came; the log: {lines:#?}");
            lines = self.log.grown.wait_timeout(lines, left).expect("the log").0;
        }
    }

    /// Waits until there are more than `n` lines of `event`, and returns the n-th, from 0.
    #[track_caller]
    pub(crate) fn wait_nth_event(&self, event: &str, n: usize) -> Value {
        let deadline = Instant::now() + PATIENCE;
        let mut lines = self.log.lines.lock().expect("the log");
        loop {
            if let Some(line) = lines.iter().filter(|line| line["event"] == event).nth(n) {
                return line.clone();
            }
            let left = deadline.saturating_duration_since(Instant::now());
            assert!(!left.is_zero(), "there are no {n} lines of {event}");
            lines = self.log.grown.wait_timeout(lines, left).expect("the log").0;
        }
    }

    /// Waits until the daemon says that it is ready.
    #[track_caller]
    pub(crate) fn ready(self) -> Self {
        self.wait_event("service.started", |_| true);
        self
    }

    /// The most memory that the process has had so far, in bytes.
    pub(crate) fn peak_memory(&self) -> u64 {
        peak_kib(self.pid()).expect("a process") << 10
    }

    /// The process.
    pub(crate) fn pid(&self) -> Pid {
        Pid::from_child(&self.child)
    }

    /// Sends a signal.
    pub(crate) fn signal(&self, signal: Signal) {
        kill_process(self.pid(), signal).expect("our own child");
    }

    /// Waits for the end.
    pub(crate) fn wait(&mut self) -> ExitStatus {
        assert!(self.ends_before(|_| false), "the daemon does not end");
        if let Some(reader) = self.reader.take() {
            reader.join().expect("the log's reader");
        }
        self.child.wait().expect("the daemon's status")
    }

    /// Waits until the daemon has ended (true) or `done` holds. Gives up with neither.
    #[track_caller]
    pub(crate) fn ends_before(&mut self, done: impl Fn(&Self) -> bool) -> bool {
        let deadline = Instant::now() + PATIENCE;
        while let Ok(None) = self.child.try_wait() {
            if done(self) {
                return false;
            }
            assert!(Instant::now() < deadline, "neither the end nor what was waited for comes");
            // The log's end is the process's end, nearly: a wake-up, not a sleep.
            let lines = self.log.lines.lock().expect("the log");
            drop(self.log.grown.wait_timeout(lines, std::time::Duration::from_millis(20)));
        }
        true
    }

    /// SIGTERM, and the end: the exit code must be 0.
    #[track_caller]
    pub(crate) fn stop(mut self) {
        self.signal(Signal::TERM);
        let status = self.wait();
        assert!(status.success(), "{status}; the log: {:#?}", self.lines());
    }

    /// SIGKILL, and the end.
    pub(crate) fn kill(mut self) {
        self.signal(Signal::KILL);
        let status = self.wait();
        assert_eq!(status.signal(), Some(9));
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        if std::thread::panicking() {
            // The end of the log says why the story stands still.
            let lines = self.log.lines.lock().map(|lines| lines.clone()).unwrap_or_default();
            lines.iter().rev().take(40).rev().for_each(|line| eprintln!("{line}"));
        }
        assert!(std::thread::panicking() || !self.log.leaked.load(Ordering::Relaxed), "a secret stands in the log");
        // The child may have ended by itself; then there is nothing to kill.
        let _gone = self.child.kill();
        let _status = self.child.wait();
    }
}

/// The most memory that a process has had so far, in KiB; `None` when it is gone.
pub(crate) fn peak_kib(pid: Pid) -> Option<u64> {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"))?;
    line.trim().strip_suffix(" kB")?.parse().ok()
}

/// Runs the program with `arguments` and waits for its end.
pub(crate) fn mailbridge(arguments: &[&str]) -> Output {
    let output = Command::new(PROGRAM)
        .args(arguments)
        .env_clear()
        .stdin(Stdio::null())
        .output()
        .unwrap_or_else(|error| panic!("running {PROGRAM} {arguments:?}: {error}"));
    for said in [&output.stdout, &output.stderr] {
        canary::assert_clean(&format_args!("what {arguments:?} says"), said);
    }
    output
}
