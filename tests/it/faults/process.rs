//! The process and what it is given: a log that takes nothing, signals, descriptors, threads, the time of day, reloads.

use std::io::{BufRead as _, BufReader, Read as _};
use std::process::Stdio;
use std::time::{Duration, Instant};

use mailbridge::sandbox::superoffice_api::{self, Call, Rule, Step};
use rustix::process::Signal;
use serde_json::Value;

use crate::support::disk::Disk;
use crate::support::{PATIENCE, World};

#[test]
fn a_log_that_nobody_reads_holds_no_mail_up() {
    const MAILS: usize = 150;
    let world = World::new();
    world.append(0..MAILS);
    let config = world.config().replace("level = \"debug\"", "level = \"trace\"");
    let mut command = world.command(&config);
    command.env("WATCHDOG_USEC", "200000").stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped());
    let mut child = command.spawn().expect("started");
    let mut log = BufReader::new(child.stderr.take().expect("a pipe"));
    world.wait_messages(MAILS);
    world.wait_queue(&[], <[Value]>::is_empty);
    // Somebody reads again: the daemon says how much was lost, in whole lines but for the one that was cut.
    let lost = log.by_ref().lines().map_while(Result::ok).find(|line| line.contains("\"event\":\"log.lost\""));
    let lost: Value = serde_json::from_str(&lost.expect("it is told")).expect("a line");
    assert!(lost["lines"].as_u64().is_some_and(|lines| lines > 10), "{lost}");
    rustix::process::kill_process(rustix::process::Pid::from_child(&child), Signal::TERM).expect("our own child");
    let end = log.lines().map_while(Result::ok).last().expect("a last line");
    assert!(end.contains("service.stopped"), "{end}");
    assert!(child.wait().expect("ended").success());
    world.assert_exactly(0..MAILS);
}

/// A mail is put off by what the first post meets, and then the time of day leaps: it is posted soon, and once.
#[track_caller]
fn check_leap(first: Step, seconds: i64) {
    let world = World::new();
    let Some(disk) = Disk::of(&world) else { return };
    world.append(0..1);
    world.api.script([Rule::on(Call::Post, first).nth(1)]);
    let slow = world.config().replace("50ms\"\nretry_max = \"500ms", "2s\"\nretry_max = \"2s");
    let config = slow.replace("verify_after = \"100ms\"", "verify_after = \"2s\"\nbreaker_failures = 100");
    let daemon = disk.daemon(&world, &config).ready();
    daemon.wait_event("queue.deferred", |_| true);
    disk.time_is_off(seconds);
    let begun = Instant::now();
    daemon.wait_event("message.done", |line| line["state"] == "posted");
    assert!(begun.elapsed() < Duration::from_secs(30), "it waited for the clock");
    // Mail that comes now is nobody's matter but its own.
    world.append(1..2);
    world.end(daemon, 0..2);
}

const DAY: i64 = 86_400;

#[test]
fn a_clock_that_leaps_a_day_back_keeps_no_mail_waiting() {
    check_leap(Step::status(503, "busy"), -DAY);
}

#[test]
fn a_clock_that_leaps_a_day_back_keeps_no_look_up_waiting() {
    check_leap(Step::cut(0).stored(), -DAY);
}

#[test]
fn a_clock_that_leaps_a_day_forward_changes_nothing() {
    check_leap(Step::status(503, "busy"), DAY);
    check_leap(Step::cut(0).stored(), DAY);
}

/// The clock was wrong while the daemon was down: what is due is due at the latest after the longest delay.
#[test]
fn a_daemon_that_starts_in_the_past_keeps_no_mail_waiting_for_the_future() {
    let world = World::new();
    let Some(disk) = Disk::of(&world) else { return };
    world.append(0..1);
    world.api.script([Rule::on(Call::Post, Step::status(503, "busy")).nth(1)]);
    let config =
        world.config().replace("breaker_probe = \"100ms\"", "breaker_probe = \"100ms\"\nbreaker_failures = 100");
    disk.time_is_off(30 * DAY);
    let daemon = disk.daemon(&world, &config).ready();
    daemon.wait_event("queue.deferred", |_| true);
    daemon.kill();
    let row = world.wait_queue(&[], |rows| rows.len() == 1).remove(0);
    disk.time_is_off(0);
    let daemon = disk.daemon(&world, &config).ready();
    let soon = |rows: &[Value]| rows[0]["next_attempt_at"].as_str() < row["next_attempt_at"].as_str();
    world.wait_queue(&[], |rows| rows.is_empty() || soon(rows));
    assert!(world.cli(&["queue", "retry", "--all"]).status.success());
    world.end(daemon, 0..1);
}

#[test]
fn a_second_signal_ends_the_wait_for_a_call_and_the_call_is_looked_up_later() {
    let world = World::new();
    world.append(0..1);
    world.api.script([Rule::on(Call::Post, Step::delay(Duration::from_secs(600)).stored()).nth(1)]);
    let mut daemon = world.daemon();
    daemon.wait_event("message.parsed", |_| true);
    let heard = |api: &superoffice_api::Handle| api.requests().iter().any(|request| request.method == "POST");
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().expect("a runtime");
    assert!(runtime.block_on(world.api.wait(PATIENCE, heard)));
    let begun = Instant::now();
    daemon.signal(Signal::INT);
    daemon.wait_event("service.stopping", |_| true);
    daemon.signal(Signal::INT);
    assert!(daemon.wait().success());
    assert!(begun.elapsed() < Duration::from_secs(20), "shorter than `shutdown_grace`");
    let daemon = world.daemon();
    daemon.wait_event("queue.unknown_outcome", |_| true);
    world.end(daemon, 0..1);
}
