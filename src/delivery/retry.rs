//! From a fault to what is done about it. Pure: a table of rules, no clock, no I/O.

use std::time::Duration;

use crate::backoff::Backoff;
use crate::config;
use crate::config::tenant::AfterUnknown;
use crate::fault::Fault;

/// While the breaker is open, no mail is put off for longer than so many probes: the probes need mails that are due.
const PROBES: u32 = 10;

/// What the administrator says about retries.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct RetryPolicy {
    pub(super) backoff: Backoff,
    pub(super) expire_after: Duration,
    pub(super) after_unknown: AfterUnknown,
    pub(super) verify_after: Duration,
    pub(super) request_timeout: Duration,
    pub(super) breaker_probe: Duration,
}

/// What is known of the mail and of its tenant after a fault.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Case {
    /// What happened.
    pub(super) fault: Fault,
    /// The server itself said completely that it failed ([`crate::superoffice::Error::is_complete_failure`]).
    pub(super) complete_failure: bool,
    /// No answer came in time: the server may still be at work.
    pub(super) late: bool,
    /// An earlier write is still to be looked up.
    pub(super) verify: bool,
    /// Writes begun so far.
    pub(super) attempts: u32,
    /// How long it has waited while the tenant was there, when that is known.
    pub(super) waited: Option<Duration>,
    /// The tenant as a whole is away.
    pub(super) breaker_open: bool,
    /// The API refuses every mail in the same way.
    pub(super) refuses_all: bool,
    /// Whether the API can be searched, when that is known.
    pub(super) searchable: Option<bool>,
}

/// What is done.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Verdict {
    /// Try again.
    Retry {
        /// After this.
        delay: Duration,
        /// Look it up first.
        verify: bool,
    },
    /// A person decides: it may have been carried out.
    Hold,
    /// It will never go through.
    Fail,
    /// It has waited for longer than `expire_after`.
    Expire,
}

impl RetryPolicy {
    /// The policy of a tenant.
    pub(super) const fn new(queue: &config::Queue, tenant: &config::Tenant) -> Self {
        Self {
            backoff: Backoff {
                first: queue.retry_first.0,
                factor: queue.retry_factor,
                max: queue.retry_max.0,
                jitter: queue.retry_jitter,
            },
            expire_after: queue.expire_after.0,
            after_unknown: tenant.after_unknown,
            verify_after: tenant.verify_after.0,
            request_timeout: tenant.request_timeout.0,
            breaker_probe: tenant.breaker_probe.0,
        }
    }

    /// What is done about a write that failed, for a die between 0 and 1.
    pub(super) fn verdict(&self, case: &Case, die: f64) -> Verdict {
        match case.fault {
            Fault::Permanent if !case.refuses_all => Verdict::Fail,
            Fault::Unknown => self.unknown(case, die),
            Fault::Permanent | Fault::Transient | Fault::Throttled { .. } | Fault::Unauthorized => {
                self.retry(case, die)
            }
        }
    }

    /// What is done about a look-up that failed: the write before it stays unknown. A refused look-up needs a person.
    pub(super) fn verdict_of_search(&self, case: &Case, refused: bool, die: f64) -> Verdict {
        match case.fault {
            _ if refused => Verdict::Hold,
            Fault::Permanent | Fault::Unknown => Verdict::Hold,
            Fault::Transient | Fault::Throttled { .. } | Fault::Unauthorized => {
                self.retry(&Case { verify: true, ..*case }, die)
            }
        }
    }

    /// Sent, and no answer that says what became of it (decisions D8).
    fn unknown(&self, case: &Case, die: f64) -> Verdict {
        match (self.after_unknown, case.searchable) {
            (AfterUnknown::Hold, _) => Verdict::Hold,
            (AfterUnknown::Post, _) => self.retry(case, die),
            (AfterUnknown::Search, Some(false)) if case.complete_failure => self.retry(case, die),
            (AfterUnknown::Search, Some(false)) => Verdict::Hold,
            (AfterUnknown::Search, _) => self.retry(&Case { verify: true, ..*case }, die),
        }
    }

