//! Mails made to hurt: what each becomes in SuperOffice, and what it cost the daemon. Run with `--nocapture` the stories print
//! a table: bytes, time in the worker, the largest memory of a worker and of the daemon, the step of the ladder, the marks.

mod mails;

use std::fs;

use mailbridge::message::Rules;
use rustix::process::Pid;
use serde_json::Value;

use self::mails::{HEAD, base64, beside_text, chain, digests, html, mail, multiparts, quoted_printable, three_deep};
use crate::support::World;
use crate::support::canary::PASSWORD;
use crate::support::daemon::{Daemon, peak_kib};
use crate::support::world::USER;

/// A mail and what must become of it.
struct Case {
    name: &'static str,
    raw: Vec<u8>,
    /// The step of the ladder at which it is read.
    step: &'static str,
    /// What the body holds.
    body: &'static str,
    /// What `DebugInfo` says beside the step.
    marks: &'static [&'static str],
}

/// A mail that is read whole and without a mark.
fn case(name: &'static str, raw: Vec<u8>) -> Case {
    Case { name, raw, step: "full", body: "the text", marks: &[] }
}

/// What a mail has cost, in KiB and milliseconds.
struct Cost {
    took_ms: u64,
    worker_kib: u64,
    daemon_kib: u64,
}

/// Posts the mails of a mailbox one after the other, beside the mails of another, and compares what came.
#[track_caller]
fn tell(cases: &[Case]) {
    let world = World::new();
    world.imap.add_user("other", PASSWORD);
    let limits = "[limits]\nparse_time = \"2m\"\n";
    let daemon = world.daemon_with(&format!("{}[mailbox.other]\nuser = \"other\"\n{limits}", world.config()));
    let mut wrong = Vec::new();
    for (number, case) in cases.iter().enumerate() {
        let uid = world.imap.append(USER, "INBOX", case.raw.clone());
        world.imap.append("other", "INBOX", World::mail(number));
        let parsed = daemon.wait_event("message.parsed", |line| is(line, "support", uid));
        daemon.wait_event("message.done", |line| is(line, "support", uid));
        daemon.wait_event("message.done", |line| line["mailbox"] == "other" && line["uid"] == number + 1);
        let cost = cost(&daemon, parsed["took_ms"].as_u64().expect("a time"));
        let message = posted(&world, uid);
        print(case, &message, &cost);
        wrong.extend(differences(case, &message).into_iter().map(|what| format!("{}: {what}", case.name)));
        if cost.daemon_kib > (160 << 10) + 4 * (case.raw.len() >> 10) as u64 {
            wrong.push(format!("{}: the daemon took {} KiB", case.name, cost.daemon_kib));
        }
    }
    assert!(daemon.events("crash.strike").is_empty(), "{:#?}", daemon.events("crash.strike"));
    let kept = world.queue(&["--all"]);
    assert_eq!(kept.iter().filter(|row| row["has_raw"] == true).count(), 2 * cases.len(), "{kept:#?}");
    daemon.stop();
    assert_eq!(wrong, Vec::<String>::new());
    assert_eq!((world.api.count(), world.api.violations()), (2 * cases.len(), Vec::new()));
}

fn is(line: &Value, mailbox: &str, uid: u32) -> bool {
    line["mailbox"] == mailbox && line["uid"] == uid
}

/// The ticket message of a mail of the mailbox `support`.
#[track_caller]
fn posted(world: &World, uid: u32) -> Value {
    let origin = [" mailbox=support ".to_owned(), format!(" uid={uid} ")];
    let mut messages = world.api.messages();
    messages.retain(|message| origin.iter().all(|words| text(message, "DebugInfo").contains(words)));
    assert_eq!(messages.len(), 1, "one message of UID {uid}");
    messages.remove(0)
}

fn text<'m>(message: &'m Value, field: &str) -> &'m str {
    message[field].as_str().unwrap_or_default()
}

fn differences(case: &Case, message: &Value) -> Vec<String> {
    let info = text(message, "DebugInfo");
    let mut wrong = Vec::new();
    let mut check = |holds: bool, what: String| wrong.extend((!holds).then_some(what));
    check(info.contains(&format!(" depth={} ", case.step)), format!("not read at {}: {info}", case.step));
    let body = text(message, "Body");
    check(body.contains(case.body), format!("the body is {}", body.get(..80).unwrap_or(body)));
    check(body.starts_with("[mailbridge: ") == (case.step != "full"), "a degraded mail says so on top".to_owned());
    for mark in case.marks {
        check(info.contains(mark), format!("no {mark} in {info}"));
    }
    if case.raw.starts_with(HEAD.as_bytes()) {
        check(text(message, "SearchTitle") == "still here", "the subject is lost".to_owned());
        check(text(message, "Author") == "mallory@example.org", "the author is lost".to_owned());
        let shown = message["MessageHeaders"].as_array().is_some_and(|headers| {
            headers.iter().any(|header| header["Name"] == "To" && text(header, "Value").contains("support@example.com"))
        });
        check(shown, "To is not among the headers".to_owned());
    }
    wrong
}

