//! The documents say what the code does: commands, exit codes, log events with their fields and levels, the fields of
//! `--json`, the configuration of the README, the folders of the house.

use std::collections::{BTreeMap, BTreeSet};
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use mailbridge::cli::{self, exit::Exit};
use mailbridge::config::{self, Sources};

/// Fields that lines about a mail, a mailbox or an API have in common.
const COMMON: [&str; 8] = ["event", "tenant", "mailbox", "folder", "qid", "uidvalidity", "uid", "size_bytes"];
const LEVELS: [&str; 4] = ["error", "warn", "info", "debug"];

fn read(path: impl AsRef<Path>) -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(path);
    std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("reading {}: {error}", path.display()))
}

/// All source files below a folder.
fn sources(folder: &Path) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    entries.flat_map(|path| if path.is_dir() { sources(&path) } else { vec![path] }).collect()
}

/// The rows of the first table below a heading of `docs/operations.md`, as cells.
fn table(heading: &str) -> Vec<Vec<String>> {
    let text = read("docs/operations.md");
    let start = text.find(heading).unwrap_or_else(|| panic!("no {heading}"));
    let lines =
        text[start..].lines().skip_while(|line| !line.starts_with('|')).take_while(|line| line.starts_with('|'));
    let cells = |line: &str| line.trim_matches('|').split(" | ").map(|cell| cell.trim().to_owned()).collect();
    lines.skip(2).map(cells).collect()
}

/// The words in backticks.
fn quoted(text: &str) -> impl Iterator<Item = String> {
    text.split('`').skip(1).step_by(2).map(str::to_owned)
}

#[test]
fn every_verb_stands_in_the_table_of_commands() {
    let documented: Vec<String> = table("## Commands").iter().flat_map(|row| quoted(&row[0]).take(1)).collect();
    let sorted = |words: Vec<String>| words.into_iter().collect::<BTreeSet<_>>();
    assert_eq!(sorted(documented), sorted(cli::verbs()));
}

#[test]
fn every_exit_code_stands_in_the_table() {
    let documented: Vec<u8> = table("## Exit codes").iter().map(|row| row[0].parse().unwrap()).collect();
    assert_eq!(documented, Exit::ALL.map(|exit| exit as u8));
}

/// The words of defects in a source text: of `Defect::new("…"` and `TooMuch("…"`; where the word is a variable, every word
/// with a hyphen in that function.
fn defect_words(source: &str) -> BTreeSet<String> {
    let source = &source[..source.find("#[cfg(test)]\nmod tests").unwrap_or(source.len())];
    let word = |text: &str| text.len() > 3 && text.bytes().all(|byte| byte.is_ascii_lowercase() || byte == b'-');
    let hyphened = |text: &&str| word(text) && text.contains('-');
    let mut words = BTreeSet::new();
    for call in ["Defect::new(", "TooMuch("] {
        for (at, _) in source.match_indices(call) {
            let argument = source[at + call.len()..].trim_start();
            if let Some(literal) = argument.strip_prefix('"') {
                words.extend(literal.split('"').next().map(str::to_owned));
            } else if call.starts_with("Defect") && !argument.starts_with("code: &str") {
                let start = source[..at].rfind("fn ").unwrap_or(0);
                let own = source[start..].split("\n}\n").next().unwrap_or_default();
                // A function without words of its own gets them from its neighbours.
                let body = if own.split('"').skip(1).step_by(2).any(|text| hyphened(&text)) { own } else { source };
                // What stands in front of `=>` is compared, not said.
                let pieces: Vec<&str> = body.split('"').collect();
                let said = pieces.chunks_exact(2).zip(pieces.iter().skip(2).step_by(2));
                let said = said.filter(|(_, behind)| !behind.trim_start().starts_with("=>")).map(|(piece, _)| piece[1]);
                let literals = said.filter(hyphened);
                words.extend(literals.map(str::to_owned));
            }
        }
    }
    words
}

