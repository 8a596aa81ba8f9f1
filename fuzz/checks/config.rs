use std::fs;
use std::os::unix::fs::PermissionsExt as _;

use mailbridge::config::{Sources, load};

/// Any text is a configuration or a list of mistakes, each with words.
pub(super) fn check(text: &[u8]) {
    let mut pieces = text.split(|byte| *byte == 0);
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("config.toml");
    fs::write(&file, pieces.next().unwrap_or_default()).expect("written");
    fs::set_permissions(&file, fs::Permissions::from_mode(0o600)).expect("made private");
    let variable = |piece: &[u8]| {
        let text = String::from_utf8_lossy(piece).into_owned();
        let (name, value) = text.split_once('=').unwrap_or((&text, ""));
        (format!("MAILBRIDGE__{name}"), value.to_owned())
    };
    let env = pieces.map(variable).collect();
    match load(&Sources { file: Some(file), conf_dir: Some(folder.path().to_owned()), env }) {
        Ok(loaded) => {
            assert!(loaded.config.mailboxes.values().all(|mailbox| {
                mailbox.tenant.as_ref().is_some_and(|tenant| loaded.config.tenants.contains_key(tenant))
            }));
        }
        Err(problems) => {
            assert!(!problems.list.is_empty());
            assert!(!problems.to_string().is_empty());
        }
    }
}
