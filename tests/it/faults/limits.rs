//! Too many, too few: mails in the queue, mailboxes, descriptors, threads, daemons.

use std::fs;
use std::time::{Duration, Instant};

use mailbridge::sandbox::imap_server::{self, Rule, Step};
use mailbridge::sandbox::superoffice_api;
use rusqlite::Connection;
use rustix::process::{Pid, Resource, Rlimit, prlimit};
use serde_json::Value;

use crate::support::World;
use crate::support::canary::PASSWORD;
use crate::support::disk::Disk;

/// Makes the queue of a stopped daemon longer: copies of its one waiting mail, as different mails.
fn multiply(world: &World, mails: usize) {
    let conn = Connection::open(world.path("state/store/mailbridge.db")).expect("the store");
    let columns = |table: &str, but: &[&str]| {
        let sql = format!("SELECT name FROM pragma_table_info('{table}')");
        let mut statement = conn.prepare(&sql).expect("prepared");
        let names = statement.query_map([], |row| row.get::<_, String>(0)).expect("asked");
        names
            .map(|name| name.expect("a name"))
            .filter(|name| !but.contains(&name.as_str()))
            .collect::<Vec<_>>()
            .join(", ")
    };
    let (mail, raw) = (columns("mail", &["seq", "id", "uid"]), columns("raw", &["seq"]));
    let many = format!("WITH RECURSIVE n(i) AS (SELECT 2 UNION ALL SELECT i + 1 FROM n WHERE i < {mails})");
    conn.execute_batch(&format!(
        "BEGIN; {many} INSERT INTO mail (seq, id, uid, {mail})
         SELECT i, printf('01KAPX2Q7M%016d', i), i, {mail} FROM mail, n WHERE seq = 1;
         {many} INSERT INTO raw (seq, {raw}) SELECT i, {raw} FROM raw, n WHERE seq = 1; COMMIT;"
    ))
    .expect("multiplied");
}

#[test]
fn a_hundred_thousand_waiting_mails_are_no_burden_and_go_oldest_first() {
    let world = World::new();
    world.imap.append("support", "INBOX", b"From: ann@example.com\r\nSubject: Test\r\n\r\nTest\r\n".to_vec());
    world.api.set_down(true);
    let daemon = world.daemon();
    daemon.wait_event("message.stored", |_| true);
    daemon.stop();
    multiply(&world, 100_000);
    let begun = Instant::now();
    let daemon = world.daemon();
    assert!(begun.elapsed() < Duration::from_secs(20), "a start takes {:?}", begun.elapsed());
    world.api.set_down(false);
    world.wait_messages(40);
    assert!(daemon.peak_memory() < 200 << 20, "{} MiB", daemon.peak_memory() >> 20);
    let done: Vec<u64> =
        (0..20).map(|n| daemon.wait_nth_event("message.done", n)["uid"].as_u64().expect("a UID")).collect();
    assert!(done.iter().all(|uid| *uid < 200), "not the oldest: {done:?}");
    daemon.kill();
}

/// How many descriptors a process has open; `None` where that is not ours to see.
fn descriptors(pid: Pid) -> Option<u64> {
    Some(u64::try_from(fs::read_dir(format!("/proc/{pid}/fd")).ok()?.count()).expect("few"))
}

#[test]
fn a_daemon_without_a_descriptor_left_loses_nothing_and_goes_on_when_it_has_some() {
    let world = World::new();
    let daemon = world.daemon_with(&format!("{}poll_interval = \"200ms\"\n", world.config()));
    daemon.wait_event("mailbox.state", |line| line["to"] == "idle");
    let Some(open) = descriptors(daemon.pid()) else {
        return eprintln!("skipped: this user may not see the daemon's descriptors");
    };
    let allow = |files| {
        let limit = Rlimit { current: Some(files), maximum: Some(1024) };
        prlimit(Some(daemon.pid()), Resource::Nofile, limit).map(drop).expect("our own child");
    };
    allow(open);
    world.append(0..3);
    let deferred = daemon.wait_event("queue.deferred", |line| line["error_class"] == "parser");
    assert!(deferred["error"].as_str().is_some_and(|why| why.contains("Too many open files")), "{deferred}");
    assert_eq!(world.api.count(), 0);
    allow(1024);
    world.end(daemon, 0..3);
}

