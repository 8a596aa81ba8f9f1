//! The rules that concern values as such or several options together, checked on the merged configuration.

use std::collections::BTreeMap;
use std::fmt::Display;

use super::layer::Findings;
use super::mailbox::{AfterPost, ImapTls, Mailbox};
use super::problem::{Place, Problem};
use super::shape::MAILBOX_DEFAULTS;
use super::tenant::{Auth, Tenant, Tickets};
use super::units::{Period, Size};
use super::{Config, words};

/// Checks everything; what is wrong goes to the findings.
pub(super) fn check(config: &Config, findings: &mut Findings) {
    let mut problems = Vec::new();
    general(config, &mut Table::new("", findings, &mut problems));
    for (section, rule) in SECTIONS {
        rule(config, &mut Table::new(section, findings, &mut problems));
    }
    for (name, tenant) in &config.tenants {
        check_tenant(tenant, &mut Table::new(&format!("tenant.{name}"), findings, &mut problems));
    }
    for (name, mailbox) in &config.mailboxes {
        let mut table = Table::new(&format!("mailbox.{name}"), findings, &mut problems);
        its_tenant(config, mailbox, &mut table);
        check_mailbox(mailbox, &mut table);
    }
    same_folders(config, findings, &mut problems);
    findings.problems.append(&mut problems);
}

type Rule = fn(&Config, &mut Table<'_>);
const SECTIONS: [(&str, Rule); 5] =
    [("service", service), ("queue", queue), ("store", store), ("limits", limits), ("parse", parse)];

/// One table of the configuration, to complain about.
struct Table<'a> {
    name: String,
    findings: &'a Findings,
    problems: &'a mut Vec<Problem>,
}

impl<'a> Table<'a> {
    fn new(name: &str, findings: &'a Findings, problems: &'a mut Vec<Problem>) -> Self {
        Self { name: name.to_owned(), findings, problems }
    }

    fn key(&self, key: &str) -> String {
        if self.name.is_empty() { key.to_owned() } else { format!("{}.{key}", self.name) }
    }

    fn place(&self, key: &str) -> Option<Place> {
        let inherited = self.name.starts_with("mailbox.").then(|| format!("{MAILBOX_DEFAULTS}.{key}"));
        let keys = [Some(self.key(key)), inherited, Some(self.name.clone())];
        keys.into_iter().flatten().find_map(|key| self.findings.places.get(&key).cloned())
    }

    fn error(&mut self, code: &'static str, key: &str, text: impl Display, hint: &str) {
        let problem = Problem::error(code, format!("`[{}]`: {text}", self.name));
        self.problems.push(problem.at(self.place(key)).hint(hint));
    }

    /// The value of `key` must be in order.
    fn range(&mut self, key: &str, is_good: bool, must: &str) {
        if !is_good {
            self.error("range", key, format_args!("`{key}` must be {must}"), "");
        }
    }

    /// The option must be given, by whatever layer; one that is given wrongly is reported as that.
    fn required(&mut self, key: &str, is_there: bool, example: &str) {
        if !is_there && !self.is_unsure(key) {
            self.error("missing", "", format_args!("`{key}` is needed"), &format!("for example {key} = {example}"));
        }
    }

    /// The option was given wrongly, or may stand in a file that could not be read.
    fn is_unsure(&self, key: &str) -> bool {
        self.findings.incomplete || self.findings.spoiled.contains(&self.key(key))
    }

    fn times(&mut self, periods: &[(&str, Period)]) {
        for (key, period) in periods {
            self.range(key, !period.0.is_zero(), "more than \"0s\"");
        }
    }

    fn ordered(&mut self, (small, less): (&str, Period), (large, more): (&str, Period)) {
        if less > more {
            self.error("conflict", small, format_args!("`{small}` ({less}) is more than `{large}` ({more})"), "");
        }
    }
}

fn general(config: &Config, table: &mut Table<'_>) {
    if config.config_version != 1 {
        let text = format!("`config_version` is {}; this program knows version 1", config.config_version);
        table.problems.push(Problem::error("version", text).at(table.place("config_version")));
    }
    if table.findings.incomplete {
        return;
    }
    let said =
        |what: &str| table.findings.spoiled.iter().any(|key| key == what || key.starts_with(&format!("{what}.")));
    for (what, is_none) in [("tenant", config.tenants.is_empty()), ("mailbox", config.mailboxes.is_empty())] {
        if is_none && !said(what) {
            let text = format!("no {what} is configured");
            let file = table.findings.absent.as_ref().map(|file| file.display());
            let file = file.map(|file| format!(" in {file} (which is not there), or name a file with --config"));
            let hint = format!("write a [{what}.NAME] table{}", file.unwrap_or_default());
            table.problems.push(Problem::error("missing", text).hint(hint));
        }
    }
}

