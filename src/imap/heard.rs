//! The stream below TLS, which reports every sign of the mail server: a transfer may take an hour on a slow line, and is
//! alive for as long as something comes. Never changes a byte.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use super::guard::Transport;
use crate::telemetry::progress::Pulse;

/// A stream whose reader is alive whenever bytes come.
#[derive(Debug)]
pub(super) struct Heard<T> {
    inner: T,
    pulse: Pulse,
}

impl<T: Transport> Heard<T> {
    pub(super) const fn new(inner: T, pulse: Pulse) -> Self {
        Self { inner, pulse }
    }
}

impl<T: Transport> AsyncRead for Heard<T> {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let before = buf.filled().len();
        let read = ready!(Pin::new(&mut self.inner).poll_read(cx, buf));
        if buf.filled().len() > before {
            self.pulse.beat();
        }
        Poll::Ready(read)
    }
}

impl<T: Transport> AsyncWrite for Heard<T> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.inner).poll_write(cx, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_shutdown(cx)
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

    use super::*;
    use crate::telemetry::progress::Progress;

    #[tokio::test(start_paused = true)]
    async fn a_slow_transfer_is_alive_and_a_silent_one_is_not() {
        let progress = Progress::new();
        progress.beat("mailbox support", Duration::from_secs(60));
        let (near, mut far) = tokio::io::duplex(64);
        let mut heard = Heard::new(near, Pulse::new(progress.clone(), "mailbox support"));
        for _ in 0..10 {
            tokio::time::advance(Duration::from_secs(50)).await;
            far.write_all(b"x").await.expect("written");
            heard.read_u8().await.expect("read");
            assert!(progress.overdue().is_empty());
        }
        tokio::time::advance(Duration::from_secs(61)).await;
        assert_eq!(progress.overdue(), ["mailbox support"]);
    }
}
