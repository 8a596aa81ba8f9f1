//! Whom the daemon believes before it says a secret: certificates, STARTTLS, offers.

use std::sync::Arc;

use mailbridge::sandbox::imap_server::{self, Rule, Step, Tagged};
use mailbridge::sandbox::superoffice_api;
use rcgen::{CertificateParams, ExtendedKeyUsagePurpose, KeyPair, SanType};
use rustls::pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer};

use crate::support::World;
use crate::support::tried::Tried;

const FAILED: &str = "mailbox.connect_failed";
const HASTY: &str = "connect_timeout = \"1s\"\nio_timeout = \"500ms\"\n";

/// A certificate for the name that the daemon looks for, as it should be.
fn good() -> CertificateParams {
    CertificateParams::new(["127.0.0.1".to_owned()]).expect("names")
}

/// The same with one thing about it changed.
fn but(change: impl FnOnce(&mut CertificateParams)) -> CertificateParams {
    let mut params = good();
    change(&mut params);
    params
}

/// A world whose mail server shows this certificate, and what the configuration needs to trust it.
fn world_of(params: &CertificateParams, implicit_tls: bool) -> (World, String) {
    let key = KeyPair::generate().expect("a key");
    let certificate = params.self_signed(&key).expect("a certificate");
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let tls = rustls::ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .expect("TLS versions")
        .with_no_client_auth()
        .with_single_cert(
            vec![certificate.der().clone()],
            PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(key.serialize_der())),
        )
        .expect("a server");
    let imap = imap_server::Options { tls: Some(Arc::new(tls)), implicit_tls, ..imap_server::Options::default() };
    let world = World::with(imap, superoffice_api::Options::default());
    std::fs::write(world.path("ca.pem"), certificate.pem()).expect("the CA file");
    let roots = format!("[tls]\nextra_roots = [\"{}\"]\n", world.path("ca.pem").display());
    (world, roots)
}

/// F3, T30
#[test]
fn no_secret_goes_to_a_server_whose_certificate_is_not_the_right_one() {
    let names = |names: &[&str]| CertificateParams::new(names.iter().map(ToString::to_string).collect::<Vec<_>>());
    let nul = SanType::DnsName("127.0.0.1\0.example.com".try_into().expect("a name"));
    for (params, trusted, why) in [
        (good(), false, "UnknownIssuer"),
        (but(|params| params.not_after = rcgen::date_time_ymd(2024, 1, 1)), true, "expired"),
        (but(|params| params.not_before = rcgen::date_time_ymd(2049, 1, 1)), true, "not valid yet"),
        (
            names(&["mail.example.com", "127.0.0.2", "127.0.0.1.example.com"]).expect("names"),
            true,
            "not valid for name",
        ),
        (but(|params| params.subject_alt_names = vec![nul]), true, "certificate"),
        (but(|params| params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth]), true, "certificate"),
    ] {
        let (world, roots) = world_of(&params, true);
        let tables = if trusted { roots } else { String::new() };
        let tried = Tried::at(world, [], "tls = \"implicit\"", &tables);
        let line = tried.shows(FAILED, &[("stage", "tls"), ("error_class", "tls")]);
        assert!(line["error"].as_str().is_some_and(|text| text.contains(why)), "{why}: {line}");
        assert!(tried.world.imap.log().is_empty(), "{why}: no fallback to clear text");
        tried.daemon.stop();
    }
}

/// The first line of a server that knows TLS 1.0 only.
fn hello_of_another_age() -> Vec<u8> {
    let header = [0x16, 3, 1, 0, 42, 2, 0, 0, 38, 3, 1].to_vec();
    [header, vec![7; 32], vec![0, 0, 0x2f, 0]].concat()
}

/// F3, T30: with a certificate that is right.
#[test]
fn a_handshake_that_fails_or_stalls_is_given_up_and_never_left_out() {
    for (step, why) in [
        (Step::Stall, "no answer in time"),
        (Step::Close, ""),
        (Step::RawThenClose(b"* OK no TLS here\r\n".to_vec()), ""),
        (Step::RawThenClose(hello_of_another_age()), "incompatible"),
    ] {
        let (world, roots) = world_of(&good(), true);
        let options = format!("tls = \"implicit\"\n{HASTY}");
        let tried = Tried::at(world, [Rule::on("TLS", step)], &options, &roots);
        tried.shows(FAILED, &[("stage", "tls"), ("error_class", "tls"), ("error", why)]);
        assert!(tried.world.imap.log().is_empty());
        tried.heals();
    }
}