fn service(config: &Config, table: &mut Table<'_>) {
    let service = &config.service;
    table.times(&[("shutdown_grace", service.shutdown_grace)]);
    table.range("worker_threads", (1..=512).contains(&service.worker_threads), "from 1 to 512");
}

fn queue(config: &Config, table: &mut Table<'_>) {
    let queue = &config.queue;
    table.times(&[("retry_first", queue.retry_first), ("expire_after", queue.expire_after)]);
    table.range("retry_factor", (1.0..=100.0).contains(&queue.retry_factor), "from 1 to 100");
    table.range("retry_jitter", (0.0..=1.0).contains(&queue.retry_jitter), "from 0 to 1");
    table.ordered(("retry_first", queue.retry_first), ("retry_max", queue.retry_max));
    table.ordered(("warn_after", queue.warn_after), ("expire_after", queue.expire_after));
}

fn store(config: &Config, table: &mut Table<'_>) {
    table.range("path", !config.store.path.is_empty(), "the name of a folder");
    table.range("max_size", config.store.max_size > Size(0), "more than 0");
}

fn limits(config: &Config, table: &mut Table<'_>) {
    let limits = &config.limits;
    table.times(&[("parse_time", limits.parse_time)]);
    let sizes = [
        ("message_size", limits.message_size, 1),
        ("header_bytes", limits.header_bytes, 1),
        ("header_line", limits.header_line, 998),
        ("imap_line", limits.imap_line, 8192),
        ("in_flight_bytes", limits.in_flight_bytes, 1 << 16),
        ("parse_memory", limits.parse_memory, 32 << 20),
    ];
    for (key, size, least) in sizes {
        table.range(key, size >= Size(least), &format!("at least \"{}\"", Size(least)));
    }
    let counts = [
        ("header_count", limits.header_count),
        ("address_count", limits.address_count),
        ("nesting", limits.nesting),
        ("parts", limits.parts),
        ("body_chars", limits.body_chars),
        ("filename_bytes", limits.filename_bytes),
        ("crash_strikes", limits.crash_strikes),
    ];
    for (key, count) in counts {
        table.range(key, count >= 1, "at least 1");
    }
}

fn parse(config: &Config, table: &mut Table<'_>) {
    let charset = &config.parse.default_charset;
    if encoding_rs::Encoding::for_label(charset.as_bytes()).is_none() {
        table.error("value", "default_charset", format_args!("`{}` is no known charset", charset.escape_debug()), "");
    }
    let legal = |name: &String| !name.is_empty() && name.bytes().all(|b| b.is_ascii_graphic() && b != b':');
    if let Some(wrong) = config.parse.headers.iter().find(|name| !legal(name)) {
        table.error("value", "headers", format_args!("\"{}\" is not the name of a header", wrong.escape_debug()), "");
    }
}

fn check_tenant(tenant: &Tenant, table: &mut Table<'_>) {
    table.required("base_url", !tenant.base_url.is_empty(), "\"https://online.example.com/Cust12345\"");
    if !tenant.base_url.is_empty() {
        base_url(tenant, table);
    }
    sign_in(tenant, table);
    table.times(&[
        ("connect_timeout", tenant.connect_timeout),
        ("request_timeout", tenant.request_timeout),
        ("breaker_probe", tenant.breaker_probe),
    ]);
    table.range("concurrency", tenant.concurrency >= 1, "at least 1");
    table.range("breaker_failures", tenant.breaker_failures >= 1, "at least 1");
    for (key, size) in [("max_request", tenant.max_request), ("max_response", tenant.max_response)] {
        table.range(key, size >= Size(1024), "at least \"1KiB\"");
    }
}

