//! Delays that grow: first, factor, cap and jitter. Pure: the caller brings the dice.

use std::time::Duration;

/// A schedule of growing delays.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Backoff {
    /// The delay after the first failure.
    pub first: Duration,
    /// What each further delay is multiplied with; below 1 counts as 1.
    pub factor: f64,
    /// No delay is longer than this (before jitter).
    pub max: Duration,
    /// Share of the delay by which it may vary, both ways; 0 to 1.
    pub jitter: f64,
}

impl Backoff {
    /// The delay after failure number `failures` (1 = the first), for a die between 0 and 1.
    #[must_use]
    pub fn delay(&self, failures: u32, die: f64) -> Duration {
        let steps = i32::try_from(failures.saturating_sub(1)).unwrap_or(i32::MAX);
        let grown = self.first.as_secs_f64() * self.factor.max(1.0).powi(steps);
        let capped = grown.min(self.max.as_secs_f64());
        let spread = self.jitter.clamp(0.0, 1.0) * (2.0 * die.clamp(0.0, 1.0) - 1.0);
        Duration::try_from_secs_f64(capped * (1.0 + spread)).unwrap_or(self.max)
    }

    /// [`Self::delay`] with a random die.
    #[must_use]
    pub fn random_delay(&self, failures: u32) -> Duration {
        self.delay(failures, fastrand::f64())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(failures: u32, die: f64, expected_ms: u128) {
        let backoff = Backoff { first: Duration::from_secs(2), factor: 2.0, max: Duration::from_secs(60), jitter: 0.5 };
        assert_eq!(backoff.delay(failures, die).as_millis(), expected_ms);
    }

    #[test]
    fn grows_to_the_cap_and_varies_both_ways() {
        check(0, 0.5, 2_000);
        check(1, 0.5, 2_000);
        check(2, 0.5, 4_000);
        check(5, 0.5, 32_000);
        check(6, 0.5, 60_000);
        check(u32::MAX, 0.5, 60_000);
        check(1, 0.0, 1_000);
        check(1, 1.0, 3_000);
    }
}
