//! What must not cost a mail: kills, full disks, hostile mails.

use std::path::PathBuf;
use std::process::Command;
use std::time::Duration;

use mailbridge::sandbox::imap_server;
use mailbridge::sandbox::superoffice_api::{self, Call, Rule, Step};

use crate::support::world::USER;
use crate::support::{PATIENCE, World};

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
    world.end(world.daemon(), 0..MAILS);
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
    world.end(world.daemon(), 0..MAILS);
}

#[test]
fn kill_9_holds_exactly_the_requests_without_an_answer_where_the_api_cannot_be_searched() {
    let api = superoffice_api::Options { no_search: true, ..superoffice_api::Options::default() };
    let world = World::with(imap_server::Options::default(), api);
    world.append(0..30);
    world.api.script([Rule::on(Call::Post, Step::stall())]);
    // More than the failures in a row that open the breaker: their look-ups must not keep the others waiting.
    let config = world.config().replace("verify_after = \"100ms\"", "concurrency = 12\nverify_after = \"0s\"");
    let daemon = world.daemon_with(&config);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().expect("a runtime");
    let posted = |api: &superoffice_api::Handle| api.requests().iter().filter(|r| r.method == "POST").count();
    assert!(runtime.block_on(world.api.wait(PATIENCE, |api| posted(api) == 12)));
    daemon.kill();
    world.api.script([]);
    let daemon = world.daemon_with(&config);
    world.wait_messages(18);
    let held = world.wait_queue(&[], |rows| rows.len() == 12 && rows.iter().all(|row| row["state"] == "held"));
    assert!(held.iter().all(|row| row["held_reason"] == "unknown_outcome"), "{held:#?}");
    assert!(world.cli(&["queue", "release", "--all"]).status.success());
    world.wait_messages(30);
    daemon.stop();
    world.assert_exactly(0..30);
}

#[test]
fn too_little_space_stops_intake_and_nothing_else() {
    let world = World::new();
    world.append(0..3);
    let full = format!("{}[store]\nmin_free = \"900000GiB\"\n", world.config());
    let daemon = world.daemon_with(&full);
    // The daemon says so at its start; that the mailbox heeds it, it says itself.
    daemon.wait_event("store.low_space", |line| line["mailbox"] == USER);
    assert_eq!((world.queue(&["--all"]).len(), world.imap.seen("UID FETCH"), world.api.count()), (0, 0, 0));
    world.write_config(&world.config());
    assert!(world.cli(&["reload"]).status.success());
    world.wait_messages(3);
    daemon.stop();
    world.assert_exactly(0..3);
}

/// A small file system of its own for the daemon's state.
struct SmallDisk(PathBuf);

impl SmallDisk {
    /// `None` where this user may not mount.
    fn mount(at: PathBuf) -> Option<Self> {
        std::fs::create_dir_all(&at).expect("a folder");
        let mounted = Command::new("mount").args(["-t", "tmpfs", "-o", "size=24m,mode=700", "tmpfs"]).arg(&at).output();
        mounted.is_ok_and(|output| output.status.success()).then_some(Self(at))
    }

    /// Takes all but so many bytes.
    fn fill(&self, leave: u64) {
        let stat = rustix::fs::statvfs(&self.0).expect("measured");
        let taken = (stat.f_bavail * stat.f_frsize).saturating_sub(leave);
        std::fs::write(self.0.join("ballast"), vec![0_u8; usize::try_from(taken).expect("small")]).expect("written");
    }

    fn free(&self) {
        std::fs::remove_file(self.0.join("ballast")).expect("removed");
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        let unmounted = Command::new("umount").arg("-l").arg(&self.0).status();
        if !unmounted.is_ok_and(|status| status.success()) {
            eprintln!("{} stays mounted", self.0.display());
        }
    }
}

/// Puts mails of 200 kB into the mailbox.
fn append_large(world: &World, numbers: std::ops::Range<usize>) {
    let text = b"0123456789abcdef0123456789abcdef0123456789abcdef\r\n".repeat(4_000);
    for number in numbers {
        world.imap.append(USER, "INBOX", [World::mail(number), text.clone()].concat());
    }
}

#[test]
fn a_full_disk_stops_intake_loses_nothing_and_passes() {
    let world = World::new();
    let Some(disk) = SmallDisk::mount(world.path("state")) else {
        return eprintln!("skipped: this user may not mount a file system");
    };
    let config = format!("{}poll_interval = \"100ms\"\n[store]\nmin_free = \"1MiB\"\n", world.config());
    let daemon = world.daemon_with(&config);
    world.append(0..2);
    world.wait_messages(2);
    // Little space: nothing more is taken, what is here goes on.
    world.api.set_down(true);
    world.append(2..4);
    for _ in 0..2 {
        daemon.wait_event("queue.deferred", |_| true);
    }
    disk.fill(900 << 10);
    append_large(&world, 4..12);
    daemon.wait_event("store.low_space", |_| true);
    world.api.set_down(false);
    world.wait_messages(4);
    assert_eq!(world.api.count(), 4);
    disk.free();
    world.wait_messages(12);
    daemon.stop();
    // No space at all, and nobody looks ahead: the database itself says so.
    let daemon = world.daemon_with(&config.replace("1MiB", "0KiB"));
    disk.fill(64 << 10);
    append_large(&world, 12..20);
    daemon.wait_event("store.error", |_| true);
    disk.free();
    world.end(daemon, 0..20);
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
