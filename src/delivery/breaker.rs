//! The circuit breaker of one tenant. Pure: the caller brings the time.
//!
//! `breaker_failures` faults in a row that hold for the tenant as a whole open it; then one probe call at a time, each
//! `breaker_probe`, until one succeeds. Refusals that are the same for many different mails in a row count as such a fault:
//! then the API has changed, and the mails are innocent. A refused sign-in opens it at once, since accounts are locked
//! after a few; and where each probe costs something (one more refused sign-in, a mail that a person must look at) the
//! probes come more and more seldom.
//!
//! A tenant that says 429 is not away: it is left alone for as long as it asks, all of it, and then asked by one call.

use std::collections::VecDeque;
use std::time::Duration;

use tokio::time::Instant;

use super::outcome::Outcome;
use crate::clock::UtcMillis;

/// Probes that cost something are at most so far apart, unless `breaker_probe` is more.
const DEAR: Duration = Duration::from_secs(900);
/// The first pause after a 429 that does not say how long; each further one is twice as long, up to `breaker_probe`.
const PAUSE: Duration = Duration::from_secs(1);
/// Pauses are the rhythm of a tenant that allows so many calls a minute: they are news only after so long without one.
const NEWS: Duration = Duration::from_secs(600);
/// Outages that are remembered for `expire_after`.
const OUTAGES: usize = 64;

/// The tenant's options.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Rules {
    pub(super) failures: u32,
    pub(super) probe: Duration,
}

/// Whether a call may be made now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Entry {
    /// Yes.
    Free,
    /// Yes, as the one probe: it must end in [`Breaker::record`] or [`Breaker::abandon`].
    Probe,
    /// No.
    Shut,
}

/// A change of state, in the words of the `api.breaker` event.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Change {
    pub(super) from: &'static str,
    pub(super) to: &'static str,
    pub(super) failures: u32,
    /// The tenant was not away: it asked for a pause, or the pause is over.
    pub(super) pause: bool,
    /// No news for people.
    pub(super) quiet: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    Closed,
    Paused {
        until: Instant,
    },
    Open {
        until: Instant,
    },
    /// One call is on its way, after a pause or an outage.
    Probe {
        paused: bool,
    },
}

impl State {
    const fn word(self) -> &'static str {
        match self {
            Self::Closed => "closed",
            Self::Paused { .. } => "paused",
            Self::Open { .. } => "open",
            Self::Probe { .. } => "probe",
        }
    }

    const fn is_pause(self) -> bool {
        matches!(self, Self::Paused { .. } | Self::Probe { paused: true })
    }
}

/// The breaker.
#[derive(Debug)]
pub(super) struct Breaker {
    state: State,
    failures: u32,
    refusal: Option<(String, u32)>,
    pause: Option<Instant>,
    /// Pauses in a row.
    throttled: u32,
    /// Costly failures in a row.
    costly: u32,
    /// The last pause that was news, and whether the present one is.
    told: Option<Instant>,
    news: bool,
    /// Something has succeeded since the start: before that, nobody knows how long the tenant has been away.
    proven: bool,
    opened_at: Option<UtcMillis>,
    outages: VecDeque<(UtcMillis, UtcMillis)>,
}

impl Breaker {
    pub(super) const fn new() -> Self {
        Self {
            state: State::Closed,
            failures: 0,
            refusal: None,
            pause: None,
            throttled: 0,
            costly: 0,
            told: None,
            news: false,
            proven: false,
            opened_at: None,
            outages: VecDeque::new(),
        }
    }

