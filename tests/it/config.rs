//! The configuration as an administrator meets it: mistakes, layers, secrets, and the reference that is the manual.

use std::os::unix::fs::PermissionsExt as _;
use std::path::PathBuf;

use mailbridge::cli::config::{Command, Show, run};
use mailbridge::config::{self, Loaded, Place, Problems, Secret, Sources};

/// A folder with the files of a configuration.
struct Folder(tempfile::TempDir);

impl Folder {
    fn new(files: &[(&str, &str)]) -> Self {
        let folder = Self(tempfile::tempdir().expect("a folder"));
        files.iter().for_each(|(name, text)| folder.write(name, text, 0o644));
        folder
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    fn write(&self, name: &str, text: &str, mode: u32) {
        let path = self.path(name);
        std::fs::create_dir_all(path.parent().expect("a parent")).expect("a folder");
        std::fs::write(&path, text).expect("a file");
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(mode)).expect("a mode");
    }

    fn sources(&self, env: &[(&str, &str)]) -> Sources {
        let folder = ("CONFIGURATION_DIRECTORY", self.0.path().to_str().expect("UTF-8"));
        let env = env.iter().chain([&folder]).map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        Sources { file: None, conf_dir: None, env }
    }

    fn load(&self, env: &[(&str, &str)]) -> Result<Loaded, Problems> {
        config::load(&self.sources(env))
    }

    /// What is printed, with the folder cut off from all paths.
    fn text(&self, what: &impl ToString) -> String {
        what.to_string().replace(&format!("{}/", self.0.path().display()), "")
    }
}

const SMALL: &str = include_str!("../../config/mailbridge.toml");

const TEN: &str = r#"config_version = 1

[queue]
retry_first     = 30
retry_jitter = 2.0

[log]
level = "inf"

[tenant.main]
base_url = "http://online.example.com/Cust1"
token = { fil = "/etc/token" }
concurrency = "4"

[mailbox.Sales]
host = "imap.example.com"

[mailbox.support]
host = "imap.example.com"
user = "support@example.com"
password = "hunter2"
port = 99999
after_post = "delete"
"#;

const TEN_DROP_IN: &str = r#"[mailbox.support]
pol_interval = "30s"
tenant = "mian"
"#;

/// Each mistake by its code, its place, and what to do about it.
const TEN_ANSWERS: [(&str, &str, &str); 12] = [
    ("unit", "config.toml:4:19", "write \"30s\" or \"30m\""),
    ("choice", "config.toml:8:9", "did you mean \"info\"?"),
    ("unknown-key", "config.toml:12:11", "did you mean `file`?"),
    ("type", "config.toml:13:15", "write 4"),
    ("table-name", "config.toml:15:10", "for example `sales`"),
    ("plain-secret", "config.toml:21:1", "write { file | credential | env | command = … }"),
    ("range", "config.toml:22:8", ""),
    ("unknown-key", "conf.d/20-support.toml:2:1", "did you mean `poll_interval`?"),
    ("range", "config.toml:5:1", ""),
    ("plaintext", "config.toml:11:1", "use https://, or say allow_http = true"),
    ("tenant", "conf.d/20-support.toml:3:1", "did you mean \"main\"?"),
    ("conflict", "config.toml:23:1", "write \"seen\" or \"move\""),
];

#[test]
fn one_run_prints_all_mistakes_of_all_files() {
    let folder = Folder::new(&[("config.toml", TEN), ("conf.d/20-support.toml", TEN_DROP_IN)]);
    let problems = folder.load(&[]).expect_err("ten mistakes and two");
    let text = folder.text(&problems);
    let found: Vec<_> = problems.list.iter().map(|problem| (problem.code, problem.hint.as_str())).collect();
    assert_eq!(found, TEN_ANSWERS.map(|(code, _, hint)| (code, hint)), "{text}");
    let places: Vec<_> = text.lines().filter_map(|line| line.strip_prefix("  --> ")).collect();
    assert_eq!(places, TEN_ANSWERS.map(|(_, place, _)| place));
    assert!(text.ends_with("\n12 errors, 0 warnings in 2 files") && !text.contains("hunter2"), "{text}");
    let first = r#"error[unit]: a duration needs a unit
  --> config.toml:4:19
   | 4 | retry_first     = 30
   |                       ^^ write "30s" or "30m"
error[choice]: `level` cannot be "inf"; it is one of "error", "warn", "info", "debug", "trace"
"#;
    assert!(text.starts_with(first), "{text}");
}

