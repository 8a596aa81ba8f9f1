//! Sessions against scripted servers at the other end of a pipe: what a server may say, and what we make of it.

use std::time::Duration;

use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader, DuplexStream};

use super::capability::Capabilities;
use super::command::Wire;
use super::connect::Connected;
use super::error::Error;
use super::fetch::{Body, Haul, Metadata, Section};
use super::idle::Idled;
use super::session::{Folder, Session};
use crate::config;
use crate::config::Secret;
use crate::ids::{Uid, UidValidity};
use crate::uids::UidSet;

/// What the server does after each line of the client: `@` stands for the tag. After the last reply it closes, unless
/// that is [`STALL`].
pub(super) type Script = Vec<Vec<u8>>;

pub(super) const STALL: &[u8] = b"(stall)";
pub(super) const LIMIT: Duration = Duration::from_secs(60);

pub(super) async fn serve(mut stream: BufReader<DuplexStream>, script: Script) -> Vec<String> {
    let mut lines = Vec::new();
    for reply in script {
        let mut line = String::new();
        if stream.read_line(&mut line).await.unwrap_or(0) == 0 {
            break;
        }
        let tag = line.split(' ').next().unwrap_or_default().to_owned();
        lines.push(line.split_once(' ').map_or_else(|| line.trim_end(), |(_, rest)| rest.trim_end()).to_owned());
        if reply == STALL {
            let mut rest = Vec::new();
            stream.read_to_end(&mut rest).await.expect("the client closes");
            break;
        }
        for piece in reply.split_inclusive(|b| *b == b'@') {
            let bytes = piece.strip_suffix(b"@").map(|piece| [piece, tag.as_bytes()].concat());
            if stream.write_all(bytes.as_deref().unwrap_or(piece)).await.is_err() {
                return lines;
            }
        }
    }
    lines
}

pub(super) fn wire() -> (Wire, BufReader<DuplexStream>) {
    let (ours, theirs) = tokio::io::duplex(1 << 20);
    (Wire::new(Box::new(ours), 64 << 10, LIMIT), BufReader::new(theirs))
}

pub(super) async fn signed_in(capabilities: &str) -> (Session, BufReader<DuplexStream>) {
    let (wire, server) = wire();
    let offered: Capabilities = ["AUTH=PLAIN".to_owned(), "SASL-IR".to_owned()].into_iter().collect();
    let connected = Connected { wire, capabilities: offered, tls_version: "none" };
    let mailbox = config::Mailbox { password: Some(Secret::Plain("p".to_owned())), ..config::Mailbox::default() };
    let limits = config::Limits::default();
    let capabilities = format!("IMAP4rev1 {capabilities}");
    let capabilities = capabilities.trim_end();
    let answer = format!("@ OK [CAPABILITY {capabilities}] welcome\r\n");
    let starting = Session::start(connected, &mailbox, &limits);
    let serving = async {
        let mut server = server;
        let mut line = String::new();
        server.read_line(&mut line).await.expect("a line");
        let tag = line.split(' ').next().expect("a tag");
        server.write_all(answer.replace('@', tag).as_bytes()).await.expect("written");
        server
    };
    let (session, server) = tokio::join!(starting, serving);
    (session.expect("signed in"), server)
}

pub(super) fn script(replies: &[&str]) -> Script {
    replies.iter().map(|reply| reply.as_bytes().to_vec()).collect()
}

pub(super) fn folder() -> Folder {
    Folder { uidvalidity: UidValidity(1), uid_next: None, exists: 9, read_only: false, permanent_flags: None }
}

pub(super) async fn all(session: &mut Session) -> Result<UidSet, Error> {
    session.uids(Uid(1), &folder()).await
}

#[track_caller]
pub(super) fn word<T: std::fmt::Debug>(result: &Result<T, Error>) -> &'static str {
    match result {
        Ok(_) => "ok",
        Err(Error::Violation { violation, .. }) => violation.rule,
        Err(error) => error.class(),
    }
}

