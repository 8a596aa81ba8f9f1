//! Harmless mails look in a real browser as they came when they are sanitised: each text and each box at its place, in its
//! colours and fonts. `MAILBRIDGE_SHOTS` names a folder for the pages themselves, to be looked at.

use std::fs;
use std::path::{Path, PathBuf};

use crate::support::PATIENCE;
use crate::support::browser::{Browser, Gallery};
use crate::xss::sanitized;

const SCRIPT: &str = include_str!("../data/xss/looks.js");

fn mails() -> Vec<(String, String)> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/xss/harmless");
    let mut paths: Vec<PathBuf> =
        fs::read_dir(folder).expect("mails").map(|entry| entry.expect("an entry").path()).collect();
    paths.sort();
    let name = |path: &Path| path.file_stem().expect("a name").to_string_lossy().into_owned();
    paths.iter().map(|path| (name(path), fs::read_to_string(path).expect("HTML"))).collect()
}

#[test]
fn harmless_mails_keep_their_looks() {
    let gallery = Gallery::open();
    let mails = mails();
    assert!(mails.len() >= 5);
    for (name, html) in &mails {
        for (kind, html) in [("raw", html.clone()), ("copy", sanitized(html))] {
            let page = format!("<!doctype html><style>body{{margin:0}}</style>{html}");
            if let Some(folder) = std::env::var_os("MAILBRIDGE_SHOTS") {
                fs::write(Path::new(&folder).join(format!("{name}-{kind}.html")), &page).expect("written");
            }
            gallery.hang(format!("/{kind}/{name}"), page);
        }
    }
    let names: Vec<&str> = mails.iter().map(|(name, _)| name.as_str()).collect();
    let script = SCRIPT.replace("LIST", &serde_json::to_string(&names).expect("names"));
    gallery.hang("/".to_owned(), format!("<!doctype html><body><script>{script}</script>"));
    let Some(_browser) = Browser::open(&gallery.url("/")) else { return };
    let asked = gallery.asked_until("/done", PATIENCE);
    let compared: Vec<Vec<&str>> = asked
        .iter()
        .filter_map(|path| path.strip_prefix("/compared/"))
        .map(|path| path.splitn(5, '/').collect())
        .collect();
    assert_eq!(compared.len(), mails.len());
    let other: Vec<_> =
        compared.iter().filter(|words| words[1] != words[2] || words[3] != "0" || words[1] == "0").collect();
    assert!(other.is_empty(), "{other:#?}");
}
