//! Secrets, and who sees them: nobody.

use std::fs;
use std::path::Path;

use base64::Engine as _;
use mailbridge::sandbox::imap_server::{self, Rule, Step};
use mailbridge::sandbox::superoffice_api::{self, Call};
use rustix::process::Signal;

use crate::support::World;
use crate::support::world::USER;

/// A password and a token that look different in every encoding.
const PASSWORD: &str = "canary/pass+word \"\u{e9}\u{20ac}%&=?";
const TOKEN: &str = "canary.token+/\"%&=?~8127";

/// A secret in all the forms in which somebody may let it slip.
fn forms(secret: &str) -> Vec<Vec<u8>> {
    let engines =
        [&base64::engine::general_purpose::STANDARD_NO_PAD, &base64::engine::general_purpose::URL_SAFE_NO_PAD];
    let url: String = secret
        .bytes()
        .map(|byte| match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' => char::from(byte).to_string(),
            _ => format!("%{byte:02X}"),
        })
        .collect();
    let json = serde_json::to_string(secret).expect("text");
    let debug = format!("{secret:?}");
    let quoted = secret.replace('"', "\\\"");
    let mut forms: Vec<String> =
        vec![secret.to_owned(), url, json.trim_matches('"').to_owned(), debug.trim_matches('"').to_owned(), quoted];
    let sasl = [format!("\0{USER}\0{secret}"), format!("user={USER}\u{1}auth=Bearer {secret}\u{1}\u{1}")];
    for text in [secret.to_owned()].iter().chain(&sasl) {
        // In base64 a text looks different at each of three offsets; its middle is compared.
        for (engine, skip) in engines.iter().flat_map(|engine| [(engine, 0), (engine, 1), (engine, 2)]) {
            let encoded = engine.encode(format!("{}{text}", "x".repeat(skip)));
            forms.push(encoded[4..encoded.len() - 2].to_owned());
        }
    }
    forms.into_iter().map(String::into_bytes).collect()
}

#[track_caller]
fn assert_clean(place: &str, bytes: &[u8]) {
    for form in [PASSWORD, TOKEN].iter().flat_map(|secret| forms(secret)) {
        let found = bytes.windows(form.len()).any(|window| window == form);
        assert!(!found, "{place} has {}", String::from_utf8_lossy(&form));
    }
}

/// All files below a folder.
fn assert_folder_clean(folder: &Path) {
    for entry in fs::read_dir(folder).expect("a folder") {
        let path = entry.expect("an entry").path();
        if path.is_dir() {
            assert_folder_clean(&path);
        } else if path.is_file() {
            assert_clean(&path.display().to_string(), &fs::read(&path).expect("read"));
        }
    }
}

/// Everything that a daemon with these secrets says and keeps while `story` is told, at trace.
#[track_caller]
fn check(world: &World, story: impl FnOnce(&crate::support::daemon::Daemon)) {
    let file = |name: &str, secret: &str| {
        use std::os::unix::fs::PermissionsExt as _;
        let path = world.path(name);
        fs::write(&path, secret).expect("written");
        fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).expect("its mode");
        format!("{{ file = \"{}\" }}", path.display())
    };
    let config = world
        .config()
        .replace("\"pw\"", &file("password", PASSWORD))
        .replace("\"story-token\"", &file("token", TOKEN))
        .replace("level = \"debug\"", "level = \"trace\"");
    let mut daemon = world.daemon_with(&config);
    story(&daemon);
    for arguments in [&["status", "--json"][..], &["queue", "list", "--all", "--json"], &["config", "show", "--all"]] {
        let output = world.cli(arguments);
        assert_clean(&format!("{arguments:?}"), &[output.stdout, output.stderr].concat());
    }
    daemon.signal(Signal::TERM);
    daemon.wait();
    assert!(daemon.lines().len() > 5);
    daemon.lines().iter().for_each(|line| {
        assert_clean("the log", line.to_string().as_bytes());
        // As it was before it was JSON.
        line.as_object().into_iter().flat_map(|fields| fields.values()).filter_map(|value| value.as_str()).for_each(
            |text| {
                assert_clean("the log", text.as_bytes());
            },
        );
    });
    assert_folder_clean(&world.path("state"));
}

/// A world that knows the secrets, or takes none of them.
fn world(password: &str, token: &str) -> World {
    let api = superoffice_api::Options {
        authorization: Some(format!("Bearer {token}")),
        ..superoffice_api::Options::default()
    };
    let world = World::with(imap_server::Options::default(), api);
    world.imap.add_user(USER, password);
    world.append(0..2);
    world
}

#[test]
fn no_secret_reaches_log_store_or_terminal_when_all_is_well() {
    let world = world(PASSWORD, TOKEN);
    check(&world, |_| world.wait_messages(2));
}

#[test]
fn no_secret_reaches_log_store_or_terminal_when_the_mail_server_refuses_it() {
    let world = world("another", TOKEN);
    check(&world, |daemon| drop(daemon.wait_event("mailbox.auth_denied", |_| true)));
}

#[test]
fn no_secret_reaches_log_store_or_terminal_when_the_mail_server_says_it_back() {
    let world = world(PASSWORD, TOKEN);
    let plain = base64::engine::general_purpose::STANDARD.encode(format!("\0{USER}\0{PASSWORD}"));
    let echo = |text: &str| Step::no(&format!("[AUTHENTICATIONFAILED] wrong: {text}"));
    world.imap.script([Rule::on("AUTHENTICATE", echo(&plain))]);
    check(&world, |daemon| drop(daemon.wait_event("mailbox.auth_denied", |_| true)));
    world.imap.script([Rule::on("AUTHENTICATE", echo(PASSWORD))]);
    check(&world, |daemon| drop(daemon.wait_event("mailbox.auth_denied", |_| true)));
}

#[test]
fn no_secret_reaches_log_store_or_terminal_when_the_api_says_it_back() {
    let world = world(PASSWORD, TOKEN);
    let body = serde_json::json!({"Message": format!("bad token Bearer {TOKEN}")}).to_string();
    world.api.script([superoffice_api::Rule::on(Call::Any, superoffice_api::Step::status(401, body))]);
    check(&world, |daemon| drop(daemon.wait_event("api.breaker", |line| line["to"] == "open")));
}
