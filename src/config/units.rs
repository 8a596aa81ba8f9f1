//! Values with a unit: durations (`"30s"`) and sizes (`"64KiB"`). A bare number is an error.

use std::fmt;
use std::marker::PhantomData;
use std::str::FromStr;
use std::time::Duration;

use serde::de::{self, Unexpected, Visitor};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// A length of time, written `"250ms"`, `"30s"`, `"5m"`, `"2h"` or `"5d"`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Period(pub Duration);

/// A number of bytes, written `"500B"`, `"64KiB"`, `"35MiB"` or `"10GiB"`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Size(pub u64);

/// A value whose unit is missing or unknown.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct UnitError(String);

/// What a [`Period`] expects.
pub(super) const PERIOD: &str = "a duration with a unit (ms, s, m, h, d)";
/// What a [`Size`] expects.
pub(super) const SIZE: &str = "a size with a unit (B, KiB, MiB, GiB)";
const PERIODS: &[(&str, u64)] = &[("ms", 1), ("s", 1_000), ("m", 60_000), ("h", 3_600_000), ("d", 86_400_000)];
const SIZES: &[(&str, u64)] = &[("B", 1), ("KiB", 1 << 10), ("MiB", 1 << 20), ("GiB", 1 << 30)];

/// `digits` times the factor of the unit that follows them.
fn with_unit(text: &str, units: &[(&str, u64)], example: &str) -> Result<u64, UnitError> {
    let wrong = || {
        let known: Vec<&str> = units.iter().map(|(unit, _)| *unit).collect();
        UnitError(format!("`{text}` is not a number with a unit ({}), as in \"{example}\"", known.join(", ")))
    };
    let split = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    let (digits, unit) = text.split_at_checked(split).ok_or_else(wrong)?;
    let (_, factor) = units.iter().find(|(name, _)| *name == unit.trim()).ok_or_else(wrong)?;
    let number: u64 = digits.parse().map_err(|_| wrong())?;
    number.checked_mul(*factor).ok_or_else(|| UnitError(format!("`{text}` is too much")))
}

/// The value in the largest unit that it is a whole number of.
fn in_unit(value: u64, units: &[(&str, u64)]) -> String {
    let fits = |factor: u64| value.checked_rem(factor) == Some(0) && (value != 0 || factor != 1);
    let largest = units.iter().rev().find(|(_, factor)| value >= *factor && fits(*factor));
    match largest.or_else(|| units.get(1)) {
        Some((unit, factor)) => format!("{}{unit}", value.checked_div(*factor).unwrap_or(value)),
        None => value.to_string(),
    }
}

impl FromStr for Period {
    type Err = UnitError;

    fn from_str(text: &str) -> Result<Self, UnitError> {
        with_unit(text, PERIODS, "30s").map(|ms| Self(Duration::from_millis(ms)))
    }
}

impl FromStr for Size {
    type Err = UnitError;

    fn from_str(text: &str) -> Result<Self, UnitError> {
        with_unit(text, SIZES, "64KiB").map(Self)
    }
}

impl fmt::Display for Period {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&in_unit(u64::try_from(self.0.as_millis()).unwrap_or(u64::MAX), PERIODS))
    }
}

impl fmt::Display for Size {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&in_unit(self.0, SIZES))
    }
}

impl Serialize for Period {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl Serialize for Size {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Period {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_str(WithUnit(PERIOD, PhantomData))
    }
}

impl<'de> Deserialize<'de> for Size {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_str(WithUnit(SIZE, PhantomData))
    }
}

/// Takes a text with a unit; what it expects is told to serde, so that the check of a file can say it better.
struct WithUnit<T>(&'static str, PhantomData<T>);

impl<T: FromStr> Visitor<'_> for WithUnit<T> {
    type Value = T;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0)
    }

    fn visit_str<E: de::Error>(self, text: &str) -> Result<T, E> {
        text.parse().map_err(|_| E::invalid_value(Unexpected::Str(text), &self))
    }
}

impl Period {
    /// So many seconds.
    #[must_use]
    pub const fn secs(n: u64) -> Self {
        Self(Duration::from_secs(n))
    }

    /// So many hours.
    #[must_use]
    pub const fn hours(n: u64) -> Self {
        Self(Duration::from_secs(n.saturating_mul(3600)))
    }

    /// So many days.
    #[must_use]
    pub const fn days(n: u64) -> Self {
        Self(Duration::from_secs(n.saturating_mul(86400)))
    }
}

impl Size {
    /// So many KiB.
    #[must_use]
    pub const fn kib(n: u64) -> Self {
        Self(n.saturating_mul(1 << 10))
    }

    /// So many MiB.
    #[must_use]
    pub const fn mib(n: u64) -> Self {
        Self(n.saturating_mul(1 << 20))
    }

    /// So many GiB.
    #[must_use]
    pub const fn gib(n: u64) -> Self {
        Self(n.saturating_mul(1 << 30))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_survive_their_text() {
        for text in ["250ms", "30s", "5m", "2h", "5d", "0s", "90s", "1500ms"] {
            assert_eq!(text.parse::<Period>().expect(text).to_string(), text);
        }
        for text in ["1B", "64KiB", "35MiB", "10GiB", "1500B"] {
            assert_eq!(text.parse::<Size>().expect(text).to_string(), text);
        }
        assert_eq!("60 s".parse::<Period>().expect("a blank is fine").to_string(), "1m");
    }

    #[test]
    fn a_unit_is_required() {
        for text in ["30", "", "s", "3 weeks", "-1s", "1.5h", "99999999999999999999s", "18446744073709551615d"] {
            assert!(text.parse::<Period>().is_err(), "{text}");
        }
        for text in ["30", "1kb", "KiB"] {
            assert!(text.parse::<Size>().is_err(), "{text}");
        }
    }
}
