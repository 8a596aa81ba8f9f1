//! `config/reference.toml` is the manual of the options. It is made from the option structs and their doc comments;
//! this test keeps it equal to them. `UPDATE_EXPECT=1 cargo test --test it config_reference` writes it anew.
//!
//! A line `# …` is text, a line `#key = …` an option with its default, as in sshd_config.

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::path::Path;

use mailbridge::config::{self, Config, Mailbox, Sources, Tenant};
use toml::{Table, Value};

/// One field of an option struct.
struct Field {
    doc: String,
    name: String,
    kind: String,
}

const HEAD: &str = "\
# Every option of mailbridge, with its default. `config/mailbridge.toml` is all that must be written.
#
# Files: /etc/mailbridge/config.toml, then /etc/mailbridge/conf.d/*.toml in order of name, then variables such as
# MAILBRIDGE__MAILBOX__SUPPORT__POLL_INTERVAL=30s (a `-` of a table's name is written `_`). The last one wins.
# Durations: \"250ms\" \"30s\" \"5m\" \"2h\" \"5d\". Sizes: \"500B\" \"64KiB\" \"35MiB\" \"10GiB\".
# Secrets: { file = \"/path\" }, { credential = \"NAME\" } of systemd, { env = \"NAME\" } or { command = [\"program\", \"argument\"] }
# with a `timeout`; or the text itself in a file of mode 0600. A relative path is below the folder of its file.
# Names of tables have a-z, 0-9 and \"-\".
#
# A line `#key = value` shows a default; remove the `#` and change it. After a reload an option is in force at once
# (live), with a new connection (reconnect) or only after a restart of the daemon (restart).
";

/// The lines that are not comments: those of the small sample.
const LIVE: [(&str, &str, &str); 5] = [
    ("tenant", "base_url", "\"https://online.example.com/Cust12345\""),
    ("tenant", "token", "{ env = \"SUPEROFFICE_TOKEN\" }"),
    ("mailbox", "host", "\"imap.example.com\""),
    ("mailbox", "user", "\"support@example.com\""),
    ("mailbox", "password", "{ env = \"SUPPORT_PASSWORD\" }"),
];

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// The fields of a struct in `src/config/`, in their order.
fn fields(name: &str) -> Vec<Field> {
    let folder = std::fs::read_dir(root().join("src/config")).expect("src/config");
    let mut texts = folder.map(|entry| std::fs::read_to_string(entry.expect("an entry").path()).expect("a file"));
    let head = format!("pub struct {name} {{");
    let text = texts.find(|text| text.contains(&head)).unwrap_or_else(|| panic!("no struct {name}"));
    let (_, body) = text.split_once(&head).expect("the struct");
    let (body, _) = body.split_once("\n}").expect("its end");
    let (mut fields, mut doc) = (Vec::new(), String::new());
    for line in body.lines().map(str::trim) {
        if let Some(text) = line.strip_prefix("///") {
            doc.push_str(text);
        } else if let Some((name, kind)) = line.strip_prefix("pub ").and_then(|line| line.split_once(": ")) {
            let (name, kind) = (name.to_owned(), kind.trim_end_matches(',').to_owned());
            fields.push(Field { doc: std::mem::take(&mut doc).trim().to_owned(), name, kind });
        }
    }
    fields
}

fn wrapped(text: &str) -> String {
    let mut lines = vec!["#".to_owned()];
    for word in text.split_whitespace() {
        let line = lines.last_mut().expect("a line");
        if [line.len(), 1, word.len()].iter().sum::<usize>() > 120 {
            lines.push(format!("# {word}"));
        } else {
            write!(line, " {word}").expect("a string");
        }
    }
    lines.join("\n") + "\n"
}

fn option(section: &str, field: &Field, default: Option<&Value>) -> String {
    let mut out = wrapped(&field.doc);
    let name = &field.name;
    let live = LIVE.iter().find(|(table, key, _)| *table == section && key == name);
    let line = match (live, default) {
        (Some((_, _, value)), _) => format!("{name} = {value}\n"),
        (None, Some(default)) => format!("#{name} = {default}{}\n", words(section, name)),
        (None, None) if field.kind == "Option<Secret>" => {
            format!("# For example: {name} = {{ credential = \"{section}-{}\" }}\n", name.replace('_', "-"))
        }
        (None, None) if field.kind == "Option<TenantName>" => format!("# For example: {name} = \"main\"\n"),
        (None, None) => panic!("{section}.{name} has no default"),
    };
    out.push_str(&line);
    out
}

