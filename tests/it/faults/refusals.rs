//! An API that says no, or not now: to one mail, to all, for a while, for ever. No mail is lost over it, none is posted
//! twice, nothing hammers, and work goes on without help.

use std::time::{Duration, Instant};

use mailbridge::sandbox::script::When;
use mailbridge::sandbox::superoffice_api::{Call, Rule, Step};
use serde_json::Value;

use super::answers::{bare, calls, count, tenant, wait_api};
use crate::support::World;

/// All calls of an outage have this answer, until eight have been made; then the API is as before.
#[track_caller]
fn check_outage(step: Step, class: &str) {
    let world = World::new();
    world.append(0..10);
    world.api.script([Rule::on(Call::Any, step)]);
    let daemon = world.daemon();
    daemon.wait_event("queue.deferred", |line| line["error_class"] == class && line["qid"].is_string());
    wait_api(&world, |api| api.requests().len() >= 8);
    world.api.script([]);
    world.append(10..12);
    daemon.wait_event("api.breaker", |line| line["to"] == "closed");
    world.wait_messages(12);
    assert_eq!((count(&daemon, "message.done", "state", "dead"), daemon.events("message.held").len()), (0, 0));
    world.end(daemon, 0..12);
}

/// A13, A14
#[test]
fn a_while_of_503_is_waited_for() {
    check_outage(Step::status(503, "<html>Maintenance</html>").header("Content-Type", "text/html"), "api_5xx");
    check_outage(Step::status(503, "").header("Retry-After", "1"), "api_5xx");
}

/// A24, A26
#[test]
fn a_while_of_429_is_waited_for() {
    check_outage(Step::status(429, ""), "throttled");
}

/// A24: the tenant as a whole is left alone, for as long as it asks; that is no outage, and one line.
#[test]
fn a_429_is_a_pause_of_the_tenant_and_no_outage() {
    let world = World::new();
    world.append(0..12);
    let late = |n| Rule::on(Call::Post, Step::status(429, "").header("Retry-After", "1")).when(When::Nth(n));
    world.api.script([late(3), late(7)]);
    let daemon = world.daemon_with(&tenant(&world, "concurrency = 1\nbreaker_failures = 1"));
    world.wait_messages(12);
    let words: Vec<Value> = daemon.events("api.breaker").iter().map(|line| line["to"].clone()).collect();
    assert_eq!(words, ["paused", "closed"], "the second pause is no news");
    let requests: Vec<Instant> =
        world.api.requests().iter().filter(|request| request.method == "POST").map(|request| request.at).collect();
    for n in [3, 7] {
        assert!(requests[n] - requests[n - 1] > Duration::from_millis(990), "nobody asks before the time");
    }
    assert_eq!(requests.len(), 14, "one refusal each");
    world.end(daemon, 0..12);
}

/// A25
#[test]
fn a_date_to_wait_for_is_read_against_the_servers_own_clock() {
    let world = World::new();
    world.append(0..2);
    let step = Step::status(429, "")
        .header("Date", "Sun, 22 Nov 2020 10:02:31 GMT")
        .header("Retry-After", "Sun, 22 Nov 2020 10:02:33 GMT");
    world.api.script([Rule::on(Call::Post, step).nth(1)]);
    let daemon = world.daemon();
    let put_off = daemon.wait_event("queue.deferred", |line| line["error_class"] == "throttled");
    assert!(put_off["next_in_ms"].as_u64().is_some_and(|ms| (1900..=2000).contains(&ms)), "{put_off}");
    world.end(daemon, 0..2);
}

/// A26: ten years are an hour, and an operator who knows better is obeyed at once.
#[test]
fn nobody_waits_for_ten_years() {
    let world = World::new();
    world.append(0..1);
    world.api.script([Rule::on(Call::Post, Step::status(429, "").header("Retry-After", "315360000")).nth(1)]);
    let daemon = world.daemon();
    let put_off = daemon.wait_event("queue.deferred", |_| true);
    assert!(put_off["next_in_ms"].as_u64().is_some_and(|ms| (3_500_000..=3_600_000).contains(&ms)), "{put_off}");
    assert!(world.cli(&["queue", "retry", "--all"]).status.success());
    assert!(world.cli(&["reload"]).status.success());
    world.end(daemon, 0..1);
}

/// A15
#[test]
fn a_token_that_was_renewed_is_read_again_and_no_mail_notices() {
    use std::os::unix::fs::PermissionsExt as _;
    let world = World::new();
    let file = world.path("token");
    let write = |text: &str| {
        std::fs::write(&file, text).expect("written");
        std::fs::set_permissions(&file, std::fs::Permissions::from_mode(0o600)).expect("private");
    };
    write("old");
    let secret = format!("token = {{ file = \"{}\" }}", file.display());
    let daemon = world.daemon_with(&world.config_with_sign_in(&secret));
    world.append(0..1);
    wait_api(&world, |api| calls(api) == (1, 1));
    write("new");
    world.api.script([Rule::on(Call::Post, Step::status(401, "")).nth(1)]);
    world.append(1..3);
    world.wait_messages(3);
    assert_eq!((daemon.events("queue.deferred").len(), daemon.events("api.breaker").len()), (0, 0));
    let requests = world.api.requests();
    let signed: Vec<&str> = requests.iter().filter_map(|request| request.header("Authorization")).collect();
    assert!(signed.starts_with(&["Bearer old"; 3]) && signed.contains(&"Bearer new"), "{signed:?}");
    world.end(daemon, 0..3);
}

