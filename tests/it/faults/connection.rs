//! Connecting and signing in: servers that are away, mute, rude, full, or that refuse.

use mailbridge::sandbox::imap_server::{self, Rule, Step, Tagged};
use mailbridge::sandbox::superoffice_api;
use serde_json::Value;

use crate::support::World;
use crate::support::canary::{PASSWORD, quoted};
use crate::support::tried::Tried;
use crate::support::world::USER;

const FAILED: &str = "mailbox.connect_failed";

/// F1
#[test]
fn a_server_that_is_away_is_told_twice_and_not_with_each_try() {
    let world = World::new();
    world.imap.set_down(true);
    let tried = Tried::at(world, [], "reconnect_first = \"5ms\"\nreconnect_max = \"40ms\"", "");
    tried.shows(FAILED, &[("stage", "tcp"), ("error_class", "tcp"), ("attempt", "8")]);
    let count = |level: &str| tried.daemon.events(FAILED).iter().filter(|line| line["level"] == level).count();
    assert_eq!((count("warn"), count("error")), (1, 1), "{:#?}", tried.daemon.events(FAILED));
    tried.world.imap.set_down(false);
    tried.shows_recovery();
    tried.heals();
}

/// F2, and the rest of a server that is mute or says too much before it has said anything.
#[test]
fn a_greeting_that_does_not_come_is_not_waited_for() {
    let drip = std::time::Duration::from_millis(20);
    for (step, fields) in [
        (Step::Stall, [("stage", "greeting"), ("error_class", "timeout")]),
        (Step::Endless(b"* OK ".to_vec(), Some(drip)), [("stage", "greeting"), ("error_class", "timeout")]),
        (Step::Close, [("stage", "greeting"), ("error_class", "lost")]),
        (Step::RawThenClose(b"* OK almo".to_vec()), [("stage", "greeting"), ("error_class", "lost")]),
    ] {
        let tried = Tried::new([Rule::on("GREETING", step)], "connect_timeout = \"400ms\"");
        tried.shows(FAILED, &fields);
        tried.no_secret_was_said();
        tried.heals();
    }
}

/// F5
#[test]
fn only_a_server_that_says_ok_is_signed_in_to() {
    for (greeting, event, fields) in [
        ("* BYE too busy\r\n", FAILED, [("stage", "greeting"), ("error", "too busy")]),
        ("* PREAUTH welcome, root\r\n", "mailbox.protocol_violation", [("rule", "preauth"), ("stage", "greeting")]),
        ("* NO\r\n", FAILED, [("stage", "greeting"), ("error_class", "greeting")]),
        ("220 smtp.example.com ESMTP\r\n", FAILED, [("stage", "greeting"), ("error", "220 smtp")]),
        ("\r\n* OK\r\n", FAILED, [("stage", "greeting"), ("error_class", "greeting")]),
        ("\0\u{1b}[2J\u{fffd}\r\n", FAILED, [("stage", "greeting"), ("error", "\\u{1b}[2J")]),
    ] {
        let tried = Tried::new([Rule::on("GREETING", Step::Raw(greeting.as_bytes().to_vec()))], "");
        tried.shows(event, &fields);
        assert!(tried.world.imap.log().is_empty(), "{greeting}: {:?}", tried.world.imap.log());
        tried.heals();
    }
}

/// F6: accounts are locked by those who go on trying.
#[test]
fn a_wrong_password_is_tried_three_times_and_then_left_alone() {
    let rule = Rule::on("AUTHENTICATE", Step::no("[AUTHENTICATIONFAILED] Authentication failed."));
    let tried = Tried::new([rule], "reconnect_first = \"5ms\"\nreconnect_max = \"10ms\"");
    let denied = tried.shows(
        "mailbox.auth_denied",
        &[("attempt", "3"), ("level", "error"), ("mechanism", "PLAIN"), ("server_text", "Authentication failed.")],
    );
    assert!(denied["retry_in_ms"].as_u64() >= Some(900_000), "{denied}");
    let told = tried.daemon.events("mailbox.auth_denied").len();
    assert_eq!((told, tried.world.imap.seen("AUTHENTICATE")), (2, 3), "one alarm, and one when it lasts");
    // Whoever has mended it does not have to wait.
    tried.world.imap.script([]);
    assert!(tried.world.cli(&["reload"]).status.success());
    tried.heals();
}

