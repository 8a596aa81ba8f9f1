//! Mail in: what is taken, from which servers, and that nothing is taken twice or left behind.

use std::sync::Arc;

use mailbridge::sandbox::imap_server::{self, Rule, Step, Tagged};
use mailbridge::sandbox::superoffice_api;
use rustls::pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer};
use serde_json::Value;

use crate::support::World;
use crate::support::daemon::Daemon;
use crate::support::world::USER;

#[test]
fn each_mail_becomes_one_ticket_message() {
    let world = World::new();
    world.append(0..60);
    let daemon = world.daemon();
    world.wait_messages(60);
    daemon.stop();
    world.assert_exactly(0..60);
}

#[test]
fn new_mail_comes_through_idle() {
    let world = World::new();
    let daemon = world.daemon();
    daemon.wait_event("mailbox.state", |line| line["to"] == "idle");
    world.append(0..1);
    world.wait_messages(1);
    world.append(1..3);
    world.wait_messages(3);
    daemon.stop();
    world.assert_exactly(0..3);
}

#[test]
fn a_poor_server_is_enough() {
    let world = World::with(imap_server::Options::poor(), superoffice_api::Options::default());
    world.append(0..3);
    let config = format!("{}poll_interval = \"100ms\"\n", world.config());
    let daemon = world.daemon_with(&config);
    world.wait_messages(3);
    world.append(3..5);
    world.wait_messages(5);
    daemon.stop();
    world.assert_exactly(0..5);
}

#[test]
fn refusals_of_comfort_only_take_comfort_away() {
    let world = World::new();
    world.imap.script([
        Rule::on("CAPABILITY", Step::bad("unknown command")),
        Rule::on("ID", Step::bad("unknown command")),
        Rule::on("IDLE", Step::no("not now")),
        Rule::on("UID STORE", Step::no("read the manual")),
    ]);
    world.append(0..2);
    let daemon = world.daemon_with(&format!("{}poll_interval = \"100ms\"\n", world.config()));
    world.wait_messages(2);
    world.append(2..3);
    world.wait_messages(3);
    daemon.stop();
    world.assert_exactly(0..3);
}

#[test]
fn a_second_start_takes_nothing_twice_whatever_the_flags_say() {
    let world = World::new();
    world.append(0..5);
    let config = format!("{}after_post = \"none\"\nkeyword = \"\"\n", world.config());
    let daemon = world.daemon_with(&config);
    world.wait_messages(5);
    daemon.stop();
    world.append(5..7);
    let daemon = world.daemon_with(&config);
    world.wait_messages(7);
    daemon.stop();
    world.assert_exactly(0..7);
}

#[test]
fn more_old_mails_than_the_limit_wait_until_told_to_go() {
    let world = World::new();
    world.append(0..8);
    let daemon = world.daemon_with(&format!(
        "{}start = \"unseen\"\nstart_limit = 5\n",
        world.config().replace("start = \"all\"\nstart_limit = 0\n", "")
    ));
    let waiting = daemon.wait_event("mailbox.start_waiting", |_| true);
    assert_eq!((waiting["count"].as_u64(), waiting["start_limit"].as_u64()), (Some(8), Some(5)), "{waiting}");
    world.append(8..10);
    world.wait_messages(2);
    world.assert_exactly(8..10);
    let go = world.cli(&["mailbox", "start", USER]);
    assert!(go.status.success(), "{}", String::from_utf8_lossy(&go.stderr));
    world.wait_messages(10);
    daemon.stop();
    world.assert_exactly(0..10);
}

/// `Orders/Été` as it goes over the wire (modified UTF-7, RFC 3501 §5.1.3).
const SUMMER: &str = "Orders/&AMk-t&AOk-";

#[test]
fn several_folders_of_one_mailbox_are_read() {
    let world = World::new();
    world.append(0..2);
    world.imap.append(USER, SUMMER, World::mail(2));
    let config = format!("{}folders = [\"INBOX\", \"Orders/Été\"]\npoll_interval = \"200ms\"\n", world.config());
    let daemon = world.daemon_with(&config);
    world.wait_messages(3);
    world.imap.append(USER, SUMMER, World::mail(3));
    world.wait_messages(4);
    daemon.stop();
    world.assert_exactly(0..4);
}