/// The words that an option knows, as the check of a file lists them.
fn words(section: &str, key: &str) -> String {
    let table = match section {
        "" => return String::new(),
        "tenant" | "mailbox" => format!("{section}.main"),
        section => section.to_owned(),
    };
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("config.toml");
    std::fs::write(&file, format!("[{table}]\n{key} = \"?\"\n")).expect("a file");
    let problems =
        config::load(&Sources { file: Some(file), conf_dir: None, env: Vec::new() }).expect_err("no mailbox");
    let choice = problems.list.iter().find(|problem| problem.code == "choice");
    let known = choice.and_then(|problem| problem.text.split_once("it is one of "));
    known.map(|(_, words)| format!("  # {}", words.replace(", ", " | "))).unwrap_or_default()
}

fn table<T: serde::Serialize>(options: &T) -> Table {
    Table::try_from(options).expect("options are TOML")
}

/// The whole file, made from the structs.
fn reference() -> String {
    let defaults = table(&Config::default());
    let mut out = HEAD.to_owned();
    for section in fields("Config") {
        let (name, head, options) = match section.name.as_str() {
            "config_version" => {
                out.push_str(&format!("\n{}", option("", &section, defaults.get("config_version"))));
                continue;
            }
            "tenants" => ("tenant", "# One SuperOffice installation.\n[tenant.main]\n", table(&Tenant::default())),
            "mailboxes" => ("mailbox", MAILBOX_HEAD, table(&Mailbox::default())),
            name => (name, "", defaults[name].as_table().expect("a section").clone()),
        };
        let head = if head.is_empty() { format!("[{name}]\n") } else { head.to_owned() };
        let kind = section.kind.trim_end_matches('>').rsplit(' ').next().expect("a type");
        let fields = fields(kind);
        let known: BTreeSet<&str> = fields.iter().map(|field| field.name.as_str()).collect();
        assert!(options.keys().all(|key| known.contains(key.as_str())), "a field of {kind} was not found");
        write!(out, "\n{head}").expect("a string");
        for field in &fields {
            let marks = ["(live)", "(reconnect)", "(restart)"];
            assert!(
                marks.iter().any(|mark| field.doc.ends_with(&format!("{mark}."))),
                "{kind}.{}: {marks:?}",
                field.name
            );
            out.push_str(&option(name, field, options.get(&field.name)));
        }
    }
    out
}

const MAILBOX_HEAD: &str = "\
# Every key of a mailbox may also stand here, for all mailboxes that do not say it themselves.
[mailbox_defaults]

# One mailbox.
[mailbox.support]
";

#[test]
fn the_reference_is_that_of_the_code() {
    let path = root().join("config/reference.toml");
    let expected = reference();
    if std::env::var_os("UPDATE_EXPECT").is_some() {
        std::fs::write(&path, &expected).expect("the reference");
    }
    let found = std::fs::read_to_string(&path).unwrap_or_default();
    let differs = expected.lines().zip(found.lines().chain(std::iter::repeat(""))).find(|(new, old)| new != old);
    assert!(expected == found, "config/reference.toml is out of date at {differs:?}; run with UPDATE_EXPECT=1");
}

fn load(text: &str) -> Config {
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("config.toml");
    std::fs::write(&file, text).expect("a file");
    let loaded = config::load(&Sources { file: Some(file), conf_dir: None, env: Vec::new() });
    loaded.unwrap_or_else(|problems| panic!("{problems}")).config
}

#[test]
fn uncommenting_every_option_changes_nothing() {
    let text = reference();
    let mut n_options = 0;
    let uncomment = |line| match str::strip_prefix(line, '#') {
        Some(option) if option.starts_with(|c: char| c.is_ascii_lowercase()) => {
            n_options += 1;
            option
        }
        _ => line,
    };
    let uncommented: Vec<&str> = text.lines().map(uncomment).collect();
    let small = load(include_str!("../../config/mailbridge.toml"));
    assert_eq!(load(&text), small);
    assert_eq!(load(&uncommented.join("\n")), small);
    assert!(n_options > 80, "only {n_options} options");
}

#[test]
fn every_example_of_the_reference_is_good() {
    let text = reference();
    let examples: Vec<&str> = text.lines().filter_map(|line| line.strip_prefix("# For example: ")).collect();
    assert!(examples.len() >= 4);
    for example in examples {
        let section = if example.starts_with("tenant") { "mailbox.support" } else { "tenant.main" };
        let small = include_str!("../../config/mailbridge.toml").replace("token ", "# token ");
        let user = if example.starts_with("password") { "username = \"x\"\n" } else { "" };
        load(&small.replace(&format!("[{section}]\n"), &format!("[{section}]\n{user}{example}\n")));
    }
}