fn base_url(tenant: &Tenant, table: &mut Table<'_>) {
    let example = "for example \"https://online.example.com/Cust12345\"";
    let Ok(url) = reqwest::Url::parse(&tenant.base_url) else {
        return table.error("value", "base_url", "`base_url` is not a URL", example);
    };
    if !matches!(url.scheme(), "http" | "https") || url.host_str().is_none() {
        return table.error("value", "base_url", "`base_url` must begin with https:// or http://", example);
    }
    if !url.username().is_empty() || url.password().is_some() {
        table.error("value", "base_url", "`base_url` holds a sign-in", "use username and password");
    }
    if url.query().is_some() || url.fragment().is_some() {
        table.error("value", "base_url", "`base_url` has a `?` or `#`", example);
    }
    if url.scheme() == "http" && !tenant.allow_http && !is_loopback(url.host_str().unwrap_or_default()) {
        let text = "http:// to another host sends the sign-in and the mails in plain text";
        table.error("plaintext", "base_url", text, "use https://, or say allow_http = true");
    }
}

fn sign_in(tenant: &Tenant, table: &mut Table<'_>) {
    let (token, user) = (tenant.token.is_some(), !tenant.username.is_empty());
    let password = tenant.password.is_some();
    if token && (user || password) {
        let text = "both `token` and `username` or `password` are given: which sign-in is meant?";
        return table.error("sign-in", "token", text, "leave out one of them");
    }
    match tenant.auth {
        Auth::Basic => {
            table.required("username", user, "\"mailbridge\"");
            table.required("password", password, "{ credential = \"superoffice-password\" }");
        }
        Auth::SoTicket | Auth::Bearer => table.required("token", token, "{ credential = \"superoffice-token\" }"),
        Auth::Inferred if user != password => {
            table.required("username", user, "\"mailbridge\"");
            table.required("password", password, "{ credential = \"superoffice-password\" }");
        }
        Auth::Inferred if !token && !user && !table.is_unsure("token") && !table.is_unsure("username") => {
            let text = format!("`[{}]` has no sign-in: the API is called without Authorization", table.name);
            let problem = Problem::warning("sign-in", text).at(table.place(""));
            table.problems.push(problem.hint("write token, or username and password"));
        }
        Auth::Inferred => {}
    }
}

fn its_tenant(config: &Config, mailbox: &Mailbox, table: &mut Table<'_>) {
    let known: Vec<&str> = config.tenants.keys().map(crate::ids::TenantName::as_str).collect();
    match &mailbox.tenant {
        Some(name) if !config.tenants.contains_key(name) && !table.findings.incomplete => {
            let text = format!("there is no tenant `{name}`; known: {}", known.join(", "));
            let meant = words::closest(name.as_str(), known.iter().copied());
            table.error(
                "tenant",
                "tenant",
                text,
                &meant.map(|name| format!("did you mean \"{name}\"?")).unwrap_or_default(),
            );
        }
        None if known.len() > 1 && !table.is_unsure("tenant") => {
            let text = format!("with several tenants, `tenant` must name one of {}", known.join(", "));
            table.error("tenant", "tenant", text, "");
        }
        _ => {}
    }
}

fn check_mailbox(mailbox: &Mailbox, table: &mut Table<'_>) {
    if mailbox.enabled {
        table.required("host", !mailbox.host.is_empty(), "\"imap.example.com\"");
        table.required("user", !mailbox.user.is_empty(), "\"support@example.com\"");
        table.required("password", mailbox.password.is_some(), "{ credential = \"support-password\" }");
    }
    if mailbox.tls == ImapTls::None && !mailbox.host.is_empty() && !is_loopback(&mailbox.host) {
        let text = format!("`tls = \"none\"` to {} would send the password in plain text", mailbox.host.escape_debug());
        table.error(
            "plaintext",
            "tls",
            text,
            "write \"implicit\" or \"starttls\"; or \"insecure-plaintext\", on purpose",
        );
    }
    if mailbox.host.contains(|c: char| c.is_whitespace() || "/@".contains(c)) {
        table.error("value", "host", "`host` must be the name or address of a host, without a scheme", "");
    }
    table.times(&[
        ("connect_timeout", mailbox.connect_timeout),
        ("io_timeout", mailbox.io_timeout),
        ("poll_interval", mailbox.poll_interval),
        ("idle_refresh", mailbox.idle_refresh),
        ("reconnect_first", mailbox.reconnect_first),
    ]);
    let idle = Period::secs(29 * 60);
    table.range("idle_refresh", mailbox.idle_refresh <= idle, "at most \"29m\": servers end a longer IDLE (RFC 2177)");
    table.ordered(("reconnect_first", mailbox.reconnect_first), ("reconnect_max", mailbox.reconnect_max));
    table.range("batch", mailbox.batch >= 1, "at least 1");
    folders(mailbox, table);
    after_post(mailbox, table);
}

