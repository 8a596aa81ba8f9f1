//! Faults while finished mails are moved and deleted (F67 to F71): a mail is posted once, is moved once, and never lost.

use std::time::{Duration, Instant};

use mailbridge::sandbox::imap_server::{Edit, Handle, Options, Rule, Step};
use mailbridge::sandbox::script::When;
use mailbridge::sandbox::superoffice_api;

use super::fetch::config;
use crate::support::daemon::Daemon;
use crate::support::world::USER;
use crate::support::{PATIENCE, World};

/// Carried out, and nobody hears of it.
const UNHEARD: Edit = Vec::clear;

/// A world with three mails and a folder for finished ones, and a configuration that moves them there.
fn world(imap: Options) -> (World, String) {
    let world = World::with(imap, superoffice_api::Options::default());
    world.append(0..3);
    world.imap.create(USER, "Done");
    let config = format!("{}after_post = \"move\"\nmove_to = \"Done\"\n", config(&world));
    (world, config)
}

#[track_caller]
fn wait(world: &World, wanted: impl Fn(&Handle) -> bool) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().expect("a runtime");
    let came = runtime.block_on(world.imap.wait(PATIENCE, wanted));
    assert!(came, "{:#?}", world.imap.log().iter().map(|logged| logged.line.clone()).collect::<Vec<_>>());
}

fn subjects(imap: &Handle, folder: &str) -> Vec<String> {
    let subject = |raw: &[u8]| {
        let text = String::from_utf8_lossy(raw).into_owned();
        text.lines().find_map(|line| line.strip_prefix("Subject: ").map(str::to_owned)).unwrap_or_default()
    };
    let mut found: Vec<String> = imap.messages(USER, folder).iter().map(|mail| subject(&mail.raw)).collect();
    found.sort();
    found
}

/// The end: each mail posted once, and in the other folder once.
#[track_caller]
fn end(world: &World, daemon: Daemon) {
    wait(world, |imap| imap.messages(USER, "INBOX").is_empty());
    world.end(daemon, 0..3);
    assert_eq!(subjects(&world.imap, "Done"), ["Story 0", "Story 1", "Story 2"]);
}

/// Without MOVE; the first COPY is played as `step`, and then the daemon is killed.
#[track_caller]
fn check_killed_while_copying(step: Step, copied: bool) {
    let (world, config) = world(Options::default().without("MOVE"));
    world.imap.script([Rule::on("UID COPY", step)]);
    let daemon = world.daemon_with(&config);
    wait(&world, |imap| imap.seen("UID COPY") == 1 && imap.messages(USER, "Done").is_empty() != copied);
    daemon.kill();
    world.imap.script([]);
    end(&world, world.daemon_with(&config));
}

#[test]
fn killed_after_a_copy_and_before_its_record_it_copies_nothing_twice() {
    check_killed_while_copying(Step::Edit(UNHEARD), true);
}

#[test]
fn killed_before_a_copy_was_made_it_is_made() {
    check_killed_while_copying(Step::Stall, false);
}

#[test]
fn a_copy_whose_answer_is_lost_is_not_made_twice() {
    let (world, config) = world(Options::default().without("MOVE"));
    world.imap.script([Rule::on("UID COPY", Step::Cut(0)).nth(1)]);
    end(&world, world.daemon_with(&config));
}

#[test]
fn mails_that_are_equal_to_the_byte_are_each_copied_once() {
    let world = World::with(Options::default().without("MOVE"), superoffice_api::Options::default());
    let same = b"From: ann@example.com\r\nSubject: Test\r\n\r\nTest\r\n";
    world.imap.create(USER, "Done");
    for _ in 0..4 {
        world.imap.append(USER, "INBOX", same.to_vec());
    }
    world.imap.script([Rule::on("UID COPY", Step::Cut(0)).nth(1)]);
    let config = format!("{}after_post = \"move\"\nmove_to = \"Done\"\n", config(&world));
    let daemon = world.daemon_with(&config);
    wait(&world, |imap| imap.messages(USER, "INBOX").is_empty());
    daemon.stop();
    assert_eq!((world.api.count(), world.imap.messages(USER, "Done").len()), (4, 4));
}

