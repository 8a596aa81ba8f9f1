//! Secrets, and who sees them: nobody.

use base64::Engine as _;
use mailbridge::sandbox::imap_server::{self, Rule, Step};
use mailbridge::sandbox::superoffice_api::{self, Call};
use rustix::process::Signal;

use crate::support::World;
use crate::support::canary::{PASSWORD, TOKEN, assert_clean};
use crate::support::world::USER;

/// Everything that a daemon with these secrets says and keeps while `story` is told, at trace.
#[track_caller]
fn check(world: &World, story: impl FnOnce(&crate::support::daemon::Daemon)) {
    let config = world.config().replace("level = \"debug\"", "level = \"trace\"");
    let mut daemon = world.daemon_with(&config);
    story(&daemon);
    // What the command line says is searched where it is run, the log as it is read, the store when the world ends.
    for arguments in [&["status", "--json"][..], &["queue", "list", "--all", "--json"], &["config", "show", "--all"]] {
        world.cli(arguments);
    }
    daemon.signal(Signal::TERM);
    daemon.wait();
    assert!(daemon.lines().len() > 5);
    // The log once more, as it was before it was JSON.
    let texts = daemon.lines().into_iter().flat_map(|line| line.as_object().cloned().unwrap_or_default());
    let texts: Vec<String> = texts.filter_map(|(_, value)| value.as_str().map(str::to_owned)).collect();
    assert_clean(&"the log", texts.join("\n").as_bytes());
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
