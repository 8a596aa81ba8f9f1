//! The disk below the daemon: full, broken, read-only, gone; and what a damaged store is good for.

use std::fs;
use std::path::{Path, PathBuf};

use mailbridge::sandbox::superoffice_api::{Call, Rule, Step};
use rusqlite::Connection;
use serde_json::Value;

use crate::support::disk::{Disk, EIO, ENOSPC, EROFS};
use crate::support::world::USER;
use crate::support::{PATIENCE, World};

/// A configuration that polls often and makes every mail a file.
fn config(world: &World) -> String {
    format!("{}poll_interval = \"100ms\"\n[store]\nspool_above = \"0KiB\"\nmin_free = \"0KiB\"\n", world.config())
}

/// Waits until the API has heard so many posts.
#[track_caller]
fn wait_posts(world: &World, count: usize) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().expect("a runtime");
    let posts = |api: &mailbridge::sandbox::superoffice_api::Handle| {
        api.requests().iter().filter(|request| request.method == "POST").count() >= count
    };
    assert!(runtime.block_on(world.api.wait(PATIENCE, posts)), "{count} posts do not come");
}

/// The mailbox's mails that carry a flag.
fn flagged(world: &World) -> usize {
    world.imap.messages(USER, "INBOX").iter().filter(|mail| !mail.flags.is_empty()).count()
}

/// While these calls fail nothing is acknowledged and the log says why; when they work again so does the mailbox.
#[track_caller]
fn check_intake(calls: &'static str, errno: i32, words: &str) {
    let world = World::new();
    let Some(disk) = Disk::of(&world) else { return };
    let disk = disk.counts(calls);
    let daemon = disk.daemon(&world, &config(&world)).ready();
    daemon.wait_event("mailbox.state", |line| line["to"] == "idle");
    disk.fails(errno);
    world.append(0..3);
    let error = daemon.wait_event("store.error", |line| line["op"] == "intake");
    assert_eq!(error["mailbox"], "support");
    assert!(error["error"].as_str().expect("a text").contains(words), "{error}");
    assert_eq!((world.api.count(), flagged(&world)), (0, 0), "{calls}: nothing is acknowledged");
    let status: Value = serde_json::from_slice(&world.cli(&["status", "--json"]).stdout).expect("a status");
    let mailbox = &status["mailboxes"]["support"];
    assert_eq!(mailbox["up"], false, "{status:#}");
    assert!(mailbox["last_error"].as_str().is_some_and(|text| text.contains(words)), "{status:#}");
    disk.fails(0);
    daemon.wait_event("mailbox.state", |line| line["reason"] == "recovered");
    world.end(daemon, 0..3);
}

#[test]
fn a_disk_that_is_full_at_the_write_of_a_mail_leaves_it_on_the_server() {
    check_intake("write", ENOSPC, "No space left on device");
}

#[test]
fn a_disk_that_is_full_at_the_sync_of_a_mail_leaves_it_on_the_server() {
    check_intake("sync", ENOSPC, "No space left on device");
}

#[test]
fn a_disk_that_is_full_at_the_rename_of_a_mail_leaves_it_on_the_server() {
    check_intake("rename", ENOSPC, "No space left on device");
}

#[test]
fn a_disk_that_became_read_only_stops_intake_in_words_and_until_it_is_writable() {
    check_intake("write sync rename unlink", EROFS, "Read-only file system");
}

#[test]
fn a_disk_with_errors_stops_intake_in_words_and_until_they_end() {
    check_intake("write sync rename unlink", EIO, "Input/output error");
}

/// The API's answer meets a disk that takes nothing: the outcome is recorded when it can be, by this daemon or the next.
#[track_caller]
fn check_outcome(killed: bool) {
    let world = World::new();
    let Some(disk) = Disk::of(&world) else { return };
    world.api.script([Rule::on(Call::Post, Step::delay(std::time::Duration::from_millis(300)))]);
    let disk = disk.counts("write");
    let daemon = disk.daemon(&world, &config(&world)).ready();
    world.append(0..1);
    wait_posts(&world, 1);
    disk.fails(ENOSPC);
    let error = daemon.wait_event("store.error", |line| line["op"] == "end of a mail");
    assert!(error["qid"].is_string(), "{error}");
    world.wait_messages(1);
    assert_eq!(flagged(&world), 0, "no outcome is durable yet");
    if killed {
        daemon.kill();
        disk.fails(0);
        let daemon = world.daemon_with(&config(&world));
        daemon.wait_event("queue.unknown_outcome", |line| line["then"] == "search_found");
        return world.end(daemon, 0..1);
    }
    disk.fails(0);
    daemon.wait_event("message.done", |line| line["state"] == "posted");
    world.end(daemon, 0..1);
}

#[test]
fn a_disk_that_is_full_when_the_answer_comes_costs_no_second_post() {
    check_outcome(false);
}

