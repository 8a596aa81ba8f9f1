//! Faults while mail is fetched (F27 to F50): what a server leaves out, cuts off, makes up or says in the wrong place.

use std::collections::BTreeMap;

use mailbridge::sandbox::imap_server::{Edit, Rule, Step, Tagged};
use mailbridge::sandbox::script::When;
use mailbridge::uids::UidSet;
use serde_json::Value;

use crate::support::World;
use crate::support::canary::PASSWORD;
use crate::support::daemon::Daemon;
use crate::support::world::USER;

/// The first FETCH asks for sizes, the second for the mails.
const FIRST_BODIES: u32 = 2;

/// A configuration that looks often.
pub(super) fn config(world: &World) -> String {
    format!("{}poll_interval = \"100ms\"\n", world.config())
}

/// How often each UID was asked for with its body.
pub(super) fn asked(world: &World) -> BTreeMap<u32, usize> {
    let mut times = BTreeMap::new();
    for logged in world.imap.log().iter().filter(|logged| logged.line.contains("BODY.PEEK[]")) {
        let set: UidSet = logged.line.split(' ').nth(3).expect("a set").parse().expect("UIDs");
        set.iter().for_each(|uid| *times.entry(uid.0).or_default() += 1);
    }
    times
}

/// Whether a response holds a mail, and is that of this UID.
fn is_mail(response: &[u8], uid: u32) -> bool {
    let text = String::from_utf8_lossy(response);
    text.contains(&format!("(UID {uid} BODY[")) && text.starts_with("* ")
}

/// Changes the response that holds the second mail.
fn change_second(responses: &mut [Vec<u8>], change: impl Fn(&str) -> String) {
    for response in responses.iter_mut().filter(|response| is_mail(response, 2)) {
        *response = change(&String::from_utf8_lossy(response)).into_bytes();
    }
}

fn tagged(responses: &mut Vec<Vec<u8>>, after: usize, line: &str) {
    let last = responses.pop().unwrap_or_default();
    let tag = String::from_utf8_lossy(&last).split(' ').next().unwrap_or_default().to_owned();
    responses.truncate(after);
    responses.push(format!("{tag} {line}\r\n").into_bytes());
}

/// Three mails; the first answer with bodies is played as `step`. Each is posted once, `again` of them are asked for twice.
#[track_caller]
fn check_heals(step: Step, again: &[u32]) -> Vec<Value> {
    let world = World::new();
    world.append(0..3);
    world.imap.script([Rule::on("UID FETCH", step).nth(FIRST_BODIES)]);
    let daemon = world.daemon_with(&config(&world));
    world.wait_messages(3);
    world.wait_queue(&[], <[Value]>::is_empty);
    let lines = daemon.lines();
    daemon.stop();
    world.assert_exactly(0..3);
    let expected: BTreeMap<u32, usize> = (1..=3).map(|uid| (uid, 1 + usize::from(again.contains(&uid)))).collect();
    assert_eq!(asked(&world), expected, "what came is not asked for again");
    lines
}

#[test]
fn what_came_before_a_no_is_kept_and_the_rest_is_asked_for_one_by_one() {
    let no: Edit = |all| tagged(all, 1, "NO Some of the requested messages no longer exist");
    check_heals(Step::Edit(no), &[2, 3]);
    let no: Edit = |all| tagged(all, 2, "NO [SERVERBUG] Server error while fetching messages");
    check_heals(Step::Edit(no), &[3]);
}

#[test]
fn what_came_before_the_end_of_the_connection_is_kept() {
    let between: Edit = |all| all.truncate(1);
    check_heals(Step::EditThenClose(between), &[2, 3]);
    let within: Edit = |all| {
        all.truncate(2);
        let half = all[1].len() / 2;
        all[1].truncate(half);
    };
    check_heals(Step::EditThenClose(within), &[2, 3]);
}

#[test]
fn what_came_before_a_bye_is_kept_also_when_the_connection_stays_open() {
    let autologout: Edit = |all| {
        all.truncate(1);
        all.push(b"* BYE Autologout\r\n".to_vec());
    };
    let lines = check_heals(Step::Edit(autologout), &[2, 3]);
    let told = |line: &&Value| line["error_class"] == "bye" && line["mailbox"] == USER;
    assert!(lines.iter().any(|line| told(&line)), "{lines:#?}");
    let bare: Edit = |all| {
        all.truncate(2);
        all.push(b"* BYE\r\n".to_vec());
    };
    check_heals(Step::EditThenClose(bare), &[3]);
}