    /// `closed`, `paused`, `open` or `probe`.
    pub(super) const fn word(&self) -> &'static str {
        self.state.word()
    }

    pub(super) fn is_closed(&self) -> bool {
        self.state == State::Closed
    }

    /// How many calls may be begun now, and when to ask again if none.
    pub(super) fn allowance(&self, now: Instant) -> Result<usize, Option<Instant>> {
        match (self.state, self.pause) {
            (State::Closed, Some(until)) if until > now => Err(Some(until)),
            (State::Closed, _) => Ok(usize::MAX),
            (State::Open { until } | State::Paused { until }, _) if until > now => Err(Some(until)),
            (State::Open { .. } | State::Paused { .. }, _) => Ok(1),
            (State::Probe { .. }, _) => Err(None),
        }
    }

    /// Asks for leave to make one call.
    pub(super) fn enter(&mut self, now: Instant) -> Entry {
        match (self.allowance(now), self.state) {
            (Err(_), _) => Entry::Shut,
            (Ok(_), State::Closed) => Entry::Free,
            (Ok(_), state) => {
                self.state = State::Probe { paused: state.is_pause() };
                Entry::Probe
            }
        }
    }

    /// The probe made no call after all: the next may.
    pub(super) fn abandon(&mut self, now: Instant) {
        match self.state {
            State::Probe { paused: true } => self.state = State::Paused { until: now },
            State::Probe { paused: false } => self.state = State::Open { until: now },
            State::Closed | State::Paused { .. } | State::Open { .. } => {}
        }
    }

    /// Somebody may have mended the tenant: the next probe may be made now.
    pub(super) fn look_now(&mut self, now: Instant) {
        if let State::Open { until } | State::Paused { until } = &mut self.state {
            *until = now.min(*until);
        }
    }

    /// Notes how a call ended.
    pub(super) fn record(&mut self, outcome: Outcome, rules: Rules, now: Instant, time: UtcMillis) -> Option<Change> {
        let before = self.state;
        match outcome {
            Outcome::Success => self.succeeded(now, time),
            Outcome::Refused(None) => self.answered(now, time),
            Outcome::Refused(Some(refusal)) => self.refused(refusal, rules, now, time),
            Outcome::Throttled { retry_after } => self.throttle(retry_after, rules, now),
            Outcome::Denied => self.denied(rules, now, time),
            Outcome::Down { retry_after, costly } => self.down(retry_after, costly, rules, now, time),
        }
        self.change(before, now)
    }

    fn change(&mut self, before: State, now: Instant) -> Option<Change> {
        let (from, to) = (before.word(), self.word());
        // A probe that failed is no change for people.
        if from == to || (to != "closed" && before == (State::Probe { paused: self.state.is_pause() })) {
            return None;
        }
        let pause = before.is_pause() || self.state.is_pause();
        let quiet = match self.state {
            State::Paused { .. } => !self.is_news(now),
            State::Closed => before.is_pause() && !self.news,
            State::Open { .. } | State::Probe { .. } => false,
        };
        let failures = self.failures.max(self.refusal.as_ref().map_or(0, |(_, count)| *count));
        Some(Change { from, to, failures, pause, quiet })
    }

    /// Whether the pause that has just begun is worth a line.
    fn is_news(&mut self, now: Instant) -> bool {
        self.news = self.told.is_none_or(|told| now.duration_since(told) > NEWS);
        if self.news {
            self.told = Some(now);
        }
        self.news
    }

    /// Whether the last refusals were so many of the same kind that the mails are not at fault.
    pub(super) fn refuses_all(&self, rules: Rules) -> bool {
        self.refusal.as_ref().is_some_and(|(_, count)| *count >= rules.failures)
    }

    /// How long a mail has waited while the tenant was there; `None` while it is not known to be there.
    pub(super) fn counted(&self, accepted_at: UtcMillis, time: UtcMillis) -> Option<Duration> {
        if !self.proven || !self.is_closed() {
            return None;
        }
        let lost = |(from, to): &(UtcMillis, UtcMillis)| to.since(accepted_at.max(*from));
        Some(time.since(accepted_at).saturating_sub(self.outages.iter().map(lost).sum()))
    }

    fn succeeded(&mut self, now: Instant, time: UtcMillis) {
        self.proven = true;
        self.refusal = None;
        self.answered(now, time);
    }

    /// The tenant is there and talks about single mails. That ends no pause that it has asked for meanwhile.
    fn answered(&mut self, now: Instant, time: UtcMillis) {
        if matches!(self.state, State::Paused { until } if until > now) {
            return;
        }
        (self.failures, self.costly, self.throttled) = (0, 0, 0);
        self.pause = None;
        self.state = State::Closed;
        if let Some(opened_at) = self.opened_at.take() {
            self.outages.truncate(OUTAGES.saturating_sub(1));
            self.outages.push_front((opened_at, time));
        }
    }

    fn refused(&mut self, refusal: String, rules: Rules, now: Instant, time: UtcMillis) {
        let before = self.refusal.take().filter(|(known, _)| *known == refusal).map_or(0, |(_, count)| count);
        self.refusal = Some((refusal, before.saturating_add(1)));
        match self.refuses_all(rules) {
            true => self.open(now.checked_add(rules.probe), time),
            false => self.answered(now, time),
        }
    }

    fn throttle(&mut self, retry_after: Option<Duration>, rules: Rules, now: Instant) {
        let again =
            |until: Instant| retry_after.and_then(|delay| now.checked_add(delay)).map_or(until, |at| at.max(until));
        match self.state {
            // From before the pause: it says nothing new, unless it asks for more patience.
            State::Paused { until } => self.state = State::Paused { until: again(until) },
            State::Open { until } => self.state = State::Open { until: again(until) },
            State::Closed | State::Probe { .. } => {
                let doubled = PAUSE.saturating_mul(1 << self.throttled.min(16)).min(rules.probe);
                self.throttled = self.throttled.saturating_add(1);
                let until = now.checked_add(retry_after.unwrap_or(doubled)).unwrap_or(now);
                // An outage goes on until something has gone through.
                let outage = self.state == (State::Probe { paused: false });
                self.state = if outage { State::Open { until } } else { State::Paused { until } };
            }
        }
    }

    fn denied(&mut self, rules: Rules, now: Instant, time: UtcMillis) {
        self.failures = self.failures.saturating_add(1);
        if !matches!(self.state, State::Open { .. }) {
            let probe = now.checked_add(self.seldom(true, rules));
            self.open(probe, time);
        }
    }

    fn down(&mut self, retry_after: Option<Duration>, costly: bool, rules: Rules, now: Instant, time: UtcMillis) {
        self.failures = self.failures.saturating_add(1);
        let asked = retry_after.and_then(|delay| now.checked_add(delay));
        match self.state {
            State::Closed if self.failures < rules.failures => self.pause = self.pause.max(asked),
            State::Paused { .. } if self.failures < rules.failures => {}
            State::Closed | State::Paused { .. } | State::Probe { .. } => {
                let probe = now.checked_add(self.seldom(costly, rules));
                self.open(probe.max(asked), time);
            }
            // A call from before the opening: it says nothing new, unless it asks for more patience.
            State::Open { until } => self.state = State::Open { until: asked.map_or(until, |asked| asked.max(until)) },
        }
    }

    /// The time to the next probe, after one more failure that was costly or not.
    fn seldom(&mut self, costly: bool, rules: Rules) -> Duration {
        let factor = 1 << self.costly.min(16);
        self.costly = self.costly.saturating_add(u32::from(costly));
        rules.probe.saturating_mul(factor).min(DEAR.max(rules.probe))
    }

    fn open(&mut self, until: Option<Instant>, time: UtcMillis) {
        self.opened_at.get_or_insert(time);
        if let Some(until) = until {
            self.state = State::Open { until };
        }
    }
}

