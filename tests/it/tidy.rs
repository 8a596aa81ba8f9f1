//! The house stays as `docs/ARCHITECTURE.md` draws it: import ranks, sizes, who may do what, and documents that say what
//! the code does.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

/// The rank of each module, in tenths within a rank of `docs/ARCHITECTURE.md`; a module imports only lower ranks and its
/// own room.
const RANKS: &[(&str, u32)] = &[
    ("backoff", 0),
    ("clock", 0),
    ("fault", 0),
    ("ids", 0),
    ("stop", 0),
    ("uids", 1),
    ("entity", 10),
    ("telemetry", 10),
    ("config", 20),
    ("message", 30),
    ("compose", 31),
    ("imap", 40),
    ("parser", 40),
    ("queue", 40),
    ("superoffice", 40),
    ("delivery", 50),
    ("mailbox", 50),
    ("admin", 60),
    ("sandbox", 60),
    ("daemon", 70),
    ("cli", 80),
];

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn read(path: impl AsRef<Path>) -> String {
    let path = root().join(path);
    fs::read_to_string(&path).unwrap_or_else(|error| panic!("reading {}: {error}", path.display()))
}

/// All files below `folder` whose name ends in `.ext`, relative to the top, in order.
fn files(folder: &str, ext: &str) -> Vec<PathBuf> {
    let mut found = Vec::new();
    let mut todo = vec![root().join(folder)];
    while let Some(path) = todo.pop() {
        for entry in fs::read_dir(&path).into_iter().flatten().flatten() {
            let path = entry.path();
            if path.is_dir() {
                todo.push(path);
            } else if path.extension().is_some_and(|e| e == ext) {
                found.push(path.strip_prefix(root()).expect("below the top").to_path_buf());
            }
        }
    }
    found.sort();
    assert!(!found.is_empty(), "no .{ext} below {folder}");
    found
}

/// The top-level module that a source file belongs to.
fn module_of(file: &Path) -> String {
    let first = file.components().nth(1).expect("src/…").as_os_str().to_string_lossy();
    first.trim_end_matches(".rs").to_owned()
}

/// The lines of a source text that the daemon is made of: no comments, no unit tests.
fn code(text: &str) -> impl Iterator<Item = &str> {
    let end = text.find("#[cfg(test)]\nmod tests").unwrap_or(text.len());
    text[..end].lines().filter(|line| !line.trim_start().starts_with("//"))
}

/// The top-level modules that a source text names as `crate::NAME` or `crate::{NAME, …}`.
fn imports(text: &str) -> BTreeSet<String> {
    let name = |text: &str| text.trim().chars().take_while(|c| c.is_alphanumeric() || *c == '_').collect();
    let mut found = BTreeSet::new();
    for after in code(text).flat_map(|line| line.split("crate::").skip(1)) {
        match after.strip_prefix('{') {
            Some(list) => found.extend(list.split(['}', ';']).next().unwrap_or_default().split(',').map(name)),
            None => drop(found.insert(name(after))),
        }
    }
    found
}