#[test]
fn a_cut_fetch_loses_nothing_and_doubles_nothing() {
    let world = World::new();
    world.append(0..30);
    world.imap.script([
        Rule::on("UID FETCH", Step::Cut(3000)).nth(2),
        Rule::on("UID FETCH", Step::no("[SERVERBUG] try again")).nth(4),
        Rule::on("UID SEARCH", Step::Close).nth(3),
    ]);
    let daemon = world.daemon_with(&format!("{}poll_interval = \"200ms\"\n", world.config()));
    world.wait_messages(30);
    daemon.stop();
    world.assert_exactly(0..30);
}

#[test]
fn a_new_uidvalidity_posts_nothing_twice() {
    let world = World::new();
    world.append(0..4);
    let daemon = world.daemon();
    world.wait_messages(4);
    daemon.stop();
    world.imap.set_uidvalidity(USER, "INBOX", 77, 100);
    let daemon = world.daemon();
    daemon.wait_event("mailbox.uidvalidity_changed", |_| true);
    world.append(4..6);
    world.wait_messages(6);
    daemon.stop();
    world.assert_exactly(0..6);
}

#[test]
fn mails_around_a_new_uidvalidity_are_posted_once() {
    let world = World::new();
    world.append(0..4);
    let daemon = world.daemon();
    world.wait_messages(4);
    world.imap.set_down(true);
    world.append(4..6);
    world.imap.set_uidvalidity(USER, "INBOX", 77, 3);
    world.append(6..8);
    world.imap.set_down(false);
    world.wait_messages(8);
    world.append(8..9);
    world.wait_messages(9);
    daemon.stop();
    world.assert_exactly(0..9);
}

#[test]
fn a_mail_that_the_server_does_not_describe_at_a_new_uidvalidity_is_taken_too() {
    let world = World::new();
    let config = format!(
        "{}start = \"new\"\npoll_interval = \"100ms\"\n",
        world.config().replace("start = \"all\"\nstart_limit = 0\n", "")
    );
    let daemon = world.daemon_with(&config);
    daemon.wait_event("mailbox.state", |line| line["to"] == "idle");
    daemon.stop();
    world.append(0..3);
    world.imap.set_uidvalidity(USER, "INBOX", 77, 100);
    world.imap.script([Rule::on("UID FETCH", Step::Without("UID 101".to_owned())).nth(1)]);
    let daemon = world.daemon_with(&config);
    world.wait_messages(3);
    daemon.stop();
    world.assert_exactly(0..3);
}

#[test]
fn a_server_that_ends_idle_before_it_began_is_polled() {
    let world = World::new();
    world.imap.script([Rule::on("IDLE", Step::Instead(Tagged::Ok("done".to_owned())))]);
    let daemon = world.daemon_with(&format!("{}poll_interval = \"100ms\"\n", world.config()));
    world.append(0..2);
    world.wait_messages(2);
    daemon.stop();
    assert!(world.imap.seen("IDLE") <= 1, "it is asked once");
    world.assert_exactly(0..2);
}

/// A daemon whose mail server has not handed out the one mail: the id of its dead letter.
fn unfetchable(world: &World) -> (Daemon, String) {
    world.append(0..1);
    world.imap.script([Rule::on("UID FETCH", Step::no("[SERVERBUG] cannot read it"))]);
    let daemon = world.daemon_with(&format!("{}poll_interval = \"100ms\"\n", world.config()));
    let dead = daemon.wait_event("message.done", |line| line["state"] == "dead");
    assert_eq!(dead["error_class"], "unfetchable", "{dead}");
    (daemon, dead["qid"].as_str().expect("an id").to_owned())
}

#[test]
fn a_mail_that_was_not_handed_out_is_fetched_at_once_when_retried() {
    let world = World::new();
    let (daemon, id) = unfetchable(&world);
    world.imap.script([]);
    assert!(world.cli(&["queue", "retry", &id]).status.success());
    world.wait_messages(1);
    daemon.stop();
    world.assert_exactly(0..1);
}

#[test]
fn a_retried_mail_that_has_gone_is_a_dead_letter_again() {
    let world = World::new();
    let (daemon, id) = unfetchable(&world);
    world.imap.script([]);
    assert!(world.imap.expunge(USER, "INBOX", 1));
    assert!(world.cli(&["queue", "retry", &id]).status.success());
    let gone = |line: &Value| line["reason"].as_str().is_some_and(|text| text.contains("any longer"));
    daemon.wait_event("message.done", gone);
    assert_eq!(world.queue(&["--state", "dead"]).len(), 1);
    daemon.stop();
    world.assert_exactly(0..0);
}