#[cfg(test)]
#[expect(clippy::arithmetic_side_effects, reason = "test")]
mod tests {
    use super::*;

    const RULES: Rules = Rules { failures: 3, probe: Duration::from_secs(30) };
    const DOWN: Outcome = Outcome::Down { retry_after: None, costly: false };

    fn at(seconds: u64) -> UtcMillis {
        UtcMillis(i64::try_from(seconds * 1000).expect("small"))
    }

    struct Scene {
        breaker: Breaker,
        start: Instant,
    }

    impl Scene {
        fn new() -> Self {
            Self { breaker: Breaker::new(), start: Instant::now() }
        }

        fn enter(&mut self, second: u64) -> Entry {
            self.breaker.enter(self.start + Duration::from_secs(second))
        }

        fn record(&mut self, second: u64, outcome: Outcome) -> Option<(&'static str, &'static str)> {
            let now = self.start + Duration::from_secs(second);
            self.breaker.record(outcome, RULES, now, at(second)).map(|change| (change.from, change.to))
        }

        fn go_down(&mut self, second: u64) {
            for _ in 0..RULES.failures {
                self.record(second, DOWN);
            }
        }
    }

    #[test]
    fn failures_in_a_row_open_it_and_a_probe_closes_it() {
        let mut scene = Scene::new();
        assert_eq!(scene.record(0, DOWN), None);
        assert_eq!(scene.record(0, Outcome::Success), None);
        assert_eq!(scene.record(0, DOWN), None);
        assert_eq!(scene.record(0, DOWN), None);
        assert_eq!(scene.enter(0), Entry::Free);
        assert_eq!(scene.record(0, DOWN), Some(("closed", "open")));
        assert_eq!(scene.record(1, DOWN), None, "a straggler does not put the probe off");
        assert_eq!(scene.enter(29), Entry::Shut);
        assert_eq!(scene.enter(30), Entry::Probe);
        assert_eq!(scene.enter(31), Entry::Shut, "one probe at a time");
        assert_eq!(scene.record(31, DOWN), None);
        assert_eq!(scene.enter(60), Entry::Shut);
        assert_eq!(scene.enter(61), Entry::Probe);
        assert_eq!(scene.record(62, Outcome::Success), Some(("probe", "closed")));
        assert_eq!(scene.enter(62), Entry::Free);
    }

