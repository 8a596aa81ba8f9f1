//! The only source of wall time. Stored times are UTC milliseconds; timeouts and waits use tokio's monotonic clock.
//!
//! Nothing else in the crate asks the system for the time of day, so a test can set it.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use serde::{Deserialize, Serialize};

/// A point in time: milliseconds since 1970-01-01T00:00:00Z. Printed as RFC 3339 with milliseconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct UtcMillis(pub i64);

impl UtcMillis {
    /// This time plus `delay`; never wraps.
    #[must_use]
    pub fn plus(self, delay: Duration) -> Self {
        Self(self.0.saturating_add(i64::try_from(delay.as_millis()).unwrap_or(i64::MAX)))
    }

    /// This time minus `delay`; never wraps.
    #[must_use]
    pub fn minus(self, delay: Duration) -> Self {
        Self(self.0.saturating_sub(i64::try_from(delay.as_millis()).unwrap_or(i64::MAX)))
    }

    /// How long after `earlier` this is; zero when it is not after it.
    #[must_use]
    pub fn since(self, earlier: Self) -> Duration {
        Duration::from_millis(u64::try_from(self.0.saturating_sub(earlier.0)).unwrap_or(0))
    }
}

impl fmt::Display for UtcMillis {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match jiff::Timestamp::from_millisecond(self.0) {
            Ok(time) => write!(f, "{time:.3}"),
            Err(_) => write!(f, "{} ms", self.0),
        }
    }
}

/// Where the time of day comes from: the system, or what a test has set. Clones share the setting.
#[derive(Debug, Clone, Default)]
pub struct Clock {
    set: Option<Arc<AtomicI64>>,
}

impl Clock {
    /// The system's clock.
    #[must_use]
    pub fn system() -> Self {
        Self::default()
    }

    /// A clock that stands still at `time` until it is set.
    #[must_use]
    pub fn fixed(time: UtcMillis) -> Self {
        Self { set: Some(Arc::new(AtomicI64::new(time.0))) }
    }

    /// Moves a fixed clock; the system's clock stays as it is.
    pub fn set(&self, time: UtcMillis) {
        if let Some(set) = &self.set {
            set.store(time.0, Ordering::SeqCst);
        }
    }

    /// The time of day.
    #[must_use]
    pub fn now(&self) -> UtcMillis {
        match &self.set {
            Some(set) => UtcMillis(set.load(Ordering::SeqCst)),
            None => UtcMillis(jiff::Timestamp::now().as_millisecond()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_print_as_rfc_3339() {
        assert_eq!(UtcMillis(0).to_string(), "1970-01-01T00:00:00.000Z");
        assert_eq!(UtcMillis(1_795_341_731_480).to_string(), "2026-11-22T10:02:11.480Z");
        assert_eq!(UtcMillis(i64::MAX).to_string(), "9223372036854775807 ms");
    }

    #[test]
    fn arithmetic_saturates() {
        assert_eq!(UtcMillis(i64::MAX).plus(Duration::MAX), UtcMillis(i64::MAX));
        assert_eq!(UtcMillis(5).since(UtcMillis(9)), Duration::ZERO);
        assert_eq!(UtcMillis(9).since(UtcMillis(5)), Duration::from_millis(4));
    }

    #[test]
    fn clones_of_a_fixed_clock_move_together() {
        let clock = Clock::fixed(UtcMillis(1));
        let other = clock.clone();
        clock.set(UtcMillis(7));
        assert_eq!(other.now(), UtcMillis(7));
    }
}
