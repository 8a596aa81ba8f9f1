//! Mail out: what the API is asked, and what every answer of it leads to.

use std::time::Duration;

use mailbridge::sandbox::imap_server;
use mailbridge::sandbox::script::When;
use mailbridge::sandbox::superoffice_api::{self, Call, Rule, Step};

use serde_json::Value;

use crate::support::{PATIENCE, World};

/// Appends `count` mails to a world whose API plays `rules`, and waits until each is one message.
#[track_caller]
fn check_exactly_once(count: usize, rules: impl IntoIterator<Item = Rule>) {
    let world = World::new();
    world.append(0..count);
    world.api.script(rules);
    let daemon = world.daemon();
    world.wait_messages(count);
    daemon.stop();
    world.assert_exactly(0..count);
}

#[test]
fn every_header_of_the_page_is_sent() {
    let api = superoffice_api::Options {
        authorization: Some("SOTicket 7T:abc".to_owned()),
        app_token: Some("app".to_owned()),
        xsrf_token: Some("xsrf".to_owned()),
        base: "/Cust12345".to_owned(),
        ..superoffice_api::Options::default()
    };
    let world = World::with(imap_server::Options::default(), api);
    world.append(0..1);
    let tenant = "token = \"7T:abc\"\nauth = \"soticket\"\napp_token = \"app\"\nxsrf_token = \"xsrf\"\nnotify = \"always\"\naccept_language = \"no\"\n";
    let daemon = world.daemon_with(&world.config_with_sign_in(tenant));
    world.wait_messages(1);
    daemon.stop();
    world.assert_exactly(0..1);
    let request = world.api.requests().into_iter().find(|request| request.method == "POST").expect("a post");
    assert_eq!(request.target, "/Cust12345/api/v1/TicketMessage?notify=true");
    let header = |name: &str| request.header(name).unwrap_or_default().to_owned();
    assert_eq!(header("Content-Type"), "application/json; charset=utf-8");
    assert_eq!(header("Accept"), "application/json; charset=utf-8");
    assert_eq!(header("Accept-Language"), "no");
    assert_eq!(header("SO-Language"), "en");
    assert_eq!(header("SO-Culture"), "en-GB");
    assert_eq!(header("SO-TimeZone"), "UTC, includeTZOffset");
}

#[test]
fn basic_signs_in_with_user_and_password() {
    let api = superoffice_api::Options {
        authorization: Some("Basic dGplMDpUamUw".to_owned()),
        ..superoffice_api::Options::default()
    };
    let world = World::with(imap_server::Options::default(), api);
    world.append(0..1);
    let basic = "username = \"tje0\"\npassword = \"Tje0\"\n";
    let daemon = world.daemon_with(&world.config_with_sign_in(basic));
    world.wait_messages(1);
    daemon.stop();
    world.assert_exactly(0..1);
}

#[test]
fn defers_on_503_and_delivers_when_it_is_over() {
    check_exactly_once(3, [Rule::on(Call::Post, Step::status(503, "{}").header("Retry-After", "1")).nth(1)]);
}

#[test]
fn waits_as_long_as_429_asks() {
    check_exactly_once(3, [Rule::on(Call::Post, Step::status(429, "{}").header("Retry-After", "1")).nth(2)]);
}

#[test]
fn a_500_that_stored_is_not_posted_again() {
    check_exactly_once(4, [Rule::on(Call::Post, Step::status(500, "{}").stored()).nth(2)]);
}

#[test]
fn a_500_that_did_not_store_is_posted_again() {
    check_exactly_once(4, [Rule::on(Call::Post, Step::status(500, "{}")).nth(2)]);
}

#[test]
fn a_lost_answer_is_looked_up_before_anything_is_posted_again() {
    check_exactly_once(
        6,
        [
            Rule::on(Call::Post, Step::cut(0).stored()).nth(2),
            Rule::on(Call::Post, Step::cut(30).stored()).nth(3),
            Rule::on(Call::Post, Step::cut(0)).nth(4),
        ],
    );
}

#[test]
fn half_of_all_answers_lost_still_means_each_mail_once() {
    check_exactly_once(40, [Rule::on(Call::Post, Step::cut(0).stored()).when(When::Chance(0.5))]);
}

#[test]
fn a_web_page_instead_of_an_answer_proves_nothing() {
    check_exactly_once(2, [Rule::on(Call::Post, Step::html()).nth(1)]);
}

#[test]
fn an_empty_answer_of_a_bare_api_counts_as_posted() {
    for body in ["", "{}"] {
        check_exactly_once(3, [Rule::on(Call::Post, Step::status(200, body).stored())]);
    }
}

#[test]
fn an_api_that_is_away_is_waited_for() {
    let world = World::new();
    world.append(0..4);
    world.api.set_down(true);
    let daemon = world.daemon();
    daemon.wait_event("queue.deferred", |line| line["error_class"] == "network");
    world.api.set_down(false);
    world.wait_messages(4);
    daemon.stop();
    world.assert_exactly(0..4);
}

#[test]
fn an_api_that_goes_away_in_the_middle_and_comes_back_gets_each_mail_once() {
    const MAILS: usize = 80;
    let world = World::new();
    world.append(0..MAILS);
    world.api.script([Rule::on(Call::Post, Step::delay(Duration::from_millis(30)))]);
    let daemon = world.daemon();
    for share in [5, 30, 55] {
        world.wait_messages(share);
        world.api.set_down(true);
        let opened = |line: &Value| line["to"] == "open";
        daemon.wait_event("api.breaker", opened);
        world.api.set_down(false);
    }
    world.end(daemon, 0..MAILS);
}