#[test]
fn a_daemon_that_dies_with_an_answer_it_could_not_write_down_asks_the_api() {
    check_outcome(true);
}

#[test]
fn a_daemon_cannot_start_on_a_disk_that_takes_nothing_and_says_so() {
    let world = World::new();
    world.append(0..2);
    world.daemon_with(&config(&world)).stop();
    for errno in [EROFS, EIO, ENOSPC] {
        let Some(disk) = Disk::of(&world) else { return };
        disk.fails(errno);
        let mut daemon = disk.daemon(&world, &config(&world));
        assert_eq!(daemon.wait().code(), Some(74), "{:#?}", daemon.lines());
        assert!(daemon.lines().iter().any(|line| line["event"] == "store.error" && line["op"] == "open"));
    }
    world.end(world.daemon_with(&config(&world)), 0..2);
}

/// A world whose mails wait in the store of a stopped daemon, each a file or each a row.
#[track_caller]
fn stored(files: bool, mails: usize) -> (World, String) {
    let world = World::new();
    let config = if files { config(&world) } else { config(&world).replace("0KiB\"\nmin", "1MiB\"\nmin") };
    world.append(0..mails);
    world.api.set_down(true);
    let daemon = world.daemon_with(&config);
    daemon.wait_nth_event("message.stored", mails - 1);
    daemon.stop();
    world.api.set_down(false);
    (world, config)
}

/// The spool files of the store, oldest first.
fn spool(world: &World) -> Vec<PathBuf> {
    let files = fs::read_dir(world.path("state/store/spool")).expect("the spool folder");
    let mut files: Vec<PathBuf> = files.map(|file| file.expect("a file").path()).collect();
    files.sort();
    files
}

fn database(world: &World) -> Connection {
    Connection::open(world.path("state/store/mailbridge.db")).expect("the store")
}

/// A mail whose stored bytes are damaged is a dead letter, the others go on, and `queue retry` has it fetched again.
#[track_caller]
fn check_damaged_mail(files: bool, damage: impl FnOnce(&World)) {
    let (world, config) = stored(files, 3);
    damage(&world);
    let daemon = world.daemon_with(&config);
    world.wait_messages(2);
    let done = daemon.wait_event("message.done", |line| line["state"] == "dead");
    assert_eq!((done["error_class"].as_str(), done["mailbox"].as_str()), (Some("no_raw"), Some("support")), "{done}");
    assert!(done["uid"].is_number() && done["reason"].as_str().is_some_and(|why| why.contains("damaged or missing")));
    assert!(world.cli(&["queue", "retry", done["qid"].as_str().expect("an id")]).status.success());
    world.end(daemon, 0..3);
}

#[test]
fn a_stored_mail_that_was_cut_short_is_fetched_again_on_request() {
    check_damaged_mail(true, |world| {
        let file = fs::File::options().write(true).open(&spool(world)[1]).expect("opened");
        file.set_len(100).expect("cut");
    });
}

#[test]
fn a_stored_mail_of_no_bytes_is_fetched_again_on_request() {
    check_damaged_mail(true, |world| fs::write(&spool(world)[0], "").expect("emptied"));
}

#[test]
fn a_stored_mail_that_is_gone_is_fetched_again_on_request() {
    check_damaged_mail(true, |world| fs::remove_file(&spool(world)[2]).expect("removed"));
}

#[test]
fn a_stored_mail_with_a_changed_bit_is_fetched_again_on_request() {
    check_damaged_mail(true, |world| {
        let mut bytes = fs::read(&spool(world)[1]).expect("read");
        bytes[100] ^= 1;
        fs::write(&spool(world)[1], bytes).expect("written");
    });
}

#[test]
fn a_row_with_changed_bytes_is_fetched_again_on_request() {
    check_damaged_mail(false, |world| {
        let changed =
            database(world).execute("UPDATE raw SET bytes = CAST(X'00' || substr(bytes, 2) AS BLOB) WHERE seq = 2", []);
        assert_eq!(changed.expect("changed"), 1);
    });
}

/// Whatever is wrong with the files beside the database, the daemon starts and every mail arrives once.
#[track_caller]
fn check_start(damage: impl FnOnce(&Path)) {
    let (world, config) = stored(true, 3);
    damage(&world.path("state/store"));
    world.end(world.daemon_with(&config), 0..3);
}

