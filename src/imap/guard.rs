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

use bytes::{BufMut, BytesMut};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, ReadBuf};
use tokio::time::{Instant, Sleep};

use super::error::Violation;
use super::fetch::Sink;
use super::frame::{Bounds, Framer, Literal, Step};

/// Bytes a second that an answer must bring, on the whole, to be waited for beyond its time.
const SLOWEST: u64 = 4 << 10;
/// Bytes that are asked of the network at once, outside literals.
const CHUNK: usize = 16 << 10;

/// Anything that carries bytes both ways: TCP, TLS, or a pipe in a test.
pub(super) trait Transport: AsyncRead + AsyncWrite + Unpin + Send + std::fmt::Debug {}

impl<T: AsyncRead + AsyncWrite + Unpin + Send + std::fmt::Debug> Transport for T {}

/// The server is not silent, and its answer does not come to an end.
#[derive(Debug, thiserror::Error)]
#[error("the answer comes too slowly")]
pub(super) struct TooSlow;

/// The guarded stream.
#[derive(Debug)]
pub(super) struct Guard {
    inner: Box<dyn Transport>,
    sink: Option<Box<dyn Sink>>,
    framer: Framer,
    input: BytesMut,
    output: BytesMut,
    silence: Duration,
    /// When the answer must be here; what comes moves it.
    deadline: Instant,
    timer: Pin<Box<Sleep>>,
}

impl Guard {
    pub(super) fn new(inner: Box<dyn Transport>, max_line: usize, silence: Duration) -> Self {
        let deadline = later(Instant::now(), silence);
        Self {
            inner,
            sink: None,
            framer: Framer::new(max_line, Bounds::default()),
            input: BytesMut::new(),
            output: BytesMut::new(),
            silence,
            deadline,
            timer: Box::pin(tokio::time::sleep_until(deadline)),
        }
    }

    /// A command with this tag is about to be written. What is buffered came before the command and cannot be its
    /// answer: only untagged data may wait there.
    pub(super) fn begin(&mut self, tag: &str, bounds: Bounds) -> Result<(), Violation> {
        let mut lines = <[u8]>::split(&self.input, |b| *b == b'\n');
        let untagged = |line: &[u8]| matches!(line.first(), None | Some(b'*' | b'\r'));
        if !self.output.is_empty() || !lines.all(untagged) {
            let detail = "an answer was there before the command".to_owned();
            return Err(Violation { rule: "early_answer", detail });
        }
        self.framer.begin(tag, bounds);
        Ok(())
    }

    /// Where a diverted literal goes from now on; without a place it is dropped.
    pub(super) fn divert(&mut self, sink: Option<Box<dyn Sink>>) {
        self.sink = sink;
    }

    /// From now on the server may be silent for so long, and take so long in all. Each byte that comes earns it time: a
    /// large mail may come slowly, and whoever drips a byte a minute gets none.
    pub(super) fn allow(&mut self, silence: Duration, total: Duration) {
        self.silence = silence;
        self.deadline = later(Instant::now(), total);
        self.restart_timer();
    }

    /// The literal that a mark stands for.
    pub(super) fn take_literal(&mut self, mark: &[u8]) -> Option<Literal> {
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
        let silent = later(Instant::now(), self.silence);
        self.timer.as_mut().reset(silent.min(self.deadline));
    }

    /// So many bytes have come.
    fn heard(&mut self, bytes: usize) {
        let bytes = u64::try_from(bytes).unwrap_or(u64::MAX);
        let earned = bytes.saturating_mul(1_000_000).checked_div(SLOWEST).unwrap_or(0);
        self.deadline = later(self.deadline, Duration::from_micros(earned));
        self.restart_timer();
    }

    /// Hands the piece of a diverted literal on. While its sink is busy nothing more is read.
    fn poll_divert(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        while !self.framer.piece().is_empty() {
            let taken = match &mut self.sink {
                Some(sink) => ready!(Pin::new(sink).poll_write(cx, self.framer.piece()))?,
                None => self.framer.piece().len(),
            };
            if taken == 0 {
                return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
            }
            self.framer.took(taken);
        }
        // The server was not silent meanwhile: nobody listened.
        self.restart_timer();
        Poll::Ready(Ok(()))
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
        if let Poll::Ready(Ok(bytes)) = &read {
            self.heard(*bytes);
        }
        let late = Instant::now() >= self.deadline;
        if read.is_ready() && !late {
            return read;
        }
        if !late {
            ready!(self.timer.as_mut().poll(cx));
        }
        Poll::Ready(Err(match Instant::now() >= self.deadline {
            true => io::Error::new(io::ErrorKind::TimedOut, TooSlow),
            false => io::Error::new(io::ErrorKind::TimedOut, "the server is silent"),
        }))
    }
}

fn later(from: Instant, time: Duration) -> Instant {
    from.checked_add(time).unwrap_or(from)
}

impl AsyncRead for Guard {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let guard = self.get_mut();
        loop {
            // Responses are handed on whole: async-imap reads one from its beginning with each piece that it is given.
            if !guard.output.is_empty() && guard.framer.is_whole() {
                let some = guard.output.len().min(buffer.remaining());
                buffer.put_slice(&guard.output.split_to(some));
                return Poll::Ready(Ok(()));
            }
            match guard.framer.advance(&mut guard.input, &mut guard.output).map_err(io::Error::other)? {
                Step::More => {}
                Step::Piece => ready!(guard.poll_divert(cx))?,
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
