//! Where the daemon keeps its things: the store and the control socket. Also used by the command line, which has to find
//! them without the environment that the service manager gives to the daemon.

use std::path::{Path, PathBuf};

use crate::config::Config;

/// Where a system service's socket lies (`RuntimeDirectory=mailbridge`).
const SYSTEM_RUNTIME: &str = "/run/mailbridge";

/// The paths of one daemon.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Places {
    /// Everything durable.
    pub state_dir: PathBuf,
    /// The store, below `state_dir` unless it is an absolute path.
    pub store: PathBuf,
    /// The control socket.
    pub socket: PathBuf,
    /// Where the control socket of a daemon may be that was started by systemd, seen from a shell.
    pub other_socket: Option<PathBuf>,
}

impl Places {
    /// The places of this process.
    #[must_use]
    pub fn of_process(config: &Config) -> Self {
        let env = |name: &str| std::env::var(name).ok().filter(|value| !value.is_empty());
        Self::new(config, env, rustix::process::geteuid().is_root())
    }

    /// By configuration, environment and user.
    fn new(config: &Config, env: impl Fn(&str) -> Option<String>, root: bool) -> Self {
        let state_dir = match config.service.state_dir.as_str() {
            "" => first_entry(env("STATE_DIRECTORY")).unwrap_or_else(|| default_state_dir(&env, root)),
            configured => PathBuf::from(configured),
        };
        let named = match config.service.runtime_dir.as_str() {
            "" => first_entry(env("RUNTIME_DIRECTORY")),
            configured => Some(PathBuf::from(configured)),
        };
        let socket = Path::new(&config.control.socket);
        let other_socket = named.is_none().then(|| Path::new(SYSTEM_RUNTIME).join(socket));
        let runtime_dir = named.unwrap_or_else(|| state_dir.clone());
        Self { store: state_dir.join(&config.store.path), socket: runtime_dir.join(socket), other_socket, state_dir }
    }
}

/// systemd gives several directories separated by colons.
fn first_entry(value: Option<String>) -> Option<PathBuf> {
    value.and_then(|value| value.split(':').next().filter(|first| !first.is_empty()).map(PathBuf::from))
}

fn default_state_dir(env: &impl Fn(&str) -> Option<String>, root: bool) -> PathBuf {
    if root {
        return PathBuf::from("/var/lib/mailbridge");
    }
    let home = || Path::new(&env("HOME").unwrap_or_default()).join(".local/state");
    env("XDG_STATE_HOME").map_or_else(home, PathBuf::from).join("mailbridge")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(env: &[(&str, &str)], root: bool, state_dir: &str, runtime_dir: &str, store: &str, socket: &str) {
        let mut config = Config::default();
        config.service.state_dir = state_dir.to_owned();
        config.service.runtime_dir = runtime_dir.to_owned();
        let env = |name: &str| env.iter().find(|(key, _)| *key == name).map(|(_, value)| (*value).to_owned());
        let places = Places::new(&config, env, root);
        assert_eq!((places.store, places.socket), (PathBuf::from(store), PathBuf::from(socket)));
    }

    #[test]
    fn the_configuration_wins_then_systemd_then_the_user() {
        let unit = [("STATE_DIRECTORY", "/var/lib/mailbridge:/x"), ("RUNTIME_DIRECTORY", "/run/mailbridge")];
        check(&unit, false, "", "", "/var/lib/mailbridge/store", "/run/mailbridge/control.sock");
        check(&unit, false, "/s", "/r", "/s/store", "/r/control.sock");
        check(&[], true, "", "", "/var/lib/mailbridge/store", "/var/lib/mailbridge/control.sock");
        let user = [("HOME", "/home/a"), ("XDG_STATE_HOME", "/home/a/state")];
        check(&user, false, "", "", "/home/a/state/mailbridge/store", "/home/a/state/mailbridge/control.sock");
        let bare = [("HOME", "/home/a")];
        let state = "/home/a/.local/state/mailbridge";
        check(&bare, false, "", "", &format!("{state}/store"), &format!("{state}/control.sock"));
    }

    #[test]
    fn a_shell_also_looks_where_systemd_puts_the_socket() {
        let places = Places::new(&Config::default(), |_| None, true);
        assert_eq!(places.other_socket, Some(PathBuf::from("/run/mailbridge/control.sock")));
    }
}