#[test]
fn a_fetch_with_other_things_in_between_is_read_as_it_is_meant() {
    let flags: Edit = |all| all.insert(1, b"* 2 FETCH (UID 2 FLAGS (\\Seen))\r\n".to_vec());
    check_heals(Step::Edit(flags), &[]);
    let news: Edit = |all| {
        all.insert(0, b"* 3 EXISTS\r\n* 0 RECENT\r\n".to_vec());
        all.insert(2, b"* 9 EXPUNGE\r\n* 9 EXPUNGED\r\n* 3 EXISTS\r\n".to_vec());
    };
    check_heals(Step::Edit(news), &[]);
    let above: Edit = |all| all.insert(0, b"* 99 FETCH (UID 99 BODY[] {3}\r\nabc)\r\n".to_vec());
    check_heals(Step::Edit(above), &[]);
    let twice: Edit = |all| {
        let mut other = all[1].clone();
        let end = other.len() - 5;
        other[end] = b'!';
        all.insert(2, other);
    };
    check_heals(Step::Edit(twice), &[]);
}

#[test]
fn a_mail_under_a_wrong_uid_or_none_is_asked_for_again() {
    let other: Edit = |all| change_second(all, |mail| mail.replacen("UID 2", "UID 7", 1));
    check_heals(Step::Edit(other), &[2]);
    let none: Edit = |all| change_second(all, |mail| mail.replacen("UID 2 ", "", 1));
    check_heals(Step::Edit(none), &[2]);
    let absent: Edit = |all| drop(all.remove(1));
    check_heals(Step::Edit(absent), &[2]);
}

/// Three mails, and a server that answers each FETCH as `edit` does: the others are posted, the second one is withheld, told
/// of by its UID, a dead letter in the end and still in the mailbox; when the server mends its ways, `queue retry` brings it.
#[track_caller]
fn check_withheld(edit: Edit) {
    check_withheld_with(edit, "");
}

/// … with further options of the mailbox.
#[track_caller]
fn check_withheld_with(edit: Edit, options: &str) {
    let world = World::new();
    world.append(0..3);
    world.imap.script([Rule::on("UID FETCH", Step::Edit(edit))]);
    let daemon = world.daemon_with(&format!("{}{options}", config(&world)));
    let strike = daemon.wait_event("mailbox.protocol_violation", |line| line["rule"] == "mail_withheld");
    assert_eq!((strike["uid"].as_u64(), strike["mailbox"].as_str()), (Some(2), Some(USER)), "{strike}");
    let dead = dead(&daemon);
    world.wait_messages(2);
    assert_eq!(world.api.count(), 2);
    assert_eq!(world.imap.messages(USER, "INBOX").len(), 3);
    world.imap.script([]);
    let id = dead["qid"].as_str().expect("an id");
    assert!(world.cli(&["queue", "retry", id]).status.success());
    world.end(daemon, 0..3);
}

/// The dead letter of the second mail.
#[track_caller]
fn dead(daemon: &Daemon) -> Value {
    let dead = daemon.wait_event("message.done", |line| line["state"] == "dead");
    assert_eq!((dead["uid"].as_u64(), dead["error_class"].as_str()), (Some(2), Some("unfetchable")), "{dead}");
    dead
}

#[test]
fn a_mail_whose_literal_is_longer_than_announced_harms_no_other() {
    check_withheld(|all| change_second(all, |mail| announced(mail, |length| (length - 20).to_string())));
}

#[test]
fn a_mail_whose_literal_never_ends_harms_no_other() {
    let endless: Edit = |all| change_second(all, |mail| announced(mail, |length| (length + 5000).to_string()));
    check_withheld_with(endless, "io_timeout = \"500ms\"\n");
}

#[test]
fn mails_that_end_the_session_hold_up_none_of_their_batch() {
    let world = World::new();
    world.append(0..4);
    let bad: Edit = |all| {
        for response in all.iter_mut().filter(|response| is_mail(response, 1) || is_mail(response, 2)) {
            *response = instead(&String::from_utf8_lossy(response), "(((").into_bytes();
        }
    };
    world.imap.script([Rule::on("UID FETCH", Step::Edit(bad))]);
    let daemon = world.daemon_with(&config(&world));
    daemon.wait_nth_event("message.done", 3);
    let done: Vec<Value> = daemon.events("message.done").iter().map(|line| line["uid"].clone()).collect();
    assert!(done[..2].contains(&3.into()) && done[..2].contains(&4.into()), "{done:?}");
    daemon.stop();
    world.assert_exactly(2..4);
}

