//! Where log lines go: standard error. That may be a pipe or a terminal which takes nothing for a while, or ever: mail does
//! not wait for its log. A line that cannot be written in time is lost, and counted ([`lost`]).

use std::io::{self, Write};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use tracing_subscriber::fmt::MakeWriter;

/// The first line that cannot be written waits so long; those after it, not at all.
const PATIENCE: Duration = Duration::from_secs(1);
/// A pipe that says it takes something takes so much (`PIPE_BUF`).
const AT_ONCE: usize = 4096;

static LOST: AtomicU64 = AtomicU64::new(0);

/// Lines that could not be written since the process began.
pub(crate) fn lost() -> u64 {
    LOST.load(Ordering::Relaxed)
}

/// One more.
pub(super) fn lose() {
    LOST.fetch_add(1, Ordering::Relaxed);
}

/// Standard error, with bounded patience.
#[derive(Debug, Default)]
pub(super) struct Stderr(Mutex<State>);

#[derive(Debug, Default)]
struct State {
    /// The last line found no room.
    blocked: bool,
    /// The last line was written in part.
    cut: bool,
}

impl<'a> MakeWriter<'a> for Stderr {
    type Writer = &'a Self;

    fn make_writer(&'a self) -> Self::Writer {
        self
    }
}

impl Write for &Stderr {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        let mut state = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let written =
            if state.cut { write(b"\n", &mut state) && write(line, &mut state) } else { write(line, &mut state) };
        if !written {
            lose();
        }
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Whether all of it was written.
fn write(line: &[u8], state: &mut State) -> bool {
    let mut rest = line;
    while let Some(chunk) = rest.chunks(AT_ONCE).next() {
        let patience = if state.blocked { Duration::ZERO } else { PATIENCE };
        state.blocked = !takes_something(patience);
        let written = if state.blocked { 0 } else { io::stderr().write(chunk).unwrap_or(0) };
        if written == 0 {
            state.cut |= rest.len() < line.len();
            return false;
        }
        rest = rest.get(written..).unwrap_or_default();
    }
    state.cut = false;
    true
}

/// Waits until something can be written.
fn takes_something(patience: Duration) -> bool {
    let stderr = io::stderr();
    let mut asked = [PollFd::new(&stderr, PollFlags::OUT)];
    let deadline = Timespec::try_from(patience).unwrap_or(Timespec { tv_sec: 0, tv_nsec: 0 });
    // A signal ends the wait early: that counts as no.
    poll(&mut asked, Some(&deadline)).is_ok_and(|ready| ready > 0)
}
