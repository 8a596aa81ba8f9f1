//! The command layer: one command at a time, written here and read with async-imap, under two limits that the guard holds:
//! silence (`io_timeout`), and a total that grows with the bytes that come.
//!
//! Never calls a typed method of async-imap's `Session`: they turn NO, BAD, BYE and a lost connection into empty success.
//! Commands are written past `run_command` as well: that exists on a `Session` only, which needs a typed sign-in that
//! loses the response codes; its tags can be guessed; and it hands the password to the log. Here no tag can be guessed, not
//! even by who knows those before it, so no answer can be sent before its command.
//!
//! After anything but a tagged answer the connection is dropped: every later call fails with [`Error::Lost`].

use std::hash::{BuildHasher as _, RandomState};
use std::io;
use std::time::Duration;

use tokio::io::AsyncWriteExt;

use super::answer::{Answer, Completion, Status, translate};
use super::error::{Error, Refusal, Violation, excerpt};
use super::fetch::Sink;
use super::frame::Bounds;
use super::guard::{Guard, TooSlow, Transport};

/// The total time of a command: so many times the time of silence, and what the bytes that come earn it.
const SILENCES: u32 = 5;

/// One command.
#[derive(Debug)]
pub(super) struct Command {
    /// Its name, for errors.
    pub(super) name: &'static str,
    /// What is written; each further part only after the server's `+`.
    pub(super) parts: Vec<Vec<u8>>,
    /// What the answer may cost.
    pub(super) bounds: Bounds,
}

impl Command {
    /// A command of one line, without its end.
    pub(super) fn new(name: &'static str, line: impl Into<Vec<u8>>) -> Self {
        Self { name, parts: vec![line.into()], bounds: Bounds::default() }
    }

    /// The same with other bounds.
    pub(super) const fn bounded(mut self, bounds: Bounds) -> Self {
        self.bounds = bounds;
        self
    }
}

/// How a command was answered. How it was not is an [`Error`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Outcome {
    pub(super) name: &'static str,
    pub(super) status: Status,
    pub(super) completion: Completion,
}

impl Outcome {
    /// `OK`, or the refusal as an error.
    pub(super) fn accepted(self) -> Result<Completion, Error> {
        let refusal = match self.status {
            Status::Ok => return Ok(self.completion),
            Status::No => Refusal::No,
            Status::Bad => Refusal::Bad,
        };
        let code = self.completion.word().to_owned();
        Err(Error::Refused { command: self.name, refusal, code, text: self.completion.text })
    }
}

/// A connection with its greeting read. Holds none once it has failed.
#[derive(Debug)]
pub(super) struct Wire {
    client: Option<async_imap::Client<Guard>>,
    max_line: usize,
    io_timeout: Duration,
    /// The key of this connection's tags, and the number of the last.
    tag: (RandomState, u64),
    /// The command under way.
    busy: Option<&'static str>,
    /// The last `EXISTS`, whichever command it came with (RFC 9051 §7: at any time).
    pub(super) exists: Option<u32>,
    /// There was an `EXISTS` since this was last cleared: a folder may have new mail.
    pub(super) news: bool,
    /// A command was carried out with a grumble since this was last cleared: `OK [THROTTLED]`.
    pub(super) throttled: bool,
}

impl Wire {
    pub(super) fn new(transport: Box<dyn Transport>, max_line: usize, io_timeout: Duration) -> Self {
        let client = async_imap::Client::new(Guard::new(transport, max_line, io_timeout));
        let tag = (RandomState::new(), 0);
        Self {
            client: Some(client),
            max_line,
            io_timeout,
            tag,
            busy: None,
            exists: None,
            news: false,
            throttled: false,
        }
    }

    /// The greeting (RFC 9051 §7.1.5). Only `* OK` goes on: PREAUTH is a stranger's session, and on a connection in clear
    /// text a way around STARTTLS.
    pub(super) async fn greeting(&mut self, host: &str) -> Result<(), Error> {
        self.expect_answer();
        let Some(client) = self.client.as_mut() else { return Err(lost("greeting")) };
        let line = client.get_mut().greeting().await;
        let line = self.settle("greeting", line)?.ok_or_else(|| lost("greeting"))?;
        let mut words = line.splitn(3, ' ');
        let (star, word, text) = (words.next(), words.next().unwrap_or_default(), words.next().unwrap_or_default());
        match word.to_ascii_uppercase().as_str() {
            "OK" if star == Some("*") => Ok(()),
            "PREAUTH" => Err(self.broken("greeting", Violation { rule: "preauth", detail: excerpt(text) })),
            _ => Err(self.fail(Error::Greeting { host: host.to_owned(), text: excerpt(&line) })),
        }
    }

    /// Runs a command; `each` sees every untagged answer.
    pub(super) async fn run(&mut self, command: Command, mut each: impl FnMut(Answer)) -> Result<Outcome, Error> {
        let Command { name, parts, bounds } = command;
        let mut parts = parts.into_iter();
        self.begin(name, &parts.next().unwrap_or_default(), bounds).await?;
        loop {
            match self.next().await? {
                Answer::Done(status, completion) => return Ok(Outcome { name, status, completion }),
                Answer::Continue(_) => match parts.next() {
                    Some(part) => self.write(&part).await?,
                    None => return Err(self.unexpected_continue(name)),
                },
                answer => each(answer),
            }
        }
    }

