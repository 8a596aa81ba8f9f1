//! What both servers share: accepting on loopback, running connections without spawning, being away for a while, and a
//! state that others can watch.

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use futures_util::StreamExt;
use futures_util::stream::FuturesUnordered;
use tokio::io::{AsyncRead, AsyncReadExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;

/// Further connections wait in the listener's backlog.
const MAX_CONNECTIONS: usize = 1000;
/// Between attempts to have the port back after the server was away.
const REBIND_EVERY: Duration = Duration::from_millis(20);

/// The state of a server, seen by its connections and its handles.
#[derive(Debug)]
pub(super) struct Shared<T> {
    state: Mutex<T>,
    changes: watch::Sender<u64>,
    down: watch::Sender<bool>,
}

impl<T> Shared<T> {
    pub(super) fn new(state: T) -> Self {
        Self { state: Mutex::new(state), changes: watch::Sender::new(0), down: watch::Sender::new(false) }
    }

    /// Looks at the state.
    pub(super) fn read<R>(&self, look: impl FnOnce(&T) -> R) -> R {
        look(&self.lock())
    }

    /// Changes the state and wakes everyone who waits for changes.
    pub(super) fn change<R>(&self, change: impl FnOnce(&mut T) -> R) -> R {
        let result = change(&mut self.lock());
        self.changes.send_modify(|n| *n = n.wrapping_add(1));
        result
    }

    /// Changes whenever the state has changed.
    pub(super) fn changes(&self) -> watch::Receiver<u64> {
        self.changes.subscribe()
    }

    /// Waits until `holds` is true, looking again after every change. False when that does not happen `within`.
    pub(super) async fn wait(&self, within: Duration, mut holds: impl FnMut() -> bool) -> bool {
        let mut changes = self.changes();
        let watching = async {
            while !holds() {
                if changes.changed().await.is_err() {
                    return false;
                }
            }
            true
        };
        tokio::time::timeout(within, watching).await.unwrap_or(false)
    }

    /// Takes the server away (connections break, new ones are refused) or brings it back.
    pub(super) fn set_down(&self, down: bool) {
        self.down.send_replace(down);
    }

    fn lock(&self) -> MutexGuard<'_, T> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Reads and forgets until the client closes.
pub(super) async fn swallow(stream: &mut (impl AsyncRead + Unpin)) {
    let mut forgotten = [0; 4096];
    while matches!(stream.read(&mut forgotten).await, Ok(n) if n > 0) {}
}

/// Listens on 127.0.0.1; port 0 takes a free one.
pub(super) async fn listen(port: u16) -> std::io::Result<(TcpListener, SocketAddr)> {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, port)).await?;
    let address = listener.local_addr()?;
    Ok((listener, address))
}

/// Accepts and runs connections for as long as it is polled.
pub(super) async fn serve<T, C>(listener: TcpListener, shared: &Shared<T>, connect: impl Fn(TcpStream) -> C)
where
    C: Future<Output = ()>,
{
    let mut down = shared.down.subscribe();
    let Ok(address) = listener.local_addr() else { return };
    let mut listener = Some(listener);
    let mut connections = FuturesUnordered::new();
    loop {
        if *down.borrow_and_update() {
            listener = None;
            connections.clear();
            if down.changed().await.is_err() {
                return;
            }
            continue;
        }
        let Some(open) = &listener else {
            listener = TcpListener::bind(address).await.ok();
            if listener.is_none() {
                tokio::time::sleep(REBIND_EVERY).await;
            }
            continue;
        };
        tokio::select! {
            changed = down.changed() => if changed.is_err() { return },
            accepted = open.accept(), if connections.len() < MAX_CONNECTIONS => {
                if let Ok((socket, _)) = accepted && socket.set_nodelay(true).is_ok() {
                    connections.push(connect(socket));
                }
            }
            Some(()) = connections.next(), if !connections.is_empty() => {}
        }
    }
}
