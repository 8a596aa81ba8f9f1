//! People at work: listing, holding, dropping, reloading, and what they are told.

use std::fs;

use mailbridge::sandbox::imap_server;
use mailbridge::sandbox::superoffice_api::{self, Call, Rule, Step};
use rustix::process::Signal;
use serde_json::Value;

use crate::support::World;
use crate::support::canary::{PASSWORD, TOKEN};

#[track_caller]
fn ok(output: &std::process::Output) -> String {
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout.clone()).expect("text")
}

#[test]
fn waiting_mail_can_be_listed_held_released_and_dropped() {
    let world = World::new();
    world.append(0..3);
    world.api.set_down(true);
    // A long delay, so that the mails stand still while they are looked at.
    let config = world
        .config()
        .replace("50ms\"\nretry_max = \"500ms", "1h\"\nretry_max = \"1h")
        .replace("breaker_probe = \"100ms\"", "breaker_probe = \"200ms\"\nbreaker_failures = 100");
    let daemon = world.daemon_with(&config);
    for _ in 0..3 {
        daemon.wait_event("queue.deferred", |_| true);
    }
    let rows = world.wait_queue(&["--state", "deferred"], |rows| rows.len() == 3);
    let ids: Vec<&str> = rows.iter().map(|row| row["qid"].as_str().expect("an id")).collect();
    let table = ok(&world.cli(&["queue", "list"]));
    assert!(table.contains("deferred") && table.contains("a***@example.com"), "{table}");
    assert!(!table.contains("ann@example.com"), "{table}");
    assert!(ok(&world.cli(&["queue", "show", ids[0]])).contains(ids[0]));
    ok(&world.cli(&["queue", "hold", ids[0]]));
    ok(&world.cli(&["queue", "drop", "--yes", ids[1]]));
    assert_eq!(world.queue(&["--state", "held"]).len(), 1);
    world.api.set_down(false);
    ok(&world.cli(&["queue", "retry", ids[2]]));
    world.wait_messages(1);
    ok(&world.cli(&["queue", "release", ids[0]]));
    world.wait_messages(2);
    daemon.wait_event("message.done", |line| line["state"] == "dropped_admin");
    daemon.stop();
    assert_eq!(world.api.count(), 2);
}

#[test]
fn queue_list_works_on_a_stopped_daemon_and_leaves_no_trace() {
    let world = World::new();
    world.append(0..2);
    world.api.set_down(true);
    let daemon = world.daemon();
    daemon.wait_event("message.stored", |_| true);
    daemon.kill();
    assert_eq!(world.queue(&[]).len(), 2);
    let refused = world.cli(&["queue", "hold", "--all"]);
    assert_eq!(refused.status.code(), Some(69));
}

#[test]
fn a_reload_takes_a_new_mailbox_in_and_leaves_the_old_one_alone() {
    let world = World::new();
    let daemon = world.daemon();
    daemon.wait_event("mailbox.state", |line| line["to"] == "idle");
    world.imap.add_user("orders", PASSWORD);
    world.imap.append("orders", "INBOX", World::mail(0));
    world.write_config(&format!("{}[mailbox.orders]\nuser = \"orders\"\n", world.config()));
    ok(&world.cli(&["reload"]));
    world.wait_messages(1);
    assert_eq!(daemon.events("mailbox.connected").iter().filter(|line| line["mailbox"] == "support").count(), 1);
    // The same by signal.
    world.imap.add_user("sales", PASSWORD);
    world.imap.append("sales", "INBOX", World::mail(1));
    world.write_config(&format!(
        "{}[mailbox.orders]\nuser = \"orders\"\n[mailbox.sales]\nuser = \"sales\"\n",
        world.config()
    ));
    daemon.signal(Signal::HUP);
    world.wait_messages(2);
    daemon.stop();
    world.assert_exactly(0..2);
}

