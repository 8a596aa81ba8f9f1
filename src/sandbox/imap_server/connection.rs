//! One connection: bytes to commands, answers to bytes, and the scripted steps in between.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use bytes::{Buf, Bytes, BytesMut};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio_rustls::TlsAcceptor;

use super::Options;
use super::mailbox::{Logged, World};
use super::script::{Edit, Step, Tagged, play, responses, with_tag};
use super::session::{After, Answer, Session};
use super::token::{self, Command, Token};
use crate::sandbox::loopback::{self, Shared};

/// A longer command line ends the connection.
const MAX_LINE: usize = 64 * 1024;
/// A longer literal ends the connection.
const MAX_LITERAL: usize = 128 * 1024 * 1024;
/// More pieces in one command end the connection.
const MAX_LITERALS: usize = 10;

/// Serves one client until either side ends it.
pub(super) async fn run(socket: TcpStream, shared: Arc<Shared<World>>, options: Arc<Options>) {
    let number = shared.change(World::connect);
    let session = Session { shared, options, secure: false, identified: false, user: None, selected: None };
    let connection = Connection { number, session, wire: Wire::new(Box::new(socket)) };
    // An error means that the client is gone, which ends the connection as well.
    connection.converse().await.ok();
}

/// A plain or an encrypted stream.
trait Stream: AsyncRead + AsyncWrite + Send + Unpin {}
impl<S: AsyncRead + AsyncWrite + Send + Unpin> Stream for S {}

struct Wire {
    stream: Box<dyn Stream>,
    buffer: BytesMut,
}

struct Connection {
    number: u32,
    session: Session,
    wire: Wire,
}

impl Connection {
    async fn converse(mut self) -> io::Result<()> {
        if self.session.options.implicit_tls {
            self = self.encrypt().await?;
        }
        let greeting = format!("* OK [CAPABILITY {}] sandbox ready\r\n", self.session.capabilities());
        let greeting = Answer { tagged: Tagged::Ok(String::new()), ..Answer::ok("").with(greeting) };
        if self.play("GREETING", "*", Some(greeting)).await? == After::Close {
            return Ok(());
        }
        while let Some(command) = self.command().await? {
            let (verb, tag) = (command.verb.clone(), command.tag.clone());
            match self.respond(command, &verb, &tag).await? {
                After::Go => {}
                After::Close => return Ok(()),
                After::StartTls => self = self.encrypt().await?,
            }
        }
        Ok(())
    }

    async fn respond(&mut self, command: Command, verb: &str, tag: &str) -> io::Result<After> {
        let dialogue = match verb {
            "IDLE" => self.session.selected.is_some() && self.session.options.offers("IDLE"),
            "AUTHENTICATE" => self.session.user.is_none() && self.session.options.offers("AUTH=PLAIN"),
            _ => false,
        };
        if dialogue { self.dialogue(command, verb, tag).await } else { self.answer(command, verb, tag).await }
    }

    /// An ordinary command, with the step that the script has for it.
    async fn answer(&mut self, command: Command, verb: &str, tag: &str) -> io::Result<After> {
        match self.step(verb) {
            Some(Step::Instead(tagged)) => {
                let answer = self.session.obey(command);
                self.send_answer(tag, &Answer { tagged, ..answer }).await
            }
            Some(Step::Without(text)) => {
                let answer = self.session.obey(command);
                let untagged = without(&answer.untagged, text.as_bytes());
                self.send_answer(tag, &Answer { untagged, ..answer }).await
            }
            Some(Step::Behind(more)) => {
                let answer = self.session.obey(command);
                self.wire.send(&[answer.untagged, answer.tagged.line(tag), more].concat()).await?;
                Ok(answer.after)
            }
            Some(Step::Cut(n)) => {
                let answer = self.session.obey(command);
                let mut bytes = answer.untagged;
                bytes.extend_from_slice(&answer.tagged.line(tag));
                bytes.truncate(n);
                self.wire.send(&bytes).await?;
                Ok(After::Close)
            }
            Some(Step::Edit(edit)) => {
                let answer = self.session.obey(command);
                self.wire.send(&edited(&answer, tag, edit)).await?;
                Ok(answer.after)
            }
            Some(Step::EditThenClose(edit)) => {
                let answer = self.session.obey(command);
                self.wire.send(&edited(&answer, tag, edit)).await?;
                Ok(After::Close)
            }
            step => {
                if let Some(after) = self.prelude(step, tag).await? {
                    return Ok(after);
                }
                let answer = self.session.obey(command);
                self.send_answer(tag, &answer).await
            }
        }
    }

    async fn send_answer(&mut self, tag: &str, answer: &Answer) -> io::Result<After> {
        self.wire.send(&answer.untagged).await?;
        self.wire.send(&answer.tagged.line(tag)).await?;
        Ok(answer.after)
    }

