//! Mails that abort, hang and bloat a parse worker: the pool lives, and the mail is read on a step of the ladder.
#![expect(clippy::expect_used, reason = "a story ends at the first thing that is wrong")]

use std::io::{Read as _, Write as _};
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::time::Duration;

use base64::Engine as _;
use mailbridge::config::Limits;
use mailbridge::config::units::{Period, Size};
use mailbridge::message::{Depth, Message, Rules};
use mailbridge::parser::{Error, Pool, Source};

const HEAD: &str =
    "From: a@example.org\r\nSubject: still here\r\nMessage-ID: <hostile@example.org>\r\nMIME-Version: 1.0\r\n";

fn program() -> PathBuf {
    PathBuf::from(env!("CARGO_BIN_EXE_mailbridge"))
}

/// What delivery does: a step down after each strike. Gives the strikes beside the message.
async fn down_the_ladder(pool: &Pool, raw: &[u8], rules: &Rules) -> (Message, Vec<Error>) {
    let mut strikes = Vec::new();
    let mut depth = Depth::Full;
    loop {
        match pool.parse(raw, rules, depth, !strikes.is_empty()).await {
            Ok(message) => return (message, strikes),
            Err(error) => {
                assert!(error.is_strike(), "{error}");
                strikes.push(error);
                depth = depth.down().expect("the last step survives every mail");
            }
        }
    }
}

/// A text, then a part that is a chain of 30,000 mails inside each other.
fn nested(base64: bool) -> Vec<u8> {
    let chain = "Content-Type: message/rfc822\r\n\r\n".repeat(30_000) + "Subject: innermost\r\n\r\nx";
    let (encoding, chain) = match base64 {
        true => ("base64", base64::engine::general_purpose::STANDARD.encode(chain)),
        false => ("7bit", chain),
    };
    let text = "--b\r\nContent-Type: text/plain\r\n\r\nthe text";
    format!(
        "{HEAD}Content-Type: multipart/mixed; boundary=b\r\n\r\n{text}\r\n--b\r\nContent-Type: message/rfc822\r\n\
         Content-Transfer-Encoding: {encoding}\r\n\r\n{chain}\r\n--b--\r\n"
    )
    .into_bytes()
}

#[tokio::test]
async fn a_chain_of_mails_is_read_one_step_down() {
    let pool = Pool::new(program(), 1);
    // Encoded, the chain is a file like any other: nobody opens it.
    for (raw, depth) in [(nested(false), Depth::Text), (nested(true), Depth::Full)] {
        let (message, strikes) = down_the_ladder(&pool, &raw, &Rules::default()).await;
        assert_eq!((message.depth, strikes.len()), (depth, 0));
        assert_eq!((message.subject.as_str(), message.text.as_str()), ("still here", "the text"));
    }
    pool.close().await;
}

#[tokio::test]
async fn a_worker_that_dies_is_a_strike_and_the_next_step_is_read() {
    let pool = Pool::new(program(), 1);
    let limits = Limits { parse_memory: Size::mib(128), message_size: Size::mib(200), ..Limits::default() };
    // Decoded it is there three times.
    let raw = [HEAD.as_bytes(), b"Content-Transfer-Encoding: base64\r\n\r\n", &vec![b'A'; 24 << 20]].concat();
    let (message, strikes) = down_the_ladder(&pool, &raw, &Rules { limits, ..Rules::default() }).await;
    assert!(matches!(strikes.as_slice(), [Error::Died { .. }, Error::Died { .. }]), "{strikes:?}");
    assert_eq!((message.depth, message.subject.as_str()), (Depth::Headers, "still here"));
    let (message, strikes) = down_the_ladder(&pool, b"Subject: next\r\n\r\nx", &Rules::default()).await;
    assert_eq!((message.depth, strikes.len()), (Depth::Full, 0), "the pool lives");
    pool.close().await;
}

#[tokio::test]
async fn a_worker_that_wants_too_much_memory_dies_alone() {
    let pool = Pool::new(program(), 1);
    let limits = Limits { parse_memory: Size::mib(128), message_size: Size::mib(200), ..Limits::default() };
    let rules = Rules { limits, ..Rules::default() };
    let raw = [HEAD.as_bytes(), b"\r\n", &vec![b'x'; 120 << 20]].concat();
    let outcome = pool.parse(&raw, &rules, Depth::Full, false).await;
    assert!(matches!(outcome, Err(Error::Died { .. })), "{outcome:?}");
    assert!(pool.parse(b"Subject: next\r\n\r\nx", &rules, Depth::Full, false).await.is_ok());
    pool.close().await;
}

#[tokio::test]
async fn mails_are_read_together_and_one_that_kills_the_worker_is_not_held_against_the_others() {
    let pool = Pool::new(program(), 1);
    let mails: Vec<Vec<u8>> = (0..200).map(|n| format!("Subject: {n}\r\n\r\n{}", "x".repeat(n * 50)).into()).collect();
    let sources: Vec<Source<'_>> = mails.iter().map(Source::from).collect();
    let read = pool.parse_together(&sources, &Rules::default()).await.expect("all end well");
    for (n, message) in read.into_iter().enumerate() {
        assert_eq!(message.expect("read").subject, n.to_string(), "each answer is that of its mail");
    }
    pool.close().await;
    let pool = Pool::new(program(), 1);
    let limits = Limits { parse_memory: Size::mib(128), message_size: Size::mib(200), ..Limits::default() };
    let deadly = [HEAD.as_bytes(), b"\r\n", &vec![b'x'; 120 << 20]].concat();
    let mails = [Source::from(b"Subject: a\r\n\r\nx"), Source::from(&deadly), Source::from(b"Subject: b\r\n\r\nx")];
    assert!(pool.parse_together(&mails, &Rules { limits, ..Rules::default() }).await.is_none());
    assert!(pool.parse(b"Subject: next\r\n\r\nx", &Rules::default(), Depth::Full, false).await.is_ok());
    pool.close().await;
}

