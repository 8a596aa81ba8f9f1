//! The crash harness: the real daemon, killed or cut off from its power at each durable step in turn, and started again.
//!
//! A sweep has one world. The n-th run meets its fault at the n-th counted call after its start, and whatever it left is the
//! next run's to finish, until a run comes to its end unharmed. The share of this that always runs is small; with
//! `MAILBRIDGE_CRASHES=all` each call of every kind is hit (`docs/faults.md`).

use std::collections::{BTreeMap, BTreeSet};
use std::os::unix::process::ExitStatusExt as _;

use mailbridge::sandbox::imap_server;
use mailbridge::sandbox::superoffice_api;
use rustix::process::Signal;

use crate::support::World;
use crate::support::disk::{Disk, EIO, ENOSPC, Mishap};
use crate::support::steps;
use crate::support::world::USER;

/// The mails of every run: one that is a row of the store and one that is a file beside it.
const MAILS: usize = 2;

/// Every durable step happens: a server without MOVE makes a move a copy and a removal, large mails are files, and raw
/// mail is let go of at the next start.
fn world() -> World {
    let imap = imap_server::Options::default().without("MOVE");
    let world = World::with(imap, superoffice_api::Options::default());
    world.imap.create(USER, "Done");
    world
}

fn config(world: &World) -> String {
    format!(
        "{}after_post = \"move\"\nmove_to = \"Done\"\npoll_interval = \"100ms\"\n\
         [store]\nspool_above = \"1KiB\"\nkeep_raw = \"0s\"\n",
        world.config()
    )
}

/// So many mails; every second one is large.
fn append(world: &World, mails: usize) {
    for number in 0..mails {
        let mut mail = World::mail(number);
        if number % 2 == 1 {
            mail.extend_from_slice(b"0123456789abcdef0123456789abcdef\r\n".repeat(100).as_slice());
        }
        world.imap.append(USER, "INBOX", mail);
    }
}

/// Whether all mails are posted and moved away.
fn all_done(world: &World, mails: usize) -> bool {
    world.api.count() >= mails && world.imap.messages(USER, "INBOX").is_empty()
}

/// What must hold at any moment: nothing is posted twice, and what left the mailbox was posted.
#[track_caller]
fn check(world: &World, mails: usize) {
    let posted: Vec<String> = world.api.messages().iter().map(|m| m["MessageId"].to_string()).collect();
    let unique: BTreeSet<&String> = posted.iter().collect();
    assert_eq!(posted.len(), unique.len(), "posted twice: {posted:?}");
    let left: BTreeSet<u32> = world.imap.messages(USER, "INBOX").iter().map(|mail| mail.uid).collect();
    assert!(mails - left.len() <= posted.len(), "a mail left the mailbox before it was posted");
}

/// How often the process died at each step.
type Deaths = BTreeMap<&'static str, usize>;

/// One run of the daemon that meets a mishap at the n-th of these calls, until it dies or all is done. Whether it died.
#[track_caller]
fn run(world: &World, disk: &Disk, mails: usize, deaths: &mut Deaths) -> bool {
    let mut daemon = disk.daemon(world, &config(world));
    // Before it says that it has started a signal would end it at once.
    if !daemon.ends_before(|daemon| all_done(world, mails) && !daemon.events("service.started").is_empty()) {
        daemon.signal(Signal::TERM);
    }
    let status = daemon.wait();
    check(world, mails);
    if status.signal() != Some(9) {
        assert!(status.success(), "{status}; the log: {:#?}", daemon.lines());
        return false;
    }
    let calls = disk.calls();
    for step in steps::of_call(&world.path("state/store"), calls.last().expect("it died at a call")) {
        *deaths.entry(step).or_default() += 1;
    }
    true
}

/// The calls that are hit: each `stride`-th from a random one on, or every one.
fn calls(stride: usize) -> impl Iterator<Item = usize> {
    let all = std::env::var("MAILBRIDGE_CRASHES").is_ok_and(|wish| wish == "all");
    let stride = if all { 1 } else { stride };
    (fastrand::usize(1..=stride)..).step_by(stride)
}

/// A daemon that nothing happens to brings all mails to their end.
#[track_caller]
fn finish(world: &World) {
    world.end(world.daemon_with(&config(world)), 0..MAILS);
}