    fn retry(&self, case: &Case, die: f64) -> Verdict {
        if case.waited.is_some_and(|waited| waited > self.expire_after) {
            return if case.verify { Verdict::Hold } else { Verdict::Expire };
        }
        let grown = self.backoff.delay(case.attempts, die);
        let capped = if case.breaker_open { grown.min(self.breaker_probe.saturating_mul(PROBES)) } else { grown };
        let asked = match case.fault {
            Fault::Throttled { retry_after } => retry_after.unwrap_or_default(),
            Fault::Transient | Fault::Unauthorized | Fault::Permanent | Fault::Unknown => Duration::ZERO,
        };
        let quiet = match case.verify {
            // Who needs more than `request_timeout` is given as long again, or the look-up comes before the end.
            true if case.late => self.verify_after.max(self.request_timeout),
            true => self.verify_after,
            false => Duration::ZERO,
        };
        Verdict::Retry { delay: capped.max(asked).max(quiet), verify: case.verify }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn policy(after_unknown: AfterUnknown) -> RetryPolicy {
        RetryPolicy {
            backoff: Backoff { first: secs(2), factor: 2.0, max: secs(3600), jitter: 0.0 },
            expire_after: secs(1000),
            after_unknown,
            verify_after: secs(30),
            request_timeout: secs(60),
            breaker_probe: secs(5),
        }
    }

    const fn secs(n: u64) -> Duration {
        Duration::from_secs(n)
    }

    const fn case(fault: Fault) -> Case {
        Case {
            fault,
            complete_failure: false,
            late: false,
            verify: false,
            attempts: 1,
            waited: None,
            breaker_open: false,
            refuses_all: false,
            searchable: None,
        }
    }

    const fn retry(seconds: u64, verify: bool) -> Verdict {
        Verdict::Retry { delay: secs(seconds), verify }
    }

    #[track_caller]
    fn check(case: Case, expected: Verdict) {
        assert_eq!(policy(AfterUnknown::Search).verdict(&case, 0.5), expected);
    }

    #[test]
    fn what_may_pass_is_tried_again_later_and_later() {
        check(case(Fault::Transient), retry(2, false));
        check(Case { attempts: 5, ..case(Fault::Transient) }, retry(32, false));
        check(Case { attempts: 99, ..case(Fault::Unauthorized) }, retry(3600, false));
        check(Case { attempts: 99, breaker_open: true, ..case(Fault::Unauthorized) }, retry(50, false));
        check(case(Fault::Throttled { retry_after: Some(secs(20)) }), retry(20, false));
        check(Case { attempts: 6, ..case(Fault::Throttled { retry_after: Some(secs(20)) }) }, retry(64, false));
        check(case(Fault::Throttled { retry_after: None }), retry(2, false));
    }

    #[test]
    fn a_permanent_fault_ends_it_unless_all_mails_have_it() {
        check(case(Fault::Permanent), Verdict::Fail);
        check(Case { refuses_all: true, ..case(Fault::Permanent) }, retry(2, false));
    }

    #[test]
    fn age_ends_it_only_while_the_tenant_is_there() {
        check(Case { waited: Some(secs(1001)), ..case(Fault::Transient) }, Verdict::Expire);
        check(Case { waited: Some(secs(1000)), ..case(Fault::Transient) }, retry(2, false));
        check(Case { waited: None, ..case(Fault::Transient) }, retry(2, false));
        check(Case { waited: Some(secs(1001)), ..case(Fault::Unknown) }, Verdict::Hold);
    }

    #[test]
    fn an_unknown_outcome_is_looked_up_where_that_can_be() {
        let unknown = case(Fault::Unknown);
        let complete = Case { complete_failure: true, ..unknown };
        check(unknown, retry(30, true));
        check(Case { late: true, ..unknown }, retry(60, true));
        check(complete, retry(30, true));
        check(Case { searchable: Some(true), ..unknown }, retry(30, true));
        check(Case { searchable: Some(false), ..unknown }, Verdict::Hold);
        check(Case { searchable: Some(false), ..complete }, retry(2, false));
        assert_eq!(policy(AfterUnknown::Hold).verdict(&complete, 0.5), Verdict::Hold);
        assert_eq!(policy(AfterUnknown::Post).verdict(&unknown, 0.5), retry(2, false));
    }

    #[test]
    fn a_failed_look_up_never_becomes_a_post() {
        let search = |case: Case, refused| policy(AfterUnknown::Search).verdict_of_search(&case, refused, 0.5);
        assert_eq!(search(case(Fault::Transient), false), retry(30, true));
        assert_eq!(search(case(Fault::Unauthorized), false), retry(30, true));
        assert_eq!(search(case(Fault::Unauthorized), true), Verdict::Hold);
        assert_eq!(search(case(Fault::Permanent), false), Verdict::Hold);
        assert_eq!(search(Case { waited: Some(secs(2000)), ..case(Fault::Transient) }, false), Verdict::Hold);
    }
}