/// F4, T26
#[test]
fn without_starttls_there_is_no_sign_in() {
    let capability = |list: &str| Step::Reply(vec![format!("CAPABILITY {list}")], Tagged::Ok("done".to_owned()));
    for (verb, step, class) in [
        ("CAPABILITY", capability("IMAP4rev1 AUTH=PLAIN"), "tls"),
        ("STARTTLS", Step::no("not today"), "tls"),
        ("STARTTLS", Step::bad("what is that"), "tls"),
        ("STARTTLS", Step::Stall, "timeout"),
        ("STARTTLS", Step::Close, "lost"),
        ("TLS", Step::Stall, "tls"),
    ] {
        let (world, roots) = world_of(&good(), false);
        let options = format!("tls = \"starttls\"\n{HASTY}");
        let tried = Tried::at(world, [Rule::on(verb, step)], &options, &roots);
        tried.shows(FAILED, &[("stage", "tls"), ("error_class", class)]);
        tried.no_secret_was_said();
        tried.heals();
    }
}

/// F4, T27
#[test]
fn what_was_said_before_tls_counts_for_nothing() {
    let poor = Step::Reply(vec!["CAPABILITY IMAP4rev1 STARTTLS".to_owned()], Tagged::Ok("done".to_owned()));
    for behind in ["* CAPABILITY IMAP4rev1 AUTH=PLAIN\r\n", "A1 OK welcome\r\n", "* OK ha", "\r\n"] {
        let (world, roots) = world_of(&good(), false);
        let rules = [Rule::on("STARTTLS", Step::Behind(behind.as_bytes().to_vec()))];
        let tried = Tried::at(world, rules, "tls = \"starttls\"", &roots);
        tried.shows("mailbox.protocol_violation", &[("rule", "bytes_after_starttls"), ("stage", "tls")]);
        tried.no_secret_was_said();
        // Capabilities too: in clear text this one offers no PLAIN.
        tried.world.imap.script([Rule::on("CAPABILITY", poor.clone()).nth(1)]);
        tried.daemon.wait_event("message.stored", |line| line["mailbox"] == crate::support::world::USER);
        assert_eq!(tried.world.imap.seen("LOGIN"), 0, "PLAIN is offered where it counts");
        tried.heals();
    }
}

/// T28
#[test]
fn a_server_that_says_who_we_are_is_not_believed() {
    for (word, implicit_tls) in [("none", false), ("starttls", false), ("implicit", true)] {
        let (world, roots) = match word {
            "none" => (World::new(), String::new()),
            _ => world_of(&good(), implicit_tls),
        };
        let rules = [Rule::on("GREETING", Step::Raw(b"* PREAUTH you are signed in\r\n".to_vec()))];
        let tried = Tried::at(world, rules, &format!("tls = \"{word}\""), &roots);
        tried.shows("mailbox.protocol_violation", &[("rule", "preauth"), ("stage", "greeting")]);
        assert!(tried.world.imap.log().is_empty(), "{word}");
        tried.heals();
    }
}

/// T31
#[test]
fn what_the_server_does_not_offer_is_not_tried() {
    for (offer, auth) in [
        ("IMAP4rev1 LOGINDISABLED", "auto"),
        ("IMAP4rev1 LOGINDISABLED AUTH=PLAIN", "login"),
        ("IMAP4rev1 AUTH=CRAM-MD5", "plain"),
    ] {
        let answer = Step::Reply(vec![format!("CAPABILITY {offer}")], Tagged::Ok("done".to_owned()));
        let tried = Tried::new([Rule::on("CAPABILITY", answer)], &format!("auth = \"{auth}\""));
        tried.shows(FAILED, &[("stage", "auth"), ("error_class", "no_mechanism"), ("level", "error")]);
        tried.no_secret_was_said();
        tried.heals();
    }
}
