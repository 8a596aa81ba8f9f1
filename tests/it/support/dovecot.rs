//! A real mail server: a private Dovecot on loopback, where it is installed and we are root; else that is said.

use std::fs;
use std::net::TcpListener;
use std::os::unix::fs::{PermissionsExt, chown};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use rustix::process::{Pid, Signal, kill_process};
use tempfile::TempDir;

use crate::support::canary::PASSWORD;

/// An unprivileged user that every Debian has, as owner of the mails.
const NOBODY: u32 = 65_534;

/// A private Dovecot with the users `support` and `twins`, password [`PASSWORD`]. Dropping it ends it.
pub(crate) struct Dovecot {
    folder: TempDir,
    port: u16,
}

fn program() -> Option<PathBuf> {
    ["/usr/sbin/dovecot", "/usr/bin/dovecot"].map(PathBuf::from).into_iter().find(|path| path.exists())
}

impl Dovecot {
    /// `None`, and a word about it, where there is none to be had.
    pub(crate) fn start() -> Option<Self> {
        let Some(program) = program() else {
            eprintln!("skipped: no Dovecot is installed (tests/run installs it)");
            return None;
        };
        if !rustix::process::geteuid().is_root() {
            eprintln!("skipped: a private Dovecot needs root");
            return None;
        }
        let folder = tempfile::Builder::new().prefix("mailbridge-dovecot-").tempdir().expect("a folder");
        fs::set_permissions(folder.path(), fs::Permissions::from_mode(0o755)).expect("its mode");
        let port = TcpListener::bind(("127.0.0.1", 0)).and_then(|l| l.local_addr()).expect("a port").port();
        let this = Self { folder, port };
        this.write_files();
        let started = Command::new(program).arg("-c").arg(this.path("dovecot.conf")).stdin(Stdio::null()).status();
        assert!(started.expect("Dovecot").success());
        Some(this)
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn write_files(&self) {
        for name in ["run", "state", "mail"] {
            fs::create_dir(self.path(name)).expect("a folder");
        }
        own(&self.path("mail"));
        fs::write(self.path("users"), format!("support:{{PLAIN}}{PASSWORD}\ntwins:{{PLAIN}}{PASSWORD}\n"))
            .expect("the users");
        let folder = self.folder.path().display();
        let text = format!(
            "base_dir = {folder}/run\nstate_dir = {folder}/state\nlog_path = {folder}/log\nprotocols = imap\n\
             listen = 127.0.0.1\nssl = no\ndisable_plaintext_auth = no\ndefault_login_user = nobody\n\
             default_internal_user = nobody\ndefault_internal_group = nogroup\nfirst_valid_uid = 0\n\
             mail_location = maildir:{folder}/mail/%u\nservice anvil {{\n  chroot =\n}}\n\
             service imap-login {{\n  chroot =\n  inet_listener imap {{\n    port = {}\n  }}\n}}\n\
             passdb {{\n  driver = passwd-file\n  args = {folder}/users\n}}\n\
             userdb {{\n  driver = static\n  args = uid={NOBODY} gid={NOBODY} home={folder}/mail/%u\n}}\n\
             namespace inbox {{\n  inbox = yes\n}}\n",
            self.port
        );
        fs::write(self.path("dovecot.conf"), text).expect("the configuration");
    }

    /// The port it listens on.
    pub(crate) fn port(&self) -> u16 {
        self.port
    }

    /// Puts mails where the mail server finds them as new.
    pub(crate) fn deliver(&self, user: &str, mails: impl IntoIterator<Item = (String, Vec<u8>)>) {
        let home = self.path("mail").join(user);
        for sub in ["", "new", "cur", "tmp"] {
            let path = home.join(sub);
            fs::create_dir_all(&path).expect("a Maildir");
            own(&path);
        }
        for (name, raw) in mails {
            let path = home.join("tmp").join(&name);
            fs::write(&path, raw).expect("a mail");
            own(&path);
            fs::rename(&path, home.join("new").join(name)).expect("delivered");
        }
    }
}

fn own(path: &Path) {
    chown(path, Some(NOBODY), Some(NOBODY)).expect("we are root");
}

impl Drop for Dovecot {
    fn drop(&mut self) {
        let text = fs::read_to_string(self.path("run/master.pid")).unwrap_or_default();
        if let Some(pid) = text.trim().parse().ok().and_then(Pid::from_raw) {
            // It may have ended by itself.
            let _gone = kill_process(pid, Signal::TERM);
        }
    }
}