#[test]
fn what_does_not_belong_to_a_store_is_no_obstacle_to_a_start() {
    check_start(|store| fs::write(store.join("spool/notes.txt"), "somebody's").expect("written"));
    check_start(|store| fs::create_dir(store.join("spool/folder")).expect("made"));
    check_start(|store| fs::write(store.join("spool/01KAPX2Q7M5T00000000000000.part"), "half").expect("written"));
    check_start(|store| fs::write(store.join("mailbridge.db-shm"), "").expect("written"));
    check_start(|store| fs::write(store.join("mailbridge.db-shm"), [0x5a; 40_000]).expect("written"));
    check_start(|store| fs::write(store.join("mailbridge.db-wal"), "").expect("written"));
    check_start(|store| fs::write(store.join("mailbridge.db-wal"), [0x5a; 9_000]).expect("written"));
    check_start(|store| fs::write(store.join("lock"), [0xff; 5_000]).expect("written"));
    check_start(|store| fs::remove_file(store.join("lock")).expect("removed"));
}

/// A database that is no longer to be trusted ends the daemon in words, and is left as it is: a daemon that forgot what it
/// has posted would post it again.
#[track_caller]
fn check_refused(code: i32, words: &str, damage: impl FnOnce(&World)) {
    let (world, config) = stored(false, 2);
    damage(&world);
    let path = world.path("state/store/mailbridge.db");
    let before = fs::read(&path).expect("read");
    let mut daemon = world.daemon_unready(&config);
    assert_eq!(daemon.wait().code(), Some(code), "{:#?}", daemon.lines());
    let error = daemon.wait_event("store.error", |line| line["op"] == "open");
    assert!(error["error"].as_str().is_some_and(|text| text.contains(words)), "{error}");
    assert!(fs::read(&path).expect("read") == before, "{words}: it was not left as it is");
    assert_eq!(world.api.count(), 0);
}

#[test]
fn a_damaged_database_ends_the_daemon_in_words_and_is_left_as_it_is() {
    let write =
        |world: &World, bytes: &[u8]| fs::write(world.path("state/store/mailbridge.db"), bytes).expect("written");
    check_refused(74, "file is not a database", |world| write(world, &[0x5a; 9_000]));
    check_refused(74, "it is empty, its log of changes is not", |world| {
        write(world, b"");
        fs::write(world.path("state/store/mailbridge.db-wal"), [0x5a; 9_000]).expect("written");
    });
    check_refused(74, "it is not mailbridge's", |world| {
        database(world).pragma_update(None, "application_id", 7).expect("changed");
    });
    check_refused(78, "use a newer mailbridge", |world| {
        database(world).pragma_update(None, "user_version", 99).expect("changed");
    });
}

#[test]
fn a_store_that_is_removed_while_the_daemon_runs_takes_in_nothing_more() {
    let world = World::new();
    let daemon = world.daemon_with(&config(&world));
    daemon.wait_event("mailbox.state", |line| line["to"] == "idle");
    fs::rename(world.path("state/store/mailbridge.db"), world.path("moved.db")).expect("moved");
    world.append(0..2);
    let error = daemon.wait_event("store.error", |line| line["op"] == "intake");
    assert!(error["error"].as_str().is_some_and(|text| text.contains("removed or replaced")), "{error}");
    assert_eq!((world.api.count(), flagged(&world)), (0, 0));
    fs::rename(world.path("moved.db"), world.path("state/store/mailbridge.db")).expect("put back");
    world.end(daemon, 0..2);
}

#[test]
fn the_store_may_lie_behind_links_and_needs_no_folder_made() {
    let world = World::new();
    world.append(0..2);
    let elsewhere =
        tempfile::Builder::new().prefix("mailbridge-elsewhere-").tempdir_in(shared_memory()).expect("a folder");
    std::os::unix::fs::symlink(elsewhere.path(), world.path("state")).expect("linked");
    world.end(world.daemon_with(&config(&world)), 0..2);
    assert!(elsewhere.path().join("store/mailbridge.db").exists());
    // The spool folder on another file system than the database.
    let world = World::new();
    world.append(0..2);
    let spool = tempfile::Builder::new().prefix("mailbridge-elsewhere-").tempdir_in(shared_memory()).expect("a folder");
    fs::create_dir_all(world.path("state/store")).expect("made");
    std::os::unix::fs::symlink(spool.path(), world.path("state/store/spool")).expect("linked");
    world.end(world.daemon_with(&config(&world)), 0..2);
    assert_eq!(fs::read_dir(spool.path()).expect("read").count(), 2);
}

/// A file system of its own on every Linux; the usual folder where it is none.
fn shared_memory() -> PathBuf {
    let path = PathBuf::from("/dev/shm");
    if path.is_dir() { path } else { std::env::temp_dir() }
}

#[test]
fn a_store_that_cannot_be_a_folder_ends_the_daemon_in_words() {
    let world = World::new();
    fs::create_dir_all(world.path("state")).expect("made");
    fs::write(world.path("state/store"), "a file").expect("written");
    let mut daemon = world.daemon_unready(&config(&world));
    assert_eq!(daemon.wait().code(), Some(74));
    let error = daemon.wait_event("store.error", |line| line["op"] == "open");
    assert!(error["error"].as_str().is_some_and(|text| text.contains("making the folder")), "{error}");
}