#[tokio::test]
async fn a_mail_in_a_file_is_read_by_the_worker() {
    let pool = Pool::new(program(), 1);
    let file = tempfile::NamedTempFile::new().expect("a file");
    std::fs::write(&file, [b"Subject: large\r\n\r\n".as_slice(), &vec![b'x'; 3 << 20]].concat()).expect("written");
    let message = pool.parse(Source::File(file.path()), &Rules::default(), Depth::Full, false).await.expect("read");
    assert_eq!((message.subject.as_str(), message.text.len()), ("large", 2_000_000));
    let path = file.path().to_owned();
    drop(file);
    let error = pool.parse(Source::File(&path), &Rules::default(), Depth::Full, false).await.expect_err("gone");
    assert!(matches!(error, Error::NoFile) && !error.is_strike(), "{error}");
    pool.close().await;
}

#[tokio::test]
async fn a_late_worker_is_stopped() {
    let pool = Pool::new(program(), 1);
    let limits = Limits { parse_time: Period(Duration::from_nanos(1)), ..Limits::default() };
    let raw = [HEAD.as_bytes(), b"\r\n", &vec![b'x'; 8 << 20]].concat();
    let outcome = pool.parse(&raw, &Rules { limits, ..Rules::default() }, Depth::Full, false).await;
    assert!(matches!(outcome, Err(Error::Late { .. })), "{outcome:?}");
    assert!(pool.parse(b"Subject: next\r\n\r\nx", &Rules::default(), Depth::Full, false).await.is_ok());
    pool.close().await;
}

#[tokio::test]
async fn changed_rules_hold_for_the_next_mail() {
    let pool = Pool::new(program(), 1);
    let raw = b"Subject: x\r\n\r\n";
    let mut rules = Rules::default();
    for words in ["(nothing)", "(empty)"] {
        rules.parse.empty_body_text = words.to_owned();
        assert_eq!(pool.parse(raw, &rules, Depth::Full, false).await.expect("read").text, words);
    }
    pool.close().await;
    assert!(matches!(pool.parse(raw, &rules, Depth::Full, false).await, Err(Error::Spawn(_))), "closed is closed");
}

#[tokio::test]
async fn a_program_that_is_none_is_nobody_s_strike() {
    let pool = Pool::new(PathBuf::from("/nonexistent/mailbridge"), 1);
    let error = pool.parse(b"x", &Rules::default(), Depth::Full, false).await.expect_err("nothing to start");
    assert!(matches!(error, Error::Spawn(_)) && !error.is_strike(), "{error}");
}

#[tokio::test]
async fn an_answer_that_is_none_is_refused() {
    // `cat` answers every frame with itself: the first one is no greeting.
    let script = tempfile::tempdir().expect("a directory");
    let path = script.path().join("echo");
    std::fs::write(&path, "#!/bin/sh\nexec /bin/cat\n").expect("written");
    let mode = std::os::unix::fs::PermissionsExt::from_mode(0o700);
    std::fs::set_permissions(&path, mode).expect("made executable");
    let outcome = Pool::new(path, 1).parse(b"x", &Rules::default(), Depth::Full, false).await;
    assert!(matches!(outcome, Err(Error::Refused { .. })), "{outcome:?}");
}

#[test]
fn message_parse_prints_one_line_for_each_mail_below_a_directory() {
    let directory = tempfile::tempdir().expect("a directory");
    std::fs::create_dir(directory.path().join("b")).expect("made");
    for name in ["c.eml", "b/d.eml", "a.eml", "not-a-mail.txt"] {
        std::fs::write(directory.path().join(name), format!("Subject: {name}\r\n\r\nx")).expect("written");
    }
    std::os::unix::fs::symlink("/nonexistent", directory.path().join("z.eml")).expect("linked");
    let output =
        Command::new(program()).args(["message", "parse", "--ndjson"]).arg(directory.path()).output().expect("run");
    let lines: Vec<serde_json::Value> = String::from_utf8(output.stdout)
        .expect("text")
        .lines()
        .map(|line| serde_json::from_str(line).expect("JSON"))
        .collect();
    let files: Vec<_> = lines.iter().map(|line| line["file"].as_str().expect("a name")).collect();
    assert_eq!(files, ["a.eml", "b/d.eml", "c.eml", "z.eml"]);
    for line in &lines[..3] {
        assert_eq!(line["entity"]["SearchTitle"], line["file"]);
        assert_eq!((&line["mail"]["kind"], &line["mail"]["may_answer"]), (&"human".into(), &true.into()), "{line}");
    }
    assert!(lines[3]["entity"].is_null() && lines[3]["error"].is_string(), "{}", lines[3]);
    assert!(!output.status.success(), "a mail that could not be read is told");
}

#[test]
fn message_parse_reads_standard_input() {
    let mut child = Command::new(program())
        .args(["message", "parse", "-"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .expect("started");
    child.stdin.take().expect("a pipe").write_all(b"Subject: x\r\n\r\ny").expect("written");
    let mut printed = String::new();
    child.stdout.take().expect("a pipe").read_to_string(&mut printed).expect("read");
    let entity: serde_json::Value = serde_json::from_str(&printed).expect("JSON");
    assert_eq!(entity["Body"], "y");
    assert!(child.wait().expect("ended").success());
}
