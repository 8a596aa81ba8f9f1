//! The process and what it is given: a log that takes nothing, signals, descriptors, threads, the time of day, reloads.

use std::io::{BufRead as _, BufReader, Read as _};
use std::process::Stdio;

use rustix::process::Signal;
use serde_json::Value;

use crate::support::World;

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
