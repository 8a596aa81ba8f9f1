//! When a step of a script is played. What the steps are is the business of each server.

/// Which of the occurrences of its event a rule takes. Counted from 1, over all connections that the rule is for.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum When {
    /// Every one.
    Each,
    /// This one only.
    Nth(u32),
    /// This one and all that follow.
    From(u32),
    /// Each with this probability, 0.0 to 1.0.
    Chance(f64),
}

/// A [`When`] and how often its event has occurred so far.
#[derive(Debug, Clone)]
pub(super) struct Counter {
    pub(super) when: When,
    seen: u32,
}

impl Counter {
    pub(super) const fn new() -> Self {
        Self { when: When::Each, seen: 0 }
    }

    /// Counts one occurrence and says whether it is meant.
    pub(super) fn fires(&mut self) -> bool {
        self.seen = self.seen.saturating_add(1);
        match self.when {
            When::Each => true,
            When::Nth(n) => self.seen == n,
            When::From(n) => self.seen >= n,
            When::Chance(share) => fastrand::f64() < share,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(when: When, expected: [bool; 4]) {
        let mut counter = Counter { when, seen: 0 };
        assert_eq!([(); 4].map(|()| counter.fires()), expected);
    }

    #[test]
    fn occurrences_are_counted_from_one() {
        check(When::Each, [true; 4]);
        check(When::Nth(2), [false, true, false, false]);
        check(When::From(3), [false, false, true, true]);
        check(When::Chance(0.0), [false; 4]);
        check(When::Chance(1.0), [true; 4]);
    }
}
