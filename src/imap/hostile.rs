//! What a hostile or broken server may say, said to a session: each script ends, soon, with a word for it or with what is
//! left to be believed.

use std::time::Duration;

use tokio::io::{AsyncWriteExt, BufReader, DuplexStream};

use super::error::Error;
use super::fetch::{Body, Metadata, Section};
use super::session::Session;
use super::tests::{STALL, all, script, serve, signed_in, word};
use crate::ids::Uid;

/// What becomes of a search that is answered so: the UIDs, or the class of the error.
async fn searched(reply: &[u8]) -> String {
    let (mut session, server) = signed_in("").await;
    let search = async {
        let result = all(&mut session).await;
        drop(session);
        result
    };
    let (result, _) = tokio::join!(search, serve(server, vec![reply.to_vec()]));
    result.as_ref().map_or_else(|_| word(&result).to_owned(), ToString::to_string)
}

#[tokio::test(start_paused = true)]
async fn odd_bytes_in_an_answer_harm_nothing() {
    let lines: [&[u8]; 19] = [
        b"* OK a NUL \0 in the text",
        b"* OK a bare \r in the text",
        b"* OK 8-bit \xff\xfe\xe4 text",
        b"* OK [ALERT]\xe4",
        b"* OK \xf0\x9f\x93\xa7",
        b"* OK",
        b"* OK ",
        b"* OK [",
        b"* OK []",
        b"* OK [XYZZY 1 (2] what",
        b"* OK [UIDNEXT many] what",
        b"* OK [UIDVALIDITY 99999999999] what",
        b"* OK [PERMANENTFLAGS (\xe4 {9} \"] what",
        b"* NO quota at 90 %",
        b"* BAD who knows why",
        b"* XUNKNOWN ((((\" {x} \0 \r \xff",
        b"* -1 EXISTS",
        b"* LIST () \"/\" {4}\r\n\0\r\n*",
        b"* ",
    ];
    for line in lines {
        let reply = [line, b"\r\n* SEARCH 1\r\n@ OK done\r\n"].concat();
        assert_eq!(searched(&reply).await, "1", "{}", String::from_utf8_lossy(line));
        // The same, and the line ends of another age.
        let reply = [line, b"\n* SEARCH 1\n@ OK done\n"].concat();
        assert_eq!(searched(&reply).await, "1", "{}", String::from_utf8_lossy(line));
    }
}

#[tokio::test(start_paused = true)]
async fn garbage_ends_the_session_and_is_no_answer() {
    let replies: [(&[u8], &str); 18] = [
        (b"garbage\r\n@ OK\r\n", "unexpected_tag"),
        (b"\0\0\0\0\r\n@ OK\r\n", "unexpected_tag"),
        (b"\xff\xfe\r\n@ OK\r\n", "unexpected_tag"),
        (b"*\r\n@ OK\r\n", "unexpected_tag"),
        (b"HTTP/1.1 200 OK\r\n\r\n", "unexpected_tag"),
        (b"A0001 OK done\r\n", "unexpected_tag"),
        (b"@\tOK done\r\n", "unexpected_tag"),
        (b"@OK done\r\n", "unexpected_tag"),
        (b"@ MAYBE done\r\n", "lost"),
        (b"@ BYE done\r\n", "refused"),
        (b"+ more\r\n@ OK\r\n", "unexpected_continue"),
        (b"* 4294967296 EXISTS\r\n@ OK\r\n", "lost"),
        (b"* 1 FETCH\r\n@ OK\r\n", "lost"),
        (b"* 1 FETCH (UID 99999999999)\r\n@ OK\r\n", ""),
        (b"* 1 FETCH (UID 1 BODY[] \"open)\r\n@ OK\r\n", "list_not_closed"),
        (b"* SEARCH 1 -2 3\r\n@ OK\r\n", "not_a_uid"),
        (b"* SEARCH 1 x\r\n@ OK\r\n", "not_a_uid"),
        (b"* SEARCH 1\0 2\r\n@ OK\r\n", "not_a_uid"),
    ];
    for (reply, expected) in replies {
        assert_eq!(searched(reply).await, expected, "{}", String::from_utf8_lossy(reply));
    }
}