#[test]
fn a_mail_whose_literal_never_ends_delays_no_other_mailbox() {
    let world = World::new();
    world.append(0..3);
    world.imap.add_user("sales", PASSWORD);
    let endless: Edit = |all| change_second(all, |mail| announced(mail, |length| (length + 5000).to_string()));
    world.imap.script([Rule::on("UID FETCH", Step::Edit(endless))]);
    let config = format!("{}[mailbox.sales]\nuser = \"sales\"\n", config(&world));
    let daemon = world.daemon_with(&config);
    world.imap.append("sales", "INBOX", World::mail(3));
    world.wait_messages(1);
    daemon.kill();
    world.assert_exactly(3..4);
    world.imap.script([]);
    world.end(world.daemon_with(&config), 0..4);
}

#[test]
fn a_mail_of_an_absurd_length_harms_no_other() {
    check_withheld(|all| change_second(all, |mail| announced(mail, |_| "999999999".to_owned())));
    check_withheld(|all| change_second(all, |mail| announced(mail, |_| "99999999999999999999".to_owned())));
    check_withheld(|all| change_second(all, |mail| announced(mail, |_| "-7".to_owned())));
}

/// The response with another length of its literal.
fn announced(mail: &str, length: impl Fn(usize) -> String) -> String {
    let (before, rest) = mail.split_once('{').expect("a literal");
    let (digits, rest) = rest.split_once('}').expect("a literal");
    format!("{before}{{{}}}{rest}", length(digits.parse().expect("a length")))
}

/// The response with this in place of the mail.
fn instead(mail: &str, body: &str) -> String {
    let (before, _) = mail.split_once('{').expect("a literal");
    format!("{before}{body})\r\n")
}

#[test]
fn a_mail_that_is_nil_or_empty_is_no_empty_ticket() {
    check_withheld(|all| change_second(all, |mail| instead(mail, "NIL")));
    check_withheld(|all| change_second(all, |mail| instead(mail, "\"\"")));
}

#[test]
fn a_short_mail_in_quotes_is_a_mail() {
    let world = World::new();
    world.append(0..1);
    let quoted: Edit = |all| {
        for mail in all.iter_mut().filter(|response| is_mail(response, 1)) {
            *mail = instead(&String::from_utf8_lossy(mail), "\"Message-ID: <story-0@example.com>\"").into_bytes();
        }
    };
    world.imap.script([Rule::on("UID FETCH", Step::Edit(quoted))]);
    world.end(world.daemon_with(&config(&world)), 0..1);
}

#[test]
fn a_mail_that_is_never_there_or_never_has_its_uid_is_a_dead_letter() {
    check_withheld(|all| all.retain(|response| !is_mail(response, 2)));
    check_withheld(|all| change_second(all, |mail| mail.replacen("UID 2 ", "", 1)));
}

#[test]
fn a_mail_followed_by_words_outside_of_any_frame_harms_no_other() {
    check_withheld(|all| change_second(all, |mail| mail.replacen(")\r\n", " FLAGS \\Seen\r\nX-Status: new)\r\n", 1)));
}

#[test]
fn a_mail_whose_size_breaks_the_answer_harms_no_other() {
    check_withheld(|all| {
        for response in all.iter_mut().filter(|response| response.starts_with(b"* ")) {
            if String::from_utf8_lossy(response).contains("UID 2 RFC822.SIZE") {
                *response = b"* 2 FETCH UID 2) RFC822.SIZE (\r\n".to_vec();
            }
        }
    });
}

/// Three mails, the first of which comes before the server refuses the rest in these words. How long it is left alone; the
/// other mailbox on it is not delayed, and at the next start only the rest is asked for.
#[track_caller]
fn check_patience(words: Edit) -> u64 {
    let world = World::new();
    world.append(0..3);
    world.imap.add_user("sales", PASSWORD);
    world.imap.script([Rule::on("UID FETCH", Step::Edit(words)).nth(FIRST_BODIES)]);
    let config = format!("{}[mailbox.sales]\nuser = \"sales\"\n", config(&world));
    let daemon = world.daemon_with(&config);
    let told = daemon.wait_event("mailbox.connect_failed", |line| line["mailbox"] == USER);
    assert_eq!((told["stage"].as_str(), told["error_class"].as_str()), (Some("session"), Some("refused")), "{told}");
    world.imap.append("sales", "INBOX", World::mail(3));
    world.wait_messages(2);
    daemon.kill();
    world.end(world.daemon_with(&config), 0..4);
    assert_eq!(asked(&world).get(&1), Some(&2), "once for each of the two mailboxes: {:?}", asked(&world));
    told["retry_in_ms"].as_u64().expect("a time")
}