    #[test]
    fn a_mended_tenant_is_probed_at_once() {
        let mut scene = Scene::new();
        scene.breaker.look_now(scene.start);
        assert_eq!(scene.enter(0), Entry::Free);
        scene.go_down(0);
        assert_eq!(scene.enter(1), Entry::Shut);
        scene.breaker.look_now(scene.start + Duration::from_secs(1));
        assert_eq!(scene.enter(1), Entry::Probe);
    }

    #[test]
    fn an_abandoned_probe_leaves_its_place_to_the_next() {
        let mut scene = Scene::new();
        scene.go_down(0);
        assert_eq!(scene.enter(30), Entry::Probe);
        scene.breaker.abandon(scene.start + Duration::from_secs(30));
        assert_eq!(scene.enter(30), Entry::Probe);
    }

    #[test]
    fn patience_is_kept_open_or_closed() {
        let asked = |seconds| Outcome::Down { retry_after: Some(Duration::from_secs(seconds)), costly: false };
        let mut scene = Scene::new();
        assert_eq!(scene.record(0, asked(5)), None);
        assert_eq!(scene.enter(4), Entry::Shut);
        assert_eq!(scene.enter(5), Entry::Free);
        scene.record(5, DOWN);
        assert_eq!(scene.record(5, asked(100)), Some(("closed", "open")));
        assert_eq!(scene.enter(104), Entry::Shut);
        assert_eq!(scene.enter(105), Entry::Probe);
    }

    #[test]
    fn a_tenant_that_says_429_is_left_alone_and_is_not_away() {
        let asked = |seconds| Outcome::Throttled { retry_after: Some(Duration::from_secs(seconds)) };
        let mut scene = Scene::new();
        assert_eq!(scene.record(0, asked(20)), Some(("closed", "paused")));
        assert_eq!(scene.record(1, Outcome::Success), None, "a straggler ends no pause");
        assert_eq!(scene.record(1, asked(29)), None);
        assert_eq!(scene.enter(29), Entry::Shut);
        assert_eq!(scene.enter(30), Entry::Probe);
        assert_eq!(scene.enter(30), Entry::Shut, "one call asks");
        assert_eq!(scene.record(31, asked(20)), None);
        assert_eq!(scene.enter(51), Entry::Probe);
        assert_eq!(scene.record(52, Outcome::Success), Some(("probe", "closed")));
        assert!(scene.breaker.counted(at(0), at(60)).is_some());
        scene.record(53, asked(1));
        assert!(scene.breaker.counted(at(0), at(60)).is_none(), "a mail does not grow old in a pause");
        scene.breaker.look_now(scene.start + Duration::from_secs(53));
        assert_eq!(scene.enter(53), Entry::Probe);
        scene.breaker.abandon(scene.start + Duration::from_secs(53));
        assert_eq!(scene.breaker.word(), "paused");
        scene.enter(54);
        assert_eq!(scene.record(54, DOWN), Some(("probe", "open")), "now it is away");
    }