/// The largest memory since the last look, of the daemon and of its largest worker; then the kernel forgets it.
fn cost(daemon: &Daemon, took_ms: u64) -> Cost {
    let children = fs::read_dir(format!("/proc/{}/task", daemon.pid()))
        .into_iter()
        .flatten()
        .flatten()
        .filter_map(|thread| fs::read_to_string(thread.path().join("children")).ok())
        .collect::<String>();
    let workers = children.split_whitespace().filter_map(|pid| peak(Pid::from_raw(pid.parse().ok()?)?));
    Cost { took_ms, worker_kib: workers.max().unwrap_or(0), daemon_kib: peak(daemon.pid()).expect("the daemon lives") }
}

fn peak(pid: Pid) -> Option<u64> {
    let peak = peak_kib(pid)?;
    // Where it is not allowed, the largest of all mails so far is shown.
    let _forgotten = fs::write(format!("/proc/{pid}/clear_refs"), "5");
    Some(peak)
}

fn print(case: &Case, message: &Value, cost: &Cost) {
    let info = text(message, "DebugInfo");
    let marks = info.split_once("\ndefects: ").map_or("", |(_, marks)| marks).replace('\n', " | ");
    println!(
        "| {} | {} bytes | {} ms | worker {} KiB | daemon {} KiB | {} | {marks} |",
        case.name,
        case.raw.len(),
        cost.took_ms,
        cost.worker_kib,
        cost.daemon_kib,
        case.step,
    );
}

#[test]
fn mails_that_hardly_are_mails_become_messages() {
    let nuls = [mail("", ""), vec![0; 1 << 20], b"the text".to_vec()].concat();
    let cr_only = mail("", "the text").iter().copied().filter(|byte| *byte != b'\n').collect();
    tell(&[
        Case { body: "(no text)", marks: &["empty", "message_id=made"], ..case("0 bytes", Vec::new()) },
        case("a million NULs", nuls),
        Case { ..case("lines that end in CR alone", cr_only) },
        Case { marks: &["no-header"], ..case("no headers at all", b"the text\r\nwithout any header\r\n".to_vec()) },
        Case { body: "(no text)", ..case("headers alone", HEAD.into()) },
    ]);
}

#[test]
fn mails_inside_mails_become_messages() {
    let rfc822 = "Content-Type: message/rfc822\r\n";
    let deep = chain("message/rfc822", 30_000);
    let blanks = chain("message/rfc822 (a; b)\r\n ; x=y", 30_000);
    let quoted = format!("{rfc822}Content-Transfer-Encoding: quoted-printable\r\n");
    let text = |name, raw| Case { step: "text", marks: &["nesting"], ..case(name, raw) };
    tell(&[
        text("30,000 nested mails", beside_text(rfc822, &deep)),
        Case { body: "", ..text("30,000 nested mails and nothing else", [HEAD, &deep].concat().into_bytes()) },
        case(
            "the same in base64",
            beside_text(&format!("{rfc822}Content-Transfer-Encoding: base64\r\n"), &base64(&deep)),
        ),
        case("the same in quoted-printable", beside_text(&quoted, &quoted_printable(&deep))),
        case("the same three deep", three_deep(30_000)),
        Case { body: "", ..text("30,000 digests", digests(30_000)) },
        text("with blanks and comments in the type", beside_text(rfc822, &blanks)),
        Case { body: "", ..text("1,000 multiparts inside each other", multiparts(1_000)) },
    ]);
}

#[test]
fn crowded_headers_become_messages() {
    let addresses = format!("Cc: {}\r\n", "ann@example.org, ".repeat(1_000_000));
    let hidden = format!("Cc: =?utf-8?q?{}?=\r\n", "a@b,".repeat(2_000));
    let pieces: String = (0..100_000).map(|n| format!(";\r\n name*{n}=x")).collect();
    let pieces = format!("Content-Type: text/plain{pieces}\r\n");
    let words = format!("X-Bomb: x\r\nReply-To: {}\r\n", "=?a?q?x".repeat(9_000));
    let colons = format!("Cc: {}<a>{}\r\n", "x,".repeat(16_000), ":".repeat(30_000));
    tell(&[
        Case {
            marks: &["header-count"],
            ..case("500,000 header lines", mail(&"X-Line: y\r\n".repeat(500_000), "the text"))
        },
        Case { marks: &["header-bytes"], ..case("1,000,000 addresses", mail(&addresses, "the text")) },
        Case { marks: &["addresses-cut"], ..case("2,000 addresses in one encoded word", mail(&hidden, "the text")) },
        Case { marks: &["header-bytes"], ..case("100,000 parameter pieces", mail(&pieces, "the text")) },
        Case {
            marks: &["header-bytes"],
            ..case("a header line of 1 MB", mail(&format!("X: {}\r\n", "y".repeat(1 << 20)), "the text"))
        },
        case("encoded words without end", mail(&words, "the text")),
        case("commas and colons", mail(&colons, "the text")),
    ]);
}

