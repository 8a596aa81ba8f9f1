//! The command line as a process: exit codes, and what it says when it cannot.

use std::fs;
use std::os::unix::net::UnixListener;
use std::path::Path;
use std::process::{Command, Output, Stdio};

use tempfile::TempDir;

/// Runs `mailbridge` with no environment but a home of its own.
fn mailbridge(home: &Path, arguments: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_mailbridge"));
    command.args(arguments).env_clear().env("HOME", home).stdin(Stdio::null());
    command.output().unwrap()
}

/// Runs it in a fresh home and checks its exit code and parts of what it says.
#[track_caller]
fn check(arguments: &[&str], code: i32, says: &[&str]) {
    let home = TempDir::new().unwrap();
    check_in(home.path(), arguments, code, says);
}

#[track_caller]
fn check_in(home: &Path, arguments: &[&str], code: i32, says: &[&str]) {
    let output = mailbridge(home, arguments);
    let text = format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert_eq!(output.status.code(), Some(code), "{arguments:?}: {text}");
    for part in says {
        assert!(text.contains(part), "{arguments:?} should say `{part}`: {text}");
    }
}

#[test]
fn wrong_arguments_are_64_and_the_right_word_is_suggested() {
    check(&["queu"], 64, &["queue"]);
    check(&["queue", "list", "--stat", "dead"], 64, &["--state"]);
    check(&["queue", "list", "--state", "lost"], 64, &["`lost` is not a state"]);
    check(&["queue", "show", "01KAPX2Q7M5T", "--socket", "/nowhere"], 64, &["26 characters"]);
    check(&["queue", "list", "--older", "2"], 64, &["number with a unit"]);
    check(&["mailbox", "start", "Support"], 64, &["mailbox name"]);
    check(&[], 64, &["Usage"]);
}

