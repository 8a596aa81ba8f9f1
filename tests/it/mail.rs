//! Golden mails: each `tests/data/mail/NAME.eml` composes to the entity in `NAME.json`. `UPDATE_EXPECT=1` rewrites them.
#![expect(clippy::expect_used, reason = "a story ends at the first thing that is wrong")]

use std::fs;
use std::path::{Path, PathBuf};

use mailbridge::clock::UtcMillis;
use mailbridge::compose::{Origin, compose};
use mailbridge::config::Mailbox;
use mailbridge::message::{Depth, Message, Rules};
use mailbridge::parser::Pool;

fn mails() -> Vec<PathBuf> {
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/mail");
    let entries = fs::read_dir(directory).expect("the mails are there").map(|entry| entry.expect("an entry").path());
    let mut found: Vec<_> =
        entries.filter(|path| path.extension().is_some_and(|extension| extension == "eml")).collect();
    found.sort();
    found
}

fn pool() -> Pool {
    Pool::new(PathBuf::from(env!("CARGO_BIN_EXE_mailbridge")), 2)
}

async fn read(pool: &Pool, raw: &[u8], depth: Depth) -> Message {
    pool.parse(raw, &Rules::default(), depth, false).await.expect("a mail that harms nobody")
}

fn composed(message: &Message, raw: &[u8]) -> String {
    let size = u64::try_from(raw.len()).expect("a size");
    let origin = Origin::of_file("support".parse().expect("a name"), UtcMillis(1_795_341_731_000), size);
    let entity = compose(message, &origin, &Mailbox::default());
    let mut json = serde_json::to_string_pretty(&entity).expect("an entity is JSON");
    json.push('\n');
    json
}

#[tokio::test]
async fn each_mail_composes_to_the_entity_beside_it() {
    let pool = pool();
    let mails = mails();
    assert!(mails.len() >= 10, "only {} mails", mails.len());
    for mail in mails {
        let raw = fs::read(&mail).expect("a mail");
        let found = composed(&read(&pool, &raw, Depth::Full).await, &raw);
        let expectation = mail.with_extension("json");
        if std::env::var_os("UPDATE_EXPECT").is_some() {
            fs::write(&expectation, &found).expect("written");
        }
        let expected = fs::read_to_string(&expectation).unwrap_or_default();
        assert_eq!(found, expected, "{} (UPDATE_EXPECT=1 rewrites it)", mail.display());
    }
}

#[tokio::test]
async fn a_mail_says_the_same_at_every_depth() {
    let pool = pool();
    for mail in mails() {
        let raw = fs::read(&mail).expect("a mail");
        let full = read(&pool, &raw, Depth::Full).await;
        let text = read(&pool, &raw, Depth::Text).await;
        let headers = read(&pool, &raw, Depth::Headers).await;
        for other in [&text, &headers] {
            assert_eq!(full.message_id, other.message_id, "{}", mail.display());
            assert_eq!(
                (&full.subject, &full.from, full.date),
                (&other.subject, &other.from, other.date),
                "{}",
                mail.display()
            );
            assert_eq!(full.canonical_hash, other.canonical_hash, "{}", mail.display());
        }
        assert_eq!(full.text, text.text, "{}", mail.display());
    }
}
