//! What an administrator changes while mail is on its way, and secrets that cannot be read.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;

use mailbridge::sandbox::superoffice_api;
use serde_json::Value;

use crate::support::World;
use crate::support::canary::{PASSWORD, TOKEN};

/// Writes the configuration and has the daemon read it.
#[track_caller]
fn reload(world: &World, config: &str) {
    world.write_config(config);
    let output = world.cli(&["reload"]);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}

/// Two mailboxes with the user `support`'s password.
fn two(world: &World) -> String {
    world.imap.add_user("orders", PASSWORD);
    format!("{}[mailbox.orders]\nuser = \"orders\"\n", world.config())
}

#[test]
fn mail_of_a_mailbox_that_was_removed_is_still_delivered() {
    let world = World::new();
    let both = two(&world);
    world.imap.append("orders", "INBOX", World::mail(0));
    world.api.set_down(true);
    let daemon = world.daemon_with(&both);
    daemon.wait_event("message.stored", |line| line["mailbox"] == "orders");
    reload(&world, &world.config());
    world.imap.append("orders", "INBOX", World::mail(9));
    world.append(1..2);
    world.api.set_down(false);
    // The mail that came to the removed mailbox is nobody's.
    world.end(daemon, 0..2);
}

#[test]
fn a_renamed_mailbox_posts_what_comes_and_not_once_more_what_was_there() {
    let world = World::new();
    let config = world.config().replace("start = \"all\"", "start = \"new\"");
    let daemon = world.daemon_with(&config);
    daemon.wait_event("mailbox.state", |line| line["to"] == "idle");
    world.append(0..3);
    world.wait_messages(3);
    reload(&world, &config.replace("[mailbox.support]", "[mailbox.helpdesk]"));
    daemon.wait_event("mailbox.state", |line| line["mailbox"] == "helpdesk" && line["to"] == "idle");
    world.append(3..5);
    world.wait_messages(5);
    assert!(daemon.events("message.stored").iter().filter(|line| line["mailbox"] == "helpdesk").count() == 2);
    world.end(daemon, 0..5);
}

#[test]
fn a_password_that_was_changed_is_told_and_the_new_one_is_taken_at_once() {
    let world = World::new();
    let both = two(&world);
    let daemon = world.daemon_with(&both.replace("user = \"orders\"", "user = \"orders\"\npassword = \"old\""));
    let denied = daemon.wait_event("mailbox.auth_denied", |_| true);
    assert_eq!(denied["mailbox"], "orders");
    world.imap.append("orders", "INBOX", World::mail(0));
    world.append(1..2);
    world.wait_messages(1);
    reload(&world, &both);
    world.end(daemon, 0..2);
}

#[test]
fn a_secret_that_cannot_be_read_stops_one_mailbox_until_it_can() {
    let world = World::new();
    let both = two(&world);
    let file = world.path("password");
    let secret = format!("user = \"orders\"\npassword = {{ file = \"{}\" }}", file.display());
    let config = both.replace("user = \"orders\"", &secret);
    let daemon = world.daemon_with(&config);
    let error = daemon.wait_event("secret.unreadable", |_| true);
    assert!(
        error["mailbox"] == "orders" && error["error"].as_str().is_some_and(|text| text.contains("password")),
        "{error}"
    );
    world.imap.append("orders", "INBOX", World::mail(0));
    world.append(1..2);
    world.wait_messages(1);
    fs::write(&file, format!("{PASSWORD}\n")).expect("written");
    fs::set_permissions(&file, fs::Permissions::from_mode(0o600)).expect("its mode");
    reload(&world, &config);
    world.end(daemon, 0..2);
}

#[test]
fn a_token_that_cannot_be_read_stops_the_tenant_until_it_can() {
    let api = superoffice_api::Options {
        authorization: Some(format!("Bearer {TOKEN}")),
        ..superoffice_api::Options::default()
    };
    let world = World::with(mailbridge::sandbox::imap_server::Options::default(), api);
    let file = world.path("token");
    let config = world.config_with_sign_in(&format!("token = {{ file = \"{}\" }}", file.display()));
    let daemon = world.daemon_with(&config);
    let error = daemon.wait_event("secret.unreadable", |_| true);
    assert_eq!(error["tenant"], "main");
    world.append(0..2);
    daemon.wait_nth_event("message.stored", 1);
    assert!(world.queue(&[]).iter().all(|row: &Value| row["state"] == "ready"));
    fs::write(&file, format!("{TOKEN}\n")).expect("written");
    fs::set_permissions(&file, fs::Permissions::from_mode(0o600)).expect("its mode");
    reload(&world, &config);
    world.end(daemon, 0..2);
}
