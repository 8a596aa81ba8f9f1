//! `[service]` and `[control]`: the process itself.

use serde::{Deserialize, Serialize};

use super::units::Period;

/// `[service]`
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Service {
    /// The name of this daemon in logs and status (restart).
    pub instance: String,
    /// Where everything durable lies. "" = `$STATE_DIRECTORY`, set by systemd; without it `/var/lib/mailbridge` for
    /// root and `$XDG_STATE_HOME/mailbridge` for others (restart).
    pub state_dir: String,
    /// Where the control socket lies. "" = `$RUNTIME_DIRECTORY`, set by systemd; without it `state_dir` (restart).
    pub runtime_dir: String,
    /// Time for calls in flight before a hard stop; less than `TimeoutStopSec=` of the unit (live).
    pub shutdown_grace: Period,
    /// Threads of the runtime (restart).
    pub worker_threads: u16,
}

impl Default for Service {
    fn default() -> Self {
        Self {
            instance: "default".to_owned(),
            state_dir: String::new(),
            runtime_dir: String::new(),
            shutdown_grace: Period::secs(30),
            worker_threads: 2,
        }
    }
}

/// `[control]`
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Control {
    /// The socket of `mailbridge queue`, `reload` and `status`, below `runtime_dir` (restart).
    pub socket: String,
}

impl Default for Control {
    fn default() -> Self {
        Self { socket: "control.sock".to_owned() }
    }
}