#[test]
fn a_server_that_names_a_time_is_left_alone_for_it() {
    let waited = check_patience(|all| {
        tagged(all, 1, "BAD Request is throttled. Suggested Backoff Time: 299910 milliseconds");
    });
    assert!((299_910..400_000).contains(&waited), "{waited}");
}

#[test]
fn a_used_up_budget_of_traffic_means_hours_and_nothing_is_fetched_twice() {
    let waited = check_patience(|all| tagged(all, 1, "NO [OVERQUOTA] Account exceeded command or bandwidth limits"));
    assert!(waited >= 3_600_000, "{waited}");
}

#[test]
fn after_the_time_that_the_server_named_work_goes_on_by_itself() {
    let words: Edit = |all| tagged(all, 1, "BAD Request is throttled. Suggested Backoff Time: 700 milliseconds");
    let lines = check_heals(Step::Edit(words), &[2, 3]);
    let told = lines.iter().find(|line| line["event"] == "mailbox.connect_failed").expect("told");
    assert!(told["retry_in_ms"].as_u64() >= Some(700), "{told}");
}

#[test]
fn patience_that_is_asked_for_puts_no_mail_to_blame() {
    let world = World::new();
    world.append(0..3);
    let no: Edit = |all| tagged(all, 1, "NO Some of the requested messages no longer exist");
    let patience = Step::bad("Request is throttled. Suggested Backoff Time: 20 milliseconds");
    let later = Rule::on("UID FETCH", patience).when(When::From(FIRST_BODIES + 1));
    world.imap.script([Rule::on("UID FETCH", Step::Edit(no)).nth(FIRST_BODIES), later]);
    let daemon = world.daemon_with(&config(&world));
    daemon.wait_nth_event("mailbox.connect_failed", 6);
    world.imap.script([]);
    world.wait_messages(3);
    assert!(daemon.events("mailbox.protocol_violation").is_empty(), "no strikes");
    world.end(daemon, 0..3);
}

#[test]
fn an_ok_that_says_throttled_slows_down() {
    let world = World::new();
    world.append(0..3);
    let grumble = Step::Instead(Tagged::Ok("[THROTTLED] FETCH completed".to_owned()));
    world.imap.script([Rule::on("UID FETCH", grumble).when(When::From(1))]);
    let daemon = world.daemon_with(&format!("{}batch = 1\n", config(&world)));
    let told = daemon.wait_event("mailbox.throttled", |_| true);
    assert_eq!((told["mailbox"].as_str(), told["backlog"].as_u64()), (Some(USER), Some(2)), "{told}");
    daemon.wait_event("mailbox.poll", |line| line["backlog"] == 1);
    world.wait_messages(3);
    assert_eq!(daemon.events("mailbox.throttled").len(), 1, "told once while it lasts");
    world.end(daemon, 0..3);
}

/// What Exchange puts in place of a mail that it cannot convert.
const STAND_IN: &str = "MIME-Version: 1.0\r\nContent-Type: text/plain; charset=\"us-ascii\"\r\n\
    From: Microsoft Exchange Server\r\nTo: support@example.com\r\n\
    Subject: Retrieval using the IMAP4 protocol failed for the following\r\n message: 2\r\n\r\n\
    The server couldn't retrieve the following message.\r\n";

#[test]
fn the_note_that_exchange_makes_up_is_not_taken_for_the_customers_mail() {
    check_withheld(|all| {
        change_second(all, |mail| instead(mail, &format!("{{{}}}\r\n{STAND_IN}", STAND_IN.len())));
    });
}

#[test]
fn a_size_that_is_not_the_mails_is_no_error() {
    for size in ["0", "1", "30000000"] {
        let world = World::new();
        world.append(0..2);
        let large = [World::mail(2), b"0123456789abcdef\r\n".repeat(20_000)].concat();
        world.imap.append(USER, "INBOX", large);
        let lie = match size {
            "0" => lie::<0>,
            "1" => lie::<1>,
            _ => lie::<30_000_000>,
        };
        world.imap.script([Rule::on("UID FETCH", Step::Edit(lie))]);
        world.end(world.daemon_with(&config(&world)), 0..3);
    }
}