fn folders(mailbox: &Mailbox, table: &mut Table<'_>) {
    if mailbox.folders.is_empty() || mailbox.folders.iter().any(String::is_empty) {
        table.error(
            "value",
            "folders",
            "`folders` must name at least one folder, and none is empty",
            "write [\"INBOX\"]",
        );
    }
    let names = mailbox.folders.iter().chain([&mailbox.move_to, &mailbox.failed_to]);
    for name in names.filter(|name| name.chars().any(char::is_control)) {
        let text = format!("folder `{}` has a control character in its name", name.escape_debug());
        table.error("value", "folders", text, "no mail server has such a folder");
    }
    let mut seen: Vec<String> = Vec::new();
    for folder in mailbox.folders.iter().map(|folder| folder_key(folder)) {
        if seen.contains(&folder) {
            table.error("value", "folders", format_args!("folder `{}` stands there twice", folder.escape_debug()), "");
        }
        seen.push(folder);
    }
    for (key, to) in [("move_to", &mailbox.move_to), ("failed_to", &mailbox.failed_to)] {
        let used = key != "move_to" || mailbox.after_post == AfterPost::Move;
        if used && !to.is_empty() && seen.contains(&folder_key(to)) {
            let text = format!("`{key}` is a folder that is read: the mail would come back");
            table.error("conflict", key, text, "name another folder");
        }
    }
}

fn after_post(mailbox: &Mailbox, table: &mut Table<'_>) {
    if mailbox.after_post == AfterPost::Move && mailbox.move_to.is_empty() {
        table.error("conflict", "move_to", "`after_post = \"move\"` needs `move_to`", "for example \"Processed\"");
    }
    let atom = |c: char| c.is_ascii_graphic() && !"(){%*\"\\]".contains(c);
    if !mailbox.keyword.chars().all(atom) {
        let text = "`keyword` must be an IMAP keyword: letters, digits and signs, no blank, no `\\`";
        table.error("value", "keyword", text, "for example \"$MailBridge\"");
    }
}

/// What concerns a mailbox together with its tenant or with another mailbox.
fn same_folders(config: &Config, findings: &Findings, problems: &mut Vec<Problem>) {
    let mut taken: BTreeMap<(String, u16, &str, String), &str> = BTreeMap::new();
    for (name, mailbox) in config.mailboxes.iter().filter(|(_, mailbox)| mailbox.enabled && !mailbox.host.is_empty()) {
        let mut table = Table::new(&format!("mailbox.{name}"), findings, problems);
        let only = config.tenants.values().next().filter(|_| config.tenants.len() == 1);
        let tenant = mailbox.tenant.as_ref().and_then(|name| config.tenants.get(name)).or(only);
        let is_message_only = tenant.is_some_and(|tenant| tenant.tickets == Tickets::MessageOnly);
        if mailbox.after_post == AfterPost::Delete && is_message_only {
            let text = "`after_post = \"delete\"` would lose the attachments, which `tickets = \"message-only\"` does not carry";
            table.error("conflict", "after_post", text, "write \"seen\" or \"move\"");
        }
        for folder in &mailbox.folders {
            let key =
                (mailbox.host.to_lowercase(), mailbox.effective_port(), mailbox.user.as_str(), folder_key(folder));
            if let Some(other) = taken.insert(key, name.as_str())
                && other != name.as_str()
            {
                let text =
                    format!("`[mailbox.{name}]` reads the same folder as `[mailbox.{other}]`: each posts every mail");
                table.problems.push(Problem::warning("same-folder", text).at(table.place("folders")));
            }
        }
    }
}

/// INBOX is the only folder whose name has no case (RFC 9051 §5.1).
fn folder_key(folder: &str) -> String {
    if folder.eq_ignore_ascii_case("INBOX") { "INBOX".to_owned() } else { folder.to_owned() }
}

/// Whether the host is this machine, by its name or address alone.
fn is_loopback(host: &str) -> bool {
    let host = host.trim_start_matches('[').trim_end_matches(']');
    host.eq_ignore_ascii_case("localhost")
        || host.parse::<std::net::IpAddr>().is_ok_and(|address| address.is_loopback())
}
