//! Answers that are late, lost, broken, or say something else than yes. What every story here counts is what the API has
//! stored: each mail once.

use std::ops::Range;
use std::time::Duration;

use mailbridge::sandbox::imap_server;
use mailbridge::sandbox::superoffice_api::{self, Call, Handle, Rule, Step};
use serde_json::Value;

use crate::support::canary::{TOKEN, quoted};
use crate::support::daemon::Daemon;
use crate::support::world::USER;
use crate::support::{PATIENCE, World};

/// How many posts have come, and how many look-ups.
pub(super) fn calls(api: &Handle) -> (usize, usize) {
    let requests = api.requests();
    let posts = requests.iter().filter(|request| request.method == "POST").count();
    (posts, requests.len() - posts)
}

/// Waits until the API is as `wanted`.
#[track_caller]
pub(super) fn wait_api(world: &World, wanted: impl FnMut(&Handle) -> bool) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().expect("a runtime");
    assert!(runtime.block_on(world.api.wait(PATIENCE, wanted)), "calls: {:?}", calls(&world.api));
}

/// The lines of one event with this value of a field.
pub(super) fn count(daemon: &Daemon, event: &str, field: &str, value: &str) -> usize {
    daemon.events(event).iter().filter(|line| line[field] == value).count()
}

/// A world whose API cannot be searched.
pub(super) fn bare() -> World {
    let api = superoffice_api::Options { no_search: true, ..superoffice_api::Options::default() };
    World::with(imap_server::Options::default(), api)
}

/// [`World::config`] with further options of the tenant.
pub(super) fn tenant(world: &World, options: &str) -> String {
    world.config_with_sign_in(&format!("token = {}\n{options}", quoted(TOKEN)))
}

/// An answer that proves nothing: one mail gets it although its post was carried out, one because it was not. Both are
/// looked up, one is found, the other is posted again; a third mail has an ordinary day.
#[track_caller]
fn check_unproven(step: Step) -> Vec<Value> {
    check_unproven_with(step, "request_timeout = \"1s\"")
}

#[track_caller]
fn check_unproven_with(step: Step, options: &str) -> Vec<Value> {
    let world = World::new();
    world.append(0..3);
    world.api.script([Rule::on(Call::Post, step.clone().stored()).nth(1), Rule::on(Call::Post, step).nth(2)]);
    let daemon = world.daemon_with(&tenant(&world, options));
    let put_off = daemon.wait_nth_event("queue.deferred", 1);
    assert!(put_off["qid"].is_string() && put_off["mailbox"] == "support" && put_off["uid"].is_u64(), "{put_off}");
    for then in ["search_found", "search_absent"] {
        daemon.wait_event("queue.unknown_outcome", |line| line["then"] == then);
    }
    world.wait_messages(3);
    let failed: Vec<Value> = daemon.events("api.attempt").into_iter().filter(|line| line["level"] == "WARN").collect();
    world.end(daemon, 0..3);
    failed
}

/// As [`check_unproven`], and the log calls it by its name.
#[track_caller]
pub(super) fn check_lost(step: Step) {
    let failed = check_unproven(step);
    assert!(failed.iter().all(|line| line["error_class"] == "unknown_outcome"), "{failed:#?}");
}

/// An answer that says yes: posted, once, without a look-up of the mail (only of whether there is a search).
#[track_caller]
pub(super) fn check_yes(step: Step, mails: Range<usize>) -> Vec<Value> {
    let world = World::new();
    world.append(mails.clone());
    world.api.script([Rule::on(Call::Post, step.stored())]);
    let daemon = world.daemon();
    world.wait_messages(mails.len());
    let rows = world.wait_queue(&["--all"], |rows| rows.iter().all(|row| row["state"] == "posted"));
    assert_eq!((daemon.events("queue.unknown_outcome").len(), calls(&world.api).0), (0, mails.len()));
    let unnamed = daemon.events("api.attempt").into_iter().filter(|line| line["level"] == "WARN").count();
    assert!(unnamed <= 1, "said once");
    world.end(daemon, mails);
    rows
}

/// A mail whose text is as large as a text may be, and some 6 MB.
fn large_mail(number: usize) -> Vec<u8> {
    let line = ["漢".repeat(26).as_bytes(), b"\r\n"].concat();
    let header = "MIME-Version: 1.0\r\nContent-Type: text/plain; charset=utf-8\r\nContent-Transfer-Encoding: 8bit\r\n";
    [header.as_bytes(), &World::mail(number), &line.repeat(80_000)].concat()
}

/// A1: the API answers with what was posted, which may be more than `max_response`.
#[test]
fn the_echo_of_a_large_mail_is_a_yes() {
    let world = bare();
    world.imap.append(USER, "INBOX", large_mail(0));
    let daemon = world.daemon();
    daemon.wait_event("message.done", |line| line["state"] == "posted" && line["ticket_message"] == 1001);
    assert_eq!(daemon.events("queue.unknown_outcome"), Vec::<Value>::new());
    assert!(world.api.requests()[0].body_bytes > 4 << 20, "more than max_response");
    world.end(daemon, 0..1);
}

/// A1
#[test]
fn a_posted_mail_knows_its_ticket_message() {
    let rows = check_yes(Step::delay(Duration::ZERO), 0..2);
    let mut keys: Vec<u64> = rows.iter().map(|row| row["ticket_message"].as_u64().expect("a key")).collect();
    keys.sort_unstable();
    assert_eq!(keys, [1001, 1002]);
    assert!(rows.iter().all(|row| row["ticket"].is_u64()), "{rows:#?}");
}

