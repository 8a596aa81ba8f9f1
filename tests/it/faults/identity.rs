//! Faults of identity (F15, F61 to F66, F72): UIDs that mean nothing, ids that mean too much, flags of other people.

use mailbridge::sandbox::imap_server::{Edit, Rule, Step};
use serde_json::Value;

use super::fetch::config;
use crate::support::World;
use crate::support::canary::PASSWORD;
use crate::support::world::USER;

/// A server that names no UIDVALIDITY, or this one, gives other mails the UIDs of those that were taken.
#[track_caller]
fn check_worthless_uids(step: Step) {
    let world = World::new();
    world.append(0..4);
    world.imap.script([Rule::on("SELECT", step)]);
    let daemon = world.daemon_with(&config(&world));
    let told = daemon.wait_event("mailbox.protocol_violation", |line| line["rule"] == "no_uidvalidity");
    assert_eq!((told["mailbox"].as_str(), told["folder"].as_str()), (Some(USER), Some("INBOX")), "{told}");
    world.wait_messages(4);
    world.imap.set_down(true);
    daemon.wait_event("mailbox.connect_failed", |_| true);
    world.imap.expunge(USER, "INBOX", 1);
    world.imap.set_uidvalidity(USER, "INBOX", 7, 1);
    world.append(4..6);
    world.imap.set_down(false);
    world.wait_messages(6);
    world.append(6..7);
    world.end(daemon, 0..7);
}

#[test]
fn without_a_uidvalidity_mails_are_known_by_their_bytes() {
    check_worthless_uids(Step::Without("UIDVALIDITY".to_owned()));
}

#[test]
fn with_a_uidvalidity_of_0_mails_are_known_by_their_bytes() {
    let zero: Edit = |all| {
        for response in all.iter_mut().filter(|response| response.windows(12).any(|part| part == b"[UIDVALIDITY")) {
            *response = b"* OK [UIDVALIDITY 0] who knows\r\n".to_vec();
        }
    };
    check_worthless_uids(Step::Edit(zero));
}

/// Another mailbox on the same server.
fn with_sales(world: &World) -> String {
    world.imap.add_user("sales", PASSWORD);
    format!("{}[mailbox.sales]\nuser = \"sales\"\n", config(world))
}

/// What all messages have in a field, in order.
fn values(world: &World, field: &str) -> Vec<String> {
    let mut values: Vec<String> =
        world.api.messages().iter().map(|message| message[field].as_str().unwrap_or_default().to_owned()).collect();
    values.sort();
    values
}

#[test]
fn one_mail_to_two_mailboxes_is_posted_for_each() {
    let world = World::new();
    let daemon = world.daemon_with(&with_sales(&world));
    world.append(0..1);
    world.imap.append("sales", "INBOX", World::mail(0));
    world.wait_messages(2);
    world.wait_queue(&[], <[Value]>::is_empty);
    daemon.stop();
    assert_eq!(values(&world, "MailSorter"), ["sales", "support"]);
    assert_eq!(values(&world, "MessageId"), ["<story-0@example.com>"; 2]);
}

#[test]
fn two_mails_with_one_message_id_are_both_posted() {
    let world = World::new();
    world.append(0..1);
    let other = String::from_utf8(World::mail(0)).expect("text").replace("Subject: Story 0", "Subject: Story 1");
    world.imap.append(USER, "INBOX", other);
    let daemon = world.daemon_with(&config(&world));
    world.wait_messages(2);
    world.wait_queue(&[], <[Value]>::is_empty);
    daemon.stop();
    assert_eq!(values(&world, "SearchTitle"), ["Story 0", "Story 1"]);
}

#[test]
fn mails_without_any_id_are_posted_once_each_over_restarts_and_renumberings() {
    let world = World::new();
    let mail = |subject: &str| format!("From: ann@example.com\r\nSubject: {subject}\r\n\r\nTest\r\n");
    for subject in ["a", "b", "b"] {
        world.imap.append(USER, "INBOX", mail(subject));
    }
    let config = config(&world);
    let daemon = world.daemon_with(&config);
    world.wait_messages(3);
    daemon.stop();
    let daemon = world.daemon_with(&config);
    daemon.wait_event("mailbox.state", |line| line["to"] == "idle");
    daemon.stop();
    world.imap.set_uidvalidity(USER, "INBOX", 77, 2);
    world.imap.append(USER, "INBOX", mail("c"));
    let daemon = world.daemon_with(&config);
    world.wait_messages(4);
    world.wait_queue(&[], <[Value]>::is_empty);
    daemon.stop();
    assert_eq!(values(&world, "SearchTitle"), ["a", "b", "b", "c"]);
}

#[test]
fn one_mail_in_two_folders_of_a_mailbox_is_posted_once() {
    let world = World::new();
    world.append(0..1);
    world.imap.append(USER, "Label", World::mail(0));
    let config = format!("{}folders = [\"INBOX\", \"Label\"]\n", config(&world));
    let daemon = world.daemon_with(&config);
    daemon.wait_event("message.done", |line| line["state"] == "duplicate");
    world.end(daemon, 0..1);
}

#[test]
fn a_finished_mail_that_is_dragged_back_is_a_duplicate_and_is_moved_again() {
    let world = World::new();
    world.append(0..1);
    let config = format!("{}after_post = \"move\"\nmove_to = \"Done\"\n", config(&world));
    let daemon = world.daemon_with(&config);
    daemon.wait_event("mailbox.disposition", |line| line["action"] == "moved");
    let mail = world.imap.messages(USER, "Done").remove(0);
    assert!(world.imap.expunge(USER, "Done", mail.uid));
    world.imap.append_as(USER, "INBOX", mail.raw, mail.internal_date, &["\\Seen"]);
    daemon.wait_event("message.done", |line| line["state"] == "duplicate");
    daemon.wait_nth_event("mailbox.disposition", 1);
    world.end(daemon, 0..1);
    assert_eq!((world.imap.messages(USER, "INBOX").len(), world.imap.messages(USER, "Done").len()), (0, 1));
}

#[test]
fn what_others_mark_as_seen_is_taken_all_the_same_and_fetching_marks_nothing() {
    let world = World::new();
    let config = config(&world).replace("start = \"all\"", "start = \"unseen\"");
    let daemon = world.daemon_with(&config);
    daemon.wait_event("mailbox.state", |line| line["to"] == "idle");
    world.api.set_down(true);
    world.append(0..1);
    let date = mailbridge::clock::UtcMillis(1_795_341_731_000);
    world.imap.append_as(USER, "INBOX", World::mail(1), date, &["\\Seen"]);
    daemon.wait_nth_event("message.stored", 1);
    assert!(world.imap.flags(USER, "INBOX", 1).expect("a mail").is_empty());
    world.api.set_down(false);
    world.end(daemon, 0..2);
}
