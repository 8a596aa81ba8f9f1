//! What a changed configuration means for a running daemon. Pure: compares two configurations; the supervisor acts.

use std::collections::BTreeSet;

use crate::config::Config;
use crate::ids::{MailboxName, TenantName};

/// What has to be done so that `new` is in force.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(super) struct Plan {
    /// Mailboxes whose task ends.
    pub(super) stop: BTreeSet<MailboxName>,
    /// Mailboxes whose task starts; one that is in `stop` too connects anew.
    pub(super) start: BTreeSet<MailboxName>,
    /// Tenants whose delivery ends.
    pub(super) stop_tenants: BTreeSet<TenantName>,
    /// Tenants whose delivery starts.
    pub(super) start_tenants: BTreeSet<TenantName>,
    /// The tables that differ, for the log and the operator.
    pub(super) changed: Vec<String>,
}

impl Plan {
    /// From `old` to `new`. The mailboxes in `down` connect anew even when nothing of theirs has changed: what a
    /// person has just mended may lie outside the files (a password, a certificate).
    pub(super) fn between(old: &Config, new: &Config, down: &BTreeSet<MailboxName>) -> Self {
        let (was, will) = (reading(old), reading(new));
        let shared = old.tls != new.tls || old.limits != new.limits;
        let differs = |name: &MailboxName| shared || old.mailboxes.get(name) != new.mailboxes.get(name);
        let again: BTreeSet<_> =
            was.intersection(&will).filter(|name| differs(name) || down.contains(*name)).cloned().collect();
        let tenants = |config: &Config| config.tenants.keys().cloned().collect::<BTreeSet<_>>();
        let (had, has) = (tenants(old), tenants(new));
        Self {
            stop: was.difference(&will).chain(&again).cloned().collect(),
            start: will.difference(&was).chain(&again).cloned().collect(),
            stop_tenants: had.difference(&has).cloned().collect(),
            start_tenants: has.difference(&had).cloned().collect(),
            changed: changed(old, new),
        }
    }
}

/// The keys that differ from those the daemon was started with and are read only then.
pub(super) fn restart_needed(started: &Config, new: &Config) -> Vec<String> {
    let keys = [
        ("service.instance", started.service.instance != new.service.instance),
        ("service.state_dir", started.service.state_dir != new.service.state_dir),
        ("service.runtime_dir", started.service.runtime_dir != new.service.runtime_dir),
        ("service.worker_threads", started.service.worker_threads != new.service.worker_threads),
        ("log", started.log != new.log),
        ("control.socket", started.control.socket != new.control.socket),
        ("store.path", started.store.path != new.store.path),
        ("limits.parse_memory", started.limits.parse_memory != new.limits.parse_memory),
        ("limits.in_flight_bytes", started.limits.in_flight_bytes != new.limits.in_flight_bytes),
        ("limits.crash_strikes", started.limits.crash_strikes != new.limits.crash_strikes),
        ("parse.workers", started.parse.workers != new.parse.workers),
    ];
    keys.into_iter().filter(|(_, differs)| *differs).map(|(key, _)| key.to_owned()).collect()
}

/// The mailboxes that are read.
fn reading(config: &Config) -> BTreeSet<MailboxName> {
    config.mailboxes.iter().filter(|(_, mailbox)| mailbox.enabled).map(|(name, _)| name.clone()).collect()
}