/// A2, A4: where the API has nothing but this call, an empty answer is all there is.
#[test]
fn an_answer_that_names_no_key_is_a_yes_and_said_once() {
    for body in ["", "{}", r#"{"EjMessageId":0}"#, r#"{"EjMessageId":null,"Ticket":null}"#] {
        let rows = check_yes(Step::status(200, body), 0..3);
        assert!(rows.iter().all(|row| row["ticket_message"].is_null()), "{rows:#?}");
    }
}

/// A5
#[test]
fn every_status_of_success_is_a_yes() {
    for status in [201, 202, 204] {
        check_yes(Step::status(status, ""), 0..2);
    }
}

/// A3
#[test]
fn a_web_page_with_status_200_proves_nothing() {
    check_lost(Step::html());
}

/// A4
#[test]
fn null_or_half_an_object_proves_nothing() {
    for body in ["null", "[]", "{\"EjMessageId\":", "\"yes\""] {
        check_lost(Step::status(200, body));
    }
}

/// A6
#[test]
fn an_answer_that_never_comes_is_looked_up() {
    check_lost(Step::stall());
}

/// A6: an API that needs longer than `request_timeout` is still at work when the wait ends; the look-up comes later.
#[test]
fn a_server_that_stores_long_after_the_timeout_gets_no_second_post() {
    let world = World::new();
    world.append(0..2);
    world.api.script([Rule::on(Call::Post, Step::delay(Duration::from_millis(1400))).nth(1)]);
    let daemon = world.daemon_with(&tenant(&world, "request_timeout = \"1s\""));
    daemon.wait_event("api.attempt", |line| line["error_class"] == "unknown_outcome");
    let put_off = daemon.wait_event("queue.deferred", |_| true);
    assert!(put_off["next_in_ms"].as_u64().is_some_and(|ms| ms > 900), "as long again, not verify_after: {put_off}");
    daemon.wait_event("queue.unknown_outcome", |line| line["then"] == "search_found");
    world.end(daemon, 0..2);
    assert_eq!(calls(&world.api).0, 2);
}

/// A7
#[test]
fn a_connection_cut_before_the_answer_is_looked_up() {
    check_lost(Step::cut(0));
}

/// A8
#[test]
fn a_connection_cut_within_the_answer_is_looked_up() {
    let world = World::new();
    world.append(0..4);
    let rules = [1, 17, 60].into_iter().zip(1..).map(|(bytes, n)| Rule::on(Call::Post, Step::cut(bytes)).nth(n));
    world.api.script(rules);
    let daemon = world.daemon();
    for n in 0..3 {
        assert_eq!(daemon.wait_nth_event("queue.unknown_outcome", n)["then"], "search_found");
    }
    world.end(daemon, 0..4);
    assert_eq!(calls(&world.api).0, 4, "none was posted again");
}

/// A9: a body that was not handed over to its end is no request; it is sent again without a look-up.
#[test]
fn a_connection_cut_before_the_whole_request_was_sent_is_a_plain_retry() {
    let world = bare();
    world.imap.append(USER, "INBOX", large_mail(0));
    world.api.script([1, 2].map(|n| Rule::on(Call::Post, Step::deaf(1000)).nth(n)));
    let daemon = world.daemon();
    let failed = daemon.wait_nth_event("api.attempt", 1);
    assert_eq!(failed["error_class"], "network", "{failed}");
    assert!(failed["error"].as_str().is_some_and(|text| text.contains("sending was not finished")), "{failed}");
    world.wait_messages(1);
    assert_eq!(daemon.events("queue.unknown_outcome"), Vec::<Value>::new());
    assert!(world.api.requests()[0].body_bytes > 5_000_000, "too large for what lies between us and the server");
    world.end(daemon, 0..1);
}

/// A10
#[test]
fn connections_that_end_after_each_answer_cost_no_mail_and_double_none() {
    let world = World::new();
    world.append(0..30);
    world.api.script([Rule::on(Call::Post, Step::delay(Duration::ZERO).closing())]);
    let daemon = world.daemon_with(&tenant(&world, "concurrency = 1"));
    world.end(daemon, 0..30);
}

/// A11, A12, A13: a complete failure of the server, or of a gateway before it, may have been carried out all the same.
#[test]
fn a_500_a_502_or_a_504_may_have_been_carried_out() {
    for status in [500, 502, 504] {
        let page = Step::status(status, "<html>Oops</html>").header("Content-Type", "text/html");
        let failed = check_unproven(page);
        assert!(failed.iter().all(|line| line["status"] == status && line["error_class"] == "api_5xx"), "{failed:#?}");
    }
}

/// A11, A13: without a search a complete answer of failure is tried again; only a gateway that gave up waiting is not.
#[test]
fn where_nothing_can_be_looked_up_a_500_is_tried_again_and_a_504_is_held() {
    let world = bare();
    world.append(0..4);
    let rules = [500, 502, 504].into_iter().zip(2..);
    world.api.script(rules.map(|(status, n)| Rule::on(Call::Post, Step::status(status, "")).nth(n)));
    let daemon = world.daemon_with(&tenant(&world, "concurrency = 1"));
    let held = daemon.wait_event("message.held", |_| true);
    assert_eq!(held["reason"], "unknown_outcome", "{held}");
    world.wait_messages(3);
    assert_eq!(daemon.events("message.held").len(), 1);
    assert!(world.cli(&["queue", "release", "--all"]).status.success());
    world.end(daemon, 0..4);
}