#[tokio::test(start_paused = true)]
async fn what_is_too_long_or_too_deep_is_not_read_to_its_end() {
    let literals = |start: &str| format!("{start} {{0}}\r\n{}", " X {0}\r\n".repeat(20_000));
    for (reply, expected) in [
        (format!("* OK {}\r\n@ OK\r\n", "x".repeat(66_000)), "line_too_long"),
        (format!("* XUNKNOWN {}", "x".repeat(66_000)), "line_too_long"),
        ("x".repeat(66_000), "line_too_long"),
        (format!("@ OK {}", "x".repeat(66_000)), "line_too_long"),
        (format!("* SEARCH {}", "1".repeat(66_000)), "line_too_long"),
        // A response in pieces is put together again: it is one line all the same.
        (literals("* 1 FETCH (X"), "line_too_long"),
        (literals("* 1 FETCH (BODY[]"), "line_too_long"),
        (literals("* XUNKNOWN"), "line_too_long"),
        (format!("* 1 FETCH (FLAGS {}", "(".repeat(33)), "lost"),
        (format!("* 1 FETCH (FLAGS {})\r\n", "(".repeat(33)), "too_deep"),
        (format!("* 1 FETCH ({} {{0}}\r\n{}\r\n", "(".repeat(20), "(".repeat(20)), "too_deep"),
        ("* XUNKNOWN {70000}\r\n".to_owned(), "literal_too_big"),
        ("* XUNKNOWN {18446744073709551617}\r\n".to_owned(), "literal_too_big"),
        (format!("* XUNKNOWN {{60000}}\r\n{}\r\n", "x".repeat(60_000)).repeat(20), "literal_too_big"),
    ] {
        let start: String = reply.chars().take(40).collect();
        assert_eq!(searched(reply.as_bytes()).await, expected, "{start}");
    }
}

/// What becomes of a search whose answer never ends, and how many bytes of it were taken.
async fn flooded(piece: &str) -> (&'static str, usize) {
    let (mut session, mut server) = signed_in("").await;
    let mut taken = 0_usize;
    let flood = async {
        while server.write_all(piece.as_bytes()).await.is_ok() {
            taken = taken.saturating_add(piece.len());
        }
    };
    let search = async {
        let result = all(&mut session).await;
        drop(session);
        word(&result)
    };
    let (ended, ()) = tokio::join!(search, flood);
    (ended, taken)
}

#[tokio::test(start_paused = true)]
async fn an_answer_without_end_is_cut_off_by_its_lines_and_by_its_bytes() {
    for (piece, expected) in [
        ("* 1 EXPUNGE\r\n".repeat(1000), "too_many_lines"),
        ("\r\n".repeat(1000), "too_many_lines"),
        ("* OK Still here\r\n".repeat(1000), "too_many_lines"),
        (format!("* XUNKNOWN {}\r\n", "x".repeat(60_000)), "too_many_bytes"),
    ] {
        let start: String = piece.chars().take(40).collect();
        let (ended, taken) = flooded(&piece).await;
        assert_eq!(ended, expected, "{start}");
        assert!(taken < 24 << 20, "{taken} bytes of {start}");
    }
    // One line of UIDs, without an end of its own.
    let (mut session, mut server) = signed_in("").await;
    let flood = async {
        let mut going = server.write_all(b"* SEARCH").await.is_ok();
        while going {
            going = server.write_all(&b" 4294967295".repeat(5_000)).await.is_ok();
        }
    };
    let search = async {
        let result = all(&mut session).await;
        drop(session);
        word(&result)
    };
    assert_eq!(tokio::join!(search, flood).0, "too_many_bytes");
}

/// Says the beginning of a mail of `size` bytes, then goes on with `piece` each `every`, up to its end.
async fn send_slowly(mut server: BufReader<DuplexStream>, size: usize, piece: usize, every: Duration) {
    let mut line = String::new();
    tokio::io::AsyncBufReadExt::read_line(&mut server, &mut line).await.expect("a line");
    let tag = line.split(' ').next().expect("a tag").to_owned();
    let mut left = size;
    let mut going = server.write_all(format!("* 1 FETCH (UID 1 BODY[] {{{size}}}\r\n").as_bytes()).await.is_ok();
    while going && left > 0 {
        tokio::time::sleep(every).await;
        going = server.write_all(&vec![b'x'; piece.min(left)]).await.is_ok();
        left = left.saturating_sub(piece);
    }
    if going {
        server.write_all(format!(")\r\n{tag} OK done\r\n").as_bytes()).await.expect("written");
    }
}