/// Each mail is said to have this size.
fn lie<const SIZE: u32>(all: &mut Vec<Vec<u8>>) {
    for response in all {
        let text = String::from_utf8_lossy(response).into_owned();
        let Some((before, rest)) = text.split_once("RFC822.SIZE ") else { continue };
        let after = rest.trim_start_matches(|c: char| c.is_ascii_digit());
        *response = format!("{before}RFC822.SIZE {SIZE}{after}").into_bytes();
    }
}

#[test]
fn a_server_that_ignores_or_shortens_a_part_gives_a_stub_all_the_same() {
    let ignored: Edit = |all| {
        for response in all.iter_mut() {
            let text = String::from_utf8_lossy(response).into_owned();
            *response = text.replacen("BODY[HEADER]<0>", "BODY[HEADER]", 1).into_bytes();
        }
    };
    let shortened: Edit = |all| {
        for response in all.iter_mut().filter(|response| response.windows(7).any(|part| part == b"HEADER]")) {
            let text = String::from_utf8_lossy(response).into_owned();
            let (before, _) = text.split_once('{').expect("a literal");
            let part = "Message-ID: <story-0@example.com>\r\nDate: Mon, 2 No";
            *response = format!("{before}{{{}}}\r\n{part})\r\n", part.len()).into_bytes();
        }
    };
    for edit in [ignored, shortened] {
        let world = World::new();
        world.imap.append(USER, "INBOX", [World::mail(0), vec![b'x'; 5000]].concat());
        world.imap.script([Rule::on("UID FETCH", Step::Edit(edit))]);
        let daemon = world.daemon_with(&format!("{}[limits]\nmessage_size = \"2KiB\"\n", config(&world)));
        daemon.wait_event("message.limit", |line| line["action"] == "stub");
        world.end(daemon, 0..1);
    }
}

#[test]
fn a_calendar_part_without_a_byte_is_posted() {
    let world = World::new();
    let mail = String::from_utf8(World::mail(0)).expect("text").replacen(
        "\r\n\r\nHello 0\r\n",
        "\r\nContent-Type: multipart/mixed; boundary=b\r\n\r\n--b\r\n\r\nHello 0\r\n--b\r\n\
         Content-Type: text/calendar; method=REQUEST\r\nContent-Transfer-Encoding: base64\r\n\r\n--b--\r\n",
        1,
    );
    world.imap.append(USER, "INBOX", mail);
    world.end(world.daemon_with(&config(&world)), 0..1);
}

/// The n-th list of UIDs leaves one out: the first is that of the start, the second that of the first search.
#[track_caller]
fn check_left_out(n: u32) {
    let world = World::new();
    world.append(0..3);
    let without: Edit = |all| all[0] = b"* SEARCH 1 3\r\n".to_vec();
    world.imap.script([Rule::on("UID SEARCH", Step::Edit(without)).nth(n)]);
    let daemon = world.daemon_with(&config(&world));
    world.wait_messages(2);
    daemon.wait_event("mailbox.state", |line| line["to"] == "idle");
    world.imap.set_down(true);
    daemon.wait_event("mailbox.connect_failed", |_| true);
    world.imap.set_down(false);
    world.end(daemon, 0..3);
}

#[test]
fn a_uid_that_a_list_leaves_out_is_taken_when_it_shows() {
    check_left_out(1);
    check_left_out(2);
}

#[test]
fn a_mail_that_is_gone_between_search_and_fetch_is_noted_and_forgotten() {
    let world = World::new();
    world.append(0..3);
    let with_another: Edit = |all| all[0] = b"* SEARCH 1 2 3 4\r\n".to_vec();
    world.imap.script([Rule::on("UID SEARCH", Step::Edit(with_another)).nth(2)]);
    let daemon = world.daemon_with(&config(&world));
    let gone = daemon.wait_event("mailbox.gone", |_| true);
    assert_eq!((gone["mailbox"].as_str(), gone["uid"].as_u64()), (Some(USER), Some(4)), "{gone}");
    assert!(daemon.events("mailbox.protocol_violation").is_empty());
    world.end(daemon, 0..3);
}