#[test]
fn every_defect_has_a_sentence_and_is_documented() {
    let files = sources(&Path::new(env!("CARGO_MANIFEST_DIR")).join("src/message"));
    let used: BTreeSet<String> = files.iter().flat_map(|file| defect_words(&read(file))).collect();
    assert!(used.len() > 15 && used.contains("header-count") && used.contains("nesting"), "{used:?}");
    let silent: Vec<_> = used.iter().filter(|word| cli::defects::sentence(word).is_empty()).collect();
    assert!(silent.is_empty(), "src/cli/defects.rs has no sentence for {silent:?}");
    let documented: Vec<(String, String)> =
        table("## Defects").into_iter().map(|row| (row[0].trim_matches('`').to_owned(), row[1].clone())).collect();
    let known = cli::defects::SENTENCES.iter().map(|(word, sentence)| ((*word).to_owned(), (*sentence).to_owned()));
    assert_eq!(documented, known.collect::<Vec<_>>(), "docs/operations.md (left) and src/cli/defects.rs");
}

#[test]
fn every_field_of_a_queue_entry_is_documented() {
    let source = read("src/cli/entry.rs");
    let (_, object) = source.split_once("struct Object<'a> {").unwrap();
    let (object, _) = object.split_once("\n}").unwrap();
    let lines = object.lines().map(str::trim).filter(|line| !line.starts_with(['/', '#']));
    let fields: BTreeSet<String> = lines.filter_map(|line| Some(line.split_once(':')?.0.to_owned())).collect();
    let documented =
        table("With `--json`").into_iter().flat_map(|row| quoted(&row[0]).collect::<Vec<_>>()).chain(["v".into()]);
    assert_eq!(documented.collect::<BTreeSet<_>>(), fields);
}

/// What is logged of one event.
#[derive(Debug, Default, PartialEq, Eq)]
struct Logged {
    levels: BTreeSet<String>,
    fields: BTreeSet<String>,
}

/// The inside of the parentheses that open at the end of `before`; text in quotes is left out.
fn arguments(rest: &str) -> String {
    let (mut depth, mut in_text, mut escaped, mut inside) = (0_u32, false, false, String::new());
    for c in rest.chars() {
        match c {
            _ if in_text => {
                in_text = escaped || c != '"';
                escaped = c == '\\' && !escaped;
            }
            '"' => in_text = true,
            ')' if depth == 0 => break,
            '(' => depth += 1,
            ')' => depth -= 1,
            '{' | '}' => inside.push(','),
            _ if depth == 0 => inside.push(c),
            _ => {}
        }
    }
    inside
}

/// Adds what the statements of a source text log, by the names of the events' constants.
fn logged(source: &str, found: &mut BTreeMap<String, Logged>) {
    let end = source.find("#[cfg(test)]\nmod tests").unwrap_or(source.len());
    let source = &source[..end];
    for (at, _) in source.match_indices("!(") {
        let name = source[..at].rsplit(|c: char| !c.is_alphanumeric()).next().unwrap();
        let arguments = arguments(&source[at + 2..]);
        let mut words = arguments.split(',').map(str::trim).filter(|word| !word.is_empty());
        let (level, event) = match name {
            "mail" => (words.next().unwrap().to_owned(), words.next().unwrap().to_owned()),
            level if LEVELS.contains(&level) => match words.next().unwrap_or_default().rsplit_once("event::") {
                Some((_, event)) if !event.starts_with('$') => (level.to_owned(), event.to_owned()),
                _ => continue,
            },
            _ => continue,
        };
        let field = |word: &str| word.split('=').next().unwrap().trim().trim_start_matches(['%', '?']).to_owned();
        let skip = usize::from(name == "mail");
        let fields = words.skip(skip).map(field).filter(|field| !COMMON.contains(&field.as_str()));
        let logged = found.entry(event.to_lowercase()).or_default();
        logged.fields.extend(fields);
        logged.levels.insert(level);
    }
}

#[test]
fn the_table_of_events_has_the_fields_and_levels_that_are_logged() {
    let mut found = BTreeMap::new();
    for file in sources(&Path::new(env!("CARGO_MANIFEST_DIR")).join("src")) {
        if file.extension().is_some_and(|extension| extension == "rs") {
            logged(&read(file), &mut found);
        }
    }
    let documented = table("## Log events").into_iter().map(|row| {
        let words = |text: &str| text.split([',', ' ', ';']).map(str::to_owned).collect::<Vec<_>>();
        let levels = words(&row[1]).into_iter().filter(|word| LEVELS.contains(&word.as_str())).collect();
        let fields = words(&row[2]).into_iter().filter(|word| !word.is_empty()).collect();
        (row[0].trim_matches('`').replace('.', "_"), Logged { levels, fields })
    });
    assert_eq!(documented.collect::<BTreeMap<_, _>>(), found, "docs/operations.md (left) and the code");
}