#[test]
fn help_and_version_are_0_and_name_no_hidden_verb() {
    check(&["--version"], 0, &[env!("CARGO_PKG_VERSION")]);
    check(&["version"], 0, &["mailbridge"]);
    check(&["version", "--ndjson"], 0, &[r#"{"v":1,"version":""#]);
    let home = TempDir::new().unwrap();
    let help = String::from_utf8(mailbridge(home.path(), &["--help"]).stdout).unwrap();
    assert!(help.contains("queue") && !help.contains("parse-worker"), "{help}");
}

#[test]
fn without_a_daemon_every_question_is_69_with_advice() {
    let advice = ["no mailbridge answers at", "systemctl start mailbridge"];
    check(&["status"], 69, &advice);
    check(&["reload"], 69, &advice);
    check(&["mailbox", "start", "support"], 69, &advice);
    check(&["queue", "retry", "--all"], 69, &advice);
    check(&["queue", "drop", "--all", "--yes"], 69, &advice);
    check(&["queue", "list", "--socket", "/nowhere/control.sock"], 69, &["/nowhere/control.sock"]);
}

#[test]
fn a_verb_that_changes_things_wants_to_know_which() {
    for verb in ["retry", "drop", "hold", "release"] {
        check(&["queue", verb], 64, &["say which", "--all"]);
    }
    check(&["queue", "show"], 64, &["say which"]);
}

#[test]
fn a_mail_that_is_not_there_is_66() {
    let home = TempDir::new().unwrap();
    let folder = home.path().to_str().unwrap();
    check(&["message", "parse", "/nowhere/a.eml"], 66, &["/nowhere/a.eml", "No such file"]);
    check(&["message", "parse", "/nowhere/a.eml", "--ndjson"], 66, &[r#""error":"reading /nowhere/a.eml"#]);
    check(&["message", "parse", folder], 66, &["there is no *.eml below"]);
}

#[test]
fn a_mail_is_explained_to_people_and_to_programs() {
    let home = TempDir::new().unwrap();
    let file = home.path().join("a.eml");
    let mail = "From: Ann <ann@example.org>\nSubject: Re: \u{1b}[31mred\nIn-Reply-To: <1@example.com>\nReferences: <0@example.com> \
        <1@example.com>\n\nHallo, der Drucker im zweiten Stock druckt immer noch nicht.\n\nAm 01.05.2024 um 09:00 schrieb Support:\n\
        > Bitte neu starten\n";
    fs::write(&file, mail).unwrap();
    let file = file.to_str().unwrap();
    let says = [
        "Ann <ann@example.org>",
        "known by   attribution",
        "Hallo, der Drucker im zweiten Stock druckt immer noch nicht.",
        "in-reply-to  1@example.com",
        "references   0@example.com",
        "It has no Date",
        "debug info  mailbridge qid=",
    ];
    check(&["message", "explain", file], 0, &says);
    let home = TempDir::new().unwrap();
    let text = mailbridge(home.path(), &["message", "explain", file]).stdout;
    assert!(!text.contains(&0x1b), "a mail must not colour a terminal");
    let json = mailbridge(home.path(), &["message", "explain", file, "--json"]).stdout;
    let trail: serde_json::Value = serde_json::from_slice(&json).unwrap();
    assert_eq!((&trail["v"], &trail["language"]["told"]), (&1.into(), &"de".into()));
    assert_eq!(trail["thread"]["candidates"][1]["message_id"], "0@example.com");
    assert_eq!((&trail["visible"]["chars"], &trail["kind"]["kind"]), (&60.into(), &"human".into()));
    check(&["message", "explain", "/nowhere/a.eml"], 66, &["/nowhere/a.eml"]);
}

#[test]
fn a_reader_that_has_seen_enough_is_no_failure() {
    let program = env!("CARGO_BIN_EXE_mailbridge");
    let mails = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/data/mail");
    for how in ["", "--ndjson"] {
        let mut command = Command::new(program);
        let command = command.args(["message", "parse", mails]).args(how.split_terminator(' ')).env_clear();
        let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        drop(child.stdout.take());
        let output = child.wait_with_output().unwrap();
        assert!(output.status.success() && output.stderr.is_empty(), "{how}: {output:?}");
    }
}

#[test]
fn a_mail_is_read_although_the_configuration_is_for_others() {
    let home = TempDir::new().unwrap();
    // A folder in its place cannot be read either, not even by root.
    fs::create_dir(home.path().join("config.toml")).unwrap();
    let mail = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/data/mail/alternative.eml");
    let mut command = Command::new(env!("CARGO_BIN_EXE_mailbridge"));
    let command = command.args(["message", "parse", mail]).env_clear().env("CONFIGURATION_DIRECTORY", home.path());
    let output = command.output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success() && said.contains("the defaults are used"), "{said}");
}

#[test]
fn without_any_configuration_the_file_to_write_is_named() {
    let home = TempDir::new().unwrap();
    let mut command = Command::new(env!("CARGO_BIN_EXE_mailbridge"));
    let output = command.args(["config", "check"]).env_clear().env("CONFIGURATION_DIRECTORY", home.path()).output();
    let output = output.unwrap();
    let text = String::from_utf8_lossy(&output.stdout);
    let hint = format!("write a [mailbox.NAME] table in {}/config.toml (which is not there)", home.path().display());
    assert!(output.status.code() == Some(78) && text.contains(&hint), "{text}");
}

#[test]
fn every_place_where_a_daemon_was_looked_for_is_named() {
    check(&["status"], 69, &["/run/mailbridge/control.sock", "mailbridge/control.sock: No such file"]);
}

#[test]
fn a_stale_socket_is_no_daemon() {
    let home = TempDir::new().unwrap();
    let socket = home.path().join("control.sock");
    drop(UnixListener::bind(&socket).unwrap());
    check_in(home.path(), &["status", "--socket", socket.to_str().unwrap()], 69, &["no mailbridge answers"]);
}

#[test]
fn a_configuration_that_cannot_be_understood_is_78() {
    let home = TempDir::new().unwrap();
    let file = home.path().join("config.toml");
    fs::write(&file, "[mailbox.support]\nhots = \"imap.example.com\"\n").unwrap();
    check_in(home.path(), &["-c", file.to_str().unwrap(), "run"], 78, &["hots"]);
    check_in(home.path(), &["-c", "/nowhere/config.toml", "run"], 78, &["/nowhere/config.toml"]);
}
