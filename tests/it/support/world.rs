//! A mail server, an API and a folder: everything a daemon needs, on loopback.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::process::{Command, Output};
use std::time::Instant;

use mailbridge::sandbox::imap_server::{self, ImapServer};
use mailbridge::sandbox::superoffice_api::{self, SuperofficeApi};
use serde_json::Value;
use tempfile::TempDir;

use crate::support::PATIENCE;
use crate::support::canary::{self, PASSWORD, TOKEN};
use crate::support::daemon::{Daemon, PROGRAM, mailbridge};

/// The user of the world's mailbox.
pub(crate) const USER: &str = "support";

/// A world of its own for each story: ports, folder and servers are shared with no other.
#[derive(Debug)]
pub(crate) struct World {
    /// The mail server, with the mailbox `support`.
    pub(crate) imap: imap_server::Handle,
    /// The API.
    pub(crate) api: superoffice_api::Handle,
    folder: TempDir,
    imap_port: u16,
    api_url: String,
    end: Option<tokio::sync::oneshot::Sender<()>>,
    servers: Option<std::thread::JoinHandle<()>>,
}

impl World {
    /// A world with ordinary servers.
    pub(crate) fn new() -> Self {
        Self::with(imap_server::Options::default(), superoffice_api::Options::default())
    }

