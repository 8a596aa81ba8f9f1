//! The look-up of a write whose outcome is not known, before anything is written again (decisions D8).

use tokio::time::Instant;

use super::attempt::{Attempt, Out, Step};
use super::report;
use super::retry::Verdict;
use super::verify::{self, Sight};
use crate::config::tenant::{AfterUnknown, ForeignCopy};
use crate::entity::TicketMessageEntity;
use crate::ids::QueueId;
use crate::queue::{End, Filter, State};
use crate::superoffice::{Error, Row};

impl Attempt<'_> {
    /// Whether an earlier write may have been carried out, and nobody has said to write all the same.
    pub(super) fn must_verify(&self) -> bool {
        let wanted = self.session.policy.after_unknown != AfterUnknown::Post;
        self.item.verify_since.is_some() && !self.item.released && wanted
    }

    /// Goes on when a write is in order.
    pub(super) async fn look_up(&self, entity: &TicketMessageEntity) -> Step<()> {
        if !self.must_verify() {
            return Ok(());
        }
        if self.session.policy.after_unknown == AfterUnknown::Hold {
            return Err(Out::End(self.held("a request was sent and no answer came", "held")));
        }
        let rows = match self.search(entity).await? {
            Ok(rows) => rows,
            Err(error) => return Err(Out::End(self.search_failed(&error))),
        };
        let others = verify::other_ids(&rows, self.item.claim.id);
        let known = self.known(others).await?;
        match verify::judge(rows, self.item.claim.id, entity, &known) {
            Sight::Ours(row) => {
                report::unknown_outcome(self, "search_found");
                self.succeeded();
                Err(Out::End(End::Delivered { ej_message_id: row.ej_message_id, ticket_id: row.ticket_id }))
            }
            Sight::Foreign(row) => self.foreign(&row),
            Sight::Absent => {
                report::unknown_outcome(self, "search_absent");
                Ok(())
            }
        }
    }

    async fn search(&self, entity: &TicketMessageEntity) -> Step<Result<Vec<Row>, Error>> {
        let started = Instant::now();
        let id = entity.message_id.as_deref().unwrap_or_default();
        let result = self.or_stop(self.session.client.search(id)).await?;
        self.note_api(started.elapsed());
        match &result {
            Ok(_) => self.gate.set_searchable(true),
            Err(Error::NotSearchable(_)) => self.gate.set_searchable(false),
            Err(_) => {}
        }
        match &result {
            Ok(_) => report::accepted(self, "search", self.number(), started.elapsed()),
            Err(error) => report::refused(self, "search", self.number(), error, started.elapsed()),
        }
        Ok(result)
    }

    fn search_failed(&self, error: &Error) -> End {
        if matches!(error, Error::NotSearchable(_)) {
            return self.held("its outcome is unknown and the API cannot be searched", "held");
        }
        self.record(Some(error));
        let refused = error.status() == Some(403);
        match self.session.policy.verdict_of_search(&self.case(error), refused, fastrand::f64()) {
            Verdict::Retry { delay, verify } => self.put_off(error, delay, verify),
            Verdict::Hold | Verdict::Fail | Verdict::Expire => self.held(&error.to_string(), "held"),
        }
    }

    /// Which of these ids are mails of this queue.
    async fn known(&self, ids: Vec<QueueId>) -> Step<Vec<QueueId>> {
        if ids.is_empty() {
            return Ok(ids);
        }
        let filter = Filter { ids, states: State::ALL.to_vec(), ..Filter::default() };
        Ok(self.queue().list(&filter).await?.into_iter().map(|entry| entry.qid).collect())
    }

    fn foreign(&self, row: &Row) -> Step<()> {
        report::unknown_outcome(self, "search_found");
        let of = row.ej_message_id.map_or_else(|| "foreign copy".to_owned(), |id| format!("foreign copy {id}"));
        match self.session.options.foreign_copy {
            ForeignCopy::Post => Ok(()),
            ForeignCopy::Skip => Err(Out::End(End::Duplicate { of })),
            ForeignCopy::Hold => Err(Out::End(End::Held { reason: "foreign_copy".to_owned(), error: of })),
        }
    }

    /// A complete failure is a plain retry where the API cannot be searched. Whether it can is found out by the first such
    /// failure, at once: later nobody would know any more which kind of failure it was.
    pub(super) async fn learn(&self, error: &Error, entity: &TicketMessageEntity) -> Step<()> {
        let matters = self.session.policy.after_unknown == AfterUnknown::Search;
        if !matters || !error.is_complete_failure() || self.gate.searchable().is_some() {
            return Ok(());
        }
        match self.search(entity).await {
            // The daemon stops: the write before this is what the mail must remember.
            Err(Out::End(_)) => Err(Out::End(self.interrupted())),
            other => other.map(drop),
        }
    }
}