/// A16: one alarm; mail is fetched all the while; the sign-in is tried more and more seldom, so that no account is locked.
#[test]
fn a_refused_sign_in_is_not_hammered() {
    let world = World::new();
    world.append(0..6);
    world.api.script([Rule::on(Call::Any, Step::status(401, ""))]);
    let daemon = world.daemon_with(&tenant(&world, "concurrency = 1"));
    let opened = daemon.wait_event("api.breaker", |line| line["to"] == "open");
    assert_eq!((opened["level"].as_str(), opened["failures"].as_u64()), (Some("error"), Some(1)), "{opened}");
    wait_api(&world, |api| api.requests().len() >= 5);
    let at: Vec<Instant> = world.api.requests().iter().map(|request| request.at).collect();
    // 100 ms, 200 ms, 400 ms, 800 ms.
    assert!(at[4] - at[0] > Duration::from_millis(1400), "{at:?}");
    world.append(6..8);
    for _ in 0..8 {
        daemon.wait_event("message.stored", |line| line["uid"] == 8);
    }
    world.api.script([]);
    world.wait_messages(8);
    assert_eq!(count(&daemon, "api.breaker", "to", "open"), 1);
    world.end(daemon, 0..8);
}

/// A18
#[test]
fn a_403_for_one_mail_keeps_no_other_and_is_tried_again() {
    let world = World::new();
    world.append(0..4);
    world.api.script([Rule::on(Call::Post, Step::status(403, "")).nth(1)]);
    let daemon = world.daemon();
    daemon.wait_event("queue.deferred", |line| line["error_class"] == "auth");
    assert_eq!((daemon.events("api.breaker").len(), count(&daemon, "message.done", "state", "dead")), (0, 0));
    world.end(daemon, 0..4);
}

/// A19: a tenant that answers 404 to everything has moved. What it may have taken before is looked up when it is back.
#[test]
fn a_tenant_that_is_gone_is_waited_for_also_by_what_must_be_looked_up() {
    let world = World::new();
    world.append(0..1);
    let daemon = world.daemon();
    wait_api(&world, |api| calls(api) == (1, 1));
    world.api.script([Rule::on(Call::Post, Step::cut(0).stored()).nth(1), Rule::on(Call::Any, Step::status(404, ""))]);
    world.append(1..8);
    daemon.wait_event("api.attempt", |line| line["step"] == "search" && line["status"] == 404);
    let opened = daemon.wait_event("api.breaker", |line| line["to"] == "open");
    assert_eq!(opened["level"], "error", "{opened}");
    // A daemon that knows nothing of the tenant waits as well.
    daemon.kill();
    let daemon = world.daemon();
    daemon.wait_event("api.attempt", |line| line["step"] == "search" && line["status"] == 404);
    assert_eq!(world.queue(&["--state", "held"]), Vec::<Value>::new());
    world.api.script([]);
    daemon.wait_event("queue.unknown_outcome", |line| line["then"] == "search_found");
    assert_eq!((daemon.events("message.held").len(), count(&daemon, "message.done", "state", "dead")), (0, 0));
    world.end(daemon, 0..8);
}

/// A20, A21, A22: a dead letter after one try, with the reason; the others go on.
#[test]
fn a_mail_that_is_refused_for_good_is_a_dead_letter_alone() {
    for (status, class) in [(409, "api_4xx"), (413, "too_big"), (400, "api_4xx"), (422, "api_4xx")] {
        let world = World::new();
        world.append(0..4);
        world.api.script([Rule::on(Call::Post, Step::status(status, "no")).nth(2)]);
        let daemon = world.daemon();
        let dead = daemon.wait_event("message.done", |line| line["state"] == "dead");
        assert_eq!((dead["error_class"].as_str(), dead["attempts"].as_u64()), (Some(class), Some(1)), "{dead}");
        assert!(dead["reason"].as_str().is_some_and(|text| text.contains(&status.to_string())), "{dead}");
        world.wait_messages(3);
        let rows = world.queue(&["--state", "dead"]);
        assert!(rows.len() == 1 && rows[0]["has_raw"] == true, "{rows:#?}");
        assert!(world.cli(&["queue", "retry", "--state", "dead"]).status.success());
        world.end(daemon, 0..4);
    }
}