#[test]
fn without_uidplus_nobodys_deleted_mail_is_expunged() {
    let (world, config) = world(Options::poor());
    let theirs = world.imap.append_as(USER, "INBOX", World::mail(3), world_time(), &["\\Deleted"]);
    let daemon = world.daemon_with(&config);
    wait(&world, |imap| subjects(imap, "Done").len() == 4);
    let deleted = |imap: &Handle| imap.messages(USER, "INBOX").iter().all(|mail| mail.flags.contains("\\Deleted"));
    wait(&world, deleted);
    world.end(daemon, 0..4);
    assert!(world.imap.flags(USER, "INBOX", theirs).is_some());
    assert_eq!((world.imap.messages(USER, "INBOX").len(), world.imap.seen("EXPUNGE")), (4, 0));
}

fn world_time() -> mailbridge::clock::UtcMillis {
    mailbridge::clock::UtcMillis(1_795_341_731_000)
}

/// The action is refused in these words, four times; it is told, only the action is tried again, each `reconnect_max`, and
/// then it is done.
#[track_caller]
fn check_refused(imap: Options, command: &str, refusal: Step) {
    let (world, config) = world(imap);
    let later = Rule::on(command, Step::Edit(|_| {})).when(When::From(5));
    world.imap.script([later, Rule::on(command, refusal), Rule::on("CREATE", Step::no("no"))]);
    let daemon = world.daemon_with(&config);
    let told = daemon.wait_event("mailbox.disposition", |line| line["level"] == "warn");
    let begun = Instant::now();
    assert_eq!((told["mailbox"].as_str(), told["error_class"].as_str()), (Some(USER), Some("refused")), "{told}");
    world.wait_messages(3);
    end(&world, daemon);
    // Two seconds: `reconnect_max` after each refusal. Meanwhile the server is left alone.
    assert!(begun.elapsed() > Duration::from_secs(1), "four refusals within {:?}", begun.elapsed());
    assert!(world.imap.seen("IDLE") < 20, "{} times IDLE meanwhile", world.imap.seen("IDLE"));
}

#[test]
fn a_refused_move_is_told_and_only_the_move_is_tried_again() {
    for refusal in ["[OVERQUOTA] no space", "[TRYCREATE] no such folder", "[SERVERBUG] sorry"] {
        check_refused(Options::default(), "UID MOVE", Step::no(refusal));
    }
    check_refused(Options::default(), "UID MOVE", Step::bad("No mail number specified"));
}

#[test]
fn a_refused_copy_is_told_and_only_the_copy_is_tried_again() {
    check_refused(Options::default().without("MOVE"), "UID COPY", Step::no("[OVERQUOTA] no space"));
    check_refused(Options::default().without("MOVE"), "UID COPY", Step::no("[TRYCREATE] no such folder"));
}

#[test]
fn a_move_whose_answer_is_lost_and_whose_mails_are_then_unknown_is_done() {
    let (world, config) = world(Options::default());
    let gone = Step::no("Some of the requested messages no longer exist");
    world.imap.script([Rule::on("UID MOVE", Step::Cut(0)).nth(1), Rule::on("UID STORE", gone).connection(2)]);
    let daemon = world.daemon_with(&config);
    daemon.wait_event("mailbox.disposition", |line| line["action"] == "gone");
    end(&world, daemon);
}

#[test]
fn what_somebody_else_has_removed_meanwhile_is_gone() {
    let (world, config) = world(Options::default());
    world.api.set_down(true);
    let daemon = world.daemon_with(&config);
    daemon.wait_event("queue.deferred", |_| true);
    assert!(world.imap.expunge(USER, "INBOX", 2));
    world.api.set_down(false);
    wait(&world, |imap| imap.messages(USER, "INBOX").is_empty());
    world.end(daemon, 0..3);
    assert_eq!(subjects(&world.imap, "Done"), ["Story 0", "Story 2"]);
}
