//! What happens to an answer below its meaning: too slow, too large, not HTTP, not TLS, from nobody. Bounded in time and
//! memory, and never taken for a yes.

use std::fs;
use std::process::Command;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use mailbridge::sandbox::imap_server;
use mailbridge::sandbox::superoffice_api::{self, Call, Rule, Step};
use rustls::server::{ClientHello, ResolvesServerCert};
use rustls::sign::CertifiedKey;
use serde_json::Value;

use super::answers::{check_lost, check_yes, tenant};
use crate::support::World;
use crate::support::daemon::{Daemon, PROGRAM};

/// An answer of status 200, with these headers and body as they are.
fn raw(headers: &str, body: &[u8]) -> Step {
    Step::raw(
        [b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n", headers.as_bytes(), b"\r\n\r\n", body].concat(),
    )
}

/// A29
#[test]
fn an_answer_of_one_byte_at_a_time_ends_with_the_request_timeout() {
    let world = World::new();
    world.append(0..3);
    world.api.script([Rule::on(Call::Post, Step::drip(Duration::from_millis(100))).nth(1)]);
    let daemon = world.daemon_with(&tenant(&world, "request_timeout = \"1s\""));
    let failed = daemon.wait_event("api.attempt", |line| line["error_class"] == "unknown_outcome");
    assert!(failed["took_ms"].as_u64().is_some_and(|ms| (900..20_000).contains(&ms)), "{failed}");
    world.end(daemon, 0..3);
}

/// A29
#[test]
fn headers_without_end_are_cut_off() {
    check_lost(Step::endless_head());
}

/// The most memory that the daemon of this world has had, in KiB.
fn peak(world: &World) -> u64 {
    let config = world.path("config.toml").display().to_string();
    let ours = |entry: &fs::DirEntry| {
        let line = fs::read(entry.path().join("cmdline")).unwrap_or_default();
        line.starts_with(PROGRAM.as_bytes()) && String::from_utf8_lossy(&line).contains(&config)
    };
    let found = fs::read_dir("/proc").expect("/proc").flatten().find(ours).expect("the daemon");
    let status = fs::read_to_string(found.path().join("status")).expect("its status");
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).expect("its peak");
    line.trim().trim_end_matches(" kB").parse().expect("a number")
}

/// An answer larger than any memory bound, for a post and for the look-up of it: neither is read to its end.
#[track_caller]
fn check_bounded(step: Step) {
    let world = World::new();
    world.append(0..4);
    let search = Rule::on(Call::Search, step.clone()).nth(1);
    world.api.script([Rule::on(Call::Post, step.clone().stored()).nth(1), Rule::on(Call::Post, step).nth(2), search]);
    let daemon = world.daemon_with(&tenant(&world, "request_timeout = \"20s\""));
    daemon.wait_event("api.attempt", |line| line["error_class"] == "unknown_outcome");
    world.wait_messages(4);
    let peak = peak(&world);
    assert!(peak < 120 << 10, "{peak} KiB");
    world.end(daemon, 0..4);
}

/// A30, T38
#[test]
fn a_body_without_end_is_not_read_to_its_end() {
    check_bounded(Step::endless());
}

/// 400 MB of blanks as gzip: one literal, then copies of it (RFC 1951 §3.2.6), 13 bits for 258 bytes.
fn bomb() -> Vec<u8> {
    let mut bits: Vec<bool> = vec![true, true, false];
    let mut code = |value: u32, length: u32| bits.extend((0..length).rev().map(|bit| value >> bit & 1 == 1));
    code(0x30 + u32::from(b' '), 8);
    (0..1_550_000).for_each(|_| code(0xc5 << 5, 13));
    code(0, 7);
    let bytes = bits.chunks(8).map(|bits| bits.iter().rev().fold(0, |byte, bit| byte << 1 | u8::from(*bit)));
    b"\x1f\x8b\x08\0\0\0\0\0\0\xff".iter().copied().chain(bytes).chain([0; 8]).collect()
}

/// A30, T38
#[test]
fn a_gzip_bomb_is_not_unpacked_to_its_end() {
    let bomb = bomb();
    check_bounded(raw(&format!("Content-Encoding: gzip\r\nContent-Length: {}", bomb.len()), &bomb));
}

/// A30
#[test]
fn chunks_that_are_none_prove_nothing() {
    check_lost(raw("Transfer-Encoding: chunked", b"5\r\n{\"Ej\r\nZZ\r\n"));
}

/// A30
#[test]
fn a_length_that_is_wrong_proves_nothing() {
    check_lost(raw("Content-Length: 4000", b"{\"EjMessageId\":1}"));
    check_lost(raw("Content-Length: 9", b"{\"EjMessageId\":1}"));
}

/// A30
#[test]
fn a_body_in_another_charset_proves_nothing_unless_it_can_be_read() {
    let utf16: Vec<u8> = "{\"EjMessageId\":1}".encode_utf16().flat_map(u16::to_le_bytes).collect();
    check_lost(Step::status(200, utf16).header("Content-Type", "application/json; charset=utf-16"));
    // One that leaves JSON what it is does no harm.
    check_yes(Step::status(200, &b"{\"Author\":\"J\xf8rgen\"}"[..]), 0..1);
}

/// T38
#[test]
fn what_is_no_http_or_deeper_than_any_entity_proves_nothing() {
    check_lost(Step::raw("220 mail.example.com ESMTP\r\n"));
    check_lost(Step::status(200, format!("{{\"Ticket\":{}", "[".repeat(200_000))));
}

/// The certificate that the API shows: any, changed at any time; none refuses the handshake.
#[derive(Debug, Default)]
struct Shown(Mutex<Option<Arc<CertifiedKey>>>);

impl Shown {
    fn show(&self, key: Option<Arc<CertifiedKey>>) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = key;
    }
}