/// A23: an API that has changed is no reason for a thousand dead letters.
#[test]
fn a_400_for_all_opens_the_breaker() {
    let world = World::new();
    world.append(0..30);
    world.api.script([Rule::on(Call::Post, Step::status(400, r#"{"Error":true,"ErrorType":"SoSchemaException"}"#))]);
    let daemon = world.daemon();
    let opened = daemon.wait_event("api.breaker", |line| line["to"] == "open");
    assert_eq!(opened["level"], "error", "{opened}");
    wait_api(&world, |api| calls(api).0 >= 10);
    world.api.script([]);
    world.wait_messages(26);
    let dead = count(&daemon, "message.done", "state", "dead");
    assert!(dead < 5, "{dead} of 30 before the breaker knew");
    assert!(world.cli(&["queue", "retry", "--state", "dead"]).status.success());
    world.end(daemon, 0..30);
}

/// A27, A28, T39: a redirect is never followed, so the POST becomes no GET and the token goes to no other host.
#[test]
fn no_redirect_is_followed() {
    let other = World::new();
    let elsewhere = other.config().lines().find_map(|line| line.strip_prefix("base_url = ")).expect("a URL").to_owned();
    for status in [301, 302, 303, 307, 308] {
        let world = World::new();
        world.append(0..2);
        let to = format!("{}/api/v1/TicketMessage", elsewhere.trim_matches('"'));
        world.api.script([Rule::on(Call::Any, Step::status(status, "").header("Location", &to))]);
        let daemon = world.daemon();
        let put_off = daemon.wait_event("queue.deferred", |line| line["error_class"] == "api_3xx");
        assert!(put_off["error"].as_str().is_some_and(|text| text.contains("correct base_url")), "{put_off}");
        world.api.script([]);
        world.end(daemon, 0..2);
    }
    assert_eq!(other.api.requests().len(), 0);
}

/// T12: an API that quotes what it was sent, at the most talkative level of the log.
#[test]
fn no_secret_of_a_tenant_is_written_anywhere() {
    use base64::Engine as _;
    let secrets = ["canary-token", "canary-app", "canary-xsrf", "canary-password"];
    let basic = base64::engine::general_purpose::STANDARD.encode("jo:canary-password");
    let token = "token = \"canary-token\"\n";
    let user = "username = \"jo\"\npassword = \"canary-password\"\n";
    for sign_in in [token, user] {
        let world = World::new();
        world.append(0..3);
        let said = format!("refused: [{}] Basic {basic}, Bearer canary-token!", secrets.join(","));
        let refusal = serde_json::json!({ "Error": true, "ErrorType": said, "ErrorMessage": said, "Message": said });
        let no = |status, body: String| Step::status(status, body);
        world.api.script([
            Rule::on(Call::Post, no(400, refusal.to_string())).nth(1),
            Rule::on(Call::Post, no(500, said.clone())).nth(2),
            Rule::on(Call::Any, no(401, said)).nth(3),
        ]);
        let more = format!("{sign_in}app_token = \"canary-app\"\nxsrf_token = \"canary-xsrf\"\n");
        let config = world.config_with_sign_in(&more);
        let daemon = world.daemon_with(&config.replace("level = \"debug\"", "level = \"trace\""));
        world.wait_messages(2);
        let listed = format!("{:?}{:?}", world.queue(&["--all"]), world.cli(&["status", "--json"]));
        let sent: Vec<&str> = secrets.into_iter().filter(|secret| more.contains(secret)).collect();
        for text in [format!("{:?}", daemon.lines()), listed] {
            assert!(text.contains("(secret)"), "what the API said is still told");
            assert!(sent.iter().all(|secret| !text.contains(secret)), "{text}");
            assert!(sign_in == token || !text.contains(&basic), "{text}");
        }
        assert!(world.cli(&["queue", "retry", "--state", "dead"]).status.success());
        world.end(daemon, 0..3);
    }
}

/// A6, A16: where nothing can be looked up, a server that hangs costs the mails that it got before that was noticed, and
/// no more, however long it hangs.
#[test]
fn an_api_without_search_that_hangs_for_long_costs_no_more_mails() {
    for step in [Step::stall(), Step::html()] {
        let world = bare();
        world.append(0..1);
        let options = "request_timeout = \"300ms\"\nconcurrency = 1\nbreaker_failures = 3";
        let daemon = world.daemon_with(&tenant(&world, options));
        wait_api(&world, |api| calls(api) == (1, 1));
        world.api.script([Rule::on(Call::Any, step)]);
        world.append(1..12);
        daemon.wait_event("api.breaker", |line| line["to"] == "open");
        wait_api(&world, |api| calls(api).1 >= 5);
        let held = world.queue(&["--state", "held"]);
        assert_eq!((held.len(), calls(&world.api).0), (3, 4), "{held:#?}");
        world.api.script([]);
        world.wait_messages(9);
        assert!(world.cli(&["queue", "release", "--all"]).status.success());
        world.end(daemon, 0..12);
    }
}