#[test]
fn a_daemon_that_gets_no_thread_loses_nothing_and_goes_on_when_it_does() {
    let world = World::new();
    let Some(disk) = Disk::of(&world) else { return };
    let daemon = disk.daemon(&world, &format!("{}poll_interval = \"100ms\"\n", world.config())).ready();
    daemon.wait_event("mailbox.state", |line| line["to"] == "idle");
    disk.no_threads(true);
    world.append(0..3);
    let polls = daemon.events("mailbox.poll").len();
    daemon.wait_nth_event("mailbox.poll", polls);
    disk.no_threads(false);
    world.end(daemon, 0..3);
}

#[test]
fn a_hundred_mailboxes_do_not_wait_for_one_that_hangs() {
    const MAILBOXES: usize = 100;
    let world = World::new();
    let mut config = format!("{}io_timeout = \"3s\"\n", world.base_config());
    for number in 0..MAILBOXES {
        let name = format!("box{number}");
        world.imap.add_user(&name, PASSWORD);
        world.imap.append(&name, "INBOX", World::mail(number));
        config.push_str(&format!("[mailbox.{name}]\nuser = \"{name}\"\n"));
    }
    world.imap.script([Rule::on("UID FETCH", Step::Stall).connection(1)]);
    let daemon = world.daemon_with(&config);
    world.wait_messages(MAILBOXES - 1);
    assert!(daemon.events("mailbox.connect_failed").is_empty(), "the others were done before anybody gave up");
    let hangs = daemon.wait_event("mailbox.connect_failed", |_| true);
    assert!(hangs["mailbox"].as_str().is_some_and(|name| name.starts_with("box")), "{hangs}");
    world.end(daemon, 0..MAILBOXES);
}

#[test]
fn of_two_daemons_that_start_at_once_one_has_the_store_and_the_next_takes_it_over() {
    let world = World::new();
    world.append(0..3);
    let mut pair = [world.daemon_unready(&world.config()), world.daemon_unready(&world.config())];
    let [first, second] = &mut pair;
    first.ends_before(|first| {
        let ready = |daemon: &crate::support::daemon::Daemon| !daemon.events("service.started").is_empty();
        let refused = |daemon: &crate::support::daemon::Daemon| !daemon.events("service.stopped").is_empty();
        ready(first) && refused(second) || refused(first) && ready(second)
    });
    let [first, second] = pair;
    let (mut refused, owner) =
        if first.events("service.started").is_empty() { (first, second) } else { (second, first) };
    assert_eq!(refused.wait().code(), Some(73));
    let said = refused.wait_event("service.stopped", |line| line["level"] == "error");
    assert!(said["reason"].as_str().is_some_and(|why| why.contains(&format!("(process {})", owner.pid()))), "{said}");
    // The lock of a dead owner is nobody's.
    owner.kill();
    world.end(world.daemon(), 0..3);
}

#[test]
fn restarts_without_a_network_double_nothing_and_lose_nothing() {
    const DAY: i64 = 86_400;
    let world = World::with(imap_server::Options::default(), superoffice_api::Options::default());
    let Some(disk) = Disk::of(&world) else { return };
    world.append(0..4);
    let config = world.config();
    world.api.set_down(true);
    let daemon = disk.daemon(&world, &config).ready();
    daemon.wait_nth_event("message.stored", 3);
    daemon.kill();
    world.imap.set_down(true);
    for half_days in 1..=6 {
        disk.time_is_off(half_days * DAY / 2);
        let daemon = disk.daemon(&world, &config).ready();
        daemon.wait_event("mailbox.connect_failed", |_| true);
        daemon.wait_event("api.attempt", |line| line["level"] == "warn");
        if half_days % 2 == 0 { daemon.stop() } else { daemon.kill() }
    }
    world.append(4..6);
    world.imap.set_down(false);
    world.api.set_down(false);
    let daemon = disk.daemon(&world, &config).ready();
    world.end(daemon, 0..6);
    assert!(world.queue(&["--all"]).iter().all(|row: &Value| row["state"] == "posted"));
}
