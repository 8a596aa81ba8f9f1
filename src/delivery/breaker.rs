//! The circuit breaker of one tenant. Pure: the caller brings the time.
//!
//! `breaker_failures` faults in a row that hold for the tenant as a whole open it; then one probe call at a time, each
//! `breaker_probe`, until one succeeds. A server that asks for patience gets it, open or closed. Refusals that are the
//! same for many different mails in a row count as such a fault: then the API has changed, and the mails are innocent.

use std::collections::VecDeque;
use std::time::Duration;

use tokio::time::Instant;

use crate::clock::UtcMillis;

/// Outages that are remembered for `expire_after`.
const OUTAGES: usize = 64;

/// The tenant's options.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Rules {
    pub(super) failures: u32,
    pub(super) probe: Duration,
}

/// How a call ended, as far as the tenant as a whole is concerned.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Outcome {
    /// Accepted, or found.
    Success,
    /// This mail was refused for good: what the refusal was, unless the mail's own size explains it.
    Refused(Option<String>),
    /// The tenant is not to be had.
    Down { retry_after: Option<Duration> },
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
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    Closed,
    Open { until: Instant },
    Probe,
}

impl State {
    const fn word(self) -> &'static str {
        match self {
            Self::Closed => "closed",
            Self::Open { .. } => "open",
            Self::Probe => "probe",
        }
    }
}

/// The breaker.
#[derive(Debug)]
pub(super) struct Breaker {
    state: State,
    failures: u32,
    refusal: Option<(String, u32)>,
    pause: Option<Instant>,
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
            proven: false,
            opened_at: None,
            outages: VecDeque::new(),
        }
    }

    /// `closed`, `open` or `probe`.
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
            (State::Open { until }, _) if until > now => Err(Some(until)),
            (State::Open { .. }, _) => Ok(1),
            (State::Probe, _) => Err(None),
        }
    }

    /// Asks for leave to make one call.
    pub(super) fn enter(&mut self, now: Instant) -> Entry {
        match (self.allowance(now), self.state) {
            (Err(_), _) => Entry::Shut,
            (Ok(_), State::Closed) => Entry::Free,
            (Ok(_), State::Open { .. } | State::Probe) => {
                self.state = State::Probe;
                Entry::Probe
            }
        }
    }

    /// The probe made no call after all: the next may.
    pub(super) fn abandon(&mut self, now: Instant) {
        if self.state == State::Probe {
            self.state = State::Open { until: now };
        }
    }

    /// Somebody may have mended the tenant: the next probe may be made now.
    pub(super) fn look_now(&mut self, now: Instant) {
        if let State::Open { until } = &mut self.state {
            *until = now.min(*until);
        }
    }

    /// Notes how a call ended.
    pub(super) fn record(&mut self, outcome: Outcome, rules: Rules, now: Instant, time: UtcMillis) -> Option<Change> {
        let from = self.word();
        match outcome {
            Outcome::Success => self.succeeded(time),
            Outcome::Refused(None) => self.answered(time),
            Outcome::Refused(Some(refusal)) => self.refused(refusal, rules, now, time),
            Outcome::Down { retry_after } => self.down(retry_after, rules, now, time),
        }
        let failures = self.failures.max(self.refusal.as_ref().map_or(0, |(_, count)| *count));
        let to = self.word();
        // A probe that failed is no change for people.
        (to != from && !(from == "probe" && to == "open")).then_some(Change { from, to, failures })
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

    fn succeeded(&mut self, time: UtcMillis) {
        self.proven = true;
        self.refusal = None;
        self.answered(time);
    }

    /// The tenant is there and talks about single mails.
    fn answered(&mut self, time: UtcMillis) {
        self.failures = 0;
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
            false => self.answered(time),
        }
    }

    fn down(&mut self, retry_after: Option<Duration>, rules: Rules, now: Instant, time: UtcMillis) {
        self.failures = self.failures.saturating_add(1);
        let asked = retry_after.and_then(|delay| now.checked_add(delay));
        let probe = now.checked_add(rules.probe);
        match self.state {
            State::Closed if self.failures < rules.failures => self.pause = self.pause.max(asked),
            State::Closed | State::Probe => self.open(probe.max(asked), time),
            // A call from before the opening: it says nothing new, unless it asks for more patience.
            State::Open { until } => self.state = State::Open { until: asked.map_or(until, |asked| asked.max(until)) },
        }
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
    const DOWN: Outcome = Outcome::Down { retry_after: None };

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
        let asked = |seconds| Outcome::Down { retry_after: Some(Duration::from_secs(seconds)) };
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