/// The problems of the small configuration with `more` after it, without their places.
#[track_caller]
fn check(more: &str, expected: &[&str]) {
    let folder = Folder::new(&[("config.toml", &format!("{SMALL}{more}"))]);
    let problems = match folder.load(&[]) {
        Ok(loaded) => loaded.warnings,
        Err(problems) => problems.list,
    };
    let found: Vec<String> = problems.iter().map(|problem| format!("{}: {}", problem.code, problem.text)).collect();
    assert_eq!(found, expected);
}

#[test]
fn a_broken_head_of_a_table_is_one_mistake() {
    let folder =
        Folder::new(&[("config.toml", "[mailbox.a\nhost = \"imap.example.com\"\n[quue]\nretry_max = \"1h\"\n")]);
    let problems = folder.load(&[]).expect_err("a broken file");
    let codes: Vec<&str> = problems.list.iter().map(|problem| problem.code).collect();
    assert_eq!(codes, ["syntax", "unknown-key"], "{problems}");
    assert!(problems.list[1].text.contains("quue"), "{problems}");
}

#[test]
fn a_relative_certificate_is_below_the_folder_of_its_file() {
    let folder =
        Folder::new(&[("config.toml", SMALL), ("conf.d/a.toml", "[tls]\nextra_roots = [\"ca.pem\", \"/b.pem\"]\n")]);
    let loaded = folder.load(&[]).expect("a good configuration");
    let expected = [folder.path("conf.d/ca.pem").display().to_string(), "/b.pem".to_owned()];
    assert_eq!(loaded.config.tls.extra_roots, expected);
}

#[test]
fn values_are_refused_in_words() {
    check("", &[]);
    check("folders = [\"INBOX\", 5]", &["type: `folders` must be a text, not 5"]);
    check("folders = \"INBOX\"", &["type: `folders` must be a list, not the text \"INBOX\""]);
    check("port = -1", &["range: `port` must be a whole number from 0 to 65535, not -1"]);
    check("enabled = \"yes\"", &["type: `enabled` must be true or false, not the text \"yes\""]);
    check(
        "io_timeout = \"30 parsecs\"",
        &["unit: the text \"30 parsecs\" is not a duration with a unit (ms, s, m, h, d)"],
    );
    check("[limits]\nimap_line = 65536", &["unit: a size needs a unit"]);
    check(
        "[limits.imap_line]\nx = 1",
        &["type: `imap_line` must be a size with a unit (B, KiB, MiB, GiB), not a table"],
    );
    check("[mailbox.support.tls]", &["type: `tls` must be a text, not a table"]);
    check("[[mailbox]]", &["syntax: duplicate key"]);
    check(
        "[[queue]]\nretry_first = \"1s\"",
        &["list-of-tables: `[[queue]]` is a list of tables; tables have names here"],
    );
    check("[mailbx.x]\na = 1", &["unknown-key: there is no table `[mailbx]`"]);
    check(
        "[tenant.second]\nbase_url = \"https://example.com\"\ntenant.x = 5",
        &[
            "unknown-key: `[tenant.second]` has no key `tenant`",
            "sign-in: `[tenant.second]` has no sign-in: the API is called without Authorization",
            "tenant: `[mailbox.support]`: with several tenants, `tenant` must name one of main, second",
        ],
    );
}