#[test]
fn crowded_bodies_become_messages() {
    let parts = format!("{}--b\r\n\r\nthe text\r\n", "--b\r\n\r\nx\r\n".repeat(200_000));
    let names = format!("--b\r\nContent-Type: image/png; name=\"{}\"\r\n\r\nx\r\n", "=?a?q?x".repeat(4_000)).repeat(30);
    let wide = format!(
        "--b\r\nContent-Type: text/plain; charset=utf-8\r\n\r\n{}\r\n{}",
        "あ".repeat(1_200_000),
        "--b\r\n\r\nx\r\n".repeat(900)
    );
    let mixed = "Content-Type: multipart/mixed; boundary=b\r\n";
    let encoded = |encoding: &str| format!("Content-Transfer-Encoding: {encoding}\r\n");
    tell(&[
        Case { step: "text", body: "x", marks: &["parts"], ..case("200,000 parts", mail(mixed, parts)) },
        case("names of open encoded words", mail(mixed, format!("--b\r\n\r\nthe text\r\n{names}"))),
        Case { body: "あ", ..case("a wide text and 900 more", mail(mixed, wide)) },
        Case {
            marks: &["body-cut"],
            ..case("one line of base64", mail(&encoded("base64"), format!("dGhlIHRleHQK{}", "QUFB".repeat(1_000_000))))
        },
        Case {
            body: "====",
            marks: &["body-cut"],
            ..case("nothing but =", mail(&encoded("quoted-printable"), "=".repeat(3_000_000)))
        },
        case(
            "uuencode that never ends",
            mail("", format!("the text\r\n{}", "begin 644 a\r\nM86)C\r\n".repeat(50_000))),
        ),
        Case {
            marks: &["charset"],
            ..case("a charset that is none", mail("Content-Type: text/plain; charset=x-none\r\n", b"the text \xff"))
        },
        Case {
            body: "ä",
            marks: &[],
            ..case("a bomb of utf-7", mail("Content-Type: text/plain; charset=utf-7\r\n", "+AOQ-".repeat(300_000)))
        },
        Case {
            ..case(
                "a bomb of ISO-2022 escapes",
                mail(
                    "Content-Type: text/plain; charset=iso-2022-jp\r\n",
                    format!("the text{}", "\x1b$B\x1b(B".repeat(200_000)),
                ),
            )
        },
    ]);
}

#[test]
fn html_that_costs_the_square_of_its_length_leaves_its_text() {
    let attributes: String = (0..20_000).map(|n| format!(" a{n}=1")).collect();
    let tail = format!("{}<br>", "x ".repeat(5_000)).repeat(100);
    let effort = |name, raw| Case { marks: &["html-effort"], ..case(name, raw) };
    tell(&[
        effort("60,000 <div> inside each other", html(&format!("{}the text", "<div>".repeat(60_000)))),
        Case {
            marks: &["html-tags"],
            ..case("1,000,000 tags without end", html(&format!("the text{}", "<b>".repeat(1_000_000))))
        },
        effort("20,000 <a><b>", html(&format!("{}the text", "<a><b>".repeat(20_000)))),
        effort("a tag of 20,000 attributes", html(&format!("<p{attributes}>the text"))),
        case("20,000 ampersands before a megabyte", html(&format!("the text{}{tail}", "&<br>".repeat(20_000)))),
    ]);
}

#[test]
fn a_mail_of_50_mb_becomes_a_message() {
    let line = format!("{}\r\n", "x".repeat(76));
    let most = usize::try_from(Rules::default().limits.message_size.0).expect("a size");
    let text = format!("the text\r\n{}", line.repeat((most - HEAD.len() - 20) / line.len()));
    tell(&[Case { marks: &["body-cut"], ..case("a text of 50 MB", mail("", text)) }]);
}

#[test]
fn html_that_deceives_the_estimate_costs_its_worker_and_no_other_mailbox() {
    let world = World::new();
    world.imap.add_user("other", PASSWORD);
    let more = "[mailbox.other]\nuser = \"other\"\n[limits]\nparse_time = \"4s\"\n[parse]\nworkers = 2\n";
    let daemon = world.daemon_with(&format!("{}{more}", world.config()));
    let uid = world.imap.append(USER, "INBOX", mails::deceiving_html());
    daemon.wait_event("message.stored", |line| is(line, "support", uid));
    for number in 0..5 {
        world.imap.append("other", "INBOX", World::mail(number));
    }
    let strike = daemon.wait_event("crash.strike", |line| is(line, "support", uid));
    assert_eq!((&strike["strikes"], &strike["next_step"]), (&1.into(), &"text".into()), "{strike}");
    daemon.wait_event("message.done", |line| is(line, "support", uid));
    let order: Vec<Value> = daemon.lines();
    let at = |wanted: &dyn Fn(&Value) -> bool| order.iter().position(wanted).expect("a line");
    let last_other = at(&|line| line["event"] == "message.done" && is(line, "other", 5));
    assert!(last_other < at(&|line| line["event"] == "crash.strike"), "the other mailbox waited");
    let message = posted(&world, uid);
    assert!(text(&message, "Body").starts_with("[mailbridge: Only the headers and the text"), "{message}");
    assert!(text(&message, "DebugInfo").contains(" depth=text "), "{message}");
    daemon.stop();
    assert_eq!(world.api.count(), 6);
}
