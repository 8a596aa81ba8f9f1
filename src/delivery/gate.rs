//! What the attempts of one tenant know of each other, in memory: who is still being read, who is at work, and whether the
//! tenant is there. Nothing durable: the queue decides the order of writes, this only keeps mails from asking too early.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::watch;
use tokio::time::Instant;

use super::breaker::{Breaker, Change, Entry, Rules};
use super::outcome::Outcome;
use crate::clock::UtcMillis;
use crate::ids::{MailboxName, QueueId};

/// The gate of one tenant.
#[derive(Debug)]
pub(super) struct Gate {
    order: watch::Sender<Order>,
    tenancy: Mutex<Tenancy>,
}

#[derive(Debug, Default)]
struct Order {
    unparsed: BTreeMap<QueueId, MailboxName>,
    active: BTreeSet<QueueId>,
}

#[derive(Debug)]
struct Tenancy {
    breaker: Breaker,
    searchable: Option<bool>,
    /// What was known of it last, also before the last start.
    remembered: Option<bool>,
    /// Since when look-ups are answered as if there were no search, and nothing else is known.
    in_vain: Option<Instant>,
    /// Whether it can be searched was asked; the answer may have been none.
    asked: bool,
    told_no_key: bool,
}

/// Leave to make calls. Given back without a recorded outcome, the probe goes to the next mail.
#[derive(Debug)]
pub(super) struct Pass<'a> {
    gate: &'a Gate,
    probe: bool,
}

impl Pass<'_> {
    /// Whether this is the one call that looks whether the tenant is there.
    pub(super) const fn is_probe(&self) -> bool {
        self.probe
    }
}

impl Drop for Pass<'_> {
    fn drop(&mut self) {
        if self.probe {
            self.gate.tenancy().breaker.abandon(Instant::now());
        }
    }
}

impl Gate {
    /// `remembered`: whether the API could be searched when that was last known.
    pub(super) fn new(remembered: Option<bool>) -> Self {
        let breaker = Breaker::new();
        let tenancy =
            Tenancy { breaker, searchable: None, remembered, in_vain: None, asked: false, told_no_key: false };
        Self { order: watch::Sender::default(), tenancy: Mutex::new(tenancy) }
    }