#[test]
fn secrets_are_refused_without_being_shown() {
    let secret = |value: &str| SMALL.replace("{ env = \"SUPPORT_PASSWORD\" }", value);
    for (value, codes) in [
        ("12345678", &["type"][..]),
        ("[\"12345678\"]", &["type"]),
        ("\"12345678\"", &["plain-secret"]),
        ("\"12345678", &["plain-secret", "syntax"]),
        ("{ file = \"/12345678\", env = \"A\" }", &["value"]),
        ("{ timeout = \"12345678\", command = [\"a\"] }", &["unit"]),
        ("{}", &["value"]),
        ("\"\"\"\n12345678\"\"\"", &["plain-secret"]),
    ] {
        let folder = Folder::new(&[("config.toml", &secret(value))]);
        let problems = folder.load(&[]).expect_err(value);
        assert_eq!(problems.list.iter().map(|problem| problem.code).collect::<Vec<_>>(), codes, "{problems}");
        let hidden = !problems.to_string().contains("12345678") || value.contains("/12345678");
        assert!(hidden, "{problems}");
    }
    let url = SMALL.replace("https://", "https://user:12345678@");
    let text = Folder::new(&[("config.toml", &url)]).load(&[]).expect_err("a sign-in in the URL").to_string();
    assert!(text.contains("holds a sign-in") && !text.contains("12345678"), "{text}");
    let folder = Folder::new(&[]);
    for (key, value) in [("pasword", "\"12345678\""), ("password", "\"12345678\"\ncommand = 5")] {
        let text = SMALL.replace("password", key).replace("{ env = \"SUPPORT_PASSWORD\" }", value);
        folder.write("config.toml", &text, 0o600);
        let text = folder.load(&[]).expect_err(key).to_string();
        assert!(!text.contains("12345678"), "{text}");
    }
}

#[test]
fn options_that_do_not_fit_together_are_refused() {
    for (more, expected) in [
        ("tls = \"none\"", "plaintext: "),
        ("folders = []", "value: `[mailbox.support]`: `folders` must"),
        ("folders = [\"INBOX\", \"inbox\"]", "value: `[mailbox.support]`: folder `INBOX` stands there twice"),
        ("batch = 0", "range: `[mailbox.support]`: `batch` must be at least 1"),
        ("idle_refresh = \"30m\"", "range: "),
        ("reconnect_first = \"10m\"", "conflict: `[mailbox.support]`: `reconnect_first` (10m) is more than"),
        ("after_post = \"delete\"", "conflict: "),
        ("after_post = \"move\"\nmove_to = \"\"", "conflict: "),
        (
            "after_post = \"move\"\nmove_to = \"Inbox\"",
            "conflict: `[mailbox.support]`: `move_to` is a folder that is read",
        ),
        ("keyword = \"\\\\Seen\"", "value: "),
        ("[queue]\nretry_factor = 0.5", "range: `[queue]`: `retry_factor` must be from 1 to 100"),
        ("[service]\nworker_threads = 0", "range: "),
        ("[parse]\ndefault_charset = \"klingon\"", "value: `[parse]`: `klingon` is no known charset"),
        ("[tenant.main.password]\nenv = \"A\"", "sign-in: "),
        (
            "[mailbox.other]\nhost = \"imap.example.com\"\nuser = \"x\"",
            "missing: `[mailbox.other]`: `password` is needed",
        ),
    ] {
        let folder = Folder::new(&[("config.toml", &format!("{SMALL}{more}\n"))]);
        let problems = folder.load(&[]).expect_err(more);
        let text = folder.text(&problems);
        assert!(text.starts_with(&format!("error[{}", expected.replacen(": ", "]: ", 1))), "{more}: {text}");
        assert_eq!(problems.list.len(), 1, "{text}");
    }
    let same =
        "[mailbox.other]\nhost = \"IMAP.example.com\"\nuser = \"support@example.com\"\npassword = { env = \"A\" }\n";
    let loaded = Folder::new(&[("config.toml", &format!("{SMALL}{same}"))]).load(&[]).expect("a warning only");
    assert_eq!(loaded.warnings.iter().map(|problem| problem.code).collect::<Vec<_>>(), ["same-folder"]);
}