    /// A command that the client and the server talk about: AUTHENTICATE, IDLE.
    async fn dialogue(&mut self, command: Command, verb: &str, tag: &str) -> io::Result<After> {
        let step = match self.step(verb) {
            Some(Step::Instead(tagged)) => Some(Step::Reply(Vec::new(), tagged)),
            Some(Step::Cut(_) | Step::EditThenClose(_)) => Some(Step::Close),
            step => step,
        };
        if let Some(after) = self.prelude(step, tag).await? {
            return Ok(after);
        }
        if verb == "IDLE" { self.idle(tag).await } else { self.authenticate(command, tag).await }
    }

    /// Plays a step that needs no ordinary answer. `None`: the ordinary answer follows.
    async fn prelude(&mut self, step: Option<Step>, tag: &str) -> io::Result<Option<After>> {
        Ok(Some(match step {
            None
            | Some(
                Step::Instead(_)
                | Step::Cut(_)
                | Step::Without(_)
                | Step::Edit(_)
                | Step::EditThenClose(_)
                | Step::Behind(_),
            ) => {
                return Ok(None);
            }
            Some(Step::Delay(time)) => {
                tokio::time::sleep(time).await;
                return Ok(None);
            }
            Some(Step::Before(lines)) => {
                self.wire.send(&untagged(&lines)).await?;
                return Ok(None);
            }
            Some(Step::Reply(lines, tagged)) => {
                self.wire.send(&untagged(&lines)).await?;
                self.wire.send(&tagged.line(tag)).await?;
                After::Go
            }
            Some(Step::Raw(bytes)) => {
                self.wire.send(&with_tag(&bytes, tag)).await?;
                After::Go
            }
            Some(Step::RawThenClose(bytes)) => {
                self.wire.send(&with_tag(&bytes, tag)).await?;
                After::Close
            }
            Some(Step::Endless(bytes, every)) => {
                self.wire.send_endlessly(&with_tag(&bytes, tag), every).await?;
                After::Close
            }
            Some(Step::Close) => After::Close,
            Some(Step::Stall) => {
                self.wire.swallow().await;
                After::Close
            }
        }))
    }

    /// An event without a command: the greeting, the handshake, the end of an IDLE.
    async fn play(&mut self, event: &str, tag: &str, ordinary: Option<Answer>) -> io::Result<After> {
        let step = self.step(event);
        if let Some(Step::Cut(n)) = step {
            let bytes = ordinary.map(|answer| answer.untagged).unwrap_or_default();
            self.wire.send(bytes.get(..n).unwrap_or(&bytes)).await?;
            return Ok(After::Close);
        }
        if let Some(after) = self.prelude(step, tag).await? {
            // What was played stands for the event itself.
            return Ok(after);
        }
        if let Some(answer) = ordinary {
            self.wire.send(&answer.untagged).await?;
        }
        Ok(After::Go)
    }

    fn step(&self, verb: &str) -> Option<Step> {
        self.session.shared.change(|world| play(&mut world.rules, verb, self.number))
    }

    async fn authenticate(&mut self, mut command: Command, tag: &str) -> io::Result<After> {
        if command.args.keyword().as_deref() != Some("PLAIN") {
            return self.send_answer(tag, &Answer::no("[CANNOT] only PLAIN")).await;
        }
        let response = match command.args.word() {
            Some(response) => response.into_bytes(),
            None => {
                self.wire.send(b"+ \r\n").await?;
                let Some(line) = self.wire.line().await? else { return Ok(After::Close) };
                line
            }
        };
        let answer = self.session.authenticate(&response);
        self.send_answer(tag, &answer).await
    }

    /// IDLE (RFC 2177): tells of changes until the client says DONE.
    async fn idle(&mut self, tag: &str) -> io::Result<After> {
        let mut changes = self.session.shared.changes();
        self.wire.send(b"+ idling\r\n").await?;
        let pushes = self.session.options.idle_pushes;
        let line = loop {
            changes.mark_unchanged();
            if pushes {
                let updates = self.session.updates();
                self.wire.send(&updates).await?;
            }
            tokio::select! {
                line = self.wire.line() => break line?,
                changed = changes.changed(), if pushes => if changed.is_err() { return Ok(After::Close) },
            }
        };
        let Some(line) = line else { return Ok(After::Close) };
        if !line.eq_ignore_ascii_case(b"DONE") {
            return self.send_answer(tag, &Answer::bad("only DONE ends an IDLE")).await;
        }
        self.session.shared.change(|world| {
            world.note(Logged { connection: self.number, verb: "DONE".to_owned(), line: "DONE".to_owned() });
        });
        let end = Answer::ok("").with(Tagged::Ok("done".to_owned()).line(tag));
        self.play("DONE", tag, Some(end)).await
    }

    async fn encrypt(mut self) -> io::Result<Self> {
        if self.play("TLS", "*", None).await? == After::Close {
            return Err(io::ErrorKind::ConnectionAborted.into());
        }
        let config = self.session.options.tls.clone().ok_or(io::ErrorKind::Unsupported)?;
        let stream = TlsAcceptor::from(config).accept(self.wire.stream).await?;
        self.session.secure = true;
        Ok(Self { wire: Wire::new(Box::new(stream)), ..self })
    }