/// For n = 1, 1 + stride, …: a new store, whose first daemon dies at the n-th of these calls and the second soon after its
/// start; the third has to bring everything to its end. Ends when the first daemon does not come to an n-th call.
fn sweep(kinds: &'static str, mishap: Mishap, stride: usize, deaths: &mut Deaths) -> Option<()> {
    // Where a daemon has died in the tables' making often enough, the next ones come further.
    let from = if deaths.is_empty() { 0 } else { 10 };
    for n in calls(stride).map(|n| n + from) {
        println!("call {n}");
        let world = world();
        append(&world, MAILS);
        let died = run(&world, &Disk::of(&world)?.counts(kinds).at(n, mishap), MAILS, deaths);
        // The first calls open the log of changes, the third one is where claims are taken back.
        let second = [3, 1, 1 + n / 2 % 8, 1][n % 4];
        run(&world, &Disk::of(&world)?.counts(kinds).at(second, mishap), MAILS, deaths);
        finish(&world);
        if !died {
            println!("deaths: {deaths:?}");
            return Some(());
        }
    }
    None
}

/// For n = 1, 2, …: a store whose mails are all done, and a daemon that dies at the n-th call of its start: it lets go of what
/// is kept no longer.
fn starts(kinds: &'static str, mishap: Mishap, deaths: &mut Deaths) -> Option<()> {
    for n in 1.. {
        let world = world();
        append(&world, MAILS);
        finish(&world);
        let died = run(&world, &Disk::of(&world)?.counts(kinds).at(n, mishap), MAILS, deaths);
        finish(&world);
        if !died {
            return Some(());
        }
    }
    None
}

/// For n = 1, 1 + stride, …: a new store, where the n-th of these calls fails with `errno`, once. The daemon lives with it, or
/// ends with the exit code of a disk that refuses, and the next one brings everything to its end.
fn failing(kinds: &'static str, errno: i32, stride: usize) {
    let (mut ended, mut lived) = (0, 0);
    for n in calls(stride) {
        println!("call {n}");
        let world = world();
        append(&world, MAILS);
        let Some(disk) = Disk::of(&world) else { return };
        let disk = disk.counts(kinds).at(n, Mishap::Fails(errno));
        let mut daemon = disk.daemon(&world, &config(&world));
        if daemon.ends_before(|daemon| all_done(&world, MAILS) && !daemon.events("service.started").is_empty()) {
            let status = daemon.wait();
            assert_eq!(status.code(), Some(74), "call {n}: {status}; the log: {:#?}", daemon.lines());
            let reasons = daemon.events("service.stopped");
            assert!(reasons.iter().any(|line| line["level"] == "error"), "call {n}: {:#?}", daemon.lines());
            ended += 1;
        } else {
            daemon.stop();
            lived += 1;
        }
        check(&world, MAILS);
        finish(&world);
        if disk.calls().len() < n {
            return println!("{kinds} {errno}: {n} calls; lived {lived} times, ended {ended} times");
        }
    }
}

/// The process dies at each sync, rename and removal in turn, and every named step was met. Which call is which step is not
/// the same in every run: what was missed is met in one of a few further passes.
#[track_caller]
fn check_each_step(mishap: Mishap) {
    const KINDS: &str = "sync rename unlink";
    let mut deaths = Deaths::new();
    for _ in 0..5 {
        let swept = sweep(KINDS, mishap, 1, &mut deaths).and_then(|()| starts(KINDS, mishap, &mut deaths));
        if swept.is_none() || missed(&deaths).is_empty() {
            return;
        }
    }
    panic!("it never died at {:?}: {deaths:?}", missed(&deaths));
}

/// The steps that none died at.
fn missed(deaths: &Deaths) -> Vec<&'static str> {
    steps::STEPS[2..].iter().filter(|step| !deaths.contains_key(**step)).copied().collect()
}

#[test]
fn killed_right_before_each_durable_step() {
    check_each_step(Mishap::KillBefore);
}

#[test]
fn killed_right_after_each_durable_step() {
    check_each_step(Mishap::KillAfter);
}

#[test]
fn every_durable_step_is_explained() {
    let text = std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/docs/faults.md")).expect("the document");
    let missing: Vec<_> = steps::STEPS.iter().filter(|step| !text.contains(&format!("\n- {step}: "))).collect();
    assert!(missing.is_empty(), "docs/faults.md does not explain {missing:?}");
}

#[test]
fn a_power_cut_at_any_call_loses_what_was_not_synced_and_no_mail() {
    sweep("write sync rename unlink", Mishap::PowerCut, 11, &mut Deaths::new());
}

#[test]
fn a_sync_that_fails_once_is_survived_or_ends_the_daemon_in_order() {
    failing("sync", EIO, 1);
}

#[test]
fn a_rename_that_fails_once_is_survived() {
    failing("rename", EIO, 1);
}

#[test]
fn a_write_without_room_is_survived_or_ends_the_daemon_in_order() {
    failing("write", ENOSPC, 13);
}