/// F7
#[test]
fn a_server_that_is_full_is_no_wrong_password() {
    for (text, class) in [
        ("[UNAVAILABLE] Temporary authentication failure.", "Temporary authentication"),
        ("Maximum number of connections from user+IP exceeded (mail_max_userip_connections=10)", "Maximum number"),
        ("[ALERT] Too many simultaneous connections. (Failure)", "Too many simultaneous"),
        ("[LIMIT] later", "later"),
        ("[INUSE] another client is busy", "another client"),
        ("[THROTTLED] slow down", "slow down"),
        ("[SERVERBUG] oops", "oops"),
    ] {
        let tried = Tried::new([Rule::on("AUTHENTICATE", Step::no(text)).nth(1)], "");
        tried.shows(FAILED, &[("stage", "auth"), ("error_class", "refused"), ("level", "warn"), ("error", class)]);
        assert_eq!(tried.daemon.events("mailbox.auth_denied"), Vec::<Value>::new(), "{text}");
        tried.heals();
    }
}

/// F7: with a time that the server names, or that is known of it.
#[test]
fn a_server_that_asks_for_patience_gets_it() {
    for (text, least) in [
        ("[LIMIT] Request is throttled. Suggested Backoff Time: 299910 milliseconds", 299_910),
        ("[OVERQUOTA] Account exceeded command or bandwidth limits. (Failure)", 3_600_000),
    ] {
        let tried = Tried::new([Rule::on("AUTHENTICATE", Step::no(text))], "");
        let line = tried.shows(FAILED, &[("stage", "auth"), ("error_class", "refused"), ("level", "warn")]);
        assert!(line["retry_in_ms"].as_u64() >= Some(least), "{line}");
        tried.daemon.stop();
        assert_eq!(tried.world.imap.seen("AUTHENTICATE"), 1);
    }
}

/// F8
#[test]
fn signed_in_but_not_connected_is_an_alarm_and_tried_slowly() {
    let refusal = b"<tag> BAD User is authenticated but not connected.\r\n* BYE Connection closed. 14\r\n".to_vec();
    let tried = Tried::new([Rule::on("SELECT", Step::RawThenClose(refusal))], "");
    let slowly = [("level", "error"), ("stage", "select"), ("retry_in_ms", "500"), ("error", "not connected")];
    tried.shows(FAILED, &slowly);
    tried.heals();
}

/// F10
#[test]
fn capabilities_are_asked_anew_after_the_sign_in() {
    let poor = Step::Reply(vec!["CAPABILITY IMAP4rev1 AUTH=PLAIN".to_owned()], Tagged::Ok("done".to_owned()));
    let mute = Step::Instead(Tagged::Ok("welcome".to_owned()));
    // IDLE is offered only to those who have signed in; without it this mailbox would not be looked at for an hour.
    let tried = Tried::new(
        [Rule::on("CAPABILITY", poor).nth(1), Rule::on("LOGIN", mute)],
        "auth = \"login\"\npoll_interval = \"1h\"",
    );
    tried.daemon.wait_event("mailbox.state", |line| line["mailbox"] == USER && line["to"] == "idle");
    assert_eq!(tried.world.imap.seen("CAPABILITY"), 2);
    tried.world.append(2..3);
    tried.world.end(tried.daemon, 0..3);
}

/// F11
#[test]
fn a_server_that_wants_to_know_who_we_are_is_told() {
    let imap = imap_server::Options { requires_id: true, ..imap_server::Options::default() };
    let world = World::with(imap, superoffice_api::Options::default());
    world.append(0..1);
    world.end(world.daemon(), 0..1);
}

/// F12
#[test]
fn a_server_that_does_not_want_to_know_who_we_are_is_served() {
    for step in [Step::bad("what"), Step::no("no"), Step::Reply(vec!["ID NIL".to_owned()], Tagged::Ok(String::new()))] {
        let world = World::new();
        world.append(0..1);
        world.imap.script([Rule::on("ID", step)]);
        world.end(world.daemon(), 0..1);
        assert_eq!(world.imap.connections(), 1);
    }
}

/// F13
#[test]
fn any_password_and_any_user_can_sign_in() {
    for imap in [imap_server::Options::default(), imap_server::Options::poor()] {
        for (user, password) in [
            (r#"a"b\c"#, r#"q"uo\te"#),
            ("anna", "pässwörd €"),
            ("änna", "a b"),
            ("o'neil", "{5}"),
            ("anna", "line\r\nA1 LOGOUT"),
            ("(anna)", " * % "),
        ] {
            let world = World::with(imap.clone(), superoffice_api::Options::default());
            world.imap.add_user(user, password);
            world.imap.append(user, "INBOX", World::mail(0));
            let config = world.base_config().replace(&format!("password = {}\n", quoted(PASSWORD)), "");
            // A string of JSON is one of TOML.
            let (user, password) = (Value::from(user), Value::from(password));
            let daemon = world.daemon_with(&format!("{config}[mailbox.any]\nuser = {user}\npassword = {password}\n"));
            world.end(daemon, 0..1);
        }
    }
}
