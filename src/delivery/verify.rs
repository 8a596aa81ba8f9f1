//! What the rows of a look-up mean for the mail that was looked up (decisions D8). Pure.

use crate::compose;
use crate::entity::TicketMessageEntity;
use crate::ids::QueueId;
use crate::superoffice::Row;

/// What the API has under the Message-Id.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Sight {
    /// Our message: the write was carried out.
    Ours(Row),
    /// Somebody else has posted the same mail.
    Foreign(Row),
    /// Nothing of it: the write was not carried out.
    Absent,
}

/// The queue ids that other rows carry: those that this queue knows are other mails of ours, not foreign copies.
pub(super) fn other_ids(rows: &[Row], own: QueueId) -> Vec<QueueId> {
    rows.iter().filter_map(|row| marked(&row.debug_info)).filter(|id| *id != own).collect()
}

/// Judges the rows. `known`: the ids of [`other_ids`] that this queue knows.
pub(super) fn judge(rows: Vec<Row>, own: QueueId, posted: &TicketMessageEntity, known: &[QueueId]) -> Sight {
    let mut foreign = None;
    for row in rows {
        if compose::carries(&row.debug_info, own) {
            return Sight::Ours(row);
        }
        let sibling = marked(&row.debug_info).is_some_and(|id| known.contains(&id));
        if !sibling && is_copy(&row, posted) {
            foreign.get_or_insert(row);
        }
    }
    foreign.map_or(Sight::Absent, Sight::Foreign)
}

/// The queue id that a `debugInfo` begins with.
fn marked(debug_info: &str) -> Option<QueueId> {
    let (_, rest) = debug_info.split_once("qid=")?;
    let id = rest.split_whitespace().next()?.parse().ok()?;
    compose::carries(debug_info, id).then_some(id)
}

/// Same author and same second: with the same Message-Id that is the same mail. What a row does not say proves nothing.
fn is_copy(row: &Row, posted: &TicketMessageEntity) -> bool {
    let author = posted.author.as_deref().unwrap_or_default().trim();
    let date = second(&row.created_at);
    !author.is_empty() && row.author.trim().eq_ignore_ascii_case(author) && date.is_some() && {
        date == second(&posted.created_at)
    }
}

/// A date of the API in seconds; one without an offset is taken for UTC.
fn second(text: &str) -> Option<i64> {
    let stamp = text.parse::<jiff::Timestamp>();
    let civil = || text.parse::<jiff::civil::DateTime>().ok()?.to_zoned(jiff::tz::TimeZone::UTC).ok();
    stamp.ok().or_else(|| civil().map(|zoned| zoned.timestamp())).map(jiff::Timestamp::as_second)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ids::EjMessageId;

    fn row(number: i64, debug_info: &str, author: &str, created_at: &str) -> Row {
        Row {
            ej_message_id: Some(EjMessageId(number)),
            ticket_id: None,
            debug_info: debug_info.to_owned(),
            author: author.to_owned(),
            created_at: created_at.to_owned(),
        }
    }

    #[track_caller]
    fn check(rows: Vec<Row>, own: QueueId, known: &[QueueId], expected: &Sight) {
        let posted = TicketMessageEntity {
            author: Some("jo@example.com".into()),
            created_at: "2026-11-22T10:02:11Z".into(),
            ..TicketMessageEntity::default()
        };
        assert_eq!(&judge(rows, own, &posted, known), expected);
    }

    #[test]
    fn only_our_own_mark_makes_a_row_ours() {
        let (own, other) = (QueueId::generate(), QueueId::generate());
        let ours = row(2, &format!("mailbridge qid={own} mailbox=support"), "", "");
        let theirs =
            row(1, &format!("mailbridge qid={other} mailbox=sales"), "Jo@example.com", "2026-11-22T11:02:11.5+01:00");
        let silent = row(3, "", "", "");
        check(vec![], own, &[], &Sight::Absent);
        check(vec![silent.clone()], own, &[], &Sight::Absent);
        check(vec![theirs.clone(), silent.clone(), ours.clone()], own, &[], &Sight::Ours(ours));
        check(vec![silent, theirs.clone()], own, &[], &Sight::Foreign(theirs.clone()));
        assert_eq!(other_ids(std::slice::from_ref(&theirs), own), [other]);
        check(vec![theirs], own, &[other], &Sight::Absent);
    }

    #[test]
    fn a_copy_has_the_same_author_and_second() {
        let own = QueueId::generate();
        let copy = row(1, "imported by hand", "jo@example.com", "2026-11-22T10:02:11");
        check(vec![copy.clone()], own, &[], &Sight::Foreign(copy.clone()));
        check(vec![Row { author: "al@example.com".into(), ..copy.clone() }], own, &[], &Sight::Absent);
        check(vec![Row { created_at: "2026-11-22T10:02:12".into(), ..copy.clone() }], own, &[], &Sight::Absent);
        check(vec![Row { created_at: "yesterday".into(), ..copy }], own, &[], &Sight::Absent);
    }
}
