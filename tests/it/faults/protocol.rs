//! What a server says in a session: odd bytes, garbage, floods, drips, lies about a folder.

use std::time::Duration;

use mailbridge::sandbox::imap_server::{Rule, Step};
use mailbridge::sandbox::superoffice_api;
use serde_json::Value;

use crate::support::World;
use crate::support::tried::{Tried, has};
use crate::support::world::USER;

const FAILED: &str = "mailbox.connect_failed";
const BROKEN: &str = "mailbox.protocol_violation";
/// The commands of a mailbox that takes one mail in.
const COMMANDS: [&str; 7] = ["CAPABILITY", "AUTHENTICATE", "ID", "SELECT", "UID SEARCH", "UID FETCH", "UID STORE"];

/// F21: `n:*` past the end names the last mail.
#[test]
fn the_last_mail_is_not_new_each_time() {
    let world = World::new();
    world.append(0..3);
    let daemon = world.daemon_with(&format!("{}mode = \"poll\"\npoll_interval = \"50ms\"\n", world.config()));
    world.wait_messages(3);
    let fetches = world.imap.seen("UID FETCH");
    for _ in 0..4 {
        let polls = daemon.events("mailbox.poll").len();
        let next = daemon.wait_nth_event("mailbox.poll", polls);
        assert_eq!(next["new"], 0, "{next}");
    }
    assert!(world.imap.log().iter().any(|logged| logged.line.contains("UID SEARCH UID 4:*")), "past the end");
    assert_eq!(world.imap.seen("UID FETCH"), fetches);
    world.end(daemon, 0..3);
}

/// F22
#[test]
fn a_folder_that_can_only_be_read_is_posted_once_and_said_once() {
    let world = World::new();
    world.append(0..2);
    world.imap.set_read_only(USER, "INBOX", true);
    let options = "after_post = \"move\"\nmode = \"poll\"\npoll_interval = \"50ms\"\n";
    let daemon = world.daemon_with(&format!("{}{options}", world.config()));
    let told = daemon.wait_event("mailbox.disposition", |line| line["level"] == "warn");
    assert!(has(&told, &[("mailbox", USER), ("folder", "INBOX"), ("action", "unsupported")]), "{told}");
    world.append(2..3);
    world.wait_messages(3);
    let polls = daemon.events("mailbox.poll").len();
    daemon.wait_nth_event("mailbox.poll", polls + 3);
    let told = daemon.events("mailbox.disposition").iter().filter(|line| line["level"] == "warn").count();
    assert_eq!(told, 1);
    assert_eq!(world.imap.messages(USER, "INBOX").len(), 3, "all are still there");
    world.end(daemon, 0..3);
}

/// F54, F55: in the answer to each command.
#[test]
fn odd_bytes_and_unknown_words_of_a_server_harm_nothing() {
    let odd = [
        "OK NUL \0 here",
        "OK bare \r here",
        "OK [ALERT]é 8-bit",
        "OK [XYZZY (1 {2]] what",
        "NO almost full",
        "BAD unasked",
        "XUNKNOWN ((( \" {x} \0 \r é",
        "LIST () \"/\" {6}\r\n\0\r\n* x",
        "",
    ];
    let world = World::new();
    world.append(0..1);
    let rule = |verb| Rule::on(verb, Step::Before(odd.map(str::to_owned).to_vec()));
    world.imap.script(COMMANDS.map(rule));
    let daemon = world.daemon();
    world.wait_messages(1);
    world.append(1..3);
    world.end(daemon, 0..3);
    assert_eq!(world.imap.connections(), 1, "no reason to give the session up");
}

