//! The daemon as a service: what the service manager hears, reloads with their verdicts, and the end.

use std::fs;
use std::os::unix::net::UnixDatagram;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

use tempfile::TempDir;

use crate::support::PATIENCE;

/// A mailbox and a tenant that nobody answers for: the daemon lives all the same.
const CONFIG: &str = r#"
[service]
state_dir = "STATE"
[tenant.main]
base_url = "http://127.0.0.1:1/Cust1"
token = "secret"
[mailbox.support]
host = "127.0.0.1"
port = 1
user = "support@example.com"
password = "secret"
tls = "none"
"#;

/// A daemon in a folder of its own, with this test as its service manager.
struct Service {
    home: TempDir,
    manager: UnixDatagram,
    heard: Vec<String>,
    child: Child,
}

impl Service {
    fn start() -> Self {
        let home = TempDir::new().unwrap();
        let manager = UnixDatagram::bind(home.path().join("notify")).unwrap();
        manager.set_read_timeout(Some(Duration::from_secs(30))).unwrap();
        write_config(home.path(), "");
        let log = fs::File::create(home.path().join("log")).unwrap();
        let child = mailbridge(home.path(), &["run"])
            .env("NOTIFY_SOCKET", home.path().join("notify"))
            .env("WATCHDOG_USEC", "200000")
            .stderr(log)
            .spawn()
            .unwrap();
        let mut service = Self { home, manager, heard: Vec::new(), child };
        service.hears("READY=1");
        service
    }

    /// Waits for a datagram with this line, and returns it, once. Those that came before it and were not asked for stay:
    /// a status may be told before the daemon is ready, and is told again only when it is another one.
    #[track_caller]
    fn hears(&mut self, line: &str) -> String {
        let says = |text: &String| text.lines().any(|found| found.starts_with(line));
        if let Some(at) = self.heard.iter().position(says) {
            return self.heard.remove(at);
        }
        let mut buffer = [0; 4096];
        // The daemon's signs of life go on coming, so that each datagram's own deadline is none for the whole.
        let deadline = Instant::now() + PATIENCE;
        loop {
            assert!(Instant::now() < deadline, "no {line} came; the log: {}", self.log());
            let length = self.manager.recv(&mut buffer).unwrap_or_else(|error| {
                panic!("waiting for {line}: {error}; the log: {}", self.log());
            });
            let text = String::from_utf8_lossy(&buffer[..length]).into_owned();
            if says(&text) {
                return text;
            }
            self.heard.push(text);
        }
    }

    #[track_caller]
    fn says(&self, arguments: &[&str], code: i32, part: &str) {
        let output = mailbridge(self.home.path(), arguments).output().unwrap();
        let text = text(&output);
        assert_eq!(output.status.code(), Some(code), "{arguments:?}: {text}");
        assert!(text.contains(part), "{arguments:?} should say `{part}`: {text}");
    }

    fn signal(&self, signal: rustix::process::Signal) {
        let pid = rustix::process::Pid::from_child(&self.child);
        rustix::process::kill_process(pid, signal).unwrap();
    }

    fn log(&self) -> String {
        fs::read_to_string(self.home.path().join("log")).unwrap()
    }
}

impl Drop for Service {
    fn drop(&mut self) {
        // Ended already, when the test went well.
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

fn text(output: &Output) -> String {
    format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr))
}

fn config_file(home: &Path) -> PathBuf {
    home.join("config.toml")
}

/// `more` goes below `[mailbox.support]`.
fn write_config(home: &Path, more: &str) {
    use std::os::unix::fs::PermissionsExt as _;
    let text = CONFIG.replace("STATE", home.join("state").to_str().unwrap());
    fs::write(config_file(home), text + more).unwrap();
    fs::set_permissions(config_file(home), fs::Permissions::from_mode(0o600)).unwrap();
}

fn mailbridge(home: &Path, arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_mailbridge"));
    command.arg("-c").arg(config_file(home)).args(arguments).env_clear().env("HOME", home).stdin(Stdio::null());
    command
}

#[test]
fn the_service_manager_hears_how_the_daemon_is() {
    let mut service = Service::start();
    assert!(service.hears("STATUS=").contains("mailboxes up, queue 0, dead 0, no post yet"));
    service.hears("WATCHDOG=1");
    service.hears("WATCHDOG=1");
    service.signal(rustix::process::Signal::HUP);
    assert!(service.hears("RELOADING=1").contains("MONOTONIC_USEC="), "in one datagram");
    service.hears("READY=1");
    service.signal(rustix::process::Signal::TERM);
    service.hears("STOPPING=1");
    assert_eq!(service.child.wait().unwrap().code(), Some(0), "{}", service.log());
    for event in ["config.loaded", "secret.exposed", "service.started", "config.reloaded", "service.stopped"] {
        assert!(service.log().contains(&format!(r#""event":"{event}""#)), "no {event} in {}", service.log());
    }
    assert!(!service.home.path().join("state/control.sock").exists());
}

#[test]
fn a_reload_is_refused_as_a_whole_or_in_force() {
    let service = Service::start();
    write_config(service.home.path(), "pol_interval = \"3s\"\n");
    let socket = service.home.path().join("state/control.sock");
    service.says(&["reload", "--socket", socket.to_str().unwrap()], 78, "poll_interval");
    service.says(&["reload"], 78, "pol_interval");
    write_config(service.home.path(), "poll_interval = \"3s\"\n[limits]\ncrash_strikes = 3\n");
    service.says(&["reload"], 0, "reloaded: limits, mailbox.support");
    service.says(&["reload"], 0, "in force after a restart: limits.crash_strikes");
    service.says(&["reload", "--json"], 0, r#""restart_needed":["limits.crash_strikes"]"#);
    assert!(service.log().contains("config.reload_refused"));
}

#[test]
fn warnings_of_one_kind_are_one_line_at_each_start() {
    let service = Service::start();
    let log = service.log();
    let lines: Vec<&str> = log.lines().filter(|line| line.contains("secret.exposed")).collect();
    assert!(lines.len() == 1 && lines[0].contains(r#""code":"plain-secret","count":2"#), "{log}");
    assert!(log.lines().all(|line| !line.contains(r#""level":"warn","event":"config.loaded""#)), "{log}");
}

#[test]
fn questions_are_answered_by_the_running_daemon_and_then_by_its_store() {
    let mut service = Service::start();
    service.says(&["status"], 0, "support");
    service.says(&["status", "--json"], 0, r#""mailboxes":{"support":"#);
    service.says(&["queue", "list"], 0, "no messages");
    service.says(&["queue", "retry", "--all"], 0, "retry scheduled for 0 messages");
    service.says(&["queue", "show", "01KAPX2Q7M5T00000000000000"], 66, "there is no mail");
    service.says(&["mailbox", "start", "nobody"], 66, "there is no mailbox `nobody`");
    service.says(&["mailbox", "start", "support"], 0, "no old mail waits");
    service.says(&["run"], 73, "in use by another mailbridge");
    service.signal(rustix::process::Signal::INT);
    assert_eq!(service.child.wait().unwrap().code(), Some(0), "{}", service.log());
    service.says(&["queue", "list"], 0, "no messages");
    service.says(&["queue", "retry", "--all"], 69, "start it with");
}
