//! IDLE by hand (RFC 2177): the deadlines are ours, and a refusal is an answer. A hint only: whoever waits here searches
//! afterwards.

use std::future::Future;
use std::pin::pin;
use std::time::Duration;

use super::answer::{Answer, Status};
use super::error::Error;
use super::frame::Bounds;
use super::session::Session;

/// Why the waiting ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Idled {
    /// The server has news.
    News,
    /// The caller wants the session back.
    Called,
    /// The time is over.
    Late,
    /// The server does not do it: poll instead.
    Refused,
}

impl Session {
    /// Waits in the selected folder for news, for `call`, or for `time` to pass.
    ///
    /// # Errors
    /// See [`Error`]; a server that does not answer DONE is one that is lost.
    pub async fn idle(&mut self, time: Duration, call: impl Future<Output = ()>) -> Result<Idled, Error> {
        self.wire.begin("IDLE", b"IDLE", Bounds::default()).await?;
        let mut news = false;
        loop {
            match self.wire.next().await? {
                Answer::Continue(_) => break,
                Answer::Done(Status::Ok, _) if news => return Ok(Idled::News),
                // Also one that says OK and never waits: it would be asked again and again without a pause.
                Answer::Done(..) => return Ok(Idled::Refused),
                answer => news |= is_news(&answer),
            }
        }
        self.wire.allow_silence(time);
        let why = if news { Idled::News } else { self.wait(time, call).await? };
        self.wire.expect_answer();
        self.wire.write(b"DONE").await?;
        loop {
            match self.wire.next().await? {
                Answer::Done(..) if news => return Ok(Idled::News),
                Answer::Done(..) => return Ok(why),
                answer => news |= is_news(&answer),
            }
        }
    }

    async fn wait(&mut self, time: Duration, call: impl Future<Output = ()>) -> Result<Idled, Error> {
        let mut call = pin!(call);
        let mut late = pin!(tokio::time::sleep(time));
        loop {
            let answer = tokio::select! {
                answer = self.wire.next() => answer?,
                () = &mut call => return Ok(Idled::Called),
                () = &mut late => return Ok(Idled::Late),
            };
            match answer {
                // The server has ended IDLE by itself: there is no DONE to say, so this session is of no use.
                Answer::Done(..) => {
                    return Err(Error::Lost { command: "IDLE", reason: "ended by the server".to_owned() });
                }
                answer if is_news(&answer) => return Ok(Idled::News),
                _ => {}
            }
        }
    }
}

/// Whether the answer tells of new mail.
const fn is_news(answer: &Answer) -> bool {
    matches!(answer, Answer::Exists(_))
}