    #[test]
    fn pauses_without_a_word_how_long_grow_up_to_the_probe() {
        let mut scene = Scene::new();
        let mut second = 0;
        for pause in [1, 2, 4, 8, 16, 30, 30] {
            scene.record(second, Outcome::Throttled { retry_after: None });
            assert_eq!((scene.enter(second + pause - 1), scene.enter(second + pause)), (Entry::Shut, Entry::Probe));
            second += pause;
        }
    }

    #[test]
    fn pauses_are_news_once_in_a_while() {
        let mut scene = Scene::new();
        let mut quiet = |second: u64, outcome| {
            let now = scene.start + Duration::from_secs(second);
            scene.breaker.enter(now);
            scene.breaker.record(outcome, RULES, now, at(second)).map(|change| change.quiet)
        };
        let asked = || Outcome::Throttled { retry_after: Some(Duration::from_secs(1)) };
        assert_eq!((quiet(0, asked()), quiet(2, Outcome::Success)), (Some(false), Some(false)));
        assert_eq!(quiet(9, asked()), Some(true), "the rhythm of the tenant");
        assert_eq!((quiet(700, Outcome::Success), quiet(701, asked())), (Some(true), Some(false)));
    }

    #[test]
    fn a_refused_sign_in_opens_at_once_and_probes_that_cost_something_become_seldom() {
        let held = Outcome::Down { retry_after: None, costly: true };
        for dear in [Outcome::Denied, held] {
            let (mut scene, mut second) = (Scene::new(), 1);
            let before = if dear == Outcome::Denied { 0 } else { RULES.failures - 1 };
            (0..before).for_each(|_| assert_eq!(scene.record(1, DOWN), None));
            assert_eq!(scene.record(1, dear.clone()), Some(("closed", "open")));
            for wait in [30, 60, 120, 240, 480, 900, 900] {
                assert_eq!((scene.enter(second + wait - 1), scene.enter(second + wait)), (Entry::Shut, Entry::Probe));
                second += wait;
                scene.record(second, dear.clone());
            }
        }
    }

    #[test]
    fn the_same_refusal_for_many_mails_is_not_their_fault() {
        let refused = |text: &str| Outcome::Refused(Some(text.to_owned()));
        let mut scene = Scene::new();
        for text in ["400 A", "400 A", "400 B", "400 B"] {
            assert_eq!(scene.record(0, refused(text)), None);
            assert!(!scene.breaker.refuses_all(RULES));
        }
        assert_eq!(scene.record(0, Outcome::Refused(None)), None);
        assert_eq!(scene.record(0, refused("400 B")), Some(("closed", "open")));
        assert!(scene.breaker.refuses_all(RULES));
        assert_eq!(scene.enter(30), Entry::Probe);
        assert_eq!(scene.record(30, refused("400 B")), None);
        assert_eq!(scene.enter(60), Entry::Probe);
        assert_eq!(scene.record(60, Outcome::Success), Some(("probe", "closed")));
        assert!(!scene.breaker.refuses_all(RULES));
    }

    #[test]
    fn time_in_which_the_tenant_was_away_does_not_count() {
        let mut scene = Scene::new();
        let counted = |scene: &Scene, accepted, now| scene.breaker.counted(at(accepted), at(now)).map(|d| d.as_secs());
        assert_eq!(counted(&scene, 0, 100), None, "nothing is known yet");
        scene.record(100, Outcome::Success);
        assert_eq!(counted(&scene, 0, 150), Some(150));
        scene.go_down(200);
        assert_eq!(counted(&scene, 0, 250), None, "away");
        assert_eq!(scene.enter(300), Entry::Probe);
        scene.record(300, Outcome::Success);
        assert_eq!(counted(&scene, 0, 400), Some(300));
        assert_eq!(counted(&scene, 250, 400), Some(100));
        assert_eq!(counted(&scene, 350, 400), Some(50));
    }
}