impl ResolvesServerCert for Shown {
    fn resolve(&self, _: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

/// A certificate of an authority of its own for this name, good until the year, as PEM and as what a server shows.
fn certificate(authority: &str, name: &str, until: i32) -> (String, Arc<CertifiedKey>) {
    let key = rcgen::KeyPair::generate().expect("a key");
    let mut params = rcgen::CertificateParams::new([name.to_owned()]).expect("a name");
    params.distinguished_name.push(rcgen::DnType::CommonName, authority);
    params.not_before = rcgen::date_time_ymd(2020, 1, 1);
    params.not_after = rcgen::date_time_ymd(until, 1, 1);
    let cert = params.self_signed(&key).expect("a certificate");
    let private = rustls::pki_types::PrivateKeyDer::Pkcs8(key.serialize_der().into());
    let signing = rustls::crypto::ring::sign::any_supported_type(&private).expect("a key");
    (cert.pem(), Arc::new(CertifiedKey::new(vec![cert.der().clone()], signing)))
}

/// A31: with a certificate that is not to be believed nothing is sent; with a good one work goes on by itself.
#[test]
fn certificates_are_believed_only_when_they_are_good() {
    let (good, old) = (certificate("good", "localhost", 2090), certificate("old", "localhost", 2021));
    let other = certificate("other", "crm.example.com", 2090);
    let unknown = certificate("unknown", "localhost", 2090);
    let shown = Arc::new(Shown::default());
    let tls = rustls::ServerConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
        .with_safe_default_protocol_versions()
        .expect("versions")
        .with_no_client_auth()
        .with_cert_resolver(shown.clone());
    let api = superoffice_api::Options { tls: Some(Arc::new(tls)), ..superoffice_api::Options::default() };
    let world = World::with(imap_server::Options::default(), api);
    fs::write(world.path("roots.pem"), [&*good.0, &*old.0, &*other.0].concat()).expect("the roots");
    let roots = format!("[tls]\nextra_roots = [\"{}\"]\n", world.path("roots.pem").display());
    let daemon = world.daemon_with(&format!("{}{roots}", world.config()));
    let cases = [
        (Some(&old.1), "xpired"),
        (Some(&other.1), "not valid for name"),
        (Some(&unknown.1), "UnknownIssuer"),
        (None, "alert"),
    ];
    for (number, (key, word)) in cases.into_iter().enumerate() {
        shown.show(key.cloned());
        world.append(number..number + 1);
        let failed =
            daemon.wait_event("queue.deferred", |line| line["error"].as_str().is_some_and(|text| text.contains(word)));
        assert_eq!(failed["error_class"], "tls", "{failed}");
        assert_eq!(world.api.requests().len(), 0, "not a word to {word}");
    }
    let opened = daemon.wait_event("api.breaker", |line| line["to"] == "open");
    assert!(opened["level"] == "error" && opened["error"].is_string(), "{opened}");
    shown.show(Some(good.1));
    world.end(daemon, 0..4);
}

/// A31
#[test]
fn a_server_that_speaks_no_tls_gets_nothing() {
    let world = World::new();
    world.append(0..2);
    let daemon = world.daemon_with(&world.config().replace("http://127.0.0.1", "https://127.0.0.1"));
    let failed = daemon.wait_event("queue.deferred", |_| true);
    assert!(["tls", "network"].contains(&failed["error_class"].as_str().unwrap_or_default()), "{failed}");
    daemon.stop();
    assert_eq!(world.api.requests().len(), 0);
    world.end(world.daemon(), 0..2);
}

/// The daemon with a file of names of its own. `None` where this user may not have one.
fn daemon_with_names(world: &World, config: &str) -> Option<Daemon> {
    let allowed = Command::new("unshare").args(["-m", "true"]).output().is_ok_and(|output| output.status.success());
    if !allowed {
        return None;
    }
    fs::write(world.path("hosts"), "").expect("written");
    fs::write(world.path("nsswitch.conf"), "hosts: files\n").expect("written");
    let path = world.write_config(config);
    let script = "mount --bind \"$0/hosts\" /etc/hosts && mount --bind \"$0/nsswitch.conf\" /etc/nsswitch.conf \
                  && exec \"$1\" run --config \"$2\"";
    let mut command = Command::new("unshare");
    command.args(["-m", "sh", "-c", script]).arg(world.path("")).arg(PROGRAM).arg(path);
    command.env_clear().env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin");
    Some(Daemon::spawn(command).ready())
}

/// A32: a name is looked up for each new connection.
#[test]
fn a_name_that_is_unknown_and_then_changes_is_followed() {
    let world = World::new();
    world.append(0..3);
    let named = tenant(&world, "allow_http = true").replace("http://127.0.0.1", "http://crm.example.test");
    let Some(daemon) = daemon_with_names(&world, &named) else {
        return eprintln!("skipped: this user may not mount");
    };
    let deferred = |text: &'static str| {
        move |line: &Value| {
            line["error_class"] == "network" && line["error"].as_str().is_some_and(|error| error.contains(text))
        }
    };
    daemon.wait_event("queue.deferred", deferred("dns"));
    let names = |text: &str| fs::write(world.path("hosts"), text).expect("written");
    names("127.0.0.9 crm.example.test\n");
    daemon.wait_event("queue.deferred", deferred("refused"));
    names("127.0.0.1 crm.example.test\n");
    world.wait_messages(3);
    // It moves while connections to the old address are open, which then end.
    names("::1 crm.example.test\n127.0.0.1 crm.example.test\n");
    world.api.set_down(true);
    world.append(3..5);
    daemon.wait_event("queue.deferred", |line| line["uid"] == 4);
    world.api.set_down(false);
    world.end(daemon, 0..5);
}
