//! Looking for mails: which are still there, and which have a copy in another folder. After a COPY whose answer was lost
//! nobody else knows.

use super::error::Error;
use super::fetch::Metadata;
use super::session::Session;
use crate::clock::UtcMillis;
use crate::uids::UidSet;

const DAY_MILLIS: i64 = 86_400_000;

impl Session {
    /// Which of these the selected folder has now.
    ///
    /// # Errors
    /// See [`Error`].
    pub async fn present(&mut self, uids: &UidSet) -> Result<UidSet, Error> {
        let found = self.search(&format!("UID {uids}")).await?;
        Ok(found.into_iter().filter(|uid| uids.contains(*uid)).collect())
    }

    /// Which of these mails of the selected folder have a copy in `target`: a mail of the same size and, as COPY keeps it
    /// (RFC 9051 §6.4.7), the same INTERNALDATE. Each copy counts for one mail. Afterwards no folder is selected.
    ///
    /// # Errors
    /// See [`Error`]. A target that is not there is no error: it has no copies.
    pub async fn copies_in(&mut self, target: &str, uids: &UidSet) -> Result<UidSet, Error> {
        let originals = self.described(uids).await?;
        match self.examine(target).await {
            Ok(_) => {}
            Err(error) if !error.ends_session() => return Ok(UidSet::new()),
            Err(error) => return Err(error),
        }
        let mut candidates = Vec::new();
        for mail in &originals {
            candidates.extend(self.search(&alike(mail)).await?);
        }
        let candidates: UidSet = candidates.into_iter().collect();
        let mut copies = if candidates.is_empty() { Vec::new() } else { self.described(&candidates).await? };
        Ok(originals.iter().filter(|mail| take_copy(&mut copies, mail)).map(|mail| mail.uid).collect())
    }

    async fn described(&mut self, uids: &UidSet) -> Result<Vec<Metadata>, Error> {
        let haul = self.metadata(uids).await;
        haul.failure.map_or(Ok(haul.items), Err)
    }
}

/// Takes the copy of a mail out of what the target has, if there is one.
fn take_copy(copies: &mut Vec<Metadata>, mail: &Metadata) -> bool {
    let same = |copy: &Metadata| copy.size == mail.size && copy.internal_date == mail.internal_date;
    let found = copies.iter().position(same);
    if let Some(at) = found {
        copies.swap_remove(at);
    }
    found.is_some()
}

/// A search for mails of this size and about this day: servers count days in a zone of their own.
fn alike(mail: &Metadata) -> String {
    let larger = mail.size.checked_sub(1).map(|less| format!("LARGER {less} ")).unwrap_or_default();
    let size = format!("{larger}SMALLER {}", mail.size.saturating_add(1));
    let day = |days: i64| {
        let at = mail.internal_date?.0.checked_add(days.checked_mul(DAY_MILLIS)?)?;
        date(UtcMillis(at))
    };
    match day(-1).zip(day(2)) {
        Some((from, to)) => format!("SINCE {from} BEFORE {to} {size}"),
        None => size,
    }
}

/// `2-Nov-2026` (RFC 9051 §9 date).
fn date(time: UtcMillis) -> Option<String> {
    Some(jiff::Timestamp::from_millisecond(time.0).ok()?.strftime("%-d-%b-%Y").to_string())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ids::Uid;

    fn mail(uid: u32, size: u64, date: Option<i64>) -> Metadata {
        Metadata { uid: Uid(uid), size, internal_date: date.map(UtcMillis) }
    }

    #[test]
    fn a_search_spans_the_days_around() {
        let found = alike(&mail(1, 70, Some(1_793_617_331_000)));
        assert_eq!(found, "SINCE 1-Nov-2026 BEFORE 4-Nov-2026 LARGER 69 SMALLER 71");
        assert_eq!(alike(&mail(1, 0, None)), "SMALLER 1");
    }

    #[test]
    fn each_copy_counts_for_one_mail() {
        let mut copies = vec![mail(7, 10, Some(5)), mail(8, 10, None), mail(9, 11, Some(5))];
        for (size, date, expected) in [(10, Some(5), true), (10, Some(5), false), (11, None, false), (10, None, true)] {
            assert_eq!(take_copy(&mut copies, &mail(1, size, date)), expected, "{size} {date:?}");
        }
        assert_eq!(copies, [mail(9, 11, Some(5))]);
    }
}
