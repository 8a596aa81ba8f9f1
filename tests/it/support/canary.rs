//! The secrets of every story, and the search for them in all that a daemon writes: its log, what the command line says,
//! and its folder. Each story searches; `MAILBRIDGE_STORY_LOG=trace` has all of them told at the level that says most.

use std::fs;
use std::path::Path;
use std::sync::OnceLock;

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD_NO_PAD, URL_SAFE_NO_PAD};

/// The mailbox's password: letters that every form of quoting changes.
pub(crate) const PASSWORD: &str = r#"Kanari+vogel/"7"\8&=?"#;
/// The tenant's token.
pub(crate) const TOKEN: &str = r"Meise.Kohl/Blau+9==";

/// The secret as a text of TOML or JSON, with its quotes.
pub(crate) fn quoted(secret: &str) -> String {
    serde_json::to_string(secret).expect("a text")
}

/// The level at which the stories' daemons log.
pub(crate) fn level() -> String {
    std::env::var("MAILBRIDGE_STORY_LOG").unwrap_or_else(|_| "debug".to_owned())
}

/// Fails when `bytes` hold a secret in any form.
#[track_caller]
pub(crate) fn assert_clean(what: &dyn std::fmt::Display, bytes: &[u8]) {
    if let Some(form) = found(bytes) {
        panic!("{what} holds a secret, as {}", String::from_utf8_lossy(form));
    }
}

/// Fails when a file below `folder` holds a secret.
#[track_caller]
pub(crate) fn assert_clean_folder(folder: &Path) {
    for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
        let path = entry.path();
        if path.is_dir() {
            assert_clean_folder(&path);
        } else if path.is_file() {
            assert_clean(&path.display(), &fs::read(&path).unwrap_or_default());
        }
    }
}

/// The form in which a secret was found.
pub(crate) fn found(bytes: &[u8]) -> Option<&'static [u8]> {
    static FORMS: OnceLock<Vec<Vec<u8>>> = OnceLock::new();
    let forms = FORMS.get_or_init(|| [PASSWORD, TOKEN].into_iter().flat_map(forms).collect());
    // One pass for the first byte of each form would be faster; the files of a story are small.
    forms.iter().map(Vec::as_slice).find(|form| bytes.windows(form.len()).any(|window| window == *form))
}

/// Plain, JSON (also what `Debug` makes), URL-encoded, and the part of base64 that does not depend on what stands around it
/// (SASL PLAIN, XOAUTH2 and Basic put a user name before it).
fn forms(secret: &str) -> Vec<Vec<u8>> {
    let json = quoted(secret);
    let mut forms =
        vec![secret.to_owned(), json[1..json.len() - 1].to_owned(), percent(secret, |byte| format!("%{byte:02X}"))];
    forms.push(percent(secret, |byte| format!("%{byte:02x}")));
    for before in 0..3 {
        let mut padded = vec![b'x'; before];
        padded.extend(secret.bytes());
        for engine in [STANDARD_NO_PAD, URL_SAFE_NO_PAD] {
            let text = engine.encode(&padded);
            // The first group holds what stands before, the last may hold what stands behind.
            forms.push(text[if before == 0 { 0 } else { 4 }..text.len() / 4 * 4].to_owned());
        }
    }
    forms.sort();
    forms.dedup();
    forms.into_iter().map(String::into_bytes).collect()
}

fn percent(text: &str, code: impl Fn(u8) -> String) -> String {
    let one = |byte: u8| {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) { (byte as char).to_string() } else { code(byte) }
    };
    text.bytes().map(one).collect()
}

#[test]
fn a_secret_is_found_in_every_form() {
    let sign_in = format!("user=support\u{1}auth=Bearer {TOKEN}\u{1}\u{1}");
    for (form, expected) in [
        (format!("wrong password {PASSWORD}"), true),
        (quoted(PASSWORD), true),
        (format!("{:?}", Some(PASSWORD)), true),
        (base64::engine::general_purpose::STANDARD.encode(format!("\0support\0{PASSWORD}")), true),
        (base64::engine::general_purpose::STANDARD.encode(&sign_in), true),
        (base64::engine::general_purpose::STANDARD.encode(format!("a:{PASSWORD}")), true),
        (percent(PASSWORD, |byte| format!("%{byte:02X}")), true),
        ("Kanari".to_owned(), false),
    ] {
        assert_eq!(found(form.as_bytes()).is_some(), expected, "{form}");
    }
}