#[tokio::test(start_paused = true)]
async fn only_an_ok_greeting_goes_on() {
    for (greeting, expected) in [
        ("* OK hello\r\n", "ok"),
        ("* ok\n", "ok"),
        ("* PREAUTH hello\r\n", "preauth"),
        ("* BYE too busy\r\n", "greeting"),
        ("+ OK\r\n", "greeting"),
        ("220 smtp.example.com ESMTP\r\n", "greeting"),
        ("\r\n", "greeting"),
        ("* OK without an end", "lost"),
        ("", "lost"),
    ] {
        let (mut wire, mut server) = wire();
        server.write_all(greeting.as_bytes()).await.expect("written");
        server.shutdown().await.expect("closed");
        assert_eq!(word(&wire.greeting("host").await), expected, "{greeting}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_silent_or_endless_greeting_ends() {
    let (mut wire, server) = wire();
    assert_eq!(word(&wire.greeting("host").await), "timeout");
    drop(server);
    let (mut wire, mut server) = self::wire();
    server.write_all(&[b'x'; 100_000]).await.expect("written");
    assert_eq!(word(&wire.greeting("host").await), "line_too_long");
}

#[track_caller]
fn assert_uids(result: Result<UidSet, Error>, expected: Result<&str, &str>, reply: &str) {
    match (result, expected) {
        (Ok(uids), Ok(expected)) => assert_eq!(uids.to_string(), expected, "{reply}"),
        (result, expected) => assert_eq!(Err(word(&result)), expected, "{reply}"),
    }
}

#[tokio::test(start_paused = true)]
async fn a_search_is_complete_or_an_error() {
    for (reply, expected) in [
        ("* SEARCH 5 3 4\r\n@ OK done\r\n", Ok("3:5")),
        ("* SEARCH\r\n@ OK done\r\n", Ok("")),
        ("@ OK done\r\n", Ok("")),
        ("* SEARCH  7   9 (MODSEQ 12)\r\n* SEARCH 11\r\n@ OK\r\n", Ok("7,9,11")),
        ("* search 7\n@ ok\n", Ok("7")),
        ("* NO quota 90%\r\n* SEARCH 1\r\n@ OK done\r\n", Ok("1")),
        (
            "* OK [ALERT]é\r\n* 3 EXISTS\r\n* XUNKNOWN (\"\r\n* LIST () \"/\" {3}\r\na b\r\n* SEARCH 1\r\n@ OK [CLOSED]é\r\n",
            Ok("1"),
        ),
        ("* 1 FETCH (FLAGS (\\Seen) INTERNALDATE NIL)\r\n* SEARCH 2\r\n@ OK\r\n", Ok("2")),
        ("* 1 FETCH (UID 5 X y\r\n@ OK\r\n", Err("list_not_closed")),
        ("* 1 FETCH (INTERNALDATE NIL internaldate nil)\r\n* SEARCH 2\r\n@ OK\r\n", Ok("2")),
        ("* SEARCH 1 2\r\n@ NO [SERVERBUG] boom\r\n", Err("refused")),
        ("@ BAD what\r\n", Err("refused")),
        ("* SEARCH 1\r\n* BYE Autologout\r\n", Err("bye")),
        ("* SEARCH 1\r\n", Err("lost")),
        ("* SEARCH 1\r\n@ O", Err("lost")),
        ("", Err("lost")),
        ("* SEARCH 4294967296\r\n@ OK\r\n", Err("not_a_uid")),
        ("* SEARCH 1\r\nA0001 OK done\r\n", Err("unexpected_tag")),
        ("+ go on\r\n@ OK\r\n", Err("unexpected_continue")),
    ] {
        let (mut session, server) = signed_in("").await;
        let (result, _) = tokio::join!(all(&mut session), serve(server, script(&[reply])));
        assert_uids(result, expected, reply);
    }
}

#[tokio::test(start_paused = true)]
async fn a_lost_session_stays_lost() {
    let (mut session, server) = signed_in("").await;
    let (first, _) = tokio::join!(all(&mut session), serve(server, script(&["* BYE\r\n"])));
    assert_eq!(word(&first), "bye");
    assert_eq!(word(&session.uids(Uid(1), &folder()).await), "lost");
}

#[tokio::test(start_paused = true)]
async fn a_command_that_was_given_up_ends_the_session() {
    let (mut session, server) = signed_in("").await;
    let given_up = async {
        let none = tokio::time::timeout(Duration::from_secs(1), session.uids(Uid(1), &folder())).await;
        assert!(none.is_err());
        session.uids(Uid(1), &folder()).await
    };
    let (second, _) = tokio::join!(given_up, serve(server, vec![STALL.to_vec()]));
    assert_eq!(word(&second), "lost");
}

#[tokio::test(start_paused = true)]
async fn silence_and_a_trickle_both_end() {
    let (mut session, server) = signed_in("").await;
    let stalled = async {
        let result = session.uids(Uid(1), &folder()).await;
        drop(session);
        result
    };
    let (result, _) = tokio::join!(stalled, serve(server, vec![STALL.to_vec()]));
    assert!(matches!(result, Err(Error::Timeout { waited_for: "any sign", .. })), "{result:?}");

    let (mut session, mut server) = signed_in("").await;
    let trickle = async {
        while server.write_all(b"* OK still here\r\n").await.is_ok() {
            tokio::time::sleep(Duration::from_secs(30)).await;
        }
    };
    let searched = async {
        let result = session.uids(Uid(1), &folder()).await;
        drop(session);
        result
    };
    let (result, ()) = tokio::join!(searched, trickle);
    assert!(matches!(result, Err(Error::Timeout { waited_for: "the whole answer", .. })), "{result:?}");
}

#[tokio::test(start_paused = true)]
async fn an_answer_before_its_command_is_refused() {
    let (mut session, mut server) = signed_in("").await;
    server.write_all(b"* 4 EXISTS\r\nA0002 OK done\r\n").await.expect("written");
    assert_eq!(word(&session.uids(Uid(1), &folder()).await), "unexpected_tag");
}

#[tokio::test(start_paused = true)]
async fn windows_double_so_that_a_far_uidnext_is_soon_reached() {
    let (mut session, server) = signed_in("").await;
    let far = Folder { uid_next: Some(Uid(u32::MAX)), ..folder() };
    let replies = vec![b"* SEARCH 3\r\n@ OK\r\n".to_vec(); 40];
    let searched = async {
        let result = session.uids(Uid(2), &far).await;
        drop(session);
        result
    };
    let (result, lines) = tokio::join!(searched, serve(server, replies));
    assert_uids(result, Ok("3"), "windows");
    assert_eq!(lines.first().map(String::as_str), Some("UID SEARCH UID 2:20001"));
    assert_eq!(lines.get(1).map(String::as_str), Some("UID SEARCH UID 20002:60001"));
    assert!(lines.len() < 22, "{}", lines.len());
    assert!(lines.last().expect("a line").ends_with(":*"));
}

#[tokio::test]
async fn a_million_ids_take_no_time() {
    let (mut session, server) = signed_in("").await;
    let ids: Vec<String> = (1..=1_000_000_u32).map(|id| (id * 2).to_string()).collect();
    let reply = format!("* SEARCH {}\r\n@ OK\r\n", ids.join(" "));
    let work = async { tokio::join!(all(&mut session), serve(server, script(&[&reply]))).0 };
    let uids = tokio::time::timeout(Duration::from_secs(20), work).await.expect("in time").expect("uids");
    assert_eq!(uids.len(), 1_000_000);
}

#[tokio::test(start_paused = true)]
async fn the_last_mail_is_left_out_of_a_search_behind_it() {
    let (mut session, server) = signed_in("").await;
    let folder = folder();
    let searched = session.uids(Uid(8), &folder);
    let (uids, lines) = tokio::join!(searched, serve(server, script(&["* SEARCH 7\r\n@ OK\r\n"])));
    assert_eq!((uids.expect("uids").to_string(), lines), (String::new(), vec!["UID SEARCH UID 8:*".to_owned()]));
}

fn wanted() -> Vec<Metadata> {
    [1, 2, 3].map(|uid| Metadata { uid: Uid(uid), size: 4, internal_date: None }).to_vec()
}

#[track_caller]
fn assert_haul(haul: &Haul<(Uid, Body)>, expected: &str, failure: &str, reply: &str) {
    let shown = |body: &Body| match body {
        Body::Bytes(raw) => String::from_utf8_lossy(raw).into_owned(),
        Body::Diverted(size) => format!("({size})"),
    };
    let items: Vec<String> = haul.items.iter().map(|(uid, body)| format!("{uid}={}", shown(body))).collect();
    let failed = haul.failure.as_ref().map_or("ok", |error| match error {
        Error::Violation { violation, .. } => violation.rule,
        other => other.class(),
    });
    assert_eq!((items.join(" ").as_str(), failed), (expected, failure), "{reply}");
}

#[tokio::test(start_paused = true)]
async fn a_fetch_gives_what_came_and_was_asked_for() {
    let deep = "(".repeat(3000);
    for (reply, items, failure) in [
        (
            "* 1 FETCH (UID 1 BODY[] {2}\r\nab)\r\n* 2 FETCH (BODY[] {3+}\r\nc\0d UID 2)\r\n@ OK\r\n",
            "1=ab 2=c\0d",
            "ok",
        ),
        ("* 1 FETCH (UID 1 BODY[] ~{2}\r\n{9 FLAGS ())\r\n@ OK\r\n", "1={9", "ok"),
        (
            "* 1 FETCH (UID 1 BODY[] \"a\")\r\n* 2 FETCH (UID 2 BODY[] \"\")\r\n* 3 FETCH (UID 3 BODY[] NIL)\r\n@ OK\r\n",
            "1=a",
            "ok",
        ),
        ("* 1 FETCH (UID 1 BODY[] {1}\r\na)\r\n* 1 FETCH (UID 1 BODY[] {1}\r\nb)\r\n@ OK\r\n", "1=a", "ok"),
        (
            "* 1 FETCH (UID 9 BODY[] {1}\r\na)\r\n* 2 FETCH (BODY[] {1}\r\nb)\r\n* 3 FETCH (UID 3 FLAGS (\\Seen))\r\n@ OK\r\n",
            "",
            "ok",
        ),
        ("* 1 FETCH (UID 1 BODY[] {1}\r\na)\r\n@ NO gone\r\n", "1=a", "refused"),
        ("* 1 FETCH (UID 1 BODY[] {1}\r\na)\r\n@ BAD Request is throttled\r\n", "1=a", "refused"),
        ("* 1 FETCH (UID 1 BODY[] {1}\r\na)\r\n* BYE\r\n", "1=a", "bye"),
        ("* 1 FETCH (UID 1 BODY[] {1}\r\na)\r\n* 2 FETCH (UID 2 BODY[] {9}\r\nabc", "1=a", "lost"),
        ("* 1 FETCH (UID 1 BODY[] {1}\r\na)\r\n", "1=a", "lost"),
        ("* 1 FETCH (UID 1 BODY[] {1}\r\nabc)\r\n@ OK\r\n", "", "lost"),
        ("* 1 FETCH (UID 1 BODY[] {99999999}\r\na)\r\n@ OK\r\n", "", "literal_too_big"),
        ("* 1 FETCH (UID 1 BODY[] {99999999999999999999}\r\na)\r\n@ OK\r\n", "", "literal_too_big"),
        (&format!("* 1 FETCH (BODYSTRUCTURE {deep}\r\n@ OK\r\n"), "", "too_deep"),
        (&format!("* 1 FETCH (UID 1 X \"{}\")\r\n@ OK\r\n", "x".repeat(70_000)), "", "line_too_long"),
    ] {
        let (mut session, server) = signed_in("").await;
        let wanted = wanted();
        let (haul, _) = tokio::join!(session.bodies(&wanted, Section::Whole), serve(server, script(&[reply])));
        assert_haul(&haul, items, failure, reply);
    }
}

#[tokio::test(start_paused = true)]
async fn an_answer_without_end_is_cut_off() {
    let (mut session, mut server) = signed_in("").await;
    let flood = async {
        let some = "* 1 EXPUNGE\r\n".repeat(1000);
        while server.write_all(some.as_bytes()).await.is_ok() {}
    };
    let searched = async {
        let result = session.uids(Uid(1), &folder()).await;
        drop(session);
        result
    };
    let (result, ()) = tokio::join!(searched, flood);
    assert_eq!(word(&result), "too_many_lines");
}

#[tokio::test(start_paused = true)]
async fn a_folder_is_described_as_far_as_the_server_tells() {
    let full = "* 18 EXISTS\r\n* 2 RECENT\r\n* FLAGS (\\Seen é)\r\n* OK [UIDVALIDITY 7] ok\r\n* OK [UIDNEXT 5]\r\n\
                * OK [PERMANENTFLAGS (\\Seen \\*)] ok\r\n@ OK [READ-ONLY] done\r\n";
    let (mut session, server) = signed_in("").await;
    let (selected, lines) = tokio::join!(session.select("Ä"), async { serve(server, script(&[full])).await });
    let selected = selected.expect("selected");
    assert_eq!(lines, ["SELECT \"&AMQ-\""]);
    assert_eq!((selected.uidvalidity, selected.uid_next, selected.exists), (UidValidity(7), Some(Uid(5)), 18));
    assert!(selected.read_only && session.is_selected("Ä"));

    let (mut session, server) = signed_in("").await;
    let poor = script(&["@ OK\r\n", "@ NO [NONEXISTENT] no\r\n"]);
    let both = async { (session.select("a").await, session.select("b").await.map(|_| ())) };
    let ((bare, refused), _) = tokio::join!(both, serve(server, poor));
    assert_eq!(bare.map(|folder| (folder.uidvalidity, folder.uid_next)).expect("selected"), (UidValidity(0), None));
    assert_eq!(word(&refused), "refused");
    assert!(!session.is_selected("a"));
}

#[tokio::test(start_paused = true)]
async fn starttls_leaves_nothing_behind() {
    for (reply, expected) in [
        ("@ OK go\r\n", "ok"),
        ("@ OK go\r\n* CAPABILITY X\r\n", "bytes_after_starttls"),
        ("@ OK go\r\n@ OK", "bytes_after_starttls"),
    ] {
        let (mut wire, server) = wire();
        let command = super::command::Command::new("STARTTLS", "STARTTLS");
        let (outcome, _) = tokio::join!(wire.run(command, |_| {}), serve(server, script(&[reply])));
        outcome.expect("answered").accepted().expect("accepted");
        assert_eq!(word(&wire.into_transport()), expected, "{reply}");
    }
}

#[tokio::test(start_paused = true)]
async fn idle_tells_why_it_ended() {
    for (replies, expected) in [
        (&["+ idling\r\n* 5 EXISTS\r\n", "@ OK\r\n"] as &[&str], Ok(Idled::News)),
        (&["* 5 EXISTS\r\n+ idling\r\n", "@ OK\r\n"], Ok(Idled::News)),
        (&["+ idling\r\n* 1 EXPUNGE\r\n", "@ OK\r\n"], Ok(Idled::Late)),
        (&["+\r\n", "@ OK\r\n"], Ok(Idled::Late)),
        (&["@ NO not today\r\n"], Ok(Idled::Refused)),
        (&["@ BAD\r\n"], Ok(Idled::Refused)),
        (&["* BYE\r\n"], Err("bye")),
        (&[""], Err("lost")),
        (&["+ idling\r\n* BYE\r\n"], Err("bye")),
        (&["+ idling\r\n", "(stall)"], Err("timeout")),
    ] {
        let (mut session, server) = signed_in("IDLE").await;
        let idling = async {
            let result = session.idle(Duration::from_secs(300), std::future::pending()).await;
            drop(session);
            result
        };
        // DONE has no tag: the server answers with the tag of IDLE.
        let (result, ()) = tokio::join!(idling, serve_idle(server, replies));
        assert_eq!(result.as_ref().map_err(|_| word(&result)).copied(), expected, "{replies:?}");
    }
}

async fn serve_idle(mut server: BufReader<DuplexStream>, replies: &[&str]) {
    let mut tag = String::new();
    for reply in replies {
        let mut line = String::new();
        server.read_line(&mut line).await.expect("a line");
        if tag.is_empty() {
            tag = line.split(' ').next().expect("a tag").to_owned();
        }
        if *reply == "(stall)" {
            server.read_line(&mut line).await.expect("the end");
            return;
        }
        server.write_all(reply.replace('@', &tag).as_bytes()).await.expect("written");
    }
    if replies.len() > 1 || replies.iter().any(|reply| reply.contains('@')) {
        let mut rest = String::new();
        server.read_line(&mut rest).await.expect("the end");
    }
}

#[tokio::test(start_paused = true)]
async fn idle_gives_the_session_back_when_called() {
    let (mut session, server) = signed_in("IDLE").await;
    let call = tokio::time::sleep(Duration::from_secs(5));
    let idling = async {
        let why = session.idle(Duration::from_secs(300), call).await;
        drop(session);
        why
    };
    let (result, ()) = tokio::join!(idling, serve_idle(server, &["+ idling\r\n", "@ OK\r\n"]));
    assert_eq!(result.expect("given back"), Idled::Called);
}

#[tokio::test(start_paused = true)]
async fn a_missing_target_folder_is_made() {
    let (mut session, server) = signed_in("MOVE").await;
    let replies = script(&["@ NO [TRYCREATE] no such folder\r\n", "@ OK\r\n", "@ OK moved\r\n"]);
    let uids: UidSet = "4:5".parse().expect("a set");
    let (moved, lines) = tokio::join!(session.move_to(&uids, "Done"), serve(server, replies));
    moved.expect("moved");
    assert_eq!(lines, ["UID MOVE 4:5 \"Done\"", "CREATE \"Done\"", "UID MOVE 4:5 \"Done\""]);
}

#[tokio::test(start_paused = true)]
async fn without_uidplus_nothing_is_expunged() {
    let uids: UidSet = "4".parse().expect("a set");
    let ok = "@ OK\r\n";
    for (capabilities, expected) in [
        ("", vec!["UID STORE 4 +FLAGS (\\Deleted)"]),
        ("UIDPLUS", vec!["UID STORE 4 +FLAGS (\\Deleted)", "UID EXPUNGE 4"]),
    ] {
        let (mut session, server) = signed_in(capabilities).await;
        let deleting = async {
            let result = session.delete(&uids).await;
            drop(session);
            result
        };
        let (deleted, lines) = tokio::join!(deleting, serve(server, script(&[ok, ok])));
        deleted.expect("deleted");
        assert_eq!(lines, expected);
    }
}

#[tokio::test(start_paused = true)]
async fn a_large_body_goes_into_its_sink_and_is_never_held() {
    let raw = "x".repeat(700_000);
    let whole = format!("* 1 FETCH (UID 1 BODY[] {{700000}}\r\n{raw})\r\n");
    for (reply, items, failure, came) in [
        (format!("{whole}@ OK\r\n"), "1=(700000)", "ok", 700_000),
        (format!("* 1 FETCH (BODY[] {{700000}}\r\n{raw} UID 1)\r\n@ OK\r\n"), "1=(700000)", "ok", 700_000),
        ("* 1 FETCH (UID 1 BODY[] {2}\r\nab)\r\n@ OK\r\n".to_owned(), "1=ab", "ok", 0),
        (whole.replace("UID 1", "UID 7") + "* 1 FETCH (UID 1 BODY[] {2}\r\nab)\r\n@ OK\r\n", "1=ab", "ok", 700_000),
        (format!("{whole}{whole}@ OK\r\n"), "1=(700000)", "literal_too_big", 700_000),
        (format!("* 1 FETCH (UID 1 BODY[] {{700000}}\r\n{}", "x".repeat(300_000)), "", "lost", 300_000),
    ] {
        let (mut session, server) = signed_in("").await;
        let (sink, mut out) = tokio::io::duplex(1 << 20);
        let mail = Metadata { uid: Uid(1), size: 700_000, internal_date: None };
        let fetching = session.body_into(mail, 1000, Box::new(sink));
        let (haul, _) = tokio::join!(fetching, serve(server, script(&[&reply])));
        drop(session);
        let mut bytes = Vec::new();
        out.read_to_end(&mut bytes).await.expect("the sink is closed");
        assert_haul(&haul, items, failure, reply.get(..60).unwrap_or(&reply));
        // What had not come whole may be there in part.
        assert!(bytes.len() <= came && (failure == "lost" || bytes.len() == came), "{}", bytes.len());
    }
}
