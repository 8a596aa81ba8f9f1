//! The look-up of a write whose outcome is not known, before anything is written again (decisions D8).

use tokio::time::Instant;

use super::attempt::{Attempt, Out, Step};
use super::gate::Pass;
use super::report;
use super::retry::{Case, Verdict};
use super::verify::{self, Sight};
use crate::config::tenant::{AfterUnknown, ForeignCopy};
use crate::entity::TicketMessageEntity;
use crate::fault::Fault;
use crate::ids::QueueId;
use crate::queue::{End, Filter, State};
use crate::stop::Phase;
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
        let rows = match self.search(message_id(entity), false).await? {
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

    /// `there`: the tenant has just shown that it is where we look for it, so that a 404 speaks of the search alone.
    async fn search(&self, message_id: &str, there: bool) -> Step<Result<Vec<Row>, Error>> {
        let started = Instant::now();
        let result = self.or_stop(self.session.client.search(message_id)).await?;
        self.note_api(started.elapsed());
        let searchable = match &result {
            Ok(_) => Some(true),
            Err(error @ Error::NotSearchable(_)) if there || error.status() != Some(404) => Some(false),
            Err(_) => None,
        };
        if let Some(searchable) = searchable.filter(|searchable| self.gate.set_searchable(*searchable)) {
            self.queue().set_searchable(&self.item.tenant, searchable).await?;
        }
        match &result {
            Ok(_) => report::accepted(self, "search", self.number(), started.elapsed()),
            Err(error) => report::refused(self, "search", self.number(), error, started.elapsed()),
        }
        Ok(result)
    }

    fn search_failed(&self, error: &Error) -> End {
        let absent = matches!(error, Error::NotSearchable(_));
        if absent && self.gate.cannot_be_searched(self.session.options.request_timeout.0) {
            return self.held("its outcome is unknown and the API cannot be searched", "held");
        }
        // Where the search is not known to be missing, 404 may be the answer to everything: the tenant has moved. A mail that
        // needs no look-up finds out which it is, so these must neither open the breaker nor take its probe.
        if !absent {
            self.record(Some(error), false);
        }
        let refused = error.status() == Some(403);
        let fault = if absent { Fault::Unauthorized } else { error.fault() };
        let case = Case { fault, ..self.case(error) };
        match self.session.policy.verdict_of_search(&case, refused, fastrand::f64()) {
            Verdict::Retry { delay, verify } => self.put_off(error, delay, verify),
            Verdict::Hold | Verdict::Fail | Verdict::Expire => self.held(&error.to_string(), "held"),
        }
    }

    /// Whether a post without an answer would have to wait for a person, as far as is known.
    pub(super) fn risks_a_hold(&self) -> bool {
        match self.session.policy.after_unknown {
            AfterUnknown::Hold => true,
            AfterUnknown::Search => self.gate.searchable() != Some(true),
            AfterUnknown::Post => false,
        }
    }

    /// The call that looks whether a tenant is back must not cost a mail: a server that hangs or talks nonsense does so
    /// for a search as well, and a search puts nothing at risk. That there is no search is an answer.
    pub(super) async fn may_risk(&self, pass: &Pass<'_>, entity: &TicketMessageEntity) -> Step<()> {
        if !pass.is_probe() || self.must_verify() || !self.risks_a_hold() {
            return Ok(());
        }
        let error = match self.search(message_id(entity), false).await? {
            Ok(_) | Err(Error::NotSearchable(_)) => return Ok(()),
            Err(error) => error,
        };
        self.record(Some(&error), false);
        let case = Case { fault: Fault::Transient, ..self.case(&error) };
        match self.session.policy.verdict(&case, fastrand::f64()) {
            Verdict::Retry { delay, .. } => Err(Out::End(self.put_off(&error, delay, false))),
            Verdict::Hold | Verdict::Fail | Verdict::Expire => {
                Err(Out::End(self.deferred(error.class(), &error, false)))
            }
        }
    }

    /// Finds out whether the API can be searched, right after a post that it has taken: it is there, so the answer is about
    /// the search. Later, when a post has no answer, a 404 could mean anything. It only reads; no answer is no fault.
    pub(super) async fn find_out(&self, message_id: &str) {
        tokio::select! {
            biased;
            () = self.stop.reached(Phase::Drain) => {}
            // The result is kept where it belongs.
            _ = self.search(message_id, true) => {}
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
        match self.search(message_id(entity), true).await {
            // The daemon stops: the write before this is what the mail must remember.
            Err(Out::End(_)) => Err(Out::End(self.interrupted())),
            other => other.map(drop),
        }
    }
}

fn message_id(entity: &TicketMessageEntity) -> &str {
    entity.message_id.as_deref().unwrap_or_default()
}
