//! Thousands of real and adversarial mails of others, where they are to be had (`MAILBRIDGE_CORPUS`); never part of the
//! project. Each becomes one ticket message within the contract.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use crate::support::World;
use crate::support::canary::PASSWORD;
use crate::support::dovecot::Dovecot;
use crate::support::world::USER;

/// All `.eml` below the folder, in order.
fn mails(folder: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    let mut todo = vec![folder.to_path_buf()];
    while let Some(path) = todo.pop() {
        match fs::read_dir(&path) {
            Ok(entries) => todo.extend(entries.flatten().map(|entry| entry.path())),
            Err(_) if path.extension().is_some_and(|extension| extension == "eml") => found.push(path),
            Err(_) => {}
        }
    }
    found.sort();
    found
}

/// Where a mail goes. Two mails of the corpus that differ in nothing but their line ends are one mail to a server that
/// stores lines, and one mail come twice into a mailbox is posted once: the second goes into a mailbox of its own.
fn addressed(mails: &[PathBuf]) -> Vec<(&'static str, String, Vec<u8>)> {
    let mut known = BTreeSet::new();
    let addressed = mails.iter().enumerate().map(|(n, path)| {
        let raw = fs::read(path).expect("a mail");
        let lines: Vec<u8> = raw.iter().copied().filter(|byte| *byte != b'\r').collect();
        let user = if known.insert(lines) { USER } else { "twins" };
        (user, format!("1790000000.{n:06}.corpus"), raw)
    });
    addressed.collect()
}

#[test]
fn every_mail_of_the_corpus_becomes_one_ticket_message() {
    let folder = std::env::var("MAILBRIDGE_CORPUS").unwrap_or_default();
    if folder.is_empty() {
        eprintln!("skipped: MAILBRIDGE_CORPUS names no folder of mails");
        return;
    }
    let mails = mails(Path::new(&folder));
    assert!(!mails.is_empty(), "no mails below {folder}");
    let world = World::new();
    world.imap.add_user("twins", PASSWORD);
    let dovecot = Dovecot::start();
    for (user, name, raw) in addressed(&mails) {
        match &dovecot {
            Some(dovecot) => dovecot.deliver(user, [(name, raw)]),
            None => _ = world.imap.append(user, "INBOX", raw),
        }
    }
    let config = dovecot.as_ref().map_or_else(|| world.config(), |dovecot| world.config_at(dovecot.port()));
    let daemon = world.daemon_with(&format!("{config}[mailbox.twins]\nuser = \"twins\"\n"));
    for n in 0..mails.len() {
        let done = daemon.wait_nth_event("message.done", n);
        assert_eq!(done["state"], "posted", "{done}");
    }
    daemon.stop();
    eprintln!("{} mails of the corpus, {} ticket messages", mails.len(), world.api.count());
    assert_eq!(world.api.violations(), Vec::<String>::new());
    assert_eq!(world.api.count(), mails.len());
}