const ENV: [(&str, &str); 5] = [
    ("MAILBRIDGE__TENANT__MAIN__BASE_URL", "https://online.example.com/Cust12345"),
    ("MAILBRIDGE__TENANT__MAIN__TOKEN", "007"),
    ("MAILBRIDGE__MAILBOX__EU_SUPPORT__HOST", "imap.example.com"),
    ("MAILBRIDGE__MAILBOX__EU_SUPPORT__USER", "007"),
    ("MAILBRIDGE__MAILBOX__EU_SUPPORT__PASSWORD__FILE", "/run/password"),
];

fn mailbox<'a>(loaded: &'a Loaded, name: &str) -> &'a config::Mailbox {
    &loaded.config.mailboxes[&name.parse().expect("a name")]
}

#[test]
fn the_environment_alone_is_enough() {
    let more = [
        ("MAILBRIDGE__MAILBOX__EU_SUPPORT__PORT", "1143"),
        ("MAILBRIDGE__MAILBOX__EU_SUPPORT__SEND_ID", "false"),
        ("MAILBRIDGE__MAILBOX__EU_SUPPORT__FOLDERS", "INBOX, Archive/2026"),
        ("MAILBRIDGE__MAILBOX_DEFAULTS__POLL_INTERVAL", "30s"),
        ("MAILBRIDGE__QUEUE__RETRY_FACTOR", "1.5"),
    ];
    let loaded = Folder::new(&[]).load(&[&ENV[..], &more].concat()).unwrap_or_else(|problems| panic!("{problems}"));
    let mailbox = mailbox(&loaded, "eu-support");
    assert_eq!((mailbox.user.as_str(), mailbox.port, mailbox.send_id), ("007", 1143, false));
    assert_eq!(
        (mailbox.folders.join("|").as_str(), mailbox.poll_interval.to_string().as_str()),
        ("INBOX|Archive/2026", "30s")
    );
    assert_eq!(mailbox.password, Some(Secret::File { file: "/run/password".to_owned() }));
    assert_eq!((mailbox.address.as_str(), mailbox.mail_sorter.as_str()), ("007", "eu-support"));
    assert_eq!(mailbox.tenant, loaded.config.tenants.keys().next().cloned());
    assert_eq!(loaded.config.tenants.values().next().expect("one").token, Some(Secret::Plain("007".to_owned())));
    assert!((loaded.config.queue.retry_factor - 1.5).abs() < f64::EPSILON);
    let warnings: Vec<String> = loaded.warnings.iter().map(ToString::to_string).collect();
    assert_eq!(
        warnings,
        ["warning[env-secret]: MAILBRIDGE__TENANT__MAIN__TOKEN holds a secret, and the environment is not \
        a safe place\n  --> environment MAILBRIDGE__TENANT__MAIN__TOKEN\n   | write MAILBRIDGE__TENANT__MAIN__TOKEN__FILE=/path/of/a/file"]
    );
}

#[test]
fn stray_variables_are_named() {
    for (name, value, expected) in [
        (
            "MAILBRIDGE__MAILBOX__EU_SUPPORT__POL_INTERVAL",
            "30s",
            "did you mean MAILBRIDGE__MAILBOX__EU_SUPPORT__POLL_INTERVAL?",
        ),
        ("MAILBRIDGE__MAILBOX__EU_SUPPORT__POLL_INTERVAL", "30", "write \"30s\" or \"30m\""),
        ("MAILBRIDGE__MAILBOX__EU_SUPPORT__PORT", "imap", "a whole number from 0 to 65535"),
        ("MAILBRIDGE__MAILBOX__EU_SUPPORT__PORT", "99999", "a whole number from 0 to 65535"),
        ("MAILBRIDGE__LOGG__LEVEL", "info", "did you mean MAILBRIDGE__LOG__LEVEL?"),
        ("MAILBRIDGE__LOG__LEVEL", "chatty", "it is one of \"error\""),
        ("MAILBRIDGE__LOG__LEVEL__X", "info", "`level` must be a text, not a table"),
        ("MAILBRIDGE__LOG", "info", "`log` must be a table"),
        (
            "MAILBRIDGE__MAILBOX__EU_SUPPORT__PASSWORD__FIL",
            "hunter2",
            "did you mean MAILBRIDGE__MAILBOX__EU_SUPPORT__PASSWORD__FILE?",
        ),
        ("MAILBRIDGE__", "x", "there is no table"),
    ] {
        let problems = Folder::new(&[]).load(&[&ENV[..], &[(name, value)]].concat()).expect_err(name);
        let text = problems.to_string();
        assert!(text.contains(expected) && text.contains(&format!("  --> environment {name}")), "{text}");
        assert!(problems.errors() == 1 && !text.contains("hunter2"), "{text}");
    }
}

