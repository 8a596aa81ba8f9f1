//! The door of the fuzz target `guard`, only there while fuzzing or testing: a whole session against what a server says.

#![expect(clippy::expect_used, reason = "only there while fuzzing or testing")]

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::BytesMut;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use super::capability::Capabilities;
use super::command::Wire;
use super::connect::Connected;
use super::error::Violation;
use super::fetch::{Body, Metadata, Section};
use super::frame::{Bounds, Framer, Literal, Step};
use super::session::Session;
use crate::config::{Limits, Mailbox, Secret};
use crate::ids::Uid;
use crate::uids::UidSet;

/// Ends what one read gives.
const PIECE: u8 = 0x01;
/// Stands for the tag of the last command.
const TAG: u8 = 0x02;
/// Lines are short here, so that a short input reaches the bound.
const MAX_LINE: usize = 512;
/// The largest mail that the session asks for.
const MAX_BODY: u64 = 4 << 10;

/// Says `script`, the bytes of a mail server, to a session that does everything once. [`TAG`] stands for the tag of the last
/// command, [`PIECE`] ends what one read gives.
///
/// # Panics
/// When the session does, or when what it returns breaks a promise.
pub fn check(script: &[u8]) {
    framed(script);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build();
    runtime.expect("a runtime").block_on(session(script));
}

/// What the framing hands on does not depend on how the bytes come.
fn framed(script: &[u8]) {
    let whole = frames([script]);
    assert_eq!(frames(script.chunks(1)), whole, "byte by byte");
    assert_eq!(frames(script.chunks(7)), whole, "by sevens");
}

/// All that is handed on, the literals, and how it ends.
fn frames<'a>(pieces: impl IntoIterator<Item = &'a [u8]>) -> (BytesMut, Vec<Literal>, Option<Violation>) {
    let mut framer = Framer::new(MAX_LINE, Bounds::default());
    framer.begin("t", Bounds { literal: MAX_BODY, literals: 2 * MAX_BODY, lines: 100, ..Bounds::default() });
    let (mut input, mut output, mut end) = (BytesMut::new(), BytesMut::new(), None);
    'all: for piece in pieces {
        input.extend_from_slice(piece);
        loop {
            match framer.advance(&mut input, &mut output) {
                Ok(Step::More) => {}
                Ok(Step::Need | Step::Piece) => break,
                Ok(Step::Done) => break 'all,
                Err(violation) => {
                    end = Some(violation);
                    break 'all;
                }
            }
        }
        let held = framer.literal_room().map_or(0, |(literal, missing)| literal.len().saturating_add(missing));
        assert!(u64::try_from(held).expect("a size") <= MAX_BODY, "a literal of {held} bytes");
        assert!(held > 0 || input.len() <= MAX_LINE.saturating_add(script_bound(piece)), "{} bytes wait", input.len());
    }
    let literals = (0..).map_while(|index| framer.take_literal(format!("\0{index:08x}").as_bytes())).collect();
    (output, literals, end)
}

/// What one read may leave beyond a line: itself.
const fn script_bound(piece: &[u8]) -> usize {
    piece.len().saturating_add(1)
}

async fn session(script: &[u8]) {
    let bytes = script.to_owned();
    let server = Server { script: bytes.into_iter(), line: Vec::new(), tag: Vec::new() };
    let mut wire = Wire::new(Box::new(server), MAX_LINE, Duration::from_secs(60));
    if wire.greeting("host").await.is_err() {
        return;
    }
    let Ok(capabilities) = Capabilities::ask(&mut wire).await else { return };
    let connected = Connected { wire, capabilities, tls_version: "none" };
    let mailbox = Mailbox { password: Some(Secret::Plain("p".to_owned())), ..Mailbox::default() };
    let limits = Limits { message_size: format!("{MAX_BODY}B").parse().expect("a size"), ..Limits::default() };
    let Ok(mut session) = Session::start(connected, &mailbox, &limits).await else { return };
    let Ok(folder) = session.select("INBOX").await else { return };
    let Ok(uids) = session.uids(Uid(5), &folder).await else { return };
    assert!(uids.iter().all(|uid| uid >= Uid(5)), "a UID that was not asked for");
    let asked: UidSet = [Uid(5), Uid(6), Uid(7)].into_iter().collect();
    let metadata = session.metadata(&asked).await;
    assert!(metadata.items.iter().all(|item| asked.contains(item.uid)), "metadata that was not asked for");
    let wanted = [Uid(5), Uid(6)].map(|uid| Metadata { uid, size: MAX_BODY, internal_date: None });
    let bodies = session.bodies(&wanted, Section::Whole).await;
    for (uid, body) in &bodies.items {
        assert!(*uid == Uid(5) || *uid == Uid(6), "a mail that was not asked for");
        assert!(matches!(body, Body::Bytes(body) if body.len() <= script.len()), "bytes from nowhere");
    }
    if session.can_idle() && session.idle(Duration::from_secs(60), std::future::pending()).await.is_err() {
        return;
    }
    if session.set_flags(&asked, &["\\Seen"]).await.is_ok() && session.move_to(&asked, "Processed").await.is_ok() {
        session.logout().await;
    }
}

/// The other end of the connection.
#[derive(Debug)]
struct Server {
    script: std::vec::IntoIter<u8>,
    line: Vec<u8>,
    tag: Vec<u8>,
}

impl AsyncRead for Server {
    fn poll_read(mut self: Pin<&mut Self>, _: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let before = buffer.filled().len();
        while buffer.remaining() > self.tag.len() {
            match self.script.next() {
                Some(TAG) => buffer.put_slice(&self.tag),
                Some(PIECE) if buffer.filled().len() > before => break,
                Some(PIECE) => {}
                Some(byte) => buffer.put_slice(&[byte]),
                None => break,
            }
        }
        if buffer.filled().len() == before && buffer.remaining() <= self.tag.len() {
            // No room for a tag: byte by byte.
            match self.script.next() {
                Some(TAG) | None => {}
                Some(byte) => buffer.put_slice(&[byte]),
            }
        }
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Server {
    fn poll_write(mut self: Pin<&mut Self>, _: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        for byte in bytes {
            match byte {
                b'\n' => {
                    let line = std::mem::take(&mut self.line);
                    self.tag = line.split(|b| *b == b' ').next().unwrap_or_default().to_vec();
                }
                byte => self.line.push(*byte),
            }
        }
        Poll::Ready(Ok(bytes.len()))
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}

#[cfg(test)]
mod tests {
    use super::check;

    #[test]
    fn what_was_found_before_stays_harmless() {
        let corpus = std::fs::read_dir(concat!(env!("CARGO_MANIFEST_DIR"), "/fuzz/corpus/guard")).expect("the corpus");
        for entry in corpus {
            check(&std::fs::read(entry.expect("an entry").path()).expect("an input"));
        }
    }
}