#[test]
fn modules_import_only_lower_ranks() {
    let ranks: BTreeMap<&str, u32> = RANKS.iter().copied().collect();
    let mut wrong = Vec::new();
    for file in files("src", "rs") {
        let module = module_of(&file);
        if ["lib", "main"].contains(&module.as_str()) {
            continue;
        }
        let rank = *ranks.get(module.as_str()).unwrap_or_else(|| panic!("{module} has no rank"));
        for import in imports(&read(&file)) {
            let lower = ranks.get(import.as_str()).is_some_and(|other| *other < rank);
            if import != module && !lower {
                wrong.push(format!("{}: {module} imports {import}", file.display()));
            }
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}

#[test]
fn the_sandbox_shares_no_wire_types_with_the_daemon() {
    for file in files("src/sandbox", "rs") {
        for forbidden in ["entity", "imap", "superoffice", "compose", "message"] {
            let shared = imports(&read(&file)).contains(forbidden);
            assert!(!shared, "{}: the same wrong name could pass on both sides ({forbidden})", file.display());
        }
    }
}

#[test]
fn files_keep_their_size() {
    for file in files("src", "rs").into_iter().chain(files("tests", "rs")) {
        let cap = if file.starts_with("src/cli") { 250 } else { 500 };
        let lines = read(&file).lines().count();
        assert!(lines <= cap, "{} has {lines} lines, the cap is {cap}", file.display());
    }
}

/// Lengths in lines of all functions of a formatted source text.
fn function_lengths(text: &str) -> Vec<usize> {
    let lines: Vec<&str> = text.lines().collect();
    let mut lengths = Vec::new();
    for (start, line) in lines.iter().enumerate() {
        let code = line.trim_start();
        let is_function =
            ["fn ", "pub fn ", "const fn ", "pub const fn ", "async fn ", "pub async fn ", "pub(crate) fn "]
                .iter()
                .any(|begin| code.starts_with(begin));
        if !is_function || code.ends_with("{}") {
            continue;
        }
        let end = format!("{}}}", " ".repeat(line.len() - code.len()));
        if code.ends_with('}') {
            lengths.push(1);
        } else if let Some(length) = lines[start..].iter().position(|line| *line == end) {
            lengths.push(length + 1);
        }
    }
    lengths
}

#[test]
fn functions_fit_a_screen() {
    let mut lengths: Vec<usize> = files("src", "rs").iter().flat_map(|file| function_lengths(&read(file))).collect();
    lengths.sort_unstable();
    let quantile = |share: usize| lengths[(lengths.len() - 1) * share / 100];
    let summary = format!(
        "{} functions: median {}, p90 {}, max {} lines",
        lengths.len(),
        quantile(50),
        quantile(90),
        quantile(100)
    );
    println!("{summary}");
    assert!(lengths.len() > 100 && quantile(50) <= 10 && quantile(90) <= 35, "{summary}");
}

/// Source files (outside `allowed`) with a line of code that has `needle`.
fn naming(needle: &str, allowed: &[&str]) -> Vec<String> {
    files("src", "rs")
        .into_iter()
        .filter(|file| !allowed.iter().any(|place| file.starts_with(place)))
        .filter(|file| code(&read(file)).any(|line| line.contains(needle)))
        .map(|file| file.display().to_string())
        .collect()
}

#[test]
fn each_power_has_one_holder() {
    let none: [String; 0] = [];
    assert_eq!(naming("message::parse(", &["src/message", "src/parser/worker.rs"]), none, "reads mails");
    assert_eq!(naming("process::Command", &["src/parser", "src/config/secret.rs"]), none, "starts processes");
    assert_eq!(naming("tokio::spawn", &["src/daemon/tasks.rs"]), none, "spawns tasks");
    assert_eq!(naming("rusqlite", &["src/queue"]), none, "knows the database");
    assert_eq!(naming("reqwest::Client", &["src/superoffice"]), none, "opens API connections");
    assert_eq!(naming("async_imap", &["src/imap", "src/telemetry"]), none, "knows the IMAP library");
    assert_eq!(naming("mail_parser", &["src/message"]), none, "knows the parsing library");
    assert_eq!(naming("set_var", &[]), none, "changes the environment");
    assert_eq!(naming("danger_accept", &[]), none, "switches verification off");
}

#[test]
fn the_core_is_pure() {
    for folder in ["src/message", "src/compose"] {
        for file in files(folder, "rs") {
            let text = read(&file);
            for forbidden in ["async fn", ".await", "std::fs", "std::net", "Clock", "tokio", "Instant::now"] {
                assert!(!code(&text).any(|l| l.contains(forbidden)), "{} names {forbidden}", file.display());
            }
        }
    }
}

#[test]
fn tests_neither_sleep_nor_hide() {
    for file in files("tests", "rs").into_iter().chain(files("src", "rs")) {
        let text = read(&file);
        for forbidden in [concat!("#[", "ignore"), concat!("#[should", "_panic"), concat!("thread::", "sleep(")] {
            assert!(!text.contains(forbidden), "{} has {forbidden}", file.display());
        }
    }
    for file in files("tests", "rs") {
        let text = read(&file);
        let endless = text.lines().find(|line| line.trim_start().starts_with("while ") && line.ends_with("{}"));
        assert_eq!(endless, None, "{}: a wait without a deadline", file.display());
    }
}

#[test]
fn nothing_is_left_for_later() {
    for file in files("src", "rs").into_iter().chain(files("tests", "rs")) {
        for word in [concat!("TO", "DO"), concat!("FIX", "ME"), concat!("allow(dead", "_code)")] {
            assert!(!read(&file).contains(word), "{} has {word}", file.display());
        }
    }
}

/// The words in backticks in the first column of the tables of a Markdown text.
fn table_words(text: &str) -> BTreeSet<String> {
    let first_cells = text.lines().filter(|line| line.starts_with('|')).filter_map(|line| line.split('|').nth(1));
    first_cells.flat_map(|cell| cell.split('`').skip(1).step_by(2).map(str::to_owned)).collect()
}

/// The part of a Markdown text below the heading that begins with `heading`.
fn section<'a>(text: &'a str, heading: &str) -> &'a str {
    let start = text.find(heading).unwrap_or_else(|| panic!("no section {heading}"));
    let rest = &text[start + heading.len()..];
    &rest[..rest.find("\n## ").unwrap_or(rest.len())]
}

#[test]
fn every_event_is_documented_and_used() {
    let documented = table_words(section(&read("docs/operations.md"), "## Log events"));
    let known: BTreeSet<String> = mailbridge::telemetry::event::ALL.iter().map(ToString::to_string).collect();
    assert_eq!(documented, known, "docs/operations.md and telemetry/event.rs");
    let sources: String = files("src", "rs").iter().filter(|f| !f.ends_with("telemetry/event.rs")).map(read).collect();
    for event in known {
        let constant = event.to_uppercase().replace('.', "_");
        assert!(sources.contains(&constant), "{event} is never written");
    }
}

#[test]
fn every_expected_mail_has_its_mail() {
    let stems = |ext: &str| -> BTreeSet<PathBuf> {
        files("tests/data/mail", ext).iter().map(|file| file.with_extension("")).collect()
    };
    assert_eq!(stems("eml"), stems("json"));
}

#[test]
fn the_readme_begins_with_two_commands() {
    let readme = read("README.md");
    let commands: Vec<&str> = readme.lines().filter_map(|line| line.strip_prefix("    ")).take(2).collect();
    assert_eq!(commands, ["cargo run --release -- demo --exit-when-done", "tests/run"]);
}

#[test]
fn the_documents_speak_of_the_project_alone() {
    let texts = files("docs", "md").into_iter().chain(["README.md".into(), "CHANGELOG.md".into()]);
    for file in texts {
        for word in ["/home/", "/root/", "/tmp/", "../shared"] {
            assert!(!read(&file).contains(word), "{} has {word}", file.display());
        }
    }
}