/// One connection after the other meets one of these faults: what is done at which command, and a word of how that is told.
/// Then there are no more, and the mail comes.
#[track_caller]
fn one_after_the_other(faults: &[(&str, Step, &str)]) -> Tried {
    let rules = (1..).zip(faults).map(|(number, (verb, step, _))| Rule::on(verb, step.clone()).connection(number));
    let tried = Tried::new(rules, "reconnect_first = \"5ms\"\nreconnect_max = \"20ms\"");
    tried.shows_recovery();
    let lines = tried.daemon.lines();
    for (attempt, (verb, _, word)) in (1_u64..).zip(faults) {
        let of_this =
            |line: &&Value| line["mailbox"] == USER && line["attempt"] == attempt && line["error"] != Value::Null;
        let broken = |line: &&Value| line["event"] == BROKEN && line["attempt"] == attempt;
        let told = lines.iter().find(broken).or_else(|| lines.iter().find(of_this));
        let told = told.unwrap_or_else(|| panic!("{verb}: {word} is not told in {lines:#?}"));
        assert!(told.to_string().contains(word), "{verb}: {word}: {told}");
    }
    tried
}

/// F55: at each command.
#[test]
fn garbage_instead_of_an_answer_ends_the_session_and_nothing_else() {
    let replies: [(&[u8], &str); 3] = [
        (b"garbage\r\n<tag> OK done\r\n", "unexpected_tag"),
        (b"A0001 OK done\r\n", "unexpected_tag"),
        (b"<tag> PERHAPS\r\n", "the connection was lost"),
    ];
    let at = |verb| replies.map(|(reply, word)| (verb, Step::Raw(reply.to_vec()), word));
    let but_the_last = COMMANDS.iter().filter(|verb| **verb != "UID STORE");
    one_after_the_other(&but_the_last.flat_map(|verb| at(*verb)).collect::<Vec<_>>()).heals();
    // What is done to a finished mail comes when all else is good.
    let tried = Tried::new([Rule::on("UID STORE", Step::Raw(b"garbage\r\n".to_vec())).nth(1)], "");
    tried.shows(BROKEN, &[("rule", "unexpected_tag"), ("stage", "session")]);
    tried.heals();
}

/// T32, F54: what would take the memory or the time of the daemon.
#[test]
fn floods_and_bombs_are_cut_off() {
    let long = format!("* OK {}", "x".repeat(4096)).into_bytes();
    let pieces = b"* XLIST {0}\r\n".to_vec();
    let bombs = [
        ("GREETING", Step::Endless(b"x".repeat(4096), None), "line_too_long"),
        ("AUTHENTICATE", Step::Endless(long, None), "line_too_long"),
        ("SELECT", Step::Endless(b"* OK Still here\r\n".repeat(100), None), "too_many_lines"),
        ("SELECT", Step::Endless(format!("* OK {}\r\n", "x".repeat(60_000)).into_bytes(), None), "too_many_bytes"),
        ("UID FETCH", Step::Endless(pieces, None), "line_too_long"),
        ("UID FETCH", Step::Endless(b"* 1 FETCH (UID 1 BODY[] {4000000000}\r\n".to_vec(), None), "literal_too_big"),
        (
            "UID FETCH",
            Step::Endless([b"* 1 FETCH (FLAGS ".to_vec(), b"(".repeat(100), b"\r\n".to_vec()].concat(), None),
            "too_deep",
        ),
        (
            "UID FETCH",
            Step::Endless([b"* X {60000}\r\n".to_vec(), b"x".repeat(60_000)].concat(), None),
            "literal_too_big",
        ),
    ];
    let quiet = World::new();
    quiet.append(0..1);
    let daemon = quiet.daemon();
    quiet.wait_messages(1);
    let usual = daemon.peak_memory();
    quiet.end(daemon, 0..1);
    let tried = one_after_the_other(&bombs);
    let more = tried.daemon.peak_memory().saturating_sub(usual);
    assert!(more < 100 << 20, "{more} bytes more than without");
    tried.heals();
}

/// T33: a drip is a sign of life and no progress.
#[test]
fn a_server_that_drips_is_given_up_and_keeps_nobody_waiting() {
    let drip = Some(Duration::from_millis(20));
    for (verb, said) in [
        ("CAPABILITY", "* OK Still here\r\n"),
        ("UID SEARCH", "* OK Still here\r\n"),
        ("UID FETCH", "* 1 FETCH (UID 1 BODY[] {200}\r\n"),
    ] {
        let tried = Tried::new(
            [Rule::on(verb, Step::Endless(said.as_bytes().to_vec(), drip)).nth(1)],
            "io_timeout = \"200ms\"",
        );
        tried.shows(FAILED, &[("error_class", "timeout"), ("error", "the whole answer")]);
        tried.heals();
    }
}