    /// The next command with its literals; `None` when the client has closed. What is no command is answered here.
    async fn command(&mut self) -> io::Result<Option<Command>> {
        loop {
            let Some((text, tokens)) = self.pieces().await? else { return Ok(None) };
            let Some(command) = tokens.and_then(Command::from_tokens) else {
                self.wire.send(b"* BAD that is no command\r\n").await?;
                continue;
            };
            let line = redacted(&command, &text);
            let logged = Logged { connection: self.number, verb: command.verb.clone(), line };
            self.session.shared.change(|world| world.note(logged));
            return Ok(Some(command));
        }
    }

    /// A line and its literals: the text with `{n}` for these, and its tokens.
    async fn pieces(&mut self) -> io::Result<Option<(String, Option<Vec<Token>>)>> {
        let (mut text, mut tokens) = (String::new(), Some(Vec::new()));
        for _ in 0..MAX_LITERALS {
            let Some(line) = self.wire.line().await? else { return Ok(None) };
            text.push_str(&String::from_utf8_lossy(&line));
            let literal = token::literal(&line);
            let own = if literal.is_some() { token::before_literal(&line) } else { &line };
            tokens = tokens.zip(token::tokens(own)).map(|(before, more): (Vec<_>, _)| [before, more].concat());
            let Some((length, waits)) = literal else { return Ok(Some((text, tokens))) };
            if waits {
                self.wire.send(b"+ go ahead\r\n").await?;
            }
            let Some(bytes) = self.wire.exactly(length).await? else { return Ok(None) };
            tokens = tokens.map(|tokens| [tokens, vec![Token::Text(bytes.to_vec())]].concat());
        }
        Err(io::ErrorKind::InvalidData.into())
    }
}

impl Wire {
    fn new(stream: Box<dyn Stream>) -> Self {
        Self { stream, buffer: BytesMut::new() }
    }

    /// The next line without its end; `None` when the client has closed. Safe to drop and call again.
    async fn line(&mut self) -> io::Result<Option<Vec<u8>>> {
        loop {
            if let Some(end) = self.buffer.iter().position(|byte| *byte == b'\n') {
                let line = self.buffer.split_to(end);
                self.buffer.advance(1);
                return Ok(Some(line.strip_suffix(b"\r").unwrap_or(&line).to_vec()));
            }
            if self.buffer.len() > MAX_LINE {
                return Err(io::ErrorKind::InvalidData.into());
            }
            if self.stream.read_buf(&mut self.buffer).await? == 0 {
                return Ok(None);
            }
        }
    }

    async fn exactly(&mut self, length: usize) -> io::Result<Option<Bytes>> {
        if length > MAX_LITERAL {
            return Err(io::ErrorKind::InvalidData.into());
        }
        while self.buffer.len() < length {
            if self.stream.read_buf(&mut self.buffer).await? == 0 {
                return Ok(None);
            }
        }
        Ok(Some(self.buffer.split_to(length).freeze()))
    }

    async fn send(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.stream.write_all(bytes).await?;
        self.stream.flush().await
    }

    /// Ends when the client has closed.
    async fn send_endlessly(&mut self, bytes: &[u8], every: Option<Duration>) -> io::Result<()> {
        let Some(every) = every else {
            loop {
                self.send(bytes).await?;
            }
        };
        for byte in bytes.iter().cycle() {
            tokio::time::sleep(every).await;
            self.send(&[*byte]).await?;
        }
        Ok(())
    }

    /// Reads and forgets until the client closes.
    async fn swallow(&mut self) {
        loopback::swallow(&mut self.stream).await;
    }
}

fn untagged(lines: &[String]) -> Vec<u8> {
    lines.iter().flat_map(|line| format!("* {line}\r\n").into_bytes()).collect()
}

fn edited(answer: &Answer, tag: &str, edit: Edit) -> Vec<u8> {
    let mut all = responses(&answer.untagged);
    all.push(answer.tagged.line(tag));
    edit(&mut all);
    all.concat()
}

/// The lines that do not contain `text`.
fn without(lines: &[u8], text: &[u8]) -> Vec<u8> {
    let contains = |line: &&[u8]| line.windows(text.len().max(1)).any(|part| part == text);
    lines.split_inclusive(|byte| *byte == b'\n').filter(|line| !contains(line)).flatten().copied().collect()
}

/// The line for the log: nothing that signs in.
fn redacted(command: &Command, text: &str) -> String {
    let (tag, verb) = (&command.tag, &command.verb);
    match verb.as_str() {
        "LOGIN" => match command.args.clone().text() {
            Some(user) => format!("{tag} LOGIN {user} ***"),
            None => format!("{tag} LOGIN ***"),
        },
        "AUTHENTICATE" => format!("{tag} AUTHENTICATE ***"),
        _ => text.to_owned(),
    }
}
