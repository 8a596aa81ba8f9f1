//! `status`, `reload`, `mailbox start` and `version`: one question to the daemon each.

use serde_json::json;

use crate::admin::protocol::{Reloaded, Request, Started};
use crate::admin::status::{Status, span};
use crate::cli::exit::Failure;
use crate::cli::output::{say, say_json};
use crate::cli::table::Table;
use crate::cli::{Common, access};
use crate::clock::UtcMillis;
use crate::ids::MailboxName;
use crate::queue::State;
use crate::telemetry::progress::MailboxState;

/// `mailbridge version`
pub(super) fn version(common: &Common) -> Result<(), Failure> {
    let version = env!("CARGO_PKG_VERSION");
    if common.json { say_json(&json!({ "v": 1, "version": version })) } else { say(&format!("mailbridge {version}")) }
}

/// `mailbridge status`
pub(super) async fn status(common: &Common) -> Result<(), Failure> {
    let status: Status = access::daemon(common).await?.ask_one(&Request::Status).await?;
    if common.json { say_json(&status) } else { say(&for_people(&status)) }
}

/// `mailbridge reload`
pub(super) async fn reload(common: &Common) -> Result<(), Failure> {
    let reloaded: Reloaded = access::daemon(common).await?.ask_one(&Request::Reload).await?;
    if common.json {
        return say_json(&json!({ "v": 1, "changed": reloaded.changed, "restart_needed": reloaded.restart_needed }));
    }
    for warning in &reloaded.warnings {
        say(warning.trim_end())?;
    }
    match reloaded.changed.as_slice() {
        [] => say("reloaded: nothing has changed")?,
        changed => say(&format!("reloaded: {}", changed.join(", ")))?,
    }
    match reloaded.restart_needed.as_slice() {
        [] => Ok(()),
        keys => say(&format!("in force after a restart: {}", keys.join(", "))),
    }
}

/// `mailbridge mailbox start NAME`
pub(super) async fn start(mailbox: &MailboxName, common: &Common) -> Result<(), Failure> {
    let request = Request::MailboxStart { mailbox: mailbox.clone() };
    let started: Started = access::daemon(common).await?.ask_one(&request).await?;
    if common.json {
        return say_json(&json!({ "v": 1, "mailbox": mailbox, "released": started.released }));
    }
    match started.released {
        0 => say(&format!("no old mail waits in `{mailbox}`")),
        n => say(&format!("{n} old mails of `{mailbox}` are taken now")),
    }
}

fn for_people(status: &Status) -> String {
    let up = span(status.now.since(status.started_at));
    let mut lines = vec![
        format!("mailbridge {} ({}), process {}, up {up}", status.version, status.instance, status.pid),
        status.line(),
        String::new(),
    ];
    lines.extend(mailboxes(status).lines());
    lines.push(String::new());
    lines.extend(tenants(status).lines());
    lines.extend(status.unknown_tenants.iter().map(|tenant| {
        format!("tenant `{tenant}` is not configured and has unfinished mail: it waits until the tenant is back")
    }));
    if !status.overdue.is_empty() {
        lines.push(format!("overdue: {}", status.overdue.join(", ")));
    }
    lines.extend(advice(status));
    lines.join("\n")
}

/// What to do about what the tables show; nothing where all is well.
fn advice(status: &Status) -> Vec<String> {
    let mut lines = Vec::new();
    let failed = status.mailboxes.values().any(|mailbox| mailbox.state == MailboxState::Failed);
    let open = status.tenants.values().any(|tenant| !matches!(tenant.breaker.as_str(), "" | "closed"));
    if failed || open {
        lines.push("mail waits and nothing is lost: mend the cause, then `mailbridge reload` tries at once".to_owned());
    }
    for (name, mailbox) in status.mailboxes.iter().filter(|(_, mailbox)| mailbox.waiting_to_start > 0) {
        let n = mailbox.waiting_to_start;
        lines.push(format!("{n} old mails wait in `{name}`: `mailbridge mailbox start {name}` takes them"));
    }
    for (state, what) in [(State::Held, "held"), (State::Failed, "dead")] {
        match status.messages(state) {
            0 => {}
            n => lines.push(format!("{n} {what}: `mailbridge queue list --state {what}` says why")),
        }
    }
    if !lines.is_empty() {
        lines.insert(0, String::new());
    }
    lines
}

fn mailboxes(status: &Status) -> Table {
    let mut table = Table::new(&["MAILBOX", "STATE", "UP", "LAST POLL", "BACKLOG", "WAITING", "LAST ERROR"]);
    for (name, mailbox) in &status.mailboxes {
        table.row([
            name.to_string(),
            mailbox.state.to_string(),
            if mailbox.up { "yes" } else { "no" }.to_owned(),
            ago(mailbox.last_success, status.now),
            mailbox.backlog.to_string(),
            mailbox.waiting_to_start.to_string(),
            mailbox.last_error.clone().unwrap_or_else(|| "-".to_owned()),
        ]);
    }
    table
}

fn tenants(status: &Status) -> Table {
    let mut table = Table::new(&["TENANT", "BREAKER", "LAST POST", "LAST ERROR"]);
    for (name, tenant) in &status.tenants {
        let breaker = if tenant.breaker.is_empty() { "-" } else { &tenant.breaker };
        let error = tenant.last_error.clone().unwrap_or_else(|| "-".to_owned());
        table.row([name.to_string(), breaker.to_owned(), ago(tenant.last_post, status.now), error]);
    }
    table
}

fn ago(time: Option<UtcMillis>, now: UtcMillis) -> String {
    time.map_or_else(|| "-".to_owned(), |time| format!("{} ago", span(now.since(time))))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A status as the daemon sends it, with one mailbox and one tenant.
    fn status(mailbox: &str, waiting: u64, breaker: &str, dead: u64) -> Status {
        let status = json!({
            "v": 1, "instance": "default", "version": "0", "pid": 1, "started_at": 0, "now": 0,
            "mailboxes": { "support": {
                "state": mailbox, "up": true, "last_success": null, "backlog": 0, "waiting_to_start": waiting,
                "last_error": null,
            }},
            "tenants": { "main": { "breaker": breaker, "last_post": null, "last_error": null } },
            "unknown_tenants": [], "queue": { "dead": { "messages": dead, "bytes": 1, "oldest": null } }, "overdue": [],
        });
        serde_json::from_value(status).unwrap()
    }

    #[track_caller]
    fn check(status: &Status, expected: &[&str]) {
        let lines = advice(status);
        assert_eq!(lines.is_empty(), expected.is_empty(), "{lines:?}");
        for part in expected {
            assert!(lines.iter().any(|line| line.contains(part)), "{part} in {lines:?}");
        }
    }

    #[test]
    fn what_is_wrong_comes_with_what_to_do() {
        check(&status("idle", 0, "closed", 0), &[]);
        check(&status("failed", 0, "closed", 0), &["`mailbridge reload` tries at once"]);
        check(&status("wait", 0, "open", 0), &["`mailbridge reload` tries at once"]);
        check(&status("idle", 14, "", 0), &["14 old mails", "`mailbridge mailbox start support`"]);
        check(&status("idle", 0, "", 3), &["3 dead: `mailbridge queue list --state dead`"]);
    }
}
