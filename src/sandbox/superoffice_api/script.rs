//! How the API misbehaves: an ordered list of rules, each a call, which of its occurrences, and a step.

use std::time::Duration;

use crate::sandbox::script::{Counter, When};

/// Which calls a rule is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Call {
    /// `POST /api/v1/TicketMessage`
    Post,
    /// `GET /api/v1/TicketMessage`
    Search,
    /// Every request.
    Any,
}

/// One thing that goes wrong. The first rule that fires wins; all rules that match count the occurrence.
#[derive(Debug, Clone)]
pub struct Rule {
    call: Call,
    counter: Counter,
    step: Step,
}

impl Rule {
    /// Plays `step` each time.
    #[must_use]
    pub const fn on(call: Call, step: Step) -> Self {
        Self { call, counter: Counter::new(), step }
    }

    /// … only at these occurrences.
    #[must_use]
    pub const fn when(mut self, when: When) -> Self {
        self.counter.when = when;
        self
    }

    /// … only at the n-th occurrence, from 1.
    #[must_use]
    pub const fn nth(self, n: u32) -> Self {
        self.when(When::Nth(n))
    }
}

/// What happens. Unless [`Self::stored`], a step that stands for the answer also keeps the request from being carried out.
#[derive(Debug, Clone)]
pub struct Step {
    pub(super) stores: bool,
    pub(super) delay: Duration,
    pub(super) closes: bool,
    pub(super) play: Play,
}

/// What is answered.
#[derive(Debug, Clone)]
pub(super) enum Play {
    /// The ordinary answer.
    Ordinary,
    /// This one.
    Response { status: u16, headers: Vec<(String, String)>, body: Vec<u8> },
    /// So many bytes of the ordinary answer, then the connection is closed.
    Cut(usize),
    /// These bytes, then the connection is closed.
    Raw(Vec<u8>),
    /// So many bytes of the request's body are heard, then the connection is closed: nothing is carried out.
    Deaf(usize),
    /// The ordinary answer, byte by byte, each after this time.
    Drip(Duration),
    /// A body without end.
    Endless,
    /// Headers without end.
    EndlessHead,
    /// Nothing, and nothing is heard any more until the client closes.
    Stall,
}

impl Step {
    /// This status with this body, as `application/json` (see [`Self::header`]).
    #[must_use]
    pub fn status(status: u16, body: impl Into<Vec<u8>>) -> Self {
        Self::new(Play::Response { status, headers: Vec::new(), body: body.into() })
    }

    /// 200 with a web page, as a captive portal or a sign-in page answers.
    #[must_use]
    pub fn html() -> Self {
        Self::status(200, "<!DOCTYPE html><title>Sign in</title>").header("Content-Type", "text/html; charset=utf-8")
    }

    /// So many bytes of the ordinary answer, then the connection is closed. 0: no answer at all, and the request was
    /// carried out only if [`Self::stored`]; with more there is an answer, so it was.
    #[must_use]
    pub const fn cut(bytes: usize) -> Self {
        Self { stores: bytes > 0, delay: Duration::ZERO, closes: false, play: Play::Cut(bytes) }
    }

    /// So many bytes of the request's body are heard, then the connection is closed. Such a request is no
    /// [`super::Request`]: it did not come to its end.
    #[must_use]
    pub const fn deaf(bytes: usize) -> Self {
        Self::new(Play::Deaf(bytes))
    }

    /// The ordinary answer, byte by byte, each after this time.
    #[must_use]
    pub const fn drip(pause: Duration) -> Self {
        Self::new(Play::Drip(pause)).stored()
    }

    /// These bytes instead of an HTTP answer, then the connection is closed.
    #[must_use]
    pub fn raw(bytes: impl Into<Vec<u8>>) -> Self {
        Self::new(Play::Raw(bytes.into()))
    }

    /// A 200 whose body never ends.
    #[must_use]
    pub const fn endless() -> Self {
        Self::new(Play::Endless)
    }

    /// A 200 whose headers never end.
    #[must_use]
    pub const fn endless_head() -> Self {
        Self::new(Play::EndlessHead)
    }

    /// No answer; the connection stays open.
    #[must_use]
    pub const fn stall() -> Self {
        Self::new(Play::Stall)
    }

    /// The ordinary answer, after this time.
    #[must_use]
    pub const fn delay(time: Duration) -> Self {
        Self::new(Play::Ordinary).stored().after(time)
    }

    /// … and the request was carried out all the same.
    #[must_use]
    pub const fn stored(mut self) -> Self {
        self.stores = true;
        self
    }

    /// … after this time.
    #[must_use]
    pub const fn after(mut self, time: Duration) -> Self {
        self.delay = time;
        self
    }

    /// … and then the connection is closed, which the answer did not say.
    #[must_use]
    pub const fn closing(mut self) -> Self {
        self.closes = true;
        self
    }

    /// … with this header, instead of the usual one of that name.
    #[must_use]
    pub fn header(mut self, name: &str, text: &str) -> Self {
        if let Play::Response { headers, .. } = &mut self.play {
            headers.push((name.to_owned(), text.to_owned()));
        }
        self
    }

    const fn new(play: Play) -> Self {
        Self { stores: false, delay: Duration::ZERO, closes: false, play }
    }
}

/// The step to play now, if any.
pub(super) fn play(rules: &mut [Rule], call: Call) -> Option<Step> {
    let mut fired = None;
    for rule in rules.iter_mut().filter(|rule| rule.call == call || rule.call == Call::Any) {
        if rule.counter.fires() && fired.is_none() {
            fired = Some(rule.step.clone());
        }
    }
    fired
}