    fn tenancy(&self) -> MutexGuard<'_, Tenancy> {
        self.tenancy.lock().unwrap_or_else(PoisonError::into_inner)
    }

    // ── order ──

    /// A mail was claimed.
    pub(super) fn arrive(&self, id: QueueId, mailbox: &MailboxName) {
        self.order.send_modify(|order| {
            order.unparsed.insert(id, mailbox.clone());
            order.active.insert(id);
        });
    }

    /// A mail was read: what it is known by will be in the queue with its first write.
    pub(super) fn parsed(&self, id: QueueId) {
        self.order.send_if_modified(|order| order.unparsed.remove(&id).is_some());
    }

    /// The work on a mail has ended, durably.
    pub(super) fn leave(&self, id: QueueId) {
        self.order.send_modify(|order| {
            order.unparsed.remove(&id);
            order.active.remove(&id);
        });
    }

    /// Whether the work on a mail is going on here.
    pub(super) fn is_active(&self, id: QueueId) -> bool {
        self.order.borrow().active.contains(&id)
    }

    /// Returns when no older claimed mail is still being read.
    pub(super) async fn older_are_parsed(&self, id: QueueId) {
        self.wait(|order| order.unparsed.range(..id).next().is_none()).await;
    }

    /// The same, for the mails of one mailbox.
    pub(super) async fn older_of_mailbox_are_parsed(&self, id: QueueId, mailbox: &MailboxName) {
        self.wait(|order| order.unparsed.range(..id).all(|(_, other)| other != mailbox)).await;
    }

    /// Returns when the work on a mail has ended.
    pub(super) async fn left(&self, id: QueueId) {
        self.wait(|order| !order.active.contains(&id)).await;
    }

    async fn wait(&self, done: impl FnMut(&Order) -> bool) {
        // The sender lives in `self`: the wait cannot fail.
        drop(self.order.subscribe().wait_for(done).await);
    }

    // ── the tenant ──

    /// Leave to make calls now, or none.
    pub(super) fn enter(&self) -> Option<Pass<'_>> {
        let entry = self.tenancy().breaker.enter(Instant::now());
        (entry != Entry::Shut).then(|| Pass { gate: self, probe: entry == Entry::Probe })
    }

    /// How many mails may be claimed now, and when to ask again if none.
    pub(super) fn allowance(&self) -> Result<usize, Option<Instant>> {
        self.tenancy().breaker.allowance(Instant::now())
    }

    /// Notes how a call ended. What was learned of an API that is away need not hold when it comes back.
    pub(super) fn record(&self, outcome: Outcome, rules: Rules, time: UtcMillis) -> Option<Change> {
        let mut tenancy = self.tenancy();
        let change = tenancy.breaker.record(outcome, rules, Instant::now(), time);
        if change.is_some_and(|change| change.to == "closed" && !change.pause) {
            (tenancy.searchable, tenancy.asked) = (None, false);
        }
        change
    }

    /// An open breaker lets a probe through now.
    pub(super) fn look_now(&self) {
        self.tenancy().breaker.look_now(Instant::now());
    }

    /// Asks the breaker.
    pub(super) fn breaker<T>(&self, ask: impl FnOnce(&Breaker) -> T) -> T {
        ask(&self.tenancy().breaker)
    }

    /// Whether the API can be searched, when that is known.
    pub(super) fn searchable(&self) -> Option<bool> {
        self.tenancy().searchable
    }

    /// It is known now. Whether that is to be remembered: it is not what was known before.
    pub(super) fn set_searchable(&self, searchable: bool) -> bool {
        let mut tenancy = self.tenancy();
        (tenancy.searchable, tenancy.in_vain) = (Some(searchable), None);
        tenancy.remembered.replace(searchable) != Some(searchable)
    }

    /// A look-up was answered as if there were no search. True when that is so: it is known, was known before the last
    /// start, or nothing else has been heard for so long.
    pub(super) fn cannot_be_searched(&self, patience: Duration) -> bool {
        let mut tenancy = self.tenancy();
        let since = *tenancy.in_vain.get_or_insert_with(Instant::now);
        let known = tenancy.searchable.or(tenancy.remembered);
        known.map_or_else(|| since.elapsed() >= patience, |searchable| !searchable)
    }

    /// True once, as long as it is not known whether the API can be searched.
    pub(super) fn ask_searchable(&self) -> bool {
        let mut tenancy = self.tenancy();
        tenancy.searchable.is_none() && !std::mem::replace(&mut tenancy.asked, true)
    }

    /// True the first time: that the API does not say its keys is said once.
    pub(super) fn tell_no_key(&self) -> bool {
        !std::mem::replace(&mut self.tenancy().told_no_key, true)
    }
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt as _;

    use super::*;

    #[test]
    fn a_mail_waits_for_older_ones_to_be_read_and_not_for_younger_ones() {
        let (gate, ids) = (Gate::new(None), [QueueId::generate(), QueueId::generate(), QueueId::generate()]);
        let mailbox = |name: &str| name.parse().expect("a name");
        for (id, name) in ids.iter().zip(["a", "b", "a"]) {
            gate.arrive(*id, &mailbox(name));
        }
        let ready_beside_others =
            |id, name| gate.older_of_mailbox_are_parsed(id, &mailbox(name)).now_or_never().is_some();
        assert!(ready_beside_others(ids[1], "b") && !ready_beside_others(ids[2], "a"));
        let ready = |id| gate.older_are_parsed(id).now_or_never().is_some();
        assert!(ready(ids[0]) && !ready(ids[1]));
        gate.parsed(ids[1]);
        assert!(!ready(ids[1]));
        gate.leave(ids[0]);
        assert!(ready(ids[1]) && ready(ids[2]));
    }

    #[tokio::test(start_paused = true)]
    async fn whether_an_api_can_be_searched_is_remembered_or_found_out_in_the_end() {
        let patience = Duration::from_secs(60);
        assert!(Gate::new(Some(false)).cannot_be_searched(patience));
        // What could be searched is only away.
        let (known, unknown) = (Gate::new(Some(true)), Gate::new(None));
        assert!(!known.cannot_be_searched(patience) && !unknown.cannot_be_searched(patience));
        tokio::time::advance(patience).await;
        assert!(!known.cannot_be_searched(patience) && unknown.cannot_be_searched(patience));
    }

    #[test]
    fn the_end_of_a_mail_is_noticed() {
        let (gate, id) = (Gate::new(None), QueueId::generate());
        gate.arrive(id, &"a".parse().expect("a name"));
        gate.parsed(id);
        assert!(gate.is_active(id) && gate.left(id).now_or_never().is_none());
        gate.leave(id);
        assert!(!gate.is_active(id) && gate.left(id).now_or_never().is_some());
    }

    #[test]
    fn a_pass_that_was_not_used_leaves_the_probe_to_the_next() {
        let rules = Rules { failures: 1, probe: Duration::ZERO };
        let gate = Gate::new(None);
        assert!(gate.ask_searchable() && !gate.ask_searchable());
        assert!(gate.set_searchable(false) && !gate.set_searchable(false));
        gate.record(Outcome::Down { retry_after: None, costly: false }, rules, UtcMillis(0));
        let pass = gate.enter().expect("the probe");
        assert!(gate.enter().is_none());
        drop(pass);
        let probe = gate.enter();
        assert!(probe.is_some());
        let change = gate.record(Outcome::Success, rules, UtcMillis(1)).expect("a change");
        assert_eq!((change.from, change.to), ("probe", "closed"));
        drop(probe);
        assert_eq!((gate.searchable(), gate.breaker(Breaker::is_closed)), (None, true));
        assert!(gate.ask_searchable());
    }
}