fn changed(old: &Config, new: &Config) -> Vec<String> {
    let sections = [
        ("service", old.service != new.service),
        ("log", old.log != new.log),
        ("control", old.control != new.control),
        ("store", old.store != new.store),
        ("queue", old.queue != new.queue),
        ("tls", old.tls != new.tls),
        ("limits", old.limits != new.limits),
        ("parse", old.parse != new.parse),
    ];
    let sections = sections.into_iter().filter(|(_, differs)| *differs).map(|(name, _)| name.to_owned());
    let tenants: BTreeSet<_> = old.tenants.keys().chain(new.tenants.keys()).collect();
    let tenants = tenants.into_iter().filter(|name| old.tenants.get(*name) != new.tenants.get(*name));
    let mailboxes: BTreeSet<_> = old.mailboxes.keys().chain(new.mailboxes.keys()).collect();
    let mailboxes = mailboxes.into_iter().filter(|name| old.mailboxes.get(*name) != new.mailboxes.get(*name));
    let tenants = tenants.map(|name| format!("tenant.{name}"));
    sections.chain(tenants).chain(mailboxes.map(|name| format!("mailbox.{name}"))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{Mailbox, Tenant};

    /// Tenants `main`, mailboxes `a` and `b` on it.
    fn config() -> Config {
        let mut config = Config::default();
        config.tenants.insert("main".parse().unwrap(), Tenant::default());
        for name in ["a", "b"] {
            config.mailboxes.insert(name.parse().unwrap(), Mailbox::default());
        }
        config
    }

    /// What changing `config()` by `change` plans: stop, start, stopped tenants, started tenants, changed.
    #[track_caller]
    fn check(change: impl FnOnce(&mut Config), expected: [&str; 5]) {
        let mut new = config();
        change(&mut new);
        let plan = Plan::between(&config(), &new, &BTreeSet::new());
        let mailboxes = |set: &BTreeSet<MailboxName>| set.iter().map(ToString::to_string).collect::<Vec<_>>().join(" ");
        let tenants = |set: &BTreeSet<TenantName>| set.iter().map(ToString::to_string).collect::<Vec<_>>().join(" ");
        let found = [
            mailboxes(&plan.stop),
            mailboxes(&plan.start),
            tenants(&plan.stop_tenants),
            tenants(&plan.start_tenants),
            plan.changed.join(" "),
        ];
        assert_eq!(found, expected);
    }

    fn mailbox<'a>(config: &'a mut Config, name: &str) -> &'a mut Mailbox {
        config.mailboxes.get_mut(&name.parse().unwrap()).unwrap()
    }

    #[test]
    fn only_what_changed_is_disturbed() {
        check(|_| (), ["", "", "", "", ""]);
        check(|new| mailbox(new, "a").host = "x".into(), ["a", "a", "", "", "mailbox.a"]);
        check(|new| mailbox(new, "a").enabled = false, ["a", "", "", "", "mailbox.a"]);
        check(|new| drop(new.mailboxes.remove(&"b".parse().unwrap())), ["b", "", "", "", "mailbox.b"]);
        check(
            |new| drop(new.mailboxes.insert("c".parse().unwrap(), Mailbox::default())),
            ["", "c", "", "", "mailbox.c"],
        );
        check(
            |new| new.tenants.values_mut().for_each(|tenant| tenant.concurrency = 9),
            ["", "", "", "", "tenant.main"],
        );
        check(
            |new| drop(new.tenants.insert("other".parse().unwrap(), Tenant::default())),
            ["", "", "", "other", "tenant.other"],
        );
        check(|new| new.tenants.clear(), ["", "", "main", "", "tenant.main"]);
        check(|new| new.queue.retry_factor = 3.0, ["", "", "", "", "queue"]);
        check(|new| new.tls.extra_roots.push("x.pem".into()), ["a b", "a b", "", "", "tls"]);
    }

    #[test]
    fn a_mailbox_that_is_down_connects_anew() {
        let down = BTreeSet::from(["b".parse().unwrap()]);
        let plan = Plan::between(&config(), &config(), &down);
        assert_eq!((plan.stop, plan.start), (down.clone(), down));
        assert!(plan.changed.is_empty());
    }

    #[test]
    fn keys_that_need_a_restart_are_named_until_it_happens() {
        let mut new = config();
        new.service.worker_threads = 7;
        new.limits.crash_strikes = 9;
        new.queue.retry_factor = 3.0;
        assert_eq!(restart_needed(&config(), &new), ["service.worker_threads", "limits.crash_strikes"]);
    }
}