#[test]
fn a_server_that_is_away_is_waited_for() {
    let world = World::new();
    world.imap.set_down(true);
    world.append(0..2);
    let daemon = world.daemon();
    daemon.wait_event("mailbox.connect_failed", |line| line["stage"] == "tcp");
    world.imap.set_down(false);
    world.wait_messages(2);
    daemon.stop();
    world.assert_exactly(0..2);
}

#[test]
fn a_refused_login_is_one_alarm_and_stops_no_other_mailbox() {
    let world = World::new();
    world.append(0..2);
    world.imap.add_user("stranger", "another password");
    let config = format!("{}[mailbox.broken]\nuser = \"stranger\"\n", world.config());
    let daemon = world.daemon_with(&config);
    daemon.wait_event("mailbox.auth_denied", |line| line["mailbox"] == "broken");
    world.wait_messages(2);
    world.append(2..3);
    world.wait_messages(3);
    let status = world.cli(&["status", "--json"]);
    let text = String::from_utf8(status.stdout).expect("text");
    assert!(text.contains("\"failed\""), "{text}");
    daemon.stop();
    world.assert_exactly(0..3);
}

/// A certificate for `localhost` as PEM, and a server that shows it.
fn certificate() -> (String, Arc<rustls::ServerConfig>) {
    let made =
        rcgen::generate_simple_self_signed(["localhost".to_owned(), "127.0.0.1".to_owned()]).expect("a certificate");
    let key = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(made.signing_key.serialize_der()));
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = rustls::ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .expect("TLS versions")
        .with_no_client_auth()
        .with_single_cert(vec![made.cert.der().clone()], key)
        .expect("a server");
    (made.cert.pem(), Arc::new(config))
}

#[track_caller]
fn check_tls(implicit_tls: bool, word: &str) {
    let (pem, tls) = certificate();
    let imap = imap_server::Options { tls: Some(tls), implicit_tls, ..imap_server::Options::default() };
    let world = World::with(imap, superoffice_api::Options::default());
    world.append(0..2);
    std::fs::write(world.path("ca.pem"), pem).expect("the CA file");
    let roots = format!("[tls]\nextra_roots = [\"{}\"]\n", world.path("ca.pem").display());
    let config = world.config().replace("tls = \"none\"", &format!("tls = \"{word}\""));
    let daemon = world.daemon_with(&format!("{config}{roots}"));
    world.wait_messages(2);
    daemon.stop();
    world.assert_exactly(0..2);
    // Without its CA the same server is refused, in words.
    let daemon = world.daemon_with(&config);
    let failed = daemon.wait_event("mailbox.connect_failed", |line| line["stage"] == "tls");
    assert!(failed["error"].as_str().is_some_and(|text| text.contains("certificate")), "{failed}");
    daemon.stop();
}

#[test]
fn tls_from_the_first_byte_with_an_own_ca() {
    check_tls(true, "implicit");
}

#[test]
fn starttls_with_an_own_ca() {
    check_tls(false, "starttls");
}

#[test]
fn starttls_that_is_not_offered_means_no_connection() {
    let world = World::new();
    world.append(0..1);
    let daemon = world.daemon_with(&world.config().replace("tls = \"none\"", "tls = \"starttls\""));
    daemon.wait_event("mailbox.connect_failed", |line| line["stage"] == "tls");
    assert_eq!(world.imap.seen("LOGIN") + world.imap.seen("AUTHENTICATE"), 0, "no secret before TLS");
    daemon.stop();
    assert_eq!(world.api.count(), 0);
}

#[test]
fn odd_mails_become_ticket_messages_too() {
    let world = World::new();
    let big = [World::mail(0), b"0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcde\r\n".repeat(640_000)]
        .concat();
    let odd: [&[u8]; 5] = [b"", b"\r\n\r\n", b"no header at all\r\n", b"\x00\xff\xfe:\r:\n\r\r", &big];
    for raw in odd {
        world.imap.append(USER, "INBOX", raw.to_vec());
    }
    let daemon = world.daemon();
    world.wait_messages(odd.len());
    daemon.stop();
    assert_eq!(world.api.violations(), Vec::<String>::new());
    assert_eq!(world.api.count(), odd.len());
}