/// What becomes of a mail of `size` bytes that comes so, and after how many seconds.
async fn fetched_slowly(size: usize, piece: usize, every: Duration) -> (String, u64) {
    let (mut session, server) = signed_in("").await;
    let begun = tokio::time::Instant::now();
    let fetch = async {
        let wanted = [Metadata { uid: Uid(1), size: u64::try_from(size).expect("a size"), internal_date: None }];
        let haul = session.bodies(&wanted, Section::Whole).await;
        drop(session);
        let what = match (haul.failure, haul.items.first()) {
            (None, Some((_, Body::Bytes(body)))) => body.len().to_string(),
            (Some(Error::Timeout { waited_for, .. }), None) => waited_for.to_owned(),
            other => format!("{other:?}"),
        };
        (what, begun.elapsed().as_secs())
    };
    tokio::join!(fetch, send_slowly(server, size, piece, every)).0
}

#[tokio::test(start_paused = true)]
async fn a_slow_mail_comes_and_a_dripped_one_is_given_up() {
    // Half an hour on a line of 5.6 KiB/s: it gets on.
    let (what, seconds) = fetched_slowly(10 << 20, 57_344, Duration::from_secs(10)).await;
    assert_eq!(what, (10_usize << 20).to_string());
    assert!(seconds > 1_500, "{seconds}");
    // A byte now and then is a sign of life, and no progress.
    let (what, seconds) = fetched_slowly(10 << 20, 1, Duration::from_secs(50)).await;
    assert_eq!(what, "the whole answer");
    assert!(seconds <= 301, "{seconds}");
    // A rate below the floor ends too, only later.
    let (what, seconds) = fetched_slowly(10 << 20, 10_240, Duration::from_secs(10)).await;
    assert_eq!(what, "the whole answer");
    assert!(seconds < 600, "{seconds}");
}

#[tokio::test(start_paused = true)]
async fn nothing_that_came_before_a_command_is_its_answer() {
    for early in ["A0002 OK done\r\n", "+ go on\r\n", "* 4 EXISTS\r\n+ go on\r\n", "* 4 EXISTS\r\nA0002 OK done\r\n"] {
        let (mut session, server) = signed_in("").await;
        let reply = format!("* SEARCH 1\r\n@ OK done\r\n{early}");
        let twice = async {
            let first = all(&mut session).await;
            let second = all(&mut session).await;
            drop(session);
            (word(&first), word(&second))
        };
        let (words, _) = tokio::join!(twice, serve(server, vec![reply.into_bytes(), STALL.to_vec()]));
        assert_eq!(words, ("ok", "early_answer"), "{early}");
    }
    // What is told unasked may wait there.
    let (mut session, server) = signed_in("").await;
    let replies = script(&["* SEARCH 1\r\n@ OK done\r\n* 4 EXISTS\r\n* 1 EXP", "UNGE\r\n* SEARCH 2\r\n@ OK done\r\n"]);
    let twice = async { (all(&mut session).await.map(|_| ()), all(&mut session).await) };
    let ((first, second), _) = tokio::join!(twice, serve(server, replies));
    assert_eq!((word(&first), second.expect("uids").to_string().as_str()), ("ok", "2"));
}

/// The tags of some commands of a session.
async fn tags(session: &mut Session, server: BufReader<DuplexStream>) -> Vec<String> {
    let asking = async {
        for _ in 0..3 {
            all(session).await.expect("uids");
        }
    };
    let answering = async {
        let (mut server, mut tags) = (server, Vec::new());
        for _ in 0..3 {
            let mut line = String::new();
            tokio::io::AsyncBufReadExt::read_line(&mut server, &mut line).await.expect("a line");
            let tag = line.split(' ').next().expect("a tag").to_owned();
            server.write_all(format!("{tag} OK done\r\n").as_bytes()).await.expect("written");
            tags.push(tag);
        }
        tags
    };
    tokio::join!(asking, answering).1
}

#[tokio::test(start_paused = true)]
async fn no_tag_can_be_guessed_from_another() {
    let mut seen = std::collections::BTreeSet::new();
    for _ in 0..3 {
        let (mut session, server) = signed_in("").await;
        for tag in tags(&mut session, server).await {
            assert_eq!(tag.len(), 16, "{tag}");
            // Not even their beginnings have anything in common.
            assert!(seen.insert(tag.chars().take(8).collect::<String>()), "{tag} of {seen:?}");
        }
    }
}