/// T33
#[test]
fn a_server_that_falls_silent_is_given_up_and_keeps_nobody_waiting() {
    for verb in COMMANDS {
        let tried = Tried::new([Rule::on(verb, Step::Stall).nth(1)], "io_timeout = \"300ms\"");
        tried.shows(FAILED, &[("error_class", "timeout"), ("error", "any sign")]);
        tried.heals();
    }
}

/// T35
#[test]
fn the_name_of_a_folder_is_a_name_and_nothing_else() {
    let world = World::new();
    let names = ["INBOX", "../../etc/passwd", "a\"b\\c", "x\" (A1 LOGOUT)", "{5}", "%*", "&-", "Été"];
    for (number, name) in names.iter().enumerate() {
        let on_the_wire = utf7_imap::encode_utf7_imap((*name).to_owned());
        world.imap.append(USER, &on_the_wire, World::mail(number));
    }
    let folders = serde_json::to_string(&names).expect("a list");
    let daemon = world.daemon_with(&format!("{}folders = {folders}\n", world.config()));
    world.end(daemon, 0..names.len());
    // Control characters could end the command.
    for name in ["a\r\nA1 LOGOUT", "a\0b", "a\tb"] {
        let name = Value::from(name);
        world.write_config(&format!("{}folders = [{name}]\n", world.config()));
        let refused = world.cli(&["config", "check"]);
        let said = String::from_utf8_lossy(&[refused.stdout, refused.stderr].concat()).into_owned();
        assert!(refused.status.code() == Some(78) && said.contains("control character"), "{said}");
    }
}

/// T36: each session is good, and ended right after.
#[test]
fn sessions_that_end_soon_are_opened_less_and_less_often() {
    let world = World::new();
    world.append(0..1);
    world.imap.script((1..=6).map(|number| Rule::on("UID SEARCH", Step::Close).connection(number).nth(2)));
    let options = "mode = \"poll\"\npoll_interval = \"20ms\"\nreconnect_first = \"20ms\"\nreconnect_max = \"60s\"\n";
    let daemon = world.daemon_with(&format!("{}{options}", world.config()));
    let last = daemon.wait_event(FAILED, |line| line["attempt"] == 6);
    let told = daemon.events(FAILED).iter().filter(|line| line["level"] != "debug").count();
    assert_eq!((last["level"].as_str(), told), (Some("debug"), 2), "{:#?}", daemon.events(FAILED));
    // 20 ms doubled five times, with a jitter of 30 %.
    assert!(last["retry_in_ms"].as_u64() >= Some(448), "{last}");
    world.append(1..2);
    world.end(daemon, 0..2);
}

/// T34: what a server tells of UIDs is compared with what was asked.
#[test]
fn a_server_that_tells_uids_twice_and_out_of_order_is_posted_from_once() {
    let world = World::with(mailbridge::sandbox::imap_server::Options::default(), superoffice_api::Options::default());
    world.append(0..4);
    let lies = ["SEARCH 4 4 3 2 1 1", "9 EXISTS", "2 FETCH (UID 77 FLAGS ())"];
    world.imap.script([Rule::on("UID SEARCH", Step::Before(lies.map(str::to_owned).to_vec()))]);
    let config = format!("{}mode = \"poll\"\npoll_interval = \"50ms\"\n", world.config());
    world.end(world.daemon_with(&config), 0..4);
    // A new session looks at the whole folder, and fetches what it does not have.
    let before = world.imap.log().len();
    world.append(4..5);
    world.end(world.daemon_with(&config), 0..5);
    let log = world.imap.log();
    let said = log[before..].iter().map(|logged| logged.line.as_str());
    let fetched: Vec<&str> = said.filter(|line| line.contains("BODY.PEEK")).collect();
    assert!(matches!(fetched[..], [only] if only.contains("UID FETCH 5 ")), "{fetched:#?}");
}