#[test]
fn a_reload_after_mending_the_sign_in_posts_at_once() {
    let api = superoffice_api::Options {
        authorization: Some(format!("Bearer {TOKEN}")),
        ..superoffice_api::Options::default()
    };
    let world = World::with(imap_server::Options::default(), api);
    world.append(0..8);
    let patient = world.config().replace("breaker_probe = \"100ms\"", "breaker_probe = \"1h\"");
    assert_ne!(patient, world.config());
    let daemon = world.daemon_with(&patient.replace(TOKEN, "wrong"));
    daemon.wait_event("api.breaker", |line| line["to"] == "open");
    world.write_config(&patient);
    ok(&world.cli(&["reload"]));
    world.wait_messages(8);
    daemon.stop();
    world.assert_exactly(0..8);
}

#[test]
fn a_broken_reload_is_refused_in_words_and_changes_nothing() {
    let world = World::new();
    let daemon = world.daemon();
    world.write_config(&format!("{}pol_interval = \"3s\"\n", world.config()));
    let refused = world.cli(&["reload"]);
    assert_eq!(refused.status.code(), Some(78));
    let said = String::from_utf8_lossy(&refused.stderr).into_owned() + &String::from_utf8_lossy(&refused.stdout);
    assert!(said.contains("pol_interval") && said.contains("poll_interval"), "{said}");
    daemon.wait_event("config.reload_refused", |_| true);
    world.append(0..1);
    world.wait_messages(1);
    daemon.stop();
    world.assert_exactly(0..1);
}

#[test]
fn sigterm_lets_a_call_in_flight_end() {
    let world = World::new();
    world.append(0..1);
    world.api.script([Rule::on(Call::Post, Step::delay(std::time::Duration::from_secs(1)))]);
    let daemon = world.daemon();
    daemon.wait_event("message.parsed", |_| true);
    daemon.stop();
    world.assert_exactly(0..1);
    assert!(world.queue(&[]).is_empty());
}

#[test]
fn a_grace_that_is_over_leaves_an_unknown_outcome_that_is_looked_up_later() {
    let world = World::new();
    world.append(0..1);
    world.api.script([Rule::on(Call::Post, Step::delay(std::time::Duration::from_secs(600)).stored()).nth(1)]);
    let config = world.config().replace("[log]", "shutdown_grace = \"200ms\"\n[log]");
    let daemon = world.daemon_with(&config);
    daemon.wait_event("message.parsed", |_| true);
    daemon.stop();
    let daemon = world.daemon_with(&config);
    daemon.wait_event("message.done", |line| line["state"] == "posted");
    daemon.stop();
    world.assert_exactly(0..1);
}

#[test]
fn a_store_has_one_owner() {
    let world = World::new();
    let first = world.daemon();
    // With a runtime folder of its own, so that nothing but the store is in its way.
    let apart = world.config().replace("\"\n[log]", "/apart\"\n[log]");
    assert_ne!(apart, world.config());
    let mut second = world.daemon_unready(&apart);
    assert_eq!(second.wait().code(), Some(73));
    let said = format!("{:?}", second.lines());
    assert!(said.contains(&format!("in use by another mailbridge (process {})", first.pid())), "{said}");
    first.stop();
}

#[test]
fn message_done_is_written_once_a_mail() {
    let world = World::new();
    world.append(0..10);
    let daemon = world.daemon();
    world.wait_messages(10);
    daemon.wait_event("message.done", |_| true);
    daemon.signal(Signal::TERM);
    let mut daemon = daemon;
    daemon.wait();
    let mut done: Vec<String> = daemon.events("message.done").iter().map(|line| line["qid"].to_string()).collect();
    done.sort();
    done.dedup();
    assert_eq!((done.len(), daemon.events("message.done").len()), (10, 10));
}

#[test]
fn no_address_or_subject_reaches_the_log() {
    let world = World::new();
    world.append(0..3);
    let daemon = world.daemon_with(&world.config().replace("level = \"debug\"", "level = \"trace\""));
    world.wait_messages(3);
    daemon.signal(Signal::TERM);
    let mut daemon = daemon;
    daemon.wait();
    let log = daemon.lines().iter().map(Value::to_string).collect::<Vec<_>>().join("\n");
    for word in ["ann@example.com", "story-1@example.com", "Story 1", "Hello 1"] {
        assert!(!log.contains(word), "{word} stands in the log");
    }
    let state = fs::read_dir(world.path("state/store")).expect("the store").count();
    assert!(state > 0);
}
