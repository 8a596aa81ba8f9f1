//! What the fuzz targets have found, and what keeps them moving, stays harmless: their corpora are replayed. The targets that
//! need the inside of the crate replay theirs in place.

use std::path::Path;

#[path = "../../fuzz/checks/compose.rs"]
mod compose;
#[path = "../../fuzz/checks/config.rs"]
mod config;
#[path = "../../fuzz/checks/parse.rs"]
mod parse;
#[path = "../../fuzz/checks/sanitise.rs"]
pub(crate) mod sanitise;
#[path = "../../fuzz/checks/tnef.rs"]
mod tnef;

fn replay(target: &str, check: fn(&[u8])) {
    let corpus = Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz/corpus").join(target);
    let inputs = std::fs::read_dir(&corpus).unwrap_or_else(|error| panic!("{}: {error}", corpus.display()));
    for entry in inputs {
        let path = entry.expect("an entry").path();
        println!("{}", path.display());
        check(&std::fs::read(&path).expect("an input"));
    }
}

#[test]
fn mails_that_fuzzing_found_are_read() {
    replay("parse", parse::check);
}

#[test]
fn mails_that_fuzzing_found_become_entities() {
    replay("compose", compose::check);
}

#[test]
fn configurations_that_fuzzing_found_are_understood_or_refused() {
    replay("config", config::check);
}

#[test]
fn html_that_fuzzing_found_is_copied_without_harm() {
    replay("sanitise", sanitise::check);
}

#[test]
fn containers_that_fuzzing_found_are_opened() {
    replay("tnef", tnef::check);
}
