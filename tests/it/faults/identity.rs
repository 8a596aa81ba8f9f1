//! Faults of identity (F15, F61 to F66, F72): UIDs that mean nothing, ids that mean too much, flags of other people.

use mailbridge::sandbox::imap_server::{Edit, Rule, Step};

use super::fetch::config;
use crate::support::World;
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
