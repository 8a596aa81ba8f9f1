//! What must not cost a mail: kills, full disks, hostile mails.

use mailbridge::sandbox::superoffice_api::{Call, Rule, Step};
use std::time::Duration;

use crate::support::World;
use crate::support::world::USER;

#[test]
fn kill_9_in_the_middle_loses_nothing_and_doubles_nothing() {
    const MAILS: usize = 120;
    let world = World::new();
    world.append(0..MAILS);
    world.api.script([Rule::on(Call::Post, Step::delay(Duration::from_millis(20)))]);
    for share in [1, 10, 30, 60, 90] {
        let daemon = world.daemon();
        world.wait_messages(share);
        daemon.kill();
    }
    let daemon = world.daemon();
    world.wait_messages(MAILS);
    while !world.queue(&[]).is_empty() {}
    daemon.stop();
    world.assert_exactly(0..MAILS);
}

#[test]
fn kill_9_again_and_again_parks_no_mail_that_did_nothing() {
    const MAILS: usize = 60;
    let world = World::new();
    world.append(0..MAILS);
    for _ in 0..6 {
        let daemon = world.daemon();
        daemon.wait_event("message.parsed", |_| true);
        daemon.kill();
    }
    let daemon = world.daemon();
    world.wait_messages(MAILS);
    while !world.queue(&[]).is_empty() {}
    daemon.stop();
    world.assert_exactly(0..MAILS);
}

#[test]
fn too_little_space_stops_intake_and_nothing_else() {
    let world = World::new();
    world.append(0..3);
    let full = format!("{}[store]\nmin_free = \"900000GiB\"\n", world.config());
    let daemon = world.daemon_with(&full);
    daemon.wait_event("store.low_space", |_| true);
    assert_eq!(world.api.count(), 0);
    world.write_config(&world.config());
    assert!(world.cli(&["reload"]).status.success());
    world.wait_messages(3);
    daemon.stop();
    world.assert_exactly(0..3);
}

/// `levels` mails, each inside the other, as one raw mail.
fn nested(levels: usize) -> Vec<u8> {
    let mut raw = b"Content-Type: message/rfc822\r\n\r\n".repeat(levels);
    raw.extend_from_slice(b"Subject: the innermost\r\n\r\nhi\r\n");
    raw
}

#[test]
fn thirty_thousand_nested_mails_arrive_degraded_and_the_daemon_lives() {
    use base64::Engine as _;
    let world = World::new();
    let plain = nested(30_000);
    let mut hidden =
        b"Message-ID: <hidden@example.com>\r\nContent-Type: message/rfc822\r\nContent-Transfer-Encoding: base64\r\n\r\n"
            .to_vec();
    for line in base64::engine::general_purpose::STANDARD.encode(&plain).as_bytes().chunks(76) {
        hidden.extend_from_slice(line);
        hidden.extend_from_slice(b"\r\n");
    }
    world.imap.append(USER, "INBOX", plain);
    world.imap.append(USER, "INBOX", hidden);
    world.append(0..2);
    let daemon = world.daemon();
    world.wait_messages(4);
    daemon.stop();
    assert_eq!(world.api.violations(), Vec::<String>::new());
    let degraded = world
        .api
        .messages()
        .iter()
        .filter(|m| !m["DebugInfo"].as_str().unwrap_or_default().contains("depth=full"))
        .count();
    assert_eq!(degraded, 2);
}

#[test]
fn ten_mails_that_say_the_same_without_any_id_are_ten_posts() {
    let world = World::new();
    for _ in 0..10 {
        world.imap.append(USER, "INBOX", b"From: ann@example.com\r\nSubject: Test\r\n\r\nTest\r\n".to_vec());
    }
    let daemon = world.daemon();
    world.wait_messages(10);
    daemon.stop();
    assert_eq!(world.api.count(), 10);
}

#[test]
fn the_same_mail_come_twice_into_a_mailbox_is_posted_once() {
    let world = World::new();
    world.append(0..1);
    world.append(0..1);
    let daemon = world.daemon();
    daemon.wait_event("message.done", |line| line["state"] == "duplicate");
    daemon.stop();
    world.assert_exactly(0..1);
}
