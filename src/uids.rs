//! Sets of UIDs as ranges: small for a folder of half a million mails, and written as IMAP writes them.

use std::fmt;
use std::ops::RangeInclusive;
use std::str::FromStr;

use crate::ids::Uid;

/// A set of UIDs. Holds sorted ranges that neither overlap nor touch.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct UidSet {
    ranges: Vec<(u32, u32)>,
}

/// A text that is no sequence set.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("not a set of UIDs")]
pub struct InvalidUidSet;

impl UidSet {
    /// The empty set.
    #[must_use]
    pub const fn new() -> Self {
        Self { ranges: Vec::new() }
    }

    /// Adds one UID.
    pub fn insert(&mut self, uid: Uid) {
        self.insert_range(uid.0..=uid.0);
    }

    /// Adds a range of UIDs; an empty range adds nothing.
    pub fn insert_range(&mut self, range: RangeInclusive<u32>) {
        let (mut low, mut high) = range.into_inner();
        if low > high {
            return;
        }
        let from = self.ranges.partition_point(|(_, h)| h.saturating_add(1) < low);
        let to = self.ranges.partition_point(|(l, _)| *l <= high.saturating_add(1));
        if let Some(absorbed) = self.ranges.get(from..to) {
            low = absorbed.first().map_or(low, |(l, _)| low.min(*l));
            high = absorbed.last().map_or(high, |(_, h)| high.max(*h));
        }
        self.ranges.splice(from..to.max(from), [(low, high)]);
    }

    /// Whether the UID is in the set.
    #[must_use]
    pub fn contains(&self, uid: Uid) -> bool {
        let at = self.ranges.partition_point(|(_, high)| *high < uid.0);
        self.ranges.get(at).is_some_and(|(low, _)| *low <= uid.0)
    }

    /// How many UIDs the set has.
    #[must_use]
    pub fn len(&self) -> u64 {
        self.ranges.iter().map(|(low, high)| u64::from(high.saturating_sub(*low)).saturating_add(1)).sum()
    }

    /// Whether the set has none.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.ranges.is_empty()
    }

    /// The highest UID.
    #[must_use]
    pub fn max(&self) -> Option<Uid> {
        self.ranges.last().map(|(_, high)| Uid(*high))
    }

    /// The UIDs in rising order.
    pub fn iter(&self) -> impl Iterator<Item = Uid> + '_ {
        self.ranges.iter().flat_map(|(low, high)| (*low..=*high).map(Uid))
    }

    /// The UIDs that are in this set and not in `other`.
    #[must_use]
    pub fn minus(&self, other: &Self) -> Self {
        self.iter().filter(|uid| !other.contains(*uid)).collect()
    }
}

impl FromIterator<Uid> for UidSet {
    fn from_iter<I: IntoIterator<Item = Uid>>(uids: I) -> Self {
        let mut sorted: Vec<u32> = uids.into_iter().map(|uid| uid.0).collect();
        sorted.sort_unstable();
        let mut ranges: Vec<(u32, u32)> = Vec::new();
        for uid in sorted {
            match ranges.last_mut() {
                Some((_, high)) if uid <= high.saturating_add(1) => *high = uid.max(*high),
                _ => ranges.push((uid, uid)),
            }
        }
        Self { ranges }
    }
}

/// As a sequence set of RFC 9051 (`1:4,7`); the empty set is the empty text, which no command may be sent with.
impl fmt::Display for UidSet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (i, (low, high)) in self.ranges.iter().enumerate() {
            let comma = if i == 0 { "" } else { "," };
            match low == high {
                true => write!(f, "{comma}{low}")?,
                false => write!(f, "{comma}{low}:{high}")?,
            }
        }
        Ok(())
    }
}

impl FromStr for UidSet {
    type Err = InvalidUidSet;

    fn from_str(text: &str) -> Result<Self, InvalidUidSet> {
        let mut set = Self::new();
        for part in text.split(',').filter(|part| !part.is_empty()) {
            let (low, high) = part.split_once(':').unwrap_or((part, part));
            let number = |digits: &str| digits.parse::<u32>().map_err(|_| InvalidUidSet);
            set.insert_range(number(low)?..=number(high)?);
        }
        Ok(set)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(uids: &[u32], text: &str) {
        let collected: UidSet = uids.iter().copied().map(Uid).collect();
        let mut inserted = UidSet::new();
        uids.iter().for_each(|uid| inserted.insert(Uid(*uid)));
        assert_eq!(collected, inserted);
        assert_eq!(collected.to_string(), text);
        assert_eq!(text.parse(), Ok(collected.clone()));
        let distinct: std::collections::BTreeSet<u32> = uids.iter().copied().collect();
        assert_eq!(collected.len(), u64::try_from(distinct.len()).expect("small"));
        assert!(collected.iter().map(|uid| uid.0).eq(distinct));
    }

    #[test]
    fn sets_become_ranges_whatever_the_order() {
        check(&[], "");
        check(&[5], "5");
        check(&[5, 5, 5], "5");
        check(&[3, 1, 2, 7], "1:3,7");
        check(&[1, 3, 5, 4, 2], "1:5");
        check(&[u32::MAX, 0, u32::MAX - 1, 9], "0,9,4294967294:4294967295");
    }

    #[test]
    fn ranges_merge_where_they_touch() {
        let mut set: UidSet = "1:3,10:12,20".parse().expect("a set");
        set.insert_range(4..=9);
        assert_eq!(set.to_string(), "1:12,20");
        set.insert_range(2..=25);
        assert_eq!(set.to_string(), "1:25");
        assert!(set.contains(Uid(25)) && !set.contains(Uid(26)) && !set.contains(Uid(0)));
    }

    #[test]
    fn the_difference_is_what_the_other_lacks() {
        let all: UidSet = "1:10".parse().expect("a set");
        let some: UidSet = "2:3,9:20".parse().expect("a set");
        assert_eq!(all.minus(&some).to_string(), "1,4:8");
        assert_eq!(all.max(), Some(Uid(10)));
    }
}