/// An API that answers every call with `status` until it is mended: one alarm, no dead letter, and no wait afterwards.
#[track_caller]
fn check_refusal_of_all(status: u16) {
    let world = World::new();
    world.append(0..12);
    world.api.script([Rule::on(Call::Any, Step::status(status, ""))]);
    let daemon = world.daemon();
    let opened = daemon.wait_event("api.breaker", |line| line["to"] == "open");
    assert_eq!(opened["level"].as_str().map(str::to_lowercase).as_deref(), Some("error"), "{opened}");
    let calls = world.api.requests().len();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().expect("a runtime");
    assert!(runtime.block_on(world.api.wait(PATIENCE, |api| api.requests().len() > calls + 3)), "it is probed");
    world.api.script([]);
    world.wait_messages(12);
    daemon.wait_event("api.breaker", |line| line["to"] == "closed");
    assert_eq!(daemon.events("api.breaker").iter().filter(|line| line["to"] == "open").count(), 1, "{status}");
    assert_eq!(daemon.events("message.done").iter().filter(|line| line["state"] == "dead").count(), 0, "{status}");
    assert_eq!(daemon.events("message.held").len(), 0, "{status}");
    daemon.stop();
    world.assert_exactly(0..12);
}

#[test]
fn an_api_that_refuses_everything_is_one_alarm_and_no_dead_letter() {
    [401, 403, 404].into_iter().for_each(check_refusal_of_all);
}

#[test]
fn a_poison_mail_becomes_a_dead_letter_alone_and_can_be_retried() {
    let world = World::new();
    world.append(0..4);
    let refusal = "{\"Error\":true,\"ErrorType\":\"SoArgumentException\",\"ErrorMessage\":\"Body of ann@example.com is too odd\"}";
    world.api.script([Rule::on(Call::Post, Step::status(400, refusal)).nth(1)]);
    let daemon = world.daemon();
    world.wait_messages(3);
    let done = daemon.wait_event("message.done", |line| line["state"] == "dead");
    assert_eq!(done["error_class"], "api_4xx", "{done}");
    assert!(!done.to_string().contains("ann@example.com"), "{done}");
    let dead = world.queue(&["--state", "dead"]);
    assert_eq!(dead.len(), 1, "{dead:?}");
    let retried = world.cli(&["queue", "retry", dead[0]["qid"].as_str().expect("an id")]);
    assert!(retried.status.success(), "{}", String::from_utf8_lossy(&retried.stderr));
    world.wait_messages(4);
    daemon.stop();
    world.assert_exactly(0..4);
}

#[test]
fn a_refused_sign_in_keeps_the_mail_and_makes_no_dead_letters() {
    let world = World::new();
    world.append(0..8);
    world.api.script([
        Rule::on(Call::Any, Step::status(401, "")).when(When::Nth(1)),
        Rule::on(Call::Any, Step::status(401, "")).when(When::Nth(2)),
    ]);
    let daemon = world.daemon();
    world.wait_messages(8);
    assert_eq!(daemon.events("message.done").iter().filter(|line| line["state"] == "dead").count(), 0);
    daemon.stop();
    world.assert_exactly(0..8);
}

#[test]
fn an_unknown_outcome_that_cannot_be_looked_up_is_held_and_released_by_hand() {
    let api = superoffice_api::Options { no_search: true, ..superoffice_api::Options::default() };
    let world = World::with(imap_server::Options::default(), api);
    world.append(0..3);
    world.api.script([Rule::on(Call::Post, Step::cut(0)).nth(2)]);
    let daemon = world.daemon();
    world.wait_messages(2);
    let held = daemon.wait_event("message.held", |_| true);
    assert_eq!(held["reason"], "unknown_outcome", "{held}");
    assert_eq!(world.queue(&["--state", "held"]).len(), 1);
    let released = world.cli(&["queue", "release", held["qid"].as_str().expect("an id")]);
    assert!(released.status.success(), "{}", String::from_utf8_lossy(&released.stderr));
    world.wait_messages(3);
    daemon.stop();
    world.assert_exactly(0..3);
}

#[test]
fn a_foreign_copy_is_not_posted_again() {
    let world = World::new();
    world.append(0..2);
    // The first answer is lost and nothing is stored; meanwhile somebody else has saved the same mail.
    world.api.script([Rule::on(Call::Post, Step::cut(0)).nth(1)]);
    world.api.save(serde_json::json!({
        "MessageId": "<story-0@example.com>", "Author": "ann@example.com", "CreatedAt": "2026-11-02T10:00:00Z",
        "DebugInfo": "imported by hand"
    }));
    world.api.save(serde_json::json!({
        "MessageId": "<story-1@example.com>", "Author": "ann@example.com", "CreatedAt": "2026-11-02T10:00:00Z"
    }));
    let daemon = world.daemon();
    daemon.wait_event("message.done", |line| line["state"] == "duplicate");
    world.wait_messages(3);
    daemon.stop();
    assert_eq!(world.api.count(), 3, "one foreign copy was the same mail, the other was never asked for");
}

#[test]
fn a_slow_api_gets_as_many_calls_at_once_as_allowed_and_no_more() {
    let world = World::new();
    world.append(0..12);
    world.api.script([Rule::on(Call::Post, Step::delay(Duration::from_millis(50)))]);
    let daemon = world.daemon_with(&world.config().replace("verify_after", "concurrency = 3\nverify_after"));
    world.wait_messages(12);
    daemon.stop();
    world.assert_exactly(0..12);
}