    /// A world with servers as given.
    pub(crate) fn with(imap: imap_server::Options, api: superoffice_api::Options) -> Self {
        let (end, ended) = tokio::sync::oneshot::channel::<()>();
        let (tell, told) = std::sync::mpsc::channel();
        let servers = std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
            runtime.block_on(async move {
                let imap = ImapServer::bind(imap).await.expect("a mail server");
                let api = SuperofficeApi::bind(api).await.expect("an API");
                tell.send((imap.handle(), imap.address().port(), api.handle(), api.url())).expect("a story");
                tokio::select! { () = imap.serve() => {}, () = api.serve() => {}, _ = ended => {} }
            });
        });
        let (imap, imap_port, api, api_url) = told.recv().expect("servers");
        imap.add_user(USER, PASSWORD);
        let folder = tempfile::Builder::new().prefix("mailbridge-story-").tempdir().expect("a folder");
        Self { imap, api, folder, imap_port, api_url, end: Some(end), servers: Some(servers) }
    }

    /// A path in the world's folder.
    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// The configuration's common part: short times, everything taken, one tenant.
    pub(crate) fn base_config(&self) -> String {
        let folder = self.folder.path().display();
        format!(
            r#"
[service]
state_dir = "{folder}/state"
runtime_dir = "{folder}"
[log]
level = "{}"
format = "json"
[queue]
retry_first = "50ms"
retry_max = "500ms"
[tenant.main]
base_url = "{}"
token = {}
verify_after = "100ms"
breaker_probe = "100ms"
[mailbox_defaults]
host = "127.0.0.1"
port = {}
tls = "none"
password = {}
start = "all"
start_limit = 0
reconnect_first = "50ms"
reconnect_max = "500ms"
"#,
            canary::level(),
            self.api_url,
            canary::quoted(TOKEN),
            self.imap_port,
            canary::quoted(PASSWORD),
        )
    }

    /// [`Self::base_config`] with the mailbox `support`.
    pub(crate) fn config(&self) -> String {
        format!("{}[mailbox.support]\nuser = \"{USER}\"\n", self.base_config())
    }

    /// The port of the mail server.
    pub(crate) fn imap_port(&self) -> u16 {
        self.imap_port
    }

    /// [`Self::config`] with these options of the tenant instead of its token.
    pub(crate) fn config_with_sign_in(&self, options: &str) -> String {
        let token = format!("token = {}\n", canary::quoted(TOKEN));
        assert!(self.config().contains(&token));
        self.config().replace(&token, &format!("{options}\n"))
    }

    /// [`Self::config`] with another mail server on loopback.
    pub(crate) fn config_at(&self, port: u16) -> String {
        self.config().replace(&format!("port = {}", self.imap_port), &format!("port = {port}"))
    }

    /// Writes a configuration file that only its owner reads.
    pub(crate) fn write_config(&self, text: &str) -> PathBuf {
        let path = self.path("config.toml");
        fs::write(&path, text).expect("the configuration");
        fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).expect("its mode");
        path
    }

    /// Starts the daemon with [`Self::config`] and waits until it is ready.
    #[track_caller]
    pub(crate) fn daemon(&self) -> Daemon {
        self.daemon_with(&self.config())
    }

    /// Starts the daemon with this configuration and waits until it is ready.
    #[track_caller]
    pub(crate) fn daemon_with(&self, config: &str) -> Daemon {
        self.daemon_unready(config).ready()
    }

    /// Starts the daemon with this configuration.
    pub(crate) fn daemon_unready(&self, config: &str) -> Daemon {
        Daemon::spawn(self.command(config))
    }

    /// The command that starts the daemon with this configuration.
    pub(crate) fn command(&self, config: &str) -> Command {
        let path = self.write_config(config);
        let mut command = Command::new(PROGRAM);
        command.arg("run").arg("--config").arg(path).env_clear();
        command
    }

    /// Runs a command against this world's configuration.
    pub(crate) fn cli(&self, arguments: &[&str]) -> Output {
        let config = self.path("config.toml");
        let config = config.to_str().expect("a path");
        mailbridge(&[arguments, &["--config", config]].concat())
    }

    /// The rows of `queue list --json` with further arguments.
    #[track_caller]
    pub(crate) fn queue(&self, arguments: &[&str]) -> Vec<Value> {
        let output = self.cli(&[&["queue", "list", "--json"], arguments].concat());
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        let text = String::from_utf8(output.stdout).expect("text");
        text.lines().map(|line| serde_json::from_str(line).expect("a row")).collect()
    }

    /// Waits until the rows of `queue list --json` with further arguments are as `wanted`, and returns them. Each look is a
    /// process of its own, so this is no busy loop.
    #[track_caller]
    pub(crate) fn wait_queue(&self, arguments: &[&str], wanted: impl Fn(&[Value]) -> bool) -> Vec<Value> {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let rows = self.queue(arguments);
            if wanted(&rows) {
                return rows;
            }
            assert!(Instant::now() < deadline, "the queue stays as it is: {rows:#?}");
        }
    }

    /// The end of a story of mails that all go through: each is posted exactly once, and none is left in the queue.
    #[track_caller]
    pub(crate) fn end(&self, daemon: Daemon, numbers: std::ops::Range<usize>) {
        self.wait_messages(numbers.len());
        self.wait_queue(&[], <[Value]>::is_empty);
        daemon.stop();
        self.assert_exactly(numbers);
    }

    /// A mail that can be told apart by its number.
    pub(crate) fn mail(number: usize) -> Vec<u8> {
        format!(
            "Message-ID: <story-{number}@example.com>\r\nDate: Mon, 2 Nov 2026 10:00:00 +0000\r\n\
             From: Ann <ann@example.com>\r\nTo: support@example.com\r\nSubject: Story {number}\r\n\r\nHello {number}\r\n"
        )
        .into_bytes()
    }

    /// Puts mails into the mailbox.
    pub(crate) fn append(&self, numbers: std::ops::Range<usize>) {
        for number in numbers {
            self.imap.append(USER, "INBOX", Self::mail(number));
        }
    }

    /// Waits until the API has at least so many messages.
    #[track_caller]
    pub(crate) fn wait_messages(&self, count: usize) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().expect("a runtime");
        let came = runtime.block_on(self.api.wait(PATIENCE, |api| api.count() >= count));
        assert!(came, "{} of {count} messages came; violations: {:#?}", self.api.count(), self.api.violations());
    }

    /// The end of every story: these mails, each exactly once, and no request outside the contract.
    #[track_caller]
    pub(crate) fn assert_exactly(&self, numbers: std::ops::Range<usize>) {
        let mut ids: Vec<String> =
            self.api.messages().iter().map(|m| m["MessageId"].as_str().unwrap_or_default().to_owned()).collect();
        ids.sort();
        let mut expected: Vec<String> = numbers.map(|n| format!("<story-{n}@example.com>")).collect();
        expected.sort();
        assert_eq!(ids, expected);
        assert_eq!(self.api.violations(), Vec::<String>::new());
    }
}

impl Drop for World {
    fn drop(&mut self) {
        drop(self.end.take());
        if let Some(servers) = self.servers.take() {
            // A server that panicked has told so already.
            let _ended = servers.join();
        }
        if !std::thread::panicking() {
            canary::assert_clean_folder(&self.path("state"));
        }
    }
}
