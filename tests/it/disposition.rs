//! After the post: what becomes of the mail in the mailbox, and never before its outcome is durable.

use std::time::Duration;

use mailbridge::sandbox::imap_server::{self, Rule, Step};
use mailbridge::sandbox::superoffice_api;

use crate::support::world::USER;
use crate::support::{PATIENCE, World};

/// Waits until the mailbox looks as `wanted`.
#[track_caller]
fn wait_mailbox(world: &World, wanted: impl Fn(&imap_server::Handle) -> bool) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().expect("a runtime");
    let came = runtime.block_on(world.imap.wait(PATIENCE, wanted));
    let inbox: Vec<_> = world.imap.messages(USER, "INBOX").iter().map(|m| (m.uid, m.flags.clone())).collect();
    assert!(
        came,
        "the mailbox stays {inbox:?}; {:#?}",
        world.imap.log().iter().map(|l| l.line.clone()).collect::<Vec<_>>()
    );
}

fn count_flagged(imap: &imap_server::Handle, flag: &str) -> usize {
    imap.messages(USER, "INBOX").iter().filter(|mail| mail.flags.contains(flag)).count()
}

#[test]
fn posted_mail_is_seen_and_has_the_keyword() {
    let world = World::new();
    world.append(0..5);
    let daemon = world.daemon();
    wait_mailbox(&world, |imap| count_flagged(imap, "\\Seen") == 5 && count_flagged(imap, "$MailBridge") == 5);
    daemon.stop();
    world.assert_exactly(0..5);
}

#[test]
fn nothing_is_flagged_while_the_api_is_away() {
    let world = World::new();
    world.append(0..3);
    world.api.set_down(true);
    let daemon = world.daemon();
    daemon.wait_event("queue.deferred", |_| true);
    assert_eq!(count_flagged(&world.imap, "\\Seen"), 0);
    world.api.set_down(false);
    wait_mailbox(&world, |imap| count_flagged(imap, "\\Seen") == 3);
    daemon.stop();
    world.assert_exactly(0..3);
}

#[track_caller]
fn check_move(imap: imap_server::Options) {
    let world = World::with(imap, superoffice_api::Options::default());
    world.append(0..4);
    let config = format!("{}after_post = \"move\"\nmove_to = \"Done\"\npoll_interval = \"200ms\"\n", world.config());
    let daemon = world.daemon_with(&config);
    wait_mailbox(&world, |imap| imap.messages(USER, "Done").len() == 4 && imap.messages(USER, "INBOX").is_empty());
    daemon.stop();
    world.assert_exactly(0..4);
}

#[test]
fn posted_mail_is_moved() {
    check_move(imap_server::Options::default());
}

#[test]
fn without_move_it_is_copied_and_expunged() {
    check_move(imap_server::Options::default().without("MOVE"));
}

#[test]
fn without_uidplus_nothing_is_expunged_but_it_is_copied_once() {
    let world = World::with(imap_server::Options::poor(), superoffice_api::Options::default());
    world.append(0..2);
    let config = format!("{}after_post = \"move\"\nmove_to = \"Done\"\npoll_interval = \"100ms\"\n", world.config());
    let daemon = world.daemon_with(&config);
    wait_mailbox(&world, |imap| imap.messages(USER, "Done").len() == 2 && count_flagged(imap, "\\Deleted") == 2);
    world.append(2..3);
    wait_mailbox(&world, |imap| imap.messages(USER, "Done").len() == 3);
    daemon.stop();
    world.assert_exactly(0..3);
}

#[test]
fn a_lost_answer_to_move_is_no_loss() {
    let world = World::new();
    world.append(0..3);
    world.imap.script([Rule::on("UID MOVE", Step::Cut(0)).nth(1)]);
    let config = format!("{}after_post = \"move\"\nmove_to = \"Done\"\n", world.config());
    let daemon = world.daemon_with(&config);
    wait_mailbox(&world, |imap| imap.messages(USER, "Done").len() == 3 && imap.messages(USER, "INBOX").is_empty());
    daemon.stop();
    world.assert_exactly(0..3);
}

#[test]
fn a_read_only_folder_is_posted_once_and_left_alone() {
    let world = World::new();
    world.append(0..2);
    world.imap.set_read_only(USER, "INBOX", true);
    let daemon = world.daemon();
    world.wait_messages(2);
    daemon.wait_event("mailbox.disposition", |line| line["level"] == "warn");
    world.append(2..3);
    world.wait_messages(3);
    daemon.stop();
    world.assert_exactly(0..3);
}

#[test]
fn an_action_that_was_interrupted_is_done_at_the_next_start() {
    let world = World::new();
    world.append(0..2);
    world.imap.script([Rule::on("UID STORE", Step::Delay(Duration::from_secs(600)))]);
    let daemon = world.daemon();
    world.wait_messages(2);
    daemon.wait_event("message.done", |_| true);
    daemon.kill();
    world.imap.script([]);
    let daemon = world.daemon();
    wait_mailbox(&world, |imap| count_flagged(imap, "\\Seen") == 2);
    daemon.stop();
    world.assert_exactly(0..2);
}