#[test]
fn later_layers_win() {
    let first = "[mailbox.support]\nport = 1\nbatch = 1\nio_timeout = \"1s\"\npassword = { file = \"password\" }\n";
    let files =
        [("config.toml", SMALL), ("conf.d/10-a.toml", first), ("conf.d/20-b.toml", "[mailbox.support]\nbatch = 2\n")];
    let folder = Folder::new(&[&files[..], &[("conf.d/.30-c.toml", "x"), ("conf.d/README", "x")]].concat());
    let loaded = folder.load(&[("MAILBRIDGE__MAILBOX__SUPPORT__IO_TIMEOUT", "3s")]).unwrap_or_else(|p| panic!("{p}"));
    let support = mailbox(&loaded, "support");
    assert_eq!((support.port, support.batch, support.io_timeout.to_string().as_str()), (1, 2, "3s"));
    let file = folder.path("conf.d/password").display().to_string();
    assert_eq!(
        support.password,
        Some(Secret::File { file }),
        "a secret is overridden as a whole, its path is absolute"
    );
    let warnings: Vec<String> = loaded.warnings.iter().map(|problem| folder.text(problem)).collect();
    let expected = "warning[override]: `mailbox.support.batch` overrides what conf.d/10-a.toml:3 says\n  --> conf.d/20-b.toml:2:1\n";
    assert!(matches!(&warnings[..], [warning] if warning.starts_with(expected)), "{warnings:?}");
    assert_eq!(loaded.files.len(), 3);
    assert_eq!(folder.text(&loaded.origins["mailbox.support.port"]), "conf.d/10-a.toml:2");
    let variable = Place::Env("MAILBRIDGE__MAILBOX__SUPPORT__IO_TIMEOUT".to_owned());
    assert_eq!(loaded.origins["mailbox.support.io_timeout"], variable);
}

#[test]
fn files_are_refused_by_mode_and_content() {
    let plain = SMALL.replace("{ env = \"SUPPORT_PASSWORD\" }", "\"hunter2\"");
    for (mode, text, codes) in [
        (0o600, plain.as_str(), &["warning plain-secret"][..]),
        (0o400, &plain, &["warning plain-secret"]),
        (0o640, &plain, &["error plain-secret"]),
        (0o644, SMALL, &[]),
        (0o664, SMALL, &["error file-mode"]),
        (0o602, &plain, &["error file-mode", "error plain-secret"]),
    ] {
        let folder = Folder::new(&[]);
        folder.write("config.toml", text, mode);
        let list = folder.load(&[]).map_or_else(|problems| problems.list, |loaded| loaded.warnings);
        let found: Vec<_> =
            list.iter().map(|problem| format!("{:?} {}", problem.severity, problem.code).to_lowercase()).collect();
        assert_eq!(found, codes, "{mode:o}");
    }
    let windows = format!("\u{feff}{}", SMALL.replace('\n', "\r\n"));
    assert!(Folder::new(&[("config.toml", &windows)]).load(&[]).is_ok(), "a byte order mark and CRLF do no harm");
    let long = format!("x = \"{}\" y", "x".repeat(100_000));
    let text = Folder::new(&[("config.toml", &long)]).load(&[]).expect_err("not TOML").to_string();
    assert!(text.contains("error[syntax]") && text.len() < 2000, "{text}");
    let folder = Folder::new(&[("config.toml", SMALL)]);
    std::fs::write(folder.path("config.toml"), b"# caf\xe9\n").expect("a file");
    assert!(folder.load(&[]).expect_err("Latin-1").to_string().contains("line 1 is not UTF-8 text"));
    let absent = Sources { file: Some(folder.path("absent.toml")), ..folder.sources(&[]) };
    let text = config::load(&absent).expect_err("absent").to_string();
    assert!(
        text.contains("absent.toml` cannot be read: No such file") && text.ends_with("1 error, 0 warnings in 1 file"),
        "{text}"
    );
    let nothing = Folder::new(&[]).load(&[]).expect_err("nothing").to_string();
    assert!(nothing.contains("no tenant is configured") && nothing.contains("no mailbox is configured"), "{nothing}");
}

