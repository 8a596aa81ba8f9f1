//! `[tls]`: whom we believe. There is no switch that turns verification off.

use serde::{Deserialize, Serialize};

/// `[tls]`, for mail servers and the API alike.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Tls {
    /// PEM files whose certificates are believed beside the system's (reconnect).
    pub extra_roots: Vec<String>,
}
