//! What the service manager is told (sd_notify(3)): ready, status, alive, reloading, stopping. Without `$NOTIFY_SOCKET`
//! nothing is sent, and a service manager that does not listen holds nothing up.

use std::os::linux::net::SocketAddrExt as _;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::net::{SocketAddr, UnixDatagram};
use std::sync::Arc;
use std::time::Duration;

use sd_notify::NotifyState;
use tokio::sync::watch;
use tokio::time::{MissedTickBehavior, interval, timeout};

use crate::admin::status::{Identity, Status};
use crate::clock::Clock;
use crate::config::Config;
use crate::queue::Queue;
use crate::stop::{Phase, Stop};
use crate::telemetry::progress::Progress;
use crate::telemetry::{event, sink};

/// Between ticks, unless the watchdog wants them more often.
const TICK: Duration = Duration::from_secs(5);

/// The status line is sent no more often than this. Well below [`TICK`]: a tick that comes a little early has its line.
const STATUS_GAP: Duration = Duration::from_secs(2);

/// The store has this long for the numbers of the status line.
const STATUS_DEADLINE: Duration = Duration::from_secs(4);

/// A service manager that is busy has this long to take a message in.
const SEND_DEADLINE: Duration = Duration::from_secs(1);

/// The start is complete.
pub(super) async fn ready() {
    send(&[NotifyState::Ready]).await;
}

/// A reload begins. The time goes into the same datagram: without it systemd 253 and later let the reload hang.
pub(super) async fn reloading() {
    match NotifyState::monotonic_usec_now() {
        Ok(now) => send(&[NotifyState::Reloading, now]).await,
        Err(_) => send(&[NotifyState::Reloading]).await,
    }
}

/// The end begins.
pub(super) async fn stopping() {
    send(&[NotifyState::Stopping, NotifyState::Status("stopping")]).await;
}

/// What the ticks look at.
#[derive(Debug, Clone)]
pub(super) struct Tick {
    pub(super) identity: Identity,
    pub(super) config: watch::Receiver<Arc<Config>>,
    pub(super) queue: Queue,
    pub(super) progress: Progress,
    pub(super) clock: Clock,
}

impl Tick {
    /// Says that the daemon is alive, while all tasks keep their promises, and how it is; until `stop` is reached.
    pub(super) async fn run(self, stop: Stop) {
        let half = sd_notify::watchdog_enabled().map(|period| period.mul_f64(0.5));
        let mut tick = interval(half.unwrap_or(TICK).clamp(Duration::from_millis(100), TICK));
        tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut told = (String::new(), None);
        let mut lost = 0;
        loop {
            tokio::select! {
                _ = tick.tick() => {}
                () = stop.reached(Phase::Drain) => return,
            }
            if half.is_some() && self.progress.overdue().is_empty() {
                send(&[NotifyState::Watchdog]).await;
            }
            tell_lost_lines(&mut lost);
            self.tell_status(&mut told).await;
        }
    }

    /// Sends the status line when it is another one and the last was sent long enough ago.
    async fn tell_status(&self, (last, at): &mut (String, Option<tokio::time::Instant>)) {
        if at.is_some_and(|at| at.elapsed() < STATUS_GAP) {
            return;
        }
        let config = Arc::clone(&self.config.borrow());
        let status = Status::gather(&self.identity, &config, &self.queue, &self.progress, self.clock.now());
        let Ok(Ok(status)) = timeout(STATUS_DEADLINE, status).await else { return };
        let line = status.line();
        *at = Some(tokio::time::Instant::now());
        if line != *last {
            send(&[NotifyState::Status(&line)]).await;
            *last = line;
        }
    }
}

/// Says how many log lines were lost, when there are more than when it was said last. If this line is lost too, then that is
/// one more.
fn tell_lost_lines(told: &mut u64) {
    let lines = sink::lost();
    if lines > *told {
        tracing::warn!(event = event::LOG_LOST, lines, "The log did not take these lines in time.");
        *told = lines;
    }
}

/// Sends one datagram. One that cannot be sent in time is no reason to do anything else.
async fn send(states: &[NotifyState<'_>]) {
    let Some(path) = std::env::var_os("NOTIFY_SOCKET") else { return };
    let text: String = states.iter().map(|state| format!("{state}\n")).collect();
    let Ok(socket) = connected(path.as_bytes()) else { return };
    drop(timeout(SEND_DEADLINE, socket.send(text.as_bytes())).await);
}

/// A socket to the service manager; its address is a path, or with `@` at the beginning an abstract name.
fn connected(address: &[u8]) -> std::io::Result<tokio::net::UnixDatagram> {
    let address = match address.strip_prefix(b"@") {
        Some(name) => SocketAddr::from_abstract_name(name)?,
        None => SocketAddr::from_pathname(std::ffi::OsStr::from_bytes(address))?,
    };
    let socket = UnixDatagram::unbound()?;
    socket.set_nonblocking(true)?;
    socket.connect_addr(&address)?;
    tokio::net::UnixDatagram::from_std(socket)
}