#[test]
fn the_first_configuration_of_the_readme_is_right_and_has_five_settings() {
    let readme = read("README.md");
    let (_, toml) = readme.split_once("```toml\n").unwrap();
    let (toml, _) = toml.split_once("```").unwrap();
    assert_eq!(toml.lines().filter(|line| line.contains(" = ")).count(), 5, "{toml}");
    let home = tempfile::TempDir::new().unwrap();
    let file = home.path().join("config.toml");
    std::fs::write(&file, toml).unwrap();
    std::fs::set_permissions(&file, std::fs::Permissions::from_mode(0o600)).unwrap();
    let loaded = config::load(&Sources { file: Some(file), conf_dir: None, env: Vec::new() }).unwrap();
    assert!(loaded.warnings.is_empty(), "{:?}", loaded.warnings);
}

#[test]
fn the_readme_shows_only_commands_that_exist() {
    let readme = read("README.md");
    let words = readme.split("mailbridge ").skip(1).map(|rest| rest.split(['`', '\n', '#']).next().unwrap());
    let verbs = cli::verbs();
    let starts = |text: &str| verbs.iter().any(|verb| text.starts_with(verb.as_str()));
    let shown = readme.lines().filter(|line| line.starts_with("mailbridge ")).map(|line| &line[11..]);
    let inline = words.filter(|text| text.starts_with("mailbox "));
    for text in shown.chain(inline) {
        assert!(starts(text), "README.md shows `mailbridge {text}`");
    }
}

#[test]
fn every_room_of_the_house_is_drawn() {
    let architecture = read("docs/ARCHITECTURE.md");
    let entries = std::fs::read_dir(Path::new(env!("CARGO_MANIFEST_DIR")).join("src")).unwrap();
    for path in entries.map(|entry| entry.unwrap().path()).filter(|path| path.is_dir()) {
        let room = format!("`{}/`", path.file_name().unwrap().to_string_lossy());
        assert!(architecture.contains(&room), "docs/ARCHITECTURE.md does not name {room}");
    }
}

/// The names in the last column of the tables of `docs/faults.md`, with the number of their row.
fn tests_of_faults() -> Vec<(String, String)> {
    let document = read("docs/faults.md");
    let rows = document
        .lines()
        .filter(|line| line.starts_with("| ") && !line.starts_with("| no.") && !line.starts_with("| ---"));
    let mut named = Vec::new();
    for row in rows {
        let cells: Vec<&str> = row.trim_matches('|').split(" | ").map(str::trim).collect();
        let (number, tests) = (cells[0], cells[cells.len() - 1]);
        let before = named.len();
        named.extend(tests.split('`').skip(1).step_by(2).map(|name| (number.to_owned(), name.to_owned())));
        assert!(named.len() > before, "{number} names no test: {row}");
    }
    named
}

/// The source of the module that a test's path begins with, and the test's own name.
fn source_of(test: &str) -> (String, String) {
    let (module, name) = test.rsplit_once("::").unwrap_or_else(|| panic!("{test} has no module"));
    let path = module.replace("::", "/");
    let candidates = match path.strip_prefix("mailbridge/") {
        Some(inner) => {
            let inner = inner.trim_end_matches("/tests");
            vec![format!("src/{inner}.rs"), format!("src/{inner}/mod.rs"), format!("src/{inner}/tests.rs")]
        }
        None => vec![format!("tests/it/{path}.rs"), format!("tests/it/{path}/mod.rs")],
    };
    let found: Vec<String> =
        candidates.iter().filter(|path| Path::new(env!("CARGO_MANIFEST_DIR")).join(path).exists()).map(read).collect();
    assert!(!found.is_empty(), "{test}: none of {candidates:?} exists");
    (found.join("\n"), name.to_owned())
}

#[test]
fn every_fault_of_the_document_names_a_test_that_exists() {
    let named = tests_of_faults();
    for (number, test) in &named {
        let (source, name) = source_of(test);
        let found = source.find(&format!("fn {name}(")).unwrap_or_else(|| panic!("{number}: there is no {test}"));
        let before: Vec<&str> = source[..found].lines().rev().take(4).collect();
        assert!(
            before.iter().any(|line| line.contains("#[test]") || line.contains("#[tokio::test")),
            "{test} is no test"
        );
    }
}
