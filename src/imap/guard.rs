//! The stream between the network and async-imap: everything that a mail server says passes [`Framer`] first, under a
//! limit on silence. Reads the greeting itself. Never interprets an answer.
//!
//! async-imap 0.12 and imap-proto 0.17 can be made to panic, to overflow the stack, to hang and to take 512 MiB by one
//! line of a server; nothing of that gets through here.

use std::future::Future;
use std::io;
use std::pin::{Pin, pin};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::{BufMut, Bytes, BytesMut};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, ReadBuf};
use tokio::time::{Instant, Sleep};

use super::error::Violation;
use super::frame::{Bounds, Framer, Step};

/// Bytes that are asked of the network at once, outside literals.
const CHUNK: usize = 16 << 10;

/// Anything that carries bytes both ways: TCP, TLS, or a pipe in a test.
pub(super) trait Transport: AsyncRead + AsyncWrite + Unpin + Send + std::fmt::Debug {}

impl<T: AsyncRead + AsyncWrite + Unpin + Send + std::fmt::Debug> Transport for T {}

/// The guarded stream.
#[derive(Debug)]
pub(super) struct Guard {
    inner: Box<dyn Transport>,
    framer: Framer,
    input: BytesMut,
    output: BytesMut,
    silence: Duration,
    timer: Pin<Box<Sleep>>,
}

impl Guard {
    pub(super) fn new(inner: Box<dyn Transport>, max_line: usize, silence: Duration) -> Self {
        Self {
            inner,
            framer: Framer::new(max_line, Bounds::default()),
            input: BytesMut::new(),
            output: BytesMut::new(),
            silence,
            timer: Box::pin(tokio::time::sleep(silence)),
        }
    }

    /// A command with this tag is about to be written. What is buffered came before the command and cannot be its
    /// answer: only untagged data may wait there.
    pub(super) fn begin(&mut self, tag: &str, bounds: Bounds) -> Result<(), Violation> {
        let first = self.input.first().copied();
        if !self.output.is_empty() || first.is_some_and(|b| !matches!(b, b'*' | b'\r' | b'\n')) {
            let detail = "an answer was there before the command".to_owned();
            return Err(Violation { rule: "early_answer", detail });
        }
        self.framer.begin(tag, bounds);
        Ok(())
    }

    /// From now on the server may be silent for so long.
    pub(super) fn allow_silence(&mut self, silence: Duration) {
        self.silence = silence;
        self.restart_timer();
    }

    /// The literal that a mark stands for.
    pub(super) fn take_literal(&mut self, mark: &[u8]) -> Option<Bytes> {
        self.framer.take_literal(mark)
    }

    /// How many untagged lines were dropped so far.
    pub(super) const fn dropped(&self) -> u64 {
        self.framer.dropped()
    }

    /// The first line of the connection; `None` when it ends before.
    pub(super) async fn greeting(&mut self) -> io::Result<Option<String>> {
        loop {
            if let Some(line) = self.framer.greeting(&mut self.input).map_err(io::Error::other)? {
                return Ok(Some(line));
            }
            if std::future::poll_fn(|cx| self.poll_fill(cx)).await? == 0 {
                return Ok(None);
            }
        }
    }

    /// Gives back the bare stream, for STARTTLS. Bytes that came in clear text behind the answer are a violation
    /// (RFC 9051 §6.2.1): whoever put them there wants them to count as protected.
    pub(super) fn into_transport(self) -> Result<Box<dyn Transport>, Violation> {
        match self.input.is_empty() && self.output.is_empty() {
            true => Ok(self.inner),
            false => Err(Violation {
                rule: "bytes_after_starttls",
                detail: format!("{} bytes in clear text", self.input.len()),
            }),
        }
    }

    fn restart_timer(&mut self) {
        // A silence that ends after the end of time never ends.
        if let Some(end) = Instant::now().checked_add(self.silence) {
            self.timer.as_mut().reset(end);
        }
    }

    /// Reads once: into the literal that is under way, or into the input. How many bytes; 0 is the end.
    fn poll_fill(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<usize>> {
        let read = match (self.input.is_empty(), self.framer.literal_room()) {
            (true, Some((literal, missing))) => {
                let mut room = literal.limit(missing);
                pin!(self.inner.read_buf(&mut room)).poll(cx)
            }
            _ => {
                self.input.reserve(CHUNK);
                pin!(self.inner.read_buf(&mut self.input)).poll(cx)
            }
        };
        if read.is_ready() {
            self.restart_timer();
            return read;
        }
        ready!(self.timer.as_mut().poll(cx));
        Poll::Ready(Err(io::Error::new(io::ErrorKind::TimedOut, "the server is silent")))
    }
}

impl AsyncRead for Guard {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let guard = self.get_mut();
        loop {
            if !guard.output.is_empty() {
                let some = guard.output.len().min(buffer.remaining());
                buffer.put_slice(&guard.output.split_to(some));
                return Poll::Ready(Ok(()));
            }
            match guard.framer.advance(&mut guard.input, &mut guard.output).map_err(io::Error::other)? {
                Step::More => {}
                Step::Done => return Poll::Ready(Err(io::Error::other("nothing was asked"))),
                Step::Need => {
                    if ready!(guard.poll_fill(cx))? == 0 {
                        return Poll::Ready(Ok(()));
                    }
                }
            }
        }
    }
}

impl AsyncWrite for Guard {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.get_mut().inner).poll_write(cx, bytes)
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().inner).poll_flush(cx)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().inner).poll_shutdown(cx)
    }
}