fn run_config(command: &Command, json: bool, sources: &Sources) -> (u8, String, String) {
    let (mut out, mut err) = (Vec::new(), Vec::new());
    let code = run(command, json, sources, &mut out, &mut err).expect("a buffer takes all");
    (code, String::from_utf8(out).expect("UTF-8"), String::from_utf8(err).expect("UTF-8"))
}

#[test]
fn check_ends_with_the_counts() {
    let folder = Folder::new(&[("config.toml", SMALL), ("conf.d/a.toml", "")]);
    assert_eq!(
        run_config(&Command::Check, false, &folder.sources(&[])),
        (0, "0 errors, 0 warnings in 2 files\n".to_owned(), String::new())
    );
    folder.write("conf.d/a.toml", "[log]\nlevel = 5\n", 0o644);
    let (code, out, _) = run_config(&Command::Check, false, &folder.sources(&[]));
    assert_eq!((code, out.lines().last()), (78, Some("1 error, 0 warnings in 2 files")));
    let (code, out, _) = run_config(&Command::Check, true, &folder.sources(&[]));
    let file = folder.path("conf.d/a.toml").display().to_string();
    let json = format!(
        r#"{{"severity":"error","code":"type","text":"`level` must be a text, not 5","file":"{file}","line":2,"column":9,"hint":"write \"5\""}}"#
    );
    assert_eq!((code, out.trim_end()), (78, json.as_str()));
}

#[test]
fn show_prints_what_is_in_force_and_where_it_comes_from() {
    let plain = SMALL.replace("{ env = \"SUPPORT_PASSWORD\" }", "\"hunter2\"") + "[mailbox_defaults]\nbatch = 7\n";
    let folder = Folder::new(&[]);
    folder.write("config.toml", &plain, 0o600);
    let sources = folder.sources(&[("MAILBRIDGE__LOG__LEVEL", "debug")]);
    let show = |all, origin| run_config(&Command::Show(Show { changed: false, all, origin }), false, &sources);
    let (code, out, err) = show(false, true);
    let text =
        folder.text(&out).lines().map(|line| line.split_whitespace().collect::<Vec<_>>().join(" ")).collect::<Vec<_>>();
    assert_eq!(
        (code, err.as_str(), text.join("\n").as_str()),
        (
            0,
            "",
            r#"[log]
level = "debug" # environment MAILBRIDGE__LOG__LEVEL

[mailbox.support]
address = "support@example.com" # inferred
batch = 7 # config.toml:10
host = "imap.example.com" # config.toml:6
mail_sorter = "support" # inferred
password = "(secret)" # config.toml:8
tenant = "main" # inferred
user = "support@example.com" # config.toml:7

[tenant.main]
base_url = "https://online.example.com/Cust12345" # config.toml:2
token = { env = "SUPEROFFICE_TOKEN" } # config.toml:3"#
        )
    );
    let (_, all, _) = show(true, false);
    assert!(all.starts_with("config_version = 1\n") && all.contains("\npoll_interval = \"1m\"\n"), "{all}");
    let shown: toml::Table = toml::from_str(&all).expect("the output is TOML");
    assert_eq!(shown["queue"]["retry_jitter"].as_float(), Some(0.2));
    folder.write("config.toml", "x = 1", 0o600);
    let (code, out, err) = show(false, false);
    assert!(code == 78 && out.is_empty() && err.contains("unknown-key"), "{err}");
}
