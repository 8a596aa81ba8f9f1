//! IDLE: a hint that may come late, broken or never. The mail comes all the same.

use mailbridge::sandbox::imap_server::{self, Rule, Step};
use mailbridge::sandbox::superoffice_api;

use crate::support::World;
use crate::support::daemon::Daemon;
use crate::support::tried::{Tried, has};
use crate::support::world::USER;

const FAILED: &str = "mailbox.connect_failed";

#[track_caller]
fn wait_idle(daemon: &Daemon) {
    daemon.wait_event("mailbox.state", |line| line["mailbox"] == USER && line["to"] == "idle");
}

/// F56: no end, no answer, and nothing to be heard of the mail that has come.
#[test]
fn a_connection_that_is_dead_in_idle_is_noticed() {
    let imap = imap_server::Options { idle_pushes: false, ..imap_server::Options::default() };
    let world = World::with(imap, superoffice_api::Options::default());
    let options = "idle_refresh = \"500ms\"\nio_timeout = \"500ms\"";
    let tried = Tried::at(world, [Rule::on("DONE", Step::Stall)], options, "");
    wait_idle(&tried.daemon);
    tried.world.append(2..3);
    tried.daemon.wait_event(FAILED, |line| has(line, &[("stage", "session"), ("error_class", "timeout")]));
    tried.world.end(tried.daemon, 0..3);
}

/// F57
#[test]
fn what_comes_before_idle_begins_is_no_end_of_it() {
    let world = World::new();
    world.append(0..1);
    let early = ["1 FETCH (FLAGS (\\Seen))", "OK still here", "1 RECENT", "FLAGS (\\Seen)"];
    world.imap.script([Rule::on("IDLE", Step::Before(early.map(str::to_owned).to_vec()))]);
    let daemon = world.daemon_with(&format!("{}poll_interval = \"1h\"\n", world.config()));
    wait_idle(&daemon);
    world.append(1..2);
    world.wait_messages(2);
    world.append(2..3);
    world.end(daemon, 0..3);
    assert_eq!(world.imap.connections(), 1);
}

/// F58, T36
#[test]
fn a_server_that_closes_at_idle_is_polled_after_some_tries() {
    for step in [Step::bye("IDLE is not for you"), Step::Close, Step::RawThenClose(b"+ idling\r\n".to_vec())] {
        let world = World::new();
        world.append(0..1);
        world.imap.script([Rule::on("IDLE", step)]);
        let daemon = world.daemon_with(&format!("{}poll_interval = \"100ms\"\n", world.config()));
        daemon.wait_event("mailbox.state", |line| line["reason"] == "idle_breaks");
        world.append(1..2);
        world.wait_messages(2);
        world.append(2..4);
        world.end(daemon, 0..4);
        assert_eq!((world.imap.connections(), world.imap.seen("IDLE")), (4, 3));
    }
}

/// F59
#[test]
fn an_idle_that_does_not_end_is_ended_with_the_connection() {
    let tried = Tried::new([Rule::on("DONE", Step::Stall).nth(1)], "io_timeout = \"500ms\"");
    wait_idle(&tried.daemon);
    tried.world.append(2..3);
    tried.daemon.wait_event(FAILED, |line| has(line, &[("stage", "session"), ("error", "IDLE: no complete answer")]));
    tried.world.end(tried.daemon, 0..3);
}

/// F59: it says so by itself, and nobody asked.
#[test]
fn an_idle_that_the_server_ends_by_itself_is_begun_anew() {
    let tired = Step::Raw(b"+ idling\r\n<tag> OK that is enough\r\n".to_vec());
    let tried = Tried::new([Rule::on("IDLE", tired).nth(1)], "");
    tried.daemon.wait_event(FAILED, |line| has(line, &[("error", "ended by the server")]));
    tried.world.append(2..3);
    tried.world.end(tried.daemon, 0..3);
}

/// F60
#[test]
fn an_idle_that_tells_nothing_is_looked_behind() {
    let imap = imap_server::Options { idle_pushes: false, ..imap_server::Options::default() };
    let world = World::with(imap, superoffice_api::Options::default());
    let config = format!("{}poll_interval = \"1h\"\nidle_refresh = \"300ms\"\n", world.config());
    let daemon = world.daemon_with(&config);
    wait_idle(&daemon);
    world.append(0..2);
    world.wait_messages(2);
    world.append(2..3);
    world.end(daemon, 0..3);
    assert_eq!(world.imap.connections(), 1);
}

/// F60
#[test]
fn without_idle_the_mailbox_is_polled() {
    let world = World::with(imap_server::Options::default().without("IDLE"), superoffice_api::Options::default());
    let daemon = world.daemon_with(&format!("{}poll_interval = \"100ms\"\n", world.config()));
    daemon.wait_event("mailbox.state", |line| line["to"] == "wait");
    world.append(0..2);
    world.end(daemon, 0..2);
    assert_eq!((world.imap.connections(), world.imap.seen("IDLE")), (1, 0));
}