    /// Where the literal goes that the next command diverts.
    pub(super) fn divert(&mut self, sink: Option<Box<dyn Sink>>) {
        if let Some(client) = self.client.as_mut() {
            client.get_mut().divert(sink);
        }
    }

    /// Writes the first line of a command and leaves the answers to [`Self::next`].
    pub(super) async fn begin(&mut self, name: &'static str, line: &[u8], bounds: Bounds) -> Result<(), Error> {
        if let Some(unfinished) = self.busy {
            return Err(self.fail(Error::Lost { command: unfinished, reason: "it was given up".to_owned() }));
        }
        self.busy = Some(name);
        self.expect_answer();
        self.tag.1 = self.tag.1.wrapping_add(1);
        let tag = format!("{:016x}", self.tag.0.hash_one(self.tag.1));
        let Some(client) = self.client.as_mut() else { return Err(lost(name)) };
        if let Err(violation) = client.get_mut().begin(&tag, bounds) {
            return Err(self.broken(name, violation));
        }
        self.write(&[tag.as_bytes(), b" ", line].concat()).await
    }

    /// Writes a further line of the command under way.
    pub(super) async fn write(&mut self, line: &[u8]) -> Result<(), Error> {
        let name = self.busy.unwrap_or("a line");
        let Some(client) = self.client.as_mut() else { return Err(lost(name)) };
        let bytes = [line, b"\r\n"].concat();
        let stream = client.get_mut();
        let written = tokio::time::timeout(self.io_timeout, async {
            stream.write_all(&bytes).await?;
            stream.flush().await
        });
        let written = written.await.unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into()));
        self.settle(name, written)
    }

    /// The next answer to the command under way. May be dropped and called again.
    pub(super) async fn next(&mut self) -> Result<Answer, Error> {
        let name = self.busy.unwrap_or("reading");
        let Some(client) = self.client.as_mut() else { return Err(lost(name)) };
        let response = client.read_response().await;
        let Some(response) = self.settle(name, response)? else { return Err(self.fail(lost(name))) };
        let Some(client) = self.client.as_mut() else { return Err(lost(name)) };
        match translate(response.parsed(), client.get_mut()) {
            Answer::Bye(text) if name != "LOGOUT" => Err(self.fail(Error::Bye { command: name, text })),
            Answer::Done(status, completion) => {
                self.busy = None;
                self.throttled |= status == Status::Ok && completion.word() == "THROTTLED";
                Ok(Answer::Done(status, completion))
            }
            answer => {
                if let Answer::Exists(count) = answer {
                    (self.exists, self.news) = (Some(count), true);
                }
                Ok(answer)
            }
        }
    }

    /// The command under way waits for news: the server may be silent for so long, and then for an answer.
    pub(super) fn allow_silence(&mut self, silence: Duration) {
        let silence = silence.saturating_add(self.io_timeout);
        self.allow(silence, silence.saturating_add(self.io_timeout));
    }

    /// Ends [`Self::allow_silence`].
    pub(super) fn expect_answer(&mut self) {
        self.allow(self.io_timeout, self.io_timeout.saturating_mul(SILENCES));
    }

    /// How many untagged lines nobody read.
    pub(super) fn dropped(&self) -> u64 {
        self.client.as_ref().map_or(0, |client| client.get_ref().dropped())
    }

    /// The bare stream after STARTTLS, with nothing left in a buffer.
    pub(super) fn into_transport(mut self) -> Result<Box<dyn Transport>, Error> {
        let client = self.client.take().ok_or_else(|| lost("STARTTLS"))?;
        let violation = |violation| Error::Violation { command: "STARTTLS", violation };
        client.into_inner().into_transport().map_err(violation)
    }

    /// One line may have so many bytes.
    pub(super) const fn max_line(&self) -> usize {
        self.max_line
    }

    fn allow(&mut self, silence: Duration, total: Duration) {
        if let Some(client) = self.client.as_mut() {
            client.get_mut().allow(silence, total);
        }
    }

    /// What came of waiting for the network; any failure ends the connection.
    fn settle<T>(&mut self, command: &'static str, result: io::Result<T>) -> Result<T, Error> {
        result.map_err(|error| self.fail(from_io(command, error)))
    }

    fn unexpected_continue(&mut self, name: &'static str) -> Error {
        let detail = "it asks for more where there is nothing more".to_owned();
        self.broken(name, Violation { rule: "unexpected_continue", detail })
    }

    fn broken(&mut self, command: &'static str, violation: Violation) -> Error {
        self.fail(Error::Violation { command, violation })
    }

    fn fail(&mut self, error: Error) -> Error {
        self.client = None;
        error
    }
}

fn lost(command: &'static str) -> Error {
    Error::Lost { command, reason: "closed by the server".to_owned() }
}

fn from_io(command: &'static str, error: io::Error) -> Error {
    if error.kind() == io::ErrorKind::TimedOut {
        let too_slow = error.get_ref().is_some_and(|inner| inner.is::<TooSlow>());
        return Error::Timeout { command, waited_for: if too_slow { "the whole answer" } else { "any sign" } };
    }
    if error.get_ref().is_some_and(|inner| inner.is::<Violation>()) {
        let violation = error.into_inner().and_then(|inner| inner.downcast::<Violation>().ok());
        let violation = violation.map_or_else(|| Violation { rule: "?", detail: String::new() }, |boxed| *boxed);
        return Error::Violation { command, violation };
    }
    Error::Lost { command, reason: excerpt(&error.to_string()) }
}
